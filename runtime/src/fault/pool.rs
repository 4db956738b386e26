//! Threads that are there for work which may take its time.
//!
//! Locks are `std`'s here: a child process that makes a runtime of its own finds its parent's sleeping threads in
//! `parking_lot`'s table, and a wait that ends by its time limit may stumble over them.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use std::{io, mem, thread};

/// How long a runtime that ends waits for one that is held up.
const END_WITHIN: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
struct State {
    /// Those that sleep and have not been called.
    idle: u32,
    /// Calls that none has taken yet.
    called: u32,
    /// A call for whoever ends its work next.
    is_asked: bool,
    running: u32,
    closed: bool,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    more: Condvar,
    ended: Condvar,
}

/// The threads, and the way to them.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Pool {
    /// Starts `count` of them. Each runs `help` whenever it is called.
    ///
    /// # Errors
    ///
    /// What thread creation says.
    pub(crate) fn start(&self, name: &str, count: u32, help: &Arc<dyn Fn() + Send + Sync>) -> io::Result<()> {
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        for i in 0..count {
            let (shared, help) = (Arc::clone(&self.shared), Arc::clone(help));
            shared.state().running += 1;
            let serve = move || {
                let _ended = Ended(Arc::clone(&shared));
                while shared.is_called() {
                    help();
                }
            };
            match thread::Builder::new().name(format!("{name}{i}")).spawn(serve) {
                Ok(thread) => threads.push(thread),
                Err(error) => {
                    self.shared.state().running -= 1;
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Calls an idle one. False: there is none.
    pub(crate) fn call(&self) -> bool {
        let state = self.shared.state();
        let is_idle = state.idle != 0 && !state.closed;
        if is_idle {
            self.wake(state);
        }
        is_idle
    }

    /// Calls an idle one, or whoever ends its work next. False: the latter.
    pub(crate) fn call_anyone(&self) -> bool {
        let mut state = self.shared.state();
        let is_idle = state.idle != 0 && !state.closed;
        if is_idle {
            self.wake(state);
        } else {
            state.is_asked = true;
        }
        is_idle
    }

    fn wake(&self, mut state: MutexGuard<'_, State>) {
        state.idle -= 1;
        state.called += 1;
        drop(state);
        self.shared.more.notify_one();
    }

    /// Ends them. One that is held up for longer than a second, by a fault handler that does not answer, is left to itself.
    pub(crate) fn stop(&self) {
        let here = thread::current().id();
        let threads = mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        // One that drops the runtime cannot wait for itself.
        let last = u32::from(threads.iter().any(|thread| thread.thread().id() == here));
        self.shared.state().closed = true;
        self.shared.more.notify_all();
        let is_running = |state: &mut State| state.running > last;
        let waited = self.shared.ended.wait_timeout_while(self.shared.state(), END_WITHIN, is_running);
        let (state, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        let threads_left = state.running;
        drop(state);
        if waited.timed_out() {
            tracing::warn!(threads_left, "left behind: still populating");
            return;
        }
        for thread in threads.into_iter().filter(|thread| thread.thread().id() != here) {
            // A thread that panicked has said so; there is nothing to add.
            let _ = thread.join();
        }
    }

    /// In a child process: there are none to be joined.
    pub(crate) fn forget(&self) {
        mem::forget(Arc::clone(&self.shared));
        if let Ok(mut threads) = self.threads.try_lock() {
            mem::forget(mem::take(&mut *threads));
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a call; false when there will be no more.
    fn is_called(&self) -> bool {
        let mut state = self.state();
        state.idle += 1;
        loop {
            if state.called != 0 {
                state.called -= 1;
                return true;
            }
            if state.is_asked {
                state.is_asked = false;
                state.idle = state.idle.saturating_sub(1);
                return true;
            }
            if state.closed {
                state.idle = state.idle.saturating_sub(1);
                return false;
            }
            state = self.more.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Says that one is gone, also if it panicked.
struct Ended(Arc<Shared>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.state().running -= 1;
        self.0.ended.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::time::Instant;

    const HELPERS: u32 = 2;

    /// Two that are busy leave nobody to call; one that has ended its work can be called again.
    #[test]
    fn a_call_finds_an_idle_thread_or_says_that_there_is_none() {
        let pool = Pool::default();
        assert!(!pool.call(), "not started");
        let (began, begins) = mpsc::channel();
        let gate = Arc::new(Mutex::new(()));
        let (at_gate, closed) = (Arc::clone(&gate), gate.lock().expect("not poisoned"));
        let began = Mutex::new(began);
        let help: Arc<dyn Fn() + Send + Sync> = Arc::new(move || {
            let _ = began.lock().expect("not poisoned").send(());
            drop(at_gate.lock());
        });
        pool.start("test", HELPERS, &help).expect("threads");
        let call = || {
            let deadline = Instant::now() + Duration::from_secs(30);
            while !pool.call() {
                assert!(Instant::now() < deadline, "none becomes idle");
                thread::yield_now();
            }
            begins.recv_timeout(Duration::from_secs(30)).expect("it begins");
        };
        (0..HELPERS).for_each(|_| call());
        assert!(!pool.call(), "all are held up");
        drop(closed);
        call();
        pool.stop();
        assert!(!pool.call(), "stopped");
        assert_eq!(Arc::strong_count(&help), 1, "all have ended");
    }
}
