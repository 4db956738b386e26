//! Devices, work queues, and the QAT.

use std::collections::BTreeSet;
use std::fs;

use super::{Case, check, complaints, finding};
use crate::machine::{Machine, config_space};

const FUNCTION: &str = "sys/bus/pci/devices/0000:6a:01.0";

#[test]
fn an_iaa_that_the_kernel_has_taken() {
    check(&Case {
        damage: |machine| {
            machine.directory("sys/module/iaa_crypto");
            machine.link("sys/bus/dsa/devices/iax1/wq1.0/driver", "../../../../../bus/dsa/drivers/crypto");
            machine.write("sys/bus/dsa/devices/iax1/wq1.0/type", "kernel\n");
        },
        complaints: &["module_iaa_crypto: wrong", "device_queues of iax1: wrong"],
        evidence: "/sys/module/iaa_crypto",
        remedy: "modprobe -r iaa_crypto",
        usable: true,
    });
}

#[test]
fn a_device_without_a_capability_or_with_it_off() {
    for (lost, id) in [(0x0f, "device_ats"), (0x1b, "device_pasid"), (0x13, "device_pri")] {
        let machine = Machine::right();
        let left: Vec<_> = [0x0f, 0x1b, 0x13].into_iter().filter(|one| *one != lost).collect();
        fs::write(machine.at(&format!("{FUNCTION}/config")), config_space(&left, true)).unwrap();
        let (report, _) = machine.json(&["doctor"]);
        assert_eq!(complaints(&report), BTreeSet::from([format!("{id} of dsa0: wrong")]));
        assert!(finding(&report, id)["remedy"].as_str().unwrap().contains("BIOS"));
    }
    let machine = Machine::right();
    fs::write(machine.at(&format!("{FUNCTION}/config")), config_space(&[0x0f, 0x1b, 0x13], false)).unwrap();
    let (report, _) = machine.json(&["doctor"]);
    // Page requests are switched on with the first process.
    assert_eq!(
        complaints(&report),
        ["device_ats of dsa0: wrong", "device_pasid of dsa0: wrong"].map(str::to_owned).into()
    );
    // What others than root may read ends before the capabilities.
    fs::write(machine.at(&format!("{FUNCTION}/config")), [0_u8; 64]).unwrap();
    let (report, _) = machine.json(&["doctor"]);
    assert_eq!(finding(&report, "device_ats")["verdict"], "unknown");
    assert_eq!(finding(&report, "device_ats")["remedy"], "run it as root");
}

#[test]
fn a_device_in_the_wrong_hands_or_state() {
    check(&Case {
        damage: |machine| machine.link(&format!("{FUNCTION}/driver"), "../../../bus/pci/drivers/vfio-pci"),
        complaints: &["device_driver: wrong"],
        evidence: "vfio-pci",
        remedy: "unbind it from vfio-pci",
        usable: true,
    });
    check(&Case {
        damage: |machine| machine.dsa("pasid_enabled", "0"),
        complaints: &["device_pasid_enabled of dsa0: wrong"],
        evidence: "/sys/bus/dsa/devices/dsa0/pasid_enabled",
        remedy: "dmesg",
        usable: true,
    });
    check(&Case {
        damage: |machine| machine.dsa("state", "disabled"),
        complaints: &["device_state of dsa0: wrong"],
        evidence: "disabled",
        remedy: "enable-device dsa0",
        usable: true,
    });
    check(&Case {
        damage: |machine| machine.dsa("state", "halted"),
        complaints: &["device_state of dsa0: wrong"],
        evidence: "halted",
        remedy: "/sys/bus/dsa/devices/dsa0/errors",
        usable: true,
    });
    check(&Case {
        damage: |machine| machine.dsa("wq0.0/size", "many"),
        complaints: &["device_attributes of dsa0: wrong", "queue_size of wq0.0: unknown"],
        evidence: "dsa0/wq0.0/size",
        remedy: "Documentation/ABI",
        usable: true,
    });
}

#[test]
fn a_device_without_a_queue_for_processes() {
    let machine = Machine::right();
    for queue in ["dsa0/wq0.0", "dsa0/wq0.1", "iax1/wq1.0"] {
        machine.write(&format!("sys/bus/dsa/devices/{queue}/type"), "none\n");
        machine.write(&format!("sys/bus/dsa/devices/{queue}/state"), "disabled\n");
    }
    let (report, code) = machine.json(&["doctor"]);
    let expected = ["device_queues of dsa0: wrong", "device_queues of iax1: wrong"];
    assert_eq!((complaints(&report), code), (expected.map(str::to_owned).into(), 1));
    let line = finding(&report, "device_queues");
    assert!(line["evidence"].to_string().contains("state disabled, type none"), "{line}");
    assert!(line["remedy"].as_str().unwrap().contains("svala configure load"), "{line}");
}

#[test]
fn a_queue_that_is_not_set_up() {
    check(&Case {
        damage: |machine| machine.dsa("wq0.0/driver_name", "dmaengine"),
        complaints: &["queue_driver of wq0.0: wrong"],
        evidence: "dmaengine",
        remedy: "--driver-name=user",
        usable: true,
    });
    check(&Case {
        damage: |machine| machine.dsa("wq0.0/driver_name", ""),
        complaints: &["queue_driver of wq0.0: wrong"],
        evidence: "driver_name",
        remedy: "--driver-name=user",
        usable: true,
    });
    // Before Linux 6.7 there was no such attribute.
    check(&Case {
        damage: |machine| machine.remove("sys/bus/dsa/devices/dsa0/wq0.0/driver_name"),
        complaints: &[],
        evidence: "",
        remedy: "",
        usable: true,
    });
    check(&Case {
        damage: |machine| machine.dsa("wq0.0/size", "0"),
        complaints: &["queue_size of wq0.0: wrong"],
        evidence: "/sys/bus/dsa/devices/dsa0/wq0.0/size",
        remedy: "--wq-size",
        usable: true,
    });
    check(&Case {
        damage: |machine| machine.dsa("wq0.0/threshold", "0"),
        complaints: &["queue_size of wq0.0: wrong"],
        evidence: "threshold",
        remedy: "--threshold",
        usable: true,
    });
    check(&Case {
        damage: |machine| machine.dsa("wq0.0/group_id", "-1"),
        complaints: &["queue_group of wq0.0: wrong"],
        evidence: "-1",
        remedy: "--group-id",
        usable: true,
    });
    check(&Case {
        damage: |machine| machine.dsa("wq0.0/group_id", "3"),
        complaints: &["queue_group of wq0.0: wrong"],
        evidence: "3",
        remedy: "config-engine dsa0/engine0.0 --group-id=3",
        usable: true,
    });
    check(&Case {
        damage: |machine| {
            machine.dsa("wq0.0/state", "disabled");
            machine.remove("dev/dsa/wq0.0");
        },
        complaints: &[
            "queue_state of wq0.0: wrong",
            "queue_node of wq0.0: unknown",
            "queue_permission of wq0.0: unknown",
            "queue_bind of wq0.0: unknown",
        ],
        evidence: "disabled",
        remedy: "enable-wq dsa0/wq0.0",
        usable: true,
    });
}

#[test]
fn a_node_that_is_missing_or_closed() {
    let missing =
        &["queue_node of wq0.0: wrong", "queue_permission of wq0.0: unknown", "queue_bind of wq0.0: unknown"];
    check(&Case {
        damage: |machine| machine.remove("dev/dsa/wq0.0"),
        complaints: missing,
        evidence: "/dev/dsa/wq0.0",
        remedy: "udevadm",
        usable: true,
    });
    check(&Case {
        damage: |machine| {
            machine.remove("dev/dsa/wq0.0");
            machine.write(".dockerenv", "");
        },
        complaints: missing,
        evidence: "/.dockerenv",
        remedy: "--device /dev/dsa/wq0.0",
        usable: true,
    });
    // Another user than the nodes' owner.
    check(&Case {
        damage: |machine| {
            machine.status(nix::unistd::getuid().as_raw() + 1, 0);
            machine.chmod("dev/dsa/wq0.1", 0o666);
        },
        complaints: &["queue_permission of wq0.0: wrong", "queue_permission of wq1.0: wrong"],
        evidence: "mode 0600",
        remedy: "udev rule",
        usable: true,
    });
    // With CAP_DAC_OVERRIDE nobody asks.
    check(&Case {
        damage: |machine| machine.status(nix::unistd::getuid().as_raw() + 1, 1 << 1),
        complaints: &[],
        evidence: "",
        remedy: "",
        usable: true,
    });
}

#[test]
fn a_bind_that_is_refused() {
    for (errno, queue, evidence, remedy) in [
        (95, "wq0.0", "not supported", "6.18.7"),
        (19, "wq0.0", "No such device", "LA57"),
        (1, "wq0.0", "not permitted", "--device"),
        (13, "wq0.0", "Permission denied", "permission"),
        (6, "wq0.0", "No such device or address", "enabled"),
        (16, "wq0.1", "busy", "shared queue"),
        (12, "wq0.0", "memory", "dmesg"),
    ] {
        let machine = Machine::right();
        machine.write(&format!("probe/open_{queue}"), &errno.to_string());
        let (report, _) = machine.json(&["doctor"]);
        assert_eq!(complaints(&report), BTreeSet::from([format!("queue_bind of {queue}: wrong")]));
        assert!(!report["usable"].as_array().unwrap().contains(&queue.into()));
        let lines = report["findings"].as_array().unwrap().iter();
        let line =
            lines.filter(|line| line["id"] == "queue_bind").find(|line| line["subject"] == queue).unwrap();
        let error = line["evidence"][0]["error"].as_str().unwrap();
        assert!(error.contains(evidence), "{error}");
        assert!(line["remedy"].as_str().unwrap().contains(remedy), "{line}");
    }
}

#[test]
fn a_tree_that_does_not_tell_whether_a_queue_opens() {
    let machine = Machine::right();
    machine.remove("probe");
    let (report, code) = machine.json(&["doctor"]);
    let unknown =
        ["queue_bind of wq0.0", "queue_bind of wq0.1", "queue_bind of wq1.0", "io_uring", "pagemap_scan"];
    assert_eq!((complaints(&report), code), (unknown.map(|id| format!("{id}: unknown")).into(), 1));
}

#[test]
fn a_qat_needs_virtual_functions_vfio_iommufd_and_memlock() {
    let (whole, part) = ("sys/devices/pci0000:6b/0000:6b:00.0", "sys/devices/pci0000:6b/0000:6b:00.1");
    let machine = Machine::right();
    machine.function(whole, "0x4940");
    machine.link(&format!("{whole}/driver"), "../../../bus/pci/drivers/4xxx");
    machine.write(&format!("{whole}/sriov_numvfs"), "0\n");
    let (report, code) = machine.json(&["doctor"]);
    assert_eq!((complaints(&report), code), (["qat_vfs: wrong".to_owned()].into(), 0));
    assert!(finding(&report, "qat_vfs")["remedy"].as_str().unwrap().contains("0000:6b:00.0/sriov_numvfs"));

    machine.function(part, "0x4941");
    machine.remove(&format!("{part}/driver"));
    let (report, _) = machine.json(&["doctor"]);
    let expected = ["qat_vfio: wrong", "qat_iommufd: wrong", "qat_services: unknown", "memlock: wrong"];
    assert_eq!(complaints(&report), expected.map(str::to_owned).into());

    machine.link(&format!("{part}/driver"), "../../../bus/pci/drivers/vfio-pci");
    machine.write("dev/iommu", "");
    machine.directory("dev/vfio/devices");
    let limits = machine.read("proc/self/limits").replace("8388608   ", "unlimited ");
    machine.write("proc/self/limits", &limits);
    machine.link(&format!("{part}/physfn"), "../0000:6b:00.0");
    machine.write(&format!("{whole}/qat/state"), "down\n");
    machine.write(&format!("{whole}/qat/cfg_services"), "asym\n");
    for (file, now) in [("qat/state", "up\n"), ("qat/cfg_services", "dc\n")] {
        let (report, _) = machine.json(&["doctor"]);
        assert_eq!(complaints(&report), ["qat_services: wrong".to_owned()].into());
        let remedy = finding(&report, "qat_services")["remedy"].as_str().unwrap().to_owned();
        assert!(remedy.contains(&format!("0000:6b:00.1/physfn/{file}")), "{remedy}");
        machine.write(&format!("{whole}/{file}"), now);
    }
    // What only encrypts is of use, and says that it does not compress.
    machine.write(&format!("{whole}/qat/cfg_services"), "sym;asym\n");
    let (report, _) = machine.json(&["doctor"]);
    assert!(finding(&report, "qat_services")["text"].as_str().unwrap().contains("no compression (dc)"));
    assert!(complaints(&report).is_empty(), "{:?}", complaints(&report));
    assert!(finding(&report, "qat_vfs")["text"].as_str().unwrap().contains("never run on hardware"));
}
