//! Filters through the queue: pieces on several workers say what the whole says, and what cannot be is an error.
//!
//! UNSAFETY: submits jobs on memory it keeps.
#![expect(clippy::cast_possible_truncation, reason = "numbers of test data, all small")]
#![expect(unsafe_code, reason = "raw jobs that no buffer makes")]

use pollster::block_on;
use svala::{
    Aggregates, BitVec, Column, Error, Filter, FilterKind, Job, Packing, Path, Predicate, Span, VirtAddr,
};

use crate::{never_inline, noise, runtime, runtime_with};

/// More than a piece of the queue.
const BYTES: usize = (3 << 20) + 5;

fn element(bytes: &[u8], at: usize, width: usize) -> u32 {
    let bit = |bit: usize| u32::from(bytes[bit / 8] >> (bit % 8) & 1);
    (0..width).fold(0, |sum, step| sum | bit(at * width + step) << step)
}

#[test]
fn a_scan_in_pieces_is_that_of_the_whole() {
    let bytes = noise(BYTES);
    for runtime in [runtime(), runtime_with(never_inline())] {
        for width in [3, 8, 13, 16, 32] {
            let count = (8 * BYTES / usize::from(width)) as u32;
            let middle = u32::MAX >> (33 - width);
            let predicate = Predicate::not_between(middle / 2, middle);
            let expected: BitVec =
                (0..count).map(|at| predicate.holds(element(&bytes, at as usize, width.into()))).collect();
            let column = Column::packed(bytes.clone(), width, count);
            let done = block_on(runtime.column(column).scan(predicate)).expect("scans");
            assert!(done.value == expected, "{width} bits");
            assert!(matches!(done.report.path, Path::Software { .. }));
            let done = block_on(runtime.column(done.buffers).count(predicate)).expect("counts");
            assert_eq!(done.value, expected.count_ones(), "{width} bits");
            let done = block_on(runtime.column(done.buffers).indices(predicate)).expect("finds");
            assert!(done.value.iter().copied().eq(expected.iter_ones()), "{width} bits");
        }
    }
}

/// Nothing: not a one anywhere, and all of it.
#[test]
fn pieces_without_ones_leave_no_trace() {
    let runtime = runtime_with(never_inline());
    let mut bytes = vec![0; BYTES];
    bytes[BYTES - 1] = 7;
    let column = || Column::packed(bytes.clone(), 8, BYTES as u32);
    let done = block_on(runtime.column(column()).scan(Predicate::eq(7))).expect("scans");
    let last = BYTES as u32 - 1;
    assert_eq!((done.value.first(), done.value.last(), done.value.count_ones()), (Some(last), Some(last), 1));
    let done = block_on(runtime.column(column()).scan(Predicate::eq(9))).expect("scans");
    assert_eq!((done.value.first(), done.value.count_ones()), (None, 0));
    let filter = Filter::new(FilterKind::Scan, Packing::Little, 8, BYTES as u32).with_parameters(9, 9);
    let done = block_on(runtime.filter(column(), Vec::new(), Vec::new(), filter)).expect("scans");
    assert_eq!((done.value.elements, done.value.aggregates), (0, Aggregates::EMPTY));
}

/// A stream that expands to far more than the elements take is not kept.
#[test]
fn a_deflated_column_takes_no_more_memory_than_its_elements() {
    let zeros = vec![0_u8; 64 << 20];
    let mut state = flate2::Compress::new(flate2::Compression::new(9), false);
    let mut stream = Vec::with_capacity(1 << 20);
    state.compress_vec(&zeros, &mut stream, flate2::FlushCompress::Finish).expect("room");
    for runtime in [runtime(), runtime_with(never_inline())] {
        let column = Column::packed(stream.clone(), 8, 1000).deflated();
        let done = block_on(runtime.column(column).count(Predicate::eq(0))).expect("counts");
        assert_eq!(done.value, 1000);
        let column = Column::packed(stream[..100].to_vec(), 32, 1 << 28).deflated();
        let failed = block_on(runtime.column(column).count(Predicate::eq(0))).expect_err("ends early");
        assert!(matches!(failed.error, Error::Truncated { .. }), "{}", failed.error);
        let column = Column::packed(vec![0xff_u8; 100], 32, 5).deflated();
        let failed = block_on(runtime.column(column).count(Predicate::eq(0))).expect_err("no stream");
        assert!(matches!(failed.error, Error::Corrupt { .. }), "{}", failed.error);
        assert!(failed.buffers.is_some());
    }
}

/// What only a raw job can say.
#[test]
fn misshapen_filters_are_errors() {
    for runtime in [runtime(), runtime_with(never_inline())] {
        let (src, mut dst) = (vec![1_u8; 1 << 20], vec![0_u8; 4096]);
        let span = Span::new(VirtAddr::of(src.as_ptr()), src.len() as u64);
        let room = Span::new(VirtAddr::of(dst.as_mut_ptr().cast_const()), dst.len() as u64);
        for width in [0, 33, 255] {
            for kind in [FilterKind::Scan, FilterKind::Extract, FilterKind::FindUnique, FilterKind::RleBurst]
            {
                let filter = Filter::new(kind, Packing::Little, width, 99).with_parameters(1, 5);
                let job = Job::Filter { src: span, second: span.addr.add(4096), dst: room, filter };
                // SAFETY: both buffers are here until the answer, and nobody else uses them.
                let failed = block_on(unsafe { runtime.submit_raw(job) }).expect_err("no such element");
                assert!(matches!(failed.error, Error::Column { .. }), "{}", failed.error);
            }
        }
        let filter = Filter::new(FilterKind::Scan, Packing::Little, 8, u32::MAX);
        let job = Job::Filter { src: span, second: VirtAddr::default(), dst: room, filter };
        // SAFETY: as above.
        let failed = block_on(unsafe { runtime.submit_raw(job) }).expect_err("too short");
        assert!(matches!(failed.error, Error::Column { .. }), "{}", failed.error);
    }
}
