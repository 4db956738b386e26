//! Checksums that chain.
//!
//! Every function takes the *finished* value of what came before and gives the finished value of the whole, so that
//! `crc32c(crc32c(0, a), b) == crc32c(0, ab)`, and 0 stands for nothing before (1 for Adler-32, as its authors have
//! it). The register a device calls the seed, without the inversions, is the complement: `!crc32c(!seed, data)`.
//!
//! The `_combine` functions join values computed apart, for work that is split over threads.

use crc_fast::CrcAlgorithm::{Crc32Iscsi, Crc32IsoHdlc, Crc64Nvme};
use crc_fast::{CrcAlgorithm, Digest};

use crate::copy::{STREAMED_BYTES_MIN, copy_block_past_caches};

/// CRC-32C (Castagnoli; iSCSI) of what `seed` is the CRC-32C of, followed by `data`.
///
/// Source: DSA appendix A.
#[inline]
pub fn crc32c(seed: u32, data: &[u8]) -> u32 {
    if seed == 0 { crc_fast::crc32_iscsi(data) } else { chained_32(Crc32Iscsi, seed, data) }
}

/// CRC-32 (gzip, zip, Ethernet) of what `seed` is the CRC-32 of, followed by `data`.
#[inline]
pub fn crc32(seed: u32, data: &[u8]) -> u32 {
    if seed == 0 { crc_fast::crc32_iso_hdlc(data) } else { chained_32(Crc32IsoHdlc, seed, data) }
}

/// CRC-64 (NVMe; Rocksoft) of what `seed` is the CRC-64 of, followed by `data`.
///
/// Source: DSA appendix A.
#[inline]
pub fn crc64(seed: u64, data: &[u8]) -> u64 {
    if seed == 0 { crc_fast::crc64_nvme(data) } else { chained(Crc64Nvme, !seed, data) }
}

/// Adler-32 of what `seed` is the Adler-32 of, followed by `data`. Of nothing it is 1.
///
/// A `seed` that no data has (a half of 65521 or more) is taken modulo 65521.
#[inline]
pub fn adler32(seed: u32, data: &[u8]) -> u32 {
    let mut sum = simd_adler32::Adler32::from_checksum(adler32_reduced(seed));
    sum.write(data);
    sum.finish()
}

/// Copies `src` to `dst` and gives the CRC-32C as [`crc32c`] does, reading `src` from memory once.
///
/// # Panics
///
/// If the lengths differ.
#[inline]
pub fn copy_crc32c(seed: u32, src: &[u8], dst: &mut [u8]) -> u32 {
    copied::<u32, BLOCK_BYTES_32>(seed, src, dst, crc32c)
}

/// Copies `src` to `dst` and gives the CRC-64 as [`crc64`] does, reading `src` from memory once.
///
/// # Panics
///
/// If the lengths differ.
#[inline]
pub fn copy_crc64(seed: u64, src: &[u8], dst: &mut [u8]) -> u64 {
    copied::<u64, BLOCK_BYTES_64>(seed, src, dst, crc64)
}

/// A block that is still in the second-level cache when its second reader comes: going on from a CRC costs more than to
/// have it in the first (an EPYC; on a Xeon 16 KiB were faster for the CRC-32C).
pub(crate) const BLOCK_BYTES_32: usize = 64 << 10;
/// The same for a CRC-64.
pub(crate) const BLOCK_BYTES_64: usize = 64 << 10;

#[inline]
pub(crate) fn copied<T, const BLOCK_BYTES: usize>(
    seed: T,
    src: &[u8],
    dst: &mut [u8],
    crc: impl Fn(T, &[u8]) -> T,
) -> T {
    if src.len() <= BLOCK_BYTES {
        dst.copy_from_slice(src);
        return crc(seed, src);
    }
    copied_by_blocks::<T, BLOCK_BYTES>(seed, src, dst, crc)
}

/// Apart from [`copied`], which would save registers for this loop that a single block has no use for.
#[inline(never)]
fn copied_by_blocks<T, const BLOCK_BYTES: usize>(
    seed: T,
    src: &[u8],
    dst: &mut [u8],
    crc: impl Fn(T, &[u8]) -> T,
) -> T {
    assert_eq!(src.len(), dst.len(), "source and destination differ in length");
    let copy = if src.len() < STREAMED_BYTES_MIN { crate::copy::copy } else { copy_block_past_caches };
    src.chunks(BLOCK_BYTES).zip(dst.chunks_mut(BLOCK_BYTES)).fold(seed, |value, (src, dst)| {
        copy(src, dst);
        crc(value, src)
    })
}

/// The CRC-32C of `a` followed by `b`, of their values and the length of `b` in bytes.
pub fn crc32c_combine(a: u32, b: u32, len_b: u64) -> u32 {
    combined_32(&POWERS_CRC32C, a, b, len_b)
}

/// The CRC-32 of `a` followed by `b`, of their values and the length of `b` in bytes.
pub fn crc32_combine(a: u32, b: u32, len_b: u64) -> u32 {
    combined_32(&POWERS_CRC32, a, b, len_b)
}

/// The CRC-64 of `a` followed by `b`, of their values and the length of `b` in bytes.
pub fn crc64_combine(a: u64, b: u64, len_b: u64) -> u64 {
    if len_b == 0 { a ^ b } else { crc_fast::checksum_combine(Crc64Nvme, a, b, len_b) }
}

/// The Adler-32 of `a` followed by `b`, of their values and the length of `b` in bytes.
pub fn adler32_combine(a: u32, b: u32, len_b: u64) -> u32 {
    let (a, b) = (adler32_reduced(a), adler32_reduced(b));
    let (a_sum, a_weighted) = (u64::from(a & 0xffff), u64::from(a >> 16));
    let (b_sum, b_weighted) = (u64::from(b & 0xffff), u64::from(b >> 16));
    // `a_sum - 1` is what the bytes of `a` add; they are added once more for every byte of `b`.
    let a_bytes = a_sum + ADLER_MODULUS - 1;
    let sum = (a_bytes + b_sum) % ADLER_MODULUS;
    let weighted = (a_weighted + b_weighted + (len_b % ADLER_MODULUS) * a_bytes) % ADLER_MODULUS;
    adler32_packed(sum, weighted)
}

/// The largest prime below 2^16.
const ADLER_MODULUS: u64 = 65521;

fn adler32_reduced(value: u32) -> u32 {
    adler32_packed(u64::from(value & 0xffff) % ADLER_MODULUS, u64::from(value >> 16) % ADLER_MODULUS)
}

fn adler32_packed(sum: u64, weighted: u64) -> u32 {
    low_32(weighted << 16 | sum)
}

fn chained_32(algorithm: CrcAlgorithm, seed: u32, data: &[u8]) -> u32 {
    low_32(chained(algorithm, u64::from(!seed), data))
}

/// Runs the register on from `state`, which is a finished value without its final inversion.
fn chained(algorithm: CrcAlgorithm, state: u64, data: &[u8]) -> u64 {
    let mut digest = Digest::new_with_init_state(algorithm, state);
    digest.update(data);
    digest.finalize()
}

/// CRCs are linear: that of `a` followed by as many zeros as `b` has bytes, plus that of `b`. Appending a zero byte
/// multiplies by x^8, so it takes one multiplication for every bit that is set in the length.
fn combined_32(powers: &Powers, a: u32, b: u32, len_b: u64) -> u32 {
    let set = (0..u64::BITS).filter(|bit| len_b >> bit & 1 != 0);
    set.fold(a, |moved, bit| powers.multiply(moved, powers.of_byte_counts[bit as usize])) ^ b
}

/// x^(8 * 2^i) modulo a polynomial of degree 32, for every i that a length can have a bit for.
///
/// Polynomials are bits in reflected order, as the checksums are: x^0 is the highest.
struct Powers {
    polynomial: u32,
    of_byte_counts: [u32; 64],
}

static POWERS_CRC32C: Powers = Powers::new(0x82f6_3b78);
static POWERS_CRC32: Powers = Powers::new(0xedb8_8320);

impl Powers {
    const fn new(polynomial: u32) -> Self {
        let mut powers = Self { polynomial, of_byte_counts: [0; 64] };
        let mut power = 1 << 23;
        let mut i = 0;
        while i < powers.of_byte_counts.len() {
            powers.of_byte_counts[i] = power;
            power = powers.multiply(power, power);
            i += 1;
        }
        powers
    }

    const fn multiply(&self, a: u32, b: u32) -> u32 {
        let (mut product, mut shifted, mut i) = (0, b, 0);
        while i < u32::BITS {
            product ^= shifted & (a >> (u32::BITS - 1 - i) & 1).wrapping_neg();
            shifted = shifted >> 1 ^ self.polynomial & (shifted & 1).wrapping_neg();
            i += 1;
        }
        product
    }
}

/// A 32-bit checksum that came as a `u64` whose upper half is zero.
fn low_32(value: u64) -> u32 {
    value.try_into().expect("a 32-bit checksum fits in 32 bits")
}
