//! Operations that move bytes or only touch them: memory move, fill, dualcast, translation fetch, cache flush.

use idxd_spec::{Completion, Flags, Operand, Status};
use svala_software::Pattern;

use super::piece::{copy_piece, part, read, write, write_backward};
use super::{BUFFER_LEN, COPY_LEN, Operation};
use crate::bus::{Bus, PAGE_BYTES};
use crate::check::ranges_overlap;
use crate::index::index;
use crate::walk::{Flow, Interrupted, Span, Walk};

impl<B: Bus> Operation<'_, B> {
    pub(super) fn memmove(&mut self) -> Completion {
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

    pub(super) fn fill(&mut self) -> Completion {
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
    pub(super) fn dualcast(&mut self) -> Completion {
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
    pub(super) fn translation_fetch(&mut self) -> Completion {
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

    /// The model has no caches: it only translates.
    pub(super) fn cache_flush(&mut self) -> Completion {
        let spans = [self.dst()];
        let mut walk = Walk::new(self.model, &spans, self.size(), self.blocks()).over_data();
        let end = walk.run(COPY_LEN, |_| Ok(Flow::Continue));
        let done = walk.done();
        end.map_or_else(|stop| stop.completion(done), |_| Completion::new(Status::SUCCESS))
    }
}
