//! Is a copy through the CPU engine as fast as `copy_from_slice`, and what do faults cost on the emulated device?
//!
//! Rival and floor: `copy_from_slice` on the same warm buffers, in the same run. Before anything is timed, each path
//! is checked to have copied; and a cold copy of 1 GiB on the emulated device is run once and its faults counted
//! (counts, not times: the emulated device says nothing about hardware).
//!
//! Run with `cargo bench -p svala-benches --bench copy`.

use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use pollster::block_on;
use svala_engine::{Device, Engine};

const SIZES: [usize; 4] = [4 << 10, 64 << 10, 1 << 20, 64 << 20];

fn main() {
    check();
    if !std::env::args().any(|arg| arg == "--test") {
        cold();
    }
    divan::main();
}

fn engine(device: Device) -> Engine {
    Engine::builder().device(device).open().expect("an engine needs threads and an eventfd")
}

fn check() {
    for device in [Device::Software, Device::Emulated] {
        let engine = engine(device);
        for len in [1, 4095, 1 << 20, (5 << 20) + 3] {
            let src: Vec<u8> = (0..len).map(|i| u8::try_from(i * 7 % 251).expect("below 251")).collect();
            let done = block_on(engine.copy(src, vec![0; len])).expect("copies");
            assert!(done.buffers.0 == done.buffers.1, "{len} bytes by {}", done.report.path);
        }
    }
}

/// A gibibyte of pages nobody has touched, source and destination.
fn cold() {
    let engine = engine(Device::Emulated);
    let len = 1_usize << 30;
    let done = block_on(engine.copy(vec![0_u8; len], vec![0_u8; len])).expect("copies");
    let faults = done.report.faults;
    let per = (len as u64 >> 10) / faults.resolutions.max(1);
    println!(
        "cold copy of 1 GiB by {}: {} faults, {} resolutions (one per {per} KiB), {} pages, {} resubmissions",
        done.report.path, faults.faults, faults.resolutions, faults.pages_populated, faults.resubmissions
    );
    assert!(per >= 512, "at most one resolution per 512 KiB");
}

#[divan::bench(args = SIZES)]
fn copy_from_slice(bencher: Bencher, len: usize) {
    let (src, mut dst) = (vec![1_u8; len], vec![2_u8; len]);
    bencher.counter(BytesCount::new(len)).bench_local(|| {
        black_box(&mut dst).copy_from_slice(black_box(&src));
    });
}

#[divan::bench(args = SIZES)]
fn cpu_engine(bencher: Bencher, len: usize) {
    let engine = engine(Device::Software);
    let mut buffers = Some((vec![1_u8; len], vec![2_u8; len]));
    bencher.counter(BytesCount::new(len)).bench_local(|| {
        let (src, dst) = buffers.take().expect("given back");
        buffers = Some(block_on(engine.copy(src, dst)).expect("copies").buffers);
    });
}
