//! A work queue: a bounded ring of descriptors that were accepted and that no engine has taken yet.
//!
//! It also knows which of those it gave away are still running, because a drain descriptor waits for everything in
//! front of it.

use std::collections::VecDeque;
use std::time::Instant;

use idxd_spec::{Descriptor, Opcode};
use parking_lot::{Condvar, Mutex};

use crate::fault_plan::Plan;
use crate::rules::Rules;
use crate::{QueueConfig, QueueMode};

/// Why a work queue did not take a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Disabled.
    Disabled,
    /// Full, or at the threshold.
    Full,
}

/// A descriptor an engine has taken. Its work queue is told when it is done, see [`WorkQueue::finish`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taken {
    pub(crate) descriptor: Descriptor,
    pub(crate) sequence: u64,
}

pub(crate) struct WorkQueue {
    config: QueueConfig,
    rules: Rules,
    state: Mutex<State>,
    /// Something was finished or abandoned.
    progress: Condvar,
}

struct State {
    enabled: bool,
    ring: VecDeque<Taken>,
    sequence_next: u64,
    /// Sequence numbers of what engines have taken and not finished; at most one an engine.
    running: Vec<u64>,
}

impl WorkQueue {
    pub(crate) fn new(config: QueueConfig, rules: Rules, engines: usize) -> Self {
        let ring = VecDeque::with_capacity(config.size as usize);
        let state = State { enabled: true, ring, sequence_next: 0, running: Vec::with_capacity(engines) };
        Self { config, rules, state: Mutex::new(state), progress: Condvar::new() }
    }

    pub(crate) fn config(&self) -> &QueueConfig {
        &self.config
    }

    pub(crate) fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Takes a descriptor in, at once or not at all.
    pub(crate) fn accept(&self, descriptor: &Descriptor) -> Result<(), Refusal> {
        let limit = match self.config.mode {
            QueueMode::Dedicated => self.config.size,
            QueueMode::Shared { threshold } => threshold,
        };
        let mut state = self.state.lock();
        if !state.enabled {
            return Err(Refusal::Disabled);
        }
        if state.ring.len() >= limit as usize {
            return Err(Refusal::Full);
        }
        let sequence = state.sequence_next;
        state.sequence_next += 1;
        state.ring.push_back(Taken { descriptor: *descriptor, sequence });
        Ok(())
    }

    /// Gives an engine the oldest descriptor, or one by chance if the plan says so. A drain is never passed.
    pub(crate) fn take(&self, plan: &Plan) -> Option<Taken> {
        let mut state = self.state.lock();
        let is_drain = |taken: &Taken| taken.descriptor.opcode() == Opcode::DRAIN;
        let before_drain = state.ring.iter().position(is_drain).unwrap_or(state.ring.len());
        let index = plan.next_of(before_drain);
        let taken = state.ring.remove(index)?;
        state.running.push(taken.sequence);
        Some(taken)
    }

    /// The engine is through with it, its record included.
    pub(crate) fn finish(&self, sequence: u64) {
        self.state.lock().running.retain(|running| *running != sequence);
        self.progress.notify_all();
    }

    /// Waits until everything older than `sequence` is finished. Nothing older is queued: a drain is never passed.
    pub(crate) fn wait_for_older(&self, sequence: u64) {
        let mut state = self.state.lock();
        self.progress.wait_while(&mut state, |state| state.running.iter().any(|running| *running < sequence));
    }

    /// Waits until nothing is queued or running; `false` at the deadline.
    pub(crate) fn wait_until_empty(&self, deadline: Instant) -> bool {
        let mut state = self.state.lock();
        let busy = |state: &mut State| !state.ring.is_empty() || !state.running.is_empty();
        !self.progress.wait_while_until(&mut state, busy, deadline).timed_out()
    }

    /// Lets descriptors in, or turns them away. What is queued stays.
    pub(crate) fn set_enabled(&self, enabled: bool) {
        self.state.lock().enabled = enabled;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.state.lock().ring.is_empty()
    }

    /// Descriptors queued.
    pub(crate) fn occupancy(&self) -> usize {
        self.state.lock().ring.len()
    }

    /// Throws away what is queued, and says how many those were.
    pub(crate) fn abandon(&self) -> usize {
        let mut state = self.state.lock();
        let abandoned = state.ring.len();
        state.ring.clear();
        drop(state);
        self.progress.notify_all();
        abandoned
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Capabilities, DeviceKind, FaultPlan, Version};

    fn work_queue(config: QueueConfig) -> WorkQueue {
        let rules = Rules::new(&config, &Capabilities::of(DeviceKind::Dsa, Version::V2));
        WorkQueue::new(config, rules, 1)
    }

    fn plan() -> Plan {
        Plan::new(FaultPlan::default())
    }

    #[test]
    fn oldest_goes_first() {
        let queue = work_queue(QueueConfig::dedicated(4));
        for pasid in 0..4 {
            queue.accept(&Descriptor::noop().with_pasid(pasid)).unwrap();
        }
        assert_eq!(queue.accept(&Descriptor::noop()), Err(Refusal::Full));
        for pasid in 0..4 {
            assert_eq!(queue.take(&plan()).unwrap().descriptor.pasid(), pasid);
        }
        assert!(queue.take(&plan()).is_none());
    }

    #[test]
    fn shared_queue_is_full_at_its_threshold() {
        let config = QueueConfig { mode: QueueMode::Shared { threshold: 2 }, ..QueueConfig::shared(8) };
        let queue = work_queue(config);
        assert_eq!(queue.accept(&Descriptor::noop()), Ok(()));
        assert_eq!(queue.accept(&Descriptor::noop()), Ok(()));
        assert_eq!(queue.accept(&Descriptor::noop()), Err(Refusal::Full));
    }

    #[test]
    fn nothing_passes_a_drain_out_of_order() {
        let plan = Plan::new(FaultPlan::seeded(1).out_of_order());
        for _ in 0..50 {
            let queue = work_queue(QueueConfig::dedicated(8));
            for descriptor in
                [Descriptor::noop(), Descriptor::noop(), Descriptor::drain(), Descriptor::noop()]
            {
                queue.accept(&descriptor).unwrap();
            }
            let order: Vec<u64> = (0..4).map(|_| queue.take(&plan).unwrap().sequence).collect();
            assert_eq!(order[2..], [2, 3]);
        }
    }

    #[test]
    fn disabled_queue_takes_nothing_in_but_gives_out() {
        let queue = work_queue(QueueConfig::shared(8));
        queue.accept(&Descriptor::noop()).unwrap();
        queue.set_enabled(false);
        assert_eq!(queue.accept(&Descriptor::noop()), Err(Refusal::Disabled));
        assert!(queue.take(&plan()).is_some());
    }
}
