//! Faults of an operation: what to populate, and what to do when it cannot be.
//!
//! UNSAFETY: tells the driver how to go on, for a slot the caller owns.
#![expect(unsafe_code, reason = "driver calls rely on the caller owning the slot")]

use std::io;
use std::time::Instant;

use super::{By, Channel, Step};
use crate::address::{Access, PAGE_BYTES, Span};
use crate::backend::{Failure, LaneFault, Member, Polled, Submission, Submitted, Verdict};
use crate::error::PopulatedInVain;
use crate::fault::{Answer, FaultPolicy, Request, Resolved, Small, Started, Streams};
use crate::job::{Job, OPERANDS_MAX, Operand, Operands, Operation};
use crate::slot::{Contents, LaneSet, Phase, Work};

/// Ranges populated at once for one operation.
const REQUESTS_MAX: usize = 16;
const _: () = assert!(REQUESTS_MAX >= OPERANDS_MAX);

impl Channel {
    /// A lane of the caller's operation faulted: resolve it, or give the operation up.
    pub(super) fn on_fault(&self, slot: u32, contents: &mut Contents, fault: LaneFault) {
        contents.faults.faults += 1;
        contents.lanes = contents.lanes.max(fault.lane.saturating_add(1));
        if fault.done_bytes > contents.done_bytes {
            contents.done_bytes = fault.done_bytes;
            contents.stuck = 0;
        } else {
            contents.stuck += 1;
        }
        tracing::trace!(
            queue = %self.capabilities().name, slot, lane = fault.lane, addr = %fault.addr,
            access = %fault.access, done = fault.done_bytes, "device page fault"
        );
        let resolution = &contents.resolution;
        let is_covered = covers(&resolution.covered, &fault) || fault.lane < resolution.members;
        // The lane has gone on since its page was populated, and has come back to it.
        let in_vain = is_covered && contents.stuck != 0 && resolution.resumed.contains(fault.lane);
        if contents.fault.is_some() || self.slots[slot as usize].handshake.is_abandoned() {
            self.resume(slot, contents, fault.lane, Verdict::Cancel);
        } else if contents.policy == FaultPolicy::Fail {
            self.give_up(slot, contents, fault, None);
        } else if contents.stuck > self.config.fault_retries_max.saturating_mul(u32::from(contents.lanes)) {
            let populated_bytes = contents.faults.pages_populated.saturating_mul(PAGE_BYTES);
            let why = PopulatedInVain { faults: contents.stuck, populated_bytes };
            self.give_up(slot, contents, fault, Some(io::Error::other(why)));
        } else if is_covered && !fault.restarts && !in_vain {
            self.resubmit(slot, contents, fault.lane);
        } else if matches!(contents.work, Work::Many { .. }) && contents.resolution.members == 0 {
            // Members are cold together more often than not.
            contents.phase = Phase::Populating { next: 0, then: Some(fault) };
        } else {
            if in_vain {
                contents.window.shrink(self.window_bounds());
            }
            contents.resolution.single = false;
            contents.phase = Phase::ToResolve(fault);
        }
    }

    /// The page should be there now.
    fn resubmit(&self, slot: u32, contents: &mut Contents, lane: u16) {
        contents.faults.resubmissions += 1;
        contents.resolution.resumed.insert(lane);
        self.resume(slot, contents, lane, Verdict::Resubmit);
    }

    /// The operation ends with `fault`, or the member of a batch whose lane it is.
    fn give_up(&self, slot: u32, contents: &mut Contents, fault: LaneFault, why: Option<io::Error>) {
        match member_of(&contents.work, fault.lane) {
            Some(member) => {
                let LaneFault { access, addr, unbroken_bytes, .. } = fault;
                let failure = Failure::Address { access, addr, done_bytes: unbroken_bytes };
                // SAFETY: the member lives in what the slot holds, which the caller owns, and the driver is not
                // being called.
                unsafe { (*member).result = Some(Err(failure)) };
                contents.stuck = 0;
            }
            None => contents.fault = Some((fault, why)),
        }
        self.resume(slot, contents, fault.lane, Verdict::Cancel);
    }

    fn resume(&self, slot: u32, contents: &mut Contents, lane: u16, verdict: Verdict) {
        contents.phase = Phase::Flying;
        // SAFETY: the caller owns the contents, and with them the flight and the members.
        unsafe { self.driver.resume(slot, &contents.work, lane, verdict) };
    }

    /// Starts to populate what `fault` needs. False: no room in the resolver, try again.
    pub(super) fn resolve(&self, slot: u32, contents: &mut Contents, fault: LaneFault) -> bool {
        let single = contents.resolution.single;
        let before = contents.window;
        let mut targets = if single {
            page_of(&fault)
        } else if fault.restarts {
            fault.rest
        } else {
            self.window_of(contents, &fault)
        };
        // A driver that names no rest, or a window of nothing: without a range nobody would answer.
        if targets.iter().flatten().all(|operand| operand.span.len == 0) {
            targets = page_of(&fault);
        }
        if !self.populate(slot, contents, targets.into_iter().flatten()) {
            contents.window = before;
            return false;
        }
        contents.resolution.covered = if single { [None; OPERANDS_MAX] } else { targets };
        contents.resolution.members = contents.resolution.members.min(fault.lane);
        contents.resolution.resumed = LaneSet::EMPTY;
        contents.phase = Phase::Resolving(fault);
        true
    }

    /// The faulting range from the fault on, as far as the window reaches, and the same stretch of the others.
    fn window_of(&self, contents: &mut Contents, fault: &LaneFault) -> Operands {
        let job = job_of(&contents.work, fault.lane);
        let operands = job.map_or([None; OPERANDS_MAX], |job| job.operands());
        let hit = |operand: &&Operand| operand.span.touches_page_of(fault.addr);
        let all = || operands.iter().flatten();
        let Some(faulting) = all()
            .filter(|operand| operand.access == fault.access)
            .find(hit)
            .or_else(|| all().find(hit))
            .copied()
        else {
            // Not the job's memory: the driver's own record or list.
            return page_of(fault);
        };
        let offset = fault.addr.page().get().saturating_sub(faulting.span.addr.get());
        let in_step = job.is_some_and(|job| job.in_step());
        let mut streams = self.streams.lock();
        let bytes = self.window_bytes(contents, &streams, &faulting, offset);
        operands.map(|operand| {
            let operand = operand.filter(|operand| in_step || *operand == faulting)?;
            let span = operand.span.part(offset, bytes);
            // Whichever of them the next fault is of.
            streams.note(span.addr.page(), span.end(), operand.access, contents.window.bytes());
            (span.len != 0).then_some(Operand { span, ..operand })
        })
    }

    /// How far the window reaches from `offset` of the faulting range on.
    fn window_bytes(
        &self,
        contents: &mut Contents,
        streams: &Streams,
        faulting: &Operand,
        offset: u64,
    ) -> u64 {
        let is_batch = matches!(contents.work, Work::Many { .. });
        let addr = faulting.span.addr.add(offset).page();
        let window = &mut contents.window;
        match streams.continued(addr, faulting.access) {
            // Of this transfer, of another lane of it, or of one before.
            Some(bytes) => window.inherit(bytes, offset),
            // Each member is a transfer of its own.
            None if is_batch => window.forget(),
            None => {}
        }
        window.next(offset, addr, self.window_bounds())
    }

    /// Populates the next stretch of all there is, before the first submission, or for operations that fault together.
    /// None: that was all, go on.
    pub(super) fn populate_all(
        &self,
        slot: u32,
        contents: &mut Contents,
        next: u64,
        then: Option<LaneFault>,
    ) -> Option<Step> {
        let work = contents.work;
        let mut targets = [None; REQUESTS_MAX];
        let after = match work {
            Work::One(job) => stretch(&job, next, self.prefetch_bytes(), &mut targets),
            Work::Many { .. } => members_from(&work, next, &mut targets),
        };
        let bytes_max = self.prefetch_bytes().saturating_mul(OPERANDS_MAX as u64);
        let enough = matches!(work, Work::Many { .. })
            && contents.faults.pages_populated.saturating_mul(PAGE_BYTES) >= bytes_max;
        let is_over = targets.iter().all(Option::is_none) || enough;
        if is_over || self.slots[slot as usize].handshake.is_abandoned() {
            if matches!(work, Work::Many { .. }) {
                contents.resolution.members = u16::try_from(next).unwrap_or(u16::MAX).max(1);
                contents.resolution.resumed = LaneSet::EMPTY;
            }
            match then {
                None if self.fetches(&work) => contents.phase = Phase::Fetching { operand: 0, flying: false },
                None => contents.phase = Phase::ToSubmit,
                Some(fault) if self.slots[slot as usize].handshake.is_abandoned() => {
                    self.resume(slot, contents, fault.lane, Verdict::Cancel);
                }
                Some(fault) => self.resubmit(slot, contents, fault.lane),
            }
            return None;
        }
        if !self.populate(slot, contents, targets.into_iter().flatten()) {
            return Some(Step::Stalled);
        }
        contents.phase = Phase::Populating { next: after, then };
        Some(Step::Keep)
    }

    /// Whether the device is to fetch translations before this work.
    fn fetches(&self, work: &Work) -> bool {
        let operations = self.capabilities().operations;
        self.config.prefetch_translations
            && operations.contains(Operation::TranslationFetch)
            && matches!(work, Work::One(job) if job.operation() != Operation::TranslationFetch)
    }

    /// Has the device fetch the translations of the next operand, or sees how it is doing. None: go on. Whatever comes
    /// of it, the operation is submitted: a translation that is not there is made when it is needed.
    pub(super) fn fetch(
        &self,
        slot: u32,
        contents: &mut Contents,
        operand: usize,
        flying: bool,
    ) -> Option<Step> {
        let span = match contents.work {
            Work::One(job) => job.operands().get(operand).copied().map(|at| at.map(|at| at.span)),
            Work::Many { .. } => None,
        };
        let Some(span) = span.filter(|_| !self.slots[slot as usize].handshake.is_abandoned() || flying)
        else {
            contents.phase = Phase::ToSubmit;
            return None;
        };
        let next = Phase::Fetching { operand: operand + 1, flying: false };
        let Some(Span { addr, len }) = span.filter(|span| span.len != 0) else {
            contents.phase = next;
            return None;
        };
        let job = Job::TranslationFetch { addr, len };
        if !flying {
            let how = Submission { block_on_fault: false, ..contents.submission };
            // SAFETY: the caller owns the contents, and with them the flight, which is idle; the memory is the job's.
            contents.phase = match unsafe { self.driver.submit_one(slot, &job, how) } {
                Ok(Submitted::Flying) => Phase::Fetching { operand, flying: true },
                Ok(Submitted::Done(_)) | Err(_) => next,
            };
            return None;
        }
        let work = Work::One(job);
        // SAFETY: the caller owns the contents, and with them the flight.
        match unsafe { self.driver.poll(slot, &work) } {
            Polled::Pending => Some(Step::Keep),
            Polled::Stalled => Some(Step::Stalled),
            Polled::Done(_) => {
                contents.phase = next;
                None
            }
            Polled::Fault(fault) => {
                // SAFETY: as above.
                unsafe { self.driver.resume(slot, &work, fault.lane, Verdict::Cancel) };
                None
            }
        }
    }

    /// Starts to populate `targets`. False: no room, and nothing was started.
    fn populate(&self, slot: u32, contents: &mut Contents, targets: impl Iterator<Item = Operand>) -> bool {
        let nothing = Request {
            channel: self.index,
            slot,
            operand: Operand { span: Span::default(), access: Access::Read },
        };
        let mut requests = [nothing; REQUESTS_MAX];
        let mut len = 0;
        for (request, operand) in requests.iter_mut().zip(targets) {
            *request = Request { operand, ..nothing };
            len += 1;
        }
        // A small range is one answer, whatever it is made of.
        let is_small = Small::of(&requests[..len]).is_some_and(|small| self.smalls.add(small));
        if !is_small {
            match self.resolver.start(&requests[..len]) {
                Started::NoRoom => return false,
                Started::Begun => {}
                Started::Waits => self.doorbell.ring(true),
            }
        }
        let pages = requests[..len].iter().map(|request| request.operand.span.page_count()).sum::<u64>();
        contents.resolution.pending = if is_small { 1 } else { u32::try_from(len).unwrap_or(u32::MAX) };
        contents.resolution.error = None;
        let is_fault = matches!(contents.phase, Phase::ToResolve(_));
        contents.resolution.measured =
            self.auto.is_some().then(|| (Instant::now(), Resolved { pages, is_small, is_fault }));
        contents.faults.resolutions += 1;
        contents.faults.pages_populated += pages;
        true
    }

    /// One range of a slot has been populated, or has not.
    pub(crate) fn answered(&self, answer: Answer) {
        {
            let _handed = self.handed.lock();
            let Some(place) = self.slots.get(answer.slot as usize) else { return };
            // SAFETY: a slot with a resolution under way has been handed over and stays so until the
            // resolution ends; the lock is held, so the contents are ours.
            let contents = unsafe { &mut *place.contents() };
            self.note_answer(answer.slot, contents, answer.errno);
        }
        // Also when more answers are to come: whoever found the list locked has left a question.
        self.reap(None, By::Passing);
    }

    /// Notes an answer of the slot's, whose contents the caller owns.
    pub(super) fn note_answer(&self, slot: u32, contents: &mut Contents, errno: i32) {
        let Some(pending) = contents.resolution.pending.checked_sub(1) else { return };
        contents.resolution.pending = pending;
        // Interrupted or out of luck for a moment: if pages are missing still, the device says so again,
        // and that is bounded.
        if !matches!(errno, 0 | libc::EINTR | libc::EAGAIN) && contents.resolution.error.is_none() {
            contents.resolution.error = Some(io::Error::from_raw_os_error(errno));
        }
        if pending == 0 {
            if let (Some(auto), Some((since, what))) = (&self.auto, contents.resolution.measured.take()) {
                auto.learn(what, since.elapsed());
            }
            self.resolved(slot, contents);
        }
    }

    fn resolved(&self, slot: u32, contents: &mut Contents) {
        let Phase::Resolving(fault) = contents.phase else { return };
        let error = contents.resolution.error.take();
        if self.slots[slot as usize].handshake.is_abandoned() {
            self.resume(slot, contents, fault.lane, Verdict::Cancel);
        } else if error.is_none() {
            self.resubmit(slot, contents, fault.lane);
        } else if contents.resolution.single {
            tracing::debug!(addr = %fault.addr, access = %fault.access, ?error, "page cannot be populated");
            self.give_up(slot, contents, fault, error);
        } else {
            // Something in the window could not be had; the faulting page itself may.
            contents.resolution.single = true;
            contents.phase = Phase::ToResolve(fault);
        }
    }
}

/// The job the lane belongs to.
fn job_of(work: &Work, lane: u16) -> Option<Job> {
    match *work {
        Work::One(job) => Some(job),
        // SAFETY: the members live in what the slot holds, which the caller owns.
        Work::Many { .. } => member_of(work, lane).map(|member| unsafe { (*member).job }),
    }
}

/// The member of a batch the lane belongs to.
fn member_of(work: &Work, lane: u16) -> Option<*mut Member> {
    match *work {
        Work::Many { members, len } if usize::from(lane) < len => {
            // SAFETY: `lane` is in bounds of the members.
            Some(unsafe { members.add(usize::from(lane)) })
        }
        _ => None,
    }
}

/// The same stretch of each operand of a job: `bytes` from `next` on. Answers where the next one begins.
fn stretch(job: &Job, next: u64, bytes: u64, targets: &mut [Option<Operand>; REQUESTS_MAX]) -> u64 {
    for (target, operand) in targets.iter_mut().zip(job.operands().into_iter().flatten()) {
        let span = operand.span.part(next, bytes);
        *target = (span.len != 0).then_some(Operand { span, ..operand });
    }
    next.saturating_add(bytes)
}

/// The operands of a few members that have no result yet, from member `next` on. Answers which comes next.
fn members_from(work: &Work, next: u64, targets: &mut [Option<Operand>; REQUESTS_MAX]) -> u64 {
    let mut at = next;
    let mut places = targets.iter_mut();
    while let Some(member) = u16::try_from(at).ok().and_then(|lane| member_of(work, lane))
        && places.len() >= OPERANDS_MAX
    {
        // SAFETY: the members live in what the slot holds, which the caller owns, and the driver is not being called.
        let member = unsafe { &*member };
        if member.result.is_none() {
            let touched = member.job.operands().into_iter().flatten().filter(|operand| operand.span.len != 0);
            for operand in touched {
                if let Some(place) = places.next() {
                    *place = Some(operand);
                }
            }
        }
        at += 1;
    }
    at
}

fn page_of(fault: &LaneFault) -> Operands {
    let span = Span::new(fault.addr.page(), PAGE_BYTES);
    let mut targets = [None; OPERANDS_MAX];
    targets[0] = Some(Operand { span, access: fault.access });
    targets
}

/// Whether what was populated last has the page of this fault, with at least its access.
fn covers(covered: &Operands, fault: &LaneFault) -> bool {
    covered.iter().flatten().any(|operand| {
        operand.span.touches_page_of(fault.addr)
            && (operand.access == fault.access || operand.access == Access::Write)
    })
}
