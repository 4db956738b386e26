//! What happened on the way: in every result, and summed up in a snapshot of counters.

use serde::Serialize;

use crate::fault::{AutoSnapshot, FaultPolicy};
use crate::health::QueueState;
use crate::path::{Path, QueueName};

/// What happened to one operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// What did the work.
    pub path: Path,
    /// Input bytes worked on.
    pub bytes: u64,
    /// What was done about its faults, or would have been: under `Auto`, what that chose. The CPU's are the kernel's
    /// business.
    pub policy: FaultPolicy,
    /// Faults and what they cost.
    #[serde(flatten)]
    pub faults: Faults,
}

impl Report {
    /// Nothing happened yet on `path`.
    pub const fn new(path: Path) -> Self {
        Self { path, bytes: 0, policy: FaultPolicy::Resolve, faults: Faults::NONE }
    }
}

/// Device page faults, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Faults {
    /// Faults the device reported.
    pub faults: u64,
    /// Times memory was populated for one (several faults may be covered by one, and a window that could not be
    /// populated is followed by its first page alone).
    pub resolutions: u64,
    /// Pages in the ranges that were populated, those present before included.
    pub pages_populated: u64,
    /// Descriptors submitted again after a fault.
    pub resubmissions: u64,
}

impl Faults {
    pub(crate) const NONE: Self = Self { faults: 0, resolutions: 0, pages_populated: 0, resubmissions: 0 };

    /// Adds what another operation met.
    pub const fn add(&mut self, other: Self) {
        self.faults += other.faults;
        self.resolutions += other.resolutions;
        self.pages_populated += other.pages_populated;
        self.resubmissions += other.resubmissions;
    }
}

/// The counters of one queue at one moment.
#[derive(Clone, Debug, Serialize)]
pub struct QueueSnapshot {
    /// The queue.
    pub name: QueueName,
    /// What is behind it.
    pub kind: crate::backend::Kind,
    /// Whether it is used, and if not, why.
    #[serde(flatten)]
    pub state: QueueState,
    /// Times it was taken out.
    pub outs: u64,
    /// Bytes under way, and 4 KiB more for each job, where several devices are chosen from by it; otherwise 0.
    pub load: u64,
    /// The memory node it is at, where that is known.
    pub numa_node: Option<u16>,
    /// Jobs it can hold.
    pub depth: u32,
    /// Jobs it holds right now; read without stopping anything, so it may be off by those in motion.
    pub in_flight: u64,
    /// Operations ended, well or not.
    pub operations: u64,
    /// Of them, those that failed.
    pub failures: u64,
    /// Input bytes of those that went well.
    pub bytes: u64,
    /// Operations whose future was dropped before they ended.
    pub abandoned: u64,
    /// Faults and what they cost.
    #[serde(flatten)]
    pub faults: Faults,
}

/// The counters of a runtime at one moment.
#[derive(Clone, Debug, Serialize)]
pub struct Snapshot {
    /// Each queue, in the order of preference.
    pub queues: Vec<QueueSnapshot>,
    /// How faults are resolved: `threads and io_uring` or `threads`.
    pub resolver: &'static str,
    /// Why io_uring is not used, if it is not.
    pub resolver_reason: Option<String>,
    /// Threads that populate at most: the runtime's own, with the two for small ranges, and the kernel's for io_uring.
    pub resolver_threads_max: u32,
    /// Ranges that wait to be populated or are at most.
    pub resolver_ranges_max: u32,
    /// What `Auto` knows and has chosen, where it is the policy.
    pub auto: Option<AutoSnapshot>,
    /// How the completion thread waits: `umwait` or `sleep`.
    pub waiting: &'static str,
}
