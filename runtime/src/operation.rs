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

mod cipher;
mod control;
mod delta;
mod dictionary;
mod filter;
mod integrity;
mod lz4;
mod miniblock;
mod numeric;
mod running;

use std::future::Future;

use crate::ask;
use crate::backend::Submission;
use crate::buffer::{IoBuf, IoBufMut};
use crate::channel::{Again, Channel, Ended, InFlight};
use crate::dif::DifTags;
use crate::error::{Error, Failed};
use crate::job::{Check, Done, Job, Value};
use crate::numeric::NumberExceptions;
use crate::path::{Path, Reason};
use crate::report::Report;
use crate::runtime::Runtime;
use crate::slot::Work;
use running::Running;

pub use cipher::Encrypted;
pub use filter::{ColumnQuery, Filtered};
pub use miniblock::IndexedBlock;

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

/// A delta record that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeltaRecord {
    /// Bytes of it; 0 if the ranges are equal.
    pub written: u64,
}

/// The tags of the block that would come next: to go on with where the next buffer begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DifNext {
    /// In a source whose fields are checked.
    pub source: DifTags,
    /// In a destination whose fields are made.
    pub destination: DifTags,
}

/// How to deflate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeflateOptions {
    /// 1 (fast) to 9 (small), as far as a device tells them apart.
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

/// A job on the memory of buffers, made when the operation starts. Fails for what cannot be asked.
trait Ask<B>: Fn(&mut B) -> Result<Job, Error> + Send {}

impl<B, F: Fn(&mut B) -> Result<Job, Error> + Send> Ask<B> for F {}

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
        // More than 32 bits is not an answer either.
        if let Value::Crc(crc) = value { u32::try_from(crc).ok() } else { None }
    }
}

impl Extract for u64 {
    fn extract(value: Value) -> Option<Self> {
        if let Value::Crc(crc) = value { Some(crc) } else { None }
    }
}

impl Extract for DeltaRecord {
    fn extract(value: Value) -> Option<Self> {
        if let Value::Delta { written } = value { Some(Self { written }) } else { None }
    }
}

impl Extract for DifNext {
    fn extract(value: Value) -> Option<Self> {
        let Value::Tags { source, destination } = value else { return None };
        Some(Self { source, destination })
    }
}

impl Extract for NumberExceptions {
    fn extract(value: Value) -> Option<Self> {
        if let Value::Exceptions(exceptions) = value { Some(exceptions) } else { None }
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
        self.run((src, dst), |(src, dst)| ask::copy(src, dst), Room::Wait)
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
        self.run((src, dst), |(src, dst)| ask::copy(src, dst), Room::Busy)
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
        self.run(dst, move |dst| ask::fill(dst, pattern), Room::Wait)
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
        self.run(dst, move |dst| ask::fill(dst, pattern), Room::Busy)
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
        self.run((a, b), |(a, b)| ask::compare(a, b), Room::Wait)
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
        self.run((a, b), |(a, b)| ask::compare(a, b), Room::Busy)
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
        self.run(src, move |src| ask::crc32c(src, seed), Room::Wait)
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
        self.run(src, move |src| ask::crc32c(src, seed), Room::Busy)
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
        self.run((src, dst), move |(src, dst)| ask::deflate(src, dst, options), Room::Wait)
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
        self.run((src, dst), move |(src, dst)| ask::deflate(src, dst, options), Room::Busy)
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
        let first = self.run((src, dst), move |(src, dst)| ask::inflate(src, dst, check), Room::Wait).await;
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
        let first = self.run((src, dst), move |(src, dst)| ask::inflate(src, dst, check), Room::Busy).await;
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
        self.run_on_cpu((src, dst), move |(src, dst)| ask::inflate(src, dst, check), Room::Wait, reason).await
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
                self.run_on_cpu(
                    (src, dst),
                    move |(src, dst)| ask::inflate(src, dst, check),
                    room,
                    Reason::Stream,
                )
                .await
            }
            first => first,
        }
    }

    /// The future of an operation on the queue it is best done by.
    #[inline]
    fn run<V: Extract, B: Send + 'static, A: Ask<B>>(
        &self,
        buffers: B,
        ask: A,
        room: Room,
    ) -> Running<'_, V, B, A> {
        Running::new(self, buffers, ask, room, None)
    }

    /// The future of an operation on the CPU, for `reason`.
    fn run_on_cpu<V: Extract, B: Send + 'static, A: Ask<B>>(
        &self,
        buffers: B,
        ask: A,
        room: Room,
        reason: Reason,
    ) -> Running<'_, V, B, A> {
        Running::new(self, buffers, ask, room, Some(reason))
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
    /// and nobody uses what it writes; a cipher it names lives and stays where it is. The job is over when the future has given its answer (unless that is
    /// [`Error::NoAnswer`]); if the future is dropped before, it is over when [`Runtime::shutdown`] has
    /// returned without anything left unanswered.
    pub async unsafe fn submit_raw(&self, job: Job) -> Result<(Done, Report), Failed<()>> {
        if job.bytes() == 0
            && let Some(value) = job.empty_value()
        {
            return Ok((Done { bytes: 0, value }, Report::new(Path::Software { reason: Reason::Empty })));
        }
        let Some(mut chosen) = self.choose(&job) else {
            return Err(Failed::early(self.nowhere(job.operation()), (), self.blank_report()));
        };
        let mut detours = 0;
        let ended = loop {
            // SAFETY: the caller's contract.
            let ended = unsafe { self.submit_raw_on(chosen, job) }.await;
            let other = self.choose_again(&job, ended.again);
            match other.filter(|_| detours < self.config().detours_max) {
                Some(other) => (chosen, detours) = (other, detours + 1),
                None => break ended,
            }
        };
        match ended.outcome {
            Ok(done) => Ok((done, ended.report)),
            Err(error) => Err(Failed { error, buffers: ended.buffers, report: ended.report }),
        }
    }

    /// [`Runtime::submit_raw`], on one queue.
    ///
    /// # Safety
    ///
    /// As there.
    async unsafe fn submit_raw_on(&self, (channel, path): (&Channel, Path), job: Job) -> Ended<()> {
        let acquired = match channel.try_acquire() {
            Some(slot) => Some(slot),
            None => channel.acquire().await,
        };
        let Some(slot) = acquired else {
            let error = channel.unserved(job.operation());
            let again = Again::after(&error);
            return Ended { outcome: Err(error), buffers: Some(()), report: Report::new(path), again };
        };
        let how = Submission { unchecked: true, ..self.submission() };
        // SAFETY: the caller's contract.
        unsafe { InFlight::start(channel, slot, (), Work::One(job), how, path) }.await
    }
}
