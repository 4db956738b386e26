//! The two instructions that write 64 bytes to a portal at once, and the proofs that the CPU has them.
//!
//! Both are weakly ordered: what was stored before may become visible after the device has read the descriptor. So
//! each is preceded by `SFENCE`, which makes the cleared record and the batch list visible first.
//!
//! `MOVDIR64B` to ordinary memory is tested where the CPU has it. `ENQCMD` has never run on hardware.
//!
//! UNSAFETY: two instructions that write to an address.
#![expect(unsafe_code, reason = "ENQCMD and MOVDIR64B have no stable intrinsics")]

use std::fs::File;
use std::io::Read;

use idxd_spec::Descriptor;

/// Proof that the CPU has `ENQCMD` and the kernel lets processes use it.
#[derive(Clone, Copy, Debug)]
pub struct Enqcmd(());

/// Proof that the CPU has `MOVDIR64B`.
#[derive(Clone, Copy, Debug)]
pub struct Movdir64b(());

/// What is read of `/proc/cpuinfo`: the flags of the first CPU are well within.
const CPUINFO_BYTES_MAX: u64 = 16 << 10;

impl Enqcmd {
    /// Asks the CPU and the kernel.
    ///
    /// CPUID leaf 7, subleaf 0, ECX bit 29 says that the instruction exists. A kernel without shared virtual
    /// addressing for the IOMMU never loads the PASID that it needs, and it then raises a general protection fault;
    /// such a kernel leaves the flag `enqcmd` out of `/proc/cpuinfo`.
    #[must_use]
    pub fn detect() -> Option<Self> {
        (leaf_7_ecx() & 1 << 29 != 0 && kernel_shows("enqcmd")).then_some(Self(()))
    }
}

impl Movdir64b {
    /// Asks the CPU: CPUID leaf 7, subleaf 0, ECX bit 28.
    #[must_use]
    pub fn detect() -> Option<Self> {
        (leaf_7_ecx() & 1 << 28 != 0).then_some(Self(()))
    }
}

#[cfg(target_arch = "x86_64")]
fn leaf_7_ecx() -> u32 {
    use std::arch::x86_64::{__cpuid, __cpuid_count};
    if __cpuid(0).eax >= 7 { __cpuid_count(7, 0).ecx } else { 0 }
}

#[cfg(not(target_arch = "x86_64"))]
fn leaf_7_ecx() -> u32 {
    0
}

/// Whether the kernel lists `flag` for the first CPU.
fn kernel_shows(flag: &str) -> bool {
    let mut text = Vec::new();
    let read =
        File::open("/proc/cpuinfo").and_then(|file| file.take(CPUINFO_BYTES_MAX).read_to_end(&mut text));
    let text = String::from_utf8_lossy(&text);
    let flags = text.lines().find(|line| line.starts_with("flags"));
    read.is_ok() && flags.is_some_and(|line| line.split_ascii_whitespace().any(|word| word == flag))
}

#[cfg(target_arch = "x86_64")]
impl Enqcmd {
    /// Enqueues a descriptor; whether the queue took it. `false` is "retry" (DSA §9.3, table 9-11).
    ///
    /// # Safety
    ///
    /// `portal` is 64-byte aligned and mapped for writing as long as the call lasts.
    #[inline(never)] // One place in the binary, for the test that looks at its code.
    pub(crate) unsafe fn enqueue(self, portal: *mut u8, descriptor: &Descriptor) -> bool {
        let retry: u8;
        // SAFETY: `self` proves that the instruction exists. It reads the 64 bytes of `descriptor` and writes to
        // `portal`, which the caller vouches for; ZF is its answer, and the flags are declared as changed.
        unsafe {
            std::arch::asm!(
                "sfence",
                "enqcmd {portal}, [{descriptor}]",
                "setz {retry}",
                portal = in(reg) portal,
                descriptor = in(reg) std::ptr::from_ref(descriptor),
                retry = out(reg_byte) retry,
                options(nostack),
            );
        }
        retry == 0
    }
}

#[cfg(target_arch = "x86_64")]
impl Movdir64b {
    /// Writes a descriptor. A dedicated queue does not say whether it took it (DSA §3.3.2).
    ///
    /// # Safety
    ///
    /// `portal` is 64-byte aligned and mapped for writing as long as the call lasts.
    #[inline(never)] // As above.
    pub(crate) unsafe fn store(self, portal: *mut u8, descriptor: &Descriptor) {
        // SAFETY: `self` proves that the instruction exists. It reads the 64 bytes of `descriptor` and writes as many
        // to `portal`, which the caller vouches for.
        unsafe {
            std::arch::asm!(
                "sfence",
                "movdir64b {portal}, [{descriptor}]",
                portal = in(reg) portal,
                descriptor = in(reg) std::ptr::from_ref(descriptor),
                options(nostack, preserves_flags),
            );
        }
    }
}

#[cfg(not(target_arch = "x86_64"))]
impl Enqcmd {
    /// Never called: there is no proof to call it with.
    pub(crate) unsafe fn enqueue(self, _portal: *mut u8, _descriptor: &Descriptor) -> bool {
        false
    }
}

#[cfg(not(target_arch = "x86_64"))]
impl Movdir64b {
    /// Never called: there is no proof to call it with.
    pub(crate) unsafe fn store(self, _portal: *mut u8, _descriptor: &Descriptor) {}
}
