//! Tables in which the bits of a stream are looked up (RFC 1951, section 3.2): what comes next, and how many bits that has.
//!
//! A code is refused where zlib refuses it: for more codewords than there are, and for fewer, unless it is a single one of one
//! bit, or none. What such a code leaves over, and the symbols that nobody defined, have entries that say so.

/// Bits of a literal or length that are looked up at once.
pub(super) const LITLEN_BITS: u32 = 11;
/// Bits of a distance that are.
pub(super) const DISTANCE_BITS: u32 = 8;
/// Bits of the code of lengths: its longest codeword.
pub(super) const LENS_BITS: u32 = 7;

/// Longest codeword.
const CODEWORD_BITS_MAX: usize = 15;
const LITLENS: usize = 288;
const DISTANCES: usize = 32;
/// Symbols of the code of lengths.
pub(super) const LENS: usize = 19;
/// With the tables behind the first: the most that so many codewords of 15 bits can need.
const LITLEN_ENTRIES: usize = 2342;
const DISTANCE_ENTRIES: usize = 402;

/// What the next bits are.
///
/// | bits | a literal | a length or distance | longer than what is looked up | anything else |
/// |---|---|---|---|---|
/// | 7:0 | bits of the codeword | bits, the extra ones among them | bits of this table | bits of the codeword |
/// | 11:8 | 0 | bits of the codeword | bits of the table behind | 0 |
/// | 15:12 | `LITERAL` | 0 | `OTHER`, `ELSEWHERE` | `OTHER`, and at the end of a block `END` |
/// | 31:16 | the byte | the least that it can be | where that table begins | 0 |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry(u32);

impl Entry {
    const LITERAL: u32 = 1 << 15;
    const OTHER: u32 = 1 << 14;
    const END: u32 = 1 << 13;
    const ELSEWHERE: u32 = 1 << 12;

    /// What nobody defined, with the bits of its codeword to come.
    const UNDEFINED: Self = Self(Self::OTHER);

    const fn literal(byte: u32) -> Self {
        Self(byte << 16 | Self::LITERAL)
    }

    /// What is at least `base`, and has more bits that say how much more.
    const fn range(base: u32, extra_bits: u32) -> Self {
        Self(base << 16 | extra_bits)
    }

    const fn elsewhere(start: u32, bits: u32, main_bits: u32) -> Self {
        Self(start << 16 | Self::OTHER | Self::ELSEWHERE | bits << 8 | main_bits)
    }

    /// The same, of a symbol whose codeword has so many bits.
    const fn with_codeword(self, bits: u32) -> Self {
        let is_range = self.0 & (Self::LITERAL | Self::OTHER) == 0;
        Self(self.0 + bits + if is_range { bits << 8 } else { 0 })
    }

    /// The bits to take off, the lowest eight; what is above them does not matter to a shift.
    #[inline(always)]
    pub(super) const fn shift(self) -> u32 {
        self.0
    }

    #[inline(always)]
    pub(super) const fn bits(self) -> u32 {
        self.0 & 0xff
    }

    /// The bits of the codeword, or of the table behind; in the lowest four.
    #[inline(always)]
    pub(super) const fn codeword_bits(self) -> u32 {
        self.0 >> 8
    }

    #[inline(always)]
    pub(super) const fn is_literal(self) -> bool {
        self.0 & Self::LITERAL != 0
    }

    /// Neither a literal, nor a length or distance.
    #[inline(always)]
    pub(super) const fn is_other(self) -> bool {
        self.0 & Self::OTHER != 0
    }

    #[inline(always)]
    pub(super) const fn is_end(self) -> bool {
        self.0 & Self::END != 0
    }

    #[inline(always)]
    pub(super) const fn is_elsewhere(self) -> bool {
        self.0 & Self::ELSEWHERE != 0
    }

    /// The byte, the least length or distance, or the symbol of the code of lengths.
    #[inline(always)]
    pub(super) const fn value(self) -> usize {
        (self.0 >> 16) as usize
    }

    /// The byte of a literal.
    #[inline(always)]
    pub(super) const fn byte(self) -> u8 {
        self.0.to_le_bytes()[2]
    }

    /// Where the entry for `word`, of which the bits of the first table are off, is behind it.
    #[inline(always)]
    pub(super) const fn index_behind(self, word: u64) -> usize {
        self.value() + low(word, self.codeword_bits() & 0xf)
    }

    /// The length or distance, whose bits are the first of `word`.
    #[inline(always)]
    pub(super) const fn ranged(self, word: u64) -> usize {
        let bits = word & !u64::MAX.wrapping_shl(self.shift());
        self.value() + whole(bits.wrapping_shr(self.codeword_bits()))
    }
}

/// The lowest bits of `word`.
#[inline(always)]
pub(super) const fn low(word: u64, bits: u32) -> usize {
    whole(word & !(u64::MAX << bits))
}

#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "a few bits of a word")]
const fn whole(value: u64) -> usize {
    value as usize
}

/// What the symbols are.
const fn litlens() -> [Entry; LITLENS] {
    let mut entries = [Entry::UNDEFINED; LITLENS];
    let mut symbol = 0;
    while symbol < 256 {
        entries[symbol as usize] = Entry::literal(symbol);
        symbol += 1;
    }
    entries[256] = Entry(Entry::OTHER | Entry::END);
    let (mut base, mut symbol) = (3, 257);
    while symbol < 285 {
        let extra_bits = if symbol < 265 { 0 } else { (symbol - 261) / 4 };
        entries[symbol as usize] = Entry::range(base, extra_bits);
        base += 1 << extra_bits;
        symbol += 1;
    }
    entries[285] = Entry::range(258, 0);
    entries
}

const fn distances() -> [Entry; DISTANCES] {
    let mut entries = [Entry::UNDEFINED; DISTANCES];
    let (mut base, mut symbol) = (1, 0);
    while symbol < 30 {
        let extra_bits = if symbol < 4 { 0 } else { (symbol - 2) / 2 };
        entries[symbol as usize] = Entry::range(base, extra_bits);
        base += 1 << extra_bits;
        symbol += 1;
    }
    entries
}

const fn lens() -> [Entry; LENS] {
    let mut entries = [Entry::UNDEFINED; LENS];
    let mut symbol = 0;
    while (symbol as usize) < LENS {
        entries[symbol as usize] = Entry::range(symbol, 0);
        symbol += 1;
    }
    entries
}

static OF_LITLENS: [Entry; LITLENS] = litlens();
static OF_DISTANCES: [Entry; DISTANCES] = distances();
static OF_LENS: [Entry; LENS] = lens();

/// The tables of a block.
#[derive(Clone)]
pub(super) struct Tables {
    pub(super) litlen: [Entry; LITLEN_ENTRIES],
    pub(super) distance: [Entry; DISTANCE_ENTRIES],
    lens: [Entry; 1 << LENS_BITS],
    /// The codes are those that need no description.
    is_fixed: bool,
}

impl Tables {
    pub(super) const fn new() -> Self {
        Self {
            litlen: [Entry::UNDEFINED; LITLEN_ENTRIES],
            distance: [Entry::UNDEFINED; DISTANCE_ENTRIES],
            lens: [Entry::UNDEFINED; 1 << LENS_BITS],
            is_fixed: false,
        }
    }

    /// Sets the codes that need no description.
    pub(super) fn set_fixed(&mut self) -> Option<()> {
        if !self.is_fixed {
            let mut lens = [8; LITLENS];
            lens[144..256].fill(9);
            lens[256..280].fill(7);
            self.set(&lens, &[5; DISTANCES])?;
            self.is_fixed = true;
        }
        Some(())
    }

    /// Sets the code of lengths. None: it is not complete.
    pub(super) fn set_lens(&mut self, lens: &[u8]) -> Option<()> {
        fill(&mut self.lens, LENS_BITS, lens, &OF_LENS, false)
    }

    /// Sets both codes. None: one of them is none.
    pub(super) fn set(&mut self, litlens: &[u8], distances: &[u8]) -> Option<()> {
        self.is_fixed = false;
        fill(&mut self.litlen, LITLEN_BITS, litlens, &OF_LITLENS, true)?;
        fill(&mut self.distance, DISTANCE_BITS, distances, &OF_DISTANCES, true)
    }

    /// What `word` begins with, by the code of lengths.
    pub(super) fn len(&self, word: u64) -> Entry {
        self.lens[low(word, LENS_BITS)]
    }

    /// The literal or length that `word` begins with, and all its bits.
    pub(super) fn litlen_at(&self, word: u64) -> (Entry, u32) {
        look_up(&self.litlen, LITLEN_BITS, word)
    }

    /// The distance that `word` begins with, and all its bits.
    pub(super) fn distance_at(&self, word: u64) -> (Entry, u32) {
        look_up(&self.distance, DISTANCE_BITS, word)
    }
}

fn look_up(table: &[Entry], main_bits: u32, word: u64) -> (Entry, u32) {
    let entry = table[low(word, main_bits)];
    if !entry.is_elsewhere() {
        return (entry, entry.bits());
    }
    let entry = table[entry.index_behind(word >> main_bits)];
    (entry, main_bits + entry.bits())
}

/// How many codewords of each length there are.
struct Counts {
    of_len: [u32; CODEWORD_BITS_MAX + 1],
    all: u32,
    is_complete: bool,
}

impl Counts {
    /// None: there are no so many codewords.
    fn of(lens: &[u8]) -> Option<Self> {
        let mut of_len = [0_u32; CODEWORD_BITS_MAX + 1];
        for len in lens {
            *of_len.get_mut(usize::from(*len))? += 1;
        }
        of_len[0] = 0;
        let (mut room, mut all) = (1_u32, 0);
        for count in &of_len[1..] {
            room = (2 * room).checked_sub(*count)?;
            all += count;
        }
        Some(Self { of_len, all, is_complete: room == 0 })
    }

    /// Symbols in the order of their codewords.
    fn sorted(&self, lens: &[u8]) -> [u16; LITLENS] {
        let mut places = [0_usize; CODEWORD_BITS_MAX + 2];
        for (len, count) in self.of_len.iter().enumerate() {
            places[len + 1] = places[len] + *count as usize;
        }
        let mut sorted = [0; LITLENS];
        for (symbol, len) in (0..).zip(lens).filter(|(_, len)| **len > 0) {
            let place = &mut places[usize::from(*len)];
            sorted[*place] = symbol;
            *place += 1;
        }
        sorted
    }
}

/// Fills `table`, in which `main_bits` are looked up first, for the code whose codewords have `lens` bits. None: it is no code,
/// or lacks codewords where none may be lacking.
fn fill(table: &mut [Entry], main_bits: u32, lens: &[u8], symbols: &[Entry], may_lack: bool) -> Option<()> {
    let counts = Counts::of(lens)?;
    let main = 1 << main_bits;
    if !counts.is_complete {
        if !may_lack || counts.all > 1 || counts.of_len[1] != counts.all {
            return None;
        }
        fill_with_one(&mut table[..main], lens, symbols);
        return Some(());
    }
    let sorted = counts.sorted(lens);
    let mut sorted = &sorted[..counts.all as usize];
    // The next codeword, its first bit lowest, and the entries there are: each holds whatever its next bit is.
    let (mut codeword, mut filled) = (0, 1);
    for (len, count) in (1..=main_bits).zip(&counts.of_len[1..]) {
        table.copy_within(..filled, filled);
        filled *= 2;
        let (of_len, longer) = sorted.split_at(*count as usize);
        sorted = longer;
        for symbol in of_len {
            table[codeword] = symbols[usize::from(*symbol)].with_codeword(len);
            codeword = after(codeword, len);
        }
    }
    let longer = sorted.iter().map(|symbol| symbols[usize::from(*symbol)]);
    fill_behind(table, main_bits, &counts, codeword, longer)
}

/// A code without codewords, or with one of a single bit.
fn fill_with_one(main: &mut [Entry], lens: &[u8], symbols: &[Entry]) {
    main.fill(Entry::UNDEFINED.with_codeword(1));
    if let Some(symbol) = lens.iter().position(|len| *len == 1) {
        let entry = symbols[symbol].with_codeword(1);
        main.iter_mut().step_by(2).for_each(|place| *place = entry);
    }
}

/// Fills the tables for codewords that are longer than what is looked up first: one for each beginning.
fn fill_behind(
    table: &mut [Entry],
    main_bits: u32,
    counts: &Counts,
    mut codeword: usize,
    mut symbols: impl Iterator<Item = Entry>,
) -> Option<()> {
    let main = 1_usize << main_bits;
    let (mut beginning, mut start, mut end) = (main, main, main);
    for len in main_bits + 1.. {
        let Some(count) = counts.of_len.get(len as usize) else { return Some(()) };
        for nth in 0..*count {
            let symbol = symbols.next()?;
            if codeword % main != beginning {
                beginning = codeword % main;
                let bits = bits_behind(counts, main_bits, len, count - nth);
                (start, end) = (end, end + (1 << bits));
                table[beginning] = Entry::elsewhere(u32::try_from(start).ok()?, bits, main_bits);
            }
            let entry = symbol.with_codeword(len - main_bits);
            let places = table.get_mut(start + codeword / main..end)?;
            places.iter_mut().step_by(1 << (len - main_bits)).for_each(|place| *place = entry);
            codeword = after(codeword, len);
        }
    }
    Some(())
}

/// How many bits the codewords from one of `len` bits on have, behind those that they have in common, if `left` more have that
/// length.
fn bits_behind(counts: &Counts, main_bits: u32, len: u32, left: u32) -> u32 {
    let mut bits = len - main_bits;
    let mut taken = left;
    while taken < 1 << bits {
        let Some(count) = counts.of_len.get((main_bits + bits + 1) as usize) else { break };
        bits += 1;
        taken = 2 * taken + count;
    }
    bits
}

/// The codeword behind one of `len` bits, both with their first bit lowest. The last one has none behind it.
fn after(codeword: usize, len: u32) -> usize {
    let zeros = !codeword & ((1 << len) - 1);
    let Some(lowest) = zeros.checked_ilog2() else { return codeword };
    codeword & ((1 << lowest) - 1) | 1 << lowest
}
