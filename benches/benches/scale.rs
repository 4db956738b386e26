//! Is the runtime the limit when there are many devices?
//!
//! 1, 2, 4 and 8 devices that complete at once and move nothing, and as many threads as the machine has CPUs, each
//! submitting and awaiting 64-byte copies, one at a time. With devices that cost nothing, what is measured is the
//! runtime: what it can hand out in a second, and how that moves with devices and threads. The bare loop on one device for
//! each thread stands beside it. A run of its own, not under `divan`: what counts is the sum over threads.
//!
//! Run with `cargo bench -p svala-benches --bench scale`. No statement about hardware.
#![expect(
    unsafe_code,
    reason = "the instant portal writes records through addresses: its contract is kept here"
)]

use std::future::Future;
use std::pin::pin;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use idxd_emu::{DeviceKind, InstantPortal, Submission};
use idxd_spec::{Descriptor, DstAddr, SrcAddr};
use svala::{Group, GroupOptions, Lent, Runtime};
use svala_idxd::{DsaQueue, DsaQueueConfig};

/// Bytes of a copy.
const LEN: usize = 64;
/// How long one measurement takes.
const TIME: Duration = Duration::from_millis(300);
/// Measurements of each kind; the best counts, as the machine may have other work.
const RUNS: usize = 5;
/// Operations between two looks at the clock's flag.
const ROUND: u64 = 256;

fn main() {
    let threads_max = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    println!(
        "devices threads  awaited Mops/s  grouped Mops/s  bare Mops/s   (sums over threads, best of {RUNS})"
    );
    for threads in [1, threads_max] {
        let bare = best(threads, || (), bare);
        for devices in [1, 2, 4, 8] {
            let awaited = best(threads, || runtime(devices), awaited);
            let grouped = best(threads, || runtime(devices), grouped);
            println!("{devices:7} {threads:7}  {awaited:14.2}  {grouped:14.2}  {bare:11.2}");
        }
    }
}

fn portal() -> InstantPortal {
    // SAFETY: records and lists of this file and of the driver live as long as their descriptors are under way,
    // which with this portal is until `submit` returns; both read records through atomics.
    unsafe { InstantPortal::new(DeviceKind::Dsa) }
}

fn runtime(devices: usize) -> Runtime {
    let mut builder = Runtime::builder();
    for device in 0..devices {
        let config = DsaQueueConfig { name: format!("instant{device}"), ..DsaQueueConfig::default() };
        builder = builder.queue(DsaQueue::new(portal(), &config));
    }
    let runtime = builder.build().expect("a runtime needs a thread and an eventfd");
    check(&runtime, devices);
    runtime
}

/// Every device is used when there are threads enough.
fn check(runtime: &Runtime, devices: usize) {
    std::thread::scope(|scope| {
        for _ in 0..devices {
            scope.spawn(|| assert!(now(runtime.copy(vec![1; LEN], vec![2; LEN])).is_ok()));
        }
    });
    let used = runtime.snapshot().queues.iter().filter(|queue| queue.operations != 0).count();
    assert_eq!(used, devices, "threads that follow each other have devices that follow each other");
}

/// Millions of operations a second, over all threads.
fn best<C: Sync>(threads: usize, setup: impl Fn() -> C, body: fn(&C, &AtomicBool) -> u64) -> f64 {
    (0..RUNS).map(|_| measure(threads, &setup(), body)).fold(0.0, f64::max)
}

fn measure<C: Sync>(threads: usize, context: &C, body: fn(&C, &AtomicBool) -> u64) -> f64 {
    let (stop, operations) = (AtomicBool::new(false), AtomicU64::new(0));
    let start = Barrier::new(threads + 1);
    let mut elapsed = Duration::ZERO;
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    start.wait();
                    operations.fetch_add(body(context, &stop), Ordering::Relaxed);
                })
            })
            .collect();
        start.wait();
        let begun = Instant::now();
        std::thread::sleep(TIME);
        stop.store(true, Ordering::Relaxed);
        for worker in workers {
            worker.join().expect("a worker does not panic");
        }
        elapsed = begun.elapsed();
    });
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let operations = operations.into_inner() as f64;
    operations / elapsed.as_secs_f64() / 1e6
}

/// Polls a future that is ready.
#[inline(always)]
fn now<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => unreachable!("the instant device has completed"),
    }
}

/// One copy after the other.
fn awaited(runtime: &Runtime, stop: &AtomicBool) -> u64 {
    let (src, dst): (Box<[u8]>, Box<[u8]>) = (vec![1; LEN].into(), vec![0; LEN].into());
    let mut buffers = Some((src, dst));
    let mut operations = 0;
    while !stop.load(Ordering::Relaxed) {
        for _ in 0..ROUND {
            let (src, dst) = buffers.take().expect("given back");
            buffers = Some(now(runtime.copy(src, dst)).expect("completes").buffers);
        }
        operations += ROUND;
    }
    operations
}

/// Thirty-two copies at a time, in groups.
fn grouped(runtime: &Runtime, stop: &AtomicBool) -> u64 {
    let mut group = Group::new(runtime, GroupOptions::default());
    let mut buffers: Vec<_> =
        (0..32).map(|_| Some((Box::<[u8]>::from(vec![1; LEN]), Box::<[u8]>::from(vec![0; LEN])))).collect();
    let mut operations = 0;
    while !stop.load(Ordering::Relaxed) {
        for place in &mut buffers {
            let (src, dst) = place.take().expect("given back");
            group.copy(src, dst).expect("room");
        }
        for place in &mut buffers {
            let done = now(group.next()).expect("as many as went in");
            assert!(done.result.is_ok());
            let Some(Lent::Copy(src, dst)) = done.lent else { unreachable!("copies went in") };
            *place = Some((src, dst));
        }
        operations += 32;
    }
    operations
}

#[derive(Default)]
#[repr(C, align(64))]
struct Record([AtomicU64; 8]);

/// The bare loop, on a device of the thread's own.
fn bare((): &(), stop: &AtomicBool) -> u64 {
    let (portal, record) = (portal(), Record::default());
    let (src, mut dst) = (vec![1_u8; LEN], vec![0_u8; LEN]);
    let mut operations = 0;
    while !stop.load(Ordering::Relaxed) {
        for _ in 0..ROUND {
            let src = std::hint::black_box(&src).as_ptr().expose_provenance() as u64;
            let dst = std::hint::black_box(&mut dst).as_mut_ptr().expose_provenance() as u64;
            let addr = (&raw const record).expose_provenance() as u64;
            record.0[0].store(0, Ordering::Relaxed);
            let len = u32::try_from(LEN).expect("small");
            let descriptor = Descriptor::memmove(SrcAddr(src), DstAddr(dst), len).with_completion(addr);
            assert_eq!(portal.submit(&descriptor), Submission::Accepted);
            while record.0[0].load(Ordering::Acquire).to_le_bytes()[0] == 0 {
                std::hint::spin_loop();
            }
        }
        operations += ROUND;
    }
    operations
}
