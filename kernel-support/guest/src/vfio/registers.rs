//! Registers and regions, through the driver's map of them.

use anyhow::{Result, bail, ensure};
use svala_qat::Error;

use super::edu::{Edu, LIVENESS};
use crate::Test;

pub(crate) const TESTS: &[Test] = &[("vfio_registers", |_| registers())];

fn registers() -> Result<()> {
    let edu = Edu::open()?;
    edu.check()?;
    let map = edu.registers();
    // Where there is no register, nothing is touched: all ones, and the write is gone.
    for offset in [1 << 20, (1 << 20) - 2, 2, u64::MAX - 3] {
        map.write32(offset, 0);
        ensure!(map.read32(offset) == u32::MAX, "{offset:#x} was read");
    }
    map.write32(LIVENESS, 7);
    ensure!(map.read32(LIVENESS) == !7, "a write went astray");
    let mut ids = [0; 4];
    edu.device().read_config(0, &mut ids)?;
    ensure!(ids == [0x34, 0x12, 0xe8, 0x11], "the configuration space says {ids:x?}");
    for (index, bytes) in [(0, 2 << 20), (2, 4), (99, 4)] {
        match edu.device().registers(index, bytes) {
            Err(error @ (Error::Region { .. } | Error::Ioctl { .. })) => println!("{error}"),
            other => bail!("region {index} of {bytes} bytes: {other:?}"),
        }
    }
    println!("registers of 32 bits, the ends of the map, regions that are not there");
    Ok(())
}
