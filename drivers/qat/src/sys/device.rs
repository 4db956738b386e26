//! A PCI device of this process, by vfio.
//!
//! It has an address space of its own ([`super::space`]) without any mapping: what is not mapped, the device does not reach.
//! Closing undoes all of it.
//!
//! UNSAFETY: ioctls, maps of registers.
#![expect(unsafe_code, reason = "ioctls and registers")]

use std::fs::File;
use std::io;
use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::mman::{MapFlags, ProtFlags, mmap};
use svala::Span;

use super::register::RegisterMap;
use super::space::{Space, ioctl, node, size};
use super::uapi::{
    IrqSet, RegionInfo, VFIO_DEVICE_GET_REGION_INFO, VFIO_DEVICE_SET_IRQS, VFIO_IRQ_SET_ACTION_TRIGGER,
    VFIO_IRQ_SET_DATA_EVENTFD, VFIO_IRQ_SET_DATA_NONE, VFIO_PCI_CONFIG_REGION_INDEX, VFIO_PCI_MSI_IRQ_INDEX,
    VFIO_REGION_INFO_FLAG_MMAP,
};
use crate::error::Error;

/// Memory and bus master, in the command register of the configuration space.
const COMMAND_MEMORY_MASTER: u16 = 0x6;

/// A PCI device that belongs to this process.
#[derive(Debug)]
pub struct VfioDevice {
    path: PathBuf,
    device: File,
    // After the device: it is given up before its address space is.
    space: Space,
}

impl VfioDevice {
    /// Opens a device node, as `/dev/vfio/devices/vfio0`, binds it to `iommu` (`/dev/iommu`), and gives it an address space
    /// with nothing in it.
    ///
    /// # Errors
    ///
    /// [`Error::Open`], [`Error::Ioctl`].
    pub fn open(path: &Path, iommu: &Path) -> Result<Self, Error> {
        let device = node(path)?;
        let space = Space::of_iommufd(path, &device, node(iommu)?)?;
        Ok(Self { path: path.to_owned(), device, space })
    }

    /// Opens the device at a PCI address, of the group with the node `group`, as `/dev/vfio/12`, in a container of its own
    /// (`/dev/vfio/vfio`): for kernels without device nodes or iommufd.
    ///
    /// # Errors
    ///
    /// [`Error::Open`], [`Error::Ioctl`].
    pub fn open_in_group(group: &Path, container: &Path, address: &str) -> Result<Self, Error> {
        let (space, device) = Space::of_container(group, node(container)?, address)?;
        Ok(Self { path: group.to_owned(), device, space })
    }

    /// I/O addresses that can be mapped.
    ///
    /// # Errors
    ///
    /// [`Error::Ioctl`].
    pub fn ranges(&self) -> Result<Vec<RangeInclusive<u64>>, Error> {
        self.space.ranges(&self.path)
    }

    /// Lets the device reach memory at the process's own addresses. Pins it.
    ///
    /// # Errors
    ///
    /// What the kernel says; `ENOMEM` beyond `RLIMIT_MEMLOCK`, `EEXIST` if some of it is mapped, `EINVAL` outside the
    /// [ranges](Self::ranges).
    ///
    /// # Safety
    ///
    /// The memory stays mapped until it is unmapped here or this is dropped; and where and while the device is told to use
    /// it, nobody else uses it in a way that conflicts.
    pub unsafe fn map(&self, span: Span) -> io::Result<()> {
        // SAFETY: the caller's promise.
        unsafe { self.space.map(&self.path, span) }.map_err(os)
    }

    /// Takes memory back that was mapped, as a whole.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn unmap(&self, span: Span) -> io::Result<()> {
        self.space.unmap(&self.path, span).map_err(os)
    }

    fn region(&self, index: u32) -> Result<RegionInfo, Error> {
        let mut info = RegionInfo { argsz: size::<RegionInfo>(), index, ..Default::default() };
        let name = "VFIO_DEVICE_GET_REGION_INFO";
        // SAFETY: the structure is what the ioctl takes; capabilities beyond it are not asked for.
        unsafe { ioctl(&self.path, &self.device, name, VFIO_DEVICE_GET_REGION_INFO, &mut info) }?;
        Ok(info)
    }

    /// Maps the registers of a region, of which at least `bytes_min` are needed.
    ///
    /// # Errors
    ///
    /// [`Error::Region`] for one that is too small or cannot be mapped.
    pub fn registers(&self, index: u32, bytes_min: u64) -> Result<RegisterMap, Error> {
        let info = self.region(index)?;
        let bad = |what| Error::Region { path: self.path.clone(), index, what };
        if info.size < bytes_min {
            return Err(bad("smaller than its registers"));
        }
        if info.flags & VFIO_REGION_INFO_FLAG_MMAP == 0 {
            return Err(bad("cannot be mapped"));
        }
        let len = usize::try_from(info.size).ok().and_then(NonZeroUsize::new).ok_or_else(|| bad("empty"))?;
        let offset = i64::try_from(info.offset).map_err(|_| bad("at an offset beyond files"))?;
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice, of registers nobody else has.
        let start = unsafe { mmap(None, len, protection, MapFlags::MAP_SHARED, &self.device, offset) };
        let start = start.map_err(|errno| Error::Os { what: "mmap of registers", source: errno.into() })?;
        // SAFETY: mapped just now, and nobody else's.
        Ok(unsafe { RegisterMap::new(start.cast(), len.get() as u64) })
    }

    /// Reads configuration space.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn read_config(&self, offset: u64, bytes: &mut [u8]) -> Result<(), Error> {
        let info = self.region(VFIO_PCI_CONFIG_REGION_INDEX)?;
        let read = self.device.read_exact_at(bytes, info.offset + offset);
        read.map_err(|source| Error::Os { what: "read of the configuration space", source })
    }

    /// Lets the device access memory, and be accessed.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn enable(&self) -> Result<(), Error> {
        const COMMAND: u64 = 4;
        let info = self.region(VFIO_PCI_CONFIG_REGION_INDEX)?;
        let mut bytes = [0; 2];
        self.read_config(COMMAND, &mut bytes)?;
        let command = u16::from_le_bytes(bytes) | COMMAND_MEMORY_MASTER;
        let written = self.device.write_all_at(&command.to_le_bytes(), info.offset + COMMAND);
        written.map_err(|source| Error::Os { what: "write of the configuration space", source })
    }

    /// Has the first message-signalled interrupt delivered to an eventfd.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn interrupt(&self) -> Result<EventFd, Error> {
        let eventfd = EventFd::from_flags(EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)
            .map_err(|errno| Error::Os { what: "eventfd", source: errno.into() })?;
        let mut set = IrqSet {
            argsz: size::<IrqSet>(),
            flags: VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
            index: VFIO_PCI_MSI_IRQ_INDEX,
            start: 0,
            count: 1,
            eventfd: eventfd.as_fd().as_raw_fd(),
        };
        // SAFETY: the structure is what the ioctl takes, with one eventfd for its data.
        unsafe { ioctl(&self.path, &self.device, "VFIO_DEVICE_SET_IRQS", VFIO_DEVICE_SET_IRQS, &mut set) }?;
        Ok(eventfd)
    }

    /// Has no interrupt delivered any more.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn no_interrupt(&self) -> Result<(), Error> {
        let mut set = IrqSet {
            argsz: size::<IrqSet>(),
            flags: VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER,
            index: VFIO_PCI_MSI_IRQ_INDEX,
            ..Default::default()
        };
        // SAFETY: the structure is what the ioctl takes, and has no data.
        unsafe { ioctl(&self.path, &self.device, "VFIO_DEVICE_SET_IRQS", VFIO_DEVICE_SET_IRQS, &mut set) }
    }

    /// The device node, to be passed on.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.device.as_fd()
    }
}

/// What the system said.
fn os(error: Error) -> io::Error {
    match error {
        Error::Ioctl { source, .. } => source,
        other => io::Error::other(other),
    }
}
