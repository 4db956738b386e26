//! What a device with a timing model writes down. The counts are against published counts of silicon and plain
//! arithmetic; what the costs are worth is in `tests/timing.rs`.

use idxd_emu::timing::{Served, Timing};
use idxd_emu::{DeviceConfig, DeviceKind};
use idxd_spec::iaa::{self, Compress, CompressAecs, CompressFlags};
use idxd_spec::{Descriptor, Status};

use crate::support::{Memory, PAGE, Rig, bytes};

fn timed() -> Rig {
    Rig::new(DeviceConfig { timing: Some(Timing::SAPPHIRE_RAPIDS), ..DeviceConfig::default() })
}

/// What there is in the book once everything has ended.
fn served(rig: &Rig) -> Vec<Served> {
    rig.drain();
    rig.device.take_served()
}

fn translations(served: &[Served]) -> (u64, u64) {
    let hits = served.iter().map(|served| served.translation_hits).sum::<u64>();
    let misses = served.iter().map(|served| served.translation_misses).sum::<u64>();
    (hits + misses, hits)
}

/// LightDSA's counts: k no-ops with records on one page are k requests and k - 1 hits.
#[test]
fn no_ops_with_records_on_one_page_miss_once() {
    let rig = timed();
    for index in 0..20 {
        rig.submit(&Descriptor::noop().with_completion(rig.record(index)));
        rig.completion(index);
    }
    assert_eq!(translations(&served(&rig)), (20, 19));
}

/// LightDSA's counts: with records on different pages there is no hit.
#[test]
fn no_ops_with_records_on_different_pages_miss_each_time() {
    let rig = timed();
    let per_page = PAGE / 64;
    for page in 0..10 {
        rig.submit(&Descriptor::noop().with_completion(rig.record(page * per_page)));
        rig.completion(page * per_page);
    }
    assert_eq!(translations(&served(&rig)), (10, 0));
}

/// LightDSA's counts: a batch of n no-ops and m copies within pages is 2 + n + 3m + p - 1 requests, with p pages of list.
#[test]
fn a_batch_is_as_many_requests_as_published() {
    for (noops, copies) in [(1, 1), (10, 0), (0, 10), (60, 4), (60, 5), (100, 50)] {
        let rig = timed();
        let (src, dst) = (Memory::warm(PAGE), Memory::warm(PAGE));
        let copy = Descriptor::memmove(src.src(0), dst.dst(0), 64);
        let members = (0..noops).map(|_| Descriptor::noop()).chain((0..copies).map(|_| copy));
        let list: Vec<u8> = members
            .enumerate()
            .flat_map(|(index, member)| *member.with_completion(rig.record(1 + index)).as_bytes())
            .collect();
        let list = Memory::with(&list);
        let count = noops + copies;
        let done = rig.run(&Descriptor::batch(list.src(0), u32::try_from(count).unwrap()));
        assert_eq!(done.status(), Status::SUCCESS);
        let served = served(&rig);
        assert_eq!((served.len(), served[0].members as usize), (1, count));
        let pages = count.div_ceil(64);
        let published = 2 + noops + 3 * copies + pages - 1;
        assert_eq!(translations(&served).0, published as u64, "{noops} no-ops, {copies} copies");
    }
}

/// The same numbers come out however long the machine took for it.
#[test]
fn costs_are_those_of_what_happened() {
    let timing = Timing::SAPPHIRE_RAPIDS;
    let rig = timed();
    let (src, dst) = (Memory::with(&bytes(8 * PAGE, 3)), Memory::warm(8 * PAGE));
    let copy = Descriptor::memmove(src.src(0), dst.dst(0), 8 * PAGE as u32);
    rig.run(&copy);
    rig.run(&copy);
    let [cold, warm] = served(&rig)[..] else { panic!("two descriptors") };
    let alone = Served::operation(&timing, 8 * PAGE as u64).alone_ns();
    assert_eq!((warm.translation_hits, warm.translation_misses, warm.bytes), (17, 0, 8 * PAGE as u64));
    assert_eq!((cold.translation_hits, cold.translation_misses), (0, 17));
    assert!((warm.alone_ns() - alone).abs() < 1e-6);
    assert!((cold.alone_ns() - alone - timing.translation_miss_ns).abs() < 1e-6);
}

#[test]
fn an_absent_page_costs_a_report_or_a_request() {
    let timing = Timing::SAPPHIRE_RAPIDS;
    let rig = timed();
    let (src, dst) = (Memory::warm(4 * PAGE), Memory::cold(4 * PAGE));
    dst.write(0, &[1]);
    let copy = Descriptor::memmove(src.src(0), dst.dst(0), 4 * PAGE as u32);
    let stopped = rig.run(&copy);
    assert_eq!((stopped.status(), stopped.bytes_completed()), (Status::PAGE_FAULT.with_write(), PAGE as u32));
    rig.run(&copy.with_block_on_fault());
    let [reported, waited] = served(&rig)[..] else { panic!("two descriptors") };
    assert_eq!((reported.faults, reported.bytes, reported.page_requests), (1, PAGE as u64, 0));
    let page = Served::operation(&timing, PAGE as u64).alone_ns();
    let expected = page + timing.fault_ns + timing.translation_miss_ns;
    assert!((reported.alone_ns() - expected).abs() < 1e-6, "{} and {expected}", reported.alone_ns());
    assert_eq!((waited.faults, waited.page_requests), (0, 3));
    assert!((waited.stall_ns - 3.0 * timing.page_request_ns()).abs() < 1e-6);
}

#[test]
fn without_a_timing_model_nothing_is_written_down() {
    let rig = Rig::dsa();
    rig.run(&Descriptor::noop());
    rig.drain();
    assert!(rig.device.take_served().is_empty());
}

/// Costs of an IAA are those of uncompressed bytes.
#[test]
fn a_compression_costs_by_its_input() {
    let timing = Timing::SAPPHIRE_RAPIDS;
    let config = DeviceConfig { kind: DeviceKind::Iaa, timing: Some(timing), ..DeviceConfig::default() };
    let rig = Rig::new(config);
    let src = Memory::with(&[7; 2 * PAGE]);
    let (dst, aecs) = (Memory::warm(PAGE), CompressAecs::fixed_huffman(true));
    let aecs = Memory::with(&[aecs.as_bytes().as_slice(), &[0; CompressAecs::SIZE]].concat());
    let compress = Compress {
        src: src.src(0),
        src_size: 2 * PAGE as u32,
        dst: dst.dst(0),
        dst_size_max: PAGE as u32,
        aecs: aecs.src(0),
        flags: CompressFlags::FLUSH_OUTPUT | CompressFlags::END_EOB,
    };
    rig.run_iaa(&iaa::Descriptor::compress(compress));
    let [compressed] = served(&rig)[..] else { panic!("one descriptor") };
    assert_eq!(compressed.bytes, 2 * PAGE as u64);
    assert!((compressed.engine_ns - 2.0 * timing.compress_page_ns).abs() < 1e-6);
}
