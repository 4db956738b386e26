//! The devices: on the PCI bus, and as the idxd driver shows them.

use svala_idxd::{Device, DeviceState};

use super::check::{Check, DeviceCheck, Group};
use super::finding::{Evidence, Finding};
use super::machine::Machine;
use super::pci::{self, Extended, Function, Standing};

pub(crate) const MACHINE_CHECKS: &[Check] = &[
    Check {
        id: "accelerators",
        group: Group::Device,
        title: "DSA and IAA",
        required: true,
        look: accelerators,
    },
    Check { id: "device_driver", group: Group::Device, title: "driver", required: true, look: driver },
];

pub(crate) const CHECKS: &[DeviceCheck] = &[
    DeviceCheck { id: "device_attributes", title: "attributes", required: false, look: attributes },
    DeviceCheck { id: "device_ats", title: "ATS", required: true, look: ats },
    DeviceCheck { id: "device_pasid", title: "PASID", required: true, look: pasid },
    DeviceCheck { id: "device_pri", title: "PRI", required: true, look: pri },
    DeviceCheck { id: "device_pasid_enabled", title: "pasid_enabled", required: true, look: pasid_enabled },
    DeviceCheck { id: "device_state", title: "state", required: true, look: state },
    DeviceCheck { id: "device_queues", title: "queue for processes", required: true, look: queues },
];

const PCI: &str = "/sys/bus/pci/devices";

fn idxd_functions(machine: &Machine) -> impl Iterator<Item = &Function> {
    machine.functions().iter().filter(|function| function.is_idxd())
}

fn accelerators(machine: &Machine) -> Finding {
    let found: Vec<_> = idxd_functions(machine).collect();
    if !found.is_empty() {
        return Finding::ok(format!("{} on the PCI bus", found.len()))
            .saw(found.iter().map(|one| one.evidence()));
    }
    match machine.names(PCI) {
        Ok(names) => Finding::wrong(
            "none on the PCI bus: the CPU engine does all work",
            "a Xeon of the fourth generation (Sapphire Rapids) or later, with DSA and IAA switched on in the BIOS",
        )
        .saw([Evidence::new(PCI, format!("{} functions, none of them a DSA or IAA", names.len()))]),
        Err(error) => Finding::unknown("the PCI bus is not to be seen", "run it outside of the container")
            .saw([Evidence::refused(PCI, &error)]),
    }
}

fn driver(machine: &Machine) -> Finding {
    if idxd_functions(machine).next().is_none() {
        return Finding::not_needed("there is no device");
    }
    let others: Vec<_> =
        idxd_functions(machine).filter(|one| one.driver.as_deref() != Some("idxd")).collect();
    let Some(first) = others.first() else {
        return Finding::ok("idxd has all of them").saw([machine.listing("/sys/bus/dsa/devices")]);
    };
    let remedy = match &first.driver {
        None => format!("modprobe idxd, or echo {} > /sys/bus/pci/drivers/idxd/bind", first.address),
        Some(driver) => {
            format!("unbind it from {driver}, then echo {} > /sys/bus/pci/drivers/idxd/bind", first.address)
        }
    };
    Finding::wrong(format!("{} without idxd", others.len()), remedy)
        .saw(others.iter().map(|one| one.evidence()))
}

/// Where an attribute of `device` is, on the machine.
fn attribute(device: &Device, name: &str) -> String {
    format!("/sys/bus/dsa/devices/{}/{name}", device.name)
}

fn attributes(_: &Machine, device: &Device) -> Finding {
    let problems: Vec<_> = device.all_problems().collect();
    if problems.is_empty() {
        return Finding::ok("as the kernel's documents have them")
            .saw([Evidence::new(attribute(device, ""), "read")]);
    }
    Finding::wrong(
        format!("{} make no sense", problems.len()),
        "compare them with Documentation/ABI/stable/sysfs-driver-dma-idxd",
    )
    .saw(problems.iter().take(4).map(|problem| {
        Evidence::new(format!("/sys/bus/dsa/devices/{}", problem.at), problem.kind.to_string())
    }))
}

/// A capability of the PCI function. `off` is what it means that it is there and switched off.
fn capability(
    machine: &Machine,
    device: &Device,
    wanted: Extended,
    purpose: &str,
    off: fn(&str) -> Finding,
) -> Finding {
    let function = device
        .pci_address
        .as_ref()
        .and_then(|address| idxd_functions(machine).find(|function| function.address == *address));
    let Some(function) = function else {
        return Finding::unknown(
            format!("the PCI function is not to be seen: {purpose}"),
            "run it outside of the container",
        );
    };
    let place = format!("{}/config", function.directory());
    let name = format!("{wanted:?}").to_uppercase();
    match pci::standing(machine, function, wanted) {
        Ok(Standing::On) => Finding::ok(purpose).saw([Evidence::new(place, format!("{name} on"))]),
        Ok(Standing::Off) => off(purpose).saw([Evidence::new(place, format!("{name} off"))]),
        Ok(Standing::Absent) => Finding::wrong(
            format!("the device is without: {purpose}"),
            format!("switch {name} on in the BIOS; in a guest, a device that has it"),
        )
        .saw([Evidence::new(place, format!("no capability {:#04x} ({name})", wanted as u16))]),
        Err(error) => Finding::unknown(purpose, "run it as root").saw([Evidence::refused(place, &error)]),
    }
}

fn off_is_wrong(purpose: &str) -> Finding {
    Finding::wrong(
        format!("there and switched off: {purpose}"),
        "see the IOMMU above: its driver switches it on at boot",
    )
}

fn off_is_fine(purpose: &str) -> Finding {
    Finding::ok(format!("there, switched on with the first process: {purpose}"))
}

fn ats(machine: &Machine, device: &Device) -> Finding {
    capability(machine, device, Extended::Ats, "asks the IOMMU for translations", off_is_wrong)
}

fn pasid(machine: &Machine, device: &Device) -> Finding {
    capability(machine, device, Extended::Pasid, "says whose address it is", off_is_wrong)
}

fn pri(machine: &Machine, device: &Device) -> Finding {
    capability(machine, device, Extended::Pri, "asks for pages that are absent", off_is_fine)
}

fn pasid_enabled(machine: &Machine, device: &Device) -> Finding {
    let fact = machine.read(&attribute(device, "pasid_enabled"));
    let finding = match device.pasid_enabled {
        Some(true) => Finding::ok("processes can use it with their own addresses"),
        Some(false) => Finding::wrong(
            "the driver could not switch SVA on",
            "mend what is wrong with the IOMMU, then load idxd again; the kernel's log (dmesg) has its reason",
        ),
        None => Finding::unknown("the attribute is not to be read", "Linux 5.11 or later"),
    };
    finding.saw([fact.evidence()])
}

fn state(machine: &Machine, device: &Device) -> Finding {
    let fact = machine.read(&attribute(device, "state"));
    let finding = match &device.state {
        Some(DeviceState::Enabled) => Finding::ok("enabled"),
        Some(DeviceState::Disabled) => Finding::wrong(
            "not enabled",
            format!("svala configure load FILE --enable, or accel-config enable-device {}", device.name),
        ),
        Some(DeviceState::Halted) => Finding::wrong(
            "stopped by an error",
            format!(
                "accel-config disable-device {0}, then enable-device; the reason is in {1}",
                device.name,
                attribute(device, "errors")
            ),
        ),
        Some(other) => Finding::unknown(
            format!("in the state {other:?}, which svala does not know", other = other.as_str()),
            "a newer svala",
        ),
        None => Finding::unknown("the attribute is not to be read", "run it as root"),
    };
    finding.saw([fact.evidence()])
}

/// Whether any of its queues is for processes and runs.
fn queues(_: &Machine, device: &Device) -> Finding {
    let running = |queue: &&svala_idxd::WorkQueue| queue.is_user() && queue.is_enabled();
    let names: Vec<_> = device.work_queues.iter().filter(running).map(|queue| queue.name.as_str()).collect();
    let evidence = device.work_queues.iter().take(8).map(|queue| {
        let word = |word: Option<&str>| word.unwrap_or("?").to_owned();
        let state = word(queue.state.as_ref().map(|state| state.as_str()));
        let kind = word(queue.queue_type.as_ref().map(|kind| kind.as_str()));
        Evidence::new(attribute(device, &queue.name), format!("state {state}, type {kind}"))
    });
    if names.is_empty() {
        let remedy = "svala configure load FILE --enable (svala configure --help has an example of FILE)";
        return Finding::wrong("no queue is enabled for processes", remedy).saw(evidence);
    }
    Finding::ok(names.join(" "))
        .saw(evidence.filter(|one| names.iter().any(|name| one.place.ends_with(&format!("/{name}")))))
}
