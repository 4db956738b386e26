//! The conformance bodies through `write(2)`: a pipe in the place of a device node, and behind it a thread that does
//! what the kernel does with what is written, on an emulated device.
//!
//! This is the whole path of a process without `CAP_SYS_RAWIO`, but for the kernel's own part of it. Completions are
//! found by looking, as those of real queues are.

#[expect(dead_code, reason = "some bodies need what only emulated devices have")]
mod conformance;
#[expect(dead_code, reason = "what only emulated devices are told to do")]
mod support;

use std::fs::File;
use std::io::Read;

use conformance::{batch, compression, memory};
use idxd_emu::{Device, DeviceConfig, DeviceKind, QueueConfig, Submission};
use nix::fcntl::OFlag;
use support::{Faults, Setup, TRANSFER_BYTES_MAX};
use svala::{FaultPolicy, Runtime};
use svala_idxd::{
    DsaQueue, DsaQueueConfig, HardwarePortal, IaaQueue, IaaQueueConfig, Method, MethodChoice, WriteReason,
};

/// A portal that writes to a pipe, and a device that reads from it until the pipe is closed.
fn portal(kind: DeviceKind) -> HardwarePortal {
    let (reader, writer) = nix::unistd::pipe2(OFlag::O_CLOEXEC).unwrap();
    nix::fcntl::fcntl(&writer, nix::fcntl::FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
    let queue = QueueConfig { transfer_bytes_max: TRANSFER_BYTES_MAX, ..QueueConfig::shared(16) };
    let config = DeviceConfig {
        name: "behind write".into(),
        kind,
        engines: 2,
        queues: vec![queue],
        ..DeviceConfig::default()
    };
    let device = Device::start(config).unwrap();
    std::thread::spawn(move || drive(File::from(reader), &device));
    let portal = HardwarePortal::new(writer.into(), false, MethodChoice::Write).unwrap();
    assert_eq!((portal.method(), portal.write_reason()), (Method::Write, Some(WriteReason::Chosen)));
    portal
}

/// What the kernel's driver does with each descriptor.
fn drive(mut written: File, device: &Device) {
    let portal = device.portal(0).unwrap();
    let mut descriptor = [0; 64];
    while written.read_exact(&mut descriptor).is_ok() {
        while portal.submit_bytes(&descriptor) == Submission::Retry {
            std::thread::yield_now();
        }
    }
}

fn setup(faults: Faults) -> Setup {
    let dsa = DsaQueueConfig {
        name: "dsa".into(),
        depth: 16,
        transfer_bytes_max: TRANSFER_BYTES_MAX,
        batch_max: 32,
        block_on_fault: true,
        lanes_per_job: 2,
        ..DsaQueueConfig::default()
    };
    let iaa = IaaQueueConfig {
        name: "iaa".into(),
        depth: 16,
        transfer_bytes_max: TRANSFER_BYTES_MAX,
        block_on_fault: true,
        ..IaaQueueConfig::default()
    };
    let runtime = Runtime::builder()
        .queue(DsaQueue::new(portal(DeviceKind::Dsa), &dsa))
        .queue(IaaQueue::new(portal(DeviceKind::Iaa), &iaa))
        .config(|config| {
            config.faults = match faults {
                Faults::Prefetch => FaultPolicy::Prefetch,
                Faults::BlockOnFault => FaultPolicy::BlockOnFault,
                _ => FaultPolicy::Resolve,
            };
        })
        .build()
        .unwrap();
    Setup { runtime, faults, transfer_bytes_max: TRANSFER_BYTES_MAX as usize }
}

fn everywhere(body: fn(&Setup)) {
    for faults in [Faults::Resolve, Faults::Prefetch, Faults::BlockOnFault] {
        body(&setup(faults));
    }
}

#[test]
fn copies_through_write_are_right() {
    everywhere(memory::copy_lengths);
    everywhere(memory::copy_cold);
    everywhere(memory::larger_than_a_transfer);
    everywhere(memory::overlapping);
}

#[test]
fn other_memory_operations_through_write_are_right() {
    everywhere(memory::fill);
    everywhere(memory::compare);
    everywhere(memory::crc32c);
    everywhere(memory::unmapped);
}

#[test]
fn many_at_once_through_write_all_complete() {
    everywhere(memory::many_at_once);
}

#[test]
fn batches_through_write_answer_for_each_member() {
    everywhere(batch::mixed);
    everywhere(batch::cold);
}

#[test]
fn compression_through_write_is_right() {
    everywhere(compression::deflate);
    everywhere(compression::inflate);
}
