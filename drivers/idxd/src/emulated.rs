//! The emulated DSA and IAA as queues.

use std::sync::Arc;

use idxd_emu::timing::Timing;
use idxd_emu::{
    Capabilities, Device, DeviceConfig, DeviceKind, DeviceStats, FaultPlan, QueueConfig, Submission, Version,
};
use idxd_spec::Descriptor;
use parking_lot::Mutex;
use svala::backend::{Completion, Kind, Notifier};

use crate::dsa::{DsaQueue, DsaQueueConfig, Lists, PARALLEL_PART_BYTES, dsa_list_operations, dsa_operations};
use crate::iaa::{ANALYTICS, IaaQueue, IaaQueueConfig};
use crate::portal::{Accepted, Portal};

/// Why there is no emulated device.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EmulatedError {
    /// The device could not be started.
    #[error("{name}")]
    Start {
        /// Its name.
        name: String,
        /// What it said.
        #[source]
        source: idxd_emu::Error,
    },
}

/// Settings of an emulated device.
#[derive(Clone, Debug)]
pub struct EmulatedConfig {
    /// Name of its queue.
    pub name: String,
    /// The version of the specification it follows, which decides what it does.
    pub version: Version,
    /// Engines.
    pub engines: usize,
    /// The work queue.
    pub queue: QueueConfig,
    /// Jobs in flight at most.
    pub depth: u32,
    /// Most members of a batch.
    pub batch_max: u32,
    /// As in [`DsaQueueConfig`].
    pub parallel_part_bytes: u32,
    /// Most pages brought in for one page request.
    pub fault_around_pages_max: u64,
    /// What is to go wrong.
    pub plan: FaultPlan,
    /// Constants of silicon, for a book of what descriptors would cost there; see [`Device::take_served`].
    pub timing: Option<Timing>,
}

impl Default for EmulatedConfig {
    fn default() -> Self {
        Self {
            name: "emu0.0".into(),
            version: Version::default(),
            engines: 1,
            queue: QueueConfig::shared(64),
            depth: 64,
            batch_max: 64,
            parallel_part_bytes: PARALLEL_PART_BYTES,
            fault_around_pages_max: DeviceConfig::FAULT_AROUND_PAGES_MAX,
            plan: FaultPlan::default(),
            timing: None,
        }
    }
}

/// Starts emulated devices.
#[derive(Debug)]
pub enum Emulated {}

impl Emulated {
    /// A DSA with one work queue.
    ///
    /// # Errors
    ///
    /// [`EmulatedError::Start`] for a configuration no device has, and without `/proc/self/pagemap` or threads.
    pub fn dsa(config: EmulatedConfig) -> Result<DsaQueue<EmulatedPortal>, EmulatedError> {
        let capabilities = Capabilities::of(DeviceKind::Dsa, config.version);
        let op_cap = config.queue.operations.unwrap_or(capabilities.op_cap);
        let queue = DsaQueueConfig {
            name: config.name.clone(),
            operations: dsa_list_operations(op_cap, capabilities.dsa_cap)
                .iter()
                .fold(dsa_operations(op_cap, capabilities.gen_cap), |set, operation| set.with(operation)),
            lists: Lists::of(capabilities.dsa_cap.0),
            depth: config.depth,
            transfer_bytes_max: config.queue.transfer_bytes_max,
            batch_max: config.batch_max.min(config.queue.batch_max),
            block_on_fault: config.queue.block_on_fault,
            dedicated_size: dedicated_size(&config.queue),
            lanes_per_job: u16::try_from(config.engines.min(4)).unwrap_or(1),
            parallel_part_bytes: config.parallel_part_bytes,
            ..DsaQueueConfig::default()
        };
        Ok(DsaQueue::new(EmulatedPortal::start(config, DeviceKind::Dsa)?, &queue))
    }

    /// An IAA with one work queue.
    ///
    /// # Errors
    ///
    /// As [`Emulated::dsa`].
    pub fn iaa(config: EmulatedConfig) -> Result<IaaQueue<EmulatedPortal>, EmulatedError> {
        let capabilities = Capabilities::of(DeviceKind::Iaa, config.version);
        let op_cap = config.queue.operations.unwrap_or(capabilities.op_cap);
        let queue = IaaQueueConfig {
            iaa_cap: capabilities.iaa_cap,
            indexing: capabilities.gen_cap.indexing(),
            name: config.name.clone(),
            depth: config.depth,
            transfer_bytes_max: config.queue.transfer_bytes_max,
            block_on_fault: config.queue.block_on_fault,
            dedicated_size: dedicated_size(&config.queue),
            ..IaaQueueConfig::default()
        };
        let missing = ANALYTICS.into_iter().filter(|(_, opcode)| !op_cap.contains(*opcode));
        let queue = IaaQueue::new(EmulatedPortal::start(config, DeviceKind::Iaa)?, &queue);
        Ok(missing.fold(queue, |queue, (operation, _)| queue.without(operation)))
    }
}

fn dedicated_size(queue: &QueueConfig) -> Option<u32> {
    (queue.mode == idxd_emu::QueueMode::Dedicated).then_some(queue.size)
}

/// The portal of an emulated device's only queue, and the device itself.
pub struct EmulatedPortal {
    portal: idxd_emu::Portal,
    device: Mutex<Option<Arc<Device>>>,
    /// Of the device; each takes from its only queue, and notifies.
    engines: usize,
}

impl EmulatedPortal {
    /// Starts a device: for a queue that is not set up as [`Emulated`] sets it up, or a portal in front of this one.
    ///
    /// # Errors
    ///
    /// As [`Emulated::dsa`].
    pub fn start(config: EmulatedConfig, kind: DeviceKind) -> Result<Self, EmulatedError> {
        let EmulatedConfig { name, version, engines, queue, fault_around_pages_max, plan, timing, .. } =
            config;
        let device = DeviceConfig {
            name: name.clone(),
            kind,
            version,
            engines,
            queues: vec![queue],
            fault_around_pages_max,
            plan,
            timing,
            ..DeviceConfig::default()
        };
        let device = Device::start(device).map_err(|source| EmulatedError::Start { name, source })?;
        // A device that started has the queue it was configured with.
        let Some(portal) = device.portal(0) else { unreachable!("wq0 of {device:?}") };
        Ok(Self { portal, device: Mutex::new(Some(Arc::new(device))), engines })
    }

    /// The device, until the queue is closed.
    pub fn device(&self) -> Option<Arc<Device>> {
        self.device.lock().clone()
    }

    /// The device's counters; zeros once it is gone.
    pub fn stats(&self) -> DeviceStats {
        self.device().map_or_else(DeviceStats::default, |device| device.stats())
    }
}

impl std::fmt::Debug for EmulatedPortal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.portal.fmt(f)
    }
}

impl Portal for EmulatedPortal {
    fn submit(&self, descriptor: &Descriptor) -> Accepted {
        match self.portal.submit(descriptor) {
            Submission::Accepted => Accepted::Yes,
            Submission::Retry => Accepted::Retry,
        }
    }

    fn kind(&self) -> Kind {
        Kind::Emulated
    }

    fn completion(&self) -> Completion {
        Completion::Notified
    }

    fn attach(&self, notifier: Notifier) {
        if let Some(device) = self.device() {
            device.on_completion(move || notifier.notify());
        }
    }

    fn held_max(&self) -> u32 {
        u32::try_from(self.engines).unwrap_or(u32::MAX).saturating_sub(1)
    }

    fn close(&self) {
        // Ends the device's threads, unless somebody else still holds it.
        drop(self.device.lock().take());
    }
}
