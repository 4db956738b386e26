//! Which of 64 elements are in a range, as the bits of a word.
//!
//! In vectors of 32 bytes where the processor has AVX2, and of 16, which every x86-64 has, where not: what limits a scan is
//! memory.
//!
//! UNSAFETY: loads vectors from slices, and calls functions that need SSE2, which is part of x86-64, or what the processor was asked for.
#![cfg_attr(
    target_arch = "x86_64",
    expect(unsafe_code, reason = "instructions that every x86-64 has, or that were looked for")
)]

/// Elements whose bits make a word.
pub(super) const LANES: usize = 64;

/// Elements of one size, compared in vectors.
pub(super) trait Lane: Copy + PartialOrd {
    /// Bytes of an element.
    const BYTES: usize;

    /// From `BYTES` bytes, little-endian.
    fn load(bytes: &[u8]) -> Self;

    /// Bits of each [`LANES`] elements in `bytes`, which are as many as `out` has words for. The range is not empty.
    fn masks(bytes: &[u8], low: Self, high: Self, out: &mut [u64]);
}

macro_rules! lane {
    ($integer:ty, $masks:path) => {
        impl Lane for $integer {
            const BYTES: usize = size_of::<$integer>();

            fn load(bytes: &[u8]) -> Self {
                let mut word = [0; size_of::<$integer>()];
                word.copy_from_slice(&bytes[..size_of::<$integer>()]);
                Self::from_le_bytes(word)
            }

            fn masks(bytes: &[u8], low: Self, high: Self, out: &mut [u64]) {
                $masks(bytes, low, high, out);
            }
        }
    };
}

lane!(u8, vectors::masks_8);
lane!(u16, vectors::masks_16);
lane!(u32, vectors::masks_32);

/// A word of bits for each [`LANES`] elements of `bytes`, the first in bit 0; what is missing of the last is 0.
pub(super) fn masks<L: Lane>(bytes: &[u8], low: L, high: L, out: &mut [u64]) {
    let group = LANES * L::BYTES;
    let whole = (bytes.len() / group).min(out.len());
    let (groups, rest) = bytes.split_at(whole * group);
    let (out, behind) = out.split_at_mut(whole);
    if low > high {
        // The least and the greatest of a range that is empty say nothing.
        out.fill(0);
    } else {
        L::masks(groups, low, high, out);
    }
    if let Some(mask) = behind.first_mut() {
        let bit = |(lane, bytes): (usize, &[u8])| u64::from((low..=high).contains(&L::load(bytes))) << lane;
        let bits = rest.chunks_exact(L::BYTES).take(LANES).enumerate().map(bit);
        *mask = bits.fold(0, |mask, bit| mask | bit);
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

pub(super) use vectors::count_ones;

#[cfg(target_arch = "x86_64")]
mod vectors {
    use std::arch::x86_64::{
        __m128i, __m256i, _mm_cmpeq_epi8, _mm_cmpeq_epi16, _mm_cmpgt_epi32, _mm_loadu_si128,
        _mm_movemask_epi8, _mm_or_si128, _mm_packs_epi16, _mm_packs_epi32, _mm_set1_epi8, _mm_set1_epi16,
        _mm_set1_epi32, _mm_setzero_si128, _mm_subs_epu8, _mm_subs_epu16, _mm_xor_si128, _mm256_castsi256_ps,
        _mm256_cmpeq_epi8, _mm256_cmpeq_epi16, _mm256_cmpeq_epi32, _mm256_loadu_si256, _mm256_max_epu8,
        _mm256_max_epu16, _mm256_max_epu32, _mm256_min_epu8, _mm256_min_epu16, _mm256_min_epu32,
        _mm256_movemask_epi8, _mm256_movemask_ps, _mm256_packs_epi16, _mm256_permute4x64_epi64,
        _mm256_set1_epi8, _mm256_set1_epi16, _mm256_set1_epi32,
    };

    use super::LANES;

    /// Bytes of a vector of either kind.
    const SHORT: usize = 16;
    const LONG: usize = 32;

    pub(super) fn masks_8(bytes: &[u8], low: u8, high: u8, out: &mut [u64]) {
        if std::arch::is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has AVX2, which was just looked for.
            unsafe { long_bytes(bytes, low, high, out) }
        } else {
            // SAFETY: SSE2 is part of x86-64.
            unsafe { short_bytes(bytes, low, high, out) }
        }
    }

    pub(super) fn masks_16(bytes: &[u8], low: u16, high: u16, out: &mut [u64]) {
        if std::arch::is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has AVX2, which was just looked for.
            unsafe { long_words(bytes, low, high, out) }
        } else {
            // SAFETY: SSE2 is part of x86-64.
            unsafe { short_words(bytes, low, high, out) }
        }
    }

    pub(super) fn masks_32(bytes: &[u8], low: u32, high: u32, out: &mut [u64]) {
        if std::arch::is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has AVX2, which was just looked for.
            unsafe { long_double_words(bytes, low, high, out) }
        } else {
            // SAFETY: SSE2 is part of x86-64.
            unsafe { short_double_words(bytes, low, high, out) }
        }
    }

    pub(super) fn mask_words(words: &[u32; LANES], low: u32, high: u32) -> u64 {
        // SAFETY: SSE2 is part of x86-64.
        unsafe { short_group(words, low, high) }
    }

    /// Ones of all words, modulo 2^32.
    pub(in super::super) fn count_ones(words: &[u64]) -> u32 {
        if std::arch::is_x86_feature_detected!("popcnt") {
            // SAFETY: the processor has the instruction, which was just looked for.
            unsafe { count_ones_at_once(words) }
        } else {
            words.iter().fold(0, |sum, word| sum.wrapping_add(word.count_ones()))
        }
    }

    #[target_feature(enable = "popcnt")]
    fn count_ones_at_once(words: &[u64]) -> u32 {
        words.iter().fold(0, |sum, word| sum.wrapping_add(word.count_ones()))
    }

    /// The vector number `index` of `bytes`.
    #[target_feature(enable = "avx2")]
    #[inline]
    fn long(bytes: &[u8], index: usize) -> __m256i {
        let bytes = &bytes[index * LONG..(index + 1) * LONG];
        // SAFETY: the slice has the 32 bytes, and this load asks for no alignment.
        unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
    }

    /// An element is in range if the least and the greatest leave it as it is. The range is not empty.
    #[target_feature(enable = "avx2")]
    fn long_bytes(bytes: &[u8], low: u8, high: u8, out: &mut [u64]) {
        let (low, high) = (_mm256_set1_epi8(low.cast_signed()), _mm256_set1_epi8(high.cast_signed()));
        for (group, mask) in bytes.as_chunks::<LANES>().0.iter().zip(out) {
            let inside = |index| {
                let elements = long(group, index);
                let within = _mm256_min_epu8(_mm256_max_epu8(elements, low), high);
                u64::from(_mm256_movemask_epi8(_mm256_cmpeq_epi8(within, elements)).cast_unsigned())
            };
            *mask = inside(0) | inside(1) << LONG;
        }
    }

    #[target_feature(enable = "avx2")]
    fn long_words(bytes: &[u8], low: u16, high: u16, out: &mut [u64]) {
        let (low, high) = (_mm256_set1_epi16(low.cast_signed()), _mm256_set1_epi16(high.cast_signed()));
        for (group, mask) in bytes.as_chunks::<{ 2 * LANES }>().0.iter().zip(out) {
            let inside = |index| {
                let elements = long(group, index);
                let within = _mm256_min_epu16(_mm256_max_epu16(elements, low), high);
                _mm256_cmpeq_epi16(within, elements)
            };
            // Packing works in each half of a vector: the middle quarters change places again.
            let both = |index| {
                let packed = _mm256_packs_epi16(inside(index), inside(index + 1));
                let ordered = _mm256_permute4x64_epi64::<0b11_01_10_00>(packed);
                u64::from(_mm256_movemask_epi8(ordered).cast_unsigned())
            };
            *mask = both(0) | both(2) << LONG;
        }
    }

    #[target_feature(enable = "avx2")]
    fn long_double_words(bytes: &[u8], low: u32, high: u32, out: &mut [u64]) {
        let (low, high) = (_mm256_set1_epi32(low.cast_signed()), _mm256_set1_epi32(high.cast_signed()));
        for (group, mask) in bytes.as_chunks::<{ 4 * LANES }>().0.iter().zip(out) {
            let inside = |index| {
                let elements = long(group, index);
                let within = _mm256_min_epu32(_mm256_max_epu32(elements, low), high);
                let equal = _mm256_castsi256_ps(_mm256_cmpeq_epi32(within, elements));
                u64::from(_mm256_movemask_ps(equal).cast_unsigned()) << (8 * index)
            };
            *mask = inside(0) | inside(1) | inside(2) | inside(3);
            *mask |= inside(4) | inside(5) | inside(6) | inside(7);
        }
    }

    #[target_feature(enable = "sse2")]
    #[inline]
    fn load(bytes: &[u8]) -> __m128i {
        let bytes = &bytes[..SHORT];
        // SAFETY: the slice has the 16 bytes, and this load asks for no alignment.
        unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
    }

    #[target_feature(enable = "sse2")]
    #[inline]
    fn load_words(words: &[u32]) -> __m128i {
        let words = &words[..SHORT / size_of::<u32>()];
        // SAFETY: the slice has the 16 bytes, and this load asks for no alignment.
        unsafe { _mm_loadu_si128(words.as_ptr().cast()) }
    }

    /// An element is in range if neither it less the greatest nor the least less it is above 0.
    #[target_feature(enable = "sse2")]
    pub(super) fn short_bytes(bytes: &[u8], low: u8, high: u8, out: &mut [u64]) {
        let (low, high) = (_mm_set1_epi8(low.cast_signed()), _mm_set1_epi8(high.cast_signed()));
        for (group, mask) in bytes.as_chunks::<LANES>().0.iter().zip(out) {
            *mask = 0;
            for index in 0..LANES / SHORT {
                let elements = load(&group[index * SHORT..]);
                let outside = _mm_or_si128(_mm_subs_epu8(elements, high), _mm_subs_epu8(low, elements));
                let inside = _mm_cmpeq_epi8(outside, _mm_setzero_si128());
                *mask |= u64::from(_mm_movemask_epi8(inside).cast_unsigned()) << (index * SHORT);
            }
        }
    }

    #[target_feature(enable = "sse2")]
    pub(super) fn short_words(bytes: &[u8], low: u16, high: u16, out: &mut [u64]) {
        let (low, high) = (_mm_set1_epi16(low.cast_signed()), _mm_set1_epi16(high.cast_signed()));
        let inside = |elements| {
            let outside = _mm_or_si128(_mm_subs_epu16(elements, high), _mm_subs_epu16(low, elements));
            _mm_cmpeq_epi16(outside, _mm_setzero_si128())
        };
        for (group, mask) in bytes.as_chunks::<{ 2 * LANES }>().0.iter().zip(out) {
            *mask = 0;
            for index in 0..LANES / SHORT {
                let at = 2 * index * SHORT;
                let bits = _mm_packs_epi16(inside(load(&group[at..])), inside(load(&group[at + SHORT..])));
                *mask |= u64::from(_mm_movemask_epi8(bits).cast_unsigned()) << (index * SHORT);
            }
        }
    }

    #[target_feature(enable = "sse2")]
    pub(super) fn short_double_words(bytes: &[u8], low: u32, high: u32, out: &mut [u64]) {
        for (group, mask) in bytes.as_chunks::<{ 4 * LANES }>().0.iter().zip(out) {
            *mask = of_double_words(|index| load(&group[index * SHORT..]), low, high);
        }
    }

    #[target_feature(enable = "sse2")]
    fn short_group(words: &[u32; LANES], low: u32, high: u32) -> u64 {
        of_double_words(|index| load_words(&words[4 * index..4 * index + 4]), low, high)
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
        for index in 0..LANES / SHORT {
            let first = 4 * index;
            let bits = _mm_packs_epi16(
                _mm_packs_epi32(outside(first), outside(first + 1)),
                _mm_packs_epi32(outside(first + 2), outside(first + 3)),
            );
            mask |= u64::from(_mm_movemask_epi8(bits).cast_unsigned()) << (index * SHORT);
        }
        !mask
    }

    #[cfg(test)]
    mod tests {
        use super::super::masks;
        use super::*;

        /// Whatever the processor has, vectors of both lengths say the same as a loop.
        #[test]
        fn short_vectors_and_long_ones_say_what_a_loop_says() {
            let bytes: Vec<u8> =
                (0..1024_u32).flat_map(|at| (at.wrapping_mul(2_654_435_761)).to_le_bytes()).collect();
            for (low, high) in
                [(0, u32::MAX), (7, 7), (0x4000_4040, 0xc0c0_00c0), (5, 4), (u32::MAX, u32::MAX)]
            {
                let [byte_low, word_low] = [low & 0xff, low & 0xffff];
                let [byte_high, word_high] = [high & 0xff, high & 0xffff];
                let narrow = |value: u32| {
                    (u8::try_from(value & 0xff).unwrap(), u16::try_from(value & 0xffff).unwrap())
                };
                let (mut short, mut long) = (vec![0; bytes.len() / 64], vec![0; bytes.len() / 64]);
                let bit = |mask: &[u64], at: usize| mask[at / 64] >> (at % 64) & 1 == 1;
                // SAFETY: SSE2 is part of x86-64.
                unsafe { short_bytes(&bytes, narrow(low).0, narrow(high).0, &mut short) };
                masks(&bytes, narrow(low).0, narrow(high).0, &mut long);
                assert_eq!(short, long);
                let is_in = |at: usize| (byte_low..=byte_high).contains(&bytes[at].into());
                assert!((0..bytes.len()).all(|at| bit(&long, at) == is_in(at)));
                let (short, long) = (&mut short[..bytes.len() / 128], &mut long[..bytes.len() / 128]);
                // SAFETY: SSE2 is part of x86-64.
                unsafe { short_words(&bytes, narrow(low).1, narrow(high).1, short) };
                masks(&bytes, narrow(low).1, narrow(high).1, long);
                assert_eq!(short, long);
                let element = |at: usize| u32::from(u16::from_le_bytes([bytes[2 * at], bytes[2 * at + 1]]));
                assert!(
                    (0..bytes.len() / 2)
                        .all(|at| bit(long, at) == (word_low..=word_high).contains(&element(at)))
                );
                let (short, long) = (&mut short[..bytes.len() / 256], &mut long[..bytes.len() / 256]);
                // SAFETY: SSE2 is part of x86-64.
                unsafe { short_double_words(&bytes, low, high, short) };
                masks(&bytes, low, high, long);
                assert_eq!(short, long);
                let element = |at: usize| u32::from_le_bytes(bytes[4 * at..4 * at + 4].try_into().unwrap());
                assert!((0..bytes.len() / 4).all(|at| bit(long, at) == (low..=high).contains(&element(at))));
            }
            assert_eq!(count_ones(&[u64::MAX, 1, 0]), 65);
        }
    }
}

#[cfg(not(target_arch = "x86_64"))]
mod vectors {
    use super::{LANES, Lane};

    fn masks<L: Lane>(bytes: &[u8], low: L, high: L, out: &mut [u64]) {
        let bit = |(lane, bytes): (usize, &[u8])| u64::from((low..=high).contains(&L::load(bytes))) << lane;
        for (group, mask) in bytes.chunks_exact(LANES * L::BYTES).zip(out) {
            *mask = group.chunks_exact(L::BYTES).enumerate().map(bit).fold(0, |mask, bit| mask | bit);
        }
    }

    pub(super) fn masks_8(bytes: &[u8], low: u8, high: u8, out: &mut [u64]) {
        masks(bytes, low, high, out);
    }

    pub(super) fn masks_16(bytes: &[u8], low: u16, high: u16, out: &mut [u64]) {
        masks(bytes, low, high, out);
    }

    pub(super) fn masks_32(bytes: &[u8], low: u32, high: u32, out: &mut [u64]) {
        masks(bytes, low, high, out);
    }

    pub(super) fn mask_words(words: &[u32; LANES], low: u32, high: u32) -> u64 {
        super::mask_of_rest(words, low, high)
    }

    pub(in super::super) fn count_ones(words: &[u64]) -> u32 {
        words.iter().fold(0, |sum, word| sum.wrapping_add(word.count_ones()))
    }
}
