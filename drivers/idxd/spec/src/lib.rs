//! DSA and IAA descriptors, completion records, flags, statuses, registers and resume rules.
//!
//! The words of the two specifications and of the kernel's `linux/idxd.h` ("uapi") in Rust: no device is opened here
//! and no memory is touched. The driver builds descriptors and reads records with this crate, and the emulated device
//! reads descriptors and builds records with it, so the two agreeing says nothing about the layout. That is checked
//! against a C program, in `tests/uapi`.
//!
//! "DSA §n" is the Data Streaming Accelerator architecture specification, order number 341204-006; "IAA §n" the
//! In-Memory Analytics Accelerator architecture specification, revision 2.1. What is named here without a prefix is
//! DSA or common to both; what only IAA has is in [`iaa`].

#![no_std]
#![forbid(unsafe_code)]

mod address;
mod completion;
mod delta;
mod descriptor;
mod dif;
mod domain;
mod event_log;
mod field;
mod flags;
pub mod iaa;
mod numeric;
mod opcode;
mod permission;
pub mod register;
mod resume;
mod scatter_gather;
mod status;

pub use address::{DstAddr, SrcAddr};
pub use completion::{Completion, FaultInfo, Operand};
pub use delta::{ApplyDelta, CreateDelta};
pub use descriptor::{Blocks, Descriptor, GatherReduce, Reduce, Sgl, TypeConversion};
pub use dif::{DifFlags, DifStatus, DifTags, DstDifFlags, SrcDifFlags};
pub use domain::{
    Alternate, DomainSelector, IdptHandle, ReduceDomains, ReduceOperands, Window, WindowFlags, WindowRange,
};
pub use event_log::{EventInformation, EventLogEntry, LoggedDescriptor};
pub use flags::Flags;
pub use numeric::{
    ComputeFlags, ComputeType, DataType, Exceptions, FloatCompute, FloatConversion, FloatType, Floats,
    IntegerCompute, IntegerType, Integers, Numbers, Reduction, Rounding,
};
pub use opcode::Opcode;
pub use permission::{InvalidEntry, PermissionEntry, Permissions, Submitters};
pub use register::{GenCap, OpCap};
pub use resume::{Reason, Resume, resume, resume_on};
pub use scatter_gather::SglFormat;
pub use status::Status;
