//! Frames of LZ4.

use svala::{Completed, IoBuf, IoBufMut, Lz4Blocks, Operation, Path, Reason, Report, Slice};
use svala_software::{Lz4Error, Lz4Header, Lz4Start, Xxh32, lz4_blocks_len};

use super::Reached;
use crate::compress::len_of;
use crate::engine::Engine;
use crate::error::DecompressError;
use crate::guard;

/// Of the mark that ends the blocks.
const MARK_BYTES: usize = 4;

type Step<S, D> = Result<Completed<Reached, (S, D)>, (DecompressError, Option<(S, D)>)>;

impl Engine {
    /// Expands the frame at byte `read` of `src` to byte `written` of `dst`, with frames before and behind it that are to be
    /// skipped; says where both go on.
    pub(super) async fn lz4_frame_at<S: IoBuf, D: IoBufMut>(
        &self,
        src: S,
        dst: D,
        read: usize,
        written: usize,
    ) -> Step<S, D> {
        let (start, found) = match frame_at(&src, read) {
            Ok(found) => found,
            Err(error) => return Err((error, Some((src, dst)))),
        };
        let Some((header, blocks_len)) = found else {
            // Nothing but what is skipped.
            let report = Report::new(Path::Software { reason: Reason::Empty });
            return Ok(Completed {
                value: Reached { read: start, written, is_member: false },
                report,
                buffers: (src, dst),
            });
        };
        let (first, dst_end) = (start + header.bytes, len_of(&dst));
        let last = first + blocks_len;
        let (body, room) = match (Slice::new(src, first..last), Slice::new(dst, written..dst_end)) {
            (Ok(body), Ok(room)) => (body, room),
            _ => unreachable!("blocks and output of a frame lie within the buffers"),
        };
        let blocks = Lz4Blocks {
            linked: header.blocks.linked,
            checked: header.blocks.checked,
            block_bytes_max: u32::try_from(header.blocks.block_bytes_max).unwrap_or(u32::MAX),
        };
        let done = self.lz4_decompress(body, room, blocks).await;
        let done = done.map_err(|failed| {
            let buffers = failed.buffers.map(|(body, room)| (body.into_inner(), room.into_inner()));
            (DecompressError::Operation(failed.error).moved_by(first as u64), buffers)
        })?;
        let (src, dst) = (done.buffers.0.into_inner(), done.buffers.1.into_inner());
        let made = written + usize::try_from(done.value).unwrap_or(usize::MAX);
        match ended(&src, &dst, &header, last, written..made).and_then(|end| skipped(&src, end)) {
            Ok(read) => {
                let value = Reached { read, written: made, is_member: true };
                Ok(Completed { value, report: done.report, buffers: (src, dst) })
            }
            Err(error) => Err((error, Some((src, dst)))),
        }
    }
}

/// Passes over frames that are to be skipped; says where the first other one begins, and its descriptor and the bytes of its
/// blocks. None at the end of the input, if anything was before it.
fn frame_at<S: IoBuf>(src: &S, at: usize) -> Result<(usize, Option<(Lz4Header, usize)>), DecompressError> {
    let start = skipped(src, at)?;
    let len = len_of(src);
    if start == len && start != at {
        return Ok((start, None));
    }
    let looked = guard::read(src, start..len, Operation::Lz4Decompress, |bytes| {
        let frame = |error| DecompressError::Frame { member_at: start as u64, error };
        let Lz4Start::Frame(header) = Lz4Start::parse(bytes).map_err(frame)? else {
            unreachable!("what is skipped has been")
        };
        let blocks = lz4_blocks_len(&bytes[header.bytes..], header.blocks);
        let blocks = blocks.map_err(|error| broken(error).moved_by((start + header.bytes) as u64))?;
        Ok((start, Some((header, blocks))))
    });
    looked?
}

/// What the flaw is in the runtime's words.
fn broken(error: Lz4Error) -> DecompressError {
    let operation = Operation::Lz4Decompress;
    DecompressError::Operation(match error {
        Lz4Error::Truncated { len } => svala::Error::Truncated { operation, len },
        Lz4Error::Corrupt { offset } | Lz4Error::BlockChecksum { offset, .. } => {
            svala::Error::Corrupt { operation, offset }
        }
        // Other flaws are not found by looking at lengths.
        _ => svala::Error::Corrupt { operation, offset: 0 },
    })
}

/// Where the frames to be skipped end that begin at a byte.
fn skipped<S: IoBuf>(src: &S, at: usize) -> Result<usize, DecompressError> {
    let len = len_of(src);
    let mut at = at;
    while at < len {
        let start = guard::read(src, at..len, Operation::Lz4Decompress, Lz4Start::parse)?;
        let Ok(Lz4Start::Skip(bytes)) = start else { break };
        let end = usize::try_from(bytes).ok().and_then(|bytes| at.checked_add(bytes));
        at = end.filter(|end| *end <= len).ok_or(DecompressError::Operation(svala::Error::Truncated {
            operation: Operation::Lz4Decompress,
            len: len as u64,
        }))?;
    }
    Ok(at)
}

/// Checks what follows the blocks; says where it ends.
fn ended<S: IoBuf, D: IoBuf>(
    src: &S,
    dst: &D,
    header: &Lz4Header,
    blocks_end: usize,
    made: std::ops::Range<usize>,
) -> Result<usize, DecompressError> {
    let at = blocks_end + MARK_BYTES;
    let len = made.len() as u64;
    let sum = match header.has_checksum {
        true => guard::read(dst, made, Operation::Lz4Decompress, Xxh32::of)?,
        false => 0,
    };
    let range = at..len_of(src);
    let check = |bytes: &[u8]| header.check_trailer(bytes, sum, len);
    let checked = guard::read(src, range, Operation::Lz4Decompress, check)?;
    checked.map(|bytes| at + bytes).map_err(|error| DecompressError::Frame { member_at: at as u64, error })
}
