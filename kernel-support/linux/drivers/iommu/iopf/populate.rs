// SPDX-License-Identifier: GPL-2.0

//! SVA faults: making pages of an mm present, on a worker.
//!
//! A fault holds mm_users for as long as it runs, and the mmap lock for reading while it looks.
//! What the group names (the bond, the `mm_struct`) its reference keeps. A fault where userfaultfd
//! is armed waits for its handler, on the queue's second work queue, until the handler is done,
//! time is up, or the bond, the device's fault path or the mm ends.

use super::bonds::{bond_of, MmData};
use super::param::FaultParam;
use super::platform::{Attachment, SvaSpace};
use super::sva_core::{env::Lock as _, Access, FaultHandler, PageRequest, Unresolved};
use core::ops::Range;
use core::ptr;
use core::sync::atomic::Ordering;
use kernel::bindings;
use kernel::ffi::c_void;
use kernel::mm::virt::{flags, VmaRef};
use kernel::mm::Mm;
use kernel::page::{PAGE_SHIFT, PAGE_SIZE};
use kernel::prelude::*;
use kernel::sync::atomic::ordering;

/// How often a fault is tried that the mm asks to be tried again. A userfaultfd wait ends by time,
/// not by this.
const TRIES_MAX: u32 = 64;

/// The address space that an SVA attachment shares.
///
/// # Safety
///
/// The attachment's domain is a live SVA domain and its handle that of a live bond.
pub(crate) unsafe fn space_of(attachment: Attachment) -> SvaSpace {
    // SAFETY: A bond's handle.
    let bond = unsafe { bond_of(attachment.handle) };
    // SAFETY: The domain holds the mm_struct; a reference of our own is counted here.
    let mm = unsafe { Mm::from_raw(bindings::iopf_rust_domain_mm(attachment.domain)) };
    SvaSpace {
        mm: mm.into(),
        mm_data: bond.mm_data,
        bond: bond.data.clone(),
        attachment,
    }
}

/// Handles the requests of one group.
pub(crate) struct Populate<'a> {
    param: &'a FaultParam,
    may_wait: bool,
}

impl<'a> Populate<'a> {
    /// A handler that may wait for a user, or defers what has to.
    pub(crate) fn new(param: &'a FaultParam, may_wait: bool) -> Self {
        Self { param, may_wait }
    }
}

/// What a waiting fault looks at, from a timer.
struct Waiting<'a> {
    space: &'a SvaSpace,
    param: &'a FaultParam,
    mm: *mut bindings::mm_struct,
    until_ns: u64,
}

impl<'a> Waiting<'a> {
    fn begin(space: &'a SvaSpace, param: &'a FaultParam, mm: *mut bindings::mm_struct) -> Self {
        // SAFETY: Reads a clock and a parameter.
        let until_ns = unsafe {
            bindings::iopf_rust_now_ns() + u64::from(bindings::iopf_rust_uffd_wait_ms()) * 1_000_000
        };
        Self {
            space,
            param,
            mm,
            until_ns,
        }
    }

    /// Atomics and a clock: called from a timer.
    fn is_over(&self) -> bool {
        // SAFETY: A fault that waits holds mm_users.
        let (users, now) = unsafe {
            (
                bindings::iopf_rust_mm_users(self.mm),
                bindings::iopf_rust_now_ns(),
            )
        };
        let faulting = self.space.mm_data().faulting.load(ordering::Relaxed);
        self.space.bond.is_ending()
            || self.param.is_removing()
            || users <= faulting
            || now >= self.until_ns
    }
}

/// # Safety
///
/// `waiting` is what [`Populate::fault`] passed on, which is still there.
#[export]
pub(crate) unsafe extern "C" fn iopf_rust_wait_over(waiting: *mut c_void) -> bool {
    // SAFETY: The caller's.
    unsafe { &*waiting.cast::<Waiting<'_>>() }.is_over()
}

/// mm_users, for the time of a fault.
struct Users<'a> {
    mm: *mut bindings::mm_struct,
    data: &'a MmData,
}

impl<'a> Users<'a> {
    fn get(space: &'a SvaSpace) -> Option<Self> {
        let mm = space.mm.as_raw();
        // SAFETY: The space holds the mm_struct.
        if !unsafe { bindings::mmget_not_zero(mm) } {
            return None;
        }
        let data = space.mm_data();
        data.faulting.fetch_add(1, ordering::Relaxed);
        Some(Self { mm, data })
    }
}

impl Drop for Users<'_> {
    fn drop(&mut self) {
        self.data.faulting.fetch_sub(1, ordering::Relaxed);
        // Not here: tearing an mm down calls IOMMU drivers, which may flush the queue this runs on.
        // SAFETY: Counted in `get`.
        unsafe { bindings::mmput_async(self.mm) };
    }
}

/// How one look at the mm ended. The mmap lock is released.
enum Look {
    Done,
    Again,
    Not(Unresolved),
}

impl FaultHandler<SvaSpace> for Populate<'_> {
    fn populate(&mut self, space: &SvaSpace, request: &PageRequest) -> Result<(), Unresolved> {
        let users = Users::get(space).ok_or(Unresolved::Invalid)?;
        let waiting = self
            .may_wait
            .then(|| Waiting::begin(space, self.param, users.mm));
        for tried in 0..TRIES_MAX {
            match look(space, users.mm, request, waiting.as_ref(), tried > 0) {
                Look::Done => return Ok(()),
                Look::Not(unresolved) => return Err(unresolved),
                Look::Again if waiting.as_ref().is_some_and(Waiting::is_over) => {
                    space.bond.waits_over.fetch_add(1, Ordering::Relaxed);
                    return Err(Unresolved::Invalid);
                }
                Look::Again => {}
            }
        }
        Err(Unresolved::Invalid)
    }
}

/// Looks for the page, and makes it present. Without `waiting`, what has to wait is deferred.
fn look(
    space: &SvaSpace,
    mm: *mut bindings::mm_struct,
    request: &PageRequest,
    waiting: Option<&Waiting<'_>>,
    again: bool,
) -> Look {
    let addr = request.address() as usize;
    // SAFETY: mm_users is held.
    unsafe { bindings::mmap_read_lock(mm) };
    // SAFETY: Locked.
    let vma = unsafe { bindings::vma_lookup(mm, addr) };
    // SAFETY: Locked, and found, and used only here.
    if vma.is_null() || !allows(unsafe { VmaRef::from_raw(vma) }, request.access()) {
        // SAFETY: Locked above.
        unsafe { bindings::mmap_read_unlock(mm) };
        return Look::Not(Unresolved::Invalid);
    }
    // SAFETY: Locked, and found.
    let waits = unsafe { bindings::iopf_rust_vma_waits(vma) };
    if waits && waiting.is_none() {
        space.bond.waits.fetch_add(1, Ordering::Relaxed);
        // SAFETY: Locked above.
        unsafe { bindings::mmap_read_unlock(mm) };
        return Look::Not(Unresolved::Deferred);
    }
    let mut flags = fault_flags(request) | bindings::fault_flag_FAULT_FLAG_ALLOW_RETRY;
    if again {
        flags |= bindings::fault_flag_FAULT_FLAG_TRIED;
    }
    let ret = match waiting.filter(|_| waits) {
        Some(waiting) => {
            let waiting = ptr::from_ref(waiting).cast_mut().cast::<c_void>();
            // SAFETY: Locked; `waiting` outlives the call, and its timer ends with it.
            unsafe { bindings::iopf_rust_fault_waiting(vma, addr, flags, waiting) }
        }
        // SAFETY: Locked, and found.
        None => unsafe { bindings::handle_mm_fault(vma, addr, flags, ptr::null_mut()) },
    };
    // Either of these says that the lock is released.
    if ret & bindings::vm_fault_reason_VM_FAULT_COMPLETED != 0 {
        return Look::Done;
    }
    if ret & bindings::vm_fault_reason_VM_FAULT_RETRY != 0 {
        return Look::Again;
    }
    let failed = ret & VM_FAULT_ERROR != 0;
    if !failed && !waits {
        around(space, vma, request);
    }
    // SAFETY: Locked above, and neither answer says it is not.
    unsafe { bindings::mmap_read_unlock(mm) };
    if failed {
        Look::Not(Unresolved::Invalid)
    } else {
        Look::Done
    }
}

const VM_FAULT_ERROR: bindings::vm_fault_t = bindings::vm_fault_reason_VM_FAULT_OOM
    | bindings::vm_fault_reason_VM_FAULT_SIGBUS
    | bindings::vm_fault_reason_VM_FAULT_SIGSEGV
    | bindings::vm_fault_reason_VM_FAULT_HWPOISON
    | bindings::vm_fault_reason_VM_FAULT_HWPOISON_LARGE
    | bindings::vm_fault_reason_VM_FAULT_FALLBACK;

pub(crate) fn fault_flags(request: &PageRequest) -> u32 {
    let mut flags = bindings::fault_flag_FAULT_FLAG_REMOTE;
    if request.access().contains(Access::WRITE) {
        flags |= bindings::fault_flag_FAULT_FLAG_WRITE;
    }
    if request.access().contains(Access::EXEC) {
        flags |= bindings::fault_flag_FAULT_FLAG_INSTRUCTION;
    }
    if !request.is_privileged() {
        flags |= bindings::fault_flag_FAULT_FLAG_USER;
    }
    flags
}

/// Whether the mapping may be accessed so.
fn allows(vma: &VmaRef, access: Access) -> bool {
    [
        (Access::READ, flags::READ),
        (Access::WRITE, flags::WRITE),
        (Access::EXEC, flags::EXEC),
    ]
    .into_iter()
    .all(|(bit, flag)| !access.contains(bit) || vma.flags() & flag != 0)
}

/// Makes neighbours present that the device is likely to ask for next: none unless its faults are a
/// walk. They are in the same mapping, so what the fault may do, they may. Never waits and never
/// reclaims for them: without memory to spare there are none.
fn around(space: &SvaSpace, vma: *mut bindings::vm_area_struct, request: &PageRequest) {
    // SAFETY: Reads a parameter.
    let pages_max =
        u64::from(unsafe { bindings::iopf_rust_around_kb() }) / (PAGE_SIZE as u64 / 1024);
    // SAFETY: The caller holds the mmap lock.
    if pages_max < 2 || !unsafe { bindings::iopf_rust_vma_around(vma) } {
        return;
    }
    // SAFETY: As above.
    let mapping = unsafe { VmaRef::from_raw(vma) };
    let (start, end) = (mapping.start(), mapping.end());
    let page = request.address() >> PAGE_SHIFT;
    let limit = start as u64 >> PAGE_SHIFT..end as u64 >> PAGE_SHIFT;
    let given = space.bond.around.with(|around| {
        around.set_pages_max(pages_max);
        around.fault(page, limit)
    });
    if given.end - given.start < 2 {
        return;
    }
    // SAFETY: Reads counters.
    let done = if unsafe { bindings::iopf_rust_memory_to_spare((given.end - given.start) as usize) }
    {
        ahead(vma, &given, page, fault_flags(request))
    } else {
        space.bond.no_memory.fetch_add(1, Ordering::Relaxed);
        page..page + 1
    };
    space
        .bond
        .around
        .with(|around| around.populated(&given, done));
}

/// What of `given` is present when this is done: around `page`, up to the first on either side that
/// cannot be had.
fn ahead(
    vma: *mut bindings::vm_area_struct,
    given: &Range<u64>,
    page: u64,
    flags: u32,
) -> Range<u64> {
    let flags = flags
        | bindings::fault_flag_FAULT_FLAG_ALLOW_RETRY
        | bindings::fault_flag_FAULT_FLAG_RETRY_NOWAIT;
    let not_had = |page: &u64| {
        // SAFETY: The mmap lock is held, and stays so: RETRY_NOWAIT.
        let ret = unsafe {
            bindings::handle_mm_fault(vma, (*page << PAGE_SHIFT) as usize, flags, ptr::null_mut())
        };
        ret & (VM_FAULT_ERROR | bindings::vm_fault_reason_VM_FAULT_RETRY) != 0
    };
    let end = (page + 1..given.end).find(not_had).unwrap_or(given.end);
    let start = (given.start..page)
        .rev()
        .find(not_had)
        .map_or(given.start, |page| page + 1);
    start..end
}
