//! Update window, and the operations that are a copy, a fill or a comparison between address spaces.
//!
//! uapi has none of them, and no kernel an interface to fill in the permissions table: descriptors only.

use super::numeric::{HANDLE_1, HANDLE_2};
use super::{DST_ADDR, Descriptor, PATTERN_HIGH, SRC_ADDR, halves};
use crate::field::Field;
use crate::{
    Alternate, DstAddr, Flags, IdptHandle, Opcode, Permissions, SrcAddr, Window, WindowFlags, WindowRange,
};

const WINDOW_BASE: Field<u64> = SRC_ADDR;
const WINDOW_SIZE: Field<u64> = DST_ADDR;
/// Byte 61: table 5-3 reserves bytes 60:38, where the figure of §8.3.27 draws the field two bytes wide. The header of
/// Intel's own user-space tools has it here too.
const WINDOW_FLAGS: Field<u8> = Field::at(61);

/// Inter-domain operations, since DSA 2, on devices with [`GenCap::inter_domain`](crate::GenCap::inter_domain). What
/// their handles stand for is in [`PermissionEntry`](crate::PermissionEntry). No kernel interface yet.
impl Descriptor {
    /// Gives the entry behind `handle`, whose space the submitter owns, another window (DSA §8.3.27). Not in a batch.
    #[must_use]
    pub fn update_window(handle: IdptHandle, permissions: Permissions, window: Window) -> Self {
        let range = window.range();
        let (base, size) = (range.map_or(0, WindowRange::base), range.map_or(0, WindowRange::size));
        let mut this = Self::transfer(Opcode::UPDATE_WINDOW, base, size, 0);
        WINDOW_FLAGS.write(&mut this.bytes, WindowFlags::new(permissions, window).bits());
        HANDLE_2.write(&mut this.bytes, handle.0);
        this
    }

    /// Update window: does not wait for descriptors that still use the old window. Needs
    /// [`IdCap::suppress_drain`](crate::register::IdCap::suppress_drain).
    #[must_use]
    pub fn with_drain_suppressed(self) -> Self {
        self.with_flags(Flags::SUPPRESS_DRAIN)
    }

    /// Copies between address spaces (DSA §8.3.28). The ranges do not overlap.
    #[must_use]
    pub fn inter_domain_copy(src: SrcAddr, dst: DstAddr, xfer_size: u32, alternate: Alternate) -> Self {
        Self::transfer(Opcode::INTER_DOMAIN_COPY, src.0, dst.0, xfer_size).with_alternate(Some(alternate))
    }

    /// Repeats the 8 bytes of `pattern`, lowest first, in another address space (DSA §8.3.29).
    #[must_use]
    pub fn inter_domain_fill(pattern: u64, dst: DstAddr, xfer_size: u32, handle: IdptHandle) -> Self {
        Self::transfer(Opcode::INTER_DOMAIN_FILL, pattern, dst.0, xfer_size)
            .with_alternate(Some(Alternate::Dst(handle)))
    }

    /// Repeats the 16 bytes of `pattern`, lowest first, in another address space (DSA §8.3.29). Needs
    /// [`GenCap::fill_16`](crate::GenCap::fill_16).
    #[must_use]
    pub fn inter_domain_fill_16(pattern: u128, dst: DstAddr, xfer_size: u32, handle: IdptHandle) -> Self {
        let (low, high) = halves(pattern);
        let mut this = Self::inter_domain_fill(low, dst, xfer_size, handle).with_flags(Flags::PATTERN_16);
        PATTERN_HIGH.write(&mut this.bytes, high);
        this
    }

    /// Compares between address spaces (DSA §8.3.30).
    #[must_use]
    pub fn inter_domain_compare(src1: SrcAddr, src2: SrcAddr, xfer_size: u32, alternate: Alternate) -> Self {
        Self::transfer(Opcode::INTER_DOMAIN_COMPARE, src1.0, src2.0, xfer_size)
            .with_alternate(Some(alternate))
    }

    /// Compares a range of another address space with the repeated 8 bytes of `pattern`, lowest first (DSA §8.3.31).
    #[must_use]
    pub fn inter_domain_compare_pattern(
        src: SrcAddr,
        pattern: u64,
        xfer_size: u32,
        handle: IdptHandle,
    ) -> Self {
        Self::transfer(Opcode::INTER_DOMAIN_COMPARE_PATTERN, src.0, pattern, xfer_size)
            .with_alternate(Some(Alternate::Src(handle)))
    }

    pub(super) fn with_alternate(mut self, alternate: Option<Alternate>) -> Self {
        let sides = [
            (HANDLE_1, Flags::ALTERNATE_SRC_PASID, alternate.and_then(Alternate::src)),
            (HANDLE_2, Flags::ALTERNATE_DST_PASID, alternate.and_then(Alternate::dst)),
        ];
        for (field, flag, handle) in sides {
            if let Some(IdptHandle(handle)) = handle {
                field.write(&mut self.bytes, handle);
                self = self.with_flags(flag);
            }
        }
        self
    }
}

/// What a device reads of inter-domain operations.
impl Descriptor {
    /// Bytes 61:60: the handle of the source or source 1, or handle 1 of a reduce (§8.3.28, §8.3.20).
    #[must_use]
    pub fn src_handle(&self) -> IdptHandle {
        IdptHandle(HANDLE_1.read(&self.bytes))
    }

    /// Bytes 63:62: the handle of the destination or source 2, or handle 2 of a reduce, or that of an update window
    /// (§8.3.28, §8.3.20, §8.3.27).
    #[must_use]
    pub fn dst_handle(&self) -> IdptHandle {
        IdptHandle(HANDLE_2.read(&self.bytes))
    }

    /// Update window: bytes 23:16 (§8.3.27).
    #[must_use]
    pub fn window_base(&self) -> u64 {
        WINDOW_BASE.read(&self.bytes)
    }

    /// Update window: bytes 31:24, in bytes (§8.3.27).
    #[must_use]
    pub fn window_size(&self) -> u64 {
        WINDOW_SIZE.read(&self.bytes)
    }

    /// Update window: byte 61 (§8.3.27, table 8-26), unknown bits included.
    #[must_use]
    pub fn window_flags(&self) -> WindowFlags {
        WindowFlags::from_bits_retain(WINDOW_FLAGS.read(&self.bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Byte for byte as table 5-3 and the figures of §8.3.27 to §8.3.31 have them.
    #[test]
    fn fields_are_where_the_figures_have_them() {
        let window = Window::Offsets(WindowRange::new(0x1122, 0x3344).unwrap());
        let update =
            Descriptor::update_window(IdptHandle(0x5566), Permissions::Write, window).with_drain_suppressed();
        let bytes = update.as_bytes();
        assert_eq!((&bytes[4..8], bytes[16], bytes[24]), (&[0, 0, 1, 0x21][..], 0x22, 0x44));
        assert_eq!((&bytes[32..61], &bytes[61..]), (&[0; 29][..], &[0b1110, 0x66, 0x55][..]));

        let (src, dst, handle) = (SrcAddr(0x22), DstAddr(0x44), IdptHandle(0x77));
        let both = Alternate::Both { src: handle, dst: IdptHandle(0x88) };
        let cases = [
            (Descriptor::inter_domain_copy(src, dst, 9, both), [3, 0x23], 0x22, 0x44, [0x77, 0, 0x88, 0]),
            (
                Descriptor::inter_domain_copy(src, dst, 9, Alternate::Src(handle)),
                [1, 0x23],
                0x22,
                0x44,
                [0x77, 0, 0, 0],
            ),
            (Descriptor::inter_domain_fill(0x11, dst, 9, handle), [2, 0x24], 0x11, 0x44, [0, 0, 0x77, 0]),
            (
                Descriptor::inter_domain_compare(src, SrcAddr(0x33), 9, both),
                [3, 0x25],
                0x22,
                0x33,
                [0x77, 0, 0x88, 0],
            ),
            (
                Descriptor::inter_domain_compare_pattern(src, 0x33, 9, handle),
                [1, 0x26],
                0x22,
                0x33,
                [0x77, 0, 0, 0],
            ),
        ];
        for (descriptor, head, at_16, at_24, tail) in cases {
            let bytes = descriptor.as_bytes();
            assert_eq!((&bytes[6..8], bytes[16], bytes[24]), (&head[..], at_16, at_24));
            assert_eq!((bytes[32], &bytes[40..60], &bytes[60..]), (9, &[0; 20][..], &tail[..]));
        }
        let fill = Descriptor::inter_domain_fill_16(0x99_u128 << 64 | 0x11, dst, 9, handle);
        assert_eq!((fill.as_bytes()[6], fill.pattern_16()), (6, 0x99_u128 << 64 | 0x11));
    }
}
