//! One descriptor for one stretch of a job.
//!
//! Delta records are in [`delta`](super::delta): their stretches depend on what the record has.

use idxd_spec::{Descriptor, DifTags, DstAddr, Flags, SrcAddr};
use svala::{
    Access, Crc, CrcBypass, CrcKind, DELTA_ENTRY_BYTES, Job, OPERANDS_MAX, Operand, Operands, Span, VirtAddr,
};

use super::{dif, list, numeric};

/// In which order the parts of a job may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Any.
    Parallel,
    /// One after the other: a later part needs the result of an earlier one, or overwrites its source.
    Forward,
    /// The same from the end.
    Backward,
}

impl Order {
    pub(super) fn of(job: &Job) -> Self {
        match *job {
            Job::Copy { src, dst, len } if Span::new(src, len).overlaps(Span::new(dst, len)) => {
                if dst > src {
                    Self::Backward
                } else {
                    Self::Forward
                }
            }
            Job::Copy { .. }
            | Job::Dualcast { .. }
            | Job::Fill { .. }
            | Job::Fill16 { .. }
            | Job::Compare { .. }
            | Job::ComparePattern { .. }
            | Job::CacheFlush { .. }
            | Job::TranslationFetch { .. }
            | Job::GatherCopy { .. } => Self::Parallel,
            _ => Self::Forward,
        }
    }
}

/// Bytes of a part, in whole words so that a fill's parts begin at its first byte.
#[derive(Clone, Copy, Debug)]
pub(super) struct PartBytes {
    /// What the queue takes.
    pub(super) max: u64,
    /// Of a job whose parts may run in any order. An engine takes descriptors in turn: another's small job waits for
    /// those ahead of it, and its next part, after a fault, waits again. Parts that need each other's results are of the
    /// queue's maximum: between two of them the engine would have nothing to do. So are those of a job that has had the queue
    /// to itself for [`ALONE_PARTS`]: each part is a hand-over, which on a busy machine is a wait for a CPU.
    pub(super) parallel: u64,
}

/// Parts of a job, one after the other, in which nobody else has submitted anything.
pub(super) const ALONE_PARTS: u16 = 16;

impl PartBytes {
    pub(super) fn new(transfer_bytes_max: u32, parallel: u32) -> Self {
        let words = |bytes: u32| u64::from(bytes).max(8) & !7;
        Self { max: words(transfer_bytes_max), parallel: words(parallel.min(transfer_bytes_max)) }
    }

    /// Of the next part of a job that has loaded so many parts with nobody else about.
    pub(super) const fn of(self, order: Order, alone: u16) -> u64 {
        match order {
            Order::Parallel if alone < ALONE_PARTS => self.parallel,
            Order::Parallel | Order::Forward | Order::Backward => self.max,
        }
    }
}

/// Bytes of which every part but the last is a multiple: whole repetitions of a pattern, so that a part begins at its
/// first byte; whole blocks; whole entries; whole words.
const fn unit(job: &Job) -> u64 {
    match job {
        Job::Fill16 { .. } => 16,
        Job::ApplyDelta { .. } => DELTA_ENTRY_BYTES,
        _ => match dif::blocks(job) {
            Some((src_block, _)) => src_block,
            None => 8,
        },
    }
}

/// Bytes of a part at most, where a descriptor may have `part_bytes`. 0: not one unit fits.
pub(super) const fn len_max(job: &Job, part_bytes: u64) -> u64 {
    if let Some(numbers) = numeric::conversion(job) {
        return numeric::len_max(numbers, part_bytes);
    }
    part_bytes - part_bytes % unit(job)
}

/// Whether success is all there is to know of a job that is one descriptor.
pub(super) const fn finds_nothing(job: &Job) -> bool {
    matches!(
        job,
        Job::Noop
            | Job::Drain
            | Job::Copy { .. }
            | Job::Dualcast { .. }
            | Job::Fill { .. }
            | Job::Fill16 { .. }
            | Job::ApplyDelta { .. }
            | Job::CacheFlush { .. }
            | Job::TranslationFetch { .. }
            | Job::GatherCopy { .. }
            | Job::ScatterCopy { .. }
            | Job::ScatterFill { .. }
    )
}

/// Whether a job may be a member of a batch. A drain may not (DSA §8.3.3). Delta records are not, because a flight has
/// room for the end of one record only.
pub(super) const fn can_be_member(job: &Job) -> bool {
    !matches!(job, Job::Drain | Job::CreateDelta { .. } | Job::ApplyDelta { .. })
}

/// The descriptor for `len` bytes of `job` from `offset` on, which goes on from this CRC and these tags. None for what
/// a DSA does not do.
pub(super) fn descriptor(
    job: &Job,
    offset: u64,
    len: u64,
    crc_so_far: u64,
    tags: (DifTags, DifTags),
) -> Option<Descriptor> {
    let size = u32::try_from(len).ok()?;
    let from = |addr: VirtAddr| SrcAddr(addr.add(offset).get());
    let to = |addr: VirtAddr| DstAddr(addr.add(offset).get());
    Some(match *job {
        Job::Noop => Descriptor::noop(),
        // Waits for the descriptors the device has. A job that waits with the rest of itself, for a page or for its next
        // part's turn, is not among them: knowing those would cost every job an entry in a list.
        Job::Drain => Descriptor::drain(),
        Job::Copy { src, dst, .. } => Descriptor::memmove(from(src), to(dst), size),
        Job::Dualcast { src, dst, dst2, .. } => Descriptor::dualcast(from(src), to(dst), to(dst2), size),
        // Parts are whole repetitions long, so each begins at the pattern's first byte.
        Job::Fill { dst, pattern, .. } => Descriptor::fill(pattern, to(dst), size),
        Job::Fill16 { dst, pattern: [low, high], .. } => {
            Descriptor::fill_16(u128::from(low) | u128::from(high) << 64, to(dst), size)
        }
        Job::Compare { a, b, .. } => Descriptor::compare(from(a), from(b), size),
        Job::ComparePattern { src, pattern, .. } => Descriptor::compare_pattern(from(src), pattern, size),
        Job::Crc { src, crc, .. } => match crc.kind {
            CrcKind::Crc32c => Descriptor::crc(from(src), size, low_half(crc_so_far)),
            CrcKind::Crc64 => Descriptor::crc64(from(src), size, crc_so_far),
        }
        .with_flags(bypass(crc)),
        Job::CopyCrc { src, dst, crc, .. } => match crc.kind {
            CrcKind::Crc32c => Descriptor::copy_crc(from(src), to(dst), size, low_half(crc_so_far)),
            CrcKind::Crc64 => Descriptor::copy_crc64(from(src), to(dst), size, crc_so_far),
        }
        .with_flags(bypass(crc)),
        // The specification has no write-back that keeps the lines (taken out in its revision 2.0): table 8-4 leaves
        // the flush, which writes back as well. So both jobs are the same descriptor.
        Job::CacheFlush { addr, .. } => Descriptor::cache_flush(to(addr), size),
        Job::TranslationFetch { addr, .. } => Descriptor::translation_fetch(from(addr), size),
        Job::Convert { .. } | Job::Reduce { .. } | Job::ReduceDualcast { .. } | Job::GatherReduce { .. } => {
            numeric::descriptor(job, offset, len)?
        }
        Job::GatherCopy { .. } | Job::ScatterCopy { .. } | Job::ScatterFill { .. } => {
            list::descriptor(job, offset, len)?
        }
        _ => return dif::descriptor(job, block_addrs(job, offset)?, size, tags),
    })
}

/// Where the blocks of a job are from `offset` of the source on.
fn block_addrs(job: &Job, offset: u64) -> Option<(SrcAddr, DstAddr)> {
    let (src_block, dst_block) = dif::blocks(job)?;
    let written = offset / src_block * dst_block;
    let (src, dst) = match *job {
        Job::DifInsert { src, dst, .. }
        | Job::DifStrip { src, dst, .. }
        | Job::DifUpdate { src, dst, .. }
        | Job::DixGenerate { src, dst, .. } => (src, dst),
        Job::DifCheck { src, .. } => (src, src),
        _ => return None,
    };
    Some((SrcAddr(src.add(offset).get()), DstAddr(dst.add(written).get())))
}

fn bypass(crc: Crc) -> Flags {
    let inversion =
        if crc.bypass.contains(CrcBypass::INVERSION) { Flags::BYPASS_CRC_INVERSION } else { Flags::empty() };
    let reflection = if crc.bypass.contains(CrcBypass::REFLECTION) {
        Flags::BYPASS_DATA_REFLECTION
    } else {
        Flags::empty()
    };
    inversion | reflection
}

#[expect(clippy::cast_possible_truncation, reason = "a CRC-32C has 32 bits; above them a record has nothing")]
pub(super) const fn low_half(crc: u64) -> u32 {
    crc as u32
}

/// The CRC a job begins with.
pub(super) const fn seed(job: &Job) -> u64 {
    match *job {
        Job::Crc { seed, .. } | Job::CopyCrc { seed, .. } => seed,
        _ => 0,
    }
}

/// Of `descriptor`, the bytes that a job is counted in: those of the record where one is applied.
pub(super) fn size_of(job: &Job, descriptor: &Descriptor) -> u64 {
    match job {
        Job::ApplyDelta { .. } => descriptor.delta_size().into(),
        Job::Noop | Job::Drain => 0,
        Job::GatherReduce { .. } => descriptor.block_size().unwrap_or(0) * u64::from(descriptor.sgl_size()),
        _ => match numeric::conversion(job) {
            Some(numbers) => u64::from(descriptor.element_count()) * numbers.input().bytes(),
            None => descriptor.xfer_size().into(),
        },
    }
}

/// What the rest of a descriptor still touches, given the job it is part of.
pub(super) fn rest_of(job: &Job, rest: &Descriptor) -> Operands {
    let len = u64::from(rest.xfer_size());
    let (src, dst) = (rest.src_addr(), rest.dst_addr());
    let read = |addr: u64, len| Operand { span: Span::new(VirtAddr::new(addr), len), access: Access::Read };
    let write = |addr: u64, len| Operand { span: Span::new(VirtAddr::new(addr), len), access: Access::Write };
    let mut operands = [None; OPERANDS_MAX];
    let mut set = |touched: &[Operand]| {
        for (operand, touched) in operands.iter_mut().zip(touched) {
            *operand = Some(*touched);
        }
    };
    match *job {
        Job::Noop | Job::Drain => {}
        Job::Copy { .. } | Job::CopyCrc { .. } => set(&[read(src, len), write(dst, len)]),
        Job::Dualcast { .. } => set(&[read(src, len), write(dst, len), write(rest.dst2_addr(), len)]),
        // The device names the range it flushes a destination.
        Job::Fill { .. } | Job::Fill16 { .. } | Job::CacheFlush { .. } => set(&[write(dst, len)]),
        Job::Compare { .. } => set(&[read(src, len), read(dst, len)]),
        Job::Convert { .. } | Job::Reduce { .. } | Job::ReduceDualcast { .. } => {
            let len = size_of(job, rest);
            let written = numeric::conversion(job).map_or(0, |numbers| numbers.output_bytes(len));
            match job {
                Job::Convert { .. } => set(&[read(src, len), write(dst, written)]),
                Job::Reduce { .. } => {
                    set(&[read(src, len), read(dst, len), write(rest.reduce_dst_addr(), written)]);
                }
                _ => set(&[
                    read(src, len),
                    read(dst, len),
                    write(rest.reduce_dst_addr(), written),
                    write(rest.reduce_dst2_addr(), written),
                ]),
            }
        }
        Job::CreateDelta { .. } => {
            let room = write(rest.delta_addr(), rest.delta_size_max().into());
            set(&[read(src, len), read(dst, len), room]);
        }
        Job::ApplyDelta { .. } => set(&[read(src, rest.delta_size().into()), write(dst, len)]),
        _ => match dif::blocks(job) {
            Some((src_block, dst_block)) if dst_block != 0 => {
                set(&[read(src, len), write(dst, len / src_block * dst_block)]);
            }
            _ => set(&[read(src, len)]),
        },
    }
    operands
}

#[cfg(test)]
mod tests {
    use super::*;
    use svala::{DifFormat, DifSource};

    #[test]
    fn overlapping_copies_run_away_from_what_they_overwrite() {
        let copy = |src, dst| Job::Copy { src: VirtAddr::new(src), dst: VirtAddr::new(dst), len: 100 };
        assert_eq!(Order::of(&copy(1000, 1050)), Order::Backward);
        assert_eq!(Order::of(&copy(1050, 1000)), Order::Forward);
        assert_eq!(Order::of(&copy(1000, 1100)), Order::Parallel);
    }

    #[test]
    fn a_part_of_a_strip_writes_behind_the_blocks_before_it() {
        let (src, dst) = (VirtAddr::new(0x10000), VirtAddr::new(0x90000));
        let (format, source) = (DifFormat::default(), DifSource::default());
        let job = Job::DifStrip { src, dst, len: 10 * 520, format, source };
        let tags = (DifTags::default(), DifTags::default());
        let descriptor = descriptor(&job, 3 * 520, 7 * 520, 0, tags).expect("a DSA strips");
        assert_eq!((descriptor.src_addr(), descriptor.dst_addr()), (0x10000 + 3 * 520, 0x90000 + 3 * 512));
        let [Some(read), Some(written), None, None] = rest_of(&job, &descriptor) else {
            panic!("two operands")
        };
        assert_eq!((read.span.len, written.span.len), (7 * 520, 7 * 512));
    }
}
