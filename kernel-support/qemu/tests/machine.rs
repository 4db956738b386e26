//! The device in a machine of the test's own: two address spaces behind an IOMMU that counts what it is asked, takes
//! translations back, and answers page requests when it is told to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use idxd_emu::{Access, DeviceKind, Write};
use idxd_qemu::{
    Device, Locked, Machine, Modelled, Options, Pci, Request, RequestRefused, Response, Translation,
};
use idxd_spec::register::{
    CMD, CMDSTATUS, Cmd, CmdCode, CmdStatus, GrpCfg, GrpFlags, OFFSETS, OPCAP, Portal, TableOffsets, WqCfg,
};
use idxd_spec::{Completion, Descriptor, DstAddr, OpCap, SrcAddr, Status};

const PAGE: u64 = 0x1000;
const PAGE_BYTES: usize = 0x1000;
const DEADLINE: Duration = Duration::from_secs(60);
/// The process of most tests.
const PASID: u32 = 5;

#[derive(Clone, Copy, Default)]
struct Page {
    writable: bool,
    frame: usize,
}

#[derive(Default)]
struct State {
    /// Present pages, by PASID and page number.
    pages: BTreeMap<(u32, u64), Page>,
    frames: Vec<Vec<u8>>,
    /// Frames that nobody may touch any more.
    freed: BTreeSet<usize>,
    translations: usize,
    /// Page requests that wait for an answer: the group, and what was asked for.
    requests: Vec<(u16, Request)>,
    /// The queue of page requests is full this many times.
    full: u32,
    touched_freed: bool,
    vectors: Vec<u16>,
}

/// A machine, whose lock is one a thread may take twice.
#[derive(Default)]
struct Bench {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Clone, Default)]
struct Handle(Arc<Bench>);

struct Held<'a>(MutexGuard<'a, State>, &'a Condvar);

impl Machine for Handle {
    type Locked<'a> = Held<'a>;

    fn lock(&self) -> Held<'_> {
        Held(self.0.state.lock().unwrap(), &self.0.changed)
    }
}

impl Locked for Held<'_> {
    fn translate(&mut self, request: &Request) -> Option<Translation> {
        self.0.translations += 1;
        let page = *self.0.pages.get(&(request.pasid, request.addr / PAGE))?;
        Some(Translation {
            addr: page.frame as u64 * PAGE,
            shift: 12,
            writable: page.writable && request.access == Access::Write,
            target: 1,
        })
    }

    fn read(&mut self, target: usize, addr: u64, bytes: &mut [u8]) -> bool {
        assert_eq!(target, 1);
        let (frame, at) = (index(addr / PAGE), index(addr % PAGE));
        self.0.touched_freed |= self.0.freed.contains(&frame);
        bytes.copy_from_slice(&self.0.frames[frame][at..at + bytes.len()]);
        true
    }

    fn write(&mut self, target: usize, addr: u64, bytes: &[u8]) -> bool {
        assert_eq!(target, 1);
        let (frame, at) = (index(addr / PAGE), index(addr % PAGE));
        self.0.touched_freed |= self.0.freed.contains(&frame);
        self.0.frames[frame][at..at + bytes.len()].copy_from_slice(bytes);
        self.1.notify_all();
        true
    }

    fn request_page(&mut self, request: &Request, group: u16) -> Result<(), RequestRefused> {
        if self.0.full > 0 {
            self.0.full -= 1;
            return Err(RequestRefused::Full);
        }
        self.0.requests.push((group, *request));
        self.1.notify_all();
        Ok(())
    }

    fn raise(&mut self, vector: u16) {
        self.0.vectors.push(vector);
        self.1.notify_all();
    }

    fn send_message(&mut self, _: u64, _: u32) {}
}

impl Handle {
    /// A new page of zeros.
    fn map(&self, pasid: u32, addr: u64, writable: bool) {
        let mut state = self.0.state.lock().unwrap();
        let frame = state.frames.len();
        state.frames.push(vec![0; PAGE_BYTES]);
        state.pages.insert((pasid, addr / PAGE), Page { writable, frame });
    }

    fn fill(&self, pasid: u32, addr: u64, bytes: &[u8]) {
        let mut state = self.0.state.lock().unwrap();
        let frame = state.pages[&(pasid, addr / PAGE)].frame;
        let at = index(addr % PAGE);
        state.frames[frame][at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn bytes(&self, pasid: u32, addr: u64, len: usize) -> Vec<u8> {
        let state = self.0.state.lock().unwrap();
        let frame = state.pages[&(pasid, addr / PAGE)].frame;
        let at = index(addr % PAGE);
        state.frames[frame][at..at + len].to_vec()
    }

    /// Waits until the state is as wanted, and answers what was wanted of it.
    fn wait<T>(&self, mut wanted: impl FnMut(&mut State) -> Option<T>) -> T {
        let deadline = Instant::now() + DEADLINE;
        let mut state = self.0.state.lock().unwrap();
        loop {
            if let Some(found) = wanted(&mut state) {
                return found;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "nothing happened for {DEADLINE:?}");
            state = self.0.changed.wait_timeout(state, left).unwrap().0;
        }
    }

    /// The status of the record at `addr`, once it is not 0.
    fn status(&self, pasid: u32, addr: u64) -> Completion {
        let bytes = self.wait(|state| {
            let frame = state.pages[&(pasid, addr / PAGE)].frame;
            let at = index(addr % PAGE);
            let bytes = state.frames[frame][at..at + 32].to_vec();
            (bytes[0] != 0).then_some(bytes)
        });
        Completion::from_bytes(&bytes.try_into().unwrap())
    }
}

fn index(value: u64) -> usize {
    usize::try_from(value).unwrap()
}

struct Rig {
    machine: Handle,
    device: Arc<Device<Handle>>,
    engines: Vec<thread::JoinHandle<()>>,
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.device.finish();
        for engine in self.engines.drain(..) {
            engine.join().unwrap();
        }
    }
}

const RECORD: u64 = 0x1_0000;
const SRC: u64 = 0x2_0000;
const DST: u64 = 0x3_0000;

impl Rig {
    /// A device that is enabled, with a shared and a dedicated work queue that may block on faults.
    fn start(tlb_entries: usize) -> Self {
        Self::start_with(|options| options.tlb_entries = tlb_entries)
    }

    fn start_with(change: impl FnOnce(&mut Options)) -> Self {
        let machine = Handle::default();
        let mut options = Options::new(DeviceKind::Dsa, 2).unwrap();
        options.hardware.engines = 2;
        change(&mut options);
        let device = Arc::new(Device::new(&options, machine.clone()).unwrap());
        let serve = |engine| {
            let device = Arc::clone(&device);
            thread::spawn(move || device.serve(engine))
        };
        let engines = (0..device.engines()).map(serve).collect();
        let rig = Self { machine, device, engines };
        rig.configure();
        rig
    }

    fn configure(&self) {
        let device = &self.device;
        device.set_pci(Pci {
            bus_master: true,
            pasid: true,
            privileged: true,
            ats: true,
            pri: true,
            page_requests: 1,
        });
        let offsets = TableOffsets([device.read(OFFSETS, 8), device.read(OFFSETS + 8, 8)]);
        let queue = WqCfg::default()
            .with_size(16)
            .with_threshold(15)
            .with_block_on_fault(true)
            .with_priority(1)
            .with_pasid_enable(true)
            .with_transfer_bytes_max_log2(21)
            .with_batch_descriptors_max_log2(5)
            .with_operations(OpCap([0, 8, 16, 24].map(|at| device.read(OPCAP + at, 8))));
        let dedicated = queue.with_dedicated(true).with_pasid(PASID);
        for (index, config) in [queue, dedicated].iter().enumerate() {
            for (word, value) in config.0.iter().enumerate() {
                let at = offsets.wq_config() + index as u64 * 64 + word as u64 * 4;
                device.write(at, 4, u64::from(*value));
            }
        }
        device.write(offsets.group_config(), 8, 0b11);
        device.write(offsets.group_config() + GrpCfg::ENGINES, 8, 0b11);
        let flags = GrpFlags(0).with_read_buffers_allowed(96);
        device.write(offsets.group_config() + GrpCfg::FLAGS, 8, flags.0);
        self.command(Cmd::new(CmdCode::ENABLE_DEVICE));
        self.command(Cmd::new(CmdCode::ENABLE_WQ).with_operand(0));
        self.command(Cmd::new(CmdCode::ENABLE_WQ).with_operand(1));
    }

    fn command(&self, cmd: Cmd) {
        self.device.write(CMD, 4, cmd.0.into());
        let status = CmdStatus(u32::try_from(self.device.read(CMDSTATUS, 4)).unwrap());
        assert_eq!((status.active(), status.0 & 0xff), (false, 0), "{cmd:?}: {status:?}");
    }

    /// To the shared work queue, by ENQCMD of a process with `pasid`.
    fn enqueue(&self, pasid: u32, descriptor: &Descriptor) {
        let offset = Portal::Limited.offset(0);
        let bytes = *descriptor.with_pasid(pasid).as_bytes();
        assert!(self.device.write_portal(offset, Write::Deferrable, &bytes));
    }

    fn copy(&self, len: u32) -> Descriptor {
        Descriptor::memmove(SrcAddr(SRC), DstAddr(DST), len).with_completion(RECORD)
    }

    fn clear_record(&self, pasid: u32) {
        self.machine.fill(pasid, RECORD, &[0; 32]);
    }
}

#[test]
fn each_process_has_its_own_memory() {
    let rig = Rig::start(64);
    for (pasid, byte) in [(5, 0x55), (6, 0x66)] {
        for addr in [RECORD, SRC, DST] {
            rig.machine.map(pasid, addr, true);
        }
        rig.machine.fill(pasid, SRC, &[byte; 100]);
        rig.enqueue(pasid, &rig.copy(100));
    }
    for (pasid, byte) in [(5, 0x55), (6, 0x66)] {
        assert_eq!(rig.machine.status(pasid, RECORD).status(), Status::SUCCESS);
        assert_eq!(rig.machine.bytes(pasid, DST, 101), [&[byte; 100][..], &[0]].concat());
    }
    // A dedicated queue takes the PASID of its configuration, whatever the descriptor says.
    rig.clear_record(PASID);
    rig.machine.fill(PASID, DST, &[0; 100]);
    let bytes = *rig.copy(100).with_pasid(6).as_bytes();
    assert!(rig.device.write_portal(Portal::Limited.offset(1), Write::Posted, &bytes));
    assert_eq!(rig.machine.status(PASID, RECORD).status(), Status::SUCCESS);
    assert_eq!(rig.machine.bytes(PASID, DST, 100), [0x55; 100]);
}

#[test]
fn translations_are_asked_for_once_and_again_after_an_invalidation() {
    let rig = Rig::start(64);
    for addr in [RECORD, SRC, DST] {
        rig.machine.map(PASID, addr, true);
    }
    let run = || {
        rig.clear_record(PASID);
        let before = rig.machine.0.state.lock().unwrap().translations;
        rig.enqueue(PASID, &rig.copy(100));
        assert_eq!(rig.machine.status(PASID, RECORD).status(), Status::SUCCESS);
        rig.machine.0.state.lock().unwrap().translations - before
    };
    assert_eq!((run(), run()), (3, 0));
    rig.device.invalidate(Some(PASID), SRC, SRC + PAGE - 1);
    assert_eq!((run(), run()), (1, 0));
    rig.device.invalidate(Some(PASID + 1), 0, u64::MAX);
    assert_eq!(run(), 0);
    rig.device.invalidate(None, 0, u64::MAX);
    assert_eq!(run(), 3);
}

/// With room for one translation, three pages keep pushing each other out, and the result is the same.
#[test]
fn device_tlb_of_one_entry_is_slow_and_right() {
    let rig = Rig::start(1);
    for addr in [RECORD, SRC, DST] {
        rig.machine.map(PASID, addr, true);
    }
    rig.machine.fill(PASID, SRC, &[7; 4096]);
    rig.enqueue(PASID, &rig.copy(4096));
    assert_eq!(rig.machine.status(PASID, RECORD).status(), Status::SUCCESS);
    assert_eq!(rig.machine.bytes(PASID, DST, 4096), [7; 4096]);
    assert!(rig.machine.0.state.lock().unwrap().translations > 3);
}

/// Pages are taken away, and their frames put to another use, while the device copies: what it may have cached it does
/// not use after the invalidation.
#[test]
fn frame_is_not_touched_once_its_translation_was_taken_back() {
    let rig = Rig::start(64);
    rig.machine.map(PASID, RECORD, true);
    rig.machine.map(PASID, SRC, true);
    for _ in 0..200 {
        rig.machine.map(PASID, DST, true);
        rig.clear_record(PASID);
        rig.enqueue(PASID, &rig.copy(4096));
        {
            // What an IOMMU does under its lock: the entry goes, then the device is told, then the frame is free.
            let mut state = rig.machine.0.state.lock().unwrap();
            let page = state.pages.remove(&(PASID, DST / PAGE)).unwrap();
            rig.device.invalidate(Some(PASID), DST, DST + PAGE - 1);
            state.freed.insert(page.frame);
        }
        let completion = rig.machine.status(PASID, RECORD);
        let is_fault = completion.status().is_page_fault();
        assert!(completion.status() == Status::SUCCESS || is_fault, "{completion:?}");
    }
    assert!(!rig.machine.0.state.lock().unwrap().touched_freed);
}

#[test]
fn missing_page_is_asked_for_and_comes() {
    let rig = Rig::start(64);
    rig.machine.map(PASID, RECORD, true);
    rig.machine.map(PASID, SRC, true);
    rig.machine.fill(PASID, SRC, b"come in");
    rig.machine.0.state.lock().unwrap().full = 2;
    rig.enqueue(PASID, &rig.copy(7).with_block_on_fault());
    let (group, request) = rig.machine.wait(|state| state.requests.pop());
    assert_eq!((request.pasid, request.addr, request.access), (PASID, DST, Access::Write));
    assert!(rig.device.respond(group + 1, Response::Success).is_err());
    rig.machine.map(PASID, DST, true);
    rig.device.respond(group, Response::Success).unwrap();
    assert_eq!(rig.machine.status(PASID, RECORD).status(), Status::SUCCESS);
    assert_eq!(rig.machine.bytes(PASID, DST, 7), b"come in");
    assert!(rig.device.respond(group, Response::Success).is_err(), "it was answered already");
}

#[test]
fn read_only_page_is_a_write_fault_and_invalid_is_the_end() {
    let rig = Rig::start(64);
    rig.machine.map(PASID, RECORD, true);
    rig.machine.map(PASID, SRC, true);
    rig.machine.map(PASID, DST, false);
    rig.enqueue(PASID, &rig.copy(7));
    let completion = rig.machine.status(PASID, RECORD);
    assert_eq!(completion.status(), Status::PAGE_FAULT.with_write());
    assert_eq!(completion.fault_addr(), DST);

    rig.clear_record(PASID);
    rig.enqueue(PASID, &rig.copy(7).with_block_on_fault());
    let (group, _) = rig.machine.wait(|state| state.requests.pop());
    rig.device.respond(group, Response::Invalid).unwrap();
    let status = rig.machine.status(PASID, RECORD).status();
    assert_eq!(status, Status::PAGE_REQUEST_INVALID.with_write());
}

/// PRSREQALLOC is 1: the second engine waits until the first has its answer.
#[test]
fn no_more_requests_are_out_than_allowed() {
    let rig = Rig::start(64);
    for pasid in [5, 6] {
        rig.machine.map(pasid, RECORD, true);
        rig.machine.map(pasid, SRC, true);
        rig.enqueue(pasid, &rig.copy(7).with_block_on_fault());
    }
    let mut asked = Vec::new();
    for _ in 0..2 {
        let (group, request) = rig.machine.wait(|state| {
            assert!(state.requests.len() <= 1);
            state.requests.pop()
        });
        asked.push((group, request.pasid));
        rig.machine.map(request.pasid, DST, true);
        rig.device.respond(group, Response::Success).unwrap();
        assert_eq!(rig.machine.status(request.pasid, RECORD).status(), Status::SUCCESS);
    }
    assert_ne!(asked[0].0, asked[1].0, "an index is not used again at once");
    asked.sort_by_key(|(_, pasid)| *pasid);
    assert_eq!(asked.iter().map(|(_, pasid)| *pasid).collect::<Vec<_>>(), [5, 6]);
}

#[test]
fn reset_ends_waits_and_a_late_response_meets_nobody() {
    let rig = Rig::start(64);
    rig.machine.map(PASID, RECORD, true);
    rig.machine.map(PASID, SRC, true);
    rig.enqueue(PASID, &rig.copy(7).with_block_on_fault());
    let (group, _) = rig.machine.wait(|state| state.requests.pop());
    rig.device.reset();
    rig.configure();
    rig.machine.map(PASID, DST, true);
    rig.device.respond(group, Response::Invalid).unwrap();
    rig.enqueue(PASID, &rig.copy(7));
    assert_eq!(rig.machine.status(PASID, RECORD).status(), Status::SUCCESS);
}

/// A failure turns page requests off until they are enabled anew.
#[test]
fn failure_is_for_all_that_come_after() {
    let rig = Rig::start(64);
    rig.machine.map(PASID, RECORD, true);
    rig.machine.map(PASID, SRC, true);
    rig.enqueue(PASID, &rig.copy(7).with_block_on_fault());
    let (group, _) = rig.machine.wait(|state| state.requests.pop());
    rig.device.respond(group, Response::Failure).unwrap();
    for _ in 0..2 {
        let status = rig.machine.status(PASID, RECORD).status();
        assert_eq!(status.without_write(), Status::HARDWARE_TRANSLATION);
        rig.clear_record(PASID);
        rig.enqueue(PASID, &rig.copy(7).with_block_on_fault());
    }
    rig.machine.status(PASID, RECORD);
    assert!(rig.machine.0.state.lock().unwrap().requests.is_empty());
}

/// A copy of a page, and one that waits for its page: bytes and requests as counted by the test, times by the published
/// figures that the model is made of.
#[test]
fn modelled_times_are_of_what_was_done() {
    assert_eq!(Rig::start(64).device.modelled(), None);
    let rig = Rig::start_with(|options| options.timing = true);
    assert_eq!(rig.device.modelled(), Some(Modelled::default()));
    for addr in [RECORD, SRC, DST] {
        rig.machine.map(PASID, addr, true);
    }
    rig.enqueue(PASID, &rig.copy(4096));
    assert_eq!(rig.machine.status(PASID, RECORD).status(), Status::SUCCESS);
    rig.clear_record(PASID);
    let cold = Descriptor::memmove(SrcAddr(SRC), DstAddr(DST + PAGE), 100).with_completion(RECORD);
    rig.enqueue(PASID, &cold.with_block_on_fault());
    let (group, _) = rig.machine.wait(|state| state.requests.pop());
    rig.machine.map(PASID, DST + PAGE, true);
    rig.device.respond(group, Response::Success).unwrap();
    assert_eq!(rig.machine.status(PASID, RECORD).status(), Status::SUCCESS);

    // The book has it a moment after the record.
    let deadline = Instant::now() + DEADLINE;
    let modelled = loop {
        let modelled = rig.device.modelled().unwrap();
        if modelled.descriptors == 2 {
            break modelled;
        }
        assert!(Instant::now() < deadline, "{modelled}");
        thread::yield_now();
    };
    assert_eq!((modelled.bytes, modelled.faults, modelled.page_requests), (4096 + 100, 0, 1));
    // 145 ns for a page in a long batch; at least 74 for any copy. A page request takes about 13.6 us.
    assert!((145.0 + 74.0..300.0).contains(&modelled.engine_ns), "{modelled}");
    assert!((13_000.0..14_000.0).contains(&modelled.stall_ns), "{modelled}");
    let text = format!("{modelled}");
    assert!(text.starts_with("{\"descriptors\": 2, \"bytes\": 4196, "), "{text}");
    assert_eq!(rig.device.modelled(), Some(modelled), "sums, and nothing new");
}

#[test]
fn command_with_an_interrupt_raises_entry_0() {
    let rig = Rig::start(64);
    rig.command(Cmd::new(CmdCode::DRAIN_ALL).with_interrupt(true));
    rig.machine.wait(|state| (state.vectors == [0]).then_some(()));
}
