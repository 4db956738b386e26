//! Ends before the end: signals, and files that shrink while they are read.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use nix::sys::signal::Signal;

use crate::support::{DEVICES, Place, contents};

/// Large enough to be met half-way. Holes: it takes no room, and its copy is never finished.
const LARGE: u64 = 2 << 30;

fn has_temporary(place: &Place) -> bool {
    place.names().iter().any(|name| name.starts_with(".svala-"))
}

#[test]
fn a_signal_half_way_leaves_nothing() {
    let place = Place::new();
    place.sparse("src", LARGE);
    place.file("key", &[7; 32]);
    for device in DEVICES {
        for args in [
            &["copy", "src", "dst"][..],
            &["compress", "src", "-o", "dst"],
            &["fill", "dst", "--size", "2G", "--pattern", "00"],
            &["encrypt", "src", "-o", "dst", "-k", "key"],
        ] {
            for (signal, code) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143)] {
                let mut running = place.start(device, args);
                running.wait_until("temporary file", |_| has_temporary(&place));
                running.signal(signal);
                let (status, complaint) = running.end();
                assert_eq!(status.code(), Some(code), "{args:?} on {device}: {complaint}");
                assert_eq!(place.names(), ["key", "src"], "{args:?} on {device}");
            }
        }
    }
}

#[test]
fn a_signal_ends_what_only_reads() {
    let place = Place::new();
    place.sparse("src", 64 << 30);
    place.sparse("other", 64 << 30);
    for device in DEVICES {
        for args in [&["crc", "src"][..], &["compare", "src", "other"]] {
            let mut running = place.start(device, args);
            running.wait_until_mapped("/src");
            running.signal(Signal::SIGINT);
            assert_eq!(running.end().0.code(), Some(130), "{args:?} on {device}");
        }
    }
}

/// Whether the process waits in `poll`.
fn waits(process: &Path) -> bool {
    fs::read_to_string(process.join("syscall")).is_ok_and(|call| {
        let number = call.split(' ').next().and_then(|number| number.parse().ok());
        // poll and ppoll of x86-64, ppoll of the others.
        number.is_some_and(|number: i64| [7, 271, 73].contains(&number))
    })
}

/// A full pipe that nobody reads.
#[test]
fn a_signal_ends_the_wait_for_a_reader() {
    let place = Place::new();
    place.file("src", &contents(3 << 20));
    place.run("software", ["compress", "src", "-o", "src.gz"]);
    for args in [&["compress", "src", "-o", "-"][..], &["decompress", "src.gz", "-o", "-"]] {
        let mut running = place.start("software", args);
        running.wait_until("waits", waits);
        running.signal(Signal::SIGINT);
        assert_eq!(running.end().0.code(), Some(130), "{args:?}");
    }
}

#[test]
fn a_signal_ends_the_wait_for_a_pipe() {
    let place = Place::new();
    for args in [
        &["crc", "-"][..],
        &["compress", "-", "-o", "dst"],
        &["decompress", "-", "-o", "dst", "--format", "raw"],
    ] {
        let mut running = place.start("software", args);
        running.child().stdin.as_mut().unwrap().write_all(&contents(10)[..1]).unwrap();
        running.wait_until("waits", waits);
        running.signal(Signal::SIGTERM);
        assert_eq!(running.end().0.code(), Some(143), "{args:?}");
        assert!(place.names().is_empty());
    }
}

/// The process is stopped while the file is cut, so that it is always half-way.
#[test]
fn a_file_that_shrinks_half_way_is_an_error() {
    let place = Place::new();
    for device in DEVICES {
        for args in [
            &["copy", "src", "dst"][..],
            &["crc", "src"],
            &["compare", "src", "other"],
            &["compress", "src", "-o", "dst"],
        ] {
            let source = place.sparse("src", LARGE);
            place.sparse("other", LARGE);
            let mut running = place.start(device, args);
            running.wait_until_mapped("/src");
            running.signal(Signal::SIGSTOP);
            File::options().write(true).open(source).unwrap().set_len(4096).unwrap();
            running.signal(Signal::SIGCONT);
            let (status, complaint) = running.end();
            assert_eq!(status.code(), Some(2), "{args:?} on {device}: {complaint}");
            assert!(complaint.contains("svala: src: truncated while in use"), "{complaint}");
            assert!(complaint.contains("vanished"), "{complaint}");
            assert_eq!(complaint.lines().count(), 1, "{complaint}");
            assert_eq!(place.names(), ["other", "src"]);
        }
    }
}

/// A cut inside a page shows as zeros, not as a fault.
#[test]
fn a_file_that_loses_one_byte_is_an_error() {
    let place = Place::new();
    for device in DEVICES {
        let source = place.sparse("src", LARGE / 4);
        let mut running = place.start(device, ["crc", "src"]);
        running.wait_until_mapped("/src");
        running.signal(Signal::SIGSTOP);
        File::options().write(true).open(source).unwrap().set_len(LARGE / 4 - 1).unwrap();
        running.signal(Signal::SIGCONT);
        let (status, complaint) = running.end();
        assert_eq!(status.code(), Some(2), "{complaint}");
        assert!(complaint.contains("src: truncated while in use"), "{complaint}");
    }
}

/// Nobody reads what is printed: no panic, no complaint.
#[test]
fn a_closed_pipe_ends_it_quietly() {
    let place = Place::new();
    place.file("src", &contents(3 << 20));
    for args in [&["compress", "src", "-o", "-"][..], &["crc", "src", "src"]] {
        let mut running = place.start("software", args);
        drop(running.child().stdout.take());
        let (status, complaint) = running.end();
        assert_eq!((status.code(), complaint.as_str()), (Some(2), ""), "{args:?}");
    }
}
