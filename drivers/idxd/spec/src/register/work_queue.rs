//! The configuration of one work queue.

use super::{OpCap, bits_u8, bits_u16, bits_u32};

/// The configuration of one work queue, as sixteen 32-bit words: entry *n* of the work queue table is at
/// `wq_config() + n * wqcfg_size()`. A device with entries of 32 bytes has words 0 to 7, and no
/// [`operations`](Self::operations).
///
/// Source: DSA §9.2.24.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct WqCfg(pub [u32; 16]);

macro_rules! fields {
    ($($(#[$doc:meta])* $field:ident / $setter:ident: $kind:tt $word:literal, $high:literal, $low:literal;)*) => {
        impl WqCfg {$(
            $(#[$doc])*
            #[must_use]
            pub const fn $field(&self) -> $kind {
                fields!(@read $kind self.0[$word] as u64, $high, $low)
            }

            #[doc = concat!("Sets [`", stringify!($field), "`](Self::", stringify!($field), "). Bits beyond it are dropped.")]
            #[must_use]
            pub const fn $setter(mut self, value: $kind) -> Self {
                let mask = u32::MAX >> (31 - $high + $low);
                self.0[$word] = self.0[$word] & !(mask << $low) | (value as u32 & mask) << $low;
                self
            }
        )*}
    };
    (@read bool $word:expr, $high:literal, $low:literal) => { super::bit($word, $low) };
    (@read u8 $word:expr, $high:literal, $low:literal) => { bits_u8($word, $high, $low) };
    (@read u16 $word:expr, $high:literal, $low:literal) => { bits_u16($word, $high, $low) };
    (@read u32 $word:expr, $high:literal, $low:literal) => { bits_u32($word, $high, $low) };
}

fields! {
    /// Bytes 3:0, bits 15:0: entries of this work queue; 0 if it is not used.
    size / with_size: u16 0, 15, 0;
    /// Bytes 7:4, bits 15:0: entries that may be filled through a limited portal.
    threshold / with_threshold: u16 1, 15, 0;
    /// Bytes 11:8, bit 0: dedicated to one submitter, else shared.
    dedicated / with_dedicated: bool 2, 0, 0;
    /// Bytes 11:8, bit 1: descriptors may block on faults.
    block_on_fault / with_block_on_fault: bool 2, 1, 1;
    /// Bytes 11:8, bit 2: translations are not cached in the device.
    ats_disable / with_ats_disable: bool 2, 2, 2;
    /// Bytes 11:8, bit 3: missing pages are not asked for.
    prs_disable / with_prs_disable: bool 2, 3, 3;
    /// Bytes 11:8, bits 7:4: 1 to 15.
    priority / with_priority: u8 2, 7, 4;
    /// Bytes 11:8, bits 27:8: the PASID of a dedicated work queue.
    pasid / with_pasid: u32 2, 27, 8;
    /// Bytes 11:8, bit 28: translations are made with a PASID.
    pasid_enable / with_pasid_enable: bool 2, 28, 28;
    /// Bytes 11:8, bit 29: the privilege of a dedicated work queue.
    privileged / with_privileged: bool 2, 29, 29;
    /// Bytes 15:12, bits 4:0: log2 of the largest transfer in bytes.
    transfer_bytes_max_log2 / with_transfer_bytes_max_log2: u8 3, 4, 0;
    /// Bytes 15:12, bits 8:5: log2 of the largest batch in descriptors.
    batch_descriptors_max_log2 / with_batch_descriptors_max_log2: u8 3, 8, 5;
    /// Bytes 15:12, bits 12:9: log2 of the largest scatter-gather list in entries.
    list_entries_max_log2 / with_list_entries_max_log2: u8 3, 12, 9;
    /// Bytes 19:16, bits 15:0: the handle of the occupancy interrupt.
    occupancy_interrupt_handle / with_occupancy_interrupt_handle: u16 4, 15, 0;
    /// Bytes 19:16, bit 16: the handle is for the interrupt message storage, not for MSI-X.
    occupancy_interrupt_storage / with_occupancy_interrupt_storage: bool 4, 16, 16;
    /// Bytes 23:20, bits 15:0: occupancy at or below this raises the interrupt.
    occupancy_limit / with_occupancy_limit: u16 5, 15, 0;
    /// Bytes 23:20, bit 16: the occupancy interrupt is enabled.
    occupancy_interrupt / with_occupancy_interrupt: bool 5, 16, 16;
    /// Bytes 27:24, bits 15:0: entries in use now, or rather a moment ago.
    occupancy / with_occupancy: u16 6, 15, 0;
    /// Bytes 27:24, bit 16: an occupancy interrupt was raised. Writing 1 clears it.
    occupancy_interrupt_raised / with_occupancy_interrupt_raised: bool 6, 16, 16;
    /// Bytes 27:24, bit 29: on a device that cannot be configured, the mode can.
    mode_configurable / with_mode_configurable: bool 6, 29, 29;
}

impl WqCfg {
    /// Bytes 27:24, bits 31:30.
    #[must_use]
    pub const fn state(&self) -> WqState {
        WqState(bits_u8(self.0[6] as u64, 31, 30))
    }

    /// Sets [`state`](Self::state).
    #[must_use]
    pub const fn with_state(mut self, state: WqState) -> Self {
        self.0[6] = self.0[6] & 0x3fff_ffff | (state.0 as u32) << 30;
        self
    }

    /// The largest transfer in bytes.
    #[must_use]
    pub const fn transfer_bytes_max(&self) -> u64 {
        1 << self.transfer_bytes_max_log2()
    }

    /// The largest batch in descriptors.
    #[must_use]
    pub const fn batch_descriptors_max(&self) -> u32 {
        1 << self.batch_descriptors_max_log2()
    }

    /// Bytes 63:32: the operations allowed, where [`WqCap::operation_config`](super::WqCap::operation_config).
    #[must_use]
    pub fn operations(&self) -> OpCap {
        let word = |at: usize| u64::from(self.0[at]) | u64::from(self.0[at + 1]) << 32;
        OpCap([word(8), word(10), word(12), word(14)])
    }

    /// Sets [`operations`](Self::operations).
    #[must_use]
    pub fn with_operations(mut self, operations: OpCap) -> Self {
        for (words, mask) in self.0[8..].chunks_exact_mut(2).zip(operations.0) {
            words[0] = bits_u32(mask, 31, 0);
            words[1] = bits_u32(mask, 63, 32);
        }
        self
    }
}

/// Bits 31:30 of bytes 27:24 of [`WqCfg`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WqState(pub u8);

impl WqState {
    /// Descriptors are not accepted.
    pub const DISABLED: Self = Self(0);
    /// Descriptors are accepted.
    pub const ENABLED: Self = Self(1);
    /// A disable or a reset is in progress.
    pub const DRAINING: Self = Self(2);
}
