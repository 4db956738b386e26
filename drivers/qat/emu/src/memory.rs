//! Memory the device may reach: what was registered, and nothing else.
//!
//! An I/O address is an address of this process. Every access is checked against the registered ranges, and holds a lock
//! that unregistering waits for, as the real thing waits for its translation caches.
//!
//! UNSAFETY: reads and writes memory by address. [`Mappings::insert`] is where the promise that it is there comes from.
#![expect(unsafe_code, reason = "device memory access is by address")]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;

/// The registered ranges: address to length.
///
/// # Invariants
///
/// Memory in `ranges` is mapped, readable and writable, and nobody holds references to it that conflict with what the
/// device is told to do.
#[derive(Debug, Default)]
pub(crate) struct Mappings {
    ranges: RwLock<BTreeMap<u64, u64>>,
}

impl Mappings {
    /// Registers a range. False if it overlaps one that is.
    ///
    /// # Safety
    ///
    /// The range is memory that stays mapped until [`Self::remove`] has returned, and that is used by the device alone
    /// where and while a request names it.
    pub(crate) unsafe fn insert(&self, addr: u64, len: u64) -> bool {
        let mut ranges = self.ranges.write();
        let Some(end) = addr.checked_add(len).filter(|_| len != 0) else { return false };
        let before = ranges.range(..end).next_back();
        if before.is_some_and(|(start, bytes)| start + bytes > addr) {
            return false;
        }
        // INVARIANT: the caller's promise.
        ranges.insert(addr, len);
        true
    }

    /// Unregisters a range that was registered as it is; waits for accesses to it.
    pub(crate) fn remove(&self, addr: u64, len: u64) -> bool {
        let mut ranges = self.ranges.write();
        let is_there = ranges.get(&addr) == Some(&len);
        if is_there {
            ranges.remove(&addr);
        }
        is_there
    }

    /// Whether all of a range is registered, in one piece or in several side by side.
    pub(crate) fn covers(&self, addr: u64, len: u64) -> bool {
        covers(&self.ranges.read(), addr, len)
    }

    /// Calls `with` with source and destination of a request. Err: the address that is not registered, and whether it is
    /// the destination's.
    pub(crate) fn with<R>(
        &self,
        src: (u64, u32),
        dst: (u64, u32),
        with: impl FnOnce(&[u8], &mut [u8]) -> R,
    ) -> Result<R, (u64, bool)> {
        let ranges = self.ranges.read();
        for ((addr, len), is_dst) in [(src, false), (dst, true)] {
            if !covers(&ranges, addr, len.into()) {
                return Err((addr, is_dst));
            }
        }
        let (from, to) = (src.0..src.0 + u64::from(src.1), dst.0..dst.0 + u64::from(dst.1));
        if from.start < to.end && to.start < from.end {
            return Err((dst.0, true));
        }
        // SAFETY: the range is registered, and stays so while the lock is held (see # Invariants).
        let src = unsafe { std::slice::from_raw_parts(pointer(src.0).cast_const(), src.1 as usize) };
        // SAFETY: likewise, and it does not overlap the source.
        let dst = unsafe { std::slice::from_raw_parts_mut(pointer(dst.0), dst.1 as usize) };
        Ok(with(src, dst))
    }

    /// Reads `N` words of eight bytes of a ring.
    pub(crate) fn read<const N: usize>(&self, addr: u64) -> Option<[u64; N]> {
        let ranges = self.ranges.read();
        (addr.is_multiple_of(8) && covers(&ranges, addr, 8 * N as u64))
            .then(|| std::array::from_fn(|index| word(addr, index).load(Ordering::Relaxed)))
    }

    /// Writes words to a ring, the first one last, so that who sees it sees the others.
    pub(crate) fn write<const N: usize>(&self, addr: u64, words: [u64; N]) -> bool {
        let ranges = self.ranges.read();
        let is_there = addr.is_multiple_of(8) && covers(&ranges, addr, 8 * N as u64);
        if is_there {
            for (index, value) in words.into_iter().enumerate().rev() {
                word(addr, index).store(value, Ordering::Release);
            }
        }
        is_there
    }

    /// Copies bytes out, if all of them may be read.
    pub(crate) fn copy_out(&self, addr: u64, to: &mut [u8]) -> bool {
        let ranges = self.ranges.read();
        let is_there = covers(&ranges, addr, to.len() as u64);
        if is_there {
            // SAFETY: registered, and stays so while the lock is held (see # Invariants).
            let from = unsafe { std::slice::from_raw_parts(pointer(addr).cast_const(), to.len()) };
            to.copy_from_slice(from);
        }
        is_there
    }

    /// Copies bytes in, if all of them may be written.
    pub(crate) fn copy_in(&self, addr: u64, from: &[u8]) -> bool {
        let ranges = self.ranges.read();
        let is_there = covers(&ranges, addr, from.len() as u64);
        if is_there {
            // SAFETY: registered, and stays so while the lock is held (see # Invariants).
            let to = unsafe { std::slice::from_raw_parts_mut(pointer(addr), from.len()) };
            to.copy_from_slice(from);
        }
        is_there
    }

    /// Writes one byte, if it may.
    pub(crate) fn poke(&self, addr: u64, byte: u8) -> bool {
        let ranges = self.ranges.read();
        let is_there = covers(&ranges, addr, 1);
        if is_there {
            // SAFETY: registered, and stays so while the lock is held (see # Invariants).
            unsafe { pointer(addr).write_volatile(byte) };
        }
        is_there
    }
}

fn covers(ranges: &BTreeMap<u64, u64>, addr: u64, len: u64) -> bool {
    let Some(end) = addr.checked_add(len) else { return false };
    let mut at = addr;
    while at < end || len == 0 {
        let Some((start, bytes)) = ranges.range(..=at).next_back() else { return false };
        if start + bytes <= at {
            return false;
        }
        at = start + bytes;
        if len == 0 {
            return true;
        }
    }
    true
}

#[expect(clippy::cast_possible_truncation, reason = "addresses of this process, which is a 64-bit one")]
fn pointer(addr: u64) -> *mut u8 {
    std::ptr::with_exposed_provenance_mut(addr as usize)
}

/// A word of a ring. The caller holds the lock and has checked that the address is registered and aligned.
fn word<'a>(addr: u64, index: usize) -> &'a AtomicU64 {
    // SAFETY: only called in `read` and `write`, under the lock, for words of a range that is registered (see
    // # Invariants) and aligned to 8; rings are accessed through atomics on both sides.
    unsafe { AtomicU64::from_ptr(pointer(addr + 8 * index as u64).cast()) }
}
