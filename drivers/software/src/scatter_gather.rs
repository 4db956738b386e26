//! Copies between one range and blocks that lie anywhere in another.
//!
//! All blocks are of one size, and are given by where they begin, in bytes. They are worked on in the order given; of
//! blocks that overlap the last one written stays.

use crate::fill::fill;
use crate::pattern::Pattern;

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

/// Copies the block at each of `offsets` of `src` to `dst`, one behind the other. The size of a block is that of `dst`
/// divided by their number.
///
/// # Errors
///
/// A block is not inside `src`; those before it are copied.
///
/// # Panics
///
/// If `dst` does not hold as many blocks.
pub fn gather(src: &[u8], offsets: &[usize], dst: &mut [u8]) -> Result<(), BlockOutside> {
    let block = block_bytes(dst.len(), offsets.len());
    // One division is enough: an iterator over chunks would make another.
    let mut rest = dst;
    for (index, &offset) in offsets.iter().enumerate() {
        let from = range(offset, block).and_then(|range| src.get(range));
        let (to, behind) = rest.split_at_mut(block);
        to.copy_from_slice(from.ok_or_else(|| outside(index, offset, src.len()))?);
        rest = behind;
    }
    Ok(())
}

/// Copies `src`, cut into equal blocks, to each of `offsets` of `dst`.
///
/// # Errors
///
/// A block is not inside `dst`; those before it are copied.
///
/// # Panics
///
/// If `src` does not hold as many blocks.
pub fn scatter(src: &[u8], offsets: &[usize], dst: &mut [u8]) -> Result<(), BlockOutside> {
    let block = block_bytes(src.len(), offsets.len());
    let len = dst.len();
    let mut rest = src;
    for (index, &offset) in offsets.iter().enumerate() {
        let to = range(offset, block).and_then(|range| dst.get_mut(range));
        let (from, behind) = rest.split_at(block);
        to.ok_or_else(|| outside(index, offset, len))?.copy_from_slice(from);
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

fn block_bytes(len: usize, blocks: usize) -> usize {
    let block = len.checked_div(blocks).unwrap_or(0);
    assert!(block * blocks == len, "{len} bytes are not {blocks} blocks");
    block
}

#[cold]
fn outside(index: usize, offset: usize, len: usize) -> BlockOutside {
    BlockOutside { index, offset, len }
}

#[inline]
fn range(offset: usize, block: usize) -> Option<std::ops::Range<usize>> {
    offset.checked_add(block).map(|end| offset..end)
}
