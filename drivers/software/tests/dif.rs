//! Data integrity fields against loops over bits and the `crc` crate, written from DSA §8.3.17 and appendix B.

use proptest::prelude::*;
use svala_software::dif::{
    BlockSize, DestinationFields, Error, Format, Mismatch, SourceChecks, TagKind, Tags, check, dix_generate,
    insert, strip, update,
};

/// The guard, by another crate with the published parameters of CRC-16/T10-DIF.
fn guard(format: Format, data: &[u8]) -> u16 {
    let algorithm: crc::Algorithm<u16> = crc::Algorithm {
        init: if format.invert_crc_seed { 0xffff } else { 0 },
        xorout: if format.invert_crc_result { 0xffff } else { 0 },
        ..crc::CRC_16_T10_DIF
    };
    let algorithm: &'static _ = Box::leak(Box::new(algorithm));
    crc::Crc::<u16>::new(algorithm).checksum(data)
}

fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x2545_f491_4f6c_dd1d) | 1;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..len).map(next).collect()
}

fn formats() -> impl Iterator<Item = Format> {
    BlockSize::ALL.into_iter().flat_map(|block_size| {
        [(false, false), (false, true), (true, false), (true, true)].map(|(seed, result)| Format {
            block_size,
            invert_crc_seed: seed,
            invert_crc_result: result,
        })
    })
}

/// The tags of block `index`, by counting.
fn tags_of(seed: Tags, ref_tag: TagKind, app_tag: TagKind, index: usize) -> Tags {
    let mut tags = seed;
    for _ in 0..index {
        if ref_tag == TagKind::Incrementing {
            tags.ref_tag = if tags.ref_tag == u32::MAX { 0 } else { tags.ref_tag + 1 };
        }
        if app_tag == TagKind::Incrementing {
            tags.app_tag = if tags.app_tag == u16::MAX { 0 } else { tags.app_tag + 1 };
        }
    }
    tags
}

/// A field: guard, application tag, reference tag, each with its highest byte first.
fn field(guard: u16, app_tag: u16, ref_tag: u32) -> [u8; 8] {
    let mut bytes = [0; 8];
    bytes[0] = (guard >> 8) as u8;
    bytes[1] = (guard & 0xff) as u8;
    bytes[2] = (app_tag >> 8) as u8;
    bytes[3] = (app_tag & 0xff) as u8;
    for (byte, shift) in bytes[4..].iter_mut().zip([24, 16, 8, 0]) {
        *byte = (ref_tag >> shift & 0xff) as u8;
    }
    bytes
}

/// The fields of the blocks of `data`, by the definition.
fn fields(format: Format, kinds: DestinationFields, seed: Tags, data: &[u8]) -> Vec<[u8; 8]> {
    let blocks = data.chunks(format.block_size.bytes()).enumerate();
    let of = |(index, block): (usize, &[u8])| {
        let tags = tags_of(seed, kinds.ref_tag_kind, kinds.app_tag_kind, index);
        field(guard(format, block), tags.app_tag & !tags.app_tag_mask, tags.ref_tag)
    };
    blocks.map(of).collect()
}

/// Blocks with their fields.
fn woven(format: Format, data: &[u8], fields: &[[u8; 8]]) -> Vec<u8> {
    let blocks = data.chunks(format.block_size.bytes()).zip(fields);
    blocks.flat_map(|(block, field)| [block, field].concat()).collect()
}

const KINDS: [TagKind; 2] = [TagKind::Fixed, TagKind::Incrementing];

/// Tags that wrap within a few blocks.
const SEED: Tags = Tags { ref_tag: u32::MAX - 1, app_tag: 0xfffe, app_tag_mask: 0xf000 };

/// The example of T10's SBC, annex: the guard of 32 bytes of zeros, of ones, and of a count.
#[test]
fn oracle_is_the_published_crc() {
    let plain = Format::default();
    assert_eq!(guard(plain, b"123456789"), 0xd0db);
    assert_eq!(guard(plain, &[0; 32]), 0);
    assert_eq!(guard(plain, &[0xff; 32]), 0xa293);
}

#[test]
fn insert_writes_the_blocks_with_their_fields() {
    for format in formats() {
        for blocks in [0, 1, 2, 5] {
            let data = noise(format.block_size.bytes() * blocks, 1);
            for (ref_tag_kind, app_tag_kind) in
                [(KINDS[0], KINDS[0]), (KINDS[0], KINDS[1]), (KINDS[1], KINDS[0]), (KINDS[1], KINDS[1])]
            {
                let kinds = DestinationFields { ref_tag_kind, app_tag_kind, ..DestinationFields::default() };
                let wanted = woven(format, &data, &fields(format, kinds, SEED, &data));
                let (mut tags, mut ours) = (SEED, vec![0xaa; wanted.len()]);
                assert_eq!(insert(format, kinds, &mut tags, &data, &mut ours), Ok(()));
                assert!(ours == wanted, "{format:?}, {kinds:?}, {blocks} blocks");
                assert_eq!(tags, tags_of(SEED, ref_tag_kind, app_tag_kind, blocks));
            }
        }
    }
}

/// What is passed through exists only where there is a source field.
#[test]
fn insert_and_dix_ignore_pass_through() {
    let kinds = DestinationFields {
        pass_guard: true,
        pass_ref_tag: true,
        pass_app_tag: true,
        ..DestinationFields::default()
    };
    let format = Format::default();
    let data = noise(1024, 2);
    let wanted = fields(format, kinds, SEED, &data);
    let mut ours = vec![0; 1040];
    assert_eq!(insert(format, kinds, &mut SEED.clone(), &data, &mut ours), Ok(()));
    assert!(ours == woven(format, &data, &wanted));
    let mut ours = vec![0; 16];
    assert_eq!(dix_generate(format, kinds, &mut SEED.clone(), &data, &mut ours), Ok(()));
    assert!(ours == wanted.concat());
}

#[test]
fn dix_writes_the_fields_alone() {
    for format in formats() {
        let data = noise(format.block_size.bytes() * 7, 3);
        let kinds = DestinationFields { app_tag_kind: TagKind::Incrementing, ..DestinationFields::default() };
        let (mut tags, mut ours) = (SEED, vec![0; 56]);
        assert_eq!(dix_generate(format, kinds, &mut tags, &data, &mut ours), Ok(()));
        assert!(ours == fields(format, kinds, SEED, &data).concat(), "{format:?}");
        assert_eq!(tags, tags_of(SEED, TagKind::Incrementing, TagKind::Incrementing, 7));
    }
}

#[test]
fn good_fields_pass_and_leave_the_tags_of_the_next_block() {
    for format in formats() {
        let data = noise(format.block_size.bytes() * 4, 4);
        for (ref_tag_kind, app_tag_kind) in [(KINDS[0], KINDS[1]), (KINDS[1], KINDS[0])] {
            let kinds = DestinationFields { ref_tag_kind, app_tag_kind, ..DestinationFields::default() };
            let checks = SourceChecks { ref_tag_kind, app_tag_kind, ..SourceChecks::default() };
            let src = woven(format, &data, &fields(format, kinds, SEED, &data));
            let after = tags_of(SEED, ref_tag_kind, app_tag_kind, 4);
            let mut tags = SEED;
            assert_eq!(check(format, checks, &mut tags, &src), Ok(()), "{format:?} {kinds:?}");
            assert_eq!(tags, after);
            let (mut tags, mut stripped) = (SEED, vec![0; data.len()]);
            assert_eq!(strip(format, checks, &mut tags, &src, &mut stripped), Ok(()));
            assert_eq!(tags, after);
            assert!(stripped == data);
            // The other polarity of either tag is noticed at the second block.
            for other in [
                SourceChecks { ref_tag_kind: app_tag_kind, ..checks },
                SourceChecks { app_tag_kind: ref_tag_kind, ..checks },
            ] {
                let error = check(format, other, &mut SEED.clone(), &src).unwrap_err();
                assert!(matches!(error, Error::Mismatch { block: 1, .. }), "{error}");
            }
        }
    }
}

/// Each part of the field wrong, alone and with others, in each block; with each check off.
#[test]
fn each_wrong_part_is_named_unless_its_check_is_off() {
    let format = Format { block_size: BlockSize::B520, ..Format::default() };
    let seed = Tags { ref_tag: 7, app_tag: 0x1234, app_tag_mask: 0 };
    let data = noise(520 * 3, 5);
    let good = fields(format, DestinationFields::default(), seed, &data);
    for wrong in 0..8_u8 {
        for block in 0..3 {
            let mut bad = good.clone();
            let (guard, app_tag, ref_tag) = (wrong & 1 != 0, wrong & 2 != 0, wrong & 4 != 0);
            bad[block][1] ^= u8::from(guard);
            bad[block][2] ^= u8::from(app_tag) << 7;
            bad[block][7] ^= u8::from(ref_tag) << 4;
            let src = woven(format, &data, &bad);
            for off in 0..8_u8 {
                let checks =
                    SourceChecks { guard: off & 1 == 0, ref_tag: off & 4 == 0, ..SourceChecks::default() };
                let mut tags = Tags { app_tag_mask: if off & 2 == 0 { 0 } else { 0xffff }, ..seed };
                let mismatch = Mismatch {
                    guard: guard && off & 1 == 0,
                    app_tag: app_tag && off & 2 == 0,
                    ref_tag: ref_tag && off & 4 == 0,
                    all_f: false,
                };
                let wanted = match wrong & !off {
                    0 => Ok(()),
                    bits => {
                        assert_eq!(mismatch.bits(), bits);
                        Err(Error::Mismatch { block, mismatch })
                    }
                };
                let after = if wanted.is_ok() { 3 } else { block };
                assert_eq!(check(format, checks, &mut tags, &src), wanted, "wrong {wrong}, off {off}");
                assert_eq!(tags.ref_tag as usize, 7 + after);
            }
        }
    }
}

#[test]
fn masked_bits_of_the_application_tag_are_not_compared_and_written_as_zeros() {
    let format = Format::default();
    let data = noise(512, 6);
    let kinds = DestinationFields::default();
    let tags = Tags { ref_tag: 1, app_tag: 0xabcd, app_tag_mask: 0xff00 };
    let mut dst = vec![0; 520];
    insert(format, kinds, &mut tags.clone(), &data, &mut dst).unwrap();
    assert_eq!(dst[514..516], [0x00, 0xcd]);
    dst[514] = 0x77;
    assert_eq!(check(format, SourceChecks::default(), &mut tags.clone(), &dst), Ok(()));
    dst[515] ^= 1;
    let mismatch = Mismatch { app_tag: true, ..Mismatch::default() };
    assert_eq!(
        check(format, SourceChecks::default(), &mut tags.clone(), &dst),
        Err(Error::Mismatch { block: 0, mismatch })
    );
}

/// The table of §8.3.17.4, every combination of the four flags with every field of ones.
#[test]
fn fields_of_ones_are_excepted_as_the_flags_say() {
    let format = Format::default();
    let data = noise(512, 7);
    let right = guard(format, &data);
    assert_ne!(right, 0xffff);
    for flags in 0..16_u8 {
        let has = |bit: u8| flags >> bit & 1 == 1;
        let checks = SourceChecks {
            all_f_error: has(0),
            all_f_detect: has(1),
            app_tag_f_detect: has(2),
            app_ref_tag_f_detect: has(3),
            ..SourceChecks::default()
        };
        for ones in 0..8_u8 {
            let is = |bit: u8| ones >> bit & 1 == 1;
            let guard_field = if is(0) { 0xffff } else { right };
            let app_field = if is(1) { 0xffff } else { 0x1111 };
            let ref_field = if is(2) { u32::MAX } else { 0x2222 };
            let src = [&data[..], &field(guard_field, app_field, ref_field)].concat();
            let mut tags = Tags { ref_tag: 0x2222, app_tag: 0x1111, app_tag_mask: 0 };
            let excepted = has(1) && ones == 7 || has(2) && is(1) || has(3) && is(1) && is(2);
            let bits = match () {
                () if has(0) && has(1) && ones == 7 => 8,
                () if excepted => 0,
                () => ones,
            };
            let status = match check(format, checks, &mut tags, &src) {
                Ok(()) => 0,
                Err(Error::Mismatch { block: 0, mismatch }) => mismatch.bits(),
                Err(error) => panic!("{error}"),
            };
            assert_eq!(status, bits, "flags {flags:#06b}, ones {ones:#05b}");
        }
    }
}

/// Every combination of pass-through, over every block size.
#[test]
fn update_replaces_what_is_not_passed_through() {
    for format in formats() {
        let data = noise(format.block_size.bytes() * 3, 8);
        let src_seed = Tags { ref_tag: 5, app_tag: 0x0a0b, app_tag_mask: 0 };
        let dst_seed = Tags { ref_tag: 0x8000_0000, app_tag: 0x0c0d, app_tag_mask: 0x00f0 };
        let src_fields = fields(format, DestinationFields::default(), src_seed, &data);
        let src = woven(format, &data, &src_fields);
        for pass in 0..8_u8 {
            let kinds = DestinationFields {
                ref_tag_kind: TagKind::Fixed,
                app_tag_kind: TagKind::Incrementing,
                pass_guard: pass & 1 != 0,
                pass_app_tag: pass & 2 != 0,
                pass_ref_tag: pass & 4 != 0,
            };
            let mut wanted = fields(format, kinds, dst_seed, &data);
            for (field, source) in wanted.iter_mut().zip(&src_fields) {
                for (bit, range) in [(1, 0..2), (2, 2..4), (4, 4..8)] {
                    if pass & bit != 0 {
                        field[range.clone()].copy_from_slice(&source[range]);
                    }
                }
            }
            let (mut src_tags, mut dst_tags) = (src_seed, dst_seed);
            let mut dst = vec![0; src.len()];
            let done = update(
                format,
                (SourceChecks::default(), &mut src_tags),
                (kinds, &mut dst_tags),
                &src,
                &mut dst,
            );
            assert_eq!(done, Ok(()));
            assert!(dst == woven(format, &data, &wanted), "{format:?}, pass {pass:#05b}");
            assert_eq!(src_tags.ref_tag, 8);
            assert_eq!(dst_tags, Tags { app_tag: 0x0c10, ..dst_seed });
        }
    }
}

/// The guard that is passed through is the source's, wrong or not.
#[test]
fn a_wrong_guard_that_is_not_checked_is_passed_on() {
    let format = Format::default();
    let data = noise(512, 9);
    let src = [&data[..], &field(!guard(format, &data), 0, 0)].concat();
    let checks = SourceChecks { guard: false, ..SourceChecks::default() };
    for pass_guard in [false, true] {
        let kinds = DestinationFields { pass_guard, ..DestinationFields::default() };
        let mut dst = vec![0; 520];
        let (mut src_tags, mut dst_tags) = (Tags::default(), Tags::default());
        update(format, (checks, &mut src_tags), (kinds, &mut dst_tags), &src, &mut dst).unwrap();
        let right = guard(format, &data);
        assert_eq!(dst[512..514], if pass_guard { !right } else { right }.to_be_bytes());
    }
}

/// Strip and update stop at the block that is wrong, and have done those before it.
#[test]
fn a_wrong_block_stops_the_copy_in_front_of_it() {
    let format = Format { block_size: BlockSize::B4096, ..Format::default() };
    let data = noise(4096 * 4, 10);
    let mut src = woven(format, &data, &fields(format, DestinationFields::default(), Tags::default(), &data));
    src[2 * 4104 + 100] ^= 1;
    let mismatch = Mismatch { guard: true, ..Mismatch::default() };
    let (mut tags, mut dst) = (Tags::default(), vec![0xaa; 4096 * 4]);
    let error = strip(format, SourceChecks::default(), &mut tags, &src, &mut dst).unwrap_err();
    assert_eq!(error, Error::Mismatch { block: 2, mismatch });
    assert_eq!(error.to_string(), "block 2: data integrity field wrong (status 0x01)");
    assert!(dst[..8192] == data[..8192] && dst[8192..] == [0xaa; 8192]);
    assert_eq!(tags.ref_tag, 2);
    let (mut src_tags, mut dst_tags, mut dst) = (Tags::default(), Tags::default(), vec![0xaa; src.len()]);
    let kinds = DestinationFields::default();
    let done =
        update(format, (SourceChecks::default(), &mut src_tags), (kinds, &mut dst_tags), &src, &mut dst);
    assert_eq!(done, Err(Error::Mismatch { block: 2, mismatch }));
    assert!(dst[..8208] == src[..8208] && dst[8208..] == [0xaa; 8208]);
    assert_eq!((src_tags.ref_tag, dst_tags.ref_tag), (2, 2));
}

#[test]
fn lengths_that_do_not_fit_are_refused_before_anything_is_done() {
    let format = Format::default();
    let (checks, kinds) = (SourceChecks::default(), DestinationFields::default());
    let src = vec![0; 1040];
    let mut tags = Tags::default();
    let mut dst = vec![0xaa; 1040];
    assert_eq!(check(format, checks, &mut tags, &src[..1039]), Err(Error::Source { bytes: 1039, unit: 520 }));
    let cut = insert(format, kinds, &mut tags, &src[..513], &mut dst[..520]);
    assert_eq!(cut, Err(Error::Source { bytes: 513, unit: 512 }));
    let short = insert(format, kinds, &mut tags, &src[..1024], &mut dst[..1039]);
    assert_eq!(short, Err(Error::Destination { bytes: 1039, needed: 1040 }));
    let long = strip(format, checks, &mut tags, &src, &mut dst);
    assert_eq!(long, Err(Error::Destination { bytes: 1040, needed: 1024 }));
    let short = dix_generate(format, kinds, &mut tags, &src[..1024], &mut dst[..8]);
    assert_eq!(short, Err(Error::Destination { bytes: 8, needed: 16 }));
    let mut other = tags;
    let short = update(format, (checks, &mut tags), (kinds, &mut other), &src, &mut dst[..520]);
    assert_eq!(short, Err(Error::Destination { bytes: 520, needed: 1040 }));
    assert!(dst == [0xaa; 1040] && tags == Tags::default());
}

proptest! {
    /// Cut anywhere between blocks, the tags carried over: the same bytes and the same tags.
    #[test]
    fn parts_with_carried_tags_are_the_whole(
        cut in 0..6_usize,
        size in 0..4_usize,
        ref_tag: u32,
        app_tag: u16,
        app_tag_mask: u16,
        increments: [bool; 2],
    ) {
        let format = Format { block_size: BlockSize::ALL[size], ..Format::default() };
        let kind = |incrementing| if incrementing { TagKind::Incrementing } else { TagKind::Fixed };
        let kinds = DestinationFields {
            ref_tag_kind: kind(increments[0]),
            app_tag_kind: kind(increments[1]),
            ..DestinationFields::default()
        };
        let checks = SourceChecks {
            ref_tag_kind: kinds.ref_tag_kind,
            app_tag_kind: kinds.app_tag_kind,
            ..SourceChecks::default()
        };
        let unit = format.block_size.bytes();
        let data = noise(unit * 6, 11);
        let seed = Tags { ref_tag, app_tag, app_tag_mask };
        let wanted = woven(format, &data, &fields(format, kinds, seed, &data));
        let (mut tags, mut dst) = (seed, vec![0; wanted.len()]);
        let (head, tail) = dst.split_at_mut(cut * (unit + 8));
        insert(format, kinds, &mut tags, &data[..cut * unit], head).unwrap();
        insert(format, kinds, &mut tags, &data[cut * unit..], tail).unwrap();
        prop_assert!(dst == wanted);
        let mut tags = seed;
        let (head, tail) = dst.split_at(cut * (unit + 8));
        check(format, checks, &mut tags, head).unwrap();
        check(format, checks, &mut tags, tail).unwrap();
        prop_assert_eq!(tags, tags_of(seed, kinds.ref_tag_kind, kinds.app_tag_kind, 6));
    }
}
