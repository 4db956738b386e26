//! The portal of a shared work queue, written to with `ENQCMD`. Never run on hardware.
//!
//! UNSAFETY: calls one instruction with an address from a mapped page.
#![expect(unsafe_code, reason = "writes to a mapped portal")]

use std::fs::File;
use std::io;

use idxd_spec::Descriptor;
use svala::backend::{Completion, Kind};

use super::page::PortalPage;
use super::{Accepted, Portal};
use crate::cpu::Enqcmd;

/// A shared queue's portal, mapped. The queue itself says when it is full, and also "retry" when it is disabled or
/// dedicated.
#[derive(Debug)]
pub struct EnqcmdPortal {
    page: PortalPage,
    cpu: Enqcmd,
    /// The kernel unbinds the process when its last file of the queue is closed.
    _node: File,
}

impl EnqcmdPortal {
    /// Maps the portal behind `node`, an open device node of a shared work queue.
    ///
    /// # Errors
    ///
    /// The kernel's, and the node back: `EPERM` without `CAP_SYS_RAWIO` (INTEL-SA-01084).
    pub fn map(node: File, cpu: Enqcmd) -> Result<Self, (io::Error, File)> {
        match PortalPage::map(&node) {
            Ok(page) => Ok(Self { page, cpu, _node: node }),
            Err(error) => Err((error, node)),
        }
    }
}

impl Portal for EnqcmdPortal {
    #[inline]
    fn submit(&self, descriptor: &Descriptor) -> Accepted {
        let Some(slot) = self.page.next_slot() else { return Accepted::Retry };
        // SAFETY: `slot` is one of the 64-byte places of `page`, which stays mapped as long as `self` (`PortalPage`).
        match unsafe { self.cpu.enqueue(slot, descriptor) } {
            true => Accepted::Yes,
            false => Accepted::Retry,
        }
    }

    fn kind(&self) -> Kind {
        Kind::Hardware
    }

    fn completion(&self) -> Completion {
        Completion::Polled
    }
}
