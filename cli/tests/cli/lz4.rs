//! compress and decompress with LZ4 frames, judged by the LZ4 project's own library.

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::Path;

use crate::judges::same;
use crate::support::{Place, SIZES, contents};

const DEVICES: [&str; 3] = ["software", "emulated", "emulated-qat"];

fn expands(packed: &Path, original: &Path) {
    let stream = fs::read(packed).unwrap();
    let mut out = Vec::new();
    let mut decoder = lz4::Decoder::new(&stream[..]).unwrap();
    decoder.read_to_end(&mut out).unwrap();
    decoder.finish().1.unwrap();
    assert!(out == fs::read(original).unwrap(), "{packed:?}");
}

fn packed(data: &[u8]) -> Vec<u8> {
    let mut encoder = lz4::EncoderBuilder::new().level(4).build(Vec::new()).unwrap();
    encoder.write_all(data).unwrap();
    encoder.finish().0
}

fn path_of(result: &[u8]) -> String {
    let result: serde_json::Value = serde_json::from_slice(result).unwrap();
    result["stats"]["paths"].to_string()
}

#[test]
fn the_library_expands_what_is_compressed_here_and_the_other_way() {
    let place = Place::new();
    for bytes in SIZES.into_iter().chain([(3 << 20) + 17]) {
        let source = place.file("src", &contents(bytes));
        for device in DEVICES {
            place.run(device, ["compress", "src", "-f", "-o", "packed.lz4", "--format", "lz4"]);
            expands(&place.at("packed.lz4"), &source);
            place.run(device, ["decompress", "packed.lz4", "-f", "-o", "dst"]);
            same(&source, &place.at("dst"));
            place.file("packed.lz4", &packed(&contents(bytes)));
            place.run(device, ["decompress", "packed.lz4", "-f", "-o", "dst", "--format", "lz4"]);
            same(&source, &place.at("dst"));
        }
    }
}

/// The result says who did it, and why not a device: one that has no LZ4, blocks that a device does not take.
#[test]
fn the_result_says_what_did_it() {
    let place = Place::new();
    place.file("src", &contents(200_000));
    let compress = ["compress", "src", "-f", "-o", "packed.lz4", "--format", "lz4", "--json"];
    let by_qat = path_of(&place.run("emulated-qat", compress));
    assert!(by_qat.contains("emu-qat"), "{by_qat}");
    let by_cpu = path_of(&place.run("emulated", compress));
    assert!(by_cpu.contains("not_offered") && by_cpu.contains("lz4_compress"), "{by_cpu}");
    place.file("packed.lz4", &packed(&contents(200_000)));
    let decompress = ["decompress", "packed.lz4", "-f", "-o", "dst", "--json"];
    let linked = path_of(&place.run("emulated-qat", decompress));
    assert!(linked.contains("\"stream\""), "{linked}");
    let none = path_of(&place.run("emulated", decompress));
    assert!(none.contains("not_offered") && none.contains("lz4_decompress"), "{none}");
}

#[test]
fn pipes_caps_and_broken_frames() {
    let place = Place::new();
    let data = contents((1 << 20) + 1);
    for device in DEVICES {
        let args = ["compress", "-", "-o", "-", "--format", "lz4"];
        let stream = place.svala(device).args(args).write_stdin(data.clone()).output().unwrap().stdout;
        let out =
            place.svala(device).args(["decompress", "-", "-o", "-"]).write_stdin(stream.clone()).output();
        assert!(out.unwrap().stdout == data);
        place.file("packed", &stream);
        place.trouble(
            device,
            ["decompress", "packed", "-o", "dst", "--max-size", "1M"],
            "more than 1048576 bytes",
        );
        for (name, broken, needle) in [
            ("cut", stream[..stream.len() / 2].to_vec(), "ends early"),
            ("no-end", stream[..stream.len() - 4].to_vec(), "ends early"),
            ("garbage", [&stream[..], b"garbage"].concat(), "trailing garbage"),
            ("sum", [&stream[..stream.len() - 1], &[!stream[stream.len() - 1]]].concat(), "checksum"),
            ("legacy", vec![0x02, 0x21, 0x4c, 0x18, 0, 0], "neither gzip nor zlib nor LZ4"),
        ] {
            place.file(name, &broken);
            place.trouble(device, ["decompress", name, "-o", "dst"], needle);
        }
    }
}
