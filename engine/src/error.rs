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
    /// Something is there, and it is no work queue of a DSA or IAA; or there is no queue of this name.
    #[error("{}: not a work queue of a DSA or IAA; {}", path.display(), listed(known))]
    NotAQueue {
        /// What was asked for.
        path: PathBuf,
        /// Work queues that are enabled for processes.
        known: Vec<String>,
    },
    /// The kernel shows no work queues at all.
    #[error("{}: no work queues: {}", path.display(), chain(source))]
    NoDriver {
        /// What was asked for.
        path: PathBuf,
        /// What was looked for.
        #[source]
        source: svala_idxd::SysfsError,
    },
    /// The work queue cannot be used.
    #[error("{}", chain(.0))]
    Hardware(#[source] svala_idxd::OpenError),
    /// The virtual function of a QAT cannot be used.
    #[error("{}", chain(.0))]
    Qat(#[source] svala_qat::Error),
    /// The emulated virtual function does not start.
    #[error("emulated QAT: {}", chain(.0))]
    EmulatedQat(#[source] svala_qat::Error),
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

impl OpenError {
    /// Whether it is about hardware, so that the machine's set-up may be at fault.
    #[must_use]
    pub const fn is_hardware(&self) -> bool {
        matches!(
            self,
            Self::Device { .. }
                | Self::NotAQueue { .. }
                | Self::NoDriver { .. }
                | Self::Hardware(_)
                | Self::Qat(_)
        )
    }
}

fn listed(known: &[String]) -> String {
    match known {
        [] => "none is enabled for processes".into(),
        known => format!("there are {}", known.join(" ")),
    }
}

/// An error with its causes, none of them twice.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    text
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
    /// A block of an [`Index`](crate::Index) is another than that says, or not all there.
    #[error("block at byte {at}, of the data at byte {data_at}: not what the index says")]
    Block {
        /// Where the block begins in the stream.
        at: u64,
        /// Where its data begins.
        data_at: u64,
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
