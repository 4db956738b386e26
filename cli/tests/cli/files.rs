//! copy, crc, compare and fill: what they make and find.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

use crate::judges::{crc32c, crc64, same};
use crate::support::{DEVICES, Place, SIZES, contents};

/// The file of each size, and the large one with holes.
fn sources(place: &Place) -> Vec<PathBuf> {
    let mut sources: Vec<_> =
        SIZES.iter().map(|bytes| place.file(&format!("src-{bytes}"), &contents(*bytes))).collect();
    sources.push(place.holes_with_data("src-holes"));
    sources
}

#[test]
fn a_copy_is_equal() {
    let place = Place::new();
    for source in sources(&place) {
        for device in DEVICES {
            let copy = place.at(format!("copy-{device}"));
            let printed = place.run(device, [&"copy".into(), &"--force".into(), &source, &copy]);
            assert_eq!(printed, b"");
            same(&source, &copy);
        }
    }
}

#[test]
fn a_copy_under_each_fault_policy_is_equal() {
    let place = Place::new();
    let source = place.holes_with_data("src");
    for policy in ["resolve", "prefetch", "block"] {
        let copy = place.at(format!("copy-{policy}"));
        place.run("emulated", ["copy", "src", &format!("copy-{policy}"), "--faults", policy]);
        same(&source, &copy);
    }
}

#[test]
fn a_copy_keeps_the_permission_bits() {
    let place = Place::new();
    for mode in [0o600, 0o750, 0o444] {
        let source = place.file(&format!("src-{mode:o}"), b"x");
        fs::set_permissions(&source, fs::Permissions::from_mode(mode)).unwrap();
        place.run("software", ["copy".as_ref(), source.as_os_str(), "--force".as_ref(), "dst".as_ref()]);
        // The usual umasks take nothing from these that matters here.
        assert_eq!(fs::metadata(place.at("dst")).unwrap().permissions().mode() & 0o700, mode & 0o700);
    }
}

#[test]
fn force_replaces_what_a_link_names_and_keeps_the_link() {
    let place = Place::new();
    place.file("src", b"new");
    place.file("old", b"old");
    symlink("old", place.at("link")).unwrap();
    place.run("software", ["copy", "--force", "src", "link"]);
    assert!(fs::symlink_metadata(place.at("link")).unwrap().is_symlink());
    assert_eq!(fs::read(place.at("old")).unwrap(), b"new");
    assert_eq!(place.names(), ["link", "old", "src"]);
}

#[test]
fn the_checksum_is_that_of_the_crc_crate() {
    let place = Place::new();
    for source in sources(&place) {
        let expected = format!("{:08x}  {}\n", crc32c(&fs::read(&source).unwrap()), source.display());
        for device in DEVICES {
            let printed = place.run(device, ["crc".as_ref(), source.as_os_str()]);
            assert_eq!(String::from_utf8_lossy(&printed), expected, "on {device}");
        }
    }
}

#[test]
fn a_stream_has_the_checksum_of_its_bytes() {
    let place = Place::new();
    for bytes in [0, 1, 4 << 20, (4 << 20) + 1] {
        let data = contents(bytes);
        let expected = format!("{:08x}  -\n", crc32c(&data));
        for device in DEVICES {
            let output = place.svala(device).args(["crc", "-"]).write_stdin(data.clone()).output().unwrap();
            assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
        }
    }
}

#[test]
fn a_file_without_a_size_is_read_to_its_end() {
    let place = Place::new();
    let printed = place.run("software", ["crc", "/proc/version"]);
    let expected = crc32c(&fs::read("/proc/version").unwrap());
    assert_eq!(String::from_utf8_lossy(&printed), format!("{expected:08x}  /proc/version\n"));
}

#[test]
fn a_name_that_is_not_unicode_is_printed_as_it_is() {
    let place = Place::new();
    let name = std::ffi::OsStr::from_bytes(b"\xff\xfe");
    fs::write(place.at(name), b"123456789").unwrap();
    assert_eq!(place.run("software", ["crc".as_ref(), name]), b"e3069283  \xff\xfe\n");
}

#[test]
fn equal_files_compare_equal_in_silence() {
    let place = Place::new();
    for source in sources(&place) {
        fs::copy(&source, place.at("other")).unwrap();
        for device in DEVICES {
            let other = place.at("other");
            assert_eq!(place.run(device, ["compare".as_ref(), source.as_os_str(), other.as_os_str()]), b"");
        }
    }
}

#[test]
fn the_first_difference_is_found_where_it_is() {
    let place = Place::new();
    let a = place.holes_with_data("a");
    for offset in [0, 1, 4096, (32 << 20) - 1, 32 << 20, (64 << 20) - 1] {
        let b = place.at("b");
        fs::copy(&a, &b).unwrap();
        let mut data = fs::read(&b).unwrap();
        data[offset] ^= 0x55;
        // A later one does not matter.
        *data.last_mut().unwrap() ^= 0x11;
        fs::write(&b, &data).unwrap();
        for device in DEVICES {
            let output = place.svala(device).args(["compare", "a", "b"]).output().unwrap();
            let printed = String::from_utf8_lossy(&output.stdout);
            assert_eq!(output.status.code(), Some(1), "{printed}");
            assert!(printed.starts_with(&format!("a b differ: byte {}: ", offset + 1)), "{printed}");
        }
    }
}

#[test]
fn a_file_that_is_the_beginning_of_another_differs_at_its_end() {
    let place = Place::new();
    place.file("long", &contents(5000));
    place.file("short", &contents(4096));
    place.file("empty", b"");
    for device in DEVICES {
        for (a, b, message) in [
            ("long", "short", "svala: EOF on short after byte 4096\n"),
            ("short", "long", "svala: EOF on short after byte 4096\n"),
            ("empty", "long", "svala: EOF on empty which is empty\n"),
        ] {
            let output = place.svala(device).args(["compare", a, b]).output().unwrap();
            assert_eq!(output.status.code(), Some(1));
            assert_eq!(String::from_utf8_lossy(&output.stderr), message);
        }
        let output = place.svala(device).args(["compare", "long", "short", "--quiet"]).output().unwrap();
        assert_eq!((output.status.code(), output.stderr.len(), output.stdout.len()), (Some(1), 0, 0));
    }
}

#[test]
fn a_fill_repeats_the_pattern_from_the_first_byte_on() {
    let place = Place::new();
    for device in DEVICES {
        for (size, bytes) in [("0", 0), ("1", 1), ("4097", 4097), ("33M", 33 << 20)] {
            place.run(device, ["fill", "dst", "--force", "--size", size, "--pattern", "deadbeef"]);
            let expected: Vec<u8> = [0xde, 0xad, 0xbe, 0xef].into_iter().cycle().take(bytes).collect();
            assert!(fs::read(place.at("dst")).unwrap() == expected, "{size} on {device}");
        }
    }
}

#[test]
fn sixteen_bytes_are_repeated_too() {
    let place = Place::new();
    for device in DEVICES {
        let pattern = "000102030405060708090a0b0c0d0e0f";
        place.run(device, ["fill", "dst", "-f", "--size", "33000001", "--pattern16", pattern]);
        let expected: Vec<u8> = (0..16).cycle().take(33_000_001).collect();
        assert!(fs::read(place.at("dst")).unwrap() == expected, "on {device}");
    }
    for args in [&["--pattern", "00", "--pattern16", "00"][..], &[], &["--pattern16", "00"]] {
        let output = place.svala("software").args(["fill", "x", "--size", "1"]).args(args).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}");
    }
}

#[test]
fn the_crc_of_64_bits_is_that_of_the_crc_crate() {
    let place = Place::new();
    for source in sources(&place) {
        let data = fs::read(&source).unwrap();
        let expected = format!("{:016x}  {}\n", crc64(&data), source.display());
        for device in DEVICES {
            let args = ["crc".as_ref(), "--kind".as_ref(), "crc64".as_ref(), source.as_os_str()];
            assert_eq!(String::from_utf8_lossy(&place.run(device, args)), expected, "on {device}");
        }
    }
    let output =
        place.svala("software").args(["crc", "--kind", "crc64", "-"]).write_stdin("123456789").output();
    assert_eq!(
        String::from_utf8_lossy(&output.unwrap().stdout),
        format!("{:016x}  -\n", crc64(b"123456789"))
    );
}

#[test]
fn a_copy_says_the_crc_of_what_it_copied() {
    let place = Place::new();
    for source in sources(&place) {
        let data = fs::read(&source).unwrap();
        let (short, long) =
            (format!("{:08x}  copy\n", crc32c(&data)), format!("{:016x}  copy\n", crc64(&data)));
        for device in DEVICES {
            for (option, expected) in [("--crc", &short), ("--crc=crc32c", &short), ("--crc=crc64", &long)] {
                let args =
                    ["copy".as_ref(), "-f".as_ref(), source.as_os_str(), "copy".as_ref(), option.as_ref()];
                assert_eq!(String::from_utf8_lossy(&place.run(device, args)), *expected, "on {device}");
                same(&source, &place.at("copy"));
            }
        }
    }
}

#[test]
fn the_first_byte_that_is_not_the_pattern_is_found() {
    let place = Place::new();
    let pattern = [0xde, 0xad, 0xbe, 0xef];
    let good: Vec<u8> = pattern.into_iter().cycle().take((33 << 20) + 3).collect();
    place.file("good", &good);
    place.file("empty", b"");
    for device in DEVICES {
        for name in ["good", "empty"] {
            assert_eq!(place.run(device, ["compare", name, "--pattern", "deadbeef"]), b"");
        }
        for offset in [0, 1, 4097, 32 << 20, good.len() - 1] {
            let mut bad = good.clone();
            bad[offset] ^= 0x10;
            *bad.last_mut().unwrap() ^= 0x01;
            place.file("bad", &bad);
            let output =
                place.svala(device).args(["compare", "bad", "--pattern", "0xdeadbeef"]).output().unwrap();
            let (found, wanted) = (bad[offset], pattern[offset % 4]);
            let expected =
                format!("bad differs from the pattern: byte {}: {found:#04x}, {wanted:#04x}\n", offset + 1);
            assert_eq!(String::from_utf8_lossy(&output.stdout), expected, "on {device}");
            assert_eq!(output.status.code(), Some(1));
        }
    }
    let output = place.svala("software").args(["compare", "good"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn the_result_for_programs_goes_to_a_file_if_asked() {
    let place = Place::new();
    place.file("a", b"123456789");
    assert_eq!(place.run("software", ["crc", "a", "--json=out"]), b"e3069283  a\n");
    let result: serde_json::Value = serde_json::from_slice(&fs::read(place.at("out")).unwrap()).unwrap();
    assert_eq!(result["files"][0]["crc32c"], "e3069283");
    place.trouble("software", ["crc", "a", "--json=out"], "out: exists (--force");
    place.run("software", ["crc", "a", "--json=out", "--force"]);
}
