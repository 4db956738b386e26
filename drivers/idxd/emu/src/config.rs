//! What a device is made of.

use crate::{Error, FaultPlan};

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
    /// Engines, 1 to 8, all in one group with all work queues.
    pub engines: usize,
    /// Work queues, 1 to 8, 128 entries together.
    pub queues: Vec<QueueConfig>,
    /// Page Request Service: the device may ask for missing pages and wait. Without it block-on-fault has no effect,
    /// and a completion record on a missing page is lost.
    pub prs: bool,
    /// What is to go wrong.
    pub plan: FaultPlan,
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
            prs: true,
            plan: FaultPlan::default(),
        }
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
    /// Bytes of one transfer at most; more is status 0x13.
    pub transfer_bytes_max: u32,
    /// Descriptors of one batch at most; more is status 0x14.
    pub batch_max: u32,
    /// Whether descriptors may set block-on-fault; else the flag is invalid.
    pub block_on_fault: bool,
    /// Turns this queue gets to one of a queue with priority 1, while both have work: 1 to 15.
    pub priority: u8,
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
        Ok(())
    }
}
