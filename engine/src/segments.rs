//! A framed stream made of segments, for input that is compressed piece by piece.

use svala::{DeflateOptions, Deflated};
use svala_software::FrameBytes;

use crate::compress::Compression;

/// Keeps the frame of a stream whose deflate segments are made one by one, or several at once.
///
/// Write [`Segments::header`], then each segment in order, calling [`Segments::add`] for it, then
/// [`Segments::trailer`]. Segments do not refer to each other's data, so they can be made in any order.
///
/// ```
/// # use svala_engine::{Compression, Device, Engine, Segments, block_on, compressed_bytes_max};
/// let engine = Engine::builder().device(Device::Software).open()?;
/// let mut segments = Segments::new(Compression::default());
/// let mut file = segments.header().to_vec();
/// for (piece, last) in [("swallow, ", false), ("swallow", true)] {
///     let room = vec![0; compressed_bytes_max(piece.len())];
///     let done = block_on(engine.deflate(piece.as_bytes(), room, segments.options(last)))?;
///     segments.add(&done.value, piece.len() as u64);
///     file.extend(&done.buffers.1[..usize::try_from(done.value.written)?]);
/// }
/// file.extend(&*segments.trailer());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Segments {
    compression: Compression,
    check: u32,
    len: u64,
}

impl Segments {
    /// A stream without segments yet.
    pub fn new(compression: Compression) -> Self {
        Self { compression, check: compression.format.check_kind().start(), len: 0 }
    }

    /// What the stream begins with.
    pub fn header(&self) -> FrameBytes {
        self.compression.header()
    }

    /// How to deflate a segment.
    pub const fn options(&self, last: bool) -> DeflateOptions {
        self.compression.options(last)
    }

    /// Takes the next segment into the frame: what was made of `input_bytes` bytes.
    pub fn add(&mut self, segment: &Deflated, input_bytes: u64) {
        let kind = self.compression.format.check_kind();
        self.check = kind.combine(self.check, segment.check, input_bytes);
        self.len += input_bytes;
    }

    /// What the stream ends with.
    pub fn trailer(&self) -> FrameBytes {
        self.compression.format.trailer(self.check, self.len)
    }
}
