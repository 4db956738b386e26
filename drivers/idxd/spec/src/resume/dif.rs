//! Data integrity fields: by blocks, with the tags of the record.

use super::{Reason, Rest, kept};
use crate::{Completion, Descriptor, DifFlags, Opcode};

/// Source and destination advance by whole blocks, with their data integrity fields where they have them (DSA appendix
/// B.4).
pub(super) fn dif(descriptor: &Descriptor, done: &Completion) -> Rest {
    let bytes = kept(descriptor, done)?;
    let block = DifFlags::block_size(descriptor.dif_flags());
    let (src_block, dst_block) = match descriptor.opcode() {
        Opcode::DIF_CHECK => (block + 8, 0),
        Opcode::DIF_INSERT => (block, block + 8),
        Opcode::DIF_STRIP => (block + 8, block),
        Opcode::DIF_UPDATE => (block + 8, block + 8),
        _ => (block, 8),
    };
    if !bytes.is_multiple_of(src_block) {
        return Err(Reason::Granularity(bytes).into());
    }
    let written = u64::from(bytes / src_block) * u64::from(dst_block);
    let moved = descriptor.src_up(bytes.into()).dst_up(written).size_shrunk(bytes);
    Ok(match descriptor.opcode() {
        Opcode::DIF_CHECK | Opcode::DIF_STRIP => moved.src_tags_replaced(done.src_dif_tags()),
        Opcode::DIF_INSERT | Opcode::DIX_GENERATE => moved.dst_tags_replaced(done.dst_dif_tags()),
        _ => moved.src_tags_replaced(done.src_dif_tags()).dst_tags_replaced(done.dst_dif_tags()),
    })
}
