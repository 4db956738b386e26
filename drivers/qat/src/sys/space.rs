//! The address space that a device has, by iommufd or, where the kernel has none, by a container of vfio.
//!
//! Both map memory at addresses of the caller's choice, here always the process's own. They differ in what pinning counts
//! against: iommufd counts by user, a container by process, and not for those with `CAP_IPC_LOCK`.
//!
//! UNSAFETY: ioctls.
#![expect(unsafe_code, reason = "ioctls")]

use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::io;
use std::ops::RangeInclusive;
use std::os::fd::{AsRawFd, FromRawFd};
use std::path::Path;

use svala::Span;

use super::uapi::{
    AttachIommufdPt, BindIommufd, DmaMap, DmaUnmap, IOMMU_IOAS_ALLOC, IOMMU_IOAS_IOVA_RANGES, IOMMU_IOAS_MAP,
    IOMMU_IOAS_MAP_FIXED_IOVA, IOMMU_IOAS_MAP_READABLE, IOMMU_IOAS_MAP_WRITEABLE, IOMMU_IOAS_UNMAP,
    IoasAlloc, IoasIovaRanges, IoasMap, IoasUnmap, IovaRange, Type1Info, VFIO_API_VERSION,
    VFIO_DEVICE_ATTACH_IOMMUFD_PT, VFIO_DEVICE_BIND_IOMMUFD, VFIO_DMA_MAP_FLAG_READ, VFIO_DMA_MAP_FLAG_WRITE,
    VFIO_GET_API_VERSION, VFIO_GROUP_GET_DEVICE_FD, VFIO_GROUP_SET_CONTAINER, VFIO_IOMMU_GET_INFO,
    VFIO_IOMMU_INFO_CAPS, VFIO_IOMMU_MAP_DMA, VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE, VFIO_IOMMU_UNMAP_DMA,
    VFIO_SET_IOMMU, VFIO_TYPE1V2_IOMMU,
};
use crate::error::Error;

/// Most ranges of addresses that are asked for.
const RANGES_MAX: usize = 64;

/// An address space.
#[derive(Debug)]
pub(super) enum Space {
    /// By iommufd.
    Iommufd { iommu: File, ioas: u32 },
    /// By a container, with the one group in it.
    Container { container: File, _group: File },
}

/// Opens a node.
pub(super) fn node(path: &Path) -> Result<File, Error> {
    let opened = OpenOptions::new().read(true).write(true).open(path);
    opened.map_err(|source| Error::Open { path: path.to_owned(), source })
}

/// # Safety
///
/// `argument` is what the ioctl takes, and what pointers in it point to stays during the call.
pub(super) unsafe fn ioctl<T>(
    path: &Path,
    file: &File,
    ioctl: &'static str,
    number: libc::c_ulong,
    argument: &mut T,
) -> Result<(), Error> {
    // SAFETY: the caller's promise.
    let result = unsafe { libc::ioctl(file.as_raw_fd(), number, std::ptr::from_mut(argument)) };
    answer(path, ioctl, result).map(drop)
}

/// An ioctl with a number for its argument; its answer.
fn ioctl_number(
    path: &Path,
    file: &File,
    ioctl: &'static str,
    number: libc::c_ulong,
    argument: libc::c_ulong,
) -> Result<i32, Error> {
    // SAFETY: only for ioctls that take a number, which the caller is right below.
    let result = unsafe { libc::ioctl(file.as_raw_fd(), number, argument) };
    answer(path, ioctl, result)
}

fn answer(path: &Path, ioctl: &'static str, result: i32) -> Result<i32, Error> {
    if result < 0 {
        return Err(Error::Ioctl { path: path.to_owned(), ioctl, source: io::Error::last_os_error() });
    }
    Ok(result)
}

pub(super) fn size<T>() -> u32 {
    u32::try_from(size_of::<T>()).unwrap_or(u32::MAX)
}

impl Space {
    /// A new one, for a device that is open.
    pub(super) fn of_iommufd(path: &Path, device: &File, iommu: File) -> Result<Self, Error> {
        let mut bind =
            BindIommufd { argsz: size::<BindIommufd>(), iommufd: iommu.as_raw_fd(), ..Default::default() };
        // SAFETY: the structure is what the ioctl takes; it holds no pointers.
        unsafe { ioctl(path, device, "VFIO_DEVICE_BIND_IOMMUFD", VFIO_DEVICE_BIND_IOMMUFD, &mut bind) }?;
        let mut space = IoasAlloc { size: size::<IoasAlloc>(), ..Default::default() };
        // SAFETY: likewise.
        unsafe { ioctl(path, &iommu, "IOMMU_IOAS_ALLOC", IOMMU_IOAS_ALLOC, &mut space) }?;
        let ioas = space.out_ioas_id;
        let mut attach =
            AttachIommufdPt { argsz: size::<AttachIommufdPt>(), pt_id: ioas, ..Default::default() };
        let name = "VFIO_DEVICE_ATTACH_IOMMUFD_PT";
        // SAFETY: likewise.
        unsafe { ioctl(path, device, name, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &mut attach) }?;
        Ok(Self::Iommufd { iommu, ioas })
    }

    /// A new one, and the device of the group that has this address.
    pub(super) fn of_container(path: &Path, container: File, address: &str) -> Result<(Self, File), Error> {
        let group = node(path)?;
        let version = ioctl_number(path, &container, "VFIO_GET_API_VERSION", VFIO_GET_API_VERSION, 0)?;
        if version != VFIO_API_VERSION {
            let what = format!("vfio speaks version {version}, this is {VFIO_API_VERSION}");
            return Err(Error::Function { address: address.to_owned(), what });
        }
        let mut fd = container.as_raw_fd();
        // SAFETY: the ioctl reads one descriptor.
        unsafe { ioctl(path, &group, "VFIO_GROUP_SET_CONTAINER", VFIO_GROUP_SET_CONTAINER, &mut fd) }?;
        ioctl_number(path, &container, "VFIO_SET_IOMMU", VFIO_SET_IOMMU, VFIO_TYPE1V2_IOMMU)?;
        let bad = |_| Error::Function { address: address.to_owned(), what: "no PCI address".into() };
        let name = CString::new(address).map_err(bad)?;
        // SAFETY: the ioctl reads a string that ends with zero, which stays during the call.
        let fd = unsafe { libc::ioctl(group.as_raw_fd(), VFIO_GROUP_GET_DEVICE_FD, name.as_ptr()) };
        let fd = answer(path, "VFIO_GROUP_GET_DEVICE_FD", fd)?;
        // SAFETY: made just now, and nobody else's.
        let device = unsafe { File::from_raw_fd(fd) };
        Ok((Self::Container { container, _group: group }, device))
    }

    pub(super) fn ranges(&self, path: &Path) -> Result<Vec<RangeInclusive<u64>>, Error> {
        match self {
            Self::Iommufd { iommu, ioas } => {
                let mut ranges = [IovaRange::default(); RANGES_MAX];
                let mut query = IoasIovaRanges {
                    size: size::<IoasIovaRanges>(),
                    ioas_id: *ioas,
                    num_iovas: u32::try_from(RANGES_MAX).unwrap_or(0),
                    allowed_iovas: ranges.as_mut_ptr().expose_provenance() as u64,
                    ..Default::default()
                };
                let name = "IOMMU_IOAS_IOVA_RANGES";
                // SAFETY: `ranges` has room for as many as is said, and stays.
                unsafe { ioctl(path, iommu, name, IOMMU_IOAS_IOVA_RANGES, &mut query) }?;
                let count = (query.num_iovas as usize).min(RANGES_MAX);
                Ok(ranges[..count].iter().map(|range| range.start..=range.last).collect())
            }
            Self::Container { container, .. } => {
                let mut info = Type1Info {
                    argsz: size::<Type1Info>(),
                    flags: 0,
                    iova_pgsizes: 0,
                    cap_offset: 0,
                    pad: 0,
                    rest: [0; 256],
                };
                // SAFETY: the structure has as many bytes as it says.
                unsafe { ioctl(path, container, "VFIO_IOMMU_GET_INFO", VFIO_IOMMU_GET_INFO, &mut info) }?;
                Ok(ranges_of(&info))
            }
        }
    }

    /// # Safety
    ///
    /// As [`super::VfioDevice::map`].
    pub(super) unsafe fn map(&self, path: &Path, span: Span) -> Result<(), Error> {
        let addr = span.addr.get();
        match self {
            Self::Iommufd { iommu, ioas } => {
                let mut map = IoasMap {
                    size: size::<IoasMap>(),
                    flags: IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_WRITEABLE | IOMMU_IOAS_MAP_READABLE,
                    ioas_id: *ioas,
                    user_va: addr,
                    length: span.len,
                    iova: addr,
                    ..Default::default()
                };
                // SAFETY: the structure is what the ioctl takes; for the memory, the caller's promise.
                unsafe { ioctl(path, iommu, "IOMMU_IOAS_MAP", IOMMU_IOAS_MAP, &mut map) }
            }
            Self::Container { container, .. } => {
                let mut map = DmaMap {
                    argsz: size::<DmaMap>(),
                    flags: VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
                    vaddr: addr,
                    iova: addr,
                    size: span.len,
                };
                // SAFETY: likewise.
                unsafe { ioctl(path, container, "VFIO_IOMMU_MAP_DMA", VFIO_IOMMU_MAP_DMA, &mut map) }
            }
        }
    }

    pub(super) fn unmap(&self, path: &Path, span: Span) -> Result<(), Error> {
        let (iova, len) = (span.addr.get(), span.len);
        match self {
            Self::Iommufd { iommu, ioas } => {
                let mut unmap = IoasUnmap { size: size::<IoasUnmap>(), ioas_id: *ioas, iova, length: len };
                // SAFETY: the structure is what the ioctl takes.
                unsafe { ioctl(path, iommu, "IOMMU_IOAS_UNMAP", IOMMU_IOAS_UNMAP, &mut unmap) }
            }
            Self::Container { container, .. } => {
                let mut unmap = DmaUnmap { argsz: size::<DmaUnmap>(), iova, size: len, ..Default::default() };
                let name = "VFIO_IOMMU_UNMAP_DMA";
                // SAFETY: likewise.
                unsafe { ioctl(path, container, name, VFIO_IOMMU_UNMAP_DMA, &mut unmap) }?;
                // It says how much was unmapped; nothing is no error of its own.
                let nothing = || io::Error::from_raw_os_error(libc::ENOENT);
                let error = |source| Error::Ioctl { path: path.to_owned(), ioctl: name, source };
                if unmap.size == len { Ok(()) } else { Err(error(nothing())) }
            }
        }
    }
}

/// The ranges in the capabilities behind the structure: `struct vfio_iommu_type1_info_cap_iova_range`. None if the kernel does
/// not say, which is before 5.4.
fn ranges_of(info: &Type1Info) -> Vec<RangeInclusive<u64>> {
    const RANGES_AT: usize = 16;
    let bytes: Vec<u8> = info.rest.iter().flat_map(|word| word.to_le_bytes()).collect();
    let base = std::mem::offset_of!(Type1Info, rest);
    let u32_at = |at: usize| Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
    let u64_at = |at: usize| Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
    let mut offset = if info.flags & VFIO_IOMMU_INFO_CAPS != 0 { info.cap_offset } else { 0 };
    let mut steps = 0;
    // A chain that comes back to where it was is not gone round for ever.
    while let Some(at) = (offset as usize).checked_sub(base).filter(|_| steps < 32) {
        let (Some(id), Some(next)) = (u32_at(at), u32_at(at + 4)) else { break };
        if id & 0xffff == VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE.into() {
            let count = (u32_at(at + 8).unwrap_or(0) as usize).min(RANGES_MAX);
            let range = |index: usize| {
                let place = at + RANGES_AT + 16 * index;
                Some(u64_at(place)?..=u64_at(place + 8)?)
            };
            return (0..count).filter_map(range).collect();
        }
        (offset, steps) = (next, steps + 1);
    }
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(words: &[u64]) -> Type1Info {
        let mut info = Type1Info {
            argsz: size::<Type1Info>(),
            flags: VFIO_IOMMU_INFO_CAPS,
            iova_pgsizes: 0,
            cap_offset: 24,
            pad: 0,
            rest: [0; 256],
        };
        info.rest[..words.len()].copy_from_slice(words);
        info
    }

    #[test]
    fn ranges_are_found_behind_other_capabilities() {
        // Migration, 24 bytes, then two ranges.
        let words =
            [2 | 1 << 16 | 48 << 32, 0, 0, 1 | 1 << 16, 2, 0, 0xfedf_ffff, 0xfef0_0000, (1 << 39) - 1];
        assert_eq!(ranges_of(&info(&words)), [0..=0xfedf_ffff, 0xfef0_0000..=(1 << 39) - 1]);
        assert!(ranges_of(&Type1Info { flags: 0, ..info(&words) }).is_empty());
    }

    #[test]
    fn what_a_kernel_might_say_does_no_harm() {
        // A chain in a circle, one that leads out, more ranges than there is room for.
        for next in [24_u64, 9999, 8] {
            assert!(ranges_of(&info(&[2 | next << 32])).is_empty(), "{next}");
        }
        assert_eq!(ranges_of(&info(&[1, u32::MAX.into(), 5, 6])).len(), RANGES_MAX);
    }
}
