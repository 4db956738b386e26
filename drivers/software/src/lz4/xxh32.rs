//! xxHash of 32 bits with seed 0, the checksum of LZ4 frames. It cannot be combined: whoever wants that of a whole sees all of
//! it, in order.

use std::hash::Hasher as _;

use twox_hash::XxHash32;

/// An xxHash under way.
#[derive(Clone, Debug)]
pub struct Xxh32(XxHash32);

impl Default for Xxh32 {
    fn default() -> Self {
        Self::new()
    }
}

impl Xxh32 {
    /// That of nothing.
    pub const fn new() -> Self {
        Self(XxHash32::with_seed(0))
    }

    /// That of some bytes.
    pub fn of(bytes: &[u8]) -> u32 {
        XxHash32::oneshot(0, bytes)
    }

    /// Goes on with what comes next.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.write(bytes);
    }

    /// That of all there was.
    pub fn value(&self) -> u32 {
        self.0.finish_32()
    }
}
