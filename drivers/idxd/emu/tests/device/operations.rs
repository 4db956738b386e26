//! What each operation does, on memory that is present and on memory that is not.

use idxd_emu::{DeviceConfig, FaultPlan, StopAt};
use idxd_spec::{Completion, Descriptor, Flags, Status};
use proptest::prelude::*;

use crate::driver::{run_with_resume, touch};
use crate::support::{Memory, PAGE, Rig, bytes};

#[test]
fn noop_completes() {
    let rig = Rig::dsa();
    assert_eq!(rig.run(&Descriptor::noop()), Completion::new(Status::SUCCESS));
    assert_eq!(rig.device.stats().completions, 1);
}

#[test]
fn copy_into_cold_memory_stops_at_the_first_page_that_is_not_there() {
    let rig = Rig::dsa();
    let data = bytes(4 * PAGE, 1);
    let (src, dst) = (Memory::with(&data), Memory::cold(4 * PAGE));
    dst.write(0, &[1]);
    let copy = Descriptor::memmove(src.src(0), dst.dst(100), 3 * PAGE as u32);
    let completion = rig.run(&copy);
    assert_eq!(completion.status(), Status::PAGE_FAULT.with_write());
    assert_eq!(completion.bytes_completed() as usize, PAGE - 100);
    assert_eq!(completion.fault_addr(), dst.addr(PAGE));
    assert_eq!(completion.fault_info().operand(), idxd_spec::Operand::DST);
    assert_eq!(completion.result(), 0);
    let (_, parts) = run_with_resume(&rig, copy, touch(&[&dst], 4 * PAGE));
    assert_eq!(parts, 4);
    assert_eq!(dst.read(100, 3 * PAGE), data[..3 * PAGE]);
}

#[test]
fn copy_from_cold_memory_faults_on_the_read() {
    let rig = Rig::dsa();
    let (src, dst) = (Memory::cold(2 * PAGE), Memory::with(&vec![9; 2 * PAGE]));
    let completion = rig.run(&Descriptor::memmove(src.src(0), dst.dst(0), 2 * PAGE as u32));
    assert_eq!(completion.status(), Status::PAGE_FAULT);
    assert_eq!((completion.bytes_completed(), completion.fault_addr()), (0, src.addr(0)));
    assert_eq!(completion.fault_info().operand(), idxd_spec::Operand::SRC);
    assert_eq!(dst.read(0, 2 * PAGE), vec![9; 2 * PAGE]);
}

/// The end of the destination is cold: a copy that runs backwards meets it first, and says so.
#[test]
fn reversed_copy_reports_its_direction_and_resumes_from_the_end() {
    let rig = Rig::dsa();
    let len = 5 * PAGE;
    let data = bytes(len, 2);
    let memory = Memory::cold(8 * PAGE);
    memory.write(0, &data);
    let copy = Descriptor::memmove(memory.src(0), memory.dst(PAGE + 17), len as u32);
    let completion = rig.run(&copy);
    assert_eq!(completion.status(), Status::PAGE_FAULT.with_write());
    assert_eq!((completion.result(), completion.bytes_completed()), (1, 0));
    assert_eq!(completion.fault_addr(), memory.addr(6 * PAGE));
    let (_, parts) = run_with_resume(&rig, copy, touch(&[&memory], 8 * PAGE));
    assert_eq!(parts, 3);
    assert_eq!(memory.read(PAGE + 17, len), data);
}

/// A destination that is present but not writable in the middle: the copy that runs backwards has done what lies
/// behind it, and has not touched its source there.
#[test]
fn reversed_copy_stops_behind_what_cannot_be_written() {
    let rig = Rig::dsa();
    let (len, shift) = (6 * PAGE, PAGE / 2);
    let data = bytes(8 * PAGE, 3);
    let memory = Memory::with(&data);
    memory.protect(3 * PAGE, PAGE, nix::sys::mman::ProtFlags::PROT_READ);
    let completion = rig.run(&Descriptor::memmove(memory.src(0), memory.dst(shift), len as u32));
    assert_eq!(completion.status(), Status::PAGE_FAULT.with_write());
    let done = completion.bytes_completed() as usize;
    assert_eq!((completion.result(), done), (1, shift + len - 4 * PAGE));
    assert_eq!(completion.fault_addr(), memory.addr(3 * PAGE));
    let mut expected = data.clone();
    expected[4 * PAGE..shift + len].copy_from_slice(&data[4 * PAGE - shift..len]);
    assert_eq!(memory.read(0, 8 * PAGE), expected);
}

#[test]
fn fill_goes_on_in_phase_after_a_fault() {
    let rig = Rig::dsa();
    let pattern = 0x0f0e_0d0c_0b0a_0908_0706_0504_0302_0100_u128;
    for (size, fill) in [
        (8, Descriptor::fill(0x0706_0504_0302_0100, idxd_spec::DstAddr(0), 0)),
        (16, Descriptor::fill_16(pattern, idxd_spec::DstAddr(0), 0)),
    ] {
        let dst = Memory::cold(4 * PAGE);
        let len = 3 * PAGE + 5;
        let fill = match fill.flags().contains(Flags::PATTERN_16) {
            true => Descriptor::fill_16(pattern, dst.dst(3), len as u32),
            false => Descriptor::fill(0x0706_0504_0302_0100, dst.dst(3), len as u32),
        };
        let (_, parts) = run_with_resume(&rig, fill, touch(&[&dst], 4 * PAGE));
        assert_eq!(parts, 5);
        let expected: Vec<u8> = (0..len).map(|at| (at % size) as u8).collect();
        assert_eq!(dst.read(3, len), expected, "pattern of {size}");
        assert_eq!(dst.read(0, 3), [0; 3]);
        assert_eq!(dst.read(3 + len, 4 * PAGE - 3 - len), vec![0; 4 * PAGE - 3 - len]);
    }
}

#[test]
fn compare_finds_the_first_difference() {
    let rig = Rig::dsa();
    let len = 70_000;
    let data = bytes(len, 4);
    let (a, b) = (Memory::with(&data), Memory::with(&data));
    let compare = Descriptor::compare(a.src(0), b.src(0), len as u32);
    assert_eq!(rig.run(&compare), Completion::new(Status::SUCCESS));
    for at in [0, 1, 4095, 65_535, 65_536, len - 1] {
        b.write(at, &[data[at] ^ 0x80]);
        let expected = Completion::new(Status::SUCCESS).with_result(1).with_bytes_completed(at as u32);
        assert_eq!(rig.run(&compare), expected);
        let wrong =
            Completion::new(Status::SUCCESS_PREDICATE_FALSE).with_result(1).with_bytes_completed(at as u32);
        assert_eq!(rig.run(&compare.with_expected_result(0)), wrong);
        assert_eq!(rig.run(&compare.with_expected_result(1)), expected);
        b.write(at, &data[at..at + 1]);
    }
    assert_eq!(rig.run(&compare.with_expected_result(1)).status(), Status::SUCCESS_PREDICATE_FALSE);
}

#[test]
fn compare_reports_a_difference_rather_than_the_fault_behind_it() {
    let rig = Rig::dsa();
    let (a, b) = (Memory::warm(2 * PAGE), Memory::cold(2 * PAGE));
    b.write(0, &[0; PAGE]);
    let compare = Descriptor::compare(a.src(0), b.src(0), 2 * PAGE as u32);
    let completion = rig.run(&compare);
    assert_eq!((completion.status(), completion.result()), (Status::PAGE_FAULT, 0));
    assert_eq!(completion.bytes_completed() as usize, PAGE);
    assert_eq!(completion.fault_info().operand(), idxd_spec::Operand::SRC2);
    b.write(7, &[1]);
    let completion = rig.run(&compare);
    assert_eq!(
        (completion.status(), completion.result(), completion.bytes_completed()),
        (Status::SUCCESS, 1, 7)
    );
}

#[test]
fn compare_pattern_keeps_its_phase() {
    let rig = Rig::dsa();
    let pattern = 0x8877_6655_4433_2211_u64;
    let len = 3 * PAGE + 3;
    let data: Vec<u8> = (0..len).map(|at| pattern.to_le_bytes()[at % 8]).collect();
    let memory = Memory::cold(len);
    memory.write(0, &data);
    let compare = Descriptor::compare_pattern(memory.src(0), pattern, len as u32);
    assert_eq!(rig.run(&compare), Completion::new(Status::SUCCESS));
    memory.write(2 * PAGE + 1, &[0]);
    let completion = rig.run(&compare);
    assert_eq!((completion.result(), completion.bytes_completed() as usize), (1, 2 * PAGE + 1));
}

#[test]
fn checksums_are_those_of_the_crc_crate() {
    let rig = Rig::dsa();
    let data = bytes(150_001, 5);
    let (src, dst) = (Memory::with(&data), Memory::warm(data.len()));
    let len = data.len() as u32;
    let iscsi = crc::Crc::<u32>::new(&crc::CRC_32_ISCSI).checksum(&data);
    let nvme = crc::Crc::<u64>::new(&crc::CRC_64_NVME).checksum(&data);
    assert_eq!(rig.run(&Descriptor::crc(src.src(0), len, 0)).crc_val(), u64::from(iscsi));
    assert_eq!(rig.run(&Descriptor::crc64(src.src(0), len, 0)).crc_val(), nvme);
    assert_eq!(rig.run(&Descriptor::copy_crc(src.src(0), dst.dst(0), len, 0)).crc_val(), u64::from(iscsi));
    assert_eq!(dst.read(0, data.len()), data);
    let seed = crc::Crc::<u32>::new(&crc::CRC_32_ISCSI).checksum(&data[..1000]);
    let rest = Descriptor::crc(src.src(1000), len - 1000, seed);
    assert_eq!(rig.run(&rest).crc_val(), u64::from(iscsi));
    let seeds = Memory::with(&seed.to_le_bytes());
    let rest = Descriptor::crc(src.src(1000), len - 1000, 0).with_crc_seed_addr(seeds.addr(0));
    assert_eq!(rig.run(&rest).crc_val(), u64::from(iscsi));
}

/// The polynomial with nothing inverted or reflected (`refin`, `refout`, `init`, `xorout` off), fed to the device with
/// both bypass flags. The seed and result then have reverse bit order, so the result's bit 0 is the top coefficient.
#[test]
fn bypass_flags_turn_inversion_and_reflection_off() {
    const PLAIN: crc::Algorithm<u32> = crc::Algorithm {
        width: 32,
        poly: 0x1edc_6f41,
        init: 0,
        refin: false,
        refout: false,
        xorout: 0,
        check: 0,
        residue: 0,
    };
    let rig = Rig::dsa();
    let data = bytes(3001, 6);
    let src = Memory::with(&data);
    let bypass = Flags::BYPASS_CRC_INVERSION | Flags::BYPASS_DATA_REFLECTION;
    let completion = rig.run(&Descriptor::crc(src.src(0), data.len() as u32, 0).with_flags(bypass));
    assert_eq!(completion.crc_val(), u64::from(crc::Crc::<u32>::new(&PLAIN).checksum(&data)));
}

#[test]
fn checksums_resume_from_the_partial_one() {
    let rig = Rig::dsa();
    let data = bytes(5 * PAGE, 7);
    let iscsi = u64::from(crc::Crc::<u32>::new(&crc::CRC_32_ISCSI).checksum(&data));
    let (src, dst) = (Memory::with(&data), Memory::cold(data.len()));
    let copy = Descriptor::copy_crc(src.src(0), dst.dst(0), data.len() as u32, 0);
    let (completion, parts) = run_with_resume(&rig, copy, touch(&[&dst], data.len()));
    assert_eq!((completion.crc_val(), parts), (iscsi, 6));
    assert_eq!(dst.read(0, data.len()), data);
    let config =
        DeviceConfig { plan: FaultPlan::seeded(11).stop_at(StopAt::Random), ..DeviceConfig::default() };
    let rig = Rig::new(config);
    let crc = Descriptor::crc(src.src(0), data.len() as u32, 0);
    let (completion, parts) = run_with_resume(&rig, crc, |_| {});
    assert_eq!(completion.crc_val(), iscsi);
    assert!(parts > 1);
}

#[test]
fn dualcast_writes_the_same_to_both() {
    let rig = Rig::dsa();
    let data = bytes(3 * PAGE, 8);
    let src = Memory::with(&data);
    let (a, b) = (Memory::warm(4 * PAGE), Memory::cold(4 * PAGE));
    let dualcast = Descriptor::dualcast(src.src(0), a.dst(64), b.dst(64), data.len() as u32);
    let (_, parts) = run_with_resume(&rig, dualcast, touch(&[&a, &b], 4 * PAGE));
    assert_eq!(parts, 5);
    assert_eq!(a.read(64, data.len()), data);
    assert_eq!(b.read(64, data.len()), data);
}

#[test]
fn translation_fetch_reports_where_to_go_on() {
    let rig = Rig::dsa();
    let memory = Memory::cold(4 * PAGE);
    memory.write(0, &[1; 2 * PAGE]);
    let fetch = Descriptor::translation_fetch(memory.src(0), 4 * PAGE as u32);
    let completion = rig.run(&fetch);
    assert_eq!(completion.status(), Status::PAGE_FAULT);
    assert_eq!(completion.fault_addr(), memory.addr(2 * PAGE));
    assert_eq!(rig.run(&fetch.with_block_on_fault()).status(), Status::SUCCESS);
    assert_eq!(rig.run(&fetch).status(), Status::SUCCESS);
    let far = Memory::cold(32 * PAGE);
    far.write(0, &[1]);
    far.write(16 * PAGE, &[1]);
    let strided = Descriptor::translation_fetch(far.src(0), 32 * PAGE as u32).with_stride(16 * PAGE as u32);
    assert_eq!(rig.run(&strided).status(), Status::SUCCESS);
}

#[test]
fn cache_flush_translates_its_range() {
    let rig = Rig::dsa();
    let memory = Memory::cold(2 * PAGE);
    memory.write(0, &[1]);
    assert_eq!(rig.run(&Descriptor::cache_flush(memory.dst(0), 100)).status(), Status::SUCCESS);
    let completion = rig.run(&Descriptor::cache_flush(memory.dst(0), 5000));
    assert_eq!(completion.status(), Status::PAGE_FAULT.with_write());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Any overlap, any pages missing: the bytes are those of a copy through a temporary.
    #[test]
    fn overlapping_copies_on_patchy_memory_resume_to_the_right_bytes(
        src in 0..6 * PAGE,
        dst in 0..6 * PAGE,
        len in 1..6 * PAGE,
        present in any::<u16>(),
    ) {
        let rig = Rig::dsa();
        let data = bytes(12 * PAGE, 9);
        let memory = Memory::cold(12 * PAGE);
        let mut image = vec![0; 12 * PAGE];
        for page in (0..12).filter(|page| present >> page & 1 == 1) {
            let range = page * PAGE..(page + 1) * PAGE;
            memory.write(range.start, &data[range.clone()]);
            image[range.clone()].copy_from_slice(&data[range]);
        }
        let copy = Descriptor::memmove(memory.src(src), memory.dst(dst), len as u32);
        run_with_resume(&rig, copy, touch(&[&memory], 12 * PAGE));
        image.copy_within(src..src + len, dst);
        prop_assert_eq!(memory.read(0, 12 * PAGE), image);
    }

    /// A device that stops at any byte, resumed by the rules, does what one that does not stop does.
    #[test]
    fn any_stop_resumes_to_the_right_bytes(seed in any::<u64>(), len in 1..30_000_usize, shift in 0..5000_usize) {
        let plan = FaultPlan::seeded(seed).stop_at(StopAt::Random);
        let rig = Rig::new(DeviceConfig { plan, ..DeviceConfig::default() });
        let mut image = bytes(40_000, seed);
        let memory = Memory::with(&image);
        let copy = Descriptor::memmove(memory.src(0), memory.dst(shift), len as u32);
        run_with_resume(&rig, copy, |_| {});
        image.copy_within(..len, shift);
        let pattern = [1_u8, 2, 3, 4, 5, 6, 7, 8];
        let fill = Descriptor::fill(u64::from_le_bytes(pattern), memory.dst(37), len as u32);
        run_with_resume(&rig, fill, |_| {});
        (0..len).for_each(|at| image[37 + at] = pattern[at % 8]);
        prop_assert_eq!(memory.read(0, 40_000), image);
    }
}
