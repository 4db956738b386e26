//! A work queue: a bounded ring of descriptors that were accepted and that no engine has taken yet.
//!
//! It also knows which of those it gave away are still running, because a drain waits for everything in front of it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Instant;

use idxd_spec::register::{Portal, WqCfg, WqState};
use idxd_spec::{Descriptor, Opcode};
use parking_lot::{Condvar, Mutex};

use crate::fault_plan::Plan;
use crate::portal::Write;
use crate::rules::Rules;

/// Why a work queue did not take a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Disabled.
    Disabled,
    /// Full, or at the threshold.
    Full,
    /// A posted write to a shared work queue, or a deferrable one to a dedicated one.
    WrongWrite,
}

/// A descriptor an engine has taken. Its work queue is told when it is done, see [`WorkQueue::finish`].
pub(crate) struct Taken {
    /// With the PASID and the privilege it runs with.
    pub(crate) descriptor: Descriptor,
    pub(crate) sequence: u64,
    /// Its interrupt handles are for the interrupt message storage.
    pub(crate) storage: bool,
    /// It came through a shared work queue.
    pub(crate) is_shared: bool,
    pub(crate) rules: Arc<Rules>,
    /// The occupancy interrupt that taking it has made due.
    pub(crate) alarm: Option<Alarm>,
}

/// An occupancy interrupt: its handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Alarm {
    pub(crate) handle: u16,
    pub(crate) storage: bool,
}

/// Which descriptors a drain or an abort is about: older than a mark, and of a PASID or of any.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scope {
    pub(crate) before: u64,
    pub(crate) pasid: Option<u32>,
}

impl Scope {
    /// Everything, whenever it comes.
    pub(crate) const ALL: Self = Self { before: u64::MAX, pasid: None };

    fn has(&self, sequence: u64, pasid: u32) -> bool {
        sequence < self.before && self.pasid.is_none_or(|wanted| wanted == pasid)
    }
}

struct Queued {
    descriptor: Descriptor,
    sequence: u64,
    storage: bool,
}

/// A descriptor an engine runs: its sequence number and its PASID.
struct Running {
    sequence: u64,
    pasid: u32,
}

pub(crate) struct WorkQueue {
    state: Mutex<State>,
    /// Of the queue while it is enabled: turns it gets, see [`Group`](crate::group::Group).
    priority: AtomicU8,
    /// Something was finished or abandoned.
    progress: Condvar,
}

struct State {
    state: WqState,
    /// The embedder takes the device away: nothing is accepted, whatever the registers say.
    closed: bool,
    /// The configuration it was enabled with; threshold and occupancy interrupt as they are now.
    config: WqCfg,
    rules: Arc<Rules>,
    ring: VecDeque<Queued>,
    sequence_next: u64,
    /// What engines have taken and not finished; at most one an engine.
    running: Vec<Running>,
}

impl WorkQueue {
    /// A work queue that is disabled, with what its rules will be made of.
    pub(crate) fn new(rules: Rules) -> Self {
        let state = State {
            state: WqState::DISABLED,
            closed: false,
            config: WqCfg::default(),
            rules: Arc::new(rules),
            ring: VecDeque::new(),
            sequence_next: 0,
            running: Vec::new(),
        };
        Self { state: Mutex::new(state), priority: AtomicU8::new(1), progress: Condvar::new() }
    }

    /// Starts to accept. Answers the occupancy interrupt that is due at once.
    pub(crate) fn enable(&self, config: WqCfg, rules: Rules) -> Option<Alarm> {
        self.priority.store(config.priority().max(1), Ordering::Relaxed);
        let mut state = self.state.lock();
        state.state = WqState::ENABLED;
        let raised = state.config.occupancy_interrupt_raised();
        state.config = config.with_occupancy_interrupt_raised(raised);
        state.rules = Arc::new(rules);
        let room = usize::from(config.size()).saturating_sub(state.ring.len());
        state.ring.reserve(room);
        state.alarm()
    }

    /// Stops to accept; [`disable`](Self::disable) follows when it is empty.
    pub(crate) fn drain(&self) {
        let mut state = self.state.lock();
        if state.state == WqState::ENABLED {
            state.state = WqState::DRAINING;
        }
    }

    pub(crate) fn disable(&self) {
        self.state.lock().state = WqState::DISABLED;
    }

    /// Accepts nothing any more, for good.
    pub(crate) fn close(&self) {
        self.state.lock().closed = true;
    }

    pub(crate) fn wq_state(&self) -> WqState {
        self.state.lock().state
    }

    pub(crate) fn priority(&self) -> u8 {
        self.priority.load(Ordering::Relaxed)
    }

    /// A write to one of its portals: takes the descriptor in at once or not at all.
    pub(crate) fn accept(
        &self,
        descriptor: &Descriptor,
        portal: Portal,
        write: Write,
    ) -> Result<(), Refusal> {
        let mut state = self.state.lock();
        if state.state != WqState::ENABLED || state.closed {
            return Err(Refusal::Disabled);
        }
        let is_dedicated = state.config.dedicated();
        if is_dedicated != (write == Write::Posted) {
            return Err(Refusal::WrongWrite);
        }
        let limit = match is_dedicated || !portal.is_limited() {
            true => state.config.size(),
            // A threshold above the size counts as the size (DSA §9.2.24).
            false => state.config.threshold().min(state.config.size()),
        };
        if state.ring.len() >= usize::from(limit) {
            return Err(Refusal::Full);
        }
        let sequence = state.sequence_next;
        state.sequence_next += 1;
        let descriptor = state.trusted(descriptor);
        let storage = matches!(portal, Portal::UnlimitedStorage | Portal::LimitedStorage);
        state.ring.push_back(Queued { descriptor, sequence, storage });
        Ok(())
    }

    /// Gives an engine the oldest descriptor, or one by chance if the plan says so. A drain is never passed.
    pub(crate) fn take(&self, plan: &Plan) -> Option<Taken> {
        let mut state = self.state.lock();
        let is_drain = |queued: &Queued| queued.descriptor.opcode() == Opcode::DRAIN;
        let index = match plan.leaves_order_to_chance() {
            false => 0,
            true => plan.next_of(state.ring.iter().position(is_drain).unwrap_or(state.ring.len())),
        };
        let Queued { descriptor, sequence, storage } = state.ring.remove(index)?;
        state.running.push(Running { sequence, pasid: descriptor.pasid() });
        let alarm = if state.config.occupancy_interrupt() { state.alarm() } else { None };
        let is_shared = !state.config.dedicated();
        Some(Taken { descriptor, sequence, storage, is_shared, rules: Arc::clone(&state.rules), alarm })
    }

    /// The engine is through with it, its record included.
    pub(crate) fn finish(&self, sequence: u64) {
        self.state.lock().running.retain(|running| running.sequence != sequence);
        self.progress.notify_all();
    }

    /// Waits until everything of `scope` that engines took is finished. Nothing of it is queued: a drain is never
    /// passed.
    pub(crate) fn wait_for_running(&self, scope: Scope) {
        let mut state = self.state.lock();
        self.progress.wait_while(&mut state, |state| state.runs(scope));
    }

    /// Waits until nothing is queued or running; `false` at the deadline.
    pub(crate) fn wait_until_empty(&self, deadline: Instant) -> bool {
        let mut state = self.state.lock();
        let busy = |state: &mut State| state.has(Scope::ALL);
        !self.progress.wait_while_until(&mut state, busy, deadline).timed_out()
    }

    /// Whether nothing of `scope` is queued or running.
    pub(crate) fn is_clear(&self, scope: Scope) -> bool {
        !self.state.lock().has(scope)
    }

    /// A mark behind everything accepted so far.
    pub(crate) fn mark(&self) -> u64 {
        self.state.lock().sequence_next
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.state.lock().ring.is_empty()
    }

    /// Descriptors queued.
    pub(crate) fn occupancy(&self) -> usize {
        self.state.lock().ring.len()
    }

    /// Throws away what is queued of `scope`, and says how many those were.
    pub(crate) fn abandon(&self, scope: Scope) -> usize {
        let mut state = self.state.lock();
        let before = state.ring.len();
        state.ring.retain(|queued| !scope.has(queued.sequence, queued.descriptor.pasid()));
        let abandoned = before - state.ring.len();
        drop(state);
        self.progress.notify_all();
        abandoned
    }

    /// The threshold may change at any time.
    pub(crate) fn set_threshold(&self, threshold: u16) {
        let mut state = self.state.lock();
        state.config = state.config.with_threshold(threshold);
    }

    /// Enable and limit of the occupancy interrupt may change at any time, and it may be due at once.
    pub(crate) fn set_occupancy_interrupt(&self, enabled: bool, limit: u16) -> Option<Alarm> {
        let mut state = self.state.lock();
        state.config = state.config.with_occupancy_interrupt(enabled).with_occupancy_limit(limit);
        state.alarm()
    }

    /// Software has seen the occupancy interrupt; the next may be due at once.
    pub(crate) fn clear_occupancy_interrupt(&self) -> Option<Alarm> {
        let mut state = self.state.lock();
        state.config = state.config.with_occupancy_interrupt_raised(false);
        state.alarm()
    }

    /// Bytes 27:24 of WQCFG: state, occupancy, and whether an interrupt was raised for it (DSA §9.2.24).
    pub(crate) fn status_word(&self) -> u32 {
        let state = self.state.lock();
        let occupancy = u16::try_from(state.ring.len()).unwrap_or(u16::MAX);
        WqCfg::default()
            .with_state(state.state)
            .with_occupancy(occupancy)
            .with_occupancy_interrupt_raised(state.config.occupancy_interrupt_raised())
            .0[6]
    }

    /// Back to the first values, as after a reset of the work queue or of the device.
    pub(crate) fn reset(&self) {
        let mut state = self.state.lock();
        state.state = WqState::DISABLED;
        state.config = WqCfg::default();
    }
}

impl State {
    /// The descriptor with the PASID and the privilege it runs with: those of a dedicated queue are the queue's
    /// (DSA §8.1.1).
    fn trusted(&self, descriptor: &Descriptor) -> Descriptor {
        let config = &self.config;
        match (config.pasid_enable(), config.dedicated()) {
            (true, false) => *descriptor,
            (true, true) => descriptor.with_pasid(config.pasid()).with_privileged(config.privileged()),
            (false, _) => descriptor.with_pasid(0).with_privileged(false),
        }
    }

    fn runs(&self, scope: Scope) -> bool {
        self.running.iter().any(|running| scope.has(running.sequence, running.pasid))
    }

    fn has(&self, scope: Scope) -> bool {
        let queued = |queued: &Queued| scope.has(queued.sequence, queued.descriptor.pasid());
        self.runs(scope) || self.ring.iter().any(queued)
    }

    /// The occupancy interrupt, if it is enabled, due, and the one before has been seen.
    fn alarm(&mut self) -> Option<Alarm> {
        let config = &mut self.config;
        let is_due = self.state == WqState::ENABLED
            && config.occupancy_interrupt()
            && !config.occupancy_interrupt_raised()
            && self.ring.len() <= usize::from(config.occupancy_limit());
        is_due.then(|| {
            *config = config.with_occupancy_interrupt_raised(true);
            Alarm {
                handle: config.occupancy_interrupt_handle(),
                storage: config.occupancy_interrupt_storage(),
            }
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::{Capabilities, DeviceKind, FaultPlan, QueueConfig, QueueMode, Version};

    /// An enabled work queue.
    pub(crate) fn work_queue(config: &QueueConfig) -> WorkQueue {
        let rules = Rules::new(config, &Capabilities::of(DeviceKind::Dsa, Version::V2));
        let queue = WorkQueue::new(rules.clone());
        queue.enable(config.register(DeviceKind::Dsa, 1), rules);
        queue
    }

    fn plan() -> Plan {
        Plan::new(FaultPlan::default())
    }

    fn post(queue: &WorkQueue, descriptor: &Descriptor) -> Result<(), Refusal> {
        queue.accept(descriptor, Portal::Limited, Write::Posted)
    }

    fn defer(queue: &WorkQueue, pasid: u32, portal: Portal) -> Result<(), Refusal> {
        queue.accept(&Descriptor::noop().with_pasid(pasid), portal, Write::Deferrable)
    }

    #[test]
    fn oldest_goes_first() {
        let queue = work_queue(&QueueConfig::dedicated(4));
        for count in 0..4 {
            post(&queue, &Descriptor::batch(idxd_spec::SrcAddr(0), count)).unwrap();
        }
        assert_eq!(post(&queue, &Descriptor::noop()), Err(Refusal::Full));
        for count in 0..4 {
            assert_eq!(queue.take(&plan()).unwrap().descriptor.desc_count(), count);
        }
        assert!(queue.take(&plan()).is_none());
    }

    #[test]
    fn threshold_is_for_limited_portals_alone() {
        let config = QueueConfig { mode: QueueMode::Shared { threshold: 2 }, ..QueueConfig::shared(3) };
        let queue = work_queue(&config);
        assert_eq!([(); 3].map(|()| defer(&queue, 1, Portal::Limited)), [Ok(()), Ok(()), Err(Refusal::Full)]);
        assert_eq!(defer(&queue, 1, Portal::Unlimited), Ok(()));
        assert_eq!(defer(&queue, 1, Portal::Unlimited), Err(Refusal::Full));
        queue.take(&plan());
        queue.set_threshold(9);
        assert_eq!([(); 2].map(|()| defer(&queue, 1, Portal::Limited)), [Ok(()), Err(Refusal::Full)]);
    }

    #[test]
    fn nothing_passes_a_drain_out_of_order() {
        let plan = Plan::new(FaultPlan::seeded(1).out_of_order());
        for _ in 0..50 {
            let queue = work_queue(&QueueConfig::dedicated(8));
            for descriptor in
                [Descriptor::noop(), Descriptor::noop(), Descriptor::drain(), Descriptor::noop()]
            {
                post(&queue, &descriptor).unwrap();
            }
            let order: Vec<u64> = (0..4).map(|_| queue.take(&plan).unwrap().sequence).collect();
            assert_eq!(order[2..], [2, 3]);
        }
    }

    #[test]
    fn draining_queue_takes_nothing_in_but_gives_out() {
        let queue = work_queue(&QueueConfig::shared(8));
        defer(&queue, 1, Portal::Limited).unwrap();
        queue.drain();
        assert_eq!(defer(&queue, 1, Portal::Limited), Err(Refusal::Disabled));
        assert!(queue.take(&plan()).is_some());
    }

    #[test]
    fn each_mode_has_its_kind_of_write() {
        let dedicated = work_queue(&QueueConfig::dedicated(8));
        assert_eq!(defer(&dedicated, 1, Portal::Limited), Err(Refusal::WrongWrite));
        assert_eq!(post(&work_queue(&QueueConfig::shared(8)), &Descriptor::noop()), Err(Refusal::WrongWrite));
    }

    #[test]
    fn dedicated_queue_puts_its_own_pasid_in() {
        let queue = work_queue(&QueueConfig::dedicated(8));
        post(&queue, &Descriptor::noop().with_pasid(77).with_privileged(true)).unwrap();
        let taken = queue.take(&plan()).unwrap();
        assert_eq!((taken.descriptor.pasid(), taken.descriptor.privileged()), (1, false));
        let shared = work_queue(&QueueConfig::shared(8));
        defer(&shared, 77, Portal::Limited).unwrap();
        assert_eq!(shared.take(&plan()).unwrap().descriptor.pasid(), 77);
    }

    #[test]
    fn abort_takes_the_pasid_and_what_was_there_before() {
        let queue = work_queue(&QueueConfig::shared(8));
        for pasid in [5, 6, 5] {
            defer(&queue, pasid, Portal::Limited).unwrap();
        }
        let scope = Scope { before: queue.mark(), pasid: Some(5) };
        defer(&queue, 5, Portal::Limited).unwrap();
        assert!(!queue.is_clear(scope));
        assert_eq!((queue.abandon(scope), queue.occupancy()), (2, 2));
        assert!(queue.is_clear(scope) && !queue.is_clear(Scope::ALL));
    }

    #[test]
    fn occupancy_interrupt_comes_once_until_it_is_seen() {
        let queue = work_queue(&QueueConfig::dedicated(8));
        (0..3).for_each(|_| post(&queue, &Descriptor::noop()).unwrap());
        assert_eq!(queue.set_occupancy_interrupt(true, 1), None);
        assert_eq!(queue.take(&plan()).unwrap().alarm, None);
        assert_eq!(queue.take(&plan()).unwrap().alarm, Some(Alarm { handle: 0, storage: false }));
        assert_eq!(queue.take(&plan()).unwrap().alarm, None);
        assert!(queue.clear_occupancy_interrupt().is_some());
    }
}
