//! Everything goes wrong at once, for a while. `QAT_CHAOS_SECONDS` makes it longer (2 by default).

use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use qat_emu::{Action, DeviceConfig, FaultPlan};
use svala::{Check, DeflateOptions, Runtime, block_on};

use crate::support::{deflate, impatient, inflate, stream, text, until};

#[derive(Debug, Default)]
struct Counts {
    compressed: AtomicU64,
    expanded: AtomicU64,
    failed: AtomicU64,
    dropped: AtomicU64,
}

fn seconds() -> u64 {
    std::env::var("QAT_CHAOS_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(2)
}

/// Nothing is answered wrongly, no memory is released early, and nothing is lost: every operation ends, or was dropped.
#[test]
fn nothing_is_lost_or_wrong_when_everything_fails() {
    let plan = FaultPlan::default()
        .every(97, 3, Action::NeverAnswers)
        .every(11, 2, Action::Late(7))
        .every(23, 5, Action::Overflow)
        .every(29, 7, Action::CnvFailure)
        .every(31, 8, Action::CnvRecovered)
        .every(37, 9, Action::SliceHang)
        .every(41, 10, Action::StrayAnswer)
        .every(43, 11, Action::Twice)
        .every(47, 12, Action::StrayInterrupt)
        .every(53, 13, Action::Boasts)
        .every(59, 14, Action::NotValid)
        .every(397, 15, Action::Restart);
    let (queue, function) =
        svala_qat::emulated(DeviceConfig { plan, ..DeviceConfig::default() }, impatient())
            .expect("a function");
    let cpu = svala_software::SoftwareQueue::new(svala_software::SoftwareConfig::default()).expect("a CPU");
    let config = |config: &mut svala::Config| config.probe_after_min = Duration::from_millis(5);
    let runtime = Runtime::builder().queue(queue).queue(cpu).config(config).build().expect("a runtime");
    let counts = Counts::default();
    let end = Instant::now() + Duration::from_secs(seconds());
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (runtime, counts) = (&runtime, &counts);
            scope.spawn(move || worker(runtime, counts, thread, end));
        }
    });
    until("everything ends", || runtime.snapshot().queues.iter().all(|queue| queue.in_flight == 0));
    let stats = function.device().stats();
    println!("{counts:?}\n{stats:?}\n{:?}", runtime.snapshot());
    assert_eq!((stats.malformed, stats.bad_accesses, stats.late_faults), (0, 0, 0), "{stats:?}");
    assert!(counts.compressed.load(Ordering::Relaxed) > 0 && counts.expanded.load(Ordering::Relaxed) > 0);
    assert_eq!(runtime.shutdown().unanswered, 0);
}

fn worker(runtime: &Runtime, counts: &Counts, thread: u64, end: Instant) {
    let how = DeflateOptions { level: 1, last: true, check: Check::Crc32 };
    let mut round = thread;
    while Instant::now() < end {
        round += 4;
        let data = text(100 + usize::try_from(round * 977 % 40_000).expect("small"), round);
        match round % 5 {
            0 | 1 => match block_on(runtime.deflate(data.clone(), vec![0; data.len() * 2 + 2048], how)) {
                Ok(done) => {
                    assert_eq!(inflate(stream(&done)), data, "round {round}");
                    counts.compressed.fetch_add(1, Ordering::Relaxed);
                }
                Err(failed) => {
                    assert!(failed.buffers.is_some(), "{}", failed.error);
                    counts.failed.fetch_add(1, Ordering::Relaxed);
                }
            },
            2 | 3 => match block_on(runtime.inflate(deflate(&data), vec![0; data.len()], Check::None)) {
                Ok(done) => {
                    assert_eq!(done.buffers.1, data, "round {round}");
                    counts.expanded.fetch_add(1, Ordering::Relaxed);
                }
                Err(failed) => {
                    assert!(failed.buffers.is_some(), "{}", failed.error);
                    counts.failed.fetch_add(1, Ordering::Relaxed);
                }
            },
            _ => {
                let mut future = pin!(runtime.deflate(data.clone(), vec![0; data.len() * 2 + 2048], how));
                if let Poll::Ready(Ok(done)) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                    assert_eq!(inflate(stream(&done)), data, "round {round}");
                }
                counts.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}
