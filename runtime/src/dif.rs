//! Data integrity fields: eight bytes that follow each block and say what should be in it.
//!
//! A field is a CRC-16 of the block (the *guard*), a 16-bit application tag and a 32-bit reference tag, each
//! big-endian, as T10 has them. Here is what to do with them; the arithmetic is the queues'.
//!
//! Source: T10 SBC-4 §4.22; DSA §8.3.14 to §8.3.18.

use std::fmt;

use bitflags::bitflags;

/// Bytes of a field.
pub const DIF_BYTES: u64 = 8;

/// Bytes of data between two fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum DifBlock {
    /// 512 bytes.
    #[default]
    B512,
    /// 520 bytes.
    B520,
    /// 4096 bytes.
    B4096,
    /// 4104 bytes.
    B4104,
}

impl DifBlock {
    /// Every size there is.
    pub const ALL: [Self; 4] = [Self::B512, Self::B520, Self::B4096, Self::B4104];

    /// Bytes of data.
    pub const fn bytes(self) -> u64 {
        match self {
            Self::B512 => 512,
            Self::B520 => 520,
            Self::B4096 => 4096,
            Self::B4104 => 4104,
        }
    }

    /// Bytes of data and field.
    pub const fn bytes_with_field(self) -> u64 {
        self.bytes() + DIF_BYTES
    }
}

bitflags! {
    /// How guards are computed.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct DifGuard: u8 {
        /// The CRC begins with 0xffff instead of 0.
        const SEED_INVERTED = 1 << 0;
        /// The CRC is inverted at the end.
        const RESULT_INVERTED = 1 << 1;
    }
}

bitflags! {
    /// How fields of a source are checked. Empty: guard and both tags, the reference tag growing by one with each
    /// block, the application tag the same in all.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct DifChecks: u8 {
        /// The guard is not checked.
        const GUARD_IGNORED = 1 << 0;
        /// The reference tag is not checked.
        const REF_TAG_IGNORED = 1 << 1;
        /// The reference tag is the same in all blocks.
        const REF_TAG_FIXED = 1 << 2;
        /// The application tag grows by one with each block.
        const APP_TAG_INCREMENTING = 1 << 3;
        /// A block whose application tag is all ones is not checked.
        const APP_TAG_F_SKIPS = 1 << 4;
        /// A block whose application and reference tags are all ones is not checked.
        const APP_REF_TAG_F_SKIPS = 1 << 5;
        /// A block whose field is all ones is not checked.
        const ALL_F_SKIPS = 1 << 6;
        /// With the one before: such a block is an error instead.
        const ALL_F_FAILS = 1 << 7;
    }
}

bitflags! {
    /// How fields of a destination are made. Empty: all three parts are new, the reference tag grows by one with each
    /// block, the application tag is the same in all.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct DifFields: u8 {
        /// The reference tag is the same in all blocks.
        const REF_TAG_FIXED = 1 << 0;
        /// The application tag grows by one with each block.
        const APP_TAG_INCREMENTING = 1 << 1;
        /// The guard is the source's. For an update.
        const GUARD_PASSED = 1 << 2;
        /// The reference tag is the source's. For an update.
        const REF_TAG_PASSED = 1 << 3;
        /// The application tag is the source's, in the bits of the mask. For an update.
        const APP_TAG_PASSED = 1 << 4;
    }
}

/// The tags of the first block; those after it follow from the flags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct DifTags {
    /// Reference tag.
    pub ref_tag: u32,
    /// Application tag.
    pub app_tag: u16,
    /// Bits of the application tag that are not looked at, or passed through.
    pub app_tag_mask: u16,
}

/// What the fields of a source should be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct DifSource {
    /// What is checked.
    pub checks: DifChecks,
    /// Tags of the first block.
    pub tags: DifTags,
}

/// What the fields of a destination will be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct DifDestination {
    /// What is made.
    pub fields: DifFields,
    /// Tags of the first block.
    pub tags: DifTags,
}

/// Blocks and their guards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct DifFormat {
    /// Bytes of data in a block.
    pub block: DifBlock,
    /// How guards are computed.
    pub guard: DifGuard,
}

bitflags! {
    /// What of a field is not as it should be.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct DifMismatch: u8 {
        /// The guard: the block's data is not what it was, or the guard is not.
        const GUARD = 1 << 0;
        /// The application tag.
        const APP_TAG = 1 << 1;
        /// The reference tag.
        const REF_TAG = 1 << 2;
        /// All bits of the field are ones, which was to be an error.
        const ALL_F = 1 << 3;
    }
}

impl fmt::Display for DifMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [
            (Self::GUARD, "guard"),
            (Self::APP_TAG, "application tag"),
            (Self::REF_TAG, "reference tag"),
            (Self::ALL_F, "all ones"),
        ];
        let mut first = true;
        for (_, name) in names.into_iter().filter(|(flag, _)| self.contains(*flag)) {
            f.write_str(if first { "" } else { ", " })?;
            f.write_str(name)?;
            first = false;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mismatch_names_what_does_not_match() {
        assert_eq!((DifMismatch::GUARD | DifMismatch::REF_TAG).to_string(), "guard, reference tag");
    }

    #[test]
    fn a_block_with_its_field_is_eight_bytes_longer() {
        assert!(DifBlock::ALL.iter().all(|block| block.bytes_with_field() - block.bytes() == DIF_BYTES));
    }
}
