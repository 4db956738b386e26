//! Measures what memory costs on this machine: a few milliseconds, once, when a runtime with
//! [`FaultPolicy::Auto`](super::FaultPolicy::Auto) starts.
//!
//! What depends on a device (a submission, a fault) begins with a usual figure and is corrected by what operations
//! meet, see [`super::auto`].

use std::hint::black_box;
use std::io;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use memmap2::{Advice, MmapMut};

use super::cost::CostModel;
use super::residency::Sampler;
use crate::address::{Access, PAGE_BYTES, Span, VirtAddr};
use crate::job::{OPERANDS_MAX, Operand};

/// Pages of the memory that is measured with: 1 MiB.
const PAGES: u32 = 256;
const BYTES: usize = 1 << 20;
const _: () = assert!(BYTES as u64 == PAGES as u64 * PAGE_BYTES);
/// Times everything is measured. The least counts: what is more is somebody else's doing.
const ROUNDS: usize = 3;
/// Hand-overs to another thread and back.
const ROUND_TRIPS: u32 = 16;

impl CostModel {
    /// Measures on this machine, on this thread: takes a few milliseconds, and 2 MiB meanwhile.
    ///
    /// # Errors
    ///
    /// What the kernel says about a map of 1 MiB, about populating it, or about a thread.
    pub fn measured() -> io::Result<Self> {
        let mut costs = Self { populate_call_ns: f64::MAX, ..Self::PUBLISHED };
        let sampler = Sampler::new();
        let mut rounds = Vec::with_capacity(ROUNDS);
        for _ in 0..ROUNDS {
            rounds.push(Memory::measure(&sampler)?);
        }
        let least = |what: fn(&Memory) -> Duration| rounds.iter().map(what).min().unwrap_or_default();
        let per_page = |duration: Duration| nanos(duration) / f64::from(PAGES);
        costs.populate_page_ns = per_page(least(|round| round.populate));
        costs.present_page_ns = per_page(least(|round| round.present));
        costs.work_page_ns = per_page(least(|round| round.copy));
        costs.sample_ns = nanos(least(|round| round.sample));
        // A helper does the rest itself; the resolver's workers are a thread further away.
        let trip = round_trip()?;
        costs.small_call_ns = trip / 2.0;
        costs.small_fault_ns = costs.small_call_ns + 2.0 * costs.submit_ns;
        costs.populate_call_ns = trip;
        costs.block_page_ns = costs.block_page_cost();
        // The device's record has to be seen and the rest submitted as well.
        costs.fault_ns = costs.populate_call_ns + 2.0 * costs.submit_ns;
        Ok(costs)
    }

    /// A page request goes to a thread of the kernel's and back as well, and ends in the same populating.
    pub(super) fn block_page_cost(&self) -> f64 {
        Self::PUBLISHED.block_page_ns.max(self.populate_call_ns + self.populate_page_ns)
    }
}

struct Memory {
    populate: Duration,
    present: Duration,
    copy: Duration,
    sample: Duration,
}

impl Memory {
    fn measure(sampler: &Sampler) -> io::Result<Self> {
        let (map, populate, present) = populated()?;
        let (mut other, ..) = populated()?;
        let began = Instant::now();
        black_box(&mut other).copy_from_slice(black_box(&map));
        let copy = began.elapsed();
        let span = Span::new(VirtAddr::of(map.as_ptr()), map.len() as u64);
        let mut operands = [None; OPERANDS_MAX];
        operands[0] = Some(Operand { span, access: Access::Write });
        let began = Instant::now();
        black_box(sampler.look(&operands));
        Ok(Self { populate, present, copy, sample: began.elapsed() })
    }
}

/// Fresh memory, populated twice.
fn populated() -> io::Result<(MmapMut, Duration, Duration)> {
    let map = MmapMut::map_anon(BYTES)?;
    // A kernel without huge pages refuses, and needs no advice.
    let _ = map.advise(Advice::NoHugePage);
    let populate = || {
        let began = Instant::now();
        map.advise(Advice::PopulateWrite).map(|()| began.elapsed())
    };
    let (first, second) = (populate()?, populate()?);
    Ok((map, first, second))
}

/// A hand-over to another thread and back, which is what a request to the resolver is.
fn round_trip() -> io::Result<f64> {
    let (ask, asked) = mpsc::sync_channel::<()>(1);
    let (answer, answered) = mpsc::sync_channel::<()>(1);
    let other = std::thread::Builder::new().name("svala-calibrate".into()).spawn(move || {
        while asked.recv().is_ok() {
            if answer.send(()).is_err() {
                return;
            }
        }
    })?;
    let mut trips: Vec<Duration> = Vec::with_capacity(ROUND_TRIPS as usize);
    for _ in 0..ROUND_TRIPS {
        let began = Instant::now();
        if ask.send(()).is_err() || answered.recv().is_err() {
            break;
        }
        trips.push(began.elapsed());
    }
    drop(ask);
    let _ = other.join();
    // The quarter that nothing came between.
    trips.sort_unstable();
    let usual = trips.get(trips.len() / 4).copied();
    Ok(usual.map_or(CostModel::PUBLISHED.populate_call_ns, nanos))
}

#[expect(clippy::cast_precision_loss, reason = "durations of milliseconds, in an estimate")]
pub(super) fn nanos(duration: Duration) -> f64 {
    duration.as_nanos() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No bounds on times: only that everything was measured.
    #[test]
    fn everything_is_measured() {
        let costs = CostModel::measured().expect("maps and threads");
        println!("{costs:?}");
        for cost in [
            costs.fault_ns,
            costs.populate_call_ns,
            costs.populate_page_ns,
            costs.present_page_ns,
            costs.work_page_ns,
            costs.sample_ns,
        ] {
            assert!(cost.is_finite() && cost > 0.0, "{costs:?}");
        }
    }
}
