//! What the logs must say.

use std::collections::HashMap;
use std::fmt;
use std::process::ExitCode;

use super::boot::{Log, TIME_IS_UP};
use crate::kernel::Variant;

/// A kernel's words when something is wrong.
const COMPLAINTS: &[&str] = &[
    "WARNING:",
    "BUG:",
    "KASAN:",
    "Oops",
    "possible circular locking",
    "possible recursive locking",
    "inconsistent lock",
    "suspicious RCU usage",
    "sleeping function called",
    "list_add corruption",
    "list_del corruption",
    "ODEBUG:",
    "INFO: task",
    "rcu: INFO",
    "kernel panic",
    "Kernel panic",
    "refcount_t:",
    TIME_IS_UP,
];

/// Lines with these words are the selftests' own doing: they inject failures.
const WANTED: &[&str] = &["FAULT_INJECTION"];

/// The counts a selftest prints at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Selftests {
    run: u32,
    pass: u32,
    fail: u32,
    skip: u32,
}

impl Selftests {
    /// Of the C build of 7.2: the five are `no_viommu` variants.
    pub(super) const IOMMUFD: Self = Self { run: 246, pass: 241, fail: 0, skip: 5 };
    pub(super) const FAIL_NTH: Self = Self { run: 8, pass: 8, fail: 0, skip: 0 };

    /// `# Totals: pass:241 fail:0 xfail:0 xpass:0 skip:5 error:0`. `None` if the program was not asked for.
    pub(super) fn of(log: &Log, program: &str) -> Option<Self> {
        if !log.programs.contains(&program) {
            return None;
        }
        let nothing = Self { run: 0, pass: 0, fail: 0, skip: 0 };
        let Some((text, _)) = log.of(program) else { return Some(nothing) };
        let totals = text.lines().find_map(|line| line.split_once("# Totals: ")).map(|(_, totals)| totals);
        let Some(totals) = totals else { return Some(nothing) };
        let count = |name: &str| {
            let found = totals
                .split_whitespace()
                .filter_map(|pair| pair.split_once(':'))
                .find(|(key, _)| *key == name);
            found.and_then(|(_, number)| number.parse().ok()).unwrap_or(0)
        };
        let (pass, fail, skip) = (count("pass"), count("fail") + count("error"), count("skip"));
        Some(Self { run: pass + fail + skip, pass, fail, skip })
    }
}

impl fmt::Display for Selftests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} run, {} pass, {} skip, {} fail", self.run, self.pass, self.skip, self.fail)
    }
}

/// A kind of object that nothing refers to any more.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Leak {
    /// The program that ran.
    program: String,
    /// The function that asked for it.
    function: String,
}

impl fmt::Display for Leak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object of {} in {}", self.function, self.program)
    }
}

impl Leak {
    /// All that the program of this name printed of `/sys/kernel/debug/kmemleak`. `None` if it was not run, or has no such file.
    fn all(log: &Log) -> Option<Vec<Self>> {
        let (text, status) = log.of("kmemleak")?;
        if status != 0 || !text.contains("@kmemleak") {
            return None;
        }
        Some(text.split("unreferenced object ").skip(1).map(Self::read).collect())
    }

    /// From `comm "NAME", pid ...` and the frames behind `backtrace`, the innermost of which are the allocator's.
    fn read(text: &str) -> Self {
        const ALLOCATOR: [&str; 6] = ["alloc", "kmem", "slab", "kasan", "dup", "track"];
        let program = text.split('"').nth(1).unwrap_or_default().to_owned();
        let frames = text.lines().skip_while(|line| !line.trim_start().starts_with("backtrace")).skip(1);
        let names = frames.filter_map(|line| line.split_whitespace().last()?.split('+').next());
        let function = names
            .into_iter()
            .find(|name| !ALLOCATOR.iter().any(|part| name.contains(part)))
            .unwrap_or_default();
        Self { program, function: function.to_owned() }
    }
}

/// Counts what held and what did not.
#[derive(Debug, Default)]
pub(super) struct Judge {
    passed: u32,
    failed: u32,
    /// What did not, if nothing is to be printed.
    failures: Option<Vec<String>>,
}

impl Judge {
    /// One that prints nothing.
    pub(super) fn silent() -> Self {
        Self { failures: Some(Vec::new()), ..Self::default() }
    }

    /// What did not hold, of a silent one.
    pub(super) fn failures(&self) -> &[String] {
        self.failures.as_deref().unwrap_or_default()
    }

    pub(super) fn check(&mut self, name: &str, held: bool, what: &str) {
        if held {
            self.passed += 1;
        } else {
            self.failed += 1;
        }
        match &mut self.failures {
            Some(failures) if !held => failures.push(format!("{name}: {what}")),
            Some(_) => {}
            None => println!("{} {name}: {what}", if held { "ok    " } else { "FAILED" }),
        }
    }

    /// The guest came to its end, its programs ended well, and the kernel did not complain.
    pub(super) fn log(&mut self, log: &Log) {
        let said = if log.is_over() { "came to its end" } else { "did not come to its end" };
        self.check(&format!("{} guest", log.name), log.is_over(), said);
        for program in &log.programs {
            let status = log.of(program).map(|(_, status)| status);
            let said = status.map_or("did not end".to_owned(), |status| format!("status {status}"));
            self.check(&format!("{} {program}", log.name), status == Some(0), &said);
        }
        let lines: Vec<_> = log.text.lines().collect();
        let mut complaints = Vec::new();
        for (at, line) in lines.iter().enumerate().filter(|(_, line)| complains(line)) {
            if log.name == Variant::C.name() && is_early_free(&lines[at..]) {
                println!("known bug of Linux's C, a fault group freed while its handler has it: {line}");
            } else {
                complaints.push(line);
            }
        }
        let said = complaints.first().map_or("no complaint", |line| line);
        self.check(&format!("{} kernel log", log.name), complaints.is_empty(), said);
        if log.programs.contains(&"kunit") {
            let (text, _) = log.of("kunit").unwrap_or_default();
            let suites = text.lines().filter(|line| line.trim_start().starts_with("ok ")).count();
            let failed = text.lines().find(|line| line.contains("not ok"));
            let said =
                failed.map_or(format!("{} tests", suites.saturating_sub(1)), |line| line.trim().to_owned());
            self.check(&format!("{} KUnit", log.name), suites > 1 && failed.is_none(), &said);
        }
    }

    /// What kmemleak found: nothing that the C build does not leak as well.
    pub(super) fn leaks(&mut self, log: &Log, c: &Log) {
        let name = format!("{} kmemleak", log.name);
        let (Some(found), Some(known)) = (Leak::all(log), Leak::all(c)) else {
            self.check(&name, false, "it did not say anything");
            return;
        };
        let ours = found.iter().find(|leak| !known.contains(leak));
        let said = match ours {
            Some(leak) => format!("{leak}, which C does not leak"),
            None => format!("{} objects, of kinds that C leaks as well ({} there)", found.len(), known.len()),
        };
        self.check(&name, ours.is_none(), &said);
    }

    /// The vehicle's answers against column `column` of the table.
    pub(super) fn vehicle(&mut self, log: &Log, column: usize, expected: &str) {
        if !log.programs.contains(&"checks") {
            return;
        }
        let text = log.printed("checks");
        let pair = |line: &str| {
            let (name, value) = line.split_once(' ')?;
            Some((name.to_owned(), value.trim().parse::<i64>().ok()?))
        };
        let found: HashMap<String, i64> = text.lines().filter_map(pair).collect();
        let rows = expected.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
        for row in rows {
            let mut words = row.split_whitespace();
            let name = words.next().unwrap_or_default();
            let values: Vec<i64> = words.by_ref().take(2).filter_map(|word| word.parse().ok()).collect();
            let reason = words.collect::<Vec<_>>().join(" ");
            let (wanted, got) = (values.get(column).copied(), found.get(name).copied());
            let mut said = got.map_or("not printed".to_owned(), |got| format!("{got}"));
            if wanted != got {
                said += &format!(", not {}", wanted.map_or("?".to_owned(), |wanted| wanted.to_string()));
            } else if values.first() != values.get(1) {
                said += &format!(" (differs: {reason})");
            }
            self.check(&format!("{} {name}", log.name), wanted.is_some() && wanted == got, &said);
        }
    }

    /// What one of the kernel's own selftests counted, and the first of them that failed.
    pub(super) fn selftest(&mut self, log: &Log, program: &str, known: Selftests) {
        let Some(counted) = Selftests::of(log, program) else { return };
        let (text, _) = log.of(program).unwrap_or_default();
        let first = text.lines().find(|line| line.starts_with("not ok ")).unwrap_or_default();
        self.check(&format!("{} {program}", log.name), counted == known, &format!("{counted} {first}"));
    }

    /// Fault-around against the same build without it: page requests of a cold sequential walk, pages of a random one.
    pub(super) fn around(&mut self, rust: &Log) {
        let first = |program: &str| rust.rows(program, "touch").first().cloned().filter(|row| row.len() == 3);
        if let (Some(off), Some(on)) = (first("touch_off"), first("touch_on")) {
            let said =
                format!("{} page requests, {} without; {} ns, {} without", on[0], off[0], on[2], off[2]);
            self.check(
                "fault-around, sequential",
                off[0] == 16384 && on[0] * 8 <= off[0] && on[1] == off[1],
                &said,
            );
        }
        if let (Some(off), Some(on)) = (first("random_off"), first("random_on")) {
            let said = format!("{} pages, {} without", on[1], off[1]);
            self.check("fault-around, random", off[1] > 0 && on[1] * 10 <= off[1] * 11, &said);
        }
    }

    /// Instructions of a fault on a present page, fault-around off.
    pub(super) fn instructions(&mut self, c: i64, rust: i64) {
        let held = c > 0 && rust > 0 && rust * 100 <= c * 105;
        self.check("a fault's instructions", held, &format!("C {c}, Rust {rust}, at most 1.05 times"));
    }

    /// The medians: a fault on a present page, fault-around off.
    pub(super) fn cost(&mut self, c: &mut [i64], rust: &mut [i64]) {
        let median = |numbers: &mut [i64]| {
            numbers.sort_unstable();
            numbers.get(numbers.len() / 2).copied().unwrap_or(0)
        };
        let (c, rust) = (median(c), median(rust));
        // A figure, not a check: the machine's other work is in it.
        println!("cost   of a fault: C {c} ns, Rust {rust} ns, in a guest of translated code");
        self.check("cost was measured", c > 0 && rust > 0, "both builds");
    }

    /// Says how many of each, and the status.
    pub(super) fn end(&self) -> ExitCode {
        println!("{} passed, {} failed", self.passed, self.failed);
        ExitCode::from(u8::from(self.failed > 0))
    }
}

/// Whether these lines begin with what C says when a device was removed from its queue, and its groups freed, while a worker
/// had one of them (ARCHITECTURE.md). A process that is killed at the right moment brings it about.
fn is_early_free(lines: &[&str]) -> bool {
    const REPORT: usize = 40;
    let begins = |word| lines.first().is_some_and(|line| line.contains(word));
    let has = |word: &str| lines.iter().take(REPORT).any(|line| line.contains(word));
    (begins("refcount_t: underflow") || begins("WARNING: lib/refcount.c"))
        && has("Workqueue: iopf_queue")
        && has("iopf_free_group")
}

fn complains(line: &str) -> bool {
    COMPLAINTS.iter().any(|word| line.contains(word)) && !WANTED.iter().any(|word| line.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(text: &str, programs: &[&'static str]) -> Log {
        Log { name: "rust", programs: programs.to_vec(), text: text.to_owned() }
    }

    #[test]
    fn counts_are_read_from_the_totals() {
        let text =
            "@begin iommufd\n# Totals: pass:241 fail:0 xfail:0 xpass:0 skip:5 error:0\n@end iommufd 0\n";
        assert_eq!(Selftests::of(&log(text, &["iommufd"]), "iommufd"), Some(Selftests::IOMMUFD));
        assert_ne!(
            Selftests::of(&log("@begin iommufd\n", &["iommufd"]), "iommufd"),
            Some(Selftests::IOMMUFD)
        );
    }

    #[test]
    fn a_guest_that_dies_fails() {
        let mut judge = Judge::default();
        judge.log(&log("@begin checks\nread 0\n", &["checks"]));
        assert_eq!((judge.passed, judge.failed), (1, 2));
    }

    #[test]
    fn more_than_a_twentieth_more_instructions_fail() {
        let mut judge = Judge::default();
        for (c, rust) in [(1000, 1050), (1000, 900), (1000, 1051), (0, 0), (1000, 0)] {
            judge.instructions(c, rust);
        }
        assert_eq!((judge.passed, judge.failed), (2, 3));
    }

    #[test]
    fn a_complaint_fails() {
        let mut judge = Judge::default();
        judge.log(&log("@begin checks\n@end checks 0\n[ 1.0] WARNING: CPU: 0 at x\n@over\n", &["checks"]));
        assert_eq!((judge.passed, judge.failed), (2, 1));
    }

    #[test]
    fn a_leak_that_c_does_not_have_fails() {
        let object = |function: &str| {
            format!(
                "unreferenced object 0xffff (size 192):\n  comm \"fail_nth\", pid 7, jiffies 3\n  hex dump (first 32 bytes):\n    00 01\n  backtrace (crc 0):\n    kmemleak_alloc+0x4a/0x90\n    __kmalloc_noprof+0x1/0x2\n    {function}+0x1/0x2\n    write+0x1/0x2\n"
            )
        };
        let guest = |objects: &str| {
            log(&format!("@begin kmemleak\n@kmemleak\n{objects}@end kmemleak 0\n"), &["kmemleak"])
        };
        let (theirs, ours) = (object("iommu_fwspec_init"), object("iopf_rust_report"));
        let mut judge = Judge::default();
        judge.leaks(&guest(&theirs), &guest(&(theirs.clone() + &theirs)));
        assert_eq!((judge.passed, judge.failed), (1, 0));
        judge.leaks(&guest(&(theirs.clone() + &ours)), &guest(&theirs));
        judge.leaks(&guest(""), &log("@begin kmemleak\n@end kmemleak 0\n", &["kmemleak"]));
        assert_eq!((judge.passed, judge.failed), (1, 2));
    }

    #[test]
    fn only_c_may_free_a_group_early() {
        let said = "[ 1.0] refcount_t: underflow; use-after-free.\n[ 1.0] WARNING: lib/refcount.c:28 at x\n[ 1.0] Workqueue: iopf_queue/mock\n[ 1.0]  iopf_free_group+0x7b/0x80\n";
        let guest = |name, said: &str| Log { name, programs: Vec::new(), text: format!("{said}@over\n") };
        let failed = |log| {
            let mut judge = Judge::silent();
            judge.log(&log);
            judge.failed
        };
        assert_eq!(failed(guest("c", said)), 0);
        assert_eq!(failed(guest("rust", said)), 1);
        assert_eq!(failed(guest("c", &said.replace("iopf_free_group", "other"))), 1);
    }

    #[test]
    fn an_answer_that_is_missing_or_another_fails() {
        let mut judge = Judge::default();
        let guest = log("@begin checks\nread 0\nwrite 1\n@end checks 0\n", &["checks"]);
        judge.vehicle(&guest, 1, "read 0 0\nwrite 0 0\nexec 1 1\n");
        assert_eq!((judge.passed, judge.failed), (1, 2));
    }
}
