//! A framed stream made of segments, several of them in flight: no input or output of its own.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use svala::{Deflated, Error, Outcome, Path, Report};

use crate::compress::{Compression, compressed_bytes_max};
use crate::engine::Engine;
use crate::index::Index;
use crate::segments::Segments;

/// Bytes of input in a segment. One that a flush cuts off is shorter.
const SEGMENT_BYTES: usize = 256 << 10;
/// Most segments in flight: enough to keep the CPUs or a device busy while the oldest is written.
const DEPTH_MAX: usize = 8;

type Buffers = (Vec<u8>, Vec<u8>);
type Flight = Pin<Box<dyn Future<Output = Outcome<Deflated, Buffers>> + Send>>;

/// A segment on its way.
enum Place {
    Flying(Flight, u64),
    Done(Box<Outcome<Deflated, Buffers>>, u64),
}

/// What was done, and by what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Streamed {
    /// Bytes that are not compressed.
    pub bytes: u64,
    /// Bytes that are, frames included.
    pub compressed_bytes: u64,
    /// Bytes worked on by each path that was taken. More than one if a queue failed, or took some of it only.
    pub paths: Vec<(Path, u64)>,
}

impl Streamed {
    pub(crate) fn add(&mut self, path: Path, bytes: u64) {
        match self.paths.iter_mut().find(|(known, _)| *known == path) {
            Some((_, sum)) => *sum += bytes,
            None => self.paths.push((path, bytes)),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Takes input.
    Open,
    /// The last segment is on its way.
    Closing,
    /// The trailer is in the output.
    Closed,
}

/// The state of a stream that is being made.
pub(crate) struct Encode {
    engine: Engine,
    segments: Segments,
    /// Input of the segment that is filled.
    filling: Vec<u8>,
    flights: VecDeque<Place>,
    /// Output, of which the first bytes are taken already.
    output: Vec<u8>,
    taken: usize,
    spare: Vec<Buffers>,
    depth: usize,
    stage: Stage,
    /// A segment has begun that has not been polled.
    fresh: bool,
    streamed: Streamed,
    failed: Option<(io::ErrorKind, String)>,
}

impl Encode {
    pub(crate) fn new(engine: Engine, compression: Compression) -> Self {
        let segments = Segments::new(compression);
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        let output = segments.header().to_vec();
        Self {
            engine,
            segments,
            filling: Vec::new(),
            flights: VecDeque::new(),
            output,
            taken: 0,
            spare: Vec::new(),
            depth: (2 * cpus).clamp(2, DEPTH_MAX),
            stage: Stage::Open,
            fresh: false,
            streamed: Streamed::default(),
            failed: None,
        }
    }

    /// With an index of the segments. Before the first one.
    pub(crate) fn index_segments(&mut self) {
        self.segments = Segments::indexed(self.segments.compression());
    }

    pub(crate) const fn index(&self) -> Option<&Index> {
        self.segments.index()
    }

    pub(crate) const fn streamed(&self) -> &Streamed {
        &self.streamed
    }

    /// Takes what there is room for, which is nothing while everything is in flight.
    pub(crate) fn put(&mut self, input: &[u8]) -> usize {
        let taken = input.len().min(self.room());
        self.filling.extend_from_slice(&input[..taken]);
        taken
    }

    /// Bytes that [`put`](Self::put) takes.
    pub(crate) fn room(&self) -> usize {
        if self.stage == Stage::Open { SEGMENT_BYTES - self.filling.len() } else { 0 }
    }

    /// Output that can be taken.
    pub(crate) fn output(&self) -> &[u8] {
        &self.output[self.taken..]
    }

    pub(crate) const fn consume(&mut self, bytes: usize) {
        self.taken += bytes;
        self.streamed.compressed_bytes += bytes as u64;
    }

    /// Whether all that was put in has come out.
    pub(crate) fn is_empty(&self) -> bool {
        self.filling.is_empty() && self.flights.is_empty() && self.output().is_empty()
    }

    /// Whether the oldest segment is under way, and who [pumped](Self::pump) last will be woken for it.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.fresh && matches!(self.flights.front(), Some(Place::Flying(..)))
    }

    /// Whether nothing has been put in yet.
    pub(crate) fn is_new(&self) -> bool {
        self.stage == Stage::Open
            && self.filling.is_empty()
            && self.flights.is_empty()
            && self.streamed == Streamed::default()
    }

    /// Whether it takes no more input.
    pub(crate) fn is_closed(&self) -> bool {
        self.stage != Stage::Open
    }

    /// Whether the trailer has come out.
    pub(crate) fn has_ended(&self) -> bool {
        self.stage == Stage::Closed && self.output().is_empty()
    }

    /// Lets segments begin and go on, and puts what is done into the output once that is empty. `cx` is woken when more can
    /// be done.
    pub(crate) fn pump(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if let Some((kind, text)) = &self.failed {
            return Err(io::Error::new(*kind, text.clone()));
        }
        if self.filling.len() == SEGMENT_BYTES {
            self.begin(false);
        }
        self.fresh = false;
        for place in &mut self.flights {
            if let Place::Flying(flight, bytes) = place
                && let Poll::Ready(outcome) = flight.as_mut().poll(cx)
            {
                *place = Place::Done(Box::new(outcome), *bytes);
            }
        }
        while self.output().is_empty()
            && let Some(Place::Done(..)) = self.flights.front()
        {
            self.finish_first()?;
        }
        if self.stage == Stage::Closing && self.flights.is_empty() && self.output().is_empty() {
            self.stage = Stage::Closed;
            self.output.clear();
            self.output.extend_from_slice(&self.segments.trailer());
            self.taken = 0;
        }
        Ok(())
    }

    /// Sends what is there on its way, if anything is. Says whether it could.
    pub(crate) fn cut(&mut self) -> bool {
        self.filling.is_empty() || self.begin(false)
    }

    /// Sends the last segment on its way. Says whether it could.
    pub(crate) fn close(&mut self) -> bool {
        self.stage != Stage::Open || self.begin(true)
    }

    fn begin(&mut self, last: bool) -> bool {
        if self.flights.len() >= self.depth {
            return false;
        }
        let (next, mut room) = self.spare.pop().unwrap_or_default();
        let input = std::mem::replace(&mut self.filling, next);
        self.filling.clear();
        room.resize(compressed_bytes_max(SEGMENT_BYTES), 0);
        let (engine, how, bytes) = (self.engine.clone(), self.segments.compression(), input.len() as u64);
        let flight = Box::pin(async move { engine.segment(input, room, how, last).await });
        self.flights.push_back(Place::Flying(flight, bytes));
        self.fresh = true;
        if last {
            self.stage = Stage::Closing;
        }
        true
    }

    fn finish_first(&mut self) -> io::Result<()> {
        let Some(Place::Done(outcome, bytes)) = self.flights.pop_front() else { return Ok(()) };
        let done = outcome.map_err(|failed| self.fail(&failed.error))?;
        let Report { path, .. } = done.report;
        self.streamed.add(path, bytes);
        self.streamed.bytes += bytes;
        let (input, mut room) = done.buffers;
        self.segments.add(&done.value, &input).map_err(|error| self.fail(&error))?;
        room.truncate(usize::try_from(done.value.written).unwrap_or(usize::MAX));
        let old = std::mem::replace(&mut self.output, room);
        self.taken = 0;
        self.spare.push((input, old));
        Ok(())
    }

    /// The error, which is the end of the stream: later calls say it again.
    fn fail(&mut self, error: &Error) -> io::Error {
        let (kind, text) = (io::ErrorKind::Other, error.to_string());
        self.failed = Some((kind, text.clone()));
        io::Error::new(kind, text)
    }
}
