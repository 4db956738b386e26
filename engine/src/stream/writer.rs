//! Writers: what is written to them goes on, compressed or expanded.

use std::io::{self, Write};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use svala::{Path, Reason, block_on};
use tokio::io::AsyncWrite;

use super::decode::Decode;
use super::encode::{Encode, Streamed};
use crate::index::Index;

/// Bytes of expanded data that are kept until they are written.
const OUTPUT_BYTES: usize = 64 << 10;

/// Where output goes: one write that may have to wait.
type Put<'a> = &'a mut dyn FnMut(&mut Context<'_>, &[u8]) -> Poll<io::Result<usize>>;

fn put_some(cx: &mut Context<'_>, bytes: &[u8], put: Put<'_>) -> Poll<io::Result<usize>> {
    match ready!(put(cx, bytes))? {
        0 => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
        written => Poll::Ready(Ok(written)),
    }
}

/// A write to a blocking writer as one that may have to wait, and never has to.
fn blocking<W: Write>(inner: &mut W, bytes: &[u8]) -> Poll<io::Result<usize>> {
    loop {
        match inner.write(bytes) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return Poll::Ready(done),
        }
    }
}

/// Compresses what is written to it, and writes that on. See [`Engine::compress_writer`](crate::Engine::compress_writer).
///
/// Input is buffered to segments of 256 KiB, of which up to eight are in flight; a write waits when all are. `flush` sends
/// what there is as a shorter segment, which costs some bytes, and waits until it is written. `shutdown` ends the stream.
///
/// # Cancellation
///
/// Nothing is lost when a future of a write, flush or shutdown is dropped: the next one goes on. When the writer itself
/// is dropped, what is in flight is abandoned, and the stream lacks its end.
pub struct CompressWriter<W> {
    inner: W,
    encode: Encode,
}

impl<W> CompressWriter<W> {
    pub(super) const fn new(inner: W, encode: Encode) -> Self {
        Self { inner, encode }
    }

    /// The same, with an [`Index`] of its segments, which can then be expanded one by one. Before anything is written.
    ///
    /// # Panics
    ///
    /// If something has been written.
    #[must_use]
    pub fn indexed(mut self) -> Self {
        assert!(self.encode.is_new(), "an index has to begin with the stream");
        self.encode.index_segments();
        self
    }

    /// Where the segments are that have been made, if that was asked for: all of them after a flush or the end. Of LZ4 there is
    /// no index.
    pub const fn index(&self) -> Option<&Index> {
        self.encode.index()
    }

    /// What has been written on so far, and by what it was made.
    pub const fn streamed(&self) -> &Streamed {
        self.encode.streamed()
    }

    /// What it writes to.
    pub const fn get_ref(&self) -> &W {
        &self.inner
    }

    /// The same, to write to: what is written there goes between the bytes of the stream.
    pub const fn get_mut(&mut self) -> &mut W {
        &mut self.inner
    }

    /// What it writes to. Without `shutdown` before, the stream lacks its end.
    pub fn into_inner(self) -> W {
        self.inner
    }
}

/// Writes output until there is none, or until `done`.
fn drain(
    encode: &mut Encode,
    cx: &mut Context<'_>,
    put: Put<'_>,
    mut done: impl FnMut(&mut Encode) -> bool,
) -> Poll<io::Result<()>> {
    loop {
        encode.pump(cx)?;
        if !encode.output().is_empty() {
            let written = ready!(put_some(cx, encode.output(), put))?;
            encode.consume(written);
        } else if done(encode) {
            return Poll::Ready(Ok(()));
        } else if encode.is_waiting() {
            return Poll::Pending;
        }
    }
}

fn compress(
    encode: &mut Encode,
    cx: &mut Context<'_>,
    input: &[u8],
    put: Put<'_>,
) -> Poll<io::Result<usize>> {
    if input.is_empty() {
        return Poll::Ready(Ok(0));
    }
    if encode.is_closed() {
        return Poll::Ready(Err(io::Error::new(io::ErrorKind::BrokenPipe, "the stream has been ended")));
    }
    encode.pump(cx)?;
    if encode.room() == 0 {
        ready!(drain(encode, cx, put, |encode| encode.room() > 0))?;
    }
    let taken = encode.put(input);
    // A segment that is full begins at once.
    encode.pump(cx)?;
    Poll::Ready(Ok(taken))
}

fn flush(encode: &mut Encode, cx: &mut Context<'_>, put: Put<'_>) -> Poll<io::Result<()>> {
    encode.cut();
    drain(encode, cx, put, |encode| {
        encode.cut();
        encode.is_empty()
    })
}

fn close(encode: &mut Encode, cx: &mut Context<'_>, put: Put<'_>) -> Poll<io::Result<()>> {
    encode.close();
    drain(encode, cx, put, |encode| {
        encode.close();
        encode.has_ended()
    })
}

impl<W: AsyncWrite + Unpin> AsyncWrite for CompressWriter<W> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let Self { inner, encode } = self.get_mut();
        compress(encode, cx, buf, &mut |cx, bytes| Pin::new(&mut *inner).poll_write(cx, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { inner, encode } = self.get_mut();
        ready!(flush(encode, cx, &mut |cx, bytes| Pin::new(&mut *inner).poll_write(cx, bytes)))?;
        Pin::new(inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { inner, encode } = self.get_mut();
        ready!(close(encode, cx, &mut |cx, bytes| Pin::new(&mut *inner).poll_write(cx, bytes)))?;
        Pin::new(inner).poll_shutdown(cx)
    }
}

impl<W: Write> Write for CompressWriter<W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let Self { inner, encode } = self;
        block_on(std::future::poll_fn(|cx| compress(encode, cx, buf, &mut |_, bytes| blocking(inner, bytes))))
    }

    fn flush(&mut self) -> io::Result<()> {
        let Self { inner, encode } = self;
        block_on(std::future::poll_fn(|cx| flush(encode, cx, &mut |_, bytes| blocking(inner, bytes))))?;
        inner.flush()
    }
}

impl<W: Write> CompressWriter<W> {
    /// Ends the stream and flushes what it is written to.
    ///
    /// # Errors
    ///
    /// What the engine or the writer answers; the stream then lacks its end.
    pub fn finish(self) -> io::Result<W> {
        self.finish_indexed().map(|(inner, _)| inner)
    }

    /// [`finish`](Self::finish), with the [`Index`] of all segments, if that was asked for.
    ///
    /// # Errors
    ///
    /// As [`finish`](Self::finish).
    pub fn finish_indexed(mut self) -> io::Result<(W, Option<Index>)> {
        let Self { inner, encode } = &mut self;
        block_on(std::future::poll_fn(|cx| close(encode, cx, &mut |_, bytes| blocking(inner, bytes))))?;
        self.inner.flush()?;
        Ok((self.inner, self.encode.index().cloned()))
    }
}

/// Expands what is written to it, and writes that on. See [`Engine::decompress_writer`](crate::Engine::decompress_writer).
///
/// A write takes as much as gives 64 KiB of output, and waits while there is output that is not written. `shutdown` fails if
/// the stream has not ended.
///
/// # Cancellation
///
/// As for [`CompressWriter`].
pub struct DecompressWriter<W> {
    inner: W,
    decode: Decode,
    output: Vec<u8>,
    start: usize,
    end: usize,
    reason: Reason,
}

impl<W> DecompressWriter<W> {
    pub(super) fn new(inner: W, decode: Decode, reason: Reason) -> Self {
        Self { inner, decode, output: vec![0; OUTPUT_BYTES], start: 0, end: 0, reason }
    }

    /// What has been expanded so far, and by what.
    pub fn streamed(&self) -> Streamed {
        super::reader::expanded(&self.decode, self.reason)
    }

    /// What it writes to.
    pub const fn get_ref(&self) -> &W {
        &self.inner
    }

    /// What it writes to. Without `shutdown` before, some of it may be missing.
    pub fn into_inner(self) -> W {
        self.inner
    }

    fn drain(&mut self, cx: &mut Context<'_>, put: PutTo<'_, W>) -> Poll<io::Result<()>> {
        while self.start < self.end {
            let Self { inner, output, start, end, .. } = self;
            let bytes = &output[*start..*end];
            let written = ready!(put_some(cx, bytes, &mut |cx, bytes| put(inner, cx, bytes)))?;
            self.start += written;
        }
        Poll::Ready(Ok(()))
    }

    fn write_some(
        &mut self,
        cx: &mut Context<'_>,
        input: &[u8],
        put: PutTo<'_, W>,
    ) -> Poll<io::Result<usize>> {
        if input.is_empty() {
            return Poll::Ready(Ok(0));
        }
        loop {
            ready!(self.drain(cx, put))?;
            let step = self.decode.run(input, &mut self.output)?;
            (self.start, self.end) = (0, step.written);
            if step.read > 0 {
                return Poll::Ready(Ok(step.read));
            }
            if step.written == 0 {
                // Behind the end, where the caller leaves what follows: nothing is taken.
                return Poll::Ready(Ok(0));
            }
        }
    }

    /// Writes all output that there is without more input.
    fn flush_all(&mut self, cx: &mut Context<'_>, put: PutTo<'_, W>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.drain(cx, put))?;
            let step = self.decode.run(&[], &mut self.output)?;
            (self.start, self.end) = (0, step.written);
            if step.written == 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

type PutTo<'a, W> = &'a mut dyn FnMut(&mut W, &mut Context<'_>, &[u8]) -> Poll<io::Result<usize>>;

impl<W: AsyncWrite + Unpin> AsyncWrite for DecompressWriter<W> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().write_some(cx, buf, &mut |inner, cx, bytes| Pin::new(inner).poll_write(cx, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.flush_all(cx, &mut |inner, cx, bytes| Pin::new(inner).poll_write(cx, bytes)))?;
        Pin::new(&mut this.inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.flush_all(cx, &mut |inner, cx, bytes| Pin::new(inner).poll_write(cx, bytes)))?;
        this.decode.end()?;
        Pin::new(&mut this.inner).poll_shutdown(cx)
    }
}

impl<W: Write> Write for DecompressWriter<W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        block_on(std::future::poll_fn(|cx| {
            self.write_some(cx, buf, &mut |inner, _, bytes| blocking(inner, bytes))
        }))
    }

    fn flush(&mut self) -> io::Result<()> {
        block_on(std::future::poll_fn(|cx| {
            self.flush_all(cx, &mut |inner, _, bytes| blocking(inner, bytes))
        }))?;
        self.inner.flush()
    }
}

impl<W: Write> DecompressWriter<W> {
    /// Writes what is left and makes sure that the stream has ended.
    ///
    /// # Errors
    ///
    /// What the writer answers; a [`DecodeError`](super::DecodeError) inside for a stream that is broken or has not ended.
    pub fn finish(mut self) -> io::Result<W> {
        self.flush()?;
        self.decode.end()?;
        Ok(self.inner)
    }
}

/// The path of expansion.
pub(super) const fn path(reason: Reason) -> Path {
    Path::Software { reason }
}
