//! What do 4 KiB at a random place of a compressed stream of 16 MiB cost: by miniblocks, by an index of segments, and from the
//! stream's beginning? And what do miniblocks cost in size, and in the speed of compressing?
//!
//! The rival is what a reader without an index has to do: zlib-rs (through flate2) and the CPU engine's own inflate go over the
//! stream, made by zlib-rs at the same level, up to the end of what is wanted. The others are the CPU engine with one thread.
//! Each answer is compared with the data before anything is timed; then all go to the same places in turns, and of each the
//! fastest round counts. Miniblocks are expanded and compared by zlib-rs as a whole.
//!
//! Run with `cargo bench -p svala-benches --bench random_access`.

use std::ops::Range;
use std::time::{Duration, Instant};

use flate2::{Compress, Compression as Level, Decompress, FlushCompress, FlushDecompress, Status};
use svala::{DeflateOptions, MiniblockSize};
use svala_benches::corpus::text;
use svala_engine::{
    Compression, Device, Engine, Format, Index, MiniblockIndex, Segments, block_on, compressed_bytes_max,
};
use svala_software::Inflater;

const BYTES: usize = 16 << 20;
const WANTED: usize = 4 << 10;
const SEGMENT_BYTES: usize = 1 << 20;
/// Bytes of output of one call, of who goes over the stream.
const PIECE_BYTES: usize = 64 << 10;
const LEVEL: u8 = 6;
/// Places of a round.
const PLACES: usize = 16;
const ROUNDS: u32 = 20;

fn main() {
    // Without `--bench` (as in tests) nothing is timed: everything is asked once.
    let is_timed = std::env::args().any(|arg| arg == "--bench");
    let engine = Engine::builder().device(Device::Software).cpu_threads(1).open().expect("the CPU");
    let data = text(BYTES);
    let made = sizes(&engine, &data, is_timed);
    places(&engine, &data, made, if is_timed { ROUNDS } else { 0 });
}

/// A stream in miniblocks.
struct Made {
    size: MiniblockSize,
    stream: Vec<u8>,
    index: MiniblockIndex,
}

/// What is made, and the fastest of several times.
fn fastest<T>(rounds: u32, mut make: impl FnMut() -> T) -> (T, Duration) {
    let mut timed = || {
        let start = Instant::now();
        let made = make();
        (made, start.elapsed())
    };
    let first = timed();
    (1..rounds).fold(first, |best, _| {
        let next = timed();
        if next.1 < best.1 { next } else { best }
    })
}

/// Compresses in miniblocks of each size, and without.
fn sizes(engine: &Engine, data: &[u8], is_timed: bool) -> Vec<Made> {
    let rounds = if is_timed { 3 } else { 1 };
    let options = DeflateOptions { level: LEVEL, ..DeflateOptions::default() };
    let row = |name: &str, bytes: usize, index_bytes: usize, time: Duration, indexing: Option<Duration>| {
        let rate = |time: Duration| data.len() as f64 / time.as_secs_f64() / 1e6;
        let per_cent = |bytes: usize| 100.0 * bytes as f64 / data.len() as f64;
        let indexing = indexing.map_or("-".into(), |time| format!("{:.0}", rate(time)));
        println!(
            "| {name} | {:.2} | {:.2} | {:.0} | {indexing} |",
            per_cent(bytes),
            per_cent(index_bytes),
            rate(time)
        );
    };
    println!("| compressed at level {LEVEL} | size, % | index, % | MB/s | index, MB/s |");
    println!("|---|---|---|---|---|");
    let (whole, time) = fastest(rounds, || zlib(data));
    row("zlib-rs", whole.len(), 0, time, None);
    let deflate = || {
        let room = vec![0; compressed_bytes_max(data.len())];
        let done = block_on(engine.deflate(data.to_vec(), room, options)).expect("room");
        cut(done.buffers.1, done.value.written)
    };
    let (whole, time) = fastest(rounds, deflate);
    assert!(expanded(&whole) == data);
    row("CPU engine, in one", whole.len(), 0, time, None);
    let ((whole, index), time) = fastest(rounds, || segments(engine, data));
    row("CPU engine, segments of 1 MiB", whole.len(), 16 * index.blocks().len(), time, None);
    let mut all = Vec::new();
    for size in MiniblockSize::ALL {
        let deflate = || {
            let room = vec![0; compressed_bytes_max(data.len())];
            let done = block_on(engine.deflate_miniblocks(data.to_vec(), room, size, options)).expect("room");
            cut(done.buffers.1, done.value.written)
        };
        let (stream, time) = fastest(rounds, deflate);
        assert!(expanded(&stream) == data, "{size:?}");
        let index = || block_on(engine.index_miniblocks(stream.clone(), size)).expect("miniblocks").value;
        let (index, indexing) = fastest(rounds, index);
        let index_bytes = 8 * (index.entries().len() + index.headers().len());
        row(&format!("miniblocks of {} B", size.bytes()), stream.len(), index_bytes, time, Some(indexing));
        all.push(Made { size, stream, index });
    }
    all
}

fn cut(mut room: Vec<u8>, written: u64) -> Vec<u8> {
    room.truncate(usize::try_from(written).expect("small"));
    room
}

fn zlib(data: &[u8]) -> Vec<u8> {
    let mut stream = Vec::with_capacity(compressed_bytes_max(data.len()));
    let mut state = Compress::new(Level::new(LEVEL.into()), false);
    let status = state.compress_vec(data, &mut stream, FlushCompress::Finish);
    assert!(matches!(status, Ok(Status::StreamEnd)));
    stream
}

/// What zlib-rs makes of a stream.
fn expanded(stream: &[u8]) -> Vec<u8> {
    let mut data = Vec::with_capacity(BYTES + 1);
    let status = Decompress::new(false).decompress_vec(stream, &mut data, FlushDecompress::Finish);
    assert!(matches!(status, Ok(Status::StreamEnd)));
    data
}

fn segments(engine: &Engine, data: &[u8]) -> (Vec<u8>, Index) {
    let compression = Compression { format: Format::Raw, level: LEVEL };
    let mut segments = Segments::indexed(compression);
    let mut stream = segments.header().to_vec();
    let mut pieces = data.chunks(SEGMENT_BYTES).peekable();
    while let Some(piece) = pieces.next() {
        let room = vec![0; compressed_bytes_max(piece.len())];
        let segment = engine.segment(piece.to_vec(), room, compression, pieces.peek().is_none());
        let done = block_on(segment).expect("room");
        segments.add(&done.value, &done.buffers.0).expect("memory");
        stream.extend(cut(done.buffers.1, done.value.written));
    }
    let index = segments.index().expect("asked for").clone();
    (stream, index)
}

/// Who expands what is wanted.
struct Reader<'a> {
    name: String,
    read: Box<dyn FnMut(usize) -> Vec<u8> + 'a>,
    best: Duration,
}

/// Reads at random places.
fn places(engine: &Engine, data: &[u8], made: Vec<Made>, rounds: u32) {
    let whole = zlib(data);
    let (in_segments, index) = segments(engine, data);
    let mut readers = vec![
        Reader::new("from the beginning, zlib-rs", |at| by_zlib(&whole, at)),
        Reader::new("from the beginning, CPU engine", |at| by_engine(&whole, at)),
        Reader::new("segments of 1 MiB", |at| by_segments(engine, &in_segments, &index, at)),
    ];
    for Made { size, stream, index } in made {
        let mut lent = Some(stream);
        readers.push(Reader::new(&format!("miniblocks of {} B", size.bytes()), move |at| {
            let miniblocks = index.find(wanted(at)).expect("within");
            let all = index.data(miniblocks.clone());
            let room = vec![0; usize::try_from(all.end - all.start).expect("small")];
            let stream = lent.take().expect("given back");
            let done = block_on(engine.inflate_range(stream, room, &index, miniblocks)).expect("a range");
            lent = Some(done.buffers.0);
            let start = at - usize::try_from(all.start).expect("small");
            done.buffers.1[start..start + WANTED].to_vec()
        }));
    }
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 40).expect("24 bits") % (BYTES - WANTED)
    };
    for at in (0..4).map(|_| next()).chain([0, BYTES - WANTED]) {
        for reader in &mut readers {
            assert!((reader.read)(at) == data[at..at + WANTED], "{} at {at}", reader.name);
        }
    }
    for _ in 0..rounds {
        // The first half and the other have as many: what is before a place is what the rivals pay for.
        let places: Vec<usize> =
            (0..PLACES).map(|part| part * (BYTES / PLACES) + next() % (BYTES / PLACES - WANTED)).collect();
        for reader in &mut readers {
            let start = Instant::now();
            for at in &places {
                std::hint::black_box((reader.read)(*at));
            }
            reader.best = reader.best.min(start.elapsed());
        }
    }
    if rounds == 0 {
        return;
    }
    println!(
        "\n| 4 KiB at a random place | us | times as fast as zlib-rs | as segments |\n|---|---|---|---|"
    );
    let rivals = [readers[0].best, readers[2].best];
    for reader in &readers {
        let us = reader.best.as_secs_f64() * 1e6 / PLACES as f64;
        let [zlib, segments] = rivals.map(|rival| rival.as_secs_f64() / reader.best.as_secs_f64());
        println!("| {} | {us:.1} | {zlib:.1} | {segments:.1} |", reader.name);
    }
}

impl<'a> Reader<'a> {
    fn new(name: &str, read: impl FnMut(usize) -> Vec<u8> + 'a) -> Self {
        Self { name: name.to_owned(), read: Box::new(read), best: Duration::MAX }
    }
}

fn wanted(at: usize) -> Range<u64> {
    at as u64..(at + WANTED) as u64
}

/// Goes over a stream by a step that says how much it has written, up to the end of what is wanted.
fn over(at: usize, mut step: impl FnMut(&mut [u8]) -> usize) -> Vec<u8> {
    let (mut found, mut written, mut room) = (Vec::with_capacity(WANTED), 0, vec![0; PIECE_BYTES]);
    while written < at + WANTED {
        let bytes = PIECE_BYTES.min(at + WANTED - written);
        let made = step(&mut room[..bytes]);
        let start = at.saturating_sub(written).min(made);
        found.extend_from_slice(&room[start..made]);
        written += made;
    }
    found
}

fn by_zlib(stream: &[u8], at: usize) -> Vec<u8> {
    let mut state = Decompress::new(false);
    over(at, |room| {
        let (read, before) = (usize::try_from(state.total_in()).expect("small"), state.total_out());
        state.decompress(&stream[read..], room, FlushDecompress::None).expect("a stream");
        usize::try_from(state.total_out() - before).expect("small")
    })
}

fn by_engine(stream: &[u8], at: usize) -> Vec<u8> {
    let (mut state, mut read) = (Inflater::new(), 0);
    over(at, |room| {
        let done = state.inflate_some(&stream[read..], room).expect("a stream");
        read += done.read;
        done.written
    })
}

/// By one segment, or two where the end of one is among what is wanted.
fn by_segments(engine: &Engine, stream: &[u8], index: &Index, at: usize) -> Vec<u8> {
    let mut found = Vec::with_capacity(WANTED);
    let wanted = wanted(at);
    let mut next = wanted.start;
    while next < wanted.end {
        let block = index.find(next).expect("within");
        let place = |range: &Range<u64>| {
            usize::try_from(range.start).expect("small")..usize::try_from(range.end).expect("small")
        };
        let room = vec![0; place(&block.data).len()];
        let bytes = stream[place(&block.stream)].to_vec();
        let done = block_on(engine.decompress_block(bytes, room, block, Format::Raw));
        let done = done.map_err(|(error, _)| error).expect("a block");
        let inside = next - block.data.start..wanted.end.min(block.data.end) - block.data.start;
        found.extend_from_slice(&done.buffers.1[place(&inside)]);
        next = block.data.start + inside.end;
    }
    found
}
