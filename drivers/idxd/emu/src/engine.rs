//! An engine: takes a descriptor, admits it, runs it, and reports.
//!
//! [`admission`] has what is checked before the operation is looked at, [`batch`] what is special about batches, and
//! [`report`] where the outcome goes.

mod admission;
mod batch;
mod report;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;

use idxd_spec::register::perfmon::{Category, event};
use idxd_spec::register::{Cmd, CmdCode};
use idxd_spec::{Completion, Descriptor, FaultInfo, Flags, Opcode, Operand, Status, iaa};

use crate::bus::{Bus, PAGE_BYTES};
use crate::check::Context;
use crate::group::Place;
use crate::life::Era;
use crate::model::Model;
use crate::operation::{self, Buffers};
use crate::perfmon::Sample;
use crate::record::Record;
use crate::rules::Rules;
use crate::software_error::Origin;
use crate::space::Space;
use crate::walk::{Flow, Span, Walk};
use crate::work_queue::{Scope, Taken};
use crate::{DeviceKind, analytics};
use batch::Batch;
use report::Reported;

/// What an engine found to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It ran a descriptor to its end.
    Ran,
    /// Nothing was queued, or the device is halted, or the engine is in no group.
    Idle,
}

/// One engine of a [`Model`]. Each may be driven by a thread of its own.
pub struct Engine<B> {
    model: Arc<Model<B>>,
    index: usize,
    place: Place,
    buffers: Buffers,
}

impl<B: Bus> Engine<B> {
    pub(crate) fn new(model: Arc<Model<B>>, index: usize) -> Self {
        Self { model, index, place: Place::default(), buffers: Buffers::new() }
    }

    /// Which engine of the device.
    pub fn index(&self) -> usize {
        self.index
    }

    /// Whether there is something for this engine to run.
    pub fn has_work(&mut self) -> bool {
        let model = &self.model;
        let group = self.place.group(&model.groups, self.index);
        model.life.current().is_some() && group.is_some_and(|group| group.has_work(&model.queues))
    }

    /// Takes one descriptor and runs it, record included. Waits where the device would: for a page request, for other
    /// engines if the descriptor is a drain, and for room in the event log.
    pub fn run_one(&mut self) -> Step {
        let model = Arc::clone(&self.model);
        let Some(era) = model.life.current() else { return Step::Idle };
        let Some(group) = self.place.group(&model.groups, self.index) else { return Step::Idle };
        let Some((queue, taken)) = group.take(&model.queues, &model.plan) else { return Step::Idle };
        let traffic_classes = group.traffic_classes;
        if let Some(alarm) = taken.alarm {
            model.raise_alarm(alarm);
        }
        if !model.plan.delay().is_zero() {
            model.doorbell.pause(model.plan.delay());
        }
        let run = Run { model: &model, queue, engine: self.index, taken: &taken, traffic_classes, era };
        run.count(Category::Engine, event::DESC_FROM_WQ, &taken.descriptor);
        let _space = run.space().enter();
        match model.kind {
            DeviceKind::Dsa => run.submitted(&mut self.buffers),
            DeviceKind::Iaa => run.submitted_to_iaa(),
        }
        if let Some(book) = model.book() {
            book.end(model.kind, &taken.descriptor);
        }
        model.queues[queue].finish(taken.sequence);
        if taken.descriptor.xfer_size() >= LONG_BYTES {
            thread::yield_now();
        }
        if model.has_pending.load(Ordering::SeqCst) {
            model.poll_command();
        }
        Step::Ran
    }
}

impl<B: Bus> Engine<B> {
    /// The life of an engine's thread: runs what comes until [`Model::finish`] and until nothing is left.
    pub fn serve(mut self) {
        let model = Arc::clone(&self.model);
        while model.doorbell.wait(|| self.has_work()) {
            while !model.doorbell.is_held() && (self.run_one() == Step::Ran || self.has_work_soon()) {}
        }
    }

    /// Whether there is new work before it is worth going to sleep.
    fn has_work_soon(&mut self) -> bool {
        (0..LOOKS_BEFORE_SLEEP).any(|_| {
            (0..16).for_each(|_| std::hint::spin_loop());
            self.has_work()
        })
    }
}

/// Bytes of a descriptor after which an engine gives up its CPU: what a device does takes no CPU from anybody, and ours
/// would keep the one it is on until the next tick of the kernel's clock.
const LONG_BYTES: u32 = 64 << 10;

/// Looks at the work queues an engine takes before it goes to sleep, some 10 us in all: less than being woken costs.
const LOOKS_BEFORE_SLEEP: usize = 8;

/// One descriptor's way through an engine.
struct Run<'a, B> {
    model: &'a Model<B>,
    queue: usize,
    engine: usize,
    taken: &'a Taken,
    /// Of the group: for a selector of 0 and of 1.
    traffic_classes: [u8; 2],
    /// The device's life in which the descriptor was taken.
    era: Era,
}

impl<B: Bus> Run<'_, B> {
    /// What its addresses are in. The members of a batch share it.
    fn space(&self) -> Space {
        let descriptor = &self.taken.descriptor;
        match self.pasid(descriptor) {
            Some(pasid) => Space { pasid: Some(pasid), privileged: descriptor.privileged() },
            None => Space::default(),
        }
    }

    fn rules(&self) -> &Rules {
        &self.taken.rules
    }

    fn origin(&self) -> Origin {
        Origin { queue: self.queue, batch_id: None, batch_index: None }
    }

    /// The descriptor from the work queue.
    fn submitted(&self, buffers: &mut Buffers) {
        let descriptor = &self.taken.descriptor;
        if descriptor.opcode() == Opcode::BATCH {
            return self.submitted_batch(buffers);
        }
        let origin = self.origin();
        let Some(admitted) = self.admit(origin, descriptor, Context::WorkQueue) else { return };
        let opcode = descriptor.opcode();
        let mut record = match admitted.verdict {
            Err(refusal) => refusal,
            Ok(()) if opcode == Opcode::DRAIN => Record::dsa(opcode, &self.drain()),
            Ok(()) => Record::dsa(opcode, &operation::run(self.model, buffers, descriptor)),
        };
        self.report(origin, descriptor, &mut record, admitted.interrupt, None);
    }

    /// A descriptor of a batch. Answers whether it had success (and 0x02 is not that).
    fn member(&self, buffers: &mut Buffers, descriptor: &Descriptor, batch: &Batch, index: u16) -> bool {
        self.count(Category::Engine, event::DESC_FROM_BATCH, descriptor);
        let origin = Origin { batch_id: Some(batch.id), batch_index: Some(index), ..self.origin() };
        let Some(admitted) = self.admit(origin, descriptor, Context::Batch) else { return false };
        let mut record = match admitted.verdict {
            Err(refusal) => refusal,
            Ok(()) => Record::dsa(descriptor.opcode(), &operation::run(self.model, buffers, descriptor)),
        };
        let reported = self.report(origin, descriptor, &mut record, admitted.interrupt, Some(batch));
        if let Some(book) = self.model.book() {
            book.end_member();
        }
        record.status() == Status::SUCCESS && reported != Reported::Lost
    }

    /// Waits for what was submitted before: to a dedicated work queue by anybody, to a shared one with the same PASID
    /// (§3.12).
    fn drain(&self) -> Completion {
        let descriptor = &self.taken.descriptor;
        let pasid = if self.taken.is_shared { Some(descriptor.pasid()) } else { None };
        self.model.queues[self.queue].wait_for_running(Scope { before: self.taken.sequence, pasid });
        let readbacks = [
            (Flags::READBACK_ADDR_1_VALID, Operand::SRC, descriptor.readback_addr_1()),
            (Flags::READBACK_ADDR_2_VALID, Operand::SRC2, descriptor.readback_addr_2()),
        ];
        for (flag, operand, addr) in readbacks {
            let spans = [Span::read(operand, addr)];
            let mut walk = Walk::new(self.model, &spans, 1, self.rules().prs_enabled);
            if descriptor.flags().contains(flag)
                && let Err(stop) = walk.run(1, |_| Ok(Flow::Continue))
            {
                return Completion::new(Status::READBACK_PAGE_FAULT)
                    .with_fault(stop.addr & !(PAGE_BYTES - 1), FaultInfo::new(operand));
            }
        }
        Completion::new(Status::SUCCESS)
    }

    /// The descriptor from a work queue of an IAA.
    fn submitted_to_iaa(&self) {
        let raw = &self.taken.descriptor;
        let origin = self.origin();
        let Some(admitted) = self.admit(origin, raw, Context::WorkQueue) else { return };
        let descriptor = iaa::Descriptor::from_bytes(*raw.as_bytes());
        let mut record = match admitted.verdict {
            Err(refusal) => refusal,
            Ok(()) => {
                let completion = match descriptor.opcode() {
                    Opcode::DRAIN => {
                        let drained = self.drain();
                        iaa::Completion::new(drained.status())
                            .with_fault(drained.fault_addr(), drained.fault_info())
                    }
                    _ => analytics::run(self.model, &descriptor),
                };
                Record::iaa(completion.to_bytes())
            }
        };
        self.report(origin, raw, &mut record, admitted.interrupt, None);
    }

    /// What the fault plan has somebody else do while this descriptor runs.
    fn disable_queue(&self) {
        let operand = u8::try_from(self.queue).map_or(0, Cmd::wq_operand);
        self.model.write_cmd(Cmd::new(CmdCode::DISABLE_WQ).with_operand(operand).0);
    }

    fn sample(&self, descriptor: &Descriptor) -> Sample {
        Sample {
            queue: Some(self.queue),
            engine: Some(self.engine),
            pasid: Some(self.pasid(descriptor)),
            bytes: None,
        }
    }

    /// The PASID that a descriptor of this work queue runs with, if it has one.
    fn pasid(&self, descriptor: &Descriptor) -> Option<u32> {
        self.rules().pasid_enabled.then(|| descriptor.pasid())
    }

    fn count(&self, category: Category, event: u32, descriptor: &Descriptor) {
        if self.model.perfmon.watches(category) {
            self.model.count(category, event, 1, &self.sample(descriptor));
        }
    }
}
