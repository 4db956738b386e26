//! What there is of hardware, and what there is not: looked up, never assumed.

use serde::Serialize;

use crate::doctor::{Kind, Machine, has_flag};

/// One thing that was looked for.
#[derive(Debug, Serialize)]
pub(crate) struct Finding {
    pub(crate) name: &'static str,
    pub(crate) found: bool,
    /// Where it is, or where it would be.
    pub(crate) detail: String,
}

/// Looks for everything svala knows of.
pub(crate) fn look(machine: &Machine) -> Vec<Finding> {
    vec![
        pci(machine, "DSA device", &[Kind::Dsa], ""),
        pci(machine, "IAA device", &[Kind::Iaa], ""),
        pci(machine, "QAT device", &[Kind::Qat, Kind::QatVf], ""),
        entries(machine, "idxd work queues", &["/dev/dsa", "/dev/iax"]),
        entries(machine, "idxd driver", &["/sys/bus/dsa/devices"]),
        entries(machine, "IOMMU", &["/sys/class/iommu"]),
        flag(machine, "ENQCMD", "enqcmd", "submission to shared work queues"),
        flag(machine, "MOVDIR64B", "movdir64b", "submission to dedicated work queues"),
        flag(machine, "UMWAIT", "waitpkg", "waiting for a completion record"),
    ]
}

fn pci(machine: &Machine, name: &'static str, kinds: &[Kind], note: &str) -> Finding {
    let functions = machine.functions().iter().filter(|function| kinds.contains(&function.kind));
    let found: Vec<_> = functions.map(|function| function.address.as_str()).collect();
    if found.is_empty() {
        return Finding { name, found: false, detail: "no such PCI function in /sys/bus/pci/devices".into() };
    }
    Finding { name, found: true, detail: format!("{}{note}", found.join(" ")) }
}

/// What is in any of some directories.
fn entries(machine: &Machine, name: &'static str, directories: &[&str]) -> Finding {
    let mut found = Vec::new();
    for directory in directories {
        let names = machine.names(directory).unwrap_or_default();
        found.extend(names.into_iter().map(|name| format!("{directory}/{name}")));
    }
    if found.is_empty() {
        return Finding { name, found: false, detail: format!("nothing in {}", directories.join(" or ")) };
    }
    Finding { name, found: true, detail: found.join(" ") }
}

fn flag(machine: &Machine, name: &'static str, word: &str, purpose: &str) -> Finding {
    let found = has_flag(machine, word) == Some(true);
    let detail = if found { purpose.to_owned() } else { format!("CPU without it: {purpose}") };
    Finding { name, found, detail }
}
