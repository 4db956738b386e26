//! Copy, fill and compare against straight loops, around the sizes where the code takes another path.

use proptest::prelude::*;
use svala_software::{
    Pattern, copy, copy_within, dualcast, fill, first_difference, first_difference_from_pattern,
};

/// Around a cache line, a page, the blocks the code works in and a huge page.
const LENGTHS: [usize; 27] = [
    0,
    1,
    7,
    8,
    15,
    16,
    17,
    63,
    64,
    65,
    1023,
    1024,
    1025,
    4095,
    4096,
    4097,
    8191,
    8192,
    8193,
    16384,
    16385,
    32768,
    32769,
    65537,
    (2 << 20) - 1,
    2 << 20,
    (2 << 20) + 1,
];

/// Bytes that repeat with no small period.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(len);
    for _ in 0..len {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        bytes.push(state.to_be_bytes()[0]);
    }
    bytes
}

#[test]
fn copy_writes_every_byte_and_no_other() {
    for len in LENGTHS {
        for offset in [0, 1, 31] {
            let src = noise(len + offset);
            let mut dst = vec![0xaa; len + offset + 64];
            copy(&src[offset..], &mut dst[offset..offset + len]);
            for (i, byte) in dst.iter().enumerate() {
                let inside = (offset..offset + len).contains(&i);
                assert_eq!(*byte, if inside { src[i] } else { 0xaa }, "{len} bytes at {offset}, byte {i}");
            }
        }
    }
}

#[test]
fn dualcast_writes_every_byte_to_both_and_no_other() {
    for len in LENGTHS {
        let src = noise(len + 3);
        let (mut dst1, mut dst2) = (vec![0xaa; len + 2], vec![0x55; len + 2]);
        dualcast(&src[3..], &mut dst1[1..=len], &mut dst2[1..=len]);
        for (dst, outside) in [(&dst1, 0xaa), (&dst2, 0x55)] {
            assert_eq!((dst[0], dst[len + 1]), (outside, outside), "{len} bytes");
            assert!(dst[1..=len].iter().zip(&src[3..]).all(|(dst, src)| dst == src), "{len} bytes");
        }
    }
}

#[test]
fn overlapping_copy_reads_the_source_before_writing() {
    for len in LENGTHS {
        for (from, to) in [(0, 1), (1, 0), (0, 64), (64, 0), (0, len / 2), (len / 2, 0)] {
            let before = noise(len + from.max(to));
            let mut memory = before.clone();
            copy_within(&mut memory, from..from + len, to);
            let mut expected = before.clone();
            for (i, byte) in before[from..from + len].iter().enumerate() {
                expected[to + i] = *byte;
            }
            assert!(memory == expected, "{len} bytes from {from} to {to}");
        }
    }
}

#[test]
fn fill_repeats_the_pattern_and_cuts_its_tail() {
    let word = 0x0807_0605_0403_0201_u64;
    let high = 0x1817_1615_1413_1211_u64;
    for len in LENGTHS {
        for (pattern, words) in [
            (Pattern::from_u64(word), vec![word]),
            (Pattern::from_words(word, high), vec![word, high]),
            (Pattern::from_u64(0), vec![0]),
            (Pattern::from_u64(u64::MAX), vec![u64::MAX]),
        ] {
            let period: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
            let mut memory = vec![0xaa; len + 2];
            fill(&mut memory[1..=len], pattern);
            assert_eq!((memory[0], memory[len + 1]), (0xaa, 0xaa), "{len} bytes");
            for (i, byte) in memory[1..=len].iter().enumerate() {
                assert_eq!(*byte, period[i % period.len()], "{len} bytes of {pattern:?}, byte {i}");
            }
            assert_eq!(first_difference_from_pattern(&memory[1..=len], pattern), None);
        }
    }
}

#[test]
fn compare_finds_the_one_byte_that_differs() {
    for len in LENGTHS.into_iter().filter(|&len| len > 0) {
        let a = noise(len);
        let mut b = a.clone();
        assert_eq!(first_difference(&a, &b), None);
        for at in [0, len / 3, len / 2, len - 1] {
            b[at] ^= 0x80;
            assert_eq!(first_difference(&a, &b), Some(at), "{len} bytes");
            b[at] = a[at];
        }
    }
}

#[test]
fn compare_of_a_prefix_differs_where_it_ends() {
    assert_eq!(first_difference(b"swallow", b"swallows"), Some(7));
    assert_eq!(first_difference(b"", b""), None);
    assert_eq!(first_difference(b"", b"s"), Some(0));
}

proptest! {
    #[test]
    fn compare_agrees_with_a_byte_loop(
        a in prop::collection::vec(0..3_u8, 0..9000),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
    ) {
        let mut b = a.clone();
        for (at, value) in flips {
            if !b.is_empty() {
                let at = at.index(b.len());
                b[at] ^= value;
            }
        }
        let expected = (0..a.len()).find(|&i| a[i] != b[i]);
        prop_assert_eq!(first_difference(&a, &b), expected);
    }

    #[test]
    fn compare_with_pattern_agrees_with_a_byte_loop(
        bytes: [u8; 16],
        len in 0..9000_usize,
        flip: prop::sample::Index,
        value: u8,
    ) {
        let mut data: Vec<u8> = (0..len).map(|i| bytes[i % 16]).collect();
        if len > 0 {
            data[flip.index(len)] ^= value;
        }
        let expected = (0..len).find(|&i| data[i] != bytes[i % 16]);
        prop_assert_eq!(first_difference_from_pattern(&data, Pattern::from_bytes(bytes)), expected);
    }

    #[test]
    fn fill_resumes_with_the_advanced_pattern(bytes: [u8; 16], len in 0..5000_usize, cut: prop::sample::Index) {
        let pattern = Pattern::from_bytes(bytes);
        let cut = cut.index(len + 1);
        let mut memory = vec![0; len];
        let (head, tail) = memory.split_at_mut(cut);
        fill(head, pattern);
        fill(tail, pattern.advanced(cut));
        let expected: Vec<u8> = (0..len).map(|i| bytes[i % 16]).collect();
        prop_assert_eq!(memory, expected);
    }
}
