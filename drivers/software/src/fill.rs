//! Filling memory with a pattern.
//!
//! A pattern that is one byte repeated is `memset`'s. Any other is stored by a loop the compiler turns into vectors
//! while `dst` is small, and on processors that are not Intel's (an EPYC fills 16 MiB at twice the rate so) always. On
//! Intel's, for more, it is laid out in a block that stays in the first-level cache and copied out block after block,
//! which leaves the choice of instructions to the C library's `memcpy`.
//
// UNSAFETY: calls a function compiled for AVX2 after asking the processor for it.
#![expect(unsafe_code, reason = "AVX2 where the processor has it; see the UNSAFETY line")]

#[cfg(target_arch = "x86_64")]
use std::sync::OnceLock;

use crate::pattern::Pattern;

/// The block copied out, on an Intel processor. Of 256 B to 32 KiB, this and the next two sizes up were fastest from 64 KiB on.
const BLOCK_BYTES: usize = 4 << 10;
/// Up to here, in the second-level cache, stores from registers are the fastest. Beyond, on Intel's processors, the C
/// library's way to store without reading first is.
const SMALL_BYTES: usize = 512 << 10;

/// Fills `dst` with `pattern` from phase 0; a length that is no multiple of the pattern ends inside it.
#[inline]
pub fn fill(dst: &mut [u8], pattern: Pattern) {
    if let Some(byte) = pattern.single_byte() {
        dst.fill(byte);
    } else if dst.len() <= SMALL_BYTES || !copies_are_fast() {
        fill_small(dst, pattern);
    } else {
        fill_large(dst, pattern);
    }
}

/// Whether copying out blocks is a fast way to store without reading first: of what was measured, on Intel's processors.
#[cfg(target_arch = "x86_64")]
fn copies_are_fast() -> bool {
    static IS_INTEL: OnceLock<bool> = OnceLock::new();
    *IS_INTEL.get_or_init(|| {
        let vendor = std::arch::x86_64::__cpuid(0);
        [vendor.ebx, vendor.edx, vendor.ecx].map(u32::to_le_bytes).as_flattened() == b"GenuineIntel"
    })
}

#[cfg(not(target_arch = "x86_64"))]
fn copies_are_fast() -> bool {
    true
}

fn fill_large(dst: &mut [u8], pattern: Pattern) {
    tile(dst, &pattern.block::<BLOCK_BYTES>());
}

/// Bytes the loop for small memory writes at once: a line of the cache, where it begins with one.
const LINE_BYTES: usize = 64;

/// Stores that cross lines take twice the time, so that only whole lines are left to the loop.
fn fill_small(dst: &mut [u8], pattern: Pattern) {
    let to_next_line = dst.as_ptr().align_offset(LINE_BYTES).min(dst.len());
    let (head, lines) = dst.split_at_mut(to_next_line);
    head.copy_from_slice(&pattern.block::<LINE_BYTES>()[..to_next_line]);
    fill_lines(lines, &pattern.advanced(to_next_line).block());
}

fn fill_lines(dst: &mut [u8], line: &[u8; LINE_BYTES]) {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2, asked in the line above.
        return unsafe { fill_lines_with_avx2(dst, line) };
    }
    tile(dst, line);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn fill_lines_with_avx2(dst: &mut [u8], line: &[u8; LINE_BYTES]) {
    tile(dst, line);
}

/// Repeats `tile` over `dst`.
#[inline(always)]
fn tile<const N: usize>(dst: &mut [u8], tile: &[u8; N]) {
    let (whole, tail) = dst.as_chunks_mut::<N>();
    for chunk in whole {
        chunk.copy_from_slice(tile);
    }
    tail.copy_from_slice(&tile[..tail.len()]);
}
