//! Lengths and offsets at which things go wrong.

use crate::support::{PAGE, Setup, State};

/// Around a cache line, a page, the largest transfer, and what is several of them.
pub(super) fn lengths(setup: &Setup) -> Vec<usize> {
    let max = setup.transfer_bytes_max;
    let mut lengths = vec![1, 63, 64, 65, PAGE - 1, PAGE, PAGE + 1, max - 1, max, max + 1, 3 * max + 77];
    if max < 2 << 20 {
        lengths.extend([(2 << 20) - 1, (2 << 20) + 1]);
    }
    lengths
}

/// The same in units of `unit` bytes, 1 at least, up to `units_max`.
pub(super) fn units(setup: &Setup, unit: usize, units_max: usize) -> Vec<usize> {
    let mut units: Vec<_> = lengths(setup)
        .into_iter()
        .flat_map(|len| [len / unit, len.div_ceil(unit)])
        .filter(|units| (1..=units_max).contains(units))
        .collect();
    units.sort_unstable();
    units.dedup();
    units
}

/// Runs `body` on every length, at odd and at even offsets, on pages that are present and on such as are not.
pub(super) fn everywhere(setup: &Setup, mut body: impl FnMut(usize, usize, State)) {
    for len in lengths(setup) {
        for state in State::BOTH {
            for offset in [0, 1, 64] {
                body(len, offset, state);
            }
        }
    }
}
