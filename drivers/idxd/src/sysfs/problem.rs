//! What can be wrong with a file in sysfs.

use std::io;

/// Something in the tree that is not as the kernel's ABI document has it. The rest of the tree is not affected.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, thiserror::Error)]
#[error("{at}: {kind}")]
pub struct Problem {
    /// Where, under the directory of devices: `dsa0/wq0.1/size`.
    pub at: String,
    /// What.
    #[serde(flatten)]
    pub kind: ProblemKind,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, thiserror::Error)]
#[serde(tag = "problem", rename_all = "snake_case")]
#[non_exhaustive]
pub enum ProblemKind {
    /// A directory, a link, a pipe or a device where an attribute should be.
    #[error("a {found} and not an attribute")]
    NotAFile {
        /// What is there.
        found: &'static str,
    },
    /// No directory where a device, group, engine or work queue should be.
    #[error("a {found} and not a directory")]
    NotADirectory {
        /// What is there.
        found: &'static str,
    },
    /// More than an attribute can hold.
    #[error("longer than {bytes_max} bytes")]
    TooLong {
        /// What was read at most.
        bytes_max: usize,
    },
    /// Bytes that are no text.
    #[error("not text")]
    NotText,
    /// Text that is not a value of this attribute.
    #[error("{text:?} is not {expected}")]
    Value {
        /// Its beginning.
        text: String,
        /// What it should be.
        expected: &'static str,
    },
    /// A directory with more entries than are looked at.
    #[error("more than {entries_max} entries, the rest not looked at")]
    TooMany {
        /// Entries looked at.
        entries_max: usize,
    },
    /// A group, engine or work queue with the number of another device.
    #[error("belongs to a device with another number")]
    Foreign,
    /// The device node has other numbers than the attributes `cdev_major` and `cdev_minor`.
    #[error("is device {found_major}:{found_minor} and not {major}:{minor}")]
    OtherNode {
        /// Of the node.
        found_major: u64,
        /// Of the node.
        found_minor: u64,
        /// By the attributes.
        major: u32,
        /// By the attributes.
        minor: u32,
    },
    /// The kernel refused.
    #[error("{}", io::Error::from_raw_os_error(*errno))]
    Os {
        /// The error number.
        errno: i32,
    },
}

impl ProblemKind {
    /// The kernel's error, or 0 for one that has no number.
    pub(crate) fn os(error: &io::Error) -> Self {
        Self::Os { errno: error.raw_os_error().unwrap_or(0) }
    }
}
