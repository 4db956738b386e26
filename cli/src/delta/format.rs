//! The numbers of a delta file.
//!
//! A header of 48 bytes, then a record for each stretch of the new file, each with a checksum of its own, so that
//! damage is found where it is. See the help of `svala delta` for the layout.

use svala::DELTA_RANGE_BYTES_MAX;

/// Bytes of the new file in a stretch; the last may be shorter.
pub(super) const STRETCH_BYTES: u64 = DELTA_RANGE_BYTES_MAX;
/// Bytes of the header.
pub(super) const HEADER_BYTES: usize = 48;
/// Bytes of a record before what is in it.
pub(super) const RECORD_BYTES: usize = 12;
/// Bytes of a record's beginning that its checksum covers.
pub(super) const CHECKED_BYTES: usize = 8;

const MAGIC: [u8; 8] = *b"svaladlt";
const VERSION: u32 = 1;

/// What is wrong with a delta file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Flaw {
    /// It does not begin as one.
    #[error("not a delta")]
    Magic,
    /// One that this version does not read.
    #[error("a delta of version {found}; this svala reads version {VERSION}")]
    Version { found: u32 },
    /// The header's checksum, or something in it that is always the same.
    #[error("the header is corrupt")]
    Header,
    /// It ends early.
    #[error("truncated: {bytes} bytes, at least {needed} wanted")]
    Truncated { bytes: u64, needed: u64 },
    /// There is something behind its end.
    #[error("{bytes} bytes behind the end")]
    Surplus { bytes: u64 },
    /// A record says what no record says.
    #[error("a record of kind {kind} with {bytes} bytes, for a stretch of {stretch_bytes}")]
    Record { kind: u32, bytes: u32, stretch_bytes: u64 },
    /// A record's checksum.
    #[error("the record is corrupt: CRC-32C {found:08x}, wanted {wanted:08x}")]
    Checksum { found: u32, wanted: u32 },
    /// A difference outside of its stretch, or out of order.
    #[error("a difference outside of its stretch, or out of order")]
    Difference,
    /// What came out.
    #[error("what it makes has CRC-32C {found:08x}, wanted {wanted:08x}")]
    Result { found: u32, wanted: u32 },
}

/// What a delta begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) old_len: u64,
    pub(super) new_len: u64,
    pub(super) old_crc32c: u32,
    pub(super) new_crc32c: u32,
}

impl Header {
    /// The header without its checksum, which is its last four bytes.
    pub(super) fn to_bytes(self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&stretch_bytes().to_le_bytes());
        bytes[16..24].copy_from_slice(&self.old_len.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.new_len.to_le_bytes());
        bytes[32..36].copy_from_slice(&self.old_crc32c.to_le_bytes());
        bytes[36..40].copy_from_slice(&self.new_crc32c.to_le_bytes());
        bytes
    }

    /// Reads a header whose checksum should be `crc32c`. Says at which byte it is wrong.
    pub(super) fn read(bytes: &[u8; HEADER_BYTES], crc32c: u32) -> Result<Self, (u64, Flaw)> {
        if bytes[..8] != MAGIC {
            return Err((0, Flaw::Magic));
        }
        let found = u32_at(bytes, 8);
        if found != VERSION {
            return Err((8, Flaw::Version { found }));
        }
        if u32_at(bytes, 44) != crc32c {
            return Err((44, Flaw::Header));
        }
        if u32_at(bytes, 12) != stretch_bytes() || u32_at(bytes, 40) != 0 {
            return Err((12, Flaw::Header));
        }
        Ok(Self {
            old_len: u64_at(bytes, 16),
            new_len: u64_at(bytes, 24),
            old_crc32c: u32_at(bytes, 32),
            new_crc32c: u32_at(bytes, 36),
        })
    }
}

/// What is in a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Words that differ, and what is behind the last word.
    Differences,
    /// The stretch as it is.
    Whole,
}

impl Kind {
    const fn number(self) -> u32 {
        match self {
            Self::Differences => 1,
            Self::Whole => 2,
        }
    }
}

/// What a record begins with, without its checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) kind: Kind,
    pub(super) bytes: u32,
}

impl Record {
    pub(super) fn to_bytes(self) -> [u8; CHECKED_BYTES] {
        let mut bytes = [0; CHECKED_BYTES];
        bytes[..4].copy_from_slice(&self.kind.number().to_le_bytes());
        bytes[4..].copy_from_slice(&self.bytes.to_le_bytes());
        bytes
    }

    /// Reads the beginning of a record for a stretch of `stretch_bytes`, of which `rest_bytes` are not compared.
    pub(super) fn read(
        bytes: &[u8; RECORD_BYTES],
        stretch_bytes: u64,
        rest_bytes: u64,
    ) -> Result<(Self, u32), Flaw> {
        let (kind, len) = (u32_at(bytes, 0), u32_at(bytes, 4));
        let bytes_inside = u64::from(len);
        let fits = match kind {
            1 => {
                bytes_inside <= stretch_bytes
                    && bytes_inside
                        .checked_sub(rest_bytes)
                        .is_some_and(|delta| delta % svala::DELTA_ENTRY_BYTES == 0)
            }
            2 => bytes_inside == stretch_bytes,
            _ => false,
        };
        if !fits {
            return Err(Flaw::Record { kind, bytes: len, stretch_bytes });
        }
        let kind = if kind == 1 { Kind::Differences } else { Kind::Whole };
        Ok((Self { kind, bytes: len }, u32_at(bytes, CHECKED_BYTES)))
    }
}

fn stretch_bytes() -> u32 {
    const { assert!(STRETCH_BYTES == 1 << 19) };
    1 << 19
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes[at..at + 4].iter().rev().fold(0, |number, byte| number << 8 | u32::from(*byte))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at + 4)) << 32 | u64::from(u32_at(bytes, at))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_header_panics(bytes in prop::collection::vec(any::<u8>(), HEADER_BYTES), crc: u32) {
            let _ = Header::read(&bytes.try_into().expect("as many"), crc);
        }

        #[test]
        fn no_record_panics(bytes: [u8; RECORD_BYTES], stretch in 1..=STRETCH_BYTES, rest in 0..=STRETCH_BYTES) {
            let _ = Record::read(&bytes, stretch, rest.min(stretch));
        }
    }

    #[test]
    fn a_record_fits_its_stretch_or_is_refused() {
        let record = |kind: u32, bytes: u32| {
            let mut all = [0; RECORD_BYTES];
            all[..4].copy_from_slice(&kind.to_le_bytes());
            all[4..8].copy_from_slice(&bytes.to_le_bytes());
            all
        };
        for (kind, bytes, fits) in [
            (1, 3, true),
            (1, 13, true),
            (1, 12, false),
            (1, 2, false),
            (1, 103, false),
            (2, 99, true),
            (2, 98, false),
            (0, 99, false),
            (3, 99, false),
        ] {
            assert_eq!(Record::read(&record(kind, bytes), 99, 3).is_ok(), fits, "kind {kind}, {bytes} bytes");
        }
    }
}
