//! What a job comes to: its operands as slices, given to the arithmetic.
//!
//! UNSAFETY: makes slices of the addresses in a job.
#![expect(unsafe_code, reason = "jobs are addresses, and the work is on memory")]

use nix::errno::Errno;
use svala::backend::Failure;
use svala::{Access, Blocks, Check, Crc, CrcBypass, CrcKind, Done, Job, Span, Value, VirtAddr};

use super::cipher;
use super::column;
use super::integrity;
use super::lz4;
use super::memory::{Contexts, len_of, pointer, readable, size_of_range, writable};
use super::miniblock;
use super::numbers;
use super::stream::failure_of;
use crate::bypass::Bypass;
use crate::cache::CacheLines;
use crate::deflate::{Level, Segment, Window};
use crate::delta::{self, Outcome, RangeError};
use crate::frame::CheckKind;
use crate::pattern::Pattern;
use crate::populate_check::check_readable;

/// Does `job`. Only compression needs `contexts`.
///
/// # Safety
///
/// The job's operands are readable and writable as [`Job::operands`] says, and nobody else writes them or reads what
/// it writes, for as long as the call takes; so is the cipher it names. What is written shares no byte with another operand, except in a copy.
pub(super) unsafe fn work(job: &Job, contexts: Option<&mut Contexts>) -> Result<Done, Failure> {
    let done = |value| Done { bytes: job.bytes(), value };
    match *job {
        Job::Noop => Ok(done(Value::None)),
        Job::Copy { src, dst, len } => {
            let (from, to) = (pointer(src).cast_const(), pointer(dst));
            // SAFETY: the caller's contract; no slices, because the ranges may overlap, which `copy` allows.
            unsafe { std::ptr::copy(from, to, size_of_range(len)) };
            Ok(done(Value::None))
        }
        Job::Deflate { src, dst, level, last, check } => {
            // SAFETY: the caller's contract.
            let (src, dst) = unsafe { both(src, dst) };
            deflate(src, dst, &[], (level, last, check), contexts.ok_or(NO_CONTEXTS)?)
        }
        Job::Inflate { src, dst, check } => {
            // SAFETY: the caller's contract.
            let (src, dst) = unsafe { both(src, dst) };
            inflate(src, dst, &[], check, contexts.ok_or(NO_CONTEXTS)?)
        }
        Job::DeflateDictionary { src, dst, dictionary, level, last, check } => {
            // SAFETY: the caller's contract: nobody writes it meanwhile.
            let dictionary = unsafe { readable(dictionary) };
            // SAFETY: the caller's contract.
            let (src, dst) = unsafe { both(src, dst) };
            deflate(src, dst, dictionary, (level, last, check), contexts.ok_or(NO_CONTEXTS)?)
        }
        Job::InflateDictionary { src, dst, dictionary, check } => {
            // SAFETY: the caller's contract: nobody writes it meanwhile.
            let dictionary = unsafe { readable(dictionary) };
            // SAFETY: the caller's contract.
            let (src, dst) = unsafe { both(src, dst) };
            inflate(src, dst, dictionary, check, contexts.ok_or(NO_CONTEXTS)?)
        }
        Job::DecryptInflate { src, dst, cipher: addr, check, .. } => {
            // SAFETY: the caller's contract.
            let (src, dst) = unsafe { both(src, dst) };
            // SAFETY: the cipher is lent with the buffers, for as long as the job takes.
            let stream = unsafe { cipher::decrypted(addr, src) }?;
            let made = inflate(&stream, dst, &[], check, contexts.ok_or(NO_CONTEXTS)?)?;
            Ok(done(made.value))
        }
        Job::DeflateMiniblocks { .. } | Job::IndexMiniblocks { .. } | Job::InflateMiniblocks { .. } => {
            // SAFETY: the caller's contract.
            unsafe { miniblock::work(job, contexts.ok_or(NO_CONTEXTS)?) }
        }
        Job::Lz4Compress { src, dst, .. } => {
            // SAFETY: the caller's contract.
            let (src, dst) = unsafe { both(src, dst) };
            lz4::compress(src, dst).map(done)
        }
        Job::Lz4Decompress { src, dst, blocks } => {
            // SAFETY: the caller's contract.
            let (src, dst) = unsafe { both(src, dst) };
            lz4::decompress(src, dst, blocks).map(done)
        }
        Job::CacheFlush { .. } | Job::TranslationFetch { .. } => {
            // SAFETY: the caller's contract.
            unsafe { work_on_caches(job) }.map(|()| done(Value::None))
        }
        Job::Compare { .. } | Job::ComparePattern { .. } => {
            // SAFETY: the caller's contract.
            let at = unsafe { first_difference(job) }?;
            Ok(Done { bytes: at.unwrap_or(job.bytes()), value: Value::Difference(at) })
        }
        Job::Dualcast { .. } | Job::Fill { .. } | Job::Fill16 { .. } => {
            // SAFETY: the caller's contract.
            unsafe { write(job) }.map(|()| done(Value::None))
        }
        Job::CreateDelta { .. } | Job::ApplyDelta { .. } => {
            // SAFETY: the caller's contract.
            unsafe { work_on_delta(job) }.map(done)
        }
        Job::Crc { .. } | Job::CopyCrc { .. } => {
            // SAFETY: the caller's contract.
            unsafe { checksum(job) }.map(|crc| done(Value::Crc(crc)))
        }
        Job::DifCheck { .. }
        | Job::DifInsert { .. }
        | Job::DifStrip { .. }
        | Job::DifUpdate { .. }
        | Job::DixGenerate { .. } => {
            // SAFETY: the caller's contract.
            unsafe { work_on_blocks(job) }.map(done)
        }
        Job::Convert { .. } | Job::Reduce { .. } | Job::ReduceDualcast { .. } => {
            // SAFETY: the caller's contract.
            unsafe { work_on_numbers(job) }.map(done)
        }
        Job::GatherReduce { .. }
        | Job::GatherCopy { .. }
        | Job::ScatterCopy { .. }
        | Job::ScatterFill { .. } => {
            // SAFETY: the caller's contract.
            unsafe { work_on_list(job) }.map(done)
        }
        Job::Filter { src, second: addr, dst, filter } if filter.decryption().is_some() => {
            // SAFETY: the caller's contract.
            let (src, dst) = unsafe { both(src, dst) };
            // SAFETY: the cipher is lent with the buffers, for as long as the job takes.
            let column = unsafe { cipher::decrypted(addr, src) }?;
            let inflater = contexts.map(|contexts| &mut contexts.inflater);
            column::filter(filter, &column, &[], dst, inflater).map(done)
        }
        Job::Filter { src, second, dst, filter } => {
            // SAFETY: the caller's contract: nobody writes it meanwhile.
            let second = unsafe { readable(Span::new(second, filter.second_bytes())) };
            // SAFETY: the caller's contract.
            let (src, dst) = unsafe { both(src, dst) };
            let inflater = contexts.map(|contexts| &mut contexts.inflater);
            column::filter(filter, src, second, dst, inflater).map(done)
        }
        Job::ZeroCompress { src, dst, word } => {
            // SAFETY: the caller's contract.
            let (src, dst) = unsafe { both(src, dst) };
            column::zero_compress(word, src, dst).map(done)
        }
        Job::ZeroDecompress { src, dst, word } => {
            // SAFETY: the caller's contract.
            let (src, dst) = unsafe { both(src, dst) };
            column::zero_decompress(word, src, dst).map(done)
        }
        Job::CrcAny { src, len, crc } => {
            // SAFETY: the caller's contract: nobody writes it meanwhile.
            let src = unsafe { readable(Span::new(src, len)) };
            Ok(done(column::crc(crc, src)))
        }
        Job::Cipher { src, dst, len, cipher: addr, encrypts, .. } => {
            // SAFETY: the caller's contract.
            let (src, dst) = unsafe { both(Span::new(src, len), Span::new(dst, len)) };
            // SAFETY: the cipher is lent with the buffers, for as long as the job takes.
            unsafe { cipher::cipher(addr, encrypts, src, dst) }.map(done)
        }
        // A drain is the queue's own business, and none in a batch.
        _ => Err(Failure::Unsupported),
    }
}

/// A job whose sizes do not fit together. Lent buffers cannot make one: there the runtime looks.
pub(super) const fn misshapen(what: &'static str) -> Failure {
    Failure::Status { status: 0, name: what, done_bytes: 0 }
}

/// Writes from one range, or from none.
///
/// # Safety
///
/// As [`work`].
unsafe fn write(job: &Job) -> Result<(), Failure> {
    match *job {
        Job::Dualcast { src, dst, dst2, len } => {
            // SAFETY: the caller's contract.
            let (src, dst) = unsafe { both(Span::new(src, len), Span::new(dst, len)) };
            // SAFETY: the caller's contract: it is neither of the others.
            let dst2 = unsafe { writable(Span::new(dst2, len)) };
            crate::dualcast(src, dst, dst2);
        }
        Job::Fill { dst, len, pattern } => {
            // SAFETY: the caller's contract: nobody else uses the destination meanwhile.
            let dst = unsafe { writable(Span::new(dst, len)) };
            crate::fill(dst, Pattern::from_u64(pattern));
        }
        Job::Fill16 { dst, len, pattern: [low, high] } => {
            // SAFETY: the caller's contract: nobody else uses the destination meanwhile.
            let dst = unsafe { writable(Span::new(dst, len)) };
            crate::fill(dst, Pattern::from_words(low, high));
        }
        _ => return Err(Failure::Unsupported),
    }
    Ok(())
}

/// Where ranges, or a range and a pattern, first differ.
///
/// # Safety
///
/// As [`work`].
unsafe fn first_difference(job: &Job) -> Result<Option<u64>, Failure> {
    let at = match *job {
        Job::Compare { a, b, len } => {
            // SAFETY: the caller's contract: nobody writes it meanwhile.
            let a = unsafe { readable(Span::new(a, len)) };
            // SAFETY: as above.
            let b = unsafe { readable(Span::new(b, len)) };
            crate::first_difference(a, b)
        }
        Job::ComparePattern { src, len, pattern } => {
            // SAFETY: the caller's contract: nobody writes it meanwhile.
            let src = unsafe { readable(Span::new(src, len)) };
            crate::first_difference_from_pattern(src, Pattern::from_u64(pattern))
        }
        _ => return Err(Failure::Unsupported),
    };
    Ok(at.map(len_of))
}

/// Makes or applies a delta record.
///
/// # Safety
///
/// As [`work`].
unsafe fn work_on_delta(job: &Job) -> Result<Value, Failure> {
    match *job {
        Job::CreateDelta { a, b, len, delta } => {
            // SAFETY: the caller's contract: nobody writes it meanwhile.
            let a = unsafe { readable(Span::new(a, len)) };
            // SAFETY: the caller's contract.
            let (b, record) = unsafe { both(Span::new(b, len), delta) };
            let created = delta::create(a, b, record).map_err(range_failure)?;
            match created.outcome {
                Outcome::Overflow => Err(Failure::OutputFull { bytes_max: delta.len }),
                Outcome::Equal | Outcome::Complete => {
                    Ok(Value::Delta { written: len_of(created.record_bytes) })
                }
            }
        }
        Job::ApplyDelta { delta, dst, len } => {
            // SAFETY: the caller's contract.
            let (record, range) = unsafe { both(delta, Span::new(dst, len)) };
            let applied = delta::apply(record, range);
            applied.map(|()| Value::None).map_err(|error| Failure::Corrupt { offset: len_of(error.at) })
        }
        _ => Err(Failure::Unsupported),
    }
}

const fn range_failure(error: RangeError) -> Failure {
    misshapen(match error {
        RangeError::Lengths { .. } => "ranges of different lengths",
        RangeError::Granularity { .. } => "not whole words",
        RangeError::TooLong { .. } => "longer than a delta record reaches",
    })
}

/// The steps a job's CRC leaves out.
pub(super) const fn bypass_of(crc: Crc) -> Bypass {
    Bypass {
        inversion: crc.bypass.contains(CrcBypass::INVERSION),
        reflection: crc.bypass.contains(CrcBypass::REFLECTION),
    }
}

/// The 32 bits a CRC-32C has.
#[expect(clippy::cast_possible_truncation, reason = "the rest of a seed means nothing")]
pub(super) const fn low_half(seed: u64) -> u32 {
    seed as u32
}

/// A CRC, of memory that is copied or not.
///
/// # Safety
///
/// As [`work`].
unsafe fn checksum(job: &Job) -> Result<u64, Failure> {
    match *job {
        Job::Crc { src, len, crc, seed } => {
            // SAFETY: the caller's contract: nobody writes it meanwhile.
            let src = unsafe { readable(Span::new(src, len)) };
            let bypass = bypass_of(crc);
            Ok(match crc.kind {
                CrcKind::Crc32c => bypass.crc32c(low_half(seed), src).into(),
                CrcKind::Crc64 => bypass.crc64(seed, src),
            })
        }
        Job::CopyCrc { src, dst, len, crc, seed } => {
            // SAFETY: the caller's contract.
            let (src, dst) = unsafe { both(Span::new(src, len), Span::new(dst, len)) };
            let bypass = bypass_of(crc);
            Ok(match crc.kind {
                CrcKind::Crc32c => bypass.copy_crc32c(low_half(seed), src, dst).into(),
                CrcKind::Crc64 => bypass.copy_crc64(seed, src, dst),
            })
        }
        _ => Err(Failure::Unsupported),
    }
}

/// Checks, makes or changes data integrity fields.
///
/// # Safety
///
/// As [`work`].
unsafe fn work_on_blocks(job: &Job) -> Result<Value, Failure> {
    let [Some(src), dst, ..] = job.operands() else { return Err(Failure::Unsupported) };
    let dst = dst.map_or(Span::default(), |operand| operand.span);
    // SAFETY: the caller's contract; a check has no second operand, and its slice is empty.
    let (src, dst) = unsafe { both(src.span, dst) };
    match *job {
        Job::DifCheck { format, source, .. } => integrity::check(format, source, src),
        Job::DifInsert { format, destination, .. } => integrity::insert(format, destination, src, dst),
        Job::DifStrip { format, source, .. } => integrity::strip(format, source, src, dst),
        Job::DifUpdate { format, source, destination, .. } => {
            integrity::update(format, source, destination, src, dst)
        }
        Job::DixGenerate { format, destination, .. } => {
            integrity::dix_generate(format, destination, src, dst)
        }
        _ => Err(Failure::Unsupported),
    }
}

/// Converts or combines vectors.
///
/// # Safety
///
/// As [`work`].
unsafe fn work_on_numbers(job: &Job) -> Result<Value, Failure> {
    match *job {
        Job::Convert { src, dst, len, conversion } => {
            let dst = Span::new(dst, conversion.output_bytes(len));
            // SAFETY: the caller's contract.
            let (src, dst) = unsafe { both(Span::new(src, len), dst) };
            numbers::convert(conversion, src, dst)
        }
        Job::Reduce { a, b, dst, len, reduction } | Job::ReduceDualcast { a, b, dst, len, reduction, .. } => {
            // SAFETY: the caller's contract: nobody writes it meanwhile.
            let a = unsafe { readable(Span::new(a, len)) };
            let dst = Span::new(dst, reduction.numbers().output_bytes(len));
            // SAFETY: the caller's contract.
            let (b, dst) = unsafe { both(Span::new(b, len), dst) };
            let value = numbers::reduce(reduction, a, b, dst)?;
            if let Job::ReduceDualcast { dst2, .. } = *job {
                // SAFETY: the caller's contract: it is none of the others.
                unsafe { writable(Span::new(dst2, len_of(dst.len()))) }.copy_from_slice(dst);
            }
            Ok(value)
        }
        _ => Err(Failure::Unsupported),
    }
}

/// Works on blocks that lie anywhere in a range. One that is not inside it is refused when it is reached.
///
/// # Safety
///
/// As [`work`].
unsafe fn work_on_list(job: &Job) -> Result<Value, Failure> {
    let (blocks, other) = match *job {
        Job::GatherReduce { blocks, dst, reduction } => {
            (blocks, Span::new(dst, reduction.numbers().output_bytes(blocks.block_bytes.into())))
        }
        Job::GatherCopy { blocks, dst } => (blocks, Span::new(dst, blocks.bytes())),
        Job::ScatterCopy { src, blocks } => (blocks, Span::new(src, blocks.bytes())),
        Job::ScatterFill { blocks, .. } => (blocks, Span::default()),
        _ => return Err(Failure::Unsupported),
    };
    let block = size_of_range(blocks.block_bytes.into());
    // SAFETY: the caller's contract: nobody writes the list meanwhile.
    let offsets = unsafe { entries(&blocks) };
    match *job {
        Job::GatherReduce { reduction, .. } => {
            // SAFETY: the caller's contract.
            let (base, dst) = unsafe { both(blocks.base, other) };
            numbers::gather_reduce(reduction, base, offsets, block, dst)
        }
        Job::GatherCopy { .. } => {
            // SAFETY: the caller's contract.
            let (base, dst) = unsafe { both(blocks.base, other) };
            numbers::gather(base, offsets, block, dst)
        }
        Job::ScatterCopy { .. } => {
            // SAFETY: the caller's contract.
            let (src, base) = unsafe { both(other, blocks.base) };
            numbers::scatter(src, offsets, block, base)
        }
        Job::ScatterFill { pattern, .. } => {
            // SAFETY: the caller's contract: nobody else uses it meanwhile.
            let base = unsafe { writable(blocks.base) };
            numbers::scatter_fill(pattern, offsets, block, base)
        }
        _ => Err(Failure::Unsupported),
    }
}

/// The entries of a list.
///
/// # Safety
///
/// The list is readable and aligned, and nobody writes it while the slice lives.
unsafe fn entries<'a>(blocks: &Blocks) -> &'a [usize] {
    if blocks.count == 0 {
        return &[];
    }
    let list = pointer(blocks.list).cast_const().cast::<usize>();
    // SAFETY: the caller's contract; entries have the eight bytes of a `usize`.
    unsafe { std::slice::from_raw_parts(list, size_of_range(blocks.count.into())) }
}

/// Flushes lines, or has pages made present.
///
/// # Safety
///
/// As [`work`].
unsafe fn work_on_caches(job: &Job) -> Result<(), Failure> {
    match *job {
        Job::CacheFlush { addr, len, drop } => {
            let lines = CacheLines::detect().ok_or(Failure::Unsupported)?;
            // SAFETY: the caller's contract.
            let range = unsafe { readable(Span::new(addr, len)) };
            if drop {
                lines.drop_lines(range);
            } else {
                lines.write_back(range);
            }
            Ok(())
        }
        Job::TranslationFetch { addr, len } => {
            let present = check_readable(size_of_range(addr.get()), size_of_range(len));
            present.map_err(|bad| match VirtAddr::new(len_of(bad.addr)) {
                // What was lent can be missing only where a map's file has been cut.
                addr if bad.errno == Errno::EFAULT => Failure::Vanished { addr },
                addr => Failure::Address { access: Access::Read, addr, done_bytes: 0 },
            })
        }
        _ => Err(Failure::Unsupported),
    }
}

/// The bytes of what is read and of what is written.
///
/// # Safety
///
/// Nobody writes the first and nobody else uses the second while the slices live, and they share no byte.
pub(super) unsafe fn both<'a>(src: Span, dst: Span) -> (&'a [u8], &'a mut [u8]) {
    // SAFETY: the caller's contract: nobody writes it meanwhile.
    let src = unsafe { readable(src) };
    // SAFETY: the caller's contract: nobody else uses it meanwhile, and it is not the source.
    (src, unsafe { writable(dst) })
}

const NO_CONTEXTS: Failure = Failure::Nonsense { what: "compression without a compressor", record: 0 };

fn deflate(
    src: &[u8],
    dst: &mut [u8],
    dictionary: &[u8],
    (level, last, check): (u8, bool, Check),
    contexts: &mut Contexts,
) -> Result<Done, Failure> {
    let level = Level::new(level.clamp(1, 9)).unwrap_or_default();
    contexts.deflater.configure(level, Window::DEFLATE);
    let segment = if last { Segment::Last } else { Segment::NotLast };
    let made = contexts
        .deflater
        .deflate_unsteady(dictionary, src, dst, segment)
        .map_err(|full| Failure::OutputFull { bytes_max: len_of(full.room) })?;
    let value = Value::Deflate { written: len_of(made.written), check: check_of(check, src) };
    Ok(Done { bytes: len_of(src.len()), value })
}

fn inflate(
    src: &[u8],
    dst: &mut [u8],
    dictionary: &[u8],
    check: Check,
    contexts: &mut Contexts,
) -> Result<Done, Failure> {
    let inflater = &mut contexts.inflater;
    let made = match dictionary {
        [] => inflater.inflate_checked(src, dst, kind_of(check)),
        dictionary => inflater
            .inflate_with_dictionary(dictionary, src, dst)
            .map(|made| (made, check_of(check, &dst[..made.written]))),
    };
    let (made, check) = made.map_err(|error| failure_of(&error))?;
    let (read, written) = (len_of(made.read), len_of(made.written));
    Ok(Done { bytes: read, value: Value::Inflate { read, written, check } })
}

/// A checksum, by the name the arithmetic has for it.
pub(super) const fn kind_of(check: Check) -> CheckKind {
    match check {
        Check::None => CheckKind::None,
        Check::Crc32 => CheckKind::Crc32,
        Check::Adler32 => CheckKind::Adler32,
    }
}

/// The checksum of `data`, 0 where none was asked for.
pub(super) fn check_of(check: Check, data: &[u8]) -> u32 {
    let kind = kind_of(check);
    kind.chain(kind.start(), data)
}
