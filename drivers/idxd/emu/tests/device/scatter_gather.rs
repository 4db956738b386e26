//! Gather copy, scatter copy and scatter fill against loops over bytes, whole and in parts.

use idxd_emu::{DeviceConfig, FaultPlan, QueueConfig, StopAt, Version};
use idxd_spec::{
    Blocks, DataType, Descriptor, DstAddr, FaultInfo, Flags, Operand, Sgl, SglFormat, SrcAddr, Status,
};

use crate::driver::{parts, touch};
use crate::numeric::dsa3;
use crate::support::{Memory, PAGE, Rig, bytes};

const PATTERN: [u8; 8] = [9, 8, 7, 6, 5, 4, 3, 2];

/// A range of blocks, a list of some of them, and a range that they go to or come from.
struct Case {
    scattered: Memory,
    lists: Memory,
    plain: Memory,
    blocks: Blocks,
    offsets: Vec<usize>,
    block: usize,
}

impl Case {
    /// Blocks of `count` elements, which the entries of `order` stand for.
    fn new(order: &[u64], format: SglFormat, data_type: DataType, count: u32) -> Self {
        let block = (count * data_type.size()) as usize;
        let most = *order.iter().max().unwrap() as usize + 1;
        let (scattered, plain) =
            (Memory::with(&bytes(most * block, 1)), Memory::with(&bytes(order.len() * block, 2)));
        let lists = Memory::warm(order.len() * 8 + 4);
        let unit = if format == SglFormat::Offset64 { block as u64 } else { 1 };
        let size = format.entry_size() as usize;
        for (at, entry) in order.iter().enumerate() {
            lists.write(4 + at * size, &(entry * unit).to_le_bytes()[..size]);
        }
        let list = Sgl { addr: lists.src(4), entries: order.len() as u16, format, base: scattered.addr(0) };
        let blocks = Blocks::new(list, data_type, count).unwrap();
        let offsets = order.iter().map(|entry| *entry as usize * block).collect();
        Self { scattered, lists, plain, blocks, offsets, block }
    }

    fn len(&self) -> usize {
        self.offsets.len() * self.block
    }

    fn gathered(&self) -> Vec<u8> {
        self.offsets.iter().flat_map(|offset| self.scattered.read(*offset, self.block)).collect()
    }
}

fn cases() -> impl Iterator<Item = Case> {
    let shapes = [(DataType::Int8, 1), (DataType::Bf16, 31), (DataType::Fp64, 512), (DataType::Int32, 5000)];
    SglFormat::ALL.into_iter().flat_map(move |format| {
        shapes
            .into_iter()
            .map(move |(data_type, count)| Case::new(&[4, 0, 6, 1, 5], format, data_type, count))
    })
}

#[test]
fn gather_copies_blocks_one_behind_the_other() {
    let rig = dsa3(FaultPlan::default());
    for case in cases() {
        let completion = rig.run(&Descriptor::gather_copy(case.blocks, case.plain.dst(0), None));
        let done = (completion.status(), completion.bytes_completed(), completion.sgl_completed());
        assert_eq!(done, (Status::SUCCESS, 0, 0));
        assert!(case.plain.read(0, case.len()) == case.gathered(), "blocks of {}", case.block);
    }
}

#[test]
fn scatter_copies_to_the_blocks_and_nowhere_else() {
    let rig = dsa3(FaultPlan::default());
    for case in cases() {
        let mut expected = case.scattered.read(0, 7 * case.block);
        let src = case.plain.read(0, case.len());
        for (offset, block) in case.offsets.iter().zip(src.chunks(case.block)) {
            expected[*offset..][..case.block].copy_from_slice(block);
        }
        let scatter = Descriptor::scatter_copy(case.plain.src(0), case.blocks, None);
        assert_eq!(rig.run(&scatter).status(), Status::SUCCESS);
        assert!(case.scattered.read(0, 7 * case.block) == expected, "blocks of {}", case.block);
    }
}

#[test]
fn scatter_fill_begins_its_pattern_anew_with_each_block() {
    let rig = dsa3(FaultPlan::default());
    for case in cases() {
        let mut expected = case.scattered.read(0, 7 * case.block);
        for offset in &case.offsets {
            (0..case.block).for_each(|at| expected[offset + at] = PATTERN[at % 8]);
        }
        let fill = Descriptor::scatter_fill(u64::from_le_bytes(PATTERN), case.blocks, None);
        assert_eq!(rig.run(&fill).status(), Status::SUCCESS);
        assert!(case.scattered.read(0, 7 * case.block) == expected, "blocks of {}", case.block);
    }
}

/// A fault of each operand, and what the record says of it.
#[test]
fn faults_name_the_operand_and_the_entries_that_are_done() {
    let rig = dsa3(FaultPlan::default());
    let case = Case::new(&[4, 0, 6, 1, 5], SglFormat::Index32, DataType::Int8, PAGE as u32);
    let gather = Descriptor::gather_copy(case.blocks, case.plain.dst(0), None);
    let said = |operand, write: bool, addr, entries: u16| {
        let status = if write { Status::PAGE_FAULT.with_write() } else { Status::PAGE_FAULT };
        (status, FaultInfo::new(operand), addr, entries, u32::from(entries) * PAGE as u32)
    };
    let says = |descriptor: &Descriptor| {
        let done = rig.run(descriptor);
        (done.status(), done.fault_info(), done.fault_addr(), done.sgl_completed(), done.bytes_completed())
    };
    case.scattered.cool(6 * PAGE, PAGE);
    assert_eq!(says(&gather), said(Operand::SRC, false, case.scattered.addr(6 * PAGE), 2));
    case.plain.cool(PAGE, PAGE);
    assert_eq!(says(&gather), said(Operand::DST, true, case.plain.addr(PAGE), 1));
    case.plain.write(PAGE, &[1]);
    let scatter = Descriptor::scatter_copy(case.plain.src(0), case.blocks, None);
    assert_eq!(says(&scatter), said(Operand::DST, true, case.scattered.addr(6 * PAGE), 2));
    let fill = Descriptor::scatter_fill(1, case.blocks, None);
    assert_eq!(says(&fill), said(Operand::DST, true, case.scattered.addr(6 * PAGE), 2));
    case.lists.cool(0, PAGE);
    assert_eq!(says(&fill), said(Operand::SCATTER_GATHER_LIST, false, case.lists.addr(0), 0));
}

#[test]
fn cold_blocks_are_resumed_by_entries() {
    let rig = dsa3(FaultPlan::default());
    let case = Case::new(&[4, 0, 6, 1, 5], SglFormat::Offset64, DataType::Int16, 3000);
    let all = 7 * case.block;
    let src = case.plain.read(0, case.len());
    case.scattered.cool(0, all);
    let scatter = Descriptor::scatter_copy(case.plain.src(0), case.blocks, None);
    let parts = parts(&rig, scatter, touch(&[&case.scattered], all));
    assert!(parts.len() > 5, "{} parts", parts.len());
    assert!(case.gathered() == src, "what was scattered is not there");
}

/// The device asks for the pages itself.
#[test]
fn block_on_fault_needs_no_resuming() {
    let rig = dsa3(FaultPlan::default());
    let case = Case::new(&[4, 0, 6, 1, 5], SglFormat::Index64, DataType::Int16, 3000);
    case.scattered.cool(0, 7 * case.block);
    let fill = Descriptor::scatter_fill(u64::from_le_bytes(PATTERN), case.blocks, None).with_block_on_fault();
    assert_eq!(rig.run(&fill).status(), Status::SUCCESS);
    assert!(
        case.gathered()
            .chunks(case.block)
            .all(|block| (0..case.block).all(|at| block[at] == PATTERN[at % 8]))
    );
}

#[test]
fn copies_stopped_anywhere_give_what_one_in_one_piece_gives() {
    for seed in 0..10 {
        let rig = dsa3(FaultPlan::seeded(seed).stop_at(StopAt::Random).noise());
        let order: Vec<_> = (0..40).map(|entry| (entry * 7 + seed) % 40).collect();
        let case = Case::new(&order, SglFormat::Index32, DataType::Int32, 33);
        let gather = Descriptor::gather_copy(case.blocks, case.plain.dst(0), None);
        assert!(parts(&rig, gather, |_| {}).len() > 1, "seed {seed}");
        assert!(case.plain.read(0, case.len()) == case.gathered(), "seed {seed}");
    }
}

/// One block larger than what the device looks at at once.
#[test]
fn block_may_be_as_large_as_a_transfer() {
    const LEN: usize = 5 << 20;
    let queue = QueueConfig { transfer_bytes_max: 8 << 20, ..QueueConfig::default() };
    let rig = Rig::new(DeviceConfig { version: Version::V3, queues: vec![queue], ..DeviceConfig::default() });
    let case = Case::new(&[0], SglFormat::Index32, DataType::Int8, LEN as u32);
    let gather = Descriptor::gather_copy(case.blocks, case.plain.dst(0), None);
    assert_eq!(rig.run(&gather).status(), Status::SUCCESS);
    assert!(case.plain.read(0, LEN) == case.gathered());
}

#[test]
fn each_refusal_has_its_status() {
    let queue = QueueConfig { transfer_bytes_max: 4096, ..QueueConfig::default() };
    let rig = Rig::new(DeviceConfig { version: Version::V3, queues: vec![queue], ..DeviceConfig::default() });
    let memory = Memory::warm(4 * PAGE);
    let list =
        |entries| Sgl { addr: memory.src(0), entries, format: SglFormat::Index32, base: memory.addr(PAGE) };
    let gather = |entries, count, dst: DstAddr| {
        Descriptor::gather_copy(Blocks::new(list(entries), DataType::Int32, count).unwrap(), dst, None)
    };
    let (src, dst) = (SrcAddr(memory.addr(2 * PAGE)), memory.dst(2 * PAGE));
    let fine = gather(4, 8, dst);
    let poked = |at: usize, byte: u8| {
        let mut bytes = *fine.as_bytes();
        bytes[at] = byte;
        Descriptor::from_bytes(bytes)
    };
    let fill = Descriptor::scatter_fill(1, Blocks::new(list(1), DataType::Int8, 8).unwrap(), None);
    let scatter = Descriptor::scatter_copy(src, Blocks::new(list(1), DataType::Int8, 8).unwrap(), None);
    assert_eq!(rig.run(&fine).status(), Status::SUCCESS);
    let cases = [
        (gather(5, 205, dst), Status::TRANSFER_SIZE),
        // The size is not the sum; the count is 0.
        (poked(32, 127), Status::TRANSFER_SIZE),
        (poked(40, 9), Status::TRANSFER_SIZE),
        (poked(40, 0), Status::TRANSFER_SIZE),
        (poked(44, 0), Status::DESCRIPTOR_COUNT),
        (poked(45, 0x80), Status::DESCRIPTOR_COUNT),
        (poked(59, 0), Status::UNSUPPORTED_VALUE),
        (poked(59, 0xf0), Status::UNSUPPORTED_VALUE),
        (poked(56, 10), Status::UNSUPPORTED_VALUE),
        (poked(56, 0x12), Status::RESERVED_NOT_ZERO),
        (poked(58, 1), Status::RESERVED_NOT_ZERO),
        (poked(60, 1), Status::RESERVED_NOT_ZERO),
        (gather(4, 8, memory.dst(15)), Status::OVERLAPPING_BUFFERS),
        (fine.with_flags(Flags::CHECK_RESULT), Status::INVALID_FLAGS),
        (fill.with_flags(Flags::ADDR1_TC), Status::INVALID_FLAGS),
        (fill.with_flags(Flags::ALTERNATE_SRC_PASID), Status::INVALID_FLAGS),
        (fill.with_flags(Flags::PATTERN_16), Status::INVALID_FLAGS),
        (scatter.with_flags(Flags::PATTERN_16), Status::INVALID_FLAGS),
    ];
    for (number, (descriptor, status)) in cases.into_iter().enumerate() {
        assert_eq!(rig.run(&descriptor).status(), status, "case {number}: {descriptor:?}");
    }
}
