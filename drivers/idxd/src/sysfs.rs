//! Discovery: what the kernel shows of DSA and IAA devices under `/sys/bus/dsa`, and their nodes under `/dev`.
//!
//! Nothing is opened but regular files of a page at most, no link is followed but the one from the bus to a device,
//! and every number of entries has a bound, so a tree that is broken, or not sysfs at all, costs little and ends in
//! values that are missing and [`Problem`]s that say where. A broken device does not hide its neighbours.
//!
//! What is read is a moment: configuration may change while it is read, and after.

mod attribute;
mod problem;
mod walk;

use std::io;
use std::path::{Path, PathBuf};

pub(crate) use attribute::{bitmap, bitmap_text, is_word};
pub use problem::{Problem, ProblemKind};
pub(crate) use walk::part_name;

use crate::device::{Device, DeviceType};
use crate::work_queue::WorkQueue;

/// Reads one attribute, with the care of discovery.
pub(crate) fn read_attribute(path: &Path) -> io::Result<Vec<u8>> {
    attribute::read(path).map_err(|unread| match unread {
        attribute::Unread::Missing => io::ErrorKind::NotFound.into(),
        attribute::Unread::Bad(ProblemKind::Os { errno }) => io::Error::from_raw_os_error(errno),
        attribute::Unread::Bad(kind) => io::Error::other(kind),
    })
}

/// Why there is nothing to discover.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SysfsError {
    /// The directory of devices cannot be read. Without the kernel module `idxd` it does not exist.
    #[error("{}", path.display())]
    Bus {
        /// The directory.
        path: PathBuf,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
}

/// Where to look.
#[derive(Clone, Debug)]
pub struct Sysfs {
    bus: PathBuf,
    nodes: PathBuf,
}

/// What was found.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Discovery {
    /// The directory of devices.
    pub path: PathBuf,
    /// Devices by number.
    pub devices: Vec<Device>,
    /// Drivers of the bus: `idxd`, `user`, `dmaengine`, `crypto`.
    pub drivers: Vec<String>,
    /// What is wrong with the directory itself.
    pub problems: Vec<Problem>,
}

impl Default for Sysfs {
    /// This machine's.
    fn default() -> Self {
        Self::new("/sys/bus/dsa", "/dev")
    }
}

impl Sysfs {
    /// A tree elsewhere: `bus` is in the place of `/sys/bus/dsa`, `nodes` in that of `/dev`.
    pub fn new(bus: impl Into<PathBuf>, nodes: impl Into<PathBuf>) -> Self {
        Self { bus: bus.into(), nodes: nodes.into() }
    }

    /// The bus: `/sys/bus/dsa`.
    #[must_use]
    pub fn bus(&self) -> &Path {
        &self.bus
    }

    /// The directory of devices: `/sys/bus/dsa/devices`.
    #[must_use]
    pub fn devices(&self) -> PathBuf {
        self.bus.join("devices")
    }

    /// The node of a work queue: `/dev/dsa/wq0.0`.
    #[must_use]
    pub fn node_path(&self, device_type: DeviceType, queue: &str) -> PathBuf {
        self.nodes.join(device_type.name()).join(queue)
    }

    /// Reads the tree.
    ///
    /// # Errors
    ///
    /// [`SysfsError::Bus`] if the directory of devices cannot be read. Anything below it that cannot be read is a
    /// [`Problem`] where it belongs.
    pub fn discover(&self) -> Result<Discovery, SysfsError> {
        let path = self.devices();
        let (names, more) =
            walk::names(&path).map_err(|source| SysfsError::Bus { path: path.clone(), source })?;
        let mut problems = Vec::new();
        let mut problem = |entries_max| {
            problems.push(Problem { at: "devices".into(), kind: ProblemKind::TooMany { entries_max } });
        };
        if more {
            problem(walk::ENTRIES_MAX);
        }
        let mut found: Vec<_> = names
            .into_iter()
            .filter_map(|name| walk::device_name(&name).map(|(device_type, id)| (id, device_type, name)))
            .collect();
        found.sort_unstable();
        if found.len() > walk::DEVICES_MAX {
            problem(walk::DEVICES_MAX);
            found.truncate(walk::DEVICES_MAX);
        }
        let devices = found.into_iter().map(|(id, device_type, name)| self.device(name, device_type, id));
        let devices = devices.collect();
        Ok(Discovery { path, devices, drivers: self.drivers(), problems })
    }

    /// The bus's drivers; none if they cannot be listed.
    fn drivers(&self) -> Vec<String> {
        let (mut names, _) = walk::names(&self.bus.join("drivers")).unwrap_or_default();
        names.retain(|name| is_word(name));
        names
    }
}

impl Discovery {
    /// A device by its name, as `dsa0`.
    #[must_use]
    pub fn device(&self, name: &str) -> Option<&Device> {
        self.devices.iter().find(|device| device.name == name)
    }

    /// A work queue by its name, as `wq0.1`, with its device.
    #[must_use]
    pub fn work_queue(&self, name: &str) -> Option<(&Device, &WorkQueue)> {
        self.work_queues().find(|(_, queue)| queue.name == name)
    }

    /// All work queues, with their devices.
    pub fn work_queues(&self) -> impl Iterator<Item = (&Device, &WorkQueue)> {
        self.devices.iter().flat_map(|device| device.work_queues.iter().map(move |queue| (device, queue)))
    }

    /// All problems, wherever they are.
    pub fn all_problems(&self) -> impl Iterator<Item = &Problem> {
        self.problems.iter().chain(self.devices.iter().flat_map(Device::all_problems))
    }
}
