//! The tables for people, a workload at a time.

use svala_faults::Workload;

use super::result::{Results, Row};
use crate::args::Common;
use crate::bench::{size, time};
use crate::error::Trouble;
use crate::run::say;

/// Lines on standard output, unless that is for the JSON object.
pub(super) struct Table<'a> {
    common: &'a Common,
}

impl<'a> Table<'a> {
    pub(super) const fn new(common: &'a Common) -> Self {
        Self { common }
    }

    fn say(&self, line: &str) -> Result<(), Trouble> {
        say(self.common, line.trim_end().as_bytes())
    }

    /// What stands over everything.
    pub(super) fn begin(&self, results: &Results) -> Result<(), Trouble> {
        if let Some(note) = results.note() {
            self.say(note)?;
        }
        let machine = &results.machine;
        self.say(&format!("{}, {} CPUs, Linux {}", machine.cpu, machine.cpus, machine.kernel))?;
        let size = size(usize::try_from(results.size_bytes).unwrap_or(usize::MAX));
        let about = match results.is_modelled() {
            true => "times by published figures for Sapphire Rapids, all on one engine".to_owned(),
            false => format!(
                "medians of {}; 'cpu' is the host's time, without the engines of an emulated device",
                results.runs
            ),
        };
        self.say(&format!("{size} of memory, {about}"))?;
        self.say("the probe is a 4 KiB copy of present memory beside it; in brackets its p99 with nothing beside it")
    }

    pub(super) fn workload(&self, workload: Workload, rows: &[Row]) -> Result<(), Trouble> {
        self.say("")?;
        self.say(&format!("{workload}: {}", workload.about()))?;
        self.say(&format!(
            "  {:<13} {:>7} {:>9} {:>7} {:>8} {:>8} {:>8} {:>8} {:>9} {:>9} {:>9}  {}",
            "policy",
            "GB/s",
            "per page",
            "x floor",
            "faults",
            "asked",
            "again",
            "populate",
            "cpu",
            "probe p50",
            "p99",
            "p99.9"
        ))?;
        rows.iter().try_for_each(|row| self.row(row))
    }

    fn row(&self, row: &Row) -> Result<(), Trouble> {
        let Row { counts, probe, probe_alone, .. } = row;
        let floor = row.times_floor.map_or("-".into(), |times| format!("{times:.2}"));
        let quantile = |ns: Option<u64>| ns.map_or("-".into(), time);
        // Of fewer, a thousandth says nothing.
        let p999 = probe.filter(|probe| probe.samples >= 1000).map(|probe| probe.p999_ns);
        let alone = probe_alone.map_or(String::new(), |alone| format!(" ({})", time(alone.p99_ns)));
        let small = match row.small_operations {
            0 => String::new(),
            small => format!("  {small} small copies beside it"),
        };
        self.say(&format!(
            "  {:<13} {:>7.3} {:>9} {floor:>7} {:>8} {:>8} {:>8} {:>8} {:>9} {:>9} {:>9}  {}{alone}{small}",
            row.policy,
            row.gb_per_second,
            time(nanoseconds(row.ns_per_page)),
            counts.faults,
            counts.page_requests,
            counts.resubmissions,
            counts.populate_calls,
            row.host_cpu_seconds.map_or("-".into(), |seconds| time(nanoseconds(seconds * 1e9))),
            quantile(probe.map(|probe| probe.p50_ns)),
            quantile(probe.map(|probe| probe.p99_ns)),
            quantile(p999),
        ))
    }

    pub(super) fn not_run(&self, workload: Workload, why: &str) -> Result<(), Trouble> {
        self.say("")?;
        self.say(&format!("{workload}: {}", workload.about()))?;
        self.say(&format!("  NOT RUN: {why}"))
    }

    pub(super) fn end(&self, results: &Results) -> Result<(), Trouble> {
        if let Some(auto) = &results.auto {
            self.say("")?;
            self.say(&format!(
                "auto chose resolve for {}, prefetch for {} and block for {} operations (--explain says by what)",
                auto.resolve, auto.prefetch, auto.block
            ))?;
        }
        if results.interrupted {
            self.say("interrupted: this is what there is")?;
        }
        Ok(())
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a positive time for people")]
fn nanoseconds(ns: f64) -> u64 {
    ns.round() as u64
}
