//! For every operation: stopping anywhere, any number of times, and going on as `resume` says ends as not stopping does.
//!
//! The device here is a loop over bytes for each operation, written from the specification's words and from nothing else
//! in this crate: see `device`. It stops after a number of bytes that the test chooses.

mod batch;
mod device;
mod dif;
mod inter_domain;
mod numeric;

use device::{BASE, Device, Memory};
use idxd_spec::{
    ApplyDelta, Completion, CreateDelta, Descriptor, DifFlags, DifTags, DstAddr, DstDifFlags, FaultInfo,
    Flags, GenCap, Opcode, Operand, Reason, Resume, SrcAddr, SrcDifFlags, Status, resume, resume_on,
};
use proptest::prelude::*;

/// Runs `descriptor`, stopping after each of `stops` bytes and once more without a stop. Gives every record.
fn run(memory: &mut Memory, mut descriptor: Descriptor, stops: &[u32]) -> Vec<(Descriptor, Completion)> {
    let mut records = Vec::new();
    for stop in stops.iter().copied().map(Some).chain([None]) {
        let done = Device::run(memory, &descriptor, stop);
        records.push((descriptor, done));
        match resume(&descriptor, &done) {
            Resume::Rest(rest) => descriptor = rest,
            Resume::Whole => {}
            Resume::Finished => return records,
            Resume::Impossible(reason) => panic!("{reason}: {descriptor:?} after {done:?}"),
        }
    }
    panic!("not finished without a stop: {records:?}");
}

/// Runs `descriptor` in one piece and in pieces. Gives the memory, which must be equal, and both series of records.
fn both(
    memory: &Memory,
    descriptor: Descriptor,
    stops: &[u32],
) -> (Memory, Completion, Vec<(Descriptor, Completion)>) {
    let (mut whole, mut parts) = (memory.clone(), memory.clone());
    let at_once = Device::run(&mut whole, &descriptor, None);
    let records = run(&mut parts, descriptor, stops);
    assert!(whole == parts, "memory differs after {records:?}");
    (parts, at_once, records)
}

/// What the last of several records says.
fn last(records: &[(Descriptor, Completion)]) -> Completion {
    records.last().expect("at least one record").1
}

/// Bytes the records before the last say were done.
fn done_before_last(records: &[(Descriptor, Completion)]) -> u32 {
    records[..records.len() - 1].iter().map(|(_, done)| done.bytes_completed()).sum()
}

fn src(offset: u64) -> SrcAddr {
    SrcAddr(BASE + offset)
}

fn dst(offset: u64) -> DstAddr {
    DstAddr(BASE + offset)
}

fn memory() -> impl Strategy<Value = Memory> {
    any::<u64>().prop_map(Memory::new)
}

/// Two thousand bytes of which few differ from the two thousand behind them.
fn similar() -> impl Strategy<Value = Memory> {
    (memory(), proptest::collection::vec(0..2000usize, 0..20)).prop_map(|(mut memory, differences)| {
        memory.copy_within(0..2000, 2048);
        for at in differences {
            memory.flip(at);
        }
        memory
    })
}

/// Each of the two flags that bypass a step, or not.
fn crc_flags() -> impl Strategy<Value = Flags> {
    (any::<bool>(), any::<bool>()).prop_map(|(inversion, reflection)| {
        let inversion = if inversion { Flags::BYPASS_CRC_INVERSION } else { Flags::empty() };
        inversion | if reflection { Flags::BYPASS_DATA_REFLECTION } else { Flags::empty() }
    })
}

fn stops() -> impl Strategy<Value = Vec<u32>> {
    proptest::collection::vec(0..600u32, 0..6)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn copy_resumes(memory in memory(), from in 0..1000u64, to in 0..1000u64, size in 1..3000u32, stops in stops()) {
        both(&memory, Descriptor::memmove(src(from), dst(to), size), &stops);
    }

    #[test]
    fn fill_resumes(memory in memory(), pattern: u64, to in 0..1000u64, size in 1..3000u32, stops in stops()) {
        both(&memory, Descriptor::fill(pattern, dst(to), size), &stops);
    }

    #[test]
    fn fill_16_resumes(memory in memory(), pattern: u128, to in 0..1000u64, size in 1..3000u32, stops in stops()) {
        both(&memory, Descriptor::fill_16(pattern, dst(to), size), &stops);
    }

    /// The rest counts from its own start.
    #[test]
    fn compare_resumes(memory in similar(), size in 1..2000u32, stops in stops()) {
        let (_, at_once, records) = both(&memory, Descriptor::compare(src(0), src(2048), size), &stops);
        let done = last(&records);
        prop_assert_eq!(done.result(), at_once.result());
        if done.result() == 1 {
            prop_assert_eq!(done_before_last(&records) + done.bytes_completed(), at_once.bytes_completed());
        }
    }

    #[test]
    fn compare_pattern_resumes(
        memory in memory(), pattern: u64, at in 0..8u64, size in 1..2000u32, wrong in proptest::option::of(0..2000usize),
        stops in stops(),
    ) {
        let mut memory = memory;
        Device::run(&mut memory, &Descriptor::fill(pattern, dst(at), 2000), None);
        wrong.into_iter().for_each(|wrong| memory.flip(wrong));
        let (_, at_once, records) = both(&memory, Descriptor::compare_pattern(src(at), pattern, size), &stops);
        let done = last(&records);
        prop_assert_eq!(done.result(), at_once.result());
        if done.result() == 1 {
            prop_assert_eq!(done_before_last(&records) + done.bytes_completed(), at_once.bytes_completed());
        }
    }

    #[test]
    fn dualcast_resumes(memory in memory(), from in 0..500u64, size in 1..500u32, stops in stops()) {
        both(&memory, Descriptor::dualcast(src(from), dst(1024), dst(2048), size), &stops);
    }

    #[test]
    fn crc_resumes(
        memory in memory(), from in 0..1000u64, size in 1..2000u32, seed: u32, flags in crc_flags(), stops in stops(),
    ) {
        let crc = Descriptor::crc(src(from), size, seed).with_flags(flags);
        let (_, at_once, records) = both(&memory, crc, &stops);
        prop_assert_eq!(low(last(&records).crc_val()), low(at_once.crc_val()));
    }

    #[test]
    fn crc_with_a_seed_in_memory_resumes(memory in memory(), size in 1..2000u32, wide: bool, flags in crc_flags(), stops in stops()) {
        let crc = if wide { Descriptor::crc64(src(0), size, 0) } else { Descriptor::crc(src(0), size, 0) };
        let descriptor = crc.with_crc_seed_addr(BASE + 3000).with_flags(Flags::ADDR3_TC | flags);
        let (_, at_once, records) = both(&memory, descriptor, &stops);
        let mask = if wide { u64::MAX } else { 0xffff_ffff };
        prop_assert_eq!(last(&records).crc_val() & mask, at_once.crc_val() & mask);
        prop_assert_eq!(records.last().expect("a record").0.reserved_nonzero(), None);
    }

    #[test]
    fn crc_64_resumes(
        memory in memory(), from in 0..1000u64, size in 1..2000u32, seed: u64, flags in crc_flags(), stops in stops(),
    ) {
        let crc = Descriptor::crc64(src(from), size, seed).with_flags(flags);
        let (_, at_once, records) = both(&memory, crc, &stops);
        prop_assert_eq!(last(&records).crc_val(), at_once.crc_val());
    }

    #[test]
    fn copy_crc_resumes(
        memory in memory(), from in 0..500u64, size in 1..500u32, seed: u32, flags in crc_flags(), stops in stops(),
    ) {
        let copy = Descriptor::copy_crc(src(from), dst(1024), size, seed).with_flags(flags);
        let (_, at_once, records) = both(&memory, copy, &stops);
        prop_assert_eq!(low(last(&records).crc_val()), low(at_once.crc_val()));
    }

    #[test]
    fn copy_crc_64_resumes(
        memory in memory(), from in 0..500u64, size in 1..500u32, seed: u64, flags in crc_flags(), stops in stops(),
    ) {
        let copy = Descriptor::copy_crc64(src(from), dst(1024), size, seed).with_flags(flags);
        let (_, at_once, records) = both(&memory, copy, &stops);
        prop_assert_eq!(last(&records).crc_val(), at_once.crc_val());
    }

    #[test]
    fn cache_flush_resumes(memory in memory(), to in 0..1000u64, size in 1..3000u32, stops in stops()) {
        let (_, _, records) = both(&memory, Descriptor::cache_flush(dst(to), size), &stops);
        let flushed: u32 = records.iter().map(|(descriptor, done)| Device::done(descriptor, done)).sum();
        prop_assert_eq!(flushed, size);
    }

    /// Every page that has a byte of the region is asked for by one part or another, and none that has none.
    #[test]
    fn translation_fetch_resumes(at in 0..0x5000u64, size in 1..0x40000u32, stops in stops()) {
        let mut memory = Memory::new(1);
        let stops: Vec<_> = stops.into_iter().map(|stop| stop * 200).collect();
        let records = run(&mut memory, Descriptor::translation_fetch(src(at), size), &stops);
        let parts = records.iter().flat_map(|(descriptor, done)| {
            let (start, end) = (descriptor.src_addr(), descriptor.src_addr() + u64::from(descriptor.xfer_size()));
            // A part that faulted has what lies before the page that was missing.
            pages(start, if done.status() == Status::SUCCESS { end } else { done.fault_addr() })
        });
        let fetched: std::collections::BTreeSet<_> = parts.collect();
        prop_assert!(fetched.into_iter().eq(pages(BASE + at, BASE + at + u64::from(size))));
    }

    /// The entries of each part count from its own source; moved up, they are the entries of the whole. Applied to the
    /// first range, also in parts, they make it the second.
    #[test]
    fn delta_resumes(memory in similar(), words in 1..250u32, stops in stops(), apply_stops in stops()) {
        const RECORD: u64 = 4096;
        let delta = CreateDelta {
            src1_addr: src(0), src2_addr: src(2048), xfer_size: words * 8, delta_addr: dst(RECORD), delta_size_max: 4000,
        };
        let (mut whole, mut parts) = (memory.clone(), memory);
        let at_once = Device::run(&mut whole, &Descriptor::create_delta(delta), None);
        let records = run(&mut parts, Descriptor::create_delta(delta), &stops);

        let mut before = 0;
        for (descriptor, done) in &records {
            let entries = parts.slice_mut(descriptor.delta_addr(), done.delta_rec_size());
            prop_assert!(CreateDelta::rebase(entries, before));
            before += done.bytes_completed();
        }
        let size: u32 = records.iter().map(|(_, done)| done.delta_rec_size()).sum();
        prop_assert_eq!(size, at_once.delta_rec_size());
        prop_assert!(records.iter().any(|(_, done)| done.result() == 1) == (at_once.result() == 1));
        prop_assert!(whole == parts);

        let apply = ApplyDelta { delta_addr: src(RECORD), delta_size: size, dst_addr: dst(0), xfer_size: words * 8 };
        if size > 0 {
            let (applied, ..) = both(&parts, Descriptor::apply_delta(apply), &apply_stops);
            prop_assert!(applied.same(BASE, BASE + 2048, words * 8));
        }
    }

    #[test]
    fn batch_resumes(count in 2..100u32, completed in 0..100u32, failed: bool) {
        let batch = Descriptor::batch(src(0), count);
        let done = Completion::new(Status::BATCH_PAGE_FAULT).with_bytes_completed(completed).with_result(failed.into());
        let gencap = GenCap::default().with_batch_of_one(true).with_batch_continuation(true);
        match resume_on(&batch, &done, gencap) {
            Resume::Whole => prop_assert_eq!(completed, 0),
            Resume::Finished => prop_assert_eq!(completed, count),
            Resume::Impossible(reason) => {
                prop_assert!(completed > count);
                prop_assert_eq!(reason, Reason::Completed { completed, asked: count });
            }
            Resume::Rest(rest) => {
                prop_assert_eq!(rest.desc_list_addr(), BASE + 64 * u64::from(completed));
                prop_assert_eq!(rest.desc_count() + completed, count);
                prop_assert_eq!(rest.flags().contains(Flags::BATCH_ERROR), failed);
            }
        }
    }

    /// Whatever a device sends, there is an answer, and a rest is never more than what was asked for.
    #[test]
    fn any_record_has_an_answer(descriptor: [[u8; 32]; 2], done: [u8; 32], status in 0..10u8, gencap: u64) {
        let [low, high] = descriptor;
        let mut bytes = [0; 64];
        bytes[..32].copy_from_slice(&low);
        bytes[32..].copy_from_slice(&high);
        bytes[7] %= 0x28;
        let mut done = done;
        done[0] = status;
        let descriptor = Descriptor::from_bytes(bytes);
        if let Resume::Rest(rest) = resume_on(&descriptor, &Completion::from_bytes(&done), GenCap(gencap)) {
            prop_assert_eq!(rest.opcode(), descriptor.opcode());
            prop_assert!(rest.xfer_size() < descriptor.xfer_size() || rest.delta_size() < descriptor.delta_size());
            prop_assert!(rest.sgl_size() <= descriptor.sgl_size() || !is_list(descriptor.opcode()));
        }
    }
}

fn is_list(opcode: Opcode) -> bool {
    (Opcode::GATHER_REDUCE..=Opcode::SCATTER_FILL).contains(&opcode)
}

/// The pages that have a byte in `start..end`.
fn pages(start: u64, end: u64) -> std::ops::Range<u64> {
    start >> 12..end.max(start).div_ceil(4096)
}

fn low(crc: u64) -> u64 {
    crc & 0xffff_ffff
}

fn fault(bytes: u32) -> Completion {
    Completion::new(Status::PAGE_FAULT).with_bytes_completed(bytes)
}

#[test]
fn reversed_copy_resumes_from_the_end() {
    let copy = Descriptor::memmove(src(0), dst(100), 1000).with_completion(0x40);
    let rest = resume(&copy, &fault(300).with_result(1));
    assert_eq!(rest, Resume::Rest(Descriptor::memmove(src(0), dst(100), 700).with_completion(0x40)));
}

#[test]
fn record_that_claims_too_much_is_refused() {
    let copy = Descriptor::memmove(src(0), dst(5000), 1000);
    let reason = Reason::Completed { completed: 1001, asked: 1000 };
    assert_eq!(resume(&copy, &fault(1001)), Resume::Impossible(reason));
    assert_eq!(resume(&copy, &fault(1).with_result(2)), Resume::Impossible(Reason::Result(2)));
    assert_eq!(reason.to_string(), "record says 1001 done of 1000");
}

#[test]
fn error_is_not_a_fault() {
    let copy = Descriptor::memmove(src(0), dst(5000), 1000);
    for status in [Status::BATCH_FAILED, Status::HARDWARE, Status::COMPLETION_PAGE_FAULT, Status(0x3f)] {
        let resumed = resume(&copy, &Completion::new(status));
        assert_eq!(resumed, Resume::Impossible(Reason::NotAFault(status)));
    }
    assert_eq!(resume(&copy, &Completion::new(Status::NONE)), Resume::Impossible(Reason::NotComplete));
}

#[test]
fn last_descriptor_of_a_batch_is_submitted_alone() {
    let batch = Descriptor::batch(src(0), 3);
    let done = Completion::new(Status::BATCH_PAGE_FAULT).with_bytes_completed(2);
    assert_eq!(resume(&batch, &done), Resume::Impossible(Reason::LastOfBatch(BASE + 128)));
    let rest = resume_on(&batch, &done, GenCap::default().with_batch_of_one(true));
    assert_eq!(rest, Resume::Rest(Descriptor::batch(src(128), 1)));
}

#[test]
fn translation_fetch_goes_on_where_it_faulted() {
    let fetch = Descriptor::translation_fetch(src(0x234), 0x10000).with_stride(0x1000);
    let at = |addr, info| fault(77).with_fault(addr, info);
    let info = FaultInfo::new(Operand::SRC);
    let rest = Descriptor::translation_fetch(src(0x3000), 0x10000 - (0x3000 - 0x234)).with_stride(0x1000);
    assert_eq!(resume(&fetch, &at(BASE + 0x3000, info)), Resume::Rest(rest));
    assert_eq!(resume(&fetch, &at(BASE, info)), Resume::Whole);
    let gencap = GenCap::default().with_fault_info(true);
    assert_eq!(resume_on(&fetch, &at(BASE + 0x3000, info.masked()), gencap), Resume::Whole);
    let behind = BASE + 0x20000;
    assert_eq!(resume(&fetch, &at(behind, info)), Resume::Impossible(Reason::FaultAddr(behind)));
}

/// Source and destination advance as DSA appendix B.4 tabulates: data with or without the 8 bytes behind each block.
#[test]
fn dif_resumes_at_a_block_with_the_tags_of_the_record() {
    let (dif, src_dif, dst_dif) = (DifFlags::BLOCK_520, SrcDifFlags::REF_TAG_FIXED, DstDifFlags::GUARD_PASS);
    let old = DifTags { ref_tag: 1, app_tag_mask: 2, app_tag: 3 };
    let (new_src, new_dst) = (DifTags { ref_tag: 4, ..old }, DifTags { ref_tag: 5, app_tag: 6, ..old });
    let after = |bytes| fault(bytes).with_src_dif_tags(new_src).with_dst_dif_tags(new_dst);
    let (from, to) = (src(0), dst(4096));
    let cases = [
        (
            Descriptor::dif_check(from, 5280, dif, src_dif, old),
            after(3 * 528),
            Descriptor::dif_check(src(3 * 528), 7 * 528, dif, src_dif, new_src),
        ),
        (
            Descriptor::dif_insert(from, to, 5200, dif, dst_dif, old),
            after(3 * 520),
            Descriptor::dif_insert(src(3 * 520), dst(4096 + 3 * 528), 7 * 520, dif, dst_dif, new_dst),
        ),
        (
            Descriptor::dif_strip(from, to, 5280, dif, src_dif, old),
            after(3 * 528),
            Descriptor::dif_strip(src(3 * 528), dst(4096 + 3 * 520), 7 * 528, dif, src_dif, new_src),
        ),
        (
            Descriptor::dif_update(from, to, 5280, dif, (src_dif, old), (dst_dif, old)),
            after(3 * 528),
            Descriptor::dif_update(
                src(3 * 528),
                dst(4096 + 3 * 528),
                7 * 528,
                dif,
                (src_dif, new_src),
                (dst_dif, new_dst),
            ),
        ),
        (
            Descriptor::dix_generate(from, to, 5200, dif, dst_dif, old),
            after(3 * 520),
            Descriptor::dix_generate(src(3 * 520), dst(4096 + 3 * 8), 7 * 520, dif, dst_dif, new_dst),
        ),
    ];
    for (descriptor, done, rest) in cases {
        assert_eq!(resume(&descriptor, &done), Resume::Rest(rest));
        assert_eq!(resume(&descriptor, &after(7)), Resume::Impossible(Reason::Granularity(7)));
    }
}

#[test]
fn full_delta_record_is_not_resumed() {
    let delta = CreateDelta {
        src1_addr: src(0),
        src2_addr: src(2048),
        xfer_size: 800,
        delta_addr: dst(4096),
        delta_size_max: 100,
    };
    let done = fault(80).with_result(1).with_delta_rec_size(30);
    let resumed = resume(&Descriptor::create_delta(delta), &done);
    assert_eq!(resumed, Resume::Impossible(Reason::DeltaRoom(70)));
}
