//! The operations a caller awaits.
//!
//! Each takes its buffers by value and gives them back, well or not. What they have in common:
//!
//! * **Submission** happens when the future is first polled. When all slots of the queue are taken it waits,
//!   first come, first served; the `try_` variants answer [`Error::Busy`] instead, and so does an operation that has waited
//!   while nobody got a slot for `answer_within`.
//! * **Cancellation**: dropping the future at any point is safe. What the device has begun it finishes, into
//!   buffers that the runtime keeps until then and drops afterwards.
//! * **Faults** are handled by the runtime's [`FaultPolicy`](crate::FaultPolicy).
//! * **Which path ran** is in every [`Report`].
//!
//! UNSAFETY: turns lent buffers into addresses.
#![expect(unsafe_code, reason = "starting an operation relies on the buffers' promise")]

use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::address::Span;
use crate::backend::Submission;
use crate::buffer::{IoBuf, IoBufMut};
use crate::channel::{Acquire, Channel, InFlight};
use crate::error::{Error, Failed};
use crate::job::{Check, Done, Job, Operation, Value};
use crate::path::{Path, Reason};
use crate::report::{Faults, Report};
use crate::runtime::Runtime;
use crate::slot::Work;

/// An operation that went well: what it found, what happened on the way, and the buffers.
#[derive(Debug)]
pub struct Completed<V, B> {
    /// What the operation found; `()` where there is nothing to find.
    pub value: V,
    /// Path, bytes and faults.
    pub report: Report,
    /// The buffers that were lent.
    pub buffers: B,
}

impl<V, B> Completed<V, B> {
    /// The same with another value.
    pub fn map<W>(self, map: impl FnOnce(V) -> W) -> Completed<W, B> {
        Completed { value: map(self.value), report: self.report, buffers: self.buffers }
    }
}

/// What an operation with value `V` on buffers `B` ends in.
pub type Outcome<V, B> = Result<Completed<V, B>, Failed<B>>;

/// A deflate segment that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deflated {
    /// Bytes of output.
    pub written: u64,
    /// The checksum of the input that was asked for.
    pub check: u32,
}

/// A stream that was expanded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inflated {
    /// Bytes of the stream; what follows it in the buffer is not looked at.
    pub read: u64,
    /// Bytes of output.
    pub written: u64,
    /// The checksum of the output that was asked for.
    pub check: u32,
}

/// How to deflate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeflateOptions {
    /// 1 (fast) to 9 (small). Devices with one setting ignore it.
    pub level: u8,
    /// Whether the stream ends with this segment. If not, the next segment can follow byte by byte.
    pub last: bool,
    /// Checksum of the input.
    pub check: Check,
}

impl Default for DeflateOptions {
    fn default() -> Self {
        Self { level: 6, last: true, check: Check::None }
    }
}

/// What to do without room.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Room {
    Wait,
    Busy,
}

/// An operation about to start: its buffers, and what is to be done with them.
struct Prepared<B> {
    buffers: B,
    job: Job,
    /// Bytes of the first buffer, and of the second where it must be as long.
    first: u64,
    second: u64,
}

fn prepare_copy<S: IoBuf, D: IoBufMut>(src: S, mut dst: D) -> Prepared<(S, D)> {
    let (from, to) = (src.span(), dst.span_mut());
    let job = Job::Copy { src: from.addr, dst: to.addr, len: from.len };
    Prepared { job, buffers: (src, dst), first: from.len, second: to.len }
}

fn prepare_fill<D: IoBufMut>(mut dst: D, pattern: u64) -> Prepared<D> {
    let to = dst.span_mut();
    let job = Job::Fill { dst: to.addr, len: to.len, pattern };
    Prepared { job, buffers: dst, first: to.len, second: to.len }
}

fn prepare_compare<A: IoBuf, B: IoBuf>(a: A, b: B) -> Prepared<(A, B)> {
    let (x, y) = (a.span(), b.span());
    let job = Job::Compare { a: x.addr, b: y.addr, len: x.len };
    Prepared { job, buffers: (a, b), first: x.len, second: y.len }
}

fn prepare_crc32c<S: IoBuf>(src: S, seed: u32) -> Prepared<S> {
    let Span { addr, len } = src.span();
    Prepared { job: Job::Crc32c { src: addr, len, seed }, buffers: src, first: len, second: len }
}

fn prepare_deflate<S: IoBuf, D: IoBufMut>(src: S, mut dst: D, options: DeflateOptions) -> Prepared<(S, D)> {
    let DeflateOptions { level, last, check } = options;
    let job = Job::Deflate { src: src.span(), dst: dst.span_mut(), level: level.clamp(1, 9), last, check };
    Prepared { job, buffers: (src, dst), first: job.bytes(), second: job.bytes() }
}

fn prepare_inflate<S: IoBuf, D: IoBufMut>(src: S, mut dst: D, check: Check) -> Prepared<(S, D)> {
    let job = Job::Inflate { src: src.span(), dst: dst.span_mut(), check };
    Prepared { job, buffers: (src, dst), first: job.bytes(), second: job.bytes() }
}

/// Takes a value apart. A queue that answers with another operation's value is broken, not the caller.
trait Extract: Sized {
    fn extract(value: Value) -> Option<Self>;
}

impl Extract for () {
    fn extract(value: Value) -> Option<Self> {
        matches!(value, Value::None).then_some(())
    }
}

impl Extract for Option<u64> {
    fn extract(value: Value) -> Option<Self> {
        if let Value::Difference(at) = value { Some(at) } else { None }
    }
}

impl Extract for u32 {
    fn extract(value: Value) -> Option<Self> {
        if let Value::Crc32c(crc) = value { Some(crc) } else { None }
    }
}

impl Extract for Deflated {
    fn extract(value: Value) -> Option<Self> {
        if let Value::Deflate { written, check } = value { Some(Self { written, check }) } else { None }
    }
}

impl Extract for Inflated {
    fn extract(value: Value) -> Option<Self> {
        let Value::Inflate { read, written, check } = value else { return None };
        Some(Self { read, written, check })
    }
}

impl Runtime {
    /// Copies `src` to `dst`. The lengths, in bytes, must be equal.
    ///
    /// # Errors
    ///
    /// [`Error::Length`], [`Error::Fault`] for memory nobody can make present, and what the queue or the device
    /// said; the buffers come back. Source: DSA §8.3.4.
    pub fn copy<S: IoBuf, D: IoBufMut>(
        &self,
        src: S,
        dst: D,
    ) -> impl Future<Output = Outcome<(), (S, D)>> + Send + Unpin {
        self.run(prepare_copy(src, dst), Room::Wait)
    }

    /// [`Runtime::copy`], without waiting for room.
    ///
    /// # Errors
    ///
    /// Those of [`Runtime::copy`], and [`Error::Busy`].
    pub fn try_copy<S: IoBuf, D: IoBufMut>(
        &self,
        src: S,
        dst: D,
    ) -> impl Future<Output = Outcome<(), (S, D)>> + Send + Unpin {
        self.run(prepare_copy(src, dst), Room::Busy)
    }

    /// Fills `dst` with `pattern`, little-endian: its lowest byte comes first. The last repetition may be cut.
    ///
    /// # Errors
    ///
    /// As [`Runtime::copy`]. Source: DSA §8.3.5.
    pub fn fill<D: IoBufMut>(
        &self,
        dst: D,
        pattern: u64,
    ) -> impl Future<Output = Outcome<(), D>> + Send + Unpin {
        self.run(prepare_fill(dst, pattern), Room::Wait)
    }

    /// [`Runtime::fill`], without waiting for room.
    ///
    /// # Errors
    ///
    /// Those of [`Runtime::fill`], and [`Error::Busy`].
    pub fn try_fill<D: IoBufMut>(
        &self,
        dst: D,
        pattern: u64,
    ) -> impl Future<Output = Outcome<(), D>> + Send + Unpin {
        self.run(prepare_fill(dst, pattern), Room::Busy)
    }

    /// Finds the offset of the first byte in which `a` and `b` differ; none if they are equal. The lengths must
    /// be equal.
    ///
    /// # Errors
    ///
    /// As [`Runtime::copy`]. Source: DSA §8.3.6.
    pub fn compare<A: IoBuf, B: IoBuf>(
        &self,
        a: A,
        b: B,
    ) -> impl Future<Output = Outcome<Option<u64>, (A, B)>> + Send + Unpin {
        self.run(prepare_compare(a, b), Room::Wait)
    }

    /// [`Runtime::compare`], without waiting for room.
    ///
    /// # Errors
    ///
    /// Those of [`Runtime::compare`], and [`Error::Busy`].
    pub fn try_compare<A: IoBuf, B: IoBuf>(
        &self,
        a: A,
        b: B,
    ) -> impl Future<Output = Outcome<Option<u64>, (A, B)>> + Send + Unpin {
        self.run(prepare_compare(a, b), Room::Busy)
    }

    /// CRC-32C of `src`. `seed` is 0, or the CRC of what came before: CRCs chain.
    ///
    /// # Errors
    ///
    /// As [`Runtime::copy`]. Source: DSA §8.3.12.
    pub fn crc32c<S: IoBuf>(
        &self,
        src: S,
        seed: u32,
    ) -> impl Future<Output = Outcome<u32, S>> + Send + Unpin {
        self.run(prepare_crc32c(src, seed), Room::Wait)
    }

    /// [`Runtime::crc32c`], without waiting for room.
    ///
    /// # Errors
    ///
    /// Those of [`Runtime::crc32c`], and [`Error::Busy`].
    pub fn try_crc32c<S: IoBuf>(
        &self,
        src: S,
        seed: u32,
    ) -> impl Future<Output = Outcome<u32, S>> + Send + Unpin {
        self.run(prepare_crc32c(src, seed), Room::Busy)
    }

    /// Compresses `src` into a raw deflate segment in `dst`, byte-aligned at its end. An empty `src` is allowed
    /// and done by the CPU.
    ///
    /// # Errors
    ///
    /// [`Error::OutputFull`] when `dst` is too small, otherwise as [`Runtime::copy`]. Source: RFC 1951, IAA §3.4.
    pub fn deflate<S: IoBuf, D: IoBufMut>(
        &self,
        src: S,
        dst: D,
        options: DeflateOptions,
    ) -> impl Future<Output = Outcome<Deflated, (S, D)>> + Send + Unpin {
        self.run(prepare_deflate(src, dst, options), Room::Wait)
    }

    /// [`Runtime::deflate`], without waiting for room.
    ///
    /// # Errors
    ///
    /// Those of [`Runtime::deflate`], and [`Error::Busy`].
    pub fn try_deflate<S: IoBuf, D: IoBufMut>(
        &self,
        src: S,
        dst: D,
        options: DeflateOptions,
    ) -> impl Future<Output = Outcome<Deflated, (S, D)>> + Send + Unpin {
        self.run(prepare_deflate(src, dst, options), Room::Busy)
    }

    /// Expands the raw deflate stream that `src` begins with into `dst`.
    ///
    /// A stream the device cannot decode (for an IAA: one with a window over 4 KiB) goes to the CPU, and the
    /// result's path says so.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`], [`Error::Truncated`], [`Error::OutputFull`], otherwise as [`Runtime::copy`].
    pub async fn inflate<S: IoBuf, D: IoBufMut>(
        &self,
        src: S,
        dst: D,
        check: Check,
    ) -> Outcome<Inflated, (S, D)> {
        let first = self.run(prepare_inflate(src, dst, check), Room::Wait).await;
        self.after_stream(first, check, Room::Wait).await
    }

    /// [`Runtime::inflate`], without waiting for room.
    ///
    /// # Errors
    ///
    /// Those of [`Runtime::inflate`], and [`Error::Busy`].
    pub async fn try_inflate<S: IoBuf, D: IoBufMut>(
        &self,
        src: S,
        dst: D,
        check: Check,
    ) -> Outcome<Inflated, (S, D)> {
        let first = self.run(prepare_inflate(src, dst, check), Room::Busy).await;
        self.after_stream(first, check, Room::Busy).await
    }

    /// [`Runtime::inflate`] on the CPU, for `reason`.
    ///
    /// # Errors
    ///
    /// As [`Runtime::inflate`]; [`Error::Unsupported`] without a CPU engine.
    pub async fn inflate_on_cpu<S: IoBuf, D: IoBufMut>(
        &self,
        src: S,
        dst: D,
        check: Check,
        reason: Reason,
    ) -> Outcome<Inflated, (S, D)> {
        self.run_on_cpu(prepare_inflate(src, dst, check), Room::Wait, reason).await
    }

    /// Does on the CPU what the device could not decode.
    async fn after_stream<S: IoBuf, D: IoBufMut>(
        &self,
        first: Outcome<Inflated, (S, D)>,
        check: Check,
        room: Room,
    ) -> Outcome<Inflated, (S, D)> {
        match first {
            Err(Failed { error: Error::Stream { .. }, buffers: Some((src, dst)), .. })
                if self.software().is_some() =>
            {
                self.run_on_cpu(prepare_inflate(src, dst, check), room, Reason::Stream).await
            }
            first => first,
        }
    }

    /// The future of an operation on the queue it is best done by.
    fn run<V: Extract, B: Send + 'static>(&self, prepared: Prepared<B>, room: Room) -> Running<'_, V, B> {
        Running {
            runtime: self,
            prepared: Some(prepared),
            stage: Stage::New { cpu: None },
            room,
            value: PhantomData,
        }
    }

    /// The future of an operation on the CPU, for `reason`.
    fn run_on_cpu<V: Extract, B: Send + 'static>(
        &self,
        prepared: Prepared<B>,
        room: Room,
        reason: Reason,
    ) -> Running<'_, V, B> {
        Running {
            runtime: self,
            prepared: Some(prepared),
            stage: Stage::New { cpu: Some(reason) },
            room,
            value: PhantomData,
        }
    }

    /// Runs `job` on memory the caller answers for.
    ///
    /// Addresses that cannot be used end in [`Error::Fault`], as for any operation.
    ///
    /// # Errors
    ///
    /// As the operation's own method.
    ///
    /// # Safety
    ///
    /// From the first poll until the job is over, nobody unmaps the job's memory, nobody writes what it reads,
    /// and nobody uses what it writes. The job is over when the future has given its answer (unless that is
    /// [`Error::NoAnswer`]); if the future is dropped before, it is over when [`Runtime::shutdown`] has
    /// returned without anything left unanswered.
    pub async unsafe fn submit_raw(&self, job: Job) -> Result<(Done, Report), Failed<()>> {
        if job.bytes() == 0
            && let Some(value) = job.empty_value()
        {
            return Ok((Done { bytes: 0, value }, Report::new(Path::Software { reason: Reason::Empty })));
        }
        let Some((channel, path)) = self.choose(&job) else {
            let error = Error::Unsupported { operation: job.operation() };
            return Err(Failed::early(error, (), self.blank_report()));
        };
        let acquired = match channel.try_acquire() {
            Some(slot) => Some(slot),
            None => channel.acquire().await,
        };
        let Some(slot) = acquired else {
            let error = channel.unserved(job.operation());
            return Err(Failed::early(error, (), Report::new(path)));
        };
        let how = Submission { unchecked: true, ..self.submission() };
        // SAFETY: the caller's contract.
        let ended = unsafe { InFlight::start(channel, slot, (), Work::One(job), how, path) }.await;
        match ended.outcome {
            Ok(done) => Ok((done, ended.report)),
            Err(error) => Err(Failed { error, buffers: ended.buffers, report: ended.report }),
        }
    }
}

/// An operation on its way to a slot, in it, and out of it.
///
/// Written by hand, and small: an operation that completes at once goes through here in one poll, and each byte that is
/// moved on that way costs.
struct Running<'e, V, B: Send + 'static> {
    runtime: &'e Runtime,
    /// What is to be done, until it has a slot.
    prepared: Option<Prepared<B>>,
    stage: Stage<'e, B>,
    room: Room,
    value: PhantomData<fn() -> V>,
}

enum Stage<'e, B: Send + 'static> {
    /// Not polled yet. `cpu`: only there, and why.
    New { cpu: Option<Reason> },
    /// In line for a slot.
    Waiting { channel: &'e Channel, path: Path, acquire: Acquire<'e> },
    /// In a slot.
    Flying { flight: InFlight<'e, B>, channel: &'e Channel, operation: Operation },
    /// Over.
    Over,
}

// The buffers and the flight are moved freely: nothing refers into the future.
impl<V, B: Send + 'static> Unpin for Running<'_, V, B> {}

impl<'e, V: Extract, B: Send + 'static> Running<'e, V, B> {
    /// Finds a queue and a slot, and starts.
    #[inline]
    fn begin(
        &mut self,
        prepared: Prepared<B>,
        cpu: Option<Reason>,
        cx: &mut Context<'_>,
    ) -> Poll<Outcome<V, B>> {
        let job = &prepared.job;
        let runtime = self.runtime;
        let chosen = match cpu {
            None => runtime.choose(job),
            Some(reason) => runtime.software().map(|cpu| (cpu, cpu.capabilities().path(reason))),
        };
        let Some((channel, path)) = chosen else {
            let error = Error::Unsupported { operation: job.operation() };
            return Poll::Ready(Err(Failed::early(error, prepared.buffers, runtime.blank_report())));
        };
        if prepared.first != prepared.second || prepared.first == 0 && job.empty_value().is_some() {
            return Poll::Ready(without_a_slot(prepared, path));
        }
        match channel.try_acquire() {
            Some(slot) => self.start(prepared, channel, path, slot, cx),
            None if self.room == Room::Busy && !channel.is_closed() => {
                let error = Error::Busy { queue: channel.capabilities().name };
                Poll::Ready(Err(Failed::early(error, prepared.buffers, Report::new(path))))
            }
            None => self.wait(prepared, channel, path, channel.acquire(), cx),
        }
    }

    /// Stands in line.
    fn wait(
        &mut self,
        prepared: Prepared<B>,
        channel: &'e Channel,
        path: Path,
        mut acquire: Acquire<'e>,
        cx: &mut Context<'_>,
    ) -> Poll<Outcome<V, B>> {
        match Pin::new(&mut acquire).poll(cx) {
            Poll::Pending => {
                self.prepared = Some(prepared);
                self.stage = Stage::Waiting { channel, path, acquire };
                Poll::Pending
            }
            Poll::Ready(Some(slot)) => self.start(prepared, channel, path, slot, cx),
            Poll::Ready(None) => {
                let error = channel.unserved(prepared.job.operation());
                Poll::Ready(Err(Failed::early(error, prepared.buffers, Report::new(path))))
            }
        }
    }

    #[inline]
    fn start(
        &mut self,
        prepared: Prepared<B>,
        channel: &'e Channel,
        path: Path,
        slot: u32,
        cx: &mut Context<'_>,
    ) -> Poll<Outcome<V, B>> {
        let Prepared { buffers, job, .. } = prepared;
        let operation = job.operation();
        let how = self.runtime.submission();
        // SAFETY: `buffers` made the job's addresses, and keep their promise while the slot holds them.
        let flight = match unsafe { InFlight::start_or_finish(channel, slot, buffers, job, how, path) } {
            Ok((done, buffers)) => {
                let report = Report { path, bytes: done.bytes, faults: Faults::NONE };
                return Poll::Ready(match V::extract(done.value) {
                    Some(value) => Ok(Completed { value, report, buffers }),
                    None => Err(Failed::early(other_answer(channel, operation), buffers, report)),
                });
            }
            Err(flight) => flight,
        };
        if self.room == Room::Busy && flight.is_refused() {
            let error = Error::Busy { queue: channel.capabilities().name };
            return Poll::Ready(Err(Failed {
                error,
                buffers: flight.take_back(),
                report: Report::new(path),
            }));
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
            Poll::Ready(ended) => Poll::Ready(finish(channel, operation, ended)),
            Poll::Pending => {
                self.stage = Stage::Flying { flight, channel, operation };
                Poll::Pending
            }
        }
    }
}

impl<V: Extract, B: Send + 'static> Future for Running<'_, V, B> {
    type Output = Outcome<V, B>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome<V, B>> {
        let stage = std::mem::replace(&mut self.stage, Stage::Over);
        match (stage, self.prepared.take()) {
            (Stage::New { cpu }, Some(prepared)) => self.begin(prepared, cpu, cx),
            (Stage::Waiting { channel, path, acquire }, Some(prepared)) => {
                self.wait(prepared, channel, path, acquire, cx)
            }
            (Stage::Flying { flight, channel, operation }, _) => self.fly(flight, channel, operation, cx),
            _ => panic!("an operation was polled after it had given its answer"),
        }
    }
}

/// Ends an operation that has nothing to do, or not what it takes.
#[cold]
fn without_a_slot<V: Extract, B>(prepared: Prepared<B>, path: Path) -> Outcome<V, B> {
    let Prepared { buffers, job, first, second } = prepared;
    let operation = job.operation();
    match job.empty_value().filter(|_| first == second).and_then(V::extract) {
        Some(value) => {
            let report = Report::new(Path::Software { reason: Reason::Empty });
            Ok(Completed { value, report, buffers })
        }
        None => Err(Failed::early(Error::Length { operation, first, second }, buffers, Report::new(path))),
    }
}

/// A queue answered with another operation's value.
#[cold]
fn other_answer(channel: &Channel, operation: Operation) -> Error {
    let queue = channel.capabilities().name;
    Error::Nonsense { queue, operation, what: "answer of another operation", record: 0 }
}

/// Turns what came out of a slot into the caller's result.
fn finish<V: Extract, B>(
    channel: &Channel,
    operation: Operation,
    ended: crate::channel::Ended<B>,
) -> Outcome<V, B> {
    let crate::channel::Ended { outcome, buffers, report } = ended;
    match (outcome, buffers) {
        (Ok(done), Some(buffers)) => match V::extract(done.value) {
            Some(value) => Ok(Completed { value, report, buffers }),
            None => Err(Failed::early(other_answer(channel, operation), buffers, report)),
        },
        (Ok(_), None) => unreachable!("a slot that ended well gives its buffers back"),
        (Err(error), buffers) => Err(Failed { error, buffers, report }),
    }
}
