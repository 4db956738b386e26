//! The accelerator itself, without threads: registers, work queues, groups, and what its engines share.
//!
//! Whoever embeds the model drives it: [`Model::read`] and [`Model::write`] are the registers of BAR0,
//! [`Model::write_portal`] is a write to BAR2, [`Model::engine`] gives an engine whose
//! [`run_one`](crate::Engine::run_one) runs one descriptor, and an [`InterruptSink`] takes the interrupts.
//! [`Device`](crate::Device) does so with threads.
//!
//! Nothing calls the bus or the sink with a lock that a register access takes.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use idxd_spec::register::perfmon::{Category, event};
use idxd_spec::register::{CmdError, DeviceState, GenCtrl, ImsControl, Portal, ResetType, SwError};
use idxd_spec::{Descriptor, EventLogEntry, PermissionEntry, Status};
use parking_lot::{Mutex, RwLock};

use crate::capability::Capabilities;
use crate::configure::Identity;
use crate::control::Control;
use crate::doorbell::{Command, Doorbell, Signal};
use crate::event_log::{Appended, EventLog};
use crate::fault_plan::Plan;
use crate::group::Groups;
use crate::interrupt::{Cause, InterruptSink, Interrupts, Raised};
use crate::life::{Era, Life};
use crate::page_request::{PageAnswer, PageRequests};
use crate::perfmon::{Perfmon, Sample};
use crate::permission_table::PermissionTable;
use crate::portal::{Submission, Write};
use crate::rules::Rules;
use crate::software_error::{self, Origin, SoftwareError};
use crate::stats::Counters;
use crate::timing::{Book, Served, Timing};
use crate::work_queue::{Alarm, Refusal, Scope, WorkQueue};
use crate::{
    Access, Bus, DeviceConfig, DeviceKind, DeviceStats, Engine, Error, FaultPlan, Hardware, PciConfig,
    QueueConfig,
};

type Hook = dyn Fn() + Send + Sync;

/// A DSA or an IAA over a [`Bus`], driven from outside.
pub struct Model<B> {
    pub(crate) bus: B,
    pub(crate) kind: DeviceKind,
    pub(crate) plan: Plan,
    pub(crate) counters: Counters,
    pub(crate) doorbell: Doorbell,
    pub(crate) capabilities: Capabilities,
    pub(crate) control: Mutex<Control>,
    /// A command waits for descriptors.
    pub(crate) has_pending: AtomicBool,
    pub(crate) command_ended: Signal,
    pub(crate) gen_ctrl: AtomicU32,
    pub(crate) software_error: software_error::Register,
    pub(crate) event_log: EventLog,
    pub(crate) interrupts: Interrupts,
    pub(crate) perfmon: Perfmon,
    pub(crate) life: Life,
    pub(crate) queues: Vec<WorkQueue>,
    pub(crate) groups: Groups,
    pub(crate) permissions: PermissionTable,
    prs: AtomicBool,
    pages: Option<Box<dyn PageRequests>>,
    hooks: RwLock<Arc<[Arc<Hook>]>>,
    pub(crate) book: OnceLock<Book>,
}

impl<B: Bus> Model<B> {
    /// A device that is configured and enabled, with all the work queues of the configuration, for PASID 1. Page
    /// requests go to `pages`; with `None` there are none, whatever the configuration says. Without an event log, whose
    /// memory and reader are the embedder's.
    ///
    /// # Errors
    ///
    /// A number in the configuration is out of range, or the device refuses it.
    pub fn new(
        config: &DeviceConfig,
        bus: B,
        pages: Option<Box<dyn PageRequests>>,
    ) -> Result<Arc<Self>, Error> {
        config.check()?;
        let model = Self::unconfigured(&config.hardware(), config.plan.clone(), bus, pages);
        if let Some(timing) = config.timing {
            model.set_timing(timing);
        }
        model.configure(config, &Identity { pasid: 1, event_log: None })?;
        Ok(model)
    }

    /// A device after its reset, to be configured through its registers. PCI configuration space is as after a reset
    /// too, see [`set_pci`](Self::set_pci).
    pub fn unconfigured(
        hardware: &Hardware,
        plan: FaultPlan,
        bus: B,
        pages: Option<Box<dyn PageRequests>>,
    ) -> Arc<Self> {
        let capabilities = Capabilities::of_hardware(hardware);
        let gen_cap = capabilities.gen_cap;
        let messages = u16::from(hardware.interrupt_storage_units.min(1)) * ImsControl::ENTRIES_PER_UNIT;
        let work_queue = |_| WorkQueue::new(Rules::new(&QueueConfig::default(), &capabilities));
        Arc::new(Self {
            bus,
            kind: hardware.kind,
            plan: Plan::new(plan),
            counters: Counters::default(),
            doorbell: Doorbell::new(),
            control: Mutex::new(Control::new(&capabilities, PciConfig::reset())),
            has_pending: AtomicBool::new(false),
            command_ended: Signal::default(),
            gen_ctrl: AtomicU32::new(0),
            software_error: software_error::Register::default(),
            event_log: EventLog::new(gen_cap.event_log_entry_size(), gen_cap.event_log_overflow()),
            interrupts: Interrupts::new(hardware.msix_vectors, messages, hardware.interrupt_handles),
            perfmon: Perfmon::new(hardware.kind, hardware.version),
            life: Life::default(),
            queues: (0..hardware.queues).map(work_queue).collect(),
            groups: Groups::new(hardware.engines.into()),
            permissions: PermissionTable::new(capabilities.id_cap),
            capabilities,
            prs: AtomicBool::new(false),
            pages,
            hooks: RwLock::new(Arc::new([])),
            book: OnceLock::new(),
        })
    }

    /// Engine `index` of the device. Each is to be driven once at a time.
    pub fn engine(self: &Arc<Self>, index: usize) -> Engine<B> {
        Engine::new(Arc::clone(self), index)
    }

    /// Ends the threads in [`Engine::serve`], once nothing is queued that they could run.
    pub fn finish(&self) {
        self.doorbell.command(Command::Finish);
    }

    /// The memory it works on.
    pub fn bus(&self) -> &B {
        &self.bus
    }

    /// What the device can do.
    pub fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    /// A 64-byte write to a limited portal of a work queue: posted for a dedicated one, deferrable otherwise.
    pub fn submit(&self, queue: usize, descriptor: &Descriptor) -> Submission {
        let control = self.control.lock();
        let is_dedicated = control.queues.get(queue).is_none_or(|config| config.dedicated());
        drop(control);
        let write = if is_dedicated { Write::Posted } else { Write::Deferrable };
        self.submit_through(queue, Portal::Limited, write, descriptor)
    }

    /// A 64-byte write at `offset` in BAR2 (DSA §9.3). Bits 11:6 of the offset are ignored; what is not aligned to 64
    /// bytes is no submission.
    pub fn write_portal(&self, offset: u64, write: Write, bytes: &[u8; Descriptor::SIZE]) -> Submission {
        match Portal::at(offset).filter(|_| offset.is_multiple_of(64)) {
            Some((queue, portal)) => {
                self.submit_through(queue.into(), portal, write, &Descriptor::from_bytes(*bytes))
            }
            None => refused(write),
        }
    }

    /// A 64-byte write to one of the portals of a work queue. What a posted write says that is not accepted is lost.
    pub fn submit_through(
        &self,
        queue: usize,
        portal: Portal,
        write: Write,
        descriptor: &Descriptor,
    ) -> Submission {
        let needs_storage = matches!(portal, Portal::UnlimitedStorage | Portal::LimitedStorage);
        let has_portal = !needs_storage || self.capabilities.gen_cap.interrupt_storage_units() > 0;
        let Some(work_queue) = self.queues.get(queue).filter(|_| has_portal) else {
            self.counters.dropped.add(u64::from(write == Write::Posted));
            return refused(write);
        };
        let accepted = match write {
            Write::Deferrable if self.plan.retries() => Err(Refusal::Full),
            _ if self.life.current().is_none() => Err(Refusal::Disabled),
            _ => work_queue.accept(descriptor, portal, write),
        };
        if accepted.is_ok() {
            self.counters.accepted.add(1);
            self.doorbell.ring();
        }
        if self.perfmon.watches(Category::WorkQueue) {
            self.count_submission(queue, portal, write, accepted, descriptor);
        }
        match (accepted, write) {
            (Ok(()), _) => Submission::Accepted,
            (Err(_), Write::Deferrable) => {
                self.counters.retries.add(1);
                Submission::Retry
            }
            (Err(refusal), Write::Posted) => {
                self.counters.dropped.add(1);
                if refusal == Refusal::Full {
                    let origin = Origin { queue, batch_id: None, batch_index: None };
                    let entry = software_error::entry(Status::DEDICATED_QUEUE_FULL, origin, descriptor);
                    self.record_software_error(software_error::register_form(&entry));
                }
                Submission::Accepted
            }
        }
    }

    fn count_submission(
        &self,
        queue: usize,
        portal: Portal,
        write: Write,
        accepted: Result<(), Refusal>,
        descriptor: &Descriptor,
    ) {
        let pasid = (write == Write::Deferrable).then(|| Some(descriptor.pasid()));
        let sample = Sample { queue: Some(queue), pasid, ..Sample::default() };
        let counted = match (write, portal.is_limited(), accepted) {
            (Write::Deferrable, true, Ok(())) => event::SWQ_SUCCESS_LIMITED,
            (Write::Deferrable, true, Err(_)) => event::SWQ_RETRY_LIMITED,
            (Write::Deferrable, false, Ok(())) => event::SWQ_SUCCESS_UNLIMITED,
            (Write::Deferrable, false, Err(_)) => event::SWQ_RETRY_UNLIMITED,
            (Write::Posted, _, Ok(())) => event::DWQ_SUCCESS,
            (Write::Posted, _, Err(Refusal::Full)) => event::DWQ_FULL,
            (Write::Posted, _, Err(_)) => 0,
        };
        self.count(Category::WorkQueue, counted, 1, &sample);
        if accepted.is_err() {
            self.count(Category::WorkQueue, event::WQ_DISCARD, 1, &sample);
        }
    }

    /// Keeps a book of what descriptors would cost, from now on. The first call counts.
    pub fn set_timing(&self, timing: Timing) {
        let _ = self.book.set(Book::new(timing));
    }

    /// What descriptors since the last call would cost, in the order in which they ended, the last million at most:
    /// modelled, and no measurement of hardware. None without [`set_timing`](Self::set_timing).
    pub fn take_served(&self) -> Vec<Served> {
        self.book().map_or_else(Vec::new, Book::take)
    }

    pub(crate) fn book(&self) -> Option<&Book> {
        self.book.get()
    }

    /// What happened so far.
    pub fn stats(&self) -> DeviceStats {
        self.counters.snapshot()
    }

    /// The software error register.
    pub fn software_error(&self) -> Option<SoftwareError> {
        self.software_error.value()
    }

    /// Clears the software error register, as a write of its valid and overflow bits does.
    pub fn clear_software_error(&self) {
        self.software_error.clear();
    }

    /// Calls `hook` after each completion record is written, on the thread of the engine. It stands for the direct
    /// wake-up a device in the same process can do; a real user work queue has no interrupt.
    pub fn on_completion(&self, hook: impl Fn() + Send + Sync + 'static) {
        let mut hooks = self.hooks.write();
        *hooks = hooks.iter().cloned().chain([Arc::new(hook) as Arc<Hook>]).collect();
    }

    /// Sends the interrupts to `sink`. Before, they are lost.
    pub fn set_interrupts(&self, sink: Arc<dyn InterruptSink>) {
        self.interrupts.set_sink(sink);
    }

    /// Takes over what PCI configuration space says. A change while the device is not disabled is not supported: it
    /// halts (DSA §9.1.3).
    pub fn set_pci(&self, pci: PciConfig) {
        let mut control = self.control.lock();
        let is_unsupported = control.pci != pci && !control.is_disabled();
        control.pci = pci;
        self.prs.store(pci.prs, Ordering::Relaxed);
        drop(control);
        if is_unsupported {
            let error = EventLogEntry::new(Status::CONFIGURATION_CHANGED);
            self.record_software_error(software_error::register_form(&error));
            self.halt(ResetType::FunctionLevel);
        }
    }

    /// Halts the device: engines take nothing more, and what they run gets no record (DSA §5.7). `reset` is what brings
    /// it back.
    pub fn halt(&self, reset: ResetType) {
        let mut control = self.control.lock();
        if control.state == DeviceState::Halted {
            return;
        }
        self.life.halt();
        control.state = DeviceState::Halted;
        control.reset = reset;
        // What waits for descriptors would wait for ever.
        if control.pending.take().is_some() {
            self.has_pending.store(false, Ordering::SeqCst);
            control.cmd_status = idxd_spec::register::CmdStatus(0).with_error(CmdError::HARDWARE);
        }
        drop(control);
        self.counters.halts.add(1);
        self.event_log.wake();
        self.command_ended.notify();
        if GenCtrl(self.gen_ctrl.load(Ordering::Relaxed)).halt_interrupt() {
            self.raise(Cause::Halt);
        }
    }

    /// A function-level reset: everything as it was at first, at once. What engines run at the moment gets no record;
    /// an engine that is in the middle of a transfer may still write to its destination. Bus mastering and the other
    /// PCI capabilities are off afterwards, see [`set_pci`](Self::set_pci).
    pub fn function_level_reset(&self) {
        let mut control = self.control.lock();
        self.life.halt();
        for queue in &self.queues {
            queue.reset();
            self.counters.abandoned.add(queue.abandon(Scope::ALL) as u64);
        }
        control.pending = None;
        self.has_pending.store(false, Ordering::SeqCst);
        self.clear(&mut control);
        control.cmd_status = idxd_spec::register::CmdStatus(0);
        control.pci = PciConfig::reset();
        self.prs.store(false, Ordering::Relaxed);
        self.software_error.clear();
        self.event_log.clear_status();
        self.life.begin();
        drop(control);
        self.event_log.wake();
        self.command_ended.notify();
    }

    /// Takes all interrupt handles back and says so with interrupt 0, as the host of a virtual device does (DSA §3.7).
    /// Answers whether there were any.
    pub fn revoke_interrupt_handles(&self) -> bool {
        self.interrupts.revoke()
    }

    /// An entry of the inter-domain permissions table; `None` if the device does not have so many.
    pub fn permission_entry(&self, index: u16) -> Option<PermissionEntry> {
        self.permissions.entry(index)
    }

    /// Writes an entry of the inter-domain permissions table, as the kernel does; what is read-only at the time stays
    /// (DSA §9.2.29). `false` if the device does not have so many. All access PASIDs stand for the memory of the bus.
    pub fn set_permission_entry(&self, index: u16, entry: &PermissionEntry) -> bool {
        self.permissions.write(index, entry)
    }

    /// Makes the memory of `pasid` inaccessible to inter-domain operations, as an abort of that PASID does, or accessible
    /// again: until then they end with status 0x2e.
    pub fn revoke_space(&self, pasid: u32, revoked: bool) {
        self.permissions.revoke(pasid, revoked);
    }

    /// Waits until a work queue has neither queued nor running descriptors; `false` at the deadline. Somebody else has
    /// to drive the engines.
    pub fn drain_queue(&self, queue: usize, deadline: Instant) -> bool {
        self.queues.get(queue).is_none_or(|queue| queue.wait_until_empty(deadline))
    }

    /// Throws away what a work queue holds, and says how many descriptors those were. They get no record; what is
    /// running already is finished.
    pub fn abort_queue(&self, queue: usize) -> usize {
        let abandoned = self.queues.get(queue).map_or(0, |queue| queue.abandon(Scope::ALL));
        self.counters.abandoned.add(abandoned as u64);
        if self.has_pending.load(Ordering::SeqCst) {
            self.poll_command();
        }
        abandoned
    }

    pub(crate) fn can_request_pages(&self) -> bool {
        self.pages.is_some() && self.prs.load(Ordering::Relaxed)
    }

    /// Asks for a page and waits for the answer.
    pub(crate) fn request_page(&self, addr: u64, access: Access) -> PageAnswer {
        self.request_pages(&[(addr, access)])
    }

    /// Asks for pages as one group and waits for its answer.
    pub(crate) fn request_pages(&self, wanted: &[(u64, Access)]) -> PageAnswer {
        let Some(pages) = &self.pages else { return PageAnswer::Failure };
        self.counters.page_requests.add(wanted.len() as u64);
        if let Some(book) = self.book() {
            wanted.iter().for_each(|_| book.requested());
        }
        let answer = pages.request_group(wanted);
        if answer != PageAnswer::Success {
            self.counters.page_requests_refused.add(1);
        }
        let counted = match answer {
            PageAnswer::Success => event::PRS_SUCCESS,
            PageAnswer::Invalid => event::PRS_INVALID,
            PageAnswer::Failure => 0,
        };
        self.count(Category::AddressTranslation, counted, 1, &Sample::default());
        answer
    }

    /// Reports an error that has no completion record to go to: to the event log if there is one (§5.9), with the
    /// record in `record` for whoever reads it. Answers whether it is there.
    pub(crate) fn log(&self, era: Era, entry: &EventLogEntry, record: &[u8]) -> bool {
        if !self.event_log.is_enabled() {
            self.record_software_error(software_error::register_form(entry));
            return false;
        }
        let appended = match self.plan.drops_event() {
            true => Appended::Dropped,
            false => self.event_log.append(&self.bus, entry, record, (&self.life, era)),
        };
        match appended {
            Appended::Logged => {
                self.counters.events.add(1);
                let control = GenCtrl(self.gen_ctrl.load(Ordering::Relaxed));
                if control.event_log_interrupt() && self.event_log.take_interrupt() {
                    self.raise(Cause::EventLog);
                }
            }
            Appended::Dropped => {
                self.counters.events_lost.add(1);
                self.record_software_error(SwError::new(Status::EVENT_LOG_WRITE));
            }
            Appended::Ended => self.counters.events_lost.add(1),
        }
        appended == Appended::Logged
    }

    pub(crate) fn record_software_error(&self, error: SwError) {
        self.counters.software_errors.add(1);
        let became_valid = self.software_error.record(error);
        let control = GenCtrl(self.gen_ctrl.load(Ordering::Relaxed));
        if became_valid && control.software_error_interrupt() {
            self.raise(Cause::SoftwareError);
        }
    }

    /// Raises interrupt 0.
    pub(crate) fn raise(&self, cause: Cause) {
        self.counters.interrupts.add(1);
        self.interrupts.raise(cause);
    }

    pub(crate) fn raise_alarm(&self, alarm: Alarm) {
        let raised = self.interrupts.raise_occupancy(alarm.handle, alarm.storage);
        self.count_interrupt(raised, &Sample::default());
    }

    pub(crate) fn count_interrupt(&self, raised: Option<Raised>, sample: &Sample) {
        let Some(raised) = raised else { return };
        self.counters.interrupts.add(1);
        let counted = match raised {
            Raised::Msix => event::NUM_MSIX,
            Raised::Storage => event::NUM_IMS,
        };
        self.count(Category::Completions, counted, 1, sample);
    }

    /// Counts events for who watches them.
    pub(crate) fn count(&self, category: Category, event: u32, amount: u64, sample: &Sample) {
        if self.perfmon.watches(category) && self.perfmon.count(category, event, amount, sample) {
            self.raise(Cause::PerformanceOverflow);
        }
    }

    /// Tells whoever wants to know that a record was written.
    pub(crate) fn call_hooks(&self) {
        // Cloned out, so that a hook may add another one.
        let hooks = Arc::clone(&self.hooks.read());
        hooks.iter().for_each(|hook| hook());
    }
}

/// The answer to a write that nothing took.
fn refused(write: Write) -> Submission {
    match write {
        Write::Posted => Submission::Accepted,
        Write::Deferrable => Submission::Retry,
    }
}
