//! How long things would take on silicon: modelled, and no measurement of hardware.
//!
//! A [`Timing`] has the constants, each with the public figure it comes from. A device that is started with one
//! ([`DeviceConfig::timing`](crate::DeviceConfig::timing)) keeps a book: for each descriptor what it moved, which
//! translations its cache had and lacked, how often it asked for a page, and what all that costs ([`Served`]). Nothing
//! waits for it: the clock is virtual, and the wall clock has no part in any number. [`Schedule`] puts such costs on
//! engines, in the order in which descriptors come, and says when each ends.
//!
//! The model is a sum, because the published figures are: an operation costs a latency, and its bytes at a rate. What
//! it reproduces of the figures, and how well, is a table in ARCHITECTURE.md that `tests/timing.rs` computes.
//!
//! Left out: caches, memory channels, NUMA, power states, and what several processes do to each other.

mod book;
mod cache;
mod cost;
mod schedule;

pub(crate) use book::Book;
pub use cache::TranslationCache;
pub use cost::Served;
pub use schedule::{Ended, Schedule};

/// Constants of a device and of the machine around it, in nanoseconds unless they say otherwise.
///
/// The defaults are published figures for Sapphire Rapids. "LightDSA" is the paper's artifact data, "accel-datapath"
/// the results in the repository of that name (`hw-eval` and the stdexec benchmarks), "DSA-2LM" the ATC'25 paper, "QPL in
/// QEMU" is QEMU's `docs/devel/migration/qpl-compression.rst`, "memory-usage-analyzer" the sample reports in Intel's
/// repository of that name.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Timing {
    /// Engines of a device. Sapphire Rapids has four.
    pub engines: usize,
    /// Between two posted writes of one core, to a dedicated work queue. accel-datapath: 9.4 million a second.
    pub submit_dedicated_ns: f64,
    /// Between two deferrable writes of one core, to a shared work queue. accel-datapath: 5.3 million a second.
    pub submit_shared_ns: f64,
    /// An operation without data, from submission until its submitter sees the record. accel-datapath: 649 ns, warm.
    pub latency_ns: f64,
    /// More than that when there is data. LightDSA: 64 B in 750 ns.
    pub data_ns: f64,
    /// More again as transfers grow, up to this much: reads in flight fill up. LightDSA: what latencies from 1 KiB to 1 MiB
    /// have beyond bytes at the device's rate.
    pub ramp_ns: f64,
    /// Bytes at which half of that has come. Fitted to the same curve.
    pub ramp_bytes: f64,
    /// Bytes a device moves in a nanosecond, by all engines or by one. LightDSA, accel-datapath: 29.8 to 30.4 GB/s; within
    /// that, fitted to LightDSA's latencies.
    pub bytes_per_ns: f64,
    /// Between two transfers of an engine. accel-datapath: 145 ns for each 4 KiB of a long batch, less the bytes.
    pub gap_ns: f64,
    /// What a descriptor takes of an engine at least. accel-datapath: 53.9 million copies of 8 B a second, by four engines.
    pub issue_ns: f64,
    /// More for a batch than for one descriptor: its list. accel-datapath: two copies of 4 KiB in 1.47 us, less the rest.
    pub batch_ns: f64,
    /// Translations a device keeps. **An assumption**: no public figure was found, and nothing in the table of
    /// ARCHITECTURE.md depends on it (`tests/timing.rs`).
    pub translations: usize,
    /// More when a translation is not kept. accel-datapath: a copy of 64 B takes 1084 ns cold, 955 ns warm. Misses behind
    /// the first are hidden: LightDSA's large transfers go at the device's rate.
    pub translation_miss_ns: f64,
    /// More when there is no translation and the operation ends with what is done. LightDSA: 1.08 s/GB of writes where the
    /// CPU touches each page and submits the rest, less the touch and the submission.
    pub fault_ns: f64,
    /// A page request from the device to the handler, and the answer back. LightDSA: 3.611 s/GB with block-on-fault,
    /// less the handler and the copy.
    pub page_request_transport_ns: f64,
    /// The kernel's handler of a page request, the page's first touch included. QPL in QEMU: 9 us on average, of 25965.
    pub page_request_handler_ns: f64,
    /// First touch of a page that is written, by the CPU. LightDSA: 0.317 s/GB.
    pub touch_write_ns: f64,
    /// First touch of a page that is read. LightDSA: 0.187 s/GB for comparing zeros, less the comparison.
    pub touch_read_ns: f64,
    /// A call that populates a range, and the way there and back, without its pages. **An assumption**: no public figure
    /// was found.
    pub populate_call_ns: f64,
    /// A compression or decompression on an IAA, without its bytes. memory-usage-analyzer, decompression of 4 KiB: 2999 ns
    /// alone and 773 ns each in a batch of 8.
    pub analytics_ns: f64,
    /// A page decompressed by an IAA. The same.
    pub decompress_page_ns: f64,
    /// A page compressed by an IAA. memory-usage-analyzer, compression of 4 KiB: 3571 ns alone, 1378 ns each of 8, with
    /// the same fixed part.
    pub compress_page_ns: f64,
}

/// Bytes of LightDSA's GB.
const GIB: f64 = (1 << 30) as f64;
/// Pages in that.
const PAGES: f64 = 262_144.0;

impl Timing {
    /// Sapphire Rapids, as published.
    pub const SAPPHIRE_RAPIDS: Self = {
        let bytes_per_ns = 30.3;
        let page_ns = 4096.0 / bytes_per_ns;
        let (latency_ns, data_ns) = (649.0, 750.0 - 649.0);
        let (ramp_ns, ramp_bytes) = (680.0, 5000.0);
        // Latency of a copy of a page, without its bytes.
        let page_latency_ns = latency_ns + data_ns + ramp_ns * 4096.0 / (4096.0 + ramp_bytes);
        let translation_miss_ns = 1084.0 - 955.0;
        let touch_write_ns = 0.317e9 / PAGES;
        let page_request_handler_ns = 9000.0;
        // (fixed + page) = alone, (fixed + 8 pages) / 8 = each of eight.
        let analytics_ns = (2999.0 - 773.0) * 8.0 / 7.0;
        Self {
            engines: 4,
            submit_dedicated_ns: 1e3 / 9.4,
            submit_shared_ns: 1e3 / 5.3,
            latency_ns,
            data_ns,
            ramp_ns,
            ramp_bytes,
            bytes_per_ns,
            gap_ns: 145.0 - page_ns,
            issue_ns: 4.0 * 1e3 / 53.9,
            batch_ns: 1470.0 - 2.0 * 145.0 - page_latency_ns,
            translations: 1024,
            translation_miss_ns,
            fault_ns: 1.08e9 / PAGES - touch_write_ns - page_latency_ns - page_ns - translation_miss_ns,
            page_request_transport_ns: 3.611e9 / PAGES - page_request_handler_ns - page_ns,
            page_request_handler_ns,
            touch_write_ns,
            touch_read_ns: (0.187e9 - GIB / bytes_per_ns) / PAGES,
            populate_call_ns: 5000.0,
            analytics_ns,
            decompress_page_ns: 2999.0 - analytics_ns,
            compress_page_ns: 3571.0 - analytics_ns,
        }
    };

    /// From submission to record, beyond what an engine is taken for: of an operation with these bytes of data.
    pub fn latency_of(&self, bytes: u64) -> f64 {
        if bytes == 0 {
            return self.latency_ns;
        }
        let bytes = float(bytes);
        self.latency_ns + self.data_ns + self.ramp_ns * bytes / (bytes + self.ramp_bytes)
    }

    /// A page request, there and back, handler included.
    pub fn page_request_ns(&self) -> f64 {
        self.page_request_transport_ns + self.page_request_handler_ns
    }
}

impl Default for Timing {
    fn default() -> Self {
        Self::SAPPHIRE_RAPIDS
    }
}

/// A number of bytes or events for arithmetic with times.
#[expect(clippy::cast_precision_loss, reason = "exact up to 2^53")]
pub(crate) fn float(count: u64) -> f64 {
    count as f64
}
