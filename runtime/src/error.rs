//! What can go wrong, and how the buffers come back.

use std::io;
use std::time::Duration;

use crate::address::{Access, VirtAddr};
use crate::backend::Failure;
use crate::cipher::CipherFault;
use crate::dif::DifMismatch;
use crate::filter::ColumnFault;
use crate::health::QueueFault;
use crate::job::Operation;
use crate::miniblock::MiniblockFault;
use crate::path::QueueName;
use crate::report::Report;

/// Why an operation did not end well.
///
/// Four kinds stay apart: the caller asked for something wrong ([`Length`](Error::Length),
/// [`Unsupported`](Error::Unsupported), [`Fault`](Error::Fault), [`OutputFull`](Error::OutputFull),
/// [`Corrupt`](Error::Corrupt), [`Truncated`](Error::Truncated), [`Vanished`](Error::Vanished)); the queue said
/// later ([`Busy`](Error::Busy), [`Refused`](Error::Refused)); the device reported something
/// ([`Status`](Error::Status), [`Nonsense`](Error::Nonsense), [`NoAnswer`](Error::NoAnswer),
/// [`QueueOut`](Error::QueueOut)); the OS refused ([`Os`](Error::Os)).
// The tag a whole word: a result is moved with its error's shape, also when it is well. In words that costs loads; with a
// tag of a byte, a stall of some 9 ns.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[repr(u64)]
pub enum Error {
    /// Two buffers that must be equally long are not.
    #[error("{operation}: {first} bytes against {second} bytes")]
    Length {
        /// What was asked.
        operation: Operation,
        /// Bytes of the first buffer.
        first: u64,
        /// Bytes of the second.
        second: u64,
    },
    /// A length that has to be whole units is not.
    #[error("{operation}: {bytes} bytes are not a multiple of {unit}")]
    Units {
        /// What was asked.
        operation: Operation,
        /// Bytes there are.
        bytes: u64,
        /// Bytes of a unit.
        unit: u64,
    },
    /// More than the operation can work on.
    #[error("{operation}: {bytes} bytes are more than {bytes_max}")]
    TooLong {
        /// What was asked.
        operation: Operation,
        /// Bytes there are.
        bytes: u64,
        /// Most there may be.
        bytes_max: u64,
    },
    /// A block that does not lie inside its buffer.
    #[error("{operation}: block {index} at byte {offset} ends behind {bytes} bytes")]
    BlockOutside {
        /// What was asked.
        operation: Operation,
        /// Which one, from 0.
        index: u64,
        /// Where it begins, in bytes.
        offset: u64,
        /// Bytes of the buffer.
        bytes: u64,
    },
    /// A list of blocks that cannot be: too many, or blocks of nothing.
    #[error("{blocks} blocks of {block_bytes} bytes are no list")]
    Blocks {
        /// How many.
        blocks: u64,
        /// Bytes of each.
        block_bytes: u32,
    },
    /// A data integrity field is not what it should be.
    #[error("{queue}: {operation}: block {block} does not match: {mismatch}")]
    Dif {
        /// The queue.
        queue: QueueName,
        /// What was asked.
        operation: Operation,
        /// The block, from 0.
        block: u64,
        /// What of its field.
        mismatch: DifMismatch,
    },
    /// A batch holds all it can.
    #[error("batch holds its {members_max} members already")]
    BatchFull {
        /// Most members.
        members_max: usize,
    },
    /// No open queue does this.
    #[error("no open queue does {operation}")]
    Unsupported {
        /// What was asked.
        operation: Operation,
    },
    /// No slot, or no room in the device, and the caller did not want to wait.
    #[error("{queue}: busy")]
    Busy {
        /// The queue.
        queue: QueueName,
    },
    /// The device refused the job as often as it was asked: full, disabled, or not a shared queue (for `ENQCMD`
    /// all look alike).
    #[error("{queue}: refused {tries} times (full, disabled or dedicated)")]
    Refused {
        /// The queue.
        queue: QueueName,
        /// Times it was asked.
        tries: u32,
    },
    /// An address the device could not use and nobody could make present.
    #[error("{queue}: {access} fault at {addr} after {done} of {len} bytes (status {status:#04x})")]
    Fault {
        /// The queue.
        queue: QueueName,
        /// What was attempted.
        access: Access,
        /// Where.
        addr: VirtAddr,
        /// Bytes done before, from where the job begins without a gap: the rest may be done behind them.
        done: u64,
        /// Bytes asked for.
        len: u64,
        /// The device's raw status byte, 0 where no device was involved.
        status: u8,
        /// What the kernel said when asked for the page, where it was asked.
        #[source]
        source: Option<io::Error>,
    },
    /// The device answered with an error status.
    #[error("{queue}: {operation}: {name} (status {status:#04x}) after {done} of {len} bytes")]
    Status {
        /// The queue.
        queue: QueueName,
        /// What was asked.
        operation: Operation,
        /// Raw status byte.
        status: u8,
        /// The specification's name of the status.
        name: &'static str,
        /// Bytes done before, from where the job begins without a gap: the rest may be done behind them.
        done: u64,
        /// Bytes asked for.
        len: u64,
    },
    /// The device wrote a record that makes no sense.
    #[error("{queue}: {operation}: {what} (record begins {record:#018x})")]
    Nonsense {
        /// The queue.
        queue: QueueName,
        /// What was asked.
        operation: Operation,
        /// What is wrong with it.
        what: &'static str,
        /// The record's first eight bytes.
        record: u64,
    },
    /// The device has not answered within the bound. It may still write, so the buffers stay with the runtime.
    #[error("{queue}: {operation}: no answer after {waited:?}; its memory stays lent")]
    NoAnswer {
        /// The queue.
        queue: QueueName,
        /// What was asked.
        operation: Operation,
        /// How long it was waited for.
        waited: Duration,
    },
    /// The output does not fit.
    #[error("{operation}: output does not fit in {bytes_max} bytes")]
    OutputFull {
        /// What was asked.
        operation: Operation,
        /// Room there was, in bytes.
        bytes_max: u64,
    },
    /// The compressed stream, or the delta record, is broken.
    #[error("{operation}: corrupt input at byte {offset}")]
    Corrupt {
        /// What was asked.
        operation: Operation,
        /// Input offset, in bytes.
        offset: u64,
    },
    /// The compressed stream stops before its end.
    #[error("{operation}: stream ends early, after {len} bytes")]
    Truncated {
        /// What was asked.
        operation: Operation,
        /// Bytes there were.
        len: u64,
    },
    /// The device cannot decode this stream; the CPU can.
    #[error("{queue}: {operation}: stream the device cannot decode")]
    Stream {
        /// The queue.
        queue: QueueName,
        /// What was asked.
        operation: Operation,
    },
    /// A column, its second input or what is asked of it is not what it should be.
    #[error("{operation}: {fault}")]
    Column {
        /// What was asked.
        operation: Operation,
        /// What is wrong.
        fault: ColumnFault,
    },
    /// A message is not what its tag was made of, or what is asked of it cannot be.
    #[error("{operation}: {fault}")]
    Cipher {
        /// What was asked.
        operation: Operation,
        /// What is wrong.
        fault: CipherFault,
    },
    /// A stream has no miniblocks of the size, or they are not what their index says.
    #[error("{operation}: {fault} (byte {data_at} of the data, or behind it)")]
    Miniblock {
        /// What was asked.
        operation: Operation,
        /// What is wrong.
        fault: MiniblockFault,
        /// Bytes of the data that come before: what is wrong is not in them.
        data_at: u64,
    },
    /// A mapped file was truncated under the operation.
    #[error("{operation}: memory at {addr} vanished (a mapped file was truncated)")]
    Vanished {
        /// What was asked.
        operation: Operation,
        /// First address that was gone.
        addr: VirtAddr,
    },
    /// The queue has been taken out, and no other could do it instead.
    #[error("{queue}: {operation}: the queue is out: {why}")]
    QueueOut {
        /// The queue.
        queue: QueueName,
        /// What was asked.
        operation: Operation,
        /// What is wrong with it.
        why: QueueFault,
    },
    /// The runtime is a parent process's: this is a child, which has inherited its memory and nothing that works on it.
    #[error("{operation}: the runtime was made by the parent process")]
    Forked {
        /// What was asked.
        operation: Operation,
    },
    /// The runtime is shutting down.
    #[error("{operation}: the runtime is closed")]
    Closed {
        /// What was asked.
        operation: Operation,
    },
    /// The operating system refused something the runtime needs.
    #[error("{what}: {source}")]
    Os {
        /// The call and its object.
        what: &'static str,
        /// Its error.
        #[source]
        source: io::Error,
    },
}

impl Error {
    /// The error a driver's failure is to the caller.
    pub(crate) fn from_failure(failure: Failure, queue: QueueName, operation: Operation, len: u64) -> Self {
        match failure {
            Failure::Unsupported => Self::Unsupported { operation },
            Failure::Address { access, addr, done_bytes } => {
                Self::Fault { queue, access, addr, done: done_bytes, len, status: 0, source: None }
            }
            Failure::Status { status, name, done_bytes } => {
                Self::Status { queue, operation, status, name, done: done_bytes, len }
            }
            Failure::Nonsense { what, record } => Self::Nonsense { queue, operation, what, record },
            Failure::OutputFull { bytes_max } => Self::OutputFull { operation, bytes_max },
            Failure::Corrupt { offset } => Self::Corrupt { operation, offset },
            Failure::Dif { block, mismatch } => Self::Dif { queue, operation, block, mismatch },
            Failure::Truncated { len } => Self::Truncated { operation, len },
            Failure::Stream => Self::Stream { queue, operation },
            Failure::Column { fault } => Self::Column { operation, fault },
            Failure::Cipher { fault } => Self::Cipher { operation, fault },
            Failure::Miniblock { fault, data_at } => Self::Miniblock { operation, fault, data_at },
            Failure::Vanished { addr } => Self::Vanished { operation, addr },
            Failure::Refused { tries } => Self::Refused { queue, tries },
            Failure::Queue(why) | Failure::Operation(why) => Self::QueueOut { queue, operation, why },
            Failure::Cancelled => Self::Closed { operation },
        }
    }

    /// The same error for another operation that ended with it. What the kernel said is in the first one only.
    #[cold]
    pub(crate) fn again(&self) -> Self {
        match *self {
            Self::Busy { queue } => Self::Busy { queue },
            Self::Refused { queue, tries } => Self::Refused { queue, tries },
            Self::Fault { queue, access, addr, done, len, status, .. } => {
                Self::Fault { queue, access, addr, done, len, status, source: None }
            }
            Self::Status { queue, operation, status, name, done, len } => {
                Self::Status { queue, operation, status, name, done, len }
            }
            Self::Nonsense { queue, operation, what, record } => {
                Self::Nonsense { queue, operation, what, record }
            }
            Self::NoAnswer { queue, operation, waited } => Self::NoAnswer { queue, operation, waited },
            Self::Unsupported { operation } => Self::Unsupported { operation },
            Self::Vanished { operation, addr } => Self::Vanished { operation, addr },
            Self::OutputFull { operation, bytes_max } => Self::OutputFull { operation, bytes_max },
            Self::Corrupt { operation, offset } => Self::Corrupt { operation, offset },
            Self::Truncated { operation, len } => Self::Truncated { operation, len },
            Self::Stream { queue, operation } => Self::Stream { queue, operation },
            Self::Column { operation, fault } => Self::Column { operation, fault },
            Self::Cipher { operation, fault } => Self::Cipher { operation, fault },
            Self::Miniblock { operation, fault, data_at } => Self::Miniblock { operation, fault, data_at },
            Self::Dif { queue, operation, block, mismatch } => {
                Self::Dif { queue, operation, block, mismatch }
            }
            Self::Closed { operation } => Self::Closed { operation },
            Self::QueueOut { queue, operation, why } => Self::QueueOut { queue, operation, why },
            Self::Forked { operation } => Self::Forked { operation },
            Self::Length { operation, first, second } => Self::Length { operation, first, second },
            Self::Units { operation, bytes, unit } => Self::Units { operation, bytes, unit },
            Self::TooLong { operation, bytes, bytes_max } => Self::TooLong { operation, bytes, bytes_max },
            Self::BlockOutside { operation, index, offset, bytes } => {
                Self::BlockOutside { operation, index, offset, bytes }
            }
            Self::Blocks { blocks, block_bytes } => Self::Blocks { blocks, block_bytes },
            Self::BatchFull { members_max } => Self::BatchFull { members_max },
            Self::Os { what, ref source } => Self::Os { what, source: io::Error::from(source.kind()) },
        }
    }

    /// Whether asking again later may help.
    pub const fn is_busy(&self) -> bool {
        matches!(self, Self::Busy { .. } | Self::Refused { .. })
    }
}

/// The source of an [`Error::Fault`] on a page that was populated and gone again each time the device came to it:
/// memory is reclaimed as fast as it is brought in. Reached by downcasting the source's inner error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "faulted {faults} times in a row although it was populated ({populated_bytes} bytes for this operation): memory is \
     taken away as fast as it is brought in"
)]
#[non_exhaustive]
pub struct PopulatedInVain {
    /// Faults in a row without a byte done in between.
    pub faults: u32,
    /// Bytes populated for the operation.
    pub populated_bytes: u64,
}

/// An operation that failed: the error, and the buffers it was lent.
pub struct Failed<B> {
    /// What went wrong.
    pub error: Error,
    /// The buffers. None only after [`Error::NoAnswer`], when a device may still write to them. A destination
    /// may have been written in part.
    pub buffers: Option<B>,
    /// What had happened until then.
    pub report: Report,
}

impl<B> Failed<B> {
    pub(crate) fn early(error: Error, buffers: B, report: Report) -> Self {
        Self { error, buffers: Some(buffers), report }
    }

    /// The same failure with other buffers.
    pub fn map_buffers<C>(self, map: impl FnOnce(B) -> C) -> Failed<C> {
        Failed { error: self.error, buffers: self.buffers.map(map), report: self.report }
    }
}

impl<B> std::fmt::Debug for Failed<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Failed")
            .field("error", &self.error)
            .field("buffers", &if self.buffers.is_some() { "returned" } else { "kept" })
            .field("report", &self.report)
            .finish()
    }
}

impl<B> std::fmt::Display for Failed<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.error.fmt(f)
    }
}

impl<B> std::error::Error for Failed<B> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(&self.error)
    }
}

impl From<Box<Error>> for Error {
    fn from(boxed: Box<Self>) -> Self {
        *boxed
    }
}

impl<B> From<Failed<B>> for Error {
    fn from(failed: Failed<B>) -> Self {
        failed.error
    }
}
