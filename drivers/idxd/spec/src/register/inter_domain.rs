//! What the device can do across address spaces.

use super::register;

register! {
    /// Inter-domain capabilities; there if [`GenCap::inter_domain`](super::GenCap::inter_domain).
    ///
    /// Source: DSA §9.2.18.
    IdCap: u64 {
        /// Bit 0: entries of type 0, SASS.
        single_submitter / with_single_submitter: bit 0;
        /// Bit 1: entries of type 1, SAMS.
        submitter_bitmap / with_submitter_bitmap: bit 1;
        /// Bits 23:8: entries of the permissions table.
        permission_entries / with_permission_entries: u16 23, 8;
        /// Bit 24: windows in offset mode.
        offset_mode / with_offset_mode: bit 24;
        /// Bit 25: update window descriptors may suppress their drain.
        suppress_drain / with_suppress_drain: bit 25;
        /// Bits 27:26: see [`permission_entry_size`](Self::permission_entry_size).
        permission_entry_size_log2 / with_permission_entry_size_log2: u8 27, 26;
    }
}

impl IdCap {
    /// Bytes of an entry of the permissions table: 32 to 256.
    #[must_use]
    pub const fn permission_entry_size(self) -> u32 {
        32 << self.permission_entry_size_log2()
    }
}

register! {
    /// How submitter bitmaps are read.
    ///
    /// Source: DSA §9.2.19.
    Idbr: u32 {
        /// Bit 0: with the PASID below.
        pasid_enable / with_pasid_enable: bit 0;
        /// Bit 1: privileged.
        privileged / with_privileged: bit 1;
        /// Bits 4:2: traffic class.
        traffic_class / with_traffic_class: u8 4, 2;
        /// Bits 27:8.
        pasid / with_pasid: u32 27, 8;
    }
}

#[cfg(test)]
mod tests {
    use super::{IdCap, Idbr};

    #[test]
    fn fields_are_where_the_tables_have_them() {
        let cap = IdCap(0).with_submitter_bitmap(true).with_permission_entries(0x1234).with_offset_mode(true);
        assert_eq!(cap.with_permission_entry_size_log2(1).0, 1 << 26 | 1 << 24 | 0x1234 << 8 | 2);
        assert_eq!(cap.permission_entry_size(), 32);
        assert_eq!(Idbr(0).with_pasid(0xf_ffff).with_pasid_enable(true).0, 0x0fff_ff01);
    }
}
