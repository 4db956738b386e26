//! The portal of a dedicated work queue, written to with `MOVDIR64B`. Never run on hardware; tested on memory.
//!
//! UNSAFETY: calls one instruction with an address from a mapped page.
#![expect(unsafe_code, reason = "writes to a mapped portal")]

use std::fs::File;
use std::io;

use idxd_spec::Descriptor;
use svala::backend::{Completion, Kind};

use super::page::PortalPage;
use super::{Accepted, Portal};
use crate::cpu::Movdir64b;

/// A dedicated queue's portal, mapped. Every write looks accepted: whoever submits counts
/// [`Credits`](crate::Credits).
#[derive(Debug)]
pub struct Movdir64bPortal {
    page: PortalPage,
    cpu: Movdir64b,
    /// The kernel unbinds the process when its last file of the queue is closed.
    _node: File,
}

impl Movdir64bPortal {
    /// Maps the portal behind `node`, an open device node of a dedicated work queue.
    ///
    /// # Errors
    ///
    /// The kernel's, and the node back: `EPERM` without `CAP_SYS_RAWIO` (INTEL-SA-01084).
    pub fn map(node: File, cpu: Movdir64b) -> Result<Self, (io::Error, File)> {
        match PortalPage::map(&node) {
            Ok(page) => Ok(Self { page, cpu, _node: node }),
            Err(error) => Err((error, node)),
        }
    }
}

impl Portal for Movdir64bPortal {
    #[inline]
    fn submit(&self, descriptor: &Descriptor) -> Accepted {
        let Some(slot) = self.page.next_slot() else { return Accepted::Retry };
        // SAFETY: `slot` is one of the 64-byte places of `page`, which stays mapped as long as `self` (`PortalPage`).
        unsafe { self.cpu.store(slot, descriptor) };
        Accepted::Yes
    }

    fn kind(&self) -> Kind {
        Kind::Hardware
    }

    fn completion(&self) -> Completion {
        Completion::Polled
    }
}
