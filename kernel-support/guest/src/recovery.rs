//! A device that is reset while the runtime uses it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use pollster::block_on;
use svala::{Error, FaultPolicy, Runtime};
use svala_idxd::{HardwareOptions, HardwareQueue, Sysfs};

use crate::Test;
use crate::cold::pattern;
use crate::queue::PATIENCE;

pub(crate) const TESTS: &[Test] = &[("reset_under_load", reset_under_load)];

const LEN: usize = 64 << 10;
const THREADS: usize = 4;
/// Copies before the reset, so that it meets a device at work.
const BEFORE: u64 = 64;
/// A bound on waiting that a slow machine does not reach by itself.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

fn runtime(queue: &str) -> Result<Runtime> {
    let found = Sysfs::default().discover()?;
    let (device, queue) = found.work_queue(queue).with_context(|| format!("no {queue}"))?;
    let builder = match HardwareQueue::open(device, queue, &HardwareOptions::default())? {
        HardwareQueue::Dsa(queue) => Runtime::builder().queue(queue),
        other => bail!("not a queue of a DSA: {other:?}"),
    };
    let builder = builder.config(|config| {
        config.faults = FaultPolicy::Resolve;
        config.answer_within = ANSWER_WITHIN;
        config.drain_within = Duration::from_secs(1);
    });
    Ok(builder.build()?)
}

/// What came of the copies.
#[derive(Debug, Default)]
struct Tally {
    is_reset: AtomicBool,
    done: AtomicU64,
    failed: AtomicU64,
    unanswered: AtomicU64,
}

/// Copies until it is told to stop, or until one fails. What is said to be done is looked at.
fn copies(runtime: &Runtime, thread: usize, tally: &Tally, stop: &AtomicBool) -> Result<()> {
    let mut round = thread;
    while !stop.load(Ordering::Relaxed) {
        round += THREADS;
        let src: Vec<u8> = (0..LEN).map(pattern(round)).collect();
        match block_on(runtime.copy(src, vec![0; LEN])) {
            Ok(done) => {
                let (src, dst) = done.buffers;
                ensure!(src == dst, "a copy that is said to be done is not right");
                tally.done.fetch_add(1, Ordering::Relaxed);
            }
            Err(failed) if matches!(failed.error, Error::NoAnswer { .. }) => {
                ensure!(failed.buffers.is_none(), "memory that the device may still write to was given back");
                tally.unanswered.fetch_add(1, Ordering::Relaxed);
                return Ok(());
            }
            Err(failed) => {
                // An error says that the copy is not done, whichever it is; without a reset there is none.
                ensure!(tally.is_reset.load(Ordering::SeqCst), "before the reset: {failed}");
                ensure!(failed.buffers.is_some(), "memory that the device has given up was kept: {failed}");
                tally.failed.fetch_add(1, Ordering::Relaxed);
                return Ok(());
            }
        }
    }
    Ok(())
}

fn wait(what: &str, mut until: impl FnMut() -> bool) -> Result<()> {
    let started = Instant::now();
    while !until() {
        ensure!(started.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// A function-level reset with copies under way: each is right, or says that it is not. What the kernel makes of the
/// queue afterwards is its own affair: Linux 7.2 has left a device disabled of which a process had a shared queue open.
fn reset_under_load(arguments: &[String]) -> Result<()> {
    let queue = arguments.first().context("no queue")?;
    let at = fs::canonicalize(PathBuf::from("/sys/bus/dsa/devices").join(queue))?;
    let function = at.ancestors().nth(2).context("no PCI function")?.to_owned();
    let device = at.ancestors().nth(1).and_then(Path::file_name).context("no device")?;
    let old = runtime(queue)?;
    let (tally, stop) = (Tally::default(), AtomicBool::new(false));
    thread::scope(|scope| -> Result<()> {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (old, tally, stop) = (&old, &tally, &stop);
                scope.spawn(move || copies(old, thread, tally, stop))
            })
            .collect();
        let reset = wait("copies", || {
            tally.done.load(Ordering::Relaxed) >= BEFORE || threads.iter().any(|one| one.is_finished())
        })
        .and_then(|()| {
            tally.is_reset.store(true, Ordering::SeqCst);
            fs::write(function.join("reset"), "1").context("reset")
        });
        // Those that are lost say so after a while; the others go on, if the queue does.
        let after = Instant::now();
        while after.elapsed() < ANSWER_WITHIN + Duration::from_secs(5)
            && !threads.iter().all(|one| one.is_finished())
        {
            thread::sleep(Duration::from_millis(50));
        }
        stop.store(true, Ordering::Relaxed);
        for one in threads {
            one.join().map_err(|_| anyhow!("a thread died"))??;
        }
        reset
    })?;
    let shutdown = old.shutdown();
    drop(old);
    let state =
        fs::read_to_string(function.join(device).join("state")).unwrap_or_else(|error| error.to_string());
    println!(
        "{} copies right, {} failed, {} unanswered ({shutdown:?}); the device is {}",
        tally.done.into_inner(),
        tally.failed.into_inner(),
        tally.unanswered.into_inner(),
        state.trim()
    );
    Ok(())
}
