//! Expanding a framed stream from one buffer into another.

use svala::{Check, Completed, Error, Failed, Inflated, IoBuf, IoBufMut, Operation, Report, Slice};
use svala_software::{CheckKind, Format};

use crate::compress::len_of;
use crate::engine::Engine;
use crate::error::DecompressError;
use crate::guard;

/// A framed stream that was expanded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decompressed {
    /// Bytes of the stream, frames included.
    pub read: u64,
    /// Bytes of output.
    pub written: u64,
    /// gzip members; 1 for other formats.
    pub members: u32,
}

/// What decompressing ends in: on failure, the error and the buffers (none only if a device may still use them).
pub type DecompressOutcome<S, D> = Result<Completed<Decompressed, (S, D)>, (DecompressError, Option<(S, D)>)>;

/// How far a run over the members of a stream has come.
struct Reached {
    read: usize,
    written: usize,
}

impl Engine {
    /// Expands the stream of `format` in `src`, all its gzip members, into `dst`, and checks checksum and length.
    ///
    /// A device gets a stream that is one member; where its answer does not fit the trailer, there may be several,
    /// and the CPU goes over it from the start. The result's path says what did it.
    ///
    /// # Errors
    ///
    /// [`DecompressError::Frame`] with the offset in `src`, [`DecompressError::Operation`] for what is broken inside.
    /// `dst` may have been written in part. The buffers come back beside the error.
    pub async fn decompress<S: IoBuf, D: IoBufMut>(
        &self,
        src: S,
        dst: D,
        format: Format,
    ) -> DecompressOutcome<S, D> {
        match self.one_member(src, dst, format).await? {
            Ok(done) => Ok(done),
            Err((src, dst)) => self.all_members(src, dst, format).await,
        }
    }

    /// Takes the stream for one member that ends with the buffer. The buffers alone: that was not so, or a device did
    /// not do it.
    async fn one_member<S: IoBuf, D: IoBufMut>(
        &self,
        src: S,
        dst: D,
        format: Format,
    ) -> Result<Result<Completed<Decompressed, (S, D)>, (S, D)>, (DecompressError, Option<(S, D)>)> {
        let start = match header_at(&src, 0, format) {
            Ok(start) => start,
            Err(error) => return Err((error, Some((src, dst)))),
        };
        let len = len_of(&src);
        let Some(end) = len.checked_sub(format.trailer_bytes()).filter(|end| *end > start) else {
            return Ok(Err((src, dst)));
        };
        if format == Format::Gzip && self.a_device_takes(len) {
            // A device does not say where the stream ended, and two members with the same content have the same
            // trailer: what may be a second member is left to the CPU, which knows.
            let second = guard::read(&src, start..len, Operation::Inflate, may_have_a_member);
            match second {
                Ok(false) => {}
                Ok(true) => return Ok(Err((src, dst))),
                Err(error) => return Err((error.into(), Some((src, dst)))),
            }
        }
        let body = match Slice::new(src, start..end) {
            Ok(body) => body,
            Err(src) => return Ok(Err((src, dst))),
        };
        let Completed { value, report, buffers: (body, dst) } =
            match self.inflate(body, dst, check(format)).await {
                Ok(done) => done,
                // Not about the stream: the CPU would only hide it.
                Err(Failed { error, buffers, .. }) if is_of_memory(&error) => {
                    let buffers = buffers.map(|(body, dst)| (body.into_inner(), dst));
                    return Err((DecompressError::Operation(error), buffers));
                }
                // The CPU engine goes over it again and says what is wrong, and where.
                Err(Failed { buffers: Some((body, dst)), .. }) => return Ok(Err((body.into_inner(), dst))),
                Err(failed) => return Err((DecompressError::Operation(failed.error), None)),
            };
        let src = body.into_inner();
        let Inflated { read, written, check } = value;
        let whole = read == (end - start) as u64;
        if !whole || trailer_at(&src, end, format, check, written).is_err() {
            return Ok(Err((src, dst)));
        }
        let value = Decompressed { read: len as u64, written, members: 1 };
        Ok(Ok(Completed { value, report, buffers: (src, dst) }))
    }

    /// Whether a stream of this length may go to a device.
    fn a_device_takes(&self, len: usize) -> bool {
        self.capabilities().any(|queue| {
            queue.kind != svala::backend::Kind::Software
                && queue.operations.contains(Operation::Inflate)
                && queue.unsplit_bytes_max >= len as u64
        })
    }

    /// Goes over the members one by one, on the CPU: a device does not say where a stream ended.
    async fn all_members<S: IoBuf, D: IoBufMut>(
        &self,
        src: S,
        dst: D,
        format: Format,
    ) -> DecompressOutcome<S, D> {
        let (mut src, mut dst) = (src, dst);
        let (mut read, mut written, mut members) = (0, 0, 0);
        loop {
            let step = self.member_at(src, dst, format, read, written).await?;
            let Completed { value, report, buffers } = step;
            (src, dst) = buffers;
            read = value.read;
            written = value.written;
            members += 1;
            if format != Format::Gzip || read == len_of(&src) {
                let value = Decompressed { read: read as u64, written: written as u64, members };
                let report = Report { bytes: value.read, ..report };
                return Ok(Completed { value, report, buffers: (src, dst) });
            }
        }
    }

    /// Expands the member at byte `read` of `src` to byte `written` of `dst`; says where both go on.
    async fn member_at<S: IoBuf, D: IoBufMut>(
        &self,
        src: S,
        dst: D,
        format: Format,
        read: usize,
        written: usize,
    ) -> Result<Completed<Reached, (S, D)>, (DecompressError, Option<(S, D)>)> {
        let start = match header_at(&src, read, format) {
            Ok(start) => start,
            Err(error) => return Err((error, Some((src, dst)))),
        };
        let (src_end, dst_end) = (len_of(&src), len_of(&dst));
        let (body, room) = match (Slice::new(src, start..src_end), Slice::new(dst, written..dst_end)) {
            (Ok(body), Ok(room)) => (body, room),
            _ => unreachable!("header and output of a member lie within the buffers"),
        };
        let done = self.inflate_on_cpu(body, room, check(format), self.stream_reason()).await;
        let done = done.map_err(|failed| {
            let buffers = failed.buffers.map(|(body, room)| (body.into_inner(), room.into_inner()));
            (DecompressError::Operation(failed.error).moved_by(start as u64), buffers)
        })?;
        let (src, dst) = (done.buffers.0.into_inner(), done.buffers.1.into_inner());
        let Inflated { read: taken, written: made, check: value } = done.value;
        let end = start + usize::try_from(taken).unwrap_or(usize::MAX);
        match trailer_at(&src, end, format, value, made) {
            Ok(read) => {
                let written = written + usize::try_from(made).unwrap_or(usize::MAX);
                Ok(Completed { value: Reached { read, written }, report: done.report, buffers: (src, dst) })
            }
            Err(error) => Err((error, Some((src, dst)))),
        }
    }
}

/// Whether a failure is about memory or the runtime, not about what is in the stream.
const fn is_of_memory(error: &Error) -> bool {
    matches!(error, Error::Fault { .. } | Error::Vanished { .. } | Error::Closed { .. })
}

/// Whether the beginning of a gzip header is anywhere in `bytes`.
fn may_have_a_member(bytes: &[u8]) -> bool {
    bytes.windows(3).any(|window| window == [0x1f, 0x8b, 8])
}

/// Parses the header at byte `at`; says where the deflate stream begins.
fn header_at<S: IoBuf>(src: &S, at: usize, format: Format) -> Result<usize, DecompressError> {
    let range = at..len_of(src);
    let header = guard::read(src, range, Operation::Inflate, |bytes| format.parse_header(bytes))?;
    let header = header.map_err(|error| DecompressError::Frame { member_at: at as u64, error })?;
    Ok(at + header.bytes)
}

/// Checks the trailer at byte `at`; says where it ends.
fn trailer_at<S: IoBuf>(
    src: &S,
    at: usize,
    format: Format,
    check: u32,
    written: u64,
) -> Result<usize, DecompressError> {
    let range = at..len_of(src);
    let checked =
        guard::read(src, range, Operation::Inflate, |bytes| format.check_trailer(bytes, check, written))?;
    let bytes = checked.map_err(|error| DecompressError::Frame { member_at: at as u64, error })?;
    Ok(at + bytes)
}

const fn check(format: Format) -> Check {
    match format.check_kind() {
        CheckKind::Crc32 => Check::Crc32,
        CheckKind::Adler32 => Check::Adler32,
        CheckKind::None => Check::None,
    }
}
