//! Futures that wait for a slot: first come, first served.
//!
//! A slot that is given back is handed to the first in line, not put up for grabs, so nobody starves. A waiting future
//! holds a ticket; its waker and, once served, its slot are kept here, in memory that is reused.

use std::collections::VecDeque;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::sync::{AtomicU32, Ordering};

/// Entries there is memory for from the start.
const ENTRIES: usize = 256;

/// The futures that wait.
pub(super) struct Line {
    queue: Mutex<Queue>,
    /// Futures that are not served yet, or about to join.
    waiting: AtomicU32,
}

struct Queue {
    entries: VecDeque<Entry>,
    next: u64,
    closed: bool,
    /// Tickets below this that are not served have waited too long.
    sent_away: u64,
    /// When somebody was served last.
    served: Instant,
}

impl Queue {
    /// Those who wait. Allocates, as nothing does that happens often.
    fn unserved(&self) -> Vec<Waker> {
        self.entries.iter().filter(|entry| entry.slot.is_none()).map(|entry| entry.waker.clone()).collect()
    }
}

struct Entry {
    ticket: u64,
    joined: Instant,
    waker: Waker,
    slot: Option<u32>,
}

/// What came of joining the line.
pub(super) enum Joined {
    /// A slot had become free.
    Slot(u32),
    /// A place in the line.
    Ticket(u64),
    /// The channel is closed.
    Closed,
}

impl Line {
    pub(super) fn new() -> Self {
        let entries = VecDeque::with_capacity(ENTRIES);
        let queue = Queue { entries, next: 0, closed: false, sent_away: 0, served: Instant::now() };
        Self { queue: Mutex::new(queue), waiting: AtomicU32::new(0) }
    }

    /// Whether anybody waits. Asked before taking a free slot, and after giving one back.
    pub(super) fn is_waited_in(&self) -> bool {
        self.waiting.load(Ordering::SeqCst) != 0
    }

    /// Joins the end of the line, unless `take` has a slot and nobody was here first.
    pub(super) fn join(&self, waker: &Waker, take: impl FnOnce() -> Option<u32>) -> Joined {
        // Announced before looking: whoever gives a slot back from now on serves the line.
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let mut queue = self.queue.lock();
        if queue.closed {
            self.waiting.fetch_sub(1, Ordering::SeqCst);
            return Joined::Closed;
        }
        if queue.entries.iter().all(|entry| entry.slot.is_some())
            && let Some(slot) = take()
        {
            self.waiting.fetch_sub(1, Ordering::SeqCst);
            return Joined::Slot(slot);
        }
        let ticket = queue.next;
        queue.next += 1;
        queue.entries.push_back(Entry { ticket, joined: Instant::now(), waker: waker.clone(), slot: None });
        Joined::Ticket(ticket)
    }

    /// Looks whether the ticket has been served; none when the channel has closed, or nobody has been served for too
    /// long. The ticket is then gone.
    pub(super) fn poll(&self, ticket: u64, waker: &Waker) -> Poll<Option<u32>> {
        let mut queue = self.queue.lock();
        let closed = queue.closed || ticket < queue.sent_away;
        let Some(at) = queue.entries.iter().position(|entry| entry.ticket == ticket) else {
            return Poll::Ready(None);
        };
        let entry = &mut queue.entries[at];
        if entry.slot.is_none() && !closed {
            if !entry.waker.will_wake(waker) {
                let old = std::mem::replace(&mut entry.waker, waker.clone());
                // Wakers are dropped with the lock let go: one may own a future that waits here.
                drop(queue);
                drop(old);
            }
            return Poll::Pending;
        }
        let served = entry.slot;
        let gone = queue.entries.remove(at);
        if served.is_none() {
            self.waiting.fetch_sub(1, Ordering::SeqCst);
        }
        drop(queue);
        drop(gone);
        Poll::Ready(served)
    }

    /// Leaves the line; a slot that was handed over already comes back.
    #[must_use]
    pub(super) fn leave(&self, ticket: u64) -> Option<u32> {
        let mut queue = self.queue.lock();
        let at = queue.entries.iter().position(|entry| entry.ticket == ticket)?;
        let gone = queue.entries.remove(at)?;
        if gone.slot.is_none() {
            self.waiting.fetch_sub(1, Ordering::SeqCst);
        }
        drop(queue);
        gone.slot
    }

    /// Hands free slots to those who wait, and wakes them. Calls wakers: no lock may be held.
    pub(super) fn serve(&self, take: impl Fn() -> Option<u32>) {
        loop {
            let waker = {
                let mut queue = self.queue.lock();
                let sent_away = queue.sent_away;
                let waits = |entry: &&mut Entry| entry.slot.is_none() && entry.ticket >= sent_away;
                let Some(entry) = queue.entries.iter_mut().find(waits) else { return };
                let Some(slot) = take() else { return };
                entry.slot = Some(slot);
                self.waiting.fetch_sub(1, Ordering::SeqCst);
                let waker = entry.waker.clone();
                queue.served = Instant::now();
                waker
            };
            waker.wake();
        }
    }

    /// Sends everybody away who is not served yet. Calls wakers: no lock may be held.
    pub(super) fn close(&self) {
        let wakers = {
            let mut queue = self.queue.lock();
            queue.closed = true;
            queue.unserved()
        };
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Sends everybody away who waits now: the queue has been taken out. Calls wakers: no lock may be held.
    pub(super) fn send_away(&self) {
        if !self.is_waited_in() {
            return;
        }
        let wakers = {
            let mut queue = self.queue.lock();
            queue.sent_away = queue.next;
            queue.unserved()
        };
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Sends everybody away if for `bound` nobody was served although somebody waited: every slot is held by an
    /// operation whose device does not answer. Calls wakers: no lock may be held.
    pub(super) fn tire(&self, now: Instant, bound: Duration) {
        let wakers = {
            let mut queue = self.queue.lock();
            let sent_away = queue.sent_away;
            let waits = |entry: &&Entry| entry.slot.is_none() && entry.ticket >= sent_away;
            let Some(first) = queue.entries.iter().find(waits) else { return };
            if now.saturating_duration_since(first.joined.max(queue.served)) < bound {
                return;
            }
            queue.sent_away = queue.next;
            queue.unserved()
        };
        wakers.into_iter().for_each(Waker::wake);
    }
}
