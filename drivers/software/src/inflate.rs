//! Raw inflate (RFC 1951): whole streams in one call, or streams of any length in bounded memory.
//!
//! History is always the format's 32 KiB, so every valid stream is readable, whatever window it was made with.
//! Input is not trusted: no byte sequence makes these functions panic or write outside the destination.
//!
//! The decoder is our own: of the libraries, the fastest (libdeflate) takes whole buffers alone and symbols that nobody defined,
//! and the strict ones are slower by a third.

mod decoder;
mod fast;
#[cfg(feature = "queue")]
mod miniblock;
mod table;
mod window;

use std::fmt;

use thiserror::Error;

use crate::frame::CheckKind;
use decoder::{Decoder, Flaw, Step};

pub(crate) use decoder::Wanted;
#[cfg(feature = "queue")]
pub(crate) use miniblock::{MiniblockError, Places};

/// Output that is summed up while it is near.
const NEAR_BYTES: usize = 128 << 10;

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

/// How far a call came.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stretch {
    pub(crate) read: usize,
    pub(crate) written: usize,
    pub(crate) wanted: Wanted,
}

/// A decompressor for one stream after another. Allocates when made, and not again.
#[derive(Clone)]
pub struct Inflater {
    decoder: Box<Decoder>,
    /// Bytes of the stream so far.
    read: u64,
    written: u64,
}

impl Inflater {
    /// A decompressor at the start of a stream. Holds some 40 KiB.
    pub fn new() -> Self {
        Self { decoder: Box::new(Decoder::new()), read: 0, written: 0 }
    }

    /// Forgets the stream under way; the next byte is the first of a new one.
    pub fn reset(&mut self) {
        self.decoder.reset();
        (self.read, self.written) = (0, 0);
    }

    /// What the stream that is about to begin may refer to. Only before its first byte.
    ///
    /// # Panics
    ///
    /// If the stream has begun.
    pub fn set_dictionary(&mut self, dictionary: &[u8]) {
        assert!(self.read == 0, "a dictionary in the middle of a stream");
        self.decoder.remember(dictionary);
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
        let Stretch { read, written, wanted } = self.inflate_on(src, dst, 0)?;
        self.said(wanted, (read, src.len()), (written, dst.len()))
    }

    /// As [`inflate`](Self::inflate), with the output's checksum, which is made while the output is near.
    ///
    /// # Errors
    ///
    /// As [`inflate`](Self::inflate).
    pub fn inflate_checked(
        &mut self,
        src: &[u8],
        dst: &mut [u8],
        kind: CheckKind,
    ) -> Result<(Inflated, u32), InflateError> {
        self.reset();
        let (mut read, mut written, mut check) = (0, 0, kind.start());
        loop {
            let room = dst.len().min(written + NEAR_BYTES);
            let step = self.inflate_on(&src[read..], &mut dst[..room], written)?;
            check = kind.chain(check, &dst[written..written + step.written]);
            read += step.read;
            written += step.written;
            if step.wanted != Wanted::Room || room == dst.len() {
                let done = self.said(step.wanted, (read, src.len()), (written, dst.len()))?;
                return Ok((done, check));
            }
        }
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
        let Stretch { read, written, wanted } = self.inflate_on(src, dst, 0)?;
        self.decoder.remember(&dst[..written]);
        Ok(Inflated { read, written, ended: wanted == Wanted::Nothing })
    }

    /// Decompresses on to byte `start` of `dst`, before which there is what this stream has given so far: all of it, in each
    /// call.
    pub(crate) fn inflate_on(
        &mut self,
        src: &[u8],
        dst: &mut [u8],
        start: usize,
    ) -> Result<Stretch, InflateError> {
        let Step { read, written, wanted } = self.decoder.run(src, dst, start);
        self.read += read as u64;
        self.written += written as u64;
        match wanted {
            Ok(wanted) => Ok(Stretch { read, written, wanted }),
            Err(Flaw) => Err(InflateError::Corrupt { offset: self.read, written: self.written }),
        }
    }

    /// What a stream that was given all there is has come to: bytes read and written, each of how many.
    fn said(
        &mut self,
        wanted: Wanted,
        (read, len): (usize, usize),
        (written, room): (usize, usize),
    ) -> Result<Inflated, InflateError> {
        if wanted == Wanted::Nothing {
            return Ok(Inflated { read, written, ended: true });
        }
        // What it would go on from is in `dst` alone.
        self.reset();
        match wanted {
            Wanted::Room => Err(InflateError::OutputFull { room, read, len }),
            _ => Err(InflateError::Truncated { len, written }),
        }
    }
}

impl Default for Inflater {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Inflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inflater")
            .field("read", &self.read)
            .field("written", &self.written)
            .finish_non_exhaustive()
    }
}
