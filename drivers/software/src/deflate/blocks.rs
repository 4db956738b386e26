//! Where the last block of a deflate stream begins: what has to be known to write on behind it.
//!
//! A stream says nowhere where its blocks are, so all of it is walked through. What its symbols mean does not matter for
//! that, only how many bits they have; so a look into a table takes off as many symbols as the looked-up bits hold, whatever
//! they are, and says whether a distance or another symbol follows. Long blocks are walked through in several places at once
//! ([`race`]).
//!
//! Made for streams of our own compressor: a stream that no decoder would accept may be walked through as well. None is
//! walked out of.

mod race;

use super::code::{Code, Kind};
use race::{Cursor, Went};

/// Bits that are looked up at once.
const LOOKED_UP: u32 = 11;
const ENTRIES: usize = 1 << LOOKED_UP;
/// Symbols that a step takes off at most. More make the table dearer than they save.
const MERGED: usize = 2;
/// The order in which the lengths of the code of lengths come (RFC 1951, section 3.2.7).
const ORDER: [u8; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
const LITLEN_MAX: usize = 288;
const DISTANCE_MAX: usize = 32;

/// The last block of a stream, in bits from the stream's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LastBlock {
    /// Its first bit, which says that it is the last.
    pub(super) begin: u64,
    /// Its end. What is left of the byte is padding.
    pub(super) end: u64,
}

/// Walks through streams.
#[derive(Clone, Debug)]
pub(super) struct Blocks {
    litlen: Code,
    distance: Code,
    /// What to do with the next bits: first where a literal or length is next, then where a distance is.
    steps: Box<[Step; 2 * ENTRIES]>,
}

/// Bits to take off, in the lowest five, and where in the table to look next, which is a multiple of 32. No bits: look closer,
/// and in the same part of the table.
#[derive(Clone, Copy, Debug, Default)]
struct Step(u16);

impl Step {
    const CLOSER: Self = Self(0);

    #[expect(clippy::cast_possible_truncation, reason = "fewer than 32 bits, and an index into the table")]
    const fn new(bits: u32, next: usize) -> Self {
        Self(next as u16 | bits as u16)
    }

    const fn bits(self) -> u32 {
        self.0 as u32 % 32
    }

    const fn next(self) -> usize {
        self.0 as usize & ENTRIES
    }

    const fn is_closer(self) -> bool {
        self.bits() == 0
    }
}

/// The bits of a stream in their order.
struct Bits<'a> {
    stream: &'a [u8],
    /// The next ones, the first one lowest. Above those that count there may be more of the stream, or zeros.
    word: u64,
    /// How many count.
    left: u32,
    /// The first byte that does not.
    next: usize,
}

impl<'a> Bits<'a> {
    const fn new(stream: &'a [u8]) -> Self {
        Self { stream, word: 0, left: 0, next: 0 }
    }

    /// From this bit of the stream on. None: there are not as many.
    fn from_bit(stream: &'a [u8], at: u64) -> Option<Self> {
        let mut bits = Self { next: usize::try_from(at / 8).ok()?, ..Self::new(stream) };
        bits.refill();
        bits.take(u32::try_from(at % 8).ok()?)?;
        Some(bits)
    }

    /// Makes it 56 bits or more, unless the stream ends.
    #[inline(always)]
    fn refill(&mut self) {
        if let Some(bytes) = self.stream.get(self.next..).and_then(|rest| rest.first_chunk()) {
            self.word |= u64::from_le_bytes(*bytes) << self.left;
            self.next += ((63 - self.left) >> 3) as usize;
            self.left |= 56;
            return;
        }
        while self.left < 56
            && let Some(byte) = self.stream.get(self.next)
        {
            self.word |= u64::from(*byte) << self.left;
            self.next += 1;
            self.left += 8;
        }
    }

    /// Takes bits off. None: the stream ends before.
    #[inline(always)]
    fn skip(&mut self, bits: u32) -> Option<()> {
        self.left = self.left.checked_sub(bits)?;
        self.word >>= bits;
        Some(())
    }

    /// Takes a number off, of 16 bits at most.
    fn take(&mut self, bits: u32) -> Option<usize> {
        let value = low(self.word, bits);
        self.skip(bits)?;
        Some(value)
    }

    fn position(&self) -> u64 {
        8 * self.next as u64 - u64::from(self.left)
    }

    /// Goes over a stored block: to the next whole byte, and over as many bytes as are noted there.
    fn skip_stored(&mut self) -> Option<()> {
        let at = self.next - (self.left / 8) as usize;
        let [low, high]: [u8; 2] = *self.stream.get(at..)?.first_chunk()?;
        let end = at + 4 + usize::from(u16::from_le_bytes([low, high]));
        if end > self.stream.len() {
            return None;
        }
        *self = Self { next: end, ..Self::new(self.stream) };
        Some(())
    }
}

/// The low `bits` of `word`.
#[expect(clippy::cast_possible_truncation, reason = "an index of 16 bits at most")]
const fn low(word: u64, bits: u32) -> usize {
    (word & !(u64::MAX << bits)) as usize
}

impl Blocks {
    pub(super) fn new() -> Self {
        Self {
            litlen: Code::new(),
            distance: Code::new(),
            steps: vec![Step::CLOSER; 2 * ENTRIES].try_into().expect("as many as there are"),
        }
    }

    /// The last block of `stream`, which ends with it. None: it does not, or is no stream.
    pub(super) fn last(&mut self, stream: &[u8]) -> Option<LastBlock> {
        let mut bits = Bits::new(stream);
        loop {
            let begin = bits.position();
            bits.refill();
            let is_last = bits.take(1)? == 1;
            match bits.take(2)? {
                0 => bits.skip_stored()?,
                1 => {
                    self.fixed()?;
                    self.walk(&mut bits)?;
                }
                2 => {
                    self.dynamic(&mut bits)?;
                    self.walk(&mut bits)?;
                }
                _ => return None,
            }
            if is_last {
                let end = bits.position();
                let is_all = end.div_ceil(8) == stream.len() as u64;
                return is_all.then_some(LastBlock { begin, end });
            }
        }
    }

    /// Goes to the end of a block.
    fn walk(&self, bits: &mut Bits<'_>) -> Option<()> {
        let mut cursor = Cursor { at: bits.position(), table: 0 };
        while let Some((next, went)) = self.race(bits.stream, cursor) {
            cursor = next;
            match went {
                Went::On => {}
                // There is no more sense in it, in this block.
                Went::Astray => break,
                Went::End => {
                    *bits = Bits::from_bit(bits.stream, cursor.at)?;
                    return Some(());
                }
                Went::Nowhere => return None,
            }
        }
        *bits = Bits::from_bit(bits.stream, cursor.at)?;
        self.walk_alone(bits, cursor.table)
    }

    /// The same, one look after the other.
    fn walk_alone(&self, bits: &mut Bits<'_>, mut table: usize) -> Option<()> {
        loop {
            bits.refill();
            // No step is longer than 24 bits: the last symbol's own begin within the first 11, and it adds 13 at most.
            for _ in 0..2 {
                let step = *self.steps.get(table + low(bits.word, LOOKED_UP))?;
                if step.is_closer() {
                    bits.refill();
                    match self.closely(bits, table)? {
                        Some(next) => table = next,
                        None => return Some(()),
                    }
                    break;
                }
                bits.skip(step.bits())?;
                table = step.next();
            }
        }
    }

    /// Takes off one symbol, whatever it is, and says in which table to look next. Inside, none: it was the block's end.
    fn closely(&self, bits: &mut Bits<'_>, table: usize) -> Option<Option<usize>> {
        let code = if table == 0 { &self.litlen } else { &self.distance };
        let (symbol, codeword_bits) = code.decode(bits.word)?;
        bits.skip(codeword_bits)?;
        let kind = if table == 0 { Kind::of_litlen(symbol) } else { Kind::of_distance(symbol) };
        bits.skip(kind.extra_bits())?;
        Some(kind.next().map(|is_distance| if is_distance { ENTRIES } else { 0 }))
    }

    /// Fills the table of steps, for the codes that are set.
    fn prepare(&mut self) {
        // Of one symbol: its step, and the bits of its codeword in the lowest byte. More than there are: look closer.
        let mut single = [u32::from(u8::MAX); 2 * ENTRIES];
        let (of_litlen, of_distance) = single.split_at_mut(ENTRIES);
        for (table, code, kind_of) in [
            (of_litlen, &self.litlen, Kind::of_litlen as fn(u16) -> Kind),
            (of_distance, &self.distance, Kind::of_distance),
        ] {
            code.each(LOOKED_UP, |index, codeword_bits, symbol| {
                let kind = kind_of(symbol);
                let Some(is_distance) = kind.next() else { return };
                let next = if is_distance { ENTRIES } else { 0 };
                let step = Step::new(codeword_bits + kind.extra_bits(), next);
                let entry = u32::from(step.0) << 16 | codeword_bits;
                table[index..].iter_mut().step_by(1 << codeword_bits).for_each(|place| *place = entry);
            });
        }
        for (at, place) in self.steps.iter_mut().enumerate() {
            let (mut taken, mut table) = (0, at & ENTRIES);
            // As many turns for each, without a branch that nobody could foretell.
            for _ in 0..MERGED {
                let [codeword_bits, _, low, high] = single[table | (at % ENTRIES) >> taken].to_le_bytes();
                let step = Step(u16::from_le_bytes([low, high]));
                let fits = taken + u32::from(codeword_bits) <= LOOKED_UP;
                taken += if fits { step.bits() } else { 0 };
                table = if fits { step.next() } else { table };
            }
            *place = Step::new(taken, table);
        }
    }

    /// Sets the codes that need no description.
    fn fixed(&mut self) -> Option<()> {
        let mut lens = [8; LITLEN_MAX];
        lens[144..256].fill(9);
        lens[256..280].fill(7);
        self.litlen.set(&lens)?;
        self.distance.set(&[5; DISTANCE_MAX])?;
        self.prepare();
        Some(())
    }

    /// Reads the description of codes, and sets them.
    fn dynamic(&mut self, bits: &mut Bits<'_>) -> Option<()> {
        bits.refill();
        let litlens = 257 + bits.take(5)?;
        let distances = 1 + bits.take(5)?;
        let described = 4 + bits.take(4)?;
        let mut lens = [0_u8; 19];
        for place in &ORDER[..described] {
            bits.refill();
            lens[usize::from(*place)] = u8::try_from(bits.take(3)?).ok()?;
        }
        let mut of_lens = Code::new();
        of_lens.set(&lens)?;
        let mut lens = [0_u8; LITLEN_MAX + DISTANCE_MAX];
        let lens = &mut lens[..litlens + distances];
        let mut at = 0;
        while at < lens.len() {
            bits.refill();
            let (symbol, codeword_bits) = of_lens.decode(bits.word)?;
            bits.skip(codeword_bits)?;
            let (len, count) = match symbol {
                0..16 => (u8::try_from(symbol).ok()?, 1),
                16 => (*lens.get(at.checked_sub(1)?)?, 3 + bits.take(2)?),
                17 => (0, 3 + bits.take(3)?),
                _ => (0, 11 + bits.take(7)?),
            };
            lens.get_mut(at..at + count)?.fill(len);
            at += count;
        }
        let (of_litlens, of_distances) = lens.split_at(litlens);
        self.litlen.set(of_litlens)?;
        self.distance.set(of_distances)?;
        self.prepare();
        Some(())
    }
}
