//! What is measured: an operation of the CPU engine, and what it is measured against.
#![expect(
    clippy::unit_arg,
    reason = "an operation without an answer has one all the same, beside those that have one"
)]

use std::mem::take;
use std::sync::OnceLock;

use crc_fast::CrcAlgorithm::Crc16T10Dif;
use pollster::block_on;
use svala::{DifDestination, DifFormat, Runtime, Slice};
use svala_software::dif::{self, DestinationFields, FIELD_BYTES, Format, SourceChecks, Tags};
use svala_software::{Pattern, SoftwareConfig, SoftwareQueue, delta};

/// Most bytes of a source.
const BYTES_MAX: usize = 16 << 20;
/// Bytes of a block without its field.
const BLOCK_BYTES: usize = 512;
/// A pattern that is no single byte, and none that repeats in 8.
const WORDS: [u64; 2] = [0x0807_0605_0403_0201, 0x1817_1615_1413_1211];

/// An operation and its rival. Both give an answer, and may write to [`Room::first`] and [`Room::second`].
pub(crate) struct Pair {
    pub(crate) name: &'static str,
    pub(crate) rival_name: &'static str,
    /// Most bytes it can work on.
    pub(crate) bytes_max: usize,
    pub(crate) ours: fn(&mut Room, usize) -> u64,
    pub(crate) rival: fn(&mut Room, usize) -> u64,
}

impl Pair {
    const fn new(
        name: &'static str,
        rival_name: &'static str,
        ours: fn(&mut Room, usize) -> u64,
        rival: fn(&mut Room, usize) -> u64,
    ) -> Self {
        Self { name, rival_name, bytes_max: BYTES_MAX, ours, rival }
    }
}

/// The buffers, all of them warm.
pub(crate) struct Room {
    /// Noise.
    src: Vec<u8>,
    /// The same noise.
    same: Vec<u8>,
    /// The first pattern, repeated.
    repeated: Vec<u8>,
    /// The noise in blocks with fields.
    woven: Vec<u8>,
    /// Written.
    pub(crate) first: Vec<u8>,
    /// Written.
    pub(crate) second: Vec<u8>,
}

impl Room {
    pub(crate) fn new() -> Self {
        let mut state = 1_u64;
        let words = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state ^ state >> 29).to_le_bytes()
        });
        let src: Vec<u8> = words.take(BYTES_MAX / 8).flatten().collect();
        let mut woven = vec![0; woven_bytes(BYTES_MAX)];
        insert_by_loop(&src, &mut woven);
        Self {
            same: src.clone(),
            repeated: WORDS[0].to_le_bytes().repeat(BYTES_MAX / 8),
            first: vec![1; woven.len()],
            second: vec![1; woven.len()],
            src,
            woven,
        }
    }

    pub(crate) fn wipe(&mut self) {
        self.first.fill(0xee);
        self.second.fill(0xee);
    }
}

const fn woven_bytes(len: usize) -> usize {
    len / BLOCK_BYTES * (BLOCK_BYTES + FIELD_BYTES)
}

/// The arithmetic itself.
pub(crate) const PAIRS: [Pair; 15] = [
    Pair::new("copy", "copy_from_slice", copy, copy_by_slice),
    Pair::new(
        "fill, one byte",
        "memset",
        |room, len| fill(room, len, Pattern::from_u64(0)),
        |room, len| done(room.first[..len].fill(0)),
    ),
    Pair::new(
        "fill, 8 bytes",
        "slice::fill of u64",
        |room, len| fill(room, len, Pattern::from_u64(WORDS[0])),
        |room, len| fill_by_words(&mut room.first[..len], WORDS[0]),
    ),
    Pair::new(
        "fill, 16 bytes",
        "slice::fill of [u8; 16]",
        |room, len| fill(room, len, Pattern::from_words(WORDS[0], WORDS[1])),
        |room, len| fill_by_pairs(&mut room.first[..len]),
    ),
    Pair::new(
        "compare, equal",
        "memcmp",
        |room, len| offset(svala_software::first_difference(&room.src[..len], &room.same[..len])),
        |room, len| if room.src[..len] == room.same[..len] { u64::MAX } else { 0 },
    ),
    Pair::new(
        "compare pattern, equal",
        "vectorised loop",
        |room, len| {
            let data = &room.repeated[..len];
            offset(svala_software::first_difference_from_pattern(data, Pattern::from_u64(WORDS[0])))
        },
        |room, len| if is_repeated(&room.repeated[..len], WORDS[0]) { u64::MAX } else { 0 },
    ),
    Pair::new(
        "CRC-32C",
        "crc32c",
        |room, len| svala_software::crc32c(0, &room.src[..len]).into(),
        |room, len| crc32c::crc32c(&room.src[..len]).into(),
    ),
    Pair::new(
        "CRC-64/NVME",
        "crc64fast-nvme",
        |room, len| svala_software::crc64(0, &room.src[..len]),
        |room, len| crc64_by_rival(&room.src[..len]),
    ),
    Pair::new(
        "copy with CRC-32C",
        "copy_from_slice, crc-fast",
        |room, len| svala_software::copy_crc32c(0, &room.src[..len], &mut room.first[..len]).into(),
        |room, len| {
            copy_by_slice(room, len);
            crc_fast::crc32_iscsi(&room.src[..len]).into()
        },
    ),
    Pair::new(
        "copy with CRC-64",
        "copy_from_slice, crc-fast",
        |room, len| svala_software::copy_crc64(0, &room.src[..len], &mut room.first[..len]),
        |room, len| {
            copy_by_slice(room, len);
            crc_fast::crc64_nvme(&room.src[..len])
        },
    ),
    Pair::new("DIF insert, 512", "loop with crc-fast", insert, |room, len| {
        insert_by_loop(&room.src[..len], &mut room.first)
    }),
    Pair::new(
        "DIF check, 512",
        "loop with crc-fast",
        |room, len| {
            let woven = &room.woven[..woven_bytes(len)];
            let (checks, mut tags) = (SourceChecks::default(), Tags::default());
            u64::from(dif::check(Format::default(), checks, &mut tags, woven).is_ok())
        },
        |room, len| u64::from(check_by_loop(&room.woven[..woven_bytes(len)])),
    ),
    Pair {
        bytes_max: delta::RANGE_BYTES_MAX,
        ..Pair::new(
            "create delta, equal",
            "floor: memcmp",
            |room, len| {
                let record = &mut room.first[..1000];
                let created = delta::create(&room.src[..len], &room.same[..len], record);
                u64::from(created.is_ok_and(|created| created.outcome == delta::Outcome::Equal))
            },
            |room, len| u64::from(room.src[..len] == room.same[..len]),
        )
    },
    Pair::new(
        "dualcast",
        "two copy_from_slice",
        |room, len| {
            let (first, second) = (&mut room.first[..len], &mut room.second[..len]);
            done(svala_software::dualcast(&room.src[..len], first, second))
        },
        |room, len| {
            copy_by_slice(room, len);
            done(room.second[..len].copy_from_slice(&room.src[..len]))
        },
    ),
    Pair::new(
        "CRC-32C",
        "crc-fast",
        |room, len| svala_software::crc32c(0, &room.src[..len]).into(),
        |room, len| crc_fast::crc32_iscsi(&room.src[..len]).into(),
    ),
];

/// The same through the runtime: slot, future and, for what is large, workers.
pub(crate) const THROUGH_THE_QUEUE: [Pair; 3] = [
    Pair::new("copy, through the queue", "copy_from_slice", copy_awaited, copy_by_slice),
    Pair::new("CRC-32C, through the queue", "crc32c", crc32c_awaited, |room, len| {
        crc32c::crc32c(&room.src[..len]).into()
    }),
    Pair::new("DIF insert, 512, through the queue", "loop with crc-fast", insert_awaited, |room, len| {
        insert_by_loop(&room.src[..len], &mut room.first)
    }),
];

fn done((): ()) -> u64 {
    0
}

fn offset(at: Option<usize>) -> u64 {
    at.map_or(u64::MAX, |at| at as u64)
}

fn copy(room: &mut Room, len: usize) -> u64 {
    done(svala_software::copy(&room.src[..len], &mut room.first[..len]))
}

fn copy_by_slice(room: &mut Room, len: usize) -> u64 {
    done(room.first[..len].copy_from_slice(&room.src[..len]))
}

fn fill(room: &mut Room, len: usize, pattern: Pattern) -> u64 {
    done(svala_software::fill(&mut room.first[..len], pattern))
}

/// The lengths measured are whole words.
fn fill_by_words(dst: &mut [u8], word: u64) -> u64 {
    let (words, _) = dst.as_chunks_mut::<8>();
    done(words.fill(word.to_le_bytes()))
}

fn fill_by_pairs(dst: &mut [u8]) -> u64 {
    let (pairs, _) = dst.as_chunks_mut::<16>();
    let pattern = (u128::from(WORDS[1]) << 64 | u128::from(WORDS[0])).to_le_bytes();
    done(pairs.fill(pattern))
}

/// Differences of 256 bytes are put together before they are looked at, so that the compiler can make vectors of it.
fn is_repeated(data: &[u8], word: u64) -> bool {
    let (words, _) = data.as_chunks::<8>();
    words
        .chunks(32)
        .all(|words| words.iter().fold(0, |all, bytes| all | u64::from_le_bytes(*bytes) ^ word) == 0)
}

fn crc64_by_rival(data: &[u8]) -> u64 {
    let mut digest = crc64fast_nvme::Digest::new();
    digest.write(data);
    digest.sum64()
}

fn guard(block: &[u8]) -> [u8; 2] {
    let bytes = crc_fast::checksum(Crc16T10Dif, block).to_be_bytes();
    [bytes[6], bytes[7]]
}

/// The field of a block with the reference tag counting from 0 and the application tag 0.
fn field(guard: [u8; 2], index: usize) -> [u8; FIELD_BYTES] {
    let [.., r3, r2, r1, r0] = index.to_be_bytes();
    [guard[0], guard[1], 0, 0, r3, r2, r1, r0]
}

fn insert_by_loop(src: &[u8], dst: &mut [u8]) -> u64 {
    let blocks = src.chunks_exact(BLOCK_BYTES).zip(dst.chunks_exact_mut(BLOCK_BYTES + FIELD_BYTES));
    for (index, (data, block)) in blocks.enumerate() {
        block[..BLOCK_BYTES].copy_from_slice(data);
        block[BLOCK_BYTES..].copy_from_slice(&field(guard(data), index));
    }
    0
}

fn check_by_loop(woven: &[u8]) -> bool {
    woven.chunks_exact(BLOCK_BYTES + FIELD_BYTES).enumerate().all(|(index, block)| {
        let (data, found) = block.split_at(BLOCK_BYTES);
        *found == field(guard(data), index)
    })
}

fn insert(room: &mut Room, len: usize) -> u64 {
    let (fields, mut tags) = (DestinationFields::default(), Tags::default());
    let dst = &mut room.first[..woven_bytes(len)];
    let made = dif::insert(Format::default(), fields, &mut tags, &room.src[..len], dst);
    made.expect("whole blocks");
    0
}

fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        let queue = SoftwareQueue::new(SoftwareConfig::default()).expect("a queue needs threads");
        Runtime::builder().queue(queue).build().expect("a runtime needs a thread and an eventfd")
    })
}

/// The beginning of a buffer, to be lent.
fn beginning(buffer: &mut Vec<u8>, len: usize) -> Slice<Vec<u8>> {
    Slice::new(take(buffer), 0..len).expect("buffers are of the largest length")
}

fn copy_awaited(room: &mut Room, len: usize) -> u64 {
    let lent = (beginning(&mut room.src, len), beginning(&mut room.first, len));
    let copied = block_on(runtime().copy(lent.0, lent.1)).expect("copies").buffers;
    (room.src, room.first) = (copied.0.into_inner(), copied.1.into_inner());
    0
}

fn crc32c_awaited(room: &mut Room, len: usize) -> u64 {
    let summed = block_on(runtime().crc32c(beginning(&mut room.src, len), 0)).expect("sums up");
    room.src = summed.buffers.into_inner();
    summed.value.into()
}

fn insert_awaited(room: &mut Room, len: usize) -> u64 {
    let lent = (beginning(&mut room.src, len), beginning(&mut room.first, woven_bytes(len)));
    let (format, destination) = (DifFormat::default(), DifDestination::default());
    let inserted = block_on(runtime().dif_insert(lent.0, lent.1, format, destination));
    let (src, dst) = inserted.expect("whole blocks").buffers;
    (room.src, room.first) = (src.into_inner(), dst.into_inner());
    0
}
