//! `guest`: a virtual machine with DSA and IAA in it, and tests inside.

use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::cache::Cache;
use crate::error::Error;
use crate::{kernel, qemu};

/// QEMU with the device, kernels, and tests in a guest
#[derive(Debug, Subcommand)]
pub(crate) enum Guest {
    /// Build QEMU with the device
    Qemu(qemu::Qemu),
    /// Build the kernel whose SVA and page-fault path is in Rust
    Kernel(kernel::Kernel),
    /// Run the tests of a tier in a guest
    Test(Test),
    /// Run a command in a guest: `guest run -- svala doctor`
    Run(Run),
    /// A shell in a guest
    Shell(Shell),
}

/// What `guest test` is told.
#[derive(Debug, Args)]
pub(crate) struct Test {
    /// 1: Debian's kernel; 2: the kernel of `guest kernel`
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=2))]
    tier: u8,
    /// Only tests whose name contains one of these
    name: Vec<String>,
}

/// What `guest run` is told.
#[derive(Debug, Args)]
pub(crate) struct Run {
    /// The command and its arguments
    #[arg(last = true, required = true)]
    command: Vec<String>,
}

/// What `guest shell` is told.
#[derive(Debug, Args)]
pub(crate) struct Shell {}

/// Does it.
pub(crate) fn run(guest: &Guest) -> Result<ExitCode, Error> {
    match guest {
        Guest::Qemu(args) => qemu::run(args),
        Guest::Kernel(args) => kernel::run(args),
        Guest::Test(Test { tier, name }) => boot(*tier, name),
        Guest::Run(Run { command }) => boot(1, command),
        Guest::Shell(Shell {}) => boot(1, &[]),
    }
}

/// The pieces that a machine needs.
fn boot(tier: u8, _: &[String]) -> Result<ExitCode, Error> {
    let cache = Cache::open()?;
    qemu::program(&cache)?;
    if tier == 2 {
        kernel::image(&cache)?;
    }
    Err(Error::missing("the guest's image", "a later version of this program"))
}
