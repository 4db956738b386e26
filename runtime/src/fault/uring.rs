//! Populating through io_uring: `IORING_OP_MADVISE`, run by the kernel's workers, for what would wait behind ranges that
//! hold up all of our threads.
//!
//! One thread submits, so the ring can be registered for it, and the workers belong to it. `MADVISE` always goes to a
//! worker, and to one of its own while there are any, so a range that waits for a disk or a fault handler holds up no
//! other until [`WORKERS_MAX`] do. A slice each, like everybody.
//!
//! UNSAFETY: handing the kernel a range of memory to advise on.
#![expect(unsafe_code, reason = "submission queue entries name memory the kernel acts on")]

use std::io;
use std::os::fd::AsRawFd;
use std::sync::Arc;

use io_uring::{IoUring, opcode};
use nix::sys::eventfd::EventFd;
use parking_lot::Mutex;

use super::resolver::{IN_FLIGHT_MAX, SLICE_BYTES, Table, advice};

/// Workers of the kernel at most.
pub(super) const WORKERS_MAX: u32 = 32;

/// `IORING_REGISTER_RING_FDS` and `IORING_ENTER_REGISTERED_RING` of `linux/io_uring.h`.
const REGISTER_RING_FDS: libc::c_uint = 20;
const ENTER_REGISTERED_RING: libc::c_uint = 1 << 4;

/// Whether the ring is registered for the thread that submits.
#[derive(Clone, Copy, Debug)]
enum Registered {
    NotTried,
    /// The kernel would not (before Linux 5.18).
    No,
    At(libc::c_uint),
}

/// `struct io_uring_rsrc_update` of `linux/io_uring.h`.
#[repr(C)]
struct RingUpdate {
    offset: u32,
    resv: u32,
    data: u64,
}

/// A ring whose completions show on the runtime's eventfd.
pub(super) struct Uring {
    ring: IoUring,
    /// The ring's number among those registered for the thread that submits.
    registered: Registered,
}

impl std::fmt::Debug for Uring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Uring").field("registered", &self.registered).finish_non_exhaustive()
    }
}

impl Uring {
    /// Sets up the ring and tries it: a kernel may have io_uring without `MADVISE` on it.
    pub(super) fn new(wake: &Arc<EventFd>) -> io::Result<Self> {
        let entries = u32::try_from(IN_FLIGHT_MAX).map_err(io::Error::other)?;
        let ring = IoUring::new(entries)?;
        let mut probe = io_uring::Probe::new();
        ring.submitter().register_probe(&mut probe)?;
        if !probe.is_supported(opcode::Madvise::CODE) {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "no IORING_OP_MADVISE"));
        }
        ring.submitter().register_eventfd(wake.as_raw_fd())?;
        Ok(Self { ring, registered: Registered::NotTried })
    }

    /// On the thread that submits, once. A kernel without either does without: the ring works by its descriptor, and
    /// the kernel's own bound on workers holds.
    fn register(&mut self) {
        if let Err(error) = self.ring.submitter().register_iowq_max_workers(&mut [WORKERS_MAX, WORKERS_MAX]) {
            tracing::debug!(%error, "io_uring workers not bounded");
        }
        let fd = self.ring.as_raw_fd();
        let mut update =
            RingUpdate { offset: u32::MAX, resv: 0, data: u64::try_from(fd).unwrap_or(u64::MAX) };
        // SAFETY: one structure of the type this request takes, alive until the call has returned. What is registered
        // goes with the thread.
        let count =
            unsafe { libc::syscall(libc::SYS_io_uring_register, fd, REGISTER_RING_FDS, &raw mut update, 1) };
        self.registered = if count == 1 {
            Registered::At(update.offset)
        } else {
            tracing::debug!(error = %io::Error::last_os_error(), "io_uring not registered for its thread");
            Registered::No
        };
    }

    /// Submits what waits, in one call. False: not all of it went.
    pub(super) fn pump(&mut self, table: &Mutex<Table>) -> bool {
        let mut pushed = 0;
        loop {
            let next = table.lock().begin();
            let Some((at, request)) = next else { break };
            if matches!(self.registered, Registered::NotTried) {
                self.register();
            }
            let pages = request.operand.span.pages().part(0, SLICE_BYTES);
            let len = i64::try_from(pages.len).unwrap_or(i64::MAX);
            let entry = opcode::Madvise::new(
                pages.addr.as_ptr::<libc::c_void>(),
                len,
                advice(request.operand.access),
            )
            .build()
            .user_data(at as u64);
            // SAFETY: populating reads and writes no byte of the range, and answers an error for a range that
            // is not mapped; the entry itself is copied into the ring.
            if unsafe { self.ring.submission().push(&entry) }.is_err() {
                table.lock().undo(at);
                break;
            }
            pushed += 1;
        }
        if pushed == 0 { self.flush() } else { self.submit() }
    }

    /// Submits what an earlier call has left. False: not all of it went.
    pub(super) fn flush(&mut self) -> bool {
        self.ring.submission().is_empty() || self.submit()
    }

    fn submit(&mut self) -> bool {
        // An interrupted or busy submission leaves the entries in the ring for the next call.
        match self.enter() {
            Ok(()) => self.ring.submission().is_empty(),
            Err(error) => {
                tracing::debug!(%error, "io_uring submission put off");
                false
            }
        }
    }

    /// Has the kernel take what is in the submission queue.
    fn enter(&mut self) -> io::Result<()> {
        let Registered::At(index) = self.registered else { return self.ring.submit().map(drop) };
        let count = libc::c_uint::try_from(self.ring.submission().len()).unwrap_or(libc::c_uint::MAX);
        let none = std::ptr::null::<libc::c_void>();
        // SAFETY: the ring of this number is ours and registered for this thread, the only one that comes here; no
        // signal mask is given.
        let answer = unsafe {
            libc::syscall(libc::SYS_io_uring_enter, index, count, 0, ENTER_REGISTERED_RING, none, 0)
        };
        if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// The next answer: the number of its request, and what `madvise` said.
    pub(super) fn next(&mut self) -> Option<(usize, i32)> {
        let entry = self.ring.completion().next()?;
        let at = usize::try_from(entry.user_data()).unwrap_or(usize::MAX);
        Some((at, entry.result().min(0).saturating_neg()))
    }
}
