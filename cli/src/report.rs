//! Statistics, for people and for programs.

use std::fmt;
use std::fs;
use std::time::Duration;

use serde::Serialize;
use svala_engine::{Device, Engine, Faults, Path};

use crate::tally::Tally;

/// What stands beside numbers of a device model.
pub(crate) const EMULATED: &str = "emulated: no statement about hardware";

/// What one way did.
#[derive(Debug, Serialize)]
struct PathStats {
    #[serde(flatten)]
    path: Path,
    /// The path as a phrase, with the reason where the CPU did it.
    text: String,
    operations: u64,
    bytes: u64,
}

/// All there is to say about a run.
#[derive(Debug, Serialize)]
pub(crate) struct Stats {
    device: String,
    operations: u64,
    bytes: u64,
    seconds: f64,
    /// Waiting for the disk at the end; not part of `seconds`.
    sync_seconds: f64,
    gb_per_second: f64,
    note: Option<&'static str>,
    paths: Vec<PathStats>,
    #[serde(flatten)]
    faults: Faults,
    resolver: &'static str,
    resolver_reason: Option<String>,
    peak_rss_bytes: Option<u64>,
}

impl Stats {
    /// Of what `engine` did in `taken`, and the disk in `sync`.
    pub(crate) fn new(engine: &Engine, tally: &Tally, taken: Duration, sync: Duration) -> Self {
        let snapshot = engine.snapshot();
        let seconds = taken.saturating_sub(sync).as_secs_f64();
        let paths = tally.shares.iter().map(|share| PathStats {
            path: share.path,
            text: share.path.to_string(),
            operations: share.operations,
            bytes: share.bytes,
        });
        Self {
            device: device_name(engine.device()),
            operations: tally.operations,
            bytes: tally.bytes,
            seconds,
            sync_seconds: sync.as_secs_f64(),
            gb_per_second: gb_per_second(tally.bytes, seconds),
            note: tally.is_emulated().then_some(EMULATED),
            paths: paths.collect(),
            faults: tally.faults,
            resolver: snapshot.resolver,
            resolver_reason: snapshot.resolver_reason,
            peak_rss_bytes: peak_rss_bytes(),
        }
    }
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "device       {}", self.device)?;
        writeln!(f, "operations   {}, {} bytes", self.operations, self.bytes)?;
        for path in &self.paths {
            writeln!(f, "path         {}: {} operations, {} bytes", path.text, path.operations, path.bytes)?;
        }
        let Faults { faults, resolutions, pages_populated, resubmissions } = self.faults;
        writeln!(f, "faults       {faults} met, {resolutions} resolutions")?;
        writeln!(f, "             {pages_populated} pages populated, {resubmissions} resubmissions")?;
        match &self.resolver_reason {
            Some(reason) => writeln!(f, "resolver     {} ({reason})", self.resolver)?,
            None => writeln!(f, "resolver     {}", self.resolver)?,
        }
        write!(f, "time         {:.3} s, {:.2} GB/s of input", self.seconds, self.gb_per_second)?;
        match self.note {
            Some(note) => writeln!(f, " ({note})")?,
            None => writeln!(f)?,
        }
        writeln!(f, "disk         {:.3} s more until it was written", self.sync_seconds)?;
        match self.peak_rss_bytes {
            Some(bytes) => writeln!(f, "peak memory  {} MiB", bytes >> 20),
            None => Ok(()),
        }
    }
}

/// What `--device` was.
pub(crate) fn device_name(device: &Device) -> String {
    device.to_string()
}

/// A rate in units of 10^9 bytes; 0 for what took no time.
fn gb_per_second(bytes: u64, seconds: f64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let bytes = bytes as f64;
    if seconds > 0.0 { bytes / 1e9 / seconds } else { 0.0 }
}

/// The most memory the process had, mapped files included.
fn peak_rss_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes << 10)
}
