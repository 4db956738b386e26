//! Jobs on addresses somebody only says are memory.
//!
//! UNSAFETY: submits such jobs. Each call says why what it touches is the test's own.
#![expect(unsafe_code, reason = "raw submission is the subject")]

use std::ptr;

use proptest::prelude::*;
use svala::{
    Access, Check, Crc, DifDestination, DifFormat, DifSource, Error, Job, Report, Runtime, Span, VirtAddr,
};

use super::{INLINE_BYTES, never_inline, noise, runtime, runtime_with};

const PAGE: usize = 4096;

/// Anonymous pages of the test's own, of which some can be taken away.
struct Pages {
    start: *mut u8,
    len: usize,
}

impl Pages {
    fn new(len: usize) -> Self {
        let (protection, flags) =
            (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a new map at an address of the kernel's choice.
        let start = unsafe { libc::mmap(ptr::null_mut(), len, protection, flags, -1, 0) };
        assert_ne!(start, libc::MAP_FAILED);
        Self { start: start.cast(), len }
    }

    fn addr(&self, offset: usize) -> VirtAddr {
        VirtAddr::of(self.start.wrapping_add(offset).cast_const())
    }

    /// Forbids every access to the pages from `offset` on: as unmapped as can be without others moving in.
    fn protect(&self, offset: usize, protection: libc::c_int) {
        let start = self.start.wrapping_add(offset).cast();
        // SAFETY: the pages are this map's, and nobody holds references into them.
        let result = unsafe { libc::mprotect(start, self.len - offset, protection) };
        assert_eq!(result, 0);
    }

    fn unmap_from(&self, offset: usize) {
        let start = self.start.wrapping_add(offset).cast();
        // SAFETY: the pages are this map's, and nobody holds references into them.
        let result = unsafe { libc::munmap(start, self.len - offset) };
        assert_eq!(result, 0);
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        self.unmap_from(0);
    }
}

fn submit(runtime: &Runtime, job: Job) -> Result<Report, Error> {
    // SAFETY: the callers' memory is theirs alone or no memory at all, and stays so until this returns.
    let done = pollster::block_on(unsafe { runtime.submit_raw(job) });
    done.map(|(_, report)| report).map_err(|failed| failed.error)
}

fn assert_fault(result: Result<Report, Error>, wanted_access: Access, wanted: VirtAddr) {
    match result {
        Err(Error::Fault { access, addr, done: 0, .. }) => {
            assert_eq!((access, addr), (wanted_access, wanted))
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn address_without_memory_is_reported_by_page() {
    for runtime in [runtime(), runtime_with(never_inline())] {
        for len in [PAGE * 3, 8 << 20] {
            let (good, bad) = (Pages::new(len), Pages::new(len));
            let hole = len / 2 / PAGE * PAGE;
            bad.protect(hole, libc::PROT_NONE);
            let job = |src: &Pages, dst: &Pages| Job::Copy {
                src: src.addr(10),
                dst: dst.addr(10),
                len: len as u64 - 10,
            };
            assert_fault(submit(&runtime, job(&good, &bad)), Access::Write, bad.addr(hole));
            assert_fault(submit(&runtime, job(&bad, &good)), Access::Read, bad.addr(hole));
            let crc = Job::Crc { src: bad.addr(hole + 5), len: 100, crc: svala::Crc::CRC32C, seed: 0 };
            assert_fault(submit(&runtime, crc), Access::Read, bad.addr(hole + 5));
            let stream = Job::Inflate {
                src: Span::new(good.addr(0), len as u64),
                dst: Span::new(bad.addr(0), len as u64),
                check: Check::None,
            };
            assert_fault(submit(&runtime, stream), Access::Write, bad.addr(hole));
        }
    }
}

#[test]
fn destination_that_is_read_only_is_a_write_fault_and_untouched() {
    for runtime in [runtime(), runtime_with(never_inline())] {
        for len in [PAGE * 2, 4 << 20] {
            let dst = Pages::new(len);
            dst.protect(PAGE, libc::PROT_READ);
            let job = Job::Fill { dst: dst.addr(0), len: len as u64, pattern: u64::MAX };
            assert_fault(submit(&runtime, job), Access::Write, dst.addr(PAGE));
            let compare = Job::Compare { a: dst.addr(0), b: dst.addr(PAGE), len: (len - PAGE) as u64 };
            let report = submit(&runtime, compare).unwrap();
            assert_eq!(report.bytes, (len - PAGE) as u64, "both are zeros still");
        }
    }
}

#[test]
fn absurd_addresses_and_lengths_are_faults() {
    let runtime = runtime();
    let page = Pages::new(PAGE);
    let crc = |src, len| Job::Crc { src, len, crc: svala::Crc::CRC32C, seed: 0 };
    assert_fault(submit(&runtime, crc(VirtAddr::new(0), 1)), Access::Read, VirtAddr::new(0));
    assert_fault(submit(&runtime, crc(VirtAddr::new(u64::MAX), 1)), Access::Read, VirtAddr::new(u64::MAX));
    let fill = Job::Fill { dst: page.addr(7), len: u64::MAX, pattern: 0 };
    assert_fault(submit(&runtime, fill), Access::Write, page.addr(7));
}

#[test]
fn compression_onto_its_own_input_is_refused() {
    for runtime in [runtime(), runtime_with(never_inline())] {
        let page = Pages::new(PAGE * 4);
        let (src, dst) = (Span::new(page.addr(0), 8192), Span::new(page.addr(8000), 8192));
        let job = Job::Deflate { src, dst, level: 200, last: true, check: Check::None };
        assert_fault(submit(&runtime, job), Access::Write, dst.addr);
    }
}

/// Jobs on two ranges of a kibibyte, and the bytes of the second one.
fn jobs_that_write(src: VirtAddr, dst: VirtAddr) -> [Job; 7] {
    let (format, len) = (DifFormat::default(), 1024);
    let destination = DifDestination::default();
    [
        Job::Dualcast { src, dst, dst2: VirtAddr::new(1 << 40), len },
        Job::CopyCrc { src, dst, len, crc: Crc::CRC64, seed: 0 },
        Job::CreateDelta { a: VirtAddr::new(1 << 40), b: src, len, delta: Span::new(dst, 100) },
        Job::ApplyDelta { delta: Span::new(src, 1020), dst, len },
        Job::DifInsert { src, dst, len, format, destination },
        Job::DifStrip { src, dst, len: 1040, format, source: DifSource::default() },
        Job::DixGenerate { src, dst, len, format, destination },
    ]
}

#[test]
fn jobs_that_would_write_what_they_read_are_refused_untouched() {
    for runtime in [runtime(), runtime_with(never_inline())] {
        let page = Pages::new(PAGE);
        for job in jobs_that_write(page.addr(0), page.addr(1000)) {
            assert_fault(submit(&runtime, job), Access::Write, page.addr(1000));
        }
        let zeros = Job::ComparePattern { src: page.addr(0), len: PAGE as u64, pattern: 0 };
        assert_eq!(submit(&runtime, zeros).unwrap().bytes, PAGE as u64, "all zeros still");
    }
}

#[test]
fn sizes_that_do_not_fit_together_are_errors() {
    let runtime = runtime();
    let page = Pages::new(PAGE * 4);
    let (src, dst) = (page.addr(0), page.addr(2 * PAGE));
    let (format, source) = (DifFormat::default(), DifSource::default());
    let delta = Span::new(dst, 100);
    for job in [
        Job::DifCheck { src, len: 519, format, source },
        Job::DixGenerate { src, dst, len: 1023, format, destination: DifDestination::default() },
        Job::CreateDelta { a: src, b: src, len: 15, delta },
        Job::CreateDelta { a: src, b: src, len: (512 << 10) + 8, delta },
        Job::ApplyDelta { delta: Span::new(src, 15), dst, len: 16 },
        Job::ApplyDelta { delta: Span::new(src, 10), dst, len: 17 },
    ] {
        let error = submit(&runtime, job).unwrap_err();
        assert!(matches!(error, Error::Status { status: 0, done: 0, .. }), "{error}");
    }
    let absurd = Job::DifInsert { src, dst, len: u64::MAX, format, destination: DifDestination::default() };
    assert_fault(submit(&runtime, absurd), Access::Read, src);
}

#[test]
fn caches_and_translations_of_no_memory_are_faults() {
    for runtime in [runtime(), runtime_with(never_inline())] {
        let pages = Pages::new(8 * PAGE);
        pages.protect(5 * PAGE, libc::PROT_NONE);
        let (addr, len) = (pages.addr(10), 7 * PAGE as u64);
        for job in [Job::TranslationFetch { addr, len }, Job::CacheFlush { addr, len, drop: true }] {
            assert_fault(submit(&runtime, job), Access::Read, pages.addr(5 * PAGE));
        }
    }
}

/// Copies within `bytes` as the engine does, and as `Vec` does.
fn overlapping(runtime: &Runtime, mut bytes: Vec<u8>, from: usize, to: usize, len: usize) {
    let mut wanted = bytes.clone();
    wanted.copy_within(from..from + len, to);
    let start = bytes.as_mut_ptr();
    let at = |offset: usize| VirtAddr::of(start.wrapping_add(offset).cast_const());
    let report = submit(runtime, Job::Copy { src: at(from), dst: at(to), len: len as u64 }).unwrap();
    assert_eq!(report.bytes, len as u64);
    assert!(bytes == wanted, "{len} bytes from {from} to {to}");
}

#[test]
fn overlapping_copy_reads_the_source_before_writing() {
    for runtime in [runtime(), runtime_with(never_inline())] {
        for len in [1000, INLINE_BYTES + 1, (3 << 20) + 5] {
            for by in [0, 1, 64, 5000, len / 2, len - 1] {
                overlapping(&runtime, noise(len + by), 0, by, len);
                overlapping(&runtime, noise(len + by), by, 0, len);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn any_overlap_copies_like_a_vector(
        len in 1_usize..4 << 20,
        from in 0_usize..3 << 20,
        to in 0_usize..3 << 20,
    ) {
        thread_local! {
            static RUNTIME: Runtime = runtime_with(never_inline());
        }
        RUNTIME.with(|runtime| overlapping(runtime, noise(len + from.max(to)), from, to, len));
    }
}
