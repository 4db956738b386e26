//! What is left of a descriptor when part of it is done.

use super::{
    CRC_SEED_ADDR, CRC64_SEED, DELTA_ADDR, DELTA_SIZE, DELTA_SIZE_MAX, DST_ADDR, DST_DIF_TAGS, DST2_ADDR,
    Descriptor, PATTERN_HIGH, SRC_ADDR, SRC_DIF_TAGS, XFER_SIZE, halves,
};
use crate::field::Field;
use crate::{DifTags, Flags};

/// Each of these moves one field on. Addresses wrap: a descriptor whose range does so was refused before.
impl Descriptor {
    pub(super) fn moved_up(mut self, field: Field<u64>, bytes: u64) -> Self {
        let addr = field.read(&self.bytes).wrapping_add(bytes);
        field.write(&mut self.bytes, addr);
        self
    }

    pub(super) fn shrunk(mut self, field: Field<u32>, by: u32) -> Self {
        let size = field.read(&self.bytes).saturating_sub(by);
        field.write(&mut self.bytes, size);
        self
    }

    pub(crate) fn src_up(self, bytes: u64) -> Self {
        self.moved_up(SRC_ADDR, bytes)
    }

    pub(crate) fn dst_up(self, bytes: u64) -> Self {
        self.moved_up(DST_ADDR, bytes)
    }

    /// The second source is where others have a destination.
    pub(crate) fn src2_up(self, bytes: u64) -> Self {
        self.dst_up(bytes)
    }

    pub(crate) fn dst2_up(self, bytes: u64) -> Self {
        self.moved_up(DST2_ADDR, bytes)
    }

    /// Create delta: the room for the record moves up and shrinks.
    pub(crate) fn delta_up(self, bytes: u32) -> Self {
        self.moved_up(DELTA_ADDR, bytes.into()).shrunk(DELTA_SIZE_MAX, bytes)
    }

    pub(crate) fn delta_shrunk(self, bytes: u32) -> Self {
        self.shrunk(DELTA_SIZE, bytes)
    }

    /// Bytes, or descriptors of a batch.
    pub(crate) fn size_shrunk(self, by: u32) -> Self {
        self.shrunk(XFER_SIZE, by)
    }

    /// Fill: the pattern as it stands `bytes` further on.
    pub(crate) fn pattern_turned(mut self, bytes: u32) -> Self {
        if self.flags().contains(Flags::PATTERN_16) {
            let (low, high) = halves(self.pattern_16().rotate_right(8 * (bytes % 16)));
            SRC_ADDR.write(&mut self.bytes, low);
            PATTERN_HIGH.write(&mut self.bytes, high);
        } else {
            let pattern = self.pattern().rotate_right(8 * (bytes % 8));
            SRC_ADDR.write(&mut self.bytes, pattern);
        }
        self
    }

    /// Compare pattern: the pattern as it stands `bytes` further on.
    pub(crate) fn compare_pattern_turned(mut self, bytes: u32) -> Self {
        let pattern = self.compare_pattern_value().rotate_right(8 * (bytes % 8));
        DST_ADDR.write(&mut self.bytes, pattern);
        self
    }

    /// CRC: goes on from `crc`, not from memory. The third traffic class is reserved without a seed address.
    pub(crate) fn crc_continued(mut self, crc: u64) -> Self {
        let seed = if self.flags().contains(Flags::CRC64) { crc } else { crc & 0xffff_ffff };
        CRC64_SEED.write(&mut self.bytes, seed);
        CRC_SEED_ADDR.write(&mut self.bytes, 0);
        if self.flags().contains(Flags::READ_CRC_SEED) {
            self = self.without_flags(Flags::READ_CRC_SEED | Flags::ADDR3_TC);
        }
        self
    }

    pub(crate) fn src_tags_replaced(mut self, tags: DifTags) -> Self {
        tags.write(&mut self.bytes, SRC_DIF_TAGS);
        self
    }

    pub(crate) fn dst_tags_replaced(mut self, tags: DifTags) -> Self {
        tags.write(&mut self.bytes, DST_DIF_TAGS);
        self
    }
}
