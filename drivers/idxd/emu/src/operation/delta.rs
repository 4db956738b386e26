//! Create delta record, and apply delta record.

use std::ops::Range;

use idxd_spec::{Completion, CreateDelta, Descriptor, Flags, Operand, Status};
use svala_software::delta::{self, Created, Entries, Outcome, RecordCause};

use super::piece::{Unwritten, part, read, write_apart};
use super::{BUFFER_BYTES, BUFFER_LEN, Operation};
use crate::bus::{Access, Bus};
use crate::index::{index, low_half};
use crate::walk::{Flow, Piece, Span, Walk};

/// Bytes of both sources that are looked at together: they share a buffer, their record fills most of the other.
const HALF_BYTES: usize = BUFFER_BYTES / 2;
/// Bytes of an entry.
const ENTRY_LEN: u64 = CreateDelta::ENTRY_SIZE as u64;
/// Bytes of a word.
const WORD_LEN: u64 = 8;
/// Bytes of the destination that are looked at ahead of a word.
const AHEAD_LEN: u64 = 64 << 10;

impl<B: Bus> Operation<'_, B> {
    pub(super) fn create_delta(&mut self) -> Completion {
        let src1 = self.src().with_unit(WORD_LEN);
        let src2 = Span::read(Operand::SRC2, self.descriptor.src2_addr()).with_unit(WORD_LEN);
        let spans = [src1, src2];
        let mut walk =
            Walk::new(self.model, &spans, self.size(), self.blocks()).in_units(WORD_LEN).over_data();
        let bus = &self.model.bus;
        let (first, second) = self.buffers.first.split_at_mut(HALF_BYTES);
        let mut record = Record::new(self.descriptor);
        let end = walk.run(HALF_BYTES as u64, |piece| {
            let (first, second) = (part(first, piece), part(second, piece));
            read(bus, src1, piece, first)?;
            read(bus, src2, piece, second)?;
            Ok(record.append(bus, piece, first, second, &mut self.buffers.second))
        });
        let done = walk.done();
        let completion = match end {
            Err(stop) => stop.completion(done).with_result((record.size > 0).into()),
            Ok(full_at) => created(self.descriptor, record.size, full_at),
        };
        completion.with_delta_rec_size(record.size)
    }

    pub(super) fn apply_delta(&mut self) -> Completion {
        let src = Span::read(Operand::SRC, self.descriptor.apply_delta_addr()).with_unit(ENTRY_LEN);
        let spans = [src];
        let size = u64::from(self.descriptor.delta_size());
        let mut walk = Walk::new(self.model, &spans, size, self.blocks()).in_units(ENTRY_LEN).over_data();
        let (bus, buffer) = (&self.model.bus, &mut self.buffers.first);
        let mut target = Target::new(self.descriptor);
        let end = walk.run(BUFFER_LEN, |piece| {
            let bytes = part(buffer, piece);
            read(bus, src, piece, bytes)?;
            Ok(target.apply(bus, bytes))
        });
        let done = walk.done();
        match (end, target.wrong) {
            (Err(stop), _) => stop.completion(done),
            (Ok(Some(at)), Some(status)) => Completion::new(status).with_bytes_completed(low_half(at)),
            (Ok(_), _) => Completion::new(Status::SUCCESS),
        }
    }
}

/// The record of a comparison that came to its end, or to the end of the delta record.
fn created(descriptor: &Descriptor, size: u32, full_at: Option<u64>) -> Completion {
    let result = match (size, full_at) {
        (_, Some(_)) => 2,
        (0, None) => 0,
        (_, None) => 1,
    };
    let is_expected = descriptor.expected_result_mask() >> result & 1 == 1;
    let status = if descriptor.flags().contains(Flags::CHECK_RESULT) && !is_expected {
        Status::SUCCESS_PREDICATE_FALSE
    } else {
        Status::SUCCESS
    };
    Completion::new(status).with_result(result).with_bytes_completed(low_half(full_at.unwrap_or(0)))
}

/// A delta record on its way to memory. It does not advance with the sources.
struct Record {
    span: Span,
    room: u32,
    /// Bytes written, whole entries.
    size: u32,
}

impl Record {
    fn new(descriptor: &Descriptor) -> Self {
        let span = Span::write(Operand::DST, descriptor.delta_addr());
        Self { span, room: descriptor.delta_size_max(), size: 0 }
    }

    fn append<B: Bus>(
        &mut self,
        bus: &B,
        piece: Piece,
        first: &[u8],
        second: &[u8],
        buffer: &mut [u8],
    ) -> Flow {
        let room = index(u64::from(self.room - self.size)).min(buffer.len());
        let entries = &mut buffer[..room];
        let Created { outcome, record_bytes, compared_bytes } =
            delta::create_at(index(piece.offset), first, second, entries)
                .expect("the checks let through what a record can describe, and the walk gives whole words");
        let entries = &entries[..record_bytes];
        let addr = self.span.addr.wrapping_add(self.size.into());
        match write_apart(bus, addr, entries, index(ENTRY_LEN)) {
            Err(Unwritten { bytes, addr }) => {
                self.size += low_half(bytes as u64);
                let next = u16::from_le_bytes([entries[bytes], entries[bytes + 1]]);
                let done = u64::from(next) * WORD_LEN - piece.offset;
                Flow::Missing { done, span: self.span, addr }
            }
            Ok(()) => {
                self.size += low_half(record_bytes as u64);
                match outcome {
                    Outcome::Overflow => Flow::Halt(compared_bytes as u64),
                    _ => Flow::Continue,
                }
            }
        }
    }
}

/// What a delta record is applied to. It does not advance with the record.
struct Target {
    span: Span,
    size: u64,
    /// Offset of the last word that was written.
    last: Option<usize>,
    /// Offsets that were present when last looked at.
    present: Range<u64>,
    /// What the record has at the entry that could not be applied.
    wrong: Option<Status>,
}

impl Target {
    fn new(descriptor: &Descriptor) -> Self {
        Self {
            span: Span::write(Operand::DST, descriptor.dst_addr()),
            size: descriptor.xfer_size().into(),
            last: None,
            present: 0..0,
            wrong: None,
        }
    }

    fn apply<B: Bus>(&mut self, bus: &B, record: &[u8]) -> Flow {
        let mut entries = Entries::new(record, index(self.size));
        if let Some(last) = self.last {
            entries = entries.after(last);
        }
        let mut done = 0;
        for entry in &mut entries {
            let offset = entry.offset as u64;
            if let Err(addr) = self.put(bus, offset, &entry.word) {
                self.present = 0..0;
                return Flow::Missing { done, span: self.span, addr };
            }
            self.last = Some(entry.offset);
            done += ENTRY_LEN;
        }
        match entries.end() {
            Ok(()) => Flow::Continue,
            Err(error) => {
                self.wrong = Some(match error.cause {
                    RecordCause::Order { .. } => Status::DELTA_ORDER,
                    _ => Status::DELTA_RANGE,
                });
                Flow::Halt(done)
            }
        }
    }

    /// Writes one word; the error is the address that is missing. A word lies in one page: the destination is aligned.
    fn put<B: Bus>(&mut self, bus: &B, offset: u64, word: &[u8]) -> Result<(), u64> {
        let addr = self.span.addr.wrapping_add(offset);
        if !self.present.contains(&offset) {
            let ahead = (self.size - offset).min(AHEAD_LEN);
            let present = bus.present(addr, ahead, Access::Write);
            self.present = offset..offset + present;
            if present < WORD_LEN {
                return Err(addr);
            }
        }
        bus.write(addr, word).map_err(|fault| fault.addr)
    }
}
