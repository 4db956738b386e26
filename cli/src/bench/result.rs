//! What was measured, for whoever shows it.

use std::fs;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};
use svala_engine::{Faults, Operation};

use super::check::Unchecked;
use super::measure::Measured;
use super::plan::{Plan, Point};
use crate::report::EMULATED;

/// What one way of doing a point came to.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Figures {
    pub(super) operations: u64,
    pub(super) seconds: f64,
    pub(super) ops_per_second: f64,
    pub(super) gb_per_second: f64,
    /// Of an operation, or of a batch.
    pub(super) latency_ns: Latency,
    /// Every way that operations went.
    pub(super) paths: Vec<String>,
    #[serde(flatten)]
    pub(super) faults: Faults,
}

/// Nanoseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Latency {
    pub(super) p50: u64,
    pub(super) p99: u64,
    #[serde(rename = "p99.9")]
    pub(super) p999: u64,
    pub(super) max: u64,
}

impl Figures {
    #[expect(clippy::cast_precision_loss, reason = "rates for people")]
    pub(super) fn of(measured: &Measured, point: &Point) -> Self {
        let seconds = measured.elapsed.max(Duration::from_nanos(1)).as_secs_f64();
        let ops_per_second = measured.operations as f64 / seconds;
        let latency = &measured.latency;
        Self {
            operations: measured.operations,
            seconds,
            ops_per_second,
            gb_per_second: ops_per_second * point.size as f64 / 1e9,
            latency_ns: Latency {
                p50: latency.value_at_quantile(0.5),
                p99: latency.value_at_quantile(0.99),
                p999: latency.value_at_quantile(0.999),
                max: latency.max(),
            },
            paths: measured.tally.shares.iter().map(|share| share.path.to_string()).collect(),
            faults: measured.tally.faults,
        }
    }
}

/// One point on one queue.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Row {
    pub(super) queue: String,
    pub(super) operation: Operation,
    pub(super) size_bytes: usize,
    pub(super) depth: usize,
    pub(super) batch: usize,
    /// `warm` or `cold`: whether the memory had been touched.
    buffers: &'static str,
    #[serde(flatten)]
    pub(super) figures: Figures,
    /// The same on the CPU; null where that was not asked for, or where the CPU did it anyway.
    pub(super) cpu: Option<Figures>,
    /// How many times as fast as the CPU.
    pub(super) ratio: Option<f64>,
}

impl Row {
    pub(super) fn new(
        queue: &str,
        point: &Point,
        measured: &Measured,
        cpu: Option<Figures>,
        cold: bool,
    ) -> Self {
        let figures = Figures::of(measured, point);
        let ratio = cpu.as_ref().map(|cpu| figures.ops_per_second / cpu.ops_per_second);
        Self {
            queue: queue.to_owned(),
            operation: point.operation,
            size_bytes: point.size,
            depth: point.depth,
            batch: point.batch,
            buffers: if cold { "cold" } else { "warm" },
            figures,
            cpu,
            ratio,
        }
    }
}

/// What was not measured, and why.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Skipped {
    pub(super) queue: String,
    pub(super) operation: Operation,
    /// Null where it is the whole operation.
    pub(super) size_bytes: Option<usize>,
    pub(super) depth: Option<usize>,
    pub(super) batch: Option<usize>,
    pub(super) why: String,
    /// A result was not right.
    wrong: bool,
}

impl Skipped {
    pub(super) fn operation(queue: &str, operation: Operation, why: &Unchecked) -> Self {
        let (Unchecked::Failed(text) | Unchecked::Wrong(text)) = why;
        let wrong = matches!(why, Unchecked::Wrong(_));
        let (queue, why) = (queue.to_owned(), text.clone());
        Self { queue, operation, size_bytes: None, depth: None, batch: None, why, wrong }
    }

    pub(super) fn point(queue: &str, point: &Point, why: &str) -> Self {
        Self {
            queue: queue.to_owned(),
            operation: point.operation,
            size_bytes: Some(point.size),
            depth: Some(point.depth),
            batch: Some(point.batch),
            why: why.to_owned(),
            wrong: false,
        }
    }
}

/// All there is.
pub(super) struct Results {
    pub(super) is_emulated: bool,
    pub(super) interrupted: bool,
    pub(super) rows: Vec<Row>,
    pub(super) skipped: Vec<Skipped>,
    /// What it ran on.
    pub(super) machine: Machine,
    settings: Value,
}

/// Where the numbers come from.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Machine {
    pub(crate) cpu: String,
    pub(crate) cpus: usize,
    pub(crate) kernel: String,
}

impl Results {
    pub(super) fn new(plan: &Plan) -> Self {
        Self {
            is_emulated: false,
            interrupted: false,
            rows: Vec::new(),
            skipped: Vec::new(),
            machine: Machine::look(),
            settings: plan.fields(),
        }
    }

    /// Whether some result was not right.
    pub(super) fn is_wrong(&self) -> bool {
        self.skipped.iter().any(|skipped| skipped.wrong)
    }

    /// What stands over numbers of a device model.
    pub(super) fn note(&self) -> Option<&'static str> {
        self.is_emulated.then_some(EMULATED)
    }

    /// The result for programs.
    pub(super) fn fields(&self) -> Value {
        json!({
            "note": self.note(),
            "interrupted": self.interrupted,
            "machine": self.machine,
            "settings": self.settings,
            "rows": self.rows,
            "skipped": self.skipped,
        })
    }
}

impl Machine {
    pub(crate) fn look() -> Self {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Self {
            cpu: model.map_or("unknown", |(_, model)| model).to_owned(),
            cpus: std::thread::available_parallelism().map_or(1, |cpus| cpus.get()),
            kernel: kernel.trim().to_owned(),
        }
    }
}
