//! Devices that do not answer: whoever waits hears of it, and the memory stays until they do.

mod support;

use std::time::Duration;

use support::{BOTH, Drops, Options, Plan, Task, When, until, within};
use svala::backend::Completion;
use svala::{Error, QueueFault, Runtime};

fn impatient(options: Options) -> (Runtime, support::Device) {
    support::runtime_with(options, |config| {
        config.answer_within = Duration::from_millis(1);
        config.drain_within = Duration::from_millis(20);
    })
}

#[test]
fn no_answer_keeps_the_buffers_until_there_is_one() {
    for completion in BOTH {
        let (runtime, device) = impatient(Options::all(completion, Plan::done(When::Held)));
        let drops = Drops::default();
        let (src, dst) = (drops.buffer(&device, vec![7; 5000]), drops.buffer(&device, vec![0; 5000]));
        let failed = within(runtime.copy(src, dst)).err().expect("no answer");
        assert!(matches!(failed.error, Error::NoAnswer { .. }), "{failed:?}");
        assert!(failed.buffers.is_none());
        assert_eq!(drops.count(), 0);
        // The device writes after all, into memory that is still there, and then it goes.
        device.release(0);
        until("the buffers go", || drops.count() == 2);
        device.check();
        assert_eq!(runtime.snapshot().queues[0].abandoned, 1);
    }
}

/// More silent operations than one round of the completion thread has room to tell: everybody hears, also with
/// as many left behind before.
#[test]
fn everybody_hears_of_a_silent_device() {
    for completion in BOTH {
        // All of them are under way before the first has waited too long: the queue is out from then on.
        let options = Options::all(completion, Plan::done(When::Held)).depth(100);
        let (runtime, device) = support::runtime_with(options, |config| {
            config.answer_within = Duration::from_millis(700);
            config.drain_within = Duration::from_millis(20);
        });
        for _ in 0..2 {
            let mut tasks: Vec<_> = (0..50).map(|i| Task::new(runtime.fill(vec![0; 10], i))).collect();
            for task in &mut tasks {
                task.poll_pending();
            }
            for task in tasks {
                let failed = task.finish().expect_err("no answer");
                assert!(matches!(failed.error, Error::NoAnswer { .. }), "{failed:?}");
            }
        }
        device.release_all();
        device.wait("all land", |stats| stats.fetched == 100);
        assert_eq!(runtime.shutdown().unanswered, 0);
    }
}

/// An answer between the bound and the look is an answer.
#[test]
fn a_late_answer_before_the_look_counts() {
    let (runtime, device) = impatient(Options::all(Completion::Notified, Plan::done(When::Held)));
    let mut task = Task::new(runtime.fill(vec![0; 10], 3));
    task.poll_pending();
    task.wait_woken();
    device.release(0);
    until("the slot is off the list", || runtime.snapshot().queues[0].in_flight == 0);
    assert_eq!(task.finish().expect("done in the end").buffers[0], 3);
}

/// Shutting down reports what is unanswered; the runtime goes; the device writes later, and nothing was freed
/// under it. Then the memory goes, too.
#[test]
fn what_is_unanswered_at_the_end_is_leaked() {
    for completion in BOTH {
        let (runtime, device) = impatient(Options::all(completion, Plan::done(When::Held)));
        let drops = Drops::default();
        let (src, dst) = (drops.buffer(&device, vec![7; 5000]), drops.buffer(&device, vec![0; 5000]));
        let mut task = Task::new(runtime.copy(src, dst));
        task.poll_pending();
        drop(task);
        assert_eq!(runtime.shutdown().unanswered, 1);
        drop(runtime);
        assert!(device.stats().closed);
        assert_eq!(drops.count(), 0);
        device.release(0);
        // Its own thread sees the end of a queue that notifies. The other is not looked at any more.
        if completion == Completion::Notified {
            until("the buffers go", || drops.count() == 2);
        }
        device.check();
    }
}

/// A scope cannot return while a device may write to what it borrowed.
#[test]
fn a_scope_waits_for_a_late_answer() {
    let (runtime, device) = impatient(Options::all(Completion::Polled, Plan::done(When::Held)));
    let mut bytes = vec![0; 100];
    std::thread::scope(|threads| {
        let (error, told) = std::sync::mpsc::channel();
        let device = &device;
        threads.spawn(move || {
            let error: Error = told.recv().expect("the scope's operation ends");
            assert!(matches!(error, Error::NoAnswer { .. }));
            device.release(0);
        });
        runtime.scope(|scope| {
            let ended = scope.fill(&mut bytes, u64::MAX).expect("room").wait();
            error.send(ended.expect_err("no answer")).expect("the other thread listens");
        });
    });
    assert_eq!(bytes, [0xff; 100], "the device was done when the scope returned");
}

/// Every slot is held by an operation that is not answered: who waits for one hears of it, with the buffers.
#[test]
fn waiting_for_a_slot_has_a_bound() {
    for completion in BOTH {
        let (runtime, device) = impatient(Options::all(completion, Plan::done(When::Held)).depth(1));
        let mut silent = Task::new(runtime.fill(vec![0; 10], 1));
        silent.poll_pending();
        let failed = within(runtime.fill(vec![3; 10], 2)).expect_err("no slot");
        let (busy, silent_queue) = (
            matches!(failed.error, Error::Busy { .. }),
            matches!(failed.error, Error::QueueOut { why: QueueFault::Silent, .. }),
        );
        assert!(busy || silent_queue, "{failed:?}");
        assert_eq!(failed.buffers, Some(vec![3; 10]));
        device.release_all();
        let _ = silent.finish();
    }
}
