//! Inter-domain operations: who may do what through which entry, and what the records say.
//!
//! On the model itself, so that a test says as whom it submits. Every PASID stands for this process's memory.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;

use idxd_emu::{
    Access, DeviceConfig, Model, PageAnswer, PageRequests, ProcessMemory, QueueConfig, Step, Submission,
    Version,
};
use idxd_spec::{
    Alternate, Blocks, Completion, DataType, Descriptor, FaultInfo, Flags, FloatCompute, FloatType, Floats,
    GenCap, IdptHandle, IntegerCompute, IntegerType, Integers, Operand, PermissionEntry, Permissions, Reduce,
    ReduceDomains, ReduceOperands, Reduction, Resume, Sgl, SglFormat, Status, Submitters, TypeConversion,
    Window, WindowRange, resume_on,
};
use proptest::prelude::*;

use crate::support::{DEADLINE, Memory, PAGE, bytes};

pub(crate) const OWNER: u32 = 0x111;
pub(crate) const SUBMITTER: u32 = 0x2_2222;
const STRANGER: u32 = 0x33;

/// A device, and a record for one descriptor after the other.
pub(crate) struct Rig {
    pub(crate) model: Arc<Model<ProcessMemory>>,
    record: Memory,
}

impl Rig {
    fn new(version: Version, pages: Option<Box<dyn PageRequests>>) -> Self {
        let queues = vec![QueueConfig { batch_max: 8, ..QueueConfig::shared(16) }];
        let config = DeviceConfig { version, queues, ..DeviceConfig::default() };
        let model = Model::new(&config, ProcessMemory::open().unwrap(), pages).unwrap();
        Self { model, record: Memory::warm(PAGE) }
    }

    pub(crate) fn dsa() -> Self {
        Self::new(Version::V3, None)
    }

    /// An entry for `SUBMITTER` at `index`.
    pub(crate) fn open(&self, index: u16, permissions: Permissions, window: Window) -> IdptHandle {
        self.set(index, PermissionEntry::new(OWNER, Submitters::One(SUBMITTER), permissions, window))
    }

    pub(crate) fn set(&self, index: u16, entry: PermissionEntry) -> IdptHandle {
        // What is in use is read-only but for two bits.
        assert!(self.model.set_permission_entry(index, &PermissionEntry::default()));
        assert!(self.model.set_permission_entry(index, &entry));
        assert_eq!(self.model.permission_entry(index), Some(entry));
        IdptHandle(index)
    }

    pub(crate) fn run_as(&self, pasid: u32, descriptor: &Descriptor) -> Completion {
        self.record.write(0, &[0; 32]);
        let descriptor = descriptor.with_completion(self.record.addr(0)).with_pasid(pasid);
        assert_eq!(self.model.submit(0, &descriptor), Submission::Accepted);
        assert_eq!(self.model.engine(0).run_one(), Step::Ran);
        Completion::from_bytes(self.record.read(0, 32)[..].try_into().unwrap())
    }

    pub(crate) fn run(&self, descriptor: &Descriptor) -> Completion {
        self.run_as(SUBMITTER, descriptor)
    }
}

fn range(memory: &Memory, offset: usize, size: u64) -> WindowRange {
    WindowRange::new(memory.addr(offset), size).unwrap()
}

/// A fill of eight bytes through an entry.
fn fill(memory: &Memory, handle: IdptHandle) -> Descriptor {
    Descriptor::inter_domain_fill(1, memory.dst(0), 8, handle)
}

#[test]
fn copies_fills_and_compares_as_within_one_space() {
    let rig = Rig::dsa();
    for len in [1, 63, 4096, 4097, 70_000] {
        let data = bytes(len, len as u64);
        let (theirs, ours) = (Memory::with(&data), Memory::warm(len));
        let size = len as u32;
        let read = rig.open(3, Permissions::Read, Window::Addresses(range(&theirs, 0, len as u64)));
        let copy = Descriptor::inter_domain_copy(theirs.src(0), ours.dst(0), size, Alternate::Src(read));
        assert_eq!(rig.run(&copy).status(), Status::SUCCESS);
        assert!(ours.read(0, len) == data, "{len} bytes");

        let at = len / 2;
        ours.write(at, &[data[at] ^ 1]);
        let compare =
            Descriptor::inter_domain_compare(theirs.src(0), ours.src(0), size, Alternate::Src(read));
        let done = rig.run(&compare);
        assert_eq!((done.status(), done.result(), done.bytes_completed() as usize), (Status::SUCCESS, 1, at));
        let checked = rig.run(&compare.with_expected_result(0));
        assert_eq!(checked.status(), Status::SUCCESS_PREDICATE_FALSE);

        let pattern = [1, 2, 3, 4, 5, 6, 7, 8];
        let write = rig.open(4, Permissions::Write, Window::Everything);
        let fill = Descriptor::inter_domain_fill(u64::from_le_bytes(pattern), theirs.dst(0), size, write);
        assert_eq!(rig.run(&fill).status(), Status::SUCCESS);
        assert!((0..len).zip(theirs.read(0, len)).all(|(at, byte)| byte == pattern[at % 8]), "{len} bytes");
        let compare = |pattern| Descriptor::inter_domain_compare_pattern(theirs.src(0), pattern, size, read);
        assert_eq!(rig.run(&compare(u64::from_le_bytes(pattern))).result(), 0);
        let done = rig.run(&compare(u64::from_le_bytes(pattern) ^ 0xff));
        assert_eq!((done.result(), done.bytes_completed()), (1, 0));
    }
}

#[test]
fn offsets_count_from_the_window() {
    let rig = Rig::dsa();
    let (theirs, ours) = (Memory::with(&bytes(2 * PAGE, 1)), Memory::warm(PAGE));
    let source = rig.open(0, Permissions::Read, Window::Offsets(range(&theirs, 100, 1000)));
    let target = rig.open(1, Permissions::Write, Window::Offsets(range(&ours, 7, 1000)));
    let alternate = Alternate::Both { src: source, dst: target };
    let copy = |from: u64, size| Descriptor::inter_domain_copy(from.into(), 3_u64.into(), size, alternate);
    assert_eq!(rig.run(&copy(50, 900)).status(), Status::SUCCESS);
    assert!(ours.read(10, 900) == theirs.read(150, 900));
    assert_eq!((ours.read(0, 10), ours.read(910, 10)), (vec![0; 10], vec![0; 10]));
    let done = rig.run(&copy(101, 900));
    assert_eq!((done.status(), done.fault_handle()), (Status::INTER_DOMAIN_RANGE, source));
    let done = rig.run(&copy(0, 998));
    assert_eq!((done.status(), done.fault_handle()), (Status::INTER_DOMAIN_RANGE, target));
}

/// One thing is wrong each time; the record has the status and the handle, and nothing is written.
#[test]
fn each_refusal_has_its_status_and_names_the_handle() {
    let rig = Rig::dsa();
    let memory = Memory::warm(2 * PAGE);
    let all = Window::Everything;
    let entry = PermissionEntry::new(OWNER, Submitters::One(SUBMITTER), Permissions::ReadWrite, all);
    let with_bit = |bit: usize| {
        let mut bytes = *entry.as_bytes();
        bytes[bit / 8] |= 1 << (bit % 8);
        PermissionEntry::from_bytes(bytes)
    };
    let windowed = |range| entry.with_window(Permissions::ReadWrite, Window::Addresses(range));
    let handle = Status::INTER_DOMAIN_HANDLE;
    let cases = [
        (PermissionEntry::default(), handle),
        (entry.with_usable(false), handle),
        (PermissionEntry::new(OWNER, Submitters::One(STRANGER), Permissions::ReadWrite, all), handle),
        (with_bit(3), handle),
        (with_bit(4), handle),
        (with_bit(32 + 3), handle),
        (with_bit(32 + 4), handle),
        (with_bit(64), handle),
        (with_bit(24 * 8 + 12), handle),
        (entry.with_window(Permissions::None, all), Status::INTER_DOMAIN_PERMISSION),
        (entry.with_window(Permissions::Read, all), Status::INTER_DOMAIN_PERMISSION),
        (windowed(range(&memory, 1, 100)), Status::INTER_DOMAIN_RANGE),
        (windowed(range(&memory, 0, 7)), Status::INTER_DOMAIN_RANGE),
        (windowed(range(&memory, 8, 100)), Status::INTER_DOMAIN_RANGE),
    ];
    for (number, (entry, status)) in cases.into_iter().enumerate() {
        let handle = rig.set(5, entry);
        let done = rig.run(&fill(&memory, handle));
        assert_eq!((done.status(), done.fault_handle()), (status, handle), "case {number}: {entry:?}");
    }
    rig.set(5, windowed(range(&memory, 0, 8)));
    assert_eq!(memory.read(0, 8), [0; 8]);
    assert_eq!(rig.run(&fill(&memory, IdptHandle(5))).status(), Status::SUCCESS);
    let done = rig.run(&fill(&memory, IdptHandle(64)));
    assert_eq!((done.status(), done.fault_handle()), (handle, IdptHandle(64)));
    let read = rig.open(6, Permissions::Write, all);
    let compare = Descriptor::inter_domain_compare(memory.src(0), memory.src(64), 8, Alternate::Dst(read));
    assert_eq!(rig.run(&compare).status(), Status::INTER_DOMAIN_PERMISSION);
}

#[test]
fn revoked_space_is_inaccessible_until_it_is_not() {
    let rig = Rig::dsa();
    let memory = Memory::warm(PAGE);
    let handle = rig.open(0, Permissions::ReadWrite, Window::Everything);
    rig.model.revoke_space(OWNER, true);
    let done = rig.run(&fill(&memory, handle));
    assert_eq!((done.status(), done.fault_handle()), (Status::INTER_DOMAIN_INACCESSIBLE, handle));
    rig.model.revoke_space(OWNER, false);
    assert_eq!(rig.run(&fill(&memory, handle)).status(), Status::SUCCESS);
}

/// One bit for each PASID; a page of the bitmap that is not there is zeros.
#[test]
fn bitmap_says_who_may_submit() {
    let rig = Rig::dsa();
    let (memory, bitmap) = (Memory::warm(PAGE), Memory::cold(128 << 10));
    let submitters = Submitters::Bitmap(bitmap.addr(0));
    let entry = PermissionEntry::new(OWNER, submitters, Permissions::Write, Window::Everything);
    let handle = rig.set(0, entry);
    assert_eq!(rig.run(&fill(&memory, handle)).status(), Status::INTER_DOMAIN_HANDLE);
    bitmap.write(SUBMITTER as usize / 8, &[1 << (SUBMITTER % 8)]);
    assert_eq!(rig.run(&fill(&memory, handle)).status(), Status::SUCCESS);
    for other in [SUBMITTER - 1, SUBMITTER + 1, SUBMITTER ^ 0x10, STRANGER] {
        assert_eq!(
            rig.run_as(other, &fill(&memory, handle)).status(),
            Status::INTER_DOMAIN_HANDLE,
            "{other:#x}"
        );
    }
}

/// In address mode the record has the address, in offset mode only how far it came.
#[test]
fn fault_address_is_masked_in_offset_mode() {
    let rig = Rig::dsa();
    let (theirs, ours) = (Memory::with(&bytes(3 * PAGE, 2)), Memory::warm(3 * PAGE));
    theirs.cool(PAGE, PAGE);
    let open = rig.open(0, Permissions::Read, Window::Addresses(range(&theirs, 0, 3 * PAGE as u64)));
    let copy =
        Descriptor::inter_domain_copy(theirs.src(0), ours.dst(0), 3 * PAGE as u32, Alternate::Src(open));
    let done = rig.run(&copy);
    assert_eq!((done.status(), done.fault_handle()), (Status::PAGE_FAULT, open));
    assert_eq!((done.fault_addr(), done.fault_info()), (theirs.addr(PAGE), FaultInfo::new(Operand::SRC)));

    let masked = rig.open(1, Permissions::Read, Window::Offsets(range(&theirs, 0, 3 * PAGE as u64)));
    let copy =
        Descriptor::inter_domain_copy(0_u64.into(), ours.dst(0), 3 * PAGE as u32, Alternate::Src(masked));
    let done = rig.run(&copy);
    assert_eq!((done.status(), done.fault_handle()), (Status::PAGE_FAULT, masked));
    assert_eq!((done.fault_addr(), done.fault_info()), (0, FaultInfo::new(Operand::SRC).masked()));
    assert_eq!(done.bytes_completed() as usize, PAGE);
    theirs.write(PAGE, &bytes(PAGE, 3));
    let Resume::Rest(rest) = resume_on(&copy, &done, GenCap(0).with_fault_info(true)) else {
        panic!("{done:?}")
    };
    assert_eq!(rig.run(&rest).status(), Status::SUCCESS);
    assert!(ours.read(0, 3 * PAGE) == theirs.read(0, 3 * PAGE));

    // A fault in one's own memory is one's own.
    ours.cool(0, PAGE);
    let done = rig.run(&copy);
    let own = (Status::PAGE_FAULT.with_write(), ours.addr(0), FaultInfo::new(Operand::DST));
    assert_eq!((done.status(), done.fault_addr(), done.fault_info()), own);
}

#[test]
fn window_is_changed_by_its_owner_alone() {
    let rig = Rig::dsa();
    let memory = Memory::warm(PAGE);
    let window = Window::Addresses(range(&memory, 0, 8));
    let entry =
        PermissionEntry::new(OWNER, Submitters::One(SUBMITTER), Permissions::Write, Window::Everything);
    let handle = rig.set(9, entry);
    let update = |handle| Descriptor::update_window(handle, Permissions::ReadWrite, window);
    assert_eq!(rig.run_as(OWNER, &update(handle)).status(), Status::WINDOW_HANDLE, "not allowed");
    let handle = rig.set(9, entry.with_update(true));
    assert_eq!(rig.run_as(SUBMITTER, &update(handle)).status(), Status::WINDOW_HANDLE, "not the owner");
    assert_eq!(rig.run_as(OWNER, &update(IdptHandle(64))).status(), Status::WINDOW_HANDLE, "no such entry");
    let fill = |offset| Descriptor::inter_domain_fill(1, memory.dst(offset), 8, handle);
    assert_eq!(rig.run(&fill(8)).status(), Status::SUCCESS);
    assert_eq!(rig.run_as(OWNER, &update(handle)).status(), Status::SUCCESS);
    let changed = entry.with_update(true).with_window(Permissions::ReadWrite, window);
    assert_eq!(rig.model.permission_entry(9), Some(changed));
    assert_eq!(rig.run(&fill(8)).status(), Status::INTER_DOMAIN_RANGE);
    assert_eq!(rig.run(&fill(0)).status(), Status::SUCCESS);
    let mut bytes = *entry.with_update(true).as_bytes();
    bytes[1] = 1;
    rig.set(9, PermissionEntry::from_bytes(bytes));
    assert_eq!(
        rig.run_as(OWNER, &update(handle)).status(),
        Status::WINDOW_HANDLE,
        "reserved bit in the entry"
    );
}

#[test]
fn window_that_is_none_is_refused() {
    let rig = Rig::dsa();
    let entry =
        PermissionEntry::new(OWNER, Submitters::One(SUBMITTER), Permissions::Write, Window::Everything);
    let handle = rig.set(0, entry.with_update(true));
    let window = Window::Offsets(WindowRange::new(0x1000, 0x1000).unwrap());
    let update = Descriptor::update_window(handle, Permissions::Read, window);
    let poked = |changes: &[(usize, u8)]| {
        let mut bytes = *update.as_bytes();
        changes.iter().for_each(|(at, byte)| bytes[*at] = *byte);
        Descriptor::from_bytes(bytes)
    };
    let cases = [
        // Offset mode without a window; a window of nothing; one that goes round.
        (poked(&[(61, 0b1001), (17, 0), (25, 0)]), Status::WINDOW_CONTROL),
        (poked(&[(25, 0)]), Status::WINDOW_CONTROL),
        (poked(&[(31, 0xff), (23, 1)]), Status::WINDOW_CONTROL),
        (poked(&[(61, 0b0001)]), Status::RESERVED_NOT_ZERO),
        (poked(&[(61, 0x1d)]), Status::RESERVED_NOT_ZERO),
        (poked(&[(60, 1)]), Status::RESERVED_NOT_ZERO),
        (update.with_block_on_fault(), Status::INVALID_FLAGS),
    ];
    for (number, (descriptor, status)) in cases.into_iter().enumerate() {
        assert_eq!(rig.run_as(OWNER, &descriptor).status(), status, "case {number}");
    }
    assert_eq!(rig.run_as(OWNER, &update).status(), Status::SUCCESS);
}

#[test]
fn sides_are_required_and_reserved_as_the_tables_have_it() {
    let rig = Rig::dsa();
    let memory = Memory::warm(PAGE);
    let (src, dst) = (memory.src(0), memory.dst(64));
    let handle = rig.open(0, Permissions::ReadWrite, Window::Everything);
    let sides = Flags::ALTERNATE_SRC_PASID | Flags::ALTERNATE_DST_PASID;
    let copy = Descriptor::inter_domain_copy(src, dst, 8, Alternate::Src(handle));
    let compare = Descriptor::inter_domain_compare(src, memory.src(64), 8, Alternate::Src(handle));
    let pattern = Descriptor::inter_domain_compare_pattern(src, 0, 8, handle);
    let fill = Descriptor::inter_domain_fill(0, dst, 8, handle);
    for descriptor in [copy.without_flags(sides), compare.without_flags(sides)] {
        let done = rig.run(&descriptor);
        assert_eq!((done.status(), done.invalid_flags()), (Status::INVALID_FLAGS, sides));
    }
    for descriptor in [
        fill.without_flags(sides),
        fill.with_flags(Flags::ALTERNATE_SRC_PASID),
        pattern.without_flags(sides),
        pattern.with_flags(Flags::ALTERNATE_DST_PASID),
        copy.with_flags(Flags::CHECK_RESULT),
        copy.with_flags(Flags::PATTERN_16),
    ] {
        assert_eq!(rig.run(&descriptor).status(), Status::INVALID_FLAGS, "{descriptor:?}");
    }
    let handle_without_flag = copy.without_flags(sides).with_flags(Flags::ALTERNATE_DST_PASID);
    let mut bytes = *handle_without_flag.as_bytes();
    bytes[60] = 1;
    assert_eq!(rig.run(&Descriptor::from_bytes(bytes)).status(), Status::RESERVED_NOT_ZERO);
    assert_eq!(rig.run(&Descriptor::inter_domain_fill(0, dst, 0, handle)).status(), Status::TRANSFER_SIZE);
}

#[test]
fn members_of_a_batch_run_as_who_submitted_it() {
    let rig = Rig::dsa();
    let memory = Memory::warm(2 * PAGE);
    let handle = rig.open(0, Permissions::ReadWrite, Window::Everything);
    let entry = rig.model.permission_entry(0).unwrap();
    let update = Descriptor::update_window(handle, Permissions::Read, Window::Everything);
    // What the list says of PASIDs is nothing.
    let members = [fill(&memory, handle).with_pasid(STRANGER), update.with_pasid(OWNER)];
    for (at, member) in members.iter().enumerate() {
        let record = memory.addr(PAGE + 512 + 32 * at);
        memory.write(PAGE + 64 * at, member.with_completion(record).as_bytes());
    }
    let status = |at: usize| memory.status(PAGE + 512 + 32 * at);
    let batch = Descriptor::batch(memory.src(PAGE), 2);
    assert_eq!(rig.run(&batch).status(), Status::BATCH_FAILED);
    assert_eq!((status(0), status(1)), (Status::SUCCESS, Status::BAD_OPCODE));
    memory.write(PAGE + 512, &[0; 64]);
    assert_eq!(rig.run_as(STRANGER, &batch).status(), Status::BATCH_FAILED);
    assert_eq!(status(0), Status::INTER_DOMAIN_HANDLE);
    assert_eq!(rig.model.permission_entry(0), Some(entry));
}

fn ints(signed: bool) -> Integers {
    let narrow = IntegerType::Int16;
    if signed { Integers::signed(narrow, narrow) } else { Integers::unsigned(narrow, narrow) }
}

#[test]
fn numbers_and_lists_reach_other_spaces_too() {
    let rig = Rig::dsa();
    let (theirs, ours) = (Memory::with(&bytes(PAGE, 5)), Memory::with(&bytes(PAGE, 6)));
    let size = PAGE as u64;
    let source = rig.open(0, Permissions::Read, Window::Offsets(range(&theirs, 0, size)));
    let both = rig.open(1, Permissions::ReadWrite, Window::Addresses(range(&theirs, 0, size)));
    let reduction = Reduction::integers(IntegerCompute::Xor, ints(false));
    let operands = ReduceOperands { src1: Some(source), dst1: Some(both), src2: None, dst2: None };
    let reduce = Reduce {
        src1_addr: 0_u64.into(),
        src2_addr: ours.src(0),
        dst_addr: theirs.dst(2048),
        element_count: 1000,
        reduction,
        negate_src2: false,
        domains: ReduceDomains::new(operands),
    };
    assert_eq!(rig.run(&Descriptor::reduce(reduce)).status(), Status::SUCCESS);
    let expected: Vec<u8> = theirs.read(0, 2000).iter().zip(ours.read(0, 2000)).map(|(a, b)| a ^ b).collect();
    assert!(theirs.read(2048, 2000) == expected);
    let done = rig.run(&Descriptor::reduce(Reduce { dst_addr: theirs.dst(2098), ..reduce }));
    assert_eq!((done.status(), done.fault_handle()), (Status::INTER_DOMAIN_RANGE, both));

    // The window begins at an odd address, so every element would.
    let odd = rig.open(2, Permissions::Read, Window::Offsets(range(&theirs, 1, 100)));
    let conversion = TypeConversion {
        src_addr: 0_u64.into(),
        dst_addr: ours.dst(0),
        element_count: 4,
        numbers: Floats::of(FloatType::Fp16).into(),
        alternate: Some(Alternate::Src(odd)),
    };
    let done = rig.run(&Descriptor::type_conversion(conversion));
    assert_eq!((done.status(), done.fault_handle()), (Status::ALIGNMENT, odd));

    let list = Sgl { addr: ours.src(0), entries: 3, format: SglFormat::Index32, base: 0 };
    let blocks = Blocks::new(list, DataType::Int8, 100).unwrap();
    ours.write(0, &[2, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0]);
    let gather = Descriptor::gather_copy(blocks, ours.dst(1000), Some(Alternate::Src(source)));
    assert_eq!(rig.run(&gather).status(), Status::SUCCESS);
    let expected: Vec<u8> = [200, 0, 700].into_iter().flat_map(|at| theirs.read(at, 100)).collect();
    assert!(ours.read(1000, 300) == expected);
    ours.write(8, &[41]);
    let done = rig.run(&gather);
    assert_eq!((done.status(), done.fault_handle()), (Status::INTER_DOMAIN_RANGE, source));
}

#[test]
fn selector_with_a_reserved_value_is_refused() {
    let rig = Rig::dsa();
    let memory = Memory::warm(PAGE);
    let handle = rig.open(0, Permissions::ReadWrite, Window::Everything);
    let operands = ReduceOperands { src1: Some(handle), ..ReduceOperands::default() };
    let reduce = Reduce {
        src1_addr: memory.src(0),
        src2_addr: memory.src(64),
        dst_addr: memory.dst(128),
        element_count: 4,
        reduction: Reduction::floats(FloatCompute::Max, Floats::of(FloatType::Fp32)),
        negate_src2: false,
        domains: ReduceDomains::new(operands),
    };
    let descriptor = Descriptor::reduce(reduce);
    assert_eq!(rig.run(&descriptor).status(), Status::SUCCESS);
    for selector in [0, 3, 0b11_01, 0b01_00_00_01] {
        let mut bytes = *descriptor.as_bytes();
        bytes[59] = selector;
        let status = rig.run(&Descriptor::from_bytes(bytes)).status();
        assert_eq!(status, Status::UNSUPPORTED_VALUE, "{selector:#b}");
    }
}

#[test]
fn first_version_knows_nothing_of_it() {
    for (version, is_known) in [(Version::V1, false), (Version::V2, true)] {
        let rig = Rig::new(version, None);
        let memory = Memory::warm(PAGE);
        for opcode in [0x21, 0x23, 0x24, 0x25, 0x26] {
            let mut bytes = *fill(&memory, IdptHandle(0)).as_bytes();
            bytes[7] = opcode;
            let status = rig.run(&Descriptor::from_bytes(bytes)).status();
            assert_eq!(status != Status::BAD_OPCODE, is_known, "{version:?} {opcode:#x}");
        }
        assert_eq!(rig.model.permission_entry(0).is_some(), is_known);
    }
}

/// Page requests that wait for the test.
struct Gate {
    asked: Sender<u64>,
    go_on: Mutex<Receiver<()>>,
}

impl PageRequests for Gate {
    fn request(&self, addr: u64, _: Access) -> PageAnswer {
        self.asked.send(addr).unwrap();
        self.go_on.lock().unwrap().recv_timeout(DEADLINE).unwrap();
        PageAnswer::Invalid
    }
}

/// An operation waits for a page in the window that is changed: the change is complete when that is over, unless it does
/// not care.
#[test]
fn update_waits_for_those_who_use_the_old_window() {
    let ((asked, was_asked), (release, go_on)) = (channel(), channel());
    let rig = Rig::new(Version::V2, Some(Box::new(Gate { asked, go_on: Mutex::new(go_on) })));
    let (cold, records) = (Memory::cold(PAGE), Memory::warm(PAGE));
    let entry =
        PermissionEntry::new(OWNER, Submitters::One(SUBMITTER), Permissions::Write, Window::Everything);
    let handle = rig.set(0, entry.with_update(true));
    let slow = fill(&cold, handle).with_block_on_fault().with_completion(records.addr(0));
    assert_eq!(rig.model.submit(0, &slow.with_pasid(SUBMITTER)), Submission::Accepted);
    let engine = |model: &Arc<Model<ProcessMemory>>| {
        let mut engine = model.engine(0);
        thread::spawn(move || engine.run_one())
    };
    let first = engine(&rig.model);
    was_asked.recv_timeout(DEADLINE).unwrap();

    let update = |permissions| Descriptor::update_window(handle, permissions, Window::Everything);
    let careful = update(Permissions::Read).with_completion(records.addr(64)).with_pasid(OWNER);
    assert_eq!(rig.model.submit(0, &careful), Submission::Accepted);
    let second = engine(&rig.model);
    let is_changed = || rig.model.permission_entry(0).unwrap().permissions() == Permissions::Read;
    while !is_changed() {
        thread::yield_now();
    }
    let careless = update(Permissions::ReadWrite).with_drain_suppressed();
    assert_eq!(rig.run_as(OWNER, &careless).status(), Status::SUCCESS);
    assert_eq!((records.status(0), records.status(64)), (Status::NONE, Status::NONE));
    release.send(()).unwrap();
    assert_eq!((first.join().unwrap(), second.join().unwrap()), (Step::Ran, Step::Ran));
    assert_eq!(records.status(0), Status::PAGE_REQUEST_INVALID.with_write());
    assert_eq!(records.status(64), Status::SUCCESS);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is in the table and in a descriptor, the device has an answer, and what no entry opens stays as it is.
    #[test]
    fn hostile_tables_and_descriptors_have_an_answer(
        entry in prop::array::uniform32(any::<u8>()), tail in prop::array::uniform24(any::<u8>()),
        opcode in prop_oneof![0x18..=0x1e_u8, 0x21..=0x26_u8], flags: u8, size in 0..5000_u32,
    ) {
        let rig = Rig::dsa();
        let memory = Memory::warm(4 * PAGE);
        rig.model.set_permission_entry(0, &PermissionEntry::from_bytes(entry));
        let mut bytes = *Descriptor::memmove(memory.src(0), memory.dst(2 * PAGE), size).as_bytes();
        bytes[40..].copy_from_slice(&tail);
        (bytes[6], bytes[7]) = (flags & 7, opcode);
        let done = rig.run(&Descriptor::from_bytes(bytes));
        prop_assert_ne!(done.status(), Status::NONE);
        if done.status() == Status::INTER_DOMAIN_HANDLE {
            prop_assert!(memory.read(0, 4 * PAGE) == vec![0; 4 * PAGE]);
        }
    }
}
