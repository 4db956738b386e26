//! Numeric operations against straight loops, whole and in parts, and what the device refuses of them.

use idxd_emu::{DeviceConfig, FaultPlan, QueueConfig, StopAt, Version};
use idxd_spec::{
    Descriptor, DstAddr, Exceptions, FaultInfo, Flags, FloatCompute, FloatConversion, FloatType, Floats,
    GatherReduce, IntegerCompute, IntegerType, Integers, Operand, Reduce, Reduction, Rounding, Sgl,
    SglFormat, SrcAddr, Status, TypeConversion,
};

use crate::driver::{parts, run_with_resume, touch};
use crate::support::{Memory, PAGE, Rig, bytes};

/// Element counts around pages, buffers and blocks.
const COUNTS: [usize; 8] = [1, 7, 127, 128, 1023, 1024, 1025, 40_000];

pub(crate) fn dsa3(plan: FaultPlan) -> Rig {
    Rig::new(DeviceConfig { version: Version::V3, plan, ..DeviceConfig::default() })
}

fn floats(len: usize, seed: u64) -> Vec<f32> {
    bytes(2 * len, seed).chunks_exact(2).map(|pair| f32::from(pair[0]) * 0.37 - f32::from(pair[1])).collect()
}

fn le<const N: usize, T: Copy>(values: &[T], to_bytes: impl Fn(T) -> [u8; N]) -> Vec<u8> {
    values.iter().flat_map(|value| to_bytes(*value)).collect()
}

fn conversion(
    src: SrcAddr,
    dst: DstAddr,
    count: usize,
    numbers: impl Into<idxd_spec::Numbers>,
) -> Descriptor {
    Descriptor::type_conversion(TypeConversion {
        src_addr: src,
        dst_addr: dst,
        element_count: count as u32,
        numbers: numbers.into(),
        alternate: None,
    })
}

fn sum(src1: SrcAddr, src2: SrcAddr, dst: DstAddr, count: usize, reduction: Reduction) -> Reduce {
    Reduce {
        src1_addr: src1,
        src2_addr: src2,
        dst_addr: dst,
        element_count: count as u32,
        reduction,
        negate_src2: false,
        domains: None,
    }
}

const U8: Integers = Integers::unsigned(IntegerType::Int8, IntegerType::Int8);
const ADD_U8: Reduction = Reduction::integers(IntegerCompute::Add, U8);
const ADD_F32: Reduction = Reduction::floats(FloatCompute::Add, Floats::of(FloatType::Fp32));

#[test]
fn signed_integers_widen_as_a_loop_does() {
    let rig = dsa3(FaultPlan::default());
    for count in COUNTS {
        let data = bytes(count, count as u64);
        let (src, dst) = (Memory::with(&data), Memory::warm(4 * count));
        let numbers = Integers::signed(IntegerType::Int8, IntegerType::Int32);
        let completion = rig.run(&conversion(src.src(0), dst.dst(0), count, numbers));
        assert_eq!((completion.status(), completion.result()), (Status::SUCCESS, 0), "{count}");
        let expected: Vec<i32> = data.iter().map(|byte| i32::from(byte.cast_signed())).collect();
        assert!(dst.read(0, 4 * count) == le(&expected, i32::to_le_bytes), "{count} elements");
    }
}

/// Without rounding to nearest, which would need an oracle of its own: towards zero it is the upper half.
#[test]
fn single_precision_narrows_to_bf16_as_a_loop_does() {
    let rig = dsa3(FaultPlan::default());
    for count in COUNTS {
        let values = floats(count, 3);
        let (src, dst) = (Memory::with(&le(&values, f32::to_le_bytes)), Memory::warm(2 * count));
        let numbers = Floats::converted(FloatConversion::FP32_TO_BF16).rounded(Rounding::TowardZero);
        assert_eq!(rig.run(&conversion(src.src(0), dst.dst(0), count, numbers)).status(), Status::SUCCESS);
        let expected: Vec<u16> = values.iter().map(|value| (value.to_bits() >> 16) as u16).collect();
        assert!(dst.read(0, 2 * count) == le(&expected, u16::to_le_bytes), "{count} elements");
    }
}

#[test]
fn sums_are_those_of_a_loop() {
    let rig = dsa3(FaultPlan::default());
    for count in COUNTS {
        let (a, b) = (bytes(count, 1), bytes(count, 2));
        let (src1, src2, dst) = (Memory::with(&a), Memory::with(&b), Memory::warm(count));
        let completion =
            rig.run(&Descriptor::reduce(sum(src1.src(0), src2.src(0), dst.dst(0), count, ADD_U8)));
        let expected: Vec<u8> = a.iter().zip(&b).map(|(a, b)| a.wrapping_add(*b)).collect();
        assert!(dst.read(0, count) == expected, "{count} bytes");
        let overflows = a.iter().zip(&b).any(|(a, b)| a.checked_add(*b).is_none());
        let exceptions = if overflows { Exceptions::OVERFLOW } else { Exceptions::empty() };
        assert_eq!((completion.status(), completion.exceptions()), (Status::SUCCESS, exceptions), "{count}");

        let (a, b) = (floats(count, 3), floats(count, 4));
        let (src1, src2) = (Memory::with(&le(&a, f32::to_le_bytes)), Memory::with(&le(&b, f32::to_le_bytes)));
        let dst = Memory::warm(4 * count);
        rig.run(&Descriptor::reduce(sum(src1.src(0), src2.src(0), dst.dst(0), count, ADD_F32)));
        let expected: Vec<f32> = a.iter().zip(&b).map(|(a, b)| a + b).collect();
        assert!(dst.read(0, 4 * count) == le(&expected, f32::to_le_bytes), "{count} floats");
    }
}

#[test]
fn dualcast_writes_both_destinations_and_source_2_can_be_negated() {
    let rig = dsa3(FaultPlan::default());
    let (a, b) = (floats(3000, 5), floats(3000, 6));
    let (src1, src2) = (Memory::with(&le(&a, f32::to_le_bytes)), Memory::with(&le(&b, f32::to_le_bytes)));
    let (dst1, dst2) = (Memory::warm(4 * PAGE), Memory::warm(4 * PAGE));
    let reduce = Reduce { negate_src2: true, ..sum(src1.src(0), src2.src(0), dst1.dst(64), 3000, ADD_F32) };
    let descriptor = Descriptor::reduce_dualcast(reduce, dst2.dst(64)).with_flags(Flags::DST2_TC);
    assert_eq!(rig.run(&descriptor).status(), Status::SUCCESS);
    let expected: Vec<f32> = a.iter().zip(&b).map(|(a, b)| a - b).collect();
    let expected = le(&expected, f32::to_le_bytes);
    assert!(dst1.read(64, 12_000) == expected && dst2.read(64, 12_000) == expected);
}

#[test]
fn destination_may_be_a_source_of_the_same_type() {
    let rig = dsa3(FaultPlan::default());
    let data = bytes(5000, 7);
    let memory = Memory::with(&data);
    let reduce = sum(memory.src(0), memory.src(0), memory.dst(0), 5000, ADD_U8);
    assert_eq!(rig.run(&Descriptor::reduce(reduce)).status(), Status::SUCCESS);
    let doubled: Vec<u8> = data.iter().map(|byte| byte.wrapping_mul(2)).collect();
    assert!(memory.read(0, 5000) == doubled);
}

/// Exceptions are in the result, and in the status if that is asked for.
#[test]
fn exceptions_are_reported() {
    let rig = dsa3(FaultPlan::default());
    let run = |value: f32, other: f32| {
        let (src, dst) = (Memory::with(&le(&[value, other], f32::to_le_bytes)), Memory::warm(4));
        let reduce = sum(src.src(0), src.src(4), dst.dst(0), 1, ADD_F32);
        let checked = rig.run(&Descriptor::reduce(reduce).with_exceptions_checked());
        assert_eq!(rig.run(&Descriptor::reduce(reduce)).status(), Status::SUCCESS);
        (checked.status(), checked.exceptions())
    };
    let denormal = f32::from_bits(1);
    assert_eq!(run(1.0, 2.0), (Status::SUCCESS, Exceptions::empty()));
    for (value, other, exceptions) in [
        (f32::NAN, 1.0, Exceptions::INVALID),
        (f32::INFINITY, f32::NEG_INFINITY, Exceptions::INVALID),
        (f32::MAX, f32::MAX, Exceptions::OVERFLOW),
        (denormal, 1.0, Exceptions::DENORMAL),
        (f32::MIN_POSITIVE, -1.5 * f32::MIN_POSITIVE, Exceptions::UNDERFLOW),
        (denormal, denormal, Exceptions::DENORMAL | Exceptions::UNDERFLOW),
    ] {
        assert_eq!(run(value, other), (Status::SUCCESS_PREDICATE_FALSE, exceptions), "{value:e} + {other:e}");
    }
}

/// Every page of both operands is missing at first.
#[test]
fn conversion_of_cold_pages_goes_on_by_elements() {
    let rig = dsa3(FaultPlan::default());
    const COUNT: usize = 3 * PAGE;
    let (src, dst) = (Memory::cold(COUNT), Memory::cold(4 * COUNT));
    let numbers = Integers::unsigned(IntegerType::Int8, IntegerType::Int32);
    let descriptor = conversion(src.src(0), dst.dst(0), COUNT, numbers);
    let (completion, count) = run_with_resume(&rig, descriptor, touch(&[&src, &dst], 4 * COUNT));
    assert_eq!((completion.status(), count), (Status::SUCCESS, 3 + 12 + 1));
    let data = bytes(COUNT, 8);
    src.write(0, &data);
    dst.cool(PAGE, 2 * PAGE);
    src.cool(PAGE, PAGE);
    src.write(0, &data[..PAGE]);
    run_with_resume(&rig, descriptor, touch(&[&src, &dst], 4 * COUNT));
    let mut expected = data;
    expected[PAGE..2 * PAGE].fill(0);
    let expected: Vec<u32> = expected.into_iter().map(u32::from).collect();
    assert!(dst.read(0, 4 * COUNT) == le(&expected, u32::to_le_bytes));
}

/// In place, where doing an element twice would show.
#[test]
fn reduction_stopped_anywhere_gives_what_one_in_one_piece_gives() {
    for seed in 0..20 {
        let rig = dsa3(FaultPlan::seeded(seed).stop_at(StopAt::Random).noise());
        let (a, b) = (bytes(3000, seed), bytes(3000, seed + 50));
        let (src, dst) = (Memory::with(&a), Memory::with(&b));
        let narrow = Reduction::integers(
            IntegerCompute::Add,
            Integers::signed(IntegerType::Int16, IntegerType::Int16),
        );
        let reduce = sum(src.src(0), dst.src(0), dst.dst(0), 1500, narrow);
        let parts = parts(&rig, Descriptor::reduce(reduce), |_| {});
        let word = |bytes: &[u8], at: usize| i16::from_le_bytes([bytes[at], bytes[at + 1]]);
        let sums: Vec<i16> = (0..1500).map(|at| word(&a, 2 * at).wrapping_add(word(&b, 2 * at))).collect();
        assert!(dst.read(0, 3000) == le(&sums, i16::to_le_bytes), "seed {seed}");
        let overflows = (0..1500).any(|at| word(&a, 2 * at).checked_add(word(&b, 2 * at)).is_none());
        let reported = parts.iter().fold(Exceptions::empty(), |all, (_, done)| all | done.exceptions());
        assert_eq!(reported.contains(Exceptions::OVERFLOW), overflows, "seed {seed}");
        assert!(parts.len() > 1, "seed {seed}");
    }
}

/// A list of vectors in memory: `offset` bytes from the start of each.
fn list(memory: &Memory, at: usize, entries: &[u64], format: SglFormat, base: u64) -> Sgl {
    for (index, entry) in entries.iter().enumerate() {
        let size = format.entry_size() as usize;
        memory.write(at + index * size, &entry.to_le_bytes()[..size]);
    }
    Sgl { addr: memory.src(at), entries: entries.len() as u16, format, base }
}

#[test]
fn gather_reduce_adds_vectors_in_order() {
    let rig = dsa3(FaultPlan::default());
    let values = floats(8 * 500, 9);
    let (vectors, lists) = (Memory::with(&le(&values, f32::to_le_bytes)), Memory::warm(PAGE));
    let dst = Memory::warm(PAGE);
    let order = [3, 0, 7, 7, 2];
    let mut expected: Vec<f32> = values[3 * 500..4 * 500].to_vec();
    for vector in &order[1..] {
        let next = &values[vector * 500..][..500];
        expected.iter_mut().zip(next).for_each(|(sum, value)| *sum += value);
    }
    for format in SglFormat::ALL {
        let unit = if format == SglFormat::Offset64 { 2000 } else { 1 };
        let entries: Vec<_> = order.iter().map(|vector| *vector as u64 * unit).collect();
        let list = list(&lists, 24, &entries, format, vectors.addr(0));
        let gather = GatherReduce { list, dst_addr: dst.dst(8), element_count: 500, reduction: ADD_F32 };
        let completion = rig.run(&Descriptor::gather_reduce(gather));
        assert_eq!((completion.status(), completion.bytes_completed()), (Status::SUCCESS, 0), "{format:?}");
        assert!(dst.read(8, 2000) == le(&expected, f32::to_le_bytes), "{format:?}");
        dst.write(0, &[0; PAGE]);
    }
}

#[test]
fn gather_reduce_begins_again_after_every_fault() {
    let rig = dsa3(FaultPlan::default());
    let (vectors, lists, dst) = (Memory::cold(4 * PAGE), Memory::warm(PAGE), Memory::cold(PAGE));
    let list = list(&lists, 0, &[0, 1, 2, 3], SglFormat::Index32, vectors.addr(0));
    let gather = GatherReduce { list, dst_addr: dst.dst(0), element_count: PAGE as u32, reduction: ADD_U8 };
    let descriptor = Descriptor::gather_reduce(gather);
    let parts = parts(&rig, descriptor, |done| {
        assert_eq!(done.bytes_completed(), 0);
        touch(&[&vectors, &dst], 4 * PAGE)(done);
    });
    let processed: Vec<_> = parts.iter().map(|(_, done)| done.sgl_completed()).collect();
    assert_eq!(processed, [0, 1, 2, 3, 4, 0]);
    assert!(parts.iter().all(|(submitted, _)| *submitted == descriptor));
    assert_eq!(parts[4].1.fault_info(), FaultInfo::new(Operand::DST));
}

fn strict() -> Rig {
    let queue = QueueConfig { transfer_bytes_max: 8192, ..QueueConfig::default() };
    Rig::new(DeviceConfig { version: Version::V3, queues: vec![queue], ..DeviceConfig::default() })
}

fn poked(descriptor: Descriptor, at: usize, byte: u8) -> Descriptor {
    let mut bytes = *descriptor.as_bytes();
    bytes[at] = byte;
    Descriptor::from_bytes(bytes)
}

#[test]
fn each_refusal_has_its_status() {
    let rig = strict();
    let memory = Memory::warm(8 * PAGE);
    let (src, dst) = (memory.src(0), memory.dst(4 * PAGE));
    let singles = |count| conversion(src, dst, count, Floats::of(FloatType::Fp32));
    let ints = |count| conversion(src, dst, count, Integers::signed(IntegerType::Int32, IntegerType::Int32));
    let reduce = |src1, dst| Descriptor::reduce(sum(src1, memory.src(2 * PAGE), dst, 16, ADD_F32));
    let dualcast = |dst2| Descriptor::reduce_dualcast(sum(src, src, dst, 16, ADD_F32), dst2);
    let gather = |entries, element_count, base, format| {
        let list = Sgl { addr: memory.src(PAGE), entries, format, base: memory.addr(2 * PAGE) + base };
        Descriptor::gather_reduce(GatherReduce { list, dst_addr: dst, element_count, reduction: ADD_F32 })
    };
    let list =
        Sgl { addr: memory.src(PAGE), entries: 2, format: SglFormat::Index64, base: memory.addr(2 * PAGE) };
    let onto_list = Descriptor::gather_reduce(GatherReduce {
        list,
        dst_addr: memory.dst(PAGE + 12),
        element_count: 8,
        reduction: ADD_F32,
    });
    let unsupported = Status::UNSUPPORTED_VALUE;
    let cases = [
        (singles(0), Status::TRANSFER_SIZE),
        (singles(2049), Status::TRANSFER_SIZE),
        (
            conversion(src, dst, 2049, Integers::unsigned(IntegerType::Int8, IntegerType::Int32)),
            Status::TRANSFER_SIZE,
        ),
        (
            conversion(src, dst, 2049, Integers::unsigned(IntegerType::Int32, IntegerType::Int8)),
            Status::TRANSFER_SIZE,
        ),
        // Data types: reserved, of two classes, a conversion that no device has.
        (poked(singles(8), 56, 0x8a), unsupported),
        (poked(singles(8), 56, 0xa8), unsupported),
        (poked(singles(8), 56, 0x82), unsupported),
        (poked(singles(8), 56, 0x69), unsupported),
        (poked(singles(8), 56, 0x54), unsupported),
        // Compute types: reserved, bitwise on floating-point numbers.
        (poked(reduce(src, dst), 57, 0), unsupported),
        (poked(reduce(src, dst), 57, 2), unsupported),
        (poked(reduce(src, dst), 57, 8), unsupported),
        (poked(reduce(src, dst), 57, 5), unsupported),
        // Compute flags: reserved, of the other class, negation of a source there is not.
        (poked(singles(8), 58, 0x20), unsupported),
        (poked(singles(8), 58, 0x08), unsupported),
        (poked(singles(8), 58, 0x10), unsupported),
        (poked(singles(8), 58, 0x04), unsupported),
        (poked(ints(8), 57, 0x40), unsupported),
        (poked(ints(8), 57, 0x80), unsupported),
        (poked(ints(8), 58, 0x09), unsupported),
        (poked(singles(8), 57, 0x20), unsupported),
        (poked(gather(2, 8, 0, SglFormat::Index32), 57, 0x21), unsupported),
        // Alignment, overlap.
        (conversion(memory.src(2), dst, 8, Floats::of(FloatType::Fp32)), Status::ALIGNMENT),
        (
            conversion(src, memory.dst(PAGE + 1), 8, Floats::converted(FloatConversion::FP32_TO_BF16)),
            Status::ALIGNMENT,
        ),
        (reduce(memory.src(1), dst), Status::ALIGNMENT),
        (reduce(src, memory.dst(2)), Status::ALIGNMENT),
        (conversion(src, memory.dst(4), 8, Floats::of(FloatType::Fp32)), Status::OVERLAPPING_BUFFERS),
        (
            conversion(src, memory.dst(0), 8, Floats::converted(FloatConversion::FP32_TO_BF16)),
            Status::OVERLAPPING_BUFFERS,
        ),
        (reduce(src, memory.dst(2 * PAGE + 4)), Status::OVERLAPPING_BUFFERS),
        (dualcast(memory.dst(5 * PAGE + 4)), Status::DUALCAST_ALIGNMENT),
        (dualcast(dst), Status::OVERLAPPING_BUFFERS),
        // Lists.
        (gather(0, 8, 0, SglFormat::Index32), Status::DESCRIPTOR_COUNT),
        (gather(0x8001, 8, 0, SglFormat::Index32), Status::DESCRIPTOR_COUNT),
        (poked(gather(2, 8, 0, SglFormat::Index32), 59, 0), unsupported),
        (poked(gather(2, 8, 0, SglFormat::Index32), 59, 0x40), unsupported),
        (gather(1, 1025, 0, SglFormat::Index32), Status::TRANSFER_SIZE),
        (gather(3, 1024, 0, SglFormat::Index32), Status::TRANSFER_SIZE),
        (gather(2, 0, 0, SglFormat::Index32), Status::TRANSFER_SIZE),
        (gather(2, 8, 2, SglFormat::Offset64), Status::ALIGNMENT),
        // Four bytes of the list are the first of the destination.
        (onto_list, Status::OVERLAPPING_BUFFERS),
        // Flags and reserved bytes.
        (singles(8).with_flags(Flags::ADDR3_TC), Status::INVALID_FLAGS),
        (poked(reduce(src, dst), 6, 2), Status::INVALID_FLAGS),
        (gather(2, 8, 0, SglFormat::Index32).with_flags(Flags::ALTERNATE_SRC_PASID), Status::INVALID_FLAGS),
        (poked(singles(8), 59, 1), Status::RESERVED_NOT_ZERO),
        (poked(singles(8), 57, 1), Status::RESERVED_NOT_ZERO),
        (poked(singles(8), 60, 1), Status::RESERVED_NOT_ZERO),
        (poked(reduce(src, dst), 59, 1), Status::RESERVED_NOT_ZERO),
        (poked(gather(2, 8, 0, SglFormat::Index32), 59, 0x21), Status::RESERVED_NOT_ZERO),
    ];
    for (number, (descriptor, status)) in cases.into_iter().enumerate() {
        assert_eq!(rig.run(&descriptor).status(), status, "case {number}: {descriptor:?}");
    }
    assert!(memory.read(0, 8 * PAGE) == vec![0; 8 * PAGE], "something was written");
}

/// The largest that are let through, next to those that are refused above.
#[test]
fn limits_are_where_the_refusals_begin() {
    let rig = strict();
    let memory = Memory::warm(16 * PAGE);
    let singles = conversion(memory.src(0), memory.dst(4 * PAGE), 2048, Floats::of(FloatType::Fp32));
    assert_eq!(rig.run(&singles).status(), Status::SUCCESS);
    let list =
        Sgl { addr: memory.src(PAGE), entries: 2, format: SglFormat::Index32, base: memory.addr(2 * PAGE) };
    let gather =
        GatherReduce { list, dst_addr: memory.dst(8 * PAGE), element_count: 1024, reduction: ADD_F32 };
    assert_eq!(rig.run(&Descriptor::gather_reduce(gather)).status(), Status::SUCCESS);
}

#[test]
fn result_without_a_requested_record_is_invalid() {
    let rig = strict();
    let memory = Memory::warm(PAGE);
    let descriptor = conversion(memory.src(0), memory.dst(64), 4, Floats::of(FloatType::Fp32));
    rig.submit(&descriptor.with_completion_on_error(rig.record(0)));
    let completion = rig.completion(0);
    assert_eq!(
        (completion.status(), completion.invalid_flags()),
        (Status::INVALID_FLAGS, Flags::REQUEST_COMPLETION)
    );
}

#[test]
fn earlier_versions_know_nothing_of_it() {
    let memory = Memory::warm(PAGE);
    let numeric = conversion(memory.src(0), memory.dst(64), 4, Floats::of(FloatType::Fp32));
    let batch = Descriptor::batch(memory.src(0), 1);
    for version in [Version::V1, Version::V2, Version::V3] {
        let rig = Rig::new(DeviceConfig { version, ..DeviceConfig::default() });
        let is_known = version == Version::V3;
        for opcode in 0x18..=0x1e {
            let status = rig.run(&poked(numeric, 7, opcode)).status();
            assert_eq!(status != Status::BAD_OPCODE, is_known, "{version:?} {opcode:#x}");
        }
        let status = if is_known { Status::SUCCESS } else { Status::DESCRIPTOR_COUNT };
        assert_eq!(rig.run(&batch).status(), status, "batch of one on {version:?}");
    }
}
