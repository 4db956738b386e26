//! Copy, fill, compare, CRC.
//!
//! UNSAFETY: raw submissions on memory in states no buffer has.
#![expect(unsafe_code, reason = "raw submissions")]

use pollster::block_on;
use svala::{Access, Error, FaultPolicy, IoBuf, Job, Operation, Path};

use crate::support::{Faults, PAGE, Pages, Setup, noise};

/// Around a cache line, a page and the largest transfer.
fn lengths(setup: &Setup) -> Vec<usize> {
    let max = setup.transfer_bytes_max;
    vec![1, 7, 63, 64, 65, PAGE - 1, PAGE, PAGE + 1, 3 * PAGE + 5, max - 1, max, max + 1, 3 * max + 77]
}

pub(crate) fn copy_lengths(setup: &Setup) {
    for len in lengths(setup) {
        for offset in [0, 1, 64] {
            let src = noise(len + offset, len as u64);
            let slice = svala::Slice::new(src, offset..offset + len).expect("within");
            let done = setup.well(Operation::Copy, setup.runtime.copy(slice, vec![0_u8; len]));
            let (src, dst) = done.buffers;
            assert!(src.into_inner()[offset..] == dst[..], "{len} bytes at {offset}");
            assert_eq!(done.report.bytes, len as u64);
            let path = done.report.path;
            let is_cpu = matches!(path, Path::Software { .. });
            assert_eq!(is_cpu, setup.faults == Faults::OfTheCpu, "{path}");
        }
    }
    let failed = block_on(setup.runtime.copy(vec![1_u8; 3], vec![0_u8; 2])).expect_err("lengths differ");
    assert!(matches!(failed.error, Error::Length { first: 3, second: 2, .. }));
    assert_eq!(failed.buffers, Some((vec![1; 3], vec![0; 2])));
    block_on(setup.runtime.copy(Vec::new(), Vec::new())).expect("nothing to do");
}

pub(crate) fn copy_cold(setup: &Setup) {
    let len = 5 * setup.transfer_bytes_max / 2 + 123;
    let bytes = noise(len, 3);
    // The source's pages are present, the destination's are not: write faults.
    let done = setup.well(Operation::Copy, setup.runtime.copy(Pages::warm(&bytes), Pages::cold(len)));
    assert!(done.buffers.1.bytes() == &bytes[..]);
    let faults = done.report.faults;
    match setup.faults {
        Faults::Resolve | Faults::ResolveByThreads => {
            assert!(faults.faults > 0 && faults.resolutions > 0 && faults.resubmissions > 0, "{faults:?}");
            // 16 KiB, doubled each time, in each of the parts under way, and a few more.
            let (parts, doublings) = (len.div_ceil(setup.transfer_bytes_max), setup.transfer_bytes_max >> 14);
            let most = parts * (4 + doublings.max(1).ilog2() as usize);
            assert!(faults.resolutions <= most as u64, "{most}: {faults:?}");
        }
        Faults::Prefetch => assert!(faults.resolutions > 0 && faults.faults == 0, "{faults:?}"),
        // Whichever it chose, it found the pages absent.
        Faults::Auto => {
            assert!(done.report.policy != FaultPolicy::Auto, "a choice");
            assert!(faults.resolutions > 0 || done.report.policy == FaultPolicy::BlockOnFault, "{faults:?}");
        }
        Faults::BlockOnFault | Faults::Fail | Faults::OfTheCpu => assert_eq!(faults.faults, 0),
    }
    // Absent on the read side too: zeros.
    let done = setup.well(Operation::Copy, setup.runtime.copy(Pages::cold(len), Pages::warm(&bytes)));
    assert!(done.buffers.1.bytes().iter().all(|byte| *byte == 0));
}

pub(crate) fn larger_than_a_transfer(setup: &Setup) {
    let len = 7 * setup.transfer_bytes_max + 4321;
    let bytes = noise(len, 11);
    let done = block_on(setup.runtime.copy(bytes.clone(), vec![0_u8; len])).expect("copies");
    assert!(done.buffers.0 == done.buffers.1);
    let mut other = bytes.clone();
    // Differences in two parts: the first one counts, whichever part is done first.
    other[5 * setup.transfer_bytes_max + 9] ^= 1;
    other[3 * setup.transfer_bytes_max + 17] ^= 1;
    let done = block_on(setup.runtime.compare(bytes, other)).expect("compares");
    assert_eq!(done.value, Some((3 * setup.transfer_bytes_max + 17) as u64));
}

pub(crate) fn overlapping(setup: &Setup) {
    let max = setup.transfer_bytes_max;
    for (len, shift) in [(1000, 1), (1000, 999), (3 * max + 100, 64), (3 * max + 100, max + 1)] {
        for backward in [false, true] {
            let mut memory = noise(len + shift, shift as u64);
            let mut expected = memory.clone();
            let (from, to) = if backward { (0, shift) } else { (shift, 0) };
            expected.copy_within(from..from + len, to);
            let base = svala::VirtAddr::of(memory.as_mut_ptr().cast_const());
            let job = Job::Copy { src: base.add(from as u64), dst: base.add(to as u64), len: len as u64 };
            // SAFETY: `memory` is not touched until the copy has ended.
            block_on(unsafe { setup.runtime.submit_raw(job) }).expect("copies");
            assert_eq!(
                std::hint::black_box(&memory),
                &expected,
                "{len} bytes by {shift}, backward {backward}"
            );
        }
    }
}

pub(crate) fn fill(setup: &Setup) {
    let pattern = 0x0123_4567_89ab_cdef_u64;
    for len in lengths(setup) {
        let done = setup.well(Operation::Fill, setup.runtime.fill(vec![0_u8; len], pattern));
        let expected = pattern.to_le_bytes().into_iter().cycle();
        assert!(done.buffers.iter().copied().eq(expected.take(len)), "{len} bytes");
    }
    // A fault in the middle of a repetition must not shift the pattern.
    let len = setup.transfer_bytes_max + 3 * PAGE + 3;
    let cold = svala::Slice::new(Pages::cold(len + 5), 5..len + 5).expect("within");
    let done = setup.well(Operation::Fill, setup.runtime.fill(cold, pattern));
    assert!(done.buffers.bytes().iter().copied().eq(pattern.to_le_bytes().into_iter().cycle().take(len)));
}

pub(crate) fn compare(setup: &Setup) {
    for len in lengths(setup) {
        let bytes = noise(len, 5);
        let done = setup.well(Operation::Compare, setup.runtime.compare(bytes.clone(), bytes.clone()));
        assert_eq!(done.value, None, "{len} equal bytes");
        for at in [0, len / 2, len - 1] {
            let mut other = bytes.clone();
            other[at] ^= 0x80;
            let done = setup.well(Operation::Compare, setup.runtime.compare(bytes.clone(), other));
            assert_eq!(done.value, Some(at as u64), "{len} bytes, difference at {at}");
        }
    }
    let len = 2 * setup.transfer_bytes_max;
    let mut other = vec![0_u8; len];
    other[len - 3] = 1;
    let done = setup.well(Operation::Compare, setup.runtime.compare(Pages::cold(len), Pages::warm(&other)));
    assert_eq!(done.value, Some((len - 3) as u64));
}

pub(crate) fn crc32c(setup: &Setup) {
    let oracle = crc::Crc::<u32>::new(&crc::CRC_32_ISCSI);
    for len in lengths(setup) {
        let bytes = noise(len, 9);
        let expected = oracle.checksum(&bytes);
        let done = setup.well(Operation::Crc32c, setup.runtime.crc32c(Pages::warm(&bytes), 0));
        assert_eq!(done.value, expected, "{len} bytes");
        let (first, second) = bytes.split_at(len / 3);
        let seed = block_on(setup.runtime.crc32c(first.to_vec(), 0)).expect("sums").value;
        let done = block_on(setup.runtime.crc32c(second.to_vec(), seed)).expect("sums");
        assert_eq!(done.value, expected, "{len} bytes in two");
    }
    let len = setup.transfer_bytes_max + 5 * PAGE;
    let done = setup.well(Operation::Crc32c, setup.runtime.crc32c(Pages::cold(len), 0));
    assert_eq!(done.value, oracle.checksum(&vec![0; len]));
}

pub(crate) fn unmapped(setup: &Setup) {
    let pages = Pages::cold(16 * PAGE);
    pages.punch(9);
    let src = vec![1_u8; 16 * PAGE];
    let job = Job::Copy { src: svala::VirtAddr::of(src.as_ptr()), dst: pages.addr(), len: 16 * PAGE as u64 };
    // SAFETY: the memory stays as it is until the job has ended; the hole is what is tested.
    let failed = block_on(unsafe { setup.runtime.submit_raw(job) }).expect_err("a hole");
    let hole = pages.addr().add(9 * PAGE as u64);
    match failed.error {
        Error::Fault { access: Access::Write, addr, done, len, .. } => {
            assert_eq!((addr.page(), len), (hole, 16 * PAGE as u64));
            assert!(done <= 9 * PAGE as u64, "{done}");
        }
        other => panic!("{other}"),
    }
    // And the runtime goes on.
    block_on(setup.runtime.copy(vec![1_u8; 10], vec![0_u8; 10])).expect("copies");
}

pub(crate) fn read_only(setup: &Setup) {
    let pages = Pages::warm(&noise(8 * PAGE, 1));
    pages.protect(3, libc::PROT_READ);
    let job = Job::Fill { dst: pages.addr(), len: 8 * PAGE as u64, pattern: 0 };
    // SAFETY: as in `unmapped`.
    let failed = block_on(unsafe { setup.runtime.submit_raw(job) }).expect_err("read-only");
    match failed.error {
        Error::Fault { access: Access::Write, addr, .. } => {
            assert_eq!(addr.page(), pages.addr().add(3 * PAGE as u64));
        }
        other => panic!("{other}"),
    }
    pages.protect(3, libc::PROT_READ | libc::PROT_WRITE);
    assert_eq!(pages.bytes()[3 * PAGE..4 * PAGE], noise(8 * PAGE, 1)[3 * PAGE..4 * PAGE]);
}

pub(crate) fn many_at_once(setup: &Setup) {
    // More than there are slots and entries: they wait their turn.
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            scope.spawn(move || {
                let rounds = (0..20_u64).map(|round| {
                    let bytes = noise(1 + usize::try_from(round).expect("small") * 977, thread * 100 + round);
                    (setup.runtime.copy(bytes.clone(), Pages::cold(bytes.len())), bytes)
                });
                let mut flying: Vec<_> = rounds.collect();
                for (copy, bytes) in flying.iter_mut().rev() {
                    let done = block_on(copy).expect("copies");
                    assert!(done.buffers.1.bytes() == &bytes[..]);
                }
            });
        }
    });
    assert_eq!(setup.runtime.snapshot().queues[0].in_flight, 0);
}
