//! The IOMMU, and what the firmware says of it.

use super::check::{Check, Group};
use super::cpu;
use super::finding::{Evidence, Finding};
use super::machine::Machine;

pub(crate) const CHECKS: &[Check] = &[
    Check { id: "acpi_dmar", group: Group::Iommu, title: "VT-d in the firmware", required: true, look: dmar },
    Check { id: "iommu_on", group: Group::Iommu, title: "intel_iommu=on", required: true, look: on },
    Check {
        id: "iommu_scalable_mode",
        group: Group::Iommu,
        title: "scalable mode",
        required: true,
        look: scalable_mode,
    },
    Check { id: "iommu_pasid", group: Group::Iommu, title: "PASID", required: true, look: pasid },
    Check {
        id: "iommu_first_stage",
        group: Group::Iommu,
        title: "first-stage tables",
        required: true,
        look: first_stage,
    },
    Check {
        id: "iommu_device_tlb",
        group: Group::Iommu,
        title: "device TLB (ATS)",
        required: true,
        look: device_tlb,
    },
    Check { id: "iommu_prs", group: Group::Iommu, title: "page requests (PRS)", required: true, look: prs },
    Check {
        id: "iommu_page_walk_snoop",
        group: Group::Iommu,
        title: "page-walk snoop",
        required: false,
        look: snoop,
    },
    Check { id: "iommu_five_levels", group: Group::Iommu, title: "LA57", required: true, look: five_levels },
    Check {
        id: "iommu_large_pages",
        group: Group::Iommu,
        title: "1 GiB pages",
        required: true,
        look: large_pages,
    },
];

const CMDLINE: &str = "/proc/cmdline";
const CLASS: &str = "/sys/class/iommu";
const TABLE: &str = "/sys/firmware/acpi/tables/DMAR";

/// A register of a unit; VT-d specification, 11.4.2 and 11.4.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Register {
    Capability,
    Extended,
}

impl Register {
    const fn file(self) -> &'static str {
        match self {
            Self::Capability => "cap",
            Self::Extended => "ecap",
        }
    }
}

/// A bit of one.
#[derive(Clone, Copy, Debug)]
struct Bit {
    register: Register,
    bit: u32,
    /// The specification's word.
    name: &'static str,
}

const FL1GP: Bit = Bit { register: Register::Capability, bit: 56, name: "FS1GP" };
const FL5LP: Bit = Bit { register: Register::Capability, bit: 60, name: "FS5LP" };
const DT: Bit = Bit { register: Register::Extended, bit: 2, name: "DT" };
const PRS: Bit = Bit { register: Register::Extended, bit: 29, name: "PRS" };
const PASID: Bit = Bit { register: Register::Extended, bit: 40, name: "PASID" };
const SMTS: Bit = Bit { register: Register::Extended, bit: 43, name: "SMTS" };
const FLTS: Bit = Bit { register: Register::Extended, bit: 47, name: "FSTS" };
const SMPWCS: Bit = Bit { register: Register::Extended, bit: 48, name: "SMPWCS" };

/// The values of `intel_iommu=` on the kernel's command line, in order.
fn words(machine: &Machine) -> Vec<String> {
    let line = machine.read(CMDLINE).value.unwrap_or_default();
    let values = line.split_ascii_whitespace().filter_map(|word| word.strip_prefix("intel_iommu="));
    values.flat_map(|value| value.split(',')).map(str::to_owned).collect()
}

fn has_word(machine: &Machine, word: &str) -> bool {
    words(machine).iter().any(|given| given == word)
}

fn words_evidence(machine: &Machine) -> Evidence {
    let given = words(machine);
    let fact = machine.read(CMDLINE);
    fact.showing(if given.is_empty() {
        "no intel_iommu=".into()
    } else {
        format!("intel_iommu={}", given.join(","))
    })
}

/// VT-d units: those in front of a DSA or IAA where that is known, else all.
fn units(machine: &Machine) -> Vec<String> {
    let all = machine.names(CLASS).unwrap_or_default();
    let all: Vec<_> = all.into_iter().filter(|name| name.starts_with("dmar")).collect();
    let used: Vec<_> = machine
        .functions()
        .iter()
        .filter(|function| function.is_idxd())
        .filter_map(|function| function.iommu.clone())
        .collect();
    let ours: Vec<_> = all.iter().filter(|name| used.contains(name)).cloned().collect();
    if ours.is_empty() { all } else { ours }
}

/// How a bit stands over all units.
#[derive(Debug, Default)]
struct Survey {
    with: usize,
    without: usize,
    unread: usize,
    evidence: Vec<Evidence>,
}

fn survey(machine: &Machine, wanted: Bit) -> Survey {
    let mut survey = Survey::default();
    for unit in units(machine) {
        let fact = machine.read(&format!("{CLASS}/{unit}/intel-iommu/{}", wanted.register.file()));
        let value = fact.text().and_then(|text| u64::from_str_radix(text.trim_start_matches("0x"), 16).ok());
        let set = value.map(|value| value >> wanted.bit & 1);
        *match set {
            Some(1) => &mut survey.with,
            Some(_) => &mut survey.without,
            None => &mut survey.unread,
        } += 1;
        survey.evidence.push(match set {
            Some(set) => fact.showing(format!("{} = {set} ({})", wanted.name, fact.text().unwrap_or(""))),
            None => fact.evidence(),
        });
    }
    // One line for each unit is too much where all are alike.
    if survey.evidence.len() > 2 && survey.unread == 0 && (survey.with == 0 || survey.without == 0) {
        survey.evidence.truncate(1);
    }
    survey
}

/// A bit that every unit needs.
fn needed(machine: &Machine, wanted: Bit, purpose: &str, remedy: &str) -> Finding {
    let survey = survey(machine, wanted);
    let all = survey.with + survey.without + survey.unread;
    let finding = match survey {
        _ if all == 0 => Finding::unknown(format!("no VT-d to ask: {purpose}"), "switch the IOMMU on first"),
        Survey { without: 0, unread: 0, .. } => Finding::ok(purpose),
        Survey { without: 0, unread, .. } => {
            Finding::unknown(format!("{unread} of {all} units do not tell: {purpose}"), "run it as root")
        }
        Survey { without, .. } => {
            Finding::wrong(format!("{without} of {all} units are without: {purpose}"), remedy)
        }
    };
    let listing = (all == 0).then(|| machine.listing(CLASS));
    finding.saw(survey.evidence).saw(listing)
}

fn dmar(machine: &Machine) -> Finding {
    let evidence = machine.presence(TABLE);
    let finding = if machine.exists(TABLE) {
        Finding::ok("the firmware describes VT-d")
    } else if machine.names("/sys/firmware/acpi/tables").is_ok() {
        Finding::wrong(
            "the firmware does not describe VT-d",
            "switch VT-d on in the BIOS; in a guest, give it an IOMMU",
        )
    } else {
        Finding::unknown(
            "the firmware's tables are not to be seen",
            "run it outside of the container, as root",
        )
    };
    finding.saw([evidence])
}

fn on(machine: &Machine) -> Finding {
    let evidence = [machine.listing(CLASS), words_evidence(machine)];
    let line = machine.read(CMDLINE).value.unwrap_or_default();
    let off = line.split_ascii_whitespace().find(|word| ["iommu=off", "intel_iommu=off"].contains(word));
    let finding = if !units(machine).is_empty() {
        Finding::ok("VT-d is on")
    } else if let Some(off) = off {
        Finding::wrong(
            "VT-d is switched off at boot",
            format!("boot without {off} and with intel_iommu=on,sm_on"),
        )
    } else if has_word(machine, "on") {
        Finding::wrong(
            "asked for, but the kernel has no VT-d",
            "switch VT-d on in the BIOS; a kernel with CONFIG_INTEL_IOMMU",
        )
    } else {
        Finding::wrong("VT-d is off", "boot with intel_iommu=on,sm_on")
    };
    finding.saw(evidence)
}

fn scalable_mode(machine: &Machine) -> Finding {
    const BY_DEFAULT: &str = "INTEL_IOMMU_SCALABLE_MODE_DEFAULT_ON";
    let remedy = "boot with intel_iommu=on,sm_on";
    let able = needed(
        machine,
        SMTS,
        "the IOMMU is able to",
        "a newer machine, or newer firmware; in a guest, an IOMMU in scalable mode",
    );
    if able.remedy.is_some() {
        return able.saw([words_evidence(machine)]);
    }
    let config = machine.kernel_config();
    let enabled = machine.devices().iter().find(|device| device.pasid_enabled == Some(true));
    // The kernel goes by the last word. It is asked before the driver is: that of Linux 7 says that PASIDs are enabled
    // without looking whether the IOMMU has them on.
    let words = words(machine);
    let word = words.iter().rev().find(|word| ["sm_on", "sm_off"].contains(&word.as_str()));
    let finding = if word.is_some_and(|word| word == "sm_off") {
        Finding::wrong("switched off at boot", remedy)
    } else if word.is_some() {
        Finding::ok("on")
    } else if let (Some(device), None) = (enabled, config.has(BY_DEFAULT)) {
        Finding::ok("on")
            .saw([Evidence::new(format!("/sys/bus/dsa/devices/{}/pasid_enabled", device.name), "1")])
    } else {
        match config.has(BY_DEFAULT) {
            Some(true) => Finding::ok("on").saw([config.evidence(BY_DEFAULT)]),
            Some(false) => Finding::wrong("off", remedy).saw([config.evidence(BY_DEFAULT)]),
            None => Finding::unknown("not asked for at boot", remedy).saw([config.evidence(BY_DEFAULT)]),
        }
    };
    finding.saw([words_evidence(machine)]).saw(able.evidence)
}

fn pasid(machine: &Machine) -> Finding {
    needed(
        machine,
        PASID,
        "addresses of processes on the bus",
        "a newer machine; in a guest, an IOMMU with PASIDs",
    )
}

fn first_stage(machine: &Machine) -> Finding {
    needed(
        machine,
        FLTS,
        "the IOMMU walks the CPU's page tables",
        "a newer machine; in a guest, an IOMMU with first-stage translation",
    )
}

fn device_tlb(machine: &Machine) -> Finding {
    needed(
        machine,
        DT,
        "devices ask for translations",
        "switch ATS on in the BIOS; in a guest, an IOMMU with device TLBs",
    )
}

fn prs(machine: &Machine) -> Finding {
    needed(
        machine,
        PRS,
        "devices ask for pages; Linux binds no process without",
        "switch PRS on in the BIOS, beside VT-d",
    )
}

fn snoop(machine: &Machine) -> Finding {
    needed(
        machine,
        SMPWCS,
        "coherent page walks; Linux 7 binds no process without",
        "a newer machine; in a guest, an IOMMU with SMPWCS",
    )
}

/// A mode of the CPU's page tables that the IOMMU must know as well.
fn as_the_cpu(machine: &Machine, flag: &str, wanted: Bit, purpose: &str, remedy: &str) -> Finding {
    let evidence = cpu::flag_evidence(machine, flag);
    match cpu::has_flag(machine, flag) {
        Some(false) => Finding::not_needed(format!("the CPU does not use them: {purpose}")).saw([evidence]),
        Some(true) => needed(machine, wanted, purpose, remedy).saw([evidence]),
        None => Finding::unknown(purpose, "read /proc/cpuinfo of the machine").saw([evidence]),
    }
}

fn five_levels(machine: &Machine) -> Finding {
    as_the_cpu(
        machine,
        "la57",
        FL5LP,
        "page tables of five levels, in the CPU and the IOMMU",
        "boot with no5lvl",
    )
}

fn large_pages(machine: &Machine) -> Finding {
    as_the_cpu(
        machine,
        "pdpe1gb",
        FL1GP,
        "pages of 1 GiB, in the CPU and the IOMMU",
        "boot with clearcpuid=pdpe1gb; in a guest, a CPU model without them",
    )
}
