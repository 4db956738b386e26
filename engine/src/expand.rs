//! Expanding a stream of any length in bounded memory, on the CPU.
//!
//! A device takes a stream as one job, from memory to memory. What is larger than that, or comes from a pipe, goes
//! through here: reads, inflates and writes a piece at a time, on the calling thread.

use std::io::{self, Read, Write};

use svala_software::{CheckKind, Format, FrameError, HEADER_BYTES_MAX, InflateError, Inflater};

use crate::decompress::Decompressed;

/// Bytes of each of the two buffers.
const BUFFER_BYTES: usize = HEADER_BYTES_MAX;

/// Why a stream could not be expanded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExpandError {
    /// The input cannot be read.
    #[error("read at byte {at}: {source}")]
    Read {
        /// Bytes read before.
        at: u64,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The output cannot be written.
    #[error("write at byte {at}: {source}")]
    Write {
        /// Bytes written before.
        at: u64,
        /// What the system said.
        #[source]
        source: io::Error,
    },
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
        /// Where.
        at: u64,
    },
    /// The caller's `progress` said to stop.
    #[error("stopped after {read} bytes")]
    Stopped {
        /// Bytes of the stream used.
        read: u64,
    },
    /// The input ends before the stream does.
    #[error("stream ends early, after {len} bytes")]
    Truncated {
        /// Bytes there were.
        len: u64,
    },
}

/// Expands streams piece by piece; about half a mebibyte of memory, whatever their length.
pub struct Expander {
    format: Format,
    inflater: Inflater,
    input: Vec<u8>,
    /// Bytes `start..end` of `input` are read and not used yet.
    start: usize,
    end: usize,
    output: Vec<u8>,
    read: u64,
    written: u64,
}

impl Expander {
    /// For streams of `format`; gzip streams may have several members.
    pub fn new(format: Format) -> Self {
        Self {
            format,
            inflater: Inflater::new(),
            input: vec![0; BUFFER_BYTES],
            start: 0,
            end: 0,
            output: vec![0; BUFFER_BYTES],
            read: 0,
            written: 0,
        }
    }

    /// Expands all of `input` into `output`. `progress` is told the bytes read and written so far now and then, and
    /// ends the work by answering false.
    ///
    /// # Errors
    ///
    /// See [`ExpandError`]. What came before the flaw has been written.
    pub fn expand(
        &mut self,
        input: &mut dyn Read,
        output: &mut dyn Write,
        progress: &mut dyn FnMut(u64, u64) -> bool,
    ) -> Result<Decompressed, ExpandError> {
        (self.start, self.end, self.read, self.written) = (0, 0, 0, 0);
        let mut members = 0;
        loop {
            self.header(input)?;
            self.member(input, output, progress)?;
            members += 1;
            if self.format != Format::Gzip || !self.more(input)? {
                return Ok(Decompressed { read: self.at(), written: self.written, members });
            }
        }
    }

    /// Offset of the next unused byte in the input.
    fn at(&self) -> u64 {
        self.read - (self.end - self.start) as u64
    }

    fn unused(&self) -> &[u8] {
        &self.input[self.start..self.end]
    }

    /// Reads on, keeping what is not used yet. False at the end of the input, or with the buffer full.
    fn fill(&mut self, input: &mut dyn Read) -> Result<bool, ExpandError> {
        self.input.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        if self.end == self.input.len() {
            return Ok(false);
        }
        loop {
            match input.read(&mut self.input[self.end..]) {
                Ok(0) => return Ok(false),
                Ok(bytes) => {
                    self.end += bytes;
                    self.read += bytes as u64;
                    return Ok(true);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(ExpandError::Read { at: self.read, source }),
            }
        }
    }

    /// Whether there is another byte.
    fn more(&mut self, input: &mut dyn Read) -> Result<bool, ExpandError> {
        Ok(self.start != self.end || self.fill(input)?)
    }

    fn header(&mut self, input: &mut dyn Read) -> Result<(), ExpandError> {
        loop {
            match self.format.parse_header(self.unused()) {
                Ok(header) => {
                    self.start += header.bytes;
                    return Ok(());
                }
                Err(FrameError::Truncated { .. }) if self.fill(input)? => {}
                Err(error) => return Err(ExpandError::Frame { at: self.at(), error }),
            }
        }
    }

    fn member(
        &mut self,
        input: &mut dyn Read,
        output: &mut dyn Write,
        progress: &mut dyn FnMut(u64, u64) -> bool,
    ) -> Result<(), ExpandError> {
        let kind = self.format.check_kind();
        let (mut check, before) = (kind.start(), self.written);
        self.inflater.reset();
        loop {
            let step = self.inflater.inflate_some(&self.input[self.start..self.end], &mut self.output);
            let step = step.map_err(|error| self.broken(&error))?;
            self.start += step.read;
            check = self.write(output, step.written, kind, check)?;
            if step.ended {
                break;
            }
            if !progress(self.at(), self.written) {
                return Err(ExpandError::Stopped { read: self.at() });
            }
            if step.read + step.written == 0 && !self.fill(input)? {
                return Err(ExpandError::Truncated { len: self.read });
            }
        }
        self.trailer(input, check, self.written - before)
    }

    fn write(
        &mut self,
        output: &mut dyn Write,
        bytes: usize,
        kind: CheckKind,
        check: u32,
    ) -> Result<u32, ExpandError> {
        let made = &self.output[..bytes];
        let at = self.written;
        output.write_all(made).map_err(|source| ExpandError::Write { at, source })?;
        self.written += bytes as u64;
        Ok(kind.chain(check, made))
    }

    fn trailer(&mut self, input: &mut dyn Read, check: u32, len: u64) -> Result<(), ExpandError> {
        loop {
            match self.format.check_trailer(self.unused(), check, len) {
                Ok(bytes) => {
                    self.start += bytes;
                    return Ok(());
                }
                Err(FrameError::Truncated { .. }) if self.fill(input)? => {}
                Err(error) => return Err(ExpandError::Frame { at: self.at(), error }),
            }
        }
    }

    fn broken(&self, error: &InflateError) -> ExpandError {
        let start = self.at();
        match error {
            InflateError::Corrupt { .. } => ExpandError::Corrupt { at: start },
            _ => ExpandError::Truncated { len: self.read },
        }
    }
}
