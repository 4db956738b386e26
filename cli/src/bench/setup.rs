//! What an operation works on: contents made by plain loops, and buffers of them.
//!
//! Where nothing may have been touched, buffers are zeros of the kernel, which are valid for every operation but two:
//! a delta record and a compressed stream have to exist.

use bytes::BytesMut;
use crc::{CRC_16_T10_DIF, Crc};
use svala::{
    BlockList, DIF_BYTES, DeflateOptions, DifBlock, DifChecks, DifDestination, DifFields, DifFormat,
    DifGuard, DifSource, DifTags, Miniblocks,
};
use svala_engine::{Engine, Operation, compressed_bytes_max};

use super::columns;
use super::memory::{self, Arena};
use super::miniblocks;
use super::numbers;
use super::streams;

/// What is filled with, and compared with where there is data.
pub(super) const PATTERN: u64 = 0x0123_4567_89ab_cdef;
/// The same for sixteen bytes.
pub(super) const PATTERN16: [u8; 16] = *b"sixteen bytes of";
/// What ranges are compared with: fresh memory is zeros too.
pub(super) const COMPARED: u64 = 0;

pub(super) const FORMAT: DifFormat = DifFormat { block: DifBlock::B512, guard: DifGuard::empty() };
const NO_TAGS: DifTags = DifTags { ref_tag: 0, app_tag: 0, app_tag_mask: 0 };
/// Tags are zeros in all blocks, as zeros are.
pub(super) const SOURCE: DifSource = DifSource { checks: DifChecks::REF_TAG_FIXED, tags: NO_TAGS };
pub(super) const DESTINATION: DifDestination =
    DifDestination { fields: DifFields::REF_TAG_FIXED, tags: NO_TAGS };

/// One word in so many differs where differences are asked for.
const DIFFERENT_WORDS: usize = 16;

/// The buffers of one operation; those it does not need are empty.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    pub(super) a: BytesMut,
    pub(super) b: BytesMut,
    pub(super) c: BytesMut,
    pub(super) d: BytesMut,
    pub(super) list: Option<BlockList>,
    /// That of a message to decrypt.
    pub(super) tag: Option<[u8; 16]>,
    /// Where what is to be expanded is in a stream.
    pub(super) miniblocks: Option<Miniblocks>,
}

/// What the buffers of an operation are made from.
pub(super) struct Setup {
    pub(super) a: Contents,
    pub(super) b: Contents,
    pub(super) c: Contents,
    d: Contents,
    list: Option<BlockList>,
    tag: Option<[u8; 16]>,
    miniblocks: Option<Miniblocks>,
}

/// What a buffer holds at first.
pub(super) enum Contents {
    /// Bytes that matter. `needed`: zeros would not do.
    Bytes { bytes: Vec<u8>, needed: bool },
    /// Room, or zeros.
    Zeros(usize),
}

const NONE: Contents = Contents::Zeros(0);

pub(super) fn bytes(bytes: Vec<u8>) -> Contents {
    Contents::Bytes { bytes, needed: false }
}

impl Contents {
    /// A buffer of it.
    fn cut(&self, arena: &mut Arena, cold: bool) -> Option<BytesMut> {
        let len = match self {
            Self::Bytes { bytes, .. } => bytes.len(),
            Self::Zeros(len) => *len,
        };
        let mut buffer = arena.cut(len)?;
        match self {
            Self::Bytes { bytes, needed } if *needed || !cold => buffer.copy_from_slice(bytes),
            // Not nothing: from here on the pages are there.
            Self::Zeros(_) if !cold => buffer.fill(0),
            _ => {}
        }
        Some(buffer)
    }

    /// The bytes, as far as they matter.
    pub(super) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Bytes { bytes, .. } => bytes,
            Self::Zeros(_) => &[],
        }
    }
}

impl Setup {
    /// For operations on `size` bytes. A stream to expand is made by the queue itself, so that it can read it.
    pub(super) async fn new(engine: &Engine, operation: Operation, size: usize) -> Result<Self, String> {
        let data = data(size);
        if numbers::is_numeric(operation) {
            let ([a, b, c, d], list) = numbers::contents(operation, data);
            return Ok(Self { c, d, list, ..Self::of(a, b) });
        }
        if columns::is_column(operation) {
            let ([a, b, c], tag) = columns::contents(operation, data)?;
            return Ok(Self { c, tag, ..Self::of(a, b) });
        }
        if streams::is_stream(operation) {
            let ([a, b], tag) = streams::contents(engine, operation, data).await?;
            return Ok(Self { tag, ..Self::of(a, b) });
        }
        if miniblocks::is_miniblocks(operation) {
            let ([a, b], miniblocks) = miniblocks::contents(engine, operation, data).await?;
            return Ok(Self { miniblocks, ..Self::of(a, b) });
        }
        let blocks = size / 512;
        let (a, b, c) = match operation {
            Operation::Noop | Operation::Drain => (NONE, NONE, NONE),
            Operation::Copy | Operation::CopyCrc32c | Operation::CopyCrc64 => {
                (bytes(data), Contents::Zeros(size), NONE)
            }
            Operation::Dualcast => (bytes(data), Contents::Zeros(size), Contents::Zeros(size)),
            Operation::Fill | Operation::Fill16 => (NONE, Contents::Zeros(size), NONE),
            Operation::Compare => (bytes(data.clone()), bytes(data), NONE),
            Operation::ComparePattern => (Contents::Zeros(size), NONE, NONE),
            Operation::CreateDelta => {
                let changed = changed(&data);
                (bytes(data), bytes(changed), Contents::Zeros(size.max(80)))
            }
            Operation::ApplyDelta => {
                let record = delta(&data, &changed(&data));
                (Contents::Bytes { bytes: record, needed: true }, bytes(data), NONE)
            }
            Operation::DifCheck => (bytes(with_fields(&data)), NONE, NONE),
            Operation::DifInsert => (bytes(data), Contents::Zeros(blocks * 520), NONE),
            Operation::DifStrip => (bytes(with_fields(&data)), Contents::Zeros(size), NONE),
            Operation::DifUpdate => (bytes(with_fields(&data)), Contents::Zeros(blocks * 520), NONE),
            Operation::DixGenerate => (bytes(data), Contents::Zeros(blocks * dif_bytes()), NONE),
            Operation::Deflate => (bytes(data), Contents::Zeros(compressed_bytes_max(size)), NONE),
            Operation::Inflate => {
                let stream = stream(engine, data).await?;
                (Contents::Bytes { bytes: stream, needed: true }, Contents::Zeros(size), NONE)
            }
            // CRCs, and what only reads.
            _ => (bytes(data), NONE, NONE),
        };
        Ok(Self { c, ..Self::of(a, b) })
    }

    fn of(a: Contents, b: Contents) -> Self {
        Self { a, b, c: NONE, d: NONE, list: None, tag: None, miniblocks: None }
    }

    /// Buffers of it; none if there is no room.
    pub(super) fn buffers(&self, arena: &mut Arena, cold: bool) -> Option<Buffers> {
        let (a, b) = (self.a.cut(arena, cold)?, self.b.cut(arena, cold)?);
        let (c, d) = (self.c.cut(arena, cold)?, self.d.cut(arena, cold)?);
        let (list, tag, miniblocks) = (self.list.clone(), self.tag, self.miniblocks);
        Some(Buffers { a, b, c, d, list, tag, miniblocks })
    }
}

fn dif_bytes() -> usize {
    usize::try_from(DIF_BYTES).unwrap_or(8)
}

/// What is worked on.
pub(super) fn data(size: usize) -> Vec<u8> {
    let mut data = vec![0; size];
    memory::fill(&mut data, size as u64);
    data
}

/// The data with some words changed, the first among them.
pub(super) fn changed(data: &[u8]) -> Vec<u8> {
    let mut changed = data.to_vec();
    changed.chunks_mut(8 * DIFFERENT_WORDS).filter_map(<[u8]>::first_mut).for_each(|byte| *byte ^= 0x80);
    changed
}

/// The record of how `b` differs from `a` (DSA §8.3.8), by a plain loop.
pub(super) fn delta(a: &[u8], b: &[u8]) -> Vec<u8> {
    let mut record = Vec::new();
    for (number, (a, b)) in (0_u16..).zip(a.chunks_exact(8).zip(b.chunks_exact(8))) {
        if a != b {
            record.extend(number.to_le_bytes());
            record.extend_from_slice(b);
        }
    }
    record
}

/// Fields behind the blocks of `data`: the guard by the `crc` crate, tags of zeros.
pub(super) fn with_fields(data: &[u8]) -> Vec<u8> {
    let crc = Crc::<u16>::new(&CRC_16_T10_DIF);
    let mut all = Vec::with_capacity(data.len() / 512 * 520);
    for block in data.chunks_exact(512) {
        all.extend_from_slice(block);
        all.extend(crc.checksum(block).to_be_bytes());
        all.extend([0; 6]);
    }
    all
}

/// A stream of `data`.
pub(super) async fn stream(engine: &Engine, data: Vec<u8>) -> Result<Vec<u8>, String> {
    let room = vec![0; compressed_bytes_max(data.len())];
    let done = engine.deflate(data, room, DeflateOptions::default()).await;
    let done = done.map_err(|failed| format!("making a stream to expand: {failed}"))?;
    Ok(cut(done.buffers.1, done.value.written))
}

/// What was written of a buffer.
pub(super) fn cut(mut buffer: Vec<u8>, written: u64) -> Vec<u8> {
    buffer.truncate(usize::try_from(written).unwrap_or(usize::MAX));
    buffer
}
