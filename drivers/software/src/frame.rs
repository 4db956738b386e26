//! What stands around a deflate stream: gzip (RFC 1952), zlib (RFC 1950), or nothing; and around blocks of LZ4.
//!
//! Headers and trailers only, as bytes; what is between them is [`deflate`](mod@crate::deflate)'s or [`lz4`](mod@crate::lz4)'s. Input is not
//! trusted: every field is checked, reserved bits are refused, and a header is bounded by [`HEADER_BYTES_MAX`], so
//! that one that never ends is an error and not a reason to read on.

use std::ops::{Deref, Range};

use thiserror::Error;

use crate::crc::{adler32, adler32_combine, crc32, crc32_combine};
use crate::deflate::{Level, Window};
use crate::lz4;

/// The longest header that is parsed: the two optional strings of gzip have no bound of their own.
pub const HEADER_BYTES_MAX: usize = 256 << 10;

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
/// The only compression method either format has.
const DEFLATE: u8 = 8;
const GZIP_FIXED_BYTES: usize = 10;

/// The frame around a deflate stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// One member of a gzip file: CRC-32 and length modulo 2^32 at the end.
    Gzip,
    /// A zlib stream: Adler-32 at the end.
    Zlib,
    /// The bare deflate stream.
    Raw,
    /// An LZ4 frame: no deflate, but blocks of LZ4, and an [`Xxh32`](crate::Xxh32) at the end, which does not
    /// [combine](CheckKind::combine).
    Lz4,
}

/// The checksum a frame carries, of the uncompressed bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CheckKind {
    /// CRC-32, as gzip has it.
    Crc32,
    /// Adler-32, as zlib has it.
    Adler32,
    /// None; every value is 0.
    None,
}

impl CheckKind {
    /// The value for no bytes at all.
    pub const fn start(self) -> u32 {
        match self {
            Self::Adler32 => 1,
            Self::Crc32 | Self::None => 0,
        }
    }

    /// The value for what `check` is the value for, followed by `data`.
    pub fn chain(self, check: u32, data: &[u8]) -> u32 {
        match self {
            Self::Crc32 => crc32(check, data),
            Self::Adler32 => adler32(check, data),
            Self::None => 0,
        }
    }

    /// The value for `a` followed by `b`, of their values and the length of `b` in bytes.
    pub fn combine(self, a: u32, b: u32, len_b: u64) -> u32 {
        match self {
            Self::Crc32 => crc32_combine(a, b, len_b),
            Self::Adler32 => adler32_combine(a, b, len_b),
            Self::None => 0,
        }
    }
}

/// A header or trailer to be written. Derefs to its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameBytes {
    bytes: [u8; GZIP_FIXED_BYTES],
    len: usize,
}

impl FrameBytes {
    pub(crate) fn new(parts: &[&[u8]]) -> Self {
        let mut bytes = [0; GZIP_FIXED_BYTES];
        let mut len = 0;
        for part in parts {
            bytes[len..len + part.len()].copy_from_slice(part);
            len += part.len();
        }
        Self { bytes, len }
    }
}

impl Deref for FrameBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// What a header says. Ranges are in the input it was parsed from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Header {
    /// Bytes it takes: where the deflate stream begins.
    pub bytes: usize,
    /// When the file was last changed, in seconds since 1970; gzip only, and only if it says.
    pub modified: Option<u32>,
    /// The file's name without the zero at its end, in no particular encoding; gzip only.
    pub name: Option<Range<usize>>,
    /// A comment, likewise.
    pub comment: Option<Range<usize>>,
    /// The extra field, likewise.
    pub extra: Option<Range<usize>>,
}

impl Header {
    pub(crate) fn bare(bytes: usize) -> Self {
        Self { bytes, modified: None, name: None, comment: None, extra: None }
    }
}

/// Why a header or trailer was refused. Offsets are in the bytes that were passed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The input ends inside the header or trailer; more of it may do.
    #[error("{part} truncated at byte {offset}")]
    Truncated {
        /// Which of the two.
        part: Part,
        /// Where the input ends.
        offset: usize,
    },
    /// These are not the bytes the format begins with.
    #[error("not a {format:?} header: begins with {found:02x?}")]
    WrongMagic {
        /// What was expected.
        format: Format,
        /// The first two bytes.
        found: [u8; 2],
    },
    /// The stream is compressed with something else than deflate, or with a window deflate does not have.
    #[error("unknown compression method {method:#04x} at byte {offset}")]
    UnknownMethod {
        /// The method's byte.
        method: u8,
        /// Where it is.
        offset: usize,
    },
    /// A flag is set that has no meaning yet, so what follows cannot be understood.
    #[error("reserved flags {flags:#04x} at byte {offset}")]
    ReservedFlags {
        /// The reserved bits that are set.
        flags: u8,
        /// Where they are.
        offset: usize,
    },
    /// The stream needs a dictionary that only its writer and reader know.
    #[error("preset dictionary required at byte {offset}")]
    DictionaryRequired {
        /// The offset of the flag.
        offset: usize,
    },
    /// The stream was made with another dictionary.
    #[error("dictionary at byte {offset} is {stored:#010x}, this one is {computed:#010x}")]
    WrongDictionary {
        /// The offset of its checksum.
        offset: usize,
        /// The Adler-32 of the one that is needed.
        stored: u32,
        /// The Adler-32 of the one there is.
        computed: u32,
    },
    /// The header is longer than [`HEADER_BYTES_MAX`].
    #[error("header goes on at byte {offset}, past the {HEADER_BYTES_MAX} that are read")]
    HeaderTooLong {
        /// Where it was given up.
        offset: usize,
    },
    /// The header's own checksum is wrong.
    #[error("header checksum at byte {offset} is {stored:#06x}, computed {computed:#06x}")]
    HeaderChecksum {
        /// Where the stored value is.
        offset: usize,
        /// The value in the header: 16 bits of CRC-32 (gzip), or both header bytes (zlib), a multiple of 31.
        stored: u16,
        /// The value it should have.
        computed: u16,
    },
    /// The data is not what was compressed.
    #[error("checksum at byte {offset} is {stored:#010x}, computed {computed:#010x}")]
    ChecksumMismatch {
        /// Where the stored value is.
        offset: usize,
        /// The value in the trailer.
        stored: u32,
        /// The value of the data.
        computed: u32,
    },
    /// The data is not as long as the header said.
    #[error("content of {found} bytes, the header says {stored}")]
    ContentSize {
        /// What the header says.
        stored: u64,
        /// The length of the data.
        found: u64,
    },
    /// The data is not as long as what was compressed.
    #[error("length at byte {offset} is {stored} modulo 2^32, found {found} bytes")]
    LengthMismatch {
        /// Where the stored value is.
        offset: usize,
        /// The value in the trailer, which is the length modulo 2^32.
        stored: u32,
        /// The length of the data.
        found: u64,
    },
}

/// A part of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// Before the stream.
    Header,
    /// After it.
    Trailer,
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Header => "header",
            Self::Trailer => "trailer",
        })
    }
}

impl Format {
    /// The checksum that goes into the trailer, where parts of it can be combined.
    pub const fn check_kind(self) -> CheckKind {
        match self {
            Self::Gzip => CheckKind::Crc32,
            Self::Zlib => CheckKind::Adler32,
            Self::Raw | Self::Lz4 => CheckKind::None,
        }
    }

    /// Bytes of the trailer.
    pub const fn trailer_bytes(self) -> usize {
        match self {
            Self::Gzip => 8,
            Self::Zlib => 4,
            Self::Raw => 0,
            Self::Lz4 => 8,
        }
    }

    /// The header for a stream made at `level` with `window`: no name, no time, so equal input gives equal output.
    pub fn header(self, level: Level, window: Window) -> FrameBytes {
        match self {
            Self::Gzip => FrameBytes::new(&[&gzip_header(level)]),
            Self::Zlib => FrameBytes::new(&[&zlib_header(level, window)]),
            Self::Raw => FrameBytes::new(&[]),
            Self::Lz4 => lz4::header(),
        }
    }

    /// The header of a zlib stream that was made with a dictionary whose Adler-32 is `id`. The other formats have no place
    /// for one: gzip's reader cannot be told of it, and a raw stream's has to know.
    pub fn zlib_header_with_dictionary(level: Level, window: Window, id: u32) -> FrameBytes {
        let [method, flags] = zlib_header(level, window);
        let [method, flags] = with_check(method, flags & 0xc0 | ZLIB_DICTIONARY);
        FrameBytes::new(&[&[method, flags], &id.to_be_bytes()])
    }

    /// Parses the zlib header `input` begins with, of a stream that may need the dictionary whose Adler-32 is `id`. Says
    /// whether it does.
    ///
    /// # Errors
    ///
    /// [`FrameError::WrongDictionary`], and those of [`parse_header`](Self::parse_header).
    pub fn parse_zlib_header_with_dictionary(input: &[u8], id: u32) -> Result<(Header, bool), FrameError> {
        let (header, needed) = parse_zlib(input)?;
        match needed {
            Some(stored) if stored != id => {
                Err(FrameError::WrongDictionary { offset: 2, stored, computed: id })
            }
            needed => Ok((header, needed.is_some())),
        }
    }

    /// The trailer for `len` uncompressed bytes whose checksum, of [`check_kind`](Self::check_kind), is `check`; for LZ4 their
    /// [`Xxh32`](crate::Xxh32).
    pub fn trailer(self, check: u32, len: u64) -> FrameBytes {
        match self {
            Self::Gzip => FrameBytes::new(&[&check.to_le_bytes(), &length_modulo(len).to_le_bytes()]),
            Self::Zlib => FrameBytes::new(&[&check.to_be_bytes()]),
            Self::Raw => FrameBytes::new(&[]),
            Self::Lz4 => lz4::trailer(check),
        }
    }

    /// Parses the header `input` begins with.
    ///
    /// # Errors
    ///
    /// [`FrameError::Truncated`] if `input` is the beginning of a header, which callers that read in pieces answer
    /// with more; anything else is final.
    pub fn parse_header(self, input: &[u8]) -> Result<Header, FrameError> {
        match self {
            Self::Gzip => parse_gzip(input),
            Self::Zlib => match parse_zlib(input)? {
                (header, None) => Ok(header),
                (_, Some(_)) => Err(FrameError::DictionaryRequired { offset: 1 }),
            },
            Self::Raw => Ok(Header::bare(0)),
            Self::Lz4 => lz4::parse_header(input),
        }
    }

    /// Checks the trailer `input` begins with against what came out of the stream, and returns its length. That of an LZ4 frame
    /// depends on its header: see [`Lz4Header::check_trailer`](crate::Lz4Header::check_trailer); here it is one as
    /// [`trailer`](Self::trailer) makes it.
    ///
    /// # Errors
    ///
    /// [`FrameError::Truncated`], [`FrameError::ChecksumMismatch`], or [`FrameError::LengthMismatch`].
    pub fn check_trailer(self, input: &[u8], check: u32, len: u64) -> Result<usize, FrameError> {
        let mut cursor = Cursor { input, offset: 0, part: Part::Trailer };
        match self {
            Self::Gzip => {
                compare_checks(0, u32::from_le_bytes(cursor.take()?), check)?;
                let stored = u32::from_le_bytes(cursor.take()?);
                if stored != length_modulo(len) {
                    return Err(FrameError::LengthMismatch { offset: 4, stored, found: len });
                }
            }
            Self::Zlib => compare_checks(0, u32::from_be_bytes(cursor.take()?), check)?,
            Self::Raw => {}
            Self::Lz4 => {
                compare_checks(0, u32::from_le_bytes(cursor.take()?), 0)?;
                compare_checks(4, u32::from_le_bytes(cursor.take()?), check)?;
            }
        }
        Ok(cursor.offset)
    }
}

fn gzip_header(level: Level) -> [u8; GZIP_FIXED_BYTES] {
    let extra_flags = match level {
        Level::BEST => 2,
        Level::FAST => 4,
        _ => 0,
    };
    let unknown_system = 255;
    [GZIP_MAGIC[0], GZIP_MAGIC[1], DEFLATE, 0, 0, 0, 0, 0, extra_flags, unknown_system]
}

fn zlib_header(level: Level, window: Window) -> [u8; 2] {
    let method = (window.bits() - 8) << 4 | DEFLATE;
    let hint: u8 = match level.value() {
        0..=1 => 0,
        2..=5 => 1,
        6 => 2,
        _ => 3,
    };
    with_check(method, hint << 6)
}

/// The two bytes as a multiple of 31.
fn with_check(method: u8, flags: u8) -> [u8; 2] {
    let remainder = u16::from_be_bytes([method, flags]) % 31;
    let check = if remainder == 0 { 0 } else { 31 - remainder.to_le_bytes()[0] };
    [method, flags | check]
}

/// The length as gzip stores it.
fn length_modulo(len: u64) -> u32 {
    let [a, b, c, d, ..] = len.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

fn compare_checks(offset: usize, stored: u32, computed: u32) -> Result<(), FrameError> {
    if stored == computed { Ok(()) } else { Err(FrameError::ChecksumMismatch { offset, stored, computed }) }
}

/// Flag bits of a gzip header. Bit 0, "probably text", changes nothing.
const GZIP_HEADER_CRC: u8 = 1 << 1;
const GZIP_EXTRA: u8 = 1 << 2;
const GZIP_NAME: u8 = 1 << 3;
const GZIP_COMMENT: u8 = 1 << 4;
const GZIP_RESERVED: u8 = 0b1110_0000;

fn parse_gzip(input: &[u8]) -> Result<Header, FrameError> {
    let mut cursor = Cursor { input, offset: 0, part: Part::Header };
    let found = cursor.take()?;
    if found != GZIP_MAGIC {
        return Err(FrameError::WrongMagic { format: Format::Gzip, found });
    }
    let [method] = cursor.take()?;
    if method != DEFLATE {
        return Err(FrameError::UnknownMethod { method, offset: 2 });
    }
    let [flags] = cursor.take()?;
    if flags & GZIP_RESERVED != 0 {
        return Err(FrameError::ReservedFlags { flags: flags & GZIP_RESERVED, offset: 3 });
    }
    let modified = u32::from_le_bytes(cursor.take()?);
    let _extra_flags_and_system: [u8; 2] = cursor.take()?;

    let mut header = Header::bare(0);
    header.modified = (modified != 0).then_some(modified);
    if flags & GZIP_EXTRA != 0 {
        let len = u16::from_le_bytes(cursor.take()?);
        header.extra = Some(cursor.skip(len.into())?);
    }
    if flags & GZIP_NAME != 0 {
        header.name = Some(cursor.skip_string()?);
    }
    if flags & GZIP_COMMENT != 0 {
        header.comment = Some(cursor.skip_string()?);
    }
    if flags & GZIP_HEADER_CRC != 0 {
        cursor.check_header_crc()?;
    }
    header.bytes = cursor.offset;
    Ok(header)
}

/// Flag bit of a zlib header: the identity of a dictionary follows.
const ZLIB_DICTIONARY: u8 = 1 << 5;

/// The header, and the Adler-32 of the dictionary that is needed.
fn parse_zlib(input: &[u8]) -> Result<(Header, Option<u32>), FrameError> {
    let mut cursor = Cursor { input, offset: 0, part: Part::Header };
    let found = cursor.take()?;
    let [method, flags] = found;
    let remainder = u16::from_be_bytes(found) % 31;
    if method & 0x0f != DEFLATE && remainder != 0 {
        return Err(FrameError::WrongMagic { format: Format::Zlib, found });
    }
    if method & 0x0f != DEFLATE || method >> 4 > 7 {
        return Err(FrameError::UnknownMethod { method, offset: 0 });
    }
    if remainder != 0 {
        let stored = u16::from_be_bytes(found);
        let without_check = stored & !0x1f;
        let computed = without_check + (31 - without_check % 31) % 31;
        return Err(FrameError::HeaderChecksum { offset: 0, stored, computed });
    }
    let dictionary = match flags & ZLIB_DICTIONARY {
        0 => None,
        _ => Some(u32::from_be_bytes(cursor.take()?)),
    };
    Ok((Header::bare(cursor.offset), dictionary))
}

/// A position in the bytes of a header or trailer.
struct Cursor<'a> {
    input: &'a [u8],
    offset: usize,
    part: Part,
}

impl Cursor<'_> {
    /// The next `N` bytes.
    fn take<const N: usize>(&mut self) -> Result<[u8; N], FrameError> {
        let Some(bytes) = self.input[self.offset..].first_chunk() else { return Err(self.truncated()) };
        self.offset += N;
        Ok(*bytes)
    }

    /// Passes over `len` bytes.
    fn skip(&mut self, len: usize) -> Result<Range<usize>, FrameError> {
        let start = self.offset;
        if self.input.len() - start < len {
            return Err(self.truncated());
        }
        self.offset += len;
        Ok(start..self.offset)
    }

    /// Passes over a string and the zero that ends it.
    fn skip_string(&mut self) -> Result<Range<usize>, FrameError> {
        let start = self.offset;
        let bounded = &self.input[start..self.input.len().min(HEADER_BYTES_MAX)];
        match bounded.iter().position(|&byte| byte == 0) {
            Some(len) => {
                self.offset += len + 1;
                Ok(start..start + len)
            }
            None if self.input.len() >= HEADER_BYTES_MAX => {
                Err(FrameError::HeaderTooLong { offset: HEADER_BYTES_MAX })
            }
            None => Err(self.truncated()),
        }
    }

    /// Takes the low half of the CRC-32 of all header bytes before it.
    fn check_header_crc(&mut self) -> Result<(), FrameError> {
        let offset = self.offset;
        let [low, high, ..] = crc32(0, &self.input[..offset]).to_le_bytes();
        let computed = u16::from_le_bytes([low, high]);
        let stored = u16::from_le_bytes(self.take()?);
        if stored == computed { Ok(()) } else { Err(FrameError::HeaderChecksum { offset, stored, computed }) }
    }

    fn truncated(&self) -> FrameError {
        FrameError::Truncated { part: self.part, offset: self.input.len() }
    }
}
