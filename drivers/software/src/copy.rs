//! Copies, at the speed of the C library's `memcpy` and `memmove`.
//!
//! Nothing here tries to be cleverer than the C library, which picks vector width and store kind for the machine it
//! finds itself on. Splitting a copy over threads is the queue's business.

use std::ops::Range;

/// Copies `src` to `dst`.
///
/// # Panics
///
/// If the lengths differ.
#[inline]
pub fn copy(src: &[u8], dst: &mut [u8]) {
    dst.copy_from_slice(src);
}

/// Copies `src` to both destinations, reading it from memory once.
///
/// # Panics
///
/// If a length differs.
#[inline]
pub fn dualcast(src: &[u8], dst1: &mut [u8], dst2: &mut [u8]) {
    if src.len() <= BLOCK_BYTES {
        dst1.copy_from_slice(src);
        dst2.copy_from_slice(src);
    } else {
        dualcast_by_blocks(src, dst1, dst2);
    }
}

/// A block that is still in the first-level cache when it is read again.
const BLOCK_BYTES: usize = 16 << 10;

fn dualcast_by_blocks(src: &[u8], dst1: &mut [u8], dst2: &mut [u8]) {
    assert_eq!((dst1.len(), dst2.len()), (src.len(), src.len()), "source and destinations differ in length");
    let blocks = dst1.chunks_mut(BLOCK_BYTES).zip(dst2.chunks_mut(BLOCK_BYTES));
    for (src, (dst1, dst2)) in src.chunks(BLOCK_BYTES).zip(blocks) {
        dst1.copy_from_slice(src);
        dst2.copy_from_slice(src);
    }
}

/// Copies the bytes at `src` to offset `dst` in the same memory; the two may overlap.
///
/// The result is as if the source had been read whole before the first byte was written.
///
/// # Panics
///
/// If either range ends outside `memory`.
#[inline]
pub fn copy_within(memory: &mut [u8], src: Range<usize>, dst: usize) {
    memory.copy_within(src, dst);
}
