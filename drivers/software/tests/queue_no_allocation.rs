//! Nothing is allocated for an operation, on any thread. Alone in its file: the allocator counts for the process.
//
// UNSAFETY: an allocator that counts and passes everything on to the system's.
#![expect(unsafe_code, reason = "a counting allocator; see the UNSAFETY line")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use svala::{Batch, Check, DeflateOptions, Runtime};
use svala_software::{SoftwareConfig, SoftwareQueue};

static COUNT: AtomicUsize = AtomicUsize::new(0);

struct Counting;

// SAFETY: as `System`, which does all the work.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.fetch_add(1, Ordering::SeqCst);
        // SAFETY: the caller's contract is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller's contract is passed on.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

struct Buffers {
    a: Vec<u8>,
    b: Vec<u8>,
    room: Vec<u8>,
    batch: Batch<Vec<u8>, Vec<u8>>,
}

/// Every operation once, with the buffers of the last time.
async fn one_of_each(runtime: &Runtime, buffers: Buffers) -> Buffers {
    let Buffers { a, b, room, mut batch } = buffers;
    let a = runtime.fill(a, 0x0102_0304_0506_0708).await.unwrap().buffers;
    let (a, b) = runtime.copy(a, b).await.unwrap().buffers;
    let a = runtime.crc32c(a, 7).await.unwrap().buffers;
    let (a, b) = runtime.compare(a, b).await.unwrap().buffers;
    let options = DeflateOptions { check: Check::Crc32, ..DeflateOptions::default() };
    let (a, room) = runtime.deflate(a, room, options).await.unwrap().buffers;
    let (room, b) = runtime.inflate(room, b, Check::Adler32).await.unwrap().buffers;
    batch.copy(a, b).unwrap();
    let mut batch = runtime.run_batch(batch).await.unwrap().buffers;
    let Some(svala::Lent::Copy(a, b)) = batch.drain().map(|member| member.lent).next() else { panic!() };
    Buffers { a, b, room, batch }
}

const TRIES_MAX: usize = 5;

/// One test, so that nothing else allocates meanwhile.
#[test]
fn operations_allocate_nothing_after_start_up() {
    let config = SoftwareConfig { workers: 2, ..SoftwareConfig::default() };
    let queue = SoftwareQueue::new(config).unwrap();
    let runtime = Runtime::builder().queue(queue).build().unwrap();
    let executor = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for (len, rounds) in [(1000, 200), (3 << 20, 30)] {
        let mut buffers = Buffers {
            a: vec![0; len],
            b: vec![0; len],
            room: vec![0; svala_software::deflate_bound(len)],
            batch: Batch::with_capacity(1),
        };
        // Threads make their own arrangements the first time they sleep or are woken.
        for _ in 0..10 {
            buffers = executor.block_on(one_of_each(&runtime, buffers));
        }
        // The process has other threads, which may be setting themselves up still; what an operation allocates, it
        // allocates every time.
        let mut counts = Vec::with_capacity(TRIES_MAX);
        while counts.len() < TRIES_MAX && !counts.contains(&0) {
            let before = COUNT.load(Ordering::SeqCst);
            for _ in 0..rounds {
                buffers = executor.block_on(one_of_each(&runtime, buffers));
            }
            counts.push(COUNT.load(Ordering::SeqCst) - before);
        }
        assert!(counts.contains(&0), "allocations in {rounds} rounds of {len} bytes: {counts:?}");
    }
}
