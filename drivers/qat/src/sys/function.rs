//! A virtual function of a QAT, by vfio. Never run on hardware.
//!
//! UNSAFETY: passes on promises about memory.
#![expect(unsafe_code, reason = "mapping memory for a device is a promise about it")]

use std::io;
use std::ops::RangeInclusive;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use nix::sys::eventfd::EventFd;
use qat_spec::Generation;
use qat_spec::ring::{BANK_BYTES, RING_PAIRS_MAX};
use svala::Span;
use svala::backend::Kind;

use super::device::VfioDevice;
use super::register::RegisterMap;
use crate::discovery::QatFunction;
use crate::error::Error;
use crate::function::{Region, VirtualFunction};

/// Regions of the two sets of registers.
const RINGS_REGION: u32 = 0;
const MISC_REGION: u32 = 2;
/// Bytes of the second that are used.
const MISC_BYTES: u64 = 0x1010;
const VENDOR: u16 = 0x8086;

/// A virtual function that belongs to this process. One process at a time can have it.
#[derive(Debug)]
pub struct VfioFunction {
    // The maps go before the device.
    rings: RegisterMap,
    misc: RegisterMap,
    interrupt: EventFd,
    device: VfioDevice,
    aperture: Vec<RangeInclusive<u64>>,
    name: String,
    generation: Generation,
    numa_node: Option<u16>,
}

impl VfioFunction {
    /// Opens a function that discovery found: by its node, `/dev/vfio/devices/vfio*`, and `iommu`; without either by the node of
    /// its group, in a container.
    ///
    /// # Errors
    ///
    /// [`Error::Function`] for one that is not ready, with the remedy; otherwise what the system refuses.
    pub fn open(function: &QatFunction, iommu: &Path) -> Result<Self, Error> {
        let device = match (&function.node, &function.group) {
            (Some(node), group) if iommu.exists() || group.is_none() => VfioDevice::open(node, iommu)?,
            (_, Some(group)) => {
                let container = group.with_file_name("vfio");
                VfioDevice::open_in_group(group, &container, &function.address)?
            }
            _ => {
                let what = function.missing().unwrap_or_else(|| "no device node of vfio".into());
                return Err(Error::Function { address: function.address.clone(), what });
            }
        };
        let mut ids = [0; 4];
        device.read_config(0, &mut ids)?;
        let [vendor, id] = [[ids[0], ids[1]], [ids[2], ids[3]]].map(u16::from_le_bytes);
        let generation = (vendor == VENDOR).then(|| Generation::of_vf(id)).flatten().ok_or_else(|| {
            let what = format!("{vendor:04x}:{id:04x} is no virtual function of a QAT");
            Error::Function { address: function.address.clone(), what }
        })?;
        device.enable()?;
        Ok(Self {
            rings: device.registers(RINGS_REGION, RING_PAIRS_MAX as u64 * BANK_BYTES)?,
            misc: device.registers(MISC_REGION, MISC_BYTES)?,
            interrupt: device.interrupt()?,
            aperture: device.ranges()?,
            device,
            name: function.address.clone(),
            generation,
            numa_node: function.numa_node,
        })
    }

    const fn registers(&self, region: Region) -> &RegisterMap {
        match region {
            Region::Rings => &self.rings,
            Region::Misc => &self.misc,
        }
    }
}

impl VirtualFunction for VfioFunction {
    fn name(&self) -> &str {
        &self.name
    }

    fn generation(&self) -> Generation {
        self.generation
    }

    fn kind(&self) -> Kind {
        Kind::Hardware
    }

    fn numa_node(&self) -> Option<u16> {
        self.numa_node
    }

    #[inline]
    fn read32(&self, region: Region, offset: u64) -> u32 {
        self.registers(region).read32(offset)
    }

    #[inline]
    fn write32(&self, region: Region, offset: u64, value: u32) {
        self.registers(region).write32(offset, value);
    }

    unsafe fn map(&self, span: Span) -> io::Result<()> {
        // SAFETY: the caller's promise, passed on.
        unsafe { self.device.map(span) }
    }

    fn unmap(&self, span: Span) -> io::Result<()> {
        self.device.unmap(span)
    }

    fn aperture(&self) -> Vec<RangeInclusive<u64>> {
        self.aperture.clone()
    }

    fn interrupt(&self) -> BorrowedFd<'_> {
        self.interrupt.as_fd()
    }
}
