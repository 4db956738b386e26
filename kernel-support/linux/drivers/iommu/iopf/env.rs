// SPDX-License-Identifier: GPL-2.0

//! The kernel's memory, locks, events and atomics, as `sva_core` asks for them.
//!
//! C headers: `include/linux/mutex.h`, `include/linux/wait.h`, `include/linux/slab.h`.

use super::sva_core::env::{self, OutOfMemory, Rank, Word};
use core::num::NonZeroU64;
use core::sync::atomic::AtomicU64;
use kernel::bindings;
use kernel::prelude::*;
use kernel::sync::atomic::{ordering, Atomic};
use kernel::sync::{new_condvar, new_mutex, Arc, CondVar, Mutex};

/// Allocations are `GFP_KERNEL`: nothing here runs where it may not sleep.
pub(crate) enum KernelEnv {}

impl env::Env for KernelEnv {
    type Shared<T> = Arc<T>;
    type Lock<T> = Lock<T>;
    type Slots<T> = KVVec<T>;
    type Event = Event;
    type Word = Atomic<u32>;
    // Statistics: read without ordering, never waited for.
    type Counter = AtomicU64;

    fn share<T>(value: T) -> Result<Arc<T>, OutOfMemory> {
        Arc::new(value, GFP_KERNEL).map_err(|_| OutOfMemory)
    }

    /// The scheduler's clock: two CPUs may differ a little.
    fn now_ns() -> Option<NonZeroU64> {
        // SAFETY: Reads a clock.
        NonZeroU64::new(unsafe { bindings::iopf_rust_clock_ns() })
    }

    fn slots<T>(len: usize, mut fill: impl FnMut(usize) -> T) -> Result<KVVec<T>, OutOfMemory> {
        let mut slots = KVVec::with_capacity(len, GFP_KERNEL).map_err(|_| OutOfMemory)?;
        for at in 0..len {
            slots.push(fill(at), GFP_KERNEL).map_err(|_| OutOfMemory)?;
        }
        Ok(slots)
    }
}

/// A mutex in memory of its own, since a mutex must not move.
pub(crate) struct Lock<T>(Pin<KBox<Mutex<T>>>);

impl<T> env::Lock<T> for Lock<T> {
    fn try_new(value: T, rank: Rank) -> Result<Self, OutOfMemory> {
        // A class for each rank: lockdep checks that a leaf is the last.
        match rank {
            Rank::Outer => KBox::pin_init(new_mutex!(value, "sva_core_outer"), GFP_KERNEL),
            Rank::Leaf => KBox::pin_init(new_mutex!(value, "sva_core_leaf"), GFP_KERNEL),
        }
        .map(Self)
        .map_err(|_| OutOfMemory)
    }

    fn with<R>(&self, body: impl FnOnce(&mut T) -> R) -> R {
        let mut guard = self.0.lock();
        // SAFETY: `with` is the only way to the value and hands out `&mut T`, never a `Pin`: nobody
        // relies on its place.
        body(unsafe { guard.as_mut().get_unchecked_mut() })
    }
}

#[pin_data]
struct EventInner {
    #[pin]
    gate: Mutex<()>,
    #[pin]
    changed: CondVar,
}

/// A condition variable, with the mutex that keeps a notification from falling between a look and a
/// sleep.
pub(crate) struct Event(Pin<KBox<EventInner>>);

impl env::Event for Event {
    fn try_new() -> Result<Self, OutOfMemory> {
        let inner = pin_init!(EventInner {
            gate <- new_mutex!((), "sva_core::event"),
            changed <- new_condvar!("sva_core::event"),
        });
        KBox::pin_init(inner, GFP_KERNEL)
            .map(Self)
            .map_err(|_| OutOfMemory)
    }

    fn notify(&self) {
        drop(self.0.gate.lock());
        self.0.changed.notify_all();
    }

    fn wait_until(&self, mut ready: impl FnMut() -> bool) {
        let mut gate = self.0.gate.lock();
        while !ready() {
            self.0.changed.wait(&mut gate);
        }
    }
}

impl Word for Atomic<u32> {
    fn new(value: u32) -> Self {
        Atomic::new(value)
    }

    fn load(&self) -> u32 {
        self.load(ordering::Acquire)
    }

    fn compare_exchange(&self, current: u32, new: u32) -> Result<u32, u32> {
        self.cmpxchg(current, new, ordering::Full)
    }

    fn fetch_sub(&self, value: u32) -> u32 {
        Atomic::<u32>::fetch_sub(self, value, ordering::Full)
    }

    fn fetch_or(&self, bits: u32) -> u32 {
        let mut word = Word::load(self);
        while let Err(found) = self.cmpxchg(word, word | bits, ordering::Full) {
            word = found;
        }
        word
    }
}
