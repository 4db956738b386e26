//! Futures that are dropped, at every point.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use qat_emu::{Action, DeviceConfig, FaultPlan, Model};
use svala::{Check, DeflateOptions, block_on};

use crate::support::{Kind, Machine, impatient, text, until};

const HOW: DeflateOptions = DeflateOptions { level: 1, last: true, check: Check::None };

fn idle(machine: &Machine) {
    until("everything ends", || machine.runtime.snapshot().queues[0].in_flight == 0);
}

/// With ring pairs for both services.
fn machine(plan: FaultPlan) -> Machine {
    Machine::with(DeviceConfig { plan, ..DeviceConfig::default() }.with_ciphers(), impatient())
}

/// Polled so many times, then dropped: before it is sent, in flight, between parts, between there and back, done.
#[test]
fn a_future_may_be_dropped_at_every_point() {
    let data = text(200_000, 1);
    for kind in Kind::ALL {
        let machine = machine(FaultPlan::default().every(3, 0, Action::Late(2)));
        let free = machine.arena.free_bytes();
        for polls in 0..40 {
            {
                let mut future = pin!(kind.run(&machine.runtime, &data));
                for _ in 0..polls {
                    if let Poll::Ready(done) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                        done.expect("does well");
                        break;
                    }
                    std::thread::yield_now();
                }
            }
            block_on(kind.run(&machine.runtime, &data)).expect("does well");
        }
        idle(&machine);
        until("bounce buffers and keys are back", || machine.arena.free_bytes() == free);
        machine.assert_clean();
    }
}

#[test]
fn dropped_requests_that_are_never_answered_free_their_slots_after_the_reset() {
    for kind in Kind::ALL {
        let machine = machine(FaultPlan::default().every(2, 0, Action::NeverAnswers));
        let data = text(1000, 1);
        let free = machine.arena.free_bytes();
        for _ in 0..8 {
            let mut future = pin!(kind.run(&machine.runtime, &data));
            // Every other one is answered, perhaps at once.
            let _ = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        }
        until("bounce buffers and keys are back", || machine.arena.free_bytes() == free);
        machine.assert_clean();
        assert!(machine.function.device().stats().late_writes > 0, "{kind:?}");
    }
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
