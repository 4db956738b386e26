//! Numbers and blocks as a job has them, said in the words of [`numeric`] and [`scatter_gather`].

use svala::backend::Failure;
use svala::{Compute, Conversion, NumberExceptions, NumberFlags, NumberType, Reduction, Rounding, Value};

use super::memory::size_of_range;
use super::work::misshapen;
use crate::numeric::{self, Combine, Element, Rules};
use crate::pattern::Pattern;
use crate::scatter_gather::{self, BlockOutside};

/// Converts elements.
pub(super) fn convert(conversion: Conversion, src: &[u8], dst: &mut [u8]) -> Result<Value, Failure> {
    whole(conversion, &[src.len()], &[dst.len()])?;
    let made = numeric::Conversion::new(
        element(conversion.input()),
        element(conversion.output()),
        rules(conversion),
    );
    Ok(exceptions(made.ok_or(NO_SUCH)?.convert(src, dst)))
}

/// Combines two vectors.
pub(super) fn reduce(reduction: Reduction, a: &[u8], b: &[u8], dst: &mut [u8]) -> Result<Value, Failure> {
    whole(reduction.numbers(), &[a.len(), b.len()], &[dst.len()])?;
    Ok(exceptions(arithmetic(reduction)?.reduce(a, b, dst)))
}

/// Combines all blocks of `offsets` in `base`.
pub(super) fn gather_reduce(
    reduction: Reduction,
    base: &[u8],
    offsets: &[usize],
    block: usize,
    dst: &mut [u8],
) -> Result<Value, Failure> {
    whole(reduction.numbers(), &[block], &[dst.len()])?;
    let arithmetic = arithmetic(reduction)?;
    let mut found = numeric::Exceptions::NONE;
    for (index, offset) in offsets.iter().enumerate() {
        let vector = offset.checked_add(block).and_then(|end| base.get(*offset..end)).ok_or(OUTSIDE)?;
        found |= if index == 0 { arithmetic.start(vector, dst) } else { arithmetic.accumulate(dst, vector) };
    }
    Ok(exceptions(found))
}

/// Copies blocks, one behind the other.
pub(super) fn gather(base: &[u8], offsets: &[usize], block: usize, dst: &mut [u8]) -> Result<Value, Failure> {
    outcome(scatter_gather::gather(base, offsets, block, dst))
}

/// Copies one range to blocks.
pub(super) fn scatter(
    src: &[u8],
    offsets: &[usize],
    block: usize,
    base: &mut [u8],
) -> Result<Value, Failure> {
    outcome(scatter_gather::scatter(src, offsets, block, base))
}

/// Fills blocks.
pub(super) fn scatter_fill(
    pattern: u64,
    offsets: &[usize],
    block: usize,
    base: &mut [u8],
) -> Result<Value, Failure> {
    outcome(scatter_gather::scatter_fill(Pattern::from_u64(pattern), offsets, block, base))
}

const NO_SUCH: Failure = misshapen("numbers that do not become each other");
const OUTSIDE: Failure = misshapen("a block outside its range");

fn outcome(done: Result<(), BlockOutside>) -> Result<Value, Failure> {
    done.map(|()| Value::None).map_err(|_| OUTSIDE)
}

/// That the sources and the destinations hold equally many whole elements.
fn whole(conversion: Conversion, read: &[usize], written: &[usize]) -> Result<(), Failure> {
    let (read_len, written_len) =
        (size_of_range(conversion.input().bytes()), size_of_range(conversion.output().bytes()));
    let first = read.first().map_or(0, |len| len / read_len);
    let are_whole = read.iter().all(|len| Some(*len) == first.checked_mul(read_len))
        && written.iter().all(|len| Some(*len) == first.checked_mul(written_len));
    if are_whole { Ok(()) } else { Err(misshapen("not whole elements")) }
}

fn exceptions(found: numeric::Exceptions) -> Value {
    Value::Exceptions(NumberExceptions::from_bits_truncate(found.bits()))
}

fn arithmetic(reduction: Reduction) -> Result<numeric::Reduction, Failure> {
    let combine = match reduction.compute() {
        Compute::Add => Combine::Add,
        Compute::And => Combine::And,
        Compute::Or => Combine::Or,
        Compute::Xor => Combine::Xor,
        Compute::Min => Combine::Min,
        Compute::Max => Combine::Max,
    };
    let numbers = reduction.numbers();
    let (input, output) = (element(numbers.input()), element(numbers.output()));
    numeric::Reduction::new(combine, input, output, rules(numbers)).ok_or(NO_SUCH)
}

fn rules(conversion: Conversion) -> Rules {
    let flags = conversion.flags();
    Rules {
        rounding: match conversion.rounding() {
            Rounding::NearestEven => numeric::Rounding::NearestEven,
            Rounding::Down => numeric::Rounding::Down,
            Rounding::Up => numeric::Rounding::Up,
            Rounding::TowardZero => numeric::Rounding::TowardZero,
        },
        denormals_are_zero: flags.contains(NumberFlags::DENORMALS_ARE_ZERO),
        flush_to_zero: flags.contains(NumberFlags::FLUSH_TO_ZERO),
        saturate: flags.contains(NumberFlags::SATURATE),
        negate_first: flags.contains(NumberFlags::NEGATE),
        negate_second: flags.contains(NumberFlags::NEGATE_SECOND),
    }
}

const fn element(number: NumberType) -> Element {
    match number {
        NumberType::U8 => Element::U8,
        NumberType::I8 => Element::I8,
        NumberType::U16 => Element::U16,
        NumberType::I16 => Element::I16,
        NumberType::U32 => Element::U32,
        NumberType::I32 => Element::I32,
        NumberType::U64 => Element::U64,
        NumberType::I64 => Element::I64,
        NumberType::F8E5M2 => Element::F8E5M2,
        NumberType::F8E4M3 => Element::F8E4M3,
        NumberType::F16 => Element::F16,
        NumberType::Bf16 => Element::BF16,
        NumberType::F32 => Element::F32,
        NumberType::F64 => Element::F64,
    }
}
