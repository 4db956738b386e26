//! Submissions that are not accepted, for a while or for good, and operations that fail.

mod support;

use support::{BOTH, End, Options, Plan, When, noise, within};
use svala::backend::{Completion, Failure};
use svala::{Access, Error, VirtAddr};

#[test]
fn a_busy_queue_is_asked_again() {
    for (completion, when) in BOTH.into_iter().flat_map(|c| [When::Inline, When::Thread].map(|w| (c, w))) {
        let options = Options::all(completion, Plan::done(when).refuse(50));
        let (runtime, device) = support::runtime(options);
        let bytes = noise(1000, 1);
        let done = within(runtime.copy(bytes.clone(), vec![0; 1000])).expect("a copy");
        assert_eq!(done.buffers.1, bytes);
        assert_eq!((device.stats().refused, device.stats().accepted), (50, 1));
    }
}

#[test]
fn refusals_have_a_bound() {
    for completion in BOTH {
        let options = Options::all(completion, Plan::done(When::Thread).refuse(u32::MAX));
        let (runtime, device) = support::runtime_with(options, |config| config.submit_tries_max = 100);
        let failed = within(runtime.fill(vec![9; 10], 1)).expect_err("refused");
        assert!(matches!(failed.error, Error::Refused { tries: 100, .. }), "{failed:?}");
        assert_eq!(failed.buffers, Some(vec![9; 10]));
        assert_eq!(device.stats().refused, 100);
    }
}

/// One job that is refused holds up nobody else.
#[test]
fn a_refused_job_does_not_stop_the_others() {
    for completion in BOTH {
        let options =
            Options::new(completion, |n, _| Plan::done(When::Thread).refuse(if n % 2 == 0 { 20 } else { 0 }));
        let (runtime, _device) = support::runtime(options.depth(4));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for i in 0..20 {
                        let done = within(runtime.fill(vec![0; 8], i)).expect("a fill");
                        assert_eq!(done.buffers, i.to_le_bytes());
                    }
                });
            }
        });
    }
}

/// Every failure of a driver's comes out as the error that is meant, with the buffers, wherever it strikes.
#[test]
fn failures_become_errors() {
    type Expected = fn(&Error) -> bool;
    let addr = VirtAddr::new(0x1000);
    let cases: [(Failure, Expected); 11] = [
        (Failure::Unsupported, |e| matches!(e, Error::Unsupported { .. })),
        (Failure::Address { access: Access::Write, addr, done_bytes: 5 }, |e| {
            matches!(e, Error::Fault { access: Access::Write, done: 5, len: 100, .. })
        }),
        (Failure::Status { status: 0x1f, name: "name", done_bytes: 6 }, |e| {
            matches!(e, Error::Status { status: 0x1f, name: "name", done: 6, len: 100, .. })
        }),
        (Failure::Nonsense { what: "what", record: 77 }, |e| matches!(e, Error::Nonsense { record: 77, .. })),
        (Failure::OutputFull { bytes_max: 3 }, |e| matches!(e, Error::OutputFull { bytes_max: 3, .. })),
        (Failure::Corrupt { offset: 4 }, |e| matches!(e, Error::Corrupt { offset: 4, .. })),
        (Failure::Truncated { len: 8 }, |e| matches!(e, Error::Truncated { len: 8, .. })),
        (Failure::Stream, |e| matches!(e, Error::Stream { .. })),
        (Failure::Vanished { addr }, |e| matches!(e, Error::Vanished { .. })),
        (Failure::Refused { tries: 9 }, |e| matches!(e, Error::Refused { tries: 9, .. })),
        (Failure::Cancelled, |e| matches!(e, Error::Closed { .. })),
    ];
    for (failure, expected) in cases {
        for when in [None, Some(When::Inline), Some(When::Thread), Some(When::Polls(3))] {
            let plan = match when {
                Some(when) => Plan::done(when).end(End::Failed(failure)),
                None => Plan { fail: Some(failure), ..Plan::done(When::Inline) },
            };
            let (runtime, _device) = support::runtime(Options::all(Completion::Polled, plan));
            let failed = within(runtime.fill(vec![0; 100], 1)).expect_err("it fails");
            assert!(expected(&failed.error), "{failure:?} {when:?}: {:?}", failed.error);
            assert!(failed.buffers.is_some());
            assert_eq!(runtime.snapshot().queues[0].failures, 1);
        }
    }
}
