//! Filters, zero compression and CRCs of any polynomial, checked.

use crate::address::Span;
use crate::buffer::{IoBuf, IoBufMut};
use crate::column::Column;
use crate::crc::AnyCrc;
use crate::error::Error;
use crate::filter::{ColumnFault, Filter, FilterKind, FilterOptions};
use crate::job::{Job, Operation, ZeroWord};

pub(crate) fn filter<B: IoBuf, S: IoBuf, D: IoBufMut>(
    column: &Column<B>,
    second: &S,
    dst: &mut D,
    filter: Filter,
) -> Result<Job, Error> {
    let filter = filter.with_decryption(column.cipher().map(|cipher| cipher.mode()));
    let operation = filter.operation();
    let refuse = |fault| Error::Column { operation, fault };
    check(filter).map_err(refuse)?;
    let mut src = column.bytes().span();
    let expected = filter.count();
    if let Some(cipher) = column.cipher() {
        super::cipher::check_message(operation, src.len, cipher)?;
    }
    // How many elements an expansion takes, its second input says.
    if filter.kind() != FilterKind::Expand && !filter.is_deflated() {
        match filter.column_bytes() {
            Some(bytes) if src.len < bytes => return Err(refuse(ColumnFault::TooShort { expected })),
            // A message is whole.
            Some(bytes) if filter.decryption().is_none() => src = src.part(0, bytes),
            _ => {}
        }
    }
    if src.len == 0 && filter.kind() != FilterKind::Expand {
        return Err(refuse(ColumnFault::TooShort { expected }));
    }
    let mut second = second.span();
    if second.len < filter.second_bytes() {
        let expected = filter.second().map_or(0, |(elements, _)| elements);
        return Err(refuse(ColumnFault::SecondTooShort { expected }));
    }
    if filter.second_bytes() == 0 {
        second = Span::default();
    }
    let second = column.cipher().map_or(second.addr, |cipher| cipher.addr());
    Ok(Job::Filter { src, second, dst: dst.span_mut(), filter })
}

/// What a filter cannot be, whatever its inputs are.
fn check(filter: Filter) -> Result<(), ColumnFault> {
    let width = filter.width();
    if !(1..=32).contains(&width) {
        return Err(ColumnFault::Width { width });
    }
    if filter.decryption().is_some() && !matches!(filter.kind(), FilterKind::Scan | FilterKind::Extract) {
        return Err(ColumnFault::Encrypted);
    }
    let nominal = filter.nominal_width();
    match filter.kind() {
        FilterKind::RleBurst if ![8, 16, 32].contains(&width) => {
            return Err(ColumnFault::CounterWidth { width });
        }
        FilterKind::RleBurst if !(1..=32).contains(&nominal) => {
            return Err(ColumnFault::Width { width: nominal });
        }
        FilterKind::SetMembership | FilterKind::FindUnique => {
            let (drop_low, drop_high) = (filter.low(), filter.high());
            let left = u32::from(width).checked_sub(drop_low).and_then(|left| left.checked_sub(drop_high));
            if left.is_none_or(|left| !(1..32).contains(&left)) {
                return Err(ColumnFault::DropBits { width, drop_low, drop_high });
            }
        }
        _ => {}
    }
    if filter.options().contains(FilterOptions::INVERT) && nominal != 1 {
        return Err(ColumnFault::Invert);
    }
    match filter.output().bits() {
        Some(bits) if bits < nominal => Err(ColumnFault::ElementTooWide { width: bits }),
        _ => Ok(()),
    }
}

pub(crate) fn zero_compress<S: IoBuf, D: IoBufMut>(
    src: &S,
    dst: &mut D,
    word: ZeroWord,
) -> Result<Job, Error> {
    let src = src.span();
    super::whole_units(Operation::of_zero_compress(word), src.len, word.bytes())?;
    Ok(Job::ZeroCompress { src, dst: dst.span_mut(), word })
}

pub(crate) fn zero_decompress<S: IoBuf, D: IoBufMut>(
    src: &S,
    dst: &mut D,
    word: ZeroWord,
) -> Result<Job, Error> {
    let src = src.span();
    super::whole_units(Operation::of_zero_decompress(word), src.len, word.bytes())?;
    Ok(Job::ZeroDecompress { src, dst: dst.span_mut(), word })
}

pub(crate) fn crc_any<S: IoBuf>(src: &S, crc: AnyCrc) -> Result<Job, Error> {
    let Span { addr: src, len } = src.span();
    Ok(Job::CrcAny { src, len, crc })
}

/// What a filter of `column` begins as.
pub(crate) fn of_column<B>(kind: FilterKind, column: &Column<B>) -> Filter {
    let Column { packing, width, count, deflated, .. } = *column;
    let filter = Filter::new(kind, packing, width, count);
    let filter = filter.with_decryption(column.cipher().map(|cipher| cipher.mode()));
    if deflated { filter.with_options(FilterOptions::DEFLATED) } else { filter }
}
