//! Type conversion, reduce, reduce with dualcast.

use idxd_spec::{Completion, Rounding};
use idxd_spec::{
    ComputeFlags, ComputeType, DataType, Descriptor, Exceptions, Flags, Opcode, Operand, Status,
};
use svala_software::numeric::{self, Combine, Conversion, Element, Reduction, Rules};

use super::domain::Domains;
use super::piece::{part, read};
use super::{BUFFER_BYTES, BUFFER_LEN, Operation};
use crate::bus::{Bus, BusFault};
use crate::index::index;
use crate::walk::{Flow, Interrupted, Piece, Span, Walk};

/// What the elements of a descriptor are, in the words of the arithmetic.
pub(super) struct Numbers {
    pub(super) input: Element,
    pub(super) output: Element,
    pub(super) rules: Rules,
}

impl Numbers {
    /// `None` for a descriptor that the checks refuse.
    pub(super) fn of(descriptor: &Descriptor) -> Option<Self> {
        let flags = descriptor.compute_flags();
        let signed = flags.contains(ComputeFlags::SIGNED);
        let rounding = match flags.rounding()? {
            Rounding::NearestEven => numeric::Rounding::NearestEven,
            Rounding::Down => numeric::Rounding::Down,
            Rounding::Up => numeric::Rounding::Up,
            Rounding::TowardZero => numeric::Rounding::TowardZero,
        };
        let rules = Rules {
            rounding,
            denormals_are_zero: flags.contains(ComputeFlags::DENORMALS_ARE_ZERO),
            flush_to_zero: flags.contains(ComputeFlags::FLUSH_TO_ZERO),
            saturate: flags.contains(ComputeFlags::SATURATE),
            negate_first: flags.contains(ComputeFlags::NEGATE_SRC1),
            negate_second: flags.contains(ComputeFlags::NEGATE_SRC2),
        };
        let element = |code| DataType::from_code(code).map(|data_type| element(data_type, signed));
        Some(Self {
            input: element(descriptor.input_type())?,
            output: element(descriptor.output_type())?,
            rules,
        })
    }

    pub(super) fn input_len(&self) -> u64 {
        self.input.bytes() as u64
    }

    pub(super) fn output_len(&self) -> u64 {
        self.output.bytes() as u64
    }

    pub(super) fn conversion(&self) -> Option<Conversion> {
        Conversion::new(self.input, self.output, self.rules)
    }

    pub(super) fn reduction(&self, descriptor: &Descriptor) -> Option<Reduction> {
        let combine = match ComputeType::from_code(descriptor.compute_type())? {
            ComputeType::Add => Combine::Add,
            ComputeType::And => Combine::And,
            ComputeType::Or => Combine::Or,
            ComputeType::Xor => Combine::Xor,
            ComputeType::Min => Combine::Min,
            ComputeType::Max => Combine::Max,
        };
        Reduction::new(combine, self.input, self.output, self.rules)
    }
}

fn element(data_type: DataType, signed: bool) -> Element {
    match (data_type, signed) {
        (DataType::Int8, false) => Element::U8,
        (DataType::Int8, true) => Element::I8,
        (DataType::Int16, false) => Element::U16,
        (DataType::Int16, true) => Element::I16,
        (DataType::Int32, false) => Element::U32,
        (DataType::Int32, true) => Element::I32,
        (DataType::Int64, false) => Element::U64,
        (DataType::Int64, true) => Element::I64,
        (DataType::Fp8E5m2, _) => Element::F8E5M2,
        (DataType::Fp8E4m3, _) => Element::F8E4M3,
        (DataType::Fp16, _) => Element::F16,
        (DataType::Bf16, _) => Element::BF16,
        (DataType::Fp32, _) => Element::F32,
        (DataType::Fp64, _) => Element::F64,
    }
}

/// The record of an operation that came to its end (§8.2.2, table 8-12).
pub(super) fn computed(descriptor: &Descriptor, exceptions: numeric::Exceptions) -> Completion {
    let is_wrong =
        descriptor.flags().contains(Flags::CHECK_RESULT) && exceptions != numeric::Exceptions::NONE;
    let status = if is_wrong { Status::SUCCESS_PREDICATE_FALSE } else { Status::SUCCESS };
    Completion::new(status).with_exceptions(reported(exceptions))
}

pub(super) fn reported(exceptions: numeric::Exceptions) -> Exceptions {
    Exceptions::from_bits_retain(exceptions.bits())
}

/// Writes elements; what is done of them is whole ones, since none crosses a page.
pub(super) fn write_elements<B: Bus>(
    bus: &B,
    addr: u64,
    bytes: &[u8],
    element: u64,
) -> Result<(), (u64, BusFault)> {
    bus.write(addr, bytes).map_err(|fault| {
        let written = fault.addr.wrapping_sub(addr).min(bytes.len() as u64);
        (written / element, fault)
    })
}

impl<B: Bus> Operation<'_, B> {
    /// What is left to do once it is known which spaces the operands are in.
    pub(super) fn numeric_or_list(&mut self) -> Completion {
        let domains = match Domains::of(self) {
            Ok(domains) => domains,
            Err(completion) => return completion,
        };
        let ended = match self.descriptor.opcode() {
            Opcode::TYPE_CONVERSION => self.type_conversion(&domains),
            Opcode::REDUCE | Opcode::REDUCE_DUALCAST => self.reduce(&domains),
            Opcode::GATHER_REDUCE => self.gather_reduce(),
            _ => self.copy_list(&domains),
        };
        domains.cover(ended.unwrap_or_else(|refused| refused))
    }

    fn numbers(&self) -> Result<Numbers, Completion> {
        Numbers::of(self.descriptor).ok_or(Completion::new(Status::UNSUPPORTED_VALUE))
    }

    fn type_conversion(&mut self, domains: &Domains<'_>) -> Result<Completion, Completion> {
        let refused = Completion::new(Status::UNSUPPORTED_VALUE);
        let numbers = self.numbers()?;
        let conversion = numbers.conversion().ok_or(refused)?;
        let (read_len, written_len) = (numbers.input_len(), numbers.output_len());
        let count = u64::from(self.descriptor.element_count());
        let src = domains.resolve(Operand::SRC, self.descriptor.src_addr(), count * read_len, read_len)?;
        let dst =
            domains.resolve(Operand::DST, self.descriptor.dst_addr(), count * written_len, written_len)?;
        let src = Span::read(Operand::SRC, src).with_unit(read_len);
        let dst = Span::write(Operand::DST, dst).with_unit(written_len);
        let spans = [src, dst];
        let mut walk =
            Walk::new(self.model, &spans, count * read_len, self.blocks()).in_units(read_len).over_data();
        let (bus, first, second) = (&self.model.bus, &mut self.buffers.first, &mut self.buffers.second);
        let mut exceptions = numeric::Exceptions::NONE;
        let end = walk.run(piece_len(BUFFER_LEN, &numbers), |piece| {
            let from = part(first, piece);
            read(bus, src, piece, from)?;
            let elements = piece.len / read_len;
            let to = &mut second[..index(elements * written_len)];
            let raised = conversion.convert(from, to);
            let written = write_elements(bus, at(dst, piece, read_len, written_len), to, written_len);
            let done = written.as_ref().map_or_else(|(done, _)| *done, |()| elements);
            exceptions |= match done == elements {
                true => raised,
                false => {
                    conversion.convert(&from[..index(done * read_len)], &mut to[..index(done * written_len)])
                }
            };
            flow(written, read_len)
        });
        let done = walk.done();
        Ok(match end {
            Err(stop) => stop.completion(done).with_exceptions(reported(exceptions)),
            Ok(_) => computed(self.descriptor, exceptions),
        })
    }

    fn reduce(&mut self, domains: &Domains<'_>) -> Result<Completion, Completion> {
        let numbers = self.numbers()?;
        let reduction =
            numbers.reduction(self.descriptor).ok_or(Completion::new(Status::UNSUPPORTED_VALUE))?;
        let (read_len, written_len) = (numbers.input_len(), numbers.output_len());
        let count = u64::from(self.descriptor.element_count());
        let spans = self.reduce_spans(domains, count, read_len, written_len)?;
        let (src1, src2, dst1) = (spans[0], spans[1], spans[2]);
        let dst2 = spans.get(3).copied();
        let mut walk =
            Walk::new(self.model, &spans, count * read_len, self.blocks()).in_units(read_len).over_data();
        let bus = &self.model.bus;
        let (first, second) = self.buffers.first.split_at_mut(BUFFER_BYTES / 2);
        let results = &mut self.buffers.second;
        let mut exceptions = numeric::Exceptions::NONE;
        let end = walk.run(piece_len(BUFFER_LEN / 2, &numbers), |piece| {
            let (a, b) = (part(first, piece), part(second, piece));
            read(bus, src1, piece, a)?;
            read(bus, src2, piece, b)?;
            let elements = piece.len / read_len;
            let to = &mut results[..index(elements * written_len)];
            let raised = reduction.reduce(a, b, to);
            // What only the second destination has got is not done, and is written again: the first may be a source.
            if let Some(dst2) = dst2 {
                let addr = at(dst2, piece, read_len, written_len);
                write_elements(bus, addr, to, written_len)
                    .map_err(|(_, fault)| Interrupted { done: 0, fault })?;
            }
            let written = write_elements(bus, at(dst1, piece, read_len, written_len), to, written_len);
            let done = written.as_ref().map_or_else(|(done, _)| *done, |()| elements);
            exceptions |= match done == elements {
                true => raised,
                false => {
                    let operands = index(done * read_len);
                    reduction.reduce(&a[..operands], &b[..operands], &mut to[..index(done * written_len)])
                }
            };
            flow(written, read_len)
        });
        let done = walk.done();
        Ok(match end {
            Err(stop) => stop.completion(done).with_exceptions(reported(exceptions)),
            Ok(_) => computed(self.descriptor, exceptions),
        })
    }

    /// Source 1, source 2, the destination, and the second one if there is one.
    fn reduce_spans(
        &self,
        domains: &Domains<'_>,
        count: u64,
        read_len: u64,
        written_len: u64,
    ) -> Result<Vec<Span>, Completion> {
        let descriptor = self.descriptor;
        let source = |operand, addr| {
            let addr = domains.resolve(operand, addr, count * read_len, read_len)?;
            Ok(Span::read(operand, addr).with_unit(read_len))
        };
        let destination = |operand, addr| {
            let addr = domains.resolve(operand, addr, count * written_len, written_len)?;
            Ok(Span::write(operand, addr).with_unit(written_len))
        };
        let mut spans = vec![
            source(Operand::SRC, descriptor.src_addr())?,
            source(Operand::SRC2, descriptor.src2_addr())?,
            destination(Operand::DST, descriptor.reduce_dst_addr())?,
        ];
        if descriptor.opcode() == Opcode::REDUCE_DUALCAST {
            spans.push(destination(Operand::DST2, descriptor.reduce_dst2_addr())?);
        }
        Ok(spans)
    }
}

/// Bytes of a source that are looked at together: their results fit a buffer.
fn piece_len(room: u64, numbers: &Numbers) -> u64 {
    room.min(BUFFER_LEN / numbers.output_len() * numbers.input_len())
}

/// Where a piece that is counted in bytes of a source lies in a destination.
fn at(dst: Span, piece: Piece, read_len: u64, written_len: u64) -> u64 {
    dst.addr.wrapping_add(piece.offset / read_len * written_len)
}

fn flow(written: Result<(), (u64, BusFault)>, read_len: u64) -> Result<Flow, Interrupted> {
    match written {
        Ok(()) => Ok(Flow::Continue),
        Err((done, fault)) => Err(Interrupted { done: done * read_len, fault }),
    }
}
