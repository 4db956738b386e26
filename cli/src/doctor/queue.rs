//! The work queues that are for processes.

use nix::errno::Errno;
use svala_idxd::{Device, WorkQueue, WorkQueueMode};

use super::check::QueueCheck;
use super::finding::{Evidence, Finding};
use super::machine::Machine;
use super::probe::Answer;

pub(crate) const CHECKS: &[QueueCheck] = &[
    QueueCheck { id: "queue_driver", title: "driver_name", required: true, look: driver_name },
    QueueCheck { id: "queue_size", title: "size", required: true, look: size },
    QueueCheck { id: "queue_group", title: "group", required: true, look: group },
    QueueCheck { id: "queue_state", title: "state", required: true, look: state },
    QueueCheck { id: "queue_node", title: "node", required: true, look: node },
    QueueCheck { id: "queue_permission", title: "permission", required: true, look: permission },
    QueueCheck { id: "queue_bind", title: "SVA bind", required: true, look: bind },
];

/// Where an attribute of `queue` is, on the machine.
fn attribute(device: &Device, queue: &WorkQueue, name: &str) -> String {
    format!("/sys/bus/dsa/devices/{}/{}/{name}", device.name, queue.name)
}

/// Where its node is, on the machine.
pub(crate) fn node_path(queue: &WorkQueue) -> String {
    format!("/dev/{}/{}", queue.device_type.name(), queue.name)
}

fn driver_name(machine: &Machine, device: &Device, queue: &WorkQueue) -> Finding {
    let fact = machine.read(&attribute(device, queue, "driver_name"));
    let finding = match queue.driver_name.as_deref() {
        Some("user") => Finding::ok("the driver for processes"),
        Some(other) => Finding::wrong(
            format!("meant for the driver {other}"),
            format!(
                "accel-config config-wq {}/{} --driver-name=user, while it is disabled",
                device.name, queue.name
            ),
        ),
        None if fact.is_missing() => Finding::not_needed("this kernel goes by the type (before Linux 6.7)"),
        None => Finding::wrong(
            "names no driver",
            format!(
                "accel-config config-wq {}/{} --driver-name=user, while it is disabled",
                device.name, queue.name
            ),
        ),
    };
    finding.saw([fact.evidence()])
}

fn size(machine: &Machine, device: &Device, queue: &WorkQueue) -> Finding {
    let entries = machine.read(&attribute(device, queue, "size"));
    let mode = machine.read(&attribute(device, queue, "mode"));
    let threshold = machine.read(&attribute(device, queue, "threshold"));
    let config = |option: &str| {
        format!("accel-config config-wq {}/{} {option}, while it is disabled", device.name, queue.name)
    };
    let shared = queue.mode == Some(WorkQueueMode::Shared);
    let finding = match (queue.size, queue.threshold) {
        (Some(0), _) => Finding::wrong("has no entries", config("--wq-size=16")),
        (Some(_), Some(0)) if shared => {
            Finding::wrong("shared, and no entry is for processes", config("--threshold=15"))
        }
        (Some(_), _) => Finding::ok("has entries"),
        (None, _) => Finding::unknown("the attribute is not to be read", "run it as root"),
    };
    let threshold = shared.then(|| threshold.evidence());
    finding.saw([entries.evidence(), mode.evidence()]).saw(threshold)
}

fn group(machine: &Machine, device: &Device, queue: &WorkQueue) -> Finding {
    let fact = machine.read(&attribute(device, queue, "group_id"));
    let Some(id) = queue.group_id else {
        let remedy = format!(
            "accel-config config-wq {}/{} --group-id=0, while it is disabled",
            device.name, queue.name
        );
        return Finding::wrong("in no group: no engine serves it", remedy).saw([fact.evidence()]);
    };
    let engines: Vec<_> = device.engines.iter().filter(|engine| engine.group_id == Some(id)).collect();
    if engines.is_empty() {
        let remedy = format!(
            "accel-config config-engine {0}/engine{1}.0 --group-id={id}, while {0} is disabled",
            device.name, device.id
        );
        return Finding::wrong(format!("group {id} has no engine"), remedy).saw([fact.evidence()]);
    }
    Finding::ok(format!("{} engines serve it", engines.len())).saw([fact.evidence()])
}

fn state(machine: &Machine, device: &Device, queue: &WorkQueue) -> Finding {
    let fact = machine.read(&attribute(device, queue, "state"));
    let finding = if queue.is_enabled() {
        Finding::ok("enabled")
    } else {
        Finding::wrong(
            "not enabled",
            format!(
                "svala configure load FILE --enable, or accel-config enable-wq {}/{}",
                device.name, queue.name
            ),
        )
    };
    finding.saw([fact.evidence()])
}

fn node(machine: &Machine, _: &Device, queue: &WorkQueue) -> Finding {
    let path = node_path(queue);
    let evidence = machine.presence(&path);
    let container = container(machine);
    if machine.exists(&path) {
        return Finding::ok("there").saw([evidence]);
    }
    if !queue.is_enabled() {
        return Finding::unknown("comes when the queue is enabled", "enable the queue").saw([evidence]);
    }
    let remedy = match &container {
        Some(_) => format!("start the container with --device {path}"),
        None => "udevadm trigger --subsystem-match=dsa; is devtmpfs mounted at /dev?".to_owned(),
    };
    Finding::wrong("the queue is enabled and has no node here", remedy).saw([evidence]).saw(container)
}

/// What shows that this is a container.
fn container(machine: &Machine) -> Option<Evidence> {
    ["/.dockerenv", "/run/.containerenv"]
        .into_iter()
        .find(|mark| machine.exists(mark))
        .map(|mark| machine.presence(mark))
}

fn permission(machine: &Machine, _: &Device, queue: &WorkQueue) -> Finding {
    let Some(node) = &queue.node else {
        return Finding::unknown("there is no node", "see the line above");
    };
    let ids = machine.identity();
    let evidence = [
        Evidence::new(
            node_path(queue),
            format!("mode {:04o}, user {}, group {}", node.mode, node.uid, node.gid),
        ),
        ids.evidence(),
    ];
    let allowed =
        if machine.is_this() { Some(node.openable) } else { ids.may_open(node.mode, node.uid, node.gid) };
    let finding = match allowed {
        Some(true) => Finding::ok("this process may open it"),
        Some(false) => Finding::wrong(
            "this process may not open it",
            format!(
                "a udev rule for SUBSYSTEM==\"{}\" that gives it to your group, or chmod and chgrp",
                queue.device_type.name()
            ),
        ),
        None => {
            Finding::unknown("who this process is cannot be told", "read /proc/self/status of the machine")
        }
    };
    finding.saw(evidence)
}

fn bind(machine: &Machine, _: &Device, queue: &WorkQueue) -> Finding {
    let answer = machine.open_answer(queue);
    let finding = match answer {
        Answer::Worked => Finding::ok("a process can be bound to the device"),
        Answer::NotTried => {
            Finding::unknown("not tried: the queue cannot be opened yet", "mend what is wrong above")
        }
        Answer::Refused(errno) => refused(errno, queue),
    };
    finding.saw([answer.evidence(format!("open({})", node_path(queue)))])
}

/// Why a bind failed, as far as the error tells.
fn refused(errno: Errno, queue: &WorkQueue) -> Finding {
    let (text, remedy) = match errno {
        Errno::EBUSY if queue.is_dedicated() => {
            ("dedicated, and another process has it", "end that process, or use a shared queue")
        }
        Errno::EBUSY => ("the PASID of this process is in use for something else", "run it in a new process"),
        Errno::EOPNOTSUPP => (
            "the kernel refuses SVA",
            "see SVA on x86 above: Linux 6.18.7, 6.19 or later; or the IOMMU's driver has it switched off",
        ),
        Errno::ENODEV => (
            "the IOMMU lacks something that SVA needs",
            "see the IOMMU above: LA57, 1 GiB pages, page requests, page-walk snoop",
        ),
        Errno::EPERM | Errno::EACCES => {
            ("not allowed", "see the permission above; in a container, start it with --device")
        }
        Errno::ENXIO => (
            "the node belongs to no queue",
            "see whether the queue is enabled; remove a node that was made by hand",
        ),
        _ => ("refused", "the kernel's log (dmesg) has the reason, in the lines of idxd and DMAR"),
    };
    Finding::wrong(text, remedy)
}
