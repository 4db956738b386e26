//! The atomics of the slot protocol. `tests/loom.rs` compiles the protocol against loom's in their place.

pub(crate) use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering, fence};
use std::task::Waker;

/// A place for the waker of the task that waits.
#[derive(Debug, Default)]
pub(crate) struct WakerCell(atomic_waker::AtomicWaker);

impl WakerCell {
    pub(crate) fn new() -> Self {
        Self(atomic_waker::AtomicWaker::new())
    }

    pub(crate) fn register(&self, waker: &Waker) {
        self.0.register(waker);
    }

    pub(crate) fn take(&self) -> Option<Waker> {
        self.0.take()
    }
}
