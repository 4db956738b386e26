//! Who owns a slot's contents: the future that awaits it, or the side that reaps completions.
//!
//! ```text
//!            claim              hand_over            complete            release
//!   Free ------------> Submitted ---------> Waiting ----------> Done ------------> Free
//!                          |               |   ^ |                ^
//!                          |        abandon|   | | expire         | complete
//!                          | leave         v   | v                |
//!                          +-----------> Abandoned <------ Expired+
//!                                            |      abandon
//!                                            +--- complete --> the reaper frees the slot
//! ```
//!
//! Contents belong to the future in `Submitted` and `Done`, and to whoever holds the reaper's lock in `Waiting`,
//! `Expired` and `Abandoned`. Each change of owner is a release by the old one and an acquire by the new one.

use std::task::Waker;

use crate::sync::{AtomicU32, Ordering, WakerCell};

const FREE: u32 = 0;
const SUBMITTED: u32 = 1;
const WAITING: u32 = 2;
const EXPIRED: u32 = 3;
const DONE: u32 = 4;
const ABANDONED: u32 = 5;

/// The state of one slot, and the task to wake.
#[derive(Debug)]
pub(crate) struct Handshake {
    state: AtomicU32,
    waker: WakerCell,
}

/// What a waiting future finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// The contents are the future's.
    Done,
    /// The bound on waiting has passed; the operation is still under way.
    Expired,
    /// Still under way; the waker is in place.
    Pending,
}

/// Who is to clean up after a completion.
#[derive(Debug)]
pub(crate) enum Completed {
    /// The future; wake it.
    Future(Option<Waker>),
    /// Nobody waits any more: the reaper frees the slot.
    Reaper,
}

impl Handshake {
    pub(crate) fn new() -> Self {
        Self { state: AtomicU32::new(FREE), waker: WakerCell::new() }
    }

    /// The popped slot becomes the future's.
    pub(crate) fn claim(&self) {
        self.state.store(SUBMITTED, Ordering::Relaxed);
    }

    /// The future gives the contents to the reaper and asks to be woken.
    pub(crate) fn hand_over(&self, waker: &Waker) {
        self.waker.register(waker);
        self.state.store(WAITING, Ordering::Release);
    }

    /// The future goes before it ever waited, and leaves the contents to the reaper.
    pub(crate) fn leave(&self) {
        self.state.store(ABANDONED, Ordering::Release);
    }

    /// The waiting future looks again.
    pub(crate) fn look(&self, waker: &Waker) -> Look {
        if let Some(found) = self.outcome() {
            return found;
        }
        self.waker.register(waker);
        let found = self.outcome();
        if found.is_some() {
            // The other side may have looked for the waker before it was there: a task must not be kept for it.
            drop(self.waker.take());
        }
        found.unwrap_or(Look::Pending)
    }

    fn outcome(&self) -> Option<Look> {
        match self.state.load(Ordering::Acquire) {
            DONE => Some(Look::Done),
            EXPIRED => Some(Look::Expired),
            _ => None,
        }
    }

    /// The waiting future goes. True: the contents are the reaper's. False: the operation was done and the
    /// contents are the future's to clean up.
    pub(crate) fn abandon(&self) -> bool {
        let mut from = WAITING;
        loop {
            match self.state.compare_exchange(from, ABANDONED, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => {
                    // Nobody is to be woken any more, and nobody else takes the waker.
                    drop(self.waker.take());
                    return true;
                }
                Err(EXPIRED) => from = EXPIRED,
                Err(_) => return false,
            }
        }
    }

    /// The reaper is done with the contents.
    pub(crate) fn complete(&self) -> Completed {
        let mut from = WAITING;
        loop {
            match self.state.compare_exchange(from, DONE, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Completed::Future(self.waker.take()),
                Err(EXPIRED) => from = EXPIRED,
                Err(_) => return Completed::Reaper,
            }
        }
    }

    /// The reaper tells the future that it has waited long enough. None if it is gone, or has been told.
    pub(crate) fn expire(&self) -> Option<Waker> {
        self.state
            .compare_exchange(WAITING, EXPIRED, Ordering::AcqRel, Ordering::Relaxed)
            .ok()
            .and_then(|_| self.waker.take())
    }

    /// Whether nobody waits any more. Only a hint while a future exists.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.state.load(Ordering::Relaxed) == ABANDONED
    }

    /// Whether an operation is under way in the slot, as far as one can tell from outside.
    pub(crate) fn is_busy(&self) -> bool {
        !matches!(self.state.load(Ordering::Acquire), FREE | DONE)
    }

    /// The owner of the contents has emptied them; the index goes back to the free list next.
    pub(crate) fn release(&self) {
        self.state.store(FREE, Ordering::Relaxed);
    }
}
