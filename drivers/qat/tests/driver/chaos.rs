//! Everything goes wrong at once, for a while. `QAT_CHAOS_SECONDS` makes it longer (2 by default).

use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use qat_emu::{Action, DeviceConfig, FaultPlan};
use svala::{
    AesKey, Batch, Check, Cipher, Completed, DeflateOptions, Lent, Lz4Blocks, Outcome, Runtime, Value,
    block_on,
};

use crate::support::{deflate, impatient, inflate, stream, text, until};

const HOW: DeflateOptions = DeflateOptions { level: 1, last: true, check: Check::Crc32 };

#[derive(Debug, Default)]
struct Counts {
    compressed: AtomicU64,
    expanded: AtomicU64,
    encrypted: AtomicU64,
    lz4: AtomicU64,
    batches: AtomicU64,
    failed: AtomicU64,
    dropped: AtomicU64,
}

fn seconds() -> u64 {
    std::env::var("QAT_CHAOS_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(2)
}

/// Nothing is answered wrongly, no memory is released early, and nothing is lost: every operation ends, or was dropped.
#[test]
fn nothing_is_lost_or_wrong_when_everything_fails() {
    let plan = FaultPlan::default()
        .every(97, 3, Action::NeverAnswers)
        .every(11, 2, Action::Late(7))
        .every(23, 5, Action::Overflow)
        .every(29, 7, Action::CnvFailure)
        .every(31, 8, Action::CnvRecovered)
        .every(37, 9, Action::SliceHang)
        .every(41, 10, Action::StrayAnswer)
        .every(43, 11, Action::Twice)
        .every(47, 12, Action::StrayInterrupt)
        .every(53, 13, Action::Boasts)
        .every(59, 14, Action::NotValid)
        .every(397, 15, Action::Restart);
    let (queue, function) =
        svala_qat::emulated(DeviceConfig { plan, ..DeviceConfig::default() }.with_ciphers(), impatient())
            .expect("a function");
    let cpu = svala_software::SoftwareQueue::new(svala_software::SoftwareConfig::default()).expect("a CPU");
    let config = |config: &mut svala::Config| {
        config.probe_after_min = Duration::from_millis(5);
        // What is silent is reset in time; a machine that is slow is not taken for that.
        config.answer_within = Duration::from_secs(300);
    };
    // What a driver cannot mend by itself.
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::ERROR).with_test_writer();
    drop(subscriber.try_init());
    let runtime = Runtime::builder().queue(queue).queue(cpu).config(config).build().expect("a runtime");
    let counts = Counts::default();
    let end = Instant::now() + Duration::from_secs(seconds());
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (runtime, counts) = (&runtime, &counts);
            scope.spawn(move || worker(runtime, counts, thread, end));
        }
    });
    until("everything ends", || runtime.snapshot().queues.iter().all(|queue| queue.in_flight == 0));
    let stats = function.device().stats();
    println!("{counts:?}\n{stats:?}");
    runtime.snapshot().queues.iter().for_each(|queue| println!("{queue:?}"));
    assert_eq!((stats.malformed, stats.bad_accesses, stats.late_faults), (0, 0, 0), "{stats:?}");
    let Counts { compressed, expanded, encrypted, lz4, batches, .. } = &counts;
    for count in [compressed, expanded, encrypted, lz4, batches] {
        assert!(count.load(Ordering::Relaxed) > 0, "{counts:?}");
    }
    assert_eq!(runtime.shutdown().unanswered, 0);
}

/// One thread: operation after operation, of each kind, until the time is over; and three times each on a slow machine too.
fn worker(runtime: &Runtime, counts: &Counts, thread: u64, end: Instant) {
    let mut round = thread;
    let least = thread + 4 * 27;
    while Instant::now() < end || round < least {
        round += 4;
        let data = text(100 + usize::try_from(round * 977 % 40_000).expect("small"), round);
        match round % 9 {
            0 | 1 => compress(runtime, counts, data),
            2 | 3 => expand(runtime, counts, data),
            4 | 5 => encrypt_and_back(runtime, counts, data, round),
            6 => lz4_and_back(runtime, counts, data),
            7 => batch(runtime, counts, &data),
            _ => dropped(runtime, counts, data),
        }
    }
}

/// What came of it, counted; what fails gives its buffers back.
fn counted<V, B>(count: &AtomicU64, counts: &Counts, outcome: Outcome<V, B>) -> Option<Completed<V, B>> {
    match outcome {
        Ok(done) => {
            count.fetch_add(1, Ordering::Relaxed);
            Some(done)
        }
        Err(failed) => {
            assert!(failed.buffers.is_some(), "{}", failed.error);
            counts.failed.fetch_add(1, Ordering::Relaxed);
            None
        }
    }
}

fn compress(runtime: &Runtime, counts: &Counts, data: Vec<u8>) {
    let room = vec![0; data.len() * 2 + 2048];
    let done = counted(&counts.compressed, counts, block_on(runtime.deflate(data.clone(), room, HOW)));
    if let Some(done) = done {
        assert_eq!(inflate(stream(&done)), data);
    }
}

fn expand(runtime: &Runtime, counts: &Counts, data: Vec<u8>) {
    let outcome = block_on(runtime.inflate(deflate(&data), vec![0; data.len()], Check::None));
    if let Some(done) = counted(&counts.expanded, counts, outcome) {
        assert_eq!(done.buffers.1, data);
    }
}

fn encrypt_and_back(runtime: &Runtime, counts: &Counts, data: Vec<u8>, round: u64) {
    let key = [3; 32];
    let mut nonce = [0; 12];
    nonce[..8].copy_from_slice(&round.to_le_bytes());
    let cipher = || Cipher::gcm(AesKey::new(&key).expect("a key"), nonce).with_aad(*b"chaos");
    let outcome = block_on(runtime.encrypt(data.clone(), vec![0; data.len()], cipher()));
    let Some(done) = counted(&counts.encrypted, counts, outcome) else { return };
    let rule = svala_software::cipher::Cipher::Gcm { key: &key, nonce: &nonce, aad: b"chaos" };
    let mut theirs = vec![0; data.len()];
    let tag = svala_software::cipher::encrypt(&rule, &data, &mut theirs).expect("encrypts");
    assert!(done.buffers.1 == theirs && done.value.tag == tag, "round {round}");
    let cipher = cipher().with_tag(tag.expect("a tag"));
    let outcome = block_on(runtime.decrypt(theirs, vec![0; data.len()], cipher));
    if let Some(done) = counted(&counts.encrypted, counts, outcome) {
        assert!(done.buffers.1 == data, "round {round}");
    }
}

fn lz4_and_back(runtime: &Runtime, counts: &Counts, data: Vec<u8>) {
    let room = vec![0; data.len() + 4096];
    let Some(done) = counted(&counts.lz4, counts, block_on(runtime.lz4_compress(data.clone(), room, 1)))
    else {
        return;
    };
    let mut blocks = done.buffers.1;
    blocks.truncate(usize::try_from(done.value).expect("fits"));
    let how = Lz4Blocks { linked: false, checked: false, block_bytes_max: 64 << 10 };
    let outcome = block_on(runtime.lz4_decompress(blocks, vec![0; data.len()], how));
    if let Some(done) = counted(&counts.lz4, counts, outcome) {
        assert_eq!(done.buffers.1, data);
    }
}

fn batch(runtime: &Runtime, counts: &Counts, data: &[u8]) {
    let mut batch = Batch::with_capacity(8);
    for part in 1..=4 {
        let data = data[..data.len() * part / 4].to_vec();
        let (packed, room) = (deflate(&data), data.len());
        batch.deflate(data, vec![0; 2 * room + 2048], HOW).expect("room");
        batch.inflate(packed, vec![0; room], Check::None).expect("room");
    }
    let Some(done) = counted(&counts.batches, counts, block_on(runtime.run_batch(batch))) else { return };
    let mut batch = done.buffers;
    for (index, member) in batch.drain().enumerate() {
        let Lent::Copy(src, dst) = member.lent else { panic!("two buffers") };
        let want = &data[..data.len() * (index / 2 + 1) / 4];
        match member.result.map(|result| result.value) {
            Ok(Value::Deflate { written, .. }) => {
                assert_eq!(src, want);
                assert_eq!(inflate(&dst[..usize::try_from(written).expect("fits")]), want);
            }
            Ok(Value::Inflate { .. }) => assert_eq!(dst, want),
            Ok(other) => panic!("{other:?}"),
            Err(_) => {
                counts.failed.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

fn dropped(runtime: &Runtime, counts: &Counts, data: Vec<u8>) {
    let mut future = pin!(runtime.deflate(data.clone(), vec![0; data.len() * 2 + 2048], HOW));
    if let Poll::Ready(Ok(done)) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        assert_eq!(inflate(stream(&done)), data);
    }
    counts.dropped.fetch_add(1, Ordering::Relaxed);
}
