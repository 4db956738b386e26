//! Registers of a device, by exact accesses of 32 bits.
//!
//! A device that is asked for part of a register, or for two at once, answers something else, or nothing. The language calls an
//! access volatile and does not say how wide it is, and a compiler has made such accesses narrower (a C one; messages between
//! the functions of a QAT were lost by it). So the instruction is written down, and a test looks for it in the machine code.
//!
//! UNSAFETY: accesses mapped registers.
#![expect(unsafe_code, reason = "registers are accessed by address")]

use std::ptr::NonNull;
use std::sync::atomic::{Ordering, fence};

use nix::sys::mman::munmap;

/// Registers of a device, mapped.
///
/// # Invariants
///
/// `start` and `bytes` are a mapping of a device's registers that stays until this is dropped.
#[derive(Debug)]
pub struct RegisterMap {
    start: NonNull<u32>,
    bytes: u64,
}

// SAFETY: registers may be accessed by any thread; each access is one of 32 bits.
unsafe impl Send for RegisterMap {}
// SAFETY: likewise.
unsafe impl Sync for RegisterMap {}

impl RegisterMap {
    /// # Safety
    ///
    /// So many bytes from there are a mapping of a device's registers, which from now on is this one's alone.
    pub(super) const unsafe fn new(start: NonNull<u32>, bytes: u64) -> Self {
        // INVARIANT: the caller's promise.
        Self { start, bytes }
    }

    /// The place of a register; none outside the region or not at a multiple of 4.
    #[inline]
    fn place(&self, offset: u64) -> Option<NonNull<u32>> {
        let is_there = offset.is_multiple_of(4) && offset.checked_add(4).is_some_and(|end| end <= self.bytes);
        let index = usize::try_from(offset / 4).ok().filter(|_| is_there)?;
        // SAFETY: within the mapping, as checked (see # Invariants).
        Some(unsafe { self.start.add(index) })
    }

    /// Reads a register, in exactly one access of 32 bits. All ones where there is none.
    #[inline]
    pub fn read32(&self, offset: u64) -> u32 {
        // SAFETY: `place` is in the mapping and aligned.
        self.place(offset).map_or(u32::MAX, |place| unsafe { load(place) })
    }

    /// Writes a register, in exactly one access of 32 bits, after all writes to memory before it. Nothing where there is
    /// none.
    #[inline]
    pub fn write32(&self, offset: u64, value: u32) {
        fence(Ordering::SeqCst);
        if let Some(place) = self.place(offset) {
            // SAFETY: as in `read32`.
            unsafe { store(place, value) };
        }
    }
}

impl Drop for RegisterMap {
    fn drop(&mut self) {
        let len = usize::try_from(self.bytes).unwrap_or(0);
        // SAFETY: the mapping is this one's alone (see # Invariants).
        if let Err(errno) = unsafe { munmap(self.start.cast(), len) } {
            tracing::error!(%errno, "munmap of registers");
        }
    }
}

/// Reads a register.
///
/// # Safety
///
/// It is mapped, and aligned.
#[inline(never)]
unsafe fn load(place: NonNull<u32>) -> u32 {
    #[cfg(target_arch = "x86_64")]
    {
        let value: u32;
        // SAFETY: the caller's promise. The instruction reads four bytes, and nothing else of the machine changes.
        unsafe {
            std::arch::asm!(
                "mov eax, dword ptr [rdi]",
                in("rdi") place.as_ptr(),
                lateout("eax") value,
                options(nostack, preserves_flags),
            );
        }
        value
    }
    #[cfg(not(target_arch = "x86_64"))]
    // SAFETY: the caller's promise.
    unsafe {
        place.read_volatile()
    }
}

/// Writes a register.
///
/// # Safety
///
/// It is mapped, and aligned.
#[inline(never)]
unsafe fn store(place: NonNull<u32>, value: u32) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the caller's promise. The instruction writes four bytes, and nothing else of the machine changes.
    unsafe {
        std::arch::asm!(
            "mov dword ptr [rdi], esi",
            in("rdi") place.as_ptr(),
            in("esi") value,
            options(nostack, preserves_flags),
        );
    }
    #[cfg(not(target_arch = "x86_64"))]
    // SAFETY: the caller's promise.
    unsafe {
        place.write_volatile(value);
    }
}
