//! Asynchronous accelerator runtime on Shared Virtual Addressing.
//!
//! svala takes an operation on memory (a copy, a checksum, a comparison, a compression), hands it to whatever
//! queue can do it (an Intel DSA or IAA work queue, a model of one, or the CPU), resolves the page faults the
//! device meets on the way, and wakes the task that waits. This crate knows no device: drivers implement
//! [`backend::Queue`], and the crate `svala-engine` wires them in. Most programs want that one.
//!
//! ```text
//!  copy(src, dst).await
//!     | operation   picks a channel, waits for a slot
//!     | slot        owns the buffers from submission to completion
//!     v channel     submits, looks, hands over to the reaper when it has to wait
//!  backend::Queue   a driver: descriptors, records, portals
//!     | fault?      fault/ populates memory through io_uring, the channel submits the rest
//!     v
//!  (value, report, buffers)
//! ```
//!
//! Three rules hold everywhere. Buffers go in by value and come back, with success and with failure. Everything
//! has a bound. Which path ran (hardware, emulated, software and why) is part of every result.

pub mod backend;

mod address;
mod ask;
mod batch;
mod buffer;
mod channel;
mod choice;
mod cipher;
mod column;
mod config;
mod crc;
mod dictionary;
mod dif;
mod driver;
mod error;
mod fault;
mod filter;
mod fork;
mod group;
mod health;
mod job;
mod miniblock;
mod numeric;
mod operation;
mod path;
mod probe;
mod reactor;
mod report;
mod runtime;
mod scatter;
mod scope;
mod slot;
mod sync;
mod wait;

pub use address::{Access, PAGE_BYTES, Span, VirtAddr};
pub use batch::{Batch, Lent, MemberOutcome};
pub use buffer::{FileMap, FileMapMut, IoBuf, IoBufMut, Slice};
pub use cipher::{AesKey, CIPHER_BLOCK_BYTES, Cipher, CipherFault, CipherMode, CipherParameters};
pub use column::{BitVec, Column, Predicate};
pub use config::Config;
pub use crc::{AnyCrc, Crc, CrcBypass, CrcKind};
pub use dictionary::Dictionary;
pub use dif::{
    DIF_BYTES, DifBlock, DifChecks, DifDestination, DifFields, DifFormat, DifGuard, DifMismatch, DifSource,
    DifTags,
};
pub use error::{Error, Failed, PopulatedInVain};
pub use fault::{AutoSnapshot, CostModel, Estimate, FaultPolicy, ResolverChoice, Situation};
pub use filter::{Aggregates, ColumnFault, Filter, FilterKind, FilterOptions, OutputWidth, Packing};
pub use group::{Group, GroupOptions, GroupResults, Grouped};
pub use health::{QueueFault, QueueState};
pub use job::{
    BLOCK_ENTRY_BYTES, Blocks, Check, DELTA_ENTRY_BYTES, DELTA_RANGE_BYTES_MAX, Done, Job, Lz4Blocks,
    OPERANDS_MAX, Operand, Operands, Operation, Operations, Value, ZeroWord,
};
pub use miniblock::{BlockStart, MINIBLOCK_ENTRY_BYTES, MiniblockFault, MiniblockSize, Miniblocks};
pub use numeric::{Compute, Conversion, NumberExceptions, NumberFlags, NumberType, Reduction, Rounding};
pub use operation::{
    ColumnQuery, Completed, DeflateOptions, Deflated, DeltaRecord, DifNext, Encrypted, Filtered,
    IndexedBlock, Inflated, Outcome,
};
pub use path::{Path, QueueName, Reason};
pub use report::{Faults, QueueSnapshot, Report, Snapshot};
pub use runtime::{Builder, Drained, Runtime};
pub use scatter::{BLOCKS_MAX, BlockList};
pub use scope::{Scope, Scoped};

/// Runs a future to its end on this thread: all a program without an executor needs.
pub use pollster::block_on;
