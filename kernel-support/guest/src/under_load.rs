//! An engine at work on a queue, and something that happens to the queue meanwhile.
//!
//! The engine has the CPU as well, as every engine has. So whatever happens to the device, each copy is done right by one
//! or the other, and says by which, or it says that the device has never answered, and keeps its memory. What was said to
//! be done is done. Afterwards the device is set up again, and the same engine, or a new one where the kernel has
//! forgotten the process, is back on it.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use pollster::block_on;
use svala::{Error, FaultPolicy, Path, QueueState, Reason};
use svala_engine::{Device, Engine};

use crate::Test;
use crate::cold::pattern;
use crate::queue::PATIENCE;

pub(crate) const TESTS: &[Test] = &[("under_load", under_load), ("blink", blink)];

const LEN: usize = 64 << 10;
const THREADS: usize = 4;
/// Copies by the device before anything happens, and after it is back.
const ENOUGH: u64 = 48;
/// A bound that a slow machine does not reach by itself, and that is waited for where a device loses what it had.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// When a copy was begun.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Before,
    Meanwhile,
    After,
}

const PHASES: [Phase; 3] = [Phase::Before, Phase::Meanwhile, Phase::After];

/// What came of the copies, by phase.
#[derive(Debug, Default)]
struct Tally {
    phase: AtomicUsize,
    stop: AtomicBool,
    device: [AtomicU64; 3],
    cpu: [AtomicU64; 3],
    unanswered: AtomicU64,
}

impl Tally {
    fn enter(&self, phase: Phase) {
        self.phase.store(phase as usize, Ordering::SeqCst);
    }

    fn device(&self, phase: Phase) -> u64 {
        self.device[phase as usize].load(Ordering::SeqCst)
    }

    fn cpu(&self, phase: Phase) -> u64 {
        self.cpu[phase as usize].load(Ordering::SeqCst)
    }

    fn all(&self) -> String {
        let each = PHASES.map(|phase| format!("{}+{}", self.device(phase), self.cpu(phase)));
        format!(
            "copies by device + CPU before, meanwhile, after: {}; {} unanswered",
            each.join(", "),
            self.unanswered.load(Ordering::SeqCst)
        )
    }
}

fn engine(queue: &str) -> Result<Engine> {
    let engine = Engine::builder().device(Device::Path(queue.into())).config(|config| {
        config.faults = FaultPolicy::Resolve;
        config.answer_within = ANSWER_WITHIN;
        config.probe_after_max = Duration::from_millis(500);
        config.drain_within = Duration::from_secs(1);
    });
    engine.open().with_context(|| queue.to_owned())
}

/// Copies until it is told to stop, and looks at what is said to be done.
fn copies(engine: &Engine, thread: usize, tally: &Tally) -> Result<()> {
    let mut round = thread;
    while !tally.stop.load(Ordering::SeqCst) {
        round += THREADS;
        let phase = tally.phase.load(Ordering::SeqCst);
        let src: Vec<u8> = (0..LEN).map(pattern(round)).collect();
        match block_on(engine.copy(src, vec![0; LEN])) {
            Ok(done) => {
                let (src, dst) = done.buffers;
                ensure!(
                    (0..LEN).all(|i| src[i] == pattern(round)(i)) && src == dst,
                    "a copy that is said to be done is not right ({})",
                    done.report.path
                );
                match done.report.path {
                    Path::Hardware { .. } => tally.device[phase].fetch_add(1, Ordering::SeqCst),
                    Path::Software { reason: Reason::QueueOut { .. } } => {
                        ensure!(
                            phase != Phase::Before as usize,
                            "nothing had happened: {}",
                            done.report.path
                        );
                        tally.cpu[phase].fetch_add(1, Ordering::SeqCst)
                    }
                    other => bail!("a copy went another way: {other}"),
                };
            }
            Err(failed) if matches!(failed.error, Error::NoAnswer { .. }) => {
                ensure!(failed.buffers.is_none(), "memory that the device may still write to was given back");
                ensure!(
                    phase != Phase::Before as usize || tally.phase.load(Ordering::SeqCst) != phase,
                    "{failed}"
                );
                tally.unanswered.fetch_add(1, Ordering::SeqCst);
            }
            Err(failed) => bail!("a copy failed with a CPU at hand: {failed}"),
        }
    }
    Ok(())
}

fn wait(tally: &Tally, what: &str, mut until: impl FnMut() -> bool) -> Result<()> {
    let started = Instant::now();
    while !until() {
        ensure!(started.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}; {}", tally.all());
        thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// Runs it, and fails with all that it printed if it does.
pub(crate) fn carry_out(command: &[String]) -> Result<()> {
    let (program, arguments) = command.split_first().context("no command")?;
    let output = Command::new(program).args(arguments).output().with_context(|| program.clone())?;
    let text =
        [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    ensure!(output.status.success(), "{command:?}: {}\n{text}", output.status);
    Ok(())
}

/// `blink DEVICE TIMES`: the registers of a PCI device are taken out of the machine's memory, and put back.
fn blink(arguments: &[String]) -> Result<()> {
    const COMMAND: u64 = 4;
    const MEMORY: u8 = 1 << 1;
    let [device, times] = arguments else { bail!("usage: blink DEVICE TIMES") };
    let path = format!("/sys/bus/dsa/devices/{device}/../config");
    let config = File::options().read(true).write(true).open(&path).with_context(|| path.clone())?;
    let mut command = [0; 2];
    config.read_exact_at(&mut command, COMMAND)?;
    ensure!(command[0] & MEMORY != 0, "{path}: memory is not enabled");
    for _ in 0..times.parse().context("TIMES")? {
        config.write_all_at(&[command[0] & !MEMORY, command[1]], COMMAND)?;
        config.write_all_at(&command, COMMAND)?;
    }
    Ok(())
}

/// `under_load QUEUE same|new|untouched REPAIR [EVENT...]`: whether the same engine comes back to the queue after REPAIR, or
/// is not to notice at all. Without an event, the device itself is going to do something.
fn under_load(arguments: &[String]) -> Result<()> {
    let [queue, back, repair, event @ ..] = arguments else {
        bail!("usage: under_load QUEUE same|new|untouched REPAIR [EVENT...]");
    };
    let same = match back.as_str() {
        "same" | "untouched" => true,
        "new" => false,
        other => bail!("{other}: same, new or untouched"),
    };
    let first = engine(queue)?;
    let tally = Tally::default();
    let up = |engine: &Engine| engine.snapshot().queues[0].state == QueueState::Up;
    thread::scope(|scope| -> Result<()> {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (first, tally) = (&first, &tally);
                scope.spawn(move || copies(first, thread, tally))
            })
            .collect();
        let ended = || threads.iter().any(thread::ScopedJoinHandle::is_finished);
        let run = || -> Result<()> {
            wait(&tally, "copies before", || tally.device(Phase::Before) >= ENOUGH || ended())?;
            tally.enter(Phase::Meanwhile);
            if !event.is_empty() {
                carry_out(event)?;
            }
            // The queue is taken out, or, if it came back by itself, used on.
            wait(&tally, "copies meanwhile", || {
                tally.cpu(Phase::Meanwhile) >= ENOUGH
                    || tally.device(Phase::Meanwhile) >= 10 * ENOUGH
                    || ended()
            })?;
            println!("the queue is up: {}", up(&first));
            carry_out(&[repair.clone(), "dsa0".into()])?;
            tally.enter(Phase::After);
            if same {
                wait(&tally, "copies after", || tally.device(Phase::After) >= ENOUGH || ended())?;
            }
            Ok(())
        };
        let ran = run();
        tally.stop.store(true, Ordering::SeqCst);
        for one in threads {
            one.join().map_err(|_| anyhow!("a thread died"))??;
        }
        ran
    })?;
    if back == "untouched" {
        let elsewhere = PHASES.map(|phase| tally.cpu(phase)).iter().sum::<u64>();
        ensure!(elsewhere == 0 && tally.unanswered.load(Ordering::SeqCst) == 0, "{}", tally.all());
    }
    let drained = first.shutdown();
    drop(first);
    if !same {
        let second = engine(queue)?;
        for round in 0..4 {
            let src: Vec<u8> = (0..LEN).map(pattern(round)).collect();
            let done =
                block_on(second.copy(src, vec![0; LEN])).map_err(|failed| anyhow!("afterwards: {failed}"))?;
            ensure!(done.buffers.0 == done.buffers.1, "a copy afterwards is not right");
            ensure!(
                matches!(done.report.path, Path::Hardware { .. }),
                "not the device: {}",
                done.report.path
            );
        }
    }
    println!("{}; {drained:?}; back with {} engine", tally.all(), if same { "the same" } else { "a new" });
    Ok(())
}
