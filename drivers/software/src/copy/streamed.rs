//! Copies by stores that go round the caches.
//!
//! A store that goes to a cache first reads the line it writes a part of, and pushes out what is there: for ranges that no
//! cache holds, both for nothing. These stores collect a whole line and send it to memory. They are ordered by a fence at
//! the end: whoever learns afterwards that the copy is done sees all of it.
//
// UNSAFETY: looks at memory as aligned vectors, and stores those by SSE2, which every x86-64 processor has.
#![expect(unsafe_code, reason = "stores past the caches are intrinsics; see the UNSAFETY line")]

use std::arch::x86_64::{__m128i, _mm_loadu_si128, _mm_sfence, _mm_stream_si128};

/// Bytes of a vector.
const VECTOR_BYTES: usize = size_of::<__m128i>();
/// Vectors that go to the one destination before as many go to the other: four lines, each of which is whole then.
const VECTORS: usize = 16;

/// A vector in memory.
#[repr(C, align(16))]
struct Vector([u8; VECTOR_BYTES]);

const _: () = assert!(size_of::<Vector>() == VECTOR_BYTES && align_of::<Vector>() == VECTOR_BYTES);

/// Copies `src` to `dst`, which is as long.
pub(super) fn copy(src: &[u8], dst: &mut [u8]) {
    // SAFETY: any bytes are a vector, and any vector is bytes.
    let (head, vectors, tail) = unsafe { dst.align_to_mut::<Vector>() };
    let (src_head, src) = src.split_at(head.len());
    let (src_vectors, src_tail) = src.as_chunks::<VECTOR_BYTES>();
    let (src_runs, src_rest) = src_vectors.as_chunks::<VECTORS>();
    let (runs, rest) = vectors.as_chunks_mut::<VECTORS>();
    for (src, dst) in src_runs.iter().zip(runs) {
        store(dst, &src.each_ref().map(load));
    }
    for (src, dst) in src_rest.iter().zip(rest) {
        dst.0 = *src;
    }
    head.copy_from_slice(src_head);
    tail.copy_from_slice(src_tail);
    fence();
}

/// Copies `src` to both. False, and nothing is done, if the destinations do not lie alike in vectors, as memory that was
/// allocated does. The lengths are equal.
pub(super) fn dualcast(src: &[u8], dst1: &mut [u8], dst2: &mut [u8]) -> bool {
    // SAFETY: any bytes are a vector, and any vector is bytes.
    let (head1, vectors1, tail1) = unsafe { dst1.align_to_mut::<Vector>() };
    // SAFETY: as above.
    let (head2, vectors2, tail2) = unsafe { dst2.align_to_mut::<Vector>() };
    if head1.len() != head2.len() || vectors1.len() != vectors2.len() {
        return false;
    }
    let (head, src) = src.split_at(head1.len());
    let (vectors, tail) = src.as_chunks::<VECTOR_BYTES>();
    let (runs, rest) = vectors.as_chunks::<VECTORS>();
    let (runs1, rest1) = vectors1.as_chunks_mut::<VECTORS>();
    let (runs2, rest2) = vectors2.as_chunks_mut::<VECTORS>();
    for (src, (dst1, dst2)) in runs.iter().zip(runs1.iter_mut().zip(runs2)) {
        let run = src.each_ref().map(load);
        store(dst1, &run);
        store(dst2, &run);
    }
    for (src, (dst1, dst2)) in rest.iter().zip(rest1.iter_mut().zip(rest2)) {
        (dst1.0, dst2.0) = (*src, *src);
    }
    for (src, dst1, dst2) in [(head, head1, head2), (tail, tail1, tail2)] {
        dst1.copy_from_slice(src);
        dst2.copy_from_slice(src);
    }
    fence();
    true
}

fn fence() {
    // SAFETY: every x86-64 processor has SSE.
    unsafe { _mm_sfence() };
}

#[inline(always)]
fn load(vector: &[u8; VECTOR_BYTES]) -> __m128i {
    // SAFETY: the bytes are as many as are loaded, wherever they lie; every x86-64 processor has SSE2.
    unsafe { _mm_loadu_si128(vector.as_ptr().cast()) }
}

#[inline(always)]
fn store(places: &mut [Vector; VECTORS], run: &[__m128i; VECTORS]) {
    for (place, vector) in places.iter_mut().zip(run) {
        // SAFETY: `place` has the bytes of a vector and its alignment, by its type; every x86-64 processor has SSE2.
        unsafe { _mm_stream_si128(place.0.as_mut_ptr().cast(), *vector) };
    }
}
