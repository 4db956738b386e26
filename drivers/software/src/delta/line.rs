//! Lines of 64 bytes: which of their words differ, and the entries for them.
//!
//! On x86 with AVX2 a line takes two comparisons and no branch; elsewhere the compiler makes of a loop what it can. The
//! entries of a line are written one after the other by the bits of the answer, all eight at once if all are set.
//
// UNSAFETY: calls a function compiled for AVX2 after asking the processor for it, and loads vectors from arrays of their
// size.
#![expect(unsafe_code, reason = "AVX2 where the processor has it; see the UNSAFETY line")]

use super::{ENTRY_BYTES, LINE_BYTES, WORD_BYTES, entry};

/// Words of a line.
const WORDS: usize = LINE_BYTES / WORD_BYTES;
/// Bytes of record that they can take.
const ENTRIES_BYTES: usize = WORDS * ENTRY_BYTES;

/// A line.
pub(super) type Line = [u8; LINE_BYTES];

/// What [`append`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Appended {
    /// Lines that are done: all, or those before one that differs and for whose words there may not be room.
    pub(super) lines: usize,
    /// Bytes of record written.
    pub(super) record_bytes: usize,
}

/// Writes the entries of lines of equal number, that begin `at` bytes into what the record describes.
pub(super) fn append(at: usize, first: &[Line], second: &[Line], record: &mut [u8]) -> Appended {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("bmi1") {
        // SAFETY: the processor has the features that the function is compiled for, asked in the line above.
        return unsafe { avx2::append(at, first, second, record) };
    }
    append_by(at, first, second, record, differing)
}

#[inline(always)]
fn append_by(
    at: usize,
    first: &[Line],
    second: &[Line],
    record: &mut [u8],
    differing: impl Fn(&Line, &Line) -> u8,
) -> Appended {
    let mut used = 0;
    for (index, (first, second)) in first.iter().zip(second).enumerate() {
        let words = differing(first, second);
        if words == 0 {
            continue;
        }
        let Some(room) = record[used..].first_chunk_mut::<ENTRIES_BYTES>() else {
            return Appended { lines: index, record_bytes: used };
        };
        used += write(at + index * LINE_BYTES, words, second, room);
    }
    Appended { lines: first.len(), record_bytes: used }
}

/// Bit n: word n differs.
fn differing(first: &Line, second: &Line) -> u8 {
    let (first, _) = first.as_chunks::<WORD_BYTES>();
    let (second, _) = second.as_chunks::<WORD_BYTES>();
    let pairs = first.iter().zip(second).enumerate();
    pairs.fold(0, |words, (word, (first, second))| words | u8::from(first != second) << word)
}

/// Writes the entries of the words of a line, and says how many bytes they take.
#[inline(always)]
fn write(at: usize, words: u8, line: &Line, room: &mut [u8; ENTRIES_BYTES]) -> usize {
    let (line, _) = line.as_chunks::<WORD_BYTES>();
    if words == u8::MAX {
        let (entries, _) = room.as_chunks_mut::<ENTRY_BYTES>();
        for (word, (line, place)) in line.iter().zip(entries).enumerate() {
            entry(at + word * WORD_BYTES, line, place);
        }
        return ENTRIES_BYTES;
    }
    let (mut left, mut used) = (words, 0);
    while left != 0 {
        let word = left.trailing_zeros() as usize % WORDS;
        // At most 7 entries are there: the eighth still has room.
        if let Some(place) = room[used..].first_chunk_mut() {
            entry(at + word * WORD_BYTES, &line[word], place);
        }
        used += ENTRY_BYTES;
        left &= left - 1;
    }
    used
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::{
        __m256i, _mm256_castsi256_pd, _mm256_cmpeq_epi64, _mm256_loadu_si256, _mm256_movemask_pd,
    };

    use super::{Appended, Line, append_by};

    /// Bytes of a vector.
    const VECTOR_BYTES: usize = size_of::<__m256i>();

    #[target_feature(enable = "avx2,bmi1")]
    pub(super) fn append(at: usize, first: &[Line], second: &[Line], record: &mut [u8]) -> Appended {
        append_by(at, first, second, record, |first, second| differing(first, second))
    }

    #[target_feature(enable = "avx2,bmi1")]
    fn differing(first: &Line, second: &Line) -> u8 {
        let (first, _) = first.as_chunks::<VECTOR_BYTES>();
        let (second, _) = second.as_chunks::<VECTOR_BYTES>();
        !(equal(&first[0], &second[0]) | equal(&first[1], &second[1]) << 4)
    }

    /// Bits 3:0: which words are equal.
    #[target_feature(enable = "avx2,bmi1")]
    fn equal(first: &[u8; VECTOR_BYTES], second: &[u8; VECTOR_BYTES]) -> u8 {
        let words = _mm256_castsi256_pd(_mm256_cmpeq_epi64(load(first), load(second)));
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "four bits")]
        let bits = _mm256_movemask_pd(words) as u8;
        bits
    }

    #[target_feature(enable = "avx2,bmi1")]
    fn load(bytes: &[u8; VECTOR_BYTES]) -> __m256i {
        // SAFETY: `bytes` are as many as the vector has, and the load needs no alignment.
        unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever this machine has: the plain loop says the same of every combination of words.
    #[test]
    fn every_combination_of_words_gives_the_entries_of_the_plain_loop() {
        let first: Line = [7; LINE_BYTES];
        for words in 0..=u8::MAX {
            let mut second = first;
            (0..WORDS).filter(|word| words >> word & 1 == 1).for_each(|word| second[word * 8 + word] = 1);
            assert_eq!(differing(&first, &second), words);
            let (mut fast, mut plain) = ([0; ENTRIES_BYTES], [0; ENTRIES_BYTES]);
            let appended = append(640, &[first], &[second], &mut fast);
            assert_eq!(appended, append_by(640, &[first], &[second], &mut plain, differing));
            assert_eq!(appended.record_bytes, words.count_ones() as usize * ENTRY_BYTES);
            assert!(fast[..appended.record_bytes] == plain[..appended.record_bytes]);
        }
    }
}
