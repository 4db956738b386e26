extern crate std;

use proptest::prelude::*;
use std::vec;
use std::vec::Vec;

use super::*;

/// Counts that give codes of any length, Fibonacci's among them.
fn counts() -> impl Strategy<Value = Histogram> {
    let count = prop_oneof![3 => Just(0_u32), 2 => 1_u32..20, 1 => 1_u32..=Histogram::COUNT_MAX];
    let fibonacci =
        (0_u32..30).prop_map(|n| (0..n).fold((1, 1), |(a, b), _| (b, a + b)).0.min(Histogram::COUNT_MAX));
    let count = prop_oneof![count, fibonacci];
    (prop::collection::vec(count.clone(), 286), prop::collection::vec(count, 30)).prop_map(|(ll, d)| {
        Histogram { literal_length: ll.try_into().unwrap(), distance: d.try_into().unwrap() }
    })
}

/// Kraft's sum in units of 2^-15.
fn kraft(lengths: &[u8]) -> u32 {
    lengths.iter().filter(|&&length| length != 0).map(|&length| 1 << (15 - length)).sum()
}

/// The least weighted length of a prefix code: Huffman's algorithm on a list, as in a textbook.
fn textbook(counts: &[u32]) -> u64 {
    let mut nodes: Vec<u64> = counts.iter().filter(|&&count| count != 0).map(|&count| count.into()).collect();
    let mut bits = 0;
    while nodes.len() > 1 {
        nodes.sort_unstable_by(|a, b| b.cmp(a));
        let joined = nodes.pop().unwrap() + nodes.pop().unwrap();
        bits += joined;
        nodes.push(joined);
    }
    bits
}

proptest! {
    #[test]
    fn codes_are_complete_and_no_longer_than_the_format_allows(histogram in counts()) {
        let lengths = CodeLengths::of(&histogram);
        prop_assert_eq!(kraft(&lengths.literal_length), 1 << 15);
        prop_assert_eq!(kraft(&lengths.distance), 1 << 15);
        for (length, count) in lengths.literal_length.iter().zip(&histogram.literal_length) {
            prop_assert!(*count == 0 || *length != 0);
        }
        prop_assert!(lengths.bits(&histogram).is_some());
    }

    /// Where no code reaches the limit the total is that of the textbook; where one does, it is not less.
    #[test]
    fn codes_are_as_short_as_huffmans(counts in prop::collection::vec(prop_oneof![Just(0_u32), 1_u32..5000], 2..286)) {
        prop_assume!(counts.iter().filter(|count| **count != 0).count() >= 2);
        let mut lengths = vec![0; counts.len()];
        assign_lengths(&counts, CODE_BITS_MAX, &mut lengths);
        let bits: u64 = lengths.iter().zip(&counts).map(|(&length, &count)| u64::from(length) * u64::from(count)).sum();
        let least = textbook(&counts);
        let limited = lengths.iter().any(|&length| usize::from(length) == CODE_BITS_MAX);
        prop_assert!(bits == least || (limited && bits > least), "{} bits, {} at least", bits, least);
    }

    #[test]
    fn header_has_the_bits_it_is_said_to_have(histogram in counts()) {
        let lengths = CodeLengths::of(&histogram);
        let mut aecs = CompressAecs::new();
        let fits = aecs.push_dynamic_header(&lengths, true);
        prop_assert_eq!(fits, lengths.header_bits() <= CompressAecs::ACCUMULATOR_BITS_MAX.into());
        prop_assert_eq!(u64::from(aecs.accumulator_bits()), if fits { lengths.header_bits() } else { 0 });
    }

    #[test]
    fn histogram_comes_back_from_its_bytes(histogram in counts()) {
        prop_assert_eq!(Histogram::from_bytes(&histogram.to_bytes()), histogram);
    }
}

#[test]
fn fixed_lengths_are_those_of_the_fixed_codes() {
    let (fixed, aecs) = (CodeLengths::fixed(), CompressAecs::fixed_huffman(false));
    assert_eq!(aecs.code_lengths(), fixed);
}

/// Lengths and distances of the extra bits from the table in RFC 1951, §3.2.5.
#[test]
fn extra_bits_are_those_of_the_rfc() {
    let lengths = [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0];
    assert!((257..286).map(extra_of_length).eq(lengths));
    let distances =
        [0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13];
    assert!((0..30).map(extra_of_distance).eq(distances));
}

#[test]
fn complete_tables_begin_where_the_specification_says() {
    let mut histogram = Histogram::new();
    histogram.distance[25] = 7;
    let complete = histogram.complete();
    assert_eq!(complete.literal_length.iter().filter(|&&count| count != 0).count(), 273);
    assert_eq!(complete.distance.iter().filter(|&&count| count != 0).count(), 26);
    assert_eq!(complete.distance[25], 7);
}

#[test]
fn header_that_does_not_fit_changes_nothing() {
    let lengths = CodeLengths::of(&Histogram::new().all_tokens());
    let mut aecs = CompressAecs::new();
    let bits = u16::try_from(lengths.header_bits()).unwrap();
    aecs.set_accumulator_bits(CompressAecs::ACCUMULATOR_BITS_MAX - bits + 1);
    assert!(!aecs.push_dynamic_header(&lengths, false));
    assert_eq!(aecs.accumulator_bits(), CompressAecs::ACCUMULATOR_BITS_MAX - bits + 1);
    aecs.set_accumulator_bits(CompressAecs::ACCUMULATOR_BITS_MAX - bits);
    assert!(aecs.push_dynamic_header(&lengths, false));
    assert_eq!(aecs.accumulator_bits(), CompressAecs::ACCUMULATOR_BITS_MAX);
}

#[test]
fn stored_block_is_the_bytes_themselves() {
    let aecs = CompressAecs::stored(0x1234, true);
    assert_eq!((&aecs.accumulator()[..5], aecs.accumulator_bits()), (&[1, 0x34, 0x12, 0xcb, 0xed][..], 40));
    assert!((0..=255_u8).all(|byte| aecs.ll_code(byte.into()) == Code::new(byte.reverse_bits().into(), 8)));
    assert_eq!(aecs.ll_code(256).length(), 0);
}
