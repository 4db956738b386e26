//! Comparing memory, to the offset of the first difference.
//!
//! `memcmp` says whether, not where. So blocks are compared by `memcmp`, or by what is faster (see `wide`), and only the
//! block that differs is searched. A pattern is compared without laying it out: see `repeated`.

mod repeated;

use std::hint::black_box;

use crate::pattern::Pattern;

/// Bytes handed to `memcmp` first: they are still in the second-level cache when one that differs is searched.
const BLOCK_BYTES: usize = 64 << 10;
/// Bytes handed to it at most: each block has twice the bytes of the one before, so that the ends of its loops, a hundredth
/// of a block of 64 KiB, are few.
const BLOCK_BYTES_MAX: usize = 256 << 10;
/// Bytes handed to it in the second round, in a block that differs.
const SMALL_BLOCK_BYTES: usize = 256;

/// The offset of the first byte in which `a` and `b` differ, or `None` if they are equal.
///
/// If one is a prefix of the other the difference is where the shorter ends.
#[inline]
pub fn first_difference(a: &[u8], b: &[u8]) -> Option<usize> {
    let mut kept = (a, b);
    put_aside(&mut kept);
    // A block takes less time than the loop takes to begin.
    let are_equal = a.len() <= BLOCK_BYTES && a.len() == b.len() && are_equal(a, b);
    if are_equal { None } else { first_difference_by_blocks(kept.0, kept.1) }
}

/// Whether two ranges of the same length are equal.
#[inline]
pub(crate) fn are_equal(a: &[u8], b: &[u8]) -> bool {
    #[cfg(target_arch = "x86_64")]
    if let Some(wide) = crate::wide::Wide::detect() {
        return wide.are_equal(a, b);
    }
    a == b
}

/// Leaves what is needed only if ranges differ in memory, and not in registers over a call to `memcmp`: to save and restore
/// those are loads, in an operation that is nothing but loads (a fiftieth of one of 4 KiB).
#[inline(always)]
pub(crate) fn put_aside<T>(kept: &mut T) {
    black_box(kept);
}

/// [`first_difference`] of ranges that are long, or do differ.
#[cold]
pub(crate) fn first_difference_by_blocks(a: &[u8], b: &[u8]) -> Option<usize> {
    let common = a.len().min(b.len());
    let (mut at, mut block) = (0, BLOCK_BYTES);
    while at < common {
        let end = common.min(at + block);
        let (a, b) = (&a[at..end], &b[at..end]);
        if !are_equal(a, b) {
            return Some(at + locate(a, b));
        }
        at = end;
        block = BLOCK_BYTES_MAX.min(2 * block);
    }
    (a.len() != b.len()).then_some(common)
}

/// The offset of the first byte in which `data` differs from `pattern` repeated from phase 0, or `None`.
pub fn first_difference_from_pattern(data: &[u8], pattern: Pattern) -> Option<usize> {
    let alike = repeated::blocks_like(data, pattern) * repeated::BLOCK_BYTES;
    let rest = &data[alike..data.len().min(alike + repeated::BLOCK_BYTES)];
    let expected = pattern.bytes().iter().cycle();
    rest.iter().zip(expected).position(|(found, expected)| found != expected).map(|at| alike + at)
}

/// Finds the difference between two blocks of equal length that are known to differ.
fn locate(a: &[u8], b: &[u8]) -> usize {
    let (a_blocks, _) = a.as_chunks::<SMALL_BLOCK_BYTES>();
    let (b_blocks, _) = b.as_chunks::<SMALL_BLOCK_BYTES>();
    let from = a_blocks.iter().zip(b_blocks).take_while(|(a, b)| a == b).count() * SMALL_BLOCK_BYTES;
    from + a[from..].iter().zip(&b[from..]).take_while(|(a, b)| a == b).count()
}
