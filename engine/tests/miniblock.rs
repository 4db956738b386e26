//! Miniblocks on the devices an engine can have: one index for all, and any range of the data by it. The judge of streams is
//! `flate2`, of indices a reader that goes bit by bit.

#[expect(dead_code, reason = "what only tests of single blocks need")]
#[path = "../../drivers/software/tests/miniblocks/mod.rs"]
mod places;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use places::blocks;
use svala_engine::{
    DeflateOptions, Device, Engine, Error, MiniblockFault, MiniblockHeader, MiniblockIndex,
    MiniblockIndexError, MiniblockSize, Path, block_on, compressed_bytes_max,
};

fn engine(device: Device) -> Engine {
    Engine::builder().device(device).open().expect("opens")
}

/// Text, and noise that nothing makes smaller.
fn data(len: usize) -> Vec<u8> {
    let words = ["swallow ", "queue ", "descriptor ", "page ", "fault ", "record\n"];
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    };
    let mut bytes = Vec::new();
    while bytes.len() < len {
        match bytes.len() / 30_000 % 3 {
            2 => bytes.push(next()),
            _ => bytes.extend_from_slice(words[usize::from(next()) % words.len()].as_bytes()),
        }
    }
    bytes.truncate(len);
    bytes
}

fn deflated(engine: &Engine, data: &[u8], size: MiniblockSize) -> Vec<u8> {
    let room = vec![0; compressed_bytes_max(data.len())];
    let done = block_on(engine.deflate_miniblocks(data.to_vec(), room, size, DeflateOptions::default()));
    let done = done.expect("compresses");
    done.buffers.1[..usize::try_from(done.value.written).expect("fits")].to_vec()
}

fn index(engine: &Engine, stream: &[u8], size: MiniblockSize) -> MiniblockIndex {
    let done = block_on(engine.index_miniblocks(stream.to_vec(), size)).expect("has one");
    assert_eq!((done.report.bytes, done.buffers), (stream.len() as u64, stream.to_vec()));
    done.value
}

/// What the reader makes of a stream.
fn expected(stream: &[u8], size: MiniblockSize) -> (Vec<u64>, Vec<MiniblockHeader>) {
    let (blocks, _) = blocks(stream, usize::try_from(size.bytes()).expect("fits"));
    let (mut entries, mut headers) = (Vec::new(), Vec::new());
    for block in blocks {
        let miniblock = u32::try_from(entries.len()).expect("few");
        headers.push(MiniblockHeader { bit: block.header, miniblock });
        entries.extend(block.entries.iter().map(|(end, crc)| u64::from(*crc) << 32 | u64::from(*end)));
    }
    (entries, headers)
}

#[test]
fn every_device_makes_the_same_index_and_reads_by_it() {
    let engines = [engine(Device::Software), engine(Device::Emulated)];
    let data = data(150_001);
    for size in [MiniblockSize::Bytes512, MiniblockSize::Kib4, MiniblockSize::Kib32] {
        for maker in &engines {
            let stream = deflated(maker, &data, size);
            let mut out = Vec::with_capacity(data.len() + 1);
            let read = Decompress::new(false).decompress_vec(&stream, &mut out, FlushDecompress::Finish);
            assert!(matches!(read, Ok(flate2::Status::StreamEnd)) && out == data, "{size:?}");
            let (entries, headers) = expected(&stream, size);
            for reader in &engines {
                let index = index(reader, &stream, size);
                assert_eq!((index.entries(), index.headers()), (&entries[..], &headers[..]), "{size:?}");
                let kept =
                    MiniblockIndex::from_parts(size, entries.clone(), headers.clone(), data.len() as u64);
                assert_eq!(kept.as_ref(), Ok(&index));
                check_ranges(reader, &stream, &index, &data);
            }
        }
    }
}

fn check_ranges(engine: &Engine, stream: &[u8], index: &MiniblockIndex, data: &[u8]) {
    let len = data.len() as u64;
    for bytes in [0..1, 40_000..40_001, 70_000..100_000, 0..len, len - 1..len] {
        let miniblocks = index.find(bytes.clone()).expect("within the data");
        let all = index.data(miniblocks.clone());
        assert!(all.start <= bytes.start && bytes.end <= all.end);
        assert!(all.start + index.size().bytes() > bytes.start && bytes.end + index.size().bytes() > all.end);
        let room = vec![0; usize::try_from(all.end - all.start).expect("fits")];
        let done = block_on(engine.inflate_range(stream.to_vec(), room, index, miniblocks)).expect("expands");
        let all = usize::try_from(all.start).expect("fits")..usize::try_from(all.end).expect("fits");
        assert!(done.buffers.1 == data[all], "{bytes:?}");
        let is_by_cpu = matches!(done.report.path, Path::Software { .. });
        assert_eq!(is_by_cpu, matches!(engine.device(), Device::Software), "{}", done.report.path);
    }
}

#[test]
fn a_stream_of_other_pieces_has_no_index() {
    let whole = data(3000);
    let mut state = Compress::new(Compression::new(6), false);
    let mut stream = Vec::with_capacity(5000);
    for piece in whole.chunks(1500) {
        state.compress_vec(piece, &mut stream, FlushCompress::Full).expect("room");
    }
    state.compress_vec(&[], &mut stream, FlushCompress::Finish).expect("room");
    for device in [Device::Software, Device::Emulated] {
        let engine = engine(device);
        // Text has matches across 512 bytes, and its blocks end at 1500.
        let failed = block_on(engine.index_miniblocks(stream.clone(), MiniblockSize::Bytes512));
        let failed = failed.expect_err("matches cross");
        assert!(
            matches!(
                failed.error,
                Error::Miniblock {
                    fault: MiniblockFault::Length | MiniblockFault::Distance,
                    data_at: 0..1024,
                    ..
                }
            ),
            "{}",
            failed.error
        );
        assert!(failed.buffers.expect("come back") == stream);
        let failed =
            block_on(engine.index_miniblocks(stream.clone(), MiniblockSize::Kib2)).expect_err("1500");
        let is_block =
            matches!(failed.error, Error::Miniblock { fault: MiniblockFault::Block, data_at: 1500, .. });
        assert!(is_block, "{}", failed.error);
        // A repetition that is the first of a miniblock is of another one, and does not begin in that.
        let noise = data(70_000).split_off(61_000);
        let mut far = Vec::with_capacity(2000);
        let again = [&noise[..512], &noise[100..300]].concat();
        Compress::new(Compression::new(6), false)
            .compress_vec(&again, &mut far, FlushCompress::Finish)
            .expect("room");
        let failed = block_on(engine.index_miniblocks(far, MiniblockSize::Bytes512)).expect_err("far");
        let is_distance =
            matches!(failed.error, Error::Miniblock { fault: MiniblockFault::Distance, data_at: 512, .. });
        assert!(is_distance, "{}", failed.error);
        let cut = stream[..stream.len() - 4].to_vec();
        let failed = block_on(engine.index_miniblocks(cut, MiniblockSize::Kib32)).expect_err("cut or 1500");
        assert!(
            matches!(failed.error, Error::Miniblock { .. } | Error::Truncated { .. }),
            "{}",
            failed.error
        );
        for len in [0, 1, 100] {
            let failed = block_on(engine.index_miniblocks(stream[..len].to_vec(), MiniblockSize::Kib2));
            let error = failed.expect_err("cut").error;
            assert!(matches!(error, Error::Truncated { len: at, .. } if at == len as u64), "{error}");
        }
    }
}

#[test]
fn a_range_that_is_not_there_or_not_as_said_is_refused() {
    let (engine, size, data) = (engine(Device::Software), MiniblockSize::Kib1, data(5000));
    let stream = deflated(&engine, &data, size);
    let index = index(&engine, &stream, size);
    let refused = |index: &MiniblockIndex, range: std::ops::Range<usize>| {
        let failed = block_on(engine.inflate_range(stream.clone(), vec![0; 5000], index, range));
        let failed = failed.expect_err("refused");
        assert!(failed.buffers.is_some());
        failed.error
    };
    for range in [0..6, 5..6, 2..2, 7..9] {
        let error = refused(&index, range.clone());
        let is_outside = |fault: MiniblockFault| {
            fault == MiniblockFault::Outside { first: range.start as u64, end: range.end as u64, count: 5 }
        };
        assert!(matches!(error, Error::Miniblock { fault, .. } if is_outside(fault)), "{error}");
    }
    assert_eq!((index.find(4999..5001), index.find(3..3), index.find(4999..5000)), (None, None, Some(4..5)));
    // Another CRC.
    let (mut entries, headers) = (index.entries().to_vec(), index.headers().to_vec());
    entries[2] ^= 1 << 40;
    let other = MiniblockIndex::from_parts(size, entries, headers, 5000).expect("its places are those");
    let error = refused(&other, 1..3);
    let is_crc = matches!(error, Error::Miniblock { fault: MiniblockFault::Crc { .. }, data_at: 1024, .. });
    assert!(is_crc, "{error}");
    assert!(error.to_string().contains("byte 1024"), "{error}");
}

#[test]
fn parts_that_do_not_fit_are_no_index() {
    let size = MiniblockSize::Bytes512;
    let header = |bit, miniblock| MiniblockHeader { bit, miniblock };
    let index = |entries: &[u64], headers: &[MiniblockHeader], data_bytes| {
        MiniblockIndex::from_parts(size, entries.to_vec(), headers.to_vec(), data_bytes).err()
    };
    assert_eq!(index(&[100, 200], &[header(0, 0), header(100, 1)], 1000), None);
    assert_eq!(index(&[], &[], 0), None);
    let refused = MiniblockIndexError::Data { data_bytes: 1025, entries: 2 };
    assert_eq!(index(&[100, 200], &[header(0, 0)], 1025), Some(refused));
    assert_eq!(index(&[100, 100], &[header(0, 0)], 1000), Some(MiniblockIndexError::Entry { entry: 1 }));
    let of_header = |header| Some(MiniblockIndexError::Header { header });
    assert_eq!(index(&[100, 200], &[], 1000), of_header(0));
    assert_eq!(index(&[100, 200], &[header(0, 1)], 1000), of_header(0));
    assert_eq!(index(&[100, 200], &[header(100, 0)], 1000), of_header(0));
    assert_eq!(index(&[100, 200], &[header(0, 0), header(99, 1)], 1000), of_header(1));
    assert_eq!(index(&[100, 200], &[header(0, 0), header(0, 0)], 1000), of_header(1));
    assert_eq!(index(&[100, 200], &[header(0, 0), header(150, 2)], 1000), of_header(1));
}
