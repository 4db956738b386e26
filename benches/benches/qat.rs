//! What does the QAT driver cost for a request, on a device that answers at once?
//!
//! Rival: the bare loop on the same device: fill a message into the ring, write the tail once for all, read the answers, write
//! the signature back. The device moves no data. All figures are for 32 requests; divide by 32. The allocation columns must
//! be absent: nothing is allocated in steady state.
//!
//! Run with `cargo bench -p svala-benches --bench qat`.
#![expect(
    unsafe_code,
    reason = "jobs are submitted to the queue itself, and the bare loop has rings of its own"
)]

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};

use divan::{AllocProfiler, Bencher};
use qat_emu::{InstantDevice, Region};
use qat_spec::ring::{EMPTY_WORD, Register, RingSize};
use qat_spec::{Command, Compress, ConfigWords, Depth, Generation, Request, Response, Status};
use svala::backend::{Member, Polled, Queue, Submission, Submitted};
use svala::{Check, DeflateOptions, Done, IoBuf, IoBufMut, Job, Runtime, Value, block_on};
use svala_qat::{ArenaBuf, InstantFunction, QatFlight, QatQueue, QatQueueConfig};

#[global_allocator]
static ALLOC: AllocProfiler = AllocProfiler::system();

/// Requests in one round.
const DEPTH: usize = 32;
/// Bytes of each.
const LEN: usize = 4096;

fn main() {
    check();
    divan::main();
}

fn queue() -> QatQueue {
    InstantFunction::queue(QatQueueConfig { name: "instant".into(), ..QatQueueConfig::default() })
        .expect("a thread and an eventfd")
}

/// Memory the function reaches: what is measured is the way without copies.
fn buffers(queue: &QatQueue) -> (ArenaBuf, ArenaBuf) {
    let arena = queue.arena();
    (arena.allocate(LEN).expect("room"), arena.allocate(LEN).expect("room"))
}

fn job(src: &ArenaBuf, dst: &mut ArenaBuf) -> Job {
    Job::Deflate { src: src.span(), dst: dst.span_mut(), level: 6, last: true, check: Check::Crc32 }
}

/// The answers are those of the device, and one tail is written for a batch.
fn check() {
    let queue = queue();
    let (src, mut dst) = buffers(&queue);
    let flight = queue.flight();
    let mut members = vec![Member { job: job(&src, &mut dst), result: None }; DEPTH];
    round(&queue, &flight, &mut members);
    for member in &members {
        let Some(Ok(Done { bytes, value: Value::Deflate { written: 2, .. } })) = member.result else {
            panic!("{member:?}")
        };
        assert_eq!(bytes, LEN as u64);
    }
    let stats = queue.stats();
    assert_eq!((stats.requests, stats.tail_writes, stats.bounced_bytes), (DEPTH as u64, 1, 0), "{stats:?}");
}

fn round(queue: &QatQueue, flight: &QatFlight, members: &mut [Member]) {
    // SAFETY: the flight is idle: it is polled to its end below, before anything else; the members' memory is the arena's,
    // held by the caller, and the device writes none of it.
    let submitted = unsafe { queue.submit_batch(flight, members, Submission::default()) };
    assert_eq!(submitted, Ok(Submitted::Flying));
    while !matches!(queue.poll(flight, members), Polled::Done(_)) {}
}

/// The driver, by batches of 32 with one write of the tail.
#[divan::bench]
fn driver_batch_32(bencher: Bencher) {
    let queue = queue();
    let (src, mut dst) = buffers(&queue);
    let flight = queue.flight();
    let member = Member { job: job(&src, &mut dst), result: None };
    let mut members = vec![member; DEPTH];
    bencher.bench_local(|| {
        members.fill(black_box(member));
        round(&queue, &flight, &mut members);
    });
}

/// The driver, one request after the other.
#[divan::bench]
fn driver_alone_32(bencher: Bencher) {
    let queue = queue();
    let (src, mut dst) = buffers(&queue);
    let flight = queue.flight();
    let job = job(&src, &mut dst);
    bencher.bench_local(|| {
        for _ in 0..DEPTH {
            // SAFETY: as in `round`.
            let submitted = unsafe { queue.submit(&flight, black_box(&job), Submission::default()) };
            assert_eq!(submitted, Ok(Submitted::Flying));
            while !matches!(queue.poll(&flight, &mut []), Polled::Done(Ok(_))) {}
        }
    });
}

/// The runtime above it, one awaited operation after the other.
#[divan::bench]
fn awaited_32(bencher: Bencher) {
    let queue = queue();
    let mut buffers = Some(buffers(&queue));
    let runtime = Runtime::builder().queue(queue).build().expect("a thread and an eventfd");
    let options = DeflateOptions { level: 6, last: true, check: Check::Crc32 };
    bencher.bench_local(|| {
        for _ in 0..DEPTH {
            let (src, dst) = buffers.take().expect("back from the last");
            let done = block_on(runtime.deflate(src, dst, options)).expect("answers");
            buffers = Some(done.buffers);
        }
    });
}

/// Memory of a ring, aligned to its size.
#[repr(C, align(4096))]
struct Ring<const N: usize>([AtomicU64; N]);

/// The bare loop: messages, one write of the tail, answers.
#[divan::bench]
fn bare_batch_32(bencher: Bencher) {
    const MESSAGES: usize = 128;
    let requests =
        Box::new(Ring::<{ MESSAGES * Request::WORDS }>(std::array::from_fn(|_| AtomicU64::new(0))));
    let responses =
        Box::new(Ring::<{ MESSAGES * Response::WORDS }>(std::array::from_fn(|_| AtomicU64::new(EMPTY_WORD))));
    // SAFETY: the rings live until the end of this function, are accessed through atomics, by this thread.
    let device = unsafe { InstantDevice::new() };
    let write = |register: Register, value: u32| device.write32(Region::Rings, register.of_bank(0), value);
    for (ring, addr, bytes) in [
        (0, (&raw const *requests).expose_provenance() as u64, Request::SIZE),
        (1, (&raw const *responses).expose_provenance() as u64, Response::SIZE),
    ] {
        let size = RingSize::of(128, u32::try_from(bytes).expect("small")).expect("a ring");
        assert_eq!(addr % 4096, 0);
        write(Register::config(ring), size.request_config());
        write(Register::base_low(ring), u32::try_from(addr & 0xffff_ffff).expect("cut"));
        write(Register::base_high(ring), u32::try_from(addr >> 32).expect("cut"));
    }
    let (mut tail, mut head) = (0_usize, 0_usize);
    bencher.bench_local(|| {
        for index in 0..DEPTH {
            let request = Request::compress(Compress {
                command: Command::DYNAMIC,
                config: ConfigWords::deflate_dynamic(Generation::Gen4, Depth::Level6),
                src_addr: black_box(0x1000),
                src_bytes: 4096,
                dst_addr: black_box(0x2000),
                dst_bytes: 4096,
                last: true,
                recover: true,
            })
            .with_opaque(index as u64);
            for (place, word) in requests.0[tail * Request::WORDS..].iter().zip(request.words()) {
                place.store(*word, Ordering::Relaxed);
            }
            tail = (tail + 1) % MESSAGES;
        }
        write(Register::tail(0), u32::try_from(tail * Request::SIZE).expect("small"));
        for index in 0..DEPTH {
            let place = &responses.0[head * Response::WORDS..][..Response::WORDS];
            let words = [0, 1, 2, 3].map(|at| place[at].load(Ordering::Acquire));
            let response = Response::from_words(words);
            assert!(!response.status().intersects(Status::FAILED) && response.opaque() == index as u64);
            place.iter().for_each(|word| word.store(EMPTY_WORD, Ordering::Relaxed));
            head = (head + 1) % MESSAGES;
        }
    });
}
