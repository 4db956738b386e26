//! Two destinations, patterns and delta records, against straight loops.

use svala::{Error, Runtime};

use super::{INLINE_BYTES, never_inline, noise, runtime, runtime_with};

/// Around a line, a page, the caller's thread or the workers, 2 MiB, and pieces for many workers.
const LENGTHS: [usize; 16] = [
    0,
    1,
    15,
    63,
    64,
    65,
    4095,
    4096,
    4097,
    INLINE_BYTES,
    INLINE_BYTES + 1,
    (2 << 20) - 1,
    2 << 20,
    (2 << 20) + 1,
    5_000_001,
    (16 << 20) + 3,
];

fn on_both(test: impl Fn(&Runtime)) {
    for runtime in [runtime(), runtime_with(never_inline())] {
        test(&runtime);
        assert_eq!(runtime.shutdown().unanswered, 0);
    }
}

#[test]
fn dualcast_writes_what_was_read_to_both() {
    on_both(|runtime| {
        for len in LENGTHS {
            let done = runtime.dualcast(noise(len), vec![1_u8; len], vec![2_u8; len]);
            let done = pollster::block_on(done).unwrap();
            let (src, first, second) = done.buffers;
            assert!(src == noise(len) && first == src && second == src, "{len} bytes");
            assert_eq!(done.report.bytes, len as u64);
        }
    });
}

#[test]
fn dualcast_of_different_lengths_gives_the_buffers_back() {
    let runtime = runtime();
    let failed = pollster::block_on(runtime.dualcast(noise(9), noise(9), noise(8))).unwrap_err();
    assert!(matches!(failed.error, Error::Length { first: 9, second: 8, .. }), "{failed}");
    assert_eq!(failed.buffers, Some((noise(9), noise(9), noise(8))));
}

#[test]
fn sixteen_bytes_repeat_from_the_start() {
    let pattern: [u8; 16] = *b"0123456789abcdef";
    on_both(|runtime| {
        for len in LENGTHS {
            let done = pollster::block_on(runtime.fill16(vec![0_u8; len], pattern)).unwrap();
            assert!(done.buffers.iter().zip(pattern.iter().cycle()).all(|(byte, wanted)| byte == wanted));
            assert_eq!(done.buffers.len(), len);
        }
    });
}

#[test]
fn first_byte_that_is_not_the_pattern_is_found() {
    let word = 0x8877_6655_4433_2211_u64;
    on_both(|runtime| {
        for len in LENGTHS {
            let like: Vec<u8> =
                [0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88].into_iter().cycle().take(len).collect();
            let equal = pollster::block_on(runtime.compare_pattern(like, word)).unwrap();
            assert_eq!((equal.value, equal.report.bytes), (None, len as u64));
            let mut other = equal.buffers;
            for at in [len.saturating_sub(1), len / 2, len / 3, 0].into_iter().filter(|at| *at < len) {
                // From the end: those behind the one looked for stay.
                other[at] = 0;
                let found = pollster::block_on(runtime.compare_pattern(other, word)).unwrap();
                assert_eq!((found.value, found.report.bytes), (Some(at as u64), at as u64), "{len} bytes");
                other = found.buffers;
            }
        }
    });
}

/// The record by the definition: number of the word in two bytes, low first, and the word of `b`.
fn record(a: &[u8], b: &[u8]) -> Vec<u8> {
    let mut record = Vec::new();
    for word in (0..a.len() / 8).filter(|word| a[word * 8..][..8] != b[word * 8..][..8]) {
        record.push(u8::try_from(word % 256).unwrap());
        record.push(u8::try_from(word / 256).unwrap());
        record.extend_from_slice(&b[word * 8..][..8]);
    }
    record
}

const DELTA_MAX: usize = 512 << 10;

/// `a` and a `b` in which every `every`th word is another, the last one included.
fn ranges(len: usize, every: usize) -> (Vec<u8>, Vec<u8>) {
    let (a, mut b) = (noise(len), noise(len));
    for word in (0..len / 8).rev().step_by(every) {
        b[word * 8 + word % 8] ^= 1;
    }
    (a, b)
}

#[test]
fn delta_record_is_the_one_of_the_definition_and_makes_one_range_the_other() {
    on_both(|runtime| {
        for len in [0, 8, 64, 72, 4088, 4096, 4104, INLINE_BYTES / 2 + 8, INLINE_BYTES + 8, DELTA_MAX] {
            for every in [1, 3, 500, usize::MAX] {
                let (a, b) = ranges(len, every);
                let wanted = record(&a, &b);
                let room = vec![0xee_u8; wanted.len().max(80)];
                let done = pollster::block_on(runtime.create_delta(a, b, room)).unwrap();
                let (a, b, mut made) = done.buffers;
                assert_eq!(done.value.written, wanted.len() as u64, "{len} bytes, every {every}");
                made.truncate(wanted.len());
                assert!(made == wanted, "{len} bytes, every {every}");
                let applied = pollster::block_on(runtime.apply_delta(made, a)).unwrap();
                assert!(applied.buffers.1 == b, "{len} bytes, every {every}");
            }
        }
    });
}

#[test]
fn delta_record_without_room_is_an_error_with_the_buffers_and_what_fits_is_no_error() {
    on_both(|runtime| {
        for len in [80, 4096, INLINE_BYTES + 8, DELTA_MAX] {
            let (a, b) = ranges(len, 2);
            let needed = record(&a, &b).len();
            let fits = pollster::block_on(runtime.create_delta(a, b, vec![0_u8; needed])).unwrap();
            let (a, b, _) = fits.buffers;
            let short = runtime.create_delta(a, b, vec![0_u8; needed - 1]);
            let failed = pollster::block_on(short).unwrap_err();
            let bytes_max = needed as u64 - 1;
            assert!(matches!(failed.error, Error::OutputFull { bytes_max: max, .. } if max == bytes_max));
            let (a, b, room) = failed.buffers.expect("the buffers come back");
            assert!((a, b) == ranges(len, 2) && room.len() == needed - 1);
        }
    });
}

#[test]
fn broken_delta_record_is_an_error_at_its_byte_and_what_is_before_is_applied() {
    on_both(|runtime| {
        let (a, b) = ranges(4096, 1);
        let good = record(&a, &b);
        // Entry 7 reaches behind the range; entry 7 comes once more.
        for number in [[0, 2], [6, 0]] {
            let mut broken = good.clone();
            broken[70..72].copy_from_slice(&number);
            let failed = pollster::block_on(runtime.apply_delta(broken, a.clone())).unwrap_err();
            assert!(matches!(failed.error, Error::Corrupt { offset: 70, .. }), "{failed}");
            let (_, range) = failed.buffers.expect("the buffers come back");
            assert!(range[..56] == b[..56] && range[56..] == a[56..]);
        }
    });
}
