//! Responses: 32 bytes in the response ring.

use core::fmt;

use crate::error_code::ErrorCode;
use crate::request::{high, low, pair};

bitflags::bitflags! {
    /// Byte 3 of a response. Source: FW, `ICP_QAT_FW_COMN_*_FLAG_BITPOS`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct HeaderFlags: u8 {
        /// The block was stored as it is.
        const STORED_BLOCK = 1 << 4;
        /// What failed to verify was stored instead.
        const CNV_RECOVERED = 1 << 5;
        /// The output was verified.
        const CNV = 1 << 6;
        /// This is a response.
        const VALID = 1 << 7;
        const _ = !0;
    }

    /// Byte 6 of a response. Source: FW, `QAT_COMN_RESP_*_BITPOS`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct Status: u8 {
        /// The translation was left out as the output would have been larger.
        const TRANSLATION_WORKAROUND = 1 << 0;
        /// A parameter is not valid.
        const INVALID_PARAMETER = 1 << 1;
        /// The firmware does not know the request.
        const UNSUPPORTED = 1 << 2;
        /// The end of the stream was seen.
        const END_OF_LAST_BLOCK = 1 << 3;
        /// Translation failed.
        const TRANSLATION = 1 << 4;
        /// Compression failed.
        const COMPRESSION = 1 << 5;
        /// Public-key cryptography failed.
        const PKE = 1 << 6;
        /// Cryptography failed; of a comparison: the tag is another one.
        const CRYPTO = 1 << 7;
    }
}

impl Status {
    /// What means failure.
    pub const FAILED: Self = Self::INVALID_PARAMETER
        .union(Self::UNSUPPORTED)
        .union(Self::TRANSLATION)
        .union(Self::COMPRESSION)
        .union(Self::PKE)
        .union(Self::CRYPTO);

    /// Whether cryptography failed and nothing else, as where a tag is another one.
    pub const fn is_of_tag(self) -> bool {
        self.intersection(Self::FAILED).bits() == Self::CRYPTO.bits()
    }
}

/// What the firmware answers. Where nothing was compressed or expanded, the second half says nothing.
///
/// Source: FW `struct icp_qat_fw_comp_resp` and `icp_qat_fw_la_resp`, 32 bytes. Untrusted: any bytes make one, and nothing in it has been compared
/// with what was asked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Response {
    words: [u64; Self::WORDS],
}

impl Response {
    /// Bytes of a response.
    pub const SIZE: usize = 32;
    /// Words of eight bytes of a response.
    pub const WORDS: usize = Self::SIZE / 8;

    /// A response from its words, little-endian numbers.
    #[inline]
    pub const fn from_words(words: [u64; Self::WORDS]) -> Self {
        Self { words }
    }

    /// A response from its bytes.
    pub const fn from_bytes(bytes: &[u8; Self::SIZE]) -> Self {
        let mut words = [0; Self::WORDS];
        let mut at = 0;
        while at < Self::SIZE {
            words[at / 8] |= (bytes[at] as u64) << (at % 8 * 8);
            at += 1;
        }
        Self { words }
    }

    /// The words.
    pub const fn words(&self) -> &[u64; Self::WORDS] {
        &self.words
    }

    const fn header(&self, byte: usize) -> u8 {
        self.words[0].to_le_bytes()[byte]
    }

    /// The service that answered.
    pub const fn service(&self) -> u8 {
        self.header(1)
    }

    /// What happened on the way.
    #[inline]
    pub const fn flags(&self) -> HeaderFlags {
        HeaderFlags::from_bits_retain(self.header(3))
    }

    /// Error of the translation.
    pub const fn translation_error(&self) -> ErrorCode {
        ErrorCode(self.header(4).cast_signed())
    }

    /// Error of the compression.
    pub const fn error(&self) -> ErrorCode {
        ErrorCode(self.header(5).cast_signed())
    }

    /// Whether it went well.
    #[inline]
    pub const fn status(&self) -> Status {
        Status::from_bits_retain(self.header(6))
    }

    /// The command that is answered.
    pub const fn command(&self) -> u8 {
        self.header(7)
    }

    /// The cookie of the request.
    #[inline]
    pub const fn opaque(&self) -> u64 {
        self.words[1]
    }

    /// Bytes of input used.
    #[inline]
    pub const fn consumed(&self) -> u32 {
        low(self.words[2])
    }

    /// Bytes of output.
    #[inline]
    pub const fn produced(&self) -> u32 {
        high(self.words[2])
    }

    /// CRC-32 of the uncompressed bytes.
    pub const fn crc32(&self) -> u32 {
        low(self.words[3])
    }

    /// Adler-32 of the uncompressed bytes; for LZ4 their xxHash.
    pub const fn adler32(&self) -> u32 {
        high(self.words[3])
    }

    /// A response that says all went well: what an instant device answers.
    pub const fn success(command: u8, opaque: u64, consumed: u32, produced: u32) -> Self {
        let flags = HeaderFlags::VALID.union(HeaderFlags::CNV).bits();
        let header = u64::from_le_bytes([0, 9, 0, flags, 0, 0, Status::END_OF_LAST_BLOCK.bits(), command]);
        Self { words: [header, opaque, pair(consumed, produced), pair(0, 1)] }
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("service", &self.service())
            .field("command", &self.command())
            .field("flags", &self.flags())
            .field("status", &self.status())
            .field("error", &self.error())
            .field("opaque", &format_args!("{:#x}", self.opaque()))
            .field("consumed", &self.consumed())
            .field("produced", &self.produced())
            .field("crc32", &format_args!("{:#010x}", self.crc32()))
            .field("adler32", &format_args!("{:#010x}", self.adler32()))
            .finish()
    }
}
