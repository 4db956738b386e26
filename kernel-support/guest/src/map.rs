//! Memory of a process, mapped by itself, whose pages are there or not as a test wants it.
//!
//! A device writes to it, so there is no reference to what is in it: bytes are copied in and out through raw pointers.
//!
//! UNSAFETY: maps, unmaps and reads memory by address.
#![expect(unsafe_code, reason = "memory that a device writes to, and that tests take away under it")]

use std::fs::File;
use std::io::Write as _;
use std::os::fd::{AsRawFd as _, FromRawFd as _};
use std::ptr;

use anyhow::{Context as _, Result, ensure};

/// Bytes of a page.
pub(crate) const PAGE: usize = 4096;
/// Bytes of a huge page.
pub(crate) const HUGE_PAGE: usize = 2 << 20;

/// A private map. May be used by any thread: all of it is by address.
///
/// # Invariants
///
/// From `addr`, `len` bytes, a multiple of a page, are a map that nothing else in this process knows. Parts of it may
/// have been unmapped or protected by the test that owns it; reading those is that test's death, by SIGSEGV, and no
/// undefined behaviour of others.
#[derive(Debug)]
pub(crate) struct Map {
    addr: usize,
    len: usize,
}

/// Advice that the kernel may not take at once: a page that is being written to is locked or pinned for a moment.
fn advise(start: *mut u8, len: usize, advice: i32) -> Result<()> {
    const TRIES_MAX: u32 = 2000;
    for _ in 0..TRIES_MAX {
        // SAFETY: advice about a map of ours; it changes no content.
        if unsafe { libc::madvise(start.cast(), len, advice) } == 0 {
            return Ok(());
        }
        let error = std::io::Error::last_os_error();
        ensure!(
            matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EBUSY)),
            "madvise {advice}: {error}"
        );
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    anyhow::bail!("madvise {advice}: asked {TRIES_MAX} times to try again")
}

impl Map {
    /// `len` bytes without any page.
    pub(crate) fn cold(len: usize) -> Result<Self> {
        Self::new(len, libc::PROT_READ | libc::PROT_WRITE, None)
    }

    /// `len` bytes that are all there, with `byte(i)` at place `i`.
    pub(crate) fn filled(len: usize, byte: impl Fn(usize) -> u8) -> Result<Self> {
        let map = Self::cold(len)?;
        map.write(0, &(0..len).map(byte).collect::<Vec<_>>());
        Ok(map)
    }

    /// These bytes, filled up with zeros to whole pages, in a file that is in memory while none of the map's pages is.
    pub(crate) fn cold_with(bytes: &[u8]) -> Result<Self> {
        // SAFETY: makes a file; the name is a C string.
        let fd = unsafe { libc::memfd_create(c"cold".as_ptr(), libc::MFD_CLOEXEC) };
        ensure!(fd >= 0, "memfd_create: {}", std::io::Error::last_os_error());
        // SAFETY: `fd` was made above and is nobody else's.
        let mut file = unsafe { File::from_raw_fd(fd) };
        let len = bytes.len().next_multiple_of(PAGE);
        file.write_all(bytes)?;
        file.set_len(len as u64)?;
        Self::new(len, libc::PROT_READ | libc::PROT_WRITE, Some(&file))
    }

    fn new(len: usize, protection: i32, file: Option<&File>) -> Result<Self> {
        let (flags, fd) = match file {
            Some(file) => (libc::MAP_SHARED, file.as_raw_fd()),
            None => (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1),
        };
        let len = len.next_multiple_of(PAGE);
        // SAFETY: a new map at a place of the kernel's choice touches nothing that exists.
        let place = unsafe { libc::mmap(ptr::null_mut(), len, protection, flags, fd, 0) };
        ensure!(place != libc::MAP_FAILED, "mmap of {len} bytes: {}", std::io::Error::last_os_error());
        // A huge page would make one fault of 512.
        // SAFETY: advice about our own map; it changes no content.
        unsafe { libc::madvise(place, len, libc::MADV_NOHUGEPAGE) };
        Ok(Self { addr: place.expose_provenance(), len })
    }

    /// The address of place `at`.
    pub(crate) const fn at(&self, at: usize) -> u64 {
        (self.addr + at) as u64
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    fn pointer(&self, at: usize, len: usize) -> *mut u8 {
        assert!(at + len <= self.len, "{at} + {len} of {}", self.len);
        ptr::with_exposed_provenance_mut(self.addr + at)
    }

    /// Copies `bytes` to place `at`.
    pub(crate) fn write(&self, at: usize, bytes: &[u8]) {
        let to = self.pointer(at, bytes.len());
        // SAFETY: `pointer` checked that the place is in the map, which is ours alone.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) };
    }

    /// Copies `len` bytes from place `at`.
    pub(crate) fn read(&self, at: usize, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        let from = self.pointer(at, len);
        // SAFETY: as in `write`; what a device is writing meanwhile is bytes, any of which is a `u8`.
        unsafe { ptr::copy_nonoverlapping(from, bytes.as_mut_ptr(), len) };
        bytes
    }

    /// The byte at place `at`, which a device may just be writing: what it wrote before is seen as well.
    pub(crate) fn load(&self, at: usize) -> u8 {
        let place = self.pointer(at, 1);
        // SAFETY: `pointer` checked it; no reference to it exists, and all accesses of this byte while a device has it
        // are atomic.
        let byte = unsafe { std::sync::atomic::AtomicU8::from_ptr(place) };
        byte.load(std::sync::atomic::Ordering::Acquire)
    }

    /// Takes the pages from place `at` away; the next look finds zeros.
    pub(crate) fn discard(&self, at: usize, len: usize) -> Result<()> {
        let place = self.pointer(at, len);
        // SAFETY: the map is ours alone, and its tests expect zeros.
        let status = unsafe { libc::madvise(place.cast(), len, libc::MADV_DONTNEED) };
        ensure!(status == 0, "MADV_DONTNEED: {}", std::io::Error::last_os_error());
        Ok(())
    }

    /// The first place at which a huge page may be.
    pub(crate) const fn huge_page(&self) -> usize {
        self.addr.next_multiple_of(HUGE_PAGE) - self.addr
    }

    /// Makes one huge page of those from [`huge_page`](Self::huge_page) on, as `khugepaged` does it without being asked.
    pub(crate) fn merge(&self) -> Result<()> {
        let place = self.pointer(self.huge_page(), HUGE_PAGE);
        // All of the map is told, so that it stays one.
        for (start, len, advice) in [
            (self.pointer(0, self.len), self.len, libc::MADV_HUGEPAGE),
            (place, HUGE_PAGE, libc::MADV_COLLAPSE),
        ] {
            advise(start, len, advice)?;
        }
        Ok(())
    }

    /// Forbids or allows writing.
    pub(crate) fn protect(&self, at: usize, len: usize, writable: bool) -> Result<()> {
        let protection = if writable { libc::PROT_READ | libc::PROT_WRITE } else { libc::PROT_READ };
        let place = self.pointer(at, len);
        // SAFETY: the map is ours alone.
        let status = unsafe { libc::mprotect(place.cast(), len, protection) };
        ensure!(status == 0, "mprotect: {}", std::io::Error::last_os_error());
        Ok(())
    }

    /// Unmaps a part: no method may touch it afterwards.
    pub(crate) fn unmap(&self, at: usize, len: usize) -> Result<()> {
        let place = self.pointer(at, len);
        // SAFETY: the map is ours alone; the caller does not touch the part any more.
        let status = unsafe { libc::munmap(place.cast(), len) };
        ensure!(status == 0, "munmap: {}", std::io::Error::last_os_error());
        Ok(())
    }

    /// Fails if the bytes from `at` are not `byte(i)`.
    pub(crate) fn expect(&self, at: usize, len: usize, byte: impl Fn(usize) -> u8) -> Result<()> {
        let wrong = self.read(at, len).iter().enumerate().position(|(i, &found)| found != byte(i));
        match wrong {
            None => Ok(()),
            Some(i) => {
                let found = self.load(at + i);
                Err(anyhow::anyhow!("byte {i} of {len} is {found:#04x} and not {:#04x}", byte(i)))
                    .context("the data are wrong")
            }
        }
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: the map is ours alone. A part that is unmapped already may have become another's: tests that unmap
        // forget the map instead.
        unsafe { libc::munmap(ptr::with_exposed_provenance_mut(self.addr), self.len) };
    }
}
