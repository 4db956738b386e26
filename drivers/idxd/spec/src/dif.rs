//! Data integrity fields: the flags and tags of the DIF and DIX operations.
//!
//! The field is 8 bytes behind each block: guard (a CRC-16), application tag, reference tag, all big-endian in memory.
//! The tags in descriptors and records are little-endian like everything else there.
//!
//! The trap: a *fixed* tag is 0 for the application tag and 1 for the reference tag. The names here say which value of
//! which bit is the unusual one, so a set of flags that is empty does what storage does: application tag fixed,
//! reference tag incrementing.

use bitflags::bitflags;

use crate::field::Field;

bitflags! {
    /// Byte 42 of the descriptor: block size in bits 1:0, see [`block_size`](Self::block_size), and how the guard is
    /// computed. DSA §8.3.17.1.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct DifFlags: u8 {
        /// Bit 2: the CRC starts from 0xffff, not 0.
        const INVERT_CRC_SEED = 1 << 2;
        /// Bit 3: the CRC is complemented.
        const INVERT_CRC_RESULT = 1 << 3;
    }
}

impl DifFlags {
    /// Bits 1:0 = 0: 512 bytes of data a block.
    pub const BLOCK_512: Self = Self::from_bits_retain(0);
    /// Bits 1:0 = 1: 520 bytes of data a block.
    pub const BLOCK_520: Self = Self::from_bits_retain(1);
    /// Bits 1:0 = 2: 4096 bytes of data a block.
    pub const BLOCK_4096: Self = Self::from_bits_retain(2);
    /// Bits 1:0 = 3: 4104 bytes of data a block.
    pub const BLOCK_4104: Self = Self::from_bits_retain(3);

    /// Bytes of data in a block, without its data integrity field.
    #[must_use]
    pub const fn block_size(self) -> u32 {
        match self.bits() & 3 {
            0 => 512,
            1 => 520,
            2 => 4096,
            _ => 4104,
        }
    }
}

bitflags! {
    /// Byte 40 of the descriptor: how the fields of the source are checked. DSA §8.3.17.2.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct SrcDifFlags: u8 {
        /// Bit 0: with [`ALL_F_DETECT`](Self::ALL_F_DETECT), a field of ones is an error.
        const ALL_F_ERROR = 1 << 0;
        /// Bit 1: a field of ones is not checked.
        const ALL_F_DETECT = 1 << 1;
        /// Bit 2: a block with an application tag of ones is not checked.
        const APP_TAG_F_DETECT = 1 << 2;
        /// Bit 3: a block with application and reference tags of ones is not checked.
        const APP_REF_TAG_F_DETECT = 1 << 3;
        /// Bit 4: the application tag increments; else it is fixed.
        const APP_TAG_INCREMENTS = 1 << 4;
        /// Bit 5: the guard is not checked.
        const GUARD_CHECK_DISABLE = 1 << 5;
        /// Bit 6: the reference tag is not checked.
        const REF_TAG_CHECK_DISABLE = 1 << 6;
        /// Bit 7: the reference tag is fixed; else it increments.
        const REF_TAG_FIXED = 1 << 7;
    }
}

bitflags! {
    /// Byte 41 of the descriptor: how the fields of the destination are made. DSA §8.3.17.3.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct DstDifFlags: u8 {
        /// Bit 3: the application tag is that of the source.
        const APP_TAG_PASS = 1 << 3;
        /// Bit 4: the application tag increments; else it is fixed.
        const APP_TAG_INCREMENTS = 1 << 4;
        /// Bit 5: the guard is that of the source.
        const GUARD_PASS = 1 << 5;
        /// Bit 6: the reference tag is that of the source.
        const REF_TAG_PASS = 1 << 6;
        /// Bit 7: the reference tag is fixed; else it increments.
        const REF_TAG_FIXED = 1 << 7;
    }
}

bitflags! {
    /// Byte 1 of the completion record when the status is [`DIF_ERROR`](crate::Status::DIF_ERROR). DSA §8.3.17.4.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct DifStatus: u8 {
        /// The guard does not match.
        const GUARD = 1 << 0;
        /// The application tag does not match.
        const APP_TAG = 1 << 1;
        /// The reference tag does not match.
        const REF_TAG = 1 << 2;
        /// The field is all ones, and that is an error.
        const ALL_F = 1 << 3;
    }
}

/// The tags of the next block, in a descriptor as seeds and in a completion record to go on with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct DifTags {
    /// Reference tag.
    pub ref_tag: u32,
    /// Bits of the application tag that are not compared.
    pub app_tag_mask: u16,
    /// Application tag.
    pub app_tag: u16,
}

impl DifTags {
    pub(crate) const SIZE: usize = 8;

    pub(crate) fn read(record: &[u8], offset: usize) -> Self {
        Self {
            ref_tag: Field::<u32>::at(offset).read(record),
            app_tag_mask: Field::<u16>::at(offset + 4).read(record),
            app_tag: Field::<u16>::at(offset + 6).read(record),
        }
    }

    pub(crate) fn write(self, record: &mut [u8], offset: usize) {
        Field::<u32>::at(offset).write(record, self.ref_tag);
        Field::<u16>::at(offset + 4).write(record, self.app_tag_mask);
        Field::<u16>::at(offset + 6).write(record, self.app_tag);
    }
}
