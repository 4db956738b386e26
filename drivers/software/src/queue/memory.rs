//! A job, done: addresses become memory here and nowhere else in the queue.
//!
//! Everything runs under the `SIGBUS` guard on the job's own ranges, since any buffer may be a map of a file that
//! somebody truncates. A job whose addresses are only a caller's word is checked first. A panic, which would be a
//! mistake of ours, becomes an answer: a job without one would hang its caller.
//!
//! UNSAFETY: makes slices of the addresses in a job.
#![expect(unsafe_code, reason = "jobs are addresses, and the work is on memory")]

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

use svala::backend::Failure;
use svala::{Access, Check, Crc, Done, Job, OPERANDS_MAX, Span, Value, VirtAddr};

use super::stream::{Stream, failure_of};
use crate::deflate::{Deflater, Level, Segment, Window};
use crate::guard::guarded;
use crate::inflate::Inflater;
use crate::pattern::Pattern;
use crate::populate_check::{check_readable, check_writable};

/// Compressing a byte takes as long as copying this many.
const DEFLATE_COST: u64 = 64;
/// So does expanding one.
const INFLATE_COST: u64 = 16;

/// How far a job's addresses are to be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// A buffer lent them.
    Lent,
    /// Somebody says so: they are checked before they are used.
    Check,
}

/// A compressor and a decompressor, used again and again.
#[derive(Debug)]
pub(super) struct Contexts {
    deflater: Deflater,
    inflater: Inflater,
}

impl Contexts {
    pub(super) fn new() -> Self {
        Self { deflater: Deflater::new(Level::DEFAULT, Window::DEFLATE), inflater: Inflater::new() }
    }
}

/// Does once what would otherwise happen in the first job: installs the `SIGBUS` handler.
pub(super) fn prepare() {
    let nothing = 0..0;
    // SAFETY: the range is empty, so nothing in it can vanish.
    let _ = unsafe { guarded(std::slice::from_ref(&nothing), || ()) };
}

/// About how long `job` takes, in bytes copied.
pub(super) fn cost(job: &Job) -> u64 {
    match *job {
        Job::Deflate { src, .. } => src.len.saturating_mul(DEFLATE_COST),
        Job::Inflate { src, dst, .. } => src.len.max(dst.len).saturating_mul(INFLATE_COST),
        _ => job.bytes(),
    }
}

/// Does all of `job` on this thread. Only compression needs `contexts`.
///
/// # Safety
///
/// The job's operands are readable and writable as [`Job::operands`] says, and nobody else writes them or reads what
/// it writes, for as long as the call takes. With [`Trust::Check`] they may also be no memory at all, as long as
/// that does not change meanwhile. The ranges of a copy may overlap.
pub(super) unsafe fn run(
    job: &Job,
    trust: Trust,
    mut contexts: Option<&mut Contexts>,
) -> Result<Done, Failure> {
    if trust == Trust::Check {
        check(job)?;
    }
    let caught = catch_unwind(AssertUnwindSafe(|| {
        under_guard(job, || {
            // SAFETY: the caller's contract, and addresses that had to be checked have been.
            unsafe { work(job, contexts.as_deref_mut()) }
        })
    }));
    caught.unwrap_or_else(|_| {
        if let Some(contexts) = contexts {
            *contexts = Contexts::new();
        }
        Err(PANICKED)
    })
}

/// Does a stretch of the inflate that `stream` is in the middle of. None: there is more.
///
/// # Safety
///
/// As [`run`] with [`Trust::Lent`].
pub(super) unsafe fn run_stretch(job: &Job, stream: &mut Stream) -> Result<Option<Done>, Failure> {
    let Job::Inflate { src, dst, check } = *job else { return Err(PANICKED) };
    let caught = catch_unwind(AssertUnwindSafe(|| {
        under_guard(job, || {
            // SAFETY: the caller's contract: nobody writes the source meanwhile.
            let src = unsafe { readable(src) };
            // SAFETY: the caller's contract: nobody else uses the destination meanwhile.
            let dst = unsafe { writable(dst) };
            stream.advance(src, dst, check)
        })
    }));
    caught.unwrap_or(Err(PANICKED))
}

const PANICKED: Failure = Failure::Nonsense { what: "the CPU engine panicked", record: 0 };

/// Whether the job's memory is there, as far as the kernel can tell. Makes it present.
pub(super) fn check(job: &Job) -> Result<(), Failure> {
    if let Job::Deflate { src, dst, .. } | Job::Inflate { src, dst, .. } = *job
        && src.overlaps(dst)
    {
        // Not a fault, but not memory this job can be done in either.
        return Err(bad(Access::Write, src.addr.max(dst.addr)));
    }
    for operand in job.operands().into_iter().flatten() {
        let Span { addr, len } = operand.span;
        let (start, len) = (size_of_range(addr.get()), size_of_range(len));
        if start == 0 && len != 0 {
            // A process may be allowed to map page zero, but references to it cannot exist.
            return Err(bad(operand.access, addr));
        }
        let checked = match operand.access {
            Access::Read => check_readable(start, len),
            Access::Write => check_writable(start, len),
        };
        checked.map_err(|range| bad(operand.access, VirtAddr::new(len_of(range.addr))))?;
    }
    Ok(())
}

const fn bad(access: Access, addr: VirtAddr) -> Failure {
    Failure::Address { access, addr, done_bytes: 0 }
}

/// Runs `work`, which stays inside the ranges of `job`.
fn under_guard<T>(job: &Job, work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    let mut ranges: [Range<usize>; OPERANDS_MAX] = [const { 0..0 }; OPERANDS_MAX];
    let operands = job.operands();
    for (range, operand) in ranges.iter_mut().zip(operands.into_iter().flatten()) {
        *range = size_of_range(operand.span.addr.get())..size_of_range(operand.span.end().get());
    }
    // SAFETY: an operand is one buffer, so at most one map; and a job whose memory has vanished answers
    // `Failure::Vanished`, after which nobody relies on what is in its buffers.
    let guarded = unsafe { guarded(&ranges, work) };
    guarded.unwrap_or_else(|vanished| Err(Failure::Vanished { addr: VirtAddr::new(len_of(vanished.addr)) }))
}

/// Does `job`.
///
/// # Safety
///
/// As [`run`] with [`Trust::Lent`].
unsafe fn work(job: &Job, contexts: Option<&mut Contexts>) -> Result<Done, Failure> {
    let done = |value| Done { bytes: job.bytes(), value };
    match *job {
        Job::Copy { src, dst, len } => {
            let (from, to) = (pointer(src).cast_const(), pointer(dst));
            // SAFETY: the caller's contract; no slices, because the ranges may overlap, which `copy` allows.
            unsafe { std::ptr::copy(from, to, size_of_range(len)) };
            Ok(done(Value::None))
        }
        Job::Fill { dst, len, pattern } => {
            // SAFETY: the caller's contract: nobody else uses the destination meanwhile.
            let dst = unsafe { writable(Span::new(dst, len)) };
            crate::fill(dst, Pattern::from_u64(pattern));
            Ok(done(Value::None))
        }
        Job::Compare { a, b, len } => {
            // SAFETY: the caller's contract: nobody writes it meanwhile.
            let a = unsafe { readable(Span::new(a, len)) };
            // SAFETY: as above.
            let b = unsafe { readable(Span::new(b, len)) };
            let at = crate::first_difference(a, b).map(len_of);
            Ok(Done { bytes: at.unwrap_or(len), value: Value::Difference(at) })
        }
        Job::Crc { src, len, crc, seed } if crc == Crc::CRC32C => {
            // SAFETY: the caller's contract: nobody writes it meanwhile.
            let src = unsafe { readable(Span::new(src, len)) };
            Ok(done(Value::Crc(crate::crc32c(low_half(seed), src).into())))
        }
        Job::Deflate { src, dst, level, last, check } => {
            // SAFETY: the caller's contract: nobody writes it meanwhile.
            let src = unsafe { readable(src) };
            // SAFETY: the caller's contract: nobody else uses the destination meanwhile, and it is not the source.
            let dst = unsafe { writable(dst) };
            deflate(src, dst, level, last, check, contexts.ok_or(NO_CONTEXTS)?)
        }
        Job::Inflate { src, dst, check } => {
            // SAFETY: the caller's contract: nobody writes it meanwhile.
            let src = unsafe { readable(src) };
            // SAFETY: the caller's contract: nobody else uses the destination meanwhile, and it is not the source.
            let dst = unsafe { writable(dst) };
            inflate(src, dst, check, contexts.ok_or(NO_CONTEXTS)?)
        }
        _ => Err(Failure::Unsupported),
    }
}

/// The 32 bits a CRC-32C has.
#[expect(clippy::cast_possible_truncation, reason = "the rest of a seed means nothing")]
const fn low_half(seed: u64) -> u32 {
    seed as u32
}

const NO_CONTEXTS: Failure = Failure::Nonsense { what: "compression without a compressor", record: 0 };

fn deflate(
    src: &[u8],
    dst: &mut [u8],
    level: u8,
    last: bool,
    check: Check,
    contexts: &mut Contexts,
) -> Result<Done, Failure> {
    let level = Level::new(level.clamp(1, 9)).unwrap_or_default();
    contexts.deflater.configure(level, Window::DEFLATE);
    let segment = if last { Segment::Last } else { Segment::NotLast };
    let made = contexts
        .deflater
        .deflate(src, dst, segment)
        .map_err(|full| Failure::OutputFull { bytes_max: len_of(full.room) })?;
    let value = Value::Deflate { written: len_of(made.written), check: check_of(check, src) };
    Ok(Done { bytes: len_of(src.len()), value })
}

fn inflate(src: &[u8], dst: &mut [u8], check: Check, contexts: &mut Contexts) -> Result<Done, Failure> {
    let made = contexts.inflater.inflate(src, dst).map_err(|error| failure_of(&error))?;
    let (read, written) = (len_of(made.read), len_of(made.written));
    let value = Value::Inflate { read, written, check: check_of(check, &dst[..made.written]) };
    Ok(Done { bytes: read, value })
}

/// The checksum of `data`, 0 where none was asked for.
pub(super) fn check_of(check: Check, data: &[u8]) -> u32 {
    match check {
        Check::None => 0,
        Check::Crc32 => crate::crc32(0, data),
        Check::Adler32 => crate::adler32(1, data),
    }
}

/// The bytes of a span, for reading.
///
/// # Safety
///
/// They are readable and nobody writes them while the slice lives.
unsafe fn readable<'a>(span: Span) -> &'a [u8] {
    if span.len == 0 {
        return &[];
    }
    // SAFETY: the caller's contract; a span that is not empty is not null: no buffer is there, and `check` refuses it.
    unsafe { std::slice::from_raw_parts(pointer(span.addr).cast_const(), size_of_range(span.len)) }
}

/// The bytes of a span, for writing.
///
/// # Safety
///
/// They are writable and nobody else uses them while the slice lives.
unsafe fn writable<'a>(span: Span) -> &'a mut [u8] {
    if span.len == 0 {
        return &mut [];
    }
    // SAFETY: the caller's contract; a span that is not empty is not null: no buffer is there, and `check` refuses it.
    unsafe { std::slice::from_raw_parts_mut(pointer(span.addr), size_of_range(span.len)) }
}

/// The memory at an address. Addresses of buffers were exposed when they were taken ([`VirtAddr::of`]).
fn pointer(addr: VirtAddr) -> *mut u8 {
    std::ptr::with_exposed_provenance_mut(size_of_range(addr.get()))
}

/// An address or a length as the machine has it.
fn size_of_range(value: u64) -> usize {
    usize::try_from(value).expect("svala is for 64-bit Linux")
}

/// A length as a job has it.
pub(super) fn len_of(value: usize) -> u64 {
    u64::try_from(value).expect("svala is for 64-bit Linux")
}
