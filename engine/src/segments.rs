//! A framed stream made of segments, for input that is compressed piece by piece.

use svala::{Deflated, Dictionary, Error, IoBuf, Operation};
use svala_software::{Format, FrameBytes, Xxh32};

use crate::compress::Compression;
use crate::dictionary::DictionaryFormat;
use crate::guard;
use crate::index::{Index, has_blocks};

/// Keeps the frame of a stream whose segments are made one by one, or several at once.
///
/// Write [`Segments::header`], then each segment in order, made by [`Engine::segment`](crate::Engine::segment), calling
/// [`Segments::add`] for it, then [`Segments::trailer`]. Segments do not refer to each other's data, so they can be made in
/// any order.
///
/// ```
/// # use svala_engine::{Compression, Device, Engine, Segments, block_on, compressed_bytes_max};
/// let engine = Engine::builder().device(Device::Software).open()?;
/// let how = Compression::default();
/// let mut segments = Segments::new(how);
/// let mut file = segments.header().to_vec();
/// for (piece, last) in [("swallow, ", false), ("swallow", true)] {
///     let room = vec![0; compressed_bytes_max(piece.len())];
///     let done = block_on(engine.segment(piece.as_bytes(), room, how, last))?;
///     let (input, room) = done.buffers;
///     segments.add(&done.value, &input)?;
///     file.extend(&room[..usize::try_from(done.value.written)?]);
/// }
/// file.extend(&*segments.trailer());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Segments {
    compression: Compression,
    header: FrameBytes,
    check: u32,
    /// Of all input, where sums of parts cannot be combined.
    sum: Xxh32,
    len: u64,
    index: Option<Index>,
}

impl Segments {
    /// A stream without segments yet.
    pub fn new(compression: Compression) -> Self {
        let check = compression.format.check_kind().start();
        Self { compression, header: compression.header(), check, sum: Xxh32::new(), len: 0, index: None }
    }

    /// A stream of `format` whose first segment is made with `dictionary`, by
    /// [`deflate_with_dictionary`](svala::Runtime::deflate_with_dictionary); those behind it are as ever.
    pub fn with_dictionary(format: DictionaryFormat, level: u8, dictionary: &Dictionary) -> Self {
        let header = format.header(level, dictionary);
        Self { header, ..Self::new(Compression { format: format.format(), level }) }
    }

    /// The same, with an [`Index`] of where they are. Of LZ4 there is none.
    pub fn indexed(compression: Compression) -> Self {
        let index = has_blocks(compression).then(|| Index::behind(compression.header().len() as u64));
        Self { index, ..Self::new(compression) }
    }

    /// Where the segments so far are, if that was asked for.
    pub const fn index(&self) -> Option<&Index> {
        self.index.as_ref()
    }

    /// What the stream begins with.
    pub const fn header(&self) -> FrameBytes {
        self.header
    }

    /// How the stream is made.
    pub const fn compression(&self) -> Compression {
        self.compression
    }

    /// Takes the next segment into the frame, and what it was made of: the sum of an LZ4 frame is made here, from all of it in
    /// order; that of others was made with the segment.
    ///
    /// # Errors
    ///
    /// [`Error::Vanished`] if the input is a map of a file that has become shorter.
    pub fn add<S: IoBuf>(&mut self, segment: &Deflated, input: &S) -> Result<(), Error> {
        let input_bytes = input.span().len;
        if self.compression.format == Format::Lz4 {
            let range = 0..usize::try_from(input_bytes).unwrap_or(usize::MAX);
            let sum = &mut self.sum;
            guard::read(input, range, Operation::Lz4Compress, |bytes| sum.update(bytes))?;
        }
        let kind = self.compression.format.check_kind();
        self.check = kind.combine(self.check, segment.check, input_bytes);
        self.len += input_bytes;
        if let Some(index) = &mut self.index {
            index.add(segment, input_bytes);
        }
        Ok(())
    }

    /// What the stream ends with.
    pub fn trailer(&self) -> FrameBytes {
        let check = if self.compression.format == Format::Lz4 { self.sum.value() } else { self.check };
        self.compression.format.trailer(check, self.len)
    }
}
