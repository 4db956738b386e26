//! What the device can do: read-only registers.

use super::register;
use crate::Opcode;

register! {
    /// The version of the specification the device follows, 0x100 for DSA 1.
    ///
    /// Source: DSA §9.2.1.
    Version: u32 {
        /// Bits 15:8.
        major: u8 15, 8;
        /// Bits 7:0.
        minor: u8 7, 0;
    }
}

register! {
    /// General capabilities; `gen_cap` in sysfs.
    ///
    /// Source: DSA §9.2.2; IAA §7.2.1.
    GenCap: u64 {
        /// Bit 0: descriptors may block on faults.
        block_on_fault / with_block_on_fault: bit 0;
        /// Bit 1: memory move may overlap.
        overlapping_copy / with_overlapping_copy: bit 1;
        /// Bit 2: writes may be directed to the cache.
        cache_control / with_cache_control: bit 2;
        /// Bit 4: [`CmdCap`] is there.
        command_capabilities / with_command_capabilities: bit 4;
        /// Bit 5: writes may be directed to durable memory.
        durable_write / with_durable_write: bit 5;
        /// Bit 6: inter-domain operations.
        inter_domain / with_inter_domain: bit 6;
        /// Bit 7: translation fetch takes a stride.
        translation_fetch_stride / with_translation_fetch_stride: bit 7;
        /// Bit 8: cache control hints with readback of the destination.
        dst_readback / with_dst_readback: bit 8;
        /// Bit 9: drain takes readback addresses.
        drain_readback_addr / with_drain_readback_addr: bit 9;
        /// Bit 10: fill takes a 16-byte pattern.
        fill_16 / with_fill_16: bit 10;
        /// Bit 11: 64-bit CRC.
        crc64 / with_crc64: bit 11;
        /// Bit 12: completion records have a fault info byte.
        fault_info / with_fault_info: bit 12;
        /// Bits 14:13: event log, 0 for none; see [`event_log_entry_size`](Self::event_log_entry_size).
        event_log / with_event_log: u8 14, 13;
        /// Bit 15: the batch error flag and the result of a batch.
        batch_continuation / with_batch_continuation: bit 15;
        /// Bits 20:16: log2 of the largest transfer in bytes.
        transfer_bytes_max_log2 / with_transfer_bytes_max_log2: u8 20, 16;
        /// Bits 24:21: log2 of the largest batch in descriptors.
        batch_descriptors_max_log2 / with_batch_descriptors_max_log2: u8 24, 21;
        /// Bits 30:25: interrupt message storage, in units of 256 entries.
        interrupt_storage_units / with_interrupt_storage_units: u8 30, 25;
        /// Bit 31: the configuration registers can be written.
        configurable / with_configurable: bit 31;
        /// Bit 32: a full event log drops events instead of blocking.
        event_log_overflow / with_event_log_overflow: bit 32;
        /// Bit 40, IAA: decompression.
        decompress / with_decompress: bit 40;
        /// Bit 41, IAA: indexing.
        indexing / with_indexing: bit 41;
        /// Bit 52: a batch may have one descriptor.
        batch_of_one / with_batch_of_one: bit 52;
        /// Bit 53: strict order is reserved where the destination is memory.
        no_strict_order_memory / with_no_strict_order_memory: bit 53;
        /// Bit 54: strict order is reserved where the destination is another device.
        no_strict_order_peer / with_no_strict_order_peer: bit 54;
    }
}

impl GenCap {
    /// The largest transfer any work queue can be configured for, in bytes.
    #[must_use]
    pub const fn transfer_bytes_max(self) -> u64 {
        1 << self.transfer_bytes_max_log2()
    }

    /// The largest batch any work queue can be configured for, in descriptors. Not used on IAA.
    #[must_use]
    pub const fn batch_descriptors_max(self) -> u32 {
        1 << self.batch_descriptors_max_log2()
    }

    /// Bytes of an event log entry, if the device has an event log.
    #[must_use]
    pub const fn event_log_entry_size(self) -> Option<u32> {
        match self.event_log() {
            0 => None,
            size => Some(32 << size),
        }
    }
}

register! {
    /// Work queue capabilities.
    ///
    /// Source: DSA §9.2.3.
    WqCap: u64 {
        /// Bits 15:0: entries of all work queues together.
        total_size / with_total_size: u16 15, 0;
        /// Bits 23:16: number of work queues.
        queues / with_queues: u8 23, 16;
        /// Bits 27:24: see [`wqcfg_size`](Self::wqcfg_size).
        wqcfg_size_log2 / with_wqcfg_size_log2: u8 27, 24;
        /// Bit 48: shared mode.
        shared_mode / with_shared_mode: bit 48;
        /// Bit 49: dedicated mode.
        dedicated_mode / with_dedicated_mode: bit 49;
        /// Bit 50: ATS can be disabled for a work queue.
        ats_control / with_ats_control: bit 50;
        /// Bit 51: priorities.
        priority / with_priority: bit 51;
        /// Bit 52: occupancy can be read.
        occupancy / with_occupancy: bit 52;
        /// Bit 53: occupancy interrupts.
        occupancy_interrupt / with_occupancy_interrupt: bit 53;
        /// Bit 54: operations can be allowed for each work queue.
        operation_config / with_operation_config: bit 54;
        /// Bit 55: PRS can be disabled for a work queue.
        prs_control / with_prs_control: bit 55;
    }
}

impl WqCap {
    /// Bytes of [`WqCfg`](super::WqCfg) for one work queue: 32 or 64.
    #[must_use]
    pub const fn wqcfg_size(self) -> u32 {
        32 << self.wqcfg_size_log2()
    }
}

register! {
    /// Group capabilities.
    ///
    /// Source: DSA §9.2.4.
    GrpCap: u64 {
        /// Bits 7:0: number of groups.
        groups / with_groups: u8 7, 0;
        /// Bits 15:8: read buffers, if [`read_buffer_control`](Self::read_buffer_control).
        read_buffers / with_read_buffers: u8 15, 8;
        /// Bit 16: read buffers can be given to groups.
        read_buffer_control / with_read_buffer_control: bit 16;
        /// Bit 17: there is a global read buffer limit.
        global_read_buffer_limit / with_global_read_buffer_limit: bit 17;
        /// Bit 18: descriptors in progress can be limited.
        in_progress_limit / with_in_progress_limit: bit 18;
        /// Bit 19: bandwidth can be limited.
        bandwidth_limit / with_bandwidth_limit: bit 19;
    }
}

register! {
    /// Engine capabilities.
    ///
    /// Source: DSA §9.2.5.
    EngCap: u64 {
        /// Bits 7:0: number of engines.
        engines / with_engines: u8 7, 0;
        /// Bits 15:8: work descriptors an engine has in progress, if [`GrpCap::in_progress_limit`].
        work_in_progress_max / with_work_in_progress_max: u8 15, 8;
        /// Bits 23:16: batch descriptors an engine has in progress, if [`GrpCap::in_progress_limit`].
        batches_in_progress_max / with_batches_in_progress_max: u8 23, 16;
    }
}

/// The operations a device supports, or a work queue allows: bit *n* stands for opcode *n*. `op_cap` in sysfs.
///
/// Source: DSA §9.2.6, §9.2.24.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct OpCap(pub [u64; 4]);

impl OpCap {
    /// Whether `opcode` is there.
    #[must_use]
    pub const fn contains(self, opcode: Opcode) -> bool {
        self.0[(opcode.0 >> 6) as usize] >> (opcode.0 & 63) & 1 != 0
    }

    /// The same with `opcode`.
    #[must_use]
    pub const fn with(mut self, opcode: Opcode) -> Self {
        self.0[(opcode.0 >> 6) as usize] |= 1 << (opcode.0 & 63);
        self
    }

    /// The opcodes that are there, lowest first, named or not.
    pub fn iter(self) -> impl Iterator<Item = Opcode> {
        (0..=u8::MAX).map(Opcode).filter(move |&opcode| self.contains(opcode))
    }
}

/// Where the tables are in BAR0. The register holds units of 0x100, the readers give bytes.
///
/// Source: DSA §9.2.7.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct TableOffsets(pub [u64; 2]);

impl TableOffsets {
    const UNIT: u64 = 0x100;

    /// Builds the register from offsets in bytes, each a multiple of 0x100 below 0x100_0000: group configuration, work
    /// queue configuration, MSI-X permissions, interrupt message storage, performance monitoring, inter-domain
    /// permissions.
    #[must_use]
    pub fn new(offsets: [u64; 6]) -> Self {
        let [group, wq, msix, ims, perf, idpt] = offsets;
        let unit = |offset: u64| (offset / Self::UNIT) & 0xffff;
        Self([
            unit(group) | unit(wq) << 16 | unit(msix) << 32 | unit(ims) << 48,
            unit(perf) | unit(idpt) << 16,
        ])
    }

    const fn at(self, word: usize, low: u32) -> u64 {
        super::bits(self.0[word], low + 15, low) * Self::UNIT
    }

    /// Bits 15:0: the table of [`GrpCfg`](super::GrpCfg).
    #[must_use]
    pub const fn group_config(self) -> u64 {
        self.at(0, 0)
    }

    /// Bits 31:16: the table of [`WqCfg`](super::WqCfg).
    #[must_use]
    pub const fn wq_config(self) -> u64 {
        self.at(0, 16)
    }

    /// Bits 47:32: the MSI-X permissions, 4 bytes every 8.
    #[must_use]
    pub const fn msix_permissions(self) -> u64 {
        self.at(0, 32)
    }

    /// Bits 63:48: the interrupt message storage.
    #[must_use]
    pub const fn interrupt_storage(self) -> u64 {
        self.at(0, 48)
    }

    /// Bits 79:64: the performance monitoring registers.
    #[must_use]
    pub const fn performance_monitor(self) -> u64 {
        self.at(1, 0)
    }

    /// Bits 95:80: the inter-domain permissions table.
    #[must_use]
    pub const fn inter_domain_permissions(self) -> u64 {
        self.at(1, 16)
    }
}

/// The administrative commands the device supports: bit *n* stands for command code *n*.
///
/// There only if [`GenCap::command_capabilities`]; without it a device has [`CmdCap::DEFAULT`].
///
/// Source: DSA §9.2.14, table 9-6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CmdCap(pub u64);

impl CmdCap {
    /// Commands 1 to 12, enable device to abort PASID.
    pub const DEFAULT: Self = Self(0x1ffe);

    /// Whether `code` is there.
    #[must_use]
    pub const fn contains(self, code: super::CmdCode) -> bool {
        code.0 < 64 && super::bit(self.0, code.0 as u32)
    }
}

register! {
    /// What an IAA can do beside [`GenCap`]; at the offset where DSA has its first capability register.
    ///
    /// Source: IAA §7.2.2, table 7-2.
    IaaCap: u64 {
        /// Bit 0: the minimum of the second generation: decompress state in format 2, checksums with CRC64, the last
        /// descriptor bit of the compress state.
        generation_2 / with_generation_2: bit 0;
        /// Bit 1: drop initial bits may be non-zero.
        drop_initial_bits / with_drop_initial_bits: bit 1;
        /// Bit 2: other operations can be chained into CRC64.
        chain_to_crc64 / with_chain_to_crc64: bit 2;
        /// Bit 3: filter flag 27.
        force_array_output / with_force_array_output: bit 3;
        /// Bit 4: decompression flag 13.
        load_partial / with_load_partial: bit 4;
        /// Bit 5: compression early abort.
        early_abort / with_early_abort: bit 5;
        /// Bit 7: compression with a dictionary.
        dictionary / with_dictionary: bit 7;
        /// Bit 8: compression header generation.
        header_generation / with_header_generation: bit 8;
        /// Bit 9: encryption with GCM.
        crypto_gcm / with_crypto_gcm: bit 9;
        /// Bit 10: encryption with CFB.
        crypto_cfb / with_crypto_cfb: bit 10;
        /// Bit 11: encryption with XTS.
        crypto_xts / with_crypto_xts: bit 11;
    }
}
