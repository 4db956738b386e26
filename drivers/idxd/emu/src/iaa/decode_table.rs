//! Tables that turn the next bits of a stream into a symbol's meaning.
//!
//! A root table is indexed by the next bits; an entry is either a symbol, or leads to a second table for the
//! codes longer than that. Every index has an entry, so a lookup cannot fail: bits that are no code have an
//! entry that says so.

/// What the bits that were looked up are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry(u32);

/// The bits of [`Entry`]: 4:0 code bits, 11:8 extra bits, 12 to 15 what it is, 31:16 its value.
impl Entry {
    const LITERAL: u32 = 1 << 15;
    const SPECIAL: u32 = 1 << 14;
    const END_OF_BLOCK: u32 = 1 << 13;
    const SUBTABLE: u32 = 1 << 12;

    /// A literal byte, or a code length symbol.
    pub(super) const fn literal(value: u8) -> Self {
        Self((value as u32) << 16 | Self::LITERAL)
    }

    /// A length or a distance: a base and how many bits follow.
    pub(super) const fn base(base: u16, extra_bits: u8) -> Self {
        Self((base as u32) << 16 | ((extra_bits & 0xf) as u32) << 8)
    }

    /// Leads to the second table that begins at `at`, which is below 65536: there are at most 143 second tables
    /// of at most 256 entries, two codes or more in each.
    const fn subtable(at: usize) -> Self {
        let [low, high, ..] = at.to_le_bytes();
        Self((u16::from_le_bytes([low, high]) as u32) << 16 | Self::SPECIAL | Self::SUBTABLE)
    }

    pub(super) const END: Self = Self(Self::SPECIAL | Self::END_OF_BLOCK);
    pub(super) const INVALID: Self = Self(Self::SPECIAL);

    #[inline]
    pub(super) const fn code_bits(self) -> u32 {
        self.0 & 0x1f
    }

    #[inline]
    pub(super) const fn extra_bits(self) -> u32 {
        (self.0 >> 8) & 0xf
    }

    /// The byte of a literal.
    #[inline]
    pub(super) const fn byte(self) -> u8 {
        ((self.0 >> 16) & 0xff) as u8
    }

    #[inline]
    pub(super) const fn value(self) -> usize {
        (self.0 >> 16) as usize
    }

    #[inline]
    pub(super) const fn is_literal(self) -> bool {
        self.0 & Self::LITERAL != 0
    }

    /// Neither a literal nor a base.
    #[inline]
    pub(super) const fn is_special(self) -> bool {
        self.0 & Self::SPECIAL != 0
    }

    #[inline]
    pub(super) const fn is_end_of_block(self) -> bool {
        self.0 & Self::END_OF_BLOCK != 0
    }

    #[inline]
    const fn is_subtable(self) -> bool {
        self.0 & Self::SUBTABLE != 0
    }

    const fn with_code_bits(self, code_bits: u8) -> Self {
        Self(self.0 & !0x1f | (code_bits & 0x1f) as u32)
    }
}

/// Code lengths that are no prefix code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BadLengths {
    /// More codes than there are bits for.
    Oversubscribed,
    /// Bits that no code begins with, other than in the one case deflate has a use for.
    Incomplete,
}

/// The codes of such lengths.
struct Counted {
    /// The first code of each length.
    starts: [u16; 16],
    /// The longest length in use.
    longest: u32,
    /// Every bit is the beginning of a code.
    is_complete: bool,
}

/// A table with a root of `ROOT_BITS` bits.
#[derive(Clone)]
pub(super) struct DecodeTable<const ROOT_BITS: u32> {
    entries: Vec<Entry>,
    /// Bits that index a second table: the longest code less the root.
    subtable_bits: u32,
}

impl<const ROOT_BITS: u32> DecodeTable<ROOT_BITS> {
    const ROOT_MASK: usize = (1 << ROOT_BITS) - 1;

    pub(super) fn new() -> Self {
        Self { entries: vec![Entry::INVALID.with_code_bits(1); 1 << ROOT_BITS], subtable_bits: 0 }
    }

    /// Makes this the table of the codes with `lengths` bits, 0 to 15, where `meaning` says what a symbol is.
    ///
    /// No code at all is taken, since a block of literals needs no distances; then every bit is an invalid code.
    /// A single code of one bit is taken too, and the other bit is invalid. Nothing else may be incomplete; the table is
    /// made all the same, with what no code begins with as invalid.
    pub(super) fn build(
        &mut self,
        lengths: &[u8],
        meaning: impl Fn(usize) -> Entry,
    ) -> Result<(), BadLengths> {
        let Counted { starts, longest, is_complete } = Self::count(lengths)?;
        self.entries.clear();
        self.entries.resize(1 << ROOT_BITS, Entry::INVALID.with_code_bits(1));
        self.subtable_bits = longest.saturating_sub(ROOT_BITS);
        let mut next = starts;
        for (symbol, &length) in lengths.iter().enumerate().filter(|&(_, &length)| length != 0) {
            let code = next[usize::from(length)];
            next[usize::from(length)] += 1;
            let stream_bits = usize::from(code.reverse_bits() >> (16 - length));
            self.set(stream_bits, length, meaning(symbol).with_code_bits(length));
        }
        if is_complete || longest <= 1 { Ok(()) } else { Err(BadLengths::Incomplete) }
    }

    fn count(lengths: &[u8]) -> Result<Counted, BadLengths> {
        let mut counts = [0u16; 16];
        for &length in lengths {
            counts[usize::from(length & 0xf)] += 1;
        }
        counts[0] = 0;
        let mut starts = [0u16; 16];
        // Codes of the present length that are not taken by shorter ones or by its own.
        let mut free: u32 = 1;
        let mut longest = 0;
        let mut start = 0u16;
        for (length, (&count, start_of)) in (0u32..).zip(counts.iter().zip(&mut starts)).skip(1) {
            *start_of = start;
            start = start.wrapping_add(count).wrapping_mul(2);
            free = (free * 2).checked_sub(count.into()).ok_or(BadLengths::Oversubscribed)?;
            if count > 0 {
                longest = length;
            }
        }
        Ok(Counted { starts, longest, is_complete: free == 0 })
    }

    fn set(&mut self, stream_bits: usize, length: u8, entry: Entry) {
        let length = u32::from(length);
        if length <= ROOT_BITS {
            let root = &mut self.entries[..1 << ROOT_BITS];
            root.iter_mut().skip(stream_bits).step_by(1 << length).for_each(|slot| *slot = entry);
            return;
        }
        let root = stream_bits & ((1 << ROOT_BITS) - 1);
        let subtable = if self.entries[root].is_subtable() {
            self.entries[root].value()
        } else {
            let at = self.entries.len();
            self.entries.resize(at + (1 << self.subtable_bits), Entry::INVALID.with_code_bits(15));
            self.entries[root] = Entry::subtable(at);
            at
        };
        let slots = &mut self.entries[subtable..subtable + (1 << self.subtable_bits)];
        let step = 1 << (length - ROOT_BITS);
        slots.iter_mut().skip(stream_bits >> ROOT_BITS).step_by(step).for_each(|slot| *slot = entry);
    }

    /// The entry of the code that `bits` begin with. Its `code_bits` may be more than the caller has.
    #[inline]
    pub(super) fn lookup(&self, bits: u64) -> Entry {
        // The mask keeps the index within the root.
        let entry = self.entries[(bits & 0xffff) as usize & Self::ROOT_MASK];
        if entry.is_subtable() { self.lookup_long(entry, bits) } else { entry }
    }

    #[inline]
    fn lookup_long(&self, entry: Entry, bits: u64) -> Entry {
        let index = (bits >> ROOT_BITS) & ((1 << self.subtable_bits) - 1);
        self.entries[entry.value() + (index & 0xffff) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(lengths: &[u8]) -> Result<DecodeTable<4>, BadLengths> {
        let mut table = DecodeTable::new();
        table.build(lengths, |symbol| Entry::literal(u8::try_from(symbol).unwrap()))?;
        Ok(table)
    }

    /// The example of RFC 1951 §3.2.2: symbols A to H with lengths 3, 3, 3, 3, 3, 2, 4, 4.
    #[test]
    fn codes_are_those_of_the_rfcs_example() {
        let table = table(&[3, 3, 3, 3, 3, 2, 4, 4]).unwrap();
        for (symbol, code) in ["010", "011", "100", "101", "110", "00", "1110", "1111"].iter().enumerate() {
            let bits = code.bytes().rev().fold(0, |bits, bit| bits << 1 | u64::from(bit == b'1'));
            let entry = table.lookup(bits | 0xffff_0000);
            assert_eq!((entry.value(), entry.code_bits() as usize), (symbol, code.len()), "{code}");
        }
    }

    /// One code of each length and two of the longest, so that most are behind the root.
    #[test]
    fn long_codes_are_found_behind_the_root() {
        let lengths = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 15];
        let table = table(&lengths).unwrap();
        for (symbol, length) in lengths.into_iter().enumerate() {
            // Code n is n ones and a zero, but for the last.
            let entry = table.lookup(if symbol == 15 { 0x7fff } else { (1 << symbol) - 1 });
            assert_eq!((entry.value(), entry.code_bits()), (symbol, length.into()));
        }
    }

    #[test]
    fn code_sets_that_are_no_prefix_code_are_refused() {
        assert_eq!(table(&[1, 1, 1]).err(), Some(BadLengths::Oversubscribed));
        assert_eq!(table(&[1, 2, 3, 3, 15]).err(), Some(BadLengths::Oversubscribed));
        assert_eq!(table(&[1, 2]).err(), Some(BadLengths::Incomplete));
        assert_eq!(table(&[2]).err(), Some(BadLengths::Incomplete));
        assert_eq!(table(&[1, 2, 3, 4, 0, 5]).err(), Some(BadLengths::Incomplete));
        let one_short: Vec<u8> = (1..=15).collect();
        assert_eq!(table(&one_short).err(), Some(BadLengths::Incomplete), "by a single code of 15 bits");
    }

    #[test]
    fn a_single_code_of_one_bit_leaves_the_other_bit_invalid() {
        let table = table(&[0, 0, 1]).unwrap();
        assert_eq!(table.lookup(0b10).value(), 2);
        assert!(table.lookup(0b01).is_special());
        assert_eq!(table.lookup(0b01).code_bits(), 1);
    }

    #[test]
    fn with_no_codes_every_bit_is_invalid() {
        let table = table(&[0; 30]).unwrap();
        assert!((0..16).all(|bits| table.lookup(bits).is_special() && !table.lookup(bits).is_end_of_block()));
    }
}
