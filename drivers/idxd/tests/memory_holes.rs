//! Memory that is unmapped, or moved away, under a running operation: each copy ends in an error that says where.
//!
//! One test, in a binary of its own: in a process with other tests, the kernel would give the hole to the next thread
//! that is made, and the copy would write there, as a program's would.
//!
//! UNSAFETY: moves a mapping.
#![expect(unsafe_code, reason = "mremap is an unsafe call")]

mod real_memory;

use real_memory::{Area, PAGE, copies, faulted};
use svala::Access;

#[test]
fn holes_end_the_copy_where_they_begin() {
    munmap_ends_the_copy_at_the_hole();
    munmap_of_the_source_is_a_read_fault();
    mremap_away_ends_the_copy_at_the_hole();
}

fn munmap_ends_the_copy_at_the_hole() {
    for case in copies() {
        let ended = case.run(|| case.dst.unmap(20, 3));
        faulted(&ended, &case.dst, 20, Access::Write, &case.name);
        case.is_right_up_to(20);
        case.goes_on();
    }
}

fn munmap_of_the_source_is_a_read_fault() {
    for case in copies() {
        let ended = case.run(|| case.src.unmap(30, 1));
        faulted(&ended, &case.src, 30, Access::Read, &case.name);
        case.is_right_up_to(30);
        case.goes_on();
    }
}

fn mremap_away_ends_the_copy_at_the_hole() {
    for case in copies() {
        let mut moved = None;
        let ended = case.run(|| {
            // To a place that is reserved beforehand, so that it is another one.
            let place = Area::cold(20);
            // SAFETY: both are mappings of the test's own.
            let there = unsafe {
                libc::mremap(
                    case.dst.at(20).cast(),
                    20 * PAGE,
                    20 * PAGE,
                    libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED,
                    place.at(0).cast::<libc::c_void>(),
                )
            };
            assert_ne!(there, libc::MAP_FAILED);
            moved = Some(place);
        });
        faulted(&ended, &case.dst, 20, Access::Write, &case.name);
        case.is_right_up_to(20);
        case.goes_on();
        drop(moved);
    }
}
