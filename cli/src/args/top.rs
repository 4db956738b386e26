//! What `svala top` is told.

use clap::Args as Group;

/// Show the page faults of devices as the kernel counts them.
#[derive(Clone, Debug, PartialEq, Eq, Group)]
#[command(
    after_help = "One line for each bond, that is an address space and a device that works in it, from the file\n\
    iommu_iopf/bonds in debugfs. It is there on a kernel with svala's page-fault path (kernel-support/linux), and only root\n\
    may read it. Counts are since the bond was made, rates since the table before.\n\n\
    Columns:\n  \
    device, pasid    what works where; users: how many have bound the two\n  \
    groups, /s       groups of page requests, and how many a second\n  \
    pages            page requests; flight: groups that wait for their answer\n  \
    success, invalid, failure    answers; after a failure a device asks no more\n  \
    lost             groups given up when the queue of page requests was full\n  \
    ahead, hits      pages made present before the device asked, and those of them it is known to have come to\n  \
    waits, over      faults that waited for a userfaultfd handler, and those that waited in vain\n  \
    median, p99      from request to answer: half of the answers, and 99 of 100, took less\n\n\
    Examples:\n  \
    sudo svala top\n  \
    sudo svala top --interval 500\n  \
    sudo svala top --once\n  \
    sudo svala top --json | jq '.bonds[] | {device, pasid, groups, p99_ns}'"
)]
pub struct Top {
    /// Print one table and end. --json to standard output does the same
    #[arg(long)]
    pub once: bool,
    /// Milliseconds from one table to the next, 100 to 3600000
    #[arg(long, value_name = "MS", default_value = "1000", value_parser = clap::value_parser!(u64).range(100..=3_600_000))]
    pub interval: u64,
}
