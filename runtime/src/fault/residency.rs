//! Which pages of an operand are there: a sample, bounded in cost, for those who choose before submitting.
//!
//! A device faults on what is not in the page tables. `PAGEMAP_SCAN` (Linux 6.7) says exactly that. `mincore`, where the
//! ioctl is missing, answers for the page cache as well, so it may call a page present that the device would fault on:
//! that costs a fault, no more.
//!
//! UNSAFETY: an ioctl and a system call that write into arrays of this module.
#![expect(unsafe_code, reason = "PAGEMAP_SCAN and mincore have no safe wrapper")]

use std::fs::File;
use std::os::fd::AsRawFd;

use crate::address::{Access, PAGE_BYTES, Span};
use crate::job::Operands;

/// `PAGE_IS_PRESENT` of `linux/fs.h`.
const PAGE_IS_PRESENT: u64 = 1 << 3;
/// `PAGE_IS_PFNZERO` of `linux/fs.h`: mapped, but to the page of zeros everybody shares.
const PAGE_IS_PFNZERO: u64 = 1 << 5;

/// Places of an operand that are looked at.
const SPOTS: u64 = 4;
/// Pages of one.
const SPOT_PAGES: u64 = 16;
/// Most pages looked at in one piece.
const LOOK_PAGES: usize = 64;
const _: () = assert!(LOOK_PAGES as u64 == SPOTS * SPOT_PAGES);
const RUNS: usize = 8;

/// `struct page_region` of `linux/fs.h`.
#[derive(Clone, Copy, Default)]
#[repr(C)]
struct Run {
    start: u64,
    end: u64,
    categories: u64,
}

/// `struct pm_scan_arg` of `linux/fs.h`.
#[derive(Default)]
#[repr(C)]
struct ScanArg {
    size: u64,
    flags: u64,
    start: u64,
    end: u64,
    walk_end: u64,
    vec: u64,
    vec_len: u64,
    max_pages: u64,
    category_inverted: u64,
    category_mask: u64,
    category_anyof_mask: u64,
    return_mask: u64,
}

const _: () = assert!(size_of::<Run>() == 24 && size_of::<ScanArg>() == 96);

mod ioctl {
    use super::ScanArg;

    nix::ioctl_readwrite!(pagemap_scan, b'f', 16, ScanArg);
}

/// What a look found, scaled up to all of the operands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Residency {
    pub(crate) pages: u64,
    pub(crate) absent: u64,
    /// Stretches of absent pages.
    pub(crate) holes: u64,
}

/// Looks at page tables.
#[derive(Debug)]
pub(crate) struct Sampler {
    /// None: `mincore` has to do.
    pagemap: Option<File>,
}

impl Sampler {
    pub(crate) fn new() -> Self {
        let this = Self { pagemap: File::open("/proc/self/pagemap").ok() };
        let here = crate::address::VirtAddr::of(&raw const this).page();
        let works = this.scan(Span::new(here, PAGE_BYTES), Access::Read).is_some();
        if works { this } else { Self { pagemap: None } }
    }

    /// `pagemap_scan` or `mincore`.
    pub(crate) const fn name(&self) -> &'static str {
        if self.pagemap.is_some() { "pagemap_scan" } else { "mincore" }
    }

    /// How much of the operands is there, by looking at some of it.
    pub(crate) fn look(&self, operands: &Operands) -> Residency {
        let mut sum = Residency::default();
        for operand in operands.iter().flatten() {
            let (seen, all) = self.look_at(operand.span, operand.access);
            let scale = |count: u64| scaled(count, all, seen.pages);
            sum.pages += all;
            sum.absent += scale(seen.absent);
            // A stretch that was seen in each of several spots is more likely one than many.
            sum.holes +=
                if seen.absent == seen.pages { u64::from(seen.pages != 0) } else { scale(seen.holes) };
        }
        sum
    }

    /// What the spots of one operand show, and the pages it has.
    fn look_at(&self, span: Span, access: Access) -> (Residency, u64) {
        let pages = span.pages();
        let all = pages.len / PAGE_BYTES;
        let mut seen = Residency::default();
        let (spots, spot_pages) = if all <= SPOTS * SPOT_PAGES { (1, all) } else { (SPOTS, SPOT_PAGES) };
        for spot in 0..spots {
            let first = if spots == 1 { 0 } else { (all - spot_pages) / (spots - 1) * spot };
            let part = pages.part(first * PAGE_BYTES, spot_pages * PAGE_BYTES);
            let (absent, holes) = self.absent(part, access);
            seen.pages += spot_pages;
            seen.absent += absent;
            seen.holes += holes;
        }
        (seen, all)
    }

    /// Absent pages of a few, and the stretches they make.
    fn absent(&self, pages: Span, access: Access) -> (u64, u64) {
        self.scan(pages, access).unwrap_or_else(|| mincore(pages))
    }

    fn scan(&self, pages: Span, access: Access) -> Option<(u64, u64)> {
        let file = self.pagemap.as_ref()?;
        let mut runs = [Run::default(); RUNS];
        let unwanted = if access == Access::Write { PAGE_IS_PFNZERO } else { 0 };
        let mut arg = ScanArg {
            size: size_of::<ScanArg>() as u64,
            start: pages.addr.get(),
            end: pages.end().get(),
            vec: runs.as_mut_ptr().expose_provenance() as u64,
            vec_len: RUNS as u64,
            category_inverted: unwanted,
            category_mask: PAGE_IS_PRESENT | unwanted,
            return_mask: PAGE_IS_PRESENT,
            ..ScanArg::default()
        };
        // SAFETY: `arg` is the structure this request takes, and `vec` and `vec_len` describe `runs`, which lives
        // until the call has returned.
        let found = unsafe { ioctl::pagemap_scan(file.as_raw_fd(), &raw mut arg) }.ok()?;
        let found = usize::try_from(found).unwrap_or(0).min(RUNS);
        let present: u64 =
            runs[..found].iter().map(|run| run.end.saturating_sub(run.start) / PAGE_BYTES).sum();
        // With as many runs as there is room for, the walk may have stopped early: the rest counts as absent.
        let absent = (pages.len / PAGE_BYTES).saturating_sub(present);
        let mut at = pages.addr.get();
        let mut holes = 0;
        for run in &runs[..found] {
            holes += u64::from(run.start > at);
            at = run.end;
        }
        Some((absent, holes + u64::from(at < pages.end().get())))
    }
}

fn mincore(pages: Span) -> (u64, u64) {
    let mut there = [0_u8; LOOK_PAGES];
    let count = usize::try_from(pages.len / PAGE_BYTES).unwrap_or(0).min(there.len());
    let len = usize::try_from(pages.len).unwrap_or(0);
    let start = pages.addr.as_ptr::<libc::c_void>().cast_mut();
    // SAFETY: one byte of `there` is written for each page of the range, of which there are at most as many.
    if unsafe { libc::mincore(start, len, there.as_mut_ptr()) } != 0 {
        // Something is not mapped: for the resolver to find out.
        return (count as u64, 1);
    }
    let is_absent = |byte: &u8| byte & 1 == 0;
    let absent = there[..count].iter().filter(|byte| is_absent(byte)).count() as u64;
    let starts = (0..count).filter(|at| is_absent(&there[*at]) && (*at == 0 || !is_absent(&there[*at - 1])));
    (absent, starts.count() as u64)
}

/// `count` of `seen`, as a count of `all`.
fn scaled(count: u64, all: u64, seen: u64) -> u64 {
    if seen == 0 {
        0
    } else {
        u64::try_from(u128::from(count) * u128::from(all) / u128::from(seen)).unwrap_or(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::VirtAddr;
    use crate::job::{OPERANDS_MAX, Operand};
    use memmap2::MmapMut;

    fn touched(pages: usize, touch: impl Fn(usize) -> bool) -> MmapMut {
        let mut map = MmapMut::map_anon(pages * 4096).expect("maps");
        // A kernel without huge pages refuses, and needs no advice.
        let _ = map.advise(memmap2::Advice::NoHugePage);
        for page in (0..pages).filter(|page| touch(*page)) {
            map[page * 4096] = 1;
        }
        map
    }

    fn operands(map: &MmapMut, access: Access) -> Operands {
        let span = Span::new(VirtAddr::of(map.as_ptr()), map.len() as u64);
        let mut operands = [None; OPERANDS_MAX];
        operands[0] = Some(Operand { span, access });
        operands
    }

    fn samplers() -> [Sampler; 2] {
        [Sampler::new(), Sampler { pagemap: None }]
    }

    #[test]
    fn a_small_operand_is_counted_exactly() {
        let map = touched(12, |page| matches!(page, 0 | 1 | 5));
        for sampler in samplers() {
            let found = sampler.look(&operands(&map, Access::Write));
            assert_eq!(found, Residency { pages: 12, absent: 9, holes: 2 }, "{}", sampler.name());
        }
    }

    #[test]
    fn a_large_operand_is_sampled() {
        let (cold, warm) = (touched(10_000, |_| false), touched(10_000, |_| true));
        let half = touched(10_000, |page| page < 5_000);
        for sampler in samplers() {
            let name = sampler.name();
            let look = |map| sampler.look(&operands(map, Access::Write));
            assert_eq!(look(&cold), Residency { pages: 10_000, absent: 10_000, holes: 1 }, "{name}");
            assert_eq!(look(&warm), Residency { pages: 10_000, absent: 0, holes: 0 }, "{name}");
            assert_eq!(look(&half).absent, 5_000, "{name}");
        }
    }

    /// The page of zeros is there for a reader; a writer faults on it.
    #[test]
    fn the_zero_page_is_absent_for_a_writer() {
        let map = touched(4, |_| false);
        assert_eq!(map[0], 0);
        let sampler = Sampler::new();
        if sampler.pagemap.is_none() {
            println!("NOT RUN: this kernel has no PAGEMAP_SCAN");
            return;
        }
        assert_eq!(sampler.look(&operands(&map, Access::Read)).absent, 3);
        assert_eq!(sampler.look(&operands(&map, Access::Write)).absent, 4);
    }

    #[test]
    fn what_is_not_mapped_is_absent() {
        let gone = Span::new(VirtAddr::new(4096), 4 * 4096);
        let mut operands = [None; OPERANDS_MAX];
        operands[0] = Some(Operand { span: gone, access: Access::Read });
        for sampler in samplers() {
            assert_eq!(sampler.look(&operands), Residency { pages: 4, absent: 4, holes: 1 });
        }
    }
}
