//! A walk through a block by several at once.
//!
//! Each look into the table waits for the one before it, so a processor that could do several at a time does one. But what
//! comes behind a place depends on nothing but the place, the codes and which of them is next. So several begin some KiB apart,
//! all but the first at a bit where a symbol need not begin, and note where their first looks were. Huffman codes fall into
//! step by themselves: as soon as one that is right arrives where the next one has looked, the next has been right from
//! there on, and what it has done since need not be done again. Where that does not happen, as with codes all of one length, the
//! one that is right has gone a little further, and that is all that was gained.

use super::{Blocks, ENTRIES, Kind, LOOKED_UP, low};

/// How many walk at once.
const RACERS: usize = 6;
/// Bits from where one begins to where the next one does.
const APART: u64 = 8 * 2048;
/// Pairs of looks between one note and the next.
const PAIRS: usize = 4;
/// Notes of one racer.
const TRAIL: usize = 32;
/// Bits of a step at most.
const STEP_BITS_MAX: u64 = 24;
/// Bits that there are of the stream behind a place where a race begins. No racer gets further than the end of its trail, or
/// than the steps between two notes, behind its own part.
const RACE_BITS: u64 = RACERS as u64 * APART + STEP_BITS_MAX * 2 * (PAIRS * (TRAIL + 1)) as u64 + 64;

/// A place in a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    /// The first bit that is not taken off.
    pub(super) at: u64,
    /// Where in the table to look next.
    pub(super) table: usize,
}

/// How it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Went {
    /// The block goes on.
    On,
    /// It goes on, and the next one was never met.
    Astray,
    /// It ends here.
    End,
    /// No codeword begins here.
    Nowhere,
}

#[derive(Clone, Copy)]
struct Racer {
    cursor: Cursor,
    /// Whether the table has no step there.
    is_stuck: bool,
    went: Went,
    /// Where the next one's part begins.
    limit: u64,
    trail: [Cursor; TRAIL],
    trail_len: usize,
}

impl Racer {
    fn trail(&self) -> &[Cursor] {
        &self.trail[..self.trail_len]
    }
}

/// The bits of a stream from one on: 57 of them at least, unless it ends before.
#[inline(always)]
fn word(stream: &[u8], at: u64) -> u64 {
    let start = usize::try_from(at / 8).unwrap_or(usize::MAX);
    let bytes = stream.get(start..).and_then(|rest| rest.first_chunk()).unwrap_or(&[0; 8]);
    u64::from_le_bytes(*bytes) >> (at % 8)
}

impl Blocks {
    /// Goes on from `start`, by several parts at once. None: there is not enough of the stream for that.
    pub(super) fn race(&self, stream: &[u8], start: Cursor) -> Option<(Cursor, Went)> {
        if start.at + RACE_BITS > 8 * stream.len() as u64 {
            return None;
        }
        let mut limit = start.at;
        let mut racers: [Racer; RACERS] = std::array::from_fn(|_| {
            let cursor = if limit == start.at { start } else { Cursor { at: limit, table: 0 } };
            limit += APART;
            let (trail, trail_len) = ([cursor; TRAIL], 0);
            Racer { cursor, is_stuck: false, went: Went::On, limit, trail, trail_len }
        });
        self.run(stream, &mut racers);
        Some(self.hand_over(stream, &racers))
    }

    /// Has each go to the end of its part, or of what it takes for the block.
    fn run(&self, stream: &[u8], racers: &mut [Racer; RACERS]) {
        let mut live: [usize; RACERS] = std::array::from_fn(|index| index);
        let mut count = RACERS;
        while count > 0 {
            match count {
                6 => self.step::<6>(stream, racers, &live),
                5 => self.step::<5>(stream, racers, &live),
                4 => self.step::<4>(stream, racers, &live),
                3 => self.step::<3>(stream, racers, &live),
                2 => self.step::<2>(stream, racers, &live),
                _ => self.step::<1>(stream, racers, &live),
            }
            let mut place = 0;
            while place < count {
                let racer = &mut racers[live[place]];
                if racer.is_stuck {
                    racer.went = self.look(stream, &mut racer.cursor);
                }
                // Behind the end of a block nothing goes on: whoever comes there has not met this one.
                if racer.went == Went::On
                    && let Some(note) = racer.trail.get_mut(racer.trail_len)
                {
                    *note = racer.cursor;
                    racer.trail_len += 1;
                }
                if racer.cursor.at >= racer.limit || racer.went != Went::On {
                    count -= 1;
                    live[place] = live[count];
                } else {
                    place += 1;
                }
            }
        }
    }

    /// Some looks of the first `COUNT` that are live. One that the table does not help stays where it is.
    #[inline(always)]
    fn step<const COUNT: usize>(&self, stream: &[u8], racers: &mut [Racer; RACERS], live: &[usize; RACERS]) {
        let mut at: [u64; COUNT] = std::array::from_fn(|index| racers[live[index]].cursor.at);
        let mut table: [usize; COUNT] = std::array::from_fn(|index| racers[live[index]].cursor.table);
        let mut bits = [0; COUNT];
        for _ in 0..PAIRS {
            for index in 0..COUNT {
                let word = word(stream, at[index]);
                let first = self.steps[table[index] & ENTRIES | low(word, LOOKED_UP)];
                let second = self.steps[first.next() | low(word >> first.bits(), LOOKED_UP)];
                at[index] += u64::from(first.bits() + second.bits());
                (table[index], bits[index]) = (second.next(), second.bits());
            }
        }
        for index in 0..COUNT {
            let racer = &mut racers[live[index]];
            racer.cursor = Cursor { at: at[index], table: table[index] };
            racer.is_stuck = bits[index] == 0;
        }
    }

    /// Where the first one, which is right, comes to: over the part of each that it meets.
    fn hand_over(&self, stream: &[u8], racers: &[Racer; RACERS]) -> (Cursor, Went) {
        let [first, others @ ..] = racers;
        let (mut cursor, mut went) = (first.cursor, first.went);
        for next in others {
            if went != Went::On {
                break;
            }
            went = self.meet(stream, &mut cursor, next.trail());
            if went == Went::On {
                (cursor, went) = (next.cursor, next.went);
            }
        }
        (cursor, went)
    }

    /// Goes on until the cursor is where the trail has been.
    fn meet(&self, stream: &[u8], cursor: &mut Cursor, trail: &[Cursor]) -> Went {
        let mut trail = trail.iter();
        let Some(mut note) = trail.next() else { return Went::Astray };
        loop {
            while note.at < cursor.at {
                let Some(next) = trail.next() else { return Went::Astray };
                note = next;
            }
            if note == cursor {
                return Went::On;
            }
            let step = self.steps[cursor.table & ENTRIES | low(word(stream, cursor.at), LOOKED_UP)];
            if step.is_closer() {
                match self.look(stream, cursor) {
                    Went::On => {}
                    went => return went,
                }
            } else {
                *cursor = Cursor { at: cursor.at + u64::from(step.bits()), table: step.next() };
            }
        }
    }

    /// Goes over one symbol, whatever it is.
    fn look(&self, stream: &[u8], cursor: &mut Cursor) -> Went {
        let of_distance = cursor.table != 0;
        let code = if of_distance { &self.distance } else { &self.litlen };
        let Some((symbol, codeword_bits)) = code.decode(word(stream, cursor.at)) else {
            return Went::Nowhere;
        };
        let kind = if of_distance { Kind::of_distance(symbol) } else { Kind::of_litlen(symbol) };
        cursor.at += u64::from(codeword_bits + kind.extra_bits());
        let Some(is_distance) = kind.next() else { return Went::End };
        cursor.table = if is_distance { ENTRIES } else { 0 };
        Went::On
    }
}

#[cfg(test)]
mod tests;
