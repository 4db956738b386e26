//! Data integrity fields: check, insert, strip, update; and DIX generate.
//!
//! The five operations are one walk over blocks. They differ in how many bytes a block has in the source and in the
//! destination, and in what is done to it.

use idxd_spec::{
    Completion, Descriptor, DifFlags, DifStatus, DifTags, DstDifFlags, Opcode, SrcDifFlags, Status,
};
use svala_software::dif::{
    self, BlockSize, DestinationFields, Error, FIELD_BYTES, Format, Mismatch, SourceChecks, TagKind, Tags,
};

use super::piece::{part, read, write};
use super::{BUFFER_BYTES, Operation};
use crate::bus::Bus;
use crate::index::index;
use crate::walk::{Flow, Interrupted, Piece, Span, Walk};

impl<B: Bus> Operation<'_, B> {
    pub(super) fn dif(&mut self) -> Completion {
        let mut run = Run::new(self.descriptor);
        let (src_unit, dst_unit) = (run.src_unit as u64, run.dst_unit as u64);
        let src = self.src().with_unit(src_unit);
        let dst = self.dst().with_unit(dst_unit);
        let spans = [src, dst];
        // A check has no destination.
        let spans = if dst_unit == 0 { &spans[..1] } else { &spans[..] };
        let mut walk =
            Walk::new(self.model, spans, self.size(), self.blocks()).in_units(src_unit).over_data();
        let (bus, first, second) = (&self.model.bus, &mut self.buffers.first, &mut self.buffers.second);
        let end = walk.run(run.piece_len(), |piece| {
            let bytes = part(first, piece);
            let before = run;
            read(bus, src, piece, bytes)?;
            let made = run.blocks(bytes, second);
            if let Err(interrupted) = write_blocks(bus, dst, piece, &run, &second[..made * run.dst_unit]) {
                let blocks = index(interrupted.done) / run.src_unit;
                run = before.advanced(blocks);
                return Err(interrupted);
            }
            Ok(match run.mismatch {
                Some(_) => Flow::Halt((made * run.src_unit) as u64),
                None => Flow::Continue,
            })
        });
        let done = walk.done();
        match end {
            Err(stop) => run.with_tags(stop.completion(done)),
            Ok(Some(at)) => run.mismatched(at),
            Ok(None) => run.with_tags(Completion::new(Status::SUCCESS)),
        }
    }
}

/// One operation between two pieces.
#[derive(Clone, Copy)]
struct Run {
    opcode: Opcode,
    format: Format,
    checks: SourceChecks,
    fields: DestinationFields,
    src_tags: Tags,
    dst_tags: Tags,
    /// Bytes of a block in the source.
    src_unit: usize,
    /// Bytes of a block in the destination.
    dst_unit: usize,
    /// What is wrong with the block behind those that are done.
    mismatch: Option<Mismatch>,
}

impl Run {
    fn new(descriptor: &Descriptor) -> Self {
        let format = format(descriptor.dif_flags());
        let (data, with_field) = (format.block_size.bytes(), format.block_size.bytes_with_field());
        let (src_unit, dst_unit) = match descriptor.opcode() {
            Opcode::DIF_CHECK => (with_field, 0),
            Opcode::DIF_INSERT => (data, with_field),
            Opcode::DIF_STRIP => (with_field, data),
            Opcode::DIF_UPDATE => (with_field, with_field),
            _ => (data, FIELD_BYTES),
        };
        Self {
            opcode: descriptor.opcode(),
            format,
            checks: checks(descriptor.src_dif_flags()),
            fields: fields(descriptor.dst_dif_flags()),
            src_tags: tags(descriptor.src_dif_tags()),
            dst_tags: tags(descriptor.dst_dif_tags()),
            src_unit,
            dst_unit,
            mismatch: None,
        }
    }

    /// Bytes of source whose blocks fit in a buffer on either side.
    fn piece_len(&self) -> u64 {
        (BUFFER_BYTES / self.src_unit.max(self.dst_unit) * self.src_unit) as u64
    }

    /// Does the blocks of `src` into the beginning of `dst`, up to one that is wrong, and says how many.
    fn blocks(&mut self, src: &[u8], dst: &mut [u8]) -> usize {
        let count = src.len() / self.src_unit;
        let dst = &mut dst[..count * self.dst_unit];
        let (format, checks, fields) = (self.format, self.checks, self.fields);
        let (src_tags, dst_tags) = (&mut self.src_tags, &mut self.dst_tags);
        let done = match self.opcode {
            Opcode::DIF_CHECK => dif::check(format, checks, src_tags, src),
            Opcode::DIF_INSERT => dif::insert(format, fields, dst_tags, src, dst),
            Opcode::DIF_STRIP => dif::strip(format, checks, src_tags, src, dst),
            Opcode::DIF_UPDATE => dif::update(format, (checks, src_tags), (fields, dst_tags), src, dst),
            _ => dif::dix_generate(format, fields, dst_tags, src, dst),
        };
        match done {
            Ok(()) => count,
            Err(Error::Mismatch { block, mismatch }) => {
                self.mismatch = Some(mismatch);
                block
            }
            Err(error) => unreachable!("the walk gives whole blocks: {error}"),
        }
    }

    /// As it was `blocks` blocks further on.
    fn advanced(mut self, blocks: usize) -> Self {
        for _ in 0..blocks {
            self.src_tags.advance(self.checks.ref_tag_kind, self.checks.app_tag_kind);
            self.dst_tags.advance(self.fields.ref_tag_kind, self.fields.app_tag_kind);
        }
        self
    }

    /// With the tags of the next block, those that the operation has.
    fn with_tags(&self, completion: Completion) -> Completion {
        let (src, dst) = (record_tags(self.src_tags), record_tags(self.dst_tags));
        match self.opcode {
            Opcode::DIF_CHECK | Opcode::DIF_STRIP => completion.with_src_dif_tags(src),
            Opcode::DIF_UPDATE => completion.with_src_dif_tags(src).with_dst_dif_tags(dst),
            _ => completion.with_dst_dif_tags(dst),
        }
    }

    /// The tags are undefined here (§8.3.14), and left 0.
    fn mismatched(&self, at: u64) -> Completion {
        let status = DifStatus::from_bits_retain(self.mismatch.unwrap_or_default().bits());
        Completion::new(Status::DIF_ERROR)
            .with_result(status.bits())
            .with_bytes_completed(u32::try_from(at).unwrap_or(u32::MAX))
    }
}

/// Writes blocks to where a piece of the source has its blocks in the destination. What an error says is done are bytes
/// of the source.
fn write_blocks<B: Bus>(
    bus: &B,
    dst: Span,
    piece: Piece,
    run: &Run,
    bytes: &[u8],
) -> Result<(), Interrupted> {
    let offset = index(piece.offset) / run.src_unit * run.dst_unit;
    let there = Piece { offset: offset as u64, len: bytes.len() as u64 };
    write(bus, dst, there, bytes).map(drop).map_err(|Interrupted { done, fault }| {
        let blocks = index(done) / run.dst_unit.max(1);
        Interrupted { done: (blocks * run.src_unit) as u64, fault }
    })
}

fn format(flags: DifFlags) -> Format {
    Format {
        block_size: BlockSize::ALL[usize::from(flags.bits() & 3)],
        invert_crc_seed: flags.contains(DifFlags::INVERT_CRC_SEED),
        invert_crc_result: flags.contains(DifFlags::INVERT_CRC_RESULT),
    }
}

fn checks(flags: SrcDifFlags) -> SourceChecks {
    SourceChecks {
        guard: !flags.contains(SrcDifFlags::GUARD_CHECK_DISABLE),
        ref_tag: !flags.contains(SrcDifFlags::REF_TAG_CHECK_DISABLE),
        ref_tag_kind: kind(!flags.contains(SrcDifFlags::REF_TAG_FIXED)),
        app_tag_kind: kind(flags.contains(SrcDifFlags::APP_TAG_INCREMENTS)),
        app_tag_f_detect: flags.contains(SrcDifFlags::APP_TAG_F_DETECT),
        app_ref_tag_f_detect: flags.contains(SrcDifFlags::APP_REF_TAG_F_DETECT),
        all_f_detect: flags.contains(SrcDifFlags::ALL_F_DETECT),
        all_f_error: flags.contains(SrcDifFlags::ALL_F_ERROR),
    }
}

fn fields(flags: DstDifFlags) -> DestinationFields {
    DestinationFields {
        ref_tag_kind: kind(!flags.contains(DstDifFlags::REF_TAG_FIXED)),
        app_tag_kind: kind(flags.contains(DstDifFlags::APP_TAG_INCREMENTS)),
        pass_guard: flags.contains(DstDifFlags::GUARD_PASS),
        pass_ref_tag: flags.contains(DstDifFlags::REF_TAG_PASS),
        pass_app_tag: flags.contains(DstDifFlags::APP_TAG_PASS),
    }
}

fn kind(increments: bool) -> TagKind {
    if increments { TagKind::Incrementing } else { TagKind::Fixed }
}

fn tags(DifTags { ref_tag, app_tag_mask, app_tag }: DifTags) -> Tags {
    Tags { ref_tag, app_tag, app_tag_mask }
}

fn record_tags(Tags { ref_tag, app_tag, app_tag_mask }: Tags) -> DifTags {
    DifTags { ref_tag, app_tag_mask, app_tag }
}
