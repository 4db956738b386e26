//! The operations of a DSA: from a descriptor that passed its checks to the record that says how it went.

use idxd_spec::{Completion, Descriptor, Flags, Opcode, Operand, Status};
use svala_software::{Pattern, crc32c, crc64, first_difference, first_difference_from_pattern};

use crate::bus::{Access, Bus, BusFault, PAGE_BYTES};
use crate::check::ranges_overlap;
use crate::index::{index, low_half};
use crate::model::Model;
use crate::walk::{Flow, Interrupted, Piece, Span, Walk};

/// Bytes an operation that looks at data holds at once, per operand: two of them stay in a second-level cache.
const BUFFER_BYTES: usize = 64 << 10;
/// The same as a length on the bus.
const BUFFER_LEN: u64 = BUFFER_BYTES as u64;
/// Bytes of a piece that goes from memory to memory without passing through a buffer.
const COPY_LEN: u64 = 2 << 20;

/// What an engine needs between memory and memory.
pub(crate) struct Buffers {
    first: Box<[u8]>,
    second: Box<[u8]>,
}

impl Buffers {
    pub(crate) fn new() -> Self {
        Self { first: vec![0; BUFFER_BYTES].into(), second: vec![0; BUFFER_BYTES].into() }
    }
}

/// Runs everything but batch and drain.
pub(crate) fn run<B: Bus>(model: &Model<B>, buffers: &mut Buffers, descriptor: &Descriptor) -> Completion {
    let mut operation = Operation { model, buffers, descriptor };
    match descriptor.opcode() {
        Opcode::MEMMOVE => operation.memmove(),
        Opcode::FILL => operation.fill(),
        Opcode::COMPARE => operation.compare(),
        Opcode::COMPARE_PATTERN => operation.compare_pattern(),
        Opcode::DUALCAST => operation.dualcast(),
        Opcode::TRANSLATION_FETCH => operation.translation_fetch(),
        Opcode::CRC => operation.crc(),
        Opcode::COPY_CRC => operation.copy_crc(),
        Opcode::CACHE_FLUSH => operation.cache_flush(),
        // What the checks let through and is not above does nothing but complete.
        _ => Completion::new(Status::SUCCESS),
    }
}

struct Operation<'a, B> {
    model: &'a Model<B>,
    buffers: &'a mut Buffers,
    descriptor: &'a Descriptor,
}

impl<B: Bus> Operation<'_, B> {
    fn size(&self) -> u64 {
        self.descriptor.xfer_size().into()
    }

    fn blocks(&self) -> bool {
        self.descriptor.flags().contains(Flags::BLOCK_ON_FAULT)
    }

    fn src(&self) -> Span {
        Span::read(Operand::SRC, self.descriptor.src_addr())
    }

    fn dst(&self) -> Span {
        Span::write(Operand::DST, self.descriptor.dst_addr())
    }

    fn memmove(&mut self) -> Completion {
        let size = self.descriptor.xfer_size();
        let (src, dst) = (self.src(), self.dst());
        let spans = [src, dst];
        let bus = &self.model.bus;
        let mut walk = Walk::new(self.model, &spans, size.into(), self.blocks());
        if !ranges_overlap(src.addr, size, dst.addr, size) {
            let mut walk = walk.over_data();
            let end = walk.run(COPY_LEN, |piece| copy_piece(bus, src, dst, piece));
            return end
                .map_or_else(|stop| stop.completion(walk.done()), |_| Completion::new(Status::SUCCESS));
        }
        // The beginning of the destination overlaps the end of the source: backwards, or it would overwrite what it
        // has yet to read.
        let is_backward = dst.addr > src.addr;
        if is_backward {
            walk = walk.backward();
        }
        let mut walk = walk.over_data();
        let buffer = &mut self.buffers.first;
        let end = walk.run(BUFFER_LEN, |piece| {
            let bytes = part(buffer, piece);
            read(bus, src, piece, bytes)?;
            if is_backward { write_backward(bus, dst, piece, bytes) } else { write(bus, dst, piece, bytes) }
        });
        let done = walk.done();
        end.map_or_else(
            |stop| stop.completion(done).with_result(is_backward.into()),
            |_| Completion::new(Status::SUCCESS),
        )
    }

    fn fill(&mut self) -> Completion {
        let pattern = if self.descriptor.flags().contains(Flags::PATTERN_16) {
            Pattern::from_words(self.descriptor.pattern(), self.descriptor.pattern_high())
        } else {
            Pattern::from_u64(self.descriptor.pattern())
        };
        let dst = self.dst();
        let spans = [dst];
        let mut walk = Walk::new(self.model, &spans, self.size(), self.blocks()).over_data();
        let (bus, buffer) = (&self.model.bus, &mut self.buffers.first);
        // A piece may begin anywhere, so the buffer is filled anew where the phase of the pattern has moved.
        let mut phase = None;
        let end = walk.run(BUFFER_LEN, |piece| {
            let begins_at = index(piece.offset) % Pattern::BYTES;
            if phase != Some(begins_at) {
                svala_software::fill(buffer, pattern.advanced(begins_at));
                phase = Some(begins_at);
            }
            write(bus, dst, piece, part(buffer, piece))
        });
        let done = walk.done();
        end.map_or_else(|stop| stop.completion(done), |_| Completion::new(Status::SUCCESS))
    }

    fn compare(&mut self) -> Completion {
        let src1 = self.src();
        let src2 = Span::read(Operand::SRC2, self.descriptor.src2_addr());
        let spans = [src1, src2];
        let mut walk = Walk::new(self.model, &spans, self.size(), self.blocks()).over_data();
        let (bus, first, second) = (&self.model.bus, &mut self.buffers.first, &mut self.buffers.second);
        let end = walk.run(BUFFER_LEN, |piece| {
            let (first, second) = (part(first, piece), part(second, piece));
            read(bus, src1, piece, first)?;
            read(bus, src2, piece, second)?;
            Ok(flow(first_difference(first, second)))
        });
        let done = walk.done();
        end.map_or_else(|stop| stop.completion(done), |difference| compared(self.descriptor, difference))
    }

    fn compare_pattern(&mut self) -> Completion {
        let pattern = Pattern::from_u64(self.descriptor.compare_pattern_value());
        let src = self.src();
        let spans = [src];
        let mut walk = Walk::new(self.model, &spans, self.size(), self.blocks()).over_data();
        let (bus, buffer) = (&self.model.bus, &mut self.buffers.first);
        let end = walk.run(BUFFER_LEN, |piece| {
            let bytes = part(buffer, piece);
            read(bus, src, piece, bytes)?;
            let pattern = pattern.advanced(index(piece.offset) % Pattern::BYTES);
            Ok(flow(first_difference_from_pattern(bytes, pattern)))
        });
        let done = walk.done();
        end.map_or_else(|stop| stop.completion(done), |difference| compared(self.descriptor, difference))
    }

    fn dualcast(&mut self) -> Completion {
        let (src, dst1) = (self.src(), self.dst());
        let dst2 = Span::write(Operand::DST2, self.descriptor.dst2_addr());
        let spans = [src, dst1, dst2];
        let mut walk = Walk::new(self.model, &spans, self.size(), self.blocks()).over_data();
        let (bus, buffer) = (&self.model.bus, &mut self.buffers.first);
        // What only one destination has got is not done: the walk goes over it again.
        let end = walk.run(BUFFER_LEN, |piece| {
            let bytes = part(buffer, piece);
            read(bus, src, piece, bytes)?;
            write(bus, dst1, piece, bytes).map_err(|interrupted| Interrupted { done: 0, ..interrupted })?;
            write(bus, dst2, piece, bytes)
        });
        let done = walk.done();
        end.map_or_else(|stop| stop.completion(done), |_| Completion::new(Status::SUCCESS))
    }

    /// Bytes completed is undefined for this operation (§8.3.11), so it stays 0.
    fn translation_fetch(&mut self) -> Completion {
        let flags = self.descriptor.flags();
        let stride =
            if flags.contains(Flags::USE_STRIDE) { self.descriptor.stride().into() } else { PAGE_BYTES };
        let (start, size) = (self.descriptor.src_addr(), self.size());
        if stride == PAGE_BYTES {
            let spans = [Span::read(Operand::SRC, start)];
            let mut walk = Walk::new(self.model, &spans, size, self.blocks());
            let end = walk.run(COPY_LEN, |_| Ok(Flow::Continue));
            return end.map_or_else(|stop| stop.completion(0), |_| Completion::new(Status::SUCCESS));
        }
        for offset in (0..size).step_by(index(stride)) {
            let spans = [Span::read(Operand::SRC, start.wrapping_add(offset))];
            if let Err(stop) = Walk::new(self.model, &spans, 1, self.blocks()).run(1, |_| Ok(Flow::Continue))
            {
                return stop.completion(0);
            }
        }
        Completion::new(Status::SUCCESS)
    }

    fn crc(&mut self) -> Completion {
        let src = self.src();
        let spans = [src];
        let mut crc = match self.crc_state() {
            Ok(crc) => crc,
            Err(completion) => return completion,
        };
        let mut walk = Walk::new(self.model, &spans, self.size(), self.blocks()).over_data();
        let (bus, buffer) = (&self.model.bus, &mut self.buffers.first);
        let end = walk.run(BUFFER_LEN, |piece| {
            let bytes = part(buffer, piece);
            read(bus, src, piece, bytes)?;
            crc.update(bytes);
            Ok(Flow::Continue)
        });
        let done = walk.done();
        let completion = end.map_or_else(|stop| stop.completion(done), |_| Completion::new(Status::SUCCESS));
        completion.with_crc_val(crc.value())
    }

    fn copy_crc(&mut self) -> Completion {
        let (src, dst) = (self.src(), self.dst());
        let spans = [src, dst];
        let mut crc = match self.crc_state() {
            Ok(crc) => crc,
            Err(completion) => return completion,
        };
        let mut walk = Walk::new(self.model, &spans, self.size(), self.blocks()).over_data();
        let (bus, buffer) = (&self.model.bus, &mut self.buffers.first);
        let end = walk.run(BUFFER_LEN, |piece| {
            let bytes = part(buffer, piece);
            read(bus, src, piece, bytes)?;
            let written = match write(bus, dst, piece, bytes) {
                Ok(_) => bytes.len(),
                Err(interrupted) => index(interrupted.done),
            };
            let flow = if written == bytes.len() {
                Ok(Flow::Continue)
            } else {
                let addr = dst.addr.wrapping_add(piece.offset + written as u64);
                Err(Interrupted { done: written as u64, fault: BusFault { addr, access: Access::Write } })
            };
            // Exactly what has been copied is in the sum: whoever resumes goes on from both.
            crc.update(&mut bytes[..written]);
            flow
        });
        let done = walk.done();
        let completion = end.map_or_else(|stop| stop.completion(done), |_| Completion::new(Status::SUCCESS));
        completion.with_crc_val(crc.value())
    }

    fn crc_state(&mut self) -> Result<Crc, Completion> {
        let flags = self.descriptor.flags();
        let is_64 = flags.contains(Flags::CRC64);
        let seed = if flags.contains(Flags::READ_CRC_SEED) {
            self.read_crc_seed(if is_64 { 8 } else { 4 })?
        } else if is_64 {
            self.descriptor.crc64_seed()
        } else {
            self.descriptor.crc_seed().into()
        };
        Ok(Crc::new(seed, is_64, flags))
    }

    fn read_crc_seed(&mut self, len: u64) -> Result<u64, Completion> {
        let span = Span::read(Operand::SRC2, self.descriptor.crc_seed_addr());
        let mut bytes = [0; 8];
        let spans = [span];
        let mut walk = Walk::new(self.model, &spans, len, self.blocks());
        walk.run(len, |piece| {
            let start = index(piece.offset);
            read(&self.model.bus, span, piece, &mut bytes[start..start + index(piece.len)])?;
            Ok(Flow::Continue)
        })
        .map_err(|stop| stop.completion(0))?;
        Ok(u64::from_le_bytes(bytes))
    }

    /// The model has no caches: it only translates.
    fn cache_flush(&mut self) -> Completion {
        let spans = [self.dst()];
        let mut walk = Walk::new(self.model, &spans, self.size(), self.blocks()).over_data();
        let end = walk.run(COPY_LEN, |_| Ok(Flow::Continue));
        let done = walk.done();
        end.map_or_else(|stop| stop.completion(done), |_| Completion::new(Status::SUCCESS))
    }
}

/// A CRC so far, as a finished value: the form in which seeds and results travel (DSA appendix A).
struct Crc {
    value: u64,
    is_64: bool,
    /// Seed and result are not inverted, and have their bits in reverse.
    bypasses_inversion: bool,
    /// Bit 7 of a byte comes first.
    bypasses_reflection: bool,
}

impl Crc {
    fn new(seed: u64, is_64: bool, flags: Flags) -> Self {
        let mut this = Self {
            value: 0,
            is_64,
            bypasses_inversion: flags.contains(Flags::BYPASS_CRC_INVERSION),
            bypasses_reflection: flags.contains(Flags::BYPASS_DATA_REFLECTION),
        };
        this.value = if this.bypasses_inversion { this.bypassed(seed) } else { seed };
        this
    }

    /// The one form from the other; twice is nothing.
    fn bypassed(&self, value: u64) -> u64 {
        if self.is_64 { !value.reverse_bits() } else { u64::from(!low_half(value).reverse_bits()) }
    }

    /// May leave `bytes` changed.
    fn update(&mut self, bytes: &mut [u8]) {
        if self.bypasses_reflection {
            for byte in bytes.iter_mut() {
                *byte = byte.reverse_bits();
            }
        }
        self.value = if self.is_64 {
            crc64(self.value, bytes)
        } else {
            u64::from(crc32c(low_half(self.value), bytes))
        };
    }

    fn value(&self) -> u64 {
        if self.bypasses_inversion { self.bypassed(self.value) } else { self.value }
    }
}

/// The record of a comparison that came to its end (§8.3.6, table 8-17).
fn compared(descriptor: &Descriptor, difference: Option<u64>) -> Completion {
    let result = u8::from(difference.is_some());
    let is_expected = descriptor.expected_result() & 1 == result;
    let status = if descriptor.flags().contains(Flags::CHECK_RESULT) && !is_expected {
        Status::SUCCESS_PREDICATE_FALSE
    } else {
        Status::SUCCESS
    };
    let at = u32::try_from(difference.unwrap_or(0)).unwrap_or(u32::MAX);
    Completion::new(status).with_result(result).with_bytes_completed(at)
}

fn flow(difference: Option<usize>) -> Flow {
    difference.map_or(Flow::Continue, |at| Flow::Halt(at as u64))
}

/// The part of an engine's buffer that a piece takes.
fn part(buffer: &mut [u8], piece: Piece) -> &mut [u8] {
    &mut buffer[..index(piece.len)]
}

fn read<B: Bus>(bus: &B, span: Span, piece: Piece, bytes: &mut [u8]) -> Result<(), Interrupted> {
    bus.read(span.addr.wrapping_add(piece.offset), bytes).map_err(|fault| Interrupted { done: 0, fault })
}

fn write<B: Bus>(bus: &B, span: Span, piece: Piece, bytes: &[u8]) -> Result<Flow, Interrupted> {
    let addr = span.addr.wrapping_add(piece.offset);
    match bus.write(addr, bytes) {
        Ok(()) => Ok(Flow::Continue),
        Err(fault) => Err(Interrupted { done: fault.addr.wrapping_sub(addr).min(piece.len), fault }),
    }
}

/// Writes page by page from the end, so that what is done is a whole end of the piece, whatever faults.
fn write_backward<B: Bus>(bus: &B, span: Span, piece: Piece, bytes: &[u8]) -> Result<Flow, Interrupted> {
    let start = span.addr.wrapping_add(piece.offset);
    let mut left = bytes.len();
    while left > 0 {
        let in_last_page = index(start.wrapping_add(left as u64 - 1) % PAGE_BYTES) + 1;
        let from = left.saturating_sub(in_last_page);
        let addr = start.wrapping_add(from as u64);
        bus.write(addr, &bytes[from..left])
            .map_err(|fault| Interrupted { done: (bytes.len() - left) as u64, fault })?;
        left = from;
    }
    Ok(Flow::Continue)
}

fn copy_piece<B: Bus>(bus: &B, src: Span, dst: Span, piece: Piece) -> Result<Flow, Interrupted> {
    let (from, to) = (src.addr.wrapping_add(piece.offset), dst.addr.wrapping_add(piece.offset));
    match bus.copy(from, to, piece.len) {
        Ok(()) => Ok(Flow::Continue),
        Err(fault) => {
            let base = if fault.access == Access::Read { from } else { to };
            Err(Interrupted { done: fault.addr.wrapping_sub(base).min(piece.len), fault })
        }
    }
}
