//! `svala scan`: the elements of a column for which a condition holds.
//!
//! A packed column goes window by window, each of whole groups of 64 elements; Parquet's encoding and deflate streams have
//! no places to begin at, and go as one. An encrypted file goes chunk by chunk ([`encrypted`]).

mod encrypted;

use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use svala::{Aggregates, Column, ColumnFault};
use svala_engine::{IoBuf, Operation, Report};

use crate::args::{Found, Mode, Order, Scan};
use crate::error::Trouble;
use crate::exit::Exit;
use crate::pipeline::Pipeline;
use crate::run::{Finding, Session};
use crate::sink::Sink;
use crate::source::{Input, Source, explain};
use crate::tally::Tally;
use crate::window::{WINDOW_BYTES, WINDOWS_IN_FLIGHT};

/// Elements that begin and end at whole bytes, and whose bits do.
const GROUP: u64 = 64;

pub(crate) async fn run(session: &Session<'_>, args: &Scan) -> Result<Finding, Trouble> {
    let input = Input::open(&args.file, &session.stop)?;
    let Input::File(source) = &input else {
        return Err(Trouble::NotRegular { path: args.file.clone(), what: "a stream" });
    };
    if let Some(key_file) = &args.key_file {
        return encrypted::run(session, args, key_file, input).await;
    }
    let count = count_of(args, source.len())?;
    let mut sink = sink(session, args, &input)?;
    let mut total = Total::default();
    let mut tally = Tally::default();
    session.progress.begin(Some(source.len()));
    let mut windows = windows(args, source.len(), count);
    let mut pipeline = Pipeline::new(WINDOWS_IN_FLIGHT, &session.stop);
    loop {
        while !pipeline.is_full()
            && let Some(window) = windows.next()
        {
            pipeline.push(scan_window(session, args, source, window));
        }
        let Some(scanned) = pipeline.next().await? else { break };
        let scanned = scanned?;
        if let Some(sink) = &mut sink {
            sink.put(&scanned.output)?;
        }
        for report in &scanned.reports {
            tally.add(report);
        }
        session.progress.advance(scanned.read);
        total.add(&scanned);
    }
    source.watched().check()?;
    end(session, args, count, &total, tally, sink)
}

/// Where what is found goes, if it is asked for.
fn sink(session: &Session<'_>, args: &Scan, input: &Input) -> Result<Option<Sink>, Trouble> {
    let create = |path| Sink::create(path, session.manner(0o666), input, false, &session.stop);
    args.output.as_deref().map(create).transpose()
}

/// Says what was found.
fn end(
    session: &Session<'_>,
    args: &Scan,
    count: u64,
    total: &Total,
    tally: Tally,
    sink: Option<Sink>,
) -> Result<Finding, Trouble> {
    let sync = match sink {
        Some(sink) => sink.finish()?,
        None => Duration::ZERO,
    };
    if args.output.as_deref() != Some(Path::new("-")) {
        session.progress.end();
        session.say(total.line(count).as_bytes())?;
    }
    Ok(Finding { exit: Exit::Success, tally, sync, fields: total.fields(args, count) })
}

/// How many elements there are.
fn count_of(args: &Scan, bytes: u64) -> Result<u64, Trouble> {
    let room = bytes.saturating_mul(8) / u64::from(args.width);
    let is_packed = args.order != Order::Parquet && !args.deflated;
    let count = args.count.unwrap_or(room);
    let refuse = |fault| Trouble::Operation {
        path: args.file.clone(),
        offset: 0,
        error: svala::Error::Column { operation: Operation::Scan, fault },
    };
    if is_packed && count > room {
        return Err(refuse(ColumnFault::TooShort { expected: u32::try_from(count).unwrap_or(u32::MAX) }));
    }
    let is_counted = is_packed && args.to != Found::Indices;
    if count > u64::from(u32::MAX) && !is_counted {
        return Err(refuse(ColumnFault::ElementTooWide { width: 32 }));
    }
    Ok(count)
}

/// A part of a column.
#[derive(Clone, Debug)]
struct Window {
    bytes: Range<u64>,
    /// Index of its first element.
    first: u64,
    count: u32,
}

fn windows(args: &Scan, len: u64, count: u64) -> impl Iterator<Item = Window> + use<> {
    let width = u64::from(args.width);
    let is_whole = args.order == Order::Parquet || args.deflated;
    let step = if is_whole { u64::MAX } else { WINDOW_BYTES * 8 / width / GROUP * GROUP };
    let mut first = 0;
    std::iter::from_fn(move || {
        if first == count {
            return None;
        }
        let elements = step.min(count - first);
        let from = if is_whole { 0 } else { first * width / 8 };
        let bytes = if is_whole { len } else { (elements * width).div_ceil(8) };
        let window =
            Window { bytes: from..from + bytes, first, count: u32::try_from(elements).unwrap_or(u32::MAX) };
        first += elements;
        Some(window)
    })
}

/// What was found in a window.
#[derive(Default)]
struct Scanned {
    /// Bytes of the file.
    read: u64,
    reports: Vec<Report>,
    output: Vec<u8>,
    ones: u64,
    ends: Option<(u64, u64)>,
    aggregates: Option<Aggregates>,
}

async fn scan_window(
    session: &Session<'_>,
    args: &Scan,
    source: &Source,
    window: Window,
) -> Result<Scanned, Trouble> {
    let Window { bytes, first, count } = window;
    let column = column_of(args, source.map(&bytes)?, count);
    let scanned = scan_column(session, args, column, first).await;
    let scanned = scanned.map_err(|error| explain(error, bytes.start, &[source.watched()]))?;
    Ok(Scanned { read: bytes.end - bytes.start, ..scanned })
}

fn column_of<B>(args: &Scan, bytes: B, count: u32) -> Column<B> {
    let column = match args.order {
        Order::Little => Column::packed(bytes, args.width, count),
        Order::Big => Column::packed_big_endian(bytes, args.width, count),
        Order::Parquet => Column::parquet_rle(bytes, args.width, count),
    };
    if args.deflated { column.deflated() } else { column }
}

/// What is asked of a column, the first element of which has this index.
async fn scan_column<B: IoBuf>(
    session: &Session<'_>,
    args: &Scan,
    mut column: Column<B>,
    first: u64,
) -> Result<Scanned, svala::Error> {
    let mut reports = Vec::new();
    let mut aggregates = None;
    if args.aggregates {
        let done = session.engine.column(column).aggregates().await.map_err(|failed| failed.error)?;
        reports.push(done.report);
        aggregates = Some(done.value);
        column = done.buffers;
    }
    let done = session.engine.column(column).scan(args.condition.0).await.map_err(|failed| failed.error)?;
    reports.push(done.report);
    let (column, mask) = (done.buffers, done.value);
    let ends = mask.first().zip(mask.last());
    let ends = ends.map(|(low, high)| (first + u64::from(low), first + u64::from(high)));
    let ones = mask.count_ones().into();
    let output = match args.to {
        _ if args.output.is_none() => Vec::new(),
        Found::Bits => mask.into_bytes(),
        Found::Indices => {
            let base = u32::try_from(first).unwrap_or(u32::MAX);
            mask.iter_ones().flat_map(|index| (base + index).to_le_bytes()).collect()
        }
        Found::Values => {
            let selected = session.engine.column(column).select(&mask).await;
            let done = selected.map_err(|failed| failed.error)?;
            reports.push(done.report);
            done.value.into_iter().flat_map(u32::to_le_bytes).collect()
        }
    };
    Ok(Scanned { read: 0, reports, output, ones, ends, aggregates })
}

/// What was found in all windows.
#[derive(Default)]
struct Total {
    ones: u64,
    ends: Option<(u64, u64)>,
    aggregates: Option<Aggregates>,
}

impl Total {
    fn add(&mut self, scanned: &Scanned) {
        self.ones += scanned.ones;
        self.ends = match (self.ends, scanned.ends) {
            (Some((first, _)), Some((_, last))) => Some((first, last)),
            (before, now) => before.or(now),
        };
        self.aggregates = match (self.aggregates, scanned.aggregates) {
            (Some(before), Some(now)) => Some(before.and(now)),
            (before, now) => before.or(now),
        };
    }

    fn line(&self, count: u64) -> String {
        let mut line = format!("{} of {count} elements", self.ones);
        if let Some((first, last)) = self.ends {
            line += &format!(", first {first}, last {last}");
        }
        if let Some(Aggregates { min, max, sum }) = self.aggregates {
            line += &format!("\nof all: least {min}, greatest {max}, sum {sum} (modulo 2^32)");
        }
        line
    }

    fn fields(&self, args: &Scan, count: u64) -> Value {
        let (first, last) = self.ends.unzip();
        let mut fields = json!({
            "file": args.file.to_string_lossy(),
            "elements": count,
            "matches": self.ones,
            "first": first,
            "last": last,
        });
        if let Some(Aggregates { min, max, sum }) = self.aggregates {
            fields["aggregates"] = json!({ "min": min, "max": max, "sum_modulo_2_32": sum });
        }
        if args.key_file.is_some() {
            fields["mode"] = json!(args.mode.name());
            fields["authenticated"] = json!(args.mode == Mode::Gcm);
        }
        if let Some(output) = &args.output {
            fields["output"] = json!(output.to_string_lossy());
        }
        fields
    }
}
