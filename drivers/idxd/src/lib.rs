//! svala driver for Intel DSA and IAA work queues.
//!
//! Turns jobs into descriptors, writes them to a portal, and reads what comes back. [`DsaQueue`] and [`IaaQueue`]
//! implement [`svala::backend::Queue`] over any [`Portal`]; the portals of the emulated device are here
//! ([`Emulated`]), those of real work queues (ENQCMD, MOVDIR64B, `write(2)`) are not yet.
//!
//! Completion records live in the flight of a slot, as atomics: no reference to plain memory a device writes
//! exists, and this crate needs no unsafe code but for the promise of [`svala::backend::Queue`].

mod device;
mod dsa;
mod emulated;
mod iaa;
mod node;
mod portal;
mod record;
mod sysfs;
mod word;
mod work_queue;

pub use device::{Device, DeviceState, DeviceType, Engine, Group};
pub use dsa::{DsaFlight, DsaQueue, DsaQueueConfig};
pub use emulated::{Emulated, EmulatedConfig, EmulatedError, EmulatedPortal};
pub use iaa::{IaaFlight, IaaQueue, IaaQueueConfig};
pub use node::DeviceNode;
pub use portal::{Accepted, Credits, Portal};
pub use sysfs::{Discovery, Problem, ProblemKind, Sysfs, SysfsError};
pub use work_queue::{WorkQueue, WorkQueueMode, WorkQueueState, WorkQueueType};
