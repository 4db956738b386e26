//! zlib is the oracle: what it takes and what it makes of it.

use std::io::Write as _;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use proptest::prelude::*;

use super::*;
use crate::iaa::samples::{self, bits, code};

/// What zlib makes of a raw stream: its output and the bytes it took, or `None` if it is not a whole stream.
fn zlib(stream: &[u8]) -> Option<(Vec<u8>, usize)> {
    let mut out = vec![0; 1 << 16];
    let mut inflater = Decompress::new(false);
    let status = inflater.decompress(stream, &mut out, FlushDecompress::Finish).ok()?;
    assert!(inflater.total_out() < 1 << 16, "the oracle's buffer is too small");
    out.truncate(usize::try_from(inflater.total_out()).unwrap());
    (status == Status::StreamEnd).then(|| (out, usize::try_from(inflater.total_in()).unwrap()))
}

fn deflate(data: &[u8], level: u32) -> Vec<u8> {
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), Compression::new(level));
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

/// A stream of several blocks: zlib flushes after every `block_bytes`.
fn deflate_in_blocks(data: &[u8], level: u32, block_bytes: usize) -> Vec<u8> {
    let mut deflater = Compress::new(Compression::new(level), false);
    let mut stream = Vec::with_capacity(data.len() * 12 + 4096);
    for block in data.chunks(block_bytes.max(1)) {
        deflater.compress_vec(block, &mut stream, FlushCompress::Sync).unwrap();
    }
    assert_eq!(deflater.compress_vec(&[], &mut stream, FlushCompress::Finish).unwrap(), Status::StreamEnd);
    stream
}

fn whole(stream: &[u8], out_bytes: usize) -> (Inflated, Vec<u8>) {
    let mut out = vec![0xa5; out_bytes];
    let inflated = inflate(InputBits::new(stream), StopOn::FinalBlock, &mut out);
    out.truncate(inflated.output_size);
    (inflated, out)
}

fn error_of(stream: &[u8]) -> ErrorCode {
    match whole(stream, 1 << 16).0.outcome {
        Outcome::Error(code) => code,
        outcome => panic!("{outcome:?} for a malformed stream"),
    }
}

/// Agrees with zlib on one stream, whatever it is.
fn agrees_with_zlib(stream: &[u8]) {
    let (ours, out) = whole(stream, 1 << 16);
    match zlib(stream) {
        Some((expected, consumed)) => {
            match ours.outcome {
                Outcome::Error(ErrorCode::BAD_DISTANCE) => {
                    assert!(expected.len() > HISTORY_BYTES, "no distance can be over 4096: {stream:02x?}");
                    return;
                }
                // A repeat from one alphabet into the other.
                Outcome::Error(ErrorCode::FIRST_D_CODE_16 | ErrorCode::LL_CODE_COUNT) => return,
                _ => {}
            }
            assert_eq!(ours.outcome, Outcome::StreamEnd, "zlib takes {stream:02x?}");
            assert_eq!(out, expected, "{stream:02x?}");
            assert_eq!(ours.consumed_bytes(), consumed, "{stream:02x?}");
        }
        None => assert_ne!(ours.outcome, Outcome::StreamEnd, "zlib refuses {stream:02x?}"),
    }
}

#[test]
fn streams_of_every_level_are_what_zlib_says() {
    for (name, data) in samples::all(4096) {
        for level in 0..=9 {
            let stream = deflate(&data, level);
            let (inflated, out) = whole(&stream, data.len());
            assert_eq!(inflated.outcome, Outcome::StreamEnd, "{name}, level {level}");
            assert_eq!(inflated.consumed_bytes(), stream.len(), "{name}, level {level}");
            assert!(out == data, "{name}, level {level}");
        }
    }
}

/// The long output keeps the fast loop running; the short distances come from compressing 4 KiB at a time.
#[test]
fn long_streams_of_many_blocks_are_decompressed() {
    for (name, data) in samples::all(300_000) {
        for level in [0, 1, 6, 9] {
            let mut stream = Vec::new();
            for (index, part) in data.chunks(4096).enumerate() {
                let mut deflater = Compress::new(Compression::new(level), false);
                let mut block = Vec::with_capacity(8192);
                let last = index + 1 == data.len().div_ceil(4096);
                let flush = if last { FlushCompress::Finish } else { FlushCompress::Full };
                deflater.compress_vec(part, &mut block, flush).unwrap();
                stream.extend(block);
            }
            let (inflated, out) = whole(&stream, data.len());
            assert_eq!(inflated.outcome, Outcome::StreamEnd, "{name}, level {level}");
            assert!(out == data, "{name}, level {level}");
        }
    }
}

#[test]
fn a_distance_of_4096_is_taken_and_a_longer_one_is_not() {
    // A byte that occurs twice, then zeros between; the fixed code has distance symbol 23 as 10111.
    let stream = |extra: u32, symbol: u32, extra_bits: u32| {
        let mut groups = vec![(0b000, 3), (0, 5), (4097, 16), (!4097 & 0xffff, 16)];
        groups.extend((0..4097).map(|at| (at % 251, 8)));
        groups.extend([(0b011, 3), code(1, 7), code(symbol, 5), (extra, extra_bits), code(0, 7)]);
        bits(&groups)
    };
    let taken = stream(1023, 23, 10);
    let (inflated, out) = whole(&taken, 8192);
    assert_eq!(inflated.outcome, Outcome::StreamEnd);
    assert_eq!(out[4097..], out[1..4]);
    assert_eq!(zlib(&taken).unwrap().0, out);

    let refused = stream(0, 24, 11);
    assert_eq!(zlib(&refused).unwrap().0.len(), 4100, "zlib has a window of 32 KiB");
    assert_eq!(error_of(&refused), ErrorCode::BAD_DISTANCE);
}

/// In the fast loop: there is more input and output than a step needs.
#[test]
fn a_long_distance_is_refused_in_the_middle_of_a_stream_too() {
    let mut data = samples::random(5000, 3);
    data.extend_from_within(..4000);
    data.extend(samples::random(5000, 4));
    let stream = deflate(&data, 9);
    assert_eq!(zlib(&stream).unwrap().0, data);
    let (inflated, out) = whole(&stream, 1 << 16);
    assert_eq!(inflated.outcome, Outcome::Error(ErrorCode::BAD_DISTANCE));
    assert_eq!(out, data[..out.len()]);
    assert!((HISTORY_BYTES..=5000).contains(&out.len()), "the second half is 5000 back: {}", out.len());
}

#[test]
fn malformed_streams_have_the_codes_of_the_specification() {
    let dynamic = |ll: u32, d: u32, cl: u32| vec![(0b101, 3), (ll, 5), (d, 5), (cl, 4)];
    // Lengths of the code length code, in the order of the header.
    let with = |groups: &[(u32, u32)], more: &[(u32, u32)]| bits(&[groups, more, &[(0, 32); 2]].concat());
    // Code length symbols 0 to 15 with four bits each, so that a length is written as itself.
    let plain = [vec![(0, 3); 3], vec![(4, 3); 16]].concat();
    let lengths = |values: &[u32]| values.iter().map(|&value| code(value, 4)).collect::<Vec<_>>();
    let all = |ll: &[u32], d: &[u32]| {
        let header = dynamic(u32::try_from(ll.len() - 257).unwrap(), u32::try_from(d.len() - 1).unwrap(), 15);
        with(&[header, plain.clone(), lengths(ll), lengths(d)].concat(), &[])
    };
    let mut ll = [0; 257];
    let refused = |stream: &[u8], code: ErrorCode| {
        assert_eq!(zlib(stream), None, "{code}: zlib");
        assert_eq!(error_of(stream), code);
    };

    refused(&with(&[(0b111, 3)], &[]), ErrorCode::BLOCK_TYPE);
    refused(&with(&[(1, 8), (5, 16), (5, 16)], &[]), ErrorCode::STORED_LENGTH);
    refused(&with(&dynamic(30, 0, 15), &[]), ErrorCode::TOO_MANY_LL_CODES);
    refused(&with(&dynamic(0, 30, 15), &[]), ErrorCode::TOO_MANY_D_CODES);
    refused(&with(&dynamic(0, 0, 0), &[(1, 3), (1, 3), (1, 3), (0, 3)]), ErrorCode::BAD_CL_LENGTHS);
    // Incomplete: symbols 16, 17 and 18, and the bits of none; one that does with what it has.
    refused(
        &with(&dynamic(0, 0, 0), &[(2, 3), (2, 3), (2, 3), (0, 3), (3, 2)]),
        ErrorCode::UNDEFINED_CL_CODE,
    );
    refused(&with(&dynamic(0, 0, 0), &[(0, 3), (0, 3), (0, 3), (0, 3)]), ErrorCode::UNDEFINED_CL_CODE);
    let zeros_alone = [(0, 3), (0, 3), (0, 3), (1, 3)];
    refused(&with(&dynamic(0, 0, 0), &[&zeros_alone[..], &[(0, 32); 8]].concat()), ErrorCode::BAD_CL_LENGTHS);
    refused(&with(&dynamic(0, 0, 0), &[(1, 3), (0, 3), (0, 3), (1, 3), (1, 1)]), ErrorCode::FIRST_LL_CODE_16);
    // Symbols 18 and 0: 138 zeros twice are more than 257, and 11 behind 257 are more than 1.
    let zeros = |second, third: &[(u32, u32)]| {
        let table = [(0, 3), (0, 3), (1, 3), (1, 3), (1, 1), (127, 7), (1, 1), (second, 7)];
        with(&dynamic(0, 0, 0), &[&table[..], third].concat())
    };
    refused(&zeros(127, &[]), ErrorCode::LL_CODE_COUNT);
    refused(&zeros(108, &[(1, 1), (0, 7)]), ErrorCode::D_CODE_COUNT);
    refused(&all(&ll, &[0]), ErrorCode::NO_LL_CODE);
    ll[0] = 1;
    refused(&all(&ll, &[0]), ErrorCode::BAD_LL_LENGTHS);
    ll[256] = 2;
    refused(&all(&ll, &[0]), ErrorCode::BAD_LL_LENGTHS);
    (ll[1], ll[256]) = (1, 1);
    refused(&all(&ll, &[0]), ErrorCode::BAD_LL_LENGTHS);
    ll[1] = 0;
    refused(&all(&ll, &[1, 1, 1]), ErrorCode::BAD_D_LENGTHS);
    refused(&all(&ll, &[1, 2]), ErrorCode::BAD_D_LENGTHS);
    refused(&all(&ll, &[2]), ErrorCode::BAD_D_LENGTHS);
    // Fixed codes: symbol 286, distance symbol 30, a reference with nothing before it.
    refused(&with(&[(0b011, 3)], &[code(0b1100_0110, 8)]), ErrorCode::BAD_LL_CODE);
    refused(&with(&[(0b011, 3)], &[code(0x30, 8), code(1, 7), code(30, 5)]), ErrorCode::BAD_D_CODE);
    refused(&with(&[(0b011, 3)], &[code(0x30, 8), code(1, 7), code(1, 5)]), ErrorCode::DISTANCE_BEFORE_START);
}

/// The exception deflate makes: a lone distance code of one bit, and no distance code at all.
#[test]
fn a_single_distance_code_is_taken_and_its_other_bit_is_not() {
    // Code length symbols 18, 0, 1, 2 with two bits each (codes 3, 0, 1, 2): literal 'a' 1, 256 and 257 2.
    let header = |distance_length: u32| {
        let mut groups = vec![(0b101, 3), (1, 5), (0, 5), (14, 4)];
        for symbol in [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1] {
            groups.push((if [18, 0, 1, 2].contains(&symbol) { 2 } else { 0 }, 3));
        }
        let zeros = |count: u32| vec![code(3, 2), (count - 11, 7)];
        groups.extend([zeros(97), vec![code(1, 2)], zeros(138), zeros(20), vec![code(2, 2); 2]].concat());
        groups.push(code(distance_length, 2));
        groups
    };
    let stream = |distance_length, tokens: &[(u32, u32)]| {
        bits(&[&header(distance_length), tokens, &[(0, 32); 2]].concat())
    };

    let taken = stream(1, &[code(0, 1), code(3, 2), (0, 1), code(2, 2)]);
    assert_eq!(zlib(&taken).unwrap().0, b"aaaa");
    assert_eq!(whole(&taken, 16).1, b"aaaa");
    let none_used = stream(0, &[code(0, 1), code(2, 2)]);
    assert_eq!(zlib(&none_used).unwrap().0, b"a");
    assert_eq!(whole(&none_used, 16).1, b"a");
    for refused in [
        stream(1, &[code(0, 1), code(3, 2), (1, 1), code(2, 2)]),
        stream(0, &[code(0, 1), code(3, 2), (0, 1), code(2, 2)]),
        stream(0, &[code(0, 1), code(3, 2), (1, 1), code(2, 2)]),
    ] {
        assert_eq!(zlib(&refused), None);
        assert_eq!(error_of(&refused), ErrorCode::BAD_D_CODE);
    }
}

/// RFC 1951 lets a repeat in the header run from the literal/length codes into the distance codes, and repeat the last of
/// the former as the first of the latter. The device counts the two apart.
#[test]
fn a_repeat_from_one_alphabet_into_the_other_is_refused() {
    // Code length symbol 18 with one bit, 16 and that of `length` with two: codes 0, 3 and 2.
    let stream = |distances: u32, length: u32, more: &[(u32, u32)]| {
        let mut groups = vec![(0b101, 3), (0, 5), (distances - 1, 5), (14, 4)];
        let bits_of = |symbol| match symbol {
            18 => 1,
            symbol if symbol == 16 || symbol == length => 2,
            _ => 0,
        };
        let symbols = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1];
        groups.extend(symbols.map(|symbol| (bits_of(symbol), 3)));
        groups.extend([code(0, 1), (127, 7), code(0, 1)]);
        bits(&[&groups, more, &[(0, 32); 2]].concat())
    };
    // 255 zeros, then 1, and three times the same: symbols 255 and 256, and two distances.
    let crossing = stream(2, 1, &[(106, 7), code(2, 2), code(3, 2), (0, 2), code(0, 1), code(1, 1)]);
    assert_eq!(zlib(&crossing).expect("zlib takes it").0, [255]);
    assert_eq!(error_of(&crossing), ErrorCode::LL_CODE_COUNT);
    // 253 zeros, then 2 four times: symbols 253 to 256; and four times the same, the distances.
    let repeated = [(104, 7), code(2, 2), code(2, 2), code(2, 2), code(2, 2), code(3, 2), (1, 2)];
    let repeated = stream(4, 2, &[&repeated[..], &[code(0, 2), code(3, 2)]].concat());
    assert_eq!(zlib(&repeated).expect("zlib takes it").0, [253]);
    assert_eq!(error_of(&repeated), ErrorCode::FIRST_D_CODE_16);
}

#[test]
fn a_stream_cut_off_anywhere_ends_with_its_input() {
    for data in [samples::text(3000, 1), samples::random(1000, 2), vec![0; 2000]] {
        for level in [0, 1, 9] {
            let stream = deflate_in_blocks(&data, level, 700);
            for end in 0..stream.len() {
                let (inflated, out) = whole(&stream[..end], 1 << 14);
                assert!(
                    matches!(inflated.outcome, Outcome::InputEnd { .. }),
                    "{:?} at {end}",
                    inflated.outcome
                );
                assert!(inflated.consumed_bits <= end * 8);
                assert_eq!(out, data[..out.len()]);
            }
        }
    }
}

#[test]
fn check_for_eob_sees_whether_a_block_has_ended() {
    let after_block = |stream: &[u8]| match whole(stream, 100).0.outcome {
        Outcome::InputEnd { after_block } => after_block,
        outcome => panic!("{outcome:?}"),
    };
    // A fixed block that is not final: 'a', end. The six bits of padding are no header, and the end not cut off.
    let block = bits(&[(0b010, 3), code(0x91, 8), code(0, 7)]);
    assert_eq!(block.len(), 3);
    assert!(after_block(&block));
    assert!(!after_block(&block[..2]));
    assert!(!after_block(&[]), "no token at all");
}

#[test]
fn overflow_at_every_output_length_has_filled_the_output() {
    for data in [samples::text(1500, 5), samples::random(600, 6), vec![9; 1500]] {
        for level in [0, 6] {
            let stream = deflate_in_blocks(&data, level, 400);
            for room in 0..data.len() {
                let (inflated, out) = whole(&stream, room);
                assert_eq!(inflated.outcome, Outcome::Overflow, "{room} of {}", data.len());
                assert_eq!(out, data[..room]);
            }
            assert_eq!(whole(&stream, data.len()).0.outcome, Outcome::StreamEnd);
        }
    }
}

#[test]
fn stopping_on_any_block_goes_block_by_block() {
    let data = samples::text(2000, 7);
    let stream = deflate_in_blocks(&data, 6, 500);
    let mut inflater = Inflater::new();
    let (mut input, mut out, mut ends) = (InputBits::new(&stream), Vec::new(), 0);
    loop {
        let mut buffer = [0; 2000];
        let inflated = inflater.run(input, StopOn::AnyBlock, &mut buffer);
        out.extend_from_slice(&buffer[..inflated.output_size]);
        input = input.skip(inflated.consumed_bits);
        match inflated.outcome {
            Outcome::BlockEnd => ends += 1,
            Outcome::StreamEnd => break,
            outcome => panic!("{outcome:?}"),
        }
    }
    assert_eq!(out, data);
    assert!(ends >= 8, "four flushes make a block and an empty one each: {ends}");
    assert_eq!(inflater.run(input, StopOn::AnyBlock, &mut []).outcome, Outcome::StreamEnd, "it stays ended");
}

/// The first run's five bytes are all there is to refer to in the second.
#[test]
fn a_later_run_reaches_back_to_the_start_of_the_stream_and_no_further() {
    let first = bits(&[(0, 8), (5, 16), (!5 & 0xffff, 16), (0x6463_6261, 32), (0x65, 8)]);
    // Length 3, distance symbol 4 and its bit: 5 or 6 back.
    for (extra, expected) in [(0, Outcome::StreamEnd), (1, Outcome::Error(ErrorCode::DISTANCE_BEFORE_START))]
    {
        let mut inflater = Inflater::new();
        let mut out = [0; 5];
        let inflated = inflater.run(InputBits::new(&first), StopOn::AnyBlock, &mut out);
        assert_eq!((inflated.outcome, &out), (Outcome::BlockEnd, b"abcde"));
        let second = bits(&[(0b011, 3), code(1, 7), code(4, 5), (extra, 1), code(0, 7)]);
        let mut out = [0; 3];
        assert_eq!(inflater.run(InputBits::new(&second), StopOn::FinalBlock, &mut out).outcome, expected);
        if expected == Outcome::StreamEnd {
            assert_eq!(&out, b"abc");
        }
    }
}

/// Bits dropped at the front and ignored at the end are as if they were not there.
#[test]
fn input_may_begin_and_end_within_a_byte() {
    let data = samples::text(1000, 8);
    let stream = deflate(&data, 6);
    for shift in 0..8 {
        let mut shifted = vec![0; stream.len() + 2];
        for (at, &byte) in stream.iter().enumerate() {
            let bits = u16::from(byte) << shift;
            shifted[at] |= bits.to_le_bytes()[0];
            shifted[at + 1] |= bits.to_le_bytes()[1];
        }
        let mut out = vec![0; 1000];
        let input = InputBits::new(&shifted).skip(shift).ignore_end(16 - shift);
        assert_eq!(input.bits(), stream.len() * 8);
        let inflated = inflate(input, StopOn::FinalBlock, &mut out);
        assert_eq!(inflated.outcome, Outcome::StreamEnd, "shift {shift}");
        assert_eq!(inflated.consumed_bits.div_ceil(8), stream.len());
        assert_eq!(out, data);
        let cut = input.ignore_end(input.bits() - inflated.consumed_bits + 1);
        assert!(matches!(inflate(cut, StopOn::FinalBlock, &mut out).outcome, Outcome::InputEnd { .. }));
        let exact = input.ignore_end(input.bits() - inflated.consumed_bits);
        assert_eq!(inflate(exact, StopOn::FinalBlock, &mut out).outcome, Outcome::StreamEnd);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn valid_streams_agree_with_zlib(data in samples::any(4096), level in 0u32..=9, block in 1usize..5000) {
        let stream = deflate_in_blocks(&data, level, block);
        let (inflated, out) = whole(&stream, data.len());
        prop_assert_eq!(inflated.outcome, Outcome::StreamEnd);
        prop_assert_eq!(inflated.consumed_bytes(), stream.len());
        prop_assert_eq!(out, data);
    }

    #[test]
    fn mutated_streams_agree_with_zlib(
        data in samples::any(2000),
        level in 0u32..=9,
        flips in prop::collection::vec((any::<prop::sample::Index>(), 0u8..8), 1..4),
    ) {
        let mut stream = deflate_in_blocks(&data, level, 900);
        for (at, bit) in flips {
            let at = at.index(stream.len());
            stream[at] ^= 1 << bit;
        }
        agrees_with_zlib(&stream);
        stream.extend([0; 64]);
        agrees_with_zlib(&stream);
    }

    /// Input and output in pieces of any size come to the same as in one.
    #[test]
    fn pieces_make_the_whole(
        data in samples::any(9000),
        level in 0u32..=9,
        input_bytes in 1usize..600,
        output_bytes in 1usize..600,
    ) {
        let mut stream = Vec::new();
        for part in data.chunks(4096) {
            let mut deflater = Compress::new(Compression::new(level), false);
            let mut block = Vec::with_capacity(9000);
            deflater.compress_vec(part, &mut block, FlushCompress::Full).unwrap();
            stream.extend(block);
        }
        stream.extend([1, 0, 0, 0xff, 0xff]);
        let mut inflater = Inflater::new();
        let (mut out, mut consumed, mut end) = (Vec::new(), 0, input_bytes.min(stream.len()));
        loop {
            let mut buffer = vec![0; output_bytes];
            let input = InputBits::new(&stream[..end]).skip(consumed);
            let inflated = inflater.run(input, StopOn::FinalBlock, &mut buffer);
            consumed += inflated.consumed_bits;
            out.extend_from_slice(&buffer[..inflated.output_size]);
            match inflated.outcome {
                Outcome::StreamEnd => break,
                Outcome::Overflow => prop_assert_eq!(inflated.output_size, output_bytes),
                Outcome::InputEnd { .. } => {
                    prop_assert!(end < stream.len(), "input ends before the stream");
                    end = (end + input_bytes).min(stream.len());
                }
                outcome => prop_assert!(false, "{:?}", outcome),
            }
        }
        prop_assert_eq!(out, data);
        prop_assert_eq!(consumed, stream.len() * 8);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_agree_with_zlib(stream in prop::collection::vec(any::<u8>(), 0..200)) {
        agrees_with_zlib(&stream);
    }

    /// The first byte makes it a block of codes, fixed or dynamic, and the code length code likely complete.
    #[test]
    fn random_blocks_of_codes_agree_with_zlib(
        kind in 1u8..=2,
        counts in any::<[u8; 2]>(),
        rest in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let mut stream = vec![1 | kind << 1 | counts[0] << 3, counts[1]];
        stream.extend(rest);
        agrees_with_zlib(&stream);
    }
}
