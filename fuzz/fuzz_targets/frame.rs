//! Headers, streams and trailers of gzip, zlib and raw deflate: accepted and refused as flate2 does, which has its own
//! parser of gzip headers and its own way round the stream, with the same bytes; and expanded as miniz_oxide, another
//! decoder, does. And the file of an index of such a stream: refused, or written as it was read.
//!
//! Input: a byte for the format, then the stream; or an index without its checksum.
#![no_main]

use std::io::Read;

use flate2::bufread::{DeflateDecoder, GzDecoder, ZlibDecoder};
use libfuzzer_sys::fuzz_target;
use svala_cli::index::Index;
use svala_software::{Format, InflateError, crc32c, inflate};

const ROOM: usize = 1 << 20;

fuzz_target!(|input: &[u8]| {
    let [format, stream @ ..] = input else { return };
    if format % 4 == 3 {
        return index(stream);
    }
    let format = [Format::Gzip, Format::Zlib, Format::Raw][usize::from(format % 4)];
    let ours = ours(format, stream);
    if let Some(Outcome::Full) = ours {
        return;
    }
    let ours = match ours {
        Some(Outcome::Done(bytes)) => Some(bytes),
        _ => None,
    };
    assert_eq!(ours, theirs(format, stream), "{format:?}");
});

fn index(body: &[u8]) {
    let file = [body, &crc32c(0, body).to_le_bytes()].concat();
    match Index::parse(&file) {
        Ok(index) => assert_eq!(index.to_bytes(), file),
        Err((at, flaw)) => assert!(at <= file.len() as u64 && !flaw.to_string().is_empty()),
    }
}

enum Outcome {
    Done(Vec<u8>),
    /// The output is larger than is worth looking at.
    Full,
}

/// None: refused.
fn ours(format: Format, stream: &[u8]) -> Option<Outcome> {
    let header = format.parse_header(stream).ok()?;
    let named = [&header.name, &header.comment, &header.extra];
    assert!(header.bytes <= stream.len());
    assert!(named.into_iter().flatten().all(|range| range.start <= range.end && range.end <= header.bytes));
    let body = &stream[header.bytes..];
    let mut out = vec![0; ROOM];
    let done = match inflate(body, &mut out) {
        Ok(done) => done,
        Err(InflateError::OutputFull { .. }) => return Some(Outcome::Full),
        Err(_) => return None,
    };
    assert!(done.ended && done.read <= body.len());
    out.truncate(done.written);
    let other = miniz_oxide::inflate::decompress_to_vec_with_limit(&body[..done.read], ROOM);
    assert_eq!(other.as_ref().ok(), Some(&out), "miniz_oxide: {:?}", other.as_ref().err());

    let kind = format.check_kind();
    let check = kind.chain(kind.start(), &out);
    format.check_trailer(&body[done.read..], check, out.len() as u64).ok()?;
    Some(Outcome::Done(out))
}

fn theirs(format: Format, stream: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let read = match format {
        Format::Gzip => GzDecoder::new(stream).read_to_end(&mut out),
        Format::Zlib => ZlibDecoder::new(stream).read_to_end(&mut out),
        Format::Raw => DeflateDecoder::new(stream).read_to_end(&mut out),
        Format::Lz4 => unreachable!("not asked for"),
    };
    read.ok().map(|_| out)
}
