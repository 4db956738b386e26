//! The ioctls of `linux/vfio.h` and `linux/iommufd.h` that are used, and nothing more.
//!
//! Written from the user interface headers; the tests compare every number, size and offset with a C program compiled with
//! them.

use std::ffi::c_ulong;

/// `_IO(';', number)`: no direction and no size are coded.
const fn io(number: c_ulong) -> c_ulong {
    (b';' as c_ulong) << 8 | number
}

pub(super) const VFIO_GET_API_VERSION: c_ulong = io(100);
pub(super) const VFIO_SET_IOMMU: c_ulong = io(102);
pub(super) const VFIO_GROUP_SET_CONTAINER: c_ulong = io(104);
pub(super) const VFIO_GROUP_GET_DEVICE_FD: c_ulong = io(106);
pub(super) const VFIO_IOMMU_GET_INFO: c_ulong = io(112);
pub(super) const VFIO_IOMMU_MAP_DMA: c_ulong = io(113);
pub(super) const VFIO_IOMMU_UNMAP_DMA: c_ulong = io(114);
pub(super) const VFIO_DEVICE_GET_REGION_INFO: c_ulong = io(108);
pub(super) const VFIO_DEVICE_SET_IRQS: c_ulong = io(110);
pub(super) const VFIO_DEVICE_BIND_IOMMUFD: c_ulong = io(118);
pub(super) const VFIO_DEVICE_ATTACH_IOMMUFD_PT: c_ulong = io(119);
pub(super) const IOMMU_IOAS_ALLOC: c_ulong = io(0x81);
pub(super) const IOMMU_IOAS_IOVA_RANGES: c_ulong = io(0x84);
pub(super) const IOMMU_IOAS_MAP: c_ulong = io(0x85);
pub(super) const IOMMU_IOAS_UNMAP: c_ulong = io(0x86);

pub(super) const VFIO_API_VERSION: i32 = 0;
pub(super) const VFIO_TYPE1V2_IOMMU: c_ulong = 3;
pub(super) const VFIO_IOMMU_INFO_CAPS: u32 = 1 << 1;
pub(super) const VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE: u16 = 1;
pub(super) const VFIO_DMA_MAP_FLAG_READ: u32 = 1 << 0;
pub(super) const VFIO_DMA_MAP_FLAG_WRITE: u32 = 1 << 1;
pub(super) const VFIO_REGION_INFO_FLAG_MMAP: u32 = 1 << 2;
pub(super) const VFIO_IRQ_SET_DATA_NONE: u32 = 1 << 0;
pub(super) const VFIO_IRQ_SET_DATA_EVENTFD: u32 = 1 << 2;
pub(super) const VFIO_IRQ_SET_ACTION_TRIGGER: u32 = 1 << 5;
pub(super) const VFIO_PCI_CONFIG_REGION_INDEX: u32 = 7;
pub(super) const VFIO_PCI_MSI_IRQ_INDEX: u32 = 1;

pub(super) const IOMMU_IOAS_MAP_FIXED_IOVA: u32 = 1 << 0;
pub(super) const IOMMU_IOAS_MAP_WRITEABLE: u32 = 1 << 1;
pub(super) const IOMMU_IOAS_MAP_READABLE: u32 = 1 << 2;

/// `struct vfio_device_bind_iommufd`.
#[derive(Debug, Default)]
#[repr(C)]
pub(super) struct BindIommufd {
    pub(super) argsz: u32,
    pub(super) flags: u32,
    pub(super) iommufd: i32,
    pub(super) out_devid: u32,
}

/// `struct vfio_device_attach_iommufd_pt`.
#[derive(Debug, Default)]
#[repr(C)]
pub(super) struct AttachIommufdPt {
    pub(super) argsz: u32,
    pub(super) flags: u32,
    pub(super) pt_id: u32,
}

/// `struct vfio_region_info`.
#[derive(Debug, Default)]
#[repr(C)]
pub(super) struct RegionInfo {
    pub(super) argsz: u32,
    pub(super) flags: u32,
    pub(super) index: u32,
    pub(super) cap_offset: u32,
    pub(super) size: u64,
    pub(super) offset: u64,
}

/// `struct vfio_irq_set`, with one eventfd for its data.
#[derive(Debug, Default)]
#[repr(C)]
pub(super) struct IrqSet {
    pub(super) argsz: u32,
    pub(super) flags: u32,
    pub(super) index: u32,
    pub(super) start: u32,
    pub(super) count: u32,
    pub(super) eventfd: i32,
}

/// `struct vfio_iommu_type1_info`, with room for the capabilities that follow it.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Type1Info {
    pub(super) argsz: u32,
    pub(super) flags: u32,
    pub(super) iova_pgsizes: u64,
    pub(super) cap_offset: u32,
    pub(super) pad: u32,
    pub(super) rest: [u64; 256],
}

/// `struct vfio_iommu_type1_dma_map`.
#[derive(Debug, Default)]
#[repr(C)]
pub(super) struct DmaMap {
    pub(super) argsz: u32,
    pub(super) flags: u32,
    pub(super) vaddr: u64,
    pub(super) iova: u64,
    pub(super) size: u64,
}

/// `struct vfio_iommu_type1_dma_unmap`.
#[derive(Debug, Default)]
#[repr(C)]
pub(super) struct DmaUnmap {
    pub(super) argsz: u32,
    pub(super) flags: u32,
    pub(super) iova: u64,
    pub(super) size: u64,
}

/// `struct iommu_ioas_alloc`.
#[derive(Debug, Default)]
#[repr(C)]
pub(super) struct IoasAlloc {
    pub(super) size: u32,
    pub(super) flags: u32,
    pub(super) out_ioas_id: u32,
}

/// `struct iommu_iova_range`.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub(super) struct IovaRange {
    pub(super) start: u64,
    pub(super) last: u64,
}

/// `struct iommu_ioas_iova_ranges`.
#[derive(Debug, Default)]
#[repr(C)]
pub(super) struct IoasIovaRanges {
    pub(super) size: u32,
    pub(super) ioas_id: u32,
    pub(super) num_iovas: u32,
    pub(super) reserved: u32,
    pub(super) allowed_iovas: u64,
    pub(super) out_iova_alignment: u64,
}

/// `struct iommu_ioas_map`.
#[derive(Debug, Default)]
#[repr(C)]
pub(super) struct IoasMap {
    pub(super) size: u32,
    pub(super) flags: u32,
    pub(super) ioas_id: u32,
    pub(super) reserved: u32,
    pub(super) user_va: u64,
    pub(super) length: u64,
    pub(super) iova: u64,
}

/// `struct iommu_ioas_unmap`.
#[derive(Debug, Default)]
#[repr(C)]
pub(super) struct IoasUnmap {
    pub(super) size: u32,
    pub(super) ioas_id: u32,
    pub(super) iova: u64,
    pub(super) length: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write as _;
    use std::mem::offset_of;
    use std::process::Command;

    /// A C expression and the value it has to have.
    type Table = Vec<(&'static str, u64)>;

    /// What every `linux/vfio.h` has.
    fn old() -> Table {
        vec![
            ("VFIO_GET_API_VERSION", VFIO_GET_API_VERSION),
            ("VFIO_SET_IOMMU", VFIO_SET_IOMMU),
            ("VFIO_GROUP_SET_CONTAINER", VFIO_GROUP_SET_CONTAINER),
            ("VFIO_GROUP_GET_DEVICE_FD", VFIO_GROUP_GET_DEVICE_FD),
            ("VFIO_IOMMU_GET_INFO", VFIO_IOMMU_GET_INFO),
            ("VFIO_IOMMU_MAP_DMA", VFIO_IOMMU_MAP_DMA),
            ("VFIO_IOMMU_UNMAP_DMA", VFIO_IOMMU_UNMAP_DMA),
            ("VFIO_API_VERSION", u64::try_from(VFIO_API_VERSION).expect("not negative")),
            ("VFIO_TYPE1v2_IOMMU", VFIO_TYPE1V2_IOMMU),
            ("VFIO_IOMMU_INFO_CAPS", VFIO_IOMMU_INFO_CAPS.into()),
            ("VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE", VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE.into()),
            ("VFIO_DMA_MAP_FLAG_READ", VFIO_DMA_MAP_FLAG_READ.into()),
            ("VFIO_DMA_MAP_FLAG_WRITE", VFIO_DMA_MAP_FLAG_WRITE.into()),
            ("offsetof(struct vfio_iommu_type1_info, flags)", offset_of!(Type1Info, flags) as u64),
            ("offsetof(struct vfio_iommu_type1_info, cap_offset)", offset_of!(Type1Info, cap_offset) as u64),
            ("sizeof(struct vfio_iommu_type1_info)", offset_of!(Type1Info, rest) as u64),
            ("offsetof(struct vfio_iommu_type1_info_cap_iova_range, nr_iovas)", 8),
            ("offsetof(struct vfio_iommu_type1_info_cap_iova_range, iova_ranges)", 16),
            ("sizeof(struct vfio_iova_range)", 16),
            ("offsetof(struct vfio_info_cap_header, next)", 4),
            ("sizeof(struct vfio_iommu_type1_dma_map)", size_of::<DmaMap>() as u64),
            ("offsetof(struct vfio_iommu_type1_dma_map, vaddr)", offset_of!(DmaMap, vaddr) as u64),
            ("offsetof(struct vfio_iommu_type1_dma_map, iova)", offset_of!(DmaMap, iova) as u64),
            ("offsetof(struct vfio_iommu_type1_dma_map, size)", offset_of!(DmaMap, size) as u64),
            ("sizeof(struct vfio_iommu_type1_dma_unmap)", size_of::<DmaUnmap>() as u64),
            ("offsetof(struct vfio_iommu_type1_dma_unmap, iova)", offset_of!(DmaUnmap, iova) as u64),
            ("offsetof(struct vfio_iommu_type1_dma_unmap, size)", offset_of!(DmaUnmap, size) as u64),
            ("VFIO_DEVICE_GET_REGION_INFO", VFIO_DEVICE_GET_REGION_INFO),
            ("VFIO_DEVICE_SET_IRQS", VFIO_DEVICE_SET_IRQS),
            ("VFIO_REGION_INFO_FLAG_MMAP", VFIO_REGION_INFO_FLAG_MMAP.into()),
            ("VFIO_IRQ_SET_DATA_NONE", VFIO_IRQ_SET_DATA_NONE.into()),
            ("VFIO_IRQ_SET_DATA_EVENTFD", VFIO_IRQ_SET_DATA_EVENTFD.into()),
            ("VFIO_IRQ_SET_ACTION_TRIGGER", VFIO_IRQ_SET_ACTION_TRIGGER.into()),
            ("VFIO_PCI_CONFIG_REGION_INDEX", VFIO_PCI_CONFIG_REGION_INDEX.into()),
            ("VFIO_PCI_MSI_IRQ_INDEX", VFIO_PCI_MSI_IRQ_INDEX.into()),
            ("sizeof(struct vfio_region_info)", size_of::<RegionInfo>() as u64),
            ("offsetof(struct vfio_region_info, index)", offset_of!(RegionInfo, index) as u64),
            ("offsetof(struct vfio_region_info, size)", offset_of!(RegionInfo, size) as u64),
            ("offsetof(struct vfio_region_info, offset)", offset_of!(RegionInfo, offset) as u64),
            ("offsetof(struct vfio_irq_set, index)", offset_of!(IrqSet, index) as u64),
            ("offsetof(struct vfio_irq_set, count)", offset_of!(IrqSet, count) as u64),
            ("offsetof(struct vfio_irq_set, data)", offset_of!(IrqSet, eventfd) as u64),
        ]
    }

    /// What came with Linux 6.6.
    fn new() -> Table {
        vec![
            ("VFIO_DEVICE_BIND_IOMMUFD", VFIO_DEVICE_BIND_IOMMUFD),
            ("VFIO_DEVICE_ATTACH_IOMMUFD_PT", VFIO_DEVICE_ATTACH_IOMMUFD_PT),
            ("IOMMU_IOAS_ALLOC", IOMMU_IOAS_ALLOC),
            ("IOMMU_IOAS_IOVA_RANGES", IOMMU_IOAS_IOVA_RANGES),
            ("IOMMU_IOAS_MAP", IOMMU_IOAS_MAP),
            ("IOMMU_IOAS_UNMAP", IOMMU_IOAS_UNMAP),
            ("IOMMU_IOAS_MAP_FIXED_IOVA", IOMMU_IOAS_MAP_FIXED_IOVA.into()),
            ("IOMMU_IOAS_MAP_WRITEABLE", IOMMU_IOAS_MAP_WRITEABLE.into()),
            ("IOMMU_IOAS_MAP_READABLE", IOMMU_IOAS_MAP_READABLE.into()),
            ("sizeof(struct vfio_device_bind_iommufd)", size_of::<BindIommufd>() as u64),
            ("offsetof(struct vfio_device_bind_iommufd, iommufd)", offset_of!(BindIommufd, iommufd) as u64),
            (
                "offsetof(struct vfio_device_bind_iommufd, out_devid)",
                offset_of!(BindIommufd, out_devid) as u64,
            ),
            ("sizeof(struct vfio_device_attach_iommufd_pt)", size_of::<AttachIommufdPt>() as u64),
            (
                "offsetof(struct vfio_device_attach_iommufd_pt, pt_id)",
                offset_of!(AttachIommufdPt, pt_id) as u64,
            ),
            ("sizeof(struct iommu_ioas_alloc)", size_of::<IoasAlloc>() as u64),
            ("offsetof(struct iommu_ioas_alloc, out_ioas_id)", offset_of!(IoasAlloc, out_ioas_id) as u64),
            ("sizeof(struct iommu_iova_range)", size_of::<IovaRange>() as u64),
            ("offsetof(struct iommu_iova_range, last)", offset_of!(IovaRange, last) as u64),
            ("sizeof(struct iommu_ioas_iova_ranges)", size_of::<IoasIovaRanges>() as u64),
            (
                "offsetof(struct iommu_ioas_iova_ranges, num_iovas)",
                offset_of!(IoasIovaRanges, num_iovas) as u64,
            ),
            (
                "offsetof(struct iommu_ioas_iova_ranges, allowed_iovas)",
                offset_of!(IoasIovaRanges, allowed_iovas) as u64,
            ),
            ("sizeof(struct iommu_ioas_map)", size_of::<IoasMap>() as u64),
            ("offsetof(struct iommu_ioas_map, flags)", offset_of!(IoasMap, flags) as u64),
            ("offsetof(struct iommu_ioas_map, user_va)", offset_of!(IoasMap, user_va) as u64),
            ("offsetof(struct iommu_ioas_map, length)", offset_of!(IoasMap, length) as u64),
            ("offsetof(struct iommu_ioas_map, iova)", offset_of!(IoasMap, iova) as u64),
            ("sizeof(struct iommu_ioas_unmap)", size_of::<IoasUnmap>() as u64),
            ("offsetof(struct iommu_ioas_unmap, iova)", offset_of!(IoasUnmap, iova) as u64),
            ("offsetof(struct iommu_ioas_unmap, length)", offset_of!(IoasUnmap, length) as u64),
        ]
    }

    fn compare(include: Option<&str>, headers: &[&str], table: &Table) {
        let directory = tempfile::tempdir().expect("a directory");
        let (source, program) = (directory.path().join("a.c"), directory.path().join("a.out"));
        let mut text = String::from("#include <stdio.h>\n#include <stddef.h>\n");
        for header in headers {
            writeln!(text, "#include <{header}>").expect("a string grows");
        }
        text.push_str("int main(void) {\n");
        for (expression, _) in table {
            writeln!(text, "printf(\"%llu\\n\", (unsigned long long)({expression}));")
                .expect("a string grows");
        }
        text.push_str("return 0; }\n");
        std::fs::write(&source, text).expect("a file");
        let mut compiler = Command::new(std::env::var("CC").unwrap_or_else(|_| "cc".into()));
        if let Some(include) = include {
            compiler.arg("-I").arg(include);
        }
        let compiled = compiler.arg("-o").args([&program, &source]).output().expect("a C compiler");
        assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
        let output = Command::new(&program).output().expect("the program runs");
        let theirs = String::from_utf8(output.stdout).expect("text");
        assert_eq!(theirs.lines().count(), table.len());
        for ((expression, ours), theirs) in table.iter().zip(theirs.lines()) {
            assert_eq!(ours.to_string(), theirs, "{expression}");
        }
    }

    #[test]
    fn vfio_is_as_the_installed_header_has_it() {
        compare(None, &["linux/vfio.h"], &old());
    }

    #[test]
    #[ignore = "needs LINUX_HEADERS: the include directory of linux-libc-dev 6.6 or later"]
    fn device_nodes_and_iommufd_are_as_the_headers_have_them() {
        let include =
            std::env::var("LINUX_HEADERS").expect("LINUX_HEADERS: run `.ci/run tools`, it fetches them");
        let table: Table = old().into_iter().chain(new()).collect();
        compare(Some(&include), &["linux/vfio.h", "linux/iommufd.h"], &table);
    }
}
