//! svala driver for Intel DSA and IAA work queues.
//!
//! Turns jobs into descriptors, writes them to a portal, and reads what comes back. [`DsaQueue`] and [`IaaQueue`]
//! implement [`svala::backend::Queue`] over any [`Portal`]: that of an emulated device ([`Emulated`]), or of a real
//! work queue ([`HardwareQueue`]) through `ENQCMD`, `MOVDIR64B` or `write(2)`. [`Sysfs`] finds the real ones.
//!
//! Completion records live in the flight of a slot, as atomics: no reference to plain memory a device writes
//! exists. Unsafe code is in the promise of [`svala::backend::Queue`], and in the two instructions and the mapped
//! page of a portal.

pub mod configuration;
mod cpu;
mod device;
mod dsa;
mod emulated;
mod hardware;
mod iaa;
mod node;
mod portal;
mod record;
mod sysfs;
mod word;
mod work_queue;

pub use cpu::{Enqcmd, Movdir64b};
pub use device::{Device, DeviceState, DeviceType, Engine, Group};
pub use dsa::{DsaFlight, DsaQueue, DsaQueueConfig, Lists, dsa_list_operations, dsa_operations};
pub use emulated::{Emulated, EmulatedConfig, EmulatedError, EmulatedPortal};
pub use hardware::{HardwareOptions, HardwareQueue, OpenError};
pub use iaa::{IaaFlight, IaaQueue, IaaQueueConfig};
pub use node::DeviceNode;
pub use portal::{
    Accepted, Credits, EnqcmdPortal, HardwarePortal, Method, MethodChoice, Movdir64bPortal, NoWay, Portal,
    WritePortal, WriteReason,
};
pub use sysfs::{Discovery, Problem, ProblemKind, Sysfs, SysfsError};
pub use work_queue::{WorkQueue, WorkQueueMode, WorkQueueState, WorkQueueType};
