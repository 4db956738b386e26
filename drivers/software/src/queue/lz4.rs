//! Blocks of LZ4, in the runtime's words.

use svala::Value;
use svala::backend::Failure;

use super::memory::len_of;
use crate::lz4::{Lz4Blocks, Lz4Error, lz4_compress_blocks, lz4_expand_blocks};

/// Frames have no larger blocks.
const BLOCK_BYTES_MAX: usize = 4 << 20;

pub(super) fn compress(src: &[u8], dst: &mut [u8]) -> Result<Value, Failure> {
    let written =
        lz4_compress_blocks(src, dst).map_err(|full| Failure::OutputFull { bytes_max: len_of(full.room) })?;
    Ok(Value::Written(len_of(written)))
}

pub(super) fn decompress(src: &[u8], dst: &mut [u8], blocks: svala::Lz4Blocks) -> Result<Value, Failure> {
    let svala::Lz4Blocks { linked, checked, block_bytes_max } = blocks;
    let block_bytes_max = usize::try_from(block_bytes_max).unwrap_or(BLOCK_BYTES_MAX).min(BLOCK_BYTES_MAX);
    let how = Lz4Blocks { linked, checked, block_bytes_max };
    let written = lz4_expand_blocks(src, dst, how).map_err(|error| match error {
        Lz4Error::Corrupt { offset } | Lz4Error::BlockChecksum { offset, .. } => Failure::Corrupt { offset },
        Lz4Error::Truncated { len } => Failure::Truncated { len },
        Lz4Error::OutputFull { room } => Failure::OutputFull { bytes_max: len_of(room) },
    })?;
    Ok(Value::Written(len_of(written)))
}
