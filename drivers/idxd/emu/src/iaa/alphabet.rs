//! The two deflate alphabets: what a symbol stands for, and which symbol stands for a length or a distance.
//!
//! Source: RFC 1951 §3.2.5.

/// Literal/length symbols in use: 256 literals, the end of a block, 29 lengths.
pub(super) const LITERAL_LENGTH_SYMBOLS: usize = 286;
/// Distance symbols in use.
pub(super) const DISTANCE_SYMBOLS: usize = 30;
/// The symbol that ends a block.
pub(super) const END_OF_BLOCK: usize = 256;
/// The symbol of the shortest length.
pub(super) const FIRST_LENGTH: usize = 257;
/// Shortest match, in bytes.
pub(super) const LENGTH_MIN: usize = 3;
/// Longest match, in bytes.
pub(super) const LENGTH_MAX: usize = 258;

/// The smallest value a symbol stands for and how many bits follow to say how far above it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) base: u16,
    pub(super) extra_bits: u8,
}

/// Lengths, by symbol less 257.
pub(super) const LENGTHS: [Span; 29] = lengths();
/// Distances, by symbol.
pub(super) const DISTANCES: [Span; DISTANCE_SYMBOLS] = distances();
/// Length symbol less 257, by length less 3.
const LENGTH_INDEX: [u8; LENGTH_MAX - LENGTH_MIN + 1] = length_index();

/// The index in [`LENGTHS`] of `length`, 3 to 258 bytes.
pub(super) fn length_index_of(length: usize) -> usize {
    usize::from(LENGTH_INDEX[length - LENGTH_MIN])
}

/// The distance symbol of `distance`, 1 to 32768 bytes.
pub(super) fn distance_symbol_of(distance: usize) -> usize {
    let above = distance - 1;
    if above < 4 {
        return above;
    }
    // From 4 on a symbol is the position of the top bit and the bit below it.
    let top = above.ilog2() as usize;
    2 * top + ((above >> (top - 1)) & 1)
}

/// A number below 256 as a byte.
pub(super) const fn low_byte(number: usize) -> u8 {
    number.to_le_bytes()[0]
}

const fn lengths() -> [Span; 29] {
    let mut spans = [Span { base: 0, extra_bits: 0 }; 29];
    let (mut index, mut base) = (0, 3);
    while index < 28 {
        let extra_bits = if index < 8 { 0 } else { low_byte(index / 4 - 1) };
        spans[index] = Span { base, extra_bits };
        base += 1 << extra_bits;
        index += 1;
    }
    // The longest match has a symbol of its own, which overlaps the one before it.
    spans[28] = Span { base: 258, extra_bits: 0 };
    spans
}

const fn distances() -> [Span; DISTANCE_SYMBOLS] {
    let mut spans = [Span { base: 0, extra_bits: 0 }; DISTANCE_SYMBOLS];
    let (mut symbol, mut base) = (0, 1);
    while symbol < DISTANCE_SYMBOLS {
        let extra_bits = if symbol < 4 { 0 } else { low_byte(symbol / 2 - 1) };
        spans[symbol] = Span { base, extra_bits };
        base += 1 << extra_bits;
        symbol += 1;
    }
    spans
}

const fn length_index() -> [u8; 256] {
    let mut indices = [0; 256];
    let mut index = 0;
    while index < 29 {
        let first = LENGTHS[index].base as usize - LENGTH_MIN;
        let mut at = first;
        while at < first + (1 << LENGTHS[index].extra_bits) && at < 256 {
            indices[at] = low_byte(index);
            at += 1;
        }
        index += 1;
    }
    indices
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against rows copied out of the two tables of the RFC.
    #[test]
    fn spans_are_those_of_the_rfc() {
        for (symbol, base, extra_bits) in [
            (257, 3, 0),
            (264, 10, 0),
            (265, 11, 1),
            (272, 31, 2),
            (280, 115, 4),
            (284, 227, 5),
            (285, 258, 0),
        ] {
            assert_eq!(LENGTHS[symbol - FIRST_LENGTH], Span { base, extra_bits }, "length symbol {symbol}");
        }
        for (symbol, base, extra_bits) in
            [(0, 1, 0), (3, 4, 0), (4, 5, 1), (9, 25, 3), (23, 3073, 10), (24, 4097, 11), (29, 24577, 13)]
        {
            assert_eq!(DISTANCES[symbol], Span { base, extra_bits }, "distance symbol {symbol}");
        }
    }

    #[test]
    fn every_length_and_distance_falls_in_its_symbols_span() {
        let holds = |span: Span, value: usize| {
            let base = usize::from(span.base);
            (base..base + (1 << span.extra_bits)).contains(&value)
        };
        for length in LENGTH_MIN..=LENGTH_MAX {
            assert!(holds(LENGTHS[length_index_of(length)], length), "length {length}");
        }
        assert_eq!(length_index_of(258), 28, "258 has its own symbol");
        for distance in 1..=32768 {
            assert!(holds(DISTANCES[distance_symbol_of(distance)], distance), "distance {distance}");
        }
    }
}
