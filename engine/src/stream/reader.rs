//! Readers: what they read comes out compressed or expanded.

use std::io::{self, Read};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use svala::{Reason, block_on};
use tokio::io::{AsyncRead, ReadBuf};

use super::decode::Decode;
use super::encode::{Encode, Streamed};

/// Bytes that are read ahead of a stream that is expanded.
const INPUT_BYTES: usize = 64 << 10;
/// Bytes that are read at once of what is compressed.
const PIECE_BYTES: usize = 64 << 10;

/// Where input comes from: one read that may have to wait. 0 is the end.
type Get<'a> = &'a mut dyn FnMut(&mut Context<'_>, &mut [u8]) -> Poll<io::Result<usize>>;
/// The same, of a reader that is handed in.
type GetFrom<'a, R> = dyn FnMut(&mut R, &mut Context<'_>, &mut [u8]) -> Poll<io::Result<usize>> + 'a;

fn get_async<R: AsyncRead + Unpin>(
    inner: &mut R,
    cx: &mut Context<'_>,
    bytes: &mut [u8],
) -> Poll<io::Result<usize>> {
    let mut buffer = ReadBuf::new(bytes);
    ready!(Pin::new(inner).poll_read(cx, &mut buffer))?;
    Poll::Ready(Ok(buffer.filled().len()))
}

fn get_blocking<R: Read>(inner: &mut R, bytes: &mut [u8]) -> Poll<io::Result<usize>> {
    loop {
        match inner.read(bytes) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return Poll::Ready(done),
        }
    }
}

/// Reads what it wraps to its end and gives the compressed stream. See
/// [`Engine::compress_reader`](crate::Engine::compress_reader).
///
/// # Cancellation
///
/// Nothing is lost when the future of a read is dropped: the next one goes on.
pub struct CompressReader<R> {
    inner: R,
    encode: Encode,
    piece: Vec<u8>,
    /// Bytes of `piece` that are read and not taken.
    start: usize,
    end: usize,
    at_end: bool,
}

impl<R> CompressReader<R> {
    pub(super) fn new(inner: R, encode: Encode) -> Self {
        Self { inner, encode, piece: vec![0; PIECE_BYTES], start: 0, end: 0, at_end: false }
    }

    /// What has come out so far, and by what it was made.
    pub const fn streamed(&self) -> &Streamed {
        self.encode.streamed()
    }

    /// What it reads.
    pub const fn get_ref(&self) -> &R {
        &self.inner
    }

    /// What it reads; what was read ahead is lost.
    pub fn into_inner(self) -> R {
        self.inner
    }
}

struct Piece<'a> {
    bytes: &'a mut [u8],
    start: &'a mut usize,
    end: &'a mut usize,
    at_end: &'a mut bool,
}

/// Gives output, or 0 bytes once the trailer has been given.
fn compress(
    encode: &mut Encode,
    piece: Piece<'_>,
    cx: &mut Context<'_>,
    out: &mut [u8],
    get: Get<'_>,
) -> Poll<io::Result<usize>> {
    if out.is_empty() {
        return Poll::Ready(Ok(0));
    }
    let Piece { bytes, start, end, at_end } = piece;
    loop {
        encode.pump(cx)?;
        let ready_bytes = encode.output().len().min(out.len());
        if ready_bytes > 0 {
            out[..ready_bytes].copy_from_slice(&encode.output()[..ready_bytes]);
            encode.consume(ready_bytes);
            return Poll::Ready(Ok(ready_bytes));
        }
        if encode.has_ended() {
            return Poll::Ready(Ok(0));
        }
        if *start < *end && encode.room() > 0 {
            *start += encode.put(&bytes[*start..*end]);
        } else if *start < *end || (*at_end && !encode.close()) || encode.is_closed() {
            if encode.is_waiting() {
                return Poll::Pending;
            }
        } else if !*at_end {
            (*start, *end) = (0, ready!(get(cx, bytes))?);
            *at_end = *end == 0;
        }
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for CompressReader<R> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Self { inner, encode, piece, start, end, at_end } = self.get_mut();
        let piece = Piece { bytes: piece, start, end, at_end };
        let out = buf.initialize_unfilled();
        let given = ready!(compress(encode, piece, cx, out, &mut |cx, bytes| get_async(inner, cx, bytes)))?;
        buf.advance(given);
        Poll::Ready(Ok(()))
    }
}

impl<R: Read> Read for CompressReader<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let Self { inner, encode, piece, start, end, at_end } = self;
        block_on(std::future::poll_fn(|cx| {
            let piece = Piece { bytes: piece, start, end, at_end };
            compress(encode, piece, cx, buf, &mut |_, bytes| get_blocking(inner, bytes))
        }))
    }
}

/// Reads the stream in what it wraps and gives what is in it. See
/// [`Engine::decompress_reader`](crate::Engine::decompress_reader).
///
/// What comes before a flaw is given; the read behind it fails with a [`DecodeError`](super::DecodeError) inside. To know
/// that nothing follows the stream it reads on to the end of what it wraps, unless that is left
/// ([`Trailing::Leave`](super::Trailing::Leave)).
///
/// # Cancellation
///
/// Nothing is lost when the future of a read is dropped: the next one goes on.
pub struct DecompressReader<R> {
    inner: R,
    decode: Decode,
    input: Vec<u8>,
    start: usize,
    end: usize,
    at_end: bool,
    reason: Reason,
}

impl<R> DecompressReader<R> {
    pub(super) fn new(inner: R, decode: Decode, reason: Reason) -> Self {
        Self { inner, decode, input: vec![0; INPUT_BYTES], start: 0, end: 0, at_end: false, reason }
    }

    /// What has been expanded so far, and by what.
    pub fn streamed(&self) -> Streamed {
        expanded(&self.decode, self.reason)
    }

    /// gzip members that have ended; at most 1 for other formats.
    pub const fn members(&self) -> u32 {
        self.decode.members()
    }

    /// What it reads.
    pub const fn get_ref(&self) -> &R {
        &self.inner
    }

    /// What it reads, and what it has read ahead of the stream's end.
    pub fn into_parts(self) -> (R, Vec<u8>) {
        let mut ahead = self.decode.into_held();
        ahead.extend_from_slice(&self.input[self.start..self.end]);
        (self.inner, ahead)
    }

    fn read_some(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut [u8],
        get: &mut GetFrom<'_, R>,
    ) -> Poll<io::Result<usize>> {
        if out.is_empty() {
            return Poll::Ready(Ok(0));
        }
        loop {
            let step = self.decode.run(&self.input[self.start..self.end], out)?;
            self.start += step.read;
            if step.written > 0 {
                return Poll::Ready(Ok(step.written));
            }
            if self.decode.has_ended() {
                return Poll::Ready(Ok(0));
            }
            if self.start == self.end && !self.at_end {
                self.start = 0;
                self.end = 0;
                self.end = ready!(get(&mut self.inner, cx, &mut self.input))?;
                self.at_end = self.end == 0;
            } else if step.read == 0 {
                self.decode.end()?;
                return Poll::Ready(Ok(0));
            }
        }
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for DecompressReader<R> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let out = buf.initialize_unfilled();
        let given =
            ready!(self.get_mut().read_some(cx, out, &mut |inner, cx, bytes| get_async(inner, cx, bytes)))?;
        buf.advance(given);
        Poll::Ready(Ok(()))
    }
}

impl<R: Read> Read for DecompressReader<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        block_on(std::future::poll_fn(|cx| {
            self.read_some(cx, buf, &mut |inner, _, bytes| get_blocking(inner, bytes))
        }))
    }
}

/// What a decoder has done, by the path that says why it is the CPU's.
pub(super) fn expanded(decode: &Decode, reason: Reason) -> Streamed {
    let mut streamed =
        Streamed { bytes: decode.written(), compressed_bytes: decode.read(), ..Streamed::default() };
    if decode.read() > 0 {
        streamed.add(super::writer::path(reason), decode.written());
    }
    streamed
}
