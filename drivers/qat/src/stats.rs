//! Counters of a queue.

use std::sync::atomic::{AtomicU64, Ordering};

/// What a queue has done, and what happened to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct QatStats {
    /// Requests sent.
    pub requests: u64,
    /// Writes to the tail of a request ring: one for each batch.
    pub tail_writes: u64,
    /// Bytes that went to or came from the function without a copy.
    pub direct_bytes: u64,
    /// Bytes that were copied through bounce buffers.
    pub bounced_bytes: u64,
    /// Blocks that the device stored since they did not verify.
    pub recovered: u64,
    /// Answers to no request, or to one that was answered.
    pub strays: u64,
    /// Requests that were not answered.
    pub unanswered: u64,
    /// Requests sent again after a reset or a restart they had no part in.
    pub resent: u64,
    /// Ring pairs that were reset.
    pub resets: u64,
    /// Resets that were refused or not answered.
    pub resets_refused: u64,
    /// Restarts of the device.
    pub restarts: u64,
    /// Interrupts that were taken.
    pub interrupts: u64,
}

macro_rules! counters {
    ($($name:ident),* $(,)?) => {
        #[derive(Debug, Default)]
        pub(crate) struct Counters {
            $(pub(crate) $name: Counter,)*
        }

        impl Counters {
            pub(crate) fn read(&self) -> QatStats {
                QatStats { $($name: self.$name.0.load(Ordering::Relaxed),)* }
            }
        }
    };
}

counters!(
    requests,
    tail_writes,
    direct_bytes,
    bounced_bytes,
    recovered,
    strays,
    unanswered,
    resent,
    resets,
    resets_refused,
    restarts,
    interrupts,
);

/// A counter that many threads add to.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    #[inline]
    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }
}
