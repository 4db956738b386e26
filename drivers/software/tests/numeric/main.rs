//! Conversions and combinations against values computed another way: every 8-bit and 16-bit number there is, and numbers
//! of other types from where something happens.

mod float;
mod integer;
mod oracle;

use svala_software::numeric::{Rounding, Rules};

pub(crate) const ROUNDINGS: [Rounding; 4] =
    [Rounding::NearestEven, Rounding::Down, Rounding::Up, Rounding::TowardZero];

/// Every rounding, with denormal numbers and with zeros in their place.
pub(crate) fn rules() -> impl Iterator<Item = Rules> {
    ROUNDINGS.into_iter().flat_map(|rounding| {
        [(false, false), (true, false), (false, true), (true, true)].into_iter().map(move |(daz, ftz)| {
            Rules { rounding, denormals_are_zero: daz, flush_to_zero: ftz, ..Rules::default() }
        })
    })
}

/// Numbers that look random, the same every time.
pub(crate) fn random() -> impl Iterator<Item = u64> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    })
}
