//! Configuration and state in memory (AECS): what a compression reads before it starts.
//!
//! The Huffman codes are stored as they stand in RFC 1951, most significant bit first in the low bits of the word, and
//! *not* reversed into the order in which Deflate packs them: the device does that. The text of IAA table 6-21 gives
//! only the place of the length and not of the code; the code in bits 14:0 and its order are those of the tables that
//! existing drivers load for the fixed codes, where literal 0 is `0x40030`: length 8, code 0b0011_0000. (The AECS for
//! decompression also says "non-bit-reversed", but keeps codes in the high-order bits of the field, §6.4.1.1.)
//!
//! The block header is the other way round: it goes into the output accumulator as bits of the Deflate stream, first
//! bit lowest.

use core::fmt;

use crate::field::{Field, fields};

const CRC: Field<u32> = Field::at(0x0);
const XOR_CSUM: Field<u16> = Field::at(0x4);
/// Bits valid in the accumulator; the last descriptor bit is above them in the same word.
const ACCUMULATOR_BITS: Field<u16> = Field::at(0x1c);
const ACCUMULATOR: usize = 0x20;
const LL_CODES: usize = 0x120;
const D_CODES: usize = 0x5a0;

/// One Huffman code: bits 14:0 the code, first bit highest; bits 18:15 its length in bits, 0 if the token has none.
///
/// Source: IAA §6.4.2, table 6-21.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Code(pub u32);

impl Code {
    /// The low `length` bits of `code`; at most 15 bits, more are dropped.
    #[must_use]
    pub const fn new(code: u16, length: u8) -> Self {
        Self(code as u32 & 0x7fff | (length as u32 & 0xf) << 15)
    }

    /// Bits 14:0.
    #[must_use]
    pub const fn code(self) -> u16 {
        (self.0 & 0x7fff) as u16
    }

    /// Bits 18:15, in bits.
    #[must_use]
    pub const fn length(self) -> u8 {
        (self.0 >> 15 & 0xf) as u8
    }
}

/// The AECS of the compress operation, without a dictionary: 1568 bytes, 32-byte aligned.
///
/// That of decompression has another layout: [`DecompressAecs`](super::DecompressAecs).
///
/// A descriptor that also writes it needs room for two of them, one behind the other, see
/// [`Flags::AECS_TOGGLE`](crate::Flags::AECS_TOGGLE).
///
/// Source: IAA §6.4.2, tables 6-20 and 6-21.
#[derive(Clone, PartialEq, Eq)]
#[repr(C, align(32))]
pub struct CompressAecs {
    bytes: [u8; CompressAecs::SIZE],
}

const _: () = assert!(D_CODES + CompressAecs::D_COUNT * 4 <= CompressAecs::SIZE);
const _: () = assert!(size_of::<CompressAecs>() == CompressAecs::SIZE);
const _: () = assert!(align_of::<CompressAecs>() == CompressAecs::ALIGN);

fields! { CompressAecs set
    /// Bytes 3:0: seed before, value after.
    crc / set_crc: u32 = CRC;
    /// Bytes 5:4: seed before, value after.
    xor_csum / set_xor_csum: u16 = XOR_CSUM;
    /// Bytes 0x1d:0x1c: bits valid in the output accumulator. At most 2048 if the AECS is sound; a device refuses more.
    accumulator_bits / set_accumulator_bits: u16 = ACCUMULATOR_BITS;
}

impl CompressAecs {
    /// Bytes read, and the size to put in the descriptor.
    pub const SIZE: usize = 1568;
    /// [`SIZE`](Self::SIZE) as the descriptor has it.
    pub(crate) const SIZE_U32: u32 = 1568;
    /// Alignment in memory; another one is error 0x1c.
    pub const ALIGN: usize = 32;
    /// Tokens of literals and lengths, with end of block at 256.
    pub const LL_COUNT: usize = 286;
    /// Tokens of distances.
    pub const D_COUNT: usize = 30;
    /// Bits the output accumulator can hold.
    pub const ACCUMULATOR_BITS_MAX: u16 = 2048;

    /// No codes, no header, checksums of nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self { bytes: [0; Self::SIZE] }
    }

    /// The fixed codes of RFC 1951, §3.2.6, and the header of one block with them, final or not.
    #[must_use]
    pub fn fixed_huffman(is_final: bool) -> Self {
        let mut this = Self::new();
        for token in 0..144 {
            this.set_ll_code(usize::from(token), Code::new(0b0011_0000 + token, 8));
        }
        for token in 144..256 {
            this.set_ll_code(usize::from(token), Code::new(0b1_1001_0000 + token - 144, 9));
        }
        for token in 256..280 {
            this.set_ll_code(usize::from(token), Code::new(token - 256, 7));
        }
        for token in 280..286 {
            this.set_ll_code(usize::from(token), Code::new(0b1100_0000 + token - 280, 8));
        }
        for token in 0..30 {
            this.set_d_code(usize::from(token), Code::new(token, 5));
        }
        // BFINAL, then BTYPE = 01, lowest bit first (RFC 1951, §3.2.3).
        this.push_header_bits(0b010 | u32::from(is_final), 3);
        this
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

    /// Bytes 0x11f:0x20: bits that come before the first token in the output, first bit lowest.
    #[must_use]
    pub fn accumulator(&self) -> &[u8] {
        &self.bytes[ACCUMULATOR..LL_CODES]
    }

    /// The same to write to.
    pub fn accumulator_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[ACCUMULATOR..LL_CODES]
    }

    /// Puts the low `count` bits of `bits`, lowest first, behind the bits that are in the accumulator, as of a Deflate
    /// block header. Says whether they fit; if not, nothing changes.
    pub fn push_header_bits(&mut self, bits: u32, count: u16) -> bool {
        let first = self.accumulator_bits();
        let Some(end) =
            first.checked_add(count).filter(|&end| end <= Self::ACCUMULATOR_BITS_MAX && count <= 32)
        else {
            return false;
        };
        for at in first..end {
            let (byte, mask) = (ACCUMULATOR + usize::from(at / 8), 1 << (at % 8));
            if bits >> (at - first) & 1 != 0 {
                self.bytes[byte] |= mask;
            } else {
                self.bytes[byte] &= !mask;
            }
        }
        self.set_accumulator_bits(end);
        true
    }

    /// The code of literal, end of block or length `token`, below [`LL_COUNT`](Self::LL_COUNT); bytes 0x120 and up.
    ///
    /// # Panics
    ///
    /// If `token` is not below [`LL_COUNT`](Self::LL_COUNT).
    #[must_use]
    pub fn ll_code(&self, token: usize) -> Code {
        Code(ll_place(token).read(&self.bytes))
    }

    /// Sets [`ll_code`](Self::ll_code).
    ///
    /// # Panics
    ///
    /// If `token` is not below [`LL_COUNT`](Self::LL_COUNT).
    pub fn set_ll_code(&mut self, token: usize, code: Code) {
        ll_place(token).write(&mut self.bytes, code.0);
    }

    /// The code of distance `token`, below [`D_COUNT`](Self::D_COUNT); bytes 0x5a0 and up.
    ///
    /// # Panics
    ///
    /// If `token` is not below [`D_COUNT`](Self::D_COUNT).
    #[must_use]
    pub fn d_code(&self, token: usize) -> Code {
        Code(d_place(token).read(&self.bytes))
    }

    /// Sets [`d_code`](Self::d_code).
    ///
    /// # Panics
    ///
    /// If `token` is not below [`D_COUNT`](Self::D_COUNT).
    pub fn set_d_code(&mut self, token: usize, code: Code) {
        d_place(token).write(&mut self.bytes, code.0);
    }
}

fn ll_place(token: usize) -> Field<u32> {
    assert!(token < CompressAecs::LL_COUNT, "no literal or length token {token}");
    Field::at(LL_CODES + 4 * token)
}

fn d_place(token: usize) -> Field<u32> {
    assert!(token < CompressAecs::D_COUNT, "no distance token {token}");
    Field::at(D_CODES + 4 * token)
}

impl Default for CompressAecs {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for CompressAecs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CompressAecs")
            .field("crc", &format_args!("{:#x}", self.crc()))
            .field("xor_csum", &format_args!("{:#x}", self.xor_csum()))
            .field("accumulator_bits", &self.accumulator_bits())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::{Code, CompressAecs};

    /// Builds the codes from the lengths by the algorithm of RFC 1951, §3.2.2, instead of from the table of §3.2.6.
    #[test]
    fn fixed_codes_are_the_canonical_ones_of_their_lengths() {
        let lengths: [u8; 288] = core::array::from_fn(|token| match token {
            0..144 => 8,
            144..256 => 9,
            256..280 => 7,
            _ => 8,
        });
        let mut count = [0u16; 16];
        lengths.iter().for_each(|&length| count[usize::from(length)] += 1);
        let mut next = [0u16; 16];
        (1..16).for_each(|length| next[length] = (next[length - 1] + count[length - 1]) << 1);

        let aecs = CompressAecs::fixed_huffman(true);
        for (token, &length) in lengths.iter().enumerate().take(CompressAecs::LL_COUNT) {
            let code = &mut next[usize::from(length)];
            assert_eq!(
                (aecs.ll_code(token).code(), aecs.ll_code(token).length()),
                (*code, length),
                "{token}"
            );
            *code += 1;
        }
        assert_eq!(aecs.ll_code(0), Code(0x40030));
        assert_eq!(aecs.d_code(29), Code(5 << 15 | 29));
    }

    #[test]
    fn header_goes_first_bit_lowest() {
        let mut aecs = CompressAecs::fixed_huffman(true);
        assert_eq!((aecs.accumulator()[0], aecs.accumulator_bits()), (0b011, 3));
        assert!(aecs.push_header_bits(0x1ff, 9));
        assert_eq!((&aecs.accumulator()[..2], aecs.accumulator_bits()), (&[0xfb, 0x0f][..], 12));
    }

    #[test]
    fn header_that_does_not_fit_changes_nothing() {
        let mut aecs = CompressAecs::new();
        aecs.set_accumulator_bits(2040);
        assert!(!aecs.push_header_bits(0, 9));
        assert!(aecs.push_header_bits(0xff, 8));
        assert_eq!((aecs.accumulator()[255], aecs.accumulator_bits()), (0xff, 2048));
    }
}
