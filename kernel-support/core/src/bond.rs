// SPDX-License-Identifier: MIT OR Apache-2.0

//! Bonds: device + address space + PASID, from bind to unbind.
//!
//! The same address space bound again shares the attachment, counted; the last bond to go detaches
//! it. A bind stops at the first thing that is not as asked: a PASID in use by anybody else, no
//! room, hardware that says no. What it had taken by then goes back by itself.
//!
//! The `binding` lock is held over the whole of a bind and of an unbind, the device's
//! [`Hardware`](super::Hardware) calls included, so two binds of one address space cannot both
//! program it. Neither is ever on the fault path.

use core::fmt;

use super::env::{Env, Event, Lock, OutOfMemory};
use super::error::Error;
use super::handle::{AttachHandle, Detaching, HandleRef, Inner, NewHandle, Sva};
use super::iopf::{Enabled, Iopf, Shared};
use super::latency::LatencyHistogram;
use super::pasid::{Busy, Holder, Pasid, PasidNumber};
use super::platform::{Hardware, Identity, Platform, SharedOf, SlotsOf};
use super::stats::BondStats;

/// An attachment and how many bonds share it.
struct Bound<P: Platform> {
    handle: AttachHandle<P, Sva>,
    users: usize,
}

/// The attachments of a device.
pub(crate) struct Bonds<P: Platform> {
    slots: SlotsOf<P, Option<Bound<P>>>,
}

impl<P: Platform> Bonds<P> {
    pub(crate) fn try_new(bonds_max: usize) -> Result<Self, OutOfMemory> {
        Ok(Self {
            slots: P::Env::slots(bonds_max, |_| None)?,
        })
    }

    fn find(&mut self, wanted: impl Fn(&AttachHandle<P, Sva>) -> bool) -> Option<&mut Bound<P>> {
        self.slots
            .iter_mut()
            .flatten()
            .find(|bound| wanted(&bound.handle))
    }

    fn vacant(&mut self) -> Result<&mut Option<Bound<P>>, Error> {
        let bonds_max = self.slots.len();
        self.slots
            .iter_mut()
            .find(|slot| slot.is_none())
            .ok_or(Error::BondsFull { bonds_max })
    }

    /// One user less. The handle comes out with the last.
    fn release(&mut self, number: PasidNumber) -> Option<AttachHandle<P, Sva>> {
        let slot = self.slots.iter_mut().find(|slot| {
            slot.as_ref()
                .is_some_and(|bound| bound.handle.pasid() == number)
        })?;
        let bound = slot.as_mut()?;
        bound.users -= 1;
        if bound.users > 0 {
            return None;
        }
        slot.take().map(|bound| bound.handle)
    }
}

/// Which PASID a bind is to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasidChoice {
    /// Whichever the table has.
    Any,
    /// This one: the kernel gives an `mm` one number for all devices.
    Number(PasidNumber),
}

impl<P: Platform> Iopf<P, Enabled>
where
    P::Device: Hardware<P::Space>,
{
    /// Shares `space` with the device. If it is bound already, the new bond shares the attachment
    /// (and `space` is dropped, being the same).
    ///
    /// Source: iommu-sva.c: `iommu_sva_bind_device`.
    ///
    /// # Errors
    ///
    /// [`Error::Busy`] when the PASID asked for is in use by anything else, a detach in progress
    /// included; [`Error::BoundElsewhere`]; [`Error::OutOfPasids`], [`Error::TableFull`],
    /// [`Error::BondsFull`], [`Error::OutOfMemory`]; [`Error::Hardware`] from the device. Nothing
    /// stays taken.
    pub fn bind(&self, space: P::Space, choice: PasidChoice) -> Result<Bond<P>, Error> {
        let iopf = self.shared();
        iopf.binding.with(|bonds| bind(iopf, bonds, space, choice))
    }
}

fn bind<P: Platform>(
    iopf: &SharedOf<P, Shared<P>>,
    bonds: &mut Bonds<P>,
    space: P::Space,
    choice: PasidChoice,
) -> Result<Bond<P>, Error>
where
    P::Device: Hardware<P::Space>,
{
    let key = space.key();
    if let Some(bound) = bonds.find(|handle| handle.payload().key() == key) {
        let pasid = bound.handle.pasid();
        return match choice {
            PasidChoice::Number(number) if number != pasid => Err(Error::BoundElsewhere { pasid }),
            _ => {
                bound.users += 1;
                Ok(Bond::new(iopf, &bound.handle))
            }
        };
    }
    let pasid = exclusive(iopf, &key, choice)?;
    let slot = bonds.vacant()?;
    let handle = NewHandle::try_new(space)?;
    let reservation = pasid.reserve();
    iopf.device
        .program(reservation.number(), handle.payload())?;
    let handle = reservation.publish(handle);
    // Nobody drains meanwhile: the device is borrowed as `Enabled`.
    iopf.state.with(|state| state.bonds += 1);
    let bond = Bond::new(iopf, &handle);
    *slot = Some(Bound { handle, users: 1 });
    Ok(bond)
}

/// A PASID nobody else has. An attachment of the same address space that is not a bond's is not
/// ours to share.
fn exclusive<P: Platform>(
    iopf: &SharedOf<P, Shared<P>>,
    key: &<P::Space as Identity>::Key,
    choice: PasidChoice,
) -> Result<Pasid<P>, Error> {
    let PasidChoice::Number(pasid) = choice else {
        return iopf.table.allocate();
    };
    let attached: Option<HandleRef<P, Sva>> = iopf.table.lookup(pasid, key)?;
    match attached {
        Some(_) => Err(Error::Busy(Busy {
            pasid,
            holder: Holder::Sva,
        })),
        None => iopf.table.claim(pasid),
    }
}

fn leave<P: Platform>(iopf: &SharedOf<P, Shared<P>>) {
    let idle = iopf.state.with(|state| {
        state.bonds -= 1;
        state.is_over()
    });
    if idle {
        iopf.idle.notify();
    }
}

/// A device and an address space that share a PASID. Dropped, it unbinds; see
/// [`unbind`](Self::unbind).
///
/// Source: `struct iommu_sva`.
#[must_use = "dropping the bond unbinds"]
pub struct Bond<P: Platform>
where
    P::Device: Hardware<P::Space>,
{
    iopf: SharedOf<P, Shared<P>>,
    inner: SharedOf<P, Inner<P, Sva>>,
    number: PasidNumber,
    bound: bool,
}

impl<P: Platform> fmt::Debug for Bond<P>
where
    P::Device: Hardware<P::Space>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bond")
            .field("pasid", &self.number)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

impl<P: Platform> Bond<P>
where
    P::Device: Hardware<P::Space>,
{
    fn new(iopf: &SharedOf<P, Shared<P>>, handle: &AttachHandle<P, Sva>) -> Self {
        Self {
            iopf: iopf.clone(),
            inner: handle.inner().clone(),
            number: handle.pasid(),
            bound: true,
        }
    }

    /// The PASID to put into descriptors or work queues (`iommu_sva_get_pasid`).
    #[must_use]
    pub fn pasid(&self) -> PasidNumber {
        self.number
    }

    /// The address space.
    #[must_use]
    pub fn space(&self) -> &P::Space {
        self.inner.payload()
    }

    /// Counters of the attachment, shared by all bonds of the same address space.
    #[must_use]
    pub fn stats(&self) -> BondStats {
        self.inner.counters.snapshot()
    }

    /// How long the answers to its groups took, from the last request of a group. Empty without a
    /// clock ([`Env::now_ns`](super::env::Env::now_ns)).
    #[must_use]
    pub fn latency(&self) -> LatencyHistogram {
        self.inner.counters.latency.snapshot()
    }

    /// Ends the bond. If it was the last one of its address space on this device: faults are
    /// refused from now on, the hardware entry is cleared, and the groups in flight are left to
    /// whoever calls [`Detaching::wait`]. Until they are answered the PASID stays taken. The device
    /// must be done with its work by now.
    ///
    /// Source: iommu-sva.c: `iommu_sva_unbind_device`.
    #[must_use = "wait for the groups in flight"]
    pub fn unbind(mut self) -> Option<Detaching<P, Sva>> {
        self.end()
    }

    fn end(&mut self) -> Option<Detaching<P, Sva>> {
        if !core::mem::replace(&mut self.bound, false) {
            return None;
        }
        let detaching = self.iopf.binding.with(|bonds| {
            let detaching = bonds.release(self.number)?.detach();
            self.iopf.device.clear(self.number);
            Some(detaching)
        })?;
        leave::<P>(&self.iopf);
        Some(detaching)
    }
}

impl<P: Platform> Drop for Bond<P>
where
    P::Device: Hardware<P::Space>,
{
    fn drop(&mut self) {
        drop(self.end());
    }
}
