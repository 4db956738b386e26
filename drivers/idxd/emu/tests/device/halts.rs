//! Devices that stop, and what brings them back.

use std::time::Instant;

use idxd_emu::{DeviceConfig, FaultPlan, QueueConfig, Submission, Which};
use idxd_spec::register::{Cmd, CmdCode, CmdError, DeviceState, INTCAUSE, IntCause, ResetType, WqState};
use idxd_spec::{Descriptor, Status};

use crate::support::{DEADLINE, Memory, PAGE, Rig};

fn with(plan: FaultPlan, queue: QueueConfig) -> Rig {
    Rig::new(DeviceConfig { plan, queues: vec![queue], ..DeviceConfig::default() })
}

fn wait_for(rig: &Rig, what: impl Fn(&Rig) -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !what(rig) {
        assert!(Instant::now() < deadline, "{:?}", rig.device);
        std::thread::yield_now();
    }
}

#[test]
fn halted_device_does_and_accepts_nothing_until_it_is_reset() {
    for reset in [ResetType::Software, ResetType::FunctionLevel] {
        let rig = with(FaultPlan::default().halt_after(2, reset), QueueConfig::shared(16));
        rig.device.hold();
        (0..5).for_each(|index| rig.submit(&Descriptor::noop().with_completion(rig.record(index))));
        rig.device.resume();
        wait_for(&rig, |rig| rig.device.stats().halts == 1 && rig.device.stats().abandoned == 1);
        assert_eq!([0, 1, 2, 3].map(|index| rig.records().status(index * 64)), [1, 1, 0, 0].map(Status));
        assert_eq!((rig.device.status().state(), rig.device.status().reset()), (DeviceState::Halted, reset));
        assert!(IntCause(rig.device.read(INTCAUSE, 4) as u32).halt());
        assert_eq!(rig.device.interrupts(0), 1);
        assert_eq!(rig.portal.submit(&Descriptor::noop()), Submission::Retry);
        assert_eq!(rig.device.command(Cmd::new(CmdCode::ENABLE_WQ)), Err(CmdError::HALTED));
        let by_command = rig.device.command(Cmd::new(CmdCode::RESET_DEVICE));
        assert_eq!(by_command.is_ok(), reset == ResetType::Software);
        rig.device.recover().unwrap();
        assert_eq!(rig.device.stats().abandoned, 3, "the other two as well");
        assert_eq!(rig.run(&Descriptor::noop()).status(), Status::SUCCESS);
    }
}

#[test]
fn command_that_waits_ends_when_the_device_halts() {
    let rig = Rig::dsa();
    rig.device.hold();
    rig.submit(&Descriptor::noop());
    rig.device.write(0xa0, 4, Cmd::new(CmdCode::DRAIN_ALL).0.into());
    assert_eq!(rig.device.read(0xa8, 4) >> 31, 1);
    rig.device.halt(ResetType::Software);
    assert_eq!(rig.device.read(0xa8, 4), CmdError::HARDWARE.0.into());
    rig.device.recover().unwrap();
    rig.device.resume();
    assert_eq!(rig.run(&Descriptor::noop()).status(), Status::SUCCESS);
}

/// The member that halts the device and those behind it: no record, and none of the batch.
#[test]
fn halt_in_the_middle_of_a_batch_leaves_its_records_unwritten() {
    let rig = with(FaultPlan::default().halt_after(2, ResetType::Software), QueueConfig::default());
    let memory = Memory::warm(PAGE);
    let members: Vec<u8> = (0..4)
        .flat_map(|at| *Descriptor::fill(1, memory.dst(at), 1).with_completion(rig.record(1 + at)).as_bytes())
        .collect();
    let list = Memory::with(&members);
    rig.submit(&Descriptor::batch(list.src(0), 4).with_completion(rig.record(0)));
    wait_for(&rig, |rig| rig.device.stats().halts == 1);
    rig.drain();
    assert_eq!([0, 1, 2, 3, 4].map(|index| rig.records().status(index * 64)), [0, 1, 1, 0, 0].map(Status));
    assert_eq!(memory.read(3, 1), [0], "what is behind is not begun");
    rig.device.recover().unwrap();
    assert_eq!(rig.run(&Descriptor::noop()).status(), Status::SUCCESS);
}

#[test]
fn queue_disabled_in_mid_flight_finishes_what_it_holds() {
    let plan = FaultPlan::default().disable_queue_at(Which::Nth(1));
    let rig = with(plan, QueueConfig::shared(16));
    rig.device.hold();
    (0..4).for_each(|index| rig.submit(&Descriptor::noop().with_completion(rig.record(index))));
    rig.device.resume();
    (0..4).for_each(|index| assert_eq!(rig.completion(index).status(), Status::SUCCESS));
    wait_for(&rig, |rig| WqState((rig.device.read(0x800 + 24, 4) >> 30) as u8) == WqState::DISABLED);
    assert_eq!(rig.portal.submit(&Descriptor::noop()), Submission::Retry);
    rig.device.enable_queue(0);
    assert_eq!(rig.run(&Descriptor::noop()).status(), Status::SUCCESS);
}

#[test]
fn halted_device_ends_at_once() {
    let rig = Rig::dsa();
    rig.device.hold();
    (0..5).for_each(|_| rig.submit(&Descriptor::noop()));
    rig.device.halt(ResetType::Cold);
    let started = Instant::now();
    let Rig { device, .. } = rig;
    assert_eq!(device.shutdown(Instant::now() + DEADLINE), 5);
    assert!(started.elapsed() < DEADLINE / 4);
}

/// The interrupt is for the valid bit's way from 0 to 1 (§9.2.15).
#[test]
fn software_error_raises_its_interrupt_once_until_it_is_cleared() {
    let rig = Rig::dsa();
    let wrong = Descriptor::fill(1, idxd_spec::DstAddr(64), 0);
    for (errors, interrupts) in [(1, 1), (2, 1)] {
        rig.submit(&wrong);
        rig.drain();
        assert_eq!((rig.device.stats().software_errors, rig.device.interrupts(0)), (errors, interrupts));
    }
    assert!(IntCause(rig.device.read(INTCAUSE, 4) as u32).software_error());
    rig.device.write(0xc0, 8, 3);
    assert_eq!((rig.device.software_error(), rig.device.read(0xc0, 1) & 3), (None, 0));
    rig.submit(&wrong);
    rig.drain();
    assert_eq!(rig.device.interrupts(0), 2);
}
