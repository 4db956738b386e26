//! Several small operations at once: one slot, one submission, one wake-up.
//!
//! A batch is memory that is made once and used again and again: filling, running and draining it allocates
//! nothing. Its members are independent of each other; one that fails says so and the rest go on.
//!
//! UNSAFETY: hands the members to the driver by address while the slot owns them.
#![expect(unsafe_code, reason = "members are lent to the driver by address")]

use std::mem::MaybeUninit;

use crate::ask;
use crate::backend::{Failure, Kind, Member};
use crate::buffer::{IoBuf, IoBufMut};
use crate::channel::{Channel, Ended, InFlight, Offer};
use crate::error::{Error, Failed};
use crate::job::{Done, Job, Operation, Operations};
use crate::operation::{Completed, Outcome};
use crate::path::{Path, QueueName, Reason};
use crate::report::{Faults, Report};
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

/// What one member was lent, as it lies in a batch: the buffers side by side. (An enum is put together elsewhere and
/// moved here, in other pieces than it was written in, and the CPU waits for each.)
#[derive(Debug)]
struct Loan<S, D> {
    src: Option<S>,
    src2: Option<S>,
    dst: Option<D>,
}

impl<S, D> Loan<S, D> {
    /// As the caller knows it: the buffers tell which operation they are for.
    #[inline(always)]
    fn lent(self) -> Lent<S, D> {
        match self {
            Self { src: Some(src), dst: Some(dst), .. } => Lent::Copy(src, dst),
            Self { src: Some(a), src2: Some(b), .. } => Lent::Compare(a, b),
            Self { src: Some(src), .. } => Lent::Crc32c(src),
            Self { dst: Some(dst), .. } => Lent::Fill(dst),
            Self { .. } => unreachable!("a member without buffers"),
        }
    }
}

#[derive(Debug)]
struct Body<S, D> {
    members: Vec<Member>,
    lent: Vec<Loan<S, D>>,
    /// What the members do.
    operations: Operations,
    /// Members with a result.
    answered: usize,
    /// Members, from the first, that were in a run that ended well: should one have no result, it is the queue's fault.
    ran: usize,
    queue: QueueName,
}

impl<S: IoBuf, D: IoBufMut> Batch<S, D> {
    /// An empty batch with room for `members_max` members. Queues take at most their
    /// [`batch_max`](crate::backend::Capabilities::batch_max) at once.
    pub fn with_capacity(members_max: usize) -> Self {
        Self(Box::new(Body {
            members: Vec::with_capacity(members_max),
            lent: Vec::with_capacity(members_max),
            operations: Operations::NONE,
            answered: 0,
            ran: 0,
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
    #[inline]
    pub fn copy(&mut self, src: S, dst: D) -> Result<(), Failed<(S, D)>> {
        let Some(place) = self.room() else { return Err(self.full((src, dst))) };
        let loan = place.write(Loan { src: Some(src), src2: None, dst: Some(dst) });
        let Loan { src: Some(src), dst: Some(dst), .. } = loan else { unreachable!("just lent") };
        let job = ask::copy(src, dst);
        // SAFETY: the loan was written to the next free place just now.
        unsafe { self.add(job) }.map_err(|(error, loan)| match loan {
            Loan { src: Some(src), dst: Some(dst), .. } => refused(error, (src, dst)),
            _ => unreachable!("just lent"),
        })
    }

    /// Adds a fill.
    ///
    /// # Errors
    ///
    /// [`Error::BatchFull`]; the buffer comes back.
    #[inline]
    pub fn fill(&mut self, dst: D, pattern: u64) -> Result<(), Failed<D>> {
        let Some(place) = self.room() else { return Err(self.full(dst)) };
        let loan = place.write(Loan { src: None, src2: None, dst: Some(dst) });
        let Some(dst) = &mut loan.dst else { unreachable!("just lent") };
        let job = ask::fill(dst, pattern);
        // SAFETY: the loan was written to the next free place just now.
        unsafe { self.add(job) }.map_err(|(error, loan)| match loan.dst {
            Some(dst) => refused(error, dst),
            None => unreachable!("just lent"),
        })
    }

    /// Adds a comparison.
    ///
    /// # Errors
    ///
    /// [`Error::BatchFull`], [`Error::Length`]; the buffers come back.
    #[inline]
    pub fn compare(&mut self, a: S, b: S) -> Result<(), Failed<(S, S)>> {
        let Some(place) = self.room() else { return Err(self.full((a, b))) };
        let loan = place.write(Loan { src: Some(a), src2: Some(b), dst: None });
        let Loan { src: Some(a), src2: Some(b), .. } = loan else { unreachable!("just lent") };
        let job = ask::compare(a, b);
        // SAFETY: the loan was written to the next free place just now.
        unsafe { self.add(job) }.map_err(|(error, loan)| match loan {
            Loan { src: Some(a), src2: Some(b), .. } => refused(error, (a, b)),
            _ => unreachable!("just lent"),
        })
    }

    /// Adds a CRC-32C.
    ///
    /// # Errors
    ///
    /// [`Error::BatchFull`]; the buffer comes back.
    #[inline]
    pub fn crc32c(&mut self, src: S, seed: u32) -> Result<(), Failed<S>> {
        let Some(place) = self.room() else { return Err(self.full(src)) };
        let loan = place.write(Loan { src: Some(src), src2: None, dst: None });
        let Some(src) = &loan.src else { unreachable!("just lent") };
        let job = ask::crc32c(src, seed);
        // SAFETY: the loan was written to the next free place just now.
        unsafe { self.add(job) }.map_err(|(error, loan)| match loan.src {
            Some(src) => refused(error, src),
            None => unreachable!("just lent"),
        })
    }

    /// Where the buffers of the next member are to be put.
    #[inline]
    fn room(&mut self) -> Option<&mut MaybeUninit<Loan<S, D>>> {
        let Body { members, lent, .. } = &mut *self.0;
        if members.len() == members.capacity() { None } else { lent.spare_capacity_mut().first_mut() }
    }

    #[cold]
    fn full<B>(&self, buffers: B) -> Failed<B> {
        refused(Error::BatchFull { members_max: self.0.members.capacity() }, buffers)
    }

    /// Adds the member whose buffers were put into [`Batch::room`], or takes them back.
    ///
    /// # Safety
    ///
    /// A loan is in the first free place of `lent`, and `job`, if there is one, was made from it.
    #[inline]
    unsafe fn add(&mut self, job: Result<Job, Error>) -> Result<(), (Error, Loan<S, D>)> {
        let Body { members, lent, operations, answered, .. } = &mut *self.0;
        // SAFETY: the caller's contract: the next place holds a loan.
        unsafe { lent.set_len(lent.len() + 1) };
        let job = match job {
            Ok(job) => job,
            Err(error) => match lent.pop() {
                Some(loan) => return Err((error, loan)),
                None => unreachable!("a member whose buffers were not lent"),
            },
        };
        *operations = operations.with(job.operation());
        // INVARIANT: the job was made from the buffers beside it.
        members.push(Member { job, result: None });
        if job.bytes() == 0
            && let (Some(value), Some(member)) = (job.empty_value(), members.last_mut())
        {
            member.result = Some(Ok(Done { bytes: 0, value }));
            *answered += 1;
        }
        Ok(())
    }

    /// Counts what is answered after a run. One that ended well answers every member.
    fn settle(&mut self, ended_well: bool) {
        let members = &self.0.members;
        (self.0.answered, self.0.ran) = match ended_well {
            true => (members.len(), members.len()),
            false => (members.iter().filter(|member| member.result.is_some()).count(), self.0.ran),
        };
    }

    /// Takes the members out, in the order they were added: each with its result and its buffers. A member that
    /// was never run says that the batch was closed before.
    #[inline]
    pub fn drain(&mut self) -> impl Iterator<Item = MemberOutcome<S, D>> {
        let Body { members, lent, operations, answered, ran, queue } = &mut *self.0;
        *operations = Operations::NONE;
        *answered = 0;
        let ran = std::mem::take(ran);
        Drain { members: members.drain(..), lent: lent.drain(..), queue: *queue, ran }
    }
}

/// Takes members out of a batch.
struct Drain<'b, S, D> {
    members: std::vec::Drain<'b, Member>,
    lent: std::vec::Drain<'b, Loan<S, D>>,
    queue: QueueName,
    /// Members to come that were in a run that ended well.
    ran: usize,
}

impl<S, D> Drain<'_, S, D> {
    #[inline(always)]
    fn outcome(member: &Member, loan: Loan<S, D>, queue: QueueName, unanswered: bool) -> MemberOutcome<S, D> {
        let result = match member.result {
            Some(Ok(done)) => Ok(done),
            _ => Err(why_not(member, queue, unanswered)),
        };
        MemberOutcome { result, lent: loan.lent() }
    }
}

impl<S, D> Iterator for Drain<'_, S, D> {
    type Item = MemberOutcome<S, D>;

    #[inline]
    fn next(&mut self) -> Option<MemberOutcome<S, D>> {
        let (member, loan) = (self.members.next()?, self.lent.next()?);
        let unanswered = self.ran != 0;
        self.ran = self.ran.saturating_sub(1);
        Some(Self::outcome(&member, loan, self.queue, unanswered))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.members.size_hint()
    }

    /// What `for_each` does: without an outcome ever being put down and picked up again.
    #[inline]
    fn fold<T, F: FnMut(T, MemberOutcome<S, D>) -> T>(self, init: T, mut fold: F) -> T {
        let Self { members, lent, queue, ran } = self;
        let mut folded = init;
        for ((at, member), loan) in members.as_slice().iter().enumerate().zip(lent) {
            folded = fold(folded, Self::outcome(member, loan, queue, at < ran));
        }
        folded
    }
}

#[cold]
fn why_not(member: &Member, queue: QueueName, unanswered: bool) -> Error {
    let operation = member.job.operation();
    let silence = Failure::Nonsense { what: "no answer in a batch that is done", record: 0 };
    match member.result {
        Some(Err(failure)) => Error::from_failure(failure, queue, operation, member.job.bytes()),
        _ if unanswered => Error::from_failure(silence, queue, operation, member.job.bytes()),
        _ => Error::Closed { operation },
    }
}

/// What starting came to: over, with the buffers, or under way.
type Begun<'c, B> = Result<(Done, Option<B>), InFlight<'c, B>>;

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
        if batch.0.answered == batch.0.members.len() {
            let report = Report::new(Path::Software { reason: Reason::Empty });
            return Ok(Completed { value: (), report, buffers: batch });
        }
        let Some((channel, path)) = self.choose_for(&batch.0) else {
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
        let (outcome, buffers, report) = match self.begin_batch(channel, slot, batch, path) {
            Ok((done, batch)) => (Ok(done), batch, Report { path, bytes: done.bytes, faults: Faults::NONE }),
            Err(flight) => {
                let Ended { outcome, buffers, report } = flight.await;
                (outcome, buffers, report)
            }
        };
        match (outcome, buffers) {
            (Ok(_), Some(mut batch)) => {
                batch.settle(true);
                Ok(Completed { value: (), report, buffers: batch })
            }
            (Ok(_), None) => unreachable!("a slot that ended well gives its buffers back"),
            (Err(error), mut buffers) => {
                if let Some(batch) = &mut buffers {
                    batch.settle(false);
                }
                Err(Failed { error, buffers, report })
            }
        }
    }

    /// Starts a batch in a slot of its own. Comes back with the batch if it was over at once.
    #[inline]
    fn begin_batch<'c, S: IoBuf, D: IoBufMut>(
        &self,
        channel: &'c Channel,
        slot: u32,
        mut batch: Batch<S, D>,
        path: Path,
    ) -> Begun<'c, Batch<S, D>> {
        let work = Work::Many { members: batch.0.members.as_mut_ptr(), len: batch.0.members.len() };
        let mut lent = Some(batch);
        let how = self.submission();
        let offer = Offer::Many(&work);
        // SAFETY: the members and the buffers of their jobs live behind the box that is lent, and nobody can reach them
        // before it comes back.
        let done = unsafe { InFlight::start_or_finish(channel, slot, &mut lent, offer, how, path) }?;
        Ok((done, lent))
    }

    /// The first queue that takes all of `members` at once.
    fn choose_for<S, D>(&self, batch: &Body<S, D>) -> Option<(&Channel, Path)> {
        let mut reason = None;
        for channel in self.channels() {
            let capabilities = channel.capabilities();
            if let Some(operation) = capabilities.operations.first_missing(batch.operations) {
                reason = Some(Reason::NotOffered { operation });
            } else if batch.members.len() <= capabilities.batch_max as usize {
                let reason = reason.filter(|_| capabilities.kind == Kind::Software);
                return Some((channel, capabilities.path(reason.unwrap_or(self.config().software_reason))));
            }
        }
        None
    }
}
