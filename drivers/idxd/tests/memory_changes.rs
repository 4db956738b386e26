//! What the kernel can do to memory under a running operation, on the emulated device with real memory: each ends in
//! right bytes or in an error that says where.
//!
//! Every test stops a copy in the middle, see [`real_memory`], under every policy and with both resolvers.
//!
//! UNSAFETY: forks, truncates a file under its map, and submits operations on memory by address.
#![expect(unsafe_code, reason = "fork is an unsafe call, and so is raw submission")]

mod real_memory;

use parking_lot::Mutex;
use real_memory::{
    Area, GATE, PAGE, PAGES, RW, answer, copies, copy, copy_interrupted, faulted, in_parts, memfd, noise,
    not_run,
};
use svala::{Access, Error, FaultPolicy, Job};

/// Held by the test that forks, and by the one that expects no other fault than its own: a fork makes all pages of the process
/// shared ones, the next write to each of which is a fault.
static FORK: Mutex<()> = Mutex::new(());

#[test]
fn mprotect_ends_the_copy_where_writing_is_forbidden() {
    for prot in [libc::PROT_READ, libc::PROT_NONE] {
        for case in copies() {
            let ended = case.run(|| case.dst.protect(16, 4, prot));
            faulted(&ended, &case.dst, 16, Access::Write, &case.name);
            case.is_right_up_to(16);
            case.goes_on();
        }
    }
}

#[test]
fn mprotect_of_the_source_is_a_read_fault() {
    for case in copies() {
        let ended = case.run(|| case.src.protect(25, 2, libc::PROT_NONE));
        faulted(&ended, &case.src, 25, Access::Read, &case.name);
        case.is_right_up_to(25);
        case.goes_on();
    }
}

/// What was protected and is allowed again is as if nothing had happened.
#[test]
fn mprotect_that_is_taken_back_leaves_no_trace() {
    for case in copies() {
        case.run(|| {
            case.dst.protect(16, 8, libc::PROT_NONE);
            case.dst.protect(16, 8, RW);
        })
        .unwrap_or_else(|failed| panic!("{}: {}", case.name, failed.error));
        case.is_right_up_to(PAGES);
    }
}

/// Source pages that are given back read as zeros; nothing else changes.
#[test]
fn dontneed_of_the_source_copies_zeros() {
    for case in copies() {
        case.run(|| case.src.advise(20, 5, libc::MADV_DONTNEED).expect("advice"))
            .unwrap_or_else(|failed| panic!("{}: {}", case.name, failed.error));
        let mut want = noise(PAGES * PAGE, 7);
        want[20 * PAGE..25 * PAGE].fill(0);
        assert!(case.dst.read(0, PAGES) == want, "{}", case.name);
    }
}

/// Destination pages that are given back when they have been populated but not written come back.
#[test]
fn dontneed_of_the_destination_ahead_is_populated_again() {
    for case in copies() {
        case.run(|| case.dst.advise(GATE + 1, 20, libc::MADV_DONTNEED).expect("advice"))
            .unwrap_or_else(|failed| panic!("{}: {}", case.name, failed.error));
        case.is_right_up_to(PAGES);
    }
}

/// The kernel may take the pages at any time, and then they read as zeros, page by page.
#[test]
fn free_of_the_source_copies_old_bytes_or_zeros() {
    for case in copies() {
        case.run(|| case.src.advise(20, 5, libc::MADV_FREE).expect("advice"))
            .unwrap_or_else(|failed| panic!("{}: {}", case.name, failed.error));
        let (want, found) = (noise(PAGES * PAGE, 7), case.dst.read(0, PAGES));
        for page in 0..PAGES {
            let bytes = page * PAGE..(page + 1) * PAGE;
            let is_zero = (20..25).contains(&page) && found[bytes.clone()].iter().all(|byte| *byte == 0);
            assert!(is_zero || found[bytes.clone()] == want[bytes], "{}: page {page}", case.name);
        }
    }
}

/// Anonymous memory goes to swap if there is any, and else stays; a file's goes to the file.
#[test]
fn pageout_and_cold_change_no_byte() {
    for advice in [libc::MADV_PAGEOUT, libc::MADV_COLD] {
        for case in copies() {
            case.run(|| {
                case.src.advise(0, PAGES, advice).expect("advice");
                case.dst.advise(0, GATE, advice).expect("advice");
            })
            .unwrap_or_else(|failed| panic!("{}: {}", case.name, failed.error));
            case.is_right_up_to(PAGES);
        }
    }
}

/// The mapping stays, empty: the copy goes there, and not after the pages that have gone.
#[test]
fn mremap_that_leaves_the_mapping_is_populated_again() {
    for case in copies() {
        let mut moved = None;
        let ended =
            case.run(|| moved = Some(case.dst.relocate(20, 20, libc::MREMAP_DONTUNMAP).expect("moves")));
        ended.unwrap_or_else(|failed| panic!("{}: {}", case.name, failed.error));
        case.is_right_up_to(PAGES);
        let moved = moved.expect("moved");
        let there = moved.read(0, 20);
        // Whatever had been written there when it moved: the bytes of the copy, or none.
        let want = noise(PAGES * PAGE, 7);
        for page in 0..20 {
            let (found, want) = (&there[page * PAGE..][..PAGE], &want[(page + 20) * PAGE..][..PAGE]);
            assert!(found == want || found.iter().all(|byte| *byte == 0), "{}: page {page}", case.name);
        }
    }
}

/// The child sees memory as it was at the fork, however much the device writes for the parent.
#[test]
fn fork_leaves_the_child_its_own_copy() {
    let _forks = FORK.lock();
    for case in copies() {
        // All of the destination but the gate is there, so that it is shared with the child.
        let old = noise(PAGES * PAGE, 11);
        case.dst.write(0, &old[..GATE * PAGE]);
        case.dst.write(GATE + 1, &old[(GATE + 1) * PAGE..]);
        let mut pipe = [0; 2];
        // SAFETY: two descriptors.
        answer(unsafe { libc::pipe(pipe.as_mut_ptr()) }).expect("a pipe");
        let mut child = 0;
        let ended = case.run(|| {
            // SAFETY: the child compares memory and leaves, and calls nothing that is not safe then.
            child = unsafe { libc::fork() };
            if child == 0 {
                in_the_child(pipe[0], &case.dst, &old);
            }
            assert!(child > 0, "fork");
        });
        let (_, report) = ended.unwrap_or_else(|failed| panic!("{}: {}", case.name, failed.error));
        // What is shared is not the device's to write to: the gate is one fault, what lies behind its window another.
        if report.policy == svala::FaultPolicy::Resolve {
            assert!(report.faults.faults >= 2, "{}: {report:?}", case.name);
        }
        case.is_right_up_to(PAGES);
        // SAFETY: one byte, for the child to begin.
        assert_eq!(unsafe { libc::write(pipe[1], [1_u8].as_ptr().cast(), 1) }, 1);
        let mut status = 0;
        // SAFETY: the test's own child.
        assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
        assert_eq!(status, 0, "{}: the child's memory has changed", case.name);
        for end in pipe {
            // SAFETY: the test's own descriptors.
            unsafe { libc::close(end) };
        }
    }
}

/// Waits until the parent's copy is over and looks at pages that the parent has written since the fork.
fn in_the_child(pipe: i32, dst: &Area, old: &[u8]) -> ! {
    let mut byte = 0_u8;
    // SAFETY: one byte.
    let read = unsafe { libc::read(pipe, (&raw mut byte).cast(), 1) };
    let mut same = read == 1;
    for page in GATE + 1..PAGES {
        for at in [0, PAGE - 1] {
            // SAFETY: the child's copy of the mapping.
            let found = unsafe { dst.at(page).wrapping_add(at).read_volatile() };
            same &= found == old[page * PAGE + at];
        }
    }
    // SAFETY: ends the child, and nothing else.
    unsafe { libc::_exit(i32::from(!same)) }
}

/// A file cut under its map: the CPU would get a signal, the operation gets an error.
#[test]
fn a_file_truncated_under_its_map_is_a_read_fault() {
    for case in copies() {
        let file = memfd(PAGES);
        let src = Area::map(PAGES, RW, libc::MAP_SHARED, Some(&file)).expect("maps");
        src.write(0, &noise(PAGES * PAGE, 7));
        let cut = || file.set_len(24 * PAGE as u64).expect("cuts");
        let ended = copy_interrupted(&case.runtime, &src, &case.dst, cut);
        faulted(&ended, &src, 24, Access::Read, &case.name);
        case.is_right_up_to(24);
        case.goes_on();
    }
}

/// `MADV_GUARD_INSTALL`, Linux 6.13.
const MADV_GUARD_INSTALL: i32 = 102;

#[test]
fn guard_pages_end_the_copy() {
    for case in copies() {
        let mut supported = true;
        let ended = case.run(|| supported = case.dst.advise(28, 1, MADV_GUARD_INSTALL).is_ok());
        if !supported {
            not_run("guard pages: this kernel has no MADV_GUARD_INSTALL");
            ended.expect("copies");
            continue;
        }
        faulted(&ended, &case.dst, 28, Access::Write, &case.name);
        case.is_right_up_to(28);
        case.goes_on();
    }
}

/// A copy in parts that run in any order, and each fault is an error: what the error says is done is done, and the rest can
/// be copied behind it. Two engines have a part each; whichever is further when the page is met, the error says no more
/// than what has no gap.
#[test]
fn an_error_in_one_of_many_parts_counts_no_bytes_behind_a_gap() {
    let _nobody_forks = FORK.lock();
    const PARTS: usize = 6;
    const PART_PAGES: usize = 32;
    let part_bytes = u32::try_from(PART_PAGES * PAGE).expect("fits");
    let runtime = in_parts(part_bytes, |config| config.faults = FaultPolicy::Fail);
    let pages = PARTS * PART_PAGES;
    let bytes = noise(pages * PAGE, 11);
    for page in (3..pages).step_by(13) {
        let (src, dst) = (Area::warm(pages, 11), Area::warm(pages, 12));
        dst.advise(page, 1, libc::MADV_DONTNEED).expect("drops a page");
        let name = format!("page {page}");
        let ended = copy(&runtime, &src, &dst, pages);
        let Err(failed) = ended else { panic!("{name}: {ended:?}") };
        let Error::Fault { addr, done, .. } = failed.error else { panic!("{name}: {}", failed.error) };
        assert_eq!(addr.page(), dst.addr(page), "{name}");
        let done = usize::try_from(done).expect("fits");
        assert!(done <= page * PAGE, "{name}: {done}");
        assert!(dst.read(0, pages)[..done] == bytes[..done], "{name}: {done} bytes are not done");
        dst.write(page, &[0]);
        let rest = Job::Copy {
            src: src.addr(0).add(done as u64),
            dst: dst.addr(0).add(done as u64),
            len: (pages * PAGE - done) as u64,
        };
        // SAFETY: both areas outlive the operation, and no reference to them exists.
        pollster::block_on(unsafe { runtime.submit_raw(rest) }).expect("the rest");
        assert!(dst.read(0, pages) == bytes, "{name}");
    }
}
