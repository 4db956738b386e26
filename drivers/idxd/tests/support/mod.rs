//! A runtime on emulated devices, and memory to work on.
//!
//! UNSAFETY: maps and unmaps memory of its own, to have pages that are absent, unmapped or read-only.
#![expect(unsafe_code, reason = "memory maps with chosen states")]

use std::collections::BTreeMap;
use std::fs::File;
use std::future::Future;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::fs::FileExt;
use std::ptr;
use std::sync::Mutex;

use idxd_emu::{FaultPlan, QueueConfig, Version};
use pollster::block_on;
use svala::{
    Config, FaultPolicy, IoBuf, IoBufMut, Operation, Outcome, Path, Reason, Report, ResolverChoice, Runtime,
    Slice, VirtAddr,
};
use svala_idxd::{Emulated, EmulatedConfig};

/// How faults are handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Faults {
    Resolve,
    ResolveByThreads,
    Prefetch,
    BlockOnFault,
    Auto,
    Fail,
    /// Those of the CPU are the kernel's business.
    OfTheCpu,
}

/// A runtime with one DSA and one IAA queue.
pub(crate) struct Setup {
    pub(crate) runtime: Runtime,
    pub(crate) faults: Faults,
    pub(crate) transfer_bytes_max: usize,
}

/// Small, so that jobs of several parts are quick.
pub(crate) const TRANSFER_BYTES_MAX: u32 = 256 << 10;

/// What an emulated device is to be.
#[derive(Clone, Debug)]
pub(crate) struct Emulation {
    pub(crate) version: Version,
    pub(crate) engines: usize,
    pub(crate) queue: QueueConfig,
    pub(crate) faults: Faults,
    pub(crate) plan: FaultPlan,
}

impl Emulation {
    pub(crate) fn new(queue: QueueConfig, faults: Faults) -> Self {
        let queue = QueueConfig { transfer_bytes_max: TRANSFER_BYTES_MAX, ..queue };
        Self { version: Version::V2, engines: 2, queue, faults, plan: FaultPlan::default() }
    }

    pub(crate) fn transfer_bytes_max(mut self, transfer_bytes_max: u32) -> Self {
        self.queue.transfer_bytes_max = transfer_bytes_max;
        self
    }

    /// The IAA without the DSA.
    pub(crate) fn iaa_alone(self) -> Setup {
        let Self { version, queue, faults, plan, .. } = self;
        let transfer_bytes_max = usize::try_from(queue.transfer_bytes_max).expect("fits");
        let device = EmulatedConfig { name: "iaa".into(), version, queue, plan, ..EmulatedConfig::default() };
        let runtime = Runtime::builder()
            .queue(Emulated::iaa(device).expect("starts"))
            .config(|config| {
                if faults == Faults::BlockOnFault {
                    config.faults = FaultPolicy::BlockOnFault;
                }
            })
            .build()
            .expect("a runtime needs a thread and an eventfd");
        Setup { runtime, faults, transfer_bytes_max }
    }

    pub(crate) fn setup(self, change: impl FnOnce(&mut Config)) -> Setup {
        let Self { version, engines, queue, faults, plan } = self;
        let transfer_bytes_max = usize::try_from(queue.transfer_bytes_max).expect("fits");
        let device = |name: &str, engines| EmulatedConfig {
            name: name.into(),
            version,
            engines,
            queue: queue.clone(),
            depth: 16,
            batch_max: 32,
            plan: plan.clone(),
            ..EmulatedConfig::default()
        };
        let name = match version {
            Version::V1 => "dsa1",
            Version::V2 => "dsa2",
            _ => "dsa3",
        };
        let runtime = Runtime::builder()
            .queue(Emulated::dsa(device(name, engines)).expect("starts"))
            .queue(Emulated::iaa(device("iaa", 1)).expect("starts"))
            .config(|config| {
                config.faults = match faults {
                    Faults::Resolve | Faults::ResolveByThreads | Faults::OfTheCpu => FaultPolicy::Resolve,
                    Faults::Prefetch => FaultPolicy::Prefetch,
                    Faults::BlockOnFault => FaultPolicy::BlockOnFault,
                    Faults::Auto => FaultPolicy::Auto,
                    Faults::Fail => FaultPolicy::Fail,
                };
                if faults == Faults::ResolveByThreads {
                    config.resolver = ResolverChoice::Threads;
                }
                change(config);
            })
            .build()
            .expect("a runtime needs a thread and an eventfd");
        Setup { runtime, faults, transfer_bytes_max }
    }
}

impl Setup {
    pub(crate) fn new(queue: QueueConfig, faults: Faults) -> Self {
        Emulation::new(queue, faults).setup(|_| {})
    }

    pub(crate) fn with(
        queue: QueueConfig,
        faults: Faults,
        plan: FaultPlan,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        Emulation { plan, ..Emulation::new(queue, faults) }.setup(change)
    }

    /// Whether a queue of the runtime does this. What none does must be refused.
    pub(crate) fn offers(&self, operation: Operation) -> bool {
        self.runtime.capabilities().any(|capabilities| capabilities.operations.contains(operation))
    }

    /// Runs an operation to its end, and notes where it ran.
    pub(crate) fn end<V, B>(
        &self,
        operation: Operation,
        future: impl Future<Output = Outcome<V, B>>,
    ) -> Outcome<V, B> {
        let outcome = block_on(future);
        match &outcome {
            Ok(done) => note(operation, &done.report),
            Err(failed) => assert!(failed.buffers.is_some(), "{operation}: {}", failed.error),
        }
        outcome
    }

    /// [`end`](Self::end) of what must go well.
    pub(crate) fn well<V, B>(
        &self,
        operation: Operation,
        future: impl Future<Output = Outcome<V, B>>,
    ) -> svala::Completed<V, B> {
        self.end(operation, future).unwrap_or_else(|failed| panic!("{operation}: {}", failed.error))
    }
}

/// Which operations ended well on which queue, and of them those that had been resumed after a fault.
pub(crate) static NOTES: Mutex<BTreeMap<(String, &str), bool>> = Mutex::new(BTreeMap::new());

/// Notes an operation that ended well. One on no bytes runs nowhere.
pub(crate) fn note(operation: Operation, report: &Report) {
    let place = match report.path {
        Path::Emulated { queue } => queue.to_string(),
        Path::Hardware { .. } => "hardware".into(),
        Path::Software { reason: Reason::Empty } => return,
        Path::Software { .. } => "cpu".into(),
        other => panic!("{other}"),
    };
    let mut notes = NOTES.lock().expect("no panic while it is held");
    *notes.entry((place, operation.name())).or_default() |= report.faults.resubmissions > 0;
}

/// Whether pages are in the page tables when an operation begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Warm,
    Cold,
}

impl State {
    pub(crate) const BOTH: [Self; 2] = [Self::Warm, Self::Cold];

    /// A source with `bytes` at `offset`. Cold, no page of it is present, and yet it has them.
    pub(crate) fn source(self, bytes: &[u8], offset: usize) -> Slice<Pages> {
        let padded = [&vec![0xa5; offset][..], bytes].concat();
        let pages = match self {
            Self::Warm => Pages::warm(&padded),
            Self::Cold => Pages::untouched(&padded),
        };
        Slice::new(pages, offset..padded.len()).expect("within")
    }

    /// A destination of `len` bytes at `offset`.
    pub(crate) fn destination(self, len: usize, offset: usize) -> Slice<Pages> {
        let pages = match self {
            Self::Warm => Pages::warm(&vec![0xee; offset + len]),
            Self::Cold => Pages::cold(offset + len),
        };
        Slice::new(pages, offset..offset + len).expect("within")
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

    /// Memory that holds `bytes`, no page of it present: a file that nobody has touched through this map.
    pub(crate) fn untouched(bytes: &[u8]) -> Self {
        let len = bytes.len().max(1);
        // SAFETY: a name that ends in zero, and no flags.
        let file = unsafe { libc::memfd_create(c"untouched".as_ptr(), 0) };
        assert!(file >= 0, "memfd_create");
        // SAFETY: the descriptor was just opened, and nobody else has it.
        let file = unsafe { File::from_raw_fd(file) };
        file.set_len(len as u64).expect("room");
        file.write_all_at(bytes, 0).expect("room");
        let prot = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping of our own, of a file of that length that nobody else can open.
        let start = unsafe { libc::mmap(ptr::null_mut(), len, prot, libc::MAP_SHARED, file.as_raw_fd(), 0) };
        assert_ne!(start, libc::MAP_FAILED);
        Self { start: start.cast(), len: bytes.len() }
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
