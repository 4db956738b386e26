//! Pieces and what they add up to, without any memory behind them.

use svala::{Crc, VirtAddr};

use super::*;

/// Takes `unit` apart as far as it goes without anything coming back.
fn take_all(unit: &mut Unit) -> Vec<Piece> {
    std::iter::from_fn(|| unit.next()).collect()
}

fn copy(src: u64, dst: u64, len: u64) -> Job {
    Job::Copy { src: VirtAddr::new(src), dst: VirtAddr::new(dst), len }
}

#[test]
fn pieces_cover_the_job_and_nothing_else() {
    for len in [1, 4095, PIECE_BYTES_MIN + 1, PIECE_BYTES_MAX * 3, PIECE_BYTES_MAX * 5 + 7] {
        for workers in [1, 2, 7, 1000] {
            let mut unit = Unit::new(copy(1 << 40, 1 << 41, len), workers);
            let mut next = 0;
            for piece in take_all(&mut unit) {
                let Job::Copy { src, dst, len } = piece.job else { panic!() };
                assert_eq!((src.get(), dst.get()), ((1 << 40) + next, (1 << 41) + next));
                next += len;
            }
            assert_eq!(next, len);
            assert!(unit.is_drained());
        }
    }
}

#[test]
fn overlapping_copy_hands_out_one_piece_at_a_time_from_the_end_that_is_safe() {
    const LEN: u64 = 3 * PIECE_BYTES_MAX + 5;
    for (src, dst, first) in [(1 << 20, 2 << 20, LEN - PIECE_BYTES_MAX), (2 << 20, 1 << 20, 0)] {
        let mut unit = Unit::new(copy(src, dst, LEN), 8);
        let pieces = take_all(&mut unit);
        assert_eq!((pieces.len(), pieces[0].offset), (1, first));
        unit.merge(&pieces[0], Ok(Done { bytes: PIECE_BYTES_MAX, value: Value::None }));
        assert!(unit.is_ready());
    }
}

#[test]
fn crcs_that_come_back_in_any_order_add_up() {
    let data: Vec<u8> = (0..=250).cycle().take(3_000_001).collect();
    let before = crc::Crc::<u32>::new(&crc::CRC_32_ISCSI).checksum(b"before");
    let total = data.len().try_into().unwrap();
    let job = Job::Crc { src: VirtAddr::new(0), len: total, crc: Crc::CRC32C, seed: before.into() };
    let mut unit = Unit::new(job, 4);
    let mut pieces = take_all(&mut unit);
    pieces.reverse();
    pieces.swap(0, 1);
    for piece in &pieces {
        let Job::Crc { src, len, seed, .. } = piece.job else { panic!() };
        let at = usize::try_from(src.get()).unwrap();
        let bytes = &data[at..at + usize::try_from(len).unwrap()];
        let value = Value::Crc(crate::crc32c(u32::try_from(seed).unwrap(), bytes).into());
        unit.merge(piece, Ok(Done { bytes: len, value }));
    }
    let wanted = crc::Crc::<u32>::new(&crc::CRC_32_ISCSI).checksum(&[b"before", &data[..]].concat());
    assert_eq!(unit.outcome(), Ok(Done { bytes: total, value: Value::Crc(wanted.into()) }));
}

#[test]
fn difference_before_a_failure_is_the_answer_and_one_behind_it_is_not() {
    let job = Job::Compare { a: VirtAddr::new(0), b: VirtAddr::new(1 << 40), len: 4 * PIECE_BYTES_MAX };
    let vanished = Failure::Vanished { addr: VirtAddr::new(PIECE_BYTES_MAX) };
    let differs = Ok(Done { bytes: 5, value: Value::Difference(Some(5)) });
    for (differing, failing, wanted) in
        [(0, 1, Ok(Done { bytes: 5, value: Value::Difference(Some(5)) })), (2, 1, Err(vanished))]
    {
        let mut unit = Unit::new(job, 4);
        let pieces = take_all(&mut unit);
        unit.merge(&pieces[differing], differs);
        unit.merge(&pieces[failing], Err(vanished));
        assert_eq!(unit.outcome(), wanted);
    }
}
