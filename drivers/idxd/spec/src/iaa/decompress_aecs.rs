//! Configuration and state in memory (AECS) of a decompression: what one descriptor leaves for the next of its job.
//!
//! Most of it is the device's own affair and comes back to it as it was. What software has a use for has a name here:
//! checksums, how far the input is consumed, whether the stream has ended, what is not written yet.
//!
//! Left out: the fields of filters, those of encryption, which are a [`CryptoAecs`](super::CryptoAecs), and the codes of a block in the form of tables 6-16 to 6-18, of
//! which only the place is here.

use core::fmt;
use core::ops::Range;

use crate::field::{Field, fields};
use crate::iaa::CryptoAecs;

const CRC: Field<u32> = Field::at(0x0);
const XOR_CSUM: Field<u16> = Field::at(0x4);
const OUTPUT: Field<u64> = Field::at(0xa8);
const OUTPUT_BITS: Field<u8> = Field::at(0xb0);
const BIT_OFFSET: Field<u32> = Field::at(0xb4);
const INPUT: Range<usize> = 0xb8..0x1b8;
const INPUT_SIZES: Range<usize> = 0x1b8..0x1d8;
const DROP_INITIAL_BITS: Field<u8> = Field::at(0x1dc);
const FORMAT: Field<u8> = Field::at(0x1dd);
const CODES: Range<usize> = 0x328..0x434;
const STATE: Field<u16> = Field::at(0x434);
const INPUT_BITS: Field<u16> = Field::at(0x436);
const STORED_LEFT: Field<u16> = Field::at(0x438);
const RESERVED: Field<u32> = Field::at(0x43c);
const HISTORY_POINTER: Field<u16> = Field::at(0x4e4);
const HISTORY: Range<usize> = 0x4e8..0x14e8;

/// The AECS of decompression, encryption and filters: 5376 bytes, 32-byte aligned.
///
/// A job of several descriptors needs room for two of them, one behind the other, see
/// [`Flags::AECS_TOGGLE`](crate::Flags::AECS_TOGGLE). All zeros is not its start state: a first descriptor does not
/// read one.
///
/// Source: IAA §6.4.1, tables 6-14 to 6-16.
#[derive(Clone, PartialEq, Eq)]
#[repr(C, align(32))]
pub struct DecompressAecs {
    bytes: [u8; DecompressAecs::SIZE],
}

const _: () = assert!(size_of::<DecompressAecs>() == DecompressAecs::SIZE);
const _: () = assert!(align_of::<DecompressAecs>() == DecompressAecs::ALIGN);
const _: () = assert!(HISTORY.end <= DecompressAecs::SIZE && DecompressAecs::SIZE.is_multiple_of(32));
const _: () = assert!(INPUT.end == INPUT_SIZES.start && HISTORY.end - HISTORY.start == 4096);

fields! { DecompressAecs set
    /// Bytes 3:0: CRC of the output so far.
    crc / set_crc: u32 = CRC;
    /// Bytes 5:4: exclusive or of the output so far, as 16-bit words.
    xor_csum / set_xor_csum: u16 = XOR_CSUM;
    /// Bytes 0xaf:0xa8: output that is not written yet, first byte lowest.
    output / set_output: u64 = OUTPUT;
    /// Byte 0xb0: how much of [`output`](Self::output), in bits, a multiple of 8 up to 56; bit 0 apart, which is 1 in
    /// format 2 and 0 in format 1 (§3.2.1).
    output_bits / set_output_bits: u8 = OUTPUT_BITS;
    /// Bytes 0xb7:0xb4: bits of the input consumed in all, modulo 2^32. Its name in table 6-14, Bit Offset for Indexing,
    /// says what it is for; table 6-15 says what it is.
    bit_offset / set_bit_offset: u32 = BIT_OFFSET;
    /// Byte 0x1dc: bits of the input to drop before the start.
    drop_initial_bits / set_drop_initial_bits: u8 = DROP_INITIAL_BITS;
    /// Byte 0x1dd, bits 2:0: 0 for format 1, 1 for format 2.
    format / set_format: u8 = FORMAT;
    /// Bytes 0x435:0x434, bits 3:0: where in the stream the device stands (table 6-18, Decompress State).
    state / set_state: u16 = STATE;
    /// Bytes 0x437:0x436: bits from the last token to the end of the input accumulator (table 6-18).
    input_bits / set_input_bits: u16 = INPUT_BITS;
    /// Bytes 0x439:0x438: bytes left of a stored block. Table 6-18 gives it 15 bits; a block has up to 65535 bytes.
    stored_left / set_stored_left: u16 = STORED_LEFT;
    /// Bytes 0x43f:0x43c: reserved in table 6-16.
    reserved / set_reserved: u32 = RESERVED;
    /// Bytes 0x4e5:0x4e4: bits 11:0 where the next byte of output goes in the history; bit 15 once it has come round.
    history_pointer / set_history_pointer: u16 = HISTORY_POINTER;
}

impl DecompressAecs {
    /// Bytes, and the size to put in the descriptor (table 3-2).
    pub const SIZE: usize = 5376;
    /// [`SIZE`](Self::SIZE) as the descriptor has it.
    pub const SIZE_U32: u32 = 5376;
    /// Alignment in memory; another one is error 0x1c.
    pub const ALIGN: usize = 32;
    /// Where the history begins.
    pub const HISTORY_OFFSET: usize = HISTORY.start;
    /// Bytes of history.
    pub const HISTORY_SIZE: usize = 4096;
    /// Quadwords of input that is not decoded yet.
    pub const INPUT_WORDS: usize = 32;
    /// Bits of input that is not decoded yet, at most.
    pub const INPUT_BITS_MAX: u16 = 2048;
    /// [`history_pointer`](Self::history_pointer): all of the history is output.
    pub const HISTORY_FULL: u16 = 1 << 15;
    /// [`state`](Self::state): at the start of a block header.
    pub const AT_HEADER: u16 = 0b0001;
    /// [`state`](Self::state): in a stored block.
    pub const IN_STORED: u16 = 0b0010;
    /// [`state`](Self::state): in the last block.
    pub const IN_FINAL: u16 = 0b0100;
    /// [`state`](Self::state): stopped at the end of a block that counts.
    pub const TERMINATED: u16 = 0b1000;

    /// All zeros.
    #[must_use]
    pub const fn new() -> Self {
        Self { bytes: [0; Self::SIZE] }
    }

    /// Takes the bytes as the device wrote them.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; Self::SIZE]) -> Self {
        Self { bytes }
    }

    /// The bytes for the device.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::SIZE] {
        &self.bytes
    }

    /// The same to write to.
    pub const fn as_bytes_mut(&mut self) -> &mut [u8; Self::SIZE] {
        &mut self.bytes
    }

    /// Puts the state of a decryption in front of it there.
    pub fn set_crypto(&mut self, crypto: &CryptoAecs) {
        self.bytes[CryptoAecs::OWN].copy_from_slice(&crypto.as_bytes()[CryptoAecs::OWN]);
    }

    /// Whether the device has stopped at the end of a block that counts: what it is given from here on is not of this
    /// stream.
    #[must_use]
    pub fn is_terminated(&self) -> bool {
        self.state() & Self::TERMINATED != 0
    }

    /// Bits of output that are not written yet.
    #[must_use]
    pub fn output_bits_valid(&self) -> u8 {
        self.output_bits() & !1
    }

    /// Input that is not decoded yet, quadword by quadword, and the bits valid of each.
    pub fn input(&self) -> impl Iterator<Item = (u64, u8)> + '_ {
        let words = self.bytes[INPUT].as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word));
        words.zip(self.bytes[INPUT_SIZES].iter().copied())
    }

    /// Sets quadword `index` of [`input`](Self::input).
    ///
    /// # Panics
    ///
    /// If `index` is not below [`INPUT_WORDS`](Self::INPUT_WORDS).
    pub fn set_input(&mut self, index: usize, word: u64, bits: u8) {
        assert!(index < Self::INPUT_WORDS, "no quadword {index}");
        Field::<u64>::at(INPUT.start + 8 * index).write(&mut self.bytes, word);
        self.bytes[INPUT_SIZES.start + index] = bits;
    }

    /// Bytes 0x433:0x328: the codes of the block at hand, in the device's own form.
    #[must_use]
    pub fn codes(&self) -> &[u8] {
        &self.bytes[CODES]
    }

    /// The same to write to.
    pub fn codes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[CODES]
    }

    /// Bytes 0x14e7:0x4e8: the last output, written round and round.
    #[must_use]
    pub fn history(&self) -> &[u8] {
        &self.bytes[HISTORY]
    }

    /// The same to write to.
    pub fn history_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[HISTORY]
    }
}

impl Default for DecompressAecs {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for DecompressAecs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DecompressAecs")
            .field("crc", &format_args!("{:#x}", self.crc()))
            .field("state", &format_args!("{:#06b}", self.state()))
            .field("bit_offset", &self.bit_offset())
            .field("input_bits", &self.input_bits())
            .field("output_bits", &self.output_bits())
            .field("history_pointer", &format_args!("{:#x}", self.history_pointer()))
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::DecompressAecs;

    /// Rows of table 6-14 and 6-16: byte offsets and what lies there.
    #[test]
    fn fields_lie_where_the_tables_have_them() {
        let mut aecs = DecompressAecs::new();
        aecs.set_output(u64::MAX);
        aecs.set_output_bits(56);
        aecs.set_bit_offset(u32::MAX);
        aecs.set_input(0, u64::MAX, 64);
        aecs.set_input(31, u64::MAX, 63);
        aecs.set_state(DecompressAecs::TERMINATED);
        aecs.set_input_bits(0x0102);
        aecs.set_history_pointer(0x8fff);
        aecs.history_mut().fill(0x55);
        let bytes = aecs.as_bytes();
        let set = (0..0x4e8).filter(|&at| bytes[at] != 0);
        let ranges =
            [0xa8..0xb1, 0xb4..0xc0, 0x1b0..0x1b9, 0x1d7..0x1d8, 0x434..0x435, 0x436..0x438, 0x4e4..0x4e6];
        assert!(set.eq(ranges.into_iter().flatten()));
        assert!(bytes[0x4e8..0x14e8].iter().all(|&byte| byte == 0x55) && bytes[0x14e8..] == [0; 24]);
    }

    #[test]
    fn input_comes_back_word_by_word() {
        let mut aecs = DecompressAecs::new();
        aecs.set_input(1, 0x0123_4567_89ab_cdef, 60);
        assert_eq!(aecs.input().count(), 32);
        assert!(aecs.input().take(2).eq([(0, 0), (0x0123_4567_89ab_cdef, 60)]));
    }
}
