//! `svala encrypt` and `decrypt`: files that the crates of RustCrypto read, by the format's description, and what is refused.

use std::fs;

use aes::cipher::{Array, BlockCipherEncrypt, KeyInit, KeyIvInit};
use aes::{Aes128, Aes256};
use aes_gcm::Aes256Gcm;
use aes_gcm::aead::AeadInOut;
use xts_mode::Xts128;

use crate::support::{DEVICES, Place, contents};

const KEY: [u8; 32] = *b"a key of thirty-two bytes, no le";
const CHUNK: usize = 1 << 20;

fn hex(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().flat_map(|byte| format!("{byte:02x}").into_bytes()).collect()
}

/// What is in a file of `--mode gcm` with a key of 32 bytes, as its description says.
fn opened(file: &[u8]) -> Vec<u8> {
    let (header, mut rest) = file.split_at(32);
    assert_eq!(&header[..17], b"\x89svalaE\n\x01\x20\0\0\0\0\0\0\0");
    let mut file_key = [0; 32];
    for number in [1, 2] {
        let mut block = Array::<u8, _>::try_from(&header[16..]).unwrap();
        block[0] = number;
        Aes256::new(&KEY.into()).encrypt_block(&mut block);
        file_key[16 * usize::from(number - 1)..][..16].copy_from_slice(&block);
    }
    let gcm = Aes256Gcm::new(&file_key.into());
    let mut data = Vec::new();
    for number in 0_u32.. {
        let is_last = rest.len() < CHUNK + 16;
        let (chunk, behind) = rest.split_at(rest.len().min(CHUNK + 16));
        let mut nonce = [0; 12];
        nonce[7..11].copy_from_slice(&number.to_be_bytes());
        nonce[11] = is_last.into();
        let (message, tag) = chunk.split_last_chunk::<16>().expect("a tag");
        let mut plain = message.to_vec();
        let opened =
            gcm.decrypt_inout_detached(&nonce.into(), header, plain.as_mut_slice().into(), &(*tag).into());
        opened.expect("authentic");
        data.extend(plain);
        rest = behind;
        if is_last {
            break;
        }
    }
    assert!(rest.is_empty());
    data
}

#[test]
fn files_come_back_and_are_what_their_format_says() {
    let place = Place::new();
    place.file("key", &KEY);
    place.file("key.hex", &[hex(&KEY), b"\n".to_vec()].concat());
    for bytes in [0, 1, 15, 16, 4097, CHUNK - 1, CHUNK, CHUNK + 1, 5 * CHUNK + 77] {
        let data = contents(bytes);
        place.file("src", &data);
        for device in DEVICES {
            place.run(device, ["encrypt", "src", "-o", "enc", "-k", "key", "-f"]);
            let made = fs::read(place.at("enc")).unwrap();
            assert!(opened(&made) == data, "{bytes} bytes on {device}");
            place.run(device, ["decrypt", "enc", "-o", "dst", "--key-file", "key.hex", "-f"]);
            assert!(fs::read(place.at("dst")).unwrap() == data, "{bytes} bytes on {device}");
        }
    }
}

#[test]
fn pipes_are_encrypted_and_decrypted_too() {
    let place = Place::new();
    place.file("key", &[7; 16]);
    let data = contents(CHUNK + 12_345);
    let pipe = |verb: &str, input: Vec<u8>| {
        let mut command = place.svala("software");
        let output = command.args([verb, "-", "-o", "-", "-k", "key"]).write_stdin(input).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    };
    assert!(pipe("decrypt", pipe("encrypt", data.clone())) == data);
}

#[test]
fn cfb_is_an_initial_vector_and_a_message() {
    let place = Place::new();
    place.file("key", &KEY);
    for bytes in [0, 5, CHUNK, 2 * CHUNK + 99] {
        let data = contents(bytes);
        place.file("src", &data);
        for device in DEVICES {
            place.run(device, ["encrypt", "src", "-o", "enc", "-k", "key", "--mode", "cfb", "-f"]);
            let made = fs::read(place.at("enc")).unwrap();
            let (iv, message) = made.split_at(16);
            let mut plain = message.to_vec();
            cfb_mode::Decryptor::<Aes256>::new_from_slices(&KEY, iv).unwrap().decrypt(&mut plain);
            assert!(plain == data, "{bytes} bytes on {device}");
            place.run(device, ["decrypt", "enc", "-o", "dst", "-k", "key", "--mode", "cfb", "-f"]);
            assert!(fs::read(place.at("dst")).unwrap() == data, "{bytes} bytes on {device}");
        }
    }
}

#[test]
fn xts_is_that_of_disks() {
    let place = Place::new();
    place.file("key", &KEY);
    let (first, second) = KEY.split_at(16);
    let [first, second] = [first, second].map(|key| Aes128::new_from_slice(key).unwrap());
    let xts = Xts128::new(first, second);
    for (bytes, unit) in [(0, "512"), (512 * 9, "512"), (70_000, "4096"), (100_000, "16777216")] {
        let data = contents(bytes);
        place.file("src", &data);
        let mut expected = data.clone();
        for (number, unit) in expected.chunks_mut(unit.parse().unwrap()).enumerate() {
            xts.encrypt_sector(unit, (number as u128).to_le_bytes().into());
        }
        for device in DEVICES {
            let mode = ["-k", "key", "--mode", "xts", "--unit", unit, "-f"];
            place.run(device, [&["encrypt", "src", "-o", "enc"][..], &mode].concat());
            assert!(fs::read(place.at("enc")).unwrap() == expected, "{bytes} bytes on {device}");
            place.run(device, [&["decrypt", "enc", "-o", "dst"][..], &mode].concat());
            assert!(fs::read(place.at("dst")).unwrap() == data, "{bytes} bytes on {device}");
        }
    }
}

/// Whatever is done to a file, nothing of it is left under the destination's name.
#[test]
fn what_was_changed_is_refused_and_leaves_nothing() {
    let place = Place::new();
    place.file("key", &KEY);
    place.file("other", &[1; 32]);
    place.file("src", &contents(2 * CHUNK + 500));
    place.run("software", ["encrypt", "src", "-o", "enc", "-k", "key"]);
    place.run("software", ["encrypt", "src", "-o", "enc2", "-k", "key"]);
    let made = fs::read(place.at("enc")).unwrap();
    let of_another = fs::read(place.at("enc2")).unwrap();
    let (first, second) = (32..32 + CHUNK + 16, 32 + CHUNK + 16..32 + 2 * (CHUNK + 16));
    let flipped = |at: usize| {
        let mut bytes = made.clone();
        bytes[at] ^= 1;
        bytes
    };
    let tag = "not authentic";
    let swapped = [&made[..32], &made[second.clone()], &made[first.clone()], &made[second.end..]].concat();
    let foreign = [&made[..32], &of_another[first.clone()], &made[first.end..]].concat();
    let cases = [
        (flipped(20), tag),
        (flipped(32), tag),
        (flipped(first.end - 1), tag),
        (flipped(second.start + 9), "at byte 1048624: not authentic"),
        (flipped(made.len() - 1), tag),
        (flipped(3), "not a file that svala encrypted"),
        (flipped(8), "format version 0"),
        (swapped, tag),
        (foreign, tag),
        ([&made[..first.end], &made[second.end..]].concat(), tag),
        (made[..second.end].to_vec(), "ends early"),
        (made[..second.end - 1].to_vec(), tag),
        (made[..second.end + 10].to_vec(), "ends early"),
        ([&made[..], b"0"].concat(), tag),
        (made[..20].to_vec(), "at byte 0: ends early"),
        (Vec::new(), "not a file that svala encrypted"),
    ];
    for (bytes, needle) in cases {
        place.file("bad", &bytes);
        for device in DEVICES {
            place.trouble(device, ["decrypt", "bad", "-o", "dst", "-k", "key"], needle);
        }
    }
    place.trouble("software", ["decrypt", "enc", "-o", "dst", "-k", "other"], tag);
    // What a pipe was given before is whole chunks that were authentic.
    place.file("bad", &flipped(second.start));
    let output = place.svala("software").args(["decrypt", "bad", "-o", "-", "-k", "key"]).output().unwrap();
    place.check_trouble(&output, tag);
    assert!(output.stdout == contents(2 * CHUNK + 500)[..CHUNK]);
}

#[test]
fn keys_and_files_that_do_not_fit_are_refused() {
    let place = Place::new();
    place.file("src", &contents(1000));
    place.file("key", &KEY);
    place.file("short", &[1; 16]);
    place.file("same", &[1; 32]);
    place.file("no-key", &[1; 17]);
    place.file("empty", b"");
    place.file("tiny", &[1; 9]);
    place.run("software", ["encrypt", "src", "-o", "enc", "-k", "key"]);
    let cases: [(&[&str], &str); 9] = [
        (&["encrypt", "src", "-o", "dst", "-k", "none"], "none: No such file"),
        (&["encrypt", "src", "-o", "dst", "-k", "no-key"], "no-key: 17 bytes are no key: expected 16 or 32"),
        (&["encrypt", "src", "-o", "dst", "-k", "empty"], "empty: 0 bytes are no key"),
        (&["encrypt", "src", "-o", "dst", "-k", "short", "--mode", "xts"], "two keys of 16"),
        (&["encrypt", "src", "-o", "dst", "-k", "same", "--mode", "xts"], "two keys of XTS are equal"),
        (&["encrypt", "tiny", "-o", "dst", "-k", "key", "--mode", "xts"], "9 bytes at its end"),
        (&["encrypt", "src", "-f", "-o", "key", "-k", "key"], "the same file"),
        (&["decrypt", "enc", "-o", "dst", "-k", "short"], "with a key of 32 bytes, this one has 16"),
        (&["decrypt", "tiny", "-o", "dst", "-k", "key", "--mode", "cfb"], "ends early"),
    ];
    for (args, needle) in cases {
        place.trouble("software", args, needle);
    }
    // The key is read from a file and never from the command line.
    let output =
        place.svala("software").args(["encrypt", "src", "-o", "dst", "--key", "00"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}
