//! Memory that is not there, and ways to have it there.
//!
//! UNSAFETY: touches, advises on and shows memory that a device writes to. Each call states who else uses the memory;
//! a [`Case`](crate::case::Case) owns its regions and runs one operation on each stretch at a time.
#![expect(unsafe_code, reason = "touching and advising on memory at addresses, and fork")]

use std::fs::File;
use std::io::{self, Write};
use std::sync::atomic::{AtomicU8, Ordering};

use memmap2::{MmapMut, MmapOptions, MmapRaw};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, fork};
use svala::{Access, Operand, PAGE_BYTES, VirtAddr};

/// A stretch of mapped memory, and nothing about which of it is present.
pub(crate) struct Region {
    map: MmapRaw,
}

impl Region {
    /// Private zeros nobody has touched, in pages of 4 KiB.
    pub(crate) fn anonymous(bytes: u64) -> io::Result<Self> {
        let len = usize::try_from(bytes).map_err(io::Error::other)?;
        let region = Self { map: MmapRaw::from(MmapMut::map_anon(len)?) };
        // So that what a page costs does not depend on the machine's setting for huge pages.
        region.advise(0, bytes, libc::MADV_NOHUGEPAGE).or_else(|error| match error.raw_os_error() {
            // A kernel without huge pages.
            Some(libc::EINVAL) => Ok(()),
            _ => Err(error),
        })?;
        Ok(region)
    }

    /// A file, shared and read-only; none of it mapped in the page tables yet.
    pub(crate) fn of_file(file: &File, bytes: u64) -> io::Result<Self> {
        let len = usize::try_from(bytes).map_err(io::Error::other)?;
        Ok(Self { map: MmapOptions::new().len(len).map_raw_read_only(file)? })
    }

    pub(crate) fn addr(&self) -> VirtAddr {
        VirtAddr::of(self.map.as_ptr())
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.map.len() as u64
    }

    fn advise(&self, at: u64, bytes: u64, advice: i32) -> io::Result<()> {
        advise(self.addr().add(at), bytes, advice)
    }

    /// Makes all of it present.
    pub(crate) fn populate(&self, access: Access) -> io::Result<()> {
        self.populate_part(0, self.bytes(), access)
    }

    /// Makes a part of it present.
    pub(crate) fn populate_part(&self, at: u64, bytes: u64, access: Access) -> io::Result<()> {
        self.advise(at, bytes, advice_for(access))
    }

    /// Gives all of it back to the kernel. Of private memory the contents are lost.
    pub(crate) fn forget(&self) -> io::Result<()> {
        self.advise(0, self.bytes(), libc::MADV_DONTNEED)
    }

    /// Asks the kernel to swap all of it out.
    pub(crate) fn page_out(&self) -> io::Result<()> {
        self.advise(0, self.bytes(), libc::MADV_PAGEOUT)
    }

    /// Pages that are in memory: of a file, in the page cache, mapped or not.
    pub(crate) fn resident_pages(&self) -> io::Result<u64> {
        let mut pages = vec![0_u8; self.map.len().div_ceil(4096)];
        // SAFETY: `pages` has a byte for each page of the map, which is mapped for as long as `self`.
        let answer =
            unsafe { libc::mincore(self.map.as_mut_ptr().cast(), self.map.len(), pages.as_mut_ptr()) };
        if answer != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(pages.iter().filter(|page| **page & 1 == 1).count() as u64)
    }

    /// Writes `block` over all of it, again and again.
    pub(crate) fn fill(&mut self, block: &[u8]) {
        // SAFETY: the map is private, writable memory of this length, and `&mut self` says that no operation is under
        // way on it: a `Case` lends its regions to a device only while it runs.
        let bytes = unsafe { std::slice::from_raw_parts_mut(self.map.as_mut_ptr(), self.map.len()) };
        for part in bytes.chunks_mut(block.len()) {
            part.copy_from_slice(&block[..part.len()]);
        }
    }

    /// The bytes, when no operation is under way.
    pub(crate) fn contents(&mut self) -> &[u8] {
        // SAFETY: mapped and readable for as long as `self`; `&mut self` says that no operation is under way on it.
        unsafe { std::slice::from_raw_parts(self.map.as_ptr(), self.map.len()) }
    }
}

const fn advice_for(access: Access) -> i32 {
    match access {
        Access::Read => libc::MADV_POPULATE_READ,
        Access::Write => libc::MADV_POPULATE_WRITE,
    }
}

/// Makes a range present by one call.
pub(crate) fn populate(operand: &Operand) -> io::Result<()> {
    let pages = operand.span.pages();
    advise(pages.addr, pages.len, advice_for(operand.access))
}

fn advise(addr: VirtAddr, bytes: u64, advice: i32) -> io::Result<()> {
    let len = usize::try_from(bytes).map_err(io::Error::other)?;
    // SAFETY: every caller names memory of a region. The advices used read and write no byte of it, but for DONTNEED,
    // which `forget` gives for memory that no reference is out to: `contents` borrows the region.
    let answer = unsafe { libc::madvise(addr.as_ptr::<libc::c_void>().cast_mut(), len, advice) };
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Touches each page of a range as the CPU does: reads a byte, or writes one back in a way that other writers do not
/// notice. Answers how many pages.
///
/// # Safety
///
/// The range is mapped, with the rights for the access, and no reference to it is out.
pub(crate) unsafe fn touch(operand: &Operand) -> u64 {
    let pages = operand.span.pages();
    let mut at = 0;
    while at < pages.len {
        let byte = pages.addr.add(at);
        let byte = std::ptr::with_exposed_provenance_mut::<u8>(usize::try_from(byte.get()).unwrap_or(0));
        match operand.access {
            // SAFETY: mapped and readable, by the contract.
            Access::Read => drop(unsafe { byte.read_volatile() }),
            Access::Write => {
                // SAFETY: mapped and writable, by the contract; whoever else uses it does so by other means than
                // references.
                let byte = unsafe { AtomicU8::from_ptr(byte) };
                let value = byte.load(Ordering::Relaxed);
                // Not `fetch_or(0)`: compilers make a load of it. Whether it succeeds does not matter, it writes.
                let _ = byte.compare_exchange(value, value, Ordering::Relaxed, Ordering::Relaxed);
            }
        }
        at += PAGE_BYTES;
    }
    pages.len / PAGE_BYTES
}

/// A file in memory, with contents.
pub(crate) fn memory_file(bytes: u64, block: &[u8]) -> io::Result<File> {
    let name = c"svala-faults";
    // SAFETY: the name is a string that ends in 0.
    let fd = unsafe { libc::memfd_create(name.as_ptr(), libc::MFD_CLOEXEC) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor was just made, and nobody else has it.
    let mut file = unsafe { <File as std::os::fd::FromRawFd>::from_raw_fd(fd) };
    write_blocks(&mut file, bytes, block)?;
    Ok(file)
}

/// Writes `block` again and again.
pub(crate) fn write_blocks(file: &mut File, bytes: u64, block: &[u8]) -> io::Result<()> {
    let mut left = bytes;
    while left > 0 {
        let len = usize::try_from(left).unwrap_or(usize::MAX).min(block.len());
        file.write_all(&block[..len])?;
        left -= len as u64;
    }
    Ok(())
}

/// A child process that shares this one's private memory until it is dropped.
pub(crate) struct Child(Pid);

impl Child {
    pub(crate) fn start() -> io::Result<Self> {
        // SAFETY: the child calls nothing but `prctl` and `pause`, which are safe after a fork of a process with threads.
        match unsafe { fork() }? {
            ForkResult::Parent { child } => Ok(Self(child)),
            ForkResult::Child => {
                // So that it does not outlive a parent that is killed.
                // SAFETY: `prctl` with these arguments touches no memory.
                unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
                loop {
                    // SAFETY: takes no arguments and touches no memory.
                    unsafe { libc::pause() };
                }
            }
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = kill(self.0, Signal::SIGKILL);
        let _ = waitpid(self.0, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anonymous_memory_is_absent_until_it_is_touched() {
        let region = Region::anonymous(16 * PAGE_BYTES).unwrap();
        assert_eq!(region.resident_pages().unwrap(), 0);
        let span = svala::Span::new(region.addr().add(PAGE_BYTES), 2 * PAGE_BYTES + 1);
        // SAFETY: writable memory of the region, to which there is no reference.
        assert_eq!(unsafe { touch(&Operand { span, access: Access::Write }) }, 3);
        assert_eq!(region.resident_pages().unwrap(), 3);
        region.populate(Access::Write).unwrap();
        assert_eq!(region.resident_pages().unwrap(), 16);
        region.forget().unwrap();
        assert_eq!(region.resident_pages().unwrap(), 0);
    }
}
