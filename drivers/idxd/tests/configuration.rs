//! Configurations against machines: files in the tool's format, what is refused, and what is written in which order.
//! The judge of every plan is a tree with the driver's rules.

mod machine;

use machine::Machine;
use machine::kernel::Kernel;
use svala_idxd::Discovery;
use svala_idxd::configuration::{
    Configuration, Plan, PlanOptions, Refusal, RefusalKind, Refused, SaveScope, Step,
};

/// A network server's queues, in the form of the tool's own profiles: four groups, dedicated, commas and all.
const PROFILE: &str = include_str!("machine/profile.conf");

const ENABLE: PlanOptions = PlanOptions { enable: true, disable_first: false, traffic_class_override: false };

fn found(machine: &Machine) -> Discovery {
    let (_root, sysfs) = machine.unpacked();
    sysfs.discover().unwrap()
}

fn plan(text: &str, machine: &Machine, options: PlanOptions) -> Result<Plan, Refused> {
    Plan::new(&Configuration::parse(text.as_bytes()).unwrap(), &found(machine), options)
}

/// One work queue with these attributes.
fn queue(attributes: &str) -> String {
    format!(
        r#"[{{"dev":"dsa0","groups":[{{"dev":"group0.0","grouped_workqueues":[{{"dev":"wq0.0",{attributes}}}],"grouped_engines":[{{"dev":"engine0.0"}}]}}]}}]"#
    )
}

#[test]
fn a_profile_of_the_tool_is_read_with_its_commas() {
    let configuration = Configuration::parse(PROFILE.as_bytes()).unwrap();
    assert_eq!(configuration.devices.len(), 1);
    let group = &configuration.devices[0].groups[3];
    assert_eq!((group.dev.as_str(), group.grouped_engines[0].dev.as_str()), ("group0.3", "engine0.3"));
    let queue = &group.grouped_workqueues[0];
    assert_eq!((queue.mode.as_deref(), queue.size, queue.threshold), (Some("dedicated"), Some(32), Some(0)));
    assert_eq!((queue.max_transfer_size, queue.queue_type.as_deref()), (Some(16384), Some("user")));
}

#[test]
fn a_profile_is_applied_and_enabled() {
    let plan = plan(PROFILE, &Machine::idle(0x100), ENABLE).unwrap();
    let mut kernel = Kernel::new(Machine::idle(0x100));
    plan.apply(&mut kernel).unwrap();
    for id in 0..4 {
        let get = |attribute: &str| kernel.machine.get(&format!("dsa0/wq0.{id}/{attribute}")).to_owned();
        assert_eq!(
            (get("state"), get("mode"), get("size")),
            ("enabled".into(), "dedicated".into(), "32".into())
        );
        assert_eq!(
            (get("name"), get("group_id"), get("priority")),
            (format!("app{}", id + 1), id.to_string(), "10".into())
        );
        assert_eq!((get("max_transfer_size"), get("max_batch_size")), ("16384".into(), "1024".into()));
    }
    assert_eq!(kernel.machine.get("dsa0/state"), "enabled");
    // The other device is not touched.
    assert!(kernel.writes.iter().all(|(path, value)| !path.contains("iax") && !value.contains("iax")));
}

#[test]
fn the_dry_run_shows_what_is_written_in_order() {
    let text = queue(
        r#""mode":"shared","size":16,"threshold":15,"priority":10,"type":"user","name":"a","driver_name":"user""#,
    );
    let plan = plan(&text, &Machine::idle(0x200), ENABLE).unwrap();
    assert_eq!(
        plan.to_string(),
        "devices/dsa0/engine0.0/group_id <- 0\n\
         devices/dsa0/wq0.0/group_id <- 0\n\
         devices/dsa0/wq0.0/type <- user\n\
         devices/dsa0/wq0.0/name <- a\n\
         devices/dsa0/wq0.0/driver_name <- user\n\
         devices/dsa0/wq0.0/size <- 16\n\
         devices/dsa0/wq0.0/threshold <- 15\n\
         devices/dsa0/wq0.0/priority <- 10\n\
         drivers/idxd/bind <- dsa0\n\
         drivers/user/bind <- wq0.0\n"
    );
    let mut kernel = Kernel::new(Machine::idle(0x200));
    plan.apply(&mut kernel).unwrap();
    let written: Vec<_> = kernel.writes.iter().map(|(path, value)| format!("{path} <- {value}\n")).collect();
    assert_eq!(written.concat(), plan.to_string());
}

#[test]
fn what_is_as_it_should_be_is_not_written() {
    let machine = Machine::sapphire_rapids();
    let saved = Configuration::of(&found(&machine), SaveScope::Enabled);
    // The devices are enabled: any write would be refused.
    let plan = Plan::new(&saved, &found(&machine), PlanOptions::default()).unwrap();
    assert!(plan.is_empty(), "{plan}");
    let mut kernel = Kernel::new(machine);
    plan.apply(&mut kernel).unwrap();
    assert_eq!(kernel.writes, []);
}

#[test]
fn what_was_saved_makes_another_machine_the_same() {
    for version in [0x100, 0x200, 0x300] {
        let mut busy = Machine::of_version(version);
        busy.set("dsa0/group0.1/read_buffers_reserved", 16);
        busy.set("dsa0/group0.1/read_buffers_allowed", 20);
        busy.set("dsa0/read_buffer_limit", 32);
        busy.set("dsa0/group0.0/use_read_buffer_limit", 1);
        if version >= 0x200 {
            busy.set("dsa0/event_log_size", 128);
            busy.set("dsa0/group0.1/desc_progress_limit", 2);
            busy.set("dsa0/wq0.1/prs_disable", 1);
            busy.set("dsa0/wq0.1/block_on_fault", 0);
            busy.set("dsa0/group0.1/traffic_class_b", 3);
        }
        let saved = Configuration::of(&found(&busy), SaveScope::Enabled);
        // Through the file and back.
        let text = saved.to_text();
        let read = Configuration::parse(text.as_bytes()).unwrap();
        assert_eq!(read, saved);
        let plan = Plan::new(&read, &found(&Machine::idle(version)), ENABLE).unwrap();
        let mut kernel = Kernel::new(Machine::idle(version));
        plan.apply(&mut kernel).unwrap();
        for (path, value) in &busy.files {
            let shown = ["/engines", "/work_queues", "/cdev_minor"].iter().any(|end| path.ends_with(end));
            assert!(
                shown || kernel.machine.get(path) == value,
                "{path}: {} and not {value}",
                kernel.machine.get(path)
            );
        }
    }
}

#[test]
fn saved_files_have_the_tools_keys() {
    let saved = Configuration::of(&found(&Machine::of_version(0x200)), SaveScope::Enabled);
    let text = serde_json::to_value(&saved).unwrap();
    let (dsa, iaa) = (&text[0], &text[1]);
    let keys =
        |value: &serde_json::Value| -> Vec<String> { value.as_object().unwrap().keys().cloned().collect() };
    assert_eq!(keys(dsa), ["dev", "event_log_size", "groups", "read_buffer_limit", "ungrouped_engines"]);
    assert_eq!(
        keys(&dsa["groups"][0]["grouped_workqueues"][0]),
        [
            "ats_disable",
            "block_on_fault",
            "dev",
            "driver_name",
            "group_id",
            "max_batch_size",
            "max_transfer_size",
            "mode",
            "name",
            "op_config",
            "priority",
            "prs_disable",
            "size",
            "threshold",
            "type",
        ]
    );
    assert_eq!(iaa.get("read_buffer_limit"), None);
    assert_eq!(iaa["groups"][0]["grouped_workqueues"].as_array().unwrap().len(), 1);
    let all = Configuration::of(&found(&Machine::of_version(0x200)), SaveScope::All);
    assert_eq!(all.devices[0].ungrouped_workqueues.len(), 6);
}

/// The refusals of one text on a machine, without their places.
fn refusals(text: &str, machine: &Machine, options: PlanOptions) -> Vec<Refusal> {
    plan(text, machine, options).expect_err("refused").refusals
}

fn refused(attributes: &str, expected: &[(&str, RefusalKind)]) {
    let found = refusals(&queue(attributes), &Machine::idle(0x200), PlanOptions::default());
    let found: Vec<_> = found.iter().map(|refusal| (refusal.attribute, refusal.kind.clone())).collect();
    assert_eq!(found, expected, "{attributes}");
}

#[test]
fn what_a_queue_cannot_be_is_refused() {
    let range = |value, min, max| RefusalKind::Range { value, min, max };
    refused(r#""size":129"#, &[("size", range(129, 0, 128))]);
    refused(r#""size":-1"#, &[("size", range(-1, 0, 128))]);
    refused(r#""priority":0"#, &[("priority", range(0, 1, 15))]);
    refused(r#""priority":16"#, &[("priority", range(16, 1, 15))]);
    refused(r#""size":16,"threshold":17"#, &[("threshold", range(17, 1, 16))]);
    refused(r#""size":16,"threshold":0"#, &[("threshold", range(0, 1, 16))]);
    let conflict = RefusalKind::Conflict { with: "mode dedicated" };
    refused(r#""mode":"dedicated","size":16,"threshold":4"#, &[("threshold", conflict)]);
    refused(r#""block_on_fault":2"#, &[("block_on_fault", range(2, 0, 1))]);
    let conflict = RefusalKind::Conflict { with: "prs_disable 1" };
    refused(r#""prs_disable":1,"block_on_fault":1"#, &[("block_on_fault", conflict)]);
    refused(r#""max_transfer_size":4294967296"#, &[("max_transfer_size", range(1 << 32, 1, 1 << 31))]);
    refused(r#""max_transfer_size":2147483649"#, &[("max_transfer_size", range(1 << 32, 1, 1 << 31))]);
    refused(
        r#""max_transfer_size":9223372036854775807"#,
        &[("max_transfer_size", range(i64::MAX, 1, 1 << 31))],
    );
    refused(r#""max_batch_size":2048"#, &[("max_batch_size", range(2048, 1, 1024))]);
    refused(r#""max_batch_size":0"#, &[("max_batch_size", range(0, 1, 1024))]);
    let word = |value: &str, expected| RefusalKind::Word { value: value.into(), expected };
    refused(r#""mode":"exclusive""#, &[("mode", word("exclusive", "shared or dedicated"))]);
    refused(r#""type":"mdev""#, &[("type", word("mdev", "user, kernel or none"))]);
    refused(
        r#""type":"user","driver_name":"dmaengine""#,
        &[("driver_name", word("dmaengine", "a driver for its type"))],
    );
    refused(
        r#""type":"kernel","driver_name":"user""#,
        &[("driver_name", word("user", "a driver for its type"))],
    );
    refused(
        r#""type":"kernel","driver_name":"../x""#,
        &[("driver_name", word("../x", "a driver for its type"))],
    );
    refused("\"name\":\"a\\nb\"", &[("name", word("a\nb", "a name"))]);
    refused(r#""op_config":"x""#, &[("op_config", word("x", "a bitmap of 256 bits"))]);
    let extra = "00000000,00000000,00000000,00000000,00000000,00000000,00000000,80000000".to_owned();
    refused(r#""op_config":"8000000f""#, &[("op_config", RefusalKind::Operations { extra })]);
    refused(r#""group_id":1"#, &[("group_id", RefusalKind::ListedElsewhere { listed: 0, said: 1 })]);
    // All of them, and not only the first.
    let found = refusals(
        &queue(r#""size":999,"priority":99,"mode":"x""#),
        &Machine::idle(0x200),
        PlanOptions::default(),
    );
    assert_eq!(found.len(), 3);
}

#[test]
fn what_a_device_cannot_be_is_refused() {
    let one = |text: &str, machine: &Machine| {
        let found = refusals(text, machine, PlanOptions::default());
        assert_eq!(found.len(), 1, "{found:?}");
        (found[0].at.clone(), found[0].attribute, found[0].kind.clone())
    };
    let (first, second) = (Machine::idle(0x100), Machine::idle(0x200));
    let not_there = |at: &str| (at.to_owned(), "dev", RefusalKind::NotThere);
    assert_eq!(one(r#"[{"dev":"dsa9"}]"#, &first), not_there("dsa9"));
    assert_eq!(one(r#"[{"dev":"dsa0","groups":[{"dev":"group0.4"}]}]"#, &first), not_there("dsa0/group0.4"));
    assert_eq!(one(r#"[{"dev":"dsa0","groups":[{"dev":"group1.0"}]}]"#, &first), not_there("dsa0/group1.0"));
    assert_eq!(
        one(r#"[{"dev":"dsa0","ungrouped_engines":[{"dev":"engine0.4"}]}]"#, &first),
        not_there("dsa0/engine0.4")
    );
    assert_eq!(one(r#"[{"dev":"dsa0"},{"dev":"dsa0"}]"#, &first), ("dsa0".into(), "dev", RefusalKind::Twice));
    let twice = r#"[{"dev":"dsa0","groups":[{"dev":"group0.0"},{"dev":"group0.0"}]}]"#;
    assert_eq!(one(twice, &first), ("dsa0/group0.0".into(), "dev", RefusalKind::Twice));
    let range = |value, min, max| RefusalKind::Range { value, min, max };
    assert_eq!(one(r#"[{"dev":"dsa0","read_buffer_limit":97}]"#, &first).2, range(97, 0, 96));
    assert_eq!(one(r#"[{"dev":"dsa0","event_log_size":63}]"#, &second).2, range(63, 64, 65535));
    let unsupported = RefusalKind::Unsupported { value: "64".into() };
    assert_eq!(one(r#"[{"dev":"dsa0","event_log_size":64}]"#, &first).2, unsupported);
    let group =
        |attributes: &str| format!(r#"[{{"dev":"dsa0","groups":[{{"dev":"group0.0",{attributes}}}]}}]"#);
    assert_eq!(one(&group(r#""traffic_class_a":2"#), &first).2, RefusalKind::Version { version: 0x100 });
    assert_eq!(one(&group(r#""traffic_class_a":8"#), &second).2, range(8, 0, 7));
    assert_eq!(one(&group(r#""desc_progress_limit":4"#), &second).2, range(4, 0, 3));
    assert_eq!(one(&group(r#""read_buffers_reserved":97"#), &second).2, range(97, 0, 96));
    let conflict = RefusalKind::Conflict { with: "read_buffer_limit 0" };
    assert_eq!(one(&group(r#""use_read_buffer_limit":1"#), &second).2, conflict);
    let engines = r#""read_buffers_allowed":7,"grouped_engines":[{"dev":"engine0.0"},{"dev":"engine0.1"}]"#;
    assert_eq!(one(&group(engines), &second).2, range(7, 8, 96));
    let sum = r#"[{"dev":"dsa0","groups":[{"dev":"group0.0","read_buffers_reserved":60},{"dev":"group0.1","read_buffers_reserved":60}]}]"#;
    assert_eq!(one(sum, &second).2, RefusalKind::Sum { sum: 120, max: 96 });
    let mut fixed = Machine::idle(0x200);
    fixed.set("dsa0/configurable", 0);
    assert_eq!(one(r#"[{"dev":"dsa0","read_buffer_limit":1}]"#, &fixed).2, RefusalKind::NotConfigurable);
    let enabled = Machine::of_version(0x200);
    assert_eq!(one(r#"[{"dev":"dsa0","read_buffer_limit":1}]"#, &enabled).2, RefusalKind::Enabled);
}

#[test]
fn sizes_are_summed_over_queues_the_file_does_not_name() {
    let mut machine = Machine::idle(0x200);
    machine.set("dsa0/wq0.7/size", 100);
    let found = refusals(&queue(r#""size":29"#), &machine, PlanOptions::default());
    assert_eq!(found[0].kind, RefusalKind::Sum { sum: 129, max: 128 });
    assert!(plan(&queue(r#""size":28"#), &machine, PlanOptions::default()).is_ok());
}

#[test]
fn what_is_enabled_has_what_it_needs() {
    let without = |attributes: &str, machine: &Machine| -> Vec<_> {
        let found = refusals(&queue(attributes), machine, ENABLE);
        found.into_iter().map(|refusal| refusal.kind).collect()
    };
    let not_ready = |without| RefusalKind::NotReady { without };
    let machine = Machine::idle(0x200);
    assert_eq!(
        without(r#""type":"none""#, &machine),
        ["a size", "a threshold", "a priority", "a type", "a driver_name"].map(not_ready)
    );
    let mut no_pasid = Machine::idle(0x200);
    no_pasid.set("dsa0/pasid_enabled", 0);
    let user = r#""size":16,"threshold":8,"priority":1,"type":"user","driver_name":"user""#;
    assert_eq!(without(user, &no_pasid), [not_ready("user PASID of its device")]);
    let no_driver = r#""size":16,"threshold":8,"priority":1,"type":"kernel","driver_name":"other""#;
    assert_eq!(without(no_driver, &machine), [not_ready("its driver, which is not loaded")]);
    let no_engine = r#"[{"dev":"dsa0","groups":[{"dev":"group0.0","grouped_workqueues":[{"dev":"wq0.0","size":16,"threshold":8,"priority":1,"type":"user","driver_name":"user"}]}]}]"#;
    let found = refusals(no_engine, &machine, ENABLE);
    assert_eq!(found[0].kind, not_ready("an engine in its group"));
    // Older kernels take the driver's name when the queue is bound.
    let mut older = Machine::idle(0x200);
    older.remove("dsa0/wq0.0/driver_name");
    let unnamed = r#""size":16,"threshold":8,"priority":1,"type":"user""#;
    assert_eq!(without(unnamed, &machine), [not_ready("a driver_name")]);
    let steps = plan(&queue(unnamed), &older, ENABLE).unwrap().steps;
    assert_eq!(steps.last(), Some(&Step::Bind { driver: "user".into(), name: "wq0.0".into() }));
}

#[test]
fn what_does_no_harm_is_noted_and_not_written() {
    let text = r#"[{"dev":"iax1","read_buffer_limit":0,"state":"enabled","groups":[{"dev":"group1.0","tokens_reserved":0,"traffic_class_a":-1,"grouped_workqueues":[{"dev":"wq1.0","max_batch_size":32,"prs_disable":0}]}]}]"#;
    let plan = plan(text, &Machine::idle(0x100), PlanOptions::default()).unwrap();
    assert_eq!(plan.steps, [Step::Set { path: "devices/iax1/wq1.0/group_id".into(), value: "0".into() }]);
    let noted: Vec<_> = plan.notes.iter().map(|note| format!("{} {}", note.at, note.attribute)).collect();
    assert_eq!(
        noted,
        [
            "iax1 state",
            "iax1 read_buffer_limit",
            "iax1/group1.0 read_buffers_allowed",
            "iax1/wq1.0 prs_disable",
            "iax1/wq1.0 max_batch_size"
        ]
    );
}

/// Grown and shrunk at once: the sum never exceeds the device's.
#[test]
fn sizes_move_between_queues_that_fill_the_device() {
    let mut machine = Machine::idle(0x200);
    machine.set("dsa0/wq0.0/size", 128);
    let text =
        r#"[{"dev":"dsa0","ungrouped_workqueues":[{"dev":"wq0.1","size":100},{"dev":"wq0.0","size":28}]}]"#;
    let plan = plan(text, &machine, PlanOptions::default()).unwrap();
    let mut kernel = Kernel::new(machine);
    plan.apply(&mut kernel).unwrap();
    assert_eq!((kernel.machine.get("dsa0/wq0.0/size"), kernel.machine.get("dsa0/wq0.1/size")), ("28", "100"));
}
