//! Compare, and compare pattern.

use idxd_spec::{Completion, Descriptor, Flags, Operand, Status};
use svala_software::{Pattern, first_difference, first_difference_from_pattern};

use super::piece::{part, read};
use super::{BUFFER_LEN, Operation};
use crate::bus::Bus;
use crate::index::index;
use crate::walk::{Flow, Span, Walk};

impl<B: Bus> Operation<'_, B> {
    pub(super) fn compare(&mut self) -> Completion {
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

    pub(super) fn compare_pattern(&mut self) -> Completion {
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
