//! Gather copy, scatter copy and scatter fill: by entries of the list.

use super::{Reason, Rest, part};
use crate::{Completion, Descriptor, Resume};

/// Entries that the record says are done are dropped. A block that was begun is done again: whether the bytes in the
/// record count part of it is left to the implementation (DSA §8.3.23), so they are only checked.
pub(super) fn scatter_gather(descriptor: &Descriptor, done: &Completion) -> Rest {
    let (entries, asked) = (done.sgl_completed(), descriptor.sgl_size());
    let Some(block) = descriptor.block_size().filter(|&block| block > 0) else {
        return Err(Reason::DataType(descriptor.input_type()).into());
    };
    let bytes = u64::from(done.bytes_completed());
    let whole = block * u64::from(entries);
    if entries < asked && !(whole..=whole + block).contains(&bytes) {
        return Err(Reason::SglCompleted { entries, bytes: done.bytes_completed() }.into());
    }
    let entries = part(entries.into(), asked.into())?;
    match (u16::try_from(entries), u32::try_from(whole)) {
        (Ok(entries), Ok(whole)) if whole < descriptor.xfer_size() => {
            Ok(descriptor.entries_dropped(entries, whole))
        }
        _ => Err(Resume::Impossible(Reason::SglCompleted {
            entries: done.sgl_completed(),
            bytes: done.bytes_completed(),
        })),
    }
}
