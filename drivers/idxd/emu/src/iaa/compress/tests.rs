//! zlib is the oracle: it has to make the input of what is written.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::num::NonZeroUsize;

use flate2::{Decompress, FlushDecompress, Status};
use proptest::prelude::*;

use super::super::histogram::Histogram;
use super::super::inflate::{Outcome, StopOn, inflate};
use super::super::samples::{self, bits, code};
use super::super::{HISTORY_BYTES, InputBits};
use super::*;

const ENDS: [EndProcessing; 4] =
    [EndProcessing::None, EndProcessing::Eob, EndProcessing::EobAndStored, EndProcessing::EobAndFinalStored];

/// Inflates a raw stream of `bytes` with zlib; it has to end where `stream` does.
fn zlib(stream: &[u8], bytes: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes + 1);
    let mut inflater = Decompress::new(false);
    let status = inflater.decompress_vec(stream, &mut out, FlushDecompress::Finish).expect("a valid stream");
    assert_eq!(status, Status::StreamEnd);
    assert_eq!(
        usize::try_from(inflater.total_in()).unwrap(),
        stream.len(),
        "the stream ends before its bytes do"
    );
    out
}

/// The header of a block of fixed codes.
fn fixed_header(final_block: bool) -> BitBuffer {
    BitBuffer::from_bytes(&[0b010 | u8::from(final_block)], 3).unwrap()
}

/// Compresses into a vector that is as long as it may have to be.
fn compressed(
    input: &[u8],
    tables: &Tables,
    header: &BitBuffer,
    end: EndProcessing,
    options: MatchOptions,
) -> Result<Vec<u8>, CompressError> {
    let mut out = vec![0; input.len() * 2 + 320];
    let mut accumulator = header.clone();
    let done = compress(input, tables, &mut accumulator, end, options, true, &mut out)?;
    assert_eq!(accumulator, BitBuffer::new(), "a flush leaves nothing");
    out.truncate(done.output_size);
    Ok(out)
}

fn fixed(input: &[u8], options: MatchOptions) -> Vec<u8> {
    compressed(input, &Tables::fixed(), &fixed_header(true), EndProcessing::Eob, options).unwrap()
}

/// The lengths of a Huffman code for `counts`, none over 15 bits; 0 for a count of 0.
fn huffman_lengths(counts: &[u32]) -> Vec<u8> {
    let mut counts: Vec<u64> = counts.iter().map(|&count| count.into()).collect();
    loop {
        let mut heap: BinaryHeap<_> = (0..counts.len())
            .filter(|&at| counts[at] > 0)
            .map(|at| Reverse((counts[at], vec![at])))
            .collect();
        let mut lengths = vec![0; counts.len()];
        if heap.len() == 1 {
            lengths[heap.pop().unwrap().0.1[0]] = 1;
        }
        while let (Some(Reverse(a)), Some(Reverse(b))) = (heap.pop(), heap.pop()) {
            let members = [a.1, b.1].concat();
            members.iter().for_each(|&at| lengths[at] += 1);
            if !heap.is_empty() {
                heap.push(Reverse((a.0 + b.0, members)));
            }
        }
        if lengths.iter().all(|&length| length <= 15) {
            return lengths;
        }
        counts.iter_mut().filter(|count| **count > 0).for_each(|count| *count = *count / 2 + 1);
    }
}

/// Tables made for `counts`, and the header of a block with them: every length as itself, in four bits.
fn dynamic(counts: &Histogram, final_block: bool) -> (Tables, BitBuffer) {
    let (literal_length, distance) =
        (huffman_lengths(&counts.literal_length), huffman_lengths(&counts.distance));
    let mut groups = vec![(0b100 | u32::from(final_block), 3), (286 - 257, 5), (30 - 1, 5), (15, 4)];
    groups.extend((0..19).map(|at| (if at < 3 { 0 } else { 4 }, 3)));
    groups.extend(literal_length.iter().chain(&distance).map(|&length| code(length.into(), 4)));
    (Tables::canonical(&literal_length, &distance), accumulator(&groups))
}

fn accumulator(groups: &[(u32, u32)]) -> BitBuffer {
    let count: u32 = groups.iter().map(|group| group.1).sum();
    BitBuffer::from_bytes(&bits(groups), count.try_into().unwrap()).unwrap()
}

#[test]
fn fixed_blocks_of_every_length_inflate_to_the_input() {
    let lengths = [
        0, 1, 2, 3, 4, 5, 7, 8, 9, 257, 258, 259, 260, 261, 262, 516, 4095, 4096, 4097, 8192, 32767, 32768,
        32769,
    ];
    for length in lengths {
        for (name, data) in samples::all(length) {
            let stream = fixed(&data, MatchOptions::default());
            assert!(zlib(&stream, length) == data, "{length} bytes of {name}");
        }
    }
}

#[test]
fn two_megabytes_inflate_to_the_input_with_tables_of_their_own() {
    for length in [(2 << 20) - 1, 2 << 20, (2 << 20) + 1] {
        for (name, data) in samples::all(length) {
            let counts = Histogram::of(&data, MatchOptions::default(), EndProcessing::Eob);
            let (tables, header) = dynamic(&counts, true);
            let stream =
                compressed(&data, &tables, &header, EndProcessing::Eob, MatchOptions::default()).unwrap();
            assert!(zlib(&stream, length) == data, "{length} bytes of {name}");
            let mut out = vec![0; length];
            let ours = inflate(InputBits::new(&stream), StopOn::FinalBlock, &mut out);
            assert_eq!(ours.outcome, Outcome::StreamEnd, "{name}: every distance is in the history");
            assert!(out == data, "{length} bytes of {name}");
        }
    }
}

/// A matcher that finds little would pass the other tests: with tables of its own a block comes close to what
/// zlib makes with a window eight times as long.
#[test]
fn a_block_is_not_much_larger_than_zlibs() {
    for (name, data) in samples::all(1 << 18) {
        let counts = Histogram::of(&data, MatchOptions::default(), EndProcessing::Eob);
        let (tables, header) = dynamic(&counts, true);
        let bytes =
            compressed(&data, &tables, &header, EndProcessing::Eob, MatchOptions::default()).unwrap().len();
        let mut zlibs = Vec::with_capacity(data.len() * 2);
        let mut deflater = flate2::Compress::new(flate2::Compression::new(1), false);
        deflater.compress_vec(&data, &mut zlibs, flate2::FlushCompress::Finish).unwrap();
        assert!(bytes <= zlibs.len() * 5 / 4, "{name}: {bytes} bytes, zlib {}", zlibs.len());
    }
}

/// The pattern recurs after exactly the history, and one byte later.
#[test]
fn a_match_reaches_back_4096_bytes_and_no_more() {
    let literals = fixed(&samples::random(HISTORY_BYTES, 21), MatchOptions::default()).len();
    for (gap, found) in [(HISTORY_BYTES, true), (HISTORY_BYTES + 1, false)] {
        let mut data = samples::random(gap, 21);
        data.extend_from_within(..200);
        let stream = fixed(&data, MatchOptions::default());
        assert_eq!(zlib(&stream, data.len()), data);
        assert_eq!(stream.len() < literals + 100, found, "{gap} back: {} bytes", stream.len());
    }
}

#[test]
fn all_literals_writes_no_reference() {
    let data = vec![b'a'; 1000];
    let literals = MatchOptions { all_literals: true, ..MatchOptions::default() };
    // Three bits of header, eight for each byte, seven for the end.
    let stream = fixed(&data, literals);
    assert_eq!(stream.len(), (3 + 8 * 1000 + 7usize).div_ceil(8));
    assert_eq!(zlib(&stream, 1000), data);
}

#[test]
fn matches_are_no_longer_than_allowed() {
    for length_max in [0, 2, 3, 4, 34, 257, 258, 1000] {
        let options = MatchOptions { length_max, ..MatchOptions::default() };
        let counts = Histogram::of(&[0; 10_000], options, EndProcessing::None);
        let longest = counts.literal_length.iter().rposition(|&count| count > 0).unwrap();
        let expected = match length_max {
            0 | 2 => 0,
            3 => 257,
            4 => 258,
            34 => 272,
            257 => 284,
            _ => 285,
        };
        assert_eq!(longest, expected, "up to {length_max}");
        assert_eq!(zlib(&fixed(&[0; 10_000], options), 10_000), [0; 10_000]);
    }
}

/// Every miniblock compresses to the same bits alone and after the others, so none refers to another.
#[test]
fn miniblocks_do_not_refer_to_each_other() {
    let miniblock = 512;
    let options = MatchOptions { miniblock_bytes: NonZeroUsize::new(miniblock), ..MatchOptions::default() };
    for (name, data) in samples::all(512 * 8 + 100) {
        let together = Histogram::of(&data, options, EndProcessing::None);
        let mut apart = Histogram { literal_length: [0; 286], distance: [0; 30] };
        for part in data.chunks(miniblock) {
            let counts = Histogram::of(part, MatchOptions::default(), EndProcessing::None);
            apart.literal_length.iter_mut().zip(counts.literal_length).for_each(|(sum, count)| *sum += count);
            apart.distance.iter_mut().zip(counts.distance).for_each(|(sum, count)| *sum += count);
        }
        assert_eq!(together, apart, "{name}");
        assert!(zlib(&fixed(&data, options), data.len()) == data, "{name}");
    }
}

#[test]
fn the_end_is_what_was_asked_for() {
    let of =
        |end| compressed(b"", &Tables::fixed(), &fixed_header(false), end, MatchOptions::default()).unwrap();
    assert_eq!(of(EndProcessing::None), [0b010]);
    assert_eq!(of(EndProcessing::Eob), [0b010, 0]);
    // Ten bits of block, three of stored header, three of padding.
    assert_eq!(of(EndProcessing::EobAndStored), [0b010, 0, 0, 0, 0xff, 0xff]);
    assert_eq!(of(EndProcessing::EobAndFinalStored), [0b010, 0b100, 0, 0, 0xff, 0xff]);
}

/// Each segment begins with a header of its own and ends at a byte; the last has the final stored block.
#[test]
fn segments_that_end_in_a_stored_block_form_one_stream() {
    for (name, data) in samples::all(10_000) {
        for segment in [1, 100, 4096, 9_999] {
            let mut stream = Vec::new();
            for part in data.chunks(segment) {
                let counts = Histogram::of(part, MatchOptions::default(), EndProcessing::EobAndStored);
                let (tables, header) = if segment == 4096 {
                    dynamic(&counts, false)
                } else {
                    (Tables::fixed(), fixed_header(false))
                };
                let end = EndProcessing::EobAndStored;
                stream.extend(compressed(part, &tables, &header, end, MatchOptions::default()).unwrap());
            }
            let end = EndProcessing::EobAndFinalStored;
            let tables = Tables::fixed();
            stream.extend(
                compressed(b"", &tables, &fixed_header(false), end, MatchOptions::default()).unwrap(),
            );
            assert!(zlib(&stream, data.len()) == data, "{name} in segments of {segment}");
        }
    }
}

/// Without a flush the bits go from one descriptor to the next in the accumulator, within one block.
#[test]
fn a_job_of_many_descriptors_writes_one_block() {
    for (name, data) in samples::all(3000) {
        let (mut accumulator, mut stream) = (fixed_header(true), Vec::new());
        let mut parts = data.chunks(321).peekable();
        while let Some(part) = parts.next() {
            let mut out = vec![0; 1000];
            let last = parts.peek().is_none();
            let end = if last { EndProcessing::Eob } else { EndProcessing::None };
            let options = MatchOptions::default();
            let done =
                compress(part, &Tables::fixed(), &mut accumulator, end, options, last, &mut out).unwrap();
            assert!(last || done.output_size.is_multiple_of(8) && accumulator.bits() < 64);
            stream.extend_from_slice(&out[..done.output_size]);
        }
        assert!(zlib(&stream, data.len()) == data, "{name}");
    }
}

#[test]
fn output_bits_are_those_of_the_last_byte() {
    for bytes in 0..20 {
        let mut out = [0xff; 64];
        // Nine bits each, and three of header.
        let done = compress(
            &vec![200; bytes],
            &Tables::fixed(),
            &mut fixed_header(true),
            EndProcessing::None,
            MatchOptions { all_literals: true, ..MatchOptions::default() },
            true,
            &mut out,
        )
        .unwrap();
        assert_eq!(done.output_size, (3 + 9 * bytes).div_ceil(8));
        assert_eq!(usize::from(done.output_bits), (3 + 9 * bytes) % 8);
        assert!(
            out[done.output_size..].iter().all(|&byte| byte == 0xff),
            "nothing beyond the output is written"
        );
        if done.output_bits > 0 {
            assert_eq!(out[done.output_size - 1] >> done.output_bits, 0, "the rest of the byte is 0");
        }
    }
}

#[test]
fn a_buffer_one_byte_short_overflows_and_keeps_the_accumulator() {
    for (name, data) in samples::all(700) {
        for end in ENDS {
            let needed =
                compressed(&data, &Tables::fixed(), &fixed_header(true), end, MatchOptions::default())
                    .unwrap()
                    .len();
            for room in 0..=needed {
                let mut accumulator = fixed_header(true);
                let mut out = vec![0; room];
                let options = MatchOptions::default();
                let done = compress(&data, &Tables::fixed(), &mut accumulator, end, options, true, &mut out);
                if room == needed {
                    assert_eq!(done.map(|done| done.output_size), Ok(needed), "{name}, {end:?}");
                } else {
                    assert_eq!(done, Err(CompressError::Overflow), "{name}, {end:?}, {room} of {needed}");
                    assert_eq!(accumulator, fixed_header(true));
                }
            }
        }
    }
    assert_eq!(CompressError::Overflow.code(), ErrorCode::OUTPUT_OVERFLOW);
}

/// Each symbol that the input needs, taken away in turn.
#[test]
fn a_symbol_of_length_0_is_an_error_when_it_is_used() {
    let data = b"abcabcabcabcabcx";
    let counts = Histogram::of(data, MatchOptions::default(), EndProcessing::Eob);
    let run = |tables: &Tables, end| {
        compressed(data, tables, &fixed_header(true), end, MatchOptions::default()).map(|_| ())
    };
    let mut used = 0;
    for symbol in 0..286 + 30 {
        let mut tables = Tables::fixed();
        let (code, count) = match symbol {
            0..286 => (&mut tables.literal_length[symbol], counts.literal_length[symbol]),
            _ => (&mut tables.distance[symbol - 286], counts.distance[symbol - 286]),
        };
        *code = Code::new(0, 0);
        used += usize::from(count > 0);
        let expected = if count > 0 { Err(CompressError::MissingCode) } else { Ok(()) };
        assert_eq!(run(&tables, EndProcessing::Eob), expected, "symbol {symbol}");
    }
    assert_eq!(used, 7, "a, b, c, x, the end, a length and a distance");
    let mut tables = Tables::fixed();
    tables.literal_length[256] = Code::new(0, 0);
    assert_eq!(run(&tables, EndProcessing::None), Ok(()), "the end is not written");
    assert_eq!(CompressError::MissingCode.code(), ErrorCode::HUFFMAN_CODE);
}

/// A stored block, a header and five literals of nine bits: 2048 bits, which is all an accumulator holds.
#[test]
fn a_full_accumulator_comes_first() {
    let stored = samples::random(245, 31);
    let mut groups = vec![(0, 8), (245, 16), (!245 & 0xffff, 16)];
    groups.extend(stored.iter().map(|&byte| (byte.into(), 8)));
    groups.push((0b010, 3));
    groups.extend([code(0x1c8, 9); 5]);
    let full = accumulator(&groups);
    assert_eq!(full.bits(), BitBuffer::BITS_MAX);
    let end = EndProcessing::EobAndFinalStored;
    let stream = compressed(b"tail", &Tables::fixed(), &full, end, MatchOptions::default()).unwrap();
    assert_eq!(zlib(&stream, 300), [&stored[..], &[200; 5], b"tail"].concat());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn streams_inflate_to_the_input(
        data in samples::any(20_000),
        fixed_codes in any::<bool>(),
        length_max in 3usize..=258,
        miniblock in prop::option::of((9u32..16).prop_map(|bits| 1usize << bits)),
        end in 1usize..4,
    ) {
        let options = MatchOptions {
            all_literals: false,
            miniblock_bytes: miniblock.and_then(NonZeroUsize::new),
            length_max,
            ..MatchOptions::default()
        };
        let end = ENDS[end];
        let final_block = end == EndProcessing::Eob;
        let (tables, header) = if fixed_codes {
            (Tables::fixed(), fixed_header(final_block))
        } else {
            dynamic(&Histogram::of(&data, options, end), final_block)
        };
        let mut stream = compressed(&data, &tables, &header, end, options).unwrap();
        if end == EndProcessing::EobAndStored {
            stream.extend([1, 0, 0, 0xff, 0xff]);
        }
        prop_assert_eq!(zlib(&stream, data.len()), data.clone());
        let mut out = vec![0; data.len()];
        prop_assert_eq!(inflate(InputBits::new(&stream), StopOn::FinalBlock, &mut out).outcome, Outcome::StreamEnd);
        prop_assert_eq!(out, data);
    }
}
