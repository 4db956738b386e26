//! Two destinations, long patterns, comparing with a pattern.

use pollster::block_on;
use svala::{Error, IoBuf, Operation, Path};

use super::shapes::{everywhere, lengths};
use crate::support::{Setup, State, noise};

pub(crate) fn dualcast(setup: &Setup) {
    everywhere(setup, |len, offset, state| {
        let bytes = noise(len, 17);
        // Any source, and destinations at the same offset in a page.
        let src = state.source(&bytes, 3);
        let (dst, dst2) = (state.destination(len, offset), state.destination(len, offset));
        let done = setup.well(Operation::Dualcast, setup.runtime.dualcast(src, dst, dst2));
        assert_eq!(done.report.bytes, len as u64);
        let (_, dst, dst2) = done.buffers;
        assert!(dst.bytes() == &bytes[..], "{len} bytes at {offset}, {state:?}");
        assert!(dst2.bytes() == &bytes[..], "{len} bytes at {offset}, {state:?}, second");
        let whole = dst.into_inner();
        let before = if state == State::Warm { 0xee } else { 0 };
        assert!(whole.bytes()[..offset].iter().all(|byte| *byte == before), "before the destination");
    });
    let (dst, dst2) = (State::Warm.destination(100, 0), State::Warm.destination(100, 8));
    let odd = block_on(setup.runtime.dualcast(noise(100, 1), dst, dst2));
    match odd {
        Ok(done) => assert!(matches!(done.report.path, Path::Software { .. })),
        Err(failed) => assert!(matches!(failed.error, Error::Unsupported { .. }), "{}", failed.error),
    }
}

pub(crate) fn fill16(setup: &Setup) {
    let pattern = *b"0123456789abcdef";
    if !setup.offers(Operation::Fill16) {
        let failed = block_on(setup.runtime.fill16(vec![0_u8; 10], pattern)).expect_err("not offered");
        assert!(matches!(failed.error, Error::Unsupported { operation: Operation::Fill16 }));
        return;
    }
    everywhere(setup, |len, offset, state| {
        let done =
            setup.well(Operation::Fill16, setup.runtime.fill16(state.destination(len, offset), pattern));
        let expected = pattern.into_iter().cycle().take(len);
        assert!(done.buffers.bytes().iter().copied().eq(expected), "{len} bytes at {offset}, {state:?}");
    });
}

pub(crate) fn compare_pattern(setup: &Setup) {
    let pattern = 0x0123_4567_89ab_cdef_u64;
    let find = |state: State, bytes: &[u8], offset: usize| {
        let src = state.source(bytes, offset);
        setup.well(Operation::ComparePattern, setup.runtime.compare_pattern(src, pattern)).value
    };
    for len in lengths(setup) {
        let bytes: Vec<u8> = pattern.to_le_bytes().into_iter().cycle().take(len).collect();
        for state in State::BOTH {
            for offset in [0, 3] {
                assert_eq!(find(state, &bytes, offset), None, "{len} bytes at {offset}, {state:?}");
                for at in [0, len / 2, len - 1] {
                    let mut other = bytes.clone();
                    other[at] ^= 1;
                    other[len - 1] ^= 0x10;
                    assert_eq!(find(state, &other, offset), Some(at as u64), "{len} bytes, {at}, {state:?}");
                }
            }
        }
    }
}
