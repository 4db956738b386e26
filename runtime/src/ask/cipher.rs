//! Encryption and decryption, checked.

use crate::buffer::{IoBuf, IoBufMut};
use crate::cipher::{CIPHER_BLOCK_BYTES, Cipher, CipherFault, CipherMode, CipherParameters};
use crate::error::Error;
use crate::job::{Check, Job, Operation};

pub(crate) fn encrypt<S: IoBuf, D: IoBufMut>(src: &S, dst: &mut D, cipher: &Cipher) -> Result<Job, Error> {
    job(src, dst, cipher, true)
}

pub(crate) fn decrypt<S: IoBuf, D: IoBufMut>(src: &S, dst: &mut D, cipher: &Cipher) -> Result<Job, Error> {
    check_tag(Operation::of_cipher(cipher.mode(), false), cipher)?;
    job(src, dst, cipher, false)
}

pub(crate) fn decrypt_inflate<S: IoBuf, D: IoBufMut>(
    src: &S,
    dst: &mut D,
    cipher: &Cipher,
    check: Check,
) -> Result<Job, Error> {
    let (src, dst) = (src.span(), dst.span_mut());
    check_message(Operation::DecryptInflate, src.len, cipher)?;
    Ok(Job::DecryptInflate { src, dst, cipher: cipher.addr(), mode: cipher.mode(), check })
}

/// What a message cannot be that is decrypted in front of `operation`.
pub(super) fn check_message(operation: Operation, len: u64, cipher: &Cipher) -> Result<(), Error> {
    check_tag(operation, cipher)?;
    check_length(operation, len, cipher)
}

fn check_tag(operation: Operation, cipher: &Cipher) -> Result<(), Error> {
    match cipher.parameters() {
        CipherParameters::Gcm { tag: None, .. } => {
            Err(Error::Cipher { operation, fault: CipherFault::NoTag })
        }
        _ => Ok(()),
    }
}

fn check_length(operation: Operation, len: u64, cipher: &Cipher) -> Result<(), Error> {
    if cipher.mode() == CipherMode::Xts && len < CIPHER_BLOCK_BYTES {
        return Err(Error::Cipher { operation, fault: CipherFault::TooShort { bytes: len } });
    }
    if len > cipher.bytes_max() {
        return Err(Error::TooLong { operation, bytes: len, bytes_max: cipher.bytes_max() });
    }
    Ok(())
}

fn job<S: IoBuf, D: IoBufMut>(src: &S, dst: &mut D, cipher: &Cipher, encrypts: bool) -> Result<Job, Error> {
    let mode = cipher.mode();
    let operation = Operation::of_cipher(mode, encrypts);
    let (src, dst) = (src.span(), dst.span_mut());
    let len = super::same_length(operation, src.len, dst.len)?;
    check_length(operation, len, cipher)?;
    Ok(Job::Cipher { src: src.addr, dst: dst.addr, len, cipher: cipher.addr(), mode, encrypts })
}
