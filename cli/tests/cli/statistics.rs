//! --json, --stats and list: what they say.

use std::fs::{self, File};

use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use serde_json::Value;

use crate::support::{DEVICES, Place, contents};

fn json(place: &Place, device: &str, args: &[&str]) -> Value {
    serde_json::from_slice(&place.run(device, [args, &["--json"]].concat())).unwrap()
}

/// Writes the file out and has the kernel forget it.
fn make_cold(place: &Place, name: &str) {
    let file = File::open(place.at(name)).unwrap();
    file.sync_all().unwrap();
    posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED).unwrap();
}

#[test]
fn each_command_says_what_it_did_as_json() {
    let place = Place::new();
    place.file("src", &contents(100_000));
    for device in DEVICES {
        let commands: [(&[&str], &[&str]); 6] = [
            (&["copy", "src", "copy", "-f"], &["source", "destination", "bytes"]),
            (&["crc", "src"], &["files"]),
            (&["compare", "src", "copy"], &["a", "b", "equal", "difference_offset", "eof_on"]),
            (&["fill", "fill", "-f", "--size", "1M", "--pattern", "00"], &["destination", "bytes"]),
            (&["compress", "src", "-f", "-o", "gz"], &["source", "destination", "bytes", "compressed_bytes"]),
            (&["decompress", "gz", "-f", "-o", "out"], &["format", "bytes", "compressed_bytes", "members"]),
        ];
        for (args, fields) in commands {
            let result = json(&place, device, args);
            assert_eq!((&result["command"], &result["exit"]), (&args[0].into(), &0.into()));
            for field in fields {
                assert!(result.get(field).is_some(), "{field} of {result}");
            }
            let stats = result["stats"].as_object().unwrap();
            for field in [
                "device",
                "operations",
                "bytes",
                "seconds",
                "sync_seconds",
                "gb_per_second",
                "note",
                "paths",
                "faults",
                "resolutions",
                "pages_populated",
                "resubmissions",
                "resolver",
                "resolver_reason",
                "peak_rss_bytes",
            ] {
                assert!(stats.contains_key(field), "{field} of {result}");
            }
            assert_eq!(stats["paths"][0]["kind"], device, "{result}");
        }
    }
}

#[test]
fn json_says_what_went_wrong() {
    let place = Place::new();
    place.file("a", b"one");
    place.file("b", b"two");
    let output = place.svala("software").args(["compare", "a", "b", "--json"]).output().unwrap();
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&result["equal"], &result["difference_offset"], &result["exit"]),
        (&false.into(), &0.into(), &1.into())
    );
    let output = place.svala("software").args(["copy", "missing", "b", "--json"]).output().unwrap();
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&result["command"], &result["exit"]), (&"copy".into(), &2.into()));
    assert!(result["error"].as_str().unwrap().contains("missing"));
}

#[test]
fn a_cold_copy_meets_faults_and_resolves_many_pages_at_once() {
    let place = Place::new();
    let bytes = 256_u64 << 20;
    place.run("software", ["fill", "src", "--size", "256M", "--pattern", "0123456789abcdef"]);
    make_cold(&place, "src");
    let result = json(&place, "emulated", &["copy", "src", "dst"]);
    let stats = &result["stats"];
    let count = |field: &str| stats[field].as_u64().unwrap();
    assert!(count("faults") > 0 && count("resolutions") > 0, "{stats}");
    assert!(count("resolutions") <= bytes / (512 << 10), "{stats}");
    assert!(count("pages_populated") >= 128 * count("resolutions"), "{stats}");
    assert_eq!(
        (&stats["bytes"], &stats["note"]),
        (&bytes.into(), &"emulated: no statement about hardware".into())
    );
    // Two windows of two files, and the program itself.
    assert!(count("peak_rss_bytes") < 192 << 20, "{stats}");
}

#[test]
fn statistics_are_for_people() {
    let place = Place::new();
    place.file("src", &contents(100_000));
    for (device, words) in [
        ("software", &["software (asked for)", "0 met", "GB/s"][..]),
        (
            "emulated",
            &[
                "emulated (emu-dsa)",
                "resolutions",
                "pages populated",
                "emulated: no statement about hardware",
            ],
        ),
        ("auto", &["software (no accelerator)"]),
    ] {
        if device == "auto" && fs::exists("/sys/bus/dsa/devices").unwrap() {
            continue;
        }
        let output = place.svala(device).args(["copy", "src", "dst", "-f", "--stats"]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.stdout.is_empty());
        for word in words {
            assert!(said.contains(word), "{word:?} in {said}");
        }
    }
}

/// No silent fallback: the CPU did it, and why.
#[test]
fn what_a_device_cannot_do_says_why() {
    let place = Place::new();
    place.file("src", &contents(33 << 20));
    let zlib = json(&place, "emulated", &["compress", "src", "-o", "z", "--format", "zlib"]);
    assert_eq!(zlib["stats"]["paths"][0]["reason"]["why"], "check");
    json(&place, "emulated", &["compress", "src", "-o", "gz"]);
    let large = json(&place, "emulated", &["decompress", "gz", "-o", "out"]);
    assert_eq!(large["stats"]["paths"][0]["reason"]["why"], "large");
}

#[test]
fn the_list_has_queues_and_hardware() {
    let place = Place::new();
    for (device, queues) in [("software", 1), ("emulated", 3)] {
        let list = json(&place, device, &["list"]);
        assert_eq!(list["queues"].as_array().unwrap().len(), queues);
        for queue in list["queues"].as_array().unwrap() {
            for field in ["name", "kind", "operations", "address_mode", "depth", "batch_max"] {
                assert!(queue.get(field).is_some(), "{field} of {queue}");
            }
        }
        for finding in list["hardware"].as_array().unwrap() {
            assert!(finding["found"].is_boolean() && finding["detail"].is_string(), "{finding}");
        }
        let text = String::from_utf8(place.run(device, ["list"])).unwrap();
        assert!(text.contains("cpu") && text.contains("DSA device"), "{text}");
    }
}

#[test]
fn quiet_prints_nothing() {
    let place = Place::new();
    place.file("src", b"x");
    for args in [&["crc", "src"][..], &["list"], &["compare", "src", "src"]] {
        assert_eq!(place.run("software", [args, &["--quiet"]].concat()), b"");
    }
}

#[test]
fn tracing_goes_to_standard_error() {
    let place = Place::new();
    place.file("src", b"x");
    let output = place.svala("software").args(["crc", "src", "-v"]).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("engine open"));
    assert_eq!(String::from_utf8_lossy(&output.stdout).lines().count(), 1);
}
