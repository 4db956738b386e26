//! Our own programs, as cargo always builds them: what other tests have compiled is not compiled again.
//!
//! In the guest they find Debian's C library, which is never older than the one that they were linked with.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::Error;
use crate::program;

/// What goes into the image.
#[derive(Debug)]
pub(crate) struct Programs {
    /// The first process, and tests.
    pub(crate) guest: PathBuf,
    /// The command line.
    pub(crate) svala: PathBuf,
    /// The conformance bodies on real queues.
    pub(crate) hardware: PathBuf,
}

impl Programs {
    /// Builds what is not up to date.
    pub(crate) fn build() -> Result<Self, Error> {
        eprintln!("building the guest's programs");
        // All in one, and of the whole workspace: with the features that its tests are built with.
        let targets = ["--bin", "svala", "--bin", "svala-guest", "--test", "hardware"];
        let built = cargo(&[&["build", "--workspace"], targets.as_slice()].concat())?;
        Ok(Self {
            guest: executable(&built, "svala-guest")?,
            svala: executable(&built, "svala")?,
            hardware: executable(&built, "hardware")?,
        })
    }
}

/// The repository.
pub(crate) fn repository() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package)
}

/// What cargo said, a message a line.
fn cargo(arguments: &[&str]) -> Result<String, Error> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(repository()).args(arguments);
    command.args(["--quiet", "--message-format=json-render-diagnostics"]);
    let output = program::shown(&mut command)?;
    Ok(String::from_utf8_lossy(&output).into_owned())
}

/// The file of one of the targets that were built.
fn executable(messages: &str, name: &str) -> Result<PathBuf, Error> {
    let found = messages.lines().rev().find_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        let is_it = message["target"]["name"].as_str()? == name;
        is_it.then(|| message["executable"].as_str().map(PathBuf::from)).flatten()
    });
    found.ok_or_else(|| Error::Unexpected {
        path: repository().into(),
        what: format!("no program {name} was built"),
    })
}

/// Its bytes, without what only a debugger reads.
pub(crate) fn stripped(program: &Path) -> Result<Vec<u8>, Error> {
    let directory = program.parent().unwrap_or(Path::new("."));
    let mut name = program.file_name().unwrap_or_default().to_owned();
    name.push(".stripped");
    let file = directory.join(name);
    match program::find("strip") {
        Some(strip) => {
            program::output(Command::new(strip).arg("-o").arg(&file).arg(program))?;
            fs::read(&file).map_err(Error::io(&file))
        }
        None => fs::read(program).map_err(Error::io(program)),
    }
}
