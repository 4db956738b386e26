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
use crate::channel::{Acquire, Channel, Ended, InFlight, Offer};
use crate::error::Error;
use crate::job::Done;
use crate::path::{Path, Reason};
use crate::report::Report;
use crate::runtime::Runtime;

/// A list that takes no more jobs.
///
/// # Invariants
///
/// Dropped before the runtime it was started on.
pub(super) struct List<S: IoBuf, D: IoBufMut> {
    stage: Stage<S, D>,
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
    Ended(Option<Batch<S, D>>, Report, Option<Box<Error>>),
    /// Between two stages, and at the end.
    Gone,
}

impl<S: IoBuf, D: IoBufMut> List<S, D> {
    /// Started, if `at_once` and there is a slot.
    pub(super) fn new(batch: Batch<S, D>, alone: bool, runtime: &Runtime, at_once: bool) -> Self {
        let mut list =
            Self { len: batch.len(), stage: Stage::Gone, alone, detours: runtime.config().detours_max };
        list.stage = if at_once { list.begin(batch, runtime, false) } else { Stage::New(batch) };
        list
    }

    /// Jobs on it.
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// Whether it has had its slot.
    pub(super) const fn has_begun(&self) -> bool {
        matches!(self.stage, Stage::Flying(_) | Stage::Ended(..))
    }

    /// Takes it as far as it goes, and leaves a waker where it waits.
    pub(super) fn drive(&mut self, runtime: &Runtime, cx: &mut Context<'_>) {
        if matches!(self.stage, Stage::Ended(..)) {
            return;
        }
        self.step(|list, stage| match stage {
            Stage::New(batch) => match list.begin(batch, runtime, true) {
                Stage::Waiting { batch, channel, path, acquire } => {
                    list.wait(batch, channel, path, acquire, runtime, cx)
                }
                stage => stage,
            },
            Stage::Waiting { batch, channel, path, acquire } => {
                list.wait(batch, channel, path, acquire, runtime, cx)
            }
            stage => stage,
        });
        self.look(cx);
        if matches!(self.stage, Stage::New(_)) {
            // Back from a queue that failed: another, in another turn.
            self.detours = self.detours.saturating_sub(1);
            cx.waker().wake_by_ref();
        }
    }

    /// Looks at the slot.
    fn look(&mut self, cx: &mut Context<'_>) {
        self.step(|list, stage| match stage {
            Stage::Flying(mut flight) => match Pin::new(&mut flight).poll(cx) {
                Poll::Pending => Stage::Flying(flight),
                Poll::Ready(Ended { buffers: Some(batch), again: true, .. }) if list.detours != 0 => {
                    Stage::New(batch)
                }
                Poll::Ready(ended) => list.ended(ended),
            },
            stage => stage,
        });
    }

    /// What came of it, once it has ended.
    #[expect(clippy::type_complexity, reason = "taken apart at once by the only caller")]
    pub(super) fn take_ended(&mut self) -> Option<(Option<Batch<S, D>>, Report, Option<Box<Error>>)> {
        // In place: a list is not moved when that can be helped.
        let Stage::Ended(batch, report, error) = &mut self.stage else { return None };
        let ended = (batch.take(), *report, error.take());
        self.stage = Stage::Gone;
        Some(ended)
    }

    fn step(&mut self, step: impl FnOnce(&Self, Stage<S, D>) -> Stage<S, D>) {
        let stage = std::mem::replace(&mut self.stage, Stage::Gone);
        self.stage = step(self, stage);
    }

    /// Finds a queue and a slot; without one, stands in line if `wait`.
    fn begin(&self, batch: Batch<S, D>, runtime: &Runtime, wait: bool) -> Stage<S, D> {
        if batch.is_answered() {
            let report = Report::new(Path::Software { reason: Reason::Empty });
            return Stage::Ended(Some(batch), report, None);
        }
        let chosen = match batch.first_job().filter(|_| self.alone) {
            Some(job) => runtime.choose(&job),
            None => runtime.choose_for(&batch),
        };
        let Some((channel, path)) = chosen else {
            let error = runtime.nowhere(batch.first_operation());
            return Stage::Ended(Some(batch), runtime.blank_report(), Some(Box::new(error)));
        };
        // SAFETY: the group drops its lists before its runtime, and nothing else keeps the channel.
        let channel = unsafe { channel.outliving() };
        match channel.try_acquire() {
            Some(slot) => self.start(batch, channel, path, slot, runtime),
            None if wait => Stage::Waiting { batch, channel, path, acquire: channel.acquire() },
            None => Stage::New(batch),
        }
    }

    fn wait(
        &self,
        batch: Batch<S, D>,
        channel: &'static Channel,
        path: Path,
        mut acquire: Acquire<'static>,
        runtime: &Runtime,
        cx: &mut Context<'_>,
    ) -> Stage<S, D> {
        match Pin::new(&mut acquire).poll(cx) {
            Poll::Pending => Stage::Waiting { batch, channel, path, acquire },
            Poll::Ready(Some(slot)) => self.start(batch, channel, path, slot, runtime),
            Poll::Ready(None) if self.detours != 0 && !channel.health().is_up() && !channel.is_closed() => {
                // Sent away from a queue that failed.
                self.begin(batch, runtime, false)
            }
            Poll::Ready(None) => {
                let error = channel.unserved(batch.first_operation());
                Stage::Ended(Some(batch), Report::new(path), Some(Box::new(error)))
            }
        }
    }

    fn start(
        &self,
        batch: Batch<S, D>,
        channel: &'static Channel,
        path: Path,
        slot: u32,
        runtime: &Runtime,
    ) -> Stage<S, D> {
        let begun = match batch.first_job().filter(|_| self.alone) {
            None => runtime.begin_batch(channel, slot, batch, path),
            Some(job) => {
                let mut lent = Some(batch);
                let (how, offer) = (runtime.submission(), Offer::One(&job));
                // SAFETY: the job's buffers live in the batch that is lent, and nobody can reach them before it comes
                // back.
                unsafe { InFlight::start_or_finish(channel, slot, &mut lent, offer, how, path) }
                    .map(|done| (done, lent))
            }
        };
        match begun {
            Ok((done, batch)) => {
                let report =
                    Report { bytes: done.bytes, policy: channel.usual_policy(), ..Report::new(path) };
                self.ended(Ended { outcome: Ok(done), buffers: batch, report, again: false })
            }
            Err(flight) => Stage::Flying(flight),
        }
    }

    fn ended(&self, ended: Ended<Batch<S, D>>) -> Stage<S, D> {
        let Ended { outcome, mut buffers, report, .. } = ended;
        if let Some(batch) = &mut buffers {
            self.settle(batch, &outcome);
        }
        Stage::Ended(buffers, report, outcome.err().map(Box::new))
    }

    fn settle(&self, batch: &mut Batch<S, D>, outcome: &Result<Done, Error>) {
        match outcome {
            Ok(done) if self.alone => batch.settle_alone(*done),
            outcome => batch.settle(outcome.is_ok()),
        }
    }
}
