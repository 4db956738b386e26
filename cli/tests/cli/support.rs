//! What the tests share: a directory, files of known contents, the command on a device.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command as StdCommand, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use assert_cmd::Command;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

/// What every test runs on.
pub(crate) const DEVICES: [&str; 2] = ["software", "emulated"];

/// Sizes around a page and a segment.
pub(crate) const SIZES: [usize; 6] = [0, 1, 4095, 4096, 4097, (1 << 20) + 1];

/// Longer than any of this takes.
const DEADLINE: Duration = Duration::from_secs(60);

pub(crate) const SVALA: &str = env!("CARGO_BIN_EXE_svala");

/// A directory for one test.
pub(crate) struct Place(TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn at(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.path().join(name)
    }

    /// Makes a file.
    pub(crate) fn file(&self, name: &str, contents: &[u8]) -> PathBuf {
        let path = self.at(name);
        fs::write(&path, contents).unwrap();
        path
    }

    /// Makes a file of `bytes` zeros that takes no room.
    pub(crate) fn sparse(&self, name: &str, bytes: u64) -> PathBuf {
        let path = self.at(name);
        File::create(&path).unwrap().set_len(bytes).unwrap();
        path
    }

    /// 64 MiB of holes, with data at the edges of pages, segments and windows.
    pub(crate) fn holes_with_data(&self, name: &str) -> PathBuf {
        let path = self.sparse(name, 64 << 20);
        let mut file = File::options().write(true).open(&path).unwrap();
        for at in [0, (1 << 20) - 7, 5_000_001, (32 << 20) - 100, (64 << 20) - 300] {
            file.seek(SeekFrom::Start(at)).unwrap();
            file.write_all(&contents(300)).unwrap();
        }
        path
    }

    /// The directory's names, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        names(self.path())
    }

    /// The command, in this directory.
    pub(crate) fn svala(&self, device: &str) -> Command {
        let mut command = Command::new(SVALA);
        command.current_dir(self.path()).args(["--device", device]).timeout(DEADLINE);
        command
    }

    /// Runs the command; it has to end well and say nothing on standard error.
    pub(crate) fn run<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(&self, device: &str, args: I) -> Vec<u8> {
        let output = self.svala(device).args(args).output().unwrap();
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), complaint.as_str()), (Some(0), ""), "on {device}");
        output.stdout
    }

    /// Runs the command; it has to end in trouble, with one line that contains `needle`, and to leave no file behind.
    pub(crate) fn trouble<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(
        &self,
        device: &str,
        args: I,
        needle: &str,
    ) {
        let before = self.names();
        let output = self.svala(device).args(args).output().unwrap();
        self.check_trouble(&output, needle);
        assert_eq!(self.names(), before, "on {device}");
    }

    pub(crate) fn check_trouble(&self, output: &Output, needle: &str) {
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{complaint}");
        assert_eq!(complaint.trim_end().lines().count(), 1, "{complaint}");
        assert!(complaint.starts_with("svala: ") && complaint.contains(needle), "{needle:?} in {complaint}");
    }

    /// Starts the command and leaves it running.
    pub(crate) fn start<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(&self, device: &str, args: I) -> Running {
        // The test may itself have been started with signals ignored, in the background of a script; svala would then
        // go on ignoring them, as it should. `env` (coreutils) becomes the command, with the same process id.
        let mut command = StdCommand::new("env");
        command.args(["--default-signal=INT,TERM,HUP", SVALA]);
        command.current_dir(self.path()).args(["--device", device]).args(args);
        Running(command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    }
}

/// The names in a directory, sorted.
pub(crate) fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Something between text and noise: compressible, never the same twice in 4 KiB.
pub(crate) fn contents(bytes: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut all = Vec::with_capacity(bytes + 8);
    while all.len() < bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let word = state.to_le_bytes();
        all.extend(&word[..(usize::from(word[0]) % 5) + 1]);
        all.extend(b" the "[..usize::from(word[1]) % 5].iter());
    }
    all.truncate(bytes);
    all
}

/// A command that is running. Killed when a test fails.
pub(crate) struct Running(Child);

impl Running {
    pub(crate) fn child(&mut self) -> &mut Child {
        &mut self.0
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.0.id().cast_signed()), signal).unwrap();
    }

    /// Waits until `happened`, which gets the process's directory in /proc.
    pub(crate) fn wait_until(&mut self, what: &str, mut happened: impl FnMut(&Path) -> bool) {
        let process = PathBuf::from(format!("/proc/{}", self.0.id()));
        let start = Instant::now();
        while !happened(&process) {
            assert!(start.elapsed() < DEADLINE, "never: {what}");
            assert_eq!(self.0.try_wait().unwrap(), None, "ended before: {what}");
            std::thread::yield_now();
        }
    }

    /// Waits until `name` is in the list of what it has mapped.
    pub(crate) fn wait_until_mapped(&mut self, name: &str) {
        self.wait_until("file mapped", |process| {
            fs::read_to_string(process.join("maps")).is_ok_and(|maps| maps.contains(name))
        });
    }

    /// Waits for its end; gives its status and what it complained about.
    pub(crate) fn end(mut self) -> (ExitStatus, String) {
        let start = Instant::now();
        while self.0.try_wait().unwrap().is_none() {
            assert!(start.elapsed() < DEADLINE, "does not end");
            std::thread::sleep(Duration::from_millis(2));
        }
        let status = self.0.wait().unwrap();
        let mut complaint = String::new();
        if let Some(mut stderr) = self.0.stderr.take() {
            std::io::Read::read_to_string(&mut stderr, &mut complaint).unwrap();
        }
        (status, complaint)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
