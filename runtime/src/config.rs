//! The bounds and choices of a runtime. Everything that waits, retries or looks ahead has its bound here.

use std::time::Duration;

use crate::fault::{CostModel, FaultPolicy, ResolverChoice, WINDOW_BYTES_MAX, WINDOW_BYTES_MIN};
use crate::path::Reason;

/// Settings of a [`Runtime`](crate::Runtime).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// What to do about device page faults.
    pub faults: FaultPolicy,
    /// Under `Prefetch`: whether the device also fetches the translations of what was populated, where it can (DSA 2).
    /// Populating is what the CPU does far more cheaply than a device's page requests; what it cannot do is fill the
    /// device's own cache of translations.
    pub prefetch_translations: bool,
    /// What `Auto` chooses by. None: measured when the runtime starts.
    pub costs: Option<CostModel>,
    /// Who populates memory.
    pub resolver: ResolverChoice,
    /// Faults in a row without a byte done in between, for each lane of the device, before an operation ends with
    /// the fault.
    pub fault_retries_max: u32,
    /// Smallest window populated ahead of a fault, in bytes; it ends at the transfer's end anyway.
    pub window_bytes_min: u64,
    /// Largest window, in bytes.
    pub window_bytes_max: u64,
    /// Times a queue may refuse one submission.
    pub submit_tries_max: u32,
    /// How long a device may take to answer before the operation is reported as unanswered. The CPU may take as long as
    /// it needs.
    pub answer_within: Duration,
    /// How long a queue that was taken out is left alone before it is asked whether it is back. Doubles each time.
    pub probe_after_min: Duration,
    /// The longest such time.
    pub probe_after_max: Duration,
    /// Times an operation that a failing queue has not touched is sent to another.
    pub detours_max: u8,
    /// How long shutting down waits for operations under way.
    pub drain_within: Duration,
    /// Operations smaller than this stay on the CPU when the choice is between it and silicon. In bytes.
    pub offload_bytes_min: u64,
    /// Why operations that could go nowhere else ran on the CPU.
    pub software_reason: Reason,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            faults: FaultPolicy::Resolve,
            prefetch_translations: false,
            costs: None,
            resolver: ResolverChoice::Auto,
            fault_retries_max: 8,
            window_bytes_min: WINDOW_BYTES_MIN,
            window_bytes_max: WINDOW_BYTES_MAX,
            submit_tries_max: 20_000,
            answer_within: Duration::from_secs(30),
            probe_after_min: Duration::from_millis(100),
            probe_after_max: Duration::from_secs(10),
            detours_max: 3,
            drain_within: Duration::from_secs(5),
            offload_bytes_min: 4096,
            software_reason: Reason::Asked,
        }
    }
}
