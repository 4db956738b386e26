//! What the model says it can do, in the registers' words, by the version of the specification it follows.
//!
//! A driver asks these before it sends a descriptor, and before it resumes one.

use idxd_spec::register::{DsaCap0, DsaCap1, DsaCap2, IdCap};
use idxd_spec::{GenCap, OpCap, Opcode};

use crate::{DeviceKind, Version};

impl DeviceKind {
    /// The general capabilities of a device of the default version (DSA §9.2.2, IAA §7.2.1).
    #[must_use]
    pub fn gen_cap(self) -> GenCap {
        gen_cap(self, Version::default())
    }

    /// The operations of a device of the default version (DSA §9.2.6).
    #[must_use]
    pub fn op_cap(self) -> OpCap {
        op_cap(self, Version::default())
    }
}

/// Everything the capability registers of a device say.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Capabilities {
    /// VERSION.
    pub version: Version,
    /// GENCAP.
    pub gen_cap: GenCap,
    /// OPCAP.
    pub op_cap: OpCap,
    /// IDCAP; 0 without [`GenCap::inter_domain`].
    pub id_cap: IdCap,
    /// DSACAP0 to DSACAP2; 0 before version 3.
    pub dsa_cap: (DsaCap0, DsaCap1, DsaCap2),
}

impl Capabilities {
    /// Those of a device of this kind and version.
    #[must_use]
    pub fn of(kind: DeviceKind, version: Version) -> Self {
        let gen_cap = gen_cap(kind, version);
        let id_cap = if gen_cap.inter_domain() { ID_CAP } else { IdCap(0) };
        let has_numbers = kind == DeviceKind::Dsa && version >= Version::V3;
        let dsa_cap = if has_numbers { dsa_cap() } else { (DsaCap0(0), DsaCap1(0), DsaCap2(0)) };
        Self { version, gen_cap, op_cap: op_cap(kind, version), id_cap, dsa_cap }
    }
}

/// Entries of both types, 64 of them, in the smallest size; offset mode, and updates without a drain.
const ID_CAP: IdCap = IdCap(0)
    .with_single_submitter(true)
    .with_submitter_bitmap(true)
    .with_permission_entries(64)
    .with_offset_mode(true)
    .with_suppress_drain(true);

/// Everything there is to have: all types, conversions, operations and treatments, lists of 2^15 entries of every format,
/// blocks of 4 KiB in a gather reduce, and other address spaces wherever an operation has room for handles.
fn dsa_cap() -> (DsaCap0, DsaCap1, DsaCap2) {
    let lists = DsaCap0(0).with_sgl_entries_max_log2(15).with_sgl_formats(0b1110);
    let lists = lists.with_gather_reduce_block_max_log2(12).with_inter_domain_operations(0b111_0111);
    let numbers = DsaCap1(0).with_data_types(0x3ff).with_compute_types(0b1111_1010);
    let numbers = numbers.with_up_conversions(0x1ff).with_down_conversions(0x1ff);
    let treatments = DsaCap2(0).with_negation(true).with_flush_to_zero(true).with_denormals_are_zero(true);
    (lists, numbers, treatments.with_signed(true).with_saturation(true).with_rounding(0xf))
}

/// Version 1 of a DSA has what the first silicon shows, 0x40_915f_0107, in the bits that have a meaning.
fn gen_cap(kind: DeviceKind, version: Version) -> GenCap {
    let first = GenCap(0)
        .with_block_on_fault(true)
        .with_cache_control(true)
        .with_dst_readback(true)
        .with_configurable(true)
        .with_transfer_bytes_max_log2(31);
    let second = version >= Version::V2;
    let common =
        first.with_translation_fetch_stride(second).with_drain_readback_addr(second).with_fault_info(second);
    match kind {
        DeviceKind::Dsa => common
            .with_overlapping_copy(true)
            .with_batch_descriptors_max_log2(10)
            .with_fill_16(second)
            .with_crc64(second)
            .with_batch_continuation(second)
            .with_inter_domain(second)
            .with_batch_of_one(version >= Version::V3),
        DeviceKind::Iaa => common.with_decompress(true),
    }
}

/// Operations of each version come on top of those of the one before.
fn op_cap(kind: DeviceKind, version: Version) -> OpCap {
    const DSA_1: &[Opcode] = &[
        Opcode::NOOP,
        Opcode::BATCH,
        Opcode::DRAIN,
        Opcode::MEMMOVE,
        Opcode::FILL,
        Opcode::COMPARE,
        Opcode::COMPARE_PATTERN,
        Opcode::CREATE_DELTA,
        Opcode::APPLY_DELTA,
        Opcode::DUALCAST,
        Opcode::CRC,
        Opcode::COPY_CRC,
        Opcode::DIF_CHECK,
        Opcode::DIF_INSERT,
        Opcode::DIF_STRIP,
        Opcode::DIF_UPDATE,
        Opcode::CACHE_FLUSH,
    ];
    const DSA_2: &[Opcode] = &[
        Opcode::TRANSLATION_FETCH,
        Opcode::DIX_GENERATE,
        Opcode::UPDATE_WINDOW,
        Opcode::INTER_DOMAIN_COPY,
        Opcode::INTER_DOMAIN_FILL,
        Opcode::INTER_DOMAIN_COMPARE,
        Opcode::INTER_DOMAIN_COMPARE_PATTERN,
    ];
    const DSA_3: &[Opcode] = &[
        Opcode::TYPE_CONVERSION,
        Opcode::REDUCE,
        Opcode::REDUCE_DUALCAST,
        Opcode::GATHER_REDUCE,
        Opcode::GATHER_COPY,
        Opcode::SCATTER_COPY,
        Opcode::SCATTER_FILL,
    ];
    const IAA_1: &[Opcode] =
        &[Opcode::NOOP, Opcode::DRAIN, Opcode::MEMMOVE, Opcode::DECOMPRESS, Opcode::COMPRESS, Opcode::CRC64];
    const IAA_2: &[Opcode] = &[Opcode::TRANSLATION_FETCH];
    let versions = match kind {
        DeviceKind::Dsa => [DSA_1, DSA_2, DSA_3],
        DeviceKind::Iaa => [IAA_1, IAA_2, &[]],
    };
    let count = version as usize;
    versions[..count].iter().copied().flatten().fold(OpCap::default(), |op_cap, opcode| op_cap.with(*opcode))
}
