//! Completion records: memory a device writes while we look.
//!
//! A record is eight atomic words, aligned for either device. The device writes the status byte last; loading the
//! first word with acquire therefore shows the rest once the status is there. What callers see is a copy.

use std::sync::atomic::{AtomicU64, Ordering};

use svala::VirtAddr;

/// Room for a DSA record (32 bytes, the first four words) or an IAA record (64 bytes).
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub(crate) struct Record([AtomicU64; 8]);

const _: () = assert!(size_of::<Record>() == 64);

/// Byte 0 of a record, in the first word as the processor loads it.
const STATUS: u64 = u64::from_le_bytes([0xff, 0, 0, 0, 0, 0, 0, 0]);

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
        self.0[0].store(0, Ordering::Relaxed);
    }

    /// Whether the device has written its status.
    pub(crate) fn is_written(&self) -> bool {
        u64::from_le(self.0[0].load(Ordering::Acquire)) & STATUS != 0
    }

    /// The first word, for messages.
    pub(crate) fn head(&self) -> u64 {
        u64::from_le(self.0[0].load(Ordering::Acquire))
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
        for (to, word) in bytes.chunks_exact_mut(8).zip(&self.0) {
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
        record.0[0].store(u64::from_ne_bytes([0, 1, 2, 3, 4, 5, 6, 7]), Ordering::Relaxed);
        assert!(!record.is_written());
        record.0[0].store(u64::from_ne_bytes([9, 1, 2, 3, 4, 5, 6, 7]), Ordering::Relaxed);
        assert_eq!(record.dsa().map(|bytes| [bytes[0], bytes[7]]), Some([9, 7]));
    }
}
