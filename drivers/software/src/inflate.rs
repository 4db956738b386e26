//! Raw inflate (RFC 1951): whole streams in one call, or streams of any length in bounded memory.
//!
//! History is always the format's 32 KiB, so every valid stream is readable, whatever window it was made with.
//! Input is not trusted: no byte sequence makes these functions panic or write outside the destination.
//!
//! libdeflate expands what is all there and followed by its checksum; zlib-rs everything else, and it has the last word on
//! what is no stream, and why.

mod whole;

use flate2::{Decompress, FlushDecompress, Status};
use thiserror::Error;

use crate::frame::CheckKind;
use whole::{Expanded, Whole};

/// The format's history.
const HISTORY_BYTES: usize = 32 << 10;

/// What a call to [`Inflater::inflate`] or [`Inflater::inflate_some`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Inflated {
    /// Input bytes consumed; when the stream has ended the rest of the input is not part of it.
    pub read: usize,
    /// Output bytes, from the start of the destination.
    pub written: usize,
    /// The final block has been read and all of its output is written.
    pub ended: bool,
}

/// Why a stream could not be decompressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum InflateError {
    /// The input is no deflate stream.
    #[error("corrupt deflate stream at input byte {offset} after {written} output bytes")]
    Corrupt {
        /// Bytes from the start of the stream the decoder had consumed when it saw; the flaw is there or just before.
        offset: u64,
        /// Output bytes before the flaw, from the start of the stream.
        written: u64,
    },
    /// The input ends before the stream does.
    #[error("deflate stream truncated at {len} input bytes after {written} output bytes")]
    Truncated {
        /// Size of the input.
        len: usize,
        /// Output bytes the input was good for.
        written: usize,
    },
    /// The destination is full and the stream goes on.
    #[error("inflate output full at {room} bytes after {read} of {len} input bytes")]
    OutputFull {
        /// Size of the destination.
        room: usize,
        /// Input bytes consumed.
        read: usize,
        /// Size of the input.
        len: usize,
    },
}

/// Decompresses the stream at the start of `src` into `dst`. [`Inflater`] does it without allocating.
///
/// # Errors
///
/// As [`Inflater::inflate`].
pub fn inflate(src: &[u8], dst: &mut [u8]) -> Result<Inflated, InflateError> {
    Inflater::new().inflate(src, dst)
}

/// A decompressor for one stream after another. Allocates when made, and not again.
#[derive(Debug)]
pub struct Inflater {
    whole: Whole,
    state: Decompress,
    ended: bool,
}

impl Inflater {
    /// A decompressor at the start of a stream. Holds some 60 KiB.
    pub fn new() -> Self {
        Self { whole: Whole::new(), state: Decompress::new(false), ended: false }
    }

    /// Forgets the stream under way; the next byte is the first of a new one.
    pub fn reset(&mut self) {
        self.state.reset(false);
        self.ended = false;
    }

    /// What the stream that is about to begin may refer to. Only before its first byte.
    ///
    /// # Panics
    ///
    /// If the stream has begun.
    pub fn set_dictionary(&mut self, dictionary: &[u8]) {
        assert!(self.state.total_in() == 0, "a dictionary in the middle of a stream");
        if !dictionary.is_empty() {
            let last = &dictionary[dictionary.len().saturating_sub(HISTORY_BYTES)..];
            self.state.set_dictionary(last).expect("a raw deflate stream takes a dictionary at its start");
        }
    }

    /// Decompresses the stream at the start of `src` into `dst`, whole. Forgets what came before.
    ///
    /// # Errors
    ///
    /// [`InflateError::Corrupt`], [`InflateError::Truncated`] or [`InflateError::OutputFull`], and in each case `dst`
    /// holds what was decompressed until then. A `dst` that is just large enough is large enough.
    pub fn inflate(&mut self, src: &[u8], dst: &mut [u8]) -> Result<Inflated, InflateError> {
        self.inflate_with_dictionary(&[], src, dst)
    }

    /// [`inflate`](Self::inflate) of a stream that may refer to `dictionary`.
    ///
    /// # Errors
    ///
    /// As [`inflate`](Self::inflate).
    pub fn inflate_with_dictionary(
        &mut self,
        dictionary: &[u8],
        src: &[u8],
        dst: &mut [u8],
    ) -> Result<Inflated, InflateError> {
        self.reset();
        self.set_dictionary(dictionary);
        let (mut read, mut written) = (0, 0);
        loop {
            let step = self.inflate_some(&src[read..], &mut dst[written..])?;
            read += step.read;
            written += step.written;
            if step.ended {
                return Ok(Inflated { read, written, ended: true });
            }
            if step.read + step.written == 0 {
                return self.stopped(src, read, written, dst.len());
            }
        }
    }

    /// As [`inflate`](Self::inflate), with the output's checksum; faster if that is the one which follows the stream, as in a
    /// gzip member or a zlib stream.
    ///
    /// # Errors
    ///
    /// As [`inflate`](Self::inflate). A checksum that is another than what follows is none: the caller knows what that is.
    pub fn inflate_checked(
        &mut self,
        src: &[u8],
        dst: &mut [u8],
        kind: CheckKind,
    ) -> Result<(Inflated, u32), InflateError> {
        if let Some(done) = self.inflate_at_once(src, dst, kind) {
            return Ok(done);
        }
        let inflated = self.inflate(src, dst)?;
        Ok((inflated, kind.chain(kind.start(), &dst[..inflated.written])))
    }

    /// Does all of it at once, some 15 ms at most. None: that cannot be done, or the checksum does not follow.
    pub(crate) fn inflate_at_once(
        &mut self,
        src: &[u8],
        dst: &mut [u8],
        kind: CheckKind,
    ) -> Option<(Inflated, u32)> {
        let Expanded { read, written, check } = self.whole.inflate(src, dst, kind)?;
        Some((Inflated { read, written, ended: true }, check))
    }

    /// Decompresses on from where the last call stopped, as far as `src` and `dst` allow.
    ///
    /// Not ended, the stream wants more room if it filled `dst`, else more input; having filled `dst` it may hold
    /// back output it has read all the input for. Once ended, it reads and writes nothing until [`reset`].
    ///
    /// [`reset`]: Self::reset
    ///
    /// # Errors
    ///
    /// [`InflateError::Corrupt`]; the output before the flaw is in `dst`, and only [`reset`] helps.
    pub fn inflate_some(&mut self, src: &[u8], dst: &mut [u8]) -> Result<Inflated, InflateError> {
        if self.ended {
            return Ok(Inflated { read: 0, written: 0, ended: true });
        }
        let (read, written) = (self.state.total_in(), self.state.total_out());
        let status = self.state.decompress(src, dst, FlushDecompress::None).map_err(|_| self.corrupt())?;
        self.ended = status == Status::StreamEnd;
        let progress = |now: u64, before: u64| usize::try_from(now - before).expect("bounded by a slice");
        Ok(Inflated {
            read: progress(self.state.total_in(), read),
            written: progress(self.state.total_out(), written),
            ended: self.ended,
        })
    }

    /// Says why a stream that did not end made no progress.
    ///
    /// With `dst` full and `src` consumed it may be either side's fault: a byte of room tells.
    fn stopped(
        &mut self,
        src: &[u8],
        read: usize,
        written: usize,
        room: usize,
    ) -> Result<Inflated, InflateError> {
        let mut spare = [0];
        let step = self.inflate_some(&src[read..], &mut spare)?;
        if step.written > 0 {
            return Err(InflateError::OutputFull { room, read, len: src.len() });
        }
        if step.ended {
            return Ok(Inflated { read: read + step.read, written, ended: true });
        }
        Err(InflateError::Truncated { len: src.len(), written })
    }

    fn corrupt(&self) -> InflateError {
        InflateError::Corrupt { offset: self.state.total_in(), written: self.state.total_out() }
    }
}

impl Default for Inflater {
    fn default() -> Self {
        Self::new()
    }
}
