//! Writing memory back from the CPU's caches, and dropping it from them.
//!
//! A program needs this for memory that something outside the caches' agreement reads (persistent memory, a device that
//! does not snoop), and to measure what a cold cache costs. On x86 there are three instructions: `CLFLUSHOPT` drops a
//! line, `CLWB` writes it back and may keep it, and `CLFLUSH` is what older processors have. Other architectures have
//! their own, which are not here: [`CacheLines::detect`] finds nothing there.
//!
//! UNSAFETY: three instructions that take an address.
#![expect(unsafe_code, reason = "CLFLUSHOPT and CLWB have no stable intrinsics")]

use std::sync::OnceLock;

/// Proof that the processor can write its cache lines back on request, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheLines {
    line_bytes: usize,
    has_clflushopt: bool,
    has_clwb: bool,
}

impl CacheLines {
    /// Asks the processor, once: on a virtual machine the question is slow.
    pub fn detect() -> Option<Self> {
        static FOUND: OnceLock<Option<CacheLines>> = OnceLock::new();
        *FOUND.get_or_init(ask)
    }

    /// Bytes of a line.
    pub const fn line_bytes(self) -> usize {
        self.line_bytes
    }

    /// Writes the lines that `data` touches back to memory and drops them from all caches.
    pub fn drop_lines(self, data: &[u8]) {
        if self.has_clflushopt {
            self.each_line(data, clflushopt);
        } else {
            self.each_line(data, clflush);
        }
    }

    /// Writes the lines that `data` touches back to memory. A processor that has no instruction to keep them drops them.
    pub fn write_back(self, data: &[u8]) {
        if self.has_clwb {
            self.each_line(data, clwb);
        } else {
            self.drop_lines(data);
        }
    }

    /// The fence makes the write-backs happen before any store that follows.
    #[inline]
    fn each_line(self, data: &[u8], one: impl Fn(*const u8)) {
        if data.is_empty() {
            return;
        }
        let to_next_line = self.line_bytes - data.as_ptr().addr() % self.line_bytes;
        let (first, rest) = data.split_at(to_next_line.min(data.len()));
        one(first.as_ptr());
        for line in rest.chunks(self.line_bytes) {
            one(line.as_ptr());
        }
        fence();
    }
}

/// CPUID leaf 1: the size of a line in units of 8 bytes (EBX 15:8), `CLFLUSH` (EDX 19). Leaf 7: `CLFLUSHOPT` (EBX 23),
/// `CLWB` (EBX 24).
#[cfg(target_arch = "x86_64")]
fn ask() -> Option<CacheLines> {
    use std::arch::x86_64::{__cpuid, __cpuid_count};
    let leaf_1 = __cpuid(1);
    let leaf_7_ebx = if __cpuid(0).eax >= 7 { __cpuid_count(7, 0).ebx } else { 0 };
    let line_bytes = usize::from(leaf_1.ebx.to_le_bytes()[1]) * 8;
    (leaf_1.edx & 1 << 19 != 0 && line_bytes.is_power_of_two()).then_some(CacheLines {
        line_bytes,
        has_clflushopt: leaf_7_ebx & 1 << 23 != 0,
        has_clwb: leaf_7_ebx & 1 << 24 != 0,
    })
}

#[cfg(not(target_arch = "x86_64"))]
fn ask() -> Option<CacheLines> {
    None
}

#[cfg(target_arch = "x86_64")]
mod line {
    use std::arch::asm;

    /// Drops the line of `byte`, in order with other flushes.
    #[inline(always)]
    pub(super) fn clflush(byte: *const u8) {
        // SAFETY: every x86-64 has the instruction (`CacheLines` proves it again). It changes no memory's contents, and
        // `byte` comes from a slice, so it is mapped.
        unsafe { asm!("clflush byte ptr [{}]", in(reg) byte, options(nostack, preserves_flags)) }
    }

    /// Drops the line of `byte`.
    #[inline(always)]
    pub(super) fn clflushopt(byte: *const u8) {
        // SAFETY: `CacheLines::has_clflushopt` is proof that the instruction exists; otherwise as `clflush`.
        unsafe { asm!("clflushopt byte ptr [{}]", in(reg) byte, options(nostack, preserves_flags)) }
    }

    /// Writes the line of `byte` back.
    #[inline(always)]
    pub(super) fn clwb(byte: *const u8) {
        // SAFETY: `CacheLines::has_clwb` is proof that the instruction exists; otherwise as `clflush`.
        unsafe { asm!("clwb byte ptr [{}]", in(reg) byte, options(nostack, preserves_flags)) }
    }

    /// Waits for the flushes before it.
    #[inline(always)]
    pub(super) fn fence() {
        // SAFETY: SSE is part of every x86-64.
        unsafe { std::arch::x86_64::_mm_sfence() };
    }
}

/// Never called: there is no proof to call it with.
#[cfg(not(target_arch = "x86_64"))]
mod line {
    pub(super) fn clflush(_: *const u8) {}
    pub(super) fn clflushopt(_: *const u8) {}
    pub(super) fn clwb(_: *const u8) {}
    pub(super) fn fence() {}
}

use line::{clflush, clflushopt, clwb, fence};
