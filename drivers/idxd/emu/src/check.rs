//! What a DSA checks in a descriptor before it runs it (DSA §5.4, §5.5, tables 5-3 to 5-5).
//!
//! The specification lets a device leave some of these out; the model leaves none out, so that a driver that passes
//! here does not depend on a lenient device. The order of the checks is the model's own, which the specification
//! allows.

use std::ops::Range;

use idxd_spec::{Completion, Descriptor, Flags, Opcode, Status};

use crate::rules::Rules;

/// Where a descriptor came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Context {
    WorkQueue,
    Batch,
}

const CACHE_CONTROL: Flags =
    Flags::CACHE_CONTROL_1.union(Flags::CACHE_CONTROL_2).union(Flags::CACHE_CONTROL_3);
/// Allowed for every operation; the fence is looked at apart.
const ANY: Flags = Flags::COMPLETION_ADDR_VALID.union(Flags::REQUEST_COMPLETION).union(Flags::COMPLETION_TC);
const WRITES: Flags = CACHE_CONTROL.union(Flags::STRICT_ORDER).union(Flags::ADDR2_TC);
const SRC: Flags = Flags::BLOCK_ON_FAULT.union(Flags::ADDR1_TC);
const CRC: Flags = SRC
    .union(Flags::ADDR3_TC)
    .union(Flags::READ_CRC_SEED)
    .union(Flags::BYPASS_CRC_INVERSION)
    .union(Flags::BYPASS_DATA_REFLECTION)
    .union(Flags::CRC64);
const RESULT: Flags = Flags::COMPLETION_ADDR_VALID.union(Flags::REQUEST_COMPLETION);

/// Everything behind the fields of a copy.
const TAIL: &[Range<usize>] = std::slice::from_ref(&(38..64));

/// What an operation allows and reserves.
struct Form {
    allowed: Flags,
    required: Flags,
    /// Bytes that have no meaning. 36 to 38, the interrupt handle, are looked at apart.
    reserved: &'static [Range<usize>],
}

impl Form {
    fn of(opcode: Opcode) -> Option<Self> {
        let form =
            |allowed: Flags, required, reserved| Some(Self { allowed: allowed | ANY, required, reserved });
        match opcode {
            Opcode::NOOP => form(Flags::empty(), Flags::empty(), &[16..36, 38..64]),
            Opcode::BATCH => form(Flags::ADDR1_TC | Flags::BATCH_ERROR, Flags::empty(), &[24..32, 38..64]),
            Opcode::DRAIN => {
                let readback = Flags::READBACK_ADDR_1_VALID | Flags::READBACK_ADDR_2_VALID;
                let suppress = Flags::SUPPRESS_READBACK_A | Flags::SUPPRESS_READBACK_B;
                let classes = Flags::ADDR1_TC | Flags::ADDR2_TC;
                form(readback | suppress | classes, Flags::REQUEST_COMPLETION, &[32..36, 38..64])
            }
            Opcode::MEMMOVE => form(SRC | WRITES, Flags::empty(), TAIL),
            Opcode::FILL => {
                form(Flags::BLOCK_ON_FAULT | WRITES | Flags::PATTERN_16, Flags::empty(), &[38..40, 48..64])
            }
            Opcode::COMPARE => form(SRC | Flags::ADDR2_TC | Flags::CHECK_RESULT, RESULT, &[38..40, 41..64]),
            Opcode::COMPARE_PATTERN => form(SRC | Flags::CHECK_RESULT, RESULT, &[38..40, 41..64]),
            Opcode::DUALCAST => form(SRC | WRITES | Flags::ADDR3_TC, Flags::empty(), &[38..40, 48..64]),
            Opcode::TRANSLATION_FETCH => {
                let allowed = Flags::BLOCK_ON_FAULT | Flags::USE_STRIDE;
                form(allowed, Flags::empty(), &[24..32, 38..48, 52..64])
            }
            Opcode::CRC => form(CRC, RESULT, &[24..32, 38..40, 56..64]),
            Opcode::COPY_CRC => form(CRC | WRITES, RESULT, &[38..40, 56..64]),
            Opcode::CACHE_FLUSH => {
                let allowed = Flags::BLOCK_ON_FAULT | CACHE_CONTROL | Flags::ADDR2_TC;
                form(allowed, Flags::empty(), &[16..24, 38..64])
            }
            _ => None,
        }
    }
}

/// Checks all of it; the error is the record to write.
pub(crate) fn check(descriptor: &Descriptor, context: Context, rules: &Rules) -> Result<(), Completion> {
    let opcode = descriptor.opcode();
    let nested = context == Context::Batch && matches!(opcode, Opcode::BATCH | Opcode::DRAIN);
    let form = Form::of(opcode)
        .filter(|_| !nested && rules.operations.contains(opcode))
        .ok_or(Completion::new(Status::BAD_OPCODE))?;
    let invalid = invalid_flags(descriptor, &form, context, rules);
    if !invalid.is_empty() {
        return Err(Completion::new(Status::INVALID_FLAGS).with_invalid_flags(invalid));
    }
    let verdict = if has_reserved_bytes(descriptor, &form) {
        Status::RESERVED_NOT_ZERO
    } else {
        fields(descriptor, rules)
    };
    if verdict == Status::NONE { Ok(()) } else { Err(Completion::new(verdict)) }
}

/// Flags that are set and must not be, or the other way round.
fn invalid_flags(descriptor: &Descriptor, form: &Form, context: Context, rules: &Rules) -> Flags {
    let flags = descriptor.flags();
    let mut allowed = form.allowed;
    if context == Context::Batch {
        allowed |= Flags::FENCE;
    }
    if !rules.block_on_fault {
        allowed -= Flags::BLOCK_ON_FAULT;
    }
    if rules.allows_interrupts(descriptor) {
        allowed |= Flags::REQUEST_INTERRUPT;
    }
    allowed -= rules.unsupported_flags(descriptor.opcode());
    if !flags.contains(Flags::COMPLETION_ADDR_VALID) {
        allowed -= Flags::REQUEST_COMPLETION | Flags::COMPLETION_TC;
    }
    match descriptor.opcode() {
        Opcode::DRAIN => {
            if !flags.contains(Flags::READBACK_ADDR_1_VALID) {
                allowed -= Flags::ADDR1_TC;
            }
            if !flags.contains(Flags::READBACK_ADDR_2_VALID) {
                allowed -= Flags::ADDR2_TC;
            }
        }
        Opcode::CRC | Opcode::COPY_CRC if !flags.contains(Flags::READ_CRC_SEED) => allowed -= Flags::ADDR3_TC,
        _ => {}
    }
    let cache_control_is_valid = match descriptor.opcode() {
        Opcode::CACHE_FLUSH => matches!(flags.cache_control(), 0b000 | 0b010),
        // Durable writes without readback, 0b100, are not among the capabilities of the model.
        _ => matches!(flags.cache_control(), 0b000..=0b011 | 0b110),
    };
    let mut required = form.required;
    if descriptor.opcode() == Opcode::DRAIN && flags.contains(Flags::REQUEST_INTERRUPT) {
        // Either notification will do (table 5-5).
        required -= Flags::REQUEST_COMPLETION;
    }
    let mut invalid = (flags - allowed) | (required - flags);
    if !cache_control_is_valid {
        invalid |= flags & CACHE_CONTROL;
    }
    invalid
}

fn has_reserved_bytes(descriptor: &Descriptor, form: &Form) -> bool {
    let flags = descriptor.flags();
    let is_set = |range: Range<usize>| descriptor.as_bytes()[range].iter().any(|byte| *byte != 0);
    let unless = |flag: Flags, range: Range<usize>| !flags.contains(flag) && is_set(range);
    if form.reserved.iter().cloned().any(is_set)
        || unless(Flags::COMPLETION_ADDR_VALID, 8..16)
        || unless(Flags::REQUEST_INTERRUPT, 36..38)
    {
        return true;
    }
    match descriptor.opcode() {
        Opcode::DRAIN => {
            unless(Flags::READBACK_ADDR_1_VALID, 16..24) || unless(Flags::READBACK_ADDR_2_VALID, 24..32)
        }
        Opcode::FILL => unless(Flags::PATTERN_16, 40..48),
        Opcode::TRANSLATION_FETCH => unless(Flags::USE_STRIDE, 48..52),
        Opcode::CRC | Opcode::COPY_CRC => {
            unless(Flags::READ_CRC_SEED, 48..56)
                || unless(Flags::CRC64, 44..48)
                || (flags.contains(Flags::READ_CRC_SEED) && is_set(40..48))
        }
        _ => false,
    }
}

/// Sizes, counts, alignments, overlaps. [`Status::NONE`] if they are fine.
fn fields(descriptor: &Descriptor, rules: &Rules) -> Status {
    let opcode = descriptor.opcode();
    if opcode == Opcode::BATCH {
        return batch_fields(descriptor, rules);
    }
    if matches!(opcode, Opcode::NOOP | Opcode::DRAIN) {
        return Status::NONE;
    }
    let size = descriptor.xfer_size();
    if opcode == Opcode::TRANSLATION_FETCH {
        return translation_fetch_fields(descriptor);
    }
    if size == 0 || size > rules.transfer_bytes_max {
        return Status::TRANSFER_SIZE;
    }
    let overlaps = |a, b| ranges_overlap(a, size, b, size);
    match opcode {
        Opcode::DUALCAST => {
            let (src, dst1, dst2) = (descriptor.src_addr(), descriptor.dst_addr(), descriptor.dst2_addr());
            if (dst1 ^ dst2) & 0xfff != 0 {
                Status::DUALCAST_ALIGNMENT
            } else if overlaps(src, dst1) || overlaps(src, dst2) || overlaps(dst1, dst2) {
                Status::OVERLAPPING_BUFFERS
            } else {
                Status::NONE
            }
        }
        Opcode::CRC | Opcode::COPY_CRC => {
            let align = if descriptor.flags().contains(Flags::CRC64) { 8 } else { 4 };
            if !descriptor.crc_seed_addr().is_multiple_of(align) {
                Status::ALIGNMENT
            } else if opcode == Opcode::COPY_CRC && overlaps(descriptor.src_addr(), descriptor.dst_addr()) {
                Status::OVERLAPPING_BUFFERS
            } else {
                Status::NONE
            }
        }
        _ => Status::NONE,
    }
}

fn batch_fields(descriptor: &Descriptor, rules: &Rules) -> Status {
    let least = if rules.gen_cap.batch_of_one() { 1 } else { 2 };
    if !(least..=rules.batch_max).contains(&descriptor.desc_count()) {
        Status::DESCRIPTOR_COUNT
    } else if !descriptor.desc_list_addr().is_multiple_of(Descriptor::SIZE as u64) {
        Status::LIST_ALIGNMENT
    } else {
        Status::NONE
    }
}

/// The region size is not a transfer size: the work queue's maximum does not apply (§5.4).
fn translation_fetch_fields(descriptor: &Descriptor) -> Status {
    let region_size = u64::from(descriptor.xfer_size());
    let stride = descriptor.stride();
    if region_size == 0 || descriptor.src_addr().checked_add(region_size - 1).is_none() {
        Status::TRANSFER_SIZE
    } else if descriptor.flags().contains(Flags::USE_STRIDE) && (stride < 4096 || !stride.is_power_of_two()) {
        Status::ALIGNMENT
    } else {
        Status::NONE
    }
}

/// Whether two ranges have a byte in common.
pub(crate) fn ranges_overlap(a: u64, a_len: u32, b: u64, b_len: u32) -> bool {
    u128::from(a) < u128::from(b) + u128::from(b_len) && u128::from(b) < u128::from(a) + u128::from(a_len)
}
