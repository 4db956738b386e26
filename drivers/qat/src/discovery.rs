//! Which virtual functions a machine has, and what each lacks to be used.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use qat_spec::Generation;
use qat_spec::ring::RING_PAIRS_MAX;

use crate::error::Error;
use crate::pf::ring_pairs;
use crate::sys::VfioFunction;

/// Where to look. By default where the kernel has things; another root for tests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QatFunctions {
    root: PathBuf,
}

impl Default for QatFunctions {
    fn default() -> Self {
        Self::at("/")
    }
}

/// A virtual function of a QAT.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct QatFunction {
    /// Its PCI address, as `0000:6b:00.1`.
    pub address: String,
    /// Its PCI device number.
    pub device: u16,
    /// Its generation.
    pub generation: Generation,
    /// The driver that is bound.
    pub driver: Option<String>,
    /// Whether the IOMMU has it in a group.
    pub has_iommu: bool,
    /// Its vfio device node, if there is one.
    pub node: Option<PathBuf>,
    /// The node of its IOMMU group, if there is one.
    pub group: Option<PathBuf>,
    /// Its physical function's address.
    pub physical: Option<String>,
    /// Services the physical function is set up for, as `dc` or `sym;dc`.
    pub services: Option<String>,
    /// State of the physical function: `up` or `down`.
    pub state: Option<String>,
    /// The memory node it is at.
    pub numa_node: Option<u16>,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Discovery {
    /// The functions, by address.
    pub functions: Vec<QatFunction>,
}

impl QatFunctions {
    /// Looks below `root` instead of `/`: for its `sys` and `dev`.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The node of iommufd.
    pub fn iommu(&self) -> PathBuf {
        self.root.join("dev/iommu")
    }

    /// Looks for virtual functions. What cannot be read is left out of what is known of a function.
    pub fn discover(&self) -> Discovery {
        let entries = fs::read_dir(self.root.join("sys/bus/pci/devices"));
        let mut functions: Vec<_> =
            entries.into_iter().flatten().filter_map(|entry| self.function(&entry.ok()?.path())).collect();
        functions.sort_by(|a, b| a.address.cmp(&b.address));
        Discovery { functions }
    }

    fn function(&self, at: &Path) -> Option<QatFunction> {
        if number(&at.join("vendor"))? != 0x8086 {
            return None;
        }
        let device = u16::try_from(number(&at.join("device"))?).ok()?;
        let generation = Generation::of_vf(device)?;
        let physical = at.join("physfn");
        Some(QatFunction {
            address: at.file_name()?.to_str()?.to_owned(),
            device,
            generation,
            driver: link_name(&at.join("driver")),
            has_iommu: at.join("iommu_group").exists(),
            node: self.node(at),
            group: self.group(at),
            physical: link_name(&physical),
            services: word(&physical.join("qat/cfg_services")),
            state: word(&physical.join("qat/state")),
            numa_node: word(&at.join("numa_node")).and_then(|node| node.parse().ok()),
        })
    }

    fn node(&self, at: &Path) -> Option<PathBuf> {
        let mut nodes = fs::read_dir(at.join("vfio-dev")).ok()?.filter_map(|entry| {
            let name = entry.ok()?.file_name();
            Some(self.root.join("dev/vfio/devices").join(name))
        });
        nodes.next()
    }
}

impl QatFunctions {
    /// What each ring pair of a function does, as the driver of its physical function says. Opens the function for that, and
    /// closes it again.
    ///
    /// # Errors
    ///
    /// As [`VfioFunction::open`] and [`ring_pairs`].
    pub fn ring_pairs(&self, function: &QatFunction) -> Result<[&'static str; RING_PAIRS_MAX], Error> {
        ring_pairs(Arc::new(VfioFunction::open(function, &self.iommu())?))
    }

    /// The node of a group, which is there once all of its devices are vfio's.
    fn group(&self, at: &Path) -> Option<PathBuf> {
        let node = self.root.join("dev/vfio").join(link_name(&at.join("iommu_group"))?);
        node.exists().then_some(node)
    }
}

impl QatFunction {
    /// Whether its ring pairs compress, as far as the physical function says; none if it says nothing.
    pub fn compresses(&self) -> Option<bool> {
        Some(Self::does(self.services.as_deref()?, &["dc", "dcc"]))
    }

    /// The same for encryption.
    pub fn encrypts(&self) -> Option<bool> {
        Some(Self::does(self.services.as_deref()?, &["sym"]))
    }

    fn does(services: &str, names: &[&str]) -> bool {
        services.split([';', ',']).any(|service| names.contains(&service.trim()))
    }

    /// What is missing for this process to use it, and the remedy; none if nothing is.
    pub fn missing(&self) -> Option<String> {
        let address = &self.address;
        if !self.has_iommu {
            return Some("no IOMMU: turn VT-d on in the firmware, and boot with intel_iommu=on".into());
        }
        match self.driver.as_deref() {
            Some(driver) if driver.contains("vfio") => {}
            Some(driver) => {
                return Some(format!("bound to {driver}: driverctl set-override {address} vfio-pci"));
            }
            None => {
                return Some(format!(
                    "no driver: modprobe vfio-pci; driverctl set-override {address} vfio-pci"
                ));
            }
        }
        match &self.node {
            None if self.group.is_none() => Some(
                "no device node of vfio: a kernel with CONFIG_VFIO_DEVICE_CDEV or CONFIG_VFIO_GROUP".into(),
            ),
            Some(node) if !node.exists() && self.group.is_none() => {
                Some(format!("{}: not there", node.display()))
            }
            _ => match (&self.physical, &self.state, self.compresses().zip(self.encrypts())) {
                (Some(physical), Some(state), _) if state != "up" => {
                    Some(format!("its physical function is {state}: echo up > .../{physical}/qat/state"))
                }
                (Some(physical), _, Some((false, false))) => Some(format!(
                    "set up for {} and not for compression or encryption: write dc, or sym;dc, into .../{physical}/qat/cfg_services",
                    self.services.as_deref().unwrap_or_default()
                )),
                _ => None,
            },
        }
    }
}

/// The contents of an attribute, without the end of line.
fn word(path: &Path) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

/// A number, as the kernel writes those of PCI: with `0x`.
fn number(path: &Path) -> Option<u32> {
    u32::from_str_radix(word(path)?.trim_start_matches("0x"), 16).ok()
}

/// The name of what a link points to.
fn link_name(path: &Path) -> Option<String> {
    fs::read_link(path).ok()?.file_name()?.to_str().map(str::to_owned)
}
