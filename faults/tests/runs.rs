//! Every workload under every policy: the result is checked by the bench itself, the counts here.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use svala::PAGE_BYTES;
use svala_engine::Sysfs;
use svala_faults::{Bench, Policy, Probe, Run, Setup, Target, TargetDevice, Workload};

const BYTES: u64 = 2 << 20;

fn bench() -> Bench {
    Bench::new(Target { device: TargetDevice::Emulated, sysfs: Sysfs::new("/nowhere", "/nowhere") })
}

fn setup(workload: Workload, bytes: u64) -> Setup {
    Setup::new(workload, bytes, Path::new(env!("CARGO_TARGET_TMPDIR"))).unwrap().unwrap()
}

/// One run under each policy, of one workload at a time: the one of copy-on-write forks, and all pages of the process are
/// shared then, which is a fault more for each that is written.
fn runs(workload: Workload, bytes: u64) -> HashMap<Policy, Run> {
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (mut bench, setup) = (bench(), setup(workload, bytes));
    Policy::ALL.into_iter().map(|policy| (policy, bench.run(&setup, policy).unwrap())).collect()
}

/// Of a cold copy: who waits how often, and that nobody populates what was not asked for.
#[test]
fn a_cold_copy_faults_as_its_policy_has_it() {
    let bytes = 4 * BYTES;
    let pages = bytes / PAGE_BYTES;
    let runs = runs(Workload::Sequential, bytes);
    for (policy, run) in &runs {
        assert_eq!((run.bytes, run.pages), (bytes, 2 * pages), "{policy}");
        // Two engines copy, and the window of one may reach into what the other's has brought.
        assert!(run.counts.pages_populated <= 2 * run.pages, "{policy}: {:?}", run.counts);
    }
    let faults = |policy: Policy| runs[&policy].counts.faults;
    assert_eq!((faults(Policy::Floor), faults(Policy::InlineTouch)), (0, 0));
    // A touch of a file's page maps those around it.
    assert!((pages..=2 * pages).contains(&faults(Policy::OnePage)), "{}", faults(Policy::OnePage));
    assert!((bytes >> 17..=2 * (bytes >> 17)).contains(&faults(Policy::LookAhead)));
    assert!(faults(Policy::Resolve) < faults(Policy::LookAhead), "{:?}", runs[&Policy::Resolve].counts);
    assert_eq!(faults(Policy::Prefetch), 0);
    let block = &runs[&Policy::Block].counts;
    assert!((1..=2 * pages).contains(&block.page_requests) && block.faults == 0, "{block:?}");
}

/// Copies of single pages: nothing beyond them is populated.
#[test]
fn single_pages_are_populated_alone() {
    for workload in [Workload::Random, Workload::Strided] {
        for (policy, run) in runs(workload, BYTES) {
            let counts = run.counts;
            assert!(counts.pages_populated * 10 <= run.pages * 11, "{workload} {policy}: {counts:?}");
        }
    }
}

#[test]
fn every_workload_ends_right_under_every_policy() {
    for workload in [
        Workload::ColdDestination,
        Workload::HalfCold,
        Workload::ZeroRead,
        Workload::CopyOnWrite,
        Workload::Churn,
        Workload::Mixed,
        Workload::Compress,
    ] {
        let runs = runs(workload, BYTES);
        assert_eq!(runs.len(), Policy::ALL.len());
        if workload == Workload::Mixed {
            assert!(runs.values().all(|run| run.counts.operations > run.small_operations));
        }
    }
}

/// These need a disk whose pages can be dropped, and swap: where they cannot run they say why.
#[test]
fn what_cannot_run_says_why() {
    for workload in [Workload::ColdFile, Workload::SwapIn] {
        match Setup::new(workload, BYTES, Path::new(env!("CARGO_TARGET_TMPDIR"))).unwrap() {
            Ok(setup) => {
                let run = bench().run(&setup, Policy::Resolve).unwrap();
                assert!(run.counts.faults > 0, "{workload}: {:?}", run.counts);
            }
            Err(why) => assert!(why.contains("/proc/swaps") || why.contains("page"), "{workload}: {why}"),
        }
    }
}

#[test]
fn a_probe_beside_a_run_sees_latencies() {
    let (mut bench, setup, mut probe) = (bench(), setup(Workload::Sequential, BYTES), Probe::new());
    while probe.quantiles().is_none_or(|seen| seen.samples < 20) {
        bench.run_probed(&setup, Policy::Resolve, &mut probe).unwrap();
    }
    let seen = probe.quantiles().unwrap();
    assert!(seen.p50_ns > 0 && seen.p50_ns <= seen.p99_ns && seen.p999_ns <= seen.max_ns, "{seen:?}");
}
