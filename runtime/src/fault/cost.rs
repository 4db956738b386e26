//! What each way to treat faults would cost an operation, from what single things cost on this machine.
//!
//! Pure arithmetic: nothing here measures ([`super::calibrate`] does) or remembers ([`super::auto`] does). The model is
//! coarse on purpose. It has to be right about which way is cheapest, and that is decided by a few large numbers: a
//! fault costs two hand-overs between threads, a populated page costs its zeroing, a page that is there costs next to
//! nothing, and populating beforehand waits for what `Resolve` does beside the device's work.

use serde::Serialize;

use super::policy::FaultPolicy;
use crate::address::PAGE_BYTES;

/// What single things cost on this machine, in nanoseconds.
///
/// Of [`Config::costs`](crate::Config::costs), or measured when a runtime with [`FaultPolicy::Auto`] starts and kept up
/// to date from what its operations meet.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct CostModel {
    /// One descriptor to the device and its record back, without its work.
    pub submit_ns: f64,
    /// One fault under `Resolve`: from the device's record through the resolver to the rest submitted again, without
    /// the populating.
    pub fault_ns: f64,
    /// The same where what is needed is small, as the first window of a transfer is: at once, or by a helper.
    pub small_fault_ns: f64,
    /// One request to populate, without the pages: to the resolver and back.
    pub populate_call_ns: f64,
    /// The same where what is needed is small: to a helper.
    pub small_call_ns: f64,
    /// One absent page made present.
    pub populate_page_ns: f64,
    /// One page populated that was there already.
    pub present_page_ns: f64,
    /// A device that works on one present page.
    pub work_page_ns: f64,
    /// One look at whether pages of an operation are there.
    pub sample_ns: f64,
    /// One page that the device itself waits for, through a page request.
    pub block_page_ns: f64,
}

impl CostModel {
    /// Published and usual figures, for want of measured ones: 13.8 us for a page with block-on-fault and 1.2 us for
    /// the CPU's first touch of a page on Sapphire Rapids, 30 GB/s for the device; two hand-overs between threads, or one.
    pub const PUBLISHED: Self = Self {
        submit_ns: 700.0,
        fault_ns: 12_000.0,
        small_fault_ns: 6_400.0,
        populate_call_ns: 10_000.0,
        small_call_ns: 5_000.0,
        populate_page_ns: 1_200.0,
        present_page_ns: 20.0,
        work_page_ns: 136.0,
        sample_ns: 800.0,
        block_page_ns: 13_800.0,
    };

    /// What each policy would cost an operation, and which costs least: by a margin, where it is not the usual one.
    #[must_use]
    pub fn estimate(&self, situation: &Situation) -> Estimate {
        let pages = as_f64(situation.pages);
        let absent = as_f64(situation.pages_absent.min(situation.pages));
        let populate = absent * self.populate_page_ns + (pages - absent) * self.present_page_ns;
        let work = pages * self.work_page_ns;
        let resolve = self.submit_ns + self.resolve_ns(situation, absent, work);
        let stretches = situation.pages.div_ceil(situation.prefetch_pages_max.max(1));
        let call = if situation.is_small { self.small_call_ns } else { self.populate_call_ns };
        let prefetch = self.submit_ns + as_f64(stretches) * call + populate + work;
        let block =
            situation.can_block.then_some(self.submit_ns + absent * self.block_page_ns.max(0.0) + work);
        let mut estimate = Estimate {
            resolve_ns: resolve,
            prefetch_ns: prefetch,
            block_ns: block,
            policy: FaultPolicy::Resolve,
        };
        // By margins of what comes on top of the work: what is as good as the usual way is not worth leaving it, and an
        // engine that waits does nothing for anybody else.
        let extra = |cost: f64| (cost - work).max(0.0);
        if extra(prefetch) < extra(resolve) * PREFETCH_MARGIN {
            estimate.policy = FaultPolicy::Prefetch;
        }
        if block.is_some_and(|block| extra(block) < extra(resolve.min(prefetch)) * BLOCK_MARGIN) {
            estimate.policy = FaultPolicy::BlockOnFault;
        }
        estimate
    }

    /// Faults, and the populating that goes on beside the device's work once the window has grown.
    fn resolve_ns(&self, situation: &Situation, absent: f64, work: f64) -> f64 {
        if situation.pages_absent == 0 {
            return work;
        }
        let populate = absent * self.populate_page_ns;
        if situation.restarts {
            // One fault, all of it populated, and half of the work for nothing.
            let present = as_f64(situation.pages) - absent;
            let fault = if situation.is_small { self.small_fault_ns } else { self.fault_ns };
            return fault + populate + present * self.present_page_ns + 1.5 * work;
        }
        let faults = as_f64(situation.faults());
        // What is ahead of the device is populated meanwhile; of the first window nothing is.
        let first = populate.min(as_f64(situation.window_pages_min) * self.populate_page_ns);
        let beside = if faults > 1.0 { (populate - first).max(work) } else { populate - first + work };
        // The first window of each hole is small.
        let small = as_f64(situation.holes_max()).min(faults);
        small * self.small_fault_ns + (faults - small) * self.fault_ns + first + beside
    }
}

impl Default for CostModel {
    fn default() -> Self {
        Self::PUBLISHED
    }
}

/// What is known of an operation before it is submitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Situation {
    /// Pages its operands touch.
    pub pages: u64,
    /// Of them, those that are not there, as a sample has it.
    pub pages_absent: u64,
    /// Stretches of absent pages with present ones between them, as a sample has it.
    pub holes: u64,
    /// It keeps nothing of a partial run.
    pub restarts: bool,
    /// No operand has more than a first window's bytes.
    pub is_small: bool,
    /// The queue can have the device wait for pages.
    pub can_block: bool,
    /// Pages of the first window.
    pub window_pages_min: u64,
    /// Pages of the largest.
    pub window_pages_max: u64,
    /// Pages populated in one go before submission.
    pub prefetch_pages_max: u64,
}

impl Situation {
    /// An operation on `pages` pages, all of them there, with the usual windows.
    #[must_use]
    pub const fn new(pages: u64) -> Self {
        Self {
            pages,
            pages_absent: 0,
            holes: 0,
            restarts: false,
            is_small: pages <= WINDOW_BYTES_MIN / PAGE_BYTES,
            can_block: false,
            window_pages_min: WINDOW_BYTES_MIN / PAGE_BYTES,
            window_pages_max: WINDOW_BYTES_MAX / PAGE_BYTES,
            prefetch_pages_max: PREFETCH_BYTES / PAGE_BYTES,
        }
    }

    /// Holes: one at least, and no more than absent pages.
    fn holes_max(&self) -> u64 {
        self.holes.clamp(1, self.pages_absent.max(1))
    }

    /// Faults under `Resolve`: one for each hole, and one for each window where a hole is longer.
    fn faults(&self) -> u64 {
        let holes = self.holes_max();
        let mut left = (self.pages_absent / holes).max(1);
        let mut window = self.window_pages_min.max(1);
        let mut faults = 0_u64;
        while left > 0 && window < self.window_pages_max.max(1) {
            left = left.saturating_sub(window);
            window = window.saturating_mul(2);
            faults += 1;
        }
        faults = faults.saturating_add(left.div_ceil(self.window_pages_max.max(1)));
        faults.saturating_mul(holes)
    }
}

/// What each policy would cost.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Estimate {
    /// Under [`FaultPolicy::Resolve`], in nanoseconds.
    pub resolve_ns: f64,
    /// Under [`FaultPolicy::Prefetch`].
    pub prefetch_ns: f64,
    /// Under [`FaultPolicy::BlockOnFault`], where the queue can.
    pub block_ns: Option<f64>,
    /// The cheapest; `Resolve`, if that costs hardly more beside the work.
    pub policy: FaultPolicy,
}

/// What populating first, and waiting, may cost at most beside the work, of what the others do.
const PREFETCH_MARGIN: f64 = 0.95;
const BLOCK_MARGIN: f64 = 0.75;
/// Bytes of each operand populated in one go before submission.
pub(crate) const PREFETCH_BYTES: u64 = 64 << 20;
/// Smallest window, unless configured otherwise.
pub(crate) const WINDOW_BYTES_MIN: u64 = 16 << 10;
/// Largest window, unless configured otherwise.
pub(crate) const WINDOW_BYTES_MAX: u64 = 8 << 20;

/// Counts are far below 2^53.
#[expect(clippy::cast_precision_loss, reason = "an estimate")]
const fn as_f64(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const COSTS: CostModel = CostModel::PUBLISHED;

    fn policy(situation: Situation) -> FaultPolicy {
        COSTS.estimate(&situation).policy
    }

    #[test]
    fn memory_that_is_there_is_submitted() {
        for pages in [1, 2, 512, 1 << 18] {
            assert_eq!(policy(Situation::new(pages)), FaultPolicy::Resolve, "{pages} pages");
        }
    }

    #[test]
    fn a_small_cold_operation_is_populated_first() {
        for pages in [2, 16, 64] {
            let cold = Situation { pages_absent: pages, holes: 1, ..Situation::new(pages) };
            assert_eq!(policy(cold), FaultPolicy::Prefetch, "{pages} pages");
        }
    }

    /// Populating all of it beforehand would leave the device idle for that long.
    #[test]
    fn a_large_cold_operation_is_populated_beside_its_work() {
        let cold = Situation { pages_absent: 1 << 18, holes: 1, ..Situation::new(1 << 18) };
        let costs = CostModel { populate_page_ns: 200.0, ..COSTS };
        assert_eq!(costs.estimate(&cold).policy, FaultPolicy::Resolve);
    }

    #[test]
    fn an_operation_that_restarts_is_populated_first() {
        let cold = Situation { pages_absent: 100, holes: 1, restarts: true, ..Situation::new(1000) };
        assert_eq!(policy(cold), FaultPolicy::Prefetch);
    }

    #[test]
    fn one_absent_page_may_be_left_to_a_device_that_waits_cheaply() {
        let one = Situation { pages_absent: 1, holes: 1, can_block: true, ..Situation::new(4096) };
        let costs = CostModel { block_page_ns: 2_000.0, ..COSTS };
        assert_eq!(costs.estimate(&one).policy, FaultPolicy::BlockOnFault);
        assert_ne!(costs.estimate(&Situation { can_block: false, ..one }).policy, FaultPolicy::BlockOnFault);
        assert_eq!(costs.estimate(&Situation { can_block: false, ..one }).block_ns, None);
    }

    #[test]
    fn faults_follow_the_window() {
        let cold = |pages, holes| Situation { pages_absent: pages, holes, ..Situation::new(pages) };
        assert_eq!(cold(4, 1).faults(), 1);
        assert_eq!(cold(12, 1).faults(), 2);
        assert_eq!(cold(100, 100).faults(), 100);
        // 4 pages doubled nine times reaches 2048; what is left goes at 2048 a fault.
        assert_eq!(cold(1 << 18, 1).faults(), 9 + ((1_u64 << 18) - 511 * 4).div_ceil(2048));
    }

    /// Nothing a caller can put in makes the estimate panic.
    #[test]
    fn nonsense_is_estimated_too() {
        let all = u64::MAX;
        let nonsense = Situation {
            pages: all,
            pages_absent: all,
            holes: all,
            restarts: false,
            is_small: true,
            can_block: true,
            window_pages_min: 0,
            window_pages_max: 0,
            prefetch_pages_max: 0,
        };
        assert!(COSTS.estimate(&nonsense).prefetch_ns > 0.0);
        let _ = CostModel { block_page_ns: f64::NAN, ..COSTS }.estimate(&nonsense);
    }
}
