//! What a flight and the workers share: the job, how far it is, and whether it is over.
//!
//! A ticket is made with its flight and used for one job after another. Its life:
//!
//! ```text
//!  Idle --begin--> under way: in the ring and/or pieces out --last piece back--> Settled --announce--> Over --take--> Idle
//! ```
//!
//! # Invariants
//!
//! `queued` says that the ring (or the list of those who wait for a decompressor) has the ticket, so it is there once
//! at most. A job is settled only when it is not queued, has no piece out and none left to take: from then on no
//! worker touches its memory.

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use svala::backend::{Failure, Member};
use svala::{Check, Done, Job, Value};

use super::cost::cost as cost_of;
use super::memory::{Trust, compresses};
use super::stream::Stream;
use super::unit::{Piece, Unit};
use crate::inflate::Inflater;

/// Most pieces a worker takes at once, where they are small.
pub(super) const PIECES_MAX: usize = 64;
/// It stops taking when it has pieces that cost this much.
const TAKE_COST_MAX: u64 = 1 << 20;

/// A job, or a batch, in flight.
#[derive(Debug)]
pub(super) struct Ticket {
    /// The outcome is there for [`Ticket::take`]. Set after everything else is done with the ticket.
    over: AtomicBool,
    progress: Mutex<Progress>,
}

#[derive(Debug)]
struct Progress {
    stage: Stage,
    trust: Trust,
    /// One for a job, one for each open member of a batch.
    units: Vec<Unit>,
    /// The first unit that may have pieces left.
    cursor: usize,
    /// Pieces handed out and not come back.
    out: usize,
    queued: bool,
    /// Cost of pieces to take at once.
    take_cost: u64,
    /// Which drains wait for the job: see [`Line`](super::line::Line).
    group: u64,
    /// The decompressor of a job that goes on stretch by stretch.
    stream: Option<Stream>,
    /// The outcome of a job that ended before it began.
    failure: Option<Failure>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Idle,
    /// The job's memory has to be checked first.
    Check,
    /// An inflate, stretch by stretch.
    Stretches,
    Pieces,
    Settled,
}

/// A piece taken, and what came of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taken {
    unit: usize,
    pub(super) piece: Piece,
    pub(super) outcome: Result<Done, Failure>,
}

/// What there is to do for a ticket.
#[derive(Debug)]
pub(super) enum Todo {
    /// Nothing: others are at it.
    Nothing,
    /// Nothing more: it is settled.
    Settled,
    /// Check this job's memory.
    Check(Job),
    /// Go on with this inflate.
    Stretch(Job, Stream),
    /// Do the pieces that were taken. `more`: the ticket goes back into the ring at once.
    Pieces { trust: Trust, more: bool },
}

/// What to do with a ticket whose work has come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing.
    Nothing,
    /// It goes back into the ring.
    Queue,
    /// It is in the ring for nothing.
    Withdraw,
    /// It is settled: give back what it borrowed and announce it.
    Settled,
}

impl Ticket {
    pub(super) fn new() -> Self {
        Self {
            over: AtomicBool::new(false),
            progress: Mutex::new(Progress {
                stage: Stage::Idle,
                trust: Trust::Lent,
                units: Vec::with_capacity(1),
                cursor: 0,
                out: 0,
                queued: false,
                take_cost: 0,
                group: 0,
                stream: None,
                failure: None,
            }),
        }
    }

    /// Takes a job. False: the ticket is in use.
    pub(super) fn begin(&self, job: &Job, trust: Trust, workers: usize) -> bool {
        let mut progress = self.progress.lock();
        let begun = progress.begin(trust, 0);
        if begun {
            progress.units.push(Unit::new(*job, workers));
            progress.stage = if trust == Trust::Check { Stage::Check } else { progress.stage_of_work() };
        }
        begun
    }

    /// Takes the jobs of a batch. False: the ticket is in use.
    pub(super) fn begin_batch<'j>(
        &self,
        jobs: impl Iterator<Item = &'j Job>,
        cost: u64,
        trust: Trust,
        workers: usize,
    ) -> bool {
        let mut progress = self.progress.lock();
        let share = cost / u64::try_from(workers).unwrap_or(1).max(1);
        let begun = progress.begin(trust, share.min(TAKE_COST_MAX));
        if begun {
            // What has to be checked, and what could not be left half done, is done whole by one worker.
            let splits = |job: &Job| trust == Trust::Lent && !compresses(job);
            progress.units.extend(
                jobs.map(|job| if splits(job) { Unit::new(*job, workers) } else { Unit::whole(*job) }),
            );
            progress.stage = Stage::Pieces;
        }
        begun
    }

    /// Takes a drain, which is over when it is announced. False: the ticket is in use.
    pub(super) fn begin_drain(&self) -> bool {
        let mut progress = self.progress.lock();
        let begun = progress.begin(Trust::Lent, 0);
        if begun {
            progress.units.push(Unit::whole(Job::Drain));
            progress.settle_with(Ok(Done::default()));
        }
        begun
    }

    /// The group that a job under way belongs to.
    pub(super) fn group(&self) -> u64 {
        self.progress.lock().group
    }

    /// Puts a job that was begun into a group.
    pub(super) fn join(&self, group: u64) {
        self.progress.lock().group = group;
    }

    /// Takes a failure that is already known. False: the ticket is in use.
    pub(super) fn end_at_once(&self, failure: Failure) -> bool {
        let mut progress = self.progress.lock();
        let begun = progress.begin(Trust::Lent, 0);
        if begun {
            progress.failure = Some(failure);
            progress.stage = Stage::Settled;
            self.over.store(true, Ordering::SeqCst);
        }
        begun
    }

    /// Gives a job that was begun up again: it did not get into the ring.
    pub(super) fn forget(&self) {
        self.progress.lock().clear();
    }

    /// The checksum of a job that goes on stretch by stretch and has no decompressor yet.
    pub(super) fn wants_inflater(&self) -> Option<Check> {
        let progress = self.progress.lock();
        let job = progress.units.first().map(Unit::job);
        match job {
            Some(Job::Inflate { check, .. })
                if progress.stream.is_none() && progress.stage != Stage::Pieces =>
            {
                Some(*check)
            }
            _ => None,
        }
    }

    /// Lends the job a decompressor.
    pub(super) fn lend(&self, inflater: Inflater, check: Check) {
        self.progress.lock().stream = Some(Stream::new(inflater, check));
    }

    /// The decompressor back, from a job that is settled.
    pub(super) fn take_inflater(&self) -> Option<Inflater> {
        self.progress.lock().stream.take().map(Stream::into_inflater)
    }

    /// Takes work, having taken the ticket out of the ring. `taken` is empty and has room for [`PIECES_MAX`].
    pub(super) fn claim(&self, taken: &mut Vec<Taken>) -> Todo {
        let mut progress = self.progress.lock();
        progress.queued = false;
        match progress.stage {
            Stage::Idle | Stage::Settled => Todo::Nothing,
            Stage::Check => {
                progress.out = 1;
                progress.units.first().map_or(Todo::Nothing, |unit| Todo::Check(*unit.job()))
            }
            Stage::Stretches => {
                let job = progress.units.first().map(|unit| *unit.job());
                let Some((job, stream)) = job.zip(progress.stream.take()) else { return Todo::Nothing };
                progress.out = 1;
                Todo::Stretch(job, stream)
            }
            Stage::Pieces => progress.claim_pieces(taken),
        }
    }

    /// The job's memory has been checked.
    pub(super) fn checked(&self, outcome: Result<(), Failure>) -> Next {
        let mut progress = self.progress.lock();
        progress.out = 0;
        match outcome {
            Ok(()) => {
                progress.trust = Trust::Lent;
                progress.stage = progress.stage_of_work();
                progress.queued = true;
                Next::Queue
            }
            Err(failure) => progress.settle_with(Err(failure)),
        }
    }

    /// A stretch has been done.
    pub(super) fn stretched(&self, stream: Stream, outcome: Result<Option<Done>, Failure>) -> Next {
        let mut progress = self.progress.lock();
        progress.out = 0;
        progress.stream = Some(stream);
        match outcome {
            Ok(None) => {
                progress.queued = true;
                Next::Queue
            }
            Ok(Some(done)) => progress.settle_with(Ok(done)),
            Err(failure) => progress.settle_with(Err(failure)),
        }
    }

    /// Pieces have been done.
    pub(super) fn merge(&self, taken: &mut Vec<Taken>) -> Next {
        let mut progress = self.progress.lock();
        progress.out -= taken.len();
        for Taken { unit, piece, outcome } in taken.drain(..) {
            progress.units[unit].merge(&piece, outcome);
        }
        progress.after_pieces()
    }

    /// The ticket has been taken out of the ring, where it was for nothing. By now it may be there for the next job.
    pub(super) fn withdrawn(&self) -> Next {
        let mut progress = self.progress.lock();
        if matches!(progress.stage, Stage::Check | Stage::Stretches) {
            return Next::Queue;
        }
        progress.queued = false;
        progress.after_pieces()
    }

    /// The job is over: the flight's to take. Nothing of the job or the ticket is used after this.
    pub(super) fn announce(&self) {
        // SeqCst, as all of the notification is: who waits announces that before it looks here.
        self.over.store(true, Ordering::SeqCst);
    }

    /// The outcome, with the results of members in place. None: not yet.
    pub(super) fn take(&self, members: &mut [Member]) -> Option<Result<Done, Failure>> {
        if !self.over.load(Ordering::SeqCst) {
            return None;
        }
        let mut progress = self.progress.lock();
        let outcome = progress.outcome(members);
        progress.clear();
        self.over.store(false, Ordering::SeqCst);
        Some(outcome)
    }
}

impl Progress {
    fn begin(&mut self, trust: Trust, take_cost: u64) -> bool {
        if self.stage != Stage::Idle {
            return false;
        }
        self.trust = trust;
        self.take_cost = take_cost;
        self.queued = true;
        true
    }

    fn clear(&mut self) {
        self.stage = Stage::Idle;
        self.units.clear();
        self.cursor = 0;
        self.out = 0;
        self.queued = false;
        self.stream = None;
        self.failure = None;
    }

    /// How a single job is done once its memory is known to be good.
    fn stage_of_work(&self) -> Stage {
        match self.units.first().map(Unit::job) {
            Some(Job::Inflate { .. }) => Stage::Stretches,
            _ => Stage::Pieces,
        }
    }

    fn claim_pieces(&mut self, taken: &mut Vec<Taken>) -> Todo {
        let mut cost = 0;
        while let Some(unit) = self.units.get_mut(self.cursor) {
            let Some(piece) = unit.next() else { break };
            cost += cost_of(&piece.job).max(1);
            let outcome = Err(Failure::Cancelled);
            taken.push(Taken { unit: self.cursor, piece, outcome });
            self.skip_drained();
            if cost > self.take_cost || taken.len() == PIECES_MAX {
                break;
            }
        }
        self.out += taken.len();
        if taken.is_empty() {
            return if self.is_settled() { Todo::Settled } else { Todo::Nothing };
        }
        let more = self.is_ready();
        self.queued = more;
        Todo::Pieces { trust: self.trust, more }
    }

    fn skip_drained(&mut self) {
        while self.units.get(self.cursor).is_some_and(Unit::is_drained) {
            self.cursor += 1;
        }
    }

    fn is_ready(&self) -> bool {
        self.units.get(self.cursor).is_some_and(Unit::is_ready)
    }

    /// Sets the stage if nothing is left to do, and says so.
    fn is_settled(&mut self) -> bool {
        self.skip_drained();
        let settled = self.out == 0 && !self.queued && self.cursor == self.units.len();
        if settled {
            self.stage = Stage::Settled;
        }
        settled
    }

    fn after_pieces(&mut self) -> Next {
        if self.stage != Stage::Pieces {
            return Next::Nothing;
        }
        if self.is_settled() {
            return Next::Settled;
        }
        match (self.is_ready(), self.queued) {
            (true, false) => {
                self.queued = true;
                Next::Queue
            }
            (false, true) if self.out == 0 => Next::Withdraw,
            _ => Next::Nothing,
        }
    }

    /// The job is a single piece, and this is what came of it.
    fn settle_with(&mut self, outcome: Result<Done, Failure>) -> Next {
        self.stage = Stage::Settled;
        if let Some(unit) = self.units.first_mut() {
            *unit = Unit::whole(*unit.job());
            if let Some(piece) = unit.next() {
                unit.merge(&piece, outcome);
            }
        }
        Next::Settled
    }

    fn outcome(&self, members: &mut [Member]) -> Result<Done, Failure> {
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        if members.is_empty() {
            let nothing = Failure::Nonsense { what: "the CPU engine lost a job", record: 0 };
            return self.units.first().map_or(Err(nothing), Unit::outcome);
        }
        let mut bytes = 0;
        let open = members.iter_mut().filter(|member| member.result.is_none());
        for (member, unit) in open.zip(&self.units) {
            let result = unit.outcome();
            bytes += result.map_or(0, |done| done.bytes);
            member.result = Some(result);
        }
        Ok(Done { bytes, value: Value::None })
    }
}
