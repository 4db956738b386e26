//! Streams with a checksum behind them, expanded whole: what follows changes nothing, and what is wrong is said as ever.

use flate2::{Compress, Compression, FlushCompress};
use svala_software::{CheckKind, InflateError, Inflater};

/// A gzip-like text of `len` bytes.
fn text(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        format!("{:04} ", state % 1777)
    };
    std::iter::repeat_with(&mut next).flat_map(String::into_bytes).take(len).collect()
}

fn deflated(data: &[u8]) -> Vec<u8> {
    let mut stream = Vec::with_capacity(data.len() + data.len() / 8 + 100);
    Compress::new(Compression::new(6), false).compress_vec(data, &mut stream, FlushCompress::Finish).unwrap();
    stream
}

/// The stream of `data`, followed by `check` in gzip's order.
fn with_check(data: &[u8], check: u32) -> Vec<u8> {
    [deflated(data), check.to_le_bytes().to_vec()].concat()
}

/// Around the steps in which the output is summed up, and beyond.
const LENGTHS: [usize; 7] = [0, 1, 255, 131_072, 131_073, 1_000_003, (8 << 20) + 1];

#[test]
fn the_checksum_behind_a_stream_changes_nothing() {
    let mut inflater = Inflater::new();
    for len in LENGTHS {
        let data = text(len);
        let sum = crc32fast(&data);
        for follows in [sum, sum ^ 1] {
            let src = with_check(&data, follows);
            for room in [len, len + 100] {
                let mut dst = vec![0xaa; room];
                let (made, check) =
                    inflater.inflate_checked(&src, &mut dst, CheckKind::Crc32).expect("valid");
                assert_eq!((made.read, made.written, check), (src.len() - 4, len, sum), "{len} bytes");
                assert!(made.ended && dst[..len] == data);
            }
        }
    }
}

/// By another crate than the engine's.
fn crc32fast(data: &[u8]) -> u32 {
    crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC).checksum(data)
}

#[test]
fn what_is_wrong_is_said_as_ever() {
    let mut inflater = Inflater::new();
    for len in [1000, 300_000] {
        let data = text(len);
        let src = with_check(&data, crc32fast(&data));
        let mut dst = vec![0; len];
        let full = inflater.inflate_checked(&src, &mut dst[..len - 1], CheckKind::Crc32).unwrap_err();
        assert!(matches!(full, InflateError::OutputFull { room, .. } if room == len - 1), "{full}");
        assert!(dst[..len - 1] == data[..len - 1], "what there is room for is there");
        for cut in [0, 1, src.len() / 2, src.len() - 5] {
            let mut plain = vec![0; len];
            let wanted = inflater.inflate(&src[..cut], &mut plain).unwrap_err();
            let error = inflater.inflate_checked(&src[..cut], &mut dst, CheckKind::Crc32).unwrap_err();
            assert_eq!(error, wanted);
            assert!(matches!(error, InflateError::Truncated { len, .. } if len == cut), "{error}");
        }
    }
}

/// A block of fixed codes with a length that nobody defined. libdeflate reads it as another, with any checksum behind it; here,
/// as with zlib, it is no stream, also where the checksum is that of what libdeflate reads.
#[test]
fn symbols_that_nobody_defined_are_refused_whatever_follows() {
    // 'a'; a length of symbol 286, distance 1; the end.
    let a = 0x91_u32.reverse_bits() >> 24;
    let stream = bits(&[(1, 1), (1, 2), (a, 8), (0b0110_0011, 8), (0, 5), (0, 7)]);
    let mut dst = vec![0; 300];
    assert_eq!(libdeflater::Decompressor::new().deflate_decompress(&stream, &mut dst), Ok(259));
    let sum = crc32fast(&dst[..259]);
    let zlib = flate2::Decompress::new(false).decompress(&stream, &mut dst, flate2::FlushDecompress::Finish);
    assert!(zlib.is_err(), "{zlib:?}");
    for follows in [sum, !sum] {
        let src = [&stream[..], &follows.to_le_bytes()].concat();
        let error = Inflater::new().inflate_checked(&src, &mut dst, CheckKind::Crc32).unwrap_err();
        assert!(matches!(error, InflateError::Corrupt { .. }), "{error}");
    }
}

/// Numbers with their widths, the first one lowest, in bytes.
fn bits(parts: &[(u32, u32)]) -> Vec<u8> {
    let all = parts.iter().flat_map(|(value, width)| (0..*width).map(move |bit| value >> bit & 1));
    let all: Vec<u32> = all.collect();
    all.chunks(8)
        .map(|byte| byte.iter().rev().fold(0, |sum, bit| sum << 1 | u8::try_from(*bit).unwrap()))
        .collect()
}
