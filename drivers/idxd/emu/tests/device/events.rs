//! The event log: what is in its entries, what its reader makes of them, and a log that is full.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use idxd_emu::{
    Access, Bus, BusFault, DeviceConfig, DeviceKind, EventLogConfig, FaultPlan, Hardware, Model, PciConfig,
    QueueConfig, Step, Submission, Version, Which,
};
use idxd_spec::register::{
    CMD, CMDSTATUS, Cmd, CmdCode, EVLCFG, EVLSTATUS, EvlStatus, GENCFG, GENCTRL, INTCAUSE, SWERROR,
};
use idxd_spec::{Descriptor, EventLogEntry, Flags, Opcode, Operand, SrcAddr, Status};
use parking_lot::Mutex;

use crate::registers::{dedicated, wq};
use crate::support::{DEADLINE, Memory, PAGE, Rig};

fn logged(plan: FaultPlan) -> DeviceConfig {
    let queue = QueueConfig { block_on_fault: false, ..QueueConfig::default() };
    let event_log = Some(EventLogConfig { entries: 64, overflow: true });
    DeviceConfig { queues: vec![queue], prs: false, event_log, plan, ..DeviceConfig::default() }
}

fn rig() -> Rig {
    Rig::new(logged(FaultPlan::default()))
}

#[test]
fn record_on_a_missing_page_comes_through_the_log() {
    let rig = rig();
    let (memory, record) = (Memory::with(&[3; PAGE]), Memory::cold(PAGE));
    let copy = Descriptor::memmove(memory.src(0), memory.dst(64), 8).with_completion(record.addr(96));
    rig.submit(&copy);
    rig.wait_until("record", || record.status(96) == Status::SUCCESS);
    let entry = rig.device.events()[0];
    assert_eq!((entry.code(), entry.is_write(), entry.wq()), (Status::COMPLETION_PAGE_FAULT, true, Some(0)));
    assert_eq!((entry.addr(), entry.record()[0]), (record.addr(96), 1));
    let descriptor = entry.descriptor().unwrap();
    assert_eq!((descriptor.opcode, descriptor.batch_id), (Opcode::MEMMOVE, None));
    assert_eq!(descriptor.pasid, rig.device.pasid());
    let information = entry.information().unwrap();
    assert_eq!((information.operand(), information.record_required()), (Operand::COMPLETION, true));
    assert_eq!((information.interrupt(), information.first_error_in_batch()), (None, false));
    let stats = rig.device.stats();
    assert_eq!((stats.events, stats.completions_lost, stats.software_errors), (1, 0, 0));
    assert_eq!(rig.device.software_error(), None);
}

#[test]
fn work_queue_without_page_requests_logs_while_another_asks() {
    let quiet = QueueConfig { prs_disable: true, block_on_fault: false, ..QueueConfig::dedicated(8) };
    let queues = vec![quiet, QueueConfig::dedicated(8)];
    let event_log = Some(EventLogConfig::default());
    let rig = Rig::new(DeviceConfig { queues, event_log, ..DeviceConfig::default() });
    let record = Memory::cold(2 * PAGE);
    rig.submit(&Descriptor::noop().with_completion(record.addr(0)));
    rig.wait_until("record", || record.status(0) == Status::SUCCESS);
    let asking = rig.device.portal(1).unwrap();
    assert_eq!(asking.submit(&Descriptor::noop().with_completion(record.addr(PAGE))), Submission::Accepted);
    rig.wait_until("record", || record.status(PAGE) == Status::SUCCESS);
    assert_eq!((rig.device.stats().events, rig.device.stats().page_requests), (1, 1));
}

#[test]
fn errors_without_a_record_are_all_logged() {
    let rig = rig();
    let memory = Memory::cold(PAGE);
    let poked = {
        let mut bytes = *Descriptor::noop().as_bytes();
        bytes[6] = 0x80;
        Descriptor::from_bytes(bytes)
    };
    rig.submit(&poked);
    rig.submit(&Descriptor::fill(1, memory.dst(8), 8));
    rig.submit(&Descriptor::noop().with_completion(rig.record(0) + 8));
    rig.submit(&Descriptor::batch(SrcAddr(64), 2));
    rig.wait_until("events", || rig.device.events().len() == 4);
    let events = rig.device.events();
    let codes: Vec<_> = events.iter().map(EventLogEntry::code).collect();
    let expected =
        [Status::INVALID_FLAGS, Status::PAGE_FAULT, Status::COMPLETION_ALIGNMENT, Status::BATCH_PAGE_FAULT];
    assert_eq!(codes, expected);
    assert_eq!(events[0].information().unwrap().0, 1 << 23);
    let fault = events[1];
    assert_eq!((fault.addr(), fault.is_write()), (memory.addr(0), true));
    assert_eq!(fault.information().unwrap().operand(), Operand::DST);
    assert_eq!((events[3].is_write(), events[3].descriptor().unwrap().batch_id), (false, Some(0)));
    assert_eq!(rig.device.software_error(), None);
}

fn list(members: &[Descriptor]) -> Memory {
    let bytes: Vec<u8> = members.iter().flat_map(|member| *member.as_bytes()).collect();
    Memory::with(&bytes)
}

/// A member in the log: the batch follows as 0x27, whose record the reader writes behind the member's.
#[test]
fn batch_of_a_logged_member_is_logged_too() {
    let rig = rig();
    let cold = Memory::cold(3 * PAGE);
    let members = [0, 1, 2].map(|page| Descriptor::noop().with_completion(cold.addr(page * PAGE)));
    let list = list(&members);
    let completion = rig.run(&Descriptor::batch(list.src(0), 3));
    assert_eq!((completion.status(), completion.descs_completed()), (Status::SUCCESS, 3));
    assert_eq!([0, 1, 2].map(|page| cold.status(page * PAGE)), [Status::SUCCESS; 3]);
    rig.wait_until("events", || rig.device.events().len() == 4);
    let events = rig.device.events();
    let firsts = events.iter().map(|entry| entry.information().unwrap().first_error_in_batch());
    assert_eq!(firsts.collect::<Vec<_>>(), [true, false, false, false]);
    let batch = events[3];
    assert_eq!((batch.code(), batch.addr()), (Status::BATCH_COMPLETION_FAULTS, rig.record(0)));
    let indices = events.iter().map(|entry| entry.descriptor().unwrap().batch_index);
    assert_eq!(indices.collect::<Vec<_>>(), [Some(0), Some(1), Some(2), None]);
    let ids: Vec<_> = events.iter().map(|entry| entry.descriptor().unwrap().batch_id).collect();
    assert!(ids.iter().all(|id| *id == ids[0] && id.is_some()));
}

/// §7.3: a record that nobody can write makes the batch one with a failure, and the next batch starts afresh.
#[test]
fn member_whose_record_is_lost_fails_its_batch_and_no_other() {
    let rig = rig();
    let cold = Memory::cold(2 * PAGE);
    cold.unmap(PAGE, PAGE);
    let lost = list(&[Descriptor::noop().with_completion(cold.addr(PAGE)), Descriptor::noop()]);
    let completion = rig.run(&Descriptor::batch(lost.src(0), 2));
    assert_eq!((completion.status(), completion.result()), (Status::BATCH_FAILED, 1));
    let fine = list(&[Descriptor::noop().with_completion(cold.addr(0)), Descriptor::noop()]);
    let completion = rig.run(&Descriptor::batch(fine.src(0), 2));
    assert_eq!((completion.status(), completion.result()), (Status::SUCCESS, 0));
}

/// §5.9: without page requests the completion of a drain goes through the log, behind those it waited for.
#[test]
fn drain_follows_the_records_before_it_through_the_log() {
    let rig = rig();
    let cold = Memory::cold(PAGE);
    rig.submit(&Descriptor::noop().with_completion(cold.addr(0)));
    assert_eq!(rig.run(&Descriptor::drain()).status(), Status::SUCCESS);
    assert_eq!(cold.status(0), Status::SUCCESS);
    rig.wait_until("events", || rig.device.events().len() == 2);
    let codes: Vec<_> = rig.device.events().iter().map(EventLogEntry::code).collect();
    assert_eq!(codes, [Status::COMPLETION_PAGE_FAULT, Status::DRAIN_COMPLETION_FAULTS]);
    // One that fails does not.
    let drain = Descriptor::drain().with_readback_addr_1(64);
    assert_eq!(rig.run(&drain).status(), Status::READBACK_PAGE_FAULT);
    assert_eq!(rig.device.stats().events, 2);
}

#[test]
fn iaa_record_of_64_bytes_fits_its_entries() {
    let rig = Rig::new(DeviceConfig { kind: DeviceKind::Iaa, ..logged(FaultPlan::default()) });
    let record = Memory::cold(PAGE);
    rig.submit(&Descriptor::noop().with_completion(record.addr(64)));
    rig.wait_until("record", || record.status(64) == Status::SUCCESS);
    assert_eq!(record.read(0, 64), [0; 64]);
    assert_eq!(record.read(128, 64), [0; 64]);
}

#[test]
fn planned_overflow_loses_the_event_and_says_so() {
    let rig = Rig::new(logged(FaultPlan::default().event_log_full(Which::Nth(1))));
    let cold = Memory::cold(3 * PAGE);
    (0..3).for_each(|page| rig.submit(&Descriptor::noop().with_completion(cold.addr(page * PAGE))));
    rig.wait_until("events", || rig.device.events().len() == 2);
    rig.drain();
    assert_eq!([0, 1, 2].map(|page| cold.status(page * PAGE)), [1, 0, 1].map(Status));
    let stats = rig.device.stats();
    assert_eq!((stats.events, stats.events_lost, stats.completions_lost), (2, 1, 1));
    assert_eq!(rig.device.software_error().unwrap().status, Status::EVENT_LOG_WRITE);
}

/// Memory at 0x10_0000, of which the first half is the log, and nobody who reads it.
struct Log(Mutex<Vec<u8>>, Mutex<bool>);

const BASE: u64 = 0x10_0000;

impl Bus for Log {
    fn present(&self, addr: u64, len: u64, _: Access) -> u64 {
        if addr == BASE + 0x8000 { len } else { 0 }
    }

    fn read(&self, addr: u64, _: &mut [u8]) -> Result<(), BusFault> {
        Err(BusFault { addr, access: Access::Read })
    }

    fn write(&self, addr: u64, bytes: &[u8]) -> Result<(), BusFault> {
        if *self.1.lock() {
            return Err(BusFault { addr, access: Access::Write });
        }
        let at = (addr - BASE) as usize;
        self.0.lock()[at..at + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }

    fn copy(&self, addr: u64, _: u64, _: u64) -> Result<(), BusFault> {
        Err(BusFault { addr, access: Access::Read })
    }
}

/// A device with a log of 64 entries and one dedicated work queue of 128, enabled.
fn unread(overflow: bool) -> Arc<Model<Log>> {
    let hardware = Hardware { event_log_overflow: overflow, ..Hardware::new(DeviceKind::Dsa, Version::V2) };
    let bus = Log(Mutex::new(vec![0; 0x1_0000]), Mutex::new(false));
    let model = Model::unconfigured(&hardware, FaultPlan::default(), bus, None);
    model.set_pci(PciConfig { prs: false, ..PciConfig::default() });
    model.write(GENCFG, 4, 1 << 13 | 96);
    model.write(GENCTRL, 4, 7);
    model.write(EVLCFG, 8, BASE);
    model.write(EVLCFG + 8, 8, 64);
    model.write(0x600, 8, 1);
    model.write(0x620, 8, 1);
    for (at, word) in dedicated().with_size(128).0.iter().enumerate().take(4) {
        model.write(wq(0) + at as u64 * 4, 4, (*word).into());
    }
    for cmd in [Cmd::new(CmdCode::ENABLE_DEVICE), Cmd::new(CmdCode::ENABLE_WQ)] {
        model.write(CMD, 4, cmd.0.into());
        assert_eq!(model.read(CMDSTATUS, 4), 0);
    }
    model
}

fn status(model: &Model<Log>) -> EvlStatus {
    EvlStatus(model.read(EVLSTATUS, 8))
}

/// An error for the log: a flag that no descriptor may have.
fn wrong() -> Descriptor {
    Descriptor::noop().with_flags(Flags::STRICT_ORDER)
}

fn fail(model: &Arc<Model<Log>>, count: usize) {
    let mut engine = model.engine(0);
    for _ in 0..count {
        assert_eq!(model.submit(0, &wrong()), Submission::Accepted);
        assert_eq!(engine.run_one(), Step::Ran);
    }
}

#[test]
fn full_log_that_overflows_drops_the_newest() {
    let model = unread(true);
    fail(&model, 63);
    assert_eq!((status(&model).tail(), status(&model).head(), model.read(SWERROR, 8)), (63, 0, 0));
    fail(&model, 2);
    assert_eq!((status(&model).tail(), model.stats().events_lost), (63, 2));
    assert_eq!((model.read(SWERROR, 8) >> 8 & 0xff, model.read(SWERROR, 1) & 3), (0x54, 3));
    model.write(EVLSTATUS, 4, 10);
    fail(&model, 3);
    assert_eq!(status(&model).tail(), 2, "past the end it goes on at the start");
}

#[test]
fn full_log_that_does_not_overflow_holds_the_engine_until_there_is_room() {
    let model = unread(false);
    fail(&model, 63);
    let blocked = Arc::clone(&model);
    let engine = thread::spawn(move || fail(&blocked, 1));
    let deadline = Instant::now() + DEADLINE;
    while model.stats().descriptors < 64 {
        assert!(Instant::now() < deadline);
        thread::yield_now();
    }
    thread::sleep(Duration::from_millis(20));
    assert_eq!((status(&model).tail(), engine.is_finished()), (63, false));
    model.write(EVLSTATUS, 4, 1);
    engine.join().unwrap();
    assert_eq!((status(&model).tail(), model.stats().events_lost), (0, 0));
}

#[test]
fn reset_frees_an_engine_that_waits_for_room() {
    let model = unread(false);
    fail(&model, 63);
    let blocked = Arc::clone(&model);
    let engine = thread::spawn(move || fail(&blocked, 1));
    let deadline = Instant::now() + DEADLINE;
    while model.stats().descriptors < 64 {
        assert!(Instant::now() < deadline);
        thread::yield_now();
    }
    model.function_level_reset();
    engine.join().unwrap();
    assert_eq!((model.read(EVLSTATUS, 8), model.stats().events), (0, 63));
}

/// One interrupt until software clears the pending bit (§5.9).
#[test]
fn interrupts_wait_for_the_pending_bit() {
    let model = unread(true);
    fail(&model, 2);
    assert_eq!((model.stats().interrupts, status(&model).interrupt_pending()), (1, true));
    assert_eq!(model.read(INTCAUSE, 4), 1 << 5);
    model.write(EVLSTATUS, 8, EvlStatus(0).with_head(2).with_interrupt_pending(true).0);
    assert_eq!((status(&model).head(), status(&model).interrupt_pending()), (2, false));
    fail(&model, 1);
    assert_eq!(model.stats().interrupts, 2);
}

#[test]
fn log_that_cannot_be_written_is_a_software_error() {
    let model = unread(true);
    *model_bus(&model) = true;
    fail(&model, 1);
    assert_eq!((model.read(SWERROR, 8) >> 8 & 0xff, status(&model).tail()), (0x54, 0));
}

fn model_bus(model: &Model<Log>) -> parking_lot::MutexGuard<'_, bool> {
    model.bus().1.lock()
}
