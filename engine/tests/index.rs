//! Streams with an index: each block expanded by itself, by the engine on both devices and by Python's zlib.

#[path = "../../drivers/software/tests/oracle/mod.rs"]
mod oracle;

use std::io::Write;
use std::ops::Range;

use svala_engine::{
    Compression, DecompressError, Device, Engine, Error, Format, Index, IndexBlock, Path, Segments, block_on,
    compressed_bytes_max,
};

use oracle::filter;

fn engine(device: Device) -> Engine {
    Engine::builder().device(device).open().expect("opens")
}

/// Words, noise and zeros by turns, in stretches that are no whole segments.
fn data(len: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut data = Vec::new();
    while data.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        match state % 5 {
            0 => data.extend(
                (0..997_u32).map(|nth| (state.rotate_left(nth) ^ state >> (nth % 40)).to_le_bytes()[0]),
            ),
            1 => data.extend([0; 1234]),
            _ => data.extend(format!("swallow {} of {}, ", state % 977, state % 31).bytes()),
        }
    }
    data.truncate(len);
    data
}

fn part<'a>(bytes: &'a [u8], range: &Range<u64>) -> &'a [u8] {
    &bytes[usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap()]
}

/// Expands a stretch of a stream by itself, as what it is: deflate with nothing before it.
const PYTHON: &str = "import sys, zlib; d = zlib.decompressobj(-15); start, end = int(sys.argv[1]), int(sys.argv[2]); \
    sys.stdout.buffer.write(d.decompress(sys.stdin.buffer.read()[start:end])); assert not d.unused_data";

/// A stream written with flushes at odd places, and its index.
fn indexed(engine: &Engine, data: &[u8], format: Format, level: u8) -> (Vec<u8>, Index) {
    let mut writer = engine.compress_writer(Vec::new(), Compression { format, level }).indexed();
    let (first, rest) = data.split_at(data.len() / 3);
    writer.write_all(first).expect("writes");
    writer.flush().expect("flushes");
    writer.write_all(rest).expect("writes");
    let (stream, index) = writer.finish_indexed().expect("ends");
    (stream, index.expect("asked for"))
}

fn expand(
    engine: &Engine,
    stream: &[u8],
    block: &IndexBlock,
    room: usize,
    format: Format,
) -> Result<(Vec<u8>, Path), DecompressError> {
    let src = part(stream, &block.stream).to_vec();
    let done = block_on(engine.decompress_block(src, vec![0; room], block, format)).map_err(
        |(error, buffers)| {
            assert!(buffers.is_some(), "the buffers come back");
            error
        },
    )?;
    let (_, mut out) = done.buffers;
    out.truncate(usize::try_from(done.value).unwrap());
    Ok((out, done.report.path))
}

#[test]
fn each_block_is_expanded_by_itself() {
    let data = data(1_700_000);
    for device in [Device::Software, Device::Emulated] {
        let engine = engine(device.clone());
        for (format, level) in [(Format::Gzip, 6), (Format::Zlib, 1), (Format::Raw, 9)] {
            let (stream, index) = indexed(&engine, &data, format, level);
            assert_eq!(index.data_bytes(), data.len() as u64);
            assert!(index.blocks().len() > 6, "segments of 256 KiB: {}", index.blocks().len());
            for (nth, block) in index.blocks().iter().enumerate().rev() {
                let wanted = part(&data, &block.data);
                let (out, path) = expand(&engine, &stream, block, wanted.len(), format).expect("a block");
                assert!(out == wanted, "{device:?}, {format:?}: block {nth}");
                let is_device = matches!(device, Device::Emulated) && format != Format::Zlib;
                assert_eq!(matches!(path, Path::Software { .. }), !is_device, "{format:?}: {path}");
                if nth % 3 == 0 {
                    let (start, end) = (block.stream.start.to_string(), block.stream.end.to_string());
                    assert!(
                        filter("python3", &["-c", PYTHON, &start, &end], &stream) == wanted,
                        "block {nth}"
                    );
                }
            }
            if format == Format::Gzip {
                assert!(filter("gzip", &["-dc"], &stream) == data, "an index changes nothing");
            }
        }
    }
}

/// A device is offered what the CPU made, cannot reach back as far, and the CPU does it.
#[test]
fn blocks_with_a_window_of_32_kib_go_to_the_cpu() {
    let data = data(600_000);
    let (stream, index) = indexed(&engine(Device::Software), &data, Format::Gzip, 6);
    let emulated = engine(Device::Emulated);
    for block in index.blocks() {
        let wanted = part(&data, &block.data);
        let (out, path) = expand(&emulated, &stream, block, wanted.len(), Format::Gzip).expect("a block");
        assert!(out == wanted && matches!(path, Path::Software { .. }), "{path}");
    }
}

#[test]
fn segments_made_by_hand_have_an_index_as_well() {
    let engine = engine(Device::Software);
    let how = Compression { format: Format::Gzip, level: 6 };
    let mut segments = Segments::indexed(how);
    let mut stream = segments.header().to_vec();
    let pieces: [&[u8]; 4] = [b"swallow, ", b"", b"swallow", b""];
    for (nth, piece) in pieces.iter().enumerate() {
        let room = vec![0; compressed_bytes_max(piece.len())];
        let done = block_on(engine.segment(piece.to_vec(), room, how, nth == 3)).expect("compresses");
        segments.add(&done.value, &done.buffers.0).expect("memory");
        stream.extend(&done.buffers.1[..usize::try_from(done.value.written).unwrap()]);
    }
    stream.extend(&*segments.trailer());
    assert!(filter("gzip", &["-dc"], &stream) == b"swallow, swallow");
    let index = segments.index().expect("asked for");
    let found: Vec<_> = (0..17).map(|at| index.find(at).map(|block| block.data.clone())).collect();
    assert_eq!(
        found,
        [vec![Some(0..9); 9], vec![Some(9..16); 7], vec![None]].concat(),
        "no block of nothing"
    );
    assert!(Segments::indexed(Compression { format: Format::Lz4, level: 1 }).index().is_none());
    assert!(Segments::new(how).index().is_none());
}

#[test]
fn what_is_not_as_the_index_says_is_refused() {
    let data = data(300_000);
    for device in [Device::Software, Device::Emulated] {
        let engine = engine(device);
        let (stream, index) = indexed(&engine, &data, Format::Gzip, 6);
        let block = &index.blocks()[1];
        let room = usize::try_from(block.data.end - block.data.start).unwrap();
        let refused = |stream: &[u8], block: &IndexBlock| {
            expand(&engine, stream, block, room, Format::Gzip).unwrap_err()
        };
        let at = block.stream.start;
        let is_block = |error: &DecompressError| matches!(error, DecompressError::Block { at: there, .. } if *there == at);

        let other = IndexBlock { check: !block.check, ..block.clone() };
        assert!(is_block(&refused(&stream, &other)), "another checksum");
        let other = IndexBlock { data: block.data.start..block.data.end - 1, ..block.clone() };
        assert!(is_block(&refused(&stream, &other)), "another length");
        let cut = IndexBlock { stream: block.stream.start..block.stream.end - 9, ..block.clone() };
        let error = refused(&stream, &cut);
        assert!(
            is_block(&error) || matches!(error, DecompressError::Operation(Error::Corrupt { .. })),
            "cut: {error}"
        );
        let src = part(&stream, &block.stream)[1..].to_vec();
        let done = block_on(engine.decompress_block(src, vec![0; room], block, Format::Gzip));
        assert!(is_block(&done.unwrap_err().0), "fewer bytes than the block has");

        let mut broken = stream.clone();
        // A kind of block that there is not.
        broken[usize::try_from(at).unwrap()] |= 6;
        let error = refused(&broken, block);
        assert!(
            matches!(error, DecompressError::Operation(Error::Corrupt { offset, .. }) if (at..at + 3).contains(&offset)),
            "from {at}: {error}"
        );

        let error = expand(&engine, &stream, block, room - 1, Format::Gzip).unwrap_err();
        assert!(matches!(error, DecompressError::Operation(Error::OutputFull { .. })), "{error}");
    }
}

#[test]
fn an_index_is_no_more_than_its_blocks() {
    let data = data(700_000);
    let (_, index) = indexed(&engine(Device::Software), &data, Format::Raw, 1);
    let blocks = index.blocks().to_vec();
    assert_eq!(Index::from_blocks(blocks.clone()).expect("blocks").blocks(), blocks);
    assert_eq!(Index::from_blocks(Vec::new()).expect("none").find(0), None);
    let with = |nth: usize, change: fn(&mut IndexBlock)| {
        let mut blocks = blocks.clone();
        change(&mut blocks[nth]);
        Index::from_blocks(blocks).map(drop).map_err(|error| error.block)
    };
    assert_eq!(with(0, |block| block.data.start = 1), Err(0), "data before the first");
    assert_eq!(with(1, |block| block.data.end -= 1), Err(2), "a gap");
    assert_eq!(with(1, |block| block.data.start = block.data.end), Err(1), "a block of nothing");
    assert_eq!(with(1, |block| block.stream.start -= 1), Err(1), "bytes of two blocks");
    assert_eq!(with(1, |block| block.stream.end = block.stream.start), Err(1), "no bytes");
    assert_eq!(with(0, |block| block.stream.start += 1), Ok(()), "a longer header");
}
