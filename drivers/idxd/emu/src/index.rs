//! Lengths on the bus as lengths of our own buffers.

const _: () = assert!(usize::BITS == 64, "addresses and lengths on the bus have 64 bits");

/// A length or an offset that is known to lie in a buffer of ours.
#[expect(clippy::cast_possible_truncation, reason = "usize has 64 bits, asserted above")]
pub(crate) const fn index(len: u64) -> usize {
    len as usize
}

/// The lower half, for values that carry a 32-bit number in 64 bits.
#[expect(clippy::cast_possible_truncation, reason = "the lower half is what is wanted")]
pub(crate) const fn low_half(value: u64) -> u32 {
    value as u32
}
