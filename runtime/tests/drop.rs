//! What becomes of the buffers when the future goes, at every stage. They are dropped once, and not before the
//! device is done with them: the scripted device reports a buffer that is freed while it is in use.

mod support;

use std::sync::Arc;

use support::{BOTH, Counted, Device, Drops, Faulting, Options, Plan, Task, When, until, within};
use svala::backend::Completion;
use svala::{Error, FaultPolicy, ResolverChoice, Runtime};

const LEN: usize = 64 << 10;

fn pair(device: &Device, drops: &Drops) -> (Counted, Counted) {
    (drops.buffer(device, vec![7; LEN]), drops.buffer(device, vec![0; LEN]))
}

/// Every slot can still be used: as many operations as the queue is deep, at once.
fn all_slots_work(runtime: &Runtime, device: &Device) {
    let depth = runtime.capabilities().next().expect("one queue").depth;
    let before = device.stats();
    let tasks: Vec<_> = (0..depth).map(|_| runtime.fill(vec![0; 100], 1)).map(Task::new).collect();
    for task in tasks {
        task.finish().expect("a fill");
    }
    assert_eq!(device.stats().accepted, before.accepted + u64::from(depth));
}

#[test]
fn a_future_that_is_never_polled_gives_nothing_to_the_device() {
    let (runtime, device) = support::runtime(Options::all(Completion::Polled, Plan::done(When::Thread)));
    let drops = Drops::default();
    let (src, dst) = pair(&device, &drops);
    drop(runtime.copy(src, dst));
    assert_eq!((drops.count(), device.stats().offered), (2, 0));
}

#[test]
fn dropped_while_it_waits_for_a_slot() {
    let options =
        Options::new(Completion::Polled, |n, _| Plan::done(if n == 0 { When::Held } else { When::Thread }));
    let (runtime, device) = support::runtime(options.depth(1));
    let drops = Drops::default();
    let (src, dst) = pair(&device, &drops);
    let mut first = Task::new(runtime.copy(src, dst));
    first.poll_pending();
    let (src, dst) = pair(&device, &drops);
    let mut second = Task::new(runtime.copy(src, dst));
    second.poll_pending();
    drop(second);
    assert_eq!(drops.count(), 2, "nobody had the second pair but its future");
    device.release(0);
    drop(first.finish().expect("a copy"));
    assert_eq!(drops.count(), 4);
    all_slots_work(&runtime, &device);
}

#[test]
fn dropped_in_flight_keeps_the_buffers_until_the_device_is_done() {
    for completion in BOTH {
        let options =
            Options::new(completion, |n, _| Plan::done(if n == 0 { When::Held } else { When::Thread }));
        let (runtime, device) = support::runtime(options);
        let drops = Drops::default();
        let (src, dst) = pair(&device, &drops);
        let mut task = Task::new(runtime.copy(src, dst));
        task.poll_pending();
        drop(task);
        assert_eq!(drops.count(), 0, "the device has not even begun");
        device.release(0);
        until("the reaper drops both buffers", || drops.count() == 2);
        let snapshot = runtime.snapshot();
        assert_eq!((snapshot.queues[0].operations, snapshot.queues[0].abandoned), (1, 1));
        all_slots_work(&runtime, &device);
        assert_eq!(drops.count(), 2);
    }
}

#[test]
fn dropped_when_done_but_not_taken() {
    for completion in BOTH {
        let options =
            Options::new(completion, |n, _| Plan::done(if n == 0 { When::Held } else { When::Thread }));
        let (runtime, device) = support::runtime(options);
        let drops = Drops::default();
        let (src, dst) = pair(&device, &drops);
        let mut task = Task::new(runtime.copy(src, dst));
        task.poll_pending();
        device.release(0);
        task.wait_woken();
        assert_eq!(drops.count(), 0);
        drop(task);
        assert_eq!(drops.count(), 2);
        all_slots_work(&runtime, &device);
    }
}

#[test]
fn dropped_while_it_is_refused() {
    let options = Options::new(Completion::Notified, |n, _| {
        Plan::done(When::Thread).refuse(if n == 0 { u32::MAX } else { 0 })
    });
    let (runtime, device) = support::runtime(options);
    let drops = Drops::default();
    let (src, dst) = pair(&device, &drops);
    let mut task = Task::new(runtime.copy(src, dst));
    task.poll_pending();
    device.wait("the completion thread offers it again", |stats| stats.refused > 2);
    drop(task);
    until("the reaper gives it up", || drops.count() == 2);
    assert_eq!(device.stats().accepted, 0);
    all_slots_work(&runtime, &device);
}

/// The fault is at a page that is there, so only the resolver's answer stands between it and the end; whichever
/// comes first, the answer or the drop, the buffers go once.
#[test]
fn dropped_while_a_fault_is_resolved() {
    for (completion, resolver) in
        BOTH.into_iter().flat_map(|c| [ResolverChoice::Auto, ResolverChoice::Threads].map(|r| (c, r)))
    {
        let faulting = Faulting::At { offsets: (0..16).map(|page| page * 4096).collect(), restarts: false };
        let options = Options::new(completion, move |n, _| {
            let plan = Plan::done(When::Thread);
            if n < 20 { plan.faulting(faulting.clone()) } else { plan }
        });
        let (runtime, device) = support::runtime_with(options, |config| {
            config.resolver = resolver;
            config.window_bytes_min = 4096;
            config.window_bytes_max = 4096;
        });
        let drops = Drops::default();
        for round in 0..20 {
            let (src, dst) = pair(&device, &drops);
            let mut task = Task::new(runtime.copy(src, dst));
            let ready = task.poll().is_ready();
            // At a different moment each time.
            device.wait("some faults are resolved", |stats| {
                ready || stats.resubmitted + stats.cancelled >= round / 2 || stats.fetched > round
            });
            drop(task);
            until("the buffers go", || drops.count() == 2 * usize::try_from(round + 1).expect("small"));
            device.wait("the flight lands", |stats| stats.fetched == stats.accepted);
        }
        all_slots_work(&runtime, &device);
        assert_eq!(drops.count(), 40);
    }
}

#[test]
fn dropped_while_memory_is_prefetched() {
    let options = Options::all(Completion::Polled, Plan::done(When::Thread));
    let (runtime, device) = support::runtime_with(options, |config| config.faults = FaultPolicy::Prefetch);
    let drops = Drops::default();
    for round in 1..=20 {
        let (src, dst) = pair(&device, &drops);
        let mut task = Task::new(runtime.copy(src, dst));
        let _ = task.poll();
        drop(task);
        until("the buffers go", || drops.count() == 2 * round);
    }
    all_slots_work(&runtime, &device);
}

/// A leaked future costs its slot, and its buffers are not freed before the runtime goes.
#[test]
fn forgotten_in_flight() {
    let options =
        Options::new(Completion::Polled, |n, _| Plan::done(if n == 0 { When::Held } else { When::Thread }));
    let (runtime, device) = support::runtime(options.depth(2));
    let drops = Drops::default();
    let (src, dst) = pair(&device, &drops);
    let mut task = Box::pin(runtime.copy(src, dst));
    {
        let waker = std::task::Waker::noop();
        assert!(task.as_mut().poll(&mut std::task::Context::from_waker(waker)).is_pending());
    }
    std::mem::forget(task);
    device.release(0);
    device.wait("the device is done", |stats| stats.fetched == 1);
    within(runtime.fill(vec![0; 10], 1)).expect("the other slot works");
    assert_eq!(drops.count(), 0);
    drop(runtime);
    assert_eq!(drops.count(), 2);
}

#[test]
fn buffers_come_back_with_failure() {
    let (runtime, device) = support::runtime(Options::all(Completion::Polled, Plan::done(When::Thread)));
    let drops = Drops::default();
    let (src, dst) = (drops.buffer(&device, vec![1; 10]), drops.buffer(&device, vec![1; 11]));
    let failed = within(runtime.copy(src, dst)).err().expect("unequal lengths");
    assert!(matches!(failed.error, Error::Length { first: 10, second: 11, .. }));
    assert_eq!(drops.count(), 0);
    drop(failed.buffers.expect("both come back"));
    assert_eq!(drops.count(), 2);
}

/// A slot that nobody waits on keeps no task alive.
#[test]
fn no_waker_stays_behind() {
    for completion in BOTH {
        let options =
            Options::new(completion, |n, _| Plan::done(if n == 0 { When::Held } else { When::Thread }));
        let (runtime, device) = support::runtime(options);
        let mut task = Task::new(async {
            let mut abandoned = Box::pin(runtime.fill(vec![0; 10], 1));
            std::future::poll_fn(|cx| {
                assert!(abandoned.as_mut().poll(cx).is_pending());
                std::task::Poll::Ready(())
            })
            .await;
        });
        assert!(task.poll().is_ready());
        assert_eq!(task.wakers(), 1, "an abandoned slot keeps a waker");
        device.release(0);
        for _ in 0..50 {
            let mut task = Task::new(runtime.fill(vec![0; 10], 1));
            while task.poll().is_pending() {
                task.wait_woken();
            }
            until("whoever wakes lets go of the waker", || task.wakers() == 1);
        }
    }
}

/// A buffer whose drop panics, on whatever thread reaps: the runtime goes on.
#[test]
fn a_buffer_that_panics_takes_nothing_with_it() {
    struct Bomb(Vec<u8>);
    impl AsRef<[u8]> for Bomb {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("a buffer's drop, on purpose");
        }
    }
    let options =
        Options::new(Completion::Polled, |n, _| Plan::done(if n < 2 { When::Held } else { When::Thread }));
    let (runtime, device) = support::runtime(options);
    let mut bomb = Task::new(runtime.crc32c(bytes::Bytes::from_owner(Bomb(vec![1; 100])), 0));
    bomb.poll_pending();
    let mut other = Task::new(runtime.crc32c(vec![1; 100], 0));
    other.poll_pending();
    drop(bomb);
    device.release_all();
    other.finish().expect("the other operation ends");
    all_slots_work(&runtime, &device);
}

/// The last runtime goes while the device works, and the device answers within the bound.
#[test]
fn dropping_the_runtime_waits_for_abandoned_operations() {
    for completion in BOTH {
        let options = Options::all(completion, Plan::done(When::Held));
        let (runtime, device) = support::runtime(options);
        let drops = Drops::default();
        let (src, dst) = pair(&device, &drops);
        let mut task = Task::new(runtime.copy(src, dst));
        task.poll_pending();
        drop(task);
        let device = Arc::new(device);
        let releaser = {
            let device = Arc::clone(&device);
            std::thread::spawn(move || device.release(0))
        };
        drop(runtime);
        assert_eq!(drops.count(), 2);
        assert!(device.stats().closed);
        releaser.join().expect("the releaser does not panic");
    }
}
