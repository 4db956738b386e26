//! svala driver for Intel DSA and IAA work queues.
//!
//! Turns jobs into descriptors, writes them to a portal, and reads what comes back. [`DsaQueue`] and [`IaaQueue`]
//! implement [`svala::backend::Queue`] over any [`Portal`]; the portals of the emulated device are here
//! ([`Emulated`]), those of real work queues (ENQCMD, MOVDIR64B, `write(2)`) are not yet.
//!
//! Completion records live in the flight of a slot, as atomics: no reference to plain memory a device writes
//! exists, and this crate needs no unsafe code but for the promise of [`svala::backend::Queue`].

mod dsa;
mod emulated;
mod iaa;
mod portal;
mod record;

pub use dsa::{DsaFlight, DsaQueue, DsaQueueConfig};
pub use emulated::{Emulated, EmulatedConfig, EmulatedError, EmulatedPortal};
pub use iaa::{IaaFlight, IaaQueue, IaaQueueConfig};
pub use portal::{Accepted, Credits, Portal};
