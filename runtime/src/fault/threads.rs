//! Populating on threads of ours, where io_uring is forbidden.
//!
//! A long range is populated a slice at a time, and goes to the end of the line after each: with few threads, one
//! gibibyte would otherwise hold up everybody's next page. A range that waits for a disk or a fault handler holds its
//! thread; as many as there are threads hold up the rest, which io_uring does not suffer from.
//!
//! UNSAFETY: `madvise` on addresses that came from a device.
#![expect(unsafe_code, reason = "madvise is an unsafe call")]

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_queue::ArrayQueue;
use nix::sys::eventfd::EventFd;
use parking_lot::{Condvar, Mutex};

use super::resolver::{IN_FLIGHT_MAX, Request, Table, advice};
use crate::address::Span;
use crate::job::Operand;

/// Threads that populate.
pub(super) const THREADS: u32 = 4;
/// Bytes populated before it is another range's turn.
const SLICE_BYTES: u64 = 2 << 20;

#[derive(Debug)]
struct Shared {
    table: Arc<Mutex<Table>>,
    /// Held to look at the table before sleeping, and to say that there is something in it.
    closed: Mutex<bool>,
    more: Condvar,
    answers: ArrayQueue<(usize, i32)>,
    wake: Arc<EventFd>,
}

/// The threads, and the way to them.
#[derive(Debug)]
pub(super) struct Threads {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Threads {
    pub(super) fn new(table: &Arc<Mutex<Table>>, wake: &Arc<EventFd>) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            table: Arc::clone(table),
            closed: Mutex::new(false),
            more: Condvar::new(),
            answers: ArrayQueue::new(IN_FLIGHT_MAX),
            wake: Arc::clone(wake),
        });
        let mut this = Self { shared, threads: Vec::with_capacity(THREADS as usize) };
        for i in 0..THREADS {
            let shared = Arc::clone(&this.shared);
            let thread = std::thread::Builder::new().name(format!("svala-fault{i}"));
            this.threads.push(thread.spawn(move || shared.serve())?);
        }
        Ok(this)
    }

    /// There is something in the table.
    pub(super) fn wake(&self) {
        let _closed = self.shared.closed.lock();
        self.shared.more.notify_all();
    }

    /// The next answer: the number of its request, and what `madvise` said.
    pub(super) fn next(&self) -> Option<(usize, i32)> {
        self.shared.answers.pop()
    }
}

impl Shared {
    fn serve(&self) {
        while let Some((at, request)) = self.next() {
            let Operand { span, access } = request.operand;
            let pages = span.pages();
            let slice = pages.part(0, SLICE_BYTES);
            let errno = populate(slice, advice(access));
            let rest = pages.part(slice.len, u64::MAX);
            if errno == 0 && rest.len != 0 {
                let request = Request { operand: Operand { span: rest, access }, ..request };
                self.table.lock().put_back(at, request);
                // This thread takes the next itself; another may take this one.
                self.more.notify_one();
                continue;
            }
            let pushed = self.answers.push((at, errno));
            debug_assert!(pushed.is_ok(), "the table bounds the answers");
            let _ = self.wake.write(1);
        }
    }

    /// Waits for a request; none when there will be no more.
    fn next(&self) -> Option<(usize, Request)> {
        let mut closed = self.closed.lock();
        loop {
            if let Some(next) = self.table.lock().begin() {
                return Some(next);
            }
            if *closed {
                return None;
            }
            self.more.wait(&mut closed);
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
        *self.shared.closed.lock() = true;
        self.shared.more.notify_all();
        for thread in self.threads.drain(..) {
            // A thread that panicked has said so; there is nothing to add.
            let _ = thread.join();
        }
    }
}
