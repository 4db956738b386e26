//! A group: work queues, and the arbiter that says from which of them an engine takes next (DSA §3.4, §4.1).
//!
//! Each work queue gets as many turns as its priority says, then all get theirs anew once no queue with work has a turn
//! left: higher priority goes first and more often, and lower priority is never starved.

use parking_lot::Mutex;

use crate::fault_plan::Plan;
use crate::work_queue::{Taken, WorkQueue};

pub(crate) struct Group {
    /// Indices of the work queues.
    queues: Vec<usize>,
    /// Turns each has left.
    turns: Mutex<Vec<u8>>,
}

impl Group {
    /// The group of all `queues`.
    pub(crate) fn of_all(queues: &[WorkQueue]) -> Self {
        Self { queues: (0..queues.len()).collect(), turns: Mutex::new(turns(queues)) }
    }

    /// The next descriptor of the group and the index of its work queue.
    pub(crate) fn take(&self, queues: &[WorkQueue], plan: &Plan) -> Option<(usize, Taken)> {
        if let [only] = self.queues[..] {
            return Some((only, queues[only].take(plan)?));
        }
        let mut left = self.turns.lock();
        loop {
            let with_work = || self.queues.iter().copied().filter(|queue| !queues[*queue].is_empty());
            let next = with_work().filter(|queue| left[*queue] > 0).max_by_key(|queue| left[*queue]);
            match next {
                Some(queue) => {
                    left[queue] -= 1;
                    if let Some(taken) = queues[queue].take(plan) {
                        return Some((queue, taken));
                    }
                }
                None if with_work().next().is_some() => *left = turns(queues),
                None => return None,
            }
        }
    }

    pub(crate) fn has_work(&self, queues: &[WorkQueue]) -> bool {
        self.queues.iter().any(|queue| !queues[*queue].is_empty())
    }
}

fn turns(queues: &[WorkQueue]) -> Vec<u8> {
    queues.iter().map(|queue| queue.config().priority).collect()
}

#[cfg(test)]
mod tests {
    use idxd_spec::Descriptor;

    use super::*;
    use crate::rules::Rules;
    use crate::{Capabilities, DeviceKind, FaultPlan, QueueConfig, Version};

    #[test]
    fn low_priority_is_served_between_turns_of_high() {
        let config = |priority| QueueConfig { priority, ..QueueConfig::dedicated(64) };
        let work_queue = |priority| {
            let rules = Rules::new(&config(priority), &Capabilities::of(DeviceKind::Dsa, Version::V2));
            WorkQueue::new(config(priority), rules, 1)
        };
        let queues = [work_queue(3), work_queue(1)];
        let group = Group::of_all(&queues);
        for queue in &queues {
            for _ in 0..40 {
                queue.accept(&Descriptor::noop()).unwrap();
            }
        }
        let plan = Plan::new(FaultPlan::default());
        let order: Vec<usize> = (0..16).map(|_| group.take(&queues, &plan).unwrap().0).collect();
        assert_eq!(order.iter().filter(|queue| **queue == 0).count(), 12);
        assert_eq!(order.iter().filter(|queue| **queue == 1).count(), 4);
    }
}
