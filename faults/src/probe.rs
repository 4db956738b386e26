//! A copy of 4 KiB of mapped memory, again and again: what other tasks notice.
//!
//! UNSAFETY: submits copies of memory of its own.
#![expect(unsafe_code, reason = "raw submission on memory the probe owns")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use svala::{Access, Job, PAGE_BYTES, Runtime, block_on};

use crate::Error;
use crate::memory::Region;

/// Between the end of one probe and the next.
pub(crate) const PAUSE: Duration = Duration::from_micros(50);
/// Longest latency that is told apart.
const LATENCY_NS_MAX: u64 = 60_000_000_000;

/// Latencies of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Quantiles {
    /// Operations.
    pub samples: u64,
    /// Nanoseconds.
    pub p50_ns: u64,
    /// Nanoseconds.
    pub p99_ns: u64,
    /// Nanoseconds.
    pub p999_ns: u64,
    /// Nanoseconds.
    pub max_ns: u64,
}

/// Latencies as they are gathered.
pub struct Probe {
    latencies: Histogram<u64>,
}

impl Probe {
    /// None yet.
    ///
    /// # Panics
    ///
    /// Never: the bounds are constants that a histogram takes.
    pub fn new() -> Self {
        let latencies = Histogram::new_with_bounds(1, LATENCY_NS_MAX, 3).expect("bounds of a histogram");
        Self { latencies }
    }

    /// What was gathered; nothing if nothing was.
    pub fn quantiles(&self) -> Option<Quantiles> {
        let quantile = |at| self.latencies.value_at_quantile(at);
        (!self.latencies.is_empty()).then(|| Quantiles {
            samples: self.latencies.len(),
            p50_ns: quantile(0.5),
            p99_ns: quantile(0.99),
            p999_ns: quantile(0.999),
            max_ns: self.latencies.max(),
        })
    }

    pub(crate) fn add(&mut self, latency: Duration) {
        self.latencies.saturating_record(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Probes until `stop` says so.
    pub(crate) fn run(&mut self, runtime: &Runtime, stop: &AtomicBool) -> Result<(), Error> {
        let region = || Region::anonymous(PAGE_BYTES);
        let (src, dst) = (
            region().map_err(Error::system("memory of the probe"))?,
            region().map_err(Error::system("memory of the probe"))?,
        );
        for region in [&src, &dst] {
            region.populate(Access::Write).map_err(Error::system("memory of the probe"))?;
        }
        let job = Job::Copy { src: src.addr(), dst: dst.addr(), len: PAGE_BYTES };
        while !stop.load(Ordering::Relaxed) {
            let start = Instant::now();
            // SAFETY: both regions are mapped, writable, this function's own, and outlive the operation: it is waited
            // for, and without an answer the runtime leaks what it was lent, but here there is nothing lent, so the
            // regions are leaked below.
            let ended = block_on(unsafe { runtime.submit_raw(job) });
            let latency = start.elapsed();
            if let Err(failed) = ended {
                std::mem::forget((src, dst));
                return Err(failed.error.into());
            }
            self.add(latency);
            thread::sleep(PAUSE);
        }
        Ok(())
    }
}

impl Default for Probe {
    fn default() -> Self {
        Self::new()
    }
}
