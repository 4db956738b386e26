//! Vectors of 512 bits: comparing where they do more than the C library's functions.
//!
//! Equal ranges of 4 KiB take three quarters of `memcmp`'s time here. That is so on Intel's processors, which load two such
//! vectors in a cycle. On AMD's, which load one, loops like this have 0.92 to 0.96 of what the C library has: there
//! [`Wide::detect`] finds nothing.
//
// UNSAFETY: calls a function compiled for AVX-512 after asking the processor for it, loads vectors from arrays of their
// size, and prefetches.
#![expect(unsafe_code, reason = "AVX-512 where the processor has it; see the UNSAFETY line")]

use std::arch::x86_64::{
    __cpuid, __m512i, _MM_HINT_ET0, _mm_prefetch, _mm512_loadu_si512, _mm512_or_si512,
    _mm512_test_epi64_mask, _mm512_xor_si512,
};
use std::sync::atomic::{AtomicU8, Ordering};

/// Bytes of a vector, and of a line of the caches.
const LINE_BYTES: usize = size_of::<__m512i>();
/// Vectors between two looks at whether the end is reached, or something differs.
const RUN: usize = 4;

/// Proof that the processor has AVX-512F, and that these functions are fast on it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wide(());

const UNKNOWN: u8 = 0;
const THERE: u8 = 1;
const NOT_THERE: u8 = 2;

impl Wide {
    /// Asks the processor, the first time.
    #[inline]
    pub(crate) fn detect() -> Option<Self> {
        static FOUND: AtomicU8 = AtomicU8::new(UNKNOWN);
        match FOUND.load(Ordering::Relaxed) {
            THERE => Some(Self(())),
            NOT_THERE => None,
            _ => {
                let is_there = ask();
                FOUND.store(if is_there { THERE } else { NOT_THERE }, Ordering::Relaxed);
                is_there.then_some(Self(()))
            }
        }
    }

    /// Whether ranges of the same length are equal.
    #[inline]
    pub(crate) fn are_equal(self, a: &[u8], b: &[u8]) -> bool {
        // SAFETY: `self` is the proof that the processor has AVX-512F.
        unsafe { are_equal(a, b) }
    }
}

#[cold]
fn ask() -> bool {
    let leaf = __cpuid(0);
    let vendor = [leaf.ebx, leaf.edx, leaf.ecx].map(u32::to_le_bytes).concat();
    vendor == b"GenuineIntel" && std::arch::is_x86_feature_detected!("avx512f")
}

#[target_feature(enable = "avx512f")]
fn are_equal(a: &[u8], b: &[u8]) -> bool {
    let (Some(a_first), Some(a_last)) = (a.first_chunk(), a.last_chunk()) else { return a == b };
    let (Some(b_first), Some(b_last)) = (b.first_chunk(), b.last_chunk()) else { return a == b };
    let to_line = LINE_BYTES - a.as_ptr().addr() % LINE_BYTES;
    let (a_vectors, _) = a[to_line..].as_chunks::<LINE_BYTES>();
    let (b_vectors, _) = b[to_line..].as_chunks::<LINE_BYTES>();
    let (a_runs, a_rest) = a_vectors.as_chunks::<RUN>();
    let (b_runs, b_rest) = b_vectors.as_chunks::<RUN>();
    for (a, b) in a_runs.iter().zip(b_runs) {
        let near = _mm512_or_si512(difference(&a[0], &b[0]), difference(&a[1], &b[1]));
        let far = _mm512_or_si512(difference(&a[2], &b[2]), difference(&a[3], &b[3]));
        if !is_zero(_mm512_or_si512(near, far)) {
            return false;
        }
    }
    let ends = _mm512_or_si512(difference(a_first, b_first), difference(a_last, b_last));
    let mut differences = ends;
    for (a, b) in a_rest.iter().zip(b_rest) {
        differences = _mm512_or_si512(differences, difference(a, b));
    }
    a.len() == b.len() && is_zero(differences)
}

#[target_feature(enable = "avx512f")]
#[inline]
fn difference(a: &[u8; LINE_BYTES], b: &[u8; LINE_BYTES]) -> __m512i {
    _mm512_xor_si512(load(a), load(b))
}

#[target_feature(enable = "avx512f")]
#[inline]
fn is_zero(vector: __m512i) -> bool {
    _mm512_test_epi64_mask(vector, vector) == 0
}

/// Says that the lines of `range` are about to be written.
#[inline]
pub(crate) fn prefetch_for_write(range: &[u8]) {
    for line in range.chunks(LINE_BYTES) {
        // SAFETY: a hint that accesses nothing.
        unsafe { _mm_prefetch::<_MM_HINT_ET0>(line.as_ptr().cast()) };
    }
}

#[target_feature(enable = "avx512f")]
#[inline]
fn load(bytes: &[u8; LINE_BYTES]) -> __m512i {
    // SAFETY: `bytes` are as many as the vector has, and the load needs no alignment.
    unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
}

#[cfg(test)]
mod tests {
    fn noise(len: usize) -> Vec<u8> {
        (0_u32..).map(|at| at.wrapping_mul(0x9e37_79b1).to_be_bytes()[0]).take(len).collect()
    }

    /// Lengths around vectors and runs of them, and places around lines.
    fn cases() -> impl Iterator<Item = (usize, usize, usize)> {
        let lengths =
            (0..20).chain(60..70).chain(120..140).chain([255, 256, 257, 319, 320, 321, 512, 1000, 1024]);
        lengths.flat_map(|len| [(0, 0), (1, 0), (0, 1), (63, 17), (16, 16)].map(|(from, to)| (len, from, to)))
    }

    /// By vectors where the processor has them, else by what is there.
    #[test]
    fn every_byte_is_compared_and_none_besides() {
        let a = noise(2000);
        for (len, from, to) in cases() {
            let mut b = vec![7; 2000];
            b[to..to + len].copy_from_slice(&a[from..from + len]);
            let equal = |b: &[u8]| crate::compare::are_equal(&a[from..from + len], &b[to..to + len]);
            assert!(equal(&b), "{len} bytes at {from} and {to}");
            for at in to..to + len {
                b[at] ^= 1;
                assert!(!equal(&b), "{len} bytes at {from} and {to}, byte {at}");
                b[at] ^= 1;
            }
        }
    }

    #[test]
    fn ranges_of_different_lengths_are_not_equal() {
        let a = [0; 300];
        for (one, other) in [(0, 1), (63, 64), (64, 65), (100, 300), (299, 300)] {
            assert!(!crate::compare::are_equal(&a[..one], &a[..other]));
            assert!(!crate::compare::are_equal(&a[..other], &a[..one]));
        }
    }
}
