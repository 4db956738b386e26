//! Opening a real work queue.
//!
//! What discovery found is checked before anything is opened, so that a queue that cannot work is an error that says
//! why, and not a job that never ends. The queue's settings are those of the kernel's attributes, held against the
//! capabilities of its device. Never run on hardware.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use idxd_spec::register::{DsaCap0, DsaCap1, DsaCap2, IaaCap};
use idxd_spec::{GenCap, Opcode};
use svala::{Operation, Operations};

use crate::device::{Device, DeviceState, DeviceType};
use crate::dsa::{DsaQueue, DsaQueueConfig, Lists, PARALLEL_PART_BYTES, dsa_list_operations, dsa_operations};
use crate::iaa::{IaaQueue, IaaQueueConfig};
use crate::node::DeviceNode;
use crate::portal::{HardwarePortal, Method, MethodChoice, NoWay};
use crate::work_queue::{WorkQueue, WorkQueueMode, WorkQueueState, WorkQueueType};

/// Why a work queue cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// An attribute that is needed is not there, or makes no sense.
    #[error("{queue}: attribute {attribute} cannot be read")]
    Attribute {
        /// The queue.
        queue: String,
        /// Of the queue or of its device.
        attribute: &'static str,
    },
    /// The device does not run.
    #[error("{device}: {state}")]
    Device {
        /// The device.
        device: String,
        /// Its state.
        state: DeviceState,
    },
    /// The queue takes nothing.
    #[error("{queue}: {state}")]
    Queue {
        /// The queue.
        queue: String,
        /// Its state.
        state: WorkQueueState,
    },
    /// The queue is not for processes.
    #[error("{queue}: of type {queue_type} and not user")]
    Type {
        /// The queue.
        queue: String,
        /// Its type.
        queue_type: WorkQueueType,
    },
    /// The queue is bound to a driver that gives processes no node.
    #[error("{queue}: bound to driver {driver} and not user")]
    Driver {
        /// The queue.
        queue: String,
        /// The driver.
        driver: String,
    },
    /// The queue is in a mode we know no way to submit to.
    #[error("{queue}: in mode {mode}")]
    Mode {
        /// The queue.
        queue: String,
        /// Its mode.
        mode: WorkQueueMode,
    },
    /// Processes cannot use the device with their addresses: no IOMMU in scalable mode.
    #[error("{device}: user PASID is not enabled")]
    Pasid {
        /// The device.
        device: String,
    },
    /// The queue has no device node.
    #[error("{}: not there", path.display())]
    NoNode {
        /// Where it should be.
        path: PathBuf,
    },
    /// What is in the node's place is something else: a file, or another device.
    #[error("{}: not the device node of {queue}", path.display())]
    OtherNode {
        /// The queue.
        queue: String,
        /// Where it is.
        path: PathBuf,
    },
    /// This process may not open the node.
    #[error("{}: mode {mode:#o}, user {uid}, group {gid}", path.display())]
    Permission {
        /// Where it is.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// Its owner.
        uid: u32,
        /// Its group.
        gid: u32,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// A dedicated queue that another process has open.
    #[error("{}: in use", path.display())]
    Busy {
        /// Where it is.
        path: PathBuf,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// The node cannot be opened for another reason: the kernel could not bind this process to the device.
    #[error("{}", path.display())]
    Node {
        /// Where it is.
        path: PathBuf,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// Neither the CPU's instruction nor `write(2)`.
    #[error("{queue}")]
    NoWay {
        /// The queue.
        queue: String,
        /// What each failed with.
        #[source]
        source: NoWay,
    },
}

/// Settings that are not the device's.
#[derive(Clone, Debug)]
pub struct HardwareOptions {
    /// How descriptors are to get there.
    pub method: MethodChoice,
    /// Jobs in flight at most; none for as many as the queue has entries for this process.
    pub depth: Option<u32>,
    /// Most members of a batch, however many the queue takes: each job in flight has memory for that many.
    pub batch_max: u32,
    /// Whether to use batches; none for what the kernel shows. A kernel that refuses batches through `write(2)`
    /// hides the operation even from those who map the portal, and it cannot be told from one that an administrator
    /// took away; so without a word here it is not used.
    pub batches: Option<bool>,
    /// Parts of a large job under way at once.
    pub lanes_per_job: u16,
    /// Bytes of a part, where the parts of a job may run in any order: what another's small job waits for behind each.
    pub parallel_part_bytes: u32,
}

impl Default for HardwareOptions {
    fn default() -> Self {
        Self {
            method: MethodChoice::Auto,
            depth: None,
            batch_max: 64,
            batches: None,
            lanes_per_job: 4,
            parallel_part_bytes: PARALLEL_PART_BYTES,
        }
    }
}

/// A real work queue, open.
#[derive(Debug)]
#[non_exhaustive]
pub enum HardwareQueue {
    /// Of a DSA.
    Dsa(DsaQueue<HardwarePortal>),
    /// Of an IAA.
    Iaa(IaaQueue<HardwarePortal>),
}

/// Jobs in flight at most, whatever the size of the queue.
const DEPTH_MAX: u32 = 1024;

/// Largest transfer of a queue whose kernel does not show it: the kernel's own default.
const TRANSFER_BYTES_DEFAULT: u64 = 2 << 20;

impl HardwareQueue {
    /// Opens a work queue that discovery found on `device`.
    ///
    /// # Errors
    ///
    /// One variant of [`OpenError`] for each thing that can be wrong. Nothing is opened unless the attributes say that
    /// the queue can be used.
    pub fn open(device: &Device, queue: &WorkQueue, options: &HardwareOptions) -> Result<Self, OpenError> {
        check(device, queue)?;
        let facts = Facts::of(device, queue)?;
        let node = node(device, queue)?;
        let file = open_node(node)?;
        let portal = HardwarePortal::new(file, facts.dedicated, options.method)
            .map_err(|source| OpenError::NoWay { queue: queue.name.clone(), source })?;
        tracing::debug!(queue = queue.name, %portal, "work queue opened");
        // -1 where the firmware does not say.
        let numa_node = device.numa_node.and_then(|node| u16::try_from(node).ok());
        Ok(match queue.device_type {
            DeviceType::Dsa => {
                let config = facts.dsa(device, queue, portal.method(), options);
                Self::Dsa(DsaQueue::new(portal, &config).at_node(numa_node))
            }
            DeviceType::Iax => {
                let config = facts.iaa(device, queue, options);
                Self::Iaa(
                    refused(device, queue)
                        .fold(IaaQueue::new(portal, &config).at_node(numa_node), IaaQueue::without),
                )
            }
        })
    }

    /// Its portal.
    pub const fn portal(&self) -> &HardwarePortal {
        match self {
            Self::Dsa(queue) => queue.portal(),
            Self::Iaa(queue) => queue.portal(),
        }
    }
}

/// Refuses what the attributes say cannot work.
fn check(device: &Device, queue: &WorkQueue) -> Result<(), OpenError> {
    let name = || queue.name.clone();
    let missing = |attribute| OpenError::Attribute { queue: name(), attribute };
    match device.state.clone().ok_or_else(|| missing("device state"))? {
        DeviceState::Enabled => {}
        state => return Err(OpenError::Device { device: device.name.clone(), state }),
    }
    match queue.state.clone().ok_or_else(|| missing("state"))? {
        WorkQueueState::Enabled => {}
        state => return Err(OpenError::Queue { queue: name(), state }),
    }
    match queue.queue_type.clone().ok_or_else(|| missing("type"))? {
        WorkQueueType::User => {}
        queue_type => return Err(OpenError::Type { queue: name(), queue_type }),
    }
    if let Some(driver) = queue.driver.as_deref().or(queue.driver_name.as_deref())
        && driver != "user"
    {
        return Err(OpenError::Driver { queue: name(), driver: driver.to_owned() });
    }
    match device.pasid_enabled {
        Some(true) => Ok(()),
        Some(false) => Err(OpenError::Pasid { device: device.name.clone() }),
        None => Err(missing("pasid_enabled")),
    }
}

/// The queue's node, if it is what it should be.
fn node<'q>(device: &Device, queue: &'q WorkQueue) -> Result<&'q DeviceNode, OpenError> {
    let node = queue.node.as_ref().ok_or_else(|| OpenError::NoNode { path: queue.node_path.clone() })?;
    let other = |major: u32, minor: u32| (node.major, node.minor) != (u64::from(major), u64::from(minor));
    let is_other = device.cdev_major.zip(queue.cdev_minor).is_some_and(|(major, minor)| other(major, minor));
    if is_other || !node.is_device {
        return Err(OpenError::OtherNode { queue: queue.name.clone(), path: node.path.clone() });
    }
    Ok(node)
}

fn open_node(node: &DeviceNode) -> Result<File, OpenError> {
    let path = node.path.clone();
    // Non-blocking: a node that is not what it seems must not hold us up.
    let flags = libc::O_NONBLOCK | libc::O_CLOEXEC;
    OpenOptions::new().read(true).write(true).custom_flags(flags).open(&node.path).map_err(|source| {
        match source.raw_os_error() {
            Some(libc::EACCES | libc::EPERM) => {
                let DeviceNode { mode, uid, gid, .. } = *node;
                OpenError::Permission { path, mode, uid, gid, source }
            }
            Some(libc::EBUSY) => OpenError::Busy { path, source },
            Some(libc::ENOENT) => OpenError::NoNode { path },
            _ => OpenError::Node { path, source },
        }
    })
}

/// What the attributes say of a queue that passed the checks.
#[derive(Clone, Copy, Debug)]
struct Facts {
    dedicated: bool,
    /// Entries this process can fill: of a shared queue those up to the threshold, as processes have the limited
    /// portal (DSA §3.3.1).
    entries: u32,
    size: u32,
    transfer_bytes_max: u32,
    block_on_fault: bool,
}

impl Facts {
    fn of(device: &Device, queue: &WorkQueue) -> Result<Self, OpenError> {
        let missing = |attribute| OpenError::Attribute { queue: queue.name.clone(), attribute };
        let dedicated = match queue.mode.clone().ok_or_else(|| missing("mode"))? {
            WorkQueueMode::Dedicated => true,
            WorkQueueMode::Shared => false,
            mode => return Err(OpenError::Mode { queue: queue.name.clone(), mode }),
        };
        let size = queue.size.filter(|&size| size > 0).ok_or_else(|| missing("size"))?;
        let threshold =
            queue.threshold.filter(|&threshold| threshold > 0).map_or(size, |entries| entries.min(size));
        let of_device = device.max_transfer_size.unwrap_or(u64::MAX);
        let transfer = queue.max_transfer_size.unwrap_or(TRANSFER_BYTES_DEFAULT).min(of_device);
        if transfer == 0 {
            return Err(missing("max_transfer_size"));
        }
        Ok(Self {
            dedicated,
            entries: if dedicated { size } else { threshold },
            size,
            transfer_bytes_max: u32::try_from(transfer).unwrap_or(u32::MAX),
            // Without page requests the device cannot wait for a page.
            block_on_fault: queue.block_on_fault == Some(true)
                && queue.prs_disable != Some(true)
                && device.gen_cap.is_none_or(|cap| cap.block_on_fault()),
        })
    }

    fn depth(self, options: &HardwareOptions) -> u32 {
        options.depth.unwrap_or(self.entries).clamp(1, DEPTH_MAX)
    }

    fn dedicated_size(self) -> Option<u32> {
        self.dedicated.then_some(self.size)
    }

    fn dsa(
        self,
        device: &Device,
        queue: &WorkQueue,
        method: Method,
        options: &HardwareOptions,
    ) -> DsaQueueConfig {
        DsaQueueConfig {
            name: queue.name.clone(),
            operations: operations(device, queue),
            depth: self.depth(options),
            transfer_bytes_max: self.transfer_bytes_max,
            batch_max: batch_max(device, queue, method, options),
            block_on_fault: self.block_on_fault,
            dedicated_size: self.dedicated_size(),
            lanes_per_job: options.lanes_per_job,
            parallel_part_bytes: options.parallel_part_bytes,
            // The kernel gives every queue the device's own limit, and shows no other.
            lists: dsa_caps(device).map_or_else(Lists::default, |(lists, ..)| Lists::of(lists)),
            ..DsaQueueConfig::default()
        }
    }

    fn iaa(self, device: &Device, queue: &WorkQueue, options: &HardwareOptions) -> IaaQueueConfig {
        IaaQueueConfig {
            name: queue.name.clone(),
            depth: self.depth(options),
            transfer_bytes_max: self.transfer_bytes_max,
            block_on_fault: self.block_on_fault,
            dedicated_size: self.dedicated_size(),
            iaa_cap: device.iaa_cap.unwrap_or(IaaCap(0)),
            indexing: device.gen_cap.is_some_and(|cap| cap.indexing()),
            ..IaaQueueConfig::default()
        }
    }
}

/// Most members of a batch; 1 for none.
fn batch_max(device: &Device, queue: &WorkQueue, method: Method, options: &HardwareOptions) -> u32 {
    let shown = allows(device, queue, Opcode::BATCH);
    // Refused by every kernel that takes descriptors this way, whatever it shows.
    let refused = method == Method::Write && device.generation().is_none_or(|generation| generation < 2);
    let used = options.batches.unwrap_or(shown) && !refused;
    let room = queue.max_batch_size.unwrap_or(1).min(device.max_batch_size.unwrap_or(u32::MAX));
    if used { room.min(options.batch_max).max(1) } else { 1 }
}

/// Whether the queue allows an operation, or says nothing about it.
fn allows(device: &Device, queue: &WorkQueue, opcode: Opcode) -> bool {
    queue.op_config.or(device.op_cap).is_none_or(|operations| operations.contains(opcode))
}

/// The operations of a DSA queue: what its configuration allows, else what the device has, else what every DSA has.
fn operations(device: &Device, queue: &WorkQueue) -> Operations {
    let gen_cap = device.gen_cap.unwrap_or(GenCap(0));
    let Some(op_cap) = queue.op_config.or(device.op_cap) else {
        return DsaQueueConfig::default().operations;
    };
    let listed = dsa_caps(device).map_or(Operations::NONE, |caps| dsa_list_operations(op_cap, caps));
    listed.iter().fold(dsa_operations(op_cap, gen_cap), Operations::with)
}

/// What a DSA of version 3 can do with numbers and lists, where the kernel shows it: 6.20 and later.
fn dsa_caps(device: &Device) -> Option<(DsaCap0, DsaCap1, DsaCap2)> {
    device.generation().filter(|&generation| generation >= 3)?;
    device.dsacaps.map(|[lists, types, treatments]| (DsaCap0(lists), DsaCap1(types), DsaCap2(treatments)))
}

/// Operations that an IAA queue must not be given.
fn refused(device: &Device, queue: &WorkQueue) -> impl Iterator<Item = Operation> {
    let opcodes = [
        (Operation::Deflate, Opcode::COMPRESS),
        (Operation::Inflate, Opcode::DECOMPRESS),
        (Operation::DeflateDictionary, Opcode::COMPRESS),
        (Operation::InflateDictionary, Opcode::DECOMPRESS),
        (Operation::DecryptInflate, Opcode::DECOMPRESS),
        (Operation::DeflateMiniblocks, Opcode::COMPRESS),
        (Operation::IndexMiniblocks, Opcode::DECOMPRESS),
        (Operation::InflateMiniblocks, Opcode::DECOMPRESS),
    ];
    let refused = opcodes
        .into_iter()
        .chain(crate::iaa::ANALYTICS)
        .filter(|&(_, opcode)| !allows(device, queue, opcode));
    refused.map(|(operation, _)| operation)
}
