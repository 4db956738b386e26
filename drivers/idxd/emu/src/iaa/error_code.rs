//! The analytics errors that deflate can end in.

use std::fmt;

/// Byte 1 of the completion record when its status is an analytics error (0x0a).
///
/// Only the codes deflate arithmetic can meet have a name here. Source: IAA table 4-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ErrorCode(u8);

impl ErrorCode {
    /// A header that is cut off and does not fit the input accumulator of the AECS.
    pub const HEADER_TOO_LARGE: Self = Self(0x01);
    /// A code length symbol that the header's code length code does not define.
    pub const UNDEFINED_CL_CODE: Self = Self(0x02);
    /// The first literal/length code length is "repeat the previous one".
    pub const FIRST_LL_CODE_IS_16: Self = Self(0x03);
    /// Every literal/length code length is 0.
    pub const NO_VALID_LL_CODE: Self = Self(0x05);
    /// The last repeat count runs past the code lengths the header announced.
    pub const WRONG_NUMBER_OF_DISTANCE_CODES: Self = Self(0x07);
    /// The code length code is over-subscribed or incomplete.
    pub const BAD_CL_CODE_LENGTHS: Self = Self(0x08);
    /// The literal/length code is over-subscribed or incomplete, or has no end-of-block symbol.
    pub const BAD_LL_CODE_LENGTHS: Self = Self(0x09);
    /// The distance code is over-subscribed or incomplete.
    pub const BAD_DISTANCE_CODE_LENGTHS: Self = Self(0x0a);
    /// Bits that are no literal/length code, or the reserved symbols 286 and 287.
    pub const BAD_LL_CODE: Self = Self(0x0b);
    /// Bits that are no distance code, or the reserved symbols 30 and 31.
    pub const BAD_DISTANCE_CODE: Self = Self(0x0c);
    /// Block type 3.
    pub const INVALID_BLOCK_TYPE: Self = Self(0x0d);
    /// A stored block's length and its complement disagree.
    pub const INVALID_STORED_LENGTH: Self = Self(0x0e);
    /// The last token was not an end of block although the descriptor asks for one.
    pub const BAD_END_OF_FILE: Self = Self(0x0f);
    /// A distance longer than the device's 4 KiB history.
    pub const BAD_DISTANCE: Self = Self(0x11);
    /// A distance that points before the start of the stream's output.
    pub const DISTANCE_BEFORE_START_OF_FILE: Self = Self(0x12);
    /// State that no decompression can have left.
    pub const AECS: Self = Self(0x16);
    /// The output buffer is too small, and the operation was not a decompression.
    pub const UNRECOVERABLE_OUTPUT_OVERFLOW: Self = Self(0x19);
    /// A compression met a symbol whose code has length 0.
    pub const INVALID_HUFFMAN_CODE: Self = Self(0x1e);
    /// The header announces more than 286 literal/length codes.
    pub const TOO_MANY_LL_CODES: Self = Self(0x23);
    /// The header announces more than 30 distance codes.
    pub const TOO_MANY_DISTANCE_CODES: Self = Self(0x24);

    /// The number as the completion record holds it.
    #[must_use]
    pub const fn raw(self) -> u8 {
        self.0
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#04x}", self.0)
    }
}
