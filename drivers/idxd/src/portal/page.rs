//! The page of a portal, in this process's memory.
//!
//! UNSAFETY: one piece of advice on memory of its own.
#![expect(unsafe_code, reason = "madvise")]

use std::cell::Cell;
use std::fs::File;
use std::io;

use memmap2::{MmapMut, MmapOptions, MmapRaw};

/// Bytes of a portal (DSA §3.3).
pub(crate) const PORTAL_BYTES: usize = 4096;

/// Places of 64 bytes in it. All mean the same to the device.
pub(crate) const PORTAL_SLOTS: usize = PORTAL_BYTES / 64;

thread_local! {
    /// Where this thread wrote last. For each thread, so that submitters share no cache line for it.
    static LAST_SLOT: Cell<usize> = const { Cell::new(0) };
}

/// A mapped portal.
///
/// # Invariants
///
/// `page` maps [`PORTAL_BYTES`] bytes for reading and writing, from a page boundary on, in the process that made it.
#[derive(Debug)]
pub(crate) struct PortalPage {
    page: MmapRaw,
    /// A page of zeros in a child of the process, where the kernel has left `page` out. It holds [`HERE`] elsewhere.
    mark: MmapMut,
}

const HERE: u8 = 1;

impl PortalPage {
    /// Maps the portal behind `file`.
    ///
    /// # Errors
    ///
    /// `EPERM` without `CAP_SYS_RAWIO` on devices that are not safe to map (INTEL-SA-01084), and what else the kernel
    /// says.
    pub(crate) fn map(file: &File) -> io::Result<Self> {
        let page = MmapOptions::new().len(PORTAL_BYTES).map_raw(file)?;
        let mut mark = MmapMut::map_anon(PORTAL_BYTES)?;
        mark[0] = HERE;
        // SAFETY: a mapping of our own, whole; the advice changes what a child sees, and nothing here.
        if unsafe { libc::madvise(mark.as_mut_ptr().cast(), PORTAL_BYTES, libc::MADV_WIPEONFORK) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // INVARIANT: mapped with this length; `mmap` answers page boundaries.
        Ok(Self { page, mark })
    }

    /// The next place to write to. None in a child of the process that mapped the page: the child has no such page.
    ///
    /// The places of the page are used in turn. Descriptors that must be taken in order would have to go to one of them
    /// (DSA §3.9); this driver puts what has an order into one descriptor after the other's completion, or a batch.
    #[inline]
    pub(crate) fn next_slot(&self) -> Option<*mut u8> {
        if self.mark[0] != HERE {
            return None;
        }
        let slot = (LAST_SLOT.get() + 1) % PORTAL_SLOTS;
        LAST_SLOT.set(slot);
        Some(self.page.as_mut_ptr().wrapping_add(slot * 64))
    }
}
