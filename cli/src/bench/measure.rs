//! One point, measured: so many operations under way at once, each followed by the next.
//!
//! All of it on one thread, as one task of a program would. Every round polls each operation once; an operation that
//! completes is followed by the next in the same round, and only a round in which nothing completed lets the thread
//! wait. A latency begins with the first poll, which submits, and ends when a poll finds the end.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use svala::Batch;
use svala_engine::{Engine, Error, Path, Report};

use super::lane::{self, Members, Work};
use super::memory::Arena;
use super::plan::{self, Point};
use super::setup::{Buffers, Setup};
use crate::error::Trouble;
use crate::stop::Stop;
use crate::tally::Tally;

/// Part of a point's time for which it runs before it is measured.
const WARM_UP_PARTS: u32 = 5;
/// Most memory of a point that works on fresh memory.
const COLD_BYTES_MAX: u64 = 512 << 20;
/// Longest latency that is told apart from longer ones.
const LATENCY_NS_MAX: u64 = 600_000_000_000;

/// Why there is no result.
pub(super) enum Ended {
    /// A signal.
    Stopped(Trouble),
    /// Something else, of this point only.
    Failed(String),
}

impl From<Error> for Ended {
    fn from(error: Error) -> Self {
        Self::Failed(error.to_string())
    }
}

/// What was measured.
pub(super) struct Measured {
    /// Nanoseconds of an operation, or of a batch.
    pub(super) latency: Histogram<u64>,
    /// Operations, members of batches each by itself.
    pub(super) operations: u64,
    pub(super) elapsed: Duration,
    /// Which ways they went, and what happened.
    pub(super) tally: Tally,
}

impl Measured {
    fn new() -> Result<Self, Ended> {
        let latency = Histogram::new_with_bounds(1, LATENCY_NS_MAX, 3);
        let latency = latency.map_err(|error| Ended::Failed(error.to_string()))?;
        Ok(Self { latency, operations: 0, elapsed: Duration::ZERO, tally: Tally::default() })
    }

    /// Whether the CPU did all of it.
    pub(super) fn is_software(&self) -> bool {
        self.tally.shares.iter().all(|share| matches!(share.path, Path::Software { .. }))
    }

    fn add(&mut self, latency: Duration, operations: usize, report: &Report) {
        self.latency.saturating_record(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
        self.operations += operations as u64;
        self.tally.add(report);
    }
}

/// Measures `point` for `time`; each of its operations at least once.
pub(super) async fn measure(
    engine: &Engine,
    point: &Point,
    cold: bool,
    time: Duration,
    stop: &Stop,
) -> Result<Measured, Ended> {
    if let Some(why) = plan::unfit(point).or_else(|| too_many(engine, point)) {
        return Err(Ended::Failed(why));
    }
    let setup = Setup::new(engine, point.operation, point.size).await.map_err(Ended::Failed)?;
    let mut supply = Supply::new(&setup, point, cold);
    let mut lanes = Vec::with_capacity(point.depth);
    for _ in 0..point.depth {
        lanes.extend(supply.work());
    }
    if !cold {
        let warm = Round::new(point, Instant::now() + time / WARM_UP_PARTS)?;
        lanes = warm.run(engine, lanes, &mut supply, stop).await?.1;
    }
    let round = Round::new(point, Instant::now() + time)?;
    Ok(round.run(engine, lanes, &mut supply, stop).await?.0)
}

/// A batch that no queue takes.
fn too_many(engine: &Engine, point: &Point) -> Option<String> {
    let queue = engine.capabilities().find(|queue| queue.operations.contains(point.operation))?;
    let (name, most) = (queue.name, queue.batch_max);
    (point.batch > most as usize).then(|| format!("{name}: batches of at most {most}"))
}

/// Where work comes from.
struct Supply<'a> {
    setup: &'a Setup,
    arena: Arena,
    batch: usize,
    cold: bool,
}

impl<'a> Supply<'a> {
    fn new(setup: &'a Setup, point: &Point, cold: bool) -> Self {
        let once = point.footprint() * point.depth as u64 * point.batch as u64;
        let bytes = if cold { once.max(COLD_BYTES_MAX) } else { once };
        let arena = Arena::new(usize::try_from(bytes).unwrap_or(usize::MAX / 2));
        Self { setup, arena, batch: point.batch, cold }
    }

    /// The first work of a lane.
    fn work(&mut self) -> Option<Work> {
        if self.batch == 1 {
            return self.setup.buffers(&mut self.arena, self.cold).map(Work::One);
        }
        let buffers = self.members()?;
        Some(Work::Many(Members { batch: Batch::with_capacity(self.batch), buffers }))
    }

    fn members(&mut self) -> Option<Vec<Buffers>> {
        (0..self.batch).map(|_| self.setup.buffers(&mut self.arena, self.cold)).collect()
    }

    /// The work after `done`: the same again, or the same on fresh memory while there is any.
    fn next(&mut self, done: Work) -> Option<Work> {
        match done {
            again if !self.cold => Some(again),
            Work::One(_) => self.setup.buffers(&mut self.arena, true).map(Work::One),
            Work::Many(members) => Some(Work::Many(Members { buffers: self.members()?, ..members })),
        }
    }
}

/// A place in which one operation follows the other.
struct Lane<F> {
    flight: Pin<Box<Option<F>>>,
    /// When it was submitted; none before.
    began: Option<Instant>,
}

/// Operations until a moment.
struct Round<'p> {
    point: &'p Point,
    until: Instant,
    measured: Measured,
    /// What came back from lanes that are over.
    back: Vec<Work>,
}

impl<'p> Round<'p> {
    fn new(point: &'p Point, until: Instant) -> Result<Self, Ended> {
        Ok(Self { point, until, measured: Measured::new()?, back: Vec::with_capacity(point.depth) })
    }

    /// Runs each of `work` again and again; gives it back.
    async fn run(
        mut self,
        engine: &Engine,
        work: Vec<Work>,
        supply: &mut Supply<'_>,
        stop: &Stop,
    ) -> Result<(Measured, Vec<Work>), Ended> {
        let operation = self.point.operation;
        let start = |work| lane::run(engine, operation, work);
        let lane = |work| Lane { flight: Box::pin(Some(start(work))), began: None };
        let mut lanes: Vec<_> = work.into_iter().map(lane).collect();
        let began = Instant::now();
        poll_fn(|cx| self.poll(&mut lanes, &start, supply, stop, cx)).await?;
        self.measured.elapsed = began.elapsed();
        Ok((self.measured, self.back))
    }

    fn poll<F: Future<Output = Result<(Work, Report), Error>>>(
        &mut self,
        lanes: &mut [Lane<F>],
        start: &impl Fn(Work) -> F,
        supply: &mut Supply<'_>,
        stop: &Stop,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Ended>> {
        loop {
            stop.check().map_err(Ended::Stopped)?;
            let (mut under_way, mut completed) = (false, false);
            for lane in lanes.iter_mut() {
                let Some(flight) = lane.flight.as_mut().as_pin_mut() else { continue };
                let began = *lane.began.get_or_insert_with(Instant::now);
                under_way = true;
                if let Poll::Ready(outcome) = flight.poll(cx) {
                    let now = Instant::now();
                    let (work, report) = outcome?;
                    self.measured.add(now - began, self.point.batch, &report);
                    completed = true;
                    let next = self.follow(work, now, supply);
                    lane.flight.set(next.map(start));
                    lane.began = None;
                }
            }
            if !under_way {
                return Poll::Ready(Ok(()));
            }
            if !completed {
                return stop.poll(cx).map(|trouble| Err(Ended::Stopped(trouble)));
            }
        }
    }

    /// What follows on `work`, if there is time.
    fn follow(&mut self, work: Work, now: Instant, supply: &mut Supply<'_>) -> Option<Work> {
        if now < self.until {
            return supply.next(work);
        }
        self.back.push(work);
        None
    }
}
