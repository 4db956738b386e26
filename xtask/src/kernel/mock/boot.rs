//! One boot of a variant, and what it printed.

use std::io::Read;
use std::process::Stdio;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::kernel::Variant;
use crate::kernel::root::{Root, image};

/// How long a boot may take, a debug build three times as long.
const DEADLINE: Duration = Duration::from_secs(900);

/// How long one with a seeded fault may take: some never end. Without a fault it takes 40 seconds.
pub(super) const SEEDED_DEADLINE: Duration = Duration::from_secs(180);

/// What stands in a log when it was ended for that.
pub(super) const TIME_IS_UP: &str = "guest: time is up";

/// What a guest printed: a kernel's log and its programs' output, in one stream.
#[derive(Debug)]
pub(super) struct Log {
    pub(super) name: &'static str,
    pub(super) programs: Vec<&'static str>,
    pub(super) text: String,
}

impl Log {
    /// What one program printed, kernel lines included, and its exit status. `None` if it did not end.
    pub(super) fn of(&self, program: &str) -> Option<(&str, i32)> {
        let text = self.since_begin(program)?;
        let end = format!("@end {program} ");
        let to = text.find(&end)?;
        let status = text[to + end.len()..].lines().next()?.trim().parse().ok()?;
        Some((&text[..to], status))
    }

    /// As [`Self::of`], of a program that may not have ended: then with all that follows.
    pub(super) fn printed(&self, program: &str) -> &str {
        self.of(program).map(|(text, _)| text).or_else(|| self.since_begin(program)).unwrap_or_default()
    }

    fn since_begin(&self, program: &str) -> Option<&str> {
        let begin = format!("@begin {program}\n");
        Some(&self.text[self.text.find(&begin)? + begin.len()..])
    }

    /// The numbers on lines `WORD N ...` of a program, one vector a line.
    pub(super) fn rows(&self, program: &str, word: &str) -> Vec<Vec<i64>> {
        let Some((text, _)) = self.of(program) else { return Vec::new() };
        let rows = text.lines().filter_map(|line| line.strip_prefix(word)?.strip_prefix(' '));
        rows.map(|row| row.split_whitespace().filter_map(|number| number.parse().ok()).collect()).collect()
    }

    /// The first numbers of the lines that begin with the program's own name.
    pub(super) fn numbers(&self, program: &str) -> Vec<i64> {
        self.rows(program, program).iter().filter_map(|row| row.first().copied()).collect()
    }

    /// Whether the guest came to its end.
    pub(super) fn is_over(&self) -> bool {
        self.text.contains("@over\n")
    }
}

/// What time is in a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Clock {
    /// The host's, on two CPUs.
    Host,
    /// Instructions, on one CPU: a nanosecond is an instruction executed, whatever else the host does.
    Instructions,
}

impl Clock {
    const fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Host => &["-accel", "tcg,thread=multi", "-smp", "2"],
            Self::Instructions => {
                &["-accel", "tcg,thread=single", "-icount", "shift=0,sleep=off", "-smp", "1"]
            }
        }
    }
}

/// Boots, and returns when the guest has ended or its time is up.
///
/// # Errors
///
/// [`Error::Start`] if QEMU cannot be started. A guest that ends badly shows in its log.
pub(super) fn boot(
    root: &Root,
    variant: Variant,
    clock: Clock,
    programs: &[&'static str],
) -> Result<Log, Error> {
    println!("booting {}: {}", variant.name(), programs.join(" "));
    boot_with(root, variant, clock, programs, "")
}

/// As [`boot`], with more for the kernel's command line, and without a word.
///
/// # Errors
///
/// As there.
pub(super) fn boot_with(
    root: &Root,
    variant: Variant,
    clock: Clock,
    programs: &[&'static str],
    more: &str,
) -> Result<Log, Error> {
    let name = variant.name();
    let parameters =
        format!("console=ttyS0 panic=-1 loglevel=6 kunit.enable=1 {more} svala={}", programs.join(","));
    let kernel = image(variant);
    let mut child = root
        .command("qemu-system-x86_64")
        .args(clock.arguments())
        .args(["-cpu", "max", "-m", "2G"])
        .args(["-display", "none", "-serial", "stdio", "-no-reboot", "-nodefaults"])
        .args(["-kernel", &kernel, "-initrd", "/build/initrd.gz", "-append", &parameters])
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|source| Error::Start { program: "qemu-system-x86_64".to_owned(), source })?;
    let (lines, printed) = channel();
    if let Some(mut out) = child.stdout.take() {
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(len) = out.read(&mut buffer) {
                if len == 0 || lines.send(buffer[..len].to_vec()).is_err() {
                    break;
                }
            }
        });
    }
    let deadline = Instant::now()
        + match variant {
            Variant::Debug => DEADLINE * 3,
            Variant::Seeded => SEEDED_DEADLINE,
            _ => DEADLINE,
        };
    let mut bytes = Vec::new();
    loop {
        match printed.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(more) => bytes.extend(more),
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                bytes.extend(format!("\n{TIME_IS_UP}\n").bytes());
                // It may have ended just now.
                let _ = child.kill();
                break;
            }
        }
    }
    let _ = child.wait();
    let text = String::from_utf8_lossy(&bytes).replace("\r\n", "\n");
    let log = Log { name, programs: programs.to_vec(), text };
    let path = root.file(&format!("/build/{name}{}.log", if clock == Clock::Host { "" } else { "-counted" }));
    std::fs::write(&path, &log.text).map_err(Error::io(&path))?;
    Ok(log)
}
