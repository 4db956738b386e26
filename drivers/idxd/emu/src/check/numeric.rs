//! Types, lists and sizes of numeric and scatter-gather operations (DSA §5.4, §8.1.10 to §8.1.14).

use idxd_spec::{
    ComputeFlags, ComputeType, DataType, Descriptor, Flags, FloatConversion, Opcode, Rounding, SglFormat,
    Status,
};

use super::domain;
use super::field::{Extent, apart, require};
use crate::rules::Rules;

/// Type conversion, reduce, reduce with dualcast, gather reduce.
pub(super) fn compute(descriptor: &Descriptor, rules: &Rules) -> Result<(), Status> {
    domain::pasid(descriptor, rules)?;
    let (input, output) = types(descriptor, rules)?;
    operation(descriptor, input, rules)?;
    treatment(descriptor, input, output, rules)?;
    selector(descriptor)?;
    let is_gather = descriptor.opcode() == Opcode::GATHER_REDUCE;
    if is_gather {
        list(descriptor, rules)?;
    }
    sizes(descriptor, input, output, rules)?;
    alignment(descriptor, input, output)?;
    if is_gather { list_apart(descriptor, output) } else { operands_apart(descriptor, input, output) }
}

/// Gather copy, scatter copy, scatter fill.
pub(super) fn copies(descriptor: &Descriptor, rules: &Rules) -> Result<(), Status> {
    domain::pasid(descriptor, rules)?;
    let data_type = supported(descriptor.input_type(), rules)?;
    list(descriptor, rules)?;
    let size = descriptor.xfer_size();
    let block = u64::from(descriptor.block_elements()) * u64::from(data_type.size());
    let is_sum = u64::from(size) == block * u64::from(descriptor.sgl_size());
    require(size != 0 && size <= rules.transfer_bytes_max && is_sum, Status::TRANSFER_SIZE)?;
    let writes_elsewhere = descriptor.flags().contains(Flags::ALTERNATE_DST_PASID);
    match descriptor.opcode() {
        Opcode::GATHER_COPY if !writes_elsewhere => {
            let is_apart = apart(list_extent(descriptor), (descriptor.dst_addr(), size.into()));
            require(is_apart, Status::OVERLAPPING_BUFFERS)
        }
        _ => Ok(()),
    }
}

fn supported(code: u8, rules: &Rules) -> Result<DataType, Status> {
    DataType::from_code(code).filter(|it| rules.dsa_cap.1.has_type(*it)).ok_or(Status::UNSUPPORTED_VALUE)
}

fn types(descriptor: &Descriptor, rules: &Rules) -> Result<(DataType, DataType), Status> {
    let (input, output) =
        (supported(descriptor.input_type(), rules)?, supported(descriptor.output_type(), rules)?);
    let is_possible = match input.is_float() && input != output {
        true => FloatConversion::between(input, output).is_some_and(|it| rules.dsa_cap.1.converts(it)),
        false => input.is_float() == output.is_float(),
    };
    require(is_possible, Status::UNSUPPORTED_VALUE)?;
    Ok((input, output))
}

fn operation(descriptor: &Descriptor, input: DataType, rules: &Rules) -> Result<(), Status> {
    if descriptor.opcode() == Opcode::TYPE_CONVERSION {
        return Ok(());
    }
    let is_possible = ComputeType::from_code(descriptor.compute_type())
        .is_some_and(|it| rules.dsa_cap.1.computes(it) && !(it.is_bitwise() && input.is_float()));
    require(is_possible, Status::UNSUPPORTED_VALUE)
}

/// Compute flags that no device has, that this one lacks, or that do not concern such numbers.
fn treatment(
    descriptor: &Descriptor,
    input: DataType,
    output: DataType,
    rules: &Rules,
) -> Result<(), Status> {
    let flags = descriptor.compute_flags();
    let cap = rules.dsa_cap.2;
    let mut reserved = match descriptor.opcode() {
        Opcode::TYPE_CONVERSION | Opcode::GATHER_REDUCE => ComputeFlags::NEGATE_SRC2,
        _ => ComputeFlags::empty(),
    };
    reserved |= match (input.is_float(), output.is_float()) {
        (true, _) => ComputeFlags::SIGNED | ComputeFlags::SATURATE,
        (false, _) => ComputeFlags::FLUSH_TO_ZERO | ComputeFlags::DENORMALS_ARE_ZERO | ComputeFlags::ROUNDING,
    };
    let rounds =
        flags.rounding().is_some_and(|rounding| rounding == Rounding::NearestEven || cap.rounds(rounding));
    let is_fine = rounds && cap.lacks(flags).is_empty() && !flags.intersects(reserved);
    require(is_fine, Status::UNSUPPORTED_VALUE)
}

fn selector(descriptor: &Descriptor) -> Result<(), Status> {
    let is_reduce = matches!(descriptor.opcode(), Opcode::REDUCE | Opcode::REDUCE_DUALCAST);
    let has_selector = is_reduce && descriptor.flags().contains(Flags::INTER_DOMAIN_SELECTOR);
    let is_dualcast = descriptor.opcode() == Opcode::REDUCE_DUALCAST;
    let is_valid = !has_selector || descriptor.domain_selector().is_valid(is_dualcast);
    require(is_valid, Status::UNSUPPORTED_VALUE)
}

fn list(descriptor: &Descriptor, rules: &Rules) -> Result<(), Status> {
    let format = SglFormat::from_code(descriptor.sgl_format()).filter(|it| rules.dsa_cap.0.reads_lists(*it));
    require(format.is_some(), Status::UNSUPPORTED_VALUE)?;
    let is_in_range = (1..=rules.list_entries_max).contains(&descriptor.sgl_size().into());
    require(is_in_range, Status::DESCRIPTOR_COUNT)
}

fn sizes(descriptor: &Descriptor, input: DataType, output: DataType, rules: &Rules) -> Result<(), Status> {
    let count = u64::from(descriptor.element_count());
    let larger = count * u64::from(input.size().max(output.size()));
    let is_in_range = match descriptor.opcode() {
        Opcode::GATHER_REDUCE => {
            let total = count * u64::from(input.size()) * u64::from(descriptor.sgl_size());
            larger <= rules.dsa_cap.0.gather_reduce_block_max().into()
                && total <= rules.transfer_bytes_max.into()
        }
        _ => larger <= rules.transfer_bytes_max.into(),
    };
    require(count != 0 && is_in_range, Status::TRANSFER_SIZE)
}

/// Natural alignment of every address in the descriptor, and what a dualcast wants of its destinations. The addresses in
/// a list are seen when it is read.
fn alignment(descriptor: &Descriptor, input: DataType, output: DataType) -> Result<(), Status> {
    let (sources, destinations) = operands(descriptor);
    let is_aligned = |addr: &Option<u64>, element: DataType| {
        addr.is_none_or(|addr| addr.is_multiple_of(element.size().into()))
    };
    let all = sources.iter().all(|it| is_aligned(it, input))
        && destinations.iter().all(|it| is_aligned(it, output));
    require(all, Status::ALIGNMENT)?;
    match destinations {
        [Some(first), Some(second)] => require((first ^ second) & 0xfff == 0, Status::DUALCAST_ALIGNMENT),
        _ => Ok(()),
    }
}

/// Sources and destinations of numbers.
fn operands(descriptor: &Descriptor) -> ([Option<u64>; 2], [Option<u64>; 2]) {
    let (src, dst) = (descriptor.src_addr(), descriptor.dst_addr());
    let reduced = descriptor.reduce_dst_addr();
    match descriptor.opcode() {
        Opcode::TYPE_CONVERSION => ([Some(src), None], [Some(dst), None]),
        Opcode::REDUCE => ([Some(src), Some(dst)], [Some(reduced), None]),
        Opcode::REDUCE_DUALCAST => {
            ([Some(src), Some(dst)], [Some(reduced), Some(descriptor.reduce_dst2_addr())])
        }
        _ => ([None, None], [Some(dst), None]),
    }
}

/// Which of [`operands`] are in another address space: no overlap is looked for there.
fn elsewhere(descriptor: &Descriptor) -> ([bool; 2], [bool; 2]) {
    let flags = descriptor.flags();
    if descriptor.opcode() == Opcode::TYPE_CONVERSION {
        let (src, dst) =
            (flags.contains(Flags::ALTERNATE_SRC_PASID), flags.contains(Flags::ALTERNATE_DST_PASID));
        return ([src, false], [dst, false]);
    }
    if !flags.contains(Flags::INTER_DOMAIN_SELECTOR) {
        return ([false; 2], [false; 2]);
    }
    let selected = descriptor.domain_selector().operands();
    ([selected.src1 != 0, selected.src2 != 0], [selected.dst1 != 0, selected.dst2 != 0])
}

/// A destination is apart from a source, or is the same and has the same type; destinations are apart from each other.
fn operands_apart(descriptor: &Descriptor, input: DataType, output: DataType) -> Result<(), Status> {
    let (sources, destinations) = operands(descriptor);
    let (sources_elsewhere, destinations_elsewhere) = elsewhere(descriptor);
    let count = u64::from(descriptor.element_count());
    let extent = |addr: u64, element: DataType| (addr, count * u64::from(element.size()));
    let mut is_apart = match destinations {
        [Some(first), Some(second)] if destinations_elsewhere == [false; 2] => {
            apart(extent(first, output), extent(second, output))
        }
        _ => true,
    };
    for (src, src_elsewhere) in sources.into_iter().zip(sources_elsewhere) {
        for (dst, dst_elsewhere) in destinations.into_iter().zip(destinations_elsewhere) {
            if let (Some(src), Some(dst), false, false) = (src, dst, src_elsewhere, dst_elsewhere) {
                let is_same = src == dst && input == output;
                is_apart &= is_same || apart(extent(src, input), extent(dst, output));
            }
        }
    }
    require(is_apart, Status::OVERLAPPING_BUFFERS)
}

fn list_apart(descriptor: &Descriptor, output: DataType) -> Result<(), Status> {
    let size = u64::from(descriptor.element_count()) * u64::from(output.size());
    require(apart(list_extent(descriptor), (descriptor.dst_addr(), size)), Status::OVERLAPPING_BUFFERS)
}

fn list_extent(descriptor: &Descriptor) -> Extent {
    let entry_size = SglFormat::from_code(descriptor.sgl_format()).map_or(0, SglFormat::entry_size);
    (descriptor.sgl_addr(), u64::from(entry_size) * u64::from(descriptor.sgl_size()))
}
