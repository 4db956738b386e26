//! Copies a mebibyte on the emulated DSA, into memory that nobody has touched.
//!
//! The device meets a page that is not there, says so, and svala brings it in together with a growing stretch behind
//! it, then submits the rest of the copy. Any Linux machine will do.
//!
//! Run with `cargo run --release -p svala-examples --example copy`. Prints what did the copy and what it met on the
//! way; the number of faults can differ where the kernel hands out huge pages.

use svala_engine::{Device, Engine, block_on};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let engine = Engine::builder().device(Device::Emulated).open()?;
    let (src, dst) = (vec![7_u8; 1 << 20], vec![0_u8; 1 << 20]); // no page of dst is in memory yet

    let done = block_on(engine.copy(src, dst))?; // or .await, on any executor

    let faults = done.report.faults;
    println!("{} bytes by {}", done.report.bytes, done.report.path);
    println!("{} page faults, {} pages populated", faults.faults, faults.pages_populated);
    let (src, dst) = done.buffers; // lent for the copy, and back
    assert_eq!(src, dst);
    Ok(())
}
