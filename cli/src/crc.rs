//! `svala crc`: CRCs of files, window by window, each with the CRC of those before it as its seed.

use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use svala::Crc as Polynomial;

use crate::args::{Crc, Kind};
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
        match crc_of(session, path, args.kind, &mut tally).await {
            Ok((crc, bytes)) => {
                let digits = digits(args.kind, crc);
                session.say(&line(&digits, path))?;
                files.push(
                    json!({ "name": path.to_string_lossy(), (field(args.kind)): digits, "bytes": bytes }),
                );
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

/// The name of a CRC in the result for programs.
pub(crate) const fn field(kind: Kind) -> &'static str {
    match kind {
        Kind::Crc32c => "crc32c",
        Kind::Crc64 => "crc64",
    }
}

/// A CRC in all its digits.
pub(crate) fn digits(kind: Kind, crc: u64) -> String {
    match kind {
        Kind::Crc32c => format!("{crc:08x}"),
        Kind::Crc64 => format!("{crc:016x}"),
    }
}

/// A line as `sha256sum` writes it: a name with a line's end in it is escaped, and the line begins with a backslash.
pub(crate) fn line(digits: &str, path: &Path) -> Vec<u8> {
    let name = path.as_os_str().as_bytes();
    let escaped = name.iter().any(|byte| matches!(byte, b'\n' | b'\r' | b'\\'));
    let mut line = Vec::with_capacity(name.len() + digits.len() + 4);
    if escaped {
        line.push(b'\\');
    }
    line.extend(digits.bytes());
    line.extend(b"  ");
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

async fn crc_of(
    session: &Session<'_>,
    path: &Path,
    kind: Kind,
    tally: &mut Tally,
) -> Result<(u64, u64), Trouble> {
    match Input::open(path, &session.stop)? {
        Input::File(source) => Ok((crc_of_file(session, &source, kind, tally).await?, source.len())),
        Input::Stream(stream) => crc_of_stream(session, path, stream, kind, tally).await,
    }
}

/// The CRC of a file that can be mapped.
pub(crate) async fn crc_of_file(
    session: &Session<'_>,
    source: &Source,
    kind: Kind,
    tally: &mut Tally,
) -> Result<u64, Trouble> {
    session.progress.begin(Some(source.len()));
    let mut crc = 0;
    let mut pipeline = Pipeline::new(1, &session.stop);
    for window in windows(source.len(), WINDOW_BYTES) {
        pipeline.push(session.engine.crc(source.map(&window)?, Polynomial::from(kind), crc));
        let Some(outcome) = pipeline.next().await? else { unreachable!("one was pushed") };
        let done = outcome.map_err(|failed| explain(failed.error, window.start, &[source.watched()]))?;
        crc = done.value;
        session.progress.advance(done.report.bytes);
        tally.add(&done.report);
    }
    source.watched().check()?;
    Ok(crc)
}

async fn crc_of_stream(
    session: &Session<'_>,
    path: &Path,
    mut stream: Stream,
    kind: Kind,
    tally: &mut Tally,
) -> Result<(u64, u64), Trouble> {
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
        pipeline.push(session.engine.crc(buffer, Polynomial::from(kind), crc));
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
        assert_eq!(line("e3069283", Path::new("a b")), b"e3069283  a b");
        assert_eq!(line("00000001", Path::new("a\nb\\")), b"\\00000001  a\\nb\\\\");
    }
}
