//! Error codes of the firmware.

use core::fmt;

/// Why a request failed, as the firmware says it: a signed byte. Unknown values survive.
///
/// Source: FW, `ERR_CODE_*`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ErrorCode(pub i8);

impl ErrorCode {
    /// None.
    pub const NONE: Self = Self(0);
    /// The stream has a block of a type that does not exist.
    pub const INVALID_BLOCK_TYPE: Self = Self(-1);
    /// Length and complement of a stored block disagree.
    pub const NO_MATCH_ONES_COMP: Self = Self(-2);
    /// A dynamic block announces more codes than there are.
    pub const TOO_MANY_LEN_OR_DIS: Self = Self(-3);
    /// A set of lengths is incomplete.
    pub const INCOMPLETE_LEN: Self = Self(-4);
    /// A repetition without anything to repeat.
    pub const RPT_LEN_NO_FIRST_LEN: Self = Self(-5);
    /// A repetition past the end of the lengths.
    pub const RPT_GT_SPEC_LEN: Self = Self(-6);
    /// Impossible literal code lengths.
    pub const INV_LIT_LEN_CODE_LEN: Self = Self(-7);
    /// Impossible distance code lengths.
    pub const INV_DIS_CODE_LEN: Self = Self(-8);
    /// A code that stands for nothing.
    pub const INV_LIT_LEN_DIS_IN_BLK: Self = Self(-9);
    /// A distance to before the beginning, or beyond the device's history.
    pub const DIS_TOO_FAR_BACK: Self = Self(-10);
    /// The output does not fit.
    pub const OVERFLOW: Self = Self(-11);
    /// An error the device recovered from.
    pub const SOFT: Self = Self(-12);
    /// An error it did not.
    pub const FATAL: Self = Self(-13);
    /// The output was damaged.
    pub const COMP_OUTPUT_CORRUPTION: Self = Self(-14);
    /// The input ends before the stream does.
    pub const INCOMPLETE_FILE: Self = Self(-15);
    /// A slice hung and was reset.
    pub const SSM: Self = Self(-16);
    /// An error on the bus.
    pub const ENDPOINT: Self = Self(-17);
    /// What was compressed does not expand to what it was made of.
    pub const CNV: Self = Self(-18);
    /// A dynamic block without anything in it.
    pub const EMPTY_DYM_BLOCK: Self = Self(-19);

    /// Whether it says that a stream to be expanded is broken.
    pub const fn is_of_stream(self) -> bool {
        matches!(self.0, -10..=-1 | -19)
    }

    /// The name, without the prefix.
    pub const fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::NONE => "NO_ERROR",
            Self::INVALID_BLOCK_TYPE => "INVALID_BLOCK_TYPE",
            Self::NO_MATCH_ONES_COMP => "NO_MATCH_ONES_COMP",
            Self::TOO_MANY_LEN_OR_DIS => "TOO_MANY_LEN_OR_DIS",
            Self::INCOMPLETE_LEN => "INCOMPLETE_LEN",
            Self::RPT_LEN_NO_FIRST_LEN => "RPT_LEN_NO_FIRST_LEN",
            Self::RPT_GT_SPEC_LEN => "RPT_GT_SPEC_LEN",
            Self::INV_LIT_LEN_CODE_LEN => "INV_LIT_LEN_CODE_LEN",
            Self::INV_DIS_CODE_LEN => "INV_DIS_CODE_LEN",
            Self::INV_LIT_LEN_DIS_IN_BLK => "INV_LIT_LEN_DIS_IN_BLK",
            Self::DIS_TOO_FAR_BACK => "DIS_TOO_FAR_BACK",
            Self::OVERFLOW => "OVERFLOW_ERROR",
            Self::SOFT => "SOFT_ERROR",
            Self::FATAL => "FATAL_ERROR",
            Self::COMP_OUTPUT_CORRUPTION => "COMP_OUTPUT_CORRUPTION",
            Self::INCOMPLETE_FILE => "HW_INCOMPLETE_FILE",
            Self::SSM => "SSM_ERROR",
            Self::ENDPOINT => "ENDPOINT_ERROR",
            Self::CNV => "CNV_ERROR",
            Self::EMPTY_DYM_BLOCK => "EMPTY_DYM_BLOCK",
            _ => return None,
        })
    }
}

impl fmt::Debug for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "ErrorCode({})", self.0),
        }
    }
}
