//! Process 1: mounts, modules, the steps of the job, power off.
//!
//! The second serial line carries the report: what the steps print, between lines that begin with `@svala`. The kernel
//! keeps the first; a mark in its log says which step was running.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use nix::mount::{MsFlags, mount};
use nix::sys::reboot::{RebootMode, reboot};
use nix::sys::termios::{self, SetArg};

use crate::child::{self, End};
use crate::job::{self, Job, Step};

/// The line of the report.
const LINE: &str = "/dev/ttyS1";

/// Does everything, and powers off.
pub(crate) fn run() -> ! {
    if let Err(error) = boot() {
        // Nobody to tell but the kernel's log.
        let _ = kernel_log(&format!("init: {error:#}"));
        eprintln!("svala-guest: {error:#}");
    }
    // The kernel panics if process 1 ends, and that is the other way to be noticed.
    let _ = reboot(RebootMode::RB_POWER_OFF);
    std::process::exit(1);
}

fn boot() -> Result<()> {
    for (kind, place) in [
        ("proc", "/proc"),
        ("sysfs", "/sys"),
        ("devtmpfs", "/dev"),
        ("tmpfs", "/tmp"),
        ("debugfs", "/sys/kernel/debug"),
    ] {
        let _ = std::fs::create_dir_all(place);
        let mounted = mount(Some(kind), place, Some(kind), MsFlags::empty(), None::<&str>);
        // The initramfs may have the devices mounted by the kernel already; not every kernel has debugfs.
        if let (Err(error), true) = (mounted, kind == "proc" || kind == "sysfs") {
            bail!("{place}: {error}");
        }
    }
    let line = OpenOptions::new().read(true).write(true).open(LINE).context(LINE)?;
    raw(&line)?;
    let job: Job = std::fs::read(job::PATH)
        .context(job::PATH)
        .and_then(|text| serde_json::from_slice(&text).context(job::PATH))?;
    let uptime = std::fs::read_to_string("/proc/uptime")?;
    say(&line, &format!("up {}", uptime.split(' ').next().unwrap_or("?")))?;
    for module in &job.modules {
        load(module)
            .with_context(|| module.clone())
            .or_else(|error| say(&line, &format!("note {error:#}")))?;
    }
    for step in &job.steps {
        if !carry_out(step, &line)? {
            say(&line, &format!("stopped {}", step.name))?;
            break;
        }
    }
    say(&line, "over")?;
    termios::tcdrain(&line).context(LINE)
}

/// No translation of what is written, no echo of what is read.
fn raw(line: &File) -> Result<()> {
    let mut settings = termios::tcgetattr(line.as_fd())?;
    termios::cfmakeraw(&mut settings);
    Ok(termios::tcsetattr(line.as_fd(), SetArg::TCSANOW, &settings)?)
}

/// A line for the runner. It begins on a line of its own, whatever was printed before.
fn say(mut line: &File, text: &str) -> Result<()> {
    Ok(line.write_all(format!("\n@svala {text}\n").as_bytes())?)
}

fn kernel_log(text: &str) -> Result<()> {
    // As an error, so that no level keeps it back.
    let mut log = OpenOptions::new().write(true).open("/dev/kmsg")?;
    Ok(log.write_all(format!("<3>@svala {text}\n").as_bytes())?)
}

fn load(module: &str) -> Result<()> {
    let file = File::open(module)?;
    nix::kmod::finit_module(&file, c"", nix::kmod::ModuleInitFlags::empty())?;
    Ok(())
}

/// Whether to go on.
fn carry_out(step: &Step, line: &File) -> Result<bool> {
    say(line, &format!("begin {}", step.name))?;
    kernel_log(&format!("begin {}", step.name))?;
    let deadline = step.deadline_s.map(Duration::from_secs);
    let end = child::run(step, line, deadline);
    let (text, well) = match end {
        Ok(End::Exited(status)) => (format!("exit {status}"), status == 0),
        Ok(End::Killed(signal)) => (format!("signal {signal}"), false),
        Ok(End::Late) => ("late".to_owned(), false),
        Err(error) => (format!("error {error:#}"), false),
    };
    kernel_log(&format!("end {}", step.name))?;
    say(line, &format!("end {} {text}", step.name))?;
    Ok(well || !step.required)
}
