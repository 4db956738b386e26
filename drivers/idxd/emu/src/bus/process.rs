//! This process's own memory, touched the way a device touches it: never through a pointer of ours.
//!
//! Accesses go through `process_vm_readv` and `process_vm_writev` on our own process id. A bad address is then an
//! error code, not a signal; page permissions hold (unlike with `/proc/self/mem`); and what another thread unmaps in
//! the meantime is a fault too. Those calls would bring absent pages in by themselves, so the model asks
//! [`Bus::present`] first and reports a fault when a page is not in the page tables, as an IOMMU would. A page that is
//! reclaimed between the question and the access is brought back by the kernel, without a device fault: the model
//! cannot see that, and no program can tell. Pages that are present but not writable *yet* (copy-on-write after a fork
//! or of a private file map) are the other difference: they count as present, and the kernel makes them writable.
//!
//! Bytes the device writes change under the program, exactly as with a real device: whoever submits a descriptor
//! promises that nothing borrows the destination or the record. This is the same promise a mapped portal asks for.
//!
// UNSAFETY: system calls that take addresses as numbers and check them: a copy inside this process, a madvise.
#![expect(unsafe_code, reason = "process_vm_writev with a raw local address, madvise")]

use std::ffi::c_void;
use std::io::{IoSlice, IoSliceMut};
use std::ops::Range;
use std::ptr;

use nix::errno::Errno;
use nix::sys::uio::{RemoteIoVec, process_vm_readv, process_vm_writev};
use nix::unistd::Pid;

use super::pagemap::Pagemap;
use super::{Access, Bus, BusFault, PAGE_BYTES, Presence};
use crate::Error;

/// Bytes one system call copies at most.
const COPY_BYTES_MAX: u64 = 2 << 20;

/// The memory of this process as a [`Bus`].
///
/// Belongs to the process that opened it: a forked child must open its own.
#[derive(Debug)]
pub struct ProcessMemory {
    pagemap: Pagemap,
    pid: Pid,
}

impl ProcessMemory {
    /// Opens this process's page map.
    ///
    /// # Errors
    ///
    /// [`Error::Pagemap`] where `/proc` is not mounted or not readable.
    pub fn open() -> Result<Self, Error> {
        let pagemap = Pagemap::open().map_err(Error::Pagemap)?;
        Ok(Self { pagemap, pid: Pid::this() })
    }

    /// Finds presence another way than the best this kernel has. For tests of the fallback.
    #[must_use]
    pub fn with_presence(self, presence: Presence) -> Self {
        Self { pagemap: self.pagemap.with_presence(presence), ..self }
    }

    /// How presence is found out.
    pub fn presence(&self) -> Presence {
        self.pagemap.presence()
    }

    /// Brings the page of `addr` in, as the kernel does for a page request.
    ///
    /// # Errors
    ///
    /// The page has no mapping, or not with that permission, or there is no memory.
    pub fn populate(addr: u64, access: Access) -> Result<(), Errno> {
        let page = addr / PAGE_BYTES;
        Self::populate_pages(page..page + 1, access)
    }

    /// Brings pages in, by number.
    ///
    /// # Errors
    ///
    /// As [`populate`](Self::populate), for one of them. Others may have been brought in.
    pub fn populate_pages(pages: Range<u64>, access: Access) -> Result<(), Errno> {
        let advice = match access {
            Access::Read => libc::MADV_POPULATE_READ,
            Access::Write => libc::MADV_POPULATE_WRITE,
        };
        let bytes = |pages: u64| pages.checked_mul(PAGE_BYTES).and_then(|bytes| usize::try_from(bytes).ok());
        let start = bytes(pages.start).ok_or(Errno::EFAULT)?;
        let len = bytes(pages.end.saturating_sub(pages.start)).ok_or(Errno::EFAULT)?;
        let start = ptr::with_exposed_provenance_mut::<c_void>(start);
        // SAFETY: populating changes no byte a program can see; what is not mapped is an error code.
        Errno::result(unsafe { libc::madvise(start, len, advice) }).map(drop)
    }

    /// Copies as much as goes at once; `None` when not even the first byte did.
    fn copy_some(&self, src: u64, dst: u64, len: u64) -> Option<u64> {
        let local = libc::iovec {
            iov_base: ptr::with_exposed_provenance_mut(usize::try_from(src).ok()?),
            iov_len: usize::try_from(len).ok()?,
        };
        let remote = libc::iovec {
            iov_base: ptr::with_exposed_provenance_mut(usize::try_from(dst).ok()?),
            iov_len: local.iov_len,
        };
        // SAFETY: the kernel checks both ranges and answers EFAULT or a short count for what is not mapped with the
        // permission; that nothing borrows the destination is the promise of whoever submitted the descriptor.
        let copied = unsafe {
            libc::process_vm_writev(self.pid.as_raw(), &raw const local, 1, &raw const remote, 1, 0)
        };
        u64::try_from(copied).ok().filter(|copied| *copied > 0)
    }

    fn is_readable(&self, addr: u64) -> bool {
        self.read(addr, &mut [0]).is_ok()
    }
}

impl Bus for ProcessMemory {
    fn present(&self, addr: u64, len: u64, access: Access) -> u64 {
        self.pagemap.present(addr, len, access)
    }

    fn present_back(&self, addr: u64, len: u64, access: Access) -> u64 {
        self.pagemap.present_back(addr, len, access)
    }

    fn read(&self, addr: u64, bytes: &mut [u8]) -> Result<(), BusFault> {
        let mut done = 0;
        while done < bytes.len() {
            let fault = BusFault { addr: addr.wrapping_add(done as u64), access: Access::Read };
            let base = usize::try_from(fault.addr).map_err(|_| fault)?;
            let local = &mut bytes[done..];
            let remote = [RemoteIoVec { base, len: local.len() }];
            match process_vm_readv(self.pid, &mut [IoSliceMut::new(local)], &remote) {
                Ok(read) if read > 0 => done += read,
                _ => return Err(fault),
            }
        }
        Ok(())
    }

    fn write(&self, addr: u64, bytes: &[u8]) -> Result<(), BusFault> {
        let mut done = 0;
        while done < bytes.len() {
            let fault = BusFault { addr: addr.wrapping_add(done as u64), access: Access::Write };
            let base = usize::try_from(fault.addr).map_err(|_| fault)?;
            let local = &bytes[done..];
            let remote = [RemoteIoVec { base, len: local.len() }];
            match process_vm_writev(self.pid, &[IoSlice::new(local)], &remote) {
                Ok(written) if written > 0 => done += written,
                _ => return Err(fault),
            }
        }
        Ok(())
    }

    fn copy(&self, src: u64, dst: u64, len: u64) -> Result<(), BusFault> {
        let mut done = 0;
        while done < len {
            let (from, to) = (src.wrapping_add(done), dst.wrapping_add(done));
            match self.copy_some(from, to, (len - done).min(COPY_BYTES_MAX)) {
                Some(copied) => done += copied,
                // One of the two sides is not there, and the kernel does not say which.
                None if self.is_readable(from) => return Err(BusFault { addr: to, access: Access::Write }),
                None => return Err(BusFault { addr: from, access: Access::Read }),
            }
        }
        Ok(())
    }
}
