//! `svala copy`: windows of the source to windows of the destination.

use std::ops::Range;
use std::time::Duration;

use serde_json::json;
use svala_engine::Report;

use crate::args::Copy;
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
    let reads = Some((source.path(), source.identity()));
    let mut output = Output::create(&args.destination, manner, reads, &session.stop)?;
    output.reserve(source.len())?;
    let tally = copy(session, &source, &output).await?;
    source.watched().check()?;
    let sync: Duration = output.finish()?;
    let fields = json!({
        "source": args.source.to_string_lossy(),
        "destination": args.destination.to_string_lossy(),
        "bytes": source.len(),
    });
    Ok(Finding { exit: Exit::Success, tally, sync, fields })
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
