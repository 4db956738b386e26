//! Type conversion and reduce: by elements.

use super::{Reason, Rest, kept_of};
use crate::{Completion, DataType, Descriptor, Opcode};

/// The record counts bytes of one source, and the destination has as many elements as that. The exceptions are those of
/// each part.
pub(super) fn numeric(descriptor: &Descriptor, done: &Completion) -> Rest {
    let (Some(input), Some(output)) =
        (DataType::from_code(descriptor.input_type()), DataType::from_code(descriptor.output_type()))
    else {
        return Err(Reason::DataType(descriptor.input_type() | descriptor.output_type() << 4).into());
    };
    let asked = u64::from(descriptor.element_count()) * u64::from(input.size());
    let bytes = kept_of(done.bytes_completed(), asked)?;
    if !bytes.is_multiple_of(input.size()) {
        return Err(Reason::Granularity(bytes).into());
    }
    let elements = bytes / input.size();
    let written = u64::from(elements) * u64::from(output.size());
    let read = u64::from(bytes);
    let rest = descriptor.src_up(read).size_shrunk(elements);
    Ok(match descriptor.opcode() {
        Opcode::TYPE_CONVERSION => rest.dst_up(written),
        Opcode::REDUCE => rest.src2_up(read).reduce_dst_up(written),
        _ => rest.src2_up(read).reduce_dst_up(written).reduce_dst2_up(written),
    })
}
