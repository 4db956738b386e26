//! What only IAA has: its descriptor, its 64-byte completion record, its configuration and state in memory.
//!
//! Opcodes, statuses, operation flags and registers are those of the rest of the crate. IAA knows no batch and no fence,
//! and nothing it does can be resumed after a fault except a decompression whose output overflowed and a translation
//! fetch (IAA §7.1), so there are no resume rules here: after a fault the whole descriptor is submitted again.

mod aecs;
mod completion;
mod crypto_aecs;
mod decompress_aecs;
mod descriptor;
mod dictionary;
mod error_code;
mod filter_aecs;
mod flags;
mod huffman;

pub use aecs::{Code, CompressAecs};
pub use completion::Completion;
pub use crypto_aecs::{CipherFlags, CryptoAecs, CryptoAlgorithm, CryptoFlags};
pub use decompress_aecs::DecompressAecs;
pub use descriptor::{Compress, Crc64, Decompress, Descriptor, Filter};
pub use dictionary::DictionaryStyle;
pub use error_code::ErrorCode;
pub use filter_aecs::FilterAecs;
pub use flags::{CompressFlags, CompressFlags2, CrcFlags, DecompressFlags, FilterFlags};
pub use huffman::{CodeLengths, Histogram};
