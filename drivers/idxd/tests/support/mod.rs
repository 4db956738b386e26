//! A runtime on emulated devices, and memory to work on.
//!
//! UNSAFETY: maps and unmaps memory of its own, to have pages that are absent, unmapped or read-only.
#![expect(unsafe_code, reason = "memory maps with chosen states")]

use std::ptr;

use idxd_emu::{FaultPlan, QueueConfig};
use svala::{Config, FaultPolicy, IoBuf, IoBufMut, ResolverChoice, Runtime, VirtAddr};
use svala_idxd::{Emulated, EmulatedConfig};

/// How faults are handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Faults {
    Resolve,
    ResolveByThreads,
    Prefetch,
    BlockOnFault,
    Fail,
}

/// A runtime with one DSA and one IAA queue.
pub(crate) struct Setup {
    pub(crate) runtime: Runtime,
    pub(crate) faults: Faults,
    pub(crate) transfer_bytes_max: usize,
}

/// Small, so that jobs of several parts are quick.
pub(crate) const TRANSFER_BYTES_MAX: u32 = 256 << 10;

impl Setup {
    pub(crate) fn new(queue: QueueConfig, faults: Faults) -> Self {
        Self::with(queue, faults, FaultPlan::default(), |_| {})
    }

    pub(crate) fn with(
        queue: QueueConfig,
        faults: Faults,
        plan: FaultPlan,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        Self::with_engines(2, queue, faults, plan, change)
    }

    pub(crate) fn with_engines(
        engines: usize,
        queue: QueueConfig,
        faults: Faults,
        plan: FaultPlan,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let queue = QueueConfig { transfer_bytes_max: TRANSFER_BYTES_MAX, ..queue };
        let device = |name: &str, engines| EmulatedConfig {
            name: name.into(),
            engines,
            queue: queue.clone(),
            depth: 16,
            batch_max: 32,
            plan: plan.clone(),
            ..EmulatedConfig::default()
        };
        let runtime = Runtime::builder()
            .queue(Emulated::dsa(device("dsa", engines)).expect("starts"))
            .queue(Emulated::iaa(device("iaa", 1)).expect("starts"))
            .config(|config| {
                config.faults = match faults {
                    Faults::Resolve | Faults::ResolveByThreads => FaultPolicy::Resolve,
                    Faults::Prefetch => FaultPolicy::Prefetch,
                    Faults::BlockOnFault => FaultPolicy::BlockOnFault,
                    Faults::Fail => FaultPolicy::Fail,
                };
                if faults == Faults::ResolveByThreads {
                    config.resolver = ResolverChoice::Threads;
                }
                change(config);
            })
            .build()
            .expect("a runtime needs a thread and an eventfd");
        Self { runtime, faults, transfer_bytes_max: TRANSFER_BYTES_MAX as usize }
    }
}

/// Anonymous memory of our own whose pages can be dropped, unmapped and protected.
#[derive(Debug)]
pub(crate) struct Pages {
    start: *mut u8,
    len: usize,
}

// SAFETY: the mapping belongs to the value.
unsafe impl Send for Pages {}

pub(crate) const PAGE: usize = 4096;

impl Pages {
    /// `len` bytes, no page of them present.
    pub(crate) fn cold(len: usize) -> Self {
        let prot = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: a new mapping of our own.
        let start = unsafe { libc::mmap(ptr::null_mut(), len.max(1), prot, flags, -1, 0) };
        assert_ne!(start, libc::MAP_FAILED);
        // A huge page would make many pages present at once.
        // SAFETY: advice on our own mapping.
        unsafe { libc::madvise(start, len, libc::MADV_NOHUGEPAGE) };
        Self { start: start.cast(), len }
    }

    /// Memory that holds `bytes`, all of it present.
    pub(crate) fn warm(bytes: &[u8]) -> Self {
        let mut pages = Self::cold(bytes.len());
        pages.bytes_mut().copy_from_slice(bytes);
        pages
    }

    pub(crate) fn addr(&self) -> VirtAddr {
        VirtAddr::of(self.start.cast_const())
    }

    fn page(&self, page: usize) -> *mut libc::c_void {
        self.start.wrapping_add(page * PAGE).cast()
    }

    /// Takes the access away from page `page` on.
    pub(crate) fn protect(&self, page: usize, prot: i32) {
        // SAFETY: within our own mapping; nobody borrows it.
        let answer = unsafe { libc::mprotect(self.page(page), PAGE, prot) };
        assert_eq!(answer, 0);
    }

    /// Unmaps page `page`, leaving a hole.
    pub(crate) fn punch(&self, page: usize) {
        // SAFETY: within our own mapping; nobody borrows it.
        let answer = unsafe { libc::munmap(self.page(page), PAGE) };
        assert_eq!(answer, 0);
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: our own mapping, and nobody else refers to it. A hole in it does no harm.
        unsafe { libc::munmap(self.start.cast(), self.len.max(1)) };
    }
}

// SAFETY: the mapping is owned by the value and its address is not part of the value.
unsafe impl IoBuf for Pages {
    fn bytes(&self) -> &[u8] {
        // SAFETY: mapped as long as `self` lives; anonymous memory is initialised.
        unsafe { std::slice::from_raw_parts(self.start, self.len) }
    }
}

// SAFETY: as above, and writable.
unsafe impl IoBufMut for Pages {
    fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above; `self` is borrowed uniquely.
        unsafe { std::slice::from_raw_parts_mut(self.start, self.len) }
    }
}

/// Bytes without a pattern, the same each time.
pub(crate) fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2).wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let mut bytes: Vec<u8> = std::iter::repeat_with(&mut next).flatten().take(len).collect();
    bytes.truncate(len);
    bytes
}

/// Bytes that compress.
pub(crate) fn text(len: usize) -> Vec<u8> {
    let words = ["swallow ", "queue ", "descriptor ", "page ", "fault ", "record\n", "portal ", "of the "];
    let picks = noise(len, 7);
    let mut bytes = Vec::with_capacity(len + 16);
    for pick in picks {
        if bytes.len() >= len {
            break;
        }
        bytes.extend_from_slice(words[usize::from(pick) % words.len()].as_bytes());
    }
    bytes.truncate(len);
    bytes
}
