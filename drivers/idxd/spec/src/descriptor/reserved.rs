//! Which bytes of a descriptor have to be zero.

mod domain;

use core::ops::Range;

use super::{
    COMPLETION_ADDR, CRC_SEED_ADDR, CRC64_SEED, Descriptor, INT_HANDLE, PATTERN_HIGH, REGION_STRIDE,
};
use super::{DST_ADDR, SRC_ADDR};
use crate::{Flags, Opcode};

impl Descriptor {
    /// The first reserved bytes that are not zero, if any: what a device answers with status 0x12.
    ///
    /// Covers what follows from the descriptor itself: the bytes its operation does not use, and those its flags turn
    /// off. Left to the caller, because it depends on more: the trusted fields (a dedicated work queue ignores them),
    /// flags (status 0x11), and fields that a capability turns off, such as the upper half of the pattern before DSA 2.
    /// `None` for an operation without a name here.
    ///
    /// Source: DSA §5.5, tables 5-3 and 5-4.
    #[must_use]
    pub fn reserved_nonzero(&self) -> Option<Range<usize>> {
        let conditional = [
            (Flags::COMPLETION_ADDR_VALID, COMPLETION_ADDR.range()),
            (Flags::REQUEST_INTERRUPT, INT_HANDLE.range()),
        ];
        let unused = conditional.into_iter().filter(|(flag, _)| !self.flags().contains(*flag));
        let by_flag = unused.map(|(_, range)| range);
        let by_opcode = self.reserved_by_opcode().iter().map(|&(start, end)| start..end);
        by_flag
            .chain(self.reserved_by_operation_flag())
            .chain(by_opcode)
            .chain(self.reserved_by_domain())
            .find(|range| self.is_nonzero(range.clone()))
            .or_else(|| self.reserved_halves())
    }

    fn is_nonzero(&self, range: Range<usize>) -> bool {
        self.bytes[range].iter().any(|&byte| byte != 0)
    }

    /// Table 5-3, first byte and the one behind the last. The half bytes it lists are in
    /// [`reserved_halves`](Self::reserved_halves), the fields that a flag of the operation turns off in
    /// [`reserved_by_operation_flag`](Self::reserved_by_operation_flag) and
    /// [`reserved_by_domain`](Self::reserved_by_domain).
    fn reserved_by_opcode(&self) -> &'static [(usize, usize)] {
        match self.opcode() {
            Opcode::NOOP => &[(16, 36), (38, 64)],
            Opcode::BATCH => &[(24, 32), (38, 64)],
            Opcode::DRAIN => &[(32, 36), (38, 64)],
            Opcode::MEMMOVE => &[(38, 64)],
            Opcode::FILL => &[(38, 40), (48, 64)],
            Opcode::COMPARE | Opcode::COMPARE_PATTERN => &[(38, 40), (41, 64)],
            Opcode::CREATE_DELTA => &[(38, 40), (52, 56), (57, 64)],
            Opcode::APPLY_DELTA => &[(38, 40), (44, 64)],
            Opcode::DUALCAST => &[(38, 40), (48, 64)],
            Opcode::TRANSLATION_FETCH => &[(24, 32), (38, 48), (52, 64)],
            Opcode::CRC => &[(24, 32), (38, 40), (56, 64)],
            Opcode::COPY_CRC => &[(38, 40), (56, 64)],
            Opcode::DIF_CHECK => &[(24, 32), (38, 40), (41, 42), (43, 48), (56, 64)],
            Opcode::DIF_INSERT | Opcode::DIX_GENERATE => &[(38, 40), (40, 41), (43, 56)],
            Opcode::DIF_STRIP => &[(38, 40), (41, 42), (43, 48), (56, 64)],
            Opcode::DIF_UPDATE => &[(38, 40), (43, 48)],
            Opcode::TYPE_CONVERSION => &[(38, 56), (59, 60)],
            Opcode::REDUCE => &[(38, 40), (48, 56)],
            Opcode::REDUCE_DUALCAST => &[(38, 40)],
            Opcode::GATHER_REDUCE => &[(38, 44), (46, 48), (60, 64)],
            Opcode::GATHER_COPY | Opcode::SCATTER_COPY => &[(38, 40), (46, 48), (57, 59)],
            Opcode::SCATTER_FILL => &[(38, 40), (46, 48), (57, 59), (60, 62)],
            Opcode::CACHE_FLUSH => &[(16, 24), (38, 64)],
            Opcode::UPDATE_WINDOW => &[(32, 36), (38, 61)],
            Opcode::INTER_DOMAIN_COPY => &[(38, 60)],
            Opcode::INTER_DOMAIN_FILL => &[(38, 40), (48, 62)],
            Opcode::INTER_DOMAIN_COMPARE => &[(38, 40), (41, 60)],
            Opcode::INTER_DOMAIN_COMPARE_PATTERN => &[(38, 40), (41, 60), (62, 64)],
            _ => &[],
        }
    }

    /// Table 5-4 and the descriptions of the operations in §8.3.
    fn reserved_by_operation_flag(&self) -> impl Iterator<Item = Range<usize>> {
        let has = |flag| self.flags().contains(flag);
        let ranges = match self.opcode() {
            Opcode::DRAIN => [
                (!has(Flags::READBACK_ADDR_1_VALID), SRC_ADDR.range()),
                (!has(Flags::READBACK_ADDR_2_VALID), DST_ADDR.range()),
            ],
            Opcode::FILL | Opcode::INTER_DOMAIN_FILL => {
                [(!has(Flags::PATTERN_16), PATTERN_HIGH.range()), (false, 0..0)]
            }
            Opcode::TRANSLATION_FETCH => [(!has(Flags::USE_STRIDE), REGION_STRIDE.range()), (false, 0..0)],
            Opcode::CRC | Opcode::COPY_CRC if has(Flags::READ_CRC_SEED) => {
                [(true, CRC64_SEED.range()), (false, 0..0)]
            }
            Opcode::CRC | Opcode::COPY_CRC => [(!has(Flags::CRC64), 44..48), (true, CRC_SEED_ADDR.range())],
            _ => [(false, 0..0), (false, 0..0)],
        };
        ranges.into_iter().filter(|(reserved, _)| *reserved).map(|(_, range)| range)
    }
}

#[cfg(test)]
mod tests {
    use super::Descriptor;
    use crate::{DstAddr, Flags, SrcAddr};

    fn with_byte(descriptor: Descriptor, at: usize) -> Descriptor {
        let mut bytes = *descriptor.as_bytes();
        bytes[at] = 0x5a;
        Descriptor::from_bytes(bytes)
    }

    #[test]
    fn constructors_leave_reserved_bytes_zero() {
        let (src, dst) = (SrcAddr(u64::MAX), DstAddr(u64::MAX));
        for descriptor in [
            Descriptor::noop(),
            Descriptor::batch(src, u32::MAX),
            Descriptor::drain().with_readback_addr_1(1).with_readback_addr_2(1),
            Descriptor::memmove(src, dst, u32::MAX),
            Descriptor::fill(u64::MAX, dst, u32::MAX),
            Descriptor::fill_16(u128::MAX, dst, u32::MAX),
            Descriptor::compare(src, src, u32::MAX).with_expected_result(1),
            Descriptor::crc(src, u32::MAX, u32::MAX),
            Descriptor::crc(src, u32::MAX, u32::MAX).with_crc_seed_addr(u64::MAX),
            Descriptor::copy_crc64(src, dst, u32::MAX, u64::MAX),
            Descriptor::translation_fetch(src, u32::MAX).with_stride(4096),
            Descriptor::cache_flush(dst, u32::MAX),
        ] {
            let descriptor = descriptor.with_completion(u64::MAX).with_interrupt(u16::MAX);
            assert_eq!(descriptor.reserved_nonzero(), None, "{descriptor:?}");
            assert_eq!(with_byte(descriptor, 38).reserved_nonzero().map(|range| range.start), Some(38));
        }
    }

    #[test]
    fn flags_decide_what_is_reserved() {
        let descriptor = Descriptor::noop().with_completion(0x20);
        assert_eq!(descriptor.without_flags(Flags::COMPLETION_ADDR_VALID).reserved_nonzero(), Some(8..16));
        let fill = with_byte(Descriptor::fill(0, DstAddr(0), 8), 47);
        assert_eq!(fill.reserved_nonzero(), Some(40..48));
        assert_eq!(fill.with_flags(Flags::PATTERN_16).reserved_nonzero(), None);
    }
}
