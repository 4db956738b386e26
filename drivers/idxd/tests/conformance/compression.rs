//! Deflate and inflate.

use flate2::{Decompress, FlushDecompress};
use pollster::block_on;
use svala::{Check, DeflateOptions, Error, IoBuf, Operation};

use crate::support::{Pages, Setup, noise, text};

fn oracle_inflate(stream: &[u8], len: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(len + 1);
    let mut state = Decompress::new(false);
    state.decompress_vec(stream, &mut out, FlushDecompress::Finish).expect("a valid stream");
    out
}

/// A stream whose distances stay within the device's 4 KiB: short input.
fn oracle_deflate(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() * 2 + 100);
    let mut state = flate2::Compress::new(flate2::Compression::new(6), false);
    state.compress_vec(bytes, &mut out, flate2::FlushCompress::Finish).expect("room");
    out
}

pub(crate) fn deflate(setup: &Setup) {
    let crc = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC);
    let max = setup.transfer_bytes_max;
    for bytes in [text(1), text(500), text(max / 2), text(max + 777), noise(max, 3), vec![0; 2 * max]] {
        let room = vec![0_u8; bytes.len() * 9 / 8 + 100];
        let options = DeflateOptions { check: Check::Crc32, ..DeflateOptions::default() };
        let done = setup.well(Operation::Deflate, setup.runtime.deflate(bytes.clone(), room, options));
        let written = usize::try_from(done.value.written).expect("fits");
        assert!(oracle_inflate(&done.buffers.1[..written], bytes.len()) == bytes);
        assert_eq!(done.value.check, crc.checksum(&bytes), "{} bytes", bytes.len());
    }
    // Segments that are not the last can be followed by others.
    let mut stream = Vec::new();
    for last in [false, false, true] {
        let options = DeflateOptions { last, ..DeflateOptions::default() };
        let done =
            block_on(setup.runtime.deflate(text(1000), vec![0_u8; 2000], options)).expect("compresses");
        stream.extend(&done.buffers.1[..usize::try_from(done.value.written).expect("fits")]);
    }
    assert!(oracle_inflate(&stream, 3000) == text(1000).repeat(3));
}

pub(crate) fn inflate(setup: &Setup) {
    let crc = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC);
    for bytes in [text(1), text(3000), noise(4000, 1), vec![7; 4096]] {
        let stream = oracle_deflate(&bytes);
        let room = vec![0_u8; bytes.len()];
        let done = setup.well(Operation::Inflate, setup.runtime.inflate(stream, room, Check::Crc32));
        assert_eq!(done.buffers.1, bytes);
        assert_eq!(done.value.written, bytes.len() as u64);
        assert_eq!(done.value.check, crc.checksum(&bytes));
    }
    // A distance beyond 4 KiB: without a CPU engine to go to, the runtime says so and gives the buffers back.
    let far = [noise(6000, 1), noise(6000, 1)].concat();
    let failed = block_on(setup.runtime.inflate(oracle_deflate(&far), vec![0_u8; far.len()], Check::None));
    let failed = failed.expect_err("a window over 4 KiB");
    assert!(matches!(failed.error, Error::Stream { .. }), "{}", failed.error);
    assert!(failed.buffers.is_some());
}

pub(crate) fn cold(setup: &Setup) {
    // Many cold pages, source and destination: nothing of a run is kept, and yet it ends.
    let bytes = text(setup.transfer_bytes_max + 999);
    let source = Pages::warm(&bytes);
    let room = Pages::cold(bytes.len() * 9 / 8 + 100);
    let done = setup.well(Operation::Deflate, setup.runtime.deflate(source, room, DeflateOptions::default()));
    let written = usize::try_from(done.value.written).expect("fits");
    assert!(oracle_inflate(&done.buffers.1.bytes()[..written], bytes.len()) == bytes);
    let zeros = Pages::cold(setup.transfer_bytes_max / 2);
    let room = Pages::cold(setup.transfer_bytes_max);
    let done = setup.well(Operation::Deflate, setup.runtime.deflate(zeros, room, DeflateOptions::default()));
    let written = usize::try_from(done.value.written).expect("fits");
    let zeros = vec![0; setup.transfer_bytes_max / 2];
    assert!(oracle_inflate(&done.buffers.1.bytes()[..written], zeros.len()) == zeros);
    let bytes = text(4000);
    let stream = Pages::untouched(&oracle_deflate(&bytes));
    let done =
        setup.well(Operation::Inflate, setup.runtime.inflate(stream, Pages::cold(bytes.len()), Check::Crc32));
    assert!(done.buffers.1.bytes() == bytes);
}

pub(crate) fn output_full(setup: &Setup) {
    let bytes = noise(5000, 2);
    let done = setup.runtime.deflate(bytes.clone(), vec![0_u8; 1000], DeflateOptions::default());
    let failed = block_on(done).expect_err("does not fit");
    assert!(matches!(failed.error, Error::OutputFull { bytes_max: 1000, .. }), "{}", failed.error);
    assert_eq!(failed.buffers.expect("come back").0, bytes);
    let stream = oracle_deflate(&text(3000));
    let failed =
        block_on(setup.runtime.inflate(stream, vec![0_u8; 2999], Check::None)).expect_err("does not fit");
    assert!(matches!(failed.error, Error::OutputFull { bytes_max: 2999, .. }), "{}", failed.error);
}
