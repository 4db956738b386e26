//! The flags beside the operation flags: 16 bits at byte 38, 32 bits at byte 56, by operation.
//!
//! Fields of more than one bit are set with a method and print as hexadecimal.

use bitflags::bitflags;

/// Puts `value` in the bits of a field that starts at `low`; bits beyond `mask` are dropped.
macro_rules! field {
    ($(#[$doc:meta])* $name:ident / $setter:ident: $bits:ty, $mask:literal << $low:literal) => {
        $(#[$doc])*
        #[must_use]
        pub const fn $name(self) -> $bits {
            self.bits() >> $low & $mask
        }

        #[doc = concat!("Sets [`", stringify!($name), "`](Self::", stringify!($name), "). Bits beyond it are dropped.")]
        #[must_use]
        pub const fn $setter(self, value: $bits) -> Self {
            Self::from_bits_retain(self.bits() & !($mask << $low) | (value & $mask) << $low)
        }
    };
}

bitflags! {
    /// Bytes 39:38 of a decompress or filter descriptor.
    ///
    /// Other software swaps the names of bits 2 and 3; these are the specification's.
    ///
    /// Source: IAA §6.3.2.1, table 6-8; uapi `decompr_flags`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct DecompressFlags: u16 {
        /// Bit 0: decompress source 1. Must be set for the decompress operation.
        const ENABLE = 1 << 0;
        /// Bit 1: write the last partial word; for the last descriptor of a job.
        const FLUSH_OUTPUT = 1 << 1;
        /// Bit 2: stop at the end of a block that counts.
        const STOP_ON_EOB = 1 << 2;
        /// Bit 3: it is an error if the last token is not the end of a block that counts.
        const CHECK_FOR_EOB = 1 << 3;
        /// Bit 4: only a final block counts.
        const SELECT_BFINAL_EOB = 1 << 4;
        /// Bit 5: the input is 16-bit words with bit 15 first.
        const BIT_ORDER_BE = 1 << 5;
        /// Bit 9: write no output.
        const SUPPRESS_OUTPUT = 1 << 9;
        /// Bit 13: the AECS is read as if 448 bytes of zeros came before it.
        const LOAD_PARTIAL = 1 << 13;
        /// Bit 14: a fourth bit above [`ignore_end_bits`](Self::ignore_end_bits).
        const IGNORE_END_BITS_EXTENSION = 1 << 14;
    }
}

impl DecompressFlags {
    field! {
        /// Bits 8:6: bits of the last byte that are not input.
        ignore_end_bits / with_ignore_end_bits: u16, 0x7 << 6
    }
    field! {
        /// Bits 12:10: 0, or write an index of miniblocks of 256 << n bytes.
        indexing / with_indexing: u16, 0x7 << 10
    }
}

bitflags! {
    /// Bytes 39:38 of a compress descriptor.
    ///
    /// Source: IAA §6.3.5.1, table 6-11; uapi `compr_flags`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct CompressFlags: u16 {
        /// Bit 0: write a histogram of the tokens, not the tokens.
        const STATS_MODE = 1 << 0;
        /// Bit 1: write the last partial word; for the last descriptor of a job.
        const FLUSH_OUTPUT = 1 << 1;
        /// Bit 4: literals only.
        const GENERATE_ALL_LITERALS = 1 << 4;
        /// Bit 5: the output is 16-bit words with bit 15 first.
        const BIT_ORDER_BE = 1 << 5;
        /// Bit 9: zero compression of bytes; reserved in table 6-11 but named there under bits 8:6.
        const ZERO_COMPRESS_8 = 1 << 9;
        /// Bit 15: the counts are in the AECS, there is no input (IAA §3.4.5.3). The row is missing from the text of
        /// table 6-11 that this was written from; the position is not confirmed.
        const HEADER_STATS_INPUT = 1 << 15;
    }
}

impl CompressFlags {
    /// Bits 3:2 = 1: end of block after the last token.
    pub const END_EOB: Self = Self::from_bits_retain(1 << 2);
    /// Bits 3:2 = 2: end of block and a stored block that is not final.
    pub const END_EOB_STORED: Self = Self::from_bits_retain(2 << 2);
    /// Bits 3:2 = 3: end of block and a final stored block.
    pub const END_EOB_STORED_FINAL: Self = Self::from_bits_retain(3 << 2);

    field! {
        /// Bits 3:2: what follows the last token.
        end_processing / with_end_processing: u16, 0x3 << 2
    }
    field! {
        /// Bits 8:6: 0, or no match crosses miniblocks of 256 << n bytes.
        indexing / with_indexing: u16, 0x7 << 6
    }
    field! {
        /// Bits 11:10: 0, or a dictionary of 2 KiB, 4 KiB, 4 KiB with 2, 2, 4 pointers an entry.
        dictionary / with_dictionary: u16, 0x3 << 10
    }
    field! {
        /// Bits 14:12: Huffman tables and header generation, 0 for none, 1 to 3 in one pass, 5 to 7 in two. The row is
        /// missing from the text of table 6-11 that this was written from; the position is what drivers use.
        header_generation / with_header_generation: u16, 0x7 << 12
    }
}

bitflags! {
    /// Bytes 59:56 of a compress descriptor.
    ///
    /// Source: IAA §6.3.5.2, table 6-12.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct CompressFlags2: u32 {
        /// Bit 0: no token stays without a code.
        const MAKE_COMPLETE_TABLES = 1 << 0;
        /// Bit 1: write the AECS with its Huffman tables, 1568 bytes and not 64.
        const WRITE_HUFFMAN_TABLES = 1 << 1;
    }
}

impl CompressFlags2 {
    field! {
        /// Bits 4:2: give up when the output is at least this many eighths of the input; 0 for never.
        early_abort_eighths / with_early_abort_eighths: u32, 0x7 << 2
    }
    field! {
        /// Bits 6:5: after 512 << n bytes.
        early_abort_size / with_early_abort_size: u32, 0x3 << 5
    }
}

bitflags! {
    /// Bytes 39:38 of a CRC64 descriptor. Bits 8:2 and 0 are as in [`DecompressFlags`].
    ///
    /// Source: IAA §6.3.6.1, table 6-13.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct CrcFlags: u16 {
        /// Bit 0: decompress source 1 first.
        const ENABLE_DECOMPRESS = 1 << 0;
        /// Bit 2: stop at the end of a block that counts.
        const STOP_ON_EOB = 1 << 2;
        /// Bit 3: it is an error if the last token is not the end of a block that counts.
        const CHECK_FOR_EOB = 1 << 3;
        /// Bit 4: only a final block counts.
        const SELECT_BFINAL_EOB = 1 << 4;
        /// Bit 5: the input is 16-bit words with bit 15 first.
        const BIT_ORDER_BE = 1 << 5;
        /// Bit 14: start from ones and complement the result (IAA §3.10.3). The row is missing from the text of table
        /// 6-13 that this was written from; the position is what libraries use.
        const INVERT = 1 << 14;
        /// Bit 15: bit 0 of each byte comes first, and the result is reflected (IAA §3.10.3). As for
        /// [`INVERT`](Self::INVERT).
        const REFLECT = 1 << 15;
    }
}

bitflags! {
    /// Bytes 59:56 of a filter descriptor.
    ///
    /// Source: IAA §6.3.3.1, table 6-9; uapi `filter_flags`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct FilterFlags: u32 {
        /// Bit 12: bit 7 of each byte of source 2 comes first.
        const SRC2_BE = 1 << 12;
        /// Bit 15: bit 7 of each byte of the output comes first.
        const OUTPUT_BE = 1 << 15;
        /// Bit 16: the bits of the output are complemented.
        const INVERT_OUTPUT = 1 << 16;
        /// Bit 27: a bit of output is an element of an array.
        const FORCE_ARRAY_OUTPUT = 1 << 27;
    }
}

impl FilterFlags {
    field! {
        /// Bits 21:17: low bits of an element that set membership and find unique do not look at. Reserved in table 6-9; the
        /// place is that of the configuration library's software model.
        drop_low_bits / with_drop_low_bits: u32, 0x1f << 17
    }
    field! {
        /// Bits 26:22: the same of high bits.
        drop_high_bits / with_drop_high_bits: u32, 0x1f << 22
    }
    field! {
        /// Bits 1:0: source 1 is 0 packed little-endian, 1 packed big-endian, 2 Parquet RLE.
        src1_parser / with_src1_parser: u32, 0x3 << 0
    }
    field! {
        /// Bits 6:2: bits of an element of source 1, minus 1.
        src1_width / with_src1_width: u32, 0x1f << 2
    }
    field! {
        /// Bits 11:7: bits of an element of source 2, minus 1.
        src2_width / with_src2_width: u32, 0x1f << 7
    }
    field! {
        /// Bits 14:13: elements of the output are 0 as they come, 1 to 3 of 8, 16, 32 bits.
        output_width / with_output_width: u32, 0x3 << 13
    }
}
