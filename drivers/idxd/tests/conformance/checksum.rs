//! CRCs of either width, with steps left out, alone and on the way of a copy.

use crc::{Algorithm, CRC_32_ISCSI, CRC_64_NVME};
use pollster::block_on;
use svala::{Crc, CrcBypass, CrcKind, Error, IoBuf, Operation};

use super::shapes::lengths;
use crate::support::{Setup, State, noise};

/// The oracle: the `crc` crate, with the parameters that the specification's words mean in the model of that crate
/// (DSA §8.3.12, appendix A). `seed` is the first one.
fn oracle(crc: Crc, bytes: &[u8]) -> u64 {
    let inverts = !crc.bypass.contains(CrcBypass::INVERSION);
    let refin = !crc.bypass.contains(CrcBypass::REFLECTION);
    // The same steps reflect and invert seed and result. The first seed is all ones either way: inverted zeros, or as
    // they are.
    match crc.kind {
        CrcKind::Crc32c => {
            let xorout = if inverts { u32::MAX } else { 0 };
            let algorithm = Algorithm { refin, refout: inverts, xorout, ..CRC_32_ISCSI };
            crc::Crc::<u32>::new(Box::leak(Box::new(algorithm))).checksum(bytes).into()
        }
        CrcKind::Crc64 => {
            let xorout = if inverts { u64::MAX } else { 0 };
            let algorithm = Algorithm { refin, refout: inverts, xorout, ..CRC_64_NVME };
            crc::Crc::<u64>::new(Box::leak(Box::new(algorithm))).checksum(bytes)
        }
    }
}

fn first_seed(crc: Crc) -> u64 {
    match (crc.bypass.contains(CrcBypass::INVERSION), crc.kind) {
        (false, _) => 0,
        (true, CrcKind::Crc32c) => u32::MAX.into(),
        (true, CrcKind::Crc64) => u64::MAX,
    }
}

/// Every CRC there is.
fn all() -> impl Iterator<Item = Crc> {
    let none = CrcBypass::empty();
    [Crc::CRC32C, Crc::CRC64].into_iter().flat_map(move |crc| {
        [none, CrcBypass::INVERSION, CrcBypass::REFLECTION, CrcBypass::all()]
            .map(|bypass| crc.bypassing(bypass))
    })
}

const fn operation(crc: Crc) -> Operation {
    match crc.kind {
        CrcKind::Crc32c => Operation::Crc32c,
        CrcKind::Crc64 => Operation::Crc64,
    }
}

pub(crate) fn crc(setup: &Setup) {
    for crc in all() {
        let operation = operation(crc);
        if !setup.offers(operation) {
            let failed = block_on(setup.runtime.crc(noise(10, 1), crc, 0)).expect_err("not offered");
            assert!(
                matches!(failed.error, Error::Unsupported { operation: refused } if refused == operation)
            );
            continue;
        }
        let sum = |state: State, bytes: &[u8], seed| {
            setup.well(operation, setup.runtime.crc(state.source(bytes, 5), crc, seed)).value
        };
        for len in lengths(setup) {
            let bytes = noise(len, 23);
            let expected = oracle(crc, &bytes);
            for state in State::BOTH {
                let value = sum(state, &bytes, first_seed(crc));
                assert_eq!(value, expected, "{crc:?} of {len} bytes, {state:?}");
            }
            if len > 1 {
                let (first, second) = bytes.split_at(len / 3 + 1);
                let seed = sum(State::Warm, first, first_seed(crc));
                let value = if second.is_empty() { seed } else { sum(State::Warm, second, seed) };
                assert_eq!(value, expected, "{crc:?} of {len} bytes in two");
            }
        }
    }
}

pub(crate) fn copy_crc(setup: &Setup) {
    for crc in all() {
        let operation = match operation(crc) {
            Operation::Crc32c => Operation::CopyCrc32c,
            _ => Operation::CopyCrc64,
        };
        if !setup.offers(operation) {
            let failed =
                block_on(setup.runtime.copy_crc(noise(10, 1), vec![0; 10], crc, 0)).expect_err("not offered");
            assert!(
                matches!(failed.error, Error::Unsupported { operation: refused } if refused == operation)
            );
            continue;
        }
        for len in lengths(setup) {
            let bytes = noise(len, 29);
            for state in State::BOTH {
                let (src, dst) = (state.source(&bytes, 1), state.destination(len, 7));
                let done = setup.well(operation, setup.runtime.copy_crc(src, dst, crc, first_seed(crc)));
                assert_eq!(done.value, oracle(crc, &bytes), "{crc:?} of {len} bytes, {state:?}");
                assert!(done.buffers.1.bytes() == &bytes[..], "{crc:?}, {len} bytes, {state:?}");
            }
        }
    }
}
