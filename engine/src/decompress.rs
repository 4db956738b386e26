//! Expanding a framed stream from one buffer into another.

mod lz4;

use svala::{
    Check, Completed, Error, Failed, Inflated, IoBuf, IoBufMut, Operation, Outcome, Path, Report, Slice,
};
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
    /// gzip members, or LZ4 frames; 1 for other formats.
    pub members: u32,
}

/// What decompressing ends in: on failure, the error and the buffers (none only if a device may still use them).
pub type DecompressOutcome<S, D> = Result<Completed<Decompressed, (S, D)>, (DecompressError, Option<(S, D)>)>;

/// How far a run over the members of a stream has come.
struct Reached {
    read: usize,
    written: usize,
    /// A member was there.
    is_member: bool,
}

impl Engine {
    /// Expands the stream of `format` in `src`, all its gzip members or LZ4 frames, into `dst`, and checks checksum and length.
    ///
    /// Each member is a job of its own, which a device that inflates is given first. The result's path is the CPU's if any
    /// member was, and says why. LZ4 frames with linked blocks or checksums of blocks are the CPU's, and so is what a QAT does
    /// not reach back to.
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
        let (mut src, mut dst) = (src, dst);
        let (mut read, mut written, mut members) = (0, 0, 0);
        let mut by_cpu = None;
        loop {
            let step = match format {
                Format::Lz4 => self.lz4_frame_at(src, dst, read, written).await?,
                _ => self.member_at(src, dst, format, read, written).await?,
            };
            let Completed { value, report, buffers } = step;
            (src, dst) = buffers;
            read = value.read;
            written = value.written;
            members += u32::from(value.is_member);
            if matches!(report.path, Path::Software { .. }) && report.bytes > 0 {
                by_cpu = Some(report.path);
            }
            if !matches!(format, Format::Gzip | Format::Lz4) || read == len_of(&src) {
                let value = Decompressed { read: read as u64, written: written as u64, members };
                let report = Report { bytes: value.read, path: by_cpu.unwrap_or(report.path), ..report };
                return Ok(Completed { value, report, buffers: (src, dst) });
            }
        }
    }

    /// Inflates by whatever is chosen, and by the CPU what that has not done well: the CPU says what is wrong, and where.
    async fn inflate_well<S: IoBuf, D: IoBufMut>(
        &self,
        body: S,
        room: D,
        format: Format,
    ) -> Outcome<Inflated, (S, D)> {
        let (body, room) = match self.inflate(body, room, check(format)).await {
            Ok(done) => {
                let end = usize::try_from(done.value.read).unwrap_or(usize::MAX);
                let (sum, len) = (done.value.check, done.value.written);
                let is_sound = matches!(done.report.path, Path::Software { .. })
                    || trailer_at(&done.buffers.0, end, format, sum, len).is_ok();
                if is_sound {
                    return Ok(done);
                }
                done.buffers
            }
            Err(Failed { error, buffers: Some(buffers), report })
                if !is_of_memory(&error) && !matches!(report.path, Path::Software { .. }) =>
            {
                buffers
            }
            failed => return failed,
        };
        self.inflate_on_cpu(body, room, check(format), self.stream_reason()).await
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
        let done = self.inflate_well(body, room, format).await;
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
                Ok(Completed {
                    value: Reached { read, written, is_member: true },
                    report: done.report,
                    buffers: (src, dst),
                })
            }
            Err(error) => Err((error, Some((src, dst)))),
        }
    }
}

/// Whether a failure is about memory or the runtime, not about what is in the stream.
pub(crate) const fn is_of_memory(error: &Error) -> bool {
    matches!(error, Error::Fault { .. } | Error::Vanished { .. } | Error::Closed { .. })
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
