//! Which pages are in the page tables, as the kernel tells a process about itself.
//!
//! One `PAGEMAP_SCAN` (Linux 6.7) answers for a whole run of pages: it stops at the first hole. Where the kernel does
//! not have it, the entries of `/proc/self/pagemap` are read and looked at one by one; those do not tell the shared
//! zero page from a page of one's own, so there a write to it is not seen as a fault.
//!
//! Pages shared since a fork are there for a reader, and a writer faults on them. Only the entries tell, so they are read
//! as well once this process has forked, by the C library's `fork`. Two things are not told: a page that the other process
//! has left since, and a private page of a file nobody has written to; to them a write is not seen as a fault.
//!
// UNSAFETY: one ioctl that reads and writes a structure and an array this module owns.
#![expect(unsafe_code, reason = "PAGEMAP_SCAN has no safe wrapper")]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{Access, PAGE_BYTES};

/// How presence is found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Presence {
    /// The `PAGEMAP_SCAN` ioctl: exact, one call for a run of pages.
    PagemapScan,
    /// Entries of `/proc/self/pagemap`: eight bytes a page, and blind to the shared zero page.
    Pagemap,
}

/// `PAGE_IS_PRESENT` of `linux/fs.h`.
const PAGE_IS_PRESENT: u64 = 1 << 3;
/// `PAGE_IS_PFNZERO` of `linux/fs.h`: mapped, but to the page of zeros everybody shares.
const PAGE_IS_PFNZERO: u64 = 1 << 5;
/// Bit 63 of an entry of `/proc/self/pagemap`.
const ENTRY_PRESENT: u64 = 1 << 63;

/// Bit 61: a page of a file, or shared anonymous memory. Writers of it are not given a copy.
const ENTRY_FILE: u64 = 1 << 61;
/// Bit 56: nobody else has it mapped.
const ENTRY_EXCLUSIVE: u64 = 1 << 56;

/// This process has forked since the first device started.
static FORKED: AtomicBool = AtomicBool::new(false);

/// In the parent, after each fork.
extern "C" fn forked() {
    FORKED.store(true, Ordering::Relaxed);
}

fn watch_for_forks() {
    static WATCH: Once = Once::new();
    WATCH.call_once(|| {
        // SAFETY: the function stays where it is for the life of the process, and stores to an atomic, which is all a
        // handler of a fork may do.
        if unsafe { libc::pthread_atfork(None, Some(forked), None) } != 0 {
            // Without memory for the handler the entries are read always.
            forked();
        }
    });
}

/// Bytes one look covers at most: bounds both the ioctl's walk and the entries read at once.
const LOOK_BYTES_MAX: u64 = 2 << 20;
/// Runs one backward look has room for: every second page of [`BACK_BYTES_MAX`].
const RUNS: usize = 9;
/// Bytes one backward look covers at most.
const BACK_BYTES_MAX: u64 = 16 * PAGE_BYTES;

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

/// The open page map of this process.
#[derive(Debug)]
pub(super) struct Pagemap {
    file: File,
    presence: Presence,
}

impl Pagemap {
    /// Opens `/proc/self/pagemap` and finds out what it can do.
    pub(super) fn open() -> io::Result<Self> {
        let file = File::open("/proc/self/pagemap")?;
        watch_for_forks();
        let mut this = Self { file, presence: Presence::PagemapScan };
        let probe = &raw const this as u64 & !(PAGE_BYTES - 1);
        if this.scan(probe, probe + PAGE_BYTES, Access::Read, &mut [Run::default()]).is_err() {
            this.presence = Presence::Pagemap;
        }
        Ok(this)
    }

    pub(super) fn with_presence(self, presence: Presence) -> Self {
        Self { presence, ..self }
    }

    pub(super) fn presence(&self) -> Presence {
        self.presence
    }

    /// Bytes from `addr` that are present.
    pub(super) fn present(&self, addr: u64, len: u64, access: Access) -> u64 {
        let Some(end) = addr.checked_add(len) else { return self.present(addr, u64::MAX - addr, access) };
        let mut seen = addr;
        while seen < end {
            let start = page_of(seen);
            let look = round_up(end).min(start.saturating_add(LOOK_BYTES_MAX));
            let run_end = self.run_from(start, look, access);
            if run_end <= seen {
                break;
            }
            seen = run_end.min(end);
            if run_end < look {
                break;
            }
        }
        seen - addr
    }

    /// Bytes before the end of the range that are present.
    pub(super) fn present_back(&self, addr: u64, len: u64, access: Access) -> u64 {
        let Some(end) = addr.checked_add(len) else { return 0 };
        let mut seen = end;
        while seen > addr {
            let look_end = round_up(seen);
            let look = page_of(addr).max(look_end.saturating_sub(BACK_BYTES_MAX));
            let run_start = self.run_to(look, look_end, access);
            if run_start >= seen {
                break;
            }
            seen = run_start.max(addr);
            if run_start > look {
                break;
            }
        }
        end - seen
    }

    /// Where the present run that begins at `start` ends; `start` if there is none.
    fn run_from(&self, start: u64, end: u64, access: Access) -> u64 {
        match self.presence {
            Presence::PagemapScan => {
                let mut runs = [Run::default()];
                match self.scan(start, end, access, &mut runs) {
                    Ok(found) if found > 0 && runs[0].start == start => {
                        let is_shared = access == Access::Write && FORKED.load(Ordering::Relaxed);
                        if is_shared { self.entries_from(start, runs[0].end, access) } else { runs[0].end }
                    }
                    _ => start,
                }
            }
            Presence::Pagemap => self.entries_from(start, end, access),
        }
    }

    fn entries_from(&self, start: u64, end: u64, access: Access) -> u64 {
        let present = self.entries(start, end, access);
        let pages = present.iter().take_while(|present| **present).count();
        start + pages as u64 * PAGE_BYTES
    }

    /// Where the present run that ends at `end` begins; `end` if there is none. At most [`BACK_BYTES_MAX`] apart.
    fn run_to(&self, start: u64, end: u64, access: Access) -> u64 {
        match self.presence {
            Presence::PagemapScan => {
                let mut runs = [Run::default(); RUNS];
                match self.scan(start, end, access, &mut runs) {
                    Ok(found) if found > 0 && runs[found - 1].end == end => {
                        let is_shared = access == Access::Write && FORKED.load(Ordering::Relaxed);
                        let start = runs[found - 1].start;
                        if is_shared { self.entries_to(start, end, access) } else { start }
                    }
                    _ => end,
                }
            }
            Presence::Pagemap => self.entries_to(start, end, access),
        }
    }

    fn entries_to(&self, start: u64, end: u64, access: Access) -> u64 {
        let present = self.entries(start, end, access);
        let pages = present.iter().rev().take_while(|present| **present).count();
        end - pages as u64 * PAGE_BYTES
    }

    /// Fills `runs` with what is present in the page-aligned range, and says how many there are.
    fn scan(&self, start: u64, end: u64, access: Access, runs: &mut [Run]) -> io::Result<usize> {
        let unwanted = match access {
            Access::Read => 0,
            Access::Write => PAGE_IS_PFNZERO,
        };
        let mut arg = ScanArg {
            size: size_of::<ScanArg>() as u64,
            start,
            end,
            vec: runs.as_mut_ptr().expose_provenance() as u64,
            vec_len: runs.len() as u64,
            category_inverted: unwanted,
            category_mask: PAGE_IS_PRESENT | unwanted,
            return_mask: PAGE_IS_PRESENT,
            ..ScanArg::default()
        };
        // SAFETY: `arg` is the structure this request takes, and `vec` and `vec_len` describe `runs`, which is
        // borrowed exclusively until the call returns.
        let found = unsafe { ioctl::pagemap_scan(self.file.as_raw_fd(), &raw mut arg) }?;
        Ok(usize::try_from(found).unwrap_or(0).min(runs.len()))
    }

    /// Whether each page of the range is present; shorter where the page map ends.
    fn entries(&self, start: u64, end: u64, access: Access) -> Vec<bool> {
        let is_shared = access == Access::Write && FORKED.load(Ordering::Relaxed);
        let is_present = |entry: u64| {
            entry & ENTRY_PRESENT != 0 && (!is_shared || entry & (ENTRY_FILE | ENTRY_EXCLUSIVE) != 0)
        };
        let pages = usize::try_from((end - start) / PAGE_BYTES).unwrap_or(0);
        let mut bytes = vec![0; pages * 8];
        let read = self.file.read_at(&mut bytes, start / PAGE_BYTES * 8).unwrap_or(0);
        bytes[..read]
            .as_chunks::<8>()
            .0
            .iter()
            .map(|entry| is_present(u64::from_ne_bytes(*entry)))
            .chain(std::iter::repeat_n(false, pages - read / 8))
            .collect()
    }
}

fn page_of(addr: u64) -> u64 {
    addr & !(PAGE_BYTES - 1)
}

/// The page boundary at or behind `addr`; the last one there is, near the end of the address space.
fn round_up(addr: u64) -> u64 {
    page_of(addr.saturating_add(PAGE_BYTES - 1))
}
