//! Expanding a stream of any length in bounded memory, on the CPU, from a reader to a writer.
//!
//! A device takes a stream as one job, from memory to memory. What is larger than that, or comes from a pipe, goes
//! through here: reads, inflates and writes a piece at a time, on the calling thread.

use std::io::{self, Read, Write};

use svala::Dictionary;
use svala_software::{Format, HEADER_BYTES_MAX};

use crate::decompress::Decompressed;
use crate::stream::{Decode, DecodeError, Decompression};

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
    /// The stream is broken, or has more in it than is taken.
    #[error(transparent)]
    Stream(#[from] DecodeError),
    /// The caller's `progress` said to stop.
    #[error("stopped after {read} bytes")]
    Stopped {
        /// Bytes of the stream expanded until then.
        read: u64,
    },
}

/// Expands streams piece by piece; about half a mebibyte of memory, whatever their length.
pub struct Expander {
    decompression: Decompression,
    dictionary: Option<Dictionary>,
    input: Vec<u8>,
    output: Vec<u8>,
}

impl Expander {
    /// For streams of `format`, all their members, and nothing behind them.
    pub fn new(format: Format) -> Self {
        Self::with(Decompression { format, ..Decompression::default() })
    }

    /// For streams that are to be expanded like this.
    pub fn with(decompression: Decompression) -> Self {
        Self { decompression, dictionary: None, input: vec![0; BUFFER_BYTES], output: vec![0; BUFFER_BYTES] }
    }

    /// For zlib streams that may have been made with `dictionary`, as their headers say, and raw ones that have. The other
    /// formats have no place for one, and are expanded without.
    #[must_use]
    pub fn and_dictionary(self, dictionary: Dictionary) -> Self {
        Self { dictionary: Some(dictionary), ..self }
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
        let mut decode = Decode::new(self.decompression);
        if let Some(dictionary) = &self.dictionary {
            decode.set_dictionary(dictionary.clone());
        }
        // Bytes `start..end` of the input are read and not taken yet.
        let (mut start, mut end, mut at_end) = (0, 0, false);
        loop {
            let step = decode.run(&self.input[start..end], &mut self.output)?;
            start += step.read;
            let made = &self.output[..step.written];
            let at = decode.written() - step.written as u64;
            output.write_all(made).map_err(|source| ExpandError::Write { at, source })?;
            if !progress(decode.read(), decode.written()) {
                return Err(ExpandError::Stopped { read: decode.read() });
            }
            if step.written > 0 {
                continue;
            }
            if decode.has_ended() || at_end {
                break;
            }
            if start == end {
                (start, end) = (0, read(input, &mut self.input, decode.read())?);
                at_end = end == 0;
            }
        }
        decode.end()?;
        Ok(Decompressed { read: decode.read(), written: decode.written(), members: decode.members() })
    }
}

fn read(input: &mut dyn Read, buffer: &mut [u8], at: u64) -> Result<usize, ExpandError> {
    loop {
        match input.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done.map_err(|source| ExpandError::Read { at, source }),
        }
    }
}
