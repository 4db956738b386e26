//! Who may raise which interrupt, and the messages that are not in the MSI-X table.

use super::register;

register! {
    /// The permissions of one entry of the MSI-X table: 4 bytes every 8, at `msix_permissions()`.
    ///
    /// Source: DSA §9.2.22.
    MsixPerm: u32 {
        /// Bit 2: descriptors raise nothing with this entry.
        ignore / with_ignore: bit 2;
        /// Bit 3: only descriptors with [`pasid`](Self::pasid); else only those without a PASID.
        pasid_enable / with_pasid_enable: bit 3;
        /// Bits 31:12.
        pasid / with_pasid: u32 31, 12;
    }
}

impl MsixPerm {
    /// Bytes from one entry to the next.
    pub const STRIDE: u64 = 8;
    /// The bits that have a meaning.
    pub const MASK: u32 = 0xffff_f00c;
}

register! {
    /// The last four bytes of an entry of the interrupt message storage.
    ///
    /// Source: DSA §9.2.28.
    ImsControl: u32 {
        /// Bit 0: the interrupt is held back.
        mask / with_mask: bit 0;
        /// Bit 1: an interrupt was held back.
        pending / with_pending: bit 1;
        /// Bit 2: descriptors raise nothing with this entry.
        ignore / with_ignore: bit 2;
        /// Bit 3: only descriptors with [`pasid`](Self::pasid); else only those without a PASID.
        pasid_enable / with_pasid_enable: bit 3;
        /// Bits 31:12.
        pasid / with_pasid: u32 31, 12;
    }
}

impl ImsControl {
    /// The bits that software writes.
    pub const MASK: u32 = 0xffff_f00d;
    /// Bytes of an entry: 8 of message address, 4 of message data, and this.
    pub const ENTRY_SIZE: u64 = 16;
    /// What the message address of an entry is at first, and what its upper 44 bits always are.
    pub const ADDRESS: u64 = 0xfee0_0000;
    /// Entries for each unit of [`GenCap::interrupt_storage_units`](super::GenCap::interrupt_storage_units).
    pub const ENTRIES_PER_UNIT: u16 = 256;
}

/// The operand of the commands that request and release an interrupt handle.
///
/// Source: DSA §9.2.12, table 9-5.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct InterruptEntry {
    /// Bits 15:0: the entry.
    pub index: u16,
    /// Bit 16: of the interrupt message storage, not of the MSI-X table.
    pub storage: bool,
}

impl InterruptEntry {
    /// The operand as [`Cmd`](super::Cmd) has it.
    #[must_use]
    pub const fn operand(self) -> u32 {
        (self.storage as u32) << 16 | self.index as u32
    }

    /// Reads an operand; `None` if a reserved bit is set.
    #[must_use]
    pub const fn from_operand(operand: u32) -> Option<Self> {
        if operand >> 17 != 0 {
            return None;
        }
        let index = super::bits_u16(operand as u64, 15, 0);
        Some(Self { index, storage: super::bit(operand as u64, 16) })
    }
}
