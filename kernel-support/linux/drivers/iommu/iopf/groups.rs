// SPDX-License-Identifier: GPL-2.0

//! `struct iopf_group`: a group in a fault handler's hands.
//!
//! The handler has a pointer; the group itself lies in the device's ledger, and whoever takes it
//! out first answers it: the handler, or removal of the device. So a handler may answer twice, late
//! or never, and the device hears one answer.

use super::attach::misuse;
use super::param::FaultParam;
use super::platform::{code_from_c, untag, Attachment, Kernel};
use super::sva_core::{Access, Code, FaultGroup, PageRequest, Receipt};
use core::ptr;
use kernel::bindings;
use kernel::prelude::*;
use kernel::sync::atomic::{ordering, Atomic};
use kernel::sync::Arc;

/// Begins with what C sees. Pinned by being a box that is never opened: `group` has list heads.
#[repr(C)]
pub(crate) struct Group {
    group: bindings::iopf_group,
    /// The requests before the last, which `group.faults` links.
    partials: KVec<bindings::iopf_fault>,
    param: Arc<FaultParam>,
    receipt: Receipt,
    answered: Atomic<u32>,
}

pub(crate) fn fault_of(request: &PageRequest) -> bindings::iopf_fault {
    let access = request.access();
    let mut perm = 0;
    for (bit, flag) in [
        (Access::READ, bindings::IOMMU_FAULT_PERM_READ),
        (Access::WRITE, bindings::IOMMU_FAULT_PERM_WRITE),
        (Access::EXEC, bindings::IOMMU_FAULT_PERM_EXEC),
    ] {
        if access.contains(bit) {
            perm |= flag;
        }
    }
    if request.is_privileged() {
        perm |= bindings::IOMMU_FAULT_PERM_PRIV;
    }
    let (flags, pasid) = untag(request.tag());
    let mut fault = bindings::iopf_fault::default();
    fault.fault.type_ = bindings::iommu_fault_type_IOMMU_FAULT_PAGE_REQ;
    fault.fault.prm.flags = flags;
    fault.fault.prm.pasid = pasid;
    fault.fault.prm.grpid = request.index().0;
    fault.fault.prm.perm = perm;
    fault.fault.prm.addr = request.address();
    fault
}

impl Group {
    /// Puts `group` into the ledger and makes what its handler will hold. `None` when it was
    /// answered instead: there is no memory (failure), or the device is going (invalid).
    pub(crate) fn deposit(
        param: &Arc<FaultParam>,
        group: FaultGroup<Kernel>,
        attachment: Attachment,
    ) -> Option<KBox<Self>> {
        let len = group.len();
        let mut partials = KVec::new();
        let place = KBox::<Self>::new_uninit(GFP_KERNEL);
        let room = partials.reserve(len as usize - 1, GFP_KERNEL);
        let (Ok(place), Ok(())) = (place, room) else {
            group.respond(Code::Failure);
            return None;
        };
        let mut last = bindings::iopf_fault::default();
        for request in group.requests() {
            let fault = fault_of(&request);
            if request.is_last() {
                last = fault;
            } else if partials.push(fault, GFP_KERNEL).is_err() {
                // Reserved above: there is room for all but the last.
                group.respond(Code::Failure);
                return None;
            }
        }
        // A closed ledger gives it back, and dropped it is answered invalid.
        let receipt = param.ledger.deposit(group).ok()?;
        let mut new = KBox::write(
            place,
            Self {
                group: bindings::iopf_group {
                    last_fault: last,
                    fault_count: len as usize,
                    attach_handle: attachment.handle,
                    ..Default::default()
                },
                partials,
                param: param.clone(),
                receipt,
                answered: Atomic::new(0),
            },
        );
        new.link();
        Some(new)
    }

    /// Links the requests, in the order they came, the last one last.
    fn link(&mut self) {
        let head = ptr::from_mut(&mut self.group.faults);
        // SAFETY: The heads are in the box or in the vector's memory, neither of which moves from
        // here on.
        unsafe {
            bindings::INIT_LIST_HEAD(head);
            bindings::INIT_LIST_HEAD(&raw mut self.group.pending_node);
            bindings::INIT_LIST_HEAD(&raw mut self.group.node);
            for fault in &mut self.partials {
                bindings::list_add_tail(&raw mut fault.list, head);
            }
            bindings::list_add_tail(&raw mut self.group.last_fault.list, head);
        }
    }

    /// # Safety
    ///
    /// `group` came from [`into_c`](Self::into_c) and was not freed.
    unsafe fn from_c<'a>(group: *mut bindings::iopf_group) -> &'a Self {
        // SAFETY: The caller's.
        unsafe { &*group.cast::<Self>() }
    }

    pub(crate) fn into_c(group: KBox<Self>) -> *mut bindings::iopf_group {
        KBox::into_raw(group).cast()
    }

    /// The group itself, to the first who asks.
    fn take(&self) -> Option<FaultGroup<Kernel>> {
        self.param.ledger.take(&self.receipt)
    }

    fn respond(&self, code: Code) {
        if self.answered.xchg(1, ordering::Full) != 0 {
            return misuse(c"a group was answered twice");
        }
        match self.take() {
            Some(group) => group.respond(code),
            None => {
                self.param.late.fetch_add(1, ordering::Relaxed);
            }
        }
    }
}

/// Answers a group, once. An answer after that is a warning; one after the device was removed is
/// not heard.
///
/// # Safety
///
/// `group` is one that a fault handler was given and has not freed.
#[export]
pub(crate) unsafe extern "C" fn iopf_group_response(
    group: *mut bindings::iopf_group,
    status: bindings::iommu_page_response_code,
) {
    // SAFETY: The caller's contract.
    unsafe { Group::from_c(group) }.respond(code_from_c(status));
}

/// Frees a group. If nobody answered it, it is answered invalid.
///
/// # Safety
///
/// `group` is one that a fault handler was given and has not freed; nobody else uses it.
#[export]
pub(crate) unsafe extern "C" fn iopf_free_group(group: *mut bindings::iopf_group) {
    // SAFETY: The caller's contract, and `into_c` made it.
    let group = unsafe { KBox::from_raw(group.cast::<Group>()) };
    if group.answered.load(ordering::Relaxed) == 0 {
        drop(group.take());
    }
}

/// The handler keeps the group. It is in the ledger, where removal of the device finds it whoever
/// keeps it: there is no list to take it off.
///
/// # Safety
///
/// As [`iopf_group_response`].
#[export]
pub(crate) unsafe extern "C" fn iopf_group_dequeue(group: *mut bindings::iopf_group) {
    // SAFETY: The caller's contract.
    let group = unsafe { Group::from_c(group) };
    if group.answered.load(ordering::Relaxed) != 0 {
        misuse(c"a group was kept after it was answered");
    }
}
