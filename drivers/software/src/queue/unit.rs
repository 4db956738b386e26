//! A job taken apart and its answers put together: which piece is next, and what all of them say.
//!
//! A piece of a job is a job itself, so that whoever does it need not know that there are others. Pieces are handed
//! out in the order of their offsets, and come back in any order.
//!
//! Most jobs are done in several pieces at once: CRCs of pieces add up, and which tags a block has follows from its
//! number. An overlapping copy is done a piece at a time, from the end that keeps what is still to be read. So is a
//! deflate: each piece is a segment that begins without history, as a device or `pigz` would make it, which costs less
//! than a percent of the size and lets other jobs in between. Delta records are of less than a piece anyway, so that
//! their job is one. An inflate is a single piece here; [`Stream`](super::stream::Stream) puts it down and takes it up
//! again.

mod part;

use svala::backend::Failure;
use svala::{Aggregates, Check, Done, Job, NumberExceptions, Value};

pub(super) use part::unit_bytes;

use super::column::moved;
use super::work::check_of;
use crate::crc::{adler32_combine, crc32_combine};
use part::{Order, crc_with, element_at, empty_crc, part};

/// Largest piece, in bytes: some 100 us of copying.
const PIECE_BYTES_MAX: u64 = 1 << 20;
/// Smallest: less is not worth another worker.
const PIECE_BYTES_MIN: u64 = 128 << 10;
/// Input of one segment of LZ4, where there is more.
const LZ4_BYTES: u64 = 1 << 20;

/// A job under way.
#[derive(Debug)]
pub(super) struct Unit {
    job: Job,
    order: Order,
    piece_bytes: u64,
    /// Bytes handed out.
    taken: u64,
    /// Nothing is left to hand out.
    exhausted: bool,
    /// Pieces handed out and not come back.
    out: u32,
    found: Found,
}

/// What the pieces that have come back say.
#[derive(Debug)]
struct Found {
    /// The failure at the lowest offset.
    failure: Option<(u64, Failure)>,
    /// The lowest difference.
    difference: Option<u64>,
    crc: u64,
    written: u64,
    check: u32,
    /// The tags behind the last piece.
    tags: Value,
    /// What happened to the numbers of any piece.
    exceptions: NumberExceptions,
    /// Elements of a filter's output.
    elements: u32,
    aggregates: Aggregates,
    /// The answer of a job that is a single piece.
    whole: Option<Done>,
}

/// A part of a job, which is a job itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    pub(super) job: Job,
    /// Where it begins in the whole.
    offset: u64,
}

impl Unit {
    /// `job`, in pieces for as many workers.
    pub(super) fn new(job: Job, workers: usize) -> Self {
        let order = Order::of(&job);
        let share = job.bytes().div_ceil(u64::try_from(workers).unwrap_or(1).max(1));
        let piece_bytes = match order {
            Order::Whole => u64::MAX,
            Order::Any => share.clamp(PIECE_BYTES_MIN, PIECE_BYTES_MAX).next_multiple_of(unit_bytes(&job)),
            Order::Up | Order::Down => match job {
                Job::Deflate { level, .. } => segment_bytes(level),
                Job::Lz4Compress { .. } => LZ4_BYTES,
                _ => PIECE_BYTES_MAX,
            },
        };
        Self { job, order, piece_bytes, taken: 0, exhausted: false, out: 0, found: Found::nothing(&job) }
    }

    /// `job` as a single piece.
    pub(super) fn whole(job: Job) -> Self {
        Self { order: Order::Whole, piece_bytes: u64::MAX, ..Self::new(job, 1) }
    }

    pub(super) const fn job(&self) -> &Job {
        &self.job
    }

    /// Whether there is a piece to take now.
    pub(super) const fn is_ready(&self) -> bool {
        !self.is_drained() && (self.out == 0 || matches!(self.order, Order::Any))
    }

    /// Whether there will be no more pieces to take.
    pub(super) const fn is_drained(&self) -> bool {
        self.exhausted || self.found.failure.is_some() || self.found.difference.is_some()
    }

    /// The next piece. None: not now, or no more.
    pub(super) fn next(&mut self) -> Option<Piece> {
        if !self.is_ready() {
            return None;
        }
        let total = self.job.bytes();
        let len = self.piece_bytes.min(total - self.taken);
        let offset = if self.order == Order::Down { total - self.taken - len } else { self.taken };
        self.taken += len;
        self.exhausted = self.taken == total;
        self.out += 1;
        let job = match self.order {
            Order::Whole => self.job,
            _ => part(&self.job, offset, len, self.found.written),
        };
        Some(Piece { job, offset })
    }

    /// What `piece` came to.
    pub(super) fn merge(&mut self, piece: &Piece, outcome: Result<Done, Failure>) {
        self.out -= 1;
        match outcome {
            Ok(done) if self.order == Order::Whole => self.found.whole = Some(done),
            Ok(done) => self.merge_value(piece, done.value),
            Err(failure) => self.merge_failure(piece.offset, failure),
        }
    }

    fn merge_value(&mut self, piece: &Piece, value: Value) {
        let len = piece.job.bytes();
        let behind = self.job.bytes() - piece.offset - len;
        let found = &mut self.found;
        match (value, self.job) {
            (Value::Difference(Some(at)), _) => {
                let at = piece.offset + at;
                found.difference = Some(found.difference.map_or(at, |lowest| lowest.min(at)));
            }
            (Value::Crc(value), Job::Crc { crc, .. } | Job::CopyCrc { crc, .. }) => {
                found.crc = crc_with(crc, found.crc, value, behind);
            }
            (tags @ Value::Tags { .. }, _) if behind == 0 => found.tags = tags,
            (Value::Exceptions(exceptions), _) => found.exceptions |= exceptions,
            (Value::Filter { .. }, Job::Filter { filter, .. }) => {
                if let Value::Filter { elements, aggregates } = moved(value, element_at(filter, piece.offset))
                {
                    found.elements += elements;
                    found.aggregates = found.aggregates.and(aggregates);
                }
            }
            (Value::Written(written), Job::Lz4Compress { .. }) => found.written += written,
            (Value::Deflate { written, check: sum }, Job::Deflate { check, .. }) => {
                found.written += written;
                found.check = match check {
                    Check::None => 0,
                    Check::Crc32 => crc32_combine(found.check, sum, len),
                    Check::Adler32 => adler32_combine(found.check, sum, len),
                };
            }
            _ => {}
        }
    }

    fn merge_failure(&mut self, offset: u64, failure: Failure) {
        let failure = match (failure, self.job) {
            (
                Failure::OutputFull { .. },
                Job::Deflate { dst, .. } | Job::Lz4Compress { dst, .. } | Job::Filter { dst, .. },
            ) => Failure::OutputFull { bytes_max: dst.len },
            (Failure::Dif { block, mismatch }, job) => {
                Failure::Dif { block: offset / unit_bytes(&job) + block, mismatch }
            }
            (failure, _) => failure,
        };
        if self.found.failure.is_none_or(|(lowest, _)| offset < lowest) {
            self.found.failure = Some((offset, failure));
        }
    }

    /// What all pieces together say. All have come back.
    pub(super) fn outcome(&self) -> Result<Done, Failure> {
        let Found { failure, difference, crc, written, check, tags, exceptions, whole, .. } = self.found;
        if let Some((offset, failure)) = failure {
            // What comes after a difference does not matter to a comparison.
            if difference.is_none_or(|at| offset < at) {
                return Err(failure);
            }
        }
        if let Some(done) = whole {
            return Ok(done);
        }
        let value = match self.job {
            Job::Compare { .. } | Job::ComparePattern { .. } => Value::Difference(difference),
            Job::Crc { .. } | Job::CopyCrc { .. } => Value::Crc(crc),
            Job::Deflate { .. } => Value::Deflate { written, check },
            Job::Lz4Compress { .. } => Value::Written(written),
            Job::Convert { .. } | Job::Reduce { .. } | Job::ReduceDualcast { .. } => {
                Value::Exceptions(exceptions)
            }
            Job::Filter { .. } => {
                let Found { elements, aggregates, .. } = self.found;
                Value::Filter { elements, aggregates }
            }
            _ => tags,
        };
        Ok(Done { bytes: difference.unwrap_or(self.job.bytes()), value })
    }
}

/// Input of one deflate segment, where there is more: some 20 to 30 ms. What joins one to
/// the next has its cost as well.
const fn segment_bytes(level: u8) -> u64 {
    match level {
        0..=3 => 4 << 20,
        4..=6 => 2 << 20,
        _ => 1 << 20,
    }
}

impl Found {
    /// What no pieces of `job` say.
    fn nothing(job: &Job) -> Self {
        let crc = match *job {
            Job::Crc { crc, .. } | Job::CopyCrc { crc, .. } => empty_crc(crc),
            _ => 0,
        };
        let check = match *job {
            Job::Deflate { check, .. } => check_of(check, &[]),
            _ => 0,
        };
        Self {
            failure: None,
            difference: None,
            crc,
            written: 0,
            check,
            tags: Value::None,
            exceptions: NumberExceptions::empty(),
            elements: 0,
            aggregates: Aggregates::EMPTY,
            whole: None,
        }
    }
}

#[cfg(test)]
mod tests;
