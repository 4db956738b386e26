//! Operations on no data: nothing at all, waiting for what was before, caches, and pages made present.
//!
//! UNSAFETY: asks the kernel which pages are there, reads the processor's clock, and looks at memory of jobs under way.
#![expect(unsafe_code, reason = "mincore, RDTSC and memory while it is lent are the oracles")]

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use svala::backend::{Notifier, Polled, Queue, Submission, Submitted};
use svala::{Crc, Error, FileMap, IoBuf, Job, Operation, Runtime, VirtAddr};
use svala_software::{CacheLines, SoftwareConfig, SoftwareFlight, SoftwareQueue};

use super::{Counted, INLINE_BYTES, never_inline, noise, runtime, runtime_with};

fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    std::pin::Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn noop_is_done_at_once_even_where_nothing_else_is() {
    for runtime in [runtime(), runtime_with(never_inline())] {
        assert!(poll_once(&mut runtime.noop()).is_ready());
    }
}

#[test]
fn drain_of_an_idle_queue_is_done_at_once() {
    let runtime = runtime_with(never_inline());
    assert!(poll_once(&mut runtime.drain()).is_ready());
    pollster::block_on(runtime.copy(noise(1 << 20), noise(1 << 20))).unwrap();
    // The copy is known to be over a moment before the queue has left it behind.
    pollster::block_on(runtime.drain()).unwrap();
}

/// Jobs of all sizes; then a drain; then every job's destination must have been written. The memory is looked at and not
/// the futures: another thread may be about to hand them their results.
#[test]
fn drain_ends_when_everything_before_it_has() {
    let runtime = runtime_with(SoftwareConfig { workers: 3, ..never_inline() });
    for round in 0..30_usize {
        let mut buffers: Vec<_> = (0..12_usize)
            .map(|i| noise(1 + (i * 7919 + round * 104_729) % (3 << 20)))
            .map(|src| (vec![0_u8; src.len()], src))
            .collect();
        let mut copies: Vec<_> = buffers
            .iter_mut()
            .map(|(dst, src)| {
                let job = Job::Copy {
                    src: VirtAddr::of(src.as_ptr()),
                    dst: VirtAddr::of(dst.as_mut_ptr().cast_const()),
                    len: src.len() as u64,
                };
                // SAFETY: the buffers are not used before the job is over, but for the look after the drain.
                Box::pin(unsafe { runtime.submit_raw(job) })
            })
            .collect();
        copies.retain_mut(|copy| poll_once(copy).is_pending());
        pollster::block_on(runtime.drain()).unwrap();
        let is_written = |(dst, src): &(Vec<u8>, Vec<u8>)| {
            (0..src.len()).all(|i| {
                let byte = dst.as_ptr().wrapping_add(i);
                // SAFETY: within the destination, which nobody writes any more if the drain keeps its promise.
                src[i] == unsafe { byte.read_volatile() }
            })
        };
        let written = buffers.iter().filter(|pair| is_written(pair)).count();
        for copy in copies {
            pollster::block_on(copy).unwrap();
        }
        assert_eq!(written, 12, "of 12 destinations when the drain was over, in round {round}");
    }
}

/// A worker that stops where it tells of a job that is over, until it is let on. What comes behind a drain cannot be done
/// meanwhile.
struct Held {
    queue: SoftwareQueue,
    told: Receiver<()>,
    go_on: SyncSender<()>,
}

impl Held {
    fn new() -> Self {
        let queue = SoftwareQueue::new(SoftwareConfig { workers: 1, ..never_inline() }).unwrap();
        let (tell, told) = sync_channel(0);
        let (go_on, wait) = sync_channel(0);
        let wait = Mutex::new(wait);
        // Both fail only when the test is over.
        queue.attach(Notifier::new(move || {
            let _ = tell.send(());
            let _ = wait.lock().unwrap().recv();
        }));
        Self { queue, told, go_on }
    }

    fn submit(&self, job: &Job) -> SoftwareFlight {
        let flight = self.queue.flight();
        // SAFETY: the flight is new, and the jobs here read a static or nothing.
        let submitted = unsafe { self.queue.submit(&flight, job, Submission::default()) };
        assert!(matches!(submitted, Ok(Submitted::Flying)));
        flight
    }

    fn is_over(&self, flight: &SoftwareFlight) -> bool {
        matches!(self.queue.poll(flight, &mut []), Polled::Done(Ok(_)))
    }

    /// Waits until the worker has told of a job.
    fn wait(&self) {
        self.told.recv_timeout(Duration::from_secs(60)).unwrap();
    }
}

#[test]
fn drain_does_not_wait_for_what_comes_after_it() {
    static DATA: [u8; 64] = [7; 64];
    let sum = Job::Crc { src: VirtAddr::of(DATA.as_ptr()), len: 64, crc: Crc::CRC32C, seed: 0 };
    let held = Held::new();
    let first = held.submit(&sum);
    held.wait();
    // The worker stands behind the first one: the next three are in line when it goes on.
    let before = held.submit(&sum);
    let drain = held.submit(&Job::Drain);
    let behind = held.submit(&sum);
    assert!(held.is_over(&first) && !held.is_over(&before) && !held.is_over(&drain));
    held.go_on.send(()).unwrap();
    held.wait();
    assert!(held.is_over(&before) && held.is_over(&drain), "what the drain waits for is over");
    assert!(!held.is_over(&behind), "nobody can have done it");
    held.go_on.send(()).unwrap();
    held.wait();
    assert!(held.is_over(&behind));
    let Held { queue, told, go_on } = held;
    drop((told, go_on));
    drop(queue);
}

#[test]
fn drains_behind_dropped_jobs_and_other_drains_end() {
    let alive = Arc::new(AtomicUsize::new(0));
    let runtime = runtime_with(SoftwareConfig { depth: 16, ..never_inline() });
    let pool = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    pool.block_on(async {
        let tasks: Vec<_> = (0..8_usize)
            .map(|task| {
                let (runtime, alive) = (runtime.clone(), Arc::clone(&alive));
                tokio::spawn(async move {
                    for round in 0..50 {
                        let len = 100_000 * ((task + round) % 9 + 1);
                        let (src, dst) =
                            (Counted::new(noise(len), &alive), Counted::new(vec![0; len], &alive));
                        let mut copy = runtime.copy(src, dst);
                        if round % 3 == 0 {
                            let _ = poll_once(&mut copy);
                            drop(copy);
                        } else {
                            copy.await.unwrap();
                        }
                        runtime.drain().await.unwrap();
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
    assert_eq!(runtime.shutdown().unanswered, 0);
    drop(runtime);
    assert_eq!(alive.load(Ordering::SeqCst), 0, "buffers alive");
}

#[test]
fn every_operation_is_offered_and_flushing_where_the_processor_can() {
    let queue = SoftwareQueue::new(SoftwareConfig::default()).unwrap();
    let offered = queue.capabilities().operations;
    for operation in Operation::ALL {
        let wanted = operation != Operation::CacheFlush || CacheLines::detect().is_some();
        assert_eq!(offered.contains(operation), wanted, "{operation}");
    }
    let flags = std::fs::read_to_string("/proc/cpuinfo").unwrap();
    let has_clflush = flags.split_ascii_whitespace().any(|flag| flag == "clflush");
    assert_eq!(CacheLines::detect().is_some(), has_clflush, "the kernel's opinion");
}

/// Needs `CLFLUSH`, which every x86-64 has.
#[cfg(target_arch = "x86_64")]
#[test]
fn flushed_memory_keeps_its_contents() {
    for runtime in [runtime(), runtime_with(never_inline())] {
        for len in [0, 1, 63, 64, 65, 4097, INLINE_BYTES + 1, (2 << 20) + 1] {
            let done = pollster::block_on(runtime.cache_flush(noise(len))).unwrap();
            let done = pollster::block_on(runtime.cache_write_back(done.buffers)).unwrap();
            assert!(done.buffers == noise(len), "{len} bytes");
            assert_eq!(done.report.bytes, len as u64);
        }
    }
}

/// Ticks that reading each line of `data` takes, of most lines.
#[cfg(target_arch = "x86_64")]
fn ticks_per_line(data: &[u8]) -> u64 {
    use std::arch::x86_64::{__rdtscp, _mm_lfence};
    let mut ticks: Vec<u64> = (0..data.len() / 64)
        .map(|i| {
            // Far from each other, so that nothing is fetched ahead.
            let line = &data[i * 977 % (data.len() / 64) * 64];
            let mut cpu = 0;
            // SAFETY: waits for the loads before it.
            unsafe { _mm_lfence() };
            // SAFETY: reads the clock, and `cpu` is a place to write to.
            let before = unsafe { __rdtscp(&raw mut cpu) };
            std::hint::black_box(*std::hint::black_box(line));
            // SAFETY: as above.
            let after = unsafe { __rdtscp(&raw mut cpu) };
            after.wrapping_sub(before)
        })
        .collect();
    ticks.sort_unstable();
    ticks[ticks.len() / 2]
}

/// Nothing but time shows where a line is. The machine may be busy with something else, which makes cached lines slow, too:
/// seen once is enough. Without the flush it is never seen.
#[cfg(target_arch = "x86_64")]
#[test]
#[ignore = "tells by the clock: run it on a machine that does nothing else"]
fn flushed_lines_are_out_of_the_caches() {
    let runtime = runtime();
    let mut data = noise(64 << 10);
    let seen = (0..50).any(|_| {
        let _ = ticks_per_line(&data);
        let cached = ticks_per_line(&data);
        data = pollster::block_on(runtime.cache_flush(std::mem::take(&mut data))).unwrap().buffers;
        ticks_per_line(&data) > 2 * cached
    });
    assert!(seen, "reading what was flushed takes no longer than reading what is cached");
}

/// Pages of `buffer` that the kernel says are not there.
fn absent(buffer: &[u8]) -> usize {
    let start = buffer.as_ptr().addr() & !4095;
    let len = buffer.as_ptr().addr() + buffer.len() - start;
    let mut pages = vec![0_u8; len.div_ceil(4096)];
    // SAFETY: the kernel writes a byte for each page of the range, which is what `pages` has.
    let result = unsafe { libc::mincore(std::ptr::without_provenance_mut(start), len, pages.as_mut_ptr()) };
    assert_eq!(result, 0);
    pages.iter().filter(|page| *page & 1 == 0).count()
}

#[test]
fn fetched_pages_are_there() {
    for runtime in [runtime(), runtime_with(never_inline())] {
        for len in [5000, INLINE_BYTES, (9 << 20) + 1] {
            // Not from the allocator's leftovers: a map of its own, and nobody has touched it.
            let file = tempfile::tempfile().unwrap();
            file.set_len(len as u64).unwrap();
            let map = FileMap::open(&file).unwrap();
            assert!(absent(map.bytes()) > 0, "{len} bytes of holes");
            let done = pollster::block_on(runtime.translation_fetch(map)).unwrap();
            assert_eq!(absent(done.buffers.bytes()), 0, "{len} bytes");
            assert_eq!(done.report.bytes, len as u64);
        }
    }
}

fn assert_fetch_vanishes(runtime: &Runtime, len: u64) {
    let file = tempfile::tempfile().unwrap();
    file.set_len(len).unwrap();
    let map = FileMap::open(&file).unwrap();
    file.set_len(len / 2).unwrap();
    let span = map.span();
    let failed = pollster::block_on(runtime.translation_fetch(map)).unwrap_err();
    let Error::Vanished { addr, .. } = failed.error else { panic!("{failed}") };
    assert_eq!(addr.get(), (span.addr.get() + len / 2).next_multiple_of(4096), "the first page that is gone");
    assert!(failed.buffers.is_some());
}

#[test]
fn fetch_of_a_truncated_map_says_which_page_is_gone() {
    for runtime in [runtime(), runtime_with(never_inline())] {
        assert_fetch_vanishes(&runtime, 3 * 4096);
        assert_fetch_vanishes(&runtime, 100_000);
        assert_fetch_vanishes(&runtime, (6 << 20) + 5);
    }
}
