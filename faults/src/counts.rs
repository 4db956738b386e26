//! What happened in a run, in numbers.

/// Counts of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counts {
    /// Faults the device reported.
    pub faults: u64,
    /// Page requests the device sent and waited for.
    pub page_requests: u64,
    /// Descriptors submitted again after a fault.
    pub resubmissions: u64,
    /// Calls that populated memory.
    pub populate_calls: u64,
    /// Pages of the ranges that were populated or touched, those present before included.
    pub pages_populated: u64,
    /// Pages touched one by one by the CPU, among them.
    pub pages_touched: u64,
    /// Descriptors and other operations the runtime was given by the workload.
    pub operations: u64,
}

impl Counts {
    pub(crate) const fn add(&mut self, other: &Self) {
        self.faults += other.faults;
        self.page_requests += other.page_requests;
        self.resubmissions += other.resubmissions;
        self.populate_calls += other.populate_calls;
        self.pages_populated += other.pages_populated;
        self.pages_touched += other.pages_touched;
        self.operations += other.operations;
    }
}
