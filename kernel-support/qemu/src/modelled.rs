//! What silicon would have taken for what a device did, by the timing model: no measurement of hardware.

use std::fmt;

use idxd_emu::timing::Served;

/// Sums over a device's descriptors. As text it is JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Modelled {
    /// Descriptors that came from work queues: a batch is one.
    pub descriptors: u64,
    /// Bytes moved.
    pub bytes: u64,
    /// Descriptors, members of batches included, that ended at an absent page.
    pub faults: u64,
    /// Page requests.
    pub page_requests: u64,
    /// Nanoseconds that engines were at work, all added up.
    pub engine_ns: f64,
    /// Nanoseconds more that they waited for answers to page requests.
    pub stall_ns: f64,
}

impl Modelled {
    /// With more descriptors.
    pub(crate) fn add(&mut self, served: &[Served]) {
        for one in served {
            self.descriptors += 1;
            self.bytes += one.bytes;
            self.faults += u64::from(one.faults);
            self.page_requests += one.page_requests;
            self.engine_ns += one.engine_ns;
            self.stall_ns += one.stall_ns;
        }
    }
}

impl fmt::Display for Modelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { descriptors, bytes, faults, page_requests, engine_ns, stall_ns } = self;
        write!(f, "{{\"descriptors\": {descriptors}, \"bytes\": {bytes}, \"faults\": {faults}, ")?;
        write!(f, "\"page_requests\": {page_requests}, ")?;
        write!(f, "\"engine_ns\": {engine_ns:.0}, \"stall_ns\": {stall_ns:.0}}}")
    }
}
