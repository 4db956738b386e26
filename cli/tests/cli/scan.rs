//! scan: what is found is what a loop over the elements finds, on each device, in each order.

use std::fs;

use serde_json::Value;

use crate::support::{DEVICES, Place, contents};

fn packed(elements: &[u32], width: usize, big_endian: bool) -> Vec<u8> {
    let mut bytes = vec![0; (elements.len() * width).div_ceil(8)];
    for (at, element) in elements.iter().enumerate() {
        for step in 0..width {
            let place = if big_endian { width - 1 - step } else { step };
            let bit = at * width + step;
            let shift = if big_endian { 7 - bit % 8 } else { bit % 8 };
            bytes[bit / 8] |= u8::from(element >> place & 1 == 1) << shift;
        }
    }
    bytes
}

fn elements(count: usize, width: usize) -> Vec<u32> {
    let words = contents(4 * count);
    let mask = u32::MAX >> (32 - width);
    words.chunks_exact(4).map(|word| u32::from_le_bytes(word.try_into().expect("four")) & mask).collect()
}

fn words(bytes: &[u8]) -> Vec<u32> {
    bytes.chunks_exact(4).map(|word| u32::from_le_bytes(word.try_into().expect("four"))).collect()
}

#[test]
fn what_is_found_is_what_a_loop_finds() {
    let place = Place::new();
    for width in [1, 5, 8, 12, 16, 32] {
        let values = elements(50_001, width);
        let bound = values[7].max(1);
        for (order, big_endian) in [("little", false), ("big", true)] {
            place.file("column", &packed(&values, width, big_endian));
            let indices: Vec<u32> = (0..50_001).filter(|at| values[*at as usize] < bound).collect();
            let found: Vec<u32> = indices.iter().map(|at| values[*at as usize]).collect();
            let mut bits = vec![0; 50_001_usize.div_ceil(8)];
            indices.iter().for_each(|at| bits[*at as usize / 8] |= 1 << (at % 8));
            let (width, condition) = (width.to_string(), format!("<{bound}"));
            for device in DEVICES {
                let common = [
                    "column", "--width", &width, "--count", "50001", "--order", order, "--where", &condition,
                ];
                let scan = |to: &str| {
                    let args = ["scan"].iter().chain(&common).copied();
                    place.run(device, args.chain(["-f", "-o", "found", "--to", to]));
                    fs::read(place.at("found")).expect("was made")
                };
                assert!(scan("bits") == bits, "{width} bits, {order}, {device}");
                assert!(words(&scan("indices")) == indices, "{width} bits, {order}, {device}");
                assert!(words(&scan("values")) == found, "{width} bits, {order}, {device}");
                let said = place.run(device, ["scan"].iter().chain(&common));
                let said = String::from_utf8(said).expect("text");
                assert!(said.starts_with(&format!("{} of 50001 elements", indices.len())), "{said}");
            }
        }
    }
}

#[test]
fn results_for_programs_have_the_aggregates() {
    let place = Place::new();
    let values = [700_u32, 3, 90_000, 3];
    place.file("column", &packed(&values, 32, false));
    for device in DEVICES {
        let json =
            place.run(device, ["scan", "column", "--width", "32", "--where", "=3", "--aggregates", "--json"]);
        let json: Value = serde_json::from_slice(&json).expect("an object");
        assert_eq!((json["elements"].as_u64(), json["matches"].as_u64()), (Some(4), Some(2)));
        assert_eq!((json["first"].as_u64(), json["last"].as_u64()), (Some(1), Some(3)));
        let sum = json["aggregates"]["sum_modulo_2_32"].as_u64();
        assert_eq!((json["aggregates"]["min"].as_u64(), sum), (Some(3), Some(90_706)));
    }
}

/// Parquet's own example: 0 to 7 in three bits, then 100 times 5.
#[test]
fn parquet_columns_are_read() {
    let place = Place::new();
    place.file("column", &[3, 3, 0b1000_1000, 0b1100_0110, 0b1111_1010, 0xc8, 1, 5]);
    for device in DEVICES {
        let args =
            ["scan", "column", "--width", "3", "--order", "parquet", "--count", "108", "--where", "5..6"];
        assert_eq!(place.run(device, args), b"102 of 108 elements, first 5, last 107\n");
    }
}

#[test]
fn nothing_is_made_of_what_is_no_column() {
    let place = Place::new();
    place.file("column", &[0; 10]);
    place.file("broken", &[3, 0, 1]);
    for device in DEVICES {
        let args = ["scan", "column", "--width", "8", "--count", "11", "--where", "=0", "-o", "made"];
        place.trouble(device, args, "ends before its 11 elements");
        let args = [
            "scan", "broken", "--width", "3", "--order", "parquet", "--count", "9", "--where", "=0", "-o",
            "made",
        ];
        place.trouble(device, args, "not parquet rle");
        assert_eq!(place.names(), ["broken", "column"]);
    }
}

/// Of each mode and over several chunks: what a loop finds in what was encrypted.
#[test]
fn encrypted_columns_are_scanned() {
    const CHUNK: usize = 1 << 20;
    let place = Place::new();
    place.file("key", b"a key of thirty-two bytes, no le");
    let modes: [&[&str]; 3] = [&["--mode", "gcm"], &["--mode", "cfb"], &["--mode", "xts", "--unit", "65536"]];
    for (width, count, order) in [
        (8, 2 * CHUNK + 5001, "little"),
        (16, CHUNK, "big"),
        (32, CHUNK / 2, "little"),
        (12, 40_000, "big"),
        (1, 1000, "little"),
    ] {
        let values = elements(count, width);
        let bound = values[7].max(1) / 64 + 1;
        place.file("column", &packed(&values, width, order == "big"));
        let indices: Vec<u32> =
            (0..).zip(&values).filter(|(_, value)| **value < bound).map(|(at, _)| at).collect();
        let found: Vec<u32> = indices.iter().map(|at| values[*at as usize]).collect();
        let mut bits = vec![0; count.div_ceil(8)];
        indices.iter().for_each(|at| bits[*at as usize / 8] |= 1 << (at % 8));
        let (width, condition, count) = (width.to_string(), format!("<{bound}"), count.to_string());
        for mode in modes {
            place.run("software", [&["encrypt", "column", "-o", "enc", "-k", "key", "-f"], mode].concat());
            for device in DEVICES {
                let what = format!("{count} of {width} bits, {mode:?}, {device}");
                let common = [
                    &["scan", "enc", "-k", "key", "--width", &width, "--count", &count][..],
                    &["--order", order, "--where", &condition],
                    mode,
                ]
                .concat();
                let scan = |to: &str| {
                    place.run(device, [&common[..], &["-f", "-o", "found", "--to", to]].concat());
                    fs::read(place.at("found")).expect("was made")
                };
                assert!(scan("bits") == bits, "{what}");
                assert!(words(&scan("indices")) == indices, "{what}");
                assert!(words(&scan("values")) == found, "{what}");
                let json = place.run(device, [&common[..], &["--aggregates", "--json"]].concat());
                let json: Value = serde_json::from_slice(&json).expect("an object");
                let sum = values.iter().fold(0, |sum: u32, value| sum.wrapping_add(*value));
                assert_eq!(json["matches"].as_u64(), Some(indices.len() as u64), "{what}");
                assert_eq!(json["aggregates"]["sum_modulo_2_32"].as_u64(), Some(sum.into()), "{what}");
                assert_eq!(json["authenticated"].as_bool(), Some(mode[1] == "gcm"), "{what}");
                let is_emulated = json["stats"]["paths"][0]["kind"] == "emulated";
                assert_eq!(is_emulated, device == "emulated", "{what}: {}", json["stats"]["paths"]);
            }
        }
    }
}

/// Without a count there are as many as the data has room for, whatever the file has besides.
#[test]
fn encrypted_columns_are_counted_without_header_and_tags() {
    let place = Place::new();
    place.file("key", &[7; 16]);
    for bytes in [0, 100, 1 << 20, (2 << 20) + 3] {
        place.file("column", &vec![5; bytes]);
        place.run("software", ["encrypt", "column", "-o", "enc", "-k", "key", "-f"]);
        for device in DEVICES {
            let said = place.run(device, ["scan", "enc", "-k", "key", "--width", "8", "--where", "=5"]);
            let said = String::from_utf8(said).expect("text");
            assert!(said.starts_with(&format!("{bytes} of {bytes} elements")), "{said}");
        }
    }
}

/// Nothing of a file that was changed, cut, or cannot be looked at chunk by chunk is found.
#[test]
fn nothing_is_found_in_what_is_not_authentic() {
    const CHUNK: usize = 1 << 20;
    let place = Place::new();
    place.file("key", &[7; 16]);
    place.file("other", &[8; 16]);
    place.file("column", &contents(2 * CHUNK + 99));
    place.run("software", ["encrypt", "column", "-o", "enc", "-k", "key"]);
    let made = fs::read(place.at("enc")).expect("was made");
    let flipped = |at: usize| {
        let mut bytes = made.clone();
        bytes[at] ^= 1;
        bytes
    };
    let tag = "not authentic";
    let cases = [
        (flipped(32), "key", "8", "at byte 32: not authentic"),
        (flipped(CHUNK + 100), "key", "8", "at byte 1048624: not authentic"),
        (flipped(made.len() - 1), "key", "8", tag),
        (flipped(0), "key", "8", "not a file that svala encrypted"),
        (made[..32 + CHUNK + 16].to_vec(), "key", "8", "ends early"),
        (made[..made.len() - 1].to_vec(), "key", "8", tag),
        (made.clone(), "other", "8", tag),
        (made.clone(), "none", "8", "none: No such file"),
        (made.clone(), "key", "12", "elements of 12 bits lie in two chunks of 1048576 bytes"),
    ];
    for (bytes, key, width, needle) in cases {
        place.file("bad", &bytes);
        for device in DEVICES {
            // The elements asked for are authentic, all of the column is not.
            for to in ["bits", "indices", "values"] {
                let args = ["scan", "bad", "-k", key, "--width", width, "--count", "100", "--where", "<9"];
                place.trouble(device, [&args[..], &["-o", "found", "--to", to]].concat(), needle);
            }
        }
    }
    let args = ["scan", "enc", "-k", "key", "--width", "8", "--where", "<9"];
    let deflated = [&args[..], &["--deflated", "--count", "9", "-o", "found"]].concat();
    place.trouble("software", deflated, "'svala decrypt' it first");
    place.trouble("software", [&args[..], &["-f", "-o", "key"]].concat(), "the same file");
    assert_eq!(place.names(), ["bad", "column", "enc", "key", "other"]);
}
