//! Copies, at the speed of the C library's `memcpy` and `memmove`.
//!
//! Nothing here tries to be cleverer than the C library, which picks vector width and store kind for the machine it
//! finds itself on. Splitting a copy over threads is the queue's business. It has no copy to two places, though, and none
//! that sums up, so those are made of blocks, or past the caches (see `streamed`).

#[cfg(target_arch = "x86_64")]
mod streamed;

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
        dualcast_large(src, dst1, dst2);
    }
}

/// A block that is still in the first-level cache when it is read again.
const BLOCK_BYTES: usize = 16 << 10;
/// A block that is still in the second-level cache of a processor that copies from there as fast (Intel's).
#[cfg(target_arch = "x86_64")]
const WIDE_BLOCK_BYTES: usize = 256 << 10;

/// Bytes of a block that is read twice.
fn block_bytes() -> usize {
    #[cfg(target_arch = "x86_64")]
    if crate::wide::Wide::detect().is_some() {
        return WIDE_BLOCK_BYTES;
    }
    BLOCK_BYTES
}

/// From here on, three times as much is more than a core's part of the last cache: stores that go round it are faster
/// (1.6 times at 16 MiB and 1.9 times at 64 MiB on an EPYC; at 4 MiB they are slower).
pub(crate) const STREAMED_BYTES_MIN: usize = 8 << 20;

/// Copies a block of a range of so many bytes.
pub(crate) fn copy_block_past_caches(src: &[u8], dst: &mut [u8]) {
    assert_eq!(src.len(), dst.len(), "source and destination differ in length");
    #[cfg(target_arch = "x86_64")]
    streamed::copy(src, dst);
    #[cfg(not(target_arch = "x86_64"))]
    dst.copy_from_slice(src);
}

/// Apart from [`dualcast`], which would save registers for its loops that a short one has no use for.
#[inline(never)]
fn dualcast_large(src: &[u8], dst1: &mut [u8], dst2: &mut [u8]) {
    assert_eq!((dst1.len(), dst2.len()), (src.len(), src.len()), "source and destinations differ in length");
    #[cfg(target_arch = "x86_64")]
    if src.len() >= STREAMED_BYTES_MIN && streamed::dualcast(src, dst1, dst2) {
        return;
    }
    dualcast_by_blocks(src, dst1, dst2);
}

fn dualcast_by_blocks(src: &[u8], dst1: &mut [u8], dst2: &mut [u8]) {
    let block = block_bytes();
    let blocks = dst1.chunks_mut(block).zip(dst2.chunks_mut(block));
    for (src, (dst1, dst2)) in src.chunks(block).zip(blocks) {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Lengths around both thresholds, and destinations that lie alike in vectors and that do not.
    #[test]
    fn both_destinations_have_the_source_and_nothing_beyond() {
        let noise: Vec<u8> =
            (0_u32..).map(|at| at.wrapping_mul(0x9e37_79b1).to_be_bytes()[0]).take(9 << 20).collect();
        for len in
            [0, 1, BLOCK_BYTES, BLOCK_BYTES + 1, STREAMED_BYTES_MIN - 1, STREAMED_BYTES_MIN, (8 << 20) + 77]
        {
            for (from, at1, at2) in [(0, 0, 0), (3, 64, 64), (1, 17, 81), (5, 8, 9)] {
                let src = &noise[from..from + len];
                let (mut dst1, mut dst2) = (vec![7; len + 200], vec![9; len + 200]);
                let (line1, line2) = (dst1.as_ptr().align_offset(64), dst2.as_ptr().align_offset(64));
                let (at1, at2) = (line1 + at1, line2 + at2);
                dualcast(src, &mut dst1[at1..at1 + len], &mut dst2[at2..at2 + len]);
                for (dst, at, before) in [(&dst1, at1, 7), (&dst2, at2, 9)] {
                    assert!(dst[at..at + len] == *src, "{len} bytes from {from} to {at}");
                    assert!(dst[..at].iter().chain(&dst[at + len..]).all(|byte| *byte == before));
                }
            }
        }
    }

    #[test]
    fn a_block_past_the_caches_is_copied_whatever_its_place_and_length() {
        let noise: Vec<u8> = (0..5000_u32).map(|at| at.wrapping_mul(0x9e37_79b1).to_be_bytes()[0]).collect();
        for (from, to, len) in [(0, 0, 0), (0, 1, 1), (3, 5, 300), (1, 16, 4096), (7, 63, 4099), (0, 0, 256)]
        {
            let mut dst = vec![7; 5000];
            let at = dst.as_ptr().align_offset(64) + to;
            copy_block_past_caches(&noise[from..from + len], &mut dst[at..at + len]);
            assert!(dst[at..at + len] == noise[from..from + len]);
            assert!(dst[..at].iter().chain(&dst[at + len..]).all(|byte| *byte == 7));
        }
    }

    #[test]
    #[should_panic = "source and destinations differ in length"]
    fn a_long_source_and_a_short_destination_do_not_go_together() {
        dualcast(&[0; BLOCK_BYTES + 1], &mut [0; BLOCK_BYTES + 1], &mut [0; BLOCK_BYTES]);
    }
}
