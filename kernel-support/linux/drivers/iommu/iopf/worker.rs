// SPDX-License-Identifier: GPL-2.0

//! SVA groups on their way to their mm: a work item each.
//!
//! Nothing outside sees one, so it is no `struct iopf_group` and lies in no ledger: the item owns
//! its group, and ends with the answer. Removal of the device waits for that; what has not begun by
//! then is answered at once.

use super::param::FaultParam;
use super::platform::Kernel;
use super::populate::Populate;
use super::sva_core::{attempt_in, Code, FaultGroup};
use kernel::prelude::*;
use kernel::sync::Arc;
use kernel::workqueue::{impl_has_work, new_work, Work, WorkItem};

/// One group, and how far it has come.
#[pin_data]
pub(crate) struct SvaWork {
    #[pin]
    work: Work<SvaWork>,
    param: Arc<FaultParam>,
    /// `None` once answered.
    group: Option<FaultGroup<Kernel>>,
    /// It is on the queue where waiting holds nobody up.
    may_wait: bool,
}

impl_has_work! {
    impl HasWork<Self> for SvaWork { self.work }
}

impl SvaWork {
    /// Queues `group`, or answers that there is no memory for it.
    pub(crate) fn submit(param: Arc<FaultParam>, group: FaultGroup<Kernel>) {
        let Ok(place) = KBox::<Self>::new_uninit(GFP_KERNEL) else {
            return group.respond(Code::Failure);
        };
        let queue = param.queue;
        let init = pin_init!(Self {
            work <- new_work!("iopf::SvaWork"),
            param,
            group: Some(group),
            may_wait: false,
        });
        let Ok(item) = place.write_pin_init::<core::convert::Infallible>(init);
        // SAFETY: It outlives its devices, and this one is owed an answer, which is in the item.
        unsafe { &*queue }.work().enqueue(item);
    }
}

impl WorkItem for SvaWork {
    type Pointer = Pin<KBox<Self>>;

    fn run(mut this: Pin<KBox<Self>>) {
        let item = this.as_mut().project();
        if item.param.is_removing() {
            // Dropped, it answers invalid.
            return *item.group = None;
        }
        let mut populate = Populate::new(item.param, *item.may_wait);
        attempt_in(item.group, &mut populate);
        if item.group.is_some() {
            *item.may_wait = true;
            let queue = item.param.queue;
            // SAFETY: As in `submit`.
            unsafe { &*queue }.waiting().enqueue(this);
        }
    }
}
