//! Where idle engines sleep until a portal is written.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// What engine threads are to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// Run descriptors.
    Run,
    /// Leave them queued.
    Hold,
    /// Run what is queued, then end.
    Finish,
}

pub(crate) struct Doorbell {
    command: Mutex<Command>,
    rung: Condvar,
    /// A new command, for engines that sit out a planned delay: no portal wakes them.
    commanded: Condvar,
    /// Engines that sleep or are about to: a submitter who sees none need not take the lock.
    sleepers: AtomicUsize,
    /// Not any engine will do, see [`set_shared`](Self::set_shared).
    is_shared: AtomicBool,
}

impl Doorbell {
    pub(crate) fn new() -> Self {
        Self {
            command: Mutex::new(Command::Run),
            rung: Condvar::new(),
            commanded: Condvar::new(),
            sleepers: AtomicUsize::new(0),
            is_shared: AtomicBool::new(false),
        }
    }

    /// Wakes a sleeping engine, if there is one. The descriptor is queued already.
    pub(crate) fn ring(&self) {
        // Pairs with the fence in `wait`: either this sees the sleeper, or the sleeper sees the descriptor.
        fence(Ordering::SeqCst);
        if self.sleepers.load(Ordering::Relaxed) > 0 {
            drop(self.command.lock());
            if self.is_shared.load(Ordering::Relaxed) {
                self.rung.notify_all();
            } else {
                self.rung.notify_one();
            }
        }
    }

    /// Says whether engines are in several groups, or some in none, so that not any of them will do.
    pub(crate) fn set_shared(&self, is_shared: bool) {
        self.is_shared.store(is_shared, Ordering::Relaxed);
        self.wake_all();
    }

    /// Has all engines look again: their groups have changed, or the device lives again.
    pub(crate) fn wake_all(&self) {
        drop(self.command.lock());
        self.rung.notify_all();
    }

    pub(crate) fn command(&self, command: Command) {
        *self.command.lock() = command;
        self.rung.notify_all();
        self.commanded.notify_all();
    }

    /// Sleeps until there is work and it may be run. `false` when the engine is to end.
    pub(crate) fn wait(&self, mut has_work: impl FnMut() -> bool) -> bool {
        self.sleepers.fetch_add(1, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        let mut command = self.command.lock();
        let goes_on = loop {
            match *command {
                Command::Run | Command::Finish if has_work() => break true,
                Command::Finish => break false,
                Command::Run | Command::Hold => self.rung.wait(&mut command),
            }
        };
        drop(command);
        self.sleepers.fetch_sub(1, Ordering::Relaxed);
        goes_on
    }

    /// Whether an engine may take another descriptor without asking again.
    pub(crate) fn is_held(&self) -> bool {
        *self.command.lock() == Command::Hold
    }

    /// Waits, unless the device is about to end.
    pub(crate) fn pause(&self, duration: Duration) {
        let deadline = Instant::now() + duration;
        let mut command = self.command.lock();
        while *command != Command::Finish {
            if self.commanded.wait_until(&mut command, deadline).timed_out() {
                return;
            }
        }
    }
}

/// Something happened; whoever waits for it looks whether it was what it waits for.
#[derive(Default)]
pub(crate) struct Signal {
    lock: Mutex<()>,
    changed: Condvar,
}

impl Signal {
    pub(crate) fn notify(&self) {
        drop(self.lock.lock());
        self.changed.notify_all();
    }

    /// Waits until `is_so`; `false` at the deadline.
    pub(crate) fn wait_until(&self, deadline: Instant, is_so: impl Fn() -> bool) -> bool {
        let mut lock = self.lock.lock();
        while !is_so() {
            if self.changed.wait_until(&mut lock, deadline).timed_out() {
                return is_so();
            }
        }
        true
    }
}
