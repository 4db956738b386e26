//! What exactly an analytics error was.

use core::fmt;

/// Byte 1 of the completion record when the status is [`ANALYTICS_ERROR`](crate::Status::ANALYTICS_ERROR).
///
/// Open: unknown codes pass through.
///
/// Source: IAA §4.4.2, table 4-8. Not in uapi.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ErrorCode(pub u8);

macro_rules! error_codes {
    ($($name:ident = $code:literal, $text:literal;)*) => {
        impl ErrorCode {
            $(
                #[doc = concat!("Code ", stringify!($code), ": ", $text, ".")]
                pub const $name: Self = Self($code);
            )*

            /// Every code that has a name here.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// What the code means in a few words, if it has a name here.
            #[must_use]
            pub const fn name(self) -> Option<&'static str> {
                match self {
                    $(Self::$name => Some($text),)*
                    _ => None,
                }
            }
        }
    };
}

error_codes! {
    HEADER_TOO_LARGE = 0x01, "header incomplete and too large to save";
    UNDEFINED_CL_CODE = 0x02, "undefined code length code";
    FIRST_LL_CODE_16 = 0x03, "first code in the literal and length tree is 16";
    FIRST_D_CODE_16 = 0x04, "first code in the distance tree is 16";
    NO_LL_CODE = 0x05, "no valid literal or length code";
    LL_CODE_COUNT = 0x06, "wrong number of literal and length codes";
    D_CODE_COUNT = 0x07, "wrong number of distance codes";
    BAD_CL_LENGTHS = 0x08, "bad lengths of code length codes";
    BAD_LL_LENGTHS = 0x09, "bad lengths of literal and length codes";
    BAD_D_LENGTHS = 0x0a, "bad lengths of distance codes";
    BAD_LL_CODE = 0x0b, "bad literal or length code";
    BAD_D_CODE = 0x0c, "bad distance code";
    BLOCK_TYPE = 0x0d, "invalid block type";
    STORED_LENGTH = 0x0e, "invalid length of a stored block";
    BAD_END_OF_FILE = 0x0f, "last token is not end of block";
    BAD_LENGTH = 0x10, "decoded length is 0 or above 258";
    BAD_DISTANCE = 0x11, "decoded distance is 0 or beyond the history";
    DISTANCE_BEFORE_START = 0x12, "distance reaches before the start";
    TIMEOUT = 0x13, "no forward progress";
    PRLE_FORMAT = 0x14, "parquet rle record wrong or truncated";
    FILTER_OVERFLOW = 0x15, "output element too wide";
    AECS = 0x16, "invalid value in the aecs";
    SRC1_TOO_SMALL = 0x17, "source 1 has too few elements";
    SRC2_TOO_SMALL = 0x18, "source 2 has too few elements";
    OUTPUT_OVERFLOW = 0x19, "output buffer too small";
    DISTANCE_SPANS_MINIBLOCKS = 0x1a, "distance reaches into another miniblock";
    LENGTH_SPANS_MINIBLOCKS = 0x1b, "length reaches into the next miniblock";
    BLOCK_SIZE = 0x1c, "block header not at a miniblock";
    VERIFY = 0x1d, "internal verification failed";
    HUFFMAN_CODE = 0x1e, "token without a huffman code";
    PRLE_WIDTH = 0x1f, "invalid parquet rle bit width";
    TOO_FEW_ELEMENTS = 0x20, "input ended before the last element";
    TOO_MANY_LL_CODES = 0x23, "more than 286 literal and length codes";
    TOO_MANY_D_CODES = 0x24, "more than 30 distance codes";
    ADMINISTRATIVE_TIMEOUT = 0x25, "administrative timeout, submit again";
    CRYPTO_FLAG = 0x26, "invalid crypto flag";
    CRYPTO_SIZE = 0x27, "xts input below 16 bytes";
    DATA_TOO_LARGE = 0x28, "more than 4 KiB with one-pass header generation";
    EARLY_ABORT = 0x29, "compression stopped early";
    NO_DEFLATE_HEADER = 0x2a, "fewer than 257 literal and length tokens";
    COMPRESSION_LINKING = 0x2b, "previous descriptor ended within a miniblock";
    HEADER_OVERFLOW = 0x2c, "deflate header does not fit the accumulator";
    AECS_FORMAT = 0x2d, "wrong aecs format";
    INCONSISTENT_STATE = 0x2e, "inconsistent decompress state";
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.pad(name),
            None => write!(f, "error code {:#04x}", self.0),
        }
    }
}

impl fmt::Debug for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self} ({:#04x})", self.0)
    }
}
