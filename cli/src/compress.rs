//! `svala compress`: segments of the input, several at once, written in order.
//!
//! A segment does not refer to the data of others, so each can be made by any engine at any time; what that costs in
//! size is less than a per cent. Memory: a mapped or read segment and room for its output, for each in flight.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::ops::Range;

use serde_json::json;
use svala::{DeflateOptions, Deflated};
use svala_engine::{
    Compression, Dictionary, DictionaryFormat, Error, FileMap, IoBuf, Report, Segments, compressed_bytes_max,
};

use crate::args::Compress;
use crate::dictionary;
use crate::error::Trouble;
use crate::exit::Exit;
use crate::pipeline::Pipeline;
use crate::run::{Finding, Session};
use crate::sink::Sink;
use crate::source::{Input, STANDARD, Source, Stream, explain};
use crate::tally::Tally;
use crate::window::windows;

/// Bytes of input in a segment.
const SEGMENT_BYTES: usize = 1 << 20;

/// A segment that was made, and what of.
struct Segment<S> {
    deflated: Deflated,
    input: S,
    room: Vec<u8>,
    report: Report,
}

pub(crate) async fn run(session: &Session<'_>, args: &Compress) -> Result<Finding, Trouble> {
    let to_stdout = args.output.as_os_str() == STANDARD;
    if to_stdout && session.common.json_on_stdout() {
        return Err(Trouble::TwoOutputs);
    }
    let input = Input::open(&args.input, &session.stop)?;
    let dictionary = args.dictionary.as_deref().map(|path| dictionary::read(path, args.format.into()));
    let dictionary = dictionary.transpose()?;
    let sink = Sink::create(&args.output, session.manner(0), &input, false, &session.stop)?;
    session.progress.begin(input.len());
    let compression = Compression { format: args.format.into(), level: args.level };
    let mut writer = Writer {
        session,
        segments: match &dictionary {
            Some((dictionary, format)) => Segments::with_dictionary(*format, args.level, dictionary),
            None => Segments::new(compression),
        },
        sink,
        tally: Tally::default(),
        read: 0,
        written: 0,
    };
    let rooms = Rooms::default();
    let how = How { compression, dictionary };
    writer.put_header()?;
    match input {
        Input::File(source) => {
            compress_file(session, &source, &mut writer, &rooms, &how).await?;
            source.watched().check()?;
        }
        Input::Stream(stream) => compress_stream(session, stream, &mut writer, &rooms, &how).await?,
    }
    writer.put_trailer()?;
    let Writer { sink, tally, read, written, .. } = writer;
    let sync = sink.finish()?;
    let fields = json!({
        "source": args.input.to_string_lossy(),
        "destination": args.output.to_string_lossy(),
        "bytes": read,
        "compressed_bytes": written,
    });
    Ok(Finding { exit: Exit::Success, tally, sync, fields })
}

/// How segments are made.
struct How {
    compression: Compression,
    /// What the first one refers to.
    dictionary: Option<(Dictionary, DictionaryFormat)>,
}

/// Enough to keep all CPUs, or an engine, busy while the oldest is written.
fn depth() -> usize {
    let cpus = std::thread::available_parallelism().map_or(1, |cpus| cpus.get());
    (2 * cpus).clamp(4, 32)
}

async fn compress_file(
    session: &Session<'_>,
    source: &Source,
    writer: &mut Writer<'_>,
    rooms: &Rooms,
    how: &How,
) -> Result<(), Trouble> {
    let mut parts = windows(source.len(), SEGMENT_BYTES as u64);
    // Nothing is one segment, of nothing.
    let mut empty = (source.len() == 0).then_some(0..0);
    let mut pipeline = Pipeline::new(depth(), &session.stop);
    loop {
        while !pipeline.is_full()
            && let Some(part) = parts.next().or_else(|| empty.take())
        {
            pipeline.push(compress_part(session, source, part, how, rooms));
        }
        let Some(segment) = pipeline.next().await? else { return Ok(()) };
        let (start, segment) = segment?;
        let put = writer.put_segment(segment).map_err(|error| match error {
            Unput::Trouble(trouble) => trouble,
            Unput::Operation(error) => explain(error, start, &[source.watched()]),
        })?;
        rooms.give_back(put.1);
    }
}

/// Compresses a part of a file, mapped for as long as that takes.
async fn compress_part(
    session: &Session<'_>,
    source: &Source,
    part: Range<u64>,
    how: &How,
    rooms: &Rooms,
) -> Result<(u64, Segment<FileMap>), Trouble> {
    let map = source.map(&part)?;
    let place = (part.start == 0, part.end == source.len());
    let segment = compress(session, map, rooms.take(), how, place).await;
    let segment = segment.map_err(|error| explain(error, part.start, &[source.watched()]))?;
    Ok((part.start, segment))
}

async fn compress_stream(
    session: &Session<'_>,
    mut stream: Stream,
    writer: &mut Writer<'_>,
    rooms: &Rooms,
    how: &How,
) -> Result<(), Trouble> {
    let mut pipeline = Pipeline::new(depth(), &session.stop);
    let mut buffers = VecDeque::new();
    let (mut offset, mut ended) = (0, false);
    loop {
        while !pipeline.is_full() && !ended {
            let mut buffer: Vec<u8> = buffers.pop_front().unwrap_or_default();
            buffer.resize(SEGMENT_BYTES, 0);
            let filled = stream.fill(&mut buffer)?;
            buffer.truncate(filled);
            // A stream that ends with a full buffer ends with an empty segment.
            ended = filled < SEGMENT_BYTES;
            let (at, place) = (offset, (offset == 0, ended));
            pipeline.push(async move {
                let done = compress(session, buffer, rooms.take(), how, place).await;
                (at, done)
            });
            offset += filled as u64;
        }
        let Some((offset, done)) = pipeline.next().await? else { return Ok(()) };
        let failed = |error| Trouble::Operation { path: STANDARD.into(), offset, error };
        let put = writer.put_segment(done.map_err(failed)?).map_err(|error| match error {
            Unput::Trouble(trouble) => trouble,
            Unput::Operation(error) => failed(error),
        })?;
        buffers.push_back(put.0);
        rooms.give_back(put.1);
    }
}

async fn compress<S: IoBuf>(
    session: &Session<'_>,
    src: S,
    room: Vec<u8>,
    how: &How,
    (first, last): (bool, bool),
) -> Result<Segment<S>, Error> {
    let done = match &how.dictionary {
        Some((dictionary, format)) if first => {
            let options = DeflateOptions { level: how.compression.level, last, check: format.check() };
            session.engine.deflate_with_dictionary(src, room, dictionary, options).await?
        }
        _ => session.engine.segment(src, room, how.compression, last).await?,
    };
    let (input, room) = done.buffers;
    Ok(Segment { deflated: done.value, input, room, report: done.report })
}

/// Buffers for output that are used again and again.
#[derive(Default)]
struct Rooms(RefCell<Vec<Vec<u8>>>);

impl Rooms {
    fn take(&self) -> Vec<u8> {
        self.0.borrow_mut().pop().unwrap_or_else(|| vec![0; compressed_bytes_max(SEGMENT_BYTES)])
    }

    fn give_back(&self, room: Vec<u8>) {
        self.0.borrow_mut().push(room);
    }
}

/// Why a segment was not written.
enum Unput {
    Trouble(Trouble),
    /// Its input could not be looked at.
    Operation(Error),
}

/// Puts the stream together.
struct Writer<'a> {
    session: &'a Session<'a>,
    segments: Segments,
    sink: Sink,
    tally: Tally,
    read: u64,
    written: u64,
}

impl Writer<'_> {
    fn put(&mut self, bytes: &[u8]) -> Result<(), Trouble> {
        self.written += bytes.len() as u64;
        self.sink.put(bytes)
    }

    fn put_header(&mut self) -> Result<(), Trouble> {
        let header = self.segments.header();
        self.put(&header)
    }

    /// Appends the next segment; gives its input and its room back.
    fn put_segment<S: IoBuf>(&mut self, segment: Segment<S>) -> Result<(S, Vec<u8>), Unput> {
        let Segment { deflated, input, room, report } = segment;
        let made = usize::try_from(deflated.written).unwrap_or(usize::MAX);
        self.put(room.get(..made).unwrap_or(&room)).map_err(Unput::Trouble)?;
        self.segments.add(&deflated, &input).map_err(Unput::Operation)?;
        self.tally.add(&report);
        self.read += input.span().len;
        self.session.progress.reach(self.read);
        Ok((input, room))
    }

    fn put_trailer(&mut self) -> Result<(), Trouble> {
        let trailer = self.segments.trailer();
        self.put(&trailer)
    }
}
