//! Operations of a DSA 3: vectors of numbers, and lists of blocks.
//!
//! Numbers are integers of 32 bits, so that plain loops say what comes out of them. Blocks are small, apart, and in no
//! order, as rows are that a query picks.

use svala::{BlockList, Compute, Conversion, NumberType, Reduction, Value};
use svala_engine::{Engine, Operation};

use super::lane::{Performed, performed};
use super::setup::{Buffers, Contents, PATTERN, bytes};

/// Bytes of a block; sizes are whole blocks.
pub(super) const BLOCK_BYTES: usize = 64;
/// From a block to the next in memory.
const STRIDE_BYTES: usize = 2 * BLOCK_BYTES;

/// Whether `operation` is one of these.
pub(super) fn is_numeric(operation: Operation) -> bool {
    matches!(operation, Operation::Convert | Operation::Reduce | Operation::ReduceDualcast)
        || is_list(operation)
}

/// Whether it works on a list of blocks.
fn is_list(operation: Operation) -> bool {
    matches!(
        operation,
        Operation::GatherReduce | Operation::GatherCopy | Operation::ScatterCopy | Operation::ScatterFill
    )
}

/// What the buffers of an operation on `data` are made from, and its list.
pub(super) fn contents(operation: Operation, data: Vec<u8>) -> ([Contents; 4], Option<BlockList>) {
    let zeros = Contents::Zeros;
    let size = data.len();
    let list = is_list(operation).then(|| list(size / BLOCK_BYTES)).flatten();
    let range = size * STRIDE_BYTES / BLOCK_BYTES;
    let contents = match operation {
        Operation::Convert => [bytes(data), zeros(2 * size), zeros(0), zeros(0)],
        Operation::Reduce => [bytes(data.clone()), bytes(data), zeros(size), zeros(0)],
        Operation::ReduceDualcast => [bytes(data.clone()), bytes(data), zeros(size), zeros(size)],
        Operation::GatherReduce => {
            [bytes([&data[..], &data].concat()), zeros(BLOCK_BYTES), zeros(0), zeros(0)]
        }
        Operation::GatherCopy => [bytes([&data[..], &data].concat()), zeros(size), zeros(0), zeros(0)],
        Operation::ScatterCopy => [bytes(data), zeros(range), zeros(0), zeros(0)],
        _ => [zeros(0), zeros(range), zeros(0), zeros(0)],
    };
    (contents, list)
}

/// Where the blocks are: from the last to the first, with as much between them as they have.
fn list(count: usize) -> Option<BlockList> {
    let offsets: Vec<u64> = (0..count as u64).rev().map(|index| index * STRIDE_BYTES as u64).collect();
    BlockList::new(u32::try_from(BLOCK_BYTES).ok()?, offsets).ok()
}

fn sum() -> Option<Reduction> {
    Reduction::new(Compute::Add, Conversion::new(NumberType::I32, NumberType::I32)?)
}

/// Does one of them.
pub(super) async fn perform(engine: &Engine, operation: Operation, buffers: Buffers) -> Performed {
    let unsupported = || svala_engine::Error::Unsupported { operation };
    let Buffers { a, b, c, d, list, .. } = buffers;
    let nothing = |()| Value::None;
    let widen = Conversion::new(NumberType::I32, NumberType::I64).ok_or_else(unsupported)?;
    let sum = sum().ok_or_else(unsupported)?;
    if !is_list(operation) {
        return match operation {
            Operation::Convert => {
                performed(engine.convert(a, b, widen).await, Value::Exceptions, |(a, b)| Buffers {
                    a,
                    b,
                    ..Buffers::default()
                })
            }
            Operation::Reduce => {
                performed(engine.reduce(a, b, c, sum).await, Value::Exceptions, |(a, b, c)| Buffers {
                    a,
                    b,
                    c,
                    ..Buffers::default()
                })
            }
            Operation::ReduceDualcast => {
                let made = engine.reduce_dualcast(a, b, c, d, sum).await;
                performed(made, Value::Exceptions, |(a, b, c, d)| Buffers {
                    a,
                    b,
                    c,
                    d,
                    ..Buffers::default()
                })
            }
            _ => Err(unsupported()),
        };
    }
    let list = list.ok_or_else(unsupported)?;
    let back = |a, b, list| Buffers { a, b, list: Some(list), ..Buffers::default() };
    match operation {
        Operation::GatherReduce => {
            let made = engine.gather_reduce(a, list, b, sum).await;
            performed(made, Value::Exceptions, |(a, list, b)| back(a, b, list))
        }
        Operation::GatherCopy => {
            performed(engine.gather_copy(a, list, b).await, nothing, |(a, list, b)| back(a, b, list))
        }
        Operation::ScatterCopy => {
            performed(engine.scatter_copy(a, b, list).await, nothing, |(a, b, list)| back(a, b, list))
        }
        _ => performed(engine.scatter_fill(b, list, PATTERN).await, nothing, |(b, list)| Buffers {
            b,
            list: Some(list),
            ..Buffers::default()
        }),
    }
}

/// Whether an operation on `data` left what plain loops say.
pub(super) fn is_right(operation: Operation, data: &[u8], after: &Buffers) -> bool {
    let doubled = |bytes: &[u8]| {
        words(bytes).flat_map(|word| word.wrapping_add(word).to_le_bytes()).collect::<Vec<_>>()
    };
    // The data twice over, of which every second block is in the list.
    let twice = || [data, data].concat();
    let picked =
        || twice().chunks(STRIDE_BYTES).rev().flat_map(|row| row[..BLOCK_BYTES].to_vec()).collect::<Vec<_>>();
    match operation {
        Operation::Convert => {
            after.b[..] == words(data).flat_map(|word| i64::from(word).to_le_bytes()).collect::<Vec<_>>()
        }
        Operation::Reduce => after.c[..] == doubled(data),
        Operation::ReduceDualcast => after.c[..] == doubled(data) && after.d[..] == doubled(data),
        Operation::GatherReduce => {
            let mut sums = [0_i32; BLOCK_BYTES / 4];
            for block in picked().chunks(BLOCK_BYTES) {
                sums.iter_mut().zip(words(block)).for_each(|(sum, word)| *sum = sum.wrapping_add(word));
            }
            after.b[..] == sums.iter().flat_map(|sum| sum.to_le_bytes()).collect::<Vec<_>>()
        }
        Operation::GatherCopy => after.b[..] == picked(),
        Operation::ScatterCopy | Operation::ScatterFill if after.b.len() != 2 * data.len() => false,
        Operation::ScatterCopy => rows(after).zip(data.rchunks(BLOCK_BYTES)).all(|(row, block)| row == block),
        Operation::ScatterFill => {
            rows(after).all(|row| row.chunks(8).all(|word| word == PATTERN.to_le_bytes()))
        }
        _ => false,
    }
}

/// The blocks of the list in what was written, in the order of memory.
fn rows(after: &Buffers) -> impl Iterator<Item = &[u8]> {
    after.b.chunks(STRIDE_BYTES).filter_map(|row| row.get(..BLOCK_BYTES))
}

fn words(bytes: &[u8]) -> impl Iterator<Item = i32> {
    bytes.chunks_exact(4).map(|word| i32::from_le_bytes([word[0], word[1], word[2], word[3]]))
}
