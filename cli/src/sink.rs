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
    Stdout(Stdout),
}

/// Standard output, whose reader may keep its writer waiting. A signal ends the wait with an error.
pub(crate) struct Stdout {
    file: File,
    /// Most bytes of one write, so that it does not wait.
    step_bytes: usize,
    stop: Stop,
}

/// What a pipe takes at least when it says that it takes something: Linux's `PIPE_BUF`.
const PIPE_STEP_BYTES: usize = 4096;

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
            let reads: Vec<_> =
                input.identity().map(|identity| (input.path(), identity)).into_iter().collect();
            let manner = Manner { mode: input.mode(), ..manner };
            return Output::create(path, manner, &reads, stop).map(Self::File);
        }
        let stdout = io::stdout();
        if stdout.is_terminal() && !for_people {
            return Err(Trouble::Terminal);
        }
        let file = File::from(stdout.as_fd().try_clone_to_owned().map_err(Trouble::Stdout)?);
        let is_file = file.metadata().map_err(Trouble::Stdout)?.is_file();
        let step_bytes = if is_file { usize::MAX } else { PIPE_STEP_BYTES };
        Ok(Self::Stdout(Stdout { file, step_bytes, stop: stop.clone() }))
    }

    /// The trouble that `error` of a write is.
    pub(crate) fn trouble(&self, error: io::Error) -> Trouble {
        match self {
            Self::File(output) => Trouble::doing("writing: ", output.path(), error),
            Self::Stdout(stdout) => match stdout.stop.check() {
                Ok(()) => Trouble::Stdout(error),
                Err(stopped) => stopped,
            },
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

impl Stdout {
    fn write_some(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stop.wait_writable(self.file.as_fd())?;
        // Not `Interrupted`: that would be tried again.
        self.stop.check().map_err(io::Error::other)?;
        self.file.write(&bytes[..bytes.len().min(self.step_bytes)])
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::File(output) => output.file().write(bytes),
            Self::Stdout(stdout) => stdout.write_some(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
