//! Miniblocks on an emulated IAA and on the CPU engine: streams made of them are what zlib reads, and any range of their data
//! is that of the data; of any other stream, index and place both engines say the same.
//!
//! Input: six bytes that choose sizes and a range, then data to compress, which is repeated; or changes to what was made of it;
//! or a stream as it is.
#![no_main]

use std::ops::Range;
use std::sync::LazyLock;

use flate2::{Decompress, FlushDecompress, Status};
use libfuzzer_sys::fuzz_target;
use svala_engine::{
    DeflateOptions, Device, Engine, Error, Failed, MiniblockFault, MiniblockHeader, MiniblockIndex,
    MiniblockSize, Miniblocks, block_on, compressed_bytes_max,
};

#[expect(dead_code, reason = "what only messages need")]
mod both;

use both::{Ending, kind, room};

/// Two miniblocks of the largest size, and not whole ones.
const ROOM: usize = 40 << 10;

/// The CPU, and the device before it.
static ENGINES: LazyLock<[Engine; 2]> = LazyLock::new(|| {
    [Device::Software, Device::Emulated]
        .map(|device| Engine::builder().device(device).cpu_threads(1).open().unwrap())
});

fn deflated(engine: &Engine, data: &[u8], size: MiniblockSize) -> Vec<u8> {
    let dst = room(compressed_bytes_max(data.len()));
    let done = block_on(engine.deflate_miniblocks(data.to_vec(), dst, size, DeflateOptions::default()));
    let (_, stream) = Ending::of(done, data, |made| made.written).value.expect("compresses");
    stream
}

fn zlib(stream: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(ROOM + 1);
    let status = Decompress::new(false).decompress_vec(stream, &mut out, FlushDecompress::Finish);
    (matches!(status, Ok(Status::StreamEnd)) && out.len() <= ROOM).then_some(out)
}

/// The index of a stream, which both engines have to find.
fn index(stream: &[u8], size: MiniblockSize) -> Option<MiniblockIndex> {
    let [by_cpu, by_device] = ENGINES.each_ref().map(|engine| {
        let done = block_on(engine.index_miniblocks(stream.to_vec(), size));
        done.map(|done| done.value).map_err(|failed| kind(&failed.error))
    });
    assert_eq!(by_device, by_cpu, "the device and the CPU");
    by_cpu.ok()
}

/// A range of the data, by both engines.
fn range(
    stream: &[u8],
    index: &MiniblockIndex,
    range: Range<usize>,
    bytes: usize,
) -> Result<Vec<u8>, String> {
    let [by_cpu, by_device] = ENGINES.each_ref().map(|engine| {
        let done = block_on(engine.inflate_range(stream.to_vec(), room(bytes), index, range.clone()));
        Ending::of(done, stream, |written| *written)
    });
    assert!(by_device.is_as(&by_cpu), "{range:?}: the device {by_device:?}, the CPU {by_cpu:?}");
    by_cpu.value.map(|(_, bytes)| bytes)
}

/// Ranges of an index that a stream has are those of the data.
fn check(stream: &[u8], index: &MiniblockIndex, data: &[u8], (first, count): (usize, usize)) {
    assert_eq!(index.data_bytes(), data.len() as u64);
    let all = index.entries().len();
    if all == 0 {
        return;
    }
    let from = first % all;
    for miniblocks in [0..all, from..all.min(from + 1 + count), all - 1..all] {
        let bytes = index.data(miniblocks.clone());
        let (start, end) = (bytes.start as usize, bytes.end as usize);
        let found = range(stream, index, miniblocks.clone(), end - start);
        assert_eq!(found.as_deref(), Ok(&data[start..end]), "{miniblocks:?}");
        let short = range(stream, index, miniblocks, end - start - 1);
        assert_eq!(short.err().as_deref(), Some("OutputFull"));
    }
}

/// Miniblocks at any places. Data with another CRC is the same for both, and right with the CRC that was found.
fn places(stream: &[u8], miniblocks: Miniblocks) {
    let ask = |miniblocks| {
        ENGINES.each_ref().map(|engine| {
            let done = block_on(engine.inflate_miniblocks(stream.to_vec(), room(ROOM), miniblocks));
            let found = match &done {
                Err(Failed {
                    error: Error::Miniblock { fault: MiniblockFault::Crc { found, .. }, .. },
                    ..
                }) => Some(*found),
                _ => None,
            };
            (Ending::of(done, stream, |made| made.written), found)
        })
    };
    let [(by_cpu, found), (by_device, _)] = ask(miniblocks);
    assert!(by_device.is_as(&by_cpu), "{miniblocks:?}: the device {by_device:?}, the CPU {by_cpu:?}");
    if let Some(crc) = found {
        let [(by_cpu, _), (by_device, _)] = ask(Miniblocks { crc, ..miniblocks });
        assert!(by_cpu.value.is_ok() && by_device.is_as(&by_cpu), "{by_device:?}, the CPU {by_cpu:?}");
    }
}

/// The parts of an index with bytes of the input in them.
fn changed(index: &MiniblockIndex, changes: &[u8]) -> Option<MiniblockIndex> {
    let (mut entries, mut headers) = (index.entries().to_vec(), index.headers().to_vec());
    let mut bytes = index.data_bytes();
    for change in changes.chunks_exact(4) {
        let (at, by) = (usize::from(change[1]), u32::from(change[2]) << (change[3] % 25));
        match change[0] % 4 {
            0 => *entries.get_mut(at)? ^= u64::from(by),
            1 => headers.get_mut(at)?.bit ^= by,
            2 => headers.get_mut(at)?.miniblock ^= by,
            _ => bytes ^= u64::from(by),
        }
    }
    headers.truncate(headers.len().max(1));
    MiniblockIndex::from_parts(index.size(), entries, headers, bytes).ok()
}

/// An index of nothing but bytes of the input.
fn any_index(bytes: &[u8], size: MiniblockSize) -> Option<MiniblockIndex> {
    let words: Vec<u64> = bytes.as_chunks().0.iter().map(|word| u64::from_le_bytes(*word)).collect();
    let (headers, entries) = words.split_at(words.len().min(1 + usize::from(bytes.len() > 64)));
    let header = |word: &u64| MiniblockHeader { bit: *word as u32, miniblock: (*word >> 32) as u32 };
    let data_bytes = entries.len() as u64 * size.bytes();
    MiniblockIndex::from_parts(size, entries.to_vec(), headers.iter().map(header).collect(), data_bytes).ok()
}

fuzz_target!(|input: &[u8]| {
    let Some((choice, rest)) = input.split_first_chunk::<6>() else { return };
    let [how, times, first, count, a, b] = *choice;
    let size = MiniblockSize::ALL[usize::from(how >> 2) % MiniblockSize::ALL.len()];
    let asked = (usize::from(first), usize::from(count));
    let (changes, rest) = rest.split_at(rest.len().min(usize::from(a % 64)));
    if how & 3 == 0 {
        if let Some(index) = index(rest, size) {
            // What has an index is a stream.
            match zlib(rest) {
                Some(data) => check(rest, &index, &data, asked),
                None => assert!(index.data_bytes() > ROOM as u64),
            }
        }
        if let Some(index) = any_index(changes, size) {
            let _ = range(rest, &index, asked.0..asked.0.saturating_add(asked.1), ROOM);
        }
        let word = |at: usize| {
            let bytes = changes.get(at..at + 2).map_or([0; 2], |bytes| [bytes[0], bytes[1]]);
            u32::from(u16::from_le_bytes(bytes))
        };
        let miniblocks =
            Miniblocks { header: word(0), start: word(2), end: word(4), crc_before: word(6), crc: word(8) };
        return places(rest, miniblocks);
    }
    let mut data = rest.repeat(usize::from(times) + 1);
    data.truncate(ROOM);
    let mut stream = deflated(&ENGINES[usize::from(how >> 7)], &data, size);
    assert!(zlib(&stream).is_some_and(|read| read == data), "zlib reads something else");
    let whole = index(&stream, size).expect("was made of miniblocks");
    if how & 3 == 1 {
        return check(&stream, &whole, &data, asked);
    }
    // A stream with one thing changed, by the index of what it was and by its own; or another index.
    if how & 3 == 2 {
        let at = usize::from(u16::from_le_bytes([first, b])) % stream.len();
        stream[at] ^= 1 << (count % 8);
        if let Some(own) = index(&stream, size)
            && let Some(data) = zlib(&stream)
        {
            check(&stream, &own, &data, asked);
        }
    }
    if let Some(other) = changed(&whole, changes) {
        let _ = range(&stream, &other, asked.0..asked.0.saturating_add(asked.1), ROOM);
        let miniblocks = other.miniblocks(asked.0..asked.0.saturating_add(asked.1));
        if let Some(miniblocks) = miniblocks {
            places(&stream, miniblocks);
        }
    }
});
