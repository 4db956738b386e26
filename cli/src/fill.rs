//! `svala fill`: a file of a pattern.

use std::ops::Range;

use serde_json::json;
use svala_engine::Report;

use crate::args::{Fill, Pattern, Pattern16};
use crate::error::Trouble;
use crate::exit::Exit;
use crate::output::Output;
use crate::pipeline::Pipeline;
use crate::run::{Finding, Session};
use crate::source::explain;
use crate::tally::Tally;
use crate::window::{WINDOW_BYTES, WINDOWS_IN_FLIGHT, windows};

/// Permission bits of a file that is made from nothing.
const MODE: u32 = 0o666;

pub(crate) async fn run(session: &Session<'_>, args: &Fill) -> Result<Finding, Trouble> {
    let bytes = args.size.bytes();
    let mut output = Output::create(&args.destination, session.manner(MODE), &[], &session.stop)?;
    output.reserve(bytes)?;
    let tally = fill(session, &output, bytes, Repeated::of(args)).await?;
    let sync = output.finish()?;
    let fields = json!({ "destination": args.destination.to_string_lossy(), "bytes": bytes });
    Ok(Finding { exit: Exit::Success, tally, sync, fields })
}

/// What is repeated.
#[derive(Clone, Copy)]
enum Repeated {
    Short(Pattern),
    Long(Pattern16),
}

impl Repeated {
    fn of(args: &Fill) -> Self {
        match (args.pattern, args.pattern16) {
            (Some(pattern), _) => Self::Short(pattern),
            (None, Some(pattern)) => Self::Long(pattern),
            (None, None) => unreachable!("the command line has one of them"),
        }
    }
}

async fn fill(
    session: &Session<'_>,
    output: &Output,
    bytes: u64,
    pattern: Repeated,
) -> Result<Tally, Trouble> {
    let mut tally = Tally::default();
    session.progress.begin(Some(bytes));
    // Windows begin at multiples of the pattern, so each begins with its first byte.
    let mut windows = windows(bytes, WINDOW_BYTES);
    let mut pipeline = Pipeline::new(WINDOWS_IN_FLIGHT, &session.stop);
    loop {
        while !pipeline.is_full()
            && let Some(window) = windows.next()
        {
            pipeline.push(fill_window(session, output, window, pattern));
        }
        let Some(report) = pipeline.next().await? else { return Ok(tally) };
        let report = report?;
        session.progress.advance(report.bytes);
        tally.add(&report);
    }
}

async fn fill_window(
    session: &Session<'_>,
    output: &Output,
    window: Range<u64>,
    pattern: Repeated,
) -> Result<Report, Trouble> {
    let map = output.map(&window)?;
    let outcome = match pattern {
        Repeated::Short(pattern) => session.engine.fill(map, pattern.word()).await,
        Repeated::Long(pattern) => session.engine.fill16(map, pattern.bytes()).await,
    };
    match outcome {
        Ok(done) => Ok(done.report),
        Err(failed) => Err(explain(failed.error, window.start, &[output.watched()])),
    }
}
