//! What one job or batch in flight needs: lanes with their descriptors and records, and how far the job has come.

use std::cell::Cell;

use idxd_spec::{Completion, Descriptor, Resume, Status, resume};
use svala::backend::{Failure, LaneFault, Member};
use svala::{Access, Done, Job, Value, VirtAddr};

use super::part::{Order, rest_of};
use crate::record::Records;

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
    pub(super) record: Records,
    pub(super) state: Cell<LaneState>,
    /// The part: its place in the job, its bytes, and those of them that are done.
    pub(super) offset: Cell<u64>,
    pub(super) len: Cell<u64>,
    pub(super) kept: Cell<u64>,
    /// CRC so far.
    pub(super) seed: Cell<u32>,
    /// The descriptor under way holds a credit.
    pub(super) credited: Cell<bool>,
    /// The part is all of a job that finds nothing: success is all there is to know.
    pub(super) is_whole: Cell<bool>,
}

impl Lane {
    /// A descriptor for `len` bytes from `offset` on waits for room.
    #[inline]
    pub(super) fn begin(&self, offset: u64, len: u64, is_whole: bool) {
        self.offset.set(offset);
        self.len.set(len);
        self.kept.set(0);
        self.state.set(LaneState::ToSubmit);
        self.is_whole.set(is_whole);
    }
}

/// How far a job has come. Each field by itself: copying a whole structure of which a part was just written
/// costs more than the work.
pub(super) struct Progress {
    pub(super) order: Cell<Order>,
    pub(super) block_on_fault: Cell<bool>,
    /// Lanes in use.
    pub(super) lanes: Cell<u16>,
    /// Offset of the first byte no lane has had yet.
    pub(super) next: Cell<u64>,
    /// Bytes done.
    pub(super) done: Cell<u64>,
    /// Offset of the first difference known.
    pub(super) difference: Cell<Option<u64>>,
    pub(super) failure: Cell<Option<Failure>>,
    /// Submissions refused.
    pub(super) tries: Cell<u32>,
    /// Members of the batch descriptor under way.
    pub(super) batch: Cell<Option<u16>>,
}

impl Progress {
    const fn new() -> Self {
        Self {
            order: Cell::new(Order::Forward),
            block_on_fault: Cell::new(false),
            lanes: Cell::new(1),
            next: Cell::new(0),
            done: Cell::new(0),
            difference: Cell::new(None),
            failure: Cell::new(None),
            tries: Cell::new(0),
            batch: Cell::new(None),
        }
    }

    /// Nothing done yet, on `lanes` lanes.
    pub(super) fn begin(&self, order: Order, lanes: u16, block_on_fault: bool) {
        self.order.set(order);
        self.block_on_fault.set(block_on_fault);
        self.lanes.set(lanes);
        self.next.set(0);
        self.done.set(0);
        self.difference.set(None);
        self.failure.set(None);
        self.tries.set(0);
        self.batch.set(None);
    }

    /// Whether there is no point in starting further parts.
    pub(super) fn stops(&self) -> bool {
        self.failure.get().is_some() || self.difference.get().is_some()
    }

    fn fail(&self, failure: Failure) {
        if self.failure.get().is_none() {
            self.failure.set(Some(failure));
        }
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
    /// The descriptor of each lane, where the device reads those of a batch.
    pub(super) list: Box<[Cell<Descriptor>]>,
    pub(super) batch_record: Records,
    /// What was found in a record that nobody had been given.
    pub(super) stale: Cell<Option<Failure>>,
    pub(super) job: Cell<Job>,
    pub(super) progress: Progress,
}

impl DsaFlight {
    pub(super) fn new(lanes: u16) -> Self {
        let lane = |_| Lane {
            record: Records::default(),
            state: Cell::new(LaneState::Idle),
            offset: Cell::new(0),
            len: Cell::new(0),
            kept: Cell::new(0),
            seed: Cell::new(0),
            credited: Cell::new(false),
            is_whole: Cell::new(false),
        };
        let nothing = Job::Noop;
        Self {
            lanes: (0..lanes).map(lane).collect(),
            list: (0..lanes).map(|_| Cell::new(Descriptor::noop())).collect(),
            batch_record: Records::default(),
            stale: Cell::new(None),
            job: Cell::new(nothing),
            progress: Progress::new(),
        }
    }

    /// Why a lane could not be loaded.
    pub(super) fn unloadable(&self) -> Failure {
        self.stale.take().unwrap_or(Failure::Unsupported)
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
            match resume(&self.list[usize::from(lane)].get(), &done) {
                Resume::Rest(rest) => return Completed::Fault(self.part_left(lane, &job, rest, &done)),
                // Nothing done yet is not the same as nothing kept: every operation of this queue goes on where it
                // stopped, so the window decides how much to populate.
                Resume::Whole => return Completed::Fault(self.fault(lane, &job, &done)),
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
            Failure::Address { access, addr, done_bytes: self.progress.done.get() + into }
        } else {
            let done_bytes = self.progress.done.get();
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
        let progress = &self.progress;
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
            Job::Crc { .. } => {
                let Ok(crc) = u32::try_from(done.crc_val()) else {
                    let what = "CRC-32C of more than 32 bits";
                    self.fail(members, lane, Failure::Nonsense { what, record: head(&done.to_bytes()) });
                    return Completed::Failed;
                };
                place.seed.set(crc);
            }
            _ => {}
        }
        progress.done.set(progress.done.get() + left);
        if let Some(member) = members.get_mut(usize::from(lane)) {
            let over = place.offset.get() + place.len.get() == job.bytes() || difference.is_some();
            if over {
                member.result = Some(Ok(value(job, difference, place.seed.get())));
            }
        } else {
            progress.difference.set(match (progress.difference.get(), difference) {
                (Some(known), Some(new)) => Some(known.min(new)),
                (known, new) => known.or(new),
            });
        }
        Completed::Part
    }

    /// Notes a partial completion: what is left of the part is `rest`.
    fn part_left(&self, lane: u16, job: &Job, rest: Descriptor, done: &Completion) -> LaneFault {
        let place = &self.lanes[usize::from(lane)];
        let descriptor = &self.list[usize::from(lane)];
        let kept = u64::from(descriptor.get().xfer_size()) - u64::from(rest.xfer_size());
        place.kept.set(place.kept.get() + kept);
        descriptor.set(rest);
        self.progress.done.set(self.progress.done.get() + kept);
        self.fault(lane, job, done)
    }

    fn fault(&self, lane: u16, job: &Job, done: &Completion) -> LaneFault {
        let status = done.status();
        LaneFault {
            lane,
            access: if status.is_write_fault() { Access::Write } else { Access::Read },
            addr: VirtAddr::new(done.fault_addr()),
            done_bytes: self.progress.done.get(),
            status: status.0,
            rest: rest_of(job, &self.list[usize::from(lane)].get()),
            restarts: false,
        }
    }

    /// Notes that a lane's work failed: the member's own failure in a batch, the job's otherwise.
    pub(super) fn fail(&self, members: &mut [Member], lane: u16, failure: Failure) {
        if let Some(member) = members.get_mut(usize::from(lane)) {
            member.result.get_or_insert(Err(failure));
            return;
        }
        self.progress.fail(failure);
    }

    /// A lane was given up.
    pub(super) fn cancel(&self, members: &mut [Member], lane: u16) {
        let place = &self.lanes[usize::from(lane)];
        let failure = match members.get(usize::from(lane)) {
            // The member failed on its own; the runtime knows where from the fault, the member has to say it.
            Some(member) => {
                let access =
                    member.job.operands().iter().flatten().next_back().map_or(Access::Read, |o| o.access);
                let addr = VirtAddr::new(self.list[usize::from(lane)].get().dst_addr());
                Failure::Address { access, addr, done_bytes: place.offset.get() + place.kept.get() }
            }
            None => Failure::Cancelled,
        };
        self.fail(members, lane, failure);
    }

    /// The batch descriptor succeeded, and with it every member: takes in those of which there is nothing more to know.
    /// Whether that was all.
    #[inline]
    pub(super) fn take_whole(&self, members: &mut [Member]) -> bool {
        let mut bytes = self.progress.done.get();
        let mut all = true;
        for (lane, member) in self.lanes.iter().zip(members) {
            if !lane.is_whole.get() || lane.record.status() != Status::SUCCESS.0 {
                all = false;
                continue;
            }
            lane.record.clear();
            lane.state.set(LaneState::Idle);
            bytes += lane.len.get();
            member.result = Some(Ok(Done { bytes: lane.len.get(), value: Value::None }));
        }
        self.progress.done.set(bytes);
        all
    }

    /// The batch descriptor completed: which lanes the device has taken on.
    pub(super) fn batch_completed(&self, record: &[u8; 32]) {
        let done = Completion::from_bytes(record);
        let count = self.progress.batch.take().unwrap_or(0);
        let taken = match done.status().without_write() {
            status if status.is_success() => u32::from(count),
            Status::BATCH_FAILED => u32::from(count),
            Status::BATCH_PAGE_FAULT => done.descs_completed(),
            _ => 0,
        };
        let lanes = self.lanes[..usize::from(self.progress.lanes.get())].iter();
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
        if let Some(failure) = self.progress.failure.get() {
            return Err(failure);
        }
        if !members.is_empty() {
            return Ok(Done { bytes: self.progress.done.get(), value: Value::None });
        }
        let job = self.job.get();
        Ok(value(&job, self.progress.difference.get(), self.lanes[0].seed.get()))
    }
}

fn value(job: &Job, difference: Option<u64>, crc: u32) -> Done {
    let bytes = difference.unwrap_or(job.bytes());
    let value = match job {
        Job::Compare { .. } => Value::Difference(difference),
        Job::Crc { .. } => Value::Crc(crc.into()),
        _ => Value::None,
    };
    Done { bytes, value }
}

fn head(record: &[u8; 32]) -> u64 {
    let mut first = [0; 8];
    first.copy_from_slice(&record[..8]);
    u64::from_le_bytes(first)
}

#[cfg(test)]
mod tests {
    use idxd_spec::{Descriptor, DstAddr, FaultInfo, SrcAddr};

    use super::*;

    #[test]
    fn fault_before_the_first_byte_leaves_the_stretch_to_the_window() {
        let flight = DsaFlight::new(1);
        flight.job.set(Job::Copy { src: VirtAddr::new(0x1000), dst: VirtAddr::new(0x9000), len: 8192 });
        flight.progress.begin(Order::Forward, 1, false);
        flight.list[0].set(Descriptor::memmove(SrcAddr(0x1000), DstAddr(0x9000), 8192));
        flight.lanes[0].len.set(8192);
        let done = Completion::new(Status::PAGE_FAULT).with_fault(0x1000, FaultInfo(0));
        match flight.completed(&mut [], 0, &done.to_bytes()) {
            Completed::Fault(fault) => assert!(!fault.restarts && fault.done_bytes == 0, "{fault:?}"),
            _ => panic!("a fault at the first byte is a fault"),
        }
    }
}
