//! Running a batch: which queue, a slot, and what comes of it.
//!
//! UNSAFETY: hands the members to the driver by address while the slot owns them.
#![expect(unsafe_code, reason = "members are lent to the driver by address")]

use super::{Batch, Body};
use crate::backend::Kind;
use crate::buffer::{IoBuf, IoBufMut};
use crate::channel::{Again, Channel, Ended, InFlight, Offer};
use crate::choice::JOB_WEIGHT;
use crate::error::Failed;
use crate::job::{Done, Value};
use crate::operation::{Completed, Outcome};
use crate::path::{Path, Reason};
use crate::report::Report;
use crate::runtime::Runtime;

/// What starting came to: over, with its bytes and the buffers, or under way.
pub(crate) type Begun<'c, B> = Result<(u64, Option<B>), InFlight<'c, B>>;

impl Runtime {
    /// Runs the members of `batch`, at most the queue's `batch_max` of them at once. The batch comes back with a
    /// result in each member; [`Batch::drain`] takes them out.
    ///
    /// Dropping the future is safe, as for any operation.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`](crate::Error::Unsupported) when no queue takes all its operations, and what the queue or the
    /// device said of the batch as a whole. A member's own failure is in the member.
    pub async fn run_batch<S: IoBuf, D: IoBufMut>(&self, batch: Batch<S, D>) -> Outcome<(), Batch<S, D>> {
        if batch.is_answered() {
            let report = Report::new(Path::Software { reason: Reason::Empty });
            return Ok(Completed { value: (), report, buffers: batch });
        }
        let mut chosen = match self.choose_for(&batch) {
            Some(chosen) => chosen,
            None => {
                let error = self.nowhere(batch.first_operation());
                return Err(Failed::early(error, batch, self.blank_report()));
            }
        };
        let mut batch = batch;
        let mut detours = 0;
        loop {
            let ended = self.run_batch_on(chosen, batch).await;
            let Ended { outcome: Err(error), buffers: Some(back), report, again } = ended else {
                return settled(ended);
            };
            // The members are as they were: another queue may do it.
            let other = match again {
                Again::No => None,
                Again::Elsewhere => self.choose_for(&back).filter(|(channel, _)| channel.health().is_up()),
                Again::OnCpu(fault) => self
                    .software()
                    .filter(|cpu| back.0.fits(cpu).is_ok())
                    .map(|cpu| (cpu, cpu.capabilities().path(Reason::QueueOut { fault }))),
            };
            match other {
                Some(other) if detours < self.config().detours_max => {
                    (chosen, batch) = (other, back);
                    detours += 1;
                }
                _ => {
                    let outcome = Err(error);
                    return settled(Ended { outcome, buffers: Some(back), report, again: Again::No });
                }
            }
        }
    }

    /// Runs a batch on one queue.
    async fn run_batch_on<S: IoBuf, D: IoBufMut>(
        &self,
        (channel, path): (&Channel, Path),
        batch: Batch<S, D>,
    ) -> Ended<Batch<S, D>> {
        let acquired = match channel.try_acquire() {
            Some(slot) => Some(slot),
            None => channel.acquire().await,
        };
        let Some(slot) = acquired else {
            let error = channel.unserved(batch.first_operation());
            let again = Again::after(&error);
            return Ended { outcome: Err(error), buffers: Some(batch), report: Report::new(path), again };
        };
        match self.begin_batch(channel, slot, batch, path) {
            Ok((bytes, batch)) => {
                let report = Report { bytes, policy: channel.usual_policy(), ..Report::new(path) };
                let done = Done { bytes, value: Value::None };
                Ended { outcome: Ok(done), buffers: batch, report, again: Again::No }
            }
            Err(flight) => flight.await,
        }
    }

    /// Starts a batch in a slot of its own. Comes back with the batch if it was over at once.
    #[inline]
    pub(crate) fn begin_batch<'c, S: IoBuf, D: IoBufMut>(
        &self,
        channel: &'c Channel,
        slot: u32,
        mut batch: Batch<S, D>,
        path: Path,
    ) -> Begun<'c, Batch<S, D>> {
        batch.0.queue = channel.capabilities().name;
        let work = batch.work();
        let mut lent = Some(batch);
        let how = self.submission();
        let offer = Offer::Many(&work);
        // SAFETY: the members and the buffers of their jobs live behind the box that is lent, and nobody can reach them
        // before it comes back.
        let done = unsafe { InFlight::start_or_finish(channel, slot, &mut lent, offer, how, path) }?;
        Ok((done.bytes, lent))
    }

    /// The queue that takes all of `members` at once.
    pub(crate) fn choose_for<S, D>(&self, batch: &Batch<S, D>) -> Option<(&Channel, Path)> {
        if self.is_forked() {
            return None;
        }
        let mut reason = None;
        let mut last_resort = None;
        for (index, channel) in self.channels().enumerate() {
            if let Err(why_not) = batch.0.fits(channel) {
                reason = why_not.or(reason);
            } else if let Some(fault) = channel.health().why() {
                reason = Some(Reason::QueueOut { fault });
                last_resort = last_resort.or(fault.is_soft().then_some((channel, channel.path())));
            } else {
                let weight = batch.0.members.len() as u64 * JOB_WEIGHT;
                let job = batch.0.members.first().map(|member| &member.job);
                let channel = self.or_a_peer(index, weight, job, |peer| batch.0.fits(peer).is_ok());
                // The usual one is at hand; one that is put together is waited for.
                return Some(match reason {
                    None => (channel, channel.path()),
                    Some(reason) => (channel, channel.capabilities().path(reason)),
                });
            }
        }
        last_resort
    }
}

impl<S, D> Body<S, D> {
    /// Whether a queue can do all of it at once; if not, why the CPU may have to.
    fn fits(&self, channel: &Channel) -> Result<(), Option<Reason>> {
        let capabilities = channel.capabilities();
        if let Some(operation) = capabilities.operations.first_missing(self.operations) {
            Err(Some(Reason::NotOffered { operation }))
        } else if self.is_odd && capabilities.kind != Kind::Software {
            Err(Some(Reason::Shape))
        } else if self.adler32 && !capabilities.adler32 {
            Err(Some(Reason::Check))
        } else if self.members.len() > capabilities.batch_max as usize {
            Err(None)
        } else {
            Ok(())
        }
    }
}

/// The outcome of a batch, whose members are counted.
fn settled<S: IoBuf, D: IoBufMut>(ended: Ended<Batch<S, D>>) -> Outcome<(), Batch<S, D>> {
    let Ended { outcome, mut buffers, report, .. } = ended;
    if let Some(batch) = &mut buffers {
        batch.settle(outcome.is_ok());
    }
    match (outcome, buffers) {
        (Ok(_), Some(batch)) => Ok(Completed { value: (), report, buffers: batch }),
        (Ok(_), None) => unreachable!("a slot that ended well gives its buffers back"),
        (Err(error), buffers) => Err(Failed { error, buffers, report }),
    }
}
