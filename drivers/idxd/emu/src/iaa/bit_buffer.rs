//! The output accumulator of the compress AECS.

/// Bits of output that a descriptor starts with, or leaves for the next one of its job.
///
/// Software puts a block header here before the first descriptor; the device leaves what does not fill a 64-bit
/// word. At most 2048 bits, first bit lowest in the first byte. Source: IAA table 6-21.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BitBuffer {
    bytes: [u8; Self::BYTES_MAX],
    /// # Invariants
    ///
    /// At most [`Self::BITS_MAX`], and every bit of `bytes` from here on is 0.
    bits: usize,
}

/// More bits than the accumulator holds, or than the bytes given have: an AECS error on the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{bits} bits of output accumulator from {bytes} bytes, at most 2048 bits")]
pub struct TooManyBits {
    /// Bits that were asked for.
    pub bits: usize,
    /// Bytes that were to hold them.
    pub bytes: usize,
}

impl BitBuffer {
    /// Bits an accumulator holds at most.
    pub const BITS_MAX: usize = 2048;
    /// The same in bytes: the size of the AECS field.
    pub const BYTES_MAX: usize = Self::BITS_MAX / 8;

    /// An accumulator with nothing in it.
    #[must_use]
    pub const fn new() -> Self {
        Self { bytes: [0; Self::BYTES_MAX], bits: 0 }
    }

    /// The first `bits` bits of `bytes`; what follows them is ignored.
    ///
    /// # Errors
    ///
    /// [`TooManyBits`] if `bits` is more than 2048 or than `bytes` has.
    pub fn from_bytes(bytes: &[u8], bits: usize) -> Result<Self, TooManyBits> {
        let used = bits.div_ceil(8);
        if bits > Self::BITS_MAX || used > bytes.len() {
            return Err(TooManyBits { bits, bytes: bytes.len() });
        }
        let mut buffer = Self::new();
        buffer.bytes[..used].copy_from_slice(&bytes[..used]);
        if !bits.is_multiple_of(8) {
            buffer.bytes[used - 1] &= (1 << (bits % 8)) - 1;
        }
        buffer.bits = bits;
        Ok(buffer)
    }

    /// The low `bits` bits of a word, fewer than 64.
    pub(super) fn from_word(word: u64, bits: usize) -> Self {
        debug_assert!(bits < 64, "{bits} bits fill a word");
        let mut buffer = Self::new();
        buffer.bytes[..8].copy_from_slice(&(word & ((1 << bits) - 1)).to_le_bytes());
        buffer.bits = bits;
        buffer
    }

    /// How many bits are valid.
    #[must_use]
    pub const fn bits(&self) -> usize {
        self.bits
    }

    /// The whole field as the AECS holds it; bits that are not valid are 0.
    #[must_use]
    pub const fn bytes(&self) -> &[u8; Self::BYTES_MAX] {
        &self.bytes
    }

    /// The bits in words of at most 32, first bit lowest, each with its number of bits.
    pub(super) fn chunks(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        self.bytes.chunks_exact(4).zip(0u32..).map_while(|(chunk, index)| {
            let left = u32::try_from(self.bits).unwrap_or(0).saturating_sub(32 * index);
            let word = chunk.iter().rev().fold(0, |word, &byte| (word << 8) | u32::from(byte));
            (left > 0).then_some((word, left.min(32)))
        })
    }
}

impl Default for BitBuffer {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_beyond_the_valid_ones_are_dropped() {
        let buffer = BitBuffer::from_bytes(&[0xff; 3], 11).unwrap();
        assert_eq!(buffer.bits(), 11);
        assert_eq!(buffer.bytes()[..3], [0xff, 0x07, 0]);
        assert_eq!(buffer.chunks().collect::<Vec<_>>(), [(0x7ff, 11)]);
    }

    #[test]
    fn more_bits_than_the_field_or_the_bytes_have_are_refused() {
        assert!(BitBuffer::from_bytes(&[0; 256], 2048).is_ok());
        assert!(BitBuffer::from_bytes(&[0; 257], 2049).is_err());
        assert_eq!(BitBuffer::from_bytes(&[0; 2], 17), Err(TooManyBits { bits: 17, bytes: 2 }));
    }

    #[test]
    fn chunks_cover_every_valid_bit_in_order() {
        let bytes: Vec<u8> = (0..=255).collect();
        for bits in [0, 1, 31, 32, 33, 64, 2047, 2048] {
            let buffer = BitBuffer::from_bytes(&bytes, bits).unwrap();
            let flat: Vec<bool> = buffer
                .chunks()
                .flat_map(|(word, count)| (0..count).map(move |bit| word >> bit & 1 == 1))
                .collect();
            let expected: Vec<bool> = (0..bits).map(|bit| bytes[bit / 8] >> (bit % 8) & 1 == 1).collect();
            assert_eq!(flat, expected, "{bits} bits");
        }
    }
}
