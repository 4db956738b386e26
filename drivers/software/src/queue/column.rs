//! Filters over columns, zero compression and CRCs of any polynomial: what the runtime's jobs are in this crate's words.

use svala::backend::Failure;
use svala::{AnyCrc, ColumnFault, FilterKind, FilterOptions, Value};

use super::memory::len_of;
use super::stream::failure_of;
use crate::filter::{self, Column, Filter, FilterError, Output, OutputWidth, Packing, Second};
use crate::inflate::{Inflater, Wanted};
use crate::zero::{self, ZeroError, ZeroWord};

/// Bytes a column grows by while it is expanded.
const STEP: usize = 256 << 10;
/// Most bytes an element takes in Parquet's encoding: the header and the value of a run of one.
const PARQUET_BYTES_MAX: u64 = 9;

/// Does a filter. `dst` of no bytes asks for aggregates only.
pub(super) fn filter(
    asked: svala::Filter,
    src: &[u8],
    second: &[u8],
    dst: &mut [u8],
    inflater: Option<&mut Inflater>,
) -> Result<Value, Failure> {
    let expanded = if asked.is_deflated() { expand(asked, src, inflater)? } else { Vec::new() };
    let bytes = if asked.is_deflated() { &expanded } else { src };
    let options = asked.options();
    let packing = match asked.packing() {
        svala::Packing::Little => Packing::Little,
        svala::Packing::Big => Packing::Big,
        svala::Packing::ParquetRle => Packing::ParquetRle,
    };
    if packing == Packing::ParquetRle && asked.keeps_width() && bytes.first() != Some(&asked.width()) {
        return Err(Failure::Column { fault: ColumnFault::ParquetWidth });
    }
    let column = Column { bytes, packing, width: asked.width(), count: asked.count() };
    let second = Second { bytes: second, big_endian: options.contains(FilterOptions::SECOND_BIG_ENDIAN) };
    let output = Output {
        width: match asked.output() {
            svala::OutputWidth::Nominal => OutputWidth::Nominal,
            svala::OutputWidth::Bits8 => OutputWidth::Bits8,
            svala::OutputWidth::Bits16 => OutputWidth::Bits16,
            svala::OutputWidth::Bits32 => OutputWidth::Bits32,
        },
        big_endian: options.contains(FilterOptions::OUTPUT_BIG_ENDIAN),
        invert: options.contains(FilterOptions::INVERT),
        force_array: options.contains(FilterOptions::FORCE_ARRAY),
        first_index: 0,
    };
    let room_bytes = dst.len();
    let room = (room_bytes > 0).then_some(dst);
    let done = filter::filter(&column, &kind_of(asked, second), &output, room)
        .map_err(|error| failure_of_filter(&error, room_bytes))?;
    let elements = if room_bytes > 0 { u32::try_from(done.elements).unwrap_or(u32::MAX) } else { 0 };
    let filter::Aggregates { min, max, sum } = done.aggregates;
    Ok(Value::Filter { elements, aggregates: svala::Aggregates { min, max, sum } })
}

fn kind_of(asked: svala::Filter, second: Second<'_>) -> Filter<'_> {
    let (low, high) = (asked.low(), asked.high());
    // More than a byte holds is more than an element has bits, and refused for that.
    let narrow = |bits: u32| u8::try_from(bits).unwrap_or(u8::MAX);
    let (drop_low, drop_high) = (narrow(low), narrow(high));
    match asked.kind() {
        FilterKind::Scan => Filter::Scan { low, high },
        FilterKind::SetMembership => Filter::SetMembership { set: second, drop_low, drop_high },
        FilterKind::Extract => Filter::Extract { first: low, last: high },
        FilterKind::Select => Filter::Select { mask: second },
        FilterKind::Expand => Filter::Expand { mask: second },
        FilterKind::RleBurst => Filter::RleBurst { values: second, value_width: drop_low },
        FilterKind::FindUnique => Filter::FindUnique { drop_low, drop_high },
    }
}

/// The bytes of a deflated column: no more than its elements can take, however far the stream goes on.
fn expand(asked: svala::Filter, src: &[u8], inflater: Option<&mut Inflater>) -> Result<Vec<u8>, Failure> {
    const WITHOUT: Failure = Failure::Nonsense { what: "compression without a compressor", record: 0 };
    let inflater = inflater.ok_or(WITHOUT)?;
    inflater.reset();
    let bytes_max = asked.column_bytes().unwrap_or(1 + u64::from(asked.count()) * PARQUET_BYTES_MAX);
    let bytes_max = usize::try_from(bytes_max).unwrap_or(usize::MAX);
    let (mut bytes, mut read) = (Vec::new(), 0);
    while bytes.len() < bytes_max {
        let from = bytes.len();
        bytes.resize(from.saturating_add(STEP).min(bytes_max), 0);
        let step = inflater.inflate_on(&src[read..], &mut bytes, from).map_err(|error| failure_of(&error))?;
        read += step.read;
        bytes.truncate(from + step.written);
        match step.wanted {
            Wanted::Nothing => break,
            Wanted::Input => return Err(Failure::Truncated { len: len_of(src.len()) }),
            Wanted::Room => {}
        }
    }
    Ok(bytes)
}

fn failure_of_filter(error: &FilterError, room_bytes: usize) -> Failure {
    let fault = match *error {
        FilterError::OutputFull { .. } => return Failure::OutputFull { bytes_max: len_of(room_bytes) },
        FilterError::Width { width } => ColumnFault::Width { width },
        FilterError::CounterWidth { width } => ColumnFault::CounterWidth { width },
        FilterError::RunBackwards { .. } => ColumnFault::RunBackwards,
        FilterError::DropBits { width, drop_low, drop_high } => {
            ColumnFault::DropBits { width, drop_low: drop_low.into(), drop_high: drop_high.into() }
        }
        FilterError::InputTooSmall { expected, .. } => {
            ColumnFault::TooShort { expected: u32::try_from(expected).unwrap_or(u32::MAX) }
        }
        FilterError::SecondTooSmall { expected, .. } => ColumnFault::SecondTooShort { expected },
        FilterError::Parquet { .. } => ColumnFault::Parquet,
        FilterError::ParquetWidth { .. } => ColumnFault::ParquetWidth,
        FilterError::ElementTooWide { width, .. } => ColumnFault::ElementTooWide { width },
        FilterError::Invert { .. } => ColumnFault::Invert,
    };
    Failure::Column { fault }
}

const fn word_of(word: svala::ZeroWord) -> ZeroWord {
    match word {
        svala::ZeroWord::Bits8 => ZeroWord::Bits8,
        svala::ZeroWord::Bits16 => ZeroWord::Bits16,
        svala::ZeroWord::Bits32 => ZeroWord::Bits32,
    }
}

fn failure_of_zero(error: ZeroError) -> Failure {
    match error {
        ZeroError::Truncated { offset } => Failure::Truncated { len: len_of(offset) },
        ZeroError::OutputFull { bytes_max } => Failure::OutputFull { bytes_max: len_of(bytes_max) },
    }
}

/// Leaves zeros out.
pub(super) fn zero_compress(word: svala::ZeroWord, src: &[u8], dst: &mut [u8]) -> Result<Value, Failure> {
    let written = zero::zero_compress(word_of(word), src, dst).map_err(failure_of_zero)?;
    Ok(Value::Written(len_of(written)))
}

/// Puts them back.
pub(super) fn zero_decompress(word: svala::ZeroWord, src: &[u8], dst: &mut [u8]) -> Result<Value, Failure> {
    let written = zero::zero_decompress(word_of(word), src, dst).map_err(failure_of_zero)?;
    Ok(Value::Written(len_of(written)))
}

/// A CRC.
pub(super) fn crc(crc: AnyCrc, src: &[u8]) -> Value {
    let AnyCrc { polynomial, reflect, invert } = crc;
    Value::Crc(crate::AnyCrc { polynomial, reflect, invert }.checksum(src))
}

/// What a piece of a scan says, in the words of the whole: its first element has this index.
pub(super) fn moved(value: Value, first: u32) -> Value {
    match value {
        Value::Filter { elements, aggregates } if aggregates.sum > 0 => {
            let svala::Aggregates { min, max, sum } = aggregates;
            let aggregates = svala::Aggregates { min: min + first, max: max + first, sum };
            Value::Filter { elements, aggregates }
        }
        value => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_of_a_piece_are_those_of_the_whole() {
        let of =
            |min, max, sum| Value::Filter { elements: 64, aggregates: svala::Aggregates { min, max, sum } };
        assert_eq!(moved(of(3, 9, 2), 128), of(131, 137, 2));
        let none = of(u32::MAX, 0, 0);
        assert_eq!(moved(none, 128), none);
    }
}
