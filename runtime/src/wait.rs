//! Waiting for a device that cannot interrupt: `UMWAIT` and `TPAUSE` where the CPU has them.
//!
//! Both stop the core until a time, `UMWAIT` also until a cache line changes. Never run on a CPU with WAITPKG by
//! the test-suite: without it, the completion thread spins, yields and sleeps.
//!
//! UNSAFETY: three instructions.
#![expect(unsafe_code, reason = "UMONITOR, UMWAIT and TPAUSE have no stable intrinsics")]

/// Proof that the CPU has WAITPKG.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waitpkg(());

/// Time stamp counts one wait lasts at most: some 10 us, well below what the kernel allows by default.
const WAIT_TSC: u64 = 20_000;

impl Waitpkg {
    /// Asks the CPU.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn detect() -> Option<Self> {
        use std::arch::x86_64::{__cpuid, __cpuid_count};
        // Leaf 7, subleaf 0, ECX bit 5 (Intel SDM, CPUID).
        (__cpuid(0).eax >= 7 && __cpuid_count(7, 0).ecx & 1 << 5 != 0).then_some(Self(()))
    }

    /// Other architectures have no such instruction.
    #[cfg(not(target_arch = "x86_64"))]
    pub(crate) fn detect() -> Option<Self> {
        None
    }

    /// Waits until the line at `watched` is written or some 10 us have passed; without a line, the time alone.
    /// A write between the caller's last look and the arming of the monitor costs those 10 us, no more.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn wait(self, watched: Option<*const u8>) {
        use std::arch::asm;
        // SAFETY: reads a counter.
        let now = unsafe { std::arch::x86_64::_rdtsc() };
        let until = now.wrapping_add(WAIT_TSC);
        #[expect(clippy::cast_possible_truncation, reason = "the instructions take the two halves")]
        let (low, high) = (until as u32, (until >> 32) as u32);
        if let Some(line) = watched {
            // SAFETY: `self` proves that the instruction exists; it only arms a monitor, and faults for no
            // address a driver's own record can have.
            unsafe { asm!("umonitor {}", in(reg) line, options(nostack, preserves_flags)) };
            // SAFETY: as above; control 0 allows C0.2. Ends at `until` at the latest.
            unsafe { asm!("umwait {:e}", in(reg) 0_u32, in("eax") low, in("edx") high, options(nostack)) };
        } else {
            // SAFETY: as above.
            unsafe { asm!("tpause {:e}", in(reg) 0_u32, in("eax") low, in("edx") high, options(nostack)) };
        }
    }

    /// Never called: there is no proof to call it with.
    #[cfg(not(target_arch = "x86_64"))]
    pub(crate) fn wait(self, _watched: Option<*const u8>) {}
}
