//! Encryption and decryption, against messages that OpenSSL has encrypted.

use svala::{AesKey, Cipher, CipherFault, CipherMode, Error, IoBuf, Operation};

use super::vectors::{Vector, vectors};
use crate::support::{Setup, State};

fn key(bytes: &[u8]) -> AesKey {
    AesKey::new(bytes).expect("a length of AES")
}

fn mode_of(vector: &Vector) -> CipherMode {
    match vector.mode {
        "gcm" => CipherMode::Gcm,
        "cfb" => CipherMode::Cfb,
        _ => CipherMode::Xts,
    }
}

fn cipher_of(vector: &Vector) -> Cipher {
    let Vector { iv, .. } = vector;
    let cipher = match mode_of(vector) {
        CipherMode::Gcm => Cipher::gcm(key(&vector.key), iv[..].try_into().expect("a nonce")),
        CipherMode::Cfb => Cipher::cfb(key(&vector.key), iv[..].try_into().expect("a block")),
        CipherMode::Xts => {
            let tweak = iv[..].try_into().expect("a block");
            Cipher::xts(key(&vector.key), key(&vector.tweak_key), tweak).expect("different keys")
        }
    };
    cipher.with_aad(&vector.aad[..])
}

/// Messages some queue of the setup takes: without a CPU engine, no empty ones.
fn taken(setup: &Setup) -> impl Iterator<Item = Vector> {
    let has_cpu = setup.runtime.capabilities().any(|queue| queue.kind == svala::backend::Kind::Software);
    let takes = move |vector: &Vector| has_cpu || !vector.message.is_empty();
    let of_setup: Vec<_> = vectors()
        .filter(|vector| setup.offers(Operation::of_cipher(mode_of(vector), true)))
        .filter(takes)
        .collect();
    of_setup.into_iter()
}

/// Each message both ways: warm, and with every operand absent.
pub(crate) fn messages(setup: &Setup) {
    for (turn, vector) in taken(setup).enumerate() {
        let len = vector.message.len();
        let state = if turn % 3 == 0 || len > 10_000 { State::Cold } else { State::Warm };
        let (mode, offset) = (mode_of(&vector), turn % 64);
        let (src, dst) = (state.source(&vector.message, offset), state.destination(len, turn % 17));
        let done =
            setup.well(Operation::of_cipher(mode, true), setup.runtime.encrypt(src, dst, cipher_of(&vector)));
        let encrypted = done.buffers.1.bytes().to_vec();
        assert!(vector.is_encrypted(&encrypted), "{mode:?} of {len} bytes, {state:?}");
        assert_eq!((done.value.written, done.value.tag), (len as u64, vector.tag));
        assert_eq!(done.report.bytes, len as u64);

        let cipher = cipher_of(&vector);
        let cipher = if let Some(tag) = vector.tag { cipher.with_tag(tag) } else { cipher };
        let (src, dst) = (state.source(&encrypted, turn % 19), state.destination(len, offset));
        let done = setup.well(Operation::of_cipher(mode, false), setup.runtime.decrypt(src, dst, cipher));
        assert!(done.buffers.1.bytes() == vector.message, "{mode:?} of {len} bytes, {state:?}");
        assert_eq!(done.value, len as u64);
    }
}

/// A message, its additional data, its tag or its key changed: an error, and nothing of the message in the buffer.
pub(crate) fn forged(setup: &Setup) {
    for vector in taken(setup).filter(|vector| vector.mode == "gcm").step_by(3) {
        let len = vector.message.len();
        let tag = vector.tag.expect("of GCM");
        let encrypt = setup.runtime.encrypt(vector.message.clone(), vec![0; len], cipher_of(&vector));
        let encrypted = setup.well(Operation::EncryptGcm, encrypt).buffers.1;
        let mut flipped = encrypted.clone();
        if let Some(last) = flipped.last_mut() {
            *last ^= 0x80;
        }
        let mut other_tag = tag;
        other_tag[15] ^= 1;
        let mut other_key = vector.key.clone();
        other_key[0] ^= 1;
        let nonce = vector.iv[..].try_into().expect("a nonce");
        let with_other_key = Cipher::gcm(key(&other_key), nonce).with_aad(&vector.aad[..]).with_tag(tag);
        let cases = [
            (flipped, cipher_of(&vector).with_tag(tag)),
            (encrypted.clone(), cipher_of(&vector).with_tag(other_tag)),
            (encrypted.clone(), cipher_of(&vector).with_aad(*b"another").with_tag(tag)),
            (encrypted, with_other_key),
        ];
        for (case, (bytes, cipher)) in cases.into_iter().enumerate().filter(|(case, _)| *case > 0 || len > 0)
        {
            let end = setup.end(Operation::DecryptGcm, setup.runtime.decrypt(bytes, vec![0xee; len], cipher));
            let failed = end.err().unwrap_or_else(|| panic!("case {case}, {len} bytes"));
            let is_tag = matches!(failed.error, Error::Cipher { fault: CipherFault::Tag, .. });
            assert!(is_tag, "case {case}: {}", failed.error);
            let (_, dst) = failed.buffers.expect("given back");
            assert!(dst.iter().all(|byte| *byte == 0), "case {case}, {len} bytes");
        }
    }
}

/// What is refused before it gets anywhere.
pub(crate) fn refused(setup: &Setup) {
    let short = Cipher::xts(key(&[1; 16]), key(&[2; 16]), [0; 16]).expect("different keys");
    let end = setup.end(Operation::EncryptXts, setup.runtime.encrypt(vec![0; 15], vec![0; 15], short));
    let error = end.expect_err("less than a block").error;
    assert!(matches!(error, Error::Cipher { fault: CipherFault::TooShort { bytes: 15 }, .. }), "{error}");
    let cipher = || Cipher::gcm(key(&[1; 32]), [0; 12]);
    let end = setup.end(Operation::DecryptGcm, setup.runtime.decrypt(vec![0; 9], vec![0; 9], cipher()));
    let error = end.expect_err("no tag").error;
    assert!(matches!(error, Error::Cipher { fault: CipherFault::NoTag, .. }), "{error}");
    let end = setup.end(Operation::EncryptGcm, setup.runtime.encrypt(vec![0; 9], vec![0; 8], cipher()));
    let error = end.expect_err("other lengths").error;
    assert!(matches!(error, Error::Length { first: 9, second: 8, .. }), "{error}");
    let offers = setup.offers(Operation::EncryptGcm);
    let end = setup.end(Operation::EncryptGcm, setup.runtime.encrypt(vec![0; 9], vec![0; 9], cipher()));
    match end {
        Ok(_) => assert!(offers),
        Err(failed) => {
            assert!(!offers && matches!(failed.error, Error::Unsupported { .. }), "{}", failed.error);
        }
    }
}
