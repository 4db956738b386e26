//! `svala doctor` over trees: a machine that is right, and one for each thing that can be wrong.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::net::UnixListener;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use serde_json::Value;

use crate::machine::{CAP, CONFIG, ECAP, Machine, config_space};
use crate::support::{Place, SVALA};

const FUNCTION: &str = "sys/bus/pci/devices/0000:6a:01.0";

/// What is not ok and not unneeded: "id" or "id of subject", with the verdict.
fn complaints(report: &Value) -> BTreeSet<String> {
    let lines = report["findings"].as_array().unwrap().iter();
    lines
        .filter(|line| !["ok", "not_needed"].contains(&line["verdict"].as_str().unwrap()))
        .map(|line| {
            let subject = line["subject"].as_str().map_or(String::new(), |subject| format!(" of {subject}"));
            format!("{}{subject}: {}", line["id"].as_str().unwrap(), line["verdict"].as_str().unwrap())
        })
        .collect()
}

fn finding<'a>(report: &'a Value, id: &str) -> &'a Value {
    report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .find(|line| line["id"] == id)
        .unwrap_or_else(|| panic!("no {id}"))
}

/// One thing that is wrong.
struct Case {
    /// What is done to a machine that is right.
    damage: fn(&Machine),
    /// What the doctor complains about, and nothing else.
    complaints: &'static [&'static str],
    /// In the first complaint's evidence and in its remedy.
    evidence: &'static str,
    remedy: &'static str,
    /// Whether a queue can be used all the same.
    usable: bool,
}

fn check(case: &Case) {
    let machine = Machine::right();
    (case.damage)(&machine);
    let (report, code) = machine.json(&["doctor"]);
    let expected: BTreeSet<_> = case.complaints.iter().map(|&complaint| complaint.to_owned()).collect();
    assert_eq!(complaints(&report), expected);
    assert_eq!(
        (code, report["usable"].as_array().unwrap().is_empty()),
        (i32::from(!case.usable), !case.usable),
        "{expected:?}"
    );
    let Some(first) = case.complaints.first() else { return };
    let (id, _) = first.split_once([' ', ':']).unwrap();
    let line = finding(&report, id);
    let evidence = line["evidence"].to_string();
    assert!(evidence.contains(case.evidence), "{:?} in {evidence}", case.evidence);
    let remedy = line["remedy"].as_str().unwrap();
    assert!(remedy.contains(case.remedy), "{:?} in {remedy}", case.remedy);
}

#[test]
fn a_machine_that_is_right_has_nothing_to_mend() {
    let machine = Machine::right();
    let (report, code) = machine.json(&["doctor"]);
    assert!(complaints(&report).is_empty(), "{:?}", complaints(&report));
    assert_eq!((code, &report["usable"]), (0, &serde_json::json!(["wq0.0", "wq0.1", "wq1.0"])));
    assert_eq!(report["accelerators"], 2);
    // Every line says what it read, but where there is nothing to read.
    for line in report["findings"].as_array().unwrap() {
        let is_silent = line["evidence"].as_array().unwrap().is_empty();
        assert!(!is_silent || line["verdict"] == "not_needed", "{line}");
        assert_eq!(line["remedy"], Value::Null, "{line}");
    }
}

#[test]
fn cpu_flags_that_are_missing() {
    check(&Case {
        damage: |machine| {
            machine.write("proc/cpuinfo", "flags\t\t: pdpe1gb la57 waitpkg movdir64b\n");
            machine.write("probe/cpuid_7_ecx", "10010020");
        },
        complaints: &["cpu_enqcmd: wrong"],
        evidence: "bit 29 is 0",
        remedy: "Sapphire Rapids",
        usable: true,
    });
    check(&Case {
        damage: |machine| machine.write("proc/cpuinfo", "flags\t\t: pdpe1gb la57 waitpkg movdir64b\n"),
        complaints: &["cpu_enqcmd: wrong"],
        evidence: "flags without enqcmd",
        remedy: "INTEL_IOMMU_SVM",
        usable: true,
    });
    check(&Case {
        damage: |machine| {
            machine.write("proc/cpuinfo", "flags\t\t: pdpe1gb la57 enqcmd\n");
            machine.write("probe/cpuid_7_ecx", "0");
        },
        complaints: &["cpu_movdir64b: wrong", "cpu_waitpkg: wrong"],
        evidence: "flags without movdir64b",
        remedy: "Sapphire Rapids",
        usable: true,
    });
}

/// Nobody needs it where all queues are dedicated.
#[test]
fn enqcmd_is_not_needed_for_dedicated_queues() {
    let machine = Machine::right();
    machine.write("proc/cpuinfo", "flags\t\t: pdpe1gb la57 waitpkg movdir64b\n");
    machine.write("probe/cpuid_7_ecx", "10010020");
    machine.dsa("wq0.0/mode", "dedicated");
    machine.write("sys/bus/dsa/devices/iax1/wq1.0/mode", "dedicated\n");
    let (report, _) = machine.json(&["doctor"]);
    assert_eq!(finding(&report, "cpu_enqcmd")["verdict"], "not_needed");
}

#[test]
fn kernels_that_are_too_old_or_refuse_sva() {
    check(&Case {
        damage: |machine| machine.write("proc/sys/kernel/osrelease", "5.15.100\n"),
        complaints: &["kernel_version: wrong"],
        evidence: "5.15.100",
        remedy: "Linux 5.18",
        usable: true,
    });
    check(&Case {
        damage: |machine| {
            machine.write("proc/sys/kernel/osrelease", "6.12.64\n");
            for queue in ["wq0.0", "wq0.1", "wq1.0"] {
                machine.write(&format!("probe/open_{queue}"), "95");
            }
        },
        complaints: &[
            "kernel_sva: wrong",
            "queue_bind of wq0.0: wrong",
            "queue_bind of wq0.1: wrong",
            "queue_bind of wq1.0: wrong",
        ],
        evidence: "6.12.64",
        remedy: "6.18.7",
        usable: false,
    });
    // A distributor's kernel of that number may have more than its number says: the queue that opens decides.
    check(&Case {
        damage: |machine| machine.write("proc/sys/kernel/osrelease", "6.12.64\n"),
        complaints: &[],
        evidence: "",
        remedy: "",
        usable: true,
    });
}

#[test]
fn options_the_kernel_was_built_without() {
    for (option, id) in [
        ("INTEL_IDXD_SVM", "config_intel_idxd_svm"),
        ("INTEL_IOMMU", "config_intel_iommu"),
        ("INTEL_IOMMU_SVM", "config_intel_iommu_svm"),
        ("IOMMU_SVA", "config_iommu_sva"),
    ] {
        let machine = Machine::right();
        machine
            .config(&CONFIG.replace(&format!("CONFIG_{option}=y"), &format!("# CONFIG_{option} is not set")));
        let (report, _) = machine.json(&["doctor"]);
        assert_eq!(complaints(&report), BTreeSet::from([format!("{id}: wrong")]));
        assert!(finding(&report, id)["evidence"][0]["place"] == "/proc/config.gz");
        assert!(finding(&report, id)["remedy"].as_str().unwrap().ends_with(&format!("CONFIG_{option}")));
    }
}

/// In three places; without any, what is loaded shows what was built.
#[test]
fn the_configuration_is_looked_for_in_several_places() {
    let machine = Machine::right();
    machine.remove("proc/config.gz");
    for place in ["boot/config-6.19.3-1-amd64", "lib/modules/6.19.3-1-amd64/config"] {
        machine.write(place, CONFIG);
        let (report, _) = machine.json(&["doctor"]);
        assert_eq!(finding(&report, "config_intel_idxd")["evidence"][0]["place"], format!("/{place}"));
        machine.remove(place);
    }
    let (report, _) = machine.json(&["doctor"]);
    let unknown =
        ["config_intel_idxd_svm", "config_intel_iommu", "config_intel_iommu_svm", "config_iommu_sva"];
    assert_eq!(complaints(&report), unknown.map(|id| format!("{id}: unknown")).into());
    assert_eq!(finding(&report, "config_intel_idxd")["evidence"][0]["place"], "/sys/bus/dsa/drivers/idxd");
}

#[test]
fn a_driver_that_is_not_loaded_or_told_not_to() {
    let machine = Machine::right();
    machine.remove("sys/module/idxd");
    machine.remove("sys/bus/dsa");
    for address in ["0000:6a:01.0", "0000:6a:02.0"] {
        machine.remove(&format!("sys/bus/pci/devices/{address}/driver"));
    }
    let (report, code) = machine.json(&["doctor"]);
    let expected =
        ["module_idxd: wrong", "module_idxd_sva: unknown", "driver_user: unknown", "device_driver: wrong"];
    assert_eq!(complaints(&report), expected.map(str::to_owned).into());
    assert_eq!((code, finding(&report, "module_idxd")["remedy"].as_str()), (1, Some("modprobe idxd")));
    check(&Case {
        damage: |machine| machine.write("sys/module/idxd/parameters/sva", "N\n"),
        complaints: &["module_idxd_sva: wrong"],
        evidence: "N",
        remedy: "sva=1",
        usable: true,
    });
    check(&Case {
        damage: |machine| machine.remove("sys/bus/dsa/drivers/user"),
        complaints: &["driver_user: wrong"],
        evidence: "dmaengine idxd",
        remedy: "CONFIG_INTEL_IDXD_SVM",
        usable: true,
    });
    check(&Case {
        damage: |machine| machine.remove("sys/bus/dsa/drivers/idxd"),
        complaints: &["module_idxd: wrong"],
        evidence: "/sys/bus/dsa/drivers/idxd",
        remedy: "dmesg",
        usable: true,
    });
}

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
fn an_iommu_that_is_off() {
    let off = |line: &str, remedy: &str| {
        let machine = Machine::right();
        machine.write("proc/cmdline", line);
        machine.remove("sys/class/iommu/dmar5");
        let (report, _) = machine.json(&["doctor"]);
        let on = finding(&report, "iommu_on");
        assert_eq!(on["verdict"], "wrong", "{line}");
        assert!(on["remedy"].as_str().unwrap().contains(remedy), "{line}: {}", on["remedy"]);
        for id in ["iommu_scalable_mode", "iommu_pasid", "iommu_prs", "iommu_five_levels"] {
            assert_eq!(finding(&report, id)["verdict"], "unknown", "{id}");
        }
    };
    off("ro quiet", "boot with intel_iommu=on,sm_on");
    off("ro intel_iommu=off", "without intel_iommu=off");
    off("ro iommu=off", "without iommu=off");
    off("ro intel_iommu=on,sm_on", "in the BIOS");
    check(&Case {
        damage: |machine| machine.remove("sys/firmware/acpi/tables/DMAR"),
        complaints: &["acpi_dmar: wrong"],
        evidence: "/sys/firmware/acpi/tables/DMAR",
        remedy: "VT-d on in the BIOS",
        usable: true,
    });
    check(&Case {
        damage: |machine| machine.remove("sys/firmware"),
        complaints: &["acpi_dmar: unknown"],
        evidence: "No such file",
        remedy: "container",
        usable: true,
    });
}

/// What decides is whether a device has PASIDs; without one, the command line, then what the kernel was built with.
#[test]
fn scalable_mode_is_asked_for_or_the_default() {
    let stands = |line: &str, config: &str| {
        let machine = Machine::right();
        for device in ["dsa0", "iax1"] {
            machine.write(&format!("sys/bus/dsa/devices/{device}/pasid_enabled"), "0\n");
        }
        machine.write("proc/cmdline", line);
        machine.config(config);
        let (report, _) = machine.json(&["doctor"]);
        finding(&report, "iommu_scalable_mode")["verdict"].as_str().unwrap().to_owned()
    };
    let default = format!("{CONFIG}CONFIG_INTEL_IOMMU_SCALABLE_MODE_DEFAULT_ON=y\n");
    assert_eq!(stands("intel_iommu=on,sm_on", CONFIG), "ok");
    assert_eq!(stands("intel_iommu=on intel_iommu=sm_on", CONFIG), "ok");
    assert_eq!(stands("intel_iommu=on", CONFIG), "wrong");
    assert_eq!(stands("intel_iommu=on", &default), "ok");
    assert_eq!(stands("intel_iommu=on,sm_off", &default), "wrong");
    assert_eq!(stands("not_intel_iommu=sm_on", CONFIG), "wrong");
}

/// Each bit of the registers by itself.
#[test]
fn an_iommu_without_what_sva_needs() {
    for (register, bit, id, remedy) in [
        ("ecap", 43, "iommu_scalable_mode", "scalable mode"),
        ("ecap", 40, "iommu_pasid", "PASIDs"),
        ("ecap", 47, "iommu_first_stage", "first-stage"),
        ("ecap", 2, "iommu_device_tlb", "ATS"),
        ("ecap", 29, "iommu_prs", "PRS on in the BIOS"),
        ("ecap", 48, "iommu_page_walk_snoop", "SMPWCS"),
        ("cap", 60, "iommu_five_levels", "no5lvl"),
        ("cap", 56, "iommu_large_pages", "pdpe1gb"),
    ] {
        let machine = Machine::right();
        let value = if register == "cap" { CAP } else { ECAP };
        machine.write(
            &format!("sys/class/iommu/dmar5/intel-iommu/{register}"),
            &format!("{:x}\n", value & !(1 << bit)),
        );
        let (report, _) = machine.json(&["doctor"]);
        assert_eq!(complaints(&report), BTreeSet::from([format!("{id}: wrong")]));
        let line = finding(&report, id);
        assert!(line["evidence"].to_string().contains(&format!("dmar5/intel-iommu/{register}")), "{line}");
        assert!(line["remedy"].as_str().unwrap().contains(remedy), "{line}");
    }
}

/// Only the unit in front of an accelerator counts.
#[test]
fn another_iommu_may_lack_what_it_likes() {
    let machine = Machine::right();
    machine.write("sys/class/iommu/dmar0/intel-iommu/cap", "0\n");
    machine.write("sys/class/iommu/dmar0/intel-iommu/ecap", "0\n");
    let (report, _) = machine.json(&["doctor"]);
    assert!(complaints(&report).is_empty(), "{:?}", complaints(&report));
}

#[test]
fn a_cpu_without_five_levels_asks_none_of_the_iommu() {
    let machine = Machine::right();
    machine.write("proc/cpuinfo", &machine.read("proc/cpuinfo").replace(" la57", ""));
    machine.write("sys/class/iommu/dmar5/intel-iommu/cap", &format!("{:x}\n", CAP & !(1 << 60)));
    let (report, _) = machine.json(&["doctor"]);
    assert_eq!(finding(&report, "iommu_five_levels")["verdict"], "not_needed");
    assert!(complaints(&report).is_empty());
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
fn what_a_container_or_a_limit_takes_away() {
    check(&Case {
        damage: |machine| machine.write("probe/io_uring_setup", "1"),
        complaints: &["io_uring: wrong"],
        evidence: "not permitted",
        remedy: "seccomp profile",
        usable: true,
    });
    for value in ["1", "2"] {
        let machine = Machine::right();
        machine.write("probe/io_uring_setup", "1");
        machine.write("proc/sys/kernel/io_uring_disabled", &format!("{value}\n"));
        let (report, _) = machine.json(&["doctor"]);
        assert!(finding(&report, "io_uring")["remedy"].as_str().unwrap().contains("io_uring_disabled=0"));
    }
    check(&Case {
        damage: |machine| machine.write("probe/io_uring_setup", "38"),
        complaints: &["io_uring: wrong"],
        evidence: "not implemented",
        remedy: "CONFIG_IO_URING",
        usable: true,
    });
    check(&Case {
        damage: |machine| {
            machine.write(
                "proc/self/status",
                &machine.read("proc/self/status").replace("Seccomp:\t0", "Seccomp:\t2"),
            );
        },
        complaints: &["seccomp: unknown"],
        evidence: "Seccomp 2",
        remedy: "seccomp=unconfined",
        usable: true,
    });
    check(&Case {
        damage: |machine| machine.write("probe/pagemap_scan", "25"),
        complaints: &["pagemap_scan: wrong"],
        evidence: "PAGEMAP_SCAN",
        remedy: "6.7",
        usable: true,
    });
    check(&Case {
        damage: |machine| {
            machine.write("sys/kernel/mm/transparent_hugepage/enabled", "always madvise [never]\n")
        },
        complaints: &["transparent_hugepage: wrong"],
        evidence: "[never]",
        remedy: "echo madvise",
        usable: true,
    });
}

/// The tightest of all levels counts, in both versions of cgroups.
#[test]
fn a_cgroup_with_too_little_memory() {
    check(&Case {
        damage: |machine| machine.write("sys/fs/cgroup/user.slice/memory.max", "134217728\n"),
        complaints: &["memory_cgroup: wrong"],
        evidence: "/sys/fs/cgroup/user.slice/memory.max",
        remedy: "256 MiB",
        usable: true,
    });
    check(&Case {
        damage: |machine| {
            machine.write("proc/self/cgroup", "5:cpu,cpuacct:/other\n4:memory:/job\n0::/\n");
            machine.write("sys/fs/cgroup/memory/job/memory.limit_in_bytes", "134217728\n");
            machine.write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
        },
        complaints: &["memory_cgroup: wrong"],
        evidence: "/sys/fs/cgroup/memory/job/memory.limit_in_bytes",
        remedy: "256 MiB",
        usable: true,
    });
}

#[test]
fn the_way_descriptors_go_depends_on_a_capability() {
    let machine = Machine::right();
    let verdict = |machine: &Machine| {
        let (report, _) = machine.json(&["doctor"]);
        let line = finding(&report, "cap_sys_rawio");
        (line["verdict"].as_str().unwrap().to_owned(), line["text"].as_str().unwrap().to_owned())
    };
    let (without, text) = verdict(&machine);
    assert!(without == "not_needed" && text.contains("write(2)"), "{without}: {text}");
    machine.status(nix::unistd::getuid().as_raw(), 1 << 17);
    let (with, text) = verdict(&machine);
    assert!(with == "ok" && text.contains("ENQCMD"), "{with}: {text}");
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
    let expected = ["qat_vfio: wrong", "qat_iommufd: wrong", "memlock: wrong"];
    assert_eq!(complaints(&report), expected.map(str::to_owned).into());

    machine.link(&format!("{part}/driver"), "../../../bus/pci/drivers/vfio-pci");
    machine.write("dev/iommu", "");
    machine.directory("dev/vfio/devices");
    let limits = machine.read("proc/self/limits").replace("8388608   ", "unlimited ");
    machine.write("proc/self/limits", &limits);
    let (report, _) = machine.json(&["doctor"]);
    assert!(complaints(&report).is_empty(), "{:?}", complaints(&report));
    assert!(finding(&report, "qat_vfs")["text"].as_str().unwrap().contains("does not drive"));
}

#[test]
fn a_machine_with_nothing_is_served_by_the_cpu() {
    let machine = Machine::empty();
    let (report, code) = machine.json(&["doctor"]);
    assert_eq!((code, report["accelerators"].as_u64()), (1, Some(0)));
    let text = String::from_utf8(machine.svala(&["doctor"]).output().unwrap().stdout).unwrap();
    assert!(
        text.contains("the CPU engine serves every operation") && text.contains("-> modprobe idxd"),
        "{text}"
    );
    let status = machine.svala(&["doctor", "--allow-software"]).output().unwrap().status;
    assert_eq!(status.code(), Some(0));
}

/// Software may serve where there is nothing to mend; a broken accelerator is to be mended.
#[test]
fn allowing_software_does_not_hide_a_broken_device() {
    let machine = Machine::right();
    machine.remove("dev");
    let status = machine.svala(&["doctor", "--allow-software"]).output().unwrap().status;
    assert_eq!(status.code(), Some(1));
}

/// What this machine is nobody knows; the doctor says something of all of it, and changes nothing.
#[test]
fn this_machine_is_examined() {
    let place = Place::new();
    let output = place.svala("auto").args(["doctor", "--json"]).output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(matches!(output.status.code(), Some(0 | 1)));
    let fields = ["id", "group", "subject", "title", "verdict", "required", "text", "evidence", "remedy"];
    for line in report["findings"].as_array().unwrap() {
        assert!(fields.iter().all(|field| line.get(field).is_some()), "{line}");
        let mends = matches!(line["verdict"].as_str(), Some("wrong" | "unknown"));
        assert_eq!(mends, line["remedy"].is_string(), "{line}");
    }
    assert_eq!(finding(&report, "kernel_version")["verdict"], "ok");
    assert_ne!(finding(&report, "io_uring")["verdict"], "unknown");
}

/// One line each, also where files say terrible things.
#[test]
fn hostile_files_do_not_break_lines_or_hang() {
    let machine = Machine::right();
    machine.write("proc/cmdline", "intel_iommu=on,\x1b[2J\x07evil\n");
    machine.write("sys/kernel/mm/transparent_hugepage/enabled", &"x\n".repeat(10_000));
    fs::write(machine.at("sys/class/iommu/dmar5/intel-iommu/cap"), [0xff; 100]).unwrap();
    fs::write(machine.at("proc/config.gz"), b"\x1f\x8bnot gzip").unwrap();
    machine.remove("proc/self/limits");
    mkfifo(&machine.at("proc/self/limits"), Mode::S_IRWXU).unwrap();
    machine.remove("probe/io_uring_setup");
    let _listener = UnixListener::bind(machine.at("probe/io_uring_setup")).unwrap();
    machine.remove("sys/module/idxd/parameters/sva");
    machine.link("sys/module/idxd/parameters/sva", "sva");
    let output = machine.svala(&["doctor"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(!text.contains(['\x1b', '\x07']), "{text}");
    assert!(text.contains("intel_iommu=on,?[2J?evil"), "{text}");
    let (report, _) = machine.json(&["doctor"]);
    let groups = 7;
    assert_eq!(text.lines().count(), report["findings"].as_array().unwrap().len() + groups + 1, "{text}");
    assert!(text.lines().all(|line| line.chars().count() < 2000));
}

#[test]
fn a_file_that_must_not_be_read_is_unknown() {
    let machine = Machine::right();
    // A directory stops everybody, permissions would not stop root.
    for path in [
        "proc/self/status",
        "sys/class/iommu/dmar5/intel-iommu/ecap",
        "proc/cpuinfo",
        "proc/sys/kernel/osrelease",
    ] {
        machine.remove(path);
        machine.directory(path);
    }
    let (report, _) = machine.json(&["doctor"]);
    for id in ["cap_sys_rawio", "seccomp", "iommu_pasid", "iommu_prs", "iommu_five_levels", "kernel_version"]
    {
        assert_eq!(finding(&report, id)["verdict"], "unknown", "{id}");
    }
}

#[test]
fn quiet_leaves_the_exit_status() {
    let output = Machine::right().svala(&["doctor", "--quiet"]).output().unwrap();
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(0), b"".as_slice()));
    let output = Machine::empty().svala(&["doctor", "--quiet"]).output().unwrap();
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(1), b"".as_slice()));
}

/// On a terminal in colours, which `script` (util-linux) pretends to be; else, and with NO_COLOR, without.
#[test]
fn colours_are_for_terminals_that_want_them() {
    let machine = Machine::right();
    let on_terminal = |variable: &str| {
        let root = machine.root().display();
        let line = format!("TERM=xterm {variable} {SVALA} doctor --root {root}");
        let mut script = assert_cmd::Command::new("script");
        let output = script.args(["-qec", &line, "/dev/null"]).env_remove("NO_COLOR").output();
        String::from_utf8_lossy(&output.expect("script, of util-linux").stdout).into_owned()
    };
    assert!(on_terminal("").contains("\x1b[32mok"));
    assert!(!on_terminal("NO_COLOR=1").contains('\x1b'));
    assert!(on_terminal("NO_COLOR=").contains('\x1b'));
    assert!(!on_terminal("TERM=dumb").contains('\x1b'));
    let output = machine.svala(&["doctor"]).env("TERM", "xterm").output().unwrap();
    assert!(!output.stdout.contains(&0x1b));
}
