//! Data integrity fields: 8 bytes behind each block that say whether it is whole and whether it is the right one.
//!
//! A field is a guard (CRC-16 of the block), an application tag and a reference tag, in this order, big-endian. Blocks
//! with their fields are checked, made, stripped and updated here; [`dix_generate`] writes the fields alone.
//!
//! Tags travel: every function takes the tags of the first block and leaves those of the block behind the last one it
//! did, so work that is cut in pieces goes on where it stopped. After an error they are those of the block that is
//! wrong.
//!
//! The trap: a descriptor has 1 for a *fixed* reference tag and 0 for a *fixed* application tag. Here both are a
//! [`TagKind`].
//!
//! Source: DSA §8.3.14 to §8.3.18, appendix B.

mod field;
mod run;

pub use run::{check, dix_generate, insert, strip, update};

/// Bytes of a data integrity field.
pub const FIELD_BYTES: usize = 8;

/// Bytes of data in a block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum BlockSize {
    /// 512.
    #[default]
    B512,
    /// 520.
    B520,
    /// 4096.
    B4096,
    /// 4104.
    B4104,
}

impl BlockSize {
    /// Every size, in the order of their codes in a descriptor.
    pub const ALL: [Self; 4] = [Self::B512, Self::B520, Self::B4096, Self::B4104];

    /// Bytes of data, without the field.
    pub const fn bytes(self) -> usize {
        match self {
            Self::B512 => 512,
            Self::B520 => 520,
            Self::B4096 => 4096,
            Self::B4104 => 4104,
        }
    }

    /// Bytes of data and field.
    pub const fn bytes_with_field(self) -> usize {
        self.bytes() + FIELD_BYTES
    }
}

/// How blocks are cut and guarded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Format {
    /// Bytes of data in a block.
    pub block_size: BlockSize,
    /// The CRC starts from 0xffff, not from 0.
    pub invert_crc_seed: bool,
    /// The CRC is complemented.
    pub invert_crc_result: bool,
}

/// What becomes of a tag from one block to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TagKind {
    /// It stays.
    Fixed,
    /// It is one more, and 0 behind its largest value.
    Incrementing,
}

/// How the fields of the source are checked. By default everything is, with a fixed application tag and a reference
/// tag that increments, as storage has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SourceChecks {
    /// Check the guard.
    pub guard: bool,
    /// Check the reference tag. The application tag is checked unless its mask is 0xffff.
    pub ref_tag: bool,
    /// How the expected reference tag goes on.
    pub ref_tag_kind: TagKind,
    /// How the expected application tag goes on.
    pub app_tag_kind: TagKind,
    /// Do not check a block whose application tag is all ones.
    pub app_tag_f_detect: bool,
    /// Do not check a block whose application and reference tags are all ones.
    pub app_ref_tag_f_detect: bool,
    /// Do not check a block whose field is all ones.
    pub all_f_detect: bool,
    /// With [`all_f_detect`](Self::all_f_detect), such a field is an error.
    pub all_f_error: bool,
}

impl Default for SourceChecks {
    fn default() -> Self {
        Self {
            guard: true,
            ref_tag: true,
            ref_tag_kind: TagKind::Incrementing,
            app_tag_kind: TagKind::Fixed,
            app_tag_f_detect: false,
            app_ref_tag_f_detect: false,
            all_f_detect: false,
            all_f_error: false,
        }
    }
}

/// How the fields of the destination are made. What is passed on from the source exists in [`update`] alone; the
/// others ignore it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DestinationFields {
    /// How the reference tag goes on.
    pub ref_tag_kind: TagKind,
    /// How the application tag goes on.
    pub app_tag_kind: TagKind,
    /// The guard is the source's.
    pub pass_guard: bool,
    /// The reference tag is the source's.
    pub pass_ref_tag: bool,
    /// The application tag is the source's.
    pub pass_app_tag: bool,
}

impl Default for DestinationFields {
    fn default() -> Self {
        Self {
            ref_tag_kind: TagKind::Incrementing,
            app_tag_kind: TagKind::Fixed,
            pass_guard: false,
            pass_ref_tag: false,
            pass_app_tag: false,
        }
    }
}

/// The tags of one block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tags {
    /// Reference tag.
    pub ref_tag: u32,
    /// Application tag, before the mask.
    pub app_tag: u16,
    /// Bits of the application tag that do not count: not compared, and written as 0.
    pub app_tag_mask: u16,
}

impl Tags {
    /// Those of the next block.
    #[inline]
    pub fn advance(&mut self, ref_tag: TagKind, app_tag: TagKind) {
        if ref_tag == TagKind::Incrementing {
            self.ref_tag = self.ref_tag.wrapping_add(1);
        }
        if app_tag == TagKind::Incrementing {
            self.app_tag = self.app_tag.wrapping_add(1);
        }
    }
}

/// What of a field is wrong. More than one of the first three may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Mismatch {
    /// The guard is not that of the data.
    pub guard: bool,
    /// The application tag is not the expected one.
    pub app_tag: bool,
    /// The reference tag is not the expected one.
    pub ref_tag: bool,
    /// The field is all ones, and that is an error.
    pub all_f: bool,
}

impl Mismatch {
    /// The DIF status of a completion record (DSA §8.3.17.4); 0 for none.
    pub const fn bits(self) -> u8 {
        self.guard as u8 | (self.app_tag as u8) << 1 | (self.ref_tag as u8) << 2 | (self.all_f as u8) << 3
    }
}

/// Why an operation on blocks did not come to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The source is not a number of whole blocks. Nothing was done.
    #[error("{bytes} bytes are no multiple of {unit}")]
    Source {
        /// Bytes of the source.
        bytes: usize,
        /// Bytes of a block there.
        unit: usize,
    },
    /// The destination has not the length that the source makes. Nothing was done.
    #[error("destination of {bytes} bytes for {needed}")]
    Destination {
        /// Bytes of the destination.
        bytes: usize,
        /// Bytes it must have.
        needed: usize,
    },
    /// A field of the source is wrong. The blocks before it are done.
    #[error("block {block}: data integrity field wrong (status {:#04x})", mismatch.bits())]
    Mismatch {
        /// Number of the block, from 0.
        block: usize,
        /// What is wrong.
        mismatch: Mismatch,
    },
}
