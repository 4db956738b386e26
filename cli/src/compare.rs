//! `svala compare`: windows of two files, until the first difference.

use std::io::{self, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use serde_json::{Value, json};
use svala_engine::Report;

use crate::args::Compare;
use crate::error::Trouble;
use crate::exit::Exit;
use crate::pipeline::Pipeline;
use crate::run::{Finding, Session};
use crate::source::{Source, explain};
use crate::tally::Tally;
use crate::window::{WINDOW_BYTES, WINDOWS_IN_FLIGHT, windows};

pub(crate) async fn run(session: &Session<'_>, args: &Compare) -> Result<Finding, Trouble> {
    let (a, b) = (Source::open(&args.a)?, Source::open(&args.b)?);
    let mut tally = Tally::default();
    let difference = first_difference(session, &a, &b, &mut tally).await?;
    a.watched().check()?;
    b.watched().check()?;
    session.progress.end();
    let ends_first = match a.len().cmp(&b.len()) {
        std::cmp::Ordering::Less => Some(&a),
        std::cmp::Ordering::Equal => None,
        std::cmp::Ordering::Greater => Some(&b),
    };
    let (exit, ended) = match (difference, ends_first) {
        (Some(offset), _) => {
            say_difference(session, &a, &b, offset)?;
            (Exit::Different, None)
        }
        (None, Some(shorter)) => {
            say_end(session, shorter);
            (Exit::Different, Some(shorter.path().to_string_lossy()))
        }
        (None, None) => (Exit::Success, None),
    };
    let fields = json!({
        "a": args.a.to_string_lossy(),
        "b": args.b.to_string_lossy(),
        "equal": exit == Exit::Success,
        // From 0, for programs.
        "difference_offset": difference.map_or(Value::Null, Value::from),
        "eof_on": ended,
    });
    Ok(Finding { exit, tally, sync: Duration::ZERO, fields })
}

/// The offset of the first difference in what both files have.
async fn first_difference(
    session: &Session<'_>,
    a: &Source,
    b: &Source,
    tally: &mut Tally,
) -> Result<Option<u64>, Trouble> {
    let len = a.len().min(b.len());
    session.progress.begin(Some(len));
    let mut windows = windows(len, WINDOW_BYTES);
    let mut pipeline = Pipeline::new(WINDOWS_IN_FLIGHT, &session.stop);
    loop {
        while !pipeline.is_full()
            && let Some(window) = windows.next()
        {
            pipeline.push(compare_window(session, a, b, window));
        }
        let Some(compared) = pipeline.next().await? else { return Ok(None) };
        let (difference, report) = compared?;
        session.progress.advance(report.bytes);
        tally.add(&report);
        if difference.is_some() {
            return Ok(difference);
        }
    }
}

async fn compare_window(
    session: &Session<'_>,
    a: &Source,
    b: &Source,
    window: Range<u64>,
) -> Result<(Option<u64>, Report), Trouble> {
    let (x, y) = (a.map(&window)?, b.map(&window)?);
    match session.engine.compare(x, y).await {
        Ok(done) => Ok((done.value.map(|offset| window.start + offset), done.report)),
        Err(failed) => Err(explain(failed.error, window.start, &[a.watched(), b.watched()])),
    }
}

/// As `cmp` says it, to standard output, with the two bytes.
fn say_difference(session: &Session<'_>, a: &Source, b: &Source, offset: u64) -> Result<(), Trouble> {
    let (a_name, b_name) = (a.path().display(), b.path().display());
    let bytes = match (byte_at(a, offset), byte_at(b, offset)) {
        (Some(x), Some(y)) => format!(": {x:#04x}, {y:#04x}"),
        _ => String::new(),
    };
    session.say(format!("{a_name} {b_name} differ: byte {}{bytes}", offset + 1).as_bytes())
}

fn byte_at(source: &Source, offset: u64) -> Option<u8> {
    let mut byte = [0];
    source.file().read_exact_at(&mut byte, offset).ok()?;
    Some(byte[0])
}

/// As `cmp` says it, to standard error.
fn say_end(session: &Session<'_>, shorter: &Source) {
    if session.common.quiet || session.common.json {
        return;
    }
    let name = shorter.path().display();
    let _ = match shorter.len() {
        0 => writeln!(io::stderr(), "svala: EOF on {name} which is empty"),
        bytes => writeln!(io::stderr(), "svala: EOF on {name} after byte {bytes}"),
    };
}
