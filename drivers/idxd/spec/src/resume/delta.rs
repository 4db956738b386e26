//! Delta records: by words of the sources when created, by entries when applied.

use super::{Reason, Rest, kept, part};
use crate::{Completion, CreateDelta, Descriptor};

pub(super) fn create_delta(descriptor: &Descriptor, done: &Completion) -> Rest {
    let (written, room) = (done.delta_rec_size(), descriptor.delta_size_max());
    let written_fits = written <= room && written.is_multiple_of(CreateDelta::ENTRY_SIZE);
    let expected = u8::from(written != 0);
    if done.result() > 1 {
        return Err(Reason::Result(done.result()).into());
    }
    if !written_fits || done.result() != expected || (done.bytes_completed() == 0 && written != 0) {
        return Err(Reason::DeltaSize(written).into());
    }
    let bytes = kept(descriptor, done)?;
    if !bytes.is_multiple_of(8) {
        return Err(Reason::Granularity(bytes).into());
    }
    if room - written < CreateDelta::DELTA_SIZE_MIN {
        return Err(Reason::DeltaRoom(room - written).into());
    }
    Ok(descriptor.src_up(bytes.into()).dst_up(bytes.into()).size_shrunk(bytes).delta_up(written))
}

/// Counts bytes of the record. The destination and its size stay: the entries count from there.
pub(super) fn apply_delta(descriptor: &Descriptor, done: &Completion) -> Rest {
    let bytes = part(done.bytes_completed(), descriptor.delta_size())?;
    if !bytes.is_multiple_of(CreateDelta::ENTRY_SIZE) {
        return Err(Reason::Granularity(bytes).into());
    }
    Ok(descriptor.src_up(bytes.into()).delta_shrunk(bytes))
}
