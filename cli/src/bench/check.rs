//! Whether an operation's result is right, before anybody looks at its speed.
//!
//! Judged by plain loops and other people's crates, never by an engine.

use std::io::Read;

use crc::{CRC_32_ISCSI, CRC_64_NVME, Crc};
use flate2::read::DeflateDecoder;
use svala::Value;
use svala_engine::{Engine, Operation};

use super::columns;
use super::lane::perform;
use super::memory::Arena;
use super::miniblocks;
use super::numbers;
use super::setup::{self, Buffers, PATTERN, PATTERN16, Setup};
use super::streams;

/// Bytes that an operation is checked on: whole blocks and words.
const BYTES: usize = 64 << 10;

/// Why an operation is not measured.
pub(super) enum Unchecked {
    /// It cannot be done.
    Failed(String),
    /// What came out is not right.
    Wrong(String),
}

/// Does `operation` once and looks at what it did.
pub(super) async fn check(engine: &Engine, operation: Operation) -> Result<(), Unchecked> {
    let failed = |error: svala::Error| Unchecked::Failed(error.to_string());
    let setup = Setup::new(engine, operation, BYTES).await.map_err(Unchecked::Failed)?;
    let buffers = || setup.buffers(&mut Arena::new(0), false).unwrap_or_default();
    let (after, value, _) = perform(engine, operation, buffers()).await.map_err(failed)?;
    if !is_right(operation, &setup, &after, value) {
        return Err(Unchecked::Wrong(format!("{operation} of {BYTES} bytes: the result is not right")));
    }
    if matches!(operation, Operation::Compare | Operation::ComparePattern) {
        let (mut buffers, at) = (buffers(), BYTES / 2 + 1);
        buffers.a[at] ^= 1;
        let (_, value, _) = perform(engine, operation, buffers).await.map_err(failed)?;
        if value != Value::Difference(Some(at as u64)) {
            return Err(Unchecked::Wrong(format!(
                "{operation}: a difference at byte {at} is answered {value:?}"
            )));
        }
    }
    Ok(())
}

fn is_right(operation: Operation, setup: &Setup, after: &Buffers, value: Value) -> bool {
    let data = setup::data(BYTES);
    if numbers::is_numeric(operation) {
        return numbers::is_right(operation, &data, after);
    }
    if columns::is_column(operation) {
        return columns::is_right(operation, &data, after, value);
    }
    if streams::is_stream(operation) {
        return streams::is_right(operation, &data, after, value);
    }
    if miniblocks::is_miniblocks(operation) {
        return miniblocks::is_right(operation, &data, after, value);
    }
    let crc32c = || Value::Crc(Crc::<u32>::new(&CRC_32_ISCSI).checksum(&data).into());
    let crc64 = || Value::Crc(Crc::<u64>::new(&CRC_64_NVME).checksum(&data));
    let repeated = |pattern: &[u8]| after.b.chunks(pattern.len()).all(|chunk| chunk == pattern);
    let is_whole = after.b.len() == BYTES;
    match operation {
        Operation::Copy => after.b == data[..],
        Operation::Dualcast => after.b == data[..] && after.c == data[..],
        Operation::Fill => is_whole && repeated(&PATTERN.to_le_bytes()),
        Operation::Fill16 => is_whole && repeated(&PATTERN16),
        Operation::Compare | Operation::ComparePattern => value == Value::Difference(None),
        Operation::CreateDelta => {
            let record = setup::delta(&data, &setup::changed(&data));
            value == Value::Delta { written: record.len() as u64 }
                && after.c.get(..record.len()) == Some(&record[..])
        }
        Operation::ApplyDelta => after.b == setup::changed(&data)[..],
        Operation::Crc32c => value == crc32c(),
        Operation::Crc64 => value == crc64(),
        Operation::CopyCrc32c => value == crc32c() && after.b == data[..],
        Operation::CopyCrc64 => value == crc64() && after.b == data[..],
        Operation::DifInsert | Operation::DifUpdate => after.b == setup::with_fields(&data)[..],
        Operation::DifStrip => after.b == data[..],
        Operation::DixGenerate => {
            let all = setup::with_fields(&data);
            after.b == all.chunks_exact(520).flat_map(|block| &block[512..]).copied().collect::<Vec<u8>>()[..]
        }
        Operation::Deflate => expanded(after, value).is_some_and(|expanded| expanded == data),
        Operation::Inflate => {
            matches!(value, Value::Inflate { written, .. } if written == BYTES as u64) && after.b == data[..]
        }
        // Nothing is written, and what is read stays.
        _ => after.a == setup.a.as_bytes(),
    }
}

/// What flate2 makes of a segment.
pub(super) fn expanded(after: &Buffers, value: Value) -> Option<Vec<u8>> {
    let Value::Deflate { written, .. } = value else { return None };
    let mut expanded = Vec::new();
    let stream = after.b.get(..usize::try_from(written).ok()?)?;
    DeflateDecoder::new(stream).read_to_end(&mut expanded).ok()?;
    Some(expanded)
}
