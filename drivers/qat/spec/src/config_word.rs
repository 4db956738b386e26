//! The two words that configure the compression slice.
//!
//! Of the fourth and fifth generation they are byte-swapped before they go into a request (HW `BYTE_SWAP_32`), of the
//! sixth they are not (its words: `icp_qat_hw_51_comp.h`, with the defaults of the user library's `dc_session.c`). A trap of the headers: search depth 0x12 does not fit the field's four bits and is cut to 2, so
//! nothing here goes beyond depth 4.

use crate::generation::Generation;

/// How hard to look for matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Depth {
    /// What the user library calls level 1.
    Level1,
    /// Level 6.
    Level6,
    /// Level 9.
    Level9,
}

impl Depth {
    /// The depth for a level from 1 to 9: the deepest that is not deeper.
    pub const fn of_level(level: u8) -> Self {
        match level {
            0..=5 => Self::Level1,
            6..=8 => Self::Level6,
            _ => Self::Level9,
        }
    }

    const fn field(self) -> u32 {
        match self {
            Self::Level1 => 1,
            Self::Level6 => 3,
            Self::Level9 => 4,
        }
    }
}

const FORMAT_SHIFT: u32 = 5;
const FORMAT_DYNAMIC: u32 = 0;
const FORMAT_STATIC: u32 = 1;
const FORMAT_LZ4: u32 = 2;
const DEPTH_SHIFT: u32 = 8;

// Lower word of a compression. Source: HW, `ICP_QAT_HW_COMP_20_CONFIG_CSR_*_BITPOS`.
const EXTENDED_DELAY_MATCH: u32 = 1 << 0;
const SKIP_BY_LITERAL: u32 = 1 << 1;
const SKIP_HASH_UPDATE: u32 = 1 << 2;
const SKIP_HASH_COLLISION: u32 = 1 << 3;
const MIN_MATCH_4: u32 = 1 << 4;
const LITERAL_LENGTH_LIMIT_OFF: u32 = 1 << 12;
const ADAPTIVE_BLOCK_DROP_OFF: u32 = 1 << 13;

// Upper word.
const NICE: u32 = 259;
const LAZY: u32 = 258 << 9;
const SCB_MODE_RESET: u32 = 1 << 18;
const SCB_OFF: u32 = 1 << 31;

/// The two words, as they stand in a request at bytes 8 and 12.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConfigWords {
    /// Bytes 8 to 11.
    pub lower: u32,
    /// Bytes 12 to 15.
    pub upper: u32,
}

impl ConfigWords {
    /// Deflate with codes made for the data.
    pub const fn deflate_dynamic(generation: Generation, depth: Depth) -> Self {
        Self::compress(generation, FORMAT_DYNAMIC, depth, SKIP_BY_LITERAL, 0)
    }

    /// Deflate with the fixed codes; the sixth generation has none and makes its own.
    pub const fn deflate_static(generation: Generation, depth: Depth) -> Self {
        Self::compress(generation, FORMAT_STATIC, depth, SKIP_BY_LITERAL, SCB_OFF)
    }

    /// Independent LZ4 blocks of 64 KiB at most.
    pub const fn lz4(generation: Generation, depth: Depth) -> Self {
        Self::compress(generation, FORMAT_LZ4, depth, MIN_MATCH_4, SCB_MODE_RESET)
    }

    /// Inflate.
    pub const fn inflate(generation: Generation) -> Self {
        Self::decompress(generation, FORMAT_STATIC)
    }

    /// Back from LZ4 blocks.
    pub const fn lz4_decompress(generation: Generation) -> Self {
        Self::decompress(generation, FORMAT_LZ4)
    }

    const fn compress(generation: Generation, format: u32, depth: Depth, own: u32, upper: u32) -> Self {
        let depth_field = depth.field() << DEPTH_SHIFT;
        let limits = LITERAL_LENGTH_LIMIT_OFF | ADAPTIVE_BLOCK_DROP_OFF;
        match generation {
            // Blocks that stand for themselves; of the format nothing is said, the command says it.
            Generation::Gen6 => Self { lower: depth_field | limits, upper: upper & SCB_MODE_RESET },
            Generation::Gen4 | Generation::Gen5 => {
                let collision = if matches!(depth, Depth::Level1) { SKIP_HASH_COLLISION } else { 0 };
                let lower = (format << FORMAT_SHIFT)
                    | depth_field
                    | limits
                    | collision
                    | SKIP_HASH_UPDATE
                    | EXTENDED_DELAY_MATCH
                    | own;
                Self { lower: lower.swap_bytes(), upper: (NICE | LAZY | upper).swap_bytes() }
            }
        }
    }

    const fn decompress(generation: Generation, format: u32) -> Self {
        match generation {
            Generation::Gen6 => Self { lower: 0, upper: 0 },
            Generation::Gen4 | Generation::Gen5 => {
                Self { lower: (format << FORMAT_SHIFT).swap_bytes(), upper: 0 }
            }
        }
    }
}
