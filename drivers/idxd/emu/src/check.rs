//! What a DSA checks in a descriptor before it runs it (DSA §5.4, §5.5, tables 5-3 to 5-5).
//!
//! The specification lets a device leave some of these out; the model leaves none out, so that a driver that passes
//! here does not depend on a lenient device. The order is that of §5.4, where others are allowed too. [`form`] has the
//! tables of flags and reserved bytes, [`field`](mod@field) what depends on values.

mod domain;
mod field;
mod form;
mod numeric;

use idxd_spec::{Completion, Descriptor, Flags, Opcode, Status};

pub(crate) use field::ranges_overlap;
use form::{CACHE_CONTROL, Form};

use crate::rules::Rules;

/// Where a descriptor came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Context {
    WorkQueue,
    Batch,
}

/// Checks all of it; the error is the record to write.
pub(crate) fn check(descriptor: &Descriptor, context: Context, rules: &Rules) -> Result<(), Completion> {
    let opcode = descriptor.opcode();
    let nested =
        context == Context::Batch && matches!(opcode, Opcode::BATCH | Opcode::DRAIN | Opcode::UPDATE_WINDOW);
    let form = Form::of(opcode)
        .filter(|_| !nested && rules.operations.contains(opcode))
        .ok_or(Completion::new(Status::BAD_OPCODE))?;
    let invalid = invalid_flags(descriptor, &form, context, rules);
    if !invalid.is_empty() {
        return Err(Completion::new(Status::INVALID_FLAGS).with_invalid_flags(invalid));
    }
    if form::has_reserved_bytes(descriptor, &form) {
        return Err(Completion::new(Status::RESERVED_NOT_ZERO));
    }
    field::check(descriptor, rules).map_err(Completion::new)
}

/// Flags that are set and must not be, or the other way round.
fn invalid_flags(descriptor: &Descriptor, form: &Form, context: Context, rules: &Rules) -> Flags {
    let (opcode, flags) = (descriptor.opcode(), descriptor.flags());
    let mut allowed = form.allowed - rules.unsupported_flags(opcode) - form::off_by_flags(opcode, flags);
    if context == Context::Batch {
        allowed |= Flags::FENCE;
    }
    if !rules.block_on_fault {
        allowed -= Flags::BLOCK_ON_FAULT;
    }
    if rules.allows_interrupts(descriptor) {
        allowed |= Flags::REQUEST_INTERRUPT;
    }
    let mut required = form.required;
    if opcode == Opcode::DRAIN && flags.contains(Flags::REQUEST_INTERRUPT) {
        // Either notification will do (table 5-5).
        required -= Flags::REQUEST_COMPLETION;
    }
    let mut invalid = (flags - allowed) | (required - flags) | form::required_side(opcode, flags);
    if !allows_cache_control(opcode, flags, rules) {
        invalid |= flags & CACHE_CONTROL;
    }
    invalid
}

/// The rows of table 8-4. Flags whose capability is missing are refused by themselves.
fn allows_cache_control(opcode: Opcode, flags: Flags, rules: &Rules) -> bool {
    match flags.cache_control() {
        0b000 | 0b010 => true,
        _ if opcode == Opcode::CACHE_FLUSH => false,
        0b001 | 0b011 | 0b110 => true,
        0b100 => rules.gen_cap.durable_write(),
        _ => false,
    }
}
