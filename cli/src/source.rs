//! A file that is read.
//!
//! Everything that can be known before work starts is checked when it is opened: a directory, a FIFO or a device is
//! refused by name instead of hanging or reading for ever. What can only go wrong later is that somebody truncates
//! the file: then [`explain`] finds out, and no result is given.

use std::fs::{self, File, FileType, Metadata, OpenOptions};
use std::io::{self, Read};
use std::ops::Range;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use svala_engine::FileMap;

use crate::error::Trouble;
use crate::stop::Stop;

/// The name of standard input and output.
pub(crate) const STANDARD: &str = "-";

/// Which file it is, whatever its name.
pub(crate) type Identity = (u64, u64);

/// A regular file of known size.
#[derive(Debug)]
pub(crate) struct Source {
    path: PathBuf,
    file: File,
    identity: Identity,
    len: u64,
    mode: u32,
}

impl Source {
    /// Opens a file that can be mapped.
    pub(crate) fn open(path: &Path) -> Result<Self, Trouble> {
        let source = Self::open_any(path)?;
        if source.is_sizeless()? {
            return Err(Trouble::Sizeless { path: path.to_owned() });
        }
        Ok(source)
    }

    fn open_any(path: &Path) -> Result<Self, Trouble> {
        let trouble = |error| Trouble::file(path, error);
        check_kind(path, &fs::metadata(path).map_err(trouble)?)?;
        // Should a FIFO have taken the file's place meanwhile, opening it must not hang.
        let file = OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path);
        let file = file.map_err(trouble)?;
        let metadata = file.metadata().map_err(trouble)?;
        check_kind(path, &metadata)?;
        Ok(Self {
            path: path.to_owned(),
            identity: (metadata.dev(), metadata.ino()),
            len: metadata.len(),
            mode: metadata.mode() & 0o777,
            file,
        })
    }

    /// Whether there is something to read where the size says there is nothing.
    fn is_sizeless(&self) -> Result<bool, Trouble> {
        if self.len != 0 {
            return Ok(false);
        }
        match self.file.read_at(&mut [0], 0) {
            Ok(bytes) => Ok(bytes != 0),
            Err(error) => Err(Trouble::file(&self.path, error)),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    pub(crate) fn identity(&self) -> Identity {
        self.identity
    }

    /// Which file it is, and what the user calls it.
    pub(crate) fn named(&self) -> (&Path, Identity) {
        (&self.path, self.identity)
    }

    /// Bytes, when it was opened.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Permission bits.
    pub(crate) fn mode(&self) -> u32 {
        self.mode
    }

    /// Maps a part of it.
    pub(crate) fn map(&self, range: &Range<u64>) -> Result<FileMap, Trouble> {
        FileMap::range(&self.file, range.start, range.end - range.start)
            .map_err(|error| Trouble::doing("mapping it: ", &self.path, error))
    }

    /// To be watched for truncation.
    pub(crate) fn watched(&self) -> Watched<'_> {
        Watched { path: &self.path, file: &self.file, len: self.len }
    }
}

fn check_kind(path: &Path, metadata: &Metadata) -> Result<(), Trouble> {
    if metadata.is_file() {
        return Ok(());
    }
    Err(Trouble::NotRegular { path: path.to_owned(), what: kind(metadata.file_type()) })
}

/// What a file that is not regular is.
pub(crate) fn kind(file_type: FileType) -> &'static str {
    match file_type {
        kind if kind.is_dir() => "is a directory",
        kind if kind.is_fifo() => "is a FIFO",
        kind if kind.is_socket() => "is a socket",
        kind if kind.is_char_device() => "is a character device",
        kind if kind.is_block_device() => "is a block device",
        _ => "is something else",
    }
}

/// A file whose bytes are mapped somewhere, and the length it should have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Watched<'a> {
    pub(crate) path: &'a Path,
    pub(crate) file: &'a File,
    pub(crate) len: u64,
}

impl Watched<'_> {
    /// That the file is not shorter than it was: a cut within a page shows as zeros, not as a fault.
    pub(crate) fn check(&self) -> Result<(), Trouble> {
        let now = self.file.metadata().map_err(|error| Trouble::file(self.path, error))?.len();
        if now < self.len {
            return Err(Trouble::Vanished { path: self.path.to_owned(), was: self.len, now });
        }
        Ok(())
    }
}

/// What an operation's error means for its files; it began at byte `offset` of them. The first of them is blamed for
/// what cannot be told.
pub(crate) fn explain(error: svala::Error, offset: u64, files: &[Watched<'_>]) -> Trouble {
    if let Some(trouble) = files.iter().find_map(|file| file.check().err()) {
        tracing::debug!(%error, "operation on a truncated file");
        return trouble;
    }
    let writes = matches!(error, svala::Error::Fault { access: svala::Access::Write, .. });
    let blamed = if writes { files.last() } else { files.first() };
    let path = blamed.map(|file| file.path.to_owned()).unwrap_or_default();
    Trouble::Operation { path, offset, error }
}

/// What is read from start to end: a file, or a stream whose length nobody knows.
pub(crate) enum Input {
    File(Source),
    Stream(Stream),
}

impl Input {
    /// Opens `path`; `-` is standard input. A file as in /proc, without a size, is read as a stream.
    pub(crate) fn open(path: &Path, stop: &Stop) -> Result<Self, Trouble> {
        let stream = |file, mode| Stream { path: path.to_owned(), file, stop: stop.clone(), mode, read: 0 };
        if path.as_os_str() == STANDARD {
            let stdin = io::stdin().as_fd().try_clone_to_owned();
            let file = stdin.map_err(|error| Trouble::file(Path::new("standard input"), error))?;
            return Ok(Self::Stream(stream(file.into(), 0o666)));
        }
        let source = Source::open_any(path)?;
        if source.is_sizeless()? {
            let Source { file, mode, .. } = source;
            return Ok(Self::Stream(stream(file, mode)));
        }
        Ok(Self::File(source))
    }

    /// Permission bits for what is made from it.
    pub(crate) fn mode(&self) -> u32 {
        match self {
            Self::File(source) => source.mode(),
            Self::Stream(stream) => stream.mode,
        }
    }

    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::File(source) => source.path(),
            Self::Stream(stream) => &stream.path,
        }
    }

    /// Which file it is; streams are none.
    pub(crate) fn identity(&self) -> Option<Identity> {
        match self {
            Self::File(source) => Some(source.identity()),
            Self::Stream(_) => None,
        }
    }

    /// Bytes, if known.
    pub(crate) fn len(&self) -> Option<u64> {
        match self {
            Self::File(source) => Some(source.len()),
            Self::Stream(_) => None,
        }
    }
}

/// A stream that may keep its reader waiting. A signal ends the wait with an error.
pub(crate) struct Stream {
    path: PathBuf,
    file: File,
    stop: Stop,
    mode: u32,
    read: u64,
}

impl Stream {
    /// Reads until `buffer` is full or the stream ends; says how many bytes there were.
    pub(crate) fn fill(&mut self, buffer: &mut [u8]) -> Result<usize, Trouble> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(bytes) => filled += bytes,
                Err(error) => {
                    self.stop.check()?;
                    return Err(Trouble::file(&self.path, error));
                }
            }
        }
        Ok(filled)
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            self.stop.wait_readable(self.file.as_fd())?;
            // Not `Interrupted`: that would be tried again.
            self.stop.check().map_err(io::Error::other)?;
            match self.file.read(buffer) {
                Ok(bytes) => {
                    self.read += bytes as u64;
                    return Ok(bytes);
                }
                Err(error)
                    if matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock) => {}
                Err(error) => return Err(error),
            }
        }
    }
}
