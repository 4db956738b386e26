//! Output that is a vector of bits, or the indices of its ones.

use super::array::Array;
use super::range::count_ones;
use super::unpack::low_half;
use super::{Aggregates, FilterError, Filtered, Output};

/// Takes bits, in words and in parts of words, and writes them or their indices.
#[derive(Debug)]
pub(super) struct Bits<'a> {
    /// None: bits are only counted.
    room: Option<&'a mut [u8]>,
    output: Output,
    /// Bits that do not fill a word yet, and how many.
    begun: u64,
    begun_bits: u32,
    /// Bits in whole words taken.
    taken: u64,
    indices: Option<Array<'a>>,
    aggregates: Aggregates,
}

const WORD_BITS: u32 = u64::BITS;
const WORD: usize = 8;

impl<'a> Bits<'a> {
    pub(super) fn new(room: Option<&'a mut [u8]>, output: Output) -> Self {
        let (room, indices) = match output.width.bits() {
            None => (room, None),
            Some(width) => (None, Some(Array::new(room, width, output.big_endian))),
        };
        let aggregates = Aggregates::EMPTY;
        Self { room, output, begun: 0, begun_bits: 0, taken: 0, indices, aggregates }
    }

    /// Takes whole words.
    pub(super) fn push_words(&mut self, words: &mut [u64]) -> Result<(), FilterError> {
        if self.begun_bits > 0 || self.indices.is_some() {
            return words.iter().try_for_each(|word| self.push(*word, WORD_BITS));
        }
        if self.output.invert {
            words.iter_mut().for_each(|word| *word = !*word);
        }
        if let Some(first) = words.iter().position(|word| *word != 0) {
            let base = self.taken + u64::from(self.output.first_index);
            let last = words.iter().rposition(|word| *word != 0).unwrap_or(first);
            let bits = |words: usize| words as u64 * u64::from(WORD_BITS);
            let low = base + bits(first) + u64::from(words[first].trailing_zeros());
            let high = base + bits(last + 1) - 1 - u64::from(words[last].leading_zeros());
            self.aggregates.min = self.aggregates.min.min(low_half(low));
            self.aggregates.max = low_half(high);
            self.aggregates.sum = self.aggregates.sum.wrapping_add(count_ones(words));
        }
        if let Some(room) = &mut self.room {
            let bytes_max = room.len();
            let at = usize::try_from(self.taken / 8).unwrap_or(usize::MAX);
            let end = at.saturating_add(words.len() * WORD);
            let part = room.get_mut(at..end).ok_or(FilterError::OutputFull { bytes_max })?;
            for (bytes, word) in part.as_chunks_mut::<WORD>().0.iter_mut().zip(words.iter()) {
                *bytes = word.to_le_bytes();
            }
            if self.output.big_endian {
                part.iter_mut().for_each(|byte| *byte = byte.reverse_bits());
            }
        }
        self.taken += words.len() as u64 * u64::from(WORD_BITS);
        Ok(())
    }

    /// Takes the low `count` bits of `word`, at most 64; the others are 0.
    pub(super) fn push(&mut self, word: u64, count: u32) -> Result<(), FilterError> {
        if self.begun_bits == 0 && count == WORD_BITS {
            return self.word(word, WORD_BITS);
        }
        self.begun |= word << self.begun_bits;
        let sum = self.begun_bits + count;
        if sum < WORD_BITS {
            self.begun_bits = sum;
            return Ok(());
        }
        let whole = self.begun;
        let rest = WORD_BITS - self.begun_bits;
        self.begun = word.checked_shr(rest).unwrap_or(0);
        self.begun_bits = sum - WORD_BITS;
        self.word(whole, WORD_BITS)
    }

    /// `count` times the same bit.
    pub(super) fn push_run(&mut self, bit: bool, mut count: u64) -> Result<(), FilterError> {
        // Up to a whole word, and then, if nobody looks at them, all whole words at once.
        while count > 0 {
            let words = count / u64::from(WORD_BITS);
            if self.begun_bits == 0 && words > 0 && self.room.is_none() && self.indices.is_none() {
                self.count_words(bit != self.output.invert, words);
                count %= u64::from(WORD_BITS);
                continue;
            }
            let part = u32::try_from(count).unwrap_or(WORD_BITS).min(WORD_BITS - self.begun_bits);
            let ones = u64::MAX >> (WORD_BITS - part);
            self.push(if bit { ones } else { 0 }, part)?;
            count -= u64::from(part);
        }
        Ok(())
    }

    /// Words of ones or of zeros that are not written.
    fn count_words(&mut self, ones: bool, words: u64) {
        let bits = words * u64::from(WORD_BITS);
        if ones {
            let base = self.taken + u64::from(self.output.first_index);
            self.aggregates.min = self.aggregates.min.min(low_half(base));
            self.aggregates.max = low_half(base + bits - 1);
            self.aggregates.sum = self.aggregates.sum.wrapping_add(low_half(bits));
        }
        self.taken += bits;
    }

    /// Writes the low `count` bits, which is 64 but at the end.
    fn word(&mut self, word: u64, count: u32) -> Result<(), FilterError> {
        let valid = u64::MAX >> (WORD_BITS - count);
        let word = if self.output.invert { !word & valid } else { word & valid };
        if word != 0 {
            let index = |bit: u32| {
                let index = self.taken + u64::from(bit) + u64::from(self.output.first_index);
                low_half(index)
            };
            self.aggregates.min = self.aggregates.min.min(index(word.trailing_zeros()));
            self.aggregates.max = index(WORD_BITS - 1 - word.leading_zeros());
            self.aggregates.sum = self.aggregates.sum.wrapping_add(word.count_ones());
        }
        if let Some(indices) = &mut self.indices {
            let base = self.taken + u64::from(self.output.first_index);
            indices.push_indices(word, base)?;
        }
        self.write(word, count)?;
        self.taken += u64::from(count);
        Ok(())
    }

    fn write(&mut self, word: u64, count: u32) -> Result<(), FilterError> {
        let Some(room) = &mut self.room else { return Ok(()) };
        let bytes_max = room.len();
        let at = usize::try_from(self.taken / 8).unwrap_or(usize::MAX);
        let len = usize::try_from(count.div_ceil(8)).unwrap_or(WORD);
        let word = word.to_le_bytes();
        let word = if self.output.big_endian { word.map(u8::reverse_bits) } else { word };
        let part = room.get_mut(at..at.saturating_add(len)).ok_or(FilterError::OutputFull { bytes_max })?;
        part.copy_from_slice(&word[..len]);
        Ok(())
    }

    /// Writes what does not fill a word.
    pub(super) fn finish(mut self) -> Result<Filtered, FilterError> {
        if self.begun_bits > 0 {
            let (word, count) = (self.begun, self.begun_bits);
            self.word(word, count)?;
        }
        let aggregates = self.aggregates;
        if let Some(indices) = self.indices {
            return Ok(Filtered { aggregates, ..indices.finish()? });
        }
        let bytes = usize::try_from(self.taken.div_ceil(8)).unwrap_or(usize::MAX);
        let [bits, ..] = (self.taken % 8).to_le_bytes();
        Ok(Filtered { bytes, bits, elements: self.taken, aggregates })
    }
}
