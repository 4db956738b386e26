//! Where the answer to a request is found: one slot a request that can be in flight.
//!
//! A response names its slot by an untrusted cookie: an index and a generation. Only a slot that waits for an answer of
//! that generation, from the ring pair it was sent to, takes it.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use qat_spec::Response;

/// What a slot is waiting for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// Nothing yet.
    Nothing,
    /// The answer.
    Answer(Response),
    /// The ring pair was reset, and the request is gone; it had been overdue.
    Overdue,
    /// The ring pair was reset, and the request is gone; others were to blame.
    Swept,
}

const IDLE: u64 = 0;
const FLYING: u64 = 1;
const ANSWERED: u64 = 2;
const OVERDUE: u64 = 3;
const SWEPT: u64 = 4;
const STATE_BITS: u32 = 3;

/// One request's place.
#[derive(Debug, Default)]
pub(crate) struct Slot {
    /// Generation, and the state in the lowest bits.
    tag: AtomicU64,
    words: [AtomicU64; Response::WORDS],
    pair: AtomicU32,
    /// The tick at which it was sent.
    since: AtomicU32,
}

impl Slot {
    /// Begins a request of a ring pair. The generation for its cookie.
    ///
    /// The lock of the request ring is held.
    #[inline]
    pub(crate) fn arm(&self, pair: u32, tick: u32) -> u32 {
        let generation = generation(self.tag.load(Ordering::Relaxed)).wrapping_add(1);
        self.pair.store(pair, Ordering::Relaxed);
        self.since.store(tick, Ordering::Relaxed);
        self.tag.store(u64::from(generation) << STATE_BITS | FLYING, Ordering::Release);
        generation
    }

    /// Takes a response. False if it is not for this slot as it is.
    ///
    /// The lock of the ring pair's response ring is held.
    #[inline]
    pub(crate) fn answer(&self, pair: u32, of: u32, response: &Response) -> bool {
        let waits = u64::from(of) << STATE_BITS | FLYING;
        if self.tag.load(Ordering::Acquire) != waits || self.pair.load(Ordering::Relaxed) != pair {
            return false;
        }
        for (place, word) in self.words.iter().zip(response.words()) {
            place.store(*word, Ordering::Relaxed);
        }
        self.tag.store(waits - FLYING + ANSWERED, Ordering::Release);
        true
    }

    /// Whether it waits for an answer of a ring pair, and since when.
    pub(crate) fn waits_on(&self, pair: u32) -> Option<u32> {
        let flies = self.tag.load(Ordering::Acquire) & ((1 << STATE_BITS) - 1) == FLYING;
        (flies && self.pair.load(Ordering::Relaxed) == pair).then(|| self.since.load(Ordering::Relaxed))
    }

    /// Ends the wait without an answer. The lock of the ring pair's response ring is held.
    pub(crate) fn sweep(&self, overdue: bool) {
        let tag = self.tag.load(Ordering::Acquire);
        let state = if overdue { OVERDUE } else { SWEPT };
        self.tag.store(u64::from(generation(tag)) << STATE_BITS | state, Ordering::Release);
    }

    /// What has come. Anything but nothing frees the slot.
    #[inline]
    pub(crate) fn take(&self) -> Found {
        let tag = self.tag.load(Ordering::Acquire);
        let found = match tag & ((1 << STATE_BITS) - 1) {
            IDLE | FLYING => return Found::Nothing,
            ANSWERED => Found::Answer(Response::from_words(
                self.words.each_ref().map(|word| word.load(Ordering::Relaxed)),
            )),
            OVERDUE => Found::Overdue,
            _ => Found::Swept,
        };
        self.tag.store(u64::from(generation(tag)) << STATE_BITS | IDLE, Ordering::Relaxed);
        found
    }
}

/// The generation in a tag.
#[expect(clippy::cast_possible_truncation, reason = "32 bits of generation over the state")]
const fn generation(tag: u64) -> u32 {
    (tag >> STATE_BITS) as u32
}

/// The cookie of a request.
pub(crate) const fn cookie(index: u32, generation: u32) -> u64 {
    (generation as u64) << 32 | index as u64
}

/// Index and generation of a cookie, whatever it is.
#[expect(clippy::cast_possible_truncation, reason = "two halves")]
pub(crate) const fn of_cookie(cookie: u64) -> (usize, u32) {
    (cookie as u32 as usize, (cookie >> 32) as u32)
}
