//! `svala encrypt` and `svala decrypt`: chunks of a file, several at once, written in order.
//!
//! A chunk of `--mode gcm` is authenticated before it is written ([`format`](mod@format)), and a file appears under its name only
//! when all of them were. `cfb` and `xts` have nothing to authenticate with.
//!
//! Memory: a chunk as it is read and as it is written, for each in flight.

mod format;
mod key;

use std::fs;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use serde_json::json;
use svala::CipherFault;
use svala_engine::{AesKey, Cipher, Report};

use crate::args::{Encryption, Mode};
use crate::error::Trouble;
use crate::exit::Exit;
use crate::pipeline::Pipeline;
use crate::run::{Finding, Session};
use crate::sink::Sink;
use crate::source::{Input, STANDARD};
use crate::tally::Tally;
use format::{CHUNK_BYTES, HEADER_BYTES, Header, TAG_BYTES};
use key::Keys;

pub(crate) use format::Flaw;

/// Bytes of an initial vector.
const IV_BYTES: usize = 16;
/// Bytes that are in flight at once, where chunks are small.
const FLIGHT_BYTES: usize = 4 << 20;

/// Encrypts, or decrypts.
pub(crate) async fn run(
    session: &Session<'_>,
    args: &Encryption,
    encrypts: bool,
) -> Result<Finding, Trouble> {
    if args.output.as_os_str() == STANDARD && session.common.json_on_stdout() {
        return Err(Trouble::TwoOutputs);
    }
    let keys = key::read(&args.key_file, args.mode)?;
    check_destination(args, &keys)?;
    let input = Input::open(&args.input, &session.stop)?;
    let mut sink = Sink::create(&args.output, session.manner(0), &input, !encrypts, &session.stop)?;
    session.progress.begin(input.len());
    let mut chunks = Chunks::begin(args, encrypts, &keys, input)?;
    sink.put(&chunks.start)?;
    let mut tally = Tally::default();
    let mut written = chunks.start.len() as u64;
    let mut pipeline = Pipeline::new(chunks.scheme.depth(), &session.stop);
    loop {
        while !pipeline.is_full()
            && let Some((at, chunk)) = chunks.next()?
        {
            pipeline.push(async move { (at, work(session, chunk, encrypts).await) });
        }
        let Some((at, done)) = pipeline.next().await? else { break };
        let (bytes, report) = done.map_err(|error| failed(args, at, error))?;
        chunks.scheme.follow(&bytes);
        sink.put(&bytes)?;
        written += bytes.len() as u64;
        tally.add(&report);
        session.progress.reach(at);
    }
    chunks.check()?;
    let sync = sink.finish()?;
    let fields = json!({
        "source": args.input.to_string_lossy(),
        "destination": args.output.to_string_lossy(),
        "mode": args.mode.name(),
        "authenticated": args.mode == Mode::Gcm,
        "bytes": if encrypts { chunks.reader.at } else { written },
        "encrypted_bytes": if encrypts { written } else { chunks.reader.at },
    });
    Ok(Finding { exit: Exit::Success, tally, sync, fields })
}

/// That the key is not what is replaced.
fn check_destination(args: &Encryption, keys: &Keys) -> Result<(), Trouble> {
    match fs::metadata(&args.output) {
        Ok(there) if (there.dev(), there.ino()) == keys.file => {
            Err(Trouble::SameFile { read: args.key_file.clone(), destination: args.output.clone() })
        }
        _ => Ok(()),
    }
}

/// The chunks of a file, one after the other.
pub(crate) struct Chunks<'a> {
    args: &'a Encryption,
    reader: Reader,
    scheme: Scheme,
    /// What comes before them where they are written.
    start: Vec<u8>,
    number: u64,
    ended: bool,
}

impl<'a> Chunks<'a> {
    /// Those of an encrypted file.
    pub(crate) fn of_encrypted(args: &'a Encryption, input: Input) -> Result<Self, Trouble> {
        let keys = key::read(&args.key_file, args.mode)?;
        check_destination(args, &keys)?;
        Self::begin(args, false, &keys, input)
    }

    fn begin(args: &'a Encryption, encrypts: bool, keys: &Keys, input: Input) -> Result<Self, Trouble> {
        let mut reader = Reader { input, at: 0 };
        let (scheme, start) = Scheme::begin(args, encrypts, keys, &mut reader)?;
        Ok(Self { args, reader, scheme, start, number: 0, ended: false })
    }

    /// The next one that there is something to do for, and where in the file it begins.
    pub(crate) fn next(&mut self) -> Result<Option<(u64, Chunk)>, Trouble> {
        while !self.ended {
            let at = self.reader.at;
            let mut bytes = vec![0; self.scheme.bytes];
            let filled = self.reader.fill(&mut bytes)?;
            bytes.truncate(filled);
            self.ended = filled < self.scheme.bytes;
            let chunk = self.scheme.chunk(self.number, bytes, self.ended);
            self.number += 1;
            if let Some(chunk) = chunk.map_err(|flaw| broken(self.args, at, flaw))? {
                return Ok(Some((at, chunk)));
            }
        }
        Ok(None)
    }

    /// Chunks to have in flight.
    pub(crate) fn depth(&self) -> usize {
        self.scheme.depth()
    }

    /// Bytes of data in a chunk of an encrypted file that is not its last.
    pub(crate) const fn data_bytes(&self) -> u64 {
        (self.scheme.bytes - self.tag_bytes()) as u64
    }

    /// Bytes of data in an encrypted file of so many bytes, which has begun with what comes before the chunks.
    pub(crate) fn data_bytes_of(&self, len: u64) -> Result<u64, Trouble> {
        let chunks = len.saturating_sub(match self.args.mode {
            Mode::Gcm => HEADER_BYTES as u64,
            Mode::Cfb => IV_BYTES as u64,
            Mode::Xts => 0,
        });
        let (bytes, tag) = (self.scheme.bytes as u64, self.tag_bytes() as u64);
        let last = chunks % bytes;
        match last.checked_sub(tag) {
            Some(last) => Ok(chunks / bytes * (bytes - tag) + last),
            None => Err(broken(self.args, len, Flaw::Truncated)),
        }
    }

    const fn tag_bytes(&self) -> usize {
        match self.args.mode {
            Mode::Gcm => TAG_BYTES,
            Mode::Cfb | Mode::Xts => 0,
        }
    }

    /// That the file has not become shorter meanwhile.
    pub(crate) fn check(&self) -> Result<(), Trouble> {
        match &self.reader.input {
            Input::File(source) => source.watched().check(),
            Input::Stream(_) => Ok(()),
        }
    }
}

fn broken(args: &Encryption, offset: u64, flaw: Flaw) -> Trouble {
    Trouble::Encrypted { path: args.input.clone(), offset, flaw }
}

/// What an operation on a chunk ended in.
pub(crate) fn failed(args: &Encryption, offset: u64, error: svala::Error) -> Trouble {
    match error {
        svala::Error::Cipher { fault: CipherFault::Tag, .. } => broken(args, offset, Flaw::Tag),
        error => Trouble::Operation { path: args.input.clone(), offset, error },
    }
}

/// What is read, from start to end.
struct Reader {
    input: Input,
    at: u64,
}

impl Reader {
    /// Reads until `buffer` is full or there is no more; says how many bytes there were.
    fn fill(&mut self, buffer: &mut [u8]) -> Result<usize, Trouble> {
        let filled = match &mut self.input {
            Input::Stream(stream) => stream.fill(buffer)?,
            Input::File(source) => {
                let mut filled = 0;
                while filled < buffer.len() {
                    match source.file().read_at(&mut buffer[filled..], self.at + filled as u64) {
                        Ok(0) => break,
                        Ok(bytes) => filled += bytes,
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                        Err(error) => return Err(Trouble::file(source.path(), error)),
                    }
                }
                filled
            }
        };
        self.at += filled as u64;
        Ok(filled)
    }
}

/// A message to be worked on.
pub(crate) struct Chunk {
    pub(crate) cipher: Cipher,
    pub(crate) bytes: Vec<u8>,
}

async fn work(
    session: &Session<'_>,
    Chunk { cipher, bytes }: Chunk,
    encrypts: bool,
) -> Result<(Vec<u8>, Report), svala::Error> {
    let room = vec![0; bytes.len()];
    if !encrypts {
        let done = session.engine.decrypt(bytes, room, cipher).await?;
        return Ok((done.buffers.1, done.report));
    }
    let done = session.engine.encrypt(bytes, room, cipher).await?;
    let mut made = done.buffers.1;
    made.extend(done.value.tag.into_iter().flatten());
    Ok((made, done.report))
}

/// How a file is cut, and what its pieces are encrypted with.
struct Scheme {
    kind: Kind,
    encrypts: bool,
    /// Bytes that are read at once.
    bytes: usize,
}

enum Kind {
    Gcm { header: Header, file_key: AesKey },
    Cfb { key: AesKey, iv: [u8; IV_BYTES] },
    Xts { key: AesKey, tweak_key: AesKey },
}

impl Scheme {
    /// Makes or reads what comes before the chunks; what was made is to be written.
    fn begin(
        args: &Encryption,
        encrypts: bool,
        keys: &Keys,
        reader: &mut Reader,
    ) -> Result<(Self, Vec<u8>), Trouble> {
        let random = |error| Trouble::file(Path::new("/dev/urandom"), error);
        let (kind, start) = match args.mode {
            Mode::Gcm => {
                let header = if encrypts {
                    Header::new(&keys.first).map_err(random)?
                } else {
                    read_header(args, keys, reader)?
                };
                let file_key = header.file_key(&keys.first).ok_or(broken(args, 0, Flaw::Header))?;
                (Kind::Gcm { header, file_key }, header.as_bytes().to_vec())
            }
            Mode::Cfb => {
                let mut iv = [0; IV_BYTES];
                if encrypts {
                    format::random(&mut iv).map_err(random)?;
                } else if reader.fill(&mut iv)? < IV_BYTES {
                    return Err(broken(args, reader.at, Flaw::Truncated));
                }
                (Kind::Cfb { key: keys.first.clone(), iv }, iv.to_vec())
            }
            Mode::Xts => {
                let tweak_key = keys.second.clone().unwrap_or_else(|| keys.first.clone());
                (Kind::Xts { key: keys.first.clone(), tweak_key }, Vec::new())
            }
        };
        let start = if encrypts { start } else { Vec::new() };
        let bytes = match args.mode {
            Mode::Gcm if !encrypts => CHUNK_BYTES + TAG_BYTES,
            Mode::Gcm | Mode::Cfb => CHUNK_BYTES,
            Mode::Xts => usize::try_from(args.unit).unwrap_or(CHUNK_BYTES),
        };
        Ok((Self { kind, encrypts, bytes }, start))
    }

    /// Chunks in flight. A chunk of CFB is encrypted with the end of the one before it.
    fn depth(&self) -> usize {
        match self.kind {
            Kind::Cfb { .. } if self.encrypts => 1,
            _ => (FLIGHT_BYTES / self.bytes).clamp(4, 32),
        }
    }

    /// The next chunk; none where there is nothing left to say.
    fn chunk(&mut self, number: u64, mut bytes: Vec<u8>, is_last: bool) -> Result<Option<Chunk>, Flaw> {
        let cipher = match &mut self.kind {
            Kind::Gcm { header, file_key } => {
                let cipher = header.chunk(file_key, number, is_last)?;
                if self.encrypts {
                    cipher
                } else {
                    let at = bytes.len().checked_sub(TAG_BYTES).ok_or(Flaw::Truncated)?;
                    let tag = bytes.split_off(at).try_into().map_err(|_| Flaw::Truncated)?;
                    cipher.with_tag(tag)
                }
            }
            _ if bytes.is_empty() => return Ok(None),
            Kind::Cfb { key, iv } => {
                let cipher = Cipher::cfb(key.clone(), *iv);
                if !self.encrypts
                    && let Some(last) = bytes.last_chunk()
                {
                    *iv = *last;
                }
                cipher
            }
            Kind::Xts { key, tweak_key } => {
                if bytes.len() < IV_BYTES {
                    return Err(Flaw::Block(bytes.len()));
                }
                let tweak = u128::from(number).to_le_bytes();
                Cipher::xts(key.clone(), tweak_key.clone(), tweak).map_err(|_| Flaw::SameKeys)?
            }
        };
        Ok(Some(Chunk { cipher, bytes }))
    }

    /// Takes note of what was made of a chunk.
    fn follow(&mut self, made: &[u8]) {
        if let (Kind::Cfb { iv, .. }, true, Some(last)) = (&mut self.kind, self.encrypts, made.last_chunk()) {
            *iv = *last;
        }
    }
}

fn read_header(args: &Encryption, keys: &Keys, reader: &mut Reader) -> Result<Header, Trouble> {
    let mut bytes = [0; HEADER_BYTES];
    let filled = reader.fill(&mut bytes)?;
    Header::parse(&bytes[..filled], &keys.first).map_err(|flaw| broken(args, 0, flaw))
}
