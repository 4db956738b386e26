//! Does a cold copy hold up the executor that awaits it, and what does resolving faults take of the machine?
//!
//! One thread of tokio awaits a copy of memory that is absent on both sides, and on the same thread a timer ticks every
//! millisecond. The result of the copy is checked. Printed are the worst lateness of a tick beside the copy and with
//! nothing beside it, the threads of the process, and its peak of memory beyond the buffers. The device is emulated: no
//! statement about hardware.
//!
//! Run with `cargo bench -p svala-benches --bench fault_executor [-- SIZE_MIB]`; 1024 by default. With `--test`: 4 MiB.

use std::fs;
use std::time::{Duration, Instant};

use svala_engine::{Device, Engine, FaultPolicy};
use tokio::runtime::Builder;
use tokio::time::{MissedTickBehavior, interval};

const TICK: Duration = Duration::from_millis(1);

fn main() {
    let is_test = std::env::args().any(|arg| arg == "--test");
    let mib = std::env::args().skip(1).find_map(|word| word.parse().ok()).unwrap_or(1024_usize);
    let len = if is_test { 4 << 20 } else { mib << 20 };
    println!("emulated: no statement about hardware; copies of {} MiB", len >> 20);
    println!(
        "\n| policy | ticks | worst lateness | the same, nothing beside it | threads | memory beyond the buffers |"
    );
    println!("|---|---|---|---|---|---|");
    for policy in [FaultPolicy::Resolve, FaultPolicy::Prefetch, FaultPolicy::BlockOnFault, FaultPolicy::Auto]
    {
        one(policy, len);
    }
}

fn one(policy: FaultPolicy, len: usize) {
    // The peak begins anew.
    let _ = fs::write("/proc/self/clear_refs", "5");
    let engine = Engine::builder().device(Device::Emulated).faults(policy).open().expect("an engine");
    let executor = Builder::new_current_thread().enable_time().build().expect("an executor");
    let (seen, alone, took) = executor.block_on(async {
        let (src, dst) = (vec![0_u8; len], vec![0_u8; len]);
        let start = Instant::now();
        let copying = engine.copy(src, dst);
        let (mut seen, done) = beside(copying).await;
        let took = start.elapsed();
        let (src, dst) = done.expect("copies").buffers;
        assert!(src == dst, "{policy}: the copy differs");
        drop((src, dst));
        // As long again with nothing to do.
        let (alone, ()) = beside(tokio::time::sleep(took)).await;
        seen.threads = seen.threads.max(field("Threads:"));
        (seen, alone, took)
    });
    let beyond = (field("VmHWM:") << 10).saturating_sub(2 * len as u64);
    println!(
        "| {policy} | {} in {took:.0?} | {:.1?} | {:.1?} | {} | {} MiB |",
        seen.ticks,
        seen.worst,
        alone.worst,
        seen.threads,
        beyond >> 20
    );
}

struct Seen {
    ticks: u32,
    worst: Duration,
    threads: u64,
}

/// Ticks on this thread until `work` is done.
async fn beside<T>(work: impl Future<Output = T>) -> (Seen, T) {
    let mut work = std::pin::pin!(work);
    let mut seen = Seen { ticks: 0, worst: Duration::ZERO, threads: 0 };
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            due = ticks.tick() => {
                seen.ticks += 1;
                seen.worst = seen.worst.max(Instant::now().saturating_duration_since(due.into_std()));
                if seen.ticks % 64 == 1 {
                    seen.threads = seen.threads.max(field("Threads:"));
                }
            }
            done = &mut work => return (seen, done),
        }
    }
}

/// A number of `/proc/self/status`.
fn field(name: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
