//! What a deflate job makes of its level: fixed codes, codes of the first part, codes of each part, stored blocks.

use flate2::{Decompress, FlushDecompress};
use svala::{Check, DeflateOptions, Error, IoBuf, Operation};

use crate::support::{Pages, Setup, noise, text};

fn crc32(bytes: &[u8]) -> u32 {
    crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC).checksum(bytes)
}

fn oracle(stream: &[u8], bytes: &[u8], what: &str) {
    let mut out = Vec::with_capacity(bytes.len() + 1);
    let mut state = Decompress::new(false);
    let status = state.decompress_vec(stream, &mut out, FlushDecompress::Finish);
    assert!(matches!(status, Ok(flate2::Status::StreamEnd)), "{what}: {status:?}");
    assert!(out == bytes, "{what}: other bytes");
    assert_eq!(state.total_in(), stream.len() as u64, "{what}: bytes behind the end");
}

/// The stream a device makes at `level`, read by another program and by the device.
fn made(setup: &Setup, bytes: &[u8], level: u8) -> Vec<u8> {
    let what = format!("{} bytes at level {level}", bytes.len());
    let options = DeflateOptions { level, check: Check::Crc32, last: true };
    let room = vec![0_u8; bytes.len() + bytes.len() / 1000 + 100];
    let done = setup.well(Operation::Deflate, setup.runtime.deflate(bytes.to_vec(), room, options));
    let stream = done.buffers.1[..usize::try_from(done.value.written).expect("fits")].to_vec();
    assert_eq!(done.value.check, crc32(bytes), "{what}");
    oracle(&stream, bytes, &what);
    let room = vec![0_u8; bytes.len()];
    let back = setup.well(Operation::Inflate, setup.runtime.inflate(stream.clone(), room, Check::Crc32));
    assert!(back.buffers.1 == bytes, "{what}: the device reads something else");
    assert_eq!(back.value.check, crc32(bytes), "{what}");
    stream
}

/// This program: what a compiler writes, which is of many kinds.
fn binary(len: usize) -> Vec<u8> {
    let mut bytes = std::fs::read("/proc/self/exe").expect("readable");
    bytes.truncate(len);
    bytes
}

/// Codes made of counts are never worse than the fixed ones by more than a block header, and stored blocks bound both.
pub(crate) fn levels(setup: &Setup) {
    let max = setup.transfer_bytes_max;
    let corpora = [
        ("text", text(2 * max + 77)),
        ("binary", binary(2 * max + 5)),
        ("noise", noise(max + 70_000, 3)),
        ("zeros", vec![0; 2 * max]),
        ("bytes below 16", noise(max, 5).iter().map(|byte| byte & 15).collect()),
        ("turns", [noise(max, 1), text(max), vec![9; max]].concat()),
    ];
    for (what, bytes) in corpora {
        let sizes: Vec<usize> = (1..=9).map(|level| made(setup, &bytes, level).len()).collect();
        println!("{what}: {} bytes to {sizes:?}", bytes.len());
        let stored = bytes.len() + 5 * (bytes.len() / 1024 + 1);
        assert!(sizes.iter().all(|&size| size <= stored), "{what}: {sizes:?}");
        assert!(sizes[5] <= sizes[0], "{what}: codes of each part are worse than fixed ones: {sizes:?}");
        if what == "text" || what == "bytes below 16" {
            assert!(10 * sizes[5] <= 9 * sizes[0], "{what}: no better than fixed codes: {sizes:?}");
            assert!(sizes[1] < sizes[0] && sizes[5] <= sizes[1] + 100, "{what}: {sizes:?}");
        }
    }
}

/// Around every length at which something else is done.
pub(crate) fn lengths(setup: &Setup) {
    for len in [1, 2, 127, 128, 129, 4095, 4096, 4097, 65_534, 65_535, 65_536, 65_537, 131_071] {
        for level in [1, 3, 6] {
            made(setup, &text(len), level);
            made(setup, &noise(len, len as u64), level);
            made(setup, &vec![1; len], level);
        }
    }
}

/// Segments that are not the last join to one stream, whatever each of them is made of.
pub(crate) fn segments(setup: &Setup) {
    let segments = [text(5000), noise(5000, 1), text(100), vec![3; 80_000], noise(70_000, 2), text(3)];
    for level in [1, 2, 6] {
        let mut stream = Vec::new();
        for (index, bytes) in segments.iter().enumerate() {
            let options = DeflateOptions { level, check: Check::None, last: index + 1 == segments.len() };
            let room = vec![0_u8; bytes.len() + 200];
            let done = setup.well(Operation::Deflate, setup.runtime.deflate(bytes.clone(), room, options));
            stream.extend(&done.buffers.1[..usize::try_from(done.value.written).expect("fits")]);
        }
        oracle(&stream, &segments.concat(), &format!("level {level}"));
    }
}

/// A room that is one byte too small is an error at every level, and one that is just large enough is enough.
pub(crate) fn rooms(setup: &Setup) {
    for level in [1, 2, 6] {
        for bytes in [text(3000), noise(3000, 4), vec![0; 3000], text(200_000), noise(200_000, 9)] {
            let size = made(setup, &bytes, level).len();
            for short in [0, 1, 2, size / 2, size - 1] {
                let options = DeflateOptions { level, check: Check::None, last: true };
                let room = vec![0_u8; size - short];
                let end = setup.end(Operation::Deflate, setup.runtime.deflate(bytes.clone(), room, options));
                match end {
                    Ok(done) => {
                        assert_eq!((short, done.value.written), (0, size as u64), "level {level}");
                    }
                    Err(failed) => {
                        let room = (size - short) as u64;
                        let full =
                            matches!(failed.error, Error::OutputFull { bytes_max, .. } if bytes_max == room);
                        assert!(full && short > 0, "{short} short at level {level}: {}", failed.error);
                        assert!(failed.buffers.is_some_and(|buffers| buffers.0 == bytes));
                    }
                }
            }
        }
    }
}

/// Each operand with no page in memory, alone and together, for each way to make codes.
pub(crate) fn cold(setup: &Setup) {
    for (level, bytes) in [(1, text(300_000)), (2, text(300_000)), (6, text(300_000)), (6, noise(300_000, 1))]
    {
        for (cold_source, cold_room) in [(true, false), (false, true), (true, true)] {
            let source = if cold_source { Pages::untouched(&bytes) } else { Pages::warm(&bytes) };
            let room_bytes = bytes.len() + 1000;
            let room = if cold_room { Pages::cold(room_bytes) } else { Pages::warm(&vec![0xee; room_bytes]) };
            let options = DeflateOptions { level, check: Check::Crc32, last: true };
            let done = setup.well(Operation::Deflate, setup.runtime.deflate(source, room, options));
            let stream = &done.buffers.1.bytes()[..usize::try_from(done.value.written).expect("fits")];
            oracle(stream, &bytes, &format!("level {level}"));
            assert_eq!(done.value.check, crc32(&bytes));
            assert_eq!(done.report.bytes, done.buffers.0.span().len);
        }
    }
}
