//! A DSA and IAA device in software, over a memory bus.
//!
//! The device a program without the silicon runs on, and the device drivers are tested against: it does what the
//! specification says, with the bytes the specification says, and is stricter than silicon about what it is sent. Page
//! faults are real: [`ProcessMemory`] looks into the page tables, and a page that is not there stops the operation, or
//! is asked for through the same fault path a kernel uses.
//!
//! ```text
//! Portal::submit -> work queue -> Group (arbiter) -> Engine::run_one -> checks -> Walk over the operands -> record
//!                                                        |                          |
//!                                              Device: one thread each      Bus::present / read / write / copy
//!                                                                           PageRequests (block-on-fault)
//! ```
//!
//! [`Device`] is the whole thing in this process. [`Model`] is the same without threads, for whoever embeds it over
//! another [`Bus`]. [`FaultPlan`] makes things go wrong on request, and [`InstantPortal`] makes everything go right at
//! once.
//!
//! Left out: registers and configuration space (the embedder's), interrupts (user work queues have none), the event
//! log, traffic classes and bandwidth (accepted and without effect), the DIF, delta record, inter-domain, numeric and
//! scatter-gather operations.

mod analytics;
mod analytics_check;
mod bus;
mod capability;
mod check;
mod config;
mod device;
mod doorbell;
mod engine;
mod error;
mod fault_plan;
mod group;
mod host;
pub mod iaa;
mod index;
mod instant;
mod model;
mod operation;
mod page_request;
mod permission_table;
mod portal;
mod record;
mod rules;
mod software_error;
mod stats;
mod walk;
mod work_queue;

pub use bus::{Access, Bus, BusFault, PAGE_BYTES, Presence, ProcessMemory};
pub use capability::Capabilities;
pub use config::{DeviceConfig, DeviceKind, QueueConfig, QueueMode, Version};
pub use device::Device;
pub use engine::{Engine, Step};
pub use error::Error;
pub use fault_plan::{FaultPlan, Nonsense, Repeat, StopAt, Which};
pub use instant::InstantPortal;
pub use model::Model;
pub use page_request::{PageAnswer, PageRequests};
pub use portal::{Portal, Submission};
pub use software_error::SoftwareError;
pub use stats::DeviceStats;
