//! dif: the fields are those of T10, computed here with the crc crate; what does not match is found where it is.

use std::fs;

use crc::{CRC_16_T10_DIF, Crc};
use serde_json::Value;

use crate::judges::same;
use crate::support::{DEVICES, Place, contents};

const BLOCKS: [usize; 4] = [512, 520, 4096, 4104];

/// What a field is made of.
#[derive(Clone, Copy, Default)]
struct Tags {
    app: u16,
    app_step: u16,
    reference: u32,
    reference_step: u32,
}

const USUAL: Tags = Tags { app: 0, app_step: 0, reference: 0, reference_step: 1 };

fn with_fields(data: &[u8], block: usize, tags: Tags) -> Vec<u8> {
    let crc = Crc::<u16>::new(&CRC_16_T10_DIF);
    let Tags { mut app, app_step, mut reference, reference_step } = tags;
    let mut all = Vec::new();
    for block in data.chunks(block) {
        all.extend_from_slice(block);
        all.extend(crc.checksum(block).to_be_bytes());
        all.extend(app.to_be_bytes());
        all.extend(reference.to_be_bytes());
        app = app.wrapping_add(app_step);
        reference = reference.wrapping_add(reference_step);
    }
    all
}

#[test]
fn fields_are_those_of_t10_and_come_off_again() {
    let place = Place::new();
    for block in BLOCKS {
        let size = block.to_string();
        for blocks in [0, 1, 3, 1000] {
            let data = contents(blocks * block);
            place.file("data", &data);
            place.file("expected", &with_fields(&data, block, USUAL));
            for device in DEVICES {
                place.run(device, ["dif", "insert", "data", "-f", "-o", "dif", "--block", &size]);
                same(&place.at("expected"), &place.at("dif"));
                assert_eq!(place.run(device, ["dif", "check", "dif", "--block", &size]), b"");
                place.run(device, ["dif", "strip", "dif", "-f", "-o", "made", "--block", &size]);
                same(&place.at("data"), &place.at("made"));
            }
        }
    }
}

/// Tags go on where the window before ended.
#[test]
fn tags_grow_through_all_of_a_large_file() {
    let place = Place::new();
    let data = contents(140_000 * 512);
    place.file("data", &data);
    let tags = Tags { app: 0xfff0, app_step: 1, reference: 0xffff_fff0, reference_step: 1 };
    place.file("expected", &with_fields(&data, 512, tags));
    let options = ["--ref-tag", "0xfffffff0", "--app-tag", "65520", "--app-tag-incrementing"];
    for device in DEVICES {
        place.run(device, [&["dif", "insert", "data", "-f", "-o", "dif"][..], &options].concat());
        same(&place.at("expected"), &place.at("dif"));
        place.run(device, [&["dif", "check", "dif"][..], &options].concat());
        place.run(device, [&["dif", "strip", "dif", "-f", "-o", "made"][..], &options].concat());
        same(&place.at("data"), &place.at("made"));
    }
}

#[test]
fn fixed_tags_and_masks_are_kept() {
    let place = Place::new();
    let data = contents(5 * 512);
    place.file("data", &data);
    let tags = Tags { app: 0x0034, reference: 77, ..Tags::default() };
    place.file("expected", &with_fields(&data, 512, tags));
    for device in DEVICES {
        let options =
            ["--ref-tag", "77", "--ref-tag-fixed", "--app-tag", "0x1234", "--app-tag-mask", "0xff00"];
        place.run(device, [&["dif", "insert", "data", "-f", "-o", "dif"][..], &options].concat());
        same(&place.at("expected"), &place.at("dif"));
        // The bits of the mask do not count: 0x5634 is as good.
        place.run(
            device,
            [
                "dif",
                "check",
                "dif",
                "--ref-tag",
                "77",
                "--ref-tag-fixed",
                "--app-tag",
                "0x5634",
                "--app-tag-mask",
                "0xff00",
            ],
        );
    }
}

#[test]
fn guards_begin_and_end_as_asked() {
    let place = Place::new();
    let data = contents(512);
    place.file("data", &data);
    // The CRC bit by bit, from a seed.
    let crc = |seed: u16| {
        data.iter().fold(seed, |crc, byte| {
            (0..8).rev().fold(crc, |crc, bit| {
                let carry = (crc >> 15) ^ u16::from(byte >> bit & 1);
                (crc << 1) ^ if carry == 1 { 0x8bb7 } else { 0 }
            })
        })
    };
    for (option, expected) in [
        ("seed-inverted", crc(0xffff)),
        ("result-inverted", !crc(0)),
        ("seed-inverted,result-inverted", !crc(0xffff)),
    ] {
        for device in DEVICES {
            place.run(device, ["dif", "insert", "data", "-f", "-o", "dif", "--guard", option]);
            let dif = fs::read(place.at("dif")).unwrap();
            assert_eq!(dif[512..514], expected.to_be_bytes(), "{option} on {device}");
            place.run(device, ["dif", "check", "dif", "--guard", option]);
            assert_eq!(
                place.svala(device).args(["dif", "check", "dif"]).output().unwrap().status.code(),
                Some(1)
            );
        }
    }
}

#[test]
fn what_does_not_match_is_found_where_it_is() {
    let place = Place::new();
    let data = contents(100 * 520);
    let good = with_fields(&data, 520, USUAL);
    // Byte of the block and its field, what it belongs to.
    for (byte, what, code) in [
        (0, "guard", "guard"),
        (519, "guard", "guard"),
        (521, "guard", "guard"),
        (523, "application tag", "application_tag"),
        (527, "reference tag", "reference_tag"),
    ] {
        for block in [0, 1, 42, 99] {
            let mut bad = good.clone();
            bad[block * 528 + byte] ^= 0x10;
            // A later one does not matter.
            *bad.last_mut().unwrap() ^= 0x20;
            place.file("bad", &bad);
            for device in DEVICES {
                let output =
                    place.svala(device).args(["dif", "check", "bad", "--block", "520"]).output().unwrap();
                let said = String::from_utf8_lossy(&output.stdout).into_owned();
                assert_eq!((output.status.code(), output.stderr.len()), (Some(1), 0), "{said}");
                let at = block * 528 + 520;
                assert!(said.starts_with(&format!("bad: block {block}, field at byte {at}: ")), "{said}");
                assert!(said.contains(what), "{what} in {said}");
                let output = place
                    .svala(device)
                    .args(["dif", "check", "bad", "--block", "520", "--json"])
                    .output()
                    .unwrap();
                let result: Value = serde_json::from_slice(&output.stdout).unwrap();
                let mismatch = &result["mismatch"];
                assert_eq!((&result["exit"], &result["ok"]), (&1.into(), &false.into()));
                assert_eq!(
                    (&mismatch["block"], &mismatch["block_offset"]),
                    (&block.into(), &(block * 528).into())
                );
                assert_eq!(mismatch["field_offset"], at);
                if block != 99 {
                    assert_eq!(mismatch["what"], serde_json::json!([code]), "{result}");
                }
                let field: String = bad[at..at + 8].iter().map(|byte| format!("{byte:02x}")).collect();
                assert_eq!(mismatch["field"], field);
                let needle = format!("bad: at byte {at}: field of block {block} does not match: {what}");
                place.trouble(device, ["dif", "strip", "bad", "-o", "made", "--block", "520"], &needle);
            }
        }
    }
}

#[test]
fn what_is_ignored_may_be_anything() {
    let place = Place::new();
    let good = with_fields(&contents(10 * 512), 512, USUAL);
    let at = 4 * 520;
    let damaged = |range: std::ops::Range<usize>, value: u8| {
        let mut bad = good.clone();
        bad[at + range.start..at + range.end].fill(value);
        bad
    };
    for (name, bad, option) in [
        ("guard", damaged(512..514, 0x5a), "--ignore-guard"),
        ("app", damaged(514..516, 0x5a), "--ignore-app-tag"),
        ("ref", damaged(516..520, 0x5a), "--ignore-ref-tag"),
        ("app-f", damaged(512..516, 0xff), "--app-tag-f-skips"),
        ("app-ref-f", damaged(514..520, 0xff), "--app-ref-tag-f-skips"),
        ("all-f", damaged(512..520, 0xff), "--all-f-skips"),
    ] {
        place.file(name, &bad);
        for device in DEVICES {
            let code = |args: &[&str]| place.svala(device).args(args).output().unwrap().status.code();
            assert_eq!(code(&["dif", "check", name]), Some(1), "{name} on {device}");
            assert_eq!(code(&["dif", "check", name, option]), Some(0), "{name} on {device}");
            assert_eq!(
                code(&["dif", "strip", name, option, "-f", "-o", "made"]),
                Some(0),
                "{name} on {device}"
            );
        }
    }
    let output = place.svala("software").args(["dif", "check", "all-f", "--all-f-fails"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.code() == Some(1) && said.contains("block 4") && said.contains("all ones"),
        "{said}"
    );
}

#[test]
fn files_that_are_not_whole_blocks_are_refused() {
    let place = Place::new();
    place.file("odd", &contents(513));
    place.file("plain", &contents(512));
    for device in DEVICES {
        place.trouble(
            device,
            ["dif", "insert", "odd", "-o", "made"],
            "odd: 513 bytes are not whole blocks of 512",
        );
        place.trouble(device, ["dif", "check", "plain"], "plain: 512 bytes are not whole blocks of 520");
        let args = ["dif", "strip", "plain", "-o", "made", "--block", "4104"];
        place.trouble(device, args, "plain: 512 bytes are not whole blocks of 4112");
    }
    for args in [["--block", "1024"], ["--ref-tag", "4294967296"], ["--app-tag", "-1"], ["--guard", "odd"]] {
        let output = place.svala("software").args(["dif", "check", "plain"]).args(args).output().unwrap();
        assert_eq!((output.status.code(), output.stderr.is_empty()), (Some(2), false), "{args:?}");
    }
    place.trouble("software", ["dif", "insert", "plain", "-f", "-o", "plain"], "are the same file");
}
