//! Which way an operation went. Part of every result: there is no silent fallback.

use std::fmt;

use crate::health::QueueFault;
use crate::job::Operation;

/// The name of a queue: `wq0.1`, `emu0.0`, `cpu`. Short enough to be copied about.
// Aligned to whole words: copied in words, it costs a load; in bytes at odd places, a stall.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[repr(C, align(8))]
pub struct QueueName {
    bytes: [u8; Self::LEN_MAX],
    len: u8,
}

impl QueueName {
    /// Longest name kept, in bytes.
    pub const LEN_MAX: usize = 15;

    /// Takes a name; what is longer than [`Self::LEN_MAX`] bytes is cut at a character's edge.
    pub fn new(name: &str) -> Self {
        let mut end = name.len().min(Self::LEN_MAX);
        while !name.is_char_boundary(end) {
            end -= 1;
        }
        let mut bytes = [0; Self::LEN_MAX];
        bytes[..end].copy_from_slice(&name.as_bytes()[..end]);
        Self { bytes, len: u8::try_from(end).unwrap_or(0) }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..usize::from(self.len)]).unwrap_or("?")
    }
}

impl fmt::Display for QueueName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for QueueName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl serde::Serialize for QueueName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// What did the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
#[non_exhaustive]
pub enum Path {
    /// Silicon.
    Hardware {
        /// The work queue.
        queue: QueueName,
    },
    /// A device model; says nothing about hardware.
    Emulated {
        /// The work queue.
        queue: QueueName,
    },
    /// This machine's CPU.
    Software {
        /// Why the CPU.
        reason: Reason,
    },
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hardware { queue } => write!(f, "hardware ({queue})"),
            Self::Emulated { queue } => write!(f, "emulated ({queue})"),
            Self::Software { reason } => write!(f, "software ({reason})"),
        }
    }
}

/// Why the CPU did an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case", tag = "why")]
#[non_exhaustive]
pub enum Reason {
    /// The CPU engine was asked for.
    Asked,
    /// The machine has no usable accelerator.
    NoDevice,
    /// The machine has an accelerator, but svala does not drive it yet.
    NotDriven,
    /// No open queue does this operation.
    NotOffered {
        /// The operation.
        operation: Operation,
    },
    /// No queue computes the checksum that was asked for.
    Check,
    /// Addresses or sizes that no device takes for this operation.
    Shape,
    /// Cheaper here: the operation is smaller than the runtime's `offload_bytes_min`.
    Small,
    /// More bytes than the device can take in one go for an operation that cannot be split.
    Large {
        /// The device's limit, in bytes.
        bytes_max: u64,
    },
    /// The device could not decode the stream (a window larger than its own, for instance).
    Stream,
    /// Every queue that does this is out. Why the first one is:
    QueueOut {
        /// What is wrong with it.
        fault: QueueFault,
    },
    /// There was nothing to do.
    Empty,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asked => f.write_str("asked for"),
            Self::NoDevice => f.write_str("no accelerator"),
            Self::NotDriven => f.write_str("the accelerator is not driven yet"),
            Self::NotOffered { operation } => write!(f, "no queue does {operation}"),
            Self::Check => f.write_str("no queue computes the checksum"),
            Self::Shape => f.write_str("addresses or sizes no device takes"),
            Self::Small => f.write_str("too small to offload"),
            Self::Large { bytes_max } => write!(f, "larger than the device's {bytes_max} bytes"),
            Self::Stream => f.write_str("stream the device cannot decode"),
            Self::QueueOut { fault } => write!(f, "the queue for it is out: {fault}"),
            Self::Empty => f.write_str("nothing to do"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_queue_name_is_cut_between_characters() {
        assert_eq!(QueueName::new("wq0.1").as_str(), "wq0.1");
        assert_eq!(QueueName::new("ååååååååååå").as_str(), "ååååååå");
    }

    #[test]
    fn a_path_reads_as_a_phrase() {
        let path = Path::Software { reason: Reason::NotOffered { operation: Operation::Inflate } };
        assert_eq!(path.to_string(), "software (no queue does inflate)");
    }
}
