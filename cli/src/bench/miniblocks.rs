//! Miniblocks: streams of them, their index, and those behind the first by themselves.

use crc::{CRC_32_ISO_HDLC, Crc};
use svala::Value;
use svala_engine::{
    DeflateOptions, Engine, Error, MiniblockIndex, MiniblockSize, Miniblocks, Operation, compressed_bytes_max,
};

use super::check::expanded;
use super::lane::{Performed, deflated, inflated, performed};
use super::setup::{self, Buffers, Contents, bytes, cut};

/// Bytes of a miniblock.
const SIZE: MiniblockSize = MiniblockSize::Kib4;
const BYTES: usize = 4096;
const _: () = assert!(SIZE.bytes() == BYTES as u64);
/// Bytes of an entry of an index.
const ENTRY: usize = 8;

/// Whether `operation` is one of these.
pub(super) fn is_miniblocks(operation: Operation) -> bool {
    matches!(
        operation,
        Operation::DeflateMiniblocks | Operation::IndexMiniblocks | Operation::InflateMiniblocks
    )
}

/// What the buffers of an operation on `data` are made from, and the places of what is expanded. The stream of an inflate has a
/// miniblock more, in front, so that reading begins within a block.
pub(super) async fn contents(
    engine: &Engine,
    operation: Operation,
    data: Vec<u8>,
) -> Result<([Contents; 2], Option<Miniblocks>), String> {
    let size = data.len();
    let needed = |bytes| Contents::Bytes { bytes, needed: true };
    match operation {
        Operation::DeflateMiniblocks => {
            Ok(([bytes(data), Contents::Zeros(compressed_bytes_max(size))], None))
        }
        Operation::IndexMiniblocks => {
            let (stream, _) = stream(engine, data).await?;
            Ok(([needed(stream), Contents::Zeros(size.div_ceil(BYTES) * ENTRY)], None))
        }
        _ => {
            let (stream, index) = stream(engine, [setup::data(BYTES), data].concat()).await?;
            let miniblocks = index.miniblocks(1..index.entries().len());
            Ok(([needed(stream), Contents::Zeros(size)], miniblocks))
        }
    }
}

/// A stream made by the queue itself, and its index.
async fn stream(engine: &Engine, data: Vec<u8>) -> Result<(Vec<u8>, MiniblockIndex), String> {
    let room = vec![0; compressed_bytes_max(data.len())];
    let made = engine.deflate_miniblocks(data, room, SIZE, DeflateOptions::default()).await;
    let made = made.map_err(|failed| format!("making miniblocks: {failed}"))?;
    let stream = cut(made.buffers.1, made.value.written);
    let done = engine.index_miniblocks(stream, SIZE).await;
    let done = done.map_err(|failed| format!("making an index: {failed}"))?;
    Ok((done.buffers, done.value))
}

/// Does one of them.
pub(super) async fn perform(engine: &Engine, operation: Operation, buffers: Buffers) -> Performed {
    let Buffers { a, mut b, miniblocks, .. } = buffers;
    let pair = |(a, b)| Buffers { a, b, miniblocks, ..Buffers::default() };
    match (operation, miniblocks) {
        (Operation::DeflateMiniblocks, _) => {
            let made = engine.deflate_miniblocks(a, b, SIZE, DeflateOptions::default()).await;
            performed(made, deflated, pair)
        }
        (Operation::IndexMiniblocks, _) => {
            let done = engine.index_miniblocks(a, SIZE).await?;
            for (room, entry) in b.chunks_exact_mut(ENTRY).zip(done.value.entries()) {
                room.copy_from_slice(&entry.to_le_bytes());
            }
            let written = (done.value.entries().len() * ENTRY) as u64;
            Ok((pair((done.buffers, b)), Value::Written(written), done.report))
        }
        (Operation::InflateMiniblocks, Some(miniblocks)) => {
            performed(engine.inflate_miniblocks(a, b, miniblocks).await, inflated, pair)
        }
        _ => Err(Error::Unsupported { operation }),
    }
}

/// Whether an operation on `data` left what other crates say.
pub(super) fn is_right(operation: Operation, data: &[u8], after: &Buffers, value: Value) -> bool {
    match (operation, value) {
        (Operation::DeflateMiniblocks, value) => {
            expanded(after, value).is_some_and(|expanded| expanded == data)
        }
        (Operation::IndexMiniblocks, Value::Written(written)) => {
            let crc = Crc::<u32>::new(&CRC_32_ISO_HDLC);
            let crcs = (1..=data.len().div_ceil(BYTES)).map(|count| {
                let end = data.len().min(count * BYTES);
                crc.checksum(&data[..end]).to_le_bytes()
            });
            let entries = after.b.chunks_exact(ENTRY);
            written == after.b.len() as u64 && entries.map(|entry| &entry[4..]).eq(crcs)
        }
        (Operation::InflateMiniblocks, Value::Inflate { written, .. }) => {
            written == data.len() as u64 && after.b == data
        }
        _ => false,
    }
}
