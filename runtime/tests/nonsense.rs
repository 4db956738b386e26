//! Devices that answer what they should not.

mod support;

use support::{BOTH, End, Options, Plan, Task, When, until, within};
use svala::{Error, Value};

/// The answer of another operation is the device's mistake, not a result.
#[test]
fn a_value_of_another_operation_is_nonsense() {
    for completion in BOTH {
        let wrong = |value| Options::all(completion, Plan::done(When::Thread).end(End::Value(value)));
        let nonsense = |error: &Error| matches!(error, Error::Nonsense { .. });
        let (runtime, _device) = support::runtime(wrong(Value::Crc(1)));
        assert!(nonsense(&within(runtime.fill(vec![0; 9], 1)).expect_err("nonsense").error));
        let failed = within(runtime.copy(vec![1; 9], vec![2; 9])).expect_err("nonsense");
        assert!(nonsense(&failed.error));
        assert!(failed.buffers.is_some());
        assert!(nonsense(&within(runtime.compare(vec![1; 9], vec![2; 9])).expect_err("nonsense").error));
        assert!(within(runtime.crc32c(vec![1; 9], 0)).is_ok());
        let (runtime, _device) = support::runtime(wrong(Value::None));
        assert!(nonsense(&within(runtime.crc32c(vec![1; 9], 0)).expect_err("nonsense").error));
    }
}

/// Notifications without a completion, before, during and after an operation.
#[test]
fn notifications_without_reason_are_harmless() {
    let options = Options::new(svala::backend::Completion::Notified, |n, _| {
        Plan::by_turns(n, [When::Held, When::Thread])
    });
    let (runtime, device) = support::runtime(options.depth(2));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| (0..2000).for_each(|_| device.notify()));
        }
        for round in 0..50 {
            let mut task = Task::new(runtime.fill(vec![0; 10], 7));
            task.poll_pending();
            device.notify();
            device.release(2 * round);
            assert_eq!(task.finish().expect("a fill").buffers[0], 7);
            within(runtime.fill(vec![0; 10], 7)).expect("a fill");
            device.notify();
        }
    });
    assert_eq!(device.stats().fetched, 100);
    until("counted", || runtime.snapshot().queues[0].operations == 100);
}

/// A queue that notifies from within its own calls, on the caller's thread.
#[test]
fn notifying_while_it_is_polled_is_harmless() {
    let options = Options::new(svala::backend::Completion::Notified, |n, _| {
        match u32::try_from(n % 5).expect("small") {
            0 => Plan::done(When::Thread),
            polls => Plan::done(When::DuringPoll(polls)),
        }
    });
    let (runtime, _device) = support::runtime(options.depth(2));
    for i in 0..40 {
        assert_eq!(within(runtime.fill(vec![0; 8], i)).expect("a fill").buffers, i.to_le_bytes());
    }
}
