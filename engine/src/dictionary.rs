//! Streams that begin with a dictionary: zlib, whose header names it, and raw deflate, whose reader has to know.

use svala::{
    Check, Completed, DeflateOptions, Deflated, Dictionary, Error, Failed, IoBuf, IoBufMut, Operation,
    Outcome, Slice,
};
use svala_software::{CheckKind, Format, FrameBytes, Level, Window};

use crate::compress::{Compressed, len_of};
use crate::decompress::{DecompressOutcome, Decompressed};
use crate::engine::Engine;
use crate::error::DecompressError;
use crate::guard;

/// What is around a stream made with a dictionary. gzip has no place for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DictionaryFormat {
    /// zlib: the header has the dictionary's Adler-32, the trailer that of the data.
    Zlib,
    /// Nothing.
    Raw,
}

impl DictionaryFormat {
    pub(crate) const fn format(self) -> Format {
        match self {
            Self::Zlib => Format::Zlib,
            Self::Raw => Format::Raw,
        }
    }

    /// The checksum that its segments are made with.
    pub const fn check(self) -> Check {
        match self.format().check_kind() {
            CheckKind::Adler32 => Check::Adler32,
            CheckKind::Crc32 => Check::Crc32,
            CheckKind::None => Check::None,
        }
    }

    pub(crate) fn header(self, level: u8, dictionary: &Dictionary) -> FrameBytes {
        let level = Level::new(level).unwrap_or(Level::DEFAULT);
        match self {
            Self::Zlib => Format::zlib_header_with_dictionary(level, Window::DEFLATE, identity(dictionary)),
            Self::Raw => Format::Raw.header(level, Window::DEFLATE),
        }
    }
}

/// What zlib names a dictionary by.
pub(crate) fn identity(dictionary: &Dictionary) -> u32 {
    svala_software::adler32(1, dictionary.as_bytes())
}

impl Engine {
    /// Compresses `src`, which has much in common with `dictionary`, into a whole stream in `dst`.
    ///
    /// zlib goes to the CPU, since an IAA computes no Adler-32; a raw stream may be a device's, see
    /// [`Runtime::deflate_with_dictionary`](svala::Runtime::deflate_with_dictionary).
    /// [`compressed_bytes_max`](crate::compressed_bytes_max) says how much room is enough. Of a dictionary over 32 KiB the
    /// last 32 KiB are the dictionary, for other programs too.
    ///
    /// # Errors
    ///
    /// [`Error::OutputFull`], otherwise as [`Runtime::deflate`](svala::Runtime::deflate). The buffers come back.
    pub async fn compress_with_dictionary<S: IoBuf, D: IoBufMut>(
        &self,
        src: S,
        mut dst: D,
        dictionary: &Dictionary,
        format: DictionaryFormat,
        level: u8,
    ) -> Outcome<Compressed, (S, D)> {
        const OPERATION: Operation = Operation::DeflateDictionary;
        let (header, room) = (format.header(level, dictionary), len_of(&dst));
        let full = || Error::OutputFull { operation: OPERATION, bytes_max: room as u64 };
        let end = room.checked_sub(format.format().trailer_bytes()).filter(|end| *end >= header.len());
        let Some(end) = end else { return Err(self.refuse(full(), (src, dst))) };
        if let Err(error) = guard::write(&mut dst, 0, &header, OPERATION) {
            return Err(self.refuse(error, (src, dst)));
        }
        let body = match Slice::new(dst, header.len()..end) {
            Ok(body) => body,
            Err(dst) => return Err(self.refuse(full(), (src, dst))),
        };
        let source_bytes = src.span().len;
        let options = DeflateOptions { level, last: true, check: format.check() };
        let done = self.deflate_with_dictionary(src, body, dictionary, options).await;
        let done = done.map_err(|failed| failed.map_buffers(|(src, body)| (src, body.into_inner())))?;
        let Completed { value: Deflated { written, check }, report, buffers: (src, body) } = done;
        let mut dst = body.into_inner();
        let trailer = format.format().trailer(check, source_bytes);
        let at = header.len() + usize::try_from(written).unwrap_or(usize::MAX);
        match guard::write(&mut dst, at, &trailer, OPERATION) {
            Ok(()) => {
                let written = (at + trailer.len()) as u64;
                Ok(Completed { value: Compressed { written }, report, buffers: (src, dst) })
            }
            Err(error) => Err(Failed { error, buffers: Some((src, dst)), report }),
        }
    }

    /// Expands the stream in `src`, made with `dictionary`, into `dst`, and checks checksums. A zlib stream that does not ask
    /// for a dictionary is expanded without.
    ///
    /// # Errors
    ///
    /// [`DecompressError::Frame`] for another dictionary
    /// ([`FrameError::WrongDictionary`](svala_software::FrameError::WrongDictionary)) and a broken frame,
    /// [`DecompressError::Operation`] for what is broken inside. The buffers come back beside the error.
    pub async fn decompress_with_dictionary<S: IoBuf, D: IoBufMut>(
        &self,
        src: S,
        dst: D,
        dictionary: &Dictionary,
        format: DictionaryFormat,
    ) -> DecompressOutcome<S, D> {
        let (start, is_needed) = match start_of(&src, dictionary, format) {
            Ok(start) => start,
            Err(error) => return Err((error, Some((src, dst)))),
        };
        let end = len_of(&src);
        let Ok(body) = Slice::new(src, start..end) else { unreachable!("the header lies within the buffer") };
        let done = match is_needed {
            true => self.inflate_with_dictionary(body, dst, dictionary, format.check()).await,
            false => self.inflate(body, dst, format.check()).await,
        };
        let done = done.map_err(|failed| {
            let buffers = failed.buffers.map(|(body, dst)| (body.into_inner(), dst));
            (DecompressError::Operation(failed.error).moved_by(start as u64), buffers)
        })?;
        let Completed { value, report, buffers: (body, dst) } = done;
        let src = body.into_inner();
        let at = start + usize::try_from(value.read).unwrap_or(usize::MAX);
        match trailer_at(&src, at, format, value.check, value.written) {
            Ok(read) => {
                let value = Decompressed { read: read as u64, written: value.written, members: 1 };
                Ok(Completed { value, report, buffers: (src, dst) })
            }
            Err(error) => Err((error, Some((src, dst)))),
        }
    }
}

/// Where the deflate stream begins, and whether it refers to the dictionary.
fn start_of<S: IoBuf>(
    src: &S,
    dictionary: &Dictionary,
    format: DictionaryFormat,
) -> Result<(usize, bool), DecompressError> {
    if format == DictionaryFormat::Raw {
        return Ok((0, true));
    }
    let parse = |bytes: &[u8]| Format::parse_zlib_header_with_dictionary(bytes, identity(dictionary));
    let parsed =
        guard::read(src, 0..len_of(src).min(ZLIB_HEADER_BYTES_MAX), Operation::InflateDictionary, parse)?;
    let (header, is_needed) = parsed.map_err(|error| DecompressError::Frame { member_at: 0, error })?;
    Ok((header.bytes, is_needed))
}

/// Bytes of a zlib header with a dictionary.
const ZLIB_HEADER_BYTES_MAX: usize = 6;

fn trailer_at<S: IoBuf>(
    src: &S,
    at: usize,
    format: DictionaryFormat,
    check: u32,
    written: u64,
) -> Result<usize, DecompressError> {
    let look = |bytes: &[u8]| format.format().check_trailer(bytes, check, written);
    let checked = guard::read(src, at..len_of(src), Operation::InflateDictionary, look)?;
    let bytes = checked.map_err(|error| DecompressError::Frame { member_at: at as u64, error })?;
    Ok(at + bytes)
}
