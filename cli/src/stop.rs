//! Ending early: Ctrl-C, `SIGTERM`, a closed terminal.
//!
//! A thread waits for the signals. The first sets a flag, wakes the task that waits for an operation, and makes a
//! pipe readable for whoever waits for standard input; the command then unwinds and its temporary file goes with
//! it. A second signal is for a command that is stuck (a file system that does not answer, say): the file is
//! removed by its name and the process ends on the spot.

use std::fs;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::iterator::Signals;

use crate::error::Trouble;

/// Whether a signal asked for the end.
#[derive(Clone)]
pub(crate) struct Stop(Arc<Inner>);

struct Inner {
    /// The signal's number; 0 before there is one.
    signal: AtomicI32,
    waker: Mutex<Option<Waker>>,
    /// What to remove when there is no time to unwind.
    leftover: Mutex<Option<PathBuf>>,
    /// Readable after the signal.
    readable: UnixStream,
    bell: UnixStream,
}

impl Stop {
    /// Handles the signals from now on, other than those the parent wanted ignored (as `nohup` does).
    ///
    /// # Errors
    ///
    /// What the system says to a socket pair, a handler or a thread.
    pub(crate) fn install() -> Result<Self, Trouble> {
        let stop = Self::unattended().map_err(Trouble::Signals)?;
        // A file-size limit is to be an error of the write, not the end of the process.
        signal_hook::flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false))).map_err(Trouble::Signals)?;
        let ignored = ignored_signals();
        let handled =
            [SIGHUP, SIGINT, SIGTERM].into_iter().filter(|signal| ignored & (1 << (signal - 1)) == 0);
        let mut signals = Signals::new(handled).map_err(Trouble::Signals)?;
        let stop_of_thread = stop.clone();
        std::thread::Builder::new()
            .name("signals".into())
            .spawn(move || signals.forever().for_each(|signal| stop_of_thread.signal(signal)))
            .map_err(Trouble::Signals)?;
        Ok(stop)
    }

    /// One that no signal reaches.
    pub(crate) fn unattended() -> io::Result<Self> {
        let (readable, bell) = UnixStream::pair()?;
        bell.set_nonblocking(true)?;
        let signal = AtomicI32::new(0);
        Ok(Self(Arc::new(Inner {
            signal,
            waker: Mutex::default(),
            leftover: Mutex::default(),
            readable,
            bell,
        })))
    }

    #[cfg(test)]
    pub(crate) fn idle() -> Self {
        Self::unattended().expect("a socket pair")
    }

    /// Takes a signal in.
    pub(crate) fn signal(&self, signal: i32) {
        if self.0.signal.swap(signal, Ordering::SeqCst) != 0 {
            if let Some(path) = &*lock(&self.0.leftover) {
                let _ = fs::remove_file(path);
            }
            signal_hook::low_level::exit(128 + signal);
        }
        let _ = (&self.0.bell).write(&[1]);
        if let Some(waker) = lock(&self.0.waker).take() {
            waker.wake();
        }
    }

    /// Ready when a signal came in; wakes the task when one does.
    pub(crate) fn poll(&self, cx: &Context<'_>) -> Poll<Trouble> {
        // The waker first: a signal after the look finds it.
        *lock(&self.0.waker) = Some(cx.waker().clone());
        match self.check() {
            Ok(()) => Poll::Pending,
            Err(trouble) => Poll::Ready(trouble),
        }
    }

    /// Whether to go on.
    ///
    /// # Errors
    ///
    /// [`Trouble::Stopped`] after a signal.
    pub(crate) fn check(&self) -> Result<(), Trouble> {
        match self.0.signal.load(Ordering::SeqCst) {
            0 => Ok(()),
            signal => Err(Trouble::Stopped(signal)),
        }
    }

    /// Waits until `fd` has something to read, or has ended, or a signal comes in (which [`Self::check`] tells).
    pub(crate) fn wait_readable(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        self.wait(fd, PollFlags::POLLIN)
    }

    /// Waits until `fd` takes something, or has lost its reader, or a signal comes in.
    pub(crate) fn wait_writable(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        self.wait(fd, PollFlags::POLLOUT)
    }

    /// Waits that long.
    ///
    /// # Errors
    ///
    /// [`Trouble::Stopped`] as soon as there is a signal.
    pub(crate) fn pause(&self, time: Duration) -> Result<(), Trouble> {
        let until = Instant::now() + time;
        loop {
            self.check()?;
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            let left = PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX);
            // Whatever it says, the clock and the signal are looked at again.
            let _ = poll(&mut [PollFd::new(self.0.readable.as_fd(), PollFlags::POLLIN)], left);
        }
    }

    fn wait(&self, fd: BorrowedFd<'_>, event: PollFlags) -> io::Result<()> {
        let mut fds = [PollFd::new(fd, event), PollFd::new(self.0.readable.as_fd(), PollFlags::POLLIN)];
        loop {
            match poll(&mut fds, PollTimeout::NONE) {
                Ok(_) => return Ok(()),
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// What a second signal is to remove.
    pub(crate) fn set_leftover(&self, path: &Path) {
        *lock(&self.0.leftover) = Some(path.to_owned());
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The signals this process was started to ignore, one bit each; signal 1 is bit 0.
fn ignored_signals() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}
