//! An idle runtime costs nothing: its completion thread does not run at all.

mod support;

use std::fs;

use support::{Options, Plan, Task, When, until, within};
use svala::{FaultPolicy, ResolverChoice};

/// What the kernel says about one thread.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Ran {
    /// Times it gave up the CPU and times it lost it.
    switches: Vec<String>,
    /// Ticks in user and kernel mode.
    ticks: (String, String),
    sleeping: bool,
}

/// The runtime's threads, by their names. This test is alone in its binary, so there is one runtime.
fn threads() -> Vec<(String, Ran)> {
    let mut found = Vec::new();
    for task in fs::read_dir("/proc/self/task").expect("procfs") {
        let path = task.expect("procfs").path();
        let Ok(name) = fs::read_to_string(path.join("comm")) else { continue };
        if !name.starts_with("svala") {
            continue;
        }
        let status = fs::read_to_string(path.join("status")).expect("procfs");
        let stat = fs::read_to_string(path.join("stat")).expect("procfs");
        // After the name in parentheses, state is field 3, utime 14 and stime 15 (proc_pid_stat(5)).
        let fields: Vec<&str> = stat.rsplit(") ").next().expect("a name").split(' ').collect();
        let switches = status.lines().filter(|line| line.contains("ctxt_switches")).map(str::to_owned);
        let ran = Ran {
            switches: switches.collect(),
            ticks: (fields[11].to_owned(), fields[12].to_owned()),
            sleeping: fields[0] == "S",
        };
        found.push((name.trim().to_owned(), ran));
    }
    found
}

/// Four of the ticks the completion thread wakes for while something is in flight.
const WINDOW: std::time::Duration = std::time::Duration::from_secs(1);

#[test]
fn nothing_runs_while_nothing_is_in_flight() {
    for (completion, resolver) in support::BOTH
        .into_iter()
        .flat_map(|c| [ResolverChoice::Auto, ResolverChoice::Threads].map(|r| (c, r)))
    {
        let options = Options::new(completion, |n, _| {
            Plan::cold([When::Thread, When::Polls(3000), When::Held][usize::try_from(n % 3).expect("small")])
        });
        let (runtime, device) = support::runtime_with(options, |config| {
            config.resolver = resolver;
            config.faults = FaultPolicy::Resolve;
        });
        // Everything that makes it run, over: polled, faulted, abandoned.
        within(runtime.fill(support::Cold::new(8192), 1)).expect("a fill");
        within(runtime.fill(vec![0; 10], 1)).expect("a fill");
        let mut task = Task::new(runtime.fill(vec![0; 10], 1));
        task.poll_pending();
        drop(task);
        device.release(2);
        device.wait("the last lands", |stats| stats.fetched == 3);
        // The last tick may be still to come; then a whole window passes in which no thread of the runtime runs
        // once. Nothing announces that nothing happens, so this is looked at in windows.
        until("nothing runs", || {
            let before = threads();
            assert!(!before.is_empty());
            std::thread::park_timeout(WINDOW);
            threads() == before
        });
        // And it wakes again.
        within(runtime.fill(vec![0; 10], 1)).expect("a fill");
        drop(runtime);
        until("the threads are gone", || threads().is_empty());
    }
}
