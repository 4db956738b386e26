//! `svala decompress`: a device expands what fits into one of its jobs, the CPU everything else as a stream.
//!
//! A compressed file says nothing that can be believed about the size of what is in it: gzip's length is the length
//! modulo 2^32, written by whoever wrote the file. So it is a hint, and never decides how much memory is used: that
//! is a bound of ours, or the expander's half a mebibyte.

mod range;

use std::io::{Cursor, Read};
use std::os::unix::fs::FileExt;
use std::time::Duration;

use serde_json::json;
use svala::backend::Kind;
use svala_engine::{
    DecompressError, Decompression, Dictionary, ExpandError, Expander, Format, Operation, Path, Reason,
    Report,
};

use crate::args::{Decompress, InputFormat, Size};
use crate::dictionary;
use crate::error::Trouble;
use crate::exit::Exit;
use crate::pipeline::Pipeline;
use crate::run::{Finding, Session};
use crate::sink::Sink;
use crate::source::{Input, STANDARD, Source, explain};
use crate::tally::Tally;

/// Most bytes of a file, and of what is in it, that a device is given: both are in memory as a whole.
const DEVICE_BYTES_MAX: u64 = 32 << 20;

/// What came out.
struct Expanded {
    read: u64,
    written: u64,
    members: u32,
    report: Report,
}

pub(crate) async fn run(session: &Session<'_>, args: &Decompress) -> Result<Finding, Trouble> {
    if args.output.as_os_str() == STANDARD && session.common.json_on_stdout() {
        return Err(Trouble::TwoOutputs);
    }
    if let (Some(index), Some(range)) = (&args.index, args.range) {
        return range::run(session, args, index, range).await;
    }
    let mut input = Input::open(&args.input, &session.stop)?;
    let (prefix, format) = format_of(&mut input, args.format)?;
    let dictionary = args.dictionary.as_deref().map(|path| dictionary::read(path, format));
    let dictionary = dictionary.transpose()?.map(|(dictionary, _)| dictionary);
    let mut sink = Sink::create(&args.output, session.manner(0), &input, true, &session.stop)?;
    session.progress.begin(input.len());
    let output_bytes_max = args.max_size.map_or(u64::MAX, Size::bytes);
    let how = Decompression { format, output_bytes_max, ..Decompression::default() };
    let by_device = match &input {
        Input::File(source) if dictionary.is_none() => on_device(session, source, how, &mut sink).await?,
        _ => Err(software_reason(session, Reason::Stream, format)),
    };
    let expanded = match by_device {
        Ok(expanded) => expanded,
        Err(reason) => as_stream(session, &mut input, prefix, (how, dictionary), &mut sink, reason)?,
    };
    if let Input::File(source) = &input {
        source.watched().check()?;
    }
    let sync: Duration = sink.finish()?;
    let mut tally = Tally::default();
    tally.add(&expanded.report);
    let fields = json!({
        "source": args.input.to_string_lossy(),
        "destination": args.output.to_string_lossy(),
        "format": format!("{format:?}").to_lowercase(),
        "compressed_bytes": expanded.read,
        "bytes": expanded.written,
        "members": expanded.members,
    });
    Ok(Finding { exit: Exit::Success, tally, sync, fields })
}

/// The frame that was asked for, or the one the first bytes are; and the bytes of a stream that were read for it.
fn format_of(input: &mut Input, asked: InputFormat) -> Result<(Vec<u8>, Format), Trouble> {
    let known = match asked {
        InputFormat::Auto => None,
        InputFormat::Gzip => Some(Format::Gzip),
        InputFormat::Zlib => Some(Format::Zlib),
        InputFormat::Raw => Some(Format::Raw),
        InputFormat::Lz4 => Some(Format::Lz4),
    };
    if let Some(format) = known {
        return Ok((Vec::new(), format));
    }
    let mut first = [0; 2];
    let (bytes, is_stream) = match input {
        Input::File(source) => {
            let read = source.file().read_at(&mut first, 0);
            (read.map_err(|error| Trouble::file(source.path(), error))?, false)
        }
        Input::Stream(stream) => (stream.fill(&mut first)?, true),
    };
    let what = match first {
        _ if bytes == 0 => "empty: there is no stream in it",
        [0x1f, 0x8b] if bytes == 2 => return Ok((prefix(first, is_stream), Format::Gzip)),
        [cmf, _] if bytes == 2 && cmf & 0x8f == 8 && u16::from_be_bytes(first) % 31 == 0 => {
            return Ok((prefix(first, is_stream), Format::Zlib));
        }
        [0x04, 0x22] if bytes == 2 => return Ok((prefix(first, is_stream), Format::Lz4)),
        _ => "neither gzip nor zlib nor LZ4 (a bare deflate stream needs --format raw)",
    };
    Err(Trouble::Stream { path: input.path().to_owned(), what: what.into() })
}

fn prefix(first: [u8; 2], is_stream: bool) -> Vec<u8> {
    if is_stream { first.to_vec() } else { Vec::new() }
}

/// Why the CPU does it: it was asked for, or nothing else is there, or `otherwise`.
fn software_reason(session: &Session<'_>, otherwise: Reason, format: Format) -> Reason {
    match device_bytes_max(session, format) {
        Some(_) => otherwise,
        None => none_does(session, format),
    }
}

/// Why no device does it.
fn none_does(session: &Session<'_>, format: Format) -> Reason {
    match session.engine.capabilities().any(|queue| queue.kind != Kind::Software) {
        true => Reason::NotOffered { operation: operation(format) },
        false => session.engine.config().software_reason,
    }
}

const fn operation(format: Format) -> Operation {
    if matches!(format, Format::Lz4) { Operation::Lz4Decompress } else { Operation::Inflate }
}

/// The most a device takes and gives in one go; none without such a device.
fn device_bytes_max(session: &Session<'_>, format: Format) -> Option<u64> {
    let operation = operation(format);
    let mut devices = session.engine.capabilities().filter(|queue| queue.kind != Kind::Software);
    let inflates = devices.find(|queue| queue.operations.contains(operation))?;
    Some(inflates.unsplit_bytes_max.max(DEVICE_BYTES_MAX))
}

/// Has a device expand the whole file in one go, where it may fit. Inside: why the CPU has to.
async fn on_device(
    session: &Session<'_>,
    source: &Source,
    how: Decompression,
    sink: &mut Sink,
) -> Result<Result<Expanded, Reason>, Trouble> {
    let format = how.format;
    let Some(bytes_max) = device_bytes_max(session, format) else {
        return Ok(Err(none_does(session, format)));
    };
    let room = room_for(source, format)?.unwrap_or(bytes_max);
    if source.len() > bytes_max || room > bytes_max {
        return Ok(Err(Reason::Large { bytes_max }));
    }
    // What does not fit is gone over as a stream, which says so.
    let room = room.min(how.output_bytes_max).max(1);
    let room = vec![0; usize::try_from(room).unwrap_or(usize::MAX)];
    let mut pipeline = Pipeline::new(1, &session.stop);
    pipeline.push(session.engine.decompress(source.map(&(0..source.len()))?, room, format));
    let Some(outcome) = pipeline.next().await? else { unreachable!("one was pushed") };
    let done = match outcome {
        Ok(done) => done,
        Err((DecompressError::Operation(error), _)) if is_of_memory(&error) => {
            return Err(explain(error, 0, &[source.watched()]));
        }
        // Whatever else it is: the stream says exactly what, or that only the room was too small.
        Err((error, _)) => {
            tracing::debug!(%error, "expanding as a stream instead");
            return Ok(Err(Reason::Stream));
        }
    };
    let value = done.value;
    if value.read != source.len() {
        return Err(trailing(source.path(), value.read));
    }
    let made = usize::try_from(value.written).unwrap_or(usize::MAX);
    sink.put(done.buffers.1.get(..made).unwrap_or_default())?;
    Ok(Ok(Expanded { read: value.read, written: value.written, members: value.members, report: done.report }))
}

/// Whether the error is about memory, not about what is in it.
fn is_of_memory(error: &svala::Error) -> bool {
    matches!(
        error,
        svala::Error::Fault { .. } | svala::Error::Vanished { .. } | svala::Error::NoAnswer { .. }
    )
}

/// The length that gzip notes at its end. A hint.
fn room_for(source: &Source, format: Format) -> Result<Option<u64>, Trouble> {
    let Some(at) = source.len().checked_sub(4).filter(|_| format == Format::Gzip) else { return Ok(None) };
    let mut len = [0; 4];
    source.file().read_exact_at(&mut len, at).map_err(|error| Trouble::file(source.path(), error))?;
    Ok(Some(u32::from_le_bytes(len).into()))
}

/// Expands on this thread, a piece at a time.
fn as_stream(
    session: &Session<'_>,
    input: &mut Input,
    prefix: Vec<u8>,
    (how, dictionary): (Decompression, Option<Dictionary>),
    sink: &mut Sink,
    reason: Reason,
) -> Result<Expanded, Trouble> {
    let path = input.path().to_owned();
    let mut source: Box<dyn Read> = match &mut *input {
        Input::File(source) => Box::new(source.file()),
        Input::Stream(stream) => Box::new(Cursor::new(prefix).chain(stream)),
    };
    let mut progress = |read, _| {
        session.progress.reach(read);
        session.stop.check().is_ok()
    };
    let expander = Expander::with(how);
    let mut expander = match dictionary {
        Some(dictionary) => expander.and_dictionary(dictionary),
        None => expander,
    };
    let expanded = expander.expand(&mut *source, sink, &mut progress);
    drop(source);
    session.stop.check()?;
    let done = expanded.map_err(|error| match error {
        ExpandError::Read { source, .. } => Trouble::file(&path, source),
        ExpandError::Write { source, .. } => sink.trouble(source),
        other => {
            vanished(input).unwrap_or_else(|| Trouble::Stream { path: path.clone(), what: other.to_string() })
        }
    })?;
    let report = Report { bytes: done.read, ..Report::new(Path::Software { reason }) };
    Ok(Expanded { read: done.read, written: done.written, members: done.members, report })
}

/// That the file is shorter than it was, if so.
fn vanished(input: &Input) -> Option<Trouble> {
    match input {
        Input::File(source) => source.watched().check().err(),
        Input::Stream(_) => None,
    }
}

fn trailing(path: &std::path::Path, at: u64) -> Trouble {
    Trouble::Stream { path: path.to_owned(), what: format!("trailing garbage: stream ends at byte {at}") }
}
