// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the surroundings supply: memory, locks, events, atomics.
//!
//! The crate allocates nothing and owns no lock of its own. Everything comes through [`Env`], so
//! the kernel gives it its mutexes and `Arc`, a process gives it [`Std`](super::Std), and a model
//! checker gives it instrumented ones: the same source, unchanged, three times. Everything that
//! needs memory is made by a fallible function.

use core::fmt;
use core::num::NonZeroU64;
use core::ops::{Deref, DerefMut};
use core::sync::atomic::{AtomicU32, Ordering};

/// The surroundings had no memory to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfMemory;

impl fmt::Display for OutOfMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("out of memory")
    }
}

impl core::error::Error for OutOfMemory {}

/// The primitives this crate is built on, chosen by whoever embeds it.
pub trait Env: Sized + 'static {
    /// A counted pointer: `Arc` in a process and in the kernel.
    type Shared<T>: Deref<Target = T> + Clone;
    /// A mutual exclusion lock that may be held while sleeping.
    type Lock<T>: Lock<T>;
    /// A run of memory whose length is fixed when it is made.
    type Slots<T>: DerefMut<Target = [T]>;
    /// Something a thread can sleep on.
    type Event: Event;
    /// A 32-bit atomic.
    type Word: Word;
    /// A statistics counter.
    type Counter: Counter;

    /// Moves `value` into counted memory.
    ///
    /// # Errors
    ///
    /// [`OutOfMemory`]; the value is dropped.
    fn share<T>(value: T) -> Result<Self::Shared<T>, OutOfMemory>;

    /// Nanoseconds that have passed since some moment. `None` where there is no clock: latencies
    /// are then not counted. One that goes back a little makes a latency zero.
    fn now_ns() -> Option<NonZeroU64> {
        None
    }

    /// Makes `len` slots, each filled by `fill` with its index.
    ///
    /// # Errors
    ///
    /// [`OutOfMemory`].
    fn slots<T>(len: usize, fill: impl FnMut(usize) -> T) -> Result<Self::Slots<T>, OutOfMemory>;
}

/// Where a lock stands in the order in which they are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rank {
    /// Taken first; a leaf may be taken while it is held.
    Outer,
    /// Nothing is taken while it is held.
    Leaf,
}

/// Mutual exclusion around a `T`. The kernel's mutex must not move, hence
/// [`try_new`](Self::try_new) may allocate.
pub trait Lock<T>: Sized {
    /// Makes the lock. Whoever can check the order of locks (the kernel's lockdep) is told its
    /// rank.
    ///
    /// # Errors
    ///
    /// [`OutOfMemory`] where a lock needs memory of its own.
    fn try_new(value: T, rank: Rank) -> Result<Self, OutOfMemory>;

    /// Runs `body` with the lock held. Not reentrant.
    fn with<R>(&self, body: impl FnOnce(&mut T) -> R) -> R;
}

/// A place to sleep until a condition holds: a wait queue in the kernel, a condition variable in a
/// process.
pub trait Event: Sized {
    /// Makes the event.
    ///
    /// # Errors
    ///
    /// [`OutOfMemory`] where an event needs memory of its own.
    fn try_new() -> Result<Self, OutOfMemory>;

    /// Makes every sleeper look at its condition again. Called after the condition changed, with no
    /// lock of this crate held.
    fn notify(&self);

    /// Returns once `ready` says so. A notification between two looks is never lost. `ready` may
    /// take locks of this crate, and may be called any number of times.
    fn wait_until(&self, ready: impl FnMut() -> bool);
}

/// A 32-bit atomic. Every operation acquires what others released and releases what this thread
/// did.
pub trait Word {
    /// Starts at `value`.
    fn new(value: u32) -> Self;
    /// Reads (acquire).
    fn load(&self) -> u32;
    /// Replaces `current` by `new`; both answers are the value found.
    ///
    /// # Errors
    ///
    /// The value found, when it was not `current`.
    fn compare_exchange(&self, current: u32, new: u32) -> Result<u32, u32>;
    /// Subtracts and returns the value before.
    fn fetch_sub(&self, value: u32) -> u32;
    /// Sets bits and returns the value before.
    fn fetch_or(&self, bits: u32) -> u32;
}

impl Word for AtomicU32 {
    fn new(value: u32) -> Self {
        Self::new(value)
    }

    fn load(&self) -> u32 {
        self.load(Ordering::Acquire)
    }

    fn compare_exchange(&self, current: u32, new: u32) -> Result<u32, u32> {
        self.compare_exchange(current, new, Ordering::AcqRel, Ordering::Acquire)
    }

    fn fetch_sub(&self, value: u32) -> u32 {
        self.fetch_sub(value, Ordering::AcqRel)
    }

    fn fetch_or(&self, bits: u32) -> u32 {
        self.fetch_or(bits, Ordering::AcqRel)
    }
}

/// A number that only grows. No ordering is expected of it.
pub trait Counter {
    /// Starts at zero.
    fn new() -> Self;
    /// Adds.
    fn add(&self, value: u64);
    /// Reads.
    fn value(&self) -> u64;
}

#[cfg(target_has_atomic = "64")]
impl Counter for core::sync::atomic::AtomicU64 {
    fn new() -> Self {
        Self::new(0)
    }

    fn add(&self, value: u64) {
        self.fetch_add(value, Ordering::Relaxed);
    }

    fn value(&self) -> u64 {
        self.load(Ordering::Relaxed)
    }
}
