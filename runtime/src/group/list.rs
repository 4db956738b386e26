//! One list of a group on its way: to a queue, in a slot, and back.
//!
//! UNSAFETY: lends the buffers of a job that goes alone to a queue, and keeps operations that refer to a channel beside
//! the runtime that keeps the channel.
#![expect(
    unsafe_code,
    reason = "starting an operation relies on the buffers' promise, and a list on its group"
)]

use std::pin::Pin;
use std::task::{Context, Poll};

use crate::batch::Batch;
use crate::buffer::{IoBuf, IoBufMut};
use crate::channel::{Acquire, Again, Channel, Ended, InFlight, Offer};
use crate::error::Error;
use crate::job::{Done, Job};
use crate::path::{Path, Reason};
use crate::report::{Faults, Report};
use crate::runtime::Runtime;

/// A list that takes no more jobs, or room for one. It goes from stage to stage where it is: moving it costs as much as
/// one of its jobs.
///
/// # Invariants
///
/// Dropped before the runtime it was started on.
pub(super) struct List<S: IoBuf, D: IoBufMut> {
    stage: Stage<S, D>,
    /// What it has ended with.
    report: Report,
    error: Option<Box<Error>>,
    len: usize,
    /// One job, which goes without a descriptor list.
    alone: bool,
    /// Times it may still be sent to another queue.
    detours: u8,
}

enum Stage<S: IoBuf, D: IoBufMut> {
    /// Wants a slot.
    New(Batch<S, D>),
    /// In line for one.
    Waiting { batch: Batch<S, D>, channel: &'static Channel, path: Path, acquire: Acquire<'static> },
    /// In a slot.
    Flying(InFlight<'static, Batch<S, D>>),
    /// Over. Without the list: a device may still use it.
    Ended(Option<Batch<S, D>>),
    /// Between two stages, and at the end.
    Gone,
}

impl<S: IoBuf, D: IoBufMut> List<S, D> {
    /// Room for one.
    pub(super) fn empty(runtime: &Runtime) -> Self {
        let report = runtime.blank_report();
        Self { stage: Stage::Gone, report, error: None, len: 0, alone: false, detours: 0 }
    }

    /// Takes the place of what is over and gone. Started `at_once`, if there is a slot.
    pub(super) fn fill(&mut self, batch: Batch<S, D>, alone: bool, runtime: &Runtime, at_once: bool) {
        (self.len, self.detours, self.alone) = (batch.len(), runtime.config().detours_max, alone);
        if at_once {
            self.begin(batch, runtime, false);
        } else {
            self.stage = Stage::New(batch);
        }
    }

    /// Jobs on it.
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// Whether it has had its slot.
    pub(super) const fn has_begun(&self) -> bool {
        matches!(self.stage, Stage::Flying(_) | Stage::Ended(_))
    }

    /// Takes it as far as it goes, and leaves a waker where it waits.
    pub(super) fn drive(&mut self, runtime: &Runtime, cx: &mut Context<'_>) {
        if matches!(self.stage, Stage::Ended(_)) {
            return;
        }
        if matches!(self.stage, Stage::New(_))
            && let Stage::New(batch) = self.leave()
        {
            self.begin(batch, runtime, true);
        }
        if matches!(self.stage, Stage::Waiting { .. }) {
            self.wait(runtime, cx);
        }
        if matches!(self.stage, Stage::Flying(_)) {
            self.look(cx);
        }
        if matches!(self.stage, Stage::New(_)) {
            // Back from a queue that failed: another, in another turn.
            self.detours = self.detours.saturating_sub(1);
            cx.waker().wake_by_ref();
        }
    }

    /// Looks at the slot.
    fn look(&mut self, cx: &mut Context<'_>) {
        let Stage::Flying(flight) = &mut self.stage else { return };
        match Pin::new(flight).poll(cx) {
            Poll::Pending => {}
            Poll::Ready(Ended { buffers: Some(batch), again: Again::Elsewhere, .. }) if self.detours != 0 => {
                self.stage = Stage::New(batch);
            }
            Poll::Ready(Ended { outcome, mut buffers, report, .. }) => {
                if let Some(batch) = &mut buffers {
                    self.settle(batch, outcome.as_ref().ok());
                }
                self.end(buffers, report, outcome.err().map(Box::new));
            }
        }
    }

    /// What came of it, once it has ended.
    #[expect(clippy::type_complexity, reason = "taken apart at once by the only caller")]
    pub(super) fn take_ended(&mut self) -> Option<(Option<Batch<S, D>>, Report, Option<Box<Error>>)> {
        let Stage::Ended(batch) = &mut self.stage else { return None };
        let ended = (batch.take(), self.report, self.error.take());
        self.stage = Stage::Gone;
        Some(ended)
    }

    /// Out of the stage it is in; whoever calls puts it into the next.
    fn leave(&mut self) -> Stage<S, D> {
        std::mem::replace(&mut self.stage, Stage::Gone)
    }

    fn end(&mut self, batch: Option<Batch<S, D>>, report: Report, error: Option<Box<Error>>) {
        self.stage = Stage::Ended(batch);
        self.report = report;
        self.error = error;
    }

    /// Finds a queue and a slot; without one, stands in line if `wait`.
    fn begin(&mut self, batch: Batch<S, D>, runtime: &Runtime, wait: bool) {
        if batch.is_answered() {
            let report = Report::new(Path::Software { reason: Reason::Empty });
            return self.end(Some(batch), report, None);
        }
        let chosen = match self.job_alone(&batch) {
            Some(job) => runtime.choose(&job),
            None => runtime.choose_for(&batch),
        };
        let Some((channel, path)) = chosen else {
            let error = runtime.nowhere(batch.first_operation());
            return self.end(Some(batch), runtime.blank_report(), Some(Box::new(error)));
        };
        // SAFETY: the group drops its lists before its runtime, and nothing else keeps the channel.
        let channel = unsafe { channel.outliving() };
        match channel.try_acquire() {
            Some(slot) => self.start(batch, channel, path, slot, runtime),
            None if wait => {
                self.stage = Stage::Waiting { batch, channel, path, acquire: channel.acquire() };
            }
            None => self.stage = Stage::New(batch),
        }
    }

    /// The only job, if it goes without a descriptor list.
    fn job_alone(&self, batch: &Batch<S, D>) -> Option<Job> {
        if self.alone { batch.first_job() } else { None }
    }

    /// Looks whether its turn in the line has come.
    fn wait(&mut self, runtime: &Runtime, cx: &mut Context<'_>) {
        let Stage::Waiting { acquire, .. } = &mut self.stage else { return };
        let Poll::Ready(slot) = Pin::new(acquire).poll(cx) else { return };
        let Stage::Waiting { batch, channel, path, .. } = self.leave() else {
            unreachable!("a list that waited")
        };
        match slot {
            Some(slot) => self.start(batch, channel, path, slot, runtime),
            None if self.detours != 0 && !channel.health().is_up() && !channel.is_closed() => {
                // Sent away from a queue that failed.
                self.begin(batch, runtime, false);
            }
            None => {
                let error = channel.unserved(batch.first_operation());
                self.end(Some(batch), Report::new(path), Some(Box::new(error)));
            }
        }
    }

    fn start(
        &mut self,
        batch: Batch<S, D>,
        channel: &'static Channel,
        path: Path,
        slot: u32,
        runtime: &Runtime,
    ) {
        let begun = match self.job_alone(&batch) {
            None => runtime.begin_batch(channel, slot, batch, path),
            Some(job) => {
                let mut lent = Some(batch);
                let (how, offer) = (runtime.submission(), Offer::One(&job));
                // SAFETY: the job's buffers live in the batch that is lent, and nobody can reach them before it comes
                // back.
                let done = unsafe { InFlight::start_or_finish(channel, slot, &mut lent, offer, how, path) };
                done.map(|done| {
                    if let Some(batch) = &mut lent {
                        batch.settle_alone(done);
                    }
                    (done.bytes, lent)
                })
            }
        };
        match begun {
            Ok((bytes, mut batch)) => {
                if let Some(batch) = &mut batch
                    && !self.alone
                {
                    batch.settle(true);
                }
                self.stage = Stage::Ended(batch);
                // Where it stays, field by field: as a whole it would be waited for.
                self.report.path = path;
                self.report.bytes = bytes;
                self.report.policy = channel.usual_policy();
                self.report.faults = Faults::NONE;
            }
            Err(flight) => self.stage = Stage::Flying(flight),
        }
    }

    /// Counts what is answered. `done`: it ended well.
    fn settle(&self, batch: &mut Batch<S, D>, done: Option<&Done>) {
        match done {
            Some(done) if self.alone => batch.settle_alone(*done),
            done => batch.settle(done.is_some()),
        }
    }
}
