//! `guest test --tier 2`: the C build and the Rust build of one tree, on the mock device, side by side.
//!
//! Both boot, run the kernel's own iommufd selftests and the vehicle, and are compared: the selftests' counts with each
//! other, the vehicle's answers with `expected.txt`, where every difference has a reason. A line of the kernel's log that
//! complains fails the run.

mod boot;
mod judge;

use std::process::ExitCode;

use super::root::{Root, repository};
use super::{Variant, missing};
use crate::cache::Cache;
use crate::error::Error;
use boot::{Clock, Log, SEEDED_DEADLINE, TIME_IS_UP, boot, boot_with};
use judge::{Judge, Selftests};

/// What both builds run.
const BOTH: &[&str] = &["iommufd", "fail_nth", "checks", "touch_off", "random_off"];
/// What is of the Rust build alone.
const RUST: &[&str] = &["kunit", "touch_on", "random_on", "stress"];
/// What both builds run once more, where instructions are counted.
const COUNTED: &str = "instructions";
/// What the debug build runs.
const DEBUG: &[&str] = &["iommufd", "fail_nth", "checks", "touch_on", "stress", "kunit", "kmemleak"];

/// What the C build runs to show what it leaks.
const LEAKS: &[&str] = &["iommufd", "fail_nth", "checks", "kmemleak"];
/// On the kernel's command line: otherwise it sleeps.
const KMEMLEAK: &str = "kmemleak=on";

/// Runs the tests whose name contains one of `names`, or all; `full` adds the debug build and a million faults. With
/// `built` nothing is compiled: kernels of other sources than these are missing.
///
/// # Errors
///
/// [`Error::Missing`] for what must be made first; a test that fails is not an error but a status.
pub(crate) fn test(names: &[String], full: bool, built: bool) -> Result<ExitCode, Error> {
    let root = Root::open(&Cache::open()?)?;
    for variant in [Variant::C, Variant::Rust] {
        if !root.is_built(variant) {
            return Err(missing(variant));
        }
        if !built {
            root.build(variant)?;
        } else if !root.is_current(variant)? {
            let command = format!("cargo xtask guest kernel --variant {}", variant.name());
            return Err(Error::missing(
                format!("the kernel's {} build, of these sources", variant.name()),
                command,
            ));
        }
    }
    let expected = expected()?;
    let chosen = |all: &[&'static str]| -> Vec<&'static str> {
        all.iter()
            .copied()
            .filter(|name| names.is_empty() || names.iter().any(|part| name.contains(part)))
            .collect()
    };
    let mut judge = Judge::default();
    let c = boot(&root, Variant::C, Clock::Host, &chosen(BOTH))?;
    let mut programs = chosen(BOTH);
    programs.extend(chosen(RUST));
    if full {
        programs.extend(["cost", "stress_million"]);
    }
    let rust = boot(&root, Variant::Rust, Clock::Host, &programs)?;
    for log in [&c, &rust] {
        judge.log(log);
    }
    compare(&mut judge, &c, &rust, &expected);
    if let [counted] = chosen(&[COUNTED])[..] {
        instructions(&mut judge, &root, counted)?;
    }
    if full {
        costs(&mut judge, &root)?;
        debug(&mut judge, &root, &expected)?;
    }
    Ok(judge.end())
}

/// What the vehicle must print.
fn expected() -> Result<String, Error> {
    let path = repository().join("kernel-support/guest/tier2/expected.txt");
    std::fs::read_to_string(&path).map_err(Error::io(&path))
}

/// The tests that notice fault `number` of the build with seeded faults, the quick ones first; `None` if none does.
///
/// # Errors
///
/// As [`boot()`].
pub(super) fn notices(root: &Root, number: usize) -> Result<Option<String>, Error> {
    let expected = expected()?;
    let chosen = format!("iommu_iopf.seeded={number}");
    for programs in [&["kunit", "checks", "touch_off", "touch_on"][..], &["iommufd", "fail_nth", "stress"]] {
        let log = boot_with(root, Variant::Seeded, Clock::Host, programs, &chosen)?;
        let mut judge = Judge::silent();
        judge.vehicle(&log, 1, &expected);
        judge.selftest(&log, "iommufd", Selftests::IOMMUFD);
        judge.selftest(&log, "fail_nth", Selftests::FAIL_NTH);
        judge.around(&log);
        judge.log(&log);
        if !judge.failures().is_empty() {
            return Ok(Some(said(&log, judge.failures())));
        }
    }
    Ok(None)
}

/// The first few, and whether it came to its end. What was not reached says nothing of itself.
fn said(log: &Log, failures: &[String]) -> String {
    const UNREACHED: [&str; 4] = [": not printed", "did not end", "did not come to its end", TIME_IS_UP];
    let reached = failures.iter().filter(|failure| !UNREACHED.iter().any(|word| failure.contains(word)));
    let mut words: Vec<_> =
        reached.take(3).map(|word| word.strip_prefix("seeded ").unwrap_or(word).to_owned()).collect();
    if !log.is_over() {
        let how = if log.text.contains(TIME_IS_UP) {
            format!("did not come to its end in {} seconds", SEEDED_DEADLINE.as_secs())
        } else {
            "died before its end".to_owned()
        };
        // A kernel's lines have a time.
        let is_programs = |line: &&str| !line.is_empty() && !line.starts_with('[') && *line != TIME_IS_UP;
        let last = log.text.lines().rfind(is_programs).unwrap_or_default();
        words.push(format!("{how}, after `{last}`"));
    }
    words.join("; ")
}

fn compare(judge: &mut Judge, c: &Log, rust: &Log, expected: &str) {
    for program in ["iommufd", "fail_nth"] {
        let (Some(c), Some(rust)) = (Selftests::of(c, program), Selftests::of(rust, program)) else {
            continue;
        };
        let known = if program == "iommufd" { Selftests::IOMMUFD } else { Selftests::FAIL_NTH };
        judge.check(&format!("{program} in C"), c == known, &format!("{c}"));
        judge.check(&format!("{program} in Rust"), rust == c, &format!("{rust}"));
    }
    judge.vehicle(c, 0, expected);
    judge.vehicle(rust, 1, expected);
    judge.around(rust);
}

/// The same faults, in instructions: the load of the machine is not in them.
fn instructions(judge: &mut Judge, root: &Root, counted: &'static str) -> Result<(), Error> {
    let mut count = |variant| -> Result<i64, Error> {
        let log = boot(root, variant, Clock::Instructions, &[counted])?;
        judge.log(&log);
        let mut numbers: Vec<i64> =
            log.rows(counted, "cost").iter().filter_map(|row| row.first().copied()).collect();
        numbers.sort_unstable();
        Ok(numbers.get(numbers.len() / 2).copied().unwrap_or(0))
    };
    let (c, rust) = (count(Variant::C)?, count(Variant::Rust)?);
    judge.instructions(c, rust);
    Ok(())
}

/// Boots alternate, so that a slow minute of the machine is not one build's.
fn costs(judge: &mut Judge, root: &Root) -> Result<(), Error> {
    let (mut c, mut rust) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        c.extend(boot(root, Variant::C, Clock::Host, &["cost"])?.numbers("cost"));
        rust.extend(boot(root, Variant::Rust, Clock::Host, &["cost"])?.numbers("cost"));
    }
    judge.cost(&mut c, &mut rust);
    Ok(())
}

fn debug(judge: &mut Judge, root: &Root, expected: &str) -> Result<(), Error> {
    if !root.is_built(Variant::Debug) {
        return Err(missing(Variant::Debug));
    }
    // What C leaks as well is not ours.
    println!("booting c: {} (kmemleak)", LEAKS.join(" "));
    let c = boot_with(root, Variant::C, Clock::Host, LEAKS, KMEMLEAK)?;
    println!("booting debug: {}", DEBUG.join(" "));
    let log = boot_with(root, Variant::Debug, Clock::Host, DEBUG, KMEMLEAK)?;
    judge.log(&log);
    judge.leaks(&log, &c);
    judge.vehicle(&log, 1, expected);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_that_hangs_is_judged_by_what_it_printed() {
        let text = format!("@begin checks\nread 1\nwrite 0\n[ 9.0] x\n\n{TIME_IS_UP}\n");
        let log = Log { name: "seeded", programs: vec!["checks"], text };
        let mut judge = Judge::silent();
        judge.vehicle(&log, 1, "read 0 0\nwrite 0 0\nexec 1 1\n");
        judge.log(&log);
        let all = "read: 1, not 0; did not come to its end in 180 seconds, after `write 0`";
        assert_eq!(said(&log, judge.failures()), all);
    }
}
