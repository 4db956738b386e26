//! Configuration and state in memory (AECS) of encryption and decryption: the first 192 bytes of that of decompression.

use core::fmt;

use bitflags::bitflags;

use crate::field::{Field, fields};
use crate::iaa::FilterAecs;

const CRC: Field<u32> = Field::at(0x0);
const XOR_CSUM: Field<u16> = Field::at(0x4);
const ALGORITHM_OFFSET: usize = 0x18;
const ALGORITHM: Field<u8> = Field::at(ALGORITHM_OFFSET);
const FLAGS: Field<u8> = Field::at(0x19);
const ACCUMULATOR_SIZE: Field<u16> = Field::at(0x1a);
const ACCUMULATOR: usize = 0x20;
const KEY_LOW: usize = 0x48;
const KEY_HIGH: usize = 0x58;
const COUNTER: usize = 0x78;
const GCM_H: usize = 0x88;
const HASH: usize = 0x98;
const OUTPUT: Field<u64> = Field::at(0xa8);
const OUTPUT_BITS: Field<u8> = Field::at(0xb0);

bitflags! {
    /// Bytes 39:38 of an encrypt or decrypt descriptor.
    ///
    /// Source: IAA §6.3.4.1, table 6-10.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct CipherFlags: u16 {
        /// Bit 1: write the last partial word; for the last descriptor of a job.
        const FLUSH_OUTPUT = 1 << 1;
        /// Bit 9: write no output.
        const SUPPRESS_OUTPUT = 1 << 9;
    }
}

bitflags! {
    /// Byte 0x19 of the AECS.
    ///
    /// Source: IAA table 6-15.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct CryptoFlags: u8 {
        /// Bit 0: encrypt or decrypt. Must be set for these operations.
        const ENABLE = 1 << 0;
        /// Bit 1: the key has 256 bits, else 128.
        const KEY_256 = 1 << 1;
        /// Bit 3: process what does not fill a block; for the last descriptor of a job.
        const FLUSH_ACCUMULATOR = 1 << 3;
    }
}

/// Which way of using AES. Values without a name are reserved.
///
/// Source: IAA table 6-15.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CryptoAlgorithm(pub u8);

impl CryptoAlgorithm {
    /// Galois/counter mode.
    pub const GCM: Self = Self(0);
    /// Cipher feedback of whole blocks.
    pub const CFB: Self = Self(1);
    /// XEX with ciphertext stealing.
    pub const XTS: Self = Self(2);
}

/// The AECS of encryption and decryption: 192 bytes, 32-byte aligned.
///
/// Of a key of 256 bits the table calls the parts low and high and does not say which is which; here the first 16 bytes are
/// the low part. The second key of XTS has no place in the table: with XTS the counter is the tweak already encrypted.
///
/// Source: IAA §3.5, §6.4.1, tables 3-2, 6-14 and 6-15.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(C, align(32))]
pub struct CryptoAecs {
    bytes: [u8; CryptoAecs::SIZE],
}

const _: () = assert!(size_of::<CryptoAecs>() == CryptoAecs::SIZE);
const _: () = assert!(align_of::<CryptoAecs>() == CryptoAecs::ALIGN);
const _: () = assert!(HASH + 16 == OUTPUT.range().start && KEY_LOW + 16 == KEY_HIGH);
const _: () = assert!(FLAGS.range().start == CryptoAecs::FLAGS_OFFSET);
const _: () = assert!(ACCUMULATOR + CryptoAecs::ACCUMULATOR_MAX == KEY_LOW);

macro_rules! blocks {
    ($($(#[$doc:meta])* $field:ident / $setter:ident = $place:ident;)*) => {
        impl CryptoAecs {$(
            $(#[$doc])*
            #[must_use]
            pub fn $field(&self) -> [u8; 16] {
                let mut block = [0; 16];
                block.copy_from_slice(&self.bytes[$place..$place + 16]);
                block
            }

            #[doc = concat!("Sets [`", stringify!($field), "`](Self::", stringify!($field), ").")]
            #[must_use]
            pub fn $setter(mut self, block: [u8; 16]) -> Self {
                self.bytes[$place..$place + 16].copy_from_slice(&block);
                self
            }
        )*}
    };
}

fields! { CryptoAecs with
    /// Bytes 3:0: CRC of the plaintext so far.
    crc / with_crc: u32 = CRC;
    /// Bytes 5:4: exclusive or of the plaintext so far, as 16-bit words.
    xor_csum / with_xor_csum: u16 = XOR_CSUM;
    /// Bytes 0x1b:0x1a, bits 5:0: bytes of input that are not processed yet, at most 40.
    accumulator_size / with_accumulator_size: u16 = ACCUMULATOR_SIZE;
    /// Bytes 0xaf:0xa8: output that is not written yet, first byte lowest.
    output / with_output: u64 = OUTPUT;
    /// Byte 0xb0: how much of it, in bits.
    output_bits / with_output_bits: u8 = OUTPUT_BITS;
}

blocks! {
    /// Bytes 0x57:0x48: the key, or the first half of it.
    key_low / with_key_low = KEY_LOW;
    /// Bytes 0x67:0x58: the second half of a key of 256 bits.
    key_high / with_key_high = KEY_HIGH;
    /// Bytes 0x87:0x78: counter of GCM, last block of CFB, tweak of XTS: of the next block.
    counter / with_counter = COUNTER;
    /// Bytes 0x97:0x88: zeros encrypted, for GCM.
    gcm_h / with_gcm_h = GCM_H;
    /// Bytes 0xa7:0x98: hash of GCM so far.
    hash / with_hash = HASH;
}

impl CryptoAecs {
    /// Bytes, and the size to put in the descriptor (table 3-2).
    pub const SIZE: usize = 192;
    /// [`SIZE`](Self::SIZE) as the descriptor has it.
    pub const SIZE_U32: u32 = 192;
    /// Alignment in memory; another one is error 0x1c.
    pub const ALIGN: usize = 32;
    /// Where [`flags`](Self::flags) are.
    pub const FLAGS_OFFSET: usize = 0x19;
    /// Where the key is: [`key_low`](Self::key_low), and [`key_high`](Self::key_high) behind it.
    pub const KEY_OFFSET: usize = KEY_LOW;
    /// What is there for encryption alone: algorithm and flags to hash. The rest it shares with decompression.
    pub const OWN: core::ops::Range<usize> = ALGORITHM_OFFSET..HASH + 16;
    /// Bytes of input that can wait for the rest of their block.
    pub const ACCUMULATOR_MAX: usize = 40;

    /// All zeros.
    #[must_use]
    pub const fn new() -> Self {
        Self { bytes: [0; Self::SIZE] }
    }

    /// The same with the parameters of a filter that what is decrypted goes to.
    #[must_use]
    pub fn with_filter(mut self, filter: &FilterAecs) -> Self {
        self.bytes[..ALGORITHM_OFFSET].copy_from_slice(&filter.as_bytes()[..ALGORITHM_OFFSET]);
        self
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

    /// Byte 0x18.
    #[must_use]
    pub fn algorithm(&self) -> CryptoAlgorithm {
        CryptoAlgorithm(ALGORITHM.read(&self.bytes))
    }

    /// Sets [`algorithm`](Self::algorithm).
    #[must_use]
    pub fn with_algorithm(mut self, algorithm: CryptoAlgorithm) -> Self {
        ALGORITHM.write(&mut self.bytes, algorithm.0);
        self
    }

    /// Byte 0x19, unknown bits included.
    #[must_use]
    pub fn flags(&self) -> CryptoFlags {
        CryptoFlags::from_bits_retain(FLAGS.read(&self.bytes))
    }

    /// Sets [`flags`](Self::flags).
    #[must_use]
    pub fn with_flags(mut self, flags: CryptoFlags) -> Self {
        FLAGS.write(&mut self.bytes, flags.bits());
        self
    }

    /// Bytes 0x47:0x20: input that waits for the rest of its block.
    #[must_use]
    pub fn accumulator(&self) -> &[u8] {
        &self.bytes[ACCUMULATOR..ACCUMULATOR + Self::ACCUMULATOR_MAX]
    }

    /// The same to write to.
    pub fn accumulator_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[ACCUMULATOR..ACCUMULATOR + Self::ACCUMULATOR_MAX]
    }
}

impl Default for CryptoAecs {
    fn default() -> Self {
        Self::new()
    }
}

/// Without keys.
impl fmt::Debug for CryptoAecs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CryptoAecs")
            .field("algorithm", &self.algorithm())
            .field("flags", &self.flags())
            .field("accumulator_size", &self.accumulator_size())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::{CryptoAecs, CryptoAlgorithm, CryptoFlags};
    use crate::iaa::FilterAecs;

    /// Rows of table 6-14: byte offsets and what lies there.
    #[test]
    fn fields_lie_where_the_table_has_them() {
        let mut aecs = CryptoAecs::new()
            .with_algorithm(CryptoAlgorithm::XTS)
            .with_flags(CryptoFlags::KEY_256)
            .with_accumulator_size(40)
            .with_key_low([1; 16])
            .with_key_high([2; 16])
            .with_counter([3; 16])
            .with_gcm_h([4; 16])
            .with_hash([5; 16])
            .with_output(u64::MAX)
            .with_output_bits(56);
        aecs.accumulator_mut().fill(6);
        let parameters =
            FilterAecs::new().with_crc(u32::MAX).with_high(u32::MAX).with_drop_initial_bytes(0x0101);
        let both = aecs.with_filter(&parameters);
        assert_eq!(both.as_bytes()[..0x18], parameters.as_bytes()[..0x18]);
        assert_eq!(both.as_bytes()[0x18..], aecs.as_bytes()[0x18..]);
        let set = (0..CryptoAecs::SIZE).filter(|&at| aecs.as_bytes()[at] != 0);
        let ranges = [0x18..0x1b, 0x20..0x68, 0x78..0xb1];
        assert!(set.eq(ranges.into_iter().flatten()));
        assert_eq!((aecs.as_bytes()[0x48], aecs.as_bytes()[0x58]), (1, 2));
        assert_eq!((aecs.as_bytes()[0x78], aecs.as_bytes()[0x88], aecs.as_bytes()[0x98]), (3, 4, 5));
    }
}
