//! Small ranges: what a thread of ours populates in less time than it takes to hand it to the kernel's workers and back.
//!
//! A few pages cost a few microseconds, a hand-over between threads costs as much again, and `IORING_OP_MADVISE` takes
//! two of them. So small ranges are populated by a thread that is there already and can be held up: a queue's own, as far
//! as [`Queue::held_max`](crate::backend::Queue::held_max) allows, or one of a few helpers. Never by an executor's thread
//! or the completion thread: the range may wait for a disk or a fault handler after all, and nobody can tell beforehand.
//! What no helper has time for goes to the [`Resolver`](super::Resolver), whose threads are many.
//!
//! Locks are `std`'s here: a child process that makes a runtime of its own finds its parent's sleeping threads in
//! `parking_lot`'s table, and a wait that ends by its time limit may stumble over them.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use std::{io, mem, thread};

use super::resolver::{Request, advice};
use super::threads::populate;
use crate::job::{OPERANDS_MAX, Operands};

/// Bytes of each operand at most: the first window of a transfer.
pub(crate) const SMALL_BYTES_MAX: u64 = super::WINDOW_BYTES_MIN;
/// Threads that are there for small ranges.
pub(crate) const HELPERS: u32 = 2;
/// How long a runtime that ends waits for a helper that is held up.
const END_WITHIN: Duration = Duration::from_secs(1);

/// All that a slot needs now, and it is little.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Small {
    pub(crate) slot: u32,
    pub(crate) operands: Operands,
}

impl Small {
    /// These requests, if they are few and small. They are one slot's.
    pub(crate) fn of(requests: &[Request]) -> Option<Self> {
        let slot = requests.first()?.slot;
        let is_small = |request: &Request| request.operand.span.pages().len <= SMALL_BYTES_MAX;
        if requests.len() > OPERANDS_MAX || !requests.iter().all(is_small) {
            return None;
        }
        let mut operands = [None; OPERANDS_MAX];
        for (place, request) in operands.iter_mut().zip(requests) {
            *place = Some(request.operand);
        }
        Some(Self { slot, operands })
    }

    /// Makes all of it present, on this thread. 0, or the first thing `madvise` would not do.
    pub(crate) fn populate(&self) -> i32 {
        let each = self.operands.iter().flatten();
        let errnos = each.map(|operand| populate(operand.span.pages(), advice(operand.access)));
        errnos.fold(0, |first, errno| if first == 0 { errno } else { first })
    }
}

#[derive(Debug, Default)]
struct State {
    /// Helpers that sleep and have not been called.
    idle: u32,
    /// Calls that no helper has taken yet.
    called: u32,
    running: u32,
    closed: bool,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    more: Condvar,
    ended: Condvar,
}

/// The helpers, and the way to them.
#[derive(Debug, Default)]
pub(crate) struct Helpers {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Helpers {
    /// Starts them. Each runs `help` whenever it is called.
    ///
    /// # Errors
    ///
    /// What thread creation says.
    pub(crate) fn start(&self, help: &Arc<dyn Fn() + Send + Sync>) -> io::Result<()> {
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        for i in 0..HELPERS {
            let (shared, help) = (Arc::clone(&self.shared), Arc::clone(help));
            shared.state().running += 1;
            let serve = move || {
                let _ended = Ended(Arc::clone(&shared));
                while shared.is_called() {
                    help();
                }
            };
            match thread::Builder::new().name(format!("svala-small{i}")).spawn(serve) {
                Ok(thread) => threads.push(thread),
                Err(error) => {
                    self.shared.state().running -= 1;
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Calls an idle helper. False: there is none.
    pub(crate) fn call(&self) -> bool {
        let mut state = self.shared.state();
        if state.idle == 0 || state.closed {
            return false;
        }
        state.idle -= 1;
        state.called += 1;
        drop(state);
        self.shared.more.notify_one();
        true
    }

    /// Ends them. One that is held up for longer than a second, by a fault handler that does not answer, is left to itself.
    pub(crate) fn stop(&self) {
        let here = thread::current().id();
        let threads = mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        // A helper that drops the runtime cannot wait for itself.
        let last = u32::from(threads.iter().any(|thread| thread.thread().id() == here));
        self.shared.state().closed = true;
        self.shared.more.notify_all();
        let is_running = |state: &mut State| state.running > last;
        let waited = self.shared.ended.wait_timeout_while(self.shared.state(), END_WITHIN, is_running);
        let (state, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        let helpers = state.running;
        drop(state);
        if waited.timed_out() {
            tracing::warn!(helpers, "left behind: still populating");
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
            if state.closed {
                state.idle = state.idle.saturating_sub(1);
                return false;
            }
            state = self.more.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Says that a helper is gone, also if it panicked.
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
    use crate::address::{Access, Span, VirtAddr};
    use crate::job::Operand;
    use std::sync::mpsc;
    use std::time::Instant;

    fn requests(lengths: &[u64]) -> Vec<Request> {
        let request = |len: &u64| Request {
            channel: 0,
            slot: 3,
            operand: Operand { span: Span::new(VirtAddr::new(0x7000_0000), *len), access: Access::Write },
        };
        lengths.iter().map(request).collect()
    }

    #[test]
    fn small_is_a_few_pages_of_each_operand() {
        let is_small = |lengths: &[u64]| Small::of(&requests(lengths)).is_some();
        assert!(is_small(&[1]) && is_small(&[SMALL_BYTES_MAX; OPERANDS_MAX]));
        assert!(
            !is_small(&[]) && !is_small(&[4096, SMALL_BYTES_MAX + 1]) && !is_small(&[1; OPERANDS_MAX + 1])
        );
    }

    #[test]
    fn what_is_not_mapped_is_an_error_and_the_rest_is_populated() {
        let map = memmap2::MmapMut::map_anon(4096).expect("maps");
        let mut requests = requests(&[4096, 4096]);
        requests[0].operand.span = Span::new(VirtAddr::new(0), 4096);
        requests[1].operand.span = Span::new(VirtAddr::of(map.as_ptr()), 4096);
        let small = Small::of(&requests).expect("small");
        assert_eq!(small.populate(), libc::ENOMEM);
        let mut operands = [None; OPERANDS_MAX];
        operands[0] = Some(requests[1].operand);
        assert_eq!(super::super::residency::Sampler::new().look(&operands).absent, 0);
    }

    /// Two that are busy leave nobody to call; one that has ended its work can be called again.
    #[test]
    fn a_call_finds_an_idle_helper_or_says_that_there_is_none() {
        let helpers = Helpers::default();
        assert!(!helpers.call(), "not started");
        let (began, begins) = mpsc::channel();
        let gate = Arc::new(Mutex::new(()));
        let (at_gate, closed) = (Arc::clone(&gate), gate.lock().expect("not poisoned"));
        let began = Mutex::new(began);
        let help: Arc<dyn Fn() + Send + Sync> = Arc::new(move || {
            let _ = began.lock().expect("not poisoned").send(());
            drop(at_gate.lock());
        });
        helpers.start(&help).expect("threads");
        let call = || {
            let deadline = Instant::now() + Duration::from_secs(30);
            while !helpers.call() {
                assert!(Instant::now() < deadline, "no helper becomes idle");
                thread::yield_now();
            }
            begins.recv_timeout(Duration::from_secs(30)).expect("it begins");
        };
        (0..HELPERS).for_each(|_| call());
        assert!(!helpers.call(), "all are held up");
        drop(closed);
        call();
        helpers.stop();
        assert!(!helpers.call(), "stopped");
        assert_eq!(Arc::strong_count(&help), 1, "all have ended");
    }
}
