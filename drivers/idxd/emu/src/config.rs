//! What a device is made of.

use idxd_spec::OpCap;
use idxd_spec::register::{GrpFlags, WqCfg};

use crate::timing::Timing;
use crate::{Error, FaultPlan, Hardware, PciConfig};

/// Engines a device can have.
pub(crate) const ENGINES_MAX: usize = 8;
/// Work queues a device can have.
pub(crate) const QUEUES_MAX: usize = 8;
/// Descriptors all work queues of a device hold together: what the first silicon has (WQCAP).
const QUEUE_ENTRIES_MAX: u32 = 128;
/// Bytes of one transfer, the most GENCAP can say: 2^31.
const TRANSFER_BYTES_MAX: u32 = 1 << 31;
/// Descriptors of one batch, the most the first silicon has.
const BATCH_MAX: u32 = 1024;
/// The highest work queue priority (WQCFG).
const PRIORITY_MAX: u8 = 15;

/// Which accelerator to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum DeviceKind {
    /// Data Streaming Accelerator: copies, fills, compares, checksums, batches.
    #[default]
    Dsa,
    /// In-Memory Analytics Accelerator: compression, checksums. No batches, no partial completion.
    Iaa,
}

/// The version of the specification a device follows: what its capability registers say, and which operations it has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// The first generation.
    V1 = 1,
    /// Event log, operations for each work queue, 64-bit CRC, 16-byte patterns, translation fetch, inter-domain
    /// operations (DSA appendix F).
    #[default]
    V2 = 2,
    /// Numeric and scatter-gather operations, batches of one. DSA only.
    V3 = 3,
}

/// A device: kind, engines, work queues, and what is to go wrong.
#[derive(Clone, Debug)]
pub struct DeviceConfig {
    /// Names the threads and the log lines: `dsa0`.
    pub name: String,
    /// Which accelerator.
    pub kind: DeviceKind,
    /// Which version of it.
    pub version: Version,
    /// Engines, 1 to 8.
    pub engines: usize,
    /// Work queues, 1 to 8, 128 entries together.
    pub queues: Vec<QueueConfig>,
    /// Which engines serve which work queues, 4 groups at most; without any, all engines serve all of them.
    pub groups: Vec<GroupConfig>,
    /// Page Request Service: the device may ask for missing pages and wait. Without it block-on-fault is not enabled
    /// for any work queue, and a completion record on a missing page is lost, or logged.
    pub prs: bool,
    /// The event log, with somebody who reads it as a kernel driver does: pages are brought in, and records written
    /// that the device could not write. Since version 2.
    pub event_log: Option<EventLogConfig>,
    /// User-mode descriptors may ask for interrupts, with the entries that are for this process.
    pub user_interrupts: bool,
    /// Interrupt handles have to be asked for, and there are this many.
    pub interrupt_handles: Option<u16>,
    /// PCI configuration space. [`prs`](Self::prs) switches page requests off whatever this says.
    pub pci: PciConfig,
    /// Most pages brought in for one page request, where the host is this process. By default 1, the page that is asked
    /// for, which is what stock kernels do; [`FAULT_AROUND_PAGES_MAX`](Self::FAULT_AROUND_PAGES_MAX) is a good bound.
    pub fault_around_pages_max: u64,
    /// What is to go wrong.
    pub plan: FaultPlan,
    /// Constants of silicon, to write down with what each descriptor would cost. Nothing becomes slower by it.
    pub timing: Option<Timing>,
}

impl DeviceConfig {
    /// A bound for fault-around that takes few requests and little memory: 256 KiB.
    pub const FAULT_AROUND_PAGES_MAX: u64 = 64;
}

impl Default for DeviceConfig {
    /// A DSA with one engine and one dedicated work queue, page requests on, nothing going wrong.
    fn default() -> Self {
        Self {
            name: "dsa0".into(),
            kind: DeviceKind::Dsa,
            version: Version::default(),
            engines: 1,
            queues: vec![QueueConfig::default()],
            groups: Vec::new(),
            prs: true,
            event_log: None,
            user_interrupts: false,
            interrupt_handles: None,
            pci: PciConfig::default(),
            fault_around_pages_max: 1,
            plan: FaultPlan::default(),
            timing: None,
        }
    }
}

/// A group: work queues and the engines that serve them (DSA §3.4).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupConfig {
    /// Indices of the work queues, each in one group only.
    pub queues: Vec<usize>,
    /// Indices of the engines, each in one group only.
    pub engines: Vec<usize>,
    /// Traffic classes and limits; of a default the read buffers allowed are filled in.
    pub flags: GrpFlags,
}

/// An event log (DSA §5.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventLogConfig {
    /// Entries, 64 at least.
    pub entries: u16,
    /// A full log drops events instead of holding the device up.
    pub overflow: bool,
}

impl Default for EventLogConfig {
    /// 64 entries, and a device that waits.
    fn default() -> Self {
        Self { entries: 64, overflow: false }
    }
}

/// Who may submit, and how a full work queue shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum QueueMode {
    /// One submitter, posted writes: what does not fit is dropped, and only SWERROR says so (DSA §3.3.2).
    #[default]
    Dedicated,
    /// Many submitters, deferrable writes: what does not fit is answered Retry (DSA §3.3.1).
    Shared {
        /// Descriptors in the queue from which on the (limited) portal answers Retry, 1 to the size.
        threshold: u32,
    },
}

/// A work queue, in the terms of WQCFG (DSA §9.2.24).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueConfig {
    /// Who may submit.
    pub mode: QueueMode,
    /// Descriptors it holds, from acceptance until an engine takes them.
    pub size: u32,
    /// Bytes of one transfer at most, a power of two; more is status 0x13.
    pub transfer_bytes_max: u32,
    /// Descriptors of one batch at most, a power of two; more is status 0x14.
    pub batch_max: u32,
    /// Whether descriptors may set block-on-fault; else the flag is invalid.
    pub block_on_fault: bool,
    /// Turns this queue gets to one of a queue with priority 1, while both have work: 1 to 15.
    pub priority: u8,
    /// Descriptors of a dedicated queue run privileged, as the kernel's own do.
    pub privileged: bool,
    /// The operations that may run here; `None`: all. Since version 2.
    pub operations: Option<OpCap>,
    /// Translations are not cached: no translation fetch.
    pub ats_disable: bool,
    /// Missing pages are not asked for. Needs an event log, and no block-on-fault.
    pub prs_disable: bool,
}

impl Default for QueueConfig {
    /// Dedicated, 64 entries, 2 MiB, batches of 1024, block-on-fault allowed, priority 10.
    fn default() -> Self {
        Self {
            mode: QueueMode::Dedicated,
            size: 64,
            transfer_bytes_max: 2 << 20,
            batch_max: BATCH_MAX,
            block_on_fault: true,
            priority: 10,
            privileged: false,
            operations: None,
            ats_disable: false,
            prs_disable: false,
        }
    }
}

impl QueueConfig {
    /// The default with `size` entries.
    #[must_use]
    pub fn dedicated(size: u32) -> Self {
        Self { size, ..Self::default() }
    }

    /// The default, shared, with `size` entries and the threshold at `size`.
    #[must_use]
    pub fn shared(size: u32) -> Self {
        Self { mode: QueueMode::Shared { threshold: size }, size, ..Self::default() }
    }
}

impl DeviceConfig {
    /// What the enable commands of the device check (DSA §5.1, §5.2).
    pub(crate) fn check(&self) -> Result<(), Error> {
        if !(1..=ENGINES_MAX).contains(&self.engines) {
            return Err(Error::Engines { engines: self.engines, max: ENGINES_MAX });
        }
        if !(1..=QUEUES_MAX).contains(&self.queues.len()) {
            return Err(Error::Queues { queues: self.queues.len(), max: QUEUES_MAX });
        }
        let mut entries_left = QUEUE_ENTRIES_MAX;
        for (queue, config) in self.queues.iter().enumerate() {
            config.check(queue, entries_left)?;
            entries_left -= config.size;
        }
        Ok(())
    }

    /// What the device is made of.
    pub(crate) fn hardware(&self) -> Hardware {
        let byte = |count: usize| u8::try_from(count).unwrap_or(u8::MAX);
        let first = Hardware::new(self.kind, self.version);
        Hardware {
            engines: byte(self.engines),
            groups: first.groups.max(byte(self.groups.len())),
            interrupt_handles: self.interrupt_handles,
            event_log_overflow: self.event_log.is_some_and(|log| log.overflow),
            ..first
        }
    }
}

impl QueueConfig {
    fn check(&self, queue: usize, entries_left: u32) -> Result<(), Error> {
        let threshold = match self.mode {
            QueueMode::Dedicated => self.size,
            QueueMode::Shared { threshold } => threshold,
        };
        let ranges = [
            ("size", u64::from(self.size), u64::from(entries_left)),
            ("threshold", u64::from(threshold), u64::from(self.size)),
            ("transfer_bytes_max", u64::from(self.transfer_bytes_max), u64::from(TRANSFER_BYTES_MAX)),
            ("batch_max", u64::from(self.batch_max), u64::from(BATCH_MAX)),
            ("priority", u64::from(self.priority), u64::from(PRIORITY_MAX)),
        ];
        for (field, value, max) in ranges {
            if !(1..=max).contains(&value) {
                return Err(Error::Queue { queue, field, value, min: 1, max });
            }
        }
        for (field, value) in [("transfer_bytes_max", self.transfer_bytes_max), ("batch_max", self.batch_max)]
        {
            if !value.is_power_of_two() {
                return Err(Error::NotAPowerOfTwo { queue, field, value });
            }
        }
        Ok(())
    }

    /// The registers of a work queue that is configured like this (DSA §9.2.24). It uses `pasid`, if it is dedicated.
    pub(crate) fn register(&self, kind: DeviceKind, pasid: u32) -> WqCfg {
        let word = |value: u32| u16::try_from(value).unwrap_or(u16::MAX);
        let log2 = |value: u32| value.max(1).ilog2().to_le_bytes()[0];
        let (is_dedicated, threshold) = match self.mode {
            QueueMode::Dedicated => (true, 0),
            QueueMode::Shared { threshold } => (false, threshold),
        };
        // An IAA has no batches: the field is reserved.
        let batch = if kind == DeviceKind::Dsa { log2(self.batch_max) } else { 0 };
        WqCfg::default()
            .with_size(word(self.size))
            .with_threshold(word(threshold))
            .with_dedicated(is_dedicated)
            .with_block_on_fault(self.block_on_fault)
            .with_ats_disable(self.ats_disable)
            .with_prs_disable(self.prs_disable)
            .with_priority(self.priority)
            .with_pasid(if is_dedicated { pasid } else { 0 })
            .with_pasid_enable(true)
            .with_privileged(is_dedicated && self.privileged)
            .with_transfer_bytes_max_log2(log2(self.transfer_bytes_max))
            .with_batch_descriptors_max_log2(batch)
    }

    /// The configuration that registers say, in so far as the checks of descriptors ask for it.
    pub(crate) fn of_register(config: &WqCfg) -> Self {
        let threshold = config.threshold().into();
        Self {
            mode: if config.dedicated() { QueueMode::Dedicated } else { QueueMode::Shared { threshold } },
            size: config.size().into(),
            transfer_bytes_max: u32::try_from(config.transfer_bytes_max()).unwrap_or(u32::MAX),
            batch_max: config.batch_descriptors_max(),
            block_on_fault: config.block_on_fault(),
            priority: config.priority(),
            privileged: config.privileged(),
            operations: None,
            ats_disable: config.ats_disable(),
            prs_disable: config.prs_disable(),
        }
    }
}
