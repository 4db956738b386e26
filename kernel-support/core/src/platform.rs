// SPDX-License-Identifier: MIT OR Apache-2.0

//! What an embedder's address spaces and devices look like to this crate.

use core::convert::Infallible;
use core::fmt;

use super::env::Env;
use super::pasid::PasidNumber;
use super::request::PageResponse;

/// The types one embedder works with. Everything in this crate is generic over one `Platform`.
pub trait Platform: Sized + 'static {
    /// Memory, locks, atomics.
    type Env: Env;
    /// An address space a device can share: an `mm` in the kernel, "this process" in the emulated
    /// device.
    type Space: Identity;
    /// What an attach handle of kind [`User`](super::User) carries: who in user space is told of
    /// the faults. [`Infallible`] where there is no such thing.
    type User: Identity;
    /// What an attach handle of kind [`Paging`](super::Paging) carries. [`Infallible`] where there
    /// is no such thing.
    type Paging: Identity;
    /// The device: takes page responses and, where bonds are made here
    /// ([`Iopf::bind`](super::Iopf::bind)), PASID entries ([`Hardware`]).
    type Device: Responder;
}

/// What makes two of something the same. For an address space: the same memory, not merely the same
/// kind of thing.
///
/// Source: the `domain->mm != mm` test of iommu-sva.c: `iommu_sva_bind_device`, which here cannot
/// be left out.
pub trait Identity {
    /// Equal keys mean the same thing for as long as either exists.
    type Key: PartialEq + Clone + fmt::Debug;
    /// This one's key.
    fn key(&self) -> Self::Key;
}

impl Identity for Infallible {
    type Key = Infallible;
    fn key(&self) -> Infallible {
        *self
    }
}

/// The device's side of a page response.
pub trait Responder {
    /// Takes the one answer to one page request group. Called with no lock of this crate held, from
    /// whichever thread answered the group; a queue to the device's own thread is the usual body.
    ///
    /// Source: `iommu_ops::page_response`.
    fn respond(&self, response: PageResponse);

    /// A group was put in the queue. For embedders that schedule work instead of blocking in
    /// [`Queue::wait`](super::Queue::wait). Called on the reporting thread with no lock of this
    /// crate held.
    fn group_queued(&self) {}
}

/// The device's PASID entries. Called with the bind lock held: may sleep, must not bind or unbind.
pub trait Hardware<Space> {
    /// Makes the device translate `pasid` through `space`. The entry is published, and faults on it
    /// are accepted, only after this returned `Ok`.
    ///
    /// # Errors
    ///
    /// The bind fails with it, and the PASID goes back.
    fn program(&self, pasid: PasidNumber, space: &Space) -> Result<(), HardwareError>;

    /// Makes the device stop using `pasid`. New faults on it are refused already. Faults that were
    /// accepted are still being handled: those are what [`Detaching`](super::Detaching) waits for.
    fn clear(&self, pasid: PasidNumber);
}

/// The device refused; the code is the embedder's own (a negative errno in the kernel).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HardwareError(pub i32);

impl fmt::Display for HardwareError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "device refused the PASID entry (code {})", self.0)
    }
}

impl core::error::Error for HardwareError {}

/// Shorthands for an [`Env`]'s types.
pub(crate) type SharedOf<P, T> = <<P as Platform>::Env as Env>::Shared<T>;
pub(crate) type LockOf<P, T> = <<P as Platform>::Env as Env>::Lock<T>;
pub(crate) type SlotsOf<P, T> = <<P as Platform>::Env as Env>::Slots<T>;
pub(crate) type EventOf<P> = <<P as Platform>::Env as Env>::Event;
