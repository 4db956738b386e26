//! Against loops over single bits, for every packing, width and output.
#![expect(clippy::cast_possible_truncation, reason = "numbers of test data, all small")]

use proptest::prelude::*;

use super::*;

/// Bit `at` of a stream.
fn bit(bytes: &[u8], at: usize, big_endian: bool) -> u32 {
    let place = if big_endian { 7 - at % 8 } else { at % 8 };
    u32::from(bytes[at / 8] >> place & 1)
}

fn put_bit(bytes: &mut Vec<u8>, at: usize, big_endian: bool, value: bool) {
    if bytes.len() <= at / 8 {
        bytes.resize(at / 8 + 1, 0);
    }
    let place = if big_endian { 7 - at % 8 } else { at % 8 };
    bytes[at / 8] |= u8::from(value) << place;
}

/// A bit at a time: the lowest first from bit 0 up, or the highest first from bit 7 down.
fn packed(elements: &[u32], width: u8, big_endian: bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut at = 0;
    for element in elements {
        for step in 0..width {
            let place = if big_endian { width - 1 - step } else { step };
            put_bit(&mut bytes, at, big_endian, element >> place & 1 == 1);
            at += 1;
        }
    }
    bytes
}

/// Runs of three and more as runs, the rest in packed groups of eight, filled up with zeros.
fn parquet(elements: &[u32], width: u8) -> Vec<u8> {
    let varint = |mut number: usize, out: &mut Vec<u8>| loop {
        let low = (number & 0x7f) as u8;
        number >>= 7;
        out.push(if number == 0 { low } else { low | 0x80 });
        if number == 0 {
            break;
        }
    };
    let mut out = vec![width];
    let mut at = 0;
    while at < elements.len() {
        let run = elements[at..].iter().take_while(|element| **element == elements[at]).count();
        if run > 2 || elements.len() - at < 8 {
            varint(run << 1, &mut out);
            out.extend(&elements[at].to_le_bytes()[..usize::from(width.div_ceil(8))]);
            at += run;
        } else {
            let groups = ((elements.len() - at) / 8).min(3);
            varint(groups << 1 | 1, &mut out);
            out.extend(packed(&elements[at..at + 8 * groups], width, false));
            at += 8 * groups;
        }
    }
    out
}

fn elements(count: usize, width: u8, seed: u64) -> Vec<u32> {
    let mut state = seed | 1;
    let mut last = 0;
    let draw = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // Every other one repeats, so that there are runs.
        if state >> 62 != 0 {
            last = (state >> 29) as u32 & (u32::MAX >> (32 - u32::from(width)));
        }
        last
    };
    (0..count).map(draw).collect()
}

#[derive(Debug)]
struct Case {
    column: Vec<u8>,
    packing: Packing,
    width: u8,
    elements: Vec<u32>,
}

impl Case {
    fn new(packing: Packing, width: u8, count: usize, seed: u64) -> Self {
        let elements = elements(count, width, seed);
        let column = match packing {
            Packing::ParquetRle => parquet(&elements, width),
            packing => packed(&elements, width, packing == Packing::Big),
        };
        Self { column, packing, width, elements }
    }

    fn column(&self) -> Column<'_> {
        let count = self.elements.len() as u32;
        Column { bytes: &self.column, packing: self.packing, width: self.width, count }
    }

    fn run(&self, asked: &Filter<'_>, output: &Output) -> Result<(Filtered, Vec<u8>), FilterError> {
        let mut room = vec![0xa5; 8 * self.elements.len() + 80_000];
        let filtered = filter(&self.column(), asked, output, Some(&mut room))?;
        let counted = filter(&self.column(), asked, output, None)?;
        assert_eq!(counted, filtered, "without room");
        assert!(room[filtered.bytes..].iter().all(|byte| *byte == 0xa5), "behind the output");
        room.truncate(filtered.bytes);
        if filtered.bytes > 0 {
            let short = filter(&self.column(), asked, output, Some(&mut room.clone()[1..]));
            let bytes_max = filtered.bytes - 1;
            assert_eq!(short, Err(FilterError::OutputFull { bytes_max }));
        }
        Ok((filtered, room))
    }
}

/// Elements as an array, with what goes with it.
fn array_of(elements: &[u32], width: u8, big_endian: bool) -> (Filtered, Vec<u8>) {
    let bytes = match width {
        16 if big_endian => elements.iter().flat_map(|element| (*element as u16).to_be_bytes()).collect(),
        32 if big_endian => elements.iter().flat_map(|element| element.to_be_bytes()).collect(),
        width => packed(elements, width, big_endian),
    };
    let aggregates = Aggregates {
        min: elements.iter().copied().min().unwrap_or(u32::MAX),
        max: elements.iter().copied().max().unwrap_or(0),
        sum: elements.iter().fold(0, |sum, element| sum.wrapping_add(*element)),
    };
    let bits = (elements.len() * usize::from(width) % 8) as u8;
    let filtered = Filtered { bytes: bytes.len(), bits, elements: elements.len() as u64, aggregates };
    (filtered, bytes)
}

/// Bits as what `output` makes of them.
fn bits_of(bits: &[u32], output: &Output) -> Result<(Filtered, Vec<u8>), FilterError> {
    let bits: Vec<u32> = bits.iter().map(|bit| bit ^ u32::from(output.invert)).collect();
    let indices: Vec<u32> =
        (0..bits.len()).filter(|at| bits[*at] == 1).map(|at| at as u32 + output.first_index).collect();
    let aggregates = Aggregates {
        min: indices.first().copied().unwrap_or(u32::MAX),
        max: indices.last().copied().unwrap_or(0),
        sum: indices.len() as u32,
    };
    let Some(width) = output.width.bits() else {
        let (filtered, bytes) = array_of(&bits, 1, output.big_endian);
        return Ok((Filtered { aggregates, ..filtered }, bytes));
    };
    if output.force_array {
        return Ok(array_of(&bits, width, output.big_endian));
    }
    if let Some(element) = indices.iter().copied().find(|index| u64::from(*index) >> width != 0) {
        return Err(FilterError::ElementTooWide { element, width });
    }
    let (filtered, bytes) = array_of(&indices, width, output.big_endian);
    Ok((Filtered { aggregates, ..filtered }, bytes))
}

fn result_of(elements: &[u32], width: u8, output: &Output) -> Result<(Filtered, Vec<u8>), FilterError> {
    if width == 1 {
        return bits_of(elements, output);
    }
    if output.invert {
        return Err(FilterError::Invert { width });
    }
    let output_width = output.width.bits().unwrap_or(width);
    if output_width < width {
        let element = u32::MAX >> (32 - u32::from(width));
        return Err(FilterError::ElementTooWide { element, width: output_width });
    }
    Ok(array_of(elements, output_width, output.big_endian))
}

fn outputs() -> impl Strategy<Value = Output> {
    let width = prop_oneof![
        3 => Just(OutputWidth::Nominal),
        1 => Just(OutputWidth::Bits8),
        1 => Just(OutputWidth::Bits16),
        2 => Just(OutputWidth::Bits32),
    ];
    (width, any::<bool>(), any::<bool>(), any::<bool>(), prop_oneof![Just(0), 0..300_u32]).prop_map(
        |(width, big_endian, invert, force_array, first_index)| Output {
            width,
            big_endian,
            invert,
            force_array,
            first_index,
        },
    )
}

fn cases() -> impl Strategy<Value = Case> {
    let packing = prop_oneof![Just(Packing::Little), Just(Packing::Big), Just(Packing::ParquetRle)];
    let width = prop_oneof![1..=32_u8, Just(8), Just(16), Just(32), Just(1)];
    let count = prop_oneof![1..200_usize, 1..9000_usize];
    (packing, width, count, any::<u64>())
        .prop_map(|(packing, width, count, seed)| Case::new(packing, width, count, seed))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 96 } else { 512 }))]

    #[test]
    fn scan_is_a_comparison_of_each_element(
        case in cases(), output in outputs(), low: u32, high: u32, at: proptest::sample::Index, exact: bool,
    ) {
        let mask = u32::MAX >> (32 - u32::from(case.width));
        let value = case.elements[at.index(case.elements.len())];
        let (low, high) = if exact { (value, value) } else { (low & mask, high & mask) };
        let bits: Vec<u32> =
            case.elements.iter().map(|element| u32::from(low <= *element && *element <= high)).collect();
        prop_assert_eq!(case.run(&Filter::Scan { low, high }, &output), bits_of(&bits, &output));
    }

    #[test]
    fn extract_is_a_slice(case in cases(), output in outputs(), first in 0..9100_u32, len in 1..9000_u32) {
        let last = first.saturating_add(len);
        let end = (last as usize + 1).min(case.elements.len());
        let wanted = case.elements.get(first as usize..end).unwrap_or_default();
        let result = case.run(&Filter::Extract { first, last }, &output);
        prop_assert_eq!(result, result_of(wanted, case.width, &output));
    }

    #[test]
    fn select_and_expand_go_by_a_mask(case in cases(), output in outputs(), big_endian: bool, seed: u64) {
        let bits = elements(case.elements.len(), 1, seed);
        let mask = packed(&bits, 1, big_endian);
        let mask = Second { bytes: &mask, big_endian };
        let wanted: Vec<u32> =
            case.elements.iter().zip(&bits).filter(|(_, bit)| **bit == 1).map(|(element, _)| *element).collect();
        let result = case.run(&Filter::Select { mask }, &output);
        prop_assert_eq!(result, result_of(&wanted, case.width, &output));
        let mut next = case.elements.iter();
        let spread: Vec<u32> =
            bits.iter().map(|bit| if *bit == 1 { *next.next().unwrap() } else { 0 }).collect();
        let result = case.run(&Filter::Expand { mask }, &output);
        prop_assert_eq!(result, result_of(&spread, case.width, &output));
    }

    #[test]
    fn sets_of_values(case in cases(), output in outputs(), big_endian: bool, low in 0..16_u8, seed: u64) {
        let drop_low = low.min(case.width - 1);
        let drop_high = (case.width - drop_low).saturating_sub(13);
        let left = case.width - drop_low - drop_high;
        let values: Vec<usize> =
            case.elements.iter().map(|element| (element >> drop_low) as usize & ((1 << left) - 1)).collect();
        let set = elements(1 << left, 1, seed);
        let bytes = packed(&set, 1, big_endian);
        let bits: Vec<u32> = values.iter().map(|value| set[*value]).collect();
        let second = Second { bytes: &bytes, big_endian };
        let result = case.run(&Filter::SetMembership { set: second, drop_low, drop_high }, &output);
        prop_assert_eq!(result, bits_of(&bits, &output));
        let mut unique = vec![0; 1 << left];
        values.iter().for_each(|value| unique[*value] = 1);
        let result = case.run(&Filter::FindUnique { drop_low, drop_high }, &output);
        prop_assert_eq!(result, bits_of(&unique, &output));
    }

    #[test]
    fn bursts_repeat_values(
        counters in proptest::collection::vec(0..40_u32, 1..300), kind in 0..3_usize, value_width in 1..=32_u8,
        big_endian: bool, output in outputs(), seed: u64,
    ) {
        let values = elements(counters.len(), value_width, seed);
        let expected: Vec<u32> = values
            .iter()
            .zip(&counters)
            .flat_map(|(value, count)| std::iter::repeat_n(*value, *count as usize))
            .collect();
        let width = [8, 16, 32][kind];
        let starts = counters.iter().scan(7, |sum, count| {
            *sum += count;
            Some(*sum)
        });
        let column = if width == 32 { std::iter::once(7).chain(starts).collect() } else { counters.clone() };
        let case = Case { column: packed(&column, width, false), packing: Packing::Little, width, elements: column };
        let bytes = packed(&values, value_width, big_endian);
        let second = Second { bytes: &bytes, big_endian };
        let result = case.run(&Filter::RleBurst { values: second, value_width }, &output);
        prop_assert_eq!(result, result_of(&expected, value_width, &output));
    }

    /// Whatever the bytes are, there is an answer.
    #[test]
    fn no_bytes_are_too_wrong(
        bytes in proptest::collection::vec(any::<u8>(), 0..200), width in 0..40_u8, count: u32, second in
        proptest::collection::vec(any::<u8>(), 0..40), low: u32, high: u32, kind in 0..7, output in outputs(),
    ) {
        let count = count % 4000;
        let mask = Second { bytes: &second, big_endian: output.invert };
        let (drop_low, drop_high) = (low as u8 % 33, high as u8 % 20 + width.saturating_sub(20));
        let asked = [
            Filter::Scan { low, high },
            Filter::SetMembership { set: mask, drop_low, drop_high },
            Filter::Extract { first: low % 5000, last: high },
            Filter::Select { mask },
            Filter::Expand { mask },
            Filter::RleBurst { values: mask, value_width: width },
            Filter::FindUnique { drop_low, drop_high },
        ][kind as usize];
        for packing in [Packing::Little, Packing::Big, Packing::ParquetRle] {
            let column = Column { bytes: &bytes, packing, width, count };
            let mut room = vec![0; 5000];
            let _ = filter(&column, &asked, &output, Some(&mut room));
            let _ = filter(&column, &asked, &output, None);
        }
    }
}

#[test]
fn errors_say_what_there_was_and_what_there_should_be() {
    let output = Output::default();
    let scan = Filter::Scan { low: 0, high: 9 };
    let run = |bytes: &[u8], packing, width, count| {
        filter(&Column { bytes, packing, width, count }, &scan, &output, None)
    };
    for width in [0, 33] {
        assert_eq!(run(&[0; 99], Packing::Little, width, 1), Err(FilterError::Width { width }));
        assert_eq!(run(&[width; 9], Packing::ParquetRle, 5, 1), Err(FilterError::ParquetWidth { width }));
    }
    assert_eq!(run(&[], Packing::ParquetRle, 5, 1), Err(FilterError::ParquetWidth { width: 0 }));
    let short = FilterError::InputTooSmall { elements: 8, expected: 9 };
    assert_eq!(run(&[0; 16], Packing::Little, 16, 9), Err(short));
    assert_eq!(run(&[0; 15], Packing::Little, 15, 9), Err(short));
    assert_eq!(run(&[8, 16, 7], Packing::ParquetRle, 0, 9), Err(short));
    // A run of no element, a count that does not end, a run without its value, groups cut short.
    for (stream, offset) in [(&[8, 0, 7][..], 1), (&[8, 0x80], 1), (&[8, 16], 1), (&[8, 3, 1, 2, 3], 5)] {
        assert_eq!(
            run(stream, Packing::ParquetRle, 0, 9),
            Err(FilterError::Parquet { offset }),
            "{stream:?}"
        );
    }
    // What is wanted is there, if not the whole group.
    assert!(run(&[8, 3, 1, 2, 3], Packing::ParquetRle, 0, 3).is_ok());
    let column = Column { bytes: &[9; 9], packing: Packing::Little, width: 8, count: 9 };
    let mask = Second { bytes: &[0xff], big_endian: false };
    let short = FilterError::SecondTooSmall { elements: 8, expected: 9 };
    assert_eq!(filter(&column, &Filter::Select { mask }, &output, None), Err(short));
    assert_eq!(filter(&column, &Filter::Expand { mask }, &output, None), Err(short));
    let set = Filter::SetMembership { set: mask, drop_low: 0, drop_high: 4 };
    let short = FilterError::SecondTooSmall { elements: 8, expected: 16 };
    assert_eq!(filter(&column, &set, &output, None), Err(short));
    let unique = Filter::FindUnique { drop_low: 4, drop_high: 4 };
    let wrong = FilterError::DropBits { width: 8, drop_low: 4, drop_high: 4 };
    assert_eq!(filter(&column, &unique, &output, None), Err(wrong));
    let burst = Filter::RleBurst { values: mask, value_width: 1 };
    let column = Column { width: 7, ..column };
    assert_eq!(filter(&column, &burst, &output, None), Err(FilterError::CounterWidth { width: 7 }));
    let bytes = [5_u32, 9, 8].map(u32::to_le_bytes).concat();
    let column = Column { bytes: &bytes, packing: Packing::Little, width: 32, count: 3 };
    assert_eq!(filter(&column, &burst, &output, None), Err(FilterError::RunBackwards { index: 1 }));
}

/// The oracle of the tests reads what it packs.
#[test]
fn the_oracle_packs_as_the_specification_says() {
    assert_eq!(packed(&[0b101, 0b011], 3, false), [0b011_101]);
    assert_eq!(packed(&[0b101, 0b011], 3, true), [0b1010_1100]);
    assert_eq!((bit(&[2], 1, false), bit(&[0x40], 1, true)), (1, 1));
    // Parquet's own example: 0 to 7 in three bits.
    let stream = parquet(&[0, 1, 2, 3, 4, 5, 6, 7], 3);
    assert_eq!(stream, [3, 3, 0b1000_1000, 0b1100_0110, 0b1111_1010]);
}
