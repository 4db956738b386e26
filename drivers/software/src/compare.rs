//! Comparing memory, to the offset of the first difference.
//!
//! `memcmp` says whether, not where. So blocks are compared by `memcmp`, and only the block that differs is searched.

use crate::pattern::Pattern;

/// Bytes handed to `memcmp` at a time: what has to be read again to locate a difference.
const BLOCK_BYTES: usize = 4 << 10;

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
    let expected = pattern.block::<BLOCK_BYTES>();
    for (index, block) in data.chunks(BLOCK_BYTES).enumerate() {
        let expected = &expected[..block.len()];
        if block != expected {
            return Some(index * BLOCK_BYTES + locate(block, expected));
        }
    }
    None
}

/// Finds the difference between two blocks of equal length that are known to differ.
fn locate(a: &[u8], b: &[u8]) -> usize {
    let (a_words, _) = a.as_chunks::<8>();
    let (b_words, _) = b.as_chunks::<8>();
    let equal_words = a_words.iter().zip(b_words).take_while(|(a, b)| a == b).count();
    let from = equal_words * 8;
    let rest = a[from..].iter().zip(&b[from..]);
    from + rest.take_while(|(a, b)| a == b).count()
}
