//! An inflate of any length, a stretch at a time.
//!
//! A stream can only be read from its start to its end, so it cannot be spread over workers. It can be put down after
//! a stretch and taken up again, by another worker if need be: the decompressor goes with the job. What can be expanded at
//! once, in bounded time and faster, is.

use svala::backend::Failure;
use svala::{Check, Done, Value};

use super::memory::len_of;
use super::work::kind_of;
use crate::inflate::{InflateError, Inflated, Inflater};

/// Most input and output of one stretch, in bytes.
const STRETCH_BYTES: usize = 1 << 20;

/// A stream under way.
#[derive(Debug)]
pub(super) struct Stream {
    inflater: Inflater,
    read: usize,
    written: usize,
    /// Checksum of the output so far.
    check: u32,
    /// It has not been tried at once.
    fresh: bool,
}

impl Stream {
    /// A stream at its start. `check` is what its output is going to be summed up by.
    pub(super) fn new(mut inflater: Inflater, check: Check) -> Self {
        inflater.reset();
        Self { inflater, read: 0, written: 0, check: kind_of(check).start(), fresh: true }
    }

    /// The decompressor, for the next stream.
    pub(super) fn into_inflater(self) -> Inflater {
        self.inflater
    }

    /// Does a stretch of the stream that `src` begins with. None: there is more.
    pub(super) fn advance(
        &mut self,
        src: &[u8],
        dst: &mut [u8],
        check: Check,
    ) -> Result<Option<Done>, Failure> {
        let kind = kind_of(check);
        if std::mem::take(&mut self.fresh)
            && let Some((Inflated { read, written, .. }, sum)) = self.inflater.inflate_at_once(src, dst, kind)
        {
            (self.read, self.written, self.check) = (read, written, sum);
            return Ok(Some(self.done()));
        }
        let input = &src[self.read..src.len().min(self.read + STRETCH_BYTES)];
        let room = dst.len().min(self.written + STRETCH_BYTES);
        let output = &mut dst[self.written..room];
        let step = self.inflater.inflate_some(input, output).map_err(|error| failure_of(&error))?;
        self.check = kind.chain(self.check, &output[..step.written]);
        self.read += step.read;
        self.written += step.written;
        if step.ended {
            return Ok(Some(self.done()));
        }
        if step.read + step.written > 0 {
            return Ok(None);
        }
        self.stopped(&src[self.read..], src.len(), dst.len()).map(Some)
    }

    /// Nothing was read and nothing written: one byte of room tells on which side it is.
    fn stopped(&mut self, rest: &[u8], src_len: usize, dst_len: usize) -> Result<Done, Failure> {
        let step = self.inflater.inflate_some(rest, &mut [0]).map_err(|error| failure_of(&error))?;
        if step.written > 0 {
            return Err(Failure::OutputFull { bytes_max: len_of(dst_len) });
        }
        self.read += step.read;
        if step.ended { Ok(self.done()) } else { Err(Failure::Truncated { len: len_of(src_len) }) }
    }

    fn done(&self) -> Done {
        let (read, written) = (len_of(self.read), len_of(self.written));
        Done { bytes: read, value: Value::Inflate { read, written, check: self.check } }
    }
}

/// What the runtime calls it.
pub(super) fn failure_of(error: &InflateError) -> Failure {
    match *error {
        InflateError::Corrupt { offset, .. } => Failure::Corrupt { offset },
        InflateError::Truncated { len, .. } => Failure::Truncated { len: len_of(len) },
        InflateError::OutputFull { room, .. } => Failure::OutputFull { bytes_max: len_of(room) },
    }
}
