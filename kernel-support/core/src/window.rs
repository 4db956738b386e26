// SPDX-License-Identifier: MIT OR Apache-2.0

//! Fault-around: how many pages to make present for one fault.
//!
//! Answering a page request costs far more than making a page present, so a device that walks
//! through memory should fault once per window, not once per page. A [`Window`] follows one such
//! walk: it doubles while faults come where the last window ended, and falls back to one page when
//! they do not. A copy is two walks at once, one through its source and one through its
//! destination, hence [`Windows`], which keeps a few apart.
//!
//! Pure arithmetic on page numbers: no lock, no clock, no memory.

use core::ops::Range;

/// Which way a walk goes. A reversed copy goes down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Up,
    Down,
}

/// What a fault was given, and what it says about its walk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Decision {
    pub(crate) given: Range<u64>,
    /// It went on where the last window ended.
    pub(crate) continues: bool,
    /// Pages given ahead before that the walk has gone past.
    pub(crate) passed: u64,
}

/// The fault-around window of one walk through memory.
#[derive(Clone, Debug)]
pub struct Window {
    pages_max: u64,
    /// What the last fault was given; empty before the first.
    last: Range<u64>,
    /// What the next fault may be given if it continues the walk, before limits.
    ahead: u64,
}

impl Window {
    /// A window of one page, to grow to `pages_max` (at least 1).
    #[must_use]
    pub const fn new(pages_max: u64) -> Self {
        Self {
            pages_max: if pages_max == 0 { 1 } else { pages_max },
            last: 0..0,
            ahead: 1,
        }
    }

    /// What to make present for a fault on page `page`: that page and what follows it on the walk,
    /// within `limit` (the mapping, or the rest of the transfer). Always contains `page`, even if
    /// `limit` does not: the fault itself is the caller's to judge.
    pub fn fault(&mut self, page: u64, limit: Range<u64>) -> Range<u64> {
        self.decide(page, limit).given
    }

    fn decide(&mut self, page: u64, limit: Range<u64>) -> Decision {
        let direction = self.continues(page);
        // The walk has come to the end of what it was given: of that, only the first page had been
        // asked for.
        let passed = if direction.is_some() {
            self.last
                .end
                .saturating_sub(self.last.start)
                .saturating_sub(1)
        } else {
            0
        };
        self.ahead = match direction {
            Some(_) => self.ahead.saturating_mul(2).min(self.pages_max),
            None if self.last.contains(&page) => self.ahead,
            None => 1,
        };
        // A page of the last window faulting again says nothing about the walk: it gets itself
        // alone.
        let pages = if limit.contains(&page) && direction.is_some() {
            self.ahead
        } else {
            1
        };
        let given = match direction {
            Some(Direction::Down) => {
                page.saturating_sub(pages - 1).max(limit.start).min(page)..page.saturating_add(1)
            }
            _ => {
                page..page
                    .saturating_add(pages)
                    .min(limit.end)
                    .max(page.saturating_add(1))
            }
        };
        if direction.is_some() || !self.last.contains(&page) {
            self.last = given.clone();
        }
        Decision {
            given,
            continues: direction.is_some(),
            passed,
        }
    }

    /// Of what was given last, only `done` was made present.
    fn trim(&mut self, done: Range<u64>) {
        self.last = if done.is_empty() { 0..0 } else { done };
    }

    /// Whether a fault on `page` goes on where the last window ended.
    fn continues(&self, page: u64) -> Option<Direction> {
        if self.last.is_empty() {
            None
        } else if page == self.last.end {
            Some(Direction::Up)
        } else if self.last.start.checked_sub(1) == Some(page) {
            Some(Direction::Down)
        } else {
            None
        }
    }

    /// Whether a fault on `page` belongs to this walk: continues it, or repeats it.
    fn follows(&self, page: u64) -> bool {
        self.continues(page).is_some() || self.last.contains(&page)
    }

    /// How many pages the next fault may be given if it continues the walk.
    #[must_use]
    pub fn ahead(&self) -> u64 {
        self.ahead.saturating_mul(2).min(self.pages_max)
    }
}

/// The fault-around windows of up to `N` walks at once, most recent first. A fault that belongs to
/// none replaces the one that has been quiet for longest.
#[derive(Clone, Debug)]
pub struct Windows<const N: usize> {
    walks: [Window; N],
}

impl<const N: usize> Windows<N> {
    /// Windows that grow to `pages_max` each.
    #[must_use]
    pub fn new(pages_max: u64) -> Self {
        Self {
            walks: core::array::from_fn(|_| Window::new(pages_max)),
        }
    }

    /// Changes how far each window grows, from the next fault on. For a limit that is set while
    /// devices run.
    pub fn set_pages_max(&mut self, pages_max: u64) {
        for walk in &mut self.walks {
            walk.pages_max = pages_max.max(1);
        }
    }

    /// As [`Window::fault`], for the walk the fault belongs to.
    pub fn fault(&mut self, page: u64, limit: Range<u64>) -> Range<u64> {
        self.decide(page, limit).given
    }

    /// As [`fault`](Self::fault), with what the fault says about the walk.
    pub(crate) fn decide(&mut self, page: u64, limit: Range<u64>) -> Decision {
        let at = self
            .walks
            .iter()
            .position(|walk| walk.follows(page))
            .unwrap_or(N.saturating_sub(1));
        if let Some(recent) = self.walks.get_mut(..=at) {
            recent.rotate_right(1);
        }
        match self.walks.first_mut() {
            Some(walk) => walk.decide(page, limit),
            None => Decision {
                given: page..page.saturating_add(1),
                continues: false,
                passed: 0,
            },
        }
    }

    /// Of `given`, only `done` was made present: the walk that was given it goes on from there.
    pub(crate) fn trim(&mut self, given: &Range<u64>, done: Range<u64>) {
        if let Some(walk) = self.walks.iter_mut().find(|walk| walk.last == *given) {
            walk.trim(done);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ALL: Range<u64> = 0..u64::MAX;

    #[test]
    fn sequential_faults_double_up_to_the_maximum() {
        let mut window = Window::new(16);
        let mut page = 100;
        for pages in [1, 2, 4, 8, 16, 16] {
            assert_eq!(window.fault(page, ALL), page..page + pages);
            page += pages;
        }
    }

    #[test]
    fn descending_faults_double_downwards() {
        let mut window = Window::new(8);
        assert_eq!(window.fault(100, ALL), 100..101);
        assert_eq!(window.fault(99, ALL), 98..100);
        assert_eq!(window.fault(97, ALL), 94..98);
        assert_eq!(window.fault(93, ALL), 86..94);
        assert_eq!(window.fault(85, ALL), 78..86);
    }

    #[test]
    fn a_random_fault_collapses_the_window() {
        let mut window = Window::new(64);
        for page in [0, 1, 3, 7] {
            window.fault(page, ALL);
        }
        assert_eq!(window.fault(1000, ALL), 1000..1001);
        assert_eq!(window.fault(1001, ALL), 1001..1003);
    }

    /// Another engine faulting on a page that is being populated must not slow the walk down.
    #[test]
    fn a_repeated_fault_leaves_the_walk_alone() {
        let mut window = Window::new(64);
        window.fault(0, ALL);
        window.fault(1, ALL);
        assert_eq!(window.fault(3, ALL), 3..7);
        assert_eq!(window.fault(5, ALL), 5..6);
        assert_eq!(window.fault(7, ALL), 7..15);
    }

    #[test]
    fn the_limit_ends_the_window_and_the_page_itself_is_always_in() {
        let mut window = Window::new(64);
        for page in [0, 1, 3] {
            window.fault(page, 0..10);
        }
        assert_eq!(window.fault(7, 0..10), 7..10);
        assert_eq!(window.fault(10, 0..10), 10..11);
        assert_eq!(window.fault(11, 20..30), 11..12);
        assert_eq!(Window::new(0).fault(u64::MAX, 0..0), u64::MAX..u64::MAX);
        assert_eq!(
            Window::new(4).fault(u64::MAX - 1, ALL),
            u64::MAX - 1..u64::MAX
        );
    }

    /// The pattern of a copy: one window would collapse at every fault.
    #[test]
    fn a_smaller_limit_holds_from_the_next_fault_on() {
        let mut windows: Windows<1> = Windows::new(16);
        for page in [0, 1, 3] {
            windows.fault(page, ALL);
        }
        windows.set_pages_max(1);
        assert_eq!(windows.fault(7, ALL), 7..8);
    }

    #[test]
    fn two_interleaved_walks_both_grow() {
        let mut windows: Windows<4> = Windows::new(32);
        let (mut src, mut dst) = (1000, 5000);
        for pages in [1, 2, 4, 8, 16, 32] {
            assert_eq!(windows.fault(src, ALL), src..src + pages);
            assert_eq!(windows.fault(dst, ALL), dst..dst + pages);
            (src, dst) = (src + pages, dst + pages);
        }
    }

    #[test]
    fn a_quiet_walk_is_the_one_replaced() {
        let mut windows: Windows<2> = Windows::new(32);
        windows.fault(100, ALL);
        windows.fault(200, ALL);
        windows.fault(101, ALL);
        windows.fault(900, ALL);
        assert_eq!(windows.fault(103, ALL), 103..107);
        assert_eq!(windows.fault(201, ALL), 201..202);
    }

    #[test]
    fn a_cold_sequential_walk_takes_few_faults() {
        let mut windows: Windows<2> = Windows::new(64);
        let (mut page, mut faults) = (0, 0);
        while page < 4096 {
            page = windows.fault(page, 0..4096).end;
            faults += 1;
        }
        assert!(faults * 8 <= 4096, "{faults} faults");
        assert_eq!(page, 4096);
    }

    proptest! {
        /// Whatever faults come: the page is in, nothing is outside the limit but the page, never
        /// more than the bound.
        #[test]
        fn what_is_given_is_bounded(
            max in 0u64..100,
            faults in prop::collection::vec((0u64..200, 0u64..200, 0u64..200), 1..50),
        ) {
            let mut windows: Windows<3> = Windows::new(max);
            for (page, start, end) in faults {
                let given = windows.fault(page, start..end);
                prop_assert!(given.contains(&page));
                prop_assert!(given.end - given.start <= max.max(1));
                for other in given {
                    let is_inside = other == page || (start..end).contains(&other);
                    prop_assert!(is_inside, "{other} for {page} in {start}..{end}");
                }
            }
        }
    }
}
