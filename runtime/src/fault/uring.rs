//! Populating through io_uring: `IORING_OP_MADVISE`, run by the kernel's workers.
//!
//! UNSAFETY: handing the kernel a range of memory to advise on.
#![expect(unsafe_code, reason = "submission queue entries name memory the kernel acts on")]

use std::io;
use std::os::fd::AsRawFd;
use std::sync::Arc;

use io_uring::{IoUring, opcode};
use nix::sys::eventfd::EventFd;
use parking_lot::Mutex;

use super::resolver::{Answer, IN_FLIGHT_MAX, Request, advice};
use crate::address::PAGE_BYTES;

/// Longest range of one entry: whole pages in 32 bits.
const BYTES_MAX: u64 = u32::MAX as u64 & !(PAGE_BYTES - 1);

/// A ring whose completions show on the runtime's eventfd.
pub(crate) struct Uring {
    inner: Mutex<Inner>,
}

struct Inner {
    ring: IoUring,
    in_flight: usize,
}

impl std::fmt::Debug for Uring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Uring")
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
        Ok(Self { inner: Mutex::new(Inner { ring, in_flight: 0 }) })
    }

    pub(super) fn start(&self, requests: &[Request]) -> bool {
        let mut inner = self.inner.lock();
        if inner.in_flight + requests.len() > IN_FLIGHT_MAX {
            return false;
        }
        for request in requests {
            let pages = request.operand.span.pages();
            // The entry's length has 32 bits. What a longer range leaves out is populated when it faults.
            let len = i64::try_from(pages.len.min(BYTES_MAX)).unwrap_or(i64::MAX);
            let entry = opcode::Madvise::new(
                pages.addr.as_ptr::<libc::c_void>(),
                len,
                advice(request.operand.access),
            )
            .build()
            .user_data(u64::from(request.channel) << 32 | u64::from(request.slot));
            // SAFETY: populating reads and writes no byte of the range, and answers an error for a range that
            // is not mapped; the entry itself is copied into the ring.
            let pushed = unsafe { inner.ring.submission().push(&entry) };
            // The ring has room for everything in flight, and each start submits what it pushed.
            debug_assert!(pushed.is_ok(), "submission queue has IN_FLIGHT_MAX entries");
        }
        inner.in_flight += requests.len();
        // An interrupted or busy submission leaves the entries in the ring; the next start or drain takes them.
        if let Err(error) = inner.ring.submit() {
            tracing::debug!(%error, "io_uring submission put off");
        }
        true
    }

    pub(super) fn drain(&self, each: &mut dyn FnMut(Answer)) -> bool {
        let mut any = false;
        loop {
            let mut answers = [const { None }; 16];
            {
                let mut inner = self.inner.lock();
                if inner.in_flight == 0 {
                    break;
                }
                if !inner.ring.submission().is_empty() {
                    let _ = inner.ring.submit();
                }
                let mut taken = 0;
                for (place, entry) in answers.iter_mut().zip(inner.ring.completion()) {
                    *place = Some(entry);
                    taken += 1;
                }
                inner.in_flight -= taken;
            }
            // Handed out with the ring unlocked: an answer may start the next request.
            for entry in answers.iter().flatten() {
                any = true;
                #[expect(clippy::cast_possible_truncation, reason = "takes apart what `start` packed")]
                each(Answer {
                    channel: (entry.user_data() >> 32) as u16,
                    slot: entry.user_data() as u32,
                    errno: entry.result().min(0).saturating_neg(),
                });
            }
            if answers.iter().any(Option::is_none) {
                break;
            }
        }
        any
    }
}
