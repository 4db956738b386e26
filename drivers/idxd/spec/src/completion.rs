//! What a DSA device reports.
//!
//! A [`Completion`] is a copy of the record, taken after its status was seen to be non-zero. The record itself, which
//! the device writes while the process watches, belongs to whoever submitted the descriptor and is not here.
//!
//! Nothing in it is trusted: the fields are read as they are, and checked where they are used
//! (see [`resume`](crate::resume)).

use core::fmt;

use crate::dif::{DifStatus, DifTags};
use crate::field::Field;
use crate::{Exceptions, Flags, IdptHandle, Status};

const STATUS: Field<u8> = Field::at(0);
const RESULT: Field<u8> = Field::at(1);
const FAULT_INFO: Field<u8> = Field::at(2);
/// Bytes, or descriptors for a batch.
const BYTES_COMPLETED: Field<u32> = Field::at(4);
const FAULT_ADDR: Field<u64> = Field::at(8);
/// Bits 23:0; the byte behind is unused.
const INVALID_FLAGS: Field<u32> = Field::at(16);
const DELTA_REC_SIZE: Field<u32> = Field::at(16);
const CRC_VAL: Field<u64> = Field::at(16);
const FAULT_HANDLE: Field<u16> = Field::at(16);
const SGL_COMPLETED: Field<u16> = Field::at(20);
const SRC_DIF_TAGS: usize = 16;
const DST_DIF_TAGS: usize = 24;

/// A copy of a 32-byte completion record.
///
/// Source: DSA §8.2; uapi `struct dsa_completion_record`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Completion {
    bytes: [u8; Completion::SIZE],
}

impl Completion {
    /// Bytes of a record.
    pub const SIZE: usize = 32;
    /// Alignment of a record in memory; another one is error 0x1b.
    pub const ALIGN: usize = 32;

    /// Takes the bytes as the device wrote them.
    #[must_use]
    pub const fn from_bytes(bytes: &[u8; Self::SIZE]) -> Self {
        Self { bytes: *bytes }
    }

    /// The bytes as a device writes them.
    #[must_use]
    pub const fn to_bytes(&self) -> [u8; Self::SIZE] {
        self.bytes
    }

    /// Byte 0 (§8.2.1).
    #[must_use]
    pub fn status(&self) -> Status {
        Status(STATUS.read(&self.bytes))
    }

    /// Byte 1, the meaning by operation: direction of a copy, equality, state of a delta record (§8.2.2).
    #[must_use]
    pub fn result(&self) -> u8 {
        RESULT.read(&self.bytes)
    }

    /// Byte 1 when the status is [`Status::DIF_ERROR`] (§8.3.17.4).
    #[must_use]
    pub fn dif_status(&self) -> DifStatus {
        DifStatus::from_bits_retain(RESULT.read(&self.bytes))
    }

    /// Byte 2, for a page fault on a device with [`GenCap::fault_info`](crate::GenCap::fault_info); else unused
    /// (§8.2.3).
    #[must_use]
    pub fn fault_info(&self) -> FaultInfo {
        FaultInfo(FAULT_INFO.read(&self.bytes))
    }

    /// Bytes 7:4: bytes of the source processed before a fault, or where a comparison found a difference (§8.2.4).
    #[must_use]
    pub fn bytes_completed(&self) -> u32 {
        BYTES_COMPLETED.read(&self.bytes)
    }

    /// Bytes 7:4 for a batch: descriptors processed, with success or without (§8.3.2).
    #[must_use]
    pub fn descs_completed(&self) -> u32 {
        BYTES_COMPLETED.read(&self.bytes)
    }

    /// Bytes 15:8, for a page fault; bits 11:0 may be 0 (§8.2.5).
    #[must_use]
    pub fn fault_addr(&self) -> u64 {
        FAULT_ADDR.read(&self.bytes)
    }

    /// Bytes 18:16 when the status is [`Status::INVALID_FLAGS`]: at least one of the flags that are wrong (§8.2.6).
    #[must_use]
    pub fn invalid_flags(&self) -> Flags {
        Flags::from_bits_retain(INVALID_FLAGS.read(&self.bytes)) & Flags::FIELD
    }

    /// Create delta: bytes 19:16, in bytes (§8.3.8).
    #[must_use]
    pub fn delta_rec_size(&self) -> u32 {
        DELTA_REC_SIZE.read(&self.bytes)
    }

    /// CRC: bytes 23:16, of which a 32-bit CRC has the lower four; the others are then reserved (§8.3.12).
    #[must_use]
    pub fn crc_val(&self) -> u64 {
        CRC_VAL.read(&self.bytes)
    }

    /// DIF check, strip, update: bytes 23:16 (§8.3.14).
    #[must_use]
    pub fn src_dif_tags(&self) -> DifTags {
        DifTags::read(&self.bytes, SRC_DIF_TAGS)
    }

    /// DIF insert, update, DIX generate: bytes 31:24 (§8.3.15).
    #[must_use]
    pub fn dst_dif_tags(&self) -> DifTags {
        DifTags::read(&self.bytes, DST_DIF_TAGS)
    }

    /// Byte 1 for a numeric operation (§8.2.2, table 8-11).
    #[must_use]
    pub fn exceptions(&self) -> Exceptions {
        Exceptions::from_bits_retain(RESULT.read(&self.bytes))
    }

    /// Bytes 17:16 for an operand in another address space: whose page is missing, or what is wrong with the handle
    /// (§3.14.4).
    #[must_use]
    pub fn fault_handle(&self) -> IdptHandle {
        IdptHandle(FAULT_HANDLE.read(&self.bytes))
    }

    /// Gather and scatter: bytes 21:20, for a page fault, entries of the list that are done (§8.3.23).
    #[must_use]
    pub fn sgl_completed(&self) -> u16 {
        SGL_COMPLETED.read(&self.bytes)
    }

    /// Bytes 31:16, the meaning by operation.
    #[must_use]
    pub fn op_specific(&self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&self.bytes[16..]);
        bytes
    }
}

/// What a device model writes.
impl Completion {
    /// A record with `status` and zeros.
    #[must_use]
    pub fn new(status: Status) -> Self {
        let mut this = Self { bytes: [0; Self::SIZE] };
        STATUS.write(&mut this.bytes, status.0);
        this
    }

    /// Sets [`result`](Self::result).
    #[must_use]
    pub fn with_result(mut self, result: u8) -> Self {
        RESULT.write(&mut self.bytes, result);
        self
    }

    /// Sets [`fault_addr`](Self::fault_addr) and [`fault_info`](Self::fault_info).
    #[must_use]
    pub fn with_fault(mut self, addr: u64, info: FaultInfo) -> Self {
        FAULT_ADDR.write(&mut self.bytes, addr);
        FAULT_INFO.write(&mut self.bytes, info.0);
        self
    }

    /// Sets [`bytes_completed`](Self::bytes_completed), or [`descs_completed`](Self::descs_completed).
    #[must_use]
    pub fn with_bytes_completed(mut self, bytes: u32) -> Self {
        BYTES_COMPLETED.write(&mut self.bytes, bytes);
        self
    }

    /// Sets [`invalid_flags`](Self::invalid_flags).
    #[must_use]
    pub fn with_invalid_flags(mut self, flags: Flags) -> Self {
        INVALID_FLAGS.write(&mut self.bytes, (flags & Flags::FIELD).bits());
        self
    }

    /// Sets [`delta_rec_size`](Self::delta_rec_size).
    #[must_use]
    pub fn with_delta_rec_size(mut self, bytes: u32) -> Self {
        DELTA_REC_SIZE.write(&mut self.bytes, bytes);
        self
    }

    /// Sets [`crc_val`](Self::crc_val).
    #[must_use]
    pub fn with_crc_val(mut self, crc: u64) -> Self {
        CRC_VAL.write(&mut self.bytes, crc);
        self
    }

    /// Sets [`exceptions`](Self::exceptions).
    #[must_use]
    pub fn with_exceptions(self, exceptions: Exceptions) -> Self {
        self.with_result(exceptions.bits())
    }

    /// Sets [`fault_handle`](Self::fault_handle).
    #[must_use]
    pub fn with_fault_handle(mut self, handle: IdptHandle) -> Self {
        FAULT_HANDLE.write(&mut self.bytes, handle.0);
        self
    }

    /// Sets [`sgl_completed`](Self::sgl_completed).
    #[must_use]
    pub fn with_sgl_completed(mut self, entries: u16) -> Self {
        SGL_COMPLETED.write(&mut self.bytes, entries);
        self
    }

    /// Sets [`src_dif_tags`](Self::src_dif_tags).
    #[must_use]
    pub fn with_src_dif_tags(mut self, tags: DifTags) -> Self {
        tags.write(&mut self.bytes, SRC_DIF_TAGS);
        self
    }

    /// Sets [`dst_dif_tags`](Self::dst_dif_tags).
    #[must_use]
    pub fn with_dst_dif_tags(mut self, tags: DifTags) -> Self {
        tags.write(&mut self.bytes, DST_DIF_TAGS);
        self
    }
}

impl fmt::Debug for Completion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Completion")
            .field("status", &self.status())
            .field("result", &self.result())
            .field("fault_info", &self.fault_info())
            .field("bytes_completed", &self.bytes_completed())
            .field("fault_addr", &format_args!("{:#x}", self.fault_addr()))
            .field("op_specific", &format_args!("{:02x?}", self.op_specific()))
            .finish()
    }
}

/// Byte 2 of a record that reports a page fault.
///
/// Source: DSA §8.2.3, table 8-13; IAA §6.2.3, table 6-6.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct FaultInfo(pub u8);

impl FaultInfo {
    /// Bit 0: the fault address is masked or not available.
    const MASKED: u8 = 1;

    /// A fault on `operand`, with its address.
    #[must_use]
    pub const fn new(operand: Operand) -> Self {
        Self((operand.0 & 7) << 1)
    }

    /// The same without the address.
    #[must_use]
    pub const fn masked(self) -> Self {
        Self(self.0 | Self::MASKED)
    }

    /// Bit 0: the fault address of the record does not hold the address.
    #[must_use]
    pub const fn is_masked(self) -> bool {
        self.0 & Self::MASKED != 0
    }

    /// Bits 3:1.
    #[must_use]
    pub const fn operand(self) -> Operand {
        Operand(self.0 >> 1 & 7)
    }
}

/// Which address of the descriptor faulted: 3 bits, in [`FaultInfo`], SWERROR and event log entries.
///
/// Source: DSA §8.2.3, table 8-13.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Operand(pub u8);

impl Operand {
    /// Not known.
    pub const UNKNOWN: Self = Self(0);
    /// Source, source 1, descriptor list, delta record to apply, readback address 1, translation fetch.
    pub const SRC: Self = Self(1);
    /// Source 2, CRC seed, readback address 2.
    pub const SRC2: Self = Self(2);
    /// Destination, destination 1, delta record being created.
    pub const DST: Self = Self(3);
    /// Destination 2.
    pub const DST2: Self = Self(4);
    /// The completion record.
    pub const COMPLETION: Self = Self(5);
    /// The scatter-gather list.
    pub const SCATTER_GATHER_LIST: Self = Self(6);
}
