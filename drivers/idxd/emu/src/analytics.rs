//! The operations of an IAA: each done whole or not at all.
//!
//! There is no partial completion (IAA §7.1). So an operation reads its whole input, computes its whole output aside,
//! makes sure of every page it is about to write, and only then writes.

mod cipher;
mod compress;
mod decompress;
mod filter;
mod stream;

use idxd_spec::iaa::{Completion, CrcFlags, DecompressFlags, Descriptor, ErrorCode};
use idxd_spec::{Flags, Opcode, Operand, Status};
use svala_software::{AnyCrc, crc32, crc32c};

use crate::bus::Bus;
use crate::index::index;
use crate::model::Model;
use crate::walk::{Flow, Interrupted, Span, Stop, Walk};

/// Bytes one access to the bus moves.
const PIECE_LEN: u64 = 2 << 20;

/// Runs everything but drain.
pub(crate) fn run<B: Bus>(model: &Model<B>, descriptor: &Descriptor) -> Completion {
    let analytics = Analytics { model, descriptor };
    let end = match descriptor.opcode() {
        Opcode::MEMMOVE => analytics.memmove(),
        Opcode::TRANSLATION_FETCH => analytics.translation_fetch(),
        Opcode::DECOMPRESS => analytics.decompress(),
        Opcode::COMPRESS => analytics.compress(),
        Opcode::CRC64 => analytics.crc64(),
        Opcode::ENCRYPT | Opcode::DECRYPT => analytics.cipher(),
        Opcode::SCAN
        | Opcode::SET_MEMBERSHIP
        | Opcode::EXTRACT
        | Opcode::SELECT
        | Opcode::RLE_BURST
        | Opcode::FIND_UNIQUE
        | Opcode::EXPAND => analytics.filter(),
        Opcode::ZERO_DECOMPRESS_32
        | Opcode::ZERO_DECOMPRESS_16
        | Opcode::ZERO_DECOMPRESS_8
        | Opcode::ZERO_COMPRESS_32
        | Opcode::ZERO_COMPRESS_16
        | Opcode::ZERO_COMPRESS_8 => analytics.zero(),
        // What the checks let through and is not above does nothing but complete.
        _ => Ok(Completion::new(Status::SUCCESS)),
    };
    end.unwrap_or_else(|failed| failed)
}

struct Analytics<'a, B> {
    model: &'a Model<B>,
    descriptor: &'a Descriptor,
}

impl<B: Bus> Analytics<'_, B> {
    fn blocks(&self) -> bool {
        self.descriptor.flags().contains(Flags::BLOCK_ON_FAULT)
    }

    /// Not of the specification's, but of uapi's and the silicon's operations.
    fn memmove(&self) -> Result<Completion, Completion> {
        self.write_output(&self.read_src1()?)?;
        Ok(Completion::new(Status::SUCCESS).with_output_size(self.descriptor.src1_size()))
    }

    fn translation_fetch(&self) -> Result<Completion, Completion> {
        let uses_stride = self.descriptor.flags().contains(Flags::USE_STRIDE);
        let stride = if uses_stride { self.descriptor.stride().into() } else { crate::PAGE_BYTES };
        for offset in (0..u64::from(self.descriptor.src1_size())).step_by(index(stride)) {
            let spans = [Span::read(Operand::SRC, self.descriptor.src1_addr().wrapping_add(offset))];
            let mut walk = Walk::new(self.model, &spans, 1, self.blocks());
            walk.run(1, |_| Ok(Flow::Continue)).map_err(|stop| faulted(stop, 0))?;
        }
        Ok(Completion::new(Status::SUCCESS))
    }

    fn crc64(&self) -> Result<Completion, Completion> {
        let input = self.read_src1()?;
        let (polynomial, flags) = (self.descriptor.crc_polynomial(), self.descriptor.crc_flags());
        let crc = AnyCrc {
            polynomial,
            reflect: flags.contains(CrcFlags::REFLECT),
            invert: flags.contains(CrcFlags::INVERT),
        }
        .checksum(&input);
        Ok(Completion::new(Status::SUCCESS).with_crc64(crc))
    }

    /// The checksums of the uncompressed data, and its size as the output's (IAA §3.6).
    fn checksummed(&self, completion: Completion, data: &[u8], (crc, xor): (u32, u16)) -> Completion {
        let crc = self.crc(crc, data);
        let word = |bytes: &[u8]| u16::from_le_bytes([bytes[0], bytes.get(1).copied().unwrap_or(0)]);
        let xor = data.chunks(2).map(word).fold(xor, |xor, word| xor ^ word);
        completion.with_crc(crc).with_xor_csum(xor).with_output_size(len(data.len()))
    }

    fn crc(&self, seed: u32, data: &[u8]) -> u32 {
        if self.descriptor.flags().contains(Flags::CRC_RFC3720) {
            crc32c(seed, data)
        } else {
            crc32(seed, data)
        }
    }

    fn read_src1(&self) -> Result<Vec<u8>, Completion> {
        let size = self.descriptor.src1_size().into();
        let mut input = vec![0; index(size)];
        let spans = [Span::read(Operand::SRC, self.descriptor.src1_addr())];
        let walk = Walk::new(self.model, &spans, size, self.blocks());
        // The plan's fault is on what is written, if anything is.
        let writes = self.descriptor.opcode() != Opcode::CRC64 && !self.suppresses_output();
        let walk = if writes { walk } else { walk.over_data() };
        read_whole(self.model, walk, spans[0], &mut input)?;
        Ok(input)
    }

    /// Whether a filter is asked for its aggregates only, or a decompression for its checksums.
    fn suppresses_output(&self) -> bool {
        let opcode = self.descriptor.opcode();
        let may = (Opcode::SCAN.0..=Opcode::EXPAND.0).contains(&opcode.0) || opcode == Opcode::DECOMPRESS;
        may && self.descriptor.decompress_flags().contains(DecompressFlags::SUPPRESS_OUTPUT)
    }

    /// The half of source 2 that is read.
    fn read_src2(&self, bytes: &mut [u8]) -> Result<(), Completion> {
        let spans = [Span::read(Operand::SRC2, self.aecs_half(Flags::AECS_TOGGLE))];
        let walk = Walk::new(self.model, &spans, bytes.len() as u64, self.blocks());
        read_whole(self.model, walk, spans[0], bytes)
    }

    /// Source 2 is two areas of its size: the toggle says which is read, the other is written (IAA §3.2).
    fn aecs_half(&self, second_if: Flags) -> u64 {
        let is_second = (self.descriptor.flags() & Flags::AECS_TOGGLE) == second_if;
        let offset = if is_second { self.descriptor.src2_size().into() } else { 0 };
        self.descriptor.src2_addr().wrapping_add(offset)
    }

    fn write_output(&self, output: &[u8]) -> Result<(), Completion> {
        let spans = [Span::write(Operand::DST, self.descriptor.dst_addr())];
        let mut walk = Walk::new(self.model, &spans, output.len() as u64, self.blocks()).over_data();
        walk.require_all().map_err(|stop| faulted(stop, 0))?;
        self.write_walked(walk, spans[0], output)
    }

    /// Output and AECS, if that is written: nothing of either is written before both are present.
    fn write_both(&self, output: &[u8], aecs: Option<&[u8]>) -> Result<(), Completion> {
        let Some(aecs) = aecs else { return self.write_output(output) };
        let spans = [Span::write(Operand::SRC2, self.aecs_half(Flags::empty()))];
        let mut walk = Walk::new(self.model, &spans, aecs.len() as u64, self.blocks());
        walk.require_all().map_err(|stop| faulted(stop, 0))?;
        self.write_output(output)?;
        self.write_walked(walk, spans[0], aecs)
    }

    fn write_walked(&self, mut walk: Walk<'_, B>, span: Span, bytes: &[u8]) -> Result<(), Completion> {
        let end = walk.run(PIECE_LEN, |piece| {
            let from = index(piece.offset);
            let addr = span.addr.wrapping_add(piece.offset);
            let part = &bytes[from..from + index(piece.len)];
            self.model
                .bus
                .write(addr, part)
                .map_err(|fault| Interrupted { done: fault.addr.wrapping_sub(addr).min(piece.len), fault })?;
            Ok(Flow::Continue)
        });
        let done = walk.done();
        end.map(drop).map_err(|stop| faulted(stop, done))
    }
}

fn read_whole<B: Bus>(
    model: &Model<B>,
    mut walk: Walk<'_, B>,
    span: Span,
    bytes: &mut [u8],
) -> Result<(), Completion> {
    walk.run(PIECE_LEN, |piece| {
        let from = index(piece.offset);
        let part = &mut bytes[from..from + index(piece.len)];
        let addr = span.addr.wrapping_add(piece.offset);
        model.bus.read(addr, part).map_err(|fault| Interrupted { done: 0, fault })?;
        Ok(Flow::Continue)
    })
    .map(drop)
    .map_err(|stop| faulted(stop, 0))
}

/// The record after a fault: `written` counts output (IAA §6.2.4), and does not mean that one could go on from there.
fn faulted(stop: Stop, written: u64) -> Completion {
    let record = stop.completion(written);
    Completion::new(record.status())
        .with_fault(record.fault_addr(), record.fault_info())
        .with_bytes_completed(record.bytes_completed())
}

fn analytics_error(code: ErrorCode) -> Completion {
    Completion::new(Status::ANALYTICS_ERROR).with_error_code(code)
}

/// A length that came from 32-bit fields.
fn len(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}
