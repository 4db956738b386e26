// SPDX-License-Identifier: MIT OR Apache-2.0

//! A counted gate: references go in while it is open; closing it lets nobody in, and whoever closed
//! it learns when the last one left. One atomic word holds count and state, so "is it closed" and
//! "count me in" cannot be torn apart.

use super::env::{Env, Event, OutOfMemory, Word};

const CLOSED: u32 = 1 << 31;
const ABANDONED: u32 = 1 << 30;
const COUNT: u32 = ABANDONED - 1;

pub(crate) struct Gate<E: Env> {
    /// [`CLOSED`], [`ABANDONED`], and below them the count. Closed is never undone; the count only
    /// falls after it.
    word: E::Word,
    drained: E::Event,
}

/// What leaving meant.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// Others are inside, or the gate is open, or whoever closed it is watching.
    Nothing,
    /// Last one out, and whoever closed the gate has gone: this caller must do what they would have
    /// done.
    CleanUp,
}

impl<E: Env> Gate<E> {
    pub(crate) fn try_new() -> Result<Self, OutOfMemory> {
        Ok(Self {
            word: E::Word::new(0),
            drained: E::Event::try_new()?,
        })
    }

    /// Counts one in, unless the gate is closed (or 2^30 - 1 are inside).
    pub(crate) fn enter(&self) -> bool {
        let mut word = self.word.load();
        loop {
            if word & CLOSED != 0 || word & COUNT == COUNT {
                return false;
            }
            match self.word.compare_exchange(word, word + 1) {
                Ok(_) => return true,
                Err(found) => word = found,
            }
        }
    }

    /// Counts out one that was counted in.
    pub(crate) fn leave(&self) -> Left {
        let before = self.word.fetch_sub(1);
        if before & COUNT != 1 || before & CLOSED == 0 {
            return Left::Nothing;
        }
        if before & ABANDONED != 0 {
            return Left::CleanUp;
        }
        self.drained.notify();
        Left::Nothing
    }

    pub(crate) fn close(&self) {
        self.word.fetch_or(CLOSED);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.word.load() & CLOSED != 0
    }

    pub(crate) fn inside(&self) -> u32 {
        self.word.load() & COUNT
    }

    pub(crate) fn is_drained(&self) -> bool {
        let word = self.word.load();
        word & CLOSED != 0 && word & COUNT == 0
    }

    pub(crate) fn wait_drained(&self) {
        self.drained.wait_until(|| self.is_drained());
    }

    /// Closes the gate and stops watching it. [`Left::CleanUp`] falls to exactly one caller: this
    /// one when nobody is inside, else the last to leave.
    pub(crate) fn abandon(&self) -> Left {
        let before = self.word.fetch_or(CLOSED | ABANDONED);
        if before & COUNT == 0 {
            Left::CleanUp
        } else {
            Left::Nothing
        }
    }
}
