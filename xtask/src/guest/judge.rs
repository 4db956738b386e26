//! Whether a test's output is that of a success.

use serde_json::Value;

use crate::guest::session::{End, Ran};

/// What must be so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Judge {
    /// Status 0.
    Succeeds,
    /// Status 0 of a test program of Rust's that ran something, all of it well, and said this.
    Libtest {
        /// On some line.
        says: &'static str,
    },
    /// What `svala doctor --json` finds wrong of what a queue needs, no more and no less; with nothing given, everything
    /// is well, and nothing is unknown.
    Doctor {
        /// Identifiers of checks, each once.
        wrong: &'static [&'static str],
    },
    /// Lines that begin with `pass` and `fail`, one for each run of a program: at least one, and no failure.
    Matrix,
}

impl Judge {
    /// A short word about a success.
    ///
    /// # Errors
    ///
    /// Why it is none.
    pub(crate) fn judge(self, ran: &Ran) -> Result<String, String> {
        if ran.end == End::Never {
            return Err("the guest ended before it did".into());
        }
        match self {
            Self::Succeeds => succeeded(ran).map(|()| last_line(&ran.output)),
            Self::Libtest { says } => libtest(ran, says),
            Self::Doctor { wrong } => doctor(ran, wrong),
            Self::Matrix => matrix(ran),
        }
    }
}

fn succeeded(ran: &Ran) -> Result<(), String> {
    match &ran.end {
        End::Exit(0) => Ok(()),
        End::Exit(status) => Err(format!("status {status}: {}", last_line(&ran.output))),
        End::Otherwise(text) => Err(text.clone()),
        End::Never => Err("the guest ended before it did".into()),
    }
}

fn last_line(output: &str) -> String {
    output.trim_end().lines().last().unwrap_or_default().to_owned()
}

/// The number in front of a word: `test result: ok. 12 passed; 0 failed`.
fn count(line: &str, word: &str) -> Option<u64> {
    let before = line.split_once(&format!(" {word}"))?.0;
    before.rsplit([' ', ';']).next()?.parse().ok()
}

fn libtest(ran: &Ran, says: &str) -> Result<String, String> {
    let result = ran.output.lines().find(|line| line.starts_with("test result:"));
    let failed: Vec<_> = ran
        .output
        .lines()
        .filter_map(|line| line.strip_prefix("test ")?.strip_suffix("... FAILED"))
        .map(str::trim)
        .collect();
    let text = result.unwrap_or("no result of the test program");
    if !failed.is_empty() {
        return Err(format!("{text}; {}", failed.join(", ")));
    }
    succeeded(ran)?;
    if count(text, "passed").is_none_or(|passed| passed == 0) {
        return Err(format!("nothing was tested: {text}"));
    }
    if !ran.output.contains(says) {
        return Err(format!("not {says}"));
    }
    Ok(format!("{} passed {says}", count(text, "passed").unwrap_or(0)))
}

/// The first JSON object in the output: warnings may be in front of it.
fn json(output: &str) -> Option<Value> {
    let at = output.find('{')?;
    serde_json::Deserializer::from_str(&output[at..]).into_iter().next()?.ok()
}

fn doctor(ran: &Ran, wrong: &[&str]) -> Result<String, String> {
    let value = json(&ran.output).ok_or("no report of svala doctor")?;
    let findings = value["findings"].as_array().ok_or("no findings")?;
    let with = |verdict: &str| -> Vec<&str> {
        let found = findings.iter().filter(|one| one["verdict"] == verdict);
        found.filter_map(|one| one["id"].as_str()).collect()
    };
    let (bad, unknown) = (with("wrong"), with("unknown"));
    if wrong.is_empty() {
        let needed = |one: &Value| {
            one["required"] == true && (one["verdict"] == "wrong" || one["verdict"] == "unknown")
        };
        let well = !findings.iter().any(needed) && ran.end == End::Exit(0);
        let text =
            format!("{} checks; wrong: {}; unknown: {}", findings.len(), bad.join(" "), unknown.join(" "));
        return if well { Ok(text) } else { Err(text) };
    }
    let needed = |id: &&str| findings.iter().any(|one| one["id"] == **id && one["required"] == true);
    let mut named: Vec<_> = bad.iter().copied().filter(needed).collect();
    named.sort_unstable();
    named.dedup();
    let missing: Vec<_> = wrong.iter().filter(|id| !named.contains(id)).copied().collect();
    let more: Vec<_> = named.iter().filter(|id| !wrong.contains(id)).copied().collect();
    if ran.end == End::Exit(0) {
        return Err(format!("status 0 with {} wrong", bad.join(" ")));
    }
    match (missing.as_slice(), more.as_slice()) {
        ([], []) => Ok(named.join(" ")),
        ([], more) => Err(format!("found wrong, and is not: {}", more.join(" "))),
        (missing, _) => Err(format!("not found wrong: {}; found: {}", missing.join(" "), named.join(" "))),
    }
}

fn matrix(ran: &Ran) -> Result<String, String> {
    let lines = |word: &str| ran.output.lines().filter(|line| line.starts_with(word)).count();
    let (passed, failed) = (lines("pass "), lines("fail "));
    let text = format!("{passed} runs passed, {failed} failed");
    succeeded(ran).map_err(|error| format!("{text}; {error}"))?;
    if failed > 0 || passed == 0 { Err(text) } else { Ok(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ran(end: End, output: &str) -> Ran {
        Ran { name: "it".into(), end, output: output.into() }
    }

    #[test]
    fn a_test_program_that_tested_nothing_is_a_failure() {
        let judge = Judge::Libtest { says: "by ENQCMD" };
        let good = "by ENQCMD\ntest result: ok. 12 passed; 0 failed; 0 ignored\n";
        assert_eq!(judge.judge(&ran(End::Exit(0), good)), Ok("12 passed by ENQCMD".into()));
        let nothing = good.replace("12 passed", "0 passed");
        assert!(judge.judge(&ran(End::Exit(0), &nothing)).is_err());
        assert!(judge.judge(&ran(End::Exit(0), &good.replace("ENQCMD", "write(2)"))).is_err());
        assert!(judge.judge(&ran(End::Exit(101), good)).is_err());
        assert!(judge.judge(&ran(End::Never, good)).is_err());
    }

    #[test]
    fn a_doctor_who_finds_the_wrong_thing_is_wrong() {
        let report = "warning\n{\"findings\": [{\"id\": \"a\", \"required\": true, \"verdict\": \"wrong\"}, {\"id\": \"b\", \"required\": true, \"verdict\": \"ok\"}]}\n";
        assert!(Judge::Doctor { wrong: &["a"] }.judge(&ran(End::Exit(1), report)).is_ok());
        assert!(Judge::Doctor { wrong: &["b"] }.judge(&ran(End::Exit(1), report)).is_err());
        assert!(Judge::Doctor { wrong: &["a"] }.judge(&ran(End::Exit(0), report)).is_err());
        let both = report.replace("ok", "wrong");
        assert!(Judge::Doctor { wrong: &["a"] }.judge(&ran(End::Exit(1), &both)).is_err());
        assert!(Judge::Doctor { wrong: &["b", "a"] }.judge(&ran(End::Exit(1), &both)).is_ok());
        assert!(Judge::Doctor { wrong: &[] }.judge(&ran(End::Exit(0), report)).is_err());
        let well = report.replace("wrong", "ok");
        assert!(Judge::Doctor { wrong: &[] }.judge(&ran(End::Exit(0), &well)).is_ok());
    }

    #[test]
    fn a_matrix_needs_runs_and_no_failure() {
        assert!(Judge::Matrix.judge(&ran(End::Exit(0), "pass a\npass b\n")).is_ok());
        assert!(Judge::Matrix.judge(&ran(End::Exit(0), "pass a\nfail b\n")).is_err());
        assert!(Judge::Matrix.judge(&ran(End::Exit(0), "")).is_err());
    }
}
