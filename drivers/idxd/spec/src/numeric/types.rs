//! Types of elements and operations on them, by the codes a descriptor has for them.

use core::fmt;

macro_rules! codes {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $code:literal, $text:literal;)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum $name {
            $($(#[$variant_doc])* $variant = $code,)*
        }

        impl $name {
            /// All of them, by code.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The code in a descriptor, four bits.
            #[must_use]
            pub const fn code(self) -> u8 {
                self as u8
            }

            /// What `code` stands for; `None` for a reserved one, which a device answers with status 0x15.
            #[must_use]
            pub const fn from_code(code: u8) -> Option<Self> {
                match code {
                    $($code => Some(Self::$variant),)*
                    _ => None,
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(match self {
                    $(Self::$variant => $text,)*
                })
            }
        }
    };
}

codes! {
    /// What an element is. Whether an integer is signed is a flag, [`ComputeFlags::SIGNED`](super::ComputeFlags::SIGNED).
    ///
    /// Source: DSA §8.1.10, table 8-5. Not in uapi.
    DataType {
        /// 8-bit integer.
        Int8 = 0, "int8";
        /// 16-bit integer.
        Int16 = 1, "int16";
        /// 32-bit integer.
        Int32 = 2, "int32";
        /// 64-bit integer.
        Int64 = 3, "int64";
        /// 5 bits of exponent, 2 of mantissa.
        Fp8E5m2 = 4, "fp8_e5m2";
        /// 4 bits of exponent, 3 of mantissa; no infinity, and one NaN of each sign (DSA table 9-13).
        Fp8E4m3 = 5, "fp8_e4m3";
        /// 5 bits of exponent, 10 of mantissa.
        Fp16 = 6, "fp16";
        /// 8 bits of exponent, 7 of mantissa.
        Bf16 = 7, "bf16";
        /// IEEE single.
        Fp32 = 8, "fp32";
        /// IEEE double.
        Fp64 = 9, "fp64";
    }
}

impl DataType {
    /// Bytes of an element, and its natural alignment.
    #[must_use]
    pub const fn size(self) -> u32 {
        match self {
            Self::Int8 | Self::Fp8E5m2 | Self::Fp8E4m3 => 1,
            Self::Int16 | Self::Fp16 | Self::Bf16 => 2,
            Self::Int32 | Self::Fp32 => 4,
            Self::Int64 | Self::Fp64 => 8,
        }
    }

    /// A floating-point type, not an integer.
    #[must_use]
    pub const fn is_float(self) -> bool {
        self.code() >= Self::Fp8E5m2.code()
    }
}

codes! {
    /// How elements are combined.
    ///
    /// Source: DSA §8.1.11, table 8-6. Not in uapi.
    ComputeType {
        /// Sum.
        Add = 1, "add";
        /// Bitwise and; integers only.
        And = 3, "and";
        /// Bitwise or; integers only.
        Or = 4, "or";
        /// Bitwise exclusive or; integers only.
        Xor = 5, "xor";
        /// The lesser.
        Min = 6, "min";
        /// The greater.
        Max = 7, "max";
    }
}

impl ComputeType {
    /// Whether it is only for integers.
    #[must_use]
    pub const fn is_bitwise(self) -> bool {
        matches!(self, Self::And | Self::Or | Self::Xor)
    }
}

/// The part of [`ComputeType`] that integers have: all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IntegerCompute {
    /// Sum.
    Add,
    /// Bitwise and.
    And,
    /// Bitwise or.
    Or,
    /// Bitwise exclusive or.
    Xor,
    /// The lesser.
    Min,
    /// The greater.
    Max,
}

impl IntegerCompute {
    /// The same among all operations.
    #[must_use]
    pub const fn compute_type(self) -> ComputeType {
        match self {
            Self::Add => ComputeType::Add,
            Self::And => ComputeType::And,
            Self::Or => ComputeType::Or,
            Self::Xor => ComputeType::Xor,
            Self::Min => ComputeType::Min,
            Self::Max => ComputeType::Max,
        }
    }
}

/// The part of [`ComputeType`] that floating-point numbers have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FloatCompute {
    /// Sum.
    Add,
    /// The lesser.
    Min,
    /// The greater.
    Max,
}

impl FloatCompute {
    /// The same among all operations.
    #[must_use]
    pub const fn compute_type(self) -> ComputeType {
        match self {
            Self::Add => ComputeType::Add,
            Self::Min => ComputeType::Min,
            Self::Max => ComputeType::Max,
        }
    }
}

/// The part of [`DataType`] that is integers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IntegerType {
    /// 8 bits.
    Int8,
    /// 16 bits.
    Int16,
    /// 32 bits.
    Int32,
    /// 64 bits.
    Int64,
}

impl IntegerType {
    /// The same among all types.
    #[must_use]
    pub const fn data_type(self) -> DataType {
        match self {
            Self::Int8 => DataType::Int8,
            Self::Int16 => DataType::Int16,
            Self::Int32 => DataType::Int32,
            Self::Int64 => DataType::Int64,
        }
    }
}

/// The part of [`DataType`] that is floating-point numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FloatType {
    /// 5 bits of exponent, 2 of mantissa.
    Fp8E5m2,
    /// 4 bits of exponent, 3 of mantissa.
    Fp8E4m3,
    /// 5 bits of exponent, 10 of mantissa.
    Fp16,
    /// 8 bits of exponent, 7 of mantissa.
    Bf16,
    /// IEEE single.
    Fp32,
    /// IEEE double.
    Fp64,
}

impl FloatType {
    /// The same among all types.
    #[must_use]
    pub const fn data_type(self) -> DataType {
        match self {
            Self::Fp8E5m2 => DataType::Fp8E5m2,
            Self::Fp8E4m3 => DataType::Fp8E4m3,
            Self::Fp16 => DataType::Fp16,
            Self::Bf16 => DataType::Bf16,
            Self::Fp32 => DataType::Fp32,
            Self::Fp64 => DataType::Fp64,
        }
    }
}

/// A conversion between floating-point types that a capability bit exists for, at its place in DSACAP1.
///
/// Which of them a device has says [`DsaCap1::converts`](crate::register::DsaCap1::converts). The others, as fp64 to
/// fp16, no device can have.
///
/// Source: DSA §9.2.31.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FloatConversion {
    from: FloatType,
    to: FloatType,
    bit: u8,
}

macro_rules! conversions {
    ($($name:ident: $from:ident => $to:ident, $bit:literal;)*) => {
        impl FloatConversion {
            $(
                #[doc = concat!("Bit ", stringify!($bit), ".")]
                pub const $name: Self = Self { from: FloatType::$from, to: FloatType::$to, bit: $bit };
            )*

            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];
        }
    };
}

conversions! {
    FP8_E5M2_TO_FP16: Fp8E5m2 => Fp16, 16;
    FP8_E5M2_TO_BF16: Fp8E5m2 => Bf16, 17;
    FP8_E5M2_TO_FP32: Fp8E5m2 => Fp32, 18;
    FP8_E4M3_TO_FP16: Fp8E4m3 => Fp16, 19;
    FP8_E4M3_TO_BF16: Fp8E4m3 => Bf16, 20;
    FP8_E4M3_TO_FP32: Fp8E4m3 => Fp32, 21;
    FP16_TO_FP32: Fp16 => Fp32, 22;
    BF16_TO_FP32: Bf16 => Fp32, 23;
    FP32_TO_FP64: Fp32 => Fp64, 24;
    FP16_TO_FP8_E5M2: Fp16 => Fp8E5m2, 32;
    BF16_TO_FP8_E5M2: Bf16 => Fp8E5m2, 33;
    FP32_TO_FP8_E5M2: Fp32 => Fp8E5m2, 34;
    FP16_TO_FP8_E4M3: Fp16 => Fp8E4m3, 35;
    BF16_TO_FP8_E4M3: Bf16 => Fp8E4m3, 36;
    FP32_TO_FP8_E4M3: Fp32 => Fp8E4m3, 37;
    FP32_TO_FP16: Fp32 => Fp16, 38;
    FP32_TO_BF16: Fp32 => Bf16, 39;
    FP64_TO_FP32: Fp64 => Fp32, 40;
}

impl FloatConversion {
    /// What is read.
    #[must_use]
    pub const fn from(self) -> FloatType {
        self.from
    }

    /// What is written.
    #[must_use]
    pub const fn to(self) -> FloatType {
        self.to
    }

    /// Its bit in DSACAP1.
    #[must_use]
    pub const fn bit(self) -> u8 {
        self.bit
    }

    /// The conversion between two types as a descriptor has them, if there is one.
    #[must_use]
    pub fn between(from: DataType, to: DataType) -> Option<Self> {
        Self::ALL.iter().copied().find(|it| it.from.data_type() == from && it.to.data_type() == to)
    }
}

#[cfg(test)]
mod tests {
    use super::{ComputeType, DataType, FloatConversion};

    /// Tables 8-5 and 8-6, typed in once more as the specification prints them.
    #[test]
    fn codes_and_sizes_are_those_of_the_tables() {
        let sizes = [1, 2, 4, 8, 1, 1, 2, 2, 4, 8];
        for code in 0..=u8::MAX {
            let size = DataType::from_code(code).map(DataType::size);
            assert_eq!(size, sizes.get(usize::from(code)).copied(), "data type {code}");
            let is_compute = [1, 3, 4, 5, 6, 7].contains(&code);
            assert_eq!(ComputeType::from_code(code).is_some(), is_compute, "compute type {code}");
        }
    }

    #[test]
    fn double_converts_only_to_and_from_single() {
        let with = |data_type| {
            FloatConversion::ALL
                .iter()
                .filter(move |it| it.to().data_type() == data_type || it.from().data_type() == data_type)
        };
        assert_eq!(with(DataType::Fp64).count(), 2);
        assert_eq!(FloatConversion::between(DataType::Fp64, DataType::Fp16), None);
        assert_eq!(
            FloatConversion::between(DataType::Bf16, DataType::Fp32).map(FloatConversion::bit),
            Some(23)
        );
    }
}
