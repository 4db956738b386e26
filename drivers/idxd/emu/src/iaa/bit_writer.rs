//! Output in 64-bit words, the way the device writes it.

use super::bit_buffer::BitBuffer;

/// The output buffer has no room for a word that is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Overflow;

/// Collects bits and writes every full word to the output buffer.
pub(super) struct BitWriter<'a> {
    out: &'a mut [u8],
    written: usize,
    word: u64,
    /// # Invariants
    ///
    /// Less than 64, and the bits of `word` from here on are 0.
    filled: u32,
}

impl<'a> BitWriter<'a> {
    /// A writer that begins with the bits of `accumulator`.
    pub(super) fn new(out: &'a mut [u8], accumulator: &BitBuffer) -> Result<Self, Overflow> {
        let mut writer = Self { out, written: 0, word: 0, filled: 0 };
        for (word, bits) in accumulator.chunks() {
            writer.put(u64::from(word), bits)?;
        }
        Ok(writer)
    }

    /// Appends the low `count` bits of `bits`, which has no others; at most 48.
    #[inline]
    pub(super) fn put(&mut self, bits: u64, count: u32) -> Result<(), Overflow> {
        debug_assert!(count <= 48 && bits >> count == 0, "{bits:#x} in {count} bits");
        self.word |= bits << self.filled;
        let filled = self.filled + count;
        if filled < 64 {
            self.filled = filled;
            return Ok(());
        }
        let end = self.written + 8;
        self.out.get_mut(self.written..end).ok_or(Overflow)?.copy_from_slice(&self.word.to_le_bytes());
        self.written = end;
        // `count` is at most 48, so a full word had 16 bits or more and the shift is in range.
        self.word = bits >> (64 - self.filled);
        self.filled = filled - 64;
        Ok(())
    }

    /// Appends zeros up to the next byte of the whole output.
    pub(super) fn align(&mut self) -> Result<(), Overflow> {
        self.put(0, self.filled.wrapping_neg() % 8)
    }

    /// The bytes written, and the bits that do not fill a word.
    pub(super) fn keep_rest(self) -> (usize, BitBuffer) {
        (self.written, BitBuffer::from_word(self.word, self.filled as usize))
    }

    /// Writes the bits that do not fill a word. Returns the bytes written in all, and how many bits of the last
    /// one are used, 0 for all.
    pub(super) fn flush_rest(self) -> Result<(usize, u8), Overflow> {
        let rest = self.filled.div_ceil(8) as usize;
        let end = self.written + rest;
        let room = self.out.get_mut(self.written..end).ok_or(Overflow)?;
        room.copy_from_slice(&self.word.to_le_bytes()[..rest]);
        Ok((end, (self.filled & 7) as u8))
    }
}
