//! What a descriptor asks for.

use core::fmt;

/// The operation of a descriptor: byte 7 of it, on DSA and on IAA.
///
/// Open: a newer device may know codes that have no name here, and they pass through unchanged. One type serves both
/// devices because no code means two things: DSA uses 0x00 to 0x26, IAA shares four of those and adds 0x40 to 0x56.
/// Which of them a device runs is in OPCAP, see [`OpCap`](crate::OpCap).
///
/// Source: DSA §8.1.2, table 8-2; IAA §6.1.2, table 6-2; uapi `enum dsa_opcode`, `enum iax_opcode`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Opcode(pub u8);

macro_rules! opcodes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $text:literal;)*) => {
        impl Opcode {
            $($(#[$doc])* pub const $name: Self = Self($code);)*

            /// The name of the operation in the specification's words, if it has one here.
            #[must_use]
            pub const fn name(self) -> Option<&'static str> {
                match self {
                    $(Self::$name => Some($text),)*
                    _ => None,
                }
            }
        }
    };
}

opcodes! {
    /// Does nothing but complete. DSA §8.3.1; uapi `DSA_OPCODE_NOOP`, `IAX_OPCODE_NOOP`.
    NOOP = 0x00, "no-op";
    /// Runs a list of descriptors. DSA only. DSA §8.3.2; uapi `DSA_OPCODE_BATCH`.
    BATCH = 0x01, "batch";
    /// Waits for earlier descriptors. DSA §8.3.3; uapi `DSA_OPCODE_DRAIN`, `IAX_OPCODE_DRAIN`.
    DRAIN = 0x02, "drain";
    /// Copies. DSA §8.3.4; uapi `DSA_OPCODE_MEMMOVE`. IAA: uapi `IAX_OPCODE_MEMMOVE`, reserved in IAA table 6-2.
    MEMMOVE = 0x03, "memory move";
    /// Writes a pattern. DSA §8.3.5; uapi `DSA_OPCODE_MEMFILL`.
    FILL = 0x04, "fill";
    /// Compares two ranges. DSA §8.3.6; uapi `DSA_OPCODE_COMPARE`.
    COMPARE = 0x05, "compare";
    /// Compares a range with a pattern. DSA §8.3.7; uapi `DSA_OPCODE_COMPVAL`.
    COMPARE_PATTERN = 0x06, "compare pattern";
    /// Records what differs between two ranges. DSA §8.3.8; uapi `DSA_OPCODE_CR_DELTA`.
    CREATE_DELTA = 0x07, "create delta record";
    /// Applies such a record. DSA §8.3.9; uapi `DSA_OPCODE_AP_DELTA`.
    APPLY_DELTA = 0x08, "apply delta record";
    /// Copies to two destinations. DSA §8.3.10; uapi `DSA_OPCODE_DUALCAST`.
    DUALCAST = 0x09, "dualcast";
    /// Prefetches address translations. DSA 2 and IAA; not in uapi. DSA §8.3.11.
    TRANSLATION_FETCH = 0x0a, "translation fetch";
    /// Computes a CRC. DSA §8.3.12; uapi `DSA_OPCODE_CRCGEN`.
    CRC = 0x10, "crc generation";
    /// Copies and computes a CRC. DSA §8.3.13; uapi `DSA_OPCODE_COPY_CRC`.
    COPY_CRC = 0x11, "copy with crc generation";
    /// Checks data integrity fields. DSA §8.3.14; uapi `DSA_OPCODE_DIF_CHECK`.
    DIF_CHECK = 0x12, "dif check";
    /// Copies and inserts data integrity fields. DSA §8.3.15; uapi `DSA_OPCODE_DIF_INS`.
    DIF_INSERT = 0x13, "dif insert";
    /// Copies and strips data integrity fields. DSA §8.3.16; uapi `DSA_OPCODE_DIF_STRP`.
    DIF_STRIP = 0x14, "dif strip";
    /// Copies and replaces data integrity fields. DSA §8.3.17; uapi `DSA_OPCODE_DIF_UPDT`.
    DIF_UPDATE = 0x15, "dif update";
    /// Writes data integrity fields apart from the data. DSA 2; not in uapi. DSA §8.3.18.
    DIX_GENERATE = 0x17, "dix generate";
    /// Converts numbers. DSA 3; not in uapi. DSA §8.3.19.
    TYPE_CONVERSION = 0x18, "type conversion";
    /// Combines two vectors. DSA 3; not in uapi. DSA §8.3.20.
    REDUCE = 0x19, "reduce";
    /// Combines two vectors to two destinations. DSA 3; not in uapi. DSA §8.3.21.
    REDUCE_DUALCAST = 0x1a, "reduce with dualcast";
    /// Combines a list of vectors. DSA 3; not in uapi. DSA §8.3.22.
    GATHER_REDUCE = 0x1b, "gather reduce";
    /// Copies a list of buffers to one. DSA 3; not in uapi. DSA §8.3.23.
    GATHER_COPY = 0x1c, "gather copy";
    /// Copies one buffer to a list. DSA 3; not in uapi. DSA §8.3.24.
    SCATTER_COPY = 0x1d, "scatter copy";
    /// Fills a list of buffers. DSA 3; not in uapi. DSA §8.3.25.
    SCATTER_FILL = 0x1e, "scatter fill";
    /// Flushes or writes back processor caches. DSA §8.3.26; uapi `DSA_OPCODE_CFLUSH`.
    CACHE_FLUSH = 0x20, "cache flush";
    /// Changes an inter-domain memory window. DSA 2; not in uapi. DSA §8.3.27.
    UPDATE_WINDOW = 0x21, "update window";
    /// Copies between address spaces. DSA 2; not in uapi. DSA §8.3.28.
    INTER_DOMAIN_COPY = 0x23, "inter-domain copy";
    /// Fills in another address space. DSA 2; not in uapi. DSA §8.3.29.
    INTER_DOMAIN_FILL = 0x24, "inter-domain fill";
    /// Compares across address spaces. DSA 2; not in uapi. DSA §8.3.30.
    INTER_DOMAIN_COMPARE = 0x25, "inter-domain compare";
    /// Compares with a pattern in another address space. DSA 2; not in uapi. DSA §8.3.31.
    INTER_DOMAIN_COMPARE_PATTERN = 0x26, "inter-domain compare pattern";
    /// IAA: decrypts. Not in uapi. IAA §6.3.4.
    DECRYPT = 0x40, "decrypt";
    /// IAA: encrypts. Not in uapi. IAA §6.3.4.
    ENCRYPT = 0x41, "encrypt";
    /// IAA: decompresses Deflate. IAA §6.3.2; uapi `IAX_OPCODE_DECOMPRESS`.
    DECOMPRESS = 0x42, "decompress";
    /// IAA: compresses to Deflate. IAA §6.3.5; uapi `IAX_OPCODE_COMPRESS`.
    COMPRESS = 0x43, "compress";
    /// IAA: computes a CRC of any polynomial up to 64 bits. IAA §6.3.6; uapi `IAX_OPCODE_CRC64`.
    CRC64 = 0x44, "crc64";
    /// IAA: zero decompression of 32-bit words. Reserved in IAA table 6-2; uapi `IAX_OPCODE_ZERO_DECOMP_32`.
    ZERO_DECOMPRESS_32 = 0x48, "zero decompress 32";
    /// IAA: zero decompression of 16-bit words. Reserved in IAA table 6-2; uapi `IAX_OPCODE_ZERO_DECOMP_16`.
    ZERO_DECOMPRESS_16 = 0x49, "zero decompress 16";
    /// IAA: zero decompression of bytes. Reserved in IAA table 6-2; not in uapi.
    ZERO_DECOMPRESS_8 = 0x4a, "zero decompress 8";
    /// IAA: zero compression of 32-bit words. Reserved in IAA table 6-2; uapi `IAX_OPCODE_ZERO_COMP_32`.
    ZERO_COMPRESS_32 = 0x4c, "zero compress 32";
    /// IAA: zero compression of 16-bit words. Reserved in IAA table 6-2; uapi `IAX_OPCODE_ZERO_COMP_16`.
    ZERO_COMPRESS_16 = 0x4d, "zero compress 16";
    /// IAA: zero compression of bytes. Reserved in IAA table 6-2; not in uapi.
    ZERO_COMPRESS_8 = 0x4e, "zero compress 8";
    /// IAA: which elements satisfy a condition. IAA §6.3.3; uapi `IAX_OPCODE_SCAN`.
    SCAN = 0x50, "scan";
    /// IAA: which elements are in a set. Reserved in IAA table 6-2; uapi `IAX_OPCODE_SET_MEMBER`.
    SET_MEMBERSHIP = 0x51, "set membership";
    /// IAA: elements in a range of indices. IAA §6.3.3; uapi `IAX_OPCODE_EXTRACT`.
    EXTRACT = 0x52, "extract";
    /// IAA: elements chosen by a bit mask. IAA §6.3.3; uapi `IAX_OPCODE_SELECT`.
    SELECT = 0x53, "select";
    /// IAA: run lengths to elements. Reserved in IAA table 6-2; uapi `IAX_OPCODE_RLE_BURST`.
    RLE_BURST = 0x54, "rle burst";
    /// IAA: the set of values that occur. Reserved in IAA table 6-2; uapi `IAX_OPCODE_FIND_UNIQUE`.
    FIND_UNIQUE = 0x55, "find unique";
    /// IAA: inserts zeros by a bit mask. IAA §6.3.3; uapi `IAX_OPCODE_EXPAND`.
    EXPAND = 0x56, "expand";
}

impl From<u8> for Opcode {
    fn from(code: u8) -> Self {
        Self(code)
    }
}

impl fmt::Display for Opcode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.pad(name),
            None => write!(f, "operation {:#04x}", self.0),
        }
    }
}

impl fmt::Debug for Opcode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self} ({:#04x})", self.0)
    }
}
