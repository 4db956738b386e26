//! Delta records against straight loops over words, written from DSA §8.3.8 and §8.3.9.

#![expect(clippy::cast_possible_truncation, reason = "halves of small numbers, and offsets of test ranges")]

use proptest::prelude::*;
use svala_software::delta::{
    Created, ENTRY_BYTES, Entries, Entry, Outcome, RANGE_BYTES_MAX, RangeError, RecordCause, RecordError,
    apply, create, create_at,
};

/// Around a line, a page, the blocks the code compares, and the longest range.
const LENGTHS: [usize; 17] = [
    0,
    8,
    56,
    64,
    72,
    128,
    4032,
    4088,
    4096,
    4104,
    8192,
    8200,
    65536,
    65544,
    262_144,
    RANGE_BYTES_MAX - 8,
    RANGE_BYTES_MAX,
];

fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x2545_f491_4f6c_dd1d) | 1;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..len).map(next).collect()
}

/// The record as the specification has it, without a limit; and for each entry the offset of its word.
fn expected(first: &[u8], second: &[u8]) -> (Vec<u8>, Vec<usize>) {
    let (mut record, mut offsets) = (Vec::new(), Vec::new());
    for at in (0..first.len()).step_by(8) {
        if first[at..at + 8] != second[at..at + 8] {
            let units = at / 8;
            record.push((units % 256) as u8);
            record.push((units / 256) as u8);
            record.extend(&second[at..at + 8]);
            offsets.push(at);
        }
    }
    (record, offsets)
}

/// Creates with room for `room` bytes and compares everything with the loop.
fn agrees(first: &[u8], second: &[u8], room: usize, what: &str) {
    let (record, offsets) = expected(first, second);
    let mut ours = vec![0xaa; room];
    let created = create(first, second, &mut ours).unwrap();
    let fitting = room / 10;
    let wanted = if offsets.is_empty() {
        Created { outcome: Outcome::Equal, record_bytes: 0, compared_bytes: first.len() }
    } else if offsets.len() <= fitting {
        Created { outcome: Outcome::Complete, record_bytes: record.len(), compared_bytes: first.len() }
    } else {
        Created { outcome: Outcome::Overflow, record_bytes: fitting * 10, compared_bytes: offsets[fitting] }
    };
    assert_eq!(created, wanted, "{what}");
    assert!(ours[..wanted.record_bytes] == record[..wanted.record_bytes], "{what}: another record");
    let mut applied = first.to_vec();
    apply(&ours[..wanted.record_bytes], &mut applied).unwrap();
    let until = wanted.compared_bytes;
    assert!(applied[..until] == second[..until], "{what}: not the second range");
    assert!(applied[until..] == first[until..], "{what}: behind the record's end");
}

#[test]
fn records_have_every_word_that_differs_and_no_other() {
    for len in LENGTHS {
        let first = noise(len, 1);
        for every in [1, 2, 3, 7, 8, 9, 64, 511, 512, 513, 5000] {
            let mut second = first.clone();
            (0..len / 8).step_by(every).for_each(|word| second[word * 8 + word % 8] ^= 0x10);
            agrees(&first, &second, len / 8 * 10, &format!("{len} bytes, one word in {every}"));
        }
        agrees(&first, &first, len, &format!("{len} equal bytes"));
        agrees(&first, &noise(len, 2), len / 8 * 10 + 80, &format!("{len} bytes of noise"));
    }
}

#[test]
fn the_last_word_alone_is_found() {
    for len in LENGTHS.into_iter().filter(|len| *len > 0) {
        let first = noise(len, 3);
        for at in [0, len / 2, len - 1] {
            let mut second = first.clone();
            second[at] ^= 1;
            agrees(&first, &second, 80, &format!("{len} bytes, byte {at}"));
        }
    }
}

/// Room that ends on an entry, inside one, and on the very last.
#[test]
fn a_full_record_says_how_far_it_reaches() {
    let first = noise(16 * 1024, 4);
    let mut second = first.clone();
    (0..first.len() / 8).step_by(3).for_each(|word| second[word * 8] ^= 1);
    let all = first.len() / 8 / 3 * 10 + 10;
    for room in [0, 1, 9, 10, 11, 79, 80, 81, 89, 90, 1000, all - 10, all - 1, all, all + 1] {
        agrees(&first, &second, room, &format!("room for {room}"));
    }
}

#[test]
fn ranges_no_record_can_describe_are_refused() {
    let bytes = vec![0; RANGE_BYTES_MAX + 8];
    let create = |first: usize, second: usize| create(&bytes[..first], &bytes[..second], &mut []);
    assert_eq!(create(8, 16), Err(RangeError::Lengths { first: 8, second: 16 }));
    assert_eq!(create(12, 12), Err(RangeError::Granularity { bytes: 12 }));
    let bytes_max = RANGE_BYTES_MAX + 8;
    assert_eq!(create(bytes_max, bytes_max), Err(RangeError::TooLong { start: 0, bytes: bytes_max }));
    let at = |start| create_at(start, &bytes[..8], &bytes[..8], &mut []);
    assert_eq!(at(4), Err(RangeError::Granularity { bytes: 4 }));
    assert_eq!(at(RANGE_BYTES_MAX), Err(RangeError::TooLong { start: RANGE_BYTES_MAX, bytes: 8 }));
    assert!(at(RANGE_BYTES_MAX - 8).is_ok());
}

/// The bytes of one entry.
fn entry(units: u16, byte: u8) -> Vec<u8> {
    [&units.to_le_bytes()[..], &[byte; 8]].concat()
}

#[test]
fn entries_out_of_order_stop_where_they_are() {
    for second in [3, 2, 0] {
        let record = [entry(1, 7), entry(3, 8), entry(second, 9), entry(5, 9)].concat();
        let mut range = [0; 64];
        let cause = RecordCause::Order { before: 24, offset: usize::from(second) * 8 };
        assert_eq!(apply(&record, &mut range), Err(RecordError { at: 20, cause }));
        let mut wanted = [0; 64];
        wanted[8..16].fill(7);
        wanted[24..32].fill(8);
        assert!(range == wanted);
    }
}

#[test]
fn entries_behind_the_range_stop_where_they_are() {
    let record = [entry(0, 7), entry(8, 8)].concat();
    let mut range = [0; 64];
    let cause = RecordCause::Range { offset: 64, range_bytes: 64 };
    assert_eq!(apply(&record, &mut range), Err(RecordError { at: 10, cause }));
    assert!(range[..8] == [7; 8] && range[8..] == [0; 56]);
    assert_eq!(apply(&record[..10], &mut range), Ok(()));
    let last = entry(u16::MAX, 1);
    let cause = RecordCause::Range { offset: 0x7_fff8, range_bytes: 64 };
    assert_eq!(apply(&last, &mut range), Err(RecordError { at: 0, cause }));
    let mut longest = vec![0; RANGE_BYTES_MAX];
    assert_eq!(apply(&last, &mut longest), Ok(()));
    assert!(longest[RANGE_BYTES_MAX - 8..] == [1; 8]);
}

#[test]
fn a_record_that_ends_inside_an_entry_is_cut() {
    let record = [entry(0, 7), entry(1, 8)].concat();
    let mut range = [0; 64];
    for len in 11..20 {
        let error = RecordError { at: 10, cause: RecordCause::Cut };
        assert_eq!(apply(&record[..len], &mut range), Err(error));
    }
    assert_eq!(apply(&[], &mut range), Ok(()));
}

/// What a device does that reads the record piece by piece.
#[test]
fn order_is_kept_from_one_part_of_a_record_to_the_next() {
    let rest = entry(4, 1);
    let mut entries = Entries::new(&rest, 64).after(24);
    assert_eq!(entries.next(), Some(Entry { offset: 32, word: [1; 8] }));
    let mut entries = Entries::new(&rest, 64).after(32);
    assert_eq!(entries.next(), None);
    let cause = RecordCause::Order { before: 32, offset: 32 };
    assert_eq!(entries.end(), Err(RecordError { at: 0, cause }));
}

proptest! {
    #[test]
    fn any_record_agrees_with_the_loop(
        words in prop::collection::vec(0..2_u8, 0..3000),
        room in 0..4000_usize,
    ) {
        let first: Vec<u8> = noise(words.len() * 8, 9);
        let mut second = first.clone();
        words.iter().enumerate().filter(|(_, flip)| **flip == 1).for_each(|(at, _)| second[at * 8 + at % 8] ^= 0x40);
        agrees(&first, &second, room, "generated");
    }

    /// Parts of a range, each with its own record, give one record.
    #[test]
    fn records_of_neighbouring_parts_are_one_record(
        flips in prop::collection::vec(0..20_000_usize, 0..200),
        cut in 0..2500_usize,
    ) {
        let first = noise(20_000, 10);
        let mut second = first.clone();
        flips.iter().for_each(|at| second[*at] ^= 3);
        let cut = cut * 8;
        let mut record = vec![0; 25_000];
        let head = create_at(0, &first[..cut], &second[..cut], &mut record).unwrap().record_bytes;
        let tail = create_at(cut, &first[cut..], &second[cut..], &mut record[head..]).unwrap().record_bytes;
        let (wanted, _) = expected(&first, &second);
        prop_assert!(record[..head + tail] == wanted);
        prop_assert_eq!((head + tail) % ENTRY_BYTES, 0);
    }

    /// Whatever a record says, nothing panics, and what was applied is what came before the error.
    #[test]
    fn any_bytes_are_a_record_or_an_error(record in prop::collection::vec(any::<u8>(), 0..200), len in 0..100_usize) {
        let mut range = vec![0; len];
        let applied = match apply(&record, &mut range) {
            Ok(()) => record.len(),
            Err(error) => error.at,
        };
        let mut wanted = vec![0; len];
        for entry in record[..applied].chunks(10) {
            let offset = 8 * (usize::from(entry[0]) + 256 * usize::from(entry[1]));
            wanted[offset..offset + 8].copy_from_slice(&entry[2..]);
        }
        prop_assert!(range == wanted);
    }
}
