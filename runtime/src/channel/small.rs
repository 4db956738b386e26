//! Who populates small ranges: whoever is at the list and can be held up, else a helper, else the resolver.
//!
//! A fault is noted with the list locked; what it needs goes to [`Smalls`], and is *fresh* until somebody is in charge of
//! it. Whoever unlocks the list sees to all that is fresh: nothing is left behind, and nobody populates under the lock.
//!
//! UNSAFETY: dereferences slot contents, by the ownership the handshake establishes.
#![expect(unsafe_code, reason = "slot contents are owned by protocol")]

use crossbeam_queue::ArrayQueue;

use super::{Channel, Reaped};
use crate::address::{Access, Span};
use crate::fault::{Request, Small, Started};
use crate::job::{OPERANDS_MAX, Operand};
use crate::sync::{AtomicU32, Ordering};

/// Ranges populated in one notification, before others get the rest.
const NOTIFIED_MAX: u32 = 4;

/// Who is at the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    /// A thread that must not be held up: an executor's, or the completion thread.
    Passing,
    /// The queue's own, as far as the queue allows.
    Notifier,
    /// A helper.
    Helper,
}

/// Small ranges of a channel that wait.
pub(super) struct Smalls {
    /// Room for all slots: each has one at most.
    waiting: ArrayQueue<Small>,
    /// Of them, those that nobody is in charge of.
    fresh: AtomicU32,
    /// Notifications that are held up.
    held: AtomicU32,
    held_max: u32,
}

impl Smalls {
    pub(super) fn new(depth: u32, held_max: u32) -> Self {
        Self {
            waiting: ArrayQueue::new(depth.max(1) as usize),
            fresh: AtomicU32::new(0),
            held: AtomicU32::new(0),
            held_max,
        }
    }

    /// Takes it in, for whoever unlocks the list. False: no room.
    pub(super) fn add(&self, small: Small) -> bool {
        let added = self.waiting.push(small).is_ok();
        if added {
            self.fresh.fetch_add(1, Ordering::Release);
        }
        added
    }

    fn has_fresh(&self) -> bool {
        self.fresh.load(Ordering::Relaxed) != 0
    }

    /// The right to hold up the queue's own thread.
    fn hold(&self) -> Option<Hold<'_>> {
        let more = |held: u32| (held < self.held_max).then_some(held + 1);
        self.held.fetch_update(Ordering::AcqRel, Ordering::Relaxed, more).ok().map(|_| Hold(&self.held))
    }
}

struct Hold<'a>(&'a AtomicU32);

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Channel {
    /// Sees to what the last round over the list has left, and looks at the list again after each range.
    pub(super) fn tend(&self, by: By, reaped: &mut Reaped) {
        let mut left = if by == By::Notifier { NOTIFIED_MAX } else { u32::MAX };
        while self.smalls.has_fresh() {
            // Passing on holds the lock as well: whoever found it taken has left a question.
            if !self.tend_fresh(by, &mut left) && !self.turn.is_asked() {
                break;
            }
            let more = self.reap_list(None);
            *reaped = Reaped { finished: reaped.finished | more.finished, ..more };
            // It is another's, who sees to all that is fresh when it lets go; so does the completion thread, which is told.
            if more.elsewhere {
                break;
            }
        }
        // Nobody could take them now: somebody has to come back.
        reaped.looking += self.smalls.fresh.load(Ordering::Relaxed);
    }

    /// Sees to what is fresh on a thread that must not be held up.
    pub(super) fn tend_passing(&self) {
        if self.smalls.has_fresh() {
            self.tend_fresh(By::Passing, &mut 0);
        }
    }

    /// Whether something is fresh: the resolver had no room.
    pub(super) fn has_fresh(&self) -> bool {
        self.smalls.has_fresh()
    }

    /// Finds somebody for each fresh range: this thread for `left` at most. True: it has populated some.
    fn tend_fresh(&self, by: By, left: &mut u32) -> bool {
        let mut populated = false;
        let mut fresh = self.smalls.fresh.swap(0, Ordering::AcqRel);
        while fresh != 0 {
            let hold = (by == By::Notifier && *left != 0).then(|| self.smalls.hold()).flatten();
            if by == By::Helper || hold.is_some() {
                populated |= self.populate_next();
                *left = left.saturating_sub(1);
            } else if !self.helpers.call() && !self.pass_on() {
                self.smalls.fresh.fetch_add(fresh, Ordering::Release);
                break;
            }
            fresh -= 1;
        }
        populated
    }

    /// A helper's part: populates what waits, until nothing does.
    pub(crate) fn help(&self) {
        while self.populate_next() {
            if self.reap(None, By::Helper).looking != 0 {
                self.doorbell.ring(true);
            }
        }
    }

    /// Populates the range that has waited longest. False: none waits.
    fn populate_next(&self) -> bool {
        let Some(small) = self.smalls.waiting.pop() else { return false };
        let errno = small.populate();
        let _handed = self.handed.lock();
        // SAFETY: a slot with a resolution under way has been handed over and stays so until the resolution ends; the
        // lock is held, so the contents are ours.
        let contents = unsafe { &mut *self.slots[small.slot as usize].contents() };
        self.note_answer(small.slot, contents, errno);
        true
    }

    /// The resolver gets the range that has waited longest. False: it has no room, or somebody is at the list.
    fn pass_on(&self) -> bool {
        // Whoever has the list may wait for this thread, or for what it waits for.
        let Some(handed) = self.handed.try_lock() else { return false };
        let Some(small) = self.smalls.waiting.pop() else { return true };
        let nothing = Operand { span: Span::default(), access: Access::Read };
        let mut requests =
            [Request { channel: self.index, slot: small.slot, operand: nothing }; OPERANDS_MAX];
        let mut len = 0;
        for (request, operand) in requests.iter_mut().zip(small.operands.into_iter().flatten()) {
            request.operand = operand;
            len += 1;
        }
        // Answers are noted with the list locked: none comes before they are counted.
        let started = self.resolver.start(&requests[..len]);
        if started == Started::NoRoom {
            // There is room: it was taken from there, and only those who hold the lock add.
            let _ = self.smalls.waiting.push(small);
            return false;
        }
        // SAFETY: as in `populate_next`.
        let contents = unsafe { &mut *self.slots[small.slot as usize].contents() };
        contents.resolution.pending = u32::try_from(len).unwrap_or(u32::MAX);
        drop(handed);
        if started == Started::Waits {
            self.doorbell.ring(true);
        }
        true
    }
}
