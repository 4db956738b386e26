//! `svala compare`: windows of two files, or of a file and a pattern, until the first difference.

use std::io::{self, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use svala_engine::Report;

use crate::args::{Compare, Pattern};
use crate::error::Trouble;
use crate::exit::Exit;
use crate::pipeline::Pipeline;
use crate::run::{Finding, Session, is_silent};
use crate::source::{Source, explain};
use crate::tally::Tally;
use crate::window::{WINDOW_BYTES, WINDOWS_IN_FLIGHT, windows};

pub(crate) async fn run(session: &Session<'_>, args: &Compare) -> Result<Finding, Trouble> {
    match (&args.b, args.pattern) {
        (_, Some(pattern)) => with_pattern(session, &args.a, pattern).await,
        (Some(b), None) => files(session, &args.a, b).await,
        (None, None) => unreachable!("the command line has one of them"),
    }
}

/// Whether a file is a pattern, again and again.
async fn with_pattern(session: &Session<'_>, path: &Path, pattern: Pattern) -> Result<Finding, Trouble> {
    let source = Source::open(path)?;
    let compare = |window| pattern_window(session, &source, window, pattern);
    let (difference, tally) = first_difference(session, source.len(), compare).await?;
    source.watched().check()?;
    session.progress.end();
    let exit = if difference.is_some() { Exit::Different } else { Exit::Success };
    if let Some(offset) = difference {
        let expected = pattern.byte(offset);
        let bytes = byte_at(&source, offset)
            .map_or_else(String::new, |byte| format!(": {byte:#04x}, {expected:#04x}"));
        let name = path.display();
        session.say(format!("{name} differs from the pattern: byte {}{bytes}", offset + 1).as_bytes())?;
    }
    let fields = json!({
        "a": path.to_string_lossy(),
        "pattern": format!("{:016x}", pattern.word().swap_bytes()),
        "equal": exit == Exit::Success,
        "difference_offset": difference,
    });
    Ok(Finding { exit, tally, sync: Duration::ZERO, fields })
}

async fn pattern_window(
    session: &Session<'_>,
    source: &Source,
    window: Range<u64>,
    pattern: Pattern,
) -> Result<(Option<u64>, Report), Trouble> {
    // Windows begin at multiples of the pattern.
    match session.engine.compare_pattern(source.map(&window)?, pattern.word()).await {
        Ok(done) => Ok((done.value.map(|offset| window.start + offset), done.report)),
        Err(failed) => Err(explain(failed.error, window.start, &[source.watched()])),
    }
}

async fn files(session: &Session<'_>, a_path: &Path, b_path: &Path) -> Result<Finding, Trouble> {
    let (a, b) = (Source::open(a_path)?, Source::open(b_path)?);
    let compare = |window| compare_window(session, &a, &b, window);
    let (difference, tally) = first_difference(session, a.len().min(b.len()), compare).await?;
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
        "a": a_path.to_string_lossy(),
        "b": b_path.to_string_lossy(),
        "equal": exit == Exit::Success,
        // From 0, for programs.
        "difference_offset": difference.map_or(Value::Null, Value::from),
        "eof_on": ended,
    });
    Ok(Finding { exit, tally, sync: Duration::ZERO, fields })
}

/// The offset of the first difference in `len` bytes, whose windows are compared by `compare`.
async fn first_difference<C: Future<Output = Result<(Option<u64>, Report), Trouble>>>(
    session: &Session<'_>,
    len: u64,
    compare: impl Fn(Range<u64>) -> C,
) -> Result<(Option<u64>, Tally), Trouble> {
    let mut tally = Tally::default();
    session.progress.begin(Some(len));
    let mut windows = windows(len, WINDOW_BYTES);
    let mut pipeline = Pipeline::new(WINDOWS_IN_FLIGHT, &session.stop);
    loop {
        while !pipeline.is_full()
            && let Some(window) = windows.next()
        {
            pipeline.push(compare(window));
        }
        let Some(compared) = pipeline.next().await? else { return Ok((None, tally)) };
        let (difference, report) = compared?;
        session.progress.advance(report.bytes);
        tally.add(&report);
        if difference.is_some() {
            return Ok((difference, tally));
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
    if is_silent(session.common) {
        return;
    }
    let name = shorter.path().display();
    let _ = match shorter.len() {
        0 => writeln!(io::stderr(), "svala: EOF on {name} which is empty"),
        bytes => writeln!(io::stderr(), "svala: EOF on {name} after byte {bytes}"),
    };
}
