//! What jobs become: requests, part by part, and what their answers mean.
//!
//! A compression goes in parts that stand for themselves, one after the other: blocks that refer to nothing before them,
//! ending at a byte, so that one can follow another. Checksums of parts are combined here, as not every generation goes on
//! from a seed. An expansion is one request: the function keeps no state between two. Where input or output is not memory
//! the function reaches, it is copied.
//!
//! UNSAFETY: copies between a job's memory and bounce buffers, and reads the cipher a job has the address of, within the
//! time [`svala::backend::Queue`] allows.
#![expect(unsafe_code, reason = "a job's memory is reached by address")]

use std::ops::Range;
use std::sync::atomic::{Ordering, fence};

use qat_spec::{
    Command, Compress, ConfigWords, Decompress, Depth, ErrorCode, Generation, HeaderFlags, Request, Response,
    Status, deflate_bytes_max, dst_bytes_min, lz4_bytes_max,
};
use svala::backend::{Failure, Refused};
use svala::{Access, Check, Cipher, CipherFault, CipherMode, Done, Job, Span, Value, VirtAddr};
use svala_software::{BadRange, adler32_combine, check_readable, check_writable, crc32_combine, guarded};

use crate::config::QatQueueConfig;
use crate::gcm::GcmPage;
use crate::lane::{Lane, Part, State};
use crate::memory::{Arena, Piece};
use crate::stats::Counters;

/// Turns jobs into requests.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) arena: Arena,
    pub(crate) generation: Generation,
    /// Whether it does LZ4.
    pub(crate) lz4: bool,
    /// Whether it has ring pairs that compress.
    pub(crate) compresses: bool,
    /// Whether it has ring pairs that encrypt.
    pub(crate) encrypts: bool,
    pub(crate) config: QatQueueConfig,
    pub(crate) counters: Counters,
}

/// What an answer means for a job.
#[derive(Clone, Copy, Debug)]
pub(crate) enum After {
    /// There is another part.
    Part,
    /// It is over.
    Over(Result<Done, Failure>),
}

/// The least room for LZ4 that is offered in place; no number of the device's is known.
const LZ4_ROOM_MIN: u64 = 2048;
/// Largest room a request is told of: far beyond what an output can need.
const ROOM_MAX: u64 = 1 << 31;

impl Worker {
    /// Begins a job: makes its first request.
    pub(crate) fn begin(&self, lane: &Lane, job: &Job, unchecked: bool) -> Result<(), Refused> {
        let (src, dst) = match *job {
            Job::Cipher { src, dst, len, mode: CipherMode::Gcm, .. } if self.encrypts => {
                (Span::new(src, len), Span::new(dst, len))
            }
            _ if !self.compresses => return Err(Refused::Failed(Failure::Unsupported)),
            Job::Deflate { src, dst, .. } | Job::Inflate { src, dst, .. } => (src, dst),
            Job::Lz4Compress { src, dst, .. } if self.lz4 => (src, dst),
            // Blocks that refer to others and checksums between them are not what it takes.
            Job::Lz4Decompress { blocks, .. } if self.lz4 && (blocks.linked || blocks.checked) => {
                return Err(Refused::Failed(Failure::Stream));
            }
            Job::Lz4Decompress { src, dst, .. } if self.lz4 => (src, dst),
            _ => return Err(Refused::Failed(Failure::Unsupported)),
        };
        if unchecked {
            // What the function reaches it reads and writes itself; what is copied has to be there.
            check(src, Access::Read).and(check(dst, Access::Write)).map_err(Refused::Failed)?;
        }
        lane.begin(job);
        self.load(lane).inspect_err(|_| lane.end())
    }

    /// Makes the next request.
    pub(crate) fn load(&self, lane: &Lane) -> Result<(), Refused> {
        let part = match lane.job.get() {
            Job::Deflate { src, dst, last, .. } => self.compress_part(lane, src, dst, last)?,
            // Flushed in full: without, devices of the fourth generation find that they cannot verify what they made
            // (erratum QAT20-40049).
            Job::Lz4Compress { src, dst, .. } => {
                Part { last: true, ..self.compress_part(lane, src, dst, true)? }
            }
            Job::Inflate { src, dst, .. } | Job::Lz4Decompress { src, dst, .. } => {
                self.expand_part(lane, src, dst)?
            }
            Job::Cipher { src, dst, len, cipher, encrypts, .. } => {
                let part = self.expand_part(lane, Span::new(src, len), Span::new(dst, len))?;
                // SAFETY: the job is being submitted or under way, so its cipher is there (Queue::submit, Job::Cipher).
                let cipher = unsafe { Cipher::at(cipher) };
                // A message without a byte has a tag, which the CPU makes.
                let empty = part.src_bytes == 0;
                let page = match empty {
                    true => return Err(Refused::Failed(Failure::Stream)),
                    false => GcmPage::new(&self.arena, self.generation, cipher.parameters(), encrypts)?,
                };
                lane.gcm.replace(Some(page));
                part
            }
            _ => return Err(Refused::Failed(Failure::Unsupported)),
        };
        lane.part.set(part);
        lane.state.set(State::ToSend);
        Ok(())
    }

    fn compress_part(&self, lane: &Lane, src: Span, dst: Span, last: bool) -> Result<Part, Refused> {
        let is_lz4 = matches!(lane.job.get(), Job::Lz4Compress { .. });
        let left = src.part(lane.read.get(), u64::MAX);
        let room = dst.part(lane.written.get(), u64::MAX);
        let fixed = self.fixed();
        let from_place = self.arena.reaches(left);
        let least = if is_lz4 { LZ4_ROOM_MIN } else { dst_bytes_min(self.generation, fixed).into() };
        let in_place = room.len >= least && self.arena.reaches(room);
        let len_max = if from_place && in_place {
            self.config.part_bytes_max
        } else {
            self.config.bounce_part_bytes_max
        };
        let part = left.part(0, len_max);
        let (dst_addr, dst_bytes) = if in_place {
            (room.addr, room.len.min(ROOM_MAX))
        } else {
            let bytes = match is_lz4 {
                true => lz4_bytes_max(self.generation, part.len),
                false => deflate_bytes_max(self.generation, part.len, fixed),
            };
            let bytes = bytes.max(4096);
            (self.bounce(&lane.dst, bytes)?, bytes)
        };
        let src_addr = if from_place { part.addr } else { self.copy_in(lane, part)? };
        Ok(Part {
            src_addr: src_addr.get(),
            src_bytes: size(part.len)?,
            dst_addr: dst_addr.get(),
            dst_bytes: size(dst_bytes)?,
            last: last && part.len == left.len,
            in_place,
        })
    }

    fn expand_part(&self, lane: &Lane, src: Span, dst: Span) -> Result<Part, Refused> {
        let (from_place, in_place) = (self.arena.reaches(src), self.arena.reaches(dst));
        let too_large = |span: Span, reached: bool| {
            span.len > if reached { ROOM_MAX } else { self.config.bounce_bytes_max }
        };
        if too_large(src, from_place) || too_large(dst, in_place) {
            return Err(Refused::Failed(Failure::Stream));
        }
        let dst_addr = if in_place { dst.addr } else { self.bounce(&lane.dst, dst.len)? };
        let src_addr = if from_place { src.addr } else { self.copy_in(lane, src)? };
        Ok(Part {
            src_addr: src_addr.get(),
            src_bytes: size(src.len)?,
            dst_addr: dst_addr.get(),
            dst_bytes: size(dst.len)?,
            last: true,
            in_place,
        })
    }

    /// A bounce buffer of at least `bytes`: the one there is, or another.
    fn bounce(&self, place: &std::cell::RefCell<Option<Piece>>, bytes: u64) -> Result<VirtAddr, Refused> {
        let mut piece = place.borrow_mut();
        if piece.as_ref().is_none_or(|piece| piece.span().len < bytes) {
            *piece = None;
            // Others give theirs back in time.
            *piece = Some(self.arena.take(bytes, 1).ok_or(Refused::Busy)?);
        }
        Ok(piece.as_ref().map_or_else(VirtAddr::default, |piece| piece.span().addr))
    }

    fn copy_in(&self, lane: &Lane, from: Span) -> Result<VirtAddr, Refused> {
        let to = self.bounce(&lane.src, from.len)?;
        copy(from, to).map_err(Refused::Failed)?;
        self.counters.bounced_bytes.add(from.len);
        Ok(to)
    }

    const fn fixed(&self) -> bool {
        self.config.fixed_codes && self.generation.has_static_deflate()
    }

    /// The request for the part.
    #[inline]
    pub(crate) fn request(&self, lane: &Lane, opaque: u64) -> Request {
        if let Some(page) = &*lane.gcm.borrow() {
            return page.request(lane.part.get()).with_opaque(opaque);
        }
        let Part { src_addr, src_bytes, dst_addr, dst_bytes, last, .. } = lane.part.get();
        let request = match lane.job.get() {
            Job::Deflate { level, .. } => {
                let depth = Depth::of_level(level);
                let (command, config) = if self.fixed() {
                    (Command::STATIC, ConfigWords::deflate_static(self.generation, depth))
                } else {
                    (Command::DYNAMIC, ConfigWords::deflate_dynamic(self.generation, depth))
                };
                let recover = self.generation.recovers();
                Request::compress(Compress {
                    command,
                    config,
                    src_addr,
                    src_bytes,
                    dst_addr,
                    dst_bytes,
                    last,
                    recover,
                })
            }
            Job::Lz4Compress { level, .. } => Request::compress(Compress {
                command: Command::LZ4_COMPRESS,
                config: ConfigWords::lz4(self.generation, Depth::of_level(level)),
                src_addr,
                src_bytes,
                dst_addr,
                dst_bytes,
                last,
                recover: self.generation.recovers(),
            }),
            Job::Lz4Decompress { .. } => Request::decompress(Decompress {
                command: Command::LZ4_DECOMPRESS,
                config: ConfigWords::lz4_decompress(self.generation),
                src_addr,
                src_bytes,
                dst_addr,
                dst_bytes,
            }),
            _ => Request::decompress(Decompress {
                command: Command::DECOMPRESS,
                config: ConfigWords::inflate(self.generation),
                src_addr,
                src_bytes,
                dst_addr,
                dst_bytes,
            }),
        };
        request.with_opaque(opaque)
    }

    /// What an answer means.
    pub(crate) fn answered(&self, lane: &Lane, response: &Response) -> After {
        // What the function wrote before its answer.
        fence(Ordering::Acquire);
        let outcome = self.judge(lane, response);
        match outcome {
            Ok(None) => After::Part,
            Ok(Some(done)) => After::Over(Ok(done)),
            Err(failure) => After::Over(Err(failure)),
        }
    }

    /// The job's answer, none if there is more to do.
    fn judge(&self, lane: &Lane, response: &Response) -> Result<Option<Done>, Failure> {
        let part = lane.part.get();
        let nonsense = |what| Failure::Nonsense { what, record: response.words()[0] };
        if !response.flags().contains(HeaderFlags::VALID) {
            return Err(nonsense("answer that is not marked as one"));
        }
        let failed = response.status().intersects(Status::FAILED);
        if let Job::Cipher { dst, len, .. } = lane.job.get() {
            return self.ciphered(lane, Span::new(dst, len), response, failed).map(Some);
        }
        if response.consumed() > part.src_bytes || response.produced() > part.dst_bytes {
            return Err(nonsense("more input or output than there was"));
        }
        match lane.job.get() {
            Job::Deflate { .. } | Job::Lz4Compress { .. } => self.compressed(lane, response, failed),
            Job::Lz4Decompress { src, dst, .. } => {
                if failed {
                    return Err(match response.error() {
                        ErrorCode::OVERFLOW => Failure::OutputFull { bytes_max: dst.len },
                        // The CPU reaches further back, and says what is broken and where.
                        ErrorCode::INCOMPLETE_FILE => Failure::Stream,
                        error if error.is_of_stream() => Failure::Stream,
                        _ => failure(response, 0),
                    });
                }
                if u64::from(response.consumed()) != src.len {
                    return Err(Failure::Stream);
                }
                self.take(lane, dst, response.consumed(), response.produced())?;
                Ok(Some(Done { bytes: src.len, value: Value::Written(lane.written.get()) }))
            }
            Job::Inflate { src, dst, check } => {
                if failed {
                    return Err(match response.error() {
                        ErrorCode::OVERFLOW => Failure::OutputFull { bytes_max: dst.len },
                        ErrorCode::INCOMPLETE_FILE => Failure::Truncated { len: src.len },
                        error if error.is_of_stream() => {
                            Failure::Corrupt { offset: response.consumed().into() }
                        }
                        _ => failure(response, 0),
                    });
                }
                if !response.status().contains(Status::END_OF_LAST_BLOCK) {
                    return Err(Failure::Truncated { len: src.len });
                }
                self.take(lane, dst, response.consumed(), response.produced())?;
                let check = match check {
                    Check::None => 0,
                    Check::Crc32 => response.crc32(),
                    Check::Adler32 => response.adler32(),
                };
                let read = u64::from(response.consumed());
                Ok(Some(Done {
                    bytes: read,
                    value: Value::Inflate { read, written: lane.written.get(), check },
                }))
            }
            _ => Err(Failure::Unsupported),
        }
    }

    /// What an answer to a cipher means. It says nothing about lengths.
    fn ciphered(&self, lane: &Lane, dst: Span, response: &Response, failed: bool) -> Result<Done, Failure> {
        let page = lane.gcm.borrow();
        let encrypts = matches!(lane.job.get(), Job::Cipher { encrypts: true, .. });
        if failed {
            // A comparison that came out wrong has no code of an error.
            let is_tag = response.error() == ErrorCode::NONE && response.status().is_of_tag();
            return Err(match is_tag && !encrypts {
                true => Failure::Cipher { fault: CipherFault::Tag },
                false => failure(response, 0),
            });
        }
        let bytes = lane.part.get().src_bytes;
        self.take(lane, dst, bytes, bytes)?;
        let written = lane.written.get();
        let tag = page.as_ref().and_then(GcmPage::tag);
        let value = if encrypts { Value::Encrypted { written, tag } } else { Value::Written(written) };
        Ok(Done { bytes: written, value })
    }

    /// What an answer to a compression means.
    fn compressed(&self, lane: &Lane, response: &Response, failed: bool) -> Result<Option<Done>, Failure> {
        let (src, dst, check) = match lane.job.get() {
            Job::Deflate { src, dst, check, .. } => (src, dst, check),
            Job::Lz4Compress { src, dst, .. } => (src, dst, Check::None),
            _ => return Err(Failure::Unsupported),
        };
        let part = lane.part.get();
        let nonsense = |what| Failure::Nonsense { what, record: response.words()[0] };
        let overflow = failed && response.error() == ErrorCode::OVERFLOW;
        if failed && !overflow {
            return Err(failure(response, lane.read.get()));
        }
        let is_lz4 = matches!(lane.job.get(), Job::Lz4Compress { .. });
        // Whether what there is of LZ4 then ends with a whole block, nobody says.
        let progress = !overflow || (self.generation.overflow_is_progress() && !is_lz4);
        if !progress || response.consumed() == 0 || response.produced() == 0 {
            return Err(Failure::OutputFull { bytes_max: dst.len });
        }
        if !response.flags().contains(HeaderFlags::CNV) {
            return Err(nonsense("output that was not verified"));
        }
        if !overflow && response.consumed() != part.src_bytes {
            return Err(nonsense("not all of the input used"));
        }
        if response.flags().contains(HeaderFlags::CNV_RECOVERED) {
            self.counters.recovered.add(1);
        }
        self.take(lane, dst, response.consumed(), response.produced())?;
        let consumed = u64::from(response.consumed());
        lane.check.set(combine(check, lane, response));
        lane.read.set(lane.read.get() + consumed);
        lane.tries.set(0);
        lane.resends.set(0);
        if lane.read.get() < src.len {
            return Ok(None);
        }
        let (written, check) = (lane.written.get(), lane.check.get());
        let value = if is_lz4 { Value::Written(written) } else { Value::Deflate { written, check } };
        Ok(Some(Done { bytes: src.len, value }))
    }

    /// Takes the output to where it belongs.
    fn take(&self, lane: &Lane, dst: Span, consumed: u32, produced: u32) -> Result<(), Failure> {
        let produced = u64::from(produced);
        let room = dst.part(lane.written.get(), u64::MAX);
        if produced > room.len {
            return Err(Failure::OutputFull { bytes_max: dst.len });
        }
        let part = lane.part.get();
        let direct = u64::from(consumed) * u64::from(lane.src.borrow().is_none());
        if part.in_place {
            self.counters.direct_bytes.add(direct + produced);
        } else {
            copy(Span::new(VirtAddr::new(part.dst_addr), produced), room.addr)?;
            self.counters.direct_bytes.add(direct);
            self.counters.bounced_bytes.add(produced);
        }
        lane.written.set(lane.written.get() + produced);
        Ok(())
    }
}

/// Checksum of all that was read, the part of this answer included.
fn combine(check: Check, lane: &Lane, response: &Response) -> u32 {
    let bytes = u64::from(response.consumed());
    match (check, lane.read.get()) {
        (Check::None, _) => 0,
        (Check::Crc32, 0) => response.crc32(),
        (Check::Adler32, 0) => response.adler32(),
        (Check::Crc32, _) => crc32_combine(lane.check.get(), response.crc32(), bytes),
        (Check::Adler32, _) => adler32_combine(lane.check.get(), response.adler32(), bytes),
    }
}

/// The failure that an answer reports.
fn failure(response: &Response, done_bytes: u64) -> Failure {
    let error = response.error();
    let name = match (error, response.status()) {
        (ErrorCode::NONE, status) if status.contains(Status::UNSUPPORTED) => "unsupported request",
        (ErrorCode::NONE, status) if status.contains(Status::INVALID_PARAMETER) => "invalid parameter",
        _ => error.name().unwrap_or("unknown error"),
    };
    Failure::Status { status: error.0.cast_unsigned(), name, done_bytes }
}

fn size(bytes: u64) -> Result<u32, Refused> {
    u32::try_from(bytes).map_err(|_| Refused::Failed(Failure::Unsupported))
}

/// Copies between a job's memory and a bounce buffer, of which one may be a map of a file that shrinks.
fn copy(from: Span, to: VirtAddr) -> Result<(), Failure> {
    let len = usize::try_from(from.len).map_err(|_| Failure::Unsupported)?;
    let (src, dst) = (from.addr.get(), to.get());
    let range = |start: u64| -> Range<usize> {
        let start = VirtAddr::new(start).as_ptr::<u8>().addr();
        start..start + len
    };
    // The addresses were exposed when they became numbers.
    let src_ptr = std::ptr::with_exposed_provenance::<u8>(range(src).start);
    let dst_ptr = std::ptr::with_exposed_provenance_mut::<u8>(range(dst).start);
    let work = || {
        // SAFETY: one side is a bounce buffer of at least `len` bytes that no request names now; the other is `len` bytes
        // of the job's memory, which is ours until the job is done (Queue::submit). They are different memory.
        unsafe { std::ptr::copy_nonoverlapping(src_ptr, dst_ptr, len) };
    };
    // SAFETY: each range lies in one mapping as it is part of one buffer; a job that ends with `Vanished` is over, and
    // says so.
    unsafe { guarded(&[range(src), range(dst)], work) }
        .map_err(|gone| Failure::Vanished { addr: VirtAddr::new(gone.addr as u64) })
}

fn check(span: Span, access: Access) -> Result<(), Failure> {
    let (addr, len) = (span.addr.as_ptr::<u8>().addr(), usize::try_from(span.len).unwrap_or(usize::MAX));
    let checked: Result<(), BadRange> = match access {
        Access::Read => check_readable(addr, len),
        Access::Write => check_writable(addr, len),
    };
    let bad =
        |bad: BadRange| Failure::Address { access, addr: VirtAddr::new(bad.addr as u64), done_bytes: 0 };
    checked.map_err(bad)
}
