//! Files that are found on any Linux machine, there and back: compressed here and expanded by gzip, Python's zlib and
//! the LZ4 project's library, and the other way round.
//!
//! Which files is decided when the test runs, and printed with `--nocapture`; so is each place where there are none. This
//! program itself is always there.

#[path = "../../drivers/software/tests/oracle/mod.rs"]
mod oracle;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use svala_engine::{Compression, Device, Engine, Format, block_on, compressed_bytes_max};

use oracle::filter;

/// Where there may be files, what they are, and how they may end.
const PLACES: [(&str, &str, &[&str]); 7] = [
    ("programs", "/usr/bin", &[""]),
    ("libraries", "/usr/lib", &[".so", ".so.1", ".so.6", ".a"]),
    ("texts", "/usr/share/common-licenses", &[""]),
    ("manuals", "/usr/share/doc", &[".txt", ".html", "README", "copyright", "changelog"]),
    ("sources", "/usr/include", &[".h"]),
    ("scripts", "/usr/share/perl", &[".pm", ".pl"]),
    ("compressed already", "/usr/share", &[".gz", ".png", ".xz", ".mo"]),
];
/// Files of a place.
const FILES: usize = 2;
/// What of a file is used: more than a segment of a stream, so that some are joined.
const BYTES_MAX: u64 = (1 << 20) + (1 << 18);
/// Entries of directories that are looked at in a place.
const LOOKED_AT: usize = 4000;

/// The largest files of a place, as far as it was looked through.
fn files(place: &str, ends: &[&str]) -> Vec<PathBuf> {
    let (mut places, mut found, mut seen) = (vec![PathBuf::from(place)], Vec::new(), 0);
    while let Some(directory) = places.pop() {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            seen += 1;
            // Not through links, so there is no circle.
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() && seen < LOOKED_AT {
                places.push(entry.path());
            } else if kind.is_file() && ends.iter().any(|end| entry.path().to_string_lossy().ends_with(end)) {
                let len = entry.metadata().map_or(0, |metadata| metadata.len());
                found.push((len.min(BYTES_MAX), entry.path()));
            }
        }
    }
    found.sort();
    found.into_iter().rev().map(|(_, path)| path).take(FILES).collect()
}

fn start_of(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// What there is, with its name.
fn corpora() -> Vec<(String, Vec<u8>)> {
    let mut corpora = Vec::new();
    for (what, place, ends) in PLACES {
        let mut readable = 0;
        for path in files(place, ends) {
            match start_of(&path) {
                Ok(bytes) => {
                    readable += 1;
                    corpora.push((format!("{what}: {}", path.display()), bytes));
                }
                Err(error) => println!("{what}: {}: {error}", path.display()),
            }
        }
        if readable == 0 {
            println!("{what}: none in {place}");
        }
    }
    let own = start_of(Path::new("/proc/self/exe")).expect("this program can be read");
    corpora.push(("this program".to_owned(), own));
    corpora
}

const PYTHON_EXPANDS: &str = "import sys, zlib; d = zlib.decompressobj(15); \
    sys.stdout.buffer.write(d.decompress(sys.stdin.buffer.read()) + d.flush()); \
    sys.exit(not d.eof or len(d.unused_data))";
const PYTHON_COMPRESSES: &str =
    "import sys, zlib; sys.stdout.buffer.write(zlib.compress(sys.stdin.buffer.read()))";

fn compressed(engine: &Engine, bytes: &[u8], format: Format, level: u8) -> Vec<u8> {
    let room = vec![0; compressed_bytes_max(bytes.len())];
    let done = block_on(engine.compress(bytes.to_vec(), room, Compression { format, level }));
    let done = done.expect("compresses");
    let (_, mut stream) = done.buffers;
    stream.truncate(usize::try_from(done.value.written).expect("fits"));
    stream
}

/// The same as segments that are joined.
fn streamed(engine: &Engine, bytes: &[u8], format: Format, level: u8) -> Vec<u8> {
    let mut writer = engine.compress_writer(Vec::new(), Compression { format, level });
    writer.write_all(bytes).expect("compresses");
    writer.finish().expect("ends")
}

fn expanded(engine: &Engine, stream: Vec<u8>, len: usize, format: Format) -> Vec<u8> {
    let done = block_on(engine.decompress(stream, vec![0; len], format)).map_err(|(error, _)| error);
    let done = done.expect("expands");
    assert_eq!(done.value.written, len as u64);
    done.buffers.1
}

/// A frame by the LZ4 project's library.
fn by_lz4(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = lz4::EncoderBuilder::new().build(Vec::new()).expect("an encoder");
    encoder.write_all(bytes).expect("a vector takes all");
    let (frame, ended) = encoder.finish();
    ended.expect("a vector takes all");
    frame
}

#[test]
fn files_of_this_machine_go_there_and_back() {
    let engines = [Device::Software, Device::Emulated, Device::EmulatedQat]
        .map(|device| Engine::builder().device(device).open().expect("opens"));
    for (name, bytes) in corpora() {
        println!("{name}: {} bytes", bytes.len());
        let of_gzip = filter("gzip", &["-c"], &bytes);
        let of_python = filter("python3", &["-c", PYTHON_COMPRESSES], &bytes);
        let of_lz4 = by_lz4(&bytes);
        for engine in &engines {
            for level in [1, 6] {
                let whole = compressed(engine, &bytes, Format::Gzip, level);
                let joined = streamed(engine, &bytes, Format::Gzip, level);
                // Two members of one file.
                let both = filter("gzip", &["-dc"], &[whole, joined].concat());
                assert!(
                    both[..bytes.len()] == bytes && both[bytes.len()..] == bytes,
                    "{name}, level {level}"
                );
            }
            let zlib = streamed(engine, &bytes, Format::Zlib, 6);
            assert!(filter("python3", &["-c", PYTHON_EXPANDS], &zlib) == bytes, "{name}");
            assert!(expanded(engine, of_gzip.clone(), bytes.len(), Format::Gzip) == bytes, "{name}");
            assert!(expanded(engine, of_python.clone(), bytes.len(), Format::Zlib) == bytes, "{name}");
            let lz4 = streamed(engine, &bytes, Format::Lz4, 6);
            let mut theirs = Vec::new();
            lz4::Decoder::new(&lz4[..]).expect("a decoder").read_to_end(&mut theirs).expect("a frame");
            assert!(theirs == bytes, "{name}");
            assert!(expanded(engine, of_lz4.clone(), bytes.len(), Format::Lz4) == bytes, "{name}");
        }
    }
}
