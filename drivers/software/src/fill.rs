//! Filling memory with a pattern.
//!
//! A pattern that is one byte repeated is `memset`'s. Any other is laid out in a block that stays in the first-level
//! cache and copied out block after block, which leaves the choice of instructions to the C library's `memcpy`.

use crate::pattern::Pattern;

/// The block copied out. Large enough that `memcpy` takes its fast path, small enough to stay in a 32 KiB cache.
const BLOCK_BYTES: usize = 8 << 10;
/// Up to here setting up the block would cost more than it saves.
const SMALL_BYTES: usize = 1 << 10;

/// Fills `dst` with `pattern` from phase 0; a length that is no multiple of the pattern ends inside it.
pub fn fill(dst: &mut [u8], pattern: Pattern) {
    if let Some(byte) = pattern.single_byte() {
        dst.fill(byte);
    } else if dst.len() <= SMALL_BYTES {
        tile(dst, pattern.bytes());
    } else {
        tile(dst, &pattern.block::<BLOCK_BYTES>());
    }
}

/// Repeats `tile` over `dst`.
fn tile<const N: usize>(dst: &mut [u8], tile: &[u8; N]) {
    let (whole, tail) = dst.as_chunks_mut::<N>();
    for chunk in whole {
        chunk.copy_from_slice(tile);
    }
    tail.copy_from_slice(&tile[..tail.len()]);
}
