//! Whether a queue is up, why it is not, and when to ask it again.
//!
//! A queue that fails is taken out: nothing is sent to it but a probe, at intervals that grow to a bound. A probe that is
//! answered brings it back. An outage that the queue's driver has announced, as a restart, ends when the driver says so, and
//! is not held against the queue. Time comes in as an argument, so that all of this can be tested without waiting.

use std::fmt;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::sync::{AtomicBool, Ordering};

/// How long a snapshot waits for a lock that is held for an instant.
const LOCK_TIME: Duration = Duration::from_millis(100);

/// What is wrong with a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum QueueFault {
    /// It has refused a submission as often as it may: full for ever, disabled, or not what it was opened as.
    Refusing,
    /// It has taken a job and not answered within the bound.
    Silent,
    /// It wrote where it had no business to. Never asked again.
    Untrusted,
    /// Its driver says that it is disabled.
    Disabled,
    /// Its driver says that its device has halted.
    Halted,
}

impl QueueFault {
    /// Whether the queue may be used nevertheless when there is no other: it may only be slow.
    pub(crate) const fn is_soft(self) -> bool {
        matches!(self, Self::Refusing | Self::Silent)
    }

    /// Whether nothing will bring the queue back.
    const fn is_final(self) -> bool {
        matches!(self, Self::Untrusted)
    }
}

impl fmt::Display for QueueFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refusing => "refuses everything",
            Self::Silent => "does not answer",
            Self::Untrusted => "wrote a record again after completion",
            Self::Disabled => "disabled",
            Self::Halted => "its device has halted",
        })
    }
}

/// Whether a queue is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum QueueState {
    /// It is.
    Up,
    /// It is not, but for probes, and, if it is only slow and nothing else does an operation, for that.
    Out {
        /// Why.
        why: QueueFault,
        /// For how long.
        since: Duration,
        /// Times it was asked whether it is back.
        probes: u32,
    },
}

/// How long to wait before a queue is asked again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProbeBounds {
    pub(crate) min: Duration,
    pub(crate) max: Duration,
}

/// The health of one queue.
#[derive(Debug)]
pub(crate) struct Health {
    is_up: AtomicBool,
    record: Mutex<Record>,
    bounds: ProbeBounds,
}

#[derive(Clone, Copy, Debug)]
struct Record {
    out: Option<Out>,
    /// Times it was taken out.
    outs: u64,
    /// The last wait before a probe, and when the queue came back from it.
    wait: Duration,
    back: Option<Instant>,
}

/// Whose word it is that a queue is out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    /// The runtime's.
    Own,
    /// The driver's, who takes it back in time.
    Drivers,
    /// The driver's, who has taken it back.
    TakenBack,
}

#[derive(Clone, Copy, Debug)]
struct Out {
    why: QueueFault,
    word: Word,
    since: Instant,
    probe_at: Instant,
    probes: u32,
}

impl Health {
    pub(crate) const fn new(bounds: ProbeBounds) -> Self {
        let record = Record { out: None, outs: 0, wait: Duration::ZERO, back: None };
        Self { is_up: AtomicBool::new(true), record: Mutex::new(record), bounds }
    }

    #[inline]
    pub(crate) fn is_up(&self) -> bool {
        self.is_up.load(Ordering::Relaxed)
    }

    /// Takes the queue out. Whether it was up until now; a worse reason replaces a lesser one.
    pub(crate) fn fail(&self, why: QueueFault, now: Instant) -> bool {
        self.fail_by(Word::Own, why, now)
    }

    /// The same, by the driver's word: [`Health::take_back`] ends it.
    pub(crate) fn fail_as_said(&self, why: QueueFault, now: Instant) -> bool {
        self.fail_by(Word::Drivers, why, now)
    }

    fn fail_by(&self, word: Word, why: QueueFault, now: Instant) -> bool {
        let mut record = self.record.lock();
        if let Some(out) = &mut record.out {
            if out.why.is_soft() && !why.is_soft() {
                (out.why, out.word) = (why, word);
            }
            return false;
        }
        // One that fails again as soon as it is back is not asked more often for it.
        let soon = record.back.is_some_and(|back| now.saturating_duration_since(back) < record.wait * 2);
        record.wait = if soon { (record.wait * 2).min(self.bounds.max) } else { self.bounds.min };
        record.out = Some(Out { why, word, since: now, probe_at: now + record.wait, probes: 0 });
        record.outs += 1;
        self.is_up.store(false, Ordering::Relaxed);
        true
    }

    /// Why the queue is out.
    pub(crate) fn why(&self) -> Option<QueueFault> {
        if self.is_up() { None } else { self.record.lock().out.map(|out| out.why) }
    }

    /// Whether the queue is out by its driver's word, which the driver has not taken back as far as is known.
    pub(crate) fn is_out_as_said(&self) -> bool {
        self.record.lock().out.is_some_and(|out| out.word == Word::Drivers)
    }

    /// The driver has taken back what it said: the queue is asked at once.
    pub(crate) fn take_back(&self, now: Instant) {
        if let Some(out) = self.record.lock().out.as_mut().filter(|out| out.word == Word::Drivers) {
            (out.word, out.probe_at) = (Word::TakenBack, now);
        }
    }

    /// Whether it is time to ask the queue whether it is back. The next time is then twice as far away, up to the bound.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        let mut record = self.record.lock();
        let wait = (record.wait * 2).min(self.bounds.max);
        let Some(out) = &mut record.out else { return false };
        if out.why.is_final() || now < out.probe_at {
            return false;
        }
        out.probe_at = now + wait;
        out.probes = out.probes.saturating_add(1);
        record.wait = wait;
        true
    }

    /// When the queue is to be asked next.
    pub(crate) fn next_probe(&self) -> Option<Instant> {
        self.record.lock().out.filter(|out| !out.why.is_final()).map(|out| out.probe_at)
    }

    /// The queue has shown that it works. Whether it was out until now.
    pub(crate) fn recover(&self, now: Instant) -> bool {
        let mut record = self.record.lock();
        let Some(out) = record.out.filter(|out| !out.why.is_final()) else { return false };
        record.out = None;
        // A device that has been restarted is as new.
        record.back = (out.word == Word::Own).then_some(now);
        self.is_up.store(true, Ordering::Relaxed);
        true
    }

    /// For a snapshot: the state, and how often the queue has been taken out.
    pub(crate) fn state(&self, now: Instant) -> (QueueState, u64) {
        // With a bound: in a child process the lock may be one that nobody will let go of.
        let Some(record) = self.record.try_lock_for(LOCK_TIME) else { return (QueueState::Up, 0) };
        let record = *record;
        let state = record.out.map_or(QueueState::Up, |Out { why, since, probes, .. }| QueueState::Out {
            why,
            since: now.saturating_duration_since(since),
            probes,
        });
        (state, record.outs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIN: Duration = Duration::from_millis(10);
    const MAX: Duration = Duration::from_millis(50);

    fn health() -> (Health, Instant) {
        (Health::new(ProbeBounds { min: MIN, max: MAX }), Instant::now())
    }

    /// When the queue is asked, in milliseconds, over the first 300.
    fn asked(health: &Health, start: Instant) -> Vec<u64> {
        (0..300).filter(|ms| health.is_due(start + Duration::from_millis(*ms))).collect()
    }

    #[test]
    fn a_queue_is_asked_at_growing_intervals_up_to_a_bound() {
        let (health, start) = health();
        assert!(health.is_up() && asked(&health, start).is_empty());
        assert!(health.fail(QueueFault::Refusing, start));
        assert!(!health.is_up() && !health.fail(QueueFault::Silent, start));
        assert_eq!(asked(&health, start), [10, 30, 70, 120, 170, 220, 270]);
    }

    #[test]
    fn a_queue_that_comes_back_is_up() {
        let (health, start) = health();
        health.fail(QueueFault::Halted, start);
        assert_eq!(health.why(), Some(QueueFault::Halted));
        assert!(health.recover(start + MIN));
        assert!(health.is_up() && health.why().is_none() && !health.recover(start + MIN));
        assert_eq!(health.state(start + MIN), (QueueState::Up, 1));
    }

    #[test]
    fn one_that_fails_again_at_once_is_not_asked_more_often() {
        let (health, start) = health();
        health.fail(QueueFault::Silent, start);
        assert!(health.is_due(start + MIN));
        health.recover(start + MIN);
        health.fail(QueueFault::Silent, start + MIN);
        assert_eq!(health.next_probe(), Some(start + MIN + 4 * MIN));
        // After a good while it is new.
        health.recover(start + MAX);
        let later = start + Duration::from_secs(10);
        health.fail(QueueFault::Silent, later);
        assert_eq!(health.next_probe(), Some(later + MIN));
    }

    #[test]
    fn an_outage_that_the_driver_ends_is_not_held_against_the_queue() {
        let (health, mut now) = health();
        for _ in 0..10 {
            health.fail_as_said(QueueFault::Disabled, now);
            assert_eq!(health.next_probe(), Some(now + MIN), "as if it were the first");
            // Long enough for the longest interval.
            let asked = (0..200).filter(|ms| health.is_due(now + Duration::from_millis(*ms))).count();
            assert_eq!(asked, 5);
            now += Duration::from_millis(200);
            assert!(health.is_out_as_said() && !health.is_due(now));
            health.take_back(now);
            assert!(!health.is_out_as_said() && health.is_due(now), "at once");
            assert!(!health.is_due(now), "and once");
            assert!(health.recover(now));
        }
        // What the runtime has found out is nobody's to take back.
        health.fail(QueueFault::Halted, now);
        health.take_back(now);
        assert!(!health.is_due(now));
    }

    #[test]
    fn what_cannot_be_trusted_never_comes_back() {
        let (health, start) = health();
        health.fail(QueueFault::Silent, start);
        health.fail(QueueFault::Untrusted, start);
        assert!(asked(&health, start).is_empty() && health.next_probe().is_none());
        assert!(!health.recover(start + MAX) && !health.is_up());
        let since = Duration::from_secs(1);
        let out = QueueState::Out { why: QueueFault::Untrusted, since, probes: 0 };
        assert_eq!(health.state(start + since), (out, 1));
    }
}
