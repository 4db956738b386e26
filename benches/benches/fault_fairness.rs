//! Does one task's cold copy of 1 GiB delay another task's faults on 4 KiB?
//!
//! The probe fills a page that is not there, one after the other: alone, beside a copy of which neither side is there, and
//! beside the same copy when both are. Rival and floor is the probe alone, in the same run; stated are p50, p99 and p99.9
//! and their ratios, the median of the runs, with one engine and two, io_uring and threads. What is bounded is stated too:
//! threads, ranges, peak memory.
//!
//! The device is emulated: its engines share the machine's cores with everything else, which silicon would not. So what a
//! copy does to the probe without any fault is measured as well: what resolving adds is the rest.
//!
//! Run with `cargo bench -p svala-benches --bench fault_fairness [-- COPY_MIB [RUNS]]`; 1024 and 5 by default.
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
    let numbers: Vec<usize> = std::env::args().skip(1).filter_map(|word| word.parse().ok()).collect();
    let sizes = if test {
        Sizes { copy: 16 << 20, probes: 50, runs: 1 }
    } else {
        let mib = numbers.first().copied().unwrap_or(1024);
        Sizes { copy: mib << 20, probes: 2000, runs: numbers.get(1).copied().unwrap_or(5).max(1) }
    };
    for (engines, resolver) in [1, 2]
        .into_iter()
        .flat_map(|engines| [ResolverChoice::Auto, ResolverChoice::Threads].map(|r| (engines, r)))
    {
        let runtime = runtime(engines, resolver);
        check(&runtime);
        let snapshot = runtime.snapshot();
        println!(
            "\n{engines} engines, {}: at most {} threads, {} ranges under way",
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

fn runtime(engines: usize, resolver: ResolverChoice) -> Runtime {
    let queue = QueueConfig { transfer_bytes_max: 256 << 10, ..QueueConfig::shared(64) };
    let config = EmulatedConfig { engines, queue, ..EmulatedConfig::default() };
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

/// Percentiles of the probe alone, beside the warm copy, and beside the cold one.
type Row = [[Duration; 3]; 3];

/// The probe beside `copy`, done again and again.
fn beside(runtime: &Runtime, sizes: &Sizes, mut copy: impl FnMut() + Send) -> [Duration; 3] {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let copies = scope.spawn(|| {
            let mut copies = 0;
            // At least one, however soon the probes are over.
            while copies == 0 || !stop.load(Ordering::Relaxed) {
                copy();
                copies += 1;
            }
            copies
        });
        let beside = percentiles(&probes(runtime, sizes.probes));
        stop.store(true, Ordering::Relaxed);
        assert!(copies.join().expect("copies") > 0);
        beside
    })
}

fn fairness(runtime: &Runtime, sizes: &Sizes) {
    let mut rows: Vec<Row> = Vec::new();
    for _ in 0..sizes.runs {
        let alone = percentiles(&probes(runtime, sizes.probes));
        let mut both = Some((cold(sizes.copy), cold(sizes.copy)));
        for map in both.iter().flat_map(|(src, dst)| [src, dst]) {
            map.0.advise(Advice::PopulateWrite).expect("populates");
        }
        let warm = beside(runtime, sizes, || {
            let Some((src, dst)) = both.take() else { unreachable!("they come back") };
            both = Some(block_on(runtime.copy(src, dst)).expect("copies").buffers);
        });
        drop(both);
        let absent = beside(runtime, sizes, || {
            block_on(runtime.copy(cold(sizes.copy), cold(sizes.copy))).expect("copies");
        });
        rows.push([alone, warm, absent]);
    }
    for (at, name) in ["p50", "p99", "p99.9"].into_iter().enumerate() {
        let median = |which: usize| {
            let mut all: Vec<Duration> = rows.iter().map(|row| row[which][at]).collect();
            all.sort_unstable();
            all[all.len() / 2]
        };
        let ratio = |which: usize, of: usize| {
            let times = |row: &Row| row[which][at].as_secs_f64() / row[of][at].as_secs_f64();
            let mut ratios: Vec<f64> = rows.iter().map(times).collect();
            ratios.sort_by(f64::total_cmp);
            ratios[ratios.len() / 2]
        };
        println!(
            "4 KiB probe {name}: alone {:.0?}; beside a warm copy of {} MiB {:.0?}, {:.2}x; beside a cold one {:.0?}, {:.2}x, \
             {:.2}x the warm one's (medians of {})",
            median(0),
            sizes.copy >> 20,
            median(1),
            ratio(1, 0),
            median(2),
            ratio(2, 0),
            ratio(2, 1),
            rows.len()
        );
    }
}

fn status(field: &str) -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    line.map_or_else(|| "unknown".into(), |value| value.trim_start_matches(':').trim().to_string())
}
