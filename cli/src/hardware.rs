//! What there is of hardware, and what there is not: looked up, never assumed.

use std::fs;
use std::path::Path;

use serde::Serialize;

/// Vendor of all of them.
const INTEL: &str = "0x8086";
/// PCI device numbers; Linux `drivers/dma/idxd/registers.h`.
const DSA: &[&str] = &["0x0b25", "0x11fb", "0x1212"];
const IAA: &[&str] = &["0x0cfe", "0x1216", "0xb02d", "0xfd2d"];
/// QAT of the fourth generation and later, functions and virtual functions; Linux
/// `drivers/crypto/intel/qat/qat_common/adf_accel_devices.h`.
const QAT: &[&str] =
    &["0x4940", "0x4941", "0x4942", "0x4943", "0x4944", "0x4945", "0x4946", "0x4947", "0x4948", "0x4949"];

/// One thing that was looked for.
#[derive(Debug, Serialize)]
pub(crate) struct Finding {
    pub(crate) name: &'static str,
    pub(crate) found: bool,
    /// Where it is, or where it would be.
    pub(crate) detail: String,
}

/// Looks for everything svala knows of.
pub(crate) fn look() -> Vec<Finding> {
    let flags = cpu_flags();
    vec![
        pci("DSA device", DSA),
        pci("IAA device", IAA),
        pci("QAT device", QAT),
        entries("idxd work queues", "/dev/dsa", "/dev/iax"),
        entries("idxd driver", "/sys/bus/dsa/devices", "/sys/bus/dsa/devices"),
        entries("IOMMU", "/sys/class/iommu", "/sys/class/iommu"),
        flag(&flags, "ENQCMD", "enqcmd", "submission to shared work queues"),
        flag(&flags, "MOVDIR64B", "movdir64b", "submission to dedicated work queues"),
        flag(&flags, "UMWAIT", "waitpkg", "waiting for a completion record"),
    ]
}

fn pci(name: &'static str, numbers: &[&str]) -> Finding {
    const DEVICES: &str = "/sys/bus/pci/devices";
    let read = |path: &Path, file: &str| fs::read_to_string(path.join(file)).unwrap_or_default();
    let mut found: Vec<String> = fs::read_dir(DEVICES)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| read(&entry.path(), "vendor").trim() == INTEL)
        .filter(|entry| numbers.contains(&read(&entry.path(), "device").trim()))
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    found.sort();
    if found.is_empty() {
        return Finding { name, found: false, detail: format!("no such PCI function in {DEVICES}") };
    }
    Finding { name, found: true, detail: format!("{}; not driven by this version", found.join(" ")) }
}

/// What is in either of two directories.
fn entries(name: &'static str, first: &str, second: &str) -> Finding {
    let mut found = Vec::new();
    for directory in if first == second { vec![first] } else { vec![first, second] } {
        let names = fs::read_dir(directory).into_iter().flatten().flatten();
        found.extend(names.map(|entry| entry.path().display().to_string()));
    }
    found.sort();
    if found.is_empty() {
        let places = if first == second { first.to_owned() } else { format!("{first} or {second}") };
        return Finding { name, found: false, detail: format!("nothing in {places}") };
    }
    Finding { name, found: true, detail: found.join(" ") }
}

fn flag(flags: &str, name: &'static str, word: &str, purpose: &str) -> Finding {
    let found = flags.split_ascii_whitespace().any(|flag| flag == word);
    let detail = if found { purpose.to_owned() } else { format!("CPU without it: {purpose}") };
    Finding { name, found, detail }
}

/// The flags of the first CPU.
fn cpu_flags() -> String {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = cpus.lines().find(|line| line.starts_with("flags"));
    line.and_then(|line| line.split_once(':')).map(|(_, flags)| flags.to_owned()).unwrap_or_default()
}
