//! The other direction: reading a descriptor as a device does.

use super::{
    COMPLETION_ADDR, CRC_SEED, CRC_SEED_ADDR, CRC64_SEED, DELTA_ADDR, DELTA_SIZE, DELTA_SIZE_MAX, DIF_FLAGS,
    DST_ADDR, DST_DIF_FLAGS, DST_DIF_TAGS, DST2_ADDR, Descriptor, EXPECTED_RESULT, EXPECTED_RESULT_MASK,
    FLAGS_OPCODE, INT_HANDLE, PASID_MASK, PATTERN_HIGH, PRIVILEGED, REGION_STRIDE, SRC_ADDR, SRC_DIF_FLAGS,
    SRC_DIF_TAGS, TRUSTED, XFER_SIZE,
};
use crate::{DifFlags, DifTags, DstDifFlags, Flags, Opcode, SrcDifFlags};

/// What a device reads. Fields share bytes: the operation says which of them are there.
impl Descriptor {
    /// Takes the 64 bytes as they came from a portal or from a batch's list. Any value is accepted.
    #[must_use]
    #[inline]
    pub const fn from_bytes(bytes: [u8; Self::SIZE]) -> Self {
        Self { bytes }
    }

    /// The 64 bytes for the portal.
    #[must_use]
    #[inline]
    pub const fn as_bytes(&self) -> &[u8; Self::SIZE] {
        &self.bytes
    }

    /// Byte 7 (§8.1.2).
    #[must_use]
    #[inline]
    pub fn opcode(&self) -> Opcode {
        Opcode(self.bytes[7])
    }

    /// Bytes 6:4 (§8.1.3), unknown bits included.
    #[must_use]
    #[inline]
    pub fn flags(&self) -> Flags {
        Flags::from_bits_retain(FLAGS_OPCODE.read(&self.bytes)) & Flags::FIELD
    }

    /// Bytes 3:0, bits 19:0 (§8.1.1).
    #[must_use]
    pub fn pasid(&self) -> u32 {
        TRUSTED.read(&self.bytes) & PASID_MASK
    }

    /// Bytes 3:0, bit 31 (§8.1.1).
    #[must_use]
    pub fn privileged(&self) -> bool {
        TRUSTED.read(&self.bytes) & PRIVILEGED != 0
    }

    /// Bytes 15:8, if [`Flags::COMPLETION_ADDR_VALID`] is set; else reserved (§8.1.4).
    #[must_use]
    #[inline]
    pub fn completion_addr(&self) -> u64 {
        COMPLETION_ADDR.read(&self.bytes)
    }

    /// Bytes 23:16: source, or source 1 (§8.1.5).
    #[must_use]
    pub fn src_addr(&self) -> u64 {
        SRC_ADDR.read(&self.bytes)
    }

    /// Bytes 31:24: destination, or destination 1 (§8.1.6).
    #[must_use]
    pub fn dst_addr(&self) -> u64 {
        DST_ADDR.read(&self.bytes)
    }

    /// Bytes 35:32, in bytes (§8.1.7). The region size of a translation fetch.
    #[must_use]
    pub fn xfer_size(&self) -> u32 {
        XFER_SIZE.read(&self.bytes)
    }

    /// Bytes 37:36, if [`Flags::REQUEST_INTERRUPT`] is set; else reserved (§8.1.8).
    #[must_use]
    pub fn int_handle(&self) -> u16 {
        INT_HANDLE.read(&self.bytes)
    }

    /// Batch: bytes 23:16 (§8.3.2).
    #[must_use]
    #[inline]
    pub fn desc_list_addr(&self) -> u64 {
        SRC_ADDR.read(&self.bytes)
    }

    /// Batch: bytes 35:32, a number of descriptors (§8.3.2).
    #[must_use]
    #[inline]
    pub fn desc_count(&self) -> u32 {
        XFER_SIZE.read(&self.bytes)
    }

    /// Drain: bytes 23:16, if [`Flags::READBACK_ADDR_1_VALID`] is set (§8.3.3).
    #[must_use]
    pub fn readback_addr_1(&self) -> u64 {
        SRC_ADDR.read(&self.bytes)
    }

    /// Drain: bytes 31:24, if [`Flags::READBACK_ADDR_2_VALID`] is set (§8.3.3).
    #[must_use]
    pub fn readback_addr_2(&self) -> u64 {
        DST_ADDR.read(&self.bytes)
    }

    /// Fill: bytes 23:16, the pattern or its lower half (§8.3.5).
    #[must_use]
    pub fn pattern(&self) -> u64 {
        SRC_ADDR.read(&self.bytes)
    }

    /// Fill: bytes 47:40, the upper half of a 16-byte pattern (§8.3.5).
    #[must_use]
    pub fn pattern_high(&self) -> u64 {
        PATTERN_HIGH.read(&self.bytes)
    }

    /// Fill: both halves of a 16-byte pattern (§8.3.5).
    #[must_use]
    pub fn pattern_16(&self) -> u128 {
        u128::from(self.pattern_high()) << 64 | u128::from(self.pattern())
    }

    /// Compare pattern: bytes 31:24 (§8.3.7).
    #[must_use]
    pub fn compare_pattern_value(&self) -> u64 {
        DST_ADDR.read(&self.bytes)
    }

    /// Compare, create delta: bytes 31:24 (§8.3.6, §8.3.8).
    #[must_use]
    pub fn src2_addr(&self) -> u64 {
        DST_ADDR.read(&self.bytes)
    }

    /// Compare, compare pattern: byte 40, of which only bit 0 counts (§8.3.6).
    #[must_use]
    pub fn expected_result(&self) -> u8 {
        EXPECTED_RESULT.read(&self.bytes)
    }

    /// Create delta: byte 56, of which bits 2:0 count (§8.3.8).
    #[must_use]
    pub fn expected_result_mask(&self) -> u8 {
        EXPECTED_RESULT_MASK.read(&self.bytes)
    }

    /// Create delta: bytes 47:40, where the record is written (§8.3.8).
    #[must_use]
    pub fn delta_addr(&self) -> u64 {
        DELTA_ADDR.read(&self.bytes)
    }

    /// Create delta: bytes 51:48, in bytes (§8.3.8).
    #[must_use]
    pub fn delta_size_max(&self) -> u32 {
        DELTA_SIZE_MAX.read(&self.bytes)
    }

    /// Apply delta: bytes 23:16, where the record is read (§8.3.9).
    #[must_use]
    pub fn apply_delta_addr(&self) -> u64 {
        SRC_ADDR.read(&self.bytes)
    }

    /// Apply delta: bytes 43:40, in bytes (§8.3.9).
    #[must_use]
    pub fn delta_size(&self) -> u32 {
        DELTA_SIZE.read(&self.bytes)
    }

    /// Dualcast: bytes 47:40 (§8.3.10).
    #[must_use]
    pub fn dst2_addr(&self) -> u64 {
        DST2_ADDR.read(&self.bytes)
    }

    /// Translation fetch: bytes 51:48, in bytes, if [`Flags::USE_STRIDE`] is set (§8.3.11).
    #[must_use]
    pub fn stride(&self) -> u32 {
        REGION_STRIDE.read(&self.bytes)
    }

    /// CRC: bytes 43:40, unless [`Flags::READ_CRC_SEED`] is set (§8.3.12).
    #[must_use]
    pub fn crc_seed(&self) -> u32 {
        CRC_SEED.read(&self.bytes)
    }

    /// CRC with [`Flags::CRC64`]: bytes 47:40, unless [`Flags::READ_CRC_SEED`] is set (§8.3.12).
    #[must_use]
    pub fn crc64_seed(&self) -> u64 {
        CRC64_SEED.read(&self.bytes)
    }

    /// CRC: bytes 55:48, if [`Flags::READ_CRC_SEED`] is set (§8.3.12).
    #[must_use]
    pub fn crc_seed_addr(&self) -> u64 {
        CRC_SEED_ADDR.read(&self.bytes)
    }

    /// DIF and DIX: byte 42 (§8.3.17.1).
    #[must_use]
    pub fn dif_flags(&self) -> DifFlags {
        DifFlags::from_bits_retain(DIF_FLAGS.read(&self.bytes))
    }

    /// DIF check, strip, update: byte 40 (§8.3.17.2).
    #[must_use]
    pub fn src_dif_flags(&self) -> SrcDifFlags {
        SrcDifFlags::from_bits_retain(SRC_DIF_FLAGS.read(&self.bytes))
    }

    /// DIF insert, update, DIX generate: byte 41 (§8.3.17.3).
    #[must_use]
    pub fn dst_dif_flags(&self) -> DstDifFlags {
        DstDifFlags::from_bits_retain(DST_DIF_FLAGS.read(&self.bytes))
    }

    /// DIF check, strip, update: bytes 55:48 (§8.3.14).
    #[must_use]
    pub fn src_dif_tags(&self) -> DifTags {
        DifTags::read(&self.bytes, SRC_DIF_TAGS)
    }

    /// DIF insert, update, DIX generate: bytes 63:56 (§8.3.15).
    #[must_use]
    pub fn dst_dif_tags(&self) -> DifTags {
        DifTags::read(&self.bytes, DST_DIF_TAGS)
    }

    /// Bytes 63:40, the meaning by operation.
    #[must_use]
    pub fn op_specific(&self) -> [u8; 24] {
        let mut bytes = [0; 24];
        bytes.copy_from_slice(&self.bytes[40..]);
        bytes
    }
}
