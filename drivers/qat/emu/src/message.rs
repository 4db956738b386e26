//! Requests and responses, from the table of their offsets.

/// A request as it was found in the ring, field by field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) command: u8,
    pub(crate) config: [u32; 2],
    pub(crate) opaque: u64,
    pub(crate) src: u64,
    pub(crate) dst: u64,
    pub(crate) src_bytes: u32,
    pub(crate) dst_bytes: u32,
    pub(crate) crc: u32,
    pub(crate) adler: u32,
    pub(crate) flags: u32,
}

/// Service of compression.
const SERVICE: u8 = 9;
/// The request is valid.
pub(crate) const VALID: u8 = 0x80;
/// Flat pointers, configuration in place.
const FLAT_INLINE: u8 = 0x02;
/// From slice 5 to slice 4.
const ROUTE: u8 = 0x45;

pub(crate) const SOP: u32 = 1 << 0;
pub(crate) const EOP: u32 = 1 << 1;
pub(crate) const BFINAL: u32 = 1 << 6;
pub(crate) const CNV: u32 = 1 << 16;
pub(crate) const CNVNR: u32 = 1 << 17;
pub(crate) const XXHASH: u32 = 1 << 20;

impl Message {
    /// Bytes of a request.
    pub(crate) const BYTES: u32 = 128;

    /// Reads a request. Err with the cookie and the offset of what is not as it has to be.
    pub(crate) fn parse(words: &[u64; 16]) -> Result<Self, (u64, usize)> {
        let bytes = bytes_of(words);
        let u32_at = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let u64_at = |at: usize| u64::from(u32_at(at)) | u64::from(u32_at(at + 4)) << 32;
        let opaque = u64_at(0x18);
        let fixed = [(0x02, SERVICE), (0x03, VALID), (0x06, FLAT_INLINE), (0x63, ROUTE)];
        if let Some((at, _)) = fixed.into_iter().find(|(at, value)| bytes[*at] != *value) {
            return Err((opaque, at));
        }
        let zero = [0x00..0x01, 0x04..0x06, 0x07..0x08, 0x10..0x18, 0x4c..0x63, 0x64..0x80];
        if let Some(at) = zero.into_iter().flatten().find(|at| bytes[*at] != 0) {
            return Err((opaque, at));
        }
        let (src_bytes, dst_bytes) = (u32_at(0x38), u32_at(0x3c));
        if (src_bytes, dst_bytes) != (u32_at(0x30), u32_at(0x34)) {
            return Err((opaque, 0x30));
        }
        let flags = u32_at(0x48);
        if flags & !(SOP | EOP | BFINAL | CNV | CNVNR | XXHASH) != 0 || flags & (SOP | EOP) != SOP | EOP {
            return Err((opaque, 0x48));
        }
        Ok(Self {
            command: bytes[0x01],
            config: [u32_at(0x08), u32_at(0x0c)],
            opaque,
            src: u64_at(0x20),
            dst: u64_at(0x28),
            src_bytes,
            dst_bytes,
            crc: u32_at(0x40),
            adler: u32_at(0x44),
            flags,
        })
    }

    /// Whether a flag is set.
    pub(crate) const fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }
}

/// The bytes of a request.
pub(crate) fn bytes_of(words: &[u64; 16]) -> [u8; 128] {
    let mut bytes = [0; 128];
    for (place, word) in bytes.chunks_exact_mut(8).zip(words) {
        place.copy_from_slice(&word.to_le_bytes());
    }
    bytes
}

/// A response before it is written.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Answer {
    pub(crate) service: u8,
    pub(crate) command: u8,
    pub(crate) opaque: u64,
    pub(crate) flags: u8,
    pub(crate) error: i8,
    pub(crate) status: u8,
    pub(crate) consumed: u32,
    pub(crate) produced: u32,
    pub(crate) crc: u32,
    pub(crate) adler: u32,
}

/// Bits of byte 3.
pub(crate) const FLAG_VALID: u8 = 1 << 7;
pub(crate) const FLAG_CNV: u8 = 1 << 6;
pub(crate) const FLAG_RECOVERED: u8 = 1 << 5;
pub(crate) const FLAG_STORED: u8 = 1 << 4;
/// Bits of byte 6.
pub(crate) const STATUS_CRYPTO: u8 = 1 << 7;
pub(crate) const STATUS_CMP: u8 = 1 << 5;
pub(crate) const STATUS_END: u8 = 1 << 3;
pub(crate) const STATUS_UNSUPPORTED: u8 = 1 << 2;
pub(crate) const STATUS_INVALID: u8 = 1 << 1;

impl Answer {
    /// Bytes of a response.
    pub(crate) const BYTES: u32 = 32;

    /// An answer to a request, with nothing in it yet.
    pub(crate) const fn to(command: u8, opaque: u64) -> Self {
        let (consumed, produced) = (0, 0);
        let service = SERVICE;
        let (flags, error, status) = (FLAG_VALID, 0, 0);
        Self { service, command, opaque, flags, error, status, consumed, produced, crc: 0, adler: 1 }
    }

    /// The same, failed.
    pub(crate) const fn failed(mut self, error: i8) -> Self {
        self.error = error;
        self.status |= STATUS_CMP;
        self
    }

    /// As it stands in the ring.
    pub(crate) fn words(&self) -> [u64; 4] {
        let header =
            [0, self.service, 0, self.flags, 0, self.error.cast_unsigned(), self.status, self.command];
        let pair = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
        [
            u64::from_le_bytes(header),
            self.opaque,
            pair(self.consumed, self.produced),
            pair(self.crc, self.adler),
        ]
    }
}
