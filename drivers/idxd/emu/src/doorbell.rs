//! Where idle engines sleep until a portal is written.

use std::sync::atomic::{AtomicUsize, Ordering, fence};
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
}

impl Doorbell {
    pub(crate) fn new() -> Self {
        Self {
            command: Mutex::new(Command::Run),
            rung: Condvar::new(),
            commanded: Condvar::new(),
            sleepers: AtomicUsize::new(0),
        }
    }

    /// Wakes a sleeping engine, if there is one. The descriptor is queued already.
    pub(crate) fn ring(&self) {
        // Pairs with the fence in `wait`: either this sees the sleeper, or the sleeper sees the descriptor.
        fence(Ordering::SeqCst);
        if self.sleepers.load(Ordering::Relaxed) > 0 {
            drop(self.command.lock());
            self.rung.notify_one();
        }
    }

    pub(crate) fn command(&self, command: Command) {
        *self.command.lock() = command;
        self.rung.notify_all();
        self.commanded.notify_all();
    }

    /// Sleeps until there is work and it may be run. `false` when the engine is to end.
    pub(crate) fn wait(&self, has_work: impl Fn() -> bool) -> bool {
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
