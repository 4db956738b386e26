//! Where the event log is and how far it is.

use super::{bit, bits, bits_u16, bits_u32, register};

/// The configuration of the event log, 16 bytes. Written while the device is disabled.
///
/// Source: DSA §9.2.16.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct EvlCfg(pub [u64; 2]);

impl EvlCfg {
    /// The bits that have a meaning: the others are reserved and read as 0.
    pub const MASK: [u64; 2] = [0xffff_ffff_ffff_f003, 0x0000_000f_ffff_ffff];
    /// Entries of the smallest log (DSA §5.1).
    pub const SIZE_MIN: u16 = 64;

    /// A log of `size` entries at `base`, written without a PASID.
    #[must_use]
    pub const fn new(base: u64, size: u16) -> Self {
        Self([base & !0xfff, size as u64])
    }

    /// Word 0, bit 0: writes to the log carry [`pasid`](Self::pasid).
    #[must_use]
    pub const fn pasid_enable(&self) -> bool {
        bit(self.0[0], 0)
    }

    /// Word 0, bit 1: writes to the log are privileged.
    #[must_use]
    pub const fn privileged(&self) -> bool {
        bit(self.0[0], 1)
    }

    /// Word 0, bits 63:12: where the log starts, aligned to 4 KiB.
    #[must_use]
    pub const fn base(&self) -> u64 {
        self.0[0] & !0xfff
    }

    /// Word 1, bits 15:0: entries. One of them is always free.
    #[must_use]
    pub const fn size(&self) -> u16 {
        bits_u16(self.0[1], 15, 0)
    }

    /// Word 1, bits 35:16.
    #[must_use]
    pub const fn pasid(&self) -> u32 {
        bits_u32(self.0[1], 35, 16)
    }

    /// Sets [`pasid`](Self::pasid) and [`pasid_enable`](Self::pasid_enable).
    #[must_use]
    pub const fn with_pasid(mut self, pasid: u32, privileged: bool) -> Self {
        self.0[0] |= 1 | (privileged as u64) << 1;
        self.0[1] = self.0[1] & 0xffff | bits(pasid as u64, 19, 0) << 16;
        self
    }
}

register! {
    /// How far the event log is. It is full when the tail is one entry before the head.
    ///
    /// Source: DSA §9.2.17.
    EvlStatus: u64 {
        /// Bits 15:0: the entry that software processes next.
        head / with_head: u16 15, 0;
        /// Bits 47:32: the entry that the device writes next.
        tail / with_tail: u16 47, 32;
        /// Bit 62: an interrupt was raised. Writing 1 clears it.
        interrupt_pending / with_interrupt_pending: bit 62;
    }
}
