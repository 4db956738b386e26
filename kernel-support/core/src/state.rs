// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a device's fault path remembers, under its one lock. Every decision about a page request is
//! made here, in one critical section, and carried out outside it.

use core::num::NonZeroU64;

use super::env::{Counter, Env, OutOfMemory};
use super::handle::AnyRef;
use super::iopf::{Limits, Reason};
use super::partial::{Chain, Collected, Open, Partials};
use super::pasid::{Busy, PasidNumber};
use super::platform::{Platform, SlotsOf};
use super::request::{Access, Code, GroupKey, PageRequest};
use super::stats::Answered;

/// Where a device is on its way out. Only ever goes forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Requests are taken.
    Enabled,
    /// Requests are answered invalid.
    Quiesced,
    /// Drained: the device is not spoken to any more.
    Closed,
}

/// A complete group, waiting or being handled.
pub(crate) struct Pending<P: Platform> {
    pub(crate) ticket: Ticket,
    pub(crate) handle: AnyRef<P>,
}

/// One answer owed: the group's name and its requests. Made only by [`State`], which counts it as
/// outstanding. Small: it is moved for every fault.
pub(crate) struct Ticket {
    pub(crate) chain: Chain,
    /// The last request. Of a group that was discarded before that came, a request that has its
    /// name, and is not last.
    pub(crate) last: PageRequest,
    /// When the last request came, if there is a clock.
    pub(crate) since_ns: Option<NonZeroU64>,
}

impl Ticket {
    /// Requests.
    pub(crate) fn len(&self) -> u32 {
        self.chain.len() + u32::from(self.last.is_last())
    }

    /// Counts the group on the handle it came for.
    pub(crate) fn count<P: Platform>(&self, handle: &AnyRef<P>) {
        let counters = handle.counters();
        counters.groups.add(1);
        counters.faults.add(u64::from(self.len()));
    }
}

/// Who handles a group that is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum To {
    /// A worker, out of the queue.
    Queue,
    /// Whoever reports it.
    Reporter,
}

/// What to do about a last request.
pub(crate) enum Verdict<P: Platform> {
    /// It is in the queue.
    Queued,
    /// It is the reporter's.
    Take(Pending<P>),
    /// Answer it invalid, now.
    Refuse {
        ticket: Ticket,
        reason: Reason,
        handle: Option<AnyRef<P>>,
    },
    /// Say nothing to the device.
    Closed { _handle: Option<AnyRef<P>> },
}

pub(crate) struct State<P: Platform> {
    pub(crate) phase: Phase,
    /// Attached bonds. A device with bonds cannot be drained.
    pub(crate) bonds: usize,
    /// Answers owed: groups queued, groups being handled, refusals on their way.
    outstanding: u32,
    /// Requests ever reported, answers ever owed, answers given.
    pub(crate) requests: u64,
    pub(crate) groups: u64,
    pub(crate) answers: Answered,
    groups_max: u32,
    partials: Partials<P>,
    /// A ring: `queued` groups from `head` on.
    ring: SlotsOf<P, Option<Pending<P>>>,
    head: usize,
    queued: usize,
}

impl<P: Platform> State<P> {
    pub(crate) fn try_new(limits: &Limits) -> Result<Self, OutOfMemory> {
        Ok(Self {
            phase: Phase::Enabled,
            bonds: 0,
            outstanding: 0,
            requests: 0,
            groups: 0,
            answers: Answered::default(),
            groups_max: limits.groups_max,
            partials: Partials::try_new(limits.partials_max, limits.open_groups_max)?,
            ring: P::Env::slots(limits.queued_max.min(limits.groups_max) as usize, |_| None)?,
            head: 0,
            queued: 0,
        })
    }

    /// Keeps a request that is not the last of its group.
    pub(crate) fn collect(&mut self, request: PageRequest) -> Result<(), Reason> {
        self.requests += 1;
        if request.access().is_none() {
            return Err(Reason::Malformed);
        }
        match self.phase {
            Phase::Enabled => match self.partials.collect(request) {
                Collected::Kept => Ok(()),
                Collected::Lost => Err(Reason::PartialLost),
            },
            Phase::Quiesced => Err(Reason::NotEnabled),
            Phase::Closed => Err(Reason::Closed),
        }
    }

    /// Decides about the last request of a group, whose PASID was looked up before: `handle` says
    /// with what result.
    pub(crate) fn complete(
        &mut self,
        last: PageRequest,
        handle: Result<AnyRef<P>, Option<Busy>>,
        to: To,
    ) -> Verdict<P> {
        self.requests += 1;
        if self.phase == Phase::Closed {
            return Verdict::Closed {
                _handle: handle.ok(),
            };
        }
        let key = last.key();
        let full = self.outstanding >= self.groups_max;
        let open = self.partials.take(|open| *open == key);
        let lost = open.as_ref().is_some_and(|open| open.lost);
        let chain = open.map_or(Chain::EMPTY, |open| open.chain);
        let ticket = self.owe(Ticket {
            chain,
            last,
            since_ns: P::Env::now_ns(),
        });
        if let Ok(handle) = &handle {
            ticket.count(handle);
        }
        let (reason, handle) = match handle {
            Err(busy) => (Reason::Unattached(busy), None),
            Ok(handle) if self.phase != Phase::Enabled => (Reason::NotEnabled, Some(handle)),
            Ok(handle) if lost => (Reason::GroupLost, Some(handle)),
            Ok(handle) if full => (
                Reason::QueueFull {
                    groups_max: self.groups_max,
                },
                Some(handle),
            ),
            Ok(handle) if to == To::Reporter => return Verdict::Take(Pending { ticket, handle }),
            Ok(handle) => match self.enqueue(Pending { ticket, handle }) {
                Ok(()) => return Verdict::Queued,
                Err(Pending { ticket, handle }) => {
                    let reason = Reason::QueueFull {
                        groups_max: self.groups_max,
                    };
                    return Verdict::Refuse {
                        ticket,
                        reason,
                        handle: Some(handle),
                    };
                }
            },
        };
        Verdict::Refuse {
            ticket,
            reason,
            handle,
        }
    }

    fn owe(&mut self, ticket: Ticket) -> Ticket {
        self.outstanding += 1;
        self.groups += 1;
        ticket
    }

    /// Pays: the answer has been given. Says whether somebody may wait for that.
    pub(crate) fn settle(&mut self, chain: Chain, code: Code) -> bool {
        self.partials.pool.release(chain);
        self.outstanding -= 1;
        self.answers.count(code);
        self.is_over()
    }

    /// Whether nothing keeps a device that is on its way out. Before that nobody waits for it.
    pub(crate) fn is_over(&self) -> bool {
        self.phase != Phase::Enabled && self.is_idle()
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.outstanding == 0 && self.bonds == 0
    }

    pub(crate) fn outstanding(&self) -> u32 {
        self.outstanding
    }

    fn enqueue(&mut self, pending: Pending<P>) -> Result<(), Pending<P>> {
        let size = self.ring.len();
        if self.queued >= size {
            return Err(pending);
        }
        let at = (self.head + self.queued) % size;
        match self.ring.get_mut(at) {
            Some(slot) => *slot = Some(pending),
            None => return Err(pending),
        }
        self.queued += 1;
        Ok(())
    }

    pub(crate) fn dequeue(&mut self) -> Option<Pending<P>> {
        let pending = self.ring.get_mut(self.head)?.take()?;
        self.head = (self.head + 1) % self.ring.len();
        self.queued -= 1;
        Some(pending)
    }

    pub(crate) fn queued(&self) -> usize {
        self.queued
    }

    pub(crate) fn open_groups(&self) -> usize {
        self.partials.open_groups()
    }

    pub(crate) fn free_partials(&self) -> u32 {
        self.partials.pool.free_cells()
    }

    pub(crate) fn walk(&self, at: u32) -> Option<(PageRequest, u32)> {
        self.partials.pool.walk(at)
    }

    /// Takes one incomplete group out, to be answered.
    pub(crate) fn discard_one(&mut self) -> Option<Ticket> {
        if self.phase == Phase::Closed {
            return None;
        }
        let open = self.partials.take(|_| true)?;
        Some(self.owe(Ticket {
            last: self.stand_in(&open),
            chain: open.chain,
            since_ns: None,
        }))
    }

    /// For the last request of a group that will not get one: its first, or what names it if that
    /// was lost.
    fn stand_in(&self, open: &Open) -> PageRequest {
        let GroupKey { pasid, index } = open.key;
        let nameless = || PageRequest::new(pasid, index, 0, Access::NONE).with_last(false);
        self.walk(open.chain.head())
            .map_or_else(nameless, |(first, _)| first)
    }

    /// Forgets the incomplete groups of `pasid`, or all. Returns how many.
    pub(crate) fn forget(&mut self, pasid: Option<PasidNumber>) -> u64 {
        let mut forgotten = 0;
        while let Some(open) = self
            .partials
            .take(|key| pasid.is_none_or(|pasid| key.pasid == pasid))
        {
            self.partials.pool.release(open.chain);
            forgotten += 1;
        }
        forgotten
    }
}
