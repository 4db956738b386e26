//! Forks, and processes that are killed with the device at work.
//!
//! UNSAFETY: forks.
#![expect(unsafe_code, reason = "fork, in a process of one thread")]

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};
use svala::IoBuf as _;

use super::edu::{BUFFER_BYTES, Edu};
use crate::Test;
use crate::cold::pattern;

pub(crate) const TESTS: &[Test] = &[
    ("vfio_fork", |_| forked()),
    ("vfio_sigkill", |_| killed()),
    ("vfio_task_until_killed", |_| task_until_killed()),
];

/// The arena is not the child's; what the parent writes after the fork is what the device reads.
fn forked() -> Result<()> {
    let (edu, arena) = Edu::with_arena(1 << 20)?;
    let (mut src, mut dst) = (arena.allocate(BUFFER_BYTES)?, arena.allocate(BUFFER_BYTES)?);
    let (from, to) = (src.span().addr.get(), dst.span().addr.get());
    src.fill(0x01);
    let (reader, writer) = std::io::pipe()?;
    // SAFETY: this process has one thread, so the child may do what it likes.
    let toucher = match unsafe { fork() }? {
        ForkResult::Child => {
            drop(writer);
            // Waits for the parent to be through, then touches what it does not have.
            let _ = (&reader).read(&mut [0]);
            let byte = src[0];
            // SAFETY: ends the process at once.
            unsafe { libc::_exit(i32::from(byte)) };
        }
        ForkResult::Parent { child } => child,
    };
    // While the child is there: without the advice against inheritance, this would make pages anew.
    for round in 0..4 {
        src.iter_mut().enumerate().for_each(|(i, byte)| *byte = pattern(round)(i));
        edu.copy(from, to, BUFFER_BYTES)?;
        let wrong = dst.iter().enumerate().find(|(i, byte)| **byte != pattern(round)(*i));
        ensure!(wrong.is_none(), "round {round}: the device has other pages than the program: {wrong:x?}");
        dst.fill(0);
    }
    drop(writer);
    match waitpid(toucher, None)? {
        WaitStatus::Signaled(_, Signal::SIGSEGV, _) => {}
        other => bail!("the child had the arena: {other:?}"),
    }
    // A child that ends in order takes nothing away.
    // SAFETY: as above.
    match unsafe { fork() }? {
        ForkResult::Child => {
            let is_refused = arena.allocate(1).is_err();
            drop((src, dst, arena));
            // SAFETY: ends the process at once.
            unsafe { libc::_exit(i32::from(!is_refused)) };
        }
        ForkResult::Parent { child } => match waitpid(child, None)? {
            WaitStatus::Exited(_, 0) => {}
            other => bail!("the child got memory of the arena: {other:?}"),
        },
    }
    src.fill(0x77);
    edu.copy(from, to, BUFFER_BYTES)?;
    ensure!(
        dst.iter().all(|byte| *byte == 0x77),
        "the device does not reach the arena after a child has ended"
    );
    println!("a child without the arena, a device that follows the parent");
    Ok(())
}

/// One that is killed in the middle of a DMA leaves a device that the next one can use.
fn killed() -> Result<()> {
    for round in 0..5 {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("vfio_task_until_killed")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let output = child.stdout.take().context("no pipe")?;
        let line = BufReader::new(output).lines().next().context("it ended first")??;
        ensure!(line == "under way", "round {round}: {line}");
        kill(Pid::from_raw(i32::try_from(child.id())?), Signal::SIGKILL)?;
        child.wait()?;
        let (edu, arena) = Edu::with_arena(1 << 20)?;
        edu.check()?;
        let (mut src, dst) = (arena.allocate(BUFFER_BYTES)?, arena.allocate(BUFFER_BYTES)?);
        src.fill(round);
        edu.copy(src.span().addr.get(), dst.span().addr.get(), BUFFER_BYTES)?;
        ensure!(dst.iter().all(|byte| *byte == round), "round {round}: the next one's DMA went wrong");
    }
    println!("5 processes killed with a DMA under way, 5 came after them");
    Ok(())
}

fn task_until_killed() -> Result<()> {
    let (edu, arena) = Edu::with_arena(1 << 20)?;
    let buffer = arena.allocate(BUFFER_BYTES)?;
    edu.start_load(buffer.span().addr.get(), BUFFER_BYTES)?;
    println!("under way");
    let _ = std::io::stdin().read(&mut [0])?;
    bail!("not killed");
}
