//! Device nodes: binding devices to vfio, who may open them, and how often.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use svala_qat::{Error, VfioDevice};

use super::edu::Edu;
use crate::Test;

pub(crate) const TESTS: &[Test] = &[
    ("vfio_bind", |_| bind()),
    ("vfio_permissions", |_| permissions()),
    ("vfio_needs_permission", |_| needs_permission()),
    ("vfio_node_is_one_process", |_| one_process()),
];

const IOMMU: &str = "/dev/iommu";
const CONTAINER: &str = "/dev/vfio/vfio";
const DEVICES: &str = "/sys/bus/pci/devices";

/// Vendor and device.
pub(super) type Id = (u16, u16);

/// QEMU's `edu`.
pub(super) const EDU: Id = (0x1234, 0x11e8);
/// QEMU's `iommu-testdev`.
pub(super) const TESTDEV: Id = (0x1b36, 0x0005);

fn number(path: &Path) -> Option<u16> {
    let text = fs::read_to_string(path).ok()?;
    u16::from_str_radix(text.trim().trim_start_matches("0x"), 16).ok()
}

/// The PCI device, by its directory in sysfs.
fn device(id: Id) -> Result<PathBuf> {
    let is_it =
        |at: &PathBuf| (number(&at.join("vendor")), number(&at.join("device"))) == (Some(id.0), Some(id.1));
    let found = fs::read_dir(DEVICES)?.filter_map(|entry| Some(entry.ok()?.path())).find(is_it);
    found.with_context(|| format!("no PCI device {:04x}:{:04x}", id.0, id.1))
}

/// Whether devices are opened by iommufd, and not by groups and containers.
pub(super) fn has_iommufd() -> bool {
    Path::new(IOMMU).exists()
}

/// Its device node of vfio.
pub(super) fn node(id: Id) -> Result<PathBuf> {
    let at = device(id)?.join("vfio-dev");
    let entry =
        fs::read_dir(&at).with_context(|| at.display().to_string())?.next().context("no node of vfio")??;
    Ok(Path::new("/dev/vfio/devices").join(entry.file_name()))
}

/// Opens it as the driver opens a function: by its node, or where the kernel has none by its group.
pub(super) fn open(id: Id) -> Result<VfioDevice> {
    if has_iommufd() {
        return Ok(VfioDevice::open(&node(id)?, Path::new(IOMMU))?);
    }
    Ok(VfioDevice::open_in_group(&group(id)?, Path::new(CONTAINER), &address(id)?)?)
}

/// The node of its group.
fn group(id: Id) -> Result<PathBuf> {
    let link = fs::read_link(device(id)?.join("iommu_group")).context("no IOMMU group")?;
    Ok(Path::new("/dev/vfio").join(link.file_name().context("a group without a number")?))
}

/// The nodes that a user needs.
fn nodes() -> Result<Vec<PathBuf>> {
    Ok(match has_iommufd() {
        true => {
            vec![node(EDU)?, node(TESTDEV)?, IOMMU.into(), "/dev/vfio".into(), "/dev/vfio/devices".into()]
        }
        false => vec![group(EDU)?, group(TESTDEV)?, CONTAINER.into(), "/dev/vfio".into()],
    })
}

/// Its PCI address, as the kernel's log has it.
pub(super) fn address(id: Id) -> Result<String> {
    Ok(device(id)?.file_name().context("a device without a name")?.to_string_lossy().into_owned())
}

/// Gives both devices to vfio-pci, as `driverctl` does.
fn bind() -> Result<()> {
    for id in [EDU, TESTDEV] {
        let at = device(id)?;
        let name = at.file_name().context("a device without a name")?.to_string_lossy().into_owned();
        fs::write(at.join("driver_override"), "vfio-pci")?;
        fs::write("/sys/bus/pci/drivers_probe", &name).context("drivers_probe")?;
        println!("{name} is {:04x}:{:04x}", id.0, id.1);
    }
    let nodes = nodes()?;
    for node in &nodes {
        ensure!(node.exists(), "{} is not there", node.display());
    }
    println!("by {}", if has_iommufd() { "iommufd" } else { "groups and containers" });
    Ok(())
}

/// Lets everybody open them.
fn permissions() -> Result<()> {
    for path in nodes()? {
        let mode = if path.is_dir() { 0o755 } else { 0o666 };
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))
            .with_context(|| path.display().to_string())?;
    }
    Ok(())
}

/// Without the right to open a node the error names it.
fn needs_permission() -> Result<()> {
    let error = open(EDU).err().context("opened without permission")?;
    match error.downcast_ref::<Error>() {
        Some(Error::Open { path, source }) if source.kind() == ErrorKind::PermissionDenied => {
            println!("{}: {source}", path.display());
            Ok(())
        }
        _ => Err(error.context("not refused for want of permission")),
    }
}

/// A second one is refused while the first lives, and served when it is gone.
fn one_process() -> Result<()> {
    let first = Edu::open()?;
    let error = open(EDU).err().context("the second was not refused")?;
    match error.downcast_ref::<Error>() {
        Some(Error::Ioctl { ioctl: "VFIO_DEVICE_BIND_IOMMUFD", .. }) => {}
        Some(Error::Open { source, .. }) if source.kind() == ErrorKind::ResourceBusy => {}
        _ => return Err(error.context("the second was refused, for another reason")),
    }
    println!("the second: {error}");
    drop(first);
    for _ in 0..10 {
        Edu::open()?.check()?;
    }
    println!("opened ten times, one after the other");
    Ok(())
}
