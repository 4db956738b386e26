//! Memory as the device sees it: addresses that may or may not be there, and an answer instead of a crash.
//!
//! A [`Bus`] is what a root complex with an IOMMU is to a real device. The model asks [`Bus::present`] before it
//! touches a range (the translation request), and everything it touches afterwards may still fail, because memory can
//! go away in between; so every access returns a [`BusFault`]. Nothing here assumes that the memory is this process's:
//! [`ProcessMemory`] is one implementation, a guest's memory behind ATS is another.

mod pagemap;
mod process;

use std::fmt;

pub use pagemap::Presence;
pub use process::ProcessMemory;

/// Bytes of a page: what presence is decided for.
pub const PAGE_BYTES: u64 = 4096;

/// What the device wants to do with an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// The device reads.
    Read,
    /// The device writes.
    Write,
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Write => "write",
        })
    }
}

/// An access that did not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{access} fault at {addr:#x}")]
pub struct BusFault {
    /// The first byte that could not be touched.
    pub addr: u64,
    /// What was tried.
    pub access: Access,
}

/// Memory a device reads and writes.
///
/// Every method may be called from several threads at once, takes any address and any length, and never ends the
/// process: what cannot be touched is a [`BusFault`]. A range that runs past the end of the address space faults at the
/// last page it reaches or before. Where there are several address spaces, an access is to
/// [`Space::current`](crate::Space::current).
pub trait Bus: Send + Sync {
    /// How many bytes from `addr` on, at most `len`, can be touched without a fault. The first fault of the range is at
    /// `addr` plus the answer, if that is less than `len`.
    fn present(&self, addr: u64, len: u64, access: Access) -> u64;

    /// How many bytes up to the *end* of the range can be touched without a fault: for copies that run backwards.
    fn present_back(&self, addr: u64, len: u64, access: Access) -> u64 {
        let Some(end) = addr.checked_add(len) else { return 0 };
        let mut start = end;
        while start > addr {
            let page = ((start - 1) & !(PAGE_BYTES - 1)).max(addr);
            if self.present(page, start - page, access) < start - page {
                break;
            }
            start = page;
        }
        end - start
    }

    /// Reads `bytes.len()` bytes at `addr`.
    ///
    /// # Errors
    ///
    /// The first address that cannot be read; `bytes` is then unspecified.
    fn read(&self, addr: u64, bytes: &mut [u8]) -> Result<(), BusFault>;

    /// Writes `bytes` to `addr`, lowest address first.
    ///
    /// # Errors
    ///
    /// The first address that cannot be written. What lies before it has been written, nothing behind it has.
    fn write(&self, addr: u64, bytes: &[u8]) -> Result<(), BusFault>;

    /// Copies `len` bytes, lowest address first, between ranges that do not overlap.
    ///
    /// # Errors
    ///
    /// The first address on either side that cannot be touched. As many bytes as lie before it on its own side have
    /// been copied.
    fn copy(&self, src: u64, dst: u64, len: u64) -> Result<(), BusFault>;
}
