//! AES in the modes an IAA has: GCM, CFB with whole blocks, XTS.
//!
//! All of a message at once: a tag is known at its end only, and decryption looks at it before it writes anything.

use aes::cipher::{Array, BlockCipherDecrypt, BlockCipherEncrypt, BlockSizeUser, KeyInit, KeyIvInit};
use aes::{Aes128, Aes256};
use aes_gcm::aead::AeadInOut;
use aes_gcm::aead::inout::InOutBuf;
use aes_gcm::{Aes128Gcm, Aes256Gcm};
use thiserror::Error;
use xts_mode::Xts128;

const BLOCK: usize = 16;

/// A key, a mode, and what the mode needs besides. Keys have 16 or 32 bytes.
#[derive(Clone, Copy)]
pub enum Cipher<'c> {
    /// Galois/counter mode (SP 800-38D).
    Gcm {
        /// The key.
        key: &'c [u8],
        /// The nonce.
        nonce: &'c [u8; 12],
        /// What is authenticated and not encrypted.
        aad: &'c [u8],
    },
    /// Cipher feedback of whole blocks (SP 800-38A).
    Cfb {
        /// The key.
        key: &'c [u8],
        /// The initial vector.
        iv: &'c [u8; BLOCK],
    },
    /// XEX with ciphertext stealing (IEEE 1619).
    Xts {
        /// The key.
        key: &'c [u8],
        /// The key of the tweak, as long.
        tweak_key: &'c [u8],
        /// The tweak, not encrypted.
        tweak: &'c [u8; BLOCK],
    },
}

/// Why there is no answer. Nothing has been written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum CipherError {
    /// The tag is another one.
    #[error("the tag does not match")]
    Tag,
    /// A key that is neither 16 nor 32 bytes long, or two of different lengths.
    #[error("a key of {bytes} bytes")]
    Key {
        /// Bytes of the first.
        bytes: usize,
    },
    /// Source and destination are not equally long, or not of a length the mode can have.
    #[error("{src} bytes into {dst}")]
    Length {
        /// Bytes of the source.
        src: usize,
        /// Bytes of the destination.
        dst: usize,
    },
}

/// Encrypts `src` into `dst`, which is as long. With GCM there is a tag.
///
/// # Errors
///
/// [`CipherError::Key`] and [`CipherError::Length`].
pub fn encrypt(cipher: &Cipher<'_>, src: &[u8], dst: &mut [u8]) -> Result<Option<[u8; BLOCK]>, CipherError> {
    let length = length_error(src, dst);
    match *cipher {
        Cipher::Gcm { key, nonce, aad } => {
            let buffer = InOutBuf::new(src, dst).map_err(|_| length)?;
            let nonce = &(*nonce).into();
            let tag = match key.len() {
                16 => gcm::<Aes128Gcm>(key)?.encrypt_inout_detached(nonce, aad, buffer),
                _ => gcm::<Aes256Gcm>(key)?.encrypt_inout_detached(nonce, aad, buffer),
            };
            tag.map(|tag| Some(tag.into())).map_err(|_| length)
        }
        Cipher::Cfb { key, iv } => {
            let iv = &(*iv).into();
            let done = match key.len() {
                16 => cfb_mode::Encryptor::<Aes128>::new(&key_of(key)?, iv).encrypt_b2b(src, dst),
                _ => cfb_mode::Encryptor::<Aes256>::new(&key_of(key)?, iv).encrypt_b2b(src, dst),
            };
            done.map(|()| None).map_err(|_| length)
        }
        Cipher::Xts { key, tweak_key, tweak } => {
            match key.len() {
                16 => {
                    let cipher = xts::<Aes128>(key, tweak_key)?;
                    cipher.encrypt_sector(copy_unit(src, dst)?, (*tweak).into());
                }
                _ => {
                    let cipher = xts::<Aes256>(key, tweak_key)?;
                    cipher.encrypt_sector(copy_unit(src, dst)?, (*tweak).into());
                }
            }
            Ok(None)
        }
    }
}

/// Decrypts `src` into `dst`, which is as long. With GCM, `tag` has to be that of the message; else nothing is written.
///
/// # Errors
///
/// [`CipherError::Tag`], also without a tag; [`CipherError::Key`] and [`CipherError::Length`].
pub fn decrypt(
    cipher: &Cipher<'_>,
    tag: Option<&[u8; BLOCK]>,
    src: &[u8],
    dst: &mut [u8],
) -> Result<(), CipherError> {
    let length = length_error(src, dst);
    match *cipher {
        Cipher::Gcm { key, nonce, aad } => {
            let buffer = InOutBuf::new(src, dst).map_err(|_| length)?;
            let (nonce, tag) = (&(*nonce).into(), &(*tag.ok_or(CipherError::Tag)?).into());
            let done = match key.len() {
                16 => gcm::<Aes128Gcm>(key)?.decrypt_inout_detached(nonce, aad, buffer, tag),
                _ => gcm::<Aes256Gcm>(key)?.decrypt_inout_detached(nonce, aad, buffer, tag),
            };
            done.map_err(|_| CipherError::Tag)
        }
        Cipher::Cfb { key, iv } => {
            let iv = &(*iv).into();
            let done = match key.len() {
                16 => cfb_mode::Decryptor::<Aes128>::new(&key_of(key)?, iv).decrypt_b2b(src, dst),
                _ => cfb_mode::Decryptor::<Aes256>::new(&key_of(key)?, iv).decrypt_b2b(src, dst),
            };
            done.map_err(|_| length)
        }
        Cipher::Xts { key, tweak_key, tweak } => {
            match key.len() {
                16 => {
                    let cipher = xts::<Aes128>(key, tweak_key)?;
                    cipher.decrypt_sector(copy_unit(src, dst)?, (*tweak).into());
                }
                _ => {
                    let cipher = xts::<Aes256>(key, tweak_key)?;
                    cipher.decrypt_sector(copy_unit(src, dst)?, (*tweak).into());
                }
            }
            Ok(())
        }
    }
}

const fn length_error(src: &[u8], dst: &[u8]) -> CipherError {
    CipherError::Length { src: src.len(), dst: dst.len() }
}

const fn key_error(key: &[u8]) -> CipherError {
    CipherError::Key { bytes: key.len() }
}

fn key_of<N: aes::cipher::array::ArraySize>(key: &[u8]) -> Result<Array<u8, N>, CipherError> {
    Array::try_from(key).map_err(|_| key_error(key))
}

fn gcm<C: KeyInit>(key: &[u8]) -> Result<C, CipherError> {
    C::new_from_slice(key).map_err(|_| key_error(key))
}

fn xts<C>(key: &[u8], tweak_key: &[u8]) -> Result<Xts128<C>, CipherError>
where
    C: KeyInit
        + BlockCipherEncrypt
        + BlockCipherDecrypt
        + BlockSizeUser<BlockSize = aes::cipher::consts::U16>,
{
    let cipher = |bytes| C::new_from_slice(bytes).map_err(|_| key_error(key));
    Ok(Xts128::new(cipher(key)?, cipher(tweak_key)?))
}

/// XTS works in place.
fn copy_unit<'d>(src: &[u8], dst: &'d mut [u8]) -> Result<&'d mut [u8], CipherError> {
    if src.len() != dst.len() || src.len() < BLOCK {
        return Err(length_error(src, dst));
    }
    crate::copy(src, dst);
    Ok(dst)
}
