//! Vectors of numbers: the runtime's words for them in the specification's bits.

use idxd_spec::register::{DsaCap1, DsaCap2};
use idxd_spec::{
    ComputeType, DataType, Descriptor, DstAddr, FloatCompute, FloatConversion, FloatType, Floats,
    GatherReduce, IntegerCompute, IntegerType, Integers, Numbers, Reduce, Reduction, Rounding, SrcAddr,
    TypeConversion,
};
use svala::{Compute, Conversion, Job, NumberFlags, NumberType};

use super::list;

/// What elements a job has, if it is one of numbers.
pub(super) const fn conversion(job: &Job) -> Option<Conversion> {
    match *job {
        Job::Convert { conversion, .. } => Some(conversion),
        Job::Reduce { reduction, .. }
        | Job::ReduceDualcast { reduction, .. }
        | Job::GatherReduce { reduction, .. } => Some(reduction.numbers()),
        _ => None,
    }
}

/// Bytes of the sources at most, where neither they nor the destination may have more than `bytes_max`.
pub(super) const fn len_max(numbers: Conversion, bytes_max: u64) -> u64 {
    let (read, written) = (numbers.input().bytes(), numbers.output().bytes());
    let larger = if read > written { read } else { written };
    bytes_max / larger * read
}

/// The descriptor for `len` bytes of a job on numbers from `offset` on. None for what a DSA does not do.
pub(super) fn descriptor(job: &Job, offset: u64, len: u64) -> Option<Descriptor> {
    let numbers = conversion(job)?;
    let count = u32::try_from(len / numbers.input().bytes()).ok()?;
    let written = numbers.output_bytes(offset);
    let reduce = |a: svala::VirtAddr, b: svala::VirtAddr, dst: svala::VirtAddr, reduction| {
        Some(Reduce {
            src1_addr: SrcAddr(a.add(offset).get()),
            src2_addr: SrcAddr(b.add(offset).get()),
            dst_addr: DstAddr(dst.add(written).get()),
            element_count: count,
            reduction: spec_reduction(reduction)?,
            negate_src2: numbers.flags().contains(NumberFlags::NEGATE_SECOND),
            domains: None,
        })
    };
    Some(match *job {
        Job::Convert { src, dst, conversion, .. } => Descriptor::type_conversion(TypeConversion {
            src_addr: SrcAddr(src.add(offset).get()),
            dst_addr: DstAddr(dst.add(written).get()),
            element_count: count,
            numbers: spec_numbers(conversion)?,
            alternate: None,
        }),
        Job::Reduce { a, b, dst, reduction, .. } => Descriptor::reduce(reduce(a, b, dst, reduction)?),
        Job::ReduceDualcast { a, b, dst, dst2, reduction, .. } => {
            let dst2 = DstAddr(dst2.add(written).get());
            Descriptor::reduce_dualcast(reduce(a, b, dst, reduction)?, dst2)
        }
        // Columns: the same elements of every vector.
        Job::GatherReduce { blocks, dst, reduction } => {
            let vectors = u64::from(blocks.count);
            let (at, len) = (offset / vectors, len / vectors);
            Descriptor::gather_reduce(GatherReduce {
                list: list::all(&blocks, at)?,
                dst_addr: DstAddr(dst.add(numbers.output_bytes(at)).get()),
                element_count: u32::try_from(len / numbers.input().bytes()).ok()?,
                reduction: spec_reduction(reduction)?,
            })
        }
        _ => return None,
    })
}

fn spec_numbers(numbers: Conversion) -> Option<Numbers> {
    let made: Numbers = match float(numbers.input()) {
        Some(_) => floats(numbers)?.into(),
        None => integers(numbers)?.into(),
    };
    Some(if numbers.flags().contains(NumberFlags::NEGATE) { made.negated() } else { made })
}

fn spec_reduction(reduction: svala::Reduction) -> Option<Reduction> {
    let numbers = reduction.numbers();
    let made = if numbers.input().is_float() {
        let compute = match reduction.compute() {
            Compute::Add => FloatCompute::Add,
            Compute::Min => FloatCompute::Min,
            Compute::Max => FloatCompute::Max,
            Compute::And | Compute::Or | Compute::Xor => return None,
        };
        Reduction::floats(compute, floats(numbers)?)
    } else {
        let compute = match reduction.compute() {
            Compute::Add => IntegerCompute::Add,
            Compute::And => IntegerCompute::And,
            Compute::Or => IntegerCompute::Or,
            Compute::Xor => IntegerCompute::Xor,
            Compute::Min => IntegerCompute::Min,
            Compute::Max => IntegerCompute::Max,
        };
        Reduction::integers(compute, integers(numbers)?)
    };
    Some(if numbers.flags().contains(NumberFlags::NEGATE) { made.negated() } else { made })
}

/// Flags that concern integers only are left out: a device refuses them.
fn floats(numbers: Conversion) -> Option<Floats> {
    let (from, to) = (float(numbers.input())?, float(numbers.output())?);
    let made = if from == to {
        Floats::of(from)
    } else {
        Floats::converted(FloatConversion::between(from.data_type(), to.data_type())?)
    };
    let rounding = match numbers.rounding() {
        svala::Rounding::NearestEven => Rounding::NearestEven,
        svala::Rounding::Down => Rounding::Down,
        svala::Rounding::Up => Rounding::Up,
        svala::Rounding::TowardZero => Rounding::TowardZero,
    };
    let flags = numbers.flags();
    let made = made.rounded(rounding);
    let made = if flags.contains(NumberFlags::DENORMALS_ARE_ZERO) { made.denormals_are_zero() } else { made };
    Some(if flags.contains(NumberFlags::FLUSH_TO_ZERO) { made.flush_to_zero() } else { made })
}

/// Flags that concern floating-point numbers only are left out, and so is their rounding.
fn integers(numbers: Conversion) -> Option<Integers> {
    let (from, is_signed) = integer(numbers.input())?;
    let (to, _) = integer(numbers.output())?;
    let made = if is_signed { Integers::signed(from, to) } else { Integers::unsigned(from, to) };
    Some(if numbers.flags().contains(NumberFlags::SATURATE) { made.saturating() } else { made })
}

const fn float(number: NumberType) -> Option<FloatType> {
    Some(match number {
        NumberType::F8E5M2 => FloatType::Fp8E5m2,
        NumberType::F8E4M3 => FloatType::Fp8E4m3,
        NumberType::F16 => FloatType::Fp16,
        NumberType::Bf16 => FloatType::Bf16,
        NumberType::F32 => FloatType::Fp32,
        NumberType::F64 => FloatType::Fp64,
        _ => return None,
    })
}

const fn integer(number: NumberType) -> Option<(IntegerType, bool)> {
    Some(match number {
        NumberType::U8 => (IntegerType::Int8, false),
        NumberType::I8 => (IntegerType::Int8, true),
        NumberType::U16 => (IntegerType::Int16, false),
        NumberType::I16 => (IntegerType::Int16, true),
        NumberType::U32 => (IntegerType::Int32, false),
        NumberType::I32 => (IntegerType::Int32, true),
        NumberType::U64 => (IntegerType::Int64, false),
        NumberType::I64 => (IntegerType::Int64, true),
        _ => return None,
    })
}

/// Whether a device has every type, conversion, operation and treatment. What has only some of them is offered none: a
/// queue says what it does by operation.
pub(super) fn are_complete(types: DsaCap1, treatments: DsaCap2) -> bool {
    let roundings = [Rounding::NearestEven, Rounding::Down, Rounding::Up, Rounding::TowardZero];
    DataType::ALL.iter().all(|it| types.has_type(*it))
        && FloatConversion::ALL.iter().all(|it| types.converts(*it))
        && ComputeType::ALL.iter().all(|it| types.computes(*it))
        && roundings.iter().all(|it| treatments.rounds(*it))
        && treatments.negation()
        && treatments.flush_to_zero()
        && treatments.denormals_are_zero()
        && treatments.signed()
        && treatments.saturation()
}
