//! Finds the matches: turns input into literals and references.
//!
//! Chains of earlier positions with the same hash, followed a bounded number of steps, with one position of
//! look-ahead before a match is taken. The chains hold the low 16 bits of positions and are never cleared or
//! checked for age: what they name is only a place to look, and a match is what compares equal there.

use super::HISTORY_BYTES;
use super::alphabet::{LENGTH_MAX, LENGTH_MIN};

const HASH_BITS: u32 = 13;
/// Positions looked at before the longest match so far is taken.
const CHAIN_STEPS_MAX: usize = 8;
/// A match this long is taken without looking for a longer one at the next position.
const LENGTH_LAZY: usize = 12;
/// A match this long ends the search at its position.
const LENGTH_NICE: usize = 64;
/// A match of the shortest length beyond this distance costs more bits than its literals usually do.
const SHORTEST_DISTANCE_MAX: usize = 1024;

/// Which matches the device may write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MatchOptions {
    /// Write literals only (IAA table 6-11, Generate All Literals).
    pub all_literals: bool,
    /// Miniblock size in bytes, if the output is to be indexed: no match crosses a multiple of it or reaches
    /// before one (IAA §3.4.3).
    pub miniblock_bytes: Option<std::num::NonZeroUsize>,
    /// Longest match, 3 to 258 bytes; more is taken as 258, less as literals only.
    pub length_max: usize,
}

impl Default for MatchOptions {
    fn default() -> Self {
        Self { all_literals: false, miniblock_bytes: None, length_max: LENGTH_MAX }
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
    options: MatchOptions,
    tokens: &mut T,
) -> Result<(), T::Error> {
    let length_max = options.length_max.min(LENGTH_MAX);
    if options.all_literals || length_max < LENGTH_MIN {
        return input.iter().try_for_each(|&byte| tokens.literal(byte));
    }
    let miniblock_bytes = options.miniblock_bytes.map_or(input.len().max(1), std::num::NonZeroUsize::get);
    let mut matcher = Matcher::new(length_max);
    input.chunks(miniblock_bytes).try_for_each(|miniblock| matcher.run(miniblock, tokens))
}

#[derive(Clone, Copy)]
struct Match {
    length: usize,
    distance: usize,
}

struct Matcher {
    /// The latest position of each hash.
    heads: Box<[u16; 1 << HASH_BITS]>,
    /// The position before, by position modulo the history.
    links: Box<[u16; HISTORY_BYTES]>,
    length_max: usize,
}

impl Matcher {
    fn new(length_max: usize) -> Self {
        Self { heads: Box::new([0; 1 << HASH_BITS]), links: Box::new([0; HISTORY_BYTES]), length_max }
    }

    fn run<T: Tokens>(&mut self, input: &[u8], tokens: &mut T) -> Result<(), T::Error> {
        let mut at = 0;
        while let Some(key) = key(input, at) {
            let candidate = self.insert(key, at);
            let Some(mut found) = self.find(input, at, candidate, LENGTH_MIN - 1) else {
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
        let candidate = self.insert(key(input, at + 1)?, at + 1);
        self.find(input, at + 1, candidate, length)
    }

    /// Puts position `at` in front of its chain and returns what was there.
    #[inline]
    fn insert(&mut self, key: u32, at: usize) -> u16 {
        let head = &mut self.heads[hash(key)];
        let before = *head;
        *head = low(at);
        self.links[at % HISTORY_BYTES] = before;
        before
    }

    fn insert_all(&mut self, input: &[u8], from: usize, to: usize) {
        for at in from..to {
            let Some(key) = key(input, at) else { return };
            self.insert(key, at);
        }
    }

    /// The longest match at `at` that is longer than `longer_than`, along the chain from `candidate`.
    #[inline]
    fn find(&self, input: &[u8], at: usize, mut candidate: u16, longer_than: usize) -> Option<Match> {
        let limit = self.length_max.min(input.len() - at);
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
            if input[from + best.length] == input[at + best.length] {
                let length = common_length(&input[from..from + limit], &input[at..at + limit]);
                if length > best.length && (length > LENGTH_MIN || distance <= SHORTEST_DISTANCE_MAX) {
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

/// The four bytes at `at`, of which three are hashed; `None` when fewer are left.
#[inline]
fn key(input: &[u8], at: usize) -> Option<u32> {
    input.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes)
}

#[inline]
fn hash(key: u32) -> usize {
    ((key << 8).wrapping_mul(0x9e37_79b1) >> (32 - HASH_BITS)) as usize
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
