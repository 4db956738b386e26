//! What the CPU has.

use super::check::{Check, Group};
use super::finding::{Evidence, Finding};
use super::machine::Machine;

pub(crate) const CHECKS: &[Check] = &[
    Check { id: "cpu_movdir64b", group: Group::Cpu, title: "MOVDIR64B", required: true, look: movdir64b },
    Check { id: "cpu_enqcmd", group: Group::Cpu, title: "ENQCMD", required: true, look: enqcmd },
    Check { id: "cpu_waitpkg", group: Group::Cpu, title: "UMWAIT, TPAUSE", required: false, look: waitpkg },
];

const CPUINFO: &str = "/proc/cpuinfo";

/// A feature: the kernel's word, and its bit in ECX of CPUID leaf 7.
struct Feature {
    word: &'static str,
    bit: u32,
    /// What it is for.
    purpose: &'static str,
}

/// How a feature stands: with the CPU, with the kernel, and what was seen.
struct Standing {
    cpu: Option<bool>,
    kernel: Option<bool>,
    evidence: Vec<Evidence>,
}

/// Whether the kernel lists `word` among the flags of the first CPU; none if there is no list.
pub(crate) fn has_flag(machine: &Machine, word: &str) -> Option<bool> {
    machine.cpu_flags().map(|flags| flags.split_ascii_whitespace().any(|flag| flag == word))
}

/// What the list says about `word`.
pub(crate) fn flag_evidence(machine: &Machine, word: &str) -> Evidence {
    match has_flag(machine, word) {
        Some(true) => Evidence::new(CPUINFO, format!("flags with {word}")),
        Some(false) => Evidence::new(CPUINFO, format!("flags without {word}")),
        None => machine.read(CPUINFO).showing("no flags"),
    }
}

/// The flags of the first CPU.
pub(crate) fn read_flags(machine: &Machine) -> Option<String> {
    let cpus = machine.read(CPUINFO).value.ok()?;
    let line = cpus.lines().find(|line| line.starts_with("flags"))?;
    Some(line.split_once(':')?.1.to_owned())
}

fn look(machine: &Machine, feature: &Feature) -> Standing {
    let mut evidence = vec![flag_evidence(machine, feature.word)];
    let ecx = machine.cpuid_7_ecx();
    evidence.extend(ecx.map(|ecx| {
        Evidence::new("CPUID 7 ECX", format!("bit {} is {}", feature.bit, ecx >> feature.bit & 1))
    }));
    let cpu = ecx.map(|ecx| ecx >> feature.bit & 1 == 1);
    Standing { cpu, kernel: has_flag(machine, feature.word), evidence }
}

fn judge(machine: &Machine, feature: &Feature) -> Finding {
    let Standing { cpu, kernel, evidence } = look(machine, feature);
    let Feature { word, purpose, .. } = feature;
    let finding = match (cpu, kernel) {
        (_, Some(true)) | (Some(true), None) => Finding::ok(format!("there: {purpose}")),
        (Some(true), Some(false)) => Finding::wrong(
            format!("the CPU has it, the kernel has it switched off: {purpose}"),
            format!(
                "a kernel with INTEL_IOMMU_SVM that is not started with clearcpuid={word}; see the IOMMU below"
            ),
        ),
        (Some(false), _) | (None, Some(false)) => Finding::wrong(
            format!("the CPU is without it: {purpose}"),
            "a Xeon of the fourth generation (Sapphire Rapids) or later; in a guest, a CPU model that passes it on",
        ),
        (None, None) => Finding::unknown(purpose.to_owned(), "read /proc/cpuinfo of the machine"),
    };
    finding.saw(evidence)
}

fn movdir64b(machine: &Machine) -> Finding {
    let purpose = "submission to dedicated queues; the idxd driver does not load without it";
    judge(machine, &Feature { word: "movdir64b", bit: 28, purpose })
}

fn enqcmd(machine: &Machine) -> Finding {
    let purpose = "submission to shared queues, by the kernel as well (write)";
    let finding = judge(machine, &Feature { word: "enqcmd", bit: 29, purpose });
    let mut queues = machine.user_queues().peekable();
    if finding.remedy.is_some() && queues.peek().is_some() && queues.all(|(_, queue)| queue.is_dedicated()) {
        let text = format!("{}; all queues here are dedicated", finding.text);
        return Finding::not_needed(text).saw(finding.evidence);
    }
    finding
}

fn waitpkg(machine: &Machine) -> Finding {
    let purpose = "sleeping until a completion record is written; without it svala spins, yields and naps";
    judge(machine, &Feature { word: "waitpkg", bit: 5, purpose })
}
