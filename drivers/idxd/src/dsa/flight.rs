//! What one job or batch in flight needs: lanes with their descriptors and records, and how far the job has come.

use std::cell::Cell;

use idxd_spec::{Completion, Descriptor, Resume, Status, resume};
use svala::backend::{Failure, LaneFault, Member};
use svala::{Access, Done, Job, Value, VirtAddr};

use super::part::{Order, rest_of};
use crate::record::Record;

/// Where a lane stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LaneState {
    /// Nothing to do.
    Idle,
    /// A descriptor waits for room in the queue.
    ToSubmit,
    /// The device has the descriptor.
    Submitted,
    /// The runtime resolves a fault.
    Faulted,
}

/// One descriptor at a time, and its record.
pub(super) struct Lane {
    pub(super) record: Record,
    pub(super) descriptor: Cell<Descriptor>,
    pub(super) state: Cell<LaneState>,
    /// The part: its place in the job, its bytes, and those of them that are done.
    pub(super) offset: Cell<u64>,
    pub(super) len: Cell<u64>,
    pub(super) kept: Cell<u64>,
    /// CRC so far.
    pub(super) seed: Cell<u32>,
    /// The descriptor under way holds a credit.
    pub(super) credited: Cell<bool>,
}

/// How far a job has come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Progress {
    pub(super) order: Order,
    pub(super) block_on_fault: bool,
    /// Lanes in use.
    pub(super) lanes: u16,
    /// Offset of the first byte no lane has had yet.
    pub(super) next: u64,
    /// Bytes done.
    pub(super) done: u64,
    /// Offset of the first difference known.
    pub(super) difference: Option<u64>,
    pub(super) failure: Option<Failure>,
    /// Submissions refused.
    pub(super) tries: u32,
    /// Members of the batch descriptor under way.
    pub(super) batch: Option<u16>,
}

impl Progress {
    pub(super) const fn new(order: Order, block_on_fault: bool) -> Self {
        Self {
            order,
            block_on_fault,
            lanes: 1,
            next: 0,
            done: 0,
            difference: None,
            failure: None,
            tries: 0,
            batch: None,
        }
    }

    /// Whether there is no point in starting further parts.
    pub(super) const fn stops(&self) -> bool {
        self.failure.is_some() || self.difference.is_some()
    }
}

/// What a written record means for its lane.
pub(super) enum Completed {
    /// The part is done.
    Part,
    /// The rest of it, now in the lane's descriptor, needs a page.
    Fault(LaneFault),
    /// It failed, and that has been noted.
    Failed,
}

/// The memory of one slot.
pub struct DsaFlight {
    pub(super) lanes: Box<[Lane]>,
    /// The descriptors of a batch, where the device reads them.
    pub(super) list: Box<[Cell<Descriptor>]>,
    pub(super) batch_record: Record,
    pub(super) job: Cell<Job>,
    pub(super) progress: Cell<Progress>,
}

impl DsaFlight {
    pub(super) fn new(lanes: u16) -> Self {
        let lane = |_| Lane {
            record: Record::default(),
            descriptor: Cell::new(Descriptor::noop()),
            state: Cell::new(LaneState::Idle),
            offset: Cell::new(0),
            len: Cell::new(0),
            kept: Cell::new(0),
            seed: Cell::new(0),
            credited: Cell::new(false),
        };
        let nothing = Job::Crc32c { src: VirtAddr::new(0), len: 0, seed: 0 };
        Self {
            lanes: (0..lanes).map(lane).collect(),
            list: (0..lanes).map(|_| Cell::new(Descriptor::noop())).collect(),
            batch_record: Record::default(),
            job: Cell::new(nothing),
            progress: Cell::new(Progress::new(Order::Forward, false)),
        }
    }

    /// Where the list is, for the batch descriptor.
    pub(super) fn list_addr(&self) -> u64 {
        VirtAddr::of(self.list.as_ptr()).get()
    }

    pub(super) fn all_idle(&self) {
        for lane in &self.lanes {
            lane.state.set(LaneState::Idle);
        }
    }

    /// The job a lane works for.
    pub(super) fn job_of(&self, members: &[Member], lane: u16) -> Job {
        members.get(usize::from(lane)).map_or_else(|| self.job.get(), |member| member.job)
    }

    /// Takes in what a lane's record says.
    pub(super) fn completed(&self, members: &mut [Member], lane: u16, record: &[u8; 32]) -> Completed {
        let done = Completion::from_bytes(record);
        let place = &self.lanes[usize::from(lane)];
        let status = done.status();
        let job = self.job_of(members, lane);
        if status.is_success() {
            return self.part_done(members, lane, &job, &done);
        }
        let failure = if status.without_write() == Status::PAGE_FAULT {
            match resume(&place.descriptor.get(), &done) {
                Resume::Rest(rest) => return Completed::Fault(self.part_left(lane, &job, rest, &done)),
                Resume::Whole => return Completed::Fault(self.fault(lane, &job, &done, true)),
                Resume::Finished => {
                    Failure::Nonsense { what: "fault after the last byte", record: head(record) }
                }
                Resume::Impossible(_) => {
                    Failure::Nonsense { what: "partial completion that cannot be", record: head(record) }
                }
            }
        } else if status.without_write() == Status::PAGE_REQUEST_INVALID {
            let access = if status.is_write_fault() { Access::Write } else { Access::Read };
            let addr = VirtAddr::new(done.fault_addr());
            let into = u64::from(done.bytes_completed()).min(place.len.get());
            Failure::Address { access, addr, done_bytes: self.progress.get().done + into }
        } else {
            let done_bytes = self.progress.get().done;
            match status.name() {
                Some(name) => Failure::Status { status: status.0, name, done_bytes },
                None => {
                    Failure::Nonsense { what: "status the specification does not have", record: head(record) }
                }
            }
        };
        self.fail(members, lane, failure);
        Completed::Failed
    }

    fn part_done(&self, members: &mut [Member], lane: u16, job: &Job, done: &Completion) -> Completed {
        let place = &self.lanes[usize::from(lane)];
        let at = place.offset.get() + place.kept.get();
        let left = place.len.get() - place.kept.get();
        let mut progress = self.progress.get();
        let mut difference = None;
        match job {
            Job::Compare { .. } if done.result() != 0 => {
                let into = u64::from(done.bytes_completed());
                if into >= left {
                    let what = "difference outside the comparison";
                    self.fail(members, lane, Failure::Nonsense { what, record: head(&done.to_bytes()) });
                    return Completed::Failed;
                }
                difference = Some(at + into);
            }
            Job::Crc32c { .. } => {
                let Ok(crc) = u32::try_from(done.crc_val()) else {
                    let what = "CRC-32C of more than 32 bits";
                    self.fail(members, lane, Failure::Nonsense { what, record: head(&done.to_bytes()) });
                    return Completed::Failed;
                };
                place.seed.set(crc);
            }
            _ => {}
        }
        progress.done += left;
        if let Some(member) = members.get_mut(usize::from(lane)) {
            self.progress.set(progress);
            let over = place.offset.get() + place.len.get() == job.bytes() || difference.is_some();
            if over {
                member.result = Some(Ok(value(job, difference, place.seed.get())));
            }
        } else {
            progress.difference = match (progress.difference, difference) {
                (Some(known), Some(new)) => Some(known.min(new)),
                (known, new) => known.or(new),
            };
            self.progress.set(progress);
        }
        Completed::Part
    }

    /// Notes a partial completion: what is left of the part is `rest`.
    fn part_left(&self, lane: u16, job: &Job, rest: Descriptor, done: &Completion) -> LaneFault {
        let place = &self.lanes[usize::from(lane)];
        let kept = u64::from(place.descriptor.get().xfer_size()) - u64::from(rest.xfer_size());
        place.kept.set(place.kept.get() + kept);
        place.descriptor.set(rest);
        let mut progress = self.progress.get();
        progress.done += kept;
        self.progress.set(progress);
        self.fault(lane, job, done, false)
    }

    fn fault(&self, lane: u16, job: &Job, done: &Completion, restarts: bool) -> LaneFault {
        let status = done.status();
        LaneFault {
            lane,
            access: if status.is_write_fault() { Access::Write } else { Access::Read },
            addr: VirtAddr::new(done.fault_addr()),
            done_bytes: self.progress.get().done,
            status: status.0,
            rest: rest_of(job, &self.lanes[usize::from(lane)].descriptor.get()),
            restarts,
        }
    }

    /// Notes that a lane's work failed: the member's own failure in a batch, the job's otherwise.
    fn fail(&self, members: &mut [Member], lane: u16, failure: Failure) {
        if let Some(member) = members.get_mut(usize::from(lane)) {
            member.result.get_or_insert(Err(failure));
            return;
        }
        let mut progress = self.progress.get();
        progress.failure.get_or_insert(failure);
        self.progress.set(progress);
    }

    /// A lane was given up.
    pub(super) fn cancel(&self, members: &mut [Member], lane: u16) {
        let place = &self.lanes[usize::from(lane)];
        let failure = match members.get(usize::from(lane)) {
            // The member failed on its own; the runtime knows where from the fault, the member has to say it.
            Some(member) => {
                let access =
                    member.job.operands().iter().flatten().next_back().map_or(Access::Read, |o| o.access);
                let addr = VirtAddr::new(place.descriptor.get().dst_addr());
                Failure::Address { access, addr, done_bytes: place.offset.get() + place.kept.get() }
            }
            None => Failure::Cancelled,
        };
        self.fail(members, lane, failure);
    }

    /// The batch descriptor completed: which lanes the device has taken on.
    pub(super) fn batch_completed(&self, record: &[u8; 32]) {
        let done = Completion::from_bytes(record);
        let mut progress = self.progress.get();
        let count = progress.batch.take().unwrap_or(0);
        self.progress.set(progress);
        let taken = match done.status().without_write() {
            status if status.is_success() => u32::from(count),
            Status::BATCH_FAILED => u32::from(count),
            Status::BATCH_PAGE_FAULT => done.descs_completed(),
            _ => 0,
        };
        let lanes = self.lanes[..usize::from(progress.lanes)].iter();
        let loaded = lanes.filter(|lane| lane.state.get() == LaneState::ToSubmit);
        for (index, lane) in (0_u32..).zip(loaded) {
            // One the device did not get to, or that has no record whatever the batch says, goes by itself.
            if index < taken && lane.record.is_written() {
                lane.state.set(LaneState::Submitted);
            }
        }
    }

    /// The job's outcome, with every lane idle.
    pub(super) fn outcome(&self, members: &[Member]) -> Result<Done, Failure> {
        let progress = self.progress.get();
        if let Some(failure) = progress.failure {
            return Err(failure);
        }
        if !members.is_empty() {
            return Ok(Done { bytes: progress.done, value: Value::None });
        }
        let job = self.job.get();
        Ok(value(&job, progress.difference, self.lanes[0].seed.get()))
    }
}

fn value(job: &Job, difference: Option<u64>, crc: u32) -> Done {
    let bytes = difference.unwrap_or(job.bytes());
    let value = match job {
        Job::Compare { .. } => Value::Difference(difference),
        Job::Crc32c { .. } => Value::Crc32c(crc),
        _ => Value::None,
    };
    Done { bytes, value }
}

fn head(record: &[u8; 32]) -> u64 {
    let mut first = [0; 8];
    first.copy_from_slice(&record[..8]);
    u64::from_le_bytes(first)
}
