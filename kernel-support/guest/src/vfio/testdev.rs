//! QEMU's `iommu-testdev`: writes a pattern to an I/O address, and looks for it at a physical one.
//!
//! So it says what no process can see: that the page behind an I/O address is the very page behind the same virtual
//! address. Source: docs/specs/iommu-testdev.rst of QEMU.
//!
//! UNSAFETY: maps memory for the device.
#![expect(unsafe_code, reason = "mapping memory for a device is a promise about it")]

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use anyhow::{Context as _, Result, ensure};
use svala::{Span, VirtAddr};
use svala_qat::RegisterMap;

use super::fixed::Fixed;
use super::node::{self, TESTDEV};
use crate::Test;
use crate::map::PAGE;

pub(crate) const TESTS: &[Test] = &[("vfio_same_page_behind_both_addresses", |_| same_page())];

const TRIGGER: u64 = 0x00;
const IOVA_LOW: u64 = 0x04;
const IOVA_HIGH: u64 = 0x08;
const LENGTH: u64 = 0x0c;
const RESULT: u64 = 0x10;
const DOORBELL: u64 = 0x14;
const PHYSICAL_LOW: u64 = 0x1c;
const PHYSICAL_HIGH: u64 = 0x20;

const DONE: u32 = 0;
const NOT_WRITTEN: u32 = 0xdead_0002;
const OTHER_PLACE: u32 = 0xdead_0004;
const PATTERN: [u8; 4] = 0x1234_5678_u32.to_le_bytes();

fn halves(value: u64) -> [u32; 2] {
    let [a, b, c, d, e, f, g, h] = value.to_le_bytes();
    [[a, b, c, d], [e, f, g, h]].map(u32::from_le_bytes)
}

/// Writes by the one address, looks at the other; what came of it.
fn run(registers: &RegisterMap, iova: u64, physical: u64, len: u32) -> u32 {
    let ([iova_low, iova_high], [low, high]) = (halves(iova), halves(physical));
    for (register, value) in [
        (IOVA_LOW, iova_low),
        (IOVA_HIGH, iova_high),
        (PHYSICAL_LOW, low),
        (PHYSICAL_HIGH, high),
        (LENGTH, len),
        (DOORBELL, 1),
    ] {
        registers.write32(register, value);
    }
    registers.read32(TRIGGER);
    registers.read32(RESULT)
}

/// The physical address of one of this process's. (Documentation/admin-guide/mm/pagemap.rst; root alone is told.)
fn physical(addr: u64) -> Result<u64> {
    let mut entry = [0; 8];
    let page = PAGE as u64;
    File::open("/proc/self/pagemap")?
        .read_exact_at(&mut entry, addr / page * 8)
        .context("/proc/self/pagemap")?;
    let frame = u64::from_ne_bytes(entry) & ((1 << 55) - 1);
    ensure!(frame != 0, "the kernel does not say where {addr:#x} is");
    Ok(frame * page + addr % page)
}

fn same_page() -> Result<()> {
    let device = node::open(TESTDEV)?;
    device.enable()?;
    let registers = device.registers(0, 0x1000)?;
    let at = 0x20_0000_0000;
    let mut map = Fixed::new(at, 16 * PAGE)?;
    let span = Span::new(VirtAddr::new(at), 16 * PAGE as u64);
    // SAFETY: `map` is held until the device is gone, and used by nobody else while the device writes.
    unsafe { device.map(span) }.context("map")?;
    for page in 0..16_u64 {
        let (addr, len) = (at + page * PAGE as u64 + 256, 1024);
        let place = usize::try_from(addr - at)?;
        svala::IoBufMut::bytes_mut(&mut map).fill(0);
        let result = run(&registers, addr, physical(addr)?, len);
        ensure!(result == DONE, "page {page}: {result:#x}");
        let bytes = svala::IoBuf::bytes(&map);
        ensure!(
            bytes[place..place + 1024].chunks(4).all(|word| word == PATTERN),
            "page {page}: not written here"
        );
        ensure!(
            bytes[..place].iter().chain(&bytes[place + 1024..]).all(|byte| *byte == 0),
            "page {page}: too much"
        );
    }
    // The device would say so if it were another page.
    svala::IoBufMut::bytes_mut(&mut map).fill(0);
    let other = run(&registers, at, physical(at + PAGE as u64)?, 64);
    ensure!(other == OTHER_PLACE, "{other:#x} for another page");
    let beyond = at + (1 << 30);
    let result = run(&registers, beyond, physical(at)?, 64);
    ensure!(result == NOT_WRITTEN, "{result:#x} for an address that is not mapped");
    device.unmap(span).context("unmap")?;
    let result = run(&registers, at, physical(at)?, 64);
    ensure!(result == NOT_WRITTEN, "{result:#x} for an address that was unmapped");
    println!("16 pages: by I/O address {at:#x} and by physical address the same; not mapped: not written");
    Ok(())
}
