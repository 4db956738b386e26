//! Headers and trailers against the machine's `gzip` and Python's zlib, and against bytes nobody vouches for.

mod oracle;

use crc::{CRC_32_ISO_HDLC, Crc};
use oracle::filter;
use proptest::prelude::*;
use svala_software::{
    CheckKind, Deflater, Format, FrameError, HEADER_BYTES_MAX, Level, Part, Segment, Window, deflate_bound,
    inflate,
};

const DATA: &[u8] =
    b"one swallow does not make a summer, nor does one day; one swallow does not make a summer";

fn compressed(format: Format, data: &[u8], level: Level, window: Window) -> Vec<u8> {
    let mut body = vec![0; deflate_bound(data.len())];
    let written = Deflater::new(level, window).deflate(data, &mut body, Segment::Last).unwrap().written;
    let kind = format.check_kind();
    let check = kind.chain(kind.start(), data);
    [&*format.header(level, window), &body[..written], &*format.trailer(check, data.len() as u64)].concat()
}

/// Takes a framed stream apart again and returns what was in it.
fn decompressed(format: Format, input: &[u8]) -> Result<Vec<u8>, FrameError> {
    let header = format.parse_header(input)?;
    let mut data = vec![0; 1 << 20];
    let inflated = inflate(&input[header.bytes..], &mut data).unwrap();
    data.truncate(inflated.written);
    let kind = format.check_kind();
    let trailer = &input[header.bytes + inflated.read..];
    let len = format.check_trailer(trailer, kind.chain(kind.start(), &data), data.len() as u64)?;
    assert_eq!((len, trailer.len()), (format.trailer_bytes(), format.trailer_bytes()));
    Ok(data)
}

#[test]
fn gzip_and_zlib_read_what_is_framed_here() {
    let unzlib = "import sys, zlib; sys.stdout.buffer.write(zlib.decompress(sys.stdin.buffer.read()))";
    for level in (0..=9).map(|level| Level::new(level).unwrap()) {
        for window in [9, 12, 15].map(|bits| Window::new(bits).unwrap()) {
            let gzip = compressed(Format::Gzip, DATA, level, window);
            assert_eq!(filter("gzip", &["-dc"], &gzip), DATA);
            let zlib = compressed(Format::Zlib, DATA, level, window);
            assert_eq!(filter("python3", &["-c", unzlib], &zlib), DATA, "{level:?} {window:?}");
        }
    }
}

#[test]
fn two_gzip_members_are_one_file() {
    let two = compressed(Format::Gzip, DATA, Level::FAST, Window::DEFLATE).repeat(2);
    assert_eq!(filter("gzip", &["-dc"], &two), DATA.repeat(2));
}

#[test]
fn output_of_gzip_and_zlib_is_read() {
    assert_eq!(decompressed(Format::Gzip, &filter("gzip", &["-9c"], DATA)).unwrap(), DATA);
    for level in ["1", "6", "9"] {
        let script = "import sys, zlib
sys.stdout.buffer.write(zlib.compress(sys.stdin.buffer.read(), int(sys.argv[1])))";
        let zlib = filter("python3", &["-c", script, level], DATA);
        assert_eq!(decompressed(Format::Zlib, &zlib).unwrap(), DATA);
        let level = Level::new(level.parse().unwrap()).unwrap();
        assert_eq!(zlib[..2], *Format::Zlib.header(level, Window::DEFLATE), "zlib writes the same two bytes");
    }
    for format in [Format::Gzip, Format::Zlib, Format::Raw] {
        let own = compressed(format, DATA, Level::DEFAULT, Window::IAA);
        assert_eq!(decompressed(format, &own).unwrap(), DATA);
    }
}

#[test]
fn name_and_time_that_gzip_writes_are_found() {
    let script = "import sys, io, gzip
out = io.BytesIO()
with gzip.GzipFile('swallow.txt', 'wb', fileobj=out, mtime=1700000000) as f: f.write(sys.stdin.buffer.read())
sys.stdout.buffer.write(out.getvalue())";
    let file = filter("python3", &["-c", script], DATA);
    let header = Format::Gzip.parse_header(&file).unwrap();
    assert_eq!(&file[header.name.unwrap()], b"swallow.txt");
    assert_eq!(header.modified, Some(1_700_000_000));
    assert_eq!(decompressed(Format::Gzip, &file).unwrap(), DATA);
}

/// A header with everything there is: text flag, extra field, name, comment, and its own checksum.
fn full_header() -> Vec<u8> {
    let mut header = vec![0x1f, 0x8b, 8, 0b1_1111, 1, 2, 3, 4, 0, 3];
    header.extend_from_slice(&[6, 0, b'S', b'V', 2, 0, 9, 9]);
    header.extend_from_slice(b"name\0comment\0");
    let crc = Crc::<u32>::new(&CRC_32_ISO_HDLC).checksum(&header);
    header.extend_from_slice(&crc.to_le_bytes()[..2]);
    header
}

#[test]
fn every_optional_field_is_parsed() {
    let bytes = full_header();
    let header = Format::Gzip.parse_header(&bytes).unwrap();
    assert_eq!(header.bytes, bytes.len());
    assert_eq!(header.modified, Some(0x0403_0201));
    assert_eq!(&bytes[header.extra.unwrap()], &[b'S', b'V', 2, 0, 9, 9]);
    assert_eq!(&bytes[header.name.unwrap()], b"name");
    assert_eq!(&bytes[header.comment.unwrap()], b"comment");
    let plain = compressed(Format::Gzip, DATA, Level::BEST, Window::DEFLATE);
    let file = [&bytes, &plain[10..]].concat();
    assert_eq!(filter("gzip", &["-dc"], &file), DATA, "gzip agrees that this is a header");
    assert_eq!(decompressed(Format::Gzip, &file).unwrap(), DATA);
}

#[test]
fn every_proper_prefix_of_a_header_is_truncated() {
    let bytes = full_header();
    for offset in 0..bytes.len() {
        let expected = FrameError::Truncated { part: Part::Header, offset };
        assert_eq!(Format::Gzip.parse_header(&bytes[..offset]), Err(expected));
    }
    for offset in 0..2 {
        let expected = FrameError::Truncated { part: Part::Header, offset };
        assert_eq!(Format::Zlib.parse_header(&[0x78, 0x9c][..offset]), Err(expected));
    }
}

#[test]
fn each_flaw_of_a_gzip_header_has_its_error() {
    let with = |at: usize, value: u8| {
        let mut bytes = full_header();
        bytes[at] = value;
        Format::Gzip.parse_header(&bytes).unwrap_err()
    };
    assert_eq!(with(1, 0x8c), FrameError::WrongMagic { format: Format::Gzip, found: [0x1f, 0x8c] });
    assert_eq!(with(2, 7), FrameError::UnknownMethod { method: 7, offset: 2 });
    assert_eq!(with(3, 0x28), FrameError::ReservedFlags { flags: 0x20, offset: 3 });
    for at in (4..10).chain(12..18) {
        let error = with(at, 0xee);
        let FrameError::HeaderChecksum { offset: 31, stored, computed } = error else {
            panic!("{at}: {error}")
        };
        assert_ne!(stored, computed);
    }
    let error = with(32, 0);
    assert!(error.to_string().starts_with("header checksum at byte 31 is 0x00"), "{error}");
}

#[test]
fn header_that_never_ends_is_refused() {
    let mut bytes = vec![0x1f, 0x8b, 8, 8, 0, 0, 0, 0, 0, 3];
    bytes.resize(HEADER_BYTES_MAX - 1, b'a');
    let truncated = FrameError::Truncated { part: Part::Header, offset: bytes.len() };
    assert_eq!(Format::Gzip.parse_header(&bytes), Err(truncated));
    bytes.resize(HEADER_BYTES_MAX + 1000, b'a');
    let too_long = FrameError::HeaderTooLong { offset: HEADER_BYTES_MAX };
    assert_eq!(Format::Gzip.parse_header(&bytes), Err(too_long));
    bytes[HEADER_BYTES_MAX - 1] = 0;
    assert_eq!(Format::Gzip.parse_header(&bytes).unwrap().bytes, HEADER_BYTES_MAX);
}

#[test]
fn each_flaw_of_a_zlib_header_has_its_error() {
    let error = |bytes: [u8; 2]| Format::Zlib.parse_header(&bytes).unwrap_err();
    assert_eq!(error([0x1f, 0x8b]), FrameError::WrongMagic { format: Format::Zlib, found: [0x1f, 0x8b] });
    let checksum = FrameError::HeaderChecksum { offset: 0, stored: 0x789d, computed: 0x789c };
    assert_eq!(error([0x78, 0x9d]), checksum);
    assert_eq!(error([0x88, 0x1c]), FrameError::UnknownMethod { method: 0x88, offset: 0 });
    assert_eq!(error([0x79, 0x18]), FrameError::UnknownMethod { method: 0x79, offset: 0 });
    let cut = FrameError::Truncated { part: Part::Header, offset: 2 };
    assert_eq!(error([0x78, 0xbb]), cut, "the dictionary's identity follows");
    let with_identity = Format::Zlib.parse_header(&[0x78, 0xbb, 1, 2, 3, 4]);
    assert_eq!(with_identity, Err(FrameError::DictionaryRequired { offset: 1 }));
}

#[test]
fn trailer_that_does_not_match_says_both_values() {
    let trailer = Format::Gzip.trailer(0x1234_5678, (1 << 32) + 5);
    assert_eq!(*trailer, [0x78, 0x56, 0x34, 0x12, 5, 0, 0, 0]);
    assert_eq!(Format::Gzip.check_trailer(&trailer, 0x1234_5678, (1 << 32) + 5), Ok(8));
    let checksum = FrameError::ChecksumMismatch { offset: 0, stored: 0x1234_5678, computed: 1 };
    assert_eq!(Format::Gzip.check_trailer(&trailer, 1, 5), Err(checksum));
    let length = FrameError::LengthMismatch { offset: 4, stored: 5, found: 6 };
    assert_eq!(Format::Gzip.check_trailer(&trailer, 0x1234_5678, 6), Err(length));
    for offset in 0..8 {
        let truncated = FrameError::Truncated { part: Part::Trailer, offset };
        let result = Format::Gzip.check_trailer(&trailer[..offset], 0x1234_5678, 5);
        assert_eq!(result, Err(truncated));
    }
    assert_eq!(*Format::Zlib.trailer(0x1234_5678, 9), [0x12, 0x34, 0x56, 0x78]);
    assert_eq!(Format::Zlib.check_trailer(&[0x12, 0x34, 0x56, 0x78, 1], 0x1234_5678, 9), Ok(4));
    assert_eq!(Format::Raw.check_trailer(b"rest", 0, 9), Ok(0));
}

#[test]
fn check_kinds_start_chain_and_combine() {
    for kind in [CheckKind::Crc32, CheckKind::Adler32, CheckKind::None] {
        let (a, b) = DATA.split_at(30);
        let of = |data| kind.chain(kind.start(), data);
        assert_eq!(kind.chain(of(a), b), of(DATA));
        assert_eq!(kind.combine(of(a), of(b), b.len() as u64), of(DATA));
    }
}

proptest! {
    #[test]
    fn any_bytes_parse_or_fail(mut bytes in prop::collection::vec(any::<u8>(), 0..300), valid_start: bool) {
        if valid_start && bytes.len() > 3 {
            bytes[..3].copy_from_slice(&[0x1f, 0x8b, 8]);
            bytes[3] &= 0x1f;
        }
        for format in [Format::Gzip, Format::Zlib, Format::Raw] {
            if let Ok(header) = format.parse_header(&bytes) {
                prop_assert!(header.bytes <= bytes.len());
            }
            if let Ok(len) = format.check_trailer(&bytes, 0, 0) {
                prop_assert!(len <= bytes.len());
            }
        }
    }
}
