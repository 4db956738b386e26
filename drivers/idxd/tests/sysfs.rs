//! Discovery over trees in the kernel's format, whole and broken. The values are held against what the tree was built
//! with, and where a number has an independent source, against that.

mod machine;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::{Duration, Instant};

use idxd_spec::Opcode;
use machine::{Machine, QueueSetup};
use svala_idxd::{
    DeviceState, DeviceType, ProblemKind, Sysfs, SysfsError, WorkQueueMode, WorkQueueState, WorkQueueType,
};

#[test]
fn sapphire_rapids_has_four_dsa_and_four_iaa() {
    let (_root, sysfs) = Machine::sapphire_rapids().unpacked();
    let found = sysfs.discover().unwrap();
    assert_eq!(found.all_problems().collect::<Vec<_>>(), [] as [&svala_idxd::Problem; 0]);
    let names: Vec<_> = found.devices.iter().map(|device| device.name.as_str()).collect();
    assert_eq!(names, ["dsa0", "iax1", "dsa2", "iax3", "dsa4", "iax5", "dsa6", "iax7"]);
    let types = found.devices.iter().filter(|device| device.device_type == DeviceType::Dsa).count();
    assert_eq!(types, 4);
    let nodes: Vec<_> = found.devices.iter().filter_map(|device| device.numa_node).collect();
    assert_eq!(nodes, [0, 0, 0, 0, 1, 1, 1, 1]);
    assert!(found.devices.iter().all(|device| device.work_queues.len() == 8 && device.groups.len() == 4));
    assert!(found.devices.iter().all(|device| match device.device_type {
        DeviceType::Dsa => device.engines.len() == 4,
        DeviceType::Iax => device.engines.len() == 8,
    }));
    assert_eq!(found.drivers, ["crypto", "dmaengine", "idxd", "user"]);
}

#[test]
fn every_attribute_of_a_device_is_read() {
    let (_root, sysfs) = Machine::sapphire_rapids().unpacked();
    let found = sysfs.discover().unwrap();
    let dsa = found.device("dsa0").unwrap();
    assert_eq!((dsa.pci_address.as_deref(), dsa.driver.as_deref()), (Some("0000:6a:01.0"), Some("idxd")));
    assert_eq!((dsa.version, dsa.generation()), (Some(0x100), Some(1)));
    assert_eq!((dsa.state.clone(), dsa.configurable), (Some(DeviceState::Enabled), Some(true)));
    assert_eq!((dsa.pasid_enabled, dsa.clients, dsa.numa_node), (Some(true), Some(0), Some(0)));
    assert_eq!((dsa.max_groups, dsa.max_engines), (Some(4), Some(4)));
    assert_eq!((dsa.max_work_queues, dsa.max_work_queues_size), (Some(8), Some(128)));
    assert_eq!((dsa.max_transfer_size, dsa.max_batch_size), (Some(1 << 31), Some(1024)));
    assert_eq!((dsa.max_read_buffers, dsa.read_buffer_limit), (Some(96), Some(0)));
    assert_eq!((dsa.cdev_major, dsa.cmd_status.map(|status| status.0)), (Some(235), Some(0)));
    assert_eq!(dsa.errors.map(|error| error.0), Some([0; 4]));
    assert_eq!(dsa.gen_cap.map(|cap| cap.0), Some(0x0000_0040_915f_0107));
    // 2^31 bytes and 2^10 descriptors: the same register as the two attributes above.
    let gen_cap = dsa.gen_cap.unwrap();
    assert_eq!((gen_cap.transfer_bytes_max(), gen_cap.batch_descriptors_max()), (1 << 31, 256 * 4));
    let ops = dsa.op_cap.unwrap();
    assert!(ops.contains(Opcode::MEMMOVE) && ops.contains(Opcode(0x20)) && !ops.contains(Opcode::BATCH));
    // The first generation has no event log and no DSA 3 capabilities; the others are there.
    assert_eq!(dsa.missing, ["event_log_size", "dsacaps"]);

    let iaa = found.device("iax1").unwrap();
    assert_eq!(iaa.device_type, DeviceType::Iax);
    assert_eq!((iaa.max_batch_size, iaa.max_read_buffers, iaa.iaa_cap), (None, None, None));
    assert_eq!(iaa.missing, ["event_log_size", "iaa_cap"]);
    assert!(iaa.op_cap.unwrap().contains(Opcode(0x42)) && iaa.op_cap.unwrap().contains(Opcode(0x43)));
}

#[test]
fn every_attribute_of_a_work_queue_is_read() {
    let (_root, sysfs) = Machine::sapphire_rapids().unpacked();
    let found = sysfs.discover().unwrap();
    let (device, queue) = found.work_queue("wq0.0").unwrap();
    assert_eq!((device.name.as_str(), queue.device_id, queue.id), ("dsa0", 0, 0));
    assert_eq!(queue.mode, Some(WorkQueueMode::Shared));
    assert_eq!(queue.queue_type, Some(WorkQueueType::User));
    assert_eq!(queue.state, Some(WorkQueueState::Enabled));
    assert_eq!((queue.driver.as_deref(), queue.driver_name.as_deref()), (Some("user"), Some("user")));
    assert_eq!((queue.label.as_deref(), queue.group_id), (Some("app0.0"), Some(0)));
    assert_eq!((queue.size, queue.threshold, queue.priority), (Some(16), Some(15), Some(10)));
    assert_eq!((queue.block_on_fault, queue.ats_disable), (Some(true), Some(false)));
    assert_eq!((queue.max_transfer_size, queue.max_batch_size), (Some(2 << 20), Some(32)));
    assert_eq!((queue.cdev_minor, queue.clients, queue.occupancy), (Some(0), Some(0), Some(0)));
    assert_eq!((queue.enqcmds_retries, queue.op_config), (Some(0), device.op_cap));
    // PRS cannot be turned off for one queue of the first generation.
    assert_eq!(queue.missing, ["prs_disable"]);

    let (_, idle) = found.work_queue("wq2.3").unwrap();
    assert_eq!((idle.group_id, idle.size, idle.cdev_minor), (None, Some(0), None));
    assert_eq!((idle.label.clone(), idle.driver.clone(), idle.node.clone()), (None, None, None));
    assert!(!idle.is_enabled() && !idle.is_user() && !idle.is_dedicated());
    let (_, dedicated) = found.work_queue("wq0.1").unwrap();
    assert!(dedicated.is_enabled() && dedicated.is_user() && dedicated.is_dedicated());
}

#[test]
fn groups_name_their_engines_and_queues() {
    let (_root, sysfs) = Machine::sapphire_rapids().unpacked();
    let found = sysfs.discover().unwrap();
    let dsa = found.device("dsa0").unwrap();
    let group = dsa.group(1).unwrap();
    assert_eq!(
        (group.engines.as_slice(), group.work_queues.as_slice()),
        (&["engine0.1".into()][..], &["wq0.1".into()][..])
    );
    assert_eq!((group.read_buffers_allowed, group.read_buffers_reserved), (Some(96), Some(0)));
    assert_eq!((group.use_read_buffer_limit, group.traffic_class_a), (Some(false), Some(1)));
    assert_eq!((dsa.engine(1).unwrap().group_id, dsa.engine(3).unwrap().group_id), (Some(1), None));
    assert_eq!(group.missing, ["desc_progress_limit", "batch_progress_limit"]);
}

#[test]
fn later_versions_show_more() {
    let (_root, sysfs) = Machine::of_version(0x200).unpacked();
    let found = sysfs.discover().unwrap();
    let (dsa, iaa) = (found.device("dsa0").unwrap(), found.device("iax1").unwrap());
    assert_eq!((dsa.generation(), dsa.event_log_size), (Some(2), Some(64)));
    assert_eq!(dsa.missing, ["dsacaps"]);
    assert_eq!((iaa.iaa_cap.map(|cap| cap.0), iaa.missing.as_slice()), (Some(0x9d), &[] as &[&str]));
    assert_eq!(dsa.group(0).unwrap().desc_progress_limit, Some(0));
    assert_eq!(dsa.work_queue(0).unwrap().prs_disable, Some(false));
    assert!(dsa.op_cap.unwrap().contains(Opcode::BATCH));

    let (_root, sysfs) = Machine::of_version(0x300).unpacked();
    let found = sysfs.discover().unwrap();
    let dsa = found.device("dsa0").unwrap();
    assert_eq!((dsa.generation(), dsa.dsacaps), (Some(3), Some([0xa0001, 2, 3])));
    assert!(dsa.missing.is_empty() && found.all_problems().next().is_none());
}

#[test]
fn half_configured_is_no_problem() {
    let mut machine = Machine::two_dsa();
    machine.set("dsa0/state", "halted");
    machine.set("dsa0/cmd_status", "0x80060000");
    machine.set("dsa0/wq0.1/state", "disabled");
    machine.set("dsa0/wq0.1/type", "none");
    machine.set("dsa0/wq0.1/group_id", -1);
    machine.remove("dsa0/wq0.1/cdev_minor");
    // An older kernel.
    for gone in ["driver_name", "op_config", "ats_disable"] {
        machine.remove(&format!("dsa0/wq0.0/{gone}"));
    }
    let (_root, sysfs) = machine.unpacked();
    let found = sysfs.discover().unwrap();
    let dsa = found.device("dsa0").unwrap();
    assert_eq!(dsa.state, Some(DeviceState::Halted));
    assert!(dsa.cmd_status.is_some_and(idxd_spec::register::SoftCmdStatus::is_soft));
    let (old, half) = (dsa.work_queue(0).unwrap(), dsa.work_queue(1).unwrap());
    assert_eq!(old.missing, ["driver_name", "ats_disable", "prs_disable", "op_config"]);
    assert_eq!((half.queue_type.clone(), half.group_id), (Some(WorkQueueType::None), None));
    assert_eq!(found.all_problems().count(), 0);
}

#[test]
fn words_of_newer_kernels_survive() {
    let mut machine = Machine::two_dsa();
    machine.set("dsa0/state", "quiescing");
    machine.set("dsa0/wq0.0/mode", "exclusive");
    let (_root, sysfs) = machine.unpacked();
    let found = sysfs.discover().unwrap();
    assert_eq!(found.device("dsa0").unwrap().state, Some(DeviceState::Other("quiescing".into())));
    assert_eq!(found.work_queue("wq0.0").unwrap().1.mode, Some(WorkQueueMode::Other("exclusive".into())));
}

/// One bad thing in a good machine, what becomes of it, and that nobody else is harmed.
fn hostile(at: &str, replace: impl FnOnce(&Path), expected: impl FnOnce(&ProblemKind) -> bool) {
    let (root, sysfs) = Machine::two_dsa().unpacked();
    let path = sysfs.devices().join(at);
    if path.is_file() {
        fs::remove_file(&path).unwrap();
    }
    replace(&path);
    let started = Instant::now();
    let found = sysfs.discover().unwrap();
    assert!(started.elapsed() < Duration::from_secs(60), "{at}: a look must not wait");
    let problems: Vec<_> = found.all_problems().collect();
    assert_eq!(problems.len(), 1, "{at}: {problems:?}");
    assert_eq!(problems[0].at, at);
    assert!(expected(&problems[0].kind), "{at}: {}", problems[0]);
    assert_eq!(found.devices.len(), 2, "{at}: no device is lost");
    let untouched = found.device("dsa2").unwrap();
    assert!(untouched.problems.is_empty() && untouched.work_queues.len() == 8);
    drop(root);
}

#[test]
fn huge_files_are_not_read() {
    let huge = |path: &Path| {
        // A hole of a terabyte: reading it to the end would take minutes and all memory.
        let file = fs::File::create(path).unwrap();
        file.set_len(1 << 40).unwrap_or_else(|_| file.set_len(1 << 33).unwrap());
    };
    hostile("dsa0/wq0.0/size", huge, |kind| matches!(kind, ProblemKind::TooLong { bytes_max: 4096 }));
    hostile("dsa0/op_cap", huge, |kind| matches!(kind, ProblemKind::TooLong { .. }));
}

#[test]
fn binary_junk_is_a_problem_where_it_is() {
    let junk = |path: &Path| fs::write(path, [0xff, 0xfe, 0x00, 0x80]).unwrap();
    hostile("dsa0/version", junk, |kind| *kind == ProblemKind::NotText);
    hostile("dsa0/wq0.1/mode", junk, |kind| *kind == ProblemKind::NotText);
    let text = |text: &'static str| move |path: &Path| fs::write(path, text).unwrap();
    let is_value = |kind: &ProblemKind| matches!(kind, ProblemKind::Value { .. });
    hostile("dsa0/version", text("0x1ffffffff\n"), is_value);
    hostile("dsa0/max_groups", text("4294967296\n"), is_value);
    hostile("dsa0/max_groups", text("-1\n"), is_value);
    hostile("dsa0/pasid_enabled", text("2\n"), is_value);
    hostile("dsa0/op_cap", text("zz,00000000\n"), is_value);
    hostile("dsa0/state", text("en\u{1b}[31mabled\n"), is_value);
    hostile("dsa0/wq0.0/name", text("a\u{7}b\n"), is_value);
    hostile("dsa0/wq0.0/size", text("\n"), is_value);
    hostile("dsa0/wq0.0/group_id", text("-2\n"), is_value);
    hostile("dsa0/engine0.0/group_id", text("x\n"), is_value);
    hostile("dsa0/group0.2/traffic_class_b", text("one\n"), is_value);
}

/// Reading a FIFO would wait for a writer that never comes.
#[test]
fn a_pipe_in_place_of_a_file_does_not_block() {
    let pipe = |path: &Path| {
        nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    };
    hostile("dsa0/wq0.0/size", pipe, |kind| *kind == ProblemKind::NotAFile { found: "pipe" });
    hostile("dsa0/gen_cap", pipe, |kind| *kind == ProblemKind::NotAFile { found: "pipe" });
}

#[test]
fn links_are_not_followed_inside_a_device() {
    let link = |to: &'static str| move |path: &Path| symlink(to, path).unwrap();
    let is_link = |kind: &ProblemKind| *kind == ProblemKind::NotAFile { found: "symbolic link" };
    hostile("dsa0/numa_node", link("/etc/hostname"), is_link);
    hostile("dsa0/wq0.0/size", link("size"), is_link);
    hostile("dsa0/clients", link("/dev/zero"), is_link);
    let is_other = |kind: &ProblemKind| *kind == ProblemKind::NotADirectory { found: "symbolic link" };
    hostile("dsa0/wq0.9", link("."), is_other);
    hostile("dsa0/wq2.0", link("../dsa2/wq2.0"), |kind| *kind == ProblemKind::Foreign);
}

#[test]
fn a_directory_in_place_of_a_file_is_a_problem() {
    let directory = |path: &Path| fs::create_dir(path).unwrap();
    hostile("dsa0/errors", directory, |kind| *kind == ProblemKind::NotAFile { found: "directory" });
}

#[test]
fn a_device_that_is_no_directory_keeps_its_place() {
    for (make, expected) in [
        (
            Box::new(|path: &Path| symlink("dsa9", path).unwrap()) as Box<dyn Fn(&Path)>,
            ProblemKind::Os { errno: libc::ELOOP },
        ),
        (Box::new(|path: &Path| symlink("nowhere", path).unwrap()), ProblemKind::Os { errno: libc::ENOENT }),
        (Box::new(|path: &Path| fs::write(path, "x").unwrap()), ProblemKind::NotADirectory { found: "file" }),
    ] {
        let (_root, sysfs) = Machine::two_dsa().unpacked();
        make(&sysfs.devices().join("dsa9"));
        let found = sysfs.discover().unwrap();
        assert_eq!(found.devices.len(), 3);
        let bad = found.device("dsa9").unwrap();
        assert_eq!(bad.problems.iter().map(|problem| &problem.kind).collect::<Vec<_>>(), [&expected]);
        assert!(found.device("dsa0").unwrap().problems.is_empty());
    }
}

/// `dsa9` is the directory it is in: its parts are links, and have other numbers.
#[test]
fn a_device_that_is_the_bus_itself_ends() {
    let (_root, sysfs) = Machine::two_dsa().unpacked();
    symlink(".", sysfs.devices().join("dsa9")).unwrap();
    let found = sysfs.discover().unwrap();
    let loops = found.device("dsa9").unwrap();
    assert!(loops.work_queues.is_empty() && loops.engines.is_empty() && loops.groups.is_empty());
    assert!(loops.problems.iter().all(|problem| problem.kind == ProblemKind::Foreign));
}

#[test]
fn entries_beyond_the_bounds_are_not_looked_at() {
    let (_root, sysfs) = Machine::two_dsa().unpacked();
    for id in 0..300 {
        fs::create_dir(sysfs.devices().join(format!("dsa0/wq0.{}", 100 + id))).unwrap();
        fs::create_dir(sysfs.devices().join(format!("dsa{}", 100 + id))).unwrap();
    }
    let found = sysfs.discover().unwrap();
    assert_eq!(found.devices.len(), 256);
    assert_eq!(found.device("dsa0").unwrap().work_queues.len(), 256);
    let problems: Vec<_> = found.all_problems().map(|problem| problem.at.as_str()).collect();
    assert_eq!(problems, ["devices", "dsa0/wq"]);
    assert!(found.device("dsa2").is_some_and(|device| device.work_queues.len() == 8));
}

#[test]
fn without_the_bus_there_is_nothing_and_the_error_says_where() {
    let root = tempfile::tempdir().unwrap();
    let sysfs = Sysfs::new(root.path().join("sys/bus/dsa"), root.path().join("dev"));
    let SysfsError::Bus { path, source } = sysfs.discover().unwrap_err() else { panic!("another error") };
    assert_eq!((path, source.kind()), (sysfs.devices(), std::io::ErrorKind::NotFound));
}

#[test]
fn a_node_says_who_may_open_it() {
    let (root, sysfs) = Machine::two_dsa().unpacked();
    let node = root.path().join("dev/dsa/wq0.0");
    fs::write(&node, "").unwrap();
    fs::set_permissions(&node, fs::Permissions::from_mode(0o640)).unwrap();
    let found = sysfs.discover().unwrap();
    let (_, queue) = found.work_queue("wq0.0").unwrap();
    let seen = queue.node.clone().expect("a node");
    assert_eq!((seen.path.as_path(), seen.mode, seen.is_device), (node.as_path(), 0o640, false));
    assert_eq!(seen.uid, nix::unistd::geteuid().as_raw());
    assert!(seen.openable);
    // A file is not 235:0.
    assert!(matches!(queue.problems[0].kind, ProblemKind::OtherNode { major: 235, minor: 0, .. }));
}

#[test]
fn a_node_with_the_right_numbers_is_no_problem() {
    let mut machine = Machine::two_dsa();
    machine.queue("wq2.3", QueueSetup { group: 0, ..QueueSetup::SHARED });
    // The numbers of /dev/null.
    machine.set("dsa2/cdev_major", 1);
    let (root, sysfs) = machine.unpacked();
    symlink("/dev/null", root.path().join("dev/dsa/wq2.3")).unwrap();
    let found = sysfs.discover().unwrap();
    let (_, queue) = found.work_queue("wq2.3").unwrap();
    assert!(queue.node.as_ref().is_some_and(|node| node.is_device && node.openable));
    assert!(queue.problems.is_empty());
}

#[test]
fn what_was_found_can_be_written_as_json() {
    let (_root, sysfs) = Machine::of_version(0x200).unpacked();
    let found = serde_json::to_value(sysfs.discover().unwrap()).unwrap();
    let dsa = &found["devices"][0];
    assert_eq!((dsa["name"].as_str(), dsa["type"].as_str()), (Some("dsa0"), Some("dsa")));
    assert_eq!((dsa["gen_cap"].as_str(), dsa["version"].as_str()), (Some("0x40915f0107"), Some("0x200")));
    assert_eq!(dsa["op_cap"].as_str(), Some(machine::DSA_2_OPS));
    assert_eq!(dsa["work_queues"][1]["mode"].as_str(), Some("dedicated"));
}
