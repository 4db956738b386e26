//! An engine: takes a descriptor, runs it, writes its record.

use std::sync::Arc;

use idxd_spec::{Completion, Descriptor, FaultInfo, Flags, Opcode, Operand, Status, iaa};

use crate::bus::{Access, Bus, PAGE_BYTES};
use crate::check::{self, Context};
use crate::index::index;
use crate::model::Model;
use crate::operation::{self, Buffers};
use crate::page_request::PageAnswer;
use crate::record::Record;
use crate::rules::Rules;
use crate::software_error::{Origin, SoftwareError};
use crate::walk::{Flow, Interrupted, Span, Walk};
use crate::work_queue::Taken;
use crate::{DeviceKind, analytics, analytics_check};

/// Page requests for one completion record before it is given up.
const RECORD_REQUESTS_MAX: u32 = 8;
/// Descriptors of a batch fetched at once.
const FETCH_MAX: u64 = 64;

/// What an engine found to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It ran a descriptor to its end.
    Ran,
    /// Nothing was queued.
    Idle,
}

/// One engine of a [`Model`]. Each may be driven by a thread of its own.
pub struct Engine<B> {
    model: Arc<Model<B>>,
    index: usize,
    buffers: Buffers,
}

impl<B: Bus> Engine<B> {
    pub(crate) fn new(model: Arc<Model<B>>, index: usize) -> Self {
        Self { model, index, buffers: Buffers::new() }
    }

    /// Which engine of the device.
    pub fn index(&self) -> usize {
        self.index
    }

    /// Takes one descriptor and runs it, record included. Waits where the device would: for a page request, and for
    /// other engines if the descriptor is a drain.
    pub fn run_one(&mut self) -> Step {
        let model = Arc::clone(&self.model);
        let Some((queue, taken)) = model.take() else { return Step::Idle };
        if !model.plan.delay().is_zero() {
            model.doorbell.pause(model.plan.delay());
        }
        let work_queue = &model.queues[queue];
        let run = Run { model: &model, queue, rules: work_queue.rules() };
        match model.kind {
            DeviceKind::Dsa => run.submitted(&mut self.buffers, &taken),
            DeviceKind::Iaa => run.submitted_to_iaa(&taken),
        }
        work_queue.finish(taken.sequence);
        Step::Ran
    }
}

/// One descriptor's way through an engine.
pub(crate) struct Run<'a, B> {
    pub(crate) model: &'a Model<B>,
    queue: usize,
    rules: &'a Rules,
}

impl<B: Bus> Run<'_, B> {
    /// A descriptor from the work queue.
    fn submitted(&self, buffers: &mut Buffers, taken: &Taken) {
        let descriptor = &taken.descriptor;
        let origin = Origin { queue: self.queue, batch_index: None };
        if !self.has_usable_record(origin, descriptor, Completion::ALIGN as u64) {
            return;
        }
        let completion = match check::check(descriptor, Context::WorkQueue, self.rules) {
            Err(completion) => completion,
            Ok(()) if descriptor.opcode() == Opcode::BATCH => self.batch(buffers, descriptor),
            Ok(()) if descriptor.opcode() == Opcode::DRAIN => self.drain(taken),
            Ok(()) => operation::run(self.model, buffers, descriptor),
        };
        self.report(origin, descriptor, Record::dsa(descriptor.opcode(), &completion));
    }

    /// A descriptor of a batch. Answers whether it had success (and 0x02 is not that).
    fn member(&self, buffers: &mut Buffers, descriptor: &Descriptor, batch_index: u16) -> bool {
        let origin = Origin { queue: self.queue, batch_index: Some(batch_index) };
        if !self.has_usable_record(origin, descriptor, Completion::ALIGN as u64) {
            return false;
        }
        let completion = match check::check(descriptor, Context::Batch, self.rules) {
            Err(completion) => completion,
            Ok(()) => operation::run(self.model, buffers, descriptor),
        };
        let reported = self.report(origin, descriptor, Record::dsa(descriptor.opcode(), &completion));
        completion.status() == Status::SUCCESS && reported
    }

    /// The list is read as far as it is present, those descriptors are run, and so on (§3.8). The list always blocks
    /// on a fault, whatever the flags (table 8-3).
    fn batch(&self, buffers: &mut Buffers, descriptor: &Descriptor) -> Completion {
        self.model.counters.batches.add(1);
        let mut batch =
            Batch { failed: descriptor.flags().contains(Flags::BATCH_ERROR), abandoned: false, completed: 0 };
        let (pasid, privileged) = (descriptor.pasid(), descriptor.privileged());
        let spans = [Span::read(Operand::SRC, descriptor.desc_list_addr())];
        let bytes = u64::from(descriptor.desc_count()) * Descriptor::SIZE as u64;
        let mut walk = Walk::new(self.model, &spans, bytes, true);
        let end = walk.run(FETCH_MAX * Descriptor::SIZE as u64, |piece| {
            let mut list = [0; index(FETCH_MAX) * Descriptor::SIZE];
            let list = &mut list[..index(piece.len)];
            let addr = spans[0].addr.wrapping_add(piece.offset);
            self.model.bus.read(addr, list).map_err(|fault| Interrupted { done: 0, fault })?;
            let (members, _) = list.as_chunks::<{ Descriptor::SIZE }>();
            // Whose they are does not say the list (§8.1.1).
            let member = |bytes| Descriptor::from_bytes(bytes).with_pasid(pasid).with_privileged(privileged);
            let mut members: Vec<_> = members.iter().map(|bytes| member(*bytes)).zip(0..).collect();
            self.members(buffers, &mut members, &mut batch);
            Ok(if batch.abandoned { Flow::Halt(0) } else { Flow::Continue })
        });
        let completion = match end {
            Err(stop) => Completion::new(Status::BATCH_PAGE_FAULT)
                .with_fault(stop.addr & !(PAGE_BYTES - 1), FaultInfo::new(stop.operand)),
            Ok(_) if batch.failed => Completion::new(Status::BATCH_FAILED),
            Ok(_) => Completion::new(Status::SUCCESS),
        };
        completion.with_result(batch.failed.into()).with_bytes_completed(batch.completed.into())
    }

    /// Runs members in order, or in any order between fences if the plan says so. A fence behind a failure abandons
    /// the rest (§3.9).
    fn members(&self, buffers: &mut Buffers, members: &mut [(Descriptor, u16)], batch: &mut Batch) {
        let first = batch.completed;
        let is_fence = |descriptor: &Descriptor| descriptor.flags().contains(Flags::FENCE);
        for segment in members.chunk_by_mut(|_, (next, _)| !is_fence(next)) {
            if is_fence(&segment[0].0) && batch.failed {
                batch.abandoned = true;
                return;
            }
            // Everything before the fence is complete; what is behind it need not wait for the fence itself.
            self.model.plan.mix(segment);
            for (descriptor, index) in segment {
                let has_success = self.member(buffers, descriptor, first + *index);
                batch.failed |= !has_success;
                batch.completed += 1;
            }
        }
    }

    fn drain(&self, taken: &Taken) -> Completion {
        self.model.queues[self.queue].wait_for_older(taken.sequence);
        let (descriptor, flags) = (&taken.descriptor, taken.descriptor.flags());
        let readbacks = [
            (Flags::READBACK_ADDR_1_VALID, Operand::SRC, descriptor.readback_addr_1()),
            (Flags::READBACK_ADDR_2_VALID, Operand::SRC2, descriptor.readback_addr_2()),
        ];
        for (flag, operand, addr) in readbacks {
            let spans = [Span::read(operand, addr)];
            let mut walk = Walk::new(self.model, &spans, 1, true);
            if flags.contains(flag)
                && let Err(stop) = walk.run(1, |_| Ok(Flow::Continue))
            {
                return Completion::new(Status::READBACK_PAGE_FAULT)
                    .with_fault(stop.addr & !(PAGE_BYTES - 1), FaultInfo::new(operand));
            }
        }
        Completion::new(Status::SUCCESS)
    }

    /// Without an aligned record address there is nowhere to answer, and the descriptor is discarded (§5.4).
    pub(crate) fn has_usable_record(&self, origin: Origin, descriptor: &Descriptor, align: u64) -> bool {
        let is_valid = descriptor.flags().contains(Flags::COMPLETION_ADDR_VALID);
        if !is_valid || descriptor.completion_addr().is_multiple_of(align) {
            return true;
        }
        self.model.counters.descriptors.add(1);
        self.model.record_error(SoftwareError::new(Status::COMPLETION_ALIGNMENT, origin, descriptor));
        false
    }

    /// Writes the record if one is wanted, or the software error register if there is nowhere else to say it (§5.8.1).
    /// Answers whether the record that was wanted was written.
    pub(crate) fn report(&self, origin: Origin, descriptor: &Descriptor, mut record: Record) -> bool {
        let model = self.model;
        model.counters.descriptors.add(1);
        let flags = descriptor.flags();
        let status = record.status();
        let fate = model.plan.fate();
        if matches!(status.without_write(), Status::PAGE_FAULT | Status::PAGE_REQUEST_INVALID) {
            model.counters.partial.add(1);
        }
        let speaks_for_itself = match model.kind {
            DeviceKind::Dsa => status.is_success() || status == Status::BATCH_FAILED,
            DeviceKind::Iaa => status == Status::SUCCESS,
        };
        if !flags.contains(Flags::COMPLETION_ADDR_VALID) {
            if !speaks_for_itself {
                model.record_error(SoftwareError::new(status, origin, descriptor));
            }
            return true;
        }
        if speaks_for_itself && !flags.contains(Flags::REQUEST_COMPLETION) {
            return true;
        }
        if let Some(nonsense) = fate.nonsense {
            record = record.with_nonsense(nonsense, descriptor.xfer_size());
        }
        let meaning = record.meaning();
        model.plan.fill_with_noise(record.bytes_mut(), meaning);
        let mut written = true;
        for _ in 0..fate.answers {
            written &= self.write_record(origin, descriptor, record.bytes());
        }
        written
    }

    /// Writes a record: what is behind the status first, then the status, each a write of its own, so that whoever
    /// sees the status sees the rest. A record always blocks on a fault if the device can request pages (table 8-3).
    fn write_record(&self, origin: Origin, descriptor: &Descriptor, bytes: &[u8]) -> bool {
        let model = self.model;
        let addr = descriptor.completion_addr();
        let len = bytes.len() as u64;
        let mut requests = 0;
        loop {
            let is_written = model.bus.present(addr, len, Access::Write) == len
                && model.bus.write(addr.wrapping_add(1), &bytes[1..]).is_ok()
                && model.bus.write(addr, &bytes[..1]).is_ok();
            if is_written {
                model.counters.completions.add(1);
                model.call_hooks();
                return true;
            }
            model.counters.faults.add(1);
            requests += 1;
            let can_try_again = model.can_request_pages() && requests <= RECORD_REQUESTS_MAX;
            if !can_try_again || model.request_page(addr, Access::Write) != PageAnswer::Success {
                model.counters.completions_lost.add(1);
                model.record_error(SoftwareError {
                    fault_addr: addr & !(PAGE_BYTES - 1),
                    operand: Operand::COMPLETION,
                    ..SoftwareError::new(Status::COMPLETION_PAGE_FAULT.with_write(), origin, descriptor)
                });
                return false;
            }
        }
    }

    /// A descriptor from a work queue of an IAA.
    fn submitted_to_iaa(&self, taken: &Taken) {
        let origin = Origin { queue: self.queue, batch_index: None };
        if !self.has_usable_record(origin, &taken.descriptor, iaa::Completion::ALIGN as u64) {
            return;
        }
        let descriptor = iaa::Descriptor::from_bytes(*taken.descriptor.as_bytes());
        let completion = match analytics_check::check(&descriptor, self.rules) {
            Err(completion) => completion,
            Ok(()) if descriptor.opcode() == Opcode::DRAIN => {
                let drained = self.drain(taken);
                iaa::Completion::new(drained.status()).with_fault(drained.fault_addr(), drained.fault_info())
            }
            Ok(()) => analytics::run(self.model, &descriptor),
        };
        self.report(origin, &taken.descriptor, Record::iaa(completion.to_bytes()));
    }
}

/// How far a batch is.
struct Batch {
    /// A member, of this batch or of what it continues, had no success.
    failed: bool,
    /// A fence came behind a failure.
    abandoned: bool,
    completed: u16,
}
