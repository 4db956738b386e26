//! Any part of a block, without what is before it: the index of a stream's miniblocks, and reading by it.
//!
//! An [`Index`](crate::Index) is of segments, each of which is a stream for any reader. Miniblocks are finer, and cost less each
//! than a segment of their size: they have the codes of their block in common. So a reader has to have the block's header before.
//!
//! The structure of the stream, which is where its blocks begin, is for the caller to know (IAA §3.4.3): it is read here, from the
//! first bits of each block, and the rest is a job for each.

use std::ops::Range;

use svala::{
    BlockStart, Completed, Error, Failed, IndexedBlock, Inflated, IoBuf, IoBufMut, MiniblockFault,
    MiniblockSize, Miniblocks, Operation, Outcome, Path, Reason, Report,
};

use crate::compress::len_of;
use crate::engine::Engine;
use crate::guard;

/// Most bytes of a stream: bits are counted in 32 bits.
const STREAM_BYTES_MAX: u64 = 1 << 29;
/// Room for the entries of a block, which most blocks have no more of.
const ROOM_BYTES: usize = 4096;
/// Bytes that have a stored block's header in them, wherever in the first it begins.
const HEADER_BYTES: usize = 6;

/// A block of a stream, as an index has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MiniblockHeader {
    /// First bit of its header, from the start of the stream.
    pub bit: u32,
    /// Its first miniblock.
    pub miniblock: u32,
}

/// Where each miniblock of a raw deflate stream is.
///
/// Made by [`Engine::index_miniblocks`]; used by [`Engine::inflate_range`]. It is its parts, which may be kept anywhere:
/// [`from_parts`](Self::from_parts) takes them back.
///
/// ```
/// # use svala_engine::{DeflateOptions, Device, Engine, MiniblockSize, block_on, compressed_bytes_max};
/// let engine = Engine::builder().device(Device::Emulated).open()?;
/// let data = b"swallow, ".repeat(10_000);
/// let (size, room) = (MiniblockSize::Kib4, vec![0; compressed_bytes_max(data.len())]);
/// let done = block_on(engine.deflate_miniblocks(data.clone(), room, size, DeflateOptions::default()))?;
/// let mut stream = done.buffers.1;
/// stream.truncate(usize::try_from(done.value.written)?);
/// let index = block_on(engine.index_miniblocks(stream.clone(), size))?.value;
/// assert_eq!(index.entries().len(), data.len().div_ceil(4096));
///
/// // The miniblocks that have bytes 50 000 to 60 000, and no others, are expanded.
/// let miniblocks = index.find(50_000..60_000).expect("within the data");
/// let bytes = index.data(miniblocks.clone());
/// let room = vec![0; usize::try_from(bytes.end - bytes.start)?];
/// let done = block_on(engine.inflate_range(stream, room, &index, miniblocks))?;
/// assert_eq!(done.buffers.1, data[usize::try_from(bytes.start)?..usize::try_from(bytes.end)?]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MiniblockIndex {
    size: MiniblockSize,
    entries: Vec<u64>,
    headers: Vec<MiniblockHeader>,
    data_bytes: u64,
}

/// Parts that are those of no index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MiniblockIndexError {
    /// An entry that does not end behind the one before it.
    #[error("entry {entry} of the index does not end behind the one before it")]
    Entry {
        /// Which one, from 0.
        entry: usize,
    },
    /// A header that is not between the miniblocks it should be between, or of none.
    #[error("header {header} of the index is not between two miniblocks")]
    Header {
        /// Which one, from 0.
        header: usize,
    },
    /// There is more data than miniblocks have, or less.
    #[error("{data_bytes} bytes of data in {entries} miniblocks")]
    Data {
        /// Bytes there should be.
        data_bytes: u64,
        /// Miniblocks there are.
        entries: usize,
    },
}

impl MiniblockIndex {
    /// The index of parts that were kept elsewhere.
    ///
    /// # Errors
    ///
    /// [`MiniblockIndexError`] if they do not fit together. Whether they are those of a stream is seen when it is read.
    pub fn from_parts(
        size: MiniblockSize,
        entries: Vec<u64>,
        headers: Vec<MiniblockHeader>,
        data_bytes: u64,
    ) -> Result<Self, MiniblockIndexError> {
        if data_bytes.div_ceil(size.bytes()) != entries.len() as u64 {
            return Err(MiniblockIndexError::Data { data_bytes, entries: entries.len() });
        }
        let entry = entries.windows(2).position(|pair| end_of(pair[0]) >= end_of(pair[1]));
        if let Some(entry) = entry {
            return Err(MiniblockIndexError::Entry { entry: entry + 1 });
        }
        let mut next = 0;
        for (header, at) in headers.iter().enumerate() {
            let place = usize::try_from(at.miniblock).unwrap_or(usize::MAX);
            let before =
                place.checked_sub(1).and_then(|before| entries.get(before)).map_or(0, |entry| end_of(*entry));
            let is_between =
                entries.get(place).is_some_and(|entry| (before..end_of(*entry)).contains(&at.bit));
            let is_next = if header == 0 { place == 0 } else { place >= next };
            if !(is_between && is_next) {
                return Err(MiniblockIndexError::Header { header });
            }
            next = place + 1;
        }
        if headers.is_empty() && !entries.is_empty() {
            return Err(MiniblockIndexError::Header { header: 0 });
        }
        Ok(Self { size, entries, headers, data_bytes })
    }

    /// Bytes of a miniblock; the last one may be short.
    pub const fn size(&self) -> MiniblockSize {
        self.size
    }

    /// One for each miniblock, as a device writes it: where it ends in the lower half, in bits from the start of the stream, and
    /// the CRC-32 of the data up to there in the upper one.
    pub fn entries(&self) -> &[u64] {
        &self.entries
    }

    /// The blocks, in the order of the stream.
    pub fn headers(&self) -> &[MiniblockHeader] {
        &self.headers
    }

    /// Bytes of data that the miniblocks have.
    pub const fn data_bytes(&self) -> u64 {
        self.data_bytes
    }

    /// The miniblocks that have these bytes of the data in them. None: there are no such bytes, or not one is asked for.
    pub fn find(&self, data: Range<u64>) -> Option<Range<usize>> {
        if data.is_empty() || data.end > self.data_bytes {
            return None;
        }
        let size = self.size.bytes();
        let first = usize::try_from(data.start / size).ok()?;
        Some(first..usize::try_from(data.end.div_ceil(size)).ok()?)
    }

    /// The bytes of the data that miniblocks have.
    pub fn data(&self, miniblocks: Range<usize>) -> Range<u64> {
        let at = |miniblock: usize| self.data_bytes.min((miniblock as u64).saturating_mul(self.size.bytes()));
        at(miniblocks.start)..at(miniblocks.end)
    }

    /// Where miniblocks are in the stream. None: there are none, or no such.
    pub fn miniblocks(&self, range: Range<usize>) -> Option<Miniblocks> {
        let last = *self.entries.get(range.end.checked_sub(1)?)?;
        if range.is_empty() {
            return None;
        }
        let is_before = |header: &MiniblockHeader| header.miniblock as usize <= range.start;
        let header = self.headers[..self.headers.partition_point(is_before)].last()?;
        let before = range.start.checked_sub(1).and_then(|before| self.entries.get(before)).copied();
        let start = match before {
            Some(entry) if header.miniblock as usize != range.start => end_of(entry),
            _ => header.bit,
        };
        let (end, crc) = (end_of(last), crc_of(last));
        Some(Miniblocks { header: header.bit, start, end, crc_before: before.map_or(0, crc_of), crc })
    }

    /// Takes a block in whose entries these are.
    fn add(&mut self, start: BlockStart, entries: &[u8], data: u64) {
        if let (false, Ok(miniblock)) = (entries.is_empty(), u32::try_from(self.entries.len())) {
            self.headers.push(MiniblockHeader { bit: start.bit, miniblock });
        }
        self.entries.extend(entries.as_chunks().0.iter().map(|entry| u64::from_le_bytes(*entry)));
        self.data_bytes += data;
    }
}

/// Where a miniblock ends.
fn end_of(entry: u64) -> u32 {
    let [a, b, c, d, ..] = entry.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

fn crc_of(entry: u64) -> u32 {
    end_of(entry >> 32)
}

/// What the first bits of a block say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FirstBits {
    is_last: bool,
    /// It is a stored block of no bytes, with so many bits.
    empty_bits: Option<u32>,
}

impl FirstBits {
    /// What `bytes` begin with, of which `bit` bits are not the block's. None: they end before.
    fn of(bytes: &[u8], bit: u32) -> Option<Self> {
        let mut word = [0; 8];
        let len = bytes.len().min(HEADER_BYTES);
        word[..len].copy_from_slice(&bytes[..len]);
        let word = u64::from_le_bytes(word) >> bit;
        let are_there = |bits: u32| bit + bits <= 8 * u32::try_from(len).unwrap_or(0);
        // Behind the three bits of a stored block there are its size and the complement, from the next byte on.
        let padding = (bit + 3).wrapping_neg() % 8;
        let is_empty = word >> 1 & 3 == 0 && word >> (3 + padding) & 0xffff_ffff == 0xffff_0000;
        let bits = 3 + padding + 32;
        let empty_bits = (is_empty && are_there(bits)).then_some(bits);
        are_there(3).then_some(Self { is_last: word & 1 == 1, empty_bits })
    }
}

impl Engine {
    /// Makes the index of the raw deflate stream in `src`, as [`deflate_miniblocks`](svala::Runtime::deflate_miniblocks) makes
    /// it: expands it, keeps nothing of that, and checks on the way that each miniblock of `size` refers to nothing before it.
    /// What follows the stream is not looked at. In a gzip file it is a [`Slice`](svala::Slice) behind the header.
    ///
    /// Each block is a job of its own. The result's path is that of the last one.
    ///
    /// # Errors
    ///
    /// [`Error::Miniblock`] for a stream that has no such miniblocks, with the place in the data; [`Error::TooLong`] for one over
    /// 512 MiB, otherwise as [`Runtime::index_block`](svala::Runtime::index_block). The buffer comes back. Source: IAA §3.3.2.
    pub async fn index_miniblocks<S: IoBuf>(
        &self,
        src: S,
        size: MiniblockSize,
    ) -> Outcome<MiniblockIndex, S> {
        const OPERATION: Operation = Operation::IndexMiniblocks;
        let stream_bytes = len_of(&src) as u64;
        if stream_bytes > STREAM_BYTES_MAX {
            let error =
                Error::TooLong { operation: OPERATION, bytes: stream_bytes, bytes_max: STREAM_BYTES_MAX };
            return Err(self.refuse(error, src));
        }
        let mut index = MiniblockIndex { size, entries: Vec::new(), headers: Vec::new(), data_bytes: 0 };
        let (mut src, mut room, mut start) = (src, vec![0; ROOM_BYTES], BlockStart::default());
        let mut last = Report::new(Path::Software { reason: Reason::Empty });
        loop {
            let bits = match first_bits(&src, start.bit) {
                Ok(bits) => bits,
                Err(error) => return Err(self.refuse(error, src)),
            };
            let block_bits = match bits.empty_bits {
                Some(bits) => u64::from(bits),
                None if !index.data_bytes.is_multiple_of(size.bytes()) => {
                    let (fault, data_at) = (MiniblockFault::Block, index.data_bytes);
                    return Err(self.refuse(Error::Miniblock { operation: OPERATION, fault, data_at }, src));
                }
                None => {
                    let done = self.index_one(src, room, size, start).await;
                    let done =
                        done.map_err(|failed| moved(failed, index.data_bytes).map_buffers(|(src, _)| src))?;
                    let IndexedBlock { bits, written, data, crc } = done.value;
                    (src, room) = done.buffers;
                    last = done.report;
                    index.add(start, &room[..usize::try_from(written).unwrap_or(usize::MAX)], data);
                    start.crc = crc;
                    bits
                }
            };
            let end = u64::from(start.bit) + block_bits;
            if bits.is_last {
                let report = Report { bytes: end.div_ceil(8), ..last };
                return Ok(Completed { value: index, report, buffers: src });
            }
            start.bit = u32::try_from(end).unwrap_or(u32::MAX);
        }
    }

    /// Makes the index of a block, with as much room as it needs.
    async fn index_one<S: IoBuf>(
        &self,
        src: S,
        room: Vec<u8>,
        size: MiniblockSize,
        start: BlockStart,
    ) -> Outcome<IndexedBlock, (S, Vec<u8>)> {
        let (mut src, mut room) = (src, room);
        loop {
            match self.index_block(src, room, size, start).await {
                Err(Failed { error: Error::OutputFull { .. }, buffers: Some(buffers), .. }) => {
                    (src, room) = buffers;
                    room.resize(2 * room.len(), 0);
                }
                done => return done,
            }
        }
    }

    /// Expands miniblocks `range` of `index` from the stream in `src`, into `dst`, and checks their length and CRC. Says how many
    /// bytes that makes, which is what [`MiniblockIndex::data`] says. Of what is before them, the header of their block is read.
    ///
    /// # Errors
    ///
    /// [`Error::Miniblock`] for a range that is empty or not in the index, and for another CRC than that of the index, otherwise as
    /// [`Runtime::inflate_miniblocks`](svala::Runtime::inflate_miniblocks). The buffers come back.
    pub async fn inflate_range<S: IoBuf, D: IoBufMut>(
        &self,
        src: S,
        dst: D,
        index: &MiniblockIndex,
        range: Range<usize>,
    ) -> Outcome<u64, (S, D)> {
        let data = index.data(range.clone());
        let Some(miniblocks) = index.miniblocks(range.clone()) else {
            let (first, end, count) = (range.start as u64, range.end as u64, index.entries.len() as u64);
            let fault = MiniblockFault::Outside { first, end, count };
            let error =
                Error::Miniblock { operation: Operation::InflateMiniblocks, fault, data_at: data.start };
            return Err(self.refuse(error, (src, dst)));
        };
        let done = self.inflate_miniblocks(src, dst, miniblocks).await;
        let Completed { value: Inflated { written, .. }, report, buffers } =
            done.map_err(|failed| moved(failed, data.start))?;
        if written == data.end - data.start {
            return Ok(Completed { value: written, report, buffers });
        }
        // The CRC of other data, of another length, which is as unlikely as any.
        let offset = u64::from(miniblocks.start / 8);
        let error = Error::Corrupt { operation: Operation::InflateMiniblocks, offset };
        Err(Failed { error, buffers: Some(buffers), report })
    }
}

/// Looks at the block that begins at a bit.
fn first_bits<S: IoBuf>(src: &S, bit: u32) -> Result<FirstBits, Error> {
    const OPERATION: Operation = Operation::IndexMiniblocks;
    let (from, len) = ((bit / 8) as usize, len_of(src));
    let range = from.min(len)..len.min(from + HEADER_BYTES);
    let bits = guard::read(src, range, OPERATION, |bytes| FirstBits::of(bytes, bit % 8))?;
    bits.ok_or(Error::Truncated { operation: OPERATION, len: len as u64 })
}

/// A failure with the place in the data of the stream.
fn moved<B>(failed: Failed<B>, by: u64) -> Failed<B> {
    let Failed { error, buffers, report } = failed;
    let error = match error {
        Error::Miniblock { operation, fault, data_at } => {
            Error::Miniblock { operation, fault, data_at: data_at + by }
        }
        error => error,
    };
    Failed { error, buffers, report }
}
