//! What a written record means: for its lane, and at the end for the job.
//!
//! Nothing in a record is believed. What it claims is compared with what its descriptor asked for, and what cannot be
//! is an error with the record's first bytes.

use idxd_spec::{Completion, Descriptor, Reason, Resume, Status, resume};
use svala::backend::{Failure, LaneFault, Member};
use svala::{Access, CrcKind, DELTA_ENTRY_BYTES, Done, Job, NumberExceptions, Value, VirtAddr};

use super::flight::{DsaFlight, Lane, LaneState};
use super::part::{Order, low_half, rest_of, size_of};
use super::{delta, dif, list, numeric};

/// What a written record means for its lane.
pub(super) enum Completed {
    /// The part is done.
    Part,
    /// The rest of it, now in the lane's descriptor, needs a page.
    Fault(LaneFault),
    /// It failed, and that has been noted.
    Failed,
}

impl DsaFlight {
    /// Takes in what a lane's record says.
    pub(super) fn completed(&self, members: &mut [Member], lane: u16, record: &[u8; 32]) -> Completed {
        let done = Completion::from_bytes(record);
        let job = self.job_of(members, lane);
        let status = done.status().without_write();
        let answer = if status == Status::SUCCESS {
            self.part_done(members, lane, &job, &done).map(|()| Completed::Part)
        } else if status == Status::PAGE_FAULT {
            self.part_left(lane, &job, &done).map(Completed::Fault)
        } else {
            Err(self.failure(lane, &job, &done))
        };
        answer.unwrap_or_else(|failure| {
            self.fail(members, lane, failure);
            Completed::Failed
        })
    }

    /// Notes that a lane's part is done, and what it found.
    fn part_done(
        &self,
        members: &mut [Member],
        lane: u16,
        job: &Job,
        done: &Completion,
    ) -> Result<(), Failure> {
        let place = &self.lanes[usize::from(lane)];
        let at = place.offset.get() + place.kept.get();
        let mut difference = None;
        match job {
            Job::Compare { .. } | Job::ComparePattern { .. } => difference = place.difference(done)?,
            Job::Crc { crc, .. } | Job::CopyCrc { crc, .. } => {
                // Above a CRC of 32 bits the record has reserved bytes, which may be anything.
                let value = done.crc_val();
                let is_short = crc.kind == CrcKind::Crc32c;
                place.so_far.set(if is_short { low_half(value).into() } else { value });
            }
            Job::CreateDelta { .. } => {
                let descriptor = self.list[usize::from(lane)].get();
                let from = delta::Progress { offset: at, written: place.so_far.get() };
                let to = delta::created(job, &descriptor, done, from, &self.scratch)?;
                place.so_far.set(to.written);
                // All of the part, or as much as the room of one descriptor had room for.
                place.len.set(to.offset - place.offset.get());
                self.progress.next.set(to.offset);
            }
            job if numeric::conversion(job).is_some() => place.note_exceptions(done),
            job if dif::blocks(job).is_some() => place.tags.set(dif::next_tags(job, done)),
            _ => {}
        }
        let progress = &self.progress;
        progress.done.set(progress.done.get() + place.len.get() - place.kept.get());
        if let Some(member) = members.get_mut(usize::from(lane)) {
            let over = place.offset.get() + place.len.get() == job.bytes() || difference.is_some();
            if over {
                member.result = Some(Ok(value(job, difference, place)));
            }
        } else {
            progress.difference.set(match (progress.difference.get(), difference) {
                (Some(known), Some(new)) => Some(known.min(new)),
                (known, new) => known.or(new),
            });
        }
        Ok(())
    }

    /// Notes a partial completion: what is left of the part is in the lane's descriptor then.
    fn part_left(&self, lane: u16, job: &Job, done: &Completion) -> Result<LaneFault, Failure> {
        let place = &self.lanes[usize::from(lane)];
        let descriptor = self.list[usize::from(lane)].get();
        let rest = match resume(&descriptor, done) {
            // Nothing done yet is not the same as nothing kept: every operation of this queue goes on where it
            // stopped, so the window decides how much to populate.
            Resume::Whole => return Ok(self.fault(lane, job, done)),
            // The rule moves the room for the record up, until there is too little of it. The job may go on elsewhere.
            Resume::Rest(_) | Resume::Impossible(Reason::DeltaRoom(_))
                if matches!(job, Job::CreateDelta { .. }) =>
            {
                self.delta_left(place, job, &descriptor, done)?
            }
            Resume::Rest(rest) => rest,
            Resume::Finished => return Err(nonsense("fault after the last byte", done)),
            Resume::Impossible(_) => return Err(nonsense("partial completion that cannot be", done)),
        };
        if numeric::conversion(job).is_some() {
            place.note_exceptions(done);
        }
        let kept = size_of(job, &descriptor) - size_of(job, &rest);
        place.kept.set(place.kept.get() + kept);
        // The device that goes on does not know the entry before.
        delta::in_order_at(job, place.offset.get() + place.kept.get())?;
        self.list[usize::from(lane)].set(rest);
        self.progress.done.set(self.progress.done.get() + kept);
        Ok(self.fault(lane, job, done))
    }

    /// The rest of a delta record that is being made, with what there is of it taken in.
    fn delta_left(
        &self,
        place: &Lane,
        job: &Job,
        descriptor: &Descriptor,
        done: &Completion,
    ) -> Result<Descriptor, Failure> {
        let (bytes, size) = (done.bytes_completed(), done.delta_rec_size());
        if u64::from(size) / DELTA_ENTRY_BYTES > u64::from(bytes) / 8 {
            return Err(nonsense("delta record of more than was compared", done));
        }
        let at = place.offset.get() + place.kept.get();
        let from = delta::Progress { offset: at, written: place.so_far.get() };
        let written = delta::keep(job, descriptor, from, size, done, &self.scratch)?;
        place.so_far.set(written);
        let end = place.offset.get() + place.len.get();
        let from = delta::Progress { offset: at + u64::from(bytes), written };
        let (rest, _) = delta::create(job, from, end, self.part_bytes.max, &self.scratch)?;
        Ok(self.flagged(rest))
    }

    /// What a status that is neither success nor a page fault is to the job.
    fn failure(&self, lane: u16, job: &Job, done: &Completion) -> Failure {
        let place = &self.lanes[usize::from(lane)];
        let (status, into) = (done.status(), u64::from(done.bytes_completed()));
        let asked = size_of(job, &self.list[usize::from(lane)].get());
        let at = place.offset.get() + place.kept.get() + into;
        match (status.without_write(), dif::blocks(job)) {
            (Status::PAGE_REQUEST_INVALID, _) => {
                let access = if status.is_write_fault() { Access::Write } else { Access::Read };
                let addr = VirtAddr::new(done.fault_addr());
                Failure::Address { access, addr, done_bytes: self.unbroken(lane, into.min(asked)) }
            }
            (Status::DIF_ERROR, Some((block, _))) => match dif::mismatch(done.dif_status()) {
                Some(mismatch) if into < asked && into.is_multiple_of(block) => {
                    Failure::Dif { block: at / block, mismatch }
                }
                _ => nonsense("data integrity error that cannot be", done),
            },
            (Status::DELTA_ORDER | Status::DELTA_RANGE, _) if matches!(job, Job::ApplyDelta { .. }) => {
                match into < asked && into.is_multiple_of(DELTA_ENTRY_BYTES) {
                    true => Failure::Corrupt { offset: at },
                    false => nonsense("error in a delta record behind its end", done),
                }
            }
            _ => match status.name() {
                Some(name) => Failure::Status { status: status.0, name, done_bytes: self.unbroken(lane, 0) },
                None => nonsense("status the specification does not have", done),
            },
        }
    }

    /// Bytes done from where the job begins (or the member of a batch) without a gap, `more` of them not yet noted as kept
    /// by this lane.
    fn unbroken(&self, lane: u16, more: u64) -> u64 {
        let reached = |place: &Lane| place.offset.get() + place.kept.get();
        let progress = &self.progress;
        let here = reached(&self.lanes[usize::from(lane)]) + more;
        match progress.order.get() {
            Order::Forward => here,
            Order::Backward => progress.done.get() + more,
            Order::Parallel => {
                let others = self.lanes[..usize::from(progress.lanes.get())].iter().enumerate();
                let busy = others
                    .filter(|(at, place)| *at != usize::from(lane) && place.state.get() != LaneState::Idle);
                busy.map(|(_, place)| reached(place)).fold(here, u64::min)
            }
        }
    }

    fn fault(&self, lane: u16, job: &Job, done: &Completion) -> LaneFault {
        let status = done.status();
        let access = if status.is_write_fault() { Access::Write } else { Access::Read };
        LaneFault {
            lane,
            access,
            addr: VirtAddr::new(done.fault_addr()),
            done_bytes: self.progress.done.get(),
            unbroken_bytes: self.unbroken(lane, 0),
            status: status.0,
            rest: if list::blocks(job).is_some() {
                list::needs(
                    job,
                    &self.list[usize::from(lane)].get(),
                    access,
                    VirtAddr::new(done.fault_addr()),
                )
            } else {
                rest_of(job, &self.list[usize::from(lane)].get())
            },
            // A flush reads its range as far as the job is concerned; a device may want it to be writable. Populating
            // along the job's operands would never satisfy it, populating along this rest does.
            restarts: access == Access::Write && matches!(job, Job::CacheFlush { .. })
                || list::starts_again(job),
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
        Ok(value(&job, self.progress.difference.get(), &self.lanes[0]))
    }
}

impl Lane {
    /// What happened to any number of the job: each part says it of its own.
    fn note_exceptions(&self, done: &Completion) {
        self.so_far.set(self.so_far.get() | u64::from(done.exceptions().bits()));
    }

    /// Where a comparison that is done found a difference, as an offset in the job.
    fn difference(&self, done: &Completion) -> Result<Option<u64>, Failure> {
        let into = u64::from(done.bytes_completed());
        match done.result() {
            0 => Ok(None),
            1 if into < self.len.get() - self.kept.get() => {
                Ok(Some(self.offset.get() + self.kept.get() + into))
            }
            1 => Err(nonsense("difference outside the comparison", done)),
            _ => Err(nonsense("result a comparison does not have", done)),
        }
    }
}

fn value(job: &Job, difference: Option<u64>, lane: &Lane) -> Done {
    let bytes = difference.unwrap_or(job.bytes());
    let value = match job {
        Job::Compare { .. } | Job::ComparePattern { .. } => Value::Difference(difference),
        Job::Crc { .. } | Job::CopyCrc { .. } => Value::Crc(lane.so_far.get()),
        Job::CreateDelta { .. } => Value::Delta { written: lane.so_far.get() },
        job if numeric::conversion(job).is_some() => {
            // Bits above those there are mean nothing yet.
            let bits = lane.so_far.get().to_le_bytes()[0];
            Value::Exceptions(NumberExceptions::from_bits_truncate(bits))
        }
        job if dif::blocks(job).is_some() => {
            let (source, destination) = lane.tags.get();
            Value::Tags { source: dif::tags(source), destination: dif::tags(destination) }
        }
        _ => Value::None,
    };
    Done { bytes, value }
}

fn nonsense(what: &'static str, done: &Completion) -> Failure {
    Failure::Nonsense { what, record: head(done) }
}

/// The first eight bytes of a record, for messages.
pub(super) fn head(done: &Completion) -> u64 {
    let mut first = [0; 8];
    first.copy_from_slice(&done.to_bytes()[..8]);
    u64::from_le_bytes(first)
}

#[cfg(test)]
mod tests {
    use idxd_spec::{DifStatus, FaultInfo};
    use svala::{DifFormat, DifSource, Span};

    use super::*;
    use crate::dsa::part::PartBytes;

    const A: VirtAddr = VirtAddr::new(0x10_0000);
    const B: VirtAddr = VirtAddr::new(0x20_0000);

    /// A flight whose device has all of `job`.
    fn flight(job: Job) -> DsaFlight {
        let part_bytes = PartBytes::new(2 << 20, 2 << 20);
        let flight = DsaFlight::new(1, part_bytes, crate::dsa::Lists::default());
        flight.job.set(job);
        flight.progress.begin(Order::Forward, 1, false);
        flight.lanes[0].begin_job(&job);
        let (descriptor, at, len) = flight.part(&flight.lanes[0], &job, 0).expect("a DSA does it");
        flight.list[0].set(descriptor);
        flight.lanes[0].begin(at, len, false);
        flight
    }

    fn failure(job: Job, done: Completion) -> Option<Failure> {
        let flight = flight(job);
        match flight.completed(&mut [], 0, &done.to_bytes()) {
            Completed::Failed => flight.progress.failure.get(),
            Completed::Part | Completed::Fault(_) => None,
        }
    }

    #[test]
    fn fault_before_the_first_byte_leaves_the_stretch_to_the_window() {
        let flight = flight(Job::Copy { src: A, dst: B, len: 8192 });
        let done = Completion::new(Status::PAGE_FAULT).with_fault(A.get(), FaultInfo(0));
        match flight.completed(&mut [], 0, &done.to_bytes()) {
            Completed::Fault(fault) => assert!(!fault.restarts && fault.done_bytes == 0, "{fault:?}"),
            _ => panic!("a fault at the first byte is a fault"),
        }
    }

    /// Three parts of 64 KiB on three lanes, of which the second meets a fault: what is done of the first decides.
    #[test]
    fn parts_in_any_order_are_done_as_far_as_there_is_no_gap() {
        let part = 64_u32 << 10;
        let job = Job::Copy { src: A, dst: B, len: 3 * u64::from(part) };
        let flight = DsaFlight::new(3, PartBytes::new(2 << 20, part), crate::dsa::Lists::default());
        flight.job.set(job);
        flight.progress.begin(Order::Parallel, 3, false);
        for (place, offset) in flight.lanes.iter().zip([0, 1, 2].map(|at| at * u64::from(part))) {
            place.begin_job(&job);
            let (descriptor, at, len) = flight.part(place, &job, offset).expect("a DSA does it");
            assert_eq!((at, len), (offset, part.into()));
            flight.list[usize::try_from(offset / u64::from(part)).unwrap()].set(descriptor);
            place.begin(at, len, false);
            place.state.set(LaneState::Submitted);
        }
        let fault = |lane: u16, bytes: u32| {
            let addr = A.add(u64::from(part) * u64::from(lane) + u64::from(bytes)).get();
            let done = Completion::new(Status::PAGE_FAULT).with_fault(addr, FaultInfo(0));
            match flight.completed(&mut [], lane, &done.with_bytes_completed(bytes).to_bytes()) {
                Completed::Fault(fault) => (fault.done_bytes, fault.unbroken_bytes),
                _ => panic!("a fault is a fault"),
            }
        };
        assert_eq!(fault(1, 4096), (4096, 0));
        assert_eq!(fault(0, 8192), (4096 + 8192, 8192));
        let success = Completion::new(Status::SUCCESS);
        assert!(matches!(flight.completed(&mut [], 0, &success.to_bytes()), Completed::Part));
        flight.lanes[0].state.set(LaneState::Idle);
        assert_eq!(fault(1, 4096), (u64::from(part) + 8192, u64::from(part) + 8192));
    }

    /// A long copy with the queue to itself goes on in parts as long as the queue allows, until somebody else is about.
    #[test]
    fn parts_grow_while_nobody_else_submits() {
        let (max, part) = (2_u32 << 20, 64_u32 << 10);
        let (max_len, part_len) = (u64::from(max), u64::from(part));
        let job = Job::Copy { src: A, dst: B, len: 1 << 30 };
        let flight = DsaFlight::new(1, PartBytes::new(max, part), crate::dsa::Lists::default());
        flight.progress.begin(Order::Parallel, 1, false);
        let next = |submissions: u64| {
            flight.progress.look_about(submissions);
            flight.part(&flight.lanes[0], &job, 0).expect("a DSA does it").2
        };
        let lengths: Vec<u64> = (0..20).map(|_| next(7)).collect();
        let small = usize::from(crate::dsa::part::ALONE_PARTS);
        assert!(lengths[..small].iter().all(|len| *len == part_len), "{lengths:?}");
        assert!(lengths[small..].iter().all(|len| *len == max_len), "{lengths:?}");
        assert_eq!(next(8), part_len, "somebody else");
        flight.progress.begin(Order::Forward, 1, false);
        assert_eq!(next(8), max_len, "in order");
    }

    /// Each record is of the right form, and claims what its job cannot have come to.
    #[test]
    fn a_record_that_claims_what_was_not_asked_is_nonsense() {
        let success = || Completion::new(Status::SUCCESS);
        let fault = |bytes| Completion::new(Status::PAGE_FAULT).with_bytes_completed(bytes);
        let compare = Job::Compare { a: A, b: B, len: 4096 };
        let pattern = Job::ComparePattern { src: A, len: 4096, pattern: 0 };
        let room = Span::new(VirtAddr::new(0x30_0000), 100);
        let create = Job::CreateDelta { a: A, b: B, len: 4096, delta: room };
        let apply = Job::ApplyDelta { delta: Span::new(A, 100), dst: B, len: 4096 };
        let (format, source) = (DifFormat::default(), DifSource::default());
        let check = Job::DifCheck { src: A, len: 5200, format, source };
        let dif_error = |bytes: u32, status: u8| {
            Completion::new(Status::DIF_ERROR).with_bytes_completed(bytes).with_result(status)
        };
        let guard = DifStatus::GUARD.bits();
        let wrong = [
            (compare, success().with_result(1).with_bytes_completed(4096)),
            (compare, success().with_result(2)),
            (compare, fault(4097)),
            (compare, fault(10).with_result(1)),
            (pattern, success().with_result(1).with_bytes_completed(5000)),
            (create, success().with_result(1).with_delta_rec_size(110)),
            (create, success().with_result(1).with_delta_rec_size(15)),
            (create, success().with_result(1)),
            (create, success().with_delta_rec_size(10)),
            (create, success().with_result(3)),
            (create, fault(16).with_result(1).with_delta_rec_size(30)),
            (create, fault(12)),
            (apply, fault(15)),
            (apply, Completion::new(Status::DELTA_ORDER).with_bytes_completed(100)),
            (apply, Completion::new(Status::DELTA_RANGE).with_bytes_completed(5)),
            (check, dif_error(5200, guard)),
            (check, dif_error(100, guard)),
            (check, dif_error(520, 0)),
            (check, dif_error(520, 0x20)),
            (check, fault(521)),
            (Job::Noop, fault(0)),
            (compare, Completion::new(Status(0x3e))),
        ];
        for (at, (job, done)) in wrong.into_iter().enumerate() {
            let failure = failure(job, done);
            assert!(matches!(failure, Some(Failure::Nonsense { record: 1.., .. })), "{at}: {failure:?}");
        }
    }

    #[test]
    fn errors_of_blocks_and_entries_say_which() {
        let (format, source) = (DifFormat::default(), DifSource::default());
        let check = Job::DifCheck { src: A, len: 5200, format, source };
        let done = Completion::new(Status::DIF_ERROR).with_bytes_completed(1560).with_result(5);
        let mismatch = svala::DifMismatch::GUARD | svala::DifMismatch::REF_TAG;
        assert_eq!(failure(check, done), Some(Failure::Dif { block: 3, mismatch }));
        let apply = Job::ApplyDelta { delta: Span::new(A, 100), dst: B, len: 4096 };
        let done = Completion::new(Status::DELTA_RANGE).with_bytes_completed(70);
        assert_eq!(failure(apply, done), Some(Failure::Corrupt { offset: 70 }));
        let delta = Span::new(VirtAddr::new(0x30_0000), 87);
        let create = Job::CreateDelta { a: A, b: B, len: 4096, delta };
        let done = Completion::new(Status::SUCCESS).with_result(2).with_delta_rec_size(80);
        assert_eq!(failure(create, done), Some(Failure::OutputFull { bytes_max: 87 }));
    }
}
