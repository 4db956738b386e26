//! How much room an output needs.
//!
//! Source: the user library's `dc_buffers.c`, lines 238 to 490, and `dc_capabilities.h`, lines 149 to 165.

use crate::generation::Generation;

/// Most bytes that deflate makes of `len`: with room for them, a compression never overflows. `fixed` codes, or codes
/// made for the data.
pub const fn deflate_bytes_max(generation: Generation, len: u64, fixed: bool) -> u64 {
    let eighth_more = len.saturating_add(len.div_ceil(8));
    match (generation, fixed) {
        (Generation::Gen6, _) => len.saturating_add(((len >> 12) + 1) * 5),
        (_, true) => eighth_more.saturating_add(1029),
        (Generation::Gen4, false) => eighth_more.saturating_add(512).saturating_add(headers(len) / 16384),
        (Generation::Gen5, false) => eighth_more.saturating_add(512).saturating_add(headers(len) / 4096),
    }
}

/// Headers of dynamic blocks, before they are divided by the size of a block.
const fn headers(len: u64) -> u64 {
    (len / 7).saturating_mul(8 * 155).saturating_add(len % 7 * 8 * 155 / 7)
}

/// Most bytes of LZ4 blocks made of `len`.
pub const fn lz4_bytes_max(generation: Generation, len: u64) -> u64 {
    match generation {
        Generation::Gen6 => len.saturating_add(((len >> 16) + 1) * 4),
        _ => len.saturating_add(len.div_ceil(1520) * 13).saturating_add(1024),
    }
}

/// The least room a deflate request may offer.
pub const fn dst_bytes_min(generation: Generation, fixed: bool) -> u32 {
    match (generation, fixed) {
        (Generation::Gen6, false) => 6,
        (Generation::Gen6, true) => 2,
        (_, false) => 512,
        (_, true) => 1026,
    }
}
