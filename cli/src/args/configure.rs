//! What `svala configure` is told.

use std::path::PathBuf;

use clap::{Args as Group, Subcommand};

/// Save and load.
#[derive(Clone, Debug, PartialEq, Eq, Group)]
#[command(
    after_help = "A file is what 'accel-config save-config' writes and 'accel-config load-config' reads.\n\n\
    Examples:\n  \
    svala configure save dsa.conf\n  \
    svala configure load dsa.conf --dry-run\n  \
    sudo svala configure load dsa.conf --enable\n\n\
    A file that gives processes one shared queue of dsa0:\n  \
    [{\"dev\": \"dsa0\", \"groups\": [{\"dev\": \"group0.0\",\n     \
    \"grouped_workqueues\": [{\"dev\": \"wq0.0\", \"mode\": \"shared\", \"size\": 16, \"threshold\": 15, \"priority\": 10,\n       \
    \"type\": \"user\", \"driver_name\": \"user\", \"name\": \"app\", \"block_on_fault\": 1}],\n     \
    \"grouped_engines\": [{\"dev\": \"engine0.0\"}]}]}]"
)]
pub struct Configure {
    /// What to do.
    #[command(subcommand)]
    pub action: ConfigureAction,
}

/// What to do with a configuration.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum ConfigureAction {
    /// Write the configuration of the enabled devices and work queues to a file
    Save(Save),
    /// Configure devices as a file has it: all of it, or nothing
    Load(Load),
}

/// Write a file.
#[derive(Clone, Debug, PartialEq, Eq, Group)]
#[command(after_help = "Examples:\n  svala configure save dsa.conf\n  svala configure save --all | less")]
pub struct Save {
    /// The file to make; must not exist, unless --force is given; standard output if it is '-' or left out
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Also what is not enabled
    #[arg(long)]
    pub all: bool,
}

/// Read a file.
#[derive(Clone, Debug, PartialEq, Eq, Group)]
#[command(
    after_help = "What the devices cannot do is refused before anything is written. If the kernel refuses a write, or on \
    Ctrl-C, what was written is put back. What is as the file has it already is not written.\n\n\
    Examples:\n  \
    svala configure load dsa.conf --dry-run\n  \
    sudo svala configure load dsa.conf --enable\n  \
    sudo svala configure load dsa.conf --disable-first --enable"
)]
pub struct Load {
    /// The file; '-' is standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Write nothing; print the writes, as commands of a shell
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Enable the devices and work queues of the file afterwards
    #[arg(short, long)]
    pub enable: bool,
    /// Disable devices that are enabled first, whoever uses them
    #[arg(long)]
    pub disable_first: bool,
}
