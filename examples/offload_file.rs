//! Takes a file through the emulated devices: CRC-32C on the DSA, gzip on the IAA, and back again.
//!
//! The file is mapped, not read: its pages come in when the device meets them. The expanded copy is compared with the
//! file, and its CRC-32C with the file's.
//!
//! Run with `cargo run --release -p svala-examples --example offload_file -- FILE`; without FILE it takes a file of
//! the repository. Prints one line for each operation: what came of it, what did it, and the page faults on the way.

use std::fs::File;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use svala_engine::{
    Compression, Device, Engine, FileMap, Format, Report, Slice, block_on, compressed_bytes_max,
};

fn main() -> Result<()> {
    let default = || concat!(env!("CARGO_MANIFEST_DIR"), "/../ARCHITECTURE.md").into();
    let path: PathBuf = std::env::args_os().nth(1).map_or_else(default, PathBuf::from);
    let file = File::open(&path).with_context(|| path.display().to_string())?;
    let map = FileMap::open(&file)?;
    let len = usize::try_from(map.len())?;
    ensure!(len > 0, "{} is empty", path.display());
    let engine = Engine::builder().device(Device::Emulated).open()?;
    block_on(offload(&engine, map, len))
}

async fn offload(engine: &Engine, map: FileMap, len: usize) -> Result<()> {
    // Buffers go in by value and come back with the result.
    let done = engine.crc32c(map, 0).await.map_err(svala_engine::Error::from)?;
    let (crc, map) = (done.value, done.buffers);
    println!("crc32c      {crc:08x} of {len} bytes, {}", by(&done.report));

    let room = vec![0; compressed_bytes_max(len)];
    let done = engine.compress(map, room, Compression::default()).await.map_err(svala_engine::Error::from)?;
    let (written, (map, gzip)) = (usize::try_from(done.value.written)?, done.buffers);
    println!("compress    to {written} bytes, {}", by(&done.report));

    // A part of a buffer is lent as a slice of it. The device takes one stream of up to 2 MiB; the CPU does others.
    let Ok(stream) = Slice::new(gzip, 0..written) else { unreachable!("written lies within the room") };
    let done = engine.decompress(stream, vec![0; len], Format::Gzip).await.map_err(|(error, _)| error)?;
    let expanded = done.buffers.1;
    println!("decompress  to {} bytes, {}", done.value.written, by(&done.report));

    let done = engine.compare(map, expanded).await.map_err(svala_engine::Error::from)?;
    println!("compare     {}, {}", done.value.map_or("equal", |_| "different"), by(&done.report));
    ensure!(done.value.is_none(), "the expanded bytes differ at {:?}", done.value);
    let again = engine.crc32c(done.buffers.1, 0).await.map_err(svala_engine::Error::from)?.value;
    ensure!(again == crc, "crc32c {again:08x} of the expanded bytes");
    Ok(())
}

fn by(report: &Report) -> String {
    format!("by {}, {} page faults", report.path, report.faults.faults)
}
