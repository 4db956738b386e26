//! What `svala doctor` is told.

use clap::Args as Group;

/// Say what is missing.
#[derive(Clone, Debug, PartialEq, Eq, Group)]
#[command(
    after_help = "One line for each requirement: ok, wrong, unknown or not needed; what it is; in brackets what was read; and \
    after an arrow what mends it. Changes nothing. To see whether a process can be bound to a device, each work \
    queue that is enabled for processes is opened once; run it as the user who will use the queues. Some files \
    are for root only: as root fewer lines are unknown.\n\n\
    Exit status:\n  \
    0    a work queue can be used\n  \
    1    none can: something is to be mended, or there is no accelerator\n  \
    2    trouble\n\n\
    Examples:\n  \
    svala doctor\n  \
    sudo svala doctor | grep wrong\n  \
    svala doctor --quiet --allow-software || echo 'mend it first'\n  \
    svala doctor --json | jq -r '.findings[] | select(.verdict == \"wrong\") | .id'"
)]
pub struct Doctor {
    /// Exit status 0 also on a machine without any accelerator, as the CPU engine does all work there
    #[arg(long)]
    pub allow_software: bool,
}
