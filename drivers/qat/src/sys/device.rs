//! A PCI device of this process, by its vfio device node and an address space of iommufd.
//!
//! Opening binds the device to an iommufd of its own and attaches it to an address space without any mapping: what is not
//! mapped, the device does not reach. Closing the node undoes all of it.
//!
//! UNSAFETY: ioctls, maps of registers, volatile accesses to them.
#![expect(unsafe_code, reason = "ioctls and registers")]

use std::fs::{File, OpenOptions};
use std::io;
use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::ptr::NonNull;
use std::sync::atomic::{Ordering, fence};

use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};
use svala::Span;

use super::uapi::{
    AttachIommufdPt, BindIommufd, IOMMU_IOAS_ALLOC, IOMMU_IOAS_IOVA_RANGES, IOMMU_IOAS_MAP,
    IOMMU_IOAS_MAP_FIXED_IOVA, IOMMU_IOAS_MAP_READABLE, IOMMU_IOAS_MAP_WRITEABLE, IOMMU_IOAS_UNMAP,
    IoasAlloc, IoasIovaRanges, IoasMap, IoasUnmap, IovaRange, IrqSet, RegionInfo,
    VFIO_DEVICE_ATTACH_IOMMUFD_PT, VFIO_DEVICE_BIND_IOMMUFD, VFIO_DEVICE_GET_REGION_INFO,
    VFIO_DEVICE_SET_IRQS, VFIO_IRQ_SET_ACTION_TRIGGER, VFIO_IRQ_SET_DATA_EVENTFD, VFIO_IRQ_SET_DATA_NONE,
    VFIO_PCI_CONFIG_REGION_INDEX, VFIO_PCI_MSI_IRQ_INDEX, VFIO_REGION_INFO_FLAG_MMAP,
};
use crate::error::Error;

/// Most ranges of addresses that are asked for.
const RANGES_MAX: usize = 64;
/// Memory and bus master, in the command register of the configuration space.
const COMMAND_MEMORY_MASTER: u16 = 0x6;

/// A PCI device that belongs to this process.
#[derive(Debug)]
pub struct VfioDevice {
    path: PathBuf,
    device: File,
    iommu: File,
    ioas: u32,
}

impl VfioDevice {
    /// Opens a device node, as `/dev/vfio/devices/vfio0`, binds it to `iommu` (`/dev/iommu`), and gives it an address space
    /// with nothing in it.
    ///
    /// # Errors
    ///
    /// [`Error::Open`], [`Error::Ioctl`].
    pub fn open(path: &Path, iommu: &Path) -> Result<Self, Error> {
        let node = |path: &Path| {
            let opened = OpenOptions::new().read(true).write(true).open(path);
            opened.map_err(|source| Error::Open { path: path.to_owned(), source })
        };
        let (device, iommu) = (node(path)?, node(iommu)?);
        let mut this = Self { path: path.to_owned(), device, iommu, ioas: 0 };
        let mut bind = BindIommufd {
            argsz: size::<BindIommufd>(),
            iommufd: this.iommu.as_raw_fd(),
            ..Default::default()
        };
        // SAFETY: the structure is what the ioctl takes; it holds no pointers.
        unsafe { this.ioctl(&this.device, "VFIO_DEVICE_BIND_IOMMUFD", VFIO_DEVICE_BIND_IOMMUFD, &mut bind) }?;
        let mut space = IoasAlloc { size: size::<IoasAlloc>(), ..Default::default() };
        // SAFETY: likewise.
        unsafe { this.ioctl(&this.iommu, "IOMMU_IOAS_ALLOC", IOMMU_IOAS_ALLOC, &mut space) }?;
        this.ioas = space.out_ioas_id;
        let mut attach =
            AttachIommufdPt { argsz: size::<AttachIommufdPt>(), pt_id: this.ioas, ..Default::default() };
        let name = "VFIO_DEVICE_ATTACH_IOMMUFD_PT";
        // SAFETY: likewise.
        unsafe { this.ioctl(&this.device, name, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &mut attach) }?;
        Ok(this)
    }

    /// # Safety
    ///
    /// `argument` is what the ioctl takes, and what pointers in it point to stays during the call.
    unsafe fn ioctl<T>(
        &self,
        file: &File,
        ioctl: &'static str,
        number: libc::c_ulong,
        argument: &mut T,
    ) -> Result<(), Error> {
        // SAFETY: the caller's promise.
        let result = unsafe { libc::ioctl(file.as_raw_fd(), number, std::ptr::from_mut(argument)) };
        if result < 0 {
            return Err(Error::Ioctl { path: self.path.clone(), ioctl, source: io::Error::last_os_error() });
        }
        Ok(())
    }

    /// I/O addresses that can be mapped.
    ///
    /// # Errors
    ///
    /// [`Error::Ioctl`].
    pub fn ranges(&self) -> Result<Vec<RangeInclusive<u64>>, Error> {
        let mut ranges = [IovaRange::default(); RANGES_MAX];
        let mut query = IoasIovaRanges {
            size: size::<IoasIovaRanges>(),
            ioas_id: self.ioas,
            num_iovas: u32::try_from(RANGES_MAX).unwrap_or(0),
            allowed_iovas: ranges.as_mut_ptr().expose_provenance() as u64,
            ..Default::default()
        };
        // SAFETY: `ranges` has room for as many as is said, and stays.
        unsafe { self.ioctl(&self.iommu, "IOMMU_IOAS_IOVA_RANGES", IOMMU_IOAS_IOVA_RANGES, &mut query) }?;
        let count = (query.num_iovas as usize).min(RANGES_MAX);
        Ok(ranges[..count].iter().map(|range| range.start..=range.last).collect())
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
        let addr = span.addr.get();
        let mut map = IoasMap {
            size: size::<IoasMap>(),
            flags: IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_WRITEABLE | IOMMU_IOAS_MAP_READABLE,
            ioas_id: self.ioas,
            user_va: addr,
            length: span.len,
            iova: addr,
            ..Default::default()
        };
        // SAFETY: the structure is what the ioctl takes; for the memory, the caller's promise.
        let mapped = unsafe { self.ioctl(&self.iommu, "IOMMU_IOAS_MAP", IOMMU_IOAS_MAP, &mut map) };
        mapped.map_err(os)
    }

    /// Takes memory back that was mapped, as a whole.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn unmap(&self, span: Span) -> io::Result<()> {
        let mut unmap = IoasUnmap {
            size: size::<IoasUnmap>(),
            ioas_id: self.ioas,
            iova: span.addr.get(),
            length: span.len,
        };
        // SAFETY: the structure is what the ioctl takes.
        let unmapped = unsafe { self.ioctl(&self.iommu, "IOMMU_IOAS_UNMAP", IOMMU_IOAS_UNMAP, &mut unmap) };
        unmapped.map_err(os)
    }

    fn region(&self, index: u32) -> Result<RegionInfo, Error> {
        let mut info = RegionInfo { argsz: size::<RegionInfo>(), index, ..Default::default() };
        let name = "VFIO_DEVICE_GET_REGION_INFO";
        // SAFETY: the structure is what the ioctl takes; capabilities beyond it are not asked for.
        unsafe { self.ioctl(&self.device, name, VFIO_DEVICE_GET_REGION_INFO, &mut info) }?;
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
        // INVARIANT: mapped just now.
        Ok(RegisterMap { start: start.cast(), bytes: len.get() as u64 })
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
        unsafe { self.ioctl(&self.device, "VFIO_DEVICE_SET_IRQS", VFIO_DEVICE_SET_IRQS, &mut set) }?;
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
        unsafe { self.ioctl(&self.device, "VFIO_DEVICE_SET_IRQS", VFIO_DEVICE_SET_IRQS, &mut set) }
    }

    /// The device node, to be passed on.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.device.as_fd()
    }
}

fn size<T>() -> u32 {
    u32::try_from(size_of::<T>()).unwrap_or(u32::MAX)
}

/// What the system said.
fn os(error: Error) -> io::Error {
    match error {
        Error::Ioctl { source, .. } => source,
        other => io::Error::other(other),
    }
}

/// Registers of a device, mapped.
///
/// # Invariants
///
/// `start` and `bytes` are a mapping of a device's registers that stays until this is dropped.
#[derive(Debug)]
pub struct RegisterMap {
    start: NonNull<u32>,
    bytes: u64,
}

// SAFETY: registers may be accessed by any thread; each access is one of 32 bits.
unsafe impl Send for RegisterMap {}
// SAFETY: likewise.
unsafe impl Sync for RegisterMap {}

impl RegisterMap {
    /// The place of a register; none outside the region or not at a multiple of 4.
    #[inline]
    fn place(&self, offset: u64) -> Option<NonNull<u32>> {
        let is_there = offset.is_multiple_of(4) && offset.checked_add(4).is_some_and(|end| end <= self.bytes);
        let index = usize::try_from(offset / 4).ok().filter(|_| is_there)?;
        // SAFETY: within the mapping, as checked (see # Invariants).
        Some(unsafe { self.start.add(index) })
    }

    /// Reads a register, in exactly one access of 32 bits. All ones where there is none.
    #[inline]
    pub fn read32(&self, offset: u64) -> u32 {
        // SAFETY: `place` is in the mapping and aligned. A volatile access of a machine word is one instruction.
        self.place(offset).map_or(u32::MAX, |place| unsafe { place.read_volatile() })
    }

    /// Writes a register, in exactly one access of 32 bits, after all writes to memory before it. Nothing where there is
    /// none.
    #[inline]
    pub fn write32(&self, offset: u64, value: u32) {
        fence(Ordering::SeqCst);
        if let Some(place) = self.place(offset) {
            // SAFETY: as in `read32`.
            unsafe { place.write_volatile(value) };
        }
    }
}

impl Drop for RegisterMap {
    fn drop(&mut self) {
        let len = usize::try_from(self.bytes).unwrap_or(0);
        // SAFETY: the mapping is this one's alone (see # Invariants).
        if let Err(errno) = unsafe { munmap(self.start.cast(), len) } {
            tracing::error!(%errno, "munmap of registers");
        }
    }
}
