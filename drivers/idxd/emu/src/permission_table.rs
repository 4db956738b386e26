//! The inter-domain permissions table: whose memory a descriptor may reach beside its own (DSA §3.14).
//!
//! The model has one bus, and so one memory: in this process there is no other address space to reach, and a guest's bus
//! is that of the guest. So every access PASID stands for that memory, and what is modelled is who may use which entry
//! for what. A space can be [revoked](PermissionTable::revoke), which is how an abort of its PASID shows.

use std::collections::{BTreeMap, BTreeSet};

use idxd_spec::register::IdCap;
use idxd_spec::{IdptHandle, PermissionEntry, Permissions, Status, Submitters, Window};
use parking_lot::{Condvar, Mutex};

use crate::bus::{Access, Bus};

/// The table, who uses its entries, and which spaces are gone.
pub(crate) struct PermissionTable {
    cap: IdCap,
    state: Mutex<State>,
    ended: Condvar,
}

struct State {
    /// Each with a number that changes when its window does.
    entries: Vec<(PermissionEntry, u64)>,
    /// Operations that use an entry as it was under a number.
    users: BTreeMap<(u16, u64), usize>,
    revoked: BTreeSet<u32>,
}

/// What a descriptor wants with an entry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    pub(crate) handle: IdptHandle,
    /// Of the descriptor.
    pub(crate) pasid: u32,
    pub(crate) access: Access,
}

/// An entry in use, as it was when the operation began. An update waits until it is dropped.
pub(crate) struct Grant<'a> {
    table: &'a PermissionTable,
    key: (u16, u64),
    window: Window,
}

impl Grant<'_> {
    pub(crate) fn handle(&self) -> IdptHandle {
        IdptHandle(self.key.0)
    }

    /// Addresses are offsets, and where they really are is nobody's business (DSA §3.14.4).
    pub(crate) fn hides_addresses(&self) -> bool {
        matches!(self.window, Window::Offsets(_))
    }

    /// Where `len` bytes at `addr` are, with elements of `align` bytes.
    pub(crate) fn resolve(&self, addr: u64, len: u64, align: u64) -> Result<u64, Status> {
        let is_aligned = match self.window {
            Window::Offsets(range) => range.base().is_multiple_of(align),
            _ => true,
        };
        if !is_aligned {
            return Err(Status::ALIGNMENT);
        }
        self.window.resolve(addr, len).ok_or(Status::INTER_DOMAIN_RANGE)
    }
}

impl Drop for Grant<'_> {
    fn drop(&mut self) {
        let mut state = self.table.state.lock();
        if let Some(users) = state.users.get_mut(&self.key) {
            *users -= 1;
            if *users == 0 {
                state.users.remove(&self.key);
                self.table.ended.notify_all();
            }
        }
    }
}

impl PermissionTable {
    /// A table of entries that are all zero, as after a reset.
    pub(crate) fn new(cap: IdCap) -> Self {
        let entries = vec![(PermissionEntry::default(), 0); cap.permission_entries().into()];
        let state = State { entries, users: BTreeMap::new(), revoked: BTreeSet::new() };
        Self { cap, state: Mutex::new(state), ended: Condvar::new() }
    }

    pub(crate) fn entry(&self, index: u16) -> Option<PermissionEntry> {
        self.state.lock().entries.get(usize::from(index)).map(|(entry, _)| *entry)
    }

    /// A write to the table; `false` if there is no such entry.
    pub(crate) fn write(&self, index: u16, entry: &PermissionEntry) -> bool {
        let mut state = self.state.lock();
        let Some((old, number)) = state.entries.get_mut(usize::from(index)) else { return false };
        (*old, *number) = (old.overwritten(entry), *number + 1);
        true
    }

    /// All entries zero again, as after a reset of the device.
    pub(crate) fn reset(&self) {
        for (entry, number) in &mut self.state.lock().entries {
            (*entry, *number) = (PermissionEntry::default(), *number + 1);
        }
    }

    /// From now on operations on the memory of `pasid` end with status 0x2e, or again as before.
    pub(crate) fn revoke(&self, pasid: u32, revoked: bool) {
        let mut state = self.state.lock();
        if revoked {
            state.revoked.insert(pasid)
        } else {
            state.revoked.remove(&pasid)
        };
    }

    /// Lets an operation use an entry, or says why not.
    pub(crate) fn grant<B: Bus>(&self, wanted: Wanted, bus: &B) -> Result<Grant<'_>, Status> {
        let index = wanted.handle.0;
        let mut state = self.state.lock();
        let slot = state.entries.get(usize::from(index)).ok_or(Status::INTER_DOMAIN_HANDLE)?;
        let (entry, number) = *slot;
        let window = self.valid_window(&entry).ok_or(Status::INTER_DOMAIN_HANDLE)?;
        if !entry.is_usable() || !lets_in(&entry, wanted.pasid, bus) {
            return Err(Status::INTER_DOMAIN_HANDLE);
        }
        let permissions = entry.permissions();
        let is_permitted = match wanted.access {
            Access::Read => permissions.reads(),
            Access::Write => permissions.writes(),
        };
        if !is_permitted {
            return Err(Status::INTER_DOMAIN_PERMISSION);
        }
        if state.revoked.contains(&entry.access_pasid()) {
            return Err(Status::INTER_DOMAIN_INACCESSIBLE);
        }
        let key = (index, number);
        *state.users.entry(key).or_default() += 1;
        Ok(Grant { table: self, key, window })
    }

    /// Changes the window of an entry for its owner, and waits for those who use the old one unless told not to.
    pub(crate) fn update(
        &self,
        handle: IdptHandle,
        owner: u32,
        (permissions, window): (Permissions, Window),
        drains: bool,
    ) -> Result<(), Status> {
        let mut state = self.state.lock();
        let slot = state.entries.get_mut(usize::from(handle.0)).ok_or(Status::WINDOW_HANDLE)?;
        let (entry, number) = *slot;
        let is_allowed = entry.allows_update() && entry.access_pasid() == owner;
        if !is_allowed || self.valid_window(&entry).is_none() {
            return Err(Status::WINDOW_HANDLE);
        }
        *slot = (entry.with_window(permissions, window), number + 1);
        while drains && state.users.keys().any(|(index, used)| *index == handle.0 && *used <= number) {
            self.ended.wait(&mut state);
        }
        Ok(())
    }

    /// The window of an entry that passes the checks of §5.6 on this device.
    fn valid_window(&self, entry: &PermissionEntry) -> Option<Window> {
        entry.check().ok()?;
        let window = entry.window().ok()?;
        let has_type = match entry.submitters().ok()? {
            Submitters::One(_) => self.cap.single_submitter(),
            Submitters::Bitmap(_) => self.cap.submitter_bitmap(),
        };
        let has_mode = self.cap.offset_mode() || !matches!(window, Window::Offsets(_));
        (has_type && has_mode).then_some(window)
    }
}

/// Whether the descriptor's PASID is a submitter of the entry. A page of a bitmap that is not there counts as zeros
/// (§3.14.2).
fn lets_in<B: Bus>(entry: &PermissionEntry, pasid: u32, bus: &B) -> bool {
    match entry.submitters() {
        Ok(Submitters::One(submitter)) => submitter == pasid,
        Ok(Submitters::Bitmap(addr)) => {
            let (byte, mut bits) = (addr.wrapping_add(u64::from(pasid / 8)), [0]);
            let is_there = bus.present(byte, 1, Access::Read) == 1 && bus.read(byte, &mut bits).is_ok();
            is_there && bits[0] >> (pasid % 8) & 1 == 1
        }
        Err(_) => false,
    }
}
