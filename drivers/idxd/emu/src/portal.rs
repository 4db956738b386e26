//! Where descriptors are written.

use std::fmt;
use std::sync::Arc;

use idxd_spec::Descriptor;

use crate::bus::ProcessMemory;
use crate::model::Model;
use crate::{DeviceKind, QueueConfig, QueueMode};

/// What the device answered to a write to a portal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use = "a descriptor that was turned away will never complete"]
pub enum Submission {
    /// The write was taken. With a dedicated work queue that is all one learns: it may have been dropped.
    Accepted,
    /// Nothing was queued: the shared work queue is full, at its threshold, or disabled.
    Retry,
}

/// The portal of one work queue of a [`Device`](crate::Device) in this process.
///
/// Clones are the same portal. It may outlive the device: the work queue is then disabled, so a shared one answers
/// [`Submission::Retry`], and a dedicated one swallows the descriptor, as hardware does.
#[derive(Clone)]
pub struct Portal {
    model: Arc<Model<ProcessMemory>>,
    queue: usize,
    /// What `ENQCMD` puts into the descriptor.
    pasid: u32,
}

impl Portal {
    pub(crate) fn new(model: Arc<Model<ProcessMemory>>, queue: usize, pasid: u32) -> Self {
        Self { model, queue, pasid }
    }

    /// Writes a descriptor: as `ENQCMD` does to a shared work queue, as `MOVDIR64B` does to a dedicated one.
    ///
    /// Takes a lock for a copy of 64 bytes and never waits for the device. Whoever submits promises what a driver
    /// promises to hardware: that until the record is written nothing borrows what the descriptor has the device
    /// write, and nothing changes what it has it read. What is not mapped is a fault in the record, never a signal.
    pub fn submit(&self, descriptor: &Descriptor) -> Submission {
        match self.config().mode {
            QueueMode::Shared { .. } => {
                let descriptor = descriptor.with_pasid(self.pasid).with_privileged(false);
                self.model.submit(self.queue, &descriptor)
            }
            QueueMode::Dedicated => self.model.submit(self.queue, descriptor),
        }
    }

    /// [`submit`](Self::submit) for 64 bytes of any kind.
    pub fn submit_bytes(&self, descriptor: &[u8; Descriptor::SIZE]) -> Submission {
        self.submit(&Descriptor::from_bytes(*descriptor))
    }

    /// The work queue's configuration.
    pub fn config(&self) -> &QueueConfig {
        self.model.queues[self.queue].config()
    }

    /// Which accelerator is behind it.
    pub fn kind(&self) -> DeviceKind {
        self.model.kind
    }

    /// Index of the work queue.
    pub fn queue(&self) -> usize {
        self.queue
    }
}

impl fmt::Debug for Portal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Portal")
            .field("kind", &self.model.kind)
            .field("queue", &self.queue)
            .field("config", self.config())
            .finish_non_exhaustive()
    }
}
