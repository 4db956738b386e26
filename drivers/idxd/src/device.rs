//! A DSA or IAA device as the kernel shows it: what it can do, how it is configured, and its parts.
//!
//! Every value is optional: a kernel shows what its version and the device have. What was looked for and not found
//! is in `missing`, what was found and makes no sense in `problems`. The sources of all attributes are the kernel's
//! `Documentation/ABI/stable/sysfs-driver-dma-idxd` and, for the few that it leaves out (`gen_cap`, `clients`,
//! `traffic_class_a`), the driver's own list.

use std::path::PathBuf;

use idxd_spec::register::{IaaCap, SoftCmdStatus, SwError};
use idxd_spec::{GenCap, OpCap};

use crate::sysfs::Problem;
use crate::word::words;
use crate::work_queue::WorkQueue;

/// Which accelerator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceType {
    /// Data Streaming Accelerator.
    Dsa,
    /// In-Memory Analytics Accelerator; the kernel calls it `iax`.
    Iax,
}

impl DeviceType {
    /// The kernel's word, which is also the directory of the device nodes under `/dev`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dsa => "dsa",
            Self::Iax => "iax",
        }
    }
}

words! {
    /// Attribute `state` of a device.
    DeviceState {
        /// Not running; its configuration can be written.
        Disabled = "disabled",
        /// Running.
        Enabled = "enabled",
        /// Stopped by an error.
        Halted = "halted",
    }
}

/// One device.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Device {
    /// As `dsa0`.
    pub name: String,
    /// Which accelerator.
    #[serde(rename = "type")]
    pub device_type: DeviceType,
    /// The number in its name. DSA and IAA share one sequence.
    pub id: u32,
    /// As `0000:6a:01.0`.
    pub pci_address: Option<String>,
    /// The driver that is bound: `idxd` if the device is enabled.
    pub driver: Option<String>,
    /// Version of the specification: 0x100, 0x200, 0x300.
    #[serde(serialize_with = "hex_u32")]
    pub version: Option<u32>,
    /// Enabled or not.
    pub state: Option<DeviceState>,
    /// NUMA node; -1 where the machine has none.
    pub numa_node: Option<i32>,
    /// Whether its configuration can be written.
    pub configurable: Option<bool>,
    /// Whether processes can use it with their own addresses.
    pub pasid_enabled: Option<bool>,
    /// Open files, over all work queues.
    pub clients: Option<u32>,
    /// Operations it supports. Kernels leave out the batch where they refuse it from [`write(2)`](crate::WritePortal).
    #[serde(serialize_with = "operations")]
    pub op_cap: Option<OpCap>,
    /// General capabilities.
    #[serde(serialize_with = "gen_cap")]
    pub gen_cap: Option<GenCap>,
    /// Capabilities of an IAA, version 2 and later.
    #[serde(serialize_with = "iaa_cap")]
    pub iaa_cap: Option<IaaCap>,
    /// DSACAP0 to DSACAP2 of a DSA, version 3 and later.
    #[serde(serialize_with = "dsa_caps")]
    pub dsacaps: Option<[u64; 3]>,
    /// Number of groups.
    pub max_groups: Option<u32>,
    /// Number of engines.
    pub max_engines: Option<u32>,
    /// Number of work queues.
    pub max_work_queues: Option<u32>,
    /// Entries of all work queues together.
    pub max_work_queues_size: Option<u32>,
    /// Largest transfer of any work queue, in bytes.
    pub max_transfer_size: Option<u64>,
    /// Largest batch of any work queue, in descriptors. IAA has none.
    pub max_batch_size: Option<u32>,
    /// Read buffers. IAA has none.
    pub max_read_buffers: Option<u32>,
    /// Read buffers that operations on slow memory may use; 0 is no limit.
    pub read_buffer_limit: Option<u32>,
    /// Entries of the event log.
    pub event_log_size: Option<u32>,
    /// Major number of its device nodes.
    pub cdev_major: Option<u32>,
    /// What the last administrative command came to; 0 is well.
    #[serde(serialize_with = "cmd_status")]
    pub cmd_status: Option<SoftCmdStatus>,
    /// The software error register.
    #[serde(serialize_with = "errors")]
    pub errors: Option<SwError>,
    /// Its groups, by number.
    pub groups: Vec<Group>,
    /// Its engines, by number.
    pub engines: Vec<Engine>,
    /// Its work queues, by number.
    pub work_queues: Vec<WorkQueue>,
    /// Attributes that are not there.
    pub missing: Vec<&'static str>,
    /// What is wrong in its directory, its groups and engines. Work queues have their own.
    pub problems: Vec<Problem>,
    /// Where all this was read.
    pub path: PathBuf,
}

impl Device {
    /// Whether the device runs.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.state == Some(DeviceState::Enabled)
    }

    /// The first number of its version: 1 for the first generation. None if the version is not known.
    #[must_use]
    pub fn generation(&self) -> Option<u32> {
        self.version.map(|version| version >> 8)
    }

    /// A work queue by its number.
    #[must_use]
    pub fn work_queue(&self, id: u32) -> Option<&WorkQueue> {
        self.work_queues.iter().find(|queue| queue.id == id)
    }

    /// A group by its number.
    #[must_use]
    pub fn group(&self, id: u32) -> Option<&Group> {
        self.groups.iter().find(|group| group.id == id)
    }

    /// An engine by its number.
    #[must_use]
    pub fn engine(&self, id: u32) -> Option<&Engine> {
        self.engines.iter().find(|engine| engine.id == id)
    }

    /// All problems: of the device and of its work queues.
    pub fn all_problems(&self) -> impl Iterator<Item = &Problem> {
        self.problems.iter().chain(self.work_queues.iter().flat_map(|queue| &queue.problems))
    }
}

/// Work queues and the engines that serve them.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Group {
    /// As `group0.1`.
    pub name: String,
    /// The number after the dot.
    pub id: u32,
    /// Its engines, by name.
    pub engines: Vec<String>,
    /// Its work queues, by name.
    pub work_queues: Vec<String>,
    /// Read buffers its engines may use.
    pub read_buffers_allowed: Option<u32>,
    /// Read buffers kept for its engines.
    pub read_buffers_reserved: Option<u32>,
    /// Whether the device's `read_buffer_limit` is for this group.
    pub use_read_buffer_limit: Option<bool>,
    /// Traffic class A, 0 to 7.
    pub traffic_class_a: Option<i32>,
    /// Traffic class B, 0 to 7.
    pub traffic_class_b: Option<i32>,
    /// Work descriptors in progress: 0 all, 1 a half, 2 a quarter, 3 an eighth.
    pub desc_progress_limit: Option<u32>,
    /// Batch descriptors in progress, likewise.
    pub batch_progress_limit: Option<u32>,
    /// Attributes that are not there.
    pub missing: Vec<&'static str>,
}

/// What does the work.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Engine {
    /// As `engine0.1`.
    pub name: String,
    /// The number after the dot.
    pub id: u32,
    /// Its group; none if it is in no group.
    pub group_id: Option<u32>,
    /// Attributes that are not there.
    pub missing: Vec<&'static str>,
}

fn as_hex<S: serde::Serializer>(value: Option<u64>, serializer: S) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => serializer.serialize_some(&format!("{value:#x}")),
        None => serializer.serialize_none(),
    }
}

fn hex_u32<S: serde::Serializer>(value: &Option<u32>, serializer: S) -> Result<S::Ok, S::Error> {
    as_hex(value.map(u64::from), serializer)
}

fn gen_cap<S: serde::Serializer>(value: &Option<GenCap>, serializer: S) -> Result<S::Ok, S::Error> {
    as_hex(value.map(|cap| cap.0), serializer)
}

fn iaa_cap<S: serde::Serializer>(value: &Option<IaaCap>, serializer: S) -> Result<S::Ok, S::Error> {
    as_hex(value.map(|cap| cap.0), serializer)
}

fn dsa_caps<S: serde::Serializer>(value: &Option<[u64; 3]>, serializer: S) -> Result<S::Ok, S::Error> {
    match value {
        Some(caps) => serializer.collect_seq(caps.iter().map(|cap| format!("{cap:#x}"))),
        None => serializer.serialize_none(),
    }
}

fn cmd_status<S: serde::Serializer>(value: &Option<SoftCmdStatus>, serializer: S) -> Result<S::Ok, S::Error> {
    as_hex(value.map(|status| u64::from(status.0)), serializer)
}

fn as_bitmap<S: serde::Serializer>(value: Option<[u64; 4]>, serializer: S) -> Result<S::Ok, S::Error> {
    match value {
        Some(words) => serializer.serialize_some(&crate::sysfs::bitmap_text(words)),
        None => serializer.serialize_none(),
    }
}

pub(crate) fn operations<S: serde::Serializer>(
    value: &Option<OpCap>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    as_bitmap(value.map(|cap| cap.0), serializer)
}

fn errors<S: serde::Serializer>(value: &Option<SwError>, serializer: S) -> Result<S::Ok, S::Error> {
    as_bitmap(value.map(|error| error.0), serializer)
}
