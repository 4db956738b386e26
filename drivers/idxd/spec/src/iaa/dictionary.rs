//! The dictionary of a compression: its text, and the hash tables a device would have made of it.
//!
//! The specification says that the tables are there and how large they are, not what is in them (IAA §3.4.4). That is taken
//! from the vendor's public library: three bytes are hashed to ten bits; an entry has the last two or four places with its
//! hash, and with each place four bits made of the two bytes behind the three. Never run on hardware.

use core::ops::Range;

use super::CompressAecs;

/// Entries of a hash table.
const ENTRIES: usize = 1024;
/// x^10 + x^3 + 1: three bytes are hashed to their remainder, as a polynomial of 24 bits.
const POLYNOMIAL: u32 = 0x409;
const HASH_BITS: u32 = 10;
/// Bytes that are hashed.
const KEY: usize = 3;
const POINTERS_MAX: usize = 4;

/// How much of a dictionary there is, and how many places an entry of its hash table has.
///
/// Source: IAA tables 3-5 and 6-4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DictionaryStyle {
    /// 2 KiB of text, two places.
    Short,
    /// 4 KiB of text, two places.
    Long,
    /// 4 KiB of text, four places.
    LongDeep,
}

impl DictionaryStyle {
    /// Bytes of the text: of a longer one, its last; before a shorter one there are zeros.
    #[must_use]
    pub const fn text_bytes(self) -> usize {
        match self {
            Self::Short => 2048,
            Self::Long | Self::LongDeep => 4096,
        }
    }

    /// Places of an entry.
    #[must_use]
    pub const fn pointers(self) -> usize {
        match self {
            Self::Short | Self::Long => 2,
            Self::LongDeep => POINTERS_MAX,
        }
    }

    /// Bytes of text and tables. (Table 3-5 has other totals; those of table 6-4 are these.)
    #[must_use]
    pub const fn bytes(self) -> usize {
        self.text_bytes() + ENTRIES * 2 * self.pointers()
    }

    /// Bytes of an AECS with it, which is the size of source 2 (table 6-4).
    #[must_use]
    pub const fn aecs_bytes(self) -> usize {
        CompressAecs::SIZE + self.bytes()
    }

    /// The value of [`CompressFlags::dictionary`](super::CompressFlags::dictionary).
    #[must_use]
    pub const fn bits(self) -> u16 {
        match self {
            Self::Short => 1,
            Self::Long => 2,
            Self::LongDeep => 3,
        }
    }

    /// The style of a value of [`CompressFlags::dictionary`](super::CompressFlags::dictionary); none for 0.
    #[must_use]
    pub const fn from_bits(bits: u16) -> Option<Self> {
        match bits & 3 {
            1 => Some(Self::Short),
            2 => Some(Self::Long),
            3 => Some(Self::LongDeep),
            _ => None,
        }
    }

    /// Where in the dictionary's bytes the text is.
    #[must_use]
    pub const fn text(self) -> Range<usize> {
        0..self.text_bytes()
    }

    /// Writes a dictionary of `text`: the bytes that follow the first [`CompressAecs::SIZE`] of an AECS.
    ///
    /// # Panics
    ///
    /// If `out` does not have [`bytes`](Self::bytes).
    pub fn write(self, text: &[u8], out: &mut [u8]) {
        assert!(out.len() == self.bytes(), "{} bytes for a dictionary of {}", out.len(), self.bytes());
        let text = &text[text.len().saturating_sub(self.text_bytes())..];
        let start = self.text_bytes() - text.len();
        let (room, tables) = out.split_at_mut(self.text_bytes());
        room[..start].fill(0);
        room[start..].copy_from_slice(text);
        let mut entries = [[0_u16; POINTERS_MAX]; ENTRIES];
        for (at, key) in text.windows(KEY).enumerate() {
            let entry = &mut entries[hash([key[0], key[1], key[2]])];
            entry.rotate_right(1);
            let behind = text.get(at + KEY..at + KEY + 2);
            // A text has at most 4096 bytes: the place takes twelve bits.
            let place = u16::try_from(start + at).unwrap_or(0) << 4;
            entry[0] = place | behind.map_or(0, |bytes| u16::from(tag([bytes[0], bytes[1]])));
        }
        let entry_bytes = 2 * self.pointers();
        for (entry, bytes) in entries.iter().zip(tables.chunks_exact_mut(entry_bytes)) {
            bytes.copy_from_slice(&self.packed(entry).to_le_bytes()[..entry_bytes]);
        }
    }

    /// An entry: tags in its lowest bits, places of twelve bits behind them, the latest lowest.
    fn packed(self, entry: &[u16; POINTERS_MAX]) -> u64 {
        let pointers = self.pointers();
        let places = entry[..pointers].iter().rev().fold(0, |word, one| word << 12 | u64::from(one >> 4));
        let tags = entry[..pointers].iter().rev().fold(0, |word, one| word << 4 | u64::from(one & 0xf));
        places << (4 * pointers) | tags
    }

    /// The places in the text that the tables of `dictionary` name for keys that hash as those three bytes do, the latest
    /// first. What was never filled in is place 0.
    pub fn places(self, dictionary: &[u8], key: [u8; KEY]) -> impl Iterator<Item = usize> + use<> {
        let entry_bytes = 2 * self.pointers();
        let from = self.text_bytes() + hash(key) * entry_bytes;
        let mut word = [0; 8];
        if let Some(bytes) = dictionary.get(from..from + entry_bytes) {
            word[..entry_bytes].copy_from_slice(bytes);
        }
        let places = u64::from_le_bytes(word) >> (4 * self.pointers());
        let place = move |index: usize| usize::try_from(places >> (12 * index) & 0xfff).unwrap_or(0);
        (0..self.pointers()).map(place)
    }
}

/// The remainder of three bytes, the first one lowest.
fn hash([a, b, c]: [u8; KEY]) -> usize {
    let mut rest = u32::from_le_bytes([a, b, c, 0]);
    for bit in (HASH_BITS..24).rev() {
        if rest >> bit & 1 != 0 {
            rest ^= POLYNOMIAL << (bit - HASH_BITS);
        }
    }
    rest as usize
}

/// Four bits of the two bytes behind a key: a sum of all of them without carry, and two of the second.
fn tag(behind: [u8; 2]) -> u8 {
    let word = u16::from_le_bytes(behind);
    let word = word ^ word >> 4;
    let word = word ^ word >> 2;
    ((word & 3) | (word & 0x300) >> 6).to_le_bytes()[0]
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec;
    use std::vec::Vec;

    use super::{DictionaryStyle, hash, tag};

    const STYLES: [DictionaryStyle; 3] =
        [DictionaryStyle::Short, DictionaryStyle::Long, DictionaryStyle::LongDeep];

    /// Table 6-4.
    #[test]
    fn an_aecs_has_the_size_of_its_style() {
        let sizes = STYLES.map(|style| (style.bits(), style.aecs_bytes()));
        assert_eq!(sizes, [(1, 7712), (2, 9760), (3, 13856)]);
        assert!(STYLES.iter().all(|style| DictionaryStyle::from_bits(style.bits()) == Some(*style)));
        assert_eq!(DictionaryStyle::from_bits(0), None);
    }

    /// Powers of x, reduced by hand: what single bits of a key hash to.
    #[test]
    fn single_bits_hash_to_powers_of_x() {
        let of_bit = |bit: u32| {
            let [a, b, c, _] = (1_u32 << bit).to_le_bytes();
            hash([a, b, c])
        };
        let expected =
            [(0, 0x001), (9, 0x200), (10, 0x009), (16, 0x240), (17, 0x089), (20, 0x041), (23, 0x208)];
        for (bit, value) in expected {
            assert_eq!(of_bit(bit), value, "bit {bit}");
        }
        assert_eq!(hash([0xff, 0, 0]), 0xff);
    }

    #[test]
    fn a_tag_has_two_bits_of_each_sum() {
        assert_eq!(tag([0, 0]), 0);
        assert_eq!(tag([1, 0]), 1);
        assert_eq!(tag([0x10, 0]), 1);
        assert_eq!(tag([0, 1]), 4, "bit 8 stays, and its shifts leave the lowest bits alone");
        assert_eq!(tag([0x40, 0]), 1, "by two, then by four");
    }

    #[test]
    fn the_latest_places_come_first() {
        let mut text = vec![0; 4096];
        for (turn, at) in [(0, 100), (1, 200), (2, 300), (3, 400), (4, 500)] {
            text[at..at + 5].copy_from_slice(&[7, 8, 9, turn, 1]);
        }
        for (style, expected) in [
            (DictionaryStyle::Long, &[500, 400][..]),
            (DictionaryStyle::LongDeep, &[500, 400, 300, 200]),
            (DictionaryStyle::Short, &[0, 0]),
        ] {
            let mut out = vec![0xee; style.bytes()];
            style.write(&text, &mut out);
            let places: Vec<usize> = style.places(&out, [7, 8, 9]).collect();
            assert_eq!(places, expected, "{style:?}");
            assert_eq!(out[style.text()], text[4096 - style.text_bytes()..]);
        }
    }

    /// An entry of two: tags in bits 7:0, places in bits 31:8; of four: tags in bits 15:0.
    #[test]
    fn entries_lie_as_the_library_has_them() {
        let mut text = vec![0; 2048];
        text[0x123..0x128].copy_from_slice(&[1, 2, 3, 1, 0]);
        text[0x456..0x45b].copy_from_slice(&[1, 2, 3, 2, 0]);
        let mut out = vec![0; DictionaryStyle::Short.bytes()];
        DictionaryStyle::Short.write(&text, &mut out);
        let at = 2048 + 4 * hash([1, 2, 3]);
        let word = u32::from_le_bytes([out[at], out[at + 1], out[at + 2], out[at + 3]]);
        assert_eq!(word, 0x1234_5612);
    }

    #[test]
    fn a_short_text_lies_at_the_end_with_zeros_before_it() {
        let mut out = vec![0xee; DictionaryStyle::Short.bytes()];
        DictionaryStyle::Short.write(b"abcdef", &mut out);
        assert_eq!(&out[2042..2048], b"abcdef");
        assert!(out[..2042].iter().all(|byte| *byte == 0));
        let places: Vec<usize> = DictionaryStyle::Short.places(&out, *b"bcd").collect();
        assert_eq!(places, [2043, 0]);
    }
}
