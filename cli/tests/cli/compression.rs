//! compress and decompress: what others read of ours, what we read of others', and what is broken.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::judges::{gzip_expands, python_compresses, python_expands, same};
use crate::support::{DEVICES, Place, SIZES, contents};

const FORMATS: [(&str, i32); 3] = [("gzip", 31), ("zlib", 15), ("raw", -15)];

#[test]
fn others_expand_what_is_compressed_here() {
    let place = Place::new();
    let mut made = Vec::new();
    for bytes in SIZES {
        let source = place.file(&format!("src-{bytes}"), &contents(bytes));
        for device in DEVICES {
            for (format, wbits) in FORMATS {
                let packed = place.at(format!("{bytes}-{device}.{format}"));
                place.run(
                    device,
                    [
                        "compress".as_ref(),
                        source.as_os_str(),
                        "-o".as_ref(),
                        packed.as_os_str(),
                        "--format".as_ref(),
                        format.as_ref(),
                    ],
                );
                if format == "gzip" {
                    gzip_expands(&packed, &source);
                }
                made.push((packed, source.clone(), wbits));
            }
        }
    }
    let pairs: Vec<_> = made.iter().map(|(packed, source, wbits)| (&**packed, &**source, *wbits)).collect();
    python_expands(&pairs);
}

#[test]
fn what_is_compressed_here_is_expanded_here() {
    let place = Place::new();
    for bytes in SIZES {
        let source = place.file("src", &contents(bytes));
        for device in DEVICES {
            for (format, _) in FORMATS {
                place.run(device, ["compress", "src", "-f", "-o", "packed", "--format", format]);
                let expected = if format == "raw" { "raw" } else { "auto" };
                place.run(device, ["decompress", "packed", "-f", "-o", "dst", "--format", expected]);
                same(&source, &place.at("dst"));
            }
        }
    }
}

#[test]
fn many_segments_become_one_stream() {
    let place = Place::new();
    let source = place.holes_with_data("src");
    for device in DEVICES {
        place.run(device, ["compress", "src", "-f", "-o", "packed.gz", "--level", "1"]);
        gzip_expands(&place.at("packed.gz"), &source);
        place.run(device, ["decompress", "packed.gz", "-f", "-o", "dst"]);
        same(&source, &place.at("dst"));
    }
}

#[test]
fn a_higher_level_makes_less() {
    let place = Place::new();
    place.file("src", &contents(300_000));
    let sizes = ["1", "9"].map(|level| {
        place.run("software", ["compress", "src", "-f", "-o", "packed", "--level", level]);
        gzip_expands(&place.at("packed"), &place.at("src"));
        fs::metadata(place.at("packed")).unwrap().len()
    });
    assert!(sizes[1] < sizes[0], "{sizes:?}");
}

#[test]
fn what_others_compressed_is_expanded_here() {
    let place = Place::new();
    for bytes in [1, 4097, (1 << 20) + 1, 3 << 20] {
        let source = place.file("src", &contents(bytes));
        for (format, wbits) in FORMATS {
            python_compresses(&source, &place.at("packed"), wbits);
            for device in DEVICES {
                place.run(device, ["decompress", "packed", "-f", "-o", "dst", "--format", format]);
                same(&source, &place.at("dst"));
            }
        }
    }
}

#[test]
fn a_gzip_file_may_have_several_members() {
    let place = Place::new();
    let first = place.file("first", &contents(70_000));
    let second = place.file("second", b"second");
    for name in [&first, &second] {
        assert!(Command::new("gzip").args(["-9", "-N", "-k"]).arg(name).status().unwrap().success());
    }
    let packed = [fs::read(place.at("first.gz")).unwrap(), fs::read(place.at("second.gz")).unwrap()].concat();
    place.file("packed", &packed);
    let whole = place.file("whole", &[contents(70_000), b"second".to_vec()].concat());
    for device in DEVICES {
        let result = place.run(device, ["decompress", "packed", "-f", "-o", "dst", "--json"]);
        let result: serde_json::Value = serde_json::from_slice(&result).unwrap();
        assert_eq!(result["members"], 2);
        same(&whole, &place.at("dst"));
    }
}

#[test]
fn pipes_go_in_and_out() {
    let place = Place::new();
    for bytes in [0, 100, 1 << 20, (3 << 20) + 17] {
        let data = contents(bytes);
        let source = place.file("src", &data);
        for device in DEVICES {
            let packed =
                place.svala(device).args(["compress", "-", "-o", "-"]).write_stdin(data.clone()).output();
            let packed = packed.unwrap().stdout;
            gzip_expands(&place.file("packed.gz", &packed), &source);
            let expanded =
                place.svala(device).args(["decompress", "-", "-o", "-"]).write_stdin(packed).output();
            assert!(expanded.unwrap().stdout == data);
        }
    }
}

#[test]
fn broken_streams_are_named_and_leave_nothing() {
    let place = Place::new();
    let packed = gzip(&place, &contents(300_000));
    let cut = |bytes: usize| packed[..bytes].to_vec();
    let flipped = |at: usize| {
        let mut broken = packed.clone();
        broken[at] ^= 0x10;
        broken
    };
    let with_garbage = |garbage: &[u8]| [&packed[..], garbage].concat();
    let cases: [(&str, Vec<u8>, &str); 12] = [
        ("empty", Vec::new(), "empty"),
        ("one-byte", cut(1), "neither gzip nor zlib"),
        ("header-cut", cut(9), "truncated"),
        ("no-body", cut(10), ""),
        ("body-cut", cut(packed.len() / 2), "ends early"),
        ("trailer-cut", cut(packed.len() - 3), "truncated"),
        ("body-flipped", flipped(packed.len() / 2), ""),
        ("crc-flipped", flipped(packed.len() - 6), "checksum"),
        ("length-flipped", flipped(packed.len() - 1), "length"),
        ("garbage", with_garbage(b"garbage"), "trailing garbage"),
        ("half-a-member", with_garbage(&packed[..20]), ""),
        ("text", b"plain text, nothing else".to_vec(), "neither gzip nor zlib"),
    ];
    for (name, data, needle) in cases {
        place.file(name, &data);
        for device in DEVICES {
            place.trouble(device, ["decompress", name, "-o", "dst"], needle);
            place.trouble(device, ["decompress", name, "-o", "dst"], &format!("svala: {name}: "));
        }
    }
}

#[test]
fn the_wrong_format_is_refused() {
    let place = Place::new();
    let source = place.file("src", &contents(10_000));
    for (made, wbits) in FORMATS {
        python_compresses(&source, &place.at("packed"), wbits);
        for (asked, _) in FORMATS.into_iter().filter(|(asked, _)| *asked != made) {
            for device in DEVICES {
                place.trouble(device, ["decompress", "packed", "-o", "dst", "--format", asked], "packed: ");
            }
        }
    }
}

#[test]
fn bytes_after_a_zlib_or_raw_stream_are_refused() {
    let place = Place::new();
    let source = place.file("src", &contents(10_000));
    for (format, wbits) in FORMATS {
        python_compresses(&source, &place.at("packed"), wbits);
        let packed = [fs::read(place.at("packed")).unwrap(), b"more".to_vec()].concat();
        place.file("packed", &packed);
        for device in DEVICES {
            place.trouble(
                device,
                ["decompress", "packed", "-o", "dst", "--format", format],
                "trailing garbage",
            );
            let mut by_pipe = place.svala(device);
            by_pipe.args(["decompress", "-", "-o", "dst", "--format", format]).write_stdin(packed.clone());
            place.check_trouble(&by_pipe.output().unwrap(), "trailing garbage");
        }
    }
}

/// A cap: just enough is enough, and less leaves nothing behind.
#[test]
fn more_output_than_is_asked_for_is_refused() {
    let place = Place::new();
    let source = place.file("src", &contents(100_000));
    for (format, wbits) in FORMATS {
        python_compresses(&source, &place.at("packed"), wbits);
        for device in DEVICES {
            for max in ["99999", "1", "0"] {
                let args = ["decompress", "packed", "-o", "dst", "--format", format, "--max-size", max];
                place.trouble(device, args, &format!("more than {max} bytes of output"));
                assert!(!place.at("dst").exists());
            }
            let args =
                ["decompress", "packed", "-o", "dst", "-f", "--format", format, "--max-size", "100000"];
            let output = place.svala(device).args(args).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            assert!(fs::read(place.at("dst")).unwrap() == contents(100_000));
            fs::remove_file(place.at("dst")).unwrap();
        }
    }
}

/// The length at a gzip file's end is whatever its writer liked: 4 GiB of memory for 30 bytes would not do.
#[test]
fn a_huge_announced_length_takes_no_memory() {
    let place = Place::new();
    let mut packed = gzip(&place, b"short");
    let at = packed.len() - 4;
    packed[at..].copy_from_slice(&[0xff; 4]);
    place.file("packed", &packed);
    for device in DEVICES {
        let mut limited = Command::new("prlimit");
        limited.arg("--as=2147483648").arg(crate::support::SVALA).current_dir(place.path());
        limited.args(["decompress", "packed", "-o", "dst", "--device", device]);
        place.check_trouble(&limited.output().unwrap(), "length");
    }
}

fn gzip(place: &Place, data: &[u8]) -> Vec<u8> {
    let source = place.file("to-gzip", data);
    let packed = Command::new("gzip").arg("-c").arg(&source).output().unwrap().stdout;
    fs::remove_file(source).unwrap();
    packed
}

#[test]
fn noise_is_an_error_and_never_a_panic() {
    let place = Place::new();
    let noise = contents(5000);
    for (index, magic) in
        [&b"\x1f\x8b\x08\x00"[..], b"\x78\x9c", b"\x1f\x8b\x08\x1f", b""].into_iter().enumerate()
    {
        let name = format!("noise-{index}");
        place.file(&name, &[magic, &noise].concat());
        for device in DEVICES {
            for format in ["auto", "gzip", "zlib", "raw"] {
                let args = ["decompress", &name, "-f", "-o", "dst", "--format", format];
                let output = place.svala(device).args(args).output().unwrap();
                assert_eq!(output.status.code(), Some(2), "{name} as {format} on {device}");
                assert!(!Path::new(&place.at("dst")).exists());
            }
        }
    }
}
