//! Where bytes go one after the other: a file that is being made, or standard output.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

use crate::error::Trouble;
use crate::output::{Manner, Output};
use crate::source::{Input, STANDARD};
use crate::stop::Stop;

/// Where bytes go.
pub(crate) enum Sink {
    File(Output),
    Stdout(File),
}

impl Sink {
    /// Begins the output `path` for what is made of `input`; `-` is standard output. `for_people`: what comes may go
    /// to a terminal.
    pub(crate) fn create(
        path: &Path,
        manner: Manner,
        input: &Input,
        for_people: bool,
        stop: &Stop,
    ) -> Result<Self, Trouble> {
        if path.as_os_str() != STANDARD {
            let reads = input.identity().map(|identity| (input.path(), identity));
            let manner = Manner { mode: input.mode(), ..manner };
            return Output::create(path, manner, reads, stop).map(Self::File);
        }
        let stdout = io::stdout();
        if stdout.is_terminal() && !for_people {
            return Err(Trouble::Terminal);
        }
        let file = stdout.as_fd().try_clone_to_owned().map_err(Trouble::Stdout)?;
        Ok(Self::Stdout(file.into()))
    }

    /// The trouble that `error` of a write is.
    pub(crate) fn trouble(&self, error: io::Error) -> Trouble {
        match self {
            Self::File(output) => Trouble::doing("writing: ", output.path(), error),
            Self::Stdout(_) => Trouble::Stdout(error),
        }
    }

    /// Writes all of `bytes`.
    pub(crate) fn put(&mut self, bytes: &[u8]) -> Result<(), Trouble> {
        self.write_all(bytes).map_err(|error| self.trouble(error))
    }

    /// Ends it. Says how long the disk took.
    pub(crate) fn finish(self) -> Result<Duration, Trouble> {
        match self {
            Self::File(output) => output.finish(),
            Self::Stdout(_) => Ok(Duration::ZERO),
        }
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::File(output) => output.file().write(bytes),
            Self::Stdout(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
