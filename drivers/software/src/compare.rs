//! Comparing memory, to the offset of the first difference.
//!
//! `memcmp` says whether, not where. So blocks are compared by `memcmp`, and only the block that differs is searched. A
//! pattern is compared without laying it out: see `repeated`.

mod repeated;

use crate::pattern::Pattern;

/// Bytes handed to `memcmp` at a time: they are still in the second-level cache when one that differs is searched.
const BLOCK_BYTES: usize = 64 << 10;
/// Bytes handed to it in the second round, in a block that differs.
const SMALL_BLOCK_BYTES: usize = 256;

/// The offset of the first byte in which `a` and `b` differ, or `None` if they are equal.
///
/// If one is a prefix of the other the difference is where the shorter ends.
#[inline]
pub fn first_difference(a: &[u8], b: &[u8]) -> Option<usize> {
    // A block takes less time than the loop takes to begin.
    if a.len() <= BLOCK_BYTES && a == b { None } else { first_difference_by_blocks(a, b) }
}

fn first_difference_by_blocks(a: &[u8], b: &[u8]) -> Option<usize> {
    let common = a.len().min(b.len());
    let blocks = a[..common].chunks(BLOCK_BYTES).zip(b[..common].chunks(BLOCK_BYTES));
    for (index, (a, b)) in blocks.enumerate() {
        if a != b {
            return Some(index * BLOCK_BYTES + locate(a, b));
        }
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
