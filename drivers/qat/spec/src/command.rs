//! Commands of the compression service.

use core::fmt;

/// A command of the compression service: byte 1 of a request. Unknown values survive.
///
/// Source: FW `enum icp_qat_fw_comp_cmd_id`, `icp_qat_fw_comp_20_cmd_id`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Command(pub u8);

impl Command {
    /// Deflate with the fixed codes.
    pub const STATIC: Self = Self(0);
    /// Deflate with codes made for the data.
    pub const DYNAMIC: Self = Self(1);
    /// Inflate.
    pub const DECOMPRESS: Self = Self(2);
    /// Blocks of an LZ4 frame.
    pub const LZ4_COMPRESS: Self = Self(3);
    /// Back from blocks of an LZ4 frame.
    pub const LZ4_DECOMPRESS: Self = Self(4);
    /// Zstandard; sixth generation.
    pub const ZSTD_COMPRESS: Self = Self(10);
    /// Back from Zstandard; sixth generation.
    pub const ZSTD_DECOMPRESS: Self = Self(11);

    /// Whether the output is the smaller side, so that the device can verify it.
    pub const fn compresses(self) -> bool {
        matches!(self, Self::STATIC | Self::DYNAMIC | Self::LZ4_COMPRESS | Self::ZSTD_COMPRESS)
    }
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::STATIC => f.write_str("STATIC"),
            Self::DYNAMIC => f.write_str("DYNAMIC"),
            Self::DECOMPRESS => f.write_str("DECOMPRESS"),
            Self::LZ4_COMPRESS => f.write_str("LZ4_COMPRESS"),
            Self::LZ4_DECOMPRESS => f.write_str("LZ4_DECOMPRESS"),
            Self::ZSTD_COMPRESS => f.write_str("ZSTD_COMPRESS"),
            Self::ZSTD_DECOMPRESS => f.write_str("ZSTD_DECOMPRESS"),
            Self(other) => write!(f, "Command({other})"),
        }
    }
}
