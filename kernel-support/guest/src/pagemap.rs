//! Which pages are there, asked without touching them.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use anyhow::{Context as _, Result};

use crate::map::{Map, PAGE};

/// Bit 63 of an entry of `/proc/self/pagemap`: there. (Documentation/admin-guide/mm/pagemap.rst)
const PRESENT: u64 = 1 << 63;

/// How many pages of a map are there.
pub(crate) fn present(map: &Map) -> Result<usize> {
    let pages = map.len() / PAGE;
    let mut entries = vec![0; pages * 8];
    let first = map.at(0) / PAGE as u64;
    File::open("/proc/self/pagemap")?.read_exact_at(&mut entries, first * 8).context("/proc/self/pagemap")?;
    let entries =
        entries.chunks_exact(8).map(|entry| u64::from_ne_bytes(entry.try_into().unwrap_or_default()));
    Ok(entries.filter(|entry| entry & PRESENT != 0).count())
}
