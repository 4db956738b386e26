//! What the driver has to know of a work queue, and which operations follow from what a device can do.

use idxd_spec::register::{DsaCap0, DsaCap1, DsaCap2};
use idxd_spec::{GenCap, OpCap, Opcode, SglFormat};
use svala::{Operation, Operations};

use super::numeric;

/// What lists of blocks may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lists {
    /// Entries of one; 0 without such operations.
    pub entries_max: u32,
    /// Bytes of a block of a gather reduce, read or written.
    pub gather_reduce_block_max: u32,
}

impl Lists {
    /// What DSACAP0 says of a device of version 3 (DSA §9.2.30).
    #[must_use]
    pub const fn of(cap: DsaCap0) -> Self {
        // A descriptor has 16 bits for the entries.
        let entries_max = if cap.sgl_entries_max_log2() < 16 { cap.sgl_entries_max() } else { 0xffff };
        Self { entries_max, gather_reduce_block_max: cap.gather_reduce_block_max() }
    }
}

/// Bytes of a part whose order does not matter: some 4 us of a DSA's time, a hundred times what it costs to write another
/// descriptor.
pub(crate) const PARALLEL_PART_BYTES: u32 = 128 << 10;

/// What the driver has to know of a work queue.
#[derive(Clone, Debug)]
pub struct DsaQueueConfig {
    /// Name in results and messages.
    pub name: String,
    /// What the queue offers. By default what every DSA does; [`dsa_operations`] says it for one device. Deltas are not offered
    /// where the kernel refuses `process_vm_readv`: the driver looks at offsets in their records.
    pub operations: Operations,
    /// Jobs in flight at most.
    pub depth: u32,
    /// Largest transfer of one descriptor, in bytes.
    pub transfer_bytes_max: u32,
    /// Most descriptors in a batch; 1 and less: no batches.
    pub batch_max: u32,
    /// Whether descriptors may set block-on-fault.
    pub block_on_fault: bool,
    /// Entries of a dedicated queue; none for a shared one.
    pub dedicated_size: Option<u32>,
    /// Parts of one job under way at once.
    pub lanes_per_job: u16,
    /// Bytes of a part, where the parts of a job may run in any order: what another's small job waits for behind each.
    /// A job that has the queue to itself for a while goes on in parts as long as the queue allows.
    pub parallel_part_bytes: u32,
    /// What lists of blocks may be.
    pub lists: Lists,
    /// Times a part may be refused.
    pub submit_tries_max: u32,
}

impl Default for DsaQueueConfig {
    fn default() -> Self {
        Self {
            name: "wq".into(),
            operations: OPERATIONS
                .iter()
                .filter(|(_, _, feature)| feature.is_none())
                .fold(Operations::NONE, |set, (operation, ..)| set.with(*operation)),
            depth: 64,
            transfer_bytes_max: 2 << 20,
            batch_max: 64,
            block_on_fault: false,
            dedicated_size: None,
            lanes_per_job: 1,
            parallel_part_bytes: PARALLEL_PART_BYTES,
            lists: Lists::default(),
            submit_tries_max: 20_000,
        }
    }
}

/// Of an operation that DSA 1 does not have: what GENCAP must say beside OPCAP.
type Feature = Option<fn(GenCap) -> bool>;

/// The operations of the runtime that are descriptors, with their opcodes.
const OPERATIONS: [(Operation, Opcode, Feature); 21] = [
    (Operation::Noop, Opcode::NOOP, None),
    (Operation::Drain, Opcode::DRAIN, None),
    (Operation::Copy, Opcode::MEMMOVE, None),
    (Operation::Dualcast, Opcode::DUALCAST, None),
    (Operation::Fill, Opcode::FILL, None),
    (Operation::Fill16, Opcode::FILL, Some(GenCap::fill_16)),
    (Operation::Compare, Opcode::COMPARE, None),
    (Operation::ComparePattern, Opcode::COMPARE_PATTERN, None),
    (Operation::CreateDelta, Opcode::CREATE_DELTA, None),
    (Operation::ApplyDelta, Opcode::APPLY_DELTA, None),
    (Operation::Crc32c, Opcode::CRC, None),
    (Operation::Crc64, Opcode::CRC, Some(GenCap::crc64)),
    (Operation::CopyCrc32c, Opcode::COPY_CRC, None),
    (Operation::CopyCrc64, Opcode::COPY_CRC, Some(GenCap::crc64)),
    (Operation::DifCheck, Opcode::DIF_CHECK, None),
    (Operation::DifInsert, Opcode::DIF_INSERT, None),
    (Operation::DifStrip, Opcode::DIF_STRIP, None),
    (Operation::DifUpdate, Opcode::DIF_UPDATE, None),
    (Operation::DixGenerate, Opcode::DIX_GENERATE, Some(|_| true)),
    (Operation::CacheFlush, Opcode::CACHE_FLUSH, None),
    (Operation::TranslationFetch, Opcode::TRANSLATION_FETCH, Some(|_| true)),
];

/// The operations of the runtime that a device with these capabilities does.
///
/// `op_cap` is the device's OPCAP, or the narrower set that its work queue is configured for. 16-byte patterns and
/// CRC-64 are flags of older operations: GENCAP has them.
///
/// Source: DSA §9.2.2, §9.2.6, appendix F.
#[must_use]
pub fn dsa_operations(op_cap: OpCap, gen_cap: GenCap) -> Operations {
    OPERATIONS
        .iter()
        .filter(|(_, opcode, feature)| {
            op_cap.contains(*opcode) && feature.is_none_or(|feature| feature(gen_cap))
        })
        .fold(Operations::NONE, |set, (operation, ..)| set.with(*operation))
}

/// The operations of the runtime on numbers and on lists of blocks that a device with these capabilities does, which is of
/// version 3 at least. Lists are of offsets; of numbers, a device has to do all.
///
/// Source: DSA §9.2.6, §9.2.30 to §9.2.32.
#[must_use]
pub fn dsa_list_operations(op_cap: OpCap, caps: (DsaCap0, DsaCap1, DsaCap2)) -> Operations {
    let (lists, types, treatments) = caps;
    let numbers = numeric::are_complete(types, treatments);
    let listed = lists.reads_lists(SglFormat::Offset64);
    [
        (Operation::Convert, Opcode::TYPE_CONVERSION, numbers),
        (Operation::Reduce, Opcode::REDUCE, numbers),
        (Operation::ReduceDualcast, Opcode::REDUCE_DUALCAST, numbers),
        (Operation::GatherReduce, Opcode::GATHER_REDUCE, numbers && listed),
        (Operation::GatherCopy, Opcode::GATHER_COPY, listed),
        (Operation::ScatterCopy, Opcode::SCATTER_COPY, listed),
        (Operation::ScatterFill, Opcode::SCATTER_FILL, listed),
    ]
    .into_iter()
    .filter(|(_, opcode, is_done)| *is_done && op_cap.contains(*opcode))
    .fold(Operations::NONE, |set, (operation, ..)| set.with(operation))
}

#[cfg(test)]
mod tests {
    use idxd_emu::{Capabilities, DeviceKind, Version};

    use super::*;

    fn of(version: Version) -> Operations {
        let capabilities = Capabilities::of(DeviceKind::Dsa, version);
        dsa_operations(capabilities.op_cap, capabilities.gen_cap)
    }

    /// DSA appendix F: what version 2 added.
    #[test]
    fn the_first_version_lacks_what_the_second_added() {
        let (first, second) = (of(Version::V1), of(Version::V2));
        let added: Vec<_> = second.iter().filter(|operation| !first.contains(*operation)).collect();
        let expected = [
            Operation::Fill16,
            Operation::Crc64,
            Operation::CopyCrc64,
            Operation::DixGenerate,
            Operation::TranslationFetch,
        ];
        assert_eq!(added, expected);
        assert_eq!(DsaQueueConfig::default().operations, first);
    }

    #[test]
    fn numbers_and_lists_are_those_of_the_third_version() {
        let offered = |version| {
            let capabilities = Capabilities::of(DeviceKind::Dsa, version);
            dsa_list_operations(capabilities.op_cap, capabilities.dsa_cap).iter().count()
        };
        assert_eq!([Version::V1, Version::V2, Version::V3].map(offered), [0, 0, 7]);
        let (lists, types, treatments) = Capabilities::of(DeviceKind::Dsa, Version::V3).dsa_cap;
        let op_cap = Capabilities::of(DeviceKind::Dsa, Version::V3).op_cap;
        let partial = dsa_list_operations(op_cap, (lists, types, treatments.with_saturation(false)));
        let expected = [Operation::GatherCopy, Operation::ScatterCopy, Operation::ScatterFill];
        assert!(partial.iter().eq(expected));
    }

    #[test]
    fn an_operation_without_its_opcode_is_not_offered() {
        let op_cap = OpCap::default().with(Opcode::MEMMOVE).with(Opcode::CRC);
        let offered: Vec<_> = dsa_operations(op_cap, GenCap(0)).iter().collect();
        assert_eq!(offered, [Operation::Copy, Operation::Crc32c]);
    }
}
