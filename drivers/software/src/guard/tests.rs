//! Real maps of real files, truncated. What must kill the process is tried in a forked child.

#![expect(clippy::single_range_in_vec_init, reason = "a list of ranges may have one")]

use std::fs::File;
use std::os::fd::AsRawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::Barrier;
use std::thread;

use super::*;
use crate::{copy, copy_within, crc32c};

const PAGE: usize = 4096;

/// A shared map of a file, all of it bytes that are not zero.
pub(crate) struct Map {
    file: File,
    addr: usize,
    len: usize,
}

impl Map {
    pub(crate) fn new(len: usize) -> Self {
        Self::with_protection(len, libc::PROT_READ | libc::PROT_WRITE)
    }

    pub(crate) fn with_protection(len: usize, protection: libc::c_int) -> Self {
        let file = tempfile::tempfile().unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, &vec![0x55; len], 0).unwrap();
        let fd = file.as_raw_fd();
        // SAFETY: a new map at an address of the kernel's choice.
        let addr = unsafe { libc::mmap(ptr::null_mut(), len, protection, libc::MAP_SHARED, fd, 0) };
        assert_ne!(addr, libc::MAP_FAILED, "{}", std::io::Error::last_os_error());
        Self { file, addr: addr.expose_provenance(), len }
    }

    pub(crate) fn truncate(&self, len: usize) {
        self.file.set_len(len as u64).unwrap();
    }

    /// Unmaps some of it. For a child process: in this one another test's map could take the place.
    pub(crate) fn cut(&self, part: Range<usize>) {
        // SAFETY: the part is the map's, and no slice of it is alive in the test that cuts.
        unsafe { libc::munmap(ptr::with_exposed_provenance_mut(self.addr + part.start), part.len()) };
    }

    pub(crate) fn range(&self) -> Range<usize> {
        self.addr..self.addr + self.len
    }

    fn part(&self, part: Range<usize>) -> Range<usize> {
        self.addr + part.start..self.addr + part.end
    }

    fn slice(&self, part: Range<usize>) -> &[u8] {
        assert!(part.end <= self.len);
        // SAFETY: mapped while `self` lives.
        unsafe {
            std::slice::from_raw_parts(ptr::with_exposed_provenance(self.addr + part.start), part.len())
        }
    }

    #[expect(clippy::mut_from_ref, reason = "a test takes one at a time")]
    fn slice_mut(&self, part: Range<usize>) -> &mut [u8] {
        assert!(part.end <= self.len);
        let start = ptr::with_exposed_provenance_mut(self.addr + part.start);
        // SAFETY: mapped while `self` lives, and the only slice at the time.
        unsafe { std::slice::from_raw_parts_mut(start, part.len()) }
    }

    fn all(&self) -> &[u8] {
        self.slice(0..self.len)
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        self.cut(0..self.len);
    }
}

/// The ranges of a test are its own maps, which nobody else relies on.
fn guarding<T>(ranges: &[Range<usize>], work: impl FnOnce() -> T) -> Result<T, Vanished> {
    // SAFETY: as above.
    unsafe { guarded(ranges, work) }
}

/// Runs `body` in a child process and returns its wait status. The child neither allocates nor returns.
pub(crate) fn in_child(body: impl FnOnce()) -> libc::c_int {
    install_in_parent();
    // SAFETY: the child only runs `body` and leaves without unwinding or running exit handlers.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        // SAFETY: keeps the death it is made for from leaving a core file.
        unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0) };
        body();
        // SAFETY: ends the child.
        unsafe { libc::_exit(0) };
    }
    assert!(pid > 0, "fork: {}", std::io::Error::last_os_error());
    let mut status = 0;
    // SAFETY: waits for the child of three lines up.
    let waited = unsafe { libc::waitpid(pid, &mut status, 0) };
    assert_eq!(waited, pid);
    status
}

/// `OnceLock` and the boxes of the handler are not for a forked child.
fn install_in_parent() {
    assert_eq!(guarding(&[0..1], || 7), Ok(7));
}

fn killed_by_sigbus(status: libc::c_int) -> bool {
    libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGBUS
}

fn touch(map: &Map, at: usize) -> u8 {
    std::hint::black_box(map.slice(at..at + 1))[0]
}

#[test]
fn work_on_memory_that_stays_is_not_touched() {
    let map = Map::new(8 * PAGE);
    let crc = crc32c(0, &vec![0x55; 8 * PAGE]);
    assert_eq!(guarding(&[map.range()], || crc32c(0, map.all())), Ok(crc));
    let heap = [1_u8; 100];
    let range = heap.as_ptr_range();
    assert_eq!(guarding(&[range.start.addr()..range.end.addr()], || heap[99]), Ok(1));
    assert_eq!(guarding(&[], || 3), Ok(3));
}

#[test]
fn crc_of_a_truncated_map_reports_the_first_page_gone() {
    let map = Map::new(64 * PAGE);
    map.truncate(10 * PAGE);
    let error = guarding(&[map.range()], || crc32c(0, map.all())).unwrap_err();
    assert_eq!(page::floor(error.addr), map.addr + 10 * PAGE, "{error}");
    assert!(map.slice(0..10 * PAGE).iter().all(|&byte| byte == 0x55), "what is there stays");
    assert!(map.slice(10 * PAGE..64 * PAGE).iter().all(|&byte| byte == 0), "what is gone is zero");
}

#[test]
fn copy_into_a_truncated_map_reports_it() {
    let map = Map::new(64 * PAGE);
    map.truncate(PAGE);
    let src = vec![9; 64 * PAGE];
    let error = guarding(&[map.range()], || copy(&src, map.slice_mut(0..64 * PAGE))).unwrap_err();
    assert!(map.part(PAGE..64 * PAGE).contains(&error.addr), "{error}");
}

/// The file shrinks while other threads are reading it, over and over.
#[test]
fn truncation_in_the_middle_of_the_work_is_survived() {
    let map = Map::new(16 << 20);
    let done = std::sync::atomic::AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let result = guarding(&[map.range()], || crc32c(0, map.all()));
                if result.is_err() {
                    done.store(true, Ordering::Relaxed);
                }
            }
        });
        scope.spawn(|| map.truncate(3 * PAGE));
    });
}

/// Counts signals by the entries they make; other tests may add theirs, hence the slack.
#[test]
fn large_map_takes_few_signals_in_either_direction() {
    let len = 256 << 20;
    for backwards in [false, true] {
        let file = tempfile::tempfile().unwrap();
        file.set_len(len as u64).unwrap();
        // SAFETY: a new map at an address of the kernel's choice.
        let addr = unsafe {
            libc::mmap(ptr::null_mut(), len, libc::PROT_READ, libc::MAP_SHARED, file.as_raw_fd(), 0)
        };
        assert_ne!(addr, libc::MAP_FAILED);
        let large = Map { file, addr: addr.expose_provenance(), len };
        large.truncate(0);
        let before = loss::now();
        let pages = 0..len / PAGE;
        let result = guarding(&[large.range()], || {
            if backwards {
                pages.rev().for_each(|page| assert_eq!(touch(&large, page * PAGE), 0));
            } else {
                pages.for_each(|page| assert_eq!(touch(&large, page * PAGE), 0));
            }
        });
        let first = if backwards { len - PAGE } else { 0 };
        assert_eq!(result, Err(Vanished { addr: large.addr + first }));
        let signals = loss::now() - before;
        assert!(signals < 200, "{signals} signals, backwards: {backwards}");
    }
}

#[test]
fn overlapping_move_that_runs_backwards_is_survived() {
    let map = Map::new(256 * PAGE);
    map.truncate(100 * PAGE);
    let memory = map.slice_mut(0..256 * PAGE);
    let result = guarding(&[map.range()], || copy_within(memory, 0..200 * PAGE, 17 * PAGE));
    assert!(result.is_err());
}

/// The range begins and ends inside pages; what the map holds on either side of those pages stays.
#[test]
fn pages_outside_the_range_are_left_alone() {
    let map = Map::new(64 * PAGE);
    map.truncate(20 * PAGE);
    let part = 20 * PAGE + 100..30 * PAGE + 100;
    let result = guarding(&[map.part(part.clone())], || crc32c(0, map.slice(part.clone())));
    assert_eq!(result, Err(Vanished { addr: map.addr + part.start }));
    assert!(!page::is_lost(map.addr + 30 * PAGE), "partly in the range and read");
    assert!(page::is_lost(map.addr + 31 * PAGE), "not in the range");
    // The pages inside the file were replaced by nothing: a write through the file shows in the map.
    std::os::unix::fs::FileExt::write_all_at(&map.file, &[0x66], 19 * PAGE as u64).unwrap();
    assert_eq!(touch(&map, 19 * PAGE), 0x66);
}

/// One page is gone, the next has come back: escalation looks before it takes.
#[test]
fn pages_that_are_there_are_not_replaced() {
    let map = Map::new(16 * PAGE);
    map.truncate(0);
    let result = guarding(&[map.range()], || {
        touch(&map, 0);
        map.truncate(16 * PAGE);
        (1..16).for_each(|page| {
            touch(&map, page * PAGE);
        });
    });
    assert_eq!(result, Err(Vanished { addr: map.addr }));
    std::os::unix::fs::FileExt::write_all_at(&map.file, &[0x66; 2 * PAGE], 0).unwrap();
    assert_eq!((touch(&map, 0), touch(&map, PAGE)), (0, 0x66));
}

#[test]
fn read_only_map_is_replaced_too() {
    let map = Map::with_protection(4 * PAGE, libc::PROT_READ);
    map.truncate(PAGE);
    assert!(guarding(&[map.range()], || crc32c(0, map.all())).is_err());
}

#[test]
fn the_range_that_vanished_among_several_is_found() {
    let (src, dst) = (Map::new(8 * PAGE), Map::new(8 * PAGE));
    dst.truncate(0);
    let ranges = [src.range(), dst.range()];
    let error = guarding(&ranges, || copy(src.all(), dst.slice_mut(0..8 * PAGE))).unwrap_err();
    assert!(dst.range().contains(&error.addr));
}

#[test]
fn outer_guard_of_the_same_memory_reports_too() {
    let map = Map::new(8 * PAGE);
    map.truncate(4 * PAGE);
    let mut inner = Ok(0);
    let outer = guarding(&[map.range()], || {
        inner = guarding(&[map.part(4 * PAGE..8 * PAGE)], || touch(&map, 5 * PAGE));
    });
    assert_eq!(inner, Err(Vanished { addr: map.addr + 5 * PAGE }));
    assert_eq!(outer, Err(Vanished { addr: map.addr + 5 * PAGE }));
}

#[test]
fn inner_guard_leaves_other_memory_to_the_outer_one() {
    let (outer_map, inner_map) = (Map::new(4 * PAGE), Map::new(4 * PAGE));
    outer_map.truncate(0);
    let mut inner = Err(Vanished { addr: 0 });
    let outer = guarding(&[outer_map.range()], || {
        inner = guarding(&[inner_map.range()], || touch(&outer_map, 0) + touch(&inner_map, 0));
    });
    assert_eq!(inner, Ok(0x55));
    assert_eq!(outer, Err(Vanished { addr: outer_map.addr }));
}

#[test]
fn two_threads_lose_each_their_own() {
    let maps = [Map::new(64 * PAGE), Map::new(64 * PAGE), Map::new(64 * PAGE)];
    maps[0].truncate(PAGE);
    maps[1].truncate(2 * PAGE);
    let barrier = Barrier::new(3);
    let run = &|map: &Map| {
        barrier.wait();
        guarding(&[map.range()], || crc32c(0, map.all()))
    };
    let [first, second, third] = thread::scope(|scope| {
        let threads = maps.each_ref().map(|map| scope.spawn(move || run(map)));
        threads.map(|thread| thread.join().unwrap())
    });
    assert_eq!(page::floor(first.unwrap_err().addr), maps[0].addr + PAGE);
    assert_eq!(page::floor(second.unwrap_err().addr), maps[1].addr + 2 * PAGE);
    assert!(third.is_ok());
}

/// The second thread gets no signal: it reads the zeros the first one's signal put there.
#[test]
fn thread_that_reads_zeros_of_another_threads_loss_reports_it() {
    let map = Map::new(2 * PAGE);
    map.truncate(0);
    let (before, after) = (Barrier::new(2), Barrier::new(2));
    let results = thread::scope(|scope| {
        let loser = scope.spawn(|| {
            before.wait();
            let result = guarding(&[map.part(0..100)], || touch(&map, 0));
            after.wait();
            result
        });
        let reader = scope.spawn(|| {
            guarding(&[map.part(200..300)], || {
                before.wait();
                after.wait();
                touch(&map, 250)
            })
        });
        [loser.join().unwrap(), reader.join().unwrap()]
    });
    assert_eq!(results, [Err(Vanished { addr: map.addr }), Err(Vanished { addr: map.addr + 200 })]);
}

#[test]
fn errno_survives_a_fault() {
    let map = Map::new(4 * PAGE);
    map.truncate(0);
    let mut errno = 0;
    let result = guarding(&[map.range()], || {
        nix::errno::Errno::set_raw(4711);
        (0..4).for_each(|page| {
            touch(&map, page * PAGE);
        });
        errno = nix::errno::Errno::last_raw();
    });
    assert!(result.is_err());
    assert_eq!(errno, 4711);
}

#[test]
fn fault_outside_any_guard_kills() {
    let map = Map::new(PAGE);
    map.truncate(0);
    assert!(killed_by_sigbus(in_child(|| {
        touch(&map, 0);
    })));
}

#[test]
fn fault_outside_the_guarded_range_kills() {
    let map = Map::new(4 * PAGE);
    map.truncate(0);
    assert!(killed_by_sigbus(in_child(|| {
        let _ = guarding(&[map.part(0..PAGE)], || touch(&map, PAGE));
    })));
    assert_eq!(in_child(|| assert!(guarding(&[map.part(0..PAGE)], || touch(&map, PAGE - 1)).is_err())), 0);
}

#[test]
fn guard_ends_with_its_work_and_with_a_panic() {
    let map = Map::new(2 * PAGE);
    map.truncate(0);
    let panic = catch_unwind(AssertUnwindSafe(|| guarding(&[map.range()], || panic!("on purpose"))));
    assert!(panic.is_err());
    assert!(INNERMOST.get().is_null());
    assert!(killed_by_sigbus(in_child(|| {
        touch(&map, 0);
    })));
    assert!(guarding(&[map.range()], || touch(&map, 0)).is_err());
    assert!(killed_by_sigbus(in_child(|| {
        touch(&map, PAGE);
    })));
}

#[test]
fn signal_that_was_sent_kills_even_under_a_guard() {
    let map = Map::new(PAGE);
    let status = in_child(|| {
        // SAFETY: sends this process the signal, once or, as the runtime's own handler wants it, twice.
        let raise = || unsafe { libc::raise(libc::SIGBUS) };
        let _ = guarding(&[map.range()], || raise() + raise());
    });
    assert!(killed_by_sigbus(status));
}
