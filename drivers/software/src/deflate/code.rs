//! Huffman codes of deflate (RFC 1951, section 3.2.2): codewords follow from their lengths.

/// Longest codeword.
const CODEWORD_BITS_MAX: usize = 15;
const SYMBOLS_MAX: usize = 288;

/// A code, by the lengths of its codewords.
#[derive(Clone, Debug)]
pub(super) struct Code {
    /// How many codewords have each length.
    counts: [u16; CODEWORD_BITS_MAX + 1],
    /// Symbols in the order of their codewords.
    symbols: [u16; SYMBOLS_MAX],
}

/// What a symbol is, as far as it matters to what comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Literal,
    EndOfBlock,
    /// So many more bits belong to it, and a distance follows.
    Length(u32),
    /// So many more bits belong to it.
    Distance(u32),
}

impl Kind {
    pub(super) fn of_litlen(symbol: u16) -> Self {
        match symbol {
            0..256 => Self::Literal,
            256 => Self::EndOfBlock,
            265..285 => Self::Length(u32::from((symbol - 261) / 4)),
            _ => Self::Length(0),
        }
    }

    pub(super) fn of_distance(symbol: u16) -> Self {
        Self::Distance(u32::from(symbol.saturating_sub(2) / 2))
    }

    pub(super) const fn extra_bits(self) -> u32 {
        match self {
            Self::Literal | Self::EndOfBlock => 0,
            Self::Length(bits) | Self::Distance(bits) => bits,
        }
    }

    /// Whether a distance follows. None: nothing does.
    pub(super) const fn next(self) -> Option<bool> {
        match self {
            Self::EndOfBlock => None,
            Self::Literal | Self::Distance(_) => Some(false),
            Self::Length(_) => Some(true),
        }
    }
}

impl Code {
    /// A code without codewords.
    pub(super) const fn new() -> Self {
        Self { counts: [0; CODEWORD_BITS_MAX + 1], symbols: [0; SYMBOLS_MAX] }
    }

    /// The code whose codewords have `lens` bits, 0 for none. None: there are not as many codewords. Some may be left over.
    pub(super) fn set(&mut self, lens: &[u8]) -> Option<()> {
        self.counts = [0; CODEWORD_BITS_MAX + 1];
        for len in lens {
            *self.counts.get_mut(usize::from(*len))? += 1;
        }
        self.counts[0] = 0;
        let mut room = 1_i32;
        let mut places = [0_u16; CODEWORD_BITS_MAX + 2];
        for (len, count) in self.counts.iter().enumerate().skip(1) {
            room = 2 * room - i32::from(*count);
            if room < 0 {
                return None;
            }
            places[len + 1] = places[len] + count;
        }
        for (symbol, len) in (0..).zip(lens).filter(|(_, len)| **len > 0) {
            let place = &mut places[usize::from(*len)];
            *self.symbols.get_mut(usize::from(*place))? = symbol;
            *place += 1;
        }
        Some(())
    }

    /// The symbol that `bits` begin with, and how many of them are its codeword. None: there is no such codeword.
    pub(super) fn decode(&self, bits: u64) -> Option<(u16, u32)> {
        let (mut codeword, mut first, mut place) = (0_u32, 0_u32, 0_u32);
        for (len, count) in (1_u32..).zip(&self.counts[1..]) {
            codeword = codeword << 1 | u32::from(bits >> (len - 1) & 1 == 1);
            first <<= 1;
            let count = u32::from(*count);
            if codeword - first < count {
                let place = usize::try_from(place + codeword - first).ok()?;
                return Some((*self.symbols.get(place)?, len));
            }
            (first, place) = (first + count, place + count);
        }
        None
    }

    /// Calls `found` with each codeword of `bits_max` bits at most, the first bit lowest, its length and its symbol.
    pub(super) fn each(&self, bits_max: u32, mut found: impl FnMut(usize, u32, u16)) {
        let mut symbols = self.symbols.iter();
        let mut codeword = 0_u32;
        for (len, count) in (1..=bits_max).zip(&self.counts[1..]) {
            codeword <<= 1;
            for symbol in symbols.by_ref().take(usize::from(*count)) {
                found((codeword.reverse_bits() >> (32 - len)) as usize, len, *symbol);
                codeword += 1;
            }
        }
    }
}
