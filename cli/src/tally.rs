//! What happened, summed up over a command's operations.

use svala_engine::{Faults, Path, Report};

/// How much went one way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Share {
    pub(crate) path: Path,
    pub(crate) operations: u64,
    pub(crate) bytes: u64,
}

/// The sum of many reports.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) operations: u64,
    pub(crate) bytes: u64,
    pub(crate) faults: Faults,
    /// Each path that was taken.
    pub(crate) shares: Vec<Share>,
}

impl Tally {
    /// Adds an operation that went well.
    pub(crate) fn add(&mut self, report: &Report) {
        self.operations += 1;
        self.bytes += report.bytes;
        self.faults.add(report.faults);
        match self.shares.iter_mut().find(|share| share.path == report.path) {
            Some(share) => {
                share.operations += 1;
                share.bytes += report.bytes;
            }
            None => self.shares.push(Share { path: report.path, operations: 1, bytes: report.bytes }),
        }
    }

    /// Whether a device model did some of it.
    pub(crate) fn is_emulated(&self) -> bool {
        self.shares.iter().any(|share| matches!(share.path, Path::Emulated { .. }))
    }
}
