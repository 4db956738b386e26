//! The same runs on a virtual clock: modelled, and no measurement of hardware.
//!
//! A run is done for real on an emulated device that keeps a book: each descriptor it was sent, with what that would cost
//! on silicon. So faults, windows, resubmissions and page requests are those of the policy and not of a model of it. What
//! the host does between descriptors is priced by the same constants: pages by what their first touch costs, calls by
//! what a call costs. Descriptors and pauses then go through a schedule, one after the other, with a probe beside them.
//!
//! One engine takes all of it, as in a group with one: otherwise the probe would never wait, and no policy would show.

use idxd_emu::timing::{Schedule, Served, Timing};
use idxd_emu::{Access as Touch, Bus, ProcessMemory};
use svala::{Access, PAGE_BYTES};

use crate::bench::run_case;
use crate::case::Case;
use crate::device::Machine;
use crate::probe::{PAUSE, Probe};
use crate::{Counts, Error, Policy, Quantiles, Setup, Workload};

/// What a run would take, by the timing model.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub struct Modelled {
    /// Of the operations.
    pub seconds: f64,
    /// Bytes of the sources.
    pub bytes: u64,
    /// Pages of all operands.
    pub pages: u64,
    /// What happened.
    pub counts: Counts,
    /// Descriptors the device was sent.
    pub descriptors: u64,
    /// A copy of 4 KiB on the same engine, with nothing beside it.
    pub probe_alone: Option<Quantiles>,
    /// The same copy beside the run, again and again.
    pub probe: Option<Quantiles>,
}

/// Why a workload is not modelled, if it is not.
pub const fn not_modelled(workload: Workload) -> Option<&'static str> {
    match workload {
        Workload::ColdFile | Workload::SwapIn => Some("the model has no disk"),
        Workload::CopyOnWrite => Some("there is no published figure for a page that is copied on write"),
        Workload::Mixed => Some("it is sequential with copies beside it: see its probe"),
        _ => None,
    }
}

/// Absent pages of a case, by what is done to them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Absent {
    read: u64,
    written: u64,
}

impl Absent {
    /// Without so many pages, taken from both sides alike.
    fn without(self, pages: u64) -> Self {
        let left = |of: u64| of - (pages.saturating_mul(of) / (self.read + self.written).max(1)).min(of);
        Self { read: left(self.read), written: left(self.written) }
    }
}

/// Runs workloads and says what they would take.
pub struct Model {
    timing: Timing,
}

impl Model {
    /// With these constants.
    pub const fn new(timing: Timing) -> Self {
        Self { timing }
    }

    /// Does a workload once under a policy, checks it, and prices it.
    ///
    /// # Errors
    ///
    /// As a measured run.
    pub fn run(&self, setup: &Setup, policy: Policy) -> Result<Modelled, Error> {
        let machine = Machine::timed(policy, self.timing)?;
        let case = setup.case()?;
        let absent = absent(&case)?;
        let run = run_case(&machine, case, setup.workload(), policy)?;
        let served = machine.take_served();
        let host = self.host(policy, absent, &run.counts);
        let (nanoseconds, probe) = self.replay(&served, host);
        let mut alone = Probe::new();
        let copy = Served::operation(&self.timing, PAGE_BYTES).alone_ns();
        alone.add(std::time::Duration::from_secs_f64(copy / 1e9));
        Ok(Modelled {
            seconds: nanoseconds / 1e9,
            bytes: run.bytes,
            pages: run.pages,
            counts: run.counts,
            descriptors: served.len() as u64,
            probe_alone: alone.quantiles(),
            probe: probe.quantiles(),
        })
    }

    /// Nanoseconds of the host for all pages and calls, and whether they come before the operations.
    fn host(&self, policy: Policy, absent: Absent, counts: &Counts) -> Host {
        let timing = &self.timing;
        // What the device asked for is in its own time, the handler's touch with it.
        let absent = absent.without(counts.page_requests);
        let touches =
            float(absent.read) * timing.touch_read_ns + float(absent.written) * timing.touch_write_ns;
        let calls = float(counts.populate_calls) * timing.populate_call_ns;
        match policy {
            Policy::Floor | Policy::InlineTouch | Policy::Prefetch => {
                Host { before_ns: touches + calls, at_faults_ns: 0.0 }
            }
            _ => Host { before_ns: 0.0, at_faults_ns: touches + calls },
        }
    }

    /// Descriptors one after the other, pauses between them, and a probe beside them. Answers when the last has ended.
    fn replay(&self, served: &[Served], host: Host) -> (f64, Probe) {
        let faults = served.iter().filter(|served| served.faults > 0).count();
        let pause = if faults == 0 { 0.0 } else { host.at_faults_ns / float(faults as u64) };
        // Without a fault there was nothing to wait for.
        let before = if faults == 0 { host.before_ns + host.at_faults_ns } else { host.before_ns };
        let copy = Served::operation(&self.timing, PAGE_BYTES);
        let probe_pause = PAUSE.as_secs_f64() * 1e9;
        let (mut engine, mut probe) = (Schedule::new(1), Probe::new());
        let (mut next, mut next_probe) = (before / float(served.len().max(1) as u64), 0.0_f64);
        let share = next;
        for served in served {
            while next_probe < next {
                let end = engine.submit(next_probe, &copy).end;
                probe.add(std::time::Duration::from_secs_f64((end - next_probe) / 1e9));
                next_probe = end + probe_pause;
            }
            let ended = engine.submit(next, served);
            // What is touched before each descriptor comes before the next, the last has none behind it.
            next = ended.end + share + if served.faults > 0 { pause } else { 0.0 };
        }
        (next - share, probe)
    }
}

/// What the host does.
#[derive(Clone, Copy, Debug)]
struct Host {
    /// Before the descriptors.
    before_ns: f64,
    /// After those that ended at an absent page.
    at_faults_ns: f64,
}

/// Looks for absent pages. Of what is given back before each operation, all.
fn absent(case: &Case) -> Result<Absent, Error> {
    let failed = |error: idxd_emu::Error| Error::System {
        what: "looking for absent pages",
        source: std::io::Error::other(error.to_string()),
    };
    let memory = ProcessMemory::open().map_err(failed)?;
    let mut absent = Absent::default();
    for step in &case.steps {
        for operand in step.job.operands().into_iter().flatten() {
            let is_given_back = operand.access == Access::Write && step.forget.is_some();
            let (touch, count) = match operand.access {
                Access::Read => (Touch::Read, &mut absent.read),
                Access::Write => (Touch::Write, &mut absent.written),
            };
            let span = operand.span.pages();
            for page in 0..span.page_count() {
                let addr = span.addr.add(page * PAGE_BYTES).get();
                if is_given_back || memory.present(addr, PAGE_BYTES, touch) < PAGE_BYTES {
                    *count += 1;
                }
            }
        }
    }
    Ok(absent)
}

#[expect(clippy::cast_precision_loss, reason = "exact up to 2^53")]
fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMING: Timing = Timing::SAPPHIRE_RAPIDS;

    #[test]
    fn pauses_lie_behind_faults_and_before_what_has_none() {
        let model = Model::new(TIMING);
        let page = Served::operation(&TIMING, PAGE_BYTES);
        let stopped = page.with_fault(&TIMING);
        let (ns, _) = model.replay(&[stopped, page], Host { before_ns: 0.0, at_faults_ns: 10_000.0 });
        assert!((ns - stopped.alone_ns() - page.alone_ns() - 10_000.0).abs() < 1e-6, "{ns}");
        let (ns, _) = model.replay(&[page, page], Host { before_ns: 10_000.0, at_faults_ns: 0.0 });
        assert!((ns - 2.0 * page.alone_ns() - 10_000.0).abs() < 1e-6, "{ns}");
    }

    /// A copy that waits behind an engine that waits for a thousand pages sees them all.
    #[test]
    fn a_probe_waits_behind_page_requests() {
        let model = Model::new(TIMING);
        let blocked = Served::operation(&TIMING, 2 << 20).with_page_requests(&TIMING, 1000);
        let (_, probe) = model.replay(&[blocked; 4], Host { before_ns: 0.0, at_faults_ns: 0.0 });
        let seen = probe.quantiles().unwrap();
        assert!(seen.max_ns > 10_000_000, "{seen:?}");
    }
}
