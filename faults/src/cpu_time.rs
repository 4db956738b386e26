//! The processor time a run took, and how much of it was the device model's.

use std::fs;
use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

/// Processor time so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CpuTime {
    /// Of this process, threads that have ended included.
    pub(crate) process: Duration,
    /// Of the threads that are engines of an emulated device: what silicon would do instead.
    pub(crate) engines: Duration,
}

impl CpuTime {
    pub(crate) fn now() -> Self {
        let process = getrusage(UsageWho::RUSAGE_SELF).map_or(Duration::ZERO, |usage| {
            let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
            Duration::from_micros(u64::try_from(micros).unwrap_or(0))
        });
        Self { process, engines: engines() }
    }

    /// Of the host: without the engines.
    pub(crate) fn host_since(&self, before: &Self) -> Duration {
        let process = self.process.saturating_sub(before.process);
        process.saturating_sub(self.engines.saturating_sub(before.engines))
    }
}

fn engines() -> Duration {
    let Ok(threads) = fs::read_dir("/proc/self/task") else { return Duration::ZERO };
    let of_engine = |thread: fs::DirEntry| {
        let name = fs::read_to_string(thread.path().join("comm")).ok()?;
        if !name.contains("-engine") {
            return None;
        }
        let times = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        times.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
    };
    threads.flatten().filter_map(of_engine).sum()
}
