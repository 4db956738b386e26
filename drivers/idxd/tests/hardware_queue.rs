//! Opening work queues that a tree shows, with devices every Linux has in the place of their nodes: what is decided,
//! what is refused and why, and what a queue is told about itself. Whether silicon agrees is for `hardware.rs`.

mod machine;

use std::fs;
use std::os::unix::fs::symlink;

use machine::{Machine, QueueSetup};
use svala::Operation;
use svala::backend::{Capabilities, Completion, Kind, Queue};
use svala_idxd::{HardwareOptions, HardwareQueue, Method, MethodChoice, Movdir64b, OpenError, WriteReason};
use tempfile::TempDir;

/// Major 1: minor 3 takes writes and has no maps, 5 is memory and takes both.
const NULL: &str = "3";
const ZERO: &str = "5";

fn node_of(minor: &str) -> &'static str {
    match minor {
        NULL => "/dev/null",
        ZERO => "/dev/zero",
        other => panic!("{other}"),
    }
}

/// A version-2 DSA and IAA, with a device of this machine for each enabled queue's node.
fn machine(version: u32, minor: &str) -> Machine {
    let mut machine = Machine::of_version(version);
    for device in ["dsa0", "iax1"] {
        machine.set(&format!("{device}/cdev_major"), 1);
    }
    for queue in ["dsa0/wq0.0", "dsa0/wq0.1", "iax1/wq1.0"] {
        machine.set(&format!("{queue}/cdev_minor"), minor);
    }
    machine
}

fn link_nodes(root: &TempDir, minor: &str) {
    for node in ["dsa/wq0.0", "dsa/wq0.1", "iax/wq1.0"] {
        symlink(node_of(minor), root.path().join("dev").join(node)).unwrap();
    }
}

fn open_with(
    machine: &Machine,
    minor: &str,
    queue: &str,
    options: &HardwareOptions,
) -> Result<HardwareQueue, OpenError> {
    let (root, sysfs) = machine.unpacked();
    link_nodes(&root, minor);
    let found = sysfs.discover().unwrap();
    let (device, queue) = found.work_queue(queue).expect("the queue");
    HardwareQueue::open(device, queue, options)
}

fn open(machine: &Machine, minor: &str, queue: &str) -> Result<HardwareQueue, OpenError> {
    open_with(machine, minor, queue, &HardwareOptions::default())
}

fn capabilities(queue: &HardwareQueue) -> &Capabilities {
    match queue {
        HardwareQueue::Dsa(queue) => queue.capabilities(),
        HardwareQueue::Iaa(queue) => queue.capabilities(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_queue_knows_what_its_attributes_say() {
    let mut machine = machine(0x200, NULL);
    machine.set("dsa0/wq0.0/max_transfer_size", 1 << 16);
    let queue = open(&machine, NULL, "wq0.0").unwrap();
    let seen = capabilities(&queue);
    assert_eq!(
        (seen.name.to_string(), seen.kind, seen.completion),
        ("wq0.0".into(), Kind::Hardware, Completion::Polled)
    );
    // Threshold 15 of 16 entries: the rest is for the unlimited portal, which processes do not have.
    assert_eq!((seen.depth, seen.batch_max, seen.unsplit_bytes_max), (15, 32, 1 << 16));
    assert!(seen.block_on_fault);
    let dsa = [Operation::Copy, Operation::Fill, Operation::Compare, Operation::Crc32c];
    assert!(dsa.into_iter().all(|operation| seen.operations.contains(operation)));
    assert!(!seen.operations.contains(Operation::Deflate));

    let queue = open(&machine, NULL, "wq0.1").unwrap();
    assert_eq!(capabilities(&queue).depth, 32, "a dedicated queue has all its entries");

    let queue = open(&machine, NULL, "wq1.0").unwrap();
    assert!(matches!(queue, HardwareQueue::Iaa(_)));
    let seen = capabilities(&queue);
    assert!(seen.operations.contains(Operation::Deflate) && seen.operations.contains(Operation::Inflate));
    assert!(!seen.operations.contains(Operation::Copy));
    assert_eq!(seen.unsplit_bytes_max, 2 << 20);
}

#[test]
fn the_devices_own_limits_hold_too() {
    let mut machine = machine(0x200, NULL);
    machine.set("dsa0/max_transfer_size", 4096);
    machine.set("dsa0/max_batch_size", 8);
    let seen = open(&machine, NULL, "wq0.0").unwrap();
    let seen = capabilities(&seen);
    assert_eq!((seen.unsplit_bytes_max, seen.batch_max), (4096, 8));
}

#[test]
fn block_on_fault_needs_page_requests() {
    for (attribute, value) in [
        ("dsa0/wq0.0/prs_disable", "1"),
        ("dsa0/wq0.0/block_on_fault", "0"),
        ("dsa0/gen_cap", "0x40915f0106"),
    ] {
        let mut machine = machine(0x200, NULL);
        machine.set(attribute, value);
        assert!(!capabilities(&open(&machine, NULL, "wq0.0").unwrap()).block_on_fault, "{attribute}");
    }
}

#[test]
fn operations_the_queue_does_not_allow_are_left_out() {
    let mut machine = machine(0x200, NULL);
    // No fill (4), no CRC (0x10).
    machine.set(
        "dsa0/wq0.0/op_config",
        "00000000,00000000,00000000,00000000,00000000,00000000,00000000,0000002f",
    );
    let queue = open(&machine, NULL, "wq0.0").unwrap();
    let seen = capabilities(&queue).operations;
    assert!(seen.contains(Operation::Copy) && seen.contains(Operation::Compare));
    assert!(!seen.contains(Operation::Fill) && !seen.contains(Operation::Crc32c));
    // Where a queue cannot restrict them, the device's are its own.
    machine.remove("dsa0/wq0.0/op_config");
    machine.set("dsa0/op_cap", "8");
    let queue = open(&machine, NULL, "wq0.0").unwrap();
    let seen = capabilities(&queue).operations;
    assert!(seen.contains(Operation::Copy) && !seen.contains(Operation::Compare));
}

/// 16-byte patterns and CRC-64 are flags of operations that every DSA has.
#[test]
fn what_the_second_version_added_is_offered_where_gencap_has_it() {
    let added = [Operation::Fill16, Operation::Crc64, Operation::CopyCrc64];
    let mut machine = machine(0x200, NULL);
    let queue = open(&machine, NULL, "wq0.0").unwrap();
    let seen = capabilities(&queue).operations;
    assert!(added.into_iter().all(|operation| !seen.contains(operation)), "{seen:?}");
    assert!(seen.contains(Operation::Dualcast) && seen.contains(Operation::DifUpdate));
    let second = idxd_emu::Capabilities::of(idxd_emu::DeviceKind::Dsa, idxd_emu::Version::V2);
    machine.set("dsa0/gen_cap", format!("{:#x}", second.gen_cap.0));
    let queue = open(&machine, NULL, "wq0.0").unwrap();
    let seen = capabilities(&queue).operations;
    assert!(added.into_iter().all(|operation| seen.contains(operation)), "{seen:?}");
}

/// Numbers and lists are in registers of their own, which the kernel shows from version 3 on.
#[test]
fn what_the_third_version_added_is_offered_where_the_kernel_shows_it() {
    let added = [
        Operation::Convert,
        Operation::Reduce,
        Operation::ReduceDualcast,
        Operation::GatherReduce,
        Operation::GatherCopy,
        Operation::ScatterCopy,
        Operation::ScatterFill,
    ];
    let offered = |machine: &Machine| {
        let seen = open(machine, NULL, "wq0.0").unwrap();
        added.map(|operation| capabilities(&seen).operations.contains(operation))
    };
    let third = idxd_emu::Capabilities::of(idxd_emu::DeviceKind::Dsa, idxd_emu::Version::V3);
    let (lists, types, treatments) = third.dsa_cap;
    let words = third.op_cap.0.iter().rev().flat_map(|word| [word >> 32, word & 0xffff_ffff]);
    let op_cap: Vec<_> = words.map(|word| format!("{word:08x}")).collect();
    let mut machine = machine(0x300, NULL);
    machine.set("dsa0/op_cap", op_cap.join(","));
    machine.set("dsa0/wq0.0/op_config", op_cap.join(","));
    machine.set("dsa0/dsacaps", format!("{:016x},{:016x},{:016x}", treatments.0, types.0, lists.0));
    assert_eq!(offered(&machine), [true; 7]);
    // Lists without their numbers.
    machine.set("dsa0/dsacaps", format!("{:016x},{:016x},{:016x}", 0, 0, lists.0));
    assert_eq!(offered(&machine), [false, false, false, false, true, true, true]);
    machine.remove("dsa0/dsacaps");
    assert_eq!(offered(&machine), [false; 7]);
}

#[test]
fn batches_are_used_where_the_kernel_takes_them() {
    let batch_max = |machine: &Machine, queue, options: &HardwareOptions| {
        capabilities(&open_with(machine, ZERO, queue, options).unwrap()).batch_max
    };
    let usual = HardwareOptions::default();
    let asked = HardwareOptions { batches: Some(true), ..HardwareOptions::default() };
    let written = HardwareOptions { method: MethodChoice::Write, ..asked.clone() };
    assert_eq!(batch_max(&machine(0x200, ZERO), "wq0.1", &usual), 32);
    assert_eq!(batch_max(&machine(0x200, ZERO), "wq0.1", &written), 32);
    // Version 1: hidden by the kernel, refused through write(2), possible through a map for those who know.
    let first = machine(0x100, ZERO);
    assert_eq!(batch_max(&first, "wq0.1", &usual), 1);
    assert_eq!(batch_max(&first, "wq0.1", &written), 1);
    if Movdir64b::detect().is_some() {
        assert_eq!(batch_max(&first, "wq0.1", &asked), 32);
    }
    // A version-2 device under a kernel that hides the batch.
    let mut hidden = machine(0x200, ZERO);
    hidden.set("dsa0/wq0.1/op_config", machine::DSA_1_OPS);
    assert_eq!(batch_max(&hidden, "wq0.1", &usual), 1);
    let off = HardwareOptions { batches: Some(false), ..usual };
    assert_eq!(batch_max(&machine(0x200, ZERO), "wq0.1", &off), 1);
}

#[test]
fn depth_and_batch_are_the_callers_to_lower() {
    let options = HardwareOptions { depth: Some(3), batch_max: 5, ..HardwareOptions::default() };
    let queue = open_with(&machine(0x200, NULL), NULL, "wq0.0", &options).unwrap();
    assert_eq!((capabilities(&queue).depth, capabilities(&queue).batch_max), (3, 5));
}

/// `/dev/zero` is memory that can be mapped as a portal can.
#[test]
fn a_dedicated_queue_is_mapped_where_the_cpu_can_write_to_it() {
    let queue = open(&machine(0x200, ZERO), ZERO, "wq0.1").unwrap();
    match Movdir64b::detect() {
        Some(_) => assert_eq!(queue.portal().method(), Method::Movdir64b),
        None => assert_eq!(
            queue.portal().write_reason(),
            Some(WriteReason::NoInstruction { instruction: Method::Movdir64b })
        ),
    }
}

/// `/dev/null` has no maps.
#[test]
fn a_map_that_is_refused_falls_to_write() {
    let queue = open(&machine(0x200, NULL), NULL, "wq0.1").unwrap();
    let reason = match Movdir64b::detect() {
        Some(_) => WriteReason::MapRefused { errno: libc::ENODEV },
        None => WriteReason::NoInstruction { instruction: Method::Movdir64b },
    };
    assert_eq!((queue.portal().method(), queue.portal().write_reason()), (Method::Write, Some(reason)));
}

/// A change to the attributes, and the error it makes.
fn refused(change: impl FnOnce(&mut Machine), expected: impl FnOnce(&OpenError) -> bool, says: &str) {
    let mut machine = machine(0x200, NULL);
    change(&mut machine);
    let error = open(&machine, NULL, "wq0.0").unwrap_err();
    assert!(expected(&error), "{error:?}");
    assert_eq!(error.to_string(), says);
}

#[test]
fn each_thing_that_is_wrong_has_its_error() {
    let set = |path: &'static str, value: &'static str| move |machine: &mut Machine| machine.set(path, value);
    refused(
        set("dsa0/state", "disabled"),
        |error| matches!(error, OpenError::Device { .. }),
        "dsa0: disabled",
    );
    refused(set("dsa0/state", "halted"), |error| matches!(error, OpenError::Device { .. }), "dsa0: halted");
    refused(
        set("dsa0/wq0.0/state", "disabled"),
        |error| matches!(error, OpenError::Queue { .. }),
        "wq0.0: disabled",
    );
    refused(
        set("dsa0/wq0.0/type", "kernel"),
        |error| matches!(error, OpenError::Type { .. }),
        "wq0.0: of type kernel and not user",
    );
    refused(
        set("dsa0/wq0.0/driver_name", "dmaengine"),
        |error| matches!(error, OpenError::Driver { .. }),
        "wq0.0: bound to driver dmaengine and not user",
    );
    refused(
        set("dsa0/pasid_enabled", "0"),
        |error| matches!(error, OpenError::Pasid { .. }),
        "dsa0: user PASID is not enabled",
    );
    refused(
        set("dsa0/wq0.0/mode", "odd"),
        |error| matches!(error, OpenError::Mode { .. }),
        "wq0.0: in mode odd",
    );
    refused(
        set("dsa0/wq0.0/size", "junk"),
        |error| matches!(error, OpenError::Attribute { attribute: "size", .. }),
        "wq0.0: attribute size cannot be read",
    );
    refused(
        |machine| machine.remove("dsa0/pasid_enabled"),
        |error| matches!(error, OpenError::Attribute { .. }),
        "wq0.0: attribute pasid_enabled cannot be read",
    );
}

#[test]
fn a_node_of_another_device_is_refused() {
    let mut machine = machine(0x200, NULL);
    machine.set("dsa0/wq0.0/cdev_minor", "9");
    let error = open(&machine, NULL, "wq0.0").unwrap_err();
    assert!(matches!(error, OpenError::OtherNode { .. }));
    assert!(error.to_string().ends_with("dev/dsa/wq0.0: not the device node of wq0.0"), "{error}");
}

#[test]
fn a_kernel_queue_is_refused_before_its_node_is_looked_for() {
    let mut machine = Machine::of_version(0x200);
    machine.queue("wq0.2", QueueSetup::KERNEL);
    assert!(matches!(open(&machine, NULL, "wq0.2"), Err(OpenError::Driver { .. } | OpenError::Type { .. })));
}

#[test]
fn a_node_that_is_missing_or_a_file_is_refused() {
    let (root, sysfs) = machine(0x200, NULL).unpacked();
    let open = || {
        let found = sysfs.discover().unwrap();
        let (device, queue) = found.work_queue("wq0.0").unwrap();
        HardwareQueue::open(device, queue, &HardwareOptions::default()).unwrap_err()
    };
    let node = root.path().join("dev/dsa/wq0.0");
    assert!(matches!(open(), OpenError::NoNode { path } if path == node));
    // It would take descriptors for ever and complete none.
    fs::write(&node, "").unwrap();
    assert!(matches!(open(), OpenError::OtherNode { .. }));
}

/// Root may open nearly everything, but not a file of sysfs that cannot be written for writing.
#[test]
fn a_node_that_may_not_be_opened_says_who_may() {
    let (root, sysfs) = machine(0x200, NULL).unpacked();
    link_nodes(&root, NULL);
    let mut found = sysfs.discover().unwrap();
    let device = found.devices.iter_mut().find(|device| device.name == "dsa0").unwrap();
    let node = device.work_queues[0].node.as_mut().unwrap();
    node.path = "/sys/kernel/uevent_seqnum".into();
    (node.mode, node.uid, node.gid) = (0o640, 12, 34);
    let error = HardwareQueue::open(device, &device.work_queues[0], &HardwareOptions::default()).unwrap_err();
    assert_eq!(error.to_string(), "/sys/kernel/uevent_seqnum: mode 0o640, user 12, group 34");
    let OpenError::Permission { source, .. } = error else { panic!("{error:?}") };
    assert_eq!(source.raw_os_error(), Some(libc::EACCES));
}
