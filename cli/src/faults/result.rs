//! What was measured, for whoever shows it.

use serde::Serialize;
use serde_json::{Value, json};
use svala::AutoSnapshot;
use svala_faults::{Counts, Modelled, Policy, Quantiles, Run, Workload};

use crate::args::Faults;
use crate::bench::Machine;
use crate::report::EMULATED;

/// What stands over numbers of the timing model.
const MODELLED: &str = "modelled: no measurement of hardware";

/// A workload under a policy.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Row {
    pub(super) workload: Workload,
    pub(super) policy: Policy,
    /// The median.
    pub(super) seconds: f64,
    /// Of each run.
    pub(super) runs_seconds: Vec<f64>,
    /// Of sources.
    pub(super) bytes: u64,
    /// Of all operands.
    pub(super) pages: u64,
    pub(super) gb_per_second: f64,
    pub(super) ns_per_page: f64,
    /// How many times the time of the floor; null without one.
    pub(super) times_floor: Option<f64>,
    /// Of the run with the median time.
    #[serde(flatten)]
    pub(super) counts: Counts,
    /// Of the host, without what the engines of an emulated device took; the median. Null where it is not measured.
    pub(super) host_cpu_seconds: Option<f64>,
    /// Beside it, in the mixed workload; the median run's.
    pub(super) small_operations: u64,
    /// With nothing beside it.
    pub(super) probe_alone: Option<Quantiles>,
    /// With the workload beside it.
    pub(super) probe: Option<Quantiles>,
}

impl Row {
    /// Of runs of which there is at least one.
    pub(super) fn new(
        workload: Workload,
        policy: Policy,
        runs: &[Run],
        probe_alone: Option<Quantiles>,
        probe: Option<Quantiles>,
    ) -> Option<Self> {
        let mut sorted = runs.to_vec();
        sorted.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
        let median = sorted.get(sorted.len() / 2)?;
        let mut cpu: Vec<f64> = runs.iter().map(|run| run.host_cpu_seconds).collect();
        cpu.sort_by(f64::total_cmp);
        Some(Self {
            workload,
            policy,
            seconds: median.seconds,
            runs_seconds: runs.iter().map(|run| run.seconds).collect(),
            bytes: median.bytes,
            pages: median.pages,
            gb_per_second: float(median.bytes) / median.seconds / 1e9,
            ns_per_page: median.seconds * 1e9 / float(median.pages),
            times_floor: None,
            counts: median.counts,
            host_cpu_seconds: cpu.get(cpu.len() / 2).copied(),
            small_operations: median.small_operations,
            probe_alone,
            probe,
        })
    }

    /// What a run would take.
    pub(super) fn modelled(workload: Workload, policy: Policy, modelled: &Modelled, no_probe: bool) -> Self {
        let Modelled { seconds, bytes, pages, counts, probe, probe_alone, .. } = *modelled;
        Self {
            workload,
            policy,
            seconds,
            runs_seconds: vec![seconds],
            bytes,
            pages,
            gb_per_second: float(bytes) / seconds / 1e9,
            ns_per_page: seconds * 1e9 / float(pages),
            times_floor: None,
            counts,
            host_cpu_seconds: None,
            small_operations: 0,
            probe_alone: probe_alone.filter(|_| !no_probe),
            probe: probe.filter(|_| !no_probe),
        }
    }
}

/// Fills in how the rows of a workload compare with the floor.
pub(super) fn compare_with_floor(rows: &mut [Row]) {
    let floor = rows.iter().find(|row| row.policy == Policy::Floor).map(|row| row.seconds);
    for row in rows {
        row.times_floor = floor.map(|floor| row.seconds / floor);
    }
}

#[expect(clippy::cast_precision_loss, reason = "rates for people")]
fn float(count: u64) -> f64 {
    count as f64
}

/// A workload that could not run.
#[derive(Clone, Debug, Serialize)]
pub(super) struct NotRun {
    pub(super) workload: Workload,
    pub(super) why: String,
}

/// All there is.
pub(super) struct Results {
    is_emulated: bool,
    is_modelled: bool,
    pub(super) interrupted: bool,
    pub(super) rows: Vec<Row>,
    pub(super) not_run: Vec<NotRun>,
    /// What it ran on.
    pub(super) machine: Machine,
    pub(super) size_bytes: u64,
    pub(super) runs: u32,
    /// What the `auto` policy knew and chose in the end, if it ran.
    pub(super) auto: Option<AutoSnapshot>,
}

impl Results {
    pub(super) fn new(args: &Faults, is_emulated: bool) -> Self {
        Self {
            is_emulated,
            is_modelled: args.modelled,
            interrupted: false,
            rows: Vec::new(),
            not_run: Vec::new(),
            machine: Machine::look(),
            size_bytes: args.size.bytes(),
            runs: args.runs,
            auto: None,
        }
    }

    pub(super) fn not_run(&mut self, workload: Workload, why: String) {
        self.not_run.push(NotRun { workload, why });
    }

    /// Whether times are the model's.
    pub(super) const fn is_modelled(&self) -> bool {
        self.is_modelled
    }

    /// What stands over numbers of a device model.
    pub(super) fn note(&self) -> Option<&'static str> {
        match (self.is_modelled, self.is_emulated) {
            (true, _) => Some(MODELLED),
            (false, true) => Some(EMULATED),
            (false, false) => None,
        }
    }

    /// The result for programs.
    pub(super) fn fields(&self) -> Value {
        json!({
            "note": self.note(),
            "interrupted": self.interrupted,
            "machine": self.machine,
            "settings": { "size_bytes": self.size_bytes, "runs": self.runs },
            "rows": self.rows,
            "not_run": self.not_run,
            "auto": self.auto,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(seconds: f64) -> Run {
        Run {
            seconds,
            bytes: 1_000_000_000,
            pages: 1000,
            counts: Counts::default(),
            host_cpu_seconds: seconds / 2.0,
            small_operations: 0,
        }
    }

    #[test]
    fn a_row_is_the_median_of_its_runs() {
        let row = |policy, seconds: &[f64]| {
            let runs: Vec<Run> = seconds.iter().copied().map(run).collect();
            Row::new(Workload::Random, policy, &runs, None, None)
        };
        let slow = row(Policy::Resolve, &[9.0, 2.0, 4.0]).unwrap();
        assert_eq!((slow.seconds, slow.gb_per_second, slow.host_cpu_seconds), (4.0, 0.25, Some(2.0)));
        assert!((slow.ns_per_page - 4e6).abs() < 1e-3);
        assert!(row(Policy::Resolve, &[]).is_none());
        let mut rows = [slow, row(Policy::Floor, &[1.0, 2.0, 3.0]).unwrap()];
        compare_with_floor(&mut rows);
        assert_eq!(rows.map(|row| row.times_floor), [Some(2.0), Some(1.0)]);
    }
}
