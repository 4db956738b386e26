//! AES-GCM, AES-CFB and AES-XTS against messages that OpenSSL has encrypted; and what must be refused.

#[path = "vectors/mod.rs"]
mod vectors;

use svala_software::cipher::{Cipher, CipherError, decrypt, encrypt};
use vectors::{Vector, vectors};

fn block<const N: usize>(bytes: &[u8]) -> &[u8; N] {
    bytes.try_into().expect("the length of the mode")
}

fn cipher_of(vector: &Vector) -> Cipher<'_> {
    let Vector { key, tweak_key, iv, aad, .. } = vector;
    match vector.mode {
        "gcm" => Cipher::Gcm { key, nonce: block(iv), aad },
        "cfb" => Cipher::Cfb { key, iv: block(iv) },
        _ => Cipher::Xts { key, tweak_key, tweak: block(iv) },
    }
}

#[test]
fn messages_are_encrypted_as_openssl_does() {
    for vector in vectors() {
        let (cipher, len) = (cipher_of(&vector), vector.message.len());
        let mut encrypted = vec![0xee; len];
        let tag = encrypt(&cipher, &vector.message, &mut encrypted).expect("a length of the mode");
        assert!(vector.is_encrypted(&encrypted) && tag == vector.tag, "{} {len}", vector.mode);
        let mut back = vec![0xee; len];
        decrypt(&cipher, vector.tag.as_ref(), &encrypted, &mut back).expect("its own tag");
        assert!(back == vector.message, "{} {len}", vector.mode);
    }
}

#[test]
fn nothing_is_written_of_a_message_whose_tag_is_another() {
    for vector in vectors().filter(|vector| vector.mode == "gcm" && vector.message.len() < 5000) {
        let cipher = cipher_of(&vector);
        let mut encrypted = vec![0; vector.message.len()];
        let tag = encrypt(&cipher, &vector.message, &mut encrypted).expect("encrypts").expect("a tag");
        let refused = |cipher: &Cipher<'_>, tag: Option<[u8; 16]>, bytes: &[u8]| {
            let mut back = vec![0xee; bytes.len()];
            assert_eq!(decrypt(cipher, tag.as_ref(), bytes, &mut back), Err(CipherError::Tag));
            assert!(back.iter().all(|byte| *byte == 0xee));
        };
        for bit in [0, 7, 64, 127] {
            let mut other = tag;
            other[bit / 8] ^= 1 << (bit % 8);
            refused(&cipher, Some(other), &encrypted);
        }
        refused(&cipher, None, &encrypted);
        if let Some(last) = encrypted.last_mut() {
            *last ^= 1;
            refused(&cipher, Some(tag), &encrypted);
            *last_of(&mut encrypted) ^= 1;
        }
        let Cipher::Gcm { key, nonce, .. } = cipher else { panic!("gcm") };
        refused(&Cipher::Gcm { key, nonce, aad: b"something else" }, Some(tag), &encrypted);
    }
}

fn last_of(bytes: &mut [u8]) -> &mut u8 {
    bytes.last_mut().expect("not empty")
}

#[test]
fn lengths_that_no_message_has_are_refused() {
    let (key, iv, mut room) = ([1; 16], [2; 16], [0xee; 15]);
    let xts = Cipher::Xts { key: &key, tweak_key: &[3; 16], tweak: &iv };
    assert_eq!(encrypt(&xts, &[0; 15], &mut room), Err(CipherError::Length { src: 15, dst: 15 }));
    let cfb = Cipher::Cfb { key: &key, iv: &iv };
    assert_eq!(encrypt(&cfb, &[0; 16], &mut room), Err(CipherError::Length { src: 16, dst: 15 }));
    let gcm = Cipher::Gcm { key: &key[..15], nonce: &[0; 12], aad: &[] };
    assert_eq!(encrypt(&gcm, &[0; 15], &mut room), Err(CipherError::Key { bytes: 15 }));
    let xts = Cipher::Xts { key: &key, tweak_key: &[3; 32], tweak: &iv };
    let mut block = [0xee; 16];
    assert_eq!(encrypt(&xts, &[0; 16], &mut block), Err(CipherError::Key { bytes: 16 }));
    assert_eq!((room, block), ([0xee; 15], [0xee; 16]));
}
