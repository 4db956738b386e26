//! Sizes, counts, alignments, overlaps: the checks of §5.4 that depend on values.

use idxd_spec::{CreateDelta, Descriptor, DifFlags, Flags, Opcode, Status};

use super::{domain, numeric};
use crate::rules::Rules;

/// Bytes of a data integrity field.
const FIELD_LEN: u64 = 8;

/// Where an operand begins and how long it is.
pub(super) type Extent = (u64, u64);

/// The error is the status to report.
pub(super) fn check(descriptor: &Descriptor, rules: &Rules) -> Result<(), Status> {
    match descriptor.opcode() {
        Opcode::NOOP | Opcode::DRAIN => Ok(()),
        Opcode::BATCH => batch(descriptor, rules),
        Opcode::TRANSLATION_FETCH => translation_fetch(descriptor),
        Opcode::TYPE_CONVERSION | Opcode::REDUCE | Opcode::REDUCE_DUALCAST | Opcode::GATHER_REDUCE => {
            numeric::compute(descriptor, rules)
        }
        Opcode::GATHER_COPY | Opcode::SCATTER_COPY | Opcode::SCATTER_FILL => {
            numeric::copies(descriptor, rules)
        }
        Opcode::UPDATE_WINDOW => domain::update_window(descriptor, rules),
        _ => {
            domain::pasid(descriptor, rules)?;
            transfer_size(descriptor, rules)?;
            overlap(descriptor, rules)?;
            delta_size(descriptor, rules)?;
            alignment(descriptor)
        }
    }
}

pub(super) fn require(holds: bool, status: Status) -> Result<(), Status> {
    if holds { Ok(()) } else { Err(status) }
}

fn batch(descriptor: &Descriptor, rules: &Rules) -> Result<(), Status> {
    let least = if rules.gen_cap.batch_of_one() { 1 } else { 2 };
    let is_in_range = (least..=rules.batch_max).contains(&descriptor.desc_count());
    require(is_in_range, Status::DESCRIPTOR_COUNT)?;
    let is_aligned = descriptor.desc_list_addr().is_multiple_of(Descriptor::SIZE as u64);
    require(is_aligned, Status::LIST_ALIGNMENT)
}

/// The region size is not a transfer size: the work queue's maximum does not apply.
fn translation_fetch(descriptor: &Descriptor) -> Result<(), Status> {
    let region_size = u64::from(descriptor.xfer_size());
    let stride = descriptor.stride();
    let has_stride = descriptor.flags().contains(Flags::USE_STRIDE);
    let fits = region_size != 0 && descriptor.src_addr().checked_add(region_size - 1).is_some();
    require(fits, Status::TRANSFER_SIZE)?;
    require(!has_stride || (stride >= 4096 && stride.is_power_of_two()), Status::ALIGNMENT)
}

/// What §8.3.14 to §8.3.18 only recommend, whole blocks, is required here: no device says what it does with the rest.
fn transfer_size(descriptor: &Descriptor, rules: &Rules) -> Result<(), Status> {
    let size = descriptor.xfer_size();
    require(size != 0 && size <= rules.transfer_bytes_max, Status::TRANSFER_SIZE)?;
    let is_possible = match descriptor.opcode() {
        Opcode::CREATE_DELTA | Opcode::APPLY_DELTA => size <= CreateDelta::XFER_SIZE_MAX,
        opcode => blocks_of(opcode, descriptor.dif_flags())
            .is_none_or(|(src_block, _)| u64::from(size).is_multiple_of(src_block)),
    };
    require(is_possible, Status::TRANSFER_SIZE)
}

/// Bytes of a block of a DIF operation in its source and in its destination.
fn blocks_of(opcode: Opcode, flags: DifFlags) -> Option<(u64, u64)> {
    let block = u64::from(flags.block_size());
    match opcode {
        Opcode::DIF_CHECK => Some((block + FIELD_LEN, 0)),
        Opcode::DIF_INSERT => Some((block, block + FIELD_LEN)),
        Opcode::DIF_STRIP => Some((block + FIELD_LEN, block)),
        Opcode::DIF_UPDATE => Some((block + FIELD_LEN, block + FIELD_LEN)),
        Opcode::DIX_GENERATE => Some((block, FIELD_LEN)),
        _ => None,
    }
}

/// Destinations overlap neither sources nor each other.
fn overlap(descriptor: &Descriptor, rules: &Rules) -> Result<(), Status> {
    let size = u64::from(descriptor.xfer_size());
    let (src, dst) = ((descriptor.src_addr(), size), (descriptor.dst_addr(), size));
    let is_apart = match descriptor.opcode() {
        Opcode::MEMMOVE => rules.gen_cap.overlapping_copy() || apart(src, dst),
        Opcode::COPY_CRC => apart(src, dst),
        Opcode::DUALCAST => {
            let dst2 = (descriptor.dst2_addr(), size);
            apart(src, dst) && apart(src, dst2) && apart(dst, dst2)
        }
        Opcode::CREATE_DELTA => {
            let (src2, delta) = (dst, (descriptor.delta_addr(), u64::from(descriptor.delta_size_max())));
            apart(src, delta) && apart(src2, delta)
        }
        Opcode::APPLY_DELTA => {
            apart((descriptor.apply_delta_addr(), u64::from(descriptor.delta_size())), dst)
        }
        opcode => blocks_of(opcode, descriptor.dif_flags()).is_none_or(|(src_block, dst_block)| {
            apart(src, (descriptor.dst_addr(), size / src_block * dst_block))
        }),
    };
    require(is_apart, Status::OVERLAPPING_BUFFERS)
}

pub(super) fn apart((a, a_len): Extent, (b, b_len): Extent) -> bool {
    !ranges_overlap(a, a_len, b, b_len)
}

/// A size that is no multiple of an entry is refused, though §8.3.8 only recommends it: the rest could not be used.
fn delta_size(descriptor: &Descriptor, rules: &Rules) -> Result<(), Status> {
    let (size, min) = match descriptor.opcode() {
        Opcode::CREATE_DELTA => (descriptor.delta_size_max(), CreateDelta::DELTA_SIZE_MIN),
        Opcode::APPLY_DELTA => (descriptor.delta_size(), CreateDelta::ENTRY_SIZE),
        _ => return Ok(()),
    };
    let is_in_range = (min..=rules.transfer_bytes_max).contains(&size);
    require(is_in_range && size.is_multiple_of(CreateDelta::ENTRY_SIZE), Status::UNSUPPORTED_VALUE)
}

fn alignment(descriptor: &Descriptor) -> Result<(), Status> {
    let (src, dst) = (descriptor.src_addr(), descriptor.dst_addr());
    let is_aligned = |values: &[u64], align| values.iter().all(|value| value.is_multiple_of(align));
    let size = u64::from(descriptor.xfer_size());
    match descriptor.opcode() {
        Opcode::DUALCAST => require((dst ^ descriptor.dst2_addr()) & 0xfff == 0, Status::DUALCAST_ALIGNMENT),
        Opcode::CRC | Opcode::COPY_CRC => {
            let align = if descriptor.flags().contains(Flags::CRC64) { 8 } else { 4 };
            require(is_aligned(&[descriptor.crc_seed_addr()], align), Status::ALIGNMENT)
        }
        Opcode::CREATE_DELTA => require(is_aligned(&[src, dst, size], 8), Status::ALIGNMENT),
        Opcode::APPLY_DELTA => require(is_aligned(&[dst, size], 8), Status::ALIGNMENT),
        Opcode::DIX_GENERATE => require(is_aligned(&[dst], 8), Status::ALIGNMENT),
        _ => Ok(()),
    }
}

/// Whether two ranges have a byte in common.
pub(crate) fn ranges_overlap(a: u64, a_len: impl Into<u128>, b: u64, b_len: impl Into<u128>) -> bool {
    let (a_len, b_len) = (a_len.into(), b_len.into());
    a_len > 0 && b_len > 0 && u128::from(a) < u128::from(b) + b_len && u128::from(b) < u128::from(a) + a_len
}
