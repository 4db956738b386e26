//! Delta records: what differs between two ranges, and where.

use crate::{DstAddr, SrcAddr};

/// What [`Descriptor::create_delta`](crate::Descriptor::create_delta) compares and where it writes the differences.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CreateDelta {
    /// The range as it was; 8-byte aligned.
    pub src1_addr: SrcAddr,
    /// The range as it is now; 8-byte aligned.
    pub src2_addr: SrcAddr,
    /// Bytes of each range, a multiple of 8, at most [`CreateDelta::XFER_SIZE_MAX`].
    pub xfer_size: u32,
    /// Where the record goes.
    pub delta_addr: DstAddr,
    /// Bytes there, a multiple of 10, at least [`CreateDelta::DELTA_SIZE_MIN`].
    pub delta_size_max: u32,
}

impl CreateDelta {
    /// Bytes an entry of a record has: an offset of 2 bytes in units of 8, little-endian, and 8 bytes of data.
    pub const ENTRY_SIZE: u32 = 10;
    /// Bytes that 16-bit offsets in units of 8 reach (§8.3.8).
    pub const XFER_SIZE_MAX: u32 = 0x8_0000;
    /// Bytes the differences of one cache line can take (§8.3.8).
    pub const DELTA_SIZE_MIN: u32 = 80;

    /// Moves the entries of `record` up by `bytes`, so that they continue a record whose source starts that much
    /// earlier. Says whether all offsets still fit in 16 bits; if not, the record is of no use.
    ///
    /// The entries that a resumed operation writes count from its own source addresses, which
    /// [`resume`](crate::resume) has moved up: without this, the two parts are not one record.
    #[must_use]
    pub fn rebase(record: &mut [u8], bytes: u32) -> bool {
        let mut fits = true;
        for entry in record.chunks_exact_mut(Self::ENTRY_SIZE as usize) {
            let offset = u32::from(u16::from_le_bytes([entry[0], entry[1]])).checked_add(bytes / 8);
            match offset.and_then(|offset| u16::try_from(offset).ok()) {
                Some(offset) => entry[..2].copy_from_slice(&offset.to_le_bytes()),
                None => fits = false,
            }
        }
        fits
    }
}

/// What [`Descriptor::apply_delta`](crate::Descriptor::apply_delta) applies and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApplyDelta {
    /// The record.
    pub delta_addr: SrcAddr,
    /// Bytes of the record, as the completion of the create delta operation reports them; at least 10.
    pub delta_size: u32,
    /// A range with what source 1 had; 8-byte aligned.
    pub dst_addr: DstAddr,
    /// Bytes of the range: those of the create delta operation, a multiple of 8.
    pub xfer_size: u32,
}
