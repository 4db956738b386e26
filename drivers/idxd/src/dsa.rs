//! The DSA queue: jobs in, descriptors out.
//!
//! A job larger than the queue's `transfer_bytes_max` is split: its parts go round on the *lanes* of the flight,
//! each a descriptor with a record of its own, several at once where their order does not matter. A batch has a
//! lane for each member. A lane that faults waits; the runtime populates and resumes it with the rest of its
//! descriptor, by the rules of `idxd-spec`.
//!
//! UNSAFETY: promises what [`svala::backend::Queue`] asks for: the device has a job's memory only while the job flies.
#![expect(unsafe_code, reason = "implements an unsafe trait; lends a descriptor in its cell to the portal")]

mod config;
mod delta;
mod dif;
mod flight;
mod list;
mod memory;
mod numeric;
mod outcome;
mod part;

pub(crate) use config::PARALLEL_PART_BYTES;
pub use config::{DsaQueueConfig, Lists, dsa_list_operations, dsa_operations};
pub use flight::DsaFlight;

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

use idxd_spec::{Descriptor, DstAddr, SrcAddr, Status};
use svala::backend::{
    AddressMode, Capabilities, Completion, Failure, Member, Notifier, Polled, Queue, Refused, Submission,
    Submitted, Verdict,
};
use svala::{Done, Job, Operation, Operations, QueueName, Value};

use crate::dsa::flight::LaneState;
use crate::dsa::outcome::Completed;
use crate::dsa::part::{Order, PartBytes};
use crate::portal::{Accepted, Credits, Portal};
use crate::record::Trust;

/// A DSA work queue.
#[derive(Debug)]
pub struct DsaQueue<P> {
    portal: P,
    capabilities: Capabilities,
    /// Bytes of a part, and of one whose order does not matter.
    part_bytes: PartBytes,
    lists: Lists,
    lanes_per_job: u16,
    submit_tries_max: u32,
    credits: Credits,
    trust: Trust,
    /// Submissions so far, more or less: two at once may count as one.
    submissions: AtomicU64,
}

/// Those of them that the kernel lets this process do.
fn offered(operations: Operations) -> Operations {
    let deltas = [Operation::CreateDelta, Operation::ApplyDelta];
    if deltas.iter().all(|&delta| !operations.contains(delta)) || memory::is_possible() {
        return operations;
    }
    deltas.into_iter().fold(operations, Operations::without)
}

impl<P: Portal> DsaQueue<P> {
    /// A queue that writes to `portal`.
    pub fn new(portal: P, config: &DsaQueueConfig) -> Self {
        let notified = portal.completion() == Completion::Notified;
        let capabilities = Capabilities {
            name: QueueName::new(&config.name),
            kind: portal.kind(),
            operations: offered(config.operations),
            address_mode: AddressMode::Sva,
            completion: portal.completion(),
            depth: config.depth.max(1),
            batch_max: config.batch_max.clamp(1, u32::from(svala::backend::LANES_MAX)),
            unsplit_bytes_max: u64::from(config.transfer_bytes_max),
            block_on_fault: config.block_on_fault,
            adler32: false,
            // A device in this process announces its completions: spinning would take its CPU away.
            spin_bytes_max: if notified { 0 } else { 16 << 10 },
            spin_polls: if notified { 0 } else { 200 },
            numa_node: None,
        };
        Self {
            portal,
            capabilities,
            part_bytes: PartBytes::new(config.transfer_bytes_max, config.parallel_part_bytes),
            lists: config.lists,
            lanes_per_job: config.lanes_per_job.max(1),
            submit_tries_max: config.submit_tries_max,
            credits: config.dedicated_size.map_or(Credits::shared(), Credits::dedicated),
            trust: Trust::default(),
            submissions: AtomicU64::new(0),
        }
    }

    /// The portal.
    pub const fn portal(&self) -> &P {
        &self.portal
    }

    /// The same queue, of a device at this memory node.
    #[must_use]
    pub fn at_node(mut self, numa_node: Option<u16>) -> Self {
        self.capabilities.numa_node = numa_node;
        self
    }

    /// The same queue without `operation`, which its device or its configuration does not allow.
    #[must_use]
    pub fn without(mut self, operation: Operation) -> Self {
        self.capabilities.operations = self.capabilities.operations.without(operation);
        self
    }

    /// Counts a submission. No read-modify-write, which would cost more than the rest of one.
    fn count(&self) -> u64 {
        let submissions = self.submissions.load(Ordering::Relaxed).wrapping_add(1);
        self.submissions.store(submissions, Ordering::Relaxed);
        submissions
    }

    /// Writes a lane's descriptor. False: no room.
    fn write(&self, flight: &DsaFlight, lane: u16) -> bool {
        let place = &flight.lanes[usize::from(lane)];
        if !self.credits.take() {
            return false;
        }
        // SAFETY: the caller has the flight to itself, and nothing sets the descriptor during the call. (A copy of what
        // was just written field by field would cost more than the rest of this function.)
        let descriptor = unsafe { &*flight.list[usize::from(lane)].as_ptr() };
        let accepted = self.portal.submit(descriptor) == Accepted::Yes;
        if accepted {
            place.state.set(LaneState::Submitted);
            place.credited.set(true);
        } else {
            self.credits.give();
        }
        accepted
    }

    /// [`load`](Self::load) for what most jobs are, a copy that fits one descriptor: nothing about it has to be looked up
    /// by operation. False, and nothing done: something else, or a record that is not free.
    #[inline(always)]
    fn load_whole_copy(
        &self,
        place: &flight::Lane,
        listed: &Cell<Descriptor>,
        job: &Job,
        part_bytes: u64,
        block_on_fault: bool,
    ) -> bool {
        let Job::Copy { src, dst, len } = *job else { return false };
        let Ok(size) = u32::try_from(len) else { return false };
        if len > part_bytes || !place.record.turn_if_free() {
            return false;
        }
        let mut descriptor = Descriptor::memmove(SrcAddr(src.get()), DstAddr(dst.get()), size)
            .with_completion(place.record.addr());
        if block_on_fault {
            descriptor = descriptor.with_block_on_fault();
        }
        listed.set(descriptor);
        place.begin(0, len, true);
        true
    }

    /// [`load_whole_copy`](Self::load_whole_copy) for the members of a batch, from the first to the first that is
    /// something else: how many those are. A loop of its own, in which the CPU finds nothing but copies.
    #[inline(always)]
    fn load_whole_copies(&self, flight: &DsaFlight, members: &[Member], block_on_fault: bool) -> usize {
        let places = flight.lanes.iter().zip(&flight.list);
        let mut loaded = 0;
        for (member, (place, listed)) in members.iter().zip(places) {
            if member.result.is_some()
                || !self.load_whole_copy(place, listed, &member.job, self.part_bytes.max, block_on_fault)
            {
                break;
            }
            loaded += 1;
        }
        loaded
    }

    /// Gives a lane the part of its work that begins at `offset`, and returns it. None: there is none, or a reason
    /// against it is in the flight.
    #[inline]
    fn load<'f>(
        &self,
        flight: &'f DsaFlight,
        lane: usize,
        job: &Job,
        offset: u64,
    ) -> Option<&'f flight::Lane> {
        let place = &flight.lanes[lane];
        let (descriptor, at, len) = match flight.part(place, job, offset) {
            Ok(part) => part,
            Err(failure) => {
                flight.refusal.set(Some(failure));
                return None;
            }
        };
        if let Err(record) = place.record.turn() {
            flight.refusal.set(Some(self.trust.end(record)));
            return None;
        }
        flight.list[lane].set(flight.flagged(descriptor.with_completion(place.record.addr())));
        place.begin(at, len, len == job.bytes() && part::finds_nothing(job));
        Some(place)
    }

    /// Loads what a lane is to do next, if anything.
    fn load_next(&self, flight: &DsaFlight, lane: u16, job: &Job, batch: bool) {
        let place = &flight.lanes[usize::from(lane)];
        let offset = if batch { place.offset.get() + place.len.get() } else { flight.progress.next.get() };
        if offset >= job.bytes() || !batch && flight.progress.stops() {
            return;
        }
        if !batch {
            flight.progress.look_about(self.submissions.load(Ordering::Relaxed));
        }
        if self.load(flight, usize::from(lane), job, offset).is_some() && !batch {
            flight.progress.next.set(offset + place.len.get());
        }
    }

    /// Drives the lanes of a flight; the first thing the runtime has to know.
    fn drive(&self, flight: &DsaFlight, members: &mut [Member]) -> Polled {
        let mut stalled = false;
        for lane in 0..flight.progress.lanes.get() {
            match self.drive_lane(flight, members, lane) {
                Lane::Idle | Lane::Pending => {}
                Lane::Stalled => stalled = true,
                Lane::Fault(fault) => return Polled::Fault(fault),
            }
        }
        let lanes = usize::from(flight.progress.lanes.get());
        let busy = flight.lanes[..lanes].iter().any(|lane| lane.state.get() != LaneState::Idle);
        if busy {
            return if stalled { Polled::Stalled } else { Polled::Pending };
        }
        Polled::Done(flight.outcome(members))
    }

    fn drive_lane(&self, flight: &DsaFlight, members: &mut [Member], lane: u16) -> Lane {
        let place = &flight.lanes[usize::from(lane)];
        loop {
            match place.state.get() {
                LaneState::Idle => return Lane::Idle,
                LaneState::Faulted => return Lane::Pending,
                LaneState::ToSubmit => {
                    if self.write(flight, lane) {
                        continue;
                    }
                    let tries = flight.progress.tries.get() + 1;
                    flight.progress.tries.set(tries);
                    if tries < self.submit_tries_max {
                        return Lane::Stalled;
                    }
                    flight.fail(members, lane, Failure::Refused { tries });
                    place.state.set(LaneState::Idle);
                }
                LaneState::Submitted => {
                    let Some(record) = place.record.dsa() else { return Lane::Pending };
                    place.record.clear();
                    if place.credited.replace(false) {
                        self.credits.give();
                    }
                    match flight.completed(members, lane, &record) {
                        Completed::Fault(fault) => {
                            place.state.set(LaneState::Faulted);
                            return Lane::Fault(fault);
                        }
                        Completed::Part => {
                            place.state.set(LaneState::Idle);
                            let batch = !members.is_empty();
                            let job = flight.job_of(members, lane);
                            if !(batch && members[usize::from(lane)].result.is_some()) {
                                self.load_next(flight, lane, &job, batch);
                                if flight.refusal.get().is_some() {
                                    flight.fail(members, lane, flight.unloadable());
                                }
                            }
                        }
                        Completed::Failed => place.state.set(LaneState::Idle),
                    }
                }
            }
        }
    }

    /// In which order, and on how many lanes, a job of several parts runs.
    fn split(&self, job: &Job) -> (Order, u16) {
        let order = Order::of(job);
        if order != Order::Parallel {
            return (order, 1);
        }
        let parts = job.bytes().div_ceil(part::len_max(job, self.part_bytes.parallel).max(1));
        (order, u16::try_from(parts).unwrap_or(u16::MAX).min(self.lanes_per_job))
    }

    /// Writes one descriptor for all loaded lanes. False: no room.
    fn write_batch(&self, flight: &DsaFlight, count: u16) -> bool {
        if !self.credits.take() {
            return false;
        }
        if let Err(record) = flight.batch_record.turn() {
            // This batch goes, on a record that is free now; what comes after it does not.
            let _ = self.trust.end(record);
        }
        let list = SrcAddr(flight.list_addr());
        let batch = Descriptor::batch(list, u32::from(count)).with_completion(flight.batch_record.addr());
        let accepted = self.portal.submit(&batch) == Accepted::Yes;
        if !accepted {
            self.credits.give();
        }
        accepted
    }
}

/// What driving one lane came to.
enum Lane {
    Idle,
    Pending,
    Stalled,
    Fault(svala::backend::LaneFault),
}

// SAFETY: descriptors name only the operands of their job (`part::descriptor` cuts parts out of them) and the
// flight's own records; one is under way exactly while its lane is `Submitted`, or the batch is; `Polled::Done` is
// answered only with every lane idle, and a job that is refused has written none.
unsafe impl<P: Portal> Queue for DsaQueue<P> {
    type Flight = DsaFlight;

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn flight(&self) -> DsaFlight {
        let lanes = if self.capabilities.batch_max > 1 { self.capabilities.batch_max } else { 1 };
        DsaFlight::new(u16::try_from(lanes).unwrap_or(1).max(self.lanes_per_job), self.part_bytes, self.lists)
    }

    fn attach(&self, notifier: Notifier) {
        self.portal.attach(notifier);
    }

    unsafe fn submit(
        &self,
        flight: &DsaFlight,
        job: &Job,
        submission: Submission,
    ) -> Result<Submitted, Refused> {
        self.trust.check()?;
        if submission.block_on_fault && !self.capabilities.block_on_fault {
            return Err(Refused::Failed(Failure::Unsupported));
        }
        let (order, lanes) = match job.bytes() > self.part_bytes.parallel || list::blocks(job).is_some() {
            true => self.split(job),
            false => (Order::Forward, 1),
        };
        let first = &flight.lanes[0];
        flight.job.set(*job);
        flight.progress.begin(order, lanes, submission.block_on_fault);
        let submissions = self.count();
        if order == Order::Parallel {
            flight.progress.begin_alone(submissions);
        }
        if !self.load_whole_copy(
            first,
            &flight.list[0],
            job,
            self.part_bytes.parallel,
            submission.block_on_fault,
        ) {
            first.begin_job(job);
            if self.load(flight, 0, job, 0).is_none() {
                return Err(Refused::Failed(flight.unloadable()));
            }
        }
        flight.progress.next.set(first.len.get());
        if !self.write(flight, 0) {
            first.state.set(LaneState::Idle);
            return Err(Refused::Busy);
        }
        // The others are written when the flight is next looked at.
        for lane in 1..lanes {
            self.load_next(flight, lane, job, false);
            if flight.refusal.get().is_some() {
                flight.fail(&mut [], lane, flight.unloadable());
            }
        }
        Ok(Submitted::Flying)
    }

    unsafe fn submit_batch(
        &self,
        flight: &DsaFlight,
        members: &mut [Member],
        submission: Submission,
    ) -> Result<Submitted, Refused> {
        self.trust.check()?;
        if members.len() > flight.lanes.len()
            || submission.block_on_fault && !self.capabilities.block_on_fault
        {
            return Err(Refused::Failed(Failure::Unsupported));
        }
        let lanes = u16::try_from(members.len()).unwrap_or(u16::MAX);
        self.count();
        flight.progress.begin(Order::Forward, lanes, submission.block_on_fault);
        let copies = self.load_whole_copies(flight, members, submission.block_on_fault);
        let mut loaded = u16::try_from(copies).unwrap_or(u16::MAX);
        for (lane, member) in members.iter_mut().enumerate().skip(copies) {
            let (place, listed) = (&flight.lanes[lane], &flight.list[lane]);
            if member.result.is_some() {
                place.state.set(LaneState::Idle);
                continue;
            }
            if self.load_whole_copy(
                place,
                listed,
                &member.job,
                self.part_bytes.max,
                submission.block_on_fault,
            ) {
                loaded += 1;
                continue;
            }
            if !part::can_be_member(&member.job) {
                member.result = Some(Err(Failure::Unsupported));
                place.state.set(LaneState::Idle);
                continue;
            }
            place.begin_job(&member.job);
            match self.load(flight, lane, &member.job, 0) {
                Some(_) => loaded += 1,
                None => member.result = Some(Err(flight.unloadable())),
            }
        }
        match loaded {
            0 => return Ok(Submitted::Done(Done::default())),
            // A batch of one is illegal before DSA 3 (DSA §8.3.2), and a list has no gaps: these lanes go by
            // themselves when they are polled.
            loaded if loaded == 1 || loaded != lanes => {}
            count => {
                if !self.write_batch(flight, count) {
                    flight.all_idle();
                    return Err(Refused::Busy);
                }
                flight.progress.batch.set(Some(count));
            }
        }
        Ok(Submitted::Flying)
    }

    fn poll(&self, flight: &DsaFlight, members: &mut [Member]) -> Polled {
        if members.is_empty() && flight.progress.lanes.get() == 1 {
            // What nearly every look finds, without a walk over the lanes: nothing yet, or a small copy or fill done.
            let place = &flight.lanes[0];
            if place.state.get() == LaneState::Submitted {
                let status = place.record.status();
                if status == 0 {
                    return Polled::Pending;
                }
                if status == Status::SUCCESS.0 && place.is_whole.get() {
                    place.record.clear();
                    place.state.set(LaneState::Idle);
                    if place.credited.replace(false) {
                        self.credits.give();
                    }
                    return Polled::Done(Ok(Done { bytes: place.len.get(), value: Value::None }));
                }
            }
        }
        if flight.progress.batch.get().is_some() {
            let Some(record) = flight.batch_record.dsa() else { return Polled::Pending };
            flight.batch_record.clear();
            self.credits.give();
            if record[0] == Status::SUCCESS.0 && flight.take_whole(members) {
                return Polled::Done(flight.outcome(members));
            }
            flight.batch_completed(&record);
        }
        self.drive(flight, members)
    }

    fn watch(&self, flight: &DsaFlight) -> Option<*const u8> {
        match flight.progress.batch.get() {
            Some(_) => Some(flight.batch_record.line()),
            None => (flight.progress.lanes.get() == 1).then(|| flight.lanes[0].record.line()),
        }
    }

    fn resume(&self, flight: &DsaFlight, members: &mut [Member], lane: u16, verdict: Verdict) {
        let Some(place) = flight.lanes.get(usize::from(lane)) else { return };
        if place.state.get() != LaneState::Faulted {
            return;
        }
        match verdict {
            Verdict::Resubmit => match place.record.turn() {
                Ok(()) => {
                    let descriptor = &flight.list[usize::from(lane)];
                    descriptor.set(descriptor.get().with_completion(place.record.addr()));
                    place.state.set(LaneState::ToSubmit);
                }
                Err(record) => {
                    place.state.set(LaneState::Idle);
                    flight.fail(members, lane, self.trust.end(record));
                }
            },
            Verdict::Cancel => {
                place.state.set(LaneState::Idle);
                flight.cancel(members, lane);
            }
        }
    }

    fn held_max(&self) -> u32 {
        self.portal.held_max()
    }

    fn close(&self) {
        self.portal.close();
    }
}
