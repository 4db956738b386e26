//! The accelerator itself, without threads: work queues, one group, and what its engines share.
//!
//! Whoever embeds the model drives it: [`Model::submit`] is a write to a portal, [`Model::engine`] gives an engine
//! whose [`run_one`](crate::Engine::run_one) runs one descriptor. [`Device`](crate::Device) does so with threads.

use std::sync::Arc;
use std::time::Instant;

use idxd_spec::{Descriptor, PermissionEntry};
use parking_lot::RwLock;

use crate::doorbell::Doorbell;
use crate::fault_plan::Plan;
use crate::group::Group;
use crate::page_request::{PageAnswer, PageRequests};
use crate::permission_table::PermissionTable;
use crate::portal::Submission;
use crate::rules::Rules;
use crate::software_error::{Origin, Register, SoftwareError};
use crate::stats::Counters;
use crate::work_queue::{Refusal, WorkQueue};
use crate::{
    Access, Bus, Capabilities, DeviceConfig, DeviceKind, DeviceStats, Engine, Error, QueueConfig, QueueMode,
};

type Hook = dyn Fn() + Send + Sync;

/// A DSA or an IAA over a [`Bus`], driven from outside.
pub struct Model<B> {
    pub(crate) bus: B,
    pub(crate) kind: DeviceKind,
    pub(crate) plan: Plan,
    pub(crate) counters: Counters,
    pub(crate) doorbell: Doorbell,
    pub(crate) software_error: Register,
    pub(crate) queues: Vec<WorkQueue>,
    pub(crate) permissions: PermissionTable,
    group: Group,
    pages: Option<Box<dyn PageRequests>>,
    hooks: RwLock<Arc<[Arc<Hook>]>>,
}

impl<B: Bus> Model<B> {
    /// A device with all its work queues enabled. Page requests go to `pages`; with `None` there are none, whatever
    /// the configuration says.
    ///
    /// # Errors
    ///
    /// A number in the configuration is out of range.
    pub fn new(
        config: &DeviceConfig,
        bus: B,
        pages: Option<Box<dyn PageRequests>>,
    ) -> Result<Arc<Self>, Error> {
        config.check()?;
        let capabilities = Capabilities::of(config.kind, config.version);
        let work_queue = |queue: &QueueConfig| {
            WorkQueue::new(queue.clone(), Rules::new(queue, &capabilities), config.engines)
        };
        let queues: Vec<_> = config.queues.iter().map(work_queue).collect();
        Ok(Arc::new(Self {
            bus,
            kind: config.kind,
            plan: Plan::new(config.plan.clone()),
            counters: Counters::default(),
            doorbell: Doorbell::new(),
            software_error: Register::default(),
            permissions: PermissionTable::new(capabilities.id_cap),
            group: Group::of_all(&queues),
            queues,
            pages: pages.filter(|_| config.prs),
            hooks: RwLock::new(Arc::new([])),
        }))
    }

    /// One more engine. The number only names it.
    pub fn engine(self: &Arc<Self>, index: usize) -> Engine<B> {
        Engine::new(Arc::clone(self), index)
    }

    /// A 64-byte write to the portal of a work queue: deferrable for a shared one, posted for a dedicated one. To a
    /// queue that does not exist the write is lost.
    pub fn submit(&self, queue: usize, descriptor: &Descriptor) -> Submission {
        let Some(work_queue) = self.queues.get(queue) else {
            self.counters.dropped.add(1);
            return Submission::Accepted;
        };
        let accepted = match work_queue.config().mode {
            QueueMode::Shared { .. } if self.plan.retries() => Err(Refusal::Full),
            _ => work_queue.accept(descriptor),
        };
        match (accepted, work_queue.config().mode) {
            (Ok(()), _) => {
                self.counters.accepted.add(1);
                self.doorbell.ring();
                Submission::Accepted
            }
            (Err(_), QueueMode::Shared { .. }) => {
                self.counters.retries.add(1);
                Submission::Retry
            }
            (Err(refusal), QueueMode::Dedicated) => {
                self.counters.dropped.add(1);
                if refusal == Refusal::Full {
                    let origin = Origin { queue, batch_index: None };
                    let status = idxd_spec::Status::DEDICATED_QUEUE_FULL;
                    self.record_error(SoftwareError::new(status, origin, descriptor));
                }
                Submission::Accepted
            }
        }
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

    /// Enables a work queue, or disables it: what is queued still runs, what comes is refused.
    pub fn set_queue_enabled(&self, queue: usize, enabled: bool) {
        if let Some(queue) = self.queues.get(queue) {
            queue.set_enabled(enabled);
        }
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

    /// Waits until a work queue has neither queued nor running descriptors (the Drain WQ command); `false` at the
    /// deadline. Somebody else has to drive the engines.
    pub fn drain_queue(&self, queue: usize, deadline: Instant) -> bool {
        self.queues.get(queue).is_none_or(|queue| queue.wait_until_empty(deadline))
    }

    /// Throws away what a work queue holds (the Abort WQ command), and says how many descriptors those were. They get
    /// no record; what is running already is finished.
    pub fn abort_queue(&self, queue: usize) -> usize {
        let abandoned = self.queues.get(queue).map_or(0, WorkQueue::abandon);
        self.counters.abandoned.add(abandoned as u64);
        abandoned
    }

    pub(crate) fn take(&self) -> Option<(usize, crate::work_queue::Taken)> {
        self.group.take(&self.queues, &self.plan)
    }

    pub(crate) fn has_work(&self) -> bool {
        self.group.has_work(&self.queues)
    }

    pub(crate) fn can_request_pages(&self) -> bool {
        self.pages.is_some()
    }

    /// Asks for a page and waits for the answer.
    pub(crate) fn request_page(&self, addr: u64, access: Access) -> PageAnswer {
        let Some(pages) = &self.pages else { return PageAnswer::Failure };
        self.counters.page_requests.add(1);
        let answer = pages.request(addr, access);
        if answer != PageAnswer::Success {
            self.counters.page_requests_refused.add(1);
        }
        answer
    }

    pub(crate) fn record_error(&self, error: SoftwareError) {
        self.counters.software_errors.add(1);
        self.software_error.record(error);
    }

    /// Tells whoever wants to know that a record was written.
    pub(crate) fn call_hooks(&self) {
        // Cloned out, so that a hook may add another one.
        let hooks = Arc::clone(&self.hooks.read());
        hooks.iter().for_each(|hook| hook());
    }
}
