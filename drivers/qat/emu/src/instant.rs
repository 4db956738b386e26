//! A device that answers at once, in the write of the tail, and moves no data: for measuring a driver.
//!
//! UNSAFETY: reads and writes rings by address, under the contract of [`InstantDevice::new`].
#![expect(unsafe_code, reason = "rings are reached by address, without the checks of the full model")]

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::Region;

/// Registers of a ring pair that matter here.
#[derive(Debug, Default)]
struct Bank {
    base: [AtomicU64; 2],
    bytes: [AtomicU32; 2],
    head: AtomicU32,
    tail: AtomicU32,
}

/// A virtual function that answers in the write of the tail: all input used, two bytes of output, verified.
///
/// Each ring pair is used by one thread at a time. Messages of the physical function are not answered.
#[derive(Debug, Default)]
pub struct InstantDevice {
    banks: [Bank; 4],
}

impl InstantDevice {
    /// A device.
    ///
    /// # Safety
    ///
    /// Addresses written to its base registers are rings of the size that was written before, accessed through atomics,
    /// for as long as tails are written; and a ring pair is used by one thread at a time.
    pub unsafe fn new() -> Self {
        Self::default()
    }

    /// Reads a register: zero.
    pub const fn read32(&self, _region: Region, _offset: u64) -> u32 {
        0
    }

    /// Writes a register.
    #[inline]
    pub fn write32(&self, region: Region, offset: u64, value: u32) {
        if region != Region::Rings {
            return;
        }
        let bank = usize::try_from(offset / 0x2000).unwrap_or(usize::MAX);
        let Some(bank) = self.banks.get(bank) else { return };
        match offset % 0x2000 {
            0x100 => bank.answer(value),
            0x1000 => bank.bytes[0].store(64 << (value & 0x1f), Ordering::Relaxed),
            0x1004 => bank.bytes[1].store(64 << (value & 0x1f), Ordering::Relaxed),
            0x1040 => bank.set(0, value.into(), 0xffff_ffff),
            0x1044 => bank.set(1, value.into(), 0xffff_ffff),
            0x1080 => bank.set(0, u64::from(value) << 32, 0xffff_ffff << 32),
            0x1084 => bank.set(1, u64::from(value) << 32, 0xffff_ffff << 32),
            _ => {}
        }
    }
}

impl Bank {
    fn set(&self, ring: usize, value: u64, mask: u64) {
        let base = &self.base[ring];
        base.store(base.load(Ordering::Relaxed) & !mask | value, Ordering::Relaxed);
    }

    #[inline]
    fn answer(&self, new_tail: u32) {
        let [requests, responses] = [0, 1].map(|ring| self.base[ring].load(Ordering::Relaxed));
        let [request_mask, response_mask] =
            [0, 1].map(|ring| self.bytes[ring].load(Ordering::Relaxed).wrapping_sub(1));
        let (mut head, mut tail) = (self.head.load(Ordering::Relaxed), self.tail.load(Ordering::Relaxed));
        while head != new_tail {
            let read = |at: u64| word(requests + u64::from(head) + at).load(Ordering::Relaxed);
            let (first, opaque, lengths) = (read(0), read(0x18), read(0x38));
            let command = first >> 8 & 0xff;
            let to = responses + u64::from(tail);
            word(to + 24).store(1 << 32, Ordering::Relaxed);
            word(to + 16).store(lengths & 0xffff_ffff | 2 << 32, Ordering::Relaxed);
            word(to + 8).store(opaque, Ordering::Relaxed);
            word(to).store(9 << 8 | 0xc0 << 24 | 8 << 48 | command << 56, Ordering::Release);
            head = (head + 128) & request_mask;
            tail = (tail + 32) & response_mask;
        }
        self.head.store(head, Ordering::Relaxed);
        self.tail.store(tail, Ordering::Relaxed);
    }
}

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "addresses of this process, which is a 64-bit one")]
fn word<'a>(addr: u64) -> &'a AtomicU64 {
    // SAFETY: part of a ring, by the contract of `InstantDevice::new`, at a multiple of 8 of its aligned base.
    unsafe { AtomicU64::from_ptr(std::ptr::with_exposed_provenance_mut(addr as usize)) }
}
