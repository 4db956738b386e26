//! What is measured: an operation of the CPU engine, and what it is measured against.
#![expect(
    clippy::unit_arg,
    reason = "an operation without an answer has one all the same, beside those that have one"
)]

use std::hint::black_box;
use std::mem::take;
use std::sync::OnceLock;

use pollster::block_on;
use svala::{DifDestination, DifFormat, Runtime, Slice};
use svala_benches::rivals::{
    self, BLOCK_BYTES, ENTRY_BYTES, FIELD_BYTES, check_by_loop, fill_by_pairs, fill_by_words, insert_by_loop,
};
use svala_software::dif::{self, DestinationFields, Format, SourceChecks, Tags};
use svala_software::numeric::{Combine, Conversion, Element, Reduction, Rules};
use svala_software::{AnyCrc, Pattern, SoftwareConfig, SoftwareQueue, delta, scatter_gather};

/// Most bytes of a source.
const BYTES_MAX: usize = 16 << 20;
/// Bytes of a block that is gathered from a place of its own.
const GATHERED_BYTES: usize = 1024;
/// Of the words that a delta record replaces, one in this many.
const DELTA_STRIDE: usize = 8;
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
    /// The noise with a word in eight changed, as far as a record can say so.
    changed: Vec<u8>,
    /// That record.
    record: Vec<u8>,
    /// Every block of the noise once, from everywhere.
    offsets: Vec<usize>,
    /// Numbers of single precision between 1 and 2.
    floats: Vec<u8>,
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
        let mut changed = src[..delta::RANGE_BYTES_MAX].to_vec();
        changed.iter_mut().step_by(8 * DELTA_STRIDE).for_each(|byte| *byte ^= 1);
        let mut record = vec![0; delta_bytes(changed.len())];
        rivals::create_delta_by_loop(&src, &changed, &mut record);
        let float = |word: &[u8; 4]| (u32::from_le_bytes(*word) >> 9 | 0x3f80_0000).to_le_bytes();
        Self {
            // An odd number of blocks further each time: all of them, none twice.
            offsets: (0..BYTES_MAX / GATHERED_BYTES)
                .map(|at| at * 4111 % (BYTES_MAX / GATHERED_BYTES) * GATHERED_BYTES)
                .collect(),
            floats: src.as_chunks().0.iter().flat_map(float).collect(),
            changed,
            record,
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

const fn delta_bytes(len: usize) -> usize {
    len / (8 * DELTA_STRIDE) * ENTRY_BYTES
}

/// What the machine and the harness make of two sides that are the same: the floor below which a ratio says nothing.
pub(crate) const NOISE: [Pair; 3] = [
    Pair::new("noise: memcmp", "itself", compare_by_slice, compare_by_slice),
    Pair::new("noise: copy_from_slice", "itself", copy_by_slice, copy_by_slice),
    Pair::new("noise: copy_from_slice, crc-fast", "itself", copy_crc_by_slice, copy_crc_by_slice),
];

/// The arithmetic itself.
pub(crate) const PAIRS: [Pair; 26] = [
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
        |room, len| done(fill_by_words(&mut room.first[..len], WORDS[0])),
    ),
    Pair::new(
        "fill, 16 bytes",
        "slice::fill of [u8; 16]",
        |room, len| fill(room, len, Pattern::from_words(WORDS[0], WORDS[1])),
        |room, len| done(fill_by_pairs(&mut room.first[..len], WORDS)),
    ),
    Pair::new(
        "compare, equal",
        "memcmp",
        |room, len| offset(svala_software::first_difference(&room.src[..len], &room.same[..len])),
        compare_by_slice,
    ),
    Pair::new(
        "compare pattern, equal",
        "vectorised loop",
        |room, len| {
            let data = &room.repeated[..len];
            offset(svala_software::first_difference_from_pattern(data, Pattern::from_u64(WORDS[0])))
        },
        |room, len| if rivals::is_repeated(&room.repeated[..len], WORDS[0]) { u64::MAX } else { 0 },
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
        |room, len| rivals::crc64(&room.src[..len]),
    ),
    Pair::new(
        "CRC of any polynomial",
        "crc-fast, with the polynomial",
        |room, len| {
            let crc = AnyCrc { polynomial: black_box(0xf4ac_fb13) << 32, reflect: true, invert: true };
            crc.checksum(&room.src[..len])
        },
        |room, len| rivals::crc_any(black_box(0xf4ac_fb13), &room.src[..len]),
    ),
    Pair::new(
        "copy with CRC-32C",
        "copy_from_slice, crc-fast",
        |room, len| svala_software::copy_crc32c(0, &room.src[..len], &mut room.first[..len]).into(),
        copy_crc_by_slice,
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
        done(insert_by_loop(&room.src[..len], &mut room.first))
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
    Pair::new(
        "DIF strip, 512",
        "loop with crc-fast",
        |room, len| {
            let (woven, dst) = (&room.woven[..woven_bytes(len)], &mut room.first[..len]);
            let (checks, mut tags) = (SourceChecks::default(), Tags::default());
            u64::from(dif::strip(Format::default(), checks, &mut tags, woven, dst).is_ok())
        },
        |room, len| {
            let woven = &room.woven[..woven_bytes(len)];
            u64::from(rivals::strip_by_loop(woven, &mut room.first[..len]))
        },
    ),
    Pair::new(
        "DIF update, 512",
        "loop with crc-fast",
        |room, len| {
            let len = woven_bytes(len);
            let mut tags = (Tags::default(), Tags { ref_tag: 7, ..Tags::default() });
            let source = (SourceChecks::default(), &mut tags.0);
            let fields = (DestinationFields::default(), &mut tags.1);
            let (src, dst) = (&room.woven[..len], &mut room.first[..len]);
            u64::from(dif::update(Format::default(), source, fields, src, dst).is_ok())
        },
        |room, len| {
            let len = woven_bytes(len);
            u64::from(rivals::update_by_loop(&room.woven[..len], &mut room.first[..len], 7))
        },
    ),
    Pair::new(
        "DIX generate, 512",
        "loop with crc-fast",
        |room, len| {
            let dst = &mut room.first[..len / BLOCK_BYTES * FIELD_BYTES];
            let (fields, mut tags) = (DestinationFields::default(), Tags::default());
            u64::from(dif::dix_generate(Format::default(), fields, &mut tags, &room.src[..len], dst).is_ok())
        },
        |room, len| {
            rivals::generate_by_loop(&room.src[..len], &mut room.first);
            1
        },
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
    Pair {
        bytes_max: delta::RANGE_BYTES_MAX,
        ..Pair::new(
            "create delta, a word in 8",
            "loop over words",
            |room, len| {
                let record = &mut room.first[..delta_bytes(len)];
                let created = delta::create(&room.src[..len], &room.changed[..len], record);
                created.map_or(0, |created| created.record_bytes as u64)
            },
            |room, len| {
                let record = &mut room.first[..delta_bytes(len)];
                rivals::create_delta_by_loop(&room.src[..len], &room.changed[..len], record) as u64
            },
        )
    },
    Pair {
        bytes_max: delta::RANGE_BYTES_MAX,
        ..Pair::new(
            "apply delta, a word in 8",
            "loop over entries",
            |room, len| {
                let record = &room.record[..delta_bytes(len)];
                u64::from(delta::apply(record, &mut room.first[..len]).is_ok())
            },
            |room, len| {
                let record = &room.record[..delta_bytes(len)];
                u64::from(rivals::apply_delta_by_loop(record, &mut room.first[..len]))
            },
        )
    },
    Pair::new(
        "gather copy, 1 KiB each",
        "loop of copy_from_slice",
        |room, len| {
            let offsets = &room.offsets[..len / GATHERED_BYTES];
            u64::from(
                scatter_gather::gather(&room.src, offsets, black_box(GATHERED_BYTES), &mut room.first[..len])
                    .is_ok(),
            )
        },
        |room, len| {
            let offsets = &room.offsets[..len / GATHERED_BYTES];
            rivals::gather_by_loop(&room.src, offsets, black_box(GATHERED_BYTES), &mut room.first[..len]);
            1
        },
    ),
    Pair::new(
        "scatter copy, 1 KiB each",
        "loop of copy_from_slice",
        |room, len| {
            let offsets = &room.offsets[..len / GATHERED_BYTES];
            u64::from(
                scatter_gather::scatter(
                    &room.src[..len],
                    offsets,
                    black_box(GATHERED_BYTES),
                    &mut room.first,
                )
                .is_ok(),
            )
        },
        |room, len| {
            let offsets = &room.offsets[..len / GATHERED_BYTES];
            rivals::scatter_by_loop(&room.src[..len], offsets, black_box(GATHERED_BYTES), &mut room.first);
            1
        },
    ),
    Pair::new(
        "convert, f32 to bf16",
        "half, number by number",
        |room, len| convert(&room.floats[..len], &mut room.first[..len / 2]),
        |room, len| done(rivals::to_bf16(&room.floats[..len], &mut room.first[..len / 2])),
    ),
    Pair::new(
        "reduce, sums of i32",
        "loop with overflowing_add",
        |room, len| add(Element::I32, (&room.floats[..len], &room.floats[..len]), &mut room.first[..len]),
        |room, len| {
            let floats = &room.floats[..len];
            rivals::add_integers(floats, floats, &mut room.first[..len]).into()
        },
    ),
    Pair::new(
        "reduce, sums of f32",
        "loop, and what is_subnormal and others say",
        |room, len| add(Element::F32, (&room.floats[..len], &room.floats[..len]), &mut room.first[..len]),
        |room, len| {
            rivals::add_floats(&room.floats[..len], &room.floats[..len], &mut room.first[..len]).into()
        },
    ),
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
        done(insert_by_loop(&room.src[..len], &mut room.first))
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

fn compare_by_slice(room: &mut Room, len: usize) -> u64 {
    if room.src[..len] == room.same[..len] { u64::MAX } else { 0 }
}

fn copy_crc_by_slice(room: &mut Room, len: usize) -> u64 {
    copy_by_slice(room, len);
    crc_fast::crc32_iscsi(&room.src[..len]).into()
}

fn convert(src: &[u8], dst: &mut [u8]) -> u64 {
    let conversion = Conversion::new(Element::F32, Element::BF16, Rules::default());
    conversion.expect("floats convert").convert(src, dst).bits().into()
}

/// Positive integers are below 2^31 twice: nothing overflows of either.
fn add(element: Element, (a, b): (&[u8], &[u8]), dst: &mut [u8]) -> u64 {
    let sum = Reduction::new(Combine::Add, element, element, Rules::default());
    sum.expect("numbers add up").reduce(a, b, dst).bits().into()
}

fn fill(room: &mut Room, len: usize, pattern: Pattern) -> u64 {
    done(svala_software::fill(&mut room.first[..len], pattern))
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
