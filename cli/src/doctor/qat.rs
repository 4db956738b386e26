//! QAT: virtual functions for a process, by vfio.

use std::io;

use svala_engine::QatFunctions;

use super::check::{Check, Group};
use super::finding::{Evidence, Finding};
use super::machine::Machine;
use super::pci::{Function, Kind};

/// Functions that are opened to be asked.
const FUNCTIONS_ASKED_MAX: usize = 4;

pub(crate) const CHECKS: &[Check] = &[
    Check {
        id: "qat_vfs",
        group: Group::Qat,
        title: "virtual functions",
        required: false,
        look: virtual_functions,
    },
    Check { id: "qat_vfio", group: Group::Qat, title: "vfio-pci", required: false, look: vfio },
    Check { id: "qat_iommufd", group: Group::Qat, title: "iommufd", required: false, look: iommufd },
    Check { id: "qat_services", group: Group::Qat, title: "services", required: false, look: services },
];

fn of_kind(machine: &Machine, kind: Kind) -> Vec<&Function> {
    machine.functions().iter().filter(|function| function.kind == kind).collect()
}

fn virtual_functions(machine: &Machine) -> Finding {
    let (whole, parts) = (of_kind(machine, Kind::Qat), of_kind(machine, Kind::QatVf));
    if !parts.is_empty() {
        let text = format!("{} of them, for --device qat; never run on hardware", parts.len());
        return Finding::ok(text).saw(parts.iter().take(4).map(|one| one.evidence()));
    }
    let Some(first) = whole.first() else {
        return Finding::not_needed("no QAT of the fourth generation or later");
    };
    let file = format!("{}/sriov_numvfs", first.directory());
    Finding::wrong("there is a QAT and it has none", format!("echo 16 > {file}"))
        .saw([first.evidence(), machine.read(&file).evidence()])
}

fn vfio(machine: &Machine) -> Finding {
    let parts = of_kind(machine, Kind::QatVf);
    let bound = |one: &&&Function| one.driver.as_deref().is_some_and(|driver| driver.contains("vfio"));
    let Some(other) = parts.iter().find(|one| !bound(one)) else {
        return match parts.first() {
            Some(first) => Finding::ok("bound").saw([first.evidence()]),
            None => Finding::not_needed("there is no virtual function of a QAT"),
        };
    };
    Finding::wrong(
        "not bound",
        format!("modprobe vfio-pci; driverctl set-override {} vfio-pci", other.address),
    )
    .saw([other.evidence()])
}

fn iommufd(machine: &Machine) -> Finding {
    const NODES: [&str; 2] = ["/dev/iommu", "/dev/vfio/devices"];
    const CONTAINERS: &str = "/dev/vfio/vfio";
    if of_kind(machine, Kind::QatVf).is_empty() {
        return Finding::not_needed("there is no virtual function of a QAT");
    }
    let finding = if NODES.iter().all(|node| machine.exists(node)) {
        Finding::ok("there")
    } else if machine.exists(CONTAINERS) {
        return Finding::ok("not there; groups and containers of vfio serve")
            .saw([machine.presence(CONTAINERS)]);
    } else {
        Finding::wrong(
            "not there",
            "a kernel with CONFIG_IOMMUFD and CONFIG_VFIO_DEVICE_CDEV (Linux 6.6); modprobe iommufd",
        )
    };
    finding.saw(NODES.map(|node| machine.presence(node)))
}

/// Ring pairs do what their physical function is set up for.
fn services(machine: &Machine) -> Finding {
    let parts = of_kind(machine, Kind::QatVf);
    if parts.is_empty() {
        return Finding::not_needed("there is no virtual function of a QAT");
    }
    let files = |part: &&Function| {
        ["state", "cfg_services"].map(|name| format!("{}/physfn/qat/{name}", part.directory()))
    };
    for part in &parts {
        let [state, services] = files(part).map(|file| machine.read(&file));
        if let Some(found) = state.text().map(str::trim).filter(|found| *found != "up") {
            let remedy = format!("echo up > {}/physfn/qat/state", part.directory());
            return Finding::wrong(format!("the physical function is {found}"), remedy)
                .saw([state.evidence()]);
        }
        let found = services.text().map(str::trim);
        let does =
            |found: &str, names: &[&str]| found.split([';', ',']).any(|one| names.contains(&one.trim()));
        match found {
            Some(found) if does(found, &["dc", "dcc"]) => {}
            Some(found) if does(found, &["sym"]) => {
                let text = format!("set up for {found}: AES-GCM, and no compression (dc)");
                return Finding::ok(text).saw([services.evidence()]).saw(asked(machine));
            }
            Some(found) => {
                let directory = format!("{}/physfn/qat", part.directory());
                let remedy = format!(
                    "echo down > {directory}/state; echo dc > {directory}/cfg_services; echo up > {directory}/state"
                );
                let text = format!("set up for {found}, and not for compression");
                return Finding::wrong(text, remedy).saw([services.evidence()]);
            }
            None => {
                let asked = asked(machine);
                if asked.iter().any(|one| one.value.is_some()) {
                    return Finding::ok("as its functions say").saw(asked);
                }
                return Finding::unknown(
                    "the physical function does not say",
                    "the function's driver says at opening what its ring pairs do",
                )
                .saw([services.evidence()])
                .saw(asked);
            }
        }
    }
    let first = parts.first().map(|part| files(part).map(|file| machine.read(&file).evidence()));
    Finding::ok("compression").saw(first.into_iter().flatten()).saw(asked(machine))
}

/// What functions that lack nothing say of each of their ring pairs. Asked only here, not of a captured tree: each is opened
/// and closed again.
fn asked(machine: &Machine) -> Vec<Evidence> {
    if !machine.is_this() {
        return Vec::new();
    }
    let functions = QatFunctions::default();
    let found = functions.discover().functions;
    let ready = found.iter().filter(|function| function.missing().is_none()).take(FUNCTIONS_ASKED_MAX);
    ready.map(|function| said(&function.address, functions.ring_pairs(function))).collect()
}

fn said<E: std::error::Error + Send + Sync + 'static>(
    address: &str,
    pairs: Result<[&'static str; 4], E>,
) -> Evidence {
    let place = format!("ring pairs of {address}");
    match pairs {
        Ok(pairs) => Evidence::new(place, pairs.join(" ")),
        Err(error) => Evidence::refused(place, &io::Error::other(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ring_pairs_do_is_evidence_and_so_is_why_nobody_says() {
        let said_all = said::<io::Error>("0000:6b:00.1", Ok(["dc", "sym", "dc", "sym"]));
        assert_eq!(
            (said_all.place.as_str(), said_all.value.as_deref()),
            ("ring pairs of 0000:6b:00.1", Some("dc sym dc sym"))
        );
        let refused = said("0000:6b:00.1", Err(io::Error::other("in use by another process")));
        assert_eq!((refused.value, refused.error.as_deref()), (None, Some("in use by another process")));
    }
}
