//! `svala crc`: CRC-32C of files, window by window, each with the CRC of those before it as its seed.

use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::args::Crc;
use crate::error::Trouble;
use crate::exit::Exit;
use crate::pipeline::Pipeline;
use crate::run::{Finding, Session};
use crate::source::{Input, Source, Stream, explain};
use crate::tally::Tally;
use crate::window::{WINDOW_BYTES, windows};

/// Bytes of a stream that are read before they go to the engine.
const STREAM_BYTES: usize = 4 << 20;

/// A file that cannot be read does not stop the others; the exit status tells.
pub(crate) async fn run(session: &Session<'_>, args: &Crc) -> Result<Finding, Trouble> {
    let mut tally = Tally::default();
    let mut files = Vec::with_capacity(args.files.len());
    let mut failed = 0;
    for path in &args.files {
        match crc_of(session, path, &mut tally).await {
            Ok((crc, bytes)) => {
                session.say(&line(crc, path))?;
                let crc = format!("{crc:08x}");
                files.push(json!({ "name": path.to_string_lossy(), "crc32c": crc, "bytes": bytes }));
            }
            Err(trouble @ Trouble::Stopped(_)) => return Err(trouble),
            Err(trouble) => {
                failed += 1;
                session.progress.end();
                let _ = writeln!(io::stderr(), "svala: {trouble}");
                files.push(json!({ "name": path.to_string_lossy(), "error": trouble.to_string() }));
            }
        }
    }
    let exit = if failed == 0 { Exit::Success } else { Exit::Trouble };
    Ok(Finding { exit, tally, sync: Duration::ZERO, fields: json!({ "files": Value::Array(files) }) })
}

/// A line as `sha256sum` writes it: a name with a line's end in it is escaped, and the line begins with a backslash.
fn line(crc: u32, path: &Path) -> Vec<u8> {
    let name = path.as_os_str().as_bytes();
    let escaped = name.iter().any(|byte| matches!(byte, b'\n' | b'\r' | b'\\'));
    let mut line = Vec::with_capacity(name.len() + 12);
    if escaped {
        line.push(b'\\');
    }
    line.extend(format!("{crc:08x}  ").bytes());
    for byte in name {
        match byte {
            b'\n' => line.extend(b"\\n"),
            b'\r' => line.extend(b"\\r"),
            b'\\' => line.extend(b"\\\\"),
            other => line.push(*other),
        }
    }
    line
}

async fn crc_of(session: &Session<'_>, path: &Path, tally: &mut Tally) -> Result<(u32, u64), Trouble> {
    match Input::open(path, &session.stop)? {
        Input::File(source) => crc_of_file(session, &source, tally).await,
        Input::Stream(stream) => crc_of_stream(session, path, stream, tally).await,
    }
}

async fn crc_of_file(
    session: &Session<'_>,
    source: &Source,
    tally: &mut Tally,
) -> Result<(u32, u64), Trouble> {
    session.progress.begin(Some(source.len()));
    let mut crc = 0;
    let mut pipeline = Pipeline::new(1, &session.stop);
    for window in windows(source.len(), WINDOW_BYTES) {
        pipeline.push(session.engine.crc32c(source.map(&window)?, crc));
        let Some(outcome) = pipeline.next().await? else { unreachable!("one was pushed") };
        let done = outcome.map_err(|failed| explain(failed.error, window.start, &[source.watched()]))?;
        crc = done.value;
        session.progress.advance(done.report.bytes);
        tally.add(&done.report);
    }
    source.watched().check()?;
    Ok((crc, source.len()))
}

async fn crc_of_stream(
    session: &Session<'_>,
    path: &Path,
    mut stream: Stream,
    tally: &mut Tally,
) -> Result<(u32, u64), Trouble> {
    session.progress.begin(None);
    let (mut crc, mut bytes) = (0, 0);
    let mut buffer = vec![0; STREAM_BYTES];
    let mut pipeline = Pipeline::new(1, &session.stop);
    loop {
        let filled = stream.fill(&mut buffer)?;
        buffer.truncate(filled);
        if filled == 0 {
            return Ok((crc, bytes));
        }
        pipeline.push(session.engine.crc32c(buffer, crc));
        let Some(outcome) = pipeline.next().await? else { unreachable!("one was pushed") };
        let done = outcome.map_err(|failed| Trouble::Operation {
            path: path.to_owned(),
            offset: bytes,
            error: failed.error,
        })?;
        (crc, buffer) = (done.value, done.buffers);
        bytes += filled as u64;
        session.progress.advance(filled as u64);
        tally.add(&done.report);
        if filled < STREAM_BYTES {
            return Ok((crc, bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_a_line_end_stays_on_its_line() {
        assert_eq!(line(0xe306_9283, Path::new("a b")), b"e3069283  a b");
        assert_eq!(line(1, Path::new("a\nb\\")), b"\\00000001  a\\nb\\\\");
    }
}
