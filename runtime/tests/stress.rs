//! Everything at once: random jobs, drops, faults, refusals and completion out of order, every result checked.
//!
//! The seed is printed when something is wrong; `SVALA_STRESS_SEED` runs it again.

mod support;

use std::time::{Duration, Instant};

use support::{BOTH, Cold, Faulting, Options, Plan, Random, Task, When, crc32c, noise, until};
use svala::backend::Completion;
use svala::{Batch, IoBuf, Lent, ResolverChoice, Runtime, Value};

const PAGE: usize = 4096;
/// For each of the four combinations.
const FOR: Duration = Duration::from_millis(1200);

fn plan(seed: u64, n: u64) -> Plan {
    let mut random = Random::new(seed ^ n.wrapping_mul(0x1234_5678_9abc_def1));
    let when = match random.below(8) {
        0 | 1 => When::Inline,
        2 => When::Polls(u32::try_from(random.below(20)).expect("small")),
        3 => When::DuringPoll(1 + u32::try_from(random.below(3)).expect("small")),
        _ => When::Thread,
    };
    let restarts = random.below(4) == 0;
    let faulting = match random.below(4) {
        0 => Faulting::No,
        1 => {
            let offsets = (0..1 + random.below(4)).map(|i| i * 3 * PAGE as u64).collect();
            Faulting::At { offsets, restarts }
        }
        _ => Faulting::Cold { restarts },
    };
    let refuse = if random.below(10) == 0 { u32::try_from(random.below(30)).expect("small") } else { 0 };
    Plan::done(when).faulting(faulting).refuse(refuse)
}

fn warm_in_part(random: &mut Random, bytes: &[u8]) -> (Cold, Vec<u8>) {
    let cold = Cold::warm(bytes);
    let mut want = bytes.to_vec();
    for _ in 0..random.below(3) {
        let pages = want.len().div_ceil(PAGE) as u64;
        let from = usize::try_from(random.below(pages)).expect("small") * PAGE;
        let to = (from + PAGE * usize::try_from(1 + random.below(4)).expect("small")).min(want.len());
        cold.evict(from, (to - from).next_multiple_of(PAGE));
        want[from..to].fill(0);
    }
    (cold, want)
}

async fn one(runtime: &Runtime, random: &mut Random) {
    let len = usize::try_from(1 + random.below(20 * PAGE as u64)).expect("small");
    let bytes = noise(len, random.next());
    let (src, want) = warm_in_part(random, &bytes);
    match random.below(5) {
        0 => {
            let seed = u32::try_from(random.below(1 << 32)).expect("32 bits");
            let short = want.len().min(5000);
            let src = want[..short].to_vec();
            let done = runtime.crc32c(src, seed).await.expect("a crc");
            assert_eq!(done.value, crc32c(seed, &want[..short]));
        }
        1 => {
            let pattern = random.next();
            let done = runtime.fill(src, pattern).await.expect("a fill");
            for chunk in done.buffers.bytes().chunks(8) {
                assert_eq!(*chunk, pattern.to_le_bytes()[..chunk.len()]);
            }
        }
        2 => {
            let mut other = want.clone();
            let at = usize::try_from(random.below(len as u64)).expect("small");
            other[at] ^= 0x40;
            let done = runtime.compare(src, Cold::warm(&other)).await.expect("a comparison");
            assert_eq!(done.value, Some(at as u64));
        }
        3 => {
            let mut batch = Batch::<Cold, Cold>::with_capacity(4);
            batch.copy(src, Cold::new(len)).expect("room");
            batch.fill(Cold::new(3 * PAGE), 7).expect("room");
            batch.compare(Cold::warm(&want), Cold::warm(&want)).expect("room");
            let mut done = runtime.run_batch(batch).await.expect("a batch");
            let members: Vec<_> = done.buffers.drain().collect();
            assert!(matches!(&members[0].lent, Lent::Copy(_, dst) if dst.bytes() == want));
            assert_eq!(members[2].result.as_ref().expect("equal").value, Value::Difference(None));
        }
        _ => {
            let done = runtime.copy(src, Cold::new(len)).await.expect("a copy");
            assert_eq!(done.buffers.0.bytes(), want);
            assert_eq!(done.buffers.1.bytes(), want);
        }
    }
}

fn worker(runtime: &Runtime, seed: u64, end: Instant) -> u64 {
    let mut random = Random::new(seed);
    let mut ended = 0;
    let mut running = Vec::new();
    while Instant::now() < end {
        let mut own = Random::new(random.next());
        let mut task = Task::new(async move { one(runtime, &mut own).await });
        if task.poll().is_ready() {
            ended += 1;
            continue;
        }
        match random.below(10) {
            // Dropped at once, or after a while.
            0 | 1 => drop(task),
            _ => running.push(task),
        }
        if running.len() >= 8 {
            let index = usize::try_from(random.below(8)).expect("small");
            if random.below(4) == 0 {
                drop(running.swap_remove(index));
            } else {
                ended += some_end(&mut running);
            }
        }
        if random.below(50) == 0 {
            running.clear();
        }
    }
    while !running.is_empty() {
        ended += some_end(&mut running);
    }
    ended
}

/// Polls what is woken until something ends, as an executor would: one that is woken for a slot and not polled
/// would keep it from those in line behind it.
fn some_end<F: Future>(running: &mut Vec<Task<F>>) -> u64 {
    let before = running.len();
    let deadline = Instant::now() + support::DEADLINE;
    while running.len() == before {
        assert!(Instant::now() < deadline, "none of {before} futures was woken");
        running.retain_mut(|task| !task.is_woken() || task.poll().is_pending());
        std::thread::yield_now();
    }
    (before - running.len()) as u64
}

fn stress(completion: Completion, resolver: ResolverChoice, seed: u64) {
    let mut options = Options::new(completion, move |n, _| plan(seed, n)).depth(12);
    options.shuffle = Some(seed);
    let (runtime, device) = support::runtime_with(options, |config| config.resolver = resolver);
    let end = Instant::now() + FOR;
    let ended: u64 = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..4)
            .map(|i| {
                let runtime = &runtime;
                scope.spawn(move || worker(runtime, seed.wrapping_add(i), end))
            })
            .collect();
        workers.into_iter().map(|worker| worker.join().expect("no worker panics")).sum()
    });
    assert!(ended > 100, "only {ended} operations");
    until("what was dropped lands", || {
        let stats = device.stats();
        stats.fetched == stats.accepted
    });
    assert_eq!(runtime.shutdown().unanswered, 0);
    device.check();
}

#[test]
fn random_jobs_drops_and_faults() {
    let seed = match std::env::var("SVALA_STRESS_SEED") {
        Ok(seed) => seed.parse().expect("a number"),
        Err(_) => std::time::UNIX_EPOCH.elapsed().map_or(1, |elapsed| elapsed.as_secs()),
    };
    for (completion, resolver) in
        BOTH.into_iter().flat_map(|c| [ResolverChoice::Auto, ResolverChoice::Threads].map(|r| (c, r)))
    {
        // Shown when the test fails.
        println!("{completion:?} {resolver:?} SVALA_STRESS_SEED={seed}");
        stress(completion, resolver, seed);
    }
}
