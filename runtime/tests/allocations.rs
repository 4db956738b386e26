//! In steady state nothing is allocated: not for an awaited operation, not for a batch, whichever way it takes.
//!
//! UNSAFETY: counts in the global allocator.
#![expect(unsafe_code, reason = "GlobalAlloc is an unsafe trait")]

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use support::{BOTH, Options, Plan, When};
use svala::{Batch, Lent};

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: everything is the system allocator's; counting touches no memory of its.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::SeqCst);
        // SAFETY: the caller's contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: the caller's contract.
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, len: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::SeqCst);
        // SAFETY: the caller's contract.
        unsafe { System.realloc(place, layout, len) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Unparks the thread.
struct Unpark(std::thread::Thread);

impl Wake for Unpark {
    fn wake(self: std::sync::Arc<Self>) {
        self.0.unpark();
    }
}

/// Allocates nothing itself, unlike the tests' own way to wait.
fn block_on<F: Future>(waker: &Waker, future: F) -> F::Output {
    let mut future = pin!(future);
    let mut cx = Context::from_waker(waker);
    loop {
        match future.as_mut().poll(&mut cx) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park_timeout(support::DEADLINE),
        }
    }
}

/// Counts what every thread of the process allocates while `body` runs, after it has run a few times. The least
/// of three counts: the test harness has a thread of its own, which now and then allocates.
fn allocations(mut body: impl FnMut()) -> u64 {
    let mut count = || {
        let before = ALLOCATIONS.load(Ordering::SeqCst);
        for _ in 0..200 {
            body();
        }
        ALLOCATIONS.load(Ordering::SeqCst) - before
    };
    count();
    (0..3).map(|_| count()).min().expect("three counts")
}

/// One test only: others would allocate at the same time.
#[test]
fn steady_state_allocates_nothing() {
    let waker = Waker::from(std::sync::Arc::new(Unpark(std::thread::current())));
    let whens = [When::Inline, When::Polls(2), When::Polls(50), When::Thread];
    for (completion, when) in BOTH.into_iter().flat_map(|c| whens.map(|w| (c, w))) {
        let mut options = Options::all(completion, Plan::done(when));
        options.spin_polls = 4;
        let (runtime, _device) = support::runtime(options);
        let mut buffers = Some((vec![1_u8; 4096], vec![0_u8; 4096]));
        let count = allocations(|| {
            let (src, dst) = buffers.take().expect("given back each time");
            let done = block_on(&waker, runtime.copy(src, dst)).expect("a copy");
            buffers = Some(done.buffers);
        });
        assert_eq!(count, 0, "copies, {completion:?} {when:?}");

        let mut lent: Vec<(Vec<u8>, Vec<u8>)> = (0..16).map(|_| (vec![1; 64], vec![0; 64])).collect();
        let mut batch = Some(Batch::with_capacity(16));
        let count = allocations(|| {
            let mut filled = batch.take().expect("given back each time");
            for (src, dst) in lent.drain(..) {
                assert!(filled.copy(src, dst).is_ok());
            }
            let mut done = block_on(&waker, runtime.run_batch(filled)).expect("a batch");
            for member in done.buffers.drain() {
                let Lent::Copy(src, dst) = member.lent else { unreachable!("only copies") };
                lent.push((src, dst));
            }
            batch = Some(done.buffers);
        });
        assert_eq!(count, 0, "batches, {completion:?} {when:?}");
    }
    // Waiting for room.
    let (runtime, _device) = support::runtime(
        Options::all(svala::backend::Completion::Notified, Plan::done(When::Thread)).depth(1),
    );
    let mut buffers = Some([vec![0_u8; 64], vec![0_u8; 64]]);
    let count = allocations(|| {
        let [one, two] = buffers.take().expect("given back each time");
        let mut first = pin!(runtime.fill(one, 1));
        let mut second = pin!(runtime.fill(two, 2));
        let (mut one, mut two) = (None, None);
        block_on(
            &waker,
            std::future::poll_fn(|cx| {
                if one.is_none()
                    && let Poll::Ready(done) = first.as_mut().poll(cx)
                {
                    one = Some(done.expect("a fill").buffers);
                }
                if two.is_none()
                    && let Poll::Ready(done) = second.as_mut().poll(cx)
                {
                    two = Some(done.expect("a fill").buffers);
                }
                if one.is_some() && two.is_some() { Poll::Ready(()) } else { Poll::Pending }
            }),
        );
        buffers = one.zip(two).map(|(one, two)| [one, two]);
    });
    assert_eq!(count, 0, "waiting for room");
}
