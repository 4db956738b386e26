//! Where the blocks of a stream are, and one of them expanded without those before it.
//!
//! A stream in segments is made of pieces that begin at whole bytes and refer to nothing before them. Their places are all
//! that is needed to begin in the middle: no reader of the stream itself has to know of them.
//!
//! A finer one is [`MiniblockIndex`](crate::MiniblockIndex), by the bit, in the middle of blocks: hardly another program could
//! begin there.

use std::ops::Range;

use svala::{Check, Completed, Deflated, Error, Failed, Inflated, IoBuf, IoBufMut, Operation, Path};
use svala_software::CheckKind;

use crate::compress::{Compression, len_of};
use crate::decompress::is_of_memory;
use crate::engine::Engine;
use crate::error::DecompressError;
use crate::guard;

/// A last block with nothing in it, stored: behind any segment, the end of a stream.
pub const STREAM_END: [u8; 5] = [1, 0, 0, 0xff, 0xff];

/// A piece of a stream that can be expanded by itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct IndexBlock {
    /// Its bytes in the stream, from the stream's start.
    pub stream: Range<u64>,
    /// The bytes it expands to, from the start of the data.
    pub data: Range<u64>,
    /// Checksum of these, of the kind the format has; 0 for a raw stream.
    pub check: u32,
}

/// The places in a stream at which reading can begin.
///
/// It is made beside the stream by [`Segments::indexed`](crate::Segments::indexed) or
/// [`CompressWriter::indexed`](crate::CompressWriter::indexed), and grows by one block a segment. Where it is kept is the
/// caller's business: it is no more than its blocks, and [`from_blocks`](Self::from_blocks) takes them back.
///
/// ```
/// # use std::io::Write;
/// # use svala_engine::{Compression, Device, Engine, Format, block_on};
/// let engine = Engine::builder().device(Device::Software).open()?;
/// let mut writer = engine.compress_writer(Vec::new(), Compression::default()).indexed();
/// writer.write_all(&[7; 1 << 20])?;
/// let (gzip, index) = writer.finish_indexed()?;
/// let index = index.expect("asked for");
///
/// let block = index.find(700_000).expect("within the data");
/// let stream = gzip[usize::try_from(block.stream.start)?..usize::try_from(block.stream.end)?].to_vec();
/// let room = vec![0; usize::try_from(block.data.end - block.data.start)?];
/// let done = block_on(engine.decompress_block(stream, room, block, Format::Gzip)).map_err(|(error, _)| error)?;
/// assert_eq!(done.value, block.data.end - block.data.start);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Index {
    blocks: Vec<IndexBlock>,
    /// Where the next block begins.
    stream_bytes: u64,
    data_bytes: u64,
}

/// Blocks that are those of no stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("block {block} of the index does not follow the one before it, or is empty")]
pub struct IndexError {
    /// Which one, from 0.
    pub block: usize,
}

impl Index {
    /// The index of blocks that were kept elsewhere.
    ///
    /// # Errors
    ///
    /// [`IndexError`] if their data does not begin at 0 and go on from block to block, or a block has none, or their bytes in the
    /// stream overlap.
    pub fn from_blocks(blocks: Vec<IndexBlock>) -> Result<Self, IndexError> {
        let (mut stream_bytes, mut data_bytes) = (0, 0);
        for (nth, block) in blocks.iter().enumerate() {
            let follows = block.stream.start >= stream_bytes && block.data.start == data_bytes;
            if !follows || block.stream.is_empty() || block.data.is_empty() {
                return Err(IndexError { block: nth });
            }
            (stream_bytes, data_bytes) = (block.stream.end, block.data.end);
        }
        Ok(Self { blocks, stream_bytes, data_bytes })
    }

    /// All blocks, in the order of the stream.
    pub fn blocks(&self) -> &[IndexBlock] {
        &self.blocks
    }

    /// The block that byte `at` of the data is in. None: it is behind them all.
    pub fn find(&self, at: u64) -> Option<&IndexBlock> {
        let next = self.blocks.partition_point(|block| block.data.end <= at);
        self.blocks.get(next)
    }

    /// Bytes of data that the blocks have.
    pub const fn data_bytes(&self) -> u64 {
        self.data_bytes
    }

    /// An index of a stream whose header has so many bytes.
    pub(crate) const fn behind(header_bytes: u64) -> Self {
        Self { blocks: Vec::new(), stream_bytes: header_bytes, data_bytes: 0 }
    }

    /// Takes the next segment in, made of so many bytes. One of nothing is no block.
    pub(crate) fn add(&mut self, segment: &Deflated, input_bytes: u64) {
        let stream = self.stream_bytes..self.stream_bytes + segment.written;
        let data = self.data_bytes..self.data_bytes + input_bytes;
        (self.stream_bytes, self.data_bytes) = (stream.end, data.end);
        if input_bytes > 0 {
            self.blocks.push(IndexBlock { stream, data, check: segment.check });
        }
    }
}

/// What expanding a block ends in: on failure, the error and the buffers (none only if a device may still use them).
pub type BlockOutcome<S, D> = Result<Completed<u64, (S, D)>, (DecompressError, Option<(S, D)>)>;

impl Engine {
    /// Expands `block`, whose bytes in the stream are `src`, into `dst`, and checks its length and checksum. Says how many bytes
    /// that makes.
    ///
    /// A device that inflates is given it first, and the CPU what that has not done well. The bytes are copied before: a block
    /// needs an end to be a stream.
    ///
    /// # Errors
    ///
    /// [`DecompressError::Block`] if the block is not what the index says, or `src` not as long; [`DecompressError::Operation`]
    /// for what is broken inside, and a `dst` that is too small. The buffers come back beside the error.
    pub async fn decompress_block<S: IoBuf, D: IoBufMut>(
        &self,
        src: S,
        dst: D,
        block: &IndexBlock,
        format: svala_software::Format,
    ) -> BlockOutcome<S, D> {
        let kind = format.check_kind();
        let stream = match stream_of(&src, block) {
            Ok(stream) => stream,
            Err(error) => return Err((error, Some((src, dst)))),
        };
        let check = match kind {
            CheckKind::Crc32 => Check::Crc32,
            CheckKind::Adler32 => Check::Adler32,
            CheckKind::None => Check::None,
        };
        let done = match self.inflate(stream, dst, check).await {
            Ok(done) if is_block(&done.value, block, kind) || is_software(done.report.path) => Ok(done),
            Ok(Completed { buffers: (stream, dst), .. }) => {
                self.inflate_on_cpu(stream, dst, check, self.stream_reason()).await
            }
            Err(Failed { error, buffers: Some((stream, dst)), report })
                if !is_of_memory(&error) && !is_software(report.path) =>
            {
                self.inflate_on_cpu(stream, dst, check, self.stream_reason()).await
            }
            Err(failed) => Err(failed),
        };
        match done {
            Ok(Completed { value, report, buffers: (_, dst) }) => {
                if is_block(&value, block, kind) {
                    return Ok(Completed { value: value.written, report, buffers: (src, dst) });
                }
                Err((not_as_said(block), Some((src, dst))))
            }
            Err(Failed { error, buffers, .. }) => {
                let error = match error {
                    // The end that was put behind it has been read as something else.
                    Error::Truncated { .. } => not_as_said(block),
                    error => DecompressError::Operation(error).moved_by(block.stream.start),
                };
                Err((error, buffers.map(|(_, dst)| (src, dst))))
            }
        }
    }
}

const fn not_as_said(block: &IndexBlock) -> DecompressError {
    DecompressError::Block { at: block.stream.start, data_at: block.data.start }
}

const fn is_software(path: Path) -> bool {
    matches!(path, Path::Software { .. })
}

fn is_block(made: &Inflated, block: &IndexBlock, kind: CheckKind) -> bool {
    made.written == block.data.end - block.data.start
        && (kind == CheckKind::None || made.check == block.check)
}

/// The block's bytes with an end behind them.
fn stream_of<S: IoBuf>(src: &S, block: &IndexBlock) -> Result<Vec<u8>, DecompressError> {
    let len = len_of(src);
    if len as u64 != block.stream.end - block.stream.start {
        return Err(not_as_said(block));
    }
    let mut stream = Vec::with_capacity(len + STREAM_END.len());
    guard::read(src, 0..len, Operation::Inflate, |bytes| stream.extend_from_slice(bytes))?;
    stream.extend(STREAM_END);
    Ok(stream)
}

/// Whether segments of it can be expanded by themselves: those of LZ4 are blocks of a frame.
pub(crate) const fn has_blocks(compression: Compression) -> bool {
    !matches!(compression.format, svala_software::Format::Lz4)
}
