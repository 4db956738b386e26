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
