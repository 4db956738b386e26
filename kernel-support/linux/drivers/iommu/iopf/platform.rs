// SPDX-License-Identifier: GPL-2.0

//! What devices, address spaces and attachments are to `sva_core`.

use super::bonds::{BondData, MmData};
use super::env::KernelEnv;
use super::sva_core::{Code, Identity, PageResponse, Platform, Responder};
use kernel::bindings;
use kernel::mm::Mm;
use kernel::sync::aref::ARef;
use kernel::sync::Arc;

/// This kernel.
pub(crate) enum Kernel {}

impl Platform for Kernel {
    type Env = KernelEnv;
    type Space = SvaSpace;
    type User = Attachment;
    type Paging = Attachment;
    type Device = Wire;
}

/// An address space as one bond sees it.
pub(crate) struct SvaSpace {
    /// Keeps the `mm_struct` (mm_count), not the memory: a fault takes mm_users for as long as it
    /// runs.
    pub(crate) mm: ARef<Mm>,
    /// Lives as long as the `mm_struct`: `mm_pasid_drop()` frees it.
    pub(crate) mm_data: *const MmData,
    pub(crate) bond: Arc<BondData>,
    pub(crate) attachment: Attachment,
}

// SAFETY: `mm_data` points to what any thread may read (an atomic) for as long as `mm` is held.
unsafe impl Send for SvaSpace {}
// SAFETY: As above.
unsafe impl Sync for SvaSpace {}

impl SvaSpace {
    /// What all faults in this mm share.
    pub(crate) fn mm_data(&self) -> &MmData {
        // SAFETY: `mm_pasid_drop()` frees it when mm_count is zero, and `mm` holds a count.
        unsafe { &*self.mm_data }
    }
}

impl Identity for SvaSpace {
    /// The mm: the same memory, not merely the same kind of domain.
    type Key = usize;
    fn key(&self) -> usize {
        self.mm.as_raw() as usize
    }
}

/// What a caller of the attach functions gave. The pointers are theirs, valid while attached;
/// [`Identity`] compares them, the C interface gives them back, and nothing here follows them but
/// to the fault handler, while attached.
#[derive(Clone, Copy)]
pub(crate) struct Attachment {
    pub(crate) domain: *mut bindings::iommu_domain,
    /// Null where there is none.
    pub(crate) handle: *mut bindings::iommu_attach_handle,
}

// SAFETY: Pointers as names; whoever follows them says why they are valid.
unsafe impl Send for Attachment {}
// SAFETY: As above.
unsafe impl Sync for Attachment {}

impl Identity for Attachment {
    type Key = (usize, usize);
    fn key(&self) -> (usize, usize) {
        (self.domain as usize, self.handle as usize)
    }
}

/// A device's end of a page response. Holds a reference on the device.
pub(crate) struct Wire(*mut bindings::device);

// SAFETY: A counted device may be used from any thread, and drivers' `page_response` may be called
// from any.
unsafe impl Send for Wire {}
// SAFETY: As above.
unsafe impl Sync for Wire {}

impl Wire {
    /// # Safety
    ///
    /// `dev` is a live device whose IOMMU driver has `page_response`.
    pub(crate) unsafe fn new(dev: *mut bindings::device) -> Self {
        // SAFETY: `dev` is live, says the caller.
        Self(unsafe { bindings::get_device(dev) })
    }

    pub(crate) fn dev(&self) -> *mut bindings::device {
        self.0
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        // SAFETY: The reference that `new` took.
        unsafe { bindings::put_device(self.0) };
    }
}

/// How a request was written on the wire: what the response must repeat. Flags in the low half,
/// PASID in the high.
pub(crate) fn tag(prm: &bindings::iommu_fault_page_request) -> u64 {
    u64::from(prm.flags) | u64::from(prm.pasid) << 32
}

/// The two halves of a [`tag`]: flags and PASID.
pub(crate) fn untag(tag: u64) -> (u32, u32) {
    (tag as u32, (tag >> 32) as u32)
}

pub(crate) fn code_to_c(code: Code) -> u32 {
    match code {
        Code::Success => bindings::iommu_page_response_code_IOMMU_PAGE_RESP_SUCCESS,
        Code::Invalid => bindings::iommu_page_response_code_IOMMU_PAGE_RESP_INVALID,
        Code::Failure => bindings::iommu_page_response_code_IOMMU_PAGE_RESP_FAILURE,
    }
}

/// Anything that is not a code is a failure.
pub(crate) fn code_from_c(code: u32) -> Code {
    match code {
        bindings::iommu_page_response_code_IOMMU_PAGE_RESP_SUCCESS => Code::Success,
        bindings::iommu_page_response_code_IOMMU_PAGE_RESP_INVALID => Code::Invalid,
        _ => Code::Failure,
    }
}

impl Responder for Wire {
    fn respond(&self, response: PageResponse) {
        let (flags, pasid) = untag(response.tag);
        let code = code_to_c(response.code);
        // SAFETY: The device is live and can respond, by `new`'s contract; a device that was
        // removed has no group left to answer.
        unsafe { bindings::iopf_rust_page_response(self.0, flags, pasid, response.index.0, code) };
    }
}
