//! Completion records: memory a device writes while we look.
//!
//! A record is made of atomics, as long and as aligned as its device wants it: what is in flight shares the cache with
//! what the program does. The device writes the status byte last; loading that byte with acquire therefore shows the
//! rest once the status is there. What callers see is a copy.

use std::cell::Cell;
use std::ops::Deref;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use svala::VirtAddr;
use svala::backend::{Failure, QueueFault, Refused};

/// A DSA's record, which an IAA's begins with.
#[derive(Debug, Default)]
#[repr(C, align(32))]
pub(crate) struct Record {
    /// A byte of its own: a wider load would have to wait for the stores of its other bytes.
    status: AtomicU8,
    head: [AtomicU8; 7],
    words: [AtomicU64; 3],
}

/// An IAA's record.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub(crate) struct IaaRecord {
    first: Record,
    rest: [AtomicU64; 4],
}

const _: () = assert!(size_of::<Record>() == 32 && align_of::<Record>() == 32);
const _: () = assert!(size_of::<IaaRecord>() == 64 && align_of::<IaaRecord>() == 64);

impl AsRef<Record> for Record {
    #[inline]
    fn as_ref(&self) -> &Record {
        self
    }
}

impl AsRef<Record> for IaaRecord {
    fn as_ref(&self) -> &Record {
        &self.first
    }
}

impl Deref for IaaRecord {
    type Target = Record;

    fn deref(&self) -> &Record {
        &self.first
    }
}

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

    /// The first 8 or all 32 bytes.
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

impl IaaRecord {
    /// Where it is, for the descriptor: all of it, not only what it begins with.
    pub(crate) fn addr(&self) -> u64 {
        VirtAddr::of(&raw const *self).get()
    }

    /// All 64 bytes, once there is a status.
    pub(crate) fn iaa(&self) -> Option<[u8; 64]> {
        let mut bytes = [0; 64];
        bytes[..32].copy_from_slice(&self.first.dsa()?);
        for (to, word) in bytes[32..].chunks_exact_mut(8).zip(&self.rest) {
            to.copy_from_slice(&word.load(Ordering::Relaxed).to_ne_bytes());
        }
        Some(bytes)
    }
}

/// Records that take turns, so that a device that answers twice writes its second answer where nobody waits for it.
///
/// What that cannot catch is a second answer that comes after the records have come round, which looks like the answer
/// to the job that has the record then.
#[derive(Debug, Default)]
pub(crate) struct Records<R> {
    records: [R; COUNT as usize],
    at: Cell<u8>,
}

/// Records that take turns.
const COUNT: u8 = 4;

impl<R: AsRef<Record>> Records<R> {
    /// Takes the next record into use. None under way has its address.
    ///
    /// # Errors
    ///
    /// The first eight bytes of what has been written there after its own descriptor was done. Cleared, so that the
    /// record can be used the next time.
    #[inline]
    pub(crate) fn turn(&self) -> Result<(), u64> {
        let next = self.next();
        self.at.set(next);
        let record = self.at(next).as_ref();
        if !record.is_written() {
            return Ok(());
        }
        let head = record.head();
        record.clear();
        Err(head)
    }

    /// [`turn`](Self::turn), unless there is something to say about it.
    #[inline]
    pub(crate) fn turn_if_free(&self) -> bool {
        let next = self.next();
        let is_free = !self.at(next).as_ref().is_written();
        if is_free {
            self.at.set(next);
        }
        is_free
    }

    #[inline]
    fn next(&self) -> u8 {
        self.at.get().wrapping_add(1) % COUNT
    }

    #[inline]
    fn at(&self, at: u8) -> &R {
        &self.records[usize::from(at % COUNT)]
    }
}

impl<R: AsRef<Record>> Deref for Records<R> {
    type Target = R;

    /// The record in use.
    #[inline]
    fn deref(&self) -> &R {
        self.at(self.at.get())
    }
}

/// Whether a device has written a record again after completion. It may then write anywhere at any time, so its queue
/// takes no more jobs.
#[derive(Debug, Default)]
pub(crate) struct Trust(AtomicU64);

impl Trust {
    /// Ends the trust, over this record.
    pub(crate) fn end(&self, head: u64) -> Failure {
        self.0.store(head, Ordering::Relaxed);
        Failure::Nonsense { what: "record written again after completion", record: head }
    }

    /// Refuses once the trust has ended.
    #[inline]
    pub(crate) fn check(&self) -> Result<(), Refused> {
        match self.0.load(Ordering::Relaxed) {
            0 => Ok(()),
            _ => Err(Refused::Failed(Failure::Queue(QueueFault::Untrusted))),
        }
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

    #[test]
    fn a_long_record_is_all_of_its_bytes() {
        let record = IaaRecord::default();
        record.rest[3].store(u64::from_ne_bytes([0, 0, 0, 0, 0, 0, 0, 63]), Ordering::Relaxed);
        record.words[2].store(u64::from_ne_bytes([0, 0, 0, 0, 0, 0, 0, 31]), Ordering::Relaxed);
        assert_eq!(record.iaa(), None);
        record.status.store(1, Ordering::Relaxed);
        assert_eq!(record.iaa().map(|bytes| [bytes[0], bytes[31], bytes[63]]), Some([1, 31, 63]));
        assert_eq!(record.addr(), record.first.addr());
    }

    #[test]
    fn a_second_answer_is_found_when_its_record_comes_round() {
        let records = Records::<Record>::default();
        records.status.store(1, Ordering::Relaxed);
        records.clear();
        records.status.store(1, Ordering::Relaxed);
        assert_eq!(records.turn(), Ok(()));
        assert!(!records.is_written());
        assert_eq!([records.turn(), records.turn()], [Ok(()), Ok(())]);
        assert_eq!(records.turn(), Err(1));
        assert!(!records.is_written());
    }
}
