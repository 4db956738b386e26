//! A segment by libdeflate, which is the fastest and makes the smallest, but only ever a whole stream.
//!
//! Two things that it does not do are done here:
//!
//! - *Go on.* It marks its last block as final. Where another segment follows, that block is looked for ([`Blocks`]), the mark
//!   taken off, and the empty stored block of a flush put behind it.
//! - *Bear changes of its input.* It counts what a block will take, looks whether that fits, and then reads the input again
//!   to write it, without looking. Memory that vanishes becomes zeros in between ([`guarded`](crate::guarded)), and the block
//!   might take more. So of such memory it reads a copy, which costs a per cent.
//!
//! It cannot be interrupted either: whoever has other things to do gives it no more than a part at a time.

use std::fmt;

use libdeflater::{CompressionLvl, Compressor};

use super::blocks::Blocks;
use super::{Level, Segment};

/// Most input that is copied.
pub(super) const COPY_BYTES_MAX: usize = 4 << 20;
/// Least: up to here libdeflate stores, or describes codes where the fixed ones do.
pub(super) const BYTES_MIN: usize = 64;

/// A compressor for one segment after another. Allocates when made, and when its level changes.
pub(super) struct Whole {
    compressor: Compressor,
    level: Level,
    blocks: Blocks,
    /// Made when first needed.
    copy: Box<[u8]>,
}

impl Whole {
    pub(super) fn new(level: Level) -> Self {
        Self { compressor: compressor(level), level, blocks: Blocks::new(), copy: Box::default() }
    }

    /// Allocates what [`deflate_copy`](Self::deflate_copy) needs, most of which is memory only once it is used.
    pub(super) fn prepare_copy(&mut self) {
        if self.copy.is_empty() {
            self.copy = vec![0; COPY_BYTES_MAX].into_boxed_slice();
        }
    }

    /// [`deflate`](Self::deflate) of memory that may change meanwhile. None also for more than [`COPY_BYTES_MAX`].
    pub(super) fn deflate_copy(
        &mut self,
        src: &[u8],
        dst: &mut [u8],
        level: Level,
        segment: Segment,
    ) -> Option<usize> {
        self.prepare_copy();
        let mut copy = std::mem::take(&mut self.copy);
        let made = copy.get_mut(..src.len()).and_then(|input| {
            input.copy_from_slice(src);
            self.deflate(input, dst, level, segment)
        });
        self.copy = copy;
        made
    }

    /// Compresses `src` at `level` into `dst`, and says how many bytes that makes. None: it cannot, or there is no room.
    pub(super) fn deflate(
        &mut self,
        src: &[u8],
        dst: &mut [u8],
        level: Level,
        segment: Segment,
    ) -> Option<usize> {
        if level != self.level {
            (self.compressor, self.level) = (compressor(level), level);
        }
        let written = self.compressor.deflate_compress(src, dst).ok()?;
        match segment {
            Segment::Last => Some(written),
            Segment::NotLast => self.reopen(dst, written),
        }
    }

    /// Makes the stream of `written` bytes in `dst` one that goes on, at a whole byte.
    fn reopen(&mut self, dst: &mut [u8], written: usize) -> Option<usize> {
        const FLUSH: [u8; 4] = [0, 0, 0xff, 0xff];
        let last = self.blocks.last(dst.get(..written)?)?;
        // The three bits of a stored block's header are zeros, as padding is; they need room behind the block.
        let end = usize::try_from((last.end + 3).div_ceil(8)).ok()?;
        dst.get_mut(written..end)?.fill(0);
        dst.get_mut(end..end + FLUSH.len())?.copy_from_slice(&FLUSH);
        *dst.get_mut(usize::try_from(last.begin / 8).ok()?)? &= !(1 << (last.begin % 8));
        Some(end + FLUSH.len())
    }
}

/// Levels mean the same to libdeflate, as far as they mean anything.
fn compressor(level: Level) -> Compressor {
    Compressor::new(CompressionLvl::new(level.value().into()).unwrap_or_default())
}

impl fmt::Debug for Whole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Whole").field("level", &self.level).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
