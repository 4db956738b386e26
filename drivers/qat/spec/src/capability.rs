//! What a device can do, and what each of its ring pairs does.

use crate::ring::RING_PAIRS_MAX;

bitflags::bitflags! {
    /// Services and features of a device.
    ///
    /// Source: `icp_accel_devices.h`, lines 80 to 109 of the user library.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct Capabilities: u32 {
        /// Symmetric cryptography.
        const SYM = 0x1;
        /// Asymmetric cryptography.
        const ASYM = 0x2;
        /// Ciphers.
        const CIPHER = 0x4;
        /// Authentication.
        const AUTH = 0x8;
        /// Deflate.
        const COMPRESSION = 0x20;
        /// AES-GCM in one pass.
        const AESGCM_SPC = 0x1_0000;
        /// ChaCha20-Poly1305.
        const CHACHA = 0x2_0000;
        /// Compression is verified against 64-bit checks.
        const CNV_INTEGRITY64 = 0x80_0000;
        /// LZ4.
        const LZ4 = 0x100_0000;
        /// LZ4s, which is made for another program to go on with.
        const LZ4S = 0x200_0000;
        /// The second AES slice.
        const AES_V2 = 0x400_0000;
        const _ = !0;
    }
}

/// The block of capabilities, as the physical function's driver sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CapabilityBlock {
    /// Version of the block.
    pub version: u8,
    /// Extended capabilities of compression.
    pub extended: u32,
    /// The capabilities; none in version 1.
    pub capabilities: Option<Capabilities>,
}

impl CapabilityBlock {
    /// Reads a block, header included; none if it is too short for what its version has. What newer versions add is left
    /// alone.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let [version, len, payload @ ..] = bytes else { return None };
        let payload = payload.get(..usize::from(*len).min(payload.len()))?;
        let word = |at: usize| payload.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes);
        let capabilities = match version {
            0 => return None,
            1 => None,
            _ => Some(Capabilities::from_bits_retain(word(4)?)),
        };
        Some(Self { version: *version, extended: word(0)?, capabilities })
    }
}

/// What a ring pair does. Unknown values survive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Service(pub u8);

impl Service {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// Cryptography of both kinds.
    pub const CRYPTO: Self = Self(1);
    /// Compression, both ways.
    pub const COMPRESSION: Self = Self(2);
    /// Symmetric cryptography.
    pub const SYM: Self = Self(3);
    /// Asymmetric cryptography.
    pub const ASYM: Self = Self(4);
    /// Expansion only; sixth generation.
    pub const DECOMPRESSION: Self = Self(5);

    /// Its name in the settings of the physical function.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NONE => "none",
            Self::CRYPTO => "crypto",
            Self::COMPRESSION => "dc",
            Self::SYM => "sym",
            Self::ASYM => "asym",
            Self::DECOMPRESSION => "decomp",
            _ => "unknown",
        }
    }
}

/// What each ring pair does: three bits each.
///
/// Source: `qat_mgr.h`, lines 105 to 115 of the user library.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RingMap(pub u16);

impl RingMap {
    /// What a driver that has no such map means: asymmetric and symmetric cryptography in turn.
    pub const DEFAULT: Self = Self(4 | 3 << 3 | 4 << 6 | 3 << 9);
    /// Compression everywhere.
    pub const COMPRESSION: Self = Self(2 | 2 << 3 | 2 << 6 | 2 << 9);

    /// Reads a block, header included.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let [version, len, low, high, ..] = bytes else { return None };
        (*version != 0 && *len >= 2).then_some(Self(u16::from_le_bytes([*low, *high])))
    }

    /// What ring pair `pair` does.
    pub const fn service(self, pair: usize) -> Service {
        if pair >= RING_PAIRS_MAX {
            return Service::NONE;
        }
        Service((self.0 >> (3 * pair)).to_le_bytes()[0] & 7)
    }

    /// The map to believe: drivers that know no map, or send the default for a device that only compresses, are put
    /// right.
    ///
    /// Source: `vfio_mgr_lib.c`, lines 470 to 493 of the user library.
    #[must_use]
    pub const fn corrected(self, capabilities: Capabilities) -> Self {
        let map = if self.0 == 0 { Self::DEFAULT } else { self };
        let crypto = Capabilities::SYM.union(Capabilities::ASYM);
        let only_compression =
            capabilities.contains(Capabilities::COMPRESSION) && !capabilities.intersects(crypto);
        if map.0 == Self::DEFAULT.0 && only_compression { Self::COMPRESSION } else { map }
    }
}
