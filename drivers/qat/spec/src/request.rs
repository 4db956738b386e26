//! Requests: 128 bytes in the request ring.

use core::fmt;

use crate::command::Command;
use crate::config_word::ConfigWords;

bitflags::bitflags! {
    /// What to do with the data: bytes 0x48 to 0x4b of a request.
    ///
    /// Source: FW, `ICP_QAT_FW_COMP_*_BITPOS`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct RequestFlags: u32 {
        /// Start of packet.
        const SOP = 1 << 0;
        /// End of packet.
        const EOP = 1 << 1;
        /// The last block of the stream.
        const BFINAL = 1 << 6;
        /// Compress and verify.
        const CNV = 1 << 16;
        /// Store what fails to verify.
        const CNV_RECOVERY = 1 << 17;
        /// Sum up the xxHash over requests.
        const XXHASH_ACC = 1 << 20;
        const _ = !0;
    }
}

impl RequestFlags {
    /// One packet by itself.
    const WHOLE: Self = Self::SOP.union(Self::EOP);
}

/// What a compression is made of.
#[derive(Clone, Copy, Debug)]
pub struct Compress {
    /// The command, one that [compresses](Command::compresses).
    pub command: Command,
    /// How.
    pub config: ConfigWords,
    /// Where the input is, for the device.
    pub src_addr: u64,
    /// Bytes of it.
    pub src_bytes: u32,
    /// Where the output goes, for the device.
    pub dst_addr: u64,
    /// Room there.
    pub dst_bytes: u32,
    /// Whether the stream ends here.
    pub last: bool,
    /// Whether to store what fails to verify, instead of failing.
    pub recover: bool,
}

/// What an expansion is made of.
#[derive(Clone, Copy, Debug)]
pub struct Decompress {
    /// The command.
    pub command: Command,
    /// How.
    pub config: ConfigWords,
    /// Where the input is, for the device: the stream itself, with no header before it.
    pub src_addr: u64,
    /// Bytes of it.
    pub src_bytes: u32,
    /// Where the output goes, for the device.
    pub dst_addr: u64,
    /// Room there.
    pub dst_bytes: u32,
}

/// Service 9 with the valid flag, flat pointers, and the configuration words in place of an address.
const HEADER: u64 = 9 << 16 | 0x80 << 24 | 0x02 << 48;
/// From the compression slice to memory.
const ROUTE: u64 = 0x45 << 24;
/// Adler-32 of nothing, which the firmware goes on from; the CRC-32 of nothing is 0.
const ADLER_START: u64 = 1;

/// A request, as it stands in the ring: to the compression service, or to the symmetric one ([`Request::gcm`]).
///
/// Source: FW `struct icp_qat_fw_comp_req`, 128 bytes. Addresses are those the device uses.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Request {
    words: [u64; Self::WORDS],
}

impl Request {
    /// Bytes of a request.
    pub const SIZE: usize = 128;
    /// Words of eight bytes of a request.
    pub const WORDS: usize = Self::SIZE / 8;

    /// Compresses one packet that stands for itself: blocks that refer to nothing before them, ending at a byte.
    ///
    /// The device verifies the output always: that is not a choice here.
    pub const fn compress(compress: Compress) -> Self {
        let mut flags = RequestFlags::WHOLE.union(RequestFlags::CNV);
        if compress.recover {
            flags = flags.union(RequestFlags::CNV_RECOVERY);
        }
        if compress.last {
            flags = flags.union(RequestFlags::BFINAL);
        }
        let Compress { command, config, src_addr, src_bytes, dst_addr, dst_bytes, .. } = compress;
        Self::new(command, config, [src_addr, dst_addr], [src_bytes, dst_bytes], flags)
    }

    /// Expands a whole stream.
    pub const fn decompress(decompress: Decompress) -> Self {
        let Decompress { command, config, src_addr, src_bytes, dst_addr, dst_bytes } = decompress;
        let flags = RequestFlags::WHOLE.union(RequestFlags::BFINAL);
        Self::new(command, config, [src_addr, dst_addr], [src_bytes, dst_bytes], flags)
    }

    const fn new(
        command: Command,
        config: ConfigWords,
        [src, dst]: [u64; 2],
        [src_bytes, dst_bytes]: [u32; 2],
        flags: RequestFlags,
    ) -> Self {
        let lengths = pair(src_bytes, dst_bytes);
        let mut words = [0; Self::WORDS];
        words[0] = HEADER | (command.0 as u64) << 8;
        words[1] = pair(config.lower, config.upper);
        words[4] = src;
        words[5] = dst;
        words[6] = lengths;
        words[7] = lengths;
        words[8] = ADLER_START << 32;
        words[9] = flags.bits() as u64;
        words[12] = ROUTE;
        Self { words }
    }

    /// With the cookie that the response brings back.
    #[must_use]
    pub const fn with_opaque(mut self, opaque: u64) -> Self {
        self.words[3] = opaque;
        self
    }

    /// With flags beyond those its constructor sets.
    #[must_use]
    pub const fn with_flags(mut self, flags: RequestFlags) -> Self {
        self.words[9] |= flags.bits() as u64;
        self
    }

    /// The words, little-endian numbers, in the order of the ring.
    #[inline]
    pub const fn words(&self) -> &[u64; Self::WORDS] {
        &self.words
    }

    /// A request from its words.
    pub const fn from_words(words: [u64; Self::WORDS]) -> Self {
        Self { words }
    }

    /// The bytes as they stand in the ring.
    pub fn to_bytes(&self) -> [u8; Self::SIZE] {
        let mut bytes = [0; Self::SIZE];
        for (place, word) in bytes.chunks_exact_mut(8).zip(self.words) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    /// The command, of its service.
    pub const fn command(&self) -> Command {
        Command(self.words[0].to_le_bytes()[1])
    }

    /// The cookie.
    pub const fn opaque(&self) -> u64 {
        self.words[3]
    }

    /// Bytes of input.
    pub const fn src_bytes(&self) -> u32 {
        low(self.words[6])
    }

    /// Room for the output, in bytes.
    pub const fn dst_bytes(&self) -> u32 {
        high(self.words[6])
    }

    /// What to do with the data; of a request to the compression service.
    pub const fn flags(&self) -> RequestFlags {
        RequestFlags::from_bits_retain(low(self.words[9]))
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Of compression 32 bits at 0x48, of cryptography 16 at 4.
        let flags = if self.service() == 9 { self.words[9] } else { self.words[0] >> 32 & 0xffff };
        f.debug_struct("Request")
            .field("service", &self.service())
            .field("command", &self.command())
            .field("opaque", &format_args!("{:#x}", self.opaque()))
            .field("src", &format_args!("{:#x}+{:#x}", self.words[4], self.src_bytes()))
            .field("dst", &format_args!("{:#x}+{:#x}", self.words[5], self.dst_bytes()))
            .field("flags", &format_args!("{flags:#x}"))
            .finish()
    }
}

pub(crate) const fn pair(low: u32, high: u32) -> u64 {
    low as u64 | (high as u64) << 32
}

/// The first four bytes of a word.
pub(crate) const fn low(word: u64) -> u32 {
    let [a, b, c, d, ..] = word.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

/// The last four.
pub(crate) const fn high(word: u64) -> u32 {
    low(word >> 32)
}
