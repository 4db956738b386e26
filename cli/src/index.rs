//! The file of `svala compress --index`: where parts of the data are in a stream. Numbers are little-endian.
//!
//! | bytes | of the header |
//! |---|---|
//! | 0..8 | `89 73 76 61 6c 61 49 0a`: not text, and broken by whatever turns ends of lines |
//! | 8 | 1: the version |
//! | 9 | the stream's format: 0 gzip, 1 zlib, 2 raw |
//! | 10 | bytes of a miniblock: 0 for none, else n for 256 << n |
//! | 11..16 | 0 |
//! | 16..24 | bytes of the stream |
//! | 24..28 | CRC-32C of its last 64 bytes |
//! | 28..32 | segments |
//! | 32..40 | bytes of the data |
//! | 40..44 | bytes of the stream before the first segment |
//! | 44..48 | 0 |
//!
//! Of each segment: its bytes in the stream, those of its data (1 MiB at most), their checksum (that of the format) and its
//! blocks, each in four bytes. With miniblocks there follow of each block its first bit and its first miniblock, in four bytes
//! each, and of each miniblock an entry of eight: in the lower half where it ends, in bits, and in the upper one the CRC-32 of
//! the segment's data up to there. Bits and miniblocks count from the start of the segment. Last comes the CRC-32C of all of this.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crc::{CRC_32_ISCSI, Crc};
use svala_engine::{Format, IndexBlock, MiniblockHeader, MiniblockIndex, MiniblockIndexError, MiniblockSize};

use crate::compress::SEGMENT_BYTES;

/// Most bytes of an index that is read or made: that of 64 GiB in the smallest miniblocks.
pub(crate) const BYTES_MAX: u64 = 1 << 30;

const MAGIC: [u8; 8] = *b"\x89svalaI\n";
const VERSION: u8 = 1;
const HEADER_BYTES: usize = 48;
const SEGMENT_RECORD_BYTES: u64 = 16;
const ENTRY_BYTES: u64 = 8;
const CHECKSUM_BYTES: usize = 4;
/// Most bytes of the segments' part of it.
pub(crate) const SEGMENTS_BYTES_MAX: u64 = BYTES_MAX - (HEADER_BYTES + CHECKSUM_BYTES) as u64;
/// Bytes at the end of a stream that it is known by.
pub(crate) const TAIL_BYTES: usize = 64;
const FORMATS: [Format; 3] = [Format::Gzip, Format::Zlib, Format::Raw];
static CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);

/// What an index is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    pub(crate) format: Format,
    pub(crate) miniblocks: Option<MiniblockSize>,
    pub(crate) stream: Fingerprint,
    pub(crate) segments: Vec<Segment>,
}

/// What a stream is known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    pub(crate) bytes: u64,
    pub(crate) tail_crc32c: u32,
}

/// A segment, and where miniblocks are in it, if it is made of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) block: IndexBlock,
    pub(crate) miniblocks: Option<MiniblockIndex>,
}

/// What is wrong with an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Flaw {
    /// It does not begin as one.
    #[error("not an index of svala")]
    Magic,
    /// One that this version does not read.
    #[error("an index of version {0}; this svala reads version {VERSION}")]
    Version(u8),
    /// It ends early.
    #[error("truncated: {bytes} bytes, at least {needed} wanted")]
    Truncated {
        /// Bytes there are.
        bytes: u64,
        /// Bytes there have to be.
        needed: u64,
    },
    /// There is something behind its end.
    #[error("{0} bytes behind the end")]
    Surplus(u64),
    /// More than is read.
    #[error("{0} bytes, at most {BYTES_MAX} are read")]
    TooLong(u64),
    /// The header says what no header says.
    #[error("the header says what no version {VERSION} says")]
    Header,
    /// Something was changed.
    #[error("corrupt: CRC-32C {found:08x}, wanted {wanted:08x}")]
    Checksum {
        /// Of what is there.
        found: u32,
        /// At its end.
        wanted: u32,
    },
    /// A segment that no stream has there.
    #[error("a segment of {data} bytes in {stream}, of which the stream has {left} left")]
    Segment {
        /// Its bytes in the stream.
        stream: u32,
        /// Bytes of its data.
        data: u32,
        /// Bytes of the stream that no segment before it has.
        left: u64,
    },
    /// Segments have more data than there should be, or less.
    #[error("{found} bytes of data in the segments, wanted {wanted}")]
    Data {
        /// In the segments.
        found: u64,
        /// In the header.
        wanted: u64,
    },
    /// Miniblocks that no segment has.
    #[error("{0}")]
    Miniblocks(#[from] MiniblockIndexError),
}

impl Fingerprint {
    /// Of a stream that has these bytes, or ends with them.
    pub(crate) fn new(bytes: u64, end: &[u8]) -> Self {
        let tail = &end[end.len() - end.len().min(TAIL_BYTES)..];
        Self { bytes, tail_crc32c: CRC.checksum(tail) }
    }

    /// Of the stream in a file of so many bytes.
    pub(crate) fn of(file: &File, bytes: u64) -> io::Result<Self> {
        let mut tail = vec![0; usize::try_from(bytes).unwrap_or(usize::MAX).min(TAIL_BYTES)];
        let at = bytes - tail.len() as u64;
        file.read_exact_at(&mut tail, at)?;
        Ok(Self::new(bytes, &tail))
    }
}

impl Index {
    /// Bytes of data in the segments.
    pub fn data_bytes(&self) -> u64 {
        self.segments.last().map_or(0, |segment| segment.block.data.end)
    }

    /// The file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let number = |value: u64| u32::try_from(value).unwrap_or(u32::MAX).to_le_bytes();
        let format = FORMATS.iter().position(|format| *format == self.format).unwrap_or_default();
        let before = self.segments.first().map_or(self.stream.bytes, |segment| segment.block.stream.start);
        let mut bytes = MAGIC.to_vec();
        let [format, ..] = format.to_le_bytes();
        let [size, ..] = self.miniblocks.map_or(0, MiniblockSize::indexing).to_le_bytes();
        bytes.extend([VERSION, format, size, 0, 0, 0, 0, 0]);
        bytes.extend(self.stream.bytes.to_le_bytes());
        bytes.extend(self.stream.tail_crc32c.to_le_bytes());
        bytes.extend(number(self.segments.len() as u64));
        bytes.extend(self.data_bytes().to_le_bytes());
        bytes.extend(number(before));
        bytes.extend([0; 4]);
        for Segment { block, miniblocks } in &self.segments {
            let (headers, entries) =
                miniblocks.as_ref().map_or((&[][..], &[][..]), |index| (index.headers(), index.entries()));
            bytes.extend(number(block.stream.end - block.stream.start));
            bytes.extend(number(block.data.end - block.data.start));
            bytes.extend(block.check.to_le_bytes());
            bytes.extend(number(headers.len() as u64));
            for header in headers {
                bytes.extend(header.bit.to_le_bytes());
                bytes.extend(header.miniblock.to_le_bytes());
            }
            bytes.extend(entries.iter().flat_map(|entry| entry.to_le_bytes()));
        }
        bytes.extend(CRC.checksum(&bytes).to_le_bytes());
        bytes
    }

    /// Reads what [`to_bytes`](Self::to_bytes) made, and nothing else.
    ///
    /// # Errors
    ///
    /// What is wrong, behind the byte at which it is.
    pub fn parse(bytes: &[u8]) -> Result<Self, (u64, Flaw)> {
        let len = bytes.len() as u64;
        if bytes.len() < MAGIC.len() || !bytes.starts_with(&MAGIC) {
            return Err((0, Flaw::Magic));
        }
        match bytes.get(8) {
            None | Some(&VERSION) => {}
            Some(version) => return Err((8, Flaw::Version(*version))),
        }
        if len > BYTES_MAX {
            return Err((0, Flaw::TooLong(len)));
        }
        let needed = (HEADER_BYTES + CHECKSUM_BYTES) as u64;
        if len < needed {
            return Err((len, Flaw::Truncated { bytes: len, needed }));
        }
        let (body, checksum) = bytes.split_at(bytes.len() - CHECKSUM_BYTES);
        let mut rest = Rest { bytes: body, at: 9, len };
        let [format, size, zeros @ ..] = rest.take::<7>()?;
        let stream = Fingerprint { bytes: rest.u64()?, tail_crc32c: rest.u32()? };
        let (count, data_bytes, before) = (rest.u32()?, rest.u64()?, rest.u32()?);
        let miniblocks = MiniblockSize::ALL.into_iter().find(|is| is.indexing() == u16::from(size));
        let is_known = zeros == [0; 5] && rest.take()? == [0; 4] && (size == 0 || miniblocks.is_some());
        let (Some(format), true) = (FORMATS.get(usize::from(format)), is_known) else {
            return Err((9, Flaw::Header));
        };
        let mut index = Self { format: *format, miniblocks, stream, segments: Vec::new() };
        let (mut stream_at, mut data_at) = (u64::from(before), 0);
        for _ in 0..count {
            let segment = rest.segment(&index, stream_at, data_at)?;
            (stream_at, data_at) = (segment.block.stream.end, segment.block.data.end);
            index.segments.push(segment);
        }
        let end = rest.at as u64;
        if end != body.len() as u64 {
            return Err((end, Flaw::Surplus(body.len() as u64 - end)));
        }
        let (found, wanted) = (CRC.checksum(body), Rest { bytes: checksum, at: 0, len }.u32()?);
        if found != wanted {
            return Err((end, Flaw::Checksum { found, wanted }));
        }
        match data_at == data_bytes {
            true if count > 0 || u64::from(before) == stream.bytes => Ok(index),
            true => Err((40, Flaw::Header)),
            false => Err((32, Flaw::Data { found: data_at, wanted: data_bytes })),
        }
    }
}

/// What is left to read.
struct Rest<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Bytes of the file.
    len: u64,
}

impl Rest<'_> {
    fn slice(&mut self, bytes: usize) -> Result<&[u8], (u64, Flaw)> {
        let end = self.at.saturating_add(bytes);
        let needed = (end as u64).saturating_add(CHECKSUM_BYTES as u64);
        let slice = self.bytes.get(self.at..end);
        let slice = slice.ok_or((self.at as u64, Flaw::Truncated { bytes: self.len, needed }))?;
        self.at = end;
        Ok(slice)
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], (u64, Flaw)> {
        let mut taken = [0; N];
        taken.copy_from_slice(self.slice(N)?);
        Ok(taken)
    }

    fn u32(&mut self) -> Result<u32, (u64, Flaw)> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, (u64, Flaw)> {
        self.take().map(u64::from_le_bytes)
    }

    /// The next segment, which begins there in the stream and in the data.
    fn segment(&mut self, index: &Index, stream_at: u64, data_at: u64) -> Result<Segment, (u64, Flaw)> {
        let at = self.at as u64;
        let (stream, data, check, headers) = (self.u32()?, self.u32()?, self.u32()?, self.u32()?);
        let left = index.stream.bytes.saturating_sub(stream_at);
        let is_one = (1..=SEGMENT_BYTES as u64).contains(&data.into()) && (1..=left).contains(&stream.into());
        if !is_one || (index.miniblocks.is_none() && headers != 0) {
            return Err((at, Flaw::Segment { stream, data, left }));
        }
        let block = IndexBlock {
            stream: stream_at..stream_at + u64::from(stream),
            data: data_at..data_at + u64::from(data),
            check,
        };
        let Some(size) = index.miniblocks else { return Ok(Segment { block, miniblocks: None }) };
        let mut words = |count: u64| {
            let bytes = usize::try_from(count.saturating_mul(ENTRY_BYTES)).unwrap_or(usize::MAX);
            let (words, _) = self.slice(bytes)?.as_chunks();
            Ok(words.iter().map(|word| u64::from_le_bytes(*word)).collect::<Vec<_>>())
        };
        let headers = words(headers.into())?;
        let low = |word: u64| u32::try_from(word & u64::from(u32::MAX)).unwrap_or_default();
        let headers =
            headers.into_iter().map(|word| MiniblockHeader { bit: low(word), miniblock: low(word >> 32) });
        let entries = words(u64::from(data).div_ceil(size.bytes()))?;
        let miniblocks = MiniblockIndex::from_parts(size, entries, headers.collect(), data.into());
        Ok(Segment { block, miniblocks: Some(miniblocks.map_err(|error| (at, error.into()))?) })
    }
}

/// Bytes of a segment's part of the file.
pub(crate) fn bytes_of(miniblocks: Option<&MiniblockIndex>) -> u64 {
    let words = miniblocks.map_or(0, |index| index.headers().len() + index.entries().len());
    SEGMENT_RECORD_BYTES + words as u64 * ENTRY_BYTES
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Of a stream of three segments, the last one short.
    fn index(miniblocks: Option<MiniblockSize>) -> Index {
        let lens = [SEGMENT_BYTES as u64, SEGMENT_BYTES as u64, 5000];
        let (mut stream_at, mut data_at) = (10, 0);
        let segments = lens.map(|len| {
            let block =
                IndexBlock { stream: stream_at..stream_at + len / 2, data: data_at..data_at + len, check: 7 };
            (stream_at, data_at) = (block.stream.end, block.data.end);
            let parts = miniblocks.map(|size| {
                let entries = (1..=len.div_ceil(size.bytes())).map(|nth| 40 * nth).collect();
                let headers = vec![MiniblockHeader { bit: 0, miniblock: 0 }];
                MiniblockIndex::from_parts(size, entries, headers, len).expect("fit together")
            });
            Segment { block, miniblocks: parts }
        });
        let stream = Fingerprint { bytes: stream_at + 8, tail_crc32c: 9 };
        Index { format: Format::Gzip, miniblocks, stream, segments: segments.to_vec() }
    }

    #[test]
    fn what_is_written_is_read_and_nothing_else() {
        for miniblocks in [None, Some(MiniblockSize::Bytes512), Some(MiniblockSize::Kib32)] {
            let index = index(miniblocks);
            let bytes = index.to_bytes();
            assert_eq!(Index::parse(&bytes), Ok(index.clone()));
            let parts = index.segments.iter().map(|segment| bytes_of(segment.miniblocks.as_ref()));
            assert_eq!(bytes.len() as u64, parts.sum::<u64>() + BYTES_MAX - SEGMENTS_BYTES_MAX);
            for at in (0..bytes.len()).step_by(1 + bytes.len() / 300) {
                let mut changed = bytes.clone();
                changed[at] ^= 1;
                assert!(Index::parse(&changed).is_err(), "byte {at}");
                assert!(Index::parse(&bytes[..at]).is_err(), "{at} bytes");
            }
        }
    }

    proptest! {
        /// With the right checksum, so that all is looked at.
        #[test]
        fn no_bytes_panic(start in 0..200_usize, bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let whole = index(Some(MiniblockSize::Kib32)).to_bytes();
            let mut changed = [&whole[..start], &bytes].concat();
            changed.extend(CRC.checksum(&changed).to_le_bytes());
            if let Ok(index) = Index::parse(&changed) {
                prop_assert_eq!(index.to_bytes(), changed);
            }
        }
    }
}
