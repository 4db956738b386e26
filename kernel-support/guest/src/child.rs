//! A program, run to its end or to its deadline.
//!
//! Process 1 is also everybody's foster parent: children of others that end are taken note of and forgotten.
//!
//! A kernel may be without sockets. The standard library then starts programs only if it need not fork by itself: so they are
//! named by their path, and one that is somebody else's becomes that (see [`become_user`]).

use std::fs::File;
use std::os::fd::AsFd as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal, killpg};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Gid, Pid, Uid, setgid, setgroups, setuid};

use crate::job::Step;

/// Where programs are.
const DIRECTORIES: [&str; 3] = ["/bin", "/usr/bin", "/sbin"];
/// The test that is none: [`become_user`].
pub(crate) const BECOME_USER: &str = "become_user";

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// With a status.
    Exited(i32),
    /// By a signal.
    Killed(i32),
    /// It had to be killed.
    Late,
}

/// Runs a step with `line` as its output.
pub(crate) fn run(step: &Step, line: &File, deadline: Option<Duration>) -> Result<End> {
    let (program, arguments) = step.command.split_first().context("an empty command")?;
    let program = &find(program)?;
    let mut command = match step.user {
        0 => Command::new(program),
        user => {
            let mut command = Command::new(std::env::current_exe()?);
            command.arg(BECOME_USER).arg(user.to_string()).arg(program);
            command
        }
    };
    command
        .args(arguments)
        .env_clear()
        .env("PATH", DIRECTORIES.join(":"))
        .env("HOME", "/tmp")
        .env("TERM", "linux");
    command.envs(step.environment.iter().map(|(name, value)| (name, value))).current_dir("/tmp");
    command.stdout(line.try_clone()?).stderr(line.try_clone()?);
    if !step.interactive {
        // So that all of it can be killed. A shell makes a session of its own, which the leader of a group cannot.
        command.process_group(0);
    }
    command.stdin(if step.interactive { Stdio::from(line.try_clone()?) } else { Stdio::null() });
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGCHLD);
    signals.thread_block()?;
    let notices = SignalFd::with_flags(&signals, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
    // A child begins with no signal blocked: the standard library sees to it.
    let child = command.spawn().with_context(|| program.display().to_string())?;
    let pid = Pid::from_raw(i32::try_from(child.id())?);
    wait(pid, &notices, deadline)
}

/// The program of that name, or at that path.
fn find(program: &str) -> Result<PathBuf> {
    if program.contains('/') {
        return Ok(program.into());
    }
    let mut places = DIRECTORIES.iter().map(|directory| Path::new(directory).join(program));
    places.find(|place| place.exists()).with_context(|| format!("{program}: no such program"))
}

/// Becomes a user and its group, then the program: the first two arguments; the rest is the program's.
pub(crate) fn become_user(arguments: &[String]) -> Result<()> {
    let [user, program, arguments @ ..] = arguments else { bail!("no user or no program") };
    let user: u32 = user.parse().with_context(|| user.clone())?;
    setgroups(&[])?;
    setgid(Gid::from_raw(user))?;
    setuid(Uid::from_raw(user))?;
    Err(Command::new(program).args(arguments).exec()).with_context(|| program.clone())
}

fn wait(pid: Pid, notices: &SignalFd, deadline: Option<Duration>) -> Result<End> {
    let started = Instant::now();
    let mut late = false;
    loop {
        if let Some(end) = reap(pid)? {
            return Ok(if late { End::Late } else { end });
        }
        let left = deadline.map(|deadline| deadline.saturating_sub(started.elapsed()));
        if left == Some(Duration::ZERO) && !late {
            late = true;
            let _ = killpg(pid, Signal::SIGKILL);
        }
        // A killed process that does not end is in the kernel's hands: nothing more to be done about it.
        let timeout = match left {
            None => PollTimeout::NONE,
            Some(_) if late => PollTimeout::from(10_000_u16),
            Some(left) => PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX),
        };
        let mut waited = [PollFd::new(notices.as_fd(), PollFlags::POLLIN)];
        match poll(&mut waited, timeout) {
            Ok(0) if late => return Ok(End::Late),
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        while notices.read_signal()?.is_some() {}
    }
}

/// Takes note of all that ended; says how `pid` did, if it did.
fn reap(pid: Pid) -> Result<Option<End>> {
    loop {
        match waitpid(Pid::from_raw(-1), Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(who, status)) if who == pid => return Ok(Some(End::Exited(status))),
            Ok(WaitStatus::Signaled(who, signal, _)) if who == pid => {
                return Ok(Some(End::Killed(signal as i32)));
            }
            Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return Ok(None),
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
