//! `svala compress`: segments of the input, several at once, written in order.
//!
//! A segment does not refer to the data of others, so each can be made by any engine at any time; what that costs in
//! size is less than a per cent. Memory: a mapped or read segment and room for its output, for each in flight.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::ops::Range;
use std::path::Path;

use serde_json::json;
use svala::{DeflateOptions, Deflated};
use svala_engine::{
    Compression, Dictionary, DictionaryFormat, Error, FileMap, Format, IoBuf, MiniblockIndex, MiniblockSize,
    Report, STREAM_END, Segments, compressed_bytes_max,
};

use crate::args::{Compress, OutputFormat};
use crate::dictionary;
use crate::error::Trouble;
use crate::exit::Exit;
use crate::index::{self, Fingerprint, Flaw, Index, TAIL_BYTES};
use crate::output::{check_document, is_same_place, write_document};
use crate::pipeline::Pipeline;
use crate::run::{Finding, Session};
use crate::sink::Sink;
use crate::source::{Input, STANDARD, Source, Stream, explain};
use crate::tally::Tally;
use crate::window::windows;

/// Bytes of input in a segment.
pub(crate) const SEGMENT_BYTES: usize = 1 << 20;

/// A segment that was made, and what of.
struct Segment<S> {
    deflated: Deflated,
    input: S,
    room: Vec<u8>,
    report: Report,
    /// Where miniblocks are in it, if it is to have them.
    miniblocks: Option<MiniblockIndex>,
}

pub(crate) async fn run(session: &Session<'_>, args: &Compress) -> Result<Finding, Trouble> {
    let to_stdout = args.output.as_os_str() == STANDARD;
    if to_stdout && session.common.json_on_stdout() {
        return Err(Trouble::TwoOutputs);
    }
    let input = Input::open(&args.input, &session.stop)?;
    let dictionary = args.dictionary.as_deref().map(|path| dictionary::read(path, args.format.into()));
    let dictionary = dictionary.transpose()?;
    if let Some(index) = &args.index {
        check_index(index, args, &input, session.common.force)?;
    }
    let sink = Sink::create(&args.output, session.manner(0), &input, false, &session.stop)?;
    session.progress.begin(input.len());
    let compression = Compression { format: args.format.into(), level: args.level };
    let mut writer = Writer {
        session,
        segments: match &dictionary {
            Some((dictionary, format)) => Segments::with_dictionary(*format, args.level, dictionary),
            None if args.index.is_some() => Segments::indexed(compression),
            None => Segments::new(compression),
        },
        index: args.index.as_deref(),
        index_bytes: 0,
        miniblocks: Vec::new(),
        tail: Vec::new(),
        sink,
        tally: Tally::default(),
        read: 0,
        written: 0,
    };
    let rooms = Rooms::default();
    let how = How { compression, dictionary, miniblocks: args.miniblocks };
    writer.put_header()?;
    match input {
        Input::File(source) => {
            compress_file(session, &source, &mut writer, &rooms, &how).await?;
            source.watched().check()?;
        }
        Input::Stream(stream) => compress_stream(session, stream, &mut writer, &rooms, &how).await?,
    }
    writer.put_trailer()?;
    let index = writer.index(compression.format, args.miniblocks).map(|index| index.to_bytes());
    let Writer { sink, tally, read, written, .. } = writer;
    let sync = sink.finish()?;
    let mut fields = json!({
        "source": args.input.to_string_lossy(),
        "destination": args.output.to_string_lossy(),
        "bytes": read,
        "compressed_bytes": written,
    });
    if let (Some(path), Some(index)) = (&args.index, index) {
        write_document(path, session.common.force, &index)?;
        fields["index"] = json!(path.to_string_lossy());
        fields["index_bytes"] = json!(index.len());
    }
    Ok(Finding { exit: Exit::Success, tally, sync, fields })
}

/// That there can be an index, and that it is a file of its own.
fn check_index(index: &Path, args: &Compress, input: &Input, force: bool) -> Result<(), Trouble> {
    if matches!(args.format, OutputFormat::Lz4) {
        let what = "no index of LZ4 (--format gzip, zlib or raw has one)".into();
        return Err(Trouble::Stream { path: index.to_owned(), what });
    }
    if is_same_place(index, &args.output) {
        return Err(Trouble::SameFile { read: args.output.clone(), destination: index.to_owned() });
    }
    let reads: Vec<_> = input.identity().map(|identity| (input.path(), identity)).into_iter().collect();
    check_document(index, force, &reads)
}

/// How segments are made.
struct How {
    compression: Compression,
    /// What the first one refers to.
    dictionary: Option<(Dictionary, DictionaryFormat)>,
    miniblocks: Option<MiniblockSize>,
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
        _ => match how.miniblocks {
            Some(size) => {
                session.engine.deflate_miniblocks(src, room, size, how.compression.options(last)).await?
            }
            None => session.engine.segment(src, room, how.compression, last).await?,
        },
    };
    let (input, room) = done.buffers;
    let made = usize::try_from(done.value.written).unwrap_or(usize::MAX);
    let miniblocks = match how.miniblocks {
        Some(size) => {
            // By itself, every segment has an end.
            let stream = [room.get(..made).unwrap_or(&room), &STREAM_END].concat();
            Some(session.engine.index_miniblocks(stream, size).await?.value)
        }
        None => None,
    };
    Ok(Segment { deflated: done.value, input, room, report: done.report, miniblocks })
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
    /// Where the index is to go, if there is to be one.
    index: Option<&'a Path>,
    index_bytes: u64,
    /// Of each segment that has something in it.
    miniblocks: Vec<MiniblockIndex>,
    /// What the stream ends with so far.
    tail: Vec<u8>,
}

impl Writer<'_> {
    fn put(&mut self, bytes: &[u8]) -> Result<(), Trouble> {
        self.written += bytes.len() as u64;
        self.tail.extend_from_slice(&bytes[bytes.len().saturating_sub(TAIL_BYTES)..]);
        self.tail.drain(..self.tail.len().saturating_sub(TAIL_BYTES));
        self.sink.put(bytes)
    }

    fn put_header(&mut self) -> Result<(), Trouble> {
        let header = self.segments.header();
        self.put(&header)
    }

    /// Appends the next segment; gives its input and its room back.
    fn put_segment<S: IoBuf>(&mut self, segment: Segment<S>) -> Result<(S, Vec<u8>), Unput> {
        let Segment { deflated, input, room, report, miniblocks } = segment;
        let made = usize::try_from(deflated.written).unwrap_or(usize::MAX);
        self.put(room.get(..made).unwrap_or(&room)).map_err(Unput::Trouble)?;
        self.segments.add(&deflated, &input).map_err(Unput::Operation)?;
        self.note(miniblocks, input.span().len).map_err(Unput::Trouble)?;
        self.tally.add(&report);
        self.read += input.span().len;
        self.session.progress.reach(self.read);
        Ok((input, room))
    }

    /// Takes where the miniblocks of a segment are into the index, which has a bound.
    fn note(&mut self, miniblocks: Option<MiniblockIndex>, input_bytes: u64) -> Result<(), Trouble> {
        let Some(path) = self.index.filter(|_| input_bytes > 0) else { return Ok(()) };
        self.index_bytes += index::bytes_of(miniblocks.as_ref());
        self.miniblocks.extend(miniblocks);
        if self.index_bytes > index::SEGMENTS_BYTES_MAX {
            let (path, bytes) = (path.to_owned(), self.index_bytes);
            return Err(Trouble::Index { path, offset: bytes, flaw: Flaw::TooLong(bytes) });
        }
        Ok(())
    }

    /// The index of what has been written.
    fn index(&mut self, format: Format, size: Option<MiniblockSize>) -> Option<Index> {
        let mut miniblocks = std::mem::take(&mut self.miniblocks).into_iter();
        let blocks = self.segments.index()?.blocks().iter();
        let segments =
            blocks.map(|block| index::Segment { block: block.clone(), miniblocks: miniblocks.next() });
        let stream = Fingerprint::new(self.written, &self.tail);
        Some(Index { format, miniblocks: size, stream, segments: segments.collect() })
    }

    fn put_trailer(&mut self) -> Result<(), Trouble> {
        let trailer = self.segments.trailer();
        self.put(&trailer)
    }
}
