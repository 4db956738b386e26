// SPDX-License-Identifier: GPL-2.0

//! The fault queue: from a page request to its handler, and devices coming and going.

use super::attach::{errno, misuse, GroupTable};
use super::groups::{iopf_free_group, iopf_group_response, Group};
use super::param::FaultParam;
use super::platform::{tag, Attachment, Kernel};
use super::sva_core::{
    Access, AnyRef, Code, FaultGroup, GroupIndex, PageRequest, PasidNumber, Peek, Reason, Refused,
};
use super::worker::SvaWork;
use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering};
use kernel::bindings;
use kernel::ffi::{c_char, c_int, c_void};
use kernel::prelude::*;
use kernel::sync::{new_mutex, Arc, Mutex};
use kernel::workqueue::Queue;

/// `struct iopf_queue`. Drivers hold the pointer and look no further.
#[pin_data(PinnedDrop)]
pub(crate) struct FaultQueue {
    /// Unordered: requests within a group are in order, groups need not be.
    work: *mut bindings::workqueue_struct,
    /// For groups that wait for somebody in user space, so that nobody else waits with them.
    waiting: *mut bindings::workqueue_struct,
    #[pin]
    devices: Mutex<KVec<Arc<FaultParam>>>,
}

impl FaultQueue {
    pub(crate) fn work(&self) -> &Queue {
        // SAFETY: Allocated in `iopf_queue_alloc`, destroyed with the value.
        unsafe { Queue::from_raw(self.work) }
    }

    pub(crate) fn waiting(&self) -> &Queue {
        // SAFETY: As above.
        unsafe { Queue::from_raw(self.waiting) }
    }
}

#[pinned_drop]
impl PinnedDrop for FaultQueue {
    fn drop(self: Pin<&mut Self>) {
        for wq in [self.work, self.waiting] {
            if !wq.is_null() {
                // SAFETY: Allocated in `iopf_queue_alloc`, and no device is left to queue anything.
                unsafe { bindings::destroy_workqueue(wq) };
            }
        }
    }
}

/// What a driver says a request is, in the core's words.
pub(crate) fn request(prm: &bindings::iommu_fault_page_request) -> Option<PageRequest> {
    let with_pasid = prm.flags & bindings::IOMMU_FAULT_PAGE_REQUEST_PASID_VALID != 0;
    let pasid = if with_pasid {
        PasidNumber::new(prm.pasid)?
    } else {
        PasidNumber::NONE
    };
    let mut access = Access::NONE;
    for (flag, bit) in [
        (bindings::IOMMU_FAULT_PERM_READ, Access::READ),
        (bindings::IOMMU_FAULT_PERM_WRITE, Access::WRITE),
        (bindings::IOMMU_FAULT_PERM_EXEC, Access::EXEC),
    ] {
        if prm.perm & flag != 0 {
            access = access | bit;
        }
    }
    if access.is_none() {
        // A stop marker looks like this, and drivers drop those: whoever sends it wants an answer.
        access = Access::READ;
    }
    let last = prm.flags & bindings::IOMMU_FAULT_PAGE_REQUEST_LAST_PAGE != 0;
    let privileged = prm.perm & bindings::IOMMU_FAULT_PERM_PRIV != 0;
    let request = PageRequest::new(pasid, GroupIndex(prm.grpid), prm.addr, access);
    Some(
        request
            .with_last(last)
            .with_privileged(privileged)
            .with_tag(tag(prm)),
    )
}

/// Answers a request that has no fault path to be answered through.
///
/// # Safety
///
/// `dev` is live and its driver has `page_response`.
unsafe fn answer_invalid(dev: *mut bindings::device, prm: &bindings::iommu_fault_page_request) {
    let code = bindings::iommu_page_response_code_IOMMU_PAGE_RESP_INVALID;
    // SAFETY: The caller's contract.
    unsafe { bindings::iopf_rust_page_response(dev, prm.flags, prm.pasid, prm.grpid, code) };
}

/// Takes a page request. Incomplete groups are kept, complete ones go to the handler of what is
/// attached at their PASID. If it is not taken, it was answered, or its group will be when it is
/// complete.
///
/// # Safety
///
/// `dev` is live and `evt` a fault of it. May sleep.
#[export]
pub(crate) unsafe extern "C" fn iommu_report_device_fault(
    dev: *mut bindings::device,
    evt: *mut bindings::iopf_fault,
) -> c_int {
    // SAFETY: The caller's, for the length of this call.
    let fault = unsafe { &(*evt).fault };
    let prm = &fault.prm;
    // SAFETY: `dev` is live.
    let param = unsafe { FaultParam::of(dev) };
    let (Some(param), Some(request)) = (param, request(prm)) else {
        // SAFETY: `dev` is live.
        if unsafe { is_handled_without_queue(dev, prm) } {
            misuse(c"faults are handled at a pasid of a device that has no fault queue");
        }
        if fault.type_ == bindings::iommu_fault_type_IOMMU_FAULT_PAGE_REQ {
            // SAFETY: `dev` is live and reported a page request.
            unsafe { answer_invalid(dev, prm) };
        }
        return EINVAL.to_errno();
    };
    let fallback =
        (param.diverts && request.pasid() != PasidNumber::NONE).then_some(PasidNumber::NONE);
    match param.reporter.receive(request, fallback) {
        Ok(None) => 0,
        Ok(Some(group)) => errno(deliver(param, group)),
        Err(refused) => refuse(&param, prm, refused),
    }
}

/// Whether a fault handler is attached where the request would go, although the device has no fault
/// queue. A device gets its queue before a handler is published, and loses it after the handler is
/// closed: seen together, under the lock that the queue changes under, there is never one alone.
///
/// # Safety
///
/// `dev` is live.
unsafe fn is_handled_without_queue(
    dev: *mut bindings::device,
    prm: &bindings::iommu_fault_page_request,
) -> bool {
    // SAFETY: `dev` is live, and so is its group.
    let table = unsafe { GroupTable::find(bindings::iopf_rust_dev_group(dev)) };
    let number = request(prm).map(|request| request.pasid());
    let (Some(table), Some(number)) = (table, number) else {
        return false;
    };
    // SAFETY: `dev` is live.
    unsafe { bindings::iopf_rust_param_lock(dev) };
    // SAFETY: Locked.
    let has_queue = unsafe { !(*bindings::iopf_rust_param(dev)).is_null() };
    let has_handler = table
        .pasids
        .peek(number, |peek| matches!(peek, Peek::Sva(_) | Peek::User(_)));
    // SAFETY: Locked above.
    unsafe { bindings::iopf_rust_param_unlock(dev) };
    has_handler && !has_queue
}

fn refuse(param: &FaultParam, prm: &bindings::iommu_fault_page_request, refused: Refused) -> c_int {
    let (why, result) = match refused.reason {
        Reason::PartialLost => (c"no room for a partial request", ENOMEM.to_errno()),
        Reason::GroupLost => (c"an earlier request of its group was lost", 0),
        Reason::QueueFull { .. } => (c"too many groups in flight", 0),
        Reason::Unattached(_) => return EINVAL.to_errno(),
        _ => (c"the device is being removed", EINVAL.to_errno()),
    };
    // SAFETY: The parameter holds the device; the string lives for ever.
    unsafe { bindings::iopf_rust_warn_aborted(param.dev(), prm.pasid, why.as_char_ptr()) };
    result
}

/// Gives a complete group to the handler of what is attached.
fn deliver(param: Arc<FaultParam>, group: FaultGroup<Kernel>) -> Result {
    let attachment = match group.handle() {
        Some(AnyRef::Sva(_)) => {
            SvaWork::submit(param, group);
            return Ok(());
        }
        Some(AnyRef::User(handle)) => *handle.payload(),
        _ => {
            group.respond(Code::Invalid);
            return Err(EINVAL);
        }
    };
    // A handler that keeps groups is told by its owner to let go of them after a detach: it must
    // have all by then.
    let _delivery = param.table.delivery.lock();
    if matches!(group.handle(), Some(AnyRef::User(handle)) if handle.is_ending()) {
        group.respond(Code::Invalid);
    } else {
        hand_over(&param, group, attachment);
    }
    Ok(())
}

fn hand_over(param: &Arc<FaultParam>, group: FaultGroup<Kernel>, attachment: Attachment) {
    let pasid = group.pasid().value();
    let Some(group) = Group::deposit(param, group, attachment) else {
        return;
    };
    let group = Group::into_c(group);
    // SAFETY: Attached while the group holds its reference, and checked when it was attached.
    let refused = match unsafe { (*attachment.domain).iopf_handler } {
        // SAFETY: From here on the group is the handler's, unless it refuses.
        Some(handler) => unsafe { handler(group) != 0 },
        None => true,
    };
    if refused {
        // SAFETY: The device is held; the string lives for ever.
        unsafe {
            bindings::iopf_rust_warn_aborted(
                param.dev(),
                pasid,
                c"its handler refused".as_char_ptr(),
            )
        };
        // SAFETY: Refused: still ours.
        unsafe {
            iopf_group_response(
                group,
                bindings::iommu_page_response_code_IOMMU_PAGE_RESP_FAILURE,
            )
        };
        // SAFETY: As above.
        unsafe { iopf_free_group(group) };
    }
}

/// Returns once the groups reported so far are answered, but those of handlers in user space. Those
/// that wait for a userfaultfd handler end with their bond, and are waited for there.
///
/// # Safety
///
/// `dev` is live and has a fault queue.
#[export]
pub(crate) unsafe extern "C" fn iopf_queue_flush_dev(dev: *mut bindings::device) -> c_int {
    // SAFETY: `dev` is live.
    let Some(param) = (unsafe { FaultParam::of(dev) }) else {
        misuse(c"a device without a fault queue was flushed");
        return ENODEV.to_errno();
    };
    // SAFETY: The queue outlives its devices.
    unsafe { bindings::iopf_rust_flush_queue(param.queue().work) };
    0
}

/// The hardware's queue overflowed: the requests that would complete groups may be lost. Each is
/// answered and counted.
///
/// # Safety
///
/// `queue` is null or a live queue.
#[export]
pub(crate) unsafe extern "C" fn iopf_queue_discard_partial(
    queue: *mut bindings::iopf_queue,
) -> c_int {
    if queue.is_null() {
        return EINVAL.to_errno();
    }
    // SAFETY: The caller's, made by `iopf_queue_alloc`.
    let queue = unsafe { &*queue.cast::<FaultQueue>() };
    for param in queue.devices.lock().iter() {
        param.discard_partials();
    }
    0
}

/// # Safety
///
/// `queue` and `dev` are live, and the queue outlives the device's use of it.
#[export]
pub(crate) unsafe extern "C" fn iopf_queue_add_device(
    queue: *mut bindings::iopf_queue,
    dev: *mut bindings::device,
) -> c_int {
    // SAFETY: `dev` is live.
    if !unsafe { bindings::iopf_rust_has_page_response(dev) } {
        return ENODEV.to_errno();
    }
    // SAFETY: The caller's, made by `iopf_queue_alloc`.
    let queue = unsafe { &*queue.cast::<FaultQueue>() };
    // SAFETY: The caller's contract.
    errno(unsafe { add(queue, dev) })
}

/// # Safety
///
/// As [`iopf_queue_add_device`].
unsafe fn add(queue: &FaultQueue, dev: *mut bindings::device) -> Result {
    // SAFETY: `dev` is live.
    if unsafe { FaultParam::of(dev) }.is_some() {
        return Err(EBUSY);
    }
    // SAFETY: The caller's contract.
    let param = unsafe { FaultParam::try_new(dev, queue) }?;
    let mut devices = queue.devices.lock();
    devices.reserve(1, GFP_KERNEL)?;
    let raw = param.clone().into_raw().cast_mut().cast::<c_void>();
    // SAFETY: `dev` is live.
    if !unsafe { exchange(dev, ptr::null_mut(), raw) } {
        // SAFETY: `into_raw` above; nobody has seen it.
        drop(unsafe { Arc::<FaultParam>::from_raw(raw.cast_const().cast()) });
        return Err(EBUSY);
    }
    devices.push(param, GFP_KERNEL)?;
    Ok(())
}

/// Replaces the device's fault path, if it is `old`.
///
/// # Safety
///
/// `dev` is live and has an IOMMU.
unsafe fn exchange(dev: *mut bindings::device, old: *mut c_void, new: *mut c_void) -> bool {
    // SAFETY: `dev` is live.
    unsafe { bindings::iopf_rust_param_lock(dev) };
    // SAFETY: Locked; a field of the live device, only ever used as an atomic.
    let slot = unsafe { AtomicPtr::from_ptr(bindings::iopf_rust_param(dev)) };
    let is_old = slot.load(Ordering::Relaxed) == old;
    if is_old {
        slot.store(new, Ordering::Release);
    }
    // SAFETY: Locked above.
    unsafe { bindings::iopf_rust_param_unlock(dev) };
    is_old
}

/// Ends a device's use of the queue: no request is taken any more, whoever has a group of it, it is
/// answered (invalid) or waited for. When this returns, the device is not spoken to again.
///
/// # Safety
///
/// `queue` and `dev` are live.
#[export]
pub(crate) unsafe extern "C" fn iopf_queue_remove_device(
    queue: *mut bindings::iopf_queue,
    dev: *mut bindings::device,
) {
    // SAFETY: The caller's, made by `iopf_queue_alloc`.
    let queue = unsafe { &*queue.cast::<FaultQueue>() };
    // SAFETY: `dev` is live.
    let param = unsafe { FaultParam::of(dev) };
    let Some(param) = param.filter(|param| ptr::eq(param.queue, queue)) else {
        return misuse(c"a device was removed from a fault queue it is not in");
    };
    let raw = Arc::as_ptr(&param).cast_mut().cast::<c_void>();
    // SAFETY: `dev` is live.
    if !unsafe { exchange(dev, raw, ptr::null_mut()) } {
        return misuse(c"a device was removed from a fault queue twice");
    }
    // SAFETY: May sleep. Whoever found it has counted a reference of its own after this.
    unsafe { bindings::synchronize_rcu() };
    // SAFETY: The reference that the device had.
    drop(unsafe { Arc::<FaultParam>::from_raw(raw.cast_const().cast()) });
    queue
        .devices
        .lock()
        .retain(|other| !Arc::ptr_eq(other, &param));
    param.remove();
}

/// Makes a queue named after `name`. Null when there is no memory.
///
/// # Safety
///
/// `name` is a string.
#[export]
pub(crate) unsafe extern "C" fn iopf_queue_alloc(name: *const c_char) -> *mut bindings::iopf_queue {
    // SAFETY: Strings.
    let work = unsafe { bindings::iopf_rust_alloc_queue(c"iopf_queue".as_char_ptr(), name) };
    // SAFETY: Strings.
    let waiting = unsafe { bindings::iopf_rust_alloc_queue(c"iopf_wait".as_char_ptr(), name) };
    let devices = new_mutex!(KVec::new(), "iopf::devices");
    let queue = KBox::pin_init(
        pin_init!(FaultQueue { work, waiting, devices <- devices }),
        GFP_KERNEL,
    );
    match queue {
        Ok(queue) if !work.is_null() && !waiting.is_null() => {
            // SAFETY: It stays where it is: only `iopf_queue_free` takes it back, into a box.
            KBox::into_raw(unsafe { Pin::into_inner_unchecked(queue) }).cast()
        }
        Ok(_) => ptr::null_mut(),
        Err(_) => {
            for wq in [work, waiting] {
                if !wq.is_null() {
                    // SAFETY: Allocated above, empty.
                    unsafe { bindings::destroy_workqueue(wq) };
                }
            }
            ptr::null_mut()
        }
    }
}

/// # Safety
///
/// `queue` is null or the caller's, and nobody uses it any more.
#[export]
pub(crate) unsafe extern "C" fn iopf_queue_free(queue: *mut bindings::iopf_queue) {
    if queue.is_null() {
        return;
    }
    loop {
        // SAFETY: The caller's, made by `iopf_queue_alloc`.
        let devices = unsafe { &(*queue.cast::<FaultQueue>()).devices };
        let device = devices.lock().last().map(|param| param.dev());
        let Some(device) = device else { break };
        // SAFETY: The parameter holds the device until this returns.
        unsafe { iopf_queue_remove_device(queue, device) };
        // Whatever that found: this one is done with.
        devices.lock().retain(|param| param.dev() != device);
    }
    // SAFETY: `iopf_queue_alloc` made it. A work that is running holds no device any more.
    drop(unsafe { KBox::from_raw(queue.cast::<FaultQueue>()) });
}
