//! Cancellation seen from the futures: what is dropped does not disturb what is not.

mod support;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use support::{BOTH, Cold, Options, Plan, Scripted, Task, When, noise, until, within};
use svala::backend::Completion;
use svala::{Batch, IoBuf, Operation, Operations, Runtime};

const fn is_send<T: Send>(value: T) -> T {
    value
}

/// Everything a caller awaits can move between an executor's threads.
#[test]
fn futures_can_be_sent() {
    fn futures(runtime: &Runtime) -> impl Future<Output = ()> + Send + '_ {
        is_send(async move {
            let _ = is_send(runtime.copy(vec![0; 1], vec![0; 1])).await;
            let _ = is_send(runtime.run_batch(Batch::<Vec<u8>, Vec<u8>>::with_capacity(1))).await;
            let _ = is_send(runtime.inflate(vec![0; 1], vec![0; 1], svala::Check::None)).await;
        })
    }
    let (runtime, _device) = support::runtime(Options::all(Completion::Polled, Plan::done(When::Inline)));
    within(futures(&runtime));
}

/// Half of many operations are dropped at random moments while the device completes them out of order.
#[test]
fn dropping_some_leaves_the_others_alone() {
    for completion in BOTH {
        let mut options = Options::all(completion, Plan::done(When::Held)).depth(64);
        options.shuffle = Some(7);
        let (runtime, device) = support::runtime(options);
        let mut tasks: Vec<_> = (0..64)
            .map(|i| {
                let bytes = noise(5000, i);
                Some(Task::new(runtime.copy(bytes, vec![0; 5000])))
            })
            .collect();
        for task in tasks.iter_mut().flatten() {
            task.poll_pending();
        }
        for task in tasks.iter_mut().step_by(4) {
            *task = None;
        }
        device.release_all();
        for task in tasks.iter_mut().skip(1).step_by(4) {
            *task = None;
        }
        for (i, task) in (0..64).zip(tasks) {
            if let Some(task) = task {
                assert_eq!(task.finish().expect("a copy").buffers.1, noise(5000, i));
            }
        }
        device.wait("all land", |stats| stats.fetched == 64);
        until("all are counted", || runtime.snapshot().queues[0].operations == 64);
        assert!(runtime.snapshot().queues[0].abandoned >= 16);
    }
}

/// A task that gives up waiting for room does not take the place of the next.
#[test]
fn a_slot_meant_for_a_dropped_waiter_goes_to_the_next() {
    for completion in BOTH {
        let options = Options::all(completion, Plan::done(When::Held)).depth(1);
        let (runtime, device) = support::runtime(options);
        let mut first = Task::new(runtime.fill(vec![0; 10], 1));
        first.poll_pending();
        let mut second = Task::new(runtime.fill(vec![0; 10], 2));
        second.poll_pending();
        let mut third = Task::new(runtime.fill(vec![0; 10], 3));
        third.poll_pending();
        device.release(0);
        first.finish().expect("a fill");
        // The second has been woken for the slot; it goes without looking.
        second.wait_woken();
        drop(second);
        third.wait_woken();
        third.poll_pending();
        device.wait("the third is submitted", |stats| stats.accepted == 2);
        device.release(1);
        assert_eq!(third.finish().expect("a fill").buffers[0], 3);
    }
}

/// As `select!` does: the same operation is begun and dropped over and over, and each time the slot comes back.
#[test]
fn ten_thousand_cancellations_lose_no_slot() {
    for completion in BOTH {
        let options = Options::new(completion, |n, _| {
            Plan::by_turns(n, [When::Thread, When::Inline, When::Polls(2), When::Thread])
        });
        let (runtime, device) = support::runtime(options.depth(4));
        for i in 0..10_000 {
            let mut task = Task::new(runtime.fill(vec![0; 64], i));
            let _ = task.poll();
        }
        until("the device is done with all", || runtime.snapshot().queues[0].in_flight == 0);
        let tasks: Vec<_> = (0..4).map(|i| Task::new(runtime.fill(vec![0; 64], i))).collect();
        for task in tasks {
            task.finish().expect("a fill");
        }
        device.check();
    }
}

/// Spurious wake-ups and polls change nothing.
#[test]
fn polling_without_reason_is_harmless() {
    for completion in BOTH {
        let (runtime, device) = support::runtime(Options::all(completion, Plan::done(When::Held)));
        let mut task = Task::new(runtime.copy(Cold::warm(&[1; 100]), Cold::new(100)));
        for _ in 0..100 {
            task.poll_pending();
            device.notify();
        }
        device.release(0);
        assert_eq!(task.finish().expect("a copy").buffers.1.bytes(), [1; 100]);
    }
}

/// The device completes while the slot is being handed over: whoever hands over finds out, without help from
/// the completion thread. That one only ticks here, because an operation is under way on another queue.
#[test]
fn a_completion_during_hand_over_is_found_at_once() {
    let mut elsewhere = Options::all(Completion::Notified, Plan::done(When::Held));
    elsewhere.operations = Operations::NONE.with(Operation::Crc32c);
    let (elsewhere, other_device) = Scripted::new(elsewhere);
    let polls = Arc::new(AtomicU32::new(0));
    let options = Options::new(Completion::Notified, {
        let polls = Arc::clone(&polls);
        move |n, _| Plan::done(if n == 0 { When::Held } else { When::DuringPoll(polls.load(Relaxed)) })
    });
    let (queue, device) = Scripted::new(options);
    let runtime = Runtime::builder().queue(elsewhere).queue(queue).build().expect("a runtime");
    let mut other = Task::new(runtime.crc32c(vec![0; 10], 1));
    other.poll_pending();
    let mut first = Task::new(runtime.fill(vec![0; 10], 1));
    first.poll_pending();
    // The last of the polls so far was the one with the list locked.
    polls.store(u32::try_from(device.stats().polls).expect("few"), Relaxed);
    device.release(0);
    first.finish().expect("a fill");
    let here = std::thread::current().id();
    let mut found_here = 0;
    for i in 0..20 {
        let mut task = Task::new(runtime.fill(vec![0; 10], i));
        if task.poll().is_pending() {
            task.finish().expect("a fill");
        }
        found_here += u32::from(device.stats().fetched_by == Some(here));
    }
    // A tick may come in between.
    assert!(found_here >= 10, "found by the submitting thread {found_here} times of 20");
    other_device.release(0);
    other.finish().expect("a crc");
}
