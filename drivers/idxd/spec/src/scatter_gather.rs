//! Lists of buffers in memory.

/// What an entry of a scatter-gather list is.
///
/// Source: DSA §8.1.14, table 8-9. Not in uapi.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum SglFormat {
    /// 8 bytes: an offset from the base address, in bytes.
    Offset64 = 1,
    /// 4 bytes: an index, in blocks from the base address.
    Index32 = 2,
    /// 8 bytes: an index, in blocks from the base address.
    Index64 = 3,
}

impl SglFormat {
    /// All of them, by code.
    pub const ALL: [Self; 3] = [Self::Offset64, Self::Index32, Self::Index64];

    /// The code in a descriptor, four bits.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// What `code` stands for; `None` for a reserved one, which a device answers with status 0x15.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Offset64),
            2 => Some(Self::Index32),
            3 => Some(Self::Index64),
            _ => None,
        }
    }

    /// Bytes of an entry.
    #[must_use]
    pub const fn entry_size(self) -> u32 {
        match self {
            Self::Offset64 | Self::Index64 => 8,
            Self::Index32 => 4,
        }
    }

    /// Where the buffer of `entry` begins, modulo 2^64. Blocks are of `block_size` bytes.
    #[must_use]
    pub const fn buffer_addr(self, base: u64, entry: u64, block_size: u64) -> u64 {
        match self {
            Self::Offset64 => base.wrapping_add(entry),
            Self::Index32 | Self::Index64 => base.wrapping_add(entry.wrapping_mul(block_size)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::SglFormat;

    #[test]
    fn formats_are_those_of_the_table() {
        for code in 0..=u8::MAX {
            assert_eq!(
                SglFormat::from_code(code).map(SglFormat::code),
                (1..4).contains(&code).then_some(code)
            );
        }
        assert_eq!(SglFormat::Offset64.buffer_addr(100, 3, 16), 103);
        assert_eq!(SglFormat::Index32.buffer_addr(100, 3, 16), 148);
        assert_eq!(SglFormat::Index64.buffer_addr(100, u64::MAX, 16), 84);
    }
}
