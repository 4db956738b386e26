//! LZ4: blocks, as frames have them, and the frames around them.
//!
//! A frame's blocks are each a length of four bytes, whose highest bit says that the block is stored, and that many bytes.
//! What is made here are independent blocks of 64 KiB: sequences of blocks can be concatenated, as segments of deflate can. What
//! is read is any frame: blocks of up to 4 MiB, with references to earlier blocks or without, with checksums or without.
//! Frames with a dictionary are not read.
//!
//! The work on a block is `lz4_flex`'s. Source: the frame format description 1.6.4 of the LZ4 project.

mod expand;
mod frame;
mod xxh32;

pub use expand::{Lz4Expander, Lz4Step};
pub use frame::{Lz4Header, Lz4Start};
pub use xxh32::Xxh32;

pub(crate) use frame::{header, parse_header, trailer};

use lz4_flex::block::{DecompressError, decompress_into, decompress_into_with_dict, get_maximum_output_size};
use thiserror::Error;

use crate::deflate::OutputFull;

/// Most bytes of input in a block that is made.
pub const LZ4_BLOCK_BYTES: usize = 64 << 10;
/// How far back a block may refer to earlier ones.
pub(crate) const WINDOW_BYTES: usize = 64 << 10;
/// Bytes of a block's length, and of its checksum.
pub(crate) const WORD_BYTES: usize = 4;
/// A block that is stored.
pub(crate) const STORED: u32 = 1 << 31;

/// How the blocks of a frame are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Lz4Blocks {
    /// A block may refer to what earlier ones came to.
    pub linked: bool,
    /// Each block is followed by a checksum of its bytes.
    pub checked: bool,
    /// Most bytes that a block comes to.
    pub block_bytes_max: usize,
}

impl Lz4Blocks {
    /// Blocks that stand for themselves, without checksums, of at most 4 MiB.
    pub const PLAIN: Self = Self { linked: false, checked: false, block_bytes_max: 4 << 20 };
}

/// Why blocks could not be expanded. Offsets are in the bytes that were passed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum Lz4Error {
    /// A block is not one, or comes to more than it may.
    #[error("corrupt block at byte {offset}")]
    Corrupt {
        /// Where it begins.
        offset: u64,
    },
    /// A block is not as it was written.
    #[error("block at byte {offset}: checksum is {stored:#010x}, computed {computed:#010x}")]
    BlockChecksum {
        /// Where it begins.
        offset: u64,
        /// The value behind the block.
        stored: u32,
        /// The value of its bytes.
        computed: u32,
    },
    /// The input ends within a block.
    #[error("blocks end early, after {len} bytes")]
    Truncated {
        /// Bytes there were.
        len: u64,
    },
    /// The output does not fit.
    #[error("more than {room} bytes of output")]
    OutputFull {
        /// Bytes there was room for.
        room: usize,
    },
}

/// Room that is always enough for the blocks of `len` bytes.
pub const fn lz4_blocks_bound(len: usize) -> usize {
    let blocks = len / LZ4_BLOCK_BYTES + 1;
    len.saturating_add(blocks * WORD_BYTES)
}

/// Compresses `src` into blocks that stand for themselves. Returns the bytes of them: none for nothing.
///
/// # Errors
///
/// [`OutputFull`] if `dst` is too small; [`lz4_blocks_bound`] says how much is enough.
pub fn lz4_compress_blocks(src: &[u8], dst: &mut [u8]) -> Result<usize, OutputFull> {
    let room = dst.len();
    let mut scratch = vec![0; get_maximum_output_size(src.len().min(LZ4_BLOCK_BYTES))];
    let (mut at, mut read) = (0, 0);
    for block in src.chunks(LZ4_BLOCK_BYTES) {
        let full = OutputFull { room, len: src.len(), read };
        // It fails only without room, and there is as much as can be needed.
        let made = lz4_flex::block::compress_into(block, &mut scratch).map_err(|_| full)?;
        let (bytes, flag) = if made < block.len() { (&scratch[..made], 0) } else { (block, STORED) };
        let len = u32::try_from(bytes.len()).map_err(|_| full)?;
        let body = at + WORD_BYTES;
        let end = body + bytes.len();
        dst.get_mut(at..body).ok_or(full)?.copy_from_slice(&(len | flag).to_le_bytes());
        dst.get_mut(body..end).ok_or(full)?.copy_from_slice(bytes);
        at = end;
        read += block.len();
    }
    Ok(at)
}

/// Expands all of `src`, which is blocks and nothing else. Returns the bytes they came to.
///
/// # Errors
///
/// See [`Lz4Error`]. `dst` may have been written in part.
pub fn lz4_expand_blocks(src: &[u8], dst: &mut [u8], how: Lz4Blocks) -> Result<usize, Lz4Error> {
    let (mut at, mut written) = (0, 0);
    while at < src.len() {
        let block = Block::at(src, at, how)?.ok_or(Lz4Error::Corrupt { offset: at as u64 })?;
        written += block.expand(src, dst, written, how)?;
        at = block.next;
    }
    Ok(written)
}

/// Bytes of the blocks that `src` begins with, up to the mark that ends them.
///
/// # Errors
///
/// [`Lz4Error::Truncated`] without such a mark, [`Lz4Error::Corrupt`] for a block that is longer than it may be.
pub fn lz4_blocks_len(src: &[u8], how: Lz4Blocks) -> Result<usize, Lz4Error> {
    let mut at = 0;
    while let Some(block) = Block::at(src, at, how)? {
        at = block.next;
    }
    Ok(at)
}

/// A block, by where it is in the input.
#[derive(Clone, Copy, Debug)]
struct Block {
    /// Where its length is.
    offset: usize,
    body: usize,
    len: usize,
    is_stored: bool,
    /// Where what follows begins.
    next: usize,
}

impl Block {
    /// The block at a place; none for the mark that ends them.
    fn at(src: &[u8], offset: usize, how: Lz4Blocks) -> Result<Option<Self>, Lz4Error> {
        let truncated = Lz4Error::Truncated { len: src.len() as u64 };
        let head = word(src, offset).ok_or(truncated)?;
        if head == 0 {
            return Ok(None);
        }
        let len = (head & !STORED) as usize;
        if len > how.block_bytes_max {
            return Err(Lz4Error::Corrupt { offset: offset as u64 });
        }
        let body = offset + WORD_BYTES;
        let next = body + len + if how.checked { WORD_BYTES } else { 0 };
        if next > src.len() {
            return Err(truncated);
        }
        Ok(Some(Self { offset, body, len, is_stored: head & STORED != 0, next }))
    }

    /// Expands it to byte `written` of `dst`.
    fn expand(self, src: &[u8], dst: &mut [u8], written: usize, how: Lz4Blocks) -> Result<usize, Lz4Error> {
        let bytes = &src[self.body..self.body + self.len];
        let offset = self.offset as u64;
        if how.checked {
            let (stored, computed) = (word(src, self.body + self.len).unwrap_or(0), Xxh32::of(bytes));
            if stored != computed {
                return Err(Lz4Error::BlockChecksum { offset, stored, computed });
            }
        }
        let full = Lz4Error::OutputFull { room: dst.len() };
        let (before, room) = dst.split_at_mut(written);
        let is_short = room.len() < how.block_bytes_max;
        let room = if is_short { room } else { &mut room[..how.block_bytes_max] };
        let window = if how.linked { &before[before.len().saturating_sub(WINDOW_BYTES)..] } else { &[] };
        expand_block(bytes, self.is_stored, room, window).map_err(|error| match error {
            Bad::Full if is_short => full,
            Bad::Full | Bad::Corrupt => Lz4Error::Corrupt { offset },
        })
    }
}

/// What is wrong with a block.
pub(crate) enum Bad {
    /// It comes to more than there is room for.
    Full,
    Corrupt,
}

/// The bytes of a block, expanded.
pub(crate) fn expand_block(
    bytes: &[u8],
    is_stored: bool,
    room: &mut [u8],
    window: &[u8],
) -> Result<usize, Bad> {
    if is_stored {
        room.get_mut(..bytes.len()).ok_or(Bad::Full)?.copy_from_slice(bytes);
        return Ok(bytes.len());
    }
    let expanded = match window {
        [] => decompress_into(bytes, room),
        window => decompress_into_with_dict(bytes, room, window),
    };
    expanded.map_err(|error| match error {
        DecompressError::OutputTooSmall { .. } => Bad::Full,
        _ => Bad::Corrupt,
    })
}

/// A little-endian number.
pub(crate) fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().copied().map(u32::from_le_bytes)
}

#[cfg(test)]
mod tests;
