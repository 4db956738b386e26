//! The blocks of a job, as addresses.

use crate::address::{Span, VirtAddr};

/// Bytes of an entry of a list.
pub const BLOCK_ENTRY_BYTES: u64 = 8;

/// Blocks of one size in a range, by a list of where they begin: offsets in bytes from its start, eight bytes each,
/// little-endian.
///
/// Whoever makes a job of it answers for every block being inside the range, and for the list staying as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blocks {
    /// The range.
    pub base: Span,
    /// The list; 8-byte aligned.
    pub list: VirtAddr,
    /// Blocks.
    pub count: u32,
    /// Bytes of each.
    pub block_bytes: u32,
}

impl Blocks {
    /// Bytes of all blocks together.
    pub const fn bytes(&self) -> u64 {
        self.count as u64 * self.block_bytes as u64
    }

    /// Where the list is.
    pub const fn list_span(&self) -> Span {
        Span::new(self.list, self.count as u64 * BLOCK_ENTRY_BYTES)
    }
}
