//! Guest memory as the model's bus: every access translated, under the machine's lock.

use std::sync::Arc;

use idxd_emu::{Access, Bus, BusFault, PAGE_BYTES, Space};

use crate::device_tlb::DeviceTlb;
use crate::machine::{Locked, Machine, Request, Translation};

/// Pages that are looked at or moved before the machine's lock is given back for a moment.
const PAGES_A_TURN: usize = 16;

/// The memory of the machine, in the space the calling thread works in.
pub(crate) struct GuestMemory<M> {
    machine: Arc<M>,
    tlb: Arc<DeviceTlb>,
}

/// A run of bytes in one page, where the machine has it.
#[derive(Clone, Copy)]
struct Place {
    target: usize,
    addr: u64,
    /// To the end of the page.
    len: u64,
}

impl<M: Machine> GuestMemory<M> {
    pub(crate) fn new(machine: Arc<M>, tlb: Arc<DeviceTlb>) -> Self {
        Self { machine, tlb }
    }

    /// Where `addr` is. What has no PASID goes out as it is, and the IOMMU judges the access.
    fn place(&self, locked: &mut M::Locked<'_>, addr: u64, access: Access) -> Result<Place, BusFault> {
        let Some(request) = Request::new(Space::current(), addr, access) else {
            return Ok(Place { target: 0, addr, len: PAGE_BYTES - addr % PAGE_BYTES });
        };
        let translation = self.translate(locked, &request).ok_or(BusFault { addr, access })?;
        let offset = addr & ((1 << translation.shift) - 1);
        let len = (1 << translation.shift) - offset;
        Ok(Place { target: translation.target, addr: translation.addr | offset, len })
    }

    fn translate(&self, locked: &mut M::Locked<'_>, request: &Request) -> Option<Translation> {
        if let Some(found) = self.tlb.get(request) {
            return Some(found);
        }
        let translation = locked.translate(request).filter(|found| found.shift < 64)?;
        self.tlb.insert(request, translation);
        (translation.writable || request.access == Access::Read).then_some(translation)
    }

    /// Calls `step` with what is done and where the next byte is; its answer is how many bytes it did. Gives the lock
    /// back now and then.
    fn each_page(
        &self,
        addr: u64,
        len: u64,
        access: Access,
        mut step: impl FnMut(&mut M::Locked<'_>, u64, Place) -> Result<u64, BusFault>,
    ) -> Result<(), BusFault> {
        let mut done = 0;
        while done < len {
            let mut locked = self.machine.lock();
            for _ in 0..PAGES_A_TURN {
                if done >= len {
                    break;
                }
                let next = addr.checked_add(done).ok_or(BusFault { addr: u64::MAX, access })?;
                let place = self.place(&mut locked, next, access)?;
                let place = Place { len: place.len.min(len - done), ..place };
                done += step(&mut locked, done, place)?.max(1);
            }
        }
        Ok(())
    }
}

impl<M: Machine> Bus for GuestMemory<M> {
    fn present(&self, addr: u64, len: u64, access: Access) -> u64 {
        match self.each_page(addr, len, access, |_, _, place| Ok(place.len)) {
            Ok(()) => len,
            Err(fault) => fault.addr.saturating_sub(addr).min(len),
        }
    }

    fn read(&self, addr: u64, bytes: &mut [u8]) -> Result<(), BusFault> {
        self.each_page(addr, bytes.len() as u64, Access::Read, |locked, done, place| {
            let fault = BusFault { addr: addr.wrapping_add(done), access: Access::Read };
            let part = part_mut(bytes, done, place.len);
            locked.read(place.target, place.addr, part).then_some(place.len).ok_or(fault)
        })
    }

    fn write(&self, addr: u64, bytes: &[u8]) -> Result<(), BusFault> {
        self.each_page(addr, bytes.len() as u64, Access::Write, |locked, done, place| {
            let fault = BusFault { addr: addr.wrapping_add(done), access: Access::Write };
            let part = part(bytes, done, place.len);
            locked.write(place.target, place.addr, part).then_some(place.len).ok_or(fault)
        })
    }

    fn copy(&self, src: u64, dst: u64, len: u64) -> Result<(), BusFault> {
        let mut buffer = [0; 4096];
        self.each_page(src, len, Access::Read, |locked, done, from| {
            let addr = dst.checked_add(done).ok_or(BusFault { addr: u64::MAX, access: Access::Write })?;
            let to = self.place(locked, addr, Access::Write)?;
            let len = from.len.min(to.len).min(buffer.len() as u64);
            let part = part_mut(&mut buffer, 0, len);
            let fault = BusFault { addr: src.wrapping_add(done), access: Access::Read };
            locked.read(from.target, from.addr, part).then_some(()).ok_or(fault)?;
            let fault = BusFault { addr, access: Access::Write };
            locked.write(to.target, to.addr, part).then_some(len).ok_or(fault)
        })
    }
}

/// A part of a buffer, both of whose ends are in it: `done` and `len` are what [`GuestMemory::each_page`] counts.
fn part(bytes: &[u8], done: u64, len: u64) -> &[u8] {
    let start = usize::try_from(done).unwrap_or(usize::MAX).min(bytes.len());
    let end = start.saturating_add(usize::try_from(len).unwrap_or(usize::MAX)).min(bytes.len());
    &bytes[start..end]
}

fn part_mut(bytes: &mut [u8], done: u64, len: u64) -> &mut [u8] {
    let start = usize::try_from(done).unwrap_or(usize::MAX).min(bytes.len());
    let end = start.saturating_add(usize::try_from(len).unwrap_or(usize::MAX)).min(bytes.len());
    &mut bytes[start..end]
}
