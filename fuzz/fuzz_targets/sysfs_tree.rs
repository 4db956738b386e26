//! Whatever stands in the files of a device: discovery ends, panics nowhere, and a neighbour is found as it is.
//!
//! Input: records of a byte that chooses an entry of `dsa0`, a byte that chooses what it becomes, a byte of length, and
//! that many bytes of content, or of a link's target. Entries are put back after each input.
#![no_main]

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use svala_idxd::configuration::{Configuration, Plan, PlanOptions, SaveScope};
use svala_idxd::{HardwareOptions, HardwareQueue, Sysfs};

#[path = "../../drivers/idxd/tests/machine/mod.rs"]
mod machine;

/// A machine with two devices, unpacked once.
struct Place {
    _root: tempfile::TempDir,
    sysfs: Sysfs,
    /// Attributes of `dsa0` and of its first parts, and what is in them.
    entries: Vec<(PathBuf, String)>,
    /// The other device, as it is found.
    neighbour: serde_json::Value,
}

static PLACE: LazyLock<Place> = LazyLock::new(|| {
    let machine = machine::Machine::two_dsa();
    let (root, sysfs) = machine.unpacked();
    let firsts = ["dsa0/wq0.0/", "dsa0/group0.0/", "dsa0/engine0.0/"];
    let is_first =
        |path: &str| path.matches('/').count() == 1 || firsts.iter().any(|part| path.starts_with(part));
    let mine = machine.files.iter().filter(|(path, _)| path.starts_with("dsa0/") && is_first(path));
    let mut entries: Vec<_> = mine.map(|(path, value)| (sysfs.devices().join(path), value.clone())).collect();
    // Nothing but fuzzed.
    entries.extend(
        ["dsa0/wq0.8", "dsa0/wq7.1", "dsa0/engine0.00", "dsa1"]
            .map(|path| (sysfs.devices().join(path), String::new())),
    );
    let neighbour = serde_json::to_value(sysfs.discover().unwrap().device("dsa2")).unwrap();
    Place { _root: root, sysfs, entries, neighbour }
});

fn remove(path: &Path) {
    if fs::remove_file(path).is_err() {
        let _ = fs::remove_dir(path);
    }
}

fn become_what(path: &Path, what: u8, content: &[u8]) {
    remove(path);
    let _ = match what % 8 {
        0 => fs::create_dir(path),
        1 => symlink(std::ffi::OsStr::from_bytes(content), path),
        2 => Ok(()),
        3 => fs::write(path, content.repeat(64)),
        _ => fs::write(path, content),
    };
}

fuzz_target!(|input: &[u8]| {
    let place = &*PLACE;
    let mut rest = input;
    let mut changed = Vec::new();
    while let [entry, what, len, after @ ..] = rest {
        let (content, after) = after.split_at(after.len().min(usize::from(*len)));
        rest = after;
        let (path, _) = &place.entries[usize::from(*entry) % place.entries.len()];
        become_what(path, *what, content);
        changed.push(usize::from(*entry) % place.entries.len());
        if changed.len() == 32 {
            break;
        }
    }
    let found = place.sysfs.discover().unwrap();
    for entry in changed {
        let (path, value) = &place.entries[entry];
        remove(path);
        if !value.is_empty() {
            fs::write(path, format!("{value}\n")).unwrap();
        } else if !path.ends_with("wq0.8") && path.parent().is_some_and(|parent| !parent.ends_with("devices"))
        {
            fs::write(path, "\n").unwrap();
        }
    }
    assert!(
        serde_json::to_value(found.device("dsa2")).unwrap() == place.neighbour,
        "the neighbour is as it is"
    );
    for problem in found.all_problems() {
        assert!(problem.to_string().len() < 1000);
    }
    let _ = serde_json::to_string(&found).unwrap();
    for (device, queue) in found.work_queues() {
        // There are no nodes.
        assert!(HardwareQueue::open(device, queue, &HardwareOptions::default()).is_err());
    }
    let saved = Configuration::of(&found, SaveScope::All);
    for enable in [false, true] {
        let options = PlanOptions { enable, disable_first: enable, ..PlanOptions::default() };
        match Plan::new(&saved, &found, options) {
            Ok(plan) => drop(plan.to_string()),
            Err(refused) => drop(refused.to_string()),
        }
    }
});
