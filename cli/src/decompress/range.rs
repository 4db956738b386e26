//! `--range`: some of the data, by an index, without what is before it.

use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

use serde_json::json;
use svala_engine::{Completed, DecompressError, Report};

use super::is_of_memory;
use crate::args::{DataRange, Decompress};
use crate::error::Trouble;
use crate::exit::Exit;
use crate::index::{self, Fingerprint, Flaw, Index, Segment};
use crate::pipeline::Pipeline;
use crate::run::{Finding, Session};
use crate::sink::Sink;
use crate::source::{Input, Source, explain};
use crate::tally::Tally;

/// Segments under way at once.
const SEGMENTS_IN_FLIGHT: usize = 8;

pub(super) async fn run(
    session: &Session<'_>,
    args: &Decompress,
    index: &Path,
    range: DataRange,
) -> Result<Finding, Trouble> {
    let index_source = Source::open(index)?;
    let index = read(&index_source)?;
    let source = Source::open(&args.input)?;
    check_stream(&source, &index_source, &index)?;
    let data_bytes = index.data_bytes();
    let range = range.within(data_bytes).ok_or_else(|| Trouble::Range {
        path: args.input.clone(),
        range: range.to_string(),
        data_bytes,
    })?;
    let input = Input::File(source);
    let mut sink = Sink::create(&args.output, session.manner(0), &input, true, &session.stop)?;
    let Input::File(source) = input else { unreachable!("it is a file") };
    session.progress.begin(Some(range.end - range.start));
    let (tally, read) = expand(session, &source, &index, &range, &mut sink).await?;
    source.watched().check()?;
    let sync = sink.finish()?;
    let fields = json!({
        "source": args.input.to_string_lossy(),
        "destination": args.output.to_string_lossy(),
        "format": format!("{:?}", index.format).to_lowercase(),
        "compressed_bytes": read,
        "bytes": range.end - range.start,
        "range": [range.start, range.end],
    });
    Ok(Finding { exit: Exit::Success, tally, sync, fields })
}

fn read(source: &Source) -> Result<Index, Trouble> {
    let flawed = |(offset, flaw)| Trouble::Index { path: source.path().to_owned(), offset, flaw };
    if source.len() > index::BYTES_MAX {
        return Err(flawed((0, Flaw::TooLong(source.len()))));
    }
    let mut bytes = vec![0; usize::try_from(source.len()).unwrap_or(usize::MAX)];
    let read = source.file().read_exact_at(&mut bytes, 0);
    read.map_err(|error| {
        source.watched().check().err().unwrap_or_else(|| Trouble::file(source.path(), error))
    })?;
    Index::parse(&bytes).map_err(flawed)
}

/// That the stream is the one the index was made with.
fn check_stream(source: &Source, index_source: &Source, index: &Index) -> Result<(), Trouble> {
    let found =
        Fingerprint::of(source.file(), source.len()).map_err(|error| Trouble::file(source.path(), error))?;
    if found == index.stream {
        return Ok(());
    }
    let (path, stream) = (index_source.path().to_owned(), source.path().to_owned());
    Err(Trouble::OtherStream { path, stream, found, wanted: index.stream })
}

/// Puts the bytes of a range; says how many of the stream were read for it.
async fn expand(
    session: &Session<'_>,
    source: &Source,
    index: &Index,
    range: &Range<u64>,
    sink: &mut Sink,
) -> Result<(Tally, u64), Trouble> {
    let mut segments = index.segments.iter().filter(|segment| {
        let data = &segment.block.data;
        data.start < range.end && range.start < data.end
    });
    let mut pipeline = Pipeline::new(SEGMENTS_IN_FLIGHT, &session.stop);
    let (mut tally, mut read, mut written) = (Tally::default(), 0, 0);
    loop {
        while !pipeline.is_full()
            && let Some(segment) = segments.next()
        {
            pipeline.push(expand_segment(session, source, index, segment, range));
        }
        let Some(done) = pipeline.next().await? else { return Ok((tally, read)) };
        let (bytes, wanted, report) = done?;
        let wanted_bytes = (wanted.end - wanted.start) as u64;
        sink.put(bytes.get(wanted).unwrap_or_default())?;
        tally.add(&report);
        (read, written) = (read + report.bytes, written + wanted_bytes);
        session.progress.reach(written);
    }
}

/// What is to be expanded of a segment, and which of that is in the range.
async fn expand_segment(
    session: &Session<'_>,
    source: &Source,
    index: &Index,
    segment: &Segment,
    range: &Range<u64>,
) -> Result<(Vec<u8>, Range<usize>, Report), Trouble> {
    let Segment { block, miniblocks } = segment;
    let start = block.data.start;
    // Counted from the start of the segment's data.
    let inside = range.start.max(start) - start..range.end.min(block.data.end) - start;
    let map = source.map(&block.stream)?;
    let room = |bytes: &Range<u64>| vec![0; usize::try_from(bytes.end - bytes.start).unwrap_or(usize::MAX)];
    let part = |all: u64| {
        let place = |at: u64| usize::try_from(at - all).unwrap_or(usize::MAX);
        place(inside.start)..place(inside.end)
    };
    let by_miniblocks = miniblocks.as_ref().and_then(|index| Some((index, index.find(inside.clone())?)));
    if let Some((miniblocks, found)) = by_miniblocks {
        let all = miniblocks.data(found.clone());
        let done = session.engine.inflate_range(map, room(&all), miniblocks, found).await;
        let Completed { report, buffers, .. } =
            done.map_err(|failed| explain(failed.error, block.stream.start, &[source.watched()]))?;
        return Ok((buffers.1, part(all.start), report));
    }
    let done = session.engine.decompress_block(map, room(&block.data), block, index.format).await;
    let Completed { report, buffers, .. } = done.map_err(|(error, _)| match error {
        DecompressError::Operation(error) if is_of_memory(&error) => {
            explain(error, block.stream.start, &[source.watched()])
        }
        error => source
            .watched()
            .check()
            .err()
            .unwrap_or_else(|| Trouble::Stream { path: source.path().to_owned(), what: error.to_string() }),
    })?;
    Ok((buffers.1, part(0), report))
}
