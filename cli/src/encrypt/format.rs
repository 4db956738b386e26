//! The format of `--mode gcm`: a header, then chunks, each with a tag.
//!
//! | bytes | of the header |
//! |---|---|
//! | 0..8 | `89 73 76 61 6c 61 45 0a`: not text, and broken by whatever turns ends of lines |
//! | 8 | 1: the version |
//! | 9 | bytes of the key: 16 or 32 |
//! | 10..16 | 0 |
//! | 16 | 0 |
//! | 17..32 | salt, random |
//!
//! A chunk is 1 MiB of the file, encrypted, and 16 bytes of tag; the last one is shorter, and may have none of the file. The
//! file's key is the AES of the salt's block with 1 (and with 2, for 32 bytes) as its first byte, under the key that was given:
//! no two files share one, so nonces can count: seven bytes 0, the chunk's number, highest byte first, and whether it is the
//! last. The header is authenticated with each chunk. So a chunk that was changed, moved, left out, or taken from another file,
//! and a file that was cut or that goes on, do not have the tags they should have.

use std::fs::File;
use std::io::{self, Read};

use aes::cipher::{Array, BlockCipherEncrypt, KeyInit};
use aes::{Aes128, Aes256};
use svala_engine::{AesKey, Cipher};
use zeroize::Zeroizing;

/// Bytes of the file in a chunk.
pub(super) const CHUNK_BYTES: usize = 1 << 20;
/// Bytes of a tag.
pub(super) const TAG_BYTES: usize = 16;
/// Bytes of the header.
pub(super) const HEADER_BYTES: usize = 32;

const MAGIC: [u8; 8] = *b"\x89svalaE\n";
const VERSION: u8 = 1;
const SALT: usize = 16;

/// What a file begins with.
#[derive(Clone, Copy)]
pub(super) struct Header {
    bytes: [u8; HEADER_BYTES],
}

/// Why a file is none of this format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Flaw {
    #[error("not a file that svala encrypted")]
    Magic,
    #[error("format version {0}, expected {expected}", expected = VERSION)]
    Version(u8),
    #[error("the header says what no version 1 says")]
    Header,
    #[error("encrypted with a key of {wanted} bytes, this one has {there}")]
    Key { wanted: u8, there: usize },
    #[error("ends early")]
    Truncated,
    #[error("not authentic: changed, cut, or encrypted with another key")]
    Tag,
    #[error("more than 2^32 chunks")]
    TooLong,
    #[error("{0} bytes at its end are less than a block of XTS")]
    Block(usize),
    #[error("the two keys of XTS are equal")]
    SameKeys,
}

impl Header {
    /// That of a new file.
    pub(super) fn new(key: &AesKey) -> io::Result<Self> {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..MAGIC.len()].copy_from_slice(&MAGIC);
        bytes[8] = VERSION;
        bytes[9] = u8::try_from(key.as_bytes().len()).unwrap_or(0);
        random(&mut bytes[SALT + 1..])?;
        Ok(Self { bytes })
    }

    /// That of a file which begins like this.
    pub(super) fn parse(bytes: &[u8], key: &AesKey) -> Result<Self, Flaw> {
        if !bytes.starts_with(&MAGIC[..bytes.len().min(MAGIC.len())]) || bytes.is_empty() {
            return Err(Flaw::Magic);
        }
        let bytes: [u8; HEADER_BYTES] = bytes.try_into().map_err(|_| Flaw::Truncated)?;
        let (there, wanted) = (key.as_bytes().len(), bytes[9]);
        match bytes {
            _ if bytes[8] != VERSION => Err(Flaw::Version(bytes[8])),
            _ if bytes[10..=SALT].iter().any(|byte| *byte != 0) || ![16, 32].contains(&wanted) => {
                Err(Flaw::Header)
            }
            _ if usize::from(wanted) != there => Err(Flaw::Key { wanted, there }),
            bytes => Ok(Self { bytes }),
        }
    }

    pub(super) const fn as_bytes(&self) -> &[u8; HEADER_BYTES] {
        &self.bytes
    }

    /// The file's own key.
    pub(super) fn file_key(&self, key: &AesKey) -> Option<AesKey> {
        let mut made = Zeroizing::new([0; 32]);
        let (blocks, _) = made.as_chunks_mut::<16>();
        for (block, number) in blocks.iter_mut().zip(1..) {
            block.copy_from_slice(&self.bytes[SALT..]);
            block[0] = number;
            let in_place = <&mut Array<u8, _>>::from(block);
            match key.as_bytes().len() {
                16 => Aes128::new_from_slice(key.as_bytes()).ok()?.encrypt_block(in_place),
                _ => Aes256::new_from_slice(key.as_bytes()).ok()?.encrypt_block(in_place),
            }
        }
        AesKey::new(&made[..key.as_bytes().len()])
    }

    /// The cipher of a chunk under the file's own key.
    pub(super) fn chunk(&self, file_key: &AesKey, number: u64, is_last: bool) -> Result<Cipher, Flaw> {
        let number = u32::try_from(number).map_err(|_| Flaw::TooLong)?;
        let mut nonce = [0; 12];
        nonce[7..11].copy_from_slice(&number.to_be_bytes());
        nonce[11] = is_last.into();
        Ok(Cipher::gcm(file_key.clone(), nonce).with_aad(self.bytes))
    }
}

/// Bytes nobody can foresee.
pub(super) fn random(bytes: &mut [u8]) -> io::Result<()> {
    File::open("/dev/urandom")?.read_exact(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_what_they_were_made_as_and_nothing_else() {
        let (key, other) = (AesKey::new(&[1; 32]).expect("long"), AesKey::new(&[1; 16]).expect("short"));
        let header = Header::new(&key).expect("random");
        let flaw = |bytes: &[u8], key| Header::parse(bytes, key).err();
        assert_eq!(flaw(header.as_bytes(), &key), None);
        assert_eq!(flaw(header.as_bytes(), &other), Some(Flaw::Key { wanted: 32, there: 16 }));
        for (at, expected) in
            [(0, Flaw::Magic), (7, Flaw::Magic), (8, Flaw::Version(0)), (9, Flaw::Header), (16, Flaw::Header)]
        {
            let mut bytes = *header.as_bytes();
            bytes[at] ^= 1;
            assert_eq!(flaw(&bytes, &key), Some(expected), "byte {at}");
        }
        for len in 0..HEADER_BYTES {
            let expected = if len == 0 { Flaw::Magic } else { Flaw::Truncated };
            assert_eq!(flaw(&header.as_bytes()[..len], &key), Some(expected), "{len} bytes");
        }
        assert_eq!(flaw(b"text", &key), Some(Flaw::Magic));
    }

    #[test]
    fn two_files_have_different_keys() {
        let key = AesKey::new(&[1; 32]).expect("long");
        let of_file = || Header::new(&key).expect("random").file_key(&key).expect("made").as_bytes().to_vec();
        assert_ne!(of_file(), of_file());
    }
}
