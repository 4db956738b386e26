//! Which work queues and engines work together.

use super::register;

/// The configuration of one group: entry *n* of the group table is at `group_config() + n * GrpCfg::SIZE`.
///
/// Source: DSA §9.2.23.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct GrpCfg {
    /// Bytes 31:0: bit *n* puts work queue *n* in the group.
    pub wqs: [u64; 4],
    /// Bytes 39:32: bit *n* puts engine *n* in the group.
    pub engines: u64,
    /// Bytes 47:40.
    pub flags: GrpFlags,
}

impl GrpCfg {
    /// Bytes from one group to the next.
    pub const SIZE: u64 = 64;
    /// Offset of [`wqs`](Self::wqs) in the entry.
    pub const WQS: u64 = 0;
    /// Offset of [`engines`](Self::engines) in the entry.
    pub const ENGINES: u64 = 32;
    /// Offset of [`flags`](Self::flags) in the entry.
    pub const FLAGS: u64 = 40;

    /// Whether work queue `wq` is in the group.
    #[must_use]
    pub const fn has_wq(&self, wq: u8) -> bool {
        super::bit(self.wqs[(wq >> 6) as usize], (wq & 63) as u32)
    }

    /// Whether engine `engine` is in the group. There are at most 64.
    #[must_use]
    pub const fn has_engine(&self, engine: u8) -> bool {
        engine < 64 && super::bit(self.engines, engine as u32)
    }
}

register! {
    /// Traffic classes, read buffers and limits of a group.
    ///
    /// Source: DSA §9.2.23.
    GrpFlags: u64 {
        /// Bits 2:0: the traffic class for a selector of 0.
        tc_a / with_tc_a: u8 2, 0;
        /// Bits 5:3: the traffic class for a selector of 1.
        tc_b / with_tc_b: u8 5, 3;
        /// Bit 7: the global read buffer limit applies.
        global_read_buffer_limit / with_global_read_buffer_limit: bit 7;
        /// Bits 15:8: read buffers of this group alone.
        read_buffers_reserved / with_read_buffers_reserved: u8 15, 8;
        /// Bits 27:20: read buffers the group may have in use.
        read_buffers_allowed / with_read_buffers_allowed: u8 27, 20;
        /// Bits 33:32: work descriptors in progress, the maximum shifted right by this.
        work_in_progress_shift / with_work_in_progress_shift: u8 33, 32;
        /// Bits 37:36: batch descriptors in progress, the maximum shifted right by this.
        batches_in_progress_shift / with_batches_in_progress_shift: u8 37, 36;
        /// Bits 43:40: read bandwidth, the maximum shifted right by this, at most 3.
        read_bandwidth_shift / with_read_bandwidth_shift: u8 43, 40;
        /// Bits 47:44: write bandwidth, the maximum shifted right by this, at most 3.
        write_bandwidth_shift / with_write_bandwidth_shift: u8 47, 44;
    }
}
