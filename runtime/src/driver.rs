//! A queue together with the flights of its slots, without the queue's type.
//!
//! UNSAFETY: hands out shared references to flights that are [`Send`] only; the callers own the flight by the
//! slot protocol.
#![expect(unsafe_code, reason = "flights are owned by the slot protocol, not by the type system")]

use crate::backend::{
    Capabilities, Member, Notifier, Polled, Queue, QueueFault, Refused, Submission, Submitted, Verdict,
};
use crate::job::Job;
use crate::slot::Work;

/// What a channel calls. One method for one of [`Queue`].
///
/// # Safety
///
/// For every method with a `slot`: the caller owns the contents of that slot, and `work` is what it works on,
/// with its members alive and not referenced elsewhere. `submit` has [`Queue::submit`]'s contract as well.
pub(crate) trait Driver: Send + Sync {
    fn capabilities(&self) -> &Capabilities;
    fn attach(&self, notifier: Notifier);
    unsafe fn submit(&self, slot: u32, work: &Work, how: Submission) -> Result<Submitted, Refused>;
    unsafe fn submit_one(&self, slot: u32, job: &Job, how: Submission) -> Result<Submitted, Refused>;
    unsafe fn poll_one(&self, slot: u32) -> Polled;
    unsafe fn poll(&self, slot: u32, work: &Work) -> Polled;
    unsafe fn resume(&self, slot: u32, work: &Work, lane: u16, verdict: Verdict);
    unsafe fn watch(&self, slot: u32) -> Option<*const u8>;
    fn fault(&self) -> Option<QueueFault>;
    fn held_max(&self) -> u32;
    fn close(&self);
}

/// A queue and its flights, one for each slot.
///
/// # Invariants
///
/// `flights` never moves or shrinks, so a device may write into a flight for as long as `self` lives.
pub(crate) struct Bound<Q: Queue> {
    queue: Q,
    flights: Box<[Flight<Q::Flight>]>,
}

/// Keeps neighbouring flights off each other's cache lines.
#[repr(align(128))]
struct Flight<F>(F);

// SAFETY: a flight is reached only by the owner of its slot (the contract of `Driver`), one at a time, so `Send`
// is enough; the queue itself is `Sync`.
unsafe impl<Q: Queue> Sync for Bound<Q> {}

impl<Q: Queue> Bound<Q> {
    pub(crate) fn new(queue: Q) -> Self {
        let depth = queue.capabilities().depth;
        let flights = (0..depth).map(|_| Flight(queue.flight())).collect();
        Self { queue, flights }
    }

    fn flight(&self, slot: u32) -> &Q::Flight {
        &self.flights[slot as usize].0
    }
}

/// The members of a batch, none for a single job.
///
/// # Safety
///
/// The members are alive and nobody else refers to them while the result lives.
unsafe fn members<'a>(work: &Work) -> &'a mut [Member] {
    match *work {
        Work::One(_) => &mut [],
        // SAFETY: the caller's contract; pointer and length are those of one allocation.
        Work::Many { members, len } => unsafe { std::slice::from_raw_parts_mut(members, len) },
    }
}

impl<Q: Queue> Driver for Bound<Q> {
    fn capabilities(&self) -> &Capabilities {
        self.queue.capabilities()
    }

    fn attach(&self, notifier: Notifier) {
        self.queue.attach(notifier);
    }

    unsafe fn submit(&self, slot: u32, work: &Work, how: Submission) -> Result<Submitted, Refused> {
        match work {
            // SAFETY: the caller's contract.
            Work::One(job) => unsafe { self.submit_one(slot, job, how) },
            Work::Many { .. } => {
                // SAFETY: the caller's contract.
                let members = unsafe { members(work) };
                // SAFETY: the caller's contract is that of `Queue::submit_batch`.
                unsafe { self.queue.submit_batch(self.flight(slot), members, how) }
            }
        }
    }

    unsafe fn submit_one(&self, slot: u32, job: &Job, how: Submission) -> Result<Submitted, Refused> {
        // SAFETY: the caller's contract is that of `Queue::submit`.
        unsafe { self.queue.submit(self.flight(slot), job, how) }
    }

    unsafe fn poll_one(&self, slot: u32) -> Polled {
        self.queue.poll(self.flight(slot), &mut [])
    }

    unsafe fn poll(&self, slot: u32, work: &Work) -> Polled {
        // SAFETY: the caller's contract.
        self.queue.poll(self.flight(slot), unsafe { members(work) })
    }

    unsafe fn resume(&self, slot: u32, work: &Work, lane: u16, verdict: Verdict) {
        // SAFETY: the caller's contract.
        self.queue.resume(self.flight(slot), unsafe { members(work) }, lane, verdict);
    }

    unsafe fn watch(&self, slot: u32) -> Option<*const u8> {
        self.queue.watch(self.flight(slot))
    }

    fn fault(&self) -> Option<QueueFault> {
        self.queue.fault()
    }

    fn held_max(&self) -> u32 {
        self.queue.held_max()
    }

    fn close(&self) {
        self.queue.close();
    }
}
