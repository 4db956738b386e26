//! Does one task's cold copy of 1 GiB delay another task's faults on 4 KiB?
//!
//! The probe fills a page that is not there, one after the other: alone, and beside a copy of which neither side is
//! there. Rival and floor is the probe alone, in the same run; stated are p50, p99 and p99.9 and their ratios, the median
//! of the runs, once with io_uring and once with threads. What is bounded is stated too: threads, ranges, peak memory.
//!
//! The device is emulated: its engines share the machine's cores with everything else, which silicon would not.
//!
//! Run with `cargo bench -p svala-benches --bench fault_fairness`.
//!
//! UNSAFETY: lends maps of its own to the device.
#![expect(unsafe_code, reason = "buffers promise their address")]

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use idxd_emu::QueueConfig;
use memmap2::{Advice, MmapMut};
use pollster::block_on;
use svala::{IoBuf, IoBufMut, ResolverChoice, Runtime};
use svala_idxd::{Emulated, EmulatedConfig};

const PAGE: usize = 4096;

struct Sizes {
    copy: usize,
    probes: usize,
    runs: usize,
}

fn main() {
    let test = std::env::args().any(|arg| arg == "--test");
    let sizes = if test {
        Sizes { copy: 16 << 20, probes: 50, runs: 1 }
    } else {
        Sizes { copy: 1 << 30, probes: 2000, runs: 5 }
    };
    for resolver in [ResolverChoice::Auto, ResolverChoice::Threads] {
        let runtime = runtime(resolver);
        check(&runtime);
        let snapshot = runtime.snapshot();
        println!(
            "\n{}: at most {} threads, {} ranges under way",
            snapshot.resolver, snapshot.resolver_threads_max, snapshot.resolver_ranges_max
        );
        fairness(&runtime, &sizes);
    }
    println!(
        "\npeak memory {} (a copy has {} MiB), threads now {}",
        status("VmHWM"),
        (2 * sizes.copy) >> 20,
        status("Threads")
    );
}

fn runtime(resolver: ResolverChoice) -> Runtime {
    let queue = QueueConfig { transfer_bytes_max: 256 << 10, ..QueueConfig::shared(64) };
    let config = EmulatedConfig { engines: 2, queue, ..EmulatedConfig::default() };
    let builder = Runtime::builder().queue(Emulated::dsa(config).expect("starts"));
    builder.config(|config| config.resolver = resolver).build().expect("threads and an eventfd")
}

/// Memory of its own.
struct Map(MmapMut);

// SAFETY: the map is owned by the value and stays where it is.
unsafe impl IoBuf for Map {
    fn bytes(&self) -> &[u8] {
        &self.0
    }
}

// SAFETY: as above, and it is writable.
unsafe impl IoBufMut for Map {
    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

/// Memory in small pages, none of them present.
fn cold(len: usize) -> Map {
    let map = MmapMut::map_anon(len).expect("maps");
    // A kernel without huge pages refuses, and needs no advice.
    let _ = map.advise(Advice::NoHugePage);
    Map(map)
}

fn check(runtime: &Runtime) {
    let done = block_on(runtime.fill(cold(64 * PAGE), 0x0101_0101_0101_0101)).expect("fills");
    assert!(done.buffers.bytes().iter().all(|byte| *byte == 1));
    assert!(done.report.faults.faults > 0, "not cold");
}

/// Latencies of probes, sorted.
fn probes(runtime: &Runtime, count: usize) -> Vec<Duration> {
    let mut took: Vec<Duration> = (0..count)
        .map(|_| {
            let page = cold(PAGE);
            let began = Instant::now();
            let done = block_on(runtime.fill(page, 7)).expect("fills");
            let took = began.elapsed();
            assert_eq!(done.report.faults.faults, 1, "one fault each");
            took
        })
        .collect();
    took.sort_unstable();
    took
}

fn percentiles(sorted: &[Duration]) -> [Duration; 3] {
    [500, 990, 999].map(|permille| sorted[(sorted.len() * permille / 1000).min(sorted.len() - 1)])
}

/// Percentiles of the probe alone, and beside the copy.
type Row = ([Duration; 3], [Duration; 3]);

fn fairness(runtime: &Runtime, sizes: &Sizes) {
    let mut rows = Vec::new();
    for _ in 0..sizes.runs {
        let alone = percentiles(&probes(runtime, sizes.probes));
        let stop = AtomicBool::new(false);
        let beside = std::thread::scope(|scope| {
            let copies = scope.spawn(|| {
                let mut copies = 0;
                // At least one, however soon the probes are over.
                while copies == 0 || !stop.load(Ordering::Relaxed) {
                    block_on(runtime.copy(cold(sizes.copy), cold(sizes.copy))).expect("copies");
                    copies += 1;
                }
                copies
            });
            let beside = percentiles(&probes(runtime, sizes.probes));
            stop.store(true, Ordering::Relaxed);
            assert!(copies.join().expect("copies") > 0);
            beside
        });
        rows.push((alone, beside));
    }
    for (at, name) in ["p50", "p99", "p99.9"].into_iter().enumerate() {
        let median = |pick: fn(&Row) -> &[Duration; 3]| {
            let mut all: Vec<Duration> = rows.iter().map(|row| pick(row)[at]).collect();
            all.sort_unstable();
            all[all.len() / 2]
        };
        let (alone, beside) = (median(|row| &row.0), median(|row| &row.1));
        let mut ratios: Vec<f64> =
            rows.iter().map(|row| row.1[at].as_secs_f64() / row.0[at].as_secs_f64()).collect();
        ratios.sort_by(f64::total_cmp);
        println!(
            "4 KiB probe {name}: alone {alone:?}, beside a cold copy of {} MiB {beside:?}: {:.2}x (median of {})",
            sizes.copy >> 20,
            ratios[ratios.len() / 2],
            ratios.len()
        );
    }
}

fn status(field: &str) -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    line.map_or_else(|| "unknown".into(), |value| value.trim_start_matches(':').trim().to_string())
}
