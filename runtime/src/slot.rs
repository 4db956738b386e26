//! The life of one operation in flight.
//!
//! A [`Slot`] is made at start-up and reused for ever. From submission on it owns the buffers the operation was
//! lent, so the future that awaits it holds an index and can be dropped or leaked at any time. Its contents have
//! one owner at a time; who that is, [`Handshake`] says.
//!
//! UNSAFETY: the contents are an `UnsafeCell` whose owner the handshake determines, and buffers of any type are
//! kept in place without their type.
#![expect(unsafe_code, reason = "contents are owned by protocol; buffers are stored without their type")]

mod free_list;
mod handshake;

pub(crate) use free_list::FreeList;
pub(crate) use handshake::{Completed, Handshake, Look};

use std::cell::UnsafeCell;
use std::io;
use std::mem::{MaybeUninit, align_of, size_of};
use std::time::Instant;

use crate::backend::{Failure, LANES_MAX, LaneFault, Member, Submission};
use crate::fault::{FaultPolicy, Resolved, Window};
use crate::job::{Done, Job, Operands};
use crate::path::Path;
use crate::report::Faults;
use crate::sync::{AtomicU64, Ordering};

/// What keeps an operation's memory alive: buffers of any type, stored in place.
///
/// # Invariants
///
/// `drop` is set exactly while `bytes` holds a value of the type it was made for.
pub(crate) struct Held {
    bytes: MaybeUninit<[u64; Self::WORDS]>,
    drop: Option<unsafe fn(*mut u8)>,
}

impl Held {
    /// Room for the four buffers of the largest operation, if they are `BytesMut`.
    const WORDS: usize = 16;

    /// Nothing held.
    pub(crate) const fn empty() -> Self {
        Self { bytes: MaybeUninit::uninit(), drop: None }
    }

    /// Whether values of type `B` fit. A buffer type that does not belongs in a `Box`.
    const fn fits<B>() -> bool {
        size_of::<B>() <= size_of::<[u64; Self::WORDS]>() && align_of::<B>() <= align_of::<u64>()
    }

    /// Takes the buffers. What was held before must have been taken.
    pub(crate) fn put<B: Send + 'static>(&mut self, buffers: B) {
        const { assert!(Held::fits::<B>(), "buffers larger than a slot holds: put them in a Box") };
        assert!(self.drop.is_none(), "slot holds buffers already");
        let place = self.bytes.as_mut_ptr().cast::<B>();
        // SAFETY: `bytes` is large and aligned enough (asserted above) and holds nothing.
        unsafe { place.write(buffers) };
        // INVARIANT: `drop` fits the value just written.
        self.drop = Some(|place| {
            // SAFETY: called once, by `drop`, on a place that holds a `B` (the invariant).
            unsafe { place.cast::<B>().drop_in_place() };
        });
    }

    /// Gives the buffers back.
    ///
    /// # Safety
    ///
    /// `B` is the type of the last [`Held::put`], and that value has not been taken.
    pub(crate) unsafe fn take<B: Send + 'static>(&mut self) -> B {
        // INVARIANT: cleared before the value leaves.
        self.drop = None;
        // SAFETY: the caller's contract; the place is not read again as `drop` is clear.
        unsafe { self.bytes.as_ptr().cast::<B>().read() }
    }

    /// Moves what is held elsewhere, to be dropped where that does no harm.
    pub(crate) fn move_out(&mut self) -> Self {
        let moved = Self { bytes: self.bytes, drop: self.drop };
        self.drop = None;
        moved
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(drop) = self.drop.take() {
            // SAFETY: the invariant: `bytes` holds a value of the type `drop` was made for.
            unsafe { drop(self.bytes.as_mut_ptr().cast()) };
        }
    }
}

// SAFETY: only `Send` values are ever put in.
unsafe impl Send for Held {}

/// What a slot is working on.
#[derive(Clone, Copy)]
pub(crate) enum Work {
    /// One job.
    One(Job),
    /// A batch: its members, in memory the slot's [`Held`] owns.
    Many {
        /// First member.
        members: *mut Member,
        /// How many.
        len: usize,
    },
}

impl Work {
    /// Its jobs.
    pub(crate) fn jobs(&self) -> impl Iterator<Item = Job> + Clone + '_ {
        let (one, members): (Option<Job>, &[Member]) = match *self {
            Self::One(job) => (Some(job), &[]),
            // SAFETY: the members are alive as long as the work is, and nobody changes them before it is submitted,
            // which is when this is asked.
            Self::Many { members, len } => (None, unsafe { std::slice::from_raw_parts(members, len) }),
        };
        let unanswered = members.iter().filter(|member| member.result.is_none());
        one.into_iter().chain(unanswered.map(|member| member.job))
    }
}

/// How far a slot has come.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Phase {
    /// Not accepted by the queue yet.
    ToSubmit,
    /// All of the memory is populated.
    Populating {
        /// How far it has come: bytes of each operand of a job, or members of a batch.
        next: u64,
        /// The lane to go on with then. None: submit.
        then: Option<LaneFault>,
    },
    /// All of the memory is populated, and the device fetches the translations of its operands before it is submitted.
    Fetching {
        /// Which operand.
        operand: usize,
        /// The queue has the job that fetches them.
        flying: bool,
    },
    /// The queue works on it.
    Flying,
    /// A lane faulted and the resolver works on it.
    Resolving(LaneFault),
    /// A lane faulted and the resolver had no room.
    ToResolve(LaneFault),
}

/// A set of lanes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LaneSet([u64; LANES_MAX as usize / 64]);

impl LaneSet {
    pub(crate) const EMPTY: Self = Self([0; LANES_MAX as usize / 64]);

    pub(crate) fn insert(&mut self, lane: u16) {
        if let Some(word) = self.0.get_mut(usize::from(lane / 64)) {
            *word |= 1 << (lane % 64);
        }
    }

    pub(crate) fn contains(&self, lane: u16) -> bool {
        self.0.get(usize::from(lane / 64)).is_some_and(|word| word & 1 << (lane % 64) != 0)
    }
}

impl Default for LaneSet {
    fn default() -> Self {
        Self::EMPTY
    }
}

/// A resolution under way.
#[derive(Debug, Default)]
pub(crate) struct Resolution {
    /// Ranges still being populated.
    pub(crate) pending: u32,
    /// First error among them.
    pub(crate) error: Option<io::Error>,
    /// When it began, and what it is: for those who learn from it.
    pub(crate) measured: Option<(Instant, Resolved)>,
    /// Only the page of the fault, no window.
    pub(crate) single: bool,
    /// What was populated last, to answer faults of other lanes in the same range.
    pub(crate) covered: Operands,
    /// Members of a batch whose memory was populated, all of it.
    pub(crate) members: u16,
    /// Lanes that have gone on since.
    pub(crate) resumed: LaneSet,
}

/// What a slot holds while an operation is in flight.
pub(crate) struct Contents {
    pub(crate) work: Work,
    pub(crate) held: Held,
    pub(crate) submission: Submission,
    pub(crate) path: Path,
    /// What is done about faults.
    pub(crate) policy: FaultPolicy,
    pub(crate) phase: Phase,
    /// Outcome, once there is one.
    pub(crate) outcome: Option<Result<Done, Failure>>,
    /// The fault the operation ends with, if it does.
    pub(crate) fault: Option<(LaneFault, Option<io::Error>)>,
    pub(crate) faults: Faults,
    pub(crate) resolution: Resolution,
    pub(crate) window: Window,
    /// Faults in a row, over all lanes, without a byte done in between.
    pub(crate) stuck: u32,
    /// Lanes that may be stuck: one more than the highest that has faulted.
    pub(crate) lanes: u16,
    /// Bytes done at the last fault.
    pub(crate) done_bytes: u64,
    /// Submissions refused in a row.
    pub(crate) tries: u32,
    /// The queue would not have the job and the job has touched nothing.
    pub(crate) untouched: bool,
    /// When the future began to wait.
    pub(crate) since: Option<Instant>,
}

/// Counters of one slot. Only the owner of the contents writes them, so plain stores do.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    operations: AtomicU64,
    failures: AtomicU64,
    bytes: AtomicU64,
    abandoned: AtomicU64,
    faults: AtomicU64,
    resolutions: AtomicU64,
    pages_populated: AtomicU64,
    resubmissions: AtomicU64,
}

fn bump(counter: &AtomicU64, by: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(by), Ordering::Relaxed);
}

impl Tally {
    /// One more operation, at the moment its outcome is known. Called by the owner of the contents.
    pub(crate) fn count(&self, outcome: &Result<Done, Failure>, faults: &Faults) {
        bump(&self.operations, 1);
        match outcome {
            Ok(done) => bump(&self.bytes, done.bytes),
            Err(_) => bump(&self.failures, 1),
        }
        if faults.faults != 0 || faults.resolutions != 0 {
            bump(&self.faults, faults.faults);
            bump(&self.resolutions, faults.resolutions);
            bump(&self.pages_populated, faults.pages_populated);
            bump(&self.resubmissions, faults.resubmissions);
        }
    }

    /// [`Tally::count`] for an operation that went well and met no fault.
    #[inline]
    pub(crate) fn count_done(&self, bytes: u64) {
        bump(&self.operations, 1);
        bump(&self.bytes, bytes);
    }

    /// One more operation that nobody waits for. Called by the owner of the contents.
    pub(crate) fn count_abandoned(&self) {
        bump(&self.abandoned, 1);
    }

    /// Adds the counters to a snapshot.
    pub(crate) fn add_to(&self, snapshot: &mut crate::report::QueueSnapshot) {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        snapshot.operations += read(&self.operations);
        snapshot.failures += read(&self.failures);
        snapshot.bytes += read(&self.bytes);
        snapshot.abandoned += read(&self.abandoned);
        snapshot.faults.add(Faults {
            faults: read(&self.faults),
            resolutions: read(&self.resolutions),
            pages_populated: read(&self.pages_populated),
            resubmissions: read(&self.resubmissions),
        });
    }
}

/// One operation in flight, or room for one. Aligned so that neighbours do not share cache lines.
#[repr(align(128))]
pub(crate) struct Slot {
    pub(crate) handshake: Handshake,
    pub(crate) tally: Tally,
    /// What its job adds to the load of the queue, where that is counted.
    pub(crate) weight: AtomicU64,
    contents: UnsafeCell<Contents>,
}

// SAFETY: `contents` is reached only through `Slot::contents`, whose callers own it by the handshake, and all
// that is in it may move between threads: `Held` is `Send`, and the member pointer of `Work` points into it.
unsafe impl Sync for Slot {}
// SAFETY: as above.
unsafe impl Send for Slot {}

impl Slot {
    pub(crate) fn new(path: Path) -> Self {
        Self {
            handshake: Handshake::new(),
            tally: Tally::default(),
            weight: AtomicU64::new(0),
            contents: UnsafeCell::new(Contents {
                work: Work::Many { members: std::ptr::dangling_mut(), len: 0 },
                held: Held::empty(),
                submission: Submission::default(),
                path,
                policy: FaultPolicy::Resolve,
                phase: Phase::ToSubmit,
                outcome: None,
                fault: None,
                faults: Faults::NONE,
                resolution: Resolution::default(),
                window: Window::new(),
                stuck: 0,
                lanes: 0,
                done_bytes: 0,
                tries: 0,
                untouched: false,
                since: None,
            }),
        }
    }

    /// The contents, as a pointer: references to it are made one at a time by whoever owns it.
    pub(crate) const fn contents(&self) -> *mut Contents {
        self.contents.get()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn held_buffers_are_dropped_once() {
        let counted: Arc<[u8]> = Arc::from([1_u8, 2, 3]);
        let mut held = Held::empty();
        held.put((Arc::clone(&counted), vec![0_u8; 10]));
        assert_eq!(Arc::strong_count(&counted), 2);
        let moved = held.move_out();
        drop(held);
        assert_eq!(Arc::strong_count(&counted), 2);
        drop(moved);
        assert_eq!(Arc::strong_count(&counted), 1);
    }

    #[test]
    fn taken_buffers_are_not_dropped_again() {
        let counted: Arc<[u8]> = Arc::from([1_u8]);
        let mut held = Held::empty();
        held.put(Arc::clone(&counted));
        // SAFETY: the type is that of the put above.
        let back = unsafe { held.take::<Arc<[u8]>>() };
        drop(held);
        assert_eq!(Arc::strong_count(&counted), 2);
        drop(back);
        assert_eq!(Arc::strong_count(&counted), 1);
    }
}
