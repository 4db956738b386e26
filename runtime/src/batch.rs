//! Several small operations at once: one slot, one submission, one wake-up.
//!
//! A batch is memory that is made once and used again and again: filling, running and draining it allocates
//! nothing. Its members are independent of each other; one that fails says so and the rest go on.

mod add;
mod drain;
mod loan;
mod run;

use crate::backend::Member;
use crate::buffer::{IoBuf, IoBufMut};
use crate::error::{Error, Failed};
use crate::job::{Done, Job, Operation, Operations};
use crate::path::{Path, QueueName, Reason};
use crate::report::Report;
use crate::slot::Work;
use loan::{Loans, Second};

/// What one member of a batch was lent.
#[derive(Debug, PartialEq, Eq)]
pub enum Lent<S, D> {
    /// Source and destination of a copy, with a CRC or without; of a compression or an expansion.
    Copy(S, D),
    /// Source and both destinations of a dualcast.
    Dualcast(S, D, D),
    /// Destination of a fill.
    Fill(D),
    /// The two sides of a comparison.
    Compare(S, S),
    /// Source of a CRC, or of a comparison with a pattern.
    Read(S),
}

/// What came of one member of a batch.
#[derive(Debug)]
pub struct MemberOutcome<S, D> {
    /// What it found; [`Value::None`](crate::Value::None) for copies and fills, [`Value::Deflate`](crate::Value::Deflate),
    /// [`Value::Inflate`](crate::Value::Inflate) and, for LZ4, [`Value::Written`](crate::Value::Written).
    // In a box: beside a whole error, a result is moved by the error's shape.
    pub result: Result<Done, Box<Error>>,
    /// Its buffers.
    pub lent: Lent<S, D>,
}

/// Members of a batch, and room for more.
///
/// # Invariants
///
/// `members[i]` is a job on the memory of loan `i`.
#[derive(Debug)]
pub struct Batch<S, D>(Box<Body<S, D>>);

#[derive(Debug)]
struct Body<S, D> {
    members: Vec<Member>,
    lent: Loans<S, D>,
    second: Second<D>,
    /// What the members do.
    operations: Operations,
    /// Some member has addresses or sizes that no device takes.
    is_odd: bool,
    /// Some member asks for an Adler-32.
    adler32: bool,
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
            lent: Loans::with_capacity(members_max),
            second: Second::new(),
            operations: Operations::NONE,
            is_odd: false,
            adler32: false,
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

    /// Members that have not been taken out.
    pub(crate) fn left(&self) -> usize {
        self.0.members.len() - self.0.lent.first()
    }

    /// Whether there is no room for another.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.0.members.len() == self.0.lent.capacity()
    }

    /// Whether there is nothing (more) to run.
    pub(crate) fn is_answered(&self) -> bool {
        self.0.answered == self.0.members.len()
    }

    /// The job of the first member.
    pub(crate) fn first_job(&self) -> Option<Job> {
        self.0.members.first().map(|member| member.job)
    }

    /// What messages call the batch: its first member's operation.
    pub(crate) fn first_operation(&self) -> Operation {
        self.0.members.first().map_or(Operation::Copy, |member| member.job.operation())
    }

    /// The members, for a slot that keeps the batch.
    pub(crate) fn work(&mut self) -> Work {
        Work::Many { members: self.0.members.as_mut_ptr(), len: self.0.members.len() }
    }

    /// Notes the result of the only member, which went without a list.
    pub(crate) fn settle_alone(&mut self, done: Done) {
        if let Some(member) = self.0.members.first_mut() {
            member.result = Some(Ok(done));
            self.0.answered = 1;
        }
    }

    /// Counts what is answered after a run. One that ended well answers every member.
    pub(crate) fn settle(&mut self, ended_well: bool) {
        let members = &self.0.members;
        (self.0.answered, self.0.ran) = match ended_well {
            true => (members.len(), members.len()),
            false => (members.iter().filter(|member| member.result.is_some()).count(), self.0.ran),
        };
    }
}

fn refused<B>(error: Error, buffers: B) -> Failed<B> {
    Failed::early(error, buffers, Report::new(Path::Software { reason: Reason::Empty }))
}
