//! Data integrity fields. The oracle makes them by hand, as T10 has them: a CRC-16, two tags, all big-endian.

use crc::{Algorithm, CRC_16_T10_DIF, Crc};
use pollster::block_on;
use svala::{
    DifBlock, DifChecks, DifDestination, DifFields, DifFormat, DifGuard, DifMismatch, DifNext, DifSource,
    DifTags, Error, IoBuf, Operation,
};

use super::shapes;
use crate::support::{Setup, State, noise};

/// Bytes of a field.
const FIELD: usize = 8;

fn data_len(format: DifFormat) -> usize {
    usize::try_from(format.block.bytes()).expect("small")
}

/// The CRC of T10, as it is; and with seed, result or both inverted.
static GUARDS: [Crc<u16>; 4] = [
    Crc::<u16>::new(&CRC_16_T10_DIF),
    Crc::<u16>::new(&Algorithm { init: 0xffff, ..CRC_16_T10_DIF }),
    Crc::<u16>::new(&Algorithm { xorout: 0xffff, ..CRC_16_T10_DIF }),
    Crc::<u16>::new(&Algorithm { init: 0xffff, xorout: 0xffff, ..CRC_16_T10_DIF }),
];

/// The guard of a block.
fn guard(format: DifFormat, data: &[u8]) -> u16 {
    let seed = usize::from(format.guard.contains(DifGuard::SEED_INVERTED));
    let result = usize::from(format.guard.contains(DifGuard::RESULT_INVERTED));
    GUARDS[seed + 2 * result].checksum(data)
}

/// How tags go on from block to block.
#[derive(Clone, Copy, Debug)]
struct Kinds {
    ref_tag_fixed: bool,
    app_tag_increments: bool,
}

impl Kinds {
    const ALL: [Self; 4] = [
        Self { ref_tag_fixed: false, app_tag_increments: false },
        Self { ref_tag_fixed: true, app_tag_increments: false },
        Self { ref_tag_fixed: false, app_tag_increments: true },
        Self { ref_tag_fixed: true, app_tag_increments: true },
    ];

    /// The tags of block `block`.
    fn at(self, first: DifTags, block: usize) -> DifTags {
        let by = u32::try_from(block).expect("few");
        let ref_tag = if self.ref_tag_fixed { first.ref_tag } else { first.ref_tag.wrapping_add(by) };
        let by = u16::try_from(block % 65536).expect("16 bits");
        let app_tag = if self.app_tag_increments { first.app_tag.wrapping_add(by) } else { first.app_tag };
        DifTags { ref_tag, app_tag, ..first }
    }

    fn checks(self) -> DifChecks {
        let mut checks = DifChecks::empty();
        checks.set(DifChecks::REF_TAG_FIXED, self.ref_tag_fixed);
        checks.set(DifChecks::APP_TAG_INCREMENTING, self.app_tag_increments);
        checks
    }

    fn fields(self) -> DifFields {
        let mut fields = DifFields::empty();
        fields.set(DifFields::REF_TAG_FIXED, self.ref_tag_fixed);
        fields.set(DifFields::APP_TAG_INCREMENTING, self.app_tag_increments);
        fields
    }
}

/// The fields of `data`.
fn fields(format: DifFormat, kinds: Kinds, first: DifTags, data: &[u8]) -> Vec<[u8; FIELD]> {
    data.chunks_exact(data_len(format))
        .enumerate()
        .map(|(at, block)| {
            let tags = kinds.at(first, at);
            let mut field = [0; FIELD];
            field[..2].copy_from_slice(&guard(format, block).to_be_bytes());
            field[2..4].copy_from_slice(&(tags.app_tag & !tags.app_tag_mask).to_be_bytes());
            field[4..].copy_from_slice(&tags.ref_tag.to_be_bytes());
            field
        })
        .collect()
}

/// Blocks, each with its field behind it.
fn interleaved(format: DifFormat, data: &[u8], fields: &[[u8; FIELD]]) -> Vec<u8> {
    let blocks = data.chunks_exact(data_len(format)).zip(fields);
    blocks.flat_map(|(block, field)| [block, &field[..]].concat()).collect()
}

/// Tags that wrap soon.
const TAGS: DifTags = DifTags { ref_tag: u32::MAX - 1, app_tag: 0xfffd, app_tag_mask: 0x0f00 };

/// Formats, kinds of tags and numbers of blocks, the largest transfer among them; each format and each kind comes up with
/// each number, not each with each.
fn cases(setup: &Setup) -> Vec<(DifFormat, Kinds, usize)> {
    let guards = [
        DifGuard::empty(),
        DifGuard::SEED_INVERTED,
        DifGuard::RESULT_INVERTED,
        DifGuard::SEED_INVERTED | DifGuard::RESULT_INVERTED,
    ];
    let mut cases = Vec::new();
    for block in DifBlock::ALL {
        let format = DifFormat { block, guard: DifGuard::empty() };
        let mut numbers = shapes::units(setup, data_len(format), usize::MAX);
        numbers.extend(shapes::units(setup, data_len(format) + FIELD, usize::MAX));
        numbers.sort_unstable();
        numbers.dedup();
        if block != DifBlock::default() {
            // Megabytes of one kind of block are enough.
            numbers.retain(|blocks| blocks * data_len(format) <= 4 * setup.transfer_bytes_max.min(1 << 18));
        }
        for (at, blocks) in numbers.into_iter().enumerate() {
            let guard = guards[at % guards.len()];
            cases.push((DifFormat { block, guard }, Kinds::ALL[(at / 2) % Kinds::ALL.len()], blocks));
        }
    }
    cases
}

/// The tags to go on with are those of the block behind the last.
fn check_next(next: DifTags, kinds: Kinds, blocks: usize, what: &str) {
    let expected = kinds.at(TAGS, blocks);
    let app_tag = |tags: DifTags| tags.app_tag & !tags.app_tag_mask;
    assert_eq!((next.ref_tag, app_tag(next)), (expected.ref_tag, app_tag(expected)), "{what}");
}

pub(crate) fn insert(setup: &Setup) {
    for (format, kinds, blocks) in cases(setup) {
        let data = noise(blocks * data_len(format), 47);
        let expected = interleaved(format, &data, &fields(format, kinds, TAGS, &data));
        let destination = DifDestination { fields: kinds.fields(), tags: TAGS };
        for state in State::BOTH {
            let what = format!("{blocks} blocks, {format:?}, {kinds:?}, {state:?}");
            let (src, dst) = (state.source(&data, 1), state.destination(expected.len(), 5));
            let done =
                setup.well(Operation::DifInsert, setup.runtime.dif_insert(src, dst, format, destination));
            assert_eq!(done.report.bytes, data.len() as u64, "{what}");
            assert!(done.buffers.1.bytes() == &expected[..], "{what}");
            check_next(done.value.destination, kinds, blocks, &what);
        }
    }
}

pub(crate) fn dix_generate(setup: &Setup) {
    let format = DifFormat::default();
    if !setup.offers(Operation::DixGenerate) {
        let none = setup.runtime.dix_generate(vec![0; 512], vec![0; 8], format, DifDestination::default());
        let failed = block_on(none).expect_err("not offered");
        assert!(matches!(failed.error, Error::Unsupported { operation: Operation::DixGenerate }));
        return;
    }
    for (format, kinds, blocks) in cases(setup) {
        let data = noise(blocks * data_len(format), 53);
        let expected = fields(format, kinds, TAGS, &data).concat();
        let destination = DifDestination { fields: kinds.fields(), tags: TAGS };
        for state in State::BOTH {
            let what = format!("{blocks} blocks, {format:?}, {kinds:?}, {state:?}");
            let (src, dst) = (state.source(&data, 3), state.destination(expected.len(), 8));
            let done =
                setup.well(Operation::DixGenerate, setup.runtime.dix_generate(src, dst, format, destination));
            assert!(done.buffers.1.bytes() == &expected[..], "{what}");
            check_next(done.value.destination, kinds, blocks, &what);
        }
    }
}

/// Breaks the field or the data of one block: what then does not match.
fn break_block(bytes: &mut [u8], format: DifFormat, block: usize, mismatch: DifMismatch) {
    let start = block * (data_len(format) + FIELD);
    let field = start + data_len(format);
    if mismatch.contains(DifMismatch::GUARD) {
        bytes[start + data_len(format) / 2] ^= 0x10;
    }
    if mismatch.contains(DifMismatch::APP_TAG) {
        // A bit that the mask does not hide.
        bytes[field + 3] ^= 1;
    }
    if mismatch.contains(DifMismatch::REF_TAG) {
        bytes[field + 4] ^= 0x80;
    }
}

/// Runs an operation that checks, in its three forms, and gives where and what did not match.
fn checked(
    setup: &Setup,
    operation: Operation,
    (bytes, state): (&[u8], State),
    format: DifFormat,
    source: DifSource,
    expected: &[u8],
) -> Result<DifNext, (u64, DifMismatch)> {
    let src = state.source(bytes, 1);
    let runtime = &setup.runtime;
    let new = DifDestination { fields: DifFields::empty(), tags: DifTags::default() };
    let value = match operation {
        Operation::DifCheck => {
            let outcome = setup.end(operation, runtime.dif_check(src, format, source));
            outcome.map(|done| (done.value, None)).map_err(|failed| failed.error)
        }
        Operation::DifStrip => {
            let dst = state.destination(expected.len(), 9);
            let outcome = setup.end(operation, runtime.dif_strip(src, dst, format, source));
            outcome.map(|done| (done.value, Some(done.buffers.1))).map_err(|failed| failed.error)
        }
        _ => {
            let dst = state.destination(expected.len(), 9);
            let outcome = setup.end(operation, runtime.dif_update(src, dst, format, source, new));
            outcome.map(|done| (done.value, Some(done.buffers.1))).map_err(|failed| failed.error)
        }
    };
    match value {
        Ok((next, dst)) => {
            assert!(dst.is_none_or(|dst| dst.bytes() == expected), "{operation}: destination");
            Ok(next)
        }
        Err(Error::Dif { block, mismatch, .. }) => Err((block, mismatch)),
        Err(error) => panic!("{operation}: {error}"),
    }
}

/// What an operation that checks writes.
fn output(operation: Operation, format: DifFormat, data: &[u8]) -> Vec<u8> {
    let kinds = Kinds::ALL[0];
    match operation {
        Operation::DifCheck => Vec::new(),
        Operation::DifStrip => data.to_vec(),
        _ => interleaved(format, data, &fields(format, kinds, DifTags::default(), data)),
    }
}

fn checking(setup: &Setup, operation: Operation) {
    for (format, kinds, blocks) in cases(setup) {
        let data = noise(blocks * data_len(format), 59);
        let good = interleaved(format, &data, &fields(format, kinds, TAGS, &data));
        let expected = output(operation, format, &data);
        let source = DifSource { checks: kinds.checks(), tags: TAGS };
        for state in State::BOTH {
            let what = format!("{operation} of {blocks} blocks, {format:?}, {kinds:?}, {state:?}");
            let next = checked(setup, operation, (&good, state), format, source, &expected);
            let next = next.unwrap_or_else(|(block, mismatch)| panic!("{what}: {block}, {mismatch}"));
            check_next(next.source, kinds, blocks, &what);
        }
        let kinds_of_wrong = [
            DifMismatch::GUARD,
            DifMismatch::APP_TAG,
            DifMismatch::REF_TAG,
            DifMismatch::all() - DifMismatch::ALL_F,
        ];
        for (at, block) in [0, blocks / 2, blocks - 1].into_iter().enumerate() {
            let mismatch = kinds_of_wrong[(at + blocks) % kinds_of_wrong.len()];
            let mut bad = good.clone();
            // One behind it is wrong too: the first one counts.
            break_block(&mut bad, format, blocks - 1, DifMismatch::GUARD);
            if block == blocks - 1 {
                bad.clone_from(&good);
            }
            break_block(&mut bad, format, block, mismatch);
            let state = State::BOTH[at % 2];
            let found = checked(setup, operation, (&bad, state), format, source, &expected);
            assert_eq!(found.err(), Some((block as u64, mismatch)), "{operation}, {blocks} blocks");
        }
    }
    flags(setup, operation);
}

/// What is not looked at, and fields of ones.
fn flags(setup: &Setup, operation: Operation) {
    let format = DifFormat::default();
    let kinds = Kinds::ALL[0];
    let data = noise(9 * data_len(format), 61);
    let good = interleaved(format, &data, &fields(format, kinds, TAGS, &data));
    let expected = output(operation, format, &data);
    let run = |bytes: &[u8], checks: DifChecks| {
        let source = DifSource { checks, tags: TAGS };
        checked(setup, operation, (bytes, State::Warm), format, source, &expected).err()
    };
    let field = 4 * (data_len(format) + FIELD) + data_len(format);
    let unlooked = [
        (0, DifMismatch::GUARD, DifChecks::GUARD_IGNORED),
        (4, DifMismatch::REF_TAG, DifChecks::REF_TAG_IGNORED),
    ];
    for (byte, mismatch, checks) in unlooked {
        let mut bad = good.clone();
        bad[field + byte] ^= 1;
        assert_eq!(run(&bad, DifChecks::empty()), Some((4, mismatch)));
        assert_eq!(run(&bad, checks), None, "{checks:?}");
    }
    // Ones in the application tag, in both tags, in all of the field.
    let ones = [
        (2..4, DifChecks::APP_TAG_F_SKIPS),
        (2..8, DifChecks::APP_REF_TAG_F_SKIPS),
        (0..8, DifChecks::ALL_F_SKIPS),
    ];
    for (range, skips) in ones {
        let mut bad = good.clone();
        bad[field + range.start..field + range.end].fill(0xff);
        assert!(run(&bad, DifChecks::empty()).is_some_and(|(block, _)| block == 4), "{range:?}");
        assert_eq!(run(&bad, skips), None, "{skips:?}");
    }
    let mut bad = good;
    bad[field..field + FIELD].fill(0xff);
    assert_eq!(run(&bad, DifChecks::ALL_F_SKIPS | DifChecks::ALL_F_FAILS), Some((4, DifMismatch::ALL_F)));
}

pub(crate) fn check(setup: &Setup) {
    checking(setup, Operation::DifCheck);
}

pub(crate) fn strip(setup: &Setup) {
    checking(setup, Operation::DifStrip);
}

pub(crate) fn update(setup: &Setup) {
    checking(setup, Operation::DifUpdate);
    // New fields, of which parts may be the old ones.
    let old = Kinds::ALL[0];
    let new_tags = DifTags { ref_tag: 77, app_tag: 0x1234, app_tag_mask: 0x00f0 };
    let all = DifFields::GUARD_PASSED | DifFields::APP_TAG_PASSED | DifFields::REF_TAG_PASSED;
    for (at, pass) in [DifFields::empty(), all].into_iter().chain(all.iter()).enumerate() {
        let format = DifFormat { block: DifBlock::ALL[at % 4], guard: DifGuard::empty() };
        let kinds = Kinds::ALL[at % 4];
        let blocks = 3 * setup.transfer_bytes_max / data_len(format) + 2;
        let data = noise(blocks * data_len(format), 67);
        let before = fields(format, old, TAGS, &data);
        let mut after = fields(format, kinds, new_tags, &data);
        for (after, before) in after.iter_mut().zip(&before) {
            let parts = [
                (DifFields::GUARD_PASSED, 0..2),
                (DifFields::APP_TAG_PASSED, 2..4),
                (DifFields::REF_TAG_PASSED, 4..8),
            ];
            for (_, part) in parts.into_iter().filter(|(part, _)| pass.contains(*part)) {
                after[part.clone()].copy_from_slice(&before[part]);
            }
        }
        let (src, expected) = (interleaved(format, &data, &before), interleaved(format, &data, &after));
        let source = DifSource { checks: old.checks(), tags: TAGS };
        let destination = DifDestination { fields: kinds.fields() | pass, tags: new_tags };
        for state in State::BOTH {
            let (src, dst) = (state.source(&src, 0), state.destination(expected.len(), 64));
            let update = setup.runtime.dif_update(src, dst, format, source, destination);
            let done = setup.well(Operation::DifUpdate, update);
            assert!(done.buffers.1.bytes() == &expected[..], "{pass:?}, {kinds:?}, {state:?}");
        }
    }
}
