//! What does the runtime add to an operation, on a device that completes at once?
//!
//! Rival: the bare submit/poll loop on the same device: fill in a descriptor, clear the record, write the portal,
//! poll the record. The device moves no data, so what is left is the software's own. All figures are for 32
//! operations; divide by 32. The allocation columns must be absent: nothing is allocated in steady state.
//!
//! Run with `cargo bench -p svala-benches --bench overhead`.
#![expect(
    unsafe_code,
    reason = "the instant portal writes records through addresses: its contract is kept here"
)]

use std::future::Future;
use std::hint::black_box;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use divan::{AllocProfiler, Bencher};
use idxd_emu::{DeviceKind, InstantPortal, Submission};
use idxd_spec::{Descriptor, DstAddr, SrcAddr, Status};
use svala::{Batch, Group, GroupOptions, Grouped, Lent, MemberOutcome, Runtime};
use svala_idxd::{DsaQueue, DsaQueueConfig};

#[global_allocator]
static ALLOC: AllocProfiler = AllocProfiler::system();

/// Operations in one round.
const DEPTH: usize = 32;
/// Bytes of each.
const LEN: usize = 64;

fn main() {
    check();
    divan::main();
}

fn portal() -> InstantPortal {
    // SAFETY: records and lists of this file and of the driver live as long as their descriptors are under way,
    // which with this portal is until `submit` returns; both read records through atomics.
    unsafe { InstantPortal::new(DeviceKind::Dsa) }
}

fn runtime() -> Runtime {
    let config = DsaQueueConfig { name: "instant".into(), ..DsaQueueConfig::default() };
    let runtime = Runtime::builder().queue(DsaQueue::new(portal(), &config)).build();
    runtime.expect("a runtime needs a thread and an eventfd")
}

/// A source and a destination, of the kind that is two words to move.
fn buffers() -> (Box<[u8]>, Box<[u8]>) {
    (vec![1; LEN].into(), vec![0; LEN].into())
}

/// The path is the one that is meant to be measured, and a future is done when first polled.
fn check() {
    let runtime = runtime();
    let done = now(runtime.copy(vec![1; LEN], vec![2; LEN])).expect("completes");
    assert_eq!(done.report.path.to_string(), "emulated (instant)");
    assert_eq!(done.report.bytes, LEN as u64);
}

/// Polls a future that is ready. Inlined, as `await` is: the future is made where it is polled.
#[inline(always)]
fn now<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => unreachable!("the instant device has completed"),
    }
}

#[derive(Default)]
#[repr(C, align(64))]
struct Record([AtomicU64; 8]);

/// The bare loop, one operation after the other.
#[divan::bench]
fn bare_depth_1(bencher: Bencher) {
    let portal = portal();
    let record = Record::default();
    let (src, mut dst) = (vec![1_u8; LEN], vec![0_u8; LEN]);
    bencher.bench_local(|| {
        for _ in 0..DEPTH {
            submit(&portal, &src, &mut dst, &record);
            poll(&record);
        }
    });
}

/// The bare loop, 32 submitted before the first is polled.
#[divan::bench]
fn bare_depth_32(bencher: Bencher) {
    let portal = portal();
    let records: Vec<Record> = (0..DEPTH).map(|_| Record::default()).collect();
    let (src, mut dst) = (vec![1_u8; LEN], vec![0_u8; LEN]);
    bencher.bench_local(|| {
        for record in &records {
            submit(&portal, &src, &mut dst, record);
        }
        for record in &records {
            poll(record);
        }
    });
}

fn submit(portal: &InstantPortal, src: &[u8], dst: &mut [u8], record: &Record) {
    let src = black_box(src).as_ptr().expose_provenance() as u64;
    let dst = black_box(dst).as_mut_ptr().expose_provenance() as u64;
    let addr = (&raw const *record).expose_provenance() as u64;
    record.0[0].store(0, Ordering::Relaxed);
    let len = u32::try_from(LEN).expect("small");
    let descriptor = Descriptor::memmove(SrcAddr(src), DstAddr(dst), len).with_completion(addr);
    assert_eq!(portal.submit(&descriptor), Submission::Accepted);
}

fn poll(record: &Record) {
    loop {
        let status = record.0[0].load(Ordering::Acquire).to_le_bytes()[0];
        if status != 0 {
            assert_eq!(status, Status::SUCCESS.0);
            return;
        }
        std::hint::spin_loop();
    }
}

/// Awaited, one operation after the other.
#[divan::bench]
fn awaited_depth_1(bencher: Bencher) {
    let runtime = runtime();
    let mut buffers = Some(buffers());
    bencher.bench_local(|| {
        for _ in 0..DEPTH {
            let (src, dst) = buffers.take().expect("given back");
            buffers = Some(now(runtime.copy(src, dst)).expect("completes").buffers);
        }
    });
}

/// Awaited, 32 futures of which each is polled once: the device has completed by then.
#[divan::bench]
fn awaited_depth_32(bencher: Bencher) {
    let runtime = runtime();
    let mut buffers: Vec<_> = (0..DEPTH).map(|_| Some(buffers())).collect();
    bencher.bench_local(|| {
        let mut futures: [_; DEPTH] = std::array::from_fn(|i| {
            let (src, dst) = buffers[i].take().expect("given back");
            runtime.copy(src, dst)
        });
        for (future, place) in futures.iter_mut().zip(&mut buffers) {
            *place = Some(now(future).expect("completes").buffers);
        }
    });
}

/// Through the batch interface: 32 members, one descriptor list, one wake-up.
#[divan::bench]
fn batch_of_32(bencher: Bencher) {
    let runtime = runtime();
    let mut batch = Some(Batch::with_capacity(DEPTH));
    let mut buffers: Vec<_> = (0..DEPTH).map(|_| Some(buffers())).collect();
    bencher.bench_local(|| {
        let mut filled = batch.take().expect("given back");
        for place in &mut buffers {
            let (src, dst) = place.take().expect("given back");
            filled.copy(src, dst).expect("room");
        }
        let mut done = now(runtime.run_batch(filled)).expect("completes").buffers;
        let mut places = buffers.iter_mut();
        done.drain().for_each(|MemberOutcome { result, lent }| {
            let Lent::Copy(src, dst) = lent else { unreachable!("copies went in") };
            *places.next().expect("as many as went in") = Some((src, dst));
            assert!(result.is_ok());
        });
        batch = Some(done);
    });
}

/// Queued one by one and batched by the runtime: 32 jobs, whose results are taken a list at a time. The size is one that
/// is batched; with a device that moves nothing it costs nothing.
#[divan::bench]
fn grouped_32(bencher: Bencher) {
    let runtime = runtime();
    let mut group = Group::new(&runtime, GroupOptions::default());
    let mut buffers: Vec<_> = (0..DEPTH).map(|_| Some((kib(), kib()))).collect();
    bencher.bench_local(|| {
        for place in &mut buffers {
            let (src, dst) = place.take().expect("given back");
            group.copy(src, dst).expect("room");
        }
        let mut places = buffers.iter_mut();
        let list = now(group.next_list()).expect("a list").expect("answered");
        list.for_each(|MemberOutcome { result, lent }| {
            let Lent::Copy(src, dst) = lent else { unreachable!("copies went in") };
            *places.next().expect("as many as went in") = Some((src, dst));
            assert!(result.is_ok());
        });
        assert!(places.len() == 0 && group.is_empty());
    });
}

/// The same, with results taken one by one, each by a future of its own.
#[divan::bench]
fn grouped_32_one_by_one(bencher: Bencher) {
    let runtime = runtime();
    let mut group = Group::new(&runtime, GroupOptions::default());
    let mut buffers: Vec<_> = (0..DEPTH).map(|_| Some((kib(), kib()))).collect();
    bencher.bench_local(|| {
        for place in &mut buffers {
            let (src, dst) = place.take().expect("given back");
            group.copy(src, dst).expect("room");
        }
        for place in &mut buffers {
            let Grouped { result, lent, .. } = now(group.next()).expect("as many as went in");
            let Some(Lent::Copy(src, dst)) = lent else { unreachable!("copies went in") };
            *place = Some((src, dst));
            assert!(result.is_ok());
        }
        assert!(group.is_empty());
    });
}

fn kib() -> Box<[u8]> {
    vec![1; 1024].into()
}
