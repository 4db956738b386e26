//! A job taken apart and its answers put together: which piece is next, and what all of them say.
//!
//! A piece of a job is a job itself, so that whoever does it need not know that there are others. Pieces are handed
//! out in the order of their offsets, and come back in any order.
//!
//! Copies, fills, comparisons and CRCs are done in several pieces at once. An overlapping copy is done a piece at a
//! time, from the end that keeps what is still to be read. So is a deflate: each piece is a segment that begins
//! without history, as a device or `pigz` would make it, which costs less than a percent of the size and lets other
//! jobs in between. An inflate is a single piece here; [`Stream`](super::stream::Stream) puts it down and takes it up
//! again.

use svala::backend::Failure;
use svala::{Check, Crc, Done, Job, Span, Value, VirtAddr};

use super::memory::check_of;
use crate::crc::{adler32_combine, crc32_combine, crc32c_combine};

/// Largest piece, in bytes: some 100 us of copying.
const PIECE_BYTES_MAX: u64 = 1 << 20;
/// Smallest: less is not worth another worker.
const PIECE_BYTES_MIN: u64 = 128 << 10;
/// Input of one deflate segment, where there is more.
const SEGMENT_BYTES: u64 = 1 << 20;
/// Pieces begin at multiples of this, so that patterns keep their phase and neighbours share no page.
const ALIGN_BYTES: u64 = 4096;

/// Which pieces may be out together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    /// There is but one.
    Whole,
    /// Any.
    Any,
    /// One at a time, upwards.
    Up,
    /// One at a time, downwards.
    Down,
}

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
    crc: u32,
    written: u64,
    check: u32,
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
        let order = order_of(&job);
        let share = job.bytes().div_ceil(u64::try_from(workers).unwrap_or(1).max(1));
        let piece_bytes = match order {
            Order::Whole => u64::MAX,
            Order::Any => share.clamp(PIECE_BYTES_MIN, PIECE_BYTES_MAX).next_multiple_of(ALIGN_BYTES),
            Order::Up | Order::Down if matches!(job, Job::Deflate { .. }) => SEGMENT_BYTES,
            Order::Up | Order::Down => PIECE_BYTES_MAX,
        };
        let check = match job {
            Job::Deflate { check, .. } => check_of(check, &[]),
            _ => 0,
        };
        let found = Found { failure: None, difference: None, crc: 0, written: 0, check, whole: None };
        Self { job, order, piece_bytes, taken: 0, exhausted: false, out: 0, found }
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
        Some(Piece { job: self.part(offset, len), offset })
    }

    /// `len` bytes of the job, from `offset` on. Stays inside the job's operands.
    fn part(&self, offset: u64, len: u64) -> Job {
        if self.order == Order::Whole {
            return self.job;
        }
        let at = |addr: VirtAddr| addr.add(offset);
        match self.job {
            Job::Copy { src, dst, .. } => Job::Copy { src: at(src), dst: at(dst), len },
            Job::Fill { dst, pattern, .. } => Job::Fill { dst: at(dst), len, pattern },
            Job::Compare { a, b, .. } => Job::Compare { a: at(a), b: at(b), len },
            Job::Crc { src, crc, seed, .. } => {
                Job::Crc { src: at(src), len, crc, seed: if offset == 0 { seed } else { 0 } }
            }
            Job::Deflate { src, dst, level, last, check } => Job::Deflate {
                src: src.part(offset, len),
                dst: dst.part(self.found.written, u64::MAX),
                level,
                last: last && offset + len == src.len,
                check,
            },
            job => job,
        }
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
        let found = &mut self.found;
        match (value, self.job) {
            (Value::Difference(Some(at)), _) => {
                let at = piece.offset + at;
                found.difference = Some(found.difference.map_or(at, |lowest| lowest.min(at)));
            }
            (Value::Crc(crc), Job::Crc { len: total, .. }) => {
                // CRCs of parts, each moved to where it ends in the whole, add up without carry.
                found.crc ^= crc32c_combine(u32::try_from(crc).unwrap_or(0), 0, total - piece.offset - len);
            }
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
            (Failure::OutputFull { .. }, Job::Deflate { dst, .. }) => {
                Failure::OutputFull { bytes_max: dst.len }
            }
            (failure, _) => failure,
        };
        if self.found.failure.is_none_or(|(lowest, _)| offset < lowest) {
            self.found.failure = Some((offset, failure));
        }
    }

    /// What all pieces together say. All have come back.
    pub(super) fn outcome(&self) -> Result<Done, Failure> {
        let Found { failure, difference, crc, written, check, whole } = self.found;
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
            Job::Compare { .. } => Value::Difference(difference),
            Job::Crc { .. } => Value::Crc(crc.into()),
            Job::Deflate { .. } => Value::Deflate { written, check },
            _ => Value::None,
        };
        Ok(Done { bytes: difference.unwrap_or(self.job.bytes()), value })
    }
}

fn order_of(job: &Job) -> Order {
    match *job {
        Job::Copy { src, dst, len } if Span::new(src, len).overlaps(Span::new(dst, len)) => {
            if dst < src {
                Order::Up
            } else {
                Order::Down
            }
        }
        Job::Deflate { .. } => Order::Up,
        Job::Copy { .. } | Job::Fill { .. } | Job::Compare { .. } => Order::Any,
        Job::Crc { crc, .. } if crc == Crc::CRC32C => Order::Any,
        _ => Order::Whole,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes `unit` apart as far as it goes without anything coming back.
    fn take_all(unit: &mut Unit) -> Vec<Piece> {
        std::iter::from_fn(|| unit.next()).collect()
    }

    fn copy(src: u64, dst: u64, len: u64) -> Job {
        Job::Copy { src: VirtAddr::new(src), dst: VirtAddr::new(dst), len }
    }

    #[test]
    fn pieces_cover_the_job_and_nothing_else() {
        for len in [1, 4095, PIECE_BYTES_MIN + 1, PIECE_BYTES_MAX * 3, PIECE_BYTES_MAX * 5 + 7] {
            for workers in [1, 2, 7, 1000] {
                let mut unit = Unit::new(copy(1 << 40, 1 << 41, len), workers);
                let mut next = 0;
                for piece in take_all(&mut unit) {
                    let Job::Copy { src, dst, len } = piece.job else { panic!() };
                    assert_eq!((src.get(), dst.get()), ((1 << 40) + next, (1 << 41) + next));
                    next += len;
                }
                assert_eq!(next, len);
                assert!(unit.is_drained());
            }
        }
    }

    #[test]
    fn overlapping_copy_hands_out_one_piece_at_a_time_from_the_end_that_is_safe() {
        const LEN: u64 = 3 * PIECE_BYTES_MAX + 5;
        for (src, dst, first) in [(1 << 20, 2 << 20, LEN - PIECE_BYTES_MAX), (2 << 20, 1 << 20, 0)] {
            let mut unit = Unit::new(copy(src, dst, LEN), 8);
            let pieces = take_all(&mut unit);
            assert_eq!((pieces.len(), pieces[0].offset), (1, first));
            unit.merge(&pieces[0], Ok(Done { bytes: PIECE_BYTES_MAX, value: Value::None }));
            assert!(unit.is_ready());
        }
    }

    #[test]
    fn crcs_that_come_back_in_any_order_add_up() {
        let data: Vec<u8> = (0..=250).cycle().take(3_000_001).collect();
        let before = crc::Crc::<u32>::new(&crc::CRC_32_ISCSI).checksum(b"before");
        let total = data.len().try_into().unwrap();
        let job = Job::Crc { src: VirtAddr::new(0), len: total, crc: Crc::CRC32C, seed: before.into() };
        let mut unit = Unit::new(job, 4);
        let mut pieces = take_all(&mut unit);
        pieces.reverse();
        pieces.swap(0, 1);
        for piece in &pieces {
            let Job::Crc { src, len, seed, .. } = piece.job else { panic!() };
            let at = usize::try_from(src.get()).unwrap();
            let bytes = &data[at..at + usize::try_from(len).unwrap()];
            let value = Value::Crc(crate::crc32c(u32::try_from(seed).unwrap(), bytes).into());
            unit.merge(piece, Ok(Done { bytes: len, value }));
        }
        let wanted = crc::Crc::<u32>::new(&crc::CRC_32_ISCSI).checksum(&[b"before", &data[..]].concat());
        assert_eq!(unit.outcome(), Ok(Done { bytes: total, value: Value::Crc(wanted.into()) }));
    }

    #[test]
    fn difference_before_a_failure_is_the_answer_and_one_behind_it_is_not() {
        let job = Job::Compare { a: VirtAddr::new(0), b: VirtAddr::new(1 << 40), len: 4 * PIECE_BYTES_MAX };
        let vanished = Failure::Vanished { addr: VirtAddr::new(PIECE_BYTES_MAX) };
        let differs = Ok(Done { bytes: 5, value: Value::Difference(Some(5)) });
        for (differing, failing, wanted) in
            [(0, 1, Ok(Done { bytes: 5, value: Value::Difference(Some(5)) })), (2, 1, Err(vanished))]
        {
            let mut unit = Unit::new(job, 4);
            let pieces = take_all(&mut unit);
            unit.merge(&pieces[differing], differs);
            unit.merge(&pieces[failing], Err(vanished));
            assert_eq!(unit.outcome(), wanted);
        }
    }
}
