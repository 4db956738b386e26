//! Data integrity fields on the device: against the `crc` crate and loops, with pages missing and blocks wrong.

use idxd_emu::{DeviceConfig, FaultPlan, StopAt};
use idxd_spec::{
    Completion, Descriptor, DifFlags, DifStatus, DifTags, DstDifFlags, Operand, SrcDifFlags, Status,
};
use nix::sys::mman::ProtFlags;
use proptest::prelude::*;

use crate::driver::{run_with_resume, touch};
use crate::support::{Memory, PAGE, Rig, bytes};

const BLOCK_SIZES: [DifFlags; 4] =
    [DifFlags::BLOCK_512, DifFlags::BLOCK_520, DifFlags::BLOCK_4096, DifFlags::BLOCK_4104];
const FORMATS: [DifFlags; 4] = [
    DifFlags::empty(),
    DifFlags::INVERT_CRC_SEED,
    DifFlags::INVERT_CRC_RESULT,
    DifFlags::INVERT_CRC_SEED.union(DifFlags::INVERT_CRC_RESULT),
];

fn block_size(dif: DifFlags) -> usize {
    [512, 520, 4096, 4104][usize::from(dif.bits() & 3)]
}

/// The field of a block, its bytes in memory. Tags as the bits of the destination flags say: 1 is fixed for the
/// reference tag, 0 for the application tag.
fn field(dif: DifFlags, flags: DstDifFlags, seed: DifTags, index: usize, data: &[u8]) -> [u8; 8] {
    let algorithm: &'static crc::Algorithm<u16> = Box::leak(Box::new(crc::Algorithm {
        init: if dif.bits() & 4 != 0 { 0xffff } else { 0 },
        xorout: if dif.bits() & 8 != 0 { 0xffff } else { 0 },
        ..crc::CRC_16_T10_DIF
    }));
    let guard = crc::Crc::<u16>::new(algorithm).checksum(data);
    let tags = tags_after(flags.bits(), seed, index);
    let app_tag = tags.app_tag & !tags.app_tag_mask;
    let mut field = [0; 8];
    field[..2].copy_from_slice(&guard.to_be_bytes());
    field[2..4].copy_from_slice(&app_tag.to_be_bytes());
    field[4..].copy_from_slice(&tags.ref_tag.to_be_bytes());
    field
}

/// The tags `blocks` blocks on, by the two type bits of either flag byte.
fn tags_after(flags: u8, seed: DifTags, blocks: usize) -> DifTags {
    let mut tags = seed;
    if flags & 0x80 == 0 {
        tags.ref_tag = (u64::from(tags.ref_tag) + blocks as u64) as u32;
    }
    if flags & 0x10 != 0 {
        tags.app_tag = (usize::from(tags.app_tag) + blocks) as u16;
    }
    tags
}

/// The data with a field behind each block.
fn woven(dif: DifFlags, flags: DstDifFlags, seed: DifTags, data: &[u8]) -> Vec<u8> {
    let blocks = data.chunks(block_size(dif)).enumerate();
    blocks.flat_map(|(index, block)| [block, &field(dif, flags, seed, index, block)].concat()).collect()
}

const SEED: DifTags = DifTags { ref_tag: u32::MAX - 2, app_tag_mask: 0xc000, app_tag: 0xfffd };

/// The source flags whose tags go as those of these destination flags.
fn same_types(flags: DstDifFlags) -> SrcDifFlags {
    SrcDifFlags::from_bits_retain(flags.bits() & 0x90)
}

fn success() -> Completion {
    Completion::new(Status::SUCCESS)
}

/// Every block size, inversion and type of tag.
#[test]
fn each_operation_does_what_the_loops_do() {
    let rig = Rig::dsa();
    for dif in BLOCK_SIZES.into_iter().flat_map(|size| FORMATS.map(|format| size | format)) {
        for types in [0, 0x10, 0x80, 0x90] {
            let (flags, blocks) = (DstDifFlags::from_bits_retain(types), 37);
            let what = format!("{dif:?}, {flags:?}");
            let plain = bytes(block_size(dif) * blocks, 1);
            let fielded = woven(dif, flags, SEED, &plain);
            let (plain_size, fielded_size) = (plain.len() as u32, fielded.len() as u32);
            let (data, dst) = (Memory::with(&plain), Memory::warm(fielded.len() + 3));
            let end = tags_after(types, SEED, blocks);
            let insert = Descriptor::dif_insert(data.src(0), dst.dst(3), plain_size, dif, flags, SEED);
            assert_eq!(rig.run(&insert), success().with_dst_dif_tags(end), "{what}");
            assert!(dst.read(3, fielded.len()) == fielded, "{what}");
            let src_flags = same_types(flags);
            let check = Descriptor::dif_check(dst.src(3), fielded_size, dif, src_flags, SEED);
            assert_eq!(rig.run(&check), success().with_src_dif_tags(end), "{what}");
            let back = Memory::warm(plain.len());
            let strip = Descriptor::dif_strip(dst.src(3), back.dst(0), fielded_size, dif, src_flags, SEED);
            assert_eq!(rig.run(&strip), success().with_src_dif_tags(end), "{what}");
            assert!(back.read(0, plain.len()) == plain, "{what}");
            let fields = Memory::warm(blocks * 8);
            let dix = Descriptor::dix_generate(data.src(0), fields.dst(0), plain_size, dif, flags, SEED);
            assert_eq!(rig.run(&dix), success().with_dst_dif_tags(end), "{what}");
            let alone =
                fielded.chunks(block_size(dif) + 8).flat_map(|block| block[block.len() - 8..].to_vec());
            assert!(fields.read(0, blocks * 8) == alone.collect::<Vec<_>>(), "{what}");
        }
    }
}

/// Each field of the source's, or new; the two sets of tags go on by themselves.
#[test]
fn update_replaces_what_is_not_passed_through() {
    let rig = Rig::dsa();
    let (dif, blocks) = (DifFlags::BLOCK_520, 130);
    let new_seed = DifTags { ref_tag: 9, app_tag_mask: 0x00f0, app_tag: 0x4321 };
    let plain = bytes(520 * blocks, 2);
    let old = woven(dif, DstDifFlags::empty(), SEED, &plain);
    let src = Memory::with(&old);
    for pass in 0..8_u8 {
        let bits = (pass & 1) << 3 | (pass >> 1 & 1) << 5 | (pass >> 2 & 1) << 6 | 0x90;
        let flags = DstDifFlags::from_bits_retain(bits);
        let mut wanted = woven(dif, flags, new_seed, &plain);
        for (new, old) in wanted.chunks_mut(528).zip(old.chunks(528)) {
            for (bit, range) in [(1, 522..524), (2, 520..522), (4, 524..528)] {
                if pass & bit != 0 {
                    new[range.clone()].copy_from_slice(&old[range]);
                }
            }
        }
        let dst = Memory::warm(old.len());
        let src_flags = SrcDifFlags::empty();
        let size = old.len() as u32;
        let update =
            Descriptor::dif_update(src.src(0), dst.dst(0), size, dif, (src_flags, SEED), (flags, new_seed));
        let completion = rig.run(&update);
        let ends = (tags_after(0, SEED, blocks), tags_after(bits, new_seed, blocks));
        assert_eq!(completion, success().with_src_dif_tags(ends.0).with_dst_dif_tags(ends.1));
        assert!(dst.read(0, old.len()) == wanted, "{flags:?}");
    }
}

/// Status 0x09 with each kind of error, in blocks of the first piece and of later ones. What comes before is done.
#[test]
fn wrong_block_is_named_with_what_was_done_before_it() {
    let rig = Rig::dsa();
    let (dif, blocks, flags) = (DifFlags::BLOCK_512, 400, SrcDifFlags::empty());
    let seed = DifTags { ref_tag: 1, app_tag_mask: 0, app_tag: 2 };
    let plain = bytes(512 * blocks, 3);
    let good = woven(dif, DstDifFlags::empty(), seed, &plain);
    let size = good.len() as u32;
    let src = Memory::with(&good);
    for wrong in [0, 1, 124, 125, 126, 127, 399] {
        for (byte, status) in [
            (3, DifStatus::GUARD),
            (512, DifStatus::GUARD),
            (514, DifStatus::APP_TAG),
            (519, DifStatus::REF_TAG),
        ] {
            let at = wrong * 520 + byte;
            src.write(at, &[good[at] ^ 0x40]);
            let (strips, updates) = (Memory::warm(plain.len()), Memory::warm(good.len()));
            let tags = (flags, seed);
            for (descriptor, dst, expected) in [
                (Descriptor::dif_check(src.src(0), size, dif, flags, seed), None, &plain),
                (
                    Descriptor::dif_strip(src.src(0), strips.dst(0), size, dif, flags, seed),
                    Some(&strips),
                    &plain,
                ),
                (
                    Descriptor::dif_update(
                        src.src(0),
                        updates.dst(0),
                        size,
                        dif,
                        tags,
                        (DstDifFlags::empty(), seed),
                    ),
                    Some(&updates),
                    &good,
                ),
            ] {
                let completion = rig.run(&descriptor);
                assert_eq!(completion.status(), Status::DIF_ERROR, "block {wrong}, {descriptor:?}");
                assert_eq!(completion.dif_status(), status, "block {wrong}, byte {byte}");
                assert_eq!(completion.bytes_completed() as usize, wrong * 520);
                let Some(dst) = dst else { continue };
                let done = wrong * expected.len() / blocks;
                assert!(dst.read(0, done) == expected[..done], "block {wrong}");
                let behind = dst.read(done, expected.len() - done);
                assert!(behind.iter().all(|byte| *byte == 0), "block {wrong}");
            }
            src.write(at, &good[at..=at]);
        }
    }
}

/// The flags of the source, one block: guard, application and reference tag of ones or not.
#[test]
fn fields_of_ones_are_excepted_as_the_flags_say() {
    let rig = Rig::dsa();
    let seed = DifTags { ref_tag: 5, app_tag_mask: 0, app_tag: 6 };
    let plain = bytes(512, 4);
    let good = woven(DifFlags::BLOCK_512, DstDifFlags::empty(), seed, &plain);
    let src = Memory::warm(520);
    for ones in 0..8_u8 {
        let mut block = good.clone();
        for (bit, range) in [(1, 512..514), (2, 514..516), (4, 516..520)] {
            if ones & bit != 0 {
                block[range].fill(0xff);
            }
        }
        src.write(0, &block);
        for bits in 0..16_u8 {
            let flags = SrcDifFlags::from_bits_retain(bits);
            let (app, both) = (ones & 2 != 0, ones & 6 == 6);
            let excepted = bits & 2 != 0 && ones == 7 || bits & 4 != 0 && app || bits & 8 != 0 && both;
            let expected = match (bits & 3 == 3 && ones == 7, excepted) {
                (true, _) => 8,
                (false, true) => 0,
                (false, false) => ones,
            };
            let check = Descriptor::dif_check(src.src(0), 520, DifFlags::BLOCK_512, flags, seed);
            let completion = rig.run(&check);
            let status = if expected == 0 { Status::SUCCESS } else { Status::DIF_ERROR };
            assert_eq!(completion.status(), status, "{flags:?}, ones {ones:#b}");
            assert_eq!(completion.dif_status().bits(), expected, "{flags:?}, ones {ones:#b}");
        }
    }
}

#[test]
fn disabled_checks_are_not_made() {
    let rig = Rig::dsa();
    let seed = DifTags { ref_tag: 5, app_tag_mask: 0xffff, app_tag: 6 };
    let block = Memory::with(&bytes(520, 5));
    let none = SrcDifFlags::GUARD_CHECK_DISABLE | SrcDifFlags::REF_TAG_CHECK_DISABLE;
    let check = |flags, tags| {
        rig.run(&Descriptor::dif_check(block.src(0), 520, DifFlags::BLOCK_512, flags, tags)).dif_status()
    };
    assert_eq!(check(none, seed), DifStatus::empty());
    assert_eq!(check(none - SrcDifFlags::GUARD_CHECK_DISABLE, seed), DifStatus::GUARD);
    assert_eq!(check(none - SrcDifFlags::REF_TAG_CHECK_DISABLE, seed), DifStatus::REF_TAG);
    assert_eq!(check(none, DifTags { app_tag_mask: 0, ..seed }), DifStatus::APP_TAG);
}

/// A block that lies across the edge is not done: bytes completed are whole blocks, tags those of the next one.
#[test]
fn fault_inside_a_block_stops_in_front_of_it() {
    let rig = Rig::dsa();
    let (dif, flags) = (DifFlags::BLOCK_4096, DstDifFlags::APP_TAG_INCREMENTS);
    let plain = bytes(4096 * 6, 6);
    let fielded = woven(dif, flags, SEED, &plain);
    let (src, dst) = (Memory::with(&plain), Memory::warm(8 * PAGE));
    let insert = Descriptor::dif_insert(src.src(0), dst.dst(0), plain.len() as u32, dif, flags, SEED);
    dst.cool(3 * PAGE, PAGE);
    let completion = rig.run(&insert);
    assert_eq!(completion.status(), Status::PAGE_FAULT.with_write());
    // The third block ends 24 bytes into the fourth page.
    assert_eq!((completion.bytes_completed(), completion.fault_addr()), (2 * 4096, dst.addr(3 * PAGE)));
    assert_eq!(completion.fault_info().operand(), Operand::DST);
    assert_eq!(completion.dst_dif_tags(), tags_after(flags.bits(), SEED, 2));
    assert!(dst.read(0, 2 * 4104) == fielded[..2 * 4104]);
    let src = Memory::with(&fielded);
    src.cool(2 * PAGE, PAGE);
    let src_flags = same_types(flags);
    let check = Descriptor::dif_check(src.src(0), fielded.len() as u32, dif, src_flags, SEED);
    let completion = rig.run(&check);
    assert_eq!((completion.status(), completion.fault_addr()), (Status::PAGE_FAULT, src.addr(2 * PAGE)));
    assert_eq!(completion.bytes_completed(), 4104);
    assert_eq!(completion.src_dif_tags(), tags_after(src_flags.bits(), SEED, 1));
}

/// Pages that are there and cannot be written: found out only when the blocks are made.
#[test]
fn read_only_destination_stops_behind_whole_blocks() {
    let rig = Rig::dsa();
    let (dif, flags) = (DifFlags::BLOCK_512, DstDifFlags::empty());
    let plain = bytes(512 * 30, 7);
    let fielded = woven(dif, flags, SEED, &plain);
    let (src, dst) = (Memory::with(&plain), Memory::warm(4 * PAGE));
    dst.protect(PAGE, PAGE, ProtFlags::PROT_READ);
    let insert = Descriptor::dif_insert(src.src(0), dst.dst(0), plain.len() as u32, dif, flags, SEED);
    for (descriptor, status) in
        [(insert, Status::PAGE_FAULT), (insert.with_block_on_fault(), Status::PAGE_REQUEST_INVALID)]
    {
        let completion = rig.run(&descriptor);
        assert_eq!(completion.status(), status.with_write());
        assert_eq!(completion.bytes_completed() as usize, PAGE / 520 * 512);
        assert_eq!(completion.dst_dif_tags(), tags_after(0, SEED, PAGE / 520));
        assert!(dst.read(0, PAGE / 520 * 520) == fielded[..PAGE / 520 * 520]);
    }
}

#[test]
fn block_on_fault_asks_for_pages_of_both_sides() {
    let rig = Rig::dsa();
    let (dif, flags) = (DifFlags::BLOCK_4104, DstDifFlags::REF_TAG_FIXED);
    let plain = vec![0; 4104 * 20];
    let (src, dst) = (Memory::cold(plain.len()), Memory::cold(4112 * 20));
    let insert = Descriptor::dif_insert(src.src(0), dst.dst(0), plain.len() as u32, dif, flags, SEED);
    assert_eq!(rig.run(&insert.with_block_on_fault()), success().with_dst_dif_tags(SEED));
    assert!(dst.read(0, 4112 * 20) == woven(dif, flags, SEED, &plain));
    assert_eq!(rig.device.stats().page_requests, 21 + 21);
}

/// The longest transfer of the queue, 2 MiB, or what whole blocks it has.
#[test]
fn longest_transfers_have_the_bytes_of_the_loops() {
    let rig = Rig::dsa();
    for dif in BLOCK_SIZES {
        let flags = DstDifFlags::APP_TAG_INCREMENTS;
        let blocks = (2 << 20) / (block_size(dif) + 8);
        let plain = bytes(block_size(dif) * blocks, 8);
        let fielded = woven(dif, flags, SEED, &plain);
        let (src, dst) = (Memory::with(&plain), Memory::warm(fielded.len()));
        let insert = Descriptor::dif_insert(src.src(0), dst.dst(0), plain.len() as u32, dif, flags, SEED);
        assert_eq!(rig.run(&insert).status(), Status::SUCCESS);
        assert!(dst.read(0, fielded.len()) == fielded, "{dif:?}");
        let strip =
            Descriptor::dif_strip(dst.src(0), src.dst(0), fielded.len() as u32, dif, same_types(flags), SEED);
        src.write(0, &vec![0; plain.len()]);
        assert_eq!(rig.run(&strip).status(), Status::SUCCESS);
        assert!(src.read(0, plain.len()) == plain, "{dif:?}");
    }
}

/// One operation of the five over generated data, and what it must leave behind.
struct Case {
    descriptor: Descriptor,
    src: Memory,
    src_bytes: Vec<u8>,
    dst: Memory,
    at: usize,
    expected: Vec<u8>,
    end: Completion,
}

fn case(which: usize, dif: DifFlags, types: u8, blocks: usize, at: usize, seed: u64) -> Case {
    let flags = DstDifFlags::from_bits_retain(types & 0x90);
    let plain = bytes(block_size(dif) * blocks, seed);
    let fielded = woven(dif, flags, SEED, &plain);
    let src_bytes = if matches!(which, 1 | 4) { plain.clone() } else { fielded.clone() };
    let (src, dst) = (Memory::warm(src_bytes.len() + PAGE), Memory::warm(fielded.len() + PAGE));
    src.write(at, &src_bytes);
    let (from, to, size) = (src.src(at), dst.dst(at), src_bytes.len() as u32);
    let (src_flags, tags) = (same_types(flags), tags_after(types, SEED, blocks));
    let new = DifTags { ref_tag: 77, app_tag_mask: 0, app_tag: 78 };
    let (with_src, with_dst) = (success().with_src_dif_tags(tags), success().with_dst_dif_tags(tags));
    let (descriptor, expected, end) = match which {
        0 => (Descriptor::dif_check(from, size, dif, src_flags, SEED), Vec::new(), with_src),
        1 => (Descriptor::dif_insert(from, to, size, dif, flags, SEED), fielded, with_dst),
        2 => (Descriptor::dif_strip(from, to, size, dif, src_flags, SEED), plain, with_src),
        3 => (
            Descriptor::dif_update(from, to, size, dif, (src_flags, SEED), (flags, new)),
            woven(dif, flags, new, &plain),
            with_src.with_dst_dif_tags(tags_after(types, new, blocks)),
        ),
        _ => {
            let fields =
                fielded.chunks(block_size(dif) + 8).flat_map(|block| block[block.len() - 8..].to_vec());
            (Descriptor::dix_generate(from, to, size, dif, flags, SEED), fields.collect(), with_dst)
        }
    };
    Case { descriptor, src, src_bytes, dst, at, expected, end }
}

/// A stop inside a block is behind it: one block for each descriptor.
#[test]
fn a_device_that_stops_after_each_block_gets_to_the_end() {
    for which in 0..5 {
        for dif in BLOCK_SIZES {
            let plan = FaultPlan::default().stop_at(StopAt::Bytes(1));
            let rig = Rig::new(DeviceConfig { plan, ..DeviceConfig::default() });
            let case = case(which, dif, 0x10, 12, 8, 12);
            let (completion, parts) = run_with_resume(&rig, case.descriptor, |_| {});
            assert_eq!((completion, parts), (case.end, 12), "{which}, {dif:?}");
            assert!(case.dst.read(case.at, case.expected.len()) == case.expected);
        }
    }
}

/// What has a meaning is there, also where the rest of the record is noise.
#[test]
fn noise_in_unused_bytes_changes_nothing() {
    for which in 0..5 {
        let plan = FaultPlan::seeded(which as u64).stop_at(StopAt::Bytes(1)).noise();
        let rig = Rig::new(DeviceConfig { plan, ..DeviceConfig::default() });
        let case = case(which, DifFlags::BLOCK_520, 0x90, 9, 0, 13);
        let (completion, _) = run_with_resume(&rig, case.descriptor, |_| {});
        if !matches!(which, 1 | 4) {
            assert_eq!(completion.src_dif_tags(), case.end.src_dif_tags(), "{which}");
        }
        if !matches!(which, 0 | 2) {
            assert_eq!(completion.dst_dif_tags(), case.end.dst_dif_tags(), "{which}");
        }
        assert!(case.dst.read(case.at, case.expected.len()) == case.expected);
    }
    let rig = Rig::new(DeviceConfig { plan: FaultPlan::seeded(9).noise(), ..DeviceConfig::default() });
    let case = case(0, DifFlags::BLOCK_512, 0, 3, 0, 14);
    case.src.write(520, &[!case.src_bytes[520]]);
    let completion = rig.run(&case.descriptor);
    assert_eq!((completion.status(), completion.dif_status()), (Status::DIF_ERROR, DifStatus::GUARD));
    assert_eq!(completion.bytes_completed(), 520);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Any pages of either side missing: the same bytes, and the same tags at the end.
    #[test]
    fn patchy_memory_resumes_to_the_same_bytes_and_tags(
        which in 0..5_usize,
        size in 0..4_usize,
        types in any::<u8>(),
        at in (0..100_usize).prop_map(|at| at * 8),
        cold in any::<[u16; 2]>(),
    ) {
        let rig = Rig::dsa();
        let blocks = if size < 2 { 70 } else { 9 };
        let Case { descriptor, src, src_bytes, dst, at, expected, end } =
            case(which, BLOCK_SIZES[size], types, blocks, at, 11);
        let pages = (at + src_bytes.len().min(expected.len().max(1))) / PAGE;
        for page in (0..pages).filter(|page| cold[0] >> page & 1 == 1) {
            dst.cool(page * PAGE, PAGE);
        }
        let gone = usize::from(cold[1]) % ((at + src_bytes.len()) / PAGE) * PAGE;
        let page = src.read(gone, PAGE);
        src.cool(gone, PAGE);
        let memories = [&dst];
        let mut touch_dst = touch(&memories, 16 * PAGE);
        let (completion, _) = run_with_resume(&rig, descriptor, |completion| {
            if completion.fault_addr() == src.addr(gone) {
                src.write(gone, &page);
            } else {
                touch_dst(completion);
            }
        });
        prop_assert_eq!(completion, end);
        prop_assert!(dst.read(at, expected.len()) == expected);
    }

    /// A device that stops after any block.
    #[test]
    fn any_stop_resumes_to_the_same_bytes_and_tags(
        which in 0..5_usize,
        size in 0..4_usize,
        types in any::<u8>(),
        blocks in 1..40_usize,
        seed in any::<u64>(),
    ) {
        let plan = FaultPlan::seeded(seed).stop_at(StopAt::Random);
        let rig = Rig::new(DeviceConfig { plan, ..DeviceConfig::default() });
        let case = case(which, BLOCK_SIZES[size], types, blocks, 16, seed);
        let (completion, _) = run_with_resume(&rig, case.descriptor, |_| {});
        prop_assert_eq!(completion, case.end);
        prop_assert!(case.dst.read(case.at, case.expected.len()) == case.expected);
    }
}
