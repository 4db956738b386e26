// SPDX-License-Identifier: MIT OR Apache-2.0

//! PASID table, attach handles, bonds and IO page fault groups, for the kernel and the emulated
//! device.
//!
//! A device that shares an address space (SVA) names it by a PASID and asks for pages that are not
//! present. This crate holds the decisions on the way from that request to its answer: who may have
//! which PASID, what a fault belongs to, who waits for whom, which answer goes out, when a device
//! may leave. It does so as types: what must not happen has no method. It allocates nothing by
//! itself, contains no unsafe code, and is compiled unchanged into a process (where an emulated
//! device uses it) and into a Linux kernel.
//!
//! What it leaves out: page tables, the memory behind an address space, registers, and how a page
//! is made present. Those are the embedder's, behind [`Platform`]: its [`Env`](env::Env) supplies
//! memory, locks and events, its [`Responder`] takes answers, its [`Hardware`] takes PASID entries,
//! and a [`FaultHandler`] populates pages.
//!
//! The path of a page request:
//!
//! ```text
//! device's thread        Reporter::report -- partial: kept until the last one of its group
//!                            |
//!                            +-- last: PASID looked up, reference on its handle, group queued
//! worker                 Queue::wait / take -> FaultGroup -> handle(group, &mut handler)
//!                            |
//! any thread             FaultGroup::respond, once -> Responder::respond -> device
//! ```
//!
//! The one hard idea is who holds what. A bond holds an attach handle; a group in flight holds a
//! counted reference on the same handle; a detach closes the handle to new references and ends with
//! the last one; only then is the PASID free. A device is drained when no answer is owed and no
//! bond is left, and can be removed only then.
//!
//! # Example
//!
//! One process, one device thread (here: the main one), one worker.
//!
#![cfg_attr(feature = "std", doc = "```")]
#![cfg_attr(not(feature = "std"), doc = "```ignore")]
//! use std::{convert::Infallible, process, sync::mpsc, thread};
//! use sva_core::*;
//!
//! struct ThisProcess;
//! impl Identity for ThisProcess {
//!     type Key = u32;
//!     fn key(&self) -> u32 { process::id() }
//! }
//!
//! struct Device { responses: mpsc::Sender<PageResponse> }
//! impl Responder for Device {
//!     fn respond(&self, response: PageResponse) { let _ = self.responses.send(response); }
//! }
//! impl Hardware<ThisProcess> for Device {
//!     fn program(&self, _: PasidNumber, _: &ThisProcess) -> Result<(), HardwareError> { Ok(()) }
//!     fn clear(&self, _: PasidNumber) {}
//! }
//!
//! struct Emulated;
//! impl Platform for Emulated {
//!     type Env = Std;
//!     type Space = ThisProcess;
//!     type User = Infallible;
//!     type Paging = Infallible;
//!     type Device = Device;
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (responses, answered) = mpsc::channel();
//! let first = PasidNumber::new(1).unwrap();
//! let table = PasidTable::<Emulated>::try_new(first, PasidNumber::MAX, 16)?;
//! let iopf = Iopf::try_new(Device { responses }, table, Limits::default())?;
//! let bond = iopf.bind(ThisProcess, PasidChoice::Any)?;
//!
//! let queue = iopf.queue();
//! let worker = thread::spawn(move || {
//!     let mut populate = |_: &ThisProcess, request: &PageRequest| match request.address() {
//!         0 => Err(Unresolved::Invalid),
//!         _ => Ok(()), // madvise(MADV_POPULATE_WRITE) in earnest
//!     };
//!     while let Some(group) = queue.wait() {
//!         handle(group, &mut populate);
//!     }
//! });
//!
//! let reporter = iopf.reporter();
//! let (group, address) = (GroupIndex(7), 0x7f3a_1c20_0000);
//! reporter.report(PageRequest::new(bond.pasid(), group, address, Access::WRITE))?;
//! assert_eq!(answered.recv()?.code, Code::Success);
//!
//! drop(bond);
//! let removed = iopf.quiesce(Discard::AnswerInvalid).wait_drained().remove();
//! assert_eq!((removed.groups, removed.success), (1, 1));
//! worker.join().unwrap();
//! # Ok(())
//! # }
//! ```
//!
//! # For the kernel
//!
//! Modules refer to each other by `super::`, so the files can be modules of any parent. Kbuild
//! passes no features, which leaves [`Std`] out. Edition 2021, Rust 1.85, `core` alone.

#![no_std]
#![forbid(unsafe_code)]

#[cfg(feature = "std")]
extern crate std;

pub mod env;

mod bond;
mod error;
mod fault_around;
mod gate;
mod group;
mod handle;
mod iopf;
mod latency;
mod ledger;
mod partial;
mod pasid;
mod platform;
mod request;
mod state;
mod stats;
#[cfg(feature = "std")]
mod std_env;
mod window;

pub use bond::{Bond, PasidChoice};
pub use error::Error;
pub use fault_around::{FaultAround, FaultAroundStats};
pub use group::{
    attempt, attempt_in, handle, Attempt, FaultGroup, FaultHandler, Queue, Requests, Unresolved,
};
pub use handle::{
    AnyRef, AttachHandle, Detaching, HandleRef, HandleReport, Kind, NewHandle, Paging, Retired,
    Sva, User,
};
pub use iopf::{
    Discard, Drained, Enabled, Held, Iopf, Limits, Quiesced, Reason, Refused, Removal, Reported,
    Reporter,
};
pub use latency::{LatencyHistogram, LATENCY_BUCKETS};
pub use ledger::{Ledger, Receipt};
pub use pasid::{Busy, Holder, Pasid, PasidNumber, PasidTable, Peek, Reservation};
pub use platform::{Hardware, HardwareError, Identity, Platform, Responder};
pub use request::{Access, Code, GroupIndex, PageRequest, PageResponse};
pub use stats::{BondStats, IopfStats};
#[cfg(feature = "std")]
pub use std_env::{Std, StdEvent, StdLock};
pub use window::{Window, Windows};
