//! How the program ends.

use std::process::ExitCode;

/// The exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done.
    Success,
    /// The files differ.
    Different,
    /// Something said no.
    Trouble,
    /// A signal ended it.
    Signal(i32),
}

impl Exit {
    /// The status as the shell sees it; 128 and the signal's number, as shells have it.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Different => 1,
            Self::Trouble => 2,
            Self::Signal(signal) => u8::try_from(128 + signal).unwrap_or(u8::MAX),
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
