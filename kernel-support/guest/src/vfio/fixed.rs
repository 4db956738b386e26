//! A map at an address of the test's choice.
//!
//! UNSAFETY: maps memory at an address.
#![expect(unsafe_code, reason = "a map at an address that the IOMMU has, too")]

use std::ptr::NonNull;

use anyhow::{Context as _, Result, ensure};
use svala::{IoBuf, IoBufMut};

/// # Invariants
///
/// `start` and `len` are a map that is this one's alone, initialised, until it is dropped.
#[derive(Debug)]
pub(super) struct Fixed {
    start: NonNull<u8>,
    len: usize,
}

impl Fixed {
    pub(super) fn new(addr: u64, len: usize) -> Result<Self> {
        let place = std::ptr::with_exposed_provenance_mut(usize::try_from(addr)?);
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE;
        // SAFETY: nothing that exists is replaced.
        let start = unsafe { libc::mmap(place, len, protection, flags, -1, 0) };
        ensure!(start != libc::MAP_FAILED, "mmap at {addr:#x}: {}", std::io::Error::last_os_error());
        ensure!(start.addr() as u64 == addr, "mapped at {start:?}");
        // INVARIANT: mapped just now, full of zeros.
        Ok(Self { start: NonNull::new(start.cast()).context("mapped at zero")?, len })
    }
}

impl Drop for Fixed {
    fn drop(&mut self) {
        // SAFETY: the map is this one's alone.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
    }
}

// SAFETY: a map of this one's alone that stays where it is.
unsafe impl Send for Fixed {}

// SAFETY: the map neither moves nor goes while this lives.
unsafe impl IoBuf for Fixed {
    fn bytes(&self) -> &[u8] {
        // SAFETY: see # Invariants.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

// SAFETY: the same memory, and nobody else's.
unsafe impl IoBufMut for Fixed {
    fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: see # Invariants; borrowed for writing.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}
