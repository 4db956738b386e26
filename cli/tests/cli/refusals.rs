//! What is refused: one line with the file's name and the reason, status 2, and nothing left behind.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use crate::machine::Machine;
use crate::support::{DEVICES, Place};

/// Every command that reads `path`, and what it complains about.
fn refused_as_input(place: &Place, path: &str, needle: &str) {
    for device in DEVICES {
        place.trouble(device, ["copy", path, "dst"], needle);
        place.trouble(device, ["crc", path], needle);
        place.trouble(device, ["compare", path, "good"], needle);
        place.trouble(device, ["compare", "good", path], needle);
        place.trouble(device, ["compress", path, "-o", "dst"], needle);
        place.trouble(device, ["decompress", path, "-o", "dst"], needle);
    }
}

/// Every command that writes `path`.
fn refused_as_output(place: &Place, path: &str, needle: &str, force: bool) {
    let force: &[&str] = if force { &["--force"] } else { &[] };
    for device in DEVICES {
        for args in [
            &["copy", "good", path][..],
            &["fill", path, "--size", "5", "--pattern", "00"],
            &["compress", "good", "-o", path],
            &["decompress", "good.gz", "-o", path],
        ] {
            place.trouble(device, args.iter().chain(force), needle);
        }
    }
}

fn place() -> Place {
    let place = Place::new();
    place.file("good", b"good");
    place.run("software", ["compress", "good", "-o", "good.gz"]);
    place
}

#[test]
fn what_is_not_there_or_not_a_file_is_no_input() {
    let place = place();
    fs::create_dir(place.at("directory")).unwrap();
    mkfifo(&place.at("fifo"), Mode::S_IRWXU).unwrap();
    let _listener = UnixListener::bind(place.at("socket")).unwrap();
    symlink("nowhere", place.at("dangling")).unwrap();
    symlink("loop", place.at("loop")).unwrap();
    refused_as_input(&place, "missing", "missing: No such file");
    refused_as_input(&place, "directory", "directory: is a directory");
    refused_as_input(&place, "fifo", "fifo: is a FIFO");
    refused_as_input(&place, "socket", "socket: is a socket");
    refused_as_input(&place, "/dev/null", "/dev/null: is a character device");
    refused_as_input(&place, "dangling", "dangling: No such file");
    refused_as_input(&place, "loop", "loop: Too many levels");
    refused_as_input(&place, "good/below", "good/below: Not a directory");
    refused_as_input(&place, &"n".repeat(300), "File name too long");
    // Permissions do not stop root, this file stops everybody: nothing is mapped at address 0.
    refused_as_input(&place, "/proc/self/mem", "/proc/self/mem: Input/output error");
}

#[test]
fn a_file_without_a_size_is_not_copied_as_empty() {
    let place = place();
    for device in DEVICES {
        place.trouble(device, ["copy", "/proc/version", "dst"], "has no size but has contents");
        place.trouble(device, ["compare", "/proc/version", "good"], "has no size but has contents");
    }
}

#[test]
fn what_exists_is_not_replaced_unasked() {
    let place = place();
    place.file("old", b"old");
    symlink("nowhere", place.at("dangling")).unwrap();
    refused_as_output(&place, "old", "old: exists (--force replaces it)", false);
    refused_as_output(&place, "dangling", "dangling: exists", false);
    assert_eq!(fs::read(place.at("old")).unwrap(), b"old");
}

#[test]
fn what_is_not_a_file_is_not_replaced_at_all() {
    let place = place();
    fs::create_dir(place.at("directory")).unwrap();
    symlink("nowhere", place.at("dangling")).unwrap();
    for force in [false, true] {
        refused_as_output(&place, "directory", "directory: is a directory", force);
        refused_as_output(&place, "directory/", "directory/: names a directory", force);
        refused_as_output(&place, "/dev/null", "/dev/null: is a character device", force);
        refused_as_output(&place, "missing/dst", "missing/dst: creating it: No such file", force);
        refused_as_output(&place, "good/dst", "good/dst: Not a directory", force);
        refused_as_output(&place, &"n".repeat(300), "File name too long", force);
        // Nobody makes files there, root neither.
        refused_as_output(&place, "/proc/svala-dst", "/proc/svala-dst: creating it: ", force);
        refused_as_output(&place, "/sys/svala-dst", "/sys/svala-dst: creating it: ", force);
    }
    refused_as_output(&place, "dangling", "dangling: following the link", true);
}

#[test]
fn a_file_is_not_made_from_itself() {
    let place = place();
    symlink("good", place.at("link")).unwrap();
    fs::hard_link(place.at("good"), place.at("hard")).unwrap();
    for device in DEVICES {
        for other in ["good", "./good", "link", "hard"] {
            place.trouble(device, ["copy", "--force", "good", other], "are the same file");
            place.trouble(device, ["compress", "--force", "good", "-o", other], "are the same file");
        }
        place.trouble(device, ["decompress", "-f", "good.gz", "-o", "good.gz"], "are the same file");
    }
    assert_eq!(fs::read(place.at("good")).unwrap(), b"good");
}

#[test]
fn a_file_that_cannot_be_read_does_not_stop_the_others() {
    let place = Place::new();
    place.file("a", b"123456789");
    place.file("c", b"");
    for device in DEVICES {
        let output = place.svala(device).args(["crc", "a", "missing", "c"]).output().unwrap();
        place.check_trouble(&output, "missing: No such file");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "e3069283  a\n00000000  c\n");
    }
}

#[test]
fn devices_that_do_not_exist_are_refused() {
    let place = place();
    place.trouble("/dev/dsa/wq99.99", ["crc", "good"], "device /dev/dsa/wq99.99: No such file");
    for device in ["/dev/null", "wq99.99"] {
        place.trouble(device, ["crc", "good"], &format!("device {device}: no"));
        place.trouble(device, ["crc", "good"], "'svala doctor' says what is missing");
    }
    for device in ["hardware", "wq0", "wq0.x"] {
        let output = place.svala(device).args(["crc", "good"]).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
    }
}

/// Where the kernel shows the queue, the reason is its own.
#[test]
fn a_work_queue_that_cannot_be_used_is_refused_with_the_reason() {
    let refused = |device: &str, damage: fn(&Machine), needle: &str| {
        let machine = Machine::right();
        damage(&machine);
        let place = Place::new();
        place.file("good", b"good");
        let root = machine.root().to_str().unwrap();
        place.trouble(device, ["crc", "good", "--root", root], needle);
        place.trouble(device, ["crc", "good", "--root", root], "svala doctor");
    };
    refused("wq0.0", |machine| machine.dsa("state", "disabled"), "device dsa0: disabled (");
    refused("wq0.0", |machine| machine.dsa("wq0.0/state", "disabled"), "device wq0.0: disabled (");
    refused("wq0.0", |machine| machine.dsa("wq0.0/type", "kernel"), "wq0.0: of type kernel and not user");
    refused("wq0.1", |machine| machine.dsa("pasid_enabled", "0"), "dsa0: user PASID is not enabled");
    refused("wq1.0", |machine| machine.remove("dev/iax/wq1.0"), "dev/iax/wq1.0: not there");
    refused("wq0.0", |_| (), "dev/dsa/wq0.0: not the device node of wq0.0");
    refused("wq0.7", |_| (), "wq0.7: not a work queue of a DSA or IAA; there are wq0.0 wq0.1 wq1.0");
    refused("/dev/null", |_| (), "/dev/null: not a work queue");
    refused("wq0.0", |machine| machine.remove("sys/bus/dsa/devices"), "wq0.0: no work queues: ");
}

/// By the path of its node, whether the node is there or not, also by another name.
#[test]
fn a_work_queue_is_known_by_the_path_of_its_node() {
    let machine = Machine::right();
    machine.dsa("wq0.0/state", "disabled");
    let root = machine.root().to_str().unwrap();
    let place = Place::new();
    place.file("good", b"good");
    symlink(machine.at("dev/dsa/wq0.0"), place.at("queue")).unwrap();
    for path in [machine.at("dev/dsa/wq0.0"), place.at("queue")] {
        place.trouble(path.to_str().unwrap(), ["crc", "good", "--root", root], "wq0.0: disabled");
    }
    machine.remove("dev/dsa/wq0.0");
    let path = machine.at("dev/dsa/wq0.0");
    place.trouble(path.to_str().unwrap(), ["crc", "good", "--root", root], "wq0.0: disabled");
}

/// Hardware that cannot be used does not keep `auto` from working, on the CPU.
#[test]
fn auto_goes_on_without_a_queue_that_cannot_be_used() {
    let machine = Machine::right();
    let place = Place::new();
    place.file("a", b"123456789");
    let output = place.run("auto", ["crc", "a", "--root", machine.root().to_str().unwrap()]);
    assert_eq!(String::from_utf8_lossy(&output), "e3069283  a\n");
}

#[test]
fn a_device_that_may_not_fault_says_where_it_did() {
    let place = place();
    place.trouble("emulated", ["copy", "good", "dst", "--faults", "fail"], "fault at 0x");
    place.trouble("emulated", ["crc", "good", "--faults", "fail"], "fault at 0x");
}

#[test]
fn usage_that_makes_no_sense_has_status_2() {
    let place = place();
    for args in [
        &["fill", "dst", "--size", "12Q", "--pattern", "00"][..],
        &["fill", "dst", "--size", "-1", "--pattern", "00"],
        &["fill", "dst", "--size", "1", "--pattern", "xyz"],
        &["compress", "good", "-o", "dst", "--level", "0"],
        &["compress", "good", "-o", "dst", "--format", "zip"],
        &["compress", "good"],
        &["copy", "good", "dst", "--faults", "sometimes"],
        &["explode"],
        &[],
    ] {
        let output = place.svala("software").args(args).output().unwrap();
        assert_eq!((output.status.code(), output.stderr.is_empty()), (Some(2), false), "{args:?}");
    }
    assert_eq!(place.names(), ["good", "good.gz"]);
}

#[test]
fn data_and_json_do_not_share_standard_output() {
    let place = place();
    for args in [["compress", "good", "-o", "-", "--json"], ["decompress", "good.gz", "-o", "-", "--json"]] {
        let output = place.svala("software").args(args).output().unwrap();
        place.check_trouble(&output, "standard output");
    }
}

#[test]
fn help_says_what_the_exit_status_means() {
    let place = Place::new();
    let help = String::from_utf8(place.run("software", ["--help"])).unwrap();
    for word in ["Exit status", "130", "Examples", "--device", "decompress"] {
        assert!(help.contains(word), "{word}");
    }
    for command in [
        "copy",
        "crc",
        "compare",
        "fill",
        "compress",
        "decompress",
        "list",
        "doctor",
        "configure",
        "delta",
        "dif",
        "bench",
    ] {
        let help = String::from_utf8(place.run("software", [command, "--help"])).unwrap();
        assert!(help.contains("Example") && !help.contains("--root"), "{command}");
    }
}
