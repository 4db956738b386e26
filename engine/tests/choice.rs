//! Which of an IAA, a QAT and the CPU does a job: by what they can do, by size, by load. The path of each result says which.
//!
//! The models pass for silicon here, as only between silicon and the CPU a job's size is a reason. They are models all the same.
//!
//! UNSAFETY: passes on the promise about memory that is mapped for a function.
#![expect(unsafe_code, reason = "mapping memory for a device is a promise about it, also for a model")]

use std::io;
use std::ops::RangeInclusive;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::Duration;

use idxd_emu::{Capabilities, DeviceKind, Version};
use qat_emu::{Action, DeviceConfig, FaultPlan};
use svala::backend::{Completion, Kind, Notifier};
use svala::{
    AesKey, Check, Cipher, DeflateOptions, IoBuf as _, Operation, Path, Reason, Runtime, Span, block_on,
};
use svala_idxd::{Accepted, EmulatedConfig, EmulatedPortal, IaaQueue, IaaQueueConfig, Portal};
use svala_qat::{EmulatedFunction, Generation, QatQueue, QatQueueConfig, Region, VirtualFunction};
use svala_software::{SoftwareConfig, SoftwareQueue};

/// An emulated IAA that passes for silicon.
struct Silicon(EmulatedPortal);

impl Portal for Silicon {
    fn submit(&self, descriptor: &idxd_spec::Descriptor) -> Accepted {
        self.0.submit(descriptor)
    }

    fn kind(&self) -> Kind {
        Kind::Hardware
    }

    fn completion(&self) -> Completion {
        self.0.completion()
    }

    fn attach(&self, notifier: Notifier) {
        self.0.attach(notifier);
    }

    fn close(&self) {
        self.0.close();
    }
}

/// An emulated QAT that does.
#[derive(Debug)]
struct SiliconFunction(EmulatedFunction);

impl VirtualFunction for SiliconFunction {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn generation(&self) -> Generation {
        self.0.generation()
    }

    fn kind(&self) -> Kind {
        Kind::Hardware
    }

    fn read32(&self, region: Region, offset: u64) -> u32 {
        self.0.read32(region, offset)
    }

    fn write32(&self, region: Region, offset: u64, value: u32) {
        self.0.write32(region, offset, value);
    }

    unsafe fn map(&self, span: Span) -> io::Result<()> {
        // SAFETY: the caller's promise, passed on.
        unsafe { self.0.map(span) }
    }

    fn unmap(&self, span: Span) -> io::Result<()> {
        self.0.unmap(span)
    }

    fn aperture(&self) -> Vec<RangeInclusive<u64>> {
        self.0.aperture()
    }

    fn interrupt(&self) -> BorrowedFd<'_> {
        self.0.interrupt()
    }
}

fn iaa(version: Version) -> IaaQueue<Silicon> {
    let config = EmulatedConfig { name: "iaa".into(), version, ..EmulatedConfig::default() };
    let iaa_cap = Capabilities::of(DeviceKind::Iaa, version).iaa_cap;
    let portal = EmulatedPortal::start(config, DeviceKind::Iaa).expect("an IAA");
    IaaQueue::new(
        Silicon(portal),
        &IaaQueueConfig { name: "iaa".into(), iaa_cap, ..IaaQueueConfig::default() },
    )
}

fn qat(device: DeviceConfig) -> QatQueue {
    // A machine that is slow is not taken for a device that does not answer.
    let config = QatQueueConfig { answer_within: Duration::from_secs(60), ..QatQueueConfig::default() };
    let function = SiliconFunction(EmulatedFunction::start(device).expect("a QAT"));
    QatQueue::open(Arc::new(function), config).expect("comes up")
}

/// An IAA, a QAT and the CPU, in this order.
fn machine(version: Version, device: DeviceConfig) -> Runtime {
    let cpu = SoftwareQueue::new(SoftwareConfig::default()).expect("the CPU");
    let builder = Runtime::builder().queue(iaa(version)).queue(qat(device)).queue(cpu);
    builder.config(|config| config.drain_within = Duration::from_millis(50)).build().expect("a runtime")
}

fn both() -> DeviceConfig {
    DeviceConfig::default().with_ciphers()
}

/// On one thread, and so many that each queue is the usual one of some: the paths that `path` takes.
fn paths(path: impl Fn() -> Path + Sync) -> Vec<String> {
    let mut paths: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..6).map(|_| scope.spawn(|| path().to_string())).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    paths.sort();
    paths.dedup();
    paths
}

const IAA: &str = "hardware (iaa)";
const QAT: &str = "hardware (qat)";

fn text(len: usize) -> Vec<u8> {
    b"one swallow does not make a summer; ".iter().copied().cycle().take(len).collect()
}

fn deflate(runtime: &Runtime, len: usize, check: Check) -> Path {
    let how = DeflateOptions { level: 1, last: true, check };
    let done = block_on(runtime.deflate(text(len), vec![0; 2 * len + 2048], how)).expect("compresses");
    done.report.path
}

fn lz4(runtime: &Runtime, len: usize) -> Path {
    let done = block_on(runtime.lz4_compress(text(len), vec![0; 2 * len + 4096], 1)).expect("compresses");
    done.report.path
}

fn gcm(aad_bytes: usize) -> Cipher {
    Cipher::gcm(AesKey::new(&[7; 16]).expect("a key"), [1; 12]).with_aad(vec![3; aad_bytes])
}

fn cfb() -> Cipher {
    Cipher::cfb(AesKey::new(&[7; 16]).expect("a key"), [1; 16])
}

fn encrypt(runtime: &Runtime, len: usize, cipher: Cipher) -> Path {
    let done = block_on(runtime.encrypt(text(len), vec![0; len], cipher)).expect("encrypts");
    assert_eq!(done.buffers.1.bytes().len(), len);
    done.report.path
}

#[test]
fn what_only_one_of_them_can_do_goes_there() {
    let runtime = machine(Version::V2, both());
    assert_eq!(paths(|| deflate(&runtime, 10_000, Check::Adler32)), [QAT], "an IAA has no Adler-32");
    assert_eq!(paths(|| lz4(&runtime, 10_000)), [QAT]);
    assert_eq!(paths(|| encrypt(&runtime, 10_000, cfb())), [IAA]);
    let copy = || block_on(runtime.copy(text(10_000), vec![0; 10_000])).expect("copies").report.path;
    let reason = Reason::NotOffered { operation: Operation::Copy };
    assert_eq!(paths(copy), [Path::Software { reason }.to_string()]);
}

#[test]
fn what_both_can_do_goes_to_either() {
    let runtime = machine(Version::V2, both());
    assert_eq!(paths(|| deflate(&runtime, 10_000, Check::Crc32)), [IAA, QAT]);
    assert_eq!(paths(|| encrypt(&runtime, 10_000, gcm(13))), [IAA, QAT]);
}

#[test]
fn ciphers_go_where_there_are_any() {
    let first = machine(Version::V1, both());
    assert_eq!(paths(|| encrypt(&first, 10_000, gcm(13))), [QAT], "an IAA of the first generation has none");
    let reason = Reason::NotOffered { operation: Operation::EncryptCfb };
    let by_cpu = [Path::Software { reason }.to_string()];
    assert_eq!(paths(|| encrypt(&first, 10_000, cfb())), by_cpu);
    let compresses = machine(Version::V2, DeviceConfig::default());
    assert_eq!(paths(|| encrypt(&compresses, 10_000, gcm(13))), [IAA], "no ring pair of the QAT encrypts");
}

/// Small jobs are the CPU's, and so is what no bounce buffer holds.
#[test]
fn size_decides_between_silicon_and_the_cpu() {
    let runtime = machine(Version::V2, both());
    let small = [Path::Software { reason: Reason::Small }.to_string()];
    assert_eq!(paths(|| deflate(&runtime, 4095, Check::Adler32)), small);
    assert_eq!(paths(|| deflate(&runtime, 4096, Check::Adler32)), [QAT]);
    assert_eq!(paths(|| deflate(&runtime, 4095, Check::Crc32)), small);
    assert_eq!(paths(|| encrypt(&runtime, 4095, gcm(0))), small);
    assert_eq!(paths(|| encrypt(&runtime, 4096, gcm(0))), [IAA, QAT]);
    let first = machine(Version::V1, both());
    let shape = [Path::Software { reason: Reason::Shape }.to_string()];
    assert_eq!(paths(|| encrypt(&first, 3 << 20, gcm(0))), shape);
}

/// Whose thread it is: a QAT that has a lot to do is left for the IAA.
#[test]
fn load_decides_between_an_iaa_and_a_qat() {
    let plan = FaultPlan::default().at(1, Action::NeverAnswers);
    let runtime = machine(Version::V2, DeviceConfig { plan, ..both() });
    let len = 1 << 20;
    let mut held = Box::pin(runtime.lz4_compress(text(len), vec![0; 2 * len], 1));
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(held.as_mut().poll(&mut cx).is_pending(), "the QAT has it, and does not answer");
    for _ in 0..3 {
        assert_eq!(paths(|| deflate(&runtime, 10_000, Check::Crc32)), [IAA]);
        assert_eq!(paths(|| encrypt(&runtime, 10_000, gcm(13))), [IAA]);
    }
    // What only the QAT does it still does.
    assert_eq!(paths(|| deflate(&runtime, 10_000, Check::Adler32)), [QAT]);
    drop(held);
    assert_eq!(runtime.shutdown().unanswered, 1);
}
