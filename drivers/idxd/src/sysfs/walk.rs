//! From directories to devices.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use idxd_spec::GenCap;
use idxd_spec::register::{IaaCap, SoftCmdStatus, SwError};

use super::Sysfs;
use super::attribute::{Attributes, kind_of};
use super::problem::ProblemKind;
use crate::device::{Device, DeviceType, Engine, Group};
use crate::node::DeviceNode;
use crate::work_queue::WorkQueue;

/// Entries of a directory that are looked at. The largest machine known has 16 devices with 8 work queues, 4 groups and
/// 4 engines, all of them in one directory.
pub(crate) const ENTRIES_MAX: usize = 4096;

/// Devices that are read.
pub(crate) const DEVICES_MAX: usize = 256;

/// Parts of one kind that are read for each device. The registers have room for 255.
pub(crate) const PARTS_MAX: usize = 256;

/// Names of a directory that are text, sorted, and whether there were more.
pub(crate) fn names(dir: &Path) -> io::Result<(Vec<String>, bool)> {
    let mut names = Vec::new();
    for (index, entry) in fs::read_dir(dir)?.enumerate() {
        if index == ENTRIES_MAX {
            return Ok((names, true));
        }
        names.extend(entry?.file_name().into_string().ok());
    }
    names.sort_unstable();
    Ok((names, false))
}

/// Decimal digits without a sign or leading zeros.
fn number(digits: &str) -> Option<u32> {
    let plain =
        digits.bytes().all(|byte| byte.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'));
    plain.then(|| digits.parse().ok()).flatten()
}

/// `dsa0`, `iax1`.
pub(crate) fn device_name(name: &str) -> Option<(DeviceType, u32)> {
    let (device_type, digits) = match name.strip_prefix("dsa") {
        Some(digits) => (DeviceType::Dsa, digits),
        None => (DeviceType::Iax, name.strip_prefix("iax")?),
    };
    Some((device_type, number(digits)?))
}

/// `wq0.1` with the prefix `wq`: numbers of the device and of the part.
pub(crate) fn part_name(name: &str, prefix: &str) -> Option<(u32, u32)> {
    let (device, part) = name.strip_prefix(prefix)?.split_once('.')?;
    Some((number(device)?, number(part)?))
}

/// The last component of what a link points to.
fn link_target(link: &Path) -> Option<String> {
    Some(fs::read_link(link).ok()?.file_name()?.to_str()?.to_owned())
}

/// The directory above the device's own, if it is named as a PCI function is.
fn pci_address(dir: &Path) -> Option<String> {
    let real = fs::canonicalize(dir).ok()?;
    let name = real.parent()?.file_name()?.to_str()?;
    let is_address = (10..=16).contains(&name.len())
        && name.matches(':').count() == 2
        && name.bytes().all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.'));
    is_address.then(|| name.to_owned())
}

impl Sysfs {
    /// Reads a device, whatever state its directory is in.
    pub(super) fn device(&self, name: String, device_type: DeviceType, id: u32) -> Device {
        let dir = self.devices().join(&name);
        let mut attributes = Attributes::new(dir.clone(), name.clone());
        let mut device = empty(name, device_type, id, dir.clone());
        match fs::metadata(&dir) {
            Ok(metadata) if metadata.is_dir() => {
                device.pci_address = pci_address(&dir);
                device.driver = link_target(&dir.join("driver"));
                read_state(&mut device, &mut attributes);
                read_limits(&mut device, &mut attributes);
                self.read_parts(&mut device, &mut attributes);
            }
            Ok(metadata) => {
                attributes.problem("", ProblemKind::NotADirectory { found: kind_of(metadata.file_type()) });
            }
            Err(error) => attributes.problem("", ProblemKind::os(&error)),
        }
        device.missing = attributes.missing;
        device.problems = attributes.problems;
        device
    }

    fn read_parts(&self, device: &mut Device, attributes: &mut Attributes) {
        let names = match names(attributes.dir()) {
            Ok((names, more)) => {
                if more {
                    attributes.problem("", ProblemKind::TooMany { entries_max: ENTRIES_MAX });
                }
                names
            }
            Err(error) => return attributes.problem("", ProblemKind::os(&error)),
        };
        let groups = parts(device, attributes, &names, "group");
        device.groups = groups.into_iter().map(|(part, id)| group(part, id, attributes)).collect();
        let engines = parts(device, attributes, &names, "engine");
        device.engines = engines.into_iter().map(|(part, id)| engine(part, id, attributes)).collect();
        let queues = parts(device, attributes, &names, "wq");
        device.work_queues = queues.into_iter().map(|(part, id)| self.work_queue(part, id, device)).collect();
    }

    fn work_queue(&self, part: Part, id: u32, device: &Device) -> WorkQueue {
        let mut from = part.attributes;
        let mut queue = WorkQueue {
            device_id: device.id,
            id,
            device_type: device.device_type,
            driver: link_target(&from.dir().join("driver")),
            mode: from.word("mode"),
            queue_type: from.word("type"),
            state: from.word("state"),
            label: from.line("name"),
            driver_name: from.line("driver_name"),
            group_id: group_id(&mut from),
            size: from.number("size"),
            threshold: from.number("threshold"),
            priority: from.number("priority"),
            block_on_fault: from.flag("block_on_fault"),
            max_transfer_size: from.number("max_transfer_size"),
            max_batch_size: if device.device_type == DeviceType::Dsa {
                from.number("max_batch_size")
            } else {
                None
            },
            ats_disable: from.flag("ats_disable"),
            prs_disable: from.flag("prs_disable"),
            op_config: from.operations("op_config"),
            occupancy: from.number("occupancy"),
            enqcmds_retries: from.number("enqcmds_retries"),
            clients: from.number("clients"),
            cdev_minor: from.number("cdev_minor"),
            node_path: self.node_path(device.device_type, &part.name),
            node: None,
            missing: Vec::new(),
            problems: Vec::new(),
            path: from.dir().to_owned(),
            name: part.name,
        };
        queue.node = self.node(&queue, device.cdev_major, &mut from);
        queue.missing = from.missing;
        queue.problems = from.problems;
        queue
    }

    /// The queue's node, compared with the numbers in sysfs.
    fn node(&self, queue: &WorkQueue, major: Option<u32>, from: &mut Attributes) -> Option<DeviceNode> {
        let node = match DeviceNode::look(&queue.node_path) {
            Ok(node) => node?,
            Err(error) => {
                from.problem("node", ProblemKind::os(&error));
                return None;
            }
        };
        if let (Some(major), Some(minor)) = (major, queue.cdev_minor)
            && (node.major, node.minor) != (u64::from(major), u64::from(minor))
        {
            let (found_major, found_minor) = (node.major, node.minor);
            from.problem("node", ProblemKind::OtherNode { found_major, found_minor, major, minor });
        }
        Some(node)
    }
}

/// A device of which nothing is known.
fn empty(name: String, device_type: DeviceType, id: u32, path: PathBuf) -> Device {
    Device {
        name,
        device_type,
        id,
        path,
        pci_address: None,
        driver: None,
        version: None,
        state: None,
        numa_node: None,
        configurable: None,
        pasid_enabled: None,
        clients: None,
        op_cap: None,
        gen_cap: None,
        iaa_cap: None,
        dsacaps: None,
        max_groups: None,
        max_engines: None,
        max_work_queues: None,
        max_work_queues_size: None,
        max_transfer_size: None,
        max_batch_size: None,
        max_read_buffers: None,
        read_buffer_limit: None,
        event_log_size: None,
        cdev_major: None,
        cmd_status: None,
        errors: None,
        groups: Vec::new(),
        engines: Vec::new(),
        work_queues: Vec::new(),
        missing: Vec::new(),
        problems: Vec::new(),
    }
}

fn read_state(device: &mut Device, from: &mut Attributes) {
    device.version = from.hex_u32("version");
    device.state = from.word("state");
    device.numa_node = from.number("numa_node");
    device.configurable = from.flag("configurable");
    device.pasid_enabled = from.flag("pasid_enabled");
    device.clients = from.number("clients");
    device.cdev_major = from.number("cdev_major");
    device.cmd_status = from.hex_u32("cmd_status").map(SoftCmdStatus);
    device.errors = from.bitmap("errors").map(SwError);
}

fn read_limits(device: &mut Device, from: &mut Attributes) {
    device.op_cap = from.operations("op_cap");
    device.gen_cap = from.hex("gen_cap").map(GenCap);
    device.max_groups = from.number("max_groups");
    device.max_engines = from.number("max_engines");
    device.max_work_queues = from.number("max_work_queues");
    device.max_work_queues_size = from.number("max_work_queues_size");
    device.max_transfer_size = from.number("max_transfer_size");
    device.event_log_size = from.number("event_log_size");
    match device.device_type {
        DeviceType::Dsa => {
            device.max_batch_size = from.number("max_batch_size");
            device.max_read_buffers = from.number("max_read_buffers");
            device.read_buffer_limit = from.number("read_buffer_limit");
            device.dsacaps = from.three_words("dsacaps");
        }
        DeviceType::Iax => device.iaa_cap = from.hex("iaa_cap").map(IaaCap),
    }
}

/// A directory below a device's.
struct Part {
    name: String,
    attributes: Attributes,
}

/// The parts with this prefix, by number. Parts that are no directories are noted and left out.
fn parts(device: &Device, from: &mut Attributes, names: &[String], prefix: &str) -> Vec<(Part, u32)> {
    let mut found = Vec::new();
    for name in names {
        let Some((device_id, id)) = part_name(name, prefix) else { continue };
        if device_id != device.id {
            from.problem(name, ProblemKind::Foreign);
            continue;
        }
        if found.len() == PARTS_MAX {
            from.problem(prefix, ProblemKind::TooMany { entries_max: PARTS_MAX });
            break;
        }
        let dir = from.dir().join(name);
        match fs::symlink_metadata(&dir) {
            Ok(metadata) if metadata.is_dir() => {
                let attributes = Attributes::new(dir, format!("{}/{name}", device.name));
                found.push((Part { name: name.clone(), attributes }, id));
            }
            Ok(metadata) => {
                from.problem(name, ProblemKind::NotADirectory { found: kind_of(metadata.file_type()) });
            }
            Err(error) => from.problem(name, ProblemKind::os(&error)),
        }
    }
    found.sort_by_key(|&(_, id)| id);
    found
}

/// `group_id`: -1 is none.
fn group_id(from: &mut Attributes) -> Option<u32> {
    from.value("group_id", "-1 or a number", |text| match text {
        "-1" => Some(None),
        text => text.parse().ok().map(Some),
    })?
}

fn group(part: Part, id: u32, device: &mut Attributes) -> Group {
    let mut from = part.attributes;
    let members = |from: &mut Attributes, attribute| {
        from.line(attribute)
            .map_or_else(Vec::new, |line| line.split_whitespace().map(str::to_owned).collect())
    };
    let group = Group {
        id,
        engines: members(&mut from, "engines"),
        work_queues: members(&mut from, "work_queues"),
        read_buffers_allowed: from.number("read_buffers_allowed"),
        read_buffers_reserved: from.number("read_buffers_reserved"),
        use_read_buffer_limit: from.flag("use_read_buffer_limit"),
        traffic_class_a: from.number("traffic_class_a"),
        traffic_class_b: from.number("traffic_class_b"),
        desc_progress_limit: from.number("desc_progress_limit"),
        batch_progress_limit: from.number("batch_progress_limit"),
        missing: from.missing,
        name: part.name,
    };
    device.problems.append(&mut from.problems);
    group
}

fn engine(part: Part, id: u32, device: &mut Attributes) -> Engine {
    let mut from = part.attributes;
    let group_id = group_id(&mut from);
    device.problems.append(&mut from.problems);
    Engine { name: part.name, id, group_id, missing: from.missing }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_exact() {
        assert_eq!(device_name("dsa0"), Some((DeviceType::Dsa, 0)));
        assert_eq!(device_name("iax17"), Some((DeviceType::Iax, 17)));
        for name in ["dsa", "dsa01", "dsa+1", "dsa-1", "iaa0", "dsa4294967296", "xdsa0", "dsa0 "] {
            assert_eq!(device_name(name), None, "{name:?}");
        }
        assert_eq!(part_name("wq2.7", "wq"), Some((2, 7)));
        for name in ["wq2", "wq2.", "wq.1", "wq2.1.3", "wq2.01", "engine2.1"] {
            assert_eq!(part_name(name, "wq"), None, "{name:?}");
        }
    }
}
