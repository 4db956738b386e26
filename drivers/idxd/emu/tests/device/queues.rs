//! Work queues: bounds, modes, order, and the end of a device.

use std::fs;
use std::time::{Duration, Instant};

use idxd_emu::{Device, DeviceConfig, Error, FaultPlan, QueueConfig, QueueMode, Submission};
use idxd_spec::{Descriptor, Status};

use crate::support::{DEADLINE, Memory, PAGE, Rig};

fn with_queue(queue: QueueConfig) -> Rig {
    Rig::new(DeviceConfig { queues: vec![queue], ..DeviceConfig::default() })
}

#[test]
fn full_dedicated_queue_drops_in_silence_and_says_so_in_swerr() {
    let rig = with_queue(QueueConfig::dedicated(4));
    rig.device.hold();
    for index in 0..6 {
        assert_eq!(
            rig.portal.submit(&Descriptor::noop().with_completion(rig.record(index))),
            Submission::Accepted,
            "a posted write has no answer"
        );
    }
    assert_eq!(rig.device.occupancy(0), 4);
    rig.device.resume();
    rig.wait_told(4);
    rig.drain();
    assert_eq!(rig.told(), 4);
    assert_eq!((rig.device.stats().accepted, rig.device.stats().dropped), (4, 2));
    let error = rig.device.software_error().unwrap();
    assert_eq!((error.status, error.queue, error.overflow), (Status::DEDICATED_QUEUE_FULL, 0, true));
}

#[test]
fn shared_queue_answers_retry_at_its_threshold() {
    let rig = with_queue(QueueConfig { mode: QueueMode::Shared { threshold: 3 }, ..QueueConfig::shared(8) });
    rig.device.hold();
    let answers: Vec<_> = (0..5).map(|_| rig.portal.submit(&Descriptor::noop())).collect();
    assert_eq!(answers[..3], [Submission::Accepted; 3]);
    assert_eq!(answers[3..], [Submission::Retry; 2]);
    assert_eq!(rig.device.stats().retries, 2);
    rig.device.resume();
    rig.drain();
    rig.submit(&Descriptor::noop());
    assert_eq!(rig.device.software_error(), None);
}

#[test]
fn disabled_queue_refuses_as_its_mode_does() {
    for (queue, answer, dropped) in
        [(QueueConfig::shared(8), Submission::Retry, 0), (QueueConfig::dedicated(8), Submission::Accepted, 1)]
    {
        let rig = with_queue(queue);
        rig.device.disable_queue(0);
        assert_eq!(rig.portal.submit(&Descriptor::noop()), answer);
        assert_eq!((rig.device.stats().accepted, rig.device.stats().dropped), (0, dropped));
        rig.device.enable_queue(0);
        assert_eq!(rig.run(&Descriptor::noop()).status(), Status::SUCCESS);
    }
}

#[test]
fn one_engine_keeps_the_order_of_a_queue() {
    let rig = Rig::dsa();
    let memory = Memory::warm(PAGE);
    for value in 0..60 {
        rig.submit(&Descriptor::fill(value, memory.dst(0), 8));
    }
    rig.drain();
    assert_eq!(memory.read(0, 8), 59_u64.to_le_bytes());
}

/// Four engines, big copies, and a drain: when its record is written all the others are.
#[test]
fn drain_waits_for_what_is_before_it() {
    let rig = Rig::new(DeviceConfig { engines: 4, ..DeviceConfig::default() });
    let (src, dst) = (Memory::warm(1 << 20), Memory::warm(1 << 20));
    for _ in 0..10 {
        for index in 0..20 {
            let copy = Descriptor::memmove(src.src(0), dst.dst(0), 1 << 20);
            rig.submit(&copy.with_completion(rig.record(1 + index)));
        }
        assert_eq!(rig.run(&Descriptor::drain()).status(), Status::SUCCESS);
        for index in 0..20 {
            assert_eq!(rig.records().status((1 + index) * 64), Status::SUCCESS);
        }
        (0..21).for_each(|index| rig.clear(index));
    }
}

#[test]
fn drain_reads_back_and_reports_what_is_not_there() {
    let rig = Rig::dsa();
    let memory = Memory::cold(2 * PAGE);
    let drain =
        Descriptor::drain().with_readback_addr_1(memory.addr(10)).with_readback_addr_2(memory.addr(PAGE));
    assert_eq!(rig.run(&drain).status(), Status::SUCCESS);
    assert_eq!(rig.device.stats().page_requests, 2);
    memory.unmap(PAGE, PAGE);
    let completion = rig.run(&drain);
    assert_eq!(
        (completion.status(), completion.fault_addr()),
        (Status::READBACK_PAGE_FAULT, memory.addr(PAGE))
    );
    assert_eq!(completion.fault_info().operand(), idxd_spec::Operand::SRC2);
}

#[test]
fn aborted_descriptors_get_no_record() {
    let rig = Rig::dsa();
    rig.device.hold();
    (0..5).for_each(|index| rig.submit(&Descriptor::noop().with_completion(rig.record(index))));
    assert_eq!(rig.device.abort_queue(0), 5);
    rig.device.resume();
    assert_eq!(rig.run(&Descriptor::noop()).status(), Status::SUCCESS);
    assert_eq!((rig.told(), rig.device.stats().abandoned), (1, 5));
}

#[test]
fn every_queue_of_a_device_is_served() {
    let queues = vec![QueueConfig::dedicated(16), QueueConfig::shared(16), QueueConfig::shared(16)];
    let rig = Rig::new(DeviceConfig { queues, engines: 2, ..DeviceConfig::default() });
    assert!(rig.device.portal(3).is_none());
    for index in 0..30 {
        let portal = rig.device.portal(index % 3).unwrap();
        assert_eq!(
            portal.submit(&Descriptor::noop().with_completion(rig.record(index))),
            Submission::Accepted
        );
    }
    (0..30).for_each(|index| assert_eq!(rig.completion(index).status(), Status::SUCCESS));
}

#[test]
fn configurations_out_of_range_are_refused() {
    let start = |config| Device::start(config).unwrap_err().to_string();
    let config = DeviceConfig { engines: 0, ..DeviceConfig::default() };
    assert_eq!(start(config), "0 engines: a device has 1 to 8");
    let config = DeviceConfig { queues: Vec::new(), ..DeviceConfig::default() };
    assert_eq!(start(config), "0 work queues: a device has 1 to 8");
    let queues = vec![QueueConfig::dedicated(100), QueueConfig::dedicated(100)];
    let config = DeviceConfig { queues, ..DeviceConfig::default() };
    assert_eq!(start(config), "wq1: size is 100, allowed are 1 to 28");
    let queue = QueueConfig { mode: QueueMode::Shared { threshold: 9 }, ..QueueConfig::shared(8) };
    let config = DeviceConfig { queues: vec![queue], ..DeviceConfig::default() };
    assert!(matches!(Device::start(config), Err(Error::Queue { field: "threshold", .. })));
}

/// Names of this process's threads.
fn threads() -> Vec<String> {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok()).collect()
}

fn threads_of(device: &str) -> usize {
    threads().iter().filter(|name| name.starts_with(device)).count()
}

#[test]
fn dropped_device_finishes_what_is_queued_and_leaves_no_thread() {
    let rig = Rig::new(DeviceConfig { name: "end0".into(), engines: 3, ..DeviceConfig::default() });
    let portal = rig.portal.clone();
    rig.device.hold();
    (0..50).for_each(|index| rig.submit(&Descriptor::noop().with_completion(rig.record(index))));
    // Names are set by the threads themselves, and the hold does not say that they have started.
    let deadline = Instant::now() + DEADLINE;
    while threads_of("end0-") < 4 {
        assert!(Instant::now() < deadline, "{:?}", threads());
        std::thread::yield_now();
    }
    let stats = rig.device.stats();
    assert_eq!((stats.accepted, stats.completions), (50, 0));
    let told = rig.into_told();
    assert_eq!(told, 50);
    assert_eq!(threads_of("end0-"), 0);
    assert_eq!(portal.submit(&Descriptor::noop()), Submission::Accepted, "swallowed");
}

#[test]
fn shutdown_reports_what_it_abandons() {
    let plan = FaultPlan::default().delay(Duration::from_secs(3600));
    let device =
        Device::start(DeviceConfig { name: "end1".into(), plan, ..DeviceConfig::default() }).unwrap();
    let portal = device.portal(0).unwrap();
    device.hold();
    (0..10).for_each(|_| assert_eq!(portal.submit(&Descriptor::noop()), Submission::Accepted));
    assert_eq!(device.abort_queue(0), 10);
    (0..7).for_each(|_| assert_eq!(portal.submit(&Descriptor::noop()), Submission::Accepted));
    let started = Instant::now();
    assert!(device.shutdown(Instant::now()) <= 7);
    assert!(started.elapsed() < DEADLINE, "an hour of delay is cut short");
    assert_eq!(threads_of("end1-"), 0);
}

/// The last handle goes away on the engine's own thread.
#[test]
fn device_may_be_dropped_by_its_own_hook() {
    let device = Device::start(DeviceConfig { name: "end2".into(), ..DeviceConfig::default() }).unwrap();
    let portal = device.portal(0).unwrap();
    let (sender, receiver) = std::sync::mpsc::channel();
    let cell = std::sync::Arc::new(parking_lot::Mutex::new(None));
    let inner = std::sync::Arc::clone(&cell);
    device.on_completion(move || {
        drop(inner.lock().take());
        let _ = sender.send(());
    });
    *cell.lock() = Some(device);
    let record = Memory::warm(PAGE);
    assert_eq!(portal.submit(&Descriptor::noop().with_completion(record.addr(0))), Submission::Accepted);
    receiver.recv_timeout(DEADLINE).unwrap();
    assert_eq!(record.status(0), Status::SUCCESS);
}
