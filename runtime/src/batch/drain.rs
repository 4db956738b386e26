//! Taking members out: each with its result and its buffers.

use super::{Batch, Body, Lent, MemberOutcome};
use crate::backend::{Failure, Member};
use crate::buffer::{IoBuf, IoBufMut};
use crate::error::Error;
use crate::job::{Done, Operations, Value};
use crate::path::QueueName;

impl<S: IoBuf, D: IoBufMut> Batch<S, D> {
    /// Takes the members out, in the order they were added: each with its result and its buffers. A member that
    /// was never run says that the batch was closed before.
    #[inline]
    pub fn drain(&mut self) -> impl Iterator<Item = MemberOutcome<S, D>> {
        Drain(&mut self.0)
    }

    /// Takes the next member out. `why`: what the batch ended with, for members without a result of their own.
    #[inline(always)]
    pub(crate) fn take(&mut self, why: &Option<Box<Error>>) -> Option<MemberOutcome<S, D>> {
        self.0.take(why)
    }

    /// Makes room for new members, once all have been taken out.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

impl<S, D> Body<S, D> {
    /// Takes the next member out.
    #[inline(always)]
    fn take(&mut self, why: &Option<Box<Error>>) -> Option<MemberOutcome<S, D>> {
        // An outcome that is put together here is known for what it is where it is used, and never lies in memory. So is
        // one that comes from elsewhere, if it is taken apart first.
        Some(match self.take_copied() {
            Some((bytes, src, dst)) => {
                MemberOutcome { result: Ok(Done { bytes, value: Value::None }), lent: Lent::Copy(src, dst) }
            }
            None => {
                let MemberOutcome { result, lent } = self.take_any(why)?;
                MemberOutcome { result, lent }
            }
        })
    }

    /// What most members are, a copy that went well: its bytes and buffers. None, and nothing taken: something else.
    #[inline(always)]
    fn take_copied(&mut self) -> Option<(u64, S, D)> {
        let member = self.members.get(self.lent.first())?;
        match member.result {
            Some(Ok(Done { bytes, value: Value::None })) if self.second.is_empty() => {
                let (src, dst) = self.lent.take_first_pair()?;
                Some((bytes, src, dst))
            }
            _ => None,
        }
    }

    #[inline(never)]
    fn take_any(&mut self, why: &Option<Box<Error>>) -> Option<MemberOutcome<S, D>> {
        // All calls first: what was taken would have to be kept where a panic finds it.
        let at = self.lent.first();
        let member = self.members.get(at)?;
        let result = match member.result {
            Some(Ok(done)) => Ok(done),
            _ => Err(why_not(member, self.queue, at < self.ran, why)),
        };
        let second = self.second.of(&member.job);
        let loan = self.lent.take_first()?;
        Some(MemberOutcome { result, lent: loan.lent(second)? })
    }

    fn clear(&mut self) {
        self.lent.clear();
        self.second.clear();
        self.members.clear();
        self.operations = Operations::NONE;
        self.is_odd = false;
        self.adler32 = false;
        self.answered = 0;
        self.ran = 0;
    }
}

/// Takes members out of a batch, and empties it when dropped.
struct Drain<'b, S, D>(&'b mut Body<S, D>);

impl<S, D> Iterator for Drain<'_, S, D> {
    type Item = MemberOutcome<S, D>;

    #[inline]
    fn next(&mut self) -> Option<MemberOutcome<S, D>> {
        self.0.take(&None)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.0.members.len() - self.0.lent.first();
        (left, Some(left))
    }

    /// What `for_each` does: without an outcome ever being put down and picked up again.
    #[inline]
    fn fold<T, F: FnMut(T, MemberOutcome<S, D>) -> T>(self, init: T, mut fold: F) -> T {
        let mut folded = init;
        // Called in one place, so that it is inlined.
        while let Some(outcome) = self.0.take(&None) {
            folded = fold(folded, outcome);
        }
        folded
    }
}

impl<S, D> Drop for Drain<'_, S, D> {
    fn drop(&mut self) {
        self.0.clear();
    }
}

// Never inlined: an error that is put together in the caller has the result moved by its fields, at odd places.
#[cold]
#[inline(never)]
fn why_not(member: &Member, queue: QueueName, unanswered: bool, why: &Option<Box<Error>>) -> Box<Error> {
    let operation = member.job.operation();
    let silence = Failure::Nonsense { what: "no answer in a batch that is done", record: 0 };
    Box::new(match (member.result, why) {
        (Some(Err(failure)), _) => Error::from_failure(failure, queue, operation, member.job.bytes()),
        (_, Some(error)) => error.again(),
        _ if unanswered => Error::from_failure(silence, queue, operation, member.job.bytes()),
        _ => Error::Closed { operation },
    })
}
