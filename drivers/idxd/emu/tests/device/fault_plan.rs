//! Each item of a plan does what it says.

use std::time::{Duration, Instant};

use idxd_emu::{
    DeviceConfig, DeviceKind, FaultPlan, Nonsense, QueueConfig, Repeat, StopAt, Submission, Which,
};
use idxd_spec::{Descriptor, Status, iaa};

use crate::support::{Memory, PAGE, Rig, bytes};

fn with(plan: FaultPlan) -> Rig {
    Rig::new(DeviceConfig { plan, ..DeviceConfig::default() })
}

#[test]
fn retries_first_then_accepts() {
    let queues = vec![QueueConfig::shared(8)];
    let plan = FaultPlan::default().retry_first(3);
    let rig = Rig::new(DeviceConfig { queues, plan, ..DeviceConfig::default() });
    let answers: Vec<_> = (0..5).map(|_| rig.portal.submit(&Descriptor::noop())).collect();
    assert_eq!(answers[..3], [Submission::Retry; 3]);
    assert_eq!(answers[3..], [Submission::Accepted; 2]);
}

#[test]
fn page_fault_comes_once_though_the_page_is_present() {
    let rig = with(FaultPlan::default().fault_at_page(2, Repeat::Once));
    let data = bytes(4 * PAGE, 1);
    let (src, dst) = (Memory::with(&data), Memory::warm(4 * PAGE));
    let copy = Descriptor::memmove(src.src(0), dst.dst(10), 3 * PAGE as u32);
    let completion = rig.run(&copy);
    assert_eq!(completion.status(), Status::PAGE_FAULT.with_write());
    assert_eq!(
        (completion.bytes_completed() as usize, completion.fault_addr()),
        (2 * PAGE - 10, dst.addr(2 * PAGE))
    );
    assert_eq!(rig.run(&copy).status(), Status::SUCCESS);
}

#[test]
fn page_fault_comes_always() {
    let rig = with(FaultPlan::default().fault_at_page(0, Repeat::Always));
    let (src, dst) = (Memory::warm(PAGE), Memory::warm(PAGE));
    let copy = Descriptor::memmove(src.src(0), dst.dst(0), 64);
    for _ in 0..3 {
        let completion = rig.run(&copy);
        assert_eq!((completion.status(), completion.bytes_completed()), (Status::PAGE_FAULT.with_write(), 0));
    }
    assert_eq!(rig.run(&copy.with_block_on_fault()).status(), Status::PAGE_REQUEST_INVALID.with_write());
    assert_eq!(rig.device.stats().page_requests, 8);
}

#[test]
fn planned_fault_with_block_on_fault_is_a_page_request() {
    let rig = with(FaultPlan::default().fault_at_page(1, Repeat::Once));
    let (src, dst) = (Memory::with(&bytes(2 * PAGE, 2)), Memory::warm(2 * PAGE));
    let copy = Descriptor::memmove(src.src(0), dst.dst(0), 2 * PAGE as u32).with_block_on_fault();
    assert_eq!(rig.run(&copy).status(), Status::SUCCESS);
    assert_eq!(rig.device.stats().page_requests, 1);
    assert_eq!(dst.read(0, 2 * PAGE), src.read(0, 2 * PAGE));
}

#[test]
fn backward_page_is_counted_from_the_end() {
    let rig = with(FaultPlan::default().fault_at_page(1, Repeat::Once));
    let memory = Memory::warm(8 * PAGE);
    let copy = Descriptor::memmove(memory.src(0), memory.dst(100), 4 * PAGE as u32);
    let completion = rig.run(&copy);
    assert_eq!((completion.result(), completion.bytes_completed()), (1, 100));
    assert_eq!(completion.fault_addr(), memory.addr(3 * PAGE));
}

#[test]
fn stop_completes_as_many_bytes_as_planned() {
    let rig = with(FaultPlan::default().stop_at(StopAt::Bytes(1234)));
    let data = bytes(PAGE, 3);
    let (src, dst) = (Memory::with(&data), Memory::warm(PAGE));
    let completion = rig.run(&Descriptor::memmove(src.src(0), dst.dst(0), 4000));
    assert_eq!((completion.status(), completion.bytes_completed()), (Status::PAGE_FAULT.with_write(), 1234));
    assert_eq!(dst.read(0, PAGE), [&data[..1234], &vec![0; PAGE - 1234]].concat());
    assert_eq!(rig.run(&Descriptor::memmove(src.src(0), dst.dst(0), 1234)).status(), Status::SUCCESS);
}

#[test]
fn noise_is_where_nothing_is_said() {
    let rig = with(FaultPlan::seeded(4).noise());
    let memory = Memory::with(&bytes(PAGE, 4));
    let noop = rig.run(&Descriptor::noop());
    assert_eq!(noop.status(), Status::SUCCESS);
    assert_ne!(noop.to_bytes()[16..], [0; 16]);
    let crc = rig.run(&Descriptor::crc(memory.src(0), 4096, 0));
    let expected = crc::Crc::<u32>::new(&crc::CRC_32_ISCSI).checksum(&memory.read(0, 4096));
    assert_eq!((crc.status(), crc.bytes_completed(), crc.crc_val()), (Status::SUCCESS, 0, expected.into()));
    assert_ne!(crc.to_bytes()[24..], [0; 8]);
}

#[test]
fn nth_is_never_answered_but_done() {
    let rig = with(FaultPlan::default().never_answer(Which::Nth(1)));
    let memory = Memory::warm(PAGE);
    for index in 0..3 {
        let fill = Descriptor::fill(7, memory.dst(index * 8), 8);
        rig.submit(&fill.with_completion(rig.record(index)));
    }
    assert_eq!(rig.completion(2).status(), Status::SUCCESS);
    rig.drain();
    assert_eq!(rig.records().status(64), Status::NONE);
    assert_eq!(memory.read(8, 8), 7_u64.to_le_bytes());
    assert_eq!(rig.told(), 2);
}

#[test]
fn second_answer_follows_the_first() {
    let rig = with(FaultPlan::default().answer_twice(Which::Nth(0)));
    rig.submit(&Descriptor::noop().with_completion(rig.record(0)));
    rig.submit(&Descriptor::noop().with_completion(rig.record(1)));
    rig.drain();
    assert_eq!((rig.told(), rig.device.stats().completions), (3, 3));
}

#[test]
fn nonsense_is_what_no_device_says() {
    let rig = with(FaultPlan::default().nonsense(Nonsense::BytesBeyondSize, Which::Every));
    let memory = Memory::warm(PAGE);
    let completion = rig.run(&Descriptor::fill(7, memory.dst(0), 100));
    assert_eq!((completion.status(), completion.bytes_completed()), (Status::PAGE_FAULT, 101));
    let rig = with(FaultPlan::default().nonsense(Nonsense::UnknownStatus, Which::Nth(0)));
    assert_eq!(rig.run(&Descriptor::noop()).status().0, 0x3e);
    assert_eq!(rig.run(&Descriptor::noop()).status(), Status::SUCCESS);
}

#[test]
fn out_of_order_is_out_of_order_and_the_same_for_a_seed() {
    let order = |seed| {
        let rig = with(FaultPlan::seeded(seed).out_of_order());
        let log = rig.watch_order(32);
        rig.device.hold();
        (0..32).for_each(|index| rig.submit(&Descriptor::noop().with_completion(rig.record(index))));
        rig.device.resume();
        rig.wait_told(32);
        rig.drain();
        log.lock().clone()
    };
    let first = order(5);
    assert_eq!(first.len(), 32);
    assert_ne!(first, (0..32).collect::<Vec<_>>());
    assert_eq!(first, order(5));
    assert_ne!(first, order(6));
}

#[test]
fn delay_delays() {
    let rig = with(FaultPlan::default().delay(Duration::from_millis(20)));
    let started = Instant::now();
    assert_eq!(rig.run(&Descriptor::noop()).status(), Status::SUCCESS);
    assert!(started.elapsed() >= Duration::from_millis(20));
}

/// Errors that no descriptor brings about: the hardware's own.
#[test]
fn a_descriptor_ends_with_the_status_that_is_planned() {
    let of_dsa = [Status::HARDWARE, Status::HARDWARE_WRITE, Status::HARDWARE_TRANSLATION];
    for status in of_dsa {
        let rig = with(FaultPlan::seeded(5).noise().fail(status, Which::Nth(1)));
        let (src, dst) = (Memory::with(&bytes(PAGE, 1)), Memory::warm(PAGE));
        let copy = Descriptor::memmove(src.src(0), dst.dst(0), 100);
        let ends = [rig.run(&copy), rig.run(&copy), rig.run(&copy)].map(|end| end.status());
        assert_eq!(ends, [Status::SUCCESS, status, Status::SUCCESS]);
    }
    let of_iaa = [Status::PAGE_REQUEST_TIMEOUT, Status::WATCHDOG];
    for status in of_iaa {
        let plan = FaultPlan::default().fail(status, Which::Every);
        let rig = Rig::new(DeviceConfig { kind: DeviceKind::Iaa, plan, ..DeviceConfig::default() });
        assert_eq!(rig.run_iaa(&iaa::Descriptor::noop()).status(), status);
    }
}

#[test]
fn a_member_that_is_planned_to_fail_fails_its_batch() {
    let rig = with(FaultPlan::default().fail(Status::HARDWARE, Which::Nth(1)));
    let dst = Memory::warm(PAGE);
    let fill = |at: usize| Descriptor::fill(7, dst.dst(at), 8).with_completion(rig.record(1 + at / 8));
    let list = Memory::warm(PAGE);
    (0..3).for_each(|at| list.write(64 * at, fill(8 * at).as_bytes()));
    let end = rig.run(&Descriptor::batch(list.src(0), 3));
    assert_eq!((end.status(), end.result(), end.descs_completed()), (Status::BATCH_FAILED, 1, 3));
    let members = [1, 2, 3].map(|record| rig.completion(record).status());
    assert_eq!(members, [Status::SUCCESS, Status::HARDWARE, Status::SUCCESS]);
}
