//! Operations on memory over lengths and offsets around a cache line, a page and the queue's longest transfer, against
//! loops and the `crc` crate.

use idxd_emu::{DeviceConfig, FaultPlan, StopAt};
use idxd_spec::{Completion, Descriptor, Flags, Operand, Status};
use proptest::prelude::*;

use crate::driver::{run_with_resume, touch};
use crate::support::{Memory, PAGE, Rig, bytes};

/// Bytes of the longest transfer of the default queue.
const LONGEST: usize = 2 << 20;

const LENGTHS: [usize; 14] = [
    1,
    63,
    64,
    65,
    4095,
    4096,
    4097,
    65_535,
    65_536,
    65_537,
    (1 << 20) + 1,
    LONGEST - 1,
    LONGEST - 8,
    LONGEST,
];
const OFFSETS: [usize; 4] = [0, 1, 63, 4095];

fn done() -> Completion {
    Completion::new(Status::SUCCESS)
}

/// `len` bytes and the one behind, to see that it is not written.
fn around(memory: &Memory, at: usize, len: usize) -> Vec<u8> {
    memory.read(at, len + 1)
}

#[test]
fn copies_write_their_bytes_and_no_other() {
    let rig = Rig::dsa();
    let data = bytes(LONGEST + PAGE, 1);
    let src = Memory::with(&data);
    let dst = [Memory::warm(LONGEST + 2 * PAGE), Memory::warm(LONGEST + 2 * PAGE)];
    for len in LENGTHS {
        for offset in OFFSETS {
            let (size, from) = (len as u32, src.src(offset / 2));
            let wanted: Vec<u8> = data[offset / 2..offset / 2 + len].iter().copied().chain([0]).collect();
            let (first, second) = (dst[0].dst(offset), dst[1].dst(offset));
            for (descriptor, written) in [
                (Descriptor::memmove(from, first, size), 1),
                (Descriptor::dualcast(from, first, second, size), 2),
                (Descriptor::copy_crc(from, first, size, 0), 1),
            ] {
                dst.iter().for_each(|dst| dst.write(offset, &vec![0; len + 1]));
                assert_eq!(rig.run(&descriptor).status(), Status::SUCCESS, "{len} at {offset}");
                let is_right = |dst: &Memory| around(dst, offset, len) == wanted;
                assert!(dst[..written].iter().all(is_right), "{len} at {offset}, {descriptor:?}");
            }
        }
    }
    assert_eq!(
        rig.run(&Descriptor::memmove(src.src(0), dst[0].dst(0), 1 + LONGEST as u32)).status(),
        Status::TRANSFER_SIZE
    );
}

#[test]
fn fills_repeat_their_pattern_to_the_last_byte() {
    let rig = Rig::dsa();
    let dst = Memory::warm(LONGEST + 2 * PAGE);
    let pattern = 0x1f1e_1d1c_1b1a_1918_1716_1514_1312_1110_u128;
    for len in LENGTHS {
        for offset in OFFSETS {
            let to = dst.dst(offset);
            for (descriptor, period) in [
                (Descriptor::fill(pattern as u64, to, len as u32), 8),
                (Descriptor::fill_16(pattern, to, len as u32), 16),
            ] {
                dst.write(offset, &vec![0; len + 1]);
                assert_eq!(rig.run(&descriptor), done(), "{len} at {offset}");
                let wanted = (0..len).map(|at| 0x10 + (at % period) as u8).chain([0]);
                assert!(around(&dst, offset, len).into_iter().eq(wanted), "{len} at {offset}, {period}");
            }
        }
    }
}

#[test]
fn comparisons_find_the_last_byte() {
    let rig = Rig::dsa();
    let data: Vec<u8> = (0..LONGEST + PAGE).map(|at| (at % 8) as u8).collect();
    let (first, second) = (Memory::with(&data), Memory::with(&data));
    for len in LENGTHS {
        for offset in OFFSETS {
            let pattern = u64::from_le_bytes(std::array::from_fn(|at| ((offset + at) % 8) as u8));
            let (src1, src2) = (first.src(offset), second.src(offset));
            let comparisons = [
                Descriptor::compare(src1, src2, len as u32),
                Descriptor::compare_pattern(src1, pattern, len as u32),
            ];
            for descriptor in comparisons {
                assert_eq!(rig.run(&descriptor), done(), "{len} at {offset}");
                for at in [0, len / 2, len - 1] {
                    first.write(offset + at, &[0xff]);
                    let found = done().with_result(1).with_bytes_completed(at as u32);
                    assert_eq!(rig.run(&descriptor), found, "{len} at {offset}");
                    first.write(offset + at, &data[offset + at..=offset + at]);
                }
            }
            // Behind the range.
            first.write(offset + len, &[0xff]);
            comparisons.iter().for_each(|descriptor| assert_eq!(rig.run(descriptor), done()));
            first.write(offset + len, &data[offset + len..=offset + len]);
        }
    }
}

/// The parameters of a CRC with steps left out, as the catalogue writes them.
fn bypassed<W: crc::Width + Copy>(
    plain: crc::Algorithm<W>,
    flags: Flags,
    zero: W,
) -> &'static crc::Algorithm<W> {
    let mut algorithm = plain;
    algorithm.refin = !flags.contains(Flags::BYPASS_DATA_REFLECTION);
    algorithm.refout = !flags.contains(Flags::BYPASS_CRC_INVERSION);
    if flags.contains(Flags::BYPASS_CRC_INVERSION) {
        (algorithm.init, algorithm.xorout) = (zero, zero);
    }
    Box::leak(Box::new(algorithm))
}

const BYPASSES: [Flags; 4] = [
    Flags::empty(),
    Flags::BYPASS_CRC_INVERSION,
    Flags::BYPASS_DATA_REFLECTION,
    Flags::BYPASS_CRC_INVERSION.union(Flags::BYPASS_DATA_REFLECTION),
];

#[test]
fn checksums_with_any_steps_left_out_are_those_of_the_crc_crate() {
    let rig = Rig::dsa();
    let data = bytes(LONGEST + PAGE, 2);
    let (src, dst) = (Memory::with(&data), Memory::warm(LONGEST));
    for flags in BYPASSES {
        let short = crc::Crc::<u32>::new(bypassed(crc::CRC_32_ISCSI, flags, 0));
        let long = crc::Crc::<u64>::new(bypassed(crc::CRC_64_NVME, flags, 0));
        for len in LENGTHS {
            let (offset, size) = (len % 61, len as u32);
            let bytes = &data[offset..offset + len];
            let (from, to) = (src.src(offset), dst.dst(0));
            let wanted = (u64::from(short.checksum(bytes)), long.checksum(bytes));
            for (descriptor, wanted) in [
                (Descriptor::crc(from, size, 0), wanted.0),
                (Descriptor::copy_crc(from, to, size, 0), wanted.0),
                (Descriptor::crc64(from, size, 0), wanted.1),
                (Descriptor::copy_crc64(from, to, size, 0), wanted.1),
            ] {
                let completion = rig.run(&descriptor.with_flags(flags));
                assert_eq!(completion, done().with_crc_val(wanted), "{flags:?}, {len} bytes");
            }
        }
    }
}

/// A seed in memory that is not there, or never will be.
#[test]
fn seed_in_memory_faults_like_any_operand() {
    let rig = Rig::dsa();
    let (src, seeds) = (Memory::with(&bytes(64, 3)), Memory::cold(PAGE));
    let crc = Descriptor::crc64(src.src(0), 64, 0).with_crc_seed_addr(seeds.addr(8));
    let completion = rig.run(&crc);
    assert_eq!((completion.status(), completion.fault_addr()), (Status::PAGE_FAULT, seeds.addr(0)));
    assert_eq!((completion.fault_info().operand(), completion.bytes_completed()), (Operand::SRC2, 0));
    let nvme = crc::Crc::<u64>::new(&crc::CRC_64_NVME).checksum(&bytes(64, 3));
    assert_eq!(rig.run(&crc.with_block_on_fault()), done().with_crc_val(nvme));
    assert_eq!(run_with_resume(&rig, crc, touch(&[&seeds], PAGE)).0.crc_val(), nvme);
    seeds.unmap(0, PAGE);
    assert_eq!(rig.run(&crc.with_block_on_fault()).status(), Status::PAGE_REQUEST_INVALID);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// A device that stops at any byte: the checksum, and the place of the first difference, are those of one run.
    #[test]
    fn any_stop_resumes_to_the_same_checksum_and_difference(
        seed in any::<u64>(),
        len in 2..40_000_usize,
        bypass in 0..4_usize,
        wrong in any::<prop::sample::Index>(),
    ) {
        let plan = FaultPlan::seeded(seed).stop_at(StopAt::Random);
        let rig = Rig::new(DeviceConfig { plan, ..DeviceConfig::default() });
        let data = bytes(len, seed);
        let (src, dst, other) = (Memory::with(&data), Memory::warm(len), Memory::with(&data));
        let flags = BYPASSES[bypass];
        let wanted = crc::Crc::<u64>::new(bypassed(crc::CRC_64_NVME, flags, 0)).checksum(&data);
        let copy = Descriptor::copy_crc64(src.src(0), dst.dst(0), len as u32, 0).with_flags(flags);
        prop_assert_eq!(run_with_resume(&rig, copy, |_| {}).0.crc_val(), wanted);
        prop_assert!(dst.read(0, len) == data);
        let wrong = wrong.index(len);
        other.write(wrong, &[!data[wrong]]);
        let compare = Descriptor::compare(src.src(0), other.src(0), len as u32);
        let parts = crate::driver::parts(&rig, compare, |_| {});
        prop_assert_eq!(parts.last().unwrap().1.result(), 1);
        let at: u32 = parts.iter().map(|(_, completion)| completion.bytes_completed()).sum();
        prop_assert_eq!(at as usize, wrong);
    }
}
