//! Filters over columns, zero compression, CRCs of any polynomial. The oracles are loops over single elements and bits.
#![expect(clippy::cast_possible_truncation, reason = "numbers of test data, all small")]

use pollster::block_on;
use svala::{
    Aggregates, AnyCrc, BitVec, Column, ColumnFault, Error, Filter, FilterKind, FilterOptions, IoBuf,
    Operation, OutputWidth, Packing, Path, Predicate, Reason, ZeroWord,
};

use crate::support::{Pages, Setup, State, noise};

/// Widths at the edges of bytes and words.
const WIDTHS: [u8; 12] = [1, 2, 3, 7, 8, 9, 12, 16, 17, 24, 31, 32];

pub(super) fn elements(count: usize, width: u8, seed: u64) -> Vec<u32> {
    let mask = u32::MAX >> (32 - width);
    let words = noise(4 * count, seed);
    words
        .chunks_exact(4)
        .map(|word| u32::from_le_bytes(word.try_into().expect("four bytes")) & mask)
        .collect()
}

/// A bit at a time.
pub(super) fn packed(elements: &[u32], width: u8, big_endian: bool) -> Vec<u8> {
    let mut bytes = vec![0; (elements.len() * usize::from(width)).div_ceil(8)];
    for (at, element) in elements.iter().enumerate() {
        for step in 0..width {
            let place = if big_endian { width - 1 - step } else { step };
            let bit = at * usize::from(width) + usize::from(step);
            let shift = if big_endian { 7 - bit % 8 } else { bit % 8 };
            bytes[bit / 8] |= u8::from(element >> place & 1 == 1) << shift;
        }
    }
    bytes
}

/// Groups of eight, the last filled up with zeros, and a run where the first 100 elements are the same.
fn parquet(elements: &[u32], width: u8) -> Vec<u8> {
    let run = if elements.len() >= 100 && elements[..100].iter().all(|element| *element == elements[0]) {
        100
    } else {
        0
    };
    let mut bytes = vec![width];
    let varint = |mut number: usize, bytes: &mut Vec<u8>| {
        while number >= 0x80 {
            bytes.push(number as u8 & 0x7f | 0x80);
            number >>= 7;
        }
        bytes.push(number as u8);
    };
    if run > 0 {
        varint(run << 1, &mut bytes);
        bytes.extend(&elements[0].to_le_bytes()[..usize::from(width.div_ceil(8))]);
    }
    let mut rest = elements[run..].to_vec();
    rest.resize(rest.len().next_multiple_of(8), 0);
    varint(((rest.len() / 8) << 1) | 1, &mut bytes);
    bytes.extend(packed(&rest, width, false));
    bytes
}

fn bits(bits: impl IntoIterator<Item = bool>) -> BitVec {
    bits.into_iter().collect()
}

pub(super) fn deflated(bytes: &[u8]) -> Vec<u8> {
    let mut state = flate2::Compress::new(flate2::Compression::new(6), false);
    let mut stream = Vec::with_capacity(2 * bytes.len() + 100);
    // Blocks that do not refer to each other: no distance is over the 4 KiB of a device.
    for block in bytes.chunks(4096) {
        state.compress_vec(block, &mut stream, flate2::FlushCompress::Full).expect("room");
    }
    state.compress_vec(&[], &mut stream, flate2::FlushCompress::Finish).expect("room");
    stream
}

/// Counts around a group, a byte, a block of the CPU engine, and beyond a transfer of the setup.
fn counts(setup: &Setup, width: u8) -> [u32; 6] {
    let of_a_transfer = 8 * setup.transfer_bytes_max / usize::from(width);
    [1, 63, 65, 2049, of_a_transfer as u32 + 1, 2 * of_a_transfer as u32 + 77]
}

pub(crate) fn scan(setup: &Setup) {
    for width in WIDTHS {
        for count in counts(setup, width).into_iter().filter(|count| *count < 70_000) {
            let values = elements(count as usize, width, u64::from(width));
            let (low, high) =
                (values[0].min(values[values.len() / 2]), values[0].max(values[values.len() / 2]));
            let predicates = [
                Predicate::between(low, high),
                Predicate::not_between(low, high),
                Predicate::eq(low),
                Predicate::ne(high),
                Predicate::lt(low),
                Predicate::ge(high),
                Predicate::gt(u32::MAX >> (32 - width)),
            ];
            let predicate = predicates[(usize::from(width) + count as usize) % predicates.len()];
            let expected = bits(values.iter().map(|value| predicate.holds(*value)));
            for big_endian in [false, true] {
                let bytes = packed(&values, width, big_endian);
                let column = match big_endian {
                    true => Column::packed_big_endian(bytes, width, count),
                    false => Column::packed(bytes, width, count),
                };
                let done = setup.well(Operation::Scan, setup.runtime.column(column).scan(predicate));
                assert!(done.value == expected, "{count} elements of {width} bits, {predicate:?}");
                assert_eq!(done.buffers.count(), count);
            }
        }
    }
}

pub(crate) fn scan_cold(setup: &Setup) {
    let count = 12 * setup.transfer_bytes_max as u32 / 5;
    let values: Vec<u32> = elements(count as usize, 8, 5);
    let bytes: Vec<u8> = values.iter().map(|value| *value as u8).collect();
    let predicate = Predicate::between(10, 99);
    let ones: Vec<u32> = (0..count).filter(|at| predicate.holds(values[*at as usize])).collect();
    let filter = Filter::new(FilterKind::Scan, Packing::Little, 8, count).with_parameters(10, 99);
    for state in State::BOTH {
        let column = Column::packed(state.source(&bytes, 17), 8, count);
        let room = state.destination(count.div_ceil(8) as usize, 3);
        let done = setup.well(Operation::Scan, setup.runtime.filter(column, Vec::new(), room, filter));
        let found = BitVec::from_bytes(done.buffers.2.bytes().to_vec(), count);
        assert!(found.iter_ones().eq(ones.iter().copied()), "{state:?}");
        let aggregates = Aggregates { min: ones[0], max: ones[ones.len() - 1], sum: ones.len() as u32 };
        assert_eq!((done.value.elements, done.value.aggregates), (count, aggregates), "{state:?}");
        // Indices, of which later parts begin where earlier ones have ended.
        let column = Column::packed(state.source(&bytes, 0), 8, count);
        let room = state.destination(4 * ones.len(), 0);
        let indices = filter.with_output(OutputWidth::Bits32);
        let done = setup.well(Operation::Scan, setup.runtime.filter(column, Vec::new(), room, indices));
        let words = done.buffers.2.bytes().chunks_exact(4);
        assert!(
            words.map(|word| u32::from_le_bytes(word.try_into().expect("four"))).eq(ones.iter().copied())
        );
        assert_eq!((done.value.elements, done.value.aggregates), (aggregates.sum, aggregates));
    }
}

/// Every operand of every filter absent, whole columns in and out.
pub(crate) fn cold(setup: &Setup) {
    const COUNT: u32 = 5000;
    let values: Vec<u8> = noise(COUNT as usize, 43);
    let ones = vec![0xff_u8; 1000];
    let all = bits((0..COUNT).map(|_| true)).into_bytes();
    let unique = bits((0..=u8::MAX).map(|value| values.contains(&value))).into_bytes();
    let of = |kind| Filter::new(kind, Packing::Little, 8, COUNT);
    let extract = of(FilterKind::Extract).with_parameters(0, COUNT - 1);
    let burst = of(FilterKind::RleBurst).with_parameters(8, 0);
    let counters = vec![1; COUNT as usize];
    let cases = [
        (Operation::Extract, extract, &values, &ones, &values),
        (Operation::Select, of(FilterKind::Select), &values, &ones, &values),
        (Operation::Expand, of(FilterKind::Expand), &values, &ones, &values),
        (Operation::SetMembership, of(FilterKind::SetMembership), &values, &ones, &all),
        (Operation::RleBurst, burst, &counters, &values, &values),
        (Operation::FindUnique, of(FilterKind::FindUnique), &values, &ones, &unique),
    ];
    for (operation, filter, column, second, expected) in cases {
        let column = Column::packed(State::Cold.source(column, 0), 8, COUNT);
        let (second, room) = (State::Cold.source(second, 0), State::Cold.destination(expected.len(), 0));
        let done = setup.well(operation, setup.runtime.filter(column, second, room, filter));
        assert!(done.buffers.2.bytes() == &expected[..], "{operation}");
        assert_eq!(done.value.written as usize, expected.len(), "{operation}");
    }
}

pub(crate) fn questions(setup: &Setup) {
    let values = elements(5000, 13, 3);
    let column = || Column::packed(packed(&values, 13, false), 13, 5000);
    let predicate = Predicate::lt(100);
    let expected: Vec<u32> = (0..5000).filter(|at| values[*at as usize] < 100).collect();
    let done = setup.well(Operation::Scan, setup.runtime.column(column()).indices(predicate));
    assert_eq!(done.value, expected);
    let done = setup.well(Operation::Scan, setup.runtime.column(column()).count(predicate));
    assert_eq!(done.value as usize, expected.len());
    let done = setup.well(Operation::Extract, setup.runtime.column(column()).aggregates());
    let sum = values.iter().fold(0_u32, |sum, value| sum.wrapping_add(*value));
    let (min, max) = (*values.iter().min().expect("some"), *values.iter().max().expect("some"));
    assert_eq!(done.value, Aggregates { min, max, sum });
    let none = block_on(setup.runtime.column(Column::packed(vec![0_u8; 4], 9, 0)).scan(predicate));
    let none = none.expect("nothing to do");
    assert!(none.value.is_empty() && none.report.path == Path::Software { reason: Reason::Empty });
}

pub(crate) fn extract(setup: &Setup) {
    for width in WIDTHS {
        for count in counts(setup, width).into_iter().filter(|count| *count < 70_000) {
            let values = elements(count as usize, width, 11);
            let bytes = packed(&values, width, false);
            let column = || Column::packed(bytes.clone(), width, count);
            let (first, last) = (count / 3, count - 1 - count / 5);
            for indices in [0..=count - 1, first..=last, last..=u32::MAX, count - 1..=count - 1] {
                let end = (*indices.end() as usize + 1).min(values.len());
                let wanted = &values[*indices.start() as usize..end];
                let done =
                    setup.well(Operation::Extract, setup.runtime.column(column()).extract(indices.clone()));
                assert!(done.value == wanted, "{indices:?} of {count} of {width} bits");
                // As they are packed.
                let filter =
                    column().filter(FilterKind::Extract).with_parameters(*indices.start(), *indices.end());
                let room = vec![0_u8; (wanted.len() * usize::from(width)).div_ceil(8)];
                let asked = setup.runtime.filter(column(), Vec::new(), room, filter);
                let done = setup.well(Operation::Extract, asked);
                assert!(done.buffers.2 == packed(wanted, width, false), "{indices:?} of {width} bits");
                assert_eq!(done.value.elements as usize, wanted.len());
            }
            let done =
                setup.well(Operation::Extract, setup.runtime.column(column()).extract(count..=u32::MAX));
            assert!(done.value.is_empty());
        }
    }
}

pub(crate) fn select_and_expand(setup: &Setup) {
    for width in WIDTHS {
        for count in [1, 64, 999, 15_000_u32] {
            let values = elements(count as usize, width, 7);
            let mask = bits(elements(count as usize, 1, 13).into_iter().map(|bit| bit == 1));
            let column = || Column::packed(packed(&values, width, false), width, count);
            let wanted: Vec<u32> = mask.iter_ones().map(|at| values[at as usize]).collect();
            let done = setup.well(Operation::Select, setup.runtime.column(column()).select(&mask));
            assert!(done.value == wanted, "{count} of {width} bits");
            let mut next = values.iter();
            let spread: Vec<u32> =
                (0..count).map(|at| if mask.get(at) { *next.next().expect("one each") } else { 0 }).collect();
            let done = setup.well(Operation::Expand, setup.runtime.column(column()).expand(&mask));
            assert!(done.value == spread, "{count} of {width} bits");
        }
    }
}

pub(crate) fn sets(setup: &Setup) {
    for width in [1, 5, 8, 12, 16] {
        for count in [1, 777, 30_000, 40_000_u32] {
            let values = elements(count as usize, width, 17);
            let set = bits(elements(1 << width, 1, 19).into_iter().map(|bit| bit == 1));
            let column = || Column::packed(packed(&values, width, false), width, count);
            let done = setup.well(Operation::SetMembership, setup.runtime.column(column()).is_in(&set));
            assert!(done.value == bits(values.iter().map(|value| set.get(*value))), "{width} bits");
            // It is one transfer's: values of parts would have to be put together.
            if count > 30_000 {
                continue;
            }
            let done = setup.well(Operation::FindUnique, setup.runtime.column(column()).unique());
            let unique = (0..1_u32 << width).map(|value| values.contains(&value));
            let expected = match width {
                0..=12 => bits(unique),
                _ => {
                    let mut seen = vec![false; 1 << width];
                    values.iter().for_each(|value| seen[*value as usize] = true);
                    bits(seen)
                }
            };
            assert!(done.value == expected, "{width} bits");
        }
    }
}

pub(crate) fn bursts(setup: &Setup) {
    let counters: Vec<u32> = elements(500, 5, 23);
    let values = elements(500, 11, 29);
    let expected: Vec<u32> =
        values.iter().zip(&counters).flat_map(|(value, times)| vec![*value; *times as usize]).collect();
    let total = expected.len() as u32;
    let second = || Column::packed(packed(&values, 11, false), 11, 500);
    for width in [8, 16] {
        let column = Column::packed(packed(&counters, width, false), width, 500);
        let done = setup.well(Operation::RleBurst, setup.runtime.column(column).burst(second(), total));
        assert!(done.value == expected, "{width} bits");
    }
    let starts: Vec<u32> = std::iter::once(0)
        .chain(counters.iter().scan(0, |sum, times| {
            *sum += times;
            Some(*sum)
        }))
        .collect();
    let done =
        setup.well(Operation::RleBurst, setup.runtime.column(Column::of_u32(&starts)).burst(second(), total));
    assert!(done.value == expected, "where runs begin");
    let column = Column::packed(packed(&counters, 8, false), 8, 500);
    let failed = block_on(setup.runtime.column(column).burst(second(), total - 1)).expect_err("does not fit");
    assert!(matches!(failed.error, Error::OutputFull { .. }), "{}", failed.error);
}

/// Parquet's encoding, and streams that are expanded on the way.
pub(crate) fn encodings(setup: &Setup) {
    for width in WIDTHS {
        let mut values = elements(3000, width, 31);
        values[..100].fill(3 & u32::MAX >> (32 - width));
        let predicate = Predicate::le(values[200]);
        let expected = bits(values.iter().map(|value| predicate.holds(*value)));
        let (plain, encoded) = (packed(&values, width, false), parquet(&values, width));
        let columns = [
            Column::parquet_rle(encoded.clone(), width, 3000),
            Column::parquet_rle(deflated(&encoded), width, 3000).deflated(),
            Column::packed(deflated(&plain), width, 3000).deflated(),
        ];
        for column in columns {
            let what = (column.packing(), column.is_deflated());
            let done = setup.well(Operation::Scan, setup.runtime.column(column.clone()).scan(predicate));
            assert!(done.value == expected, "{width} bits, {what:?}");
            let done = setup.well(Operation::Extract, setup.runtime.column(column).extract(90..=1234));
            assert!(done.value == values[90..=1234], "{width} bits, {what:?}");
        }
    }
}

pub(crate) fn zeros(setup: &Setup) {
    let operations = [
        (ZeroWord::Bits8, Operation::ZeroCompress8, Operation::ZeroDecompress8),
        (ZeroWord::Bits16, Operation::ZeroCompress16, Operation::ZeroDecompress16),
        (ZeroWord::Bits32, Operation::ZeroCompress32, Operation::ZeroDecompress32),
    ];
    for (word, compress, decompress) in operations {
        if !setup.offers(compress) {
            let refused = block_on(setup.runtime.zero_compress(vec![1_u8; 64], vec![0_u8; 99], word));
            assert!(matches!(refused.expect_err("not offered").error, Error::Unsupported { .. }));
            continue;
        }
        for len in [4, 124, 128, 132, 5000, setup.transfer_bytes_max / 2, 2 * setup.transfer_bytes_max + 4] {
            let src: Vec<u8> =
                noise(len, 3).into_iter().map(|byte| if byte < 150 { 0 } else { byte }).collect();
            let unit = word.bytes() as usize;
            // By the format: for each 128 bytes a bit for each word, 1 where there is none, and the words that are not 0.
            let mut expected = Vec::new();
            for block in src.chunks(128) {
                let words: Vec<_> = block.chunks(unit).collect();
                let is_kept =
                    |at: &usize| words.get(*at).is_none_or(|word| word.iter().any(|byte| *byte != 0));
                let tags: Vec<usize> = (0..128 / unit).filter(is_kept).collect();
                let mut bytes = vec![0_u8; 16 / unit];
                tags.iter().for_each(|at| bytes[at / 8] |= 1 << (at % 8));
                expected.extend(bytes);
                tags.iter().filter_map(|at| words.get(*at)).for_each(|word| expected.extend(*word));
            }
            for state in State::BOTH {
                let room = state.destination(word.bound(len as u64) as usize, 0);
                let done =
                    setup.well(compress, setup.runtime.zero_compress(state.source(&src, 0), room, word));
                let written = done.value as usize;
                assert!(done.buffers.1.bytes()[..written] == expected, "{len} bytes, {word:?}, {state:?}");
                // A stream has no places to cut it at: one longer than a transfer is the CPU's.
                if len.max(expected.len()) > setup.transfer_bytes_max {
                    continue;
                }
                let (stream, room) = (state.source(&expected, 0), state.destination(len, 0));
                let done = setup.well(decompress, setup.runtime.zero_decompress(stream, room, word));
                assert_eq!(done.value as usize, len);
                assert!(done.buffers.1.bytes() == src, "{len} bytes, {word:?}, {state:?}");
            }
        }
        let failed = block_on(setup.runtime.zero_compress(vec![1_u8; 64], vec![0_u8; 63], word));
        let failed = failed.expect_err("does not fit");
        assert!(matches!(failed.error, Error::OutputFull { bytes_max: 63, .. }), "{}", failed.error);
        assert!(failed.buffers.is_some());
    }
}

pub(crate) fn crc_any(setup: &Setup) {
    for len in [1, 777, setup.transfer_bytes_max] {
        let data = noise(len, 41);
        let xz = AnyCrc { polynomial: 0x42f0_e1eb_a9ea_3693, reflect: true, invert: true };
        let t10 = AnyCrc { polynomial: 0x8bb7 << 48, reflect: false, invert: false };
        let expected = [
            (xz, crc::Crc::<u64>::new(&crc::CRC_64_XZ).checksum(&data)),
            (t10, u64::from(crc::Crc::<u16>::new(&crc::CRC_16_T10_DIF).checksum(&data)) << 48),
        ];
        for (crc, sum) in expected {
            let done = setup.well(Operation::CrcAny, setup.runtime.crc_any(Pages::untouched(&data), crc));
            assert_eq!(done.value, sum, "{len} bytes, {crc:?}");
        }
    }
}

/// What does not fit together is an error with its values, and the column comes back.
pub(crate) fn broken_columns(setup: &Setup) {
    let end = |operation, column: Column<Vec<u8>>, filter: Filter, second: &[u8], room: usize| {
        let asked = setup.runtime.filter(column, second.to_vec(), vec![0_u8; room], filter);
        setup.end(operation, asked).expect_err("cannot be").error
    };
    let fault = |error: Error| match error {
        Error::Column { fault, .. } => fault,
        error => panic!("{error}"),
    };
    let scan =
        |packing, width, count| Filter::new(FilterKind::Scan, packing, width, count).with_parameters(0, 9);
    let column = |len: usize| Column::packed(vec![1; len], 8, 9);
    for width in [0, 33] {
        let error = end(Operation::Scan, column(99), scan(Packing::Little, width, 9), &[], 2);
        assert_eq!(fault(error), ColumnFault::Width { width });
    }
    let error = end(Operation::Scan, column(8), scan(Packing::Little, 8, 9), &[], 2);
    assert_eq!(fault(error), ColumnFault::TooShort { expected: 9 });
    let error = end(Operation::Scan, column(9), scan(Packing::Little, 8, 9), &[], 1);
    assert!(matches!(error, Error::OutputFull { bytes_max: 1, .. }), "{error}");
    let parquet = |bytes: &[u8]| Column::parquet_rle(bytes.to_vec(), 8, 9);
    let error = end(Operation::Scan, parquet(&[8, 0, 1]), scan(Packing::ParquetRle, 8, 9), &[], 2);
    assert_eq!(fault(error), ColumnFault::Parquet);
    let error = end(Operation::Scan, parquet(&[33, 2, 1]), scan(Packing::ParquetRle, 8, 9), &[], 2);
    assert_eq!(fault(error), ColumnFault::ParquetWidth);
    let error = end(Operation::Scan, parquet(&[8, 2, 1]), scan(Packing::ParquetRle, 8, 9), &[], 2);
    assert_eq!(fault(error), ColumnFault::TooShort { expected: 9 });
    // Three times 1, in one bit each, in a column of elements of two bits.
    let extract = Filter::new(FilterKind::Extract, Packing::ParquetRle, 2, 3).with_parameters(0, 9);
    let error = end(Operation::Extract, parquet(&[1, 6, 1]), extract, &[], 9);
    assert_eq!(fault(error), ColumnFault::ParquetWidth);
    let select = Filter::new(FilterKind::Select, Packing::Little, 8, 9);
    let error = end(Operation::Select, column(9), select, &[0xff], 9);
    assert_eq!(fault(error), ColumnFault::SecondTooShort { expected: 9 });
    let error = end(Operation::Select, column(9), select.with_options(FilterOptions::INVERT), &[0xff; 2], 9);
    assert_eq!(fault(error), ColumnFault::Invert);
    let expand = Filter::new(FilterKind::Expand, Packing::Little, 8, 9);
    let error = end(Operation::Expand, Column::packed(vec![1; 3], 8, 3), expand, &[0xff; 2], 9);
    assert_eq!(fault(error), ColumnFault::TooShort { expected: 9 });
    let indices = scan(Packing::Little, 8, 300).with_output(OutputWidth::Bits8);
    let error = end(Operation::Scan, Column::packed(vec![1; 300], 8, 300), indices, &[], 300);
    assert_eq!(fault(error), ColumnFault::ElementTooWide { width: 8 });
    let narrow = Filter::new(FilterKind::Extract, Packing::Little, 9, 8).with_output(OutputWidth::Bits8);
    let error = end(Operation::Extract, Column::packed(vec![1; 9], 9, 8), narrow, &[], 300);
    assert_eq!(fault(error), ColumnFault::ElementTooWide { width: 8 });
    let burst = Filter::new(FilterKind::RleBurst, Packing::Little, 9, 8).with_parameters(8, 0);
    let error = end(Operation::RleBurst, Column::packed(vec![1; 9], 9, 8), burst, &[1; 8], 300);
    assert_eq!(fault(error), ColumnFault::CounterWidth { width: 9 });
    let unique = Filter::new(FilterKind::FindUnique, Packing::Little, 8, 9).with_parameters(4, 4);
    let error = end(Operation::FindUnique, column(9), unique, &[], 300);
    assert_eq!(fault(error), ColumnFault::DropBits { width: 8, drop_low: 4, drop_high: 4 });
    let units = block_on(setup.runtime.zero_compress(vec![1_u8; 7], vec![0_u8; 63], ZeroWord::Bits16));
    let units = units.expect_err("half a word").error;
    assert!(matches!(units, Error::Units { bytes: 7, unit: 2, .. }), "{units}");
}
