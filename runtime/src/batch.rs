//! Several small operations at once: one slot, one submission, one wake-up.
//!
//! A batch is memory that is made once and used again and again: filling, running and draining it allocates
//! nothing. Its members are independent of each other; one that fails says so and the rest go on.
//!
//! UNSAFETY: hands the members to the driver by address while the slot owns them.
#![expect(unsafe_code, reason = "members are lent to the driver by address")]

use crate::backend::{Failure, Kind, Member};
use crate::buffer::{IoBuf, IoBufMut};
use crate::channel::{Channel, InFlight};
use crate::error::{Error, Failed};
use crate::job::{Done, Job, Operation};
use crate::operation::{Completed, Outcome};
use crate::path::{Path, QueueName, Reason};
use crate::report::Report;
use crate::runtime::Runtime;
use crate::slot::Work;

/// What one member of a batch was lent.
#[derive(Debug, PartialEq, Eq)]
pub enum Lent<S, D> {
    /// Source and destination of a copy.
    Copy(S, D),
    /// Destination of a fill.
    Fill(D),
    /// The two sides of a comparison.
    Compare(S, S),
    /// Source of a CRC.
    Crc32c(S),
}

/// What came of one member of a batch.
#[derive(Debug)]
pub struct MemberOutcome<S, D> {
    /// What it found; [`Value::None`](crate::Value::None) for copies and fills.
    pub result: Result<Done, Error>,
    /// Its buffers.
    pub lent: Lent<S, D>,
}

/// Members of a batch, and room for more.
///
/// # Invariants
///
/// `members[i]` is a job on the memory of `lent[i]`.
#[derive(Debug)]
pub struct Batch<S, D>(Box<Body<S, D>>);

#[derive(Debug)]
struct Body<S, D> {
    members: Vec<Member>,
    lent: Vec<Lent<S, D>>,
    /// Members without a result yet.
    open: usize,
    queue: QueueName,
}

impl<S: IoBuf, D: IoBufMut> Batch<S, D> {
    /// An empty batch with room for `members_max` members. Queues take at most their
    /// [`batch_max`](crate::backend::Capabilities::batch_max) at once.
    pub fn with_capacity(members_max: usize) -> Self {
        Self(Box::new(Body {
            members: Vec::with_capacity(members_max),
            lent: Vec::with_capacity(members_max),
            open: 0,
            queue: QueueName::new("batch"),
        }))
    }

    /// Members in the batch.
    pub fn len(&self) -> usize {
        self.0.members.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.members.is_empty()
    }

    /// Adds a copy.
    ///
    /// # Errors
    ///
    /// [`Error::BatchFull`], [`Error::Length`]; the buffers come back.
    pub fn copy(&mut self, src: S, mut dst: D) -> Result<(), Failed<(S, D)>> {
        let (from, to) = (src.span(), dst.span_mut());
        if let Err(error) = self.admit(Operation::Copy, from.len, to.len) {
            return Err(refused(error, (src, dst)));
        }
        let job = Job::Copy { src: from.addr, dst: to.addr, len: from.len };
        self.push(job, Lent::Copy(src, dst));
        Ok(())
    }

    /// Adds a fill.
    ///
    /// # Errors
    ///
    /// [`Error::BatchFull`]; the buffer comes back.
    pub fn fill(&mut self, mut dst: D, pattern: u64) -> Result<(), Failed<D>> {
        let to = dst.span_mut();
        if let Err(error) = self.admit(Operation::Fill, to.len, to.len) {
            return Err(refused(error, dst));
        }
        let job = Job::Fill { dst: to.addr, len: to.len, pattern };
        self.push(job, Lent::Fill(dst));
        Ok(())
    }

    /// Adds a comparison.
    ///
    /// # Errors
    ///
    /// [`Error::BatchFull`], [`Error::Length`]; the buffers come back.
    pub fn compare(&mut self, a: S, b: S) -> Result<(), Failed<(S, S)>> {
        let (x, y) = (a.span(), b.span());
        if let Err(error) = self.admit(Operation::Compare, x.len, y.len) {
            return Err(refused(error, (a, b)));
        }
        let job = Job::Compare { a: x.addr, b: y.addr, len: x.len };
        self.push(job, Lent::Compare(a, b));
        Ok(())
    }

    /// Adds a CRC-32C.
    ///
    /// # Errors
    ///
    /// [`Error::BatchFull`]; the buffer comes back.
    pub fn crc32c(&mut self, src: S, seed: u32) -> Result<(), Failed<S>> {
        let from = src.span();
        if let Err(error) = self.admit(Operation::Crc32c, from.len, from.len) {
            return Err(refused(error, src));
        }
        self.push(Job::Crc32c { src: from.addr, len: from.len, seed }, Lent::Crc32c(src));
        Ok(())
    }

    fn admit(&self, operation: Operation, first: u64, second: u64) -> Result<(), Error> {
        if self.0.members.len() == self.0.members.capacity() {
            return Err(Error::BatchFull { members_max: self.0.members.capacity() });
        }
        if first != second {
            return Err(Error::Length { operation, first, second });
        }
        Ok(())
    }

    fn push(&mut self, job: Job, lent: Lent<S, D>) {
        // INVARIANT: the job was made from the buffers beside it.
        push_in_place(&mut self.0.members, Member { job, result: None });
        push_in_place(&mut self.0.lent, lent);
        self.0.open += 1;
        if job.bytes() == 0
            && let Some(value) = job.empty_value()
            && let Some(member) = self.0.members.last_mut()
        {
            member.result = Some(Ok(Done { bytes: 0, value }));
            self.0.open -= 1;
        }
    }

    /// Counts what is open after a run. One that ended well answers every member.
    fn settle(&mut self, ended_well: bool) {
        self.0.open = 0;
        for member in self.0.members.iter_mut().filter(|member| member.result.is_none()) {
            if ended_well {
                let failure = Failure::Nonsense { what: "no answer in a batch that is done", record: 0 };
                member.result = Some(Err(failure));
            } else {
                self.0.open += 1;
            }
        }
    }

    /// Takes the members out, in the order they were added: each with its result and its buffers. A member that
    /// was never run says that the batch was closed before.
    pub fn drain(&mut self) -> impl Iterator<Item = MemberOutcome<S, D>> {
        self.0.open = 0;
        let queue = self.0.queue;
        self.0.members.drain(..).zip(self.0.lent.drain(..)).map(move |(member, lent)| {
            let operation = member.job.operation();
            let result = match member.result {
                Some(Ok(done)) => Ok(done),
                Some(Err(failure)) => Err(Error::from_failure(failure, queue, operation, member.job.bytes())),
                None => Err(Error::Closed { operation }),
            };
            MemberOutcome { result, lent }
        })
    }
}

/// [`Vec::push`] into capacity there is known to be, without a copy of what was just put together.
#[inline(always)]
fn push_in_place<T>(vec: &mut Vec<T>, value: T) {
    let len = vec.len();
    let Some(place) = vec.spare_capacity_mut().first_mut() else { return vec.push(value) };
    place.write(value);
    // SAFETY: the element at `len` has just been written, within the capacity.
    unsafe { vec.set_len(len + 1) };
}

fn refused<B>(error: Error, buffers: B) -> Failed<B> {
    Failed::early(error, buffers, Report::new(Path::Software { reason: Reason::Empty }))
}

impl Runtime {
    /// Runs the members of `batch`, at most the queue's `batch_max` of them at once. The batch comes back with a
    /// result in each member; [`Batch::drain`] takes them out.
    ///
    /// Dropping the future is safe, as for any operation.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] when no queue takes all its operations, and what the queue or the device said of
    /// the batch as a whole. A member's own failure is in the member.
    pub async fn run_batch<S: IoBuf, D: IoBufMut>(&self, mut batch: Batch<S, D>) -> Outcome<(), Batch<S, D>> {
        if batch.0.open == 0 {
            let report = Report::new(Path::Software { reason: Reason::Empty });
            return Ok(Completed { value: (), report, buffers: batch });
        }
        let Some((channel, path)) = self.choose_for(&batch.0.members) else {
            let operation = batch.0.members.first().map_or(Operation::Copy, |member| member.job.operation());
            return Err(Failed::early(Error::Unsupported { operation }, batch, self.blank_report()));
        };
        batch.0.queue = channel.capabilities().name;
        let acquired = match channel.try_acquire() {
            Some(slot) => Some(slot),
            None => channel.acquire().await,
        };
        let Some(slot) = acquired else {
            let operation = batch.0.members.first().map_or(Operation::Copy, |member| member.job.operation());
            return Err(Failed::early(channel.unserved(operation), batch, Report::new(path)));
        };
        let work = Work::Many { members: batch.0.members.as_mut_ptr(), len: batch.0.members.len() };
        // SAFETY: the members and the buffers of their jobs live behind the box that the slot now holds, and
        // nobody can reach them before it comes back.
        let flight = unsafe { InFlight::start(channel, slot, batch, work, self.submission(), path) };
        let mut ended = flight.await;
        if let Some(batch) = &mut ended.buffers {
            batch.settle(ended.outcome.is_ok());
        }
        match (ended.outcome, ended.buffers) {
            (Ok(_), Some(batch)) => Ok(Completed { value: (), report: ended.report, buffers: batch }),
            (Ok(_), None) => unreachable!("a slot that ended well gives its buffers back"),
            (Err(error), buffers) => Err(Failed { error, buffers, report: ended.report }),
        }
    }

    /// The first queue that takes all of `members` at once.
    fn choose_for(&self, members: &[Member]) -> Option<(&Channel, Path)> {
        let mut reason = None;
        for channel in self.channels() {
            let capabilities = channel.capabilities();
            let missing = members.iter().find(|m| !capabilities.operations.contains(m.job.operation()));
            if let Some(missing) = missing {
                reason = Some(Reason::NotOffered { operation: missing.job.operation() });
            } else if members.len() <= capabilities.batch_max as usize {
                let reason = reason.filter(|_| capabilities.kind == Kind::Software);
                return Some((channel, capabilities.path(reason.unwrap_or(self.config().software_reason))));
            }
        }
        None
    }
}
