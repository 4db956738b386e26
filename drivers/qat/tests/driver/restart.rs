//! Restarts of the device and resets of ring pairs, under load.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use qat_emu::{Action, DeviceConfig, FaultPlan, PfFaults};
use svala::{Path, Runtime, block_on};

use crate::support::{Kind, all, impatient, text, until};

fn machine(plan: FaultPlan) -> (Runtime, std::sync::Arc<svala_qat::EmulatedFunction>) {
    let device = DeviceConfig { plan, restart_patience: Duration::from_secs(60), ..DeviceConfig::default() };
    let device = device.with_ciphers();
    let (queue, function) = svala_qat::emulated(device, impatient()).expect("a function");
    let cpu = svala_software::SoftwareQueue::new(svala_software::SoftwareConfig::default()).expect("a CPU");
    // Longer than this waits for anything: it is the driver's word that brings the function back.
    let config = |config: &mut svala::Config| {
        config.probe_after_min = Duration::from_secs(600);
        config.probe_after_max = Duration::from_secs(600);
    };
    (Runtime::builder().queue(queue).queue(cpu).config(config).build().expect("a runtime"), function)
}

#[test]
fn work_goes_on_through_restarts() {
    let (runtime, function) = machine(FaultPlan::default());
    let stop = AtomicBool::new(false);
    let by_device = [const { AtomicU64::new(0) }; 3];
    let data = text(20_000, 1);
    // Each kind again, since the last time this was asked.
    let works = |what: &str| {
        let before = by_device.each_ref().map(|count| count.load(Ordering::Relaxed));
        for (count, before) in by_device.iter().zip(before) {
            until(what, || count.load(Ordering::Relaxed) > before + 3);
        }
    };
    std::thread::scope(|scope| {
        for (kind, count) in Kind::ALL.into_iter().zip(&by_device) {
            let (runtime, stop, data) = (&runtime, &stop, &data);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let path = block_on(kind.run(runtime, data)).expect("does well, there or elsewhere");
                    if let Path::Emulated { .. } = path {
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        for restart in 1..=5 {
            works("the device works");
            function.device().restart();
            until("the restart is over", || function.device().stats().restarts == restart);
        }
        works("the device works after the last restart");
        stop.store(true, Ordering::Relaxed);
    });
    let stats = function.device().stats();
    assert_eq!((stats.rude_restarts, stats.late_faults, stats.malformed), (0, 0, 0), "{stats:?}");
}

#[test]
fn a_restart_with_requests_in_flight_loses_none() {
    let plan = FaultPlan::default().at(3, Action::NeverAnswers).at(4, Action::Restart);
    let data = text(5000, 1);
    for kind in Kind::ALL {
        let (runtime, function) = machine(plan.clone());
        let futures = (0..12).map(|_| Box::pin(kind.run(&runtime, &data))).collect();
        for done in all(futures) {
            done.expect("does well, there or elsewhere");
        }
        until("the restart is over", || function.device().stats().restarts == 1);
    }
}

/// A physical function that is slow after a restart is greeted again.
#[test]
fn a_function_is_greeted_until_it_answers() {
    let (runtime, function) = machine(FaultPlan::default());
    let data = text(2000, 1);
    block_on(Kind::Deflate.run(&runtime, &data)).expect("up");
    // More than one greeting tries.
    function.device().set_pf_faults(PfFaults { lost_answers: 4, ..PfFaults::default() });
    function.device().restart();
    until("the device works after the restart", || {
        let path = block_on(Kind::Deflate.run(&runtime, &data)).expect("does well, there or elsewhere");
        function.device().stats().restarts == 1 && matches!(path, Path::Emulated { .. })
    });
}

#[test]
fn resets_under_load_end_only_what_was_overdue() {
    let (runtime, function) = machine(FaultPlan::default().every(40, 7, Action::NeverAnswers));
    let data = text(3000, 1);
    let (good, bad) = (AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for kind in Kind::ALL.into_iter().cycle().take(6) {
            let (runtime, data, good, bad) = (&runtime, &data, &good, &bad);
            scope.spawn(move || {
                for _ in 0..30 {
                    let count = match block_on(kind.run(runtime, data)) {
                        Ok(path) => {
                            assert!(matches!(path, Path::Emulated { .. }), "{path}");
                            good
                        }
                        Err(error) => {
                            assert!(error.to_string().contains("ring pair reset"), "{kind:?}: {error}");
                            bad
                        }
                    };
                    count.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    let stats = function.device().stats();
    assert!(stats.resets > 0 && bad.load(Ordering::Relaxed) > 0, "{stats:?}");
    assert!(bad.load(Ordering::Relaxed) <= stats.late_writes, "{stats:?}");
    assert_eq!(good.load(Ordering::Relaxed) + bad.load(Ordering::Relaxed), 180);
    assert_eq!((stats.late_faults, stats.malformed), (0, 0), "{stats:?}");
}
