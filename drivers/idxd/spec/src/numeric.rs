//! Numbers: what the elements of a numeric operation are and how they are computed with.
//!
//! [`Integers`] and [`Floats`] are the two ways to say it, because nothing converts between the two classes and because
//! each has flags the other must not have. So what a device would refuse cannot be written down: a conversion from an
//! integer to a floating-point type, a bitwise operation on floating-point numbers, saturation of them, a conversion
//! that no capability bit stands for.
//!
//! ```compile_fail,E0308
//! # use idxd_spec::{FloatType, Integers, IntegerType};
//! let mixed = Integers::signed(IntegerType::Int32, FloatType::Fp32);
//! ```
//!
//! ```compile_fail,E0308
//! # use idxd_spec::{Floats, FloatType, IntegerCompute, Reduction};
//! let bits_of_a_float = Reduction::floats(IntegerCompute::Xor, Floats::of(FloatType::Fp32));
//! ```
//!
//! ```compile_fail,E0599
//! # use idxd_spec::{Floats, FloatType};
//! let saturated = Floats::of(FloatType::Bf16).saturating();
//! ```

mod flags;
mod types;

pub use flags::{ComputeFlags, Exceptions, Rounding};
pub use types::{
    ComputeType, DataType, FloatCompute, FloatConversion, FloatType, IntegerCompute, IntegerType,
};

/// Elements of a numeric operation: type in memory before and after, and how they are treated.
///
/// Made from [`Integers`] or [`Floats`], or from a single [`DataType`] where nothing is to be said.
///
/// Source: DSA §8.1.10, §8.1.12.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numbers {
    input: DataType,
    output: DataType,
    flags: ComputeFlags,
}

impl Numbers {
    /// What is read: IData Type.
    #[must_use]
    pub const fn input(self) -> DataType {
        self.input
    }

    /// What is written: OData Type.
    #[must_use]
    pub const fn output(self) -> DataType {
        self.output
    }

    /// The compute flags.
    #[must_use]
    pub const fn flags(self) -> ComputeFlags {
        self.flags
    }

    /// The operands are negated first: the source, source 1, or every vector of a gather reduce. Needs
    /// [`DsaCap2::negation`](crate::register::DsaCap2::negation).
    #[must_use]
    pub const fn negated(self) -> Self {
        Self { flags: self.flags.union(ComputeFlags::NEGATE_SRC1), ..self }
    }

    pub(crate) const fn src2_negated(self) -> Self {
        Self { flags: self.flags.union(ComputeFlags::NEGATE_SRC2), ..self }
    }
}

/// Integers of any two sizes, both signed or both unsigned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Integers(Numbers);

impl Integers {
    /// Unsigned numbers, read as `input` and written as `output`.
    #[must_use]
    pub const fn unsigned(input: IntegerType, output: IntegerType) -> Self {
        let (input, output) = (input.data_type(), output.data_type());
        Self(Numbers { input, output, flags: ComputeFlags::empty() })
    }

    /// Numbers in two's complement. Needs [`DsaCap2::signed`](crate::register::DsaCap2::signed).
    #[must_use]
    pub const fn signed(input: IntegerType, output: IntegerType) -> Self {
        let Self(numbers) = Self::unsigned(input, output);
        Self(Numbers { flags: ComputeFlags::SIGNED, ..numbers })
    }

    /// What does not fit becomes the extreme of the type and does not wrap. Needs
    /// [`DsaCap2::saturation`](crate::register::DsaCap2::saturation).
    #[must_use]
    pub const fn saturating(self) -> Self {
        Self(Numbers { flags: self.0.flags.union(ComputeFlags::SATURATE), ..self.0 })
    }
}

/// Floating-point numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Floats(Numbers);

impl Floats {
    /// Numbers of one type, rounded to nearest even.
    #[must_use]
    pub const fn of(float: FloatType) -> Self {
        let data_type = float.data_type();
        Self(Numbers { input: data_type, output: data_type, flags: ComputeFlags::empty() })
    }

    /// Numbers that are read as one type and written as another.
    #[must_use]
    pub const fn converted(conversion: FloatConversion) -> Self {
        let (input, output) = (conversion.from().data_type(), conversion.to().data_type());
        Self(Numbers { input, output, flags: ComputeFlags::empty() })
    }

    /// How results are rounded. Needs the bit in
    /// [`DsaCap2::rounding`](crate::register::DsaCap2::rounding).
    #[must_use]
    pub const fn rounded(self, rounding: Rounding) -> Self {
        Self(Numbers { flags: self.0.flags.with_rounding(rounding), ..self.0 })
    }

    /// Denormal operands count as zero (DAZ). Needs
    /// [`DsaCap2::denormals_are_zero`](crate::register::DsaCap2::denormals_are_zero).
    #[must_use]
    pub const fn denormals_are_zero(self) -> Self {
        Self(Numbers { flags: self.0.flags.union(ComputeFlags::DENORMALS_ARE_ZERO), ..self.0 })
    }

    /// Denormal results become zero (FTZ). Needs
    /// [`DsaCap2::flush_to_zero`](crate::register::DsaCap2::flush_to_zero).
    #[must_use]
    pub const fn flush_to_zero(self) -> Self {
        Self(Numbers { flags: self.0.flags.union(ComputeFlags::FLUSH_TO_ZERO), ..self.0 })
    }
}

impl From<Integers> for Numbers {
    fn from(integers: Integers) -> Self {
        integers.0
    }
}

impl From<Floats> for Numbers {
    fn from(floats: Floats) -> Self {
        floats.0
    }
}

/// A compute operation over [`Numbers`] that have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reduction {
    compute: ComputeType,
    numbers: Numbers,
}

impl Reduction {
    /// Combines integers.
    #[must_use]
    pub const fn integers(compute: IntegerCompute, integers: Integers) -> Self {
        Self { compute: compute.compute_type(), numbers: integers.0 }
    }

    /// Combines floating-point numbers.
    #[must_use]
    pub const fn floats(compute: FloatCompute, floats: Floats) -> Self {
        Self { compute: compute.compute_type(), numbers: floats.0 }
    }

    /// The same with source 1, or every vector of a gather reduce, negated first.
    #[must_use]
    pub const fn negated(self) -> Self {
        Self { numbers: self.numbers.negated(), ..self }
    }

    /// The operation.
    #[must_use]
    pub const fn compute(self) -> ComputeType {
        self.compute
    }

    /// What it works on.
    #[must_use]
    pub const fn numbers(self) -> Numbers {
        self.numbers
    }
}
