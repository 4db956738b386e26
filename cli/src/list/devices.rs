//! The devices as a tree: groups, their engines and work queues.

use std::fmt::{Display, Write};

use nix::unistd::{Gid, Group as UserGroup, Uid, User};
use svala_idxd::{Device, DeviceNode, DeviceType, Group, WorkQueue};

use crate::doctor::Machine;

/// Writes the tree, or that there is none.
pub(crate) fn write(text: &mut String, machine: &Machine) {
    text.push_str("devices of the idxd driver\n");
    if machine.devices().is_empty() {
        text.push_str("  none: svala doctor says what is missing\n");
    }
    for device in machine.devices() {
        write_device(text, device, machine.is_this());
    }
}

/// What is not known is a question mark.
fn known(value: Option<impl Display>) -> String {
    value.map_or_else(|| "?".into(), |value| value.to_string())
}

fn write_device(text: &mut String, device: &Device, is_here: bool) {
    let kind = match device.device_type {
        DeviceType::Dsa => "DSA",
        DeviceType::Iax => "IAA",
    };
    let version = device.version.map(|version| format!("{}.{}", version >> 8, version & 0xff));
    let pasid = match device.pasid_enabled {
        Some(true) => "SVA on",
        Some(false) => "SVA off",
        None => "SVA ?",
    };
    let _ = writeln!(
        text,
        "  {:<10} {kind} {}, {}, {pasid}, PCI {}, driver {}, NUMA node {}",
        device.name,
        known(version),
        known(device.state.as_ref()),
        known(device.pci_address.as_ref()),
        device.driver.as_deref().unwrap_or("none"),
        known(device.numa_node),
    );
    for group in &device.groups {
        write_group(text, device, group, is_here);
    }
    write_ungrouped(text, device);
    for problem in device.all_problems() {
        let _ = writeln!(text, "    wrong: {problem}");
    }
}

/// A group with its engines and queues; nothing of one that has none.
fn write_group(text: &mut String, device: &Device, group: &Group, is_here: bool) {
    let is_here_in = |id: Option<u32>| id == Some(group.id);
    let engines: Vec<_> = device
        .engines
        .iter()
        .filter(|engine| is_here_in(engine.group_id))
        .map(|engine| engine.name.as_str())
        .collect();
    let queues: Vec<_> = device.work_queues.iter().filter(|queue| is_here_in(queue.group_id)).collect();
    if engines.is_empty() && queues.is_empty() {
        return;
    }
    let engines = if engines.is_empty() { "no engine".to_owned() } else { engines.join(" ") };
    let _ = writeln!(text, "    {:<10} {engines}", group.name);
    for queue in queues {
        write_queue(text, queue, is_here);
    }
}

/// Parts that nobody has put into a group, in one line.
fn write_ungrouped(text: &mut String, device: &Device) {
    let queues = device.work_queues.iter().filter(|queue| queue.group_id.is_none()).map(|queue| &queue.name);
    let engines = device.engines.iter().filter(|engine| engine.group_id.is_none()).map(|engine| &engine.name);
    let names: Vec<_> = queues.chain(engines).map(String::as_str).collect();
    if !names.is_empty() {
        let _ = writeln!(text, "    {:<10} {}", "no group", names.join(" "));
    }
}

fn write_queue(text: &mut String, queue: &WorkQueue, is_here: bool) {
    let label = queue.label.as_ref().map(|label| format!(" {label:?}")).unwrap_or_default();
    let _ = writeln!(
        text,
        "      {:<8} {}, {}, {} entries, type {}, driver {}, priority {}{label}",
        queue.name,
        known(queue.state.as_ref()),
        known(queue.mode.as_ref()),
        known(queue.size),
        known(queue.queue_type.as_ref()),
        queue.driver.as_deref().or(queue.driver_name.as_deref()).unwrap_or("none"),
        known(queue.priority),
    );
    let _ = writeln!(text, "               {}", limits(queue));
    let node = queue.node.as_ref().map_or_else(|| "no node".to_owned(), |node| who(queue, node, is_here));
    let _ = writeln!(text, "               {node}");
}

fn limits(queue: &WorkQueue) -> String {
    let mut limits = format!("transfers up to {} bytes", known(queue.max_transfer_size));
    if let Some(batch) = queue.max_batch_size {
        let _ = write!(limits, ", batches of {batch}");
    }
    if let Some(threshold) = queue.threshold.filter(|threshold| *threshold > 0) {
        let _ = write!(limits, ", {threshold} entries for processes");
    }
    for (attribute, is_set) in [
        ("block-on-fault", queue.block_on_fault),
        ("no ATS", queue.ats_disable),
        ("no PRS", queue.prs_disable),
    ] {
        if is_set == Some(true) {
            let _ = write!(limits, ", {attribute}");
        }
    }
    limits
}

/// The node, and who may open it. Names are those of this machine's users: another's are numbers.
fn who(queue: &WorkQueue, node: &DeviceNode, is_here: bool) -> String {
    let user = is_here.then(|| User::from_uid(Uid::from_raw(node.uid)).ok().flatten()).flatten();
    let group = is_here.then(|| UserGroup::from_gid(Gid::from_raw(node.gid)).ok().flatten()).flatten();
    let user = user.map_or_else(|| node.uid.to_string(), |user| user.name);
    let group = group.map_or_else(|| node.gid.to_string(), |group| group.name);
    let may = if node.openable { "may" } else { "may not" };
    let place = format!("/dev/{}/{}", queue.device_type.name(), queue.name);
    format!("{place}, mode {:04o}, user {user}, group {group}; this process {may} open it", node.mode)
}
