//! Devices that a process has by vfio and iommufd: the memory and vfio code of the QAT driver, on a real kernel.
//!
//! No QAT is emulated by QEMU. What stands in for one are two devices that access the memory they are told to: `edu`, with
//! DMA to and from a buffer of its own and one interrupt, and `iommu-testdev`, which checks where the memory is. Everything
//! between them and the tests is the driver's own: device nodes, registers, address spaces, arena, registration, interrupt.

mod edu;
mod faults;
mod fixed;
mod interrupt;
mod limits;
mod node;
mod processes;
mod reach;
mod registers;
mod testdev;

use crate::Test;

pub(crate) const TESTS: &[&[Test]] = &[
    node::TESTS,
    registers::TESTS,
    reach::TESTS,
    faults::TESTS,
    interrupt::TESTS,
    limits::TESTS,
    processes::TESTS,
    testdev::TESTS,
];
