//! Processes that fork, end and are killed with work under way, and those that come after them.
//!
//! Children are this program again, with a task and a queue as their arguments: a forked copy of a process with threads
//! may not do much. The one test about forking itself forks before it has any.
//!
//! UNSAFETY: forks.
#![expect(unsafe_code, reason = "fork, in a process of one thread")]

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};

use crate::Test;
use crate::cold::{each, pattern};
use crate::map::{Map, PAGE};
use crate::queue::{Queue, Record, SUCCESS, copy};

pub(crate) const TESTS: &[Test] = &[
    ("fork_in_flight", |queues| each(queues, forked)),
    ("exit_in_flight", |queues| ended(queues, "task_exit")),
    ("sigkill_in_flight", |queues| ended(queues, "task_until_killed")),
    ("pasids_come_back", pasids_come_back),
    ("processes_see_their_own_memory", own_memory),
    ("task_exit", |queues| task_under_way(queues, false)),
    ("task_until_killed", |queues| task_under_way(queues, true)),
    ("task_copy", |queues| each(queues, copy_and_check)),
    ("task_own_memory", |queues| each(queues, own_memory_task)),
];

const PAGES: usize = 512;

/// Copies some pages that are absent, and looks at them.
fn copy_and_check(queue: &Queue) -> Result<()> {
    let record = Record::new()?;
    let seed = usize::try_from(std::process::id())?;
    let (src, dst) = (Map::filled(16 * PAGE, pattern(seed))?, Map::cold(16 * PAGE)?);
    queue.copy(src.at(0), dst.at(0), src.len(), &record)?.expect(SUCCESS)?;
    dst.expect(0, src.len(), pattern(seed))
}

/// The child has the memory as it was; what the device still writes is the parent's.
fn forked(queue: &Queue) -> Result<()> {
    for round in 0..12 {
        let len = PAGES * PAGE;
        let record = Record::new()?;
        let (src, dst) = (Map::filled(len, pattern(round))?, Map::filled(len, |_| 0)?);
        queue.submit(
            &copy(src.at(0), dst.at(0), len).with_block_on_fault().with_completion(record.prepare()),
        )?;
        // SAFETY: this process has one thread, so the child may do what it likes.
        match unsafe { fork() }? {
            ForkResult::Child => {
                let before = dst.read(0, len);
                let started = std::time::Instant::now();
                // The parent's device may write on for as long as it likes.
                while started.elapsed().as_millis() < 20 {
                    std::thread::yield_now();
                }
                let same = dst.read(0, len) == before;
                // No destructors: the queue is the parent's.
                // SAFETY: ends the process at once.
                unsafe { libc::_exit(i32::from(!same)) };
            }
            ForkResult::Parent { child } => {
                record.wait()?.expect(SUCCESS)?;
                dst.expect(0, len, pattern(round))
                    .with_context(|| format!("round {round}, in the parent"))?;
                match waitpid(child, None)? {
                    WaitStatus::Exited(_, 0) => {}
                    other => bail!("round {round}: the child saw its memory change: {other:?}"),
                }
            }
        }
    }
    println!("12 forks");
    Ok(())
}

fn me(task: &str, queue: &str) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args([task, queue]);
    Ok(command)
}

fn run(task: &str, queue: &str) -> Result<()> {
    let output = me(task, queue)?.output()?;
    ensure!(
        output.status.success(),
        "{task} {queue}: {}: {}",
        output.status,
        String::from_utf8_lossy(&output.stdout)
    );
    Ok(())
}

/// A process that has much under way, and ends or waits to be killed.
fn task_under_way(queues: &[String], waits: bool) -> Result<()> {
    let queue = Queue::open(queues.first().context("no queue")?)?;
    let len = PAGES * PAGE;
    let src = Map::filled(len, pattern(5))?;
    let mut maps = Vec::new();
    for _ in 0..8 {
        let (dst, record) = (Map::cold(len)?, Record::new()?);
        let job = copy(src.at(0), dst.at(0), len).with_block_on_fault().with_completion(record.prepare());
        queue.submit(&job)?;
        maps.push((dst, record));
    }
    println!("under way");
    if waits {
        // Until the parent kills us: it holds the other end.
        let _ = std::io::stdin().read(&mut [0])?;
        bail!("not killed");
    }
    // SAFETY: ends the process at once, without a destructor: as an exit in the middle of things.
    unsafe { libc::_exit(0) };
}

/// A process ends with work under way; then another one uses the queue, ten times on each.
fn ended(queues: &[String], task: &str) -> Result<()> {
    ensure!(!queues.is_empty(), "no queue was given");
    for queue in queues {
        for round in 0..10 {
            let mut child = me(task, queue)?.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
            until_under_way(&mut child).with_context(|| format!("{queue}, round {round}"))?;
            if task == "task_until_killed" {
                kill(Pid::from_raw(i32::try_from(child.id())?), Signal::SIGKILL)?;
            }
            child.wait()?;
            run("task_copy", queue).with_context(|| format!("after round {round}"))?;
        }
        println!("{queue}: 10 processes ended with 8 descriptors under way, 10 came after them");
    }
    Ok(())
}

fn until_under_way(child: &mut Child) -> Result<()> {
    let output = child.stdout.take().context("no pipe")?;
    let mut lines = BufReader::new(output).lines();
    lines
        .find(|line| line.as_ref().is_ok_and(|line| line == "under way"))
        .map(|_| ())
        .ok_or_else(|| anyhow!("it ended before it had anything under way"))
}

/// One process after another: a PASID that is used again must not remember.
fn pasids_come_back(queues: &[String]) -> Result<()> {
    ensure!(!queues.is_empty(), "no queue was given");
    for queue in queues {
        for _ in 0..40 {
            run("task_copy", queue)?;
        }
        println!("{queue}: 40 processes, one after another");
    }
    Ok(())
}

/// Several processes at once use the same addresses with different contents.
fn own_memory(queues: &[String]) -> Result<()> {
    let queue = queues.first().context("no queue")?;
    let mut children = Vec::new();
    for _ in 0..6 {
        children.push(me("task_own_memory", queue)?.stdout(Stdio::piped()).spawn()?);
    }
    for child in children {
        let output = child.wait_with_output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
    println!("6 processes, 200 copies each, every one in its own memory");
    Ok(())
}

fn own_memory_task(queue: &Queue) -> Result<()> {
    let seed = usize::try_from(std::process::id())?;
    let record = Record::new()?;
    let (src, dst) = (Map::filled(4 * PAGE, pattern(seed))?, Map::filled(4 * PAGE, |_| 0)?);
    for round in 0..200 {
        src.write(0, &[round]);
        queue.copy(src.at(0), dst.at(0), src.len(), &record)?.expect(SUCCESS)?;
        ensure!(dst.load(0) == round, "round {round}: another's data, or old ones");
        dst.expect(1, src.len() - 1, |i| pattern(seed)(i + 1))?;
        std::thread::yield_now();
    }
    Ok(())
}
