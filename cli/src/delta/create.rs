//! `svala delta create`.

use std::os::unix::fs::FileExt;

use serde_json::json;
use svala::{Completed, Error};
use svala_engine::Report;

use super::format::{HEADER_BYTES, Header, Kind, RECORD_BYTES, Record};
use super::{STRETCHES_IN_FLIGHT, Stretch, crc32c_of, stretches, usize_of};
use crate::args::{Create, Kind as CrcKind};
use crate::crc::crc_of_file;
use crate::error::Trouble;
use crate::exit::Exit;
use crate::output::Output;
use crate::pipeline::Pipeline;
use crate::run::{Finding, Session};
use crate::source::{Source, explain};
use crate::tally::Tally;

/// A record that was made.
struct Made {
    /// All its bytes.
    bytes: Vec<u8>,
    reports: Vec<Report>,
    stretch_bytes: u64,
    is_whole: bool,
}

pub(crate) async fn run(session: &Session<'_>, args: &Create) -> Result<Finding, Trouble> {
    let (old, new) = (Source::open(&args.old)?, Source::open(&args.new)?);
    let manner = session.manner(new.mode());
    let output = Output::create(&args.output, manner, &[old.named(), new.named()], &session.stop)?;
    let mut tally = Tally::default();
    let header = Header {
        old_len: old.len(),
        new_len: new.len(),
        old_crc32c: crc32c(session, &old, &mut tally).await?,
        new_crc32c: crc32c(session, &new, &mut tally).await?,
    };
    let mut bytes = header.to_bytes();
    let (checked, crc32c) = bytes.split_at_mut(HEADER_BYTES - 4);
    crc32c.copy_from_slice(&crc32c_of(session, output.path(), checked.to_vec()).await?.1.to_le_bytes());
    put(&output, &bytes, 0)?;
    let (delta_bytes, whole) = put_records(session, &old, &new, &output, &mut tally).await?;
    old.watched().check()?;
    new.watched().check()?;
    let sync = output.finish()?;
    let fields = json!({
        "action": "create",
        "old": args.old.to_string_lossy(),
        "new": args.new.to_string_lossy(),
        "delta": args.output.to_string_lossy(),
        "old_bytes": old.len(),
        "new_bytes": new.len(),
        "delta_bytes": delta_bytes,
        "stretches": stretches(old.len(), new.len()).count(),
        "stretches_whole": whole,
        "old_crc32c": format!("{:08x}", header.old_crc32c),
        "new_crc32c": format!("{:08x}", header.new_crc32c),
    });
    Ok(Finding { exit: Exit::Success, tally, sync, fields })
}

/// Makes the records and writes them; says how long the file is then, and how many stretches are in it whole.
async fn put_records(
    session: &Session<'_>,
    old: &Source,
    new: &Source,
    output: &Output,
    tally: &mut Tally,
) -> Result<(u64, u64), Trouble> {
    session.progress.begin(Some(new.len()));
    let mut stretches = stretches(old.len(), new.len());
    let mut pipeline = Pipeline::new(STRETCHES_IN_FLIGHT, &session.stop);
    let (mut at, mut whole) = (HEADER_BYTES as u64, 0);
    loop {
        while !pipeline.is_full()
            && let Some(stretch) = stretches.next()
        {
            pipeline.push(record(session, old, new, output, stretch));
        }
        let Some(made) = pipeline.next().await? else { return Ok((at, whole)) };
        let made = made?;
        put(output, &made.bytes, at)?;
        at += made.bytes.len() as u64;
        whole += u64::from(made.is_whole);
        made.reports.iter().for_each(|report| tally.add(report));
        session.progress.advance(made.stretch_bytes);
    }
}

/// The record of a stretch.
async fn record(
    session: &Session<'_>,
    old: &Source,
    new: &Source,
    output: &Output,
    stretch: Stretch,
) -> Result<Made, Trouble> {
    let mut reports = Vec::new();
    let differences = differences(session, old, new, &stretch, &mut reports).await?;
    let is_whole = differences.is_none();
    let (kind, mut inside, rest) = match differences {
        Some(differences) => (Kind::Differences, differences, stretch.rest()),
        None => (Kind::Whole, Vec::new(), stretch.new.clone()),
    };
    let rest_at = inside.len();
    inside.resize(rest_at + usize_of(rest.end - rest.start), 0);
    new.file()
        .read_exact_at(&mut inside[rest_at..], rest.start)
        .map_err(|error| new.watched().check().err().unwrap_or_else(|| Trouble::file(new.path(), error)))?;
    let record = Record { kind, bytes: u32::try_from(inside.len()).unwrap_or(u32::MAX) };
    let checked = [&record.to_bytes()[..], &inside].concat();
    let (checked, crc32c, report) = crc32c_of(session, output.path(), checked).await?;
    reports.push(report);
    let (head, inside) = checked.split_at(RECORD_BYTES - 4);
    let bytes = [head, &crc32c.to_le_bytes(), inside].concat();
    Ok(Made { bytes, reports, stretch_bytes: stretch.bytes(), is_whole })
}

/// The words that differ. None if they take more room than the stretch as it is.
async fn differences(
    session: &Session<'_>,
    old: &Source,
    new: &Source,
    stretch: &Stretch,
    reports: &mut Vec<Report>,
) -> Result<Option<Vec<u8>>, Trouble> {
    if stretch.compared.is_empty() {
        return Ok(None);
    }
    let (a, b) = (old.map(&stretch.compared)?, new.map(&stretch.compared)?);
    // What a device takes at least is ten differences.
    let room = usize_of(stretch.compared.end - stretch.compared.start).max(80);
    match session.engine.create_delta(a, b, vec![0; room]).await {
        Ok(Completed { value, report, buffers: (_, _, mut delta) }) => {
            reports.push(report);
            delta.truncate(usize_of(value.written));
            let inside = value.written + (stretch.new.end - stretch.compared.end);
            Ok((inside < stretch.bytes()).then_some(delta))
        }
        Err(failed) if matches!(failed.error, Error::OutputFull { .. }) => Ok(None),
        Err(failed) => Err(explain(failed.error, stretch.new.start, &[old.watched(), new.watched()])),
    }
}

async fn crc32c(session: &Session<'_>, source: &Source, tally: &mut Tally) -> Result<u32, Trouble> {
    let crc = crc_of_file(session, source, CrcKind::Crc32c, tally).await?;
    Ok(u32::try_from(crc).unwrap_or_default())
}

fn put(output: &Output, bytes: &[u8], at: u64) -> Result<(), Trouble> {
    let written = output.file().write_all_at(bytes, at);
    written.map_err(|error| Trouble::doing("writing: ", output.path(), error))
}
