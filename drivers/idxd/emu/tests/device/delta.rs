//! Create and apply delta, against loops over words written from §8.3.8 and §8.3.9; on memory with and without pages.

use idxd_emu::{DeviceConfig, FaultPlan, QueueConfig, StopAt};
use idxd_spec::{ApplyDelta, Completion, CreateDelta, Descriptor, DstAddr, Operand, SrcAddr, Status};
use proptest::prelude::*;

use crate::driver::{parts, run_with_resume, touch};
use crate::support::{Memory, PAGE, Rig, bytes};

/// The whole record, as the specification describes it.
fn expected(first: &[u8], second: &[u8]) -> Vec<u8> {
    let words = first.chunks(8).zip(second.chunks(8)).enumerate();
    let differing = words.filter(|(_, (first, second))| first != second);
    differing.flat_map(|(at, (_, second))| [&[at as u8, (at >> 8) as u8], second].concat()).collect()
}

/// `first` with one byte of each word of `words` another.
fn flipped(first: &[u8], words: impl IntoIterator<Item = usize>) -> Vec<u8> {
    let mut second = first.to_vec();
    words.into_iter().for_each(|word| second[word * 8 + word % 8] ^= 0x21);
    second
}

fn create(first: SrcAddr, second: SrcAddr, size: usize, delta: DstAddr, room: usize) -> Descriptor {
    Descriptor::create_delta(CreateDelta {
        src1_addr: first,
        src2_addr: second,
        xfer_size: size as u32,
        delta_addr: delta,
        delta_size_max: room as u32,
    })
}

fn apply(delta: SrcAddr, delta_size: usize, dst: DstAddr, size: usize) -> Descriptor {
    let delta_size = delta_size as u32;
    Descriptor::apply_delta(ApplyDelta {
        delta_addr: delta,
        delta_size,
        dst_addr: dst,
        xfer_size: size as u32,
    })
}

/// A record with these results.
fn done(result: u8, size: usize, compared: usize) -> Completion {
    let completion = Completion::new(Status::SUCCESS).with_result(result).with_delta_rec_size(size as u32);
    completion.with_bytes_completed(compared as u32)
}

#[test]
fn created_record_is_that_of_the_loop() {
    let rig = Rig::dsa();
    for len in [8, 56, 64, 72, 4088, 4096, 4104, 32_760, 32_768, 32_776, 524_280, 524_288] {
        let first = bytes(len, 1);
        for every in [1, 3, 64, 5000] {
            let second = flipped(&first, (0..len / 8).step_by(every));
            let record = expected(&first, &second);
            let (src1, src2, delta) =
                (Memory::with(&first), Memory::with(&second), Memory::warm((len / 8 * 10).max(80)));
            let room = (len / 8 * 10).max(80);
            let completion = rig.run(&create(src1.src(0), src2.src(0), len, delta.dst(0), room));
            assert_eq!(completion, done(1, record.len(), 0), "{len} bytes, one word in {every}");
            assert!(delta.read(0, record.len()) == record, "{len} bytes, one word in {every}");
            let dst = Memory::with(&first);
            let completion = rig.run(&apply(delta.src(0), record.len(), dst.dst(0), len));
            assert_eq!(completion, Completion::new(Status::SUCCESS));
            assert!(dst.read(0, len) == second, "{len} bytes, one word in {every}");
        }
    }
}

#[test]
fn equal_ranges_give_an_empty_record() {
    let rig = Rig::dsa();
    let data = bytes(100_000, 2);
    let (src1, src2, delta) = (Memory::with(&data), Memory::with(&data), Memory::cold(PAGE));
    let create = create(src1.src(0), src2.src(0), 100_000, delta.dst(0), 80);
    assert_eq!(rig.run(&create), done(0, 0, 0));
}

/// The entry that does not fit, and what was compared before it.
#[test]
fn record_that_is_full_says_how_far_it_reaches() {
    let rig = Rig::dsa();
    let first = bytes(100_000, 3);
    let second = flipped(&first, (0..12_500).step_by(5));
    let record = expected(&first, &second);
    let (src1, src2, delta) = (Memory::with(&first), Memory::with(&second), Memory::warm(25_000));
    for entries in [8, 9, 819, 1000, 2499] {
        let room = entries * 10;
        let descriptor = create(src1.src(0), src2.src(0), 100_000, delta.dst(7), room);
        assert_eq!(rig.run(&descriptor), done(2, room, entries * 40), "{entries} entries");
        assert!(delta.read(7, room) == record[..room]);
    }
    let descriptor = create(src1.src(0), src2.src(0), 100_000, delta.dst(7), 25_000 - 10);
    assert_eq!(rig.run(&descriptor), done(2, 24_990, 2499 * 40));
    let descriptor = create(src1.src(0), src2.src(0), 100_000, delta.dst(7), 25_000);
    assert_eq!(rig.run(&descriptor), done(1, 25_000, 0));
}

/// Bit r of the mask for result r; the other bits are ignored (§8.3.8).
#[test]
fn expected_result_mask_decides_the_status() {
    let rig = Rig::dsa();
    let first = bytes(1024, 4);
    let others = [first.clone(), flipped(&first, [3]), flipped(&first, 0..128)];
    for (result, second) in others.iter().enumerate() {
        let (src1, src2, delta) = (Memory::with(&first), Memory::with(second), Memory::warm(PAGE));
        let create = create(src1.src(0), src2.src(0), 1024, delta.dst(0), 80);
        for mask in 0..16_u8 {
            let completion = rig.run(&create.with_expected_result_mask(mask | 0xf0));
            let is_expected = mask >> result & 1 == 1;
            let status = if is_expected { Status::SUCCESS } else { Status::SUCCESS_PREDICATE_FALSE };
            assert_eq!((completion.result() as usize, completion.status()), (result, status));
        }
    }
}

/// A page of each operand in turn is missing.
#[test]
fn create_reports_what_it_compared_and_wrote_before_the_fault() {
    let rig = Rig::dsa();
    let len = 4 * PAGE;
    let first = bytes(len, 5);
    let second = flipped(&first, (0..len / 8).step_by(2));
    let record = expected(&first, &second);
    let (src1, src2, delta) = (Memory::with(&first), Memory::with(&second), Memory::warm(4 * PAGE));
    let create = create(src1.src(0), src2.src(0), len, delta.dst(100), 4 * PAGE - 104);
    src1.cool(PAGE, PAGE);
    let completion = rig.run(&create);
    assert_eq!(completion.status(), Status::PAGE_FAULT);
    assert_eq!((completion.bytes_completed() as usize, completion.fault_addr()), (PAGE, src1.addr(PAGE)));
    assert_eq!(completion.fault_info().operand(), Operand::SRC);
    assert_eq!((completion.result(), completion.delta_rec_size() as usize), (1, PAGE / 16 * 10));
    src1.write(0, &first);
    src2.cool(0, PAGE);
    let completion = rig.run(&create);
    assert_eq!((completion.status(), completion.fault_addr()), (Status::PAGE_FAULT, src2.addr(0)));
    assert_eq!((completion.bytes_completed(), completion.result(), completion.delta_rec_size()), (0, 0, 0));
    assert_eq!(completion.fault_info().operand(), Operand::SRC2);
    src2.write(0, &second);
    delta.cool(PAGE, PAGE);
    let completion = rig.run(&create);
    // The last whole entry in the first page ends 6 bytes before the next: the word of the one behind is not done.
    let entries = (PAGE - 100) / 10;
    assert_eq!(completion.status(), Status::PAGE_FAULT.with_write());
    assert_eq!((completion.result(), completion.delta_rec_size() as usize), (1, entries * 10));
    assert_eq!(
        (completion.bytes_completed() as usize, completion.fault_addr()),
        (entries * 16, delta.addr(PAGE))
    );
    assert_eq!(completion.fault_info().operand(), Operand::DST);
    assert!(delta.read(100, entries * 10) == record[..entries * 10]);
    assert_eq!(rig.run(&create.with_block_on_fault()), done(1, record.len(), 0));
    assert!(delta.read(100, record.len()) == record);
}

/// What a page of zeros is worth that comes back: the sources differ there.
#[test]
fn block_on_fault_asks_for_pages_of_every_operand() {
    let rig = Rig::dsa();
    let len = 8 * PAGE;
    let first = bytes(len, 6);
    let (src1, src2, delta) = (Memory::with(&first), Memory::cold(len), Memory::cold(12 * PAGE));
    let create = create(src1.src(0), src2.src(0), len, delta.dst(0), 10 * PAGE);
    let record = expected(&first, &vec![0; len]);
    assert_eq!(rig.run(&create.with_block_on_fault()), done(1, record.len(), 0));
    assert!(delta.read(0, record.len()) == record);
    assert_eq!(rig.device.stats().page_requests, 8 + 10);
    let dst = Memory::cold(len);
    let apply = apply(delta.src(0), record.len(), dst.dst(0), len).with_block_on_fault();
    assert_eq!(rig.run(&apply).status(), Status::SUCCESS);
    assert_eq!(rig.device.stats().page_requests, 8 + 10 + 8);
    assert!(dst.read(0, len) == vec![0; len]);
}

#[test]
fn apply_reports_how_much_of_the_record_it_applied() {
    let rig = Rig::dsa();
    let len = 4 * PAGE;
    let (first, second) = (bytes(len, 7), bytes(len, 8));
    let record = expected(&first, &second);
    let (delta, dst) = (Memory::with(&record), Memory::with(&first));
    let apply = apply(delta.src(0), record.len(), dst.dst(0), len);
    delta.cool(PAGE, PAGE);
    let completion = rig.run(&apply);
    assert_eq!((completion.status(), completion.fault_addr()), (Status::PAGE_FAULT, delta.addr(PAGE)));
    assert_eq!(completion.bytes_completed() as usize, PAGE / 10 * 10);
    assert_eq!(completion.fault_info().operand(), Operand::SRC);
    assert!(dst.read(0, PAGE / 10 * 8) == second[..PAGE / 10 * 8]);
    delta.write(0, &record);
    dst.cool(3 * PAGE, PAGE);
    let completion = rig.run(&apply);
    assert_eq!(
        (completion.status(), completion.fault_addr()),
        (Status::PAGE_FAULT.with_write(), dst.addr(3 * PAGE))
    );
    assert_eq!(completion.bytes_completed() as usize, 3 * PAGE / 8 * 10);
    assert_eq!(completion.fault_info().operand(), Operand::DST);
    assert!(dst.read(0, 3 * PAGE) == second[..3 * PAGE]);
    assert_eq!(rig.run(&apply.with_block_on_fault()).status(), Status::SUCCESS);
    assert!(dst.read(0, len) == second);
}

/// Statuses 0x07 and 0x08, in the first piece the model reads and in a later one.
#[test]
fn wrong_entries_stop_the_application() {
    let rig = Rig::dsa();
    let len = 512 << 10;
    let record: Vec<u8> = (0..20_000_u16).flat_map(|at| [&at.to_le_bytes()[..], &[7; 8]].concat()).collect();
    for wrong in [0_usize, 1, 6553, 6554, 19_999] {
        for (units, size, status) in [
            (wrong as u16, wrong * 8, Status::DELTA_RANGE),
            (wrong.saturating_sub(1) as u16, len, Status::DELTA_ORDER),
            (u16::MAX, len - 8, Status::DELTA_RANGE),
        ] {
            if size == 0 || (wrong == 0 && status == Status::DELTA_ORDER) {
                continue;
            }
            let mut record = record.clone();
            record[wrong * 10..wrong * 10 + 2].copy_from_slice(&units.to_le_bytes());
            let (delta, dst) = (Memory::with(&record), Memory::warm(len));
            let completion = rig.run(&apply(delta.src(0), record.len(), dst.dst(0), size));
            assert_eq!(completion.status(), status, "entry {wrong}");
            assert_eq!(completion.bytes_completed() as usize, wrong * 10, "entry {wrong}");
            let applied = dst.read(0, len);
            assert!(applied[..wrong * 8].iter().all(|byte| *byte == 7), "entry {wrong}");
            assert!(applied[wrong * 8..].iter().all(|byte| *byte == 0), "entry {wrong}");
        }
    }
}

/// The parts of a delta record put together as `CreateDelta::rebase` says. They lie one behind the other already.
fn joined(delta: &Memory, at: usize, parts: &[(Descriptor, Completion)]) -> Vec<u8> {
    let (mut record, mut compared) = (Vec::new(), 0);
    for (_, completion) in parts {
        let mut part = delta.read(at + record.len(), completion.delta_rec_size() as usize);
        assert!(CreateDelta::rebase(&mut part, compared));
        record.extend(part);
        compared += completion.bytes_completed();
    }
    record
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Any pages missing, of any operand: the joined record is that of one run.
    #[test]
    fn create_on_patchy_memory_resumes_to_the_same_record(
        flips in prop::collection::vec(0..3000_usize, 0..900),
        (at1, at2, at) in (0..64_usize, 0..64_usize, 0..5000_usize),
        cold in any::<[u16; 3]>(),
    ) {
        let rig = Rig::dsa();
        let len = 24_000;
        let mut first = bytes(len, 9);
        let mut second = flipped(&first, flips);
        let (src1, src2, delta) = (Memory::warm(7 * PAGE), Memory::warm(7 * PAGE), Memory::warm(10 * PAGE));
        let (at1, at2) = (at1 * 8, at2 * 8);
        src1.write(at1, &first);
        src2.write(at2, &second);
        for (memory, cold) in [&src1, &src2, &delta].into_iter().zip(cold) {
            (0..7).filter(|page| cold >> page & 1 == 1).for_each(|page| memory.cool(page * PAGE, PAGE));
        }
        let create = create(src1.src(at1), src2.src(at2), len, delta.dst(at), 31_000);
        let parts = parts(&rig, create, touch(&[&src1, &src2, &delta], 7 * PAGE));
        // A page that was taken away has come back as zeros.
        first.copy_from_slice(&src1.read(at1, len));
        second.copy_from_slice(&src2.read(at2, len));
        prop_assert!(joined(&delta, at, &parts) == expected(&first, &second));
        let result = parts.iter().map(|(_, completion)| completion.result()).max();
        prop_assert_eq!(result, Some(u8::from(first != second)));
    }

    /// A device that stops after any word, or entry.
    #[test]
    fn any_stop_resumes_to_the_same_record_and_the_same_bytes(
        seed in any::<u64>(),
        words in 1..3000_usize,
        every in 1..200_usize,
    ) {
        let plan = FaultPlan::seeded(seed).stop_at(StopAt::Random);
        let rig = Rig::new(DeviceConfig { plan, ..DeviceConfig::default() });
        let first = bytes(words * 8, seed);
        let second = flipped(&first, (0..words).step_by(every));
        let (src1, src2, delta) = (Memory::with(&first), Memory::with(&second), Memory::warm(words * 10 + 80));
        let create = create(src1.src(0), src2.src(0), words * 8, delta.dst(0), words * 10 + 80);
        let parts = parts(&rig, create, |_| {});
        let record = joined(&delta, 0, &parts);
        prop_assert!(record == expected(&first, &second));
        delta.write(0, &record);
        let (_, _) = run_with_resume(&rig, apply(delta.src(0), record.len(), src1.dst(0), words * 8), |_| {});
        prop_assert!(src1.read(0, words * 8) == second);
    }

    #[test]
    fn apply_on_patchy_memory_resumes_to_the_same_bytes(
        flips in prop::collection::btree_set(0..3000_usize, 1..900),
        (at, from) in (0..64_usize, 0..5000_usize),
        cold in any::<[u16; 2]>(),
    ) {
        let rig = Rig::dsa();
        let (len, at) = (24_000, at * 8);
        let zeros = vec![0; len];
        let second = flipped(&zeros, flips);
        let record = expected(&zeros, &second);
        let (delta, dst) = (Memory::warm(10 * PAGE), Memory::warm(7 * PAGE));
        delta.write(from, &record);
        (0..7).filter(|page| cold[0] >> page & 1 == 1).for_each(|page| dst.cool(page * PAGE, PAGE));
        // The page of the record that is taken away is put back as it was by whoever resolves the fault.
        let gone = usize::from(cold[1]) % 5 * PAGE;
        delta.cool(gone, PAGE);
        let mut whole = vec![0; 10 * PAGE];
        whole[from..from + record.len()].copy_from_slice(&record);
        let memories = [&dst];
        let mut touch_dst = touch(&memories, 7 * PAGE);
        let apply = apply(delta.src(from), record.len(), dst.dst(at), len);
        run_with_resume(&rig, apply, |completion| {
            if completion.fault_addr() == delta.addr(gone) {
                delta.write(gone, &whole[gone..gone + PAGE]);
            } else {
                touch_dst(completion);
            }
        });
        prop_assert!(dst.read(at, len) == second);
    }
}

/// What has a meaning is there, also where the rest of the record is noise.
#[test]
fn noise_in_unused_bytes_changes_nothing() {
    let plan = FaultPlan::seeded(3).stop_at(StopAt::Bytes(1000)).noise();
    let rig = Rig::new(DeviceConfig { plan, ..DeviceConfig::default() });
    let first = bytes(20_000, 12);
    let second = flipped(&first, (0..2500).step_by(3));
    let record = expected(&first, &second);
    let (src1, src2, delta) = (Memory::with(&first), Memory::with(&second), Memory::warm(25_000));
    let parts = parts(&rig, create(src1.src(0), src2.src(0), 20_000, delta.dst(0), 25_000), |_| {});
    assert_eq!(parts.len(), 20);
    assert!(parts.iter().all(|(_, completion)| completion.result() == 1));
    assert!(joined(&delta, 0, &parts) == record);
    delta.write(0, &record);
    let descriptor = apply(delta.src(0), record.len(), src1.dst(0), 20_000);
    let (_, count) = run_with_resume(&rig, descriptor, |_| {});
    assert_eq!(count, record.len().div_ceil(1000));
    assert!(src1.read(0, 20_000) == second);
    let plan = FaultPlan::seeded(4).noise();
    let rig = Rig::new(DeviceConfig { plan, ..DeviceConfig::default() });
    let twice = [&record[..500], &record[490..]].concat();
    delta.write(0, &twice);
    let completion = rig.run(&apply(delta.src(0), twice.len(), src1.dst(0), 20_000));
    assert_eq!((completion.status(), completion.bytes_completed()), (Status::DELTA_ORDER, 500));
}

/// A queue for transfers of the longest delta, and a record that takes more than the queue has.
#[test]
fn record_longer_than_a_transfer_is_refused() {
    let queue = QueueConfig { transfer_bytes_max: 512 << 10, ..QueueConfig::default() };
    let rig = Rig::new(DeviceConfig { queues: vec![queue], ..DeviceConfig::default() });
    let (src, delta) = (Memory::warm(1 << 20), Memory::warm(1 << 20));
    let size = 512 << 10;
    let descriptor = create(src.src(0), src.src(size), size, delta.dst(0), 524_280);
    assert_eq!(rig.run(&descriptor).status(), Status::SUCCESS);
    let descriptor = create(src.src(0), src.src(size), size, delta.dst(0), 524_290);
    assert_eq!(rig.run(&descriptor).status(), Status::UNSUPPORTED_VALUE);
    let descriptor = create(src.src(0), src.src(size - 8), size + 8, delta.dst(0), 80);
    assert_eq!(rig.run(&descriptor).status(), Status::TRANSFER_SIZE);
}
