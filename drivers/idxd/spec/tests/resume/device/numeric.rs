//! Numbers and lists, a loop over elements and over bytes. Integers only: where an operation goes on does not depend on
//! what it computes.

use idxd_spec::{ComputeFlags, Descriptor, Opcode};

use super::{Memory, Outcome};

/// Bytes of an integer with this code.
pub(super) fn size(code: u8) -> u64 {
    [1, 2, 4, 8][usize::from(code)]
}

fn read(memory: &Memory, addr: u64, code: u8, is_signed: bool) -> i128 {
    let size = size(code);
    let value = (0..size).rev().fold(0_u64, |value, at| value << 8 | u64::from(memory.read(addr + at)));
    let unused = 64 - 8 * size;
    if is_signed { i128::from((value << unused).cast_signed() >> unused) } else { value.into() }
}

/// Writes the low bytes and says whether that was not all of the number.
fn write(memory: &mut Memory, addr: u64, code: u8, is_signed: bool, value: i128) -> bool {
    let size = size(code);
    for at in 0..size {
        memory.write(addr + at, value.to_le_bytes()[usize::try_from(at).unwrap()]);
    }
    read(memory, addr, code, is_signed) != value
}

pub(super) fn convert(memory: &mut Memory, descriptor: &Descriptor, count: u64, outcome: &mut Outcome) {
    let (input, output) = (descriptor.input_type(), descriptor.output_type());
    let is_signed = descriptor.compute_flags().contains(ComputeFlags::SIGNED);
    for element in 0..count / size(input) {
        let value = read(memory, descriptor.src_addr() + element * size(input), input, is_signed);
        let to = descriptor.dst_addr() + element * size(output);
        outcome.result |= u8::from(write(memory, to, output, is_signed, value)) << 2;
    }
}

/// Sums.
pub(super) fn reduce(memory: &mut Memory, descriptor: &Descriptor, count: u64, outcome: &mut Outcome) {
    let (input, output) = (descriptor.input_type(), descriptor.output_type());
    let is_signed = descriptor.compute_flags().contains(ComputeFlags::SIGNED);
    for element in 0..count / size(input) {
        let operand = |addr| read(memory, addr + element * size(input), input, is_signed);
        let sum = operand(descriptor.src_addr()) + operand(descriptor.src2_addr());
        let to = element * size(output);
        outcome.result |=
            u8::from(write(memory, descriptor.reduce_dst_addr() + to, output, is_signed, sum)) << 2;
        if descriptor.opcode() == Opcode::REDUCE_DUALCAST {
            write(memory, descriptor.reduce_dst2_addr() + to, output, is_signed, sum);
        }
    }
}

pub(super) fn gather_reduce(memory: &mut Memory, descriptor: &Descriptor) {
    let code = descriptor.input_type();
    for element in 0..u64::from(descriptor.element_count()) {
        let vectors = 0..u64::from(descriptor.sgl_size());
        let sum = vectors
            .map(|entry| read(memory, buffer(memory, descriptor, entry) + element * size(code), code, false));
        let sum = sum.sum();
        write(memory, descriptor.dst_addr() + element * size(code), code, false, sum);
    }
}

/// Where the buffer of an entry is.
fn buffer(memory: &Memory, descriptor: &Descriptor, entry: u64) -> u64 {
    let entry_size = if descriptor.sgl_format() == 2 { 4 } else { 8 };
    let at = descriptor.sgl_addr() + entry * entry_size;
    let value = (0..entry_size).rev().fold(0, |value, byte| value << 8 | u64::from(memory.read(at + byte)));
    let unit = if descriptor.sgl_format() == 1 { 1 } else { block(descriptor) };
    descriptor.sgl_base().wrapping_add(value.wrapping_mul(unit))
}

/// Bytes of a buffer.
pub(super) fn block(descriptor: &Descriptor) -> u64 {
    let elements = if descriptor.opcode() == Opcode::GATHER_REDUCE {
        descriptor.element_count()
    } else {
        descriptor.block_elements()
    };
    u64::from(elements) * size(descriptor.input_type())
}

/// Gather copy, scatter copy, scatter fill.
pub(super) fn lists(memory: &mut Memory, descriptor: &Descriptor, count: u64) {
    let block = block(descriptor);
    for at in 0..count {
        let inside = buffer(memory, descriptor, at / block) + at % block;
        match descriptor.opcode() {
            Opcode::GATHER_COPY => memory.write(descriptor.dst_addr() + at, memory.read(inside)),
            Opcode::SCATTER_COPY => memory.write(inside, memory.read(descriptor.src_addr() + at)),
            _ => {
                let pattern = descriptor.pattern().to_le_bytes();
                memory.write(inside, pattern[usize::try_from(at % block % 8).unwrap()]);
            }
        }
    }
}
