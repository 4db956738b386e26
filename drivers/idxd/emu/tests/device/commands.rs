//! Administrative commands: every error code by the mistake that it is for, and commands that wait.

use std::time::{Duration, Instant};

use idxd_emu::{
    Device, DeviceConfig, DeviceKind, EventLogConfig, Hardware, Model, PciConfig, QueueConfig, Submission,
    Version,
};
use idxd_spec::register::{
    CMD, CMDSTATUS, Cmd, CmdCode, CmdError, CmdStatus, GENCFG, INTCAUSE, IntCause, InterruptEntry, WqCfg,
};
use idxd_spec::{Descriptor, Opcode, Status};

use crate::registers::{Nothing, command, configured, dedicated, fresh, wq, write_wq};
use crate::support::{DEADLINE, Rig};

fn hardware(version: Version) -> Hardware {
    Hardware::new(DeviceKind::Dsa, version)
}

/// What Enable Device says about a device of version 2 with one group of work queue 0 and engine 0, after `spoil`.
fn enabled(spoil: impl FnOnce(&Model<Nothing>)) -> CmdError {
    let model = configured(&hardware(Version::V3), 1);
    spoil(&model);
    command(&model, CmdCode::ENABLE_DEVICE, 0).error()
}

#[test]
fn enable_device_names_each_mistake() {
    let pci = |change: fn(&mut PciConfig)| {
        let mut pci = PciConfig::default();
        change(&mut pci);
        enabled(|model| model.set_pci(pci))
    };
    assert_eq!(enabled(|_| {}), CmdError::NONE);
    assert_eq!(pci(|pci| pci.bus_master = false), CmdError::BUS_MASTER_DISABLED);
    assert_eq!(pci(|pci| pci.page_requests = 0), CmdError::PAGE_REQUEST_ALLOCATION);
    assert_eq!(pci(|pci| pci.page_requests = 513), CmdError::PAGE_REQUEST_ALLOCATION);
    assert_eq!(pci(|pci| pci.platform_ats = Some(false)), CmdError::ATS);
    let word = |offset: u64, value: u64| enabled(move |model| model.write(offset, 8, value));
    assert_eq!(word(wq(0), 129), CmdError::WQ_SIZE_SUM);
    assert_eq!(word(0x620, 0), CmdError::GROUP_INCOMPLETE);
    assert_eq!(word(0x640, 1), CmdError::GROUP_INCOMPLETE);
    assert_eq!(word(0x600, 0b11), CmdError::GROUP_WQS, "an inactive work queue in a group");
    assert_eq!(word(0x600, 1 << 8 | 1), CmdError::GROUP_WQS, "a work queue there is not");
    assert_eq!(word(0x608, 1), CmdError::GROUP_WQS, "a work queue there is not");
    assert_eq!(word(wq(1), 4), CmdError::GROUP_WQS, "an active work queue in no group");
    assert_eq!(word(0x620, 1 << 4 | 1), CmdError::GROUP_ENGINES, "an engine there is not");
    let second_group = |wqs, engines| {
        enabled(move |model| {
            model.write(0x640, 8, wqs);
            model.write(0x660, 8, engines);
            model.write(wq(1), 4, 4);
        })
    };
    assert_eq!(second_group(0b10, 0b10), CmdError::NONE);
    assert_eq!(second_group(0b11, 0b10), CmdError::GROUP_WQS, "a work queue in two groups");
    assert_eq!(second_group(0b10, 0b01), CmdError::GROUP_ENGINES, "an engine in two groups");
}

/// §4.3, §4.5, §4.6: 96 read buffers, one engine in the group.
#[test]
fn enable_device_checks_read_buffers_and_bandwidth() {
    let flags = |reserved: u64, allowed: u64, more: u64| {
        enabled(move |model| model.write(0x628, 8, reserved << 8 | allowed << 20 | more))
    };
    assert_eq!([flags(0, 96, 0), flags(96, 96, 0), flags(3, 4, 0)], [CmdError::NONE; 3]);
    assert_eq!(flags(0, 3, 0), CmdError::READ_BUFFERS, "fewer than 4 for an engine");
    assert_eq!(flags(8, 7, 0), CmdError::READ_BUFFERS, "fewer than reserved");
    assert_eq!(flags(0, 97, 0), CmdError::READ_BUFFERS, "more than there are");
    assert_eq!(flags(97, 97, 0), CmdError::READ_BUFFERS, "more reserved than there are");
    assert_eq!(flags(0, 96, 4 << 40), CmdError::READ_BUFFERS, "read bandwidth");
    assert_eq!(flags(0, 96, 4 << 44), CmdError::READ_BUFFERS, "write bandwidth");
    let limited = |limit: u64| {
        enabled(move |model| {
            model.write(0x628, 8, 96 << 20 | 1 << 7);
            model.write(GENCFG, 4, limit);
        })
    };
    assert_eq!([limited(4), limited(96)], [CmdError::NONE; 2]);
    assert_eq!([limited(3), limited(97)], [CmdError::READ_BUFFERS; 2]);
}

#[test]
fn enable_device_checks_the_event_log() {
    let log = |base: u64, size: u64, pci: PciConfig| {
        enabled(move |model| {
            model.write(GENCFG, 4, 1 << 13 | 96);
            model.write(0xe0, 8, base);
            model.write(0xe8, 8, size);
            model.set_pci(pci);
        })
    };
    let all = PciConfig::default();
    assert_eq!(log(0x10_0000, 64, all), CmdError::NONE);
    assert_eq!(log(0x10_0000, 63, all), CmdError::EVENT_LOG);
    assert_eq!(log(u64::MAX << 12, 64, all), CmdError::NONE, "it ends where memory does");
    assert_eq!(log(u64::MAX << 12, 65, all), CmdError::EVENT_LOG);
    assert_eq!(log(0x10_0001, 64, all), CmdError::NONE);
    let none = PciConfig { pasid: false, privileged: false, ..all };
    assert_eq!(log(0x10_0001, 64, none), CmdError::PASID);
    assert_eq!(log(0x10_0002, 64, all), CmdError::PASID, "privileged without a PASID");
    assert_eq!(log(0x10_0003, 64, all), CmdError::NONE);
    assert_eq!(log(0x10_0003, 64, PciConfig { privileged: false, ..all }), CmdError::PASID);
}

/// What Enable WQ says about a dedicated work queue that is fine but for `spoil`.
fn enabled_wq(version: Version, pci: PciConfig, spoil: impl FnOnce(WqCfg) -> WqCfg) -> CmdError {
    let model = configured(&hardware(version), 0);
    model.write(0x600, 8, 1);
    model.write(0x620, 8, 1);
    let config = spoil(dedicated());
    let stride = if version == Version::V1 { 32 } else { 64 };
    for at in 0..stride / 4 {
        if at < 6 || (at >= 8 && config.0[8..] != [0; 8]) {
            model.write(0x800 + at * 4, 4, config.0[at as usize].into());
        }
    }
    model.set_pci(pci);
    assert_eq!(command(&model, CmdCode::ENABLE_DEVICE, 0).error(), CmdError::NONE);
    command(&model, CmdCode::ENABLE_WQ, 0).error()
}

#[test]
fn enable_wq_names_each_mistake() {
    let all = PciConfig::default();
    let check = |spoil: fn(WqCfg) -> WqCfg| enabled_wq(Version::V2, all, spoil);
    assert_eq!(check(|wq| wq), CmdError::NONE);
    assert_eq!(check(|wq| wq.with_priority(0)), CmdError::WQ_PRIORITY);
    assert_eq!(check(|wq| wq.with_block_on_fault(true)), CmdError::NONE);
    assert_eq!(check(|wq| wq.with_dedicated(false)), CmdError::NONE);
    assert_eq!(check(|wq| wq.with_dedicated(false).with_pasid_enable(false)), CmdError::WQ_PASID_ENABLE);
    assert_eq!(check(|wq| wq.with_batch_descriptors_max_log2(0)), CmdError::WQ_BATCH_SIZE);
    assert_eq!(check(|wq| wq.with_batch_descriptors_max_log2(11)), CmdError::WQ_BATCH_SIZE);
    assert_eq!(check(|wq| wq.with_list_entries_max_log2(1)), CmdError::WQ_BATCH_SIZE);
    assert_eq!(check(|wq| wq.with_privileged(true)), CmdError::NONE);
    assert_eq!(check(|wq| wq.with_occupancy_interrupt_handle(8)), CmdError::NONE);
    assert_eq!(check(|wq| wq.with_occupancy_interrupt_handle(9)), CmdError::WQ_OCCUPANCY_INTERRUPT);
    assert_eq!(check(|wq| wq.with_prs_disable(true)), CmdError::WQ_PRS, "without an event log");
    let beyond = idxd_spec::OpCap::default().with(Opcode::NOOP).with(Opcode::REDUCE);
    assert_eq!(enabled_wq(Version::V2, all, |wq| wq.with_operations(beyond)), CmdError::WQ_OPERATIONS);
    assert_eq!(enabled_wq(Version::V3, all, |wq| wq.with_operations(beyond)), CmdError::NONE);
    let single = |wq: WqCfg| wq.with_batch_descriptors_max_log2(0);
    assert_eq!(enabled_wq(Version::V3, all, single), CmdError::NONE, "batches of one");
    let without = |pci: PciConfig, spoil: fn(WqCfg) -> WqCfg| enabled_wq(Version::V1, pci, spoil);
    let no_prs = PciConfig { prs: false, ..all };
    assert_eq!(without(no_prs, |wq| wq.with_block_on_fault(true)), CmdError::WQ_BLOCK_ON_FAULT);
    let no_pasid = PciConfig { pasid: false, privileged: false, ..all };
    assert_eq!(without(no_pasid, |wq| wq), CmdError::WQ_PASID_ENABLE);
    assert_eq!(without(no_pasid, |wq| wq.with_pasid_enable(false)), CmdError::NONE);
    let no_privilege = PciConfig { privileged: false, ..all };
    assert_eq!(without(no_privilege, |wq| wq.with_privileged(true)), CmdError::WQ_PRIVILEGE);
    assert_eq!(without(all, |wq| wq.with_prs_disable(true)), CmdError::WQ_PRS);
}

#[test]
fn states_decide_which_commands_are_allowed() {
    let model = configured(&hardware(Version::V2), 1);
    let is = |code, operand| command(&model, code, operand).error();
    assert_eq!(is(CmdCode::ENABLE_WQ, 0), CmdError::DEVICE_NOT_ENABLED);
    assert_eq!(is(CmdCode::DISABLE_DEVICE, 0), CmdError::DISABLE_NOT_ENABLED);
    assert_eq!(is(CmdCode::ENABLE_DEVICE, 0), CmdError::NONE);
    assert_eq!(is(CmdCode::ENABLE_DEVICE, 0), CmdError::DEVICE_NOT_DISABLED);
    assert_eq!(is(CmdCode::ENABLE_WQ, 1), CmdError::WQ_SIZE);
    assert_eq!(is(CmdCode::ENABLE_WQ, 8), CmdError::BAD_WQ);
    for code in [CmdCode::DISABLE_WQ, CmdCode::DRAIN_WQ, CmdCode::ABORT_WQ] {
        assert_eq!(is(code, 1), CmdError::WQ_NOT_ENABLED);
        assert_eq!(is(code, 1 << 8), CmdError::BAD_WQ);
        assert_eq!(is(code, 1 << 16 | 1), CmdError::BAD_WQ);
    }
    assert_eq!(is(CmdCode::RESET_WQ, 1), CmdError::NONE);
    write_wq(&model, 0, &dedicated());
    assert_eq!(is(CmdCode::ENABLE_WQ, 0), CmdError::NONE);
    assert_eq!(is(CmdCode::ENABLE_WQ, 0), CmdError::WQ_NOT_DISABLED);
    for code in [CmdCode::DRAIN_ALL, CmdCode::ABORT_ALL, CmdCode::DRAIN_PASID, CmdCode::ABORT_PASID] {
        assert_eq!(is(code, 0), CmdError::NONE);
    }
    assert_eq!(is(CmdCode::DISABLE_WQ, 1), CmdError::NONE);
    assert_eq!(is(CmdCode::DISABLE_DEVICE, 0), CmdError::NONE);
}

#[test]
fn unknown_commands_and_reserved_bits_are_refused() {
    let model = configured(&hardware(Version::V2), 1);
    let raw = |value: u32| {
        model.write(CMD, 4, value.into());
        CmdStatus(model.read(CMDSTATUS, 4) as u32).error()
    };
    for code in [0, 13, 14, 15, 16, 17, 18, 31] {
        assert_eq!(raw(code << 20), CmdError::BAD_COMMAND, "command {code}");
    }
    for bit in 25..31 {
        assert_eq!(raw(1 << 20 | 1 << bit), CmdError::RESERVED_NOT_ZERO, "bit {bit}");
    }
    assert_eq!(raw(1 << 20 | 1), CmdError::RESERVED_NOT_ZERO, "an operand of Enable Device");
    assert_eq!(raw(1 << 20), CmdError::NONE);
    assert_eq!(raw(6 << 20 | 1 << 8), CmdError::RESERVED_NOT_ZERO, "bits 19:8 of Enable WQ");
}

#[test]
fn interrupt_handles_are_given_and_taken_back() {
    let model = fresh(&Hardware { interrupt_handles: Some(2), ..hardware(Version::V1) });
    let request = |index, storage| {
        let entry = InterruptEntry { index, storage };
        command(&model, CmdCode::REQUEST_INTERRUPT_HANDLE, entry.operand())
    };
    let release = |index| command(&model, CmdCode::RELEASE_INTERRUPT_HANDLE, index).error();
    assert_eq!(request(9, false).error(), CmdError::INTERRUPT_INDEX);
    assert_eq!(request(256, true).error(), CmdError::INTERRUPT_INDEX);
    let handles = [request(8, false), request(255, true)];
    assert!(handles.iter().all(|status| status.error() == CmdError::NONE));
    assert_ne!(handles[0].result(), handles[1].result());
    assert_eq!(request(7, false).error(), CmdError::NO_INTERRUPT_HANDLE);
    assert_eq!(
        (release(7), release(8), release(8)),
        (CmdError::INTERRUPT_INDEX, CmdError::NONE, CmdError::INTERRUPT_INDEX)
    );
    assert_eq!(request(7, false).error(), CmdError::NONE);
    assert_eq!(
        command(&model, CmdCode::REQUEST_INTERRUPT_HANDLE, 1 << 17).error(),
        CmdError::RESERVED_NOT_ZERO
    );
}

fn status(device: &Device) -> CmdStatus {
    CmdStatus(device.read(CMDSTATUS, 4) as u32)
}

/// An engine that is held back: the drain is active until it goes on, and a command meanwhile is an error.
#[test]
fn drain_is_active_until_the_last_descriptor_is_done() {
    let rig = Rig::dsa();
    rig.device.hold();
    rig.submit(&Descriptor::noop().with_completion(rig.record(0)));
    let drain = Cmd::new(CmdCode::DRAIN_WQ).with_operand(Cmd::wq_operand(0)).with_interrupt(true);
    rig.device.write(CMD, 4, drain.0.into());
    assert!(status(&rig.device).active());
    rig.device.write(CMD, 4, Cmd::new(CmdCode::DISABLE_DEVICE).0.into());
    assert_eq!(rig.device.software_error().unwrap().status, Status::COMMAND_BUSY);
    // What comes behind the mark is not waited for.
    let before = rig.device.interrupts(0);
    rig.device.resume();
    let deadline = Instant::now() + DEADLINE;
    while rig.device.interrupts(0) == before {
        assert!(Instant::now() < deadline);
        std::thread::yield_now();
    }
    assert_eq!(status(&rig.device), CmdStatus(0));
    assert!(IntCause(rig.device.read(INTCAUSE, 4) as u32).command());
    assert_eq!(rig.completion(0).status(), Status::SUCCESS);
    rig.device.write(INTCAUSE, 4, IntCause(0).with_command(true).0.into());
    assert!(!IntCause(rig.device.read(INTCAUSE, 4) as u32).command());
}

#[test]
fn abort_abandons_what_is_queued_and_reports_nothing() {
    for (code, operand) in
        [(CmdCode::ABORT_WQ, 1), (CmdCode::ABORT_ALL, 0), (CmdCode::RESET_WQ, 1), (CmdCode::RESET_DEVICE, 0)]
    {
        let rig = Rig::dsa();
        rig.device.hold();
        (0..5).for_each(|index| rig.submit(&Descriptor::noop().with_completion(rig.record(index))));
        assert_eq!(rig.device.command(Cmd::new(code).with_operand(operand)), Ok(0));
        assert_eq!((rig.device.occupancy(0), rig.device.stats().abandoned), (0, 5), "{code:?}");
        rig.device.resume();
        rig.drain();
        assert_eq!(rig.told(), 0);
    }
}

#[test]
fn abort_of_a_pasid_leaves_the_others() {
    let queues = vec![QueueConfig::shared(16)];
    let rig = Rig::new(DeviceConfig { queues, ..DeviceConfig::default() });
    rig.device.hold();
    for (index, pasid) in [5, 6, 5, 6].into_iter().enumerate() {
        let noop = Descriptor::noop().with_pasid(pasid).with_completion(rig.record(index));
        assert_eq!(rig.portal.enqcmds(&noop), Submission::Accepted);
    }
    assert_eq!(rig.device.command(Cmd::new(CmdCode::ABORT_PASID).with_operand(5)), Ok(0));
    assert_eq!(rig.device.occupancy(0), 2);
    rig.device.resume();
    rig.wait_told(2);
    assert_eq!([0, 1, 2, 3].map(|index| rig.records().status(index * 64)), [0, 1, 0, 1].map(Status));
}

/// Disabling waits for what is queued; meanwhile nothing is accepted.
#[test]
fn disabling_device_refuses_and_waits() {
    let queues = vec![QueueConfig::shared(16)];
    let rig = Rig::new(DeviceConfig { queues, ..DeviceConfig::default() });
    rig.device.hold();
    rig.submit(&Descriptor::noop().with_completion(rig.record(0)));
    rig.device.write(CMD, 4, Cmd::new(CmdCode::DISABLE_DEVICE).0.into());
    assert!(status(&rig.device).active());
    assert_eq!(rig.device.status().state(), idxd_spec::register::DeviceState::Draining);
    assert_eq!(rig.portal.submit(&Descriptor::noop()), Submission::Retry);
    rig.device.resume();
    assert_eq!(rig.completion(0).status(), Status::SUCCESS);
    let deadline = Instant::now() + DEADLINE;
    while status(&rig.device).active() {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_micros(50));
    }
    assert_eq!(rig.device.status().state(), idxd_spec::register::DeviceState::Disabled);
    assert_eq!(rig.portal.submit(&Descriptor::noop()), Submission::Retry);
    rig.device.recover().unwrap();
    assert_eq!(rig.run(&Descriptor::noop()).status(), Status::SUCCESS);
}

#[test]
fn device_in_this_process_passes_the_same_checks() {
    let queue = QueueConfig { prs_disable: true, block_on_fault: false, ..QueueConfig::default() };
    let config = DeviceConfig { queues: vec![queue.clone()], ..DeviceConfig::default() };
    let error = Device::start(config.clone()).unwrap_err().to_string();
    assert_eq!(error, "command enable wq0: invalid prs disable (0x2e)");
    let with_log = DeviceConfig { event_log: Some(EventLogConfig::default()), ..config };
    Device::start(with_log.clone()).unwrap();
    let error = Device::start(DeviceConfig { version: Version::V1, ..with_log }).unwrap_err().to_string();
    assert!(error.contains("0x2e"), "version 1 has neither: {error}");
    let odd = QueueConfig { transfer_bytes_max: 3000, ..QueueConfig::default() };
    let error = Device::start(DeviceConfig { queues: vec![odd], ..DeviceConfig::default() }).unwrap_err();
    assert_eq!(error.to_string(), "wq0: transfer_bytes_max is 3000, which is not a power of two");
}
