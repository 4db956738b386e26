//! A framed stream taken apart, piece by piece: no input or output of its own.

use std::io;

use svala::Dictionary;
use svala_software::{
    CheckKind, Format, FrameError, InflateError, Inflater, Lz4Error, Lz4Expander, Lz4Header, Lz4Start, Part,
    Xxh32,
};

use crate::dictionary::identity;

/// How to expand a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decompression {
    /// The frame; gzip streams may have several members, LZ4 streams several frames.
    pub format: Format,
    /// Bytes of output at most. A stream that has more is an error: the size of what is in it is the word of whoever made
    /// it.
    pub output_bytes_max: u64,
    /// What to do about bytes behind the stream.
    pub trailing: Trailing,
}

impl Default for Decompression {
    fn default() -> Self {
        Self { format: Format::Gzip, output_bytes_max: u64::MAX, trailing: Trailing::Refuse }
    }
}

/// What to do about bytes behind a stream that are not another member of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Trailing {
    /// They are an error.
    #[default]
    Refuse,
    /// They are somebody else's: the stream ends before them, and they can be had from `into_parts`.
    Leave,
}

/// Why a stream could not be expanded. Offsets are in the compressed stream, from its start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// A header or trailer is broken, or does not fit what is in it.
    #[error("stream at byte {at}: {error}")]
    Frame {
        /// Where the header or trailer begins; offsets in `error` count from here.
        at: u64,
        /// What is wrong.
        error: FrameError,
    },
    /// The deflate stream is broken.
    #[error("corrupt stream at byte {at}")]
    Corrupt {
        /// Where, or just before.
        at: u64,
    },
    /// The input ends before the stream does.
    #[error("stream ends early, after {len} bytes")]
    Truncated {
        /// Bytes there were.
        len: u64,
    },
    /// Something follows the stream that is not of it.
    #[error("trailing garbage: stream ends at byte {at}")]
    Trailing {
        /// Where it ends.
        at: u64,
    },
    /// There is more in the stream than the caller takes.
    #[error("stream at byte {at}: more than {output_bytes_max} bytes of output")]
    OutputFull {
        /// Bytes of the stream that gave as much as is taken.
        at: u64,
        /// What the caller takes.
        output_bytes_max: u64,
    },
}

impl From<DecodeError> for io::Error {
    fn from(error: DecodeError) -> Self {
        let kind = match &error {
            DecodeError::Truncated { .. } => io::ErrorKind::UnexpectedEof,
            _ => io::ErrorKind::InvalidData,
        };
        Self::new(kind, error)
    }
}

/// How far a call came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Step {
    /// Input taken.
    pub(crate) read: usize,
    /// Output given.
    pub(crate) written: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Header,
    /// Within an LZ4 frame that is skipped: so many bytes are left of it.
    Skip(u64),
    Body,
    Trailer,
    /// Behind a stream that has one member: nothing may follow.
    Behind,
    /// Nothing more is of the stream, and what follows is not looked at.
    End,
}

/// Bytes a frame that is skipped begins with.
const SKIP_BYTES: usize = 8;

/// An LZ4 frame under way.
struct Lz4 {
    header: Lz4Header,
    expander: Lz4Expander,
    sum: Xxh32,
}

impl Lz4 {
    fn new(header: Lz4Header) -> Self {
        Self { header, expander: Lz4Expander::new(header.blocks), sum: Xxh32::new() }
    }
}

/// The state of a stream between pieces of it.
pub(crate) struct Decode {
    decompression: Decompression,
    inflater: Inflater,
    dictionary: Option<Dictionary>,
    stage: Stage,
    /// A header or trailer of which not all is there yet; at the end, what may have been another member and is not.
    held: Vec<u8>,
    /// The LZ4 frame at hand.
    lz4: Option<Lz4>,
    /// A frame was skipped.
    has_skipped: bool,
    /// Checksum and length of the member at hand.
    check: u32,
    len: u64,
    /// Where its deflate stream begins, or its blocks.
    body_at: u64,
    read: u64,
    written: u64,
    members: u32,
    failed: Option<DecodeError>,
}

impl Decode {
    pub(crate) fn new(decompression: Decompression) -> Self {
        Self {
            decompression,
            inflater: Inflater::new(),
            dictionary: None,
            stage: Stage::Header,
            held: Vec::new(),
            lz4: None,
            has_skipped: false,
            check: decompression.format.check_kind().start(),
            len: 0,
            body_at: 0,
            read: 0,
            written: 0,
            members: 0,
            failed: None,
        }
    }

    /// What the stream may refer to. Before its start.
    pub(crate) fn set_dictionary(&mut self, dictionary: Dictionary) {
        self.dictionary = Some(dictionary);
    }

    /// Bytes of the stream so far, those that are held not counted.
    pub(crate) fn read(&self) -> u64 {
        self.read - self.held.len() as u64
    }

    /// Bytes of output so far.
    pub(crate) const fn written(&self) -> u64 {
        self.written
    }

    /// Members that have ended.
    pub(crate) const fn members(&self) -> u32 {
        self.members
    }

    /// Whether nothing more is of the stream, whatever comes.
    pub(crate) fn has_ended(&self) -> bool {
        self.stage == Stage::End && self.failed.is_none()
    }

    /// Bytes that were taken, and are not of the stream.
    pub(crate) fn into_held(self) -> Vec<u8> {
        self.held
    }

    /// Expands on, as far as `input` and `output` allow, or to the end of the stream. After an error it answers the same
    /// again; what came before the error has been given before.
    pub(crate) fn run(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, DecodeError> {
        let mut step = Step::default();
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        loop {
            let before = (step, self.stage);
            if let Err(error) = self.advance(input, output, &mut step) {
                self.failed = Some(error.clone());
                // What is good is given first; the error comes with the next call.
                return if step.written > 0 { Ok(step) } else { Err(error) };
            }
            if before == (step, self.stage) || self.stage == Stage::End {
                return Ok(step);
            }
        }
    }

    fn advance(&mut self, input: &[u8], output: &mut [u8], step: &mut Step) -> Result<(), DecodeError> {
        let input = &input[step.read..];
        let output = &mut output[step.written..];
        let read = match self.stage {
            Stage::Header if self.is_lz4() => self.lz4_header(input)?,
            Stage::Header => self.header(input)?,
            Stage::Skip(left) => self.skip(input, left),
            Stage::Body => {
                let done = self.body(input, output)?;
                step.written += done.written;
                done.read
            }
            Stage::Trailer => self.trailer(input)?,
            Stage::Behind if !input.is_empty() => {
                self.trailing(self.read())?;
                0
            }
            Stage::Behind | Stage::End => 0,
        };
        step.read += read;
        Ok(())
    }

    /// Runs `parse` on what is held and `input`, and says how much of `input` that took. None: more is needed.
    fn frame<T>(
        &mut self,
        input: &[u8],
        parse: impl FnOnce(&[u8]) -> Result<(usize, T), FrameError>,
    ) -> Result<Option<(usize, T)>, FrameError> {
        let held = self.held.len();
        let parsed = if held == 0 {
            parse(input)
        } else {
            self.held.extend_from_slice(input);
            parse(&self.held)
        };
        match parsed {
            Ok((bytes, value)) => {
                self.held.clear();
                Ok(Some((bytes - held, value)))
            }
            Err(FrameError::Truncated { .. }) => {
                if held == 0 {
                    self.held.extend_from_slice(input);
                }
                Ok(None)
            }
            Err(error) => {
                self.held.truncate(held);
                Err(error)
            }
        }
    }

    fn header(&mut self, input: &[u8]) -> Result<usize, DecodeError> {
        let (format, at) = (self.decompression.format, self.read());
        let is_first = self.members == 0;
        if input.is_empty() && !is_first {
            return Ok(0);
        }
        let dictionary = self.dictionary.clone();
        let parse = |bytes: &[u8]| match (&dictionary, format) {
            (Some(dictionary), Format::Zlib) => {
                let parsed = Format::parse_zlib_header_with_dictionary(bytes, identity(dictionary));
                parsed.map(|(header, is_needed)| (header.bytes, is_needed))
            }
            _ => format.parse_header(bytes).map(|header| (header.bytes, format == Format::Raw)),
        };
        match self.frame(input, parse) {
            Ok(None) => Ok(self.taken(input.len())),
            Ok(Some((bytes, is_needed))) => {
                self.stage = Stage::Body;
                self.inflater.reset();
                if is_needed && let Some(dictionary) = &dictionary {
                    self.inflater.set_dictionary(dictionary.as_bytes());
                }
                (self.check, self.len) = (format.check_kind().start(), 0);
                let bytes = self.taken(bytes);
                self.body_at = self.read;
                Ok(bytes)
            }
            Err(FrameError::WrongMagic { .. }) if !is_first => self.trailing(at).map(|()| 0),
            Err(error) => Err(DecodeError::Frame { at, error }),
        }
    }

    fn lz4_header(&mut self, input: &[u8]) -> Result<usize, DecodeError> {
        let (at, is_first) = (self.read(), self.members == 0 && !self.has_skipped);
        if input.is_empty() && !is_first {
            return Ok(0);
        }
        let parse = |bytes: &[u8]| {
            let start = Lz4Start::parse(bytes)?;
            Ok((if let Lz4Start::Frame(header) = start { header.bytes } else { SKIP_BYTES }, start))
        };
        match self.frame(input, parse) {
            Ok(None) => Ok(self.taken(input.len())),
            Ok(Some((bytes, start))) => {
                let bytes = self.taken(bytes);
                self.stage = match start {
                    Lz4Start::Skip(bytes) => Stage::Skip(bytes - SKIP_BYTES as u64),
                    Lz4Start::Frame(header) => {
                        self.lz4 = Some(Lz4::new(header));
                        (self.len, self.body_at) = (0, self.read);
                        Stage::Body
                    }
                };
                Ok(bytes)
            }
            Err(FrameError::WrongMagic { .. }) if !is_first => self.trailing(at).map(|()| 0),
            Err(error) => Err(DecodeError::Frame { at, error }),
        }
    }

    fn skip(&mut self, input: &[u8], left: u64) -> usize {
        let bytes = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
        let left = left - bytes as u64;
        self.has_skipped = true;
        self.stage = if left == 0 { Stage::Header } else { Stage::Skip(left) };
        self.taken(bytes)
    }

    /// What follows the last member is none.
    fn trailing(&mut self, at: u64) -> Result<(), DecodeError> {
        self.stage = Stage::End;
        match self.decompression.trailing {
            Trailing::Refuse => Err(DecodeError::Trailing { at }),
            Trailing::Leave => Ok(()),
        }
    }

    const fn taken(&mut self, bytes: usize) -> usize {
        self.read += bytes as u64;
        bytes
    }

    fn body(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, DecodeError> {
        let output_bytes_max = self.decompression.output_bytes_max;
        let left = usize::try_from(output_bytes_max - self.written).unwrap_or(usize::MAX);
        let mut spare = [0];
        let is_full = left == 0;
        let room = if is_full {
            &mut spare[..]
        } else {
            let room = output.len().min(left);
            &mut output[..room]
        };
        let at = self.read;
        let body_at = self.body_at;
        let (step, ended) = match &mut self.lz4 {
            Some(lz4) => lz4_some(lz4, input, room, at, body_at)?,
            None => {
                let step = self.inflater.inflate_some(input, room).map_err(|error| match error {
                    InflateError::Corrupt { offset, .. } => DecodeError::Corrupt { at: body_at + offset },
                    _ => DecodeError::Truncated { len: at },
                })?;
                (Step { read: step.read, written: step.written }, step.ended)
            }
        };
        self.read += step.read as u64;
        if is_full && step.written > 0 {
            return Err(DecodeError::OutputFull { at, output_bytes_max });
        }
        let kind: CheckKind = self.decompression.format.check_kind();
        self.check = kind.chain(self.check, &room[..step.written]);
        self.len += step.written as u64;
        self.written += step.written as u64;
        if ended {
            self.stage = Stage::Trailer;
        }
        Ok(step)
    }

    fn trailer(&mut self, input: &[u8]) -> Result<usize, DecodeError> {
        let (format, at) = (self.decompression.format, self.read());
        let (check, len) = (self.check, self.len);
        let lz4 = self.lz4.as_ref().map(|lz4| (lz4.header, lz4.sum.value()));
        let checked = |bytes: &[u8]| match lz4 {
            Some((header, sum)) => header.check_trailer(bytes, sum, len),
            None => format.check_trailer(bytes, check, len),
        };
        match self.frame(input, |bytes| Ok((checked(bytes)?, ()))) {
            Ok(None) => Ok(self.taken(input.len())),
            Ok(Some((bytes, ()))) => {
                self.members += 1;
                let read = self.taken(bytes);
                self.stage = match (format, self.decompression.trailing) {
                    (Format::Gzip | Format::Lz4, _) => Stage::Header,
                    (_, Trailing::Refuse) => Stage::Behind,
                    (_, Trailing::Leave) => Stage::End,
                };
                Ok(read)
            }
            Err(error) => Err(DecodeError::Frame { at, error }),
        }
    }

    const fn is_lz4(&self) -> bool {
        matches!(self.decompression.format, Format::Lz4)
    }

    /// Says that there is no more input: whether the stream has ended there.
    pub(crate) fn end(&mut self) -> Result<(), DecodeError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let len = self.read;
        let end = match self.stage {
            Stage::Behind | Stage::End => Ok(()),
            Stage::Header if (self.members > 0 || self.has_skipped) && self.held.is_empty() => Ok(()),
            // A byte that no member begins with needs no second one.
            Stage::Header if self.members > 0 && !self.is_lz4() && self.held[0] != 0x1f => {
                self.trailing(self.read())
            }
            Stage::Header | Stage::Trailer if self.held.is_empty() => Err(DecodeError::Truncated { len }),
            Stage::Header | Stage::Trailer => {
                let part = if self.stage == Stage::Header { Part::Header } else { Part::Trailer };
                let error = FrameError::Truncated { part, offset: self.held.len() };
                Err(DecodeError::Frame { at: self.read(), error })
            }
            Stage::Body | Stage::Skip(_) => Err(DecodeError::Truncated { len }),
        };
        self.failed = end.as_ref().err().cloned();
        end
    }
}

/// Expands blocks on.
fn lz4_some(
    lz4: &mut Lz4,
    input: &[u8],
    room: &mut [u8],
    at: u64,
    body_at: u64,
) -> Result<(Step, bool), DecodeError> {
    let step = lz4.expander.expand_some(input, room).map_err(|error| match error {
        Lz4Error::Corrupt { offset } | Lz4Error::BlockChecksum { offset, .. } => {
            DecodeError::Corrupt { at: body_at + offset }
        }
        _ => DecodeError::Truncated { len: at },
    })?;
    lz4.sum.update(&room[..step.written]);
    Ok((Step { read: step.read, written: step.written }, step.ended))
}
