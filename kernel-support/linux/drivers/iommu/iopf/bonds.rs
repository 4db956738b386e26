// SPDX-License-Identifier: GPL-2.0

//! SVA: bonds between devices and address spaces, and the PASID an mm has for all its devices.
//!
//! Everything here is under `iommu_sva_lock`, but what [`BondData`] says is not. A bond (`struct
//! iommu_sva`) belongs to its users, counted; its attachment to `group->pasid_array`. A domain
//! holds a count on the mm (mm_count) until it is freed, and so does every attachment, so whatever
//! faults has an `mm_struct` to look at. The memory itself nobody holds but a fault being handled.

use super::attach::{iommu_attach_device_pasid, iommu_detach_device_pasid, GroupTable};
use super::sva_core::{
    env::{Lock as _, Rank},
    Busy, FaultAround, Holder, PasidNumber, Sva,
};
use core::cell::UnsafeCell;
use core::ptr::NonNull;
use core::sync::atomic::AtomicU64;
use kernel::bindings;
use kernel::error::from_err_ptr;
use kernel::ffi::{c_int, c_ulong, c_void};
use kernel::prelude::*;
use kernel::seq_file::SeqFile;
use kernel::seq_print;
use kernel::sync::atomic::{ordering, Atomic};
use kernel::sync::Arc;

/// How many walks through memory one bond's fault-around tells apart.
pub(crate) const WALKS: usize = 4;

/// What a bond's faults share. Read and written by workers, without any lock but `around`'s own.
pub(crate) struct BondData {
    pub(crate) around: super::env::Lock<FaultAround<WALKS>>,
    /// The bond is ending: whoever waits for somebody, stops.
    ending: Atomic<u32>,
    /// Windows that were not tried for want of memory.
    pub(crate) no_memory: AtomicU64,
    /// Faults that waited for a userfaultfd handler, and those that gave up.
    pub(crate) waits: AtomicU64,
    pub(crate) waits_over: AtomicU64,
}

impl BondData {
    fn try_new() -> Result<Arc<Self>> {
        let new = Self {
            around: super::env::Lock::try_new(FaultAround::new(1), Rank::Leaf)
                .map_err(|_| ENOMEM)?,
            ending: Atomic::new(0),
            no_memory: AtomicU64::new(0),
            waits: AtomicU64::new(0),
            waits_over: AtomicU64::new(0),
        };
        Ok(Arc::new(new, GFP_KERNEL)?)
    }

    pub(crate) fn end(&self) {
        self.ending.store(1, ordering::Release);
    }

    pub(crate) fn is_ending(&self) -> bool {
        self.ending.load(ordering::Acquire) != 0
    }
}

/// `struct iommu_sva`, with what is behind it. Callers hold the pointer and look no further.
#[repr(C)]
pub(crate) struct Bond {
    sva: bindings::iommu_sva,
    users: usize,
    pasid: u32,
    pub(crate) mm_data: *const MmData,
    pub(crate) data: Arc<BondData>,
}

/// An SVA domain of an mm, and the bonds that share it.
struct Domain {
    domain: NonNull<bindings::iommu_domain>,
    users: usize,
}

/// `mm->iommu_mm`, with what is behind it. C reads the PASID.
#[repr(C)]
pub(crate) struct MmData {
    data: bindings::iommu_mm_data,
    domains: KVec<Domain>,
    /// mm_users that faults hold at this moment: when there are no others, the mm has ended but for
    /// them.
    pub(crate) faulting: Atomic<i32>,
}

struct Bonds {
    /// Those with a domain.
    mms: KVec<NonNull<MmData>>,
    bonds: KVec<NonNull<Bond>>,
}

struct Locked(UnsafeCell<Bonds>);

// SAFETY: Only reached through `locked`, which holds `iommu_sva_lock`.
unsafe impl Sync for Locked {}

static BONDS: Locked = Locked(UnsafeCell::new(Bonds {
    mms: KVec::new(),
    bonds: KVec::new(),
}));

/// Runs `body` under `iommu_sva_lock`. Not reentrant.
fn locked<R>(body: impl FnOnce(&mut Bonds) -> R) -> R {
    // SAFETY: A static mutex, unlocked below.
    unsafe { bindings::iopf_rust_sva_lock() };
    // SAFETY: The lock is held, and nobody else makes a reference.
    let result = body(unsafe { &mut *BONDS.0.get() });
    // SAFETY: Locked above.
    unsafe { bindings::iopf_rust_sva_unlock() };
    result
}

/// The mm's PASID, allocated if it has none. Under `iommu_sva_lock`.
///
/// # Safety
///
/// `mm` and `dev` are live.
unsafe fn mm_data(
    mm: *mut bindings::mm_struct,
    dev: *mut bindings::device,
) -> Result<NonNull<MmData>> {
    // SAFETY: `mm` is live.
    if !unsafe { bindings::iopf_rust_dma_compat(mm) } {
        return Err(EBUSY);
    }
    // SAFETY: `mm` is live.
    if let Some(data) = NonNull::new(unsafe { bindings::iopf_rust_mm_data(mm) }) {
        // SAFETY: Freed with the mm; `dev` is live.
        let fits = unsafe { data.as_ref().pasid < bindings::iopf_rust_dev_max_pasids(dev) };
        return if fits {
            Ok(data.cast())
        } else {
            Err(EOVERFLOW)
        };
    }
    let place = KBox::<MmData>::new_uninit(GFP_KERNEL)?;
    // SAFETY: `dev` is live.
    let pasid = unsafe { bindings::iommu_alloc_global_pasid(dev) };
    if pasid == bindings::IOMMU_PASID_INVALID as u32 {
        return Err(ENOSPC);
    }
    let data = bindings::iommu_mm_data {
        pasid,
        mm,
        ..Default::default()
    };
    let new = KBox::write(
        place,
        MmData {
            data,
            domains: KVec::new(),
            faulting: Atomic::new(0),
        },
    );
    let raw = KBox::into_raw(new);
    // SAFETY: `mm` is live and has none; `MmData` begins with what C sees. `mm_pasid_drop` frees
    // it.
    unsafe { bindings::iopf_rust_publish_mm_data(mm, raw.cast()) };
    NonNull::new(raw).ok_or(ENOMEM)
}

/// Binds an address space to a device, or takes another reference on the bond there is.
///
/// The PASID may be free, ours (attached for SVA, to this very mm), or busy. Busy ends the bind,
/// with a message that names the device, the PASID and what holds it.
///
/// # Safety
///
/// `dev` is live and has a probed driver; the caller holds a reference on mm_users of `mm`.
#[export]
pub(crate) unsafe extern "C" fn iommu_sva_bind_device(
    dev: *mut bindings::device,
    mm: *mut bindings::mm_struct,
) -> *mut bindings::iommu_sva {
    // SAFETY: The caller's contract.
    match locked(|bonds| unsafe { bind(bonds, dev, mm) }) {
        Ok(bond) => bond.as_ptr().cast(),
        Err(error) => error.to_ptr(),
    }
}

/// # Safety
///
/// As [`iommu_sva_bind_device`], under the lock.
unsafe fn bind(
    bonds: &mut Bonds,
    dev: *mut bindings::device,
    mm: *mut bindings::mm_struct,
) -> Result<NonNull<Bond>> {
    // SAFETY: `dev` is live.
    let group = unsafe { bindings::iopf_rust_dev_group(dev) };
    if group.is_null() {
        return Err(ENODEV);
    }
    // SAFETY: Both are live.
    let mut mm_data = unsafe { mm_data(mm, dev) }?;
    // SAFETY: Freed with the mm.
    let pasid = unsafe { mm_data.as_ref() }.data.pasid;
    let number = PasidNumber::new(pasid).ok_or(EINVAL)?;
    // SAFETY: A device with a driver keeps its group.
    let table = unsafe { GroupTable::of(group) }?;
    let ours = table
        .pasids
        .lookup::<Sva>(number, &(mm as usize))
        .map_err(|busy| refuse(dev, busy))?;
    if let Some(handle) = ours {
        let bond = NonNull::new(handle.payload().attachment.handle.cast::<Bond>()).ok_or(EINVAL)?;
        // SAFETY: The handle of an SVA attachment begins a bond, attached, hence live, while the
        // lock is held.
        unsafe { (*bond.as_ptr()).users += 1 };
        return Ok(bond);
    }
    // Room first: nothing may fail once the hardware is programmed.
    bonds.bonds.reserve(1, GFP_KERNEL)?;
    bonds.mms.reserve(1, GFP_KERNEL)?;
    // SAFETY: Freed with the mm; `domains` is under the lock.
    unsafe { mm_data.as_mut() }.domains.reserve(1, GFP_KERNEL)?;
    let sva = bindings::iommu_sva {
        dev,
        ..Default::default()
    };
    let data = BondData::try_new()?;
    let new = Bond {
        sva,
        users: 1,
        pasid,
        mm_data: mm_data.as_ptr(),
        data,
    };
    let bond = NonNull::new(KBox::into_raw(KBox::new(new, GFP_KERNEL)?)).ok_or(ENOMEM)?;
    // SAFETY: All live; the bond is ours.
    if let Err(error) = unsafe { attach(bonds, dev, mm, mm_data, bond) } {
        // SAFETY: Not attached: ours alone.
        drop(unsafe { KBox::from_raw(bond.as_ptr()) });
        return Err(error);
    }
    bonds.bonds.push(bond, GFP_KERNEL)?;
    Ok(bond)
}

fn refuse(dev: *mut bindings::device, busy: Busy) -> Error {
    let holder = match busy.holder {
        Holder::Claimed => c"a claim",
        Holder::Reserved => c"an attach in progress",
        Holder::Sva => c"another address space",
        Holder::User => c"a user-space fault handler",
        Holder::Paging => c"a paging domain",
        Holder::Detaching => c"a detach in progress",
    };
    // SAFETY: The device is live, and the string for ever.
    unsafe { bindings::iopf_rust_warn_busy(dev, busy.pasid.value(), holder.as_char_ptr()) };
    EBUSY
}

/// Attaches a domain of the mm: one it has that the device can use, else a new one.
///
/// # Safety
///
/// All are live, under the lock; there is room in the lists.
unsafe fn attach(
    bonds: &mut Bonds,
    dev: *mut bindings::device,
    mm: *mut bindings::mm_struct,
    mut mm_data: NonNull<MmData>,
    bond: NonNull<Bond>,
) -> Result {
    // SAFETY: Under the lock, nobody else uses the list.
    let mm_data_mut = unsafe { mm_data.as_mut() };
    let pasid = mm_data_mut.data.pasid;
    let handle = bond.as_ptr().cast::<bindings::iommu_attach_handle>();
    for known in &mut mm_data_mut.domains {
        // SAFETY: A domain of the list is live; the handle begins the bond.
        let attached =
            unsafe { iommu_attach_device_pasid(known.domain.as_ptr(), dev, pasid, handle) };
        if attached == 0 {
            known.users += 1;
            return Ok(());
        }
        // Another device's domain: try the next. Everything else ends the bind.
        if attached != EINVAL.to_errno() {
            return Err(Error::from_errno(attached));
        }
    }
    // SAFETY: Device and mm are live.
    let domain = from_err_ptr(unsafe { bindings::iopf_rust_sva_domain_alloc(dev, mm) })?;
    let domain = NonNull::new(domain).ok_or(ENOMEM)?;
    // SAFETY: As above.
    let attached = unsafe { iommu_attach_device_pasid(domain.as_ptr(), dev, pasid, handle) };
    if attached != 0 {
        // SAFETY: Allocated above, attached nowhere.
        unsafe { bindings::iommu_domain_free(domain.as_ptr()) };
        return Err(Error::from_errno(attached));
    }
    if mm_data_mut.domains.is_empty() {
        bonds.mms.push(mm_data, GFP_KERNEL)?;
    }
    mm_data_mut
        .domains
        .push(Domain { domain, users: 1 }, GFP_KERNEL)?;
    Ok(())
}

/// Gives a reference on a bond back. With the last, the bond ends: faults are refused, the driver
/// clears the hardware, and the groups in flight are waited for.
///
/// # Safety
///
/// `handle` is a reference of the caller's on a bond.
#[export]
pub(crate) unsafe extern "C" fn iommu_sva_unbind_device(handle: *mut bindings::iommu_sva) {
    let bond = handle.cast::<Bond>();
    // SAFETY: The caller's reference.
    locked(|bonds| unsafe { unbind(bonds, bond) });
}

/// # Safety
///
/// As [`iommu_sva_unbind_device`], under the lock.
unsafe fn unbind(bonds: &mut Bonds, bond: *mut Bond) {
    // SAFETY: The caller's reference keeps it.
    let (users, pasid, dev, mm_data) = unsafe {
        (*bond).users -= 1;
        (
            (*bond).users,
            (*bond).pasid,
            (*bond).sva.dev,
            (*bond).mm_data.cast_mut(),
        )
    };
    if users > 0 {
        return;
    }
    // SAFETY: The domain holds the mm, which keeps the data; the list is under the lock.
    let domain = unsafe { (*bond).sva.handle.domain };
    // SAFETY: All live: the domain until it is freed below.
    unsafe { iommu_detach_device_pasid(domain, dev, pasid) };
    bonds.bonds.retain(|other| other.as_ptr() != bond);
    // SAFETY: As above.
    let domains = unsafe { &mut (*mm_data).domains };
    if let Some(known) = domains
        .iter_mut()
        .find(|known| known.domain.as_ptr() == domain)
    {
        known.users -= 1;
        if known.users == 0 {
            domains.retain(|known| known.domain.as_ptr() != domain);
            if domains.is_empty() {
                bonds.mms.retain(|other| other.as_ptr() != mm_data);
            }
            // Last: it may hold the last count on the mm, and `mm_data` goes with the mm.
            // SAFETY: Attached nowhere.
            unsafe { bindings::iommu_domain_free(domain) };
        }
    }
    // SAFETY: The last reference, and detached: ours alone.
    drop(unsafe { KBox::from_raw(bond) });
}

/// # Safety
///
/// `handle` is a reference of the caller's on a bond.
#[export]
pub(crate) unsafe extern "C" fn iommu_sva_get_pasid(handle: *mut bindings::iommu_sva) -> u32 {
    // SAFETY: The caller's reference keeps it; the PASID does not change.
    unsafe { (*handle.cast::<Bond>()).pasid }
}

/// The mm is being freed.
///
/// # Safety
///
/// Nobody uses `mm` any more.
#[export]
pub(crate) unsafe extern "C" fn mm_pasid_drop(mm: *mut bindings::mm_struct) {
    // SAFETY: The caller's.
    let data = unsafe { bindings::iopf_rust_mm_data(mm) };
    if data.is_null() {
        return;
    }
    // SAFETY: `mm_data` made it, and nobody uses it any more.
    let data = unsafe { KBox::from_raw(data.cast::<MmData>()) };
    // SAFETY: The mm's own.
    unsafe { bindings::iommu_free_global_pasid(data.data.pasid) };
}

/// Kernel page tables of this range are about to be reused: every IOMMU that walks an mm's tables
/// forgets it.
#[export]
pub(crate) extern "C" fn iommu_sva_invalidate_kva_range(start: c_ulong, end: c_ulong) {
    locked(|bonds| {
        for mm_data in &bonds.mms {
            // SAFETY: In the list, an mm has a domain, which holds it.
            unsafe { bindings::iopf_rust_invalidate(mm_data.as_ref().data.mm, start, end) };
        }
    });
}

/// One line a bond: `/sys/kernel/debug/iommu_iopf/bonds`.
///
/// # Safety
///
/// Called by seq_file.
#[export]
pub(crate) unsafe extern "C" fn iopf_rust_bonds_show(
    m: *mut bindings::seq_file,
    _unused: *mut c_void,
) -> c_int {
    // SAFETY: seq_file's own.
    let m = unsafe { SeqFile::from_raw(m) };
    seq_print!(
        m,
        "# device pasid users groups in_flight success invalid failure overflows pages ahead hits "
    );
    seq_print!(m, "no_memory waits waits_over latency_log2_ns\n");
    locked(|bonds| {
        for bond in &bonds.bonds {
            // SAFETY: In the list until it is unbound, under the lock.
            show(m, unsafe { bond.as_ref() });
        }
    });
    0
}

fn show(m: &SeqFile, bond: &Bond) {
    let load = |counter: &AtomicU64| counter.load(core::sync::atomic::Ordering::Relaxed);
    // SAFETY: A bond's device has a driver and so keeps its group.
    let table = unsafe { GroupTable::find(bindings::iopf_rust_dev_group(bond.sva.dev)) };
    let number = PasidNumber::new(bond.pasid);
    let Some(report) =
        number.and_then(|number| table.and_then(|table| table.pasids.report(number)))
    else {
        return;
    };
    let (data, stats) = (&bond.data, report.stats);
    let around = data.around.with(|around| around.stats());
    // SAFETY: The device is live while bound, and its name does not change.
    let name = unsafe { CStr::from_char_ptr(bindings::iopf_rust_dev_name(bond.sva.dev)) };
    let name = name.to_str().unwrap_or("?");
    seq_print!(
        m,
        "{} {} {} {} {}",
        name,
        bond.pasid,
        bond.users,
        stats.groups,
        report.in_flight
    );
    seq_print!(
        m,
        " {} {} {} {}",
        stats.success,
        stats.invalid,
        stats.failure,
        stats.overflows
    );
    seq_print!(
        m,
        " {} {} {} {}",
        stats.faults,
        around.ahead - around.missed,
        around.hit,
        load(&data.no_memory)
    );
    seq_print!(m, " {} {} ", load(&data.waits), load(&data.waits_over));
    for (bucket, count) in report
        .latency
        .buckets()
        .iter()
        .enumerate()
        .filter(|(_, count)| **count > 0)
    {
        seq_print!(m, "{}:{},", bucket, count);
    }
    seq_print!(m, "\n");
}

/// A handle as the bond it begins.
///
/// # Safety
///
/// `handle` is the handle of a live bond.
pub(crate) unsafe fn bond_of<'a>(handle: *mut bindings::iommu_attach_handle) -> &'a Bond {
    // SAFETY: `Bond` begins with `iommu_sva`, which begins with the handle.
    unsafe { &*handle.cast::<Bond>() }
}
