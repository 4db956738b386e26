//! Delta records. The oracle is a loop over words.

use pollster::block_on;
use svala::{DELTA_RANGE_BYTES_MAX, Error, IoBuf, Operation, Path, Slice};

use super::shapes;
use crate::support::{PAGE, Pages, Setup, State, noise};

/// Bytes of a word, and of an entry.
const WORD: usize = 8;
const ENTRY: usize = 10;
/// The least room a device takes.
const ROOM_MIN: usize = 80;

/// The record of how `b` differs from `a` (DSA §8.3.8).
fn record_of(a: &[u8], b: &[u8]) -> Vec<u8> {
    let mut record = Vec::new();
    for (at, (a, b)) in a.chunks(WORD).zip(b.chunks(WORD)).enumerate() {
        if a != b {
            record.extend_from_slice(&u16::try_from(at).expect("at most 65536 words").to_le_bytes());
            record.extend_from_slice(b);
        }
    }
    record
}

/// Which words differ.
#[derive(Clone, Copy, Debug)]
enum Differ {
    None,
    First,
    Last,
    Some,
    All,
    /// Nothing for long, and then everything: what fits is known only at the end.
    End,
}

impl Differ {
    const ALL: [Self; 6] = [Self::None, Self::First, Self::Last, Self::Some, Self::All, Self::End];

    fn change(self, a: &[u8]) -> Vec<u8> {
        let mut b = a.to_vec();
        let words = b.len() / WORD;
        let picks = noise(words, 31);
        for (at, word) in b.chunks_exact_mut(WORD).enumerate() {
            let differs = match self {
                Self::None => false,
                Self::First => at == 0,
                Self::Last => at == words - 1,
                Self::Some => picks[at] < 10,
                Self::All => true,
                Self::End => at + 9 >= words,
            };
            if differs {
                word[usize::from(picks[at]) % WORD] ^= 1 << (picks[at] % 8);
            }
        }
        b
    }
}

/// Bytes of ranges, in words.
fn ranges(setup: &Setup) -> Vec<usize> {
    let words_max = usize::try_from(DELTA_RANGE_BYTES_MAX).expect("fits") / WORD;
    let mut words = shapes::units(setup, WORD, words_max);
    words.extend([words_max - 1, words_max]);
    words.into_iter().map(|words| words * WORD).collect()
}

/// Room for a record, with bytes before and behind that must stay as they are.
struct Room(Slice<Pages>);

impl Room {
    const GUARD: usize = 2 * WORD;

    fn new(state: State, len: usize) -> Self {
        let whole = state.destination(len + 2 * Self::GUARD, 0).into_inner();
        Self(Slice::new(whole, Self::GUARD..Self::GUARD + len).expect("within"))
    }

    fn check(room: Slice<Pages>, state: State) {
        let len = room.bytes().len();
        let before = if state == State::Warm { 0xee } else { 0 };
        let whole = room.into_inner();
        let (head, tail) = whole.bytes().split_at(Self::GUARD);
        assert!(head.iter().chain(&tail[len..]).all(|byte| *byte == before), "outside the room");
    }
}

pub(crate) fn create(setup: &Setup) {
    for len in ranges(setup) {
        let a = noise(len, 37);
        for differ in Differ::ALL {
            let b = differ.change(&a);
            let expected = record_of(&a, &b);
            for state in State::BOTH {
                // As much as it takes, a little more that is no entry, and plenty.
                for room in [expected.len(), expected.len() + 7, len / WORD * ENTRY + 4096] {
                    let what = format!("{len} bytes, {differ:?}, room {room}, {state:?}");
                    created(setup, state, (&a, &b), room.max(ROOM_MIN), &expected, &what);
                }
                too_much(setup, state, (&a, &b), &expected);
            }
        }
    }
}

fn created(setup: &Setup, state: State, (a, b): (&[u8], &[u8]), room: usize, expected: &[u8], what: &str) {
    let (src1, src2) = (state.source(a, WORD), state.source(b, PAGE - WORD));
    let Room(room) = Room::new(state, room);
    let done = setup.well(Operation::CreateDelta, setup.runtime.create_delta(src1, src2, room));
    let written = usize::try_from(done.value.written).expect("fits");
    assert_eq!((written, done.report.bytes), (expected.len(), a.len() as u64), "{what}");
    let (src1, src2, room) = done.buffers;
    assert!(room.bytes()[..written] == *expected, "{what}");
    assert!(src1.bytes() == a && src2.bytes() == b, "{what}: sources");
    Room::check(room, state);
}

/// A record that needs one entry more than there is room for.
fn too_much(setup: &Setup, state: State, (a, b): (&[u8], &[u8]), expected: &[u8]) {
    let Some(room_bytes) = expected.len().checked_sub(ENTRY).filter(|room| *room >= ROOM_MIN) else { return };
    let (src1, src2) = (state.source(a, 0), state.source(b, 0));
    for room_bytes in [room_bytes, room_bytes + 9] {
        let Room(room) = Room::new(state, room_bytes);
        let (src1, src2) = (src1.bytes().to_vec(), src2.bytes().to_vec());
        let failed = setup.end(Operation::CreateDelta, setup.runtime.create_delta(src1, src2, room));
        let failed = failed.expect_err("does not fit");
        let bytes_max = room_bytes as u64;
        assert!(
            matches!(failed.error, Error::OutputFull { bytes_max: said, .. } if said == bytes_max),
            "{} bytes, room {room_bytes}: {}",
            a.len(),
            failed.error
        );
        let (_, _, room) = failed.buffers.expect("come back");
        Room::check(room, state);
    }
}

pub(crate) fn apply(setup: &Setup) {
    for len in ranges(setup) {
        let a = noise(len, 41);
        for differ in Differ::ALL {
            let b = differ.change(&a);
            let record = record_of(&a, &b);
            if record.is_empty() {
                // No entry: nothing to give a device.
                continue;
            }
            for state in State::BOTH {
                let (delta, dst) = (state.source(&record, 0), state.source(&a, 3 * WORD));
                let done = setup.well(Operation::ApplyDelta, setup.runtime.apply_delta(delta, dst));
                assert_eq!(done.report.bytes, record.len() as u64);
                assert!(done.buffers.1.bytes() == &b[..], "{len} bytes, {differ:?}, {state:?}");
            }
        }
    }
}

/// A record that is wrong at some entry: the entries before it are applied, and the error says where.
pub(crate) fn broken(setup: &Setup) {
    let len = 3 * setup.transfer_bytes_max.min(1 << 17) + 8 * PAGE;
    let a = noise(len, 43);
    let b = Differ::All.change(&a);
    let entries = len / WORD;
    let per_transfer = setup.transfer_bytes_max / ENTRY;
    let wrong = [0, 1, 408, 409, 410, per_transfer - 1, per_transfer, per_transfer + 1, entries - 1];
    for at in wrong.into_iter().filter(|at| *at < entries) {
        // Not behind the one before; outside the range.
        for word in [at.checked_sub(1), at.checked_sub(3), Some(entries), Some(65535)].into_iter().flatten() {
            let mut record = record_of(&a, &b);
            record[at * ENTRY..at * ENTRY + 2]
                .copy_from_slice(&u16::try_from(word).expect("fits").to_le_bytes());
            for state in State::BOTH {
                let (delta, dst) = (state.source(&record, 0), state.source(&a, 0));
                let failed = block_on(setup.runtime.apply_delta(delta, dst)).expect_err("a broken record");
                let offset = (at * ENTRY) as u64;
                assert!(
                    matches!(failed.error, Error::Corrupt { offset: said, .. } if said == offset),
                    "entry {at} of word {word}: {}",
                    failed.error
                );
                let (_, dst) = failed.buffers.expect("come back");
                // A device stops there. The CPU looks at the record first.
                if !matches!(failed.report.path, Path::Software { .. }) {
                    assert!(dst.bytes()[..at * WORD] == b[..at * WORD], "entry {at}: before");
                }
                assert!(dst.bytes()[at * WORD..] == a[at * WORD..], "entry {at}: behind");
            }
        }
    }
}
