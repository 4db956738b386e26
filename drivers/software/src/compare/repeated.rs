//! Whether memory is a pattern, repeated: read once, and compared with nothing but registers.
//
// UNSAFETY: calls a function compiled for AVX2 after asking the processor for it, and loads vectors from arrays of their
// size.
#![expect(unsafe_code, reason = "AVX2 where the processor has it; see the UNSAFETY line")]

use crate::pattern::Pattern;

/// Bytes whose differences are put together before they are looked at.
pub(super) const BLOCK_BYTES: usize = 256;

type Block = [u8; BLOCK_BYTES];

/// The number of the first whole block of `data` that is not `pattern` repeated; if all are, how many there are.
pub(super) fn blocks_like(data: &[u8], pattern: Pattern) -> usize {
    let (blocks, _) = data.as_chunks::<BLOCK_BYTES>();
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2, asked in the line above.
        return unsafe { avx2::like(blocks, pattern) };
    }
    like(blocks, pattern)
}

fn like(blocks: &[Block], pattern: Pattern) -> usize {
    blocks.iter().take_while(|block| is_like(block, pattern)).count()
}

/// The compiler makes vectors of it.
fn is_like(block: &Block, pattern: Pattern) -> bool {
    let (pairs, _) = block.as_chunks::<{ Pattern::BYTES }>();
    let expected = u128::from_ne_bytes(*pattern.bytes());
    pairs.iter().fold(0, |all, pair| all | u128::from_ne_bytes(*pair) ^ expected) == 0
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::{
        __m256i, _mm256_loadu_si256, _mm256_or_si256, _mm256_setzero_si256, _mm256_testz_si256,
        _mm256_xor_si256,
    };

    use super::{Block, Pattern};

    /// Bytes of a vector.
    const VECTOR_BYTES: usize = size_of::<__m256i>();

    #[target_feature(enable = "avx2")]
    pub(super) fn like(blocks: &[Block], pattern: Pattern) -> usize {
        let expected = load(&pattern.block());
        let mut alike = 0;
        while let Some(block) = blocks.get(alike) {
            let (vectors, _) = block.as_chunks::<VECTOR_BYTES>();
            let mut differences = _mm256_setzero_si256();
            for vector in vectors {
                differences = _mm256_or_si256(differences, _mm256_xor_si256(load(vector), expected));
            }
            if _mm256_testz_si256(differences, differences) == 0 {
                break;
            }
            alike += 1;
        }
        alike
    }

    #[target_feature(enable = "avx2")]
    fn load(bytes: &[u8; VECTOR_BYTES]) -> __m256i {
        // SAFETY: `bytes` are as many as the vector has, and the load needs no alignment.
        unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever this machine has: the plain loop says the same of a difference in every place.
    #[test]
    fn every_place_of_a_difference_gives_the_block_of_the_plain_loop() {
        let pattern = Pattern::from_words(0x0102_0304_0506_0708, 99);
        let mut data = pattern.block::<{ 3 * BLOCK_BYTES }>();
        for at in 0..data.len() {
            data[at] ^= 1;
            assert_eq!(blocks_like(&data, pattern), at / BLOCK_BYTES);
            assert_eq!(like(data.as_chunks().0, pattern), at / BLOCK_BYTES);
            data[at] ^= 1;
        }
        assert_eq!(blocks_like(&data, pattern), 3);
    }
}
