//! What a descriptor asks of the device beside the operation itself.
//!
//! Bits 15:0 mean the same for every operation and have names that print. Bits 23:16 mean something else for each
//! operation, so the constants for them are values of [`Flags`] that print as hexadecimal: which name is right depends
//! on the opcode beside them.

use bitflags::bitflags;

bitflags! {
    /// Bits 23:0 of bytes 4 to 7 of a descriptor; [`Opcode`](crate::Opcode) is in bits 31:24.
    ///
    /// Unknown bits survive: read with `from_bits_retain`. Which bits an operation allows is in DSA table 5-3.
    ///
    /// Source: DSA §8.1.3, table 8-3; IAA §6.1.3, table 6-3.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct Flags: u32 {
        /// Bit 0: start only when all earlier descriptors of the batch have completed. Only inside a batch, and not on
        /// IAA. DSA §3.8; uapi `IDXD_OP_FLAG_FENCE`.
        const FENCE = 1 << 0;
        /// Bit 1: on a page fault ask for the page and wait, instead of completing partially. Reserved where the work
        /// queue does not enable it. DSA §3.13; uapi `IDXD_OP_FLAG_BOF`.
        const BLOCK_ON_FAULT = 1 << 1;
        /// Bit 2: the completion record address is valid. uapi `IDXD_OP_FLAG_CRAV`.
        const COMPLETION_ADDR_VALID = 1 << 2;
        /// Bit 3: write a completion record always, not only for an error. Needs
        /// [`COMPLETION_ADDR_VALID`](Self::COMPLETION_ADDR_VALID). uapi `IDXD_OP_FLAG_RCR`.
        const REQUEST_COMPLETION = 1 << 3;
        /// Bit 4: raise the interrupt of the interrupt handle on completion. uapi `IDXD_OP_FLAG_RCI`.
        const REQUEST_INTERRUPT = 1 << 4;
        /// Bit 5: with bits 8 and 14 the cache control hint (DSA §8.1.3.1), since DSA 3; reserved before, and in the
        /// text of §5.5. uapi has the older name `IDXD_OP_FLAG_CRSTS`.
        const CACHE_CONTROL_3 = 1 << 5;
        /// Bit 7: compare the result with the expected one and report the outcome in the status.
        /// uapi `IDXD_OP_FLAG_CR`.
        const CHECK_RESULT = 1 << 7;
        /// Bit 8: with bits 5 and 14 the cache control hint: direct writes to the cache. DSA §8.1.3.1;
        /// uapi `IDXD_OP_FLAG_CC`.
        const CACHE_CONTROL_1 = 1 << 8;
        /// Bit 9: traffic class B for the first address. uapi `IDXD_OP_FLAG_ADDR1_TCS`.
        const ADDR1_TC = 1 << 9;
        /// Bit 10: traffic class B for the second address. uapi `IDXD_OP_FLAG_ADDR2_TCS`.
        const ADDR2_TC = 1 << 10;
        /// Bit 11: traffic class B for the third address; on IAA for source 2. uapi `IDXD_OP_FLAG_ADDR3_TCS`.
        const ADDR3_TC = 1 << 11;
        /// Bit 12: traffic class B for the completion record. uapi `IDXD_OP_FLAG_CR_TCS`.
        const COMPLETION_TC = 1 << 12;
        /// Bit 13: the writes of this descriptor become visible in order. uapi `IDXD_OP_FLAG_STORD`.
        const STRICT_ORDER = 1 << 13;
        /// Bit 14: with bits 5 and 8 the cache control hint: read the destination back. DSA §8.1.3.1, where it is
        /// "Cache Control 2"; IAA §6.1.3 and uapi `IDXD_OP_FLAG_DRDBK` call it destination readback.
        const CACHE_CONTROL_2 = 1 << 14;
        /// Bit 15: reserved in DSA §8.1.3. Kept because uapi names it, `IDXD_OP_FLAG_DSTS`.
        const DST_STEERING = 1 << 15;
    }
}

impl Flags {
    /// Bits 23:16: the meaning depends on the operation.
    pub const OP_SPECIFIC: Self = Self::from_bits_retain(0x00ff_0000);
    /// Bits 23:0: all the bits a descriptor has for flags.
    pub const FIELD: Self = Self::from_bits_retain(0x00ff_ffff);

    /// Batch, bit 16: an operation of this batch has failed before. DSA §8.3.2, table 8-14.
    pub const BATCH_ERROR: Self = Self::from_bits_retain(1 << 16);

    /// Drain, bit 16: readback address 1 is valid. DSA §8.3.3, table 8-15.
    pub const READBACK_ADDR_1_VALID: Self = Self::from_bits_retain(1 << 16);
    /// Drain, bit 17: readback address 2 is valid. DSA §8.3.3, table 8-15.
    pub const READBACK_ADDR_2_VALID: Self = Self::from_bits_retain(1 << 17);
    /// Drain, bit 18: no implicit readback on traffic class A. DSA §8.3.3, table 8-15.
    pub const SUPPRESS_READBACK_A: Self = Self::from_bits_retain(1 << 18);
    /// Drain, bit 19: no implicit readback on traffic class B. DSA §8.3.3, table 8-15.
    pub const SUPPRESS_READBACK_B: Self = Self::from_bits_retain(1 << 19);

    /// Fill, bit 18: the pattern has 16 bytes. DSA 2. DSA §8.3.5, table 8-16.
    pub const PATTERN_16: Self = Self::from_bits_retain(1 << 18);

    /// Translation fetch, bit 16: the stride field is used. DSA §8.3.11, table 8-18.
    pub const USE_STRIDE: Self = Self::from_bits_retain(1 << 16);

    /// CRC, bit 16: read the seed from memory. DSA §8.3.12, table 8-19.
    pub const READ_CRC_SEED: Self = Self::from_bits_retain(1 << 16);
    /// CRC, bit 17: neither invert nor reflect the seed and the result. DSA §8.3.12, table 8-19.
    pub const BYPASS_CRC_INVERSION: Self = Self::from_bits_retain(1 << 17);
    /// CRC, bit 18: bit 7 of each data byte comes first, not bit 0. DSA §8.3.12, table 8-19.
    pub const BYPASS_DATA_REFLECTION: Self = Self::from_bits_retain(1 << 18);
    /// CRC, bit 19: a 64-bit CRC. DSA 2. DSA §8.3.12, table 8-19.
    pub const CRC64: Self = Self::from_bits_retain(1 << 19);

    /// Inter-domain, type conversion and gather operations, bit 16: the source is in another address space.
    /// DSA §8.3.28, table 8-28.
    pub const ALTERNATE_SRC_PASID: Self = Self::from_bits_retain(1 << 16);
    /// As [`ALTERNATE_SRC_PASID`](Self::ALTERNATE_SRC_PASID) for the destination, bit 17. DSA §8.3.28, table 8-28.
    pub const ALTERNATE_DST_PASID: Self = Self::from_bits_retain(1 << 17);
    /// Reduce, bit 16: the inter-domain selector is used. DSA §8.3.20, table 8-21.
    pub const INTER_DOMAIN_SELECTOR: Self = Self::from_bits_retain(1 << 16);
    /// Reduce with dualcast, bit 17: traffic class B for destination 2. DSA §8.3.21, table 8-22.
    pub const DST2_TC: Self = Self::from_bits_retain(1 << 17);
    /// Update window, bit 16: do not drain first. DSA §8.3.27, table 8-27.
    pub const SUPPRESS_DRAIN: Self = Self::from_bits_retain(1 << 16);

    /// IAA, bits 17:16 = 1: source 2 is read as configuration and state (AECS). IAA §6.1.3;
    /// uapi `IDXD_OP_FLAG_RD_SRC2_AECS`.
    pub const READ_SRC2_AECS: Self = Self::from_bits_retain(1 << 16);
    /// IAA, bits 17:16 = 2: source 2 is the second input of a filter. IAA §6.1.3; uapi `IDXD_OP_FLAG_RD_SRC2_2ND`.
    pub const READ_SRC2_INPUT: Self = Self::from_bits_retain(2 << 16);
    /// IAA, bits 19:18 = 1: the AECS is written when the operation completes. IAA §6.1.3;
    /// uapi `IDXD_OP_FLAG_WR_SRC2_AECS_COMP`.
    pub const WRITE_SRC2_AECS: Self = Self::from_bits_retain(1 << 18);
    /// IAA, bits 19:18 = 2: the AECS is written only when the output overflows; decompress only. IAA §6.1.3;
    /// uapi `IDXD_OP_FLAG_WR_SRC2_AECS_OVFL`.
    pub const WRITE_SRC2_ON_OVERFLOW: Self = Self::from_bits_retain(2 << 18);
    /// IAA, bit 20: reserved in IAA table 6-3. Kept because uapi names it, `IDXD_OP_FLAG_SRC2_STS`; the traffic class
    /// of source 2 is bit 11, [`ADDR3_TC`](Self::ADDR3_TC).
    pub const SRC2_STEERING: Self = Self::from_bits_retain(1 << 20);
    /// IAA, bit 21: the CRC polynomial of RFC 3720, 0x11edc6f41, not that of V.42, 0x104c11db7. IAA §6.1.3;
    /// uapi `IDXD_OP_FLAG_CRC_RFC3720`.
    pub const CRC_RFC3720: Self = Self::from_bits_retain(1 << 21);
    /// IAA, bit 22: read the AECS from its second half and write the first, not the other way round. IAA §3.2, §6.1.3.
    pub const AECS_TOGGLE: Self = Self::from_bits_retain(1 << 22);

    /// The three cache control bits as one number: bit 2 is Cache Control 3, bit 1 is 2, bit 0 is 1, as the rows of
    /// DSA table 8-4. 0b101 and 0b111 are reserved.
    #[must_use]
    pub const fn cache_control(self) -> u8 {
        (self.contains(Self::CACHE_CONTROL_3) as u8) << 2
            | (self.contains(Self::CACHE_CONTROL_2) as u8) << 1
            | self.contains(Self::CACHE_CONTROL_1) as u8
    }
}

#[cfg(test)]
mod tests {
    use super::Flags;

    #[test]
    fn unknown_bits_survive() {
        let flags = Flags::from_bits_retain(0x0080_0041);
        assert!(flags.contains(Flags::FENCE));
        assert_eq!(flags.bits(), 0x0080_0041);
    }

    #[test]
    fn cache_control_orders_its_bits_as_the_table_does() {
        assert_eq!((Flags::CACHE_CONTROL_3 | Flags::CACHE_CONTROL_2).cache_control(), 0b110);
        assert_eq!((Flags::CACHE_CONTROL_2 | Flags::CACHE_CONTROL_1).cache_control(), 0b011);
    }
}
