//! `svala top` over trees in which the kernel has counted page faults, or has not.

use std::fs;
use std::io::{BufRead, BufReader};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::machine::Machine;
use crate::support::Place;

const BONDS: &str = "sys/kernel/debug/iommu_iopf/bonds";

/// As `iopf_rust_bonds_show` of `kernel-support/linux` prints it, with one bond that has `groups` groups.
fn printed(groups: u64) -> String {
    format!(
        "# device pasid users groups in_flight success invalid failure overflows pages ahead hits no_memory waits \
         waits_over latency_log2_ns\n0000:00:03.0 7 2 {groups} 1 {} 3 0 2 {} 40 30 0 5 4 14:2,16:{},\n",
        groups - 4,
        groups + 1,
        groups - 2
    )
}

fn machine(groups: u64) -> Machine {
    let machine = Machine::empty();
    machine.write(BONDS, &printed(groups));
    machine
}

#[test]
fn one_table_has_what_the_kernel_counted() {
    let output = machine(104).svala(&["top", "--once"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]), "{text}");
    let lines: Vec<_> = text.lines().collect();
    assert_eq!((lines.len(), lines[0]), (3, "1 bonds, 104 groups of 105 page requests, 1 in flight"));
    let words: Vec<_> = lines[2].split_whitespace().collect();
    assert_eq!(words.join(" "), "0000:00:03.0 7 2 104 - 105 1 100 3 0 2 40 30 5 4 65 us 65 us");
}

#[test]
fn programs_get_one_object() {
    let (report, code) = machine(104).json(&["top"]);
    assert_eq!(code, 0);
    let expected = json!({
        "device": "0000:00:03.0", "pasid": 7, "users": 2, "groups": 104, "in_flight": 1, "success": 100, "invalid": 3,
        "failure": 0, "overflows": 2, "pages": 105, "ahead": 40, "hits": 30, "no_memory": 0, "waits": 5, "waits_over": 4,
        "latency": [{"below_ns": 16384, "answers": 2}, {"below_ns": 65536, "answers": 102}],
        "median_ns": 65536, "p99_ns": 65536,
    });
    assert_eq!(report["bonds"], Value::Array(vec![expected]));
}

/// A second table has rates; a signal is how it ends.
#[test]
fn tables_follow_each_other_until_a_signal() {
    let machine = machine(104);
    let root = machine.root().to_str().unwrap().to_owned();
    let place = Place::new();
    let mut running = place.start("software", ["top", "--interval", "100", "--root", &root]);
    let mut lines = BufReader::new(running.child().stdout.take().unwrap()).lines().map(Result::unwrap);
    let first: Vec<_> = lines.by_ref().take_while(|line| !line.is_empty()).collect();
    assert_eq!(first.len(), 3, "{first:?}");
    // In one step, so that nobody reads half of it.
    machine.write("next", &printed(1_000_104));
    fs::rename(machine.at("next"), machine.at(BONDS)).unwrap();
    // Until the change is seen: then its rate is, too.
    let changed = lines.find(|line| line.starts_with("0000:") && line.contains(" 1000104 ")).unwrap();
    let rate: f64 = changed.split_whitespace().nth(4).unwrap().parse().unwrap();
    assert!(rate > 0.0, "{changed}");
    running.signal(Signal::SIGINT);
    let (status, complaint) = running.end();
    assert_eq!((status.code(), complaint.as_str()), (Some(130), ""));
}

#[test]
fn what_is_not_there_is_said_in_one_line() {
    let place = Place::new();
    let empty = Machine::empty();
    place.check_trouble(&empty.svala(&["top"]).output().unwrap(), "does not count the page faults");
    let other = Machine::empty();
    other.write(BONDS, "bonds of another kernel\n");
    place.check_trouble(&other.svala(&["top"]).output().unwrap(), "in a form this program does not know");
    let (report, code) = empty.json(&["top"]);
    assert_eq!(code, 2);
    assert!(report["error"].as_str().unwrap().contains("iommu_iopf/bonds"), "{report}");
}

/// More often than a tenth of a second is no table for people; a wait without end is no wait.
#[test]
fn intervals_have_bounds() {
    for interval in ["0", "99", "3600001", "-1", "soon"] {
        let output = machine(104).svala(&["top", "--interval", interval]).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{interval}");
    }
}
