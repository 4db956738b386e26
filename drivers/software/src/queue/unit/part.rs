//! Where a job can be cut, in which order its pieces may be done, and what a piece is.

use svala::{Crc, CrcKind, DIF_BYTES, Filter, FilterKind, Job, OutputWidth, Span, VirtAddr};

use super::super::integrity::{destination_after, source_after};
use super::super::work::{bypass_of, low_half};

/// Which pieces may be out together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// There is but one.
    Whole,
    /// Any.
    Any,
    /// One at a time, upwards.
    Up,
    /// One at a time, downwards.
    Down,
}

/// Pieces begin at multiples of this, so that patterns keep their phase and neighbours share no page.
const ALIGN_BYTES: u64 = 4096;

impl Order {
    pub(super) fn of(job: &Job) -> Self {
        match *job {
            Job::Copy { src, dst, len } if Span::new(src, len).overlaps(Span::new(dst, len)) => {
                if dst < src {
                    Self::Up
                } else {
                    Self::Down
                }
            }
            Job::Deflate { .. } | Job::Lz4Compress { .. } => Self::Up,
            Job::Copy { .. }
            | Job::Dualcast { .. }
            | Job::Fill { .. }
            | Job::Fill16 { .. }
            | Job::Compare { .. }
            | Job::ComparePattern { .. }
            | Job::Crc { .. }
            | Job::CopyCrc { .. }
            | Job::DifCheck { .. }
            | Job::DifInsert { .. }
            | Job::DifStrip { .. }
            | Job::DifUpdate { .. }
            | Job::DixGenerate { .. }
            | Job::CacheFlush { .. }
            | Job::TranslationFetch { .. }
            | Job::Convert { .. }
            | Job::Reduce { .. }
            | Job::ReduceDualcast { .. } => Self::Any,
            Job::Filter { src, dst, filter, .. } if is_apart(src, dst, filter) => Self::Any,
            // A delta record is of 512 KiB at most, half a piece; an inflate knows its end only when it is there.
            _ => Self::Whole,
        }
    }
}

/// Whether each part of a scan has its own bytes of input and output, and there are all of them: not so indices, which are as
/// many as there are ones.
fn is_apart(src: Span, dst: Span, filter: Filter) -> bool {
    let is_bits = filter.kind() == FilterKind::Scan && filter.output() == OutputWidth::Nominal;
    let is_there = filter.column_bytes() == Some(src.len);
    let has_room = dst.len == 0 || dst.len >= filter.written_bytes(filter.count());
    is_bits && is_there && has_room && filter.splits() && (1..=32).contains(&filter.width())
}

/// The index of the element at `offset` bytes of a packed column.
pub(super) fn element_at(filter: Filter, offset: u64) -> u32 {
    u32::try_from(offset * 8 / u64::from(filter.width().max(1))).unwrap_or(u32::MAX)
}

/// Bytes of input that belong together: pieces are multiples of it.
pub(in super::super) const fn unit_bytes(job: &Job) -> u64 {
    match *job {
        Job::DifInsert { format, .. } | Job::DixGenerate { format, .. } => format.block.bytes(),
        Job::DifCheck { format, .. } | Job::DifStrip { format, .. } | Job::DifUpdate { format, .. } => {
            format.block.bytes_with_field()
        }
        // Elements of any width end at a whole byte and their bits too.
        Job::Filter { filter, .. } => {
            ALIGN_BYTES * if filter.width() == 0 { 1 } else { filter.width() as u64 }
        }
        _ => ALIGN_BYTES,
    }
}

/// `len` bytes of `job`, from `offset` on, of which the pieces before have `written` bytes of output. Stays inside the
/// job's operands. `offset` is a multiple of [`unit_bytes`], and `len` is one or goes to the job's end.
pub(super) fn part(job: &Job, offset: u64, len: u64, written: u64) -> Job {
    let at = |addr: VirtAddr| addr.add(offset);
    match *job {
        Job::Copy { src, dst, .. } => Job::Copy { src: at(src), dst: at(dst), len },
        Job::Dualcast { src, dst, dst2, .. } => {
            Job::Dualcast { src: at(src), dst: at(dst), dst2: at(dst2), len }
        }
        Job::Fill { dst, pattern, .. } => Job::Fill { dst: at(dst), len, pattern },
        Job::Fill16 { dst, pattern, .. } => Job::Fill16 { dst: at(dst), len, pattern },
        Job::Compare { a, b, .. } => Job::Compare { a: at(a), b: at(b), len },
        Job::ComparePattern { src, pattern, .. } => Job::ComparePattern { src: at(src), len, pattern },
        Job::CacheFlush { addr, drop, .. } => Job::CacheFlush { addr: at(addr), len, drop },
        Job::TranslationFetch { addr, .. } => Job::TranslationFetch { addr: at(addr), len },
        Job::Crc { .. } | Job::CopyCrc { .. } => part_of_crc(job, offset, len),
        Job::Convert { .. } | Job::Reduce { .. } | Job::ReduceDualcast { .. } => {
            part_of_numbers(job, offset, len)
        }
        Job::Filter { src, second, dst, filter } => {
            let first = element_at(filter, offset);
            let written = filter.written_bytes(first);
            let count = element_at(filter, len).min(filter.count() - first);
            let (src, dst) = (src.part(offset, len), dst.part(written, filter.written_bytes(count)));
            Job::Filter { src, second, dst, filter: filter.with_count(count) }
        }
        Job::Deflate { src, dst, level, last, check } => Job::Deflate {
            src: src.part(offset, len),
            dst: dst.part(written, u64::MAX),
            level,
            last: last && offset + len == src.len,
            check,
        },
        Job::Lz4Compress { src, dst, level } => {
            Job::Lz4Compress { src: src.part(offset, len), dst: dst.part(written, u64::MAX), level }
        }
        _ => part_of_blocks(job, offset, len),
    }
}

/// Only the first piece goes on from the seed; what the others find is added to it.
fn part_of_crc(job: &Job, offset: u64, len: u64) -> Job {
    let at = |addr: VirtAddr| addr.add(offset);
    match *job {
        Job::Crc { src, crc, seed, .. } => {
            let seed = if offset == 0 { seed } else { empty_crc(crc) };
            Job::Crc { src: at(src), len, crc, seed }
        }
        Job::CopyCrc { src, dst, crc, seed, .. } => {
            let seed = if offset == 0 { seed } else { empty_crc(crc) };
            Job::CopyCrc { src: at(src), dst: at(dst), len, crc, seed }
        }
        job => job,
    }
}

/// A vector of elements goes on from piece to piece, at its own pace where they are written.
fn part_of_numbers(job: &Job, offset: u64, len: u64) -> Job {
    let at = |addr: VirtAddr| addr.add(offset);
    match *job {
        Job::Convert { src, dst, conversion, .. } => {
            let written = conversion.output_bytes(offset);
            Job::Convert { src: at(src), dst: dst.add(written), len, conversion }
        }
        Job::Reduce { a, b, dst, reduction, .. } => {
            let written = reduction.numbers().output_bytes(offset);
            Job::Reduce { a: at(a), b: at(b), dst: dst.add(written), len, reduction }
        }
        Job::ReduceDualcast { a, b, dst, dst2, reduction, .. } => {
            let written = reduction.numbers().output_bytes(offset);
            let (dst, dst2) = (dst.add(written), dst2.add(written));
            Job::ReduceDualcast { a: at(a), b: at(b), dst, dst2, len, reduction }
        }
        job => job,
    }
}

/// The CRC of nothing.
pub(super) fn empty_crc(crc: Crc) -> u64 {
    match crc.kind {
        CrcKind::Crc32c => bypass_of(crc).empty_32().into(),
        CrcKind::Crc64 => bypass_of(crc).empty_64(),
    }
}

/// `sum` and a piece with `behind` bytes of the job behind it: CRCs of pieces, each moved to where it ends in the whole,
/// add up without carry, in any order.
pub(super) fn crc_with(crc: Crc, sum: u64, piece: u64, behind: u64) -> u64 {
    let bypass = bypass_of(crc);
    match crc.kind {
        CrcKind::Crc32c => bypass.crc32c_combine(low_half(piece), low_half(sum), behind).into(),
        CrcKind::Crc64 => bypass.crc64_combine(piece, sum, behind),
    }
}

/// Tags go on from piece to piece.
fn part_of_blocks(job: &Job, offset: u64, len: u64) -> Job {
    let blocks = offset / unit_bytes(job);
    let src_at = |addr: VirtAddr| addr.add(offset);
    let dst_at = |addr: VirtAddr, block_bytes: u64| addr.add(blocks * block_bytes);
    match *job {
        Job::DifCheck { src, format, source, .. } => {
            Job::DifCheck { src: src_at(src), len, format, source: source_after(source, blocks) }
        }
        Job::DifInsert { src, dst, format, destination, .. } => Job::DifInsert {
            src: src_at(src),
            dst: dst_at(dst, format.block.bytes_with_field()),
            len,
            format,
            destination: destination_after(destination, blocks),
        },
        Job::DifStrip { src, dst, format, source, .. } => Job::DifStrip {
            src: src_at(src),
            dst: dst_at(dst, format.block.bytes()),
            len,
            format,
            source: source_after(source, blocks),
        },
        Job::DifUpdate { src, dst, format, source, destination, .. } => Job::DifUpdate {
            src: src_at(src),
            dst: dst_at(dst, format.block.bytes_with_field()),
            len,
            format,
            source: source_after(source, blocks),
            destination: destination_after(destination, blocks),
        },
        Job::DixGenerate { src, dst, format, destination, .. } => Job::DixGenerate {
            src: src_at(src),
            dst: dst_at(dst, DIF_BYTES),
            len,
            format,
            destination: destination_after(destination, blocks),
        },
        job => job,
    }
}
