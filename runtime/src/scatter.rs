//! Blocks that lie anywhere in a buffer.

use crate::address::{Span, VirtAddr};
use crate::error::Error;
use crate::job::Operation;

/// A list of blocks of one size, each given by where it begins in a buffer.
///
/// A device reads the list where it is, so it belongs to the operation like a buffer, and comes back like one. Nothing
/// changes it once it is made: that every block is inside a buffer is looked at before a device sees it, and stays so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockList {
    offsets: Box<[u64]>,
    block_bytes: u32,
    /// The end of the block that reaches furthest; `u64::MAX` if there is no such number.
    end: u64,
    /// All offsets or-ed: as aligned as the least aligned of them.
    bits: u64,
}

/// Most blocks of a list.
pub const BLOCKS_MAX: usize = u32::MAX as usize;

impl BlockList {
    /// Blocks of `block_bytes` at `offsets`, in bytes from the start of a buffer, in the order they are worked on.
    ///
    /// # Errors
    ///
    /// [`Error::Blocks`] for more than [`BLOCKS_MAX`] blocks, or blocks of no bytes.
    pub fn new(block_bytes: u32, offsets: impl Into<Box<[u64]>>) -> Result<Self, Error> {
        let offsets = offsets.into();
        if block_bytes == 0 || offsets.len() > BLOCKS_MAX {
            return Err(Error::Blocks { blocks: offsets.len() as u64, block_bytes });
        }
        let (last, bits) =
            offsets.iter().fold((None, 0), |(last, bits), offset| (last.max(Some(*offset)), bits | offset));
        let end = last.map_or(0, |last| last.saturating_add(block_bytes.into()));
        Ok(Self { offsets, block_bytes, end, bits })
    }

    /// Where the blocks begin.
    pub fn offsets(&self) -> &[u64] {
        &self.offsets
    }

    /// Bytes of a block.
    pub const fn block_bytes(&self) -> u32 {
        self.block_bytes
    }

    /// Bytes of all blocks together.
    pub fn bytes(&self) -> u64 {
        u64::from(self.block_bytes) * self.count() as u64
    }

    /// How many there are: no more than [`BLOCKS_MAX`].
    pub(crate) fn count(&self) -> u32 {
        u32::try_from(self.offsets.len()).unwrap_or(u32::MAX)
    }

    /// Where the list is.
    pub(crate) fn addr(&self) -> VirtAddr {
        VirtAddr::of(self.offsets.as_ptr())
    }

    /// That every block is inside `base`.
    pub(crate) fn check_inside(&self, operation: Operation, base: Span) -> Result<(), Error> {
        if self.end <= base.len {
            return Ok(());
        }
        let is_outside = |offset: &u64| offset.saturating_add(self.block_bytes.into()) > base.len;
        let index = self.offsets.iter().position(is_outside).unwrap_or(0);
        let offset = self.offsets.get(index).copied().unwrap_or(0);
        Err(Error::BlockOutside { operation, index: index as u64, offset, bytes: base.len })
    }

    /// That every block begins, and ends, where an element of `unit` bytes does.
    pub(crate) fn check_units(&self, operation: Operation, unit: u64) -> Result<(), Error> {
        let bits = self.bits | u64::from(self.block_bytes);
        if bits.is_multiple_of(unit) {
            return Ok(());
        }
        let bytes = self.offsets.iter().copied().find(|offset| !offset.is_multiple_of(unit));
        Err(Error::Units { operation, bytes: bytes.unwrap_or(self.block_bytes.into()), unit })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(len: u64) -> Span {
        Span::new(VirtAddr::new(0x1000), len)
    }

    #[test]
    fn the_block_that_reaches_outside_is_named() {
        let list = BlockList::new(10, vec![0, 90, 91, 5]).expect("four blocks");
        assert!(list.check_inside(Operation::GatherCopy, base(101)).is_ok());
        let error = list.check_inside(Operation::GatherCopy, base(100)).expect_err("one byte less");
        assert!(matches!(error, Error::BlockOutside { index: 2, offset: 91, bytes: 100, .. }), "{error}");
    }

    #[test]
    fn an_offset_near_the_end_of_all_numbers_does_not_wrap_into_the_buffer() {
        for offset in [u64::MAX, u64::MAX - 9, u64::MAX - 10] {
            let list = BlockList::new(10, vec![offset]).expect("a block");
            assert!(list.check_inside(Operation::ScatterFill, base(u64::MAX - 1)).is_err(), "{offset:#x}");
        }
    }

    #[test]
    fn blocks_of_nothing_are_refused() {
        assert!(matches!(BlockList::new(0, vec![1]), Err(Error::Blocks { blocks: 1, block_bytes: 0 })));
        let none = BlockList::new(8, Vec::new()).expect("no blocks are a list");
        assert!(none.check_inside(Operation::GatherCopy, base(0)).is_ok());
    }

    #[test]
    fn vectors_begin_and_end_at_elements() {
        let list = |block_bytes, offset| BlockList::new(block_bytes, vec![0, offset]).expect("two blocks");
        assert!(list(16, 32).check_units(Operation::GatherReduce, 8).is_ok());
        assert!(list(16, 36).check_units(Operation::GatherReduce, 8).is_err());
        assert!(list(12, 32).check_units(Operation::GatherReduce, 8).is_err());
    }
}
