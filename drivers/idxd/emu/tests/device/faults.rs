//! Page faults: on what is not mapped, not writable, not present, with page requests and without.

use idxd_emu::{Access, Bus};
use idxd_emu::{Device, DeviceConfig, Presence, ProcessMemory, Submission};
use idxd_spec::{Descriptor, DstAddr, Operand, SrcAddr, Status};
use nix::sys::mman::ProtFlags;

use crate::support::{Memory, PAGE, Rig, bytes};

/// A device whose host brings in what is asked for and nothing around it.
fn page_by_page(engines: usize) -> Rig {
    Rig::new(DeviceConfig { engines, fault_around_pages_max: 1, ..DeviceConfig::default() })
}

/// One whose host looks ahead.
fn looking_ahead() -> Rig {
    Rig::new(DeviceConfig {
        fault_around_pages_max: DeviceConfig::FAULT_AROUND_PAGES_MAX,
        ..DeviceConfig::default()
    })
}

fn without_prs() -> Rig {
    Rig::new(DeviceConfig { prs: false, ..DeviceConfig::default() })
}

#[test]
fn block_on_fault_asks_for_each_page_once_and_is_answered() {
    let rig = page_by_page(1);
    let data = bytes(16 * PAGE, 1);
    let (src, dst) = (Memory::with(&data), Memory::cold(16 * PAGE));
    let copy = Descriptor::memmove(src.src(0), dst.dst(0), 16 * PAGE as u32).with_block_on_fault();
    assert_eq!(rig.run(&copy).status(), Status::SUCCESS);
    assert_eq!(dst.read(0, 16 * PAGE), data);
    let stats = rig.device.stats();
    assert_eq!((stats.page_requests, stats.page_requests_refused, stats.faults), (16, 0, 16));
    assert_eq!(stats.bytes, 16 * PAGE as u64);
}

#[test]
fn request_for_what_is_not_mapped_is_refused() {
    let rig = Rig::dsa();
    let (src, dst) = (Memory::with(&bytes(3 * PAGE, 2)), Memory::warm(3 * PAGE));
    dst.unmap(PAGE, PAGE);
    let copy = Descriptor::memmove(src.src(0), dst.dst(0), 3 * PAGE as u32);
    let completion = rig.run(&copy.with_block_on_fault());
    assert_eq!(completion.status(), Status::PAGE_REQUEST_INVALID.with_write());
    assert_eq!(completion.bytes_completed() as usize, PAGE);
    assert_eq!(completion.fault_addr(), dst.addr(PAGE));
    assert_eq!(rig.device.stats().page_requests_refused, 1);
    assert_eq!(rig.run(&copy).status(), Status::PAGE_FAULT.with_write());
}

#[test]
fn read_only_destination_stays_a_fault_and_keeps_its_bytes() {
    let rig = Rig::dsa();
    let (src, dst) = (Memory::with(&[7; 2 * PAGE]), Memory::with(&[1; 2 * PAGE]));
    dst.protect(PAGE, PAGE, ProtFlags::PROT_READ);
    for (block, status) in [(false, Status::PAGE_FAULT), (true, Status::PAGE_REQUEST_INVALID)] {
        for descriptor in [
            Descriptor::memmove(src.src(0), dst.dst(0), 2 * PAGE as u32),
            Descriptor::fill(0x0707_0707_0707_0707, dst.dst(0), 2 * PAGE as u32),
            Descriptor::copy_crc(src.src(0), dst.dst(0), 2 * PAGE as u32, 0),
        ] {
            dst.write(0, &[1; PAGE]);
            let descriptor = if block { descriptor.with_block_on_fault() } else { descriptor };
            let completion = rig.run(&descriptor);
            assert_eq!(completion.status(), status.with_write(), "{descriptor:?}");
            assert_eq!(
                (completion.bytes_completed() as usize, completion.fault_addr()),
                (PAGE, dst.addr(PAGE))
            );
            assert_eq!(dst.read(0, PAGE), [7; PAGE]);
            assert_eq!(dst.read(PAGE, PAGE), [1; PAGE]);
        }
    }
}

#[test]
fn source_without_read_permission_is_a_read_fault() {
    let rig = Rig::dsa();
    let (src, dst) = (Memory::with(&[7; 2 * PAGE]), Memory::warm(2 * PAGE));
    src.protect(PAGE, PAGE, ProtFlags::PROT_NONE);
    let completion = rig.run(&Descriptor::memmove(src.src(0), dst.dst(0), 2 * PAGE as u32));
    assert_eq!(completion.status(), Status::PAGE_FAULT);
    assert_eq!((completion.bytes_completed() as usize, completion.fault_addr()), (PAGE, src.addr(PAGE)));
}

/// Memory that was only ever read is mapped, but to the page of zeros everybody shares.
#[test]
fn write_to_the_shared_zero_page_is_a_fault() {
    let rig = Rig::dsa();
    let (src, dst) = (Memory::with(&[7; PAGE]), Memory::cold(PAGE));
    assert_eq!(dst.read(0, PAGE), [0; PAGE]);
    if rig.device.presence() != Presence::PagemapScan {
        return;
    }
    let copy = Descriptor::memmove(dst.src(0), src.dst(0), 100);
    assert_eq!(rig.run(&copy).status(), Status::SUCCESS, "reading it is none");
    let copy = Descriptor::memmove(src.src(0), dst.dst(0), 100);
    assert_eq!(rig.run(&copy).status(), Status::PAGE_FAULT.with_write());
    assert_eq!(rig.run(&copy.with_block_on_fault()).status(), Status::SUCCESS);
}

#[test]
fn addresses_nobody_has_are_faults_and_no_signals() {
    let rig = Rig::dsa();
    let memory = Memory::with(&[3; PAGE]);
    for addr in
        [0, 1, 4095, 0x7fff_ffff_f000, 0x8000_0000_0000, 0xffff_8000_0000_0000, u64::MAX - 50, u64::MAX]
    {
        for block in [false, true] {
            let with_block =
                |descriptor: Descriptor| if block { descriptor.with_block_on_fault() } else { descriptor };
            let read = rig.run(&with_block(Descriptor::memmove(SrcAddr(addr), memory.dst(0), 100)));
            assert!(read.status().is_page_fault() && !read.status().is_write_fault(), "{addr:#x}: {read:?}");
            assert_eq!(read.fault_addr(), addr & !0xfff);
            let write = rig.run(&with_block(Descriptor::memmove(memory.src(0), DstAddr(addr), 100)));
            assert!(write.status().is_write_fault(), "{addr:#x}: {write:?}");
            let crc = rig.run(&with_block(Descriptor::crc(SrcAddr(addr), 100, 0)));
            assert!(crc.status().is_page_fault(), "{addr:#x}: {crc:?}");
        }
    }
    assert_eq!(memory.read(0, PAGE), [3; PAGE]);
}

#[test]
fn cold_completion_record_is_asked_for_whatever_the_flags() {
    let rig = Rig::dsa();
    let record = Memory::cold(PAGE);
    rig.submit(&Descriptor::noop().with_completion(record.addr(64)));
    rig.wait_told(1);
    assert_eq!(record.status(64), Status::SUCCESS);
    assert_eq!(rig.device.stats().page_requests, 1);
}

#[test]
fn completion_record_that_cannot_be_written_is_a_software_error() {
    let read_only = Memory::with(&[0; PAGE]);
    read_only.protect(0, PAGE, ProtFlags::PROT_READ);
    let cold = Memory::cold(PAGE);
    for (rig, record, requests) in [(Rig::dsa(), &read_only, 1), (without_prs(), &cold, 0)] {
        rig.submit(&Descriptor::noop().with_completion(record.addr(32)));
        rig.drain();
        let error = rig.device.software_error().expect("an error");
        assert_eq!(error.status, Status::COMPLETION_PAGE_FAULT.with_write());
        assert_eq!((error.operand, error.fault_addr), (Operand::COMPLETION, record.addr(0)));
        assert_eq!(record.status(32), Status::NONE);
        let stats = rig.device.stats();
        assert_eq!((stats.completions, stats.completions_lost, stats.page_requests), (0, 1, requests));
        rig.device.clear_software_error();
        assert_eq!(rig.device.software_error(), None);
    }
}

#[test]
fn without_page_requests_block_on_fault_is_reserved_and_faults_are_partial() {
    let rig = without_prs();
    let (src, dst) = (Memory::with(&[7; PAGE]), Memory::cold(PAGE));
    let copy = Descriptor::memmove(src.src(0), dst.dst(0), 100);
    assert_eq!(rig.run(&copy.with_block_on_fault()).status(), Status::INVALID_FLAGS);
    assert_eq!(rig.run(&copy).status(), Status::PAGE_FAULT.with_write());
    assert_eq!(rig.device.stats().page_requests, 0);
}

/// Both ways of finding presence, against what the test did to each page.
#[test]
fn presence_is_that_of_the_page_tables() {
    let memory = Memory::cold(64 * PAGE);
    let touched = |page: usize| page.is_multiple_of(3) || (20..40).contains(&page);
    (0..64).filter(|page| touched(*page)).for_each(|page| memory.write(page * PAGE, &[1]));
    for presence in [Presence::PagemapScan, Presence::Pagemap] {
        let bus = ProcessMemory::open().unwrap();
        if presence == Presence::PagemapScan && bus.presence() != presence {
            continue;
        }
        let bus = bus.with_presence(presence);
        for first in 0..64 {
            let run = (first..64).take_while(|page| touched(*page)).count();
            let expected = (run * PAGE).saturating_sub(if run > 0 { 5 } else { 0 });
            let present =
                bus.present(memory.addr(first * PAGE) + 5, ((64 - first) * PAGE - 5) as u64, Access::Write);
            assert_eq!(present as usize, expected, "{presence:?} from page {first}");
            let run = (0..=first).rev().take_while(|page| touched(*page)).count();
            let expected = (run * PAGE).saturating_sub(if run > 0 { 7 } else { 0 });
            let present = bus.present_back(memory.addr(0), ((first + 1) * PAGE - 7) as u64, Access::Read);
            assert_eq!(present as usize, expected, "{presence:?} back from page {first}");
        }
        assert_eq!(bus.present(memory.addr(0), 0, Access::Read), 0);
    }
}

#[test]
fn bus_reports_how_far_it_came() {
    let bus = ProcessMemory::open().unwrap();
    let (src, dst) = (Memory::with(&bytes(4 * PAGE, 3)), Memory::warm(4 * PAGE));
    dst.unmap(2 * PAGE, PAGE);
    let fault = bus.copy(src.addr(0), dst.addr(100), 3 * PAGE as u64).unwrap_err();
    assert_eq!((fault.addr, fault.access), (dst.addr(2 * PAGE), Access::Write));
    assert_eq!(dst.read(100, 2 * PAGE - 100), src.read(0, 2 * PAGE - 100));
    src.unmap(PAGE, PAGE);
    let fault = bus.copy(src.addr(0), dst.addr(0), 2 * PAGE as u64).unwrap_err();
    assert_eq!((fault.addr, fault.access), (src.addr(PAGE), Access::Read));
    let fault = bus.write(dst.addr(2 * PAGE) - 3, &[1; 8]).unwrap_err();
    assert_eq!((fault.addr, fault.access), (dst.addr(2 * PAGE), Access::Write));
    assert_eq!(dst.read(2 * PAGE - 3, 3), [1; 3]);
}

/// A page of each operand is missing: both are asked for in one group, and one answer does for both.
#[test]
fn what_is_missing_at_once_is_asked_for_at_once() {
    let rig = page_by_page(1);
    let (src, dst) = (Memory::cold(4 * PAGE), Memory::cold(4 * PAGE));
    let copy = Descriptor::memmove(src.src(0), dst.dst(0), 4 * PAGE as u32).with_block_on_fault();
    assert_eq!(rig.run(&copy).status(), Status::SUCCESS);
    let seen = rig.device.page_request_stats().expect("page requests");
    assert_eq!((seen.bond.groups, seen.bond.faults, seen.bond.success), (4, 8, 4));
    assert_eq!(rig.device.stats().page_requests, 8);
    assert_eq!(seen.latency.count(), 4);
    assert_eq!((seen.around.requested, seen.around.ahead), (8, 0));
}

/// The other page of a group cannot be had. That is not the fault that the walk has met, and it goes as far as it can.
#[test]
fn a_group_refused_for_another_operand_is_not_this_operands_fault() {
    let rig = page_by_page(1);
    let (src, dst) = (Memory::cold(2 * PAGE), Memory::cold(2 * PAGE));
    dst.protect(PAGE, PAGE, ProtFlags::PROT_READ);
    let copy = Descriptor::memmove(src.src(0), dst.dst(0), 2 * PAGE as u32).with_block_on_fault();
    let completion = rig.run(&copy);
    assert_eq!(completion.status(), Status::PAGE_REQUEST_INVALID.with_write());
    assert_eq!((completion.bytes_completed() as usize, completion.fault_addr()), (PAGE, dst.addr(PAGE)));
}

/// The kernel's target: a cold sequential copy with at least eight times fewer page requests.
#[test]
fn fault_around_answers_for_pages_nobody_asked_for() {
    let pages = 512;
    let requests = |rig: &Rig| {
        let data = bytes(pages * PAGE, 9);
        let (src, dst) = (Memory::with(&data), Memory::cold(pages * PAGE));
        let copy = Descriptor::memmove(src.src(0), dst.dst(0), (pages * PAGE) as u32).with_block_on_fault();
        assert_eq!(rig.run(&copy).status(), Status::SUCCESS);
        assert_eq!(dst.read(0, pages * PAGE), data);
        rig.device.stats().page_requests
    };
    let rig = looking_ahead();
    let with = requests(&rig);
    let seen = rig.device.page_request_stats().expect("page requests");
    if seen.around.ahead == 0 {
        println!("NOT RUN: this kernel has no PROCMAP_QUERY, so nothing is populated around a fault");
        return;
    }
    assert_eq!(requests(&page_by_page(1)), pages as u64);
    assert!(with * 8 <= pages as u64, "{with} requests for {pages} pages");
    assert_eq!(seen.around.requested, with);
    assert!(seen.around.hit >= (pages as u64 - with) * 3 / 4, "{seen:?}");
}

/// Neither the next mapping nor a page that may not be written is touched.
#[test]
fn fault_around_ends_with_the_mapping() {
    let rig = looking_ahead();
    let (src, dst) = (Memory::with(&bytes(40 * PAGE, 5)), Memory::cold(64 * PAGE));
    dst.protect(40 * PAGE, 24 * PAGE, ProtFlags::PROT_READ);
    let copy = Descriptor::memmove(src.src(0), dst.dst(0), 40 * PAGE as u32).with_block_on_fault();
    assert_eq!(rig.run(&copy).status(), Status::SUCCESS);
    let bus = ProcessMemory::open().unwrap();
    assert_eq!(bus.present(dst.addr(40 * PAGE), 1, Access::Read), 0, "beyond the mapping");
    assert_eq!(dst.read(0, 40 * PAGE), src.read(0, 40 * PAGE));
}

/// Pages in no order are brought in one by one: nothing is populated that was not asked for.
#[test]
fn random_faults_are_given_their_pages() {
    let rig = looking_ahead();
    let (src, dst) = (Memory::with(&bytes(PAGE, 6)), Memory::cold(1024 * PAGE));
    for step in 0..100_usize {
        let page = step * 389 % 1021;
        let copy = Descriptor::memmove(src.src(0), dst.dst(page * PAGE), PAGE as u32).with_block_on_fault();
        assert_eq!(rig.run(&copy).status(), Status::SUCCESS);
    }
    let around = rig.device.page_request_stats().expect("page requests").around;
    assert_eq!(around.requested, 100);
    assert!(around.ahead <= 10, "{around:?}");
}

/// Three engines fault at once, on one device and one handler.
#[test]
fn engines_fault_side_by_side() {
    let rig = page_by_page(3);
    let data = bytes(8 * PAGE, 4);
    let src = Memory::with(&data);
    let destinations: Vec<Memory> = (0..24).map(|_| Memory::cold(8 * PAGE)).collect();
    for (index, dst) in destinations.iter().enumerate() {
        let copy = Descriptor::memmove(src.src(0), dst.dst(0), 8 * PAGE as u32).with_block_on_fault();
        rig.submit(&copy.with_completion(rig.record(index)));
    }
    for (index, dst) in destinations.iter().enumerate() {
        assert_eq!(rig.completion(index).status(), Status::SUCCESS);
        assert_eq!(dst.read(0, 8 * PAGE), data);
    }
    assert_eq!(rig.device.stats().page_requests, 24 * 8);
}

#[test]
fn two_devices_share_the_process() {
    let devices: Vec<Device> = (0..2).map(|_| Device::start(DeviceConfig::default()).unwrap()).collect();
    let record = Memory::warm(PAGE);
    for (index, device) in devices.iter().enumerate() {
        let noop = Descriptor::noop().with_completion(record.addr(index * 32));
        assert_eq!(device.portal(0).unwrap().submit(&noop), Submission::Accepted);
    }
    drop(devices);
    assert_eq!((record.status(0), record.status(32)), (Status::SUCCESS, Status::SUCCESS));
}
