//! Groups: which engines serve which work queues, and the arbiter that says from which queue an engine takes next
//! (DSA §3.4, §4.1).
//!
//! Each work queue has as many turns as its priority says. The arbiter goes round the queues and gives one descriptor
//! from each that has work and a turn left; when none of those with work has a turn left, all get theirs anew.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use idxd_spec::register::GrpCfg;
use parking_lot::{Mutex, RwLock};

use crate::fault_plan::Plan;
use crate::work_queue::{Taken, WorkQueue};

/// The work queues of a group, and whose turn it is.
pub(crate) struct Group {
    /// Indices of the work queues.
    queues: Vec<usize>,
    /// The traffic classes for a selector of 0 and of 1.
    pub(crate) traffic_classes: [u8; 2],
    arbiter: Mutex<Arbiter>,
}

struct Arbiter {
    /// Turns each has left, in the order of the queues.
    turns: Vec<u8>,
    /// The place where the round goes on.
    next: usize,
}

impl Group {
    fn new(queues: Vec<usize>, traffic_classes: [u8; 2]) -> Self {
        let arbiter = Arbiter { turns: vec![0; queues.len()], next: 0 };
        Self { queues, traffic_classes, arbiter: Mutex::new(arbiter) }
    }

    /// The next descriptor of the group and the index of its work queue.
    pub(crate) fn take(&self, queues: &[WorkQueue], plan: &Plan) -> Option<(usize, Taken)> {
        if let [only] = self.queues[..] {
            return Some((only, queues[only].take(plan)?));
        }
        let mut arbiter = self.arbiter.lock();
        let mut is_fresh = false;
        loop {
            let count = self.queues.len();
            let round = (0..count).map(|step| (arbiter.next + step) % count);
            let next =
                round.into_iter().find(|at| arbiter.turns[*at] > 0 && !queues[self.queues[*at]].is_empty());
            match next {
                Some(at) => {
                    arbiter.turns[at] -= 1;
                    arbiter.next = (at + 1) % count;
                    if let Some(taken) = queues[self.queues[at]].take(plan) {
                        return Some((self.queues[at], taken));
                    }
                }
                None if is_fresh || !self.has_work(queues) => return None,
                None => {
                    arbiter.turns = self.queues.iter().map(|queue| queues[*queue].priority()).collect();
                    is_fresh = true;
                }
            }
        }
    }

    pub(crate) fn has_work(&self, queues: &[WorkQueue]) -> bool {
        self.queues.iter().any(|queue| !queues[*queue].is_empty())
    }
}

/// Which group each engine is in. It changes when the device is enabled; engines look at a number to see that it has.
pub(crate) struct Groups {
    version: AtomicU64,
    by_engine: RwLock<Vec<Option<Arc<Group>>>>,
}

impl Groups {
    pub(crate) fn new(engines: usize) -> Self {
        Self { version: AtomicU64::new(0), by_engine: RwLock::new(vec![None; engines]) }
    }

    /// Takes over the group configuration. Queues in no group that has engines are served by none.
    pub(crate) fn configure(&self, groups: &[GrpCfg], queues: usize) {
        let mut by_engine = self.by_engine.write();
        by_engine.fill(None);
        for config in groups {
            let byte = |at: usize| u8::try_from(at).unwrap_or(u8::MAX);
            let queues = (0..queues).filter(|queue| config.has_wq(byte(*queue))).collect();
            let group = Arc::new(Group::new(queues, [config.flags.tc_a(), config.flags.tc_b()]));
            for (engine, place) in by_engine.iter_mut().enumerate() {
                if config.has_engine(byte(engine)) {
                    *place = Some(Arc::clone(&group));
                }
            }
        }
        drop(by_engine);
        self.version.fetch_add(1, Ordering::Release);
    }
}

/// An engine's place in a group, as it last saw it.
#[derive(Default)]
pub(crate) struct Place {
    version: u64,
    group: Option<Arc<Group>>,
}

impl Place {
    /// The group of engine `engine`, if it is in one.
    pub(crate) fn group(&mut self, groups: &Groups, engine: usize) -> Option<&Arc<Group>> {
        let version = groups.version.load(Ordering::Acquire);
        if version != self.version {
            self.group = groups.by_engine.read().get(engine).cloned().flatten();
            self.version = version;
        }
        self.group.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use idxd_spec::Descriptor;
    use idxd_spec::register::Portal;

    use super::*;
    use crate::portal::Write;
    use crate::work_queue::tests::work_queue;
    use crate::{FaultPlan, QueueConfig};

    fn full(priority: u8) -> WorkQueue {
        let queue = work_queue(&QueueConfig { priority, ..QueueConfig::dedicated(64) });
        (0..40).for_each(|_| queue.accept(&Descriptor::noop(), Portal::Limited, Write::Posted).unwrap());
        queue
    }

    #[test]
    fn low_priority_is_served_between_turns_of_high() {
        let queues = [full(3), full(1)];
        let group = Group::new(vec![0, 1], [0; 2]);
        let plan = Plan::new(FaultPlan::default());
        let order: Vec<usize> = (0..16).map(|_| group.take(&queues, &plan).unwrap().0).collect();
        assert_eq!(order[..8], [0, 1, 0, 0, 1, 0, 0, 0]);
        assert_eq!(order.iter().filter(|queue| **queue == 0).count(), 12);
    }

    #[test]
    fn engine_sees_its_queues_and_no_others() {
        let queues = [full(1), full(1)];
        let groups = Groups::new(3);
        let config = |wq: u8, engine: u8| GrpCfg {
            wqs: [1_u64 << wq, 0, 0, 0],
            engines: 1_u64 << engine,
            ..GrpCfg::default()
        };
        groups.configure(&[config(1, 0), config(0, 1)], 2);
        let plan = Plan::new(FaultPlan::default());
        let mut places = [(); 3].map(|()| Place::default());
        let taken = |places: &mut [Place; 3], engine: usize| {
            places[engine].group(&groups, engine)?.take(&queues, &plan).map(|(queue, _)| queue)
        };
        assert_eq!([0, 1, 2].map(|engine| taken(&mut places, engine)), [Some(1), Some(0), None]);
        groups.configure(&[config(0, 0)], 2);
        assert_eq!([0, 1, 2].map(|engine| taken(&mut places, engine)), [Some(0), None, None]);
    }
}
