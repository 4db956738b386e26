//! Whether memory of unknown origin can be read or written, asked of the kernel instead of found out by a fault.
//!
//! The answer holds for the moment: the mapping may go the moment after. Work on a map whose file may shrink is for
//! [`guarded`](crate::guarded); memory that another thread unmaps under the work is the caller's own undoing.

use std::ops::Range;

use nix::errno::Errno;
use thiserror::Error;

use crate::guard::page::{self, Access};

/// How often a call that was interrupted or put off is made again.
const TRIES_MAX: usize = 16;

/// Memory that cannot be used as asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("cannot {} memory at {addr:#x}", if *.write { "write" } else { "read" })]
pub struct BadRange {
    /// The first address that cannot be used: the start of its page, or of the range if that is inside the page.
    pub addr: usize,
    /// Whether it was to be written.
    pub write: bool,
    /// Why: `ENOMEM` for an address without mapping (or no memory left for it), `EFAULT` for a page its file does not
    /// have, `EINVAL` for a protection that forbids it or for a device's memory.
    #[source]
    pub errno: Errno,
}

/// Makes the pages of `len` bytes at `addr` present for reading.
///
/// # Errors
///
/// [`BadRange`] with the first page that cannot be read. The pages before it are present. Needs Linux 5.14.
pub fn check_readable(addr: usize, len: usize) -> Result<(), BadRange> {
    check(addr, len, Access::Read)
}

/// Makes the pages of `len` bytes at `addr` present for writing, without changing what they hold: allocates, unshares
/// and marks them as a write would.
///
/// # Errors
///
/// [`BadRange`] with the first page that cannot be written. The pages before it are present. Needs Linux 5.14.
pub fn check_writable(addr: usize, len: usize) -> Result<(), BadRange> {
    check(addr, len, Access::Write)
}

fn check(addr: usize, len: usize, access: Access) -> Result<(), BadRange> {
    let write = access == Access::Write;
    if len == 0 {
        return Ok(());
    }
    let Some(end) = addr.checked_add(len).filter(|end| end.checked_add(page::bytes()).is_some()) else {
        return Err(BadRange { addr, write, errno: Errno::EINVAL });
    };
    let pages = page::cover(&(addr..end));
    let Err(errno) = populate(&pages, access) else { return Ok(()) };
    let (page, errno) = first_bad(pages, access, errno);
    Err(BadRange { addr: page.max(addr), write, errno })
}

/// Halves `pages`, which failed with `errno`, down to the first page that fails by itself.
///
/// Each half that succeeds stays populated, so looking again costs a walk of the page tables.
fn first_bad(mut pages: Range<usize>, access: Access, mut errno: Errno) -> (usize, Errno) {
    while pages.len() > page::bytes() {
        let middle = page::floor(pages.start + pages.len() / 2);
        match populate(&(pages.start..middle), access) {
            Ok(()) => pages.start = middle,
            Err(reason) => {
                pages.end = middle;
                errno = reason;
            }
        }
    }
    (pages.start, populate(&pages, access).err().unwrap_or(errno))
}

/// Populates `pages`, trying again while the kernel only asks for patience.
fn populate(pages: &Range<usize>, access: Access) -> Result<(), Errno> {
    let mut result = Ok(());
    for _ in 0..TRIES_MAX {
        result = page::populate(pages, access);
        match result {
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => std::thread::yield_now(),
            _ => break,
        }
    }
    result
}

#[cfg(test)]
mod tests;
