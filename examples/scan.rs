//! Filters a column of generated values: how many of them are in a range, which, and what they are.
//!
//! Two million by default, on the emulated IAA; `-- 100000000 software` filters a hundred million on the CPU, in 12 bits each.
//! The device takes a column longer than one of its transfers in parts, and its indices are those of the whole.
//!
//! Run with `cargo run --release -p svala-examples --example scan`. Prints what was found, what found it, and how fast;
//! the speed of an emulated device says nothing about hardware.

use std::time::Instant;

use svala::{Column, Predicate};
use svala_engine::{Device, Engine, block_on};

const WIDTH: u8 = 12;

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let count: u32 = args.next().map_or(Ok(2_000_000), |count| count.parse())?;
    let device =
        args.next().map_or(Ok(Device::Emulated), |device| device.parse()).map_err(anyhow::Error::msg)?;
    let engine = Engine::builder().device(device).open()?;

    let column = Column::packed(generate(count), WIDTH, count);
    let begun = Instant::now();
    let done = block_on(engine.column(column).scan(Predicate::between(10, 20)))?;
    let seconds = begun.elapsed().as_secs_f64();

    let (mask, column) = (done.value, done.buffers);
    println!("{} of {} values are 10 to 20, by {}", mask.count_ones(), mask.len(), done.report.path);
    println!("{:.0} million values a second", f64::from(count) / 1e6 / seconds);

    // The values themselves: at least these are in the range.
    let values = block_on(engine.column(column).select(&mask))?.value;
    anyhow::ensure!(values.len() == mask.count_ones() as usize);
    anyhow::ensure!(values.iter().all(|value| (10..=20).contains(value)));
    println!("sum {}", values.iter().map(|value| u64::from(*value)).sum::<u64>());
    Ok(())
}

/// Values of 12 bits, two in three bytes, in an order without a pattern.
fn generate(count: u32) -> Vec<u8> {
    let value = |index: u32| index.wrapping_mul(2_654_435_761) >> 20;
    let pairs = (0..count.div_ceil(2)).map(|pair| (value(2 * pair), value(2 * pair + 1)));
    pairs.flat_map(|(first, second)| (first | second << 12).to_le_bytes().into_iter().take(3)).collect()
}
