//! Applying configurations, and undoing them: a failure at any step leaves everything as it was. The judge is a tree
//! with the driver's rules, and a tree of files.

mod machine;

use std::fs;
use std::path::Path;
use std::sync::{LazyLock, Mutex};

use machine::kernel::Kernel;
use machine::{Machine, Model, Shown};
use proptest::prelude::*;
use svala_idxd::Sysfs;
use svala_idxd::configuration::{Configuration, Plan, PlanOptions, SaveScope, Step, SysfsTree, Tree};

const PROFILE: &str = include_str!("machine/profile.conf");

const ENABLE: PlanOptions = PlanOptions { enable: true, disable_first: false, traffic_class_override: false };

fn plan(text: &str, machine: &Machine, options: PlanOptions) -> Plan {
    let (_root, sysfs) = machine.unpacked();
    Plan::new(&Configuration::parse(text.as_bytes()).unwrap(), &sysfs.discover().unwrap(), options).unwrap()
}

/// A device that is in use, and a file that makes it another.
fn busy_and_other() -> (Machine, String) {
    let text = r#"[{"dev":"dsa0","read_buffer_limit":16,"event_log_size":256,"groups":[
        {"dev":"group0.2","use_read_buffer_limit":1,"read_buffers_reserved":8,"read_buffers_allowed":16,"traffic_class_a":2,
         "grouped_workqueues":[
            {"dev":"wq0.0","mode":"dedicated","size":64,"type":"user","name":"b","driver_name":"user","priority":3,"prs_disable":1,"threshold":0},
            {"dev":"wq0.5","mode":"shared","size":64,"threshold":60,"type":"kernel","name":"k","driver_name":"dmaengine","priority":15,"block_on_fault":1}],
         "grouped_engines":[{"dev":"engine0.0"},{"dev":"engine0.3"}]}]}]"#;
    (Machine::of_version(0x200), text.to_owned())
}

#[test]
fn a_device_in_use_is_disabled_first_if_asked() {
    let (machine, text) = busy_and_other();
    let options = PlanOptions { disable_first: true, ..ENABLE };
    let plan = plan(&text, &machine, options);
    let mut kernel = Kernel::new(machine);
    plan.apply(&mut kernel).unwrap();
    let get = |path: &str| kernel.machine.get(path).to_owned();
    assert_eq!(
        (get("dsa0/state"), get("dsa0/wq0.0/state"), get("dsa0/wq0.1/state")),
        ("enabled".into(), "enabled".into(), "disabled".into())
    );
    assert_eq!(
        (get("dsa0/wq0.0/mode"), get("dsa0/wq0.5/threshold"), get("dsa0/engine0.3/group_id")),
        ("dedicated".into(), "60".into(), "2".into())
    );
    assert_eq!(
        (get("dsa0/group0.2/traffic_class_a"), get("dsa0/group0.2/use_read_buffer_limit")),
        ("2".into(), "1".into())
    );
}

/// The limit of read buffers cannot be turned off for a group while the device has none: found by fuzzing.
#[test]
fn what_is_saved_can_be_loaded_into_a_device_in_use() {
    let machine = Machine::of_version(0x200);
    let (_root, sysfs) = machine.unpacked();
    let found = sysfs.discover().unwrap();
    let saved = Configuration::of(&found, SaveScope::Enabled);
    let plan = Plan::new(&saved, &found, PlanOptions { disable_first: true, ..ENABLE }).unwrap();
    let mut kernel = Kernel::new(machine.clone());
    plan.apply(&mut kernel).unwrap();
    assert!(kernel.machine.files == machine.files, "the same machine again");
}

/// Fails each step of a plan in turn. Before and after must be the same, whatever state the machine was in.
fn each_step_failing(machine: &Machine, text: &str, options: PlanOptions) -> usize {
    let plan = plan(text, machine, options);
    for index in 0..plan.steps.len() {
        let mut kernel = Kernel::new(machine.clone());
        kernel.fail_at = Some(index);
        let error = plan.apply(&mut kernel).expect_err("a step fails");
        assert_eq!((error.index, &error.step), (index, &plan.steps[index]));
        assert_eq!(error.source.raw_os_error(), Some(libc::EIO));
        let differing: Vec<_> =
            machine.files.iter().filter(|(path, value)| kernel.machine.get(path) != *value).collect();
        assert!(differing.is_empty(), "step {index}, {}: {differing:?}", error.step);
        assert_eq!(error.left, [], "step {index}");
    }
    plan.steps.len()
}

#[test]
fn a_failure_at_any_step_leaves_everything_as_it_was() {
    let (busy, text) = busy_and_other();
    let forced = PlanOptions { disable_first: true, ..ENABLE };
    assert!(each_step_failing(&busy, &text, forced) > 25);
    assert!(each_step_failing(&Machine::idle(0x200), &text, ENABLE) > 25);
    assert!(each_step_failing(&Machine::idle(0x100), PROFILE, ENABLE) > 40);
    // From configured and disabled to something else: modes change both ways.
    let mut configured = Machine::idle(0x200);
    for (attribute, value) in [
        ("mode", "shared"),
        ("size", "20"),
        ("threshold", "12"),
        ("type", "user"),
        ("name", "old"),
        ("block_on_fault", "1"),
        ("priority", "4"),
        ("group_id", "1"),
    ] {
        configured.set(&format!("dsa0/wq0.0/{attribute}"), value);
    }
    assert!(each_step_failing(&configured, &text, PlanOptions::default()) > 20);
}

#[test]
fn what_cannot_be_put_back_is_told() {
    let mut machine = Machine::idle(0x200);
    machine.set("dsa0/wq0.0/priority", 7);
    let text = r#"[{"dev":"dsa0","ungrouped_workqueues":[
        {"dev":"wq0.0","priority":9,"block_on_fault":1,"ats_disable":1}]}]"#;
    let plan = plan(text, &machine, PlanOptions::default());
    let mut kernel = Kernel::new(machine);
    kernel.fail_at = Some(plan.steps.iter().position(|step| step.path().ends_with("ats_disable")).unwrap());
    kernel.fail_always = Some(("devices/dsa0/wq0.0/priority".into(), "7".into()));
    let error = plan.apply(&mut kernel).unwrap_err();
    assert_eq!(error.left.len(), 1);
    let left = &error.left[0];
    assert_eq!(
        (left.path.as_str(), left.was.as_str(), left.is.as_deref()),
        ("devices/dsa0/wq0.0/priority", "7", Some("9"))
    );
    assert!(error.to_string().contains("not put back: devices/dsa0/wq0.0/priority was 7"), "{error}");
    assert_eq!(kernel.machine.get("dsa0/wq0.0/block_on_fault"), "0", "the rest is");
}

#[test]
fn a_device_that_cannot_be_enabled_again_is_told() {
    let (machine, text) = busy_and_other();
    let plan = plan(&text, &machine, PlanOptions { disable_first: true, ..ENABLE });
    let mut kernel = Kernel::new(machine);
    kernel.fail_at = Some(10);
    kernel.fail_always = Some(("drivers/user/bind".into(), "wq0.1".into()));
    let error = plan.apply(&mut kernel).unwrap_err();
    let left: Vec<_> = error.left.iter().map(|left| left.was.as_str()).collect();
    assert_eq!(left, ["wq0.1 enabled"]);
}

/// Contents of all files below a directory.
fn contents(root: &Path) -> Vec<(String, String)> {
    let mut all = Vec::new();
    let mut open = vec![root.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let entry = entry.unwrap();
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                open.push(entry.path());
            } else if kind.is_file() {
                all.push((entry.path().display().to_string(), fs::read_to_string(entry.path()).unwrap()));
            }
        }
    }
    all.sort();
    all
}

fn tree(machine: &Machine) -> (tempfile::TempDir, Sysfs) {
    let (root, sysfs) = machine.unpacked();
    for driver in ["idxd", "user", "dmaengine"] {
        for action in ["bind", "unbind"] {
            fs::write(sysfs.bus().join("drivers").join(driver).join(action), "").unwrap();
        }
    }
    (root, sysfs)
}

#[test]
fn files_are_written_and_put_back() {
    let (root, sysfs) = tree(&Machine::idle(0x100));
    let configuration = Configuration::parse(PROFILE.as_bytes()).unwrap();
    let plan = Plan::new(&configuration, &sysfs.discover().unwrap(), PlanOptions::default()).unwrap();
    let before = contents(root.path());
    // The last attribute cannot be written: a directory is in its place.
    let Some(Step::Set { path, .. }) = plan.steps.last() else { panic!("a write") };
    let last = sysfs.bus().join(path);
    fs::remove_file(&last).unwrap();
    fs::create_dir(&last).unwrap();
    let error = plan.apply(&mut SysfsTree::new(&sysfs)).unwrap_err();
    assert_eq!((error.index, error.source.raw_os_error()), (plan.steps.len() - 1, Some(libc::EISDIR)));
    assert_eq!(error.left, []);
    fs::remove_dir(&last).unwrap();
    let old =
        before.iter().find(|(name, _)| name.ends_with(path.rsplit_once("devices/").unwrap().1)).unwrap();
    fs::write(&last, &old.1).unwrap();
    assert!(contents(root.path()) == before, "the tree is as it was");

    plan.apply(&mut SysfsTree::new(&sysfs)).unwrap();
    let found = sysfs.discover().unwrap();
    let (_, queue) = found.work_queue("wq0.3").unwrap();
    assert_eq!((queue.size, queue.label.as_deref(), queue.group_id), (Some(32), Some("app4"), Some(3)));
    assert!(queue.is_dedicated() && queue.is_user());
}

#[test]
fn a_tree_is_written_through_no_link_and_makes_no_file() {
    let (root, sysfs) = tree(&Machine::idle(0x100));
    let mut files = SysfsTree::new(&sysfs);
    let outside = root.path().join("outside");
    fs::write(&outside, "safe").unwrap();
    std::os::unix::fs::symlink(&outside, sysfs.devices().join("dsa0/linked")).unwrap();
    assert_eq!(files.write("devices/dsa0/linked", "x").unwrap_err().raw_os_error(), Some(libc::ELOOP));
    assert_eq!(fs::read_to_string(&outside).unwrap(), "safe");
    assert_eq!(files.write("devices/dsa0/new", "x").unwrap_err().raw_os_error(), Some(libc::ENOENT));
    nix::unistd::mkfifo(&sysfs.devices().join("dsa0/pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert_eq!(files.write("devices/dsa0/pipe", "x").unwrap_err().raw_os_error(), Some(libc::ENXIO));
    assert!(files.read("devices/dsa0/pipe").is_err());
    assert_eq!(files.read("devices/dsa0/max_groups").unwrap(), "4");
}

/// Values around what is allowed, for one queue.
fn any_queue() -> impl Strategy<Value = String> {
    let number = |key: &'static str, values: Vec<i64>| {
        proptest::option::of(proptest::sample::select(values))
            .prop_map(move |value| value.map(|value| format!(r#""{key}":{value}"#)))
    };
    let word = |key: &'static str, values: Vec<&'static str>| {
        proptest::option::of(proptest::sample::select(values))
            .prop_map(move |value| value.map(|value| format!(r#""{key}":"{value}""#)))
    };
    (
        word("mode", vec!["shared", "dedicated"]),
        number("size", vec![0, 1, 16, 64, 100, 128, 129]),
        number("threshold", vec![0, 1, 15, 64, 128]),
        number("priority", vec![1, 15]),
        number("prs_disable", vec![0, 1]),
        number("block_on_fault", vec![0, 1]),
        word("type", vec!["none", "user", "kernel"]),
        word("name", vec!["", "x", "a longer name"]),
        number("max_transfer_size", vec![1, 5000, 1 << 21, 1 << 31]),
        word("op_config", vec!["3ff", "0", "7b,00bf07ff"]),
    )
        .prop_map(|all| {
            let all = [all.0, all.1, all.2, all.3, all.4, all.5, all.6, all.7, all.8, all.9];
            all.into_iter().flatten().map(|attribute| format!(",{attribute}")).collect()
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    /// What a plan does not refuse the driver takes, and a failure anywhere leaves no trace.
    #[test]
    fn the_driver_takes_every_plan(
        queues in proptest::collection::vec((any_queue(), 0..3_u32, -1..4_i64), 1..4),
        before in proptest::collection::vec((any_queue(), 0..3_u32, -1..4_i64), 1..4),
        fail in 0..40_usize,
    ) {
        let text = |queues: &[(String, u32, i64)]| {
            let one = |(id, (attributes, _, group)): (usize, &(String, u32, i64))| {
                format!(r#"{{"dev":"wq0.{id}","group_id":{group}{attributes}}}"#)
            };
            let all: Vec<_> = queues.iter().enumerate().map(one).collect();
            format!(r#"[{{"dev":"dsa0","ungrouped_workqueues":[{}]}}]"#, all.join(","))
        };
        let mut shown = SHOWN.lock().unwrap();
        let mut plan_for = |text: String, kernel: &Kernel| {
            let configuration = Configuration::parse(text.as_bytes()).unwrap();
            Plan::new(&configuration, &shown.discover(&kernel.machine.files), PlanOptions::default())
        };
        // A state that the driver itself has led to, if it can be had.
        let mut kernel = Kernel::new(PREPARED.clone());
        if let Ok(plan) = plan_for(text(&before), &kernel) {
            plan.apply(&mut kernel).unwrap();
        }
        let start = kernel.machine.clone();
        let Ok(plan) = plan_for(text(&queues), &kernel) else { return Ok(()) };
        let mut failing = Kernel::new(start.clone());
        failing.fail_at = Some(fail);
        if plan.apply(&mut failing).is_err() {
            prop_assert!(failing.machine.files == start.files, "{} steps, {fail} failed", plan.steps.len());
        }
        let mut kernel = Kernel::new(start);
        prop_assert!(plan.apply(&mut kernel).is_ok(), "{plan}");
        // And then there is nothing left to do.
        let again = plan_for(text(&queues), &kernel).unwrap();
        prop_assert!(again.is_empty(), "{again}");
    }
}

static PREPARED: LazyLock<Machine> = LazyLock::new(|| {
    let mut machine = Machine::default();
    machine.add(Model::new("dsa0", "0000:6a:01.0", 0x200, 0));
    machine
});

static SHOWN: LazyLock<Mutex<Shown>> = LazyLock::new(|| Mutex::new(Shown::new(&PREPARED)));
