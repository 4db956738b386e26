//! What is asked of an accelerator, in terms of operations: what a queue is handed and what it answers.
//!
//! A [`Job`] holds addresses and nothing that owns them; the slot that carries the job owns the memory. Drivers
//! turn jobs into descriptors (or function calls) and may split them; nothing here knows a device.

mod blocks;
mod kind;
mod value;

pub use blocks::{BLOCK_ENTRY_BYTES, Blocks};
pub use kind::{Operation, Operations};
pub use value::{Done, Value};

use crate::address::{Access, PAGE_BYTES, Span, VirtAddr};
use crate::cipher::CipherMode;
use crate::crc::{AnyCrc, Crc, CrcKind};
use crate::dictionary::Dictionary;
use crate::dif::{DIF_BYTES, DifDestination, DifFormat, DifSource};
use crate::filter::{Aggregates, Filter, FilterOptions};
use crate::miniblock::{BlockStart, MiniblockSize, Miniblocks};
use crate::numeric::{Conversion, NumberExceptions, Reduction};

/// What counts as a word in zero compression.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ZeroWord {
    /// One byte.
    Bits8,
    /// Two.
    Bits16,
    /// Four.
    Bits32,
}

impl ZeroWord {
    /// Bytes of a word.
    pub const fn bytes(self) -> u64 {
        match self {
            Self::Bits8 => 1,
            Self::Bits16 => 2,
            Self::Bits32 => 4,
        }
    }

    /// Bytes that `len` bytes take at most: a bit for each word of each 128 bytes, and all of them.
    pub const fn bound(self, len: u64) -> u64 {
        len.saturating_add(len.div_ceil(128).saturating_mul(16 / self.bytes()))
    }
}

/// Which checksum of the uncompressed bytes a deflate or inflate job computes on the way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Check {
    /// None; the job answers 0.
    #[default]
    None,
    /// CRC-32 as gzip has it.
    Crc32,
    /// Adler-32 as zlib has it.
    Adler32,
}

/// One operation on memory of this process.
///
/// Ranges of a job do not overlap unless the variant says they may. Lengths are bytes and at least 1: the
/// runtime answers empty operations itself.
// The tag a whole word, so that fields lie at whole words: moved in words, a job that was just written costs loads; at odd
// places, a stall of some 6 ns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[repr(u64)]
pub enum Job {
    /// Does nothing but complete.
    Noop,
    /// Completes when all that the queue was given before is done.
    Drain,
    /// Copies `len` bytes. The ranges may overlap (only raw submissions can arrange that); the result is as if
    /// the source had been read whole first.
    Copy {
        /// First byte read.
        src: VirtAddr,
        /// First byte written.
        dst: VirtAddr,
        /// Bytes.
        len: u64,
    },
    /// Copies `len` bytes to two places. An offset in a page of one is the same in the other.
    Dualcast {
        /// First byte read.
        src: VirtAddr,
        /// First byte written.
        dst: VirtAddr,
        /// First byte written of the other copy.
        dst2: VirtAddr,
        /// Bytes of each.
        len: u64,
    },
    /// Writes `pattern`, little-endian, again and again; the last repetition may be cut.
    Fill {
        /// First byte written.
        dst: VirtAddr,
        /// Bytes; need not be a multiple of 8.
        len: u64,
        /// Eight bytes of pattern; the lowest byte goes to `dst`.
        pattern: u64,
    },
    /// Writes 16 bytes of `pattern` again and again; the last repetition may be cut.
    Fill16 {
        /// First byte written.
        dst: VirtAddr,
        /// Bytes; need not be a multiple of 16.
        len: u64,
        /// The pattern in two words, little-endian, the first one first.
        pattern: [u64; 2],
    },
    /// Compares `len` bytes.
    Compare {
        /// First range.
        a: VirtAddr,
        /// Second range.
        b: VirtAddr,
        /// Bytes of each.
        len: u64,
    },
    /// Compares `len` bytes with `pattern`, little-endian, repeated.
    ComparePattern {
        /// First byte read.
        src: VirtAddr,
        /// Bytes.
        len: u64,
        /// Eight bytes of pattern; the lowest byte is compared with the first.
        pattern: u64,
    },
    /// Writes into `delta` in which 8-byte words `b` differs from `a`: ten bytes for each, the number of the word in
    /// two, little-endian, and the word of `b` in eight.
    CreateDelta {
        /// The range as it was; 8-byte aligned.
        a: VirtAddr,
        /// The range as it is; 8-byte aligned.
        b: VirtAddr,
        /// Bytes of each; a multiple of 8, at most [`DELTA_RANGE_BYTES_MAX`].
        len: u64,
        /// Room for the record; 8-byte aligned.
        delta: Span,
    },
    /// Changes a range as a delta record says.
    ApplyDelta {
        /// The record; 8-byte aligned, a multiple of 10 bytes long.
        delta: Span,
        /// The range; 8-byte aligned.
        dst: VirtAddr,
        /// Bytes of the range; a multiple of 8.
        len: u64,
    },
    /// A CRC, chained: the result for `a || b` is the result for `b` with the result for `a` as seed.
    Crc {
        /// First byte read.
        src: VirtAddr,
        /// Bytes.
        len: u64,
        /// Which.
        crc: Crc,
        /// Result so far.
        seed: u64,
    },
    /// Copies `len` bytes and computes their CRC on the way.
    CopyCrc {
        /// First byte read.
        src: VirtAddr,
        /// First byte written.
        dst: VirtAddr,
        /// Bytes of each.
        len: u64,
        /// Which.
        crc: Crc,
        /// Result so far.
        seed: u64,
    },
    /// Checks the fields of whole blocks.
    DifCheck {
        /// First byte read.
        src: VirtAddr,
        /// Bytes: blocks with their fields.
        len: u64,
        /// Blocks and guards.
        format: DifFormat,
        /// What the fields should be.
        source: DifSource,
    },
    /// Copies whole blocks and writes a field behind each.
    DifInsert {
        /// First byte read.
        src: VirtAddr,
        /// First byte written.
        dst: VirtAddr,
        /// Bytes read: blocks without fields.
        len: u64,
        /// Blocks and guards.
        format: DifFormat,
        /// What the fields will be.
        destination: DifDestination,
    },
    /// Checks the fields of whole blocks and copies the blocks without them.
    DifStrip {
        /// First byte read.
        src: VirtAddr,
        /// First byte written.
        dst: VirtAddr,
        /// Bytes read: blocks with their fields.
        len: u64,
        /// Blocks and guards.
        format: DifFormat,
        /// What the fields should be.
        source: DifSource,
    },
    /// Checks the fields of whole blocks and copies the blocks with new ones.
    DifUpdate {
        /// First byte read.
        src: VirtAddr,
        /// First byte written.
        dst: VirtAddr,
        /// Bytes of each: blocks with their fields.
        len: u64,
        /// Blocks and guards.
        format: DifFormat,
        /// What the fields should be.
        source: DifSource,
        /// What they will be.
        destination: DifDestination,
    },
    /// Writes a field for each of whole blocks, one after the other, apart from the blocks.
    DixGenerate {
        /// First byte read.
        src: VirtAddr,
        /// First byte written; 8-byte aligned.
        dst: VirtAddr,
        /// Bytes read: blocks without fields.
        len: u64,
        /// Blocks and guards.
        format: DifFormat,
        /// What the fields will be.
        destination: DifDestination,
    },
    /// Writes a range back from the caches.
    CacheFlush {
        /// First byte.
        addr: VirtAddr,
        /// Bytes.
        len: u64,
        /// Whether the range leaves the caches as well.
        drop: bool,
    },
    /// Has the addresses of a range translated, and with that its pages made present, for reading.
    TranslationFetch {
        /// First byte.
        addr: VirtAddr,
        /// Bytes.
        len: u64,
    },
    /// Converts numbers.
    Convert {
        /// First byte read.
        src: VirtAddr,
        /// First byte written.
        dst: VirtAddr,
        /// Bytes read: whole elements.
        len: u64,
        /// From what to what.
        conversion: Conversion,
    },
    /// Combines two vectors element by element.
    Reduce {
        /// First vector.
        a: VirtAddr,
        /// Second vector.
        b: VirtAddr,
        /// First byte written.
        dst: VirtAddr,
        /// Bytes of each vector: whole elements.
        len: u64,
        /// Elements and how they are combined.
        reduction: Reduction,
    },
    /// The same, to two places. An offset in a page of one is the same in the other.
    ReduceDualcast {
        /// First vector.
        a: VirtAddr,
        /// Second vector.
        b: VirtAddr,
        /// First byte written.
        dst: VirtAddr,
        /// First byte written of the other result.
        dst2: VirtAddr,
        /// Bytes of each vector: whole elements.
        len: u64,
        /// Elements and how they are combined.
        reduction: Reduction,
    },
    /// Combines blocks, which are vectors, one after the other, element by element.
    GatherReduce {
        /// The vectors: whole elements, and where elements of the range begin.
        blocks: Blocks,
        /// First byte written.
        dst: VirtAddr,
        /// Elements and how they are combined.
        reduction: Reduction,
    },
    /// Copies blocks, one behind the other.
    GatherCopy {
        /// What is read.
        blocks: Blocks,
        /// First byte written.
        dst: VirtAddr,
    },
    /// Copies one range to blocks, which do not overlap.
    ScatterCopy {
        /// First byte read.
        src: VirtAddr,
        /// What is written.
        blocks: Blocks,
    },
    /// Writes `pattern`, little-endian, again and again, anew from the first byte of each block.
    ScatterFill {
        /// What is written.
        blocks: Blocks,
        /// Eight bytes of pattern; the lowest byte goes first.
        pattern: u64,
    },
    /// Filters a column.
    Filter {
        /// The column: as many bytes as its elements take, or all of a stream.
        src: Span,
        /// First byte of the second input, [`Filter::second_bytes`] of which are read. Of an encrypted column
        /// ([`Filter::decryption`]), where its [`Cipher`](crate::Cipher) is, as in [`Cipher`](Self::Cipher).
        second: VirtAddr,
        /// Room for the output; none asks for aggregates only.
        dst: Span,
        /// What is asked, and what inputs and output look like.
        filter: Filter,
    },
    /// Leaves out the words of `src` that are zero.
    ZeroCompress {
        /// Whole words.
        src: Span,
        /// Room for the output.
        dst: Span,
        /// What a word is.
        word: ZeroWord,
    },
    /// Puts words back that are zero.
    ZeroDecompress {
        /// Blocks of bits and words.
        src: Span,
        /// Room for the output.
        dst: Span,
        /// What a word is.
        word: ZeroWord,
    },
    /// A CRC of any polynomial.
    CrcAny {
        /// First byte read.
        src: VirtAddr,
        /// Bytes.
        len: u64,
        /// Which.
        crc: AnyCrc,
    },
    /// Encrypts or decrypts a message.
    Cipher {
        /// First byte read.
        src: VirtAddr,
        /// First byte written.
        dst: VirtAddr,
        /// Bytes of each.
        len: u64,
        /// Where the [`Cipher`](crate::Cipher) is: key, and what its mode needs besides. It is no operand: a device is given
        /// a copy in its own form.
        cipher: VirtAddr,
        /// The cipher's mode.
        mode: CipherMode,
        /// Encrypt, or decrypt.
        encrypts: bool,
    },
    /// Compresses `src` into a raw deflate segment (RFC 1951) that ends on a byte boundary, so that segments
    /// can be concatenated.
    Deflate {
        /// What is compressed.
        src: Span,
        /// Room for the segment.
        dst: Span,
        /// 1 (fast) to 9 (small); devices with one setting ignore it.
        level: u8,
        /// Whether the stream ends with this segment.
        last: bool,
        /// Checksum of `src` to compute.
        check: Check,
    },
    /// Expands a whole raw deflate stream.
    Inflate {
        /// The stream; bytes after its end are left alone and counted as not read.
        src: Span,
        /// Room for the output.
        dst: Span,
        /// Checksum of the output to compute.
        check: Check,
    },
    /// [`Deflate`](Self::Deflate) of what follows a dictionary.
    DeflateDictionary {
        /// What is compressed.
        src: Span,
        /// Room for the segment.
        dst: Span,
        /// What the segment may refer to.
        dictionary: Span,
        /// 1 (fast) to 9 (small); devices with one setting ignore it.
        level: u8,
        /// Whether the stream ends with this segment.
        last: bool,
        /// Checksum of `src` to compute.
        check: Check,
    },
    /// [`Inflate`](Self::Inflate) of a stream made with a dictionary.
    InflateDictionary {
        /// The stream; bytes after its end are left alone and counted as not read.
        src: Span,
        /// Room for the output.
        dst: Span,
        /// What the stream may refer to.
        dictionary: Span,
        /// Checksum of the output to compute.
        check: Check,
    },
    /// Decrypts a message and expands the whole raw deflate stream in it.
    DecryptInflate {
        /// The message; bytes after the stream's end are decrypted, and left alone.
        src: Span,
        /// Room for the output.
        dst: Span,
        /// Where the [`Cipher`](crate::Cipher) is, as in [`Cipher`](Self::Cipher).
        cipher: VirtAddr,
        /// The cipher's mode.
        mode: CipherMode,
        /// Checksum of the output to compute.
        check: Check,
    },
    /// [`Deflate`](Self::Deflate) without matches that refer to another miniblock, or go on in the next.
    DeflateMiniblocks {
        /// What is compressed.
        src: Span,
        /// Room for the segment.
        dst: Span,
        /// Of a miniblock; the last one may be short.
        size: MiniblockSize,
        /// 1 (fast) to 9 (small); devices with one setting ignore it.
        level: u8,
        /// Whether the stream ends with this segment.
        last: bool,
        /// Checksum of `src` to compute.
        check: Check,
    },
    /// Expands a block to nothing, and writes the index of its miniblocks.
    IndexMiniblocks {
        /// The rest of the stream, from the byte that has the block's first bit.
        src: Span,
        /// Room for entries, of [`MINIBLOCK_ENTRY_BYTES`](crate::MINIBLOCK_ENTRY_BYTES) each.
        dst: Span,
        /// Of a miniblock; the last one may be short.
        size: MiniblockSize,
        /// Where the block stands in the stream.
        start: BlockStart,
    },
    /// Expands miniblocks.
    InflateMiniblocks {
        /// First byte of the stream, which has all that `miniblocks` names.
        src: VirtAddr,
        /// Room for the output.
        dst: Span,
        /// Which; their CRC is computed, and not compared.
        miniblocks: Miniblocks,
    },
    /// Compresses `src` into blocks as they stand in an LZ4 frame, each with its length before it, that refer to nothing before
    /// them: segments of blocks can be concatenated.
    Lz4Compress {
        /// What is compressed.
        src: Span,
        /// Room for the blocks.
        dst: Span,
        /// 1 (fast) to 9 (small); devices with one setting ignore it.
        level: u8,
    },
    /// Expands blocks of an LZ4 frame.
    Lz4Decompress {
        /// The blocks, and nothing else.
        src: Span,
        /// Room for the output.
        dst: Span,
        /// How they are to be read.
        blocks: Lz4Blocks,
    },
}

/// How blocks of LZ4 are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lz4Blocks {
    /// A block may refer to what earlier ones came to.
    pub linked: bool,
    /// Each block is followed by a checksum.
    pub checked: bool,
    /// Most bytes that a block comes to; 4 MiB at most.
    pub block_bytes_max: u32,
}

impl Default for Lz4Blocks {
    fn default() -> Self {
        Self { linked: false, checked: false, block_bytes_max: 4 << 20 }
    }
}

/// One range a job touches, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operand {
    /// The range.
    pub span: Span,
    /// What is done to it.
    pub access: Access,
}

impl Operand {
    const fn read(addr: VirtAddr, len: u64) -> Option<Self> {
        Some(Self { span: Span::new(addr, len), access: Access::Read })
    }

    const fn of(span: Span, access: Access) -> Option<Self> {
        Some(Self { span, access })
    }

    const fn list(blocks: Blocks) -> Option<Self> {
        Self::of(blocks.list_span(), Access::Read)
    }

    const fn write(addr: VirtAddr, len: u64) -> Option<Self> {
        Some(Self { span: Span::new(addr, len), access: Access::Write })
    }
}

/// The ranges of a job: at most [`OPERANDS_MAX`].
pub type Operands = [Option<Operand>; OPERANDS_MAX];

/// Most ranges one job can touch.
pub const OPERANDS_MAX: usize = 4;

impl Job {
    /// The kind of operation.
    pub const fn operation(&self) -> Operation {
        match self {
            Self::Noop => Operation::Noop,
            Self::Drain => Operation::Drain,
            Self::Copy { .. } => Operation::Copy,
            Self::Dualcast { .. } => Operation::Dualcast,
            Self::Fill { .. } => Operation::Fill,
            Self::Fill16 { .. } => Operation::Fill16,
            Self::Compare { .. } => Operation::Compare,
            Self::ComparePattern { .. } => Operation::ComparePattern,
            Self::CreateDelta { .. } => Operation::CreateDelta,
            Self::ApplyDelta { .. } => Operation::ApplyDelta,
            Self::Crc { crc, .. } => match crc.kind {
                CrcKind::Crc32c => Operation::Crc32c,
                CrcKind::Crc64 => Operation::Crc64,
            },
            Self::CopyCrc { crc, .. } => match crc.kind {
                CrcKind::Crc32c => Operation::CopyCrc32c,
                CrcKind::Crc64 => Operation::CopyCrc64,
            },
            Self::DifCheck { .. } => Operation::DifCheck,
            Self::DifInsert { .. } => Operation::DifInsert,
            Self::DifStrip { .. } => Operation::DifStrip,
            Self::DifUpdate { .. } => Operation::DifUpdate,
            Self::DixGenerate { .. } => Operation::DixGenerate,
            Self::CacheFlush { .. } => Operation::CacheFlush,
            Self::TranslationFetch { .. } => Operation::TranslationFetch,
            Self::Convert { .. } => Operation::Convert,
            Self::Reduce { .. } => Operation::Reduce,
            Self::ReduceDualcast { .. } => Operation::ReduceDualcast,
            Self::GatherReduce { .. } => Operation::GatherReduce,
            Self::GatherCopy { .. } => Operation::GatherCopy,
            Self::ScatterCopy { .. } => Operation::ScatterCopy,
            Self::ScatterFill { .. } => Operation::ScatterFill,
            Self::Filter { filter, .. } => filter.operation(),
            Self::ZeroCompress { word, .. } => Operation::of_zero_compress(*word),
            Self::ZeroDecompress { word, .. } => Operation::of_zero_decompress(*word),
            Self::CrcAny { .. } => Operation::CrcAny,
            Self::Cipher { mode, encrypts, .. } => Operation::of_cipher(*mode, *encrypts),
            Self::Deflate { .. } => Operation::Deflate,
            Self::Inflate { .. } => Operation::Inflate,
            Self::Lz4Compress { .. } => Operation::Lz4Compress,
            Self::Lz4Decompress { .. } => Operation::Lz4Decompress,
            Self::DeflateDictionary { .. } => Operation::DeflateDictionary,
            Self::InflateDictionary { .. } => Operation::InflateDictionary,
            Self::DecryptInflate { .. } => Operation::DecryptInflate,
            Self::DeflateMiniblocks { .. } => Operation::DeflateMiniblocks,
            Self::IndexMiniblocks { .. } => Operation::IndexMiniblocks,
            Self::InflateMiniblocks { .. } => Operation::InflateMiniblocks,
        }
    }

    /// Input bytes (for a fill: bytes written; for operations on no memory: 0).
    #[inline]
    pub const fn bytes(&self) -> u64 {
        match *self {
            Self::Copy { len, .. }
            | Self::Dualcast { len, .. }
            | Self::Fill { len, .. }
            | Self::Fill16 { len, .. }
            | Self::Compare { len, .. }
            | Self::ComparePattern { len, .. }
            | Self::CreateDelta { len, .. }
            | Self::Crc { len, .. }
            | Self::CrcAny { len, .. }
            | Self::Cipher { len, .. }
            | Self::CopyCrc { len, .. }
            | Self::DifCheck { len, .. }
            | Self::DifInsert { len, .. }
            | Self::DifStrip { len, .. }
            | Self::DifUpdate { len, .. }
            | Self::DixGenerate { len, .. }
            | Self::CacheFlush { len, .. }
            | Self::TranslationFetch { len, .. }
            | Self::Convert { len, .. }
            | Self::Reduce { len, .. }
            | Self::ReduceDualcast { len, .. } => len,
            Self::GatherReduce { blocks, .. }
            | Self::GatherCopy { blocks, .. }
            | Self::ScatterCopy { blocks, .. }
            | Self::ScatterFill { blocks, .. } => blocks.bytes(),
            Self::ApplyDelta { delta, .. } => delta.len,
            Self::Filter { src, filter, .. } => src.len.saturating_add(filter.second_bytes()),
            Self::Deflate { src, .. }
            | Self::Inflate { src, .. }
            | Self::Lz4Compress { src, .. }
            | Self::Lz4Decompress { src, .. }
            | Self::DeflateDictionary { src, .. }
            | Self::InflateDictionary { src, .. }
            | Self::DecryptInflate { src, .. }
            | Self::DeflateMiniblocks { src, .. }
            | Self::IndexMiniblocks { src, .. }
            | Self::ZeroCompress { src, .. }
            | Self::ZeroDecompress { src, .. } => src.len,
            Self::InflateMiniblocks { src, miniblocks, .. } => miniblocks.span(src).len,
            Self::Noop | Self::Drain => 0,
        }
    }

    /// Whether byte `n` of every range belongs together, so that work on one range predicts work at the same
    /// offset of the other. Not so where an output runs at its own pace.
    pub const fn in_step(&self) -> bool {
        matches!(
            self,
            Self::Noop
                | Self::Drain
                | Self::Copy { .. }
                | Self::Dualcast { .. }
                | Self::Fill { .. }
                | Self::Fill16 { .. }
                | Self::Compare { .. }
                | Self::ComparePattern { .. }
                | Self::Crc { .. }
                | Self::CrcAny { .. }
                | Self::CopyCrc { .. }
                | Self::DifCheck { .. }
                | Self::DifUpdate { .. }
                | Self::CacheFlush { .. }
                | Self::TranslationFetch { .. }
        )
    }

    /// What the job finds when there is not a byte to work on. None for deflate, which has something to write
    /// or to refuse even then, for encryption, which may have a tag, and for what works on no memory.
    pub const fn empty_value(&self) -> Option<Value> {
        match *self {
            Self::Copy { .. }
            | Self::Dualcast { .. }
            | Self::Fill { .. }
            | Self::Fill16 { .. }
            | Self::ApplyDelta { .. }
            | Self::CacheFlush { .. }
            | Self::TranslationFetch { .. }
            | Self::GatherCopy { .. }
            | Self::ScatterCopy { .. }
            | Self::ScatterFill { .. } => Some(Value::None),
            Self::Convert { .. }
            | Self::Reduce { .. }
            | Self::ReduceDualcast { .. }
            | Self::GatherReduce { .. } => Some(Value::Exceptions(NumberExceptions::empty())),
            Self::Compare { .. } | Self::ComparePattern { .. } => Some(Value::Difference(None)),
            Self::CreateDelta { .. } => Some(Value::Delta { written: 0 }),
            Self::Crc { seed, .. } | Self::CopyCrc { seed, .. } => Some(Value::Crc(seed)),
            Self::DifCheck { source, .. } | Self::DifStrip { source, .. } => {
                Some(Value::Tags { source: source.tags, destination: source.tags })
            }
            Self::DifInsert { destination, .. } | Self::DixGenerate { destination, .. } => {
                Some(Value::Tags { source: destination.tags, destination: destination.tags })
            }
            Self::DifUpdate { source, destination, .. } => {
                Some(Value::Tags { source: source.tags, destination: destination.tags })
            }
            Self::Filter { .. } => Some(Value::Filter { elements: 0, aggregates: Aggregates::EMPTY }),
            Self::ZeroCompress { .. }
            | Self::ZeroDecompress { .. }
            | Self::Lz4Compress { .. }
            | Self::Lz4Decompress { .. } => Some(Value::Written(0)),
            // Ones over nothing, complemented.
            Self::CrcAny { .. } => Some(Value::Crc(0)),
            Self::Deflate { .. }
            | Self::Inflate { .. }
            | Self::DeflateDictionary { .. }
            | Self::InflateDictionary { .. }
            | Self::DecryptInflate { .. }
            | Self::DeflateMiniblocks { .. }
            | Self::IndexMiniblocks { .. }
            | Self::InflateMiniblocks { .. }
            | Self::Cipher { .. }
            | Self::Noop
            | Self::Drain => None,
        }
    }

    /// The checksum a deflate or inflate job computes.
    pub const fn check(&self) -> Check {
        match *self {
            Self::Deflate { check, .. }
            | Self::Inflate { check, .. }
            | Self::DeflateDictionary { check, .. }
            | Self::InflateDictionary { check, .. }
            | Self::DecryptInflate { check, .. }
            | Self::DeflateMiniblocks { check, .. } => check,
            _ => Check::None,
        }
    }

    /// What has to be decrypted in front of the operation: a queue that does it has to have the mode as well.
    pub const fn decryption(&self) -> Option<CipherMode> {
        match self {
            Self::DecryptInflate { mode, .. } => Some(*mode),
            Self::Filter { filter, .. } => filter.decryption(),
            _ => None,
        }
    }

    /// Whether a driver can do the job piece by piece. An inflate can be, in a decoder that can stop anywhere; not a filter
    /// whose elements or outputs are where only their contents say, nor a CRC that has no seed.
    pub const fn can_split(&self) -> bool {
        match self {
            Self::Filter { filter, .. } => filter.splits() || filter.splits_at_blocks(),
            Self::ZeroDecompress { .. } | Self::CrcAny { .. } => false,
            _ => true,
        }
    }

    /// Bytes of the longest range of the job.
    pub fn range_bytes_max(&self) -> u64 {
        self.operands().into_iter().flatten().map(|operand| operand.span.len).max().unwrap_or(0)
    }

    /// Whether addresses and sizes are what an accelerator takes. The CPU takes any.
    ///
    /// Source: DSA §8.3.8, §8.3.9, §8.3.10, §8.3.18 to §8.3.22.
    pub const fn has_device_shape(&self) -> bool {
        const WORD: u64 = 8;
        match *self {
            Self::Dualcast { dst, dst2, .. } => (dst.get() ^ dst2.get()) % PAGE_BYTES == 0,
            Self::CreateDelta { a, b, delta, .. } => {
                (a.get() | b.get() | delta.addr.get()) % WORD == 0 && delta.len >= WORD * DELTA_ENTRY_BYTES
            }
            Self::ApplyDelta { delta, dst, .. } => (delta.addr.get() | dst.get()) % WORD == 0,
            Self::DixGenerate { dst, .. } => dst.get() % WORD == 0,
            // With less an IAA would be given zeros before it, to which a stream could refer.
            Self::DeflateDictionary { dictionary, .. } => dictionary.len >= DICTIONARY_BYTES_MIN,
            // Whether a device can write bits as elements is not known here.
            Self::Filter { filter, .. } => {
                filter.nominal_width() != 1 || !filter.options().contains(FilterOptions::FORCE_ARRAY)
            }
            Self::Convert { src, dst, conversion, .. } => {
                conversion.is_of_devices() && is_aligned(conversion, src.get(), dst.get())
            }
            Self::Reduce { a, b, dst, reduction, .. } => {
                let numbers = reduction.numbers();
                numbers.is_of_devices() && is_aligned(numbers, a.get() | b.get(), dst.get())
            }
            Self::ReduceDualcast { a, b, dst, dst2, reduction, .. } => {
                let numbers = reduction.numbers();
                numbers.is_of_devices()
                    && is_aligned(numbers, a.get() | b.get(), dst.get())
                    && (dst.get() ^ dst2.get()) % PAGE_BYTES == 0
            }
            Self::GatherReduce { blocks, dst, reduction } => {
                let numbers = reduction.numbers();
                numbers.is_of_devices() && is_aligned(numbers, blocks.base.addr.get(), dst.get())
            }
            _ => true,
        }
    }

    /// The ranges the job touches.
    pub const fn operands(&self) -> Operands {
        let (first, second, third) = match *self {
            Self::ReduceDualcast { a, b, dst, dst2, len, reduction } => {
                let written = reduction.numbers().output_bytes(len);
                return [
                    Operand::read(a, len),
                    Operand::read(b, len),
                    Operand::write(dst, written),
                    Operand::write(dst2, written),
                ];
            }
            Self::Convert { src, dst, len, conversion } => {
                (Operand::read(src, len), Operand::write(dst, conversion.output_bytes(len)), None)
            }
            Self::Reduce { a, b, dst, len, reduction } => {
                let written = reduction.numbers().output_bytes(len);
                (Operand::read(a, len), Operand::read(b, len), Operand::write(dst, written))
            }
            Self::GatherReduce { blocks, dst, reduction } => {
                let written = reduction.numbers().output_bytes(blocks.block_bytes as u64);
                (Operand::of(blocks.base, Access::Read), Operand::list(blocks), Operand::write(dst, written))
            }
            Self::GatherCopy { blocks, dst } => (
                Operand::of(blocks.base, Access::Read),
                Operand::list(blocks),
                Operand::write(dst, blocks.bytes()),
            ),
            Self::ScatterCopy { src, blocks } => (
                Operand::read(src, blocks.bytes()),
                Operand::list(blocks),
                Operand::of(blocks.base, Access::Write),
            ),
            Self::ScatterFill { blocks, .. } => {
                (Operand::list(blocks), Operand::of(blocks.base, Access::Write), None)
            }
            Self::Noop | Self::Drain => (None, None, None),
            Self::Copy { src, dst, len }
            | Self::CopyCrc { src, dst, len, .. }
            | Self::Cipher { src, dst, len, .. } => (Operand::read(src, len), Operand::write(dst, len), None),
            Self::Dualcast { src, dst, dst2, len } => {
                (Operand::read(src, len), Operand::write(dst, len), Operand::write(dst2, len))
            }
            Self::Fill { dst, len, .. } | Self::Fill16 { dst, len, .. } => {
                (Operand::write(dst, len), None, None)
            }
            Self::Compare { a, b, len } => (Operand::read(a, len), Operand::read(b, len), None),
            Self::ComparePattern { src, len, .. }
            | Self::Crc { src, len, .. }
            | Self::DifCheck { src, len, .. } => (Operand::read(src, len), None, None),
            Self::CreateDelta { a, b, len, delta } => {
                (Operand::read(a, len), Operand::read(b, len), Operand::write(delta.addr, delta.len))
            }
            Self::ApplyDelta { delta, dst, len } => {
                (Operand::read(delta.addr, delta.len), Operand::write(dst, len), None)
            }
            Self::DifInsert { src, dst, len, format, .. } => {
                let blocks = len / format.block.bytes();
                (Operand::read(src, len), Operand::write(dst, blocks * format.block.bytes_with_field()), None)
            }
            Self::DifStrip { src, dst, len, format, .. } => {
                let blocks = len / format.block.bytes_with_field();
                (Operand::read(src, len), Operand::write(dst, blocks * format.block.bytes()), None)
            }
            Self::DifUpdate { src, dst, len, .. } => {
                (Operand::read(src, len), Operand::write(dst, len), None)
            }
            Self::DixGenerate { src, dst, len, format, .. } => {
                let blocks = len / format.block.bytes();
                (Operand::read(src, len), Operand::write(dst, blocks * DIF_BYTES), None)
            }
            Self::CacheFlush { addr, len, .. } | Self::TranslationFetch { addr, len } => {
                (Operand::read(addr, len), None, None)
            }
            Self::Filter { src, second, dst, filter } => {
                let second = match filter.second_bytes() {
                    0 => None,
                    bytes => Operand::read(second, bytes),
                };
                let written = if dst.len == 0 { None } else { Operand::write(dst.addr, dst.len) };
                (Operand::read(src.addr, src.len), second, written)
            }
            Self::CrcAny { src, len, .. } => (Operand::read(src, len), None, None),
            Self::DeflateDictionary { src, dst, dictionary, .. }
            | Self::InflateDictionary { src, dst, dictionary, .. } => (
                Operand::read(src.addr, src.len),
                Operand::write(dst.addr, dst.len),
                Operand::read(dictionary.addr, dictionary.len),
            ),
            Self::InflateMiniblocks { src, dst, miniblocks } => {
                let body = miniblocks.span(src);
                (
                    Operand::read(body.addr, body.len),
                    Operand::write(dst.addr, dst.len),
                    match miniblocks.header_span(src) {
                        Some(header) => Operand::read(header.addr, header.len),
                        None => None,
                    },
                )
            }
            Self::Deflate { src, dst, .. }
            | Self::DeflateMiniblocks { src, dst, .. }
            | Self::IndexMiniblocks { src, dst, .. }
            | Self::Inflate { src, dst, .. }
            | Self::DecryptInflate { src, dst, .. }
            | Self::Lz4Compress { src, dst, .. }
            | Self::Lz4Decompress { src, dst, .. }
            | Self::ZeroCompress { src, dst, .. }
            | Self::ZeroDecompress { src, dst, .. } => {
                (Operand::read(src.addr, src.len), Operand::write(dst.addr, dst.len), None)
            }
        };
        [first, second, third, None]
    }
}

/// Whether what is read and what is written are aligned to their elements.
const fn is_aligned(numbers: Conversion, read: u64, written: u64) -> bool {
    read.is_multiple_of(numbers.input().bytes()) && written.is_multiple_of(numbers.output().bytes())
}

// A job is moved on the shortest way there is: a variant that makes it longer costs every operation.
const _: () = assert!(size_of::<Job>() <= 64);

/// Most bytes of a range a delta record can be made of: a record counts words in 16 bits.
pub const DELTA_RANGE_BYTES_MAX: u64 = 512 << 10;
/// Least bytes of a dictionary that an IAA compresses with.
const DICTIONARY_BYTES_MIN: u64 = Dictionary::DEVICE_BYTES_MIN as u64;
/// Bytes of a delta record for each word that differs.
pub const DELTA_ENTRY_BYTES: u64 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operands_name_what_is_written() {
        let job = Job::Copy { src: VirtAddr::new(1), dst: VirtAddr::new(100), len: 7 };
        let [Some(src), Some(dst), None, None] = job.operands() else { panic!("two operands") };
        assert_eq!((src.access, dst.access), (Access::Read, Access::Write));
        assert_eq!(dst.span, Span::new(VirtAddr::new(100), 7));
    }
}
