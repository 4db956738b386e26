//! Races against one that walks alone. That this one is right, zlib says of the segments it is used for.

use flate2::{Compress, Compression, FlushCompress};

use super::super::Bits;
use super::*;

fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    })
    .flat_map(u64::to_le_bytes)
    .take(len)
    .collect()
}

fn words(len: usize) -> Vec<u8> {
    let words = include_str!("../race.rs").split_inclusive(' ').collect::<Vec<_>>();
    noise(len).iter().flat_map(|byte| words[usize::from(*byte)].bytes()).take(len).collect()
}

/// Compressed by zlib.
fn deflated(data: &[u8]) -> Vec<u8> {
    let mut stream = Vec::with_capacity(data.len() + 1000);
    let mut state = Compress::new(Compression::new(6), false);
    state.compress_vec(data, &mut stream, FlushCompress::Finish).expect("room");
    stream
}

/// A block made by hand: 127 literals have a codeword of 7 bits each, and what is left is the end of the block. Racers begin a
/// number of bits apart that 7 does not go into, and never fall into step.
fn literals_of_one_length(literals: &[u8]) -> Vec<u8> {
    let mut bits = vec![(1, 1), (2, 2), (0, 5), (0, 5), (15, 4)];
    // The code of lengths: 0, 1, 7 and 8, each in 2 bits.
    bits.extend([16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15].map(|len| match len {
        0 | 1 | 7 | 8 => (2, 3),
        _ => (0, 3),
    }));
    // Their codewords are 0 to 3 in that order, highest bit first.
    let [none, one, seven, eight] = [(0b00, 2), (0b10, 2), (0b01, 2), (0b11, 2)];
    bits.extend([seven; 127]);
    bits.push(eight);
    bits.extend([none; 128]);
    bits.extend([eight, one]);
    bits.extend(literals.iter().map(|literal| (u64::from(literal.reverse_bits() >> 1), 7)));
    bits.push((0xff, 8));
    let mut stream = Vec::new();
    let (mut word, mut filled) = (0_u64, 0);
    for (value, count) in bits {
        word |= value << filled;
        filled += count;
        while filled >= 8 {
            stream.push(word.to_le_bytes()[0]);
            (word, filled) = (word >> 8, filled - 8);
        }
    }
    stream.push(word.to_le_bytes()[0]);
    stream
}

/// The first block's codes, and where it begins behind them.
fn opened(stream: &[u8]) -> (Blocks, Cursor) {
    let (mut blocks, mut bits) = (Blocks::new(), Bits::new(stream));
    bits.refill();
    bits.take(1).expect("there");
    match bits.take(2) {
        Some(1) => blocks.fixed(),
        _ => blocks.dynamic(&mut bits),
    }
    .expect("a description of codes");
    let cursor = Cursor { at: bits.position(), table: 0 };
    (blocks, cursor)
}

/// Where one that walks alone finds the end of the block.
fn end_of(blocks: &Blocks, stream: &[u8], cursor: Cursor) -> Option<u64> {
    let mut bits = Bits::from_bit(stream, cursor.at)?;
    blocks.walk_alone(&mut bits, cursor.table)?;
    Some(bits.position())
}

#[test]
fn a_race_goes_where_one_alone_goes() {
    let few = noise(400_000).iter().map(|byte| byte & 7).collect();
    let samples = [(true, words(400_000)), (false, few), (false, vec![0; 9_000_000])];
    for (falls_into_step, data) in samples {
        let stream = deflated(&data);
        let (blocks, mut cursor) = opened(&stream);
        let expected = end_of(&blocks, &stream, cursor).expect("an end");
        let mut raced = 0;
        while let Some((next, went)) = blocks.race(&stream, cursor) {
            assert!(next.at > cursor.at && went != Went::Nowhere, "{went:?}");
            raced += usize::from(went == Went::On);
            cursor = next;
            if went == Went::End {
                break;
            }
            // Whatever is made of it, one that goes on from there ends where the block does.
            assert_eq!(end_of(&blocks, &stream, cursor), Some(expected));
        }
        assert!(raced > 0 || !falls_into_step, "nobody was met in {} bytes", stream.len());
    }
}

#[test]
fn codes_of_one_length_are_walked_through_alone() {
    let data: Vec<u8> = noise(300_000).iter().map(|byte| byte % 127).collect();
    let stream = literals_of_one_length(&data);
    let mut out = Vec::with_capacity(data.len());
    let mut state = flate2::Decompress::new(false);
    state.decompress_vec(&stream, &mut out, flate2::FlushDecompress::Finish).expect("zlib reads it");
    assert!(out == data);
    let (mut blocks, cursor) = opened(&stream);
    let (_, went) = blocks.race(&stream, cursor).expect("long enough");
    assert_eq!(went, Went::Astray);
    let last = blocks.last(&stream).expect("a stream");
    assert_eq!((last.begin, last.end.div_ceil(8)), (0, stream.len() as u64));
}

/// Ends of blocks in each part, and ends of the stream before each.
#[test]
fn blocks_and_streams_end_anywhere_in_a_race() {
    let mut blocks = Blocks::new();
    let text = words(300_000);
    for bytes in (1000..200_000).step_by(1777) {
        let mut stream = Vec::with_capacity(400_000);
        let mut state = Compress::new(Compression::new(6), false);
        state.compress_vec(&text[..bytes], &mut stream, FlushCompress::Full).expect("room");
        let begun = stream.len() as u64 * 8;
        state.compress_vec(&text[bytes..bytes + 100], &mut stream, FlushCompress::Finish).expect("room");
        let last = blocks.last(&stream).expect("a stream");
        assert_eq!(last.begin, begun, "{bytes} bytes, and the last block is what came after the flush");
        assert!(blocks.last(&stream[..stream.len() - 1]).is_none());
    }
}
