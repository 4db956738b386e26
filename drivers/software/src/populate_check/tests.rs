//! Real maps with holes, wrong protections and missing files.

use super::*;
use crate::guard::tests::{Map, in_child};

const PAGE: usize = 4096;

#[test]
fn memory_that_is_there_passes_and_keeps_its_contents() {
    let heap = vec![7_u8; 3 * PAGE + 5];
    let addr = heap.as_ptr().addr();
    assert_eq!(check_readable(addr, heap.len()), Ok(()));
    assert_eq!(check_writable(addr, heap.len()), Ok(()));
    assert!(heap.iter().all(|&byte| byte == 7));
    assert_eq!(check_writable(addr + 1, 1), Ok(()));
}

#[test]
fn nothing_is_readable_anywhere() {
    assert_eq!(check_readable(0, 0), Ok(()));
    assert_eq!(check_writable(usize::MAX, 0), Ok(()));
}

#[test]
fn hole_is_found_wherever_it_is() {
    for pages in [1, 2, 3, 64, 515] {
        for hole in [0, 1, pages / 2, pages - 1].into_iter().filter(|&hole| hole < pages) {
            let map = Map::new(pages * PAGE);
            let (start, len) = (map.range().start, pages * PAGE);
            let bad = |write| Err(BadRange { addr: start + hole * PAGE, write, errno: Errno::ENOMEM });
            let status = in_child(|| {
                map.cut(hole * PAGE..(hole + 1) * PAGE);
                assert_eq!(check_readable(start, len), bad(false));
                assert_eq!(check_writable(start, len), bad(true));
                assert_eq!(check_readable(start, hole * PAGE), Ok(()));
            });
            assert_eq!(status, 0, "page {hole} of {pages}");
        }
    }
}

#[test]
fn bad_first_page_is_reported_at_the_ranges_own_start() {
    let map = Map::with_protection(PAGE, libc::PROT_NONE);
    let start = map.range().start + 100;
    assert_eq!(check_readable(start, 10).unwrap_err().addr, start);
}

#[test]
fn read_only_memory_is_not_writable() {
    let map = Map::with_protection(4 * PAGE, libc::PROT_READ);
    let Range { start, .. } = map.range();
    assert_eq!(check_readable(start, 4 * PAGE), Ok(()));
    let error = check_writable(start + PAGE, 2 * PAGE).unwrap_err();
    assert_eq!((error.addr, error.write), (start + PAGE, true));
    assert_eq!(error.to_string(), format!("cannot write memory at {:#x}", start + PAGE));
}

#[test]
fn pages_past_the_end_of_the_file_are_bad_and_raise_nothing() {
    let map = Map::new(32 * PAGE);
    map.truncate(11 * PAGE);
    let start = map.range().start;
    for error in [check_readable(start, 32 * PAGE), check_writable(start, 32 * PAGE)] {
        let error = error.unwrap_err();
        assert_eq!((error.addr, error.errno), (start + 11 * PAGE, Errno::EFAULT));
    }
}

#[test]
fn addresses_no_memory_can_have_are_refused() {
    for (addr, len) in
        [(usize::MAX, 1), (usize::MAX - PAGE, 2), (1, usize::MAX), (16, usize::MAX - 16), (0, 1)]
    {
        let error = check_readable(addr, len).unwrap_err();
        assert_eq!(error.addr, addr, "{len} bytes: {error}");
    }
    assert!(check_writable(1 << 60, 4096).is_err());
}
