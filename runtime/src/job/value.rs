//! What a job answers.

use crate::dif::DifTags;
use crate::filter::Aggregates;
use crate::numeric::NumberExceptions;

/// What a finished job found.
// The tag a whole word: moved in words, an answer that was just written costs loads; at odd places, stalls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
#[repr(u64)]
pub enum Value {
    /// Nothing beyond having been done.
    #[default]
    None,
    /// Offset of the first difference, none if the ranges are equal.
    Difference(Option<u64>),
    /// The CRC, in the low half if it has 32 bits.
    Crc(u64),
    /// A delta record.
    Delta {
        /// Bytes of it; 0 if the ranges are equal.
        written: u64,
    },
    /// Tags of the block that would come next, to go on with.
    Tags {
        /// In the source.
        source: DifTags,
        /// In the destination.
        destination: DifTags,
    },
    /// What happened to at least one number.
    Exceptions(NumberExceptions),
    /// A filter's output.
    Filter {
        /// Elements of it; 0 if there was no room for any.
        elements: u32,
        /// What is known of it without looking.
        aggregates: Aggregates,
    },
    /// Bytes of output.
    Written(u64),
    /// A deflate segment.
    Deflate {
        /// Bytes of output.
        written: u64,
        /// Checksum of the input, as asked.
        check: u32,
    },
    /// An encrypted message.
    Encrypted {
        /// Bytes of output.
        written: u64,
        /// The tag, of a mode that has one.
        tag: Option<[u8; 16]>,
    },
    /// The index of a block.
    Index {
        /// Bits of the block, its header and its end among them.
        bits: u64,
        /// Bytes of entries.
        written: u64,
        /// Bytes that the block expands to.
        data: u64,
        /// CRC-32 of the data up to the block's end.
        crc: u32,
    },
    /// An expanded stream.
    Inflate {
        /// Bytes of the stream, up to and including its last.
        read: u64,
        /// Bytes of output.
        written: u64,
        /// Checksum of the output, as asked.
        check: u32,
    },
}

/// A finished job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// Input bytes worked on; for a compare that found a difference, the bytes before it.
    pub bytes: u64,
    /// What was found.
    pub value: Value,
}
