//! Finds the matches: turns input into literals and references.
//!
//! Chains of earlier positions with the same hash of four bytes, followed a bounded number of steps, with one
//! position of look-ahead before a short match is taken. Matches of three bytes pay only nearby, so for them the
//! latest position is enough. The tables hold the low 16 bits of positions and are never cleared or checked for
//! age: what they name is only a place to look, and a match is what compares equal there.

use super::HISTORY_BYTES;
use super::alphabet::{LENGTH_MAX, LENGTH_MIN};

const HASH_BITS: u32 = 13;
const SHORT_HASH_BITS: u32 = 11;
/// Positions looked at before the longest match so far is taken.
const CHAIN_STEPS_MAX: usize = 4;
/// A match this long is taken without looking for a longer one at the next position.
const LENGTH_LAZY: usize = 4;
/// A match this long ends the search at its position.
const LENGTH_NICE: usize = 64;
/// A match of three bytes beyond this distance costs more bits than its literals usually do.
const SHORT_DISTANCE_MAX: usize = 512;

/// Which matches the device may write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MatchOptions<'p> {
    /// Write literals only (IAA table 6-11, Generate All Literals).
    pub all_literals: bool,
    /// Miniblock size in bytes, if the output is to be indexed: no match crosses a multiple of it or reaches
    /// before one (IAA §3.4.3).
    pub miniblock_bytes: Option<std::num::NonZeroUsize>,
    /// Longest match, 3 to 258 bytes; more is taken as 258, less as literals only.
    pub length_max: usize,
    /// What comes before the input. Not together with miniblocks.
    pub preset: Preset<'p>,
}

/// A dictionary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Preset<'p> {
    /// Its text.
    pub text: &'p [u8],
    /// Places in it to look at, upwards.
    pub places: &'p [usize],
}

impl Default for MatchOptions<'_> {
    fn default() -> Self {
        Self { all_literals: false, miniblock_bytes: None, length_max: LENGTH_MAX, preset: Preset::default() }
    }
}

/// What the tokens of an input are given to.
pub(super) trait Tokens {
    /// Why a token cannot be taken.
    type Error;

    /// Takes one byte as itself.
    fn literal(&mut self, byte: u8) -> Result<(), Self::Error>;

    /// Takes `length` bytes, 3 to 258, as those `distance` back, 1 to 4096.
    fn reference(&mut self, length: usize, distance: usize) -> Result<(), Self::Error>;
}

/// Gives `input` to `tokens` as literals and references. Stops at the first error.
pub(super) fn tokenize<T: Tokens>(
    input: &[u8],
    options: MatchOptions<'_>,
    tokens: &mut T,
) -> Result<(), T::Error> {
    let length_max = options.length_max.min(LENGTH_MAX);
    if options.all_literals || length_max < LENGTH_MIN {
        return input.iter().try_for_each(|&byte| tokens.literal(byte));
    }
    let Preset { text, places } = options.preset;
    if !text.is_empty() {
        let whole = [text, input].concat();
        let mut matcher = Matcher::new(length_max);
        matcher.insert_places(&whole, places);
        return matcher.run(&whole, text.len(), tokens);
    }
    let miniblock_bytes = options.miniblock_bytes.map_or(input.len().max(1), std::num::NonZeroUsize::get);
    let mut matcher = Matcher::new(length_max);
    input.chunks(miniblock_bytes).try_for_each(|miniblock| matcher.run(miniblock, 0, tokens))
}

#[derive(Clone, Copy)]
struct Match {
    length: usize,
    distance: usize,
}

struct Matcher {
    /// The latest position of each hash of four bytes.
    heads: Box<[u16; 1 << HASH_BITS]>,
    /// The latest position of each hash of three bytes.
    short_heads: Box<[u16; 1 << SHORT_HASH_BITS]>,
    /// The position before, by position modulo the history.
    links: Box<[u16; HISTORY_BYTES]>,
    length_max: usize,
}

impl Matcher {
    fn new(length_max: usize) -> Self {
        Self {
            heads: Box::new([0; 1 << HASH_BITS]),
            short_heads: Box::new([0; 1 << SHORT_HASH_BITS]),
            links: Box::new([0; HISTORY_BYTES]),
            length_max,
        }
    }

    /// Puts places of a dictionary in front of their chains.
    fn insert_places(&mut self, input: &[u8], places: &[usize]) {
        for at in places {
            if let Some(key) = key(input, *at) {
                self.insert(key, *at);
            }
        }
    }

    /// Gives `input` from `at` on to `tokens`; what is before that may be referred to.
    fn run<T: Tokens>(&mut self, input: &[u8], mut at: usize, tokens: &mut T) -> Result<(), T::Error> {
        while let Some(key) = key(input, at) {
            let (candidate, near) = self.insert(key, at);
            let found = self.find(input, at, candidate, LENGTH_MIN);
            let Some(mut found) = found.or_else(|| self.find_short(input, at, near)) else {
                tokens.literal(input[at])?;
                at += 1;
                continue;
            };
            let mut inserted = at + 1;
            if let Some(later) = self.find_later(input, at, found.length) {
                tokens.literal(input[at])?;
                at += 1;
                inserted += 1;
                found = later;
            } else if found.length < LENGTH_LAZY {
                // Looking at the next position has put it in the chains.
                inserted += usize::from(at + 1 + 4 <= input.len());
            }
            tokens.reference(found.length, found.distance)?;
            at += found.length;
            self.insert_all(input, inserted, at);
        }
        input[at..].iter().try_for_each(|&byte| tokens.literal(byte))
    }

    /// A longer match at the next position, if `length` is short enough to look for one.
    fn find_later(&mut self, input: &[u8], at: usize, length: usize) -> Option<Match> {
        if length >= LENGTH_LAZY {
            return None;
        }
        let (candidate, _) = self.insert(key(input, at + 1)?, at + 1);
        self.find(input, at + 1, candidate, length)
    }

    /// Puts position `at` in front of its chain. Returns what was there, and the latest position with the same
    /// three bytes.
    #[inline]
    fn insert(&mut self, key: u32, at: usize) -> (u16, u16) {
        let candidate = std::mem::replace(&mut self.heads[hash::<HASH_BITS>(key)], low(at));
        self.links[at % HISTORY_BYTES] = candidate;
        let near = std::mem::replace(&mut self.short_heads[hash::<SHORT_HASH_BITS>(key << 8)], low(at));
        (candidate, near)
    }

    fn insert_all(&mut self, input: &[u8], from: usize, to: usize) {
        for at in from..to {
            let Some(key) = key(input, at) else { return };
            self.insert(key, at);
        }
    }

    /// A match of three bytes at `at`, if those at `near` are the same and near enough.
    #[inline]
    fn find_short(&self, input: &[u8], at: usize, near: u16) -> Option<Match> {
        let distance = usize::from(low(at).wrapping_sub(near));
        let reachable = (1..=SHORT_DISTANCE_MAX.min(at)).contains(&distance);
        let same = reachable && (key(input, at - distance)? ^ key(input, at)?) << 8 == 0;
        same.then_some(Match { length: LENGTH_MIN, distance })
    }

    /// The longest match at `at` that is longer than `longer_than`, which is 3 or more, along the chain from
    /// `candidate`.
    #[inline]
    fn find(&self, input: &[u8], at: usize, mut candidate: u16, longer_than: usize) -> Option<Match> {
        let limit = self.length_max.min(input.len() - at);
        let current = &input[at..at + limit];
        let mut best = Match { length: longer_than, distance: 0 };
        let mut distance_before = 0;
        for _ in 0..CHAIN_STEPS_MAX {
            let distance = usize::from(low(at).wrapping_sub(candidate));
            // A chain only leads away from `at`; where it does not, it has been overwritten and is at its end.
            if distance <= distance_before || distance > HISTORY_BYTES.min(at) || best.length >= limit {
                break;
            }
            distance_before = distance;
            let from = at - distance;
            let earlier = &input[from..from + limit];
            // Longer only if the byte that would be new is the same, and the three before it.
            let probe = best.length - LENGTH_MIN;
            if key(earlier, probe) == key(current, probe) {
                let length = common_length(earlier, current);
                if length > best.length {
                    best = Match { length, distance };
                    if length >= LENGTH_NICE {
                        break;
                    }
                }
            }
            candidate = self.links[from % HISTORY_BYTES];
        }
        (best.distance > 0).then_some(best)
    }
}

/// The four bytes at `at`; `None` when fewer are left.
#[inline]
fn key(input: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*input.get(at..)?.first_chunk()?))
}

#[inline]
fn hash<const BITS: u32>(key: u32) -> usize {
    (key.wrapping_mul(0x9e37_79b1) >> (32 - BITS)) as usize
}

/// The low half of a position, which is all that a distance up to 4096 needs.
#[inline]
fn low(at: usize) -> u16 {
    let [low, high, ..] = at.to_le_bytes();
    u16::from_le_bytes([low, high])
}

/// How many bytes at the start of two slices of the same length agree.
#[inline]
fn common_length(a: &[u8], b: &[u8]) -> usize {
    let (a_words, a_rest) = a.as_chunks::<8>();
    let (b_words, b_rest) = b.as_chunks::<8>();
    for (index, (a, b)) in a_words.iter().zip(b_words).enumerate() {
        let differing = u64::from_le_bytes(*a) ^ u64::from_le_bytes(*b);
        if differing != 0 {
            return index * 8 + (differing.trailing_zeros() / 8) as usize;
        }
    }
    a_words.len() * 8 + a_rest.iter().zip(b_rest).take_while(|(a, b)| a == b).count()
}
