//! QEMU's `edu`: registers, a buffer of 4 KiB, DMA between that and memory, one interrupt.
//!
//! Source: docs/specs/edu.rst of QEMU. Addresses are registers of 64 bits that it takes only whole; those are written
//! through the device node, which is another way to registers than the driver's.
//!
//! UNSAFETY: passes on promises about memory.
#![expect(unsafe_code, reason = "mapping memory for a device is a promise about it")]

use std::fs::File;
use std::io;
use std::ops::RangeInclusive;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use nix::sys::eventfd::EventFd;
use svala::Span;
use svala::backend::Kind;
use svala_qat::{Arena, Generation, Region, RegisterMap, VfioDevice, VirtualFunction};

use super::node::{self, EDU};
use crate::queue::PATIENCE;

const ID: u64 = 0x00;
const ID_VALUE: u32 = 0x0100_00ed;
pub(super) const LIVENESS: u64 = 0x04;
const INTERRUPT_STATUS: u64 = 0x24;
const INTERRUPT_RAISE: u64 = 0x60;
const INTERRUPT_CLEAR: u64 = 0x64;
const DMA_SRC: u64 = 0x80;
const DMA_DST: u64 = 0x88;
const DMA_COUNT: u64 = 0x90;
const DMA_COMMAND: u64 = 0x98;

const RUN: u32 = 1;
const TO_MEMORY: u32 = 1 << 1;
const RAISE: u32 = 1 << 2;
/// What the interrupt status says of a DMA that has ended.
pub(super) const DMA_ENDED: u32 = 0x100;

/// Where it has its buffer, in its own addresses.
const BUFFER: u64 = 0x4_0000;
/// Bytes of the buffer.
pub(super) const BUFFER_BYTES: usize = 4096;
/// Bytes of its registers.
const REGISTERS_BYTES: u64 = 1 << 20;

/// An `edu` that belongs to this process.
#[derive(Debug)]
pub(super) struct Edu {
    // The map goes before the device.
    registers: RegisterMap,
    interrupt: EventFd,
    aperture: Vec<RangeInclusive<u64>>,
    /// Region 0, which vfio-pci has at offset 0 of the node.
    region: File,
    device: VfioDevice,
}

impl Edu {
    /// Opens the one there is, as the driver opens a function.
    pub(super) fn open() -> Result<Self> {
        let device = node::open(EDU)?;
        device.enable()?;
        Ok(Self {
            registers: device.registers(0, REGISTERS_BYTES)?,
            interrupt: device.interrupt()?,
            aperture: device.ranges()?,
            region: device.as_fd().try_clone_to_owned()?.into(),
            device,
        })
    }

    /// The device with an arena of the driver's.
    pub(super) fn with_arena(bytes: u64) -> Result<(Arc<Self>, Arena)> {
        let edu = Arc::new(Self::open()?);
        let arena = Arena::new(Arc::clone(&edu) as Arc<dyn VirtualFunction>, bytes)?;
        Ok((edu, arena))
    }

    pub(super) const fn device(&self) -> &VfioDevice {
        &self.device
    }

    pub(super) const fn registers(&self) -> &RegisterMap {
        &self.registers
    }

    /// Whether it is there: its number, and a register that answers with the complement.
    pub(super) fn check(&self) -> Result<()> {
        let id = self.registers.read32(ID);
        ensure!(id == ID_VALUE, "{id:#x} where {ID_VALUE:#x} belongs");
        for value in [0, 0x1234_5678, u32::MAX] {
            self.registers.write32(LIVENESS, value);
            let answer = self.registers.read32(LIVENESS);
            ensure!(answer == !value, "{answer:#x} to {value:#x}");
        }
        Ok(())
    }

    fn write64(&self, register: u64, value: u64) -> Result<()> {
        self.region
            .write_all_at(&value.to_le_bytes(), register)
            .with_context(|| format!("register {register:#x}"))
    }

    /// Takes bytes from memory into the buffer. What cannot be read is not taken: the device does not say.
    pub(super) fn load(&self, addr: u64, len: usize) -> Result<()> {
        self.run(addr, BUFFER, len, 0)
    }

    /// Gives bytes of the buffer to memory.
    pub(super) fn store(&self, addr: u64, len: usize) -> Result<()> {
        self.run(BUFFER, addr, len, TO_MEMORY)
    }

    /// The same, and raises its interrupt then.
    pub(super) fn store_and_interrupt(&self, addr: u64, len: usize) -> Result<()> {
        self.run(BUFFER, addr, len, TO_MEMORY | RAISE)
    }

    fn run(&self, src: u64, dst: u64, len: usize, command: u32) -> Result<()> {
        self.start(src, dst, len, command)?;
        self.idle()
    }

    /// Waits until no DMA is under way. What is written to its registers before that is ignored.
    fn idle(&self) -> Result<()> {
        let started = Instant::now();
        while self.registers.read32(DMA_COMMAND) & RUN != 0 {
            ensure!(started.elapsed() < PATIENCE, "a DMA has not ended within {PATIENCE:?}");
            std::thread::yield_now();
        }
        Ok(())
    }

    fn start(&self, src: u64, dst: u64, len: usize, command: u32) -> Result<()> {
        ensure!(len <= BUFFER_BYTES, "{len} bytes are more than its buffer");
        self.idle()?;
        self.write64(DMA_SRC, src)?;
        self.write64(DMA_DST, dst)?;
        self.write64(DMA_COUNT, len as u64)?;
        self.write64(DMA_COMMAND, u64::from(command | RUN))
    }

    /// Starts to take bytes from memory, and does not wait.
    pub(super) fn start_load(&self, addr: u64, len: usize) -> Result<()> {
        self.start(addr, BUFFER, len, 0)
    }

    /// Raises its interrupt, without a DMA.
    pub(super) fn raise(&self, bits: u32) {
        self.registers.write32(INTERRUPT_RAISE, bits);
    }

    /// Why it has raised its interrupt; clears it.
    pub(super) fn reason(&self) -> u32 {
        let status = self.registers.read32(INTERRUPT_STATUS);
        self.registers.write32(INTERRUPT_CLEAR, status);
        status
    }

    /// Copies within memory, by way of the buffer.
    pub(super) fn copy(&self, src: u64, dst: u64, len: usize) -> Result<()> {
        self.load(src, len)?;
        self.store(dst, len)
    }

    pub(super) const fn eventfd(&self) -> &EventFd {
        &self.interrupt
    }
}

impl VirtualFunction for Edu {
    fn name(&self) -> &str {
        "edu"
    }

    fn generation(&self) -> Generation {
        Generation::Gen4
    }

    fn kind(&self) -> Kind {
        Kind::Hardware
    }

    fn read32(&self, _: Region, offset: u64) -> u32 {
        self.registers.read32(offset)
    }

    fn write32(&self, _: Region, offset: u64, value: u32) {
        self.registers.write32(offset, value);
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
