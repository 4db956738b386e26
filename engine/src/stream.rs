//! Streams of any length through readers and writers, in bounded memory.
//!
//! Four types, each with the traits of tokio where what it wraps is asynchronous, and with those of `std::io` where that
//! blocks:
//!
//! | | gives what it makes | takes it from |
//! |---|---|---|
//! | compress | [`CompressWriter`] writes it on | [`CompressReader`] reads ahead |
//! | decompress | [`DecompressWriter`] writes it on | [`DecompressReader`] reads ahead |
//!
//! Compression goes through the engine, segment by segment and several at once. Decompression is the CPU's, on the thread
//! that polls, at most a buffer for each poll: a device takes a stream as one job, from memory to memory.
//!
//! ```
//! use std::io::{Read, Write};
//! use svala_engine::{Compression, Decompression, Device, Engine};
//!
//! let engine = Engine::builder().device(Device::Emulated).open()?;
//! let mut writer = engine.compress_writer(Vec::new(), Compression::default());
//! writer.write_all(b"swallow, swallow")?;
//! let gzip = writer.finish()?;
//! let mut text = String::new();
//! engine.decompress_reader(&gzip[..], Decompression::default()).read_to_string(&mut text)?;
//! assert_eq!(text, "swallow, swallow");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod decode;
mod encode;
mod reader;
mod writer;

pub use decode::{DecodeError, Decompression, Trailing};
pub use encode::Streamed;
pub use reader::{CompressReader, DecompressReader};
pub use writer::{CompressWriter, DecompressWriter};

pub(crate) use decode::Decode;

use crate::compress::Compression;
use crate::engine::Engine;
use encode::Encode;

impl Engine {
    /// Compresses what is written to it, and writes that to `inner`.
    ///
    /// End it with `shutdown` (asynchronous) or [`CompressWriter::finish`] (blocking): dropped before, the stream lacks its
    /// end.
    pub fn compress_writer<W>(&self, inner: W, compression: Compression) -> CompressWriter<W> {
        CompressWriter::new(inner, Encode::new(self.clone(), compression))
    }

    /// Reads `inner` to its end and gives the compressed stream.
    pub fn compress_reader<R>(&self, inner: R, compression: Compression) -> CompressReader<R> {
        CompressReader::new(inner, Encode::new(self.clone(), compression))
    }

    /// Expands what is written to it, and writes that to `inner`.
    ///
    /// End it with `shutdown` (asynchronous) or [`DecompressWriter::finish`] (blocking), which fail if the stream has not
    /// ended.
    pub fn decompress_writer<W>(&self, inner: W, decompression: Decompression) -> DecompressWriter<W> {
        DecompressWriter::new(inner, Decode::new(decompression), self.stream_reason())
    }

    /// Reads the stream in `inner` and gives what is in it.
    pub fn decompress_reader<R>(&self, inner: R, decompression: Decompression) -> DecompressReader<R> {
        DecompressReader::new(inner, Decode::new(decompression), self.stream_reason())
    }
}
