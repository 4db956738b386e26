//! The statuses of a DSA: those of records, those that go elsewhere, and those of other address spaces.

use idxd_emu::{
    Access, DeviceConfig, EventLogConfig, FaultPlan, GroupConfig, Hardware, Model, PageAnswer, PageRequests,
    PciConfig, ProcessMemory, QueueConfig, Submission, Version, Which,
};
use idxd_emu::{DeviceKind, Step};
use idxd_spec::register::{CMD, Cmd, CmdCode, GrpFlags};
use idxd_spec::{
    ApplyDelta, Completion, Descriptor, DifFlags, DifTags, Flags, IdptHandle, PermissionEntry, Permissions,
    SrcDifFlags, Status, Submitters, Window, WindowRange,
};

use super::Reach;
use crate::inter_domain;
use crate::registers::{command, configured, dedicated, write_wq};
use crate::support::{Memory, PAGE, Rig};

/// What a record says of `descriptor` on a device with everything on. The memory is warm.
fn record(descriptor: impl FnOnce(&Memory) -> Descriptor) -> Status {
    record_on(DeviceConfig::default(), descriptor)
}

fn record_on(config: DeviceConfig, descriptor: impl FnOnce(&Memory) -> Descriptor) -> Status {
    let memory = Memory::warm(4 * PAGE);
    Rig::new(config).run(&descriptor(&memory)).status().without_write()
}

/// What the software error register says once `descriptor` is done.
fn register_on(config: DeviceConfig, descriptor: impl FnOnce(&Memory, &Rig) -> Descriptor) -> Status {
    let (rig, memory) = (Rig::new(config), Memory::warm(PAGE));
    rig.submit(&descriptor(&memory, &rig));
    rig.drain();
    rig.device.software_error().expect("an error").status.without_write()
}

fn copy(memory: &Memory) -> Descriptor {
    Descriptor::memmove(memory.src(0), memory.dst(2 * PAGE), 64)
}

/// A delta record of two entries for the same words, and one for a word behind the range.
fn apply(memory: &Memory, entries: [u16; 2]) -> Descriptor {
    memory.write(0, &entries[0].to_le_bytes());
    memory.write(10, &entries[1].to_le_bytes());
    apply_of(memory, 20)
}

fn apply_of(memory: &Memory, delta_size: u32) -> Descriptor {
    Descriptor::apply_delta(ApplyDelta {
        delta_addr: memory.src(0),
        delta_size,
        dst_addr: memory.dst(PAGE),
        xfer_size: 64,
    })
}

fn batch(memory: &Memory, second: Descriptor) -> Descriptor {
    memory.write(0, Descriptor::noop().as_bytes());
    memory.write(Descriptor::SIZE, second.as_bytes());
    Descriptor::batch(memory.src(0), 2)
}

/// No page requests, and an event log in their place.
fn logging(plan: FaultPlan) -> DeviceConfig {
    DeviceConfig {
        queues: vec![QueueConfig { block_on_fault: false, ..QueueConfig::default() }],
        prs: false,
        event_log: Some(EventLogConfig { entries: 64, overflow: true }),
        plan,
        ..DeviceConfig::default()
    }
}

fn failing(status: Status) -> Status {
    let plan = FaultPlan::default().fail(status, Which::Every);
    record_on(DeviceConfig { plan, ..DeviceConfig::default() }, copy)
}

/// What is given in records.
pub(super) const STATUSES: [Reach<Status>; 26] = [
    (Status::SUCCESS, || record(copy)),
    (Status::SUCCESS_PREDICATE_FALSE, || {
        record(|memory| Descriptor::compare(memory.src(0), memory.src(PAGE), 64).with_expected_result(1))
    }),
    (Status::PAGE_FAULT, || {
        record(|memory| {
            memory.cool(0, PAGE);
            copy(memory)
        })
    }),
    (Status::PAGE_REQUEST_INVALID, || {
        record(|memory| {
            memory.unmap(0, PAGE);
            copy(memory).with_block_on_fault()
        })
    }),
    (Status::BATCH_FAILED, || record(|memory| batch(memory, Descriptor::drain()))),
    (Status::BATCH_PAGE_FAULT, || {
        record(|memory| {
            memory.unmap(0, PAGE);
            Descriptor::batch(memory.src(0), 2)
        })
    }),
    (Status::DELTA_ORDER, || record(|memory| apply(memory, [3, 3]))),
    (Status::DELTA_RANGE, || record(|memory| apply(memory, [3, 8]))),
    (Status::DIF_ERROR, || {
        record(|memory| {
            memory.write(9, &[1]);
            let tags = DifTags::default();
            Descriptor::dif_check(memory.src(0), 520, DifFlags::BLOCK_512, SrcDifFlags::empty(), tags)
        })
    }),
    (Status::BAD_OPCODE, || record(|_| Descriptor::from_bytes(with_byte(Descriptor::noop(), 7, 0x55)))),
    (Status::INVALID_FLAGS, || record(|memory| copy(memory).with_fence())),
    (Status::RESERVED_NOT_ZERO, || record(|memory| Descriptor::from_bytes(with_byte(copy(memory), 63, 1)))),
    (Status::TRANSFER_SIZE, || record(|memory| Descriptor::fill(0, memory.dst(0), 0))),
    (Status::DESCRIPTOR_COUNT, || record(|memory| Descriptor::batch(memory.src(0), 0))),
    (Status::UNSUPPORTED_VALUE, || record(|memory| apply_of(memory, 19))),
    (Status::OVERLAPPING_BUFFERS, || {
        record(|memory| Descriptor::copy_crc(memory.src(0), memory.dst(63), 64, 0))
    }),
    (Status::DUALCAST_ALIGNMENT, || {
        record(|memory| Descriptor::dualcast(memory.src(0), memory.dst(PAGE), memory.dst(2 * PAGE + 1), 64))
    }),
    (Status::LIST_ALIGNMENT, || record(|memory| Descriptor::batch(memory.src(32), 2))),
    (Status::INTERRUPT_HANDLE, || {
        let config = DeviceConfig { user_interrupts: true, ..DeviceConfig::default() };
        record_on(config, |_| Descriptor::noop().with_interrupt(1))
    }),
    (Status::ALIGNMENT, || {
        record(|memory| Descriptor::crc(memory.src(0), 64, 0).with_crc_seed_addr(memory.addr(2)))
    }),
    (Status::TRAFFIC_CLASS, || {
        let flags = GrpFlags(0).with_tc_a(0).with_tc_b(1).with_read_buffers_allowed(96);
        let groups = vec![GroupConfig { queues: vec![0], engines: vec![0], flags }];
        let pci = PciConfig { traffic_classes: 1, ..PciConfig::default() };
        let config = DeviceConfig { groups, pci, ..DeviceConfig::default() };
        record_on(config, |memory| copy(memory).with_flags(Flags::ADDR1_TC))
    }),
    (Status::READBACK_PAGE_FAULT, || {
        record(|memory| {
            memory.unmap(0, PAGE);
            Descriptor::drain().with_readback_addr_1(memory.addr(0))
        })
    }),
    (Status::HARDWARE, || failing(Status::HARDWARE)),
    (Status::HARDWARE_WRITE, || failing(Status::HARDWARE_WRITE)),
    (Status::HARDWARE_TRANSLATION, without_answers),
    (Status::INTER_DOMAIN_NO_PASID, without_pasid),
];

fn with_byte(descriptor: Descriptor, at: usize, byte: u8) -> [u8; Descriptor::SIZE] {
    let mut bytes = *descriptor.as_bytes();
    bytes[at] = byte;
    bytes
}

/// A host that cannot answer page requests.
struct Deaf;

impl PageRequests for Deaf {
    fn request(&self, _: u64, _: Access) -> PageAnswer {
        PageAnswer::Failure
    }
}

fn without_answers() -> Status {
    let config = DeviceConfig::default();
    let model = Model::new(&config, ProcessMemory::open().unwrap(), Some(Box::new(Deaf))).unwrap();
    let (memory, records) = (Memory::warm(4 * PAGE), Memory::warm(PAGE));
    memory.cool(0, PAGE);
    let descriptor = copy(&memory).with_block_on_fault().with_completion(records.addr(0));
    assert_eq!(model.submit(0, &descriptor), Submission::Accepted);
    assert_eq!(model.engine(0).run_one(), Step::Ran);
    let record: [u8; Completion::SIZE] = records.read(0, Completion::SIZE).try_into().unwrap();
    Completion::from_bytes(&record).status().without_write()
}

/// A work queue that is configured without a PASID. The model has no memory, so the error is in the register.
fn without_pasid() -> Status {
    let model = configured(&Hardware::new(DeviceKind::Dsa, Version::V3), 1);
    write_wq(&model, 0, &dedicated().with_pasid_enable(false).with_pasid(0));
    for (code, operand) in [(CmdCode::ENABLE_DEVICE, 0), (CmdCode::ENABLE_WQ, 0)] {
        assert_eq!(command(&model, code, operand).error(), idxd_spec::register::CmdError::NONE);
    }
    let fill = Descriptor::inter_domain_fill(1, idxd_spec::DstAddr(64), 8, IdptHandle(0));
    assert_eq!(model.submit(0, &fill), Submission::Accepted);
    assert_eq!(model.engine(0).run_one(), Step::Ran);
    model.software_error().expect("an error").status
}

/// The code of an entry of the event log: the last, once there are so many.
fn event(rig: &Rig, count: usize) -> Status {
    rig.wait_until("events", || rig.device.events().len() == count);
    rig.device.events()[count - 1].code()
}

/// What never is in a record: it goes to the software error register or to the event log.
pub(super) const ELSEWHERE: [Reach<Status>; 9] = [
    (Status::COMPLETION_PAGE_FAULT, || {
        let (rig, cold) = (Rig::new(logging(FaultPlan::default())), Memory::cold(PAGE));
        rig.submit(&Descriptor::noop().with_completion(cold.addr(0)));
        event(&rig, 1)
    }),
    (Status::COMPLETION_ALIGNMENT, || {
        register_on(DeviceConfig::default(), |_, rig| Descriptor::noop().with_completion(rig.record(0) + 8))
    }),
    (Status::PRIVILEGE, || {
        let pci = PciConfig { privileged: false, ..PciConfig::default() };
        let queues = vec![QueueConfig::shared(8)];
        let rig = Rig::new(DeviceConfig { queues, pci, ..DeviceConfig::default() });
        let noop = Descriptor::noop().with_privileged(true).with_completion(rig.record(0));
        assert_eq!(rig.portal.enqcmds(&noop), Submission::Accepted);
        rig.drain();
        rig.device.software_error().expect("an error").status
    }),
    (Status::DRAIN_COMPLETION_FAULTS, || {
        let rig = Rig::new(logging(FaultPlan::default()));
        rig.submit(&Descriptor::drain().with_completion(rig.record(0)));
        event(&rig, 1)
    }),
    (Status::BATCH_COMPLETION_FAULTS, || {
        let (rig, cold) = (Rig::new(logging(FaultPlan::default())), Memory::cold(PAGE));
        let list = Memory::warm(PAGE);
        let logged = Descriptor::noop().with_completion(cold.addr(0));
        rig.submit(&batch(&list, logged).with_completion(rig.record(0)));
        event(&rig, 2)
    }),
    (Status::CONFIGURATION_CHANGED, || {
        let model = Model::new(&DeviceConfig::default(), ProcessMemory::open().unwrap(), None).unwrap();
        model.set_pci(PciConfig { traffic_classes: 1, ..PciConfig::default() });
        model.software_error().expect("an error").status
    }),
    (Status::COMMAND_BUSY, || {
        let rig = Rig::dsa();
        rig.device.hold();
        rig.submit(&Descriptor::noop());
        for code in [CmdCode::DRAIN_ALL, CmdCode::DRAIN_ALL] {
            rig.device.write(CMD, 4, Cmd::new(code).0.into());
        }
        rig.device.software_error().expect("an error").status
    }),
    (Status::DEDICATED_QUEUE_FULL, || {
        let queues = vec![QueueConfig::dedicated(1)];
        let rig = Rig::new(DeviceConfig { queues, ..DeviceConfig::default() });
        rig.device.hold();
        (0..2).for_each(|_| rig.submit(&Descriptor::noop()));
        rig.device.software_error().expect("an error").status
    }),
    (Status::EVENT_LOG_WRITE, || {
        let (rig, cold) =
            (Rig::new(logging(FaultPlan::default().event_log_full(Which::Every))), Memory::cold(PAGE));
        rig.submit(&Descriptor::noop().with_completion(cold.addr(0)));
        rig.drain();
        rig.device.software_error().expect("an error").status
    }),
];

/// What a fill of eight bytes through an entry comes to, if `spoil` makes one for addresses or permissions of its own.
fn through(spoil: impl FnOnce(&inter_domain::Rig, &Memory) -> IdptHandle) -> Status {
    let (rig, memory) = (inter_domain::Rig::dsa(), Memory::warm(PAGE));
    let handle = spoil(&rig, &memory);
    rig.run(&Descriptor::inter_domain_fill(1, memory.dst(0), 8, handle)).status()
}

/// What a change of a window comes to, by the owner of its entry, which may or may not allow it.
fn update(may_update: bool, window: fn(Descriptor) -> Descriptor) -> Status {
    let rig = inter_domain::Rig::dsa();
    let submitters = Submitters::One(inter_domain::SUBMITTER);
    let entry = PermissionEntry::new(inter_domain::OWNER, submitters, Permissions::Write, Window::Everything);
    let handle = rig.set(0, entry.with_update(may_update));
    let range = Window::Addresses(WindowRange::new(0x1000, 0x1000).unwrap());
    let update = window(Descriptor::update_window(handle, Permissions::Read, range));
    rig.run_as(inter_domain::OWNER, &update).status()
}

pub(super) const DOMAINS: [Reach<Status>; 6] = [
    (Status::INTER_DOMAIN_HANDLE, || through(|_, _| IdptHandle(64))),
    (Status::INTER_DOMAIN_PERMISSION, || {
        through(|rig, _| rig.open(0, Permissions::Read, Window::Everything))
    }),
    (Status::INTER_DOMAIN_RANGE, || {
        through(|rig, memory| {
            let range = WindowRange::new(memory.addr(8), 100).unwrap();
            rig.open(0, Permissions::Write, Window::Addresses(range))
        })
    }),
    (Status::WINDOW_HANDLE, || update(false, |update| update)),
    // The window has no bytes.
    (Status::WINDOW_CONTROL, || update(true, |update| Descriptor::from_bytes(with_byte(update, 25, 0)))),
    (Status::INTER_DOMAIN_INACCESSIBLE, || {
        through(|rig, _| {
            let handle = rig.open(0, Permissions::Write, Window::Everything);
            rig.model.revoke_space(inter_domain::OWNER, true);
            handle
        })
    }),
];
