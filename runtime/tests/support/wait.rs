//! Waiting for events, with a deadline that only a hang reaches.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

/// Far beyond what anything here takes.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Counts wake-ups, and lets a thread wait for one.
#[derive(Default)]
struct Bell {
    rung: Mutex<usize>,
    ring: Condvar,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        *self.rung.lock().expect("no panic with the lock held") += 1;
        self.ring.notify_all();
    }
}

/// A future that is polled when the test says so.
pub struct Task<F> {
    future: Pin<Box<F>>,
    bell: Arc<Bell>,
    seen: usize,
}

impl<F: Future> Task<F> {
    pub fn new(future: F) -> Self {
        Self { future: Box::pin(future), bell: Arc::default(), seen: 0 }
    }

    /// Polls once, woken or not.
    pub fn poll(&mut self) -> Poll<F::Output> {
        self.seen = self.wakes();
        let waker = Waker::from(Arc::clone(&self.bell));
        self.future.as_mut().poll(&mut Context::from_waker(&waker))
    }

    /// Polls once and expects nothing yet.
    pub fn poll_pending(&mut self) {
        assert!(self.poll().is_pending(), "ready too early");
    }

    /// Times the future was woken.
    pub fn wakes(&self) -> usize {
        *self.bell.rung.lock().expect("no panic with the lock held")
    }

    /// Whether it was woken since the last poll.
    pub fn is_woken(&self) -> bool {
        self.wakes() != self.seen
    }

    /// References to the waker, this one included.
    pub fn wakers(&self) -> usize {
        Arc::strong_count(&self.bell)
    }

    /// Waits for a wake-up since the last poll.
    pub fn wait_woken(&self) {
        let rung = self.bell.rung.lock().expect("no panic with the lock held");
        let (rung, timeout) = self
            .bell
            .ring
            .wait_timeout_while(rung, DEADLINE, |rung| *rung == self.seen)
            .expect("no panic with the lock held");
        drop(rung);
        assert!(!timeout.timed_out(), "the future was never woken");
    }

    /// Polls after each wake-up, and only then, until the future is ready.
    pub fn finish(mut self) -> F::Output {
        loop {
            if let Poll::Ready(output) = self.poll() {
                return output;
            }
            self.wait_woken();
        }
    }
}

/// Runs a future on this thread; a lost wake-up fails the test instead of hanging it.
pub fn within<F: Future>(future: F) -> F::Output {
    Task::new(future).finish()
}

/// Waits until `condition` holds, looking every millisecond: for what has no event of its own.
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < end, "never came true: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A counter that outlives what it counts.
pub type Count = Arc<AtomicUsize>;

pub fn load(count: &Count) -> usize {
    count.load(Ordering::SeqCst)
}
