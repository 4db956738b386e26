//! A file that is made: under another name in its directory until it is complete.
//!
//! Whatever ends the program before (an error, a panic, a signal) leaves nothing under the destination's name and
//! removes the temporary file; only `SIGKILL` and a dead machine leave `.svala-*` behind. Room is reserved before
//! anything is mapped: a write through a map to a full disk would be a `SIGBUS`, not an error.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::posix_fallocate;
use nix::sys::statvfs::fstatvfs;
use svala_engine::FileMapMut;
use tempfile::NamedTempFile;

use crate::error::Trouble;
use crate::source::{Identity, Watched, kind};
use crate::stop::Stop;

/// Bytes reserved between two looks for a signal.
const RESERVE_STEP_BYTES: u64 = 1 << 30;

/// What is to become of an output.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manner {
    /// An existing destination is replaced.
    pub(crate) force: bool,
    /// Wait until it is on the disk.
    pub(crate) sync: bool,
    /// Permission bits, before the umask.
    pub(crate) mode: u32,
}

/// A file that is being made.
pub(crate) struct Output {
    temp: NamedTempFile,
    /// What it becomes.
    destination: PathBuf,
    /// What the user calls it.
    path: PathBuf,
    len: u64,
    manner: Manner,
    stop: Stop,
}

impl Output {
    /// Begins the file that will be `path`. `reads` is what it is made from: never that file itself.
    pub(crate) fn create(
        path: &Path,
        manner: Manner,
        reads: &[(&Path, Identity)],
        stop: &Stop,
    ) -> Result<Self, Trouble> {
        let trouble = |error| Trouble::doing("creating it: ", path, error);
        let destination = destination(path, manner.force, reads)?;
        let directory = match destination.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        // The system's own error, without the temporary file's name that the crate puts into it.
        let mut refusal = None;
        let temp = tempfile::Builder::new().prefix(".svala-").make_in(directory, |path| {
            let mut options = OpenOptions::new();
            options.read(true).write(true).create_new(true).mode(manner.mode);
            options.open(path).inspect_err(|error| refusal = error.raw_os_error())
        });
        let temp = temp.map_err(|error| trouble(refusal.map_or(error, io::Error::from_raw_os_error)))?;
        stop.set_leftover(temp.path());
        Ok(Self { temp, destination, path: path.to_owned(), len: 0, manner, stop: stop.clone() })
    }

    /// Makes it `len` bytes long, on the disk and not only on paper.
    pub(crate) fn reserve(&mut self, len: u64) -> Result<(), Trouble> {
        let trouble = |error: Errno| Trouble::doing("reserving room: ", &self.path, error.into());
        let file_system = fstatvfs(self.temp.as_file()).map_err(trouble)?;
        // Without this look, a size that can never fit would fill the disk before it fails.
        let free = file_system.blocks_free().saturating_mul(file_system.fragment_size());
        if len > free {
            return Err(Trouble::NoRoom { path: self.path.clone(), bytes: len, free });
        }
        while self.len < len {
            self.stop.check()?;
            let step = (len - self.len).min(RESERVE_STEP_BYTES);
            let (offset, bytes) = (self.len.cast_signed(), step.cast_signed());
            match posix_fallocate(self.temp.as_file(), offset, bytes) {
                Ok(()) => self.len += step,
                Err(Errno::EINTR) => {}
                // Some libraries do not write zeros in the place of a file system that cannot reserve. Then a full
                // disk shows later, as an operation's error.
                Err(Errno::EOPNOTSUPP) => {
                    self.temp.as_file().set_len(len).map_err(|error| Trouble::file(&self.path, error))?;
                    self.len = len;
                }
                Err(error) => return Err(trouble(error)),
            }
        }
        Ok(())
    }

    /// Maps a reserved part of it.
    pub(crate) fn map(&self, range: &std::ops::Range<u64>) -> Result<FileMapMut, Trouble> {
        FileMapMut::range(self.temp.as_file(), range.start, range.end - range.start)
            .map_err(|error| Trouble::doing("mapping it: ", &self.path, error))
    }

    pub(crate) fn file(&self) -> &File {
        self.temp.as_file()
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// To be watched for truncation.
    pub(crate) fn watched(&self) -> Watched<'_> {
        Watched { path: &self.path, file: self.temp.as_file(), len: self.len }
    }

    /// Gives the complete file its name. Says how long the disk took.
    pub(crate) fn finish(self) -> Result<Duration, Trouble> {
        let Self { temp, destination, path, manner, stop, .. } = self;
        stop.check()?;
        let start = Instant::now();
        if manner.sync {
            temp.as_file()
                .sync_all()
                .map_err(|error| Trouble::doing("writing it to the disk: ", &path, error))?;
            stop.check()?;
        }
        let kept =
            if manner.force { temp.persist(&destination) } else { temp.persist_noclobber(&destination) };
        kept.map_err(|failed| match failed.error.kind() {
            io::ErrorKind::AlreadyExists => Trouble::Exists { path: path.clone() },
            _ => Trouble::doing("giving it its name: ", &path, failed.error),
        })?;
        if manner.sync {
            sync_directory(&destination);
        }
        Ok(start.elapsed())
    }
}

/// Writes a small file at once: a result that somebody asked for by its name. No signal stops it.
pub(crate) fn write_document(path: &Path, force: bool, contents: &[u8]) -> Result<(), Trouble> {
    let stop = Stop::unattended().map_err(Trouble::Signals)?;
    let output = Output::create(path, Manner { force, sync: false, mode: 0o666 }, &[], &stop)?;
    let mut file = output.file();
    file.write_all(contents).map_err(|error| Trouble::doing("writing: ", path, error))?;
    output.finish().map(drop)
}

/// That [`write_document`] may well succeed.
pub(crate) fn check_document(path: &Path, force: bool, reads: &[(&Path, Identity)]) -> Result<(), Trouble> {
    let stop = Stop::unattended().map_err(Trouble::Signals)?;
    Output::create(path, Manner { force, sync: false, mode: 0o666 }, reads, &stop).map(drop)
}

/// Whether two outputs would be one file.
pub(crate) fn is_same_place(a: &Path, b: &Path) -> bool {
    let place = |path: &Path| {
        fs::canonicalize(path).or_else(|_| {
            let parent =
                path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
            Ok::<_, io::Error>(fs::canonicalize(parent)?.join(path.file_name().unwrap_or_default()))
        })
    };
    matches!((place(a), place(b)), (Ok(a), Ok(b)) if a == b)
}

/// Where the file will be, after a look at what is there now.
fn destination(path: &Path, force: bool, reads: &[(&Path, Identity)]) -> Result<PathBuf, Trouble> {
    if path.as_os_str().as_bytes().ends_with(b"/") {
        return Err(Trouble::NotRegular { path: path.to_owned(), what: "names a directory" });
    }
    let link = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(path.to_owned()),
        Err(error) => return Err(Trouble::file(path, error)),
    };
    let exists = || Trouble::Exists { path: path.to_owned() };
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        // A link to nothing.
        Err(_) if link.is_symlink() && !force => return Err(exists()),
        Err(error) => return Err(Trouble::doing("following the link: ", path, error)),
    };
    let identity = (metadata.dev(), metadata.ino());
    if let Some((source, _)) = reads.iter().find(|(_, read)| *read == identity) {
        let read = PathBuf::from(source);
        return Err(Trouble::SameFile { read, destination: path.to_owned() });
    }
    if !metadata.is_file() {
        return Err(Trouble::NotRegular { path: path.to_owned(), what: kind(metadata.file_type()) });
    }
    if !force {
        return Err(exists());
    }
    fs::canonicalize(path).map_err(|error| Trouble::file(path, error))
}

/// The file's contents are safe; its name is as well after this, where the file system can do it.
fn sync_directory(path: &Path) {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if let Err(error) = File::open(directory).and_then(|directory| directory.sync_all()) {
        tracing::debug!(directory = %directory.display(), %error, "directory not synced");
    }
}
