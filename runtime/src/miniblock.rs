//! Miniblocks: pieces of one size within the blocks of a deflate stream, that refer to nothing outside of themselves.
//!
//! A reader that has the codes of a block can begin at any of its miniblocks, at a bit that an index says. The codes are in the
//! block's header, so that an index is of no use without the place of that.

use crate::address::{Span, VirtAddr};

/// Bytes of an entry of an index: in the lower half where its miniblock ends, in bits from the start of the stream; in the upper
/// half the CRC-32 of the data up to there. Little-endian.
///
/// A miniblock that is the last of its block ends behind the block's end. Source: IAA §3.3.2.
pub const MINIBLOCK_ENTRY_BYTES: u64 = 8;

/// Bytes that have any block's header in them, wherever in the first it begins.
const HEADER_BYTES_MAX: u64 = 288;

/// Bytes of data in a miniblock.
///
/// Source: IAA tables 6-8 and 6-11, Enable Indexing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum MiniblockSize {
    /// 512 bytes.
    Bytes512 = 1,
    /// 1 KiB.
    Kib1,
    /// 2 KiB.
    Kib2,
    /// 4 KiB.
    Kib4,
    /// 8 KiB.
    Kib8,
    /// 16 KiB.
    Kib16,
    /// 32 KiB.
    Kib32,
}

impl MiniblockSize {
    /// Every size there is.
    pub const ALL: [Self; 7] =
        [Self::Bytes512, Self::Kib1, Self::Kib2, Self::Kib4, Self::Kib8, Self::Kib16, Self::Kib32];

    /// The size of so many bytes. None: there is none.
    pub fn from_bytes(bytes: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|size| size.bytes() == bytes)
    }

    /// Bytes of it.
    pub const fn bytes(self) -> u64 {
        256 << self as u8
    }

    /// What a descriptor says for it.
    pub const fn indexing(self) -> u16 {
        self as u16
    }
}

/// Where a block stands in a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BlockStart {
    /// First bit of its header, from the start of the stream.
    pub bit: u32,
    /// CRC-32 of the data of the blocks before it; 0 if there are none.
    pub crc: u32,
}

/// Miniblocks that follow each other in a stream: where they are, in bits from its start, and what is known of their data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Miniblocks {
    /// First bit of the header of the block that the first of them is in.
    pub header: u32,
    /// Where the one before them ends, or `header` again, if they are the first of that block.
    pub start: u32,
    /// Where the last of them ends.
    pub end: u32,
    /// CRC-32 of the data before them.
    pub crc_before: u32,
    /// CRC-32 of the data up to their end.
    pub crc: u32,
}

impl Miniblocks {
    /// Whether reading begins with a header, so that no codes are needed before.
    pub const fn begin_with_header(&self) -> bool {
        self.header == self.start
    }

    /// The bytes they are in, of a stream that begins at `stream`.
    pub const fn span(&self, stream: VirtAddr) -> Span {
        bytes(stream, self.start, self.end)
    }

    /// The bytes that have the header in them, and no more than are before the miniblocks. None: reading begins with it.
    pub const fn header_span(&self, stream: VirtAddr) -> Option<Span> {
        if self.begin_with_header() {
            return None;
        }
        Some(bytes(stream, self.header, self.start).part(0, HEADER_BYTES_MAX))
    }

    /// Whether they are in this order, and within so many bytes.
    pub(crate) fn fit(&self, len: u64) -> bool {
        self.header <= self.start && self.start < self.end && u64::from(self.end).div_ceil(8) <= len
    }
}

/// The bytes that have the bits from `start` to `end`.
const fn bytes(stream: VirtAddr, start: u32, end: u32) -> Span {
    let first = start / 8;
    Span::new(stream.add(first as u64), end.div_ceil(8).saturating_sub(first) as u64)
}

/// Why a stream has no index, or what is wrong with miniblocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum MiniblockFault {
    /// The stream was not made of miniblocks of that size: a match refers to another one.
    #[error("a match refers to another miniblock")]
    Distance,
    /// The same: a match goes on in the next one.
    #[error("a match goes on in the next miniblock")]
    Length,
    /// The same: a block ends in the middle of one, and is not the last.
    #[error("a block ends within a miniblock")]
    Block,
    /// The data is not that of the index.
    #[error("the data has the crc {found:#010x}, and its index {expected:#010x}")]
    Crc {
        /// Of the index.
        expected: u32,
        /// Of the data.
        found: u32,
    },
    /// There are no such miniblocks in the index, or none in the range.
    #[error("miniblocks {first} to {end} of {count}")]
    Outside {
        /// The first one asked for.
        first: u64,
        /// The one behind the last.
        end: u64,
        /// How many there are.
        count: u64,
    },
    /// Their places are not in order.
    #[error("bits {start} to {end}, with a header at {header}, are no miniblocks")]
    Places {
        /// First bit of the header.
        header: u32,
        /// First bit of the miniblocks.
        start: u32,
        /// The bit behind them.
        end: u32,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_of_the_specification() {
        let bytes: Vec<u64> = MiniblockSize::ALL.into_iter().map(MiniblockSize::bytes).collect();
        assert_eq!(bytes, [512, 1024, 2048, 4096, 8192, 16_384, 32_768]);
        assert_eq!(MiniblockSize::from_bytes(4096).map(MiniblockSize::indexing), Some(4));
        assert_eq!([0, 256, 513, 65_536].map(MiniblockSize::from_bytes), [None; 4]);
    }

    #[test]
    fn miniblocks_are_in_the_bytes_that_have_their_bits() {
        let at = |header, start, end| Miniblocks { header, start, end, crc_before: 0, crc: 0 };
        let stream = VirtAddr::new(1000);
        let miniblocks = at(15, 17, 24);
        assert_eq!(miniblocks.span(stream), Span::new(VirtAddr::new(1002), 1));
        assert_eq!(miniblocks.header_span(stream), Some(Span::new(VirtAddr::new(1001), 2)));
        assert_eq!(at(8, 8, 9).header_span(stream), None);
        assert!(miniblocks.fit(3) && !miniblocks.fit(2) && !at(18, 17, 24).fit(3) && !at(0, 8, 8).fit(3));
        assert_eq!(
            at(0, 30_000, 40_000).header_span(stream).map(|header| header.len),
            Some(HEADER_BYTES_MAX)
        );
    }
}
