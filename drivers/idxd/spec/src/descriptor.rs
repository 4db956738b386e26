//! Work for a DSA device.
//!
//! A [`Descriptor`] is made by the constructor of its operation, which takes what the operation requires, and by
//! setters for the rest; so a descriptor that no device could run is hard to write down. The readers are for the other
//! side, a device model that decodes what it was sent: they read the bytes wherever the operation puts that field, and
//! it is for the caller to know that the operation has it.

mod decode;
mod inter_domain;
mod numeric;
mod reserved;
mod rest;
mod scatter_gather;

pub use numeric::{GatherReduce, Reduce, Sgl, TypeConversion};
pub use scatter_gather::Blocks;

use core::fmt;

use crate::delta::{ApplyDelta, CreateDelta};
use crate::dif::{DifFlags, DifTags, DstDifFlags, SrcDifFlags};
use crate::field::Field;
use crate::{DstAddr, Flags, Opcode, SrcAddr};

/// PASID in bits 19:0, privilege in bit 31 (DSA §8.1.1).
const TRUSTED: Field<u32> = Field::at(0);
/// Flags in bits 23:0, opcode in bits 31:24 (§8.1.2, §8.1.3).
const FLAGS_OPCODE: Field<u32> = Field::at(4);
const COMPLETION_ADDR: Field<u64> = Field::at(8);
/// Source, source 1, readback address 1, pattern, descriptor list, delta record to apply, region.
const SRC_ADDR: Field<u64> = Field::at(16);
/// Destination, destination 1, source 2, readback address 2, pattern to compare with.
const DST_ADDR: Field<u64> = Field::at(24);
/// Bytes, or the number of descriptors of a batch.
const XFER_SIZE: Field<u32> = Field::at(32);
const INT_HANDLE: Field<u16> = Field::at(36);
const EXPECTED_RESULT: Field<u8> = Field::at(40);
const PATTERN_HIGH: Field<u64> = Field::at(40);
const DST2_ADDR: Field<u64> = Field::at(40);
const DELTA_ADDR: Field<u64> = Field::at(40);
const DELTA_SIZE: Field<u32> = Field::at(40);
const DELTA_SIZE_MAX: Field<u32> = Field::at(48);
const EXPECTED_RESULT_MASK: Field<u8> = Field::at(56);
const CRC_SEED: Field<u32> = Field::at(40);
const CRC64_SEED: Field<u64> = Field::at(40);
const CRC_SEED_ADDR: Field<u64> = Field::at(48);
const REGION_STRIDE: Field<u32> = Field::at(48);
const SRC_DIF_FLAGS: Field<u8> = Field::at(40);
const DST_DIF_FLAGS: Field<u8> = Field::at(41);
const DIF_FLAGS: Field<u8> = Field::at(42);
const SRC_DIF_TAGS: usize = 48;
const DST_DIF_TAGS: usize = 56;

const PASID_MASK: u32 = 0x000f_ffff;
const PRIVILEGED: u32 = 1 << 31;

/// One unit of work, 64 bytes, in the form the portal takes it. Addresses are the process's own.
///
/// The layout is that of the bus, little-endian, on every host.
///
/// Source: DSA §8.1; uapi `struct dsa_hw_desc`.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(C, align(64))]
pub struct Descriptor {
    bytes: [u8; Descriptor::SIZE],
}

const _: () = assert!(size_of::<Descriptor>() == 64 && align_of::<Descriptor>() == 64);
const _: () = assert!(DIF_FLAGS.range().end == 43 && EXPECTED_RESULT_MASK.range().end == 57);
const _: () = assert!(CRC_SEED_ADDR.range().end == 56 && DST_DIF_TAGS + DifTags::SIZE == Descriptor::SIZE);

/// One constructor for each operation. Sizes are bytes, 1 to the work queue's maximum transfer size, and addresses
/// need no alignment, except where the operation says so.
impl Descriptor {
    /// Bytes of a descriptor, and its alignment in memory and at the portal.
    pub const SIZE: usize = 64;

    #[inline]
    fn new(opcode: Opcode) -> Self {
        let mut this = Self { bytes: [0; Self::SIZE] };
        FLAGS_OPCODE.write(&mut this.bytes, u32::from(opcode.0) << 24);
        this
    }

    #[inline]
    fn transfer(opcode: Opcode, src_addr: u64, dst_addr: u64, xfer_size: u32) -> Self {
        let mut this = Self::new(opcode);
        SRC_ADDR.write(&mut this.bytes, src_addr);
        DST_ADDR.write(&mut this.bytes, dst_addr);
        XFER_SIZE.write(&mut this.bytes, xfer_size);
        this
    }

    /// Does nothing but complete (DSA §8.3.1).
    #[must_use]
    pub fn noop() -> Self {
        Self::new(Opcode::NOOP)
    }

    /// Runs `count` descriptors at `list`, which is 64-byte aligned (DSA §8.3.2). One is allowed only since DSA 3, see
    /// [`GenCap::batch_of_one`](crate::GenCap::batch_of_one).
    #[must_use]
    #[inline]
    pub fn batch(list: SrcAddr, count: u32) -> Self {
        Self::transfer(Opcode::BATCH, list.0, 0, count)
    }

    /// Waits for the descriptors before it in the same work queue (DSA §8.3.3). Needs a completion record or an
    /// interrupt, and is not allowed in a batch.
    #[must_use]
    pub fn drain() -> Self {
        Self::new(Opcode::DRAIN)
    }

    /// Copies `src` to `dst` (DSA §8.3.4). They may overlap where the device says so, see
    /// [`GenCap::overlapping_copy`](crate::GenCap::overlapping_copy).
    #[must_use]
    #[inline]
    pub fn memmove(src: SrcAddr, dst: DstAddr, xfer_size: u32) -> Self {
        Self::transfer(Opcode::MEMMOVE, src.0, dst.0, xfer_size)
    }

    /// Repeats the 8 bytes of `pattern`, lowest first, over `dst` (DSA §8.3.5).
    #[must_use]
    #[inline]
    pub fn fill(pattern: u64, dst: DstAddr, xfer_size: u32) -> Self {
        Self::transfer(Opcode::FILL, pattern, dst.0, xfer_size)
    }

    /// Repeats the 16 bytes of `pattern`, lowest first, over `dst` (DSA §8.3.5). Since DSA 2, see
    /// [`GenCap::fill_16`](crate::GenCap::fill_16).
    #[must_use]
    pub fn fill_16(pattern: u128, dst: DstAddr, xfer_size: u32) -> Self {
        let (low, high) = halves(pattern);
        let mut this = Self::transfer(Opcode::FILL, low, dst.0, xfer_size).with_flags(Flags::PATTERN_16);
        PATTERN_HIGH.write(&mut this.bytes, high);
        this
    }

    /// Compares two ranges (DSA §8.3.6).
    #[must_use]
    #[inline]
    pub fn compare(src1: SrcAddr, src2: SrcAddr, xfer_size: u32) -> Self {
        Self::transfer(Opcode::COMPARE, src1.0, src2.0, xfer_size)
    }

    /// Compares a range with the repeated 8 bytes of `pattern`, lowest first (DSA §8.3.7).
    #[must_use]
    pub fn compare_pattern(src: SrcAddr, pattern: u64, xfer_size: u32) -> Self {
        Self::transfer(Opcode::COMPARE_PATTERN, src.0, pattern, xfer_size)
    }

    /// Records what differs between two ranges (DSA §8.3.8).
    #[must_use]
    pub fn create_delta(delta: CreateDelta) -> Self {
        let CreateDelta { src1_addr, src2_addr, xfer_size, delta_addr, delta_size_max } = delta;
        let mut this = Self::transfer(Opcode::CREATE_DELTA, src1_addr.0, src2_addr.0, xfer_size);
        DELTA_ADDR.write(&mut this.bytes, delta_addr.0);
        DELTA_SIZE_MAX.write(&mut this.bytes, delta_size_max);
        this
    }

    /// Applies a record of differences (DSA §8.3.9).
    #[must_use]
    pub fn apply_delta(delta: ApplyDelta) -> Self {
        let ApplyDelta { delta_addr, delta_size, dst_addr, xfer_size } = delta;
        let mut this = Self::transfer(Opcode::APPLY_DELTA, delta_addr.0, dst_addr.0, xfer_size);
        DELTA_SIZE.write(&mut this.bytes, delta_size);
        this
    }

    /// Copies `src` to two destinations, whose bits 11:0 are the same (DSA §8.3.10).
    #[must_use]
    pub fn dualcast(src: SrcAddr, dst1: DstAddr, dst2: DstAddr, xfer_size: u32) -> Self {
        let mut this = Self::transfer(Opcode::DUALCAST, src.0, dst1.0, xfer_size);
        DST2_ADDR.write(&mut this.bytes, dst2.0);
        this
    }

    /// Fetches the translations of `region_size` bytes at `region`, one a page or one a stride (DSA §8.3.11). Since
    /// DSA 2.
    #[must_use]
    pub fn translation_fetch(region: SrcAddr, region_size: u32) -> Self {
        Self::transfer(Opcode::TRANSLATION_FETCH, region.0, 0, region_size)
    }

    /// Computes the CRC-32C of a range (DSA §8.3.12). `seed` is 0, or the result so far.
    #[must_use]
    #[inline]
    pub fn crc(src: SrcAddr, xfer_size: u32, seed: u32) -> Self {
        let mut this = Self::transfer(Opcode::CRC, src.0, 0, xfer_size);
        CRC_SEED.write(&mut this.bytes, seed);
        this
    }

    /// Computes the 64-bit CRC of NVMe (DSA §8.3.12). Since DSA 2, see [`GenCap::crc64`](crate::GenCap::crc64).
    #[must_use]
    pub fn crc64(src: SrcAddr, xfer_size: u32, seed: u64) -> Self {
        Self::transfer(Opcode::CRC, src.0, 0, xfer_size).with_flags(Flags::CRC64).with_crc64_seed(seed)
    }

    /// Copies, and computes the CRC-32C of what it copied (DSA §8.3.13).
    #[must_use]
    pub fn copy_crc(src: SrcAddr, dst: DstAddr, xfer_size: u32, seed: u32) -> Self {
        let mut this = Self::transfer(Opcode::COPY_CRC, src.0, dst.0, xfer_size);
        CRC_SEED.write(&mut this.bytes, seed);
        this
    }

    /// Copies, and computes the 64-bit CRC of NVMe (DSA §8.3.13). Since DSA 2.
    #[must_use]
    pub fn copy_crc64(src: SrcAddr, dst: DstAddr, xfer_size: u32, seed: u64) -> Self {
        Self::transfer(Opcode::COPY_CRC, src.0, dst.0, xfer_size)
            .with_flags(Flags::CRC64)
            .with_crc64_seed(seed)
    }

    /// Checks the data integrity field behind each block (DSA §8.3.14). `xfer_size` counts the fields.
    #[must_use]
    pub fn dif_check(
        src: SrcAddr,
        xfer_size: u32,
        dif: DifFlags,
        src_dif: SrcDifFlags,
        tags: DifTags,
    ) -> Self {
        Self::transfer(Opcode::DIF_CHECK, src.0, 0, xfer_size).with_dif(dif).with_src_dif(src_dif, tags)
    }

    /// Copies and puts a data integrity field behind each block (DSA §8.3.15). `xfer_size` does not count the fields.
    #[must_use]
    pub fn dif_insert(
        src: SrcAddr,
        dst: DstAddr,
        xfer_size: u32,
        dif: DifFlags,
        dst_dif: DstDifFlags,
        tags: DifTags,
    ) -> Self {
        Self::transfer(Opcode::DIF_INSERT, src.0, dst.0, xfer_size).with_dif(dif).with_dst_dif(dst_dif, tags)
    }

    /// Copies without the data integrity fields, checking them (DSA §8.3.16). `xfer_size` counts the fields.
    #[must_use]
    pub fn dif_strip(
        src: SrcAddr,
        dst: DstAddr,
        xfer_size: u32,
        dif: DifFlags,
        src_dif: SrcDifFlags,
        tags: DifTags,
    ) -> Self {
        Self::transfer(Opcode::DIF_STRIP, src.0, dst.0, xfer_size).with_dif(dif).with_src_dif(src_dif, tags)
    }

    /// Copies and replaces the data integrity fields, checking the old ones (DSA §8.3.17). `xfer_size` counts the
    /// fields.
    #[must_use]
    pub fn dif_update(
        src: SrcAddr,
        dst: DstAddr,
        xfer_size: u32,
        dif: DifFlags,
        (src_dif, src_tags): (SrcDifFlags, DifTags),
        (dst_dif, dst_tags): (DstDifFlags, DifTags),
    ) -> Self {
        Self::transfer(Opcode::DIF_UPDATE, src.0, dst.0, xfer_size)
            .with_dif(dif)
            .with_src_dif(src_dif, src_tags)
            .with_dst_dif(dst_dif, dst_tags)
    }

    /// Writes only the data integrity fields of the blocks, to an 8-byte aligned `dst` (DSA §8.3.18). Since DSA 2.
    #[must_use]
    pub fn dix_generate(
        src: SrcAddr,
        dst: DstAddr,
        xfer_size: u32,
        dif: DifFlags,
        dst_dif: DstDifFlags,
        tags: DifTags,
    ) -> Self {
        Self::transfer(Opcode::DIX_GENERATE, src.0, dst.0, xfer_size)
            .with_dif(dif)
            .with_dst_dif(dst_dif, tags)
    }

    /// Flushes the processor caches over a range, or writes them back, by the cache control flags (DSA §8.3.26).
    #[must_use]
    pub fn cache_flush(dst: DstAddr, xfer_size: u32) -> Self {
        Self::transfer(Opcode::CACHE_FLUSH, 0, dst.0, xfer_size)
    }
}

/// What any descriptor may have on top.
impl Descriptor {
    /// Adds `flags` to those set.
    #[must_use]
    #[inline]
    pub fn with_flags(mut self, flags: Flags) -> Self {
        let added = u32::from(self.opcode().0) << 24 | ((self.flags() | flags) & Flags::FIELD).bits();
        FLAGS_OPCODE.write(&mut self.bytes, added);
        self
    }

    /// Removes `flags` from those set.
    #[must_use]
    pub fn without_flags(mut self, flags: Flags) -> Self {
        let left = u32::from(self.opcode().0) << 24 | (self.flags().bits() & !flags.bits());
        FLAGS_OPCODE.write(&mut self.bytes, left);
        self
    }

    /// Asks for a completion record at `addr`, 32-byte aligned, whatever the outcome (§8.1.4).
    #[must_use]
    #[inline]
    pub fn with_completion(self, addr: u64) -> Self {
        self.with_completion_on_error(addr).with_flags(Flags::REQUEST_COMPLETION)
    }

    /// Asks for a completion record at `addr`, 32-byte aligned, only when the status is not success (§8.1.4).
    #[must_use]
    pub fn with_completion_on_error(mut self, addr: u64) -> Self {
        COMPLETION_ADDR.write(&mut self.bytes, addr);
        self.with_flags(Flags::COMPLETION_ADDR_VALID)
    }

    /// Lets the device ask for missing pages and wait, where the work queue allows it (§3.13).
    #[must_use]
    #[inline]
    pub fn with_block_on_fault(self) -> Self {
        self.with_flags(Flags::BLOCK_ON_FAULT)
    }

    /// Waits for the earlier descriptors of the batch. Only for a descriptor inside a batch (§3.8).
    #[must_use]
    pub fn with_fence(self) -> Self {
        self.with_flags(Flags::FENCE)
    }

    /// Raises the interrupt `handle` on completion (§8.1.8).
    #[must_use]
    pub fn with_interrupt(mut self, handle: u16) -> Self {
        INT_HANDLE.write(&mut self.bytes, handle);
        self.with_flags(Flags::REQUEST_INTERRUPT)
    }

    /// Bits 19:0 of the PASID, as `ENQCMD` or the work queue's configuration puts it in front of the device (§8.1.1).
    /// User space leaves it 0.
    #[must_use]
    pub fn with_pasid(mut self, pasid: u32) -> Self {
        let trusted = TRUSTED.read(&self.bytes) & !PASID_MASK | pasid & PASID_MASK;
        TRUSTED.write(&mut self.bytes, trusted);
        self
    }

    /// Marks the descriptor as the kernel's own (§8.1.1). User space leaves it `false`.
    #[must_use]
    pub fn with_privileged(mut self, privileged: bool) -> Self {
        let trusted = TRUSTED.read(&self.bytes) & !PRIVILEGED;
        TRUSTED.write(&mut self.bytes, if privileged { trusted | PRIVILEGED } else { trusted });
        self
    }

    /// Compare and compare pattern: success only if the result is `expected`, 0 for equal or 1 (§8.3.6, table 8-17).
    #[must_use]
    pub fn with_expected_result(mut self, expected: u8) -> Self {
        EXPECTED_RESULT.write(&mut self.bytes, expected);
        self.with_flags(Flags::CHECK_RESULT)
    }

    /// Create delta: success only if bit `result` of `mask` is set (§8.3.8).
    #[must_use]
    pub fn with_expected_result_mask(mut self, mask: u8) -> Self {
        EXPECTED_RESULT_MASK.write(&mut self.bytes, mask);
        self.with_flags(Flags::CHECK_RESULT)
    }

    /// Drain: reads back from `addr` on the traffic class of the first address (§8.3.3).
    #[must_use]
    pub fn with_readback_addr_1(mut self, addr: u64) -> Self {
        SRC_ADDR.write(&mut self.bytes, addr);
        self.with_flags(Flags::READBACK_ADDR_1_VALID)
    }

    /// Drain: reads back from `addr` on the traffic class of the second address (§8.3.3).
    #[must_use]
    pub fn with_readback_addr_2(mut self, addr: u64) -> Self {
        DST_ADDR.write(&mut self.bytes, addr);
        self.with_flags(Flags::READBACK_ADDR_2_VALID)
    }

    /// Translation fetch: bytes from one request to the next, a power of two, at least 4096 (§8.3.11).
    #[must_use]
    pub fn with_stride(mut self, stride: u32) -> Self {
        REGION_STRIDE.write(&mut self.bytes, stride);
        self.with_flags(Flags::USE_STRIDE)
    }

    /// CRC: reads the seed from `addr`, aligned to the size of the CRC, instead of the descriptor (§8.3.12).
    #[must_use]
    pub fn with_crc_seed_addr(mut self, addr: u64) -> Self {
        CRC64_SEED.write(&mut self.bytes, 0);
        CRC_SEED_ADDR.write(&mut self.bytes, addr);
        self.with_flags(Flags::READ_CRC_SEED)
    }

    fn with_crc64_seed(mut self, seed: u64) -> Self {
        CRC64_SEED.write(&mut self.bytes, seed);
        self
    }

    fn with_dif(mut self, dif: DifFlags) -> Self {
        DIF_FLAGS.write(&mut self.bytes, dif.bits());
        self
    }

    fn with_src_dif(mut self, flags: SrcDifFlags, tags: DifTags) -> Self {
        SRC_DIF_FLAGS.write(&mut self.bytes, flags.bits());
        tags.write(&mut self.bytes, SRC_DIF_TAGS);
        self
    }

    fn with_dst_dif(mut self, flags: DstDifFlags, tags: DifTags) -> Self {
        DST_DIF_FLAGS.write(&mut self.bytes, flags.bits());
        tags.write(&mut self.bytes, DST_DIF_TAGS);
        self
    }
}

impl fmt::Debug for Descriptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Descriptor")
            .field("opcode", &self.opcode())
            .field("flags", &self.flags())
            .field("pasid", &self.pasid())
            .field("privileged", &self.privileged())
            .field("completion_addr", &format_args!("{:#x}", self.completion_addr()))
            .field("src_addr", &format_args!("{:#x}", self.src_addr()))
            .field("dst_addr", &format_args!("{:#x}", self.dst_addr()))
            .field("xfer_size", &self.xfer_size())
            .field("int_handle", &self.int_handle())
            .field("op_specific", &format_args!("{:02x?}", self.op_specific()))
            .finish()
    }
}

/// The lower and the upper half of a 16-byte pattern.
fn halves(pattern: u128) -> (u64, u64) {
    let bytes = pattern.to_le_bytes();
    (Field::<u64>::at(0).read(&bytes), Field::<u64>::at(8).read(&bytes))
}
