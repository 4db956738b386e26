//! Gather copy, scatter copy, scatter fill, gather reduce.
//!
//! The list is read before anything else is done, so a fault in it leaves nothing done. What follows goes entry by entry:
//! of an entry whose page is missing nothing is counted, as §8.3.23 leaves to the implementation.

use idxd_spec::{Completion, Exceptions, Opcode, Operand, SglFormat, Status};
use svala_software::{Pattern, numeric};

use super::domain::Domains;
use super::numeric::{Numbers, computed, write_elements};
use super::piece::read;
use super::{BUFFER_LEN, COPY_LEN, Operation};
use crate::bus::{Access, Bus};
use crate::index::index;
use crate::walk::{Flow, Interrupted, Piece, Span, Walk};

impl<B: Bus> Operation<'_, B> {
    /// Where the buffers of the list begin, in the words of the descriptor. The error is the record to write.
    fn read_list(&self) -> Result<Vec<u64>, Completion> {
        let descriptor = self.descriptor;
        let unsupported = Completion::new(Status::UNSUPPORTED_VALUE);
        let format = SglFormat::from_code(descriptor.sgl_format()).ok_or(unsupported)?;
        let block = descriptor.block_size().ok_or(unsupported)?;
        let entry_size = u64::from(format.entry_size());
        let span = Span::read(Operand::SCATTER_GATHER_LIST, descriptor.sgl_addr());
        let spans = [span];
        let mut list = vec![0; index(u64::from(descriptor.sgl_size()) * entry_size)];
        let mut walk = Walk::new(self.model, &spans, list.len() as u64, self.blocks());
        walk.run(COPY_LEN, |piece| {
            let range = index(piece.offset)..index(piece.offset + piece.len);
            read(&self.model.bus, span, piece, &mut list[range])?;
            Ok(Flow::Continue)
        })
        .map_err(|stop| stop.completion(0))?;
        let entry = |bytes: &[u8]| bytes.iter().rev().fold(0, |entry, byte| entry << 8 | u64::from(*byte));
        let base = descriptor.sgl_base();
        Ok(list
            .chunks_exact(index(entry_size))
            .map(|bytes| format.buffer_addr(base, entry(bytes), block))
            .collect())
    }

    pub(super) fn copy_list(&mut self, domains: &Domains<'_>) -> Result<Completion, Completion> {
        let block = self.descriptor.block_size().ok_or(Completion::new(Status::UNSUPPORTED_VALUE))?;
        let is_gather = self.descriptor.opcode() == Opcode::GATHER_COPY;
        let (listed, access) =
            if is_gather { (Operand::SRC, Access::Read) } else { (Operand::DST, Access::Write) };
        let mut buffers = self.read_list()?;
        for addr in &mut buffers {
            *addr = domains.resolve(listed, *addr, block, 1)?;
        }
        let plain = self.plain_side(domains)?;
        let spans: Vec<_> = plain.into_iter().map(|span| span.with_unit(block)).collect();
        let list = List { bus: &self.model.bus, buffers, block, operand: listed, access };
        let pattern = Pattern::from_u64(self.descriptor.pattern());
        let buffer = &mut self.buffers.first;
        svala_software::fill(buffer, pattern);
        let mut walk = Walk::new(self.model, &spans, self.descriptor.xfer_size().into(), {
            self.descriptor.flags().contains(idxd_spec::Flags::BLOCK_ON_FAULT)
        })
        .in_units(block)
        .over_data();
        let end = walk.run(COPY_LEN.max(block), |piece| {
            Ok(list.each(piece, |addr, offset| match plain {
                Some(dst) if is_gather => list.bus.copy(addr, dst.addr.wrapping_add(offset), block).is_ok(),
                Some(src) => list.bus.copy(src.addr.wrapping_add(offset), addr, block).is_ok(),
                None => list.fill(addr, buffer),
            }))
        });
        let done = walk.done();
        Ok(match end {
            Err(stop) => stop.completion(done).with_sgl_completed(entries(done / block)),
            Ok(_) => Completion::new(Status::SUCCESS),
        })
    }

    /// The operand that is one range: the destination of a gather, the source of a scatter, none of a fill.
    fn plain_side(&self, domains: &Domains<'_>) -> Result<Option<Span>, Completion> {
        let (size, descriptor) = (self.size(), self.descriptor);
        Ok(match descriptor.opcode() {
            Opcode::GATHER_COPY => Some(Span::write(
                Operand::DST,
                domains.resolve(Operand::DST, descriptor.dst_addr(), size, 1)?,
            )),
            Opcode::SCATTER_COPY => {
                Some(Span::read(Operand::SRC, domains.resolve(Operand::SRC, descriptor.src_addr(), size, 1)?))
            }
            _ => None,
        })
    }

    /// Nothing of it is kept when a page is missing: it begins again (§8.3.22).
    pub(super) fn gather_reduce(&mut self) -> Result<Completion, Completion> {
        let unsupported = Completion::new(Status::UNSUPPORTED_VALUE);
        let numbers = Numbers::of(self.descriptor).ok_or(unsupported)?;
        let reduction = numbers.reduction(self.descriptor).ok_or(unsupported)?;
        let count = u64::from(self.descriptor.element_count());
        let (block, result_len) = (count * numbers.input_len(), count * numbers.output_len());
        let buffers = self.read_list()?;
        if buffers.iter().any(|addr| !addr.is_multiple_of(numbers.input_len())) {
            return Err(Completion::new(Status::ALIGNMENT));
        }
        let size = block * buffers.len() as u64;
        let blocks = self.blocks();
        let bus = &self.model.bus;
        let list = List { bus, buffers, block, operand: Operand::SRC, access: Access::Read };
        let vector = &mut self.buffers.first[..index(block)];
        let result = &mut self.buffers.second[..index(result_len)];
        let mut exceptions = numeric::Exceptions::NONE;
        let mut walk = Walk::new(self.model, &[], size, blocks).in_units(block);
        let end = walk.run(COPY_LEN.max(block), |piece| {
            Ok(list.each(piece, |addr, offset| {
                let is_read = bus.read(addr, vector).is_ok();
                if is_read {
                    exceptions |= if offset == 0 {
                        reduction.start(vector, result)
                    } else {
                        reduction.accumulate(result, vector)
                    };
                }
                is_read
            }))
        });
        let vectors = entries(walk.done() / block);
        end.map_err(|stop| stop.completion(0).with_sgl_completed(vectors))?;
        self.write_result(&numbers, result_len).map_err(|completion| {
            completion.with_sgl_completed(vectors).with_exceptions(Exceptions::empty())
        })?;
        Ok(computed(self.descriptor, exceptions))
    }

    /// Writes what is in the second buffer. The error says that nothing was done.
    fn write_result(&mut self, numbers: &Numbers, len: u64) -> Result<(), Completion> {
        let dst = self.dst().with_unit(numbers.output_len());
        let spans = [dst];
        let mut walk =
            Walk::new(self.model, &spans, len, self.blocks()).in_units(numbers.output_len()).over_data();
        let (bus, result) = (&self.model.bus, &self.buffers.second);
        let end = walk.run(BUFFER_LEN, |piece| {
            let bytes = &result[index(piece.offset)..index(piece.offset + piece.len)];
            let addr = dst.addr.wrapping_add(piece.offset);
            match write_elements(bus, addr, bytes, numbers.output_len()) {
                Ok(()) => Ok(Flow::Continue),
                Err((done, fault)) => Err(Interrupted { done: done * numbers.output_len(), fault }),
            }
        });
        end.map(|_| ()).map_err(|stop| stop.completion(0))
    }
}

/// Buffers of a list, where they are.
struct List<'a, B> {
    bus: &'a B,
    buffers: Vec<u64>,
    block: u64,
    operand: Operand,
    access: Access,
}

impl<B: Bus> List<'_, B> {
    /// Does `step` with the address of each buffer of a piece, and where it is in the whole; stops at one that is not
    /// there, or with which `step` does not come to its end.
    fn each(&self, piece: Piece, mut step: impl FnMut(u64, u64) -> bool) -> Flow {
        let first = piece.offset / self.block;
        for entry in first..first + piece.len / self.block {
            let (addr, offset) = (self.buffers[index(entry)], entry * self.block);
            let present = self.bus.present(addr, self.block, self.access);
            if present < self.block || !step(addr, offset) {
                let span = match self.access {
                    Access::Read => Span::read(self.operand, addr),
                    Access::Write => Span::write(self.operand, addr),
                };
                let missing = addr.wrapping_add(present.min(self.block - 1));
                return Flow::Missing { done: offset - piece.offset, span, addr: missing };
            }
        }
        Flow::Continue
    }

    /// Repeats what is in `pattern`, whole patterns, over one buffer.
    fn fill(&self, addr: u64, pattern: &[u8]) -> bool {
        let step = pattern.len() as u64;
        (0..self.block).step_by(pattern.len()).all(|offset| {
            let len = step.min(self.block - offset);
            self.bus.write(addr.wrapping_add(offset), &pattern[..index(len)]).is_ok()
        })
    }
}

/// A number of entries of a list, of which there are less than 2^16.
fn entries(count: u64) -> u16 {
    u16::try_from(count).unwrap_or(u16::MAX)
}
