//! Configuration and state in memory (AECS) of a filter: the first 32 bytes of that of decompression.

use core::fmt;

use crate::field::{Field, fields};

const CRC: Field<u32> = Field::at(0x0);
const XOR_CSUM: Field<u16> = Field::at(0x4);
const LOW: Field<u32> = Field::at(0x8);
const HIGH: Field<u32> = Field::at(0xc);
const OUTPUT_INDEX: Field<u32> = Field::at(0x10);
const DROP_INITIAL_BYTES: Field<u16> = Field::at(0x14);

/// The AECS of a filter: 32 bytes, 32-byte aligned.
///
/// A filter only reads it. Table 6-14 gives the place of each field by its double word; Drop Initial Bytes shares one with
/// a reserved half, and is in the lower half here, as it stands on the right in the table.
///
/// Source: IAA §6.4.1, tables 3-2, 6-14 and 6-15.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(C, align(32))]
pub struct FilterAecs {
    bytes: [u8; FilterAecs::SIZE],
}

const _: () = assert!(size_of::<FilterAecs>() == FilterAecs::SIZE);
const _: () = assert!(align_of::<FilterAecs>() == FilterAecs::ALIGN);
const _: () = assert!(DROP_INITIAL_BYTES.range().end <= FilterAecs::SIZE);

fields! { FilterAecs with
    /// Bytes 3:0: seed of the CRC of the input.
    crc / with_crc: u32 = CRC;
    /// Bytes 5:4: seed of the exclusive or of the input.
    xor_csum / with_xor_csum: u16 = XOR_CSUM;
    /// Bytes 0xb:0x8: scan: least element in range; extract: index of the first element.
    low / with_low: u32 = LOW;
    /// Bytes 0xf:0xc: scan: greatest element in range; extract: index of the last element.
    high / with_high: u32 = HIGH;
    /// Bytes 0x13:0x10: index of the first bit of output, in what is written and in the aggregates.
    output_index / with_output_index: u32 = OUTPUT_INDEX;
    /// Bytes 0x15:0x14: bytes of the input to drop before the first element.
    drop_initial_bytes / with_drop_initial_bytes: u16 = DROP_INITIAL_BYTES;
}

impl FilterAecs {
    /// Bytes, and the size to put in the descriptor (table 3-2).
    pub const SIZE: usize = 32;
    /// [`SIZE`](Self::SIZE) as the descriptor has it.
    pub const SIZE_U32: u32 = 32;
    /// Alignment in memory; another one is error 0x1c.
    pub const ALIGN: usize = 32;

    /// All zeros.
    #[must_use]
    pub const fn new() -> Self {
        Self { bytes: [0; Self::SIZE] }
    }

    /// Takes the first bytes of an AECS of any size.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; Self::SIZE]) -> Self {
        Self { bytes }
    }

    /// The bytes for the device.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::SIZE] {
        &self.bytes
    }
}

impl Default for FilterAecs {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for FilterAecs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FilterAecs")
            .field("low", &self.low())
            .field("high", &self.high())
            .field("output_index", &self.output_index())
            .field("drop_initial_bytes", &self.drop_initial_bytes())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::FilterAecs;

    /// Rows of table 6-14, byte by byte.
    #[test]
    fn fields_lie_where_the_table_has_them() {
        let aecs = FilterAecs::new()
            .with_crc(0x0403_0201)
            .with_xor_csum(0x0605)
            .with_low(0x0c0b_0a09)
            .with_high(0x100f_0e0d)
            .with_output_index(0x1413_1211)
            .with_drop_initial_bytes(0x1615);
        let mut expected: [u8; 32] = core::array::from_fn(|at| u8::try_from(at + 1).unwrap());
        expected[6..8].fill(0);
        expected[22..].fill(0);
        assert_eq!(*aecs.as_bytes(), expected);
        assert_eq!(FilterAecs::from_bytes(expected), aecs);
    }
}
