// SPDX-License-Identifier: MIT OR Apache-2.0

//! How long answers took, as a histogram: buckets that double, so that two words a bucket tell
//! microseconds from seconds.

use super::env::{Counter, Env};

/// Buckets of a histogram.
pub const LATENCY_BUCKETS: usize = 40;

/// Counters of durations. Bucket `n` counts durations below 2^n ns that no lower bucket has.
pub(crate) struct Latency<E: Env> {
    buckets: [E::Counter; LATENCY_BUCKETS],
}

impl<E: Env> Latency<E> {
    pub(crate) fn new() -> Self {
        Self {
            buckets: core::array::from_fn(|_| E::Counter::new()),
        }
    }

    pub(crate) fn count(&self, ns: u64) {
        let bucket = (u64::BITS - ns.leading_zeros()) as usize;
        if let Some(counter) = self.buckets.get(bucket).or(self.buckets.last()) {
            counter.add(1);
        }
    }

    pub(crate) fn snapshot(&self) -> LatencyHistogram {
        let mut buckets = [0; LATENCY_BUCKETS];
        for (bucket, counter) in buckets.iter_mut().zip(&self.buckets) {
            *bucket = counter.value();
        }
        LatencyHistogram { buckets }
    }
}

/// From a group's last page request to its answer, on one bond. Empty where the surroundings have
/// no clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LatencyHistogram {
    buckets: [u64; LATENCY_BUCKETS],
}

impl LatencyHistogram {
    /// How many answers took less than 2^n ns and at least half of that, by n. The last bucket has
    /// all that took longer.
    #[must_use]
    pub const fn buckets(&self) -> &[u64; LATENCY_BUCKETS] {
        &self.buckets
    }

    /// Answers counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets
            .iter()
            .fold(0, |sum, bucket| sum.saturating_add(*bucket))
    }

    /// A duration that `permille` of the answers stayed below, in ns: the upper bound of its
    /// bucket, so at most twice the true one. `None` without answers.
    #[must_use]
    pub fn below_ns(&self, permille: u32) -> Option<u64> {
        let count = self.count();
        if count == 0 {
            return None;
        }
        let rank = u128::from(count)
            .saturating_mul(u128::from(permille.min(1000)))
            .div_ceil(1000)
            .max(1);
        let mut seen = 0_u128;
        for (bucket, answers) in (0_u32..).zip(&self.buckets) {
            seen = seen.saturating_add(u128::from(*answers));
            if seen >= rank {
                return Some(1_u64.checked_shl(bucket).unwrap_or(u64::MAX));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::sync::atomic::AtomicU64;

    fn histogram(durations: &[u64]) -> LatencyHistogram {
        let buckets: [AtomicU64; LATENCY_BUCKETS] = core::array::from_fn(|_| AtomicU64::new(0));
        for ns in durations {
            let bucket = (u64::BITS - ns.leading_zeros()) as usize;
            buckets[bucket.min(LATENCY_BUCKETS - 1)].add(1);
        }
        LatencyHistogram {
            buckets: core::array::from_fn(|at| buckets[at].value()),
        }
    }

    #[test]
    fn percentiles_are_upper_bounds_within_a_factor_of_two() {
        let durations: std::vec::Vec<u64> = (1..=1000).map(|n| n * 100).collect();
        let found = histogram(&durations);
        assert_eq!(found.count(), 1000);
        for (permille, exact) in [(500, 50_000), (990, 99_000), (1000, 100_000)] {
            let bound = found.below_ns(permille).unwrap();
            assert!(
                bound >= exact && bound <= 2 * exact + 2,
                "{permille}: {bound} for {exact}"
            );
        }
        assert_eq!(histogram(&[]).below_ns(500), None);
        assert_eq!(histogram(&[0]).below_ns(500), Some(1));
    }

    #[test]
    fn what_takes_for_ever_is_in_the_last_bucket() {
        assert_eq!(histogram(&[u64::MAX]).buckets()[LATENCY_BUCKETS - 1], 1);
    }
}
