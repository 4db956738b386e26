//! `svala list` over trees.

use std::fs;

use crate::machine::Machine;
use crate::support::Place;

#[test]
fn the_tree_shows_groups_engines_queues_and_who_may_open_them() {
    let machine = Machine::right();
    machine.dsa("group0.1/engines", "");
    machine.dsa("engine0.1/group_id", "-1");
    let text = String::from_utf8(machine.svala(&["list"]).output().unwrap().stdout).unwrap();
    let line = |word: &str| {
        text.lines()
            .find(|line| line.trim_start().starts_with(word))
            .unwrap_or_else(|| panic!("{word}: {text}"))
    };
    assert_eq!(
        line("dsa0").trim(),
        "dsa0       DSA 1.0, enabled, SVA on, PCI 0000:6a:01.0, driver idxd, NUMA node 0"
    );
    assert!(line("iax1").contains("IAA 1.0, enabled"));
    assert_eq!(line("group0.0").split_whitespace().collect::<Vec<_>>(), ["group0.0", "engine0.0"]);
    assert!(!text.contains("group0.1"), "an empty group says nothing");
    assert!(line("no group").contains("engine0.1"));
    assert_eq!(
        line("wq0.0").trim(),
        "wq0.0    enabled, shared, 16 entries, type user, driver user, priority 10 \"app\""
    );
    assert!(line("wq0.1").contains("dedicated"));
    let owner = nix::unistd::getuid();
    assert!(line("/dev/dsa/wq0.0").contains(&format!("mode 0600, user {owner}")), "{text}");
    assert!(
        line("transfers").contains("2097152 bytes, batches of 32, 15 entries for processes, block-on-fault")
    );
    for word in ["cpu", "emu-dsa", "emu-iaa", "hardware"] {
        line(word);
    }
}

#[test]
fn the_json_has_the_kernels_names() {
    let machine = Machine::right();
    let (list, code) = machine.json(&["list"]);
    assert_eq!(code, 0);
    let device = &list["devices"][0];
    assert_eq!(
        (&device["name"], &device["type"], &device["state"]),
        (&"dsa0".into(), &"dsa".into(), &"enabled".into())
    );
    assert_eq!((&device["pasid_enabled"], &device["numa_node"]), (&true.into(), &0.into()));
    assert_eq!(device["engines"].as_array().unwrap().len(), 2);
    assert_eq!(device["groups"][0]["name"], "group0.0");
    let queue = &device["work_queues"][1];
    for (field, value) in
        [("name", "wq0.1"), ("mode", "dedicated"), ("type", "user"), ("driver_name", "user")]
    {
        assert_eq!(queue[field], value, "{field}");
    }
    assert_eq!((&queue["size"], &queue["group_id"], &queue["priority"]), (&16.into(), &0.into(), &10.into()));
    assert_eq!(queue["node"]["mode"], 0o600);
    assert_eq!(list["drivers"], serde_json::json!(["dmaengine", "idxd", "user"]));
    assert_eq!(list["emulated"].as_array().unwrap().len(), 3);
    let found: Vec<_> =
        list["hardware"].as_array().unwrap().iter().filter(|one| one["found"] == true).collect();
    assert_eq!(found.len(), 8, "all but the QAT: {found:?}");
}

#[test]
fn a_machine_with_nothing_has_an_empty_tree() {
    let machine = Machine::empty();
    let text = String::from_utf8(machine.svala(&["list"]).output().unwrap().stdout).unwrap();
    assert!(text.contains("none: svala doctor says what is missing"), "{text}");
    let (list, _) = machine.json(&["list"]);
    assert_eq!((&list["devices"], &list["drivers"]), (&serde_json::json!([]), &serde_json::json!([])));
}

/// What cannot be read is a question mark, and said; the rest is shown.
#[test]
fn attributes_that_cannot_be_read_hide_nothing_else() {
    let machine = Machine::right();
    machine.remove("sys/bus/dsa/devices/dsa0/wq0.0/size");
    machine.directory("sys/bus/dsa/devices/dsa0/wq0.0/size");
    machine.dsa("wq0.0/priority", "\x1b[2J");
    fs::write(machine.at("sys/bus/dsa/devices/iax1/version"), [0xff; 9000]).unwrap();
    let text = String::from_utf8(machine.svala(&["list"]).output().unwrap().stdout).unwrap();
    assert!(text.contains("wq0.0    enabled, shared, ? entries"), "{text}");
    assert!(text.contains("wrong: dsa0/wq0.0/size"), "{text}");
    assert!(text.contains("IAA ?, enabled"), "{text}");
    assert!(!text.contains('\x1b'), "{text}");
}

/// Nobody reads: no panic, no complaint, whatever is listed.
#[test]
fn a_closed_pipe_ends_lists_quietly() {
    let place = Place::new();
    for args in [&["list"][..], &["doctor"], &["doctor", "--json"]] {
        let mut running = place.start("software", args);
        drop(running.child().stdout.take());
        let (status, complaint) = running.end();
        assert_eq!((status.code(), complaint.as_str()), (Some(2), ""), "{args:?}");
    }
}
