//! Data integrity fields through the runtime, against fields made by hand from T10's definition with the `crc` crate.

use svala::{
    DifBlock, DifChecks, DifDestination, DifFields, DifFormat, DifGuard, DifMismatch, DifSource, DifTags,
    Error, Runtime,
};

use super::{never_inline, noise, runtime, runtime_with};

/// Tags that wrap within a few blocks, the application tag under its mask as well.
const TAGS: DifTags = DifTags { ref_tag: u32::MAX - 2, app_tag: 0xfffd, app_tag_mask: 0x0f00 };

fn on_both(test: impl Fn(&Runtime)) {
    for runtime in [runtime(), runtime_with(never_inline())] {
        test(&runtime);
    }
}

/// CRC-16/T10-DIF with what the guard's flags change.
fn guard(flags: DifGuard, data: &[u8]) -> u16 {
    static PLAIN: crc::Crc<u16> = crc::Crc::<u16>::new(&crc::CRC_16_T10_DIF);
    let seed = if flags.contains(DifGuard::SEED_INVERTED) { 0xffff } else { 0 };
    let mut digest = PLAIN.digest_with_initial(seed);
    digest.update(data);
    digest.finalize() ^ if flags.contains(DifGuard::RESULT_INVERTED) { 0xffff } else { 0 }
}

/// A tag of `tag`'s type after `blocks` blocks, by counting.
fn counted(tags: DifTags, is_ref_fixed: bool, is_app_counting: bool, blocks: usize) -> DifTags {
    (0..blocks).fold(tags, |tags, _| DifTags {
        ref_tag: if is_ref_fixed { tags.ref_tag } else { tags.ref_tag.checked_add(1).unwrap_or(0) },
        app_tag: if is_app_counting { tags.app_tag.checked_add(1).unwrap_or(0) } else { tags.app_tag },
        ..tags
    })
}

fn counted_destination(destination: DifDestination, blocks: usize) -> DifTags {
    let fields = destination.fields;
    let fixed = fields.contains(DifFields::REF_TAG_FIXED);
    counted(destination.tags, fixed, fields.contains(DifFields::APP_TAG_INCREMENTING), blocks)
}

/// The fields of blocks: guard, application tag, reference tag, each with its highest byte first.
fn fields(format: DifFormat, destination: DifDestination, data: &[u8]) -> Vec<[u8; 8]> {
    let mut tags = destination.tags;
    let one = DifDestination { tags, ..destination };
    let blocks = data.chunks(usize::try_from(format.block.bytes()).unwrap());
    blocks
        .map(|block| {
            let mut field = [0; 8];
            field[..2].copy_from_slice(&guard(format.guard, block).to_be_bytes());
            field[2..4].copy_from_slice(&(tags.app_tag & !tags.app_tag_mask).to_be_bytes());
            field[4..].copy_from_slice(&tags.ref_tag.to_be_bytes());
            tags = counted_destination(DifDestination { tags, ..one }, 1);
            field
        })
        .collect()
}

/// Blocks with fields behind them.
fn woven(format: DifFormat, data: &[u8], fields: &[[u8; 8]]) -> Vec<u8> {
    let blocks = data.chunks(usize::try_from(format.block.bytes()).unwrap());
    blocks.zip(fields).flat_map(|(block, field)| [block, field].concat()).collect()
}

fn formats() -> impl Iterator<Item = DifFormat> {
    let guards = [DifGuard::empty(), DifGuard::SEED_INVERTED, DifGuard::RESULT_INVERTED, DifGuard::all()];
    DifBlock::ALL.into_iter().flat_map(move |block| guards.map(|guard| DifFormat { block, guard }))
}

/// Each tag fixed and counting.
const KINDS: [(DifChecks, DifFields); 3] = [
    (DifChecks::empty(), DifFields::empty()),
    (DifChecks::REF_TAG_FIXED, DifFields::REF_TAG_FIXED),
    (DifChecks::APP_TAG_INCREMENTING, DifFields::APP_TAG_INCREMENTING),
];

fn block_bytes(format: DifFormat) -> usize {
    usize::try_from(format.block.bytes()).unwrap()
}

/// One block, a few, some pieces for workers.
fn block_counts(format: DifFormat) -> [usize; 3] {
    [1, 5, 600_000 / block_bytes(format)]
}

#[test]
fn guard_is_the_published_crc() {
    assert_eq!(guard(DifGuard::empty(), b"123456789"), 0xd0db);
    assert_eq!(guard(DifGuard::empty(), &[0xff; 32]), 0xa293);
}

#[test]
fn every_format_is_inserted_checked_stripped_and_generated() {
    on_both(|runtime| {
        for (format, (checks, kinds)) in formats().zip(KINDS.into_iter().cycle()) {
            for blocks in block_counts(format) {
                let data = noise(blocks * block_bytes(format));
                let destination = DifDestination { fields: kinds, tags: TAGS };
                let source = DifSource { checks, tags: TAGS };
                let (fields, next) =
                    (fields(format, destination, &data), counted_destination(destination, blocks));
                let wanted = woven(format, &data, &fields);
                let what = format!("{format:?}, {kinds:?}, {blocks} blocks");

                let room = vec![0_u8; wanted.len()];
                let done = pollster::block_on(runtime.dif_insert(data, room, format, destination)).unwrap();
                let (data, inserted) = done.buffers;
                assert!(inserted == wanted, "{what}");
                assert_eq!((done.value.destination, done.report.bytes), (next, data.len() as u64), "{what}");

                let done = pollster::block_on(runtime.dif_check(inserted, format, source)).unwrap();
                assert_eq!((done.value.source, done.report.bytes), (next, wanted.len() as u64), "{what}");

                let strip = runtime.dif_strip(done.buffers, vec![0_u8; data.len()], format, source);
                let done = pollster::block_on(strip).unwrap();
                assert!(done.buffers.1 == data, "{what}");
                assert_eq!(done.value.source, next, "{what}");

                let room = vec![0_u8; blocks * 8];
                let done = pollster::block_on(runtime.dix_generate(data, room, format, destination)).unwrap();
                assert!(done.buffers.1 == fields.concat(), "{what}");
                assert_eq!(done.value.destination, next, "{what}");
            }
        }
    });
}

/// Every part new, and every part passed on.
#[test]
fn update_replaces_fields_and_passes_on_what_it_is_told() {
    let new_tags = DifTags { ref_tag: 77, app_tag: 0xabcd, app_tag_mask: 0x00f0 };
    let passing =
        [DifFields::empty(), DifFields::GUARD_PASSED, DifFields::REF_TAG_PASSED, DifFields::APP_TAG_PASSED];
    on_both(|runtime| {
        for format in formats() {
            for (blocks, pass) in block_counts(format).into_iter().flat_map(|n| passing.map(|pass| (n, pass)))
            {
                let data = noise(blocks * block_bytes(format));
                let old = fields(format, DifDestination { tags: TAGS, fields: DifFields::empty() }, &data);
                let destination =
                    DifDestination { fields: pass | DifFields::APP_TAG_INCREMENTING, tags: new_tags };
                let mut new = fields(format, destination, &data);
                for (new, old) in new.iter_mut().zip(&old) {
                    let passed = match pass {
                        DifFields::GUARD_PASSED => 0..2,
                        DifFields::APP_TAG_PASSED => 2..4,
                        DifFields::REF_TAG_PASSED => 4..8,
                        _ => 0..0,
                    };
                    new[passed.clone()].copy_from_slice(&old[passed]);
                }
                let src = woven(format, &data, &old);
                let room = vec![0_u8; src.len()];
                let source = DifSource { checks: DifChecks::empty(), tags: TAGS };
                let update = runtime.dif_update(src, room, format, source, destination);
                let done = pollster::block_on(update).unwrap();
                assert!(
                    done.buffers.1 == woven(format, &data, &new),
                    "{format:?}, {pass:?}, {blocks} blocks"
                );
                assert_eq!(done.value.source, counted(TAGS, false, false, blocks));
                assert_eq!(done.value.destination, counted_destination(destination, blocks));
            }
        }
    });
}

/// Blocks with good fields, of which some bytes are then another.
fn damaged(format: DifFormat, blocks: usize, damage: &[(usize, usize)]) -> Vec<u8> {
    let data = noise(blocks * block_bytes(format));
    let mut src =
        woven(format, &data, &fields(format, DifDestination { tags: TAGS, ..Default::default() }, &data));
    for (block, byte) in damage {
        src[block * (block_bytes(format) + 8) + byte] ^= 0x40;
    }
    src
}

fn assert_mismatch(error: &Error, wanted_block: usize, wanted: DifMismatch) {
    let Error::Dif { block, mismatch, .. } = *error else { panic!("{error}") };
    assert_eq!((block, mismatch), (wanted_block as u64, wanted));
}

#[test]
fn lowest_block_that_does_not_match_is_reported_with_what_and_the_buffers() {
    on_both(|runtime| {
        for format in DifBlock::ALL.map(|block| DifFormat { block, ..DifFormat::default() }) {
            let len = block_bytes(format);
            let parts = [
                (0, DifMismatch::GUARD),
                (len, DifMismatch::GUARD),
                (len + 3, DifMismatch::APP_TAG),
                (len + 7, DifMismatch::REF_TAG),
            ];
            let blocks = block_counts(format)[2];
            for (bad, (byte, mismatch)) in [0, 1, blocks / 2, blocks - 1].into_iter().zip(parts) {
                // One behind it as well, which another worker may come to first.
                let src = || damaged(format, blocks, &[(bad, byte), ((bad + 40).min(blocks - 1), len + 4)]);
                let source = DifSource { tags: TAGS, ..DifSource::default() };
                let failed = pollster::block_on(runtime.dif_check(src(), format, source)).unwrap_err();
                assert_mismatch(&failed.error, bad, mismatch);
                assert!(failed.buffers == Some(src()));

                let strip = runtime.dif_strip(src(), vec![0_u8; blocks * len], format, source);
                let failed = pollster::block_on(strip).unwrap_err();
                assert_mismatch(&failed.error, bad, mismatch);
                let stripped = failed.buffers.expect("the buffers come back").1;
                assert!(stripped[..bad * len] == noise(blocks * len)[..bad * len], "blocks before it");

                let room = vec![0_u8; src().len()];
                let update = runtime.dif_update(src(), room, format, source, DifDestination::default());
                let failed = pollster::block_on(update).unwrap_err();
                assert_mismatch(&failed.error, bad, mismatch);
            }
        }
    });
}

#[test]
fn what_is_not_checked_does_not_fail() {
    let format = DifFormat::default();
    let ignoring = [(0, DifChecks::GUARD_IGNORED), (519, DifChecks::REF_TAG_IGNORED)];
    on_both(|runtime| {
        for (byte, checks) in ignoring {
            let src = damaged(format, 1200, &[(1100, byte)]);
            let source = DifSource { tags: TAGS, checks };
            pollster::block_on(runtime.dif_check(src, format, source)).unwrap();
        }
    });
}

#[test]
fn fields_of_ones_are_skipped_or_are_an_error_as_asked() {
    let format = DifFormat::default();
    on_both(|runtime| {
        for blocks in [4, 1200] {
            let mut src = damaged(format, blocks, &[]);
            let last = (blocks - 1) * 520;
            src[last] ^= 1;
            src[last + 512..last + 520].fill(0xff);
            for (checks, wanted) in [
                (DifChecks::empty(), Some(DifMismatch::GUARD | DifMismatch::APP_TAG | DifMismatch::REF_TAG)),
                (DifChecks::APP_TAG_F_SKIPS, None),
                (DifChecks::APP_REF_TAG_F_SKIPS, None),
                (DifChecks::ALL_F_SKIPS, None),
                (DifChecks::ALL_F_SKIPS | DifChecks::ALL_F_FAILS, Some(DifMismatch::ALL_F)),
            ] {
                let source = DifSource { tags: TAGS, checks };
                let result = pollster::block_on(runtime.dif_check(src.clone(), format, source));
                match wanted {
                    None => assert!(result.is_ok(), "{checks:?}"),
                    Some(wanted) => assert_mismatch(&result.unwrap_err().error, blocks - 1, wanted),
                }
            }
        }
    });
}

#[test]
fn lengths_that_are_no_whole_blocks_give_the_buffers_back() {
    let runtime = runtime();
    let format = DifFormat::default();
    let failed = pollster::block_on(runtime.dif_check(noise(521), format, DifSource::default())).unwrap_err();
    assert!(matches!(failed.error, Error::Units { bytes: 521, unit: 520, .. }), "{failed}");
    assert_eq!(failed.buffers, Some(noise(521)));
    let insert = runtime.dif_insert(noise(512), noise(519), format, DifDestination::default());
    let failed = pollster::block_on(insert).unwrap_err();
    assert!(matches!(failed.error, Error::Length { .. }), "{failed}");
}
