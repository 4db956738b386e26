//! The repeated pattern of fill and compare-pattern.

/// Eight or sixteen bytes, repeated over memory from phase 0.
///
/// An 8-byte pattern is held as the 16-byte pattern that repeats it: the two cannot be told apart in memory. Words
/// are little-endian, as in the descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pattern {
    bytes: [u8; Self::BYTES],
}

impl Pattern {
    /// The length of the pattern as held.
    pub const BYTES: usize = 16;

    /// The 8-byte pattern `word`.
    pub const fn from_u64(word: u64) -> Self {
        Self::from_words(word, word)
    }

    /// The 16-byte pattern `low`, then `high`.
    pub const fn from_words(low: u64, high: u64) -> Self {
        Self::from_bytes(((high as u128) << 64 | low as u128).to_le_bytes())
    }

    /// The pattern with these bytes in memory order.
    pub const fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        Self { bytes }
    }

    /// The bytes in memory order, phase 0.
    pub const fn bytes(&self) -> &[u8; Self::BYTES] {
        &self.bytes
    }

    /// The pattern as it reads `offset` bytes on: what resumes a fill that stopped there.
    #[must_use]
    pub fn advanced(mut self, offset: usize) -> Self {
        self.bytes.rotate_left(offset % Self::BYTES);
        self
    }

    /// The byte all of the pattern consists of, if it does.
    #[inline]
    pub(crate) fn single_byte(&self) -> Option<u8> {
        const ONES: u128 = u128::MAX / 0xff;
        let first = self.bytes[0];
        (u128::from_ne_bytes(self.bytes) == ONES * u128::from(first)).then_some(first)
    }

    /// A block of whole repetitions. `N` is a multiple of [`Self::BYTES`].
    pub(crate) fn block<const N: usize>(&self) -> [u8; N] {
        const { assert!(N.is_multiple_of(Self::BYTES)) };
        let mut block = [0; N];
        for repetition in block.chunks_exact_mut(Self::BYTES) {
            repetition.copy_from_slice(&self.bytes);
        }
        block
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_little_endian_low_first() {
        let pattern = Pattern::from_words(0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908);
        assert_eq!(*pattern.bytes(), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);
    }

    #[test]
    fn eight_byte_pattern_is_its_own_repetition() {
        assert_eq!(Pattern::from_u64(7), Pattern::from_words(7, 7));
        assert_eq!(Pattern::from_u64(7).advanced(8), Pattern::from_u64(7));
    }

    #[test]
    fn advanced_pattern_starts_at_the_next_byte() {
        let pattern = Pattern::from_bytes(std::array::from_fn(|i| i.try_into().unwrap()));
        assert_eq!(pattern.advanced(35).bytes()[..3], [3, 4, 5]);
    }
}
