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
//! A device is configured through its registers and commands, also in this process: [`Model::read`] and
//! [`Model::write`] are BAR0, [`Model::write_portal`] is BAR2, and an [`InterruptSink`] takes the interrupts.
//!
//! Left out: PCI configuration space and the MSI-X table (the embedder's, see [`PciConfig`]). Traffic classes, read
//! buffers, limits of descriptors in progress and of bandwidth are configured and checked, and have no other effect.

mod analytics;
mod analytics_check;
mod bus;
mod capability;
mod check;
mod command;
mod config;
mod configure;
mod control;
mod device;
mod doorbell;
mod enable;
mod engine;
mod error;
mod event_log;
mod fault_plan;
mod group;
mod hardware;
mod host;
pub mod iaa;
mod index;
mod instant;
mod interrupt;
mod life;
mod model;
mod operation;
mod page_request;
mod perfmon;
mod permission_table;
mod portal;
mod record;
mod registers;
mod rules;
mod software_error;
mod space;
mod stats;
pub mod timing;
mod walk;
mod work_queue;

pub use bus::{Access, Bus, BusFault, PAGE_BYTES, Presence, ProcessMemory};
pub use capability::Capabilities;
pub use config::{DeviceConfig, DeviceKind, EventLogConfig, GroupConfig, QueueConfig, QueueMode, Version};
pub use device::Device;
pub use engine::{Engine, Step};
pub use error::Error;
pub use fault_plan::{FaultPlan, Nonsense, Repeat, StopAt, Which};

pub use hardware::{Hardware, PciConfig};
pub use host::PageRequestStats;
pub use instant::InstantPortal;
pub use interrupt::InterruptSink;
pub use model::Model;
pub use page_request::{PageAnswer, PageRequests};
pub use portal::{Portal, Submission, Write};
pub use registers::BAR0_BYTES;
pub use software_error::SoftwareError;
pub use space::Space;
pub use stats::DeviceStats;
