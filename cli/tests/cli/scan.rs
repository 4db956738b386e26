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
