//! Comparing memory, to the offset of the first difference.
//!
//! `memcmp` says whether, not where. So blocks are compared by `memcmp`, and only the block that differs is searched.

use crate::pattern::Pattern;

/// Bytes handed to `memcmp` at a time.
const BLOCK_BYTES: usize = 16 << 10;
/// Bytes of pattern laid out to compare with: they have to be written first.
const PATTERN_BLOCK_BYTES: usize = 4 << 10;
/// Bytes handed to it in the second round, in a block that differs, and against the pattern in little data.
const SMALL_BLOCK_BYTES: usize = 256;

/// The offset of the first byte in which `a` and `b` differ, or `None` if they are equal.
///
/// If one is a prefix of the other the difference is where the shorter ends.
pub fn first_difference(a: &[u8], b: &[u8]) -> Option<usize> {
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
    if data.len() <= PATTERN_BLOCK_BYTES {
        first_difference_from_block::<SMALL_BLOCK_BYTES>(data, pattern)
    } else {
        first_difference_from_block::<PATTERN_BLOCK_BYTES>(data, pattern)
    }
}

fn first_difference_from_block<const N: usize>(data: &[u8], pattern: Pattern) -> Option<usize> {
    let expected = pattern.block::<N>();
    for (index, block) in data.chunks(N).enumerate() {
        let expected = &expected[..block.len()];
        if block != expected {
            return Some(index * N + locate(block, expected));
        }
    }
    None
}

/// Finds the difference between two blocks of equal length that are known to differ.
fn locate(a: &[u8], b: &[u8]) -> usize {
    let (a_blocks, _) = a.as_chunks::<SMALL_BLOCK_BYTES>();
    let (b_blocks, _) = b.as_chunks::<SMALL_BLOCK_BYTES>();
    let from = a_blocks.iter().zip(b_blocks).take_while(|(a, b)| a == b).count() * SMALL_BLOCK_BYTES;
    from + a[from..].iter().zip(&b[from..]).take_while(|(a, b)| a == b).count()
}
