//! What stands around the blocks: a descriptor before them, a mark and a checksum behind them, and frames to be skipped.

use super::{Lz4Blocks, Xxh32, word};
use crate::frame::{Format, FrameBytes, FrameError, Header, Part};

const MAGIC: u32 = 0x184d_2204;
/// Frames with something else in them: sixteen numbers.
const SKIPPABLE: u32 = 0x184d_2a50;
const SKIPPABLE_MASK: u32 = !0xf;

// Flags.
const VERSION: u8 = 1 << 6;
const VERSION_MASK: u8 = 3 << 6;
const INDEPENDENT: u8 = 1 << 5;
const BLOCK_CHECKSUM: u8 = 1 << 4;
const CONTENT_SIZE: u8 = 1 << 3;
const CONTENT_CHECKSUM: u8 = 1 << 2;
const RESERVED: u8 = 1 << 1;
const DICTIONARY: u8 = 1 << 0;

/// Sizes of blocks, by their number: 64 KiB, 256 KiB, 1 MiB, 4 MiB.
const SIZES: [(u8, usize); 4] = [(4, 64 << 10), (5, 256 << 10), (6, 1 << 20), (7, 4 << 20)];
const SIZE_SHIFT: u32 = 4;

/// What the descriptor of a frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lz4Header {
    /// Bytes it takes: where the blocks begin.
    pub bytes: usize,
    /// How the blocks are to be read.
    pub blocks: Lz4Blocks,
    /// Whether a checksum of the content follows.
    pub has_checksum: bool,
    /// Bytes of the content, where the frame says.
    pub content_bytes: Option<u64>,
}

/// What a frame begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lz4Start {
    /// Blocks follow.
    Frame(Lz4Header),
    /// Something that is not LZ4, to be passed over: so many bytes in all.
    Skip(u64),
}

impl Lz4Start {
    /// Parses what `input` begins with.
    ///
    /// # Errors
    ///
    /// [`FrameError::Truncated`] if more of it may do; anything else is final.
    pub fn parse(input: &[u8]) -> Result<Self, FrameError> {
        let truncated = FrameError::Truncated { part: Part::Header, offset: input.len() };
        let (Some(magic), [first, second, ..]) = (word(input, 0), input) else {
            // What cannot become one is not waited for.
            let begins = |magic: u32| magic.to_le_bytes().starts_with(input);
            let may_be = begins(MAGIC) || (0..16).any(|number| begins(SKIPPABLE | number));
            let found = [input.first(), input.get(1)].map(|byte| byte.copied().unwrap_or(0));
            return Err(if may_be {
                truncated
            } else {
                FrameError::WrongMagic { format: Format::Lz4, found }
            });
        };
        if magic & SKIPPABLE_MASK == SKIPPABLE {
            return Ok(Self::Skip(u64::from(word(input, 4).ok_or(truncated)?) + 8));
        }
        if magic != MAGIC {
            return Err(FrameError::WrongMagic { format: Format::Lz4, found: [*first, *second] });
        }
        let [flags, sizes, ..] = input[4..] else { return Err(truncated) };
        Self::described(input, flags, sizes, truncated).map(Self::Frame)
    }

    fn described(input: &[u8], flags: u8, sizes: u8, truncated: FrameError) -> Result<Lz4Header, FrameError> {
        if flags & VERSION_MASK != VERSION {
            return Err(FrameError::UnknownMethod { method: flags >> 6, offset: 4 });
        }
        if flags & RESERVED != 0 {
            return Err(FrameError::ReservedFlags { flags: flags & RESERVED, offset: 4 });
        }
        if sizes & 0x8f != 0 {
            return Err(FrameError::ReservedFlags { flags: sizes & 0x8f, offset: 5 });
        }
        let size = SIZES.iter().find(|(number, _)| *number == sizes >> SIZE_SHIFT);
        let Some((_, block_bytes_max)) = size.copied() else {
            return Err(FrameError::UnknownMethod { method: sizes >> SIZE_SHIFT, offset: 5 });
        };
        let mut at = 6;
        let mut content_bytes = None;
        if flags & CONTENT_SIZE != 0 {
            let bytes = input.get(at..).and_then(|rest| rest.first_chunk()).ok_or(truncated)?;
            content_bytes = Some(u64::from_le_bytes(*bytes));
            at += 8;
        }
        let dictionary_at = at;
        at += if flags & DICTIONARY != 0 { 4 } else { 0 };
        let stored = *input.get(at).ok_or(truncated)?;
        let [_, computed, ..] = Xxh32::of(&input[4..at]).to_le_bytes();
        if stored != computed {
            let (stored, computed) = (stored.into(), computed.into());
            return Err(FrameError::HeaderChecksum { offset: at, stored, computed });
        }
        if flags & DICTIONARY != 0 {
            return Err(FrameError::DictionaryRequired { offset: dictionary_at });
        }
        let linked = flags & INDEPENDENT == 0;
        let blocks = Lz4Blocks { linked, checked: flags & BLOCK_CHECKSUM != 0, block_bytes_max };
        let has_checksum = flags & CONTENT_CHECKSUM != 0;
        Ok(Lz4Header { bytes: at + 1, blocks, has_checksum, content_bytes })
    }
}

impl Lz4Header {
    /// Checks what follows the mark at the end of the blocks, with `sum` the checksum and `len` the length of the content.
    /// Returns its bytes.
    ///
    /// # Errors
    ///
    /// [`FrameError::Truncated`], [`FrameError::ChecksumMismatch`], [`FrameError::ContentSize`].
    pub fn check_trailer(&self, input: &[u8], sum: u32, len: u64) -> Result<usize, FrameError> {
        if let Some(stored) = self.content_bytes.filter(|stored| *stored != len) {
            return Err(FrameError::ContentSize { stored, found: len });
        }
        if !self.has_checksum {
            return Ok(0);
        }
        let truncated = FrameError::Truncated { part: Part::Trailer, offset: input.len() };
        let stored = word(input, 0).ok_or(truncated)?;
        let mismatch = FrameError::ChecksumMismatch { offset: 0, stored, computed: sum };
        if stored == sum { Ok(4) } else { Err(mismatch) }
    }
}

/// The descriptor of the frames that are made: independent blocks of 64 KiB, and a checksum at the end.
pub(crate) fn header() -> FrameBytes {
    let descriptor = [VERSION | INDEPENDENT | CONTENT_CHECKSUM, 4 << SIZE_SHIFT];
    let [_, check, ..] = Xxh32::of(&descriptor).to_le_bytes();
    FrameBytes::new(&[&MAGIC.to_le_bytes(), &descriptor, &[check]])
}

/// The mark at the end of the blocks, and the checksum.
pub(crate) fn trailer(sum: u32) -> FrameBytes {
    FrameBytes::new(&[&[0; 4], &sum.to_le_bytes()])
}

/// The header of a frame that has blocks.
pub(crate) fn parse_header(input: &[u8]) -> Result<Header, FrameError> {
    match Lz4Start::parse(input)? {
        Lz4Start::Frame(header) => Ok(Header::bare(header.bytes)),
        Lz4Start::Skip(_) => {
            let found = [input[0], input[1]];
            Err(FrameError::WrongMagic { format: Format::Lz4, found })
        }
    }
}
