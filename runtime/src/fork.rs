//! What a child process finds of a runtime it inherits: nothing it may use.
//!
//! A fork copies memory and no threads. Queues, locks, rings and eventfds of a runtime are the parent's: the child must
//! neither write to them nor wait for them. So what a runtime looks at before every operation lies in a page that the
//! kernel wipes for the child: in the child no queue is up, and the careful way round finds out why. The quick way costs
//! nothing for it.
//!
//! Rejected: `pthread_atfork`, which misses a `clone` that does not go through the C library, and whose handlers cannot be
//! taken back; comparing process ids, which is a system call for each operation.
//!
//! UNSAFETY: maps a page and refers to it.
#![expect(unsafe_code, reason = "a page of its own, which the kernel wipes in children")]

use std::io;
use std::num::NonZeroUsize;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::sys::mman::{MapFlags, MmapAdvise, ProtFlags, madvise, mmap_anonymous, munmap};

use crate::address::PAGE_BYTES;
use crate::job::Operations;

/// What is wiped. In a child everything is 0.
#[derive(Debug)]
struct Wiped {
    /// Operations that go to the first queue without a further look.
    at_once: AtomicU64,
    /// Queues that are up, one bit for each, from the first.
    up: AtomicU64,
    /// Not 0 in the process that made the runtime.
    here: AtomicU64,
}

/// The state of a runtime that a child does not inherit.
///
/// # Invariants
///
/// `page` is a mapped page that holds a [`Wiped`], until this is dropped.
#[derive(Debug)]
pub(crate) struct Lineage {
    page: NonNull<Wiped>,
}

// SAFETY: what is behind the pointer is atomics.
unsafe impl Send for Lineage {}
// SAFETY: as above.
unsafe impl Sync for Lineage {}

impl Lineage {
    /// A page that children find wiped.
    ///
    /// # Errors
    ///
    /// What `mmap` and `madvise(MADV_WIPEONFORK)` say; the latter is there since Linux 4.14.
    pub(crate) fn new() -> io::Result<Self> {
        let len = NonZeroUsize::new(usize::try_from(PAGE_BYTES).unwrap_or(4096)).unwrap_or(NonZeroUsize::MIN);
        let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: new memory, at no address in particular.
        let page = unsafe { mmap_anonymous(None, len, access, MapFlags::MAP_PRIVATE) }?;
        // SAFETY: the page was just mapped, and nothing but children see a change.
        let advised = unsafe { madvise(page, len.get(), MmapAdvise::MADV_WIPEONFORK) };
        if let Err(errno) = advised {
            // SAFETY: the page was just mapped and nobody refers to it.
            let _ = unsafe { munmap(page, len.get()) };
            return Err(errno.into());
        }
        // INVARIANT: fresh memory is zeros, which is what a `Wiped` is made of; a page is large and aligned enough.
        let lineage = Self { page: page.cast() };
        lineage.wiped().here.store(1, Ordering::SeqCst);
        Ok(lineage)
    }

    #[inline(always)]
    fn wiped(&self) -> &Wiped {
        // SAFETY: the invariant: the page is mapped and holds a `Wiped` for as long as `self` lives.
        unsafe { self.page.as_ref() }
    }

    /// Whether this is a child of the process that made the runtime.
    #[inline]
    pub(crate) fn is_forked(&self) -> bool {
        self.wiped().here.load(Ordering::Relaxed) == 0
    }

    /// Operations that go to the first queue without a further look.
    #[inline(always)]
    pub(crate) fn at_once(&self) -> Operations {
        Operations::from_bits(self.wiped().at_once.load(Ordering::Relaxed))
    }

    pub(crate) fn set_at_once(&self, operations: Operations) {
        self.wiped().at_once.store(operations.bits(), Ordering::Relaxed);
    }

    /// Queues that are up.
    #[inline]
    pub(crate) fn up(&self) -> u64 {
        self.wiped().up.load(Ordering::Relaxed)
    }

    /// Notes whether the queue with this number is up. Those past the 64th are not kept here.
    pub(crate) fn set_up(&self, index: u16, is_up: bool) {
        let Some(bit) = 1_u64.checked_shl(u32::from(index)) else { return };
        if is_up {
            self.wiped().up.fetch_or(bit, Ordering::Relaxed);
        } else {
            self.wiped().up.fetch_and(!bit, Ordering::Relaxed);
        }
    }
}

impl Drop for Lineage {
    fn drop(&mut self) {
        let len = usize::try_from(PAGE_BYTES).unwrap_or(4096);
        // SAFETY: the page is ours (the invariant), and with `self` goes the last that refers to it.
        let _ = unsafe { munmap(self.page.cast(), len) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::Operation;

    #[test]
    fn what_is_up_is_kept_by_queue() {
        let lineage = Lineage::new().expect("a page");
        assert!(!lineage.is_forked());
        assert_eq!(lineage.up(), 0);
        lineage.set_up(0, true);
        lineage.set_up(63, true);
        lineage.set_up(64, true);
        lineage.set_up(0, false);
        assert_eq!(lineage.up(), 1 << 63);
        lineage.set_at_once(Operations::NONE.with(Operation::Copy));
        assert!(lineage.at_once().contains(Operation::Copy));
        assert!(!lineage.at_once().contains(Operation::Fill));
    }
}
