//! Inflate of streams longer than a transfer, from other compressors, and deflate read by other programs.

use std::io::Write;
use std::process::{Command, Stdio};

use flate2::{Compress, Compression, FlushCompress, FlushDecompress};
use pollster::block_on;
use svala::{Check, DeflateOptions, Error, IoBuf, Operation};

use crate::support::{Pages, Setup, noise, text};

pub(crate) fn crc32(bytes: &[u8]) -> u32 {
    crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC).checksum(bytes)
}

/// zlib with the window of the device.
fn small_window(bytes: &[u8], level: u32) -> Vec<u8> {
    let mut state = Compress::new_with_window_bits(Compression::new(level), false, 12);
    let mut stream = Vec::with_capacity(bytes.len() + bytes.len() / 8 + 1000);
    state.compress_vec(bytes, &mut stream, FlushCompress::Finish).expect("room");
    stream
}

/// Text, noise and runs in turn.
fn mixed(len: usize, seed: u64) -> Vec<u8> {
    let noise = noise(len, seed);
    let text = text(len);
    let mut bytes = Vec::with_capacity(len);
    for (turn, at) in (0..len).step_by(5000).enumerate() {
        let end = len.min(at + 5000);
        match turn % 4 {
            0 | 1 => bytes.extend_from_slice(&text[at..end]),
            2 => bytes.extend_from_slice(&noise[at..end]),
            _ => bytes.resize(end, noise[at]),
        }
    }
    bytes
}

/// What a program makes of its input.
fn program(command: &mut Command, input: &[u8]) -> Vec<u8> {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let mut stdin = child.stdin.take().expect("piped");
    std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(input).expect("read to its end"));
        let output = child.wait_with_output().expect("ends");
        assert!(output.status.success(), "{command:?}: {}", output.status);
        output.stdout
    })
}

pub(crate) fn python(script: &str, input: &[u8]) -> Vec<u8> {
    program(Command::new("python3").args(["-c", script]), input)
}

fn check_inflate(setup: &Setup, stream: &[u8], expected: &[u8], behind: usize) {
    let source = [stream, &noise(behind, 1)].concat();
    let room = vec![0_u8; expected.len().max(1)];
    let done = setup.well(Operation::Inflate, setup.runtime.inflate(source, room, Check::Crc32));
    assert!(done.buffers.1[..expected.len()] == *expected, "{} bytes", expected.len());
    assert_eq!((done.value.read, done.value.written), (stream.len() as u64, expected.len() as u64));
    assert_eq!(done.value.check, crc32(expected));
}

/// Around the transfer size on either side, and far beyond it; nothing behind the stream, and something.
pub(crate) fn long_inflate(setup: &Setup) {
    let max = setup.transfer_bytes_max;
    for len in [1, max - 1, max, max + 1, 2 * max + 7, 9 * max + 12345] {
        for (level, behind) in [(0, 0), (1, 3), (6, max), (9, 0)] {
            check_inflate(setup, &small_window(&mixed(len, 5), level), &mixed(len, 5), behind);
        }
    }
    // Little input for much output, and the other way round.
    check_inflate(setup, &small_window(&vec![0; 20 * max], 6), &vec![0; 20 * max], 0);
    check_inflate(setup, &small_window(&noise(3 * max, 2), 6), &noise(3 * max, 2), 1);
}

/// Lengths sampled up to 70000, each of its own kind.
pub(crate) fn lengths(setup: &Setup) {
    for (index, len) in (1..70_000).step_by(2333).enumerate() {
        let bytes = match index % 4 {
            0 => text(len),
            1 => noise(len, len as u64),
            2 => vec![index.to_le_bytes()[0]; len],
            _ => mixed(len, len as u64),
        };
        check_inflate(setup, &small_window(&bytes, 6), &bytes, index % 3);
        let options = DeflateOptions { check: Check::Crc32, ..DeflateOptions::default() };
        let room = vec![0_u8; len * 9 / 8 + 100];
        let done = setup.well(Operation::Deflate, setup.runtime.deflate(bytes.clone(), room, options));
        let stream = &done.buffers.1[..usize::try_from(done.value.written).expect("fits")];
        let mut out = Vec::with_capacity(len + 1);
        flate2::Decompress::new(false)
            .decompress_vec(stream, &mut out, FlushDecompress::Finish)
            .expect("valid");
        assert!(out == bytes, "{len} bytes");
        assert_eq!(done.value.check, crc32(&bytes));
    }
}

/// `gzip` and Python's zlib read what the device wrote, and it reads what Python wrote with its window.
pub(crate) fn other_programs(setup: &Setup) {
    let bytes = mixed(3 * setup.transfer_bytes_max + 99, 8);
    for level in [1, 6, 9] {
        let options = DeflateOptions { level, check: Check::Crc32, last: true };
        let room = vec![0_u8; bytes.len() * 9 / 8 + 100];
        let done = setup.well(Operation::Deflate, setup.runtime.deflate(bytes.clone(), room, options));
        let stream = &done.buffers.1[..usize::try_from(done.value.written).expect("fits")];
        let script =
            "import sys,zlib; sys.stdout.buffer.write(zlib.decompress(sys.stdin.buffer.read(), -15))";
        assert!(python(script, stream) == bytes, "level {level}: zlib of Python");
        let header = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
        let len = u32::try_from(bytes.len()).expect("fits");
        let file = [&header[..], stream, &done.value.check.to_le_bytes(), &len.to_le_bytes()].concat();
        assert!(program(Command::new("gzip").arg("-dc"), &file) == bytes, "level {level}: gzip");
    }
    for strategy in ["Z_DEFAULT_STRATEGY", "Z_FILTERED", "Z_HUFFMAN_ONLY", "Z_RLE", "Z_FIXED"] {
        let script = format!(
            "import sys,zlib; c=zlib.compressobj(9,zlib.DEFLATED,-12,9,zlib.{strategy}); \
             sys.stdout.buffer.write(c.compress(sys.stdin.buffer.read())+c.flush())"
        );
        check_inflate(setup, &python(&script, &bytes), &bytes, 5);
    }
}

/// Every room up to the output's size is too small, and that size is enough.
pub(crate) fn rooms(setup: &Setup) {
    let max = setup.transfer_bytes_max;
    for len in [3, 8, 1000, max, max + 1, 2 * max + 3] {
        let bytes = mixed(len, 3);
        let stream = small_window(&bytes, 6);
        for short in [1, 2, 7, 8, 9, len / 2, len - 1].into_iter().filter(|short| (1..len).contains(short)) {
            let room = vec![0_u8; len - short];
            let failed =
                setup.end(Operation::Inflate, setup.runtime.inflate(stream.clone(), room, Check::None));
            let error = failed.expect_err("too small").error;
            let room = (len - short) as u64;
            assert!(matches!(error, Error::OutputFull { bytes_max, .. } if bytes_max == room), "{error}");
        }
        check_inflate(setup, &stream, &bytes, 0);
    }
}

/// Every page of source and destination absent, with more of them than any bound on retries.
pub(crate) fn cold(setup: &Setup) {
    let bytes = mixed(6 * setup.transfer_bytes_max, 4);
    let stream = small_window(&bytes, 6);
    let (source, room) = (Pages::untouched(&stream), Pages::cold(bytes.len()));
    let done = setup.well(Operation::Inflate, setup.runtime.inflate(source, room, Check::Crc32));
    assert!(done.buffers.1.bytes() == bytes);
    assert_eq!((done.value.read, done.value.check), (stream.len() as u64, crc32(&bytes)));
    let (source, room) = (Pages::untouched(&bytes), Pages::cold(bytes.len() * 9 / 8 + 100));
    let done = setup.well(Operation::Deflate, setup.runtime.deflate(source, room, DeflateOptions::default()));
    let stream = &done.buffers.1.bytes()[..usize::try_from(done.value.written).expect("fits")];
    let mut out = Vec::with_capacity(bytes.len() + 1);
    flate2::Decompress::new(false).decompress_vec(stream, &mut out, FlushDecompress::Finish).expect("valid");
    assert!(out == bytes);
}

/// Without a CPU engine the runtime says that the stream is not for the device, wherever it is cut or broken.
pub(crate) fn broken(setup: &Setup) {
    let max = setup.transfer_bytes_max;
    let bytes = mixed(3 * max, 6);
    let stream = small_window(&bytes, 6);
    let refused = |stream: Vec<u8>, what: &str| {
        let room = vec![0_u8; bytes.len()];
        let failed = block_on(setup.runtime.inflate(stream, room, Check::None)).expect_err(what);
        assert!(matches!(failed.error, Error::Stream { .. }), "{what}: {}", failed.error);
        assert!(failed.buffers.is_some(), "{what}");
    };
    for end in [1, max / 2, max - 1, max, max + 1, stream.len() - 1] {
        refused(stream[..end.min(stream.len() - 1)].to_vec(), "truncated");
    }
    let far = [noise(6000, 1), mixed(2 * max, 2), noise(6000, 1), noise(6000, 1)].concat();
    let mut window = Compress::new(Compression::new(6), false);
    let mut foreign = Vec::with_capacity(far.len() * 2);
    window.compress_vec(&far, &mut foreign, FlushCompress::Finish).expect("room");
    refused(foreign, "a window of 32 KiB");
    // One literal behind a header whose last repeat runs from the one alphabet into the other, as zlib reads it.
    let crossing = [0x05, 0xc1, 0x85, 0, 0, 0, 0, 0, 0x20, 0x7f, 0xea, 0x46];
    let mut literal = Vec::with_capacity(2);
    let read =
        flate2::Decompress::new(false).decompress_vec(&crossing, &mut literal, FlushDecompress::Finish);
    assert!(matches!(read, Ok(flate2::Status::StreamEnd)) && literal == [0xff]);
    refused(crossing.to_vec(), "a repeat from one alphabet into the other");
}
