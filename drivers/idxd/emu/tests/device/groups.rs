//! Groups, engines, priorities; whose descriptors they are; interrupts; traffic classes.

use idxd_emu::{DeviceConfig, GroupConfig, PciConfig, QueueConfig, Submission, Version};
use idxd_spec::register::perfmon::{CNTRCFG, CNTRDATA, Category, CntrCfg, FLTCFG, event};
use idxd_spec::register::{Cmd, CmdCode, GrpFlags, InterruptEntry, MsixPerm, Portal};
use idxd_spec::{Descriptor, Flags, OpCap, Opcode, Status};

use crate::support::{Memory, PAGE, Rig};

fn group(queues: &[usize], engines: &[usize]) -> GroupConfig {
    GroupConfig { queues: queues.to_vec(), engines: engines.to_vec(), ..GroupConfig::default() }
}

/// Engine numbers by performance counter: one for each engine, of what it takes from work queues.
fn count_by_engine(rig: &Rig, engines: u64) {
    let config = CntrCfg(0).with_category(Category::Engine as u8).with_events(event::DESC_FROM_WQ);
    for engine in 0..engines {
        rig.device.write(0x2000 + FLTCFG + engine * 32 + 16, 4, 1 << engine);
        rig.device.write(0x2000 + CNTRCFG + engine * 8, 8, config.with_enable(true).0);
    }
}

#[test]
fn engines_serve_the_queues_of_their_group_alone() {
    let queues = vec![QueueConfig::dedicated(32), QueueConfig::shared(32), QueueConfig::shared(32)];
    let groups = vec![group(&[0], &[1]), group(&[1, 2], &[0, 2])];
    let rig = Rig::new(DeviceConfig { queues, groups, engines: 3, ..DeviceConfig::default() });
    count_by_engine(&rig, 3);
    for index in 0..60 {
        let portal = rig.device.portal(index % 3).unwrap();
        let noop = Descriptor::noop().with_completion(rig.record(index));
        while portal.submit(&noop) == Submission::Retry {
            std::thread::yield_now();
        }
        rig.completion(index);
    }
    let counts = [0, 1, 2].map(|engine| rig.device.read(0x2000 + CNTRDATA + engine * 8, 8));
    assert_eq!((counts[1], counts[0] + counts[2]), (20, 40));
}

#[test]
fn two_groups_wake_their_own_engines() {
    let queues = vec![QueueConfig::dedicated(8), QueueConfig::dedicated(8)];
    let groups = vec![group(&[0], &[0]), group(&[1], &[1])];
    let rig = Rig::new(DeviceConfig { queues, groups, engines: 2, ..DeviceConfig::default() });
    for round in 0..200 {
        // Both asleep, or one of them.
        std::thread::sleep(std::time::Duration::from_micros(100 * (round % 3)));
        let portal = rig.device.portal((round % 2) as usize).unwrap();
        rig.clear(0);
        assert_eq!(portal.submit(&Descriptor::noop().with_completion(rig.record(0))), Submission::Accepted);
        assert_eq!(rig.completion(0).status(), Status::SUCCESS);
    }
}

/// An engine without a group is not the one to wake, however long it has slept.
#[test]
fn engines_in_no_group_do_not_sleep_through_a_submission() {
    let groups = vec![group(&[0], &[2])];
    let rig = Rig::new(DeviceConfig { groups, engines: 4, ..DeviceConfig::default() });
    for _ in 0..50 {
        rig.clear(0);
        let noop = Descriptor::noop().with_completion(rig.record(0));
        assert_eq!(rig.portal.submit(&noop), Submission::Accepted);
        assert_eq!(rig.completion(0).status(), Status::SUCCESS);
        // All of them asleep.
        std::thread::sleep(std::time::Duration::from_micros(200));
    }
}

#[test]
fn unlimited_portal_reaches_past_the_threshold() {
    let queue = QueueConfig { mode: idxd_emu::QueueMode::Shared { threshold: 2 }, ..QueueConfig::shared(3) };
    let rig = Rig::new(DeviceConfig { queues: vec![queue], ..DeviceConfig::default() });
    rig.device.hold();
    let unlimited = rig.portal.clone().through(Portal::Unlimited);
    let noop = Descriptor::noop();
    assert_eq!(
        [(); 3].map(|()| rig.portal.submit(&noop)),
        [Submission::Accepted, Submission::Accepted, Submission::Retry]
    );
    assert_eq!([(); 2].map(|()| unlimited.submit(&noop)), [Submission::Accepted, Submission::Retry]);
    rig.device.resume();
    rig.drain();
    assert_eq!(rig.device.stats().descriptors, 3);
}

#[test]
fn operations_of_a_work_queue_can_be_restricted() {
    let operations = Some(OpCap::default().with(Opcode::NOOP).with(Opcode::FILL));
    let queues = vec![QueueConfig { operations, ..QueueConfig::dedicated(8) }, QueueConfig::dedicated(8)];
    let rig = Rig::new(DeviceConfig { queues, ..DeviceConfig::default() });
    let memory = Memory::warm(PAGE);
    let copy = Descriptor::memmove(memory.src(0), memory.dst(64), 8);
    assert_eq!(rig.run(&copy).status(), Status::BAD_OPCODE);
    assert_eq!(rig.run(&Descriptor::fill(1, memory.dst(0), 8)).status(), Status::SUCCESS);
    let other = rig.device.portal(1).unwrap();
    assert_eq!(other.submit(&copy.with_completion(rig.record(1))), Submission::Accepted);
    assert_eq!(rig.completion(1).status(), Status::SUCCESS);
    let fetch = Descriptor::translation_fetch(memory.src(0), 8);
    let queue = QueueConfig { ats_disable: true, ..QueueConfig::default() };
    let rig = Rig::new(DeviceConfig { queues: vec![queue], ..DeviceConfig::default() });
    assert_eq!(rig.run(&fetch).status(), Status::BAD_OPCODE);
}

/// What only a later version has is refused by an earlier one.
#[test]
fn version_decides_what_runs() {
    let memory = Memory::warm(PAGE);
    let list = Memory::with(Descriptor::noop().as_bytes());
    let status = |version, descriptor: &Descriptor| {
        let rig = Rig::new(DeviceConfig { version, ..DeviceConfig::default() });
        rig.run(descriptor).status()
    };
    let fetch = Descriptor::translation_fetch(memory.src(0), 8);
    assert_eq!(status(Version::V1, &fetch), Status::BAD_OPCODE);
    assert_eq!(status(Version::V2, &fetch), Status::SUCCESS);
    let crc = Descriptor::crc64(memory.src(0), 8, 0);
    assert_eq!([Version::V1, Version::V2].map(|v| status(v, &crc)), [Status::INVALID_FLAGS, Status::SUCCESS]);
    let batch = Descriptor::batch(list.src(0), 1);
    assert_eq!(
        [Version::V2, Version::V3].map(|v| status(v, &batch)),
        [Status::DESCRIPTOR_COUNT, Status::SUCCESS]
    );
}

#[test]
fn privilege_is_refused_where_it_is_not_enabled() {
    for (privileged, refused) in [(true, false), (false, true)] {
        let pci = PciConfig { privileged, ..PciConfig::default() };
        let queues = vec![QueueConfig::shared(8)];
        let rig = Rig::new(DeviceConfig { queues, pci, ..DeviceConfig::default() });
        let noop = Descriptor::noop().with_privileged(true).with_completion(rig.record(0));
        assert_eq!(rig.portal.enqcmds(&noop), Submission::Accepted);
        rig.drain();
        let error = rig.device.software_error().map(|error| error.status);
        assert_eq!((error, rig.told()), (refused.then_some(Status::PRIVILEGE), u64::from(!refused)));
    }
}

fn interrupting() -> Rig {
    Rig::new(DeviceConfig { user_interrupts: true, ..DeviceConfig::default() })
}

/// The entry of this process's PASID, as a driver would set it up.
fn permit(rig: &Rig, vector: u64, pasid: u32) {
    let permission = MsixPerm(0).with_pasid_enable(true).with_pasid(pasid);
    rig.device.write(0x400 + vector * 8, 4, permission.0.into());
}

#[test]
fn completion_raises_the_interrupt_it_asks_for() {
    let rig = interrupting();
    permit(&rig, 3, rig.device.pasid());
    assert_eq!(rig.run(&Descriptor::noop().with_interrupt(3)).status(), Status::SUCCESS);
    rig.drain();
    assert_eq!(rig.device.interrupts(3), 1);
    // A drain may do with an interrupt alone.
    rig.submit(&Descriptor::drain().with_interrupt(3));
    rig.drain();
    assert_eq!((rig.device.interrupts(3), rig.device.software_error()), (2, None));
    // And not where user mode may not.
    let rig = Rig::dsa();
    permit(&rig, 3, rig.device.pasid());
    assert_eq!(rig.run(&Descriptor::noop().with_interrupt(3)).status(), Status::INVALID_FLAGS);
}

/// In the record, and in SWERROR as well (§5.4).
#[test]
fn handle_of_somebody_else_is_invalid() {
    let rig = interrupting();
    permit(&rig, 2, rig.device.pasid() + 1);
    for handle in [1, 2, 9, 500] {
        rig.device.clear_software_error();
        assert_eq!(rig.run(&Descriptor::noop().with_interrupt(handle)).status(), Status::INTERRUPT_HANDLE);
        rig.drain();
        assert_eq!(rig.device.software_error().unwrap().status, Status::INTERRUPT_HANDLE, "{handle}");
    }
    assert_eq!((rig.device.interrupts(1), rig.device.interrupts(2)), (0, 0));
}

#[test]
fn handle_that_was_asked_for_is_good_until_it_is_released() {
    let config =
        DeviceConfig { user_interrupts: true, interrupt_handles: Some(4), ..DeviceConfig::default() };
    let rig = Rig::new(config);
    permit(&rig, 3, rig.device.pasid());
    let entry = InterruptEntry { index: 3, storage: false }.operand();
    let handle = rig.device.command(Cmd::new(CmdCode::REQUEST_INTERRUPT_HANDLE).with_operand(entry)).unwrap();
    assert_eq!(rig.run(&Descriptor::noop().with_interrupt(3)).status(), Status::INTERRUPT_HANDLE);
    assert_eq!(rig.run(&Descriptor::noop().with_interrupt(handle)).status(), Status::SUCCESS);
    rig.drain();
    assert_eq!(rig.device.interrupts(3), 1);
    rig.device.command(Cmd::new(CmdCode::RELEASE_INTERRUPT_HANDLE).with_operand(entry)).unwrap();
    assert_eq!(rig.run(&Descriptor::noop().with_interrupt(handle)).status(), Status::INTERRUPT_HANDLE);
}

#[test]
fn occupancy_interrupt_comes_when_the_queue_empties() {
    let rig = Rig::dsa();
    rig.device.hold();
    (0..4).for_each(|_| rig.submit(&Descriptor::noop()));
    rig.device.disable_queue(0);
    rig.device.resume();
    rig.drain();
    // The handle is set while the queue is disabled, the interrupt enabled at any time.
    while rig.device.read(0x800 + 24, 4) >> 30 != 0 {
        std::thread::yield_now();
    }
    rig.device.write(0x800 + 16, 4, 5);
    rig.device.enable_queue(0);
    rig.device.hold();
    (0..4).for_each(|_| rig.submit(&Descriptor::noop()));
    rig.device.write(0x800 + 20, 4, 1 << 16 | 2);
    assert_eq!(rig.device.interrupts(5), 0);
    rig.device.resume();
    rig.drain();
    assert_eq!((rig.device.interrupts(5), rig.device.read(0x800 + 24, 4) >> 16 & 1), (1, 1));
}

/// §4.2: class A is 0 and class B is 1 here, of which only one is mapped.
#[test]
fn traffic_class_that_is_not_mapped_is_refused() {
    let flags = GrpFlags(0).with_tc_a(0).with_tc_b(1).with_read_buffers_allowed(96);
    let groups = vec![GroupConfig { flags, ..group(&[0], &[0]) }];
    let pci = PciConfig { traffic_classes: 1, ..PciConfig::default() };
    let rig = Rig::new(DeviceConfig { groups, pci, ..DeviceConfig::default() });
    let memory = Memory::warm(PAGE);
    let copy = Descriptor::memmove(memory.src(0), memory.dst(64), 8);
    assert_eq!(rig.run(&copy).status(), Status::SUCCESS);
    for selector in [Flags::ADDR1_TC, Flags::ADDR2_TC] {
        assert_eq!(rig.run(&copy.with_flags(selector)).status(), Status::TRAFFIC_CLASS);
    }
    assert_eq!(rig.device.software_error(), None);
    // Without a class for the record, nothing is done.
    let told = rig.told();
    rig.submit(&copy.with_completion(rig.record(1)).with_flags(Flags::COMPLETION_TC));
    rig.drain();
    assert_eq!((rig.told(), rig.device.software_error().unwrap().status), (told, Status::TRAFFIC_CLASS));
}
