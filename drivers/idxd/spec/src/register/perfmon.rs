//! Performance counters: what they can count, and where they are in the table of
//! [`TableOffsets::performance_monitor`](super::TableOffsets::performance_monitor).

use super::register;

/// Offset of [`PerfCap`] in the table, 8 bytes (DSA §9.2.25.1).
pub const PERFCAP: u64 = 0x00;
/// Offset of [`PerfRst`] in the table, 4 bytes (DSA §9.2.25.4).
pub const PERFRST: u64 = 0x10;
/// Offset of the freeze register in the table, 4 bytes, a bit for each counter (DSA §9.2.25.6).
pub const PERFFRZ: u64 = 0x20;
/// Offset of the overflow status in the table, 4 bytes, a bit for each counter (DSA §9.2.25.5).
pub const OVFSTATUS: u64 = 0x30;
/// Offset of the first event capabilities, 8 bytes for each category (DSA §9.2.25.2).
pub const EVNTCAP: u64 = 0x80;
/// Offset of the first [`CntrCfg`], 8 bytes for each counter (DSA §9.2.25.7).
pub const CNTRCFG: u64 = 0x100;
/// Offset of the first counter, 8 bytes each (DSA §9.2.25.9).
pub const CNTRDATA: u64 = 0x200;
/// Offset of the first filter: 4 bytes each, 32 for each counter (DSA §9.2.25.8).
pub const FLTCFG: u64 = 0x300;
/// Bytes of the filters of one counter.
pub const FLTCFG_STRIDE: u64 = 32;
/// Offset of the first [counter capabilities](PerfCap::per_counter_capabilities), 64 bytes each (DSA §9.2.25.3).
pub const CNTRCAP: u64 = 0x800;

register! {
    /// What the counters can do. 0 if there are none.
    ///
    /// Source: DSA §9.2.25.1.
    PerfCap: u64 {
        /// Bits 5:0: counters.
        counters / with_counters: u8 5, 0;
        /// Bits 15:8: bits of a counter.
        counter_width / with_counter_width: u8 15, 8;
        /// Bits 19:16: event categories, each with its event capabilities.
        categories / with_categories: u8 19, 16;
        /// Bits 35:20: a bit for each category that any counter can count.
        global_categories / with_global_categories: u16 35, 20;
        /// Bits 43:36: a bit for each [`Filter`].
        filters / with_filters: u8 43, 36;
        /// Bit 52: each counter has capabilities of its own.
        per_counter_capabilities / with_per_counter_capabilities: bit 52;
        /// Bit 53: counters may be written while they count.
        writeable_while_enabled / with_writeable_while_enabled: bit 53;
        /// Bit 54: counters can be frozen.
        freeze / with_freeze: bit 54;
        /// Bit 55: an overflow can raise an interrupt.
        overflow_interrupt / with_overflow_interrupt: bit 55;
    }
}

register! {
    /// Brings the registers back to their first values. The device clears the bits when that is done.
    ///
    /// Source: DSA §9.2.25.4.
    PerfRst: u32 {
        /// Bit 0: configuration, filters, overflow status and freeze.
        configuration / with_configuration: bit 0;
        /// Bit 1: counters.
        counters / with_counters: bit 1;
    }
}

register! {
    /// What a counter counts. While it is enabled, only that bit can be written.
    ///
    /// Source: DSA §9.2.25.7.
    CntrCfg: u64 {
        /// Bit 0.
        enable / with_enable: bit 0;
        /// Bit 1: interrupt 0 on overflow.
        overflow_interrupt / with_overflow_interrupt: bit 1;
        /// Bit 2: an overflow of this counter freezes all.
        global_freeze / with_global_freeze: bit 2;
        /// Bits 11:8: see [`Category`].
        category / with_category: u8 11, 8;
        /// Bits 59:32: a bit for each event of the category; more than one are added up.
        events / with_events: u32 59, 32;
    }
}

impl CntrCfg {
    /// The bits that have a meaning.
    pub const MASK: u64 = 0x0fff_ffff_0000_0f07;
}

/// Kinds of events: the number in [`CntrCfg::category`].
///
/// Source: DSA §6.1, table 6-1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Category {
    /// Submissions.
    WorkQueue = 0,
    /// Dispatch and execution.
    Engine = 1,
    /// Translations and page requests.
    AddressTranslation = 2,
    /// Operations by type.
    Operations = 3,
    /// Completions and interrupts.
    Completions = 4,
    /// More operations by type. DSA 2.
    Operations2 = 5,
}

impl Category {
    /// Categories there are.
    pub const COUNT: usize = 6;
}

/// What a counter can be restricted by: the number of the filter register and of its bit in [`PerfCap::filters`].
///
/// Source: DSA §6.4, table 6-2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Filter {
    /// A bit for each work queue.
    WorkQueue = 0,
    /// A bit for each traffic class.
    TrafficClass = 1,
    /// Bits 0 to 2: 4 KiB, 2 MiB, 1 GiB.
    PageSize = 2,
    /// A bit for each [range of sizes](size_range).
    TransferSize = 3,
    /// A bit for each engine.
    Engine = 4,
    /// Bits 19:0 a PASID; bits 21:20 0 for that one, 1 for any, 2 for none, 3 for everything. DSA 2.
    Pasid = 5,
}

impl Filter {
    /// Filters there are.
    pub const COUNT: usize = 6;

    /// The value that lets everything pass.
    #[must_use]
    pub const fn open(self) -> u32 {
        match self {
            Self::Pasid => 0x3f_ffff,
            _ => 0xffff,
        }
    }
}

/// The bit of [`Filter::TransferSize`] for a transfer of `bytes`.
#[must_use]
pub const fn size_range(bytes: u64) -> u32 {
    match bytes {
        0..0x200 => 1 << 0,
        0x200..0x800 => 1 << 1,
        0x800..0x1000 => 1 << 2,
        0x1000..0x4000 => 1 << 3,
        0x4000..0x10_0000 => 1 << 4,
        0x10_0000..0x400_0000 => 1 << 5,
        0x400_0000..0x4000_0000 => 1 << 6,
        _ => 1 << 7,
    }
}

/// Events, by category (DSA appendix D.1): those that are architectural and that the emulated device counts.
pub mod event {
    /// Work queue: accepted through a limited portal.
    pub const SWQ_SUCCESS_LIMITED: u32 = 0x1;
    /// Work queue: turned away at a limited portal.
    pub const SWQ_RETRY_LIMITED: u32 = 0x2;
    /// Work queue: accepted through an unlimited portal.
    pub const SWQ_SUCCESS_UNLIMITED: u32 = 0x4;
    /// Work queue: turned away at an unlimited portal.
    pub const SWQ_RETRY_UNLIMITED: u32 = 0x8;
    /// Work queue: accepted by a dedicated one.
    pub const DWQ_SUCCESS: u32 = 0x10;
    /// Work queue: dropped because a dedicated one is full.
    pub const DWQ_FULL: u32 = 0x20;
    /// Work queue: discarded by a submission check. DSA 2.
    pub const WQ_DISCARD: u32 = 0x40;
    /// Engine: input in units of 32 bytes.
    pub const CL_PROCESSED: u32 = 0x1;
    /// Engine: output in units of 32 bytes; of 512 on IAA.
    pub const CL_WRITE: u32 = 0x2;
    /// Engine: descriptors that read a source.
    pub const NUM_READ: u32 = 0x4;
    /// Engine: descriptors that write a destination.
    pub const NUM_WRITE: u32 = 0x8;
    /// Engine: descriptors from batches.
    pub const DESC_FROM_BATCH: u32 = 0x10;
    /// Engine: descriptors from work queues.
    pub const DESC_FROM_WQ: u32 = 0x20;
    /// Address translation: page requests answered with success.
    pub const PRS_SUCCESS: u32 = 0x10;
    /// Address translation: page requests answered "invalid".
    pub const PRS_INVALID: u32 = 0x20;
    /// Completions: MSI-X messages.
    pub const NUM_MSIX: u32 = 0x1;
    /// Completions: messages of the interrupt message storage.
    pub const NUM_IMS: u32 = 0x2;
    /// Completions: partial.
    pub const CPL_PARTIAL: u32 = 0x4;
    /// Completions: errors.
    pub const CPL_ERR: u32 = 0x8;
    /// Completions: success.
    pub const CPL_SUCCESS: u32 = 0x10;
    /// Completions: records written.
    pub const CPL_WRITES: u32 = 0x20;
}
