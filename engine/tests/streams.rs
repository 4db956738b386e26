//! Framed streams through the engine, on each device, judged by gzip, Python's zlib and flate2.

#[path = "../../drivers/software/tests/oracle/mod.rs"]
mod oracle;

use std::io::Read;

use svala_engine::{
    Compression, DecompressError, Device, Engine, Error, ExpandError, Expander, Format, IoBuf, Path,
    Segments, block_on, compressed_bytes_max,
};

use oracle::filter;

fn engine(device: Device) -> Engine {
    Engine::builder().device(device).open().expect("opens")
}

fn each(body: fn(&Engine)) {
    for device in [Device::Software, Device::Emulated, Device::EmulatedQat] {
        body(&engine(device));
    }
}

fn text(len: usize) -> Vec<u8> {
    b"the swallow that hibernates underwater ".iter().copied().cycle().take(len).collect()
}

fn noise(len: usize) -> Vec<u8> {
    let mut state = 88_172_645_463_325_252_u64;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    })
    .flatten()
    .take(len)
    .collect()
}

fn compress(engine: &Engine, bytes: &[u8], format: Format) -> (Vec<u8>, Path) {
    let room = vec![0; compressed_bytes_max(bytes.len())];
    let compression = Compression { format, level: 6 };
    let done = block_on(engine.compress(bytes.to_vec(), room, compression)).expect("compresses");
    let (_, mut stream) = done.buffers;
    stream.truncate(usize::try_from(done.value.written).expect("fits"));
    (stream, done.report.path)
}

const PYTHON: &str = "import sys, zlib; d = zlib.decompressobj(int(sys.argv[1])); \
    sys.stdout.buffer.write(d.decompress(sys.stdin.buffer.read()) + d.flush()); assert d.eof and not d.unused_data";

#[test]
fn streams_are_read_by_gzip_and_by_python() {
    each(|engine| {
        for bytes in [Vec::new(), text(1), text(5_000_000), noise(3_000_000), vec![0; 4 << 20]] {
            let (gzip, _) = compress(engine, &bytes, Format::Gzip);
            assert!(filter("gzip", &["-dc"], &gzip) == bytes);
            let (zlib, path) = compress(engine, &bytes, Format::Zlib);
            match engine.device() {
                Device::EmulatedQat if !bytes.is_empty() => {
                    assert_eq!(path.to_string(), "emulated (emu-qat)")
                }
                _ => assert!(matches!(path, Path::Software { .. }), "an IAA computes no Adler-32: {path}"),
            }
            assert!(filter("python3", &["-c", PYTHON, "15"], &zlib) == bytes);
            let (raw, _) = compress(engine, &bytes, Format::Raw);
            assert!(filter("python3", &["-c", PYTHON, "-15"], &raw) == bytes);
        }
    });
}

#[test]
fn the_device_does_gzip_and_says_so() {
    let engine = engine(Device::Emulated);
    let (stream, path) = compress(&engine, &text(3_000_000), Format::Gzip);
    assert_eq!(path.to_string(), "emulated (emu-iaa)");
    let small = compress(&engine, &text(4000), Format::Gzip).0;
    let done = block_on(engine.decompress(small, vec![0; 4000], Format::Gzip)).map_err(|(error, _)| error);
    let done = done.expect("expands");
    assert_eq!(done.report.path.to_string(), "emulated (emu-iaa)");
    assert!(done.buffers.1 == text(4000));
    // More output than one descriptor takes: several, one after the other.
    let done =
        block_on(engine.decompress(stream, vec![0; 3_000_000], Format::Gzip)).map_err(|(error, _)| error);
    let done = done.expect("expands");
    assert_eq!(done.report.path.to_string(), "emulated (emu-iaa)");
    assert!(done.buffers.1 == text(3_000_000));
}

#[test]
fn streams_of_others_are_expanded() {
    each(|engine| {
        both_members(engine, &[text(100_000), noise(100_000), noise(100_000)].concat());
        // Small enough for the device, and each member the same: the trailers agree.
        both_members(engine, &text(3000));
    });
}

fn both_members(engine: &Engine, bytes: &[u8]) {
    let one = filter("gzip", &["-9c"], bytes);
    let two = [one.clone(), one.clone()].concat();
    for (stream, members) in [(one, 1_u32), (two, 2)] {
        let len = bytes.len() * members as usize;
        let done = block_on(engine.decompress(stream.clone(), vec![0; len], Format::Gzip));
        let done = done.map_err(|(error, _)| error).expect("expands");
        assert_eq!((done.value.members, done.value.read), (members, stream.len() as u64));
        assert!(done.buffers.1 == bytes.repeat(members as usize));
        let mut out = Vec::new();
        let mut expander = Expander::new(Format::Gzip);
        let expanded = expander.expand(&mut &stream[..], &mut out, &mut |_, _| true).expect("expands");
        assert_eq!((expanded.members, expanded.written), (members, len as u64));
        assert!(out == bytes.repeat(members as usize));
    }
}

#[test]
fn broken_streams_are_errors_and_the_buffers_come_back() {
    each(|engine| {
        let bytes = text(50_000);
        let good = filter("gzip", &["-c"], &bytes);
        let mut wrong_sum = good.clone();
        let at = wrong_sum.len() - 8;
        wrong_sum[at] ^= 1;
        let mut wrong_length = good.clone();
        let at = wrong_length.len() - 1;
        wrong_length[at] ^= 1;
        let mut corrupt = good.clone();
        corrupt[20] ^= 0xff;
        let cases: [(&str, Vec<u8>); 7] = [
            ("empty", Vec::new()),
            ("not gzip", text(100)),
            ("no body", good[..10].to_vec()),
            ("truncated", good[..good.len() / 2].to_vec()),
            ("checksum", wrong_sum),
            ("length", wrong_length),
            ("corrupt", corrupt),
        ];
        for (name, stream) in cases {
            let (error, buffers) =
                block_on(engine.decompress(stream.clone(), vec![0; 50_000], Format::Gzip)).expect_err(name);
            assert!(buffers.is_some_and(|(src, _)| src == stream), "{name}");
            let right = match name {
                "truncated" | "no body" => matches!(
                    error,
                    DecompressError::Operation(Error::Truncated { .. } | Error::Corrupt { .. })
                        | DecompressError::Frame { .. }
                ),
                "corrupt" => true,
                _ => matches!(error, DecompressError::Frame { .. }),
            };
            assert!(right, "{name}: {error}");
            let mut out = Vec::new();
            let expanded = Expander::new(Format::Gzip).expand(&mut &stream[..], &mut out, &mut |_, _| true);
            assert!(expanded.is_err(), "{name}");
        }
    });
}

#[test]
fn too_little_room_is_an_error() {
    each(|engine| {
        let failed = block_on(engine.compress(noise(10_000), vec![0; 5000], Compression::default()));
        let failed = failed.expect_err("does not fit");
        assert!(matches!(failed.error, Error::OutputFull { .. }), "{}", failed.error);
        assert!(failed.buffers.is_some_and(|(src, _)| src == noise(10_000)));
        for room in 0..20 {
            let failed = block_on(engine.compress(noise(100), vec![0; room], Compression::default()));
            assert!(matches!(failed.expect_err("does not fit").error, Error::OutputFull { .. }), "{room}");
        }
        let stream = compress(engine, &text(10_000), Format::Gzip).0;
        let (error, _) =
            block_on(engine.decompress(stream, vec![0; 9999], Format::Gzip)).expect_err("does not fit");
        assert!(matches!(error, DecompressError::Operation(Error::OutputFull { .. })), "{error}");
    });
}

#[test]
fn segments_made_in_any_order_are_one_stream() {
    each(|engine| {
        let bytes = [text(700_000), noise(700_000)].concat();
        let mut segments = Segments::new(Compression::default());
        let pieces: Vec<_> = bytes.chunks(300_000).collect();
        let mut made: Vec<_> = (0..pieces.len())
            .rev()
            .map(|i| {
                let room = vec![0; compressed_bytes_max(pieces[i].len())];
                let last = i + 1 == pieces.len();
                block_on(engine.segment(pieces[i].to_vec(), room, Compression::default(), last))
                    .expect("compresses")
            })
            .collect();
        made.reverse();
        let mut stream = segments.header().to_vec();
        for done in &made {
            segments.add(&done.value, &done.buffers.0).expect("memory");
            stream.extend(&done.buffers.1[..usize::try_from(done.value.written).expect("fits")]);
        }
        stream.extend(&*segments.trailer());
        let mut out = Vec::new();
        flate2::read::GzDecoder::new(&stream[..]).read_to_end(&mut out).expect("a gzip stream");
        assert!(out == bytes);
    });
}

#[test]
fn a_truncated_map_is_an_error_on_each_device() {
    each(|engine| {
        let file = tempfile::tempfile().expect("a file");
        file.set_len(8 << 20).expect("grows");
        let map = svala_engine::FileMap::open(&file).expect("maps");
        assert_eq!(map.span().len, 8 << 20);
        file.set_len(4096).expect("shrinks");
        let failed = block_on(engine.copy(map, vec![0; 8 << 20])).expect_err("vanished");
        assert!(matches!(failed.error, Error::Vanished { .. } | Error::Fault { .. }), "{}", failed.error);
        assert!(failed.buffers.is_some());
    });
}

#[test]
fn devices_that_do_not_exist_are_errors() {
    let missing =
        Engine::builder().device(Device::Path("/dev/dsa/wq9.9".into())).open().err().expect("missing");
    assert!(missing.to_string().starts_with("/dev/dsa/wq9.9: "), "{missing}");
    let other = Engine::builder().device(Device::Path("/dev/null".into())).open().err().expect("no queue");
    assert!(other.to_string().contains("/dev/null: no"), "{other}");
}

#[test]
fn an_expander_stops_when_told() {
    let stream = filter("gzip", &["-c"], &text(5_000_000));
    let mut out = Vec::new();
    let stopped = Expander::new(Format::Gzip).expand(&mut &stream[..], &mut out, &mut |_, _| false);
    assert!(matches!(stopped, Err(ExpandError::Stopped { .. })), "{stopped:?}");
}
