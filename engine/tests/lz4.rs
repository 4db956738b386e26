//! LZ4 frames through the engine, judged by the LZ4 project's own library and its program.

use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};

use lz4::liblz4::BlockChecksum;
use lz4::{BlockMode, BlockSize, EncoderBuilder};
use svala_engine::{
    Compression, DecodeError, DecompressError, Decompression, Device, Engine, Error, Format, FrameError,
    Path, Reason, Trailing, block_on, compressed_bytes_max,
};

const HOW: Compression = Compression { format: Format::Lz4, level: 1 };

fn engine(device: Device) -> Engine {
    Engine::builder().device(device).open().expect("opens")
}

fn text(len: usize) -> Vec<u8> {
    let line = b"one swallow does not make a summer, two do not either; ";
    let bytes = line.iter().copied().cycle().enumerate().map(|(at, byte)| byte ^ u8::from(at % 997 == 0));
    bytes.take(len).collect()
}

fn compress(engine: &Engine, bytes: &[u8]) -> (Vec<u8>, Path) {
    let done = block_on(engine.compress(bytes.to_vec(), vec![0; compressed_bytes_max(bytes.len())], HOW))
        .expect("compresses");
    let mut stream = done.buffers.1;
    stream.truncate(usize::try_from(done.value.written).expect("fits"));
    (stream, done.report.path)
}

fn theirs(stream: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    lz4::Decoder::new(stream).expect("a decoder").read_to_end(&mut out).expect("a frame");
    out
}

fn made(bytes: &[u8], set: impl FnOnce(&mut EncoderBuilder)) -> Vec<u8> {
    let mut builder = EncoderBuilder::new();
    builder.block_checksum(BlockChecksum::NoBlockChecksum);
    set(&mut builder);
    let mut encoder = builder.build(Vec::new()).expect("an encoder");
    encoder.write_all(bytes).expect("a vector takes all");
    encoder.finish().0
}

fn independent(bytes: &[u8]) -> Vec<u8> {
    made(bytes, |builder| {
        builder.block_mode(BlockMode::Independent).content_size(bytes.len() as u64);
    })
}

/// Bytes of a stream, by a reader.
fn read(engine: &Engine, stream: &[u8], how: Decompression) -> Result<Vec<u8>, std::io::Error> {
    let mut out = Vec::new();
    engine.decompress_reader(stream, how).read_to_end(&mut out).map(|_| out)
}

const fn expects(output_bytes_max: u64) -> Decompression {
    Decompression { format: Format::Lz4, output_bytes_max, trailing: Trailing::Refuse }
}

fn flaw(error: &std::io::Error) -> DecodeError {
    let flaw = error.get_ref().and_then(|inner| inner.downcast_ref::<DecodeError>());
    flaw.unwrap_or_else(|| panic!("{error}")).clone()
}

#[test]
fn the_library_reads_what_every_device_makes() {
    for device in [Device::Software, Device::EmulatedQat, Device::Emulated] {
        let engine = engine(device.clone());
        for len in [0, 1, 65_536, 65_537, 3_000_000] {
            let bytes = text(len);
            let (stream, path) = compress(&engine, &bytes);
            assert!(theirs(&stream) == bytes, "{device:?} {len}");
            match device {
                Device::EmulatedQat if len > 0 => assert_eq!(path.to_string(), "emulated (emu-qat)"),
                _ => assert!(matches!(path, Path::Software { .. }), "{path}"),
            }
        }
    }
}

#[test]
fn a_device_reads_what_it_can_and_the_cpu_the_rest() {
    let engine = engine(Device::EmulatedQat);
    // What repeats is found within the device's history.
    let bytes = text(10_000).repeat(50);
    let by_cpu = Path::Software { reason: Reason::Stream };
    let linked = made(&bytes, |_| ());
    let checked = made(&bytes, |builder| {
        builder.block_mode(BlockMode::Independent).block_checksum(BlockChecksum::BlockChecksumEnabled);
    });
    let large = made(&bytes, |builder| {
        builder.block_mode(BlockMode::Independent).block_size(BlockSize::Max4MB);
    });
    for (name, stream, path) in [
        ("independent", independent(&bytes), "emulated (emu-qat)".to_owned()),
        ("large", large, "emulated (emu-qat)".to_owned()),
        ("linked", linked, by_cpu.to_string()),
        ("checked", checked, by_cpu.to_string()),
    ] {
        let done =
            block_on(engine.decompress(stream.clone(), vec![0; bytes.len()], Format::Lz4)).expect("expands");
        assert_eq!(
            (done.value.read, done.value.written, done.value.members),
            (stream.len() as u64, 500_000, 1)
        );
        assert_eq!(done.report.path.to_string(), path, "{name}");
        assert!(done.buffers.1 == bytes, "{name}");
        assert!(read(&engine, &stream, expects(u64::MAX)).expect("expands") == bytes, "{name}");
    }
}

/// Several frames, frames of other programs between them, and an empty one.
#[test]
fn frames_follow_each_other() {
    let skip = [0x5a, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3].as_slice();
    let (a, b) = (text(70_000), text(1000));
    let stream = [skip, &independent(&a), &independent(&[]), skip, skip, &made(&b, |_| ()), skip].concat();
    let both = [a, b].concat();
    for device in [Device::Software, Device::EmulatedQat] {
        let engine = engine(device);
        let done =
            block_on(engine.decompress(stream.clone(), vec![0; both.len()], Format::Lz4)).expect("expands");
        assert_eq!((done.value.read, done.value.members), (stream.len() as u64, 3));
        assert!(done.buffers.1 == both);
        let mut reader = engine.decompress_reader(&stream[..], expects(u64::MAX));
        let mut out = Vec::new();
        reader.read_to_end(&mut out).expect("expands");
        assert!(out == both);
        assert_eq!(reader.members(), 3);
    }
}

/// Whatever is cut off is missed, at every byte; by pieces and as a whole.
#[test]
fn a_stream_that_ends_early_is_an_error() {
    let engine = engine(Device::Software);
    let bytes = text(3000);
    let stream = independent(&bytes);
    for len in 0..stream.len() {
        let error = read(&engine, &stream[..len], expects(u64::MAX)).expect_err("cut");
        let flaw = flaw(&error);
        assert!(
            matches!(
                flaw,
                DecodeError::Truncated { .. }
                    | DecodeError::Frame { error: FrameError::Truncated { .. }, .. }
            ),
            "{len}: {flaw}"
        );
        let (error, buffers) =
            block_on(engine.decompress(stream[..len].to_vec(), vec![0; 3000], Format::Lz4)).expect_err("cut");
        assert!(
            matches!(
                error,
                DecompressError::Operation(Error::Truncated { .. })
                    | DecompressError::Frame { error: FrameError::Truncated { .. }, .. }
            ),
            "{len}: {error}"
        );
        assert!(buffers.is_some());
    }
}

#[test]
fn damage_is_found() {
    for device in [Device::Software, Device::EmulatedQat] {
        let engine = engine(device);
        let bytes = text(3000);
        let stream = made(&bytes, |builder| {
            builder.block_mode(BlockMode::Independent).block_checksum(BlockChecksum::BlockChecksumEnabled);
        });
        for at in 0..stream.len() {
            let mut broken = stream.clone();
            broken[at] ^= 0x40;
            assert!(read(&engine, &broken, expects(u64::MAX)).is_err(), "byte {at}, by a reader");
            let outcome = block_on(engine.decompress(broken, vec![0; 4000], Format::Lz4));
            assert!(outcome.is_err(), "byte {at}");
        }
        // Without sums of blocks, that of the whole is wrong; the offset is where it stands.
        let mut broken = independent(&bytes);
        let last = broken.len() - 1;
        broken[last] ^= 1;
        let (error, _) =
            block_on(engine.decompress(broken, vec![0; 3000], Format::Lz4)).expect_err("a wrong sum");
        assert!(
            matches!(error, DecompressError::Frame { error: FrameError::ChecksumMismatch { .. }, member_at } if member_at == last as u64 - 3),
            "{error}"
        );
    }
}

#[test]
fn what_follows_is_an_error_or_left() {
    let engine = engine(Device::Software);
    let bytes = text(1000);
    let stream = independent(&bytes);
    let more = [&stream[..], b"more"].concat();
    let error = read(&engine, &more, expects(u64::MAX)).expect_err("more");
    assert!(matches!(flaw(&error), DecodeError::Trailing { at } if at == stream.len() as u64), "{error}");
    let (error, _) = block_on(engine.decompress(more.clone(), vec![0; 1000], Format::Lz4)).expect_err("more");
    assert!(matches!(error, DecompressError::Frame { error: FrameError::WrongMagic { .. }, .. }), "{error}");
    let how = Decompression { trailing: Trailing::Leave, ..expects(u64::MAX) };
    let mut reader = engine.decompress_reader(&more[..], how);
    let mut out = Vec::new();
    reader.read_to_end(&mut out).expect("expands");
    let (rest, ahead) = reader.into_parts();
    assert_eq!((out, [&ahead[..], rest].concat()), (bytes, b"more".to_vec()));
}

/// A stream of a few bytes that comes to many is stopped at the caller's word.
#[test]
fn more_than_is_wanted_is_refused() {
    for device in [Device::Software, Device::EmulatedQat] {
        let engine = engine(device);
        let stream = independent(&vec![0; 10 << 20]);
        assert!(stream.len() < 100_000);
        let error = read(&engine, &stream, expects(1 << 20)).expect_err("a bomb");
        assert!(
            matches!(flaw(&error), DecodeError::OutputFull { output_bytes_max: 1_048_576, .. }),
            "{error}"
        );
        let (error, buffers) =
            block_on(engine.decompress(stream, vec![0; 1 << 20], Format::Lz4)).expect_err("a bomb");
        assert!(matches!(error, DecompressError::Operation(Error::OutputFull { .. })), "{error}");
        assert!(buffers.is_some());
    }
}

fn program(arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child = Command::new("lz4")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("lz4: {error}"));
    let mut stdin = child.stdin.take().expect("piped");
    let input = input.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().expect("runs");
    writer.join().expect("no panic").expect("takes its input");
    assert!(output.status.success(), "lz4 {arguments:?}");
    output.stdout
}

#[test]
#[ignore = "needs the program lz4"]
fn the_program_reads_and_writes_the_same() {
    let bytes = text(2_000_000);
    for device in [Device::Software, Device::EmulatedQat] {
        let engine = engine(device);
        assert!(program(&["-dc"], &compress(&engine, &bytes).0) == bytes);
        for arguments in
            [&["-1"][..], &["-9"], &["-BD"], &["-BX"], &["-B4", "--no-frame-crc"], &["--content-size"]]
        {
            let stream = program(&[arguments, &["-c"]].concat(), &bytes);
            let done = block_on(engine.decompress(stream.clone(), vec![0; bytes.len()], Format::Lz4))
                .expect("expands");
            assert!(done.buffers.1 == bytes, "{arguments:?}");
            assert!(read(&engine, &stream, expects(u64::MAX)).expect("expands") == bytes, "{arguments:?}");
        }
    }
}
