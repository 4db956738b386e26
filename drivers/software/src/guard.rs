//! Work on memory maps whose file may shrink under it.
//!
//! Touching a page of a map that lies past the end of its file raises `SIGBUS`, and the process ends. A program that
//! reads other people's files cannot prevent it: the file may be truncated between any two instructions. [`guarded`]
//! turns it into an error: a handler puts zero pages where the file's pages were, the work runs to its end on zeros,
//! and its result is thrown away.
//!
//! The hard part is what a signal handler may do. It allocates nothing, takes no lock, and reads only what its own
//! thread published before the work began: a chain of frames on that thread's stack. It calls `mmap` and
//! `madvise`, which are plain system calls, and puts `errno` back.
//!
//! # What is replaced
//!
//! Only pages that belong, in part at least, to a guarded range. The page that faulted is replaced whole even if the
//! range covers only part of it: a file's pages vanish whole, so what else is in that page is gone as well. From the
//! second fault on the next pages go with it, in doubling steps (a map of 1 GiB takes some twenty signals, not a
//! quarter of a million), upwards, or downwards for work that runs backwards. Such a step takes only pages that lie
//! wholly in the range, and only if its far end is gone too; pages between two that are gone are taken for gone.
//!
//! The zero pages are private, readable and writable, whatever the map was. They stay until the owner unmaps the range:
//! the map no longer shows the file there, not even if the file grows again, and *nothing reports it a second time*.
//! Do not use a map again that has [`Vanished`].
//!
//! # What is not seen
//!
//! The rest of a file's last page reads as zeros without a signal, as it always does: a file truncated inside the
//! page that the range ends in does not vanish here. A system call that is handed such a page answers `EFAULT`, and no
//! signal is raised. Maps of huge pages (hugetlbfs) cannot be replaced page by page: there the signal goes its old way.
//
// UNSAFETY: signal handling and page replacement are raw system calls, and frames are shared with the handler by
// address. All of it is here and in the modules below; each block says why it holds.
#![expect(unsafe_code, reason = "a signal handler that replaces pages; see the UNSAFETY line")]

mod handler;
mod loss;
pub(crate) mod page;
#[cfg(test)]
pub(crate) mod tests;

use std::cell::Cell;
use std::ops::Range;
use std::ptr;
use std::sync::atomic::{Ordering, compiler_fence};

use thiserror::Error;

/// A guarded range was no longer backed by its file; the result of the work is discarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
#[error("mapped memory at {addr:#x} vanished: its file was truncated or cannot be read")]
pub struct Vanished {
    /// The first address known to be gone.
    pub addr: usize,
}

/// Runs `work`, and reports if any of `ranges` vanished under it.
///
/// A page of a range that raises `SIGBUS` on this thread becomes zeros and `work` goes on; what it returns is then
/// dropped. A page that another guarded thread lost meanwhile counts as well, so threads may share a map. Any other
/// `SIGBUS` goes to the handler that was installed before the first call, or ends the process as ever. Calls nest, and
/// a panic of `work` ends the guard. With no ranges this is `work()`.
///
/// The process's `SIGBUS` handler is installed by the first call and stays. A handler that is installed later and
/// does not pass signals on switches the guard off.
///
/// # Errors
///
/// [`Vanished`], with the first address lost; the module says what is at that address from then on.
///
/// # Safety
///
/// Each range lies in one mapping, and nobody relies on what is in the range after [`Vanished`] is returned: parts of
/// it, up to all, are then private zero pages. A range may be memory that never vanishes, such as the heap's.
pub unsafe fn guarded<T>(ranges: &[Range<usize>], work: impl FnOnce() -> T) -> Result<T, Vanished> {
    if ranges.is_empty() {
        return Ok(work());
    }
    handler::install();
    let since = loss::now();
    let frame = Frame::new(ranges);
    let done = {
        let _published = frame.publish();
        work()
    };
    match frame.first_lost.get().or_else(|| loss::since(since, ranges)) {
        None => Ok(done),
        Some(addr) => Err(Vanished { addr }),
    }
}

thread_local! {
    /// The guard this thread entered last. Without destructor or lazy initialiser, so that a handler may read it.
    static INNERMOST: Cell<*const Frame> = const { Cell::new(ptr::null()) };
}

/// One call of [`guarded`], as the handler sees it.
///
/// # Invariants
///
/// While a frame is in [`INNERMOST`]'s chain it stays where it is, `ranges` points to `count` ranges, and `outer` is
/// null or such a frame.
struct Frame {
    ranges: *const Range<usize>,
    count: usize,
    outer: Cell<*const Frame>,
    /// The address of the first fault.
    first_lost: Cell<Option<usize>>,
    /// Pages the next fault replaces.
    step_pages: Cell<usize>,
}

impl Frame {
    fn new(ranges: &[Range<usize>]) -> Self {
        Self {
            ranges: ranges.as_ptr(),
            count: ranges.len(),
            outer: Cell::new(ptr::null()),
            first_lost: Cell::new(None),
            step_pages: Cell::new(1),
        }
    }

    /// Makes the frame the thread's innermost until the result is dropped.
    fn publish(&self) -> Published<'_> {
        // INVARIANT: `Published` borrows the frame, so it stays until it is out of the chain again; `ranges` outlives
        // it as the argument of `guarded`; what was innermost was published by a caller further up the stack.
        self.outer.set(INNERMOST.get());
        INNERMOST.set(self);
        compiler_fence(Ordering::SeqCst);
        Published { frame: self }
    }

    fn ranges(&self) -> &[Range<usize>] {
        // SAFETY: by the invariant, there are `count` ranges while the frame is published, and only then is this called.
        unsafe { std::slice::from_raw_parts(self.ranges, self.count) }
    }

    /// Puts zeros where `addr` faulted, if that is in one of the ranges. Called by the handler.
    fn replace(&self, addr: usize) -> bool {
        let Some(range) = self.ranges().iter().find(|range| page::cover(range).contains(&addr)) else {
            return false;
        };
        let lost = self.extent(range, addr);
        // Before the pages change, so that whoever reads the zeros also finds the entry.
        loss::record(&lost);
        // SAFETY: the page that faulted is in a guarded range, and the others are wholly in it: the caller of
        // `guarded` has given the contents up.
        let replaced = unsafe { page::replace_with_zeros(&lost) };
        if self.first_lost.get().is_none() {
            self.first_lost.set(Some(addr));
        }
        self.step_pages.set(self.step_pages.get().saturating_mul(2));
        replaced
    }

    /// The pages to replace for a fault at `addr` in `range`: see the module's "What is replaced".
    fn extent(&self, range: &Range<usize>, addr: usize) -> Range<usize> {
        let bytes = page::bytes();
        let only = page::floor(addr)..page::floor(addr) + bytes;
        let more = (self.step_pages.get() - 1).saturating_mul(bytes);
        let inside = page::inside(range);
        let upwards = only.start..only.end.saturating_add(more).min(inside.end);
        if upwards.end > only.end && page::is_lost(upwards.end - bytes) {
            return upwards;
        }
        let downwards = only.start.saturating_sub(more).max(inside.start)..only.end;
        if downwards.start < only.start && page::is_lost(downwards.start) {
            return downwards;
        }
        only
    }
}

/// Takes a frame out of the chain again, on return and on panic.
struct Published<'a> {
    frame: &'a Frame,
}

impl Drop for Published<'_> {
    fn drop(&mut self) {
        compiler_fence(Ordering::SeqCst);
        INNERMOST.set(self.frame.outer.get());
    }
}

/// Offers a fault at `addr` to this thread's guards, innermost first. Called by the handler.
fn replace_guarded(addr: usize) -> bool {
    let mut next = INNERMOST.get();
    // SAFETY: by the invariant of `Frame`, the chain is made of frames that are alive, or null.
    while let Some(frame) = unsafe { next.as_ref() } {
        if frame.replace(addr) {
            return true;
        }
        next = frame.outer.get();
    }
    false
}
