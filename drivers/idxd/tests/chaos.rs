//! Everything at once: four threads, random operations on random memory, devices that fault, stop half-way, answer out of
//! order, refuse, and are disabled and enabled again, futures that are dropped. Every result is checked against a
//! straight loop, and at the end nothing is left: no slot, no credit, no memory.
//!
//! Five seconds, or as many as `SVALA_CHAOS_SECONDS` says. `SVALA_CHAOS_SEED` repeats a run as far as threads allow.
//!
//! UNSAFETY: a buffer type of its own, counted, whose pages are absent if that is wanted.
#![expect(unsafe_code, reason = "maps memory and promises that it stays")]

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use idxd_emu::{Device, FaultPlan, QueueConfig, Repeat, StopAt};
use memmap2::MmapMut;
use pollster::block_on;
use svala::{
    Batch, Completed, Crc, Error, Failed, Group, GroupOptions, IoBuf, IoBufMut, Lent, Path, Runtime, Value,
};
use svala_idxd::{Emulated, EmulatedConfig};

/// Buffers that are alive.
static ALIVE: AtomicI64 = AtomicI64::new(0);

/// A stretch of memory of its own, counted. Its pages are absent until somebody touches them.
#[derive(Debug)]
struct Memory {
    map: MmapMut,
    offset: usize,
    len: usize,
}

impl Memory {
    /// Zeros, no page of them present.
    fn cold(offset: usize, len: usize) -> Self {
        ALIVE.fetch_add(1, Ordering::SeqCst);
        let map = MmapMut::map_anon((offset + len).max(1)).expect("memory");
        Self { map, offset, len }
    }

    fn holding(offset: usize, bytes: &[u8]) -> Self {
        let mut memory = Self::cold(offset, bytes.len());
        memory.bytes_mut().copy_from_slice(bytes);
        memory
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        ALIVE.fetch_sub(1, Ordering::SeqCst);
    }
}

// SAFETY: the map is owned, and stays where it is when its owner moves.
unsafe impl IoBuf for Memory {
    fn bytes(&self) -> &[u8] {
        &self.map[self.offset..self.offset + self.len]
    }
}

// SAFETY: as above, and nobody else has the map.
unsafe impl IoBufMut for Memory {
    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.map[self.offset..self.offset + self.len]
    }
}

/// Numbers that look random, the same for the same seed (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).expect("64-bit")
    }

    /// Sizes around those at which something changes.
    fn size(&mut self) -> usize {
        match self.below(10) {
            0 => self.below(3),
            1..=4 => 1 + self.below(300),
            5 | 6 => 4096 - 8 + self.below(16),
            7 | 8 => 1 + self.below(40_000),
            _ => (64 << 10) - 20 + self.below(150 << 10),
        }
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        for word in bytes.chunks_mut(8) {
            word.copy_from_slice(&self.next().to_le_bytes()[..word.len()]);
        }
        bytes
    }

    fn source(&mut self, bytes: &[u8]) -> Memory {
        let offset = self.below(64);
        Memory::holding(offset, bytes)
    }

    fn destination(&mut self, len: usize) -> Memory {
        let offset = self.below(64);
        if self.below(2) == 0 { Memory::cold(offset, len) } else { Memory::holding(offset, &vec![0xee; len]) }
    }
}

/// One job, and what must come of it, by straight loops.
enum Task {
    Copy(Vec<u8>),
    CopyCrc(Vec<u8>, u32),
    Fill(usize, u64),
    Fill16(usize, [u8; 16]),
    Compare(Vec<u8>, Vec<u8>),
    ComparePattern(Vec<u8>, u64),
    Crc(Vec<u8>, u32),
}

impl Task {
    fn random(random: &mut Random) -> Self {
        let len = random.size();
        match random.below(7) {
            0 => Self::Copy(random.bytes(len)),
            1 => Self::CopyCrc(random.bytes(len), 7),
            2 => Self::Fill(len, random.next()),
            3 => Self::Fill16(
                len,
                [random.next().to_le_bytes(), random.next().to_le_bytes()]
                    .concat()
                    .try_into()
                    .expect("16 bytes"),
            ),
            4 => {
                let a = random.bytes(len);
                let mut b = a.clone();
                if len > 0 && random.below(2) == 0 {
                    b[random.below(len)] ^= 1;
                }
                Self::Compare(a, b)
            }
            5 => {
                let pattern = random.next();
                let mut bytes: Vec<u8> = pattern.to_le_bytes().into_iter().cycle().take(len).collect();
                if len > 0 && random.below(2) == 0 {
                    bytes[random.below(len)] ^= 1;
                }
                Self::ComparePattern(bytes, pattern)
            }
            _ => Self::Crc(random.bytes(len), 99),
        }
    }

    /// What the operation finds.
    fn value(&self) -> Value {
        match self {
            Self::Copy(_) | Self::Fill(..) | Self::Fill16(..) => Value::None,
            Self::CopyCrc(bytes, seed) | Self::Crc(bytes, seed) => Value::Crc(crc32c(*seed, bytes).into()),
            Self::Compare(a, b) => {
                Value::Difference((0_u64..).zip(a.iter().zip(b)).find(|(_, (a, b))| a != b).map(|(at, _)| at))
            }
            Self::ComparePattern(bytes, pattern) => {
                let wanted = pattern.to_le_bytes().into_iter().cycle();
                Value::Difference(
                    (0_u64..).zip(bytes.iter().zip(wanted)).find(|(_, (a, b))| **a != *b).map(|(at, _)| at),
                )
            }
        }
    }

    /// What is in the destination afterwards, if there is one.
    fn destination(&self) -> Option<Vec<u8>> {
        match self {
            Self::Copy(bytes) | Self::CopyCrc(bytes, _) => Some(bytes.clone()),
            Self::Fill(len, pattern) => Some(pattern.to_le_bytes().into_iter().cycle().take(*len).collect()),
            Self::Fill16(len, pattern) => Some(pattern.iter().copied().cycle().take(*len).collect()),
            _ => None,
        }
    }

    /// Checks what came back: the value, the sources as they were, the destination as it should be.
    fn check(&self, value: Value, lent: &Lent<Memory, Memory>) {
        assert_eq!(value, self.value(), "{}", self.name());
        let (sources, destination) = match lent {
            Lent::Copy(src, dst) => (vec![src], Some(dst)),
            Lent::Fill(dst) => (vec![], Some(dst)),
            Lent::Compare(a, b) => (vec![a, b], None),
            Lent::Read(src) => (vec![src], None),
            Lent::Dualcast(..) => unreachable!("none is asked for"),
        };
        let wanted = self.destination();
        assert!(destination.map(IoBuf::bytes) == wanted.as_deref(), "{}: destination", self.name());
        self.check_sources(&sources);
    }

    fn check_sources(&self, sources: &[&Memory]) {
        let same = match (self, sources) {
            (Self::Copy(b) | Self::CopyCrc(b, _) | Self::ComparePattern(b, _) | Self::Crc(b, _), [src]) => {
                src.bytes() == b
            }
            (Self::Compare(a, b), [first, second]) => first.bytes() == a && second.bytes() == b,
            (_, []) => true,
            _ => false,
        };
        assert!(same, "{}: a source changed", self.name());
    }

    const fn name(&self) -> &'static str {
        match self {
            Self::Copy(_) => "copy",
            Self::CopyCrc(..) => "copy_crc32c",
            Self::Fill(..) => "fill",
            Self::Fill16(..) => "fill16",
            Self::Compare(..) => "compare",
            Self::ComparePattern(..) => "compare_pattern",
            Self::Crc(..) => "crc32c",
        }
    }
}

/// CRC-32C one bit at a time, by the byte's table computed on the spot: nobody's code.
fn crc32c(seed: u32, bytes: &[u8]) -> u32 {
    static TABLE: std::sync::OnceLock<Vec<u32>> = std::sync::OnceLock::new();
    let step = |crc: u32, _| (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg());
    let table = TABLE.get_or_init(|| (0..256).map(|byte| (0..8).fold(byte, step)).collect());
    !bytes.iter().fold(!seed, |crc, byte| (crc >> 8) ^ table[((crc ^ u32::from(*byte)) & 0xff) as usize])
}

/// What was done.
#[derive(Debug, Default)]
struct Counts {
    alone: AtomicU64,
    batched: AtomicU64,
    grouped: AtomicU64,
    dropped: AtomicU64,
    /// Ended with an error that says that the queue would not have it, buffers unharmed.
    refused: AtomicU64,
    disabled: AtomicU64,
}

fn bump(count: &AtomicU64) {
    count.fetch_add(1, Ordering::Relaxed);
}

struct Chaos {
    runtime: Runtime,
    counts: Counts,
    stop: AtomicBool,
}

/// The only errors there may be: both queues were out or full.
fn is_refusal(error: &Error) -> bool {
    matches!(error, Error::Refused { .. } | Error::QueueOut { .. } | Error::Busy { .. })
}

impl Chaos {
    /// One thread.
    fn work(&self, seed: u64) {
        let mut random = Random(seed);
        let mut group = Some(self.group());
        while !self.stop.load(Ordering::Relaxed) {
            match random.below(8) {
                0..=2 => self.alone(&mut random),
                3 => self.several(&mut random),
                4 => self.dropped(&mut random),
                5 => self.batch(&mut random),
                _ => {
                    let mut used = group.take().unwrap_or_else(|| self.group());
                    self.grouped(&mut random, &mut used);
                    // Now and then a group goes with what is on its way.
                    group = (random.below(10) != 0).then_some(used);
                }
            }
        }
    }

    fn group(&self) -> Group<Memory, Memory> {
        Group::new(&self.runtime, GroupOptions::default())
    }

    /// Each operation as a future of its own.
    fn alone(&self, random: &mut Random) {
        let task = Task::random(random);
        self.finish_alone(&task, block_on(self.start(&task, random)));
    }

    fn start<'r>(&'r self, task: &Task, random: &mut Random) -> Alone<'r> {
        let runtime = &self.runtime;
        let unit = |done: Completed<(), _>| (Value::None, done.buffers);
        match task {
            Task::Copy(bytes) => {
                let buffers = (random.source(bytes), random.destination(bytes.len()));
                let future = runtime.copy(buffers.0, buffers.1);
                Box::pin(async move { future.await.map(unit).map(pair).map_err(pair_failed) })
            }
            Task::CopyCrc(bytes, seed) => {
                let buffers = (random.source(bytes), random.destination(bytes.len()));
                let future = runtime.copy_crc32c(buffers.0, buffers.1, *seed);
                Box::pin(async move {
                    let done = future.await.map_err(pair_failed)?;
                    Ok(pair((Value::Crc(done.value.into()), done.buffers)))
                })
            }
            Task::Fill(len, pattern) => {
                let future = runtime.fill(random.destination(*len), *pattern);
                Box::pin(async move { fill_ended(future.await) })
            }
            Task::Fill16(len, pattern) => {
                let future = runtime.fill16(random.destination(*len), *pattern);
                Box::pin(async move { fill_ended(future.await) })
            }
            Task::Compare(a, b) => {
                let future = runtime.compare(random.source(a), random.source(b));
                Box::pin(async move {
                    let compared = |(a, b)| Lent::Compare(a, b);
                    let done = future.await.map_err(|failed| failed.map_buffers(compared))?;
                    Ok((Value::Difference(done.value), compared(done.buffers)))
                })
            }
            Task::ComparePattern(bytes, pattern) => {
                let future = runtime.compare_pattern(random.source(bytes), *pattern);
                Box::pin(async move {
                    let done = future.await.map_err(|failed| failed.map_buffers(Lent::Read))?;
                    Ok((Value::Difference(done.value), Lent::Read(done.buffers)))
                })
            }
            Task::Crc(bytes, seed) => {
                let future = runtime.crc32c(random.source(bytes), *seed);
                Box::pin(async move {
                    let done = future.await.map_err(|failed| failed.map_buffers(Lent::Read))?;
                    Ok((Value::Crc(done.value.into()), Lent::Read(done.buffers)))
                })
            }
        }
    }

    fn finish_alone(&self, task: &Task, ended: Ended) {
        match ended {
            Ok((value, lent)) => {
                task.check(value, &lent);
                bump(&self.counts.alone);
            }
            Err(failed) => {
                assert!(is_refusal(&failed.error), "{}: {}", task.name(), failed.error);
                assert!(failed.buffers.is_some());
                bump(&self.counts.refused);
            }
        }
    }

    /// Some at once.
    fn several(&self, random: &mut Random) {
        let tasks: Vec<Task> = (0..1 + random.below(12)).map(|_| Task::random(random)).collect();
        let mut futures: Vec<_> = tasks.iter().map(|task| self.start(task, random)).collect();
        for future in &mut futures {
            // What is over at once must not be polled again: only those that wait are begun here.
            let mut begun = Begun { future: future.as_mut(), ended: None };
            begun.poll_once();
            if let Some(ended) = begun.ended {
                *future = Box::pin(std::future::ready(ended));
            }
        }
        for (task, future) in tasks.iter().zip(futures) {
            self.finish_alone(task, block_on(future));
        }
    }

    /// Begun and left.
    fn dropped(&self, random: &mut Random) {
        let task = Task::random(random);
        let mut future = self.start(&task, random);
        for _ in 0..random.below(3) {
            let mut begun = Begun { future: future.as_mut(), ended: None };
            begun.poll_once();
            if begun.ended.is_some() {
                break;
            }
        }
        bump(&self.counts.dropped);
    }

    fn batch(&self, random: &mut Random) {
        let tasks: Vec<Task> = (0..1 + random.below(32)).map(|_| Task::random(random)).collect();
        let mut batch = Batch::with_capacity(tasks.len());
        for task in &tasks {
            let added = match task {
                Task::Copy(bytes) => {
                    batch.copy(random.source(bytes), random.destination(bytes.len())).map_err(Error::from)
                }
                Task::CopyCrc(bytes, seed) => {
                    let (src, dst) = (random.source(bytes), random.destination(bytes.len()));
                    batch.copy_crc(src, dst, Crc::CRC32C, (*seed).into()).map_err(Error::from)
                }
                Task::Fill(len, pattern) => {
                    batch.fill(random.destination(*len), *pattern).map_err(Error::from)
                }
                Task::Fill16(len, pattern) => {
                    batch.fill16(random.destination(*len), *pattern).map_err(Error::from)
                }
                Task::Compare(a, b) => batch.compare(random.source(a), random.source(b)).map_err(Error::from),
                Task::ComparePattern(bytes, pattern) => {
                    batch.compare_pattern(random.source(bytes), *pattern).map_err(Error::from)
                }
                Task::Crc(bytes, seed) => batch.crc32c(random.source(bytes), *seed).map_err(Error::from),
            };
            added.expect("room, and lengths that fit");
        }
        let (ended, mut batch) = match block_on(self.runtime.run_batch(batch)) {
            Ok(done) => (Ok(()), done.buffers),
            Err(Failed { error, buffers, .. }) => {
                (Err(error), buffers.expect("no device is silent for half a minute"))
            }
        };
        for (task, member) in tasks.iter().zip(batch.drain()) {
            match member.result {
                Ok(done) => {
                    task.check(done.value, &member.lent);
                    bump(&self.counts.batched);
                }
                Err(error) => {
                    let refused = is_refusal(&error) || ended.as_ref().is_err_and(is_refusal);
                    assert!(refused, "{}: {error} ({ended:?})", task.name());
                    bump(&self.counts.refused);
                }
            }
        }
    }

    fn grouped(&self, random: &mut Random, group: &mut Group<Memory, Memory>) {
        // What an earlier turn has left has been checked by nobody: it is only taken out.
        while block_on(group.next()).is_some() {}
        let tasks: Vec<Task> = (0..1 + random.below(100)).map(|_| Task::random(random)).collect();
        let mut results = Vec::new();
        for task in &tasks {
            while let Some(done) = block_on(group.make_room()) {
                results.push(done);
            }
            let queued = match task {
                Task::Copy(bytes) => {
                    group.copy(random.source(bytes), random.destination(bytes.len())).map_err(Error::from)
                }
                Task::CopyCrc(bytes, seed) => {
                    let (src, dst) = (random.source(bytes), random.destination(bytes.len()));
                    group.copy_crc(src, dst, Crc::CRC32C, (*seed).into()).map_err(Error::from)
                }
                Task::Fill(len, pattern) => {
                    group.fill(random.destination(*len), *pattern).map_err(Error::from)
                }
                Task::Fill16(len, pattern) => {
                    group.fill16(random.destination(*len), *pattern).map_err(Error::from)
                }
                Task::Compare(a, b) => group.compare(random.source(a), random.source(b)).map_err(Error::from),
                Task::ComparePattern(bytes, pattern) => {
                    group.compare_pattern(random.source(bytes), *pattern).map_err(Error::from)
                }
                Task::Crc(bytes, seed) => group.crc32c(random.source(bytes), *seed).map_err(Error::from),
            };
            // A large job closes the list before it, which may have been the last.
            match queued {
                Ok(()) => {}
                Err(Error::Busy { .. }) => break,
                Err(error) => panic!("{}: {error}", task.name()),
            }
        }
        if random.below(4) != 0 {
            while let Some(done) = block_on(group.next()) {
                results.push(done);
            }
        }
        for (task, done) in tasks.iter().zip(results) {
            let lent = done.lent.expect("no device is silent for half a minute");
            match done.result {
                Ok(found) => {
                    assert!(
                        !matches!(done.path, Path::Software { reason } if reason != svala::Reason::Empty)
                    );
                    task.check(found.value, &lent);
                    bump(&self.counts.grouped);
                }
                Err(error) => {
                    assert!(is_refusal(&error), "{}: {error}", task.name());
                    bump(&self.counts.refused);
                }
            }
        }
    }

    /// Somebody with the right to takes a queue away, again and again, and gives it back.
    fn disturb(&self, device: &Device, seed: u64) {
        let mut random = Random(seed);
        let nap = |random: &mut Random| std::thread::sleep(Duration::from_micros(random.next() % 20_000));
        while !self.stop.load(Ordering::Relaxed) {
            nap(&mut random);
            device.disable_queue(0);
            bump(&self.counts.disabled);
            nap(&mut random);
            device.enable_queue(0);
        }
    }
}

type Ended = Result<(Value, Lent<Memory, Memory>), Failed<Lent<Memory, Memory>>>;
type Alone<'r> = Pin<Box<dyn Future<Output = Ended> + Send + 'r>>;

fn pair((value, (src, dst)): (Value, (Memory, Memory))) -> (Value, Lent<Memory, Memory>) {
    (value, Lent::Copy(src, dst))
}

fn pair_failed(failed: Failed<(Memory, Memory)>) -> Failed<Lent<Memory, Memory>> {
    failed.map_buffers(|(src, dst)| Lent::Copy(src, dst))
}

fn fill_ended(ended: svala::Outcome<(), Memory>) -> Ended {
    match ended {
        Ok(done) => Ok((Value::None, Lent::Fill(done.buffers))),
        Err(failed) => Err(failed.map_buffers(Lent::Fill)),
    }
}

/// A future that is polled without being waited for.
struct Begun<'f, F: ?Sized + Future> {
    future: Pin<&'f mut F>,
    ended: Option<F::Output>,
}

impl<F: ?Sized + Future> Begun<'_, F> {
    fn poll_once(&mut self) {
        if let Poll::Ready(ended) = self.future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            self.ended = Some(ended);
        }
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text}: a number")))
}

/// A dedicated queue of a device that does everything in the wrong order, and a shared one of a device that comes and
/// goes.
fn devices(seed: u64) -> (Runtime, [Arc<Device>; 2]) {
    let steady = EmulatedConfig {
        name: "steady".into(),
        queue: QueueConfig { transfer_bytes_max: 64 << 10, ..QueueConfig::dedicated(16) },
        plan: FaultPlan::seeded(seed).out_of_order().noise().stop_at(StopAt::Random),
        engines: 2,
        depth: 32,
        ..EmulatedConfig::default()
    };
    let fickle = EmulatedConfig {
        name: "fickle".into(),
        queue: QueueConfig { transfer_bytes_max: 32 << 10, ..QueueConfig::shared(16) },
        plan: FaultPlan::seeded(seed ^ 1).noise().retry_first(2000).fault_at_page(1, Repeat::Once),
        depth: 24,
        ..EmulatedConfig::default()
    };
    let queues = [steady, fickle].map(|config| Emulated::dsa(config).expect("the device starts"));
    let devices = queues.each_ref().map(|queue| queue.portal().device().expect("it has just started"));
    let builder = Runtime::builder().config(|config| {
        config.submit_tries_max = 5000;
        config.probe_after_min = Duration::from_millis(2);
        config.probe_after_max = Duration::from_millis(10);
    });
    let builder = queues.into_iter().fold(builder, svala::Builder::queue);
    (builder.build().expect("a runtime needs threads and an eventfd"), devices)
}

/// With the device held, its dedicated queue takes as many descriptors as it has entries: every credit is back.
fn check_credits(runtime: &Runtime, device: &Device) {
    device.hold();
    let mut futures: Vec<_> = (0..64).map(|i| Box::pin(runtime.fill(Memory::cold(0, 64), i))).collect();
    for future in &mut futures {
        let _ = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    }
    let deadline = Instant::now() + Duration::from_secs(60);
    while device.occupancy(0) < 16 && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(device.occupancy(0), 16, "credits are missing");
    device.resume();
    drop(futures);
}

#[test]
fn every_result_is_right_and_nothing_is_left() {
    let seconds = number("SVALA_CHAOS_SECONDS").unwrap_or(5);
    let seed = number("SVALA_CHAOS_SEED").unwrap_or_else(|| u64::from(std::process::id()) << 20 | seconds);
    println!("seed {seed}, {seconds} s");
    let (runtime, [steady, fickle]) = devices(seed);
    let chaos = Chaos { runtime, counts: Counts::default(), stop: AtomicBool::new(false) };
    std::thread::scope(|scope| {
        // Should a thread panic, the others end.
        struct Stop<'s>(&'s AtomicBool);
        impl Drop for Stop<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        for thread in 0..4 {
            let chaos = &chaos;
            scope.spawn(move || {
                let _stop = Stop(&chaos.stop);
                chaos.work(seed ^ thread << 40);
            });
        }
        let (chaos, fickle) = (&chaos, &fickle);
        scope.spawn(move || chaos.disturb(fickle, seed ^ 5 << 40));
        let end = Instant::now() + Duration::from_secs(seconds);
        while Instant::now() < end && !chaos.stop.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(20));
        }
        chaos.stop.store(true, Ordering::Relaxed);
    });
    let Chaos { runtime, counts, .. } = chaos;
    fickle.disable_queue(0);
    check_credits(&runtime, &steady);
    fickle.enable_queue(0);

    let snapshot = runtime.snapshot();
    println!("{counts:?}");
    for queue in &snapshot.queues {
        println!("{}", serde_json::to_string(queue).expect("plain numbers"));
    }
    assert_eq!(runtime.shutdown().unanswered, 0);
    assert!(runtime.snapshot().queues.iter().all(|queue| queue.load == 0), "load is left");
    drop(runtime);
    drop((steady, fickle));
    let deadline = Instant::now() + Duration::from_secs(60);
    while ALIVE.load(Ordering::SeqCst) != 0 && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(ALIVE.load(Ordering::SeqCst), 0, "buffers are left");
    let done = |count: &AtomicU64| count.load(Ordering::Relaxed) > 0;
    let all = [&counts.alone, &counts.batched, &counts.grouped, &counts.dropped, &counts.disabled];
    assert!(all.into_iter().all(done), "everything has been tried");
    assert!(snapshot.queues.iter().all(|queue| queue.operations > 0 && queue.faults.faults > 0));
    assert!(snapshot.queues[1].outs > 0, "the queue that comes and goes was taken out");
}
