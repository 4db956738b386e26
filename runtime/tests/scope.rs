//! Borrowed memory: the scope returns when nobody uses it any more.

mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};

use support::{BOTH, Cold, Options, Plan, When, crc32c, noise};
use svala::backend::Completion;
use svala::{Error, FaultPolicy, IoBuf, Value};

#[test]
fn results_of_every_operation() {
    for (completion, when) in
        BOTH.into_iter().flat_map(|c| [When::Inline, When::Thread, When::Polls(3)].map(|w| (c, w)))
    {
        let (runtime, _device) = support::runtime(Options::all(completion, Plan::done(when)));
        let src = noise(5000, 1);
        let (mut copied, mut filled) = (vec![0; 5000], vec![0; 20]);
        let (crc, difference) = runtime.scope(|scope| {
            let copy = scope.copy(&src, &mut copied).expect("room");
            let fill = scope.fill(&mut filled, 0x0807_0605_0403_0201).expect("room");
            let crc = scope.crc32c(&src, 3).expect("room");
            let compare = scope.compare(&src, &src[..]).expect("room");
            // Waited for in another order.
            let (difference, _) = compare.wait().expect("a comparison");
            let (crc, report) = crc.wait().expect("a crc");
            assert_eq!(report.bytes, 5000);
            assert_eq!(copy.wait().expect("a copy").0, Value::None);
            fill.wait().expect("a fill");
            (crc, difference)
        });
        assert_eq!((crc, difference), (Value::Crc(crc32c(3, &src).into()), Value::Difference(None)));
        assert_eq!(copied, src);
        assert_eq!(filled[..9], [1, 2, 3, 4, 5, 6, 7, 8, 1]);
    }
}

#[test]
fn empty_slices_go_nowhere() {
    let (runtime, device) = support::runtime(Options::all(Completion::Polled, Plan::done(When::Thread)));
    runtime.scope(|scope| {
        assert_eq!(scope.copy(&[], &mut []).expect("empty").wait().expect("empty").0, Value::None);
        assert_eq!(scope.crc32c(&[], 9).expect("empty").wait().expect("empty").0, Value::Crc(9));
        let compared = scope.compare(&[], &[]).expect("empty").wait().expect("empty");
        assert_eq!(compared.0, Value::Difference(None));
        assert!(matches!(scope.compare(&[], &[1]).expect_err("unequal"), Error::Length { .. }));
    });
    assert_eq!(device.stats().offered, 0);
}

/// Handles that are dropped or leaked: the operations are done all the same when the scope returns, also those
/// that met a fault or a full queue.
#[test]
fn what_nobody_waits_for_is_done_at_the_end() {
    for (completion, policy) in
        BOTH.into_iter().flat_map(|c| [FaultPolicy::Resolve, FaultPolicy::Prefetch].map(|p| (c, p)))
    {
        let options =
            Options::new(completion, |n, _| Plan::cold(When::Thread).refuse(if n % 2 == 0 { 0 } else { 5 }));
        let (runtime, _device) = support::runtime_with(options, |config| config.faults = policy);
        let src = noise(50_000, 2);
        let mut dst: Vec<Cold> = (0..8).map(|_| Cold::new(50_000)).collect();
        runtime.scope(|scope| {
            for (i, dst) in dst.iter_mut().enumerate() {
                let handle = scope.copy(&src, svala::IoBufMut::bytes_mut(dst)).expect("room");
                if i % 2 == 0 {
                    let _ = handle;
                } else {
                    Box::leak(Box::new(handle));
                }
            }
        });
        for dst in dst {
            assert_eq!(dst.bytes(), src);
        }
    }
}

/// The body panics with operations in flight: the scope ends when the device is done, and the panic goes on.
#[test]
fn a_panic_in_the_body_waits_for_the_device() {
    for completion in BOTH {
        let (runtime, device) = support::runtime(Options::all(completion, Plan::done(When::Held)));
        let mut dst = vec![0; 1000];
        std::thread::scope(|threads| {
            let (begun, begin) = std::sync::mpsc::channel();
            let device = &device;
            threads.spawn(move || {
                begin.recv().expect("the body begins");
                device.release(0);
            });
            let result = catch_unwind(AssertUnwindSafe(|| {
                runtime.scope(|scope| {
                    let _handle = scope.fill(&mut dst, u64::MAX).expect("room");
                    begun.send(()).expect("the thread waits");
                    panic!("the body, on purpose");
                })
            }));
            assert_eq!(
                *result.expect_err("the panic goes on").downcast::<&str>().expect("a word"),
                "the body, on purpose"
            );
        });
        assert_eq!(dst, [0xff; 1000], "the device was done when the scope ended");
        assert_eq!(device.stats().fetched, 1);
    }
}

/// More operations than slots: the scope says so, as nobody else will give one of its own back.
#[test]
fn without_a_slot_the_scope_is_busy() {
    for completion in BOTH {
        let (runtime, device) = support::runtime(Options::all(completion, Plan::done(When::Thread)).depth(2));
        let mut dst = [0; 30];
        let (first, rest) = dst.split_at_mut(10);
        let (second, third) = rest.split_at_mut(10);
        runtime.scope(|scope| {
            let one = scope.fill(first, 1).expect("room");
            let _two = scope.fill(second, 2).expect("room");
            assert!(matches!(scope.crc32c(b"abc", 0).expect_err("no slot"), Error::Busy { .. }));
            one.wait().expect("a fill");
            scope.fill(third, 3).expect("a slot is back").wait().expect("a fill");
        });
        assert_eq!((dst[0], dst[10], dst[20]), (1, 2, 3));
        assert_eq!(device.stats().accepted, 3);
    }
}

/// Slots that others hold are waited for.
#[test]
fn scopes_share_slots_with_each_other() {
    for completion in BOTH {
        let (runtime, _device) =
            support::runtime(Options::all(completion, Plan::done(When::Thread)).depth(2));
        std::thread::scope(|threads| {
            for _ in 0..6 {
                threads.spawn(|| {
                    for i in 0..50 {
                        let mut dst = [0; 16];
                        runtime.scope(|scope| scope.fill(&mut dst, i).expect("room").wait().expect("a fill"));
                        assert_eq!(dst[8..], i.to_le_bytes());
                    }
                });
            }
        });
    }
}

/// A scope's operations count as under way, whether or not somebody waits for them yet.
#[test]
fn shutting_down_waits_for_a_scope() {
    let (runtime, device) = support::runtime(Options::all(Completion::Polled, Plan::done(When::Held)));
    let other = runtime.clone();
    let mut dst = [0; 100];
    std::thread::scope(|threads| {
        let (begun, begin) = std::sync::mpsc::channel();
        let (go, gone) = std::sync::mpsc::channel();
        threads.spawn(move || {
            begin.recv().expect("the scope begins");
            go.send(()).expect("the scope waits");
            assert_eq!(other.shutdown().unanswered, 0);
        });
        runtime.scope(|scope| {
            let handle = scope.fill(&mut dst, 1).expect("room");
            begun.send(()).expect("the thread waits");
            gone.recv().expect("the thread goes on");
            device.release(0);
            handle.wait().expect("a fill");
        });
    });
}
