//! Copies 64 MiB of which no page is in memory, under each policy for page faults, and counts.
//!
//! The source is a file that was just mapped, the destination memory that was never touched. `one page` is `resolve`
//! with a window of a single page, the way of touching and resubmitting. The counts say how often the device had to
//! stop; how long anything takes on hardware they do not say.
//!
//! Run with `cargo run --release -p svala-examples --example fault_heavy`. Prints a line for each policy: faults the
//! device reported, times memory was populated, pages populated, descriptors submitted again, page requests the
//! device sent and waited for, and how many times fewer stops than with one page at a time.

use std::fs::File;
use std::io::Write;

use anyhow::{Result, ensure};
use svala::{Config, FaultPolicy, FileMap, Runtime, block_on};
use svala_idxd::{Emulated, EmulatedConfig};

const LEN: usize = 64 << 20;

fn main() -> Result<()> {
    let mut file = tempfile::tempfile()?;
    for page in 0..LEN as u64 / 4096 {
        file.write_all(&page.to_le_bytes().repeat(512))?;
    }
    println!(
        "{:9} {:>7} {:>11} {:>7} {:>13} {:>9}  fewer stops",
        "", "faults", "resolutions", "pages", "resubmissions", "requests"
    );
    let one_page = |config: &mut Config| (config.window_bytes_min, config.window_bytes_max) = (4096, 4096);
    let most = copy("one page", &file, one_page, None)?;
    for policy in [FaultPolicy::Resolve, FaultPolicy::Prefetch, FaultPolicy::BlockOnFault] {
        copy(&policy.to_string(), &file, |config| config.faults = policy, Some(most))?;
    }
    Ok(())
}

/// One copy on a device of its own. How often the device had to stop.
fn copy(name: &str, file: &File, change: impl FnOnce(&mut Config), most: Option<u64>) -> Result<u64> {
    let queue = Emulated::dsa(EmulatedConfig::default())?;
    let device = queue.portal().device();
    let runtime = Runtime::builder().queue(queue).config(change).build()?;
    let (src, dst) = (FileMap::open(file)?, vec![0_u8; LEN]);
    let done = block_on(runtime.copy(src, dst)).map_err(svala::Error::from)?;

    let faults = done.report.faults;
    let requests = device.map_or(0, |device| device.stats().page_requests);
    let stops = faults.faults + requests;
    let fewer = most.map_or("".into(), |most| match stops {
        0 => "none".to_owned(),
        stops => format!("{:.1}x", most as f64 / stops as f64),
    });
    println!(
        "{name:9} {:7} {:11} {:7} {:13} {requests:9}  {fewer:>11}",
        faults.faults, faults.resolutions, faults.pages_populated, faults.resubmissions,
    );
    let (src, dst) = done.buffers;
    let equal = block_on(runtime.compare(src, dst)).map_err(svala::Error::from)?.value.is_none();
    ensure!(equal, "{name}: the copy differs");
    Ok(stops)
}
