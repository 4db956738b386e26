//! Which CRC.

use bitflags::bitflags;

/// The polynomial of a CRC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum CrcKind {
    /// CRC-32C (Castagnoli), polynomial 0x1edc6f41.
    #[default]
    Crc32c,
    /// CRC-64 as NVMe has it (Rocksoft), polynomial 0xad93d23594c93659.
    Crc64,
}

/// A CRC of any polynomial of up to 64 bits.
///
/// Source: IAA §3.10.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AnyCrc {
    /// The polynomial in the highest bits, without its leading 1, not reflected: `0x04c1_1db7 << 32` for CRC-32.
    pub polynomial: u64,
    /// Whether bit 0 of each byte comes first. The result is then in the lowest bits, else in the highest.
    pub reflect: bool,
    /// Whether to start from ones and to complement the result.
    pub invert: bool,
}

bitflags! {
    /// Steps of a CRC that are left out.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct CrcBypass: u8 {
        /// Seed and result are neither inverted nor reflected.
        const INVERSION = 1 << 0;
        /// Bytes of data are not reflected: bit 7 of a byte comes first.
        const REFLECTION = 1 << 1;
    }
}

/// A CRC: polynomial, and the steps that are left out.
///
/// CRCs chain: the result for `a` is the seed for what follows `a`. The first seed is 0, or all ones with
/// [`CrcBypass::INVERSION`].
///
/// Source: DSA §8.3.12, appendix A.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Crc {
    /// The polynomial.
    pub kind: CrcKind,
    /// Steps left out.
    pub bypass: CrcBypass,
}

impl Crc {
    /// CRC-32C as everybody computes it.
    pub const CRC32C: Self = Self { kind: CrcKind::Crc32c, bypass: CrcBypass::empty() };
    /// CRC-64/NVME as everybody computes it.
    pub const CRC64: Self = Self { kind: CrcKind::Crc64, bypass: CrcBypass::empty() };

    /// The same without these steps.
    #[must_use]
    pub const fn bypassing(self, bypass: CrcBypass) -> Self {
        Self { kind: self.kind, bypass }
    }

    /// Bits of a result.
    pub const fn bits(self) -> u32 {
        match self.kind {
            CrcKind::Crc32c => 32,
            CrcKind::Crc64 => 64,
        }
    }
}
