//! What starting a device can run into.

use std::io;

use idxd_spec::register::CmdError;

/// Why a device could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The device has no engine, or more than it can have.
    #[error("{engines} engines: a device has 1 to {max}")]
    Engines {
        /// What was asked for.
        engines: usize,
        /// The most there are.
        max: usize,
    },
    /// The device has no work queue, or more than it can have.
    #[error("{queues} work queues: a device has 1 to {max}")]
    Queues {
        /// What was asked for.
        queues: usize,
        /// The most there are.
        max: usize,
    },
    /// A field of a work queue's configuration is out of range.
    #[error("wq{queue}: {field} is {value}, allowed are {min} to {max}")]
    Queue {
        /// Index of the work queue.
        queue: usize,
        /// The field of [`QueueConfig`](crate::QueueConfig).
        field: &'static str,
        /// What it was.
        value: u64,
        /// The least it may be.
        min: u64,
        /// The most it may be.
        max: u64,
    },
    /// A field of a work queue's configuration is not a power of two.
    #[error("wq{queue}: {field} is {value}, which is not a power of two")]
    NotAPowerOfTwo {
        /// Index of the work queue.
        queue: usize,
        /// The field of [`QueueConfig`](crate::QueueConfig).
        field: &'static str,
        /// What it was.
        value: u32,
    },
    /// The device refused its configuration.
    #[error("command {command}: {error} ({code:#04x})", code = error.0)]
    Refused {
        /// The administrative command, with the work queue if it was for one: `enable wq1`.
        command: String,
        /// What CMDSTATUS said.
        error: CmdError,
    },
    /// This process's page map cannot be read, so there is no telling which pages are present.
    #[error("/proc/self/pagemap")]
    Pagemap(#[source] io::Error),
    /// A thread could not be started.
    #[error("thread {name}")]
    Thread {
        /// Its name.
        name: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The process could not be bound to the device for page requests.
    #[error("bind this process to the device: {0}")]
    Bind(String),
}
