//! Several queues: the load is shared, one that fails is taken out and comes back, and no job is lost by it.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use support::{BOTH, Device, Options, Plan, Scripted, Task, When, noise, until, within};
use svala::backend::{Completion, Failure};
use svala::{Batch, Config, Error, Group, GroupOptions, Path, QueueFault, QueueState, Runtime};

/// A runtime over several scripted queues.
fn runtime(queues: Vec<Options>, change: impl FnOnce(&mut Config)) -> (Runtime, Vec<Device>) {
    let mut builder = Runtime::builder().config(change);
    let mut devices = Vec::new();
    for (mut options, name) in queues.into_iter().zip(["q0", "q1", "q2", "q3"]) {
        options.name = name;
        let (queue, device) = Scripted::new(options);
        builder = builder.queue(queue);
        devices.push(device);
    }
    (builder.build().expect("threads and an eventfd"), devices)
}

fn quick(config: &mut Config) {
    config.submit_tries_max = 20;
    config.probe_after_min = Duration::from_millis(5);
    config.probe_after_max = Duration::from_millis(20);
}

fn well(completion: Completion) -> Options {
    Options::all(completion, Plan::done(When::Thread))
}

/// A queue that refuses for as long as it is told to.
fn refusing(completion: Completion) -> (Options, Arc<AtomicBool>) {
    let refuses = Arc::new(AtomicBool::new(true));
    let told = Arc::clone(&refuses);
    let options = Options::new(completion, move |_, _| {
        let plan = Plan::done(When::Thread);
        if told.load(Ordering::SeqCst) { plan.refuse(u32::MAX) } else { plan }
    });
    (options, refuses)
}

fn state(runtime: &Runtime, index: usize) -> QueueState {
    runtime.snapshot().queues[index].state
}

fn queue_of(path: Path) -> String {
    match path {
        Path::Emulated { queue } => queue.as_str().to_owned(),
        other => panic!("{other}"),
    }
}

#[test]
fn a_queue_that_refuses_for_ever_is_taken_out_and_its_job_goes_elsewhere() {
    for completion in BOTH {
        let (bad, _) = refusing(completion);
        let (runtime, devices) = runtime(vec![bad, well(completion)], quick);
        // Either queue may be this thread's; in a few threads both are.
        std::thread::scope(|scope| {
            for seed in 0..4 {
                let runtime = &runtime;
                scope.spawn(move || {
                    let bytes = noise(10_000, seed);
                    let done = within(runtime.copy(bytes.clone(), vec![0; 10_000])).expect("the other queue");
                    assert!(done.buffers.1 == bytes);
                    assert_eq!(queue_of(done.report.path), "q1");
                });
            }
        });
        assert_eq!(devices[0].stats().accepted, 0);
        assert!(matches!(state(&runtime, 0), QueueState::Out { why: QueueFault::Refusing, .. }));
        assert_eq!((state(&runtime, 1), runtime.snapshot().queues[0].outs), (QueueState::Up, 1));
    }
}

#[test]
fn a_queue_comes_back_when_a_probe_is_answered() {
    for completion in BOTH {
        let (bad, refuses) = refusing(completion);
        let (runtime, devices) = runtime(vec![bad, well(completion)], quick);
        take_out_first(&runtime);
        until("it has been probed in vain", || {
            matches!(state(&runtime, 0), QueueState::Out { probes: 2.., .. })
        });
        refuses.store(false, Ordering::SeqCst);
        until("it is back", || state(&runtime, 0) == QueueState::Up);
        let before = devices[0].stats().accepted;
        spread(&runtime, 8);
        assert!(devices[0].stats().accepted > before, "it is used again");
    }
}

/// Uses every queue, from threads enough that each is somebody's.
fn spread(runtime: &Runtime, threads: u64) {
    std::thread::scope(|scope| {
        for i in 0..threads {
            scope.spawn(move || within(runtime.fill(vec![0; 8], i)).expect("a fill"));
        }
    });
}

fn take_out_first(runtime: &Runtime) {
    until("the first queue is out", || {
        spread(runtime, 2);
        state(runtime, 0) != QueueState::Up
    });
}

#[test]
fn a_sole_queue_that_was_slow_is_used_again_at_once() {
    for completion in BOTH {
        let (bad, refuses) = refusing(completion);
        let (runtime, _devices) = runtime(vec![bad], quick);
        let failed = within(runtime.fill(vec![3; 8], 1)).expect_err("refused");
        assert!(matches!(failed.error, Error::Refused { tries: 20, .. }), "{failed:?}");
        assert_eq!(failed.buffers, Some(vec![3; 8]));
        refuses.store(false, Ordering::SeqCst);
        within(runtime.fill(vec![3; 8], 1)).expect("there is no other");
        until("it is up", || state(&runtime, 0) == QueueState::Up);
    }
}

#[test]
fn a_dead_queue_says_so_in_the_error() {
    let dead = Options::all(
        Completion::Notified,
        Plan { fail: Some(Failure::Queue(QueueFault::Untrusted)), ..Plan::done(When::Inline) },
    );
    let (runtime, devices) = runtime(vec![dead], quick);
    for _ in 0..3 {
        let failed = within(runtime.fill(vec![3; 8], 1)).expect_err("dead");
        let Error::QueueOut { queue, why: QueueFault::Untrusted, .. } = failed.error else {
            panic!("{failed:?}")
        };
        assert_eq!(queue.as_str(), "q0");
        assert_eq!(failed.buffers, Some(vec![3; 8]));
    }
    assert_eq!(devices[0].stats().offered, 1, "it was asked once");
    assert!(matches!(state(&runtime, 0), QueueState::Out { why: QueueFault::Untrusted, probes: 0, .. }));
}

#[test]
fn detours_have_a_bound() {
    let all_bad = || refusing(Completion::Notified).0;
    let (runtime, devices) = runtime(vec![all_bad(), all_bad(), all_bad(), all_bad()], |config| {
        quick(config);
        config.probe_after_min = Duration::from_secs(60);
        config.detours_max = 1;
    });
    let failed = within(runtime.fill(vec![9; 8], 1)).expect_err("nobody takes it");
    assert!(matches!(failed.error, Error::Refused { .. }), "{failed:?}");
    assert_eq!(failed.buffers, Some(vec![9; 8]));
    let asked = devices.iter().filter(|device| device.stats().refused != 0).count();
    assert_eq!(asked, 2);
}

#[test]
fn batches_groups_and_scopes_go_elsewhere_as_well() {
    for completion in BOTH {
        let (bad, _) = refusing(completion);
        let (runtime, _devices) = runtime(vec![bad, well(completion)], |config| {
            quick(config);
            config.probe_after_min = Duration::from_millis(1);
            config.probe_after_max = Duration::from_millis(1);
        });
        std::thread::scope(|scope| {
            for i in 0..4_u64 {
                let runtime = &runtime;
                scope.spawn(move || {
                    let mut batch = Batch::<Vec<u8>, Vec<u8>>::with_capacity(4);
                    (0..4).for_each(|_| batch.fill(vec![0; 8], i).expect("room"));
                    let mut done = within(runtime.run_batch(batch)).expect("the other queue").buffers;
                    assert!(done.drain().all(|member| member.result.is_ok()));

                    let mut group = Group::<Vec<u8>, Vec<u8>>::new(runtime, GroupOptions::default());
                    (0..40).for_each(|_| group.fill(vec![0; 8], i).expect("room"));
                    let done = std::iter::from_fn(|| within(group.next()));
                    assert_eq!(done.inspect(|done| assert!(done.result.is_ok(), "{done:?}")).count(), 40);

                    let mut bytes = vec![0; 8];
                    runtime.scope(|scope| scope.fill(&mut bytes, i).expect("room").wait().expect("a fill"));
                    assert_eq!(bytes, i.to_le_bytes());
                });
            }
        });
    }
}

#[test]
fn a_silent_queue_is_taken_out_and_back_when_it_answers() {
    for completion in BOTH {
        let silent = Options::all(completion, Plan::done(When::Held));
        let (runtime, devices) = runtime(vec![silent, well(completion)], |config| {
            quick(config);
            config.answer_within = Duration::from_millis(20);
        });
        until("somebody hears that it is silent", || {
            std::thread::scope(|scope| {
                for i in 0..2 {
                    let runtime = &runtime;
                    scope.spawn(move || {
                        if let Err(failed) = within(runtime.fill(vec![0; 8], i)) {
                            assert!(matches!(failed.error, Error::NoAnswer { .. }), "{failed:?}");
                        }
                    });
                }
            });
            matches!(state(&runtime, 0), QueueState::Out { why: QueueFault::Silent, .. })
        });
        for i in 0..20 {
            let done = within(runtime.fill(vec![0; 8], i)).expect("the other");
            assert_eq!(queue_of(done.report.path), "q1");
        }
        until("it answers late, and is back", || {
            devices[0].release_all();
            state(&runtime, 0) == QueueState::Up
        });
        devices[0].release_all();
    }
}

#[test]
fn those_in_line_for_a_queue_that_is_taken_out_go_elsewhere() {
    // One slot, which is held; the others stand in line until its silence is noticed.
    let silent = Options::all(Completion::Notified, Plan::done(When::Held)).depth(1);
    let (runtime, devices) = runtime(vec![silent, well(Completion::Notified)], |config| {
        quick(config);
        config.answer_within = Duration::from_millis(100);
    });
    let results = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for i in 0..8 {
            let (runtime, results) = (&runtime, &results);
            scope.spawn(move || match within(runtime.fill(vec![0; 8], i)) {
                Ok(done) => {
                    assert_eq!(queue_of(done.report.path), "q1");
                    results.fetch_add(1, Ordering::SeqCst);
                }
                Err(failed) => assert!(matches!(failed.error, Error::NoAnswer { .. }), "{failed:?}"),
            });
        }
    });
    assert!(results.load(Ordering::SeqCst) >= 7);
    devices[0].release_all();
}

/// What would take the bound on waiting once more takes the time the queue has left.
#[test]
fn those_in_line_do_not_wait_longer_than_the_queue_is_in_use() {
    let silent = Options::all(Completion::Notified, Plan::done(When::Held)).depth(1);
    let (runtime, devices) = runtime(vec![silent, well(Completion::Notified)], |config| {
        quick(config);
        config.answer_within = Duration::from_secs(8);
    });
    let mut first = None;
    until("the silent queue has a job", || {
        let runtime = runtime.clone();
        let mut task = Task::new(async move { runtime.fill(vec![0; 8], 1).await });
        let has_begun = std::thread::spawn(move || {
            let _ = task.poll();
            task
        });
        let task = has_begun.join().expect("no panic");
        if devices[0].stats().accepted == 0 {
            return false;
        }
        first = Some(task);
        true
    });
    // The queue is out 3 s after this. Who waited the whole bound would be at it for 8 s.
    std::thread::sleep(Duration::from_secs(5));
    let begun = std::time::Instant::now();
    std::thread::scope(|scope| {
        for i in 0..8 {
            let runtime = &runtime;
            scope.spawn(move || within(runtime.fill(vec![0; 8], i)).expect("the other queue"));
        }
    });
    assert!(begun.elapsed() < Duration::from_secs(7), "{:?}", begun.elapsed());
    devices[0].release_all();
    drop(first);
}

/// A queue that says it is dead, until it is not: only a probe finds out.
#[test]
fn a_halted_device_comes_back_by_a_probe_alone() {
    let halted = Arc::new(AtomicBool::new(true));
    let told = Arc::clone(&halted);
    let options = Options::new(Completion::Polled, move |_, _| {
        let fail = told.load(Ordering::SeqCst).then_some(Failure::Queue(QueueFault::Halted));
        Plan { fail, ..Plan::done(When::Thread) }
    });
    let (runtime, devices) = runtime(vec![options], quick);
    let failed = within(runtime.fill(vec![0; 8], 1)).expect_err("halted");
    assert!(matches!(failed.error, Error::QueueOut { why: QueueFault::Halted, .. }), "{failed:?}");
    until("it is probed in vain", || matches!(state(&runtime, 0), QueueState::Out { probes: 2.., .. }));
    halted.store(false, Ordering::SeqCst);
    until("it is back", || state(&runtime, 0) == QueueState::Up);
    assert_eq!(devices[0].stats().accepted, 1, "a probe");
    within(runtime.fill(vec![0; 8], 1)).expect("it works again");
}

/// A device that restarts again and again, each time for less than the time between two probes.
#[test]
fn a_queue_is_used_again_as_soon_as_its_driver_says_so_however_often() {
    for completion in BOTH {
        let (runtime, devices) = runtime(vec![well(completion), well(completion)], |config| {
            // Longer than this waits for anything.
            config.probe_after_min = Duration::from_secs(600);
            config.probe_after_max = Duration::from_secs(600);
        });
        for outage in 1..=5 {
            devices[0].say(Some(QueueFault::Disabled));
            take_out_first(&runtime);
            assert!(matches!(state(&runtime, 0), QueueState::Out { why: QueueFault::Disabled, .. }));
            devices[0].say(None);
            until("it is back", || state(&runtime, 0) == QueueState::Up);
            let before = devices[0].stats().accepted;
            spread(&runtime, 8);
            assert!(devices[0].stats().accepted > before, "outage {outage}");
        }
    }
}

#[test]
fn threads_share_the_queues_between_them() {
    let (runtime, devices) = runtime((0..4).map(|_| well(Completion::Notified)).collect(), |_| {});
    spread(&runtime, 16);
    for device in &devices {
        assert!(device.stats().accepted >= 2, "{:?}", device.stats().accepted);
    }
}

#[test]
fn one_thread_uses_other_queues_when_its_own_has_much_to_do() {
    let held = || Options::all(Completion::Notified, Plan::done(When::Held)).depth(64);
    let (runtime, devices) = runtime((0..4).map(|_| held()).collect(), |_| {});
    let mut tasks: Vec<_> = (0..40).map(|i| Task::new(runtime.fill(vec![0; 64 << 10], i))).collect();
    tasks.iter_mut().for_each(Task::poll_pending);
    for device in &devices {
        let accepted = device.stats().accepted;
        assert!((4..=20).contains(&accepted), "{accepted} of 40");
        device.release_all();
    }
    tasks.into_iter().for_each(|task| drop(task.finish()));
    assert!(runtime.snapshot().queues.iter().all(|queue| queue.load == 0), "what was counted is counted off");
    // This thread's own queue has its next job again.
    let done = (0..4).map(|_| {
        let task = Task::new(runtime.fill(vec![0; 8], 1));
        let mut task = task;
        task.poll_pending();
        devices.iter().for_each(Device::release_all);
        queue_of(task.finish().expect("a fill").report.path)
    });
    let done: Vec<_> = done.collect();
    assert!(done.iter().all(|queue| *queue == done[0]), "{done:?}");
}

#[test]
fn operations_that_only_one_queue_does_go_there() {
    let mut first = well(Completion::Notified);
    first.operations = first.operations.without(svala::Operation::Fill);
    let (runtime, _devices) = runtime(vec![first, well(Completion::Notified)], |_| {});
    std::thread::scope(|scope| {
        for i in 0..4 {
            let runtime = &runtime;
            scope.spawn(move || {
                let done = within(runtime.fill(vec![0; 8], i)).expect("the second does it");
                assert_eq!(queue_of(done.report.path), "q1");
            });
        }
    });
}
