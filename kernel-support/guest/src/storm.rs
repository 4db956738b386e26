//! Everything at once, for long: processes that open a queue, have pages missing under the device, change their memory
//! meanwhile, fork, end and are killed with work under way; and the queue, the device and its driver, which go and come
//! back between them.
//!
//! `storm FAULTS QUEUE` goes on until the processes that ended in order have counted so many absent pages. Children are this
//! program again, each with a seed.
//!
//! UNSAFETY: forks, and ends a process without its destructors.
#![expect(unsafe_code, reason = "fork and _exit, in the middle of things")]

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};

use crate::Test;
use crate::cold::pattern;
use crate::counts::{no_bond_is_left, nothing_ahead};
use crate::map::{Map, PAGE};
use crate::queue::{Answer, PAGE_REFUSED, PATIENCE, Queue, Record, SUCCESS, WRITE, copy};
use crate::races::each_page_is_copied_or_gone;
use crate::under_load::carry_out;

pub(crate) const TESTS: &[Test] = &[("storm", storm), ("task_storm", task)];

/// At once.
const PROCESSES: usize = 4;
/// Between two of what happens to the device.
const ROUNDS_BETWEEN: usize = 4;
/// Copies of a thread.
const COPIES: usize = 24;
const PAGES: usize = 32;
const LEN: usize = PAGES * PAGE;
/// Descriptors that a process leaves behind.
const LEFT_BEHIND: usize = 4;

/// How a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    InOrder,
    WithWorkUnderWay,
    Killed,
}

impl End {
    fn of(seed: usize) -> Self {
        match seed % 4 {
            0 => Self::WithWorkUnderWay,
            1 => Self::Killed,
            _ => Self::InOrder,
        }
    }
}

fn storm(arguments: &[String]) -> Result<()> {
    let [faults, queue] = arguments else { bail!("usage: storm FAULTS QUEUE") };
    let wanted: u64 = faults.parse().context("FAULTS")?;
    nothing_ahead()?;
    let (mut counted, mut rounds, mut killed, mut left, mut events) = (0, 0, 0, 0, 0);
    while counted < wanted {
        let mut children = Vec::new();
        for n in 0..PROCESSES {
            let seed = rounds * PROCESSES + n;
            children.push((seed, begin(queue, seed)?));
        }
        for (seed, child) in children {
            counted += end(seed, child).with_context(|| format!("process {seed}"))?;
            match End::of(seed) {
                End::InOrder => {}
                End::WithWorkUnderWay => left += 1,
                End::Killed => killed += 1,
            }
        }
        rounds += 1;
        if rounds % ROUNDS_BETWEEN == 0 {
            // With no process on it: what Linux 7.2.13 does otherwise is in the README.
            until_nobody_has_it()?;
            event(rounds / ROUNDS_BETWEEN)?;
            events += 1;
        }
    }
    no_bond_is_left()?;
    println!(
        "{counted} absent pages in {} processes, of which {killed} were killed and {left} ended with work under way; the \
         device went and came back {events} times",
        rounds * PROCESSES
    );
    Ok(())
}

fn begin(queue: &str, seed: usize) -> Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["task_storm", queue, &seed.to_string()]);
    Ok(command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?)
}

/// Waits for it, or kills it as it is its lot; how many absent pages it has counted.
fn end(seed: usize, mut child: Child) -> Result<u64> {
    let lines = BufReader::new(child.stdout.take().context("no pipe")?).lines();
    let (mut counted, mut said) = (0, String::new());
    for line in lines {
        let line = line?;
        if let Some(number) = line.strip_prefix("pages ") {
            counted = number.parse().context("pages")?;
        } else if line == "under way" && End::of(seed) == End::Killed {
            kill(Pid::from_raw(i32::try_from(child.id())?), Signal::SIGKILL)?;
        } else {
            said += &format!("{line}; ");
        }
    }
    let status = child.wait()?;
    ensure!(status.success() || End::of(seed) == End::Killed, "{status}: {said}");
    Ok(counted)
}

fn task(arguments: &[String]) -> Result<()> {
    let [queue, seed] = arguments else { bail!("usage: task_storm QUEUE SEED") };
    let seed: usize = seed.parse().context("SEED")?;
    let queue = Queue::open(queue)?;
    let counted = thread::scope(|scope| {
        let threads: Vec<_> = (0..2)
            .map(|n| {
                let queue = &queue;
                scope.spawn(move || copies(queue, seed * 2 + n))
            })
            .collect();
        let mut counted = 0;
        for one in threads {
            counted += one.join().map_err(|_| anyhow!("a thread died"))??;
        }
        Ok::<u64, anyhow::Error>(counted)
    })?;
    println!("pages {counted}");
    if End::of(seed) == End::InOrder {
        return Ok(());
    }
    let src = Map::filled(LEN, pattern(seed))?;
    let mut maps = Vec::new();
    for _ in 0..LEFT_BEHIND {
        let (dst, record) = (Map::cold(LEN)?, Record::new()?);
        queue.submit(
            &copy(src.at(0), dst.at(0), LEN).with_block_on_fault().with_completion(record.prepare()),
        )?;
        maps.push((dst, record));
    }
    println!("under way");
    std::io::stdout().flush()?;
    if End::of(seed) == End::Killed {
        // Until the parent kills us: it holds the other end.
        let _ = std::io::stdin().lines().next();
        bail!("not killed");
    }
    // SAFETY: ends the process at once, without a destructor: as an exit in the middle of things.
    unsafe { libc::_exit(0) };
}

/// One thread's: copies into absent pages, some of them under a change of the memory.
fn copies(queue: &Queue, seed: usize) -> Result<u64> {
    let src = Map::filled(LEN, pattern(seed))?;
    let record = Record::new()?;
    let mut counted = 0;
    for round in 0..COPIES {
        let dst = Map::cold(LEN)?;
        let submitted = || {
            let job = copy(src.at(0), dst.at(0), LEN).with_block_on_fault();
            queue.submit(&job.with_completion(record.prepare()))
        };
        match (seed + round) % 4 {
            0 => {
                submitted()?;
                forked()?;
                record.wait()?.expect(SUCCESS)?;
                dst.expect(0, LEN, pattern(seed)).with_context(|| format!("round {round}, forked"))?;
                counted += PAGES as u64;
            }
            1 => {
                submitted()?;
                dst.unmap(LEN / 2, LEN / 2)?;
                let done = done_or_refused(record.wait()?)?.min(LEN / 2);
                dst.expect(0, done, pattern(seed)).with_context(|| format!("round {round}, unmapped"))?;
                counted += (done / PAGE) as u64;
                dst.unmap(0, LEN / 2)?;
                // Its place may be another thread's already.
                std::mem::forget(dst);
            }
            2 => {
                submitted()?;
                discarded(&dst, &record)?;
                each_page_is_copied_or_gone(&dst, pattern(seed)).with_context(|| format!("round {round}"))?;
                counted += PAGES as u64;
            }
            _ => {
                submitted()?;
                record.wait()?.expect(SUCCESS)?;
                dst.expect(0, LEN, pattern(seed)).with_context(|| format!("round {round}"))?;
                counted += PAGES as u64;
            }
        }
    }
    Ok(counted)
}

/// How many bytes were done.
fn done_or_refused(answer: Answer) -> Result<usize> {
    match answer.status {
        SUCCESS => Ok(LEN),
        status if status == PAGE_REFUSED | WRITE => Ok(usize::try_from(answer.bytes_completed)?),
        _ => Err(anyhow!("{answer:x?}")),
    }
}

/// Takes pages away until the device is done, or has given one up that was absent again and again.
fn discarded(dst: &Map, record: &Record) -> Result<()> {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let storm = scope.spawn(|| -> Result<()> {
            for page in (0..PAGES).cycle() {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                dst.discard(page * PAGE, PAGE)?;
                thread::yield_now();
            }
            Ok(())
        });
        let answer = record.wait();
        stop.store(true, Ordering::Relaxed);
        storm.join().map_err(|_| anyhow!("the storm died"))??;
        done_or_refused(answer?).map(|_| ())
    })
}

/// A child that lives for a moment.
fn forked() -> Result<()> {
    // SAFETY: the child of a process with threads may call what is safe in a signal handler: it ends itself.
    match unsafe { fork() }? {
        ForkResult::Child => {
            // SAFETY: as above.
            unsafe { libc::_exit(0) }
        }
        ForkResult::Parent { child } => match waitpid(child, None)? {
            WaitStatus::Exited(_, 0) => Ok(()),
            other => bail!("the child that was forked: {other:?}"),
        },
    }
}

/// A process that was killed as it forked leaves a child, which has the queue open for a moment longer.
fn until_nobody_has_it() -> Result<()> {
    let started = Instant::now();
    loop {
        let clients = fs::read_to_string("/sys/bus/dsa/devices/dsa0/clients").context("clients")?;
        if clients.trim() == "0" {
            return Ok(());
        }
        ensure!(
            started.elapsed() < PATIENCE,
            "{} have the device open, and no process is there",
            clients.trim()
        );
        thread::sleep(Duration::from_millis(10));
    }
}

/// What happens to the device.
fn event(number: usize) -> Result<()> {
    const DRIVER: &str = "/sys/bus/pci/drivers/idxd";
    let run = |words: &[&str]| carry_out(&words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>());
    match number % 3 {
        0 => run(&["/scripts/flr"])?,
        1 => run(&["accel-config", "disable-device", "dsa0"])?,
        _ => {
            let pci = fs::canonicalize("/sys/bus/dsa/devices/dsa0/..")?;
            let address = pci.file_name().and_then(|name| name.to_str()).context("no address")?.to_owned();
            run(&["accel-config", "disable-device", "dsa0"])?;
            fs::write(format!("{DRIVER}/unbind"), &address)?;
            fs::write(format!("{DRIVER}/bind"), &address)?;
        }
    }
    run(&["/scripts/queues", "dsa0"])
}
