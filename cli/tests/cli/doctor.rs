//! `svala doctor` over trees: a machine that is right, and one for each thing that can be wrong.

mod devices;
mod platform;
mod process;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::net::UnixListener;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use serde_json::Value;

use crate::machine::Machine;
use crate::support::{Place, SVALA};

/// What is not ok and not unneeded: "id" or "id of subject", with the verdict.
fn complaints(report: &Value) -> BTreeSet<String> {
    let lines = report["findings"].as_array().unwrap().iter();
    lines
        .filter(|line| !["ok", "not_needed"].contains(&line["verdict"].as_str().unwrap()))
        .map(|line| {
            let subject = line["subject"].as_str().map_or(String::new(), |subject| format!(" of {subject}"));
            format!("{}{subject}: {}", line["id"].as_str().unwrap(), line["verdict"].as_str().unwrap())
        })
        .collect()
}

fn finding<'a>(report: &'a Value, id: &str) -> &'a Value {
    report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .find(|line| line["id"] == id)
        .unwrap_or_else(|| panic!("no {id}"))
}

/// One thing that is wrong.
struct Case {
    /// What is done to a machine that is right.
    damage: fn(&Machine),
    /// What the doctor complains about, and nothing else.
    complaints: &'static [&'static str],
    /// In the first complaint's evidence and in its remedy.
    evidence: &'static str,
    remedy: &'static str,
    /// Whether a queue can be used all the same.
    usable: bool,
}

fn check(case: &Case) {
    let machine = Machine::right();
    (case.damage)(&machine);
    let (report, code) = machine.json(&["doctor"]);
    let expected: BTreeSet<_> = case.complaints.iter().map(|&complaint| complaint.to_owned()).collect();
    assert_eq!(complaints(&report), expected);
    assert_eq!(
        (code, report["usable"].as_array().unwrap().is_empty()),
        (i32::from(!case.usable), !case.usable),
        "{expected:?}"
    );
    let Some(first) = case.complaints.first() else { return };
    let (id, _) = first.split_once([' ', ':']).unwrap();
    let line = finding(&report, id);
    let evidence = line["evidence"].to_string();
    assert!(evidence.contains(case.evidence), "{:?} in {evidence}", case.evidence);
    let remedy = line["remedy"].as_str().unwrap();
    assert!(remedy.contains(case.remedy), "{:?} in {remedy}", case.remedy);
}

#[test]
fn a_machine_that_is_right_has_nothing_to_mend() {
    let machine = Machine::right();
    let (report, code) = machine.json(&["doctor"]);
    assert!(complaints(&report).is_empty(), "{:?}", complaints(&report));
    assert_eq!((code, &report["usable"]), (0, &serde_json::json!(["wq0.0", "wq0.1", "wq1.0"])));
    assert_eq!(report["accelerators"], 2);
    // Every line says what it read, but where there is nothing to read.
    for line in report["findings"].as_array().unwrap() {
        let is_silent = line["evidence"].as_array().unwrap().is_empty();
        assert!(!is_silent || line["verdict"] == "not_needed", "{line}");
        assert_eq!(line["remedy"], Value::Null, "{line}");
    }
}

#[test]
fn a_machine_with_nothing_is_served_by_the_cpu() {
    let machine = Machine::empty();
    let (report, code) = machine.json(&["doctor"]);
    assert_eq!((code, report["accelerators"].as_u64()), (1, Some(0)));
    let text = String::from_utf8(machine.svala(&["doctor"]).output().unwrap().stdout).unwrap();
    assert!(
        text.contains("the CPU engine serves every operation") && text.contains("-> modprobe idxd"),
        "{text}"
    );
    let status = machine.svala(&["doctor", "--allow-software"]).output().unwrap().status;
    assert_eq!(status.code(), Some(0));
}

/// Software may serve where there is nothing to mend; a broken accelerator is to be mended.
#[test]
fn allowing_software_does_not_hide_a_broken_device() {
    let machine = Machine::right();
    machine.remove("dev");
    let status = machine.svala(&["doctor", "--allow-software"]).output().unwrap().status;
    assert_eq!(status.code(), Some(1));
}

/// What this machine is nobody knows; the doctor says something of all of it, and changes nothing.
#[test]
fn this_machine_is_examined() {
    let place = Place::new();
    let output = place.svala("auto").args(["doctor", "--json"]).output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(matches!(output.status.code(), Some(0 | 1)));
    let fields = ["id", "group", "subject", "title", "verdict", "required", "text", "evidence", "remedy"];
    for line in report["findings"].as_array().unwrap() {
        assert!(fields.iter().all(|field| line.get(field).is_some()), "{line}");
        let mends = matches!(line["verdict"].as_str(), Some("wrong" | "unknown"));
        assert_eq!(mends, line["remedy"].is_string(), "{line}");
    }
    assert_eq!(finding(&report, "kernel_version")["verdict"], "ok");
    assert_ne!(finding(&report, "io_uring")["verdict"], "unknown");
}

/// One line each, also where files say terrible things.
#[test]
fn hostile_files_do_not_break_lines_or_hang() {
    let machine = Machine::right();
    machine.write("proc/cmdline", "intel_iommu=on,\x1b[2J\x07evil\n");
    machine.write("sys/kernel/mm/transparent_hugepage/enabled", &"x\n".repeat(10_000));
    fs::write(machine.at("sys/class/iommu/dmar5/intel-iommu/cap"), [0xff; 100]).unwrap();
    fs::write(machine.at("proc/config.gz"), b"\x1f\x8bnot gzip").unwrap();
    machine.remove("proc/self/limits");
    mkfifo(&machine.at("proc/self/limits"), Mode::S_IRWXU).unwrap();
    machine.remove("probe/io_uring_setup");
    let _listener = UnixListener::bind(machine.at("probe/io_uring_setup")).unwrap();
    machine.remove("sys/module/idxd/parameters/sva");
    machine.link("sys/module/idxd/parameters/sva", "sva");
    let output = machine.svala(&["doctor"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(!text.contains(['\x1b', '\x07']), "{text}");
    assert!(text.contains("intel_iommu=on,?[2J?evil"), "{text}");
    let (report, _) = machine.json(&["doctor"]);
    let groups = 7;
    assert_eq!(text.lines().count(), report["findings"].as_array().unwrap().len() + groups + 1, "{text}");
    assert!(text.lines().all(|line| line.chars().count() < 2000));
}

#[test]
fn a_file_that_must_not_be_read_is_unknown() {
    let machine = Machine::right();
    // A directory stops everybody, permissions would not stop root.
    for path in [
        "proc/self/status",
        "sys/class/iommu/dmar5/intel-iommu/ecap",
        "proc/cpuinfo",
        "proc/sys/kernel/osrelease",
    ] {
        machine.remove(path);
        machine.directory(path);
    }
    let (report, _) = machine.json(&["doctor"]);
    for id in ["cap_sys_rawio", "seccomp", "iommu_pasid", "iommu_prs", "iommu_five_levels", "kernel_version"]
    {
        assert_eq!(finding(&report, id)["verdict"], "unknown", "{id}");
    }
}

#[test]
fn quiet_leaves_the_exit_status() {
    let output = Machine::right().svala(&["doctor", "--quiet"]).output().unwrap();
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(0), b"".as_slice()));
    let output = Machine::empty().svala(&["doctor", "--quiet"]).output().unwrap();
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(1), b"".as_slice()));
}

/// On a terminal in colours, which `script` (util-linux) pretends to be; else, and with NO_COLOR, without.
#[test]
fn colours_are_for_terminals_that_want_them() {
    let machine = Machine::right();
    let on_terminal = |variable: &str| {
        let root = machine.root().display();
        let line = format!("TERM=xterm {variable} {SVALA} doctor --root {root}");
        let mut script = assert_cmd::Command::new("script");
        let output = script.args(["-qec", &line, "/dev/null"]).env_remove("NO_COLOR").output();
        String::from_utf8_lossy(&output.expect("script, of util-linux").stdout).into_owned()
    };
    assert!(on_terminal("").contains("\x1b[32mok"));
    assert!(!on_terminal("NO_COLOR=1").contains('\x1b'));
    assert!(on_terminal("NO_COLOR=").contains('\x1b'));
    assert!(!on_terminal("TERM=dumb").contains('\x1b'));
    let output = machine.svala(&["doctor"]).env("TERM", "xterm").output().unwrap();
    assert!(!output.stdout.contains(&0x1b));
}
