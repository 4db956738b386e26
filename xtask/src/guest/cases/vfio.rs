//! The tests of `--vfio` and `--iommufd`: devices of QEMU's own that a process drives.
//!
//! Debian's kernels are built without iommufd (`# CONFIG_IOMMUFD is not set`, 7.2.13): there it is groups and containers, and
//! iommufd has a kernel of its own.

use super::{Case, Plan};
use crate::guest::machine::{CPU, Machine};

/// Its addresses are not cut, so that it may be told any.
const EDU: &str = "edu,dma_mask=0xffffffffffffffff";
const DEVICES: &[&str] = &[EDU, "iommu-testdev"];

/// A device that accesses what is not mapped is reported: the tests wait for it.
const FAULTS: &[&str] = &["DMAR: DRHD: handling fault", "DMAR: [DMA"];

const BASE: Machine = Machine {
    name: "vfio",
    cpus: 2,
    cpu: CPU,
    iommu: "intremap=on,aw-bits=48",
    devices: DEVICES,
    kernel: "intel_iommu=on",
    says: "",
};

/// All of them.
pub(crate) fn plans() -> Vec<Plan> {
    let narrow = Machine { name: "vfio_39_bit", iommu: "intremap=on,aw-bits=39", ..BASE };
    let wide = Machine { name: "vfio_48_bit", ..BASE };
    let scalable = Machine {
        name: "vfio_scalable",
        iommu: "intremap=on,aw-bits=48,scalable-mode=on",
        kernel: "intel_iommu=on,sm_on",
        ..BASE
    };
    vec![plan(wide, "48"), plan(narrow, "39"), plan(scalable, "48")]
}

fn plan(machine: Machine, width: &str) -> Plan {
    let test = |name| Case::new(name, &["svala-guest", name, width]);
    let provoking = |name| Case { provokes: FAULTS, ..test(name) };
    let cases = vec![
        test("vfio_bind").required(),
        test("vfio_needs_permission").by_user(),
        test("vfio_permissions").required(),
        test("vfio_registers"),
        test("vfio_aperture").by_user(),
        test("vfio_dma_by_own_addresses").by_user(),
        test("vfio_registered_memory").by_user(),
        test("vfio_interrupts_by_eventfd"),
        provoking("vfio_unmapped_memory_is_not_reached"),
        provoking("vfio_memory_that_was_taken_back_is_not_reached"),
        provoking("vfio_same_page_behind_both_addresses"),
        test("vfio_memory_lock_limit").by_user(),
        test("vfio_memory_lock_limit_of_root"),
        // A child touches what it does not have.
        Case { provokes: &["segfault"], ..test("vfio_fork") },
        test("vfio_node_is_one_process"),
        provoking("vfio_sigkill"),
    ];
    Plan { machine, modules: &["vfio_pci"], cases }
}
