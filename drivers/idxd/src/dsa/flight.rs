//! What one job or batch in flight needs: lanes with their descriptors and records, and how far the job has come.

use std::cell::Cell;

use idxd_spec::{Completion, Descriptor, DifTags, Opcode, Status};
use svala::backend::{Failure, Member};
use svala::{Access, Done, Job, Value, VirtAddr};

use super::delta::Scratch;
use super::part::{Order, PartBytes};
use super::{Lists, delta, dif, list, part};
use crate::record::{Record, Records};

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
    pub(super) record: Records<Record>,
    pub(super) state: Cell<LaneState>,
    /// The part: its place in the job, its bytes, and those of them that are done.
    pub(super) offset: Cell<u64>,
    pub(super) len: Cell<u64>,
    pub(super) kept: Cell<u64>,
    /// What the job has come to: its CRC so far, or the bytes of its delta record.
    pub(super) so_far: Cell<u64>,
    /// Tags of the next block, of source and destination.
    pub(super) tags: Cell<(DifTags, DifTags)>,
    /// The descriptor under way holds a credit.
    pub(super) credited: Cell<bool>,
    /// The part is all of a job that finds nothing: success is all there is to know.
    pub(super) is_whole: Cell<bool>,
}

// What is not a record fits one line, and the hot path touches no other.
const _: () = assert!(size_of::<Lane>() == size_of::<Records<Record>>() + 64);

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

    /// The lane begins with this job.
    pub(super) fn begin_job(&self, job: &Job) {
        self.so_far.set(part::seed(job));
        self.tags.set(dif::first_tags(job));
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
    /// Submissions to the queue, when a part was loaded last.
    pub(super) submissions: Cell<u64>,
    /// Parts loaded since that has changed.
    pub(super) alone: Cell<u16>,
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
            submissions: Cell::new(0),
            alone: Cell::new(0),
        }
    }

    /// The first part of a job in any order is about to be loaded, with so many submissions to the queue so far.
    pub(super) fn begin_alone(&self, submissions: u64) {
        self.submissions.set(submissions);
        self.alone.set(0);
    }

    /// Another part is about to be loaded, with so many submissions to the queue so far.
    pub(super) fn look_about(&self, submissions: u64) {
        let is_alone = self.submissions.replace(submissions) == submissions;
        self.alone.set(if is_alone { self.alone.get().saturating_add(1) } else { 0 });
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

/// The memory of one slot.
pub struct DsaFlight {
    pub(super) lanes: Box<[Lane]>,
    /// The descriptor of each lane, where the device reads those of a batch.
    pub(super) list: Box<[Cell<Descriptor>]>,
    pub(super) batch_record: Records<Record>,
    /// Why a lane could not be loaded.
    pub(super) refusal: Cell<Option<Failure>>,
    pub(super) job: Cell<Job>,
    pub(super) progress: Progress,
    /// Room for what of a delta record has no other place.
    pub(super) scratch: Scratch,
    /// Bytes of a part at most.
    pub(super) part_bytes: PartBytes,
    /// What lists may be.
    pub(super) lists: Lists,
}

impl DsaFlight {
    pub(super) fn new(lanes: u16, part_bytes: PartBytes, lists: Lists) -> Self {
        let lane = |_| Lane {
            record: Records::default(),
            state: Cell::new(LaneState::Idle),
            offset: Cell::new(0),
            len: Cell::new(0),
            kept: Cell::new(0),
            so_far: Cell::new(0),
            tags: Cell::default(),
            credited: Cell::new(false),
            is_whole: Cell::new(false),
        };
        let nothing = Job::Noop;
        Self {
            lanes: (0..lanes).map(lane).collect(),
            list: (0..lanes).map(|_| Cell::new(Descriptor::noop())).collect(),
            batch_record: Records::default(),
            refusal: Cell::new(None),
            job: Cell::new(nothing),
            progress: Progress::new(),
            scratch: Scratch::new(part_bytes.max),
            part_bytes,
            lists,
        }
    }

    /// Why a lane could not be loaded.
    pub(super) fn unloadable(&self) -> Failure {
        self.refusal.take().unwrap_or(Failure::Unsupported)
    }

    /// The descriptor as this submission wants it.
    #[inline]
    pub(super) fn flagged(&self, descriptor: Descriptor) -> Descriptor {
        // What moves no data cannot block.
        let takes_flag = !matches!(descriptor.opcode(), Opcode::NOOP | Opcode::DRAIN);
        if self.progress.block_on_fault.get() && takes_flag {
            descriptor.with_block_on_fault()
        } else {
            descriptor
        }
    }

    /// The next part of a lane's job, of which everything before `offset` is done or under way: its descriptor, where it
    /// begins, and its bytes.
    pub(super) fn part(
        &self,
        lane: &Lane,
        job: &Job,
        offset: u64,
    ) -> Result<(Descriptor, u64, u64), Failure> {
        let so_far = lane.so_far.get();
        match job {
            Job::CreateDelta { len, .. } => {
                let from = delta::Progress { offset, written: so_far };
                let (made, len) = delta::create(job, from, *len, self.part_bytes.max, &self.scratch)?;
                Ok((made, offset, len))
            }
            Job::ApplyDelta { .. } => {
                let (made, len) = delta::apply(job, offset, self.part_bytes.max, &self.scratch)?;
                Ok((made, offset, len))
            }
            _ => {
                let order = self.progress.order.get();
                let part_bytes = self.part_bytes.of(order, self.progress.alone.get());
                let len = match list::part_len(job, offset, part_bytes, self.lists) {
                    Some(len) => len,
                    None => job.bytes().saturating_sub(offset).min(part::len_max(job, part_bytes)),
                };
                let at = match order {
                    Order::Backward => job.bytes() - offset - len,
                    Order::Parallel | Order::Forward => offset,
                };
                if len == 0 && !matches!(job, Job::Noop | Job::Drain) {
                    return Err(Failure::Unsupported);
                }
                let made = part::descriptor(job, at, len, so_far, lane.tags.get());
                Ok((made.ok_or(Failure::Unsupported)?, at, len))
            }
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
            let record = &*lane.record;
            if !lane.is_whole.get() || record.status() != Status::SUCCESS.0 {
                all = false;
                continue;
            }
            let len = lane.len.get();
            record.clear();
            lane.state.set(LaneState::Idle);
            bytes += len;
            member.result = Some(Ok(Done { bytes: len, value: Value::None }));
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
}
