//! An operation on its way to a slot, in it, and out of it.
//!
//! Written by hand, and small: an operation that completes at once goes through here in one poll, and each byte that is
//! moved on that way costs. So the job is made from the buffers only when the operation starts, and the buffers stay
//! where they are until there is something to wait for.
//!
//! UNSAFETY: lends the buffers' memory to a queue.
#![expect(unsafe_code, reason = "starting an operation relies on the buffers' promise")]

use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::{Ask, Completed, Extract, Outcome, Room};
use crate::channel::{Acquire, Again, Channel, Ended, InFlight, Offer};
use crate::error::{Error, Failed};
use crate::job::{Job, Operation, Value};
use crate::path::{Path, Reason};
use crate::report::Report;
use crate::runtime::Runtime;

/// The future of an operation with value `V` on buffers `B`, of which `A` makes the job.
pub(super) struct Running<'e, V, B: Send + 'static, A> {
    runtime: &'e Runtime,
    /// The buffers, until the operation is in a slot that has to keep them.
    buffers: Option<B>,
    ask: A,
    stage: Stage<'e, B>,
    room: Room,
    /// Times it was sent to another queue.
    detours: u8,
    value: PhantomData<fn() -> V>,
}

enum Stage<'e, B: Send + 'static> {
    /// Not polled yet, or over: then the buffers are gone. `cpu`: only there, and why.
    New { cpu: Option<Reason> },
    /// In line for a slot.
    Waiting { channel: &'e Channel, path: Path, acquire: Acquire<'e> },
    /// In a slot.
    Flying { flight: InFlight<'e, B>, channel: &'e Channel, operation: Operation },
}

// The buffers and the flight are moved freely: nothing refers into the future.
impl<V, B: Send + 'static, A> Unpin for Running<'_, V, B, A> {}

impl<'e, V: Extract, B: Send + 'static, A: Ask<B>> Running<'e, V, B, A> {
    #[inline]
    pub(super) fn new(runtime: &'e Runtime, buffers: B, ask: A, room: Room, cpu: Option<Reason>) -> Self {
        Self {
            runtime,
            buffers: Some(buffers),
            ask,
            stage: Stage::New { cpu },
            room,
            detours: 0,
            value: PhantomData,
        }
    }

    /// Finds a queue and a slot, and starts.
    #[inline]
    fn begin(&mut self, cpu: Option<Reason>, cx: &mut Context<'_>) -> Poll<Outcome<V, B>> {
        let Some(buffers) = &mut self.buffers else {
            panic!("an operation was polled after it had given its answer")
        };
        let runtime = self.runtime;
        let job = match (self.ask)(buffers) {
            Ok(job) => job,
            Err(error) => return self.fail(error, runtime.blank_report()),
        };
        let chosen = match cpu {
            None => runtime.choose(&job),
            Some(reason) => runtime.software().map(|cpu| (cpu, cpu.capabilities().path(reason))),
        };
        let Some((channel, path)) = chosen else {
            return self.fail(runtime.nowhere(job.operation()), runtime.blank_report());
        };
        if job.bytes() == 0
            && let Some(value) = job.empty_value()
        {
            let report = Report::new(Path::Software { reason: Reason::Empty });
            return self.end(channel, job.operation(), value, report);
        }
        match channel.try_acquire() {
            Some(slot) => self.start(&job, channel, path, slot, cx),
            None => self.without_a_slot(&job, channel, path, cx),
        }
    }

    #[cold]
    fn without_a_slot(
        &mut self,
        job: &Job,
        channel: &'e Channel,
        path: Path,
        cx: &mut Context<'_>,
    ) -> Poll<Outcome<V, B>> {
        if self.room == Room::Busy && !channel.is_closed() {
            return self.fail(Error::Busy { queue: channel.capabilities().name }, Report::new(path));
        }
        self.wait(job, channel, path, channel.acquire(), cx)
    }

    /// Stands in line.
    fn wait(
        &mut self,
        job: &Job,
        channel: &'e Channel,
        path: Path,
        mut acquire: Acquire<'e>,
        cx: &mut Context<'_>,
    ) -> Poll<Outcome<V, B>> {
        match Pin::new(&mut acquire).poll(cx) {
            Poll::Pending => {
                self.stage = Stage::Waiting { channel, path, acquire };
                Poll::Pending
            }
            Poll::Ready(Some(slot)) => self.start(job, channel, path, slot, cx),
            Poll::Ready(None) => {
                let error = channel.unserved(job.operation());
                self.elsewhere(Again::after(&error), error, Report::new(path), cx)
            }
        }
    }

    #[inline]
    fn start(
        &mut self,
        job: &Job,
        channel: &'e Channel,
        path: Path,
        slot: u32,
        cx: &mut Context<'_>,
    ) -> Poll<Outcome<V, B>> {
        let how = self.runtime.submission();
        // SAFETY: `buffers` made the job's addresses, and keep their promise while the slot holds them.
        match unsafe {
            InFlight::start_or_finish(channel, slot, &mut self.buffers, Offer::One(job), how, path)
        } {
            Ok(done) => {
                let report =
                    Report { bytes: done.bytes, policy: channel.usual_policy(), ..Report::new(path) };
                self.end(channel, job.operation(), done.value, report)
            }
            Err(flight) => self.started(flight, job.operation(), channel, path, cx),
        }
    }

    /// Goes on with what was not over at once.
    #[cold]
    fn started(
        &mut self,
        flight: InFlight<'e, B>,
        operation: Operation,
        channel: &'e Channel,
        path: Path,
        cx: &mut Context<'_>,
    ) -> Poll<Outcome<V, B>> {
        if self.room == Room::Busy && flight.is_refused() {
            self.buffers = flight.take_back();
            return self.fail(Error::Busy { queue: channel.capabilities().name }, Report::new(path));
        }
        self.fly(flight, channel, operation, cx)
    }

    fn fly(
        &mut self,
        mut flight: InFlight<'e, B>,
        channel: &'e Channel,
        operation: Operation,
        cx: &mut Context<'_>,
    ) -> Poll<Outcome<V, B>> {
        match Pin::new(&mut flight).poll(cx) {
            Poll::Ready(Ended { outcome, buffers, report, again }) => {
                self.buffers = buffers;
                match outcome {
                    Ok(done) => self.end(channel, operation, done.value, report),
                    Err(error) => self.elsewhere(again, error, report, cx),
                }
            }
            Poll::Pending => {
                self.stage = Stage::Flying { flight, channel, operation };
                Poll::Pending
            }
        }
    }

    /// Tries it again where that may be, a bounded number of times.
    #[cold]
    fn elsewhere(
        &mut self,
        again: Again,
        error: Error,
        report: Report,
        cx: &mut Context<'_>,
    ) -> Poll<Outcome<V, B>> {
        if again == Again::No {
            return self.fail(error, report);
        }
        let Some(Ok(job)) = self.buffers.as_mut().map(|buffers| (self.ask)(buffers)) else {
            return self.fail(error, report);
        };
        if self.detours >= self.runtime.config().detours_max {
            return self.fail(error, report);
        }
        let Some((channel, path)) = self.runtime.choose_again(&job, again) else {
            return self.fail(error, report);
        };
        self.detours += 1;
        match channel.try_acquire() {
            Some(slot) => self.start(&job, channel, path, slot, cx),
            None => self.without_a_slot(&job, channel, path, cx),
        }
    }

    /// Polled again.
    #[cold]
    fn go_on(&mut self, stage: Stage<'e, B>, cx: &mut Context<'_>) -> Poll<Outcome<V, B>> {
        match stage {
            Stage::New { cpu } => self.begin(cpu, cx),
            Stage::Waiting { channel, path, acquire } => match self.buffers.as_mut().map(|b| (self.ask)(b)) {
                Some(Ok(job)) => self.wait(&job, channel, path, acquire, cx),
                Some(Err(error)) => self.fail(error, Report::new(path)),
                None => unreachable!("an operation in line has its buffers"),
            },
            Stage::Flying { flight, channel, operation } => self.fly(flight, channel, operation, cx),
        }
    }

    /// Ends well, unless the queue has answered with another operation's value.
    #[inline]
    fn end(
        &mut self,
        channel: &Channel,
        operation: Operation,
        value: Value,
        report: Report,
    ) -> Poll<Outcome<V, B>> {
        let Some(value) = V::extract(value) else {
            let queue = channel.capabilities().name;
            let what = "answer of another operation";
            return self.fail(Error::Nonsense { queue, operation, what, record: 0 }, report);
        };
        let Some(buffers) = self.buffers.take() else {
            unreachable!("an operation ended well without its buffers")
        };
        Poll::Ready(Ok(Completed { value, report, buffers }))
    }

    #[cold]
    fn fail(&mut self, error: Error, report: Report) -> Poll<Outcome<V, B>> {
        Poll::Ready(Err(Failed { error, buffers: self.buffers.take(), report }))
    }
}

impl<V: Extract, B: Send + 'static, A: Ask<B>> Future for Running<'_, V, B, A> {
    type Output = Outcome<V, B>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome<V, B>> {
        if let Stage::New { cpu } = self.stage {
            return self.begin(cpu, cx);
        }
        let stage = std::mem::replace(&mut self.stage, Stage::New { cpu: None });
        self.go_on(stage, cx)
    }
}
