//! Which of 64 elements are in a range, as the bits of a word.
//!
//! In vectors of 16 bytes, which every x86-64 processor has: what limits a scan is memory.
//!
//! UNSAFETY: calls functions that need SSE2, which is part of x86-64.
#![cfg_attr(
    target_arch = "x86_64",
    expect(unsafe_code, reason = "SSE2 is part of x86-64, and its functions want to hear it")
)]

/// Elements whose bits make a word.
pub(super) const LANES: usize = 64;

/// Elements of one size, compared in vectors.
pub(super) trait Lane: Copy + PartialOrd {
    /// Bytes of an element.
    const BYTES: usize;

    /// From `BYTES` bytes, little-endian.
    fn load(bytes: &[u8]) -> Self;

    /// Bits of the [`LANES`] elements in `bytes`.
    fn mask(bytes: &[u8], low: Self, high: Self) -> u64;
}

macro_rules! lane {
    ($integer:ty, $mask:path) => {
        impl Lane for $integer {
            const BYTES: usize = size_of::<$integer>();

            fn load(bytes: &[u8]) -> Self {
                let mut word = [0; size_of::<$integer>()];
                word.copy_from_slice(&bytes[..size_of::<$integer>()]);
                Self::from_le_bytes(word)
            }

            #[inline]
            fn mask(bytes: &[u8], low: Self, high: Self) -> u64 {
                $mask(&bytes[..LANES * Self::BYTES], low, high)
            }
        }
    };
}

lane!(u8, vectors::mask_8);
lane!(u16, vectors::mask_16);
lane!(u32, vectors::mask_32);

/// A word of bits for each [`LANES`] elements of `bytes`, the first in bit 0; what is missing of the last is 0.
pub(super) fn masks<L: Lane>(bytes: &[u8], low: L, high: L, out: &mut [u64]) {
    let mut groups = bytes.chunks_exact(LANES * L::BYTES);
    let mut out = out.iter_mut();
    for (group, mask) in groups.by_ref().zip(out.by_ref()) {
        *mask = L::mask(group, low, high);
    }
    if let Some(mask) = out.next() {
        *mask = groups
            .remainder()
            .chunks_exact(L::BYTES)
            .enumerate()
            .map(|(lane, bytes)| u64::from((low..=high).contains(&L::load(bytes))) << lane)
            .fold(0, |mask, bit| mask | bit);
    }
}

/// The same of elements that are double words already.
pub(super) fn masks_of_words(words: &[u32], low: u32, high: u32, out: &mut [u64]) {
    let (groups, rest) = words.as_chunks::<LANES>();
    let mut out = out.iter_mut();
    for (group, mask) in groups.iter().zip(out.by_ref()) {
        *mask = vectors::mask_words(group, low, high);
    }
    if let Some(mask) = out.next() {
        *mask = mask_of_rest(rest, low, high);
    }
}

fn mask_of_rest(words: &[u32], low: u32, high: u32) -> u64 {
    let bit = |(lane, word): (usize, &u32)| u64::from((low..=high).contains(word)) << lane;
    words.iter().enumerate().map(bit).fold(0, |mask, bit| mask | bit)
}

#[cfg(target_arch = "x86_64")]
mod vectors {
    use std::arch::x86_64::{
        __m128i, _mm_cmpeq_epi8, _mm_cmpeq_epi16, _mm_cmpgt_epi32, _mm_movemask_epi8, _mm_or_si128,
        _mm_packs_epi16, _mm_packs_epi32, _mm_set_epi32, _mm_set_epi64x, _mm_set1_epi8, _mm_set1_epi16,
        _mm_set1_epi32, _mm_setzero_si128, _mm_subs_epu8, _mm_subs_epu16, _mm_xor_si128,
    };

    use super::LANES;

    const VECTOR: usize = 16;

    pub(super) fn mask_8(bytes: &[u8], low: u8, high: u8) -> u64 {
        // SAFETY: SSE2 is part of x86-64.
        unsafe { of_bytes(bytes, low, high) }
    }

    pub(super) fn mask_16(bytes: &[u8], low: u16, high: u16) -> u64 {
        // SAFETY: SSE2 is part of x86-64.
        unsafe { of_words(bytes, low, high) }
    }

    pub(super) fn mask_32(bytes: &[u8], low: u32, high: u32) -> u64 {
        // SAFETY: SSE2 is part of x86-64.
        unsafe { of_double_words(|index| load(&bytes[index * VECTOR..]), low, high) }
    }

    pub(super) fn mask_words(words: &[u32; LANES], low: u32, high: u32) -> u64 {
        // SAFETY: SSE2 is part of x86-64.
        unsafe { of_double_words(|index| load_words(&words[4 * index..4 * index + 4]), low, high) }
    }

    #[target_feature(enable = "sse2")]
    #[inline]
    fn vector(low: u64, high: u64) -> __m128i {
        _mm_set_epi64x(high.cast_signed(), low.cast_signed())
    }

    #[inline]
    fn load(bytes: &[u8]) -> __m128i {
        let (mut low, mut high) = ([0; 8], [0; 8]);
        low.copy_from_slice(&bytes[..8]);
        high.copy_from_slice(&bytes[8..16]);
        // SAFETY: SSE2 is part of x86-64.
        unsafe { vector(u64::from_le_bytes(low), u64::from_le_bytes(high)) }
    }

    #[inline]
    fn load_words(words: &[u32]) -> __m128i {
        let lane = |index: usize| words[index].cast_signed();
        // SAFETY: SSE2 is part of x86-64.
        unsafe { _mm_set_epi32(lane(3), lane(2), lane(1), lane(0)) }
    }

    /// An element is in range if neither it less the greatest nor the least less it is above 0.
    #[target_feature(enable = "sse2")]
    #[inline]
    fn of_bytes(bytes: &[u8], low: u8, high: u8) -> u64 {
        let (low, high) = (_mm_set1_epi8(low.cast_signed()), _mm_set1_epi8(high.cast_signed()));
        let mut mask = 0;
        for index in 0..LANES / VECTOR {
            let elements = load(&bytes[index * VECTOR..]);
            let outside = _mm_or_si128(_mm_subs_epu8(elements, high), _mm_subs_epu8(low, elements));
            let inside = _mm_cmpeq_epi8(outside, _mm_setzero_si128());
            mask |= u64::from(_mm_movemask_epi8(inside).cast_unsigned()) << (index * VECTOR);
        }
        mask
    }

    #[target_feature(enable = "sse2")]
    #[inline]
    fn of_words(bytes: &[u8], low: u16, high: u16) -> u64 {
        let (low, high) = (_mm_set1_epi16(low.cast_signed()), _mm_set1_epi16(high.cast_signed()));
        let inside = |elements| {
            let outside = _mm_or_si128(_mm_subs_epu16(elements, high), _mm_subs_epu16(low, elements));
            _mm_cmpeq_epi16(outside, _mm_setzero_si128())
        };
        let mut mask = 0;
        for index in 0..LANES / VECTOR {
            let at = 2 * index * VECTOR;
            let bits = _mm_packs_epi16(inside(load(&bytes[at..])), inside(load(&bytes[at + VECTOR..])));
            mask |= u64::from(_mm_movemask_epi8(bits).cast_unsigned()) << (index * VECTOR);
        }
        mask
    }

    /// There is no comparison of unsigned double words: with the highest bit turned, the signed one is it.
    #[target_feature(enable = "sse2")]
    #[inline]
    fn of_double_words(load: impl Fn(usize) -> __m128i, low: u32, high: u32) -> u64 {
        let turn = _mm_set1_epi32(i32::MIN);
        let low = _mm_xor_si128(_mm_set1_epi32(low.cast_signed()), turn);
        let high = _mm_xor_si128(_mm_set1_epi32(high.cast_signed()), turn);
        let outside = |index| {
            let elements = _mm_xor_si128(load(index), turn);
            _mm_or_si128(_mm_cmpgt_epi32(elements, high), _mm_cmpgt_epi32(low, elements))
        };
        let mut mask = 0;
        for index in 0..LANES / VECTOR {
            let first = 4 * index;
            let bits = _mm_packs_epi16(
                _mm_packs_epi32(outside(first), outside(first + 1)),
                _mm_packs_epi32(outside(first + 2), outside(first + 3)),
            );
            mask |= u64::from(_mm_movemask_epi8(bits).cast_unsigned()) << (index * VECTOR);
        }
        !mask
    }
}

#[cfg(not(target_arch = "x86_64"))]
mod vectors {
    use super::{LANES, Lane};

    fn mask<L: Lane>(bytes: &[u8], low: L, high: L) -> u64 {
        let bit = |(lane, bytes): (usize, &[u8])| u64::from((low..=high).contains(&L::load(bytes))) << lane;
        bytes.chunks_exact(L::BYTES).enumerate().map(bit).fold(0, |mask, bit| mask | bit)
    }

    pub(super) fn mask_8(bytes: &[u8], low: u8, high: u8) -> u64 {
        mask(bytes, low, high)
    }

    pub(super) fn mask_16(bytes: &[u8], low: u16, high: u16) -> u64 {
        mask(bytes, low, high)
    }

    pub(super) fn mask_32(bytes: &[u8], low: u32, high: u32) -> u64 {
        mask(bytes, low, high)
    }

    pub(super) fn mask_words(words: &[u32; LANES], low: u32, high: u32) -> u64 {
        super::mask_of_rest(words, low, high)
    }
}
