//! The kernel: its version, what it was built with, what is loaded.

use svala_idxd::DeviceType;

use super::check::{Check, Group};
use super::finding::{Evidence, Finding};
use super::machine::Machine;
use super::pci::Kind;
use super::probe::Answer;

pub(crate) const CHECKS: &[Check] = &[
    Check { id: "kernel_version", group: Group::Kernel, title: "version", required: true, look: version },
    Check { id: "kernel_sva", group: Group::Kernel, title: "SVA on x86", required: true, look: sva },
    Check {
        id: "config_intel_idxd",
        group: Group::Kernel,
        title: "INTEL_IDXD",
        required: true,
        look: intel_idxd,
    },
    Check {
        id: "config_intel_idxd_svm",
        group: Group::Kernel,
        title: "INTEL_IDXD_SVM",
        required: true,
        look: idxd_svm,
    },
    Check {
        id: "config_intel_iommu",
        group: Group::Kernel,
        title: "INTEL_IOMMU",
        required: true,
        look: intel_iommu,
    },
    Check {
        id: "config_intel_iommu_svm",
        group: Group::Kernel,
        title: "INTEL_IOMMU_SVM",
        required: true,
        look: iommu_svm,
    },
    Check {
        id: "config_iommu_sva",
        group: Group::Kernel,
        title: "IOMMU_SVA",
        required: true,
        look: iommu_sva,
    },
    Check { id: "config_io_uring", group: Group::Kernel, title: "IO_URING", required: false, look: io_uring },
    Check { id: "module_idxd", group: Group::Kernel, title: "idxd driver", required: true, look: idxd },
    Check { id: "module_idxd_sva", group: Group::Kernel, title: "idxd.sva", required: true, look: idxd_sva },
    Check {
        id: "driver_user",
        group: Group::Kernel,
        title: "idxd user driver",
        required: true,
        look: user_driver,
    },
    Check {
        id: "module_iaa_crypto",
        group: Group::Kernel,
        title: "iaa_crypto",
        required: false,
        look: iaa_crypto,
    },
];

const RELEASE: &str = "/proc/sys/kernel/osrelease";

/// Version, patch level, sublevel.
pub(crate) type Release = (u32, u32, u32);

/// The first with PASIDs and `ENQCMD` for processes.
const FIRST: Release = (5, 18, 0);

/// Stable kernels that refuse SVA on x86 (CVE-2025-71089): the first of a series that does, and the first that does not
/// again. Mainline never did.
const WITHOUT_SVA: &[(Release, Option<Release>)] = &[
    ((5, 15, 200), None),
    ((6, 1, 163), None),
    ((6, 6, 120), None),
    ((6, 12, 64), None),
    ((6, 18, 4), Some((6, 18, 7))),
];

/// `6.18.44-something` as numbers.
pub(crate) fn release(text: &str) -> Option<Release> {
    let digits = text.split(|c: char| !c.is_ascii_digit() && c != '.').next()?;
    let mut numbers = digits.split('.').map(|number| number.parse().ok());
    Some((numbers.next()??, numbers.next()??, numbers.next().flatten().unwrap_or(0)))
}

/// Whether a kernel with this number refuses SVA, if it is a stable kernel as it is published.
fn is_without_sva(running: Release) -> bool {
    WITHOUT_SVA.iter().any(|&(from, until)| {
        (running.0, running.1) == (from.0, from.1)
            && running >= from
            && until.is_none_or(|until| running < until)
    })
}

fn version(machine: &Machine) -> Finding {
    let fact = machine.read(RELEASE);
    let finding = match fact.text().and_then(release) {
        Some(running) if running < FIRST => Finding::wrong(
            "too old: PASIDs and ENQCMD for processes came with Linux 5.18",
            "Linux 5.18 or later; 6.18.7, 6.19 or later is best",
        ),
        Some(_) => Finding::ok("Linux 5.18 or later"),
        None => Finding::unknown("the version is not to be read", format!("read {RELEASE} of the machine")),
    };
    finding.saw([fact.evidence()])
}

fn sva(machine: &Machine) -> Finding {
    let fact = machine.read(RELEASE);
    let remedy = "Linux 6.18.7, 6.19 or later, which have the whole of the fix for CVE-2025-71089";
    if let Some(queue) = machine.opened_queue() {
        return Finding::ok("not refused: a queue was opened")
            .saw([Answer::Worked.evidence(format!("open({queue})"))]);
    }
    let finding = match fact.text().and_then(release) {
        Some(running) if is_without_sva(running) => {
            Finding::wrong("stable kernels of this number refuse to bind a process to a device", remedy)
        }
        Some(_) => Finding::ok("not among the published kernels that refuse it"),
        None => Finding::unknown("the version is not to be read", remedy),
    };
    finding.saw([fact.evidence()])
}

/// What an option is for.
struct Wanted<'a> {
    /// Any of them will do: options change their names.
    options: &'a [&'a str],
    purpose: &'a str,
    /// A place that shows that it is there, whatever the configuration says.
    proof: Option<&'a str>,
}

fn option(machine: &Machine, wanted: &Wanted<'_>) -> Finding {
    let config = machine.kernel_config();
    let Wanted { options, purpose, proof } = *wanted;
    let first = options.first().copied().unwrap_or_default();
    if let Some(set) = options.iter().find(|option| config.has(option) == Some(true)) {
        return Finding::ok(purpose).saw([config.evidence(set)]);
    }
    if let Some(proof) = proof.filter(|proof| machine.exists(proof)) {
        return Finding::ok(purpose).saw([machine.presence(proof)]);
    }
    let remedy = format!("a kernel with CONFIG_{first}");
    match config.has(first) {
        Some(_) => Finding::wrong(format!("not built in: {purpose}"), remedy).saw([config.evidence(first)]),
        None => Finding::unknown(purpose, format!("find out whether the kernel has CONFIG_{first}"))
            .saw([config.evidence(first)]),
    }
}

fn intel_idxd(machine: &Machine) -> Finding {
    let purpose = "the driver of DSA and IAA";
    option(machine, &Wanted { options: &["INTEL_IDXD"], purpose, proof: Some("/sys/bus/dsa/drivers/idxd") })
}

fn idxd_svm(machine: &Machine) -> Finding {
    let purpose = "queues for processes, with their own addresses";
    option(machine, &Wanted { options: &["INTEL_IDXD_SVM"], purpose, proof: None })
}

fn intel_iommu(machine: &Machine) -> Finding {
    option(machine, &Wanted { options: &["INTEL_IOMMU"], purpose: "the driver of VT-d", proof: None })
}

fn iommu_svm(machine: &Machine) -> Finding {
    let purpose = "VT-d with the page tables of processes, and ENQCMD";
    option(machine, &Wanted { options: &["INTEL_IOMMU_SVM"], purpose, proof: None })
}

fn iommu_sva(machine: &Machine) -> Finding {
    let options = &["IOMMU_SVA", "IOMMU_SVA_LIB"];
    option(machine, &Wanted { options, purpose: "processes bound to devices", proof: None })
}

fn io_uring(machine: &Machine) -> Finding {
    let purpose = "page faults are resolved off the caller's threads; without it, by two threads of svala's";
    option(
        machine,
        &Wanted { options: &["IO_URING"], purpose, proof: Some("/proc/sys/kernel/io_uring_disabled") },
    )
}

fn idxd(machine: &Machine) -> Finding {
    const MODULE: &str = "/sys/module/idxd";
    const DRIVER: &str = "/sys/bus/dsa/drivers/idxd";
    let evidence = [machine.presence(MODULE), machine.presence(DRIVER)];
    let finding = if machine.exists(DRIVER) {
        Finding::ok("loaded")
    } else if machine.exists(MODULE) {
        Finding::wrong("loaded, but it has no driver on its bus", "look for idxd in the kernel's log (dmesg)")
    } else {
        Finding::wrong("not loaded", "modprobe idxd")
    };
    finding.saw(evidence)
}

fn idxd_sva(machine: &Machine) -> Finding {
    let fact = machine.read("/sys/module/idxd/parameters/sva");
    let finding = match fact.text() {
        Some("Y" | "1") => Finding::ok("the driver may bind processes"),
        Some(_) => Finding::wrong(
            "SVA is switched off in the driver",
            "load it without sva=0: modprobe -r idxd; modprobe idxd sva=1",
        ),
        None if fact.is_missing() => Finding::unknown("the driver is not loaded", "modprobe idxd"),
        None => Finding::unknown("the parameter is not to be read", "run it as root"),
    };
    finding.saw([fact.evidence()])
}

fn user_driver(machine: &Machine) -> Finding {
    const DRIVERS: &str = "/sys/bus/dsa/drivers";
    let evidence = machine.listing(DRIVERS);
    let finding = match machine.names(DRIVERS) {
        Ok(names) if names.iter().any(|name| name == "user") => {
            Finding::ok("queues can be given to processes")
        }
        Ok(_) => Finding::wrong(
            "the bus has no driver that gives queues to processes",
            "a kernel with CONFIG_INTEL_IDXD_SVM, Linux 5.15 or later",
        ),
        Err(_) => Finding::unknown("there is no such bus", "modprobe idxd"),
    };
    finding.saw([evidence])
}

/// The kernel's own use of IAA: it takes every queue of every IAA when it is loaded.
fn iaa_crypto(machine: &Machine) -> Finding {
    const MODULE: &str = "/sys/module/iaa_crypto";
    if !machine.functions().iter().any(|function| function.kind == Kind::Iaa) {
        return Finding::not_needed("no IAA in the machine").saw([machine.presence(MODULE)]);
    }
    let taken: Vec<_> = machine
        .work_queues()
        .filter(|(device, queue)| {
            device.device_type == DeviceType::Iax && queue.driver.as_deref() == Some("crypto")
        })
        .map(|(_, queue)| queue.name.as_str())
        .collect();
    let finding = if taken.is_empty() {
        Finding::ok("no queue of an IAA is taken by the kernel")
    } else {
        Finding::wrong(
            format!("the kernel's crypto has {}", taken.join(" ")),
            "modprobe -r iaa_crypto, then disable the device and configure a queue for processes",
        )
    };
    let queues =
        taken.iter().map(|queue| machine.link_evidence(&format!("/sys/bus/dsa/devices/{queue}/driver")));
    finding.saw([machine.presence(MODULE)]).saw(queues.collect::<Vec<Evidence>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_is_its_numbers() {
        assert_eq!(release("6.18.44-fc-v669"), Some((6, 18, 44)));
        assert_eq!(release("6.19-rc3"), Some((6, 19, 0)));
        assert_eq!(release("7.2.13+deb14-amd64"), Some((7, 2, 13)));
        assert_eq!((release("linux"), release(""), release("6")), (None, None, None));
    }

    /// The bounds as the advisory and the stable trees give them.
    #[test]
    fn stable_kernels_between_the_bounds_refuse_sva() {
        for without in [(5, 15, 200), (6, 1, 163), (6, 6, 140), (6, 12, 64), (6, 18, 4), (6, 18, 6)] {
            assert!(is_without_sva(without), "{without:?}");
        }
        for with in [
            (5, 15, 199),
            (6, 1, 162),
            (6, 6, 119),
            (6, 12, 63),
            (6, 18, 3),
            (6, 18, 7),
            (6, 19, 0),
            (7, 2, 13),
        ] {
            assert!(!is_without_sva(with), "{with:?}");
        }
    }
}
