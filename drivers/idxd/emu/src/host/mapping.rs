//! Which mapping an address is in: fault-around must not leave it.
//!
//! UNSAFETY: one ioctl that reads and writes a structure this module owns.
#![expect(unsafe_code, reason = "PROCMAP_QUERY has no safe wrapper")]

use std::fs::File;
use std::ops::Range;
use std::os::fd::AsRawFd;

use crate::bus::PAGE_BYTES;

/// `struct procmap_query` of `linux/fs.h`.
#[derive(Default)]
#[repr(C)]
struct Query {
    size: u64,
    query_flags: u64,
    query_addr: u64,
    vma_start: u64,
    vma_end: u64,
    vma_flags: u64,
    vma_page_size: u64,
    vma_offset: u64,
    inode: u64,
    dev_major: u32,
    dev_minor: u32,
    vma_name_size: u32,
    build_id_size: u32,
    vma_name_addr: u64,
    build_id_addr: u64,
}

const _: () = assert!(size_of::<Query>() == 104);

mod ioctl {
    use super::Query;

    nix::ioctl_readwrite!(procmap_query, b'f', 17, Query);
}

/// The mappings of this process.
#[derive(Debug)]
pub(super) struct Mappings {
    /// None where they cannot be asked for one by one (before Linux 6.11).
    maps: Option<File>,
}

impl Mappings {
    pub(super) fn open() -> Self {
        let this = Self { maps: File::open("/proc/self/maps").ok() };
        let here = &raw const this as u64;
        if this.around(here).is_some() { this } else { Self { maps: None } }
    }

    pub(super) const fn is_known(&self) -> bool {
        self.maps.is_some()
    }

    /// The pages of the mapping that has `addr`.
    pub(super) fn around(&self, addr: u64) -> Option<Range<u64>> {
        let maps = self.maps.as_ref()?;
        let mut query = Query { size: size_of::<Query>() as u64, query_addr: addr, ..Query::default() };
        // SAFETY: `query` is the structure this request takes, and asks for no name and no build identifier, so
        // nothing else is written.
        unsafe { ioctl::procmap_query(maps.as_raw_fd(), &raw mut query) }.ok()?;
        let pages = query.vma_start / PAGE_BYTES..query.vma_end / PAGE_BYTES;
        pages.contains(&(addr / PAGE_BYTES)).then_some(pages)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapping_has_the_addresses_in_it() {
        let mappings = Mappings::open();
        if !mappings.is_known() {
            println!("NOT RUN: this kernel has no PROCMAP_QUERY");
            return;
        }
        let memory = vec![0_u8; 1 << 20];
        let addr = memory.as_ptr().expose_provenance() as u64;
        let pages = mappings.around(addr).expect("mapped");
        assert!(pages.start * PAGE_BYTES <= addr && addr + (1 << 20) <= pages.end * PAGE_BYTES);
        assert_eq!(mappings.around(0), None);
    }
}
