//! What is to go wrong, for tests of whoever uses the device.
//!
//! Hardware does most of this rarely and none of it on request: retries, faults on a page that was there a moment ago,
//! records in another order than the work. Some of it hardware never does (answer twice, claim more bytes than there
//! were), and a driver must survive that too. What is left to chance comes from a seed, which is in the plan's
//! [`Display`](fmt::Display) and in the log line at the device's start: the same seed and the same submissions in the
//! same order give the same run.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use idxd_spec::Status;
use idxd_spec::iaa::ErrorCode;
use idxd_spec::register::ResetType;
use parking_lot::Mutex;

use crate::index::index;

/// Which descriptors something happens to. They are counted from 0 as engines take them, members of a batch included,
/// and the batch behind its members.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Which {
    /// To none.
    #[default]
    None,
    /// To one.
    Nth(u64),
    /// To all.
    Every,
}

impl Which {
    fn is(self, at: u64) -> bool {
        match self {
            Self::None => false,
            Self::Nth(nth) => nth == at,
            Self::Every => true,
        }
    }
}

/// How often a planned page fault comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// The first time a transfer of this device gets to the page; never again.
    Once,
    /// Each time a transfer gets to the page. With block-on-fault that ends in status 0x04: too many requests for one
    /// address.
    Always,
}

/// Where a planned partial completion stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopAt {
    /// After this many bytes, if the transfer has more.
    Bytes(u64),
    /// After 1 to (size - 1) bytes, drawn for each transfer.
    Random,
}

/// A record no device may write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nonsense {
    /// A partial completion that claims more bytes than the transfer has.
    BytesBeyondSize,
    /// A status the specification does not use.
    UnknownStatus,
}

/// What is to go wrong on a device; by default nothing.
///
/// ```
/// # use idxd_emu::{FaultPlan, Repeat};
/// let plan = FaultPlan::seeded(7).retry_first(2).fault_at_page(1, Repeat::Once).out_of_order();
/// assert_eq!(plan.to_string(), "seed 7: out of order, 2 retries first, fault at page 1 (once)");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FaultPlan {
    seed: u64,
    out_of_order: bool,
    retry_first: u32,
    page_fault: Option<(u64, Repeat)>,
    stop: Option<StopAt>,
    noise: bool,
    never_answer: Which,
    answer_twice: Which,
    nonsense: Option<(Nonsense, Which)>,
    failure: Option<(Failure, Which)>,
    delay: Duration,
    halt: Option<(u64, ResetType)>,
    disable: Which,
    event_log_full: Which,
}

impl FaultPlan {
    /// Nothing goes wrong, and chance starts at `seed`.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self { seed, ..Self::default() }
    }

    /// Nothing goes wrong, and chance starts somewhere else each time.
    #[must_use]
    pub fn random() -> Self {
        Self::seeded(RandomState::new().hash_one(0))
    }

    /// Takes a queued descriptor by chance, not the oldest; and runs the members of a batch in any order between
    /// fences. Nothing passes a drain descriptor.
    #[must_use]
    pub fn out_of_order(self) -> Self {
        Self { out_of_order: true, ..self }
    }

    /// Answers the first `times` submissions to shared work queues with Retry.
    #[must_use]
    pub fn retry_first(self, times: u32) -> Self {
        Self { retry_first: times, ..self }
    }

    /// Faults at page `page` of every transfer, counted from 0 in the order the operation walks its destination (its
    /// first source, if it writes nothing), though the page be present.
    #[must_use]
    pub fn fault_at_page(self, page: u64, repeat: Repeat) -> Self {
        Self { page_fault: Some((page, repeat)), ..self }
    }

    /// Completes every transfer partially, at a byte that need not be a page's first. Not with block-on-fault, and
    /// not on IAA, which completes nothing partially.
    #[must_use]
    pub fn stop_at(self, stop: StopAt) -> Self {
        Self { stop: Some(stop), ..self }
    }

    /// Fills the bytes of completion records that have no meaning with noise.
    #[must_use]
    pub fn noise(self) -> Self {
        Self { noise: true, ..self }
    }

    /// Does the work and writes no record.
    #[must_use]
    pub fn never_answer(self, which: Which) -> Self {
        Self { never_answer: which, ..self }
    }

    /// Writes the record, tells of it, and does both once more.
    #[must_use]
    pub fn answer_twice(self, which: Which) -> Self {
        Self { answer_twice: which, ..self }
    }

    /// Writes a record that makes no sense.
    #[must_use]
    pub fn nonsense(self, nonsense: Nonsense, which: Which) -> Self {
        Self { nonsense: Some((nonsense, which)), ..self }
    }

    /// Does the work and says that it ended with `status`, none of it done: an error of the hardware's own, which no
    /// descriptor brings about ([`Status::HARDWARE`] and the like).
    #[must_use]
    pub fn fail(self, status: Status, which: Which) -> Self {
        Self { failure: Some((Failure { status, code: ErrorCode(0) }, which)), ..self }
    }

    /// The same on an IAA with an analytics error: of these, too, some are the hardware's own, as
    /// [`ErrorCode::VERIFY`].
    #[must_use]
    pub fn fail_analytics(self, code: ErrorCode, which: Which) -> Self {
        Self { failure: Some((Failure { status: Status::ANALYTICS_ERROR, code }, which)), ..self }
    }

    /// Waits before each descriptor. Shutdown cuts the wait short.
    #[must_use]
    pub fn delay(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }

    /// Halts the device when engines come to report the descriptor after the first `descriptors`: neither that one nor
    /// any other in flight gets a record. `reset` brings the device back.
    #[must_use]
    pub fn halt_after(self, descriptors: u64, reset: ResetType) -> Self {
        Self { halt: Some((descriptors, reset)), ..self }
    }

    /// Disables the work queue of a descriptor while that descriptor runs, as somebody with the right to would.
    #[must_use]
    pub fn disable_queue_at(self, which: Which) -> Self {
        Self { disable: which, ..self }
    }

    /// Behaves at an event as if the event log were full on a device that drops events then. Events are counted from 0.
    #[must_use]
    pub fn event_log_full(self, which: Which) -> Self {
        Self { event_log_full: which, ..self }
    }

    /// Where chance starts.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Whether nothing goes wrong.
    pub fn is_none(&self) -> bool {
        *self == Self::seeded(self.seed)
    }
}

impl fmt::Display for FaultPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut items = Vec::new();
        if self.out_of_order {
            items.push("out of order".to_string());
        }
        if self.retry_first > 0 {
            items.push(format!("{} retries first", self.retry_first));
        }
        if let Some((page, repeat)) = self.page_fault {
            let repeat = if repeat == Repeat::Once { "once" } else { "always" };
            items.push(format!("fault at page {page} ({repeat})"));
        }
        match self.stop {
            Some(StopAt::Bytes(bytes)) => items.push(format!("stop after {bytes} bytes")),
            Some(StopAt::Random) => items.push("stop anywhere".into()),
            None => {}
        }
        if self.noise {
            items.push("noise".into());
        }
        for (name, which) in [("no answer", self.never_answer), ("two answers", self.answer_twice)] {
            if which != Which::None {
                items.push(format!("{name} ({which:?})"));
            }
        }
        if let Some((nonsense, which)) = self.nonsense {
            items.push(format!("{nonsense:?} ({which:?})"));
        }
        if let Some((Failure { status, code }, which)) = self.failure {
            let code = if code.0 == 0 { String::new() } else { format!(", error code {:#04x}", code.0) };
            items.push(format!("status {:#04x}{code} ({which:?})", status.0));
        }
        if let Some((descriptors, reset)) = self.halt {
            items.push(format!("halt after {descriptors} descriptors ({reset:?})"));
        }
        for (name, which) in [("queue disabled", self.disable), ("event log full", self.event_log_full)] {
            if which != Which::None {
                items.push(format!("{name} ({which:?})"));
            }
        }
        if !self.delay.is_zero() {
            items.push(format!("delay {:?}", self.delay));
        }
        let items = if items.is_empty() { "nothing goes wrong".into() } else { items.join(", ") };
        write!(f, "seed {}: {items}", self.seed)
    }
}

/// How the plan has a descriptor end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) status: Status,
    /// Of an analytics error; otherwise 0.
    pub(crate) code: ErrorCode,
}

/// What the plan has in store for one descriptor.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Fate {
    /// Records to write: 1, or 0 or 2.
    pub(crate) answers: u8,
    pub(crate) nonsense: Option<Nonsense>,
    /// What it ends with instead.
    pub(crate) failure: Option<Failure>,
    /// The device halts instead.
    pub(crate) halt: Option<ResetType>,
    /// Its work queue is disabled.
    pub(crate) disables: bool,
}

/// A plan being carried out.
pub(crate) struct Plan {
    plan: FaultPlan,
    is_none: bool,
    taken: AtomicU64,
    events: AtomicU64,
    retries_left: AtomicU32,
    page_fault_spent: AtomicBool,
    chance: Mutex<Chance>,
}

impl Plan {
    pub(crate) fn new(plan: FaultPlan) -> Self {
        Self {
            is_none: plan.is_none(),
            taken: AtomicU64::new(0),
            events: AtomicU64::new(0),
            retries_left: AtomicU32::new(plan.retry_first),
            page_fault_spent: AtomicBool::new(false),
            chance: Mutex::new(Chance(plan.seed)),
            plan,
        }
    }

    /// Whether a submission is to be turned away.
    pub(crate) fn retries(&self) -> bool {
        self.plan.retry_first > 0
            && self
                .retries_left
                .try_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1))
                .is_ok()
    }

    pub(crate) fn delay(&self) -> Duration {
        self.plan.delay
    }

    /// Counts one descriptor and says what happens to it.
    pub(crate) fn fate(&self) -> Fate {
        if self.is_none {
            return Fate { answers: 1, ..Fate::default() };
        }
        let at = self.taken.fetch_add(1, Ordering::Relaxed);
        let answers = match () {
            () if self.plan.never_answer.is(at) => 0,
            () if self.plan.answer_twice.is(at) => 2,
            () => 1,
        };
        let nonsense = self.plan.nonsense.filter(|(_, which)| which.is(at)).map(|(nonsense, _)| nonsense);
        let failure = self.plan.failure.filter(|(_, which)| which.is(at)).map(|(failure, _)| failure);
        let halt = self.plan.halt.filter(|(after, _)| *after == at).map(|(_, reset)| reset);
        Fate { answers, nonsense, failure, halt, disables: self.plan.disable.is(at) }
    }

    /// Whether the next event finds the log full.
    pub(crate) fn drops_event(&self) -> bool {
        self.plan.event_log_full != Which::None
            && self.plan.event_log_full.is(self.events.fetch_add(1, Ordering::Relaxed))
    }

    /// Whether the next descriptor is drawn.
    pub(crate) fn leaves_order_to_chance(&self) -> bool {
        self.plan.out_of_order
    }

    /// Which of `count` equals goes next: the first, unless the order is left to chance.
    pub(crate) fn next_of(&self, count: usize) -> usize {
        if self.plan.out_of_order && count > 1 { index(self.chance.lock().below(count as u64)) } else { 0 }
    }

    /// Mixes an order up, if the order is left to chance.
    pub(crate) fn mix<T>(&self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            if !self.plan.out_of_order {
                return;
            }
            items.swap(last, index(self.chance.lock().below(last as u64 + 1)));
        }
    }

    /// The page at which the next transfer faults.
    pub(crate) fn fault_page(&self) -> Option<u64> {
        let (page, _) = self.plan.page_fault?;
        (!self.page_fault_spent.load(Ordering::Relaxed)).then_some(page)
    }

    /// The planned fault is due. Whether it happens: another transfer may have been first.
    pub(crate) fn take_page_fault(&self) -> bool {
        match self.plan.page_fault {
            Some((_, Repeat::Once)) => !self.page_fault_spent.swap(true, Ordering::Relaxed),
            Some((_, Repeat::Always)) => true,
            None => false,
        }
    }

    /// After how many bytes a transfer of `size` stops.
    pub(crate) fn stop_after(&self, size: u64) -> Option<u64> {
        match self.plan.stop? {
            StopAt::Bytes(bytes) => (bytes < size).then_some(bytes),
            StopAt::Random => (size > 1).then(|| 1 + self.chance.lock().below(size - 1)),
        }
    }

    /// Overwrites the bytes that `meaning` has no bit for.
    pub(crate) fn fill_with_noise(&self, bytes: &mut [u8], meaning: u64) {
        if !self.plan.noise {
            return;
        }
        let mut chance = self.chance.lock();
        for (at, byte) in bytes.iter_mut().enumerate() {
            if meaning >> at & 1 == 0 {
                *byte = chance.next().to_le_bytes()[0];
            }
        }
    }
}

/// Numbers by chance, from a seed: SplitMix64 (Steele, Lea, Flood, OOPSLA 2014).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_seed_gives_same_order() {
        let order = |seed| {
            let plan = Plan::new(FaultPlan::seeded(seed).out_of_order());
            let mut items: Vec<u32> = (0..32).collect();
            plan.mix(&mut items);
            items
        };
        assert_eq!(order(1), order(1));
        assert_ne!(order(1), order(2));
        assert_ne!(order(1), (0..32).collect::<Vec<_>>());
    }

    #[test]
    fn noise_spares_what_has_meaning() {
        let plan = Plan::new(FaultPlan::seeded(3).noise());
        let mut bytes = [0; 32];
        plan.fill_with_noise(&mut bytes, 0x0000_00ff);
        assert_eq!(bytes[..8], [0; 8]);
        assert_ne!(bytes[8..], [0; 24]);
    }

    #[test]
    fn plan_with_only_a_seed_is_none() {
        assert!(FaultPlan::seeded(5).is_none());
        assert_eq!(FaultPlan::seeded(5).to_string(), "seed 5: nothing goes wrong");
        assert!(!FaultPlan::seeded(5).noise().is_none());
    }

    #[test]
    fn stop_is_inside_the_transfer() {
        let plan = Plan::new(FaultPlan::seeded(9).stop_at(StopAt::Random));
        for size in 2..200 {
            assert!((1..size).contains(&plan.stop_after(size).unwrap()));
        }
        assert_eq!(plan.stop_after(1), None);
    }
}
