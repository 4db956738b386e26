//! Memory whose state can be seen: buffers that count their drops, and mappings whose pages come and go.
//!
//! UNSAFETY: maps memory and lends it to the runtime.
#![expect(unsafe_code, reason = "mmap, madvise and mincore are unsafe calls; buffers promise their address")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use svala::{IoBuf, IoBufMut, Span, VirtAddr};

use super::queue::Device;

/// Drops of [`Counted`] buffers.
#[derive(Clone, Default)]
pub struct Drops(Arc<AtomicUsize>);

impl Drops {
    pub fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    /// A buffer that counts here, and tells `device` if it goes while the device uses it.
    pub fn buffer(&self, device: &Device, bytes: Vec<u8>) -> Counted {
        Counted { bytes, drops: self.clone(), device: device.witness() }
    }
}

/// A heap buffer that counts its drop.
pub struct Counted {
    pub bytes: Vec<u8>,
    drops: Drops,
    device: super::queue::Witness,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.device.freed(Span::new(VirtAddr::of(self.bytes.as_ptr()), self.bytes.len() as u64));
        self.bytes.fill(0xdd);
        self.drops.0.fetch_add(1, Ordering::SeqCst);
    }
}

// SAFETY: the bytes are on the heap and owned by the value.
unsafe impl IoBuf for Counted {
    fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

// SAFETY: as above.
unsafe impl IoBufMut for Counted {
    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

const PAGE: usize = 4096;

/// A private anonymous mapping of small pages, none of them present at first.
pub struct Cold {
    addr: *mut libc::c_void,
    len: usize,
}

// SAFETY: the mapping is owned by the value.
unsafe impl Send for Cold {}

impl Cold {
    pub fn new(len: usize) -> Self {
        let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a new mapping, wherever the kernel likes.
        let addr = unsafe { libc::mmap(std::ptr::null_mut(), len.max(PAGE), access, kind, -1, 0) };
        assert_ne!(addr, libc::MAP_FAILED, "mmap of {len} bytes");
        // SAFETY: advice on the mapping just made: pages come one by one, not in huge ones.
        let advised = unsafe { libc::madvise(addr, len.max(PAGE), libc::MADV_NOHUGEPAGE) };
        // A kernel without huge pages refuses the advice and needs none.
        let _ = advised;
        Self { addr, len }
    }

    /// A mapping with these bytes, present.
    pub fn warm(bytes: &[u8]) -> Self {
        let mut cold = Self::new(bytes.len());
        cold.bytes_mut().copy_from_slice(bytes);
        cold
    }

    /// Takes the pages of a range away; they read as zero when they come back.
    pub fn evict(&self, offset: usize, len: usize) {
        // SAFETY: within the mapping, and its bytes are plain data.
        let place = unsafe { self.addr.byte_add(offset) };
        // SAFETY: as above.
        assert_eq!(unsafe { libc::madvise(place, len, libc::MADV_DONTNEED) }, 0);
    }

    /// Makes a range unusable for anybody: a hole that cannot be populated.
    pub fn forbid(&self, offset: usize, len: usize) {
        // SAFETY: within the mapping; the tests do not look there.
        let place = unsafe { self.addr.byte_add(offset) };
        // SAFETY: as above.
        assert_eq!(unsafe { libc::mprotect(place, len, libc::PROT_NONE) }, 0);
    }

    pub fn addr(&self) -> VirtAddr {
        VirtAddr::of(self.addr.cast_const())
    }

    /// Pages that are present.
    pub fn present(&self) -> usize {
        let mut pages = vec![0; self.len.div_ceil(PAGE)];
        residency(self.addr(), &mut pages);
        pages.iter().filter(|page| **page & 1 != 0).count()
    }
}

impl Drop for Cold {
    fn drop(&mut self) {
        // SAFETY: the mapping made in `new`.
        unsafe { libc::munmap(self.addr, self.len.max(PAGE)) };
    }
}

// SAFETY: the mapping is owned by the value and stays where it is.
unsafe impl IoBuf for Cold {
    fn bytes(&self) -> &[u8] {
        // SAFETY: `len` bytes are mapped for as long as `self`; a forbidden range is never looked at.
        unsafe { std::slice::from_raw_parts(self.addr.cast(), self.len) }
    }
}

// SAFETY: as above.
unsafe impl IoBufMut for Cold {
    fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and `self` is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.addr.cast(), self.len) }
    }
}

/// Asks which pages are present, from the page of `addr` on. False: something there is not mapped.
pub fn residency(addr: VirtAddr, pages: &mut [u8]) -> bool {
    let start = addr.page().as_ptr::<libc::c_void>().cast_mut();
    // SAFETY: one byte of `pages` is written for each page asked about.
    unsafe { libc::mincore(start, pages.len() * PAGE, pages.as_mut_ptr()) == 0 }
}
