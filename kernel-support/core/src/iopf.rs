// SPDX-License-Identifier: MIT OR Apache-2.0

//! One device's fault path: from a page request to its answer, and the way out.
//!
//! [`Iopf`] is the owner. It gives out [`Reporter`]s (for the thread the device speaks on) and
//! [`Queue`]s (for the workers), and its type says how far removal has come:
//!
//! ```text
//! Iopf<Enabled> -- quiesce --> Iopf<Quiesced> -- drained --> Iopf<Drained> -- remove --> counters
//!  takes requests   requests are answered    nothing owed, no    the device is
//!  and binds        invalid; workers finish  bond left           not spoken to again
//! ```
//!
//! Removal before the last answer is therefore not a bug to avoid but a method that is not there.
//!
//! # Locks
//!
//! `state` protects everything about requests, groups and the phase. `binding` serialises bind and
//! unbind, and is the only lock held across the device's [`Hardware`](super::Hardware) calls.
//! Order: `binding`, then the PASID table's `entries` or `state`; those two are leaves and never
//! nest. No lock is held while the device's [`Responder`] or a fault handler runs. Everything may
//! be called from any thread that may sleep; none of it from hard interrupt context (in the kernel,
//! requests are reported from a threaded handler).

use core::fmt;
use core::marker::PhantomData;

use super::bond::Bonds;
use super::env::{Counter, Env, Event, Lock, OutOfMemory, Rank};
use super::group::{FaultGroup, Owed, Queue};
use super::pasid::{Busy, PasidNumber, PasidTable};
use super::platform::{EventOf, LockOf, Platform, Responder, SharedOf};
use super::request::PageRequest;
use super::state::{Phase, State, To, Verdict};
use super::stats::{IopfCounters, IopfStats};

/// The bounds of one device's fault path. All memory is taken when the device is added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Groups queued and being handled.
    pub groups_max: u32,
    /// Groups queued. None where whoever reports takes the group at once ([`Reporter::receive`]).
    pub queued_max: u32,
    /// Requests of incomplete groups, and of groups being handled, not counting each group's last.
    pub partials_max: u32,
    /// Incomplete groups. PCIe has 512 group indices per function, so more cannot be open.
    pub open_groups_max: u32,
    /// Address spaces bound at a time.
    pub bonds_max: u32,
}

impl Default for Limits {
    /// 256 groups, all of which may be queued, 512 partial requests, 512 incomplete groups, 64
    /// bonds.
    fn default() -> Self {
        Self {
            groups_max: 256,
            queued_max: 256,
            partials_max: 512,
            open_groups_max: 512,
            bonds_max: 64,
        }
    }
}

/// What became of a request that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reported {
    /// Its group is not complete.
    Partial,
    /// Its group is complete and queued.
    Queued,
    /// A stop marker: nothing will be answered.
    StopMarker,
}

/// Why a request was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// Nothing is attached at its PASID: nobody has it (`None`), or it is reserved or detaching.
    Unattached(Option<Busy>),
    /// There was no room for a request that is not the last of its group. The answer goes out with
    /// the last.
    PartialLost,
    /// The group is complete, but an earlier request of it was lost.
    GroupLost,
    /// As many groups wait and are being handled as may.
    QueueFull {
        /// How many.
        groups_max: u32,
    },
    /// The device is quiesced.
    NotEnabled,
    /// The device is drained. Whoever reports now has a device that speaks after it was stopped.
    Closed,
    /// Neither asks for anything nor ends a group.
    Malformed,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unattached(None) => f.write_str("nothing attached at its pasid"),
            Self::Unattached(Some(busy)) => busy.fmt(f),
            Self::PartialLost => f.write_str("no room for a partial request"),
            Self::GroupLost => f.write_str("an earlier request of its group was lost"),
            Self::QueueFull { groups_max } => write!(f, "queue full ({groups_max} groups)"),
            Self::NotEnabled => f.write_str("device is quiesced"),
            Self::Closed => f.write_str("device is drained"),
            Self::Malformed => f.write_str("asks for nothing and ends no group"),
        }
    }
}

/// A request that was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Which.
    pub request: PageRequest,
    /// Why.
    pub reason: Reason,
    /// Whether its group was answered ([`Code::Invalid`](super::Code::Invalid)) by this call. If
    /// not, either the last request of the group is still to come and brings the answer, or
    /// ([`Reason::Closed`]) there is none from here.
    pub answered: bool,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let request = &self.request;
        write!(
            f,
            "pasid {}: page request {} at {:#x}: {}",
            request.pasid(),
            request.access(),
            request.address(),
            self.reason
        )
    }
}

impl core::error::Error for Refused {}

/// What to tell the device about groups that will not be completed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Discard {
    /// Answer each [`Code::Invalid`](super::Code::Invalid): for devices that keep a group open
    /// until it is answered.
    AnswerInvalid,
    /// Say nothing: the IOMMU answered by itself when its queue overflowed (VT-d), or the device is
    /// gone.
    Forget,
}

/// What owner, reporters, queues, bonds and groups share.
pub(crate) struct Shared<P: Platform> {
    pub(crate) device: P::Device,
    pub(crate) table: PasidTable<P>,
    pub(crate) state: LockOf<P, State<P>>,
    pub(crate) binding: LockOf<P, Bonds<P>>,
    pub(crate) counters: IopfCounters<P::Env>,
    /// A group was queued, or the phase moved.
    pub(crate) ready: EventOf<P>,
    /// Nothing is owed and no bond is left.
    pub(crate) idle: EventOf<P>,
}

/// The phases of removal, as types. Sealed.
pub trait Removal: sealed::Sealed {}
mod sealed {
    pub trait Sealed {}
}
macro_rules! phases {
    ($($(#[$doc:meta])* $phase:ident),*) => { $(
        $(#[$doc])*
        #[derive(Debug)]
        pub enum $phase {}
        impl Removal for $phase {}
        impl sealed::Sealed for $phase {}
    )* };
}
phases!(
    /// The device may be bound to and may report.
    Enabled,
    /// New requests are answered invalid; groups are still being answered.
    Quiesced,
    /// Every group is answered and every bond is gone.
    Drained
);

/// The owner's hold, which closes the fault path behind itself.
struct Owner<P: Platform> {
    iopf: SharedOf<P, Shared<P>>,
}

impl<P: Platform> Owner<P> {
    fn quiesce(&self, discard: Discard) {
        self.iopf
            .state
            .with(|state| state.phase = state.phase.max(Phase::Quiesced));
        self.iopf.ready.notify();
        discard_partials::<P>(&self.iopf, discard);
    }

    /// Moves on to `Closed` if nothing is left; after that nobody speaks to the device.
    fn close(&self) -> bool {
        self.iopf.state.with(|state| {
            let idle = state.is_idle();
            if idle {
                state.phase = Phase::Closed;
            }
            idle
        })
    }

    fn answer_queued(&self) -> usize {
        let queue: Queue<P> = Queue::new(self.iopf.clone());
        core::iter::from_fn(|| queue.take()).map(drop).count()
    }
}

impl<P: Platform> Drop for Owner<P> {
    /// Leaves nothing unanswered: what is queued is answered invalid, what workers hold they will
    /// answer.
    fn drop(&mut self) {
        if self.iopf.state.with(|state| state.phase) != Phase::Closed {
            self.quiesce(Discard::AnswerInvalid);
            self.answer_queued();
        }
    }
}

/// A device's fault path, in one phase of its life. Dropped before it is removed, it quiesces and
/// answers what is queued, and waits for nobody.
///
/// Source: `struct iommu_fault_param` and io-pgfault.c: `iopf_queue_add_device`,
/// `iopf_queue_remove_device`.
#[must_use = "dropping it quiesces the device"]
pub struct Iopf<P: Platform, S: Removal = Enabled> {
    owner: Owner<P>,
    _phase: PhantomData<S>,
}

impl<P: Platform, S: Removal> fmt::Debug for Iopf<P, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Iopf")
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

impl<P: Platform, S: Removal> Iopf<P, S> {
    fn next<T: Removal>(self) -> Iopf<P, T> {
        Iopf {
            owner: self.owner,
            _phase: PhantomData,
        }
    }

    pub(crate) fn shared(&self) -> &SharedOf<P, Shared<P>> {
        &self.owner.iopf
    }

    /// The device.
    #[must_use]
    pub fn device(&self) -> &P::Device {
        &self.owner.iopf.device
    }

    /// Its counters.
    #[must_use]
    pub fn stats(&self) -> IopfStats {
        let (requests, groups, answers) = self
            .owner
            .iopf
            .state
            .with(|state| (state.requests, state.groups, state.answers));
        self.owner.iopf.counters.snapshot(requests, groups, answers)
    }

    /// What it holds at this moment.
    #[must_use]
    pub fn held(&self) -> Held {
        self.owner.iopf.state.with(|state| Held {
            groups: state.outstanding(),
            open_groups: state.open_groups(),
            free_partials: state.free_partials(),
            bonds: state.bonds,
        })
    }
}

/// What a fault path holds at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Groups not answered: queued or being handled.
    pub groups: u32,
    /// Incomplete groups.
    pub open_groups: usize,
    /// Room for partial requests.
    pub free_partials: u32,
    /// Address spaces bound.
    pub bonds: usize,
}

impl<P: Platform> Iopf<P, Enabled> {
    /// Makes the fault path of `device`, whose PASIDs are in `table`. Takes all the memory it will
    /// ever need.
    ///
    /// # Errors
    ///
    /// [`OutOfMemory`]; the device is dropped.
    pub fn try_new(
        device: P::Device,
        table: PasidTable<P>,
        limits: Limits,
    ) -> Result<Self, OutOfMemory> {
        let iopf = P::Env::share(Shared {
            device,
            table,
            state: Lock::try_new(State::try_new(&limits)?, Rank::Leaf)?,
            binding: Lock::try_new(Bonds::try_new(limits.bonds_max as usize)?, Rank::Outer)?,
            counters: IopfCounters::new(),
            ready: Event::try_new()?,
            idle: Event::try_new()?,
        })?;
        Ok(Self {
            owner: Owner { iopf },
            _phase: PhantomData,
        })
    }

    /// For the thread the device reports on.
    #[must_use]
    pub fn reporter(&self) -> Reporter<P> {
        Reporter {
            iopf: self.owner.iopf.clone(),
        }
    }

    /// For workers.
    #[must_use]
    pub fn queue(&self) -> Queue<P> {
        Queue::new(self.owner.iopf.clone())
    }

    /// Stops taking requests and bonds. Call it after the device was told to send no more page
    /// requests; what it sends regardless is answered invalid. Incomplete groups are dealt with as
    /// `discard` says.
    pub fn quiesce(self, discard: Discard) -> Iopf<P, Quiesced> {
        self.owner.quiesce(discard);
        self.next()
    }
}

impl<P: Platform> Iopf<P, Quiesced> {
    /// Answers invalid whatever no worker has taken yet. Returns how many groups.
    pub fn answer_queued(&self) -> usize {
        self.owner.answer_queued()
    }

    /// Goes on if every group is answered and every bond is gone.
    ///
    /// # Errors
    ///
    /// Itself, to ask again; [`held`](Self::held) says what is left.
    pub fn poll_drained(self) -> Result<Iopf<P, Drained>, Self> {
        if self.owner.close() {
            Ok(self.next())
        } else {
            Err(self)
        }
    }

    /// Sleeps until every group is answered and every bond is gone. Somebody else must be taking
    /// groups (or [`answer_queued`](Self::answer_queued) was called), and this thread must hold
    /// neither group nor bond.
    pub fn wait_drained(self) -> Iopf<P, Drained> {
        self.owner.iopf.idle.wait_until(|| self.owner.close());
        self.next()
    }
}

impl<P: Platform> Iopf<P, Drained> {
    /// Ends the fault path. Returns its last counters. Reporters and queues that still exist answer
    /// [`Reason::Closed`] and nothing.
    pub fn remove(self) -> IopfStats {
        self.stats()
    }
}

/// Where the device's page requests go in. A clone reports for the same device.
pub struct Reporter<P: Platform> {
    iopf: SharedOf<P, Shared<P>>,
}

impl<P: Platform> Clone for Reporter<P> {
    fn clone(&self) -> Self {
        Self {
            iopf: self.iopf.clone(),
        }
    }
}

impl<P: Platform> fmt::Debug for Reporter<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reporter").finish_non_exhaustive()
    }
}

impl<P: Platform> Reporter<P> {
    /// Takes one page request. Never blocks on a handler, allocates nothing, and if it cannot take
    /// the request it says why and has answered if it is time to.
    ///
    /// Source: io-pgfault.c: `iommu_report_device_fault`.
    ///
    /// # Errors
    ///
    /// [`Refused`].
    pub fn report(&self, request: PageRequest) -> Result<Reported, Refused> {
        self.report_or(request, None)
    }

    /// As [`report`](Self::report), for devices whose PASID table a user manages: if nobody has the
    /// request's PASID, the group goes to the [`User`](super::User) handle at `fallback`. A PASID
    /// that anybody has is never diverted.
    ///
    /// Source: io-pgfault.c: `find_fault_handler`, `iommu_ops::user_pasid_table`.
    ///
    /// # Errors
    ///
    /// [`Refused`].
    pub fn report_or(
        &self,
        request: PageRequest,
        fallback: Option<PasidNumber>,
    ) -> Result<Reported, Refused> {
        if request.is_stop_marker() {
            self.stop_marker(request);
            return Ok(Reported::StopMarker);
        }
        if !request.is_last() {
            return self.collect(request).map(|()| Reported::Partial);
        }
        // Not taken: it is in the queue.
        self.complete(request, fallback, To::Queue)
            .map(|_| Reported::Queued)
    }

    /// As [`report_or`](Self::report_or), but a group that is complete is the caller's, and not
    /// queued: for embedders that have a way of their own to its handler. `None` when none is
    /// complete.
    ///
    /// # Errors
    ///
    /// [`Refused`].
    pub fn receive(
        &self,
        request: PageRequest,
        fallback: Option<PasidNumber>,
    ) -> Result<Option<FaultGroup<P>>, Refused> {
        if request.is_stop_marker() {
            self.stop_marker(request);
            return Ok(None);
        }
        if !request.is_last() {
            return self.collect(request).map(|()| None);
        }
        self.complete(request, fallback, To::Reporter)
    }

    /// Gives up the incomplete groups: for a page request queue that overflowed and may have lost
    /// the requests that would have completed them. Returns how many.
    ///
    /// Source: io-pgfault.c: `iopf_queue_discard_partial`, which forgets them in silence.
    pub fn discard_partials(&self, discard: Discard) -> u64 {
        discard_partials::<P>(&self.iopf, discard)
    }

    fn stop_marker(&self, request: PageRequest) {
        self.iopf.counters.stop_markers.add(1);
        let forgotten = self
            .iopf
            .state
            .with(|state| state.forget(Some(request.pasid())));
        self.iopf.counters.discarded.add(forgotten);
    }

    fn collect(&self, request: PageRequest) -> Result<(), Refused> {
        let collected = self.iopf.state.with(|state| state.collect(request));
        collected.map_err(|reason| self.refused(request, reason, false))
    }

    fn complete(
        &self,
        request: PageRequest,
        fallback: Option<PasidNumber>,
        to: To,
    ) -> Result<Option<FaultGroup<P>>, Refused> {
        let handle =
            self.iopf
                .table
                .acquire(request.pasid())
                .or_else(|busy| match (busy, fallback) {
                    (None, Some(fallback)) => self.iopf.table.acquire_user(fallback),
                    (busy, _) => Err(busy),
                });
        match self
            .iopf
            .state
            .with(|state| state.complete(request, handle, to))
        {
            Verdict::Take(pending) => Ok(Some(FaultGroup::new(self.iopf.clone(), pending))),
            Verdict::Queued => {
                self.iopf.ready.notify();
                self.iopf.device.group_queued();
                Ok(None)
            }
            Verdict::Refuse {
                ticket,
                reason,
                handle,
            } => {
                let owed = Owed::new(self.iopf.clone(), ticket, handle);
                if matches!(reason, Reason::GroupLost | Reason::QueueFull { .. }) {
                    owed.count_overflow();
                }
                let refused = self.refused(request, reason, true);
                drop(owed);
                Err(refused)
            }
            Verdict::Closed { .. } => Err(self.refused(request, Reason::Closed, false)),
        }
    }

    fn refused(&self, request: PageRequest, reason: Reason, answered: bool) -> Refused {
        match reason {
            Reason::PartialLost | Reason::QueueFull { .. } => self.iopf.counters.overflows.add(1),
            Reason::Closed | Reason::Malformed => self.iopf.counters.ignored.add(1),
            _ => {}
        }
        Refused {
            request,
            reason,
            answered,
        }
    }
}

/// Gives up the groups that are incomplete now; those that begin meanwhile are left alone.
fn discard_partials<P: Platform>(iopf: &SharedOf<P, Shared<P>>, discard: Discard) -> u64 {
    let discarded = match discard {
        Discard::Forget => iopf.state.with(|state| state.forget(None)),
        Discard::AnswerInvalid => {
            let mut left = iopf.state.with(|state| state.open_groups());
            let mut answered = 0;
            while left > 0 {
                let Some(ticket) = iopf.state.with(|state| state.discard_one()) else {
                    break;
                };
                let handle = iopf.table.acquire(ticket.last.pasid()).ok();
                if let Some(handle) = &handle {
                    ticket.count(handle);
                }
                drop(Owed::new(iopf.clone(), ticket, handle));
                left -= 1;
                answered += 1;
            }
            answered
        }
    };
    iopf.counters.discarded.add(discarded);
    discarded
}
