//! How often each symbol appears: the device's statistics mode.

use std::convert::Infallible;

use super::alphabet::{
    DISTANCE_SYMBOLS, END_OF_BLOCK, FIRST_LENGTH, LITERAL_LENGTH_SYMBOLS, distance_symbol_of, length_index_of,
};
use super::compress::EndProcessing;
use super::matcher::{MatchOptions, Tokens, tokenize};

/// Counts of the symbols that compressing an input would write. Source: IAA §3.4.1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram {
    /// Literals, end of block, lengths.
    pub literal_length: [u32; LITERAL_LENGTH_SYMBOLS],
    /// Distances.
    pub distance: [u32; DISTANCE_SYMBOLS],
}

impl Histogram {
    /// Counts have 19 bits and stay at the largest.
    pub const COUNT_MAX: u32 = (1 << 19) - 1;

    /// The counts for `input`; the end of the block is one if `end` has it written.
    #[must_use]
    pub fn of(input: &[u8], options: MatchOptions<'_>, end: EndProcessing) -> Self {
        let mut counts =
            Self { literal_length: [0; LITERAL_LENGTH_SYMBOLS], distance: [0; DISTANCE_SYMBOLS] };
        match tokenize(input, options, &mut counts) {
            Ok(()) => {}
            Err(never) => match never {},
        }
        if end != EndProcessing::None {
            increment(&mut counts.literal_length[END_OF_BLOCK]);
        }
        counts
    }
}

impl Tokens for Histogram {
    type Error = Infallible;

    fn literal(&mut self, byte: u8) -> Result<(), Infallible> {
        increment(&mut self.literal_length[usize::from(byte)]);
        Ok(())
    }

    fn reference(&mut self, length: usize, distance: usize) -> Result<(), Infallible> {
        increment(&mut self.literal_length[FIRST_LENGTH + length_index_of(length)]);
        increment(&mut self.distance[distance_symbol_of(distance)]);
        Ok(())
    }
}

fn increment(count: &mut u32) {
    *count = (*count + 1).min(Histogram::COUNT_MAX);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_are_counted_by_byte() {
        let literals = MatchOptions { all_literals: true, ..MatchOptions::default() };
        let counts = Histogram::of(b"banana", literals, EndProcessing::None);
        assert_eq!(counts.literal_length[usize::from(b'a')], 3);
        assert_eq!(counts.literal_length[usize::from(b'n')], 2);
        assert_eq!(counts.literal_length.iter().sum::<u32>(), 6);
        assert_eq!(counts.distance, [0; 30]);
    }

    #[test]
    fn the_end_of_the_block_is_counted_when_it_is_written() {
        for (end, count) in [
            (EndProcessing::None, 0),
            (EndProcessing::Eob, 1),
            (EndProcessing::EobAndStored, 1),
            (EndProcessing::EobAndFinalStored, 1),
        ] {
            assert_eq!(
                Histogram::of(b"x", MatchOptions::default(), end).literal_length[256],
                count,
                "{end:?}"
            );
        }
    }

    /// A run is one literal and references one byte back, 258 long but for the last.
    #[test]
    fn a_run_counts_lengths_and_the_distance_of_one() {
        let counts = Histogram::of(&[7; 1 + 258 * 4 + 10], MatchOptions::default(), EndProcessing::None);
        assert_eq!(counts.literal_length[7], 1);
        assert_eq!(counts.literal_length[285], 4);
        assert_eq!(counts.literal_length[264], 1, "length 10");
        assert_eq!(counts.distance[0], 5);
        assert_eq!(counts.distance.iter().sum::<u32>(), 5);
    }

    #[test]
    fn counts_stay_at_the_largest_of_19_bits() {
        let literals = MatchOptions { all_literals: true, ..MatchOptions::default() };
        let of =
            |bytes: usize| Histogram::of(&vec![1; bytes], literals, EndProcessing::None).literal_length[1];
        assert_eq!(of(524_286), 524_286);
        assert_eq!(of(524_287), 524_287);
        assert_eq!(of(524_288), 524_287);
        assert_eq!(of(600_000), 524_287);
    }
}
