//! The portal of any work queue, through `write(2)` on its device node. Never run on hardware.
//!
//! Since Linux 6.10 (and stable kernels of 2024) the idxd driver takes descriptors of 64 bytes this way, from
//! processes without `CAP_SYS_RAWIO`. It writes them to the portal one after the other, and stops at the first that is
//! refused: how many went is what `write` answers. It refuses batches of version-1 devices, and misaligned records.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use idxd_spec::Descriptor;
use svala::backend::{Completion, Kind};

use super::{Accepted, Portal};

/// A work queue's device node, written to.
#[derive(Debug)]
pub struct WritePortal {
    node: File,
    /// Error number of the last refusal that will not go away by itself; 0 for none.
    refusal: AtomicI32,
    /// A descriptor went in part: what is written next would begin in its middle.
    torn: AtomicBool,
}

impl WritePortal {
    /// A portal over `node`, the open device node of a work queue.
    ///
    /// # Errors
    ///
    /// `EINVAL` from a kernel whose driver does not take descriptors this way: it is asked with a write of no bytes.
    pub fn new(node: File) -> Result<Self, (io::Error, File)> {
        match (&node).write(&[]) {
            Ok(0) => Ok(Self { node, refusal: AtomicI32::new(0), torn: AtomicBool::new(false) }),
            Ok(_) => Err((ErrorKind::InvalidData.into(), node)),
            Err(error) => Err((error, node)),
        }
    }

    /// Why the kernel last refused a descriptor for good, if it did: `EINVAL` for what it will not write to this
    /// device, `EPERM` in a child of the process that opened it. The queue only sees that it was not accepted.
    pub fn refusal(&self) -> Option<io::Error> {
        match self.refusal.load(Ordering::Relaxed) {
            0 => None,
            errno => Some(io::Error::from_raw_os_error(errno)),
        }
    }

    /// Writes descriptors in one call; how many went, from the first on. Fewer than there are means that the queue is
    /// full, or that the kernel refused the next: see [`refusal`](Self::refusal).
    pub fn submit_all(&self, descriptors: &[Descriptor]) -> usize {
        match descriptors {
            [one] => self.write(one.as_bytes()),
            several => {
                let bytes: Vec<u8> = several.iter().flat_map(|one| *one.as_bytes()).collect();
                self.write(&bytes)
            }
        }
    }

    /// Whole descriptors that went.
    fn write(&self, bytes: &[u8]) -> usize {
        if self.torn.load(Ordering::Relaxed) {
            return 0;
        }
        match (&self.node).write(bytes) {
            Ok(written) => {
                if written % Descriptor::SIZE != 0 {
                    self.torn.store(true, Ordering::Relaxed);
                    self.refuse(libc::EIO);
                }
                written / Descriptor::SIZE
            }
            Err(error) => {
                // Full, or a signal came first: nothing went, and the next attempt may do better.
                if !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) {
                    self.refuse(error.raw_os_error().unwrap_or(libc::EIO));
                }
                0
            }
        }
    }

    /// Notes an error, and says so the first time.
    fn refuse(&self, errno: i32) {
        if self.refusal.swap(errno, Ordering::Relaxed) != errno {
            let error = io::Error::from_raw_os_error(errno);
            tracing::warn!(node = ?self.node, %error, "write(2) of a descriptor refused");
        }
    }
}

impl Portal for WritePortal {
    fn submit(&self, descriptor: &Descriptor) -> Accepted {
        match self.write(descriptor.as_bytes()) {
            0 => Accepted::Retry,
            _ => Accepted::Yes,
        }
    }

    fn kind(&self) -> Kind {
        Kind::Hardware
    }

    fn completion(&self) -> Completion {
        Completion::Polled
    }
}
