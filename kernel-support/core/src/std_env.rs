// SPDX-License-Identifier: MIT OR Apache-2.0

//! [`Std`]: the locks and memory of an ordinary process. Host only; the kernel supplies its own.

use core::num::NonZeroU64;
use std::boxed::Box;
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::time::Instant;
use std::vec::Vec;

use super::env::{Env, Event, Lock, OutOfMemory, Rank};

/// The surroundings of a process: `std`'s `Arc`, `Mutex` and `Condvar`.
#[derive(Debug)]
pub enum Std {}

impl Env for Std {
    type Shared<T> = Arc<T>;
    type Lock<T> = StdLock<T>;
    type Slots<T> = Box<[T]>;
    type Event = StdEvent;
    type Word = AtomicU32;
    type Counter = AtomicU64;

    fn share<T>(value: T) -> Result<Arc<T>, OutOfMemory> {
        Ok(Arc::new(value))
    }

    fn now_ns() -> Option<NonZeroU64> {
        static BEGAN: OnceLock<Instant> = OnceLock::new();
        let elapsed = BEGAN.get_or_init(Instant::now).elapsed().as_nanos();
        u64::try_from(elapsed)
            .ok()?
            .checked_add(1)
            .and_then(NonZeroU64::new)
    }

    fn slots<T>(len: usize, fill: impl FnMut(usize) -> T) -> Result<Box<[T]>, OutOfMemory> {
        let mut slots = Vec::new();
        slots.try_reserve_exact(len).map_err(|_| OutOfMemory)?;
        slots.extend((0..len).map(fill));
        Ok(slots.into_boxed_slice())
    }
}

/// A `Mutex` that goes on after a panic: this crate leaves nothing half-done while it holds one.
#[derive(Debug)]
pub struct StdLock<T>(Mutex<T>);

impl<T> Lock<T> for StdLock<T> {
    fn try_new(value: T, _rank: Rank) -> Result<Self, OutOfMemory> {
        Ok(Self(Mutex::new(value)))
    }

    fn with<R>(&self, body: impl FnOnce(&mut T) -> R) -> R {
        body(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A `Condvar` and the mutex that keeps a notification from falling between a look and a sleep.
#[derive(Debug)]
pub struct StdEvent {
    gate: Mutex<()>,
    changed: Condvar,
}

impl Event for StdEvent {
    fn try_new() -> Result<Self, OutOfMemory> {
        Ok(Self {
            gate: Mutex::new(()),
            changed: Condvar::new(),
        })
    }

    fn notify(&self) {
        drop(self.gate.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_all();
    }

    fn wait_until(&self, mut ready: impl FnMut() -> bool) {
        let mut gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
        while !ready() {
            gate = self
                .changed
                .wait(gate)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}
