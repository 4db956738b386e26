//! Which slots are free: a lock-free stack of indices over a fixed array.
//!
//! Last in, first out, so that a busy caller keeps using the slot that is warm in its cache. The head carries a
//! tag that changes with every pop and push; without it, a pop that was interrupted while others popped and
//! pushed the same index could put a stale successor in place (ABA).

use crate::sync::{AtomicU32, AtomicU64, Ordering};

const NONE: u32 = u32::MAX;

/// The free indices out of `0..len`.
#[derive(Debug)]
pub(crate) struct FreeList {
    /// Tag in the upper half, index of the first free slot (or [`NONE`]) in the lower.
    head: AtomicU64,
    /// For each free slot the next free one.
    next: Box<[AtomicU32]>,
}

const fn pack(tag: u32, index: u32) -> u64 {
    (tag as u64) << 32 | index as u64
}

#[expect(clippy::cast_possible_truncation, reason = "takes a packed word apart")]
const fn unpack(word: u64) -> (u32, u32) {
    ((word >> 32) as u32, word as u32)
}

impl FreeList {
    /// A list with all of `0..len` free; 0 comes first.
    pub(crate) fn new(len: u32) -> Self {
        let next = (0..len).map(|i| AtomicU32::new(if i + 1 < len { i + 1 } else { NONE })).collect();
        Self { head: AtomicU64::new(pack(0, if len == 0 { NONE } else { 0 })), next }
    }

    /// Takes a free index.
    pub(crate) fn pop(&self) -> Option<u32> {
        let mut head = self.head.load(Ordering::SeqCst);
        loop {
            let (tag, index) = unpack(head);
            if index == NONE {
                return None;
            }
            // Relaxed: a stale value is caught by the tag, and the push that made `index` the head wrote it
            // before the release that `head` was read from.
            let next = self.next[index as usize].load(Ordering::Relaxed);
            let new = pack(tag.wrapping_add(1), next);
            match self.head.compare_exchange_weak(head, new, Ordering::SeqCst, Ordering::SeqCst) {
                Ok(_) => return Some(index),
                Err(now) => head = now,
            }
        }
    }

    /// Gives an index back. It came from [`FreeList::pop`] and is given back once.
    pub(crate) fn push(&self, index: u32) {
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            let (tag, first) = unpack(head);
            self.next[index as usize].store(first, Ordering::Relaxed);
            let new = pack(tag.wrapping_add(1), index);
            // SeqCst: whoever waits for a slot announces it before looking here, and whoever gives one back
            // looks for waiters after this; one of the two has to see the other.
            match self.head.compare_exchange_weak(head, new, Ordering::SeqCst, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
    }
}
