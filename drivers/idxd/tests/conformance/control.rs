//! Operations on no data, or on none of it that changes.

use pollster::block_on;
use svala::{Error, IoBuf, Operation};

use super::shapes::{everywhere, lengths};
use crate::support::{Faults, Pages, Setup, State, noise};

pub(crate) fn noop(setup: &Setup) {
    for _ in 0..10 {
        let done = setup.well(Operation::Noop, setup.runtime.noop());
        assert_eq!(done.report.bytes, 0);
    }
}

pub(crate) fn drain(setup: &Setup) {
    let max = setup.transfer_bytes_max;
    let mut before: Vec<_> = (0..8_u64)
        .map(|seed| {
            let copy = setup.runtime.copy(noise(max, seed), vec![0_u8; max]);
            Box::pin(copy)
        })
        .collect();
    // All are submitted before the drain is.
    let waker = std::task::Waker::noop();
    let mut cx = std::task::Context::from_waker(waker);
    let answered: Vec<_> = before.iter_mut().map(|copy| copy.as_mut().poll(&mut cx).is_ready()).collect();
    setup.well(Operation::Drain, setup.runtime.drain());
    for (copy, answered) in before.into_iter().zip(answered) {
        if !answered {
            let done = block_on(copy).expect("copies");
            assert!(done.buffers.0 == done.buffers.1);
        }
    }
}

pub(crate) fn cache_flush(setup: &Setup) {
    everywhere(setup, |len, offset, state| {
        let bytes = noise(len, 3);
        let flushed =
            setup.well(Operation::CacheFlush, setup.runtime.cache_flush(state.source(&bytes, offset)));
        assert_eq!(flushed.report.bytes, len as u64);
        assert!(flushed.buffers.bytes() == &bytes[..], "{len} bytes at {offset}, {state:?}");
        let written = setup.runtime.cache_write_back(state.source(&bytes, offset));
        assert!(setup.well(Operation::CacheFlush, written).buffers.bytes() == &bytes[..]);
    });
    // Memory that nobody ever wrote.
    let len = 2 * setup.transfer_bytes_max + 5;
    let cold = setup.well(Operation::CacheFlush, setup.runtime.cache_flush(Pages::cold(len)));
    assert!(cold.buffers.bytes().iter().all(|byte| *byte == 0));
}

pub(crate) fn translation_fetch(setup: &Setup) {
    if !setup.offers(Operation::TranslationFetch) {
        let failed = block_on(setup.runtime.translation_fetch(vec![0_u8; 10])).expect_err("not offered");
        assert!(matches!(failed.error, Error::Unsupported { operation: Operation::TranslationFetch }));
        return;
    }
    for len in lengths(setup) {
        for offset in [0, 1, 4095] {
            let bytes = noise(len, 3);
            let pages = State::Cold.source(&bytes, offset);
            let done = setup.well(Operation::TranslationFetch, setup.runtime.translation_fetch(pages));
            assert_eq!(done.report.bytes, len as u64);
            let seen = done.report.faults;
            match setup.faults {
                Faults::Resolve | Faults::ResolveByThreads => assert!(seen.resubmissions > 0, "{seen:?}"),
                _ => {}
            }
            assert!(done.buffers.bytes() == &bytes[..]);
        }
    }
}
