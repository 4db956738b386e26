//! Compressing a buffer into a framed stream.

use svala::{
    Check, Completed, DeflateOptions, Deflated, Error, Failed, IoBuf, IoBufMut, Operation, Outcome, Slice,
};
use svala_software::{CheckKind, Format, FrameBytes, Level, Window};

use crate::engine::Engine;
use crate::guard;
use crate::segments::Segments;

/// How to compress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compression {
    /// The frame, and by it what is in it: deflate, or LZ4.
    pub format: Format,
    /// 1 (fast) to 9 (small). The CPU has one level of LZ4. What an IAA makes of it: fixed codes at 1, codes of the first part at 2 and 3, else codes of
    /// each part.
    pub level: u8,
}

impl Default for Compression {
    fn default() -> Self {
        Self { format: Format::Gzip, level: 6 }
    }
}

impl Compression {
    pub(crate) const fn check(self) -> Check {
        match self.format.check_kind() {
            CheckKind::Crc32 => Check::Crc32,
            CheckKind::Adler32 => Check::Adler32,
            CheckKind::None => Check::None,
        }
    }

    pub(crate) fn header(self) -> FrameBytes {
        self.format.header(Level::new(self.level).unwrap_or(Level::DEFAULT), Window::DEFLATE)
    }

    /// What a segment of it is made with.
    pub const fn options(self, last: bool) -> DeflateOptions {
        DeflateOptions { level: self.level, last, check: self.check() }
    }
}

/// A framed stream that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compressed {
    /// Bytes of it, frame included.
    pub written: u64,
}

/// Room that is always enough for the framed stream of `len` bytes, whatever makes it: incompressible data grows by
/// an eighth with the fixed codes of the emulated IAA, and a QAT may need a kibibyte more for LZ4.
pub const fn compressed_bytes_max(len: usize) -> usize {
    let software = svala_software::deflate_bound(len);
    let device = len + len / 8 + 16 * (len / (64 << 10) + 1);
    let deflate = if software > device { software } else { device };
    deflate.saturating_add(64 + 1024)
}

impl Engine {
    /// Compresses `src` into a segment of a stream of `compression.format`, without a frame: see
    /// [`Segments`](crate::Segments).
    ///
    /// # Errors
    ///
    /// [`Error::OutputFull`], otherwise as [`Runtime::deflate`](svala::Runtime::deflate). The buffers come back.
    pub async fn segment<S: IoBuf, D: IoBufMut>(
        &self,
        src: S,
        dst: D,
        compression: Compression,
        last: bool,
    ) -> Outcome<Deflated, (S, D)> {
        if compression.format == Format::Lz4 {
            let done = self.lz4_compress(src, dst, compression.level).await?;
            return Ok(done.map(|written| Deflated { written, check: 0 }));
        }
        self.deflate(src, dst, compression.options(last)).await
    }

    /// Compresses `src` into a whole stream of `compression.format` in `dst`.
    ///
    /// [`compressed_bytes_max`] says how much room is enough. The emulated IAA does gzip and raw; it computes no
    /// Adler-32, so zlib goes to the CPU, as the result's path says.
    ///
    /// # Errors
    ///
    /// [`Error::OutputFull`], otherwise as [`Runtime::deflate`](svala::Runtime::deflate). The buffers come back.
    pub async fn compress<S: IoBuf, D: IoBufMut>(
        &self,
        src: S,
        mut dst: D,
        compression: Compression,
    ) -> Outcome<Compressed, (S, D)> {
        let header = compression.header();
        let room = len_of(&dst);
        let trailer_bytes = compression.format.trailer_bytes();
        let Some(end) = room.checked_sub(trailer_bytes).filter(|end| *end >= header.len()) else {
            return Err(self.refuse(full(room), (src, dst)));
        };
        if let Err(error) = guard::write(&mut dst, 0, &header, Operation::Deflate) {
            return Err(self.refuse(error, (src, dst)));
        }
        let body = match Slice::new(dst, header.len()..end) {
            Ok(body) => body,
            Err(dst) => return Err(self.refuse(full(room), (src, dst))),
        };
        let mut segments = Segments::new(compression);
        let done = match self.segment(src, body, compression, true).await {
            Ok(done) => done,
            Err(failed) => return Err(failed.map_buffers(|(src, body)| (src, body.into_inner()))),
        };
        let Completed { value, report, buffers: (src, body) } = done;
        let mut dst = body.into_inner();
        let at = header.len() + usize::try_from(value.written).unwrap_or(usize::MAX);
        let framed = segments.add(&value, &src).and_then(|()| {
            let trailer = segments.trailer();
            guard::write(&mut dst, at, &trailer, Operation::Deflate).map(|()| at + trailer.len())
        });
        match framed {
            Ok(end) => {
                let written = end as u64;
                Ok(Completed { value: Compressed { written }, report, buffers: (src, dst) })
            }
            Err(error) => Err(Failed { error, buffers: Some((src, dst)), report }),
        }
    }
}

pub(crate) fn len_of<B: IoBuf>(buffer: &B) -> usize {
    usize::try_from(buffer.span().len).unwrap_or(usize::MAX)
}

fn full(room: usize) -> Error {
    Error::OutputFull { operation: Operation::Deflate, bytes_max: room as u64 }
}
