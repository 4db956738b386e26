// SPDX-License-Identifier: MIT OR Apache-2.0

//! Fault-around as a fault handler uses it: how much to make present for one page request, and what
//! came of that.
//!
//! [`Windows`](super::Windows) decides how far a walk may be run ahead of. This adds what a handler
//! needs around the decision: no window ends in the middle of a huge page if it can end before one;
//! a handler that could populate less than it was given (a hole, no memory, a signal) says so, and
//! the walk goes on from there; and everything is counted, so that what fault-around costs and
//! saves can be seen.
//!
//! One [`FaultAround`] follows one bond. Pure: no lock, no clock, no memory. The embedder keeps it
//! under a lock of its own and holds that lock for the decision only, never while it populates.

use core::ops::Range;

use super::window::Windows;

/// Pages of a huge page: 2 MiB of 4 KiB.
const HUGE_PAGES: u64 = 512;

/// What fault-around did on a bond.
///
/// `ahead` is what was populated that nobody had asked for; `hit`, that part of it a walk has gone
/// past without a fault, as its next fault shows. What of the last window of a walk was used cannot
/// be told, so `hit` never counts more than was of use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FaultAroundStats {
    /// Page requests a decision was made for.
    pub requested: u64,
    /// Of them, those that went on where a window ended.
    pub sequential: u64,
    /// Pages given in addition to those requested.
    pub ahead: u64,
    /// Pages given in addition that could not be populated.
    pub missed: u64,
    /// Pages populated ahead that a walk has gone past.
    pub hit: u64,
}

/// The fault-around of one bond, for up to `N` walks through memory at once.
#[derive(Clone, Debug)]
pub struct FaultAround<const N: usize> {
    windows: Windows<N>,
    stats: FaultAroundStats,
}

impl<const N: usize> FaultAround<N> {
    /// Windows begin at one page, double while a walk goes on, and never exceed `pages_max` (at
    /// least 1).
    #[must_use]
    pub fn new(pages_max: u64) -> Self {
        Self {
            windows: Windows::new(pages_max),
            stats: FaultAroundStats::default(),
        }
    }

    /// Changes the limit, from the next fault on.
    pub fn set_pages_max(&mut self, pages_max: u64) {
        self.windows.set_pages_max(pages_max);
    }

    /// What to make present for a request of page `page`, within `limit`: the pages of the mapping
    /// it is in. Always contains `page`, even if `limit` does not, and is never empty: whether that
    /// page may be had is the handler's to find out.
    pub fn fault(&mut self, page: u64, limit: Range<u64>) -> Range<u64> {
        let decision = self.windows.decide(page, limit);
        let given = before_a_huge_page(decision.given.clone(), page);
        if given != decision.given {
            self.windows.trim(&decision.given, given.clone());
        }
        let stats = &mut self.stats;
        stats.requested = stats.requested.saturating_add(1);
        stats.sequential = stats
            .sequential
            .saturating_add(u64::from(decision.continues));
        stats.hit = stats.hit.saturating_add(decision.passed);
        stats.ahead = stats.ahead.saturating_add(len(&given).saturating_sub(1));
        given
    }

    /// Of `given`, as [`fault`](Self::fault) answered it, only `done` (which may be empty) was made
    /// present. The walk's next fault comes where `done` ends.
    pub fn populated(&mut self, given: &Range<u64>, done: Range<u64>) {
        let missed = len(given).saturating_sub(len(&done).max(1));
        if missed == 0 {
            return;
        }
        self.stats.missed = self.stats.missed.saturating_add(missed);
        self.windows.trim(given, done);
    }

    /// The counters.
    #[must_use]
    pub fn stats(&self) -> FaultAroundStats {
        self.stats
    }
}

fn len(pages: &Range<u64>) -> u64 {
    pages.end.saturating_sub(pages.start)
}

/// A window that would end inside a huge page ends before it, so that the next one covers it whole
/// and takes one fault of the kernel's. Only where the window begins before that huge page.
fn before_a_huge_page(given: Range<u64>, page: u64) -> Range<u64> {
    let end = given.end & !(HUGE_PAGES - 1);
    if page == given.start && end > page && len(&given) >= HUGE_PAGES {
        given.start..end
    } else {
        given
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ALL: Range<u64> = 0..u64::MAX;

    /// A cold walk of a gibibyte: every page is requested or was given ahead, and far fewer are
    /// requested.
    #[test]
    fn a_sequential_walk_is_given_all_it_needs() {
        let mut around = FaultAround::<4>::new(64);
        let (mut page, pages) = (0, 1 << 18);
        while page < pages {
            page = around.fault(page, 0..pages).end;
        }
        let stats = around.stats();
        assert_eq!(stats.requested + stats.ahead, pages);
        assert!(stats.requested * 60 < pages, "{stats:?}");
        assert_eq!(stats.sequential, stats.requested - 1);
        // All but the last window is known to have been used.
        assert!(stats.hit >= stats.ahead - 64, "{stats:?}");
        assert_eq!(stats.missed, 0);
    }

    #[test]
    fn random_requests_are_given_what_they_ask_for() {
        let mut around = FaultAround::<4>::new(512);
        for step in 0..1000_u64 {
            let page = step.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
            assert_eq!(around.fault(page, ALL), page..page + 1);
        }
        assert_eq!(
            around.stats(),
            FaultAroundStats {
                requested: 1000,
                ..FaultAroundStats::default()
            }
        );
    }

    #[test]
    fn a_large_window_ends_where_a_huge_page_does() {
        let mut around = FaultAround::<1>::new(2048);
        let mut page = 100;
        let mut given = 0..0;
        while len(&given) < 1024 {
            given = around.fault(page, ALL);
            assert_eq!(given.start, page);
            page = given.end;
        }
        for _ in 0..5 {
            given = around.fault(page, ALL);
            assert_eq!(given.end % HUGE_PAGES, 0, "{given:?}");
            page = given.end;
        }
    }

    /// A hole in the mapping: the walk goes on where populating stopped, and does not begin again.
    #[test]
    fn a_walk_goes_on_where_populating_stopped() {
        let mut around = FaultAround::<2>::new(64);
        for page in [0, 1, 3] {
            around.fault(page, ALL);
        }
        let given = around.fault(7, ALL);
        assert_eq!(given, 7..15);
        around.populated(&given, 7..10);
        assert_eq!(around.stats().missed, 5);
        assert_eq!(around.fault(10, ALL), 10..26);
        assert_eq!(around.stats().hit, 6);
    }

    #[test]
    fn nothing_populated_is_no_walk() {
        let mut around = FaultAround::<2>::new(64);
        around.fault(0, ALL);
        let given = around.fault(1, ALL);
        around.populated(&given, 1..1);
        assert_eq!(around.fault(3, ALL), 3..4);
    }

    proptest! {
        /// Whatever is asked and however little can be had: the page is in, the bound holds, and
        /// the books balance.
        #[test]
        fn the_counters_balance(
            max in 0u64..2000,
            faults in prop::collection::vec(
                (0u64..4000, 0u64..4000, 0u64..4000, 0u64..3000),
                1..60,
            ),
        ) {
            let mut around = FaultAround::<3>::new(max);
            let mut given_in_all = 0;
            for (page, start, end, less) in &faults {
                let given = around.fault(*page, *start..*end);
                prop_assert!(given.contains(page));
                prop_assert!(len(&given) <= max.max(1));
                given_in_all += len(&given);
                let done = given.end.saturating_sub(*less).max(given.start);
                around.populated(&given, given.start..done);
            }
            let stats = around.stats();
            prop_assert_eq!(stats.requested, faults.len() as u64);
            prop_assert_eq!(stats.requested + stats.ahead, given_in_all);
            prop_assert!(stats.hit + stats.missed <= stats.ahead, "{:?}", stats);
            prop_assert!(stats.sequential <= stats.requested);
        }
    }
}
