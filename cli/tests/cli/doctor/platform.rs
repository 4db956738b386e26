//! CPU, kernel, IOMMU and firmware.

use std::collections::BTreeSet;

use super::{Case, check, complaints, finding};
use crate::machine::{CAP, CONFIG, ECAP, Machine};

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

/// What decides is the command line, then what the kernel was built with.
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
    assert_eq!(stands("intel_iommu=on,sm_on intel_iommu=sm_off", CONFIG), "wrong", "the last word counts");
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

/// As a guest showed: the driver of Linux 7.2 says so on an IOMMU whose scalable mode is off.
#[test]
fn a_driver_that_says_pasids_are_enabled_does_not_hide_scalable_mode_that_is_off() {
    let machine = Machine::right();
    machine.write("proc/cmdline", "ro intel_iommu=on,sm_off\n");
    let (report, _) = machine.json(&["doctor"]);
    assert_eq!(finding(&report, "iommu_scalable_mode")["verdict"], "wrong");
}
