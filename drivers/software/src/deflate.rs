//! Raw deflate (RFC 1951), in segments that can be made apart and joined.
//!
//! A segment starts from an empty history and ends on a byte boundary: the last one with the final block, any other
//! with the empty stored block of a sync flush. So segments made by different threads, or by a device and the CPU,
//! are one valid stream when written one after the other. What a segment costs is the history it cannot refer to.
//!
//! libdeflate compresses; zlib-rs does what libdeflate does not: windows that are smaller, dictionaries, and inputs so short
//! that libdeflate would not compress them.

mod blocks;
mod code;
#[cfg(feature = "queue")]
mod miniblock;
mod whole;

use flate2::{Compress, Compression, FlushCompress, Status};
use thiserror::Error;

#[cfg(feature = "queue")]
pub(crate) use miniblock::MiniblockDeflater;
use whole::Whole;

/// How hard to look for repetitions: 0 stores, 1 is fast, 9 is small.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Level(u8);

impl Level {
    /// No compression: stored blocks.
    pub const STORE: Self = Self(0);
    /// The fastest that compresses.
    pub const FAST: Self = Self(1);
    /// What `gzip` does unasked.
    pub const DEFAULT: Self = Self(6);
    /// The smallest output.
    pub const BEST: Self = Self(9);

    /// Level `level`, or `None` above 9.
    pub const fn new(level: u8) -> Option<Self> {
        if level <= 9 { Some(Self(level)) } else { None }
    }

    /// The level as a number, 0 to 9.
    pub const fn value(self) -> u8 {
        self.0
    }
}

impl Default for Level {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// How far back a repetition may refer, as a power of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Window {
    bits: u8,
}

impl Window {
    /// 4 KiB: what IAA keeps, so what a stream needs that IAA shall decompress.
    pub const IAA: Self = Self { bits: 12 };
    /// 32 KiB: what every inflate keeps, and the most the format can express.
    pub const DEFLATE: Self = Self { bits: 15 };

    /// A window of 2^`bits` bytes, or `None` outside 9 to 15.
    pub const fn new(bits: u8) -> Option<Self> {
        if bits >= 9 && bits <= 15 { Some(Self { bits }) } else { None }
    }

    /// The base-2 logarithm of the size.
    pub const fn bits(self) -> u8 {
        self.bits
    }

    /// The size.
    pub const fn bytes(self) -> usize {
        1 << self.bits
    }
}

impl Default for Window {
    fn default() -> Self {
        Self::DEFLATE
    }
}

/// Whether more of the same stream follows a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Segment {
    /// Another segment follows: ends with an empty stored block.
    NotLast,
    /// The stream ends here: ends with the final block.
    Last,
}

/// What a call to [`Deflater::deflate`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Deflated {
    /// Input bytes consumed: all of them.
    pub read: usize,
    /// Output bytes, from the start of the destination.
    pub written: usize,
}

/// The destination is too small for the segment; what it holds now is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
#[error("deflate output full at {room} bytes after {read} of {len} input bytes")]
pub struct OutputFull {
    /// Size of the destination.
    pub room: usize,
    /// Input bytes the compressor had taken in.
    pub read: usize,
    /// Size of the source.
    pub len: usize,
}

/// A destination this large is large enough for a segment of `len` bytes, at any level, window and [`Segment`].
///
/// Incompressible data at the fast levels is written as 9-bit literals, hence the eighth.
pub const fn deflate_bound(len: usize) -> usize {
    len.saturating_add(len / 8).saturating_add(len / 64).saturating_add(64)
}

/// Compresses `src` into `dst` as one segment with a 32 KiB window. [`Deflater`] does it without allocating.
///
/// # Errors
///
/// As [`Deflater::deflate`].
pub fn deflate(src: &[u8], dst: &mut [u8], level: Level, segment: Segment) -> Result<Deflated, OutputFull> {
    Deflater::new(level, Window::DEFLATE).deflate(src, dst, segment)
}

/// What is compressed together with a dictionary. No stream refers to one from beyond 32 KiB.
const DICTIONARY_PART_BYTES: usize = 256 << 10;

/// Whether the input stays what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Still,
    /// It may become zeros at any time.
    Unsteady,
}

/// A compressor for one segment after another. Allocates when made, when its level or window changes, and after an
/// [`OutputFull`]; segments that fit allocate nothing.
#[derive(Debug)]
pub struct Deflater {
    whole: Whole,
    state: Compress,
    level: Level,
    window: Window,
}

impl Deflater {
    /// A compressor that works at `level` and refers back no further than `window`. Holds some 1 MiB, most of which is
    /// memory only once it is used.
    pub fn new(level: Level, window: Window) -> Self {
        Self { whole: Whole::new(level), state: zlib(level, window), level, window }
    }

    /// The level of the next segment.
    pub fn level(&self) -> Level {
        self.level
    }

    /// The window of the next segment.
    pub fn window(&self) -> Window {
        self.window
    }

    /// Works at `level` and within `window` from the next segment on. Allocates only if one of them changes.
    pub fn configure(&mut self, level: Level, window: Window) {
        if window != self.window {
            self.state = zlib(level, window);
        } else if level != self.level {
            self.state.reset();
            self.state.set_level(Compression::new(level.0.into())).expect("an empty stream takes any level");
        }
        (self.level, self.window) = (level, window);
    }

    /// Compresses all of `src` into `dst` as one segment.
    ///
    /// # Errors
    ///
    /// [`OutputFull`] if `dst` is too small, which [`deflate_bound`] bytes never are. A segment that is not the last may
    /// need some bytes more than it fills. The compressor is as good as new either way.
    pub fn deflate(&mut self, src: &[u8], dst: &mut [u8], segment: Segment) -> Result<Deflated, OutputFull> {
        let written = self.part(src, dst, segment, Source::Still)?;
        Ok(Deflated { read: src.len(), written })
    }

    /// Allocates what [`deflate_unsteady`](Self::deflate_unsteady) needs.
    #[cfg_attr(
        not(feature = "queue"),
        expect(dead_code, reason = "only the queue works on memory that may vanish")
    )]
    pub(crate) fn prepare_unsteady(&mut self) {
        self.whole.prepare_copy();
    }

    /// [`deflate_with_dictionary`](Self::deflate_with_dictionary) of memory that may vanish meanwhile, and be replaced by zeros
    /// ([`guarded`](crate::guarded)).
    #[cfg_attr(
        not(feature = "queue"),
        expect(dead_code, reason = "only the queue works on memory that may vanish")
    )]
    pub(crate) fn deflate_unsteady(
        &mut self,
        dictionary: &[u8],
        src: &[u8],
        dst: &mut [u8],
        segment: Segment,
    ) -> Result<Deflated, OutputFull> {
        self.in_parts(dictionary, src, dst, segment, Source::Unsteady)
    }

    /// Compresses one segment by whichever of the two can.
    fn part(
        &mut self,
        src: &[u8],
        dst: &mut [u8],
        segment: Segment,
        source: Source,
    ) -> Result<usize, OutputFull> {
        let is_for_whole =
            src.len() >= whole::BYTES_MIN && self.window == Window::DEFLATE && self.level > Level::STORE;
        if is_for_whole {
            let made = match source {
                Source::Still => self.whole.deflate(src, dst, self.level, segment),
                Source::Unsteady => self.whole.deflate_copy(src, dst, self.level, segment),
            };
            if let Some(written) = made {
                return Ok(written);
            }
        }
        // Also where there was no room: it may be enough for zlib-rs, which says how far it came.
        self.part_by_zlib(&[], src, dst, segment).map(|made| made.written)
    }

    /// [`deflate`](Self::deflate) of what follows `dictionary`, to which the segment may refer.
    ///
    /// # Errors
    ///
    /// As [`deflate`](Self::deflate).
    pub fn deflate_with_dictionary(
        &mut self,
        dictionary: &[u8],
        src: &[u8],
        dst: &mut [u8],
        segment: Segment,
    ) -> Result<Deflated, OutputFull> {
        self.in_parts(dictionary, src, dst, segment, Source::Still)
    }

    /// Compresses `src` in segments: the first refers to `dictionary`, and is zlib-rs's then; what is copied is in several if it
    /// is long.
    fn in_parts(
        &mut self,
        dictionary: &[u8],
        src: &[u8],
        dst: &mut [u8],
        segment: Segment,
        source: Source,
    ) -> Result<Deflated, OutputFull> {
        let (len, room) = (src.len(), dst.len());
        let (mut read, mut written) = (0_usize, 0);
        loop {
            let is_first = read == 0 && !dictionary.is_empty();
            let bytes_max = match source {
                _ if is_first => DICTIONARY_PART_BYTES,
                Source::Still => usize::MAX,
                Source::Unsteady => whole::COPY_BYTES_MAX,
            };
            let end = len.min(read.saturating_add(bytes_max));
            let segment = if end < len { Segment::NotLast } else { segment };
            let (part, place) = (&src[read..end], &mut dst[written..]);
            let made = match is_first {
                true => self.part_by_zlib(dictionary, part, place, segment).map(|made| made.written),
                false => self.part(part, place, segment, source),
            };
            written += made.map_err(|full| OutputFull { room, read: read + full.read, len })?;
            read = end;
            if read == len {
                return Ok(Deflated { read, written });
            }
        }
    }

    /// As one stretch of zlib's, which may refer to `dictionary`.
    fn part_by_zlib(
        &mut self,
        dictionary: &[u8],
        src: &[u8],
        dst: &mut [u8],
        segment: Segment,
    ) -> Result<Deflated, OutputFull> {
        self.state.reset();
        if !dictionary.is_empty() {
            let last = &dictionary[dictionary.len().saturating_sub(Window::DEFLATE.bytes())..];
            self.state.set_dictionary(last).expect("a raw deflate stream takes a dictionary at its start");
        }
        let (mut read, mut written) = (0, 0);
        loop {
            let flush = segment.flush();
            let (status, took, gave) = self.step(&src[read..], &mut dst[written..], flush);
            read += took;
            written += gave;
            if status == Status::StreamEnd {
                return Ok(Deflated { read, written });
            }
            if written == dst.len() {
                if read == src.len() && segment == Segment::Last && self.has_ended() {
                    return Ok(Deflated { read, written });
                }
                // A reset in the middle of a block is not enough: zlib-rs 0.6.8 at level 1 goes on believing that a
                // block is open, and leaves out the header of the new stream's first one.
                self.state = zlib(self.level, self.window);
                return Err(OutputFull { room: dst.len(), read, len: src.len() });
            }
            if read == src.len() {
                assert!(segment == Segment::NotLast, "the final block was withheld with room for it");
                return Ok(Deflated { read, written });
            }
            assert!(took + gave > 0, "the compressor neither reads nor writes at {read} of {}", src.len());
        }
    }

    /// Whether a last segment that filled its destination is whole. The compressor may have to be asked once more to
    /// say so; after a segment that is not the last it would answer with another flush.
    fn has_ended(&mut self) -> bool {
        let (status, _, gave) = self.step(&[], &mut [0], FlushCompress::Finish);
        status == Status::StreamEnd && gave == 0
    }

    /// One call of the compressor, with the bytes it took and gave.
    fn step(&mut self, src: &[u8], dst: &mut [u8], flush: FlushCompress) -> (Status, usize, usize) {
        let (read, written) = (self.state.total_in(), self.state.total_out());
        let status = self.state.compress(src, dst, flush).expect("a raw deflate stream takes any input");
        let progress = |now: u64, before: u64| usize::try_from(now - before).expect("bounded by a slice");
        (status, progress(self.state.total_in(), read), progress(self.state.total_out(), written))
    }
}

fn zlib(level: Level, window: Window) -> Compress {
    Compress::new_with_window_bits(Compression::new(level.0.into()), false, window.bits)
}

impl Segment {
    fn flush(self) -> FlushCompress {
        match self {
            Self::NotLast => FlushCompress::Sync,
            Self::Last => FlushCompress::Finish,
        }
    }
}
