//! Data integrity fields, a loop over blocks and over their bits.

use idxd_spec::{Descriptor, DifFlags, DifTags, DstDifFlags, Opcode, SrcDifFlags};

use super::{Memory, Outcome};

/// Bytes of a block in the source.
pub(super) fn granule(descriptor: &Descriptor) -> u32 {
    let data = [512, 520, 4096, 4104][usize::from(descriptor.dif_flags().bits() & 3)];
    match descriptor.opcode() {
        Opcode::DIF_INSERT | Opcode::DIX_GENERATE => data,
        _ => data + 8,
    }
}

/// Checks guard, application tag and reference tag of every block where there are any to check, and panics where one is
/// wrong: the descriptor of the rest would have the wrong seeds.
pub(super) fn run(memory: &mut Memory, descriptor: &Descriptor, count: u64, outcome: &mut Outcome) {
    let source_block = u64::from(granule(descriptor));
    let reads = !matches!(descriptor.opcode(), Opcode::DIF_INSERT | Opcode::DIX_GENERATE);
    let data = if reads { source_block - 8 } else { source_block };
    let (src_flags, dst_flags) = (descriptor.src_dif_flags(), descriptor.dst_dif_flags());
    let (mut src_tags, mut dst_tags) = (descriptor.src_dif_tags(), descriptor.dst_dif_tags());
    let mut to = descriptor.dst_addr();
    for block in (0..count).step_by(usize::try_from(source_block).unwrap()) {
        let from = descriptor.src_addr() + block;
        let guard = guard(memory, from, data, descriptor.dif_flags());
        if reads {
            let found: Vec<u8> = (0..8).map(|at| memory.read(from + data + at)).collect();
            assert!(found == field(guard, src_tags), "field of block at {block}");
        }
        if descriptor.opcode() != Opcode::DIX_GENERATE && descriptor.opcode() != Opcode::DIF_CHECK {
            (0..data).for_each(|at| memory.write(to + at, memory.read(from + at)));
            to += data;
        }
        if !matches!(descriptor.opcode(), Opcode::DIF_CHECK | Opcode::DIF_STRIP) {
            for byte in field(guard, dst_tags) {
                memory.write(to, byte);
                to += 1;
            }
        }
        let is_fixed = src_flags.contains(SrcDifFlags::REF_TAG_FIXED);
        src_tags = next(src_tags, is_fixed, src_flags.contains(SrcDifFlags::APP_TAG_INCREMENTS));
        let is_fixed = dst_flags.contains(DstDifFlags::REF_TAG_FIXED);
        dst_tags = next(dst_tags, is_fixed, dst_flags.contains(DstDifFlags::APP_TAG_INCREMENTS));
    }
    outcome.tags = Some((src_tags, dst_tags));
}

fn next(tags: DifTags, ref_is_fixed: bool, app_increments: bool) -> DifTags {
    DifTags {
        ref_tag: tags.ref_tag.wrapping_add(u32::from(!ref_is_fixed)),
        app_tag: tags.app_tag.wrapping_add(u16::from(app_increments)),
        ..tags
    }
}

/// Big-endian: guard, application tag under its mask, reference tag.
fn field(guard: u16, tags: DifTags) -> [u8; 8] {
    let mut field = [0; 8];
    field[..2].copy_from_slice(&guard.to_be_bytes());
    field[2..4].copy_from_slice(&(tags.app_tag & !tags.app_tag_mask).to_be_bytes());
    field[4..].copy_from_slice(&tags.ref_tag.to_be_bytes());
    field
}

/// The remainder by 0x18bb7, highest bit first.
fn guard(memory: &Memory, from: u64, len: u64, flags: DifFlags) -> u16 {
    let mut remainder: u16 = if flags.contains(DifFlags::INVERT_CRC_SEED) { 0xffff } else { 0 };
    for at in 0..len {
        remainder ^= u16::from(memory.read(from + at)) << 8;
        for _ in 0..8 {
            remainder = if remainder & 0x8000 != 0 { remainder << 1 ^ 0x8bb7 } else { remainder << 1 };
        }
    }
    if flags.contains(DifFlags::INVERT_CRC_RESULT) { !remainder } else { remainder }
}
