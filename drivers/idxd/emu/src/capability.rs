//! What the model says it can do, in the registers' words.
//!
//! A driver asks these before it sends a descriptor, and before it resumes one.

use idxd_spec::{GenCap, OpCap, Opcode};

use crate::DeviceKind;

impl DeviceKind {
    /// The general capabilities register (DSA §9.2.2, IAA §7.2.1).
    #[must_use]
    pub fn gen_cap(self) -> GenCap {
        let common = GenCap(0)
            .with_block_on_fault(true)
            .with_cache_control(true)
            .with_translation_fetch_stride(true)
            .with_dst_readback(true)
            .with_drain_readback_addr(true)
            .with_fault_info(true)
            .with_transfer_bytes_max_log2(31);
        match self {
            Self::Dsa => common
                .with_overlapping_copy(true)
                .with_fill_16(true)
                .with_crc64(true)
                .with_batch_continuation(true)
                .with_batch_descriptors_max_log2(10),
            Self::Iaa => common.with_decompress(true),
        }
    }

    /// The operations capabilities register (DSA §9.2.6).
    #[must_use]
    pub fn op_cap(self) -> OpCap {
        const DSA: [Opcode; 12] = [
            Opcode::NOOP,
            Opcode::BATCH,
            Opcode::DRAIN,
            Opcode::MEMMOVE,
            Opcode::FILL,
            Opcode::COMPARE,
            Opcode::COMPARE_PATTERN,
            Opcode::DUALCAST,
            Opcode::TRANSLATION_FETCH,
            Opcode::CRC,
            Opcode::COPY_CRC,
            Opcode::CACHE_FLUSH,
        ];
        const IAA: [Opcode; 7] = [
            Opcode::NOOP,
            Opcode::DRAIN,
            Opcode::MEMMOVE,
            Opcode::TRANSLATION_FETCH,
            Opcode::DECOMPRESS,
            Opcode::COMPRESS,
            Opcode::CRC64,
        ];
        let opcodes: &[Opcode] = match self {
            Self::Dsa => &DSA,
            Self::Iaa => &IAA,
        };
        opcodes.iter().fold(OpCap::default(), |op_cap, opcode| op_cap.with(*opcode))
    }
}
