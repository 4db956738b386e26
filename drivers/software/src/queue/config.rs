//! The bounds of the CPU engine's queue.

use std::borrow::Cow;
use std::io;

use svala::backend::LANES_MAX;

/// Most workers started unasked. Copies saturate the memory with fewer; compression does not.
const WORKERS_DEFAULT_MAX: usize = 32;

/// Settings of a [`SoftwareQueue`](super::SoftwareQueue).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SoftwareConfig {
    /// Worker threads, at least 1. Unasked, as many as the process may use CPUs, 32 at most.
    pub workers: usize,
    /// Jobs in flight, at least 1: the slots the runtime makes.
    pub depth: u32,
    /// Most members of a batch, up to [`LANES_MAX`].
    pub batch_max: u32,
    /// What is done on the caller's thread: jobs that take no longer than copying this many bytes. Deflate counts
    /// 64 times, inflate 16 times the larger of input and room. 0 sends everything to the workers.
    pub inline_bytes_max: u64,
    /// What the threads are called, followed by their number. Linux shows 15 bytes of it.
    pub thread_name: Cow<'static, str>,
}

impl Default for SoftwareConfig {
    fn default() -> Self {
        let cpus = std::thread::available_parallelism().map_or(1, |cpus| cpus.get());
        Self {
            workers: cpus.min(WORKERS_DEFAULT_MAX),
            depth: 256,
            batch_max: u32::from(LANES_MAX),
            inline_bytes_max: 256 << 10,
            thread_name: Cow::Borrowed("svala-cpu"),
        }
    }
}

impl SoftwareConfig {
    pub(super) fn checked(self) -> Result<Self, QueueError> {
        if self.workers == 0 {
            return Err(QueueError::NoWorkers);
        }
        if self.depth == 0 {
            return Err(QueueError::NoDepth);
        }
        if self.batch_max > u32::from(LANES_MAX) {
            return Err(QueueError::BatchTooLarge { batch_max: self.batch_max });
        }
        Ok(self)
    }
}

/// Why a [`SoftwareQueue`](super::SoftwareQueue) could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueueError {
    /// Nobody would do the work.
    #[error("cpu: no workers")]
    NoWorkers,
    /// No job would fit.
    #[error("cpu: depth is 0")]
    NoDepth,
    /// The runtime numbers members up to [`LANES_MAX`].
    #[error("cpu: batches of {batch_max} members, at most {LANES_MAX} can be")]
    BatchTooLarge {
        /// What was asked for.
        batch_max: u32,
    },
    /// The operating system has no thread to spare.
    #[error("cpu: starting worker {index}")]
    Thread {
        /// Which one.
        index: usize,
        /// Its reason.
        #[source]
        source: io::Error,
    },
}
