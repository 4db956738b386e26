//! Completion records: memory a device writes while we look.
//!
//! A record is made of atomics, aligned for either device. The device writes the status byte last; loading that byte
//! with acquire therefore shows the rest once the status is there. What callers see is a copy.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use svala::VirtAddr;

/// Room for a DSA record (32 bytes) or an IAA record (64 bytes).
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub(crate) struct Record {
    /// A byte of its own: a wider load would have to wait for the stores of its other bytes.
    status: AtomicU8,
    head: [AtomicU8; 7],
    words: [AtomicU64; 7],
}

const _: () = assert!(size_of::<Record>() == 64);

impl Record {
    /// Where it is, for the descriptor.
    pub(crate) fn addr(&self) -> u64 {
        VirtAddr::of(&raw const *self).get()
    }

    /// The line that changes when the device writes.
    pub(crate) const fn line(&self) -> *const u8 {
        (&raw const *self).cast()
    }

    /// Clears the status. The caller owns the record: no descriptor with its address is under way.
    pub(crate) fn clear(&self) {
        self.status.store(0, Ordering::Relaxed);
    }

    /// The status byte: 0 until the device has written the record.
    pub(crate) fn status(&self) -> u8 {
        self.status.load(Ordering::Acquire)
    }

    /// Whether the device has written its status.
    pub(crate) fn is_written(&self) -> bool {
        self.status() != 0
    }

    /// The first eight bytes, for messages.
    pub(crate) fn head(&self) -> u64 {
        u64::from_le_bytes(self.copy())
    }

    /// The first 32 bytes, once there is a status.
    pub(crate) fn dsa(&self) -> Option<[u8; 32]> {
        self.is_written().then(|| self.copy())
    }

    /// All 64 bytes, once there is a status.
    pub(crate) fn iaa(&self) -> Option<[u8; 64]> {
        self.is_written().then(|| self.copy())
    }

    fn copy<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        bytes[0] = self.status();
        for (to, byte) in bytes[1..8].iter_mut().zip(&self.head) {
            *to = byte.load(Ordering::Relaxed);
        }
        for (to, word) in bytes[8..].chunks_exact_mut(8).zip(&self.words) {
            to.copy_from_slice(&word.load(Ordering::Relaxed).to_ne_bytes());
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_written_when_its_first_byte_is() {
        let record = Record::default();
        record.head[6].store(7, Ordering::Relaxed);
        record.words[0].store(u64::from_ne_bytes([8, 0, 0, 0, 0, 0, 0, 15]), Ordering::Relaxed);
        assert!(!record.is_written() && record.dsa().is_none());
        record.status.store(9, Ordering::Relaxed);
        assert_eq!(record.dsa().map(|bytes| [bytes[0], bytes[7], bytes[8], bytes[15]]), Some([9, 7, 8, 15]));
    }
}
