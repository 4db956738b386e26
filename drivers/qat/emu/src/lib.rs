//! A virtual function of a QAT in software: two register regions, four ring pairs, the messages of its physical
//! function, and firmware that reads 128-byte requests from ring memory and answers them.
//!
//! ```text
//!  driver --write32(Rings, TAIL)--> registers --wakes--> firmware thread
//!            ring memory  <--reads-- message.rs            |  follows registered addresses only
//!            ring memory  <--32 bytes of response----------+--> eventfd, as MSI
//!  driver --write32(Misc, VM2PF)--> pf.rs: versions, blocks, ring pair reset, restart
//! ```
//!
//! It is written from the tables of offsets and bits, with constants of its own, and shares no code with `qat-spec` or
//! the driver; its arithmetic is the CPU engine's. It is stricter than silicon: reserved words, configuration words no
//! driver writes, accesses to registers that do not exist, memory that is not registered are refused and counted. What
//! [`FaultPlan`] says goes wrong on purpose.
//!
//! What it leaves out: of cryptography all but AES-GCM, scatter lists, dictionaries, stateful streams. Deflate with fixed codes is made with
//! codes for the data: a stream says itself how it is coded. It says nothing about hardware.

mod bank;
mod cipher;
mod config;
mod device;
mod execute;
mod firmware;
mod instant;
mod lz4;
mod memory;
mod message;
mod pf;
mod plan;
mod stats;

pub use config::{DeviceConfig, Model};
pub use device::{Device, Error};
pub use instant::InstantDevice;
pub use plan::{Action, FaultPlan, PfFaults, ResetRefusal};
pub use stats::DeviceStats;

/// A region of registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Region {
    /// Of the rings: VFIO region 0.
    Rings,
    /// Interrupts and messages: VFIO region 2.
    Misc,
}
