//! `guest`: a virtual machine with DSA and IAA in it, and tests inside.

mod archive;
mod boot_kernel;
mod cases;
mod dmatest;
mod image;
mod job;
mod judge;
mod kernel_log;
mod machine;
mod modules;
pub(crate) mod packages;
mod programs;
mod session;
mod suite;

use std::io::IsTerminal as _;
use std::process::{ExitCode, Stdio};

use clap::{Args, Subcommand};

use crate::error::Error;
use crate::kernel::Variant;
use crate::{kernel, qemu};
use cases::Effort;
use job::{Job, Step};
use machine::WHOLE;
use session::{COMMAND, Echo, End};
use suite::Guests;

/// QEMU with the device, kernels, and tests in a guest
#[derive(Debug, Subcommand)]
pub(crate) enum Guest {
    /// Build QEMU with the device
    Qemu(qemu::Qemu),
    /// Build the kernel whose SVA and page-fault path is in Rust
    Kernel(kernel::Kernel),
    /// Seed faults into that path's files, boot each, and say which test notices it
    Mutate(kernel::seeded::Mutate),
    /// Build the kernel's test of DMA engines, which Debian leaves out, as a module for the guest
    Dmatest,
    /// Run the tests of a tier in a guest
    Test(Test),
    /// Run a command in a guest: `guest run -- svala doctor`
    Run(Run),
    /// A shell in a guest
    Shell(Shell),
}

/// What `guest test` is told.
#[derive(Debug, Args)]
#[command(after_help = "Exit status: 0 all passed, 1 a test failed, 2 trouble, 3 something is missing.")]
pub(crate) struct Test {
    /// 1: on QEMU's devices; 2: the kernels of `guest kernel`, in C and in Rust, on the mock device
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=2))]
    tier: u8,
    /// Tier 1 on a kernel of `guest kernel` instead of Debian's
    #[arg(long, value_enum, conflicts_with_all = ["tier", "vfio", "iommufd", "built"])]
    kernel: Option<Variant>,
    /// The tests of vfio and the QAT driver's memory, on QEMU's own devices behind an IOMMU, with Debian's kernel
    #[arg(long, conflicts_with_all = ["tier", "full", "built"])]
    vfio: bool,
    /// The same by iommufd, which Debian's kernel does not have: with the kernel of `guest kernel --variant vfio`
    #[arg(long, conflicts_with_all = ["tier", "full", "built", "vfio"])]
    iommufd: bool,
    /// Also the tests that are long, and all at their full length
    #[arg(long)]
    full: bool,
    /// Tier 2: only with kernels that are built already, of these sources
    #[arg(long)]
    built: bool,
    /// Print the names of the tests
    #[arg(long)]
    list: bool,
    /// Only tests whose name contains one of these
    name: Vec<String>,
}

/// What `guest run` is told.
#[derive(Debug, Args)]
pub(crate) struct Run {
    /// A kernel of `guest kernel` instead of Debian's
    #[arg(long, value_enum)]
    kernel: Option<Variant>,
    /// Leave the work queues as they are after boot: none is configured
    #[arg(long)]
    bare: bool,
    /// The command and its arguments
    #[arg(last = true, required = true)]
    command: Vec<String>,
}

/// What `guest shell` is told.
#[derive(Debug, Args)]
pub(crate) struct Shell {
    /// A kernel of `guest kernel` instead of Debian's
    #[arg(long, value_enum)]
    kernel: Option<Variant>,
}

/// Does it.
pub(crate) fn run(guest: &Guest) -> Result<ExitCode, Error> {
    match guest {
        Guest::Qemu(args) => qemu::run(args),
        Guest::Kernel(args) => kernel::run(args),
        Guest::Mutate(args) => kernel::seeded::run(args),
        Guest::Dmatest => dmatest::build(),
        Guest::Test(Test { list: true, .. }) => Ok(suite::list()),
        Guest::Test(Test { vfio, iommufd, name, .. }) if *vfio || *iommufd => suite::run_vfio(*iommufd, name),
        Guest::Test(Test { tier: 2, full, built, name, .. }) => kernel::test(name, *full, *built),
        Guest::Test(Test { kernel, name, full, .. }) => {
            suite::run(*kernel, name, if *full { Effort::Full } else { Effort::Usual })
        }
        Guest::Run(args) => command(args),
        Guest::Shell(Shell { kernel }) => shell(*kernel),
    }
}

/// Enabled queues that everybody may open.
fn prepared() -> [Step; 2] {
    ["queues", "permissions"]
        .map(|name| Step { required: true, ..Step::new(name, &[&format!("/scripts/{name}")]) })
}

/// The guest's status is ours.
fn command(args: &Run) -> Result<ExitCode, Error> {
    let guests = Guests::prepare(args.kernel)?;
    let words: Vec<_> = args.command.iter().map(String::as_str).collect();
    let mut steps = if args.bare { Vec::new() } else { prepared().to_vec() };
    let mut step = Step { deadline_s: Some(86_400), ..Step::new(COMMAND, &words) };
    // In the guest it always is a terminal.
    if !std::io::stdout().is_terminal() {
        step.environment.push(("NO_COLOR".into(), "1".into()));
    }
    steps.push(step);
    let job = Job { modules: guests.modules(&["idxd"]), steps };
    let machine = machine::Machine { name: "run", ..WHOLE };
    let session = guests.boot(&machine, &job, &mut Echo::new())?;
    for note in &session.notes {
        eprintln!("guest: {note}");
    }
    match session.ran.last() {
        Some(ran) if ran.name == COMMAND => match &ran.end {
            End::Exit(status) => return Ok(ExitCode::from(u8::try_from(*status).unwrap_or(1))),
            End::Otherwise(text) => eprintln!("guest: {text}"),
            End::Never => eprintln!("guest: it ended first; see {}", guests.log(&machine).display()),
        },
        Some(ran) => eprint!("guest: {}: {:?}\n{}", ran.name, ran.end, ran.output),
        None => eprintln!("guest: it did not start; see {}", guests.log(&machine).display()),
    }
    Ok(ExitCode::FAILURE)
}

/// QEMU's second serial line is the terminal.
fn shell(kernel: Option<Variant>) -> Result<ExitCode, Error> {
    let guests = Guests::prepare(kernel)?;
    let mut steps = prepared().to_vec();
    steps.push(Step { deadline_s: None, interactive: true, ..Step::new("shell", &["/scripts/shell"]) });
    let job = Job { modules: guests.modules(&["idxd"]), steps };
    let machine = machine::Machine { name: "shell", ..WHOLE };
    eprintln!("the kernel's log: {}; leave with exit", guests.log(&machine).display());
    let mut command = guests.command(&machine, &job)?;
    command.stdin(Stdio::inherit()).stdout(Stdio::inherit());
    let program = command.get_program().to_string_lossy().into_owned();
    let status = command.status().map_err(|source| Error::Start { program, source })?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
