//! Jobs on miniblocks.
//!
//! UNSAFETY: makes slices of the addresses in a job.
#![expect(unsafe_code, reason = "jobs are addresses, and the work is on memory")]

use svala::backend::Failure;
use svala::{BlockStart, Check, Done, Job, MiniblockFault, MiniblockSize, Miniblocks, Value};

use super::memory::{Contexts, len_of, readable, size_of_range, writable};
use super::work::{both, check_of};
use crate::deflate::{Level, Segment};
use crate::inflate::{MiniblockError, Places};

/// Does `job`.
///
/// # Safety
///
/// As [`work`](super::work::work).
pub(super) unsafe fn work(job: &Job, contexts: &mut Contexts) -> Result<Done, Failure> {
    match *job {
        Job::DeflateMiniblocks { src, dst, size, level, last, check } => {
            // SAFETY: the caller's contract.
            let (src, dst) = unsafe { both(src, dst) };
            deflate(src, dst, size, (level, last, check), contexts)
        }
        Job::IndexMiniblocks { src, dst, size, start } => {
            // SAFETY: the caller's contract.
            let (src, dst) = unsafe { both(src, dst) };
            index(src, dst, size, start, contexts)
        }
        Job::InflateMiniblocks { src, dst, miniblocks } => {
            let header = miniblocks.header_span(src).unwrap_or_default();
            // SAFETY: the caller's contract: nobody writes them meanwhile.
            let header = unsafe { readable(header) };
            // SAFETY: as above.
            let body = unsafe { readable(miniblocks.span(src)) };
            // SAFETY: the caller's contract: nobody else uses it meanwhile.
            let dst = unsafe { writable(dst) };
            inflate((header, body), dst, miniblocks, contexts)
        }
        _ => Err(Failure::Unsupported),
    }
}

fn deflate(
    src: &[u8],
    dst: &mut [u8],
    size: MiniblockSize,
    (level, last, check): (u8, bool, Check),
    contexts: &mut Contexts,
) -> Result<Done, Failure> {
    let level = Level::new(level.clamp(1, 9)).unwrap_or_default();
    let segment = if last { Segment::Last } else { Segment::NotLast };
    let made = contexts.miniblocks.deflate(src, dst, size_of_range(size.bytes()), level, segment);
    let written = len_of(made.map_err(|full| Failure::OutputFull { bytes_max: len_of(full.room) })?);
    Ok(Done { bytes: len_of(src.len()), value: Value::Deflate { written, check: check_of(check, src) } })
}

fn index(
    src: &[u8],
    dst: &mut [u8],
    size: MiniblockSize,
    start: BlockStart,
    contexts: &mut Contexts,
) -> Result<Done, Failure> {
    let Contexts { inflater, miniblock, .. } = contexts;
    let (miniblock, room) = (&mut miniblock[..size_of_range(size.bytes())], dst.len());
    let made = inflater.index_block(src, (start.bit, start.crc), miniblock, dst);
    let stream_bytes = u64::from(start.bit / 8) + len_of(src.len());
    let made = made.map_err(|error| failure(error, stream_bytes, room))?;
    let (bits, written) = (made.bits, len_of(made.written));
    let value = Value::Index { bits, written, data: made.data, crc: made.crc };
    Ok(Done { bytes: (bits + u64::from(start.bit % 8)).div_ceil(8), value })
}

fn inflate(
    input: (&[u8], &[u8]),
    dst: &mut [u8],
    miniblocks: Miniblocks,
    contexts: &mut Contexts,
) -> Result<Done, Failure> {
    let Miniblocks { header, start, end, crc_before, .. } = miniblocks;
    let (read, room) = (len_of(input.1.len()), dst.len());
    let places = Places { header, start, end };
    let made = contexts.inflater.inflate_miniblocks(input, places, crc_before, dst);
    let (written, check) = made.map_err(|error| failure(error, end.div_ceil(8).into(), room))?;
    Ok(Done { bytes: read, value: Value::Inflate { read, written: len_of(written), check } })
}

/// What the runtime calls it.
fn failure(error: MiniblockError, stream_bytes: u64, room: usize) -> Failure {
    match error {
        MiniblockError::Corrupt { offset } => Failure::Corrupt { offset },
        MiniblockError::Truncated => Failure::Truncated { len: stream_bytes },
        MiniblockError::OutputFull => Failure::OutputFull { bytes_max: len_of(room) },
        MiniblockError::Distance { data_at } => {
            Failure::Miniblock { fault: MiniblockFault::Distance, data_at }
        }
        MiniblockError::Length { data_at } => Failure::Miniblock { fault: MiniblockFault::Length, data_at },
    }
}
