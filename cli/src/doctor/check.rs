//! The form of a check. Each is a line in a table; a new one is a function and a line.

use std::fmt;

use serde::Serialize;
use svala_idxd::{Device, WorkQueue};

use super::finding::Finding;
use super::machine::Machine;

/// What a check is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Group {
    Cpu,
    Kernel,
    Iommu,
    Device,
    Queue,
    Process,
    Qat,
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Cpu => "CPU",
            Self::Kernel => "kernel",
            Self::Iommu => "IOMMU and firmware",
            Self::Device => "devices",
            Self::Queue => "work queues",
            Self::Process => "this process",
            Self::Qat => "QAT",
        })
    }
}

/// A requirement of the machine.
pub(crate) struct Check {
    /// For programs; stable.
    pub(crate) id: &'static str,
    pub(crate) group: Group,
    /// For people.
    pub(crate) title: &'static str,
    /// Whether no queue can be used without it.
    pub(crate) required: bool,
    pub(crate) look: fn(&Machine) -> Finding,
}

/// A requirement of each device.
pub(crate) struct DeviceCheck {
    pub(crate) id: &'static str,
    pub(crate) title: &'static str,
    pub(crate) required: bool,
    pub(crate) look: fn(&Machine, &Device) -> Finding,
}

/// A requirement of each work queue.
pub(crate) struct QueueCheck {
    pub(crate) id: &'static str,
    pub(crate) title: &'static str,
    pub(crate) required: bool,
    pub(crate) look: fn(&Machine, &Device, &WorkQueue) -> Finding,
}
