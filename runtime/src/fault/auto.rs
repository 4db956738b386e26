//! [`FaultPolicy::Auto`]: which policy an operation gets, and what has been learned for that.
//!
//! A look at the page tables costs about as much as a small operation on a device. So it is taken only if what it may
//! save, times how often operations have met absent memory of late, is more than it costs: a program whose memory is
//! there pays nothing, and one fault later the looks begin.

use std::time::Duration;

use parking_lot::Mutex;
use serde::Serialize;

use super::calibrate::nanos;
use super::cost::{CostModel, PREFETCH_BYTES, Situation, WINDOW_BYTES_MIN};
use super::policy::FaultPolicy;
use super::residency::{Residency, Sampler};
use super::window::WindowBounds;
use crate::address::PAGE_BYTES;
use crate::job::{Job, Operation};
use crate::sync::{AtomicU32, AtomicU64, Ordering};

/// What is always, in 1/65536.
const ALWAYS: u32 = 1 << 16;
/// Weight of one operation.
const SHARE_WEIGHT: u32 = 8;
/// How far a cost goes towards one measured duration, as a factor. Down further than up: what is followed is what two of
/// five measurements stay below.
const UP: f64 = 1.06;
const DOWN: f64 = 0.917;
/// How far costs may go from where they began, as a factor. Beyond that it is the machine that is not itself.
const DRIFT_MAX: f64 = 16.0;
/// Resolutions of at least this many pages say what a page costs; of fewer, what a call does.
const MANY_PAGES: u64 = 64;

/// How `Auto` chooses, and how it has chosen.
#[derive(Debug)]
pub(crate) struct Auto {
    costs: Mutex<CostModel>,
    /// The costs it began with.
    first: CostModel,
    sampler: Sampler,
    /// Operations of late that met absent memory, in 1/65536 of all.
    cold_share: AtomicU32,
    samples: AtomicU64,
    unsampled: AtomicU64,
    resolve: AtomicU64,
    prefetch: AtomicU64,
    block: AtomicU64,
    measured: bool,
}

/// What [`FaultPolicy::Auto`] knows and has done.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct AutoSnapshot {
    /// What things cost, as known now.
    pub costs: CostModel,
    /// Whether the costs were measured on this machine. If not they are the configuration's, or published figures.
    pub measured: bool,
    /// How the page tables are looked at: `pagemap_scan` or `mincore`.
    pub sampler: &'static str,
    /// Of the operations of late, the share that met absent memory: 0 to 1.
    pub cold_share: f64,
    /// Operations whose pages were looked at.
    pub samples: u64,
    /// Operations for which a look was not worth its cost.
    pub unsampled: u64,
    /// Operations left to [`FaultPolicy::Resolve`].
    pub resolve: u64,
    /// Operations given to [`FaultPolicy::Prefetch`].
    pub prefetch: u64,
    /// Operations given to [`FaultPolicy::BlockOnFault`].
    pub block: u64,
}

/// What the choice depends on besides the job.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Circumstances {
    pub(crate) can_block: bool,
    pub(crate) window: WindowBounds,
}

impl Auto {
    /// With these costs, or measured ones.
    pub(crate) fn new(costs: Option<CostModel>) -> Self {
        let measured = if costs.is_none() { CostModel::measured() } else { Ok(CostModel::PUBLISHED) };
        if let Err(error) = &measured {
            tracing::warn!(%error, "fault costs not measured: published ones have to do");
        }
        let is_measured = costs.is_none() && measured.is_ok();
        let first = costs.or(measured.ok()).unwrap_or_default();
        Self {
            costs: Mutex::new(first),
            first,
            sampler: Sampler::new(),
            // Nothing is known yet: look at the first operations.
            cold_share: AtomicU32::new(ALWAYS / 2),
            samples: AtomicU64::new(0),
            unsampled: AtomicU64::new(0),
            resolve: AtomicU64::new(0),
            prefetch: AtomicU64::new(0),
            block: AtomicU64::new(0),
            measured: is_measured,
        }
    }

    /// The policy for operations that are submitted together.
    pub(crate) fn choose(&self, jobs: impl Iterator<Item = Job> + Clone, how: Circumstances) -> FaultPolicy {
        let pages = jobs.clone().flat_map(|job| job.operands()).flatten();
        let pages = pages.map(|operand| operand.span.page_count()).fold(0, u64::saturating_add);
        let restarts = jobs.clone().any(|job| restarts(&job));
        let is_small = jobs
            .clone()
            .flat_map(|job| job.operands())
            .flatten()
            .all(|operand| operand.span.pages().len <= WINDOW_BYTES_MIN);
        let situation = |found: Residency| Situation {
            pages_absent: found.absent,
            holes: found.holes,
            restarts,
            is_small,
            can_block: how.can_block,
            window_pages_min: how.window.min / PAGE_BYTES,
            window_pages_max: how.window.max / PAGE_BYTES,
            prefetch_pages_max: PREFETCH_BYTES / PAGE_BYTES,
            ..Situation::new(pages)
        };
        if !self.is_worth_a_look(&situation(Residency { pages, absent: pages, holes: 1 })) {
            self.unsampled.fetch_add(1, Ordering::Relaxed);
            self.resolve.fetch_add(1, Ordering::Relaxed);
            return FaultPolicy::Resolve;
        }
        let mut found = Residency::default();
        for job in jobs {
            let one = self.sampler.look(&job.operands());
            found.absent += one.absent;
            found.holes += one.holes;
        }
        self.samples.fetch_add(1, Ordering::Relaxed);
        self.note(found.absent != 0);
        let policy = self.costs.lock().estimate(&situation(found)).policy;
        let counter = match policy {
            FaultPolicy::Prefetch => &self.prefetch,
            FaultPolicy::BlockOnFault => &self.block,
            _ => &self.resolve,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        policy
    }

    /// Whether an operation that were all absent could gain more than a look costs, given how likely that is.
    fn is_worth_a_look(&self, cold: &Situation) -> bool {
        let costs = self.costs.lock();
        let estimate = costs.estimate(cold);
        let best = estimate.prefetch_ns.min(estimate.block_ns.unwrap_or(f64::MAX));
        let saving = (estimate.resolve_ns - best).max(0.0);
        saving * self.cold_share() > costs.sample_ns
    }

    fn cold_share(&self) -> f64 {
        f64::from(self.cold_share.load(Ordering::Relaxed)) / f64::from(ALWAYS)
    }

    /// An operation met absent memory, or did not. Two at once may count as one.
    pub(crate) fn note(&self, was_cold: bool) {
        let old = self.cold_share.load(Ordering::Relaxed);
        let new = if was_cold { old + (ALWAYS - old) / SHARE_WEIGHT } else { old - old / SHARE_WEIGHT };
        if new != old {
            self.cold_share.store(new, Ordering::Relaxed);
        }
    }

    /// A resolution of this many pages took so long.
    ///
    /// A machine that has other things to do makes some of them take a thousand times as long. So each measurement moves a
    /// cost by a small factor, up or down, however far off it is: costs follow what is usual, and the worst that a bad
    /// moment can do is as much as one good moment undoes.
    pub(crate) fn learn(&self, what: Resolved, took: Duration) {
        let Resolved { pages, is_small, is_fault } = what;
        let mut costs = self.costs.lock();
        let costs = &mut *costs;
        let took = nanos(took);
        #[expect(clippy::cast_precision_loss, reason = "pages of one window")]
        let pages_f = pages as f64;
        let first = &self.first;
        if is_small {
            let rest = took - pages_f * costs.populate_page_ns;
            if is_fault {
                // The rest of the operation has to be submitted as well.
                follow(&mut costs.small_fault_ns, rest + costs.submit_ns, first.small_fault_ns);
            } else {
                follow(&mut costs.small_call_ns, rest, first.small_call_ns);
            }
        } else if pages >= MANY_PAGES {
            let page = (took - costs.populate_call_ns) / pages_f;
            follow(&mut costs.populate_page_ns, page, first.populate_page_ns);
            costs.populate_page_ns = costs.populate_page_ns.max(costs.present_page_ns);
        } else {
            let call = took - pages_f * costs.populate_page_ns;
            follow(&mut costs.populate_call_ns, call, first.populate_call_ns);
            costs.fault_ns = costs.populate_call_ns + 2.0 * costs.submit_ns;
        }
        if self.measured {
            costs.block_page_ns = costs.block_page_cost();
        }
    }

    pub(crate) fn snapshot(&self) -> AutoSnapshot {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        AutoSnapshot {
            costs: *self.costs.lock(),
            measured: self.measured,
            sampler: self.sampler.name(),
            cold_share: self.cold_share(),
            samples: read(&self.samples),
            unsampled: read(&self.unsampled),
            resolve: read(&self.resolve),
            prefetch: read(&self.prefetch),
            block: read(&self.block),
        }
    }
}

/// What a resolution was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Resolved {
    pub(crate) pages: u64,
    /// By whoever was there, or a helper.
    pub(crate) is_small: bool,
    /// For a fault, not before the submission.
    pub(crate) is_fault: bool,
}

/// Moves a cost towards a measurement.
fn follow(cost: &mut f64, measured: f64, first: f64) {
    let next = *cost * if measured > *cost { UP } else { DOWN };
    *cost = next.clamp(first / DRIFT_MAX, first * DRIFT_MAX);
}

/// Whether a fault makes it begin again.
const fn restarts(job: &Job) -> bool {
    matches!(
        job.operation(),
        Operation::Deflate
            | Operation::Inflate
            | Operation::Lz4Compress
            | Operation::Lz4Decompress
            | Operation::GatherReduce
    ) || matches!(
        job,
        Job::Cipher { .. }
            | Job::DeflateDictionary { .. }
            | Job::InflateDictionary { .. }
            | Job::DecryptInflate { .. }
            | Job::DeflateMiniblocks { .. }
            | Job::IndexMiniblocks { .. }
            | Job::InflateMiniblocks { .. }
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::VirtAddr;
    use memmap2::{Advice, MmapMut};

    const HOW: Circumstances =
        Circumstances { can_block: false, window: WindowBounds { min: 16 << 10, max: 8 << 20 } };

    fn fill(map: &MmapMut) -> Job {
        Job::Fill { dst: VirtAddr::of(map.as_ptr()), len: map.len() as u64, pattern: 1 }
    }

    fn cold(pages: usize) -> MmapMut {
        let map = MmapMut::map_anon(pages * 4096).expect("maps");
        let _ = map.advise(Advice::NoHugePage);
        map
    }

    #[test]
    fn cold_memory_is_populated_and_warm_memory_is_not() {
        let auto = Auto::new(Some(CostModel::PUBLISHED));
        let map = cold(16);
        let choose = |map| auto.choose([fill(map)].into_iter(), HOW);
        assert_eq!(choose(&map), FaultPolicy::Prefetch);
        map.advise(Advice::PopulateWrite).expect("populates");
        assert_eq!(choose(&map), FaultPolicy::Resolve);
        let seen = auto.snapshot();
        assert_eq!((seen.samples, seen.prefetch, seen.resolve), (2, 1, 1));
    }

    /// After enough operations on memory that is there, nobody looks any more; after a fault somebody does.
    #[test]
    fn looks_stop_where_memory_is_there_and_begin_again_with_faults() {
        let auto = Auto::new(Some(CostModel::PUBLISHED));
        let map = cold(16);
        map.advise(Advice::PopulateWrite).expect("populates");
        for _ in 0..200 {
            assert_eq!(auto.choose([fill(&map)].into_iter(), HOW), FaultPolicy::Resolve);
        }
        let seen = auto.snapshot();
        assert!(seen.unsampled > 100 && seen.samples < 100, "{seen:?}");
        auto.note(true);
        auto.note(true);
        auto.note(true);
        assert_eq!(auto.choose([fill(&cold(16))].into_iter(), HOW), FaultPolicy::Prefetch);
    }

    #[test]
    fn costs_follow_what_is_met() {
        let auto = Auto::new(Some(CostModel::PUBLISHED));
        for _ in 0..500 {
            learn(&auto, 1000, false, true, 1000 * 3 + 50);
            learn(&auto, 8, false, true, 74);
            learn(&auto, 2, true, true, 8);
            learn(&auto, 2, true, false, 18);
        }
        let costs = auto.snapshot().costs;
        let is_near = |cost: f64, want: f64| (cost / want - 1.0).abs() < 0.2;
        assert!(is_near(costs.populate_page_ns, 3_000.0), "{costs:?}");
        assert!(is_near(costs.populate_call_ns, 50_000.0), "{costs:?}");
        assert!(is_near(costs.small_fault_ns, 2_700.0), "{costs:?}");
        assert!(is_near(costs.small_call_ns, 12_000.0), "{costs:?}");
        assert!(costs.fault_ns > costs.populate_call_ns, "{costs:?}");
    }

    /// One resolution in three takes a time slice or more, as on a machine that has other things to do: the choice stays.
    #[test]
    fn what_takes_long_now_and_then_changes_no_choice() {
        let auto = Auto::new(Some(CostModel::PUBLISHED));
        let choices = |auto: &Auto| {
            let costs = auto.snapshot().costs;
            let of = |pages, absent, can_block| {
                let situation =
                    Situation { pages_absent: absent, holes: 1, can_block, ..Situation::new(pages) };
                costs.estimate(&situation).policy
            };
            [1, 2, 8, 64, 512, 1 << 16].map(|pages| (of(pages, pages, true), of(pages, 0, true)))
        };
        let before = choices(&auto);
        for round in 0..3000_u64 {
            let late = if round % 3 == 0 { 4_000 + round % 7 * 3_000 } else { 0 };
            learn(&auto, 2048, false, true, 10 + 2048 * 12 / 10 + late);
            learn(&auto, 8, false, true, 20 + late);
            learn(&auto, 2, true, true, 8 + late);
            learn(&auto, 2, true, false, 8 + late);
            assert_eq!(choices(&auto), before, "round {round}: {:?}", auto.snapshot().costs);
        }
    }

    #[test]
    fn costs_stay_within_reach_of_the_first() {
        let auto = Auto::new(Some(CostModel::PUBLISHED));
        for _ in 0..2000 {
            learn(&auto, 8, false, true, 1 << 40);
            learn(&auto, 2, true, true, 0);
        }
        let costs = auto.snapshot().costs;
        assert_eq!(costs.populate_call_ns, CostModel::PUBLISHED.populate_call_ns * DRIFT_MAX);
        assert_eq!(costs.small_fault_ns, CostModel::PUBLISHED.small_fault_ns / DRIFT_MAX);
    }

    fn learn(auto: &Auto, pages: u64, is_small: bool, is_fault: bool, micros: u64) {
        auto.learn(Resolved { pages, is_small, is_fault }, Duration::from_micros(micros));
    }
}
