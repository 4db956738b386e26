//! Why an engine cannot be opened.

use std::io;
use std::path::PathBuf;

use svala_software::FrameError;

/// Why an engine cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// There is no such device.
    #[error("{}: {source}", path.display())]
    Device {
        /// What was asked for.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file is there, but svala does not drive real work queues yet.
    #[error("{}: hardware work queues are not driven yet; use auto, software or emulated", path.display())]
    NotDriven {
        /// What was asked for.
        path: PathBuf,
    },
    /// The emulated device does not start.
    #[error("emulated device: {0}")]
    Emulated(#[from] svala_idxd::EmulatedError),
    /// The CPU engine does not start.
    #[error("CPU engine: {0}")]
    Software(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The runtime does not start.
    #[error(transparent)]
    Runtime(#[from] svala::Error),
}

/// Why a framed stream cannot be expanded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecompressError {
    /// The frame is broken, or does not fit what is in it.
    #[error("stream at byte {member_at}: {error}")]
    Frame {
        /// Where the header or trailer begins; offsets in `error` count from here.
        member_at: u64,
        /// What is wrong.
        error: FrameError,
    },
    /// What is in the frame cannot be expanded.
    #[error(transparent)]
    Operation(#[from] svala::Error),
}

impl DecompressError {
    /// The same with offsets counted from the start of the buffer, for a stream that begins at byte `by` of it.
    pub(crate) fn moved_by(self, by: u64) -> Self {
        match self {
            Self::Operation(svala::Error::Corrupt { operation, offset }) => {
                Self::Operation(svala::Error::Corrupt { operation, offset: offset + by })
            }
            Self::Operation(svala::Error::Truncated { operation, len }) => {
                Self::Operation(svala::Error::Truncated { operation, len: len + by })
            }
            other => other,
        }
    }
}
