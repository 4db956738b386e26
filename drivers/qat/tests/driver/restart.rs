//! Restarts of the device and resets of ring pairs, under load.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use qat_emu::{Action, DeviceConfig, FaultPlan};
use svala::{Check, DeflateOptions, Path, Runtime, block_on};

use crate::support::{all, impatient, inflate, stream, text, until};

const HOW: DeflateOptions = DeflateOptions { level: 1, last: true, check: Check::None };

fn machine(plan: FaultPlan) -> (Runtime, std::sync::Arc<svala_qat::EmulatedFunction>) {
    let device = DeviceConfig { plan, restart_patience: Duration::from_secs(60), ..DeviceConfig::default() };
    let (queue, function) = svala_qat::emulated(device, impatient()).expect("a function");
    let cpu = svala_software::SoftwareQueue::new(svala_software::SoftwareConfig::default()).expect("a CPU");
    let config = |config: &mut svala::Config| config.probe_after_min = Duration::from_millis(5);
    (Runtime::builder().queue(queue).queue(cpu).config(config).build().expect("a runtime"), function)
}

#[test]
fn work_goes_on_through_restarts() {
    let (runtime, function) = machine(FaultPlan::default());
    let stop = AtomicBool::new(false);
    let (by_device, by_cpu) = (AtomicU64::new(0), AtomicU64::new(0));
    let data = text(20_000, 1);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let done =
                        block_on(runtime.deflate(data.clone(), vec![0; 40_000], HOW)).expect("compresses");
                    assert_eq!(inflate(stream(&done)), data);
                    match done.report.path {
                        Path::Emulated { .. } => by_device.fetch_add(1, Ordering::Relaxed),
                        _ => by_cpu.fetch_add(1, Ordering::Relaxed),
                    };
                }
            });
        }
        for restart in 1..=5 {
            let before = by_device.load(Ordering::Relaxed);
            until("the device works", || by_device.load(Ordering::Relaxed) > before + 3);
            function.device().restart();
            until("the restart is over", || function.device().stats().restarts == restart);
        }
        let before = by_device.load(Ordering::Relaxed);
        until("the device works after the last restart", || by_device.load(Ordering::Relaxed) > before + 3);
        stop.store(true, Ordering::Relaxed);
    });
    let stats = function.device().stats();
    assert_eq!((stats.rude_restarts, stats.late_faults, stats.malformed), (0, 0, 0), "{stats:?}");
}

#[test]
fn a_restart_with_requests_in_flight_loses_none() {
    let plan = FaultPlan::default().at(3, Action::NeverAnswers).at(4, Action::Restart);
    let (runtime, function) = machine(plan);
    let data = text(5000, 1);
    let futures: Vec<_> =
        (0..12).map(|_| Box::pin(runtime.deflate(data.clone(), vec![0; 9000], HOW))).collect();
    for done in all(futures) {
        assert_eq!(inflate(stream(&done.expect("compresses, there or elsewhere"))), data);
    }
    until("the restart is over", || function.device().stats().restarts == 1);
}

#[test]
fn resets_under_load_end_only_what_was_overdue() {
    let (runtime, function) = machine(FaultPlan::default().every(40, 7, Action::NeverAnswers));
    let data = text(3000, 1);
    let (good, bad) = (AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..40 {
                    match block_on(runtime.deflate(data.clone(), vec![0; 6000], HOW)) {
                        Ok(done) => {
                            assert_eq!(inflate(stream(&done)), data);
                            good.fetch_add(1, Ordering::Relaxed);
                        }
                        Err(failed) => {
                            assert!(failed.error.to_string().contains("ring pair reset"), "{}", failed.error);
                            assert!(failed.buffers.is_some());
                            bad.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                }
            });
        }
    });
    let stats = function.device().stats();
    assert!(stats.resets > 0 && bad.load(Ordering::Relaxed) > 0, "{stats:?}");
    assert!(bad.load(Ordering::Relaxed) <= stats.late_writes, "{stats:?}");
    assert_eq!(good.load(Ordering::Relaxed) + bad.load(Ordering::Relaxed), 160);
    assert_eq!((stats.late_faults, stats.malformed), (0, 0), "{stats:?}");
}
