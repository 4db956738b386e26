//! Vectors of numbers: what their elements are, and how they are computed with.
//!
//! A [`Conversion`] or a [`Reduction`] that exists is one that can be computed: what mixes integers with floating-point
//! numbers, or signed with unsigned ones, cannot be made. Elements are in little-endian bytes. The arithmetic is the
//! queues'.
//!
//! Source: DSA §8.1.10 to §8.1.12.

use std::fmt;

use bitflags::bitflags;

/// What an element is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum NumberType {
    /// Unsigned, 8 bits.
    U8,
    /// Two's complement, 8 bits.
    I8,
    /// Unsigned, 16 bits.
    U16,
    /// Two's complement, 16 bits.
    I16,
    /// Unsigned, 32 bits.
    U32,
    /// Two's complement, 32 bits.
    I32,
    /// Unsigned, 64 bits.
    U64,
    /// Two's complement, 64 bits.
    I64,
    /// 5 bits of exponent, 2 of mantissa.
    F8E5M2,
    /// 4 bits of exponent, 3 of mantissa; no infinity, one NaN of each sign.
    F8E4M3,
    /// 5 bits of exponent, 10 of mantissa.
    F16,
    /// 8 bits of exponent, 7 of mantissa.
    Bf16,
    /// IEEE single.
    F32,
    /// IEEE double.
    F64,
}

/// What numbers there are: none of one class becomes one of another.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Unsigned,
    Signed,
    Float,
}

impl NumberType {
    /// Every type there is.
    pub const ALL: [Self; 14] = [
        Self::U8,
        Self::I8,
        Self::U16,
        Self::I16,
        Self::U32,
        Self::I32,
        Self::U64,
        Self::I64,
        Self::F8E5M2,
        Self::F8E4M3,
        Self::F16,
        Self::Bf16,
        Self::F32,
        Self::F64,
    ];

    /// Bytes of one.
    pub const fn bytes(self) -> u64 {
        match self {
            Self::U8 | Self::I8 | Self::F8E5M2 | Self::F8E4M3 => 1,
            Self::U16 | Self::I16 | Self::F16 | Self::Bf16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 => 8,
        }
    }

    /// Whether it is a floating-point type.
    pub const fn is_float(self) -> bool {
        matches!(self.class(), Class::Float)
    }

    const fn class(self) -> Class {
        match self {
            Self::U8 | Self::U16 | Self::U32 | Self::U64 => Class::Unsigned,
            Self::I8 | Self::I16 | Self::I32 | Self::I64 => Class::Signed,
            Self::F8E5M2 | Self::F8E4M3 | Self::F16 | Self::Bf16 | Self::F32 | Self::F64 => Class::Float,
        }
    }
}

/// Where a floating-point result goes that its type cannot hold exactly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Rounding {
    /// To the nearest, of two equally near to the one whose last bit is 0.
    #[default]
    NearestEven,
    /// Towards minus infinity.
    Down,
    /// Towards plus infinity.
    Up,
    /// Towards zero.
    TowardZero,
}

bitflags! {
    /// How numbers are treated. What does not concern the class of the elements has no effect.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct NumberFlags: u8 {
        /// A denormal operand counts as zero.
        const DENORMALS_ARE_ZERO = 1 << 0;
        /// A denormal result becomes zero.
        const FLUSH_TO_ZERO = 1 << 1;
        /// An integer that does not fit becomes the extreme of its type. Else it wraps.
        const SATURATE = 1 << 2;
        /// The source, the first source, or every vector of a gather is negated first.
        const NEGATE = 1 << 3;
        /// The second source is negated first; no effect without one.
        const NEGATE_SECOND = 1 << 4;
    }
}

bitflags! {
    /// What happened to at least one element. No error: the numbers are what the types make of them.
    ///
    /// Source: DSA §8.2.2, table 8-11.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct NumberExceptions: u8 {
        /// A NaN, or infinities of opposite signs added.
        const INVALID = 1 << 0;
        /// A denormal operand that did not count as zero.
        const DENORMAL = 1 << 1;
        /// A result its type cannot hold.
        const OVERFLOW = 1 << 2;
        /// A result that is not zero and below the least normal number of its type.
        const UNDERFLOW = 1 << 3;
    }
}

impl fmt::Display for NumberExceptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        bitflags::parser::to_writer(self, f)
    }
}

/// From one type to another, or to the same with other treatment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Conversion {
    input: NumberType,
    output: NumberType,
    rounding: Rounding,
    flags: NumberFlags,
}

impl Conversion {
    /// `None` where no conversion exists: between integers and floating-point numbers, between signed and unsigned.
    pub const fn new(input: NumberType, output: NumberType) -> Option<Self> {
        if input.class() as u8 != output.class() as u8 {
            return None;
        }
        Some(Self { input, output, rounding: Rounding::NearestEven, flags: NumberFlags::empty() })
    }

    /// The same, rounded so.
    #[must_use]
    pub const fn rounded(self, rounding: Rounding) -> Self {
        Self { rounding, ..self }
    }

    /// The same, treated so.
    #[must_use]
    pub const fn treated(self, flags: NumberFlags) -> Self {
        Self { flags, ..self }
    }

    /// What is read.
    pub const fn input(self) -> NumberType {
        self.input
    }

    /// What is written.
    pub const fn output(self) -> NumberType {
        self.output
    }

    /// How results are rounded.
    pub const fn rounding(self) -> Rounding {
        self.rounding
    }

    /// How numbers are treated.
    pub const fn flags(self) -> NumberFlags {
        self.flags
    }

    /// Bytes that `len` bytes of input become.
    pub const fn output_bytes(self, len: u64) -> u64 {
        len / self.input.bytes() * self.output.bytes()
    }

    /// Whether there can be a device that has it. Each step between floating-point types that is not one of 8, 16, 32
    /// and 64 bits is the CPU's.
    ///
    /// Source: DSA §9.2.31.
    pub const fn is_of_devices(self) -> bool {
        if !self.input.is_float() || self.input as u8 == self.output as u8 {
            return true;
        }
        let (low, high) = if self.input.bytes() < self.output.bytes() {
            (self.input, self.output)
        } else {
            (self.output, self.input)
        };
        low.bytes() < high.bytes() && (high.bytes() < 8 || low.bytes() == 4)
    }
}

/// How two elements become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Compute {
    /// Their sum.
    Add,
    /// Bitwise and; integers only.
    And,
    /// Bitwise or; integers only.
    Or,
    /// Bitwise exclusive or; integers only.
    Xor,
    /// The lesser.
    Min,
    /// The greater.
    Max,
}

/// Vectors combined element by element to one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Reduction {
    compute: Compute,
    numbers: Conversion,
}

impl Reduction {
    /// `None` for a bitwise combination of floating-point numbers.
    pub const fn new(compute: Compute, numbers: Conversion) -> Option<Self> {
        let is_bitwise = matches!(compute, Compute::And | Compute::Or | Compute::Xor);
        if is_bitwise && numbers.input.is_float() { None } else { Some(Self { compute, numbers }) }
    }

    /// How elements are combined.
    pub const fn compute(self) -> Compute {
        self.compute
    }

    /// What they are, before and after.
    pub const fn numbers(self) -> Conversion {
        self.numbers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_do_not_mix() {
        assert!(Conversion::new(NumberType::F32, NumberType::I32).is_none());
        assert!(Conversion::new(NumberType::I8, NumberType::U8).is_none());
        let floats = Conversion::new(NumberType::F16, NumberType::F32).expect("both floating-point");
        assert!(Reduction::new(Compute::Xor, floats).is_none());
        assert!(Reduction::new(Compute::Max, floats).is_some());
    }

    /// DSA §9.2.31: 9 conversions up and as many down have a capability bit.
    #[test]
    fn devices_have_eighteen_conversions_of_floats() {
        let pairs = NumberType::ALL.iter().flat_map(|from| NumberType::ALL.map(|to| (*from, to)));
        let of_devices = pairs
            .filter(|(from, to)| from != to && from.is_float())
            .filter_map(|(from, to)| Conversion::new(from, to))
            .filter(|conversion| conversion.is_of_devices());
        assert_eq!(of_devices.count(), 18);
        let far = Conversion::new(NumberType::F64, NumberType::F16).expect("the CPU does");
        assert!(!far.is_of_devices());
    }
}
