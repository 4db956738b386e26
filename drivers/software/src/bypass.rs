//! CRCs as a device computes them when it is told to leave steps out.
//!
//! Two steps of a CRC-32C or a CRC-64 of NVMe can be bypassed (DSA appendix A): inverting and reflecting the seed and
//! the result, and taking the lowest bit of a byte first. What is left is computed by the usual functions of
//! [`crc`](crate::crc): a byte with its bits in reverse stands for the one, a value with its bits in reverse and
//! complemented for the other.

use crate::crc::{BLOCK_BYTES_32, BLOCK_BYTES_64, copied, crc32c, crc32c_combine, crc64, crc64_combine};

/// Bytes reversed at a time.
const BLOCK_BYTES: usize = 4 << 10;

/// Which steps a CRC leaves out. By default none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Bypass {
    /// Seed and result are not inverted, and have their bits in reverse order.
    pub inversion: bool,
    /// Bit 7 of each byte comes first, not bit 0.
    pub reflection: bool,
}

impl Bypass {
    /// As [`crc32c`], with these steps left out. Of nothing it is `seed`.
    pub fn crc32c(self, seed: u32, data: &[u8]) -> u32 {
        self.form_32(self.fold(self.form_32(seed), data, crc32c))
    }

    /// As [`crc64`], with these steps left out. Of nothing it is `seed`.
    pub fn crc64(self, seed: u64, data: &[u8]) -> u64 {
        self.form_64(self.fold(self.form_64(seed), data, crc64))
    }

    /// As [`copy_crc32c`](crate::copy_crc32c), with these steps left out.
    ///
    /// # Panics
    ///
    /// If the lengths differ.
    pub fn copy_crc32c(self, seed: u32, src: &[u8], dst: &mut [u8]) -> u32 {
        copied::<u32, BLOCK_BYTES_32>(seed, src, dst, |seed, data| self.crc32c(seed, data))
    }

    /// As [`copy_crc64`](crate::copy_crc64), with these steps left out.
    ///
    /// # Panics
    ///
    /// If the lengths differ.
    pub fn copy_crc64(self, seed: u64, src: &[u8], dst: &mut [u8]) -> u64 {
        copied::<u64, BLOCK_BYTES_64>(seed, src, dst, |seed, data| self.crc64(seed, data))
    }

    /// The CRC-32C of nothing: the first seed of a chain.
    pub const fn empty_32(self) -> u32 {
        self.form_32(0)
    }

    /// The CRC-64 of nothing: the first seed of a chain.
    pub const fn empty_64(self) -> u64 {
        self.form_64(0)
    }

    /// As [`crc32c_combine`], with these steps left out.
    pub fn crc32c_combine(self, a: u32, b: u32, len_b: u64) -> u32 {
        self.form_32(crc32c_combine(self.form_32(a), self.form_32(b), len_b))
    }

    /// As [`crc64_combine`], with these steps left out.
    pub fn crc64_combine(self, a: u64, b: u64, len_b: u64) -> u64 {
        self.form_64(crc64_combine(self.form_64(a), self.form_64(b), len_b))
    }

    /// From the form with steps left out to the usual one, and back.
    const fn form_32(self, value: u32) -> u32 {
        if self.inversion { !value.reverse_bits() } else { value }
    }

    /// As [`Self::form_32`].
    const fn form_64(self, value: u64) -> u64 {
        if self.inversion { !value.reverse_bits() } else { value }
    }

    fn fold<T>(self, seed: T, data: &[u8], crc: impl Fn(T, &[u8]) -> T) -> T {
        if !self.reflection {
            return crc(seed, data);
        }
        let mut reversed = [0; BLOCK_BYTES];
        data.chunks(BLOCK_BYTES).fold(seed, |value, block| {
            let reversed = &mut reversed[..block.len()];
            for (to, from) in reversed.iter_mut().zip(block) {
                *to = from.reverse_bits();
            }
            crc(value, reversed)
        })
    }
}
