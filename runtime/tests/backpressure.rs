//! More work than room: everybody gets a turn, in order, and nobody hangs.

mod support;

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Wake, Waker};

use support::{BOTH, Options, Plan, Task, When, until, within};
use svala::backend::Completion;
use svala::{Batch, Error, Job, VirtAddr};

#[test]
fn two_hundred_futures_share_few_slots() {
    for (completion, depth) in BOTH.into_iter().flat_map(|c| [1, 2].map(|d| (c, d))) {
        let options =
            Options::new(completion, |n, _| Plan::by_turns(n, [When::Thread, When::Polls(3), When::Inline]));
        let (runtime, device) = support::runtime(options.depth(depth));
        let mut tasks: Vec<_> = (0..200).map(|i| Task::new(runtime.fill(vec![0; 100], i))).collect();
        let mut outputs = Vec::new();
        for task in &mut tasks {
            outputs.push(task.poll());
        }
        for (i, (task, output)) in (0_u64..).zip(tasks.into_iter().zip(outputs)) {
            let done = match output {
                Poll::Ready(done) => done,
                Poll::Pending => task.finish(),
            };
            assert_eq!(done.expect("a fill").buffers[..8], i.to_le_bytes());
        }
        assert_eq!(device.stats().accepted, 200);
    }
}

/// The order of submission is the order of arrival, however eagerly the futures are polled.
#[test]
fn first_come_first_served() {
    let options = Options::all(Completion::Notified, Plan::done(When::Held)).depth(1);
    let (runtime, device) = support::runtime(options);
    let order = Rc::new(RefCell::new(Vec::new()));
    let mut tasks: Vec<_> = (0..10)
        .map(|i| {
            let (order, runtime) = (Rc::clone(&order), &runtime);
            Some(Task::new(async move {
                runtime.fill(vec![0; 8], i).await.expect("a fill");
                order.borrow_mut().push(i);
            }))
        })
        .collect();
    for task in tasks.iter_mut().flatten() {
        task.poll_pending();
    }
    for released in 0..10 {
        device.release(released);
        let due = usize::try_from(released).expect("small");
        tasks[due].as_ref().expect("not done yet").wait_woken();
        // The last in line are polled first.
        for task in tasks.iter_mut().rev() {
            if task.as_mut().is_some_and(|task| task.poll().is_ready()) {
                *task = None;
            }
        }
        if released < 9 {
            until("the next is submitted", || {
                for task in tasks.iter_mut().flatten().rev() {
                    task.poll_pending();
                }
                device.held() == 1
            });
        }
    }
    assert_eq!(*order.borrow(), (0..10).collect::<Vec<_>>());
}

/// A slot that was given back for the one who waits is not taken by one who comes later.
#[test]
fn a_newcomer_does_not_overtake() {
    let options = Options::all(Completion::Notified, Plan::done(When::Held)).depth(1);
    let (runtime, device) = support::runtime(options);
    let mut first = Task::new(runtime.fill(vec![0; 8], 1));
    first.poll_pending();
    let mut waiting = Task::new(runtime.fill(vec![0; 8], 2));
    waiting.poll_pending();
    device.release(0);
    first.finish().expect("a fill");
    waiting.wait_woken();
    let mut newcomer = Task::new(runtime.fill(vec![0; 8], 3));
    newcomer.poll_pending();
    let mut trying = Task::new(runtime.try_fill(vec![0; 8], 3));
    let Poll::Ready(Err(failed)) = trying.poll() else { panic!("somebody waits") };
    assert!(failed.error.is_busy());
    assert_eq!(device.stats().accepted, 1);
    waiting.poll_pending();
    assert_eq!(device.stats().accepted, 2, "the one who waited has the slot");
    device.release(1);
    assert_eq!(waiting.finish().expect("a fill").buffers[0], 2);
    newcomer.poll_pending();
    device.release(2);
    newcomer.finish().expect("a fill");
}

#[test]
fn without_room_trying_is_busy_and_gives_the_buffers_back() {
    let options = Options::all(Completion::Polled, Plan::done(When::Held)).depth(1);
    let (runtime, device) = support::runtime(options);
    let mut first = Task::new(runtime.fill(vec![0; 8], 1));
    first.poll_pending();
    let failed = within(runtime.try_copy(vec![1; 8], vec![2; 8])).expect_err("no room");
    assert!(matches!(failed.error, Error::Busy { .. }));
    assert_eq!(failed.buffers, Some((vec![1; 8], vec![2; 8])));
    device.release(0);
    first.finish().expect("a fill");
    let mut second = Task::new(runtime.try_fill(vec![0; 8], 1));
    second.poll_pending();
    device.release(1);
    second.finish().expect("there is room again");
}

/// The device itself has no room: trying ends at once, and with it the slot.
#[test]
fn a_refusal_is_busy_to_those_who_try() {
    let options = Options::new(Completion::Polled, |n, _| {
        Plan::done(When::Thread).refuse(if n == 0 { u32::MAX } else { 0 })
    });
    let (runtime, _device) = support::runtime(options.depth(1));
    let failed = within(runtime.try_crc32c(vec![1; 8], 0)).expect_err("refused");
    assert!(matches!(failed.error, Error::Busy { .. }));
    assert_eq!(failed.buffers, Some(vec![1; 8]));
    within(runtime.fill(vec![0; 9], 0)).expect("the slot is back");
}

#[test]
fn shutting_down_wakes_those_who_wait() {
    for completion in BOTH {
        let options = Options::all(completion, Plan::done(When::Held)).depth(1);
        let (runtime, device) = support::runtime(options);
        let mut first = Task::new(runtime.fill(vec![0; 8], 1));
        first.poll_pending();
        let mut waiting: Vec<_> = (0..10).map(|_| Task::new(runtime.fill(vec![3; 8], 2))).collect();
        for task in &mut waiting {
            task.poll_pending();
        }
        std::thread::scope(|scope| {
            scope.spawn(|| {
                // The first is seen to its end.
                assert_eq!(runtime.shutdown().unanswered, 0);
            });
            for task in waiting {
                let failed = task.finish().expect_err("closed");
                assert!(matches!(failed.error, Error::Closed { .. }));
                assert_eq!(failed.buffers, Some(vec![3; 8]));
            }
            device.release(0);
        });
        first.finish().expect("what was under way ends well");
    }
}

/// After a shutdown nothing starts any more, by whatever door it comes.
#[test]
fn nothing_starts_after_a_shutdown() {
    let (runtime, device) = support::runtime(Options::all(Completion::Polled, Plan::done(When::Thread)));
    assert_eq!(runtime.shutdown().unanswered, 0);
    let closed = |error: &Error| matches!(error, Error::Closed { .. });
    assert!(closed(&within(runtime.fill(vec![0; 8], 1)).expect_err("closed").error));
    assert!(closed(&within(runtime.try_fill(vec![0; 8], 1)).expect_err("closed").error));
    let mut batch = Batch::<Vec<u8>, Vec<u8>>::with_capacity(1);
    batch.fill(vec![0; 8], 1).expect("room");
    let failed = within(runtime.run_batch(batch)).expect_err("closed");
    assert!(closed(&failed.error));
    assert_eq!(failed.buffers.expect("the batch comes back").len(), 1);
    let mut bytes = [0; 8];
    runtime.scope(|scope| {
        assert!(closed(&scope.fill(&mut bytes, 1).expect_err("closed")));
    });
    let src = [0_u8; 8];
    let job = Job::Crc { src: VirtAddr::of(src.as_ptr()), len: 8, crc: svala::Crc::CRC32C, seed: 0 };
    assert!(closed(&raw(&runtime, job).expect_err("closed")));
    assert_eq!(device.stats().offered, 0);
    // Twice is as good as once.
    assert_eq!(runtime.shutdown().unanswered, 0);
}

#[expect(unsafe_code, reason = "raw submission is unsafe")]
fn raw(runtime: &svala::Runtime, job: Job) -> Result<svala::Done, Error> {
    // SAFETY: the callers keep the memory until this returns, and the device answers.
    within(unsafe { runtime.submit_raw(job) }).map(|(done, _)| done).map_err(Error::from)
}

/// UNSAFETY: see `raw`.
#[test]
fn raw_jobs_wait_for_room_as_well() {
    let options = Options::all(Completion::Polled, Plan::done(When::Thread)).depth(1);
    let (runtime, _device) = support::runtime(options);
    let src = support::noise(1000, 5);
    let want = support::crc32c(9, &src);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let job =
                    Job::Crc { src: VirtAddr::of(src.as_ptr()), len: 1000, crc: svala::Crc::CRC32C, seed: 9 };
                let done = raw(&runtime, job).expect("a crc");
                assert_eq!(done.value, svala::Value::Crc(want.into()));
            });
        }
    });
}

/// A waker may own anything, another waiting future among it: the line drops wakers with its lock let go.
#[test]
fn a_waker_that_owns_a_waiting_future_can_be_replaced() {
    type Waiting = Pin<Box<dyn Future<Output = ()> + Send>>;
    struct Owner(#[expect(dead_code, reason = "held to be dropped")] Mutex<Option<Waiting>>);
    impl Wake for Owner {
        fn wake(self: Arc<Self>) {}
    }
    let fill = |runtime: &svala::Runtime| -> Waiting {
        let runtime = runtime.clone();
        Box::pin(async move {
            let _ = runtime.fill(vec![0; 8], 1).await;
        })
    };
    let options = Options::all(Completion::Notified, Plan::done(When::Held)).depth(1);
    let (runtime, device) = support::runtime(options);
    let mut first = Task::new(runtime.fill(vec![0; 8], 1));
    first.poll_pending();
    let (mut owned, mut replaced, mut gone) = (fill(&runtime), fill(&runtime), fill(&runtime));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(owned.as_mut().poll(&mut cx).is_pending());
    let mut also_owned = fill(&runtime);
    assert!(also_owned.as_mut().poll(&mut cx).is_pending());
    for (waiting, owned) in [(&mut replaced, owned), (&mut gone, also_owned)] {
        let waker = Waker::from(Arc::new(Owner(Mutex::new(Some(owned)))));
        assert!(waiting.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    }
    let (done, ended) = mpsc::channel();
    std::thread::spawn(move || {
        assert!(replaced.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        drop(gone);
        drop(replaced);
        done.send(()).expect("the test waits");
    });
    ended.recv_timeout(support::DEADLINE).expect("no deadlock");
    device.release(0);
    first.finish().expect("a fill");
}
