//! A channel's health, and what it means for those who use it: taken out, brought back, inherited by a child.

use std::time::Instant;

use super::Channel;
use crate::backend::Kind;
use crate::choice::JOB_WEIGHT;
use crate::health::{Health, QueueFault};
use crate::job::{Job, Operation, Operations};
use crate::sync::Ordering;

impl Channel {
    /// Whether the queue is up, and if not, why and since when.
    pub(crate) const fn health(&self) -> &Health {
        &self.health
    }

    /// Whether this is a child's copy of the channel, on which nothing works.
    #[inline]
    pub(crate) fn is_inherited(&self) -> bool {
        self.lineage.is_forked()
    }

    /// The queue has failed: nothing more comes here but probes. Wakes nobody; that is the completion thread's.
    #[cold]
    pub(super) fn take_out(&self, why: QueueFault) {
        if self.capabilities.kind == Kind::Software {
            return;
        }
        let said = self.driver.fault();
        let why = said.unwrap_or(why);
        // A job may hear that the queue is disabled when its driver has just taken it back.
        let is_said = said.is_some() || why == QueueFault::Disabled;
        let fail = if is_said { Health::fail_as_said } else { Health::fail };
        if fail(&self.health, why, Instant::now()) {
            tracing::warn!(queue = %self.capabilities.name, %why, "queue taken out");
            self.publish();
            self.doorbell.ring(true);
        }
    }

    /// The queue works again.
    pub(crate) fn bring_back(&self) {
        if self.health.recover(Instant::now()) {
            tracing::info!(queue = %self.capabilities.name, "queue is back");
            self.publish();
        }
    }

    /// Something has happened that cannot happen on a queue that is out for this reason.
    #[cold]
    pub(super) fn show_life(&self, reason: QueueFault) {
        if self.health.why() == Some(reason) {
            self.bring_back();
        }
    }

    /// Whether the queue is out and another may do its work.
    #[inline]
    pub(super) fn is_out_for_others(&self) -> bool {
        !self.health.is_up() && self.lineage.up() & !self.bit() != 0
    }

    fn bit(&self) -> u64 {
        1_u64.checked_shl(u32::from(self.index)).unwrap_or(0)
    }

    /// Makes the health known to those who choose.
    pub(crate) fn publish(&self) {
        let _publishing = self.publishing.lock();
        let is_up = self.health.is_up();
        self.lineage.set_up(self.index, is_up);
        if self.index == 0 {
            self.lineage.set_at_once(if is_up { self.at_once } else { Operations::NONE });
        }
    }

    /// Those who wait for a slot look for another queue. Calls wakers: no lock may be held.
    pub(crate) fn send_away(&self) {
        self.line.send_away();
    }

    /// A slot for a probe, past the line.
    pub(crate) fn take_slot_for_probe(&self) -> Option<u32> {
        if self.is_closed() { None } else { self.take_slot() }
    }

    /// What the queue can be asked to find out whether it works: nothing, or a copy between these addresses.
    pub(crate) fn offers(&self, operation: Operation) -> bool {
        self.capabilities.operations.contains(operation)
    }

    /// Bytes under way here, with a weight for each job.
    #[inline]
    pub(crate) fn load(&self) -> u64 {
        self.load.load(Ordering::Relaxed)
    }

    /// Counts a job that was not over at once.
    pub(super) fn add_load(&self, slot: u32, job: Option<&Job>) {
        let weight = JOB_WEIGHT.saturating_add(job.map_or(0, Job::bytes));
        let place = &self.slots[slot as usize].weight;
        let before = place.swap(weight, Ordering::Relaxed);
        self.load.fetch_add(weight.wrapping_sub(before), Ordering::Relaxed);
    }

    /// The slot is free.
    pub(super) fn unload(&self, slot: u32) {
        let place = &self.slots[slot as usize].weight;
        let weight = place.load(Ordering::Relaxed);
        if weight != 0 {
            place.store(0, Ordering::Relaxed);
            self.load.fetch_sub(weight, Ordering::Relaxed);
        }
    }
}
