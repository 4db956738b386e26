//! Operations of an IAA beside compression: filters over columns, zero compression, CRCs of any polynomial.
//!
//! Elements have 8 bits, so that plain loops say what comes out of them; a size is that of the column.

use svala::{AnyCrc, Column, Filter, FilterKind, Packing, Value, ZeroWord};
use svala_engine::{Engine, Operation};

use super::lane::{Performed, performed};
use super::setup::{Buffers, Contents, bytes};
use super::streams;

/// What is scanned for.
const RANGE: (u8, u8) = (0, 99);
/// The CRC: that of gzip, in its place.
const CRC: AnyCrc = AnyCrc { polynomial: 0x04c1_1db7 << 32, reflect: true, invert: true };
/// Bits of an element.
const WIDTH: u8 = 8;

/// The filter an operation is.
fn kind(operation: Operation) -> Option<FilterKind> {
    Some(match operation {
        Operation::Scan | Operation::DecryptScan => FilterKind::Scan,
        Operation::SetMembership => FilterKind::SetMembership,
        Operation::Extract | Operation::DecryptExtract => FilterKind::Extract,
        Operation::Select => FilterKind::Select,
        Operation::Expand => FilterKind::Expand,
        Operation::RleBurst => FilterKind::RleBurst,
        Operation::FindUnique => FilterKind::FindUnique,
        _ => return None,
    })
}

/// What a word is to a zero compression, and whether it compresses.
fn zero(operation: Operation) -> Option<(ZeroWord, bool)> {
    Some(match operation {
        Operation::ZeroCompress8 => (ZeroWord::Bits8, true),
        Operation::ZeroCompress16 => (ZeroWord::Bits16, true),
        Operation::ZeroCompress32 => (ZeroWord::Bits32, true),
        Operation::ZeroDecompress8 => (ZeroWord::Bits8, false),
        Operation::ZeroDecompress16 => (ZeroWord::Bits16, false),
        Operation::ZeroDecompress32 => (ZeroWord::Bits32, false),
        _ => return None,
    })
}

/// Whether `operation` is one of these.
pub(super) fn is_column(operation: Operation) -> bool {
    kind(operation).is_some() || zero(operation).is_some() || operation == Operation::CrcAny
}

/// Bytes a size has to be a multiple of.
pub(super) fn unit(operation: Operation) -> usize {
    zero(operation).map_or(1, |(word, _)| usize::try_from(word.bytes()).unwrap_or(1))
}

/// What the buffers of an operation on `data` are made from, and the tag of a column that is encrypted.
pub(super) fn contents(
    operation: Operation,
    data: Vec<u8>,
) -> Result<([Contents; 3], Option<[u8; 16]>), String> {
    if matches!(operation, Operation::DecryptScan | Operation::DecryptExtract) {
        let (bytes, tag) = streams::message(operation, &data)?;
        let [_, b, c] = in_plain(operation, data);
        return Ok(([Contents::Bytes { bytes, needed: true }, b, c], tag));
    }
    Ok((in_plain(operation, data), None))
}

/// The same without encryption.
fn in_plain(operation: Operation, data: Vec<u8>) -> [Contents; 3] {
    let zeros = Contents::Zeros;
    let size = data.len();
    if let Some((word, compresses)) = zero(operation) {
        let sparse = sparse(&data);
        let bound = usize::try_from(word.bound(size as u64)).unwrap_or(usize::MAX);
        return match compresses {
            true => [bytes(sparse), zeros(bound), zeros(0)],
            // Zeros are a stream of far more zeros.
            false => {
                [Contents::Bytes { bytes: zeros_out(&sparse, word), needed: true }, zeros(size), zeros(0)]
            }
        };
    }
    match operation {
        Operation::Scan | Operation::DecryptScan => [bytes(data), zeros(size.div_ceil(8)), zeros(0)],
        Operation::SetMembership => {
            let set = data.iter().copied().chain(std::iter::repeat(0)).take(32).collect();
            [bytes(data), zeros(size.div_ceil(8)), bytes(set)]
        }
        Operation::Extract | Operation::DecryptExtract => [bytes(data), zeros(size), zeros(0)],
        Operation::Select | Operation::Expand => {
            let mask = data[..size.div_ceil(8)].to_vec();
            [bytes(data), zeros(size), bytes(mask)]
        }
        Operation::RleBurst => [bytes(vec![1; size]), zeros(size), bytes(data)],
        Operation::FindUnique => [bytes(data), zeros(32), zeros(0)],
        _ => [bytes(data), zeros(0), zeros(0)],
    }
}

/// Does one of them.
pub(super) async fn perform(engine: &Engine, operation: Operation, buffers: Buffers) -> Performed {
    let Buffers { a, b, c, tag, .. } = buffers;
    let pair = |(a, b)| Buffers { a, b, ..Buffers::default() };
    if let Some((word, compresses)) = zero(operation) {
        return match compresses {
            true => performed(engine.zero_compress(a, b, word).await, Value::Written, pair),
            false => performed(engine.zero_decompress(a, b, word).await, Value::Written, pair),
        };
    }
    let Some(kind) = kind(operation) else {
        let source = |a| Buffers { a, ..Buffers::default() };
        return performed(engine.crc_any(a, CRC).await, Value::Crc, source);
    };
    let count = u32::try_from(a.len()).unwrap_or(u32::MAX);
    let filter = Filter::new(kind, Packing::Little, WIDTH, count);
    let filter = match kind {
        FilterKind::Scan => filter.with_parameters(RANGE.0.into(), RANGE.1.into()),
        FilterKind::Extract => filter.with_parameters(0, u32::MAX),
        FilterKind::RleBurst => filter.with_parameters(WIDTH.into(), 0),
        _ => filter,
    };
    let column = Column::packed(a, WIDTH, count);
    let column = if tag.is_some() { column.encrypted(streams::cipher(operation, tag)?) } else { column };
    let back = |(column, c, b): (Column<_>, _, _)| Buffers {
        a: column.into_inner(),
        b,
        c,
        tag,
        ..Buffers::default()
    };
    let value =
        |done: svala::Filtered| Value::Filter { elements: done.elements, aggregates: done.aggregates };
    performed(engine.filter(column, c, b, filter).await, value, back)
}

/// Whether an operation on `data` left what plain loops say.
pub(super) fn is_right(operation: Operation, data: &[u8], after: &Buffers, value: Value) -> bool {
    if let Some((word, compresses)) = zero(operation) {
        let sparse = sparse(data);
        let expected = if compresses { zeros_out(&sparse, word) } else { sparse };
        return value == Value::Written(expected.len() as u64)
            && after.b.get(..expected.len()) == Some(&expected[..]);
    }
    let mask = |at: usize| data[at / 8] >> (at % 8) & 1 == 1;
    let expected: Vec<u8> = match operation {
        Operation::Scan | Operation::DecryptScan => {
            bits(data.iter().map(|byte| (RANGE.0..=RANGE.1).contains(byte)))
        }
        Operation::SetMembership => {
            let set: Vec<u8> = data.iter().copied().chain(std::iter::repeat(0)).take(32).collect();
            bits(data.iter().map(|byte| set[usize::from(byte / 8)] >> (byte % 8) & 1 == 1))
        }
        Operation::Extract | Operation::DecryptExtract | Operation::RleBurst => data.to_vec(),
        Operation::Select => {
            data.iter().enumerate().filter(|(at, _)| mask(*at)).map(|(_, byte)| *byte).collect()
        }
        Operation::Expand => {
            let mut next = data.iter();
            (0..data.len()).map(|at| if mask(at) { next.next().copied().unwrap_or(0) } else { 0 }).collect()
        }
        Operation::FindUnique => bits((0..=u8::MAX).map(|value| data.contains(&value))),
        _ => return value == Value::Crc(crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC).checksum(data).into()),
    };
    after.b.get(..expected.len()) == Some(&expected[..])
}

fn bits(bits: impl Iterator<Item = bool>) -> Vec<u8> {
    let bits: Vec<bool> = bits.collect();
    let byte = |bits: &[bool]| bits.iter().rev().fold(0, |byte, bit| byte << 1 | u8::from(*bit));
    bits.chunks(8).map(byte).collect()
}

/// The same with most words of four bytes zero.
fn sparse(data: &[u8]) -> Vec<u8> {
    let word = |(at, word): (usize, &[u8])| if at % 4 == 0 { word.to_vec() } else { vec![0; word.len()] };
    data.chunks(4).enumerate().flat_map(word).collect()
}

/// Zero compression, by a plain loop.
fn zeros_out(data: &[u8], word: ZeroWord) -> Vec<u8> {
    let unit = usize::try_from(word.bytes()).unwrap_or(1);
    let mut out = Vec::new();
    for block in data.chunks(128) {
        let words: Vec<&[u8]> = block.chunks(unit).collect();
        let is_kept = |at: usize| words.get(at).is_none_or(|word| word.iter().any(|byte| *byte != 0));
        out.extend(bits((0..128 / unit).map(is_kept)));
        (0..words.len()).filter(|at| is_kept(*at)).for_each(|at| out.extend(words[at]));
    }
    out
}
