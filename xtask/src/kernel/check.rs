//! `guest kernel --check`: what Linux asks of patches, by its own programs: checkpatch, rustfmt, clippy.

use std::fs;
use std::process::{Command, ExitCode};

use super::root::{Root, repository};
use super::series;
use crate::error::Error;

/// Kinds of warnings that stay, a line each with the reason.
const STAYING: &str = "kernel-support/linux/checkpatch.txt";
/// Where the series is, inside.
const SERIES: &str = "/build/checked";

/// Says what each finds. Fails if one finds anything that is not to stay.
///
/// # Errors
///
/// [`Error::Missing`] without Perl, and what cannot be read or started.
pub(super) fn run(root: &Root) -> Result<ExitCode, Error> {
    let directory = root.file(SERIES);
    if directory.exists() {
        fs::remove_dir_all(&directory).map_err(Error::io(&directory))?;
    }
    let inside = series::write(root, &directory)?;
    let staying = repository().join(STAYING);
    let staying = fs::read_to_string(&staying).map_err(Error::io(&staying))?;
    let found = checkpatch(root)?;
    let (kept, new): (Vec<_>, Vec<_>) = found.iter().partition(|line| stays(line, &staying));
    new.iter().for_each(|line| println!("{line}"));
    println!("checkpatch: {} complaints, {} of kinds that stay", found.len(), kept.len());
    let formatted = says_nothing(&mut root.script(inside, "rustfmt"), "rustfmt")?;
    let linted = says_nothing(&mut root.script(inside, "clippy"), "clippy")?;
    let well = new.is_empty() && formatted && linted;
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Its complaints, a line each: `0001-...patch:10: WARNING:KIND: what`.
fn checkpatch(root: &Root) -> Result<Vec<String>, Error> {
    let command = format!(
        "cd /build/linux && scripts/checkpatch.pl --terse --show-types --no-summary {SERIES}/*.patch"
    );
    let mut checkpatch = root.command("sh");
    let output = checkpatch.args(["-c", &command]).output();
    let output = output.map_err(|source| Error::Start { program: "checkpatch.pl".into(), source })?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    // It ends with 1 when it finds something, and says nothing on standard error unless something is missing.
    if !output.stderr.is_empty() {
        let what = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(Error::Unexpected { path: root.file("/build/linux/scripts/checkpatch.pl"), what });
    }
    Ok(said.lines().filter(|line| kind(line).is_some()).map(str::to_owned).collect())
}

/// `WARNING:LONG_LINE: ...` has `LONG_LINE`.
fn kind(line: &str) -> Option<&str> {
    let (_, rest) = ["ERROR:", "WARNING:", "CHECK:"].iter().find_map(|level| line.split_once(level))?;
    rest.split_once(':').map(|(kind, _)| kind)
}

/// Whether `line`'s kind is in the list.
fn stays(line: &str, list: &str) -> bool {
    let listed = |row: &str| row.split_once(' ').map(|(kind, _)| kind) == kind(line);
    list.lines().filter(|row| !row.starts_with('#')).any(listed)
}

/// Whether it ends well and without a word: a warning is no failure of clippy's own.
fn says_nothing(command: &mut Command, name: &str) -> Result<bool, Error> {
    let output = command.output().map_err(|source| Error::Start { program: name.into(), source })?;
    let said = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text)).concat();
    let is_silent = output.status.success() && said.trim().is_empty();
    println!("{name}: {}", if is_silent { "nothing to say" } else { said.trim_end() });
    Ok(is_silent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_enough_to_fail() {
        let ends = |script: &str| says_nothing(Command::new("sh").args(["-c", script]), "sh").unwrap();
        assert!(ends(":"));
        assert!(!ends("echo warning >&2") && !ends("echo Diff") && !ends("exit 1"));
    }

    #[test]
    fn only_listed_kinds_stay() {
        let list = "# kind why\nFILE_PATH_CHANGES it has no maintainers yet\n";
        let line = |kind: &str| format!("0001-x.patch:10: WARNING:{kind}: what: and why");
        assert!(stays(&line("FILE_PATH_CHANGES"), list));
        assert!(!stays(&line("LONG_LINE"), list) && !stays(&line("kind"), list) && !stays(&line("#"), list));
        assert_eq!(kind("0001-x.patch:10: ERROR:SPACING: what"), Some("SPACING"));
        assert_eq!(kind("total: 0 errors"), None);
    }
}
