//! Numeric and scatter-gather operations: elements, entries, and blocks that were begun.

use idxd_spec::{
    Blocks, Completion, DataType, Descriptor, Exceptions, GatherReduce, IntegerCompute, IntegerType,
    Integers, Opcode, Reason, Reduce, Reduction, Resume, Sgl, SglFormat, Status, TypeConversion, resume,
};
use proptest::prelude::*;

use crate::device::{BASE, Memory};
use crate::{both, dst, fault, memory, src, stops};

/// Where lists are: behind all data.
const LIST: u64 = 14 << 10;

fn integer() -> impl Strategy<Value = IntegerType> {
    prop_oneof![
        Just(IntegerType::Int8),
        Just(IntegerType::Int16),
        Just(IntegerType::Int32),
        Just(IntegerType::Int64)
    ]
}

fn integers() -> impl Strategy<Value = Integers> {
    (integer(), integer(), any::<bool>()).prop_map(|(input, output, signed)| match signed {
        true => Integers::signed(input, output),
        false => Integers::unsigned(input, output),
    })
}

fn data_type() -> impl Strategy<Value = DataType> {
    integer().prop_map(IntegerType::data_type)
}

/// The exceptions of all parts.
fn exceptions(records: &[(Descriptor, Completion)]) -> Exceptions {
    records.iter().fold(Exceptions::empty(), |all, (_, done)| all | done.exceptions())
}

/// A list over the first 8 KiB whose buffers do not overlap, in no order, and the blocks it makes.
fn blocks() -> impl Strategy<Value = (Vec<u64>, Sgl, DataType, u32)> {
    let format = prop_oneof![Just(SglFormat::Offset64), Just(SglFormat::Index32), Just(SglFormat::Index64)];
    (format, data_type(), 1..16u32, 1..20u16, any::<u64>()).prop_map(
        |(format, data_type, count, entries, seed)| {
            let block = u64::from(count * data_type.size());
            let unit = if format == SglFormat::Offset64 { block } else { 1 };
            let turned = |entry: u16| (u64::from(entry) * 7 + seed % 20) % 20;
            let list = (0..entries).map(|entry| turned(entry) * unit).collect();
            (list, Sgl { addr: src(LIST), entries, format, base: BASE + 5 }, data_type, count)
        },
    )
}

fn with_list(memory: &Memory, list: &[u64], format: SglFormat) -> Memory {
    let mut memory = memory.clone();
    let size = format.entry_size();
    for (entry, at) in list.iter().zip((0..).step_by(size as usize)) {
        memory.slice_mut(BASE + LIST + at, size).copy_from_slice(&entry.to_le_bytes()[..size as usize]);
    }
    memory
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn type_conversion_resumes(memory in memory(), integers in integers(), count in 1..500u32, stops in stops()) {
        let conversion = TypeConversion {
            src_addr: src(8), dst_addr: dst(8192), element_count: count, numbers: integers.into(), alternate: None,
        };
        let (_, at_once, records) = both(&memory, Descriptor::type_conversion(conversion), &stops);
        prop_assert_eq!(exceptions(&records), at_once.exceptions());
    }

    #[test]
    fn type_conversion_in_place_resumes(memory in memory(), integer in integer(), count in 1..500u32, stops in stops()) {
        let conversion = TypeConversion {
            src_addr: src(8), dst_addr: dst(8), element_count: count,
            numbers: Integers::signed(integer, integer).into(), alternate: None,
        };
        both(&memory, Descriptor::type_conversion(conversion), &stops);
    }

    #[test]
    fn reduce_resumes(
        memory in memory(), integers in integers(), count in 1..400u32, dualcast: bool, onto_source: bool,
        stops in stops(),
    ) {
        let in_place = onto_source && integers_are_equal(integers);
        let reduce = Reduce {
            src1_addr: src(0), src2_addr: src(3200), dst_addr: dst(if in_place { 3200 } else { 6400 }),
            element_count: count, reduction: Reduction::integers(IntegerCompute::Add, integers), negate_src2: false,
            domains: None,
        };
        let descriptor = match dualcast {
            true => Descriptor::reduce_dualcast(reduce, dst(9600)),
            false => Descriptor::reduce(reduce),
        };
        let (_, at_once, records) = both(&memory, descriptor, &stops);
        prop_assert_eq!(exceptions(&records), at_once.exceptions());
    }

    #[test]
    fn gather_copy_resumes(memory in memory(), (list, sgl, data_type, count) in blocks(), stops in stops()) {
        let memory = with_list(&memory, &list, sgl.format);
        let blocks = Blocks::new(sgl, data_type, count).unwrap();
        both(&memory, Descriptor::gather_copy(blocks, dst(8192), None), &stops);
    }

    #[test]
    fn scatter_copy_resumes(memory in memory(), (list, sgl, data_type, count) in blocks(), stops in stops()) {
        let memory = with_list(&memory, &list, sgl.format);
        let blocks = Blocks::new(sgl, data_type, count).unwrap();
        both(&memory, Descriptor::scatter_copy(src(8192), blocks, None), &stops);
    }

    #[test]
    fn scatter_fill_resumes(memory in memory(), (list, sgl, data_type, count) in blocks(), pattern: u64, stops in stops()) {
        let memory = with_list(&memory, &list, sgl.format);
        let blocks = Blocks::new(sgl, data_type, count).unwrap();
        both(&memory, Descriptor::scatter_fill(pattern, blocks, None), &stops);
    }

    /// It is run again from the start, whatever the record says was done.
    #[test]
    fn gather_reduce_restarts(memory in memory(), (list, sgl, _, count) in blocks(), stops in stops()) {
        let memory = with_list(&memory, &list, sgl.format);
        let bytes = Integers::unsigned(IntegerType::Int8, IntegerType::Int8);
        let gather = GatherReduce {
            list: sgl, dst_addr: dst(8192), element_count: count,
            reduction: Reduction::integers(IntegerCompute::Add, bytes),
        };
        let (_, _, records) = both(&memory, Descriptor::gather_reduce(gather), &stops);
        let (first, _) = records[0];
        prop_assert!(records.iter().all(|(descriptor, _)| *descriptor == first));
    }
}

fn integers_are_equal(integers: Integers) -> bool {
    let numbers = idxd_spec::Numbers::from(integers);
    numbers.input() == numbers.output()
}

fn list_of(entries: u16) -> Descriptor {
    let sgl = Sgl { addr: src(LIST), entries, format: SglFormat::Index32, base: BASE };
    Descriptor::gather_copy(Blocks::new(sgl, DataType::Int32, 25).unwrap(), dst(0), None)
}

/// 100 bytes a block: the bytes must end in the block behind the entries.
#[test]
fn entries_and_bytes_that_do_not_go_together_are_refused() {
    let gather = list_of(10);
    let refused = |entries, bytes| {
        let reason = Reason::SglCompleted { entries, bytes };
        assert_eq!(resume(&gather, &fault(bytes).with_sgl_completed(entries)), Resume::Impossible(reason));
    };
    refused(3, 299);
    refused(3, 401);
    refused(0, 101);
    let rest = list_of(7);
    for bytes in [300, 350, 400] {
        let Resume::Rest(found) = resume(&gather, &fault(bytes).with_sgl_completed(3)) else {
            panic!("no rest")
        };
        assert_eq!((found.sgl_addr(), found.dst_addr()), (BASE + LIST + 12, BASE + 300));
        assert_eq!((found.sgl_size(), found.xfer_size()), (rest.sgl_size(), rest.xfer_size()));
    }
    assert_eq!(resume(&gather, &fault(50)), Resume::Whole);
    let reason = Reason::Completed { completed: 11, asked: 10 };
    assert_eq!(resume(&gather, &fault(1000).with_sgl_completed(11)), Resume::Impossible(reason));
}

#[test]
fn elements_are_not_divided() {
    let conversion = TypeConversion {
        src_addr: src(0),
        dst_addr: dst(8192),
        element_count: 100,
        numbers: Integers::unsigned(IntegerType::Int32, IntegerType::Int8).into(),
        alternate: None,
    };
    let descriptor = Descriptor::type_conversion(conversion);
    assert_eq!(resume(&descriptor, &fault(6)), Resume::Impossible(Reason::Granularity(6)));
    assert_eq!(resume(&descriptor, &fault(400)), Resume::Finished);
    let reason = Reason::Completed { completed: 404, asked: 400 };
    assert_eq!(resume(&descriptor, &fault(404)), Resume::Impossible(reason));
    let Resume::Rest(rest) = resume(&descriptor, &fault(40)) else { panic!("no rest") };
    assert_eq!((rest.src_addr(), rest.dst_addr(), rest.element_count()), (BASE + 40, BASE + 8192 + 10, 90));
}

#[test]
fn reserved_data_type_is_not_resumed() {
    let mut bytes = [0; 64];
    (bytes[7], bytes[56], bytes[32]) = (Opcode::REDUCE.0, 0xa0, 9);
    let done = Completion::new(Status::PAGE_FAULT).with_bytes_completed(4);
    assert_eq!(resume(&Descriptor::from_bytes(bytes), &done), Resume::Impossible(Reason::DataType(0xa0)));
}
