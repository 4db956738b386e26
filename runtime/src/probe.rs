//! Asking queues that are out whether they are back: one no-op at a time, by the completion thread.
//!
//! A queue that does no no-op is asked for a copy of 64 bytes between buffers of the probe's own; one that does neither
//! is put back when it is due, and its next job is the probe. A probe that is never answered keeps its slot, so there is
//! a bound on those as well; a late answer to anything is as good as a probe.
//!
//! UNSAFETY: starts operations of its own.
#![expect(unsafe_code, reason = "a probe is an operation on memory of its own")]

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use crate::address::VirtAddr;
use crate::backend::Submission;
use crate::channel::{Channel, InFlight};
use crate::error::Error;
use crate::job::{Job, Operation};
use crate::slot::Work;

/// Bytes of a probe that copies.
const COPY_BYTES: usize = 64;
/// Probes that may go unanswered before the queue has to show by itself that it is alive.
const LOST_MAX: u32 = 4;

/// What a probe works on.
type Memory = Option<(Box<[u8; COPY_BYTES]>, Box<[u8; COPY_BYTES]>)>;

/// The probes of a runtime, at most one under way for each queue.
///
/// # Invariants
///
/// Dropped before the channels it was made for.
pub(crate) struct Probes(Vec<Probe>);

#[derive(Default)]
struct Probe {
    flight: Option<InFlight<'static, Memory>>,
    lost: u32,
}

impl Probes {
    /// # Safety
    ///
    /// What is made here is dropped before `channels` are.
    pub(crate) unsafe fn new(channels: &[Arc<Channel>]) -> Self {
        Self(channels.iter().map(|_| Probe::default()).collect())
    }

    /// Sees to the queues that are out. When to do so again, if any is.
    pub(crate) fn tend(&mut self, channels: &[Arc<Channel>], now: Instant) -> Option<Instant> {
        let mut next = None::<Instant>;
        for (probe, channel) in self.0.iter_mut().zip(channels) {
            if channel.health().is_up() {
                // A probe that is still under way ends by itself.
                *probe = Probe::default();
                continue;
            }
            channel.send_away();
            probe.tend(channel, now);
            if let Some(at) = channel.health().next_probe() {
                next = Some(next.map_or(at, |next| next.min(at)));
            }
        }
        next
    }
}

impl Probe {
    fn tend(&mut self, channel: &Channel, now: Instant) {
        self.look(channel);
        if channel.health().is_out_as_said() && channel.driver().fault().is_none() {
            channel.health().take_back(now);
        }
        if self.flight.is_some() || channel.is_closed() || !channel.health().is_due(now) {
            return;
        }
        if channel.driver().fault().is_none() && self.lost < LOST_MAX {
            self.send(channel);
            self.look(channel);
        }
    }

    /// Whether the probe has been answered.
    fn look(&mut self, channel: &Channel) {
        let Some(flight) = &mut self.flight else { return };
        let Poll::Ready(ended) = Pin::new(flight).poll(&mut Context::from_waker(Waker::noop())) else {
            return;
        };
        self.flight = None;
        match ended.outcome {
            Ok(_) => channel.bring_back(),
            Err(Error::NoAnswer { .. }) => self.lost += 1,
            Err(error) => tracing::debug!(%error, "probe"),
        }
    }

    fn send(&mut self, channel: &Channel) {
        let (job, memory) = if channel.offers(Operation::Noop) {
            (Job::Noop, None)
        } else if channel.offers(Operation::Copy) {
            let (src, dst) = (Box::new([0; COPY_BYTES]), Box::new([0; COPY_BYTES]));
            let job = Job::Copy {
                src: VirtAddr::of(src.as_ptr()),
                dst: VirtAddr::of(dst.as_ptr()),
                len: COPY_BYTES as u64,
            };
            (job, Some((src, dst)))
        } else {
            channel.bring_back();
            return;
        };
        let Some(slot) = channel.take_slot_for_probe() else { return };
        // SAFETY: the probe is dropped before the channel (the invariant of `Probes`).
        let lasting = unsafe { channel.outliving() };
        let (how, path) = (Submission::default(), channel.path());
        // SAFETY: the job works on `memory`, which the slot holds, or on nothing.
        let flight = unsafe { InFlight::start(lasting, slot, memory, Work::One(job), how, path) };
        self.flight = Some(flight);
    }
}
