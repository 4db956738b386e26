//! A job, run: what must hold before and while its addresses become memory, which they do here and in `work`.
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
use svala::{
    Access, BLOCK_ENTRY_BYTES, Blocks, Conversion, DELTA_ENTRY_BYTES, DELTA_RANGE_BYTES_MAX, Done, Job,
    MiniblockSize, OPERANDS_MAX, Operands, Span, VirtAddr,
};

use super::stream::Stream;
use super::unit::unit_bytes;
use super::work::{misshapen, work};
use crate::deflate::{Deflater, Level, MiniblockDeflater, Window};
use crate::guard::guarded;
use crate::inflate::Inflater;
use crate::populate_check::{check_readable, check_writable};

/// How far a job's addresses are to be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// A buffer lent them.
    Lent,
    /// Somebody says so: they are checked before they are used.
    Check,
}

/// A compressor and a decompressor, used again and again, and what they need besides.
#[derive(Debug)]
pub(super) struct Contexts {
    pub(super) deflater: Deflater,
    pub(super) inflater: Inflater,
    pub(super) miniblocks: MiniblockDeflater,
    /// What a miniblock is expanded into.
    pub(super) miniblock: Box<[u8]>,
}

impl Contexts {
    pub(super) fn new() -> Self {
        let mut deflater = Deflater::new(Level::DEFAULT, Window::DEFLATE);
        deflater.prepare_unsteady();
        let miniblock = vec![0; size_of_range(MiniblockSize::Kib32.bytes())].into_boxed_slice();
        Self { deflater, inflater: Inflater::new(), miniblocks: MiniblockDeflater::default(), miniblock }
    }
}

/// Does once what would otherwise happen in the first job: installs the `SIGBUS` handler.
pub(super) fn prepare() {
    let nothing = 0..0;
    // SAFETY: the range is empty, so nothing in it can vanish.
    let _ = unsafe { guarded(std::slice::from_ref(&nothing), || ()) };
}

/// Whether `job` needs a compressor.
pub(super) const fn compresses(job: &Job) -> bool {
    match job {
        Job::Deflate { .. }
        | Job::Inflate { .. }
        | Job::DeflateDictionary { .. }
        | Job::InflateDictionary { .. }
        | Job::DecryptInflate { .. }
        | Job::DeflateMiniblocks { .. }
        | Job::IndexMiniblocks { .. }
        | Job::InflateMiniblocks { .. } => true,
        Job::Filter { filter, .. } => filter.is_deflated(),
        _ => false,
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

/// Whether the job can be done at all: its sizes fit, what it writes is not what it reads, and its memory is there, as
/// far as the kernel can tell. Makes the memory present.
pub(super) fn check(job: &Job) -> Result<(), Failure> {
    check_sizes(job)?;
    let operands = job.operands();
    if !matches!(job, Job::Copy { .. }) {
        check_overlaps(&operands)?;
    }
    for operand in operands.into_iter().flatten() {
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

/// What the runtime sees to where buffers are lent. Before anything is computed from the sizes.
fn check_sizes(job: &Job) -> Result<(), Failure> {
    match *job {
        Job::CreateDelta { len, .. } | Job::ApplyDelta { len, .. } if len > DELTA_RANGE_BYTES_MAX => {
            Err(misshapen("longer than a delta record reaches"))
        }
        Job::CreateDelta { len, .. } | Job::ApplyDelta { len, .. } if !len.is_multiple_of(8) => {
            Err(misshapen("not whole words"))
        }
        Job::ApplyDelta { delta, .. } if !delta.len.is_multiple_of(DELTA_ENTRY_BYTES) => {
            Err(misshapen("not whole entries"))
        }
        Job::DifCheck { src, len, .. }
        | Job::DifInsert { src, len, .. }
        | Job::DifStrip { src, len, .. }
        | Job::DifUpdate { src, len, .. }
        | Job::DixGenerate { src, len, .. } => match isize::try_from(len) {
            Err(_) => Err(bad(Access::Read, src)),
            Ok(_) if !len.is_multiple_of(unit_bytes(job)) => Err(misshapen("not whole blocks")),
            Ok(_) => Ok(()),
        },
        Job::InflateMiniblocks { miniblocks, .. }
            if miniblocks.header > miniblocks.start || miniblocks.start >= miniblocks.end =>
        {
            Err(misshapen("places that are not in order"))
        }
        Job::GatherReduce { blocks, .. }
        | Job::GatherCopy { blocks, .. }
        | Job::ScatterCopy { blocks, .. }
        | Job::ScatterFill { blocks, .. } => check_blocks(&blocks),
        Job::Convert { src, len, conversion, .. } => check_elements(src, len, conversion),
        Job::Reduce { a, len, reduction, .. } | Job::ReduceDualcast { a, len, reduction, .. } => {
            check_elements(a, len, reduction.numbers())
        }
        _ => Ok(()),
    }
}

/// That a list can be read, and that all blocks together are no more than memory can be. Where each is, is looked at
/// when it is reached.
fn check_blocks(blocks: &Blocks) -> Result<(), Failure> {
    // At most eight bytes come of one.
    if blocks.bytes() > (1 << 60) || isize::try_from(blocks.base.len).is_err() {
        return Err(bad(Access::Read, blocks.base.addr));
    }
    if !blocks.list.get().is_multiple_of(BLOCK_ENTRY_BYTES) {
        return Err(misshapen("a list at an odd address"));
    }
    Ok(())
}

/// That as many bytes can be read and written, and that they are whole elements.
fn check_elements(src: VirtAddr, len: u64, numbers: Conversion) -> Result<(), Failure> {
    match len > (1 << 59) {
        true => Err(bad(Access::Read, src)),
        false if !len.is_multiple_of(numbers.input().bytes()) => Err(misshapen("not whole elements")),
        false => Ok(()),
    }
}

/// Not a fault, but not memory a job can be done in either.
fn check_overlaps(operands: &Operands) -> Result<(), Failure> {
    let mut rest = operands.iter().flatten();
    while let Some(one) = rest.next() {
        let other = rest.clone().find(|other| {
            (one.access == Access::Write || other.access == Access::Write) && one.span.overlaps(other.span)
        });
        if let Some(other) = other {
            return Err(bad(Access::Write, one.span.addr.max(other.span.addr)));
        }
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

/// The bytes of a span, for reading.
///
/// # Safety
///
/// They are readable and nobody writes them while the slice lives.
pub(super) unsafe fn readable<'a>(span: Span) -> &'a [u8] {
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
pub(super) unsafe fn writable<'a>(span: Span) -> &'a mut [u8] {
    if span.len == 0 {
        return &mut [];
    }
    // SAFETY: the caller's contract; a span that is not empty is not null: no buffer is there, and `check` refuses it.
    unsafe { std::slice::from_raw_parts_mut(pointer(span.addr), size_of_range(span.len)) }
}

/// The memory at an address. Addresses of buffers were exposed when they were taken ([`VirtAddr::of`]).
pub(super) fn pointer(addr: VirtAddr) -> *mut u8 {
    std::ptr::with_exposed_provenance_mut(size_of_range(addr.get()))
}

/// An address or a length as the machine has it.
pub(super) fn size_of_range(value: u64) -> usize {
    usize::try_from(value).expect("svala is for 64-bit Linux")
}

/// A length as a job has it.
pub(super) fn len_of(value: usize) -> u64 {
    u64::try_from(value).expect("svala is for 64-bit Linux")
}
