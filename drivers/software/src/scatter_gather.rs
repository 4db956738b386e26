//! Copies between one range and blocks that lie anywhere in another.
//!
//! All blocks are of one size, and are given by where they begin, in bytes. They are worked on in the order given; of
//! blocks that overlap the last one written stays.

use crate::fill::fill;
use crate::pattern::Pattern;
#[cfg(target_arch = "x86_64")]
use crate::wide::{Wide, prefetch_for_write};

/// A block that does not lie inside the range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("block {index} at byte {offset} ends behind {len} bytes")]
pub struct BlockOutside {
    /// Which one, from 0.
    pub index: usize,
    /// Where it begins.
    pub offset: usize,
    /// Bytes there are.
    pub len: usize,
}

/// Copies the block of `block` bytes at each of `offsets` of `src` to `dst`, one behind the other.
///
/// # Errors
///
/// A block is not inside `src`; those before it are copied.
///
/// # Panics
///
/// If `dst` does not hold as many blocks.
pub fn gather(src: &[u8], offsets: &[usize], block: usize, dst: &mut [u8]) -> Result<(), BlockOutside> {
    check(dst.len(), offsets.len(), block);
    // An iterator over chunks would divide.
    let mut rest = dst;
    for (index, &offset) in offsets.iter().enumerate() {
        let Some(from) = range(offset, block).and_then(|range| src.get(range)) else {
            return Err(outside(index, offset, src.len()));
        };
        let (to, behind) = rest.split_at_mut(block);
        to.copy_from_slice(from);
        rest = behind;
    }
    Ok(())
}

/// Copies `src`, cut into blocks of `block` bytes, to each of `offsets` of `dst`.
///
/// # Errors
///
/// A block is not inside `dst`; those before it are copied.
///
/// # Panics
///
/// If `src` does not hold as many blocks.
pub fn scatter(src: &[u8], offsets: &[usize], block: usize, dst: &mut [u8]) -> Result<(), BlockOutside> {
    check(src.len(), offsets.len(), block);
    #[cfg(target_arch = "x86_64")]
    if src.len() > CACHED_BYTES && Wide::detect().is_some() {
        return scatter_ahead(src, offsets, block, dst);
    }
    scatter_by(src, offsets, block, dst, |_| ())
}

/// Has the lines of the next block come while one is copied.
#[cfg(target_arch = "x86_64")]
#[inline(never)]
fn scatter_ahead(src: &[u8], offsets: &[usize], block: usize, dst: &mut [u8]) -> Result<(), BlockOutside> {
    scatter_by(src, offsets, block, dst, prefetch_for_write)
}

/// What is written beyond this is not in the first-level cache.
#[cfg(target_arch = "x86_64")]
const CACHED_BYTES: usize = 32 << 10;

#[inline]
fn check(len: usize, blocks: usize, block: usize) {
    if block.checked_mul(blocks) != Some(len) {
        misfit(len, blocks, block);
    }
}

/// Apart from [`check`], so that the numbers need not be in memory for it.
#[cold]
#[inline(never)]
fn misfit(len: usize, blocks: usize, block: usize) -> ! {
    panic!("{len} bytes are not {blocks} blocks of {block}");
}

/// `announce` is told of each block but the first before the one in front of it is copied.
#[inline(always)]
fn scatter_by(
    src: &[u8],
    offsets: &[usize],
    block: usize,
    dst: &mut [u8],
    announce: impl Fn(&[u8]),
) -> Result<(), BlockOutside> {
    let len = dst.len();
    let mut rest = src;
    for (index, &offset) in offsets.iter().enumerate() {
        let next = offsets.get(index + 1).and_then(|&next| range(next, block));
        if let Some(next) = next.and_then(|range| dst.get(range)) {
            announce(next);
        }
        let Some(to) = range(offset, block).and_then(|range| dst.get_mut(range)) else {
            return Err(outside(index, offset, len));
        };
        let (from, behind) = rest.split_at(block);
        to.copy_from_slice(from);
        rest = behind;
    }
    Ok(())
}

/// Fills `block` bytes at each of `offsets` of `dst` with `pattern`, which begins anew with each.
///
/// # Errors
///
/// A block is not inside `dst`; those before it are filled.
pub fn scatter_fill(
    pattern: Pattern,
    offsets: &[usize],
    block: usize,
    dst: &mut [u8],
) -> Result<(), BlockOutside> {
    let len = dst.len();
    for (index, &offset) in offsets.iter().enumerate() {
        let to = range(offset, block).and_then(|range| dst.get_mut(range));
        fill(to.ok_or_else(|| outside(index, offset, len))?, pattern);
    }
    Ok(())
}

#[cold]
fn outside(index: usize, offset: usize, len: usize) -> BlockOutside {
    BlockOutside { index, offset, len }
}

#[inline]
fn range(offset: usize, block: usize) -> Option<std::ops::Range<usize>> {
    offset.checked_add(block).map(|end| offset..end)
}
