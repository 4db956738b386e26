//! Futures that are dropped, at every point.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use qat_emu::{Action, FaultPlan, Model};
use svala::{Check, DeflateOptions, block_on};

use crate::support::{Machine, inflate, stream, text, until};

const HOW: DeflateOptions = DeflateOptions { level: 1, last: true, check: Check::None };

fn idle(machine: &Machine) {
    until("everything ends", || machine.runtime.snapshot().queues[0].in_flight == 0);
}

/// Polled so many times, then dropped: before it is sent, in flight, between parts, done.
#[test]
fn a_future_may_be_dropped_at_every_point() {
    let machine = Machine::new(FaultPlan::default().every(3, 0, Action::Late(2)));
    let data = text(200_000, 1);
    for polls in 0..40 {
        {
            let mut future = pin!(machine.runtime.deflate(data.clone(), vec![0; 300_000], HOW));
            for _ in 0..polls {
                if let Poll::Ready(done) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                    assert_eq!(inflate(stream(&done.expect("compresses"))), data);
                    break;
                }
                std::thread::yield_now();
            }
        }
        let done =
            block_on(machine.runtime.deflate(data.clone(), vec![0; 300_000], HOW)).expect("compresses");
        assert_eq!(inflate(stream(&done)), data);
    }
    idle(&machine);
    machine.assert_clean();
}

#[test]
fn dropped_requests_that_are_never_answered_free_their_slots_after_the_reset() {
    let machine = Machine::new(FaultPlan::default().every(2, 0, Action::NeverAnswers));
    let data = text(1000, 1);
    let free = machine.arena.free_bytes();
    for _ in 0..8 {
        let mut future = pin!(machine.runtime.deflate(data.clone(), vec![0; 4096], HOW));
        // Every other one is answered, perhaps at once.
        let _ = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    }
    until("the bounce buffers are back", || machine.arena.free_bytes() == free);
    machine.assert_clean();
    assert!(machine.function.device().stats().late_writes > 0);
}

#[test]
fn a_runtime_may_go_with_requests_in_flight() {
    for _ in 0..20 {
        let machine = Machine::of(Model::Gen4);
        let function = std::sync::Arc::clone(&machine.function);
        let mut futures: Vec<_> = (0..10)
            .map(|index| Box::pin(machine.runtime.deflate(text(50_000, index), vec![0; 80_000], HOW)))
            .collect();
        for future in &mut futures {
            let _ = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        }
        drop(futures);
        drop(machine);
        let stats = function.device().stats();
        assert_eq!((stats.malformed, stats.bad_accesses, stats.late_faults), (0, 0, 0), "{stats:?}");
    }
}
