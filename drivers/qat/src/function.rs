//! What the driver needs of a virtual function: registers, memory, an interrupt.
//!
//! UNSAFETY: declares that mapping memory for a device is a promise about it.
#![expect(unsafe_code, reason = "mapping memory for a device is a promise about it")]

use std::fmt;
use std::io;
use std::ops::RangeInclusive;
use std::os::fd::BorrowedFd;

use qat_spec::Generation;
use svala::Span;
use svala::backend::Kind;

/// A region of registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Region {
    /// Of the rings: VFIO region 0.
    Rings,
    /// Interrupts and messages: VFIO region 2.
    Misc,
}

/// A virtual function of a QAT.
pub trait VirtualFunction: Send + Sync + fmt::Debug + 'static {
    /// Its name in messages: a PCI address, or a model's name.
    fn name(&self) -> &str;

    /// Its generation.
    fn generation(&self) -> Generation;

    /// What is behind it.
    fn kind(&self) -> Kind;

    /// The memory node it is at, where that is known.
    fn numa_node(&self) -> Option<u16> {
        None
    }

    /// Reads a register, in one access of 32 bits.
    fn read32(&self, region: Region, offset: u64) -> u32;

    /// Writes a register, in one access of 32 bits, after every write to memory before it.
    fn write32(&self, region: Region, offset: u64, value: u32);

    /// Lets the function reach memory, at the process's own addresses. Whole pages.
    ///
    /// # Errors
    ///
    /// What the system says; `ENOMEM` if too much would be pinned.
    ///
    /// # Safety
    ///
    /// The memory stays mapped until [`VirtualFunction::unmap`] has returned or the function is gone; and where and while
    /// a request names it, nobody else uses it in a way that conflicts.
    unsafe fn map(&self, span: Span) -> io::Result<()>;

    /// Takes back what was mapped, as a whole. The function does not reach it any more when this returns.
    ///
    /// # Errors
    ///
    /// What the system says.
    fn unmap(&self, span: Span) -> io::Result<()>;

    /// I/O addresses that can be mapped.
    fn aperture(&self) -> Vec<RangeInclusive<u64>>;

    /// Readable after an interrupt.
    fn interrupt(&self) -> BorrowedFd<'_>;
}
