//! More submitters than a shared queue has room for.

use std::io::Read as _;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};

use crate::Test;
use crate::cold::pattern;
use crate::map::{Map, PAGE};
use crate::queue::{Queue, Record, SUCCESS};

pub(crate) const TESTS: &[Test] = &[("saturation", saturation), ("task_saturate", task)];

const PROCESSES: usize = 4;
const THREADS: usize = 8;

/// Four processes of eight threads on one queue, for the seconds given. Every result is looked at.
fn saturation(arguments: &[String]) -> Result<()> {
    let [queue, seconds] = arguments else { anyhow::bail!("usage: saturation QUEUE SECONDS") };
    let mut children = Vec::new();
    for _ in 0..PROCESSES {
        let mut command = Command::new(std::env::current_exe()?);
        children.push(command.args(["task_saturate", queue, seconds]).stdout(Stdio::piped()).spawn()?);
    }
    let (mut copies, mut refusals) = (0, 0);
    for mut child in children {
        let mut text = String::new();
        child.stdout.take().context("no pipe")?.read_to_string(&mut text)?;
        ensure!(child.wait()?.success(), "{text}");
        let mut numbers = text.split_whitespace().map(str::parse::<u64>);
        let mut next = || numbers.next().context("no number").and_then(|number| Ok(number?));
        copies += next().with_context(|| text.clone())?;
        refusals += next().with_context(|| text.clone())?;
    }
    ensure!(refusals > 0, "the queue was never full: {copies} copies");
    println!(
        "{} submitters, {seconds} s: {copies} copies, all right; {refusals} refusals",
        PROCESSES * THREADS
    );
    Ok(())
}

fn task(arguments: &[String]) -> Result<()> {
    let [queue, seconds] = arguments else { anyhow::bail!("usage: task_saturate QUEUE SECONDS") };
    let duration = Duration::from_secs(seconds.parse()?);
    let queue = Queue::open(queue)?;
    let started = Instant::now();
    let totals = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let queue = &queue;
                scope.spawn(move || submitter(queue, thread, started, duration))
            })
            .collect();
        threads
            .into_iter()
            .map(|one| one.join().map_err(|_| anyhow!("a thread died"))?)
            .try_fold((0, 0), |sum, one| one.map(|one| (sum.0 + one.0, sum.1 + one.1)))
    })?;
    println!("{} {}", totals.0, totals.1);
    Ok(())
}

/// Copies one to four pages that are absent at the destination, again and again.
fn submitter(queue: &Queue, thread: usize, started: Instant, duration: Duration) -> Result<(u64, u64)> {
    let record = Record::new()?;
    let seed = usize::try_from(std::process::id())? * 64 + thread;
    let (mut copies, mut refusals) = (0, 0);
    while started.elapsed() < duration || copies == 0 {
        let round = seed + usize::try_from(copies)? * 1000;
        let len = (1 + round % 4) * PAGE;
        let (src, dst) = (Map::filled(len, pattern(round))?, Map::cold(len)?);
        let job = crate::queue::copy(src.at(0), dst.at(0), len).with_block_on_fault();
        refusals += queue.submit(&job.with_completion(record.prepare()))?;
        record.wait()?.expect(SUCCESS)?;
        dst.expect(0, len, pattern(round))?;
        copies += 1;
    }
    Ok((copies, refusals))
}
