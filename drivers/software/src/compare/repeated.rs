//! Whether memory is a pattern, repeated: read once, and compared with nothing but registers.
//!
//! The compiler makes vectors of the loop, and wider ones where the processor has AVX2.
//
// UNSAFETY: calls a function compiled for AVX2 after asking the processor for it.
#![expect(unsafe_code, reason = "AVX2 where the processor has it; see the UNSAFETY line")]

use crate::pattern::Pattern;

/// Bytes whose differences are put together before they are looked at.
pub(super) const BLOCK_BYTES: usize = 256;
/// Words of 64 bytes.
const WORDS: usize = 8;

/// The number of the first whole block of `data` that is not `pattern` repeated; if all are, how many there are.
pub(super) fn blocks_like(data: &[u8], pattern: Pattern) -> usize {
    let (blocks, _) = data.as_chunks::<BLOCK_BYTES>();
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2, asked in the line above.
        return unsafe { with_avx2(blocks, pattern) };
    }
    like(blocks, pattern)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn with_avx2(blocks: &[[u8; BLOCK_BYTES]], pattern: Pattern) -> usize {
    like(blocks, pattern)
}

#[inline(always)]
fn like(blocks: &[[u8; BLOCK_BYTES]], pattern: Pattern) -> usize {
    let expected = words(&pattern.block());
    blocks.iter().position(|block| differs(block, &expected)).unwrap_or(blocks.len())
}

#[inline(always)]
fn differs(block: &[u8; BLOCK_BYTES], expected: &[u64; WORDS]) -> bool {
    let (lines, _) = block.as_chunks::<{ 8 * WORDS }>();
    let mut differences = [0; WORDS];
    for line in lines {
        let found = words(line);
        for word in 0..WORDS {
            differences[word] |= found[word] ^ expected[word];
        }
    }
    differences.iter().fold(0, |all, word| all | word) != 0
}

#[inline(always)]
fn words(line: &[u8; 8 * WORDS]) -> [u64; WORDS] {
    let (words, _) = line.as_chunks::<8>();
    std::array::from_fn(|word| u64::from_ne_bytes(words[word]))
}
