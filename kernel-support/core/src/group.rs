// SPDX-License-Identifier: MIT OR Apache-2.0

//! A group of page requests that is complete, and owes the device one answer.
//!
//! [`FaultGroup`] is linear: [`respond`](FaultGroup::respond) consumes it, dropping it answers
//! invalid, and it holds a counted reference on its attach handle, released after the answer went
//! out. So a group cannot be answered twice, cannot be forgotten, and what it faulted on cannot go
//! away under it. Any thread may hold, send and answer it; no lock is held while it exists.

use core::fmt;

use super::env::{Counter, Env, Event, Lock};
use super::handle::{AnyRef, HandleRef, Sva};
use super::iopf::Shared;
use super::pasid::PasidNumber;
use super::platform::{Platform, Responder, SharedOf};
use super::request::{Code, GroupIndex, PageRequest, PageResponse};
use super::state::{Pending, Phase, Ticket};

/// A ticket that answers when it is dropped. The only place that calls [`Responder::respond`].
pub(crate) struct Owed<P: Platform> {
    iopf: SharedOf<P, Shared<P>>,
    /// `None` once answered.
    ticket: Option<Ticket>,
    handle: Option<AnyRef<P>>,
}

impl<P: Platform> Owed<P> {
    pub(crate) fn new(
        iopf: SharedOf<P, Shared<P>>,
        ticket: Ticket,
        handle: Option<AnyRef<P>>,
    ) -> Self {
        Self {
            iopf,
            ticket: Some(ticket),
            handle,
        }
    }

    pub(crate) fn count_overflow(&self) {
        if let Some(handle) = &self.handle {
            handle.counters().overflows.add(1);
        }
    }

    /// Answers, unless that was done. Last of all the answer counts as given, so that "drained"
    /// means "the device has heard".
    fn answer(&mut self, code: Code) {
        let Some(Ticket {
            chain,
            last,
            since_ns,
        }) = self.ticket.take()
        else {
            return;
        };
        let (pasid, index, tag) = (last.pasid(), last.index(), last.tag());
        self.iopf.device.respond(PageResponse {
            pasid,
            index,
            code,
            tag,
        });
        if let Some(handle) = self.handle.take() {
            let counters = handle.counters();
            counters.answers.count(code);
            if let (Some(since), Some(now)) = (since_ns, P::Env::now_ns()) {
                counters
                    .latency
                    .count(now.get().saturating_sub(since.get()));
            }
            drop(handle);
        }
        if self.iopf.state.with(|state| state.settle(chain, code)) {
            self.iopf.idle.notify();
        }
    }
}

impl<P: Platform> Drop for Owed<P> {
    fn drop(&mut self) {
        if self.ticket.is_some() {
            self.answer(Code::Invalid);
        }
    }
}

/// A complete group of page requests, to be answered exactly once. Dropped, it answers
/// [`Code::Invalid`].
///
/// Source: `struct iopf_group`.
#[must_use = "dropping the group answers invalid"]
pub struct FaultGroup<P: Platform> {
    owed: Owed<P>,
}

impl<P: Platform> fmt::Debug for FaultGroup<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultGroup")
            .field("pasid", &self.pasid())
            .field("index", &self.index())
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

impl<P: Platform> FaultGroup<P> {
    pub(crate) fn new(iopf: SharedOf<P, Shared<P>>, pending: Pending<P>) -> Self {
        Self {
            owed: Owed::new(iopf, pending.ticket, Some(pending.handle)),
        }
    }

    /// Whose.
    #[must_use]
    pub fn pasid(&self) -> PasidNumber {
        self.last().pasid()
    }

    /// Which group.
    #[must_use]
    pub fn index(&self) -> GroupIndex {
        self.last().index()
    }

    /// How many requests, at least one.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a group has a last request")]
    pub fn len(&self) -> u32 {
        self.owed.ticket.as_ref().map_or(0, Ticket::len)
    }

    /// The requests, in the order they came.
    pub fn requests(&self) -> Requests<'_, P> {
        let at = self
            .owed
            .ticket
            .as_ref()
            .map_or(u32::MAX, |ticket| ticket.chain.head());
        Requests {
            iopf: &self.owed.iopf,
            at,
            last: Some(self.last()),
        }
    }

    /// The last of its requests: the only one, most often.
    fn last(&self) -> PageRequest {
        let gone = PageRequest::stop_marker(PasidNumber::NONE);
        self.owed.ticket.as_ref().map_or(gone, |ticket| ticket.last)
    }

    /// What is attached at the group's PASID. There until the group is answered.
    #[must_use]
    pub fn handle(&self) -> Option<&AnyRef<P>> {
        self.owed.handle.as_ref()
    }

    /// The address space to resolve the group in, if that is what is attached.
    #[must_use]
    pub fn space(&self) -> Option<&P::Space> {
        self.handle()?.downcast_ref::<Sva>().map(HandleRef::payload)
    }

    /// Asks `handler` for each request, in the order they came. `None`: it wants to wait.
    fn resolve(&self, handler: &mut impl FaultHandler<P::Space>) -> Option<Code> {
        let resolved = match (self.space(), &self.owed.ticket) {
            (Some(space), Some(ticket)) => {
                let mut partials: Requests<'_, P> = Requests {
                    iopf: &self.owed.iopf,
                    at: ticket.chain.head(),
                    last: None,
                };
                partials
                    .try_for_each(|request| handler.populate(space, &request))
                    .and_then(|()| handler.populate(space, &ticket.last))
            }
            _ => Err(Unresolved::Invalid),
        };
        match resolved {
            Err(Unresolved::Deferred) => None,
            resolved => Some(resolved.map_or_else(Code::from, |()| Code::Success)),
        }
    }

    /// Answers the group.
    ///
    /// Source: io-pgfault.c: `iopf_group_response`.
    pub fn respond(mut self, code: Code) {
        self.owed.answer(code);
    }
}

/// The requests of a group.
#[derive(Clone)]
pub struct Requests<'a, P: Platform> {
    iopf: &'a SharedOf<P, Shared<P>>,
    at: u32,
    last: Option<PageRequest>,
}

impl<P: Platform> fmt::Debug for Requests<'_, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Requests").finish_non_exhaustive()
    }
}

impl<P: Platform> Iterator for Requests<'_, P> {
    type Item = PageRequest;

    fn next(&mut self) -> Option<PageRequest> {
        if self.at == u32::MAX {
            return self.last.take();
        }
        match self.iopf.state.with(|state| state.walk(self.at)) {
            Some((request, next)) => {
                self.at = next;
                Some(request)
            }
            None => self.last.take(),
        }
    }
}

/// Where workers take complete groups from. A clone is the same queue.
pub struct Queue<P: Platform> {
    iopf: SharedOf<P, Shared<P>>,
}

impl<P: Platform> Clone for Queue<P> {
    fn clone(&self) -> Self {
        Self {
            iopf: self.iopf.clone(),
        }
    }
}

impl<P: Platform> fmt::Debug for Queue<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue")
            .field("queued", &self.len())
            .finish_non_exhaustive()
    }
}

impl<P: Platform> Queue<P> {
    pub(crate) fn new(iopf: SharedOf<P, Shared<P>>) -> Self {
        Self { iopf }
    }

    /// The oldest group, if there is one.
    #[must_use]
    pub fn take(&self) -> Option<FaultGroup<P>> {
        let pending = self.iopf.state.with(|state| state.dequeue())?;
        Some(FaultGroup::new(self.iopf.clone(), pending))
    }

    /// Sleeps until there is a group and takes it; `None` once the device is quiesced and the queue
    /// is empty, which is when a worker ends.
    #[must_use]
    pub fn wait(&self) -> Option<FaultGroup<P>> {
        loop {
            let mut ended = false;
            self.iopf.ready.wait_until(|| {
                self.iopf.state.with(|state| {
                    ended = state.phase != Phase::Enabled;
                    ended || state.queued() > 0
                })
            });
            match self.take() {
                None if !ended => {}
                group => return group,
            }
        }
    }

    /// Groups waiting.
    #[must_use]
    pub fn len(&self) -> usize {
        self.iopf.state.with(|state| state.queued())
    }

    /// Whether no group waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Why a page could not be made present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unresolved {
    /// The address or the access is not the process's to have. Only this work fails.
    Invalid,
    /// Something is broken beyond this fault: the device will stop asking.
    Failure,
    /// It can be, but somebody must be waited for. [`attempt`] gives the group back to be tried
    /// where waiting holds nobody else up.
    Deferred,
}

impl From<Unresolved> for Code {
    fn from(unresolved: Unresolved) -> Self {
        match unresolved {
            Unresolved::Invalid | Unresolved::Deferred => Self::Invalid,
            Unresolved::Failure => Self::Failure,
        }
    }
}

/// Makes pages present. Any `FnMut(&Space, &PageRequest) -> Result<(), Unresolved>` is one.
pub trait FaultHandler<Space> {
    /// Makes the page of `request` present in `space`, for the access it asks for. May sleep. What
    /// keeps the memory of `space` alive for so long is the handler's business (`mmget_not_zero`):
    /// the reference the group holds keeps the value `space` alive, not what it names.
    ///
    /// # Errors
    ///
    /// [`Unresolved`], which becomes the answer of the whole group.
    fn populate(&mut self, space: &Space, request: &PageRequest) -> Result<(), Unresolved>;
}

impl<Space, F> FaultHandler<Space> for F
where
    F: FnMut(&Space, &PageRequest) -> Result<(), Unresolved>,
{
    fn populate(&mut self, space: &Space, request: &PageRequest) -> Result<(), Unresolved> {
        self(space, request)
    }
}

/// What became of a group that was tried.
#[derive(Debug)]
pub enum Attempt<P: Platform> {
    /// It was answered, so.
    Answered(Code),
    /// Nobody was answered: the handler said [`Unresolved::Deferred`]. Try again where waiting is
    /// all right; what was made present stays so.
    Deferred(FaultGroup<P>),
}

/// Resolves a group's requests in order and answers it, unless its handler wants to wait. The first
/// error is the answer, and the requests behind it are not tried. A group that does not belong to
/// an address space is answered invalid: it is for somebody else to handle, who looks at
/// [`FaultGroup::handle`] first.
///
/// Source: iommu-sva.c: `iommu_sva_handle_iopf`.
pub fn attempt<P: Platform>(
    group: FaultGroup<P>,
    handler: &mut impl FaultHandler<P::Space>,
) -> Attempt<P> {
    match group.resolve(handler) {
        Some(code) => {
            group.respond(code);
            Attempt::Answered(code)
        }
        None => Attempt::Deferred(group),
    }
}

/// As [`attempt`], for a group that is not moved: answered, its place is empty; deferred, it is
/// still there. Returns the answer.
pub fn attempt_in<P: Platform>(
    place: &mut Option<FaultGroup<P>>,
    handler: &mut impl FaultHandler<P::Space>,
) -> Option<Code> {
    let group = place.as_mut()?;
    let code = group.resolve(handler)?;
    group.owed.answer(code);
    *place = None;
    Some(code)
}

/// As [`attempt`], for handlers that wait by themselves: a deferred group is answered invalid.
/// Returns the answer.
pub fn handle<P: Platform>(
    group: FaultGroup<P>,
    handler: &mut impl FaultHandler<P::Space>,
) -> Code {
    match attempt(group, handler) {
        Attempt::Answered(code) => code,
        Attempt::Deferred(group) => {
            group.respond(Code::Invalid);
            Code::Invalid
        }
    }
}
