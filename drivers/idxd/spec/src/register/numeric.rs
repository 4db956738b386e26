//! What the device can do with numbers and lists: the three DSA capability registers, since DSA 3.

use super::register;
use crate::{ComputeFlags, ComputeType, DataType, FloatConversion, Opcode, Rounding, SglFormat};

register! {
    /// Scatter-gather capabilities, and which operations take inter-domain handles beside those that are only that.
    ///
    /// Source: DSA §9.2.30.
    DsaCap0: u64 {
        /// Bits 3:0: log2 of the entries a list can have on any work queue.
        sgl_entries_max_log2 / with_sgl_entries_max_log2: u8 3, 0;
        /// Bits 7:4: log2 of the bytes a block of a gather reduce can have.
        gather_reduce_block_max_log2 / with_gather_reduce_block_max_log2: u8 7, 4;
        /// Bits 14:8: see [`crosses_domains`](Self::crosses_domains).
        inter_domain_operations / with_inter_domain_operations: u8 14, 8;
        /// Bits 47:32: see [`reads_lists`](Self::reads_lists).
        sgl_formats / with_sgl_formats: u16 47, 32;
        /// Bits 55:48: scatter-gather descriptors an engine has in progress.
        in_progress_max / with_in_progress_max: u8 55, 48;
    }
}

impl DsaCap0 {
    /// Entries a list can have on any work queue.
    #[must_use]
    pub const fn sgl_entries_max(self) -> u32 {
        1 << self.sgl_entries_max_log2()
    }

    /// Bytes a block of a gather reduce can have.
    #[must_use]
    pub const fn gather_reduce_block_max(self) -> u32 {
        1 << self.gather_reduce_block_max_log2()
    }

    /// Whether lists may have this format.
    #[must_use]
    pub const fn reads_lists(self, format: SglFormat) -> bool {
        self.sgl_formats() >> format.code() & 1 != 0
    }

    /// Whether a numeric or scatter-gather operation may have handles. Bits 8, 9, 10, 12, 13 and 14 stand for type
    /// conversion, reduce, reduce with dualcast, gather copy, scatter copy and scatter fill.
    #[must_use]
    pub const fn crosses_domains(self, opcode: Opcode) -> bool {
        matches!(opcode.0, 0x18..=0x1a | 0x1c..=0x1e) && super::bit(self.0, opcode.0 as u32 - 0x10)
    }
}

register! {
    /// Types, conversions and operations.
    ///
    /// Source: DSA §9.2.31.
    DsaCap1: u64 {
        /// Bits 15:0: see [`has_type`](Self::has_type).
        data_types / with_data_types: u16 15, 0;
        /// Bits 31:16: see [`converts`](Self::converts).
        up_conversions / with_up_conversions: u16 31, 16;
        /// Bits 47:32: see [`converts`](Self::converts).
        down_conversions / with_down_conversions: u16 47, 32;
        /// Bits 63:48: see [`computes`](Self::computes).
        compute_types / with_compute_types: u16 63, 48;
    }
}

impl DsaCap1 {
    /// Whether elements may have this type.
    #[must_use]
    pub const fn has_type(self, data_type: DataType) -> bool {
        super::bit(self.0, data_type.code() as u32)
    }

    /// Whether the device has this conversion.
    #[must_use]
    pub const fn converts(self, conversion: FloatConversion) -> bool {
        super::bit(self.0, conversion.bit() as u32)
    }

    /// Whether the device has this operation.
    #[must_use]
    pub const fn computes(self, compute: ComputeType) -> bool {
        super::bit(self.0, 48 + compute.code() as u32)
    }
}

register! {
    /// How numbers can be treated.
    ///
    /// Source: DSA §9.2.32.
    DsaCap2: u64 {
        /// Bit 0: operands can be negated.
        negation / with_negation: bit 0;
        /// Bit 2: denormal results can become zero.
        flush_to_zero / with_flush_to_zero: bit 2;
        /// Bit 3: denormal operands can count as zero.
        denormals_are_zero / with_denormals_are_zero: bit 3;
        /// Bit 7: integers can be signed.
        signed / with_signed: bit 7;
        /// Bit 8: integers can saturate.
        saturation / with_saturation: bit 8;
        /// Bits 15:12: nearest even, down, up, towards zero; see [`rounds`](Self::rounds).
        rounding / with_rounding: u8 15, 12;
    }
}

impl DsaCap2 {
    /// Whether results can be rounded so.
    #[must_use]
    pub const fn rounds(self, rounding: Rounding) -> bool {
        super::bit(self.0, 12 + rounding as u32)
    }

    /// The flags among `flags` that the device lacks, without the rounding.
    #[must_use]
    pub const fn lacks(self, flags: ComputeFlags) -> ComputeFlags {
        let negation = ComputeFlags::NEGATE_SRC1.union(ComputeFlags::NEGATE_SRC2);
        let mut lacking = ComputeFlags::RESERVED;
        if !self.negation() {
            lacking = lacking.union(negation);
        }
        if !self.flush_to_zero() {
            lacking = lacking.union(ComputeFlags::FLUSH_TO_ZERO);
        }
        if !self.denormals_are_zero() {
            lacking = lacking.union(ComputeFlags::DENORMALS_ARE_ZERO);
        }
        if !self.signed() {
            lacking = lacking.union(ComputeFlags::SIGNED);
        }
        if !self.saturation() {
            lacking = lacking.union(ComputeFlags::SATURATE);
        }
        flags.intersection(lacking)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bit numbers of §9.2.30 to §9.2.32, typed in once more.
    #[test]
    fn bits_are_where_the_tables_have_them() {
        let cap = DsaCap0(1 << 10 | 1 << 34 | 1 << 14 | 3 << 4 | 12);
        assert!(cap.crosses_domains(Opcode::REDUCE_DUALCAST) && cap.crosses_domains(Opcode::SCATTER_FILL));
        assert!(!cap.crosses_domains(Opcode::REDUCE) && !cap.crosses_domains(Opcode::GATHER_REDUCE));
        assert!(cap.reads_lists(SglFormat::Index32) && !cap.reads_lists(SglFormat::Offset64));
        assert_eq!((cap.gather_reduce_block_max(), cap.sgl_entries_max()), (8, 4096));
        let cap = DsaCap1(1 << 9 | 1 << 40 | 1 << 23 | 1 << 55);
        assert!(cap.has_type(DataType::Fp64) && cap.converts(FloatConversion::FP64_TO_FP32));
        assert!(cap.converts(FloatConversion::BF16_TO_FP32) && cap.computes(ComputeType::Max));
        assert!(!cap.has_type(DataType::Int8) && !cap.computes(ComputeType::Min));
        let cap = DsaCap2(1 << 14 | 1 << 8 | 1 << 3);
        assert!(cap.rounds(Rounding::Up) && !cap.rounds(Rounding::Down) && !cap.rounds(Rounding::TowardZero));
        let (lacking, all) = (cap.lacks(ComputeFlags::FIELD), ComputeFlags::FIELD - ComputeFlags::ROUNDING);
        assert_eq!(lacking, all - ComputeFlags::SATURATE - ComputeFlags::DENORMALS_ARE_ZERO);
    }
}
