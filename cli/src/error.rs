//! What can go wrong, in one line that names the file.

use std::io;
use std::path::{Path, PathBuf};

use svala_engine::OpenError;
use svala_idxd::configuration::ConfigurationError;

use crate::delta::Flaw;
use crate::encrypt;
use crate::exit::Exit;
use crate::index::{self, Fingerprint};

/// Why a command did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    /// The system refused something about a file.
    #[error("{}: {what}{source}", path.display())]
    File { path: PathBuf, what: &'static str, source: io::Error },
    /// Not something that can be mapped.
    #[error("{}: {what}, not a regular file", path.display())]
    NotRegular { path: PathBuf, what: &'static str },
    /// A file as in /proc, whose size is not known.
    #[error("{}: has no size but has contents (as files in /proc do): cannot be mapped", path.display())]
    Sizeless { path: PathBuf },
    /// Reading and writing the same file.
    #[error("{} and {} are the same file", read.display(), destination.display())]
    SameFile { read: PathBuf, destination: PathBuf },
    /// The destination is there.
    #[error("{}: exists (--force replaces it)", path.display())]
    Exists { path: PathBuf },
    /// The destination does not fit on its file system.
    #[error("{}: {bytes} bytes do not fit on the file system, which has {free} free", path.display())]
    NoRoom { path: PathBuf, bytes: u64, free: u64 },
    /// A file became shorter while it was in use.
    #[error("{}: truncated while in use: {was} bytes at first, {now} now (data vanished)", path.display())]
    Vanished { path: PathBuf, was: u64, now: u64 },
    /// An operation on a file failed.
    #[error("{}: at byte {offset}: {error}{}", path.display(), cause(error))]
    Operation { path: PathBuf, offset: u64, error: svala::Error },
    /// What is in a compressed file is broken.
    #[error("{}: {what}", path.display())]
    Stream { path: PathBuf, what: String },
    /// What should be an index of a stream is none, or is broken.
    #[error("{}: at byte {offset}: {flaw}", path.display())]
    Index { path: PathBuf, offset: u64, flaw: index::Flaw },
    /// An index of another stream.
    #[error(
        "{}: not the index of {}: {} bytes that end with CRC-32C {:08x}, wanted {} bytes and {:08x}",
        path.display(), stream.display(), found.bytes, found.tail_crc32c, wanted.bytes, wanted.tail_crc32c
    )]
    OtherStream { path: PathBuf, stream: PathBuf, found: Fingerprint, wanted: Fingerprint },
    /// Data that is not there.
    #[error("{}: bytes {range} of the {data_bytes} that are in it", path.display())]
    Range { path: PathBuf, range: String, data_bytes: u64 },
    /// What should be a delta is none, or is broken.
    #[error("{}: at byte {offset}: {flaw}", path.display())]
    Delta { path: PathBuf, offset: u64, flaw: Flaw },
    /// What should have been encrypted was not, or was changed.
    #[error("{}: at byte {offset}: {flaw}", path.display())]
    Encrypted { path: PathBuf, offset: u64, flaw: encrypt::Flaw },
    /// An encrypted column that cannot be looked at chunk by chunk.
    #[error(
        "{}: elements of {width} bits lie in two chunks of {chunk_bytes} bytes: 'svala decrypt' it first",
        path.display()
    )]
    Straddles { path: PathBuf, width: u8, chunk_bytes: u64 },
    /// The same, of one that is read from its start.
    #[error(
        "{}: more than one chunk of {chunk_bytes} bytes, deflated or in parquet's encoding: 'svala decrypt' it first",
        path.display()
    )]
    Chunks { path: PathBuf, chunk_bytes: u64 },
    /// A file holds no key.
    #[error("{}: {bytes} bytes are no key: expected {expected}, or as many in hexadecimal", path.display())]
    Key { path: PathBuf, bytes: usize, expected: &'static str },
    /// A delta of another file.
    #[error(
        "{}: not the file the delta was made of: {len} bytes with CRC-32C {crc32c:08x}, wanted {wanted_len} bytes with \
         {wanted_crc32c:08x}",
        path.display()
    )]
    WrongOld { path: PathBuf, len: u64, crc32c: u32, wanted_len: u64, wanted_crc32c: u32 },
    /// A file has to be whole blocks.
    #[error("{}: {bytes} bytes are not whole blocks of {unit}", path.display())]
    Blocks { path: PathBuf, bytes: u64, unit: u64 },
    /// A data integrity field is not as it should be.
    #[error("{}: at byte {offset}: field of block {block} does not match: {mismatch}", path.display())]
    Field { path: PathBuf, offset: u64, block: u64, mismatch: svala::DifMismatch },
    /// Nobody can measure that.
    #[error("bench: {0}")]
    Bench(String),
    /// What faults cost cannot be measured like that.
    #[error("faults: {0}")]
    Faults(String),
    /// Compressed or encrypted data is not for people's eyes.
    #[error("standard output is a terminal: data that is not text is not written to it")]
    Terminal,
    /// Two things want to go to standard output.
    #[error("--json and the data would both go to standard output")]
    TwoOutputs,
    /// Nobody reads what is printed.
    #[error("standard output: {0}")]
    Stdout(#[source] io::Error),
    /// There is no such device.
    #[error("device {0}{hint}", hint = hint(.0))]
    Device(#[from] OpenError),
    /// The kernel shows no work queues.
    #[error("{}: {source}: no work queues here ('svala doctor' says what is missing)", path.display())]
    NoBus { path: PathBuf, source: io::Error },
    /// The kernel shows no counts of page faults.
    #[error("{}: {source}: {why}", path.display())]
    NoCounts { path: PathBuf, source: io::Error, why: &'static str },
    /// Or not in the form that is known.
    #[error("{}: counts of page faults in a form this program does not know", path.display())]
    Counts { path: PathBuf },
    /// A file is no configuration.
    #[error("{}: {error}{}", path.display(), reason(error))]
    Configuration { path: PathBuf, error: ConfigurationError },
    /// A configuration asks for what the machine cannot do.
    #[error("{}: nothing was changed: {what}", path.display())]
    Refused { path: PathBuf, what: String },
    /// The kernel refused a write.
    #[error("{0}")]
    Apply(String),
    /// Signals cannot be handled.
    #[error("signals: {0}")]
    Signals(#[source] io::Error),
    /// Ended by a signal.
    #[error("ended by signal {0}")]
    Stopped(i32),
}

impl Trouble {
    /// The system refused something about `path`.
    pub(crate) fn file(path: &Path, source: io::Error) -> Self {
        Self::doing("", path, source)
    }

    /// The system refused `what` (a phrase that ends in a colon and a space) about `path`.
    pub(crate) fn doing(what: &'static str, path: &Path, source: io::Error) -> Self {
        Self::File { path: path.to_owned(), what, source }
    }

    /// How the program ends.
    pub(crate) const fn exit(&self) -> Exit {
        match self {
            Self::Stopped(signal) => Exit::Signal(*signal),
            _ => Exit::Trouble,
        }
    }
}

/// What is wrong at that place.
fn reason(error: &ConfigurationError) -> String {
    // The place is in the error already, and once more at the end of its cause.
    let cause = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
    let cause = cause.split_once(" at line ").map_or(cause.as_str(), |(cause, _)| cause);
    if cause.is_empty() { String::new() } else { format!(": {cause}") }
}

/// Who knows more.
fn hint(error: &OpenError) -> &'static str {
    if error.is_hardware() { " ('svala doctor' says what is missing)" } else { "" }
}

/// What the kernel said about a fault, where it said something.
fn cause(error: &svala::Error) -> String {
    match error {
        svala::Error::Fault { source: Some(source), .. } => format!(": {source}"),
        _ => String::new(),
    }
}
