//! Deflate and inflate, with Python's zlib on the other side.

use svala::{Check, DeflateOptions, Error, Runtime};

use super::oracle::filter;
use super::{never_inline, noise, runtime, runtime_with, text};

const CRC32: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC);

/// Around what is done at once, one segment and one stretch.
const LENGTHS: [usize; 9] =
    [0, 1, 4096, 4097, 16 << 10, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, (5 << 20) + 3];

fn python_inflate(raw: &[u8]) -> Vec<u8> {
    let script = "import sys, zlib
d = zlib.decompressobj(-15)
sys.stdout.buffer.write(d.decompress(sys.stdin.buffer.read()))
assert d.eof and not d.unused_data";
    filter("python3", &["-c", script], raw)
}

fn python_deflate(data: &[u8]) -> Vec<u8> {
    let script = "import sys, zlib
c = zlib.compressobj(6, zlib.DEFLATED, -15)
sys.stdout.buffer.write(c.compress(sys.stdin.buffer.read()) + c.flush())";
    filter("python3", &["-c", script], data)
}

fn adler32(data: &[u8]) -> u32 {
    let (mut a, mut b) = (1_u32, 0_u32);
    for byte in data {
        a = (a + u32::from(*byte)) % 65521;
        b = (b + a) % 65521;
    }
    b << 16 | a
}

fn room(len: usize) -> Vec<u8> {
    vec![0; svala_software::deflate_bound(len)]
}

fn deflated(runtime: &Runtime, data: &[u8], options: DeflateOptions) -> (Vec<u8>, u32) {
    let done = pollster::block_on(runtime.deflate(data.to_vec(), room(data.len()), options)).unwrap();
    let mut stream = done.buffers.1;
    stream.truncate(usize::try_from(done.value.written).unwrap());
    assert_eq!(done.report.bytes, data.len() as u64);
    (stream, done.value.check)
}

#[test]
fn python_reads_what_deflate_writes() {
    for runtime in [runtime(), runtime_with(never_inline())] {
        for len in LENGTHS {
            for data in [text(len), noise(len)] {
                for check in [Check::None, Check::Crc32, Check::Adler32] {
                    let options = DeflateOptions { level: 6, last: true, check };
                    let (stream, sum) = deflated(&runtime, &data, options);
                    let wanted = match check {
                        Check::None => 0,
                        Check::Crc32 => CRC32.checksum(&data),
                        Check::Adler32 => adler32(&data),
                    };
                    assert_eq!(sum, wanted, "{check:?} of {len} bytes");
                    if check == Check::Crc32 {
                        assert!(python_inflate(&stream) == data, "{len} bytes");
                    }
                }
            }
        }
    }
}

#[test]
fn segments_join_to_one_stream_and_level_nine_is_smaller() {
    let runtime = runtime();
    let (head, tail) = (text(3 << 20), text(100_000));
    let options = DeflateOptions { level: 1, last: false, check: Check::None };
    let (mut stream, _) = deflated(&runtime, &head, options);
    let fast = stream.len();
    stream.extend(deflated(&runtime, &tail, DeflateOptions { last: true, ..options }).0);
    assert!(python_inflate(&stream) == [head.clone(), tail].concat());
    let small = deflated(&runtime, &head, DeflateOptions { level: 9, ..options }).0.len();
    assert!(small < fast, "level 9 {small}, level 1 {fast}");
}

#[test]
fn segments_of_a_large_job_cost_less_than_a_percent() {
    let data = text(8 << 20);
    let (stream, _) = deflated(&runtime(), &data, DeflateOptions::default());
    assert!(python_inflate(&stream) == data);
    let mut libdeflate = libdeflater::Compressor::new(libdeflater::CompressionLvl::new(6).unwrap());
    let whole = libdeflate.deflate_compress(&data, &mut room(data.len())).unwrap();
    assert!(stream.len() < whole + whole / 100, "{} bytes in segments, {whole} in one", stream.len());
}

#[test]
fn inflate_reads_what_python_writes() {
    for runtime in [runtime(), runtime_with(never_inline())] {
        for len in LENGTHS {
            for data in [text(len), noise(len), vec![7; len]] {
                let mut stream = python_deflate(&data);
                let stream_len = stream.len() as u64;
                stream.extend_from_slice(b"not of the stream");
                let dst = vec![0xaa_u8; len];
                let done = pollster::block_on(runtime.inflate(stream, dst, Check::Crc32)).unwrap();
                assert_eq!((done.value.read, done.value.written), (stream_len, len as u64));
                assert_eq!(done.value.check, CRC32.checksum(&data));
                assert!(done.buffers.1 == data, "{len} bytes");
            }
        }
    }
}

#[test]
fn adler_of_the_output_is_summed_over_stretches() {
    let data = text(3_000_000);
    let done = runtime_inflate(&runtime(), python_deflate(&data), data.len(), Check::Adler32).unwrap();
    assert_eq!(done, adler32(&data));
}

fn runtime_inflate(runtime: &Runtime, stream: Vec<u8>, room: usize, check: Check) -> Result<u32, Error> {
    let done = pollster::block_on(runtime.inflate(stream, vec![0_u8; room], check));
    done.map(|done| done.value.check).map_err(|failed| {
        assert!(failed.buffers.is_some(), "an error gives the buffers back");
        failed.error
    })
}

#[test]
fn streams_that_are_broken_cut_or_too_long_say_so() {
    for runtime in [runtime(), runtime_with(never_inline())] {
        for len in [1000, 5_000_000] {
            let data = text(len);
            let stream = python_deflate(&data);
            let inflate = |stream: &[u8], room| runtime_inflate(&runtime, stream.to_vec(), room, Check::None);

            let cut = inflate(&stream[..stream.len() - 10], len);
            assert!(
                matches!(cut, Err(Error::Truncated { len, .. }) if len == stream.len() as u64 - 10),
                "{cut:?}"
            );
            let nothing = inflate(&[], len);
            assert!(matches!(nothing, Err(Error::Truncated { len: 0, .. })), "{nothing:?}");
            let full = inflate(&stream, len - 1);
            assert!(matches!(full, Err(Error::OutputFull { bytes_max, .. }) if bytes_max == len as u64 - 1));
            let no_room = inflate(&stream, 0);
            assert!(matches!(no_room, Err(Error::OutputFull { bytes_max: 0, .. })), "{no_room:?}");
            // A block of the type that does not exist.
            let corrupt = inflate(&[0xff; 40_000], len);
            assert!(matches!(corrupt, Err(Error::Corrupt { offset, .. }) if offset <= 2), "{corrupt:?}");
            // The decompressors are as good as new.
            assert!(inflate(&stream, len).is_ok());
        }
    }
}

#[test]
fn deflate_without_room_says_how_much_there_was() {
    for (len, room) in [(2000, 100), (3 << 20, 2 << 20), (3 << 20, 0), (0, 0)] {
        let runtime = runtime();
        let done = pollster::block_on(runtime.deflate(noise(len), vec![0; room], DeflateOptions::default()));
        let failed = done.unwrap_err();
        assert!(
            matches!(failed.error, Error::OutputFull { bytes_max, .. } if bytes_max == room as u64),
            "{failed}"
        );
        assert!(failed.buffers.is_some());
        assert!(python_inflate(&deflated(&runtime, &noise(len), DeflateOptions::default()).0) == noise(len));
    }
}

/// More streams than there are decompressors, so that some wait for others to end.
#[test]
fn streams_wait_for_a_decompressor_and_come_out_whole() {
    let runtime = runtime_with(svala_software::SoftwareConfig { workers: 1, ..never_inline() });
    let data = text(2_500_000);
    let stream = python_deflate(&data);
    let executor = tokio::runtime::Builder::new_current_thread().build().unwrap();
    executor.block_on(async {
        let tasks: Vec<_> = (0..20)
            .map(|i| {
                let (runtime, stream, data) = (runtime.clone(), stream.clone(), data.clone());
                tokio::spawn(async move {
                    let room = if i % 5 == 4 { data.len() - 1 } else { data.len() };
                    let done = runtime.inflate(stream, vec![0_u8; room], Check::None).await;
                    match done {
                        Ok(done) => assert!(i % 5 != 4 && done.buffers.1 == data),
                        Err(failed) => assert!(i % 5 == 4, "{failed}"),
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
    assert_eq!(runtime.shutdown().unanswered, 0);
}
