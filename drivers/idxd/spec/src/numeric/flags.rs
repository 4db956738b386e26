//! How numbers are computed with, and what went wrong with them.

use bitflags::bitflags;

bitflags! {
    /// Compute flags: 12 bits, in bits 7:4 of byte 57 and byte 58 of a descriptor.
    ///
    /// Bits 6:4 are [`rounding`](Self::rounding). Unknown bits survive.
    ///
    /// Source: DSA §8.1.12, table 8-7. Not in uapi.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct ComputeFlags: u16 {
        /// Bit 0: the source, source 1, or every vector of a gather reduce is negated.
        const NEGATE_SRC1 = 1 << 0;
        /// Bit 1: source 2 is negated; reduce only.
        const NEGATE_SRC2 = 1 << 1;
        /// Bit 2: a denormal result becomes zero (FTZ). Floating-point results only.
        const FLUSH_TO_ZERO = 1 << 2;
        /// Bit 3: a denormal operand counts as zero (DAZ). Floating-point operands only.
        const DENORMALS_ARE_ZERO = 1 << 3;
        /// Bit 7: integers are in two's complement. Integers only.
        const SIGNED = 1 << 7;
        /// Bit 8: an integer result that does not fit becomes the extreme of its type. Integers only.
        const SATURATE = 1 << 8;
    }
}

impl ComputeFlags {
    /// Bits 11:0: all the bits a descriptor has for them.
    pub const FIELD: Self = Self::from_bits_retain(0xfff);
    /// Bits 6:4.
    pub const ROUNDING: Self = Self::from_bits_retain(0x70);
    /// Bits 11:9.
    pub const RESERVED: Self = Self::from_bits_retain(0xe00);

    /// Bits 6:4; `None` for the reserved values.
    #[must_use]
    pub const fn rounding(self) -> Option<Rounding> {
        match (self.bits() & Self::ROUNDING.bits()) >> 4 {
            0 => Some(Rounding::NearestEven),
            1 => Some(Rounding::Down),
            2 => Some(Rounding::Up),
            3 => Some(Rounding::TowardZero),
            _ => None,
        }
    }

    /// The same with another rounding.
    #[must_use]
    pub const fn with_rounding(self, rounding: Rounding) -> Self {
        Self::from_bits_retain(self.bits() & !Self::ROUNDING.bits() | (rounding as u16) << 4)
    }
}

/// Where a result goes that its type cannot hold exactly. Floating-point only.
///
/// Source: DSA table 8-7, bits 6:4.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Rounding {
    /// To the nearest, of two equally near to the one whose last bit is 0 (RNE).
    #[default]
    NearestEven = 0,
    /// Towards minus infinity (RD).
    Down = 1,
    /// Towards plus infinity (RU).
    Up = 2,
    /// Towards zero (RTZ).
    TowardZero = 3,
}

bitflags! {
    /// What happened to at least one element: the result byte of a numeric operation.
    ///
    /// Unknown bits survive. The parts of a resumed operation each report their own: the union is that of the whole.
    ///
    /// Source: DSA §8.2.2, table 8-11. Not in uapi.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct Exceptions: u8 {
        /// Bit 0: a NaN, or infinities of opposite signs added. The element is a NaN.
        const INVALID = 1 << 0;
        /// Bit 1: a denormal operand that did not count as zero.
        const DENORMAL = 1 << 1;
        /// Bit 2: a result its type cannot hold.
        const OVERFLOW = 1 << 2;
        /// Bit 3: a result below the least normal number of its type.
        const UNDERFLOW = 1 << 3;
    }
}

#[cfg(test)]
mod tests {
    use super::{ComputeFlags, Rounding};

    #[test]
    fn rounding_is_in_its_three_bits_alone() {
        let flags = ComputeFlags::all().with_rounding(Rounding::TowardZero);
        assert_eq!((flags.bits() >> 4 & 7, flags.rounding()), (3, Some(Rounding::TowardZero)));
        assert_eq!(flags.with_rounding(Rounding::NearestEven) & ComputeFlags::all(), ComputeFlags::all());
        for reserved in 4..8 {
            assert_eq!(ComputeFlags::from_bits_retain(reserved << 4).rounding(), None);
        }
    }
}
