//! Taking members out: each with its result and its buffers.

use super::{Batch, Body, Lent, MemberOutcome};
use crate::backend::{Failure, Member};
use crate::buffer::{IoBuf, IoBufMut};
use crate::error::Error;
use crate::job::{Done, Operations};
use crate::path::QueueName;

impl<S: IoBuf, D: IoBufMut> Batch<S, D> {
    /// Takes the members out, in the order they were added: each with its result and its buffers. A member that
    /// was never run says that the batch was closed before.
    #[inline]
    pub fn drain(&mut self) -> impl Iterator<Item = MemberOutcome<S, D>> {
        Drain(&mut self.0)
    }

    /// Takes the next member out. `why`: what the batch ended with, for members without a result of their own. `give` is
    /// called where the outcome is made, so that it need not be moved.
    #[inline(always)]
    pub(crate) fn take<T>(
        &mut self,
        why: &Option<Error>,
        give: impl FnOnce(Result<Done, Box<Error>>, Lent<S, D>) -> T,
    ) -> Option<T> {
        let loan = self.0.lent.take_first()?;
        let Body { members, lent, second, queue, ran, .. } = &mut *self.0;
        let at = lent.first() - 1;
        let Some(member) = members.get(at) else { unreachable!("a loan without its member") };
        let result = match member.result {
            Some(Ok(done)) => Ok(done),
            _ => Err(boxed(member, *queue, at < *ran, why)),
        };
        Some(give(result, loan.lent(&member.job, second)))
    }

    /// Makes room for new members, once all have been taken out.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

impl<S, D> Body<S, D> {
    /// Takes the next member out and gives it to `give`: what went well apart from what did not, so that the former is not
    /// moved by the latter's shape.
    #[inline(always)]
    fn take<T, U>(&mut self, with: T, mut give: impl FnMut(T, MemberOutcome<S, D>) -> U) -> Result<U, T> {
        let Some(loan) = self.lent.take_first() else { return Err(with) };
        let at = self.lent.first() - 1;
        let Some(member) = self.members.get(at) else { unreachable!("a loan without its member") };
        let lent = loan.lent(&member.job, &mut self.second);
        Ok(match member.result {
            Some(Ok(done)) => give(with, MemberOutcome { result: Ok(done), lent }),
            _ => {
                let result = Err(why_not(member, self.queue, at < self.ran, &None));
                give(with, MemberOutcome { result, lent })
            }
        })
    }

    fn clear(&mut self) {
        self.lent.clear();
        self.second.clear();
        self.members.clear();
        self.operations = Operations::NONE;
        self.is_odd = false;
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
        self.0.take((), |(), outcome| outcome).ok()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.0.members.len() - self.0.lent.first();
        (left, Some(left))
    }

    /// What `for_each` does: without an outcome ever being put down and picked up again.
    #[inline]
    fn fold<T, F: FnMut(T, MemberOutcome<S, D>) -> T>(self, init: T, mut fold: F) -> T {
        let mut folded = init;
        loop {
            match self.0.take(folded, &mut fold) {
                Ok(next) => folded = next,
                Err(last) => return last,
            }
        }
    }
}

impl<S, D> Drop for Drain<'_, S, D> {
    fn drop(&mut self) {
        self.0.clear();
    }
}

#[cold]
#[inline(never)]
fn boxed(member: &Member, queue: QueueName, unanswered: bool, why: &Option<Error>) -> Box<Error> {
    Box::new(why_not(member, queue, unanswered, why))
}

// Never inlined: an error that is put together in the caller has the result moved by its fields, at odd places.
#[cold]
#[inline(never)]
fn why_not(member: &Member, queue: QueueName, unanswered: bool, why: &Option<Error>) -> Error {
    let operation = member.job.operation();
    let silence = Failure::Nonsense { what: "no answer in a batch that is done", record: 0 };
    match (member.result, why) {
        (Some(Err(failure)), _) => Error::from_failure(failure, queue, operation, member.job.bytes()),
        (_, Some(error)) => error.again(),
        _ if unanswered => Error::from_failure(silence, queue, operation, member.job.bytes()),
        _ => Error::Closed { operation },
    }
}
