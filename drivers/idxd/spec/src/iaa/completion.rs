//! What an IAA reports.

use core::fmt;

use crate::field::{Field, fields};
use crate::iaa::ErrorCode;
use crate::{FaultInfo, Status};

const STATUS: Field<u8> = Field::at(0);
const ERROR_CODE: Field<u8> = Field::at(1);
const FAULT_INFO: Field<u8> = Field::at(2);
const BYTES_COMPLETED: Field<u32> = Field::at(4);
const FAULT_ADDR: Field<u64> = Field::at(8);
const INVALID_FLAGS: Field<u32> = Field::at(16);
const OUTPUT_SIZE: Field<u32> = Field::at(24);
const OUTPUT_BITS: Field<u8> = Field::at(28);
const XOR_CSUM: Field<u16> = Field::at(30);
const CRC: Field<u32> = Field::at(32);
const MIN: Field<u32> = Field::at(36);
const MAX: Field<u32> = Field::at(40);
const SUM: Field<u32> = Field::at(44);
/// Over [`MAX`] and [`SUM`].
const CRC64: Field<u64> = Field::at(40);
const CRYPTO_HASH: usize = 48;

/// A copy of a 64-byte completion record.
///
/// Source: IAA §6.2; uapi `struct iax_completion_record`. IAA table 6-7 puts the aggregates at 32, 36 and 40, where the
/// heading above it says 36; uapi and the CRC at 32 agree with the heading, and so does this.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Completion {
    bytes: [u8; Completion::SIZE],
}

fields! { Completion with
    /// Bytes 7:4: output written before a page fault, or input consumed before an output overflow (§6.2.4).
    bytes_completed / with_bytes_completed: u32 = BYTES_COMPLETED;
    /// Bytes 19:16: which flags are wrong, for statuses 0x11, 0x30 and 0x31: of the operation flags, of bytes 39:38,
    /// of bytes 59:56 (§6.2.6).
    invalid_flags / with_invalid_flags: u32 = INVALID_FLAGS;
    /// Bytes 27:24: bytes written to the destination (§6.2.7).
    output_size / with_output_size: u32 = OUTPUT_SIZE;
    /// Byte 28: bits of the last byte that were written, 0 for all (§6.2.8).
    output_bits / with_output_bits: u8 = OUTPUT_BITS;
    /// Bytes 31:30: exclusive or of the uncompressed data as 16-bit words (§6.2.9).
    xor_csum / with_xor_csum: u16 = XOR_CSUM;
    /// Bytes 35:32: CRC of the uncompressed data (§6.2.10).
    crc / with_crc: u32 = CRC;
    /// Bytes 39:36, filters: least value, or index of the first 1 (§6.2.11).
    min / with_min: u32 = MIN;
    /// Bytes 43:40, filters: greatest value, or index of the last 1 (§6.2.11).
    max / with_max: u32 = MAX;
    /// Bytes 47:44, filters: sum of the values, or number of ones (§6.2.11).
    sum / with_sum: u32 = SUM;
    /// Bytes 47:40, CRC64: the result, in its most significant bits (§6.3.6). Figure 6-8 is missing from the text this
    /// was written from; the place is what the configuration library's tests use.
    crc64 / with_crc64: u64 = CRC64;
}

impl Completion {
    /// Bytes of a record.
    pub const SIZE: usize = 64;
    /// Alignment of a record in memory; another one is error 0x1b.
    pub const ALIGN: usize = 64;

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

    /// A record with `status` and zeros.
    #[must_use]
    pub fn new(status: Status) -> Self {
        let mut this = Self { bytes: [0; Self::SIZE] };
        STATUS.write(&mut this.bytes, status.0);
        this
    }

    /// Byte 0 (§6.2.1).
    #[must_use]
    pub fn status(&self) -> Status {
        Status(STATUS.read(&self.bytes))
    }

    /// Byte 1 when the status is [`Status::ANALYTICS_ERROR`]; else unused (§6.2.2).
    #[must_use]
    pub fn error_code(&self) -> ErrorCode {
        ErrorCode(ERROR_CODE.read(&self.bytes))
    }

    /// Sets [`error_code`](Self::error_code).
    #[must_use]
    pub fn with_error_code(mut self, code: ErrorCode) -> Self {
        ERROR_CODE.write(&mut self.bytes, code.0);
        self
    }

    /// Byte 2, for a page fault on a device with [`GenCap::fault_info`](crate::GenCap::fault_info); else unused
    /// (§6.2.3).
    #[must_use]
    pub fn fault_info(&self) -> FaultInfo {
        FaultInfo(FAULT_INFO.read(&self.bytes))
    }

    /// Bytes 15:8, for a page fault (§6.2.5).
    #[must_use]
    pub fn fault_addr(&self) -> u64 {
        FAULT_ADDR.read(&self.bytes)
    }

    /// Sets [`fault_addr`](Self::fault_addr) and [`fault_info`](Self::fault_info).
    #[must_use]
    pub fn with_fault(mut self, addr: u64, info: FaultInfo) -> Self {
        FAULT_ADDR.write(&mut self.bytes, addr);
        FAULT_INFO.write(&mut self.bytes, info.0);
        self
    }

    /// Sets [`crypto_hash`](Self::crypto_hash).
    #[must_use]
    pub fn with_crypto_hash(mut self, hash: [u8; 16]) -> Self {
        self.bytes[CRYPTO_HASH..].copy_from_slice(&hash);
        self
    }

    /// Bytes 63:48: the hash of an operation with GCM (§6.2.12).
    #[must_use]
    pub fn crypto_hash(&self) -> [u8; 16] {
        let mut hash = [0; 16];
        hash.copy_from_slice(&self.bytes[CRYPTO_HASH..]);
        hash
    }
}

impl fmt::Debug for Completion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Completion")
            .field("status", &self.status())
            .field("error_code", &self.error_code())
            .field("fault_info", &self.fault_info())
            .field("bytes_completed", &self.bytes_completed())
            .field("fault_addr", &format_args!("{:#x}", self.fault_addr()))
            .field("output_size", &self.output_size())
            .field("output_bits", &self.output_bits())
            .field("crc", &format_args!("{:#x}", self.crc()))
            .field("rest", &format_args!("{:02x?}", &self.bytes[36..]))
            .finish()
    }
}
