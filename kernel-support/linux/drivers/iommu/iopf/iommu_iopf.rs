// SPDX-License-Identifier: GPL-2.0

//! IO page faults, SVA bonds and attach handles.
//!
//! The decisions are [`sva_core`]'s, a crate that knows no kernel and is tested outside it. The
//! files here translate: C pointers, locks, reference counts, the mm, work queues. What each
//! function of the C interface promises is in `include/linux/iommu.h` and `iommu-priv.h`; how it is
//! kept is said where it is kept.
//!
//! Who holds what: an entry of `group->pasid_array` owns an attachment ([`attach::Owner`]); a fault
//! group holds a counted reference on it until it is answered; a detach closes it, lets the driver
//! clear the hardware, and waits for (SVA) or leaves to their handler (everybody else) the groups
//! in flight.
//!
//! Locks, outermost first: `iommu_sva_lock` (bonds, the list of mms), `iommu_group::mutex` (who is
//! attached where), a queue's `devices`, `dev_iommu::lock` (which fault path a device has),
//! [`attach::GroupTable::delivery`], the mmap lock, and the locks inside `sva_core`, which are
//! leaves. `iommu_ops::page_response` is called with none of them but perhaps the first three,
//! which its caller may hold. Everything may sleep; nothing runs in interrupt context but
//! [`populate::iopf_rust_wait_over`], which reads atomics.
//!
//! C headers: `include/linux/iommu.h`, `drivers/iommu/iommu-priv.h`,
//! `drivers/iommu/iopf/iopf_rust.h`.

mod attach;
mod bonds;
mod env;
mod groups;
mod param;
mod platform;
mod populate;
mod queue;
#[path = "sva_core/lib.rs"]
// A crate elsewhere, whose users here want less of it, and some of whose lints are for what is
// exported.
#[allow(
    dead_code,
    unfulfilled_lint_expectations,
    unreachable_pub,
    unused_attributes,
    unused_imports,
    missing_docs
)]
mod sva_core;
#[cfg(CONFIG_KUNIT)]
mod tests;
mod worker;
