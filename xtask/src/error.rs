//! Why a task could not be done.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, ExitStatus};

/// Why a task could not be done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Error {
    /// A piece that another command makes, or that only the machine's owner can bring.
    #[error("{what} is missing; to get it: {get}")]
    Missing {
        /// What is not there.
        what: String,
        /// The command that brings it, or what to do.
        get: String,
    },
    /// A file or directory.
    #[error("{}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// A program that could not be started.
    #[error("{program} cannot be started")]
    Start {
        /// Which.
        program: String,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// A program that ended badly.
    #[error("{program}: {status}{}", tail(output))]
    Program {
        /// With its arguments.
        program: String,
        /// How it ended.
        status: ExitStatus,
        /// What it said last, if it was not shown at once.
        output: String,
    },
    /// A file that is not what it should be.
    #[error("{}: {what}", path.display())]
    Unexpected {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
}

/// Exit status where a piece is missing, so that a script can tell "cannot run here" from "failed".
pub(crate) const EXIT_MISSING: u8 = 3;

impl Error {
    /// An error on `path`.
    pub(crate) fn io(path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { path: path.as_ref().to_owned(), source }
    }

    /// `what` is not there; `get` brings it.
    pub(crate) fn missing(what: impl Into<String>, get: impl Into<String>) -> Self {
        Self::Missing { what: what.into(), get: get.into() }
    }

    /// 3 if something is missing, else 2.
    pub(crate) fn exit(&self) -> ExitCode {
        ExitCode::from(if matches!(self, Self::Missing { .. }) { EXIT_MISSING } else { 2 })
    }
}

/// An error and its sources, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text += &format!(": {error}");
        source = error.source();
    }
    text
}

/// The last lines of what a program said.
fn tail(output: &str) -> String {
    let lines: Vec<_> = output.trim_end().lines().collect();
    lines[lines.len().saturating_sub(20)..].iter().map(|line| format!("\n  {line}")).collect()
}
