//! `svala copy`: windows of the source to windows of the destination.

use std::ops::Range;
use std::time::Duration;

use serde_json::json;
use svala_engine::Report;

use crate::args::{Copy, Kind};
use crate::crc::{digits, field, line};
use crate::error::Trouble;
use crate::exit::Exit;
use crate::output::Output;
use crate::pipeline::Pipeline;
use crate::run::{Finding, Session};
use crate::source::{Source, explain};
use crate::tally::Tally;
use crate::window::{WINDOW_BYTES, WINDOWS_IN_FLIGHT, windows};

pub(crate) async fn run(session: &Session<'_>, args: &Copy) -> Result<Finding, Trouble> {
    let source = Source::open(&args.source)?;
    let manner = session.manner(source.mode());
    let mut output = Output::create(&args.destination, manner, &[source.named()], &session.stop)?;
    output.reserve(source.len())?;
    let (tally, crc) = match args.crc {
        None => (copy(session, &source, &output).await?, None),
        Some(kind) => {
            let (tally, crc) = copy_crc(session, &source, &output, kind).await?;
            (tally, Some((kind, digits(kind, crc))))
        }
    };
    source.watched().check()?;
    let sync: Duration = output.finish()?;
    let mut fields = json!({
        "source": args.source.to_string_lossy(),
        "destination": args.destination.to_string_lossy(),
        "bytes": source.len(),
    });
    if let Some((kind, digits)) = crc {
        session.progress.end();
        session.say(&line(&digits, &args.destination))?;
        fields[field(kind)] = digits.into();
    }
    Ok(Finding { exit: Exit::Success, tally, sync, fields })
}

/// Copies and computes the CRC on the way: a window after the other, as each begins with the CRC of those before.
async fn copy_crc(
    session: &Session<'_>,
    source: &Source,
    output: &Output,
    kind: Kind,
) -> Result<(Tally, u64), Trouble> {
    let (mut tally, mut crc) = (Tally::default(), 0);
    session.progress.begin(Some(source.len()));
    let mut pipeline = Pipeline::new(1, &session.stop);
    for window in windows(source.len(), WINDOW_BYTES) {
        let (from, to) = (source.map(&window)?, output.map(&window)?);
        pipeline.push(session.engine.copy_crc(from, to, kind.into(), crc));
        let Some(outcome) = pipeline.next().await? else { unreachable!("one was pushed") };
        let files = [source.watched(), output.watched()];
        let done = outcome.map_err(|failed| explain(failed.error, window.start, &files))?;
        crc = done.value;
        session.progress.advance(done.report.bytes);
        tally.add(&done.report);
    }
    Ok((tally, crc))
}

async fn copy(session: &Session<'_>, source: &Source, output: &Output) -> Result<Tally, Trouble> {
    let mut tally = Tally::default();
    session.progress.begin(Some(source.len()));
    let mut windows = windows(source.len(), WINDOW_BYTES);
    let mut pipeline = Pipeline::new(WINDOWS_IN_FLIGHT, &session.stop);
    loop {
        while !pipeline.is_full()
            && let Some(window) = windows.next()
        {
            pipeline.push(copy_window(session, source, output, window));
        }
        let Some(report) = pipeline.next().await? else { return Ok(tally) };
        let report = report?;
        session.progress.advance(report.bytes);
        tally.add(&report);
    }
}

/// Copies one window, mapped for as long as that takes.
async fn copy_window(
    session: &Session<'_>,
    source: &Source,
    output: &Output,
    window: Range<u64>,
) -> Result<Report, Trouble> {
    let (from, to) = (source.map(&window)?, output.map(&window)?);
    match session.engine.copy(from, to).await {
        Ok(done) => Ok(done.report),
        Err(failed) => Err(explain(failed.error, window.start, &[source.watched(), output.watched()])),
    }
}
