//! Encryption and decryption, checked.

use crate::buffer::{IoBuf, IoBufMut};
use crate::cipher::{CIPHER_BLOCK_BYTES, Cipher, CipherFault, CipherMode, CipherParameters};
use crate::error::Error;
use crate::job::{Job, Operation};

pub(crate) fn encrypt<S: IoBuf, D: IoBufMut>(src: &S, dst: &mut D, cipher: &Cipher) -> Result<Job, Error> {
    job(src, dst, cipher, true)
}

pub(crate) fn decrypt<S: IoBuf, D: IoBufMut>(src: &S, dst: &mut D, cipher: &Cipher) -> Result<Job, Error> {
    if let CipherParameters::Gcm { tag: None, .. } = cipher.parameters() {
        let operation = Operation::of_cipher(cipher.mode(), false);
        return Err(Error::Cipher { operation, fault: CipherFault::NoTag });
    }
    job(src, dst, cipher, false)
}

fn job<S: IoBuf, D: IoBufMut>(src: &S, dst: &mut D, cipher: &Cipher, encrypts: bool) -> Result<Job, Error> {
    let mode = cipher.mode();
    let operation = Operation::of_cipher(mode, encrypts);
    let (src, dst) = (src.span(), dst.span_mut());
    let len = super::same_length(operation, src.len, dst.len)?;
    if mode == CipherMode::Xts && len < CIPHER_BLOCK_BYTES {
        return Err(Error::Cipher { operation, fault: CipherFault::TooShort { bytes: len } });
    }
    if len > cipher.bytes_max() {
        return Err(Error::TooLong { operation, bytes: len, bytes_max: cipher.bytes_max() });
    }
    Ok(Job::Cipher { src: src.addr, dst: dst.addr, len, cipher: cipher.addr(), mode, encrypts })
}
