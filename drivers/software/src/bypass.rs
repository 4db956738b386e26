//! CRCs as a device computes them when it is told to leave steps out.
//!
//! Two steps of a CRC-32C or a CRC-64 of NVMe can be bypassed (DSA appendix A): inverting and reflecting the seed and
//! the result, and taking the lowest bit of a byte first. What is left is computed by the usual functions of
//! [`crc`](crate::crc): a byte with its bits in reverse stands for the one, a value with its bits in reverse and
//! complemented for the other.

use crate::crc::{crc32c, crc64};

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
        let form = |value: u32| if self.inversion { !value.reverse_bits() } else { value };
        form(self.fold(form(seed), data, crc32c))
    }

    /// As [`crc64`], with these steps left out. Of nothing it is `seed`.
    pub fn crc64(self, seed: u64, data: &[u8]) -> u64 {
        let form = |value: u64| if self.inversion { !value.reverse_bits() } else { value };
        form(self.fold(form(seed), data, crc64))
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
