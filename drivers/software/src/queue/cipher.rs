//! Encryption and decryption: what the runtime's jobs are in this crate's words.
//!
//! UNSAFETY: takes the cipher that a job has the address of.
#![expect(unsafe_code, reason = "jobs name a cipher by its address")]

use svala::backend::Failure;
use svala::{CIPHER_BLOCK_BYTES, CipherFault, CipherParameters, Value, VirtAddr};
use zeroize::Zeroizing;

use super::memory::len_of;
use super::work::misshapen;
use crate::cipher::{self, Cipher, CipherError};

/// Encrypts or decrypts a message.
///
/// # Safety
///
/// A cipher is at `addr`, as for [`svala::Cipher::at`].
pub(super) unsafe fn cipher(
    addr: VirtAddr,
    encrypts: bool,
    src: &[u8],
    dst: &mut [u8],
) -> Result<Value, Failure> {
    // SAFETY: the caller's contract.
    let asked = unsafe { svala::Cipher::at(addr) };
    let (cipher, tag) = in_our_words(asked)?;
    let written = len_of(src.len());
    let done = match encrypts {
        true => cipher::encrypt(&cipher, src, dst).map(|tag| Value::Encrypted { written, tag }),
        false => cipher::decrypt(&cipher, tag, src, dst).map(|()| Value::Written(written)),
    };
    done.map_err(|error| failure_of(error, tag.is_none()))
}

/// The message in `src`, in memory of its own, once it is known to be the one its tag was made of.
///
/// # Safety
///
/// A cipher is at `addr`, as for [`svala::Cipher::at`].
pub(super) unsafe fn decrypted(addr: VirtAddr, src: &[u8]) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let mut message = Zeroizing::new(vec![0; src.len()]);
    // SAFETY: the caller's contract.
    unsafe { cipher(addr, false, src, &mut message) }?;
    Ok(message)
}

fn in_our_words(asked: &svala::Cipher) -> Result<(Cipher<'_>, Option<&[u8; 16]>), Failure> {
    Ok(match asked.parameters() {
        CipherParameters::Gcm { key, nonce, aad, tag } => (Cipher::Gcm { key, nonce, aad }, tag),
        CipherParameters::Cfb { key, iv } => (Cipher::Cfb { key, iv }, None),
        CipherParameters::Xts { key, tweak_key, tweak } => (Cipher::Xts { key, tweak_key, tweak }, None),
        _ => return Err(Failure::Unsupported),
    })
}

fn failure_of(error: CipherError, has_no_tag: bool) -> Failure {
    match error {
        CipherError::Tag if has_no_tag => Failure::Cipher { fault: CipherFault::NoTag },
        CipherError::Tag => Failure::Cipher { fault: CipherFault::Tag },
        CipherError::Length { src, dst } if src == dst && len_of(src) < CIPHER_BLOCK_BYTES => {
            Failure::Cipher { fault: CipherFault::TooShort { bytes: len_of(src) } }
        }
        CipherError::Length { .. } => misshapen("lengths no message has"),
        CipherError::Key { .. } => misshapen("keys AES does not have"),
    }
}
