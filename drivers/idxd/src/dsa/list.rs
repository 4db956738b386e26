//! Blocks that lie anywhere in a range, in several descriptors.
//!
//! Entries of a list are offsets in bytes, so the part of every block that begins at some byte is the same list from
//! another base. A descriptor has whole blocks, as many as a transfer and a list may have, or a piece of one block where
//! that is longer than a transfer.

use idxd_spec::{Blocks as SpecBlocks, DataType, Descriptor, DstAddr, Sgl, SglFormat, SrcAddr};
use svala::{
    Access, BLOCK_ENTRY_BYTES, Blocks, Job, OPERANDS_MAX, Operand, Operands, PAGE_BYTES, Span, VirtAddr,
};

use super::config::Lists;
use super::numeric;

/// The blocks of a job, if it has some.
pub(super) const fn blocks(job: &Job) -> Option<Blocks> {
    match *job {
        Job::GatherReduce { blocks, .. }
        | Job::GatherCopy { blocks, .. }
        | Job::ScatterCopy { blocks, .. }
        | Job::ScatterFill { blocks, .. } => Some(blocks),
        _ => None,
    }
}

/// The whole list, with `at` bytes of every block left out. None for a list longer than a descriptor can say.
pub(super) fn all(blocks: &Blocks, at: u64) -> Option<Sgl> {
    Some(Sgl {
        addr: SrcAddr(blocks.list.get()),
        entries: u16::try_from(blocks.count).ok()?,
        format: SglFormat::Offset64,
        base: blocks.base.addr.add(at).get(),
    })
}

/// Bytes of the part that begins at `offset`, counted in the bytes of all blocks. 0: there is no way to make one.
pub(super) fn part_len(job: &Job, offset: u64, part_bytes: u64, lists: Lists) -> Option<u64> {
    let blocks = blocks(job)?;
    let block = u64::from(blocks.block_bytes);
    if let Job::GatherReduce { reduction, .. } = *job {
        let (vectors, numbers) = (u64::from(blocks.count), reduction.numbers());
        if vectors > lists.entries_max.into() {
            return Some(0);
        }
        let element = numbers.input().bytes();
        let column =
            numeric::len_max(numbers, lists.gather_reduce_block_max.into()).min(part_bytes / vectors.max(1));
        return Some((column - column % element).min(block - offset / vectors.max(1)) * vectors);
    }
    let left = blocks.bytes().saturating_sub(offset);
    if block > part_bytes {
        return Some(part_bytes.min(block - offset % block).min(left));
    }
    let most = (part_bytes / block).min(lists.entries_max.into());
    Some((most * block).min(left))
}

/// The descriptor for `len` bytes from `offset` on, as [`part_len`] has them.
pub(super) fn descriptor(job: &Job, offset: u64, len: u64) -> Option<Descriptor> {
    let blocks = blocks(job)?;
    let block = u64::from(blocks.block_bytes);
    let (first, into) = (offset / block, offset % block);
    let (entries, size) = if into == 0 && len >= block { (len / block, block) } else { (1, len) };
    let list = Sgl {
        addr: SrcAddr(blocks.list.add(first * BLOCK_ENTRY_BYTES).get()),
        entries: u16::try_from(entries).ok()?,
        format: SglFormat::Offset64,
        base: blocks.base.addr.add(into).get(),
    };
    let listed = SpecBlocks::new(list, DataType::Int8, u32::try_from(size).ok()?)?;
    Some(match *job {
        Job::GatherCopy { dst, .. } => Descriptor::gather_copy(listed, DstAddr(dst.add(offset).get()), None),
        Job::ScatterCopy { src, .. } => {
            Descriptor::scatter_copy(SrcAddr(src.add(offset).get()), listed, None)
        }
        // Pieces of a block are whole patterns long, so each begins at the pattern's first byte.
        Job::ScatterFill { pattern, .. } => Descriptor::scatter_fill(pattern, listed, None),
        _ => return None,
    })
}

/// What a descriptor that met a fault needs of its memory, all of it at once: a device that misses a page of a block
/// begins the block again, and one that reduces begins everything again.
pub(super) fn needs(job: &Job, rest: &Descriptor, access: Access, fault: VirtAddr) -> Operands {
    let Some(blocks) = blocks(job) else { return [None; OPERANDS_MAX] };
    let list = Span::new(VirtAddr::new(rest.sgl_addr()), u64::from(rest.sgl_size()) * BLOCK_ENTRY_BYTES);
    let size = rest.block_size().unwrap_or(0);
    let (base, plain) = match *job {
        Job::GatherReduce { dst, reduction, .. } => {
            let written = reduction.numbers().output_bytes(blocks.block_bytes.into());
            let all = Operand { span: blocks.base, access: Access::Read };
            (Some(all), Some((dst, written, Access::Write)))
        }
        Job::GatherCopy { .. } => {
            let dst = VirtAddr::new(rest.dst_addr());
            (around(&blocks, fault, size, Access::Read), Some((dst, size, Access::Write)))
        }
        Job::ScatterCopy { .. } => {
            let src = VirtAddr::new(rest.src_addr());
            (around(&blocks, fault, size, Access::Write), Some((src, size, Access::Read)))
        }
        _ => (around(&blocks, fault, size, Access::Write), None),
    };
    let plain = plain.map(|(addr, len, access)| Operand { span: Span::new(addr, len), access });
    let list = Operand { span: list, access: Access::Read };
    let known = [Some(list), base, plain];
    // What a device says is not believed: if none of it is its memory, one page is tried.
    let page = Operand { span: Span::new(fault.page(), PAGE_BYTES), access };
    let is_known = known.iter().flatten().any(|operand| operand.span.touches_page_of(fault));
    [known[0], known[1], known[2], (!is_known).then_some(page)]
}

/// The part of the range that has every block with a byte in the page that faulted. Nothing if it faulted elsewhere.
fn around(blocks: &Blocks, fault: VirtAddr, size: u64, access: Access) -> Option<Operand> {
    let base = blocks.base;
    if !base.touches_page_of(fault) {
        return None;
    }
    let page = fault.page().get();
    let start = page.saturating_sub(size).max(base.addr.get());
    let span = base.part(start - base.addr.get(), page + PAGE_BYTES + size - start);
    Some(Operand { span, access })
}

/// Whether a fault of the job is answered by [`needs`]. A block within a page or two is had by looking ahead.
pub(super) fn starts_again(job: &Job) -> bool {
    match job {
        Job::GatherReduce { .. } => true,
        _ => blocks(job).is_some_and(|blocks| u64::from(blocks.block_bytes) > PAGE_BYTES),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTS: Lists = Lists { entries_max: 4, gather_reduce_block_max: 4096 };

    fn gather(count: u32, block_bytes: u32) -> Job {
        let base = Span::new(VirtAddr::new(0x10_0000), 1 << 20);
        let blocks = Blocks { base, list: VirtAddr::new(0x5000), count, block_bytes };
        Job::GatherCopy { blocks, dst: VirtAddr::new(0x900_0000) }
    }

    #[test]
    fn parts_are_whole_blocks_or_pieces_of_one() {
        assert_eq!(part_len(&gather(10, 100), 0, 350, LISTS), Some(300), "as many as a transfer has");
        assert_eq!(part_len(&gather(10, 100), 0, 4096, LISTS), Some(400), "as many as a list has");
        assert_eq!(part_len(&gather(10, 100), 800, 4096, LISTS), Some(200), "what is left");
        let long = gather(2, 1000);
        let mut parts = Vec::new();
        let mut offset = 0;
        while offset < 2000 {
            let len = part_len(&long, offset, 600, LISTS).expect("a job with blocks");
            let made = descriptor(&long, offset, len).expect("a part");
            parts.push((made.sgl_addr(), made.sgl_base(), made.xfer_size()));
            offset += len;
        }
        let (first, second) = (0x10_0000, 0x10_0000 + 600);
        assert_eq!(
            parts,
            [(0x5000, first, 600), (0x5000, second, 400), (0x5008, first, 600), (0x5008, second, 400)]
        );
    }
}
