//! An inflate of any length, a stretch at a time.
//!
//! A stream can only be read from its start to its end, so it cannot be spread over workers. It can be put down after
//! a stretch and taken up again, by another worker if need be: the decompressor goes with the job.

use svala::backend::Failure;
use svala::{Check, Done, Value};

use super::memory::len_of;
use super::work::kind_of;
use crate::inflate::{InflateError, Inflater, Wanted};

/// Most input and output of one stretch, in bytes: a millisecond or so.
const STRETCH_BYTES: usize = 1 << 20;
/// Output that is summed up while it is near.
const NEAR_BYTES: usize = 128 << 10;

/// A stream under way.
#[derive(Debug)]
pub(super) struct Stream {
    inflater: Inflater,
    read: usize,
    written: usize,
    /// Checksum of the output so far.
    check: u32,
}

impl Stream {
    /// A stream at its start. `check` is what its output is going to be summed up by.
    pub(super) fn new(mut inflater: Inflater, check: Check) -> Self {
        inflater.reset();
        Self { inflater, read: 0, written: 0, check: kind_of(check).start() }
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
        let input_end = src.len().min(self.read + STRETCH_BYTES);
        let output_end = dst.len().min(self.written + STRETCH_BYTES);
        loop {
            let room = output_end.min(self.written + NEAR_BYTES);
            let input = &src[self.read..input_end];
            let step = self.inflater.inflate_on(input, &mut dst[..room], self.written);
            let step = step.map_err(|error| failure_of(&error))?;
            self.check = kind.chain(self.check, &dst[self.written..self.written + step.written]);
            self.read += step.read;
            self.written += step.written;
            match step.wanted {
                Wanted::Nothing => return Ok(Some(self.done())),
                Wanted::Input if input_end < src.len() => return Ok(None),
                Wanted::Input => return Err(Failure::Truncated { len: len_of(src.len()) }),
                Wanted::Room if room < output_end => {}
                Wanted::Room if output_end < dst.len() => return Ok(None),
                Wanted::Room => return Err(Failure::OutputFull { bytes_max: len_of(dst.len()) }),
            }
        }
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
