//! Limits of the system: full disks, file-size limits, sizes that no disk has.

use std::io::Write;
use std::process::{Command, Output};

use crate::support::{DEVICES, Place, SVALA, contents};

/// Runs svala beside a file system of 1 MiB at `full`, in a mount namespace of its own. Standard output ends with what
/// is left in it. None where the system allows no such thing, which is said.
fn with_small_disk(place: &Place, options: &str, args: &[&str]) -> Option<Output> {
    const SCRIPT: &str = r#"
        options=$1; shift
        mount -t tmpfs -o "$options" tmpfs full || exit 99
        "$@"; code=$?
        ls -A full
        exit $code"#;
    std::fs::create_dir_all(place.at("full")).unwrap();
    for unshare in [&["--mount"][..], &["--user", "--map-root-user", "--mount"]] {
        let mut command = Command::new("unshare");
        command.args(unshare).args(["sh", "-c", SCRIPT, "sh", options, SVALA]).args(args);
        let output = command.current_dir(place.path()).output().unwrap();
        let refused = output.status.code() == Some(99) || output.stderr.starts_with(b"unshare: ");
        if !refused {
            return Some(output);
        }
    }
    let _ = writeln!(std::io::stderr(), "NOT TESTED: a full disk needs root or user namespaces");
    None
}

#[test]
fn a_full_disk_is_an_error_and_leaves_nothing() {
    let place = Place::new();
    place.file("src", &contents(3 << 20));
    place.run("software", ["compress", "src", "-o", "src.gz"]);
    for device in DEVICES {
        for (args, needle) in [
            (&["copy", "src", "full/dst"][..], "do not fit"),
            (&["fill", "full/dst", "--size", "2M", "--pattern", "00"], "do not fit"),
            (&["compress", "src", "-o", "full/dst", "--format", "raw"], "full/dst: writing: No space left"),
            (&["decompress", "src.gz", "-o", "full/dst"], "full/dst: writing: No space left"),
        ] {
            let args = [args, &["--device", device]].concat();
            let Some(output) = with_small_disk(&place, "size=1M", &args) else { return };
            place.check_trouble(&output, needle);
            assert_eq!(String::from_utf8_lossy(&output.stdout), "", "left behind");
        }
    }
}

#[test]
fn a_file_system_without_room_for_names_or_writes_is_an_error() {
    let place = Place::new();
    place.file("src", b"x");
    for (options, needle) in [("size=1M,nr_inodes=1", "No space left"), ("ro", "Read-only file system")] {
        let Some(output) = with_small_disk(&place, options, &["copy", "src", "full/dst"]) else { return };
        place.check_trouble(&output, needle);
    }
}

#[test]
fn what_fits_exactly_is_written() {
    let place = Place::new();
    place.file("src", &contents(1 << 20));
    let args = ["copy", "src", "full/dst"];
    let Some(output) = with_small_disk(&place, "size=1M", &args) else { return };
    assert_eq!((output.status.code(), output.stdout), (Some(0), b"dst\n".to_vec()));
}

#[test]
fn a_file_size_limit_is_an_error_and_not_the_end() {
    let place = Place::new();
    place.file("src", &contents(3 << 20));
    place.run("software", ["compress", "src", "-o", "src.gz"]);
    let before = place.names();
    for device in DEVICES {
        for args in [
            &["copy", "src", "dst"][..],
            &["fill", "dst", "--size", "2M", "--pattern", "00"],
            &["compress", "src", "-o", "dst"],
            &["decompress", "src.gz", "-o", "dst"],
        ] {
            let mut limited = Command::new("prlimit");
            limited.args(["--fsize=1000000", SVALA]).args(args).args(["--device", device]);
            let output = limited.current_dir(place.path()).output().unwrap();
            place.check_trouble(&output, "File too large");
            assert_eq!(place.names(), before);
        }
    }
}

#[test]
fn a_full_standard_output_is_an_error() {
    let place = Place::new();
    place.file("src", &contents(100_000));
    for args in [&["compress", "src", "-o", "-"][..], &["crc", "src"], &["list"], &["crc", "src", "--json"]] {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let output = Command::new(SVALA).args(args).current_dir(place.path()).stdout(full).output().unwrap();
        place.check_trouble(&output, "standard output: No space left");
    }
}

#[test]
fn sizes_that_no_disk_has_are_refused_at_once() {
    let place = Place::new();
    for size in ["9223372036854775807", "8388607T", "1000T"] {
        for device in DEVICES {
            let args = ["fill", "dst", "--size", size, "--pattern", "00"];
            place.trouble(device, args, "do not fit on the file system");
        }
    }
}
