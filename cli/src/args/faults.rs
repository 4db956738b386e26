//! What `svala faults` is told.

use std::path::PathBuf;

use clap::Args as Group;
use svala_faults::{Policy, Workload};

use super::Size;

/// Measure what page faults of a device cost.
#[derive(Clone, Debug, PartialEq, Eq, Group)]
#[command(
    after_help = "Workloads are memory that is absent and operations on it; each is laid out anew for each run. Policies are \
    the floor (the CPU populates everything first, then the operation runs), what others do, and svala's own. Results \
    are checked before their times count; times are medians of the runs, whose order alternates. The probe is a 4 KiB \
    copy of present memory beside the workload, again and again: what other tasks notice.\n\n\
    Without --device, or with 'auto', an emulated device: its numbers say nothing about hardware. With --modelled the \
    times are what the device's timing model makes of the same runs, by published figures for Sapphire Rapids: no \
    measurement of hardware either ('auto', which learns from the clock, is left out).\n\n\
    Workloads:\n  \
    sequential        one copy, source and destination not mapped\n  \
    random            4 KiB copies of random pages of a region that is not mapped\n  \
    cold-destination  one copy, only the destination not mapped\n  \
    half-cold         one copy, every other 64 KiB of the destination not mapped\n  \
    strided           4 KiB copies of every fourth page of a region that is not mapped\n  \
    zero-read         one comparison of zeros nobody has touched\n  \
    copy-on-write     one copy to memory shared with a child since its fork\n  \
    cold-file         one copy of a file that is not in the page cache\n  \
    churn             copies to one destination, given back (DONTNEED) before each\n  \
    mixed             one cold copy, and warm 4 KiB copies beside it\n  \
    compress          compression of a region that is not mapped, 1 MiB at a time\n  \
    swap-in           one copy of memory that was swapped out\n\n\
    Policies:\n  \
    floor             the CPU populates everything first\n  \
    inline-touch      the CPU touches every page of a descriptor before it submits that\n  \
    one-page          the faulting page is touched, the rest submitted again: what libraries do today\n  \
    look-ahead        128 KiB from the faulting page on are touched, as LightDSA does\n  \
    block             the device asks for pages, and its engine waits (the emulated device's host brings in those\n  \
                      around them too; a stock kernel, and --modelled, the one page)\n  \
    resolve           svala's default: a window ahead of the fault is populated, off every thread of the program\n  \
    prefetch          svala populates an operation's memory before it is submitted\n  \
    auto              svala takes the cheapest of its three for each operation, see --explain\n\n\
    Examples:\n  \
    svala faults\n  \
    svala faults --size 1G --workload sequential --runs 5\n  \
    svala faults --svg faults.svg --json=faults.json\n  \
    svala faults --modelled\n  \
    svala faults --explain"
)]
pub struct Faults {
    /// Bytes of a workload's memory, from 1M
    #[arg(long, value_name = "SIZE", default_value = "16M")]
    pub size: Size,
    /// Runs of each workload under each policy, 1 to 99
    #[arg(long, value_name = "N", default_value = "3", value_parser = clap::value_parser!(u32).range(1..=99))]
    pub runs: u32,
    /// Workloads; by default all
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    pub workload: Vec<Workload>,
    /// Policies; by default all
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    pub policy: Vec<Policy>,
    /// Leave the probe out
    #[arg(long)]
    pub no_probe: bool,
    /// Times by the timing model instead of the clock
    #[arg(long)]
    pub modelled: bool,
    /// Measure nothing; show what the 'auto' policy has measured on this machine, and what it would choose
    #[arg(long, conflicts_with_all = ["modelled", "svg", "workload", "policy"])]
    pub explain: bool,
    /// Where the file of the cold-file workload is made; by default the directory for temporary files
    #[arg(long, value_name = "DIRECTORY")]
    pub directory: Option<PathBuf>,
    /// Draw the results into this file; must not exist, unless --force is given
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
}
