//! The future of one operation in a slot.
//!
//! UNSAFETY: touches the slot's contents while the future owns them, and takes the buffers back by type.
#![expect(unsafe_code, reason = "slot contents are owned by protocol; buffers are stored without their type")]

use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use super::Channel;
use crate::backend::{Failure, Polled, Refused, Submission, Submitted};
use crate::error::Error;
use crate::fault::{FaultPolicy, Window};
use crate::health::QueueFault;
use crate::job::{Done, Job, OPERANDS_MAX, Operation, Value};
use crate::path::Path;
use crate::report::{Faults, Report};
use crate::slot::{Contents, LaneSet, Look, Phase, Work};

/// What is offered to a queue.
#[derive(Clone, Copy)]
pub(crate) enum Offer<'a> {
    /// One job. By reference: most are over before they have to be kept.
    One(&'a Job),
    /// A batch.
    Many(&'a Work),
}

impl Offer<'_> {
    fn work(self) -> Work {
        match self {
            Self::One(job) => Work::One(*job),
            Self::Many(work) => *work,
        }
    }

    /// # Safety
    ///
    /// As [`Driver::submit`](crate::driver::Driver).
    #[inline(always)]
    unsafe fn submit(
        self,
        channel: &Channel,
        slot: u32,
        submission: Submission,
    ) -> Result<Submitted, Refused> {
        match self {
            // SAFETY: the caller's contract.
            Self::One(job) => unsafe { channel.driver.submit_one(slot, job, submission) },
            // SAFETY: the caller's contract.
            Self::Many(work) => unsafe { channel.driver.submit(slot, work, submission) },
        }
    }

    /// # Safety
    ///
    /// As [`Driver::poll`](crate::driver::Driver).
    #[inline(always)]
    unsafe fn poll(self, channel: &Channel, slot: u32) -> Polled {
        match self {
            // SAFETY: the caller's contract.
            Self::One(_) => unsafe { channel.driver.poll_one(slot) },
            // SAFETY: the caller's contract.
            Self::Many(work) => unsafe { channel.driver.poll(slot, work) },
        }
    }
}

/// An operation in a slot, and the right to its buffers.
///
/// Dropping it leaves the operation to the runtime, which frees the buffers when the device is done with them.
pub(crate) struct InFlight<'c, B: Send + 'static> {
    channel: &'c Channel,
    slot: u32,
    stage: Stage,
    operation: Operation,
    buffers: PhantomData<fn() -> B>,
}

/// Where an [`InFlight`] stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The future owns the contents and drives the operation itself.
    Own,
    /// Handed over.
    Waiting,
    /// The slot is no longer this future's.
    Gone,
}

/// An operation that has ended.
pub(crate) struct Ended<B> {
    /// How.
    pub(crate) outcome: Result<Done, Error>,
    /// The buffers; none if the device may still use them.
    pub(crate) buffers: Option<B>,
    /// What happened.
    pub(crate) report: Report,
    /// Where else it may be tried: the queue failed and has not touched the buffers.
    pub(crate) again: Again,
}

/// Where an operation that failed may be tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Again {
    /// Nowhere.
    No,
    /// On another queue.
    Elsewhere,
    /// On the CPU, as the queue does this no more, and else works.
    OnCpu(QueueFault),
}

impl Again {
    /// After there was no slot to be had.
    pub(crate) const fn after(unserved: &Error) -> Self {
        if let Error::QueueOut { .. } = unserved { Self::Elsewhere } else { Self::No }
    }
}

impl<'c, B: Send + 'static> InFlight<'c, B> {
    /// Starts `work` in a slot that was acquired on `channel`.
    ///
    /// # Safety
    ///
    /// `buffers` keeps the memory of `work` alive, unmoved and unshared, or the submission is unchecked and
    /// its maker has promised as much.
    pub(crate) unsafe fn start(
        channel: &'c Channel,
        slot: u32,
        buffers: B,
        work: Work,
        submission: Submission,
        path: Path,
    ) -> Self {
        let policy = channel.policy(Offer::Many(&work));
        // SAFETY: the caller's contract.
        unsafe { Self::start_as(channel, slot, buffers, work, submission, path, policy) }
    }

    /// [`InFlight::start`] under a policy that was chosen already.
    ///
    /// # Safety
    ///
    /// As [`InFlight::start`].
    unsafe fn start_as(
        channel: &'c Channel,
        slot: u32,
        buffers: B,
        work: Work,
        submission: Submission,
        path: Path,
        policy: FaultPolicy,
    ) -> Self {
        // SAFETY: the slot was acquired, so its contents are this future's.
        let contents = unsafe { &mut *channel.slots[slot as usize].contents() };
        reset(contents, work, channel.blocking(submission, policy), path, policy);
        let operation = operation_of(&work);
        contents.held.put(buffers);
        if channel.counts_load {
            channel.add_load(slot, job_of(&contents.work));
        }
        if policy == FaultPolicy::Prefetch {
            contents.phase = Phase::Populating { next: 0, then: None };
        } else {
            // Accepted or not, the future looks into the contents for what came of it.
            let _ = channel.submit(slot, contents);
        }
        Self { channel, slot, stage: Stage::Own, operation, buffers: PhantomData }
    }

    /// [`InFlight::start`], with a short way past everything that waiting, faults and failures need: an operation that
    /// went well and was over at once comes back as its result and its buffers.
    ///
    /// # Safety
    ///
    /// As [`InFlight::start`].
    #[inline]
    pub(crate) unsafe fn start_or_finish(
        channel: &'c Channel,
        slot: u32,
        buffers: &mut Option<B>,
        offer: Offer<'_>,
        submission: Submission,
        path: Path,
    ) -> Result<Done, Self> {
        let policy = channel.policy(offer);
        if policy == FaultPolicy::Prefetch || policy != channel.usual_policy() {
            let Some(buffers) = buffers.take() else { unreachable!("an operation starts with its buffers") };
            let work = offer.work();
            // SAFETY: the caller's contract.
            return Err(unsafe { Self::start_as(channel, slot, buffers, work, submission, path, policy) });
        }
        let place = &channel.slots[slot as usize];
        // SAFETY: the slot was acquired, so its contents are this future's.
        let contents = unsafe { &mut *place.contents() };
        let submission = channel.blocking(submission, policy);
        let lent = Lent(buffers);
        // SAFETY: the contents are this future's, and `lent` keeps the job's memory.
        let answer = unsafe { offer.submit(channel, slot, submission) };
        let polled = match answer {
            // SAFETY: as above.
            Ok(Submitted::Flying) => unsafe { offer.poll(channel, slot) },
            Ok(Submitted::Done(done)) => Polled::Done(Ok(done)),
            Err(_) => Polled::Pending,
        };
        if let Polled::Done(Ok(done)) = &polled {
            place.tally.count_done(done.bytes);
            lent.back();
            channel.note_warm(policy);
            channel.give_back(slot);
            // What most find field by field: what was written just now in words is waited for if it is moved in vectors.
            return Ok(match *done {
                Done { bytes, value: Value::None } => Done { bytes, value: Value::None },
                done => done,
            });
        }
        let work = offer.work();
        let operation = operation_of(&work);
        contents.held.put(lent.keep());
        reset(contents, work, submission, path, policy);
        let _ = channel.offered(slot, contents, answer);
        if channel.counts_load {
            channel.add_load(slot, job_of(&contents.work));
        }
        match polled {
            Polled::Done(outcome) => {
                let _ = channel.over(slot, contents, outcome);
            }
            // The resolver's answer comes to the reaper: the future hands over with the fault noted.
            Polled::Fault(fault) => channel.on_fault(slot, contents, fault),
            Polled::Pending | Polled::Stalled => {}
        }
        Err(Self { channel, slot, stage: Stage::Own, operation, buffers: PhantomData })
    }

    /// Whether the queue had no room and nothing has begun.
    pub(crate) fn is_refused(&self) -> bool {
        // SAFETY: in `Own` the contents are this future's.
        self.stage == Stage::Own && unsafe { &*self.contents() }.tries != 0
    }

    /// Takes back an operation that was refused.
    pub(crate) fn take_back(mut self) -> Option<B> {
        if !self.is_refused() {
            return None;
        }
        self.stage = Stage::Gone;
        // SAFETY: as in `is_refused`.
        let contents = unsafe { &mut *self.contents() };
        // SAFETY: `start` put a `B` in and nobody has taken it.
        let buffers = unsafe { contents.held.take::<B>() };
        self.channel.give_back(self.slot);
        Some(buffers)
    }

    fn contents(&self) -> *mut Contents {
        self.channel.slots[self.slot as usize].contents()
    }

    /// Looks at the device directly, for as long as that is cheaper than being woken.
    fn spin(&self) -> bool {
        // SAFETY: in `Own` the contents are this future's.
        let contents = unsafe { &mut *self.contents() };
        if contents.outcome.is_some() {
            return true;
        }
        if !matches!(contents.phase, Phase::Flying) {
            return false;
        }
        let capabilities = self.channel.capabilities();
        let bytes = match contents.work {
            Work::One(job) => job.bytes(),
            Work::Many { .. } => 0,
        };
        let polls = if bytes <= capabilities.spin_bytes_max { capabilities.spin_polls } else { 0 };
        for _ in 0..=polls {
            // SAFETY: in `Own` the contents are this future's, and with them the flight and the members.
            match unsafe { self.channel.driver.poll(self.slot, &contents.work) } {
                Polled::Pending => std::hint::spin_loop(),
                Polled::Stalled => return false,
                Polled::Done(outcome) => {
                    let _ = self.channel.over(self.slot, contents, outcome);
                    return true;
                }
                Polled::Fault(fault) => {
                    // The resolver's answer comes to the reaper: hand over with the fault noted.
                    self.channel.on_fault(self.slot, contents, fault);
                    return false;
                }
            }
        }
        false
    }

    /// Takes the outcome and the buffers and frees the slot. The contents are this future's.
    fn end(&mut self) -> Ended<B> {
        self.stage = Stage::Gone;
        // SAFETY: called in `Own`, or after the handshake gave the contents back.
        let contents = unsafe { &mut *self.contents() };
        // SAFETY: `start` put a `B` in and nobody has taken it.
        let buffers = unsafe { contents.held.take::<B>() };
        let mut report =
            Report { path: contents.path, bytes: 0, policy: contents.policy, faults: contents.faults };
        let len = match contents.work {
            Work::One(job) => job.bytes(),
            Work::Many { .. } => 0,
        };
        let operation = self.operation;
        let queue = self.channel.capabilities().name;
        let again = match contents.outcome {
            Some(Err(Failure::Operation(fault))) if contents.untouched => Again::OnCpu(fault),
            _ if contents.untouched && !self.channel.health.is_up() => Again::Elsewhere,
            _ => Again::No,
        };
        let outcome = match contents.outcome.take().unwrap_or(Err(Failure::Cancelled)) {
            Ok(done) => {
                report.bytes = done.bytes;
                Ok(done)
            }
            Err(Failure::Cancelled) if contents.fault.is_some() => {
                let (fault, source) = contents.fault.take().expect("checked in the guard");
                report.bytes = fault.unbroken_bytes;
                Err(Error::Fault {
                    queue,
                    access: fault.access,
                    addr: fault.addr,
                    done: fault.unbroken_bytes,
                    len,
                    status: fault.status,
                    source,
                })
            }
            Err(failure) => Err(Error::from_failure(failure, queue, operation, len)),
        };
        self.channel.give_back(self.slot);
        Ended { outcome, buffers: Some(buffers), report, again }
    }

    /// In a child process: the operation is the parent's. The buffers come back if nobody was in the middle of changing
    /// them when the process was copied; otherwise they stay where they are for good.
    #[cold]
    fn inherit(&mut self) -> Ended<B> {
        let list = self.channel.handed.try_lock();
        let buffers = if self.stage == Stage::Own || list.is_some() {
            // SAFETY: in `Own` the contents are this future's; otherwise they belong to whoever has the list's lock, which
            // is us, or, once the operation is done, to this future. There is no other thread.
            let contents = unsafe { &mut *self.contents() };
            // SAFETY: `start` put a `B` in and nobody has taken it; the slot is never used again.
            Some(unsafe { contents.held.take::<B>() })
        } else {
            None
        };
        drop(list);
        self.stage = Stage::Gone;
        let outcome = Err(Error::Forked { operation: self.operation });
        Ended { outcome, buffers, report: Report::new(self.channel.path()), again: Again::No }
    }

    /// The bound on waiting has passed: the buffers stay behind.
    fn give_up(&mut self) -> Option<Ended<B>> {
        let place = &self.channel.slots[self.slot as usize];
        if !place.handshake.abandon() {
            return None;
        }
        self.stage = Stage::Gone;
        let queue = self.channel.capabilities().name;
        let waited = self.channel.config.answer_within;
        tracing::warn!(%queue, slot = self.slot, ?waited, "no answer; the buffers stay with the runtime");
        Some(Ended {
            outcome: Err(Error::NoAnswer { queue, operation: self.operation, waited }),
            buffers: None,
            report: Report::new(self.channel.path()),
            again: Again::No,
        })
    }
}

/// Buffers of an operation that may be over before they have to be put anywhere. Should the driver panic they are
/// forgotten, not dropped: the device may have them.
struct Lent<'b, B>(&'b mut Option<B>);

impl<B> Lent<'_, B> {
    /// The queue is done with the memory.
    fn back(self) {
        std::mem::forget(self);
    }

    /// The slot is to hold them.
    fn keep(self) -> B {
        let Some(buffers) = self.0.take() else { unreachable!("an operation starts with its buffers") };
        std::mem::forget(self);
        buffers
    }
}

impl<B> Drop for Lent<'_, B> {
    fn drop(&mut self) {
        std::mem::forget(self.0.take());
    }
}

/// What messages call the work; a batch goes by its first member.
fn operation_of(work: &Work) -> Operation {
    match *work {
        Work::One(job) => job.operation(),
        // SAFETY: the members are alive, and the caller is about to give them away but has not yet.
        Work::Many { members, .. } => unsafe { (*members).job.operation() },
    }
}

/// The job of a slot; none for a batch.
fn job_of(work: &Work) -> Option<&Job> {
    match work {
        Work::One(job) => Some(job),
        Work::Many { .. } => None,
    }
}

/// Makes the contents ready for another operation. Only what the last one may have left is written.
fn reset(contents: &mut Contents, work: Work, submission: Submission, path: Path, policy: FaultPolicy) {
    contents.work = work;
    contents.policy = policy;
    contents.submission = submission;
    contents.path = path;
    contents.phase = Phase::ToSubmit;
    contents.outcome = None;
    contents.tries = 0;
    contents.untouched = false;
    if contents.faults != Faults::NONE || contents.fault.is_some() {
        contents.fault = None;
        contents.faults = Faults::NONE;
        contents.window = Window::new();
        contents.resolution.covered = [None; OPERANDS_MAX];
        contents.resolution.members = 0;
        contents.resolution.resumed = LaneSet::EMPTY;
        contents.stuck = 0;
        contents.lanes = 0;
        contents.done_bytes = 0;
    }
}

impl<B: Send + 'static> Future for InFlight<'_, B> {
    type Output = Ended<B>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Ended<B>> {
        if self.channel.is_inherited() {
            return Poll::Ready(self.inherit());
        }
        if self.stage == Stage::Own {
            if self.spin() {
                return Poll::Ready(self.end());
            }
            // SAFETY: in `Own` the contents are this future's.
            unsafe { (*self.contents()).since = Some(Instant::now()) };
            self.stage = Stage::Waiting;
            self.channel.slots[self.slot as usize].handshake.hand_over(cx.waker());
            self.channel.put_on_list(self.slot);
        }
        match self.channel.slots[self.slot as usize].handshake.look(cx.waker()) {
            Look::Pending => Poll::Pending,
            Look::Done => Poll::Ready(self.end()),
            Look::Expired => match self.give_up() {
                Some(ended) => Poll::Ready(ended),
                None => Poll::Ready(self.end()),
            },
        }
    }
}

impl<B: Send + 'static> Drop for InFlight<'_, B> {
    fn drop(&mut self) {
        if self.channel.is_inherited() {
            // Nothing here is this process's: what the slot holds stays.
            return;
        }
        let handshake = &self.channel.slots[self.slot as usize].handshake;
        match self.stage {
            Stage::Gone => {}
            Stage::Own => {
                // SAFETY: in `Own` the contents are this future's.
                let contents = unsafe { &mut *self.contents() };
                if contents.outcome.is_some()
                    || matches!(contents.phase, Phase::ToSubmit | Phase::Populating { then: None, .. })
                {
                    // Ended on the spot, or never accepted: nobody uses the buffers.
                    let held = contents.held.move_out();
                    self.channel.give_back(self.slot);
                    drop(held);
                } else {
                    contents.since = Some(Instant::now());
                    handshake.leave();
                    self.channel.put_on_list(self.slot);
                }
            }
            Stage::Waiting => {
                if !handshake.abandon() {
                    // SAFETY: the operation is done and the contents are the future's again.
                    let held = unsafe { (*self.contents()).held.move_out() };
                    self.channel.give_back(self.slot);
                    drop(held);
                }
            }
        }
    }
}
