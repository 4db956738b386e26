//! Jobs on vectors of numbers and on lists of blocks.
//!
//! Buffers are safe Rust's; lists are numbers a program has computed. So each block is checked here: with what these
//! functions answer, nothing touches memory outside the buffers.

use super::{same_length, whole_units};
use crate::address::Span;
use crate::buffer::{IoBuf, IoBufMut};
use crate::error::Error;
use crate::job::{Blocks, Job, Operation};
use crate::numeric::{Conversion, Reduction};
use crate::scatter::BlockList;

pub(crate) fn convert<S: IoBuf, D: IoBufMut>(
    src: &S,
    dst: &mut D,
    conversion: Conversion,
) -> Result<Job, Error> {
    let (src, dst) = (src.span(), dst.span_mut());
    output_of(Operation::Convert, src.len, dst.len, conversion)?;
    Ok(Job::Convert { src: src.addr, dst: dst.addr, len: src.len, conversion })
}

pub(crate) fn reduce<A: IoBuf, B: IoBuf, D: IoBufMut>(
    a: &A,
    b: &B,
    dst: &mut D,
    reduction: Reduction,
) -> Result<Job, Error> {
    let (a, b, dst) = (a.span(), b.span(), dst.span_mut());
    let len = same_length(Operation::Reduce, a.len, b.len)?;
    output_of(Operation::Reduce, len, dst.len, reduction.numbers())?;
    Ok(Job::Reduce { a: a.addr, b: b.addr, dst: dst.addr, len, reduction })
}

pub(crate) fn reduce_dualcast<A: IoBuf, B: IoBuf, D: IoBufMut, E: IoBufMut>(
    a: &A,
    b: &B,
    dst: &mut D,
    dst2: &mut E,
    reduction: Reduction,
) -> Result<Job, Error> {
    let (a, b, dst, dst2) = (a.span(), b.span(), dst.span_mut(), dst2.span_mut());
    let len = same_length(Operation::ReduceDualcast, a.len, b.len)?;
    output_of(Operation::ReduceDualcast, len, dst.len, reduction.numbers())?;
    same_length(Operation::ReduceDualcast, dst.len, dst2.len)?;
    Ok(Job::ReduceDualcast { a: a.addr, b: b.addr, dst: dst.addr, dst2: dst2.addr, len, reduction })
}

pub(crate) fn gather_reduce<S: IoBuf, D: IoBufMut>(
    base: &S,
    list: &BlockList,
    dst: &mut D,
    reduction: Reduction,
) -> Result<Job, Error> {
    let (base, dst) = (base.span(), dst.span_mut());
    let operation = Operation::GatherReduce;
    let blocks = blocks(operation, base, list)?;
    list.check_units(operation, reduction.numbers().input().bytes())?;
    // Of no vectors there is no sum.
    let vector = if list.count() == 0 { 0 } else { u64::from(list.block_bytes()) };
    output_of(operation, vector, dst.len, reduction.numbers())?;
    Ok(Job::GatherReduce { blocks, dst: dst.addr, reduction })
}

pub(crate) fn gather_copy<S: IoBuf, D: IoBufMut>(
    base: &S,
    list: &BlockList,
    dst: &mut D,
) -> Result<Job, Error> {
    let (base, dst) = (base.span(), dst.span_mut());
    let blocks = blocks(Operation::GatherCopy, base, list)?;
    same_length(Operation::GatherCopy, list.bytes(), dst.len)?;
    Ok(Job::GatherCopy { blocks, dst: dst.addr })
}

pub(crate) fn scatter_copy<S: IoBuf, D: IoBufMut>(
    src: &S,
    base: &mut D,
    list: &BlockList,
) -> Result<Job, Error> {
    let (src, base) = (src.span(), base.span_mut());
    let blocks = blocks(Operation::ScatterCopy, base, list)?;
    same_length(Operation::ScatterCopy, src.len, list.bytes())?;
    Ok(Job::ScatterCopy { src: src.addr, blocks })
}

pub(crate) fn scatter_fill<D: IoBufMut>(base: &mut D, list: &BlockList, pattern: u64) -> Result<Job, Error> {
    let blocks = blocks(Operation::ScatterFill, base.span_mut(), list)?;
    Ok(Job::ScatterFill { blocks, pattern })
}

/// The blocks, each of which is inside `base`.
fn blocks(operation: Operation, base: Span, list: &BlockList) -> Result<Blocks, Error> {
    list.check_inside(operation, base)?;
    Ok(Blocks { base, list: list.addr(), count: list.count(), block_bytes: list.block_bytes() })
}

/// That `len` bytes are whole elements and become `dst_len` bytes.
fn output_of(operation: Operation, len: u64, dst_len: u64, numbers: Conversion) -> Result<(), Error> {
    let elements = whole_units(operation, len, numbers.input().bytes())?;
    let written = elements.saturating_mul(numbers.output().bytes());
    same_length(operation, written, dst_len).map(|_| ())
}
