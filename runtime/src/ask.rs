//! Jobs made of buffers: what an operation asks for, checked.
//!
//! Made where the buffers are when the operation starts, and not earlier: a future that has not begun is its buffers
//! and little else.

pub(crate) mod cipher;
pub(crate) mod filter;
pub(crate) mod numeric;

use crate::address::Span;
use crate::buffer::{IoBuf, IoBufMut};
use crate::crc::Crc;
use crate::dictionary::Dictionary;
use crate::dif::{DIF_BYTES, DifDestination, DifFormat, DifSource};
use crate::error::Error;
use crate::job::{Check, DELTA_ENTRY_BYTES, DELTA_RANGE_BYTES_MAX, Job, Lz4Blocks, Operation};
use crate::miniblock::{BlockStart, MiniblockFault, MiniblockSize, Miniblocks};
use crate::operation::DeflateOptions;

#[inline]
fn same_length(operation: Operation, first: u64, second: u64) -> Result<u64, Error> {
    if first == second { Ok(first) } else { Err(Error::Length { operation, first, second }) }
}

/// How many units there are.
fn whole_units(operation: Operation, bytes: u64, unit: u64) -> Result<u64, Error> {
    if bytes.is_multiple_of(unit) { Ok(bytes / unit) } else { Err(Error::Units { operation, bytes, unit }) }
}

#[inline]
pub(crate) fn copy<S: IoBuf, D: IoBufMut>(src: &S, dst: &mut D) -> Result<Job, Error> {
    let (src, dst) = (src.span(), dst.span_mut());
    let len = same_length(Operation::Copy, src.len, dst.len)?;
    Ok(Job::Copy { src: src.addr, dst: dst.addr, len })
}

#[inline]
pub(crate) fn fill<D: IoBufMut>(dst: &mut D, pattern: u64) -> Result<Job, Error> {
    let Span { addr: dst, len } = dst.span_mut();
    Ok(Job::Fill { dst, len, pattern })
}

#[inline]
pub(crate) fn compare<A: IoBuf, B: IoBuf>(a: &A, b: &B) -> Result<Job, Error> {
    let (a, b) = (a.span(), b.span());
    let len = same_length(Operation::Compare, a.len, b.len)?;
    Ok(Job::Compare { a: a.addr, b: b.addr, len })
}

#[inline]
pub(crate) fn crc32c<S: IoBuf>(src: &S, seed: u32) -> Result<Job, Error> {
    let Span { addr: src, len } = src.span();
    Ok(Job::Crc { src, len, crc: Crc::CRC32C, seed: seed.into() })
}

#[inline]
pub(crate) fn crc<S: IoBuf>(src: &S, crc: Crc, seed: u64) -> Result<Job, Error> {
    let Span { addr: src, len } = src.span();
    Ok(Job::Crc { src, len, crc, seed })
}

#[inline]
pub(crate) fn copy_crc<S: IoBuf, D: IoBufMut>(
    src: &S,
    dst: &mut D,
    crc: Crc,
    seed: u64,
) -> Result<Job, Error> {
    let (src, dst) = (src.span(), dst.span_mut());
    let kind = Job::CopyCrc { src: src.addr, dst: dst.addr, len: src.len, crc, seed };
    same_length(kind.operation(), src.len, dst.len)?;
    Ok(kind)
}

pub(crate) fn dualcast<S: IoBuf, D: IoBufMut, E: IoBufMut>(
    src: &S,
    dst: &mut D,
    dst2: &mut E,
) -> Result<Job, Error> {
    let (src, dst, dst2) = (src.span(), dst.span_mut(), dst2.span_mut());
    let len = same_length(Operation::Dualcast, src.len, dst.len)?;
    same_length(Operation::Dualcast, src.len, dst2.len)?;
    Ok(Job::Dualcast { src: src.addr, dst: dst.addr, dst2: dst2.addr, len })
}

pub(crate) fn fill16<D: IoBufMut>(dst: &mut D, pattern: [u8; 16]) -> Result<Job, Error> {
    let Span { addr: dst, len } = dst.span_mut();
    let ([low, high], _) = pattern.as_chunks::<8>() else { unreachable!("sixteen bytes are two words") };
    Ok(Job::Fill16 { dst, len, pattern: [u64::from_le_bytes(*low), u64::from_le_bytes(*high)] })
}

pub(crate) fn compare_pattern<S: IoBuf>(src: &S, pattern: u64) -> Result<Job, Error> {
    let Span { addr: src, len } = src.span();
    Ok(Job::ComparePattern { src, len, pattern })
}

pub(crate) fn create_delta<A: IoBuf, B: IoBuf, D: IoBufMut>(
    a: &A,
    b: &B,
    delta: &mut D,
) -> Result<Job, Error> {
    let (a, b) = (a.span(), b.span());
    let len = same_length(Operation::CreateDelta, a.len, b.len)?;
    range_of_delta(Operation::CreateDelta, len)?;
    Ok(Job::CreateDelta { a: a.addr, b: b.addr, len, delta: delta.span_mut() })
}

pub(crate) fn apply_delta<S: IoBuf, D: IoBufMut>(delta: &S, dst: &mut D) -> Result<Job, Error> {
    let (delta, dst) = (delta.span(), dst.span_mut());
    whole_units(Operation::ApplyDelta, delta.len, DELTA_ENTRY_BYTES)?;
    range_of_delta(Operation::ApplyDelta, dst.len)?;
    Ok(Job::ApplyDelta { delta, dst: dst.addr, len: dst.len })
}

/// What a delta record can be of.
fn range_of_delta(operation: Operation, bytes: u64) -> Result<(), Error> {
    let bytes_max = DELTA_RANGE_BYTES_MAX;
    if bytes > bytes_max {
        return Err(Error::TooLong { operation, bytes, bytes_max });
    }
    whole_units(operation, bytes, 8).map(|_| ())
}

pub(crate) fn dif_check<S: IoBuf>(src: &S, format: DifFormat, source: DifSource) -> Result<Job, Error> {
    let Span { addr: src, len } = src.span();
    whole_units(Operation::DifCheck, len, format.block.bytes_with_field())?;
    Ok(Job::DifCheck { src, len, format, source })
}

pub(crate) fn dif_insert<S: IoBuf, D: IoBufMut>(
    src: &S,
    dst: &mut D,
    format: DifFormat,
    destination: DifDestination,
) -> Result<Job, Error> {
    let (src, dst) = (src.span(), dst.span_mut());
    let blocks = whole_units(Operation::DifInsert, src.len, format.block.bytes())?;
    same_length(Operation::DifInsert, blocks * format.block.bytes_with_field(), dst.len)?;
    Ok(Job::DifInsert { src: src.addr, dst: dst.addr, len: src.len, format, destination })
}

pub(crate) fn dif_strip<S: IoBuf, D: IoBufMut>(
    src: &S,
    dst: &mut D,
    format: DifFormat,
    source: DifSource,
) -> Result<Job, Error> {
    let (src, dst) = (src.span(), dst.span_mut());
    let blocks = whole_units(Operation::DifStrip, src.len, format.block.bytes_with_field())?;
    same_length(Operation::DifStrip, blocks * format.block.bytes(), dst.len)?;
    Ok(Job::DifStrip { src: src.addr, dst: dst.addr, len: src.len, format, source })
}

pub(crate) fn dif_update<S: IoBuf, D: IoBufMut>(
    src: &S,
    dst: &mut D,
    format: DifFormat,
    source: DifSource,
    destination: DifDestination,
) -> Result<Job, Error> {
    let (src, dst) = (src.span(), dst.span_mut());
    whole_units(Operation::DifUpdate, src.len, format.block.bytes_with_field())?;
    let len = same_length(Operation::DifUpdate, src.len, dst.len)?;
    Ok(Job::DifUpdate { src: src.addr, dst: dst.addr, len, format, source, destination })
}

pub(crate) fn dix_generate<S: IoBuf, D: IoBufMut>(
    src: &S,
    dst: &mut D,
    format: DifFormat,
    destination: DifDestination,
) -> Result<Job, Error> {
    let (src, dst) = (src.span(), dst.span_mut());
    let blocks = whole_units(Operation::DixGenerate, src.len, format.block.bytes())?;
    same_length(Operation::DixGenerate, blocks * DIF_BYTES, dst.len)?;
    Ok(Job::DixGenerate { src: src.addr, dst: dst.addr, len: src.len, format, destination })
}

pub(crate) fn cache_flush<S: IoBuf>(buffer: &S, drop: bool) -> Result<Job, Error> {
    let Span { addr, len } = buffer.span();
    Ok(Job::CacheFlush { addr, len, drop })
}

pub(crate) fn translation_fetch<S: IoBuf>(buffer: &S) -> Result<Job, Error> {
    let Span { addr, len } = buffer.span();
    Ok(Job::TranslationFetch { addr, len })
}

pub(crate) fn deflate<S: IoBuf, D: IoBufMut>(
    src: &S,
    dst: &mut D,
    options: DeflateOptions,
) -> Result<Job, Error> {
    let DeflateOptions { level, last, check } = options;
    Ok(Job::Deflate { src: src.span(), dst: dst.span_mut(), level: level.clamp(1, 9), last, check })
}

pub(crate) fn lz4_compress<S: IoBuf, D: IoBufMut>(src: &S, dst: &mut D, level: u8) -> Result<Job, Error> {
    Ok(Job::Lz4Compress { src: src.span(), dst: dst.span_mut(), level: level.clamp(1, 9) })
}

pub(crate) fn lz4_decompress<S: IoBuf, D: IoBufMut>(
    src: &S,
    dst: &mut D,
    blocks: Lz4Blocks,
) -> Result<Job, Error> {
    Ok(Job::Lz4Decompress { src: src.span(), dst: dst.span_mut(), blocks })
}

pub(crate) fn inflate<S: IoBuf, D: IoBufMut>(src: &S, dst: &mut D, check: Check) -> Result<Job, Error> {
    Ok(Job::Inflate { src: src.span(), dst: dst.span_mut(), check })
}

pub(crate) fn deflate_with_dictionary<S: IoBuf, D: IoBufMut>(
    src: &S,
    dst: &mut D,
    dictionary: &Dictionary,
    options: DeflateOptions,
) -> Result<Job, Error> {
    let DeflateOptions { level, last, check } = options;
    let (src, dst, dictionary, level) = (src.span(), dst.span_mut(), dictionary.span(), level.clamp(1, 9));
    Ok(Job::DeflateDictionary { src, dst, dictionary, level, last, check })
}

pub(crate) fn inflate_with_dictionary<S: IoBuf, D: IoBufMut>(
    src: &S,
    dst: &mut D,
    dictionary: &Dictionary,
    check: Check,
) -> Result<Job, Error> {
    let (src, dst, dictionary) = (src.span(), dst.span_mut(), dictionary.span());
    Ok(Job::InflateDictionary { src, dst, dictionary, check })
}

pub(crate) fn deflate_miniblocks<S: IoBuf, D: IoBufMut>(
    src: &S,
    dst: &mut D,
    size: MiniblockSize,
    options: DeflateOptions,
) -> Result<Job, Error> {
    let DeflateOptions { level, last, check } = options;
    let (src, dst, level) = (src.span(), dst.span_mut(), level.clamp(1, 9));
    Ok(Job::DeflateMiniblocks { src, dst, size, level, last, check })
}

pub(crate) fn index_block<S: IoBuf, D: IoBufMut>(
    src: &S,
    dst: &mut D,
    size: MiniblockSize,
    start: BlockStart,
) -> Result<Job, Error> {
    let stream = src.span();
    let src = stream.part(u64::from(start.bit) / 8, stream.len);
    if src.len == 0 {
        return Err(Error::Truncated { operation: Operation::IndexMiniblocks, len: stream.len });
    }
    Ok(Job::IndexMiniblocks { src, dst: dst.span_mut(), size, start })
}

pub(crate) fn inflate_miniblocks<S: IoBuf, D: IoBufMut>(
    src: &S,
    dst: &mut D,
    miniblocks: Miniblocks,
) -> Result<Job, Error> {
    const OPERATION: Operation = Operation::InflateMiniblocks;
    let Miniblocks { header, start, end, .. } = miniblocks;
    let Span { addr: src, len } = src.span();
    if !miniblocks.fit(u64::MAX) {
        let fault = MiniblockFault::Places { header, start, end };
        return Err(Error::Miniblock { operation: OPERATION, fault, data_at: 0 });
    }
    if !miniblocks.fit(len) {
        return Err(Error::Truncated { operation: OPERATION, len });
    }
    Ok(Job::InflateMiniblocks { src, dst: dst.span_mut(), miniblocks })
}
