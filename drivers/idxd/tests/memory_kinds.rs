//! Every kind of memory a program can have, under operations on the emulated device: shared, of files, of the stack, in
//! huge pages, merged, swapped out, and memory whose pages a handler of the program's own supplies.
//!
//! What this machine cannot be had to do is said on standard error, and there is a test to run by hand for it.
//!
//! UNSAFETY: switches of the kernel's that a test turns on for itself.
#![expect(unsafe_code, reason = "swapon, and memory lent by address")]

mod real_memory;

use std::fs;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use pollster::block_on;
use real_memory::{
    Area, DEADLINE, Ended, Gate, PAGE, RW, copy, faulted, memfd, noise, not_run, runtime_as, ways,
};
use svala::{Access, FaultPolicy, Job, ResolverChoice, VirtAddr};

const PAGES: usize = 40;

fn well(ended: Ended, name: &str) -> svala::Report {
    ended.unwrap_or_else(|failed| panic!("{name}: {}", failed.error)).1
}

/// What one map of a file is given, another has.
#[test]
fn shared_maps_of_one_file_agree() {
    for way in ways() {
        let name = format!("{way:?}");
        let (runtime, file) = (runtime_as(way), memfd(PAGES));
        let map = || Area::map(PAGES, RW, libc::MAP_SHARED, Some(&file)).expect("maps");
        let (here, there, src) = (map(), map(), Area::warm(PAGES, 3));
        well(copy(&runtime, &src, &here, PAGES), &name);
        assert!(there.read(0, PAGES) == noise(PAGES * PAGE, 3), "{name}");
        let mut bytes = vec![0; PAGES * PAGE];
        file.read_exact_at(&mut bytes, 0).expect("reads");
        assert!(bytes == noise(PAGES * PAGE, 3), "{name}");
    }
}

/// A private map of a file takes copies of the pages that are written; the file stays as it is.
#[test]
fn private_maps_of_a_file_leave_it_alone() {
    for way in ways() {
        let name = format!("{way:?}");
        let (runtime, file) = (runtime_as(way), memfd(PAGES));
        file.write_all_at(&noise(PAGES * PAGE, 5), 0).expect("writes");
        let dst = Area::map(PAGES, RW, libc::MAP_PRIVATE, Some(&file)).expect("maps");
        well(copy(&runtime, &Area::warm(PAGES, 4), &dst, PAGES), &name);
        assert!(dst.read(0, PAGES) == noise(PAGES * PAGE, 4), "{name}");
        let mut bytes = vec![0; PAGES * PAGE];
        file.read_exact_at(&mut bytes, 0).expect("reads");
        assert!(bytes == noise(PAGES * PAGE, 5), "{name}");
    }
}

/// A file on a disk that may be read only, dropped from the page cache: read faults are major ones, and a write fault is
/// an error.
#[test]
fn a_read_only_file_is_read_and_not_written() {
    for way in ways() {
        let name = format!("{way:?}");
        let runtime = runtime_as(way);
        let mut file = tempfile::tempfile_in(env!("CARGO_TARGET_TMPDIR")).expect("a file");
        file.write_all(&noise(PAGES * PAGE, 6)).expect("writes");
        file.sync_all().expect("syncs");
        let fd = std::os::fd::AsRawFd::as_raw_fd(&file);
        // SAFETY: advice on the test's own file.
        let answer = unsafe { libc::posix_fadvise(fd, 0, 0, libc::POSIX_FADV_DONTNEED) };
        assert_eq!(answer, 0);
        let src = Area::map(PAGES, libc::PROT_READ, libc::MAP_SHARED, Some(&file)).expect("maps");
        let dst = Area::cold(PAGES);
        well(copy(&runtime, &src, &dst, PAGES), &name);
        assert!(dst.read(0, PAGES) == noise(PAGES * PAGE, 6), "{name}");
        faulted(&copy(&runtime, &dst, &src, PAGES), &src, 0, Access::Write, &name);
    }
}

/// On the stack of a thread, above and below each other.
#[test]
fn memory_of_the_stack() {
    for way in ways() {
        let runtime = runtime_as(way);
        let thread = std::thread::Builder::new().stack_size(4 << 20).spawn(move || {
            let src = [0x5a_u8; 64 << 10];
            let mut dst = [0_u8; 64 << 10];
            let job = Job::Copy {
                src: VirtAddr::of(src.as_ptr()),
                dst: VirtAddr::of(dst.as_mut_ptr().cast_const()),
                len: 64 << 10,
            };
            // SAFETY: neither is touched until the copy has ended.
            block_on(unsafe { runtime.submit_raw(job) }).expect("copies");
            assert!(std::hint::black_box(&dst).iter().all(|byte| *byte == 0x5a), "{way:?}");
            std::hint::black_box(&src);
        });
        thread.expect("a thread").join().expect("no panic");
    }
}

/// Pages that a handler of the program supplies: resolution waits for it, and every byte is the handler's or the copy's.
#[test]
fn pages_of_a_userfaultfd_are_waited_for() {
    for way in ways() {
        let name = format!("{way:?}");
        let (runtime, src, dst) = (runtime_as(way), Area::cold(PAGES), Area::cold(PAGES));
        let Some(gate) = Gate::on(&src, 0, PAGES) else {
            return not_run("userfaultfd: this process may have none that sees the kernel's own faults");
        };
        let (done, served) = (AtomicBool::new(false), AtomicUsize::new(0));
        let bytes = noise(PAGES * PAGE, 12);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::SeqCst) {
                    let Some(addr) = gate.wait_briefly() else { continue };
                    let at = usize::try_from(addr - src.addr(0).get()).expect("64-bit");
                    gate.supply(addr, bytes[at..at + PAGE].try_into().expect("a page"));
                    served.fetch_add(1, Ordering::SeqCst);
                }
            });
            let ended = copy(&runtime, &src, &dst, PAGES);
            done.store(true, Ordering::SeqCst);
            well(ended, &name);
        });
        assert!(dst.read(0, PAGES) == bytes, "{name}");
        // A page may be asked for by two who want it at once, but each is asked for.
        assert!(served.load(Ordering::SeqCst) >= PAGES, "{name}");
    }
}

/// One operation waits in the kernel for a page that does not come; twenty others fault, are resolved and end meanwhile.
#[test]
fn others_are_resolved_while_one_waits_for_its_page() {
    for resolver in [ResolverChoice::Auto, ResolverChoice::Threads] {
        for policy in [FaultPolicy::Resolve, FaultPolicy::Prefetch, FaultPolicy::Auto] {
            let runtime = runtime_as((policy, resolver));
            let (src, dst) = (Area::cold(4), Area::cold(4));
            let Some(gate) = Gate::on(&src, 0, 1) else {
                return not_run("overlap: no userfaultfd to be had");
            };
            std::thread::scope(|scope| {
                let (told, ended) = std::sync::mpsc::channel();
                scope.spawn({
                    let (runtime, src, dst) = (&runtime, &src, &dst);
                    move || told.send(copy(runtime, src, dst, 4)).expect("the test waits")
                });
                let page = gate.wait();
                for seed in 0..20 {
                    let (src, dst) = (Area::warm(50, seed), Area::cold(50));
                    let report = well(copy(&runtime, &src, &dst, 50), "another");
                    let blocked = report.policy == FaultPolicy::BlockOnFault;
                    assert!(report.faults.resolutions > 0 || blocked, "{report:?}");
                    assert!(dst.read(0, 50) == src.read(0, 50));
                }
                assert!(ended.try_recv().is_err(), "it has its page already");
                gate.supply(page, &[0x77; PAGE]);
                well(ended.recv_timeout(DEADLINE).expect("ends"), "the one that waited");
            });
            assert!(dst.read(0, 1).iter().all(|byte| *byte == 0x77));
        }
    }
}

/// More small copies wait for pages that do not come than there are threads for small ranges and engines that may be held
/// up; others fault, are resolved and end meanwhile, on a device with one engine as on one with two.
#[test]
fn small_ranges_that_wait_hold_up_nobody() {
    const WAITING: usize = 8;
    for engines in [1, 2] {
        for resolver in [ResolverChoice::Auto, ResolverChoice::Threads] {
            // Without io_uring, four threads of the runtime can wait besides the two for small ranges and an engine.
            let waiting = if resolver == ResolverChoice::Auto { WAITING } else { 4 };
            let name = format!("{engines} engines, {resolver:?}");
            let config = svala_idxd::EmulatedConfig { engines, ..svala_idxd::EmulatedConfig::default() };
            let queue = svala_idxd::Emulated::dsa(config).expect("starts");
            let builder = svala::Runtime::builder().queue(queue).config(|config| config.resolver = resolver);
            let runtime = builder.build().expect("threads and an eventfd");
            let (src, dst) = (Area::cold(WAITING), Area::cold(WAITING));
            let Some(gate) = Gate::on(&src, 0, WAITING) else {
                return not_run("small ranges: no userfaultfd to be had");
            };
            std::thread::scope(|scope| {
                let (told, ended) = std::sync::mpsc::channel();
                let mut pages = Vec::new();
                for page in 0..waiting {
                    let (told, runtime, src, dst) = (told.clone(), &runtime, src.addr(page), dst.addr(page));
                    scope.spawn(move || {
                        let job = Job::Copy { src, dst, len: PAGE as u64 };
                        // SAFETY: the areas live until the copy has ended, and nobody refers to them.
                        told.send(block_on(unsafe { runtime.submit_raw(job) }).is_ok())
                            .expect("the test waits");
                    });
                    pages.push(gate.wait());
                }
                for seed in 0..20 {
                    let (src, dst) = (Area::warm(1, seed), Area::cold(1));
                    let report = well(copy(&runtime, &src, &dst, 1), &name);
                    assert_eq!(report.faults.resolutions, 1, "{name}");
                    assert!(dst.read(0, 1) == src.read(0, 1), "{name}");
                }
                assert!(ended.try_recv().is_err(), "{name}: one has its page already");
                for page in pages {
                    gate.supply(page, &[0x77; PAGE]);
                }
                for _ in 0..waiting {
                    assert!(ended.recv_timeout(DEADLINE).expect("ends"), "{name}");
                }
            });
            assert!(dst.read(0, waiting).iter().all(|byte| *byte == 0x77), "{name}");
        }
    }
}

/// More large copies wait for pages that do not come than there are threads that populate: the kernel's workers take over,
/// and others fault, are resolved and end meanwhile.
#[test]
fn large_ranges_that_wait_hold_up_nobody() {
    const WAITING: usize = 8;
    const EACH: usize = 64;
    let runtime = runtime_as((FaultPolicy::Prefetch, ResolverChoice::Auto));
    let snapshot = runtime.snapshot();
    if let Some(reason) = snapshot.resolver_reason {
        return not_run(&format!("large ranges: no io_uring to be had, {reason}"));
    }
    let (src, dst) = (Area::cold(WAITING * EACH), Area::cold(WAITING * EACH));
    let Some(gate) = Gate::on(&src, 0, WAITING * EACH) else {
        return not_run("large ranges: no userfaultfd to be had");
    };
    std::thread::scope(|scope| {
        let (told, ended) = std::sync::mpsc::channel();
        let mut waiting = Vec::new();
        for at in 0..WAITING {
            let (told, runtime) = (told.clone(), &runtime);
            let (src, dst) = (src.addr(at * EACH), dst.addr(at * EACH));
            scope.spawn(move || {
                let job = Job::Copy { src, dst, len: (EACH * PAGE) as u64 };
                // SAFETY: the areas live until the copy has ended, and nobody refers to them.
                told.send(block_on(unsafe { runtime.submit_raw(job) }).is_ok()).expect("the test waits");
            });
            waiting.push(gate.wait());
        }
        for seed in 0..20 {
            let (src, dst) = (Area::warm(EACH, seed), Area::cold(EACH));
            let report = well(copy(&runtime, &src, &dst, EACH), "another");
            assert!(report.faults.resolutions > 0, "{report:?}");
            assert!(dst.read(0, EACH) == src.read(0, EACH));
        }
        assert!(ended.try_recv().is_err(), "one has its pages already");
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut asked = waiting.into_iter();
                while !done.load(Ordering::SeqCst) {
                    if let Some(page) = asked.next().or_else(|| gate.wait_briefly()) {
                        gate.supply(page, &[0x77; PAGE]);
                    }
                }
            });
            let all_well = (0..WAITING).all(|_| ended.recv_timeout(DEADLINE).expect("ends"));
            done.store(true, Ordering::SeqCst);
            assert!(all_well);
        });
    });
    assert!(dst.read(0, WAITING * EACH).iter().all(|byte| *byte == 0x77));
}

/// Huge pages that are put together and taken apart while copies run over them.
#[test]
fn huge_pages_come_and_go_under_copies() {
    const HUGE: usize = 512;
    /// `MADV_COLLAPSE`, Linux 6.1.
    const COLLAPSE: i32 = 25;
    let aligned = |area: &Area| {
        let over = usize::try_from(area.addr(0).get()).expect("64-bit") / PAGE % HUGE;
        (HUGE - over) % HUGE
    };
    for way in ways() {
        let name = format!("{way:?}");
        let runtime = runtime_as(way);
        let area = || {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            let area = Area::map(4 * HUGE, RW, flags, None).expect("maps");
            if area.advise(0, 4 * HUGE, libc::MADV_HUGEPAGE).is_err() {
                not_run("huge pages: this kernel has none; the copies run on small ones");
            }
            area
        };
        let (src, dst) = (area(), area());
        src.write(0, &noise(4 * HUGE * PAGE, 21));
        let (done, collapsed, split) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::SeqCst) {
                    for area in [&src, &dst] {
                        let first = aligned(area);
                        let together = area.advise(first, 2 * HUGE, COLLAPSE).is_ok();
                        collapsed.fetch_add(usize::from(together), Ordering::SeqCst);
                        // One small page of a huge one: the kernel takes it apart.
                        let apart = area.advise(first + 5, 1, libc::MADV_PAGEOUT).is_ok();
                        split.fetch_add(usize::from(apart), Ordering::SeqCst);
                    }
                }
            });
            let deadline = std::time::Instant::now() + DEADLINE;
            let mut rounds = 0;
            while rounds < 10 || split.load(Ordering::SeqCst) < 4 && std::time::Instant::now() < deadline {
                dst.advise(0, 4 * HUGE, libc::MADV_DONTNEED).expect("advice");
                let ended = copy(&runtime, &src, &dst, 4 * HUGE);
                if ended.is_err() {
                    done.store(true, Ordering::SeqCst);
                }
                well(ended, &name);
                assert!(dst.read(0, 4 * HUGE) == src.read(0, 4 * HUGE), "{name}: round {rounds}");
                rounds += 1;
            }
            done.store(true, Ordering::SeqCst);
        });
        if collapsed.load(Ordering::SeqCst) == 0 {
            not_run("collapsing: the kernel put no huge page together");
        }
    }
}

/// Pages that may be merged, and are if the machine merges.
#[test]
fn merged_pages_are_copied_and_written() {
    let state = fs::read_to_string("/sys/kernel/mm/ksm/run").unwrap_or_default();
    if state.trim() != "1" {
        not_run(
            "merged pages: ksmd is off. Pages are only marked; `merged_pages_with_ksmd` (--ignored, as root) turns it on",
        );
    }
    copies_of_mergeable_pages(false);
}

#[test]
#[ignore = "turns ksmd on for a while: needs root"]
fn merged_pages_with_ksmd() {
    let set = |file: &str, value: &str| fs::write(format!("/sys/kernel/mm/ksm/{file}"), value).expect("root");
    set("sleep_millisecs", "1");
    set("pages_to_scan", "5000");
    set("run", "1");
    copies_of_mergeable_pages(true);
    set("run", "2");
    set("run", "0");
}

fn copies_of_mergeable_pages(wait: bool) {
    const SAME: usize = 512;
    for way in ways() {
        let name = format!("{way:?}");
        let runtime = runtime_as(way);
        let (src, dst) = (Area::cold(SAME), Area::cold(SAME));
        for area in [&src, &dst] {
            area.write(0, &[0x3c; SAME * PAGE]);
            if area.advise(0, SAME, libc::MADV_MERGEABLE).is_err() {
                return not_run("merged pages: this kernel cannot");
            }
        }
        let merged = || {
            let text = fs::read_to_string("/proc/self/ksm_merging_pages").unwrap_or_default();
            text.trim().parse::<usize>().unwrap_or(0)
        };
        let deadline = std::time::Instant::now() + DEADLINE;
        while wait && merged() < SAME {
            assert!(std::time::Instant::now() < deadline, "{} pages merged", merged());
            std::thread::yield_now();
        }
        // Merged source onto merged destination; then bytes that differ onto it.
        well(copy(&runtime, &src, &dst, SAME), &name);
        assert!(dst.read(0, SAME) == vec![0x3c; SAME * PAGE], "{name}");
        let other = Area::warm(SAME, 31);
        well(copy(&runtime, &other, &dst, SAME), &name);
        assert!(dst.read(0, SAME) == noise(SAME * PAGE, 31), "{name}");
        assert!(src.read(0, SAME) == vec![0x3c; SAME * PAGE], "{name}: shared with what was written");
    }
}

/// Huge pages of the pool that an administrator has set aside.
#[test]
fn hugetlb_pages_are_copied() {
    if !copies_of_hugetlb_pages() {
        not_run(
            "hugetlb: no huge pages are set aside. `hugetlb_pages_set_aside` (--ignored, as root) does so for itself",
        );
    }
}

#[test]
#[ignore = "sets huge pages aside: needs root"]
fn hugetlb_pages_set_aside() {
    let file = "/proc/sys/vm/nr_hugepages";
    let before = fs::read_to_string(file).expect("hugetlb");
    fs::write(file, "8").expect("root");
    let done = copies_of_hugetlb_pages();
    fs::write(file, before.trim()).expect("root");
    assert!(done, "no huge pages to be had");
}

/// False: there are none.
fn copies_of_hugetlb_pages() -> bool {
    const HUGE: usize = 512;
    for way in ways() {
        let name = format!("{way:?}");
        let runtime = runtime_as(way);
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_HUGETLB;
        let (Ok(src), Ok(dst)) = (Area::map(2 * HUGE, RW, flags, None), Area::map(2 * HUGE, RW, flags, None))
        else {
            return false;
        };
        src.write(0, &noise(2 * HUGE * PAGE, 41));
        let report = well(copy(&runtime, &src, &dst, 2 * HUGE), &name);
        assert!(dst.read(0, 2 * HUGE) == noise(2 * HUGE * PAGE, 41), "{name}");
        assert!(report.faults.faults <= 2, "a huge page is one fault: {report:?}");
    }
    true
}

/// Memory that was swapped out comes back.
#[test]
fn swapped_pages_come_back() {
    if fs::read_to_string("/proc/swaps").unwrap_or_default().lines().count() < 2 {
        return not_run(
            "swap: there is none. `swapped_pages_on_zram` (--ignored, as root) makes some on /dev/zram0",
        );
    }
    copies_of_swapped_pages(false);
}

#[test]
#[ignore = "swaps on /dev/zram0: needs root"]
fn swapped_pages_on_zram() {
    let bytes = 256_u64 << 20;
    fs::write("/sys/block/zram0/disksize", bytes.to_string()).expect("zram, and root");
    let device = fs::File::options().write(true).open("/dev/zram0").expect("root");
    // The first page of a swap area: version, last page, and the signature at its end.
    let mut header = [0_u8; PAGE];
    header[1024..1028].copy_from_slice(&1_u32.to_le_bytes());
    let last = u32::try_from(bytes / PAGE as u64 - 1).expect("small");
    header[1028..1032].copy_from_slice(&last.to_le_bytes());
    header[PAGE - 10..].copy_from_slice(b"SWAPSPACE2");
    device.write_all_at(&header, 0).expect("writes");
    drop(device);
    // SAFETY: a name that ends in zero.
    real_memory::answer(unsafe { libc::swapon(c"/dev/zram0".as_ptr(), 0) }).expect("swapon");
    let outcome = std::panic::catch_unwind(|| copies_of_swapped_pages(true));
    // SAFETY: as above.
    real_memory::answer(unsafe { libc::swapoff(c"/dev/zram0".as_ptr()) }).expect("swapoff");
    fs::write("/sys/block/zram0/reset", "1").expect("root");
    outcome.expect("copies");
}

fn copies_of_swapped_pages(must_swap: bool) {
    const MANY: usize = 1024;
    for way in ways() {
        let name = format!("{way:?}");
        let (runtime, src, dst) = (runtime_as(way), Area::warm(MANY, 51), Area::warm(MANY, 52));
        for area in [&src, &dst] {
            area.advise(0, MANY, libc::MADV_PAGEOUT).expect("advice");
        }
        let out = 2 * MANY - src.present() - dst.present();
        if out == 0 {
            assert!(!must_swap, "nothing was swapped out");
            return not_run("swap: there is some, and the kernel put nothing there");
        }
        let report = well(copy(&runtime, &src, &dst, MANY), &name);
        assert!(dst.read(0, MANY) == noise(MANY * PAGE, 51), "{name}");
        let faults = report.faults;
        assert!(faults.faults + faults.resolutions > 0 || way.0 == FaultPolicy::BlockOnFault, "{report:?}");
    }
}

/// Small operations all over a large cold region: what is populated is what they touch, within a tenth.
#[test]
fn random_small_operations_populate_what_they_touch() {
    const REGION: usize = 16 << 10;
    for way in ways() {
        let name = format!("{way:?}");
        let (runtime, src, region) = (runtime_as(way), Area::warm(2, 61), Area::cold(REGION));
        let mut touched = std::collections::BTreeSet::new();
        for step in 0..300_u64 {
            // Half of them lie across two pages.
            let page = usize::try_from(step * 7919 % (REGION as u64 - 1)).expect("small");
            let into = if step % 2 == 0 { 0 } else { 2048 };
            let dst = region.addr(page).add(into);
            let job = Job::Copy { src: src.addr(0), dst, len: PAGE as u64 };
            // SAFETY: the areas live until the copy has ended, and nobody refers to them.
            block_on(unsafe { runtime.submit_raw(job) })
                .unwrap_or_else(|failed| panic!("{name}: {}", failed.error));
            touched.insert(page);
            if into != 0 {
                touched.insert(page + 1);
            }
        }
        let present = region.present();
        assert!(present >= touched.len(), "{name}: {present}");
        // A kernel does not know where an operation ends: two pages in a row may be given a third.
        let tenths_max = if way.0 == FaultPolicy::BlockOnFault { 15 } else { 11 };
        assert!(present * 10 <= touched.len() * tenths_max, "{name}: {present} pages for {}", touched.len());
    }
}

/// Under `Prefetch` a DSA 2 fetches the translations of each operand before it copies, and only if it is asked to.
#[test]
fn translations_are_fetched_before_the_copy() {
    use svala_idxd::{Emulated, EmulatedConfig};
    for fetches in [false, true] {
        // The copy is one descriptor.
        let config = EmulatedConfig { parallel_part_bytes: 2 << 20, ..EmulatedConfig::default() };
        let queue = Emulated::dsa(config).expect("starts");
        let device = queue.portal().device().expect("not closed");
        let builder = svala::Runtime::builder().queue(queue).config(|config| {
            config.faults = FaultPolicy::Prefetch;
            config.prefetch_translations = fetches;
        });
        let runtime = builder.build().expect("a thread and an eventfd");
        let (src, dst) = (Area::warm(PAGES, 71), Area::cold(PAGES));
        let report = well(copy(&runtime, &src, &dst, PAGES), "copy");
        assert!(dst.read(0, PAGES) == noise(PAGES * PAGE, 71));
        assert_eq!((report.faults.faults, report.policy), (0, FaultPolicy::Prefetch));
        assert_eq!(device.stats().descriptors, if fetches { 3 } else { 1 });
        // What cannot be populated is found by the copy, and said by it.
        dst.protect(20, 1, libc::PROT_NONE);
        dst.advise(0, 20, libc::MADV_DONTNEED).expect("advice");
        faulted(&copy(&runtime, &src, &dst, PAGES), &dst, 20, Access::Write, "prefetch");
    }
}
