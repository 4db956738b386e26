//! What can go wrong in a measurement.

use std::io;

use crate::{Policy, Workload};

/// Why there is no measurement.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The system refused something about memory or files.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The device could not be opened.
    #[error("device: {0}")]
    Open(#[from] svala_engine::OpenError),
    /// The emulated device could not be started.
    #[error("emulated device: {0}")]
    Emulated(#[from] svala_idxd::EmulatedError),
    /// An operation or the runtime failed.
    #[error(transparent)]
    Operation(#[from] svala::Error),
    /// The result of an operation is not right.
    #[error("{workload} under {policy}: the result is not right: {what}")]
    Wrong {
        /// The workload.
        workload: Workload,
        /// The policy.
        policy: Policy,
        /// What is wrong.
        what: String,
    },
    /// A rival met more faults than there are pages.
    #[error("{policy}: {faults} faults in an operation of {pages} pages")]
    Endless {
        /// The policy.
        policy: Policy,
        /// Faults met.
        faults: u64,
        /// Pages of its memory.
        pages: u64,
    },
}

impl Error {
    pub(crate) fn system(what: &'static str) -> impl Fn(io::Error) -> Self {
        move |source| Self::System { what, source }
    }
}
