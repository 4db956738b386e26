//! Pages: their size, their edges, whether they are there, and zeros in their place.
//!
//! Everything here may be called from a signal handler once [`bytes`] has been called outside of one.

use std::ops::Range;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};

use nix::errno::Errno;

/// How a page is going to be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Write,
}

/// The size of a page. A power of two.
pub(crate) fn bytes() -> usize {
    static BYTES: AtomicUsize = AtomicUsize::new(0);
    match BYTES.load(Ordering::Relaxed) {
        0 => {
            // SAFETY: reads a constant of the system.
            let bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
            let bytes = usize::try_from(bytes).expect("Linux knows its page size");
            BYTES.store(bytes, Ordering::Relaxed);
            bytes
        }
        bytes => bytes,
    }
}

/// The start of the page `addr` is in.
pub(crate) fn floor(addr: usize) -> usize {
    addr & !(bytes() - 1)
}

/// The first start of a page at or after `addr`; for an address in the last page there is, the start of that.
pub(crate) fn ceil(addr: usize) -> usize {
    floor(addr.saturating_add(bytes() - 1))
}

/// The pages that are wholly or partly in `range`. Empty if `range` is.
pub(crate) fn cover(range: &Range<usize>) -> Range<usize> {
    if range.is_empty() { range.clone() } else { floor(range.start)..ceil(range.end) }
}

/// The pages that are wholly in `range`; may end before it starts.
pub(super) fn inside(range: &Range<usize>) -> Range<usize> {
    ceil(range.start)..floor(range.end)
}

/// Makes the pages present as an access would, without changing what is in them and without faulting.
///
/// Goes on until the first page that cannot be had. The kernel's reasons: `EFAULT` for a page past its file's end or
/// one it may not read from disk, `ENOMEM` for an address without mapping (and for want of memory), `EINVAL` for a
/// mapping whose protection forbids the access, for a device's memory, and before Linux 5.14; `EHWPOISON`.
pub(crate) fn populate(pages: &Range<usize>, access: Access) -> Result<(), Errno> {
    let advice = match access {
        Access::Read => libc::MADV_POPULATE_READ,
        Access::Write => libc::MADV_POPULATE_WRITE,
    };
    let start = ptr::without_provenance_mut(pages.start);
    // SAFETY: this advice brings pages in and changes the contents of none, whatever is at the address.
    let result = unsafe { libc::madvise(start, pages.end - pages.start, advice) };
    Errno::result(result).map(drop)
}

/// Whether touching the page at `start` would raise `SIGBUS`.
pub(super) fn is_lost(start: usize) -> bool {
    populate(&(start..start + bytes()), Access::Read) == Err(Errno::EFAULT)
}

/// Maps private zeros over `pages`. Says whether it could.
///
/// # Safety
///
/// Nobody relies on the contents of `pages`, which start and end at page boundaries.
pub(super) unsafe fn replace_with_zeros(pages: &Range<usize>) -> bool {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED | libc::MAP_NORESERVE;
    let start = ptr::without_provenance_mut(pages.start);
    // SAFETY: the caller has given up what is mapped there.
    let mapped = unsafe { libc::mmap(start, pages.end - pages.start, protection, flags, -1, 0) };
    mapped != libc::MAP_FAILED
}
