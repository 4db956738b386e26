//! A work queue as the kernel shows it.

use std::fmt;
use std::path::PathBuf;

use idxd_spec::OpCap;

use crate::device::{DeviceType, operations};
use crate::node::DeviceNode;
use crate::sysfs::Problem;
use crate::word::words;

words! {
    /// Attribute `mode`: who may submit.
    WorkQueueMode {
        /// Many processes, with `ENQCMD`.
        Shared = "shared",
        /// One process, with `MOVDIR64B`.
        Dedicated = "dedicated",
    }
}

words! {
    /// Attribute `type`: whom the queue is for.
    WorkQueueType {
        /// Nobody yet.
        None = "none",
        /// The kernel.
        Kernel = "kernel",
        /// Processes.
        User = "user",
    }
}

words! {
    /// Attribute `state` of a work queue.
    WorkQueueState {
        /// Takes nothing; its configuration can be written.
        Disabled = "disabled",
        /// Takes descriptors.
        Enabled = "enabled",
    }
}

/// Where descriptors go.
#[derive(Clone, Debug, serde::Serialize)]
pub struct WorkQueue {
    /// As `wq0.1`.
    pub name: String,
    /// The number of its device.
    pub device_id: u32,
    /// The number after the dot.
    pub id: u32,
    /// Which accelerator it belongs to.
    pub device_type: DeviceType,
    /// The driver that is bound: `user` for an enabled queue of processes.
    pub driver: Option<String>,
    /// Shared or dedicated.
    pub mode: Option<WorkQueueMode>,
    /// For the kernel or for processes.
    #[serde(rename = "type")]
    pub queue_type: Option<WorkQueueType>,
    /// Enabled or not.
    pub state: Option<WorkQueueState>,
    /// The name an administrator gave it.
    pub label: Option<String>,
    /// The driver it is meant for, since Linux 6.7.
    pub driver_name: Option<String>,
    /// Its group; none if it is in no group.
    pub group_id: Option<u32>,
    /// Entries.
    pub size: Option<u32>,
    /// Entries that may be filled through the limited portal, which is the one processes have.
    pub threshold: Option<u32>,
    /// 1 to 15, relative to others in its group.
    pub priority: Option<u32>,
    /// Whether descriptors may set block-on-fault.
    pub block_on_fault: Option<bool>,
    /// Largest transfer, in bytes.
    pub max_transfer_size: Option<u64>,
    /// Largest batch, in descriptors. IAA has none.
    pub max_batch_size: Option<u32>,
    /// Whether address translation services are off for it.
    pub ats_disable: Option<bool>,
    /// Whether page requests are off for it, and with them block-on-fault.
    pub prs_disable: Option<bool>,
    /// Operations it allows; none where the device cannot restrict them.
    #[serde(serialize_with = "operations")]
    pub op_config: Option<OpCap>,
    /// Entries in use, if the device counts them.
    pub occupancy: Option<u32>,
    /// How often the kernel itself tries again.
    pub enqcmds_retries: Option<u32>,
    /// Open files.
    pub clients: Option<u32>,
    /// Minor number of its device node, while it has one.
    pub cdev_minor: Option<u32>,
    /// Where its device node is while the queue is enabled for processes.
    pub node_path: PathBuf,
    /// Its device node, if there is one.
    pub node: Option<DeviceNode>,
    /// Attributes that are not there.
    pub missing: Vec<&'static str>,
    /// What is wrong in its directory or with its node.
    pub problems: Vec<Problem>,
    /// Where all this was read.
    pub path: PathBuf,
}

impl WorkQueue {
    /// Whether the queue takes descriptors.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.state == Some(WorkQueueState::Enabled)
    }

    /// Whether the queue is for processes.
    #[must_use]
    pub fn is_user(&self) -> bool {
        self.queue_type == Some(WorkQueueType::User)
    }

    /// Whether the queue belongs to one process at a time.
    #[must_use]
    pub fn is_dedicated(&self) -> bool {
        self.mode == Some(WorkQueueMode::Dedicated)
    }
}

impl fmt::Display for WorkQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.name)
    }
}
