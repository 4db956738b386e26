//! The deflate arithmetic of the emulated IAA device: what its compressor and its decompressor do to bytes.
//!
//! Everything here is a function of its arguments. Descriptors, the configuration and state structure (AECS),
//! completion records, checksums and memory belong to the engine, which takes the flags and tables out of a
//! descriptor, calls [`compress`], [`Histogram::of`] or an [`Inflater`], and writes down what they answer.
//!
//! The one hard idea is what makes the device differ from a deflate library. Its history is 4 KiB, so it never
//! writes a longer distance and refuses one it reads. It uses the Huffman tables it is given, so a symbol
//! without a code is an error and not a choice. And its unit of output is a 64-bit word: what does not fill one
//! stays in the accumulator of the AECS, from which the next descriptor of the job goes on.
//!
//! Left out: dictionaries. Header generation and early abort are the engine's, of the same parts. IAA §3.3, §3.4, §6.3.2,
//! §6.3.5, §6.4.2.

mod alphabet;
mod bit_buffer;
mod bit_reader;
mod bit_writer;
mod compress;
mod decode_table;
mod histogram;
mod inflate;
mod matcher;
#[cfg(test)]
mod samples;
mod tables;

pub use bit_buffer::{BitBuffer, TooManyBits};
pub use bit_reader::InputBits;
pub use compress::{CompressError, Compressed, EndProcessing, compress};
pub use histogram::Histogram;
pub use inflate::{CodeLengths, Inflated, Inflater, Outcome, Position, Saved, StopOn, inflate};
pub use matcher::{MatchOptions, Preset};
pub use tables::{Code, Tables};

/// The history the device keeps, in bytes, and so the longest distance in a stream of its own.
pub const HISTORY_BYTES: usize = 4096;
