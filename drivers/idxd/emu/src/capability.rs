//! What the model says it can do, in the registers' words, by the version of the specification it follows.
//!
//! A driver asks these before it sends a descriptor, and before it resumes one.

use idxd_spec::register::perfmon::PerfCap;
use idxd_spec::register::{
    CmdCap, CmdCode, DsaCap0, DsaCap1, DsaCap2, EngCap, GrpCap, IaaCap, IdCap, TableOffsets, WqCap,
};
use idxd_spec::{GenCap, OpCap, Opcode};

use crate::perfmon;
use crate::{DeviceKind, Hardware, Version};

impl DeviceKind {
    /// The general capabilities of a device of the default version (DSA §9.2.2, IAA §7.2.1).
    #[must_use]
    pub fn gen_cap(self) -> GenCap {
        Capabilities::of(self, Version::default()).gen_cap
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
    /// VERSION: the major version.
    pub version: Version,
    /// GENCAP.
    pub gen_cap: GenCap,
    /// WQCAP.
    pub wq_cap: WqCap,
    /// GRPCAP.
    pub grp_cap: GrpCap,
    /// ENGCAP.
    pub eng_cap: EngCap,
    /// OPCAP.
    pub op_cap: OpCap,
    /// CMDCAP. What is there without the register too, if GENCAP has no bit for it.
    pub cmd_cap: CmdCap,
    /// OFFSETS.
    pub offsets: TableOffsets,
    /// IDCAP; 0 without [`GenCap::inter_domain`].
    pub id_cap: IdCap,
    /// DSACAP0 to DSACAP2; 0 before version 3.
    pub dsa_cap: (DsaCap0, DsaCap1, DsaCap2),
    /// IAACAP; 0 on a DSA.
    pub iaa_cap: IaaCap,
    /// PERFCAP.
    pub perf_cap: PerfCap,
    /// Entries of the MSI-X table, which is a capability of PCI configuration space.
    pub msix_vectors: u16,
}

/// Where the tables are: the example offsets of DSA figure 9-1.
pub(crate) mod table {
    pub(crate) const MSIX_PERMISSIONS: u64 = 0x400;
    pub(crate) const GROUP_CONFIG: u64 = 0x600;
    pub(crate) const WQ_CONFIG: u64 = 0x800;
    pub(crate) const PERFORMANCE_MONITOR: u64 = 0x2000;
    pub(crate) const INTERRUPT_STORAGE: u64 = 0x8000;
    pub(crate) const INTER_DOMAIN_PERMISSIONS: u64 = 0x9000;
}

impl Capabilities {
    /// Those of a device of this kind and version with the sizes of the first silicon.
    #[must_use]
    pub fn of(kind: DeviceKind, version: Version) -> Self {
        Self::of_hardware(&Hardware::new(kind, version))
    }

    /// Those of a device that is made like this.
    #[must_use]
    pub fn of_hardware(hardware: &Hardware) -> Self {
        let Hardware { kind, version, .. } = *hardware;
        let gen_cap = gen_cap(hardware);
        let has_numbers = kind == DeviceKind::Dsa && version >= Version::V3;
        Self {
            version,
            gen_cap,
            wq_cap: wq_cap(hardware),
            grp_cap: grp_cap(hardware),
            eng_cap: EngCap(0)
                .with_engines(hardware.engines)
                .with_work_in_progress_max(32)
                .with_batches_in_progress_max(4),
            op_cap: if gen_cap.inter_domain() {
                op_cap(kind, version)
            } else {
                in_one_space(op_cap(kind, version))
            },
            cmd_cap: cmd_cap(hardware),
            offsets: TableOffsets::new([
                table::GROUP_CONFIG,
                table::WQ_CONFIG,
                table::MSIX_PERMISSIONS,
                table::INTERRUPT_STORAGE,
                table::PERFORMANCE_MONITOR,
                table::INTER_DOMAIN_PERMISSIONS,
            ]),
            id_cap: if gen_cap.inter_domain() { ID_CAP } else { IdCap(0) },
            dsa_cap: if has_numbers {
                dsa_cap(gen_cap.inter_domain())
            } else {
                (DsaCap0(0), DsaCap1(0), DsaCap2(0))
            },
            iaa_cap: iaa_cap(kind, version),
            perf_cap: perfmon::perf_cap(kind, version),
            msix_vectors: hardware.msix_vectors,
        }
    }
}

impl Capabilities {
    /// log2 of the entries that a scatter-gather list can have; 0 where there are none (DSACAP0).
    pub(crate) fn list_entries_max_log2(&self) -> u8 {
        self.dsa_cap.0.sgl_entries_max_log2()
    }

    /// The capability register at 0x180 and the two behind it.
    pub(crate) fn specific(&self, index: usize) -> u64 {
        let (numbers, lists, treatments) = self.dsa_cap;
        [numbers.0 | self.iaa_cap.0, lists.0, treatments.0].get(index).copied().unwrap_or(0)
    }
}

/// What of table 7-2 the model has; the state of a decompression stays in format 1.
fn iaa_cap(kind: DeviceKind, version: Version) -> IaaCap {
    if kind != DeviceKind::Iaa || version < Version::V2 {
        return IaaCap(0);
    }
    let streams = IaaCap(0).with_early_abort(true).with_header_generation(true).with_dictionary(true);
    let crypto = streams.with_crypto_gcm(true).with_crypto_cfb(true).with_crypto_xts(true);
    crypto.with_force_array_output(true).with_drop_initial_bits(true)
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
fn dsa_cap(inter_domain: bool) -> (DsaCap0, DsaCap1, DsaCap2) {
    let lists = DsaCap0(0).with_sgl_entries_max_log2(15).with_sgl_formats(0b1110);
    let lists = lists.with_gather_reduce_block_max_log2(12).with_inter_domain_operations(if inter_domain {
        0b111_0111
    } else {
        0
    });
    let numbers = DsaCap1(0).with_data_types(0x3ff).with_compute_types(0b1111_1010);
    let numbers = numbers.with_up_conversions(0x1ff).with_down_conversions(0x1ff);
    let treatments = DsaCap2(0).with_negation(true).with_flush_to_zero(true).with_denormals_are_zero(true);
    (lists, numbers, treatments.with_signed(true).with_saturation(true).with_rounding(0xf))
}

/// Version 1 of a DSA has what the first silicon shows, 0x40_915f_0107, in the bits that have a meaning, but for the
/// size of the interrupt message storage.
fn gen_cap(hardware: &Hardware) -> GenCap {
    let Hardware { kind, version, .. } = *hardware;
    let second = version >= Version::V2;
    let common = GenCap(0)
        .with_block_on_fault(true)
        .with_cache_control(true)
        .with_dst_readback(true)
        .with_configurable(true)
        .with_transfer_bytes_max_log2(31)
        .with_interrupt_storage_units(hardware.interrupt_storage_units)
        .with_command_capabilities(second || hardware.interrupt_handles.is_some())
        .with_translation_fetch_stride(second)
        .with_drain_readback_addr(second)
        .with_fault_info(second)
        .with_event_log_overflow(second && hardware.event_log_overflow);
    match kind {
        DeviceKind::Dsa => common
            .with_overlapping_copy(true)
            .with_batch_descriptors_max_log2(10)
            .with_fill_16(second)
            .with_crc64(second)
            .with_batch_continuation(second)
            .with_event_log(second.into())
            .with_inter_domain(second && hardware.inter_domain)
            .with_batch_of_one(version >= Version::V3),
        // Its record has 64 bytes, so an entry of the log has 128.
        DeviceKind::Iaa => {
            common.with_decompress(true).with_indexing(true).with_event_log(if second { 2 } else { 0 })
        }
    }
}

fn wq_cap(hardware: &Hardware) -> WqCap {
    let second = hardware.version >= Version::V2;
    WqCap(0)
        .with_total_size(hardware.entries)
        .with_queues(hardware.queues)
        .with_wqcfg_size_log2(second.into())
        .with_shared_mode(true)
        .with_dedicated_mode(true)
        .with_ats_control(true)
        .with_priority(true)
        .with_occupancy(true)
        .with_occupancy_interrupt(true)
        .with_operation_config(second)
        .with_prs_control(second)
}

/// The limits are configured and checked; the model has nothing that they would hold back.
fn grp_cap(hardware: &Hardware) -> GrpCap {
    let has_buffers = hardware.kind == DeviceKind::Dsa && hardware.read_buffers > 0;
    GrpCap(0)
        .with_groups(hardware.groups)
        .with_read_buffers(if has_buffers { hardware.read_buffers } else { 0 })
        .with_read_buffer_control(has_buffers)
        .with_global_read_buffer_limit(has_buffers)
        .with_in_progress_limit(hardware.version >= Version::V2)
        .with_bandwidth_limit(hardware.version >= Version::V3)
}

fn cmd_cap(hardware: &Hardware) -> CmdCap {
    let handles = [CmdCode::REQUEST_INTERRUPT_HANDLE, CmdCode::RELEASE_INTERRUPT_HANDLE];
    let mut cmd_cap = CmdCap::DEFAULT;
    if hardware.interrupt_handles.is_some() {
        handles.iter().for_each(|code| cmd_cap.0 |= 1 << code.0);
    }
    cmd_cap
}

/// Operations that stay within one address space.
fn in_one_space(op_cap: OpCap) -> OpCap {
    const ACROSS: [Opcode; 5] = [
        Opcode::UPDATE_WINDOW,
        Opcode::INTER_DOMAIN_COPY,
        Opcode::INTER_DOMAIN_FILL,
        Opcode::INTER_DOMAIN_COMPARE,
        Opcode::INTER_DOMAIN_COMPARE_PATTERN,
    ];
    let stays = |opcode: &Opcode| op_cap.contains(*opcode) && !ACROSS.contains(opcode);
    let opcodes = (0..=u8::MAX).map(Opcode).filter(stays);
    opcodes.fold(OpCap::default(), |op_cap, opcode| op_cap.with(opcode))
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
    const IAA_1: &[Opcode] = &[
        Opcode::NOOP,
        Opcode::DRAIN,
        Opcode::MEMMOVE,
        Opcode::DECOMPRESS,
        Opcode::COMPRESS,
        Opcode::CRC64,
        Opcode::ZERO_DECOMPRESS_32,
        Opcode::ZERO_DECOMPRESS_16,
        Opcode::ZERO_COMPRESS_32,
        Opcode::ZERO_COMPRESS_16,
        Opcode::SCAN,
        Opcode::SET_MEMBERSHIP,
        Opcode::EXTRACT,
        Opcode::SELECT,
        Opcode::RLE_BURST,
        Opcode::FIND_UNIQUE,
        Opcode::EXPAND,
    ];
    const IAA_2: &[Opcode] = &[
        Opcode::TRANSLATION_FETCH,
        Opcode::ENCRYPT,
        Opcode::DECRYPT,
        Opcode::ZERO_DECOMPRESS_8,
        Opcode::ZERO_COMPRESS_8,
    ];
    let versions = match kind {
        DeviceKind::Dsa => [DSA_1, DSA_2, DSA_3],
        DeviceKind::Iaa => [IAA_1, IAA_2, &[]],
    };
    let count = version as usize;
    versions[..count].iter().copied().flatten().fold(OpCap::default(), |op_cap, opcode| op_cap.with(*opcode))
}
