// SPDX-License-Identifier: GPL-2.0

//! Attach handles: what is attached at which PASID of a group.
//!
//! `group->pasid_array` owns: each entry is an [`Owner`], under `group->mutex`. The group's
//! [`GroupTable`] answers the fault path: which attachment has a PASID, and may it be counted on.
//! Both change together, here: reserve in both, let the driver program the hardware, publish in
//! both; close in the table, let the driver clear, erase in both.

use super::platform::{Attachment, Kernel, SvaSpace};
use super::populate::space_of;
use super::sva_core::{
    AttachHandle, Error as CoreError, Kind, NewHandle, Paging, PasidNumber, PasidTable, Peek, Sva,
    User,
};
use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering};
use kernel::bindings;
use kernel::error::to_result;
use kernel::ffi::{c_int, c_uint, c_void};
use kernel::prelude::*;
use kernel::sync::{new_mutex, Arc, Mutex};

/// PASIDs a group may have attached at a time: all there are. The table begins small and grows.
const PASIDS_MAX: usize = 1 << 20;

/// -EOPNOTSUPP, which the `kernel` crate has no name for.
const NOT_SUPPORTED: c_int = -(bindings::EOPNOTSUPP as c_int);

/// Who is attached where in one group, for the fault path.
#[pin_data]
pub(crate) struct GroupTable {
    pub(crate) pasids: PasidTable<Kernel>,
    /// Held while a group is handed to a handler that keeps it. Taken by a detach after it closed
    /// the attachment: then whatever was handed over is where its handler finds it, and nothing
    /// more will be.
    #[pin]
    pub(crate) delivery: Mutex<()>,
}

impl GroupTable {
    fn try_new() -> Result<Arc<Self>> {
        let pasids = PasidTable::try_new(PasidNumber::NONE, PasidNumber::MAX, PASIDS_MAX)
            .map_err(|_| ENOMEM)?;
        Arc::pin_init(
            pin_init!(Self { pasids, delivery <- new_mutex!((), "iopf::delivery") }),
            GFP_KERNEL,
        )
    }

    /// The table of `group`, made if there is none.
    ///
    /// # Safety
    ///
    /// `group` is live.
    pub(crate) unsafe fn of(group: *mut bindings::iommu_group) -> Result<Arc<Self>> {
        // SAFETY: `group` is live.
        if let Some(table) = unsafe { Self::find(group) } {
            return Ok(table);
        }
        let table = Self::try_new()?;
        let raw = table.clone().into_raw().cast_mut().cast::<c_void>();
        // SAFETY: The slot is a field of the live group, only ever used as an atomic.
        let slot = unsafe { AtomicPtr::from_ptr(bindings::iopf_rust_group_table(group)) };
        match slot.compare_exchange(ptr::null_mut(), raw, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => Ok(table),
            Err(_) => {
                // SAFETY: `into_raw` above; nobody has seen it.
                drop(unsafe { Arc::<Self>::from_raw(raw.cast_const().cast()) });
                // SAFETY: `group` is live.
                unsafe { Self::find(group) }.ok_or(ENOMEM)
            }
        }
    }

    /// # Safety
    ///
    /// `group` is live.
    pub(crate) unsafe fn find(group: *mut bindings::iommu_group) -> Option<Arc<Self>> {
        // SAFETY: As in `of`.
        let slot = unsafe { AtomicPtr::from_ptr(bindings::iopf_rust_group_table(group)) };
        let raw = slot.load(Ordering::Acquire);
        if raw.is_null() {
            return None;
        }
        // SAFETY: Set once, to an `Arc`, and freed with the group, which is live.
        Some(unsafe { kernel::sync::ArcBorrow::from_raw(raw.cast_const().cast::<Self>()) }.into())
    }
}

/// The group is going: so is its table, once nobody else holds it.
///
/// # Safety
///
/// `table` is the group's slot, null or set by [`GroupTable::of`], and nobody uses the group any
/// more.
#[export]
pub(crate) unsafe extern "C" fn iopf_rust_table_free(table: *mut c_void) {
    if !table.is_null() {
        // SAFETY: The reference that the slot had.
        drop(unsafe { Arc::<GroupTable>::from_raw(table.cast_const().cast()) });
    }
}

/// An attachment, of whichever kind.
enum Attached {
    Sva(AttachHandle<Kernel, Sva>),
    User(AttachHandle<Kernel, User>),
    Paging(AttachHandle<Kernel, Paging>),
}

impl Attached {
    fn attachment(&self) -> Attachment {
        match self {
            Self::Sva(handle) => handle.payload().attachment,
            Self::User(handle) => *handle.payload(),
            Self::Paging(handle) => *handle.payload(),
        }
    }
}

/// An entry of `group->pasid_array`. Iommu.c reads the domain, when a device is reset.
#[repr(C)]
pub(crate) struct Owner {
    header: bindings::iopf_rust_owner,
    attached: Attached,
}

/// An attachment about to be. Made before anything is reserved, so that publishing cannot fail.
enum New {
    Sva(NewHandle<Kernel, Sva>),
    User(NewHandle<Kernel, User>),
    Paging(NewHandle<Kernel, Paging>),
}

impl New {
    /// # Safety
    ///
    /// `domain` is live, and `handle` is null or the caller's to give away until it is detached;
    /// with an SVA domain it is a bond's.
    unsafe fn try_new(
        domain: *mut bindings::iommu_domain,
        handle: *mut bindings::iommu_attach_handle,
    ) -> Result<Self> {
        let attachment = Attachment { domain, handle };
        // SAFETY: `domain` is live.
        let (kind, faults) = unsafe { ((*domain).type_, (*domain).iopf_handler.is_some()) };
        if !handle.is_null() {
            // SAFETY: The caller's, and nobody has seen it yet.
            unsafe { (*handle).domain = domain };
        }
        let new = if kind == bindings::IOMMU_DOMAIN_SVA && !handle.is_null() {
            // SAFETY: The handle of an SVA domain is a bond's, says the caller.
            let space: SvaSpace = unsafe { space_of(attachment) };
            NewHandle::try_new(space).map(Self::Sva)
        } else if faults && !handle.is_null() {
            NewHandle::try_new(attachment).map(Self::User)
        } else {
            NewHandle::try_new(attachment).map(Self::Paging)
        };
        new.map_err(|_| ENOMEM)
    }
}

fn publish<K: Kind>(
    reservation: super::sva_core::Reservation<Kernel>,
    new: NewHandle<Kernel, K>,
) -> AttachHandle<Kernel, K> {
    reservation.publish(new)
}

/// Holds `group->mutex`.
pub(crate) struct Group(*mut bindings::iommu_group);

impl Group {
    /// # Safety
    ///
    /// `group` is live for as long as the value.
    unsafe fn lock(group: *mut bindings::iommu_group) -> Self {
        // SAFETY: `group` is live.
        unsafe { bindings::iopf_rust_group_lock(group) };
        Self(group)
    }

    fn table(&self) -> Result<Arc<GroupTable>> {
        // SAFETY: `group` is live.
        unsafe { GroupTable::of(self.0) }
    }

    fn in_recovery(&self) -> bool {
        // SAFETY: `group` is live and locked.
        unsafe { bindings::iopf_rust_group_in_recovery(self.0) }
    }

    fn check(&self, pasid: u32) -> Result {
        // SAFETY: `group` is live and locked.
        to_result(unsafe { bindings::iopf_rust_check_pasid(self.0, pasid) })
    }

    fn owner(&self, pasid: u32) -> *mut Owner {
        // SAFETY: `group` is live and locked.
        unsafe { bindings::iopf_rust_entry(self.0, pasid) }.cast()
    }

    fn publish(&self, pasid: u32, owner: KBox<Owner>) {
        // SAFETY: `group` is live and locked, and the entry was reserved or is there.
        unsafe { bindings::iopf_rust_entry_publish(self.0, pasid, KBox::into_raw(owner).cast()) };
    }

    /// Takes the entry out.
    fn erase(&self, pasid: u32) -> Option<KBox<Owner>> {
        let owner = self.owner(pasid);
        if owner.is_null() {
            return None;
        }
        // SAFETY: `group` is live and locked.
        unsafe { bindings::iopf_rust_entry_erase(self.0, pasid) };
        // SAFETY: `publish` put it there, and it is out: the box is ours.
        Some(unsafe { KBox::from_raw(owner) })
    }

    /// Reserve, program, publish. Nothing is left behind by an error.
    ///
    /// # Safety
    ///
    /// As [`New::try_new`].
    unsafe fn attach(
        &self,
        domain: *mut bindings::iommu_domain,
        pasid: u32,
        handle: *mut bindings::iommu_attach_handle,
        program: impl FnOnce() -> c_int,
    ) -> Result {
        let number = PasidNumber::new(pasid).ok_or(EINVAL)?;
        let table = self.table()?;
        let token = table.pasids.claim(number).map_err(|error| match error {
            CoreError::Busy(_) => EBUSY,
            CoreError::TableFull { .. } => ENOSPC,
            _ => ENOMEM,
        })?;
        // SAFETY: The caller's contract.
        let new = unsafe { New::try_new(domain, handle) }?;
        let place = KBox::<Owner>::new_uninit(GFP_KERNEL)?;
        // SAFETY: `group` is live and locked.
        to_result(unsafe { bindings::iopf_rust_entry_reserve(self.0, pasid) })?;
        let reservation = token.reserve();
        if let Err(error) = to_result(program()) {
            // SAFETY: As above; the reservation is this function's.
            unsafe { bindings::iopf_rust_entry_release(self.0, pasid) };
            return Err(error);
        }
        let attached = match new {
            New::Sva(new) => Attached::Sva(publish(reservation, new)),
            New::User(new) => Attached::User(publish(reservation, new)),
            New::Paging(new) => Attached::Paging(publish(reservation, new)),
        };
        let header = bindings::iopf_rust_owner { domain };
        self.publish(pasid, KBox::write(place, Owner { header, attached }));
        Ok(())
    }

    /// Programs the new domain, then puts its handle where the old one is. An error leaves the old
    /// one.
    ///
    /// # Safety
    ///
    /// As [`New::try_new`].
    unsafe fn replace(
        &self,
        domain: *mut bindings::iommu_domain,
        pasid: u32,
        handle: *mut bindings::iommu_attach_handle,
        program: impl FnOnce(*mut bindings::iommu_domain) -> c_int,
    ) -> Result {
        let table = self.table()?;
        let old = self.owner(pasid);
        if old.is_null() {
            return Err(EINVAL);
        }
        // SAFETY: Entries are owners, and ours to read under the lock.
        let before = unsafe { (*old).attached.attachment() };
        if before.handle == handle {
            misuse(c"a handle in use was given for a replacement");
            return Err(EINVAL);
        }
        // SAFETY: The caller's contract.
        let new = unsafe { New::try_new(domain, handle) }?;
        let place = KBox::<Owner>::new_uninit(GFP_KERNEL)?;
        to_result(program(before.domain))?;
        // SAFETY: `publish` put it there. The entry is overwritten below, under the same lock.
        let old = KBox::into_inner(unsafe { KBox::from_raw(old) });
        let attached = match old.attached {
            Attached::Sva(old) => {
                old.payload().bond.end();
                exchange(old, new, |retired| retired.wait())
            }
            Attached::User(old) => exchange(old, new, |_| settle(&table)),
            Attached::Paging(old) => exchange(old, new, |_| settle(&table)),
        };
        let header = bindings::iopf_rust_owner { domain };
        self.publish(pasid, KBox::write(place, Owner { header, attached }));
        Ok(())
    }

    /// Closes the attachment, lets the driver clear the hardware, forgets it. Faults are refused
    /// from the first step on; when this returns, SVA groups are answered and all others are where
    /// their handler finds them.
    fn detach(&self, pasid: u32, clear: impl FnOnce()) {
        let Some(owner) = self.erase(pasid) else {
            misuse(c"a pasid was detached that nothing is attached at");
            return clear();
        };
        match KBox::into_inner(owner).attached {
            Attached::Sva(handle) => {
                handle.payload().bond.end();
                let detaching = handle.detach();
                clear();
                drop(detaching.wait());
            }
            Attached::User(handle) => {
                let detaching = handle.detach();
                clear();
                if let Ok(table) = self.table() {
                    settle(&table);
                }
                // Its handler answers what is in flight; the last answer frees the PASID.
                drop(detaching);
            }
            Attached::Paging(handle) => {
                let detaching = handle.detach();
                clear();
                drop(detaching.wait());
            }
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // SAFETY: `lock` locked it.
        unsafe { bindings::iopf_rust_group_unlock(self.0) };
    }
}

/// Puts `new` over `old` and lets `retire` see to what is in flight on the old one.
fn exchange<K: Kind>(
    old: AttachHandle<Kernel, K>,
    new: New,
    retire: impl FnOnce(super::sva_core::Retired<Kernel, K>),
) -> Attached {
    match new {
        New::Sva(new) => {
            let (new, retired) = old.replace(new);
            retire(retired);
            Attached::Sva(new)
        }
        New::User(new) => {
            let (new, retired) = old.replace(new);
            retire(retired);
            Attached::User(new)
        }
        New::Paging(new) => {
            let (new, retired) = old.replace(new);
            retire(retired);
            Attached::Paging(new)
        }
    }
}

/// Waits until nothing is being handed to a handler.
fn settle(table: &GroupTable) {
    drop(table.delivery.lock());
}

pub(crate) fn misuse(what: &'static CStr) {
    // SAFETY: A string that lives for ever.
    unsafe { bindings::iopf_rust_warn_misuse(what.as_char_ptr()) };
}

pub(crate) fn errno(result: Result) -> c_int {
    result.map_or_else(|error| error.to_errno(), |()| 0)
}

/// What an attach and a replacement at a PASID ask before anything else. Returns the group, locked.
///
/// # Safety
///
/// `domain` and `dev` are live, and `dev` has a probed driver.
unsafe fn admit(
    domain: *mut bindings::iommu_domain,
    dev: *mut bindings::device,
    pasid: bindings::ioasid_t,
) -> Result<Group, c_int> {
    // SAFETY: `dev` is live.
    let group = unsafe { bindings::iopf_rust_dev_group(dev) };
    if group.is_null() {
        return Err(ENODEV.to_errno());
    }
    // SAFETY: `domain` is live, and has operations.
    if unsafe { (*(*domain).ops).set_dev_pasid.is_none() } {
        return Err(NOT_SUPPORTED);
    }
    // SAFETY: `domain` and `dev` are live.
    let fits = unsafe { bindings::iopf_rust_compatible(dev, domain) };
    if !fits || pasid == bindings::IOMMU_NO_PASID {
        return Err(EINVAL.to_errno());
    }
    // SAFETY: A device with a driver keeps its group.
    let locked = unsafe { Group::lock(group) };
    if locked.in_recovery() {
        return Err(EBUSY.to_errno());
    }
    Ok(locked)
}

/// # Safety
///
/// `domain` and `dev` are live, `dev` has a probed driver, `handle` is null or stays until it is
/// detached.
#[export]
pub(crate) unsafe extern "C" fn iommu_attach_device_pasid(
    domain: *mut bindings::iommu_domain,
    dev: *mut bindings::device,
    pasid: bindings::ioasid_t,
    handle: *mut bindings::iommu_attach_handle,
) -> c_int {
    // SAFETY: `dev` is live. Without a group it is refused below.
    let blocks = unsafe {
        bindings::iopf_rust_dev_group(dev).is_null() || bindings::iopf_rust_can_block_pasid(dev)
    };
    if !blocks {
        return NOT_SUPPORTED;
    }
    // SAFETY: The caller's contract.
    let locked = match unsafe { admit(domain, dev, pasid) } {
        Ok(locked) => locked,
        Err(errno) => return errno,
    };
    if let Err(error) = locked.check(pasid) {
        return error.to_errno();
    }
    // SAFETY: Group and domain are live and the group is locked.
    let program =
        || unsafe { bindings::iopf_rust_set_group_pasid(domain, locked.0, pasid, ptr::null_mut()) };
    // SAFETY: The caller's contract.
    errno(unsafe { locked.attach(domain, pasid, handle, program) })
}

/// # Safety
///
/// As [`iommu_attach_device_pasid`].
#[export]
pub(crate) unsafe extern "C" fn iommu_replace_device_pasid(
    domain: *mut bindings::iommu_domain,
    dev: *mut bindings::device,
    pasid: bindings::ioasid_t,
    handle: *mut bindings::iommu_attach_handle,
) -> c_int {
    // SAFETY: The caller's contract.
    let locked = match unsafe { admit(domain, dev, pasid) } {
        Ok(locked) => locked,
        Err(errno) => return errno,
    };
    if handle.is_null() {
        return EINVAL.to_errno();
    }
    let program = |old| {
        if old == domain {
            return 0;
        }
        // SAFETY: Group and domains are live and the group is locked.
        unsafe { bindings::iopf_rust_set_group_pasid(domain, locked.0, pasid, old) }
    };
    // SAFETY: The caller's contract.
    errno(unsafe { locked.replace(domain, pasid, handle, program) })
}

/// # Safety
///
/// `domain` is attached to `pasid` of `dev`, and both are live.
#[export]
pub(crate) unsafe extern "C" fn iommu_detach_device_pasid(
    domain: *mut bindings::iommu_domain,
    dev: *mut bindings::device,
    pasid: bindings::ioasid_t,
) {
    // SAFETY: `dev` is live and keeps its group.
    let group = unsafe { bindings::iopf_rust_dev_group(dev) };
    // SAFETY: As above.
    let locked = unsafe { Group::lock(group) };
    // SAFETY: Group and domain are live and the group is locked.
    locked.detach(pasid, || unsafe {
        bindings::iopf_rust_remove_group_pasid(group, pasid, domain)
    });
}

/// # Safety
///
/// `domain` and `group` are live, `handle` is null or stays until it is detached.
#[export]
pub(crate) unsafe extern "C" fn iommu_attach_group_handle(
    domain: *mut bindings::iommu_domain,
    group: *mut bindings::iommu_group,
    handle: *mut bindings::iommu_attach_handle,
) -> c_int {
    if handle.is_null() {
        return EINVAL.to_errno();
    }
    // SAFETY: `group` is live.
    let locked = unsafe { Group::lock(group) };
    // SAFETY: Group and domain are live and the group is locked.
    let program = || unsafe { bindings::iopf_rust_attach_group(domain, group) };
    // SAFETY: The caller's contract.
    errno(unsafe { locked.attach(domain, bindings::IOMMU_NO_PASID, handle, program) })
}

/// # Safety
///
/// `group` is live.
#[export]
pub(crate) unsafe extern "C" fn iommu_detach_group_handle(
    _domain: *mut bindings::iommu_domain,
    group: *mut bindings::iommu_group,
) {
    // SAFETY: `group` is live.
    let locked = unsafe { Group::lock(group) };
    // SAFETY: `group` is live and locked.
    locked.detach(bindings::IOMMU_NO_PASID, || unsafe {
        bindings::iopf_rust_set_core_domain(group)
    });
}

/// # Safety
///
/// As [`iommu_attach_group_handle`].
#[export]
pub(crate) unsafe extern "C" fn iommu_replace_group_handle(
    group: *mut bindings::iommu_group,
    new_domain: *mut bindings::iommu_domain,
    handle: *mut bindings::iommu_attach_handle,
) -> c_int {
    if new_domain.is_null() || handle.is_null() {
        return EINVAL.to_errno();
    }
    let pasid = bindings::IOMMU_NO_PASID;
    // SAFETY: `group` is live.
    let locked = unsafe { Group::lock(group) };
    // SAFETY: Group and domain are live and the group is locked.
    let program = || unsafe { bindings::iopf_rust_set_group_domain(group, new_domain) };
    if locked.owner(pasid).is_null() {
        // SAFETY: The caller's contract.
        return errno(unsafe { locked.attach(new_domain, pasid, handle, program) });
    }
    // SAFETY: The caller's contract.
    errno(unsafe { locked.replace(new_domain, pasid, handle, |_| program()) })
}

/// Returns the handle attached at `pasid`: -ENOENT if nobody has the PASID, -EBUSY if something
/// else does: another type, an attachment without a handle, an attach or a detach in progress.
///
/// # Safety
///
/// `group` is live. The handle is valid for as long as the caller keeps it from being detached.
#[export]
pub(crate) unsafe extern "C" fn iommu_attach_handle_get(
    group: *mut bindings::iommu_group,
    pasid: bindings::ioasid_t,
    type_: c_uint,
) -> *mut bindings::iommu_attach_handle {
    // SAFETY: `group` is live.
    let table = unsafe { GroupTable::find(group) };
    let found = match (table, PasidNumber::new(pasid)) {
        (Some(table), Some(number)) => table.pasids.peek(number, |peek| match peek {
            Peek::Free => Err(ENOENT),
            Peek::Sva(space) => Ok(space.attachment),
            Peek::User(attachment) | Peek::Paging(attachment) => Ok(*attachment),
            Peek::Busy(_) => Err(EBUSY),
        }),
        _ => Err(ENOENT),
    };
    let matching = found.and_then(|Attachment { domain, handle }| {
        // SAFETY: Attached, hence live, for as long as the caller says.
        if handle.is_null() || (type_ != 0 && unsafe { (*domain).type_ } != type_) {
            return Err(EBUSY);
        }
        Ok(handle)
    });
    matching.unwrap_or_else(|error| error.to_ptr())
}
