//! What the device reaches: memory of the driver at the process's own addresses, within the IOMMU's.

use anyhow::{Context as _, Result, bail, ensure};
use svala::IoBuf as _;
use svala_qat::{Error, Registered};

use super::edu::{BUFFER_BYTES, Edu};
use crate::Test;
use crate::cold::pattern;
use crate::map::PAGE;

pub(crate) const TESTS: &[Test] = &[
    ("vfio_aperture", aperture),
    ("vfio_dma_by_own_addresses", own_addresses),
    ("vfio_registered_memory", registered),
];

/// Bits of an I/O address, as the test is told.
fn width(arguments: &[String]) -> Result<u32> {
    Ok(arguments.first().context("no width was given")?.parse()?)
}

/// The ranges are those of the IOMMU, without the hole for interrupts; the arena lies in one of them.
fn aperture(arguments: &[String]) -> Result<()> {
    let width = width(arguments)?;
    let (edu, arena) = Edu::with_arena(4 << 20)?;
    let ranges = edu.device().ranges()?;
    let last = ranges.iter().map(|range| *range.end()).max().context("no ranges")?;
    ensure!(last == (1 << width) - 1, "the last address is {last:#x} and not that of {width} bits");
    let hole = 0xfee0_0000_u64;
    ensure!(!ranges.iter().any(|range| range.contains(&hole)), "{hole:#x} can be mapped: {ranges:x?}");
    let buffer = arena.allocate(3 << 20)?;
    let (from, to) = (buffer.span().addr.get(), buffer.span().end().get());
    ensure!(
        ranges.iter().any(|range| range.contains(&from) && range.contains(&(to - 1))),
        "{from:#x} to {to:#x} is not within {ranges:x?}"
    );
    let text: Vec<_> =
        ranges.iter().map(|range| format!("{:#x} to {:#x}", range.start(), range.end())).collect();
    println!("{}; the arena is at {from:#x}", text.join(", "));
    Ok(())
}

/// From the arena and back, at any place in a page and across pages: the addresses are those of the program.
fn own_addresses(arguments: &[String]) -> Result<()> {
    let width = width(arguments)?;
    let (edu, arena) = Edu::with_arena(4 << 20)?;
    let (mut src, mut dst) = (arena.allocate(64 * PAGE)?, arena.allocate(64 * PAGE)?);
    let (from, to) = (src.span().addr.get(), dst.span().addr.get());
    ensure!(from > u64::from(u32::MAX) && from >> width == 0, "{from:#x}");
    let places = [(0, 1), (1, 7), (PAGE - 3, 10), (5 * PAGE - 100, BUFFER_BYTES), (63 * PAGE, BUFFER_BYTES)];
    for (round, (at, len)) in places.into_iter().enumerate() {
        src.iter_mut().enumerate().for_each(|(i, byte)| *byte = pattern(round)(i));
        dst.fill(0xee);
        edu.copy(from + at as u64, to + at as u64, len)?;
        let expected = |i: usize| if (at..at + len).contains(&i) { pattern(round)(i) } else { 0xee };
        let wrong = dst.iter().enumerate().find(|(i, byte)| **byte != expected(*i));
        ensure!(wrong.is_none(), "{len} bytes at {at}: byte {wrong:x?}");
    }
    println!("{} copies within the arena, {from:#x} to {to:#x}", places.len());
    Ok(())
}

/// Whole pages.
pub(super) fn pages(bytes: u64) -> Result<svala::FileMapMut> {
    let path = format!("/tmp/pages.{}", std::process::id());
    let file = std::fs::File::options().read(true).write(true).create(true).truncate(true).open(&path)?;
    std::fs::remove_file(&path)?;
    file.set_len(bytes)?;
    Ok(svala::FileMapMut::range(&file, 0, bytes)?)
}

/// Memory that was not the driver's: reached while it is registered. Beyond the IOMMU's addresses it is refused, and back.
fn registered(arguments: &[String]) -> Result<()> {
    let width = width(arguments)?;
    let (edu, arena) = Edu::with_arena(1 << 20)?;
    let map = pages(16 * PAGE as u64)?;
    let addr = map.span().addr.get();
    let mut registered = match Registered::new(&arena, map) {
        Ok(registered) => registered,
        Err(failed) if addr >> width != 0 => {
            ensure!(matches!(failed.error, Error::Map { .. }), "{}", failed.error);
            ensure!(failed.buffer.span().addr.get() == addr, "another buffer came back");
            println!("{}", failed.error);
            return Ok(());
        }
        Err(failed) => return Err(failed.error.into()),
    };
    ensure!(addr >> width == 0, "{addr:#x} was taken, with {width} bits");
    let mut buffer = arena.allocate(BUFFER_BYTES)?;
    let bytes = svala::IoBufMut::bytes_mut(&mut registered);
    bytes.iter_mut().enumerate().for_each(|(i, byte)| *byte = pattern(1)(i));
    let expected: Vec<_> = bytes[PAGE + 9..PAGE + 9 + 3000].to_vec();
    edu.copy(addr + PAGE as u64 + 9, buffer.span().addr.get(), 3000)?;
    ensure!(buffer[..3000] == expected, "other bytes came from registered memory");
    buffer.fill(0x5a);
    edu.copy(buffer.span().addr.get(), addr, BUFFER_BYTES)?;
    match Registered::new(&arena, pages(PAGE as u64 / 2)?) {
        Err(failed) if matches!(failed.error, Error::NotPages { .. }) => {}
        other => bail!("half a page: {:?}", other.map(drop).map_err(|failed| failed.error)),
    }
    let map = registered.into_inner().context("it was not taken back")?;
    ensure!(map.bytes()[..BUFFER_BYTES].iter().all(|byte| *byte == 0x5a), "the device's bytes are not there");
    ensure!(map.bytes()[BUFFER_BYTES] == pattern(1)(BUFFER_BYTES), "the device wrote too far");
    println!("16 pages at {addr:#x}, registered, read, written, taken back");
    Ok(())
}
