//! Arithmetic on vectors of numbers: conversions and element-wise combinations.
//!
//! Integers of 8 to 64 bits and floating-point numbers of 8 to 64 bits, in little-endian bytes. Every result is the
//! exact one, rounded once to the type that is written; nothing is computed in between in a type of its own. What a
//! common case needs is a loop the compiler turns into vectors; a block of elements in which anything is out of the
//! ordinary is computed again, element by element.
//!
//! Where the specification of the device whose arithmetic this is leaves room: a NaN keeps its sign and the leading bits
//! of its payload and becomes quiet, as on the CPU, and the first operand's wins; infinities of opposite signs give the
//! CPU's default NaN; -0 is less than +0; an exact infinity is no overflow, except in FP8 E4M3, which has none and gets
//! a NaN; a denormal result is an underflow whether it is exact or not.
//!
//! Source: DSA §8.1.10 to §8.1.12, §8.2.2, appendix E.

mod fast;
mod float;
mod integer;

use std::ops::{BitOr, BitOrAssign};

use float::Format;

/// What an element is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Element {
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
    /// 4 bits of exponent, 3 of mantissa, no infinity, one NaN of each sign.
    F8E4M3,
    /// 5 bits of exponent, 10 of mantissa.
    F16,
    /// 8 bits of exponent, 7 of mantissa.
    BF16,
    /// IEEE single.
    F32,
    /// IEEE double.
    F64,
}

impl Element {
    /// Bytes of one.
    #[must_use]
    pub const fn bytes(self) -> usize {
        match self {
            Self::U8 | Self::I8 | Self::F8E5M2 | Self::F8E4M3 => 1,
            Self::U16 | Self::I16 | Self::F16 | Self::BF16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 => 8,
        }
    }

    /// The layout, if it is a floating-point type.
    const fn format(self) -> Option<Format> {
        match self {
            Self::F8E5M2 => Some(Format::F8E5M2),
            Self::F8E4M3 => Some(Format::F8E4M3),
            Self::F16 => Some(Format::F16),
            Self::BF16 => Some(Format::BF16),
            Self::F32 => Some(Format::F32),
            Self::F64 => Some(Format::F64),
            _ => None,
        }
    }

    const fn is_signed(self) -> bool {
        matches!(self, Self::I8 | Self::I16 | Self::I32 | Self::I64)
    }

    /// Whether one can become the other: both floating-point, or both integers of the same signedness.
    const fn converts_to(self, other: Self) -> bool {
        match (self.format(), other.format()) {
            (Some(_), Some(_)) => true,
            (None, None) => self.is_signed() == other.is_signed(),
            _ => false,
        }
    }
}

/// How two elements become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Combine {
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

/// How numbers are treated. What does not concern the class of the elements has no effect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Rules {
    /// Of floating-point results.
    pub rounding: Rounding,
    /// A denormal operand counts as zero of its sign.
    pub denormals_are_zero: bool,
    /// A denormal result becomes zero of its sign.
    pub flush_to_zero: bool,
    /// An integer result that does not fit becomes the extreme of its type on its side; of an unsigned type always the
    /// greatest, as DSA table 8-11 has it. Else it wraps.
    pub saturate: bool,
    /// The source, the first source, or every vector that is accumulated is negated first.
    pub negate_first: bool,
    /// The second source is negated first.
    pub negate_second: bool,
}

/// What happened to at least one element.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Exceptions(u8);

impl Exceptions {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// A NaN, or infinities of opposite signs added.
    pub const INVALID: Self = Self(1 << 0);
    /// A denormal operand that did not count as zero.
    pub const DENORMAL: Self = Self(1 << 1);
    /// A result its type cannot hold.
    pub const OVERFLOW: Self = Self(1 << 2);
    /// A result that is not zero and below the least normal number of its type.
    pub const UNDERFLOW: Self = Self(1 << 3);

    /// One bit for each, in the order above from bit 0 on: the byte a DSA reports.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }

    const fn when(self, happened: bool) -> Self {
        if happened { self } else { Self::NONE }
    }
}

impl BitOr for Exceptions {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Exceptions {
    fn bitor_assign(&mut self, other: Self) {
        *self = *self | other;
    }
}

/// From one type to another, or to the same under [`Rules`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conversion {
    input: Element,
    output: Element,
    rules: Rules,
}

impl Conversion {
    /// `None` where no conversion exists: between integers and floating-point numbers, between signed and unsigned.
    #[must_use]
    pub fn new(input: Element, output: Element, rules: Rules) -> Option<Self> {
        input.converts_to(output).then_some(Self { input, output, rules })
    }

    /// Converts the elements of `src` to as many in `dst`.
    ///
    /// # Panics
    ///
    /// If `src` and `dst` do not hold equally many whole elements.
    pub fn convert(&self, src: &[u8], dst: &mut [u8]) -> Exceptions {
        let Self { input, output, rules } = *self;
        check_lengths(&[(input, src.len()), (output, dst.len())]);
        if let Some(exceptions) = (fast::Change { input, output, rules }).run(src, dst) {
            return exceptions;
        }
        match (input.format(), output.format()) {
            (Some(from), Some(to)) => float::convert(from, to, rules, src, dst),
            _ => integer::convert(input, output, rules, src, dst),
        }
    }
}

/// Two vectors to one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reduction {
    combine: Combine,
    input: Element,
    output: Element,
    rules: Rules,
}

impl Reduction {
    /// `None` where [`Conversion::new`] is, and for a bitwise combination of floating-point numbers.
    #[must_use]
    pub fn new(combine: Combine, input: Element, output: Element, rules: Rules) -> Option<Self> {
        let is_bitwise = matches!(combine, Combine::And | Combine::Or | Combine::Xor);
        let exists = input.converts_to(output) && !(is_bitwise && input.format().is_some());
        exists.then_some(Self { combine, input, output, rules })
    }

    /// Combines the elements of `first` and `second` to as many in `dst`.
    ///
    /// # Panics
    ///
    /// If the slices do not hold equally many whole elements.
    pub fn reduce(&self, first: &[u8], second: &[u8], dst: &mut [u8]) -> Exceptions {
        combine(self.combine, (self.input, first), (self.input, second), (self.output, dst), self.rules)
    }

    /// What [`accumulate`](Self::accumulate) starts from: the first vector, converted.
    ///
    /// # Panics
    ///
    /// If the slices do not hold equally many whole elements.
    pub fn start(&self, first: &[u8], sum: &mut [u8]) -> Exceptions {
        Conversion { input: self.input, output: self.output, rules: self.rules }.convert(first, sum)
    }

    /// Combines `sum`, which holds output elements, with one more vector: each step rounds to the output type, as a chain
    /// of reductions does.
    ///
    /// # Panics
    ///
    /// If the slices do not hold equally many whole elements.
    pub fn accumulate(&self, sum: &mut [u8], next: &[u8]) -> Exceptions {
        const ELEMENTS: usize = 256;
        let Self { input, output, .. } = *self;
        check_lengths(&[(output, sum.len()), (input, next.len())]);
        let rules = Rules { negate_first: false, negate_second: self.rules.negate_first, ..self.rules };
        let mut copy = [0; ELEMENTS * 8];
        let blocks = sum.chunks_mut(ELEMENTS * output.bytes()).zip(next.chunks(ELEMENTS * input.bytes()));
        blocks.fold(Exceptions::NONE, |exceptions, (sum, next)| {
            let before = &mut copy[..sum.len()];
            before.copy_from_slice(sum);
            exceptions | combine(self.combine, (output, before), (input, next), (output, sum), rules)
        })
    }
}

fn combine(
    combine: Combine,
    first: (Element, &[u8]),
    second: (Element, &[u8]),
    dst: (Element, &mut [u8]),
    rules: Rules,
) -> Exceptions {
    check_lengths(&[(first.0, first.1.len()), (second.0, second.1.len()), (dst.0, dst.1.len())]);
    if first.0 == second.0 && first.0 == dst.0 {
        let combination = fast::Combination { combine, element: first.0, rules, a: first.1, b: second.1 };
        if let Some(exceptions) = combination.run(dst.1) {
            return exceptions;
        }
    }
    match (first.0.format(), second.0.format(), dst.0.format()) {
        (Some(a), Some(b), Some(to)) => {
            float::combine(combine, (a, first.1), (b, second.1), (to, dst.1), rules)
        }
        _ => integer::combine(combine, first, second, dst, rules),
    }
}

fn check_lengths(vectors: &[(Element, usize)]) {
    let count = vectors[0].1 / vectors[0].0.bytes();
    let are_equal = vectors.iter().all(|(element, len)| *len == count * element.bytes());
    assert!(are_equal, "vectors differ in length: {vectors:?}");
}
