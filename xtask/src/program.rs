//! Programs of others, run with an error that says what they said.

use std::ffi::OsStr;
use std::io;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::error::Error;

/// Its path, if it is anywhere in `PATH` or where administrators' programs are.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    places.map(|directory| directory.join(name)).find(|program| program.is_file())
}

/// Fails, with the package that has it, if a program is not there.
pub(crate) fn need(name: &str, package: &str) -> Result<(), Error> {
    match find(name) {
        Some(_) => Ok(()),
        None => Err(Error::missing(format!("the program {name}"), format!("apt-get install {package}"))),
    }
}

fn text(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = words.map(|word| OsStr::to_string_lossy(word).into_owned()).collect();
    words.join(" ")
}

fn start_error(command: &Command) -> impl FnOnce(io::Error) -> Error {
    let program = command.get_program().to_string_lossy().into_owned();
    move |source| Error::Start { program, source }
}

/// Runs it without showing anything; its standard output.
///
/// # Errors
///
/// [`Error::Start`], or [`Error::Program`] with both its outputs if it did not end with 0.
pub(crate) fn output(command: &mut Command) -> Result<Vec<u8>, Error> {
    let output = command.stdin(Stdio::null()).output().map_err(start_error(command))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let mut said = String::from_utf8_lossy(&output.stdout).into_owned();
    said += &String::from_utf8_lossy(&output.stderr);
    Err(Error::Program { program: text(command), status: output.status, output: said })
}

/// Runs it with its messages shown; its standard output.
///
/// # Errors
///
/// As [`output`], without what was shown.
pub(crate) fn shown(command: &mut Command) -> Result<Vec<u8>, Error> {
    let output =
        command.stdin(Stdio::null()).stderr(Stdio::inherit()).output().map_err(start_error(command))?;
    match output.status.success() {
        true => Ok(output.stdout),
        false => Err(Error::Program { program: text(command), status: output.status, output: String::new() }),
    }
}
