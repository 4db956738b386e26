//! The Huffman tables a compression uses, as the AECS brings them.

use super::alphabet::{DISTANCE_SYMBOLS, LITERAL_LENGTH_SYMBOLS};

/// One Huffman code of the compress AECS.
///
/// The bits are in the order of RFC 1951's tables: the first bit of the code is the most significant of its
/// `len` bits. Length 0 means that the symbol has no code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Code {
    bits: u16,
    len: u8,
}

impl Code {
    /// A code of `len` bits, 0 to 15; bits of `bits` above them are dropped, as is what `len` has above 4 bits.
    #[must_use]
    pub const fn new(bits: u16, len: u8) -> Self {
        let len = len & 0xf;
        Self { bits: bits & ((1 << len) - 1), len }
    }

    /// The code in a dword of the AECS: bits in 14:0, length in 18:15 (IAA table 6-21). Ignores the rest.
    #[must_use]
    pub const fn from_dword(dword: u32) -> Self {
        Self::new((dword & 0x7fff) as u16, ((dword >> 15) & 0xf) as u8)
    }

    /// Length in bits, 0 to 15.
    #[must_use]
    pub const fn len(self) -> u8 {
        self.len
    }

    /// Whether the symbol has no code.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.len == 0
    }

    /// The code as it is written to a stream, first bit lowest.
    pub(super) const fn stream_bits(self) -> u32 {
        if self.len == 0 { 0 } else { (self.bits.reverse_bits() >> (16 - self.len)) as u32 }
    }
}

/// The codes of both alphabets, by symbol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tables {
    /// Literals 0 to 255, end of block 256, lengths 257 to 285.
    pub literal_length: [Code; LITERAL_LENGTH_SYMBOLS],
    /// Distances; the device uses no symbol above 23, which ends at 4096 bytes.
    pub distance: [Code; DISTANCE_SYMBOLS],
}

#[cfg(test)]
impl Tables {
    /// The tables of a block with fixed codes (RFC 1951 §3.2.6).
    pub(super) fn fixed() -> Self {
        let mut lengths = [8; 288];
        lengths[144..256].fill(9);
        lengths[256..280].fill(7);
        Self::canonical(&lengths, &[5; 32])
    }

    /// The tables whose codes have these lengths (RFC 1951 §3.2.2). Symbols past the alphabets take code space
    /// and are dropped.
    pub(super) fn canonical(literal_lengths: &[u8], distance_lengths: &[u8]) -> Self {
        let mut tables = Self {
            literal_length: [Code::default(); LITERAL_LENGTH_SYMBOLS],
            distance: [Code::default(); 30],
        };
        assign(&mut tables.literal_length, literal_lengths);
        assign(&mut tables.distance, distance_lengths);
        tables
    }
}

#[cfg(test)]
fn assign(codes: &mut [Code], lengths: &[u8]) {
    let mut next = 0;
    for len in 1..=15 {
        next <<= 1;
        for symbol in (0..lengths.len()).filter(|&symbol| lengths[symbol] == len) {
            if let Some(code) = codes.get_mut(symbol) {
                *code = Code::new(next, len);
            }
            next += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dword_splits_into_code_and_length() {
        assert_eq!(Code::from_dword(0x0004_0030), Code::new(0x30, 8));
        assert_eq!(Code::from_dword(0xfff8_0000 | (15 << 15) | 0x7fff), Code::new(0x7fff, 15));
        assert_eq!(Code::from_dword(0x7fff), Code::new(0, 0));
    }

    /// Against the ranges the RFC prints.
    #[test]
    fn fixed_codes_are_those_of_the_rfc() {
        let fixed = Tables::fixed();
        for (symbol, bits, len) in [
            (0, 0b0011_0000, 8),
            (143, 0b1011_1111, 8),
            (144, 0b1_1001_0000, 9),
            (255, 0b1_1111_1111, 9),
            (256, 0, 7),
            (279, 0b001_0111, 7),
            (280, 0b1100_0000, 8),
        ] {
            assert_eq!(fixed.literal_length[symbol], Code::new(bits, len), "symbol {symbol}");
        }
        assert_eq!(fixed.distance[29], Code::new(29, 5));
    }

    #[test]
    fn the_first_bit_of_a_code_is_written_first() {
        assert_eq!(Code::new(0b1100, 4).stream_bits(), 0b0011);
        assert_eq!(Code::new(1, 15).stream_bits(), 1 << 14);
        assert_eq!(Code::default().stream_bits(), 0);
    }
}
