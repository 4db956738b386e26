//! Does svala handle page faults as well as it should: against the floor, one page for each fault, and look-ahead?
//!
//! Every run's result is checked before its time counts; runs take turns in alternating order, times are medians, and
//! targets are ratios within this run. The device is emulated, without a timing model: no statement about hardware.
//!
//! Run with `cargo bench -p svala-benches --bench fault_targets [-- SIZE_MIB [RUNS [WORKLOAD... [probe]]]]`; 1024, 5 and all
//! by default. Prints a table of ratios for each workload, and what became of the targets those say something about. With
//! `--test`: 2 MiB once, no targets.

use std::collections::HashMap;
use std::time::Duration;

use svala_engine::Sysfs;
use svala_faults::{Bench, Policy, Probe, Quantiles, Run, Setup, Target, TargetDevice, Workload};

/// How long a probe runs with nothing beside it.
const ALONE: Duration = Duration::from_secs(2);
/// Samples a probe wants beside a workload, and runs it gets for that at most.
const SAMPLES: u64 = 1000;
const PROBED_RUNS_MAX: usize = 50;
/// Of a file that is to be read from the disk.
const COLD_FILE_BYTES_MAX: u64 = 128 << 20;

struct Settings {
    bytes: u64,
    runs: usize,
    is_test: bool,
    /// Those to run; all if none is named.
    workloads: Vec<Workload>,
    has_probe: bool,
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let named: Vec<Workload> = words.iter().filter_map(|word| word.parse().ok()).collect();
    let is_probe_named = words.iter().any(|word| word == "probe");
    let numbers: Vec<u64> = std::env::args().skip(1).filter_map(|word| word.parse().ok()).collect();
    let is_test = std::env::args().any(|arg| arg == "--test");
    let settings = Settings {
        bytes: if is_test { 2 << 20 } else { numbers.first().copied().unwrap_or(1024) << 20 },
        runs: if is_test { 1 } else { numbers.get(1).map_or(5, |runs| usize::try_from(*runs).unwrap_or(5)) },
        is_test,
        has_probe: is_probe_named || named.is_empty(),
        workloads: if named.is_empty() && !is_probe_named { Workload::ALL.to_vec() } else { named },
    };
    let mut bench =
        Bench::new(Target { device: TargetDevice::Emulated, sysfs: Sysfs::new("/sys/bus/dsa", "/dev") });
    println!(
        "emulated: no statement about hardware; {} MiB, medians of {}",
        settings.bytes >> 20,
        settings.runs
    );
    let all = workloads(&mut bench, &settings);
    if !is_test {
        targets(&all);
        if settings.has_probe {
            probe(&mut bench, &settings);
        }
    }
}

/// The median run of each policy for each workload.
type Medians = Vec<(Workload, HashMap<Policy, Run>)>;

fn workloads(bench: &mut Bench, settings: &Settings) -> Medians {
    println!(
        "\n| workload | floor, GB/s | {} |",
        Policy::ALL[1..].iter().map(|policy| policy.name()).collect::<Vec<_>>().join(" | ")
    );
    println!("|---|---|{}", "---|".repeat(Policy::ALL.len() - 1));
    let mut all = Vec::new();
    for workload in settings.workloads.iter().copied() {
        let bytes = match workload {
            Workload::ColdFile => settings.bytes.min(COLD_FILE_BYTES_MAX),
            _ => settings.bytes,
        };
        let setup = Setup::new(workload, bytes, &std::env::temp_dir()).expect("memory and files");
        let setup = match setup {
            Ok(setup) => setup,
            Err(why) => {
                println!("| {workload} | NOT RUN: {why} |");
                continue;
            }
        };
        let medians = medians(bench, &setup, settings.runs);
        let floor = medians[&Policy::Floor];
        let times: Vec<String> = Policy::ALL[1..]
            .iter()
            .map(|policy| format!("{:.2}", medians[policy].seconds / floor.seconds))
            .collect();
        println!("| {workload} | {:.2} | {} |", rate(&floor), times.join(" | "));
        all.push((workload, medians));
    }
    println!("\nTimes the floor's time; less is better.");
    all
}

fn rate(run: &Run) -> f64 {
    float(run.bytes) / run.seconds / 1e9
}

fn medians(bench: &mut Bench, setup: &Setup, runs: usize) -> HashMap<Policy, Run> {
    let mut all: HashMap<Policy, Vec<Run>> = HashMap::new();
    for round in 0..runs {
        let mut order = Policy::ALL;
        if round % 2 == 1 {
            order.reverse();
        }
        for policy in order {
            let run = bench.run(setup, policy).unwrap_or_else(|error| panic!("{policy}: {error}"));
            all.entry(policy).or_default().push(run);
        }
    }
    let median = |(policy, mut runs): (Policy, Vec<Run>)| {
        runs.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
        (policy, runs[runs.len() / 2])
    };
    all.into_iter().map(median).collect()
}

fn targets(all: &Medians) {
    let seconds = |workload: Workload, policy: Policy| {
        let found = all.iter().find(|(found, _)| *found == workload);
        found.map_or(f64::NAN, |(_, medians)| medians[&policy].seconds)
    };
    println!("\n| what | measured | target | |\n|---|---|---|---|");
    let say = |what: &str, measured: String, target: &str, is_met: bool| {
        println!("| {what} | {measured} | {target} | {} |", if is_met { "met" } else { "**missed**" });
    };
    let has_run = |workload| all.iter().any(|(found, _)| *found == workload);
    if has_run(Workload::Sequential) {
        let sequential = |policy| seconds(Workload::Sequential, policy);
        let floor = sequential(Policy::Resolve) / sequential(Policy::Floor);
        say("sequential, resolve, times the floor", format!("{floor:.2}"), "at most 1.15", floor <= 1.15);
        let one_page = sequential(Policy::OnePage) / sequential(Policy::Resolve);
        say(
            "sequential, one page for each fault, times resolve",
            format!("{one_page:.1}"),
            "at least 3",
            one_page >= 3.0,
        );
    }
    let mut ratios: Vec<(Workload, f64)> = all
        .iter()
        .map(|(workload, medians)| {
            (*workload, medians[&Policy::LookAhead].seconds / medians[&Policy::Resolve].seconds)
        })
        .collect();
    ratios.sort_by(|a, b| a.1.total_cmp(&b.1));
    let words: Vec<String> =
        ratios.iter().map(|(workload, ratio)| format!("{workload} {ratio:.2}")).collect();
    let slower: Vec<&str> =
        ratios.iter().filter(|(_, ratio)| *ratio < 1.0).map(|(workload, _)| workload.name()).collect();
    say("look-ahead, times resolve, on each workload", words.join(", "), "at least 1", slower.is_empty());
    let faster = ratios.iter().filter(|(_, ratio)| *ratio >= 1.5).count();
    say("workloads on which that is 1.5", faster.to_string(), "at least 3", faster >= 3);
    if !has_run(Workload::Random) {
        return;
    }
    let random = seconds(Workload::Random, Policy::Resolve) / seconds(Workload::Random, Policy::OnePage);
    say(
        "random 4 KiB, resolve, times one page for each fault",
        format!("{random:.2}"),
        "at most 1",
        random <= 1.0,
    );
    let populated =
        all.iter().find(|(workload, _)| *workload == Workload::Random).map_or(f64::NAN, |(_, medians)| {
            let run = medians[&Policy::Resolve];
            float(run.counts.pages_populated) / float(run.pages)
        });
    say(
        "random 4 KiB, pages populated, times pages touched",
        format!("{populated:.2}"),
        "at most 1.1",
        populated <= 1.1,
    );
}

/// The probe beside a sequential cold copy.
fn probe(bench: &mut Bench, settings: &Settings) {
    if settings.is_test {
        return;
    }
    let setup = Setup::new(Workload::Sequential, settings.bytes, &std::env::temp_dir())
        .expect("memory and files")
        .expect("runs everywhere");
    println!(
        "\n| probe beside a sequential cold copy | p50 | p99 | p99.9 | p99 alone | times | samples |\n|---|---|---|---|---|---|---|"
    );
    for policy in Policy::ALL {
        let alone = bench.probe_alone(policy, ALONE).expect("a probe").expect("samples");
        let mut probe = Probe::new();
        for _ in 0..PROBED_RUNS_MAX {
            bench.run_probed(&setup, policy, &mut probe).unwrap_or_else(|error| panic!("{policy}: {error}"));
            if probe.quantiles().is_some_and(|seen| seen.samples >= SAMPLES) {
                break;
            }
        }
        let Quantiles { samples, p50_ns, p99_ns, p999_ns, .. } = probe.quantiles().expect("samples");
        let us = |ns: u64| format!("{:.1} us", float(ns) / 1e3);
        let times = float(p99_ns) / float(alone.p99_ns);
        println!(
            "| {policy} | {} | {} | {} | {} | {times:.1} | {samples} |",
            us(p50_ns),
            us(p99_ns),
            us(p999_ns),
            us(alone.p99_ns)
        );
    }
    println!("\nTarget: under resolve at most 3 times.");
}

#[expect(clippy::cast_precision_loss, reason = "ratios for people")]
fn float(count: u64) -> f64 {
    count as f64
}
