//! Memory with pages in every state, and a device with somebody who waits for its records.
//!
// UNSAFETY: maps, unmaps and protects pages that only these tests use, and reads and writes them by raw pointers,
// because a device writes them too.
#![expect(unsafe_code, reason = "memory that a device writes, and pages taken away on purpose")]

use std::ffi::c_void;
use std::num::NonZeroUsize;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use idxd_emu::{Device, DeviceConfig, Portal, Submission};
use idxd_spec::{Completion, Descriptor, DstAddr, SrcAddr, Status, iaa};
use nix::sys::mman::{MapFlags, MmapAdvise, ProtFlags, madvise, mmap_anonymous, mprotect, munmap};
use parking_lot::{Condvar, Mutex};

pub(crate) const PAGE: usize = 4096;
/// Far more than anything here takes; a test that gets there has lost a record.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// Pages of our own, between two that are not mapped.
pub(crate) struct Memory {
    base: NonNull<u8>,
    len: usize,
}

impl Memory {
    /// Pages that have never been touched.
    pub(crate) fn cold(len: usize) -> Self {
        let len = len.next_multiple_of(PAGE);
        let mapped = NonZeroUsize::new(len + 2 * PAGE).unwrap();
        // SAFETY: an anonymous map at an address of the kernel's choice touches no memory in use.
        let base = unsafe { mmap_anonymous(None, mapped, ProtFlags::PROT_NONE, MapFlags::MAP_PRIVATE) };
        // SAFETY: the first page of the map is inside it.
        let base = unsafe { base.unwrap().cast::<u8>().add(PAGE) };
        let this = Self { base, len };
        this.protect(0, len, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE);
        // Pages of 2 MiB would bring neighbours in.
        this.advise(0, len, MmapAdvise::MADV_NOHUGEPAGE);
        this
    }

    /// Pages that hold `bytes`.
    pub(crate) fn with(bytes: &[u8]) -> Self {
        let this = Self::cold(bytes.len());
        this.write(0, bytes);
        this
    }

    /// Pages that are present and hold zeros.
    pub(crate) fn warm(len: usize) -> Self {
        Self::with(&vec![0; len])
    }

    pub(crate) fn addr(&self, offset: usize) -> u64 {
        assert!(offset <= self.len);
        (self.base.as_ptr().expose_provenance() + offset) as u64
    }

    pub(crate) fn src(&self, offset: usize) -> SrcAddr {
        SrcAddr(self.addr(offset))
    }

    pub(crate) fn dst(&self, offset: usize) -> DstAddr {
        DstAddr(self.addr(offset))
    }

    fn at(&self, offset: usize, len: usize) -> NonNull<u8> {
        assert!(offset + len <= self.len);
        // SAFETY: inside the map, checked above.
        unsafe { self.base.add(offset) }
    }

    fn raw(&self, offset: usize, len: usize) -> NonNull<c_void> {
        self.at(offset, len).cast()
    }

    pub(crate) fn read(&self, offset: usize, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        // SAFETY: the range is mapped (checked by `at`) and no descriptor that writes it is in flight.
        unsafe { self.at(offset, len).copy_to_nonoverlapping(NonNull::from(&mut bytes[..]).cast(), len) };
        bytes
    }

    pub(crate) fn write(&self, offset: usize, bytes: &[u8]) {
        let to = self.at(offset, bytes.len());
        // SAFETY: the range is mapped (checked by `at`) and no descriptor that uses it is in flight.
        unsafe { to.copy_from_nonoverlapping(NonNull::from(bytes).cast(), bytes.len()) };
    }

    /// The first byte of a record, as its writer publishes it.
    pub(crate) fn status(&self, offset: usize) -> Status {
        // SAFETY: one byte inside the map (checked by `at`), that lives as long as `self`.
        Status(unsafe { AtomicU8::from_ptr(self.at(offset, 1).as_ptr()) }.load(Ordering::Acquire))
    }

    pub(crate) fn protect(&self, offset: usize, len: usize, protection: ProtFlags) {
        // SAFETY: pages of this map (checked by `raw`), to which there are no references.
        unsafe { mprotect(self.raw(offset, len), len, protection) }.unwrap();
    }

    fn advise(&self, offset: usize, len: usize, advice: MmapAdvise) {
        // SAFETY: pages of this map (checked by `raw`), to which there are no references.
        unsafe { madvise(self.raw(offset, len), len, advice) }.unwrap();
    }

    /// Takes the pages away: they read as zeros when they come back.
    pub(crate) fn cool(&self, offset: usize, len: usize) {
        self.advise(offset, len, MmapAdvise::MADV_DONTNEED);
    }

    /// Makes a hole. Nothing else is mapped there for as long as `self`, unless somebody maps at fixed addresses.
    pub(crate) fn unmap(&self, offset: usize, len: usize) {
        self.protect(offset, len, ProtFlags::PROT_NONE);
        self.cool(offset, len);
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: the map begins a page before `base` and nothing refers to it any more.
        let start = unsafe { self.base.sub(PAGE) };
        // SAFETY: this is the whole map, made by `cold`.
        unsafe { munmap(start.cast(), self.len + 2 * PAGE) }.unwrap();
    }
}

/// A device, its first work queue, and records.
pub(crate) struct Rig {
    pub(crate) device: Device,
    pub(crate) portal: Portal,
    records: Memory,
    told: Arc<(Mutex<u64>, Condvar)>,
}

/// Bytes from record to record.
const RECORD: usize = 64;

impl Rig {
    pub(crate) fn new(config: DeviceConfig) -> Self {
        let device = Device::start(config).unwrap();
        let told = Arc::new((Mutex::new(0), Condvar::new()));
        let teller = Arc::clone(&told);
        device.on_completion(move || {
            *teller.0.lock() += 1;
            teller.1.notify_all();
        });
        let portal = device.portal(0).unwrap();
        Self { device, portal, records: Memory::warm(16 * PAGE), told }
    }

    /// A DSA with the default configuration.
    pub(crate) fn dsa() -> Self {
        Self::new(DeviceConfig::default())
    }

    pub(crate) fn record(&self, index: usize) -> u64 {
        self.records.addr(index * RECORD)
    }

    pub(crate) fn records(&self) -> &Memory {
        &self.records
    }

    pub(crate) fn submit(&self, descriptor: &Descriptor) {
        assert_eq!(self.portal.submit(descriptor), Submission::Accepted);
    }

    /// Waits for a condition that completions bring about.
    pub(crate) fn wait_until(&self, what: &str, mut done: impl FnMut() -> bool) {
        let deadline = Instant::now() + DEADLINE;
        let mut told = self.told.0.lock();
        while !done() {
            let late = self.told.1.wait_until(&mut told, deadline).timed_out();
            assert!(!late || done(), "no {what}: {:?}, {:?}", self.device, self.device.software_error());
        }
    }

    /// Waits until the device has told of `count` records.
    pub(crate) fn wait_told(&self, count: u64) {
        let deadline = Instant::now() + DEADLINE;
        let mut told = self.told.0.lock();
        while *told < count {
            assert!(!self.told.1.wait_until(&mut told, deadline).timed_out(), "{} of {count} records", *told);
        }
    }

    /// How many records the device has told of.
    pub(crate) fn told(&self) -> u64 {
        *self.told.0.lock()
    }

    /// Waits until the first work queue has nothing queued or running.
    pub(crate) fn drain(&self) {
        assert!(
            self.device.drain_queue(0, Instant::now() + DEADLINE),
            "queue does not drain: {:?}",
            self.device
        );
    }

    /// The record at `index` once it is written.
    pub(crate) fn completion(&self, index: usize) -> Completion {
        self.wait_until("record", || self.records.status(index * RECORD) != Status::NONE);
        Completion::from_bytes(self.records.read(index * RECORD, 32)[..].try_into().unwrap())
    }

    /// Notes the records 0 to `count` in the order in which they are written. One engine, each record once.
    pub(crate) fn watch_order(&self, count: usize) -> Arc<Mutex<Vec<usize>>> {
        let order = Arc::new(Mutex::new(Vec::new()));
        let (log, first) = (Arc::clone(&order), self.record(0) as usize);
        self.device.on_completion(move || {
            let is_written = |index: &usize| {
                let status = std::ptr::with_exposed_provenance_mut(first + index * RECORD);
                // SAFETY: a byte of `records`, which outlives the device that calls this, accessed by atomics alone.
                unsafe { AtomicU8::from_ptr(status) }.load(Ordering::Acquire) != 0
            };
            let mut log = log.lock();
            let news: Vec<_> = (0..count).filter(is_written).filter(|index| !log.contains(index)).collect();
            log.extend(news);
        });
        order
    }

    /// Drops the device before everything else, and says how many records it told of until its end.
    pub(crate) fn into_told(self) -> u64 {
        let Self { device, portal, records, told } = self;
        drop(device);
        drop((portal, records));
        *told.0.lock()
    }

    /// Empties the record at `index`.
    pub(crate) fn clear(&self, index: usize) {
        self.records.write(index * RECORD, &[0; RECORD]);
    }

    /// Submits `descriptor` with record 0 and waits for it.
    pub(crate) fn run(&self, descriptor: &Descriptor) -> Completion {
        self.clear(0);
        self.submit(&descriptor.with_completion(self.record(0)));
        self.completion(0)
    }

    /// The same on an IAA.
    pub(crate) fn run_iaa(&self, descriptor: &iaa::Descriptor) -> iaa::Completion {
        self.clear(0);
        let descriptor = descriptor.with_completion(self.record(0));
        assert_eq!(self.portal.submit_bytes(descriptor.as_bytes()), Submission::Accepted);
        self.completion(0);
        iaa::Completion::from_bytes(self.records.read(0, 64)[..].try_into().unwrap())
    }
}

/// Bytes that differ from their neighbours, by a seed.
pub(crate) fn bytes(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x2545_f491_4f6c_dd1d) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..len).map(|_| next()).collect()
}
