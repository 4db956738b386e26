//! Which library deflates and inflates best, direction by direction and level by level? And does compression by blocks
//! scale over the CPUs?
//!
//! Libraries: zlib-rs (through flate2), libdeflate, miniz_oxide; and the CPU engine, of whole buffers, of segments that another
//! one follows, of streams in pieces of 64 KiB each way, and of a stream in segments over several threads.
//! Each works on the same warm buffers; what it makes is expanded by another library and compared before anything is timed.
//! Rounds are taken in turns, and the fastest of each counts, in time on a CPU: others use the machine as well.
//!
//! Run with `cargo bench -p svala-benches --bench deflate`. Figures are MB/s of data that is not compressed, and the size in
//! per cent.

use std::fmt;
use std::io::Write;
use std::time::{Duration, Instant};

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use libdeflater::{CompressionLvl, Compressor, Decompressor};
use nix::time::{ClockId, clock_gettime};
use svala_benches::corpus::text;
use svala_engine::{Device, Engine, STREAM_END};
use svala_software::{Deflater, Inflater, Level, Segment, Window};

const BYTES: usize = 4 << 20;
/// How long the libraries are measured on one question.
const MEASURED: Duration = Duration::from_secs(4);
const ROUNDS_MIN: u32 = 3;
/// Bytes of a piece, of a stream that comes in pieces.
const PIECE_BYTES: usize = 64 << 10;

fn main() {
    // Without `--bench` (as in tests) nothing is timed: each question is asked once.
    let measured = if std::env::args().any(|arg| arg == "--bench") { MEASURED } else { Duration::ZERO };
    let corpora = [("text", text(BYTES)), ("binary", binary()), ("mixed", mixed())];
    for (name, data) in &corpora {
        for level in [1, 3, 6, 9] {
            deflate(name, data, level, measured);
        }
        inflate(name, data, measured);
    }
    parallel(&corpora[0].1.repeat(8), measured);
}

/// This program.
fn binary() -> Vec<u8> {
    let mut bytes = std::fs::read("/proc/self/exe").expect("readable");
    bytes.truncate(BYTES);
    bytes
}

/// Numbers that grow by a little, as in a column.
fn mixed() -> Vec<u8> {
    let mut state = 7_u64;
    let mut value = 0_u64;
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        value += state >> 56;
        value.to_le_bytes()
    };
    std::iter::repeat_with(next).flatten().take(BYTES).collect()
}

/// Input and room to the size of what is made.
type Run<'a> = Box<dyn FnMut(&[u8], &mut [u8]) -> usize + 'a>;

struct Candidate<'a> {
    name: &'static str,
    run: Run<'a>,
    best: Duration,
    size: usize,
}

impl<'a> Candidate<'a> {
    fn new(name: &'static str, run: impl FnMut(&[u8], &mut [u8]) -> usize + 'a) -> Self {
        Self { name, run: Box::new(run), best: Duration::MAX, size: 0 }
    }
}

/// Runs all in turns until the time is over.
fn measure(
    candidates: &mut [Candidate<'_>],
    input: &[u8],
    room: &mut [u8],
    measured: Duration,
    clock: fn() -> Duration,
) {
    let start = Instant::now();
    let mut rounds = 0;
    while rounds < 1 || (!measured.is_zero() && (rounds < ROUNDS_MIN || start.elapsed() < measured)) {
        for candidate in candidates.iter_mut() {
            let start = clock();
            candidate.size = (candidate.run)(input, room);
            candidate.best = candidate.best.min(clock().saturating_sub(start));
        }
        rounds += 1;
    }
}

/// Time this thread has had a CPU: what the libraries take is counted however busy the machine is.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("every Linux has it");
    Duration::from(time)
}

/// Time that has passed: what several threads take together.
fn wall_time() -> Duration {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    START.get_or_init(Instant::now).elapsed()
}

struct Row<'a>(&'a [Candidate<'a>], usize);

impl fmt::Display for Row<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for candidate in self.0 {
            let rate = self.1 as f64 / candidate.best.as_secs_f64() / 1e6;
            let size = 100.0 * candidate.size as f64 / self.1 as f64;
            write!(f, " | {} {rate:.0} MB/s {size:.2}%", candidate.name)?;
        }
        Ok(())
    }
}

fn zlib_rs(level: u32) -> impl FnMut(&[u8], &mut [u8]) -> usize {
    let mut state = Compress::new(Compression::new(level), false);
    move |input, room| {
        state.reset();
        state.compress(input, room, FlushCompress::Finish).expect("room");
        usize::try_from(state.total_out()).expect("small")
    }
}

fn deflate(name: &str, data: &[u8], level: u8, measured: Duration) {
    let mut libdeflate = Compressor::new(CompressionLvl::new(level.into()).expect("a level"));
    let deflater = || Deflater::new(Level::new(level).expect("a level"), Window::DEFLATE);
    let (mut ours, mut joined) = (deflater(), deflater());
    let mut candidates = [
        Candidate::new("ours", move |input, room| {
            ours.deflate(input, room, Segment::Last).expect("room").written
        }),
        Candidate::new("ours, to go on", move |input, room| {
            let made = joined.deflate(input, room, Segment::NotLast).expect("room").written;
            // An end, so that it is a stream.
            room[made..made + STREAM_END.len()].copy_from_slice(&STREAM_END);
            made + STREAM_END.len()
        }),
        Candidate::new("zlib-rs", zlib_rs(level.into())),
        Candidate::new("libdeflate", move |input, room| {
            libdeflate.deflate_compress(input, room).expect("room")
        }),
        Candidate::new("miniz_oxide", move |input, room| {
            let made = miniz_oxide::deflate::compress_to_vec(input, level);
            room[..made.len()].copy_from_slice(&made);
            made.len()
        }),
    ];
    let mut room = vec![0; 2 * data.len()];
    for candidate in &mut candidates {
        let size = (candidate.run)(data, &mut room);
        let mut out = vec![0; data.len()];
        let back = Decompressor::new().deflate_decompress(&room[..size], &mut out).expect("a valid stream");
        assert!(back == data.len() && out == data, "{} at level {level}", candidate.name);
    }
    measure(&mut candidates, data, &mut room, measured, cpu_time);
    println!("deflate {name} level {level}{}", Row(&candidates, data.len()));
}

fn inflate(name: &str, data: &[u8], measured: Duration) {
    let mut stream = vec![0; 2 * data.len()];
    let size = zlib_rs(6)(data, &mut stream);
    stream.truncate(size);
    let mut ours = Inflater::new();
    let mut zlib_rs = Decompress::new(false);
    let mut libdeflate = Decompressor::new();
    let mut ours_in_pieces = Inflater::new();
    let mut zlib_rs_in_pieces = Decompress::new(false);
    let mut candidates = [
        Candidate::new("ours", move |input, room| ours.inflate(input, room).expect("valid").written),
        Candidate::new("ours, in pieces", move |input, room| {
            ours_in_pieces.reset();
            in_pieces(input, room, |input, room| {
                let done = ours_in_pieces.inflate_some(input, room).expect("valid");
                (done.read, done.written, done.ended)
            })
        }),
        Candidate::new("zlib-rs, in pieces", move |input, room| {
            zlib_rs_in_pieces.reset(false);
            in_pieces(input, room, |input, room| {
                let (read, written) = (zlib_rs_in_pieces.total_in(), zlib_rs_in_pieces.total_out());
                let status = zlib_rs_in_pieces.decompress(input, room, FlushDecompress::None).expect("valid");
                let progress = |now, before| usize::try_from(now - before).expect("small");
                let (now, there) = (zlib_rs_in_pieces.total_in(), zlib_rs_in_pieces.total_out());
                (progress(now, read), progress(there, written), status == Status::StreamEnd)
            })
        }),
        Candidate::new("zlib-rs", move |input, room| {
            zlib_rs.reset(false);
            zlib_rs.decompress(input, room, FlushDecompress::Finish).expect("valid");
            usize::try_from(zlib_rs.total_out()).expect("small")
        }),
        Candidate::new("libdeflate", move |input, room| {
            libdeflate.deflate_decompress(input, room).expect("valid")
        }),
        Candidate::new("miniz_oxide", |input, room| {
            miniz_oxide::inflate::decompress_slice_iter_to_slice(room, std::iter::once(input), false, true)
                .expect("valid")
        }),
    ];
    let mut room = vec![0; data.len()];
    for candidate in &mut candidates {
        room.fill(0);
        assert_eq!((candidate.run)(&stream, &mut room), data.len(), "{}", candidate.name);
        assert!(room == data, "{}", candidate.name);
    }
    measure(&mut candidates, &stream, &mut room, measured, cpu_time);
    println!("inflate {name}{}", Row(&candidates, data.len()));
}

/// Expands a piece at a time, by what says how far it came and whether that was the end.
fn in_pieces(
    input: &[u8],
    room: &mut [u8],
    mut expand: impl FnMut(&[u8], &mut [u8]) -> (usize, usize, bool),
) -> usize {
    let (mut read, mut written) = (0, 0);
    loop {
        let input = &input[read..input.len().min(read + PIECE_BYTES)];
        let end = room.len().min(written + PIECE_BYTES);
        let (took, gave, ended) = expand(input, &mut room[written..end]);
        read += took;
        written += gave;
        if ended {
            return written;
        }
        assert!(took + gave > 0, "no progress at {read}");
    }
}

/// One thread and all of them, as a stream in segments.
fn parallel(data: &[u8], measured: Duration) {
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let engine =
        |threads| Engine::builder().device(Device::Software).cpu_threads(threads).open().expect("opens");
    let (one, all) = (engine(1), engine(cpus));
    let write = |engine: Engine| {
        move |input: &[u8], _: &mut [u8]| {
            let mut writer =
                engine.compress_writer(Vec::with_capacity(input.len()), svala_engine::Compression::default());
            writer.write_all(input).expect("writes");
            writer.finish().expect("ends").len()
        }
    };
    let mut candidates = [
        Candidate::new("one thread", write(one)),
        Candidate::new("all threads", write(all)),
        Candidate::new("zlib-rs, whole", zlib_rs(6)),
    ];
    let mut room = vec![0; 2 * data.len()];
    measure(&mut candidates, data, &mut room, 2 * measured, wall_time);
    let scale = candidates[0].best.as_secs_f64() / candidates[1].best.as_secs_f64();
    println!("parallel, {cpus} CPUs, {} MiB{} | {scale:.2}x", data.len() >> 20, Row(&candidates, data.len()));
}
