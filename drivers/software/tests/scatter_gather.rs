//! Gather and scatter, against loops over bytes.

use proptest::prelude::*;
use svala_software::Pattern;
use svala_software::scatter_gather::{BlockOutside, gather, scatter, scatter_fill};

const PATTERN: [u8; 8] = [1, 2, 3, 4, 5, 6, 7, 8];

fn blocks() -> impl Strategy<Value = (Vec<u8>, Vec<usize>, usize)> {
    (
        proptest::collection::vec(any::<u8>(), 1000),
        proptest::collection::vec(0..900_usize, 0..12),
        1..100_usize,
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn gather_copies_blocks_one_behind_the_other((src, offsets, block) in blocks()) {
        let mut dst = vec![0; offsets.len() * block];
        gather(&src, &offsets, block, &mut dst).unwrap();
        for (at, byte) in dst.iter().enumerate() {
            prop_assert_eq!(*byte, src[offsets[at / block] + at % block]);
        }
    }

    #[test]
    fn scatter_writes_nothing_but_the_blocks((before, offsets, block) in blocks(), seed: u8) {
        let src: Vec<_> = (0..=250).cycle().map(|byte: u8| byte ^ seed).take(offsets.len() * block).collect();
        let (mut copied, mut filled) = (before.clone(), before.clone());
        scatter(&src, &offsets, block, &mut copied).unwrap();
        scatter_fill(Pattern::from_u64(u64::from_le_bytes(PATTERN)), &offsets, block, &mut filled).unwrap();
        for at in 0..before.len() {
            let last = offsets.iter().rposition(|offset| (*offset..offset + block).contains(&at));
            let place = last.map(|index| (index, at - offsets[index]));
            prop_assert_eq!(copied[at], place.map_or(before[at], |(index, inside)| src[index * block + inside]));
            prop_assert_eq!(filled[at], place.map_or(before[at], |(_, inside)| PATTERN[inside % 8]));
        }
    }
}

#[test]
fn block_that_is_not_inside_is_named() {
    let src = [7; 100];
    let outside = |index, offset| Err(BlockOutside { index, offset, len: 100 });
    assert_eq!(gather(&src, &[0, 91, 5], 10, &mut [0; 30]), outside(1, 91));
    assert_eq!(gather(&src, &[usize::MAX], 10, &mut [0; 10]), outside(0, usize::MAX));
    assert_eq!(scatter(&[0; 20], &[90, 100], 10, &mut [0; 100]), outside(1, 100));
    assert_eq!(scatter_fill(Pattern::from_u64(0), &[98], 3, &mut [0; 100]), outside(0, 98));
    assert_eq!(gather(&src, &[], 8, &mut []), Ok(()));
}
