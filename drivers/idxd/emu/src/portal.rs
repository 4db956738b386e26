//! Where descriptors are written.

use std::fmt;
use std::sync::Arc;

use idxd_spec::{Descriptor, register};

use crate::bus::ProcessMemory;
use crate::model::Model;
use crate::{DeviceKind, QueueConfig, QueueMode};

/// What the device answered to a write to a portal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use = "a descriptor that was turned away will never complete"]
pub enum Submission {
    /// The write was taken. With a posted write that is all one learns: it may have been dropped.
    Accepted,
    /// Nothing was queued: the shared work queue is full, at its threshold, or disabled.
    Retry,
}

/// The two kinds of 64-byte writes (DSA §9.3, table 9-11).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Write {
    /// Without an answer, as `MOVDIR64B` does: for dedicated work queues.
    Posted,
    /// With an answer, as `ENQCMD` does: for shared ones.
    Deferrable,
}

/// The portal of one work queue of a [`Device`](crate::Device) in this process.
///
/// Clones are the same portal. It may outlive the device: the work queue is then disabled, so a shared one answers
/// [`Submission::Retry`], and a dedicated one swallows the descriptor, as hardware does.
#[derive(Clone)]
pub struct Portal {
    model: Arc<Model<ProcessMemory>>,
    queue: usize,
    config: Arc<QueueConfig>,
    portal: register::Portal,
    /// What `ENQCMD` puts into the descriptor.
    pasid: u32,
}

impl Portal {
    pub(crate) fn new(
        model: Arc<Model<ProcessMemory>>,
        queue: usize,
        config: Arc<QueueConfig>,
        pasid: u32,
    ) -> Self {
        Self { model, queue, config, portal: register::Portal::Limited, pasid }
    }

    /// Another of the four portals of the same work queue.
    #[must_use]
    pub fn through(self, portal: register::Portal) -> Self {
        Self { portal, ..self }
    }

    /// Writes a descriptor: as `ENQCMD` does to a shared work queue, as `MOVDIR64B` does to a dedicated one.
    ///
    /// Takes a lock for a copy of 64 bytes and never waits for the device. Whoever submits promises what a driver
    /// promises to hardware: that until the record is written nothing borrows what the descriptor has the device
    /// write, and nothing changes what it has it read. What is not mapped is a fault in the record, never a signal.
    pub fn submit(&self, descriptor: &Descriptor) -> Submission {
        match self.config.mode {
            QueueMode::Shared { .. } => self.enqcmd(descriptor),
            QueueMode::Dedicated => self.movdir64b(descriptor),
        }
    }

    /// [`submit`](Self::submit) for 64 bytes of any kind.
    pub fn submit_bytes(&self, descriptor: &[u8; Descriptor::SIZE]) -> Submission {
        self.submit(&Descriptor::from_bytes(*descriptor))
    }

    /// A deferrable write with this process's PASID, whatever the work queue is.
    pub fn enqcmd(&self, descriptor: &Descriptor) -> Submission {
        self.enqcmds(&descriptor.with_pasid(self.pasid).with_privileged(false))
    }

    /// A deferrable write with the PASID and the privilege that are in the descriptor, as only a kernel can make it.
    pub fn enqcmds(&self, descriptor: &Descriptor) -> Submission {
        self.model.submit_through(self.queue, self.portal, Write::Deferrable, descriptor)
    }

    /// A posted write, whatever the work queue is.
    pub fn movdir64b(&self, descriptor: &Descriptor) -> Submission {
        self.model.submit_through(self.queue, self.portal, Write::Posted, descriptor)
    }

    /// The work queue's configuration, as the device was started with it.
    pub fn config(&self) -> &QueueConfig {
        &self.config
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
            .field("portal", &self.portal)
            .field("config", self.config())
            .finish_non_exhaustive()
    }
}
