//! The emulated DSA and IAA as a PCI device of a virtual machine.
//!
//! [`idxd_emu`] is the device; this crate is what lies between it and a machine whose memory is behind an IOMMU:
//! addresses are translated a page at a time through ATS and kept in a device TLB, missing pages are asked for through
//! PRI, and interrupts are MSI-X messages. The machine is a [`Machine`]; [`ffi`] makes one of the callbacks that a shim
//! in C supplies (`shim/idxd.c`), and is the only module with unsafe code.
//!
//! ```text
//! vCPU: MMIO, 64-byte stores -> Device -> Model -> engine threads
//!                                                    |  GuestMemory: DeviceTlb, else Locked::translate (ATS)
//!                                                    |  PageGroups: Locked::request_page (PRI), answered later
//!                                                    `- Locked::read / write / raise, under the machine's lock
//! ```
//!
//! The hard idea is the order of an invalidation and what uses the translation it takes back. A machine has one lock
//! that its IOMMU holds while it invalidates. Every access takes that lock, looks the translation up, and touches the
//! memory before it lets go; so when [`Device::invalidate`] returns, nothing uses the old translation any more, and the
//! IOMMU may say so. No lock of this crate or of the model is held while the machine's is waited for.

mod bus;
mod device;
mod device_tlb;
pub mod ffi;
mod machine;
mod modelled;
mod options;
mod page_groups;

pub use device::{Device, Pci, UnexpectedResponse};
pub use idxd_emu::Access;
pub use machine::{Locked, Machine, Request, RequestRefused, Response, Translation};
pub use modelled::Modelled;
pub use options::{Options, OptionsError};
