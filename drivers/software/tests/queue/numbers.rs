//! Vectors of numbers and lists of blocks, against straight loops.

use svala::{
    BlockList, Compute, Conversion, Error, NumberExceptions, NumberFlags, NumberType, Reduction, Runtime,
};

use super::{INLINE_BYTES, never_inline, noise, runtime, runtime_with};

/// Elements: around the caller's thread or the workers, and pieces for many of them.
const COUNTS: [usize; 7] = [0, 1, 1023, 1025, INLINE_BYTES / 8 + 1, (1 << 20) + 1, 3_000_001];

fn on_both(test: impl Fn(&Runtime)) {
    for runtime in [runtime(), runtime_with(never_inline())] {
        test(&runtime);
        assert_eq!(runtime.shutdown().unanswered, 0);
    }
}

fn numbers(input: NumberType, output: NumberType) -> Conversion {
    Conversion::new(input, output).expect("of one class")
}

fn sum(input: NumberType, output: NumberType) -> Reduction {
    Reduction::new(Compute::Add, numbers(input, output)).expect("there are sums")
}

fn words(bytes: &[u8]) -> impl Iterator<Item = i32> {
    bytes.chunks_exact(4).map(|word| i32::from_le_bytes(word.try_into().expect("four bytes")))
}

#[test]
fn integers_wrap_or_saturate_when_they_become_narrower() {
    on_both(|runtime| {
        for count in COUNTS {
            let wrapping = numbers(NumberType::I32, NumberType::I16);
            let saturating = wrapping.treated(NumberFlags::SATURATE);
            let src = noise(4 * count);
            let mut overflows = false;
            let (mut wrapped, mut saturated) = (Vec::new(), Vec::new());
            for word in words(&src) {
                let clamped = word.clamp(i16::MIN.into(), i16::MAX.into());
                overflows |= clamped != word;
                wrapped.extend_from_slice(&word.to_le_bytes()[..2]);
                saturated.extend_from_slice(&clamped.to_le_bytes()[..2]);
            }
            let expected = if overflows { NumberExceptions::OVERFLOW } else { NumberExceptions::empty() };
            for (conversion, written) in [(wrapping, wrapped), (saturating, saturated)] {
                let done = runtime.convert(src.clone(), vec![0x5a_u8; 2 * count], conversion);
                let done = pollster::block_on(done).unwrap();
                assert!(done.buffers.1 == written, "{count} elements, {conversion:?}");
                assert_eq!((done.value, done.report.bytes), (expected, 4 * count as u64), "{count} elements");
            }
        }
    });
}

#[test]
fn sums_are_those_of_a_loop_in_one_place_and_in_two() {
    on_both(|runtime| {
        for count in COUNTS {
            let (a, mut b) = (noise(4 * count), noise(4 * count));
            b.reverse();
            let expected: Vec<u8> = words(&a)
                .zip(words(&b))
                .flat_map(|(a, b)| (i64::from(a) + i64::from(b)).to_le_bytes())
                .collect();
            let wide = sum(NumberType::I32, NumberType::I64);
            let done = runtime.reduce(a.clone(), b.clone(), vec![1_u8; 8 * count], wide);
            assert!(pollster::block_on(done).unwrap().buffers.2 == expected, "{count} elements");
            let (dst, dst2) = (vec![1_u8; 8 * count], vec![2_u8; 8 * count]);
            let done = pollster::block_on(runtime.reduce_dualcast(a, b, dst, dst2, wide)).unwrap();
            assert!(done.buffers.2 == expected && done.buffers.3 == expected, "{count} elements");
            assert_eq!(done.value, NumberExceptions::empty());
        }
    });
}

/// Blocks of `block` bytes in `base_len`, apart, in no order.
fn scattered(block: usize, count: usize, unit: usize) -> (BlockList, Vec<usize>, usize) {
    let stride = (block + 3 * unit).next_multiple_of(unit);
    let offsets: Vec<usize> = (0..count).map(|index| (index * 7 + 3) % count * stride + unit).collect();
    let list: Vec<u64> = offsets.iter().map(|offset| *offset as u64).collect();
    let list = BlockList::new(u32::try_from(block).expect("small"), list).expect("a list");
    (list, offsets, count * stride + 2 * unit)
}

#[test]
fn a_gathered_sum_is_that_of_a_loop() {
    on_both(|runtime| {
        for (elements, count) in [(1, 1), (3, 2), (1000, 50), (100_000, 11)] {
            let (list, offsets, base_len) = scattered(4 * elements, count, 4);
            let base = noise(base_len);
            let mut expected = vec![0_i64; elements];
            for offset in offsets {
                for (sum, word) in expected.iter_mut().zip(words(&base[offset..])) {
                    *sum += i64::from(word);
                }
            }
            let expected: Vec<u8> = expected.into_iter().flat_map(i64::to_le_bytes).collect();
            let reduction = sum(NumberType::I32, NumberType::I64);
            let done = runtime.gather_reduce(base, list, vec![7_u8; 8 * elements], reduction);
            assert!(pollster::block_on(done).unwrap().buffers.2 == expected, "{count} of {elements}");
        }
    });
}

#[test]
fn blocks_are_gathered_and_scattered_where_the_list_says() {
    on_both(|runtime| {
        for (block, count) in [(1, 1), (5, 100), (4096, 33), (INLINE_BYTES, 5)] {
            let (list, offsets, base_len) = scattered(block, count, 1);
            let base = noise(base_len);
            let expected: Vec<u8> =
                offsets.iter().flat_map(|offset| base[*offset..offset + block].to_vec()).collect();
            let done = runtime.gather_copy(base.clone(), list.clone(), vec![1_u8; block * count]);
            let done = pollster::block_on(done).unwrap();
            assert!(done.buffers.2 == expected, "{count} of {block}");
            assert_eq!(done.report.bytes, (block * count) as u64);

            let mut scattered = vec![0xee_u8; base_len];
            let mut filled = scattered.clone();
            let pattern = 0x0123_4567_89ab_cdef_u64;
            for offset in &offsets {
                scattered[*offset..offset + block].copy_from_slice(&base[*offset..offset + block]);
                let cycle = pattern.to_le_bytes().into_iter().cycle();
                filled[*offset..offset + block].iter_mut().zip(cycle).for_each(|(to, from)| *to = from);
            }
            let done = runtime.scatter_copy(expected, vec![0xee_u8; base_len], list.clone());
            assert!(pollster::block_on(done).unwrap().buffers.1 == scattered, "{count} of {block}");
            let done = runtime.scatter_fill(vec![0xee_u8; base_len], list, pattern);
            assert!(pollster::block_on(done).unwrap().buffers.0 == filled, "{count} of {block}");
        }
    });
}

#[test]
fn a_block_outside_its_buffer_is_refused_before_anything_is_written() {
    let runtime = runtime();
    for offset in [93, 1 << 40, u64::MAX - 7, u64::MAX] {
        let list = BlockList::new(8, vec![0, offset]).expect("a list");
        let failed = pollster::block_on(runtime.scatter_fill(vec![1_u8; 100], list.clone(), 0)).unwrap_err();
        let said = matches!(failed.error, Error::BlockOutside { index: 1, offset: at, bytes: 100, .. } if at == offset);
        assert!(said, "{}", failed.error);
        assert!(failed.buffers.expect("come back").0 == [1; 100]);
        let failed = runtime.scatter_copy(vec![0_u8; 16], vec![1_u8; 100], list.clone());
        let failed = pollster::block_on(failed).unwrap_err();
        assert!(matches!(failed.error, Error::BlockOutside { .. }), "{}", failed.error);
        let failed = pollster::block_on(runtime.gather_copy(vec![1_u8; 100], list.clone(), vec![0_u8; 16]));
        assert!(matches!(failed.unwrap_err().error, Error::BlockOutside { .. }));
        let bytes = sum(NumberType::U8, NumberType::U8);
        let failed = runtime.gather_reduce(vec![1_u8; 100], list, vec![0_u8; 8], bytes);
        assert!(matches!(pollster::block_on(failed).unwrap_err().error, Error::BlockOutside { .. }));
    }
}

#[test]
fn buffers_that_do_not_fit_the_numbers_are_refused() {
    let runtime = runtime();
    let wide = numbers(NumberType::U16, NumberType::U32);
    let failed = pollster::block_on(runtime.convert(vec![0_u8; 5], vec![0_u8; 10], wide)).unwrap_err();
    assert!(matches!(failed.error, Error::Units { bytes: 5, unit: 2, .. }), "{}", failed.error);
    let failed = pollster::block_on(runtime.convert(vec![0_u8; 6], vec![0_u8; 6], wide)).unwrap_err();
    assert!(matches!(failed.error, Error::Length { first: 12, second: 6, .. }), "{}", failed.error);
    let add = sum(NumberType::U16, NumberType::U32);
    let failed = runtime.reduce(vec![0_u8; 6], vec![0_u8; 4], vec![0_u8; 12], add);
    assert!(matches!(pollster::block_on(failed).unwrap_err().error, Error::Length { .. }));
    let list = BlockList::new(4, vec![0, 3]).expect("a list");
    let failed = runtime.gather_reduce(vec![0_u8; 16], list, vec![0_u8; 8], add);
    assert!(matches!(pollster::block_on(failed).unwrap_err().error, Error::Units { bytes: 3, unit: 2, .. }));
}

/// 65504 is the largest number of 16 bits, 2^-24 the least.
#[test]
fn exceptions_of_floats_are_answered() {
    let runtime = runtime();
    let narrow = numbers(NumberType::F32, NumberType::F16);
    let cases = [
        (1.5_f32, NumberExceptions::empty(), 0x3e00_u16),
        (1e6, NumberExceptions::OVERFLOW, 0x7c00),
        (2.0_f32.powi(-24), NumberExceptions::UNDERFLOW, 1),
    ];
    for (number, exceptions, bits) in cases {
        let done = pollster::block_on(runtime.convert(number.to_le_bytes().to_vec(), vec![0_u8; 2], narrow));
        let done = done.unwrap();
        assert_eq!((done.value, &done.buffers.1[..]), (exceptions, &bits.to_le_bytes()[..]), "{number}");
    }
}
