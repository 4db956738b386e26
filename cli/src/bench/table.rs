//! The table for people, line by line as it is measured.

use super::result::{Figures, Results, Row, Skipped};
use crate::args::Common;
use crate::error::Trouble;
use crate::run::say;

/// Lines on standard output, unless that is for the JSON object.
pub(super) struct Table<'a> {
    common: &'a Common,
    has_head: bool,
    has_warned: bool,
}

impl<'a> Table<'a> {
    pub(super) fn new(common: &'a Common) -> Self {
        Self { common, has_head: false, has_warned: false }
    }

    fn say(&self, line: &str) -> Result<(), Trouble> {
        say(self.common, line.trim_end().as_bytes())
    }

    /// What stands over the rows of a queue.
    pub(super) fn begin(&mut self, results: &Results) -> Result<(), Trouble> {
        if let Some(note) = results.note()
            && !self.has_warned
        {
            self.say(note)?;
            self.has_warned = true;
        }
        if self.has_head {
            return Ok(());
        }
        self.has_head = true;
        let machine = &results.machine;
        self.say(&format!("{}, {} CPUs, Linux {}", machine.cpu, machine.cpus, machine.kernel))?;
        self.say(&format!(
            "{:<10} {:<17} {:>6} {:>5} {:>5} {:>11} {:>8} {:>9} {:>9} {:>9} {:>8} {:>6}  {}",
            "queue",
            "operation",
            "size",
            "depth",
            "batch",
            "ops/s",
            "GB/s",
            "p50",
            "p99",
            "p99.9",
            "cpu GB/s",
            "ratio",
            "path"
        ))
    }

    pub(super) fn row(&self, row: &Row) -> Result<(), Trouble> {
        let Figures { ops_per_second, gb_per_second, latency_ns: latency, paths, .. } = &row.figures;
        let cpu = row.cpu.as_ref().map_or("-".into(), |cpu| format!("{:.3}", cpu.gb_per_second));
        let ratio = row.ratio.map_or("-".into(), |ratio| format!("{ratio:.2}"));
        self.say(&format!(
            "{:<10} {:<17} {:>6} {:>5} {:>5} {ops_per_second:>11.0} {gb_per_second:>8.3} {:>9} {:>9} {:>9} {cpu:>8} {ratio:>6}  {}",
            row.queue,
            row.operation.name(),
            size(row.size_bytes),
            row.depth,
            row.batch,
            time(latency.p50),
            time(latency.p99),
            time(latency.p999),
            paths.join(", "),
        ))
    }

    pub(super) fn skipped(&self, skipped: &Skipped) -> Result<(), Trouble> {
        let number = |number: Option<usize>| number.map_or("-".into(), |number| number.to_string());
        self.say(&format!(
            "{:<10} {:<17} {:>6} {:>5} {:>5} not measured: {}",
            skipped.queue,
            skipped.operation.name(),
            skipped.size_bytes.map_or("-".into(), size),
            number(skipped.depth),
            number(skipped.batch),
            skipped.why,
        ))
    }

    pub(super) fn end(&self, results: &Results) -> Result<(), Trouble> {
        if results.interrupted {
            self.say("interrupted: this is what there is")?;
        }
        Ok(())
    }
}

/// Bytes in the largest unit that they are whole in.
pub(crate) fn size(bytes: usize) -> String {
    for (shift, unit) in [(30, 'G'), (20, 'M'), (10, 'K')] {
        if bytes != 0 && bytes.is_multiple_of(1 << shift) {
            return format!("{}{unit}", bytes >> shift);
        }
    }
    bytes.to_string()
}

#[expect(clippy::cast_precision_loss, reason = "a time for people")]
pub(crate) fn time(ns: u64) -> String {
    match ns {
        0..1_000 => format!("{ns} ns"),
        1_000..1_000_000 => format!("{:.1} us", ns as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} ms", ns as f64 / 1e6),
        _ => format!("{:.2} s", ns as f64 / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_are_short() {
        assert_eq!([size(0), size(100), size(4096), size(3 << 20)], ["0", "100", "4K", "3M"]);
        assert_eq!(
            [time(999), time(1_500), time(2_000_000), time(1_500_000_000)],
            ["999 ns", "1.5 us", "2.0 ms", "1.50 s"]
        );
    }
}
