//! `svala configure` over trees of files. The kernel's own rules are not in these: what it does with a write is tested
//! with the driver.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::machine::Machine;

const BUS: &str = "/sys/bus/dsa";

/// A DSA that nobody has configured, beside an IAA in use.
fn idle() -> Machine {
    let machine = Machine::right();
    machine.dsa("state", "disabled");
    for queue in ["wq0.0", "wq0.1"] {
        for (attribute, value) in [
            ("state", "disabled"),
            ("type", "none"),
            ("mode", "dedicated"),
            ("size", "0"),
            ("threshold", "0"),
            ("group_id", "-1"),
            ("name", ""),
            ("driver_name", ""),
            ("priority", "0"),
            ("block_on_fault", "0"),
        ] {
            machine.dsa(&format!("{queue}/{attribute}"), value);
        }
    }
    machine.dsa("engine0.0/group_id", "-1");
    machine
}

/// A configuration of one shared queue, with these changes to its attributes.
fn wanted(changes: &[(&str, Value)]) -> String {
    let mut queue = json!({
        "dev": "wq0.0", "mode": "shared", "size": 32, "threshold": 24, "priority": 5, "group_id": 0,
        "type": "user", "driver_name": "user", "name": "svala", "block_on_fault": 1,
    });
    for (attribute, value) in changes {
        queue[*attribute] = value.clone();
    }
    let group = json!({
        "dev": "group0.0", "grouped_workqueues": [queue], "grouped_engines": [{ "dev": "engine0.0", "group_id": 0 }],
    });
    json!([{ "dev": "dsa0", "groups": [group] }]).to_string()
}

/// Every file of the driver's tree and what is in it.
fn contents(machine: &Machine) -> BTreeMap<String, String> {
    fn walk(directory: &Path, all: &mut BTreeMap<String, String>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let kind = fs::symlink_metadata(&path).unwrap();
            if kind.is_dir() {
                walk(&path, all);
            } else if kind.is_file()
                && !["bind", "unbind"].contains(&path.file_name().unwrap().to_str().unwrap())
            {
                all.insert(
                    path.display().to_string(),
                    fs::read_to_string(&path).unwrap_or_default().trim().to_owned(),
                );
            }
        }
    }
    let mut all = BTreeMap::new();
    walk(&machine.at("sys/devices"), &mut all);
    all
}

/// Ends well; gives what is printed.
fn load(machine: &Machine, text: &str, options: &[&str]) -> String {
    machine.write("dsa.conf", text);
    let file = machine.at("dsa.conf");
    let args = [&["configure", "load", file.to_str().unwrap()], options].concat();
    let output = machine.svala(&args).output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), complaint.as_ref()), (Some(0), ""));
    String::from_utf8(output.stdout).unwrap()
}

/// Ends in trouble; gives the complaint, one line.
fn trouble(machine: &Machine, args: &[&str]) -> String {
    let output = machine.svala(args).output().unwrap();
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(2), b"".as_slice()), "{complaint}");
    assert!(complaint.starts_with("svala: ") && complaint.lines().count() == 1, "{complaint}");
    complaint
}

fn load_trouble(machine: &Machine, text: &str, options: &[&str]) -> String {
    machine.write("dsa.conf", text);
    let file = machine.at("dsa.conf");
    trouble(machine, &[&["configure", "load", file.to_str().unwrap()], options].concat())
}

#[test]
fn a_dry_run_prints_the_writes_and_makes_none() {
    let machine = idle();
    let before = contents(&machine);
    let text = load(&machine, &wanted(&[]), &["--dry-run", "--enable"]);
    assert!(contents(&machine) == before, "something was written");
    let queue = format!("{BUS}/devices/dsa0/wq0.0");
    for line in [
        format!("echo '32' > {queue}/size"),
        format!("echo 'shared' > {queue}/mode"),
        format!("echo '24' > {queue}/threshold"),
        format!("echo 'svala' > {queue}/name"),
        format!("echo '0' > {BUS}/devices/dsa0/engine0.0/group_id"),
        format!("echo 'dsa0' > {BUS}/drivers/idxd/bind"),
        format!("echo 'wq0.0' > {BUS}/drivers/user/bind"),
    ] {
        assert!(text.lines().any(|one| one == line), "{line:?} in {text}");
    }
    // The device before its queue, the queue at the end.
    assert!(
        text.find("idxd/bind") < text.find("user/bind") && text.trim_end().ends_with("user/bind"),
        "{text}"
    );
    let (result, _) = machine.json(&["configure", "load", machine.at("dsa.conf").to_str().unwrap(), "-n"]);
    assert_eq!((&result["dry_run"], &result["action"]), (&true.into(), &"load".into()));
    let size = json!({ "path": format!("{queue}/size"), "value": "32" });
    assert!(result["writes"].as_array().unwrap().contains(&size), "{result}");
}

#[test]
fn a_loaded_file_is_in_the_attributes() {
    let machine = idle();
    let text = load(&machine, &wanted(&[]), &["--enable"]);
    assert!(text.contains("attributes written, enabled dsa0 wq0.0"), "{text}");
    for (attribute, value) in [
        ("wq0.0/size", "32"),
        ("wq0.0/mode", "shared"),
        ("wq0.0/threshold", "24"),
        ("wq0.0/type", "user"),
        ("wq0.0/driver_name", "user"),
        ("wq0.0/name", "svala"),
        ("wq0.0/priority", "5"),
        ("wq0.0/block_on_fault", "1"),
        ("wq0.0/group_id", "0"),
        ("engine0.0/group_id", "0"),
        ("wq0.1/size", "0"),
    ] {
        assert_eq!(
            machine.read(&format!("sys/bus/dsa/devices/dsa0/{attribute}")).trim(),
            value,
            "{attribute}"
        );
    }
    assert_eq!(machine.read("sys/bus/dsa/drivers/idxd/bind").trim(), "dsa0");
    assert_eq!(machine.read("sys/bus/dsa/drivers/user/bind").trim(), "wq0.0");
    let again = load(&machine, &wanted(&[]), &[]);
    assert_eq!(again.trim(), "nothing to do: everything is as the file has it");
}

#[test]
fn a_file_comes_from_standard_input_as_well() {
    let machine = idle();
    let output =
        machine.svala(&["configure", "load", "-", "--dry-run"]).write_stdin(wanted(&[])).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains("wq0.0/size"));
}

/// All of it in one answer, and nothing touched.
#[test]
fn what_the_device_cannot_do_is_refused_before_anything_is_written() {
    let machine = idle();
    let before = contents(&machine);
    let complaint = load_trouble(
        &machine,
        &wanted(&[("size", 500.into()), ("priority", 16.into()), ("mode", "sharing".into())]),
        &["--enable"],
    );
    for needle in ["dsa.conf: nothing was changed: ", "dsa0/wq0.0: priority: 16", "size", "\"sharing\""] {
        assert!(complaint.contains(needle), "{needle:?} in {complaint}");
    }
    let other = load_trouble(&machine, &wanted(&[]).replace("dsa0", "dsa7"), &[]);
    assert!(other.contains("dsa7: dev: not there"), "{other}");
    assert!(contents(&machine) == before, "something was written");
}

#[test]
fn a_device_in_use_is_only_changed_when_told_to() {
    let machine = Machine::right();
    let before = contents(&machine);
    let complaint = load_trouble(&machine, &wanted(&[]), &[]);
    assert!(
        complaint.contains("the device is enabled") && complaint.contains("--disable-first"),
        "{complaint}"
    );
    assert!(contents(&machine) == before, "something was written");
    let text = load(&machine, &wanted(&[]), &["--dry-run", "--disable-first", "--enable"]);
    let first: Vec<_> = text.lines().take(3).collect();
    let unbind = |name: &str, driver: &str| format!("echo '{name}' > {BUS}/drivers/{driver}/unbind");
    assert_eq!(first, [unbind("wq0.0", "user"), unbind("wq0.1", "user"), unbind("dsa0", "idxd")]);
}

/// The last write fails, as its file is a directory.
#[test]
fn a_write_that_fails_puts_back_what_was_written() {
    let machine = idle();
    let before = contents(&machine);
    machine.remove("sys/bus/dsa/drivers/user/bind");
    machine.directory("sys/bus/dsa/drivers/user/bind");
    let complaint = load_trouble(&machine, &wanted(&[]), &["--enable"]);
    assert!(
        complaint.contains("/sys/bus/dsa/drivers/user/bind: writing \"wq0.0\": Is a directory"),
        "{complaint}"
    );
    assert!(complaint.contains("writes before it were put back"), "{complaint}");
    assert!(contents(&machine) == before, "not all was put back");
    // What was enabled is disabled again.
    assert_eq!(machine.read("sys/bus/dsa/drivers/idxd/unbind").trim(), "dsa0");
}

#[test]
fn what_cannot_be_put_back_is_named() {
    let machine = Machine::right();
    for driver in ["user", "idxd"] {
        machine.remove(&format!("sys/bus/dsa/drivers/{driver}/bind"));
        machine.directory(&format!("sys/bus/dsa/drivers/{driver}/bind"));
    }
    let complaint = load_trouble(&machine, &wanted(&[]), &["--disable-first", "--enable"]);
    for needle in [
        "not put back: ",
        "drivers/idxd/bind was \"dsa0 enabled\"",
        "drivers/user/bind was \"wq0.0 enabled\"",
    ] {
        assert!(complaint.contains(needle), "{needle:?} in {complaint}");
    }
}

#[test]
fn the_first_write_failing_changes_nothing() {
    let machine = Machine::right();
    machine.remove("sys/bus/dsa/drivers/user/unbind");
    let complaint = load_trouble(&machine, &wanted(&[]), &["--disable-first"]);
    assert!(complaint.contains("No such file") && complaint.contains("; nothing was changed"), "{complaint}");
}

#[test]
fn what_is_saved_is_what_was_configured_and_loads() {
    let machine = Machine::right();
    let file = machine.at("saved.conf");
    let file = file.to_str().unwrap();
    let output = machine.svala(&["configure", "save", file]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), format!("{file}: 2 devices saved\n"));
    let saved: Value = serde_json::from_str(&machine.read("saved.conf")).unwrap();
    assert_eq!((&saved[0]["dev"], &saved[1]["dev"]), (&"dsa0".into(), &"iax1".into()));
    let queue = &saved[0]["groups"][0]["grouped_workqueues"][0];
    let expected = json!({
        "dev": "wq0.0", "mode": "shared", "size": 16, "threshold": 15, "priority": 10, "group_id": 0, "type": "user",
        "driver_name": "user", "name": "app", "block_on_fault": 1, "max_batch_size": 32, "max_transfer_size": 2_097_152,
        "ats_disable": 0,
    });
    assert_eq!(queue, &expected);
    assert_eq!(saved[0]["groups"][0]["grouped_engines"][1]["dev"], "engine0.1");
    let loaded = load(&machine, &machine.read("saved.conf"), &[]);
    assert_eq!(loaded.trim(), "nothing to do: everything is as the file has it");
}

#[test]
fn a_saved_file_goes_where_it_is_told() {
    let machine = idle();
    let printed = |args: &[&str]| -> Value {
        serde_json::from_slice(&machine.svala(args).output().unwrap().stdout).unwrap()
    };
    // Only what is enabled, unless all is asked for.
    let names = |saved: &Value| {
        saved.as_array().unwrap().iter().map(|one| one["dev"].to_string()).collect::<Vec<_>>()
    };
    assert_eq!(names(&printed(&["configure", "save"])), ["\"iax1\""]);
    assert_eq!(names(&printed(&["configure", "save", "-", "--quiet"])), ["\"iax1\""]);
    assert_eq!(names(&printed(&["configure", "save", "--all"])), ["\"dsa0\"", "\"iax1\""]);
    machine.write("old.conf", "old");
    let file = machine.at("old.conf");
    let file = file.to_str().unwrap();
    let complaint = trouble(&machine, &["configure", "save", file]);
    assert!(complaint.contains("old.conf: exists (--force replaces it)"), "{complaint}");
    assert_eq!(machine.read("old.conf"), "old");
    let (result, _) = machine.json(&["configure", "save", file, "--force"]);
    assert_eq!((&result["action"], &result["devices"]), (&"save".into(), &json!(["iax1"])));
    assert!(machine.read("old.conf").starts_with("[\n"));
    let output = machine.svala(&["configure", "save", "--json"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn what_is_no_configuration_is_refused_with_the_place() {
    let machine = idle();
    for (text, needle) in [
        ("", "dsa.conf: line 1, column 0: EOF"),
        ("[\n {\"dev\": \"dsa0\", \"groups\": 3}]", "dsa.conf: line 2, column "),
        ("{}", "dsa.conf: line 1, column "),
        ("\u{0}\u{1}", "dsa.conf: line 1, column "),
    ] {
        let complaint = load_trouble(&machine, text, &[]);
        assert!(complaint.contains(needle), "{needle:?} in {complaint}");
    }
    let large = load_trouble(&machine, &" ".repeat(3 << 20), &[]);
    assert!(large.contains("dsa.conf: 1048577 bytes, more than"), "{large}");
    let missing = trouble(&machine, &["configure", "load", "/nowhere/dsa.conf"]);
    assert!(missing.contains("/nowhere/dsa.conf: No such file"), "{missing}");
    let directory = trouble(&machine, &["configure", "load", "/proc"]);
    assert!(directory.contains("/proc: Is a directory"), "{directory}");
}

#[test]
fn a_machine_without_the_driver_says_so() {
    let machine = Machine::empty();
    for args in [&["configure", "save"][..], &["configure", "load", "-"]] {
        let output = machine.svala(args).write_stdin("[]").output().unwrap();
        let complaint = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2));
        for needle in ["sys/bus/dsa/devices: No such file", "svala doctor"] {
            assert!(complaint.contains(needle), "{needle:?} in {complaint}");
        }
    }
}
