//! Numbers, and blocks that lie anywhere. The oracles are loops over integers.

use svala::{
    BlockList, Compute, Conversion, IoBuf, NumberExceptions, NumberFlags, NumberType, Operation, Path,
    Reduction,
};

use super::shapes;
use crate::support::{Faults, PAGE, Setup, State, noise};

fn numbers(input: NumberType, output: NumberType) -> Conversion {
    Conversion::new(input, output).expect("of one class")
}

fn wide_sum() -> Reduction {
    Reduction::new(Compute::Add, numbers(NumberType::I32, NumberType::I64)).expect("there are sums")
}

fn words(bytes: &[u8]) -> impl Iterator<Item = i32> {
    bytes.chunks_exact(4).map(|word| i32::from_le_bytes(word.try_into().expect("four bytes")))
}

/// Whoever was asked did it, and nobody else.
fn by_whom(setup: &Setup, path: Path) {
    let by_device = matches!(path, Path::Emulated { .. } | Path::Hardware { .. });
    assert_eq!(by_device, setup.faults != Faults::OfTheCpu, "{path}");
}

pub(crate) fn convert(setup: &Setup) {
    let saturating = numbers(NumberType::I32, NumberType::I16).treated(NumberFlags::SATURATE);
    for count in shapes::units(setup, 4, 1 << 20) {
        // One number that does not fit, in the first part: what the later parts say must not hide it.
        let mut src: Vec<u8> = noise(2 * count, 3)
            .chunks_exact(2)
            .flat_map(|half| i32::from(i16::from_le_bytes([half[0], half[1]])).to_le_bytes())
            .collect();
        for overflows in [false, true] {
            if overflows {
                src[..4].copy_from_slice(&i32::MIN.to_le_bytes());
            }
            let limits = (i32::from(i16::MIN), i32::from(i16::MAX));
            let expected: Vec<u8> = words(&src)
                .flat_map(|word| <[u8; 2]>::try_from(&word.clamp(limits.0, limits.1).to_le_bytes()[..2]))
                .flatten()
                .collect();
            let found = if overflows { NumberExceptions::OVERFLOW } else { NumberExceptions::empty() };
            for state in State::BOTH {
                let (from, to) = (state.source(&src, 64), state.destination(2 * count, 8));
                let done = setup.well(Operation::Convert, setup.runtime.convert(from, to, saturating));
                assert!(done.buffers.1.bytes() == expected, "{count} elements, {state:?}");
                assert_eq!((done.value, done.report.bytes), (found, 4 * count as u64), "{count} elements");
                by_whom(setup, done.report.path);
            }
        }
    }
}

pub(crate) fn reduce(setup: &Setup) {
    for count in shapes::units(setup, 4, 1 << 20) {
        let (a, b) = (noise(4 * count, 5), noise(4 * count, 7));
        let expected: Vec<u8> =
            words(&a).zip(words(&b)).flat_map(|(a, b)| (i64::from(a) + i64::from(b)).to_le_bytes()).collect();
        for state in State::BOTH {
            let dst = || state.destination(8 * count, 16);
            let (src, src2) = (state.source(&a, 4), state.source(&b, PAGE - 4));
            let done = setup.well(Operation::Reduce, setup.runtime.reduce(src, src2, dst(), wide_sum()));
            assert!(done.buffers.2.bytes() == expected, "{count} elements, {state:?}");
            by_whom(setup, done.report.path);
            // A slot has room for so much: no slices of the sources.
            let (src, src2) = (state.source(&a, 0).into_inner(), state.source(&b, 0).into_inner());
            let twice = setup.runtime.reduce_dualcast(src, src2, dst(), dst(), wide_sum());
            let done = setup.well(Operation::ReduceDualcast, twice);
            let (_, _, dst, dst2) = done.buffers;
            assert!(dst.bytes() == expected && dst2.bytes() == expected, "{count} elements, {state:?}");
            by_whom(setup, done.report.path);
        }
    }
}

/// Blocks of `block` bytes, apart, in no order, in a range of the answered length.
fn scattered(block: usize, count: usize, unit: usize) -> (BlockList, Vec<usize>, usize) {
    let stride = block + 3 * unit;
    let offsets: Vec<usize> = (0..count).map(|index| (index * 7 + 3) % count * stride + unit).collect();
    let list: Vec<u64> = offsets.iter().map(|offset| *offset as u64).collect();
    let list = BlockList::new(u32::try_from(block).expect("small"), list).expect("a list");
    (list, offsets, count * stride + 2 * unit)
}

pub(crate) fn gather_reduce(setup: &Setup) {
    // Vectors of a line, around what a block may have, and of many columns.
    for (elements, count) in [(1, 1), (16, 500), (512, 3), (513, 11), (20_000, 9)] {
        let (list, offsets, base_len) = scattered(4 * elements, count, 4);
        let base = noise(base_len, 11);
        let mut expected = vec![0_i64; elements];
        for offset in offsets {
            for (sum, word) in expected.iter_mut().zip(words(&base[offset..])) {
                *sum += i64::from(word);
            }
        }
        let expected: Vec<u8> = expected.into_iter().flat_map(i64::to_le_bytes).collect();
        for state in State::BOTH {
            let (from, to) = (state.source(&base, 8), state.destination(8 * elements, 8));
            let gather = setup.runtime.gather_reduce(from, list.clone(), to, wide_sum());
            let done = setup.well(Operation::GatherReduce, gather);
            assert!(done.buffers.2.bytes() == expected, "{count} of {elements}, {state:?}");
            by_whom(setup, done.report.path);
        }
    }
}

pub(crate) fn blocks(setup: &Setup) {
    let max = setup.transfer_bytes_max;
    // Bytes, pages, a block as long as a transfer and longer ones, more than a list has.
    for (block, count) in [(1, 1), (5, 40_000), (PAGE + 1, 33), (max, 3), (2 * max + 4097, 2)] {
        let (list, offsets, base_len) = scattered(block, count, 1);
        let base = noise(base_len, 13);
        let gathered: Vec<u8> =
            offsets.iter().flat_map(|offset| base[*offset..offset + block].to_vec()).collect();
        let pattern = 0x0123_4567_89ab_cdef_u64;
        for state in State::BOTH {
            let what = format!("{count} of {block}, {state:?}");
            let (from, to) = (state.source(&base, 1), state.destination(gathered.len(), 3));
            let gather = setup.runtime.gather_copy(from, list.clone(), to);
            let done = setup.well(Operation::GatherCopy, gather);
            assert!(done.buffers.2.bytes() == gathered, "{what}");
            by_whom(setup, done.report.path);

            let untouched = if state == State::Warm { 0xee } else { 0 };
            let mut scattered = vec![untouched; base_len];
            let mut filled = scattered.clone();
            for offset in &offsets {
                scattered[*offset..offset + block].copy_from_slice(&base[*offset..offset + block]);
                let cycle = pattern.to_le_bytes().into_iter().cycle();
                filled[*offset..offset + block].iter_mut().zip(cycle).for_each(|(to, from)| *to = from);
            }
            let (from, to) = (state.source(&gathered, 1), state.destination(base_len, 5));
            let scatter = setup.runtime.scatter_copy(from, to, list.clone());
            let done = setup.well(Operation::ScatterCopy, scatter);
            assert!(done.buffers.1.bytes() == scattered, "{what}");
            by_whom(setup, done.report.path);
            let fill = setup.runtime.scatter_fill(state.destination(base_len, 5), list.clone(), pattern);
            let done = setup.well(Operation::ScatterFill, fill);
            assert!(done.buffers.0.bytes() == filled, "{what}");
            by_whom(setup, done.report.path);
        }
    }
}
