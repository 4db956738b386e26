// SPDX-License-Identifier: GPL-2.0

//! A device's fault path: what `dev->iommu->fault_param` points to.
//!
//! Made by `iopf_queue_add_device()`, ended by `iopf_queue_remove_device()`: quiesce, answer,
//! drain. The pointer is written under `dev_iommu::lock` and read under RCU; whoever reports takes
//! a counted reference there.

use super::attach::GroupTable;
use super::platform::{Kernel, Wire};
use super::queue::FaultQueue;
use super::sva_core::{Code, Discard, Enabled, Iopf, Ledger, Limits, Reporter};
use kernel::bindings;
use kernel::prelude::*;
use kernel::sync::atomic::{ordering, Atomic};
use kernel::sync::{new_mutex, rcu, Arc, ArcBorrow, Mutex};

/// Groups in flight, partial requests, incomplete groups. VT-d's hardware queue has 2048 entries
/// for all its devices, and a PCIe function 512 group indices.
const LIMITS: Limits = Limits {
    groups_max: 1024,
    queued_max: 0,
    partials_max: 1024,
    open_groups_max: 512,
    bonds_max: 0,
};

#[pin_data]
pub(crate) struct FaultParam {
    /// `None` once removed.
    #[pin]
    iopf: Mutex<Option<Iopf<Kernel, Enabled>>>,
    pub(crate) reporter: Reporter<Kernel>,
    /// The groups that fault handlers outside have.
    pub(crate) ledger: Ledger<Kernel>,
    pub(crate) table: Arc<GroupTable>,
    /// Whether a PASID that nobody has is the RID's user's.
    pub(crate) diverts: bool,
    removing: Atomic<u32>,
    /// Answers that came when the group had been answered by removal.
    pub(crate) late: Atomic<u32>,
    pub(crate) queue: *const FaultQueue,
    wire: Wire,
}

// SAFETY: The queue outlives its devices, by `iopf_queue_free()`'s contract, and may be used from
// any thread.
unsafe impl Send for FaultParam {}
// SAFETY: As above.
unsafe impl Sync for FaultParam {}

impl FaultParam {
    /// # Safety
    ///
    /// `dev` is live, with a group, and its driver has `page_response`; `queue` outlives the fault
    /// path.
    pub(crate) unsafe fn try_new(
        dev: *mut bindings::device,
        queue: *const FaultQueue,
    ) -> Result<Arc<Self>> {
        // SAFETY: `dev` is live.
        let group = unsafe { bindings::iopf_rust_dev_group(dev) };
        if group.is_null() {
            return Err(ENODEV);
        }
        // SAFETY: A live device keeps its group.
        let table = unsafe { GroupTable::of(group) }?;
        // SAFETY: `dev` is live.
        let diverts = unsafe { bindings::iopf_rust_user_pasid_table(dev) };
        // SAFETY: The caller's contract.
        let wire = unsafe { Wire::new(dev) };
        // SAFETY: As above.
        let responder = unsafe { Wire::new(dev) };
        let iopf = Iopf::try_new(responder, table.pasids.clone(), LIMITS).map_err(|_| ENOMEM)?;
        let ledger = Ledger::try_new(LIMITS.groups_max).map_err(|_| ENOMEM)?;
        let new = pin_init!(Self {
            reporter: iopf.reporter(),
            ledger,
            table,
            diverts,
            removing: Atomic::new(0),
            late: Atomic::new(0),
            queue,
            wire,
            iopf <- new_mutex!(Some(iopf), "iopf::param"),
        });
        Arc::pin_init(new, GFP_KERNEL)
    }

    /// The fault path of a device.
    ///
    /// # Safety
    ///
    /// `dev` is live and has an IOMMU.
    pub(crate) unsafe fn of(dev: *mut bindings::device) -> Option<Arc<Self>> {
        let _guard = rcu::read_lock();
        // SAFETY: `dev` is live, and this is a read side section.
        let raw = unsafe { bindings::iopf_rust_param_get(dev) };
        if raw.is_null() {
            return None;
        }
        // SAFETY: What is there is an `Arc`. Whoever takes it out keeps its reference until this
        // section is over.
        Some(unsafe { ArcBorrow::from_raw(raw.cast_const().cast::<Self>()) }.into())
    }

    pub(crate) fn dev(&self) -> *mut bindings::device {
        self.wire.dev()
    }

    pub(crate) fn queue(&self) -> &FaultQueue {
        // SAFETY: It outlives its devices.
        unsafe { &*self.queue }
    }

    pub(crate) fn is_removing(&self) -> bool {
        self.removing.load(ordering::Acquire) != 0
    }

    /// Gives up incomplete groups.
    pub(crate) fn discard_partials(&self) {
        self.reporter.discard_partials(discard());
    }

    /// Ends the fault path: what comes is refused, what is in anybody's hands is answered or waited
    /// for. Afterwards nothing speaks to the device.
    pub(crate) fn remove(&self) {
        self.removing.store(1, ordering::Release);
        let iopf = self.iopf.lock().take();
        let Some(iopf) = iopf else { return };
        let quiesced = iopf.quiesce(discard());
        for group in self.ledger.close() {
            group.respond(Code::Invalid);
        }
        quiesced.wait_drained().remove();
    }
}

fn discard() -> Discard {
    // SAFETY: Reads a parameter.
    if unsafe { bindings::iopf_rust_overflow_answers() } {
        Discard::AnswerInvalid
    } else {
        Discard::Forget
    }
}
