//! Jobs made of buffers: what an operation asks for, checked.
//!
//! Made where the buffers are when the operation starts, and not earlier: a future that has not begun is its buffers
//! and little else.

use crate::address::Span;
use crate::buffer::{IoBuf, IoBufMut};
use crate::error::Error;
use crate::job::{Check, Job, Operation};
use crate::operation::DeflateOptions;

#[inline]
fn same_length(operation: Operation, first: u64, second: u64) -> Result<u64, Error> {
    if first == second { Ok(first) } else { Err(Error::Length { operation, first, second }) }
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
    Ok(Job::Crc32c { src, len, seed })
}

pub(crate) fn deflate<S: IoBuf, D: IoBufMut>(
    src: &S,
    dst: &mut D,
    options: DeflateOptions,
) -> Result<Job, Error> {
    let DeflateOptions { level, last, check } = options;
    Ok(Job::Deflate { src: src.span(), dst: dst.span_mut(), level: level.clamp(1, 9), last, check })
}

pub(crate) fn inflate<S: IoBuf, D: IoBufMut>(src: &S, dst: &mut D, check: Check) -> Result<Job, Error> {
    Ok(Job::Inflate { src: src.span(), dst: dst.span_mut(), check })
}
