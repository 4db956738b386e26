//! Populating on threads of ours.
//!
//! A range is populated a slice at a time, goes to the end of the line after each, and the thread gives up its CPU: what
//! populates can take every CPU there is, a kernel that does not preempt itself lets a system call run to the next tick of
//! its clock, and one gibibyte would hold up everybody's next page. A range that waits for a disk or a fault handler
//! holds its thread; [`Resolver`](super::Resolver) sees to it that as many as there are threads hold up nobody else.
//!
//! UNSAFETY: `madvise` on addresses that came from a device.
#![expect(unsafe_code, reason = "madvise is an unsafe call")]

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crossbeam_queue::ArrayQueue;
use nix::sys::eventfd::EventFd;
use parking_lot::Mutex;

use super::pool::Pool;
use super::resolver::{IN_FLIGHT_MAX, SLICE_BYTES, Table, advice};
use crate::address::Span;

/// Threads that populate at most.
const THREADS_MAX: u32 = 4;

/// Threads that populate. One more than there are CPUs, for one that is held up, if io_uring takes over when all are: more
/// would only take turns at the locks of the page tables.
fn count(has_overflow: bool) -> u32 {
    let cpus = std::thread::available_parallelism()
        .map_or(1, |cpus| u32::try_from(cpus.get()).unwrap_or(THREADS_MAX));
    if has_overflow { cpus.saturating_add(1).min(THREADS_MAX) } else { THREADS_MAX }
}

#[derive(Debug)]
struct Shared {
    table: Arc<Mutex<Table>>,
    answers: ArrayQueue<(usize, i32)>,
    wake: Arc<EventFd>,
    /// Slices that have ended.
    slices: AtomicU64,
    /// Whether somebody looks after what waits without being told.
    is_watched: AtomicBool,
    pool: Pool,
}

/// The threads, and the way to them.
#[derive(Debug)]
pub(super) struct Threads {
    shared: Arc<Shared>,
    count: u32,
}

impl Threads {
    pub(super) fn new(table: &Arc<Mutex<Table>>, wake: &Arc<EventFd>, has_overflow: bool) -> Self {
        let shared = Arc::new(Shared {
            table: Arc::clone(table),
            answers: ArrayQueue::new(IN_FLIGHT_MAX),
            wake: Arc::clone(wake),
            slices: AtomicU64::new(0),
            is_watched: AtomicBool::new(!has_overflow),
            pool: Pool::default(),
        });
        Self { shared, count: count(has_overflow) }
    }

    /// How many there are.
    pub(super) const fn count(&self) -> u32 {
        self.count
    }

    /// Starts them.
    ///
    /// # Errors
    ///
    /// What thread creation says.
    pub(super) fn start(&self) -> io::Result<()> {
        let shared = Arc::clone(&self.shared);
        let serve: Arc<dyn Fn() + Send + Sync> = Arc::new(move || shared.serve());
        self.shared.pool.start("svala-fault", self.count, &serve)
    }

    /// There is something in the table. False: all threads are at work, and nobody watches what waits.
    pub(super) fn call(&self) -> bool {
        self.shared.pool.call_anyone() || self.shared.is_watched.load(Ordering::SeqCst)
    }

    /// From now on what waits is looked after, or is not. With the table locked: nobody is told in between.
    pub(super) fn watch(&self, is_watched: bool) {
        self.shared.is_watched.store(is_watched, Ordering::SeqCst);
    }

    /// Slices that have ended: it stands still while all that are at work are held up.
    pub(super) fn slices(&self) -> u64 {
        self.shared.slices.load(Ordering::Relaxed)
    }

    /// The next answer: the number of its request, and what `madvise` said.
    pub(super) fn next(&self) -> Option<(usize, i32)> {
        self.shared.answers.pop()
    }
}

impl Shared {
    /// Populates until nothing waits.
    fn serve(&self) {
        loop {
            let next = self.table.lock().begin();
            let Some((at, request)) = next else { return };
            let slice = request.operand.span.pages().part(0, SLICE_BYTES);
            let errno = populate(slice, advice(request.operand.access));
            self.slices.fetch_add(1, Ordering::Relaxed);
            if errno == 0 && self.table.lock().go_on(at) {
                // This thread takes the next itself; another may take this one.
                if !self.pool.call() && !self.is_watched.load(Ordering::SeqCst) {
                    let _ = self.wake.write(1);
                }
            } else {
                let pushed = self.answers.push((at, errno));
                debug_assert!(pushed.is_ok(), "the table bounds the answers");
                let _ = self.wake.write(1);
            }
            std::thread::yield_now();
        }
    }
}

/// 0, or what `madvise` said.
pub(super) fn populate(pages: Span, advice: i32) -> i32 {
    let addr = pages.addr.as_ptr::<libc::c_void>().cast_mut();
    let len = usize::try_from(pages.len).unwrap_or(usize::MAX);
    // SAFETY: populating reads and writes no byte of the range, and answers an error for what is not mapped.
    let answer = unsafe { libc::madvise(addr, len, advice) };
    if answer == 0 { 0 } else { io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO) }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.shared.pool.stop();
    }
}
