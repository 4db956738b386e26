//! The kinds of operation, and sets of them.

use std::fmt;

use super::ZeroWord;
use crate::cipher::CipherMode;
use crate::filter::FilterKind;

/// The kinds of operation, for capabilities, counters and messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
#[repr(u8)]
pub enum Operation {
    /// Nothing; what it costs is the way there and back.
    Noop,
    /// Nothing, once all that the queue was given before is done.
    Drain,
    /// Copy memory.
    Copy,
    /// Copy memory to two places.
    Dualcast,
    /// Write a repeated 8-byte pattern.
    Fill,
    /// Write a repeated 16-byte pattern.
    Fill16,
    /// Find the first difference of two ranges.
    Compare,
    /// Find the first difference from a repeated 8-byte pattern.
    ComparePattern,
    /// Note how one range differs from another.
    CreateDelta,
    /// Change a range as a delta record says.
    ApplyDelta,
    /// CRC-32C of a range.
    Crc32c,
    /// CRC-64 of a range.
    Crc64,
    /// Copy memory and compute its CRC-32C.
    CopyCrc32c,
    /// Copy memory and compute its CRC-64.
    CopyCrc64,
    /// Check data integrity fields.
    DifCheck,
    /// Copy blocks and add data integrity fields.
    DifInsert,
    /// Check data integrity fields and copy the blocks without them.
    DifStrip,
    /// Check data integrity fields and copy the blocks with new ones.
    DifUpdate,
    /// Write data integrity fields apart from the blocks.
    DixGenerate,
    /// Write a range back from the caches, and drop it from them.
    CacheFlush,
    /// Have the addresses of a range translated ahead of use.
    TranslationFetch,
    /// Convert numbers from one type to another.
    Convert,
    /// Combine two vectors of numbers to one.
    Reduce,
    /// Combine two vectors of numbers to one, written to two places.
    ReduceDualcast,
    /// Combine vectors that lie anywhere in a range to one.
    GatherReduce,
    /// Copy blocks that lie anywhere in a range to one place.
    GatherCopy,
    /// Copy one range to blocks that lie anywhere in another.
    ScatterCopy,
    /// Write a repeated 8-byte pattern to blocks that lie anywhere in a range.
    ScatterFill,
    /// Make a raw deflate segment.
    Deflate,
    /// Expand a raw deflate stream.
    Inflate,
    /// Find the elements of a column in a range.
    Scan,
    /// Find the elements of a column in a set.
    SetMembership,
    /// Take elements of a column by their indices.
    Extract,
    /// Take elements of a column by a mask.
    Select,
    /// Spread elements of a column by a mask.
    Expand,
    /// Repeat values as often as a column says.
    RleBurst,
    /// Find the values that occur in a column.
    FindUnique,
    /// Leave out bytes that are zero.
    ZeroCompress8,
    /// Leave out words of 16 bits that are zero.
    ZeroCompress16,
    /// Leave out words of 32 bits that are zero.
    ZeroCompress32,
    /// Put back bytes that are zero.
    ZeroDecompress8,
    /// Put back words of 16 bits that are zero.
    ZeroDecompress16,
    /// Put back words of 32 bits that are zero.
    ZeroDecompress32,
    /// CRC of a range with any polynomial.
    CrcAny,
    /// Make blocks of LZ4.
    Lz4Compress,
    /// Expand blocks of LZ4.
    Lz4Decompress,
    /// Encrypt a message and authenticate it, with AES-GCM.
    EncryptGcm,
    /// Check and decrypt a message, with AES-GCM.
    DecryptGcm,
    /// Encrypt a message with AES-CFB.
    EncryptCfb,
    /// Decrypt a message with AES-CFB.
    DecryptCfb,
    /// Encrypt a data unit with AES-XTS.
    EncryptXts,
    /// Decrypt a data unit with AES-XTS.
    DecryptXts,
    /// Make a raw deflate segment that may refer to a dictionary.
    DeflateDictionary,
    /// Expand a raw deflate stream that may refer to a dictionary.
    InflateDictionary,
    /// Decrypt a message and expand the raw deflate stream in it.
    DecryptInflate,
    /// Decrypt a column and find its elements in a range.
    DecryptScan,
    /// Decrypt a column and take elements of it by their indices.
    DecryptExtract,
    /// Make a raw deflate segment of miniblocks.
    DeflateMiniblocks,
    /// Make the index of a block's miniblocks.
    IndexMiniblocks,
    /// Expand miniblocks in the middle of a stream.
    InflateMiniblocks,
}

impl Operation {
    /// Every kind there is.
    pub const ALL: [Self; 60] = [
        Self::Noop,
        Self::Drain,
        Self::Copy,
        Self::Dualcast,
        Self::Fill,
        Self::Fill16,
        Self::Compare,
        Self::ComparePattern,
        Self::CreateDelta,
        Self::ApplyDelta,
        Self::Crc32c,
        Self::Crc64,
        Self::CopyCrc32c,
        Self::CopyCrc64,
        Self::DifCheck,
        Self::DifInsert,
        Self::DifStrip,
        Self::DifUpdate,
        Self::DixGenerate,
        Self::CacheFlush,
        Self::TranslationFetch,
        Self::Convert,
        Self::Reduce,
        Self::ReduceDualcast,
        Self::GatherReduce,
        Self::GatherCopy,
        Self::ScatterCopy,
        Self::ScatterFill,
        Self::Deflate,
        Self::Inflate,
        Self::Scan,
        Self::SetMembership,
        Self::Extract,
        Self::Select,
        Self::Expand,
        Self::RleBurst,
        Self::FindUnique,
        Self::ZeroCompress8,
        Self::ZeroCompress16,
        Self::ZeroCompress32,
        Self::ZeroDecompress8,
        Self::ZeroDecompress16,
        Self::ZeroDecompress32,
        Self::CrcAny,
        Self::Lz4Compress,
        Self::Lz4Decompress,
        Self::EncryptGcm,
        Self::DecryptGcm,
        Self::EncryptCfb,
        Self::DecryptCfb,
        Self::EncryptXts,
        Self::DecryptXts,
        Self::DeflateDictionary,
        Self::InflateDictionary,
        Self::DecryptInflate,
        Self::DecryptScan,
        Self::DecryptExtract,
        Self::DeflateMiniblocks,
        Self::IndexMiniblocks,
        Self::InflateMiniblocks,
    ];

    /// The word used in messages, counters and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Noop => "noop",
            Self::Drain => "drain",
            Self::Copy => "copy",
            Self::Dualcast => "dualcast",
            Self::Fill => "fill",
            Self::Fill16 => "fill16",
            Self::Compare => "compare",
            Self::ComparePattern => "compare_pattern",
            Self::CreateDelta => "create_delta",
            Self::ApplyDelta => "apply_delta",
            Self::Crc32c => "crc32c",
            Self::Crc64 => "crc64",
            Self::CopyCrc32c => "copy_crc32c",
            Self::CopyCrc64 => "copy_crc64",
            Self::DifCheck => "dif_check",
            Self::DifInsert => "dif_insert",
            Self::DifStrip => "dif_strip",
            Self::DifUpdate => "dif_update",
            Self::DixGenerate => "dix_generate",
            Self::CacheFlush => "cache_flush",
            Self::TranslationFetch => "translation_fetch",
            Self::Convert => "convert",
            Self::Reduce => "reduce",
            Self::ReduceDualcast => "reduce_dualcast",
            Self::GatherReduce => "gather_reduce",
            Self::GatherCopy => "gather_copy",
            Self::ScatterCopy => "scatter_copy",
            Self::ScatterFill => "scatter_fill",
            Self::Deflate => "deflate",
            Self::Inflate => "inflate",
            Self::Scan => "scan",
            Self::SetMembership => "set_membership",
            Self::Extract => "extract",
            Self::Select => "select",
            Self::Expand => "expand",
            Self::RleBurst => "rle_burst",
            Self::FindUnique => "find_unique",
            Self::ZeroCompress8 => "zero_compress8",
            Self::ZeroCompress16 => "zero_compress16",
            Self::ZeroCompress32 => "zero_compress32",
            Self::ZeroDecompress8 => "zero_decompress8",
            Self::ZeroDecompress16 => "zero_decompress16",
            Self::ZeroDecompress32 => "zero_decompress32",
            Self::CrcAny => "crc_any",
            Self::Lz4Compress => "lz4_compress",
            Self::Lz4Decompress => "lz4_decompress",
            Self::EncryptGcm => "encrypt_gcm",
            Self::DecryptGcm => "decrypt_gcm",
            Self::EncryptCfb => "encrypt_cfb",
            Self::DecryptCfb => "decrypt_cfb",
            Self::EncryptXts => "encrypt_xts",
            Self::DecryptXts => "decrypt_xts",
            Self::DeflateDictionary => "deflate_dictionary",
            Self::InflateDictionary => "inflate_dictionary",
            Self::DecryptInflate => "decrypt_inflate",
            Self::DecryptScan => "decrypt_scan",
            Self::DecryptExtract => "decrypt_extract",
            Self::DeflateMiniblocks => "deflate_miniblocks",
            Self::IndexMiniblocks => "index_miniblocks",
            Self::InflateMiniblocks => "inflate_miniblocks",
        }
    }

    /// The operation of a filter.
    pub const fn of_filter(kind: FilterKind) -> Self {
        match kind {
            FilterKind::Scan => Self::Scan,
            FilterKind::SetMembership => Self::SetMembership,
            FilterKind::Extract => Self::Extract,
            FilterKind::Select => Self::Select,
            FilterKind::Expand => Self::Expand,
            FilterKind::RleBurst => Self::RleBurst,
            FilterKind::FindUnique => Self::FindUnique,
        }
    }

    /// Zero compression of such words.
    pub const fn of_zero_compress(word: ZeroWord) -> Self {
        match word {
            ZeroWord::Bits8 => Self::ZeroCompress8,
            ZeroWord::Bits16 => Self::ZeroCompress16,
            ZeroWord::Bits32 => Self::ZeroCompress32,
        }
    }

    /// Zero decompression of such words.
    pub const fn of_zero_decompress(word: ZeroWord) -> Self {
        match word {
            ZeroWord::Bits8 => Self::ZeroDecompress8,
            ZeroWord::Bits16 => Self::ZeroDecompress16,
            ZeroWord::Bits32 => Self::ZeroDecompress32,
        }
    }

    /// Encryption or decryption in this mode.
    pub const fn of_cipher(mode: CipherMode, encrypts: bool) -> Self {
        match (mode, encrypts) {
            (CipherMode::Gcm, true) => Self::EncryptGcm,
            (CipherMode::Gcm, false) => Self::DecryptGcm,
            (CipherMode::Cfb, true) => Self::EncryptCfb,
            (CipherMode::Cfb, false) => Self::DecryptCfb,
            (CipherMode::Xts, true) => Self::EncryptXts,
            (CipherMode::Xts, false) => Self::DecryptXts,
        }
    }

    const fn bit(self) -> u64 {
        1 << self as u8
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of [`Operation`]s.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Operations(u64);

impl Operations {
    /// The empty set.
    pub const NONE: Self = Self(0);

    /// The set with `operation` in it as well.
    #[must_use]
    pub const fn with(self, operation: Operation) -> Self {
        Self(self.0 | operation.bit())
    }

    /// The set without `operation`.
    #[must_use]
    pub const fn without(self, operation: Operation) -> Self {
        Self(self.0 & !operation.bit())
    }

    /// The set without any of `operations`.
    #[must_use]
    pub fn without_any_of(self, operations: &[Operation]) -> Self {
        operations.iter().fold(self, |set, operation| set.without(*operation))
    }

    /// Every operation.
    pub const fn all() -> Self {
        let mut set = Self::NONE;
        let mut i = 0;
        while i < Operation::ALL.len() {
            set = set.with(Operation::ALL[i]);
            i += 1;
        }
        set
    }

    /// One bit for each.
    pub(crate) const fn bits(self) -> u64 {
        self.0
    }

    /// What [`Operations::bits`] gave.
    pub(crate) const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// Whether `operation` is in the set.
    pub const fn contains(self, operation: Operation) -> bool {
        self.0 & operation.bit() != 0
    }

    /// The first of `wanted` that is not in the set.
    pub fn first_missing(self, wanted: Self) -> Option<Operation> {
        if wanted.0 & !self.0 == 0 {
            return None;
        }
        Self(wanted.0 & !self.0).iter().next()
    }

    /// The members, in the order of [`Operation::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Operation> {
        Operation::ALL.into_iter().filter(move |operation| self.contains(*operation))
    }
}

impl fmt::Debug for Operations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_set_of_all_operations_has_each_once() {
        assert_eq!(Operations::all().iter().count(), Operation::ALL.len());
        assert!(Operations::NONE.iter().next().is_none());
        assert!(!Operations::NONE.with(Operation::Copy).contains(Operation::Fill));
    }
}
