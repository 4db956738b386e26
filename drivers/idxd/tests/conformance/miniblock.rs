//! Miniblocks: streams of them, their index, and any of them by itself. The judge of places is a reader that goes bit by bit.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use svala::{
    BlockStart, Check, DeflateOptions, Error, IoBuf, MiniblockFault, MiniblockSize, Miniblocks, Operation,
    Outcome,
};

use super::places::{Block, blocks};
use super::streams::{crc32, python};
use crate::support::{Setup, State, noise, text};

const INDEX: Operation = Operation::IndexMiniblocks;
const INFLATE: Operation = Operation::InflateMiniblocks;

fn size_of(size: MiniblockSize) -> usize {
    usize::try_from(size.bytes()).expect("fits")
}

/// Text, and noise that nothing makes smaller.
fn mixed(len: usize) -> Vec<u8> {
    [text(len / 2), noise(len - len / 2, 4)].concat()
}

fn deflated(setup: &Setup, data: &[u8], size: MiniblockSize, level: u8, state: State) -> Vec<u8> {
    let options = DeflateOptions { level, last: true, check: Check::Crc32 };
    let room = state.destination(data.len() * 9 / 8 + 64 * (data.len() / size_of(size) + 1), 3);
    let deflate = setup.runtime.deflate_miniblocks(state.source(data, 9), room, size, options);
    let done = setup.well(Operation::DeflateMiniblocks, deflate);
    assert_eq!((done.value.check, done.report.bytes), (crc32(data), data.len() as u64));
    done.buffers.1.bytes()[..usize::try_from(done.value.written).expect("fits")].to_vec()
}

/// Streams that zlib reads, and of which each miniblock refers to nothing else.
pub(crate) fn deflate(setup: &Setup) {
    if !setup.offers(Operation::DeflateMiniblocks) {
        return;
    }
    for (len, level) in [(1, 6), (511, 6), (512, 1), (4096, 9), (40_000, 2), (100_000, 6), (140_000, 1)] {
        for (size, state) in MiniblockSize::ALL.into_iter().zip(State::BOTH.into_iter().cycle()) {
            for data in [mixed(len), vec![7; len], noise(len, 6)] {
                let stream = deflated(setup, &data, size, level, state);
                let what = format!("{len} bytes by {size:?} at level {level}, {state:?}");
                let mut out = Vec::with_capacity(len + 1);
                let read = Decompress::new(false).decompress_vec(&stream, &mut out, FlushDecompress::Finish);
                assert!(matches!(read, Ok(flate2::Status::StreamEnd)) && out == data, "{what}");
                // Panics if a match goes on in the next miniblock.
                let (blocks, read) = blocks(&stream, size_of(size));
                assert!(read == data, "{what}");
                assert!(blocks.iter().all(|block| block.data.start % size_of(size) == 0), "{what}");
            }
        }
    }
    // Runs cost a miniblock each, and no more than that.
    let stream = deflated(setup, &vec![7; 65_536], MiniblockSize::Kib4, 6, State::Warm);
    assert!(stream.len() < 700, "{} bytes", stream.len());
}

/// A stream, its miniblocks' size, and where they are.
struct Sample {
    stream: Vec<u8>,
    size: MiniblockSize,
    blocks: Vec<Block>,
    data: Vec<u8>,
}

impl Sample {
    fn new(stream: Vec<u8>, size: MiniblockSize) -> Self {
        let (blocks, data) = blocks(&stream, size_of(size));
        Self { stream, size, blocks, data }
    }

    fn start(&self, block: &Block) -> BlockStart {
        BlockStart { bit: block.header, crc: crc32(&self.data[..block.data.start]) }
    }

    /// Miniblocks `first` to `last` of `block`, and their data.
    fn miniblocks(&self, block: &Block, first: usize, last: usize) -> (Miniblocks, &[u8]) {
        let from = block.data.start + first * size_of(self.size);
        let end = block.data.end.min(block.data.start + (last + 1) * size_of(self.size));
        let (start, crc_before) = match first {
            0 => (block.header, self.start(block).crc),
            first => block.entries[first - 1],
        };
        let (behind, crc) = block.entries[last];
        (Miniblocks { header: block.header, start, end: behind, crc_before, crc }, &self.data[from..end])
    }
}

/// Zlib's, with a block for each `piece` bytes, and blocks that begin at any bit.
fn huffman_only(data: &[u8], piece: usize) -> Vec<u8> {
    let script = format!(
        "import sys,zlib; c=zlib.compressobj(6,zlib.DEFLATED,-12,9,zlib.Z_HUFFMAN_ONLY); \
         d=sys.stdin.buffer.read(); o=sys.stdout.buffer; \
         [o.write(c.compress(d[i:i+{piece}])+c.flush(zlib.Z_PARTIAL_FLUSH)) for i in range(0,len(d),{piece})]; \
         o.write(c.flush())"
    );
    python(&script, data)
}

/// One block of the fixed codes in which each miniblock of 512 bytes is a zero, and that again.
fn zeros(miniblocks: usize) -> Vec<u8> {
    let mut bits = vec![1, 1, 0];
    let mut push = |word: u32, count: u32, is_code: bool| {
        let place = |at: u32| if is_code { count - 1 - at } else { at };
        bits.extend((0..count).map(|at| u8::from(word >> place(at) & 1 == 1)));
    };
    for _ in 0..miniblocks {
        push(0x30, 8, true);
        // 258 bytes from one before, and 253.
        push(0xc5, 8, true);
        push(0, 5, true);
        push(0xc4, 8, true);
        push(253 - 227, 5, false);
        push(0, 5, true);
    }
    push(0, 7, true);
    bits.chunks(8).map(|bits| bits.iter().rev().fold(0, |byte, bit| byte << 1 | bit)).collect()
}

fn samples() -> Vec<Sample> {
    let stored = {
        let mut state = Compress::new(Compression::none(), false);
        let mut stream = Vec::with_capacity(40_000);
        state.compress_vec(&noise(20_000, 3), &mut stream, FlushCompress::Finish).expect("room");
        stream
    };
    vec![
        Sample::new(huffman_only(&text(50_000), 16 << 10), MiniblockSize::Kib1),
        Sample::new(huffman_only(&mixed(30_000), 8 << 10), MiniblockSize::Kib8),
        Sample::new(huffman_only(&text(3), 512), MiniblockSize::Bytes512),
        Sample::new(stored, MiniblockSize::Kib2),
        Sample::new(zeros(10_000), MiniblockSize::Bytes512),
    ]
}

fn own_samples(setup: &Setup) -> Vec<Sample> {
    let sizes = [(MiniblockSize::Bytes512, 6), (MiniblockSize::Kib4, 2), (MiniblockSize::Kib32, 9)];
    let own = |(size, level)| Sample::new(deflated(setup, &mixed(90_001), size, level, State::Warm), size);
    // Stored blocks, and more than one of them in a part.
    let stored = deflated(setup, &noise(90_001, 6), MiniblockSize::Kib4, 6, State::Warm);
    let stored = Sample::new(stored, MiniblockSize::Kib4);
    sizes.into_iter().map(own).chain([stored]).chain(samples()).collect()
}

/// The index of each block, of streams of its own and of zlib's.
pub(crate) fn index(setup: &Setup) {
    if !setup.offers(INDEX) {
        return;
    }
    for sample in own_samples(setup) {
        for (at, block) in sample.blocks.iter().enumerate() {
            let state = State::BOTH[at % 2];
            let expected = block.bytes();
            let source = state.source(&sample.stream, 5);
            let room = state.destination(expected.len(), 3);
            let done =
                setup.well(INDEX, setup.runtime.index_block(source, room, sample.size, sample.start(block)));
            let what = format!("block {at} by {:?}, {state:?}", sample.size);
            assert!(done.buffers.1.bytes() == expected, "{what}");
            assert_eq!(done.value.bits, u64::from(block.end - block.header), "{what}");
            assert_eq!(done.value.written, expected.len() as u64, "{what}");
            assert_eq!(done.value.data, block.data.len() as u64, "{what}");
            assert_eq!(done.value.crc, crc32(&sample.data[..block.data.end]), "{what}");
        }
    }
}

/// The first, the last and some of the miniblocks of each block, one and several.
pub(crate) fn inflate(setup: &Setup) {
    if !setup.offers(INFLATE) {
        return;
    }
    for sample in own_samples(setup) {
        for (at, block) in sample.blocks.iter().enumerate() {
            let count = block.entries.len();
            let ranges = [(0, 0), (0, count - 1), (count - 1, count - 1), (1, 1), (count / 2, count - 1)];
            for (turn, (first, last)) in ranges.into_iter().enumerate().filter(|(_, (_, last))| *last < count)
            {
                let state = State::BOTH[(at + turn) % 2];
                let (miniblocks, data) = sample.miniblocks(block, first, last);
                let (source, room) = (state.source(&sample.stream, 5), state.destination(data.len(), turn));
                let done = setup.well(INFLATE, setup.runtime.inflate_miniblocks(source, room, miniblocks));
                let what = format!("{first} to {last} of block {at} by {:?}, {state:?}", sample.size);
                assert!(done.buffers.1.bytes() == data, "{what}");
                assert_eq!(
                    (done.value.written, done.value.check),
                    (data.len() as u64, miniblocks.crc),
                    "{what}"
                );
            }
        }
        // From the middle of a block into others, and to the end.
        let [first, .., last] = &sample.blocks[..] else { continue };
        if first.entries.len() < 2 {
            continue;
        }
        let (mut miniblocks, _) = sample.miniblocks(first, 1, 1);
        (miniblocks.end, miniblocks.crc) = last.entries[last.entries.len() - 1];
        let data = &sample.data[size_of(sample.size)..];
        let room = vec![0; data.len() + 9];
        let done =
            setup.well(INFLATE, setup.runtime.inflate_miniblocks(sample.stream.clone(), room, miniblocks));
        assert!(done.buffers.1[..data.len()] == *data && done.value.written == data.len() as u64);
    }
}

fn refusal<V: std::fmt::Debug, B>(outcome: Outcome<V, B>) -> Error {
    match outcome {
        Ok(done) => panic!("not refused: {:?}", done.value),
        Err(failed) => failed.error,
    }
}

/// Refused with a reason, and the buffers.
pub(crate) fn refused(setup: &Setup) {
    if !setup.offers(INFLATE) {
        return;
    }
    let size = MiniblockSize::Bytes512;
    let zlib = |data: &[u8]| {
        let mut state = Compress::new(Compression::new(6), false);
        let mut stream = Vec::with_capacity(2 * data.len() + 1000);
        state.compress_vec(data, &mut stream, FlushCompress::Finish).expect("room");
        stream
    };
    let index = |stream: &[u8], room: usize| {
        let index = setup.runtime.index_block(stream.to_vec(), vec![0; room], size, BlockStart::default());
        refusal(setup.end(INDEX, index))
    };
    let far = [&noise(512, 9)[..], &[0xaa], &noise(512, 9)[100..300]].concat();
    for (data, expected, at) in
        [(vec![7; 4000], MiniblockFault::Length, 0), (far, MiniblockFault::Distance, 512)]
    {
        let error = index(&zlib(&data), 800);
        let Error::Miniblock { fault, data_at, .. } = error else { panic!("{error}") };
        // A device says it of what was in one descriptor.
        assert!(fault == expected && data_at <= at, "{error}");
    }
    let sample = Sample::new(huffman_only(&text(5000), 8 << 10), size);
    let (stream, block) = (&sample.stream, &sample.blocks[0]);
    let error = index(stream, 79);
    assert!(matches!(error, Error::OutputFull { bytes_max: 79, .. }), "{error}");
    let error = index(&stream[..block.end as usize / 8 - 1], 80);
    assert!(matches!(error, Error::Stream { .. } | Error::Truncated { .. }), "{error}");
    let start = BlockStart { bit: 1 << 30, crc: 0 };
    let beyond = setup.runtime.index_block(stream.clone(), vec![0; 80], size, start);
    let error = refusal(setup.end(INDEX, beyond));
    assert!(matches!(error, Error::Truncated { len, .. } if len == stream.len() as u64), "{error}");

    let inflate = |stream: &[u8], room: usize, miniblocks: Miniblocks| {
        let inflate = setup.runtime.inflate_miniblocks(stream.to_vec(), vec![0; room], miniblocks);
        refusal(setup.end(INFLATE, inflate))
    };
    let (miniblocks, data) = sample.miniblocks(block, 3, 5);
    let error = inflate(stream, data.len(), Miniblocks { crc: !miniblocks.crc, ..miniblocks });
    let is_crc = |fault| fault == MiniblockFault::Crc { expected: !miniblocks.crc, found: miniblocks.crc };
    assert!(matches!(error, Error::Miniblock { fault, .. } if is_crc(fault)), "{error}");
    let error = inflate(stream, data.len() - 1, miniblocks);
    assert!(matches!(error, Error::OutputFull { bytes_max: 1535, .. }), "{error}");
    let error = inflate(&stream[..(miniblocks.end as usize - 1) / 8], data.len(), miniblocks);
    assert!(matches!(error, Error::Truncated { .. }), "{error}");
    let backwards = Miniblocks { start: miniblocks.end, end: miniblocks.start, ..miniblocks };
    let error = inflate(stream, data.len(), backwards);
    assert!(matches!(error, Error::Miniblock { fault: MiniblockFault::Places { .. }, .. }), "{error}");
    // One bit off: other data, or none.
    for start in [miniblocks.start - 1, miniblocks.start + 1] {
        let error = inflate(stream, 4 * data.len(), Miniblocks { start, ..miniblocks });
        let is_refused = matches!(
            error,
            Error::Miniblock { fault: MiniblockFault::Crc { .. }, .. }
                | Error::Stream { .. }
                | Error::Corrupt { .. }
        );
        assert!(is_refused, "{error}");
    }
}
