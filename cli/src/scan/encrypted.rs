//! An encrypted column: its file's chunks are messages, each decrypted and scanned in one go.
//!
//! No element may lie in two chunks, so its bits have to go into theirs. Values are selected by a mask, for which a device has
//! no place beside a cipher: for those a chunk is decrypted first.
//!
//! With GCM all of the file is authenticated, also what is behind the last element: a file that was cut is found out.

use std::path::Path;

use svala::Column;

use super::{Scanned, Total, column_of, count_of, end, scan_column, sink};
use crate::args::{Encryption, Found, Mode, Order, Scan};
use crate::encrypt::{Chunk, Chunks, failed};
use crate::error::Trouble;
use crate::pipeline::Pipeline;
use crate::run::{Finding, Session};
use crate::source::{Input, STANDARD};
use crate::tally::Tally;

pub(super) async fn run(
    session: &Session<'_>,
    args: &Scan,
    key_file: &Path,
    input: Input,
) -> Result<Finding, Trouble> {
    let what = Encryption {
        input: args.file.clone(),
        output: args.output.clone().unwrap_or_else(|| STANDARD.into()),
        key_file: key_file.to_owned(),
        mode: args.mode,
        unit: args.unit,
    };
    let len = input.len().unwrap_or(0);
    let mut sink = sink(session, args, &input)?;
    let mut chunks = Chunks::of_encrypted(&what, input)?;
    let data_bytes = chunks.data_bytes_of(len)?;
    let count = count_of(args, data_bytes)?;
    let elements_max = elements_of_a_chunk(args, &chunks, data_bytes)?;
    let mut total = Total::default();
    let mut tally = Tally::default();
    session.progress.begin(Some(len));
    let mut pipeline = Pipeline::new(chunks.depth(), &session.stop);
    let mut first = 0;
    loop {
        while !pipeline.is_full()
            && (first < count || args.mode == Mode::Gcm)
            && let Some((at, chunk)) = chunks.next()?
        {
            let elements = elements_max.min(count - first);
            let begin = first;
            first += elements;
            pipeline.push(async move { (at, scan_chunk(session, args, chunk, begin, elements).await) });
        }
        let Some((at, scanned)) = pipeline.next().await? else { break };
        let scanned = scanned.map_err(|error| failed(&what, at, error))?;
        if let Some(sink) = &mut sink {
            sink.put(&scanned.output)?;
        }
        for report in &scanned.reports {
            tally.add(report);
        }
        session.progress.reach(at);
        total.add(&scanned);
    }
    chunks.check()?;
    end(session, args, count, &total, tally, sink)
}

/// Elements in a chunk that is not the last.
fn elements_of_a_chunk(args: &Scan, chunks: &Chunks<'_>, data_bytes: u64) -> Result<u64, Trouble> {
    let (path, chunk_bytes) = (args.file.clone(), chunks.data_bytes());
    if data_bytes <= chunk_bytes {
        return Ok(u64::MAX);
    }
    let bits = chunk_bytes * 8;
    match u64::from(args.width) {
        _ if args.deflated || args.order == Order::Parquet => Err(Trouble::Chunks { path, chunk_bytes }),
        width if bits.is_multiple_of(width) => Ok(bits / width),
        _ => Err(Trouble::Straddles { path, width: args.width, chunk_bytes }),
    }
}

async fn scan_chunk(
    session: &Session<'_>,
    args: &Scan,
    Chunk { cipher, bytes }: Chunk,
    first: u64,
    elements: u64,
) -> Result<Scanned, svala::Error> {
    let selects = args.to == Found::Values && args.output.is_some();
    let count = u32::try_from(elements).unwrap_or(u32::MAX);
    if elements > 0 && !selects {
        let column: Column<_> = column_of(args, bytes, count).encrypted(cipher);
        return scan_column(session, args, column, first).await;
    }
    let room = vec![0; bytes.len()];
    let done = session.engine.decrypt(bytes, room, cipher).await.map_err(|failed| failed.error)?;
    if elements == 0 {
        return Ok(Scanned { reports: vec![done.report], ..Scanned::default() });
    }
    let mut scanned = scan_column(session, args, column_of(args, done.buffers.1, count), first).await?;
    scanned.reports.push(done.report);
    Ok(scanned)
}
