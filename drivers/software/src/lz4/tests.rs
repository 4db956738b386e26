//! Judged by the LZ4 project's own library.

use std::io::{Read as _, Write as _};

use lz4::liblz4::BlockChecksum;
use lz4::{BlockMode, BlockSize, ContentChecksum, Decoder, EncoderBuilder};
use proptest::prelude::*;

use super::*;
use crate::frame::{Format, FrameError};
use crate::{Level, Window};

/// Words of several kinds, and noise.
fn sample(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let mut bytes = Vec::with_capacity(len + 64);
    while bytes.len() < len {
        let [kind, noise @ ..] = next();
        match kind % 4 {
            0 => bytes.extend(noise),
            1 => bytes.extend(b"a swallow does not make a summer; "),
            2 => bytes.extend([noise[0]; 50]),
            _ => bytes.extend_from_within(bytes.len() / 2..(bytes.len() / 2 + 40).min(bytes.len())),
        }
    }
    bytes.truncate(len);
    bytes
}

/// A frame as the engine puts it together, of parts.
fn frame(data: &[u8], part: usize) -> Vec<u8> {
    let mut frame = Format::Lz4.header(Level::DEFAULT, Window::DEFLATE).to_vec();
    for part in data.chunks(part) {
        let mut room = vec![0; lz4_blocks_bound(part.len())];
        let made = lz4_compress_blocks(part, &mut room).expect("room enough");
        frame.extend_from_slice(&room[..made]);
    }
    frame.extend_from_slice(&Format::Lz4.trailer(Xxh32::of(data), data.len() as u64));
    frame
}

fn theirs(frame: &[u8]) -> Vec<u8> {
    let mut decoder = Decoder::new(frame).expect("a decoder");
    let mut out = Vec::new();
    decoder.read_to_end(&mut out).expect("a frame");
    let (rest, ended) = decoder.finish();
    ended.expect("the frame has ended");
    assert!(rest.is_empty());
    out
}

#[derive(Clone, Copy, Debug)]
struct How {
    linked: bool,
    checked: bool,
    summed: bool,
    sized: bool,
    size: usize,
}

fn encoded(data: &[u8], how: How) -> Vec<u8> {
    let sizes = [BlockSize::Max64KB, BlockSize::Max256KB, BlockSize::Max1MB, BlockSize::Max4MB];
    let mut builder = EncoderBuilder::new();
    builder
        .block_size(sizes[how.size % 4].clone())
        .block_mode(if how.linked { BlockMode::Linked } else { BlockMode::Independent })
        .checksum(if how.summed { ContentChecksum::ChecksumEnabled } else { ContentChecksum::NoChecksum })
        .block_checksum(match how.checked {
            true => BlockChecksum::BlockChecksumEnabled,
            false => BlockChecksum::NoBlockChecksum,
        });
    if how.sized {
        builder.content_size(data.len() as u64);
    }
    let mut encoder = builder.build(Vec::new()).expect("an encoder");
    encoder.write_all(data).expect("memory");
    let (frame, ended) = encoder.finish();
    ended.expect("memory");
    frame
}

fn parsed(frame: &[u8]) -> Lz4Header {
    match Lz4Start::parse(frame) {
        Ok(Lz4Start::Frame(header)) => header,
        other => panic!("{other:?}"),
    }
}

/// The blocks of a frame, and what follows the mark behind them.
fn taken_apart(frame: &[u8]) -> (Lz4Header, &[u8], &[u8]) {
    let header = parsed(frame);
    let rest = &frame[header.bytes..];
    let len = lz4_blocks_len(rest, header.blocks).expect("blocks");
    (header, &rest[..len], &rest[len + WORD_BYTES..])
}

/// By pieces of a few sizes.
fn in_pieces(
    header: &Lz4Header,
    rest: &[u8],
    input: usize,
    output: usize,
) -> Result<(Vec<u8>, usize), Lz4Error> {
    let mut expander = Lz4Expander::new(header.blocks);
    let (mut out, mut at, mut room) = (Vec::new(), 0, vec![0; output]);
    loop {
        let step = expander.expand_some(&rest[at..rest.len().min(at + input)], &mut room)?;
        at += step.read;
        out.extend_from_slice(&room[..step.written]);
        if step.ended {
            return Ok((out, at));
        }
        assert!(step.read + step.written > 0 || at == rest.len(), "stands still at {at}");
        if step.read + step.written == 0 {
            return Ok((out, at));
        }
    }
}

#[test]
fn the_reference_reads_what_is_made() {
    for len in [0, 1, 12, 13, 65535, 65536, 65537, 1 << 20] {
        for part in [1 << 16, 1 << 18, 100_000] {
            let data = sample(len);
            assert_eq!(theirs(&frame(&data, part)), data, "{len} in parts of {part}");
        }
    }
    let noise: Vec<u8> =
        (0..200_000_u32).flat_map(|i| i.wrapping_mul(0x9e37_79b1).rotate_left(7).to_le_bytes()).collect();
    let made = frame(&noise, 1 << 16);
    assert!(made.len() <= noise.len() + 15 + 4 * (noise.len() / LZ4_BLOCK_BYTES + 1), "{}", made.len());
    assert_eq!(theirs(&made), noise);
}

#[test]
fn too_little_room_is_an_error_and_the_bound_is_enough() {
    let data = sample(200_000);
    let mut room = vec![0; lz4_blocks_bound(data.len())];
    let made = lz4_compress_blocks(&data, &mut room).expect("the bound is enough");
    assert!(lz4_compress_blocks(&data, &mut room[..made]).is_ok());
    let error = lz4_compress_blocks(&data, &mut room[..made - 1]).expect_err("a byte too few");
    assert_eq!(error.room, made - 1);
}

proptest! {
    #[test]
    fn what_the_reference_makes_is_read(
        len in 0_usize..300_000,
        linked: bool, checked: bool, summed: bool, sized: bool,
        size in 0_usize..4,
        input in prop_oneof![Just(1_usize), 2_usize..5000, Just(usize::MAX >> 1)],
        output in prop_oneof![Just(1_usize << 18), 1_usize..3000],
    ) {
        let data = sample(len);
        let stream = encoded(&data, How { linked, checked, summed, sized, size });
        let (header, blocks, trailer) = taken_apart(&stream);
        prop_assert_eq!((header.blocks.linked, header.blocks.checked, header.has_checksum), (linked, checked, summed));
        prop_assert_eq!(header.content_bytes, sized.then_some(len as u64).filter(|len| *len != 0));
        let mut out = vec![0; len];
        prop_assert_eq!(lz4_expand_blocks(blocks, &mut out, header.blocks), Ok(len));
        prop_assert_eq!(&out, &data);
        prop_assert_eq!(header.check_trailer(trailer, Xxh32::of(&data), len as u64), Ok(trailer.len()));
        let (out, read) = in_pieces(&header, &stream[header.bytes..], input, output).unwrap();
        prop_assert_eq!(out, data);
        prop_assert_eq!(read, blocks.len() + WORD_BYTES);
    }

    #[test]
    fn damage_is_an_error_or_other_data_and_never_a_panic(
        at in 0_usize..10_000, bit in 0_u8..8, cut in 0_usize..10_000, linked: bool, checked: bool, output in 1_usize..70_000,
    ) {
        let data = sample(30_000);
        let mut stream = encoded(&data, How { linked, checked, summed: true, sized: false, size: 0 });
        let at = at % stream.len();
        stream[at] ^= 1 << bit;
        stream.truncate(stream.len() - cut % (stream.len() / 2));
        let Ok(Lz4Start::Frame(header)) = Lz4Start::parse(&stream) else { return Ok(()) };
        let rest = &stream[header.bytes..];
        let whole = lz4_blocks_len(rest, header.blocks).and_then(|len| {
            let mut out = vec![0; 30_000];
            let made = lz4_expand_blocks(&rest[..len], &mut out, header.blocks)?;
            Ok(out[..made].to_vec())
        });
        let pieces = in_pieces(&header, rest, 777, output);
        if checked && at >= header.bytes && let Ok(out) = &whole {
            // Only the trailer was hit.
            prop_assert_eq!(out, &data);
        }
        if let (Ok(whole), Ok((pieces, _))) = (&whole, &pieces) {
            prop_assert_eq!(whole, pieces);
        }
    }

    #[test]
    fn any_bytes_are_parsed(bytes in prop::collection::vec(any::<u8>(), 0..64), sound: bool) {
        let mut bytes = bytes;
        if sound && bytes.len() > 4 {
            bytes[..4].copy_from_slice(&0x184d_2204_u32.to_le_bytes());
            bytes[4] = bytes[4] & 0x3c | 0x40;
        }
        let _ = Lz4Start::parse(&bytes);
        let _ = in_pieces(&Lz4Header { bytes: 0, blocks: Lz4Blocks::PLAIN, has_checksum: false, content_bytes: None }, &bytes, 7, 9);
    }
}

#[test]
fn room_that_is_too_small_and_blocks_that_are_too_large_are_told_apart() {
    let data = sample(150_000);
    let stream = encoded(&data, How { linked: false, checked: false, summed: false, sized: false, size: 0 });
    let (header, blocks, _) = taken_apart(&stream);
    let mut out = vec![0; 149_999];
    assert_eq!(
        lz4_expand_blocks(blocks, &mut out, header.blocks),
        Err(Lz4Error::OutputFull { room: 149_999 })
    );
    let mut out = vec![0; 150_000];
    // Its blocks come to 64 KiB; a frame that promised less lies.
    let narrow = Lz4Blocks { block_bytes_max: 60_000, ..header.blocks };
    assert_eq!(lz4_expand_blocks(blocks, &mut out, narrow), Err(Lz4Error::Corrupt { offset: 0 }));
    assert_eq!(
        in_pieces(&Lz4Header { blocks: narrow, ..header }, &stream[header.bytes..], 1000, 1000),
        Err(Lz4Error::Corrupt { offset: 0 })
    );
    assert_eq!(
        lz4_expand_blocks(&blocks[..blocks.len() - 1], &mut out, header.blocks),
        Err(Lz4Error::Truncated { len: blocks.len() as u64 - 1 })
    );
}

/// Found by fuzzing: a reader of frames that stops there calls it the end.
#[test]
fn what_follows_a_block_that_comes_to_nothing_is_read() {
    // A frame without a checksum; a block of one byte, which has no literals; five bytes that are stored.
    let header = [4, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82];
    let blocks = [&[1, 0, 0, 0, 0, 5, 0, 0, 0x80][..], b"after"].concat();
    let mut out = Vec::new();
    let frame = [&header[..], &blocks, &[0; 4]].concat();
    Decoder::new(&frame[..]).expect("a decoder").read_to_end(&mut out).expect("a frame");
    assert_eq!(out, b"after", "the project's own library");
    let Ok(Lz4Start::Frame(found)) = Lz4Start::parse(&frame) else { panic!("a frame") };
    let mut room = [0; 100];
    assert_eq!(lz4_expand_blocks(&blocks, &mut room, found.blocks).expect("expands"), 5);
    assert_eq!(&room[..5], b"after");
    let mut expander = Lz4Expander::new(found.blocks);
    let step = expander.expand_some(&frame[header.len()..], &mut room).expect("expands");
    assert_eq!((step.written, step.ended, &room[..5]), (5, true, &b"after"[..]));
}

#[test]
fn a_damaged_block_is_named_by_its_place() {
    let data = sample(150_000);
    let stream = encoded(&data, How { linked: true, checked: true, summed: false, sized: false, size: 0 });
    let (header, blocks, _) = taken_apart(&stream);
    let second = word(blocks, 0).unwrap() as usize + 2 * WORD_BYTES;
    let mut damaged = stream.clone();
    damaged[header.bytes + second + WORD_BYTES + 100] ^= 1;
    let rest = &damaged[header.bytes..];
    let error = lz4_expand_blocks(&rest[..blocks.len()], &mut vec![0; 150_000], header.blocks);
    assert!(
        matches!(error, Err(Lz4Error::BlockChecksum { offset, .. }) if offset == second as u64),
        "{error:?}"
    );
    assert_eq!(in_pieces(&header, rest, 500, 500).map(|_| 0), error);
}

#[test]
fn descriptors_that_cannot_be_followed_say_why() {
    let stream =
        encoded(b"swallow", How { linked: false, checked: false, summed: true, sized: true, size: 0 });
    let with = |at: usize, byte: u8| {
        let mut stream = stream.clone();
        stream[at] = byte;
        Lz4Start::parse(&stream)
    };
    let flags = stream[4];
    assert!(matches!(with(0, 5), Err(FrameError::WrongMagic { format: Format::Lz4, found: [5, 0x22] })));
    assert!(matches!(with(4, flags & 0x3f | 0x80), Err(FrameError::UnknownMethod { method: 2, offset: 4 })));
    assert!(matches!(with(4, flags | 2), Err(FrameError::ReservedFlags { flags: 2, offset: 4 })));
    assert!(matches!(with(5, 0x41), Err(FrameError::ReservedFlags { flags: 1, offset: 5 })));
    assert!(matches!(with(5, 0x30), Err(FrameError::UnknownMethod { method: 3, offset: 5 })));
    assert!(matches!(with(14, !stream[14]), Err(FrameError::HeaderChecksum { offset: 14, .. })));
    for len in 0..15 {
        let short = Lz4Start::parse(&stream[..len]);
        assert!(
            matches!(short, Err(FrameError::Truncated { offset, .. }) if offset == len),
            "{len}: {short:?}"
        );
    }
    let mut dictionary = [MAGIC_AND_DICTIONARY.as_slice(), &[0; 4]].concat();
    let [_, check, ..] = Xxh32::of(&dictionary[4..10]).to_le_bytes();
    dictionary.push(check);
    assert_eq!(Lz4Start::parse(&dictionary), Err(FrameError::DictionaryRequired { offset: 6 }));
    assert_eq!(Lz4Start::parse(&[0x5a, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1]), Ok(Lz4Start::Skip(11)));
    assert!(matches!(Lz4Start::parse(&[0x02, 0x21, 0x4c, 0x18, 0, 0]), Err(FrameError::WrongMagic { .. })));
}

/// Independent blocks of 64 KiB, and a dictionary.
const MAGIC_AND_DICTIONARY: [u8; 6] = [0x04, 0x22, 0x4d, 0x18, 0x61, 0x40];

#[test]
fn a_content_that_is_not_what_the_frame_says_is_refused() {
    let stream =
        encoded(b"swallow", How { linked: false, checked: false, summed: true, sized: true, size: 0 });
    let (header, _, trailer) = taken_apart(&stream);
    let sum = Xxh32::of(b"swallow");
    assert_eq!(header.check_trailer(trailer, sum, 7), Ok(4));
    assert_eq!(header.check_trailer(trailer, sum, 8), Err(FrameError::ContentSize { stored: 7, found: 8 }));
    let error = header.check_trailer(trailer, sum ^ 1, 7);
    assert!(matches!(error, Err(FrameError::ChecksumMismatch { offset: 0, .. })), "{error:?}");
    assert!(matches!(
        header.check_trailer(&trailer[..3], sum, 7),
        Err(FrameError::Truncated { offset: 3, .. })
    ));
}

#[test]
fn the_sum_goes_on_from_piece_to_piece() {
    let data = sample(10_000);
    let mut sum = Xxh32::new();
    data.chunks(77).for_each(|part| sum.update(part));
    assert_eq!(sum.value(), Xxh32::of(&data));
    // Of the specification of xxHash: nothing, and a word.
    assert_eq!((Xxh32::new().value(), Xxh32::of(b"abc")), (0x02cc_5d05, 0x32d1_53ff));
}
