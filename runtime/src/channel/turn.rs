//! Whose turn it is to reap: one thread at a time holds the list, and nobody waits for it.
//!
//! Whoever has a reason to look at the list asks, then tries the lock. If another thread has it, that thread
//! finds the question when it lets go: the one stores before it looks at the lock, the other unlocks before it
//! looks for questions, and a full fence on either side makes one of them see the other. Orderings on the
//! accesses alone would not do: the lock's own are acquire and release.

use crate::sync::{AtomicBool, Ordering, fence};

/// Whether somebody wants the list looked at.
#[derive(Debug)]
pub(crate) struct Turn {
    asked: AtomicBool,
}

impl Turn {
    pub(crate) fn new() -> Self {
        Self { asked: AtomicBool::new(false) }
    }

    /// Asks for a round. [`Turn::is_asked`] and an attempt to take the lock follow, in this order: the fence of the
    /// one comes before the other.
    pub(crate) fn ask(&self) {
        // A swap: a store would hide another thread's question, and what came before it, from `begin`.
        self.asked.swap(true, Ordering::AcqRel);
    }

    /// A round begins, with the lock held: it sees what came before every question so far.
    pub(crate) fn begin(&self) {
        self.asked.swap(false, Ordering::AcqRel);
    }

    /// Whether somebody has asked. Called after the lock was let go.
    pub(crate) fn is_asked(&self) -> bool {
        fence(Ordering::SeqCst);
        self.asked.load(Ordering::Acquire)
    }
}
